"""The biases of arrays of codes that are joined along an axis."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.by_layout import BlockLayout

from .bias_layout import BiasLayout

Shape = tuple[int, ...]
Values = NDArray[np.int16]


class _Part(NamedTuple):
    """The biases of one array, with as many axes as it has; `axis` counts runs of so many elements."""

    values: Values
    axis: int
    run: int
    shape: Shape

    def spread(self) -> "_Part":
        """Repeat them, so that there are no runs."""
        if self.run == 1:
            return self
        values = np.repeat(self.values, self.run, self.axis)
        values = values.take(range(self.shape[self.axis]), self.axis)
        return _Part(values, self.axis, 1, self.shape)

    def lengths(self, axis: int, run: int) -> Shape:
        """Tell how many biases there are, at most, with runs along an axis."""
        return tuple(
            -(-length // run) if i == axis else length for i, length in enumerate(self.shape)
        )


def join(biases: Sequence[BiasLayout], shapes: Sequence[Shape], axis: int) -> BiasLayout:
    """Lay out the biases of a concatenation, with no more of them in memory than the layouts need.

    Parameters
    ----------
    biases : sequence of BiasLayout
        Those of the arrays, one of which at least has elements.
    shapes : sequence of tuple of int
        The arrays' shapes, which agree but for `axis`.
    axis : int
        The axis along which they are joined, counted from the first.

    Returns
    -------
    Biases
        One, or one a slice, or one a block, if those of all arrays are and their blocks fit together.
    """
    filled = [(biases[i], shape) for i, shape in enumerate(shapes) if prod(shape)]
    if len(filled) == 1:  # the others have no elements along the axis
        return filled[0][0]
    axes = _merged_axes([layout for layout, _ in filled], axis)
    parts = [_part(layout, shape, axes) for layout, shape in filled]
    # where several axes count as one, those behind are so many fewer
    place = axis if axis <= axes[0] else axis - len(axes) + 1
    run_axis, run = _common_runs(parts, place)
    if run == 1:
        parts = [part.spread() for part in parts]
    values = _joined(parts, place, run_axis, run)
    if run > 1:
        return BiasLayout(values, BlockLayout(run, axes if run_axis == axes[0] else (run_axis,)))
    if values.size == 1:
        return BiasLayout(int(values.reshape(-1)[0]))
    if len(axes) > 1:
        whole = list(filled[0][1])
        whole[axis] = sum(shape[axis] for _, shape in filled)
        one = values.shape[axes[0]] == 1
        lengths = (1,) * len(axes) if one else whole[axes[0] : axes[-1] + 1]
        values = values.reshape(BlockLayout(1, axes[:1]).with_row(values.shape, *lengths))
    return BiasLayout(values)


def _merged_axes(biases: Sequence[BiasLayout], axis: int) -> tuple[int, ...]:
    """Tell the several axes that blocks run along, to be taken as one; or any one axis."""
    several = {layout.blocks.axes for layout in biases if layout.blocks is not None}
    several = {axes for axes in several if len(axes) > 1}
    if len(several) == 1 and axis not in (axes := several.pop())[1:]:
        return axes
    return (0,)


def _part(biases: BiasLayout, shape: Shape, axes: tuple[int, ...]) -> _Part:
    """Give the biases of an array of a shape, some of whose axes are to be taken as one."""
    values, blocks = biases.values, biases.blocks
    row = BlockLayout(1, axes)
    merged = row.with_row(shape, row.row(shape))
    if isinstance(values, int):
        return _Part(np.full((1,) * len(merged), values, np.int16), 0, 1, merged)
    if blocks is not None and (blocks.axes == axes or len(blocks.axes) == len(axes) == 1):
        return _Part(values, blocks.axes[0], blocks.length, merged)
    spread = np.asarray(biases.spread(shape))
    own = spread.shape[axes[0] : axes[-1] + 1]
    if prod(own) != 1:
        lengths = shape[axes[0] : axes[-1] + 1]
        spread = np.broadcast_to(spread, row.with_row(spread.shape, *lengths))
    merged_values = spread.reshape(row.with_row(spread.shape, 1 if prod(own) == 1 else -1))
    return _Part(merged_values, axes[0], 1, merged)


def _common_runs(parts: list[_Part], axis: int) -> tuple[int, int]:
    """Tell the axis and the length of runs that all have, or a length of 1 if there are none."""
    with_runs = [part for part in parts if part.run > 1]
    if not with_runs or len({part.axis for part in with_runs}) > 1:
        return 0, 1
    run_axis, run = with_runs[0].axis, max(part.run for part in with_runs)
    for part in parts:
        one = part.values.shape[run_axis] == 1
        length = part.shape[run_axis]
        if part.run != run and not (
            one and (part.run == 1 or (axis == run_axis and part is parts[-1]))
        ):
            return 0, 1
        if axis == run_axis and part is not parts[-1] and length % run:
            return 0, 1
    return run_axis, run


def _joined(parts: list[_Part], axis: int, run_axis: int, run: int) -> Values:
    first = parts[0].values
    if first.shape[axis] == 1 and (run == 1 or axis != run_axis):
        same = (np.array_equal(part.values, first) for part in parts)
        if all(same):
            return first
    lengths = [part.lengths(run_axis, run) for part in parts]
    # an axis other than the joined one may stay one long, if it is in all
    common = [max(part.values.shape[i] for part in parts) for i in range(first.ndim)]
    return np.concatenate(
        [
            np.broadcast_to(
                part.values, tuple(own[i] if i == axis else common[i] for i in range(first.ndim))
            )
            for part, own in zip(parts, lengths, strict=True)
        ],
        axis,
    )
