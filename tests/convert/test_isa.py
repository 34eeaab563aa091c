"""Every instruction set gives the portable code's bits and flag counts, for every format there can be.

The other tests run on each instruction set too, and compare with the exact oracle, in which the operands are
few.  Here the portable code is the oracle, and operands, formats, lengths and places in memory are many.
"""

import itertools

import exact
import isas
import ml_dtypes
import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st

import cfloat as cf
from cfloat._core import isa as instruction_sets

pytestmark = pytest.mark.parametrize(
    "isa",
    [name for name in isas.TESTED if name != "portable"],
    indirect=True,
)

# More than two registers of the widest instruction set, and around the pieces of 1024 in which elements
# are staged.
SHORT_LENGTHS = range(71)
LONG_LENGTHS = (127, 128, 129, 1022, 1023, 1024, 1025, 1026, 1056, 2047, 2049)
SOURCES = (np.dtype(np.float32), np.dtype(np.float64))
SHORT_SOURCES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def variants():
    """Every preset, with each reading of denormals, and with and without saturation where it can be."""
    for fmt in (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS):
        for reading, saturating in itertools.product(exact.READINGS, (False, True)):
            if saturating or fmt.nonfinite != "none":
                yield fmt.replace(subnormals=reading, saturating=saturating)


# User's own formats at the edges: biases at both ends of what float32 allows and where the vector code hands
# over, no mantissa, no sign, one exponent bit, codes of 7 and of 9 bits.
CORNERS = [
    cf.Format(name, exponent_bits=e, mantissa_bits=m, bias=bias, **others)
    for name, e, m, bias, others in [
        ("e4m3_high", 4, 3, (110, 146), {"subnormals": "whitepaper"}),
        ("e4m3_93", 4, 3, (80, 90), {"subnormals": "whitepaper"}),
        ("e4m3_94", 4, 3, (80, 91), {"subnormals": "whitepaper"}),
        ("e4m3_126", 4, 3, (100, 126), {"subnormals": "whitepaper"}),
        ("e4m3_127", 4, 3, (100, 127), {"subnormals": "ieee"}),
        ("e4m3_flush", 4, 3, (100, 127), {"subnormals": "flush"}),
        ("e2m0", 2, 0, (-124, 149), {"subnormals": "whitepaper"}),
        ("e1m0", 1, 0, (-126, 127), {"subnormals": "ieee", "signed": False}),
        ("e1m15", 1, 15, (-126, 100), {"subnormals": "whitepaper", "signed": False}),
        ("e1m14", 1, 14, (-126, 112), {"subnormals": "whitepaper"}),
        ("e8m0", 8, 0, (127, 130), {"signed": False, "nonfinite": "nan_only"}),
        ("e8m7", 8, 7, (128, 142), {"subnormals": "whitepaper"}),
        ("e5m1_low", 5, 1, (-96, -90), {"subnormals": "whitepaper"}),
        ("e5m3", 5, 3, (0, 60), {"nonfinite": "ieee", "subnormals": "whitepaper"}),
        ("e3m4_unsigned", 3, 4, (-60, 60), {"signed": False, "subnormals": "whitepaper"}),
        ("e4m4_unsigned", 4, 4, (-60, 60), {"signed": False, "nonfinite": "nan_only"}),
    ]
]


def label(fmt):
    ends = "saturating" if fmt.saturating and fmt.nonfinite != "none" else fmt.nonfinite
    return f"{fmt.name}-{fmt.subnormals}-{ends}"


every_format = pytest.mark.parametrize("fmt", [*variants(), *CORNERS, *exact.NEW_KINDS], ids=label)


def positive_values(fmt, bias):
    """What rounding takes place among, and the first number beyond."""
    grid = fmt.replace(subnormals=fmt.subnormals.replace("flush", "ieee")).values(bias)
    values = np.unique(np.abs(grid[np.isfinite(grid)].astype(np.float64)))
    if len(values) == 1:  # one normal number, and no zero
        return np.array([values[0], 2 * values[0]])
    return np.append(values, 2 * values[-1] - values[-2])


