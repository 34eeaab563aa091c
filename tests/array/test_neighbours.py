"""`nextafter` and `spacing` (docs/spec.md 5.10 and 5.11), against all values of a format in order."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from kept_formats import FORMATS, label

import cfloat as cf

pytestmark = pytest.mark.quick

F8, F52, SHP, UHP = cf.TESLA_FORMATS


def every_code(fmt, bias=None):
    return cf.CFloatArray(np.arange(1 << fmt.bits, dtype=fmt.storage_dtype), fmt, bias)


def in_order(fmt, bias=None):
    """All values, each once: infinities are values, and NaN is none."""
    values = fmt.values(bias).astype(np.float64)
    return np.unique(values[~np.isnan(values)])


def expected_next(x, towards, fmt, bias=None):
    """The neighbour among all values, in float64; a zero has the sign that it is to have."""
    ordered = in_order(fmt, bias)
    x, towards = np.broadcast_arrays(x.astype(np.float64), np.asarray(towards, np.float64))
    place = np.searchsorted(ordered, np.where(np.isnan(x), 0, x))
    step = (towards > x).astype(int) - (towards < x)
    found = ordered[np.clip(place + step, 0, ordered.size - 1)] + 0.0
    codes = fmt.values(bias)
    has_minus_zero = np.any((codes == 0) & np.signbit(codes))
    from_below = np.where(step == 0, np.signbit(towards), x < 0)
    found = np.where((found == 0) & from_below & has_minus_zero, -0.0, found)
    no_nan = not np.isnan(codes).any()
    of_nan = codes.max() if no_nan else np.nan
    return np.where(np.isnan(x), np.nan, np.where(np.isnan(towards), of_nan, found))


def assert_next(a, towards):
    got = cf.nextafter(a, towards)
    assert type(got) is cf.CFloatArray
    assert (got.format, got.bias) == (a.format, a.bias)
    values = np.asarray(got, np.float64)
    expected = expected_next(np.asarray(a), towards, a.format, a.bias)
    np.testing.assert_array_equal(values, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(values)[number], np.signbit(expected)[number])


@pytest.mark.parametrize("fmt", FORMATS, ids=label)
@pytest.mark.parametrize("where", ["whole", "parts"])
def test_every_code_in_every_direction(fmt, where):
    """Arrays whose codes are looked up, and those that are small, or lie anywhere, give the same."""
    low, high = fmt.bias_range
    for bias in {low, fmt.default_bias, high}:
        a = every_code(fmt, bias)
        copies, step = (
            (40 if fmt.bits <= 8 else 1, 1) if where == "whole" else (1, a.size // 1000 or 1)
        )
        a = np.tile(a, copies)[::step]
        values = np.asarray(a, np.float64)
        for towards in (np.inf, -np.inf, 0.0, -0.0, 1.0, np.nan, values, -values, values[::-1]):
            assert_next(a, towards)


def test_the_rules_one_by_one():
    a = cf.asarray([0.0, -0.0, 1.0, 480.0, -480.0], F8)
    np.testing.assert_array_equal(cf.nextafter(a, np.inf).codes, [0x01, 0x01, 57, 0x7F, 0xFE])
    np.testing.assert_array_equal(cf.nextafter(a, -np.inf).codes, [0x81, 0x81, 55, 0x7E, 0xFF])
    # through the hole, and past flushed codes
    np.testing.assert_array_equal(cf.nextafter(every_code(F8)[7:9], [9, 0]).codes, [8, 7])
    flush = F8.replace(subnormals="flush")
    np.testing.assert_array_equal(
        cf.nextafter(every_code(flush)[[0, 3, 8, 0x85]], [1, 1, 0, -1]).codes, [8, 8, 0, 0x88]
    )
    # the least negative goes to -0, as in IEEE 754
    assert np.signbit(np.asarray(cf.nextafter(cf.asarray([-1e-9], F52, 30), 1) * 0)).all()
    # unsigned: nothing is below 0, and infinity is above the largest
    u = cf.CFloatArray(np.array([0, 0x0400, 0xFBFF, 0xFC00], np.uint16), UHP)
    np.testing.assert_array_equal(cf.nextafter(u, np.inf).codes, [0x0400, 0x0401, 0xFC00, 0xFC00])
    np.testing.assert_array_equal(cf.nextafter(u, -1).codes, [0, 0, 0xFBFE, 0xFBFF])


def test_a_format_with_signs_and_no_zero():
    fmt = cf.Format(
        "no_zero", exponent_bits=3, mantissa_bits=1, subnormals="normal", nonfinite="none"
    )
    a = cf.CFloatArray(np.array([0, 16], np.uint8), fmt)
    np.testing.assert_array_equal(cf.nextafter(a, -np.inf).codes, [16, 17])
    np.testing.assert_array_equal(cf.nextafter(a, np.inf).codes, [1, 0])


def test_float16_is_numpy_s():
    codes = np.arange(1 << 16, dtype=np.uint16)
    a, x = cf.CFloatArray(codes, cf.float16), codes.view(np.float16)
    with np.errstate(all="ignore"):
        for towards in (np.inf, -np.inf, 0.0, -0.0, 1.0, np.nan):
            expected = np.nextafter(x, np.float16(towards))
            np.testing.assert_array_equal(cf.nextafter(a, towards), expected)
            # of equal zeros C, and NumPy's float32, give the second, and NumPy's float16 the first
            number = ~np.isnan(expected) & ((x != 0) | (towards != 0))
            np.testing.assert_array_equal(
                cf.nextafter(a, towards).codes[number], expected.view(np.uint16)[number]
            )
        # NumPy's goes upward from negative numbers, and beyond the largest
        expected = np.spacing(np.abs(x)).astype(np.float32)
        expected[np.abs(x) == 65504] = 32
        np.testing.assert_array_equal(cf.spacing(a), expected)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("float8_e5m2", {"exponent_bits": 5, "mantissa_bits": 2, "nonfinite": "ieee"}),
        ("float8_e4m3fn", {"exponent_bits": 4, "mantissa_bits": 3, "nonfinite": "nan_only"}),
        (
            "float8_e4m3fnuz",
            {"exponent_bits": 4, "mantissa_bits": 3, "bias": 8, "nonfinite": "fnuz"},
        ),
        (
            "float8_e5m2fnuz",
            {"exponent_bits": 5, "mantissa_bits": 2, "bias": 16, "nonfinite": "fnuz"},
        ),
        ("float8_e3m4", {"exponent_bits": 3, "mantissa_bits": 4, "nonfinite": "ieee"}),
    ],
)
def test_ml_dtypes_agree(name, fields):
    dtype = np.dtype(getattr(ml_dtypes, name))
    a = every_code(cf.Format(name, **fields))
    x = a.codes.view(dtype)
    largest = np.asarray(a) == np.nanmax(np.where(np.isinf(a), 0, np.asarray(a)))
    with np.errstate(all="ignore"):
        for towards in (np.nan, 0.0, 1.0, -3.0, np.inf, -np.inf):
            y = np.full(x.shape, towards, dtype)
            expected = np.nextafter(x, y).astype(np.float32)
            got = np.asarray(cf.nextafter(a, y.astype(np.float32)))
            # theirs leaves the largest for NaN where there is no infinity
            stays = np.isnan(expected) & ~np.isnan(got)
            assert np.all(np.abs(got[stays]) == cf.finfo(a.format).max)
            np.testing.assert_array_equal(got[~stays], expected[~stays])
        positive = (np.asarray(a) > 0) & ~largest & np.isfinite(a)
        expected = np.spacing(x).astype(np.float32)
        np.testing.assert_array_equal(cf.spacing(a)[positive], expected[positive])


@pytest.mark.parametrize("fmt", FORMATS, ids=label)
def test_spacing_of_every_code(fmt):
    for bias, copies in itertools.product({*fmt.bias_range, fmt.default_bias}, (1, 40)):
        if copies > 1 and fmt.bits > 8:
            continue
        a = np.tile(every_code(fmt, bias), copies)
        x = np.abs(np.asarray(a, np.float64))
        finite = in_order(fmt, bias)
        finite = finite[np.isfinite(finite) & (finite >= 0)]
        place = np.minimum(np.searchsorted(finite, np.where(np.isfinite(x), x, 0)), finite.size - 2)
        expected = np.where(np.isfinite(x), finite[place + 1] - finite[place], np.nan)
        got = cf.spacing(a)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got.astype(np.float64), expected)


@pytest.mark.parametrize("shape", [(6, 10), (60, 1000)])
@pytest.mark.parametrize(
    "layout",
    [
        {"bias": [3, 7, 11, 2, 9, 5], "axis": 0},
        {"bias": np.arange(6).reshape(6, 1) + np.arange(2), "block": None},
    ],
    ids=["axis", "block"],
)
def test_biases(shape, layout, rng):
    """Each element's neighbours are those of its own bias."""
    biases = np.repeat(np.asarray(layout["bias"]), shape[0] // 6, axis=0)
    how = {"axis": 0} if "axis" in layout else {"block": shape[1] // 2}
    a = cf.CFloatArray(rng.integers(0, 256, shape).astype(np.uint8), F8, biases, **how)
    y = rng.standard_normal(shape[1]).astype(np.float32)
    for array, towards in ((a, np.inf), (a, y), (a.T, y[:, None]), (a[:, ::3], 0.5)):
        got = cf.nextafter(array, towards)
        full = array._biases.full(array.shape)
        np.testing.assert_array_equal(got._biases.full(got.shape), full)
        distances = cf.spacing(array)
        for bias in np.unique(full):
            here = full == bias
            alone = cf.CFloatArray(array.codes[here], F8, bias)
            direction = np.broadcast_to(towards, array.shape)[here]
            np.testing.assert_array_equal(got.codes[here], cf.nextafter(alone, direction).codes)
            np.testing.assert_array_equal(distances[here], cf.spacing(alone))
    assert (a.axis, a.block) == (cf.nextafter(a, 0).axis, cf.nextafter(a, 0).block)


@pytest.mark.parametrize("fmt", [F8, SHP], ids=label)
def test_sizes_and_isas(fmt, rng, isa):
    """Large arrays are looked up, or go in pieces: bit for bit what small ones give."""
    del isa
    a = cf.CFloatArray(rng.integers(0, 1 << fmt.bits, 70_001).astype(fmt.storage_dtype), fmt)
    y = rng.standard_normal(a.size)
    for array, towards in ((a, np.inf), (a, 0.75), (a, y), (a[::-1], -np.inf), (a[::2], 3)):
        got, distances = cf.nextafter(array, towards), cf.spacing(array)
        for start in range(0, array.size, 9973):
            part = array[start : start + 1000]
            direction = np.broadcast_to(towards, array.shape)[start : start + 1000]
            np.testing.assert_array_equal(
                got.codes[start : start + 1000], cf.nextafter(part, direction).codes
            )
            np.testing.assert_array_equal(distances[start : start + 1000], cf.spacing(part))


def test_directions_of_every_kind():
    a = cf.asarray([[1.0], [2.0]], F8)
    assert cf.nextafter(a, [1, 2, 3]).shape == (2, 3)
    expected = np.asarray(cf.nextafter(a, 3.0))
    for towards in (
        3, np.float16(3), np.int8(3), np.uint64(2**63), True, ml_dtypes.bfloat16(3), cf.asarray(3, SHP),
        np.array(3, ">f8"), np.array([3], ">i8"), 10.0**300,
    ):  # fmt: skip
        up = np.asarray(cf.nextafter(a, towards))
        np.testing.assert_array_equal(up, [[1], [1.875]] if towards is True else expected)
    assert cf.nextafter(cf.asarray(1.0, F8), 2).shape == ()
    assert cf.nextafter(cf.asarray([], F8), 2).shape == (0,)


@pytest.mark.parametrize("shift", [53, 60])
def test_integers_beyond_2_53(shift):
    """One more than a value is above it, though float64 does not tell them apart."""
    fmt = cf.bfloat16
    a = cf.asarray([2.0**shift, -(2.0**shift)], fmt)
    big = np.array([2**shift, -(2**shift)])
    for one in (1, -1, 0):
        expected = np.asarray(cf.nextafter(a, [one * np.inf] * 2)) if one else np.asarray(a)
        np.testing.assert_array_equal(cf.nextafter(a, big + one), expected)
    assert float(cf.nextafter(a[:1], np.uint64(2**shift + 1))[0]) > 2.0**shift


def test_what_is_refused():
    a = cf.asarray([1.0], F8)
    with pytest.raises(cf.ArgumentTypeError, match="a is a ndarray; it takes a CFloatArray"):
        cf.nextafter(np.ones(3), 1)
    with pytest.raises(cf.ArgumentTypeError, match="a is a float; it takes a CFloatArray"):
        cf.spacing(1.0)
    with pytest.raises(cf.ArgumentTypeError, match="towards"):
        cf.nextafter(a, "up")
    with pytest.raises(cf.ArgumentTypeError, match="towards"):
        cf.nextafter(a, 1j)
    with pytest.raises(cf.ArgumentTypeError, match="MaskedArray"):
        np.nextafter(a, np.ma.masked_array([1.0]))
    with pytest.raises(ValueError, match="broadcast"):
        cf.nextafter(cf.asarray([1.0, 2.0], F8), [1, 2, 3])


def test_numpy_s_names():
    a = cf.asarray([1.0, 480.0, 0.0], F8)
    codes = cf.nextafter(a, np.inf).codes.copy()
    np.testing.assert_array_equal(np.nextafter(a, np.inf).codes, codes)
    np.testing.assert_array_equal(np.spacing(a), cf.spacing(a))
    # into arrays of the format, others, and NumPy's, where a mask says so
    out = a.copy()
    assert np.nextafter(a, np.inf, out=out, where=[True, True, False]) is out
    np.testing.assert_array_equal(out.codes, [codes[0], codes[1], 0])
    wide = cf.asarray(np.zeros(3), SHP)
    np.nextafter(a, np.inf, out=wide)
    np.testing.assert_array_equal(wide[:2], [1.125, 480])
    plain = np.zeros(3, np.float32)
    assert np.nextafter(a, np.inf, out=plain) is plain
    np.testing.assert_array_equal(plain, np.asarray(cf.nextafter(a, np.inf)))
    assert np.spacing(a, out=plain) is plain
    np.testing.assert_array_equal(plain, cf.spacing(a))
    x = np.float32([1.0, 2.0, 3.0])
    np.spacing(x, out=wide)
    np.testing.assert_array_equal(wide, cf.round_to(np.spacing(x), SHP))
    np.nextafter(x, np.float32(9), out=wide)
    np.testing.assert_array_equal(wide, x)
    np.spacing(a, out=wide)
    np.testing.assert_array_equal(wide, cf.round_to(cf.spacing(a), SHP))
    np.nextafter(a, np.inf, out=a)
    np.testing.assert_array_equal(a.codes, codes)
    # of a float32 array it is NumPy's, whatever the direction; so is one that is asked for by a dtype
    assert type(np.nextafter(np.float32([1.0]), a[:1])) is np.ndarray
    assert np.nextafter(a, np.inf, dtype=np.float64).dtype == np.float64
    assert np.nextafter.outer(a, np.array([1.0, 2.0])).shape == (3, 2)


def test_no_flags():
    a = every_code(cf.float8_e5m2)
    with cf.record_flags() as flags:
        cf.nextafter(a, 0.5)
        cf.nextafter(a, np.inf)
        cf.spacing(a)
    assert flags == cf.Flags()


def test_codes_that_a_format_has_not():
    six = cf.Format("fp6", exponent_bits=3, mantissa_bits=2)
    for size in (3, 5000):
        a = cf.asarray(np.ones(size), six)
        a.codes[0] = 255
        for function in (
            lambda a: cf.nextafter(a, 2),
            cf.spacing,
            lambda a: cf.nextafter(a, np.inf),
        ):
            with pytest.raises(cf.ArgumentValueError, match="255"):
                function(a)
