"""States of `CFloatLinear` in quantized layers, and the text in them that says what the codes are."""

from math import prod
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
    """What codes are: the formats, and how many consecutive weights share a bias.

    Blocks are of a row, or run along `axis`: along another, or along several as one.
    """

    weight: Format
    activation: Format | None
    block: int | None
    axis: int | tuple[int, ...] | None = None

    @property
    def axes(self) -> tuple[int, ...]:
        """What blocks run along; nothing if it is the last axis."""
        return (self.axis,) if isinstance(self.axis, int) else self.axis or ()

    def blocks(self, shape: torch.Size) -> tuple[int, int, int] | None:
        """Tell the blocks from others."""
        return BiasLayout(self.axis, self.block).blocks(shape)

    def where(self) -> str:
        """Say where biases lie."""
        if self.block is None:
            return "not in blocks"
        names = " and ".join(str(axis % 2) for axis in self.axes) or "1"
        return (
            f"one for {self.block} weights along {'axes' if len(self.axes) > 1 else 'axis'} {names}"
        )

    def to_tensor(self) -> Tensor:
        """Write it as text in a tensor of uint8, as safetensors takes it."""
        activation = "" if self.activation is None else to_text(self.activation)
        numbers = " ".join(str(number) for number in (self.block or "", *self.axes))
        text = f"{to_text(self.weight)}\n{activation}\n{numbers}"
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    @classmethod
    def of_tensor(cls, tensor: Tensor) -> "Written":
        """Read it; ValueError if it is no such text."""
        try:
            weight, activation, numbers = bytes(tensor.tolist()).decode().split("\n")
            block, *axes = (int(number) for number in numbers.split()) if numbers else (None,)
            if axes not in ([], [0], [0, 1]) or (block is not None and block < 1):
                raise ValueError(f"blocks are {numbers!r}")
            return cls(
                from_text(weight),
                from_text(activation) if activation else None,
                block,
                tuple(axes) if axes else None,
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


def matrix_layout(weight_bias: Tensor, written: Written) -> BiasLayout:
    """Tell where the biases of a matrix of codes lie by their shape."""
    if weight_bias.ndim == 0:
        return BiasLayout()
    if written.block is not None:
        return BiasLayout(written.axis, written.block)
    rows, columns = weight_bias.shape
    if rows == columns == 1:
        return BiasLayout()
    return BiasLayout(0) if columns == 1 else BiasLayout(1) if rows == 1 else BiasLayout(None, 1)


def placed(weight_bias: Tensor, written: Written, shape: torch.Size) -> tuple[BiasLayout, Tensor]:
    """Give where the biases of a matrix of codes lie, and those; ValueError if they are no such biases."""
    if len(shape) != 2 or (written.block is None and weight_bias.ndim not in (0, 2)):
        raise ValueError(
            f"the weights have biases of shape {tuple(weight_bias.shape)}, and codes of {tuple(shape)}"
        )
    layout = matrix_layout(weight_bias, written)
    taken = layout.shape_of(shape)
    if weight_bias.numel() != prod(taken):
        raise ValueError(
            f"the weights have biases of shape {tuple(weight_bias.shape)}; those that lie "
            f"{written.where()} have {taken}"
        )
    return layout, weight_bias.reshape(taken)


def in_blocks(biases: Tensor, there: Written, here: Written, shape: torch.Size) -> Tensor:
    """Give a state's biases for a matrix of some shape as a layer has them: of the same blocks, if of any.

    There is one bias a weight in states that layers of codes wrote before they kept blocks along other axes
    than the last.  ValueError if blocks are others, or if there were several biases in one.
    """
    if there.blocks(shape) == here.blocks(shape):
        return biases
    reason = f"the layer's lie {here.where()}"
    if there.block is not None or here.block is None:
        raise ValueError(f"biases of the weights lie {there.where()}; {reason}")
    if biases.shape != shape:
        raise ValueError(f"the weights have biases of shape {tuple(biases.shape)}; {reason}")
    layout = BiasLayout(here.axis, here.block)
    # how much a bias is above the least of all is no negative number, as `maxima` takes them
    least = biases.min() if biases.numel() else biases.new_zeros(())
    found = layout.maxima(biases - least) + least
    if not torch.equal(layout.spread(found, shape), biases):
        raise ValueError(f"the weights have several biases in a block; {reason}")
    return found


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
    if weight_bias is None:
        raise ValueError("their weight_bias is missing")
    inputs = layer.activation_rounder
    own = written = Written(rounder.format, None, rounder.block, rounder.axis)
    if found["formats"] is not None:
        written = Written.of_tensor(found["formats"])
        problem = different(written, rounder.format, None if inputs is None else inputs.format)
        if problem:
            raise ValueError(problem)
    if codes.dtype != code_dtype(rounder.format) or codes.shape != layer.weight.shape:
        raise ValueError(
            f"codes are {codes.dtype} of shape {tuple(codes.shape)}; it takes "
            f"{code_dtype(rounder.format)} of {tuple(layer.weight.shape)}"
        )
    if found["formats"] is None and weight_bias.shape == codes.shape:
        written = own._replace(block=None, axis=None)
    in_any = own.block is not None or written.block is not None
    if rounder.learns and weight_bias.ndim and in_any:
        weight_bias, written = in_blocks(weight_bias, written, own, codes.shape), own
    layout, biases = placed(weight_bias, written, codes.shape)
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
