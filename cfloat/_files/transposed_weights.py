"""Which matrices of a checkpoint are (in, out), as a Conv1D's, and not (out, in): its model's class knows."""

from collections.abc import Iterable, Mapping
from typing import Any

from .checkpoint import Checkpoint
from .model_class import NoClassError, model_class
from .names_by_reason import in_one_line
from .quantization_config import configuration_beside


def transposed_weights(
    checkpoint: Checkpoint, names: Iterable[str], configuration: Mapping[str, Any] | None
) -> tuple[frozenset[str], list[str]]:
    """Find the weights whose outputs are the last axis.

    Parameters
    ----------
    checkpoint : Checkpoint
        The tensors.
    names : iterable of str
        Those that are asked for.
    configuration : mapping or None
        The content of the model's ``config.json``.

    Returns
    -------
    transposed : frozenset of str
        Their names.
    notes : list of str
        One line of what is not known, if anything is not.
    """
    matrices = [name for name in names if len(checkpoint.shape_of(name)) == 2]
    if not matrices:
        return frozenset(), []
    shapes = {name: checkpoint.shape_of(name) for name in checkpoint}
    try:
        known = model_class(configuration, shapes)
    except NoClassError as error:
        return frozenset(), [
            f"blocks run along the last axis of each matrix, Conv1D or not: {error}"
        ]
    unknown = {
        name: tensor.reason for name in matrices if not (tensor := known.tensors[name]).is_known
    }
    notes = []
    if unknown:
        notes.append(f"blocks run along the last axis, Conv1D or not, of {in_one_line(unknown)}")
    return frozenset(name for name in matrices if known.tensors[name].is_transposed), notes


def transposed_by_signs(checkpoint: Checkpoint) -> tuple[frozenset[str], list[str]]:
    """Find them as `transposed_weights` does, where the shapes give cause to ask the model's class.

    To import its library takes seconds, which most models are spared.
    """
    if not _has_signs(checkpoint):
        return frozenset(), []
    configuration = configuration_beside(checkpoint.path)
    names = [name for name in checkpoint if checkpoint.is_float(name)]
    return transposed_weights(checkpoint, names, configuration)


def _has_signs(checkpoint: Checkpoint) -> bool:
    """Whether a matrix (a, b) has a bias of b elements beside it, and not of a: a Conv1D's, perhaps."""
    for name in checkpoint:
        stem, _, last = name.rpartition("weight")
        shape = checkpoint.shape_of(name)
        if last or len(shape) != 2 or shape[0] == shape[1]:
            continue
        bias = f"{stem}bias"
        if bias in checkpoint and checkpoint.shape_of(bias) == (shape[1],):
            return True
    return False
