"""Sums of x·xᵀ over the inputs that a model's layers see while it runs."""

import weakref
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from cfloat._compensate.second_moments import SecondMoment, moment_of_sum

#: Elements of inputs that are widened to float64 at a time, about.
_PIECE_SIZE: Final = 1 << 22

_LARGEST: Final = torch.finfo(torch.float64).max / 2

_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def is_conv1d(layer: nn.Module) -> bool:
    """Whether a layer is transformers' Conv1D, a Linear layer whose weight is transposed."""
    return is_kind_of_conv1d(type(layer))


def is_kind_of_conv1d(kind: type[nn.Module]) -> bool:
    """Whether a class is transformers' Conv1D, or a subclass of it."""
    return any(
        (each.__module__, each.__name__) == ("transformers.pytorch_utils", "Conv1D")
        for each in kind.__mro__
    )


def is_known(layer: nn.Module) -> bool:
    """Whether a layer is of a class whose products are known here, and its weight its own.

    One that is computed from others, as by a parametrization, is another tensor at each call.
    """
    is_right = isinstance(layer, (nn.Linear, nn.Embedding, *_CONVOLUTIONS)) or is_conv1d(layer)
    return is_right and layer._parameters.get("weight") is not None


def in_slices(moments: Sequence[SecondMoment]) -> SecondMoment:
    """Join the moments of the inputs of a weight's slices along its first axis, as those of groups.

    Those of queries, keys and values, whose weights may be one: it is one matrix if all have the same inputs.
    """
    first = moments[0]
    if all(each is first for each in moments):
        return first
    count = min(each.count for each in moments)
    return SecondMoment(np.stack([each.values for each in moments]), count, first.axis)


@dataclass(eq=False)
class _Sum:
    """A sum for all weights that have had the same inputs so far.

    What is last is not added before all members are known to have had it, too: one that has not goes on by
    itself, without it.
    """

    members: set[Hashable]
    axis: int
    total: Tensor | None = None
    count: int = 0
    last: Tensor | None = None
    last_count: int = 0
    takers: set[Hashable] = field(default_factory=set)
    seen: Any = None

    def add(self, last: Tensor | None, count: int) -> None:
        """Add what some inputs give."""
        if last is not None:
            self.total = last if self.total is None else self.total.add_(last)
            self.count += count

    def is_of(self, x: Tensor) -> bool:
        """Whether `x` is what was last."""
        return self.seen is not None and self.seen[0]() is x and self.seen[1] == _version(x)


class InputMoments:
    """The second moments of the inputs of a model's layers, each the mean over all calls.

    Layers that are called with the same tensor always, as those of queries, keys and values, have one sum.
    """

    def __init__(self) -> None:
        self._sums: dict[Hashable, _Sum] = {}
        # those that others may join, by the one tensor that they are of
        self._first: dict[int, _Sum] = {}

    def add(self, layer: nn.Module, x: Tensor, mask: Tensor | None) -> None:
        """Add the inputs of a call; those at positions that the mask leaves out don't count."""
        assert isinstance(layer.weight, Tensor)
        if mask is not None and mask.shape != positions(layer, x):
            mask = None
        if isinstance(layer, nn.Embedding):
            self._add_alone((id(layer.weight), "rows"), 0, *_rows(layer, x, mask))
        elif isinstance(layer, _CONVOLUTIONS):
            self._add_alone((id(layer.weight), "unfolded"), 1, *_unfolded(layer, x))
        else:
            self.add_matrix(layer.weight, x, mask, axis=0 if is_conv1d(layer) else 1)

    def add_matrix(
        self,
        weight: Tensor,
        x: Tensor,
        mask: Tensor | None,
        *,
        axis: int = 1,
        part: int | None = None,
    ) -> None:
        """Add inputs of a matrix, or of a part of its rows, of those that are at positions that count.

        Parameters
        ----------
        weight : Tensor
            The matrix.
        x : Tensor, shape (..., n)
            The inputs.
        mask : Tensor of bool, shape (...), optional
            Which of them count.
        axis : int, optional
            Where the weight's inputs are.
        part : int, optional
            Which of as many equal slices along its first axis as are given inputs; None for all of it.
        """
        self._add_matrix((id(weight), "matrix", part), axis, x, mask)

    def _add_alone(self, key: Hashable, axis: int, total: Tensor, count: int) -> None:
        self._sums.setdefault(key, _Sum({key}, axis)).add(total, count)

    def _add_matrix(self, key: Hashable, axis: int, x: Tensor, mask: Tensor | None) -> None:
        own = self._sums.get(key)
        found = self._first.get(id(x)) if own is None else own
        if found is not None and found.is_of(x) and found.axis == axis and key not in found.takers:
            found.members.add(key)
            found.takers.add(key)
            self._sums[key] = found
            if found.total is not None and found.takers == found.members:
                self._settle(found)
            return
        if own is None:
            own = self._sums[key] = _Sum({key}, axis)
        elif own.last is not None and key in own.takers:
            self._settle(own)
        elif own.last is not None:
            own = self._split(own, {key})
        own.last, own.last_count = _gram(x, mask)
        own.takers = {key}
        own.seen = (weakref.ref(x), _version(x))
        if own.total is None:
            self._first[id(x)] = own
        elif own.members == {key}:
            self._settle(own)

    def settle(self) -> None:
        """Add what is last everywhere: a batch has come to its end."""
        for each in list(self._sums.values()):
            self._settle(each)
        self._first.clear()

    def _settle(self, own: _Sum) -> None:
        if own.last is None:
            own.takers = set()
            return
        if without := own.members - own.takers:
            self._split(own, without)
        own.add(own.last, own.last_count)
        own.last, own.takers, own.seen = None, set(), None

    def _split(self, own: _Sum, without: set[Hashable]) -> _Sum:
        """Let members go on by themselves, without what is last."""
        total = None if own.total is None else own.total.clone()
        other = _Sum(without, own.axis, total, own.count)
        own.members = own.members - without
        self._sums.update(dict.fromkeys(without, other))
        return other

    def moments(self) -> Iterator[tuple[int, SecondMoment | None]]:
        """Give for the id of each weight its moments; None where inputs are not finite, or none counted."""
        made: dict[int, SecondMoment | None] = {}
        slices: dict[int, dict[int, SecondMoment | None]] = {}
        for key, each in self._sums.items():
            assert isinstance(key, tuple)
            if id(each) not in made:
                # finite, and twice as much as well, which is what a mean is made of
                is_sound = each.total is not None and each.count > 0
                if is_sound and each.total is not None and _largest(each.total) <= _LARGEST:
                    total = each.total.numpy()
                    made[id(each)] = moment_of_sum(total, each.count, each.axis)
                    each.total = torch.zeros(0, dtype=torch.float64, device="cpu")
                else:
                    made[id(each)] = None
            if len(key) == 3 and key[2] is not None:
                slices.setdefault(key[0], {})[key[2]] = made[id(each)]
            else:
                yield key[0], made[id(each)]
        for weight, parts in slices.items():
            ordered = [parts[i] for i in sorted(parts)]
            sound = [moment for moment in ordered if moment is not None]
            yield weight, in_slices(sound) if len(sound) == len(ordered) else None


