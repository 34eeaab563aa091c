"""What makes a result that is rounded into a format the rounding of the exact one (docs/spec.md 5.3)."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, cast

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._core.dtypes import is_source_dtype
from cfloat._core.finfo import finfo
from cfloat._core.format import Format

from . import round_to_odd

#: Ufuncs whose rounded results are the exact ones' (docs/spec.md 5.3), by name.
CORRECTLY_ROUNDED: Final[dict[str, Callable[..., Any]]] = {
    "add": round_to_odd.add,
    "subtract": round_to_odd.subtract,
    "multiply": round_to_odd.multiply,
    "divide": round_to_odd.divide,
    "sqrt": round_to_odd.sqrt,
    "square": round_to_odd.square,
    "reciprocal": round_to_odd.reciprocal,
}


def function_of(
    ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any], into_format: bool
) -> Callable[..., Any]:
    """Choose what computes a ufunc: itself, or what gives its results in float64 rounded to odd.

    The latter where results are rounded once more, into a format, and would be off by double rounding.
    """
    exact = CORRECTLY_ROUNDED.get(ufunc.__name__)
    own = getattr(np, ufunc.__name__, None) is ufunc and not kwargs.keys() - {
        "where",
        "order",
        "subok",
    }
    if not (into_format and exact is not None and own and all(map(_is_number, inputs))):
        return cast(Callable[..., Any], ufunc)
    if ufunc.__name__ in ("add", "subtract"):
        plain = _sums_are_exact(inputs)
    else:
        # of 24 bits and fewer, products are exact in float64, and quotients and roots never close to a tie
        plain = all(_has_24_bits(x) for x in inputs)
    if plain:
        return cast(Callable[..., Any], ufunc)
    compute = exact

    def function(*operands: Any, **options: Any) -> Any:
        del options  # of the result's memory, which is none that anybody sees
        return compute(*(np.asarray(x, np.float64) for x in operands))

    return function


def _is_number(x: Any) -> bool:
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
