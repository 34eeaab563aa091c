"""Which tensors of a checkpoint are converted to codes, or back."""

import fnmatch

from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentValueError, FileError

from .checkpoint import Checkpoint
from .conversion_plan import Plan
from .paths import shown_path


def chosen_names(checkpoint: Checkpoint, plan: Plan) -> set[str]:
    """Choose the tensors that are to be converted, by name."""
    names = list(checkpoint)
    for pattern in (*plan.include, *plan.exclude):
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            raise ArgumentValueError(f"no tensor has a name like {shown(pattern)}")
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
        raise FileError(f"{shown_path(checkpoint.path)}: nothing to convert: no {kind} tensor")
    return chosen
