"""What the errors of many tensors come to: by elements, by energy, and by tensor.

The error of a tensor is the sum of the squares of its errors over that of its elements: 0 where nothing is
lost.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._metrics.sqnr import sqnr_db

from .uncertainty import combined_db

Floats = NDArray[np.float64]

#: How many dB a tensor may lose against another way to store it before that counts.
LOSS_DB: Final = 3.0


@dataclass(frozen=True, eq=False)
class Tensors:
    """Tensors that errors are of: what is the same however they are stored.

    Attributes
    ----------
    names : list of str
        Their names.
    sizes : ndarray of int64
        Their elements.
    signals : ndarray of float64
        The sums of their squares.
    are_varied : ndarray of bool
        Whether they have elements of several values: of one that has not, an error says nothing of a format.
    """

    names: list[str]
    sizes: NDArray[np.int64]
    signals: Floats
    are_varied: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, float, bool]]) -> "Tensors":
        """Give those whose attributes are listed."""
        names, sizes, signals, varied = (
            zip(*rows, strict=True) if (rows := list(rows)) else [()] * 4
        )
        return cls(
            list(names),
            np.array(sizes, np.int64),
            np.array(signals, np.float64),
            np.array(varied, bool),
        )


@dataclass(frozen=True)
class Aggregate:
    """What the errors of tensors come to.

    Attributes
    ----------
    weighted_db : float
        By elements: `weighted_db`.
    energy_db : float
        By energy: the ratio of the sum of all squares to that of all errors.
    median_db, worst_db : float
        The median and the least of the tensors whose elements have several values; of all, if none has.
    worst : str
        The tensor that has the least; empty if nothing is lost.
    uncertainty_db : float
        How far `weighted_db` may be off.
    """

    weighted_db: float
    energy_db: float
    median_db: float
    worst_db: float
    worst: str
    uncertainty_db: float

    @classmethod
    def of(
        cls, tensors: Tensors, errors: Sequence[float], uncertainties: Sequence[float] = ()
    ) -> "Aggregate":
        """Sum the errors of tensors up; those that are all zero count in none, and are left out before.

        `uncertainties` are how far ratios in dB may be off, where some elements were looked at.
        """
        given = np.asarray(errors, np.float64)
        # where there are no others, those of one value are all that there is to say
        varied = (
            np.flatnonzero(tensors.are_varied)
            if tensors.are_varied.any()
            else np.arange(given.size)
        )
        # whose ratios are in the opposite order; of two in the middle both count
        ordered = np.sort(given[varied])
        middle = ordered[(ordered.size - 1) // 2 : ordered.size // 2 + 1].tolist()
        worst = int(varied[np.argmax(given[varied])]) if varied.size else None
        error = 0.0 if worst is None else float(given[worst])
        uncertain = any(uncertainties)
        return cls(
            weighted_db=weighted_db(tensors.sizes, given),
            energy_db=energy_db(tensors.signals, given),
            median_db=median_db(sqnr_db(1.0, each) for each in middle),
            worst_db=sqnr_db(1.0, error),
            worst=tensors.names[worst] if worst is not None and error > 0 else "",
            uncertainty_db=combined_db(
                zip((tensors.sizes * given).tolist(), uncertainties, strict=True)
            )
            if uncertain
            else 0.0,
        )


def weighted_db(sizes: ArrayLike, errors: ArrayLike) -> float:
    """Give ``-10 * log10(sum(n * e) / sum(n))`` of tensors of n elements and the error e.

    Parameters
    ----------
    sizes, errors : array_like
        Elements and error of each tensor that is not all zero.

    Returns
    -------
    float
        In dB; infinite if nothing is lost.

    Examples
    --------
    >>> round(weighted_db([900, 100], [0.001, 0.1]), 2)
    19.63
    """
    elements = np.asarray(sizes, np.int64)
    counted = int(elements.sum()) or 1
    return sqnr_db(1.0, math.fsum((elements / counted * np.asarray(errors)).tolist()))


def energy_db(signals: Floats, errors: Floats) -> float:
    """Give the ratio of the sum of all squares to that of all errors; NaN if float64 does not hold these."""
    signal = math.fsum(signals.tolist())
    with np.errstate(all="ignore"):
        noise = math.fsum((signals * errors).tolist())
    if not math.isfinite(signal):
        return math.nan
    return sqnr_db(signal, noise)


def median_db(dbs: Iterable[float]) -> float:
    """Give the median of ratios in dB: of two in the middle their mean, or the one that is finite.

    Examples
    --------
    >>> median_db([30.0, math.inf]), median_db([20.0, 30.0, 40.0, 30.5])
    (30.0, 30.25)
    """
    ordered = sorted(dbs)
    if not ordered:
        return math.inf
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return (low + high) / 2 if math.isfinite(high - low) else low


def count_losses(dbs: ArrayLike, bests: ArrayLike) -> int:
    """Count the tensors that lose more than `LOSS_DB` against the best of several ways to store them."""
    own, best = np.asarray(dbs, np.float64), np.asarray(bests, np.float64)
    loses = own < best  # two that are exact do not differ
    return int(np.count_nonzero(best[loses] - own[loses] > LOSS_DB))
