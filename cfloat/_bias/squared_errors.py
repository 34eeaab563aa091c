"""The sums of squared errors of rounding a tensor at every bias of a format, and the bias of the least."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.elementwise import as_float32
from cfloat._core import binding
from cfloat._core.dtypes import fits_float32
from cfloat._core.format import Format

from .peak import largest_magnitude, scale_exponent

Floats = NDArray[np.float64]


# of fewer 16-bit values, the search takes less time than counting those of each pattern
_MANY_ELEMENTS: Final = 1 << 16


class PatternCounts:
    """How often each pattern of 16 bits occurs in a tensor, to which its parts are added.

    It says all that the search for one bias needs, of float16 and bfloat16.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype.newbyteorder("=")
        self._counts = np.zeros(1 << 16, np.uint64)

    @staticmethod
    def takes(dtype: np.dtype[Any]) -> bool:
        """Whether a dtype that can be encoded is float16 or bfloat16."""
        return dtype.itemsize == 2 and fits_float32(dtype)

    def add(self, values: NDArray[Any]) -> None:
        """Add values of the dtype, in either byte order."""
        native = values if values.dtype.isnative else values.astype(self._dtype)
        binding.count_16_bits(np.ascontiguousarray(native), self._counts)

    def bias(self, fmt: Format) -> int:
        """Find the bias that `best_bias` does of all values that were added."""
        return binding.least_error_of_counts(
            fmt._struct, fmt.default_bias, self._dtype, self._counts
        )


def as_searched(values: NDArray[Any]) -> NDArray[Any]:
    """Give values as float32 if these hold them, else as float64, as the core's searches take them.

    They are contiguous, of native byte order and aligned.
    """
    if fits_float32(values.dtype):
        return np.require(as_float32(values), np.float32, ("C", "A"))
    return np.require(values, np.float64, ("C", "A"))


def best_bias(x: NDArray[Any], fmt: Format) -> int:
    """Find the bias with the least squared error of all that a format allows.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that `encode` takes.  Infinities and NaN are left out.
    fmt : Format
        The format.

    Returns
    -------
    int
        Of several equally good ones, the one nearest the format's default bias.
    """
    if not x.size:
        return fmt.default_bias
    if x.size >= _MANY_ELEMENTS and PatternCounts.takes(x.dtype):
        counts = PatternCounts(x.dtype)
        counts.add(x)
        return counts.bias(fmt)
    values = as_searched(x).reshape(1, -1)
    biases, _ = binding.least_errors(fmt._struct, fmt.default_bias, values, values.size)
    return int(biases[0, 0])


def squared_errors(x: NDArray[Any], fmt: Format) -> Floats:
    """Sum up the squared errors of rounding a tensor, at every bias of a format, by trying each.

    `Histogram.errors` has the same, of all formats of at most 10 mantissa bits, from one pass.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that `encode` takes.  Infinities and NaN are left out.
    fmt : Format
        The format.

    Returns
    -------
    ndarray of float64, shape (number of biases,)
        Element i is of bias ``fmt.bias_range[0] + i``; infinite where an element becomes infinite or NaN.
        All share one factor, a power of two that keeps the squares of float64 values in range.
    """
    low, high = fmt.bias_range
    values = as_searched(x).reshape(-1)
    # the squares of float32 are in float64's range
    scale = 0 if values.dtype == np.float32 else scale_exponent(largest_magnitude(values))
    return binding.errors_at_biases(fmt._struct, high - low + 1, values, scale)


def least_error(errors: Floats, fmt: Format) -> int:
    """Find the bias of the least of the errors at every bias that a format allows."""
    low, _ = fmt.bias_range
    best = np.flatnonzero(errors == errors.min()) + low
    return int(best[np.argmin(np.abs(best - fmt.default_bias))])
