"""Models of transformers with layers of codes, in the folders that their `save_pretrained` writes.

`from_pretrained` makes a model of plain layers, and would leave those at random for which a folder has codes.
So `to_inference` writes into the model's configuration what became of each layer: transformers refuses such a
folder, as it does not know the kind, and `load_pretrained` makes the model again.
"""

import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cfloat._array.array import CFloatArray
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError

from ._attention import OPERANDS, kind_of_attention, why_no_products
from ._by_name import weight_names
from ._formats import code_dtype, from_text
from ._inference import CFloatLinear
from ._layer_notes import KEY, OWN, note_layers
from ._memory import to_numpy
from ._notices import new_model
from ._quantize import change, leave_fast_paths
from ._rounder import Rounder


def _rounder(written: Mapping[str, Any]) -> Rounder:
    how = dict(written)
    positions, called, axis = how.pop("positions"), how.pop("called"), how.pop("axis")
    made = Rounder(
        from_text(how.pop("fmt")), axis=tuple(axis) if isinstance(axis, list) else axis, **how
    )
    made._positions, made._called = positions, called
    return made


def _codes(written: Mapping[str, Any], plain: nn.Linear) -> CFloatLinear:
    """Make a layer of codes that are still to be loaded."""
    fmt = from_text(written["format"])
    codes = to_numpy(torch.zeros(written["shape"], dtype=code_dtype(fmt)))
    if prod(written["biases"]) > codes.size:  # before memory is taken
        raise ValueError(f"biases have shape {tuple(written['biases'])}")
    along = written.get("along")  # which earlier versions did not write
    array = CFloatArray(
        codes, fmt, np.full(written["biases"], fmt.default_bias, np.int16),
        axis=tuple(along) if isinstance(along, list) else along, block=written["block"],
    )  # fmt: skip
    how: dict[str, Any] = {}
    if written["activation"] is not None:
        bias = written["activation_bias"]
        how = {
            "activation": from_text(written["activation"]),
            "activation_bias": None if bias == "learnt" else bias,
        }
    made = CFloatLinear(array, plain.bias, **how)
    made._method = written["method"] or "max"
    made._margin, made._called = written["margin"], written["called"]
    rule, margin = written["learns_by"]
    made._learns_by = rule, margin
    return made


def load_pretrained(
    kind: Any, folder: str | os.PathLike[str], *, attn_implementation: str | None = None
) -> Any:
    """Load a model of transformers that has layers of codes, from a folder of its `save_pretrained`.

    transformers' own `from_pretrained` refuses such a folder.

    Parameters
    ----------
    kind : type
        The model's class in transformers, or an Auto class.
    folder : str or path-like
        What `save_pretrained` wrote of a model that `to_inference` changed.
    attn_implementation : str, optional
        As transformers has it.

    Returns
    -------
    PreTrainedModel
        The model, in evaluation mode, on the CPU.

    Raises
    ------
    ArgumentTypeError
        If `kind` is no such class.
    ArgumentValueError
        If `kind` has other layers than the model that was saved, or computes attention otherwise, as may be
        in another version of transformers.
    FileError
        If the folder is none of such a model, or lacks anything of it.

    See Also
    --------
    to_inference : Makes layers of codes.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> from transformers import BertConfig, BertModel
    >>> from transformers.utils import logging
    >>> logging.disable_progress_bar()
    >>> model = BertModel(BertConfig(hidden_size=32, intermediate_size=64, num_attention_heads=2)).eval()
    >>> model = cf.torch.to_inference(cf.torch.quantize(model, weight=cf.CFloat8_1_4_3))
    >>> ids = torch.arange(8)[None]
    >>> with tempfile.TemporaryDirectory() as folder, torch.no_grad():
    ...     model.save_pretrained(folder)
    ...     other = cf.torch.load_pretrained(BertModel, folder)
    ...     torch.equal(other(ids)[0], model(ids)[0])
    True
    """
    if not (isinstance(kind, type) and hasattr(kind, "from_pretrained")):
        raise ArgumentTypeError(f"kind is {shown(kind)}; it takes a class of transformers")
    from transformers import AutoConfig, GenerationConfig

    path = Path(os.fspath(folder))
    written = _written(path)
    config = AutoConfig.from_pretrained(str(path))
    config.__dict__.pop(KEY, None)
    how = {} if attn_implementation is None else {"attn_implementation": attn_implementation}
    # of transformers: an Auto class has the one, a model's class the other
    make: Any = getattr(kind, "_from_config", None) or getattr(kind, "from_config", None)
    if make is None:
        raise ArgumentTypeError(f"kind is {shown(kind)}; it takes the class of a model")
    model = make(config, **how).eval()
    _remake(model, written)
    _load(model, path)
    if model.can_generate() and (path / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(str(path))
    note_layers(model, CFloatLinear)
    return model


def _written(path: Path) -> dict[str, dict[str, Any]]:
    """Read what became of each layer."""
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"{path / 'config.json'}: {error}") from None
    found = config.get(KEY) if isinstance(config, dict) else None
    layers = found.get(OWN) if isinstance(found, dict) else None
    if not isinstance(layers, dict):
        raise FileError(
            f"{path / 'config.json'}: it says of no layers of codes; from_pretrained loads other models"
        )
    return layers


