"""What the ranks of a process group agree on, and which elements of a tensor a rank has.

Of a DTensor, as FSDP2's `fully_shard` makes them, a rank has a block: a `Part`.  It takes random words by the
places of its elements in the whole, and exponent biases follow from the largest element of the whole, so that
a step gives the bits that it would give on one rank.
"""

import math
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from cfloat.errors import ArgumentValueError

Peaks = tuple[Any, ...]

#: A piece of work that asks for the largest magnitudes of whole tensors: it yields those of its part.
Work = Generator[Peaks, Peaks, None]

# What is done at a time holds temporary tensors of no more elements than this, or of one parameter.
_ELEMENTS_AT_A_TIME: Final = 1 << 24


def has_ranks() -> bool:
    """Whether this process is one of several of a process group."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def of_rank_0(number: int) -> int:
    """Give the number that rank 0 gave; all ranks call it."""
    if not has_ranks():
        return number
    kept = [number]
    dist.broadcast_object_list(kept, src=0)
    return kept[0]


def largest_of_ranks(peak: Tensor) -> Tensor:
    """Give the largest of what all ranks give; all ranks call it."""
    if not has_ranks():
        return peak
    found = peak.clone()
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return found


def of_other_ranks(own: Any) -> list[Any]:
    """Give what each other rank gives, in their order; all ranks call it."""
    if not has_ranks():
        return []
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return found[: dist.get_rank()] + found[dist.get_rank() + 1 :]


class Part(NamedTuple):
    """What this rank has of a tensor.

    Attributes
    ----------
    tensor : Tensor
        Its elements.
    first : int
        The place of the first one in the whole, in C order.
    size : int
        How many elements the whole has.
    is_run : bool
        Whether the elements follow each other in the whole.
    """

    tensor: Tensor
    first: int
    size: int
    is_run: bool


def is_dtensor(tensor: Tensor) -> bool:
    """Whether a tensor is a DTensor, without an import of what would make one."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local(tensor: Any) -> Any:
    """Give this rank's part of a DTensor, and anything else as it is."""
    return tensor.to_local() if is_dtensor(tensor) else tensor


def whole(tensor: Any) -> Any:
    """Give all of a DTensor, for which all of its ranks call this, and anything else as it is."""
    return tensor.full_tensor() if is_dtensor(tensor) else tensor


def part_of(tensor: Tensor) -> Part:
    """Tell what this rank has of a tensor.

    Raises
    ------
    ArgumentValueError
        If it is a DTensor that is neither replicated nor sharded along whole axes.
    """
    if not is_dtensor(tensor):
        return Part(tensor, 0, tensor.numel(), True)
    whole: Any = tensor
    first, lengths = [0] * whole.ndim, list(whole.shape)
    for mesh_axis, axis in sharded_axes(whole):
        # as torch.chunk has it, of what the mesh's axes before have left
        count, rank = whole.device_mesh.size(mesh_axis), whole.device_mesh.get_local_rank(mesh_axis)
        chunk = -(-lengths[axis] // count)
        begin = min(rank * chunk, lengths[axis])
        first[axis] += begin
        lengths[axis] = min(chunk, lengths[axis] - begin)
    place = 0
    for axis, length in enumerate(whole.shape):
        place = place * length + first[axis]
    cut = [axis for axis, length in enumerate(whole.shape) if lengths[axis] != length]
    is_run = not cut or math.prod(lengths[: cut[-1]]) == 1 or 0 in lengths
    return Part(whole.to_local(), place, whole.numel(), is_run)


def sharded_axes(tensor: Any) -> list[tuple[int, int]]:
    """Tell along which axes of its mesh a DTensor is sharded, and of its own axes which one that is."""
    placements: Any = sys.modules["torch.distributed.tensor"]
    axes = []
    for mesh_axis, placement in enumerate(tensor.placements):
        if type(placement) is placements.Shard:
            axes.append((mesh_axis, placement.dim % max(tensor.ndim, 1)))
        elif type(placement) is not placements.Replicate:
            raise ArgumentValueError(
                f"a parameter is placed {placement!r}; it takes Shard and Replicate"
            )
    return axes


def placed_as(part: Tensor, tensor: Tensor) -> Tensor:
    """Give a part of the shape of a tensor's as a tensor that is placed as that one."""
    if not is_dtensor(tensor):
        return part
    like: Any = tensor
    made: Tensor = type(like).from_local(
        part, like.device_mesh, like.placements, run_check=False,
        shape=like.shape, stride=like.stride(),
    )  # fmt: skip
    return made


def do_alone(work: Work) -> None:
    """Do a piece of work whose part is the whole."""
    with suppress(StopIteration):
        peaks = next(work)
        while True:
            peaks = work.send(peaks)


def do_together(works: Iterable[tuple[Tensor, Callable[[], Work]]]) -> None:
    """Do the work of parts of DTensors; their largest magnitudes go from rank to rank together.

    Parameters
    ----------
    works : iterable of (Tensor, callable)
        DTensors, the same ones on all ranks and in the same order, and what begins the work of each.
    """
    by_mesh: dict[Any, list[tuple[int, Callable[[], Work]]]] = {}
    for tensor, begin in works:
        whole: Any = tensor
        axes = tuple(mesh_axis for mesh_axis, _ in sharded_axes(whole))
        by_mesh.setdefault((whole.device_mesh, axes), []).append((whole.numel(), begin))
    for (mesh, axes), all_begin in by_mesh.items():
        waiting: list[Work] = []
        elements = 0
        for size, begin in all_begin:
            if waiting and elements + size > _ELEMENTS_AT_A_TIME:
                _do_at_a_time(waiting, mesh, axes)
                waiting, elements = [], 0
            waiting.append(begin())
            elements += size
        _do_at_a_time(waiting, mesh, axes)


def _do_at_a_time(works: list[Work], mesh: Any, axes: tuple[int, ...]) -> None:
    asked = _asked([(work, None) for work in works])
    while asked:
        flat = torch.stack(
            [
                torch.as_tensor(peak, dtype=torch.float64).to(mesh.device_type)
                for _, peaks in asked
                for peak in peaks
            ]
        )
        for axis in axes:
            dist.all_reduce(flat, op=dist.ReduceOp.MAX, group=mesh.get_group(axis))
        # numbers, unless a device would be waited for
        found: Iterator[Any] = iter(flat.tolist() if flat.is_cpu else flat.unbind())
        asked = _asked([(work, tuple(next(found) for _ in peaks)) for work, peaks in asked])


def _asked(works: list[tuple[Work, Peaks | None]]) -> list[tuple[Work, Peaks]]:
    """Hand largest magnitudes to pieces of work, or begin them; give those that ask for more."""
    asking = []
    for work, found in works:
        with suppress(StopIteration):
            asking.append((work, next(work) if found is None else work.send(found)))
    return asking
