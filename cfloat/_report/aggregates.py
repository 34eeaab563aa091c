"""What the errors of many tensors come to: by elements, by energy, and by tensor.

The error of a tensor is the sum of the squares of its errors over that of its elements: 0 where nothing is
lost.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cfloat._metrics.sqnr import sqnr_db

from .uncertainty import combined_db

#: How many dB a tensor may lose against another way to store it before that counts.
LOSS_DB: Final = 3.0


class TensorError(
    NamedTuple
):  # there are as many as tensors times configurations, and a tuple is quick
    """The error of a tensor.

    Attributes
    ----------
    name : str
        The tensor.
    size : int
        Its elements.
    signal : float
        The sum of their squares.
    error : float
        The sum of the squares of its errors over that.
    is_varied : bool
        Whether it has elements of several values: of one that has not, an error says nothing of a format.
    uncertainty_db : float
        How far the ratio in dB may be off, where some elements were looked at.
    """

    name: str
    size: int
    signal: float
    error: float
    is_varied: bool = True
    uncertainty_db: float = 0.0

    @property
    def db(self) -> float:
        """The ratio in dB; infinite if nothing is lost."""
        return sqnr_db(1.0, self.error)


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
    def of(cls, errors: Iterable[TensorError]) -> "Aggregate":
        """Sum the errors of tensors up; those that are all zero count in none, and are left out before."""
        given = list(errors)
        # where there are no others, those of one value are all that there is to say
        varied = [each for each in given if each.is_varied] or given
        # whose ratios are in the opposite order; of two in the middle both count
        ordered = sorted(each.error for each in varied)
        middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
        worst = max(varied, key=lambda each: each.error, default=None)
        return cls(
            weighted_db=weighted_db((each.size, each.error) for each in given),
            energy_db=energy_db(given),
            median_db=median_db(sqnr_db(1.0, error) for error in middle),
            worst_db=math.inf if worst is None else worst.db,
            worst=worst.name if worst is not None and worst.error > 0 else "",
            uncertainty_db=combined_db(
                (each.size * each.error, each.uncertainty_db) for each in given
            )
            if any(each.uncertainty_db for each in given)
            else 0.0,
        )


def weighted_db(errors: Iterable[tuple[int, float]]) -> float:
    """Give ``-10 * log10(sum(n * e) / sum(n))`` of tensors of n elements and the error e.

    Parameters
    ----------
    errors : iterable of (int, float)
        Elements and error of each tensor that is not all zero.

    Returns
    -------
    float
        In dB; infinite if nothing is lost.

    Examples
    --------
    >>> round(weighted_db([(900, 0.001), (100, 0.1)]), 2)
    19.63
    """
    given = list(errors)
    counted = sum(size for size, _ in given) or 1
    return sqnr_db(1.0, math.fsum(size / counted * error for size, error in given))


def energy_db(errors: Sequence[TensorError]) -> float:
    """Give the ratio of the sum of all squares to that of all errors; NaN if float64 does not hold these."""
    signal = math.fsum(each.signal for each in errors)
    noise = math.fsum(each.signal * each.error for each in errors)
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


def count_losses(dbs: Iterable[float], bests: Iterable[float]) -> int:
    """Count the tensors that lose more than `LOSS_DB` against the best of several ways to store them."""
    return sum(best - db > LOSS_DB for db, best in zip(dbs, bests, strict=True) if db < best)
