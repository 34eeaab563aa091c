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
    "empty": sample((0, 3), bias=5),
    "one": sample((1,)),
    "strided": sample((5, 6, 4), SHP)[::-2, 1:, ::2].T,
}
each_sample = pytest.mark.parametrize("a", SAMPLES.values(), ids=SAMPLES)
