"""What a format can hold: its limits, and its values as a table; and which formats there are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import p3109
from .finfo import finfo
from .format import Format
from .presets import FORMATS, as_format
from .text_table import aligned

# Values of a format of more than 8 bits that are shown from each end of each kind.
_SHOWN = 4


@dataclass(frozen=True)
class FormatInfo:
    """A format at a bias: its limits and its values.

    Attributes
    ----------
    format : Format
        The format.
    bias : int
        The bias.
    """

    format: Format
    bias: int

    _LIMITS = (
        "bits", "max", "min", "smallest_normal", "smallest_subnormal", "eps", "nexp", "nmant", "minexp",
        "maxexp", "precision",
    )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain data, for JSON: all values, those that JSON does not have as strings."""
        limits = finfo(self.format, self.bias)
        arguments = self.format._arguments()
        return arguments | {
            "bias": self.bias,
            "bias_range": list(self.format.bias_range),
            "limits": {name: getattr(limits, name) for name in self._LIMITS},
            "values": [
                value if np.isfinite(value) else str(value)
                for value in self.format.values(self.bias).tolist()
            ],
        }

    def to_text(self) -> str:
        """Write the limits, and a table of values: all of 8 bits and less, and else some of each kind."""
        fmt = self.format
        limits = finfo(fmt, self.bias)
        low, high = fmt.bias_range
        lines = [
            f"{fmt.name} at bias {self.bias} (of {low} to {high}): "
            f"{'1 sign, ' if fmt.signed else ''}{fmt.exponent_bits} exponent and {fmt.mantissa_bits} "
            f"mantissa bits, nonfinite {fmt.nonfinite}, subnormals {fmt.subnormals}",
            *(f"{name:20}{getattr(limits, name):.10g}" for name in self._LIMITS),
            "",
        ]
        values = fmt.values(self.bias)
        texts = [f"{value:.7g}" for value in values.tolist()]
        digits = -(-fmt.bits // 4)
        if fmt.bits <= 8:
            width = min(8, len(texts))
            rows = [["code", *(f"+{column}" for column in range(width))]]
            for start in range(0, len(texts), width):
                rows.append([f"0x{start:0{digits}X}", *texts[start : start + width]])
            return "\n".join([*lines, *aligned(rows, right=range(1, width + 1))])
        rows = [["code", "value"]]
        before = -1
        for code in self._some_codes():
            if code != before + 1:
                rows.append(["...", ""])
            rows.append([f"0x{code:0{digits}X}", texts[code]])
            before = code
        if fmt.signed:
            rows.append([f"0x{before + 1:0{digits}X}", "..."])  # the same, negative
        return "\n".join([*lines, *aligned(rows, right=(1,))])

    def _some_codes(self) -> list[int]:
        """Pick codes from both ends of each kind of positive number."""
        fmt = self.format
        half = 1 << (fmt.exponent_bits + fmt.mantissa_bits)
        values = fmt.values(self.bias)[:half]
        # where subnormals end, where one is, and where finite numbers do
        edges = [
            0,
            1 << fmt.mantissa_bits,
            int(np.argmax(values >= 1)),
            int(np.isfinite(values).sum()),
            half,
        ]
        codes = {
            code
            for edge in edges
            for code in range(edge - _SHOWN, edge + _SHOWN)
            if 0 <= code < half
        }
        return sorted(codes)


def format_info(fmt: Format | str, bias: int | None = None) -> FormatInfo:
    """Give a format's limits and values at a bias.

    Parameters
    ----------
    fmt : Format or str
        The format, or its name.
    bias : int, optional
        The bias; the format's default if None.

    Returns
    -------
    FormatInfo

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If the format does not allow the bias.

    Examples
    --------
    >>> import cfloat as cf
    >>> print(format_info(cf.Format("fp4", exponent_bits=2, mantissa_bits=1)).to_text()[-124:])
    code  +0    +1  +2    +3  +4  +5  +6  +7
    0x0    0   0.5   1   1.5   2   3   4   6
    0x8   -0  -0.5  -1  -1.5  -2  -3  -4  -6
    """
    fmt = as_format(fmt)
    return FormatInfo(fmt, fmt.check_bias(bias))


@dataclass(frozen=True)
class FormatList:
    """The formats that have a name.

    Attributes
    ----------
    formats : tuple of Format
        Those that are there; IEEE P3109's are made when they are asked for.
    """

    formats: tuple[Format, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain data, for JSON."""
        return {
            "formats": [
                {key: found for key, found in format_info(fmt).to_dict().items() if key != "values"}
                for fmt in self.formats
            ],
            "p3109": p3109.NAMES,
        }

    def to_text(self) -> str:
        """Write a table of the formats at their default biases."""
        rows = [
            [
                "name", "sign", "exponent", "mantissa", "bias", "largest", "smallest normal", "smallest",
                "beside numbers",
            ]
        ]  # fmt: skip
        for fmt in self.formats:
            limits = finfo(fmt)
            low, high = fmt.bias_range
            sizes = (limits.max, limits.smallest_normal, limits.smallest_subnormal)
            rows.append(
                [
                    fmt.name, str(int(fmt.signed)), str(fmt.exponent_bits), str(fmt.mantissa_bits),
                    str(low) if low == high else f"{fmt.default_bias} of {low}..{high}",
                    *(f"{size:.7g}" for size in sizes), special_values(fmt),
                ]
            )  # fmt: skip
        return "\n".join(
            [
                *aligned(rows, right=range(1, 8)),
                f"and IEEE P3109's {p3109.NAMES}: K bits, 3 to 16; a precision of P bits, the implicit one "
                "included;",
                "s signed or u unsigned; e extended, with infinities, or f finite.  Names are in any case.",
            ]
        )


def special_values(fmt: Format) -> str:
    """Tell which values a format has that are not numbers, and which zeros it lacks.

    Examples
    --------
    >>> special_values(as_format("float8_e4m3fnuz")), special_values(as_format("CFloat8_1_4_3"))
    ('nan, no -0', '-')
    """
    words = {
        "inf": fmt._has_infinity, "nan": fmt._has_nan,
        "no -0": fmt._no_negative_zero, "no 0": not fmt._has_zero,
    }  # fmt: skip
    return ", ".join(word for word, is_true in words.items() if is_true) or "-"


def format_list() -> FormatList:
    """List the formats that have a name.

    Examples
    --------
    >>> [fmt.name for fmt in format_list().formats if fmt.bits < 8]
    ['float6_e2m3fn', 'float6_e3m2fn', 'float4_e2m1fn']
    """
    return FormatList(tuple(FORMATS.values()))
