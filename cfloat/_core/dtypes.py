"""Which dtypes are taken: for values that are converted, for results, and for operands of products."""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cfloat.errors import ArgumentTypeError, ArgumentValueError, MissingExtraError

from . import binding
from .presets import FORMATS, TESLA_FORMATS
from .text import shown

Array = NDArray[Any]

FLOAT32: Final = np.dtype(np.float32)


class bfloat16(np.void):  # type: ignore[misc]  # noqa: N801 (the core goes by this name)
    """Two bytes that are a bfloat16, in native byte order: what NumPy, with no such dtype, can carry."""


#: bfloat16 without ml_dtypes: such arrays are encoded and searched as others are, and NumPy computes nothing
#: with them, so that their bits are not taken for numbers.
BFLOAT16: Final[np.dtype[Any]] = np.dtype((bfloat16, 2))

#: ml_dtypes' dtypes of a byte, which are read and written: the formats of the same names.
BYTE_FLOATS: Final = frozenset(
    name for name, fmt in FORMATS.items() if fmt.bits <= 8 and fmt not in TESLA_FORMATS
)

_OTHERS: Final = "or another of ml_dtypes' floats"
SOURCE_DTYPES: Final = (
    f"float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2 or an integer type, {_OTHERS}"
)
_VALUE_DTYPES: Final = "float64, float32, float16, bfloat16, float8_e4m3fn or float8_e5m2"

_PLAIN_VALUES: Final = {
    dtype.type: dtype for dtype in map(np.dtype, (np.float64, np.float32, np.float16))
}

# What small calls are given beside arrays, and of which no memory can be missing.
_NO_TENSORS: Final = frozenset((list, tuple, float, int))

# Of torch's tensors, which float32 holds exactly, and which NumPy does not read.
_WIDENED: Final = ("torch.bfloat16", *(f"torch.{name}" for name in BYTE_FLOATS))


def is_source_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of a dtype, in either byte order, can be encoded."""
    return binding.element_type(dtype) is not None or is_byte_float(dtype)


def is_byte_float(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is one of ml_dtypes' floats of a byte, which need not be installed."""
    return dtype.itemsize == 1 and dtype.type.__name__ in BYTE_FLOATS


def is_operand_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether matrix products take values of a dtype, in either byte order, without a conversion."""
    return binding.element_type(dtype) in binding.OPERAND_TYPES


def is_value_dtype(dtype: np.dtype[Any]) -> bool:
    """Whether values can be written as a dtype: a floating one of native byte order."""
    return dtype.isnative and (
        binding.element_type(dtype) in binding.VALUE_TYPES or is_byte_float(dtype)
    )


def fits_float32(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype that can be encoded is a floating one, every value of which is a float32."""
    return (dtype.kind == "f" and dtype.itemsize <= 4) or dtype.kind == "V"


def real_array(name: str, x: ArrayLike) -> Array:
    """Give an argument as an array of a dtype that the core encodes: those of a byte as float32.

    Raises
    ------
    ArgumentTypeError
        If it is not of real numbers: strings, complex numbers and objects are not.
    ArgumentValueError
        If it is a tensor of torch whose memory was given back.
    """
    if type(x) is np.ndarray:
        if x.dtype in binding.NATIVE_TYPES:
            return x
    elif type(x) not in _NO_TENSORS:
        check_memory(name, x)
    try:
        array = np.asarray(x)
    except (TypeError, RuntimeError):  # of a tensor's dtype, or because it needs a gradient
        if type(x).__module__.partition(".")[0] != "torch" or not hasattr(x, "detach"):
            raise
        array = _of_tensor(name, x)
    if binding.element_type(array.dtype) is None:
        if not is_byte_float(array.dtype):
            raise wrong_dtype(name, array)
        return array.astype(np.float32)
    return array


def check_memory(name: str, x: Any) -> None:
    """Raise ArgumentValueError for a tensor of torch that has less memory than its elements take.

    That of FSDP's parameters is given back between uses; torch and NumPy read what is there instead.
    """
    if not hasattr(x, "untyped_storage"):
        return
    try:
        nbytes = x.untyped_storage().nbytes()
    except RuntimeError:  # of tensors that have none: sparse ones, and those of transformations
        return
    if not x.numel():
        return
    steps = zip(x.shape, x.stride(), strict=True)
    stop = x.storage_offset() + sum((length - 1) * step for length, step in steps) + 1
    if stop * x.element_size() > nbytes:
        raise ArgumentValueError(
            f"{name} takes {stop * x.element_size()} bytes of memory, and {nbytes} are left of it; it "
            "takes tensors whose memory has not been given back"
        )


def _of_tensor(name: str, tensor: Any) -> Array:
    """Give the values of one of torch's tensors that NumPy does not read as it is."""
    tensor = tensor.detach()
    dtype = str(tensor.dtype)
    if dtype in _WIDENED:
        tensor = tensor.float()
    elif "float8" in dtype or "float4" in dtype:
        raise ArgumentTypeError(f"{name} has dtype {dtype}; it takes {SOURCE_DTYPES}")
    return np.asarray(tensor)


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
        If it is the name of one of ml_dtypes', which is not installed.
    """
    given = "dtype"
    if dtype is None:
        dtype = default
        if isinstance(out, np.ndarray):
            given, dtype = "out's dtype", out.dtype
    try:
        checked = np.dtype(dtype)
        if binding.NATIVE_TYPES.get(checked) in binding.VALUE_TYPES:
            return checked
    except (TypeError, ValueError, SyntaxError):  # NumPy evaluates some strings
        if not (isinstance(dtype, str) and dtype in ("bfloat16", *BYTE_FLOATS)):
            raise ArgumentTypeError(
                f"dtype is {shown(dtype)}; it takes {_VALUE_DTYPES}, {_OTHERS}"
            ) from None
        checked = _of_ml_dtypes(dtype)
    if not is_value_dtype(checked):
        name = checked if checked.isnative else checked.str
        raise ArgumentTypeError(
            f"{given} is {name}; it takes {_VALUE_DTYPES}, of native byte order, {_OTHERS}"
        )
    return checked


def plain_value_dtype(dtype: object, default: np.dtype[Any], out: object) -> np.dtype[Any] | None:
    """Give what `value_dtype` does of a dtype, of one of NumPy's types of floats, or of None; None of others.

    Nothing is refused.
    """
    if dtype is None:
        return out.dtype if type(out) is np.ndarray else default
    if isinstance(dtype, np.dtype):
        return dtype
    return _PLAIN_VALUES.get(dtype) if isinstance(dtype, type) else None


def _of_ml_dtypes(name: str) -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ImportError:
        raise MissingExtraError(
            f"dtype {name!r} needs ml_dtypes: pip install 'cfloat[ml_dtypes]'"
        ) from None
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return dtype
