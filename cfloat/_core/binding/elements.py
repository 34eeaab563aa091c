"""What functions of the core take: types, formats and addresses of arrays; and what its statuses mean."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._core._cfloat import ffi, lib
from cfloat.errors import CFloatError

Array = NDArray[Any]

# Element types by the type number of NumPy's dtype, which does not depend on byte order.
_PREFIXES: Final = {"f": "CF_FLOAT", "i": "CF_INT", "u": "CF_UINT", "b": "CF_UINT"}
_TYPES: Final[dict[int, int]] = {
    dtype.num: getattr(lib, f"{_PREFIXES[dtype.kind]}{8 * dtype.itemsize}")
    for dtype in map(np.dtype, "?bBhHiIlLqQefdg")
    if dtype.itemsize <= 8  # a long double that is a double, on some systems, is one here
}
#: The types of dtypes of native byte order whose memory NumPy lends as it is: those of the short ways.
NATIVE_TYPES: Final = {
    dtype: _TYPES[dtype.num] for dtype in map(np.dtype, "?bBhHiIlLqQefdg") if dtype.num in _TYPES
}
#: Types that values can be written as, and those that matrix products take as they are.
VALUE_TYPES: Final = (lib.CF_FLOAT64, lib.CF_FLOAT32, lib.CF_FLOAT16, lib.CF_BFLOAT16)
OPERAND_TYPES: Final = (lib.CF_FLOAT32, lib.CF_BFLOAT16)
BFLOAT16: Final[int] = lib.CF_BFLOAT16

_NONFINITE: Final = {
    "none": lib.CF_NONFINITE_NONE,
    "ieee": lib.CF_NONFINITE_IEEE,
    "nan_only": lib.CF_NONFINITE_NAN_ONLY,
    "fnuz": lib.CF_NONFINITE_FNUZ,
    "p3109": lib.CF_NONFINITE_P3109,
}
_SUBNORMALS: Final = {
    "whitepaper": lib.CF_SUBNORMALS_WHITEPAPER,
    "ieee": lib.CF_SUBNORMALS_IEEE,
    "flush": lib.CF_SUBNORMALS_FLUSH,
    "normal": lib.CF_SUBNORMALS_NORMAL,
}

#: The type of codes, of the format that an operation is about, and what is no type.
CODES: Final[int] = lib.CF_CODES
NO_TYPE: Final = -1

# Attributes of the extension are slower to get than globals, and calls for a few elements are frequent.
cast: Final = ffi.cast
VOID: Final = ffi.typeof("void *")
NULL: Final = ffi.NULL
from_buffer: Final = ffi.from_buffer

# What values can be viewed as, by their size: ml_dtypes' dtypes do not export a buffer.
BITS: Final = {2: np.uint16, 4: np.uint32}

_STATUS: Final = {
    lib.CF_BAD_FORMAT: "format",
    lib.CF_BAD_BIAS: "bias",
    lib.CF_BAD_ROUNDING: "rounding mode",
    lib.CF_BAD_TYPE: "element type",
    lib.CF_BAD_LAYOUT: "layout",
    lib.CF_BAD_ISA: "ISA",
    lib.CF_OTHER_MODES: "floating-point modes",
    lib.CF_OVERLAP: "overlapping arrays",
}


def check_status(status: int) -> None:
    """Raise what a status of the core means."""
    if status == lib.CF_NO_MEMORY:
        raise MemoryError("there is no memory for what the core works with")
    # the callers' checks come first; what else gets here is an error of this package
    if status:
        raise CFloatError(f"the C core refused the {_STATUS.get(status, status)}")


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Tell bfloat16 by its name: ml_dtypes', which need not be installed, or this package's own."""
    return dtype.itemsize == 2 and dtype.type.__name__ == "bfloat16"


def element_type(dtype: np.dtype[Any]) -> int | None:
    """Tell the core's number of a dtype, in either byte order; None if it does not take it."""
    found = _TYPES.get(dtype.num)
    return lib.CF_BFLOAT16 if found is None and is_bfloat16(dtype) else found


def format_struct(
    exponent_bits: int,
    mantissa_bits: int,
    signed: bool,
    nonfinite: str,
    subnormals: str,
    saturating: bool,
    bias_min: int,
    bias_max: int,
) -> Any:
    """Make the core's description of a format, which every function below takes as its `fmt`."""
    return ffi.new(
        "const cf_format *",
        {
            "exponent_bits": exponent_bits,
            "mantissa_bits": mantissa_bits,
            "is_signed": signed,
            "nonfinite": _NONFINITE[nonfinite],
            "subnormals": _SUBNORMALS[subnormals],
            "saturating": saturating,
            "bias_min": bias_min,
            "bias_max": bias_max,
        },
    )


def pointer_to(array: Array) -> Any:
    """Take the address of a contiguous array's memory; the array must outlive it."""
    if array.dtype.kind == "V":  # ml_dtypes' dtypes do not export a buffer
        array = array.view(np.uint16)
    return ffi.from_buffer(array)


def address_of(array: Array) -> Any:
    """Take the address of the first element of an array of any layout; the array must outlive it."""
    if array.flags.c_contiguous and array.dtype.kind != "V":  # the short way
        return ffi.cast("void *", ffi.from_buffer(array))
    return ffi.cast("void *", array.__array_interface__["data"][0])


def memory_of(array: Array) -> Any:
    """Do what `address_of` does of an array whose dtype exports a buffer, in less time, for a ``void *``."""
    layout = array.flags
    if layout.c_contiguous:
        return from_buffer(array)
    return from_buffer(array.T) if layout.f_contiguous else address_of(array)


def separate(source: Array, destination: Array) -> Array:
    """Copy the source where writing the destination would change elements yet to be read."""
    if not np.may_share_memory(source, destination):
        return source
    in_place = (
        source.shape == destination.shape
        and source.flags.c_contiguous
        and destination.flags.c_contiguous
        and source.dtype.isnative
        and source.itemsize >= destination.itemsize
        and source.__array_interface__["data"][0] == destination.__array_interface__["data"][0]
    )
    return source if in_place else source.copy()
