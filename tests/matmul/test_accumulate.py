"""Exact sums, and sums in a format, against fractions: `accumulate="exact"` and ``accumulate=Format``."""

import itertools
import math
from fractions import Fraction

import exact
import ml_dtypes
import numpy as np
import pytest
import reference as ref

import cfloat as cf
from cfloat._core import isa as instruction_sets

FORMATS = (
    *exact.TESLA_READINGS[::3],
    *exact.TESLA_READINGS[1::3],
    *cf.COMPARISON_FORMATS,
    *(fmt for fmt in exact.NEW_KINDS if fmt.name in ("e4m3fnuz", "binary8p4ue", "e8m0fnu")),
)
OPERANDS = (*FORMATS, np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16))


def label(value):
    return exact.label(value) or str(value)


def codes_of(rng, fmt, shape):
    """Codes of finite values."""
    wanted = exact.reference_format(fmt)
    magnitudes = rng.integers(0, wanted.max_code + 1, shape)
    signs = rng.integers(0, 2, shape) << (fmt.exponent_bits + fmt.mantissa_bits)
    if wanted.nan_for_minus_zero:
        signs[magnitudes == 0] = 0
    return (magnitudes | (signs if fmt.signed else 0)).astype(fmt.storage_dtype)


def operand(rng, kind, shape, biases="default"):
    """An operand of a product, and its values as fractions."""
    if isinstance(kind, np.dtype):
        x = (rng.standard_normal(shape) * 2.0 ** rng.integers(-8, 8, shape)).astype(kind)
        return x, fractions_of(x)
    bias = kind.default_bias
    if biases == "ends":
        bias = int(rng.choice([0, 63]))
    elif biases != "default":
        axis = {"rows": (shape[0], 1), "columns": (1, shape[1]), "elements": shape}[biases]
        bias = rng.integers(0, 64, axis)
    x = cf.CFloatArray(codes_of(rng, kind, shape), kind, bias)
    return x, fractions_of(x)


def fractions_of(x):
    """The values of an array of finite numbers, each of which is a float64."""
    values = np.asarray(x).astype(np.float64)
    return np.array([Fraction(float(v)) for v in values.flat], object).reshape(values.shape)


def float32_of(x):
    """The float32 next to a fraction, ties to even."""
    if x == 0:
        return np.float32(0)
    quantum = Fraction(2) ** (max(ref.floor_log2(abs(x)), -126) - 23)
    value = round(x / quantum) * quantum  # a Fraction rounds exactly, and a tie to even
    if abs(value) >= 2**128:
        return np.float32(math.copysign(math.inf, value))
    return np.float32(math.copysign(float(value), x))


def exact_product(a, b):
    """The product of matrices of fractions, each sum rounded once."""
    return np.array([[float32_of(x) for x in row] for row in a.dot(b)], np.float32)


PAIRS = [
    pair
    for pair in itertools.product(OPERANDS, OPERANDS)
    if any(isinstance(kind, cf.Format) for kind in pair)
]
KINDS_OF_BIASES = ("ends", "rows", "columns", "elements")


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "@".join(map(label, pair)))
def test_every_pairing(isa, rng, pair):
    a, exact_a = operand(rng, pair[0], (3, 10))
    b, exact_b = operand(rng, pair[1], (10, 4))
    exact.assert_same(cf.matmul(a, b, accumulate="exact"), exact_product(exact_a, exact_b))


@pytest.mark.parametrize("biases", list(itertools.product(KINDS_OF_BIASES, repeat=2)), ids="-".join)
@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat8_1_5_2, cf.CFloat16_SHP], ids=label)
def test_biases(isa, rng, fmt, biases):
    a, exact_a = operand(rng, fmt, (4, 11), biases[0])
    b, exact_b = operand(rng, cf.CFloat8_1_4_3, (11, 5), biases[1])
    exact.assert_same(cf.matmul(a, b, accumulate="exact"), exact_product(exact_a, exact_b))


