"""Choosing exponent biases."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .codec import round_to
from .flags import quiet
from .formats import Format
from .metrics import scale_exponent

# Elements tried at a time: with 64 biases, as many values as fit in a core's cache.
_PIECE = 1 << 12


def squared_errors(
    x: NDArray[Any], fmt: Format, progress: Callable[[int], None] | None = None
) -> NDArray[np.float64]:
    """Return the sum of squared errors of rounding a tensor at every bias that a format allows.

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
    biases = np.arange(low, high + 1)[:, np.newaxis]
    errors = np.zeros(biases.size)
    flat = x.reshape(-1)
    # float32 has the others' values, and its squares are in float64's range
    narrow = (flat.dtype.kind == "f" and flat.itemsize <= 4) or flat.dtype.kind == "V"
    dtype = np.float32 if narrow else np.float64
    scale = 0 if narrow else scale_exponent(flat)
    rounded = np.empty((biases.size, min(_PIECE, flat.size)), dtype)
    with quiet(), np.errstate(all="ignore"):
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE].astype(dtype)
            piece = piece[np.isfinite(piece)]
            difference = rounded[:, : piece.size]
            round_to(piece, fmt, biases, out=difference)
            difference -= piece
            if scale:
                np.ldexp(difference, -scale, out=difference)
            errors += np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
            if progress is not None:
                progress(difference.size)
    # where a format has no infinity, what is too large has become NaN
    errors[np.isnan(errors)] = np.inf
    return errors


def best_bias(x: NDArray[Any], fmt: Format, progress: Callable[[int], None] | None = None) -> int:
    """Return the bias with the least squared error, found by trying them all.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that `encode` takes.  Infinities and NaN are left out.
    fmt : Format
        The format.
    progress : callable, optional
        As in `squared_errors`.

    Returns
    -------
    int
        Of several equally good ones, the one nearest the format's default bias.
    """
    low, _ = fmt.bias_range
    errors = squared_errors(x, fmt, progress)
    best = np.flatnonzero(errors == errors.min()) + low
    return int(best[np.argmin(np.abs(best - fmt.default_bias))])
