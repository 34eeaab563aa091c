"""The values of one tensor as a matrix, a piece at a time: rows along which sums of products run.

A weight of three axes or more is the matrix of its slices along the first; one whose products sum over the
first axis is turned.  A piece has whole rows, or a part of one that is longer than pieces are.
"""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.reduction import as_matrix, reduction_axes
from cfloat._core.dtypes import fits_float32, is_source_dtype

Array = NDArray[Any]

#: Elements of a piece, about: a multiple of the lengths of blocks, and enough for threads to be worth it.
PIECE_SIZE: Final = 1 << 21

#: Rows of a piece, where it has several, are a multiple of this, and so are elements of a part of a row.
ALIGNMENT: Final = 128


class MatrixPiece(NamedTuple):
    """A part of a tensor's matrix."""

    row: int
    column: int
    #: float32, or float64 where the tensor is; of C order and native bytes.
    values: NDArray[Any]


class TensorValues:
    """The values of a tensor, as often as they are asked for.

    Parameters
    ----------
    shape : tuple of int
        The tensor's shape.
    read : callable
        ``read(start, stop)`` gives elements in row-major order, of a dtype that can be encoded.
    axes : tuple of int, optional
        The axes that products sum over; by default those of `reduction_axes`.

    Attributes
    ----------
    shape : tuple of int
        The tensor's shape.
    rows, length : int
        The shape of its matrix.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        read: Callable[[int, int], Array],
        axes: tuple[int, ...] | None = None,
    ) -> None:
        self.shape = shape
        self._read = read
        self.axes = reduction_axes(len(shape)) if axes is None else axes
        # rows that follow each other in memory
        self._in_order = self.axes == tuple(range(len(shape)))[len(shape) - len(self.axes) :]
        self.length = prod(shape[axis] for axis in self.axes)
        self.rows = prod(shape) // self.length if self.length else 0
        self._kept: MatrixPiece | None = None

    @classmethod
    def of(cls, array: Array, axes: tuple[int, ...] | None = None) -> "TensorValues":
        """Give those of an array."""
        flat = array.reshape(-1)
        return cls(array.shape, lambda start, stop: flat[start:stop], axes)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def block_axes(self) -> tuple[int, ...] | None:
        """What blocks are said to run along; None for the last axis alone."""
        last = len(self.shape) - 1
        if not self.axes or (self.axes[-1] == last and self.length == self.shape[last]):
            return None
        return self.axes

    @property
    def is_turned(self) -> bool:
        """Whether rows of the matrix are slices of another axis than the first."""
        return not self._in_order

    def whole(self) -> Array:
        """Give all of it, in its shape and dtype."""
        return self._read(0, self.size).reshape(self.shape)

    @property
    def is_split(self) -> bool:
        """Whether rows are so long that a piece has a part of them."""
        return not self.is_whole and self.length * min(self.rows, ALIGNMENT) > 4 * PIECE_SIZE

    @property
    def is_whole(self) -> bool:
        """Whether all of it is one piece, which is kept in memory."""
        return self.size <= PIECE_SIZE or not self._in_order

    def __iter__(self) -> Iterator[MatrixPiece]:
        """Give the pieces, in order."""
        if self.size == 0:
            return
        if self.is_whole:
            if self._kept is None:
                self._kept = MatrixPiece(0, 0, _widened(as_matrix(self.whole(), self.axes)))
            yield self._kept
        elif self.is_split:
            yield from self._parts_of_rows()
        else:
            step = max(1, PIECE_SIZE // self.length // ALIGNMENT) * ALIGNMENT
            for row in range(0, self.rows, step):
                stop = min(row + step, self.rows)
                values = self._read(row * self.length, stop * self.length)
                yield MatrixPiece(row, 0, _widened(values.reshape(stop - row, self.length)))

    def _parts_of_rows(self) -> Iterator[MatrixPiece]:
        rows = min(self.rows, ALIGNMENT)
        step = max(1, PIECE_SIZE // rows // ALIGNMENT) * ALIGNMENT
        for first in range(0, self.rows, rows):
            band = range(first, min(first + rows, self.rows))
            for column in range(0, self.length, step):
                stop = min(column + step, self.length)
                parts = [
                    self._read(row * self.length + column, row * self.length + stop) for row in band
                ]
                yield MatrixPiece(first, column, _widened(np.stack(parts)))


def _widened(matrix: Array) -> Array:
    """Give values that are the same, as float32 or float64: of C order, native bytes and aligned."""
    assert is_source_dtype(matrix.dtype)
    wide = np.float32 if fits_float32(matrix.dtype) else np.float64
    return np.require(matrix, wide, ("C", "A"))
