"""What tensors are in a model: of what kind of layer, by shape and name, or by the model's class."""

import re
from collections.abc import Iterable
from typing import Final

from cfloat._files.checkpoint import Checkpoint
from cfloat._files.model_class import ModelClass, NoClassError, model_class
from cfloat._files.quantization_config import read_configuration
from cfloat.errors import FileError

# the last part of a name by which frameworks call the tensor that a layer multiplies by
_WEIGHT: Final = ("weight", "kernel", "weights", "w")

_EMBEDDING: Final = re.compile(r"embed|\bwte\b|\bwpe\b|\btok_|\bshared\.weight$", re.IGNORECASE)
_NORM: Final = re.compile(
    r"norm|bias|(?<![a-z])(?:bn|ln)(?![a-z])|^running_|\.running_", re.IGNORECASE
)

# how the model's class calls the layer of a tensor that is not linear
_LAYER: Final = re.compile(r"of (\w+), not of Linear")


def kind_by_name(name: str, shape: tuple[int, ...]) -> str:
    """Tell the kind of a tensor by its name and its shape; "other" if these do not say it.

    Examples
    --------
    >>> kind_by_name("layers.0.up.weight", (128, 64)), kind_by_name("layers.0.norm.weight", (64,))
    ('linear', 'norm or bias')
    """
    axes = len(shape)
    last = name.rpartition(".")[2].lower()
    if axes < 2:
        return "norm or bias" if last in _WEIGHT or _NORM.search(name) else "other"
    if last not in _WEIGHT and not last.endswith("embeddings"):
        return "other"
    if _EMBEDDING.search(name):
        return "embedding"
    return "linear" if axes == 2 else "convolution"


def kinds_of(names: Iterable[str], checkpoint: Checkpoint) -> dict[str, str]:
    """Tell the kinds of a checkpoint's tensors.

    The model's class is asked where a configuration lies beside, and names do not say it of all tensors of
    two axes or more: to import its library takes seconds.
    """
    shapes = {name: checkpoint.shape_of(name) for name in names}
    found = {name: kind_by_name(name, shape) for name, shape in shapes.items()}
    unsure = [
        name
        for name, kind in found.items()
        if kind == "other" and len(shapes[name]) > 1 and checkpoint.is_float(name)
    ]
    beside = checkpoint.path.parent / "config.json"
    if not unsure or not beside.is_file():
        return found
    try:
        known = model_class(read_configuration(beside), shapes)
    except (NoClassError, FileError):
        return found
    return found | _by_class(known, unsure)


def _by_class(known: ModelClass, names: Iterable[str]) -> dict[str, str]:
    """Tell the kinds that a model's class knows."""
    kinds = {}
    for name in names:
        said = known.tensors.get(name)
        if said is None:
            continue
        layer = _LAYER.match(said.reason)
        if said.module is not None or said.experts is not None:
            kinds[name] = "linear"
        elif layer is not None and layer[1].startswith("Conv") and layer[1] != "Conv1D":
            kinds[name] = "convolution"
        elif layer is not None and (layer[1] == "Conv1D" or layer[1].endswith("Linear")):
            kinds[name] = "linear"
        elif layer is not None and layer[1].endswith("Embedding"):
            kinds[name] = "embedding"
    return kinds
