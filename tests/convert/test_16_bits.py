"""Sources of float16 and bfloat16: what is encoded of them is what is encoded of the same float32."""

import exact
import numpy as np
import pytest
from float_modes import each_mode, same_in_mode

import cfloat as cf
from cfloat._convert.elementwise import as_float32, decode_checked
from cfloat._core import isa as instruction_sets
from cfloat._core.dtypes import BFLOAT16

PATTERNS = np.arange(1 << 16, dtype=np.uint16)
FNUZ = cf.CFloat8_1_4_3.replace(name="fnuz", nonfinite="fnuz")
FORMATS = [cf.CFloat8_1_4_3, cf.CFloat8_1_5_2, cf.CFloat16_SHP, cf.CFloat16_UHP, cf.bfloat16, FNUZ]
NAMES = ("float16", "bfloat16")


def values_of(name):
    """All values of a type in an order that is no one's, as its dtype and as float32."""
    bits = np.random.default_rng(3).permutation(PATTERNS)
    if name == "float16":
        return bits.view(np.float16), bits.view(np.float16).astype(np.float32)
    return bits.view(BFLOAT16), (bits.astype(np.uint32) << 16).view(np.float32)


def encoded(*arguments, **more):
    with cf.record_flags() as flags:
        codes = cf.encode(*arguments, **more)
    return codes, {name: getattr(flags, name) for name in exact.FLAGS}


@pytest.mark.quick
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("rounding", ["ties_to_even", "toward_zero", "stochastic", "to_odd"])
def test_they_are_encoded_as_float32(isa, name, fmt, rounding):
    values, wide = values_of(name)
    more = {"rounding": rounding} | ({"seed": 7} if rounding == "stochastic" else {})
    for cut in (slice(None), slice(3, None), slice(1, 70), slice(0, 5)):
        codes, flags = encoded(values[cut], fmt, **more)
        expected, its_flags = encoded(wide[cut], fmt, **more)
        np.testing.assert_array_equal(codes, expected)
        np.testing.assert_array_equal(cf.encode(values[cut], fmt, **more), expected)
        if name == "float16":  # its subnormals are none of float32's
            magnitudes = np.abs(wide[cut])
            its_flags["denormal"] = np.count_nonzero((magnitudes > 0) & (magnitudes < 2.0**-14))
        assert flags == its_flags


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP, FNUZ], ids=str)
@pytest.mark.parametrize("shape", [(2048, 32), (512, 128), (1, 1 << 16)])
@pytest.mark.parametrize("along", ["rows", "blocks", "columns"])
def test_biases_may_differ(isa, name, fmt, shape, along):
    values, wide = (each.reshape(shape) for each in values_of(name))
    lengths = {
        "rows": (shape[0], 1),
        "columns": (1, shape[1]),
        "blocks": (shape[0], shape[1] // 32),
    }
    bias = np.random.default_rng(1).integers(3, 12, lengths[along], np.int16)
    if along == "blocks":
        bias = bias.repeat(32, axis=1)
    np.testing.assert_array_equal(cf.encode(values, fmt, bias), cf.encode(wide, fmt, bias))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1 << 18, (1 << 18) + 4099, (1 << 23) + 77])
def test_large_arrays(isa, name, count):
    """Pages in pairs, and results that bypass the caches."""
    if isa == "portable":
        pytest.skip("the portable code knows no large arrays")
    values, wide = (np.resize(each[:-15], count) for each in values_of(name))
    out = np.zeros(count + 8, np.uint8)[5:-3]
    np.testing.assert_array_equal(
        cf.encode(values, cf.CFloat8_1_4_3, out=out), cf.encode(wide, cf.CFloat8_1_4_3)
    )


@pytest.mark.parametrize("name", NAMES)
def test_in_place(isa, name):
    values, wide = values_of(name)
    codes = values.view(np.uint8)[: values.size]
    expected = cf.encode(wide, cf.CFloat8_1_4_3)
    cf.encode(values, cf.CFloat8_1_4_3, out=codes)
    np.testing.assert_array_equal(codes, expected)


