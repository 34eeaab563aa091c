"""Formats as data: what can exist, the presets, and their limits (docs/spec.md 1 and 2)."""

import copy
import pickle
import subprocess
import sys
from itertools import product
from typing import get_args

import exact
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import biases, fields, formats

import cfloat as cf
from cfloat._core.format import Nonfinite, Subnormals
from cfloat._core.presets import FORMATS

FOUR_BITS = {"exponent_bits": 2, "mantissa_bits": 1}
PRESETS = tuple(FORMATS.values())
CFLOAT_IEEE = cf.CFloat8_1_4_3.replace(subnormals="ieee")
LIMITS = [name for name, member in vars(cf.finfo).items() if isinstance(member, property)]

every_preset = pytest.mark.parametrize("fmt", PRESETS, ids=str)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"exponent_bits": 8, "mantissa_bits": 8}, "17 bits; a format has at most 16"),
        ({"exponent_bits": 8, "mantissa_bits": 9, "signed": False}, "17 bits.* at most 16"),
        ({"exponent_bits": 0, "mantissa_bits": 3}, "exponent_bits is 0; it takes at least 1"),
        ({"exponent_bits": -1, "mantissa_bits": 3}, "exponent_bits is -1; it takes at least 1"),
        ({"exponent_bits": 4, "mantissa_bits": -1}, "mantissa_bits is -1; it takes at least 0"),
        (
            {"exponent_bits": 4, "mantissa_bits": 0, "nonfinite": "ieee"},
            "nonfinite='ieee' with no mantissa bit leaves no code for NaN",
        ),
        (FOUR_BITS | {"saturating": False}, "saturating=False.* nonfinite='none'"),
        (
            {"exponent_bits": 1, "mantissa_bits": 2, "nonfinite": "ieee"},
            "1 exponent bits.* no normal number",
        ),
        (
            {"exponent_bits": 1, "mantissa_bits": 0, "nonfinite": "nan_only"},
            "1 exponent bits.* no normal number",
        ),
        (FOUR_BITS | {"bias": (3, 2)}, r"bias is \(3, 2\); the first must not exceed the second"),
        (FOUR_BITS | {"bias": -125}, r"bias -125 .* 2\*\*128, beyond float32's 2\*\*127"),
        (FOUR_BITS | {"bias": 150}, r"bias 150 .* 2\*\*-150, below float32's 2\*\*-149"),
        (FOUR_BITS | {"bias": (-200, 7)}, r"bias -200 .*, beyond float32's 2\*\*127"),
        (FOUR_BITS | {"bias": (7, 200)}, r"bias 200 .*, below float32's 2\*\*-149"),
        (FOUR_BITS | {"bias": 10**30}, r"below float32's 2\*\*-149"),
        (
            FOUR_BITS | {"bias": (0, 9), "default_bias": 10},
            "default_bias is 10; bias allows 0 to 9",
        ),
        (FOUR_BITS | {"bias": 3, "default_bias": 2}, "default_bias is 2; bias allows 3 to 3"),
        (
            FOUR_BITS | {"nonfinite": "inf"},
            "nonfinite is 'inf'; it takes one of none, ieee, nan_only, fnuz, p3109",
        ),
        (
            FOUR_BITS | {"nonfinite": "fnuz", "signed": False},
            "nonfinite='fnuz' puts NaN in the code of -0, and signed=False has none",
        ),
        (
            FOUR_BITS | {"nonfinite": "p3109", "subnormals": "normal"},
            "nonfinite='p3109' puts NaN in the code of -0, and subnormals='normal' has no zero",
        ),
        (
            {
                "exponent_bits": 1,
                "mantissa_bits": 0,
                "signed": False,
                "nonfinite": "p3109",
                "subnormals": "normal",
            },
            "1 exponent bits.* no normal number",
        ),
        (
            FOUR_BITS | {"subnormals": "IEEE"},
            "subnormals is 'IEEE'; it takes one of whitepaper, ieee, flush, normal",
        ),
    ],
)
def test_impossible(arguments, reason):
    with pytest.raises(cf.FormatError, match=reason):
        cf.Format("name", **arguments)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"exponent_bits": True}, "exponent_bits is True; it takes an integer"),
        ({"exponent_bits": 4.0}, "exponent_bits is 4.0; it takes an integer"),
        ({"exponent_bits": None}, "exponent_bits is None; it takes an integer"),
        ({"mantissa_bits": False}, "mantissa_bits is False; it takes an integer"),
        ({"mantissa_bits": "3"}, "mantissa_bits is '3'; it takes an integer"),
        ({"signed": 1}, "signed is 1; it takes True or False"),
        ({"saturating": "yes"}, "saturating is 'yes'; it takes True or False"),
        ({"bias": 1.5}, "bias is 1.5; it takes an integer"),
        ({"bias": True}, "bias is True; it takes an integer"),
        ({"bias": (0, np.True_)}, "bias is .*True.*; it takes an integer"),
        ({"bias": (0, 1.0)}, "bias is 1.0; it takes an integer"),
        ({"bias": (1, 2, 3)}, r"bias is \(1, 2, 3\); it takes an integer or a pair of them"),
        ({"bias": ()}, r"bias is \(\); it takes an integer or a pair of them"),
        ({"bias": "07"}, "bias is '07'; it takes an integer"),
        ({"default_bias": 1.0}, "default_bias is 1.0; it takes an integer"),
        ({"name": 143}, "name is a int; it takes a str"),
        ({"name": None}, "name is a NoneType; it takes a str"),
        ({"nonfinite": None}, "nonfinite is None; it takes one of none, ieee, nan_only"),
        ({"subnormals": 1}, "subnormals is 1; it takes one of whitepaper, ieee, flush"),
    ],
)
def test_wrong_type(arguments, reason):
    with pytest.raises(cf.ArgumentTypeError, match=reason):
        cf.Format(**{"name": "name", **FOUR_BITS, **arguments})


