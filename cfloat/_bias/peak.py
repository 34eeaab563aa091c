"""The largest magnitude of a tensor, and the largest bias at which it is within a format's range."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._core.format import Format
from cfloat._core.pieces import PIECE_SIZE, pieces


def largest_magnitude(array: NDArray[Any]) -> float:
    """Find the largest finite magnitude of an array of real numbers of one axis; 0 if there is none."""
    if array.size <= PIECE_SIZE:
        return _largest_of_piece(array)
    return max(_largest_of_piece(array[piece]) for piece in pieces(array.shape))


def _largest_of_piece(values: NDArray[Any]) -> float:
    magnitudes = np.abs(values if values.dtype == np.float32 else values.astype(np.float64))
    found = float(magnitudes.max(initial=0.0))
    if not math.isfinite(found):
        found = float(magnitudes.max(initial=0.0, where=np.isfinite(magnitudes)))
    return found


def scale_exponent(peak: float) -> int:
    """Tell the exponent e such that magnitudes up to a peak, times 2**-e, are below 1."""
    return math.frexp(peak)[1]


def unbounded_bias(fraction: Any, exponent: Any, fmt: Format) -> Any:
    """Tell the largest bias, allowed or not, at which ``fraction * 2**exponent`` is within the range.

    Numbers, arrays and tensors are taken alike.

    Parameters
    ----------
    fraction, exponent
        As `math.frexp` gives them: a float from 0.5 to 1, and an integer.
    fmt : Format
        The format.

    Returns
    -------
    int, or an array of them
    """
    # at bias 0 the largest value is half its significand times 2**(its exponent field + 1)
    exceeds = fraction > fmt._max_significand / 2
    return fmt._max_exponent_field + 1 - exponent - (1 * exceeds)


def bias_of_peak(peak: float, fmt: Format) -> int:
    """Tell the largest bias that a format allows at which a magnitude is within its range.

    The default bias for 0, and the smallest bias where the magnitude is beyond the range at all.
    """
    if peak == 0:
        return fmt.default_bias
    low, high = fmt.bias_range
    bias: int = unbounded_bias(*math.frexp(peak), fmt)
    return max(low, min(bias, high))


def biases_of_peaks(peaks: NDArray[np.float64], fmt: Format) -> NDArray[np.int16]:
    """Tell what `bias_of_peak` tells of each of an array of float64, in an array of its shape."""
    low, high = fmt.bias_range
    biases = np.clip(unbounded_bias(*np.frexp(peaks), fmt), low, high)
    return np.where(peaks == 0, fmt.default_bias, biases).astype(np.int16)
