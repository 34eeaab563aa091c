"""The oracle of reference.py on whole arrays, and the operands on which results turn.

Fractions are slow, so here the same search in the same list of values is done with NumPy, in float64.
Nothing that decides a result is inexact: the comments say why, and test_exact.py compares the two.
"""

from functools import cache

import ml_dtypes
import numpy as np
import reference as ref

import cfloat as cf
from cfloat._core import binding

READINGS = ("whitepaper", "ieee", "flush")

#: Formats of each kind that the presets do not have: NaN in the code of -0, P3109's, no zero.
NEW_KINDS = (
    cf.Format("e4m3fnuz", exponent_bits=4, mantissa_bits=3, bias=8, nonfinite="fnuz"),
    cf.Format("e5m2fnuz", exponent_bits=5, mantissa_bits=2, bias=(0, 40), nonfinite="fnuz"),
    cf.Format(
        "e4m3fnuz_saturating", exponent_bits=4, mantissa_bits=3, bias=(-3, 63), nonfinite="fnuz",
        subnormals="whitepaper", saturating=True,
    ),
    cf.Format("e5m10fnuz_flush", exponent_bits=5, mantissa_bits=10, nonfinite="fnuz", subnormals="flush"),
    cf.Format("e3m0fnuz", exponent_bits=3, mantissa_bits=0, nonfinite="fnuz"),
    cf.Format("binary8p4se", exponent_bits=4, mantissa_bits=3, bias=8, nonfinite="p3109"),
    cf.Format("binary8p4ue", exponent_bits=5, mantissa_bits=3, bias=16, signed=False, nonfinite="p3109"),
    cf.Format(
        "binary6p3se", exponent_bits=3, mantissa_bits=2, bias=(0, 63), nonfinite="p3109", saturating=True
    ),
    cf.Format("binary8p1ue", exponent_bits=8, mantissa_bits=0, signed=False, bias=127, nonfinite="p3109"),
    cf.Format("binary3p2se", exponent_bits=1, mantissa_bits=1, bias=1, nonfinite="p3109"),
    cf.Format("binary13p8se", exponent_bits=5, mantissa_bits=7, bias=16, nonfinite="p3109"),
    cf.Format(
        "e8m0fnu", exponent_bits=8, mantissa_bits=0, signed=False, bias=127, nonfinite="nan_only",
        subnormals="normal",
    ),
    cf.Format(
        "e8m0_saturating", exponent_bits=8, mantissa_bits=0, signed=False, bias=127, nonfinite="nan_only",
        subnormals="normal", saturating=True,
    ),
    cf.Format("e4m3_no_zero", exponent_bits=4, mantissa_bits=3, bias=(0, 63), subnormals="normal"),
    cf.Format(
        "e5m2_no_zero", exponent_bits=5, mantissa_bits=2, bias=(0, 127), nonfinite="ieee", subnormals="normal"
    ),
    cf.Format(
        "e3m6u_no_zero", exponent_bits=3, mantissa_bits=6, signed=False, bias=(100, 130), nonfinite="p3109",
        subnormals="normal",
    ),
)  # fmt: skip
TESLA_READINGS = tuple(fmt.replace(subnormals=r) for fmt in cf.TESLA_FORMATS for r in READINGS)
FLAGS = ("invalid", "overflow", "underflow", "denormal")
#: Elements whose arrays of float64 stay in a core's cache.
CACHED = 1 << 13
FLOATS = tuple(np.dtype(t) for t in ("float64", "float32", "float16", ml_dtypes.bfloat16))


def label(value):
    """Name a parameter in a test's id."""
    if isinstance(value, cf.Format):
        return f"{value.name}-{value.subnormals}"
    return None


def reference_format(fmt):
    return ref.RefFormat(
        fmt.exponent_bits,
        fmt.mantissa_bits,
        fmt.signed,
        fmt.nonfinite,
        fmt.subnormals,
        fmt.saturating,
    )


@cache
def _grid(exponent_bits, mantissa_bits, subnormals):
    numbers = ref.RefFormat(exponent_bits, mantissa_bits, signed=False, subnormals=subnormals)
    codes = range(1 << numbers.total_bits)
    values = [float(ref.decode(numbers, code, 0).magnitude) for code in codes]
    return np.array([*values, 2.0 ** (2**exponent_bits)])


def smallest_normal(fmt, bias):
    """Give the smallest normal number: that of exponent field 1, or 0 where there is no zero."""
    return 2.0 ** (reference_format(fmt).smallest_normal_exponent - bias)


def grid(fmt, bias, subnormals=None):
    """Values of all codes without sign, as if every code were a number; and one more.

    Denormals under "flush" have their IEEE values: rounding comes before flushing.
    """
    reading = subnormals or fmt.subnormals.replace("flush", "ieee")
    return np.ldexp(_grid(fmt.exponent_bits, fmt.mantissa_bits, reading), -bias)