@given(fields())
def test_the_bounds_of_a_bias(drawn):
    arguments, least, greatest = drawn
    for bias in (least, greatest):
        fmt = cf.Format("name", bias=bias, **arguments)
        wide = cf.decode(list(range(2**fmt.bits)), fmt, dtype=np.float64)
        np.testing.assert_array_equal(fmt.values(), wide)
    with pytest.raises(cf.FormatError, match=rf"bias {least - 1} .* beyond float32"):
        cf.Format("name", bias=(least - 1, greatest), **arguments)
    with pytest.raises(cf.FormatError, match=rf"bias {greatest + 1} .* below float32"):
        cf.Format("name", bias=(least, greatest + 1), **arguments)


def test_defaults():
    fmt = cf.Format("name", exponent_bits=4, mantissa_bits=3)
    assert (fmt.signed, fmt.bias_range, fmt.default_bias) == (True, (7, 7), 7)
    assert (fmt.nonfinite, fmt.subnormals, fmt.saturating) == ("none", "ieee", True)
    assert fmt.replace(bias=(0, 63)).default_bias == 7
    assert fmt.replace(bias=(8, 63)).default_bias == 8
    assert not fmt.replace(nonfinite="ieee").saturating
    assert not fmt.replace(nonfinite="nan_only").saturating


def test_numpy_integers_and_lists_are_taken():
    fmt = cf.Format(
        "name", exponent_bits=np.int8(4), mantissa_bits=np.uint64(3), bias=[0, np.int16(63)]
    )
    assert fmt == cf.Format("name", exponent_bits=4, mantissa_bits=3, bias=(0, 63))
    assert type(fmt.exponent_bits) is int


def test_replace():
    fmt = cf.CFloat8_1_4_3
    assert fmt.replace() == fmt
    other = fmt.replace(name="other", subnormals="ieee", default_bias=8)
    assert (other.name, other.subnormals, other.default_bias) == ("other", "ieee", 8)
    assert other.bias_range == fmt.bias_range
    assert other.replace(name=fmt.name, subnormals="whitepaper", default_bias=7) == fmt
    with pytest.raises(cf.ArgumentTypeError, match=r"replace\(\) got biass; it takes name, expon"):
        fmt.replace(biass=3)
    with pytest.raises(cf.FormatError, match="no code for NaN"):
        fmt.replace(mantissa_bits=0, nonfinite="ieee")


def test_a_format_does_not_change():
    with pytest.raises(AttributeError):
        cf.CFloat8_1_4_3.exponent_bits = 5


