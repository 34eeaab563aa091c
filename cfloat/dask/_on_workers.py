"""What is computed of the chunks of a large array, one by one, and how their results are put together.

Nothing here knows of Dask: `cfloat.dask` calls it on the workers.
"""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._array.creation import asarray as as_cfloat
from cfloat._bias import choose, squared_errors
from cfloat._bias import peak as peaks
from cfloat._bias.bias_methods import PeakRule
from cfloat._bias.histogram import BinSums, Histogram, bits_for
from cfloat._bias.join import join
from cfloat._bias.masked import mask_of, present_values, with_nothing_masked
from cfloat._bias.percentile import BinadeCounts
from cfloat._bias.round_to import round_to as round_array
from cfloat._convert import elementwise
from cfloat._core.finfo import largest_and_normal
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.rounding import Positions
from cfloat._metrics.error import ErrorStats, Sums, own_format, sums_of, without_masked
from cfloat.errors import ArgumentValueError

Array = NDArray[Any]


# Conversion


def _placed(how: dict[str, Any], first: Any, whole: tuple[int, ...] | None) -> dict[str, Any]:
    """Return how to round, with the place in the random stream of a chunk of the whole."""
    if whole is None:
        return how
    return {**how, "offset": Positions.within(whole, int(np.asarray(first).reshape(())))}


def encode(
    x: Any, bias: Any, first: Any, *, fmt: Format, whole: tuple[int, ...] | None = None, **how: Any
) -> Array:
    """Return the codes of a chunk."""
    return elementwise.encode(x, fmt, bias, **_placed(how, first, whole))


def decode(codes: Any, bias: Any, first: Any, *, fmt: Format, value_dtype: np.dtype[Any]) -> Array:
    """Return the values of a chunk, of a dtype whose name is not the one that Dask takes for its own."""
    del first
    return elementwise.decode(codes, fmt, bias, dtype=value_dtype)


def round_to(
    x: Any, bias: Any, first: Any, *, fmt: Format, whole: tuple[int, ...] | None = None, **how: Any
) -> Array:
    """Return a chunk's values on the format's grid."""
    return round_array(x, fmt, bias, **_placed(how, first, whole))


def asarray(
    x: Any,
    bias: Any,
    first: Any,
    *,
    fmt: Format,
    block: int | None = None,
    whole: tuple[int, ...] | None = None,
    **how: Any,
) -> CFloatArray:
    """Return a chunk as a CFloatArray."""
    return as_cfloat(x, fmt, bias, block=block, **_placed(how, first, whole))


def concatenate(arrays: Any, axis: int = 0, **kwargs: Any) -> Any:
    """Join chunks: those of one format keep it, each with its own biases."""
    arrays = list(arrays)
    first = arrays[0]
    same = all(isinstance(a, CFloatArray) and a.format == first.format for a in arrays)
    if not same or kwargs or first.ndim == 0:
        return np.concatenate(arrays, axis=axis, **kwargs)
    codes = np.concatenate([a.codes for a in arrays], axis=axis)
    if not codes.size:
        return CFloatArray(codes, first.format)
    joined = join([a._biases for a in arrays], [a.shape for a in arrays], axis % first.ndim)
    return CFloatArray._of(codes, first.format, joined)


# Biases


@in_default_modes
def largest_magnitude(x: Any) -> float:
    """Return the largest finite magnitude."""
    return peaks.largest_magnitude(present_values("x", x).reshape(-1))


@in_default_modes
def peaks_of_slices(x: Any, axis: int) -> NDArray[np.float64]:
    """Return the largest finite magnitude of each slice along an axis, the other axes one long."""
    sizes = peaks.magnitudes_of(with_nothing_masked("x", x)).astype(np.float64)
    sizes[~np.isfinite(sizes)] = 0
    others = tuple(i for i in range(sizes.ndim) if i != axis)
    found: NDArray[np.float64] = sizes.max(axis=others, initial=0, keepdims=True)
    return found


@in_default_modes
def scale_of_peak(peak: float) -> int:
    """Return the exponent of a power of two above a magnitude, as `peak.scale_exponent`."""
    return peaks.scale_exponent(peak)


