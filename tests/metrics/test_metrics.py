"""Error statistics against plain definitions, and against theory."""

import math
from fractions import Fraction

import numpy as np
import pytest

import cfloat as cf
from cfloat._bias.squared_errors import best_bias, squared_errors
from cfloat._core import binding
from cfloat._core.pieces import PIECE_SIZE
from cfloat._metrics.exact_sums import UNIT, cosine
from cfloat._metrics.sqnr import sqnr_db, sqnr_db_each

# SQNR in dB of rounding to nearest far from the range's ends, by integration over the density.
THEORY = {
    ("CFloat8_1_4_3", "normal"): 31.52,
    ("CFloat8_1_5_2", "normal"): 25.54,
    ("CFloat8_1_4_3", "uniform"): 32.53,
    ("CFloat8_1_5_2", "uniform"): 26.51,
}
TESLA_8 = (cf.CFloat8_1_4_3, cf.CFloat8_1_5_2)


def samples(distribution):
    rng = np.random.default_rng(20211)
    return {
        "normal": rng.standard_normal,
        "uniform": lambda size: rng.uniform(-1, 1, size),
    }[distribution](4_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("subnormals", ["whitepaper", "ieee"])
@pytest.mark.parametrize("fmt", TESLA_8, ids=str)
def test_sqnr_is_what_theory_predicts(fmt, subnormals, distribution):
    x, fmt = samples(distribution), fmt.replace(subnormals=subnormals)
    bias = best_bias(x[:100_000], fmt)
    nearest = cf.error(x, cf.round_to(x, fmt, bias)).sqnr_db
    assert nearest == pytest.approx(THEORY[fmt.name, distribution], abs=0.02)
    stochastic = cf.error(x, cf.round_to(x, fmt, bias, rounding="stochastic", seed=1)).sqnr_db
    assert nearest - stochastic == pytest.approx(3.01, abs=0.05)


def test_definitions():
    x = np.array([1.0, -2.0, 3.0, 1e9, 1e-9, 0.0, 2.0**-7 * 0.9])
    fmt = cf.CFloat8_1_4_3
    q = cf.round_to(x, fmt)
    stats = cf.error(x, q, fmt)
    assert stats.size == 7
    assert stats.nonfinite == 0
    assert stats.mse == pytest.approx(np.mean((x - q) ** 2))
    assert stats.max_abs == np.abs(x - q).max()
    nonzero = x != 0
    assert stats.max_rel == np.max(np.abs(x - q)[nonzero] / np.abs(x)[nonzero])
    assert stats.sqnr_db == pytest.approx(10 * np.log10(np.sum(x**2) / np.sum((x - q) ** 2)))
    assert stats.cosine == pytest.approx(x @ q / np.sqrt((x @ x) * (q @ q)))
    assert (stats.saturated, stats.underflowed, stats.subnormal) == (1 / 7, 1 / 7, 1 / 7)


def test_without_a_format_some_shares_are_unknown():
    stats = cf.error([1.0, 1e-9], [1.0, 0.0])
    assert math.isnan(stats.saturated)
    assert math.isnan(stats.subnormal)
    assert stats.underflowed == 0.5


def test_nonfinite_elements_are_left_out_and_counted():
    x = np.array([1.1, np.nan, np.inf, -np.inf, 2.2])
    kept = x[[0, 4]]
    with_them = cf.error(x, cf.round_to(x, cf.CFloat8_1_4_3), cf.CFloat8_1_4_3)
    without = cf.error(kept, cf.round_to(kept, cf.CFloat8_1_4_3), cf.CFloat8_1_4_3)
    assert with_them.nonfinite == 3
    assert with_them.mse == pytest.approx(without.mse)
    assert with_them.sqnr_db == pytest.approx(without.sqnr_db)


def test_an_element_that_became_infinite_or_nan_costs_everything():
    for fmt in (cf.float8_e5m2, cf.float8_e4m3fn):
        x = np.array([1.0, 1e9])
        stats = cf.error(x, cf.round_to(x, fmt), fmt)
        assert stats.sqnr_db == -math.inf
        assert stats.mse == stats.max_abs == math.inf
        assert stats.saturated == 0.5


def test_nothing_lost():
    stats = cf.error([1.0, 2.0, 0.0], [1.0, 2.0, 0.0])
    assert stats.sqnr_db == math.inf
    assert stats.mse == stats.max_abs == stats.max_rel == 0.0
    assert stats.cosine == pytest.approx(1.0)


@pytest.mark.parametrize("x", [[], [0.0, -0.0], [math.nan]])
def test_nothing_to_measure(x):
    stats = cf.error(x, x, cf.CFloat8_1_4_3)
    assert stats.sqnr_db == math.inf
    assert stats.mse == stats.saturated == stats.underflowed == stats.subnormal == 0.0
    assert math.isnan(stats.cosine)


def test_ratios_of_many_are_those_of_each(rng):
    numbers = [0.0, -0.0, -1.0, 5e-324, 1e-300, 1.0, 1e300, math.inf, math.nan]
    numbers += np.ldexp(rng.standard_normal(30), rng.integers(-200, 200, 30)).tolist()
    signals, noises = zip(*[(a, b) for a in numbers for b in numbers], strict=True)
    assert repr(sqnr_db_each(signals, noises)) == repr(list(map(sqnr_db, signals, noises)))


@pytest.mark.quick
@pytest.mark.parametrize("exponents", [(-900, 900), (900, -900), (-1074, 1000)])
def test_ratios_beyond_float(exponents):
    """A quotient that is rounded to 0 has no logarithm, and one to infinity is not without noise."""
    signal, noise = (math.ldexp(1.0, exponent) for exponent in exponents)
    expected = 10 * math.log10(2) * (exponents[0] - exponents[1])
    assert sqnr_db(signal, noise) == pytest.approx(expected)
    assert sqnr_db_each([signal], [noise]) == [sqnr_db(signal, noise)]


@pytest.mark.parametrize("exponent", [-1070, -500, 500, 1020])
def test_squares_stay_in_range(exponent):
    x = np.ldexp(np.random.default_rng(0).uniform(1, 2, 1000), exponent)
    q = np.ldexp(np.rint(np.ldexp(x, 3 - exponent)), exponent - 3)
    stats = cf.error(x, q)
    reference = cf.error(np.ldexp(x, -exponent), np.ldexp(q, -exponent))
    assert stats.sqnr_db == pytest.approx(reference.sqnr_db, abs=0.2 if exponent < -1000 else 1e-9)
    assert stats.cosine == pytest.approx(reference.cosine)


def test_cosine_of_vectors_far_apart():
    assert cf.error([1e300], [1e100]).cosine == pytest.approx(1.0)
    assert cf.error([1e-300, 0.0], [-1e300, 0.0]).cosine == pytest.approx(-1.0)


@pytest.mark.parametrize("sums", [(17, 2, 274), (17, 137, 4), (114, 105, 137), (1, 1, 2)], ids=str)
def test_cosine_of_small_sums(sums):
    """It is the nearest float, also where a root of one bit less would give the next."""
    product, a, b = sums
    value = Fraction(cosine(*sums))
    halfway = [(value + Fraction(math.nextafter(float(value), to))) / 2 for to in (0, 1)]
    assert halfway[0] ** 2 * a * b <= product**2 <= halfway[1] ** 2 * a * b
    assert cosine(-product, a, b) == -value


def product_of(x, q):
    return binding.exact_errors(x, q, q - x, math.inf, 0.0).product


def test_sums_are_exact_in_any_order(rng):
    x = np.ldexp(rng.standard_normal(2000), rng.integers(-500, 500, 2000))
    q = x + np.ldexp(rng.standard_normal(2000), rng.integers(-500, 500, 2000))
    # of products that are in float64's range, each rounded to it
    assert Fraction(product_of(x, q), 2**UNIT) == sum(map(Fraction, (x * q).tolist()))
    order = rng.permutation(2000)
    parts = np.array_split(order, 7)
    assert sum(product_of(x[part], q[part]) for part in parts) == product_of(x, q)
    assert repr(cf.error(x[order], q[order])) == repr(cf.error(x, q))


def sums_of_fractions(x, q):
    """The sums of `exact_errors`, of products that are in float64's range: each is rounded to it."""
    x, q = x.astype(np.float64), q.astype(np.float64)
    off = q - x
    return [
        int(2**UNIT * sum(map(Fraction, (a * b).tolist())))
        for a, b in [(x, x), (off, off), (x, q), (q, q)]
    ]


@pytest.mark.parametrize(
    "dtypes", [("f4", "f4"), ("f4", "f8"), ("f8", "f4"), ("f8", "f8")], ids=str
)
@pytest.mark.parametrize("width", [0, 10, 25, 55, 62])
def test_exact_sums_of_any_width(isa, rng, width, dtypes):
    """Numbers near each other, whose sums are of a few float64, and those that are added one by one."""
    for count in (1, 15, 16, 17, 511, 513, 1100):
        x = np.ldexp(rng.standard_normal(count), rng.integers(-width, width + 1, count))
        q = x * rng.uniform(-1.5, 1.5, count)
        x, q = x.astype(dtypes[0]), q.astype(dtypes[1])
        q[:: 1 + count // 3] = x[:: 1 + count // 3]
        found = binding.exact_errors(x, q, None, math.inf, 0.0)
        assert list(found[:4]) == sums_of_fractions(x, q)


@pytest.mark.parametrize("exponent", [-1070, -600, 600, 1020])
def test_exact_sums_beyond_the_range(exponent):
    x = np.ldexp(np.float64([1.0, 1.5, -1.75]), exponent)
    exact = sum(
        Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), x[::-1].tolist(), strict=True)
    )
    assert Fraction(product_of(x, x[::-1].copy()), 2**UNIT) == exact


