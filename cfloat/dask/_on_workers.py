"""What is computed of the chunks of a large array, one by one, and how their results are put together.

Nothing here knows of Dask: `cfloat.dask` calls it on the workers.
"""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._array.creation import asarray as as_cfloat
from cfloat._bias import choose, percentile, squared_errors
from cfloat._bias import peak as peaks
from cfloat._bias.histogram import BinSums, Histogram, bits_for
from cfloat._bias.join import join
from cfloat._bias.round_to import round_to as round_array
from cfloat._convert import elementwise
from cfloat._core.finfo import finfo
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.rounding import Positions
from cfloat._metrics.error import ErrorStats, Sums, own_format, sums_of
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
    return peaks.largest_magnitude(np.asarray(x).reshape(-1))


@in_default_modes
def peaks_of_slices(x: Any, axis: int) -> NDArray[np.float64]:
    """Return the largest finite magnitude of each slice along an axis, the other axes one long."""
    sizes = np.abs(np.asarray(x).astype(np.float64))
    sizes[~np.isfinite(sizes)] = 0
    others = tuple(i for i in range(sizes.ndim) if i != axis)
    found: NDArray[np.float64] = sizes.max(axis=others, initial=0, keepdims=True)
    return found


@in_default_modes
def scale_of_peak(peak: float) -> int:
    """Return the exponent of a power of two above a magnitude, as `peak.scale_exponent`."""
    return peaks.scale_exponent(peak)


@in_default_modes
def bias_of_peak(peak: float, fmt: Format) -> NDArray[np.int16]:
    """Return the largest bias at which a magnitude is within the range."""
    return np.array(peaks.bias_of_peak(peak, fmt), np.int16)


@in_default_modes
def best_bias(x: Any, fmt: Format) -> NDArray[np.int16]:
    """Return the bias of the least squared error of all of an array."""
    return np.array(squared_errors.best_bias(np.asarray(x), fmt), np.int16)


@in_default_modes
def bin_sums(x: Any, fmt: Format, scale: int) -> BinSums:
    """Return the sums, by bins, of values times ``2**-scale``, in as many bins as a format takes."""
    return BinSums.of(np.asarray(x), bits_for(fmt), scale)


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


class BiasRange(NamedTuple):
    """Between which two the bias of a share of the elements lies, and how many elements that share is."""

    least: int
    most: int
    elements: int


@in_default_modes
def percentile_range(whole: BinSums, fmt: Format, scale: int, share: float) -> BiasRange:
    """Return the range that bins leave for the bias of a share of the elements."""
    histogram = Histogram.of_sums(whole, bits_for(fmt), scale)
    least, most = percentile.percentile_range(histogram, fmt, share)
    return BiasRange(least, most, percentile.rank(share, histogram.finite) + 1)


@in_default_modes
def count_within(x: Any, fmt: Format, within: BiasRange) -> tuple[int, ...]:
    """Count the elements that are not too large, at each bias from the most down to above the least."""
    flat = np.asarray(x).reshape(-1)
    tried = range(within.most, within.least, -1)
    return tuple(percentile.count_within(flat, fmt, bias) for bias in tried)


def merge_counts(parts: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the sums of counts."""
    return tuple(sum(counts) for counts in zip(*parts, strict=True))


@in_default_modes
def bias_of_counts(counts: tuple[int, ...], within: BiasRange) -> NDArray[np.int16]:
    """Return the largest bias at which enough elements are not too large."""
    enough = (within.most - i for i, count in enumerate(counts) if count >= within.elements)
    return np.array(next(enough, within.least), np.int16)


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
        if not isinstance(q, CFloatArray):
            limits = None if fmt is None else finfo(fmt, bias)
            sums = sums_of(np.asarray(x), np.asarray(q), limits)
            return cls(sums, np.size(q), frozenset([None]), frozenset())
        # Dask may join empty chunks to one whose bias is nobody's
        own, one = own_format(q, fmt, bias if q.size else None)
        limits = None if own is None else finfo(own, one)
        found = frozenset(np.unique(np.asarray(q.bias)).tolist())
        return cls(
            sums_of(np.asarray(x), np.asarray(q), limits), q.size, frozenset([q.format]), found
        )

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
