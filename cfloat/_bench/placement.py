"""Where timed arrays lie in memory: at fixed places, so that runs and versions can be compared.

What malloc gives differs from run to run, and with it the time of a conversion in cache: a source and a
destination whose addresses agree in their last 12 bits hinder each other, and one that is not at the start
of a cache line is slower as well.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

# The size of a large page of memory in bytes, on x86 and arm64; a multiple of every page's.
_LARGE_PAGE: Final = 1 << 21
# Destinations lie so many bytes behind the start of a page: half of the least page.
_DESTINATION: Final = 1 << 11


def place_source(values: NDArray[Any]) -> NDArray[Any]:
    """Copy an array, in C order, to the start of a large page."""
    copy = _empty(values.shape, values.dtype, 0)
    copy[...] = values
    return copy


def place_destination(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Make an array of zeros that lies half a page behind the start of a large page."""
    destination = _empty(shape, dtype, _DESTINATION)
    destination[...] = 0
    return destination


def _empty(shape: tuple[int, ...], dtype: DTypeLike, offset: int) -> NDArray[Any]:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + _LARGE_PAGE + offset, np.uint8)
    start = -memory.ctypes.data % _LARGE_PAGE + offset
    return memory[start : start + size].view(dtype).reshape(shape)
