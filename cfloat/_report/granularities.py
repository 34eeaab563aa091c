"""For what of a tensor there is one bias, by the names that a report has for it, and the bytes that takes."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Final

import numpy as np

from cfloat._bias.reduction import reduction_axes
from cfloat._core.format import Format


@dataclass(frozen=True)
class Layout:
    """Where biases lie, as a conversion takes it.

    Attributes
    ----------
    axis, block : int or None
        One bias a slice along an axis, or one for so many elements along those that products sum over; one of
        them at most.
    """

    axis: int | None = None
    block: int | None = None

    @property
    def options(self) -> list[str]:
        """The options of ``cfloat convert`` for it, where blocks run along the last axis."""
        if self.axis is not None:
            return ["--axis", str(self.axis)]
        return [] if self.block is None else ["--block", str(self.block)]

    def runs_elsewhere(self, shape: tuple[int, ...], is_transposed: bool) -> bool:
        """Whether blocks of a tensor run along other axes than the last."""
        axes = reduction_axes(len(shape), is_transposed)
        return self.block is not None and bool(axes) and axes != (len(shape) - 1,)

    def bias_count(self, shape: tuple[int, ...], is_transposed: bool = False) -> int:
        """Count the biases that a tensor of a shape has beside its codes: none, if one is described."""
        return _bias_count(self.axis, self.block, shape, is_transposed)

    def nbytes(self, shape: tuple[int, ...], fmt: Format, is_transposed: bool = False) -> int:
        """Count the bytes of the codes and biases of a tensor, as a converted file has them."""
        width = np.dtype(np.int16).itemsize
        return prod(shape) * fmt.storage_dtype.itemsize + width * self.bias_count(
            shape, is_transposed
        )


# models have many tensors of few shapes
@lru_cache(maxsize=1 << 12)
def _bias_count(
    axis: int | None, block: int | None, shape: tuple[int, ...], is_transposed: bool
) -> int:
    if 0 in shape:
        return 0
    if block is not None and shape:
        length = prod(shape[i] for i in reduction_axes(len(shape), is_transposed))
        return prod(shape) // length * -(-length // block)
    if axis is not None and len(shape) > 1 and shape[axis] > 1:
        return shape[axis]
    return 0


#: By name, from the fewest biases on.
GRANULARITIES: Final = {
    "tensor": Layout(),
    "channel": Layout(axis=0),
    "block 128": Layout(block=128),
    "block 32": Layout(block=32),
}
