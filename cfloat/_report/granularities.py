"""For what of a tensor there is one bias, by the names that a report has for it, and the bytes that takes."""

from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from cfloat._core.format import Format


@dataclass(frozen=True)
class Layout:
    """Where biases lie, as a conversion takes it.

    Attributes
    ----------
    axis, block : int or None
        One bias a slice along an axis, or one for so many elements of the last; one of them at most.
    """

    axis: int | None = None
    block: int | None = None

    @property
    def options(self) -> list[str]:
        """The options of ``cfloat convert`` for it."""
        if self.axis is not None:
            return ["--axis", str(self.axis)]
        return [] if self.block is None else ["--block", str(self.block)]

    def bias_count(self, shape: tuple[int, ...]) -> int:
        """Count the biases that a tensor of a shape has beside its codes: none, if one is described."""
        if 0 in shape:
            return 0
        if self.block is not None and shape:
            return prod(shape[:-1]) * -(-shape[-1] // self.block)
        if self.axis is not None and len(shape) > 1 and shape[self.axis] > 1:
            return shape[self.axis]
        return 0

    def nbytes(self, shape: tuple[int, ...], fmt: Format) -> int:
        """Count the bytes of the codes and biases of a tensor, as a converted file has them."""
        width = np.dtype(np.int16).itemsize
        return prod(shape) * fmt.storage_dtype.itemsize + width * self.bias_count(shape)


#: By name, from the fewest biases on.
GRANULARITIES: Final = {
    "tensor": Layout(),
    "channel": Layout(axis=0),
    "block 128": Layout(block=128),
    "block 32": Layout(block=32),
}
