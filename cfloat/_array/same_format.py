"""Arrays of one format and the same biases, whose codes say the same wherever they are."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cfloat._bias.bias_layout import BiasLayout
from cfloat._bias.shared_layout import shared_layout
from cfloat._core.code_order import Codes, code_order
from cfloat._core.format import Format

from .array import CFloatArray


def shared_biases(arrays: Sequence[Any]) -> BiasLayout | None:
    """Give the biases of what arrays broadcast to, if all are CFloatArrays of one format that agree in them.

    Two agree if they have the same bias wherever elements of both meet.  Of one format and one bias each,
    arrays need not broadcast.
    """
    first = arrays[0]
    if not isinstance(first, CFloatArray):
        return None
    fmt, one = first._format, first._biases.one
    same = True
    for a in arrays:
        if not isinstance(a, CFloatArray) or (a._format is not fmt and a._format != fmt):
            return None
        same = same and one is not None and a._biases.one == one
    if same:
        return first._biases
    shapes = [a.shape for a in arrays]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        return None
    return shared_layout([a._biases for a in arrays], shapes, shape)


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


def larger(order_of: Format, a: Codes, b: Codes, *, least: bool, skip_nan: bool) -> Codes:
    """Give the larger of two codes, or the smaller, element by element; -0 is smaller than 0.

    NaN is the canonical one, where either is NaN, or if they are skipped where both are.
    """
    order = code_order(order_of)
    choose = np.minimum if least else np.maximum
    found = order.of_keys(choose(order.keys(a), order.keys(b)))
    if not order.has_nan:
        return found
    a_nan, b_nan = order.are_nan(a), order.are_nan(b)
    if skip_nan:
        found = np.where(a_nan, b, np.where(b_nan, a, found))
        return np.where(a_nan & b_nan, order.nan, found)
    return np.where(a_nan | b_nan, order.nan, found)
