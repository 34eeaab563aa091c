"""Operands of matrix products, and the bounds that results are within."""

from fractions import Fraction
from itertools import product

import exact
import ml_dtypes
import numpy as np

import cfloat as cf

F8, F8W, SHP, UHP = cf.TESLA_FORMATS
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
KINDS = [*cf.TESLA_FORMATS, np.dtype(np.float32), BFLOAT16]
PAIRS = [pair for pair in product(KINDS, KINDS) if any(isinstance(one, cf.Format) for one in pair)]
SIX_BITS = cf.Format("f6", exponent_bits=3, mantissa_bits=2, bias=3)


def values(rng, shape, signed=True):
    """Numbers of several magnitudes."""
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-3, 4, shape)
    return x if signed else np.abs(x)


def operand(rng, kind, shape, bias=None, **layout):
    """Return an array of a format, with values that its bias has, or of a dtype."""
    if not isinstance(kind, cf.Format):
        return values(rng, shape).astype(kind)
    near = np.asarray(kind.default_bias if bias is None else bias)
    if layout or near.ndim:
        return cf.asarray(values(rng, shape), kind, bias, **layout)
    scale = 2.0 ** (kind.default_bias - int(near))
    return cf.asarray(values(rng, shape, kind.signed) * scale, kind, bias)


def wide(x):
    return np.asarray(x, np.float64)


def assert_within_bound(got, a, b):
    """Compare with exact sums: each result is within K * 2^-23 of the sum of magnitudes.

    And within float32's smallest number for each product, where sums leave the range.
    """
    (a, power_of_a), (b, power_of_b) = (exact.integers(wide(x)) for x in (a, b))
    unit = Fraction(2) ** (power_of_a + power_of_b)
    sums, magnitudes = a @ b, np.abs(a) @ np.abs(b)
    terms = a.shape[-1]
    for one, sum_, magnitude in zip(
        np.ravel(got).tolist(), np.ravel(sums), np.ravel(magnitudes), strict=True
    ):
        assert abs(Fraction(one) - sum_ * unit) <= terms * (
            Fraction(2) ** -23 * magnitude * unit + Fraction(2) ** -149
        )


def assert_near(got, a, b):
    """Compare with NumPy's float64 product, whose own error is next to nothing, by the same bound."""
    a, b = wide(a), wide(b)
    expected, bound = np.matmul(a, b), np.matmul(np.abs(a), np.abs(b))
    assert (np.shape(got), got.dtype) == (expected.shape, np.float32)
    assert type(got) is (np.ndarray if expected.ndim else np.float32)
    assert np.all(np.abs(got - expected) <= a.shape[-1] * 2.0**-23 * bound + 2.0**-149)