def test_pieces_add_up():
    x = np.random.default_rng(0).standard_normal(3 * PIECE_SIZE + 5)
    q = cf.round_to(x, cf.CFloat8_1_4_3)
    assert cf.error(x, q).mse == pytest.approx(np.mean((x - q) ** 2), rel=1e-12)
    # nor does the layout matter
    columns = x[: 3 * PIECE_SIZE].reshape(3, PIECE_SIZE)
    assert cf.error(columns.T, cf.round_to(columns.T, cf.CFloat8_1_4_3)).mse == pytest.approx(
        cf.error(columns, q[: 3 * PIECE_SIZE].reshape(3, PIECE_SIZE)).mse, rel=1e-12
    )


@pytest.mark.parametrize("fmt", [*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS], ids=str)
def test_a_format_goes_by_its_name(fmt):
    x = np.random.default_rng(0).exponential(1e-4, 1000)
    q = cf.asarray(x, fmt)
    expected = cf.error(x, q, fmt)
    assert cf.error(x, q, fmt.name) == cf.error(x, np.asarray(q), fmt.name) == expected
    assert cf.theoretical_sqnr_db(fmt.name, "laplace") == cf.theoretical_sqnr_db(fmt, "laplace")


def test_bad_arguments():
    with pytest.raises(cf.ArgumentValueError, match=r"x has shape \(2,\) and q \(1,\)"):
        cf.error([1.0, 2.0], [1.0])
    with pytest.raises(cf.ArgumentTypeError, match="q has dtype complex128"):
        cf.error([1.0], [1j])
    with pytest.raises(
        cf.ArgumentValueError, match="format is 'e4m3'; the names are CFloat8_1_4_3,"
    ):
        cf.error([1.0], [1.0], "e4m3")
    with pytest.raises(cf.ArgumentTypeError, match="format is 8; it takes a cfloat"):
        cf.error([1.0], [1.0], 8)
    with pytest.raises(
        cf.ArgumentValueError, match="format is 'e4m3'; the names are CFloat8_1_4_3,"
    ):
        cf.theoretical_sqnr_db("e4m3", "normal")
    with pytest.raises(cf.ArgumentTypeError, match="distribution is 3; it takes one of normal, "):
        cf.theoretical_sqnr_db(cf.CFloat8_1_4_3, 3)
    with pytest.raises(cf.ArgumentValueError, match="bias is 7, of no format"):
        cf.error([1.0], [1.0], bias=7)
    with pytest.raises(cf.ArgumentValueError, match="bias is 64"):
        cf.error([1.0], [1.0], cf.CFloat8_1_4_3, 64)


