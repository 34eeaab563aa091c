"""What a model's layers are, as text in the configuration of a model of transformers.

`to_inference` writes it: a folder of the model's `save_pretrained` then has it, too.
"""

from collections.abc import Iterator
from typing import Any, Final

from torch import nn

from ._formats import to_text
from ._layers import Quantized, slots_of
from ._rounder import Rounder

#: The key of transformers for what a model's weights are; without a `quant_method` it loads no model.
KEY: Final = "quantization_config"
#: The key in it of what layers are.
OWN: Final = "cfloat_layers"


def is_of_transformers(module: nn.Module) -> bool:
    """Whether a model has `save_pretrained`."""
    return any(
        (each.__module__, each.__name__) == ("transformers.modeling_utils", "PreTrainedModel")
        for each in type(module).__mro__
    )


def note_layers(module: nn.Module, of_codes: type[nn.Module]) -> None:
    """Write into the configuration of each model of transformers what its layers are, some of them codes.

    What a model is made of shares its configuration, or has one of its own.
    """
    done: set[int] = set()
    for part in module.modules():
        layers = dict(_layers(part, of_codes)) if is_of_transformers(part) else {}
        if layers:  # a model that is beside those is left as transformers saves and loads it
            config: Any = part.config
            if id(config) not in done:
                done.add(id(config))
                setattr(config, KEY, {"read_by": "cfloat.torch.load_pretrained", OWN: layers})
            # `save_pretrained` gives tensors the names and shapes of older checkpoints, by patterns that know
            # nothing of codes; where this is a list, it takes the patterns in it
            part.__dict__["_weight_conversions"] = []


def _layers(module: nn.Module, of_codes: type[nn.Module]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, layer in module.named_modules(remove_duplicate=False):
        if isinstance(layer, of_codes):
            yield name, _of_codes(layer)
        elif isinstance(layer, Quantized):
            slots = {slot: layer._modules.get(f"{slot}_rounder") for slot in slots_of(layer)}
            rounders = {
                slot: _of_rounder(each) for slot, each in slots.items() if isinstance(each, Rounder)
            }
            yield name, {"rounders": rounders}


def _of_rounder(rounder: Rounder) -> dict[str, Any]:
    """Write what makes a Rounder."""
    return {
        "fmt": to_text(rounder.format),
        "bias": rounder._rule if rounder.learns else rounder._fixed,
        "window": len(rounder.history) if rounder.learns else 1,
        "margin": rounder._margin, "rounding": rounder.rounding, "axis": rounder.axis, "block": rounder.block,
        "positions": rounder._positions, "called": rounder._called,
    }  # fmt: skip


def _of_codes(layer: Any) -> dict[str, Any]:
    """Write what makes a CFloatLinear."""
    bias: Any = layer._rule
    if layer.activation is not None and bias is None:
        bias = "learnt"
    method = layer._method
    return {
        "format": to_text(layer.format),
        "shape": list(layer.codes.shape), "biases": list(layer.weight_bias.shape), "block": layer.block,
        "along": layer._along,
        "activation": None if layer.activation is None else to_text(layer.activation),
        "activation_bias": bias, "learns_by": list(layer._learns_by),
        "method": method if isinstance(method, str) else None, "margin": layer._margin,
        "called": layer._called,
    }  # fmt: skip
