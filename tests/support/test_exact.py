"""exact.py, by which the other tests judge, is reference.py on arrays."""

import exact
import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from strategies import biases, formats

import cfloat as cf


def assert_agrees(x, fmt, bias, rounding):
    words = np.random.default_rng(x.size).integers(0, 2**32, x.size, np.uint64)
    codes, flags = exact.encode(x, fmt, bias, rounding, words)
    expected_codes, expected_flags = exact.encode_by_reference(x, fmt, bias, rounding, words)
    exact.assert_same(codes, expected_codes)
    for name in exact.FLAGS:
        np.testing.assert_array_equal(flags[name], expected_flags[name], name)


@pytest.mark.slow
@pytest.mark.parametrize("rounding", cf.ROUNDING_MODES)
@pytest.mark.parametrize("fmt", exact.TESLA_READINGS, ids=exact.label)
def test_landmarks(fmt, rounding):
    x = exact.landmarks(fmt, fmt.default_bias, step=1 if fmt.bits == 8 else 1000)
    assert_agrees(x, fmt, fmt.default_bias, rounding)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [cf.CFloat16_SHP, cf.CFloat16_UHP], ids=exact.label)
def test_every_value_and_midpoint_of_16_bits(fmt):
    table = exact.grid(fmt, fmt.default_bias)
    for x in (table, (table[:-1] + table[1:]) / 2):
        assert_agrees(x, fmt, fmt.default_bias, "ties_to_even")


@pytest.mark.slow
@pytest.mark.parametrize("rounding", cf.ROUNDING_MODES)
@pytest.mark.parametrize("fmt", cf.COMPARISON_FORMATS, ids=exact.label)
def test_comparison_formats(fmt, rounding):
    x = exact.landmarks(fmt, fmt.default_bias, step=5 if fmt.bits == 8 else 2000)
    assert_agrees(x, fmt, fmt.default_bias, rounding)


@pytest.mark.slow
@given(st.data())
def test_any_format(data):
    fmt = data.draw(formats())
    bias = data.draw(biases(fmt))
    x = exact.landmarks(fmt, bias, step=200)
    chosen = data.draw(st.lists(st.sampled_from(x), min_size=1, max_size=20))
    for rounding in cf.ROUNDING_MODES:
        assert_agrees(np.array(chosen), fmt, bias, rounding)


@pytest.mark.parametrize("dtype", exact.FLOATS, ids=str)
def test_denormal_operands(dtype):
    e, m = {"float64": (11, 52), "float32": (8, 23), "float16": (5, 10), "bfloat16": (8, 7)}[
        dtype.name
    ]
    smallest_normal = 1 << m
    bits = [0, 1, smallest_normal // 3, smallest_normal - 1, smallest_normal, smallest_normal + 1]
    bits += [b | 1 << e + m for b in bits]
    x = np.array(bits, f"u{dtype.itemsize}").view(dtype)
    expected = [ref.is_denormal_code(ref.RefFormat(e, m), b) for b in bits]
    assert any(expected)
    np.testing.assert_array_equal(exact.is_denormal(x), expected)
