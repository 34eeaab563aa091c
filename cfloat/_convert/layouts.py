"""Encoding and decoding arrays whose biases are laid out as `cfloat._bias.layout` has them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.layout import Biases
from cfloat._core.format import Format
from cfloat._core.rounding import Positions

from . import elementwise

Array = NDArray[Any]


def encode_layout(
    x: Array,
    fmt: Format,
    biases: Biases,
    shape: tuple[int, ...],
    out: Array | None = None,
    **how: Any,
) -> Array:
    """Return the codes of values that broadcast to a shape, with biases of that shape."""
    spread = np.broadcast_to(x, shape)
    if biases.block is None:
        return elementwise.encode(spread, fmt, biases.values, out=out, **how)
    if shape[-1] % biases.block or how.get("random_bits") is not None:
        return elementwise.encode(spread, fmt, biases.full(shape), out=out, **how)
    codes = np.empty(shape, fmt.storage_dtype) if out is None else out
    if isinstance(how.get("offset"), Positions):
        how["offset"] = how["offset"].split(biases.block)
    elementwise.encode(
        _split(spread, biases), fmt, _of_blocks(biases), out=_split(codes, biases), **how
    )
    return codes


def decode_layout(codes: Array, fmt: Format, biases: Biases, dtype: np.dtype[Any]) -> Array:
    """Return the values of codes, with biases of their shape."""
    if biases.block is None:
        return elementwise.decode(codes, fmt, biases.values, dtype=dtype)
    if codes.shape[-1] % biases.block:
        return elementwise.decode(codes, fmt, biases.full(codes.shape), dtype=dtype)
    values = np.empty(codes.shape, dtype)
    elementwise.decode(_split(codes, biases), fmt, _of_blocks(biases), out=_split(values, biases))
    return values


def _split(x: Array, biases: Biases) -> Array:
    """Return an array with its last axis cut into whole blocks: a view, as cutting an axis always is."""
    assert biases.block is not None
    return x.reshape(*x.shape[:-1], x.shape[-1] // biases.block, biases.block)


def _of_blocks(biases: Biases) -> Array:
    return np.asarray(biases.values)[..., np.newaxis]
