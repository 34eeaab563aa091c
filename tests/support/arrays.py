"""CFloatArrays of each layout, for tests of what an array does."""

import numpy as np
import pytest

import cfloat as cf

FMT = cf.CFloat8_1_4_3
SHP = cf.CFloat16_SHP


def same(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    return (got.shape, got.dtype, got.tobytes()) == (
        expected.shape,
        expected.dtype,
        expected.tobytes(),
    )


def by_element(bias, shape, block=None, axis=None):
    """Find the bias of each element by its place; blocks run along an axis or several, or the last."""
    bias = np.asarray(bias)
    if block is None:
        return np.broadcast_to(bias, shape)
    axes = axis if isinstance(axis, tuple) else (-1 if axis is None else axis,)
    axes = [each % len(shape) for each in axes]
    lengths = [shape[each] for each in axes]
    counts = [*shape[: axes[0]], -(-int(np.prod(lengths)) // block), *shape[axes[-1] + 1 :]]
    bias = np.broadcast_to(bias, counts)
    found = np.empty(shape, bias.dtype)
    for place in np.ndindex(*shape):
        number = 0
        for each, length in zip(axes, lengths, strict=True):
            number = number * length + place[each]
        found[place] = bias[(*place[: axes[0]], number // block, *place[axes[-1] + 1 :])]
    return found


def full_biases(a):
    """What each element's bias is, from the public attributes alone."""
    return by_element(a.bias, a.shape, a.block, a.axis)


def how_laid_out(a):
    """What `asarray` takes beside an array's biases, which are not one a slice, to lay them out as there."""
    return {} if a.block is None else {"axis": a.axis, "block": a.block}


def sample(shape=(3, 4), fmt=FMT, seed=0, **how):
    codes = np.random.default_rng(seed).integers(0, 2**fmt.bits, shape).astype(fmt.storage_dtype)
    return cf.CFloatArray(codes, fmt, **how)


# one of each layout, and 0-d, 1-d and empty ones
SAMPLES = {
    "0-d": sample(()),
    "1-d": sample(7, bias=40),
    "2-d": sample((3, 4), SHP),
    "3-d": sample((2, 3, 4), bias=[9, 10], axis=0),
    "slices": sample((3, 4), bias=[3, 4, 5], axis=0),
    "blocks": sample((3, 4), bias=[[3, 4], [5, 6], [7, 8]], block=2),
    "ragged": sample((3, 5), bias=[[3, 4, 1], [5, 6, 1], [7, 8, 9]], block=2),
    "columns": sample((5, 3), bias=[[3, 4, 1], [5, 6, 1], [7, 8, 9]], axis=0, block=2),
    "several axes": sample((2, 3, 4), bias=[[3, 4, 1], [5, 6, 9]], axis=(1, 2), block=5),
    "empty": sample((0, 3), bias=5),
    "one": sample((1,)),
    "strided": sample((5, 6, 4), SHP)[::-2, 1:, ::2].T,
}
each_sample = pytest.mark.parametrize("a", SAMPLES.values(), ids=SAMPLES)