def encode_by_reference(x, fmt, bias, rounding, words=0, bits=32, variant="A"):
    """Return the codes, and for each flag which elements raise it; words have 32 bits."""
    wanted, words = reference_format(fmt), np.broadcast_to(words, x.shape)
    encoded = [
        ref.encode(wanted, real, bias, rounding, int(word), bits, variant)
        for real, word in zip(reals(x), words.flat, strict=True)
    ]
    codes = np.array([code for code, _ in encoded], fmt.storage_dtype)
    raised = {name: np.array([name in flags for _, flags in encoded], bool) for name in FLAGS}
    return codes, raised | {"denormal": is_denormal(x)}


def encode(x, fmt, bias, rounding, words=0):
    """Return what encode_by_reference does, sooner."""
    if x.dtype in (np.int64, np.uint64):  # not exact in float64
        return encode_by_reference(x, fmt, bias, rounding, words)
    if x.ndim != 1 or x.size <= CACHED:
        return _encode_cached(x, fmt, bias, rounding, words)
    words = np.broadcast_to(words, x.shape)
    pieces = [slice(start, start + CACHED) for start in range(0, x.size, CACHED)]
    codes, raised = zip(
        *(_encode_cached(x[piece], fmt, bias, rounding, words[piece]) for piece in pieces),
        strict=True,
    )
    return np.concatenate(codes), {
        flag: np.concatenate([some[flag] for some in raised]) for flag in FLAGS
    }


def _encode_cached(x, fmt, bias, rounding, words):
    wanted, table = reference_format(fmt), grid(fmt, bias)
    with np.errstate(all="ignore"):  # a signalling NaN
        x64 = x.astype(np.float64)
    negative, finite = np.signbit(x64), np.isfinite(x64)
    magnitude = np.where(finite, np.abs(x64), 0.0)

    # Both neighbours are multiples of the unit in the last place of x, or 0; so their distances are
    # exact, but for the upper one's where it is much greater than the lower one's.
    # where there is no zero, what is below the smallest value becomes that
    too_small = magnitude < table[0]
    clipped = np.clip(magnitude, table[0], table[-1])
    low = np.searchsorted(table, clipped, side="right") - 1
    high = np.minimum(low + 1, len(table) - 1)
    below, above = clipped - table[low], table[high] - clipped
    away = np.where(negative, rounding == "toward_negative", rounding == "toward_positive")
    if rounding == "ties_to_even":
        up = (below > above) | ((below == above) & (low % 2 == 1))
    elif rounding == "ties_to_away":
        up = below >= above
    elif rounding == "ties_to_zero":
        up = below > above
    elif rounding == "to_odd":
        up = (below > 0) & (low % 2 == 0)
    elif rounding == "stochastic":
        # floor(f * 2**32) + word >= 2**32; a gap has at most 17 bits, so both sides are exact
        up = below * 2.0**32 >= (table[high] - table[low]) * (2.0**32 - words)
    else:
        up = (below > 0) & away
    code = low + up

    overflow = code > wanted.max_code
    past_max = away | (rounding in ref.TO_NEAREST)
    infinity = wanted.inf_code if wanted.has_inf else wanted.nan_code
    beyond = wanted.max_code if wanted.clamps else infinity
    code = np.where(overflow, np.where(past_max, beyond, wanted.max_code), code)
    if fmt.subnormals == "flush":
        code[code < 1 << fmt.mantissa_bits] = 0
    # a code of -0 that is NaN is beyond the table, and never comes of something small
    stands_for = table[np.minimum(code, len(table) - 1)]
    underflow = finite & (magnitude < smallest_normal(fmt, bias)) & (stands_for != magnitude)

    infinite, nan = np.isinf(x64), np.isnan(x64)
    code = np.where(infinite, beyond, code)
    overflow |= infinite & (wanted.clamps or not wanted.has_inf)
    nan_code = wanted.max_code if fmt.nonfinite == "none" else wanted.nan_code
    code = np.where(nan, nan_code, code)
    undefined = negative & ~nan & (x64 != 0) & (not fmt.signed)
    no_zero = too_small & finite & (x64 == 0) & (fmt.nonfinite != "none")
    undefined |= no_zero
    code = np.where(undefined, 0 if fmt.nonfinite == "none" else nan_code, code)
    if fmt.signed:
        # a NaN that clamps is positive, as is one that a zero becomes
        bare = (
            no_zero | (nan & (fmt.nonfinite == "none")) | ((code == 0) & wanted.nan_for_minus_zero)
        )
        code |= (negative & ~bare).astype(np.int64) << wanted.sign_shift

    expected = {
        "invalid": nan | undefined,
        "overflow": overflow & ~undefined,
        "underflow": underflow & ~undefined,
        "denormal": is_denormal(x),
    }
    return code.astype(fmt.storage_dtype), expected


