"""What formats cost a tensor, at every granularity: from two passes over its values, piece by piece.

Small tensors of one shape are measured as a stack, in one call for all of them: what that takes beside the
arithmetic is more than the arithmetic of one.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.histogram import (
    ANY_BITS,
    FEW_BITS,
    BinSums,
    BinTable,
    Histogram,
    bits_for,
)
from cfloat._bias.peak import scale_exponent
from cfloat._bias.squared_errors import least_error
from cfloat._core import binding
from cfloat._core.flags import no_flags
from cfloat._core.format import Format

from .schemes import row_peaks
from .tensor_values import ALIGNMENT, MatrixPiece, StackedValues, TensorValues
from .uncertainty import uncertainty_db

Array = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: In place of a length: a group is a column.
COLUMN: Final = 0

#: Lengths of blocks that are tried.
BLOCKS: Final = (128, 32)

#: Of no more elements, trying every bias takes less time than going by bins
FEW_ELEMENTS: Final = 1 << 14

# biases of no more groups are sorted, which takes less time than counting them
_FEW_GROUPS: Final = 64

# magnitudes whose squares, and sums of these, float64 holds
_LEAST, _LARGEST = 2.0**-480, 2.0**480

# and float32's normal numbers, with room for a scale
_LEAST_NORMAL, _LARGEST_NORMAL = 2.0**-126, 2.0**126


@dataclass(frozen=True)
class GroupErrors:
    """The errors of a tensor in a format, with a bias for each of its groups; of each tensor of a stack.

    Attributes
    ----------
    error : list of float
        The sum of squared errors over that of squares; 0 if nothing is lost, infinite if what is lost is.
    lowest, median, highest : list of int
        Of the biases.
    count : int
        How many biases a tensor has.
    uncertainty_db : float
        How far the error may be from that of all elements, where they are a sample.
    """

    error: list[float]
    lowest: list[int]
    median: list[int]
    highest: list[int]
    count: int
    uncertainty_db: float = 0.0


class Scan:
    """The measuring of one tensor, or of a stack of them; arrays have an element for each.

    What is asked of a stack as a whole (`is_negative` and the like) takes tensors that are alike in it, as
    `alike` gives them; errors at every bias, and histograms, are of one tensor.

    Parameters
    ----------
    values : TensorValues
        Its values.

    Attributes
    ----------
    nonfinite : ndarray of int64
        How many elements are infinite or NaN; they are left out of all else.
    zeros : ndarray of int64
        How many are 0.
    peaks : ndarray of float64
        The largest magnitude; 0 if there is none.
    row_peaks : ndarray of float32, shape (depth * rows,)
        That of each row.
    is_constant : ndarray of bool
        Whether all elements are equal.
    scale : int
        The unit of `signal`, and of the errors at every bias, is 4**scale.
    signal : ndarray of float64
        The sum of squares.
    signals : list of float
        That of each chunk of a sample.
    """

    def __init__(self, values: TensorValues) -> None:
        self.values = values
        self.nonfinite = np.zeros(values.depth, np.int64)
        self.zeros = np.zeros(values.depth, np.int64)
        self._low, self._high = np.full((2, values.depth), [[np.inf], [-np.inf]])
        self.row_peaks = np.zeros(values.depth * values.rows, np.float32)
        self.scale = 0
        self._is_double = False
        self._table: BinTable | None = None
        self._histograms: dict[int, Histogram] = {}
        self._errors: dict[Format, Floats] = {}
        self._wholes: dict[Format, tuple[NDArray[np.int16], Floats]] = {}
        self._survey()
        #: Whether some elements are not looked at.
        self.is_sample = values.count < values.size
        self.signals: list[float] = []
        self.signal = self._sum_up()

    @classmethod
    def all_of(
        cls, tensors: Sequence[TensorValues], common: Sequence[Hashable] = ()
    ) -> Iterator[tuple[list[int], "Scan"]]:
        """Look at tensors, those that are small and alike at once; give scans, and the places of each's.

        `common` has what those of one scan are to have in common beside.
        """
        stacks: dict[Hashable, list[int]] = {}
        for place, each in enumerate(tensors):
            key = each.stacks_with() if len(tensors) > 1 else None
            own = place if key is None else (key, common[place] if common else None)
            stacks.setdefault(own, []).append(place)
        for places in stacks.values():
            if len(places) == 1:
                yield places, cls(tensors[places[0]])
                continue
            for some, scan in cls(StackedValues([tensors[i] for i in places])).alike():
                yield [places[i] for i in some], scan

    def alike(self) -> Iterator[tuple[list[int], "Scan"]]:
        """Give scans of the tensors of a stack that are of one character, with their places."""
        characters = np.array(
            [
                self.nonfinite > 0,
                self.nonfinite < self.values.count,
                self._low < 0,
                self.peaks > 0,
                (self.peaks >= _LEAST_NORMAL) & (self.peaks <= _LARGEST_NORMAL),
            ]
        )
        found = np.array([1, 2, 4, 8, 16]) @ characters
        kinds = np.unique(found)
        for kind in kinds:
            places = np.flatnonzero(found == kind).tolist()
            yield places, self if kinds.size == 1 else self._taking(places)

    def _taking(self, places: list[int]) -> "Scan":
        assert isinstance(self.values, StackedValues)
        scan = copy(self)
        scan.values = self.values.taking(places)
        scan.nonfinite, scan.zeros = self.nonfinite[places], self.zeros[places]
        scan._low, scan._high = self._low[places], self._high[places]
        scan.peaks, scan.is_constant = self.peaks[places], self.is_constant[places]
        scan.row_peaks = self.row_peaks.reshape(self.values.depth, -1)[places].reshape(-1)
        scan.signal = self.signal[places]
        scan._wholes = {}
        return scan

    @property
    def has_nonfinite(self) -> bool:
        """Whether any element is infinite or NaN."""
        return bool(self.nonfinite.any())

    @property
    def is_finite(self) -> bool:
        """Whether any element is finite."""
        return bool((self.nonfinite < self.values.count).any())

    @property
    def is_negative(self) -> bool:
        """Whether any element is below 0."""
        return bool((self._low < 0).any())

    @property
    def is_zero(self) -> bool:
        """Whether there is no element but zeros."""
        return not self.peaks.any()

    @property
    def is_in_range(self) -> bool:
        """Whether float64 holds the squares of all elements."""
        return bool(((self.peaks == 0) | (self.peaks > _LEAST) & (self.peaks < _LARGEST)).all())

    @property
    def is_normal(self) -> bool:
        """Whether the largest magnitude, and what it is multiplied by, are normal numbers of float32."""
        return bool(((self.peaks >= _LEAST_NORMAL) & (self.peaks <= _LARGEST_NORMAL)).all())

    def histogram(self, bits: int = ANY_BITS) -> Histogram:
        """Give the histogram by so many bits of mantissa."""
        if not self._histograms:
            sums = self._bin_sums()
            for each in (ANY_BITS, FEW_BITS):
                self._histograms[each] = Histogram.of_sums(
                    sums.coarser(ANY_BITS, each), each, self.scale
                )
        return self._histograms[bits]

    def errors(self, fmt: Format) -> Floats:
        """Sum up the squared errors with one bias, at every bias that a format allows, shape (biases,)."""
        assert self.values.depth == 1
        if fmt not in self._errors:
            self._errors[fmt] = self._errors_at_biases(fmt)
        return self._errors[fmt]

    def error_at(self, fmt: Format, bias: int) -> Floats:
        """Sum up the squared errors with one bias, which is given."""
        if fmt in self._errors or self.values.kept() is None:
            place = bias - fmt.bias_range[0]
            return self.errors(fmt)[place : place + 1]
        return self._least(_of_one_bias(fmt, bias))[1]

    def bias(self, fmt: Format) -> list[int]:
        """Tell the one bias of the least squared error."""
        found: list[int] = self._least(fmt)[0].tolist()
        return found

    def least(self, fmt: Format) -> Floats:
        """Sum up the squared errors with that bias."""
        return self._least(fmt)[1]

    def error(self, fmt: Format) -> list[float]:
        """Tell the sum of squared errors at that bias, over that of squares."""
        return self._share(self.least(fmt))

    def _least(self, fmt: Format) -> tuple[NDArray[np.int16], Floats]:
        if fmt not in self._wholes:
            self._wholes[fmt] = self._found_least(fmt)
        return self._wholes[fmt]

    def _found_least(self, fmt: Format) -> tuple[NDArray[np.int16], Floats]:
        if not self.values.size:
            return np.array([fmt.default_bias], np.int16), np.zeros(1)
        if (flat := self.values.kept()) is not None:
            stack = flat.reshape(self.values.depth, -1)
            biases, errors = _least_errors(stack, fmt, stack.shape[1], self.scale)
            return biases[:, 0], errors[:, 0]
        bias = least_error(self.errors(fmt), fmt)
        # bins are of float32
        error = sum(self._noises(fmt, bias)) if self._is_double else self.errors(fmt).min()
        return np.array([bias], np.int16), np.array([error], np.float64)

    def _noises(self, fmt: Format, bias: int) -> list[float]:
        """Sum up the squared errors of each chunk of a sample, or each piece, with one bias."""
        one = _of_one_bias(fmt, bias)
        found: list[float] = []
        for piece in self.values:
            if len(piece.chunks) > 1:
                values = self._finite(piece.values)
                _, errors = _least_errors(values, one, self.values.length, self.scale)
                found += piece.by_chunk(errors[:, 0])
            else:
                found += _errors_at_biases(piece.values.reshape(-1), one, self.scale).tolist()
        return found

    def _finite(self, values: Array) -> Array:
        """Put 0 for what is not finite."""
        return np.where(np.isfinite(values), values, 0) if self.has_nonfinite else values

    def whole(self, fmt: Format) -> GroupErrors:
        """Give the errors with one bias for all of the tensor."""
        biases = self.bias(fmt)
        uncertainty = self.uncertainty_db(self._noises(fmt, biases[0])) if self.is_sample else 0.0
        return GroupErrors(self.error(fmt), biases, biases, biases, 1, uncertainty)

    def uncertainty_db(self, noises: Sequence[float] | Floats) -> float:
        """Tell how far an error may be from that of all elements, from the errors of the sample's chunks."""
        return uncertainty_db(noises, self.signals, self.values.count / self.values.size)

    def granularities(self, fmt: Format) -> list[tuple[str, int]]:
        """List the granularities that have more biases than those before, by name and length of a group.

        The first is "tensor"; "channel" is a slice of the first axis, "block N" so many elements of a row.
        """
        rows, length = self.values.rows, self.values.length
        found = [("tensor", self.values.size)]
        if fmt.bias_range[0] == fmt.bias_range[1] or not self.values.size:
            return found
        channels = self.values.shape[0] if len(self.values.shape) > 1 else 1
        if channels > 1:
            found.append(("channel", COLUMN if self.values.is_turned else length))
        counts = {1, channels}
        for block in BLOCKS:
            count = rows * -(-length // block)
            if count not in counts:
                counts.add(count)
                found.append((f"block {block}", block))
        return found

    def measure_groups(
        self,
        wanted: Sequence[tuple[Format, int]],
        also: Callable[[MatrixPiece], None] | None = None,
        advance: Callable[[int], None] | None = None,
    ) -> list[GroupErrors]:
        """Measure the errors with biases of groups, in one pass over the values.

        Parameters
        ----------
        wanted : sequence of (Format, int)
            Formats, and how many consecutive elements of a row share a bias, or `COLUMN`.
        also : callable, optional
            Called with each piece, with 0 for what is not finite.
        advance : callable, optional
            Called with the number of elements of each piece when it is done.
        """
        tallies = [_Tally(fmt, self.values.depth) for fmt, _ in wanted]
        rows = [
            _SplitRows(fmt, self.scale)
            if self.values.is_split and length == self.values.length
            else None
            for fmt, length in wanted
        ]
        # of columns there is but one piece, or each is by itself
        has_columns = any(length == COLUMN for _, length in wanted)
        with no_flags(), np.errstate(all="ignore"):
            for given in self.values:
                values = self._finite(given.values)
                piece = given if values is given.values else given._replace(values=values)
                columns = np.ascontiguousarray(values.T) if has_columns else values
                for (fmt, length), tally, split in zip(wanted, tallies, rows, strict=True):
                    if split is not None:
                        split.add(piece.row, values)
                    elif length == COLUMN:
                        tally.add(*_least_errors(columns, fmt, self.values.rows, self.scale))
                    else:
                        tally.add(*_least_errors(values, fmt, length, self.scale), piece)
                if also is not None:
                    also(piece)
                if advance is not None:
                    advance(values.size)
        for tally, split in zip(tallies, rows, strict=True):
            if split is not None:
                tally.add(*split.least())
        if not self.is_sample:
            return [tally.result(self._share, 0.0) for tally in tallies]
        noises = [
            tally.noises[0] if split is None else split.noises(self.values)
            for tally, split in zip(tallies, rows, strict=True)
        ]
        return [
            tally.result(self._share, self.uncertainty_db(each))
            for tally, each in zip(tallies, noises, strict=True)
        ]

    def measure_tiles(self, fmt: Format, rows: int, columns: int) -> GroupErrors:
        """Measure the errors with a bias for each block of rows and columns of a matrix.

        `rows` divides `ALIGNMENT`, and `columns` too: no piece ends within a block, but the last.
        """
        assert not self.values.is_turned
        assert ALIGNMENT % rows == 0 == ALIGNMENT % columns
        tally = _Tally(fmt, 1)
        with no_flags(), np.errstate(all="ignore"):
            for piece in self.values:
                tiles = _as_tiles(piece.values, rows, columns)
                tally.add(*_least_errors(tiles, fmt, tiles.shape[1], self.scale))
        return tally.result(self._share, 0.0)

    def _share(self, noise: Sequence[float] | Floats) -> list[float]:
        """Give sums of squared errors, in units of 4**scale, as shares of those of squares."""
        noises = np.asarray(noise)
        shares = np.full(noises.shape, np.inf)
        np.divide(noises, self.signal, out=shares, where=self.signal > 0)
        shares[noises == 0] = 0
        found: list[float] = shares.tolist()
        return found

    def _survey(self) -> None:
        """Look at all values; those of several pieces are summed up by bins at once."""
        is_kept = self.values.kept() is not None
        for row, _, values, _ in self.values:
            self._is_double = values.dtype == np.float64
            self._add_limits(row, values)
            if not (is_kept or self._is_double):
                self._table = self._table or BinTable(ANY_BITS, 0)
                self._table.add(values.reshape(-1))
        self.is_constant = self._low >= self._high
        self.peaks = np.maximum(np.maximum(-self._low, self._high), 0.0) + 0.0  # not -0
        if self._is_double:  # a scale takes the largest of them
            self.scale = scale_exponent(float(self.peaks[0]))

    def _bin_sums(self) -> BinSums:
        flat = self.values.kept() if self.values.size else np.zeros(0, np.float32)
        if flat is not None:
            return BinSums.of(flat, ANY_BITS, self.scale)
        table = self._table
        if table is None:
            table = BinTable(ANY_BITS, self.scale)
            for _, _, values, _ in self.values:
                table.add(values.reshape(-1))
        return BinSums(*table.bins(), self.values.count)

    def _sum_up(self) -> Floats:
        """Sum up the squares, in units of 4**scale."""
        if self._table is not None and not self.is_sample:
            return np.array([self.histogram().signal])
        for piece in self.values:
            values = self._finite(piece.values)
            if self.scale:
                values = np.ldexp(values, -self.scale)
            if len(piece.chunks) > 1:
                rows = np.einsum("ij,ij->i", values, values, dtype=np.float64)
                self.signals += piece.by_chunk(rows)
            else:
                for flat in values.reshape(self.values.depth, -1):
                    self.signals.append(float(np.einsum("i,i->", flat, flat, dtype=np.float64)))
        return np.array(self.signals if self.values.depth > 1 else [float(sum(self.signals))])

    def _add_limits(self, row: int, values: Array) -> None:
        stack = values.reshape(self.values.depth, -1)
        self.zeros += [each.size - int(np.count_nonzero(each)) for each in stack]
        low, high = (each.astype(np.float64) for each in (stack.min(axis=1), stack.max(axis=1)))
        for i in np.flatnonzero(~(np.isfinite(low) & np.isfinite(high))):
            finite = np.isfinite(stack[i])
            self.nonfinite[i] += finite.size - int(np.count_nonzero(finite))
            low[i] = stack[i].min(initial=math.inf, where=finite)
            high[i] = stack[i].max(initial=-math.inf, where=finite)
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        rows = self.row_peaks[row : row + len(values)]
        with np.errstate(all="ignore"):  # of what is beyond float32
            np.maximum(rows, row_peaks(values), out=rows)

    def _errors_at_biases(self, fmt: Format) -> Floats:
        if self.values.count > FEW_ELEMENTS and Histogram.takes(fmt):
            return self.histogram(bits_for(fmt)).errors(fmt)
        total = np.zeros(fmt.bias_range[1] - fmt.bias_range[0] + 1)
        for _, _, values, _ in self.values:
            total += _errors_at_biases(values.reshape(-1), fmt, self.scale)
        total[np.isnan(total)] = np.inf
        return total


def _errors_at_biases(flat: Array, fmt: Format, scale: int) -> Floats:
    low, high = fmt.bias_range
    return binding.errors_at_biases(fmt._struct, high - low + 1, flat, scale)


@lru_cache(maxsize=256)
def _of_one_bias(fmt: Format, bias: int) -> Format:
    return fmt.replace(bias=(bias, bias), default_bias=bias)


def _least_errors(
    values: Array, fmt: Format, length: int, scale: int
) -> tuple[NDArray[np.int16], Floats]:
    return binding.least_errors(fmt._struct, fmt.default_bias, values, length, scale)


def _as_tiles(matrix: Array, rows: int, columns: int) -> Array:
    """Give the blocks of a matrix as rows; those that are short are filled with zeros, which lose nothing."""
    high, wide = matrix.shape
    rows, columns = min(rows, high), min(columns, wide)
    down, across = -(-high // rows), -(-wide // columns)
    if (down * rows, across * columns) != matrix.shape:
        padded = np.zeros((down * rows, across * columns), matrix.dtype)
        padded[:high, :wide] = matrix
        matrix = padded
    cut = matrix.reshape(down, rows, across, columns).swapaxes(1, 2)
    return np.ascontiguousarray(cut).reshape(down * across, rows * columns)


class _Tally:
    """The errors of groups, added up, and how often each bias occurs; of each tensor of a stack."""

    def __init__(self, fmt: Format, depth: int) -> None:
        self._format, self._depth = fmt, depth
        self._few: list[Array] = []
        self._counts: NDArray[np.int64] | None = None
        self.noises: list[list[float]] = [[] for _ in range(depth)]

    def add(self, biases: Array, errors: Floats, piece: MatrixPiece | None = None) -> None:
        """Add groups: the bias of each, and its sum of squared errors; perhaps of a sample's chunks."""
        if biases.size <= _FEW_GROUPS or self._depth > 1:
            self._few.append(biases.reshape(self._depth, -1))
        else:
            low, high = self._format.bias_range
            flat = biases.reshape(-1).astype(np.intp) - low
            counts = np.bincount(flat, minlength=high - low + 1)
            self._counts = counts if self._counts is None else self._counts + counts
        if piece is not None and len(piece.chunks) > 1:
            self.noises[0] += piece.by_chunk(errors.sum(axis=1))
        else:
            sums = errors.reshape(self._depth, -1).sum(axis=1).tolist()
            for noises, each in zip(self.noises, sums, strict=True):
                noises.append(each)

    def result(
        self, share: Callable[[list[float]], list[float]], uncertainty: float
    ) -> GroupErrors:
        """Give what all groups have in common."""
        low, high = self._format.bias_range
        few = np.concatenate(self._few, axis=1) if self._few else np.zeros((1, 0), np.int16)
        # of two in the middle the lower, if they differ
        if self._counts is None:
            count = few.shape[1]
            found = np.sort(few, axis=1)[:, [0, (count - 1) // 2, -1]]
        else:
            more = np.bincount(few[0].astype(np.intp) - low, minlength=high - low + 1)
            below = np.cumsum(self._counts + more)
            count = int(below[-1])
            found = np.searchsorted(below, [[1, (count + 1) // 2, count]]) + low
        errors = share(list(map(math.fsum, self.noises)))
        lowest, median, highest = found.T.tolist()
        return GroupErrors(errors, lowest, median, highest, count, uncertainty)


class _SplitRows:
    """The errors of rows that come in parts, at every bias."""

    def __init__(self, fmt: Format, scale: int) -> None:
        self._format, self._scale = fmt, scale
        self._errors: dict[int, Floats] = {}

    def add(self, first: int, values: Array) -> None:
        """Add a part of each of some rows."""
        for row, part in enumerate(values, first):
            errors = _errors_at_biases(part, self._format, self._scale)
            self._errors[row] = self._errors[row] + errors if row in self._errors else errors

    def least(self) -> tuple[NDArray[np.int16], Floats]:
        """Give the bias of the least error of each row, and that error."""
        biases = [least_error(errors, self._format) for errors in self._errors.values()]
        return np.array(biases, np.int16), np.array([each.min() for each in self._errors.values()])

    def noises(self, pieces: TensorValues) -> list[float]:
        """Give the errors of each piece with its rows' biases."""
        place = {row: int(np.argmin(errors)) for row, errors in self._errors.items()}
        return [
            sum(
                float(_errors_at_biases(part, self._format, self._scale)[place[row]])
                for row, part in enumerate(piece.values, piece.row)
            )
            for piece in pieces
        ]
