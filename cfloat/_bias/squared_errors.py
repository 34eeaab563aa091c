"""The sums of squared errors of rounding a tensor at every bias of a format, and the bias of the least."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.elementwise import round_checked
from cfloat._core.dtypes import fits_float32
from cfloat._core.flags import no_flags
from cfloat._core.format import Format

from .histogram import Histogram
from .peak import largest_magnitude, scale_exponent

Floats = NDArray[np.float64]

# Elements tried at a time: with 64 biases, as many values as fit in a core's cache.
_PIECE_SIZE: Final = 1 << 12


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
    errors = Histogram.of(x, fmt).errors(fmt) if Histogram.takes(fmt) else squared_errors(x, fmt)
    return least_error(errors, fmt)


def squared_errors(
    x: NDArray[Any], fmt: Format, progress: Callable[[int], None] | None = None
) -> NDArray[np.float64]:
    """Sum up the squared errors of rounding a tensor, at every bias of a format, by trying each.

    `Histogram.errors` has the same, of all formats of at most 10 mantissa bits, from one pass.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that `encode` takes.  Infinities and NaN are left out.
    fmt : Format
        The format.
    progress : callable, optional
        Called with the number of elements times biases that are finished since the last call.

    Returns
    -------
    ndarray of float64, shape (number of biases,)
        Element i is of bias ``fmt.bias_range[0] + i``.  All share one factor, a power of two that keeps the
        squares of float64 values in range.
    """
    low, high = fmt.bias_range
    biases = np.arange(low, high + 1, dtype=np.int16)[:, np.newaxis]
    errors = np.zeros(biases.size)
    flat = x.reshape(-1)
    # the squares of float32 are in float64's range
    is_float32 = fits_float32(flat.dtype)
    dtype = np.float32 if is_float32 else np.float64
    scale = 0 if is_float32 else scale_exponent(largest_magnitude(flat))
    rounded = np.empty((biases.size, min(_PIECE_SIZE, flat.size)), dtype)
    with no_flags(), np.errstate(all="ignore"):
        for start in range(0, flat.size, _PIECE_SIZE):
            piece = flat[start : start + _PIECE_SIZE].astype(dtype)
            piece = piece[np.isfinite(piece)]
            difference = rounded[:, : piece.size]
            round_checked(piece, fmt, biases, difference.shape, out=difference)
            difference -= piece
            if scale:
                np.ldexp(difference, -scale, out=difference)
            errors += np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
            if progress is not None:
                progress(difference.size)
    # where a format has no infinity, what is too large has become NaN
    errors[np.isnan(errors)] = np.inf
    return errors


def least_error(errors: Floats, fmt: Format) -> int:
    """Find the bias of the least of the errors at every bias that a format allows."""
    low, _ = fmt.bias_range
    best = np.flatnonzero(errors == errors.min()) + low
    return int(best[np.argmin(np.abs(best - fmt.default_bias))])