def is_denormal(x):
    """Which elements are denormal in their own type."""
    if x.dtype not in FLOATS:
        return np.zeros(x.shape, bool)
    with np.errstate(all="ignore"):
        magnitude = np.abs(x.astype(np.float64))
    return (magnitude > 0) & (magnitude < float(ml_dtypes.finfo(x.dtype).smallest_normal))


def integers(x):
    """Return finite float64 as Python's integers, and the power of 2 that they all are to be multiplied by.

    Sums and products of them are exact, and ten times as fast as those of fractions.
    """
    mantissas, exponents = np.frexp(np.asarray(x, np.float64))
    units = np.ldexp(mantissas, 53).astype(np.int64)
    exponents = np.where(units == 0, exponents.max(initial=0), exponents)
    least = exponents.min(initial=0)
    return units.astype(object) << (exponents - least).astype(object), int(least) - 53


def reals(x):
    """Return the exact operand of reference.py that each element is."""
    if x.dtype.kind in "iub":
        return [ref.real_from_int(int(element)) for element in x.flat]
    return [ref.real_from_float(float(element)) for element in x.flat]


def landmarks(fmt, bias, step=1):
    """Operands on which a result turns, as float64 that are float32 too, and those next to them.

    They are the values of the format in both readings of a denormal, the midpoints between them, the
    overflow threshold, places in the hole, the ends of other types, and infinities and NaNs, all with
    both signs.  Of the values and midpoints there is one in every `step`, and all near the smallest normal
    and the largest number.
    """
    readings = ("whitepaper", "ieee", "normal") if fmt.subnormals == "normal" else READINGS[:2]
    tables = [grid(fmt, bias, reading) for reading in readings]
    points = np.unique(np.concatenate([*tables, *((t[:-1] + t[1:]) / 2 for t in tables)]))
    if step > 1:
        boundary = np.searchsorted(points, smallest_normal(fmt, bias))
        near = slice(max(boundary - 20, 0), boundary + 20)
        points = np.concatenate([points[::step], points[near], points[-20:]])
    hole = 2**fmt.mantissa_bits - 1
    low, high = tables[0][hole : hole + 2]
    parts = np.array([2.0**-40, 0.5 - 2.0**-40, 0.5 + 2.0**-40, 1 - 2.0**-40])
    operands = [points, low + (high - low) * parts]
    operands += [[np.inf, np.nan, 2.0**-1074, 2.0**-1023, 2.0**-149, 1.5 * 2.0**-127]]
    operands += [[np.finfo(np.float32).max, np.finfo(np.float64).max, 2.0**128]]
    with np.errstate(over="ignore"):
        for dtype in (np.float32, np.float64):
            stored = points.astype(dtype)
            operands += [np.nextafter(stored, dtype(end)) for end in (0, np.inf)]
    magnitudes = np.unique(np.concatenate(operands))
    return np.concatenate([magnitudes, -magnitudes])


def assert_same(actual, expected):
    """Assert equal dtype, shape and bits."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    bits = f"u{expected.itemsize}"
    np.testing.assert_array_equal(
        np.ascontiguousarray(actual).view(bits), np.ascontiguousarray(expected).view(bits)
    )


def assert_flags(operation, operands, expected, zeros=0):
    """Assert that each element raises exactly the flags that are expected of it.

    Elements that raise the same flags go together, with zeros in the others' places so that positions
    in the random stream stay.  No element raises a flag twice, so a right count means right elements.
    `zeros` are the flags that a zero raises, a bit each.
    """
    kinds = sum(expected[name].astype(int) << bit for bit, name in enumerate(FLAGS))
    for kind in np.unique(kinds):
        chosen = kinds == kind
        with cf.record_flags() as flags:
            operation(np.where(chosen, operands, operands.dtype.type(0)))
        count = int(np.count_nonzero(chosen))
        others = chosen.size - count
        assert flags == cf.Flags(
            **{
                name: count * (kind >> bit & 1) + others * (zeros >> bit & 1)
                for bit, name in enumerate(FLAGS)
            }
        )


def assert_encodes(x, fmt, bias, rounding, seed=0, offset=0):
    """Assert that encoding gives the codes and flags of the oracle."""
    words = binding.random_words(seed, offset, x.size) if rounding == "stochastic" else 0
    codes, flags = encode(x, fmt, bias, rounding, words)

    def convert(operands):
        return cf.encode(operands, fmt, bias, rounding=rounding, seed=seed, offset=offset)

    assert_same(convert(x), codes)
    of_zero = ref.encode(reference_format(fmt), ref.real_from_int(0), bias, "ties_to_even").flags
    zeros = sum(1 << bit for bit, name in enumerate(FLAGS) if name in of_zero)
    assert_flags(convert, x, flags, zeros)
