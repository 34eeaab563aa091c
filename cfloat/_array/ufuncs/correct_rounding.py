"""What makes a result that is rounded into a format the rounding of the exact one (docs/spec.md 5.3)."""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._core import binding
from cfloat._core.dtypes import is_source_dtype
from cfloat._core.finfo import finfo
from cfloat._core.format import Format

Array = NDArray[Any]

_ONE: Final = np.ones((), np.float32)

#: Ufuncs whose rounded results are the exact ones' (docs/spec.md 5.3), by name: what the core computes.
CORRECTLY_ROUNDED: Final[dict[str, Callable[..., tuple[Array, int]]]] = {
    "add": partial(binding.round_to_odd, "add"),
    "subtract": partial(binding.round_to_odd, "subtract"),
    "multiply": partial(binding.round_to_odd, "multiply"),
    "divide": partial(binding.round_to_odd, "divide"),
    "sqrt": partial(binding.round_to_odd, "sqrt"),
    "square": lambda a: binding.round_to_odd("multiply", a, a),
    "reciprocal": lambda a: binding.round_to_odd("divide", _ONE, a),
}

# Operands of which NumPy warns as it does of those that the core has found, by the bit that tells of them.
_INFINITY: Final = np.array([np.inf])
_ZERO: Final = np.array([0.0])
# in the order in which NumPy tells of them
_WARNED: Final[dict[int, dict[str, tuple[Array, ...]]]] = {
    binding.DIVIDE_BY_ZERO: {"divide": (_ZERO + 1, _ZERO), "reciprocal": (_ZERO,)},
    binding.INVALID: {
        "add": (_INFINITY, -_INFINITY),
        "subtract": (_INFINITY, _INFINITY),
        "multiply": (_INFINITY, _ZERO),
        "divide": (_ZERO, _ZERO),
        "sqrt": (-_INFINITY,),
    },
}


def function_of(
    ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any], into_format: bool
) -> tuple[Callable[..., Any], bool]:
    """Choose what computes a ufunc: itself, or what gives its exact results rounded to odd.

    The latter where results are rounded once more, into a format, and would be off by double rounding.

    Returns
    -------
    function : callable
        Of the operands and the ufunc's options.
    exact : bool
        Whether it takes operands as they are (`operands.exact_operand`), and not in float64.
    """
    exact = CORRECTLY_ROUNDED.get(ufunc.__name__)
    own = getattr(np, ufunc.__name__, None) is ufunc and not kwargs.keys() - {
        "where",
        "order",
        "subok",
    }
    if not (into_format and exact is not None and own and all(map(is_number, inputs))):
        return ufunc, False
    if ufunc.__name__ in ("add", "subtract"):
        plain = _sums_are_exact(inputs)
    else:
        # of 24 bits and fewer, products are exact in float64, and quotients and roots never close to a tie
        plain = all(_has_24_bits(x) for x in inputs)
    if plain:
        return ufunc, False
    compute = exact

    def function(*operands: Any, **options: Any) -> Any:
        del options  # of the result's memory, which is none that anybody sees
        results, signals = compute(*operands)
        warn(ufunc, signals)
        return results

    return function, True


def warn(ufunc: np.ufunc, signals: int) -> None:
    """Have NumPy warn, or do what it was told to, of what the core has signalled."""
    for signal, warned in _WARNED.items():
        if signals & signal:
            ufunc(*warned[ufunc.__name__])


def is_number(x: Any) -> bool:
    """Whether an operand is real numbers; of others NumPy knows better.  Of bools, it adds no numbers."""
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.kind != "b" and is_source_dtype(x.dtype)
    return isinstance(x, CFloatArray) or (isinstance(x, int | float) and not isinstance(x, bool))


def _has_24_bits(x: Any) -> bool:
    """Whether all values of an operand are float32 or narrower."""
    if isinstance(x, CFloatArray):
        return True
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.itemsize <= (2 if x.dtype.kind in "iu" else 4)
    return bool(abs(x) < 2.0**64 and float(np.float32(x)) == x)


def _sums_are_exact(inputs: tuple[Any, ...]) -> bool:
    """Whether float64 holds every sum of two operands: all their bits are within 52 binades."""
    ranges = []
    for x in inputs:
        if not isinstance(x, CFloatArray) or x._biases.one is None:
            return False
        ranges.append(_exponents(x.format, x._biases.one))
    return max(top for _, top in ranges) - min(bottom for bottom, _ in ranges) <= 52


@lru_cache(maxsize=256)
def _exponents(fmt: Format, bias: int) -> tuple[int, int]:
    """Give the exponents of the unit of all values, and of a power of two above them."""
    return fmt._quantum - bias, math.frexp(float(finfo(fmt, bias).max))[1]
