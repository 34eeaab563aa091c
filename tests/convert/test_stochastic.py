"""Stochastic rounding (docs/spec.md 3.12 to 3.15): its random words, its threshold, and that it is unbiased.

Then with fewer random bits, by IEEE P3109's variants, and with the caller's own."""

import bisect
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
from cfloat._core import binding
from cfloat._core.rounding import check_rounding

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
    assert binding.philox4x32_10(counter, key) == words
    assert ref.philox4x32_10(counter, key) == words


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("offset", OFFSETS)
def test_random_words(seed, offset):
    for size in (0, 1, 5, 300):
        expected = words_from_the_oracle(seed, offset, size)
        exact.assert_same(binding.random_words(seed, offset, size), expected)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 9))
def test_random_words_anywhere(seed, offset):
    exact.assert_same(binding.random_words(seed, offset, 9), words_from_the_oracle(seed, offset, 9))


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
    words = binding.random_words(7, 0, lows.size)
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


@pytest.mark.slow
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


# Fewer bits, variants, and the caller's own bits.

BITS = (1, 2, 3, 8, 16, 31, 32)
VARIANTS = ("A", "B", "C")
# Each reading, with and without a sign, of 8 and of 16 bits.
FEW_FORMATS = [
    cf.CFloat8_1_4_3,
    cf.CFloat8_1_5_2.replace(subnormals="ieee"),
    cf.CFloat16_SHP,
    cf.CFloat16_UHP,
]

few_formats = pytest.mark.parametrize("fmt", FEW_FORMATS, ids=exact.label)
every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_number_of_bits = pytest.mark.parametrize("bits", BITS)


@pytest.mark.slow
@every_reading
@every_variant
def test_few_bits_by_their_definition(fmt, variant, rng):
    """Codes and flags of operands of all sorts, with random bits."""
    bias = fmt.default_bias
    landmarks = exact.landmarks(fmt, bias, step=1 if fmt.bits <= 8 else 500)
    for bits, dtype in itertools.product(BITS, exact.FLOATS[:2]):
        with np.errstate(over="ignore"):
            x = rng.choice(landmarks, 40).astype(dtype)
        drawn = rng.integers(0, 2**bits, x.size)
        expected, flags = exact.encode_by_reference(
            x, fmt, bias, "stochastic", drawn << (32 - bits), bits, variant
        )

        def convert(operands, drawn=drawn, bits=bits):
            return cf.encode(
                operands, fmt, bias, rounding="stochastic", random_bits=drawn,
                stochastic_bits=bits, stochastic_variant=variant,
            )  # fmt: skip

        exact.assert_same(convert(x), expected)
        exact.assert_flags(convert, x, flags)