def specials(dtype):
    """Zeros, infinities, NaNs quiet and signalling, the ends of the normals and of the denormals."""
    bits = {
        4: [0, 1, 2, 0x007FFFFF, 0x00800000, 0x00800001, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00000,
            0x7FFFFFFF, 0x3F800000],
        8: [0, 1, 2**32, 2**52 - 1, 2**52, 2**52 + 1, 2**63 - 2**52 - 1, 0x7FF << 52, (0x7FF << 52) + 1,
            0x7FF8 << 48, 2**63 - 1, 0x3FF << 52, (0x7FF << 52) + 2**32, (0x380 << 52), (0x369 << 52)],
    }[dtype.itemsize]  # fmt: skip
    magnitudes = np.array(bits, f"u{dtype.itemsize}")
    sign = magnitudes.dtype.type(1 << (8 * dtype.itemsize - 1))
    return np.concatenate([magnitudes, magnitudes | sign]).view(dtype)


def random_operands(dtype, rng, size):
    """Any bits, and float32's denormals."""
    anything = rng.integers(0, 2 ** (8 * dtype.itemsize) - 1, size, np.uint64, endpoint=True)
    denormals = rng.integers(0, 2**24, size // 8).astype(np.uint32)
    denormals = (denormals >> 1 | denormals << 31).view(np.float32)
    return np.concatenate(
        [anything.astype(f"u{dtype.itemsize}").view(dtype), denormals.astype(dtype)]
    )


def operands(fmt, bias, dtype, rng, size=400):
    """Values, midpoints and places in between, and the numbers next to them, all sorts in random order."""
    table = positive_values(fmt, bias)
    low = rng.integers(0, len(table) - 1, 3 * size)
    # the hole, or the last denormal and the first normal number, takes part in a tenth of them
    low[: len(low) // 10] = 2**fmt.mantissa_bits - 1
    low = np.minimum(low, len(table) - 2)
    part = np.tile([0.0, 0.5, -1.0], size)
    part = np.where(part < 0, rng.random(3 * size), part)
    with np.errstate(all="ignore"):
        points = (table[low] + part * (table[low + 1] - table[low])).astype(dtype)
        points = np.concatenate(
            [
                points,
                np.nextafter(points[::2], dtype.type(0)),
                np.nextafter(points[1::2], dtype.type(np.inf)),
            ]
        )
        points = np.concatenate(
            [points, points[:size] * dtype.type(2), points[:size] / dtype.type(3)]
        )
        points = np.where(rng.random(points.size) < 0.3, -points, points)
        mixed = np.concatenate(
            [points, np.tile(specials(dtype), 4), random_operands(dtype, rng, size)]
        )
    return rng.permutation(mixed)


def all_codes(fmt, rng):
    """All codes of a narrow format in order, and some of a wide one."""
    if fmt.bits <= 11:
        return np.arange(2**fmt.bits).astype(fmt.storage_dtype)
    return rng.integers(0, 2**fmt.bits, 2000).astype(fmt.storage_dtype)


def by(isa, operation):
    """What an operation returns, and the flags it raises, by an instruction set."""
    instruction_sets.select_isa(isa)
    with cf.record_flags() as flags:
        result = operation()
    return result, flags


def assert_as_portable(isa, operation):
    """Assert that an operation has the portable code's result and flags, counting and not."""
    expected, expected_flags = by("portable", operation)
    actual, flags = by(isa, operation)
    exact.assert_same(actual, expected)
    assert flags == expected_flags
    exact.assert_same(operation(), expected)


def assert_format_as_portable(isa, fmt, bias, biases, modes, rng, size):
    """Encode, round and decode at one bias, and at a random one of `biases` for each element."""
    for dtype in SOURCES:
        x = operands(fmt, bias, dtype, rng, size)
        each = rng.choice(biases, x.size)
        for mode, where in itertools.product(modes, (bias, each)):
            options = {"rounding": mode, "seed": 2**63 + bias, "offset": int(rng.integers(0, 9))}
            assert_as_portable(isa, lambda: cf.encode(x, fmt, where, **options))  # noqa: B023
            assert_as_portable(isa, lambda: cf.round_to(x, fmt, where, **options))  # noqa: B023
    codes = all_codes(fmt, rng)
    each = rng.choice(biases, codes.size)
    for where in (bias, each):
        assert_as_portable(isa, lambda: cf.decode(codes, fmt, where))  # noqa: B023


@pytest.mark.slow
@every_format
def test_presets_and_corners(isa, fmt, rng):
    low, high = fmt.bias_range
    for bias in sorted({low, fmt.default_bias, high}):
        assert_format_as_portable(
            isa, fmt, bias, np.arange(low, high + 1), cf.ROUNDING_MODES, rng, 200
        )


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_any_format(isa, data):
    fmt = data.draw(strategies.formats())
    biases = [data.draw(strategies.biases(fmt)) for _ in range(2)] + list(fmt.bias_range)
    modes = data.draw(st.permutations(cf.ROUNDING_MODES))[:3]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    assert_format_as_portable(isa, fmt, biases[0], np.array(biases), modes, rng, 100)


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_any_format_with_biases_near_float32s(isa, data):
    """Where float32's own denormals begin to matter, and where the vector code hands over."""
    arguments, least, greatest = data.draw(strategies.fields())
    high = data.draw(st.integers(max(least, greatest - 60), greatest))
    fmt = cf.Format("near", bias=(max(least, high - 10), high), **arguments)
    mode = data.draw(st.sampled_from(cf.ROUNDING_MODES))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    biases = np.arange(fmt.bias_range[0], high + 1)
    assert_format_as_portable(isa, fmt, high, biases, [mode, "stochastic"], rng, 100)


# Two of 8 bits and two of 16, among them one with the hole and one with infinities.
SOME = (cf.CFloat8_1_4_3, cf.CFloat16_UHP, cf.CFloat16_SHP, cf.float8_e5m2)


def conversions(fmt, rng, size):
    """Every slot of a table of kernels, as names, operands and operations that take a slice of these.

    An operation takes the elements, the biases, the first one's offset, and out.
    """
    low, high = fmt.bias_range
    found = []
    for dtype, mode in itertools.product(SOURCES, cf.ROUNDING_MODES):
        x = np.resize(operands(fmt, fmt.default_bias, dtype, rng, size // 8), size)
        for function in (cf.encode, cf.round_to):

            def convert(x, bias, offset, out=None, function=function, mode=mode):
                return function(x, fmt, bias, rounding=mode, seed=5, offset=offset, out=out)

            found.append((f"{function.__name__} {dtype} {mode}", x, convert))

    def decode(codes, bias, offset, out=None):
        return cf.decode(codes, fmt, bias, out=out)

    found.append(("decode", rng.integers(0, 2**fmt.bits, size).astype(fmt.storage_dtype), decode))
    biases = rng.integers(max(low, fmt.default_bias - 3), min(high, fmt.default_bias + 3) + 1, size)
    return found, biases.astype(np.int16)


some_formats = pytest.mark.parametrize("fmt", SOME, ids=exact.label)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", [*SOME, *CORNERS], ids=label)
@pytest.mark.parametrize("dtype", SHORT_SOURCES, ids=str)
def test_every_short_float(isa, fmt, dtype, rng):
    """All 2**16 float16s and bfloat16s, in random order."""
    x = rng.permutation(2**16).astype(np.uint16).view(dtype)
    low, high = fmt.bias_range
    biases = rng.integers(low, high + 1, x.size).astype(np.int16)
    for mode, where in itertools.product(cf.ROUNDING_MODES, (None, biases)):
        options = {"rounding": mode, "seed": 3, "offset": 5}
        assert_as_portable(isa, lambda: cf.encode(x, fmt, where, **options))  # noqa: B023
    assert_as_portable(isa, lambda: cf.round_to(x, fmt, biases))


def test_denormals_of_short_floats(isa):
    """float16's are normal float32s, and count all the same; bfloat16's are denormal there too."""
    for dtype, count in zip(SHORT_SOURCES, (1023, 127), strict=True):
        magnitudes = np.arange(2**11, dtype=np.uint16)
        for x in (magnitudes.view(dtype), (magnitudes | 0x8000).view(dtype)):
            for mode in cf.ROUNDING_MODES:
                with cf.record_flags() as flags:
                    cf.encode(x, cf.CFloat16_SHP, 30, rounding=mode, seed=1)
                assert flags.denormal == count


@pytest.mark.slow
@some_formats
@pytest.mark.parametrize("with_biases", [False, True], ids=["bias", "biases"])
@pytest.mark.parametrize("dtype", SHORT_SOURCES, ids=str)
def test_lengths_and_places_of_short_floats(isa, fmt, dtype, with_biases, rng):
    """At each length, at odd addresses too and in place, and nothing beside the results is written."""
    lengths = [*SHORT_LENGTHS, *LONG_LENGTHS]
    x = rng.permutation(2**16)[: max(lengths)].astype(np.uint16).view(dtype)
    biases = rng.choice(sorted({fmt.default_bias, *fmt.bias_range}), x.size).astype(np.int16)
    for length, mode in itertools.product(lengths, ("ties_to_even", "stochastic")):

        def convert(x, bias, out=None, mode=mode):
            return cf.encode(x, fmt, bias, rounding=mode, seed=5, offset=x.size % 5, out=out)

        some, where = x[:length], biases[:length] if with_biases else None
        assert_as_portable(isa, lambda: convert(some, where))  # noqa: B023
        expected = convert(some, where)
        operand, _, _ = unaligned(some, 1 + length % 7)
        out, memory, place = unaligned(np.zeros_like(expected), 1 + length % 5)
        memory[...] = 0xA5
        convert(operand, where, out=out)
        exact.assert_same(out, expected)
        memory[place] = 0xA5
        assert (memory == 0xA5).all()
        in_place = some.copy()
        convert(in_place, where, out=in_place.view(expected.dtype)[:length])
        exact.assert_same(in_place.view(expected.dtype)[:length], expected)


@pytest.mark.slow
@some_formats
@pytest.mark.parametrize("with_biases", [False, True], ids=["bias", "biases"])
def test_lengths(isa, fmt, with_biases, rng):
    """At each length, the start of what the portable code gives, and its flags."""
    lengths = [*SHORT_LENGTHS, *LONG_LENGTHS]
    found, biases = conversions(fmt, rng, max(lengths) + 8)
    for name, x, convert in found:
        stochastic = name.endswith("stochastic")
        for length in lengths:
            # with each position in a block of four words, and in a register of blocks
            for start in range(8) if stochastic and length <= 70 else (length % 8,):
                part = slice(start, start + length)
                bias = biases[part] if with_biases else None

                def operation(part=part, bias=bias, start=start, x=x, convert=convert):
                    return convert(x[part], bias, start)

                if length == 0:
                    assert operation().shape == (0,)
                assert_as_portable(isa, operation)


def unaligned(x, shift):
    """A copy that begins so many bytes after an aligned address, with as many bytes after it."""
    memory = np.frombuffer(bytearray(x.nbytes + 2 * shift + 64), np.uint8)
    start = -memory.ctypes.data % 64 + shift
    view = np.frombuffer(memory.base, x.dtype, x.size, start)
    view[...] = x
    assert view.ctypes.data % 64 == shift
    return view, memory, slice(start, start + x.nbytes)


@pytest.mark.slow
@some_formats
@pytest.mark.parametrize("shift", range(1, 8))
def test_unaligned(isa, fmt, shift, rng):
    """Operands, biases and results at odd addresses; not one byte beside a result is written."""
    found, biases = conversions(fmt, rng, 150)
    for _, x, convert in found:
        for length in (1, 5, 8, 16, 31, 32, 33, 70, 150):
            where, _, _ = unaligned(biases[:length], shift)
            operand, _, _ = unaligned(x[:length], shift)
            for bias in (None, where):
                instruction_sets.select_isa("portable")
                expected = convert(x[:length], None if bias is None else biases[:length], 3)
                instruction_sets.select_isa(isa)
                exact.assert_same(convert(operand, bias, 3), expected)
                out, memory, place = unaligned(np.zeros_like(expected), 8 - shift)
                memory[...] = 0xA5
                convert(operand, bias, 3, out=out)
                exact.assert_same(out, expected)
                memory[place] = 0xA5
                assert (memory == 0xA5).all()


@pytest.mark.slow
@some_formats
def test_in_place(isa, fmt, rng):
    """The result in the operand's own memory: as large, for round_to, or smaller, for codes."""
    found, biases = conversions(fmt, rng, 2200)
    for name, x, convert in found:
        if name == "decode":
            continue
        for length, bias in itertools.product(
            (*range(35), 63, 64, 65, 1023, 1025, 2200), (None, biases)
        ):
            where = None if bias is None else bias[:length]
            instruction_sets.select_isa("portable")
            expected = convert(x[:length], where, 1)
            instruction_sets.select_isa(isa)
            memory = x[:length].copy()
            out = memory.view(expected.dtype)[:length]
            with cf.record_flags():
                assert convert(memory, where, 1, out=out) is out
            exact.assert_same(out, expected)
            silent = x[:length].copy()
            out = silent.view(expected.dtype)[:length]
            convert(silent, where, 1, out=out)
            exact.assert_same(silent, memory)


@pytest.mark.slow
@some_formats
def test_positions_in_the_stream(isa, fmt, rng):
    """Where the low half of a block's number steps over in the middle of a register, and at the end."""
    x = operands(fmt, fmt.default_bias, SOURCES[0], rng, 20)[:200]
    for carry in (2**34, 2**32, 2**33, 2**63):
        for back in (*range(41), 64, 100):
            for operation in (cf.encode, cf.round_to):
                options = {"rounding": "stochastic", "seed": 2**64 - 1, "offset": carry - back}
                assert_as_portable(isa, lambda: operation(x, fmt, **options))  # noqa: B023
    for seed in (0, 2**32 - 1, 2**32, 2**64 - 1):
        options = {"rounding": "stochastic", "seed": seed, "offset": 2**64 - x.size}
        assert_as_portable(isa, lambda: cf.encode(x, fmt, **options))  # noqa: B023


def test_flags_of_many_elements(isa):
    """Counts beyond what 8, 16 or 24 bits of a register would hold."""
    for x, flag in (
        (np.nan, "invalid"),
        (1e30, "overflow"),
        (1e-20, "underflow"),
        (1e-40, "denormal"),
    ):
        many = np.full(2**18 + 5, x, np.float32)
        for operation, mode in itertools.product((cf.encode, cf.round_to), cf.ROUNDING_MODES):
            with cf.record_flags() as flags:
                operation(many, cf.CFloat8_1_4_3, rounding=mode, seed=0)
            assert getattr(flags, flag) == many.size


INTEGERS = [np.dtype(f"{sign}int{bits}") for bits in (8, 16, 32, 64) for sign in ("", "u")]


def numbers_of(dtype, rng, size=3000):
    """Numbers of a type: of every magnitude it has, near ties, and its ends."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        x = rng.integers(limits.min, limits.max, size, dtype, endpoint=True)
        ends = np.array([0, 1, 2, limits.min, limits.min + 1, limits.max - 1, limits.max], dtype)
        return np.concatenate([ends, x, x >> rng.integers(0, limits.bits, size).astype(dtype)])
    signs = rng.choice([-1, 1], size)
    near = np.ldexp(signs * (1 + rng.integers(0, 64, size) / 64), rng.integers(-14, 9, size))
    anywhere = np.ldexp(signs * rng.uniform(1, 2, size), rng.integers(-190, 140, size))
    with np.errstate(all="ignore"):
        x = np.concatenate([near, near * (1 + np.ldexp(1.0, -rng.integers(8, 52, size))), anywhere])
        ends = specials(dtype) if dtype.itemsize > 2 else specials(SOURCES[0]).astype(dtype)
        return np.concatenate([ends, x.astype(dtype)])


KINDS_OF_FORMATS = [
    *(cf.CFloat8_1_4_3, cf.CFloat16_UHP, cf.float8_e4m3fnuz, cf.bfloat16, cf.float8_e8m0fnu),
    cf.CFloat8_1_5_2.replace(name="flushing", subnormals="flush"),
]


@pytest.mark.quick
@pytest.mark.parametrize("dtype", [*SOURCES, *SHORT_SOURCES, *INTEGERS], ids=str)
def test_every_source_and_mode(isa, dtype, rng):
    x = numbers_of(dtype, rng)
    for fmt, mode in itertools.product(KINDS_OF_FORMATS, cf.ROUNDING_MODES):
        seed = 7 if mode == "stochastic" else None
        assert_as_portable(
            isa, lambda fmt=fmt, mode=mode, seed=seed: cf.encode(x, fmt, rounding=mode, seed=seed)
        )


@pytest.mark.quick
@pytest.mark.parametrize("dtype", [*SOURCES, *SHORT_SOURCES, np.dtype(np.int64)], ids=str)
@pytest.mark.parametrize("variant", "ABC")
@pytest.mark.parametrize("bits", [1, 8, 31, 32])
def test_every_kind_of_words(isa, dtype, variant, bits, rng):
    """Given ones, also the least and the largest, and drawn ones where the counters' upper halves change."""
    x = numbers_of(dtype, rng)
    words = rng.integers(0, 2**bits, x.size, np.uint64)
    words[::3] = 2**bits - 1
    words[1::5] = 2**bits - 2 if bits > 1 else 0
    how = {"rounding": "stochastic", "stochastic_bits": bits, "stochastic_variant": variant}
    for fmt in KINDS_OF_FORMATS:
        assert_as_portable(isa, lambda fmt=fmt: cf.encode(x, fmt, random_bits=words, **how))
        assert_as_portable(isa, lambda fmt=fmt: cf.encode(x, fmt, seed=3, offset=2**34 - 99, **how))


@pytest.mark.quick
@pytest.mark.parametrize("mode", cf.ROUNDING_MODES)
def test_every_mode_by_blocks(isa, mode, rng):
    x = rng.standard_normal((40, 128)).astype(np.float32)
    biases = rng.integers(4, 12, (40, 4), np.int16)
    seed = 7 if mode == "stochastic" else None
    blocks = x.reshape(40, 4, 32)
    for fmt in (cf.CFloat8_1_4_3, cf.CFloat16_SHP):
        for convert in (cf.encode, cf.round_to):
            assert_as_portable(
                isa,
                lambda convert=convert, fmt=fmt: convert(
                    blocks, fmt, biases[..., None], rounding=mode, seed=seed, offset=0
                ),
            )


@pytest.mark.quick
@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
def test_decoding_to_other_types(isa, dtype, rng):
    """With flags, biases at both ends, and out of place by some bytes."""
    for fmt in [*KINDS_OF_FORMATS, *CORNERS, cf.CFloat16_SHP, cf.float16]:
        codes = all_codes(fmt, rng)
        for bias in {*fmt.bias_range, fmt.default_bias}:
            assert_as_portable(
                isa,
                lambda fmt=fmt, codes=codes, bias=bias: cf.decode(codes, fmt, bias, dtype=dtype),
            )


@pytest.mark.quick
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    "fmt",
    [
        cf.CFloat16_SHP, cf.CFloat16_UHP, cf.float16, cf.bfloat16,
        cf.Format("e5m6", exponent_bits=5, mantissa_bits=6, bias=(0, 31)),
        cf.Format("u6m10", exponent_bits=6, mantissa_bits=10, bias=31, signed=False),
    ],
    ids=str,
)  # fmt: skip
def test_decoding_codes_among_normal_ones(isa, fmt, dtype):
    """Codes around each exponent's first one, of either sign, each beside zeros and a normal number."""
    m = fmt.mantissa_bits
    firsts = np.arange(2**fmt.exponent_bits + 1) << m
    some = np.concatenate([firsts + step for step in (-5, -4, -1, 0, 1, 3)]) % 2**fmt.bits
    sign = 2 ** (fmt.bits - 1)
    low, high = fmt.bias_range
    for bias in {low, high, fmt.default_bias, max(low, min(high, 15))}:
        normal = (max(1, bias) % (2**fmt.exponent_bits - 1) << m) + 1
        codes = np.full((2 * len(some), 32), normal, fmt.storage_dtype)
        codes[:, ::3] = 0
        codes[:, 13] = [*some, *(some ^ sign)]
        assert_as_portable(
            isa, lambda bias=bias, codes=codes: cf.decode(codes, fmt, bias, dtype=dtype)
        )
