"""Sums of products of float64 that lose nothing, and so do not depend on the order."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cfloat._core import binding

#: An exact sum is an integer in units of 2 to the power of minus this.
UNIT: Final = binding.SUM_ORIGIN

_LOWER_BITS: Final = 26

# A square root is taken of so many bits more, half of which it keeps: as many as a float has, and some.
_GUARD_BITS: Final = 64


class ExactSums:
    """Running sums of products, each product rounded to 53 bits and nothing else.

    Parameters
    ----------
    count : int
        How many sums there are.

    Attributes
    ----------
    totals : list of int
        The sums, in units of ``2**-UNIT``.

    Examples
    --------
    >>> import numpy as np
    >>> sums = ExactSums(1)
    >>> sums.add(0, np.array([1e300, 1.0, -1e300]), np.ones(3))
    >>> sums.totals[0] / 2**UNIT
    1.0
    """

    def __init__(self, count: int) -> None:
        self.totals = [0] * count
        self._bins = np.zeros((binding.SUM_BINS, 2), np.int64)

    def add(self, index: int, a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        """Add the products of contiguous arrays of finite float64 to one of the sums."""
        binding.add_products(a, b, self._bins)
        flat = self._bins.reshape(-1)
        used = np.flatnonzero(flat)  # faster than a look at each pair
        for place, value in zip(used.tolist(), flat[used].tolist(), strict=True):
            bin_, is_lower = divmod(place, 2)
            self.totals[index] += value << (bin_ if is_lower else bin_ + _LOWER_BITS)
        flat[used] = 0


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
    most = math.isqrt((a * b) << 2 * _GUARD_BITS)
    return quotient(max(-most, min(product << _GUARD_BITS, most)), most)
