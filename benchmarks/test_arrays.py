"""Ufuncs on CFloatArrays beside NumPy's on float32, on 2^24 elements.

    pytest benchmarks/test_arrays.py --benchmark-group-by=group

Machines differ, and shared ones are noisy: only ratios within one run mean anything.  Each result is checked
before it is timed.
"""

import numpy as np
import pytest

import cfloat as cf

SIZE = 1 << 24
F8, SHP = cf.CFloat8_1_4_3, cf.CFloat16_SHP
UNARY = [np.exp, np.log, np.tanh]
BINARY = [np.add, np.multiply, np.divide]


@pytest.fixture(scope="module")
def operands():
    rng = np.random.default_rng(0)
    x = np.abs(rng.standard_normal(SIZE).astype(np.float32)) + np.float32(0.01)
    y = rng.standard_normal(SIZE).astype(np.float32)
    cf.set_num_threads(1)
    yield {fmt: (cf.asarray(x, fmt), cf.asarray(y, fmt)) for fmt in (F8, SHP)}
    cf.set_num_threads(None)


def names(fmt):
    return getattr(fmt, "name", None) or fmt.__name__


@pytest.mark.parametrize("ufunc", UNARY, ids=names)
@pytest.mark.parametrize("destination", ["float32", "CFloat8_1_4_3"])
def test_unary(benchmark, operands, ufunc, destination):
    a = operands[F8][0]
    benchmark.group = f"{ufunc.__name__} of 8 bits"
    expected = ufunc(np.asarray(a[: 1 << 16]))
    if destination == "float32":
        out = np.zeros(SIZE, np.float32)
        ufunc(a, out=out)
        np.testing.assert_array_equal(out[: 1 << 16], expected)
    else:
        out = cf.CFloatArray(np.zeros(SIZE, np.uint8), F8)
        ufunc(a, out=out)
        exact = ufunc(np.asarray(a[: 1 << 16], np.float64))
        np.testing.assert_array_equal(out.codes[: 1 << 16], cf.encode(exact, F8))
    benchmark(ufunc, a, out=out)


@pytest.mark.parametrize("ufunc", UNARY, ids=names)
def test_unary_numpy(benchmark, operands, ufunc):
    benchmark.group = f"{ufunc.__name__} of 8 bits"
    x = np.asarray(operands[F8][0])
    benchmark(ufunc, x, out=np.zeros_like(x))


@pytest.mark.parametrize("ufunc", BINARY, ids=names)
@pytest.mark.parametrize("fmt", [F8, SHP], ids=names)
@pytest.mark.parametrize("destination", ["float32", "itself"])
def test_binary(benchmark, operands, ufunc, fmt, destination):
    a, b = operands[fmt]
    benchmark.group = ufunc.__name__
    if destination == "float32":
        out = np.zeros(SIZE, np.float32)
        part = slice(SIZE - (1 << 16), SIZE)
        with np.errstate(all="ignore"):
            ufunc(a, b, out=out)
            np.testing.assert_array_equal(
                out[part], ufunc(np.asarray(a[part]), np.asarray(b[part]))
            )
    else:
        out = cf.CFloatArray(np.zeros(SIZE, fmt.storage_dtype), fmt)
        with np.errstate(all="ignore"):
            ufunc(a, b, out=out)
            wide = ufunc(np.asarray(a[: 1 << 16], np.float64), np.asarray(b[: 1 << 16], np.float64))
        np.testing.assert_array_equal(out.codes[: 1 << 16], cf.encode(wide, fmt))
    with np.errstate(all="ignore"):
        benchmark(ufunc, a, b, out=out)


@pytest.mark.parametrize("ufunc", BINARY, ids=names)
def test_binary_numpy(benchmark, operands, ufunc):
    benchmark.group = ufunc.__name__
    x, y = (np.asarray(a) for a in operands[F8])
    with np.errstate(all="ignore"):
        benchmark(ufunc, x, y, out=np.zeros_like(x))
