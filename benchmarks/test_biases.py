"""Biases: pytest-benchmark timings of choosing them, and of conversions in other memory orders."""

import numpy as np
import pytest

import cfloat as cf

FMT = cf.CFloat8_1_4_3
METHODS = ["mse", "percentile", "max"]
HOW = {
    "axis 0": {"axis": 0},
    "axis 1": {"axis": 1},
    "blocks of 32": {"block": 32},
    "blocks of 32 along axis 0": {"axis": 0, "block": 32},
}


def check_slices(x, found, axis, method):
    """Compare with slices by themselves, a few of them."""
    for i in range(0, x.shape[axis], max(1, x.shape[axis] // 3)):
        assert found[i] == cf.choose_bias(np.take(x, i, axis), FMT, method)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("method", METHODS)
def test_a_small_tensor(benchmark, method, dtype):
    x = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    found = benchmark(cf.choose_bias, x, FMT, method)
    assert found == cf.choose_bias(x[np.newaxis], FMT, method, axis=0)[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_small_matrix(benchmark, method):
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    check_slices(x, benchmark(cf.choose_bias, x, FMT, method, axis=0), 0, method)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("method", METHODS)
def test_a_matrix(benchmark, method, how, dtype):
    x = np.random.default_rng(0).standard_normal((4096, 4096), np.float32).astype(dtype)
    benchmark.extra_info["elements"] = x.size
    found = benchmark(cf.choose_bias, x, FMT, method, **HOW[how])
    if "block" not in HOW[how]:
        check_slices(x, found, HOW[how]["axis"], method)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_convolution(benchmark, method, axis):
    x = np.random.default_rng(0).standard_normal((512, 512, 3, 3), np.float32)
    benchmark.extra_info["elements"] = x.size
    check_slices(x, benchmark(cf.choose_bias, x, FMT, method, axis=axis), axis, method)


@pytest.mark.parametrize("order", ["C", "F", "out"])
@pytest.mark.parametrize("what", ["encode", "round_to", "decode"])
def test_memory_orders(benchmark, what, order):
    x = np.random.default_rng(0).standard_normal((4096, 4096), np.float32)
    given = cf.encode(x, FMT) if what == "decode" else x
    convert = getattr(cf, what)
    expected = convert(given, FMT)
    out = np.empty_like(expected) if order == "out" else None
    laid = given if order == "C" else np.asfortranarray(given)
    found = benchmark(convert, laid, FMT, out=out)
    np.testing.assert_array_equal(found, expected)