@in_default_modes
def bias_of_peak(peak: float, fmt: Format, rule: PeakRule) -> NDArray[np.int16]:
    """Return the bias that follows from the largest magnitude by a rule."""
    return np.array(peaks.bias_of_peak(peak, fmt, rule), np.int16)


@in_default_modes
def best_bias(x: Any, fmt: Format) -> NDArray[np.int16]:
    """Return the bias of the least squared error of all of an array."""
    return np.array(squared_errors.best_bias(present_values("x", x), fmt), np.int16)


@in_default_modes
def bin_sums(x: Any, fmt: Format, scale: int) -> BinSums:
    """Return the sums, by bins, of values times ``2**-scale``, in as many bins as a format takes."""
    return BinSums.of(present_values("x", x), bits_for(fmt), scale)


def merge_bin_sums(parts: list[BinSums]) -> BinSums:
    """Return the sums of all elements."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.joined(part)
    return whole


@in_default_modes
def best_of_bin_sums(whole: BinSums, fmt: Format, scale: int) -> NDArray[np.int16]:
    """Return the bias of the least squared error of all elements, by the sums of their bins."""
    errors = Histogram.of_sums(whole, bits_for(fmt), scale).errors(fmt)
    return np.array(squared_errors.least_error(errors, fmt), np.int16)


@in_default_modes
def count_binades(x: Any, fmt: Format) -> BinadeCounts:
    """Count the elements in each binade, as a format cuts them."""
    return BinadeCounts.of(present_values("x", x).reshape(-1), fmt)


def merge_counts(parts: list[BinadeCounts]) -> BinadeCounts:
    """Return the counts of all elements."""
    whole = BinadeCounts(parts[0].counts.copy(), parts[0].first, parts[0].zeros)
    for part in parts[1:]:
        whole.merge(part)
    return whole


@in_default_modes
def bias_of_counts(counts: BinadeCounts, fmt: Format, percentile: float) -> NDArray[np.int16]:
    """Return the largest bias at which so many per cent of the elements are within the range."""
    return np.array(counts.bias(fmt, percentile), np.int16)


def choose_bias(x: Any, **how: Any) -> NDArray[np.int16]:
    """Return the biases of slices or blocks that are whole."""
    return np.asarray(choose.choose_bias(x, **how))


# Errors


class ErrorPart(NamedTuple):
    """What a chunk adds to error statistics.

    Attributes
    ----------
    sums : Sums
        Its sums.
    size : int
        How many elements it has.
    formats : frozenset of Format
        The format of a CFloatArray.
    biases : frozenset of int
        Its biases.
    """

    sums: Sums
    size: int
    formats: frozenset[Format | None]
    biases: frozenset[int]

    @classmethod
    def of(cls, x: Any, q: Any, fmt: Format | None, bias: int | None) -> Self:
        """Return the part of a chunk before and after rounding."""
        before, after = without_masked(np.asarray(x), np.asarray(q), mask_of(x), mask_of(q))
        if not isinstance(q, CFloatArray):
            limits = None if fmt is None else largest_and_normal(fmt, bias)
            sums = sums_of(before, after, limits)
            return cls(sums, after.size, frozenset([None]), frozenset())
        # Dask may join empty chunks to one whose bias is nobody's
        own, one = own_format(q, fmt, bias if q.size else None)
        limits = None if own is None else largest_and_normal(own, one)
        found = frozenset(np.unique(np.asarray(q.bias)).tolist())
        return cls(sums_of(before, after, limits), after.size, frozenset([q.format]), found)

    @in_default_modes
    def stats(self, fmt: Format | None, bias: int | None) -> ErrorStats:
        """Return the statistics of all elements."""
        has_format = fmt is not None
        if self.formats != {None}:
            has_format = len(self.formats) == 1 and len(self.biases) == 1
            if fmt is None and bias is not None and None in self.formats:
                raise ArgumentValueError(f"bias is {bias}, of no format; give fmt as well")
        return self.sums.stats(self.size, has_format)


def merge_errors(parts: list[ErrorPart]) -> ErrorPart:
    """Return the part that parts are together."""
    parts = [part for part in parts if part.size] or parts
    sums = Sums()
    for part in parts:
        sums.merge(part.sums)
    return ErrorPart(
        sums,
        sum(part.size for part in parts),
        frozenset().union(*(part.formats for part in parts)),
        frozenset().union(*(part.biases for part in parts)),
    )
