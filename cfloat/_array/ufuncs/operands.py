"""Operands of ufuncs: their values, as NumPy computes on them."""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._core import flags
from cfloat._core.dtypes import is_source_dtype


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

    But neighbours are those of the operands' own dtype.
    """
    if ufunc in (np.nextafter, np.spacing):
        return values_of(x)
    if isinstance(x, CFloatArray):
        values = values_of(x)
        return values.astype(np.float64) if wide and kwargs.get("dtype") is None else values
    if not wide or kwargs.get("dtype") is not None or ufunc is np.ldexp:
        return x
    narrow = (
        isinstance(x, np.ndarray | np.generic)
        and x.dtype.kind != "b"
        and x.dtype != np.float64
        and is_source_dtype(x.dtype)
    )
    return x.astype(np.float64) if narrow else x


def shape_of(x: Any) -> tuple[int, ...]:
    """Tell the shape of an operand; not by numpy.shape, which would come back here."""
    return x.shape if isinstance(x, CFloatArray | np.ndarray) else np.shape(x)


def memory_of(x: Any) -> Any:
    """Give the codes of a CFloatArray, and anything else as it is."""
    return x.codes if isinstance(x, CFloatArray) else x
