"""Speed of matrix products, beside NumPy's in float32 and those of torch and ml_dtypes in the same run.

``pytest benchmarks/test_matmul.py`` prints a table for each shape and number of threads; extra_info has the
GFLOP/s.  What is timed includes the decoding of operands; NumPy's and torch's need none, as they are float32
and bfloat16 already.  Only ratios within one run mean anything.  Each result is checked before it is timed.

NumPy's products run in its BLAS, which has threads of its own: threadpoolctl, if it is installed, sets their
number for each table.  Without it, NumPy's rows are of as many threads as the BLAS likes: measure the two
numbers apart, as with ``OPENBLAS_NUM_THREADS=1 pytest benchmarks/test_matmul.py -k one-thread``.

4096 takes long, and only ``CFLOAT_BENCH_4096=1`` asks for it.
"""

import os
from contextlib import nullcontext
from functools import lru_cache

import numpy as np
import pytest

import cfloat as cf

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    threadpool_limits = None

pytestmark = pytest.mark.benchmark(max_time=0.5, min_rounds=3)

F8, F8W, SHP, UHP = cf.TESLA_FORMATS
THREADS = [1, 2]

SQUARE = [(n, n, n) for n in (256, 512, 1024, 2048)]
if os.environ.get("CFLOAT_BENCH_4096"):
    SQUARE.append((4096, 4096, 4096))
VECTOR = [(4096, 4096, 1), (4096, 14336, 1), (8192, 8192, 1)]
SKINNY = [(rows, 4096, 4096) for rows in (1, 2, 4, 8, 16)]

WORKS = {
    "CFloat8 @ CFloat8": (F8, F8),
    "CFloat8_1_5_2 @ CFloat8_1_5_2": (F8W, F8W),
    "SHP @ SHP": (SHP, SHP),
    "UHP @ UHP": (UHP, UHP),
    "float16 @ float16": (cf.float16, cf.float16),
    "float32 @ CFloat8": (None, F8),
    "CFloat8 @ SHP": (F8, SHP),
}
VECTOR_WORKS = {
    "CFloat8 @ float32": (F8, None),
    "CFloat8_1_5_2 @ float32": (F8W, None),
    "SHP @ float32": (SHP, None),
    "UHP @ float32": (UHP, None),
}
SKINNY_WORKS = {**WORKS, "float32 @ SHP": (None, SHP)}

CASES = [
    (shape, name)
    for shapes, works in ((SQUARE, WORKS), (VECTOR, VECTOR_WORKS), (SKINNY, SKINNY_WORKS))
    for shape in shapes
    for name in works
]
FORMATS = {**WORKS, **VECTOR_WORKS, **SKINNY_WORKS}
SHAPES = [*SQUARE, *VECTOR, *SKINNY]


def label(value):
    return value if isinstance(value, str) else "x".join(map(str, value))


@pytest.fixture(params=THREADS, ids=["one-thread", "two-threads"])
def threads(request):
    """Let this package, and NumPy's BLAS, use so many threads."""
    before = cf.get_num_threads()
    cf.set_num_threads(request.param)
    with threadpool_limits(request.param) if threadpool_limits else nullcontext():
        yield request.param
    cf.set_num_threads(before)


@lru_cache(maxsize=2)
def values(shape):
    """Return float32 operands; a product with one column is one with a vector."""
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    b_shape = (inner, columns) if columns > 1 else (inner,)
    return [rng.standard_normal(s, np.float32) for s in ((rows, inner), b_shape)]


def check(got, a, b, unit):
    """Compare the first and last rows with float64, by the bound of a sum of that many roundings."""
    assert got.shape == (*a.shape[:1], *b.shape[1:])
    b = np.asarray(b, np.float64)
    inner = a.shape[1]
    for part in (slice(0, 4), slice(-4, None)):
        rows = np.asarray(a[part], np.float64)
        bound = inner * unit * (np.abs(rows) @ np.abs(b))
        assert np.all(np.abs(got[part] - rows @ b) <= bound)


def measure(benchmark, shape, threads, call, *operands, **arguments):
    rows, inner, columns = shape
    benchmark.group = f"{label(shape)}, {threads} thread{'s' * (threads > 1)}"
    benchmark(call, *operands, **arguments)
    if benchmark.stats is not None:  # none with --benchmark-disable
        rate = 2 * rows * inner * columns / benchmark.stats.stats.min / 1e9
        benchmark.extra_info["GFLOP/s"] = round(rate, 1)


@pytest.mark.parametrize(("shape", "name"), CASES, ids=label)
def test_matmul(benchmark, threads, shape, name):
    operands = zip(values(shape), FORMATS[name], strict=True)
    a, b = (
        x if fmt is None else cf.asarray(x if fmt.signed else np.abs(x), fmt) for x, fmt in operands
    )
    out = np.zeros((shape[0], *b.shape[1:]), np.float32)
    check(cf.matmul(a, b, out=out), a, b, 2.0**-23)
    measure(benchmark, shape, threads, cf.matmul, a, b, out=out)


