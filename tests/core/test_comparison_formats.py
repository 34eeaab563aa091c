"""The formats that others implement as well, bit for bit against NumPy and ml_dtypes."""

import exact
import ml_dtypes
import numpy as np
import pytest

import cfloat as cf

pytestmark = pytest.mark.usefixtures("isa")

PEERS = {
    cf.float16: np.float16,
    cf.bfloat16: ml_dtypes.bfloat16,
    cf.float8_e4m3fn: ml_dtypes.float8_e4m3fn,
    cf.float8_e5m2: ml_dtypes.float8_e5m2,
}

with_peer = pytest.mark.parametrize(("fmt", "peer"), PEERS.items(), ids=exact.label)


def every_code(fmt):
    return np.arange(2**fmt.bits, dtype=fmt.storage_dtype)


def float32_near(peer, rng):
    """A million random patterns, and a million more whose exponents are in the range of the peer."""
    bits = rng.integers(0, 2**32, 2**21, np.uint32)
    limits = ml_dtypes.finfo(peer)
    low, high = int(limits.minexp) - int(limits.nmant) - 2, int(limits.maxexp) + 2
    exponents = rng.integers(max(low, -127), min(high, 128), 2**20, endpoint=True) + 127
    bits[: 2**20] = bits[: 2**20] & 0x807FFFFF | (exponents << 23).astype(np.uint32)
    bits[: 2**18] &= 0xFFFF0000  # ties are common among short mantissas
    return bits.view(np.float32)


def cast(x, dtype):
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def odd_float32(x):
    """Round float64 to float32 so that rounding once more is as good as rounding once.

    Toward zero, with the last bit set if that is inexact.  ml_dtypes converts float64 by way of float32.
    """
    nearest = cast(x, np.float32)
    away = np.abs(nearest.astype(np.float64)) > np.abs(x)
    odd = np.where(away, np.nextafter(nearest, np.float32(0)), nearest)
    inexact = ~np.isnan(x) & (odd.astype(np.float64) != x)
    return (odd.view(np.uint32) | inexact).view(np.float32)


def assert_encodes_as(peer, x, fmt):
    """Assert equal codes; for NaN, the operand's sign on the one quiet NaN of the format."""
    source = odd_float32(x) if x.dtype == np.float64 and peer != np.float16 else x
    expected = cast(source, peer)
    nan = np.isnan(expected)
    sign = np.signbit(x).astype(fmt.storage_dtype) << (fmt.bits - 1)
    quiet_nan = exact.reference_format(fmt).nan_code | sign
    expected = np.where(nan, quiet_nan, expected.view(fmt.storage_dtype))
    np.testing.assert_array_equal(cf.encode(x, fmt), expected)


@with_peer
def test_encode_float32(fmt, peer, rng):
    assert_encodes_as(peer, float32_near(peer, rng), fmt)


@pytest.mark.slow
@with_peer
def test_encode_float64(fmt, peer, rng):
    x = cast(float32_near(peer, rng), np.float64)
    bits = x.view(np.uint64)
    bits[: 2**20] ^= rng.integers(0, 3, 2**20, np.uint64)  # next to float32 numbers
    bits[2**20 :] = rng.integers(0, 2**64, 2**20, np.uint64)
    assert_encodes_as(peer, x, fmt)


@with_peer
@pytest.mark.parametrize("source", [np.float16, ml_dtypes.bfloat16])
def test_encode_every_16_bit_number(fmt, peer, source):
    x = np.arange(2**16, dtype=np.uint16).view(source)
    assert_encodes_as(peer, cast(x, np.float32), fmt)
    exact.assert_same(cf.encode(x, fmt), cf.encode(cast(x, np.float32), fmt))


@with_peer
@pytest.mark.parametrize("dtype", exact.FLOATS, ids=str)
def test_decode(fmt, peer, dtype):
    codes = every_code(fmt)
    actual = cf.decode(codes, fmt, dtype=dtype)
    expected = cast(codes.view(peer), np.float32)
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(actual), nan)
    np.testing.assert_array_equal(np.signbit(actual), np.signbit(expected))
    exact.assert_same(actual[~nan], cast(expected[~nan], dtype))


@pytest.mark.parametrize(
    ("tesla", "bias", "other"),
    [
        (cf.CFloat8_1_4_3, 7, cf.float8_e4m3fn),
        (cf.CFloat8_1_5_2, 15, cf.float8_e5m2),
        (cf.CFloat16_SHP, 15, cf.float16),
    ],
    ids=exact.label,
)
def test_ieee_denormals_give_their_codes(tesla, bias, other, rng):
    """Wherever the other format is finite: Tesla's spend its infinity's and NaN's codes on numbers."""
    fmt, peer = tesla.replace(subnormals="ieee"), PEERS[other]
    codes = every_code(fmt)
    theirs = cast(codes.view(peer), np.float32)
    finite = np.isfinite(theirs)
    exact.assert_same(cf.decode(codes, fmt, bias)[finite], theirs[finite])

    x = float32_near(peer, rng)
    theirs = cast(x, peer)
    finite = np.isfinite(theirs)
    ours = cf.encode(x, fmt, bias)[finite]
    np.testing.assert_array_equal(ours, theirs.view(fmt.storage_dtype)[finite])


def test_the_code_of_e4m3_nan_is_a_number():
    fmt = cf.CFloat8_1_4_3.replace(subnormals="ieee")
    np.testing.assert_array_equal(cf.decode([0x7F, 0xFF], fmt, 7), [480, -480])
