"""Elements of an array that have something in common: slices along an axis, blocks along one, or tiles."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Elements of a piece, about.
PIECE_SIZE = 1 << 18


class Groups(ABC):
    """Elements of an array that share a bias, as rows of matrices, a part at a time.

    Attributes
    ----------
    shape : tuple of int
        The shape of the biases.
    count : int
        How many there are.
    """

    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many groups there are."""
        return math.prod(self.shape)

    @abstractmethod
    def __iter__(self) -> Iterator[tuple[slice, Array]]: ...

    def matrices(self) -> Iterator[tuple[slice, Array, int]]:
        """Give matrices whose rows are cut into groups, with the groups' part and the length of one.

        The last group of a row may be shorter; there may be no elements at all.
        """
        for part, values in self:
            yield part, values, max(1, values.shape[1])


class Slices(Groups):
    """The slices along an axis."""

    def __init__(self, x: Array, axis: int) -> None:
        self._slices = np.moveaxis(x, axis, 0)
        self.shape = (x.shape[axis],)

    def __iter__(self) -> Iterator[tuple[slice, Array]]:
        step = max(1, PIECE_SIZE // max(1, math.prod(self._slices.shape[1:])))
        for start in range(0, self.count, step):
            part = slice(start, min(start + step, self.count))
            yield part, self._slices[part].reshape(part.stop - part.start, -1)

    def matrices(self) -> Iterator[tuple[slice, Array, int]]:
        if self._slices.size and _is_ready(self._slices):
            rows = self._slices.reshape(self.count, -1)
            yield slice(0, self.count), rows, rows.shape[1]
        else:
            yield from super().matrices()


class Blocks(Groups):
    """Blocks of the last axis; zeros fill those that are short."""

    def __init__(self, x: Array, block: int) -> None:
        self._length, self._block = x.shape[-1], block
        self._rows = x.reshape(-1, self._length) if x.size else x.reshape(0, max(1, self._length))
        self._blocks = -(-self._length // block)
        self.shape = (*x.shape[:-1], self._blocks)

    def __iter__(self) -> Iterator[tuple[slice, Array]]:
        step = max(1, PIECE_SIZE // max(1, self._length))
        for start in range(0, self._rows.shape[0], step):
            rows = self._rows[start : start + step]
            if self._length % self._block:
                padded = np.zeros((rows.shape[0], self._blocks * self._block), rows.dtype)
                padded[:, : self._length] = rows
                rows = padded
            first = start * self._blocks
            values = rows.reshape(-1, min(self._block, rows.shape[1]))
            yield slice(first, first + values.shape[0]), values

    def matrices(self) -> Iterator[tuple[slice, Array, int]]:
        # a copy is made of a part at a time
        is_ready = _is_ready(self._rows)
        step = max(1, len(self._rows) if is_ready else PIECE_SIZE // max(1, self._length))
        for start in range(0, self._rows.shape[0], step):
            rows = self._rows[start : start + step]
            first = start * self._blocks
            yield slice(first, first + len(rows) * self._blocks), rows, self._block


def _is_ready(rows: Array) -> bool:
    is_searched = rows.dtype in (np.float32, np.float64) and rows.dtype.isnative
    return is_searched and rows.flags.c_contiguous and rows.flags.aligned


class BlocksAlong(Groups):
    """Blocks along an axis that is not the last; zeros fill those that are short."""

    def __init__(self, x: Array, axis: int, block: int) -> None:
        before, self._row, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
        self._block = block
        self.shape = (*before, -(-self._row // block), *after)
        # of three axes: blocks run along the middle one
        self._x = x.reshape(math.prod(before), self._row, math.prod(after))

    def __iter__(self) -> Iterator[tuple[slice, Array]]:
        if not self._x.size:
            return
        outer, _, after = self._x.shape
        blocks = -(-self._row // self._block)
        # whole planes, or else some blocks of one
        planes = max(1, PIECE_SIZE // (blocks * self._block * after))
        step = blocks if planes > 1 else max(1, PIECE_SIZE // (self._block * after))
        for plane in range(0, outer, planes):
            for start in range(0, blocks, step):
                count = min(step, blocks - start)
                stop = (start + count) * self._block
                part = self._x[plane : plane + planes, start * self._block : stop]
                first = (plane * blocks + start) * after
                values = self._rows(part, count)
                yield slice(first, first + len(values)), values

    def _rows(self, part: Array, count: int) -> Array:
        """Give blocks as rows, those of one place along the middle axis after each other."""
        outer, row, after = part.shape
        if row < count * self._block:
            padded = np.zeros((outer, count * self._block, after), part.dtype)
            padded[:, :row] = part
            part = padded
        cut = part.reshape(outer, count, self._block, after).swapaxes(2, 3)
        return cut.reshape(-1, self._block)


def blocks_along(x: Array, axes: tuple[int, ...], block: int) -> Groups:
    """Give the blocks along adjacent axes, ascending, that count as one; none is longer than these."""
    row = math.prod(x.shape[axes[0] : axes[-1] + 1])
    merged = x.reshape((*x.shape[: axes[0]], row, *x.shape[axes[-1] + 1 :]))
    block = min(block, max(row, 1))
    if axes[0] == merged.ndim - 1:
        return Blocks(merged, block)
    return BlocksAlong(merged, axes[0], block)


class Tiles(Groups):
    """Blocks of so many rows and columns of a matrix; zeros fill those that are short."""

    def __init__(self, x: Array, rows: int, columns: int) -> None:
        self._x = x
        self._rows, self._columns = min(rows, max(1, x.shape[0])), min(columns, max(1, x.shape[1]))
        self.shape = (-(-x.shape[0] // self._rows), -(-x.shape[1] // self._columns))

    def __iter__(self) -> Iterator[tuple[slice, Array]]:
        across = self.shape[1]
        width = across * self._columns
        step = max(1, PIECE_SIZE // max(1, self._rows * width))
        for first in range(0, self.shape[0] if across else 0, step):
            band = self._x[first * self._rows : (first + step) * self._rows]
            count = -(-band.shape[0] // self._rows)
            whole = (count * self._rows, width)
            if band.shape != whole:
                padded = np.zeros(whole, band.dtype)
                padded[: band.shape[0], : band.shape[1]] = band
                band = padded
            tiles = band.reshape(count, self._rows, across, self._columns).swapaxes(1, 2)
            part = slice(first * across, (first + count) * across)
            yield part, tiles.reshape(count * across, self._rows * self._columns)
