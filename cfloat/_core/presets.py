"""The formats that have a name: the whitepaper's four, and those that people use or define today."""

from typing import Final

from cfloat.errors import ArgumentTypeError, ArgumentValueError, FormatError

from . import p3109
from .format import Format
from .public_names import public
from .text import shown

#: The whitepaper's Table 3: 1 sign, 4 exponent and 3 mantissa bits, bias 0..63, every code finite.
CFloat8_1_4_3 = Format(
    "CFloat8_1_4_3",
    exponent_bits=4, mantissa_bits=3, bias=(0, 63), default_bias=7, subnormals="whitepaper",
)  # fmt: skip

#: The whitepaper's Table 3: 1 sign, 5 exponent and 2 mantissa bits, bias 0..63, every code finite.
CFloat8_1_5_2 = Format(
    "CFloat8_1_5_2",
    exponent_bits=5, mantissa_bits=2, bias=(0, 63), default_bias=15, subnormals="whitepaper",
)  # fmt: skip

#: The whitepaper's Table 6, signed half precision: 1, 5 and 10 bits, bias 0..63, every code finite.
CFloat16_SHP = Format(
    "CFloat16_SHP",
    exponent_bits=5, mantissa_bits=10, bias=(0, 63), default_bias=15, subnormals="whitepaper",
)  # fmt: skip

#: The whitepaper's Table 6, unsigned half precision: 6 and 10 bits, bias 31, IEEE infinity and NaN.
CFloat16_UHP = Format(
    "CFloat16_UHP",
    exponent_bits=6, mantissa_bits=10, signed=False, bias=31, nonfinite="ieee", subnormals="flush",
)  # fmt: skip

#: IEEE 754 binary16.
float16 = Format("float16", exponent_bits=5, mantissa_bits=10, nonfinite="ieee")

#: The upper half of a float32.
bfloat16 = Format("bfloat16", exponent_bits=8, mantissa_bits=7, nonfinite="ieee")

#: OCP 8-bit E4M3: no infinity, one NaN a sign; too large is NaN, as in ml_dtypes.
float8_e4m3fn = Format("float8_e4m3fn", exponent_bits=4, mantissa_bits=3, nonfinite="nan_only")

#: OCP 8-bit E5M2: IEEE 754 in small.
float8_e5m2 = Format("float8_e5m2", exponent_bits=5, mantissa_bits=2, nonfinite="ieee")

#: IEEE 754 in small: 8 bits, 3 of them the exponent's.
float8_e3m4 = Format("float8_e3m4", exponent_bits=3, mantissa_bits=4, nonfinite="ieee")

#: IEEE 754 in small: 8 bits, 4 of them the exponent's; with infinity, where float8_e4m3fn has numbers.
float8_e4m3 = Format("float8_e4m3", exponent_bits=4, mantissa_bits=3, nonfinite="ieee")

#: E4M3 at bias 11: one NaN, in the code of -0, and no infinity.
float8_e4m3b11fnuz = Format(
    "float8_e4m3b11fnuz", exponent_bits=4, mantissa_bits=3, bias=11, nonfinite="fnuz"
)

#: E4M3 at bias 8: one NaN, in the code of -0, and no infinity.
float8_e4m3fnuz = Format(
    "float8_e4m3fnuz", exponent_bits=4, mantissa_bits=3, bias=8, nonfinite="fnuz"
)

#: E5M2 at bias 16: one NaN, in the code of -0, and no infinity.
float8_e5m2fnuz = Format(
    "float8_e5m2fnuz", exponent_bits=5, mantissa_bits=2, bias=16, nonfinite="fnuz"
)

#: OCP MX's scale, E8M0: powers of two from 2**-127 to 2**127 and NaN; no zero and no sign.
float8_e8m0fnu = Format(
    "float8_e8m0fnu",
    exponent_bits=8, mantissa_bits=0, signed=False, bias=127, nonfinite="nan_only", subnormals="normal",
)  # fmt: skip

#: OCP MX's 6-bit E2M3: every code finite.
float6_e2m3fn = Format("float6_e2m3fn", exponent_bits=2, mantissa_bits=3)

#: OCP MX's 6-bit E3M2: every code finite.
float6_e3m2fn = Format("float6_e3m2fn", exponent_bits=3, mantissa_bits=2)