@given(formats())
def test_copies_are_equal(fmt):
    copies = [
        eval(repr(fmt), {"Format": cf.Format}),
        pickle.loads(pickle.dumps(fmt)),
        copy.copy(fmt),
        copy.deepcopy(fmt),
        fmt.replace(),
    ]
    for other in copies:
        assert other == fmt
        assert hash(other) == hash(fmt)
    assert str(fmt) == fmt.name


@given(formats(), formats())
def test_equal_formats_have_equal_fields(a, b):
    assert (a == b) == (repr(a) == repr(b))
    assert a != a.replace(name=a.name + "!")


def test_a_pickle_keeps_its_meaning_in_another_process():
    """A string's hash is another there, and must not come along."""
    fmt = cf.CFloat8_1_4_3
    hash(fmt)
    program = (
        "import pickle, sys, cfloat as cf\n"
        f"fmt = pickle.loads({pickle.dumps(fmt)!r})\n"
        "sys.exit(fmt != cf.CFloat8_1_4_3 or hash(fmt) != hash(cf.CFloat8_1_4_3))"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)


@pytest.mark.parametrize(
    ("fmt", "fields", "bias_range", "default_bias", "nonfinite", "subnormals", "storage"),
    [
        (cf.CFloat8_1_4_3, (1, 4, 3), (0, 63), 7, "none", "whitepaper", "uint8"),
        (cf.CFloat8_1_5_2, (1, 5, 2), (0, 63), 15, "none", "whitepaper", "uint8"),
        (cf.CFloat16_SHP, (1, 5, 10), (0, 63), 15, "none", "whitepaper", "uint16"),
        (cf.CFloat16_UHP, (0, 6, 10), (31, 31), 31, "ieee", "flush", "uint16"),
        (cf.float16, (1, 5, 10), (15, 15), 15, "ieee", "ieee", "uint16"),
        (cf.bfloat16, (1, 8, 7), (127, 127), 127, "ieee", "ieee", "uint16"),
        (cf.float8_e4m3fn, (1, 4, 3), (7, 7), 7, "nan_only", "ieee", "uint8"),
        (cf.float8_e5m2, (1, 5, 2), (15, 15), 15, "ieee", "ieee", "uint8"),
    ],
    ids=str,
)
def test_preset(fmt, fields, bias_range, default_bias, nonfinite, subnormals, storage):
    assert (int(fmt.signed), fmt.exponent_bits, fmt.mantissa_bits) == fields
    assert fmt.bits == sum(fields)
    assert (fmt.bias_range, fmt.default_bias) == (bias_range, default_bias)
    assert (fmt.nonfinite, fmt.subnormals) == (nonfinite, subnormals)
    assert fmt.saturating == (nonfinite == "none")
    assert fmt.storage_dtype == np.dtype(storage)
    assert getattr(cf, fmt.name) is fmt


