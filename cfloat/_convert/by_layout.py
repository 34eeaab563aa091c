"""Encoding and decoding arrays whose biases are one an element, or one a block along some of the axes.

`cfloat._bias.bias_layout` says where biases lie; here they are their values, and what blocks there are.
"""

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._core.format import Format
from cfloat._core.rounding import NEAREST, Rounding

from .elementwise import decode_checked, encode_checked, new_like

Array = NDArray[Any]
Biases = int | NDArray[np.int16]
Shape = tuple[int, ...]


class BlockLayout(NamedTuple):
    """Blocks of consecutive elements that share a bias; the last of a row may be shorter.

    Attributes
    ----------
    length : int
        How many elements a block has.
    axes : tuple of int
        What blocks run along: adjacent axes of the codes, ascending, counted from the first, which are taken
        as one in row-major order.
    """

    length: int
    axes: tuple[int, ...]

    def row(self, shape: Shape) -> int:
        """Tell how long the axes are as one."""
        return prod(shape[self.axes[0] : self.axes[-1] + 1])

    def count(self, shape: Shape) -> int:
        """Tell how many blocks cover them."""
        return -(-self.row(shape) // self.length)

    def with_row(self, shape: Shape, *lengths: int) -> Shape:
        """Put other lengths in the place of the axes."""
        return (*shape[: self.axes[0]], *lengths, *shape[self.axes[-1] + 1 :])

    def counted(self, shape: Shape) -> Shape:
        """Give the shape of one bias a block: that of the codes, the axes replaced by the count."""
        return self.with_row(shape, self.count(shape))


def encode_layout(
    x: Array,
    fmt: Format,
    biases: Biases,
    blocks: BlockLayout | None,
    shape: Shape,
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
        One that the format allows; or several that broadcast to `shape`, or if there are blocks to
        ``blocks.counted(shape)``, the axis that counts them being as long as that.
    blocks : BlockLayout or None
        Which elements share a bias.
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
    if blocks is None:
        return encode_checked(x, fmt, biases, shape, how, out)
    cut = _cut(blocks, shape)
    how_cut = None if cut is None else _cut_rounding(how, blocks, shape)
    codes = new_like(x, shape, fmt.storage_dtype) if out is None else out
    into = codes if cut is None else codes.reshape(cut)
    # cutting one axis always gives a view, and several as one need not
    is_view = len(blocks.axes) == 1 or np.may_share_memory(into, codes)
    if cut is None or how_cut is None or not is_view:
        return encode_checked(x, fmt, spread_blocks(biases, blocks, shape), shape, how, codes)
    source = np.broadcast_to(x, shape).reshape(cut)
    encode_checked(source, fmt, _of_blocks(biases, blocks), cut, how_cut, into)
    return codes


def decode_layout(
    codes: Array, fmt: Format, biases: Biases, blocks: BlockLayout | None, dtype: np.dtype[Any]
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
    blocks : BlockLayout or None
        Which elements share a bias.
    dtype : dtype
        That of the values, a floating one of native byte order.

    Returns
    -------
    ndarray of `dtype`, shape codes.shape
    """
    shape = codes.shape
    if blocks is None:
        return decode_checked(codes, fmt, biases, shape, dtype)
    cut = _cut(blocks, shape)
    values = new_like(codes, shape, dtype)
    into = values if cut is None else values.reshape(cut)
    if cut is None or not np.may_share_memory(into, values):
        spread = spread_blocks(biases, blocks, shape)
        return decode_checked(codes, fmt, spread, shape, dtype, values)
    decode_checked(codes.reshape(cut), fmt, _of_blocks(biases, blocks), cut, dtype, into)
    return values


def spread_blocks(biases: Biases, blocks: BlockLayout, shape: Shape) -> NDArray[np.int16]:
    """Repeat biases, one a block, to one an element along the axes of the blocks of codes of a shape."""
    row, first = blocks.row(shape), blocks.axes[0]
    spread = np.repeat(np.asarray(biases, np.int16), min(blocks.length, row), axis=first)
    spread = spread[(slice(None),) * first + (slice(row),)]
    lengths = shape[first : blocks.axes[-1] + 1]
    return spread.reshape((*spread.shape[:first], *lengths, *spread.shape[first + 1 :]))


def _cut(blocks: BlockLayout, shape: Shape) -> Shape | None:
    """Give a shape with the axes cut into blocks; None if the last block is shorter."""
    row, length = blocks.row(shape), blocks.length
    return None if row % length else blocks.with_row(shape, row // length, length)


def _cut_rounding(how: Rounding, blocks: BlockLayout, shape: Shape) -> Rounding | None:
    """Say how to round codes whose axes are cut into whole blocks.

    None if elements of the axes do not follow each other in the random stream.
    """
    row, length = blocks.row(shape), blocks.length
    if how.words is not None:
        how = how._replace(words=how.words.reshape(blocks.with_row(shape, row // length, length)))
    if how.steps is not None:
        first, last = blocks.axes[0], blocks.axes[-1]
        steps = how.steps
        if any(steps[i] != steps[i + 1] * shape[i + 1] for i in range(first, last)):
            return None
        row_steps = (steps[last] * length, steps[last])
        how = how._replace(steps=blocks.with_row(steps, *row_steps))
    return how


def _of_blocks(biases: Biases, blocks: BlockLayout) -> NDArray[np.int16]:
    """Give biases an axis of length 1 behind the one that counts the blocks."""
    values = np.asarray(biases, np.int16)
    behind = blocks.axes[0] + 1
    return values.reshape((*values.shape[:behind], 1, *values.shape[behind:]))
