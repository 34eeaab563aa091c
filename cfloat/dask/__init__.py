"""Dask arrays of CFloat: conversion in chunks, with the results of one machine (extra ``dask``).

Importing this module registers `CFloatArray` as a type of Dask's chunks: ``dask.array.from_array`` takes one,
and Dask's functions do in each chunk what NumPy's do.  What moves elements keeps the format, and what
computes gives float32.

`encode`, `decode`, `round_to`, `asarray`, `choose_bias` and `error` are those of `cfloat` on Dask arrays.
Their results have the same bits, whatever the chunks, the scheduler and the number of workers.  In
stochastic rounding an element takes the random word of its position in the whole array (docs/spec.md 3.14).

Flags are counted and acted upon in the thread that computes.  With Dask's synchronous scheduler that is the
caller's, so that `cfloat.record_flags` and `cfloat.errstate` work as ever; for its threads there is
`record_flags` of this module.  Processes of a cluster know nothing of either.
"""

import copyreg
import math
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike, NDArray

import cfloat._matmul  # noqa: F401 - products of chunks, which it registers
from cfloat._array.array import CFloatArray
from cfloat._bias.histogram import Histogram
from cfloat._bias.layout import check_axis, check_block, check_layout
from cfloat._bias.methods import BiasMethod, check_method, check_percentile
from cfloat._bias.peak import biases_of_peaks
from cfloat._convert import elementwise
from cfloat._core import flags
from cfloat._core.dtypes import fits_float32, is_source_dtype, wrong_dtype
from cfloat._core.finfo import finfo
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode, StochasticVariant, check_rounding
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError, MissingExtraError

from . import _chunks

try:
    import dask
    import dask.array as da
    from dask.array.dispatch import concatenate_lookup, percentile_lookup
    from dask.base import normalize_token
    from dask.core import flatten
    from dask.sizeof import sizeof
except ImportError:
    raise MissingExtraError("cfloat.dask needs Dask: pip install 'cfloat[dask]'") from None

__all__ = [
    "asarray",
    "choose_bias",
    "decode",
    "encode",
    "error",
    "record_flags",
    "round_to",
]

Array = NDArray[Any]

# Parts whose statistics are put together at a time.
_FAN_IN = 16


def encode(
    x: Any,
    fmt: Format,
    bias: Any = None,
    *,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
) -> Any:
    """Convert values to codes: `cfloat.encode` on a Dask array.

    Parameters
    ----------
    x : dask.array.Array
        Values of a dtype that `cfloat.encode` takes.
    fmt : Format
        The format of the codes.
    bias : int, array_like of int or dask.array.Array, optional
        As in `cfloat.encode`.
    rounding, seed, offset, stochastic_bits, stochastic_variant
        As in `cfloat.encode`.  A seed of None is drawn once, when this is called: computing again gives the
        same codes.

    Returns
    -------
    dask.array.Array of uint8 or uint16
        Of the shape to which `x` and `bias` broadcast, in the chunks of `x`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `cfloat.encode`; or if `x` is not a Dask array, or its chunks are of unknown size and rounding is
        stochastic or biases are an array.  If biases come as a Dask array that has bad ones, when it is
        computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.linspace(-1, 1, 6, chunks=4)
    >>> codes = cf.dask.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", seed=1)
    >>> codes.compute()
    array([184, 178, 165,  37,  50,  56], dtype=uint8)
    >>> cf.encode(x.compute(), cf.CFloat8_1_4_3, rounding="stochastic", seed=1)
    array([184, 178, 165,  37,  50,  56], dtype=uint8)
    """
    x, bias = _broadcast(_values("x", x), as_format(fmt), bias)
    how = _how(x, rounding, seed, offset, stochastic_bits, stochastic_variant)
    return _in_chunks(_chunks.encode, x, bias, how, _empty(x, fmt.storage_dtype), fmt=fmt)


