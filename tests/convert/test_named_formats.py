"""Encoding into every named format: against ml_dtypes from float32, and the exact oracle in all modes."""

import exact
import ml_dtypes
import numpy as np
import pytest

import cfloat as cf
from cfloat._core.presets import COMPARED, FORMATS

pytestmark = pytest.mark.usefixtures("isa")

#: Of each kind, with and without mantissa bits and sign, codes of one byte and of two, both ends of K and P.
P3109 = tuple(
    map(
        cf.format,
        ("binary8p3se", "binary8p4sf", "binary8p1ue", "binary8p5uf", "binary3p1se", "binary3p3ue",
         "binary4p2sf", "binary6p3se", "binary8p1se", "binary9p2ue", "binary12p5ue", "binary16p9se",
         "binary16p9uf"),
    )
)  # fmt: skip
NEW = tuple(fmt for fmt in FORMATS.values() if fmt not in COMPARED)

every_mode = pytest.mark.parametrize("rounding", cf.ROUNDING_MODES)


def operands(fmt, rng):
    """Values and midpoints of the format, all of float16, random bits, ends of all kinds: as float32."""
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    bits = rng.integers(0, 2**32, 2**16, np.uint64).astype(np.uint32).view(np.float32)
    near = cf.round_to(rng.standard_normal(2**14).astype(np.float32), cf.bfloat16)
    ends = np.array(
        [0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 2.0**-149, -(2.0**-149), 3.4e38], np.float32
    )
    with np.errstate(over="ignore", invalid="ignore"):
        landmarks = exact.landmarks(fmt, fmt.default_bias).astype(np.float32)
        return np.concatenate([landmarks, halves.astype(np.float32), bits, near, ends])


@pytest.mark.parametrize("name", [name for name in FORMATS if hasattr(ml_dtypes, name)])
def test_encoding_is_that_of_ml_dtypes(name, rng):
    fmt = FORMATS[name]
    x = operands(fmt, rng)
    with np.errstate(all="ignore"):
        theirs = x.astype(getattr(ml_dtypes, name)).view(fmt.storage_dtype)
    ours = cf.encode(x, fmt)
    differs = ours != theirs
    if fmt.nonfinite == "none":
        # ml_dtypes: NaN is a zero with the NaN's sign; here it is the largest value, whatever its sign
        nan = np.isnan(x)
        assert nan.any()
        np.testing.assert_array_equal(np.unique(ours[nan]), [2 ** (fmt.bits - 1) - 1])
        differs &= ~nan
    elif fmt.subnormals == "normal":
        # ml_dtypes: ties go up, and so does all between 2**-127 and 2**-126, where float32 is subnormal;
        # here ties go to the even code, the others to the nearest, and zero is NaN (not so in all versions).
        fraction, exponent = np.frexp(x)
        tie, between = fraction == 0.75, (x > 2.0**-127) & (x < 2.0**-126)
        below = exponent[tie] + 126  # the code of the power of two below x
        np.testing.assert_array_equal(ours[tie], np.maximum(below + below % 2, 0))
        np.testing.assert_array_equal(ours[between], x[between] > 1.5 * 2.0**-127)
        assert set(ours[x == 0]) == {0xFF}
        differs &= ~(tie | between | (x == 0))
    assert np.flatnonzero(differs).size == 0, (
        x[differs][:9],
        ours[differs][:9],
        theirs[differs][:9],
    )


def test_from_float64_ml_dtypes_rounds_twice():
    """By way of float32, where a number just above a midpoint becomes that midpoint."""
    for fmt, x, once in (
        (cf.float8_e4m3fn, 1.0625 + 2.0**-40, 1.125),
        (cf.float4_e2m1fn, -2.5 - 2.0**-45, -3.0),
        (cf.float8_e5m2fnuz, 1.125 * (1 + 2.0**-30), 1.25),
    ):
        theirs = np.float64(x).astype(getattr(ml_dtypes, fmt.name))
        assert cf.round_to(x, fmt) == once
        assert (
            float(theirs)
            == float(np.float32(x).astype(theirs.dtype))
            == cf.round_to(np.float32(x), fmt)
            != once
        )


@every_mode
@pytest.mark.parametrize("fmt", [*NEW, *P3109], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_encoding_is_that_of_the_oracle(fmt, rounding, dtype):
    step = 1 if fmt.bits <= 9 else 31
    with np.errstate(over="ignore"):
        x = exact.landmarks(fmt, fmt.default_bias, step).astype(dtype)
    exact.assert_encodes(x, fmt, fmt.default_bias, rounding, seed=5)
    if fmt.nonfinite != "none":
        saturating = fmt.replace(saturating=True)
        exact.assert_encodes(x, saturating, fmt.default_bias, rounding, seed=6)


def test_what_is_too_large_is_nan_without_infinity():
    for fmt in (*NEW, *P3109):
        top = float(cf.finfo(fmt).max)
        with np.errstate(over="ignore"):
            x = np.array([top, 4 * top, np.inf])
        expected = [top, np.inf, np.inf]
        if fmt.nonfinite in ("nan_only", "fnuz"):
            expected = [top, np.nan, np.nan]
        elif fmt.nonfinite == "none":
            expected = [top] * 3
        np.testing.assert_array_equal(cf.round_to(x, fmt), expected, err_msg=fmt.name)
        saturating = fmt.replace(saturating=True)
        np.testing.assert_array_equal(cf.round_to(x, saturating), [top] * 3, err_msg=fmt.name)
