"""Which matrices of a checkpoint are (in, out), as a Conv1D's, and not (out, in): its model's class knows."""

from collections.abc import Iterable, Mapping
from typing import Any

from .checkpoint import Checkpoint
from .model_class import NoClassError, model_class
from .names_by_reason import in_one_line


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
