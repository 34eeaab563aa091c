"""The formats that have a name: the whitepaper's four, and those that people use today."""

from typing import Final

from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .format import Format
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

#: The four formats of the whitepaper.
TESLA_FORMATS = (CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP, CFloat16_UHP)

#: The formats that people use today, for comparison.
COMPARISON_FORMATS = (float16, bfloat16, float8_e4m3fn, float8_e5m2)


#: Every format that can be given by its name.
FORMATS: Final = {fmt.name: fmt for fmt in (*TESLA_FORMATS, *COMPARISON_FORMATS)}


def as_format(fmt: object, name: str = "format") -> Format:
    """Give the format that an argument stands for: a `Format`, or the name of a preset.

    Raises
    ------
    ArgumentTypeError
        If it is neither a Format nor a str.
    ArgumentValueError
        If no preset has that name.
    """
    if isinstance(fmt, Format):
        return fmt
    if not isinstance(fmt, str):
        raise ArgumentTypeError(
            f"{name} is {shown(fmt)}; it takes a cfloat.Format, such as cfloat.CFloat8_1_4_3, or a name"
        )
    found = FORMATS.get(fmt)
    if found is None:
        raise ArgumentValueError(f"{name} is {shown(fmt)}; the names are {', '.join(FORMATS)}")
    return found
