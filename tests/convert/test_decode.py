"""Decoding: every code at every bias in every reading (docs/spec.md 1, 2 and 4)."""

from functools import cache

import exact
import ml_dtypes
import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from strategies import biases, formats

import cfloat as cf

pytestmark = pytest.mark.usefixtures("isa")

every_reading = pytest.mark.parametrize(
    "fmt", [*exact.TESLA_READINGS, *exact.NEW_KINDS], ids=exact.label
)


def every_code(fmt):
    return np.arange(2**fmt.bits, dtype=fmt.storage_dtype)


@cache
def oracle_values(fmt, bias):
    """Value of every code, as float64 bit for bit."""
    wanted = exact.reference_format(fmt)
    bits = [ref.to_float64_bits(ref.decode(wanted, int(c), bias)) for c in every_code(fmt)]
    return np.array(bits, np.uint64).view(np.float64)


def exact_values(fmt, bias):
    """The oracle's values at the default bias, moved to another by a power of two."""
    return np.ldexp(oracle_values(fmt, fmt.default_bias), fmt.default_bias - bias)


@cache
def code_flags(fmt):
    """The flags of each code as an operand."""
    wanted = exact.reference_format(fmt)
    codes = every_code(fmt)
    none = np.zeros(codes.shape, bool)
    return {
        "invalid": np.isnan(exact_values(fmt, fmt.default_bias)),
        "overflow": none,
        "underflow": none,
        "denormal": np.array([ref.is_denormal_code(wanted, int(code)) for code in codes]),
    }


@every_reading
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_code_at_every_bias(fmt, dtype):
    codes = every_code(fmt)
    for bias in range(fmt.bias_range[0], fmt.bias_range[1] + 1):
        expected = exact_values(fmt, bias).astype(dtype)
        exact.assert_same(cf.decode(codes, fmt, bias, dtype=dtype), expected)
        if fmt.bits == 8:  # a long array may be decoded through a table
            values = cf.decode(np.tile(codes, 5), fmt, bias, dtype=dtype)
            exact.assert_same(values, np.tile(expected, 5))


@pytest.mark.slow
@every_reading
def test_the_oracle_at_other_biases(fmt):
    """Moving the oracle's values to another bias gives the oracle's values at that bias."""
    for bias in {0, 20, 63} if fmt.bits == 8 else {fmt.bias_range[1]}:
        if bias in range(fmt.bias_range[0], fmt.bias_range[1] + 1):
            exact.assert_same(exact_values(fmt, bias), oracle_values(fmt, bias))


def narrowed(values, dtype):
    """Round float64 values that are float32 too to nearest, ties to even; and the flags of that."""
    with np.errstate(over="ignore", under="ignore"):
        narrow = values.astype(dtype)
        back = narrow.astype(np.float64)
    limits = ml_dtypes.finfo(dtype)
    tiny = np.abs(values) < float(limits.smallest_normal)
    return narrow, {
        "overflow": np.isinf(back) & np.isfinite(values),
        "underflow": tiny & (back != values),
    }


@pytest.mark.slow
@every_reading
@pytest.mark.parametrize("dtype", exact.FLOATS[2:], ids=str)
@pytest.mark.parametrize("times", [1, 5])
def test_narrow_types(fmt, dtype, times):
    codes = np.tile(every_code(fmt), times)
    for bias in sorted({fmt.bias_range[0], fmt.default_bias, fmt.bias_range[1]}):
        expected, flags = narrowed(np.tile(exact_values(fmt, bias), times), dtype)

        def convert(operands, bias=bias):
            return cf.decode(operands, fmt, bias, dtype=dtype)

        exact.assert_same(convert(codes), expected)
        operand_flags = {name: np.tile(raised, times) for name, raised in code_flags(fmt).items()}
        raised = operand_flags | flags
        of_code_0 = sum(
            int(raised[name][0]) << bit for bit, name in enumerate(exact.FLAGS) if name in raised
        )
        exact.assert_flags(convert, codes, raised, of_code_0)


@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat8_1_5_2], ids=exact.label)
def test_bfloat16_holds_every_8_bit_value(fmt):
    for bias in range(64):
        values = cf.decode(every_code(fmt), fmt, bias, dtype="bfloat16")
        np.testing.assert_array_equal(values.astype(np.float64), exact_values(fmt, bias))


# the last reaches 2**127, and its largest values are nearest to bfloat16's infinity
WIDE = cf.Format("wide", exponent_bits=6, mantissa_bits=9, bias=(-64, -60))


