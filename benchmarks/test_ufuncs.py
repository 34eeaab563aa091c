"""Arithmetic into a format and reductions of codes beside NumPy's on float32: few elements, and many.

    pytest benchmarks/test_ufuncs.py --benchmark-group-by=group

On one thread; only ratios within one run mean anything.  Each result is checked before it is timed.
"""

import numpy as np
import pytest

import cfloat as cf

SIZES = (1000, 1 << 24)
FORMATS = (cf.CFloat8_1_4_3, cf.CFloat8_1_5_2, cf.CFloat16_SHP)
KINDS = ["NumPy", *(fmt.name for fmt in FORMATS)]
UFUNCS = (np.add, np.subtract, np.multiply, np.divide)
REDUCTIONS = ("sum", "mean", "max", "min")
SMALL = {
    "+": lambda a: a + a,
    "*": lambda a: a * 2,
    "==": lambda a: a == a,
    "exp": np.exp,
    "neg": lambda a: -a,
}


@pytest.fixture(scope="module", params=SIZES)
def values(request):
    rng = np.random.default_rng(0)
    cf.set_num_threads(1)
    x = rng.standard_normal(request.param).astype(np.float32)
    yield x, np.abs(rng.standard_normal(request.param).astype(np.float32)) + np.float32(0.1)
    cf.set_num_threads(None)


def of_kind(kind, x):
    return x if kind == "NumPy" else cf.asarray(x, kind)


def rounded(kind, exact):
    return exact.astype(np.float32) if kind == "NumPy" else np.asarray(cf.asarray(exact, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda ufunc: ufunc.__name__)
@pytest.mark.parametrize("other", ["array", "number"])
def test_into_a_format(benchmark, values, ufunc, other, kind):
    a, b = (of_kind(kind, x) for x in values)
    b = b if other == "array" else 1.5
    out = a.copy()
    benchmark.group = f"{ufunc.__name__}, {other}, {a.size} elements"
    ufunc(a, b, out=out)
    head = [np.asarray(x)[:1000].astype(np.float64) if np.ndim(x) else x for x in (a, b)]
    assert np.array_equal(np.asarray(out[:1000]), rounded(kind, ufunc(*head)))
    benchmark(ufunc, a, b, out=out)


@pytest.mark.parametrize("kind", KINDS)
def test_root(benchmark, values, kind):
    a = of_kind(kind, values[1])
    out = a.copy()
    benchmark.group = f"sqrt, {a.size} elements"
    np.sqrt(a, out=out)
    exact = np.sqrt(np.asarray(a[:1000]).astype(np.float64))
    assert np.array_equal(np.asarray(out[:1000]), rounded(kind, exact))
    benchmark(np.sqrt, a, out=out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", SIZES[:1], indirect=True)
@pytest.mark.parametrize("name", SMALL)
def test_small_results(benchmark, values, name, kind):
    a = of_kind(kind, values[0])
    benchmark.group = f"{name}, {a.size} elements"
    compute = SMALL[name]
    assert np.array_equal(np.asarray(compute(a)), compute(np.asarray(a)))
    benchmark(compute, a)


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction(benchmark, values, name, kind, axis):
    a = of_kind(kind, values[0])
    a = a.reshape((4096, 4096) if a.size > 1000 else (20, 50))
    benchmark.group = f"{name} along {axis}, {a.size} elements"
    reduce = getattr(a, name)
    expected = getattr(np.asarray(a, np.float64), name)(axis=axis)
    assert np.allclose(np.asarray(reduce(axis=axis)), expected, rtol=1e-5, atol=1e-2)
    benchmark(reduce, axis=axis)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", ["array", "number"])
def test_comparison(benchmark, values, other, kind):
    a, b = (of_kind(kind, x) for x in values)
    b = b if other == "array" else 0.5
    benchmark.group = f"<, {other}, {a.size} elements"
    assert np.array_equal(np.less(a, b), np.less(np.asarray(a), np.asarray(b)))
    benchmark(np.less, a, b)
