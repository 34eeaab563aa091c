"""How uncertain an error is that a sample of a tensor was measured for."""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

# 95 % of a normal distribution lie within so many standard deviations
_NORMAL: Final = 1.96

_DB_PER_SHARE: Final = 10 / math.log(10)


def uncertainty_db(noises: ArrayLike, signals: ArrayLike, share: float) -> float:
    """Tell how far a ratio of sums over chunks may be from that of the whole, with 95 % confidence.

    Parameters
    ----------
    noises, signals : array_like, shape (chunks,)
        Sums of squared errors, and of squares, of each chunk.
    share : float
        How much of the whole these are, from 0 to 1.

    Returns
    -------
    float
        In dB, to either side; 0 of a whole, or where nothing is lost, and infinite of a single chunk.

    Notes
    -----
    It is the usual linearisation of a ratio of means, of chunks drawn without replacement; that they are
    drawn from strata makes it no larger.  The variance is itself estimated: the quantile is Student's, for
    as many degrees of freedom as the residuals' kurtosis leaves.  What no chunk has, an outlier, is in no
    figure.

    Examples
    --------
    >>> round(uncertainty_db([1.0, 2.0, 3.0], [100.0, 100.0, 100.0], 0.25), 2)
    4.18
    """
    noise, signal = np.asarray(noises, np.float64), np.asarray(signals, np.float64)
    total, whole = float(noise.sum()), float(signal.sum())
    if share >= 1 or not 0 < total < math.inf or not 0 < whole < math.inf:
        return 0.0
    count = noise.size
    if count < 2:
        return math.inf
    residuals = noise / total - signal / whole
    squares = np.square(residuals)
    spread = float(squares.sum())
    if spread == 0:
        return 0.0
    variance = (1 - share) * count / (count - 1) * spread
    kurtosis = count * float(np.square(squares).sum()) / spread**2
    freedom = max(2.0, min(count - 1, 2 * count / max(kurtosis - 1, 1e-9)))
    return _quantile(freedom) * _DB_PER_SHARE * math.sqrt(variance)


def _quantile(freedom: float) -> float:
    """Give Student's 97.5 % quantile: the first terms of its expansion by degrees of freedom."""
    z = _NORMAL
    first = (z**3 + z) / (4 * freedom)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return z + first + second


def combined_db(errors: Iterable[tuple[float, float]]) -> float:
    """Tell how uncertain a sum of errors is, each of which is given with its uncertainty in dB.

    Examples
    --------
    >>> combined_db([(0.25, 0.4), (0.25, 0.3)]), combined_db([(1.0, 0.0)])
    (0.25, 0.0)
    """
    given = [each for each in errors if each[0] > 0]
    total = math.fsum(error for error, _ in given)
    if not 0 < total < math.inf:
        return 0.0
    return math.sqrt(math.fsum((error * db) ** 2 for error, db in given)) / total
