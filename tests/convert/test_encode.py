"""Encoding against the exact oracle: codes and flags of each element (docs/spec.md 3 and 4)."""

import itertools

import exact
import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from strategies import biases, formats, nonfinite_kinds

import cfloat as cf

pytestmark = pytest.mark.usefixtures("isa")

every_mode = pytest.mark.parametrize("rounding", cf.ROUNDING_MODES)
every_reading = pytest.mark.parametrize("fmt", exact.TESLA_READINGS, ids=exact.label)
every_tesla_format = pytest.mark.parametrize("fmt", cf.TESLA_FORMATS, ids=exact.label)


@every_mode
@every_reading
@pytest.mark.parametrize("dtype", [pytest.param(np.float64, marks=pytest.mark.slow), np.float32])
def test_landmarks(fmt, rounding, dtype):
    step = 1 if fmt.bits == 8 or rounding == "ties_to_even" else 31
    with np.errstate(over="ignore"):
        x = exact.landmarks(fmt, fmt.default_bias, step).astype(dtype)
    exact.assert_encodes(x, fmt, fmt.default_bias, rounding, seed=1)


@pytest.mark.slow
@every_mode
@every_reading
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_landmarks_at_other_biases(fmt, rounding, dtype):
    for bias in {0, 1, 40, 63} & set(range(fmt.bias_range[0], fmt.bias_range[1] + 1)):
        with np.errstate(over="ignore"):
            x = exact.landmarks(fmt, bias, step=3 if fmt.bits == 8 else 101).astype(dtype)
        exact.assert_encodes(x, fmt, bias, rounding, seed=2)


@every_mode
@pytest.mark.parametrize("exponent_bits", [1, 2, 3])
@pytest.mark.parametrize("mantissa_bits", [0, 1, 2])
def test_every_small_format(exponent_bits, mantissa_bits, rounding):
    for subnormals, signed, saturating in itertools.product(
        (*exact.READINGS, "normal"), (True, False), (True, False)
    ):
        for nonfinite in nonfinite_kinds(exponent_bits, mantissa_bits, signed, subnormals):
            if nonfinite == "none" and not saturating:
                continue
            fmt = cf.Format(
                "small",
                exponent_bits=exponent_bits,
                mantissa_bits=mantissa_bits,
                signed=signed,
                nonfinite=nonfinite,
                subnormals=subnormals,
                saturating=saturating,
            )
            x = exact.landmarks(fmt, fmt.default_bias)
            exact.assert_encodes(x, fmt, fmt.default_bias, rounding, seed=6)


@every_mode
@pytest.mark.parametrize("fmt", exact.NEW_KINDS, ids=exact.label)
@pytest.mark.parametrize("dtype", exact.FLOATS, ids=str)
def test_every_kind_of_code(fmt, rounding, dtype):
    """NaN in the place of -0, P3109's codes, no zero: at the default bias and at both ends."""
    for bias in {fmt.default_bias, *fmt.bias_range}:
        step = 1 if fmt.bits <= 8 else 31
        with np.errstate(over="ignore"):
            x = exact.landmarks(fmt, bias, step).astype(dtype)
        exact.assert_encodes(x, fmt, bias, rounding, seed=7)


@every_mode
@pytest.mark.parametrize("fmt", exact.NEW_KINDS, ids=exact.label)
def test_integers_to_every_kind_of_code(fmt, rounding):
    for dtype in ("i1", "u2", "i4", "u8"):
        ends = np.iinfo(dtype)
        x = np.array([0, 1, 2, 3, 5, 127, ends.max // 2, ends.max - 1, ends.max, ends.min], dtype)
        exact.assert_encodes(x, fmt, fmt.default_bias, rounding, seed=8)


@every_mode
def test_no_zero(rounding):
    """docs/spec.md 1.15: what is below 2**-127 is code 0, ties are to even, and the rest is NaN."""
    e8m0 = next(fmt for fmt in exact.NEW_KINDS if fmt.name == "e8m0fnu")
    x = [0.0, -0.0, -1.0, -np.inf, np.inf, np.nan, 2.0**-127, 2.0**-128, 2.0**-1074, 1.0]
    codes = cf.encode(np.array(x), e8m0, rounding=rounding)
    np.testing.assert_array_equal(codes, [0xFF] * 6 + [0, 0, 0, 127])
    if rounding == "ties_to_even":
        ties = np.array([1.5 * 2.0**-127, 1.5 * 2.0**-126, 1.5, 3.0, 1.5 * 2.0**127])
        np.testing.assert_array_equal(cf.encode(ties, e8m0), [0, 2, 128, 128, 254])


@pytest.mark.slow
@every_mode
@every_tesla_format
@pytest.mark.parametrize("dtype", exact.FLOATS, ids=str)
def test_any_bits(fmt, rounding, dtype, rng):
    """Every float16 and bfloat16; of the wider types, random patterns."""
    bits = (
        rng.permutation(2**16) if dtype.itemsize == 2 else rng.integers(0, 2**64, 2**16, np.uint64)
    )
    x = bits.astype(f"u{dtype.itemsize}").view(dtype)
    exact.assert_encodes(x, fmt, fmt.default_bias, rounding, seed=3)


@every_mode
@every_tesla_format
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "?"])
def test_integers(fmt, rounding, dtype, rng):
    """Every integer of 8 and 16 bits; of 32 bits, all magnitudes and both ends."""
    dtype = np.dtype(dtype)
    if dtype.itemsize < 4:
        x = np.arange(2 ** (8 * dtype.itemsize)).astype(dtype)
    else:
        ends = [np.iinfo(dtype).min, np.iinfo(dtype).max]
        x = np.append(rng.integers(*ends, 2**14, dtype) >> rng.integers(0, 32, 2**14), ends)
        x = x.astype(dtype)
    exact.assert_encodes(x, fmt, fmt.default_bias, rounding, seed=4)