@pytest.mark.parametrize("fmt", [f for f in FORMATS if f.signed], ids=label)
def test_cancelling_sums(isa, rng, fmt):
    """What is left of large products that cancel is the few that do not, in any order."""
    a, b = codes_of(rng, fmt, (3, 200)), codes_of(rng, fmt, (200, 3))
    order = rng.permutation(400)
    sign = 1 << (fmt.exponent_bits + fmt.mantissa_bits)
    a = np.concatenate([a, a], axis=1)[:, order]
    opposite = b ^ fmt.storage_dtype.type(sign)
    if exact.reference_format(fmt).nan_for_minus_zero:
        opposite[b == 0] = 0
    b = np.concatenate([b, opposite])[order]
    changed = rng.choice(400, 5, replace=False)
    b[changed] = codes_of(rng, fmt, (5, 3))
    a, b = cf.CFloatArray(a, fmt, fmt.default_bias), cf.CFloatArray(b, fmt, fmt.default_bias)
    got = cf.matmul(a, b, accumulate="exact")
    exact.assert_same(got, exact_product(fractions_of(a), fractions_of(b)))
    exact.assert_same(cf.matmul(a[::-1, ::-1], b[::-1], accumulate="exact"), got[::-1])


def test_threads(isa, rng):
    a, _ = operand(rng, cf.CFloat16_SHP, (150, 200))
    b, _ = operand(rng, cf.CFloat8_1_5_2, (200, 130))
    before, results = cf.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            cf.set_num_threads(threads)
            results.append(cf.matmul(a, b, accumulate="exact").tobytes())
    finally:
        cf.set_num_threads(before)
    assert len(set(results)) == 1


def test_instruction_sets_agree(rng):
    a, _ = operand(rng, cf.CFloat16_UHP, (40, 300))
    b = (rng.standard_normal((300, 50)) * np.exp(rng.standard_normal((300, 50)) * 9)).astype(
        np.float32
    )
    before, results = cf.isa(), []
    try:
        for name in instruction_sets.isa_names():
            instruction_sets.select_isa(name)
            results.append(cf.matmul(a, b, accumulate="exact").tobytes())
    finally:
        instruction_sets.select_isa(before)
    assert len(set(results)) == 1


def test_zeros_and_infinities(isa):
    a = cf.asarray([[1.0, -1.0], [-0.0, -0.0]], cf.float16)
    b = np.array([[1.0, np.inf, 2.0**127], [1.0, 1.0, -(2.0**127)]], np.float32)
    with np.errstate(invalid="ignore"):
        got = cf.matmul(a, b, accumulate="exact")
    np.testing.assert_array_equal(got, np.array([[0, np.inf, np.inf], [0, np.nan, 0]], np.float32))
    assert not np.signbit(got[np.isfinite(got)]).any()


ACCUMULATORS = ["float32", "exact", *cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS]


@pytest.mark.parametrize("accumulate", ACCUMULATORS, ids=str)
def test_there_is_one_nan(matmul_isa, accumulate):
    """Whatever NaN goes in or comes about, the same positive one comes out.

    In a format without NaN its sign would tell to which number it is clamped, and processors differ in it.
    """
    infinite = np.float32(np.inf)
    bits = np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF], np.uint32)
    pairs = [
        *zip(bits.view(np.float32), [1, -1, 1, -1], strict=True),
        (infinite, 0),
        (-infinite, 0),
    ]
    for rows, inner, columns in [(1, 2, 1), (1, 70, 40), (40, 70, 1), (33, 70, 50)]:
        for one, other in pairs:
            a, b = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
            a[:, 1], b[1] = one, other
            for fmt in (cf.CFloat8_1_4_3, cf.CFloat16_SHP):
                codes = cf.asarray(b, fmt)
                for got in (
                    cf.matmul(a, codes, accumulate=accumulate),
                    cf.matmul(codes.T, a.T, accumulate=accumulate),
                ):
                    kept = got[np.isnan(got)]
                    if accumulate in ("float32", "exact"):
                        assert kept.size == got.size
                    assert set(kept.view(np.uint32).tolist()) <= {0x7FC00000}


# Accumulators of a format


