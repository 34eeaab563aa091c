"""``ufunc.at``: what the core computes in turn; and the elements in rounds that have each once at most."""

from collections.abc import Generator
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._core import binding, flags

from .correct_rounding import is_number, warn
from .in_pieces import spread
from .operands import exact_operand

Array = NDArray[Any]


#: Ufuncs that the core computes on one element after the other.
_IN_TURN: Final[dict[np.ufunc, Literal["add", "subtract", "multiply", "divide"]]] = {
    np.add: "add",
    np.subtract: "subtract",
    np.multiply: "multiply",
    np.divide: "divide",
}


def compute_in_turn(ufunc: np.ufunc, target: CFloatArray, indices: Any, others: list[Any]) -> bool:
    """Do ``ufunc.at`` in the core, of real numbers and what it knows; otherwise do nothing, and say so."""
    function = _IN_TURN.get(ufunc)
    if function is None:
        return False
    other = np.asarray(others[0]) if type(others[0]) in (list, tuple) else others[0]
    if not is_number(other):
        return False
    operand = exact_operand(other)
    places = _places(target, indices)
    if operand.ndim:
        operand = np.broadcast_to(operand, places.shape).reshape(-1)
    flat = _writeable(target).reshape(-1)
    codes, biases = np.ascontiguousarray(flat._native()), flat._biases
    raised, signals = binding.arithmetic_at(
        function,
        flat.format._struct,
        biases.values if isinstance(biases.values, int) else biases.full(flat.shape),
        codes,
        places.reshape(-1),
        operand,
    )
    if not np.may_share_memory(codes, target.codes):
        target.codes[...] = codes.reshape(target.shape)
    if raised:
        flags.report(raised, f"{ufunc.__name__} to {target.format.name}", places.size)
    warn(ufunc, signals)
    return True


def _places(target: CFloatArray, indices: Any) -> NDArray[np.int64]:
    """Give the places in row-major order of what indices select, in its shape."""
    if target.ndim == 1 and type(indices) in (list, np.ndarray):
        given = np.asarray(indices)
        if (
            given.dtype.kind in "iu"
            and given.size
            and 0 <= given.min() <= given.max() < target.size
        ):
            return given.astype(np.int64, copy=False)
    every = np.arange(target.size, dtype=np.int64).reshape(target.shape)
    return np.asarray(every[indices])  # NumPy says what is wrong


def _writeable(target: CFloatArray) -> CFloatArray:
    if not target.codes.flags.writeable:
        raise ValueError("assignment destination is read-only")
    return target


def rounds(
    target: CFloatArray, indices: Any, operands: list[Any]
) -> Generator[tuple[CFloatArray, list[Any]]]:
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
    operands : list of ndarray or CFloatArray
        What goes with each of them.
    """
    places = _places(target, indices)
    wide = [_spread(x, places.shape) for x in operands]
    places = places.reshape(-1)
    flat = _writeable(target).reshape(-1)
    order, ends = _by_rank(places)
    begin = 0
    for end in ends:
        chosen = order[begin:end]
        here = places[chosen]
        part = flat[here]
        yield part, [x[chosen] for x in wide]
        flat.codes[here] = part.codes
        begin = end
    if not np.may_share_memory(flat.codes, target.codes):
        target.codes[...] = flat.codes.reshape(target.shape)


def _spread(x: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast an operand to what indices select, in row-major order; apart from what is written."""
    if isinstance(x, CFloatArray):
        return spread(x, shape).reshape(-1).copy()
    return np.broadcast_to(x, shape).reshape(-1)


def _by_rank(places: NDArray[np.intp]) -> tuple[NDArray[np.intp], list[int]]:
    """Order occurrences by how many of the same place come before; and tell where each number ends."""
    size = places.size
    by_place = np.argsort(places, kind="stable")
    ordered = places[by_place]
    first = np.concatenate([np.ones(min(size, 1), np.bool_), ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(first)
    ranks = np.arange(size) - np.repeat(starts, np.diff(starts, append=size))
    return by_place[np.argsort(ranks, kind="stable")], np.cumsum(np.bincount(ranks)).tolist()
