"""Stochastic rounding: its random words, its threshold, and that it is unbiased (SPEC section 3)."""

import itertools
from fractions import Fraction
from functools import cache

import exact
import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st

import cfloat as cf
from cfloat import _native

pytestmark = pytest.mark.usefixtures("isa")

SEEDS = (0, 1, 2**32 - 1, 2**32, 2**64 - 1, 0x0123_4567_89AB_CDEF)
# Where a word's block or the low half of a block's number steps over, and the last words of a stream.
OFFSETS = (0, 1, 2, 3, 2**32 - 150, 2**33 - 7, 2**34 - 150, 2**34 - 1, 2**63 - 33, 2**64 - 300)

every_reading = pytest.mark.parametrize("fmt", exact.TESLA_READINGS, ids=exact.label)
every_float = pytest.mark.parametrize("dtype", exact.FLOATS, ids=str)


@cache
def words_from_the_oracle(seed, offset, size):
    return np.array([ref.random_word(seed, offset + i) for i in range(size)], np.uint32)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers_of_random123(counter, key, words):
    counter, key, words = (
        tuple(int(word, 16) for word in text.split()) for text in (counter, key, words)
    )
    assert _native.philox4x32_10(counter, key) == words
    assert ref.philox4x32_10(counter, key) == words


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("offset", OFFSETS)
def test_random_words(seed, offset):
    for size in (0, 1, 5, 300):
        expected = words_from_the_oracle(seed, offset, size)
        exact.assert_same(_native.random_words(seed, offset, size), expected)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 9))
def test_random_words_anywhere(seed, offset):
    exact.assert_same(_native.random_words(seed, offset, 9), words_from_the_oracle(seed, offset, 9))


@pytest.mark.parametrize("fmt", cf.TESLA_FORMATS, ids=exact.label)
@every_float
def test_each_element_has_its_word(fmt, dtype, rng):
    """The words of encode are those of the oracle, at each offset and in each kernel."""
    x = (rng.random(300) * 2.0 + 2.0).astype(dtype)
    for seed, offset in itertools.product(SEEDS, OFFSETS):
        words = words_from_the_oracle(seed, offset, x.size)
        codes, _ = exact.encode(x, fmt, fmt.default_bias, "stochastic", words)
        actual = cf.encode(x, fmt, rounding="stochastic", seed=seed, offset=offset)
        exact.assert_same(actual, codes)


def at_least(threshold, dtype):
    """The smallest number of a type that is not below a positive rational number."""
    x = dtype.type(float(threshold))
    below = Fraction(float(x)) < threshold
    return np.nextafter(x, dtype.type(np.inf)) if below else x


@every_reading
@pytest.mark.parametrize("dtype", exact.FLOATS[:2], ids=str)
def test_threshold(fmt, dtype, rng):
    """The smallest number that a word sends up goes up, and the number below it goes down.

    With f = (x - low) / (high - low), x goes up when floor(f * 2**32) + word >= 2**32: from
    x = low + (high - low) * (2**32 - word) / 2**32 on.  Gaps of all sorts are tried, the hole most.
    """
    table = exact.grid(fmt, fmt.default_bias)
    hole = 2**fmt.mantissa_bits - 1
    others = rng.integers(0, len(table) - 2, 300)
    lows = np.concatenate([np.full(500, hole), np.arange(min(4 * hole, 100)), others])
    words = _native.random_words(7, 0, lows.size)
    thresholds = [
        low + (high - low) * (2**32 - int(word)) / 2**32
        for low, high, word in zip(
            map(Fraction, table[lows]), map(Fraction, table[lows + 1]), words, strict=True
        )
    ]
    going_up = np.array([at_least(threshold, dtype) for threshold in thresholds])
    staying = np.nextafter(going_up, dtype.type(0))
    max_code = exact.reference_format(fmt).max_code
    for x, codes in ((going_up, lows + 1), (staying, lows)):
        codes = np.minimum(codes, max_code)
        if fmt.subnormals == "flush":
            codes[codes <= hole] = 0
        actual = cf.encode(x, fmt, rounding="stochastic", seed=7)
        np.testing.assert_array_equal(actual, codes)
        if fmt.signed:
            negative = cf.encode(-x, fmt, rounding="stochastic", seed=7)
            np.testing.assert_array_equal(negative, codes | 1 << (fmt.bits - 1))


