"""Biases of values at the ends of what dtypes hold: huge, tiny and subnormal ones, and large integers."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import cfloat as cf
from cfloat._bias.histogram import BinSums, Histogram
from cfloat._bias.peak import largest_magnitude, magnitudes_of
from cfloat._bias.squared_errors import squared_errors

E4 = cf.CFloat8_1_4_3
FAR = [
    cf.Format("far", exponent_bits=4, mantissa_bits=3, bias=(60, 140), subnormals=subnormals)
    for subnormals in ("ieee", "whitepaper", "flush")
] + [
    cf.Format("long", exponent_bits=3, mantissa_bits=8, bias=(60, 140)),
    cf.Format("least", exponent_bits=2, mantissa_bits=1, bias=(100, 149), default_bias=120),
]
FORMATS = [
    E4, E4.replace(subnormals="ieee"), E4.replace(subnormals="flush"), cf.CFloat8_1_5_2, cf.CFloat16_SHP,
    cf.CFloat16_UHP, cf.float16, cf.bfloat16, cf.float8_e4m3fn, cf.float8_e5m2, *FAR,
    cf.Format("nan", exponent_bits=3, mantissa_bits=3, bias=(-20, 40), nonfinite="nan_only"),
    cf.Format("powers", exponent_bits=5, mantissa_bits=0, bias=(-40, 90)),
]  # fmt: skip
WITHOUT_ZERO = [
    cf.Format(
        "no_zero", exponent_bits=e, mantissa_bits=m, signed=signed, bias=bias, nonfinite=nonfinite,
        subnormals="normal", saturating=saturating,
    )
    for e, m, bias in [(7, 3, (60, 100)), (3, 1, (0, 40)), (2, 2, (100, 140)), (1, 3, (0, 63))]
    for signed in (True, False)
    for nonfinite, saturating in [("none", True), ("nan_only", True), ("nan_only", False)]
]  # fmt: skip
IDS = [f"{i}-{fmt.name}-{fmt.subnormals}" for i, fmt in enumerate(FORMATS)]


def wide_values(rng, size, dtype=np.float64):
    """Draw values of all of a dtype's exponents, or of some."""
    kind = int(rng.integers(6))
    if np.dtype(dtype).kind == "i":
        bits = rng.integers(1, 64, size)
        x = rng.integers(-(2**63), 2**63, size) >> (63 - bits)
        return np.where(rng.random(size) < 0.3, np.sign(x) << (bits - 1), x).astype(dtype)
    limit = np.finfo(dtype)
    low, high = limit.minexp - limit.nmant, limit.maxexp
    exponents = [
        lambda: rng.integers(low, high, size),
        lambda: rng.choice([low, low + 3, limit.minexp, -130, 0, high - 1], size),
        lambda: np.full(size, rng.integers(low, high)),
        lambda: rng.integers(-160, -120, size),
        lambda: rng.integers(-12, 3, size) + rng.integers(low, high),
        lambda: np.where(rng.random(size) < 0.1, high - 1, rng.integers(-8, 3, size)),
    ][kind]()
    significands = rng.uniform(1, 2, size)
    if rng.random() < 0.5:
        significands = 1 + rng.integers(0, 16, size) / 16
    with np.errstate(all="ignore"):
        x = np.ldexp(significands * rng.choice([-1, 1], size), exponents).astype(dtype)
        x[rng.random(size) < 0.05] = 0
        if rng.random() < 0.3:
            x[rng.integers(size)] = rng.choice([np.inf, -np.inf, np.nan])
    return x


def by_percentile(x, fmt, percentile):
    """Choose by the elements' order, in fractions."""
    finite = [abs(Fraction(v)) for v in x.tolist() if abs(v) < float("inf")]
    if not finite:
        return fmt.default_bias
    needed = max(1, int(np.ceil(percentile / 100 * len(finite))))
    value = sorted(finite)[needed - 1]
    if value == 0:
        return fmt.default_bias
    low, high = fmt.bias_range
    fits = [b for b in range(low, high + 1) if Fraction(float(cf.finfo(fmt, b).max)) >= value]
    return max(fits, default=low)