def rounded_sum(products, fmt, bias, every, rounding):
    """Add fractions in order, rounding as often as is asked for."""
    wanted, total = exact.reference_format(fmt), Fraction(0)
    for k, product in enumerate(products):
        total += product
        if (k + 1) % every == 0 or k + 1 == len(products):
            real = ref.Real(int(total < 0), magnitude=abs(total))
            code = ref.encode(wanted, real, bias, rounding).code
            total = ref.decode(wanted, code, bias).value
    return np.float32(float(total))


def test_scales_of_blocks(matmul_isa, rng):
    """As OCP MX has it: elements times scales of E8M0, and their products, are exact."""
    e8m0 = next(fmt for fmt in exact.NEW_KINDS if fmt.name == "e8m0fnu")
    e2m1 = cf.Format("e2m1", exponent_bits=2, mantissa_bits=1)
    a, exact_a = operand(rng, e2m1, (6, 64))
    scales = cf.asarray(2.0 ** rng.integers(-40, 40, (6, 2)), e8m0)
    scaled = np.multiply(a.reshape(6, 2, 32), scales.reshape(6, 2, 1)).reshape(6, 64)
    by_hand = exact_a * np.repeat(fractions_of(scales), 32, axis=1)
    np.testing.assert_array_equal(fractions_of(scaled), by_hand)
    b, _ = operand(rng, np.dtype(np.float32), (64, 5))
    got = cf.matmul(scaled, cf.asarray(b, cf.bfloat16), accumulate="exact")
    expected = exact_product(by_hand, fractions_of(cf.asarray(b, cf.bfloat16)))
    np.testing.assert_array_equal(got, expected)
    # scales as an operand: sums of powers of two
    ones = cf.asarray(np.eye(2), cf.CFloat8_1_4_3)
    np.testing.assert_array_equal(cf.matmul(scales, ones, accumulate="exact"), np.asarray(scales))


@pytest.mark.slow
@pytest.mark.parametrize("rounding", [r for r in cf.ROUNDING_MODES if r != "stochastic"])
@pytest.mark.parametrize(
    "fmt",
    [
        *(f for f in exact.TESLA_READINGS if f.nonfinite == "none"),
        *(f for f in exact.NEW_KINDS if f.name in ("e5m2fnuz", "binary6p3se", "e4m3_no_zero")),
    ],
    ids=label,
)
def test_accumulator(isa, rng, fmt, rounding):
    """Few products at a time are exact in the 53 bits of what is added in between."""
    a, exact_a = operand(rng, cf.CFloat8_1_4_3, (3, 12))
    b, exact_b = operand(rng, np.dtype(ml_dtypes.bfloat16), (12, 4))
    for every, bias in ((1, fmt.default_bias), (1, 9), (3, 12)):
        got = cf.matmul(
            a, b, accumulate=fmt, accumulator_bias=bias, accumulate_every=every, rounding=rounding
        )
        expected = [
            [rounded_sum(row * column, fmt, bias, every, rounding) for column in exact_b.T]
            for row in exact_a
        ]
        np.testing.assert_array_equal(got, np.array(expected, np.float32))


def test_stochastic_sums_are_right_on_average(rng):
    """2048 stays 2048 to nearest, however often a half is added; at random it grows as it should."""
    n = 400
    a = cf.asarray(
        np.concatenate([np.full((n, 1), 2048.0), np.full((n, 100), 0.5)], axis=1),
        cf.CFloat16_SHP,
        10,
    )
    b = cf.asarray(np.ones((101, 1)), cf.CFloat8_1_4_3)
    how = {"accumulate": cf.CFloat16_SHP, "accumulator_bias": 10}
    np.testing.assert_array_equal(cf.matmul(a, b, **how), 2048)
    got = cf.matmul(a, b, **how, rounding="stochastic", seed=5)
    assert abs(got.mean() - 2098) < 5 * math.sqrt(100 * 0.75 / n)
    np.testing.assert_array_equal(got, cf.matmul(a, b, **how, rounding="stochastic", seed=5))
