"""What keeps the format: signs, and what only selects (docs/spec.md 3.7, 3.8, 5.8 and 5.9)."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from kept_formats import FORMATS, label

import cfloat as cf
from cfloat._array import same_format

F8, F52, SHP, UHP = cf.TESLA_FORMATS
E5M2 = cf.float8_e5m2
FNUZ = next(fmt for fmt in FORMATS if fmt.name == "e4m3fnuz")

SIGNED = [fmt for fmt in FORMATS if fmt.signed]
UNSIGNED = [fmt for fmt in FORMATS if not fmt.signed]
formats = pytest.mark.parametrize("fmt", FORMATS, ids=label)
signed = pytest.mark.parametrize("fmt", SIGNED, ids=label)


def every_code(fmt, bias=None):
    return cf.CFloatArray(np.arange(1 << fmt.bits, dtype=fmt.storage_dtype), fmt, bias)


def assert_kept(got, codes, like):
    assert type(got) is cf.CFloatArray
    assert got.format == like.format
    np.testing.assert_array_equal(got._biases.full(got.shape), like._biases.full(like.shape))
    np.testing.assert_array_equal(got.codes, codes)


def fixed(fmt, code):
    """Whether signs leave a code as it is: 0 and NaN where the code of -0 is NaN."""
    return fmt.nonfinite in ("fnuz", "p3109") and code % (1 << (fmt.bits - 1)) == 0


# Signs


@signed
def test_signs_are_one_bit(fmt):
    a = every_code(fmt)
    bit = 1 << (fmt.bits - 1)
    codes = range(1 << fmt.bits)
    negated = [code if fixed(fmt, code) else code ^ bit for code in codes]
    positive = [code if fixed(fmt, code) else code & ~bit for code in codes]
    negative = [code if fixed(fmt, code) else code | bit for code in codes]
    for got in (-a, np.negative(a)):
        assert_kept(got, negated, a)
    for got in (
        abs(a),
        np.absolute(a),
        np.fabs(a),
        np.copysign(a, 1),
        np.copysign(a, np.float32(0)),
    ):
        assert_kept(got, positive, a)
    for got in (
        np.copysign(a, -1.5),
        np.copysign(a, np.array(-0.0)),
        np.copysign(a, cf.asarray(-1, F8)),
    ):
        assert_kept(got, negative, a)
    for got in (+a, np.positive(a), np.conjugate(a), a.conj()):
        assert_kept(got, codes, a)
        assert not np.shares_memory(got.codes, a.codes)
    for dtype in (np.float16, np.int8, np.int64, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ">f8"):
        assert_kept(np.copysign(a, np.array(-1).astype(dtype)), negative, a)
        assert_kept(np.copysign(a, np.array(1).astype(dtype)), positive, a)
    assert_kept(np.copysign(a, np.uint8(1)), positive, a)
    got = np.copysign(a[:1], cf.asarray([1.0, np.nan, 2.0], UHP))  # which has no signs
    assert_kept(got, positive[:1] * 3, got)
    # of each other's signs
    mirrored = a[::-1]
    expected = np.where(np.signbit(np.asarray(mirrored)), negative, positive)
    if fmt.nonfinite not in ("fnuz", "p3109"):
        assert_kept(np.copysign(a, mirrored), expected, a)
        assert_kept(np.copysign(a, np.asarray(mirrored)), expected, a)


@signed
@pytest.mark.parametrize("size", [5, 5000, 40_000])
def test_signs_into_outputs(fmt, size, rng):
    """Into an array of the format, itself included, and where a mask says so."""
    codes = rng.integers(0, 1 << fmt.bits, size).astype(fmt.storage_dtype)
    a = cf.CFloatArray(codes, fmt)
    for ufunc, rest in (
        (np.negative, ()),
        (np.absolute, ()),
        (np.copysign, (-1.0,)),
        (np.positive, ()),
    ):
        expected = ufunc(a, *rest).codes
        out = cf.CFloatArray(np.zeros(size, fmt.storage_dtype), fmt)
        assert ufunc(a, *rest, out=out) is out
        np.testing.assert_array_equal(out.codes, expected)
        mask = rng.random(size) < 0.5
        out = a.copy()
        ufunc(out, *rest, out=out, where=mask)
        np.testing.assert_array_equal(out.codes, np.where(mask, expected, codes))
        backward = a.copy()
        ufunc(backward[::-1], *rest, out=backward)
        np.testing.assert_array_equal(backward.codes, expected[::-1])


@pytest.mark.quick
def test_nan_s_sign_into_outputs():
    """IEEE 754 5.5.1: the sign bit alone, from and to whatever there is."""
    nan = cf.CFloatArray(np.array([0x7E, 0xFE], np.uint8), E5M2)
    out = cf.CFloatArray(np.zeros(2, np.uint8), E5M2)
    for ufunc, rest, expected in (
        (np.negative, (), [0xFE, 0x7E]),
        (np.absolute, (), [0x7E, 0x7E]),
        (np.fabs, (), [0x7E, 0x7E]),
        (np.copysign, (-1.0,), [0xFE, 0xFE]),
        (np.copysign, ([1.0, -1.0],), [0x7E, 0xFE]),
        (np.positive, (), [0x7E, 0xFE]),
    ):
        sources = (
            nan,
            np.asarray(nan),
            np.asarray(nan, np.float64),
            np.asarray(nan, np.float16),
            np.asarray(nan).astype(ml_dtypes.bfloat16),
            cf.asarray(np.asarray(nan), cf.float16),
            cf.CFloatArray(np.array([0x7F, 0xFF], np.uint8), cf.float8_e4m3fn),
        )
        for source, copies in itertools.product(sources, (1, 3000, 20_000)):
            many = np.tile(source, copies)
            given = [np.tile(x, copies) if isinstance(x, list) else x for x in rest]
            into = np.tile(out, copies)
            ufunc(many, *given, out=into)
            np.testing.assert_array_equal(
                into.codes, expected * copies, str((ufunc, source, copies))
            )
            into.codes[...] = 1
            ufunc(many, *given, out=into, where=np.arange(2 * copies) % 2 == 1)
            np.testing.assert_array_equal(into.codes, [1, expected[1]] * copies)
    # an unsigned format's NaN has no sign, and its negative has
    u = cf.asarray([np.nan] * 5000, UHP)
    into = cf.asarray(np.zeros(5000), E5M2)
    np.negative(u, out=into)
    assert set(into.codes.tolist()) == {0xFE}
    e8m0 = next(fmt for fmt in FORMATS if fmt.name == "e8m0")
    np.negative(cf.CFloatArray(np.full(5000, 0xFF, np.uint8), e8m0), out=into)
    assert set(into.codes.tolist()) == {0xFE}
    # into a format without a sign, or without NaN
    np.negative(nan, out=cf.asarray([0, 0], UHP))
    clamped = cf.asarray([0, 0], F8)
    np.negative(nan[:1], out=clamped[:1])
    assert float(clamped[0]) == 480
    # each at its place; and ufunc.at
    into = cf.CFloatArray(np.array([0x7E, 0xFE, 0x3C], np.uint8), E5M2)
    np.negative.at(into, [0, 1, 2, 2])
    np.testing.assert_array_equal(into.codes, [0xFE, 0x7E, 0x3C])


@pytest.mark.quick
def test_nan_in_the_place_of_minus_zero():
    a = cf.CFloatArray(np.array([0x00, 0x80, 0x41, 0xC1], np.uint8), FNUZ)
    np.testing.assert_array_equal((-a).codes, [0x00, 0x80, 0xC1, 0x41])
    np.testing.assert_array_equal(abs(a).codes, [0x00, 0x80, 0x41, 0x41])
    np.testing.assert_array_equal(np.copysign(a, -1).codes, [0x00, 0x80, 0xC1, 0xC1])
    np.testing.assert_array_equal(np.copysign(a, 1).codes, [0x00, 0x80, 0x41, 0x41])
    # what goes on to another format: 0 stays 0, and NaN has no sign to take along
    out = cf.asarray(np.ones(4), E5M2)
    np.negative(a, out=out)
    np.testing.assert_array_equal(out.codes[0], 0)
    np.testing.assert_array_equal(out.codes[1], np.positive(a, out=out).codes[1])
    # and what comes: -0 is 0, whose sign is not kept, and NaN is NaN
    into = cf.CFloatArray(np.full(3, 1, np.uint8), FNUZ)
    np.negative(np.float32([0.0, np.nan, 1.0]), out=into)
    assert into.codes[:2].tolist() == [0x00, 0x80]
    np.negative(cf.asarray([0.0, np.nan, 1.0], E5M2), out=into)
    assert into.codes[:2].tolist() == [0x00, 0x80]


@pytest.mark.parametrize("fmt", UNSIGNED, ids=label)
def test_unsigned_formats(fmt):
    """Their negatives are float32; what keeps within them keeps them."""
    a = every_code(fmt)
    values = np.asarray(a)
    for got, expected in (
        (-a, -values),
        (np.negative(a), -values),
        (np.copysign(a, -1), -np.abs(values)),
    ):
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, expected)
    for got in (abs(a), +a, np.absolute(a), np.positive(a)):
        assert_kept(got, a.codes, a)


@pytest.mark.quick
def test_what_is_asked_for_is_given():
    a = cf.asarray([1.5, -2.0], F8)
    assert np.negative(a, dtype=np.float64).dtype == np.float64
    assert type(np.negative(a, dtype=np.float32)) is np.ndarray
    out = np.zeros(2, np.float32)
    assert np.negative(a, out=out) is out
    np.testing.assert_array_equal(out, [-1.5, 2])
    # half are not computed: they may be anything that the format has
    some = np.negative(a, where=[True, False])
    assert (type(some), some.codes[0]) == (cf.CFloatArray, cf.encode(-1.5, F8))
    m = cf.asarray(np.arange(6.0).reshape(2, 3), F8)
    assert np.negative(m, order="F").codes.flags.f_contiguous
    assert np.negative(m.T).codes.flags.f_contiguous
    # no axes, no elements, another byte order
    assert type(-cf.asarray(1.0, F8)) is cf.CFloatArray
    assert float(-cf.asarray(1.0, F8)) == -1
    assert (-cf.asarray([], F8)).shape == (0,)
    swapped = cf.CFloatArray(cf.encode([1.0, -2.5], SHP).astype(">u2"), SHP)
    np.testing.assert_array_equal(-swapped, [-1, 2.5])
    np.testing.assert_array_equal(abs(swapped), [1, 2.5])
    np.testing.assert_array_equal(np.maximum(swapped, -swapped), [1, 2.5])
    with pytest.raises(ValueError, match=r"broadcast|shape"):
        np.negative(a, out=a[:1])
    spread = cf.asarray(np.zeros((2, 2)), F8)
    np.negative(a, out=spread)
    np.testing.assert_array_equal(spread, [[-1.5, 2]] * 2)
    with cf.errstate(all="raise"):
        -every_code(E5M2)
        np.maximum(every_code(E5M2), every_code(E5M2))
    with cf.record_flags() as flags:
        np.negative(cf.asarray([1e4, 1.0], SHP), out=a)
    assert flags.overflow == 1
    six = cf.Format("fp6", exponent_bits=3, mantissa_bits=2)
    wrong = cf.asarray([1.0], six)
    wrong.codes[0] = 200
    for function in (lambda: -wrong, lambda: abs(wrong), lambda: np.maximum(wrong, wrong)):
        with pytest.raises(cf.ArgumentValueError, match="200"):
            function()


class Derived(cf.CFloatArray):
    def __array_ufunc__(self, ufunc, *args, **kwargs):
        return ufunc.__name__


def test_subclasses_with_ufuncs_of_their_own():
    a = Derived(np.array([56], np.uint8), F8)
    assert [-a, +a, abs(a)] == ["negative", "positive", "absolute"]


# The larger and the smaller


def pairs(fmt, rng):
    """Codes beside each other: all of them of a small format, and else special ones and any."""
    count = 1 << fmt.bits
    if fmt.bits <= 6:
        codes = np.arange(count)
        return np.repeat(codes, count), np.tile(codes, count)
    half = count // 2
    edges = [edge % count for base in (0, half) for edge in range(base - 12, base + 12)]
    edges = np.unique(edges + rng.integers(0, count, 60).tolist())
    first, second = np.repeat(edges, edges.size), np.tile(edges, edges.size)
    return first, second


@formats
@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_the_larger_and_the_smaller(fmt, name, rng, monkeypatch):
    ufunc = getattr(np, name)
    first, second = (codes.astype(fmt.storage_dtype) for codes in pairs(fmt, rng))
    a, b = cf.CFloatArray(first, fmt), cf.CFloatArray(second, fmt)
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    got = ufunc(a, b)
    assert (type(got), got.format, got.bias) == (cf.CFloatArray, fmt, a.bias)
    values = np.asarray(got, np.float64)
    with np.errstate(all="ignore"):
        expected = ufunc(x, y)
    np.testing.assert_array_equal(values, expected)
    # -0 is the smaller of two zeros, and NaN is the canonical one
    zeros = (x == 0) & (y == 0)
    some, both = np.signbit(x) | np.signbit(y), np.signbit(x) & np.signbit(y)
    minus = both if name in ("maximum", "fmax") else some
    np.testing.assert_array_equal(np.signbit(values)[zeros], minus[zeros])
    nan = np.isnan(expected)
    if nan.any():
        assert set(got.codes[nan].tolist()) == {int(cf.encode(np.nan, fmt))}
    # all sizes and layouts give the same, bit for bit
    repeated = [np.tile(each, -(-40_000 // a.size)) for each in (a, b)]
    expected_codes = np.tile(got.codes, -(-40_000 // a.size))
    np.testing.assert_array_equal(ufunc(*repeated).codes, expected_codes)
    np.testing.assert_array_equal(
        ufunc(*(each[::-1] for each in repeated)).codes, expected_codes[::-1]
    )
    monkeypatch.setattr(same_format, "is_looked_up", lambda codes: False)
    np.testing.assert_array_equal(ufunc(a, b).codes, got.codes)


@pytest.mark.parametrize("fmt", [F8, SHP, E5M2], ids=label)
def test_isas_agree(fmt, rng, isa):
    del isa
    codes = rng.integers(0, 1 << fmt.bits, (2, 50_000)).astype(fmt.storage_dtype)
    a, b = (cf.CFloatArray(each, fmt) for each in codes)
    for ufunc in (np.maximum, np.fmin):
        whole = ufunc(a, b).codes
        for start in range(0, 50_000, 4999):
            key = slice(start, start + 777)
            np.testing.assert_array_equal(whole[key], ufunc(a[key], b[key]).codes)


@pytest.mark.quick
def test_outputs_of_the_larger():
    a, b = cf.asarray([1.0, -3.0, np.nan], E5M2), cf.asarray([-1.0, 2.0, 0.0], E5M2)
    out = cf.asarray(np.zeros(3), E5M2)
    assert np.maximum(a, b, out=out) is out
    np.testing.assert_array_equal(out, [1, 2, np.nan])
    np.fmax(a, b, out=a)
    np.testing.assert_array_equal(a, [1, 2, 0])
    wide = cf.asarray(np.zeros((2, 3)), SHP)
    np.minimum(a, b, out=wide)
    np.testing.assert_array_equal(wide, [[-1, 2, 0]] * 2)
    plain = np.zeros(3, np.float32)
    assert np.minimum(a, b, out=plain) is plain
    np.testing.assert_array_equal(plain, [-1, 2, 0])


@pytest.mark.quick
def test_clip():
    a = cf.asarray([-5.0, 0.5, 7.0], F8)
    low, high = cf.asarray(-1, F8), cf.asarray([2.0, 0.25, 4.0], F8)
    for got, expected in (
        (np.clip(a, low, high), [-1, 0.25, 4]),
        (a.clip(low, high), [-1, 0.25, 4]),
        (np.clip(a, None, high), [-5, 0.25, 4]),
        (np.clip(a, low, None), [-1, 0.5, 7]),
    ):
        assert_kept(got, cf.encode(expected, F8), a)
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        assert_kept(np.clip(a, max=high), cf.encode([-5, 0.25, 4], F8), a)
    for wrong in (lambda: np.clip(a, low, max=high), lambda: np.clip(a, low, high, min=low)):
        with pytest.raises((TypeError, ValueError)):
            wrong()
    out = cf.asarray(np.zeros(3), F8)
    assert np.clip(a, low, high, out=out) is out
    np.testing.assert_array_equal(out, [-1, 0.25, 4])
    np.clip(a, low, high, out=a, where=[True, False, True])
    np.testing.assert_array_equal(a, [-1, 0.5, 4])
    plain = np.zeros(3, np.float32)
    assert np.clip(a, low, high, out=plain) is plain
    # a number is no array of the format, whatever its value
    for limits in ((-1, 1), (low, 1.0), (low, np.ones(3, np.float32)), (low, cf.asarray(1, SHP))):
        assert type(np.clip(a, *limits)) is np.ndarray
    nan = cf.asarray([np.nan, 1.0], E5M2)
    clipped = np.clip(-nan, cf.asarray(0, E5M2), cf.asarray(2, E5M2))
    np.testing.assert_array_equal(clipped.codes, [0x7E, 0])


# Biases


@pytest.mark.quick
def test_types_alone_decide():
    a = cf.asarray([1.0, 2.0], F8)
    for other in (
        0, 0.0, np.float32(1), np.zeros(2, np.float32), [0.0, 1.0], cf.asarray([1.0, 2.0], F8, 6),
        cf.asarray([1.0, 2.0], SHP), cf.asarray([1.0, 2.0], F8.replace(subnormals="ieee")),
    ):  # fmt: skip
        for result in (
            np.maximum(a, other), np.fmin(other, a), np.where([True, False], a, other),
            np.select([[True, False]], [a], other), np.choose([0, 1], [a, other]),
        ):  # fmt: skip
            assert type(result) is np.ndarray
            assert result.dtype in (np.float32, np.float64)
    assert type(np.maximum(a, a)) is type(np.where([True, False], a, a)) is cf.CFloatArray


LAYOUTS = {
    "axis": lambda shape: {"bias": 5 + np.arange(shape[0]) % 5, "axis": 0},
    "last axis": lambda shape: {"bias": 5 + np.arange(shape[-1]) % 5, "axis": -1},
    "block": lambda shape: {"bias": 5 + np.arange(shape[0] * 2).reshape(shape[0], 2) % 5, "block": 3},
    "block along 0": lambda shape: {
        "bias": 5 + np.arange(2 * shape[1]).reshape(2, -1) % 5, "block": 2, "axis": 0,
    },
}  # fmt: skip
layouts = pytest.mark.parametrize("layout", LAYOUTS)


@layouts
@pytest.mark.parametrize("shape", [(4, 6), (4, 60_000)])
def test_equal_layouts(layout, shape, rng):
    how = LAYOUTS[layout](shape)
    if "block" in how and shape[1] > 6:
        how["block"] = 30_000 if layout == "block" else 2
    a = cf.asarray(rng.standard_normal(shape), F8, **how)
    b = cf.asarray(rng.standard_normal(shape), F8, **how)
    x, y = np.asarray(a), np.asarray(b)
    condition = rng.random(shape) < 0.5
    for got, expected in (
        (np.maximum(a, b), np.maximum(x, y)),
        (np.where(condition, a, b), np.where(condition, x, y)),
        (np.where(condition[:1], a, b), np.where(condition[:1], x, y)),
        (np.clip(a, -abs(b), abs(b)), np.clip(x, -abs(y), abs(y))),
        (np.select([condition, ~condition], [a, b]), np.where(condition, x, y)),
        (np.choose(condition.astype(int), [a, b]), np.where(condition, y, x)),
        (-a, -x), (abs(a), abs(x)), (np.copysign(a, y), np.copysign(x, y)),
    ):  # fmt: skip
        assert type(got) is cf.CFloatArray
        np.testing.assert_array_equal(got, expected)
        assert (got.axis, got.block) == (a.axis, a.block)
        np.testing.assert_array_equal(got.bias, a.bias)
    assert type(np.maximum(a, b.rebias(20))) is np.ndarray
    flipped = b[::-1, ::-1]
    assert type(np.maximum(a, flipped)) is np.ndarray


@pytest.mark.quick
def test_broadcasting(rng):
    """Biases agree where elements meet; along a new axis they repeat, and never differ."""
    m = cf.asarray(rng.standard_normal((4, 6)), F8, [5, 6, 7, 8], axis=0)
    columns = cf.asarray(rng.standard_normal((4, 6)), F8, [3, 4, 5, 6, 7, 8], axis=1)
    column, row = m[:, :1], columns[1]
    got = np.maximum(m, column)
    assert (got.shape, got.axis, got.bias.ravel().tolist()) == ((4, 6), 0, [5, 6, 7, 8])
    np.testing.assert_array_equal(got, np.maximum(np.asarray(m), np.asarray(column)))
    got = np.minimum(columns, row)
    assert (got.axis, got.bias.ravel().tolist()) == (1, [3, 4, 5, 6, 7, 8])
    got = np.where(np.ones((2, 4, 6), bool), m, column)
    assert (got.shape, got.axis) == ((2, 4, 6), 1)
    np.testing.assert_array_equal(got, np.broadcast_to(np.asarray(m), (2, 4, 6)))
    got = np.copysign(row, np.ones((3, 1)))
    assert (got.shape, got.axis) == ((3, 6), 1)
    # one bias meets several: the same by value, or else they differ
    assert type(np.maximum(m, m[1])) is np.ndarray
    assert type(np.maximum(m[1:2], m[1])) is cf.CFloatArray
    # neither has the result's shape
    for same in (True, False):
        a = cf.CFloatArray(
            np.zeros((4, 1), np.uint8), F8, [[5]] * 4 if same else [[5], [6], [7], [8]]
        )
        b = cf.CFloatArray(np.zeros((1, 6), np.uint8), F8, [[5] * 6])
        got = np.maximum(a, b)
        assert got.shape == (4, 6)
        assert isinstance(got, cf.CFloatArray) == same
        if same:
            assert set(got._biases.full((4, 6)).ravel().tolist()) == {5}
            np.testing.assert_array_equal(-got, np.zeros((4, 6)))
    blocks = cf.asarray(rng.standard_normal((4, 6)), F8, 5 + np.arange(8).reshape(4, 2), block=3)
    got = np.fmax(blocks, blocks[:1])
    assert type(got) is np.ndarray
    got = np.fmax(blocks[:1], blocks[0])
    assert (got.shape, got._biases.full((1, 6)).tolist()) == ((1, 6), [[5, 5, 5, 6, 6, 6]])
    with pytest.raises(ValueError, match="broadcast"):
        np.maximum(m, columns.T)


# Functions


@layouts
def test_sorting_and_reducing(layout, rng):
    """Along an axis whose slices have one bias each, the format is kept; across them it can't be."""
    shape = (4, 6)
    a = cf.asarray(rng.standard_normal(shape), F8, **LAYOUTS[layout](shape))
    x, full = np.asarray(a), a._biases.full(shape)
    for axis in (0, 1):
        same = np.all(np.ptp(full, axis=axis) == 0)
        sorts = (
            (np.sort(a, axis=axis), np.sort(x, axis)),
            (np.partition(a, 2, axis=axis), np.partition(x, 2, axis)),
        )
        accumulated = np.maximum.accumulate(a, axis=axis), np.maximum.accumulate(x, axis)
        for got, expected in (*sorts, accumulated):
            assert isinstance(got, cf.CFloatArray) == same
            np.testing.assert_array_equal(got, expected)
            if same:
                assert (got.axis, got.block) == (a.axis, a.block)
        for function in (
            np.max,
            np.min,
            np.amax,
            np.amin,
            np.nanmax,
            np.nanmin,
            np.maximum.reduce,
            np.fmin.reduce,
        ):
            for keepdims in (False, True):
                got = function(a, axis=axis, keepdims=keepdims)
                assert isinstance(got, cf.CFloatArray) == same, (function, axis)
                np.testing.assert_array_equal(got, function(x, axis=axis, keepdims=keepdims))
                if same:
                    expected = full.max(axis=axis, keepdims=keepdims)
                    np.testing.assert_array_equal(got._biases.full(got.shape), expected)
    assert type(np.max(a)) is np.float32
    assert type(np.maximum.reduceat(a.reshape(-1)[:3], [0, 2])) is not None


