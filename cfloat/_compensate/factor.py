"""Into which columns the error of a column goes: the Cholesky factor of a layer's second moments."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .shares import Each, pieces

Floats = NDArray[np.float64]

#: By how much damping grows where a matrix has no factor, and how often.
_GROWTH: Final = 10.0
_TRIES: Final = 3

# columns that are factored at a time; and of those, columns that NumPy solves for, in its slower way
_PANEL: Final = 512
_SOLVED: Final = 64


class Factor(NamedTuple):
    """A Cholesky factor of damped moments.

    Attributes
    ----------
    lower : ndarray of float64, shape (n, n)
        L of L·Lᵀ; above its diagonal 0.
    places : ndarray of int64, shape (n,)
        Which column of the weight each of its columns is: columns are rounded from the last to the first.
    added : ndarray of float64, shape (n,)
        What was added to each element of the diagonal, in the factor's order.
    damping : float
        What part of each element of the diagonal was added to it.
    """

    lower: Floats
    places: NDArray[np.int64]
    added: Floats
    damping: float


def factor_of(moments: Floats, falling: bool, damping: float, each: Each) -> Factor | None:
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
    each : Each
        What shares the work.
    """
    diagonal = np.diagonal(moments)
    if not diagonal.any():
        return None
    order = np.argsort(-diagonal, kind="stable") if falling else np.arange(len(diagonal))
    places = order[::-1].copy()
    own = diagonal[places]
    for _ in range(_TRIES):
        lower = moments[np.ix_(places, places)] if falling else moments[::-1, ::-1].copy()
        # by itself: one large input would drown all others in a part of the mean. 1 for inputs that were 0
        damped = np.where(own > 0, own * (1 + damping), 1.0)
        lower[np.diag_indices(len(places))] = damped
        # of what is singular but for rounding, the last elements of the diagonal are noise
        if (
            _is_factored(lower, each)
            and np.diagonal(lower).min() > 0
            and np.isfinite(lower[-1]).all()
        ):
            return Factor(lower, places, damped - own, damping)
        del lower  # before another is made: they are large
        damping = max(damping * _GROWTH, np.finfo(np.float64).eps * len(places))
    return None


def _is_factored(matrix: Floats, each: Each) -> bool:
    """Factor a symmetric matrix in place, which leaves it no second copy; or tell that it has no factor."""
    length = len(matrix)
    for start in range(0, length, _PANEL):
        stop = min(start + _PANEL, length)
        before, corner = matrix[start:stop, :start], matrix[start:stop, start:stop]
        try:
            lower = np.asarray(np.linalg.cholesky(corner - before @ before.T), np.float64)
            each(_Panel(matrix, start, stop, lower).solve, pieces(stop, length))
        except np.linalg.LinAlgError:
            return False
        corner[...] = lower
        matrix[start:stop, stop:] = 0
    return True


class _Panel(NamedTuple):
    """Columns of a matrix whose factor on the diagonal is there, and which is to be factored below it."""

    matrix: Floats
    start: int
    stop: int
    lower: Floats

    def solve(self, rows: slice) -> None:
        """Factor some rows."""
        columns = slice(self.start, self.stop)
        left = self.matrix[rows, columns]
        left -= self.matrix[rows, : self.start] @ self.matrix[columns, : self.start].T
        for start in range(0, left.shape[1], _SOLVED):
            some = left[:, start : start + _SOLVED]
            factor = self.lower[start : start + _SOLVED]
            some -= left[:, :start] @ factor[:, :start].T
            corner = factor[:, start : start + _SOLVED]
            # pivots among rows of one norm lose no digits to the scale of another row
            norms = np.sqrt(np.einsum("ij,ij->i", corner, corner))
            some[...] = np.linalg.solve(corner / norms[:, None], (some / norms).T).T
