"""Functions on the chunks of Dask arrays: what Dask calls blockwise, and reductions."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from dask.core import flatten
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

# How Dask's names of arrays begin, which its dashboard shows.
_NAME = "cfloat"

# Parts whose statistics are put together at a time.
_FAN_IN = 16


def empty(x: Any, dtype: np.dtype[Any]) -> Array:
    """Give an array of no elements, with as many axes as another: what Dask takes for a chunk's type."""
    return np.empty((0,) * x.ndim, dtype)


def without_empty(x: Any) -> Any:
    """Take away chunks of no elements, on which some of Dask's functions fail."""
    return x.rechunk(tuple(tuple(filter(None, part)) or (0,) for part in x.chunks))


def block_counts(lengths: tuple[int, ...], block: int) -> tuple[int, ...]:
    """Count the blocks of chunks of some lengths."""
    return tuple(-(-length // block) for length in lengths)


def whole_blocks(x: Any, block: int) -> Any:
    """Chunk an array anew such that no chunk ends within a block of the last axis."""
    ends = np.cumsum(x.chunks[-1])
    ends = np.unique(np.minimum(-(-ends // block) * block, x.shape[-1]))
    lengths = tuple(np.diff(ends, prepend=0).tolist())
    return x.rechunk({x.ndim - 1: lengths})


def map_chunks(
    function: Callable[..., Any],
    x: Any,
    bias: Any,
    how: dict[str, Any],
    meta: Any,
    block: int | None = None,
    **kwargs: Any,
) -> Any:
    """Make an array of what a function makes of each chunk.

    Parameters
    ----------
    function : callable
        Called with a chunk of `x`, with its biases, and with the place of its first element in the random
        stream, or None; and with the keyword arguments, with `whole`, the shape of `x`, if there is a place.
    x : dask.array.Array
        Values or codes.
    bias : int, ndarray of int16 or dask.array.Array
        Biases that broadcast to `x`; or with `block` to its shape with blocks counted along the last axis,
        none of which ends within a chunk.
    how : dict
        How to round, as `check_how` gives it.
    meta : array
        What chunks are, without elements.
    block : int, optional
        How many elements of the last axis share a bias.
    **kwargs
        Further arguments of the function.

    Returns
    -------
    dask.array.Array
        In the chunks of `x`.
    """
    index = tuple(range(x.ndim))
    bias_index = None
    if block is not None:
        kwargs["block"] = block
    if not isinstance(bias, int):
        chunks = x.chunks if block is None else (*x.chunks[:-1], block_counts(x.chunks[-1], block))
        bias_chunks = tuple(
            part if length != 1 or sum(part) == 1 else (1,)
            for length, part in zip(bias.shape, chunks[len(chunks) - bias.ndim :], strict=True)
        )
        bias = (
            bias.rechunk(bias_chunks)
            if isinstance(bias, da.Array)
            else da.from_array(bias, bias_chunks)
        )
        bias_index = index[len(index) - bias.ndim :]
    first: Any = None
    first_index = None
    if "offset" in how:
        first, kwargs["whole"] = how.pop("offset"), x.shape
        if x.npartitions > 1:
            first, first_index = da.from_array(_first_words(x, first), 1), index
    return da.blockwise(
        function,
        index,
        x,
        index,
        bias,
        bias_index,
        first,
        first_index,
        token=_NAME,
        align_arrays=False,
        dtype=meta.dtype,
        meta=meta,
        **kwargs,
        **how,
    )


def _first_words(x: Any, offset: int) -> NDArray[np.uint64]:
    """Give the place in the random stream of the first element of each chunk, arranged as the chunks are."""
    words = np.full((1,) * x.ndim, offset, np.uint64)
    for axis, lengths in enumerate(x.chunks):
        starts = np.cumsum((0, *lengths[:-1]), dtype=np.uint64) * np.uint64(
            math.prod(x.shape[axis + 1 :])
        )
        words = words + starts.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return words


def per_chunk(function: Callable[..., Any], x: Any, *args: Any, dtype: DTypeLike = object) -> Any:
    """Make an array of one object a chunk, in its place and whatever the chunk's size, by a function.

    Arguments are arrays of the same chunks, arrays of no axes, or anything else.
    """
    # no dask.delayed, which copies all that a chunk depends on for each
    given = [each for one in (x, *args) for each in (one, _index(one))]
    meta = np.empty((0,) * x.ndim, dtype)
    return da.blockwise(
        function, _index(x), *given, token=_NAME, align_arrays=False, dtype=meta.dtype, meta=meta
    )


def _index(x: Any) -> tuple[int, ...] | None:
    return tuple(range(x.ndim)) if isinstance(x, da.Array) else None


def merged(merge: Callable[[list[Any]], Any], parts: Any) -> Any:
    """Merge the objects of all chunks, a few at a time, to one: an array of no axes."""
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