@pytest.mark.parametrize("shape", [shape for shape in SQUARE if shape[0] <= 2048], ids=label)
def test_matmul_exact(benchmark, threads, shape):
    a, b = (cf.asarray(x, F8) for x in values(shape))
    out = np.zeros((shape[0], shape[2]), np.float32)
    cf.matmul(a, b, accumulate="exact", out=out)
    # products of numbers of 4 bits, of 14 binades: float64 sums are exact
    part = np.asarray(a[:8], np.float64) @ np.asarray(b, np.float64)
    np.testing.assert_array_equal(out[:8], part.astype(np.float32))
    measure(benchmark, shape, threads, cf.matmul, a, b, accumulate="exact", out=out)


@pytest.mark.parametrize("shape", SQUARE[:3], ids=label)
def test_matmul_into_codes(benchmark, threads, shape):
    a, b = (cf.asarray(x, F8) for x in values(shape))
    out = cf.asarray(np.zeros((shape[0], shape[2])), F8, 3)
    cf.matmul(a, b, out=out)
    np.testing.assert_array_equal(out.codes, cf.encode(cf.matmul(a, b), F8, 3))
    measure(benchmark, shape, threads, cf.matmul, a, b, out=out)


# of the weights of a vector, in columns or rows, and where their biases lie
LAYOUTS = {
    "one": {},
    "rows": {"bias": "max", "axis": 0},
    "columns": {"bias": "max", "axis": 1},
    "blocks": {"bias": "max", "block": 32},
}


VECTOR_CASES = [
    *((fmt, layout) for fmt in (F8, SHP, UHP) for layout in LAYOUTS),
    (cf.bfloat16, "one"),
    (cf.float8_e4m3fnuz, "one"),
]


@pytest.mark.parametrize(("fmt", "layout"), VECTOR_CASES, ids=str)
@pytest.mark.parametrize("across", [False, True], ids=["weights @ x", "x @ weights"])
def test_vector_by_layout(benchmark, threads, fmt, across, layout):
    weights, x = values(VECTOR[0])
    q = cf.asarray(weights if fmt.signed else np.abs(weights), fmt, **LAYOUTS[layout])
    operands = (x, q) if across else (q, x)
    out = np.zeros(4096, np.float32)
    cf.matmul(*operands, out=out)
    full = np.asarray(q, np.float64)
    exact = x @ full if across else full @ x
    bound = np.abs(x) @ np.abs(full) if across else np.abs(full) @ np.abs(x)
    assert np.all(np.abs(out - exact) <= 4096 * 2.0**-23 * bound)
    measure(benchmark, VECTOR[0], threads, cf.matmul, *operands, out=out)


STACKS = [(1024, 4), (1024, 8), (1024, 16), (1024, 32), (256, 64)]


@pytest.mark.parametrize("fmt", [None, F8, SHP], ids=["numpy float32", "CFloat8", "SHP"])
@pytest.mark.parametrize(("count", "n"), STACKS)
def test_stacks_of_small_matrices(benchmark, threads, count, n, fmt):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((count, n, n), np.float32) for _ in "ab")
    if fmt is not None:
        a, b = cf.asarray(a, fmt), cf.asarray(b, fmt)
    benchmark.group = f"{count} of {n}x{n}, {threads} thread{'s' * (threads > 1)}"
    got = np.matmul(a, b)
    np.testing.assert_allclose(
        got[3], np.asarray(a[3], np.float64) @ np.asarray(b[3], np.float64), rtol=0, atol=1e-4
    )
    benchmark(np.matmul, a, b)


@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_numpy_float32(benchmark, threads, shape):
    """What the goals are set against."""
    a, b = values(shape)
    out = np.zeros((shape[0], *b.shape[1:]), np.float32)
    check(np.matmul(a, b, out=out), a, b, 2.0**-23)
    measure(benchmark, shape, threads, np.matmul, a, b, out=out)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_torch(benchmark, threads, shape, dtype):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(threads)
    a, b = (torch.from_numpy(x).to(getattr(torch, dtype)) for x in values(shape))
    unit = 2.0**-23 if dtype == "float32" else 2.0**-8  # its results are bfloat16 as well
    plain = [x.float().numpy() for x in (a, b)]
    check(torch.matmul(a, b).float().numpy(), *plain, unit)
    measure(benchmark, shape, threads, torch.matmul, a, b)


@pytest.mark.parametrize("shape", SHAPES, ids=label)
def test_ml_dtypes(benchmark, threads, shape):
    """NumPy casts its operands to float32, and multiplies those."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a, b = (x.astype(ml_dtypes.float8_e4m3fn) for x in values(shape))
    check(np.matmul(a, b), a, b, 2.0**-23)
    measure(benchmark, shape, threads, np.matmul, a, b)
