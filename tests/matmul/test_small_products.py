"""Products of small matrices, and stacks of them, which are decoded whole."""

import ml_dtypes
import numpy as np
import pytest

import cfloat as cf

F8, F8W, SHP, UHP = cf.TESLA_FORMATS


def integers(rng, shape, fmt):
    """Numbers of which all products and sums are exact, and their codes."""
    values = rng.integers(0 if not fmt.signed else -7, 8, shape).astype(np.float32)
    return values, cf.asarray(values, fmt)


@pytest.mark.parametrize(
    ("rows", "inner", "columns"),
    [(1, 1, 1), (4, 4, 4), (5, 7, 3), (13, 18, 17), (16, 16, 16), (17, 64, 33), (64, 64, 64),
     (300, 13, 200), (16, 256, 16), (16, 257, 16)],
)  # fmt: skip
@pytest.mark.parametrize("fmt", cf.TESLA_FORMATS, ids=str)
def test_stacks(matmul_isa, rng, fmt, rows, inner, columns):
    a, p = integers(rng, (2, 1, 5, rows, inner), fmt)
    b, q = integers(rng, (3, 5, inner, columns), F8)
    expected = a @ b
    np.testing.assert_array_equal(p @ q, expected)
    np.testing.assert_array_equal(a @ q, expected)
    np.testing.assert_array_equal(p @ b, expected)
    # of any layout
    transposed = cf.CFloatArray(q.codes.swapaxes(-1, -2).copy(), F8).swapaxes(-1, -2)
    np.testing.assert_array_equal(p[:, :, ::-1] @ transposed[:, ::-1], expected[:, :, ::-1])
    out = np.empty((2, 3, 5, columns, rows), np.float32).swapaxes(-1, -2)
    np.testing.assert_array_equal(cf.matmul(p, q, out=out), expected)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_a_stack_is_its_matrices(matmul_isa, rng, threads):
    a, b = (cf.asarray(rng.standard_normal((1000, 16, 16)), fmt) for fmt in (F8, F8W))
    before = cf.get_num_threads()
    try:
        cf.set_num_threads(threads)
        stacked = a @ b
    finally:
        cf.set_num_threads(before)
    for i in range(0, 1000, 37):
        np.testing.assert_array_equal(stacked[i], a[i] @ b[i])


@pytest.mark.quick
@pytest.mark.parametrize(
    "fmt", [*cf.TESLA_FORMATS, cf.float8_e5m2, cf.float8_e4m3fn, cf.float16, cf.bfloat16], ids=str
)
@pytest.mark.parametrize("shape", [(3, 5, 7), (8, 8, 8), (20, 11, 35), (15, 16, 16)], ids=str)
def test_all_codes_alike_in_stacks_and_alone(matmul_isa, rng, fmt, shape):
    """Many codes are decoded by their fields, and few as arrays are: special ones the same."""
    rows, inner, columns = shape
    dtype = np.uint8 if fmt.bits == 8 else np.uint16
    p, q = (
        cf.CFloatArray(rng.integers(0, 1 << fmt.bits, (33, *sides)).astype(dtype), fmt)
        for sides in ((rows, inner), (inner, columns))
    )
    stacked = cf.matmul(p, q)
    for i in range(33):
        alone = cf.matmul(p[i], q[i])
        np.testing.assert_array_equal(stacked[i].view(np.uint32), alone.view(np.uint32))
    transposed = cf.CFloatArray(q.codes.swapaxes(1, 2).copy(), fmt).swapaxes(1, 2)
    np.testing.assert_array_equal(cf.matmul(p, transposed), stacked)


@pytest.mark.quick
@pytest.mark.parametrize("accumulate", ["float32", "exact"])
def test_stacks_of_one_axis(rng, accumulate):
    a, p = integers(rng, (3, 2, 5), F8)
    b, q = integers(rng, (3, 5, 4), SHP)
    out = np.empty((3, 2, 4), np.float32)
    assert cf.matmul(p, q, accumulate=accumulate, out=out) is out
    np.testing.assert_array_equal(out, a @ b)
    np.testing.assert_array_equal(cf.matmul(a, q, accumulate=accumulate), a @ b)
    np.testing.assert_array_equal(cf.matmul(p, b, accumulate=accumulate), a @ b)
    # not contiguous
    for first, second in ((p[:, ::-1], q), (a[:, ::-1], q), (p[:, ::-1], b)):
        got = cf.matmul(first, second, accumulate=accumulate)
        np.testing.assert_array_equal(got, (a @ b)[:, ::-1])
    # those that are no such stacks
    np.testing.assert_array_equal(cf.matmul(p[:1], q, accumulate=accumulate), a[:1] @ b)
    assert cf.matmul(p[:0], q[:0], accumulate=accumulate).shape == (0, 2, 4)
    for first, second in ((p[:2], q), (p, q[:, :4])):
        with pytest.raises(cf.ArgumentValueError, match="shape"):
            cf.matmul(first, second, accumulate=accumulate)


@pytest.mark.quick
@pytest.mark.parametrize("accumulate", ["float32", "exact"])
def test_stacks_with_bfloat16(rng, accumulate):
    a, p = integers(rng, (3, 2, 5), F8)
    b, q = integers(rng, (3, 5, 4), SHP)
    wide = [x.astype(ml_dtypes.bfloat16) for x in (a, b)]
    for step in (1, -1):  # contiguous, and not
        for first, second in ((wide[0], q), (p, wide[1])):
            got = cf.matmul(first[:, ::step], second, accumulate=accumulate)
            np.testing.assert_array_equal(got, (a @ b)[:, ::step])


@pytest.mark.parametrize("fmt", [F8, SHP], ids=str)
def test_biases_of_matrices_rows_and_columns(matmul_isa, rng, fmt):
    values = rng.integers(-7, 8, (6, 20, 20)).astype(np.float32)
    bias = fmt.default_bias
    for count, layout in ((6, {"axis": 0}), (20, {"axis": 1}), (20, {"axis": 2})):
        biases = bias + rng.integers(-2, 3, count)
        p = cf.CFloatArray(cf.encode(values, fmt, bias), fmt, biases, **layout)
        exact = np.asarray(p, np.float64)
        for other in (cf.asarray(values, F8), values, p):
            np.testing.assert_array_equal(
                p @ other, (exact @ np.asarray(other, np.float64)).astype(np.float32)
            )


def test_nan_and_infinities(matmul_isa):
    a = cf.asarray(np.array([[1, np.inf], [np.nan, 0], [2, -3]]), cf.float8_e5m2)
    b = np.array([[1, 0], [-1, 0]], np.float32)
    got = cf.matmul(a, b)
    np.testing.assert_array_equal(got, [[-np.inf, np.nan], [np.nan, np.nan], [5, 0]])
    assert set(got.view(np.uint32)[np.isnan(got)]) == {0x7FC00000}


def test_scales_that_no_float_holds(matmul_isa):
    wide = cf.Format("wide", exponent_bits=4, mantissa_bits=3, bias=(-100, 100), default_bias=0)
    a = cf.CFloatArray(np.arange(24, dtype=np.uint8).reshape(3, 8), wide, 100)
    b = cf.CFloatArray(np.arange(24, dtype=np.uint8).reshape(8, 3), wide, 40)
    expected = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
    assert 0 < expected.min() < 2.0**-127
    np.testing.assert_array_equal(a @ b, expected.astype(np.float32))
