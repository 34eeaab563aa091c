"""Biases of float16 and bfloat16: of the largest magnitudes by integers, of the least error by counts."""

import numpy as np
import pytest

import cfloat as cf
from cfloat._bias.squared_errors import PatternCounts, best_bias
from cfloat._core import binding
from cfloat._core.dtypes import BFLOAT16

FORMATS = [
    cf.CFloat8_1_4_3,
    cf.CFloat8_1_5_2,
    cf.CFloat16_SHP,
    cf.CFloat16_UHP,
    cf.CFloat8_1_4_3.replace(name="ieee", subnormals="ieee"),
    cf.CFloat8_1_4_3.replace(name="flush", subnormals="flush"),
    cf.CFloat8_1_4_3.replace(name="normal", subnormals="normal"),
    cf.Format("unsigned", exponent_bits=4, mantissa_bits=3, signed=False, bias=(0, 31)),
]


def as_bfloat16(x):
    """The upper halves of float32, and the values that these are."""
    bits = (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return bits.view(BFLOAT16), (bits.astype(np.uint32) << 16).view(np.float32)


def as_float16(x):
    with np.errstate(over="ignore"):
        half = np.asarray(x).astype(np.float16)
    return half, half.astype(np.float32)


def samples():
    rng = np.random.default_rng(5)
    yield rng.standard_normal(3000) * 0.02
    yield rng.standard_t(1.5, 5000)
    yield rng.choice([0.5, 1.0, 1.5, -2.0, 0.0, 3.0, 4.0, 0.75, 2.0**-9 * 1.5], 70000)
    yield np.ldexp(rng.integers(0, 9, 700).astype(float), rng.integers(-6, 3, 700))
    yield np.ldexp(rng.standard_normal(900), rng.integers(-30, 12, 900))
    yield np.array([np.nan, np.inf, -np.inf, 1.0, 3.0, 1e-7])
    yield np.array([-1.0, -2.0])
    yield np.zeros(9)


@pytest.mark.quick
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("made", [as_float16, as_bfloat16])
def test_counts_give_the_bias_that_values_give(isa, fmt, made):
    for x in samples():
        assert_same_bias(fmt, made, x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fmt", "made"),
    [(FORMATS[0], as_float16), (FORMATS[1], as_bfloat16)],
    ids=["float16", "bfloat16"],
)
def test_counts_of_millions(isa, fmt, made):
    assert_same_bias(fmt, made, np.repeat([1.0, 17.0, 16.0, 2.0**-12], [1, 3 << 21, 1 << 21, 5]))


def assert_same_bias(fmt, made, x):
    values, wide = made(x)
    counts = PatternCounts(values.dtype)
    counts.add(values[:7])
    counts.add(values[7:])
    assert counts.bias(fmt) == best_bias(wide, fmt)
    assert cf.choose_bias(values, fmt) == best_bias(wide, fmt)


@pytest.mark.parametrize(("more", "bias"), [(-1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("many", [1 << 20, 1 << 44])
def test_sums_that_are_almost_equal(isa, many, more, bias):
    """Exact sums decide, in which each value counts as often as it occurs."""
    fmt = cf.Format(
        "e2m1", exponent_bits=2, mantissa_bits=1, nonfinite="none", subnormals="ieee", bias=(0, 3)
    )
    # 11 loses 25 at bias 1, whose largest value is 6, and 1 at bias 0; 0.5 loses 0 and 0.25
    values = np.array([11.0, 0.5], np.float16)
    counts = PatternCounts(values.dtype)
    counts._counts[values.view(np.uint16)] = many, 96 * many + more
    assert counts.bias(fmt) == bias


def test_other_byte_order():
    x = np.random.default_rng(0).standard_normal(1 << 17).astype(np.float16)
    swapped = x.astype(x.dtype.newbyteorder())
    for method in ("mse", "max", "percentile", "mx"):
        assert cf.choose_bias(swapped, "CFloat8_1_4_3", method) == cf.choose_bias(
            x.astype(np.float32), "CFloat8_1_4_3", method
        )


@pytest.mark.parametrize("method", ["mse", "max", "percentile", "mx"])
@pytest.mark.parametrize(
    "where", [{}, {"axis": 0}, {"axis": 1}, {"block": 32}, {"axis": 0, "block": 7}], ids=str
)
@pytest.mark.parametrize("made", [as_float16, as_bfloat16])
def test_choose_bias_is_that_of_float32(made, where, method):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((50, 333)) * 2.0 ** rng.integers(-8, 8, (50, 1))
    x[3, :5] = np.nan, np.inf, -np.inf, 0, 1e-7
    values, wide = made(x)
    np.testing.assert_array_equal(
        cf.choose_bias(values, cf.CFloat8_1_4_3, method, **where),
        cf.choose_bias(wide, cf.CFloat8_1_4_3, method, **where),
    )


@pytest.mark.quick
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 999), (3, 5, 64), (7, 5, 9), (300, 40, 30), (1, 5, 3), (4, 1, 3), (2, 3, 0), (0, 3, 2)],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, BFLOAT16], ids=str)
def test_largest_magnitudes_of_slices(shape, dtype):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-14, 14, (1, shape[1], 1))
    special = rng.random(shape)
    x[special < 0.2] = np.nan
    x[(special > 0.2) & (special < 0.3)] = -np.inf
    x[:, -1] = np.where(rng.random((shape[0], shape[2])) < 0.5, np.inf, -np.nan)  # none is finite
    values, wide = as_bfloat16(x) if dtype is BFLOAT16 else (x.astype(dtype),) * 2
    peaks = np.full(shape[1], 2.0**-20)
    binding.add_to_peaks(values, peaks)
    expected = np.abs(wide).max(axis=(0, 2), initial=2.0**-20, where=np.isfinite(wide))
    np.testing.assert_array_equal(peaks, expected.astype(np.float64))


def test_subnormal_magnitudes():
    for values, expected in [
        (np.array([-5e-324, 0]), 5e-324),
        (np.array([0, -(2.0**-149)], np.float32), 2.0**-149),
        (np.array([2.0**-24, -0.0], np.float16), 2.0**-24),
        (np.array([1, 0x8003], np.uint16).view(BFLOAT16), 3 * 2.0**-133),
    ]:
        peaks = np.zeros(1)
        binding.add_to_peaks(values.reshape(1, 1, -1), peaks)
        assert peaks[0] == expected