@pytest.mark.parametrize(
    ("fmt", "largest", "top"),
    [
        (cf.CFloat8_1_4_3, 1.875, 15),
        (cf.CFloat8_1_5_2, 1.75, 31),
        (cf.CFloat16_SHP, 2 - 2**-10, 31),
    ],
    ids=str,
)
def test_the_span_of_normals(fmt, largest, top):
    """The whitepaper's Tables 4 and 5: exponents from -62 up to 15, and to 31."""
    for bias in range(64):
        values = fmt.values(bias)
        normals = values[2**fmt.mantissa_bits : len(values) // 2]
        assert normals.min() == 2.0 ** (1 - bias) == cf.finfo(fmt, bias).smallest_normal
        assert normals.max() == largest * 2.0 ** (top - bias) == cf.finfo(fmt, bias).max
    exponents = [np.frexp(fmt.values(bias)[fmt.values(bias) > 0])[1] - 1 for bias in (0, 63)]
    assert exponents[0].max() == top
    assert np.log2(cf.finfo(fmt, 63).smallest_normal) == -62


def test_the_codes_of_unsigned_half_precision():
    values = cf.CFloat16_UHP.values()
    assert values[0xFC00] == np.inf
    assert np.isnan(values[0xFC01:]).all()
    assert values[0xFBFF] == (2 - 2**-10) * 2.0**31 == cf.finfo(cf.CFloat16_UHP).max
    assert values[0x0400] == 2.0**-30 == cf.finfo(cf.CFloat16_UHP).smallest_normal
    assert not values[:0x0400].any()
    assert cf.encode(np.nan, cf.CFloat16_UHP) == 0xFE00


def test_two_readings_of_a_denormal():
    """The whitepaper's has a hole below the smallest normal number, IEEE's is evenly spaced."""
    fmt, eighths = cf.CFloat8_1_4_3, np.arange(8) / 8
    for bias in (0, 7, 63):
        printed = fmt.values(bias)[:10] * 2.0**bias
        np.testing.assert_array_equal(printed, [*eighths, 2, 9 / 4])
        even = fmt.replace(subnormals="ieee").values(bias)[:10] * 2.0**bias
        np.testing.assert_array_equal(even, [*2 * eighths, 2, 9 / 4])
        flushed = fmt.replace(subnormals="flush").values(bias)[:10] * 2.0**bias
        np.testing.assert_array_equal(flushed, [*[0] * 8, 2, 9 / 4])


def test_values_are_the_decoded_codes():
    for fmt in PRESETS:
        codes = np.arange(2**fmt.bits, dtype=fmt.storage_dtype)
        exact.assert_same(fmt.values(), cf.decode(codes, fmt))
        exact.assert_same(fmt.values(fmt.bias_range[1]), cf.decode(codes, fmt, fmt.bias_range[1]))


def distance_from_one(finite, others, where_there_is_none):
    """How far the nearest of others is from 1, if that is a value at all."""
    if 1 not in finite or not others.size:
        return where_there_is_none
    return np.abs(others - 1).min()


def assert_limits(fmt, bias):
    info, values = cf.finfo(fmt, bias), fmt.values(bias).astype(np.float64)
    finite = values[np.isfinite(values)]
    positive = np.unique(finite[finite > 0])
    normal = positive[positive >= exact.smallest_normal(fmt, info.bias)]
    assert (info.format, info.bits) == (fmt, fmt.bits)
    assert info.bias == (fmt.default_bias if bias is None else bias)
    assert (info.max, info.min) == (finite.max(), finite.min())
    assert info.smallest_normal == info.tiny == normal[0] == 2.0**info.minexp
    assert info.smallest_subnormal == positive[0]
    assert 2.0 ** (info.maxexp - 1) <= info.max < 2.0**info.maxexp
    if len(normal) > 1 and normal[1] < 2 * normal[0]:
        assert 2.0**-info.nmant == (normal[1] - normal[0]) / normal[0]
    assert info.eps == distance_from_one(finite, positive[positive > 1], 2.0**-info.nmant)
    assert info.epsneg == distance_from_one(finite, finite[finite < 1], 2.0 ** -(info.nmant + 1))
    assert 2.0**info.machep <= info.eps < 2.0 ** (info.machep + 1)
    assert 2.0**info.negep <= info.epsneg < 2.0 ** (info.negep + 1)
    assert (info.nmant, info.nexp, info.iexp) == (
        fmt.mantissa_bits,
        fmt.exponent_bits,
        fmt.exponent_bits,
    )
    assert 10.0**info.precision <= 2.0**info.nmant < 10.0 ** (info.precision + 1)
    assert info.resolution == pytest.approx(10.0**-info.precision)


@every_preset
@pytest.mark.parametrize("reading", exact.READINGS)
def test_limits(fmt, reading):
    fmt = fmt.replace(subnormals=reading)
    for bias in {None, *range(fmt.bias_range[0], fmt.bias_range[1] + 1, 1 if fmt.bits == 8 else 9)}:
        assert_limits(fmt, bias)


@pytest.mark.parametrize(
    ("fmt", "bias", "eps", "epsneg"),
    [
        # 1 is the smallest normal number, and the largest subnormal one is next to it
        (cf.float4_e2m1fn, None, 0.5, 0.5),
        (cf.float6_e2m3fn, None, 1 / 8, 1 / 8),
        (CFLOAT_IEEE, 1, 1 / 8, 1 / 8),
        # or there is a hole below it, or nothing but zero
        (cf.CFloat8_1_4_3, 1, 1 / 8, 1 - 7 / 16),
        (cf.CFloat8_1_5_2, 1, 1 / 4, 1 - 3 / 8),
        (cf.CFloat8_1_4_3.replace(subnormals="flush"), 1, 1 / 8, 1),
        # 1 is subnormal, as far from its neighbours as they all are
        (CFLOAT_IEEE, 0, 1 / 4, 1 / 4),
        (CFLOAT_IEEE.replace(bias=(-4, 63)), -2, 1, 1),
        # the largest value, the smallest, or none
        (cf.format("binary3p2se"), None, 1 / 2, 1 / 2),
        (cf.CFloat8_1_4_3.replace(mantissa_bits=0), 15, 1, 1 / 2),
        (cf.float8_e8m0fnu.replace(exponent_bits=4, bias=0), None, 1, 1 / 2),
        (cf.Format("no_zero", exponent_bits=4, mantissa_bits=2, subnormals="normal", bias=0), None, 1 / 4, 2),
        (cf.CFloat8_1_4_3, 0, 1 / 8, 1 / 16),
        (cf.CFloat8_1_4_3, 63, 1 / 8, 1 / 16),
        # and the usual
        (cf.float8_e8m0fnu, None, 1, 1 / 2),
        (cf.format("binary8p1uf"), None, 1, 1 / 2),
        (cf.float8_e4m3b11fnuz, None, 1 / 8, 1 / 16),
        (cf.format("binary8p3se"), None, 1 / 4, 1 / 8),
    ],
)  # fmt: skip
def test_distances_from_one(fmt, bias, eps, epsneg):
    info = cf.finfo(fmt, bias)
    assert (info.eps, info.epsneg) == (eps, epsneg)
    assert_limits(fmt, bias)


def test_limits_leave_flags_alone():
    with cf.record_flags() as flags:
        info = cf.finfo(cf.CFloat8_1_4_3, 63)
        assert (info.eps, info.epsneg) == (1 / 8, 1 / 16)
    assert flags == cf.Flags()


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        # largest, least, smallest normal number, smallest positive value
        ("float8_e8m0fnu", (2.0**127, 2.0**-127, 2.0**-127, 2.0**-127)),
        ("float8_e4m3fnuz", (240, -240, 2.0**-7, 2.0**-10)),
        ("float8_e5m2fnuz", (57344, -57344, 2.0**-15, 2.0**-17)),
        ("binary8p3se", (49152, -49152, 2.0**-15, 2.0**-17)),
        ("binary8p3sf", (57344, -57344, 2.0**-15, 2.0**-17)),
        ("binary8p4ue", (1.625 * 2**15, 0, 2.0**-15, 2.0**-18)),
        ("binary8p4uf", (1.75 * 2**15, 0, 2.0**-15, 2.0**-18)),
        ("binary8p1ue", (2.0**125, 0, 2.0**-127, 2.0**-127)),
        ("binary8p1uf", (2.0**126, 0, 2.0**-127, 2.0**-127)),
        ("binary3p2se", (1, -1, 1, 0.5)),
    ],
)
def test_limits_of_new_kinds(name, limits):
    info = cf.finfo(name)
    assert (info.max, info.min, info.smallest_normal, info.smallest_subnormal) == limits
    assert_limits(info.format, None)