@pytest.mark.parametrize(
    "fmt",
    [*exact.TESLA_READINGS, cf.float16, cf.float8_e5m2, WIDE],
    ids=exact.label,
)
@pytest.mark.parametrize("count", [7, 5000])
def test_bfloat16_is_float32_rounded_once(fmt, count, rng):
    """Piece by piece, to any address, with one bias and with many."""
    low, high = fmt.bias_range
    codes = rng.integers(0, 2**fmt.bits, count).astype(fmt.storage_dtype)
    codes[:3] = cf.encode(np.array([cf.finfo(fmt).max, 0, 1]), fmt)
    out = np.zeros(2 * count + 1, np.uint8)[1:].view(ml_dtypes.bfloat16)
    many = rng.integers(low, high + 1, count)
    many[0] = low
    for bias in (low, high, many):
        with cf.record_flags() as flags:
            exactly = cf.decode(codes, fmt, bias)
        with cf.record_flags() as narrow_flags:
            cf.decode(codes, fmt, bias, out=out)
        expected = exactly.astype(ml_dtypes.bfloat16)
        np.testing.assert_array_equal(out.view(np.uint16), expected.view(np.uint16))
        too_large = np.isinf(expected.astype(np.float32)) & np.isfinite(exactly)
        assert too_large[0] == (fmt is WIDE and np.min(bias) == low)
        assert narrow_flags.overflow == flags.overflow + np.count_nonzero(too_large)
        assert (narrow_flags.invalid, narrow_flags.denormal) == (flags.invalid, flags.denormal)
        values = rng.standard_normal(count).astype(ml_dtypes.bfloat16)
        rounded = cf.round_to(values, fmt, bias)
        cf.round_to(values, fmt, bias, out=out)
        expected = rounded.astype(ml_dtypes.bfloat16)
        np.testing.assert_array_equal(out.view(np.uint16), expected.view(np.uint16))


@every_reading
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("times", [1, 5])
def test_flags(fmt, dtype, times):
    codes = np.tile(every_code(fmt), times)
    flags = {name: np.tile(raised, times) for name, raised in code_flags(fmt).items()}
    exact.assert_flags(lambda operands: cf.decode(operands, fmt, dtype=dtype), codes, flags)


def test_negative_zero():
    for fmt in (cf.CFloat8_1_4_3, cf.CFloat8_1_5_2, cf.CFloat16_SHP):
        zero = cf.decode([2 ** (fmt.bits - 1)], fmt)
        assert zero == 0
        assert np.signbit(zero)


@pytest.mark.slow
@given(st.data())
def test_any_format(data):
    fmt = data.draw(formats())
    bias = data.draw(biases(fmt))
    codes = data.draw(st.lists(st.integers(0, 2**fmt.bits - 1), min_size=1))
    wanted = exact.reference_format(fmt)
    reals = [ref.decode(wanted, code, bias) for code in codes]
    float32 = np.array([ref.to_float32_bits(real) for real in reals], np.uint32).view(np.float32)
    float64 = np.array([ref.to_float64_bits(real) for real in reals], np.uint64).view(np.float64)
    np.testing.assert_array_equal(float32, float64)  # a format's every value is a float32
    with cf.record_flags() as flags:
        exact.assert_same(cf.decode(codes, fmt, bias), float32)
    exact.assert_same(cf.decode(codes, fmt, bias, dtype=np.float64), float64)
    denormal = sum(ref.is_denormal_code(wanted, code) for code in codes)
    assert flags == cf.Flags(invalid=int(np.isnan(float64).sum()), denormal=denormal)


def test_bfloat16_codes_are_the_upper_halves_of_float32():
    """Every code, with flags counted and without; a NaN is the canonical one, of its sign."""
    codes = np.arange(1 << 16, dtype=np.uint16)
    expected = codes.astype(np.uint32) << 16
    nan = (expected & 0x7FFFFFFF) > 0x7F800000
    expected[nan] = expected[nan] & 0x80000000 | 0x7FC00000
    np.testing.assert_array_equal(cf.decode(codes, cf.bfloat16).view(np.uint32), expected)
    with cf.record_flags() as flags:
        counted = cf.decode(codes, cf.bfloat16)
    np.testing.assert_array_equal(counted.view(np.uint32), expected)
    assert (flags.invalid, flags.denormal) == (254, 254)
    other = cf.bfloat16.replace(name="flushed", subnormals="flush")
    np.testing.assert_array_equal(cf.decode(codes[:129], other), [0] * 128 + [2.0**-126])
