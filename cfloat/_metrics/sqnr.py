"""Signal to quantisation noise ratio, from what it is the ratio of."""

import math


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
    if isinstance(signal, int) and isinstance(noise, int):
        # beyond float's range, perhaps, where their logarithms are not
        return 10.0 * (math.log10(signal) - math.log10(noise))
    return 10.0 * math.log10(signal / noise)
