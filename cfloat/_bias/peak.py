"""The largest magnitude of a tensor, and the bias that follows from it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.elementwise import as_float32
from cfloat._core import binding
from cfloat._core.dtypes import fits_float32
from cfloat._core.format import Format
from cfloat._core.pieces import PIECE_SIZE, pieces

from .bias_methods import PeakRule

# bits that float64 has, and integers of 64 bits may have more
_FLOAT64_BITS = 53


def largest_magnitude(array: NDArray[Any]) -> float:
    """Find the largest finite magnitude of an array of real numbers of one axis; 0 if there is none.

    An integer that is no float64 is rounded to odd, so that it is on the same side of every value of a
    format, and of every power of two.
    """
    if array.dtype.kind in "fV" and array.dtype.isnative and array.flags.c_contiguous:
        found = np.zeros(1)
        binding.add_to_peaks(array.reshape(1, 1, -1), found)
        return float(found[0])
    if array.size <= PIECE_SIZE:
        return _largest_of_piece(array)
    return max(_largest_of_piece(array[piece]) for piece in pieces(array.shape))


def _largest_of_piece(values: NDArray[Any]) -> float:
    if values.dtype.kind in "iu":
        if not values.size:
            return 0.0
        return _to_odd(max(int(values.max()), -int(values.min())))
    magnitudes = magnitudes_of(values)
    found = float(magnitudes.max(initial=0.0))
    if not math.isfinite(found):
        found = float(magnitudes.max(initial=0.0, where=np.isfinite(magnitudes)))
    return found


def _to_odd(magnitude: int) -> float:
    """Give an integer, rounded to odd where float64 does not hold it."""
    excess = magnitude.bit_length() - _FLOAT64_BITS
    if excess <= 0:
        return float(magnitude)
    top = magnitude >> excess
    return math.ldexp(top | (top << excess != magnitude), excess)


def magnitudes_of(values: NDArray[Any]) -> NDArray[Any]:
    """Give the magnitudes of an array as float32 if these hold them, else as float64.

    Integers that are no float64 are rounded to odd, as by `largest_magnitude`.
    """
    if fits_float32(values.dtype):
        return np.asarray(np.abs(as_float32(values)))
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return np.asarray(np.abs(values.astype(np.float64)))
    # of the least int64 the bits are those of its magnitude as well
    whole = np.abs(values).astype(values.dtype.newbyteorder("=")).view(np.uint64)
    beyond = whole >> _FLOAT64_BITS > 0
    if beyond.any():
        lost = whole & 2047
        whole = np.where(beyond, (whole - lost) | ((lost > 0).astype(np.uint64) << 11), whole)
    return np.asarray(whole.astype(np.float64))


def scale_exponent(peak: float) -> int:
    """Tell the exponent e such that magnitudes up to a peak, times 2**-e, are below 1."""
    return math.frexp(peak)[1]


def unbounded_bias(fraction: Any, exponent: Any, fmt: Format, rule: PeakRule = "max") -> Any:
    """Tell the bias, allowed or not, that follows from a magnitude of ``fraction * 2**exponent``.

    Numbers, arrays and tensors are taken alike.

    Parameters
    ----------
    fraction, exponent
        As `math.frexp` gives them: a float from 0.5 to 1, and an integer.
    fmt : Format
        The format.
    rule : {"max", "mx"}, optional
        "max": the largest bias at which the magnitude is within the range.  "mx": OCP MX's, at which the
        magnitude is in the last binade; what is beyond the largest value there may saturate.

    Returns
    -------
    int, or an array of them
    """
    # OCP MX v1.0, 6.3: a shared exponent of floor(log2(peak)) less that of the largest value, which is its
    # exponent field less the bias
    bias = fmt._max_exponent_field + 1 - exponent
    if rule == "mx":
        return bias
    # at bias 0 the largest value is half its significand times 2**(its exponent field + 1)
    exceeds = fraction > fmt._max_significand / 2
    return bias - (1 * exceeds)


def bias_of_peak(peak: float, fmt: Format, rule: PeakRule = "max", margin: int = 0) -> int:
    """Tell the bias that a format allows and that follows from a magnitude by a rule.

    The default bias for 0, and the nearest that is allowed where the format does not allow it.  The margin is
    how many binades are kept free above the magnitude.
    """
    if peak == 0:
        return fmt.default_bias
    low, high = fmt.bias_range
    bias: int = unbounded_bias(*math.frexp(peak), fmt, rule) - margin
    return max(low, min(bias, high))


def biases_of_peaks(
    peaks: NDArray[np.float64], fmt: Format, rule: PeakRule = "max"
) -> NDArray[np.int16]:
    """Tell what `bias_of_peak` tells of each of an array of float64, in an array of its shape."""
    low, high = fmt.bias_range
    biases = np.clip(unbounded_bias(*np.frexp(peaks), fmt, rule), low, high)
    return np.where(peaks == 0, fmt.default_bias, biases).astype(np.int16)