@given(st.data())
def test_limits_of_any_format(data):
    fmt = data.draw(formats())
    assert_limits(fmt, data.draw(biases(fmt)))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("fmt", PRESETS[len(cf.TESLA_FORMATS) :], ids=str)
def test_limits_are_those_of_ml_dtypes(fmt, name):
    """And of NumPy, which has float16's."""
    ours, theirs = getattr(cf.finfo(fmt), name), float(getattr(ml_dtypes.finfo(fmt.name), name))
    eight_bits = fmt.name.startswith("float8")
    if eight_bits and name == "precision":
        # written down as 1 there; by NumPy's formula it is int(-log10(eps)), as they have it for fewer bits
        assert (ours, theirs) == (int(-np.log10(cf.finfo(fmt).eps)), 1)
    elif eight_bits and name == "resolution":
        assert ours == 10.0 ** -cf.finfo(fmt).precision
        assert theirs == pytest.approx(0.1, rel=0.3)  # in the format itself, and of that precision
    else:
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_finfo_as_text():
    assert str(cf.finfo(cf.CFloat8_1_4_3, 7)) == (
        "CFloat8_1_4_3 at bias 7: max 480, smallest normal 0.015625, "
        "smallest positive 0.0009765625, eps 0.125"
    )


@pytest.mark.parametrize("make", [cf.finfo, cf.Format.values])
def test_bias_of_limits_and_values(make):
    with pytest.raises(cf.ArgumentValueError, match=r"bias is 64; CFloat8_1_4_3 takes .* 0 to 63"):
        make(cf.CFloat8_1_4_3, 64)
    with pytest.raises(cf.ArgumentTypeError, match=r"bias is 7\.5; it takes an integer"):
        make(cf.CFloat8_1_4_3, 7.5)


