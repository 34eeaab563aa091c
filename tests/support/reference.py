"""An exact, slow oracle for the arithmetic of the formats.

Every number is a ``fractions.Fraction``.  Encoding looks a number up in the
sorted list of everything the format can represent and compares exact
distances, so it shares no technique, and hopefully no mistake, with a kernel
that shifts and masks bits.

The formats are those of Tesla's 2021 whitepaper, "A Guide to Tesla's
Configurable Floating Point Formats & Arithmetic": Tables 3 to 5 for the 8-bit
formats, Table 6 for the 16-bit ones, and the section "Exception Status Flags".
"""

import math
import struct
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

Rounding = Literal[
    "ties_to_even",
    "ties_to_away",
    "toward_zero",
    "toward_positive",
    "toward_negative",
    "stochastic",
]
Variant = Literal["A", "B", "C"]
Words = tuple[int, int, int, int]

MASK32 = 0xFFFF_FFFF


class Kind(Enum):
    """What sort of datum a `Real` is."""

    FINITE = "finite"
    INF = "inf"
    NAN = "nan"


@dataclass(frozen=True)
class Real:
    """An exact operand or result.

    Parameters
    ----------
    sign : int
        1 for negative, else 0; zeros, infinities and NaNs have one too.
    kind : Kind
        Finite, infinite or NaN.
    magnitude : Fraction
        The absolute value of a finite datum; 0 otherwise.
    """

    sign: int
    kind: Kind = Kind.FINITE
    magnitude: Fraction = Fraction(0)

    @property
    def value(self) -> Fraction:
        """The signed value of a finite datum (a zero loses its sign)."""
        if self.kind is not Kind.FINITE:
            raise ValueError(f"{self.kind.value} has no value")
        return -self.magnitude if self.sign else self.magnitude


@dataclass(frozen=True)
class RefFormat:
    """A floating-point format without its exponent bias.

    Parameters
    ----------
    exponent_bits, mantissa_bits : int
        Widths of the two fields; the mantissa may have none.
    signed : bool
        Whether the top bit is a sign.
    nonfinite : {"none", "ieee", "nan_only", "fnuz", "p3109"}
        Which codes are not numbers: none; those whose exponent is all ones;
        only the one with exponent and mantissa all ones, a NaN; only the one
        that would be -0, a NaN; or, IEEE P3109's extended formats, that one
        or without a sign the last one, a NaN, and beside it, the last ones
        left of each sign, the infinities.
    subnormals : {"whitepaper", "ieee", "flush", "normal"}
        Denormals have the exponent -bias, have 1 - bias, or are zeros; or
        there are neither denormals nor zeros, as an exponent field of 0 is an
        ordinary one.
    saturating : bool
        Whether overflow gives the largest finite value although the format
        could say Inf or NaN.  Formats without either always saturate.
    """

    exponent_bits: int
    mantissa_bits: int
    signed: bool = True
    nonfinite: Literal["none", "ieee", "nan_only", "fnuz", "p3109"] = "none"
    subnormals: Literal["whitepaper", "ieee", "flush", "normal"] = "whitepaper"
    saturating: bool = False

    def __post_init__(self) -> None:
        """Reject what cannot be a format."""
        if self.exponent_bits < 1 or self.mantissa_bits < 0:
            raise ValueError("a format needs exponent bits, and no negative width")
        if self.nonfinite == "ieee" and self.mantissa_bits == 0:
            raise ValueError("without mantissa bits Inf leaves no code for NaN")
        if self.nonfinite == "fnuz" and not self.signed:
            raise ValueError("without a sign there is no -0 for NaN to replace")
        if self.nan_for_minus_zero and self.subnormals == "normal":
            raise ValueError("without zeros there is no -0 for NaN to replace")

    @property
    def sign_shift(self) -> int:
        """Number of bits below the sign."""
        return self.exponent_bits + self.mantissa_bits

    @property
    def total_bits(self) -> int:
        """Number of bits of a code."""
        return self.sign_shift + self.signed

    @property
    def nan_for_minus_zero(self) -> bool:
        """Whether the code of -0 is the only NaN."""
        return self.signed and self.nonfinite in ("fnuz", "p3109")

    @property
    def has_inf(self) -> bool:
        """Whether there are infinities."""
        return self.nonfinite in ("ieee", "p3109")

    @property
    def inf_code(self) -> int:
        """The code of +Inf: exponent all ones and mantissa zero, or P3109's."""
        if self.nonfinite == "p3109":
            return (1 << self.sign_shift) - (1 if self.signed else 2)
        return ((1 << self.exponent_bits) - 1) << self.mantissa_bits

    @property
    def nan_code(self) -> int:
        """The code of the canonical NaN without its sign ("none" has none)."""
        if self.nan_for_minus_zero:
            return 1 << self.sign_shift
        if self.nonfinite == "ieee":
            return self.inf_code | 1 << (self.mantissa_bits - 1)
        return (1 << self.sign_shift) - 1

    @property
    def max_code(self) -> int:
        """The code of the largest finite value."""
        if self.has_inf:
            return self.inf_code - 1
        return (1 << self.sign_shift) - 1 - (self.nonfinite == "nan_only")

    @property
    def smallest_normal_exponent(self) -> int:
        """Exponent of the smallest normal number at bias 0."""
        return 0 if self.subnormals == "normal" else 1

    @property
    def clamps(self) -> bool:
        """Whether everything too large becomes the largest finite value."""
        return self.saturating or self.nonfinite == "none"


