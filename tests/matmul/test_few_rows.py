"""Products of few rows: each code by itself, whichever axis is contiguous and wherever biases lie."""

import numpy as np
import pytest

import cfloat as cf

NORMAL = cf.Format("normal", exponent_bits=3, mantissa_bits=4, bias=3, subnormals="normal")
UNSIGNED = cf.Format("unsigned", exponent_bits=5, mantissa_bits=3, signed=False, bias=15)
FORMATS = [
    *cf.TESLA_FORMATS,
    cf.float16,
    cf.bfloat16,
    cf.float8_e4m3fn,
    cf.float8_e5m2,
    cf.float8_e4m3fnuz,
    cf.float8_e8m0fnu,
    NORMAL,
    UNSIGNED,
]
P3109 = [
    cf.format(name)
    for name in ("binary8p4se", "binary8p3sf", "binary8p3ue", "binary8p1ue", "binary16p9se")
]
INNER = 64


def all_codes(fmt):
    """Every finite code, INNER in a column, again and again if they are few."""
    dtype = np.uint8 if fmt.bits <= 8 else np.uint16
    codes = np.arange(2**fmt.bits, dtype=dtype)
    codes = codes[np.isfinite(cf.decode(codes, fmt))]
    columns = max(70, -(-codes.size // INNER))
    return np.resize(codes, (INNER, columns))


def biases_of(fmt, rng, shape, where):
    low, high = (
        f(x, fmt.default_bias + d)
        for f, x, d in zip((max, min), fmt.bias_range, (-3, 3), strict=True)
    )
    counts = {"one": (1, 1), "inner": (shape[0], 1), "lines": (1, shape[1])}.get(where)
    counts = counts or (shape[0] // 32, shape[1])
    return rng.integers(low, high + 1, counts)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("where", ["one", "lines", "inner", "blocks"])
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_every_code_by_itself(matmul_isa, rng, fmt, where, rows):
    codes = all_codes(fmt)
    biases = biases_of(fmt, rng, codes.shape, where)
    full = np.repeat(biases, 32, axis=0) if where == "blocks" else biases
    expected = np.empty(codes.shape, np.float32)
    for bias in np.unique(full):
        expected = np.where(full == bias, cf.decode(codes, fmt, int(bias)), expected)
    layout = {"lines": {"axis": 0}, "inner": {"axis": 1}, "blocks": {"block": 32}}.get(where, {})
    given = {"one": int(biases.flat[0]), "blocks": biases.T}.get(where, biases.ravel())
    for lines in (codes.T, np.ascontiguousarray(codes.T)):
        weights = cf.CFloatArray(lines, fmt, given, **layout).T
        assert np.shares_memory(weights.codes, lines)
        for first in range(0, INNER, rows):
            places = range(first, min(first + rows, INNER))
            x = np.zeros((len(places), INNER), np.float32)
            x[np.arange(len(places)), places] = -1.5
            with np.errstate(over="ignore"):
                products = expected[places] * np.float32(-1.5)
            np.testing.assert_array_equal(cf.matmul(x, weights), products)


@pytest.mark.parametrize("subnormals", ["whitepaper", "ieee", "flush", "normal"])
@pytest.mark.parametrize("exponent_bits", range(1, 7))
def test_every_code_of_a_byte(matmul_isa, exponent_bits, subnormals):
    fmt = cf.Format(
        "byte", exponent_bits=exponent_bits, mantissa_bits=7 - exponent_bits, subnormals=subnormals,
        bias=min(2, 2**exponent_bits - 1),
    )  # fmt: skip
    codes, length = np.arange(256, dtype=np.uint8), 67
    products = cf.decode(codes, fmt) * np.float32(-1.5)
    # in every place of a vector, and after the last one
    places = codes % length
    lines = np.zeros((256, length), np.uint8)
    lines[codes, places] = codes
    for memory in (lines, np.asfortranarray(lines)):
        weights = cf.CFloatArray(memory, fmt).T
        for place in range(length):
            here = places == place
            for rows in (1, 3, 16):
                x = np.zeros((rows, length), np.float32)
                x[:, place] = -1.5
                got = cf.matmul(x, weights)[:, here]
                np.testing.assert_array_equal(got, np.tile(products[here], (rows, 1)))


@pytest.mark.parametrize("fmt", [*FORMATS, cf.float8_e5m2fnuz, *P3109], ids=str)
def test_codes_that_are_not_finite(matmul_isa, fmt):
    dtype = np.uint8 if fmt.bits <= 8 else np.uint16
    every = np.arange(2**fmt.bits, dtype=dtype)
    special = every[~np.isfinite(cf.decode(every, fmt))]
    zero = cf.encode(np.zeros(1), fmt)[0] if fmt is not cf.float8_e8m0fnu else dtype(127)
    codes = np.full((INNER, 100), zero, dtype)
    codes[3] = np.resize([*every[1:9], *special, *every[-9:]], 100)
    with np.errstate(over="ignore"):
        expected = cf.decode(codes[3], fmt) * np.float32(-2)
    for rows in (1, 16):
        x = np.zeros((rows, INNER), np.float32)
        x[:, 3] = -2
        # not where a vector of memory begins
        for memory in (codes, codes.T):
            shifted = np.zeros(codes.size + 5, dtype)[5:].reshape(memory.shape)
            shifted[...] = memory
            q = cf.CFloatArray(shifted if memory is codes else shifted.T, fmt)
            got = cf.matmul(x, q)
            np.testing.assert_array_equal(got, np.tile(expected, (rows, 1)))


@pytest.mark.parametrize("columns", [65, 100, 128, 1000])
@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP], ids=str)
def test_wherever_codes_begin(matmul_isa, rng, fmt, columns):
    values = rng.integers(-7, 8, (80, columns))
    x = rng.integers(-7, 8, (5, 80)).astype(np.float32)
    size = np.dtype(np.uint8 if fmt.bits <= 8 else np.uint16).itemsize
    for offset in (0, 1, 16, 63):
        for step in (columns, -(-columns // 64) * 64):
            memory = np.zeros(80 * step + offset + 64, np.uint8 if size == 1 else np.uint16)
            codes = memory[offset : offset + 80 * step].reshape(80, step)[:, :columns]
            codes[...] = cf.encode(values, fmt)
            np.testing.assert_array_equal(cf.matmul(x, cf.CFloatArray(codes, fmt)), x @ values)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9, 16])
@pytest.mark.parametrize("block", [1, 3, 16, 32, 48, 128])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat8_1_5_2, cf.CFloat16_SHP], ids=str)
def test_blocks_along_either_axis(matmul_isa, rng, fmt, axis, block, rows):
    # integers times powers of two that differ from block to block: all sums are exact
    shape = (200, 330)
    biases = np.array(shape)
    biases[axis] = -(-shape[axis] // block)
    powers = np.repeat(2.0 ** rng.integers(-3, 4, biases), block, axis)
    values = rng.integers(-3, 4, shape) * powers[: shape[0], : shape[1]]
    q = cf.asarray(values, fmt, "max", block=block, axis=axis)
    np.testing.assert_array_equal(np.asarray(q), values)
    assert np.unique(q.bias).size > 1
    x = rng.integers(-7, 8, (rows, shape[0])).astype(np.float32)
    np.testing.assert_array_equal(cf.matmul(x, q), x @ values)
    y = rng.integers(-7, 8, (shape[1], rows)).astype(np.float32)
    np.testing.assert_array_equal(cf.matmul(q, y), values @ y)


@pytest.mark.parametrize(("biases", "exponent"), [((60, 120), -60), ((-90, -30), 20)])
@pytest.mark.parametrize("axis", [0, 1])
def test_scales_that_take_a_vector_out_of_range(matmul_isa, rng, axis, biases, exponent):
    # the scale of a block times an element of x is no float32, where the product is one
    fmt = cf.Format("far", exponent_bits=5, mantissa_bits=2, bias=biases)
    codes = rng.integers(0, 256, (96, 160)).astype(np.uint8)
    given = rng.choice(biases, (3, 160) if axis == 0 else (96, 5))
    q = cf.CFloatArray(codes, fmt, given, block=32, axis=axis)
    wide = np.asarray(q).astype(np.float64)
    for length, transposed in ((96, False), (160, True)):
        x = np.zeros((3, length), np.float32)
        x[[0, 1, 2], [5, 40, 90]] = np.float32([1.5, -1.25, 1.75]) * np.float32(2.0**exponent)
        for rows in (x, x[:1]):  # which other kernels have
            got = cf.matmul(q, rows.T).T if transposed else cf.matmul(rows, q)
            expected = (wide @ rows.T).T if transposed else rows @ wide
            with np.errstate(over="ignore", under="ignore"):
                np.testing.assert_array_equal(got, expected.astype(np.float32))


@pytest.mark.parametrize("rows", [1, 3, 12])
@pytest.mark.parametrize("layout", [{"axis": 0}, {"block": 32}, {"block": 48, "axis": 0}], ids=str)
@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP], ids=str)
def test_threads_make_no_difference(matmul_isa, rng, fmt, layout, rows):
    q = cf.asarray(rng.standard_normal((1210, 1090)), fmt, "max", **layout)
    x = rng.standard_normal((rows, 1210)).astype(np.float32)
    y = rng.standard_normal((1090, rows)).astype(np.float32)
    before = cf.get_num_threads()
    got = []
    try:
        for threads in (1, 3):
            cf.set_num_threads(threads)
            got.append((cf.matmul(x, q), cf.matmul(q, y)))
    finally:
        cf.set_num_threads(before)
    for one, other in zip(*got, strict=True):
        np.testing.assert_array_equal(one, other)
    wide = np.asarray(q).astype(np.float64)
    for result, expected in zip(got[0], (x @ wide, wide @ y), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 4, 16])
@pytest.mark.parametrize(("axis", "block"), [(0, 3), (0, 32), (1, 16), (1, 5)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_format_whose_biases_range_over_more_than_float32(matmul_isa, order, axis, block, rows):
    """Zeros at a bias whose scale would take the other operand out of range are zeros."""
    fmt = cf.Format("wide", exponent_bits=4, mantissa_bits=3, bias=(-110, 140))
    shape = [96, 80]
    codes = np.zeros(shape, np.uint8)
    codes[:3] = 0x40
    shape[axis] //= block
    biases = np.full(shape, -110, np.int16)
    biases[:1] = 60
    if axis == 1:
        biases[:3] = 60
    b = cf.CFloatArray(np.asarray(codes, order=order), fmt, biases, axis=axis, block=block)
    a = np.full((rows, 96), 2.0**30, np.float32)
    expected = a.astype(np.float64) @ np.asarray(b).astype(np.float64)
    assert np.array_equal(cf.matmul(a, b), expected)
    assert np.array_equal(cf.matmul(b.T, a.T), expected.T)
