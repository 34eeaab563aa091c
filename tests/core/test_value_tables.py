"""Every code of every named format against the tables of those who define it (docs/spec.md 1.14)."""

from pathlib import Path

import exact
import ml_dtypes
import numpy as np
import pytest
import reference as ref

import cfloat as cf
from cfloat._core import p3109
from cfloat._core.presets import FORMATS, TESLA_FORMATS

TABLES = Path(__file__).parents[1] / "data" / "p3109_values.npz"

#: Those of 3 to 10 bits with values beyond float32's range.
TOO_LARGE = {
    f"binary{name}{end}"
    for name in ("9p1u", "10p1s", "10p1u", "10p2u")
    for end in "ef"
}  # fmt: skip


@pytest.fixture(scope="module")
def tables():
    with np.load(TABLES) as found:
        return dict(found)


def names(bits):
    """Every name that P3109 has for formats of so many bits."""
    for sign, most in (("s", bits - 1), ("u", bits)):
        for precision in range(1, most + 1):
            yield from (f"binary{bits}p{precision}{sign}{end}" for end in "ef")


def assert_same_values(fmt, expected, codes=slice(None)):
    """Assert that codes have these values, signs of zeros included, and that NaN is positive."""
    values = fmt.values().astype(np.float64)[codes]
    np.testing.assert_array_equal(values, expected)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(values[number]), np.signbit(expected[number]))


@pytest.mark.parametrize("name", FORMATS.keys() - {fmt.name for fmt in TESLA_FORMATS})
@pytest.mark.parametrize("wide", [np.float32, np.float64])
def test_presets_have_the_values_of_ml_dtypes(name, wide):
    fmt = FORMATS[name]
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    codes = np.arange(2**fmt.bits, dtype=fmt.storage_dtype)
    with np.errstate(invalid="ignore"):
        expected = codes.view(dtype).astype(wide)
    values = cf.decode(codes, fmt, dtype=wide)
    assert values.dtype == wide
    # a NaN in the code of -0 has no sign: it is negative to ml_dtypes, positive to PyTorch, and here
    if fmt.nonfinite == "fnuz":
        assert np.isnan(expected[0x80])
        expected[0x80] = np.nan
    # of a NaN, the sign and that it is one; not its payload
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(np.signbit(values), np.signbit(expected))


def test_p3109_has_these_tables(tables):
    assert {name.lower() for name in tables} == {
        name for bits in range(3, 11) for name in names(bits)
    }


def test_formats_of_p3109_have_its_values(tables):
    refused = set()
    for name, expected in tables.items():
        try:
            fmt = cf.format(name)
        except cf.FormatError:
            refused.add(name.lower())
            continue
        assert fmt.bits == np.log2(len(expected))
        assert_same_values(fmt, expected)
    assert refused == TOO_LARGE


@pytest.mark.parametrize("bits", range(3, 17))
def test_what_is_refused_is_beyond_float32(bits):
    """By the definition: the largest of 2**exponent_bits exponents, of which the bias is the middle."""
    for name in names(bits):
        precision, unsigned = int(name.partition("p")[2][:-2]), name[-2] == "u"
        exponent_bits = bits - precision + unsigned
        beyond = 2**exponent_bits - 1 - 2 ** (exponent_bits - 1) > 127
        assert (name in TOO_LARGE) == beyond or bits > 10
        if beyond:
            with pytest.raises(cf.FormatError, match=rf"{name} has values beyond float32's range"):
                cf.format(name)
        else:
            assert cf.format(name).bits == bits


def test_a_refusal_lists_all_that_are():
    with pytest.raises(cf.FormatError) as caught:
        cf.format("binary16p1uf")
    assert str(caught.value) == (
        "binary16p1uf has values beyond float32's range, as have, in all, binary9p1u{e,f}, "
        "binary10p1{s,u}{e,f}, binary10p2u{e,f}, and of 11 to 16 bits those whose P is at most K - 9 "
        "if signed, K - 8 if unsigned; every value must be a float32"
    )
    for bits in range(11, 17):
        for name in names(bits):
            precision, most = int(name.partition("p")[2][:-2]), bits - (9 if "s" in name else 8)
            if precision > most:
                assert p3109.p3109_format(name) is not None
            else:
                with pytest.raises(cf.FormatError):
                    p3109.p3109_format(name)


@pytest.mark.parametrize(
    "bits", [11, 12, *(pytest.param(bits, marks=pytest.mark.slow) for bits in range(13, 17))]
)
def test_wide_formats_of_p3109_have_the_values_of_the_oracle(bits):
    for name in names(bits):
        precision, signed, extended = (
            int(name.partition("p")[2][:-2]),
            name[-2] == "s",
            name[-1] == "e",
        )
        exponent_bits = bits - precision + (not signed)
        if exponent_bits > 8:
            continue
        kind = "p3109" if extended else ("fnuz" if signed else "nan_only")
        wanted = ref.RefFormat(exponent_bits, precision - 1, signed, kind, "ieee")
        codes = some_codes(bits)
        reals = [ref.decode(wanted, code, 2 ** (exponent_bits - 1)) for code in codes.tolist()]
        expected = np.array([as_float(real) for real in reals])
        assert_same_values(cf.format(name), expected, codes)


def some_codes(bits):
    """All codes; of many one in 13, those about the ends of halves and quarters, and each of one bit."""
    codes = np.arange(2**bits)
    if bits <= 12:
        return codes
    quarter = 2 ** (bits - 2)
    near_ends = codes[(codes + 40) % quarter < 80]
    ones = 2 ** np.arange(bits)
    return np.unique(np.concatenate([codes[::13], near_ends, ones - 1, ones, 2**bits - 1 - ones]))


def as_float(real):
    magnitude = {"nan": np.nan, "inf": np.inf}.get(real.kind.value)
    magnitude = float(real.magnitude) if magnitude is None else magnitude
    return -magnitude if real.sign else magnitude


def test_of_both_ends_of_binary8p3se():
    """A row of the working group's report, by hand."""
    values = cf.format("binary8p3se").values()
    assert values[[0x00, 0x01, 0x7E, 0x7F]].tolist() == [0, 2.0**-17, 49152, np.inf]
    assert np.isnan(values[0x80])
    assert values[[0x81, 0xFE, 0xFF]].tolist() == [-(2.0**-17), -49152, -np.inf]
    exact.assert_same(cf.encode(values, "binary8p3se"), np.arange(256, dtype=np.uint8))