def decode(codes: Any, fmt: Format, bias: Any = None, *, dtype: DTypeLike | None = None) -> Any:
    """Convert codes to values: `cfloat.decode` on a Dask array.

    Parameters
    ----------
    codes : dask.array.Array of uint8 or uint16
        Codes, of dtype ``fmt.storage_dtype``.
    fmt : Format
        The format of the codes.
    bias : int, array_like of int or dask.array.Array, optional
        As in `cfloat.decode`.
    dtype : dtype, optional
        As in `cfloat.decode`; float32 by default.

    Returns
    -------
    dask.array.Array of `dtype`
        Of the shape to which `codes` and `bias` broadcast, in the chunks of `codes`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError, MissingExtraError
        As `cfloat.decode`; or if `codes` is not a Dask array.  If a code is too large for the format, when
        it is computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> codes = cf.dask.encode(da.arange(4, chunks=2), cf.CFloat8_1_4_3)
    >>> cf.dask.decode(codes, cf.CFloat8_1_4_3).compute()
    array([0., 1., 2., 3.], dtype=float32)
    """
    _check_dask("codes", codes)
    elementwise.check_codes(np.empty(0, codes.dtype), as_format(fmt))
    codes, bias = _broadcast(codes, fmt, bias)
    # the checks of a dtype are codec's
    wanted = elementwise.decode(np.empty(0, fmt.storage_dtype), fmt, dtype=dtype).dtype
    return _in_chunks(
        _chunks.decode, codes, bias, {}, _empty(codes, wanted), fmt=fmt, wanted=wanted
    )


def round_to(
    x: Any,
    fmt: Format,
    bias: Any = None,
    *,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
) -> Any:
    """Round values to those that a format has: `cfloat.round_to` on a Dask array.

    Parameters
    ----------
    x : dask.array.Array
        Values of a dtype that `cfloat.encode` takes.
    fmt : Format
        The format on whose grid the results are.
    bias : int, array_like of int, dask.array.Array, or {"mse", "max", "percentile"}, optional
        As in `cfloat.round_to`.
    rounding, seed, offset, stochastic_bits, stochastic_variant
        As in `encode`.

    Returns
    -------
    dask.array.Array of float64 or float32
        float64 if `x` is, and float32 otherwise.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `encode`.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.from_array([0.1, 0.2, 0.3], chunks=2)
    >>> cf.dask.round_to(x, cf.CFloat8_1_4_3).compute()
    array([0.1015625, 0.203125 , 0.3125   ])
    """
    x = _values("x", x)
    if isinstance(bias, str):
        bias = choose_bias(x, fmt, check_method("bias", bias))
    x, bias = _broadcast(x, as_format(fmt), bias)
    how = _how(x, rounding, seed, offset, stochastic_bits, stochastic_variant)
    wide = x.dtype.kind == "f" and x.dtype.itemsize == 8
    dtype = np.dtype(np.float64 if wide else np.float32)
    return _in_chunks(_chunks.round_to, x, bias, how, _empty(x, dtype), fmt=fmt)


def asarray(
    x: Any,
    fmt: Format,
    bias: Any = None,
    *,
    axis: SupportsIndex | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
) -> Any:
    """Round values into a format: `cfloat.asarray` on a Dask array.

    Parameters
    ----------
    x : dask.array.Array
        Values of a dtype that `cfloat.encode` takes, or chunks of CFloatArrays.
    fmt : Format
        The format.
    bias : int, array_like of int, dask.array.Array, or {"mse", "max", "percentile"}, optional
        As in `cfloat.asarray`.
    axis, block : int, optional
        As in `cfloat.asarray`.  With `block` the last axis is chunked anew where a chunk would end within a
        block.
    rounding, seed, offset, stochastic_bits, stochastic_variant
        As in `encode`.

    Returns
    -------
    dask.array.Array
        Its chunks are CFloatArrays, and so is what it computes to: its codes and its bias at every element
        are those of `cfloat.asarray`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `cfloat.asarray`; or as `encode`.

    Notes
    -----
    Where Dask puts chunks of one format together, the biases of the result are those of the chunks: one, or
    one a slice or a block if the chunks' are.  Chunks of different formats become float32, as in NumPy's
    ``concatenate``.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.from_array([[100.0, 200.0], [0.5, 1.1]], chunks=1)
    >>> q = cf.dask.asarray(x, cf.CFloat8_1_4_3, "max", axis=0)
    >>> q.compute()
    CFloatArray([[ 96.   , 192.   ],
                 [  0.5  ,   1.125]], CFloat8_1_4_3, bias=[[8], [15]])
    >>> (q[:, 0] + 1).compute()
    array([97. ,  1.5], dtype=float32)
    """
    x = _values("x", x)
    fmt = as_format(fmt)
    if axis is not None and block is not None:
        check_layout(fmt, [0], x.shape, axis, block)  # which refuses both
    how = _how(x, rounding, seed, offset, stochastic_bits, stochastic_variant)
    if isinstance(bias, str):
        method = check_method("bias", bias)
        bias = choose_bias(x, fmt, method, axis=axis, block=block)
    if block is not None:
        _check_known(x)
        block = check_block(block, x.shape)
    if isinstance(bias, da.Array):
        bias = _laid_out(bias, x.shape, axis, block)
    else:
        layout = check_layout(fmt, bias, x.shape, axis, block)
        bias, block = layout.values, layout.block
    if block is not None and not isinstance(bias, int):
        x = _whole_blocks(x, block)
    else:
        block = None
    empty = CFloatArray(_empty(x, fmt.storage_dtype), fmt)
    return _in_chunks(_chunks.asarray, x, bias, how, empty, block=block, fmt=fmt)


