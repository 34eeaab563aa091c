"""What codes beside scales stand for: CFloatArrays, or values of float32."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import decode
from cfloat._core.flags import no_flags

from . import fp8
from .dtypes import FP8_FORMATS
from .scale_layouts import E2M1, E2M3, Coding, Scaled

Array = NDArray[Any]
Reader = Callable[[str], Array]


def _small_floats(exponent_bits: int, mantissa_bits: int) -> NDArray[np.float32]:
    """Tabulate OCP's floats of a few bits that have neither infinities nor NaN, by code."""
    count = 1 << (exponent_bits + mantissa_bits)
    exponent, mantissa = np.divmod(np.arange(count), 1 << mantissa_bits)
    bias = (1 << (exponent_bits - 1)) - 1
    whole = mantissa + np.where(exponent > 0, 1 << mantissa_bits, 0)
    values = np.ldexp(whole.astype(np.float32), np.maximum(exponent, 1) - bias - mantissa_bits)
    return np.concatenate([values, -values])


_TABLES: Final = {E2M1.name: _small_floats(2, 1), E2M3.name: _small_floats(2, 3)}


def read_scaled(
    scaled: Scaled, read: Reader, dtype_of: Callable[[str], str]
) -> CFloatArray | Array:
    """Read what codes and scales stand for.

    Parameters
    ----------
    scaled : Scaled
        The tensor.
    read : callable
        Reads a tensor by name: values of its dtype, codes of 8-bit floats, and bytes for other small ones.
    dtype_of : callable
        Gives safetensors' name of a tensor's dtype.

    Returns
    -------
    CFloatArray or ndarray of float32
        The first if all scales are powers of two that are in reach of a bias, and no code is infinite or NaN.
        Values are products in float32, each rounded once if it is not exact there; with a scale of scales
        the two are multiplied, or divided, before that.

    Raises
    ------
    ValueError
        If scales are negative where that has no meaning, or zero points are not what they can be.
    """
    stored = read(scaled.codes)
    scale = _scales(scaled, read, dtype_of)
    zero = None if scaled.zero_point is None else _zero_points(scaled, read, scaled.zero_point)
    if zero is not None and not zero.any():
        zero = None
    scale = _spread(scale, scaled)
    fmt = FP8_FORMATS.get(scaled.coding.stored)
    if fmt is not None and zero is None:
        array = fp8.restored(stored, fmt, scale, scaled.blocks)
        if array is not None:
            return array
    values = _values(stored, scaled)
    with np.errstate(all="ignore"):
        if zero is not None:
            _in_blocks(np.subtract, values, _spread(zero, scaled), scaled)
        _in_blocks(np.multiply, values, scale, scaled)
    return values


def _scales(scaled: Scaled, read: Reader, dtype_of: Callable[[str], str]) -> Array:
    """Read the scales, as numbers: float32, or float64 if they are stored so."""
    scale = read(scaled.scale)
    dtype = dtype_of(scaled.scale)
    if dtype in ("F8_E8M0", "U8"):
        powers = np.ldexp(np.float32(1), scale.astype(np.int32) - 127)
        scale = np.where(scale == 255, np.float32(np.nan), powers)
    elif dtype in FP8_FORMATS:
        with no_flags():
            scale = decode(scale, FP8_FORMATS[dtype])
    elif dtype != "F64":
        scale = scale.astype(np.float32)
    if scaled.scale_of_scales is not None:
        factor = read(scaled.scale_of_scales).astype(np.float32).reshape(())
        with np.errstate(all="ignore"):
            scale = scale / factor if scaled.is_divisor else scale * factor
    return scale.reshape(scaled.counts)


def _zero_points(scaled: Scaled, read: Reader, name: str) -> NDArray[np.float32]:
    zero = read(name)
    if scaled.coding.stored == "I32":
        # packed along the rows
        turned = _unpacked_words(np.ascontiguousarray(zero.T), scaled.coding, scaled.shape[0])
        zero = turned.T
    elif zero.dtype == np.uint8:
        with no_flags():
            zero = decode(zero, FP8_FORMATS[scaled.coding.stored])
    return zero.astype(np.float32).reshape(scaled.counts)


def _values(stored: Array, scaled: Scaled) -> NDArray[np.float32]:
    """Decode codes, without their scales."""
    coding = scaled.coding
    if coding.stored in FP8_FORMATS:
        with no_flags():
            return decode(stored, FP8_FORMATS[coding.stored])
    if coding.stored == "I32":
        return _unpacked_words(stored, coding, scaled.shape[-1])
    if not coding.is_packed:
        return stored.astype(np.float32)
    codes = _unpacked_bytes(stored, coding).reshape(scaled.shape)
    values: NDArray[np.float32] = _TABLES[coding.name][codes]
    return values


def _unpacked_bytes(stored: NDArray[np.uint8], coding: Coding) -> NDArray[np.uint8]:
    """Unpack codes of 4 bits, two in a byte, or of 6, four in three bytes; the lowest bits first."""
    if coding.bits == 4:
        return np.stack([stored & 15, stored >> 4], axis=-1)
    parts = stored.reshape(-1, 3).astype(np.uint32)
    word = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
    shifts = np.arange(0, 24, 6, dtype=np.uint32)
    return (word[:, np.newaxis] >> shifts & 63).astype(np.uint8)


def _unpacked_words(stored: Array, coding: Coding, length: int) -> NDArray[np.float32]:
    """Unpack integers from words of 32 bits, the lowest bits first, and take their offset off."""
    shifts = np.arange(0, 32, coding.bits, dtype=np.uint32)
    words = np.ascontiguousarray(stored).view(np.uint32)[..., np.newaxis]
    codes = (words >> shifts & ((1 << coding.bits) - 1)).astype(np.float32)
    codes = codes.reshape(*stored.shape[:-1], -1)[..., :length]
    codes -= 1 << (coding.bits - 1)
    return np.ascontiguousarray(codes)


def _spread(scale: Array, scaled: Scaled) -> Array:
    """Repeat scales along all axes but the last, each for its block."""
    for axis, (block, length) in enumerate(zip(scaled.blocks[:-1], scaled.shape[:-1], strict=True)):
        if block > 1 and scale.shape[axis] > 1:
            repeated = np.repeat(scale, block, axis=axis)
            scale = repeated[(slice(None),) * axis + (slice(length),)]
    return scale


def _in_blocks(function: np.ufunc, values: Array, operand: Array, scaled: Scaled) -> None:
    """Apply a function of two in place: `operand` has one element a block of the last axis."""
    count = operand.shape[-1] if operand.ndim else 1
    if count in (1, values.shape[-1] if values.ndim else 1):
        function(values, operand, out=values, casting="same_kind")
        return
    block = scaled.blocks[-1]
    whole = values.shape[-1] // block
    main = values[..., : whole * block].reshape(*values.shape[:-1], whole, block)
    made = function(main, operand[..., :whole, np.newaxis])
    values[..., : whole * block] = made.reshape(*values.shape[:-1], whole * block)
    if whole < count:
        rest = values[..., whole * block :]
        function(rest, operand[..., whole:], out=rest, casting="same_kind")