def _largest(x: Tensor) -> float:
    """Give the largest magnitude; NaN if there is a NaN."""
    return float(torch.linalg.vector_norm(x, torch.inf))


def _version(x: Tensor) -> int:
    return 0 if x.is_inference() else x._version


def positions(layer: nn.Module, x: Tensor) -> tuple[int, ...] | None:
    """Give the axes of a layer's inputs without that of their elements; None for a convolution."""
    if isinstance(layer, _CONVOLUTIONS):
        return None
    return tuple(x.shape if isinstance(layer, nn.Embedding) else x.shape[:-1])


def _wide(x: Tensor) -> Tensor:
    """Widen to float64, where the device has it."""
    if x.device.type not in ("cpu", "cuda"):
        x = x.cpu()
    return x.detach().to(torch.float64)


def _gram(x: Tensor, mask: Tensor | None) -> tuple[Tensor, int]:
    """Give the sum of x·xᵀ over inputs that count, on the CPU, and their number."""
    rows = x.reshape(-1, x.shape[-1])
    kept = None if mask is None else mask.reshape(-1).to(rows.device)
    total, count = None, 0
    step = max(1, _PIECE_SIZE // max(1, rows.shape[1]))
    for start in range(0, max(1, len(rows)), step):
        piece = rows[start : start + step]
        if kept is not None:
            piece = piece[kept[start : start + step]]
        wide = _wide(piece)
        product = wide.mT @ wide
        total = product if total is None else total.add_(product)
        count += len(wide)
    assert total is not None
    return total.cpu(), count


def _rows(layer: nn.Embedding, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, int]:
    """Count the rows that are asked for."""
    flat = ids.reshape(-1) if mask is None else ids[mask.to(ids.device)]
    counts = torch.bincount(flat.cpu().to(torch.int64), minlength=layer.num_embeddings)
    return counts.to(torch.float64), flat.numel()


def _unfolded(layer: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    """Give the sums of x·xᵀ over the inputs of a convolution's products, of each group."""
    assert isinstance(layer, _CONVOLUTIONS)
    axes = len(layer.kernel_size)
    if x.ndim == axes + 1:
        x = x.unsqueeze(0)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = nn.functional.pad(x.detach(), _padding(layer), mode=mode)
    padded = padded.unflatten(1, (layer.groups, -1))
    for i, (kernel, stride, dilation) in enumerate(
        zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    ):
        padded = padded.unfold(3 + i, (kernel - 1) * dilation + 1, stride)[..., ::dilation]
    # views, of shape (samples, groups, channels, places ..., kernel ...)
    groups = layer.groups
    places, kernels = range(3, 3 + axes), range(3 + axes, 3 + 2 * axes)
    ordered = padded.permute(1, 0, *places, 2, *kernels)
    width = prod(layer.weight.shape[1:])
    total = torch.zeros(groups, width, width, dtype=torch.float64, device="cpu")
    per_line = max(1, ordered[:, 0, 0].numel())
    step = max(1, _PIECE_SIZE // per_line)
    count = 0
    for sample in range(ordered.shape[1]):
        for start in range(0, ordered.shape[2], step):
            wide = _wide(ordered[:, sample, start : start + step]).reshape(groups, -1, width)
            total += (wide.mT @ wide).cpu()
            count += wide.shape[1]
    return (total[0] if groups == 1 else total), count


def _padding(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> list[int]:
    """Give a convolution's padding as `pad` takes it, the last axis first."""
    found = []
    for i in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            both = layer.dilation[i] * (layer.kernel_size[i] - 1)
            found += [both // 2, both - both // 2]
        elif layer.padding == "valid":
            found += [0, 0]
        else:
            assert not isinstance(layer.padding, str)
            found += [layer.padding[i], layer.padding[i]]
    return found
