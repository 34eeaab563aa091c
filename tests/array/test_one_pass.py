"""The short ways of ufuncs and reductions: one call of the core, and the same results as the general ones."""

import contextlib
import warnings
from fractions import Fraction

import numpy as np
import pytest

import cfloat as cf

F8, F52, SHP, UHP = cf.TESLA_FORMATS
IEEE8 = cf.Format("ieee8", exponent_bits=4, mantissa_bits=3, subnormals="ieee")
FORMATS = (
    F8,
    F52,
    SHP,
    UHP,
    IEEE8,
    cf.float8_e4m3fn,
    cf.float8_e5m2,
    cf.float8_e4m3fnuz,
    cf.bfloat16,
)
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
}
UNARY = {"sqrt": np.sqrt, "square": np.square, "reciprocal": np.reciprocal}


def codes_of(fmt, shape, seed=0):
    """Codes of all kinds, NaN and infinities too where there are any."""
    given = np.random.default_rng(seed).integers(0, 1 << fmt.bits, shape)
    return cf.CFloatArray(given.astype(fmt.storage_dtype), fmt)


def apart(a):
    """The same array in memory that only the general way takes."""
    wide = np.zeros((*a.shape, 2), a.codes.dtype)
    wide[..., 0] = a.codes
    return cf.CFloatArray(wide[..., 0], a.format, a.bias)


def outcome(compute):
    """The result, the flags, and NumPy's warnings of something."""
    with warnings.catch_warnings(record=True) as caught, cf.record_flags() as flags:
        warnings.simplefilter("always")
        result = compute()
    return (
        np.asarray(result.codes),
        flags,
        sorted({str(one.message).split(" in ")[0] for one in caught}),
    )


def assert_same(ufunc, inputs, out, counted=True):
    """Compare the short way into an array, with flags or without, with the general one."""
    general = out.copy()
    expected = outcome(
        lambda: ufunc(
            *(apart(x) if isinstance(x, cf.CFloatArray) else x for x in inputs), out=general
        )
    )
    with contextlib.nullcontext() if counted else warnings.catch_warnings():
        if counted:
            found = outcome(lambda: ufunc(*inputs, out=out))
            assert found[1:] == expected[1:]
        else:
            warnings.simplefilter("always")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                ufunc(*inputs, out=out)
            found = (out.codes, None, sorted({str(one.message).split(" in ")[0] for one in caught}))
            assert found[2] == expected[2]
    wrong = np.flatnonzero(found[0] != expected[0])
    assert wrong.size == 0, (
        ufunc,
        [np.asarray(x)[..., wrong[:3]] for x in inputs],
        found[0][wrong[:3]],
    )


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_two_arrays(name, fmt, counted, isa):
    for size, seed in ((1, 0), (1030, 1), (6000, 2)):
        a, b = codes_of(fmt, size, seed), codes_of(fmt, size, seed + 10)
        assert_same(BINARY[name], (a, b), a.copy(), counted)
    assert_same(BINARY[name], (a, a), a.copy(), counted)
    assert_same(BINARY[name], (a, b), cf.zeros(a.shape, F52, bias=9), counted)


