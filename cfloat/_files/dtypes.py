"""The dtypes that files have: safetensors' names, those that everybody else uses, and how they are read."""

from typing import Any, Final, NamedTuple

import numpy as np

from cfloat._core.format import Format
from cfloat._core.presets import (
    bfloat16,
    float8_e4m3fn,
    float8_e4m3fnuz,
    float8_e5m2,
    float8_e5m2fnuz,
    float8_e8m0fnu,
)

from .file_errors import NotSupportedError


class StoredDtype(NamedTuple):
    """A dtype of tensors in files.

    Attributes
    ----------
    name : str
        What safetensors calls it.
    common_name : str
        What NumPy, ml_dtypes and PyTorch call it.
    numpy : dtype
        How its bytes are read, little-endian: those of a format that NumPy lacks are codes.
    format : Format or None
        That format.
    """

    name: str
    common_name: str
    numpy: np.dtype[Any]
    format: Format | None = None


def _of_numpy(name: str, common_name: str) -> StoredDtype:
    return StoredDtype(name, common_name, np.dtype(common_name).newbyteorder("<"))


def _of_codes(name: str, fmt: Format) -> StoredDtype:
    return StoredDtype(name, fmt.name, fmt.storage_dtype.newbyteorder("<"), fmt)


#: Every dtype that is read or written here, by safetensors' name.
DTYPES: Final = {
    dtype.name: dtype
    for dtype in (
        _of_numpy("F64", "float64"),
        _of_numpy("F32", "float32"),
        _of_numpy("F16", "float16"),
        _of_codes("BF16", bfloat16),
        _of_codes("F8_E4M3", float8_e4m3fn),
        _of_codes("F8_E5M2", float8_e5m2),
        _of_codes("F8_E4M3FNUZ", float8_e4m3fnuz),
        _of_codes("F8_E5M2FNUZ", float8_e5m2fnuz),
        _of_codes("F8_E8M0", float8_e8m0fnu),
        _of_numpy("I64", "int64"),
        _of_numpy("I32", "int32"),
        _of_numpy("I16", "int16"),
        _of_numpy("I8", "int8"),
        _of_numpy("U64", "uint64"),
        _of_numpy("U32", "uint32"),
        _of_numpy("U16", "uint16"),
        _of_numpy("U8", "uint8"),
        _of_numpy("BOOL", "bool"),
        _of_numpy("C64", "complex64"),
    )
}

#: The same dtypes by the name that NumPy, ml_dtypes and PyTorch have for them.
BY_COMMON_NAME: Final = {dtype.common_name: dtype for dtype in DTYPES.values()}

#: Dtypes that are copied and not read, by PyTorch's name: safetensors' name, and how many elements of the
#: last axis are one of PyTorch's, which is a byte.
COPIED: Final = {"float4_e2m1fn_x2": ("F4", 2)}

#: The dtypes that are values of a model, and are converted: safetensors' names.
FLOATS: Final = ("F64", "F32", "F16", "BF16")

#: safetensors' 8-bit floats, by name, as formats.
FP8_FORMATS: Final = {
    dtype.name: dtype.format
    for dtype in DTYPES.values()
    if dtype.format is not None and dtype.format.bits == 8
}


def stored_dtype(common_name: str) -> StoredDtype:
    """Give the dtype of a common name; NotSupportedError if files have none."""
    try:
        return BY_COMMON_NAME[common_name]
    except KeyError:
        raise NotSupportedError(f"{common_name} is not supported") from None
