"""Encoding and decoding arrays whose biases are one an element, or one a block of the last axis.

`cfloat._bias.bias_layout` says where biases lie; here they are their values, and the length of blocks or
None.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._core.format import Format
from cfloat._core.rounding import NEAREST, Rounding

from .elementwise import decode_checked, encode_checked

Array = NDArray[Any]
Biases = int | NDArray[np.int16]


def encode_layout(
    x: Array,
    fmt: Format,
    biases: Biases,
    block: int | None,
    shape: tuple[int, ...],
    how: Rounding = NEAREST,
    out: Array | None = None,
) -> Array:
    """Convert values to codes.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that can be encoded, which broadcast to `shape`.
    fmt : Format
        The format of the codes.
    biases : int or ndarray of int16
        One that the format allows; or several that broadcast to `shape`, the last axis counting the blocks if
        there are any.
    block : int or None
        The number of consecutive elements along the last axis that share a bias.
    shape : tuple of int
        The shape of the codes.
    how : Rounding
        How to round.
    out : ndarray of fmt.storage_dtype, shape `shape`, optional
        Where to write the codes.

    Returns
    -------
    ndarray of fmt.storage_dtype, shape `shape`
    """
    if block is None:
        return encode_checked(x, fmt, biases, shape, how, out)
    if shape[-1] % block:
        return encode_checked(x, fmt, spread_blocks(biases, block, shape), shape, how, out)
    cut = (*shape[:-1], shape[-1] // block, block)
    if how.words is not None:
        how = how._replace(words=how.words.reshape(cut))
    if how.steps is not None:
        how = how._replace(steps=(*how.steps[:-1], how.steps[-1] * block, how.steps[-1]))
    codes = np.empty(shape, fmt.storage_dtype) if out is None else out
    # views, as cutting an axis always gives
    source, into = np.broadcast_to(x, shape).reshape(cut), codes.reshape(cut)
    encode_checked(source, fmt, _of_blocks(biases), cut, how, into)
    return codes


def decode_layout(
    codes: Array, fmt: Format, biases: Biases, block: int | None, dtype: np.dtype[Any]
) -> Array:
    """Convert codes to values.

    Parameters
    ----------
    codes : ndarray of fmt.storage_dtype
        Codes that the format has.
    fmt : Format
        Their format.
    biases : int or ndarray of int16
        As in `encode_layout`, of the shape of the codes.
    block : int or None
        The number of consecutive elements along the last axis that share a bias.
    dtype : dtype
        That of the values, a floating one of native byte order.

    Returns
    -------
    ndarray of `dtype`, shape codes.shape
    """
    shape = codes.shape
    if block is None:
        return decode_checked(codes, fmt, biases, shape, dtype)
    if shape[-1] % block:
        return decode_checked(codes, fmt, spread_blocks(biases, block, shape), shape, dtype)
    cut = (*shape[:-1], shape[-1] // block, block)
    values = np.empty(shape, dtype)
    decode_checked(codes.reshape(cut), fmt, _of_blocks(biases), cut, dtype, values.reshape(cut))
    return values


def spread_blocks(biases: Biases, block: int, shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Repeat biases, one a block, to one an element along the last axis of codes of a shape."""
    run = min(block, shape[-1])
    return np.repeat(np.asarray(biases, np.int16), run, axis=-1)[..., : shape[-1]]


def _of_blocks(biases: Biases) -> NDArray[np.int16]:
    return np.asarray(biases, np.int16)[..., np.newaxis]
