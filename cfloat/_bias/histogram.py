"""What is to be known of a tensor so that its error in any format, at any bias, follows: one pass over it.

A format of m mantissa bits rounds all values alike that have sign, exponent and the first m + 1 bits of the
mantissa in common: what lies half-way between two of its values, and is as near to either, is the edge of two
such bins.  Count, sum and sum of squares of each bin, integers in units of its last bit, give the
squared error ``sum((x - q)**2)`` of rounding it to any q.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._convert.elementwise import as_float32, encode_checked, round_checked
from cfloat._core import binding
from cfloat._core.dtypes import fits_float32
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.pieces import pieces
from cfloat._core.public_names import public
from cfloat._core.rounding import check_rounding

from .masked import present_values
from .peak import largest_magnitude, scale_exponent

Floats = NDArray[np.float64]

_MANTISSA_BITS: Final = 23

# what lies below float32's normal numbers is counted times so many binades, and so on: a range of bins
_RANGE: Final = 250
_LEAST_NORMAL: Final = 2.0**-126
_LEAST_EXPONENT: Final = -149

#: Mantissa bits that a bin has in common: for any format, and for those of few, whose table stays in cache.
ANY_BITS, FEW_BITS = 11, 7


def bits_for(fmt: Format | None) -> int:
    """Tell the mantissa bits of the bins that a format takes; of those for any format if it is None."""
    return FEW_BITS if fmt is not None and fmt.mantissa_bits < FEW_BITS else ANY_BITS


# of no more elements, sorting takes less time than a table of all bins
_FEW_ELEMENTS: Final = 1 << 14

# bins times biases tried at a time: as many values as fit in a core's cache
_PIECE_SIZE: Final = 1 << 18

# What costs little memory to keep beside a histogram of so many bins.
_FEW_BINS: Final = 1 << 14


@public
@dataclass(frozen=True)
class CodeUse:
    """How a format's codes are used by a tensor.

    Attributes
    ----------
    used : int
        How many different codes occur.
    available : int
        How many the format has.
    entropy : float
        Entropy of the codes, in bits an element.
    """

    used: int
    available: int
    entropy: float


class BinSums:
    """Counts, sums and sums of squares by bin: integers, which add up over the parts of a tensor.

    Attributes
    ----------
    bins : ndarray of int64, shape (n,)
        The upper bits, as float32 has them, of the bins that occur, in order; above these, how many ranges
        below float32's normal numbers they are.
    sums : ndarray of uint64 or object, shape (n, 3)
        The count of each, and the sums of the lower bits and of their squares.
    size : int
        Number of elements.
    """

    def __init__(self, bins: NDArray[np.intp], sums: NDArray[Any], size: int) -> None:
        self.bins, self.sums, self.size = bins, sums, size

    @classmethod
    def of(cls, x: NDArray[Any], bits: int, scale: int) -> Self:
        """Sum up values times ``2**-scale``, by sign, exponent and so many bits of mantissa."""
        flat = x.reshape(-1)
        if flat.size <= _FEW_ELEMENTS:
            return cls._of_few(_bit_patterns(flat, scale), bits)
        table = BinTable(bits, scale)
        table.add(flat)
        return cls(*table.bins(), flat.size)

    @classmethod
    def _of_few(cls, bit_patterns: NDArray[np.int64], bits: int) -> Self:
        lower_bits = _MANTISSA_BITS - bits
        bins, inverse = np.unique(bit_patterns >> lower_bits, return_inverse=True)
        lower = (bit_patterns & ((1 << lower_bits) - 1)).astype(np.float64)
        # sums of few integers, which float64 holds
        columns = [np.bincount(inverse, weights, bins.size) for weights in (None, lower, lower**2)]
        sums = np.stack(columns, axis=1).astype(np.uint64)
        return cls(bins, sums, bit_patterns.size)

    def coarser(self, bits: int, by: int) -> Self:
        """Sum up by fewer bits of mantissa: by `by`, of those `bits` that these sums are by."""
        if by == bits:
            return self
        merged = bits - by
        bins, inverse = np.unique(self.bins >> merged, return_inverse=True)
        dtype = self.sums.dtype if self.size <= 1 << 32 else np.dtype(object)
        count, total, squares = self.sums.astype(dtype).T
        # what a bin's edge is above that of the bin it goes into, in units of the last bit
        above = ((self.bins & ((1 << merged) - 1)) << (_MANTISSA_BITS - bits)).astype(dtype)
        sums = np.zeros((bins.size, 3), dtype)
        np.add.at(sums[:, 0], inverse, count)
        np.add.at(sums[:, 1], inverse, total + above * count)
        np.add.at(sums[:, 2], inverse, squares + 2 * above * total + above * above * count)
        return type(self)(bins, sums, self.size)

    def joined(self, other: Self) -> Self:
        """Sum up the elements of both."""
        size = self.size + other.size
        bins = np.union1d(self.bins, other.bins)
        # 2**32 squares of 16 bits fit into 64 bits, and no more
        sums = np.zeros((bins.size, 3), np.uint64 if size <= 1 << 32 else object)
        for each in (self, other):
            sums[np.searchsorted(bins, each.bins)] += each.sums.astype(sums.dtype)
        return type(self)(bins, sums, size)


class BinTable:
    """A table of all bins, to which the parts of a tensor are added.

    Parameters
    ----------
    bits : int
        Bits of mantissa that a bin has in common.
    scale : int
        Values are summed up times ``2**-scale``.
    """

    def __init__(self, bits: int, scale: int) -> None:
        self._bits, self._scale = bits, scale
        self._table = np.zeros((1 << (9 + bits), 3), np.uint64)
        # by sign, of what has the exponent field 0: zeros alone are counted there
        self._low = self._table.reshape(2, 256, 1 << bits, 3)[:, 0]
        self._below: BinTable | None = None

    def add(self, flat: NDArray[Any]) -> None:
        """Add values, of one axis."""
        if flat.dtype == np.float32 and flat.flags.c_contiguous and flat.dtype.isnative:
            self._add_floats(flat)
            return
        for piece in pieces(flat.shape):
            if fits_float32(flat.dtype):
                self._add_floats(np.ascontiguousarray(as_float32(flat[piece]), np.float32))
            else:
                self._add_doubles(flat[piece].astype(np.float64))

    def _add_floats(self, flat: NDArray[np.float32]) -> None:
        zeros = self._low[:, 0, 0].copy()
        binding.add_to_histogram(flat, _MANTISSA_BITS - self._bits, self._table)
        if not (self._low[:, 1:, 0].any() or self._low[:, 0, 1].any()):
            return
        # subnormal numbers have fewer bits, and are counted anew below
        self._low[...] = 0
        self._low[:, 0, 0] = zeros
        for piece in pieces(flat.shape):
            patterns = flat[piece].view(np.uint32)
            for sign, zero in enumerate((0, 1 << 31)):
                self._low[sign, 0, 0] += np.uint64(np.count_nonzero(patterns == zero))
            subnormal = patterns[_is_subnormal(patterns)]
            if subnormal.size:
                self._add_below(_values_of_subnormal(subnormal))

    def _add_doubles(self, values: Floats) -> None:
        with np.errstate(all="ignore"):
            scaled = np.ldexp(values, -self._scale)
            small = (np.abs(scaled) < _LEAST_NORMAL) & (values != 0)
            if small.any():
                self._add_below(values[small])
                scaled = scaled[~small]
            part = scaled.astype(np.float32)
        binding.add_to_histogram(part, _MANTISSA_BITS - self._bits, self._table)

    def _add_below(self, values: Floats) -> None:
        if self._below is None:
            self._below = BinTable(self._bits, self._scale - _RANGE)
        self._below._add_doubles(values)

    def bins(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Give the bins that occur, and their sums."""
        bins = np.flatnonzero(self._table[:, 0]).astype(np.int64, copy=False)
        sums = self._table[bins]
        if self._below is None:
            return bins, sums
        below, its_sums = self._below.bins()
        below = below + (1 << (9 + self._bits))
        return np.concatenate([bins, below]), np.concatenate([sums, its_sums])