class Encoded(NamedTuple):
    """A code, and which of "invalid", "overflow", "underflow" it raised."""

    code: int
    flags: frozenset[str]


CFloat8_1_4_3 = RefFormat(4, 3)
CFloat8_1_5_2 = RefFormat(5, 2)
CFloat16_SHP = RefFormat(5, 10)
CFloat16_UHP = RefFormat(6, 10, signed=False, nonfinite="ieee", subnormals="flush")
float8_e4m3fn = RefFormat(4, 3, nonfinite="nan_only", subnormals="ieee")
float8_e5m2 = RefFormat(5, 2, nonfinite="ieee", subnormals="ieee")
float16 = RefFormat(5, 10, nonfinite="ieee", subnormals="ieee")
bfloat16 = RefFormat(8, 7, nonfinite="ieee", subnormals="ieee")
# Sources and destinations of a conversion only: far too many values to list.
float32 = RefFormat(8, 23, nonfinite="ieee", subnormals="ieee")
float64 = RefFormat(11, 52, nonfinite="ieee", subnormals="ieee")

# Name -> the format and its default bias (a fixed one for UHP and COMPARISON).
TESLA: dict[str, tuple[RefFormat, int]] = {
    "CFloat8_1_4_3": (CFloat8_1_4_3, 7),
    "CFloat8_1_5_2": (CFloat8_1_5_2, 15),
    "CFloat16_SHP": (CFloat16_SHP, 15),
    "CFloat16_UHP": (CFloat16_UHP, 31),
}
COMPARISON: dict[str, tuple[RefFormat, int]] = {
    "float8_e4m3fn": (float8_e4m3fn, 7),
    "float8_e5m2": (float8_e5m2, 15),
    "float16": (float16, 15),
    "bfloat16": (bfloat16, 127),
}


def dyadic(n: int, exponent: int) -> Fraction:
    """Return n * 2**exponent."""
    return Fraction(n << exponent) if exponent >= 0 else Fraction(n, 1 << -exponent)


def floor_log2(x: Fraction) -> int:
    """Return the exponent of the greatest power of two not above x > 0."""
    guess = x.numerator.bit_length() - x.denominator.bit_length()
    return guess if dyadic(1, guess) <= x else guess - 1


