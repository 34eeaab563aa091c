"""Operands for +, -, *, /, roots and a * b + c in float16, as TestFloat makes them, and exact results.

The results are computed in Python's integers, on arrays of them, and with nothing of the package: every
finite float16 is an integer of at most 40 bits times 2^-24.
"""

import math

import numpy as np

OPERANDS = {"add": 2, "subtract": 2, "multiply": 2, "divide": 2, "sqrt": 1, "fma": 3}

# zeros, ends of subnormal and normal numbers, 1 and its neighbours, infinity, quiet and signalling NaNs
_SPECIAL = np.array(
    [0x0000, 0x0001, 0x0002, 0x0200, 0x03FE, 0x03FF, 0x0400, 0x0401, 0x07FF, 0x0800, 0x3800, 0x3BFF,
     0x3C00, 0x3C01, 0x3FFF, 0x4000, 0x5BFF, 0x7800, 0x7BFE, 0x7BFF, 0x7C00, 0x7C01, 0x7E00, 0x7FFF],
    np.uint16,
)  # fmt: skip
_EXPONENTS = np.array([0, 1, 2, 3, 5, 10, 14, 15, 16, 20, 25, 28, 29, 30], np.uint16)


def _float16(rng, size):
    """Codes of which a part is special, and the others have few ones or zeros in a row, or are random."""
    fraction = rng.integers(0, 1024, size)
    run = (1 << rng.integers(0, 11, size)) - 1
    shape = rng.integers(0, 5, size)
    fraction = np.choose(
        shape, [fraction, run, run ^ 1023, (1 << rng.integers(0, 10, size)), run & fraction]
    )
    exponent = np.where(
        rng.random(size) < 0.5, rng.choice(_EXPONENTS, size), rng.integers(0, 31, size)
    )
    codes = (exponent << 10 | fraction).astype(np.uint16)
    codes = np.where(rng.random(size) < 0.06, rng.choice(_SPECIAL, size), codes)
    return (codes | (rng.integers(0, 2, size) << 15).astype(np.uint16)).view(np.float16)


def _beside(rng, x):
    """The float16 next to float64 numbers, or one that is a unit or two beside it."""
    with np.errstate(over="ignore"):
        codes = x.astype(np.float16).view(np.uint16)
    step = rng.choice([0, 0, 1, -1, 2], x.size)
    moved = ((codes & 0x7FFF) + step).clip(0, 0x7FFF).astype(np.uint16)
    return (moved | (codes & 0x8000)).view(np.float16)


def _targets(rng, size):
    """Values of float16, midpoints between them, and the threshold of overflow."""
    codes = rng.integers(0, 0x7C00, size).astype(np.uint16)
    low = codes.view(np.float16).astype(np.float64)
    next_code = np.minimum(codes + 1, 0x7BFF).astype(np.uint16)
    high = np.where(codes == 0x7BFF, 65536.0, next_code.view(np.float16).astype(np.float64))
    kind = rng.integers(0, 4, size)
    return np.where(kind == 0, low, (low + high) / 2) * rng.choice([-1.0, 1.0], size)


def operands(function, size, rng):
    """Operands of a function, float16: half of them random, half made for results near what decides."""
    given = [_float16(rng, size) for _ in range(OPERANDS[function])]
    wide = [x.astype(np.float64) for x in given]
    target = _targets(rng, size)
    with np.errstate(all="ignore"):
        if function == "add":
            last = target - wide[0]
        elif function == "subtract":
            last = wide[0] - target
        elif function == "multiply":
            last = target / wide[0]
        elif function == "divide":
            last = wide[0] / target
        elif function == "sqrt":
            last = np.where(rng.random(size) < 0.05, target, target * target)
        else:
            cancelled = rng.random(size) < 0.3
            last = np.where(cancelled, 0.0, target) - wide[0] * wide[1]
        near = _beside(rng, np.where(np.isnan(last), 1.0, last))
    made = rng.random(size) < 0.5
    given[-1] = np.where(made, near, given[-1])
    return given


def _units(x):
    """Finite float16 as integers of units of 2^-24, in Python's."""
    wide = np.where(np.isfinite(x), x, np.float16(0)).astype(np.float64)
    return np.ldexp(wide, 24).astype(np.int64).astype(object)


def _to_odd(whole, exact, exponent):
    """Magnitudes (whole, and a little if not exact) * 2^exponent as float64, rounded to odd."""
    length = np.frompyfunc(int.bit_length, 1, 1)(whole).astype(np.int64)
    shift = np.maximum(length - 53, 0)
    kept = np.right_shift(whole, shift.astype(object))
    lost = np.not_equal(np.left_shift(kept, shift.astype(object)), whole).astype(bool) | ~exact
    bits = kept.astype(np.int64) | lost
    return np.ldexp(bits.astype(np.float64), shift + exponent)


def exact_results(function, given, toward_negative=False):
    """Exact results as float64, rounded to odd in 53 bits, with IEEE 754's infinities, NaN and zeros."""
    a, *others = (x.astype(np.float64) for x in given)
    units = [_units(x) for x in given]
    size = a.size
    always = np.ones(size, bool)
    with np.errstate(all="ignore"):
        if function in ("add", "subtract"):
            b = others[0] if function == "add" else -others[0]
            whole = units[0] + units[1] if function == "add" else units[0] - units[1]
            ieee, first, second, exact, exponent = a + b, a, b, always, -24
        elif function == "multiply":
            whole, ieee = units[0] * units[1], a * others[0]
            first = second = ieee
            exact, exponent = always, -48
        elif function == "fma":
            whole = units[0] * units[1] + np.left_shift(units[2], 24)
            product = a * others[0]
            ieee, first, second, exact, exponent = (
                product + others[1],
                product,
                others[1],
                always,
                -48,
            )
        elif function == "divide":
            divisor = np.where(units[1] == 0, 1, np.abs(units[1]))
            dividend = np.left_shift(np.abs(units[0]), 100)
            whole, ieee = dividend // divisor, a / others[0]
            exact, exponent = np.equal(whole * divisor, dividend).astype(bool), -100
            first = second = ieee
        else:
            radicand = np.left_shift(np.maximum(units[0], 0), 120)
            whole, ieee = np.frompyfunc(math.isqrt, 1, 1)(radicand), np.sqrt(a)
            exact, exponent = np.equal(whole * whole, radicand).astype(bool), -72
            first = second = ieee
    negative = np.signbit(ieee)
    if function in ("add", "subtract", "fma"):
        negative = np.less(whole, 0).astype(bool)
    results = _to_odd(np.abs(whole), exact, exponent) * np.where(negative, -1.0, 1.0)
    special = ~np.isfinite(ieee)  # of float16, nothing overflows in float64
    if function == "divide":
        special |= np.isinf(others[0])
    results = np.where(special, np.where(np.isnan(ieee), np.nan, ieee), results)
    zero = results == 0
    sign = np.where(np.signbit(first) == np.signbit(second), np.signbit(first), toward_negative)
    return np.where(zero, np.where(sign, -0.0, 0.0), results)
