"""Which moments a weight is rounded by, of those of all the ways in which it is used."""

from collections.abc import Sequence
from math import prod
from typing import Final

from .second_moments import SecondMoment

#: How a note ends that says why.
TO_NEAREST: Final = ": rounded to nearest"


def moment_of_uses(uses: Sequence[SecondMoment]) -> tuple[SecondMoment | None, str]:
    """Join the moments of a weight's uses; or None, and why nearest is the rounding for them.

    Those of several products are joined to those of all their inputs together.  What is an embedding is read
    row by row, and so each row's own error counts, which is least to nearest; of a weight that is a matrix of
    products as well, what is gained for these would be lost there.

    Parameters
    ----------
    uses : sequence of SecondMoment
        One for each way, at least one.
    """
    first = uses[0]
    if any(use.is_diagonal for use in uses):
        both = any(not use.is_diagonal for use in uses)
        return None, "an embedding" + (" and a matrix of products" if both else "")
    if len(uses) == 1:
        return first, ""
    if any(use.values.shape != first.values.shape or use.axis != first.axis for use in uses):
        return None, "used in several ways, whose moments are of different shapes"
    count = sum(use.count for use in uses)
    mean = sum(
        (use.values * (use.count / count) for use in uses[1:]), first.values * (first.count / count)
    )
    return SecondMoment(mean, count, first.axis), ""


def why_all_nearest(
    moment: SecondMoment, shape: tuple[int, ...], rows_kept: int, notes: Sequence[str]
) -> str:
    """Say why every row of a weight is as rounded to nearest; empty if some are not.

    Parameters
    ----------
    moment : SecondMoment
        What it was rounded by.
    shape : tuple of int
        The weight's shape.
    rows_kept, notes
        As of `CompensationStats`.
    """
    outputs = shape[0] if moment.axis == 1 else prod(shape[1:])
    if rows_kept < outputs:
        return ""
    return "; ".join(notes).removesuffix(TO_NEAREST) or "nowhere better than to nearest"
