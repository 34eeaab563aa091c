"""What follows from sums of products that lost nothing, integers: quotients and cosines, rounded once."""

import math
from typing import Final

from cfloat._core import binding

#: An exact sum is an integer in units of 2 to the power of minus this.
UNIT: Final = binding.SUM_ORIGIN

# A square root is taken of so many bits more, half of which it keeps: as many as a float has, and some.
_GUARD_BITS: Final = 64


def quotient(dividend: int, divisor: int) -> float:
    """Return a quotient of integers as the nearest float, infinite where none is near."""
    try:
        return dividend / divisor
    except OverflowError:
        return math.inf if (dividend > 0) == (divisor > 0) else -math.inf


def cosine(product: int, a: int, b: int) -> float:
    """Return ``product / sqrt(a * b)`` of sums, `a` and `b` above zero: from -1 to 1, and 1 of equal ones.

    Sums are of products that were rounded, so that theirs may exceed what Cauchy and Schwarz allow it; what
    it exceeds it by is rounding.
    """
    # most of their bits are zeros below the last that counts, which the root would be taken of
    least = product | a | b
    unused = (least & -least).bit_length() - 1
    product, a, b = product >> unused, a >> unused, b >> unused
    most = math.isqrt((a * b) << 2 * _GUARD_BITS)
    dividend = product << _GUARD_BITS
    if -most < dividend < most:
        return dividend / most
    return 1.0 if product > 0 else -1.0