def _grid_value(fmt: RefFormat, code: int, bias: int) -> Fraction:
    """Value of a code without sign, as if every code were a number.

    Denormals under "flush" get their IEEE values: rounding takes place on that
    grid, and only its outcome is flushed.
    """
    m = fmt.mantissa_bits
    exponent, mantissa = code >> m, code & ((1 << m) - 1)
    if exponent > 0 or fmt.subnormals == "normal":
        return dyadic((1 << m) + mantissa, exponent - bias - m)
    denormal_exponent = -bias if fmt.subnormals == "whitepaper" else 1 - bias
    return dyadic(mantissa, denormal_exponent - m)


# Bounded because a 16-bit list takes megabytes and a test may visit every bias.
@lru_cache(maxsize=32)
def _grid(fmt: RefFormat, bias: int) -> list[Fraction]:
    """Values of all codes without sign, ascending; an index is a code.

    Codes that mean Inf or NaN stand for the numbers that an unbounded exponent
    range would have there, which is what overflow is judged by.
    """
    return [_grid_value(fmt, code, bias) for code in range(1 << fmt.sign_shift)]


def _neighbours(fmt: RefFormat, x: Fraction, bias: int) -> tuple[int, Fraction, Fraction]:
    """Find lo <= x < hi, adjacent on the unbounded grid; also lo's code.

    Above the list the code goes on counting, too wide for the format.
    """
    grid = _grid(fmt, bias)
    if x < grid[-1]:
        code = bisect_right(grid, x) - 1
        return code, grid[code], grid[code + 1]
    m = fmt.mantissa_bits
    exponent = floor_log2(x)
    ulp = dyadic(1, exponent - m)
    steps = x // ulp  # 2**m <= steps < 2**(m + 1)
    code = ((exponent + bias) << m) + steps - (1 << m)
    return code, steps * ulp, (steps + 1) * ulp


def _points_away(rounding: Rounding, sign: int) -> bool:
    """Whether a directed mode enlarges magnitudes of this sign."""
    return rounding == ("toward_negative" if sign else "toward_positive")


def stochastic_up(fraction: Fraction, bits: int, random: int, variant: Variant) -> bool:
    """Whether stochastic rounding with few random bits goes to the upper neighbour (IEEE P3109).

    Parameters
    ----------
    fraction : Fraction
        How far up the value lies between its neighbours, from 0 to 1.
    bits : int
        The number N of random bits.
    random : int
        Those bits.
    variant : {"A", "B", "C"}
        How they decide.

    Returns
    -------
    bool
    """
    if not 0 <= random < 2**bits:
        raise ValueError(f"{random} does not have {bits} bits")
    match variant:
        case "A":
            return math.floor(fraction * 2**bits) + random >= 2**bits
        case "B":
            return math.floor(fraction * 2 ** (bits + 1)) + 2 * random + 1 >= 2 ** (bits + 1)
        case "C":
            # round() of a Fraction is exact, and takes a tie to even
            return round(fraction * 2**bits) + random >= 2**bits
    raise ValueError(f"unknown variant {variant!r}")


def _round(
    fmt: RefFormat,
    x: Fraction,
    sign: int,
    bias: int,
    rounding: Rounding,
    word: int,
    bits: int,
    variant: Variant,
) -> int:
    """Round the magnitude x to a code of the unbounded grid."""
    code, lo, hi = _neighbours(fmt, x, bias)
    if x == lo:
        return code
    if rounding == "stochastic":
        up = stochastic_up((x - lo) / (hi - lo), bits, word >> (32 - bits), variant)
    elif rounding in ("ties_to_even", "ties_to_away"):
        below, above = x - lo, hi - x
        # Neighbouring codes differ in parity, across a change of exponent too.
        tie_up = rounding == "ties_to_away" or code % 2 == 1
        up = below > above or (below == above and tie_up)
    else:
        up = _points_away(rounding, sign)
    return code + up


