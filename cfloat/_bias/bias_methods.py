"""The ways to choose a bias that have a name."""

from typing import Any, Final, Literal, get_args

from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

BiasMethod = Literal["max", "mse", "percentile"]
BIAS_METHODS: Final[tuple[BiasMethod, ...]] = get_args(BiasMethod)


def check_method(name: str, method: str) -> BiasMethod:
    """Give a way to choose a bias, or say which there are."""
    for known in BIAS_METHODS:
        if method == known:
            return known
    takes = ", ".join(map(repr, BIAS_METHODS))
    raise ArgumentValueError(f"{name} is {shown(method)}; it takes {takes}")


def check_percentile(percentile: Any) -> float:
    """Give a percentage, or say what is allowed."""
    try:
        value = float(percentile)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"percentile is {shown(percentile)}; it takes a number") from None
    if not 0 < value <= 100:
        raise ArgumentValueError(f"percentile is {value}; it is above 0 and at most 100")
    return value