def places_in_a_gap(low, high, quanta, bits, rng):
    """Operands between two neighbours where f * 2**bits is whole, or half, and those next to them.

    Its `quanta` parts are tried too: in the hole no finite number of bits has such an f.
    """
    steps = 2**bits
    some = {0, 1, 2, steps // 2, steps - 2, steps - 1, *(int(k) for k in rng.integers(0, steps, 4))}
    parts = {Fraction(2 * k + half, 2 * steps) for k in some for half in (0, 1)}
    parts |= {Fraction(k, quanta) for k in {1, quanta // 2, quanta // 2 + 1, quanta - 1}}
    points = {float(low + (high - low) * part) for part in parts if 0 <= part < 1}
    near = {float(np.nextafter(x, end)) for x in points for end in (0.0, np.inf)}
    return sorted(x for x in points | near if low <= Fraction(x) < high)


def fewest_up(fraction, bits, variant):
    """The smallest r that takes f up; 2**bits if none does."""
    return bisect.bisect_left(
        range(2**bits), True, key=lambda r: ref.stochastic_up(fraction, bits, r, variant)
    )


@pytest.mark.slow
@few_formats
@every_variant
@every_number_of_bits
def test_thresholds_of_few_bits(fmt, variant, bits, rng):
    """For each f, the smallest r that goes up goes up, and the one below it does not."""
    table = exact.grid(fmt, fmt.default_bias)
    hole = 2**fmt.mantissa_bits - 1
    lows = {0, hole - 1, hole, hole + 1, 2 * hole + 2, *rng.integers(hole + 1, len(table) // 2, 2)}
    operands, drawn, expected = [], [], []
    for code in map(int, lows):
        low, high = Fraction(table[code]), Fraction(table[code + 1])
        gap = 2**fmt.mantissa_bits + 1 if code == hole else 8
        for x in places_in_a_gap(low, high, gap, bits, rng):
            fewest = fewest_up((Fraction(x) - low) / (high - low), bits, variant)
            for r, goes_up in ((fewest, 1), (fewest - 1, 0)):
                if 0 <= r < 2**bits:
                    operands.append(x)
                    drawn.append(r)
                    expected.append(code + goes_up)
    expected = np.array(expected)
    if fmt.subnormals == "flush":
        expected[expected <= hole] = 0
    options = {"rounding": "stochastic", "stochastic_bits": bits, "stochastic_variant": variant}
    codes = cf.encode(operands, fmt, random_bits=drawn, **options)
    np.testing.assert_array_equal(codes, expected)
    if fmt.signed:
        codes = cf.encode(np.negative(operands), fmt, random_bits=drawn, **options)
        np.testing.assert_array_equal(codes, expected | 1 << (fmt.bits - 1))


def test_thresholds_in_so_many_words():
    """f = 5/8 with two bits: f * 4 = 2.5, f * 8 = 5; and f = 7/8: 3.5 and 7."""
    x = np.repeat([1 + 5 / 64, 1 + 7 / 64], 4)  # between 1 and 9/8
    for variant, up in (("A", "00110111"), ("B", "01111111"), ("C", "00111111")):
        codes = cf.encode(
            x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=[0, 1, 2, 3] * 2,
            stochastic_bits=2, stochastic_variant=variant,
        )  # fmt: skip
        assert "".join(str(code - 56) for code in codes) == up
    # f = 11/16: 2.75 and 5.5; and f = 1/8: 0.5 and 1
    x = np.repeat([1 + 11 / 128, 1 + 1 / 64], 4)
    for variant, up in (("A", "00110000"), ("B", "01110001"), ("C", "01110000")):
        codes = cf.encode(
            x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=[0, 1, 2, 3] * 2,
            stochastic_bits=2, stochastic_variant=variant,
        )  # fmt: skip
        assert "".join(str(code - 56) for code in codes) == up


@few_formats
@every_variant
def test_what_is_representable_never_moves_with_few_bits(fmt, variant):
    values = fmt.values().astype(np.float64)
    still = cf.encode(values, fmt)
    for bits in BITS:
        for r in (0, 2**bits - 1):
            codes = cf.encode(
                values, fmt, rounding="stochastic", random_bits=r, stochastic_bits=bits,
                stochastic_variant=variant,
            )  # fmt: skip
            exact.assert_same(codes, still)


@pytest.mark.parametrize("dtype", exact.FLOATS, ids=str)
@every_variant
@every_number_of_bits
def test_a_seed_gives_the_upper_bits_of_each_word(dtype, variant, bits, rng):
    x = (rng.standard_normal((3, 700)) * 4).astype(dtype)
    for fmt, seed, offset in ((cf.CFloat8_1_4_3, 7, 0), (cf.CFloat16_SHP, 2**64 - 1, 2**34 - 1001)):
        words = binding.random_words(seed, offset, x.size).reshape(x.shape)
        options = {
            "rounding": "stochastic", "stochastic_bits": bits, "stochastic_variant": variant,
        }  # fmt: skip
        for operation in (cf.encode, cf.round_to):
            expected = operation(x, fmt, random_bits=words >> (32 - bits), **options)
            exact.assert_same(operation(x, fmt, seed=seed, offset=offset, **options), expected)
            if bits == 32 and variant == "A":
                plain = operation(x, fmt, rounding="stochastic", seed=seed, offset=offset)
                exact.assert_same(plain, expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", exact.FLOATS[:2], ids=str)
@every_reading
def test_32_bits_given_are_those_of_the_stream(fmt, dtype, rng):
    """In the hole, at thresholds, with biases for each element: the same codes, values and flags."""
    x = np.resize(exact.landmarks(fmt, fmt.default_bias, 1 if fmt.bits <= 8 else 50), 3000)
    with np.errstate(over="ignore"):
        x = rng.permutation(x).astype(dtype)
    low, high = fmt.bias_range
    biases = rng.integers(max(low, fmt.default_bias - 2), min(high, fmt.default_bias + 2) + 1, 3000)
    words = binding.random_words(11, 3, 3000)
    for operation, bias in itertools.product((cf.encode, cf.round_to), (None, biases)):
        with cf.record_flags() as expected_flags:
            expected = operation(x, fmt, bias, rounding="stochastic", seed=11, offset=3)
        with cf.record_flags() as flags:
            actual = operation(x, fmt, bias, rounding="stochastic", random_bits=words)
        exact.assert_same(actual, expected)
        assert flags == expected_flags


def test_random_bits_broadcast_and_have_any_layout(rng):
    x = rng.standard_normal((30, 50)).astype(np.float32)
    drawn = rng.integers(0, 256, (30, 50))

    def encode(drawn, x=x, bias=None):
        return cf.encode(
            x, cf.CFloat8_1_4_3, bias, rounding="stochastic", random_bits=drawn, stochastic_bits=8
        )

    expected = encode(drawn)
    # element by element, by what a single call gives
    for i, j in ((0, 0), (0, 49), (13, 21), (29, 49)):
        assert encode(int(drawn[i, j]), x[i, j]) == expected[i, j]
    wide = np.zeros((90, 100), np.int64)
    wide[1::3, ::-2] = drawn
    for same in (
        *(
            drawn.astype(dtype)
            for dtype in ("u1", "u2", "i2", ">u2", "i4", "u4", ">u4", "i8", "u8", ">i8")
        ),
        np.asfortranarray(drawn),
        np.flip(np.flip(drawn).copy()),
        wide[1::3, ::-2],
        drawn.tolist(),
        drawn[None].astype(np.uint8)[0],
    ):
        exact.assert_same(encode(same), expected)
    exact.assert_same(encode(drawn.T, x.T), expected.T)
    for some in (drawn[0], drawn[:, :1], drawn[:1], drawn[3, 7], int(drawn[3, 7]), [[drawn[3, 7]]]):
        exact.assert_same(encode(some), encode(np.broadcast_to(some, x.shape).copy()))
    # to the result's shape, which biases may widen
    biases = np.array([3, 7, 20])[:, None, None]
    exact.assert_same(encode(drawn, bias=biases)[1], expected)
    three = rng.integers(0, 256, (3, 30, 50))
    exact.assert_same(encode(three, bias=biases)[1], encode(three[1]))
    drawn.flags.writeable = False
    exact.assert_same(encode(drawn), expected)


def test_random_bits_of_no_elements_and_no_dimensions():
    options = {"rounding": "stochastic", "random_bits": [], "stochastic_bits": 4}
    assert cf.encode(np.zeros((0, 3)), cf.CFloat8_1_4_3, **options | {"random_bits": 3}).shape == (
        0,
        3,
    )
    assert cf.encode([], cf.CFloat8_1_4_3, **options).shape == (0,)
    for r, code in ((7, 56), (8, 57)):  # f = 1/2
        codes = cf.encode(1 + 1 / 16, cf.CFloat8_1_4_3, **options | {"random_bits": r})
        exact.assert_same(codes, np.array(code, np.uint8))


def test_random_bits_in_the_result_s_memory(rng):
    x = rng.standard_normal(3000).astype(np.float32)
    drawn = rng.integers(0, 2**32, 3000, np.uint64).astype(np.uint32)
    expected = cf.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=drawn)
    for place in (slice(None, 3000), slice(-3000, None), slice(1, None, 4)):
        memory = drawn.copy()
        out = memory.view(np.uint8)[place][:3000]
        cf.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=memory, out=out)
        exact.assert_same(out, expected)


@pytest.mark.quick
def test_whole_words_are_read_where_they_are(rng):
    x = rng.standard_normal(3000).astype(np.float32)
    words = rng.integers(0, 2**32, 3000, np.uint64).astype(np.uint32)
    words.flags.writeable = False
    how = check_rounding("stochastic", x.shape, random_bits=words)
    assert how.words is not None
    assert np.shares_memory(how.words, words)
    expected = cf.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=words.tolist())
    memory = np.zeros(4 * 3000 + 1, np.uint8)
    unaligned = memory[1:].view(np.uint32)
    unaligned[...] = words
    aligned = check_rounding("stochastic", x.shape, random_bits=unaligned).words
    assert aligned is not None
    assert aligned.flags.aligned
    for same in (words, unaligned, words.astype(">u4"), words.astype(np.int64)):
        codes = cf.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=same)
        exact.assert_same(codes, expected)
    # others are still looked at
    for wrong in (words.astype(np.int64) - 2**31, words.astype(np.uint64) << 1):
        with pytest.raises(ValueError, match="random_bits has an element"):
            cf.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=wrong)


def test_variants_are_biased_as_they_say():
    """Over all r, A goes up floor(f * 2**N) times of 2**N, B as many times as f * 2**N to nearest, C too."""
    bits = 5
    for k in range(2**9):
        f = Fraction(k, 2**9)
        x = np.full(2**bits, 1 + k / 2**12)
        for variant, times in (("A", k // 16), ("B", (2 * k // 16 + 1) // 2), ("C", round(f * 32))):
            codes = cf.encode(
                x, cf.CFloat8_1_4_3, rounding="stochastic", random_bits=np.arange(2**bits),
                stochastic_bits=bits, stochastic_variant=variant,
            )  # fmt: skip
            assert np.count_nonzero(codes == 57) == times
            assert np.count_nonzero(codes == 56) == 2**bits - times


# gfloat's StochasticFastest is A and its StochasticFast is B: they do not take the floor, but compare with
# whole numbers.  Its Stochastic is C.
GFLOAT_MODES = {"A": "StochasticFastest", "B": "StochasticFast", "C": "Stochastic"}


@pytest.mark.slow
@every_variant
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 12])
@pytest.mark.parametrize(
    "fmt",
    [
        *cf.COMPARISON_FORMATS,
        *(fmt.replace(subnormals="ieee") for fmt in (cf.CFloat8_1_4_3, cf.CFloat8_1_5_2)),
        cf.Format("unsigned", exponent_bits=5, mantissa_bits=3, signed=False),
    ],
    ids=exact.label,
)
def test_gfloat(fmt, bits, variant, rng):
    """Where gfloat computes without rounding: f of no more than 24 bits, and no more than 12 random ones."""
    gfloat = pytest.importorskip("gfloat", reason="gfloat is not installed")
    info = gfloat.FormatInfo(
        fmt.name,
        fmt.bits,
        fmt.mantissa_bits + 1,
        bias=fmt.default_bias,
        is_signed=fmt.signed,
        domain=gfloat.Domain.Extended if fmt.nonfinite == "ieee" else gfloat.Domain.Finite,
        has_nz=True,
        num_high_nans={"none": 0, "nan_only": 1, "ieee": 2**fmt.mantissa_bits - 1}[fmt.nonfinite],
        has_subnormals=True,
        is_twos_complement=False,
    )
    mode = gfloat.RoundMode[GFLOAT_MODES[variant]]
    table = exact.grid(fmt, fmt.default_bias)
    top = exact.reference_format(fmt).max_code
    lows = np.concatenate([np.arange(10), rng.integers(0, top, 90), [top - 1]])
    steps = rng.integers(0, 2**14, lows.size) * 2 ** rng.integers(0, 7, lows.size)
    x = table[lows] + (table[lows + 1] - table[lows]) * (steps % 2**14 / 2**14)
    if fmt.signed:
        x *= rng.choice([-1.0, 1.0], x.size)
    drawn = rng.integers(0, 2**bits, x.size)
    expected = [
        gfloat.round_float(info, value, mode, srbits=r, srnumbits=bits)
        for value, r in zip(x.tolist(), drawn.tolist(), strict=True)
    ]
    actual = cf.round_to(
        x, fmt, rounding="stochastic", random_bits=drawn, stochastic_bits=bits,
        stochastic_variant=variant,
    )  # fmt: skip
    exact.assert_same(actual, np.array(expected))