def decode(fmt: RefFormat, code: int, bias: int) -> Real:
    """Return what a code stands for; this never raises Underflow.

    Parameters
    ----------
    fmt : RefFormat
        The format of the code.
    code : int
        All bits of the code, sign included.
    bias : int
        The exponent bias.

    Returns
    -------
    Real
        The datum; only its sign and kind remain of a NaN.
    """
    if not 0 <= code < 1 << fmt.total_bits:
        raise ValueError(f"code {code:#x} is wider than {fmt.total_bits} bits")
    sign, unsigned = code >> fmt.sign_shift, code & ((1 << fmt.sign_shift) - 1)
    if fmt.nan_for_minus_zero and code == fmt.nan_code:
        return Real(0, Kind.NAN)  # there is but one, of no sign
    if unsigned > fmt.max_code:
        infinite = fmt.has_inf and unsigned == fmt.inf_code
        return Real(sign, Kind.INF if infinite else Kind.NAN)
    if fmt.subnormals == "flush" and is_denormal_code(fmt, code):
        return Real(sign)
    return Real(sign, magnitude=_grid_value(fmt, unsigned, bias))


def encode(
    fmt: RefFormat,
    x: Real,
    bias: int,
    rounding: Rounding,
    word: int = 0,
    bits: int = 32,
    variant: Variant = "A",
) -> Encoded:
    """Round an exact datum to a code.

    Parameters
    ----------
    fmt : RefFormat
        The format to round to.
    x : Real
        The operand.
    bias : int
        The exponent bias.
    rounding : str
        The rounding mode.
    word : int, optional
        The 32 random bits of stochastic rounding.
    bits : int, optional
        How many of them it uses: the upper ones.
    variant : {"A", "B", "C"}, optional
        How they decide; see `stochastic_up`.

    Returns
    -------
    Encoded
        The code and its flags; Denormal, which depends on the operand's own
        format, is not among them (see `is_denormal_code`).
    """
    if rounding not in get_args(Rounding):
        raise ValueError(f"unknown rounding {rounding!r}")
    if not 0 <= word <= MASK32:
        raise ValueError("a random word has 32 bits")
    has_nan = fmt.nonfinite != "none"
    sign_bit = x.sign << fmt.sign_shift if fmt.signed else 0

    if x.kind is Kind.NAN:
        # A clamped NaN is positive: its sign bit says nothing.
        code = sign_bit | fmt.nan_code if has_nan else fmt.max_code
        return Encoded(code, frozenset({"invalid"}))

    is_zero = x.kind is Kind.FINITE and x.magnitude == 0
    if x.sign and not fmt.signed and not is_zero:
        return Encoded(fmt.nan_code if has_nan else 0, frozenset({"invalid"}))

    if x.kind is Kind.INF:
        if fmt.clamps:
            return Encoded(sign_bit | fmt.max_code, frozenset({"overflow"}))
        if fmt.has_inf:
            return Encoded(sign_bit | fmt.inf_code, frozenset())
        return Encoded(sign_bit | fmt.nan_code, frozenset({"overflow"}))

    if fmt.subnormals == "normal":
        if is_zero and has_nan:
            return Encoded(fmt.nan_code, frozenset({"invalid"}))
        if x.magnitude < _grid_value(fmt, 0, bias):
            return Encoded(sign_bit, frozenset({"underflow"}))

    code = _round(fmt, x.magnitude, x.sign, bias, rounding, word, bits, variant)
    flags = set()
    if code > fmt.max_code:
        flags.add("overflow")
        # Stochastic rounding clamps like a mode that points toward zero.
        beyond = rounding in ("ties_to_even", "ties_to_away")
        if fmt.clamps or not (beyond or _points_away(rounding, x.sign)):
            code = fmt.max_code
        else:
            code = fmt.inf_code if fmt.has_inf else fmt.nan_code
    elif fmt.subnormals == "flush" and is_denormal_code(fmt, code):
        code = 0
    # Tininess is judged before rounding: what rounds up to a normal counts.
    tiny = x.magnitude < dyadic(1, fmt.smallest_normal_exponent - bias)
    if tiny and _grid_value(fmt, code, bias) != x.magnitude:
        flags.add("underflow")
    if code == 0 and fmt.nan_for_minus_zero:
        sign_bit = 0
    return Encoded(sign_bit | code, frozenset(flags))