@each_mode
@pytest.mark.parametrize("name", NAMES)
def test_the_processors_modes_change_nothing(isa, name, mode):
    bits = PATTERNS[::3].copy()
    values = bits.view(np.float16 if name == "float16" else BFLOAT16)
    same_in_mode(mode, lambda: cf.encode(values, cf.CFloat8_1_5_2))
    same_in_mode(mode, lambda: cf.encode(values, cf.CFloat16_SHP, rounding="stochastic", seed=1))
    same_in_mode(mode, lambda: cf.decode(bits, getattr(cf, name)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [slice(None), slice(0, 40), slice(0, None, 3)], ids=str)
def test_as_float32(isa, name, cut):
    values, wide = values_of(name)
    for given in (values[cut], values[cut].astype(values.dtype.newbyteorder(">"))):
        found = as_float32(given)
        assert found.dtype == np.float32
        expected = wide[cut]
        np.testing.assert_array_equal(found, expected)  # NaN is NaN
        numbers = ~np.isnan(expected)
        assert (np.signbit(found) == np.signbit(expected))[numbers].all()


def test_numpy_does_not_take_bits_for_numbers():
    values = PATTERNS[:4].view(BFLOAT16)
    for wrong in (np.abs, np.max, np.isfinite, lambda x: x + 1):
        with pytest.raises(TypeError):
            wrong(values)


@pytest.mark.quick
def test_bfloat16_is_decoded_as_the_upper_half_of_float32(isa):
    expected = (PATTERNS.astype(np.uint32) << 16).view(np.float32).copy()
    nan = np.isnan(expected)
    expected.view(np.uint32)[nan] = (PATTERNS[nan].astype(np.uint32) & 0x8000) << 16 | 0x7FC00000
    with cf.record_flags() as flags:
        found = cf.decode(PATTERNS, cf.bfloat16)
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    np.testing.assert_array_equal(
        cf.decode(PATTERNS, cf.bfloat16).view(np.uint32), found.view(np.uint32)
    )
    assert (flags.invalid, flags.denormal) == (254, 254)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("name", ["float64", "float16", "bfloat16"])
def test_values_of_other_types_are_those_of_the_portable_code(isa, fmt, name):
    """By tables, by way of float32, past the caches, and where flags are counted by neither."""
    dtype = BFLOAT16 if name == "bfloat16" else np.dtype(name)
    codes = np.random.default_rng(2).permutation(np.arange(1 << fmt.bits).astype(fmt.storage_dtype))
    for bias in (fmt.bias_range[0], fmt.default_bias, fmt.bias_range[1]):
        instruction_sets.select_isa("portable")
        with cf.record_flags() as its_flags:
            expected = decode_checked(codes, fmt, bias, codes.shape, dtype)
        instruction_sets.select_isa(isa)
        with cf.record_flags() as flags:
            counted = decode_checked(codes, fmt, bias, codes.shape, dtype)
        assert flags == its_flags
        assert counted.tobytes() == expected.tobytes()
        large = np.resize(codes, (1 << 22) + 2048) if bias == fmt.default_bias else codes
        for given in (codes[3:200], np.resize(codes, 1 << 16)[1:], large):
            want = (
                np.resize(expected, 1 << 16)[1:] if given.size == (1 << 16) - 1 else expected[3:200]
            )
            want = np.resize(expected, given.size) if given is large else want
            memory = np.zeros(given.size * dtype.itemsize + 128, np.uint8)
            for start in (1, dtype.itemsize, 64):  # unaligned as well
                out = memory[start : start + given.size * dtype.itemsize].view(dtype)
                decode_checked(given, fmt, bias, given.shape, dtype, out)
                assert out.tobytes() == want.tobytes()