@pytest.mark.parametrize("other", [2, 0.1, 0, -0.0, -3.5, 1e30, np.inf, np.nan, np.float32(0.3)])
@pytest.mark.parametrize("fmt", [F8, UHP, cf.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_an_array_and_a_number(name, fmt, other, isa):
    for size in (1030, 5000):  # the latter is looked up, if nothing is counted
        a = codes_of(fmt, size)
        for counted in (True, False):
            assert_same(BINARY[name], (a, other), a.copy(), counted)
            assert_same(BINARY[name], (other, a), a.copy(), counted)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_one_array(name, fmt, isa):
    for size in (1030, 5000):
        a = codes_of(fmt, size)
        for counted in (True, False):
            assert_same(UNARY[name], (a,), a.copy(), counted)


FLUSH8 = cf.Format("flush8", exponent_bits=5, mantissa_bits=2, subnormals="flush")
UNSIGNED8 = cf.Format("unsigned8", exponent_bits=5, mantissa_bits=3, signed=False)


@pytest.mark.parametrize(
    "fmt", [F8, F52, IEEE8, FLUSH8, UNSIGNED8, cf.float8_e4m3fn, cf.float8_e5m2], ids=str
)
@pytest.mark.parametrize("name", BINARY)
def test_all_pairs_of_8_bits(name, fmt, isa):
    """Also those alone that signal nothing, which would leave it to others."""
    every = np.arange(256, dtype=np.uint8)
    a, b = (cf.CFloatArray(c, fmt) for c in (np.repeat(every, 256), np.tile(every, 256)))
    assert_same(BINARY[name], (a, b), a.copy(), counted=False)
    values = np.isfinite(np.asarray(a)) & np.isfinite(np.asarray(b)) & (np.asarray(b) != 0)
    tame = [cf.CFloatArray(x.codes[values], fmt) for x in (a, b)]
    assert_same(BINARY[name], tame, tame[0].copy(), counted=False)


@pytest.mark.parametrize(
    ("fmt", "bias"), [(SHP, 15), (SHP, 2), (UHP, 31), (cf.float16, 15)], ids=str
)
@pytest.mark.parametrize("name", BINARY)
def test_all_codes_of_16_bits_with_some(name, fmt, bias, isa):
    """Those at both ends of all binades, near each code itself, and at random."""
    every = np.arange(1 << 16, dtype=np.uint16)
    m = 1 << fmt.mantissa_bits
    rng = np.random.default_rng(3)
    others = [0, 1, 2, m - 1, m, m + 1, 2 * m, 9 * m - 1, 15 * m, 15 * m + 1, 16 * m - 1, 31 * m]
    others += [x | 1 << 15 for x in others] + rng.integers(0, 1 << 16, 12).tolist()
    near = [every ^ x for x in (0, 1, 1 << 15, 1 << 15 | 1, m, 3 * m, 1 << 15 | 12 * m | 5)]
    a = cf.CFloatArray(every, fmt, bias)
    for codes in [np.full_like(every, x) for x in others] + near:
        b = cf.CFloatArray(codes.astype(np.uint16), fmt, bias)
        assert_same(BINARY[name], (a, b), a.copy(), counted=False)


@pytest.mark.quick
def test_a_product_in_the_middle_of_the_hole(isa):
    """37 * 83 half quanta, between the largest subnormal number and the smallest normal one."""
    a = cf.asarray(np.full(100, 37 * 2.0**-13), SHP)
    b = cf.asarray(np.resize([83 * 2.0**-13, -83 * 2.0**-13], 100), SHP)
    assert (np.asarray(a, np.float64) * np.asarray(b, np.float64))[0] == (
        1023 + 1024 * 2
    ) * 2.0**-26
    product = np.multiply(a, b, out=a.copy())
    assert product.codes.tolist() == [0x400, 0x8400] * 50
    a.codes[:] -= 1
    assert np.multiply(a, b, out=a.copy()).codes.tolist() == [0x3FF, 0x83FF] * 50


@pytest.mark.parametrize("name", BINARY)
def test_results_that_bypass_the_caches(name):
    """Those of much memory, that begin anywhere, and of several threads."""
    size = (1 << 23) + 77
    for fmt, dtype in ((F8, np.uint8), (SHP, np.uint16)):
        room = np.random.default_rng(1).integers(0, 256, size + 200).astype(dtype)
        a = cf.CFloatArray(room[1 : size + 1], fmt)
        b = cf.CFloatArray(room[100 : size + 100], fmt)
        out = cf.CFloatArray(np.zeros(size + 3, dtype)[3:], fmt)
        with np.errstate(all="ignore"):
            BINARY[name](a, b, out=out)
            for part in (slice(0, 500), slice(4_194_000, 4_195_000), slice(size - 500, size)):
                expected = BINARY[name](apart(a[part]), apart(b[part]), out=a[part].copy())
                assert np.array_equal(out[part].codes, expected.codes)


@pytest.mark.parametrize("fmt", [F8, cf.float8_e5m2], ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_pairs_that_are_looked_up(name, fmt, isa):
    """All pairs of codes, so many times that a table is worth it; and without those that signal."""
    every = np.arange(256, dtype=np.uint8)
    pairs = [np.tile(np.repeat(every, 256), 4), np.tile(every, 1024)]
    a, b = (cf.CFloatArray(np.append(codes, codes[300:317]), fmt) for codes in pairs)
    assert_same(BINARY[name], (a, b), a.copy(), counted=False)
    tame = cf.CFloatArray(np.where(b.codes % 128 < 8, 8, b.codes % 120).astype(np.uint8), fmt)
    assert_same(BINARY[name], (tame, tame), a.copy(), counted=False)


@pytest.mark.parametrize("mode", list(cf.ROUNDING_MODES))
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "sqrt", "fma"])
def test_every_mode(name, mode, isa):
    """`cfloat.add` and the like, whose general way the strided operands take."""
    options = {"rounding": mode, "seed": 3} if mode == "stochastic" else {"rounding": mode}
    for fmt in (F8, F52, SHP, UHP):
        given = [codes_of(fmt, 3000, seed) for seed in range({"sqrt": 1, "fma": 3}.get(name, 2))]
        with cf.record_flags() as expected_flags:
            expected = getattr(cf, name)(*map(apart, given), fmt, **options)
        with cf.record_flags() as flags:
            found = getattr(cf, name)(*given, fmt, **options)
        assert np.array_equal(found.codes, expected.codes)
        assert flags == expected_flags
        assert np.array_equal(getattr(cf, name)(*given, fmt, **options).codes, expected.codes)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("name", [*BINARY, *UNARY])
def test_results_of_float32_are_numpys(name, fmt, isa):
    ufunc = {**BINARY, **UNARY}[name]
    a, b = codes_of(fmt, 2500, 1), codes_of(fmt, 2500, 2)
    operands = [(a,)] if name in UNARY else [(a, b), (a, a), (a, 0.1), (3, a), (a, 0)]
    for given in operands:
        with warnings.catch_warnings(record=True) as expected_warnings:
            warnings.simplefilter("always")
            expected = ufunc(
                *(np.asarray(x) if isinstance(x, cf.CFloatArray) else x for x in given)
            )
        with warnings.catch_warnings(record=True) as found_warnings:
            warnings.simplefilter("always")
            found = ufunc(*given)
        assert found.dtype == np.float32
        expected = np.where(np.isnan(expected), np.float32(np.nan), expected)
        assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
        assert {str(w.message) for w in found_warnings} == {
            str(w.message) for w in expected_warnings
        }


@pytest.mark.quick
def test_operands_in_other_places(isa):
    """What is written is an operand, a part of one, its other end, or read-only."""
    a = codes_of(F8, 3000)
    expected = np.add(apart(a), apart(a), out=a.copy())
    again = a.copy()
    again += again
    assert np.array_equal(again.codes, expected.codes)
    again = a.copy()
    np.add(again[:-1], again[1:], out=again[1:])
    expected = np.add(apart(a[:-1]), apart(a[1:]), out=a[1:].copy())
    assert np.array_equal(again[1:].codes, expected.codes)
    first = a.copy()
    np.add(first, first[:1], out=first)
    assert np.array_equal(first.codes, np.add(apart(a), apart(a[:1]), out=a.copy()).codes)
    fixed = a.copy()
    fixed.codes.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        np.add(a, a, out=fixed)
    with pytest.raises(ValueError, match="shape"):
        np.add(a, a, out=a[:5].copy())


def test_flags_are_reported_as_the_general_way_does():
    a = cf.asarray([448.0, 1.0], F8)
    for x in (a, apart(a)):
        with (
            cf.errstate(overflow="raise"),
            pytest.raises(cf.FlagError, match="overflow in add to CFloat8_1_4_3: 1 of 2"),
        ):
            np.add(x, 448.0, out=a.copy())
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide"):
        np.divide(a, 0, out=a.copy())


# Reductions


def in_order(values):
    """Add up the last axis as docs/spec.md 5.13 says."""
    total = -0.0
    for chunk in np.split(values, range(1 << 20, values.size, 1 << 20)):
        of_chunk = -0.0
        for block in np.split(chunk, range(4096, chunk.size, 4096)):
            lanes = np.full(16, -0.0)
            padded = np.append(block, np.full(-block.size % 16, -0.0)).astype(np.float64)
            for row in padded.reshape(-1, 16):
                lanes = lanes + row
            while lanes.size > 1:
                lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
            of_chunk = of_chunk + lanes[0]
        total = total + of_chunk
    return total


@pytest.fixture(params=[1, 3])
def threads(request):
    before = cf.get_num_threads()
    cf.set_num_threads(request.param)
    yield
    cf.set_num_threads(before)


def finite(fmt, shape, seed=0):
    a = codes_of(fmt, shape, seed)
    bad = ~np.isfinite(np.asarray(a))
    a.codes[bad] = 1 << fmt.mantissa_bits
    return a


@pytest.mark.parametrize("fmt", [F8, UHP], ids=str)
def test_sums_have_one_order(fmt, isa, threads):
    for size in (1, 15, 16, 4096, 4097, 10_003):
        a = finite(fmt, size)
        assert a.sum() == np.float32(in_order(np.asarray(a)))
        assert np.add.reduce(a) == a.sum()
        assert a.mean() == np.float32(in_order(np.asarray(a)) / size)
    for shape in ((3, 50, 100), (3, 7, 5)):
        a = finite(fmt, shape)
        values = np.asarray(a)
        rows = [[np.float32(in_order(row)) for row in matrix] for matrix in values]
        assert np.array_equal(a.sum(-1), rows)
        assert np.array_equal(a.sum((1, 2)), [np.float32(in_order(m.reshape(-1))) for m in values])
        columns = np.full((3, shape[2]), -0.0)
        for k in range(shape[1]):
            columns = columns + values[:, k]
        assert np.array_equal(a.sum(1), columns.astype(np.float32))
        assert a.sum(1, keepdims=True).shape == (3, 1, shape[2])
        assert np.array_equal(a.mean(1), (columns / shape[1]).astype(np.float32))


@pytest.mark.parametrize("fmt", [F52, SHP, UHP, cf.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_arrays_in_fortran_order_are_reduced_as_their_transposes(fmt, name, isa):
    """A sum follows the memory (docs/spec.md 5.13)."""
    a = finite(fmt, (90, 3, 110))
    turned = cf.CFloatArray(a.codes.T, fmt)
    for axis, other in ((None, None), (0, 2), (-1, 0), (1, 1), ((0, 1), (1, 2))):
        expected = getattr(a, name)(axis=other)
        found = getattr(turned, name)(axis=axis)
        assert type(found) is type(expected)
        assert np.array_equal(np.asarray(found), np.asarray(expected).T, equal_nan=True)
        kept = getattr(turned, name)(axis=axis, keepdims=True)
        assert kept.shape == getattr(np.zeros((110, 3, 90)), name)(axis=axis, keepdims=True).shape
    with pytest.raises(ValueError, match="axis"):
        getattr(turned, name)(axis=3)
    values = np.zeros((64, 64), np.float32)
    values.flat[[0, 1, 4090]] = 2.0**100, 1, -(2.0**100)  # in another order 1 is lost
    far = cf.asarray(values, cf.bfloat16)
    assert far.sum() == far.T.sum() == 1


@pytest.mark.quick
def test_the_order_shows_where_sums_are_not_exact(isa, threads):
    """What cancels within a block, at halves of it, loses nothing; and what does not, does."""
    big = 2.0**100
    for places, expected in (((0, 8), 1), ((0, 7), 0), ((0, 4090), 1), ((0, 4096), 0)):
        values = np.zeros(8192, np.float32)
        values[1] = 1
        values[list(places)] = big, -big
        if places == (0, 4096):
            values[8] = 1  # lost beside the first
        a = cf.asarray(values, cf.bfloat16)
        assert in_order(values) == expected
        assert a.sum() == expected
    columns = cf.asarray(np.repeat([[1], [big], [-big], [3]], 64, axis=1), cf.bfloat16)
    assert set(columns.sum(0).tolist()) == {3.0}


EXACT = (
    F8,
    F52,
    IEEE8,
    cf.float8_e4m3fn,
    cf.float8_e5m2,
    cf.float8_e4m3fnuz,
    cf.float8_e5m2fnuz,
    cf.Format("flushed", exponent_bits=5, mantissa_bits=2, subnormals="flush"),
    cf.Format("unsigned", exponent_bits=4, mantissa_bits=4, signed=False),
    cf.Format("four", exponent_bits=3, mantissa_bits=4),
    cf.Format("no zero", exponent_bits=4, mantissa_bits=3, subnormals="normal"),
    cf.Format("six bits", exponent_bits=3, mantissa_bits=2),
)
WIDE_EXACT = (
    SHP,
    cf.float16,
    cf.Format("flushed16", exponent_bits=5, mantissa_bits=10, subnormals="flush"),
    cf.Format("ieee16", exponent_bits=5, mantissa_bits=10, subnormals="ieee"),
    cf.Format("unsigned16", exponent_bits=5, mantissa_bits=10, signed=False),
    cf.Format("twelve bits", exponent_bits=5, mantissa_bits=6),
)


def exact(values):
    """The exact sum, rounded to float32 once."""
    mantissas, exponents = np.frexp(np.asarray(values, np.float64))
    least = int(exponents.min(initial=0))
    # of each exponent apart: integers of 24 bits, whose sums float64 has without rounding
    assert values.size < 1 << (53 - 24)
    sums = np.bincount(exponents - least, np.ldexp(mantissas, 24))
    return nearest(sum(int(some) * Fraction(2) ** (least - 24 + i) for i, some in enumerate(sums)))


def nearest(total):
    """Round a fraction to float32: to odd to float64 first, and so once."""
    near = float(total)
    if Fraction(near) != total and np.frombuffer(np.float64(near)).view(np.uint64)[0] % 2 == 0:
        near = np.nextafter(near, np.inf if total > Fraction(near) else -np.inf)
    return np.float32(near)


@pytest.mark.parametrize("fmt", [*EXACT, *WIDE_EXACT], ids=str)
def test_sums_of_narrow_formats_are_exact(fmt, isa, threads):
    for size in (1, 31, 127, 128, 1000, 2049, 5001, (1 << 20) + 4099):
        a = finite(fmt, size, size)
        assert a.sum() == exact(np.asarray(a))
    a = finite(fmt, (70, 5, 65))
    values = np.asarray(a)
    assert np.array_equal(a.sum(2), [[exact(row) for row in rows] for rows in values])
    assert np.array_equal(a.sum(0).ravel(), [exact(v) for v in values.reshape(70, -1).T])


@pytest.mark.quick
def test_no_chunk_of_an_exact_sum_loses_anything(isa, threads):
    """A sum of 54 bits that is a tie between two of float32 but for its last bit."""
    codes = np.zeros(9 << 19, np.uint8)
    codes[: 1 << 20] = 127  # 7 * 2**31 units each
    codes[1 << 20 :][:2] = 27 << 2, 1  # 2**29 of them, and 1
    a = cf.CFloatArray(codes, F52)
    assert a.sum() > exact(np.asarray(a[: 1 << 20]))
    assert a.sum() == exact(np.asarray(a))
    wide = np.zeros((1 << 20) + 9000, np.uint16)
    wide[: 1 << 20] = 0x7FFF  # 2047 * 2**31 units each
    wide[(1 << 20) + 8000 :][:2] = 27 << 10, 1  # 2**37 of them, and 1
    a = cf.CFloatArray(wide, SHP)
    assert a.sum() > exact(np.asarray(a[: 1 << 20]))
    for of in (a, cf.CFloatArray(wide ^ 0x8000, SHP)):
        assert of.sum() == exact(np.asarray(of))
        columns = cf.CFloatArray(np.repeat(of.codes[::-1, None], 64, axis=1)[-5000:], SHP)
        assert set(columns.sum(0).tolist()) == {exact(np.asarray(columns[:, 0]))}
    rows = cf.CFloatArray(np.tile(wide[(1 << 20) - 4094 :][:4096], (3, 1)), SHP)
    rows.codes[:, -2:] = 0x7C00, 1
    assert set(rows.sum(1).tolist()) == {exact(np.asarray(rows[0]))}


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("name", ["max", "min"])
def test_extremes(name, fmt, isa, threads):
    for shape in ((4095,), (5000,), (3, 50, 100), (2, 3000, 2), (600, 700)):
        for a in (
            finite(fmt, shape),
            codes_of(fmt, shape),
            -abs(finite(fmt, shape)) if fmt.signed else finite(fmt, shape, 4),
        ):
            values = np.asarray(a)
            for axis in (None, 0, -1, tuple(range(len(shape)))[-2:]):
                found, expected = getattr(a, name)(axis=axis), getattr(values, name)(axis=axis)
                assert np.array_equal(np.asarray(found), expected, equal_nan=True)
                assert isinstance(found, cf.CFloatArray if np.ndim(expected) else np.float32)
                ufunc = np.maximum if name == "max" else np.minimum
                again = ufunc.reduce(a, axis=axis)
                assert np.array_equal(np.asarray(again), expected, equal_nan=True)
                same = getattr(np, f"a{name}")(a, axis)
                assert np.array_equal(np.asarray(same), expected, equal_nan=True)


def test_of_two_zeros_minus_zero_is_the_smaller(isa):
    zeros = cf.asarray([0.0, -0.0] * 4000, F8)
    assert not np.signbit(zeros.max())
    assert np.signbit(zeros.min())


def test_what_numpy_says_is_wrong_stays_so():
    a = finite(F8, (70, 70))
    for axis in (2, -3, (0, 0), "x"):
        with pytest.raises((ValueError, TypeError)):
            a.sum(axis=axis)
        with pytest.raises((ValueError, TypeError)):
            a.max(axis=axis)
    assert a[:0].sum() == 0
    with pytest.raises(ValueError, match="zero-size"):
        a[:0].max()
    assert np.array_equal(a.sum(dtype=np.float64), np.asarray(a).sum(dtype=np.float64))


def test_sums_that_float32_lacks_are_numpys():
    big = cf.asarray(np.full(100, 3e38, np.float32), cf.bfloat16)
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert np.isinf(big.sum())
    assert np.isnan(cf.asarray([1.0, np.nan] * 50, cf.bfloat16).sum())


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_flags_of_what_is_reduced_are_counted(name):
    """Whichever way: a subnormal operand's, and a NaN's."""
    for fmt, code, flag in ((F8, 1, "denormal"), (cf.float8_e5m2, 0x7D, "invalid")):
        a = cf.ones((100, 80), fmt)
        a.codes[3, ::2] = code
        for reduce in (getattr(np, name), lambda x, axis=None: getattr(x, name)(axis=axis)):
            for axis in (None, 0):
                with cf.record_flags() as expected, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    reduce(apart(a), axis=axis)
                with cf.record_flags() as flags, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    reduce(a, axis=axis)
                assert flags == expected
                assert getattr(flags, flag) == 40


@pytest.mark.parametrize("axis", [True, (True,), (0, False)])
def test_a_bool_is_no_axis(axis):
    a = finite(F8, (70, 70))
    for reduce in (np.sum, np.mean, np.max, np.min):
        with pytest.raises(TypeError, match="integer"):
            reduce(a, axis=axis)


def test_sums_and_means_that_float32_rounds_to_subnormals_are_numpys():
    a = cf.asarray([2.0**-126, 2.0**-126, 2.0**-133] * 50, cf.bfloat16)
    values = np.asarray(a)
    for name in ("sum", "mean"):
        with np.errstate(under="warn"), warnings.catch_warnings(record=True) as expected:
            warnings.simplefilter("always")
            of_values = getattr(values, name)()
        with np.errstate(under="warn"), warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            assert getattr(a, name)() == of_values
        assert [str(w.message) for w in found] == [str(w.message) for w in expected]
    assert expected


def test_numpy_tells_of_divisions_by_zero_before_invalid_ones():
    a = cf.asarray([1.0, 0.0] * 8, F8)
    for divide in (lambda: a / 0, lambda: np.divide(a, 0, out=a.copy())):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            divide()
        told = [str(w.message).split(" enc")[0] for w in found]
        assert told == ["divide by zero", "invalid value"]


# Comparisons

COMPARISONS = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@pytest.mark.parametrize("fmt", [*FORMATS, *EXACT[6:]], ids=str)
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_are_those_of_the_values(name, fmt, isa, threads):
    compare = COMPARISONS[name]
    if fmt.bits <= 8:  # all pairs
        every = np.arange(1 << fmt.bits, dtype=np.uint8)
        pairs = [np.repeat(every, every.size), np.tile(every, every.size)]
        arrays = [tuple(cf.CFloatArray(codes, fmt) for codes in pairs)]
    else:
        arrays = []
    a, b = codes_of(fmt, (37, 29), 1), codes_of(fmt, (37, 29), 2)
    b.codes[::2] = a.codes[::2] ^ (1 << (fmt.bits - 1))  # of which some are zeros
    b.codes[::3] = a.codes[::3]
    a.codes[5], b.codes[5] = 0, 1 << (fmt.bits - 1)
    for x, y in [*arrays, (a, b), (a, a), (a[3:4], b[3:4]), (a[0, :0], b[0, :0])]:
        expected = compare(np.asarray(x), np.asarray(y))
        found = compare(x, y)
        assert found.dtype == np.bool_
        assert np.array_equal(found, expected)
    assert np.array_equal(compare(a.T, b.T), compare(np.asarray(a.T), np.asarray(b.T)))
    nothing = cf.CFloatArray(np.array(a.codes[0, 0]), fmt)
    assert type(compare(nothing, nothing)) is np.bool_


@pytest.mark.parametrize("other", [0, -0.0, 1, 0.3, np.inf, np.nan, np.float32(2), np.float64(0.1)])
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_with_a_number(name, other, isa):
    compare = COMPARISONS[name]
    for fmt in (F8, cf.float8_e4m3fn, EXACT[-1], UHP):
        for size in (100, 5000):
            a = codes_of(fmt, size)
            assert np.array_equal(compare(a, other), compare(np.asarray(a), other))
            assert np.array_equal(compare(other, a), compare(other, np.asarray(a)))


@pytest.mark.quick
def test_comparisons_of_arrays_that_differ_in_more_than_codes():
    a = codes_of(F8, 500)
    for b in (
        cf.CFloatArray(a.codes, F8, bias=3),
        cf.CFloatArray(a.codes, F8, bias=np.arange(500) % 20),
        cf.CFloatArray(a.codes, cf.float8_e4m3fn),
        a[:1],
        apart(a),
    ):
        assert np.array_equal(a == b, np.asarray(a) == np.asarray(b))
        assert np.array_equal(a < b, np.asarray(a) < np.asarray(b))
    wrong = cf.CFloatArray(np.zeros(500, np.uint8), EXACT[-1])
    wrong.codes[3] = 200
    with pytest.raises(cf.ArgumentValueError, match="200"):
        wrong == wrong  # noqa: B015