#: OCP MX's 4-bit E2M1: every code finite.
float4_e2m1fn = Format("float4_e2m1fn", exponent_bits=2, mantissa_bits=1)

#: The four formats of the whitepaper.
TESLA_FORMATS = (CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP, CFloat16_UHP)

#: The formats that people use today, for comparison.
COMPARISON_FORMATS = (float16, bfloat16, float8_e4m3fn, float8_e5m2)

#: What reports compare, unless they are told what.
COMPARED: Final = (*TESLA_FORMATS, *COMPARISON_FORMATS)

#: Every format that has a name of its own here.  IEEE P3109's are made when they are asked for.
FORMATS: Final = {
    fmt.name: fmt
    for fmt in (
        *COMPARED, float8_e3m4, float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fnuz, float8_e5m2fnuz,
        float8_e8m0fnu, float6_e2m3fn, float6_e3m2fn, float4_e2m1fn,
    )
}  # fmt: skip

#: The names that there are, in what a message has room for.
NAMES: Final = (
    f"{', '.join(fmt.name for fmt in COMPARED)}, ml_dtypes' others, and P3109's {p3109.NAMES}"
)

_BY_LOWER_CASE: Final = {name.lower(): fmt for name, fmt in FORMATS.items()}


@public
def format(name: Format | str) -> Format:  # noqa: A001 - what it gives; numpy.dtype is called so, too
    """Give the format of a name.

    Every function that takes a format takes its name as well.

    Parameters
    ----------
    name : str or Format
        A preset's name, such as "float8_e4m3fn", or one of IEEE P3109's, ``binary{K}p{P}{s|u}{e|f}``: of K
        bits, 3 to 16, and a precision of P, the implicit bit included; signed or unsigned; extended, with
        infinities, or finite.  Upper and lower case are the same.  A Format is given back as it is.

    Returns
    -------
    Format

    Raises
    ------
    ArgumentValueError
        If no format has that name.
    FormatError
        If P3109's format has values beyond float32's range.
    ArgumentTypeError
        If `name` is neither a str nor a Format.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.format("float8_e4m3fnuz") is cf.float8_e4m3fnuz
    True
    >>> print(cf.finfo(cf.format("Binary8p3se")))
    binary8p3se at bias 16: max 49152, smallest normal 3.051758e-05, smallest positive 7.629395e-06, eps 0.25
    """
    return as_format(name, "name")


def as_format(fmt: object, name: str = "format") -> Format:
    """Give the format that an argument stands for: a `Format`, or the name of one, in any case.

    Raises
    ------
    ArgumentTypeError
        If it is neither a Format nor a str.
    ArgumentValueError
        If no format has that name.
    FormatError
        If it is P3109's name of a format with values beyond float32's range.
    """
    if isinstance(fmt, Format):
        return fmt
    if not isinstance(fmt, str):
        raise ArgumentTypeError(
            f"{name} is {shown(fmt)}; it takes a cfloat.Format, such as cfloat.CFloat8_1_4_3, or a name"
        )
    found = find_format(fmt)
    if found is None:
        raise ArgumentValueError(f"{name} is {shown(fmt)}; the names are {NAMES}")
    return found


def find_format(name: str) -> Format | None:
    """Give the format of a name in any case, or None if no format has it.

    Raises
    ------
    FormatError
        If it is P3109's name of a format with values beyond float32's range.
    """
    found = FORMATS.get(name)
    if found is None:
        lower = name.lower()
        found = _BY_LOWER_CASE.get(lower) or p3109.p3109_format(lower)
    return found


def find_without_dtype(name: str) -> Format | None:
    """Give the format of a name in any case, if no dtype of ml_dtypes or NumPy has that name."""
    found = find_format(name)
    if found is None or (found.name in FORMATS and found not in TESLA_FORMATS):
        return None
    return found


def namesake(fmt: Format) -> Format | None:
    """Give the format that is known by the very name of a format; None if there is none.

    Examples
    --------
    >>> namesake(Format("float16", exponent_bits=4, mantissa_bits=3)) is float16
    True
    """
    try:
        found = find_format(fmt.name)
    except FormatError:
        return None
    return found if found is not None and found.name == fmt.name else None