@pytest.mark.slow
@every_mode
@pytest.mark.parametrize("fmt", [*cf.TESLA_FORMATS, cf.bfloat16, cf.float8_e5m2], ids=exact.label)
@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_64_bit_integers(fmt, rounding, dtype):
    """Both ends, and integers next to a midpoint: in float64 they would be the midpoint itself."""
    ends = np.iinfo(dtype)
    midpoints = [
        2**k + 2 ** (k - 1 - fmt.mantissa_bits) for k in (*range(12, 34, 3), *range(55, 64))
    ]
    near = [sign * m + step for m in midpoints for step in (-1, 0, 1) for sign in (1, -1)]
    x = [0, 1, -1, ends.min, ends.min + 1, ends.max - 1, ends.max, *near]
    x = np.array([i for i in x if ends.min <= i <= ends.max], dtype)
    exact.assert_encodes(x, fmt, fmt.bias_range[0], rounding, seed=5)


@pytest.mark.parametrize(
    ("x", "fmt", "expected"),
    [
        # above a midpoint, by less than the next narrower type can tell
        (np.float64(1 + 2**-4 + 2**-40), cf.CFloat8_1_4_3, 1.125),
        (np.float64(1 + 2**-11 + 2**-50), cf.CFloat16_SHP, 1 + 2**-10),
        (np.int64(2**62 + 2**54 + 1), cf.bfloat16, 2**62 + 2**55),
        (np.uint64(2**63 + 2**55 + 1), cf.bfloat16, 2**63 + 2**56),
        (np.int32(2**30 + 2**22 + 1), cf.bfloat16, 2**30 + 2**23),
    ],
)
def test_one_rounding(x, fmt, expected):
    assert cf.decode(cf.encode(x, fmt), fmt) == expected


def test_the_hole():
    """Between the largest denormal, 7/8, and the smallest normal, 2, in units of 2**-bias."""
    fmt, unit = cf.CFloat8_1_4_3, 2.0**-7
    midpoint = (7 / 8 + 2) / 2
    x = np.array([7 / 8, 1, np.nextafter(midpoint, 0), midpoint, np.nextafter(midpoint, 2), 2])
    np.testing.assert_array_equal(cf.encode(x * unit, fmt), [7, 7, 7, 8, 8, 8])
    np.testing.assert_array_equal(cf.encode(x * unit, fmt, rounding="toward_zero"), [7] * 5 + [8])
    ieee = fmt.replace(subnormals="ieee")
    np.testing.assert_array_equal(cf.encode(np.array([7 / 8, 1, 15 / 8]) * unit, ieee), [4, 4, 8])


def test_flush_comes_after_rounding():
    smallest_normal, below = 0x0400, np.float64(1 - 2**-11)
    x = np.array([0.75, np.nextafter(below, 0), below, 1]) * 2.0**-30
    expected = [0, 0, smallest_normal, smallest_normal]
    np.testing.assert_array_equal(cf.encode(x, cf.CFloat16_UHP), expected)
    up = cf.encode(x, cf.CFloat16_UHP, rounding="toward_positive")
    np.testing.assert_array_equal(up, [0, smallest_normal, smallest_normal, smallest_normal])


@every_mode
def test_not_a_number_and_infinity(rounding):
    nan, inf = np.nan, np.inf
    x = np.array([nan, -nan, inf, -inf, -0.0, -1e-300])
    codes = cf.encode(x, cf.CFloat8_1_4_3, rounding=rounding)
    np.testing.assert_array_equal(codes[:5], [0x7F, 0x7F, 0x7F, 0xFF, 0x80])
    unsigned = cf.encode(x, cf.CFloat16_UHP, rounding=rounding)
    np.testing.assert_array_equal(unsigned, [0xFE00, 0xFE00, 0xFC00, 0xFE00, 0, 0xFE00])


@st.composite
def operands(draw, fmt, bias):
    """Draw a float64: any, or one at a drawn place between two neighbours, or next to that."""
    table = exact.grid(fmt, bias)
    low = draw(st.integers(0, len(table) - 2))
    place = draw(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1))
    between = table[low] + place * (table[low + 1] - table[low])
    toward = draw(st.sampled_from([-np.inf, between, np.inf]))
    near = float(np.nextafter(between, toward)) * draw(st.sampled_from([1, -1]))
    return draw(st.just(near) | st.floats())


@pytest.mark.slow
@given(st.data())
def test_any_format(data):
    fmt = data.draw(formats())
    bias = data.draw(biases(fmt))
    x = data.draw(operands(fmt, bias))
    rounding = data.draw(st.sampled_from(cf.ROUNDING_MODES))
    seed, position = data.draw(st.integers(0, 2**64 - 1)), data.draw(st.integers(0, 2**64 - 1))
    expected = ref.encode(
        exact.reference_format(fmt),
        ref.real_from_float(x),
        bias,
        rounding,
        ref.random_word(seed, position),
    )
    with cf.record_flags() as flags:
        code = cf.encode(x, fmt, bias, rounding=rounding, seed=seed, offset=position)
    raised = {name for name in exact.FLAGS if getattr(flags, name)} - {"denormal"}
    assert (code, raised) == expected
    assert flags.denormal == exact.is_denormal(np.float64(x))
