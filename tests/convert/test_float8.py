"""ml_dtypes' floats of a byte, torch's 8-bit floats and bfloat16, as sources and destinations."""

import re

import ml_dtypes
import numpy as np
import pytest

import cfloat as cf
from cfloat._core.dtypes import BYTE_FLOATS

FMT = cf.CFloat8_1_4_3
DTYPES = [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
ALL = [getattr(ml_dtypes, name) for name in BYTE_FLOATS]

both = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
each = pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.__name__)


def every(dtype):
    """All values of 256 codes or fewer, in two axes that are not contiguous."""
    return np.arange(2 ** ml_dtypes.finfo(dtype).bits, dtype=np.uint8).view(dtype).reshape(4, -1).T


def test_which_there_are():
    """Every float of ml_dtypes that takes a byte."""
    theirs = {name for name in vars(ml_dtypes) if re.fullmatch(r"float\d.*", name)}
    assert theirs == BYTE_FLOATS


@each
def test_sources_are_their_values(dtype):
    x = every(dtype)
    wide = x.astype(np.float32)
    assert np.isnan(wide).any() == (cf.format(dtype.__name__).nonfinite != "none")
    for fmt, bias in (
        (FMT, 5),
        (cf.CFloat8_1_5_2, None),
        (cf.CFloat16_UHP, None),
        (cf.float8_e5m2, None),
    ):
        np.testing.assert_array_equal(cf.encode(x, fmt, bias), cf.encode(wide, fmt, bias))
        np.testing.assert_array_equal(cf.round_to(x, fmt, bias), cf.round_to(wide, fmt, bias))
        np.testing.assert_array_equal(cf.asarray(x, fmt, bias), cf.asarray(wide, fmt, bias))
    how = {"rounding": "stochastic", "seed": 3, "offset": 7}
    np.testing.assert_array_equal(cf.encode(x, FMT, 9, **how), cf.encode(wide, FMT, 9, **how))
    for method in ("mse", "max", "percentile"):
        for place in ({}, {"axis": 0}, {"block": 3}):
            np.testing.assert_array_equal(
                cf.choose_bias(x, FMT, method, **place), cf.choose_bias(wide, FMT, method, **place)
            )
    rounded = cf.round_to(x, FMT, 3)
    assert repr(cf.error(x, rounded)) == repr(cf.error(wide, rounded))
    assert cf.BiasTracker(FMT).update(x) == cf.BiasTracker(FMT).update(wide)


@both
def test_sources_beside_arrays(dtype):
    x = np.array([1.0, -2.5, 0.125]).astype(dtype)
    a = cf.zeros(3, cf.CFloat16_SHP)
    a[...] = x
    a += x
    assert a.tolist() == [2.0, -5.0, 0.25]
    assert cf.full(3, x, FMT).tolist() == [1.0, -2.5, 0.125]
    assert cf.matmul(a, x) == a @ x == 2 + 12.5 + 0.03125
    assert cf.encode(x[1], FMT) == 194


@both
def test_a_sum_in_place_is_rounded_once(dtype):
    a = cf.asarray([17 / 16], cf.CFloat16_SHP, 15)
    tie = np.array([2.0**-9]).astype(dtype)
    out = cf.zeros(1, cf.CFloat8_1_4_3)
    np.add(a, tie, out=out)
    assert out.item() == 1.125


@each
@pytest.mark.parametrize(
    ("fmt", "bias"),
    [
        (FMT, 7),
        (FMT, 3),
        (FMT, 40),
        (cf.CFloat8_1_5_2, 15),
        (cf.CFloat16_SHP, 15),
        (cf.CFloat16_UHP, None),
    ],
)
def test_decoding_rounds_once_as_ml_dtypes_does(dtype, fmt, bias):
    codes = np.arange(1 << fmt.bits, dtype=fmt.storage_dtype).reshape(-1, 16)
    wide = cf.decode(codes, fmt, bias)
    own = cf.format(dtype.__name__)
    expected = cf.encode(wide, own)
    if own.subnormals != "normal":  # there ties go another way
        number = np.isfinite(wide)
        theirs = wide[number].astype(dtype)
        np.testing.assert_array_equal(theirs.view(np.uint8), expected[number])
    out = np.zeros((16, 2 * len(codes)), dtype).T[::2]
    for result in (
        cf.decode(codes, fmt, bias, dtype=dtype),
        cf.decode(codes, fmt, bias, dtype=dtype.__name__),
        cf.decode(codes, fmt, bias, out=out),
    ):
        assert result.dtype == dtype
        np.testing.assert_array_equal(result.view(np.uint8), expected)
    assert result is out