@pytest.mark.parametrize("scale", [1e-60, 1e-20, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("fmt", [*TESLA_8, cf.CFloat16_SHP, cf.CFloat16_UHP], ids=str)
def test_best_bias_is_the_best_of_all(fmt, scale):
    x = np.abs(np.random.default_rng(3).laplace(size=500)) * scale
    low, high = fmt.bias_range
    errors = [np.sum((x - cf.round_to(x, fmt, bias)) ** 2) for bias in range(low, high + 1)]
    best = best_bias(x, fmt)
    assert errors[best - low] <= min(errors) * (1 + 1e-12)
    ours = squared_errors(x, fmt)
    assert ours / ours.max() == pytest.approx(np.array(errors) / max(errors), rel=1e-9)


@pytest.mark.parametrize("x", [np.zeros(5), np.array([]), np.array([np.nan, np.inf])])
def test_best_bias_is_the_default_if_all_are_equal(x):
    assert best_bias(x, cf.CFloat8_1_4_3) == 7


@pytest.mark.parametrize("fmt", cf.COMPARISON_FORMATS, ids=str)
def test_best_bias_where_values_become_nan(fmt):
    assert np.isinf(squared_errors(np.array([1.0, 1e39]), fmt))
    assert best_bias(np.array([1.0, 1e39]), fmt) == fmt.default_bias


def test_best_bias_leaves_nonfinite_elements_out():
    x = np.array([1e-5, 2e-5, np.inf, np.nan])
    assert best_bias(x, cf.CFloat8_1_4_3) == best_bias(x[:2], cf.CFloat8_1_4_3)


def test_an_array_brings_its_bias():
    x = np.array([1.0, 500.0, 300.0])
    fmt = cf.CFloat8_1_4_3
    q = cf.asarray(x, fmt, 5)
    expected = cf.error(x, np.asarray(q), fmt, 5)
    assert expected.saturated == 0
    for how in ((), (fmt,), (fmt, 5), (None, 5), (fmt, np.int64(5))):
        assert cf.error(x, q, *how) == expected
    slices = cf.asarray([x, x], fmt, [5, 5], axis=0)
    assert cf.error([x, x], slices, fmt).saturated == 0
    slices = cf.asarray([x, x], fmt, [5, 7], axis=0)
    assert math.isnan(cf.error([x, x], slices, fmt).saturated)


def test_an_array_is_not_contradicted():
    q = cf.asarray([1.0], cf.CFloat8_1_4_3, 5)
    for other in (cf.CFloat8_1_5_2, cf.CFloat8_1_4_3.replace(subnormals="ieee")):
        with pytest.raises(cf.ArgumentValueError, match="and q has"):
            cf.error([1.0], q, other)
    for how in ((cf.CFloat8_1_4_3, 7), (None, 7)):
        with pytest.raises(cf.ArgumentValueError, match="bias is 7, and q has 5"):
            cf.error([1.0], q, *how)
    with pytest.raises(cf.ArgumentValueError, match="format is 'e4m3'; the names are"):
        cf.error([1.0], q, "e4m3")
    slices = cf.asarray([1.0, 2.0], cf.CFloat8_1_4_3, [5, 7])
    with pytest.raises(cf.ArgumentValueError, match="q has biases from 5 to 7"):
        cf.error([1.0, 2.0], slices, cf.CFloat8_1_4_3, 7)
