"""Where the biases of a tensor lie: one for all of it, one a slice along an axis, or one a block."""

from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class BiasLayout:
    """Where biases lie, as `cfloat.asarray` takes `axis` and `block`; axes may count from the last.

    Attributes
    ----------
    axis : int, tuple of int or None
        One bias a slice along an axis; or with `block` what blocks run along: adjacent axes as one.
    block : int or None
        One bias for so many consecutive elements of the last axis, or along `axis`.
    is_one : bool
        Whether there is one bias for all.
    """

    axis: int | tuple[int, ...] | None = None
    block: int | None = None
    is_one: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_one", self.axis is None and self.block is None)

    def shape_of(self, shape: torch.Size | tuple[int, ...]) -> tuple[int, ...]:
        """Give the shape of the biases of a tensor of a shape."""
        if self.is_one:
            return ()
        if self.block is None:
            assert isinstance(self.axis, int)
            return (shape[self.axis],)
        first, last = self._axes(len(shape))
        length = prod(shape[first : last + 1])
        return (*shape[:first], -(-length // self.block), *shape[last + 1 :])

    def blocks(self, shape: torch.Size | tuple[int, ...]) -> tuple[int, int, int] | None:
        """Tell blocks of a tensor of a shape from others: by the axes they run along, and their length."""
        if self.block is None:
            return None
        first, last = self._axes(len(shape))
        return first, last, min(self.block, max(prod(shape[first : last + 1]), 1))

    def to_text(self) -> str:
        """Write it in words, as the states of rounders do; nothing for one bias."""
        if self.is_one:
            return ""
        along = " ".join(map(str, self._given_axes()))
        return f"axis {along}" if self.block is None else f"block {self.block} along {along}"

    def contradicts(self, text: str, biases: tuple[int, ...], ndim: int | None = None) -> bool:
        """Whether biases of a shape that lie as a text says can't be those of this layout.

        Without the number of axes nothing is known of two that count from different ends.
        """
        there, here = _read(text), _read(self.to_text())
        if (
            there is None or here is None or not biases
        ):  # an older state's, or one bias, or none yet
            return False
        (block, axes), (own_block, own_axes) = there, here
        if ndim is not None:
            axes, own_axes = (tuple(each % ndim for each in some) for some in (axes, own_axes))
        if len(axes) != len(own_axes) or (block is None) != (own_block is None):
            return True
        if any(
            one != other and (one < 0) == (other < 0)
            for one, other in zip(axes, own_axes, strict=True)
        ):
            return True
        if block == own_block:
            return False
        # blocks that are as long as the axis, or longer, are the same
        return biases[axes[-1] if axes[-1] < 0 else axes[0]] > 1

    def maxima(self, x: Tensor) -> Tensor:
        """Give the largest of what shares a bias, of a tensor of no negative elements."""
        if self.block is None:
            assert isinstance(self.axis, int)
            rows = x.movedim(self.axis, 0)
            return rows.reshape(rows.shape[0], -1).amax(-1)
        first, last = self._axes(x.ndim)
        lines = x.flatten(first, last).movedim(first, -1)
        missing = -lines.shape[-1] % self.block
        blocks = torch.nn.functional.pad(lines, (0, missing)).unflatten(-1, (-1, self.block))
        return blocks.amax(-1).movedim(-1, first)

    def spread(self, biases: Tensor, shape: torch.Size) -> Tensor:
        """Give biases such that they broadcast with a tensor of a shape."""
        if biases.ndim == 0:
            return biases
        if self.block is None:
            assert isinstance(self.axis, int)
            axis = self.axis % len(shape)
            return biases.reshape(-1, *(1,) * (len(shape) - 1 - axis))
        first, last = self._axes(len(shape))
        length = prod(shape[first : last + 1])
        lines = biases.movedim(first, -1).repeat_interleave(self.block, -1)[..., :length]
        return lines.movedim(-1, first).unflatten(first, shape[first : last + 1])

    def _axes(self, ndim: int) -> tuple[int, int]:
        """Give the first and the last of the axes that blocks run along, counted from the first."""
        axes = self._given_axes()
        return axes[0] % ndim, axes[-1] % ndim

    def _given_axes(self) -> tuple[int, ...]:
        axis = -1 if self.axis is None else self.axis
        return (axis,) if isinstance(axis, int) else axis


def _read(text: str) -> tuple[int | None, tuple[int, ...]] | None:
    """Read the block and the axes of `BiasLayout.to_text`; None if there are none."""
    kind, _, numbers = text.partition(" ")
    try:
        if kind == "axis":
            return None, tuple(map(int, numbers.split()))
        block, _, along = numbers.partition(" along ")
        return (int(block), tuple(map(int, along.split()))) if kind == "block" else None
    except ValueError:
        return None
