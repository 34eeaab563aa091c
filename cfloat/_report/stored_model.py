"""The tensors of a model as they are stored, and what a conversion does with each."""

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

from numpy.typing import NDArray

from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat._files.checkpoint import Checkpoint
from cfloat._files.conversion_plan import Plan
from cfloat._files.tensor_selection import check_patterns, is_selected
from cfloat._files.transposed_weights import transposed_by_signs
from cfloat.errors import ArgumentValueError

from .candidates import is_zero
from .layer_kinds import kind_by_name, kinds_of

Array = NDArray[Any]

#: What a conversion to a format does with a tensor.
CONVERTED: Final = "converted"
DECODED_FIRST: Final = "decoded first"
EXCLUDED: Final = "excluded"
COPIED: Final = "copied"

_FLOAT_NAMES: Final = ("float16", "float32", "float64", "bfloat16")


@public
@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it is stored.

    Attributes
    ----------
    name : str
        As the report calls it.
    path : str
        The file that it is in; empty for one that is in none.
    dtype : str
        Its dtype, or the format of its codes.
    shape : tuple of int
        Its shape.
    nbytes : int
        Its bytes, those of its biases or scales included.
    copies : int
        How many a converted file has of it.
    fate : str
        What a conversion does with it: it is "converted", "decoded first" (it is codes already), "excluded",
        or "copied".
    kind : str
        What it is in a model, as in `TensorSummary`.
    is_transposed : bool
        Whether it is a matrix whose outputs are the last axis, as a Conv1D's.
    is_zero : bool
        Of one that is excluded, and not measured: whether it has no elements but zeros.
    """

    name: str
    path: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    copies: int
    fate: str
    kind: str
    is_transposed: bool = False
    is_zero: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


@public
@dataclass(frozen=True)
class StoredModel:
    """All tensors of a model: names that are tied are one.

    Attributes
    ----------
    paths : list of str
        Its files, as they were given; none for arrays.
    tensors : list of StoredTensor
        Its tensors.
    tied : dict of str to str
        Other names of these, and which they are.
    include, exclude : sequence of str
        Patterns for the names of tensors that may change, all if there are none, and that may not.
    refusal : str
        Why the model cannot be converted, if that is known.
    notes : list of str
        What is not known of its tensors.
    """

    paths: list[str] = field(default_factory=list)
    tensors: list[StoredTensor] = field(default_factory=list)
    tied: dict[str, str] = field(default_factory=dict)
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    refusal: str = ""
    notes: list[str] = field(default_factory=list)

    def add_checkpoint(self, path: str, checkpoint: Checkpoint, prefix: str = "") -> None:
        """Add the tensors of a file, with something before their names."""
        selecting = Plan(include=self.include, exclude=self.exclude)
        tied = checkpoint.tied_names()
        copies = copies_of_tied(checkpoint)
        kinds = kinds_of((name for name in checkpoint if name not in tied), checkpoint)
        transposed, notes = transposed_by_signs(checkpoint)
        self.notes.extend(notes)
        self.paths.append(path)
        every = (
            checkpoint.tied | tied
        )  # of safetensors' metadata as well, which no tensor is stored under
        self.tied.update({prefix + name: prefix + kept for name, kept in every.items()})
        for name in checkpoint:
            if name in tied:
                continue
            is_float, is_encoded = checkpoint.is_float(name), checkpoint.is_encoded(name)
            if not (is_float or is_encoded):
                fate = COPIED
            elif not is_selected(name, selecting):
                fate = EXCLUDED
            else:
                fate = CONVERTED if is_float else DECODED_FIRST
            self.tensors.append(
                StoredTensor(
                    prefix + name, path, checkpoint.dtype_name(name), checkpoint.shape_of(name),
                    checkpoint.stored_nbytes(name), copies.get(name, 1), fate, kinds[name],
                    name in transposed,
                    fate == EXCLUDED and is_float and is_zero(checkpoint, name),
                )
            )  # fmt: skip

    def add_array(self, name: str, dtype: str, shape: tuple[int, ...], nbytes: int) -> None:
        """Add a tensor that is in no file."""
        fate = COPIED
        if dtype in _FLOAT_NAMES or dtype.startswith("CFloat"):
            selecting = Plan(include=self.include, exclude=self.exclude)
            fate = CONVERTED if is_selected(name, selecting) else EXCLUDED
        kind = kind_by_name(name, shape)
        tensor = StoredTensor(name, "", dtype, shape, nbytes, 1, fate, kind)
        self.tensors.append(tensor)

    @property
    def nbytes(self) -> int:
        """The bytes of all tensors, as often as a converted file has them."""
        return sum(each.copies * each.nbytes for each in self.tensors)


def copies_of_tied(checkpoint: Checkpoint, always: bool = False) -> dict[str, int]:
    """Count how often a converted file has the tensors that have several names, by the first of these.

    It is once, if the file is alone and no model's folder; an export `always` has a copy for each.
    """
    tied = checkpoint.tied_names()
    beside = checkpoint.path.parent / "config.json"
    if not always and len(checkpoint.source.parts) == 1 and not beside.exists():
        return {}
    copies: dict[str, int] = {}
    for kept in tied.values():
        copies[kept] = copies.get(kept, 1) + 1
    return copies


def check_names(
    patterns: Iterable[str], names: Iterable[str], checkpoints: Sequence[Checkpoint]
) -> None:
    """Refuse a pattern that fits no name: of one checkpoint as a conversion does, or of all."""
    if len(checkpoints) == 1:
        check_patterns(checkpoints[0], Plan(include=tuple(patterns)))
        return
    known = [*names, *(name for each in checkpoints for name in each)]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in known):
            raise ArgumentValueError(f"no tensor has a name like {shown(pattern)}")
