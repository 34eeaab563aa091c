"""Errors of integers of 64 bits, against Python's own integers and fractions; and the cosine's limits."""

from fractions import Fraction

import numpy as np
import pytest

import cfloat as cf
from cfloat._core import binding
from cfloat._metrics import exact_sums
from cfloat._metrics.wide_integers import difference, float64_parts

pytestmark = pytest.mark.quick

ENDS = {
    np.int64: [
        0,
        1,
        -1,
        2**53 + 1,
        2**60 + 1,
        2**60,
        -(2**60) - 1,
        2**63 - 1,
        -(2**63),
        2**62 + 2**9,
    ],
    np.uint64: [0, 1, 2**53 + 1, 2**60 + 1, 2**63, 2**64 - 1, 2**64 - 2048, 2**64 - 1025],
    np.float64: [0.0, -0.5, 2.0**60, -(2.0**63), 2.0**64, 1e300, -1e300, 5e-324, 2.0**53 + 2, 3.7],
    np.float32: [0.0, 2.0**60, -(2.0**63), 1e-40, 16777216.0],
    np.int16: [0, -32768, 32767],
}


def values_of(rng, kind):
    ends = np.array(ENDS[kind], kind)
    if issubclass(kind, np.integer):
        info = np.iinfo(kind)
        more = rng.integers(info.min, info.max, 300, kind, endpoint=True) >> rng.integers(
            0, 8 * ends.itemsize - 1, 300
        ).astype(kind)
    else:
        more = (rng.standard_normal(300) * 2.0 ** rng.integers(-10, 66, 300)).astype(kind)
    return np.concatenate([ends, more])


@pytest.mark.parametrize("one", ENDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("other", ENDS, ids=lambda kind: kind.__name__)
def test_differences_are_rounded_once(rng, one, other):
    x, q = values_of(rng, one), values_of(rng, other)
    # every end with every end, others with others, and with what is next to them
    x, q = (
        np.concatenate([np.repeat(x[:10], q[:10].size), rng.choice(x, 500), x]),
        np.concatenate([np.tile(q[:10], x[:10].size), rng.choice(q, 500), nearest(x, other)]),
    )
    (after, q_low), (before, x_low) = float64_parts(q), float64_parts(x)
    got = difference(after, q_low, before, x_low)
    expected = [float(Fraction(b.item()) - Fraction(a.item())) for a, b in zip(x, q, strict=True)]
    np.testing.assert_array_equal(got, expected)
    found = cf.error(x, q)
    assert found.max_abs == max(map(abs, expected))


def nearest(x, kind):
    """The values of another type next to some: those to which rounding brings them, or their ends."""
    if not issubclass(kind, np.integer):
        return np.clip(x.astype(np.float64), np.finfo(kind).min, np.finfo(kind).max).astype(kind)
    info = np.iinfo(kind)
    return np.array([min(max(int(value.item()), info.min), info.max) for value in x], kind)


@pytest.mark.parametrize(
    ("x", "q", "error"),
    [
        (np.array([2**60 + 1]), np.array([2**60]), 1),
        (np.array([2**60]), np.array([2**60 + 1]), 1),
        (np.array([2**60 + 1]), np.array([2.0**60]), 1),
        (np.array([2**64 - 1], np.uint64), np.array([2.0**64]), 1),
        (np.array([2**63 - 1]), np.array([-(2**63)]), 2**64 - 1),
        (np.array([2**64 - 1], np.uint64), np.array([2**64 - 3], np.uint64), 2),
    ],
)
def test_errors_of_wide_integers(x, q, error):
    found = cf.error(x, q)
    assert found.max_abs == float(error)
    assert found.mse == float(error) ** 2
    assert found.max_rel == pytest.approx(float(error) / float(x[0]), rel=2**-52)


def test_wide_integers_beside_numbers_that_are_left_out():
    q = np.array([np.nan, np.inf, 2.0**60, 5.0])
    x = np.array([3, 4, 2**60 + 1, 5])
    found = cf.error(x, q)
    assert found.max_abs == np.inf
    found = cf.error(q, x)  # before rounding they are left out
    assert (found.size, found.nonfinite, found.max_abs) == (4, 2, 1.0)


def test_saturated_by_less_than_float64_has():
    fmt = cf.Format("E8M1", exponent_bits=7, mantissa_bits=1, bias=67)
    top = int(cf.finfo(fmt).max)
    assert 2**53 < top < 2**63
    x = np.array([top - 1, top, top + 1, -top - 1, 1 - top])
    found = cf.error(x, cf.round_to(x, fmt), fmt)
    assert found.saturated == 2 / 5


def test_a_report_of_rounding_wide_integers():
    x = np.array([2**60 + 1, 2**60 + 2**57 + 1, 2**55 + 1])
    rounded = cf.round_to(x, cf.bfloat16)
    found = cf.error(x, cf.asarray(x, cf.bfloat16))
    expected = max(
        abs(Fraction(int(a)) - Fraction(float(b))) for a, b in zip(x, rounded, strict=True)
    )
    assert found.max_abs == float(expected) == 1.0


def test_the_cosine_is_no_more_than_one():
    rng = np.random.default_rng(2)
    above = 0
    for _ in range(2000):
        x = rng.standard_normal(3)
        q = x * rng.uniform(0.5, 2) * rng.choice([-1, 1])
        found = cf.error(x, q).cosine
        assert abs(found) <= 1.0
        sums = binding.exact_errors(x, q, q - x, np.inf, 0.0)
        above += Fraction(sums.product) ** 2 > Fraction(sums.signal) * sums.rounded
    assert above > 100  # rounding alone takes it there
    # sums that rounding took further than a quotient's rounding brings back
    assert exact_sums.cosine(2**60 + 2**10, 2**60, 2**60) == 1.0
    assert exact_sums.cosine(-(2**60) - 2**10, 2**60, 2**60) == -1.0


@pytest.mark.parametrize("zeros", [1, 31, 2200])
@pytest.mark.parametrize("product", [1, 3, 2**70 + 1, -(2**70) - 1, -5])
def test_cosines_do_not_depend_on_the_unit(zeros, product):
    a, b = 2**71 + 2**9 + 1, 2**69 + 3
    shifted = exact_sums.cosine(product << zeros, a << zeros, b << zeros)
    assert shifted == exact_sums.cosine(product, a, b)
    exact = Fraction(product) ** 2 / (a * b)
    assert Fraction(shifted) ** 2 == pytest.approx(exact, rel=2**-50)
    assert (shifted < 0) == (product < 0)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e200])
def test_the_cosine_of_equal_arrays_is_one(scale):
    x = np.random.default_rng(3).standard_normal(1000) * scale
    assert cf.error(x, x).cosine == 1.0
    assert cf.error(x, -x).cosine == -1.0
    assert cf.error(np.float32(x * 1e-20 / scale), np.float32(x * 1e-20 / scale)).cosine == 1.0
