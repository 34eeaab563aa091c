"""The bias at which a percentage of a tensor's elements is within a format's range."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from cfloat._core import binding
from cfloat._core.dtypes import fits_float32
from cfloat._core.format import Format
from cfloat._core.pieces import pieces

from .peak import magnitudes_of

Array = NDArray[Any]


class _Layout(NamedTuple):
    """The bits of a floating-point dtype."""

    dtype: np.dtype[Any]
    mantissa_bits: int
    bias: int


_FLOAT32: Final = _Layout(np.dtype(np.float32), 23, 127)
_FLOAT64: Final = _Layout(np.dtype(np.float64), 52, 1023)

# elements worked on at a time: what is made of them stays in cache
_PIECE_SIZE: Final = 1 << 15
# of no more elements, going over them for some biases takes less time than counts of all binades; integers
# become float64 before
_FEW_ELEMENTS: Final = 1 << 15
_FEW_INTEGERS: Final = 1 << 12


@dataclass
class BinadeCounts:
    """How many elements there are in each binade, binades being cut where a format's largest value is.

    All elements of one of these binades are within the range at the same biases.  Counts of the parts of a
    tensor add up.

    Attributes
    ----------
    counts : ndarray of int64, shape (n,)
        Of finite elements, the smallest first: element i is of those for which the largest bias is
        ``first - i``, allowed or not; in element 0, all that are smaller too.
    first : int
        What `counts` says.
    zeros : int
        How many are 0.
    """

    counts: NDArray[np.int64]
    first: int
    zeros: int

    @classmethod
    def of(cls, flat: Array, fmt: Format) -> Self:
        """Count the elements of a flat array of real numbers."""
        # where a float32 that is subnormal can matter, as float64 it is not; a smaller float64 never does
        top = fmt._max_exponent_field
        as_float32 = fits_float32(flat.dtype) and top + _FLOAT32.bias > fmt.bias_range[1]
        layout = _FLOAT32 if as_float32 else _FLOAT64
        found = cls(np.zeros(2 * layout.bias + 2, np.int64), top + layout.bias, 0)
        # bits of magnitudes that are at most the largest value's, and so on, share a place once this is added
        one = 1 << layout.mantissa_bits
        added = one - 1 - int((fmt._max_significand - 1) * one)
        for piece in pieces(flat.shape, _PIECE_SIZE):
            values = flat[piece]
            if values.dtype != layout.dtype or not values.flags.carray:
                values = np.ascontiguousarray(magnitudes_of(values), layout.dtype)
            found.zeros += binding.count_binades(values, added, found.counts.view(np.uint64))
        return found

    def merge(self, other: "BinadeCounts") -> None:
        """Add the counts of another part of a tensor, of the same dtype."""
        self.counts = self.counts + other.counts
        self.zeros += other.zeros

    def bias(self, fmt: Format, percentile: float) -> int:
        """Tell the largest bias that keeps so many per cent of elements in range; of zeros the default."""
        reached = self.counts.cumsum()
        needed = binding.count_of_percentile(percentile, int(reached[-1]))
        if needed <= self.zeros:  # as 0 is of no elements
            return fmt.default_bias
        low, high = fmt.bias_range
        return max(low, min(self.first - int(reached.searchsorted(needed)), high))


def bias_of_percentile(flat: Array, fmt: Format, percentile: float) -> int:
    """Tell the largest bias at which so many per cent of a flat array's finite elements are in range."""
    size, dtype = flat.size, flat.dtype
    few = _FEW_INTEGERS if dtype.kind in "iu" else _FEW_ELEMENTS
    if 0 < size <= few or (size > few and _is_soon_found(flat, percentile)):
        return binding.choose_one_bias(
            fmt._struct, fmt.default_bias, "percentile", percentile, flat
        )
    return BinadeCounts.of(flat, fmt).bias(fmt, percentile)


def _is_soon_found(flat: Array, percentile: float) -> bool:
    """Whether to go over many elements for some biases takes less time than counts of all binades.

    It does where elements are read as they are, and most of them are to be in range: few binades lie between
    the largest element and those.
    """
    dtype = flat.dtype
    return percentile >= 90 and dtype.char in "fd" and dtype.isnative and flat.flags.carray
