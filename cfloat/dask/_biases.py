"""`choose_bias`: exponent biases for the values of a Dask array."""

from typing import Any, SupportsIndex

import dask.array as da
import numpy as np

from cfloat._bias.bias_layout import check_axis, check_blocks
from cfloat._bias.bias_methods import BiasMethod, check_method, check_percentile
from cfloat._bias.histogram import Histogram
from cfloat._bias.peak import biases_of_peaks
from cfloat._core.dtypes import fits_float32
from cfloat._core.format import Format
from cfloat._core.presets import as_format

from . import _on_workers
from ._arguments import check_known, check_not_both, check_values
from ._blocks import block_counts, empty, merged, per_chunk, whole_blocks, without_empty


def choose_bias(
    x: Any,
    fmt: Format | str,
    method: BiasMethod = "mse",
    *,
    axis: SupportsIndex | None = None,
    block: SupportsIndex | None = None,
    percentile: float = 99.9,
) -> Any:
    """Choose the exponent bias for a Dask array, or one for each slice or block: `cfloat.choose_bias`.

    Parameters
    ----------
    x : dask.array.Array
        Values of a dtype that `cfloat.encode` takes.
    fmt : Format or str
        The format.
    method, axis, block, percentile
        As in `cfloat.choose_bias`; `axis` or `block` at most, and blocks run along the last axis.

    Returns
    -------
    dask.array.Array of int16
        What `cfloat.choose_bias` returns; one bias is an array of no axes.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `cfloat.choose_bias`; or if `x` is not a Dask array, or its chunks are of unknown size and `axis`
        or `block` is given.

    Notes
    -----
    For a whole array each chunk gives its largest magnitude or its histogram, which add up.  "mse" is two
    passes over values of 64 bits: the chunks stay in memory, or are computed anew, as Dask sees fit.  With
    `axis`, other methods than "max" and "mx" bring all of a slice into one chunk; so
    does "mse" all of `x`, for formats of more than 10 mantissa bits.  The sums of "mse" over histograms are
    float64's, and of 64-bit values those of float32's bits: of biases whose errors differ by less than that,
    it may be another than `cfloat.choose_bias` gives, as of values all far beyond the range of every bias.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.random.default_rng(0).standard_normal((3, 1000), chunks=400) * [[0.01], [1.0], [100.0]]
    >>> int(cf.dask.choose_bias(x, cf.CFloat8_1_4_3))
    7
    >>> cf.dask.choose_bias(x, cf.CFloat8_1_4_3, "max", axis=0).compute()
    array([20, 14,  7], dtype=int16)
    """
    x = check_values("x", x)
    fmt = as_format(fmt)
    method = check_method("method", method, fmt)
    percentile = check_percentile(percentile)
    if axis is None and block is None:
        return _choose_one(x, fmt, method, percentile)
    check_not_both(axis, block)
    check_known(x)
    if axis is not None:
        return _choose_slices(x, fmt, method, check_axis(axis, x.ndim), percentile)
    assert block is not None
    length = check_blocks(block, x.shape).length
    x = whole_blocks(x, length)
    return x.map_blocks(
        _on_workers.choose_bias,
        fmt=fmt,
        method=method,
        percentile=percentile,
        block=length,
        chunks=(*x.chunks[:-1], block_counts(x.chunks[-1], length)),
        meta=empty(x, np.dtype(np.int16)),
    )


def _choose_one(x: Any, fmt: Format, method: BiasMethod, percentile: float) -> Any:
    if method == "mse" and not Histogram.takes(fmt):
        whole = merged(max, x.rechunk(-1))  # the only one
        return per_chunk(_on_workers.best_bias, whole, fmt, dtype=np.int16)
    if method == "percentile":
        counts = merged(_on_workers.merge_counts, per_chunk(_on_workers.count_binades, x, fmt))
        return per_chunk(_on_workers.bias_of_counts, counts, fmt, percentile, dtype=np.int16)
    if method == "mse" and fits_float32(x.dtype):
        scale = 0
    else:
        peak = merged(max, per_chunk(_on_workers.largest_magnitude, x))
        if method != "mse":
            return per_chunk(_on_workers.bias_of_peak, peak, fmt, method, dtype=np.int16)
        scale = per_chunk(_on_workers.scale_of_peak, peak)
    whole = merged(_on_workers.merge_bin_sums, per_chunk(_on_workers.bin_sums, x, fmt, scale))
    return per_chunk(_on_workers.best_of_bin_sums, whole, fmt, scale, dtype=np.int16)


def _choose_slices(x: Any, fmt: Format, method: BiasMethod, axis: int, percentile: float) -> Any:
    others = tuple(i for i in range(x.ndim) if i != axis)
    if 0 in x.shape:
        return da.full(x.shape[axis], fmt.default_bias, dtype=np.int16)
    if method == "max" or method == "mx":
        x = without_empty(x)
        peaks = x.map_blocks(
            _on_workers.peaks_of_slices,
            axis=axis,
            chunks=tuple(
                part if i == axis else (1,) * len(part) for i, part in enumerate(x.chunks)
            ),
            meta=empty(x, np.dtype(np.float64)),
        ).max(axis=others)
        return peaks.map_blocks(biases_of_peaks, fmt, method, dtype=np.int16)
    if any(len(x.chunks[i]) > 1 for i in others):
        x = x.rechunk({axis: "auto"} | dict.fromkeys(others, -1))
    return x.map_blocks(
        _on_workers.choose_bias,
        fmt=fmt,
        method=method,
        percentile=percentile,
        axis=axis,
        drop_axis=others,
        meta=np.empty(0, np.int16),
    )
