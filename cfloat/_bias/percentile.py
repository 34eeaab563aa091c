"""The bias at which a share of a tensor's elements is within a format's range."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._core.finfo import finfo
from cfloat._core.format import Format
from cfloat._core.pieces import pieces

from .histogram import Histogram
from .peak import bias_of_peak

Array = NDArray[Any]


def bias_of_share(flat: Array, fmt: Format, share: float) -> int:
    """Tell the largest bias at which a share of the finite elements of a flat array is within the range."""
    histogram = Histogram.of(flat, fmt)
    least, most = percentile_range(histogram, fmt, share)
    needed = rank(share, histogram.finite) + 1
    # nearly always it is known already
    within = (count_within(flat, fmt, bias) >= needed for bias in range(most, least, -1))
    return next((most - i for i, enough in enumerate(within) if enough), least)


def percentile_range(histogram: Histogram, fmt: Format, share: float) -> tuple[int, int]:
    """Tell the least and the largest that the bias of a share of the elements can be."""
    magnitude = histogram.magnitude_at(share)
    # it is known to the bits of a bin, in which one bias may end and the next begin
    least, most = (bias_of_peak(magnitude * near, fmt) for near in (1 + 2**-6, 1 - 2**-6))
    return least, most


def count_within(x: Array, fmt: Format, bias: int) -> int:
    """Count the elements of a flat array that are no larger than a format's largest value at a bias."""
    top = finfo(fmt, bias).max
    return sum(
        int(np.count_nonzero(np.abs(x[piece].astype(np.float64)) <= top))
        for piece in pieces(x.shape)
    )


def rank(share: float, count: int) -> int:
    """Tell the place, in order, of the least of so many that a share does not exceed."""
    return min(max(math.ceil(share * count) - 1, 0), count - 1)
