"""What a format can hold: its limits, and its values as a table."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .finfo import finfo
from .format import Format
from .presets import as_format
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
