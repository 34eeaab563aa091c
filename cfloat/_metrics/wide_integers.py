"""Integers of 64 bits as float64 and what that has lost of them, and differences that lose nothing of it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: What float64 has lost of each element; None where that is nothing.
Low = Floats | None

# Up to here float64 has all integers.
_EXACT = 2**53

# Without so many of its lower bits, any integer of 64 bits is a float64.
_LOWER = (1 << 11) - 1


def float64_parts(x: NDArray[Any]) -> tuple[Floats, Low]:
    """Give the float64 next to each element, in a new array, and the rest, whose sum is the element.

    Examples
    --------
    >>> float64_parts(np.array([2**60 + 1, 3]))
    (array([1.1529215e+18, 3.0000000e+00]), array([1., 0.]))
    """
    if x.dtype.kind not in "iu" or x.itemsize < 8:
        return x.astype(np.float64), None
    if x.size == 0 or (x.min() >= -_EXACT and x.max() <= _EXACT):
        return x.astype(np.float64), None
    lower = x & np.asarray(_LOWER, x.dtype)
    nearest, rest = two_sum((x - lower).astype(np.float64), lower.astype(np.float64))
    return nearest, rest if rest.any() else None


def two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Add, and give what the sum has lost (Knuth); NaN of what is not finite."""
    total = a + b
    from_b = total - a
    return total, (a - (total - from_b)) + (b - from_b)


def difference(q: Floats, q_low: Low, x: Floats, x_low: Low) -> Floats:
    """Subtract x, which is finite, from q, each with its rest: one rounding to nearest.

    Of a sum of three, that is what is left of two sums added to odd, and to the greater sum (Boldo and
    Melquiond, 2008).
    """
    result: Floats = q - x
    if q_low is None and x_low is None:
        return result
    # two rests are integers of few bits, and so is their difference
    low = (0.0 if q_low is None else q_low) - (0.0 if x_low is None else x_low)
    upper, rest = two_sum(-x, np.broadcast_to(low, x.shape))
    total, left = two_sum(q, upper)
    return np.where(np.isfinite(total), total + _sum_to_odd(left, rest), result)


def _sum_to_odd(a: Floats, b: Floats) -> Floats:
    """Add, and of the two neighbours of a sum that is none of float64 take that whose last bit is set."""
    nearest, rest = two_sum(a, b)
    wrong = np.flatnonzero((rest != 0) & ((nearest.view(np.int64) & 1) == 0))
    if wrong.size:
        nearest[wrong] = np.nextafter(nearest[wrong], np.copysign(np.inf, rest[wrong]))
    return nearest
