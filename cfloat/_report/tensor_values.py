"""The values of one tensor as a matrix, a piece at a time: rows along which sums of products run.

A weight of three axes or more is the matrix of its slices along the first; one whose products sum over the
first axis is turned.  A piece has whole rows, or a part of one that is longer than pieces are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property
from math import prod
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.reduction import as_matrix, reduction_axes
from cfloat._core import binding
from cfloat._core.arguments import integer
from cfloat._core.dtypes import fits_float32, is_source_dtype

Array = NDArray[Any]
T = TypeVar("T")

#: Elements of a piece, about: a multiple of the lengths of blocks, and enough for threads to be worth it.
PIECE_SIZE: Final = 1 << 21

#: Rows of a piece, where it has several, are a multiple of this.
ALIGNMENT: Final = binding.TILE_ROWS

#: Elements of a part of a row are a multiple of this, as what goes by blocks and by other schemes takes them.
COLUMN_ALIGNMENT: Final = binding.SCHEME_COLUMNS

#: Tensors of no more elements are measured together, if they are of one shape.
STACKED_SIZE: Final = 1 << 14

#: In how many places a sample is taken at least, and the fewest elements that these make.
CHUNKS: Final = 16
LEAST_SAMPLE: Final = CHUNKS * COLUMN_ALIGNMENT

# of whole rows it is more places, if they are no more than this
_MANY_CHUNKS: Final = 64

# elements of tensors that are read to be stacked; few tensors more than these take no less time, and a
# tensor counts as no fewer
_BATCH_SIZE: Final = 1 << 18
_LEAST_COUNTED: Final = 1 << 8

# where a sample begins is drawn, and is the same each time
_SEED: Final = 16


class MatrixPiece(NamedTuple):
    """A part of a tensor's matrix."""

    row: int
    column: int
    #: float32, or float64 where the tensor is; of C order and native bytes.
    values: NDArray[Any]
    #: Of a sample: at which of these rows its chunks begin.
    chunks: Sequence[int] = (0,)

    def by_chunk(self, sums: NDArray[np.float64]) -> list[float]:
        """Add up what each row has, for each chunk."""
        found: list[float] = np.add.reduceat(sums, self.chunks).tolist()
        return found


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
    depth : int
        How many tensors there are: one, but of a stack.
    """

    depth = 1

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
        #: The number of elements.
        self.size = prod(shape)
        self.rows = self.size // self.length if self.length else 0
        self._kept: MatrixPiece | None = None
        self._is_whole = self.size <= PIECE_SIZE or not self._in_order

    @classmethod
    def of(cls, array: Array, axes: tuple[int, ...] | None = None) -> "TensorValues":
        """Give those of an array."""
        flat = array.reshape(-1)
        return cls(array.shape, lambda start, stop: flat[start:stop], axes)

    @property
    def count(self) -> int:
        """The number of elements that pieces have: all, but of a sample."""
        return self.size

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

    def stacks_with(self) -> tuple[Any, ...] | None:
        """Give what tensors of one stack have in common, of one that can be in a stack; else None."""
        if not (self.is_whole and self._in_order and 0 < self.size <= STACKED_SIZE):
            return None
        # errors of float64 are in units that differ
        kept = self.kept()
        return None if kept is None or kept.dtype == np.float64 else (self.shape, self.axes)

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
        return self._is_whole

    def kept(self) -> Array | None:
        """Give all that pieces have, in their order, shape (count,); None if that is not kept in memory."""
        if not self.is_whole or not self.size:
            return None
        if self._kept is None:
            next(iter(self))
        assert self._kept is not None
        return self._kept.values.reshape(-1)

    def __iter__(self) -> Iterator[MatrixPiece]:
        """Give the pieces, in order."""
        if self.size == 0:
            return
        if self.is_whole:
            if self._kept is None:
                if self._in_order:
                    matrix = self._read(0, self.size).reshape(self.rows, self.length)
                else:
                    matrix = as_matrix(self.whole(), self.axes)
                self._kept = MatrixPiece(0, 0, _widened(matrix))
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
        step = max(1, PIECE_SIZE // rows // COLUMN_ALIGNMENT) * COLUMN_ALIGNMENT
        for first in range(0, self.rows, rows):
            band = range(first, min(first + rows, self.rows))
            for column in range(0, self.length, step):
                stop = min(column + step, self.length)
                parts = [
                    self._read(row * self.length + column, row * self.length + stop) for row in band
                ]
                yield MatrixPiece(first, column, _widened(np.stack(parts)))


class StackedValues(TensorValues):
    """The values of several small tensors of one shape: the rows of one after those of another.

    Parameters
    ----------
    tensors : sequence of TensorValues
        Those that are to be one stack, by `TensorValues.stacks_with`.
    """

    def __init__(self, tensors: Sequence[TensorValues]) -> None:
        first = tensors[0]
        super().__init__(first.shape, first._read, first.axes)
        self.depth = len(tensors)
        flat = [each.kept() for each in tensors]
        values = np.concatenate([each for each in flat if each is not None])
        self._kept = MatrixPiece(0, 0, values.reshape(-1, self.length))

    def taking(self, places: Sequence[int]) -> "StackedValues":
        """Give some of the tensors."""
        found = copy(self)
        assert self._kept is not None
        stack = self._kept.values.reshape(self.depth, -1)
        found.depth = len(places)
        found._kept = self._kept._replace(values=stack[places].reshape(-1, self.length))
        return found


class SampledValues(TensorValues):
    """Some values of a tensor that is too large to look at all: chunks of its matrix, evenly spread.

    A chunk is some consecutive rows; of rows that are long, a part of one, of a multiple of 1024 elements;
    and of a turned matrix, whose rows lie apart in memory, 128 elements of some rows.  Of as many strata as
    there are chunks, each of the same number of places, one is drawn of each; nothing else is read.
    Chunks of whole rows are put together to pieces, whose rows are then counted in the sample.

    Parameters
    ----------
    shape, read, axes
        As in `TensorValues`.
    sample : int
        How many elements, about; fewer than twice as many are read.
    seed : int, optional
        What is drawn.

    Attributes
    ----------
    chunks : list of (slice, slice)
        Rows and columns of the matrix, of each chunk.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        read: Callable[[int, int], Array],
        axes: tuple[int, ...] | None = None,
        *,
        sample: int,
        seed: int = _SEED,
    ) -> None:
        super().__init__(shape, read, axes)
        high, wide = self._chunk_shape(sample)
        columns = -(-self.length // wide)
        places = -(-self.rows // high) * columns
        count = min(places, max(2, sample * places // self.size))
        rng = np.random.default_rng([seed, self.rows, self.length])
        bounds = np.arange(count + 1) * places // count
        drawn = rng.integers(bounds[:-1], bounds[1:]).tolist()
        self.chunks = [
            (
                slice(row * high, min((row + 1) * high, self.rows)),
                slice(column * wide, min((column + 1) * wide, self.length)),
            )
            for row, column in (divmod(place, columns) for place in drawn)
        ]
        self._pieces: list[MatrixPiece] = []
        self._flat: Array | None = None

    def _chunk_shape(self, sample: int) -> tuple[int, int]:
        if self.is_turned:
            wide = min(self.length, ALIGNMENT)
            return min(self.rows, max(1, sample // CHUNKS // wide)), wide
        if self.length * CHUNKS > sample:
            return 1, max(1, sample // (2 * CHUNKS) // COLUMN_ALIGNMENT) * COLUMN_ALIGNMENT
        return max(1, sample // _MANY_CHUNKS // self.length), self.length

    @cached_property
    def count(self) -> int:
        """The number of elements that pieces have."""
        return sum((r.stop - r.start) * (c.stop - c.start) for r, c in self.chunks)

    @property
    def is_whole(self) -> bool:
        """Whether all of it is one piece."""
        return False

    @property
    def is_split(self) -> bool:
        """Whether pieces have parts of rows; of a turned matrix each is by itself."""
        return not self.is_turned and self.chunks[0][1].stop - self.chunks[0][1].start < self.length

    def __iter__(self) -> Iterator[MatrixPiece]:
        """Give the chunks, in order."""
        if self._pieces:
            yield from self._pieces
            return
        if self._keeps:
            self._pieces = list(self._read_pieces())
            yield from self._pieces
        else:
            yield from self._read_pieces()

    @property
    def _keeps(self) -> bool:
        return self.count <= 4 * PIECE_SIZE

    def kept(self) -> Array | None:
        """Give all that pieces have, in their order, shape (count,); None if that is not kept in memory."""
        if not self._keeps:
            return None
        if self._flat is None:
            self._flat = np.concatenate([values.reshape(-1) for _, _, values, _ in self])
        return self._flat

    def _read_pieces(self) -> Iterator[MatrixPiece]:
        if self.is_turned or self.is_split:
            for rows, columns in self.chunks:
                values = _widened(self._chunk(rows, columns))
                yield MatrixPiece(rows.start, columns.start, values)
            return
        high = self.chunks[0][0].stop - self.chunks[0][0].start
        step = max(1, PIECE_SIZE // (high * self.length))
        row = 0
        for first in range(0, len(self.chunks), step):
            found = [self._chunk(*chunk) for chunk in self.chunks[first : first + step]]
            begins = np.cumsum([0, *map(len, found[:-1])])
            values = _widened(np.concatenate(found))
            yield MatrixPiece(row, 0, values, begins.tolist())
            row += len(values)

    def _chunk(self, rows: slice, columns: slice) -> Array:
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        if self.is_turned:
            starts = range(
                columns.start * self.rows + rows.start, columns.stop * self.rows, self.rows
            )
            return np.stack([self._read(start, start + high) for start in starts]).T
        start = rows.start * self.length + columns.start
        return self._read(start, start + (high - 1) * self.length + wide).reshape(high, wide)


def batches(tensors: Iterable[tuple[T, int]]) -> Iterator[list[T]]:
    """Put tensors, which come with their numbers of elements, together: those that may be one stack.

    Others are alone, and not after the small ones that came before.
    """
    waiting: list[T] = []
    elements = 0
    for each, size in tensors:
        if size > STACKED_SIZE:
            yield [each]
            continue
        waiting.append(each)
        elements += max(size, _LEAST_COUNTED)
        if elements >= _BATCH_SIZE:
            yield waiting
            waiting, elements = [], 0
    if waiting:
        yield waiting


def sample_size(sample: Any) -> int | None:
    """Check how many elements a tensor are asked for; None for all."""
    return None if sample is None else integer("sample", sample, LEAST_SAMPLE)


def _widened(matrix: Array) -> Array:
    """Give values that are the same, as float32 or float64: of C order, native bytes and aligned."""
    if matrix.dtype == np.float32 and matrix.dtype.isnative and matrix.flags.carray:
        return matrix  # of most tensors, of which there are many
    assert is_source_dtype(matrix.dtype)
    wide = np.float32 if fits_float32(matrix.dtype) else np.float64
    return np.require(matrix, wide, ("C", "A"))
