"""`finfo`: the limits of a format at a bias, with NumPy's names."""

import math
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np

from . import binding
from .float_modes import in_default_modes
from .format import Format
from .presets import as_format
from .public_names import public


@public
@dataclass(frozen=True)
class finfo:  # noqa: N801 - numpy.finfo's name
    """Limits of a format at a bias, with `numpy.finfo`'s names.

    Parameters
    ----------
    format : Format or str
        The format, or its name.
    bias : int, optional
        An exponent bias that the format allows; its default bias if None.

    Attributes
    ----------
    bits : int
        Width of a code in bits.
    max, min : float
        The largest finite value, and the least: -max; for an unsigned format 0, or its smallest value
        if it has no zero.
    smallest_normal, tiny : float
        The smallest positive normal number: 2**(1 - bias), or 2**-bias if an exponent field of 0 is
        an ordinary one.
    smallest_subnormal : float
        The smallest positive value; the smallest normal number if there are no denormals.
    eps : float
        Distance from 1 to the next larger value.  Where 1 is not a value at this bias, or there is none
        above it: 2**-nmant, as it is at every bias at which 1 is a normal number.
    epsneg : float
        Distance from 1 to the next smaller value.  Where 1 is not a value at this bias, or there is none
        below it: 2**-nmant / 2, as it is at every bias at which a smaller number is normal.
    nmant, nexp, iexp : int
        Mantissa bits as stored, and exponent bits (by NumPy's two names).
    machep, negep : int
        Exponents of eps and epsneg: their base-2 logarithms, rounded down.
    minexp, maxexp : int
        Exponent of the smallest normal number; the smallest exponent that is too large.
    precision : int
        Decimal digits that are certain to be kept.
    resolution : float
        10**-precision.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If `format` is neither a Format nor a name of one, or `bias` not an integer that it allows.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.finfo(cf.CFloat8_1_4_3).max, cf.finfo(cf.CFloat8_1_4_3, 63).smallest_normal == 2.0**-62
    (480.0, True)
    >>> cf.finfo("float4_e2m1fn").epsneg  # 1 is its smallest normal number, and 0.5 comes before it
    0.5
    """

    format: Format
    bias: int

    def __init__(self, format: Format | str, bias: SupportsIndex | None = None) -> None:  # noqa: A002 - numpy.finfo takes a dtype first, too
        checked = as_format(format)
        object.__setattr__(self, "format", checked)
        object.__setattr__(self, "bias", checked.check_bias(bias))

    @property
    def bits(self) -> int:
        return self.format.bits

    @property
    def max(self) -> float:
        return math.ldexp(self.format._max_significand, self.maxexp - 1)

    @property
    def min(self) -> float:
        if self.format.signed:
            return -self.max
        return 0.0 if self.format._has_zero else self.smallest_normal

    @property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, self.minexp)

    @property
    def tiny(self) -> float:
        return self.smallest_normal

    @property
    def smallest_subnormal(self) -> float:
        without = self.format.subnormals in ("flush", "normal")
        return (
            self.smallest_normal if without else math.ldexp(1.0, self.format._quantum - self.bias)
        )

    @property
    def eps(self) -> float:
        _, above = self._around_one()
        return math.ldexp(1.0, -self.nmant) if above is None else above - 1.0

    @property
    def epsneg(self) -> float:
        below, _ = self._around_one()
        return math.ldexp(1.0, -self.nmant - 1) if below is None else 1.0 - below

    def _around_one(self) -> tuple[float | None, float | None]:
        """Find the values next to 1, below and above; None for what is not there, or if 1 is no value."""
        fmt = self.format
        codes = np.empty(1, fmt.storage_dtype)
        binding.convert(
            fmt._struct, self.bias, np.ones(1), codes, encode=True, decode=False, fresh=True
        )
        code = int(codes[0])
        first, last = max(code - 1, 0), min(code + 1, fmt._max_code)
        values = np.empty(last - first + 1)
        binding.convert(
            fmt._struct, self.bias, np.arange(first, last + 1, dtype=fmt.storage_dtype), values,
            encode=False, decode=True, fresh=True,
        )  # fmt: skip
        near: list[float] = values.tolist()
        if 1.0 not in near:
            return None, None
        below: float | None = near[0]
        if code == 0:  # there is no zero, and next below 1 is -1, if anything is
            below = -1.0 if fmt.signed else None
        return below, near[-1] if code < last else None

    @property
    def nmant(self) -> int:
        return self.format.mantissa_bits

    @property
    def nexp(self) -> int:
        return self.format.exponent_bits

    @property
    def iexp(self) -> int:
        return self.format.exponent_bits

    @property
    def machep(self) -> int:
        return math.frexp(self.eps)[1] - 1

    @property
    def negep(self) -> int:
        return math.frexp(self.epsneg)[1] - 1

    @property
    def minexp(self) -> int:
        return self.format._first_normal_field - self.bias

    @property
    def maxexp(self) -> int:
        return self.format._max_exponent_field - self.bias + 1

    @property
    @in_default_modes
    def precision(self) -> int:
        return int(self.nmant * math.log10(2))

    @property
    @in_default_modes
    def resolution(self) -> float:
        return float(10.0**-self.precision)

    @in_default_modes
    def __str__(self) -> str:
        return (
            f"{self.format.name} at bias {self.bias}: max {self.max:.7g}, "
            f"smallest normal {self.smallest_normal:.7g}, "
            f"smallest positive {self.smallest_subnormal:.7g}, eps {self.eps:.7g}"
        )


def largest_and_normal(fmt: Format, bias: SupportsIndex | None) -> tuple[float, float]:
    """Give `finfo`'s `max` and `smallest_normal`, in less time.

    Examples
    --------
    >>> import cfloat as cf
    >>> largest_and_normal(cf.CFloat8_1_4_3, 7)
    (480.0, 0.015625)
    """
    checked = fmt.check_bias(bias)
    significand, top, bottom = fmt._limits
    return math.ldexp(significand, top - checked), math.ldexp(1.0, bottom - checked)