@pytest.mark.parametrize("outlier", [1e45, 1e60, 1e300, np.finfo(np.float64).min])
def test_a_percentile_beside_outliers_of_float64(outlier, rng):
    x = rng.standard_normal(100_000) * 0.02
    x[:5] = outlier
    assert cf.choose_bias(x, E4, "percentile") == 19
    assert cf.choose_bias(x[np.newaxis], E4, "percentile", axis=0).tolist() == [19]
    few = np.array([outlier, *x[5:2000]])
    assert cf.choose_bias(few, E4, "percentile") == 19
    tiny = np.array([*x[5:15], 1e-300, 1e300])
    assert cf.choose_bias(tiny, E4, "percentile", percentile=90) == by_percentile(tiny, E4, 90)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, "bfloat16", np.int64])
@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_max_and_percentile_are_exact(fmt, dtype, rng):
    source = np.float32 if dtype == "bfloat16" else dtype
    for trial in range(40):
        x = wide_values(rng, int(rng.integers(1, 40)), source)
        if dtype == "bfloat16":
            with np.errstate(all="ignore"):
                x = x.astype(pytest.importorskip("ml_dtypes").bfloat16)
        for percentile in (100, 50, 93.0):
            want = by_percentile(x, fmt, percentile)
            how = {"percentile": percentile}
            assert cf.choose_bias(x, fmt, "percentile", **how) == want
            assert cf.choose_bias(x[None], fmt, "percentile", axis=0, **how).tolist() == [want]
            assert cf.choose_bias(x, fmt, "percentile", block=x.size, **how).tolist() == [want]
            if percentile == 100:
                assert cf.choose_bias(x, fmt, "max") == want
                assert cf.choose_bias(x[None], fmt, "max", axis=0).tolist() == [want]
                assert cf.BiasTracker(fmt).update(x) == want
        if trial == 0:  # in pieces
            many = np.tile(x, 100_000 // x.size)
            assert cf.choose_bias(many, fmt, "percentile", percentile=50) == by_percentile(
                np.tile(x, 10), fmt, 50
            )


def test_integers_that_are_no_float64():
    """2**53 + 1 is beyond a largest value of 2**53, which it is not as a float64."""
    fmt = cf.Format("powers", exponent_bits=5, mantissa_bits=0, bias=(-40, 90))
    top = 31 - 53
    for peak, bias in [(2**53, top), (2**53 + 1, top - 1), (2**60 + 1, top - 8), (2**60, top - 7)]:
        for x in (np.array([peak, 1]), np.array([-peak, 1]), np.array([peak], np.uint64)):
            for method in ("max", "percentile"):
                how = {"percentile": 100} if method == "percentile" else {}
                assert cf.choose_bias(x, fmt, method, **how) == bias
                assert cf.choose_bias(x[None], fmt, method, axis=0, **how).tolist() == [bias]
    x = np.array([-(2**63), 2**63 - 1, 2**53 + 1, 3, 0, -1])
    assert magnitudes_of(x).tolist() == [2.0**63, 2.0**63 - 2**11, 2.0**53 + 2**11, 3, 0, 1]
    assert largest_magnitude(np.array([2**63 - 1])) == 2.0**63 - 2**10
    assert magnitudes_of(np.array([2**64 - 1], np.uint64)).tolist() == [2.0**64 - 2**11]


def exact_errors(x, fmt):
    """Sum up squared errors in fractions, by rounding at each bias; None where one is infinite."""
    low, high = fmt.bias_range
    x = x[np.isfinite(x)]
    for bias in range(low, high + 1):
        rounded = cf.round_to(x, fmt, bias)
        if np.isfinite(rounded).all():
            pairs = zip(rounded.tolist(), x.tolist(), strict=True)
            yield sum((Fraction(q) - Fraction(v)) ** 2 for q, v in pairs)
        else:
            yield None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_mse_is_exact_whatever_the_exponents(fmt, dtype, rng):
    low = fmt.bias_range[0]
    for _ in range(12):
        x = wide_values(rng, int(rng.integers(1, 16)), dtype)
        errors = list(exact_errors(x, fmt))
        least = min((error for error in errors if error is not None), default=None)
        equal = [low + i for i, error in enumerate(errors) if error == least]
        want = min(equal, key=lambda bias: (abs(bias - fmt.default_bias), bias))
        assert cf.choose_bias(x, fmt) == want, x.tolist()
        assert cf.choose_bias(x[None], fmt, axis=0).tolist() == [want]


def test_mse_of_float64_is_exact_where_sums_in_float64_tell_nothing():
    for peak in (1e30, 1e300):
        assert cf.choose_bias([peak, 1.0], E4) == 0  # the largest value there is
        assert cf.choose_bias(np.full(3000, -peak), E4) == 0
    assert cf.choose_bias([1e-300, -5e-324], E4) == E4.default_bias  # 0 at all biases
    # one more bit of a value, by 2**-30 of a sum of squares beyond 2**53 of them
    x = np.array([cf.finfo(E4, 14).max, 1 + 2.0**-5, 1.5 * 2.0**-14, 2.0**-40])
    errors = list(exact_errors(x, E4))
    assert cf.choose_bias(x, E4) == errors.index(min(errors))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "fmt",
    WITHOUT_ZERO,
    ids=lambda f: f"{f.exponent_bits}-{f.signed}-{f.nonfinite}-{f.saturating}",
)
def test_mse_is_exact_where_there_is_no_zero(fmt, dtype, rng):
    """What is small is the smallest value, and no zero; and so is what is negative without a sign."""
    low = fmt.bias_range[0]
    some = [
        [0.3, 1e-150], [0.3, 1e-250], [0.3, 5e-324], [0.3, -1e-200, 1e-30], [0.3, -1e200], [-1e254],
        [1e-263, 1e-298], [1e250, 1e-100], [1e283, 1e-271, 0.3], [1e250, 0.0],
        [3.0, 1e-5], [0.3, 4.5e-5, 0.07], [1e-2, 1e-5], [2.0**-100, 2.0**-140],
    ]  # fmt: skip
    drawn = [wide_values(rng, int(rng.integers(1, 9))).tolist() for _ in range(10)]
    for values in some + drawn:
        with np.errstate(all="ignore"):
            x = np.array(values, dtype)
        errors = list(exact_errors(x, fmt))
        least = min((error for error in errors if error is not None), default=None)
        equal = [low + i for i, error in enumerate(errors) if error == least]
        want = min(equal, key=lambda bias: (abs(bias - fmt.default_bias), bias))
        assert cf.choose_bias(x, fmt) == want, x.tolist()
        assert cf.choose_bias(x[None], fmt, axis=0).tolist() == [want], x.tolist()


