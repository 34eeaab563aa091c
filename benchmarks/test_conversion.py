"""Speed of conversion, beside NumPy's copies and ml_dtypes' casts in the same run.

``pytest benchmarks`` prints a table; only ratios within one run mean anything.  Each benchmark checks its
result before it is timed.
"""

import numpy as np
import pytest

import cfloat as cf

# in a core's cache, and far out of it
SIZES = (1 << 16, 1 << 24)
FORMATS = (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS)


@pytest.fixture(params=SIZES, ids=["cached", "large"])
def x(request):
    return np.abs(np.random.default_rng(0).standard_normal(request.param)).astype(np.float32)


@pytest.fixture(params=FORMATS, ids=str)
def fmt(request):
    return request.param


def grouped(benchmark, what, x):
    benchmark.group = f"{what}, {x.size} elements"


@pytest.mark.parametrize("rounding", ["ties_to_even", "toward_zero", "stochastic"])
def test_encode(benchmark, x, fmt, rounding):
    grouped(benchmark, "float32 to 8 or 16 bits", x)
    codes = cf.encode(x, fmt, rounding=rounding, seed=1)
    values = cf.decode(codes, fmt)
    assert np.array_equal(values, cf.round_to(x, fmt, rounding=rounding, seed=1))
    benchmark(cf.encode, x, fmt, rounding=rounding, seed=1, out=codes)


def test_decode(benchmark, x, fmt):
    grouped(benchmark, "8 or 16 bits to float32", x)
    codes = cf.encode(x, fmt)
    values = cf.decode(codes, fmt)
    assert np.array_equal(cf.encode(values, fmt), codes)
    benchmark(cf.decode, codes, fmt, out=values)


def test_round_to(benchmark, x, fmt):
    grouped(benchmark, "float32 to float32", x)
    values = cf.round_to(x, fmt)
    assert np.array_equal(values, cf.decode(cf.encode(x, fmt), fmt))
    benchmark(cf.round_to, x, fmt, out=values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16])
def test_numpy_narrowing(benchmark, x, dtype):
    grouped(benchmark, "float32 to 8 or 16 bits", x)
    out = x.astype(dtype)
    benchmark(np.copyto, out, x, casting="unsafe")


def test_numpy_copy(benchmark, x):
    grouped(benchmark, "float32 to float32", x)
    out = np.empty_like(x)
    benchmark(np.copyto, out, x)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_ml_dtypes_narrowing(benchmark, x, name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    grouped(benchmark, "float32 to 8 or 16 bits", x)
    fmt = getattr(cf, name)
    out = x.astype(getattr(ml_dtypes, name))
    assert np.array_equal(out.view(fmt.storage_dtype), cf.encode(x, fmt))
    benchmark(np.copyto, out, x, casting="unsafe")


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_ml_dtypes_widening(benchmark, x, name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    grouped(benchmark, "8 or 16 bits to float32", x)
    narrow = x.astype(getattr(ml_dtypes, name))
    out = np.empty_like(x)
    benchmark(np.copyto, out, narrow, casting="unsafe")
