"""Exact sums into a CFloatArray are rounded once, against fractions and integers (docs/spec.md 5.5)."""

from fractions import Fraction

import exact
import ml_dtypes
import numpy as np
import pytest
import reference as ref

import cfloat as cf

pytestmark = pytest.mark.quick

FLAGS = ("invalid", "overflow", "underflow")
DESTINATIONS = (
    (cf.CFloat8_1_4_3, 10),
    (cf.CFloat8_1_4_3.replace(subnormals="ieee"), 7),
    (cf.CFloat8_1_5_2, 15),
    (cf.CFloat16_SHP, 20),
    (cf.CFloat16_UHP, 31),
    (cf.float16, 15),
    (cf.bfloat16, 127),
    (cf.float8_e4m3fn, 7),
    (cf.float8_e5m2, 15),
)
each_destination = pytest.mark.parametrize(
    ("fmt", "bias"), DESTINATIONS, ids=lambda x: exact.label(x) or str(x)
)


def fractions_of(x):
    values = np.asarray(x).astype(np.float64)
    return np.array([Fraction(float(v)) for v in values.flat], object).reshape(values.shape)


def rounded(sums, fmt, bias, rounding, seed=0, offset=0):
    """Round fractions: codes, and how many raise each flag."""
    wanted = exact.reference_format(fmt)
    encoded = [
        ref.encode(
            wanted, ref.real_from_fraction(Fraction(x)), bias, rounding,
            ref.random_word(seed, offset + i) if rounding == "stochastic" else 0,
        )
        for i, x in enumerate(sums.flat)
    ]  # fmt: skip
    codes = np.array([code for code, _ in encoded], fmt.storage_dtype).reshape(sums.shape)
    return codes, {name: sum(name in flags for _, flags in encoded) for name in FLAGS}


def into(a, b, fmt, bias, rounding="ties_to_even", **how):
    """Multiply into a new array: its codes, and how many raise each flag."""
    out = cf.empty((*a.shape[:-1], b.shape[-1]), fmt, bias)
    if rounding == "stochastic":
        how = {"seed": 5, "offset": 3, **how}
    with cf.record_flags() as flags:
        assert cf.matmul(a, b, accumulate="exact", out=out, rounding=rounding, **how) is out
    assert flags.denormal == 0  # a sum is no operand
    return out.codes, {name: getattr(flags, name) for name in FLAGS}


def check(a, b, fmt, bias, rounding="ties_to_even"):
    sums = fractions_of(a) @ fractions_of(b)
    codes, flags = into(a, b, fmt, bias, rounding)
    expected, raised = rounded(sums, fmt, bias, rounding, 5, 3)
    np.testing.assert_array_equal(codes, expected)
    assert flags == raised


def test_a_tie_of_float32_is_none(isa):
    # the sum is a little more than half-way between 1 and 1.125, and so little that float32 has none of it
    a = cf.asarray([[1, 2**-4, 2**-13]], cf.CFloat8_1_4_3, 13)
    b = cf.asarray([[1], [1], [2**-13]], cf.CFloat8_1_4_3, 13)
    out = cf.zeros((1, 1), cf.CFloat8_1_4_3, 10)
    assert cf.matmul(a, b, accumulate="exact", out=out).item() == 1.125
    assert cf.matmul(-a, b, accumulate="exact").item() == np.float32(-1.0625)
    for rounding in cf.ROUNDING_MODES:
        check(a, b, cf.CFloat8_1_4_3, 10, rounding)


@pytest.mark.parametrize("rounding", cf.ROUNDING_MODES)
def test_beyond_the_ends_of_float32(isa, rounding):
    # half-way between subnormal bfloat16, and something below every float32
    tiny = np.array([[2.0**-60, 2.0**-60, 2.0**-140]], np.float32)
    b = cf.asarray([[2.0**-73], [2.0**-74], [2.0**-30]], cf.bfloat16)
    check(tiny, b, cf.bfloat16, 127, rounding)
    check(-tiny, b, cf.bfloat16, 127, rounding)
    # too large for float32, where it becomes infinite to nearest
    large = np.array([[2.0**100, 2.0**120]], np.float32)
    b = cf.asarray([[2.0**100], [2.0**7]], cf.bfloat16)
    check(large, b, cf.bfloat16, 127, rounding)
    check(-large, b, cf.float16, 15, rounding)
    check(large, b, cf.CFloat8_1_4_3, 7, rounding)


