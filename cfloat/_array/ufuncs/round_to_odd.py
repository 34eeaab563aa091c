"""float64 arithmetic rounded to odd, after which rounding to fewer bits is the one rounding there is.

A sum, product, quotient or root in float64 is off by up to half a unit; rounded again, to a format, it may
come out on the wrong side of a tie.  Rounded to odd (an inexact result takes the neighbour whose last bit is
set) it is never a tie, nor any other value of few bits, unless it is so exactly (Boldo and Melquiond, 2008).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Veltkamp's constant: splits 53 bits into two halves whose products are exact
_SPLITTER = 2.0**27 + 1


def add(a: Floats, b: Floats) -> Floats:
    """Add, rounded to odd."""
    total = a + b
    with np.errstate(all="ignore"):
        from_b = total - a
        rest = (a - (total - from_b)) + (b - from_b)
    return _to_odd(total, rest)


def subtract(a: Floats, b: Floats) -> Floats:
    """Subtract, rounded to odd."""
    return add(a, np.negative(b))


def multiply(a: Floats, b: Floats) -> Floats:
    """Multiply, rounded to odd."""
    a, a_exponent = np.frexp(a)
    b, b_exponent = np.frexp(b)
    product = a * b
    with np.errstate(all="ignore"):
        return _scaled(_to_odd(product, _product_error(a, b, product)), a_exponent + b_exponent)


def square(a: Floats) -> Floats:
    """Square, rounded to odd."""
    return multiply(a, a)


def divide(a: Floats, b: Floats) -> Floats:
    """Divide, rounded to odd."""
    a, a_exponent = np.frexp(a)
    b, b_exponent = np.frexp(b)
    quotient = a / b
    with np.errstate(all="ignore"):
        product = quotient * b
        rest = (a - product) - _product_error(quotient, b, product)
        rounded = _to_odd(quotient, np.where(np.signbit(b), -rest, rest))
        return _scaled(rounded, a_exponent - b_exponent)


def reciprocal(a: Floats) -> Floats:
    """Invert, rounded to odd."""
    return divide(np.ones_like(a), a)


def sqrt(a: Floats) -> Floats:
    """Take the square root, rounded to odd."""
    a, exponent = np.frexp(a)
    is_odd = exponent & 1
    a = np.ldexp(a, is_odd)
    root = np.sqrt(a)
    with np.errstate(all="ignore"):
        product = root * root
        rounded = _to_odd(root, (a - product) - _product_error(root, root, product))
        return _scaled(rounded, (exponent - is_odd) // 2)


def _scaled(mantissa: Floats, exponent: NDArray[np.intc]) -> Floats:
    """Scale by 2**exponent; what float64 has not is its largest or its smallest number."""
    result: Floats = np.asarray(np.ldexp(mantissa, exponent))
    too_small = (result == 0) & (mantissa != 0)
    too_large = np.isinf(result) & np.isfinite(mantissa)
    if too_small.any() or too_large.any():
        limits = np.finfo(np.float64)
        result = np.where(too_small, np.copysign(limits.smallest_subnormal, mantissa), result)
        result = np.where(too_large, np.copysign(limits.max, mantissa), result)
    return result


def _split(a: Floats) -> tuple[Floats, Floats]:
    scaled = a * _SPLITTER
    high = scaled - (scaled - a)
    return high, a - high


def _product_error(a: Floats, b: Floats, product: Floats) -> Floats:
    """Compute a * b - product, exactly (Dekker)."""
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    partial = (a_high * b_high - product) + a_high * b_low + a_low * b_high
    return partial + a_low * b_low


def _to_odd(nearest: Any, rest: Any) -> Floats:
    """Round nearest + rest to odd, given a sum rounded to nearest and what is left of it.

    That is rounded toward zero, with the last bit set if anything is left; a rest that is NaN is none.
    """
    result = np.array(nearest, np.float64)
    bits = result.view(np.int64)
    below, above = rest < 0, rest > 0
    bits -= np.where(np.signbit(result), above, below)
    bits |= below | above
    return result