def _is_subnormal(patterns: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which patterns of float32's bits are of subnormal numbers."""
    magnitudes = patterns & 0x7FFFFFFF
    found: NDArray[np.bool_] = (magnitudes > 0) & (magnitudes < 1 << _MANTISSA_BITS)
    return found


def _values_of_subnormal(patterns: NDArray[Any]) -> Floats:
    """Give the values of subnormal float32, whatever the processor makes of these."""
    magnitudes = np.ldexp((patterns & 0x7FFFFFFF).astype(np.float64), _LEAST_EXPONENT)
    return np.where(patterns >> 31 != 0, -magnitudes, magnitudes)


def _bit_patterns(flat: NDArray[Any], scale: int) -> NDArray[np.int64]:
    """Give the bits of values times ``2**-scale`` as float32, and above them their ranges."""
    with np.errstate(all="ignore"):
        if fits_float32(flat.dtype):
            patterns = (
                np.ascontiguousarray(as_float32(flat), np.float32).view(np.uint32).astype(np.int64)
            )
            small = np.flatnonzero(_is_subnormal(patterns))
            values = _values_of_subnormal(patterns[small])
        else:
            values = flat.astype(np.float64)
            scaled = np.ldexp(values, -scale)
            patterns = scaled.astype(np.float32).view(np.uint32).astype(np.int64)
            small = np.flatnonzero((np.abs(scaled) < _LEAST_NORMAL) & (values != 0))
            values = values[small]
        if small.size:
            patterns[small] = _bit_patterns(values, scale - _RANGE) + (1 << 32)
    return patterns


class Histogram:
    """Counts and sums of a tensor's elements, taken as float32, by bin: what errors follow from.

    Attributes
    ----------
    size : int
        Number of elements.
    finite : int
        Number of those that are neither infinite nor NaN; the others are left out of all else.
    scale : int
        Errors and signal are in units of 4**scale: 0, but for values of 64 bits.
    """

    def __init__(
        self, values: Floats, counts: Floats, sums: Floats, squares: Floats, **known: Any
    ) -> None:
        # by bin: the value nearest zero, with its sign; how many elements; the sums of how much further they
        # are from zero, and of the squares of that; and whether any is
        self._values, self._counts, self._sums, self._squares = values, counts, sums, squares
        self._is_spread: NDArray[np.bool_] = known["is_spread"]
        self.size = known["size"]
        self.scale = known["scale"]
        self._bits = known["bits"]
        # in the unit of sums, in which the smallest of a wide range may become 0
        self._edges = np.ldexp(values, -self.scale) if self.scale else values
        self.finite = int(counts.sum())
        self._few_inside: Floats | None = None

    @classmethod
    def of(cls, x: ArrayLike, fmt: Format | None = None) -> Self:
        """Make the histogram of a tensor.

        Parameters
        ----------
        x : array_like
            Values of a dtype that `encode` takes.  Those of 64 bits are rounded to float32's bits, whatever
            their exponents.  What a masked array masks is left out.
        fmt : Format, optional
            The only format that they are wanted for.
        """
        bits = bits_for(fmt)
        flat = present_values("x", x).reshape(-1)
        scale = 0 if fits_float32(flat.dtype) else scale_exponent(largest_magnitude(flat))
        return cls.of_sums(BinSums.of(flat, bits, scale), bits, scale)

    @classmethod
    def of_sums(cls, sums: BinSums, bits: int, scale: int) -> Self:
        """Make the histogram that sums by so many bits, of values times ``2**-scale``, are of."""
        exponents = (sums.bins >> bits) & 255
        finite = exponents < 255
        found, exponents = sums.bins[finite], exponents[finite]
        # of the lowest bit of a bin's edge; an exponent field of 0 is of zeros
        places = exponents - (127 + bits + _RANGE * (found >> (9 + bits)))
        significands = (found & ((1 << bits) - 1)) + np.where(exponents > 0, 1 << bits, 0)
        negative = (found >> (8 + bits)) & 1
        edges = np.copysign(
            np.ldexp(significands.astype(np.float64), places + scale), 0.5 - negative
        )
        units = np.ldexp(1.0, places - (_MANTISSA_BITS - bits))
        count, total, squares = sums.sums[finite].T.astype(np.float64, order="C")
        return cls(
            edges,
            count,
            total * units,
            squares * units * units,
            is_spread=total > 0,
            size=sums.size,
            scale=scale,
            bits=bits,
        )

    @property
    def negative(self) -> bool:
        """Whether there are elements below 0."""
        return bool(np.any((self._edges < 0) | ((self._sums > 0) & np.signbit(self._edges))))

    @property
    def signal(self) -> float:
        """Sum of squares of the elements, scaled as `errors` are."""
        edges = np.abs(self._edges)
        return float(((self._counts * edges + 2 * self._sums) * edges + self._squares).sum())

    def errors(self, fmt: Format) -> Floats:
        """Sum up the squared errors of rounding to nearest, at every bias that a format allows.

        Parameters
        ----------
        fmt : Format
            A format of at most 10 mantissa bits (`takes`).

        Returns
        -------
        ndarray of float64, shape (number of biases,)
            Element i is of bias ``fmt.bias_range[0] + i``; infinite where an element becomes infinite or NaN.
            All share one factor, of the power of two that brings 64-bit values into range.
        """
        whole = self._inside_all()
        with np.errstate(all="ignore"):
            inside = whole.astype(np.float32)
        if self.scale or not np.array_equal(inside, whole):
            errors = self._errors_of_double(fmt)
        else:
            errors = binding.errors_of_bins(
                fmt._struct, inside, self._edges, self._counts, self._sums
            )
            errors += self._squares.sum()
        errors[np.isnan(errors)] = np.inf
        return errors

    def _errors_of_double(self, fmt: Format) -> Floats:
        """Sum up as `errors`, where a bin's values are float32 only times a power of two."""
        low, high = fmt.bias_range
        biases = np.arange(low, high + 1, dtype=np.int16)[:, np.newaxis]
        errors = np.zeros(biases.size)
        step = max(1, _PIECE_SIZE // biases.size)
        for start in range(0, self._edges.size, step):
            part = slice(start, start + step)
            with no_flags(), np.errstate(all="ignore"):
                inside = self._inside(part)
                rounded = round_checked(inside, fmt, biases, (biases.size, inside.size))
                errors += self._squared_errors(np.ldexp(rounded, -self.scale), part)
        return errors

    def stochastic_error(self, fmt: Format, bias: int) -> float:
        """Tell the sum of squared errors, as `errors` has it, to expect of stochastic rounding."""
        inside = np.abs(self._inside_all())
        edges = np.abs(self._edges)
        with no_flags(), np.errstate(all="ignore"):
            down, up = (
                round_checked(inside, fmt, bias, inside.shape, check_rounding(mode, inside.shape))
                for mode in ("toward_zero", "toward_positive")
            )
            low, high = (
                (np.ldexp(down, -self.scale), np.ldexp(up, -self.scale))
                if self.scale
                else (down, up)
            )
            below, above = edges - low, high - edges
            # the product of the distances from both neighbours; beyond the largest value, that from it
            between = np.isfinite(high) & (high > low)
            squares = np.where(
                between,
                self._counts * below * above + self._sums * (above - below) - self._squares,
                self._counts * below**2 + 2 * below * self._sums + self._squares,
            )
        return float(squares.sum())

    @property
    def kurtosis(self) -> float:
        """Excess kurtosis, to the 11 bits of a bin: 0 of a normal distribution; NaN if all are equal."""
        counts = np.maximum(self._counts, 1)
        values = np.copysign(np.abs(self._edges) + self._sums / counts, self._edges)
        total = max(1.0, self._counts.sum())
        deviation = values - (self._counts * values).sum() / total
        squares = deviation * deviation
        variance = (self._counts * squares).sum() / total
        fourth = (self._counts * (squares * squares)).sum() / total
        return float(fourth / variance**2 - 3) if variance > 0 else math.nan

    @staticmethod
    def takes(fmt: Format) -> bool:
        """Whether a format rounds all of a bin alike: where it has no zero, not the lowest, 0 and above."""
        return fmt.mantissa_bits < ANY_BITS and fmt._has_zero

    def code_use(self, fmt: Format, bias: int) -> CodeUse:
        """Tell how a format's codes are used at a bias, rounding to nearest."""
        with no_flags():
            inside = self._inside_all()
            codes = encode_checked(inside, fmt, bias, inside.shape)
        if codes.size << 4 < 1 << fmt.bits:  # a count for every code would be many zeros
            codes = np.unique(codes, return_inverse=True)[1]
        counts = np.bincount(codes, self._counts)
        shares = counts[counts > 0] / max(1.0, counts.sum())
        return CodeUse(
            used=shares.size,
            available=1 << fmt.bits,
            entropy=float(-(shares * np.log2(shares)).sum()) + 0.0,
        )

    def exponents(self) -> dict[int, int]:
        """Count the elements in each binade, by the exponent of its first value."""
        nonzero = self._values != 0
        exponents = np.frexp(self._values[nonzero])[1] - 1
        first = int(exponents.min(initial=0))
        counts = np.bincount(exponents - first, weights=self._counts[nonzero])
        return {first + i: int(count) for i, count in enumerate(counts) if count}

    @property
    def zeros(self) -> int:
        """Number of elements that are 0."""
        return int(self._counts[self._values == 0].sum())

    def _inside(self, part: slice) -> Floats:
        """Give a value of each bin that is not at its edge, where a tie would be."""
        edges = self._values[part]
        halves = np.ldexp(1.0, np.frexp(edges)[1] - (self._bits + 2))
        return edges + np.copysign(np.where(self._is_spread[part], halves, 0.0), edges)

    def _inside_all(self) -> Floats:
        """Give the value of each bin; that of few bins is kept, for each format asks for it."""
        if self._few_inside is not None:
            return self._few_inside
        inside = self._inside(slice(None))
        if inside.size <= _FEW_BINS:
            self._few_inside = inside
        return inside

    def _squared_errors(self, rounded: Floats, part: slice = slice(None)) -> Floats:
        """Sum up the squared errors of rows of rounded values: one row a bias, one column a bin."""
        edges = self._edges[part]
        off = np.abs(edges) - np.copysign(1.0, edges) * rounded
        linear = off @ (2.0 * self._sums[part])
        errors: Floats = (off * off) @ self._counts[part] + linear + self._squares[part].sum()
        return errors