def _remake(model: nn.Module, written: Mapping[str, dict[str, Any]]) -> None:
    """Let the layers of a plain model be what was written of them."""
    model_number = new_model()
    # by their names in the whole, or in what is inside of a head
    prefix = getattr(model, "base_model_prefix", "")
    plain = dict(model.named_modules(remove_duplicate=False))
    made: dict[nn.Module, CFloatLinear] = {}
    done: set[int] = set()
    for name, each in written.items():
        layer, full = plain.get(name), name
        if layer is None and prefix:
            full = f"{prefix}.{name}"
            layer = plain.get(full)
        if layer is None:
            raise ArgumentValueError(
                f"{type(model).__name__} has no layer {shown(name)}, which the model in the folder has"
            )
        try:
            if "rounders" not in each:
                if not isinstance(layer, nn.Linear) or list(layer.weight.shape) != each["shape"]:
                    raise ArgumentValueError(
                        f"layer {shown(name)} of {type(model).__name__} is not the one in the folder"
                    )
                codes = made.setdefault(layer, _codes(each, layer))
                codes._model = model_number
                model.set_submodule(full, codes.eval())
            elif id(layer) not in done:
                done.add(id(layer))
                # transformers may compute it otherwise than the version that saved the model
                reason = why_no_products(layer)
                if kind_of_attention(layer) is None:
                    reason = "it computes no attention"
                if reason is not None and not set(OPERANDS).isdisjoint(each["rounders"]):
                    raise ArgumentValueError(
                        f"layer {shown(name)} of {type(model).__name__} rounds the products of attention in "
                        f"the folder; here it cannot: {reason}"
                    )
                rounders = {slot: _rounder(how) for slot, how in each["rounders"].items()}
                for rounder in rounders.values():
                    rounder._model = model_number
                change(layer, weight_names(layer), rounders)
        except ArgumentValueError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise FileError(
                f"config.json: what it says of layer {shown(name)} is damaged: {error}"
            ) from None
    leave_fast_paths(model)


def _load(model: nn.Module, path: Path) -> None:
    """Load the files of a folder into a model, and see that nothing lacks."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    index = path / "model.safetensors.index.json"
    try:
        names = ["model.safetensors"]
        if index.exists():
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        elif not (path / names[0]).exists() and any(path.glob("pytorch_model*.bin*")):
            raise ValueError("its weights are pickled; safetensors are read")
        state: dict[str, Tensor] = {}
        for name in names:
            state |= load_file(path / Path(name).name)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise FileError(f"{path}: {error}") from None
    own = model.state_dict(keep_vars=True)
    given = {id(own[key]) for key in state if key in own}
    for key, tensor in own.items():  # of tied ones the folder has the first
        if key not in state and id(tensor) in given:
            state[key] = tensor.detach()
    for key in getattr(model, "_keys_to_ignore_on_save", None) or ():  # which the model computes
        if key in own:
            state.setdefault(key, own[key].detach())
    missing = [key for key in own if key not in state]
    others = [key for key in state if key not in own]
    if missing or others:
        raise FileError(
            f"{path}: of the tensors of {type(model).__name__}, {_some(missing)} are missing; "
            f"{_some(others)} are of others"
        )
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise FileError(f"{path}: {' '.join(str(error).split())}") from None


def _some(names: list[str]) -> str:
    """Count names, and give the first."""
    return f"{len(names):,}" + (f", as {shown(names[0])}," if names else "")
