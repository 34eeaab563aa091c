"""Operands of ufuncs: their values, as NumPy computes on them."""

from typing import Any, Final

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._core import binding, flags
from cfloat._core.dtypes import is_byte_float, is_source_dtype
from cfloat._core.text import shown
from cfloat.errors import ArgumentValueError

# float64 has all integers up to this one
_EXACT_INTEGERS: Final = 2**53


def values_of(x: Any) -> Any:
    """Give a CFloatArray's values as float32, and anything else as it is; no flags are raised."""
    if not isinstance(x, CFloatArray):
        return x
    if not flags.are_counted():
        return x._decode()
    with flags.no_flags():
        return x._decode()


def operand(ufunc: np.ufunc, x: Any, kwargs: dict[str, Any], wide: bool) -> Any:
    """Give an operand as NumPy takes it: in float64, if it is real, where the result will be rounded.

    Integers that float64 has not are rounded to odd: what only selects, or changes signs, is then right.
    Neighbours are those of the operands' own dtype.
    """
    if ufunc in (np.nextafter, np.spacing):
        return values_of(x)
    if isinstance(x, CFloatArray):
        values = values_of(x)
        return values.astype(np.float64) if wide and kwargs.get("dtype") is None else values
    if not wide or kwargs.get("dtype") is not None or ufunc is np.ldexp:
        return x
    if type(x) is int and abs(x) > _EXACT_INTEGERS:
        x = integer(x)
    narrow = (
        isinstance(x, np.ndarray | np.generic)
        and x.dtype.kind != "b"
        and x.dtype != np.float64
        and is_source_dtype(x.dtype)
    )
    if narrow and x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        rounded, _ = binding.round_to_odd("positive", np.asarray(x))
        return rounded if np.ndim(x) else rounded[()]
    return x.astype(np.float64) if narrow else x


def operand_of(ufunc: np.ufunc, x: Any, kwargs: dict[str, Any], wide: bool, exact: bool) -> Any:
    """Give an operand as what computes the ufunc takes it: `exact_operand` or `operand`."""
    return exact_operand(x) if exact else operand(ufunc, x, kwargs, wide)


def exact_operand(x: Any) -> Any:
    """Give a real operand as an array that the core computes on, which loses nothing of it."""
    if isinstance(x, CFloatArray):
        return values_of(x)
    if type(x) is int:
        x = float(x) if -_EXACT_INTEGERS <= x <= _EXACT_INTEGERS else integer(x)
    array = np.asarray(x)
    # sums of float64 and float32 are the core's fastest
    if array.dtype.kind in "iu" and array.itemsize < 8:
        return array.astype(np.float64)
    return array.astype(np.float32) if is_byte_float(array.dtype) else array


def integer(x: int) -> np.int64 | np.uint64 | np.float64:
    """Give an integer of Python's as a number of NumPy's, or refuse one that none of them is."""
    if -(2**63) <= x < 2**63:
        return np.int64(x)
    if 0 <= x < 2**64:
        return np.uint64(x)
    if abs(x) < 2**1023 and int(float(x)) == x:
        return np.float64(x)
    raise ArgumentValueError(
        f"an operand is {shown(x)}; where results are rounded into a format, integers have 64 bits or are "
        "a float64"
    )


def shape_of(x: Any) -> tuple[int, ...]:
    """Tell the shape of an operand; not by numpy.shape, which would come back here."""
    return x.shape if isinstance(x, CFloatArray | np.ndarray) else np.shape(x)


def memory_of(x: Any) -> Any:
    """Give the codes of a CFloatArray, and anything else as it is."""
    return x.codes if isinstance(x, CFloatArray) else x
