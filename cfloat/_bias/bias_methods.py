"""The ways to choose a bias that have a name."""

from typing import Any, Final, Literal, get_args

from cfloat._core.format import Format
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

#: Those that follow from the largest magnitude alone.
PeakRule = Literal["max", "mx"]
PEAK_RULES: Final[tuple[PeakRule, ...]] = get_args(PeakRule)

BiasMethod = Literal["max", "mse", "percentile", "mx"]
BIAS_METHODS: Final[tuple[BiasMethod, ...]] = get_args(BiasMethod)


def check_method(name: str, method: str, fmt: Format) -> BiasMethod:
    """Give a way to choose a bias of a format, or say which there are."""
    for known in BIAS_METHODS:
        if method == known:
            check_range(name, known, fmt)
            return known
    takes = ", ".join(map(repr, BIAS_METHODS))
    raise ArgumentValueError(f"{name} is {shown(method)}; it takes {takes}")


def check_range(name: str, method: object, fmt: Format) -> None:
    """Refuse OCP MX's rule for a format whose bias is fixed, which can take the place of no scale."""
    low, high = fmt.bias_range
    if method == "mx" and low == high:
        raise ArgumentValueError(
            f"{name} is 'mx', and the bias of {fmt.name} is fixed at {low}; 'mx' takes a format with a range "
            "of biases"
        )


def check_percentile(percentile: Any) -> float:
    """Give a percentage, or say what is allowed."""
    try:
        value = float(percentile)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"percentile is {shown(percentile)}; it takes a number") from None
    if not 0 < value <= 100:
        raise ArgumentValueError(f"percentile is {value}; it is above 0 and at most 100")
    return value