@every_reading
@pytest.mark.parametrize("dtype", exact.FLOATS[:2], ids=str)
@pytest.mark.parametrize("place", [2**-8, 1 / 3, 0.5, 1 - 2**-8])
def test_unbiased(fmt, dtype, place):
    """Of 2**17 equal elements, the share that goes up is within five sigmas of f.

    If all words were right, that would be missed once in two million times; seeds are fixed.
    """
    table, size = exact.grid(fmt, fmt.default_bias), 2**17
    hole = 2**fmt.mantissa_bits - 1
    # in the denormals (where those of "flush" vanish), the hole, the first and a later binade
    for low in (hole, hole + 1, 3 * hole + 1) if fmt.subnormals == "flush" else (1, hole, hole + 1):
        x = dtype.type(table[low] + place * (table[low + 1] - table[low]))
        f = (float(x) - table[low]) / (table[low + 1] - table[low])
        codes = cf.encode(np.full(size, x), fmt, rounding="stochastic", seed=low)
        up = np.count_nonzero(codes == low + 1)
        stays = 0 if fmt.subnormals == "flush" and low <= hole else low
        assert up + np.count_nonzero(codes == stays) == size
        assert abs(up - size * f) <= 5 * (size * f * (1 - f)) ** 0.5


@every_reading
def test_representable_values_never_move(fmt):
    codes = np.arange(2**fmt.bits, dtype=fmt.storage_dtype)
    for dtype in (np.float32, np.float64):
        values = cf.decode(codes, fmt, dtype=dtype)
        still = cf.encode(values, fmt)
        for seed in range(20):
            exact.assert_same(cf.encode(values, fmt, rounding="stochastic", seed=seed), still)


@pytest.mark.parametrize("fmt", [*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS], ids=exact.label)
def test_above_max_clamps(fmt):
    info = cf.finfo(fmt)
    x = np.array([1 + 2**-20, 1 + info.eps / 2, 1.5]) * info.max
    largest = cf.encode(info.max, fmt)
    for seed in range(20):
        codes = cf.encode(np.tile(x, 8), fmt, rounding="stochastic", seed=seed)
        np.testing.assert_array_equal(codes, np.full(24, largest))


@every_float
def test_however_the_array_is_cut(dtype, rng):
    x = rng.standard_normal(5000).astype(dtype)
    fmt, start = cf.CFloat8_1_5_2, 2**34 - 2500
    whole = cf.encode(x, fmt, rounding="stochastic", seed=9, offset=start)
    cuts = [0, 1, 3, 8, 25, 1049, 1050, 3333, 5000]
    pieces = [
        cf.encode(x[a:b], fmt, rounding="stochastic", seed=9, offset=start + a)
        for a, b in itertools.pairwise(cuts)
    ]
    exact.assert_same(np.concatenate(pieces), whole)


@pytest.mark.parametrize("order", ["F", "A", "K"])
def test_words_go_by_position_not_by_memory(order, rng):
    x = rng.standard_normal((37, 5, 11)).astype(np.float32)
    plain = cf.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", seed=3)
    for other in (np.asfortranarray(x), x.transpose(2, 0, 1).copy().transpose(1, 2, 0)):
        for operation, expected in (
            (cf.encode, plain),
            (cf.round_to, cf.decode(plain, cf.CFloat8_1_4_3)),
        ):
            out = np.empty_like(expected, order=order)
            operation(other, cf.CFloat8_1_4_3, rounding="stochastic", seed=3, out=out)
            exact.assert_same(out, expected)


def test_bias_arrays_use_the_same_words(rng):
    x = rng.standard_normal((40, 60)).astype(np.float32)
    biases = rng.integers(0, 64, (40, 1))
    codes = cf.encode(x, cf.CFloat8_1_5_2, biases, rounding="stochastic", seed=3, offset=5)
    for i, bias in enumerate(biases.flat):
        row = cf.encode(
            x[i], cf.CFloat8_1_5_2, bias, rounding="stochastic", seed=3, offset=5 + 60 * i
        )
        exact.assert_same(codes[i], row)


def test_round_to_uses_the_same_words(rng):
    x = rng.standard_normal(3000)
    for fmt in cf.TESLA_FORMATS:
        codes = cf.encode(x, fmt, rounding="stochastic", seed=3, offset=11)
        values = cf.round_to(x, fmt, rounding="stochastic", seed=3, offset=11)
        exact.assert_same(values, cf.decode(codes, fmt, dtype=np.float64))


def test_no_seed_is_a_new_seed():
    halfway = np.full(128, 1 + 2**-4)
    first, second = (cf.encode(halfway, cf.CFloat8_1_4_3, rounding="stochastic") for _ in range(2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["seed", "offset"])
def test_last_seed_and_offset(name):
    for last in (2**64 - 1, np.uint64(2**64 - 1)):
        cf.encode(1.0, cf.CFloat8_1_4_3, rounding="stochastic", **{"seed": 0, name: last})
    with pytest.raises(cf.ArgumentValueError, match=rf"{name} is 18446744073709551616"):
        cf.encode(1.0, cf.CFloat8_1_4_3, rounding="stochastic", **{"seed": 0, name: 2**64})


def test_the_stream_ends():
    with pytest.raises(cf.ArgumentValueError, match="offset is 18446744073709551615"):
        cf.encode([1.0, 2.0], cf.CFloat8_1_4_3, rounding="stochastic", seed=0, offset=2**64 - 1)
