"""Which tensors of a checkpoint are converted to codes, or back."""

import fnmatch
import re
from collections.abc import Mapping
from typing import Final

from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentValueError, FileError

from .checkpoint import Checkpoint
from .conversion_plan import Plan
from .names_by_reason import by_kept, in_one_line
from .paths import shown_path
from .plan_file import UNCHANGED, TensorChoice
from .reader import read_values
from .tensor_pieces import PIECE_SIZE

# One of several experts, of which readers make one tensor.
_EXPERT: Final = re.compile(r"(.*\bexperts)\.\d+\.")


def chosen_names(checkpoint: Checkpoint, plan: Plan) -> set[str]:
    """Choose the tensors that are to be converted, by name."""
    check_patterns(checkpoint, plan)
    if plan.tensors is not None:
        return _planned_names(checkpoint, plan.tensors)
    chosen = set()
    for name in checkpoint:
        if not is_selected(name, plan):
            continue
        if plan.to is not None:
            is_chosen = checkpoint.is_encoded(name)
        else:
            is_chosen = checkpoint.is_float(name)
            if checkpoint.is_encoded(name) and not is_chosen:
                raise FileError(
                    f"{shown_path(checkpoint.path)}: {printable(name)}: converted already; convert it back "
                    "first (--to float32), or exclude it"
                )
        if is_chosen:
            chosen.add(name)
    if not chosen:
        kind = "coded" if plan.to is not None else "floating-point"
        others = f"; {in_one_line(checkpoint.unreadable)}" if checkpoint.unreadable else ""
        raise FileError(
            f"{shown_path(checkpoint.path)}: nothing to convert: no {kind} tensor{others}"
        )
    if plan.to is not None:
        _keep_experts_together(checkpoint, chosen)
    return chosen


def _keep_experts_together(checkpoint: Checkpoint, chosen: set[str]) -> None:
    """Refuse to convert back some experts of a module: readers merge them, and their scales, in order."""
    scaled = {
        name: match[1]
        for name in checkpoint
        if (match := _EXPERT.match(name))
        and checkpoint.is_encoded(name)
        and checkpoint.description(name) is None
    }
    back = {module: name for name, module in scaled.items() if name in chosen}
    for name, module in scaled.items():
        if name not in chosen and module in back:
            raise FileError(
                f"{shown_path(checkpoint.path)}: {printable(back[module])} would be converted back and "
                f"{printable(name)} not; readers merge the experts of a layer: include all of them, or none"
            )


def is_selected(name: str, plan: Plan) -> bool:
    """Whether a plan's patterns have a tensor converted, if it is one that can be."""
    if plan.include and not any(fnmatch.fnmatchcase(name, p) for p in plan.include):
        return False
    return not any(fnmatch.fnmatchcase(name, p) for p in plan.exclude)


def _planned_names(checkpoint: Checkpoint, tensors: Mapping[str, TensorChoice]) -> set[str]:
    """Choose the tensors that become codes, by what is planned for each, or say what does not fit."""
    tied = checkpoint.tied_names()
    path = shown_path(checkpoint.path)
    for name, choice in tensors.items():
        what = f"{choice.where}: {shown(name)}"
        if name not in checkpoint:
            raise FileError(f"{what}: {path} has no such tensor")
        if name in tied:
            raise FileError(f"{what}: it is tied to {shown(tied[name])}, which stands for both")
        if choice.format is None:
            continue
        if not checkpoint.is_float(name):
            raise FileError(
                f"{what}: it is {checkpoint.dtype_name(name)}, which stays {UNCHANGED}; what becomes "
                f"{choice.format_name} is plain and floating-point"
            )
        choice.check_shape(name, checkpoint.shape_of(name))
        if not choice.format.signed and _has_negatives(checkpoint, name):
            raise FileError(f"{what}: it has negative elements; {choice.format_name} has no sign")
    for name in checkpoint:
        if checkpoint.is_float(name) and name not in tensors and name not in tied:
            raise FileError(f"{path}: the plan has no {shown(name)}")
    return {
        name
        for name in checkpoint
        if (kept := tensors.get(tied.get(name, name))) is not None and kept.format is not None
    }


def _has_negatives(checkpoint: Checkpoint, name: str) -> bool:
    size = checkpoint.source.entries[name].size
    starts = range(0, size, PIECE_SIZE)
    return any(
        bool((read_values(checkpoint.source, name, start, min(start + PIECE_SIZE, size)) < 0).any())
        for start in starts
    )


def check_patterns(checkpoint: Checkpoint, plan: Plan) -> None:
    """Check the patterns of a plan, and what it says of tensors that cannot be read.

    Raises
    ------
    ArgumentValueError
        If a pattern fits no name.
    FileError
        If one includes nothing but what cannot be read; or the plan is strict, and something that is not
        excluded would be left out.
    """
    unreadable = checkpoint.unreadable
    for pattern in (*plan.include, *plan.exclude):
        if any(fnmatch.fnmatchcase(name, pattern) for name in checkpoint):
            continue
        fitting = [name for name in unreadable if fnmatch.fnmatchcase(name, pattern)]
        if not fitting:
            tied = {
                n: kept for n, kept in checkpoint.tied.items() if fnmatch.fnmatchcase(n, pattern)
            }
            hint = f", which the file has only tied: {by_kept(tied)}" if tied else ""
            raise ArgumentValueError(f"no tensor has a name like {shown(pattern)}{hint}")
        if pattern in plan.include:
            raise _refusal(checkpoint, {name: unreadable[name] for name in fitting})
    if plan.strict:
        out = {
            name: reason
            for name, reason in unreadable.items()
            if not any(fnmatch.fnmatchcase(name, p) for p in plan.exclude)
        }
        if out:
            raise _refusal(checkpoint, out)


def _refusal(checkpoint: Checkpoint, names: dict[str, str]) -> FileError:
    return FileError(f"{shown_path(checkpoint.path)}: cannot be converted: {in_one_line(names)}")