def test_one_answer_for_4000_tensors(rng):
    """A tensor, and one slice or block that is all of it, whatever the format, method and dtype."""
    cases = list(
        product(FORMATS, ["mse", "max", "percentile", "mx"], ["f4", "f8", "f2", "i8", "i4", ">f4"])
    )
    for trial in range(4000):
        fmt, method, dtype = cases[trial % len(cases)]
        if method == "mx" and fmt.bias_range[0] == fmt.bias_range[1]:
            method = "mse"
        size = int(rng.integers(1, 300))
        x = rng.standard_normal(size) * np.exp(rng.uniform(0, 4) * rng.standard_normal(size))
        if trial % 3 == 0:
            x = np.ldexp(rng.integers(-15, 16, size).astype(float), rng.integers(-25, 6, size))
        with np.errstate(all="ignore"):
            x = np.ldexp(x, int(rng.integers(-30, 15))).astype(dtype)
        one = cf.choose_bias(x, fmt, method)
        where = (fmt, method, dtype, x.tolist())
        assert cf.choose_bias(x[None], fmt, method, axis=0).tolist() == [one], where
        assert cf.choose_bias(x, fmt, method, block=size).tolist() == [one], where
        assert cf.choose_bias(x[:, None], fmt, method, axis=0, block=size).tolist() == [[one]], (
            where
        )
        if method == "mse":
            low, tried = fmt.bias_range[0], squared_errors(x, fmt)
            assert tried[one - low] <= tried.min() * (1 + 1e-12), where


