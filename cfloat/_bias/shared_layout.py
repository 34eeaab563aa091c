"""The biases that arrays of codes have in common."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .bias_layout import BiasLayout, Shape, compressed


def shared_layout(
    layouts: Sequence[BiasLayout], shapes: Sequence[Shape], shape: Shape
) -> BiasLayout | None:
    """Lay out the biases of what arrays broadcast to, or tell that they differ somewhere by None.

    Parameters
    ----------
    layouts : sequence of BiasLayout
        The biases of one array or more.
    shapes : sequence of tuple of int
        The arrays' shapes.
    shape : tuple of int
        What they broadcast to.

    Returns
    -------
    BiasLayout or None
        That of an array of this shape, where there is one; None if two arrays have different biases where
        their elements meet.
    """
    first = layouts[0]
    if isinstance(first.values, int) and all(
        isinstance(each.values, int) and each.values == first.values for each in layouts
    ):
        return first
    if all(own == shape for own in shapes) and all(
        each is first or each.equal(first, shape, shape) for each in layouts
    ):
        return next((each for each in layouts if each.blocks is not None), first)
    spread = [np.asarray(layout.spread(own)) for layout, own in zip(layouts, shapes, strict=True)]
    if any(np.any(each != spread[0]) for each in spread):
        return None
    for layout, own in zip(layouts, shapes, strict=True):
        if own == shape and not isinstance(layout.values, int):
            return layout
    # each of them says all: along an axis that one repeats itself, the others are the same
    least = min(spread, key=lambda each: each.size)
    return compressed(least.reshape((1,) * (len(shape) - least.ndim) + least.shape))


def layout_along(
    layout: BiasLayout, shape: Shape, axis: Any, *, keepdims: bool = True
) -> BiasLayout | None:
    """Lay out the biases of codes that are reduced along axes, or tell that they differ along them by None.

    Parameters
    ----------
    layout : BiasLayout
        The biases.
    shape : tuple of int
        The shape of the codes.
    axis : int, tuple of int or None
        The axes, as NumPy's reductions take them.
    keepdims : bool
        Whether the axes stay, of length 1.
    """
    if layout.one is not None:
        return layout
    biases = np.asarray(layout.spread(shape))
    if biases.size == 0:
        return None
    least = biases.min(axis, keepdims=keepdims)
    if np.any(least != biases.max(axis, keepdims=keepdims)):
        return None
    return compressed(least)