@each_destination
@pytest.mark.parametrize("rounding", cf.ROUNDING_MODES)
def test_every_destination(isa, rng, fmt, bias, rounding):
    """Sums that are anywhere, and those that are next to ties and to values of the format."""
    scale = 2.0 ** np.floor(np.log2(float(cf.finfo(fmt, bias).smallest_normal)) / 2 + 2)
    a = (rng.standard_normal((6, 9)) * scale).astype(np.float32)
    b = cf.asarray(rng.standard_normal((9, 5)) * scale, cf.bfloat16)
    check(a, b, fmt, bias, rounding)
    values = exact.landmarks(fmt, bias, 1 if fmt.bits == 8 else 997).astype(np.float64)
    with np.errstate(all="ignore"):
        values = values[np.abs(values) < 2.0**127].astype(np.float32)
    values = rng.choice(values, 25)
    little = values * np.float32(2.0**-30)
    pairs = np.stack([values, little], axis=1)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    for sign in (1, -1):
        check(pairs, cf.asarray([[1.0], [sign]], cf.bfloat16), fmt, bias, rounding)


KINDS = (
    cf.CFloat8_1_4_3,
    cf.CFloat8_1_5_2.replace(subnormals="ieee"),
    cf.CFloat16_SHP,
    cf.CFloat16_UHP,
    cf.bfloat16,
    cf.float8_e4m3fn,
    np.dtype(np.float32),
    np.dtype(ml_dtypes.bfloat16),
)


def operand(rng, kind, shape):
    x = np.clip(rng.standard_normal(shape) * 2.0 ** rng.integers(-9, 9, shape), -448, 448)
    if isinstance(kind, np.dtype):
        return x.astype(kind)
    return cf.asarray(np.abs(x) if not kind.signed else x, kind)


@pytest.mark.parametrize("one", KINDS, ids=lambda kind: exact.label(kind) or str(kind))
def test_every_pairing(isa, rng, one):
    for other in KINDS:
        if isinstance(one, np.dtype) and isinstance(other, np.dtype):
            continue
        a, b = operand(rng, one, (4, 11)), operand(rng, other, (11, 3))
        check(a, b, cf.CFloat8_1_4_3, 8)
        check(b.T, a.T, cf.CFloat16_SHP, 12, "toward_negative")