@pytest.mark.parametrize("size", [100, 40_000])
@pytest.mark.parametrize("fmt", FAR, ids=lambda fmt: f"{fmt.name}-{fmt.subnormals}")
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.integers(-(2**10), 2**10, n) * 2.0**-149,
        lambda rng, n: rng.integers(-8, 8, n) * 2.0**-149,
        lambda rng, n: rng.standard_normal(n) * 2.0**-127,
        lambda rng, n: rng.standard_normal(n) * 2.0 ** rng.integers(-150, -90, n),
    ],
)
def test_histograms_of_subnormal_float32(draw, fmt, size, rng):
    x = draw(rng, size).astype(np.float32)
    tried = squared_errors(x, fmt)
    histogram = Histogram.of(x)
    for found in (histogram, Histogram.of(x, fmt), Histogram.of(x[::-1].astype(">f4"))):
        np.testing.assert_allclose(found.errors(fmt), tried, rtol=1e-12, atol=0)
    assert histogram.zeros == np.count_nonzero(x == 0)
    nonzero = np.frexp(x[x != 0].astype(np.float64))[1] - 1
    exponents, counts = np.unique(nonzero, return_counts=True)
    assert histogram.exponents() == dict(zip(exponents.tolist(), counts.tolist(), strict=True))
    use = histogram.code_use(fmt, 130)
    assert use.used == np.unique(cf.encode(x, fmt, 130)).size
    halves = [BinSums.of(part, 11, 0) for part in (x[::2], x[1::2])]
    for sums in (halves[0].joined(halves[1]), BinSums.of(x, 11, 0)):
        coarse = Histogram.of_sums(sums.coarser(11, 9), 9, 0)
        np.testing.assert_allclose(coarse.errors(fmt), tried, rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [100, 40_000])
@pytest.mark.parametrize("peak", [1.0, 1e45, 1e300, 1e-290])
def test_histograms_of_float64_of_any_exponent(size, peak, rng):
    x = rng.standard_normal(size) * np.exp2(rng.integers(-10, 3, size))
    x[:3] = [peak, -1e-200, 0]
    histogram = Histogram.of(x)
    exponents, counts = np.unique(np.frexp(x[x != 0])[1] - 1, return_counts=True)
    assert histogram.exponents() == dict(zip(exponents.tolist(), counts.tolist(), strict=True))
    assert histogram.zeros == 1
    for fmt in (E4, cf.CFloat8_1_5_2):
        own = squared_errors(x, fmt)
        np.testing.assert_allclose(histogram.errors(fmt), own, rtol=1e-6)
        assert histogram.code_use(fmt, 9).used == np.unique(cf.encode(x, fmt, 9)).size


def test_a_report_of_float64_counts_its_own_binades():
    x = np.array([4.0, 0.5, 0.5, 2.0**-1000, 1e300, 0.0])
    rows = cf.report(x, E4).tensors
    assert rows[0].exponents == {2: 1, -1: 2, -1000: 1, 996: 1}


@pytest.mark.parametrize(
    ("fmt", "peak", "margin", "bias"),
    [
        (E4, 2.0**-60, 2, 63), (E4, 2.0**-49, 8, 56), (E4, 2.0**-60, 12, 63), (E4, 2.0**-60, 13, 62),
        (E4, 2.0**40, 3, 0), (E4, 1.0, 20, 0), (cf.CFloat8_1_5_2, 2.0**-70, 40, 61),
        (cf.float8_e4m3fn, 1.0, 3, 7), (E4, 1.0, 2**62, 0), (E4, 0.0, 5, 7),
    ],
)  # fmt: skip
def test_a_margin_is_taken_off_before_the_clamp(fmt, peak, margin, bias):
    """At 2**-60 the bias would be 75: 63 leaves 12 binades free already."""
    tracker = cf.BiasTracker(fmt, margin=margin)
    assert tracker.update([peak]) == tracker.bias == bias