@pytest.mark.quick
def test_reductions_of_one_bias():
    a = cf.asarray([[1.0, 5.0, np.nan], [2.0, -1.0, 0.5]], E5M2)
    got = a.max(axis=1)
    assert_kept(got, [0x7E, int(cf.encode(2.0, E5M2))], got)
    assert np.nanmax(a, axis=1).tolist() == [5, 2]
    assert type(np.max(a[1])) is np.float32  # an element, as a[1, 0] is
    assert type(np.max(a, axis=1, initial=1.0)) is np.ndarray
    out = np.zeros(2, np.float32)
    assert np.min(a, axis=1, out=out) is out
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        np.nanmax(a[:1, 2:], axis=1)
    assert type(np.median(a, axis=1)) is np.ndarray  # which takes means
    assert type(np.nan_to_num(a)) is np.ndarray  # whose numbers are float32's
    got = np.maximum.reduceat(a, [0, 2], axis=1)
    assert (type(got), got[1].tolist()) == (cf.CFloatArray, [2, 0.5])
    assert type(np.maximum.reduce(a, axis=1, dtype=np.float64)) is np.ndarray


@pytest.mark.quick
def test_choose_and_select():
    a, b = cf.asarray([1.0, 2.0, 3.0], F8), cf.asarray([-1.0, -2.0, -3.0], F8)
    assert_kept(np.choose([0, 1, 0], [a, b]), cf.encode([1, -2, 3], F8), a)
    assert_kept(np.choose([0, 3, -1], (a, b), mode="clip"), cf.encode([1, -2, 3], F8), a)
    table = cf.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], F8)
    assert_kept(np.choose([1, 0, 1], table), cf.encode([4, 2, 6], F8), a)
    rows = cf.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], F8, [5, 6], axis=0)
    np.testing.assert_array_equal(np.choose([1, 0, 1], rows), [4, 2, 6])
    out = cf.asarray(np.zeros(3), SHP)
    assert np.choose([0, 1, 0], [a, b], out=out) is out
    np.testing.assert_array_equal(out, [1, -2, 3])
    plain = np.zeros(3, np.float32)
    assert np.choose([0, 1, 0], [a, b], out=plain) is plain
    got = np.select([a > 2, a > 1], [a, b])
    assert_kept(got, cf.encode([0, -2, 3], F8), a)
    got = np.select([a > 2, a > 1], [a, b], cf.asarray(8.0, F8))
    assert_kept(got, cf.encode([8, -2, 3], F8), a)
    # 0 is no value of E8M0
    e8m0 = next(fmt for fmt in FORMATS if fmt.name == "e8m0")
    c = cf.asarray([1.0, 2.0], e8m0)
    assert np.select([[True, False]], [c]).tolist() == [1, 0]


@pytest.mark.quick
def test_shifting_moves():
    a = cf.asarray([1.0, 2.0, 3.0], F8, [5, 6, 7])
    got = np.fft.fftshift(a)
    assert (got.tolist(), got.bias.tolist()) == ([3, 1, 2], [7, 5, 6])
    assert np.fft.ifftshift(got).tolist() == [1, 2, 3]
