"""Magnitudes of arrays of any size, found piece by piece."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Elements worked on at a time, so that temporaries stay small whatever the tensor's size.
PIECE = 1 << 17


def pieces(size: int) -> Iterator[slice]:
    """Cut a length into slices of at most PIECE elements."""
    return (slice(start, start + PIECE) for start in range(0, size, PIECE))


def largest(array: NDArray[Any]) -> float:
    """Return the largest finite magnitude of a flat array, 0 if there is none."""
    peak = 0.0
    narrow = array.dtype == np.float32
    for piece in pieces(array.size):
        magnitudes = np.abs(array[piece] if narrow else array[piece].astype(np.float64))
        found = float(magnitudes.max(initial=0.0))
        if not math.isfinite(found):
            found = float(magnitudes.max(initial=0.0, where=np.isfinite(magnitudes)))
        peak = max(peak, found)
    return peak


def scale_exponent(array: NDArray[Any]) -> int:
    """Return the exponent e such that finite values of a flat array times 2**-e are below 1."""
    return math.frexp(largest(array))[1]