def test_biases_that_a_format_takes():
    fmt = cf.CFloat8_1_4_3
    assert fmt.check_bias(None) == fmt.check_biases(None) == 7
    assert fmt.check_bias(np.int8(9)) == fmt.check_biases(np.array(9)) == 9
    biases = fmt.check_biases([0, 63])
    assert (biases.dtype, biases.tolist()) == (np.int16, [0, 63])
    with pytest.raises(cf.ArgumentValueError, match=r"bias is 64; CFloat8_1_4_3 takes .* 0 to 63"):
        fmt.check_bias(64)
    with pytest.raises(cf.ArgumentValueError, match="bias has an element -1; CFloat8_1_4_3 takes"):
        fmt.check_biases([63, -1])


def test_finfo_of_what_is_not_a_format():
    with pytest.raises(cf.ArgumentTypeError, match="format is 8; it takes a cfloat"):
        cf.finfo(8)
    with pytest.raises(
        cf.ArgumentValueError, match="format is 'CFloat8'; the names are CFloat8_1_4_3"
    ):
        cf.finfo("CFloat8")


def small_formats():
    """Every format of at most 6 bits that can exist, at three biases."""
    for signed, exponent_bits, mantissa_bits, nonfinite, subnormals, saturating in product(
        (True, False), range(1, 7), range(6), get_args(Nonfinite), get_args(Subnormals), (True, False),
    ):  # fmt: skip
        try:
            yield cf.Format(
                "small", exponent_bits=exponent_bits, mantissa_bits=mantissa_bits, signed=signed,
                bias=(-2, 9), nonfinite=nonfinite, subnormals=subnormals, saturating=saturating,
            )  # fmt: skip
        except cf.FormatError:
            continue


def test_limits_are_those_of_the_values_in_every_small_format():
    """What Python says of a format's ends is what the core decodes, and rounds to."""
    formats = [fmt for fmt in small_formats() if fmt.bits <= 6]
    assert {(fmt.nonfinite, fmt.mantissa_bits == 0) for fmt in formats} == {
        ("none", False), ("none", True), ("ieee", False), ("nan_only", False), ("nan_only", True),
        ("fnuz", False), ("fnuz", True), ("p3109", False), ("p3109", True),
    }  # fmt: skip
    for fmt, bias in product(formats, (-2, 3, 9)):
        values, limits = fmt.values(bias), cf.finfo(fmt, bias)
        finite = values[np.isfinite(values)].astype(np.float64)
        assert (limits.max, limits.min) == (finite.max(), finite.min()), (fmt, bias)
        assert limits.smallest_subnormal == finite[finite > 0].min(), (fmt, bias)
        assert values.size - finite.size == NONFINITE_CODES[fmt.nonfinite](fmt), fmt
        codes = cf.encode([limits.max, 4 * limits.max], fmt, bias)
        assert values[codes[0]] == limits.max, (fmt, bias)
        if fmt.saturating:
            assert codes[0] == codes[1], (fmt, bias)
        else:
            assert not np.isfinite(values[codes[1]]), (fmt, bias)
        # the bias that is chosen for a peak uses the same limits
        assert cf.choose_bias(limits.max, fmt, "max") == bias, (fmt, bias)
        above = cf.choose_bias(np.nextafter(limits.max, np.inf), fmt, "max")
        assert above == max(bias - 1, -2), (fmt, bias)


NONFINITE_CODES = {
    "none": lambda fmt: 0,
    "ieee": lambda fmt: (1 + fmt.signed) << fmt.mantissa_bits,
    "nan_only": lambda fmt: 1 + fmt.signed,
    "fnuz": lambda fmt: 1,
    "p3109": lambda fmt: 3 if fmt.signed else 2,
}
