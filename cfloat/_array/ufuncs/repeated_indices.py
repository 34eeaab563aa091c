"""``ufunc.at``: the elements that indices name, in rounds of which each has an element once at most."""

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray

Array = NDArray[Any]


def rounds(
    target: CFloatArray, indices: Any, operands: list[Any]
) -> Generator[tuple[CFloatArray, list[Array]]]:
    """Go through what is to happen to elements, all first times first, then all second ones, and so on.

    Parameters
    ----------
    target : CFloatArray
        What the indices are of; written to after each round.
    indices : index
        As ``ufunc.at`` takes them.
    operands : list of array_like
        They broadcast to what the indices select.

    Yields
    ------
    part : CFloatArray
        A copy of the elements of a round, to be changed.
    operands : list of ndarray
        What goes with each of them.
    """
    places = np.asarray(np.arange(target.size).reshape(target.shape)[indices])
    spread = [np.broadcast_to(x, places.shape).reshape(-1) for x in operands]
    places = places.reshape(-1)
    if not target.codes.flags.writeable:
        raise ValueError("assignment destination is read-only")
    flat = target.reshape(-1)
    order, ends = _by_rank(places)
    begin = 0
    for end in ends:
        chosen = order[begin:end]
        here = places[chosen]
        part = flat[here]
        yield part, [x[chosen] for x in spread]
        flat.codes[here] = part.codes
        begin = end
    if not np.may_share_memory(flat.codes, target.codes):
        target.codes[...] = flat.codes.reshape(target.shape)


def _by_rank(places: NDArray[np.intp]) -> tuple[NDArray[np.intp], list[int]]:
    """Order occurrences by how many of the same place come before; and tell where each number ends."""
    size = places.size
    by_place = np.argsort(places, kind="stable")
    ordered = places[by_place]
    first = np.concatenate([np.ones(min(size, 1), np.bool_), ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(first)
    ranks = np.arange(size) - np.repeat(starts, np.diff(starts, append=size))
    return by_place[np.argsort(ranks, kind="stable")], np.cumsum(np.bincount(ranks)).tolist()