@pytest.mark.parametrize("rounding", ["ties_to_even", "stochastic"])
def test_layouts(isa, rng, rounding):
    """Stacks, vectors, transposed outputs, biases by row and by block, and outputs that are operands."""
    a = cf.asarray(rng.standard_normal((3, 4, 6)), cf.CFloat8_1_4_3, [5, 6, 7], axis=0)
    b = cf.asarray(rng.standard_normal((6, 5)), cf.bfloat16)
    sums = fractions_of(a) @ fractions_of(b)
    how = {"rounding": rounding} | ({"seed": 1} if rounding == "stochastic" else {})
    biases = rng.integers(5, 9, (3, 4, 2))
    out = cf.asarray(np.zeros((3, 4, 5)), cf.CFloat8_1_4_3, biases, block=3)
    cf.matmul(a, b, accumulate="exact", out=out, **how)
    for place in np.ndindex(3, 4, 5):
        word = {"seed": 1, "offset": int(np.ravel_multi_index(place, (3, 4, 5)))}
        expected, _ = rounded(
            sums[place[0]][place[1] : place[1] + 1, place[2]], out.format,
            int(biases[place[0], place[1], place[2] // 3]), rounding, **word,
        )  # fmt: skip
        assert out.codes[place] == expected[0]
    swapped = cf.zeros((5, 4, 3), cf.CFloat8_1_4_3, 8).transpose(2, 1, 0)
    straight = cf.zeros((3, 4, 5), cf.CFloat8_1_4_3, 8)
    for each in (swapped, straight):
        cf.matmul(a, b, accumulate="exact", out=each, **how)
    np.testing.assert_array_equal(swapped.codes, straight.codes)
    vector = cf.zeros((3, 4), cf.CFloat8_1_4_3, 8)
    cf.matmul(a, b[:, 0], accumulate="exact", out=vector, **how)
    expected, _ = rounded(sums[..., 0], cf.CFloat8_1_4_3, 8, rounding, 1)
    np.testing.assert_array_equal(vector.codes, expected)
    square = cf.asarray(rng.standard_normal((4, 4)), cf.CFloat8_1_4_3)
    expected, _ = rounded(
        fractions_of(square) @ fractions_of(square), square.format, 7, rounding, 1
    )
    cf.matmul(square, square, accumulate="exact", out=square, **how)
    np.testing.assert_array_equal(square.codes, expected)


def test_infinities_and_nans(isa):
    a = np.array([[np.inf, 1], [-np.inf, 1], [np.nan, 1], [np.inf, -np.inf], [1, 2]], np.float32)
    b = cf.asarray([[1.0, 0.0], [1.0, 1.0]], cf.CFloat16_UHP)
    expected = np.array([[np.inf, np.nan], [-np.inf, np.nan], [np.nan] * 2, [np.nan] * 2, [3, 2]])
    for fmt, bias in ((cf.float16, 15), (cf.bfloat16, 127), (cf.float8_e5m2, 15)):
        codes, flags = into(a, b, fmt, bias)
        np.testing.assert_array_equal(codes, cf.encode(expected, fmt, bias))
        assert flags == {"invalid": 6, "overflow": 0, "underflow": 0}
    codes, flags = into(a, b, cf.CFloat8_1_4_3, 7)
    np.testing.assert_array_equal(codes, cf.encode(expected, cf.CFloat8_1_4_3, 7))
    assert flags == {"invalid": 6, "overflow": 2, "underflow": 0}
    codes, _ = into(a[:0].reshape(2, 0), cf.zeros((0, 3), cf.bfloat16), cf.float16, 15)
    assert not codes.any()  # sums of nothing


# float16 as mulAdd: [a, c] @ [b, 1]


def mul_add_cases(rng, size):
    """Codes of finite float16 a, b and c, such that sums are anywhere, and many next to ties."""
    any_code = rng.integers(0, 0x7C00, (3, size)) | rng.integers(0, 2, (3, size)) << 15
    ends = rng.choice(
        [0, 1, 2, 0x3FF, 0x400, 0x401, 0x3BFF, 0x3C00, 0x3C01, 0x7BFE, 0x7BFF], (3, size)
    )
    a, b, c = np.where(rng.random((3, size)) < 0.3, ends, any_code)
    # a tie: an odd significand times three; then something far smaller, or the smallest there is
    tie = rng.random(size) < 0.3
    a = np.where(tie, rng.integers(2, 29, size) << 10 | rng.integers(0, 512, size) * 2 + 1, a)
    b = np.where(tie, rng.integers(2, 29, size) << 10 | 0x200, b)
    c = np.where(tie, rng.integers(0, 4, size) | rng.integers(0, 2, size) << 15, c)
    # results about the smallest normal number, and below it
    small = rng.random(size) < 0.2
    b = np.where(
        small, np.clip(0x3C00 - (a & 0x7C00) + rng.integers(0, 0x1800, size), 0, 0x7BFF), b
    )
    c = np.where(small, rng.integers(0, 0x600, size) | rng.integers(0, 2, size) << 15, c)
    return [x.astype(np.uint16) for x in (a, b, c)]


def units_of(codes):
    """The values of finite float16 as Python integers, in units of 2**-24."""
    codes = codes.astype(np.int64)
    field, fraction = codes >> 10 & 31, codes & 1023
    units = np.where(field > 0, (fraction | 1024) << np.maximum(field - 1, 0), fraction)
    return np.where(codes >> 15, -units, units).astype(object)


def float16_of(units, rounding):
    """Round an integer times 2**-48 to float16: the code, and whether it overflows or underflows."""
    sign, n = (1, -units) if units < 0 else (0, units)
    quantum = max(n.bit_length() - 1 - 10, 48 - 14 - 10)
    kept, rest = n >> quantum, n & ((1 << quantum) - 1)
    half = 1 << (quantum - 1)
    up = {
        "ties_to_even": rest > half or (rest == half and kept & 1),
        "ties_to_away": rest >= half,
        "toward_zero": False,
        "toward_positive": rest and not sign,
        "toward_negative": rest and sign,
    }[rounding]
    code = kept + bool(up) + ((quantum - 24) << 10)
    if code > 0x7BFF:
        stops = {"toward_zero": 1, "toward_positive": sign, "toward_negative": 1 - sign}
        return sign << 15 | (0x7BFF if stops.get(rounding) else 0x7C00), True, False
    return sign << 15 | code, False, bool(rest) and n < 1 << (48 - 14)


@pytest.mark.parametrize(
    ("rounding", "size"),
    [("ties_to_even", 200_000), ("ties_to_away", 20_000), ("toward_zero", 20_000),
     ("toward_positive", 20_000), ("toward_negative", 20_000)],
)  # fmt: skip
def test_float16_mul_add(rng, rounding, size):
    a, b, c = mul_add_cases(rng, size)
    left = cf.CFloatArray(np.stack([a, c], axis=-1)[:, np.newaxis, :], cf.float16)
    ones = np.full_like(b, 0x3C00)
    right = cf.CFloatArray(np.stack([b, ones], axis=-1)[:, :, np.newaxis], cf.float16)
    codes, flags = into(left, right, cf.float16, 15, rounding)
    sums = units_of(a) * units_of(b) + units_of(c) * 2**24
    expected = [float16_of(n, rounding) for n in sums]
    np.testing.assert_array_equal(codes.reshape(-1), [code for code, _, _ in expected])
    raised = {
        "invalid": 0,
        "overflow": sum(overflow for _, overflow, _ in expected),
        "underflow": sum(underflow for _, _, underflow in expected),
    }
    assert flags == raised
    assert raised["overflow"] > size // 200
    assert raised["underflow"] > size // 200
