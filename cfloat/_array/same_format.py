"""Arrays of one format and the same biases, whose codes say the same wherever they are."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Final

import numpy as np

from cfloat._bias.bias_layout import BiasLayout
from cfloat._bias.shared_layout import shared_layout
from cfloat._convert.by_layout import encode_layout
from cfloat._core import flags
from cfloat._core.code_order import CodeOrder, Codes, code_order, is_looked_up, looked_up
from cfloat._core.format import Format
from cfloat._core.pieces import pieces

from .array import CFloatArray

#: The ufunc of which np.clip is a function.
CLIP: Final[np.ufunc] = np._core.umath.clip  # type: ignore[attr-defined]

#: Elements worked on at a time: temporaries stay in cache.
PIECE_SIZE: Final = 1 << 15


def shared_biases(arrays: Sequence[Any]) -> BiasLayout | None:
    """Give the biases of what arrays broadcast to, if all are CFloatArrays of one format that agree in them.

    Two agree if they have the same bias wherever elements of both meet.  Of one format and one bias each,
    arrays need not broadcast.
    """
    first = arrays[0]
    if not isinstance(first, CFloatArray):
        return None
    fmt, biases = first._format, first._biases
    values = biases.values
    same = type(values) is int
    for a in arrays[1:]:
        if not isinstance(a, CFloatArray) or (a._format is not fmt and a._format != fmt):
            return None
        same = same and type(a._biases.values) is int and a._biases.values == values
    if same:
        return biases
    shapes = [a.shape for a in arrays]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return shared_layout([a._biases for a in arrays], shapes, shape)


def exactly(a: CFloatArray, values: Any, biases: BiasLayout | None = None) -> CFloatArray:
    """Encode values that are some of an array's own: exactly, and without flags.

    At biases of theirs, or those of the array.
    """
    biases = a._biases if biases is None else biases
    with flags.no_flags():
        codes = encode_layout(values, a.format, biases.values, biases.blocks, values.shape)
    return CFloatArray._of(codes, a.format, biases)


def negated(a: CFloatArray) -> CFloatArray:
    """Change the signs of a signed format's array."""
    codes = np.asarray(code_order(a._format).negated(a._native()))
    return CFloatArray._of(codes, a._format, a._biases)


def absolute(a: CFloatArray) -> CFloatArray:
    """Clear the signs of an array."""
    codes = np.asarray(code_order(a._format).absolute(a._native()))
    return CFloatArray._of(codes, a._format, a._biases)


def in_shape(a: CFloatArray, shape: tuple[int, ...]) -> CFloatArray:
    """Broadcast an array, without a copy."""
    return a if a.shape == shape else a._moved(lambda codes: np.broadcast_to(codes, shape))


def larger(fmt: Format, a: Codes, b: Codes, *, least: bool, skip_nan: bool) -> Any:
    """Give the larger of two codes, or the smaller, element by element; -0 is smaller than 0.

    NaN is the canonical one, where either is NaN, or if they are skipped where both are.
    """
    order = code_order(fmt)
    choose = np.minimum if least else np.maximum
    if is_looked_up(a) and is_looked_up(b):
        ranks, codes = order.ranks_nan_first if least != skip_nan else order.ranks_nan_last
        return looked_up(codes, np.asarray(choose(looked_up(ranks, a), looked_up(ranks, b))))
    return in_pieces(lambda a, b: _larger(order, choose, a, b, skip_nan), [a, b])


def _larger(order: CodeOrder, choose: np.ufunc, a: Codes, b: Codes, skip_nan: bool) -> Any:
    found = order.of_keys(choose(order.keys(a), order.keys(b)))
    if not order.has_nan:
        return found
    a_nan, b_nan = order.are_nan(a), order.are_nan(b)
    if skip_nan:
        found = np.where(a_nan, b, np.where(b_nan, a, found))
        return np.where(a_nan & b_nan, order.nan, found)
    return np.where(a_nan | b_nan, order.nan, found)


def in_pieces(compute: Callable[..., Codes], operands: list[Codes]) -> Codes:
    """Compute codes of codes element by element, in pieces if there are many."""
    shape = np.broadcast_shapes(*(codes.shape for codes in operands))
    if prod(shape) <= PIECE_SIZE:
        return np.asarray(compute(*operands))
    spread = [np.broadcast_to(codes, shape) for codes in operands]
    found = np.empty(shape, operands[0].dtype)
    for key in pieces(shape, PIECE_SIZE):
        found[key] = compute(*(codes[key] for codes in spread))
    return found