def choose_bias(
    x: Any,
    fmt: Format,
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
    fmt : Format
        The format.
    method, axis, block, percentile
        As in `cfloat.choose_bias`.

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
    For a whole array each chunk gives its largest magnitude or its moments, which add up.  These are two
    passes for values of 64 bits, and three for "percentile": the chunks stay in memory, or are computed
    anew, as Dask sees fit.  With `axis`, other methods than "max" bring all of a slice into one chunk; so
    does "mse" all of `x`, for formats of more than 10 mantissa bits.

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
    x = _values("x", x)
    fmt = as_format(fmt)
    check_method("method", method)
    share = check_percentile(percentile) / 100.0
    if axis is None and block is None:
        return _choose_one(x, fmt, method, share)
    if axis is not None and block is not None:
        raise ArgumentValueError("axis and block are both given; one of them at most")
    _check_known(x)
    if axis is not None:
        return _choose_slices(x, fmt, method, check_axis(axis, x.ndim), percentile)
    assert block is not None
    length = check_block(block, x.shape)
    x = _whole_blocks(x, length)
    return x.map_blocks(
        _chunks.choose_bias,
        fmt=fmt,
        method=method,
        percentile=percentile,
        block=length,
        chunks=(*x.chunks[:-1], _counts(x.chunks[-1], length)),
        meta=_empty(x, np.dtype(np.int16)),
    )


def error(x: Any, q: Any, fmt: Format | None = None, bias: SupportsIndex | None = None) -> Any:
    """Measure the error of a rounded Dask array: `cfloat.error`.

    Parameters
    ----------
    x : dask.array.Array or array_like
        The values before rounding.
    q : dask.array.Array or array_like
        The values after rounding, of the same shape; one of the two is a Dask array.
    fmt : Format, optional
        As in `cfloat.error`.  Chunks that are CFloatArrays bring format and bias with them.
    bias : int, optional
        As in `cfloat.error`.

    Returns
    -------
    dask.delayed.Delayed
        It computes to an `ErrorStats`: the same as that of `cfloat.error`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `cfloat.error`, those about a CFloatArray's own format when it is computed; or if neither is a
        Dask array.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.random.default_rng(0).standard_normal(100_000, chunks=7_000)
    >>> stats = cf.dask.error(x, cf.dask.asarray(x, cf.CFloat8_1_4_3)).compute()
    >>> round(stats.sqnr_db, 1), stats.saturated
    (31.5, 0.0)
    """
    if not isinstance(x, da.Array) and not isinstance(q, da.Array):
        raise ArgumentTypeError(
            f"x is a {type(x).__name__} and q a {type(q).__name__}; one is a dask.array.Array, or both are"
        )
    before, after = (
        each if isinstance(each, da.Array) else da.from_array(_own(each)) for each in (x, q)
    )
    before, after = _values("x", before), _values("q", after)
    if not _same_shape(before.shape, after.shape):
        raise ArgumentValueError(f"x has shape {before.shape} and q {after.shape}; they must agree")
    if fmt is not None:
        finfo(as_format(fmt), bias)
    elif bias is not None and not isinstance(after._meta, CFloatArray):
        raise ArgumentValueError(f"bias is {shown(bias)}, of no format; give fmt as well")
    if before.chunks != after.chunks:
        _check_known(before)
        _check_known(after)
        after = after.rechunk(before.chunks)
    whole = _merged(_chunks.merge_errors, _each(_chunks.ErrorPart.of, before, after, fmt, bias))
    return _each(_chunks.ErrorPart.stats, whole, fmt, bias).to_delayed().item()


@contextmanager
def record_flags() -> Generator[flags.Flags]:
    """Count the exception flags of what Dask's threads compute inside a ``with`` block.

    As `cfloat.record_flags`, which counts the operations of its own thread alone.  `cfloat.errstate` holds
    for those threads as well, where it is set when a computation begins.  The schedulers of processes and
    clusters are out of its reach.

    Yields
    ------
    Flags
        Counts of elements.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.from_array([1e9, 1.0, 1e9, 2.0], chunks=2)
    >>> with cf.dask.record_flags() as flags:
    ...     _ = cf.dask.encode(x, cf.CFloat8_1_4_3).compute(scheduler="threads")
    >>> flags.overflow
    2
    """
    workers = dask.config.get("num_workers", None) or dask.system.CPU_COUNT
    with (
        flags.record_flags() as counted,
        _CarryingPool(workers) as pool,
        dask.config.set(pool=pool),
    ):
        yield counted


class _CarryingPool(ThreadPoolExecutor):
    """Threads that count flags for the thread that hands them work, and act on them as it has asked."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(flags.Carried().run, fn, *args, **kwargs)


# Arguments


def _check_dask(name: str, x: Any) -> None:
    if not isinstance(x, da.Array):
        raise ArgumentTypeError(
            f"{name} is a {type(x).__name__}; it takes a dask.array.Array, and cfloat's own functions others"
        )


def _values(name: str, x: Any) -> Any:
    _check_dask(name, x)
    if not is_source_dtype(x.dtype):
        raise wrong_dtype(name, x)
    return x


def _own(x: Any) -> Any:
    return x if isinstance(x, CFloatArray) else np.asarray(x)


def _check_known(x: Any) -> None:
    if any(math.isnan(length) for length in x.shape):
        raise ArgumentValueError(
            "the sizes of the chunks are unknown; x.compute_chunk_sizes() finds them"
        )


def _check_bias_array(bias: Any) -> None:
    if bias.dtype.kind not in "iu":
        raise ArgumentTypeError(f"bias has dtype {bias.dtype}; it takes integers")
    if any(math.isnan(length) for length in bias.shape):
        raise ArgumentValueError(
            "the sizes of the bias's chunks are unknown; bias.compute_chunk_sizes() finds them"
        )


def _same_shape(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return len(a) == len(b) and all(
        length == other or math.isnan(length) or math.isnan(other)
        for length, other in zip(a, b, strict=True)
    )


def _how(
    x: Any,
    rounding: RoundingMode,
    seed: SupportsIndex | None,
    offset: SupportsIndex,
    stochastic_bits: SupportsIndex,
    stochastic_variant: StochasticVariant,
) -> dict[str, Any]:
    """Return the checked arguments of rounding, as `chunks` takes them."""
    stochastic = isinstance(rounding, str) and rounding == "stochastic"
    if stochastic:
        _check_known(x)
    shape = x.shape if stochastic else ()
    how = check_rounding(rounding, shape, seed, offset, None, stochastic_bits, stochastic_variant)
    if not stochastic:
        return {"rounding": how.mode}
    return {
        "rounding": how.mode,
        "seed": how.seed,
        "offset": how.offset,
        "stochastic_bits": how.bits,
        "stochastic_variant": how.variant,
    }


def _broadcast(x: Any, fmt: Format, bias: Any) -> tuple[Any, Any]:
    """Return values and checked biases of their shape, or of fewer and shorter axes."""
    if isinstance(bias, da.Array):
        _check_bias_array(bias)
    else:
        bias = fmt.check_biases(bias)
        if isinstance(bias, int):
            return x, bias
    _check_known(x)
    try:
        shape = np.broadcast_shapes(x.shape, bias.shape)
    except ValueError:
        raise ArgumentValueError(
            f"bias has shape {bias.shape}, which does not broadcast with {x.shape}"
        ) from None
    return (x if x.shape == shape else da.broadcast_to(x, shape)), bias


def _laid_out(
    bias: Any, shape: tuple[int, ...], axis: SupportsIndex | None, block: int | None
) -> Any:
    """Return biases of a Dask array such that they broadcast to a shape, or to that of its blocks."""
    _check_bias_array(bias)
    bias = _without_empty(bias)
    wanted: tuple[int, ...] = shape
    if axis is not None and bias.ndim > 0:
        place = check_axis(axis, len(shape))
        if bias.shape != (shape[place],):
            raise ArgumentValueError(
                f"bias has shape {bias.shape}; axis {place} takes one for each slice, ({shape[place]},)"
            )
        bias = bias.reshape([-1 if i == place else 1 for i in range(len(shape))])
    elif axis is not None:
        check_axis(axis, len(shape))
    if block is not None and bias.ndim > 0:
        wanted = (*shape[:-1], -(-shape[-1] // block))
        if bias.shape[-1] == 1:
            bias = da.broadcast_to(bias, (*bias.shape[:-1], wanted[-1]))
    fits = bias.ndim <= len(wanted) and all(
        length in (1, own) for length, own in zip(bias.shape[::-1], wanted[::-1], strict=False)
    )
    if not fits:
        raise ArgumentValueError(
            f"bias has shape {bias.shape}, which does not broadcast to {wanted}"
        )
    return bias


# Chunks


def _empty(x: Any, dtype: np.dtype[Any]) -> Array:
    return np.empty((0,) * x.ndim, dtype)


def _without_empty(x: Any) -> Any:
    """Return an array without chunks of no elements, on which some of Dask's functions fail."""
    return x.rechunk(tuple(tuple(filter(None, part)) or (0,) for part in x.chunks))


def _counts(lengths: tuple[int, ...], block: int) -> tuple[int, ...]:
    return tuple(-(-length // block) for length in lengths)


def _whole_blocks(x: Any, block: int) -> Any:
    """Return an array none of whose chunks ends within a block of the last axis."""
    ends = np.cumsum(x.chunks[-1])
    ends = np.unique(np.minimum(-(-ends // block) * block, x.shape[-1]))
    lengths = tuple(np.diff(ends, prepend=0).tolist())
    return x.rechunk({x.ndim - 1: lengths})


def _in_chunks(
    function: Callable[..., Any],
    x: Any,
    bias: Any,
    how: dict[str, Any],
    empty: Any,
    block: int | None = None,
    **kwargs: Any,
) -> Any:
    """Return an array that a function makes of each chunk, its biases, and its place in the random stream."""
    index = tuple(range(x.ndim))
    bias_index = None
    if block is not None:
        kwargs["block"] = block
    if not isinstance(bias, int):
        lengths = x.chunks if block is None else (*x.chunks[:-1], _counts(x.chunks[-1], block))
        own = lengths[len(lengths) - bias.ndim :]
        wanted = tuple(
            part if length != 1 or sum(part) == 1 else (1,)
            for length, part in zip(bias.shape, own, strict=True)
        )
        bias = bias.rechunk(wanted) if isinstance(bias, da.Array) else da.from_array(bias, wanted)
        bias_index = index[len(index) - bias.ndim :]
    first: Any = None
    first_index = None
    if "offset" in how:
        first, kwargs["whole"] = how.pop("offset"), x.shape
        if x.npartitions > 1:
            first, first_index = da.from_array(_first_words(x, first), 1), index
    return da.blockwise(
        partial(_cfloat, function),
        index,
        x,
        index,
        bias,
        bias_index,
        first,
        first_index,
        align_arrays=False,
        dtype=empty.dtype,
        meta=empty,
        **kwargs,
        **how,
    )


def _cfloat(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function: where a worker finds this one, CFloatArrays are registered as chunks."""
    return function(*args, **kwargs)


def _first_words(x: Any, offset: int) -> NDArray[np.uint64]:
    """Return the position in the random stream of the first element of each chunk."""
    words = np.full((1,) * x.ndim, offset, np.uint64)
    for axis, lengths in enumerate(x.chunks):
        starts = np.cumsum((0, *lengths[:-1]), dtype=np.uint64) * np.uint64(
            math.prod(x.shape[axis + 1 :])
        )
        words = words + starts.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return words


def _each(function: Callable[..., Any], x: Any, *args: Any, dtype: DTypeLike = object) -> Any:
    """Return an array of what a function makes of each chunk: an object in its place, whatever its size.

    Arguments are arrays of the same chunks, arrays of no axes, or anything else.
    """
    # no dask.delayed, which copies all that a chunk depends on for each
    given = [each for one in (x, *args) for each in (one, _index(one))]
    meta = np.empty((0,) * x.ndim, dtype)
    return da.blockwise(
        partial(_cfloat, function),
        _index(x),
        *given,
        align_arrays=False,
        dtype=meta.dtype,
        meta=meta,
    )


def _index(x: Any) -> tuple[int, ...] | None:
    return tuple(range(x.ndim)) if isinstance(x, da.Array) else None


def _merged(merge: Callable[[list[Any]], Any], parts: Any) -> Any:
    """Return what the objects of chunks are together, merged a few at a time, as an array of no axes."""
    together = partial(_merge, merge)
    return da.reduction(
        parts,
        _itself,
        together,
        combine=together,
        concatenate=False,
        split_every=_FAN_IN,
        dtype=np.dtype(object),
        meta=np.empty((), object),
    )


def _itself(part: Any, **_: Any) -> Any:
    return part


def _merge(merge: Callable[[list[Any]], Any], parts: Any, **_: Any) -> Any:
    return merge(list(flatten([parts])))


# Biases


def _choose_one(x: Any, fmt: Format, method: BiasMethod, share: float) -> Any:
    if method == "mse" and not Histogram.takes(fmt):
        whole = _merged(max, x.rechunk(-1))  # the only one
        return _each(_chunks.best_bias, whole, fmt, dtype=np.int16)
    peak = _merged(max, _each(_chunks.largest, x))
    if method == "max":
        return _each(_chunks.bias_of_peak, peak, fmt, dtype=np.int16)
    scale = 0 if fits_float32(x.dtype) else _each(_chunks.scale_of_peak, peak)
    whole = _merged(_chunks.merge_tallies, _each(_chunks.tally, x, fmt, scale))
    if method == "mse":
        return _each(_chunks.best_of_tally, whole, fmt, scale, dtype=np.int16)
    known = _each(_chunks.percentile_range, whole, fmt, scale, share)
    counts = _merged(_chunks.merge_counts, _each(_chunks.count_within, x, fmt, known))
    return _each(_chunks.bias_of_counts, counts, known, dtype=np.int16)


def _choose_slices(x: Any, fmt: Format, method: BiasMethod, axis: int, percentile: float) -> Any:
    others = tuple(i for i in range(x.ndim) if i != axis)
    if 0 in x.shape:
        return da.full(x.shape[axis], fmt.default_bias, dtype=np.int16)
    if method == "max":
        x = _without_empty(x)
        peaks = x.map_blocks(
            _chunks.largest_of_slices,
            axis=axis,
            chunks=tuple(
                part if i == axis else (1,) * len(part) for i, part in enumerate(x.chunks)
            ),
            meta=_empty(x, np.dtype(np.float64)),
        ).max(axis=others)
        return peaks.map_blocks(biases_of_peaks, fmt, dtype=np.int16)
    if any(len(x.chunks[i]) > 1 for i in others):
        x = x.rechunk({axis: "auto"} | dict.fromkeys(others, -1))
    return x.map_blocks(
        _chunks.choose_bias,
        fmt=fmt,
        method=method,
        percentile=percentile,
        axis=axis,
        drop_axis=others,
        meta=np.empty(0, np.int16),
    )


# Registration


def _percentile(a: CFloatArray, q: Any, method: str = "linear") -> Any:
    return percentile_lookup.dispatch(np.ndarray)(np.asarray(a), q, method)


def _size_in_memory(a: CFloatArray) -> int:
    return a.nbytes + np.asarray(a.bias).nbytes


def _token(a: CFloatArray) -> Any:
    return normalize_token((CFloatArray.__name__, a.format, a.codes, a.bias, a.block))


def _reduced(a: CFloatArray) -> tuple[Any, ...]:
    """Pickle an array: on a worker that reads it, it is to be a chunk like any other.

    Where there is no cluster, and nobody but Dask asks for this module, a pickle does not either.
    """
    restore, parts = a.__reduce__()
    return restore, (*parts, __name__) if "distributed" in sys.modules else parts


def _register() -> None:
    """Make CFloatArrays chunks like any other."""
    da.register_chunk_type(CFloatArray)
    concatenate_lookup.register(CFloatArray, _chunks.concatenate)
    percentile_lookup.register(CFloatArray, _percentile)
    sizeof.register(CFloatArray, _size_in_memory)
    normalize_token.register(CFloatArray, _token)
    copyreg.pickle(CFloatArray, _reduced)


_register()
