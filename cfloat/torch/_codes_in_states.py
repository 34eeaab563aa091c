"""States of `CFloatLinear` in quantized layers, and the text in them that says what the codes are."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cfloat._core.format import Format
from cfloat.errors import FormatError

from ._conversion import decode
from ._formats import code_dtype, from_text, to_text
from ._layout import BiasLayout

#: What a state says of a bias that was given: it was learnt of so many tensors.
GIVEN = -1

#: The keys of `CFloatLinear`'s state that no plain layer has.
KEYS = ("codes", "weight_bias", "formats", "activation_biases", "activation_observed")


class Written(NamedTuple):
    """What codes are: the formats, and how many weights of a row share a bias."""

    weight: Format
    activation: Format | None
    block: int | None

    def to_tensor(self) -> Tensor:
        """Write it as text in a tensor of uint8, as safetensors takes it."""
        activation = "" if self.activation is None else to_text(self.activation)
        text = f"{to_text(self.weight)}\n{activation}\n{self.block or ''}"
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    @classmethod
    def of_tensor(cls, tensor: Tensor) -> "Written":
        """Read it; ValueError if it is no such text."""
        try:
            weight, activation, block = bytes(tensor.tolist()).decode().split("\n")
            return cls(
                from_text(weight),
                from_text(activation) if activation else None,
                int(block) if block else None,
            )
        except (ValueError, FormatError, TypeError) as error:
            raise ValueError(f"formats is no text of formats: {error}") from None


def different(written: Written, weight: Format, activation: Format | None) -> str | None:
    """Say how what is written differs from what a layer has; None if it doesn't."""
    for what, there, here in (
        ("weights", written.weight, weight),
        ("activations", written.activation, activation),
    ):
        if there != here:
            names = [each.name if each is not None else "no format" for each in (there, here)]
            return f"{what} are of {names[0]}; the layer's are of {names[1]}"
    return None


def matrix_layout(weight_bias: Tensor, block: int | None) -> BiasLayout:
    """Tell where the biases of a matrix of codes lie by their shape."""
    if weight_bias.ndim == 0:
        return BiasLayout()
    if block is not None:
        return BiasLayout(None, block)
    rows, columns = weight_bias.shape
    if rows == columns == 1:
        return BiasLayout()
    return BiasLayout(0) if columns == 1 else BiasLayout(1) if rows == 1 else BiasLayout(None, 1)


def take_codes(layer: nn.Module, state: Any, prefix: str, errors: list[str]) -> None:
    """Make of the state of codes, in place, that of a quantized layer: the weights that they stand for."""
    try:
        _take_codes(layer, state, prefix)
    except ValueError as error:
        errors.append(f"{prefix}codes cannot be loaded into this layer: {error}")
        for key in [key for key in state if key.startswith(prefix)]:
            del state[key]
        state.update({f"{prefix}{key}": value for key, value in _current(layer).items()})


def _take_codes(layer: Any, state: Any, prefix: str) -> None:
    found = {key: state.pop(f"{prefix}{key}", None) for key in KEYS}
    codes, weight_bias = found["codes"], found["weight_bias"]
    rounder = getattr(layer, "weight_rounder", None)
    if rounder is None:
        raise ValueError("it does not round weights")
    inputs = layer.activation_rounder
    block = rounder.block
    if found["formats"] is not None:
        written = Written.of_tensor(found["formats"])
        problem = different(written, rounder.format, None if inputs is None else inputs.format)
        if problem:
            raise ValueError(problem)
        block = written.block
    if codes.dtype != code_dtype(rounder.format) or codes.shape != layer.weight.shape:
        raise ValueError(
            f"codes are {codes.dtype} of shape {tuple(codes.shape)}; it takes "
            f"{code_dtype(rounder.format)} of {tuple(layer.weight.shape)}"
        )
    layout = matrix_layout(weight_bias, block)
    shape = layout.shape_of(codes.shape)
    biases = weight_bias.reshape(shape)
    spread = layout.spread(biases, codes.shape)
    state[f"{prefix}weight"] = decode(codes, rounder.format, spread, dtype=layer.weight.dtype)
    current = {key: value for key, value in _current(layer).items() if "_rounder." in key}
    observed = torch.tensor([codes.numel(), 1])
    current |= _chosen(rounder, "weight_rounder", biases, observed, "weights")
    if inputs is not None and found["activation_biases"] is not None:
        current |= _chosen(
            inputs, "activation_rounder", found["activation_biases"], found["activation_observed"],
            "activations",
        )  # fmt: skip
    for key, value in current.items():
        state.setdefault(f"{prefix}{key}", value)


def _current(layer: nn.Module) -> dict[str, Tensor]:
    return {**layer.state_dict()}


def _chosen(
    rounder: Any, name: str, biases: Tensor, observed: Tensor, what: str
) -> dict[str, Tensor]:
    """Give the state of a rounder that has these biases."""
    if not rounder.learns:
        if bool((biases != rounder.bias).any()):
            raise ValueError(
                f"{what} have bias {_text(biases)}; the layer's is given as {rounder.bias}"
            )
        return {}
    shape = tuple(rounder.history.shape[1:])
    may_adopt = rounder._channels is not None and tuple(biases.shape) in ((), rounder._channels[1:])
    if tuple(biases.shape) != shape and not may_adopt:
        raise ValueError(
            f"{what} have biases of shape {tuple(biases.shape)}; the layer's have {shape}"
        )
    if int(observed[1]) == GIVEN:
        observed = torch.tensor([0, 1])
    if not int(observed[1]):  # nothing was learnt
        history = rounder.history.new_zeros((len(rounder.history), *biases.shape))
    else:
        history = rounder.history.new_full((len(rounder.history), *biases.shape), -1)
    return {f"{name}.history": history, f"{name}.biases": biases, f"{name}.observed": observed}


def _text(biases: Tensor) -> str:
    low, high = int(biases.min()), int(biases.max())
    return str(low) if low == high else f"{low} to {high}"