@both
def test_the_way_there_and_back(dtype):
    """All finite values of E4M3 and E5M2 are among those of a CFloat8 in the ieee reading."""
    fmt = (FMT if dtype is DTYPES[0] else cf.CFloat8_1_5_2).replace(subnormals="ieee")
    x = every(dtype)
    x = x[np.isfinite(x.astype(np.float32))]
    np.testing.assert_array_equal(
        cf.decode(cf.encode(x, fmt), fmt, dtype=dtype).view(np.uint8), x.view(np.uint8)
    )
    np.testing.assert_array_equal(
        np.asarray(cf.asarray(x, fmt).astype(dtype)).view(np.uint8), x.view(np.uint8)
    )


@both
def test_rounding_into_them(dtype):
    """A value that they do not have is rounded a second time, as in float16."""
    x = np.random.default_rng(1).standard_normal(500)
    expected = cf.round_to(x, cf.CFloat16_SHP).astype(dtype)
    out = np.empty(500, dtype)
    assert cf.round_to(x, cf.CFloat16_SHP, out=out) is out
    np.testing.assert_array_equal(out.view(np.uint8), expected.view(np.uint8))
    own = expected.copy()
    cf.round_to(own, FMT, 7, out=own)
    np.testing.assert_array_equal(
        own.astype(np.float32), cf.round_to(expected, FMT, 7).astype(dtype)
    )


def test_out_over_the_codes():
    codes = np.array([56, 194, 8], np.uint8)
    cf.decode(codes, FMT, out=codes.view(ml_dtypes.float8_e5m2))
    assert codes.view(ml_dtypes.float8_e5m2).tolist() == [1.0, -2.5, 0.015625]


def test_flags_of_decoding_into_what_has_neither_zero_nor_sign():
    with cf.record_flags() as flags:
        values = cf.decode(cf.encode([0.0, -1.0, 3.0], FMT), FMT, dtype="float8_e8m0fnu")
    assert values.view(np.uint8).tolist() == [255, 255, 128]
    assert flags == cf.Flags(invalid=2)
    codes = cf.encode([np.nan, 1.0, np.inf], cf.CFloat16_UHP)
    for name, overflow in (("float8_e5m2", 0), ("float8_e4m3fnuz", 1), ("float4_e2m1fn", 1)):
        with cf.record_flags() as flags:
            cf.decode(codes, cf.CFloat16_UHP, dtype=name)
        assert flags == cf.Flags(invalid=1, overflow=overflow)


def test_flags_of_decoding():
    codes = cf.encode([480.0, 1.0, 2.0**-20, 5.0], cf.CFloat16_SHP)
    with cf.record_flags() as flags:
        cf.decode(codes, cf.CFloat16_SHP, dtype="float8_e4m3fn")
    assert (flags.invalid, flags.overflow, flags.underflow) == (0, 1, 1)
    message = "overflow in decode from CFloat16_SHP: 1 of 4 elements"
    with pytest.raises(cf.FlagError, match=message), cf.errstate(overflow="raise"):
        cf.decode(codes, cf.CFloat16_SHP, dtype="float8_e4m3fn")


class TestTorch:
    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch", reason="torch is not installed")

    @pytest.mark.parametrize(
        "name",
        [
            "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
            "float8_e8m0fnu", "float32",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("needs_grad", [False, True])
    def test_tensors_are_their_values(self, torch, name, needs_grad):
        x = torch.linspace(-3, 3, 20).reshape(4, 5)
        x = (x.abs() if name == "float8_e8m0fnu" else x).to(getattr(torch, name))
        wide = x.float().numpy()
        if needs_grad:
            x = x.requires_grad_()
        for result, expected in (
            (cf.encode(x, FMT), cf.encode(wide, FMT)),
            (cf.round_to(x, FMT, "max"), cf.round_to(wide, FMT, "max")),
            (cf.asarray(x, FMT, 5), cf.asarray(wide, FMT, 5)),
            (cf.choose_bias(x, FMT, axis=1), cf.choose_bias(wide, FMT, axis=1)),
        ):
            np.testing.assert_array_equal(result, expected)
        assert repr(cf.error(x, x)) == repr(cf.error(wide, wide))

    def test_packed_ones_are_refused_by_name(self, torch):
        name = "float4_e2m1fn_x2"
        if not hasattr(torch, name):
            pytest.skip("this PyTorch has no float4")
        x = torch.zeros(3, dtype=torch.uint8).view(getattr(torch, name))
        for function in (cf.encode, cf.asarray, cf.round_to, cf.choose_bias):
            with pytest.raises(cf.ArgumentTypeError, match=f"x has dtype torch.{name}; it takes"):
                function(x, FMT)
