"""The sums of squared errors of rounding a tensor at every bias of a format, and the bias of the least."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._core import binding
from cfloat._core.format import Format

from .peak import largest_magnitude, scale_exponent
from .search_slices import as_searched

Floats = NDArray[np.float64]


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
