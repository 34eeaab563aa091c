"""Which tensors of a checkpoint are converted."""

import fnmatch
from typing import Final

from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentValueError, FileError

from . import fp8
from .checkpoint import Checkpoint
from .conversion_plan import Plan
from .paths import shown_path

#: Modules that are no linear layers, or by custom stay in full precision: an export leaves them as they are
#: unless they are named.
NOT_LINEAR: Final = ("*embed*", "*wte*", "*wpe*", "*lm_head*", "*norm*")


def chosen_names(checkpoint: Checkpoint, plan: Plan) -> set[str]:
    """Choose the tensors that are to be converted, by name."""
    names = list(checkpoint)
    for pattern in (*plan.include, *plan.exclude):
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise ArgumentValueError(f"no tensor has a name like {shown(pattern)}")
    exclude = tuple(plan.exclude)
    if plan.export and not plan.include:
        exclude += NOT_LINEAR
    chosen = set()
    for name in names:
        if plan.include and not any(fnmatch.fnmatchcase(name, p) for p in plan.include):
            continue
        if any(fnmatch.fnmatchcase(name, p) for p in exclude):
            continue
        if plan.export and not is_linear_weight(checkpoint, name):
            continue
        if plan.to is not None:
            is_chosen = checkpoint.is_encoded(name)
        else:
            is_chosen = checkpoint.is_float(name) or (
                plan.export and _is_exportable(checkpoint, name)
            )
            if checkpoint.is_encoded(name) and not is_chosen:
                raise FileError(
                    f"{shown_path(checkpoint.path)}: {printable(name)}: converted already; convert it back "
                    "first (--to float32), or exclude it"
                )
        if is_chosen:
            chosen.add(name)
    if not chosen:
        kind = "coded" if plan.to is not None else "floating-point"
        raise FileError(f"{shown_path(checkpoint.path)}: nothing to convert: no {kind} tensor")
    return chosen


def is_linear_weight(checkpoint: Checkpoint, name: str) -> bool:
    """Whether a tensor is called and shaped as the weight of a linear layer."""
    return name.split(".")[-1] == "weight" and len(checkpoint.shape_of(name)) == 2


def _is_exportable(checkpoint: Checkpoint, name: str) -> bool:
    fmt = checkpoint.format_of(name)
    return fmt is not None and fp8.stored_format(fmt) is not None