def is_denormal_code(fmt: RefFormat, code: int) -> bool:
    """Whether a code has a zero exponent field and a mantissa that is not.

    True under "flush" as well: the operand is denormal, and reads as zero.
    """
    unsigned = code & ((1 << fmt.sign_shift) - 1)
    return fmt.subnormals != "normal" and 0 < unsigned < 1 << fmt.mantissa_bits


def is_denormal_float32(bits: int) -> bool:
    """Whether the float32 with these bits is denormal."""
    return is_denormal_code(float32, bits)


def is_denormal_float64(bits: int) -> bool:
    """Whether the float64 with these bits is denormal."""
    return is_denormal_code(float64, bits)


def real_from_fraction(x: Fraction) -> Real:
    """Return a rational number as an operand; zero is +0."""
    return Real(int(x < 0), magnitude=abs(x))


def real_from_int(i: int) -> Real:
    """Return an integer as an operand; zero is +0."""
    return real_from_fraction(Fraction(i))


def real_from_float32_bits(bits: int) -> Real:
    """Return the float32 with these bits as an operand."""
    return decode(float32, bits, 127)


def real_from_float64_bits(bits: int) -> Real:
    """Return the float64 with these bits as an operand."""
    return decode(float64, bits, 1023)


def real_from_float(x: float) -> Real:
    """Return a Python float as an operand, the sign of zero and NaN kept."""
    return real_from_float64_bits(int.from_bytes(struct.pack(">d", x), "big"))


def _to_ieee_bits(fmt: RefFormat, x: Real) -> int:
    """Round to nearest even in an IEEE format too large for a list."""
    bias = (1 << (fmt.exponent_bits - 1)) - 1
    if x.kind is Kind.NAN:
        code = fmt.nan_code
    elif x.kind is Kind.INF:
        code = fmt.inf_code
    elif x.magnitude == 0:
        code = 0
    else:
        # Denormals share the exponent of the smallest normals.
        exponent = max(floor_log2(x.magnitude), 1 - bias)
        ulps = round(x.magnitude / dyadic(1, exponent - fmt.mantissa_bits))
        # Adding lets the implicit bit, and a carry, raise the exponent field.
        code = ((exponent + bias - 1) << fmt.mantissa_bits) + ulps
        code = min(code, fmt.inf_code)
    return x.sign << fmt.sign_shift | code


def to_float32_bits(x: Real) -> int:
    """Return the bits of the nearest float32, ties to even; NaN is quiet."""
    return _to_ieee_bits(float32, x)


def to_float64_bits(x: Real) -> int:
    """Return the bits of the nearest float64, ties to even; NaN is quiet."""
    return _to_ieee_bits(float64, x)


def philox4x32_10(counter: Words, key: tuple[int, int]) -> Words:
    """Return one block of the Philox4x32-10 generator (Salmon et al., SC'11).

    Parameters
    ----------
    counter : tuple of int
        Four 32-bit words.
    key : tuple of int
        Two 32-bit words.

    Returns
    -------
    tuple of int
        Four random 32-bit words.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        hi0, lo0 = divmod(c0 * 0xD251_1F53, 2**32)
        hi1, lo1 = divmod(c2 * 0xCD9E_8D57, 2**32)
        c0, c1, c2, c3 = hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0
        k0, k1 = (k0 + 0x9E37_79B9) & MASK32, (k1 + 0xBB67_AE85) & MASK32
    return c0, c1, c2, c3


def random_word(seed: int, position: int) -> int:
    """Return the random word of the array element at a position.

    Parameters
    ----------
    seed : int
        64 bits; the low word is the first word of the key.
    position : int
        Offset plus row-major index; each block of the stream serves four.

    Returns
    -------
    int
        32 random bits.
    """
    if not 0 <= seed < 2**64 or position < 0:
        raise ValueError("the seed has 64 bits and the position no sign")
    block, lane = divmod(position, 4)
    words = [block >> shift & MASK32 for shift in (0, 32, 64, 96)]
    key = (seed & MASK32, seed >> 32)
    return philox4x32_10((words[0], words[1], words[2], words[3]), key)[lane]
