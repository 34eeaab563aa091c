"""Checks of arguments that are Dask arrays, or go with one."""

import math
from typing import Any, SupportsIndex

import dask.array as da
import numpy as np

from cfloat._bias.bias_layout import check_axis
from cfloat._core.dtypes import is_byte_float, is_source_dtype, wrong_dtype
from cfloat._core.format import Format
from cfloat._core.rounding import RoundingMode, StochasticVariant, check_rounding
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._blocks import without_empty


def check_dask(name: str, x: Any) -> None:
    """Refuse what is no Dask array."""
    if not isinstance(x, da.Array):
        raise ArgumentTypeError(
            f"{name} is a {type(x).__name__}; it takes a dask.array.Array, and cfloat's own functions others"
        )


def check_values(name: str, x: Any) -> Any:
    """Give a Dask array of real numbers, in a dtype that the core encodes; what is none is refused."""
    check_dask(name, x)
    if is_byte_float(x.dtype):
        return x.astype(np.float32)
    if not is_source_dtype(x.dtype):
        raise wrong_dtype(name, x)
    return x


def check_known(x: Any) -> None:
    """Refuse an array whose chunks are of unknown size."""
    if any(math.isnan(length) for length in x.shape):
        raise ArgumentValueError(
            "the sizes of the chunks are unknown; x.compute_chunk_sizes() finds them"
        )


def check_not_both(axis: Any, block: Any) -> None:
    """Refuse blocks along another axis than the last: chunks would have to be cut along it."""
    if axis is not None and block is not None:
        raise ArgumentValueError(
            "axis and block are both given; blocks of a Dask array run along its last axis"
        )


def check_bias_array(bias: Any) -> None:
    """Refuse a Dask array of biases that are no integers, or of unknown size."""
    if bias.dtype.kind not in "iu":
        raise ArgumentTypeError(f"bias has dtype {bias.dtype}; it takes integers")
    if any(math.isnan(length) for length in bias.shape):
        raise ArgumentValueError(
            "the sizes of the bias's chunks are unknown; bias.compute_chunk_sizes() finds them"
        )


def same_shape(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Compare shapes, in which an unknown length is NaN, and fits any."""
    return len(a) == len(b) and all(
        length == other or math.isnan(length) or math.isnan(other)
        for length, other in zip(a, b, strict=True)
    )


def check_how(
    x: Any,
    rounding: RoundingMode,
    seed: SupportsIndex | None,
    offset: SupportsIndex,
    stochastic_bits: SupportsIndex,
    stochastic_variant: StochasticVariant,
) -> dict[str, Any]:
    """Give the checked arguments of rounding `x`, as the functions of `_chunks` take them."""
    stochastic = isinstance(rounding, str) and rounding == "stochastic"
    if stochastic:
        check_known(x)
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


def broadcast(x: Any, fmt: Format, bias: Any) -> tuple[Any, Any]:
    """Give values, broadcast to the shape of theirs and the biases', and checked biases that broadcast to it.

    Biases are an int, an ndarray of int16, or the Dask array that was given, of integers.
    """
    if isinstance(bias, da.Array):
        check_bias_array(bias)
    else:
        bias = fmt.check_biases(bias)
        if isinstance(bias, int):
            return x, bias
    check_known(x)
    try:
        shape = np.broadcast_shapes(x.shape, bias.shape)
    except ValueError:
        raise ArgumentValueError(
            f"bias has shape {bias.shape}, which does not broadcast with {x.shape}"
        ) from None
    return (x if x.shape == shape else da.broadcast_to(x, shape)), bias


def laid_out(
    bias: Any, shape: tuple[int, ...], axis: SupportsIndex | None, block: int | None
) -> Any:
    """Give biases that come as a Dask array such that they broadcast to a shape, or to that of its blocks."""
    check_bias_array(bias)
    bias = without_empty(bias)
    target: tuple[int, ...] = shape
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
        target = (*shape[:-1], -(-shape[-1] // block))
        if bias.shape[-1] == 1:
            bias = da.broadcast_to(bias, (*bias.shape[:-1], target[-1]))
    fits = bias.ndim <= len(target) and all(
        length in (1, own) for length, own in zip(bias.shape[::-1], target[::-1], strict=False)
    )
    if not fits:
        raise ArgumentValueError(
            f"bias has shape {bias.shape}, which does not broadcast to {target}"
        )
    return bias
