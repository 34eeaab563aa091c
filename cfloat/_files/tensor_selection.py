"""Which tensors of a checkpoint are converted to codes, or back."""

import fnmatch
import re
from typing import Final

from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentValueError, FileError

from .checkpoint import Checkpoint
from .conversion_plan import Plan
from .names_by_reason import by_kept, in_one_line
from .paths import shown_path

# One of several experts, of which readers make one tensor.
_EXPERT: Final = re.compile(r"(.*\bexperts)\.\d+\.")


def chosen_names(checkpoint: Checkpoint, plan: Plan) -> set[str]:
    """Choose the tensors that are to be converted, by name."""
    names = list(checkpoint)
    check_patterns(checkpoint, plan)
    chosen = set()
    for name in names:
        if plan.include and not any(fnmatch.fnmatchcase(name, p) for p in plan.include):
            continue
        if any(fnmatch.fnmatchcase(name, p) for p in plan.exclude):
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
