"""Into which columns the error of a column goes: the Cholesky factor of a layer's second moments."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: By how much damping grows where a matrix has no factor, and how often.
_GROWTH: Final = 10.0
_TRIES: Final = 3


class Factor(NamedTuple):
    """A Cholesky factor of damped moments.

    Attributes
    ----------
    lower : ndarray of float64, shape (n, n)
        L of L·Lᵀ; above its diagonal 0.
    places : ndarray of int64, shape (n,)
        Which column of the weight each of its columns is: columns are rounded from the last to the first.
    damping : float
        What part of each element of the diagonal was added to it.
    """

    lower: Floats
    places: NDArray[np.int64]
    damping: float


def factor_of(moments: Floats, falling: bool, damping: float) -> Factor | None:
    """Compute the factor; None if there is none.

    Parameters
    ----------
    moments : ndarray of float64, shape (n, n)
        Symmetric.
    falling : bool
        Whether columns are rounded by falling moments, those of equal ones as they are; or all as they are.
    damping : float
        What part of each element of the diagonal is added to it at first, and ten times that, and a hundred
        times, where there is no factor.
    """
    diagonal = np.diagonal(moments)
    if not diagonal.any():
        return None
    order = np.argsort(-diagonal, kind="stable") if falling else np.arange(len(diagonal))
    places = order[::-1].copy()
    for _ in range(_TRIES):
        damped = moments[np.ix_(places, places)] if falling else moments[::-1, ::-1].copy()
        # by itself: one large input would drown all others in a part of the mean. 1 for inputs that were 0
        own = diagonal[places]
        damped[np.diag_indices(len(places))] = np.where(own > 0, own * (1 + damping), 1.0)
        lower = _cholesky(damped)
        # of what is singular but for rounding, the last elements of the diagonal are noise
        if lower is not None and np.diagonal(lower).min() > 0 and np.isfinite(lower[-1]).all():
            return Factor(lower, places, damping)
        damping = max(damping * _GROWTH, np.finfo(np.float64).eps * len(places))
    return None


def _cholesky(matrix: Floats) -> Floats | None:
    """Factor a symmetric matrix, which is overwritten: by SciPy, in place, where it is there."""
    try:
        from scipy.linalg import lapack
    except ImportError:
        try:
            return np.asarray(np.linalg.cholesky(matrix), np.float64)
        except np.linalg.LinAlgError:
            return None
    made: tuple[Any, int] = lapack.dpotrf(matrix.T, lower=0, overwrite_a=1, clean=1)
    return None if made[1] else np.ascontiguousarray(made[0].T)
