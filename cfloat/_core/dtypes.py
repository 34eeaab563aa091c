"""Which dtypes are taken: for values that are converted, for results, and for operands of products."""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cfloat.errors import ArgumentTypeError, MissingExtraError

from . import binding
from .text import shown

Array = NDArray[Any]

FLOAT32: Final = np.dtype(np.float32)
SOURCE_DTYPES: Final = "float64, float32, float16, bfloat16 or an integer type"
VALUE_DTYPES: Final = "float64, float32, float16 or bfloat16"


def is_source_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of a dtype, in either byte order, can be encoded."""
    return binding.element_type(dtype) is not None


def is_operand_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether matrix products take values of a dtype, in either byte order, without a conversion."""
    return binding.element_type(dtype) in binding.OPERAND_TYPES


def is_value_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether values can be written as a dtype: a floating one of native byte order."""
    return dtype.isnative and binding.element_type(dtype) in binding.VALUE_TYPES


def fits_float32(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype that can be encoded is a floating one, every value of which is a float32."""
    return (dtype.kind == "f" and dtype.itemsize <= 4) or dtype.kind == "V"


def real_array(name: str, x: ArrayLike) -> Array:
    """Give an argument as an array of a dtype that can be encoded.

    Raises
    ------
    ArgumentTypeError
        If it is not of real numbers: strings, complex numbers and objects are not.
    """
    array = np.asarray(x)
    if binding.element_type(array.dtype) is None:
        raise wrong_dtype(name, array)
    return array


def wrong_dtype(name: str, array: Array) -> ArgumentTypeError:
    """Make the error that refuses an array which cannot be encoded."""
    hint = " (integers beyond 64 bits?)" if _are_integers(array) else ""
    return ArgumentTypeError(f"{name} has dtype {array.dtype}{hint}; it takes {SOURCE_DTYPES}")


def _are_integers(objects: Any) -> bool:
    # what is given need not be NumPy's, and may be computed only later
    return (
        isinstance(objects, np.ndarray)
        and objects.dtype == object
        and objects.size > 0
        and type(objects.flat[0]) is int
    )


def value_dtype(
    dtype: DTypeLike | None, default: DTypeLike, out: Array | None = None
) -> np.dtype[Any]:
    """Give the dtype that values are to be written as: the one asked for, or `out`'s, or the default.

    Raises
    ------
    ArgumentTypeError
        If values cannot be written as it.
    MissingExtraError
        If it is "bfloat16" and ml_dtypes is not installed.
    """
    given = "dtype"
    if dtype is None:
        dtype = default
        if isinstance(out, np.ndarray):
            given, dtype = "out's dtype", out.dtype
    try:
        checked = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # NumPy evaluates some strings
        if not (isinstance(dtype, str) and dtype == "bfloat16"):
            raise ArgumentTypeError(f"dtype is {shown(dtype)}; it takes {VALUE_DTYPES}") from None
        checked = _bfloat16()
    if not is_value_dtype(checked):
        name = checked if checked.isnative else checked.str
        raise ArgumentTypeError(f"{given} is {name}; it takes {VALUE_DTYPES}, of native byte order")
    return checked


def _bfloat16() -> np.dtype[Any]:
    try:
        from ml_dtypes import bfloat16
    except ImportError:
        raise MissingExtraError(
            "dtype 'bfloat16' needs ml_dtypes: pip install 'cfloat[ml_dtypes]'"
        ) from None
    dtype: np.dtype[Any] = np.dtype(bfloat16)
    return dtype
