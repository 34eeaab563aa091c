"""`finfo`: the limits of a format at a bias, with NumPy's names."""

import math
from dataclasses import dataclass
from typing import SupportsIndex

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
        The largest finite value, and the least: -max, or 0 for an unsigned format.
    smallest_normal, tiny : float
        The smallest positive normal number, 2**(1 - bias).
    smallest_subnormal : float
        The smallest positive value; the smallest normal number if there are no denormals.
    eps : float
        Distance from 1 to the next larger number with this many mantissa bits, 2**-nmant.
    epsneg : float
        Distance from 1 to the next smaller one, eps / 2.
    nmant, nexp, iexp : int
        Mantissa bits as stored, and exponent bits (by NumPy's two names).
    machep, negep : int
        Base-2 logarithms of eps and epsneg.
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
        return -self.max if self.format.signed else 0.0

    @property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, self.minexp)

    @property
    def tiny(self) -> float:
        return self.smallest_normal

    @property
    def smallest_subnormal(self) -> float:
        flushed = self.format.subnormals == "flush"
        return (
            self.smallest_normal if flushed else math.ldexp(1.0, self.format._quantum - self.bias)
        )

    @property
    def eps(self) -> float:
        return math.ldexp(1.0, self.machep)

    @property
    def epsneg(self) -> float:
        return math.ldexp(1.0, self.negep)

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
        return -self.format.mantissa_bits

    @property
    def negep(self) -> int:
        return self.machep - 1

    @property
    def minexp(self) -> int:
        return 1 - self.bias

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
