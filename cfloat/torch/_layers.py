"""Layers whose weights, activations and output gradients are rounded, and how they load what was saved.

A state dict may be a layer's own, a plain layer's, or that of a `CFloatLinear` that was made of one.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from cfloat._compensate.round_compensated import CompensationStats

from ._attention import OPERANDS
from ._codes_in_states import take_codes
from ._distributed import is_dtensor, local
from ._rounder import KEYS_OF_ROUNDERS, Rounder
from ._wrong_inputs import check_failed

ROLES: Final = ("weight", "activation", "gradient")


class Quantized(nn.Module):
    """What quantized layers have in common.

    Attributes
    ----------
    weight_rounder, activation_rounder, gradient_rounder : Rounder or None
        What rounds the weights, the input, and the gradient of the output; None leaves it as it is.
    """

    weight_rounder: Rounder | None
    activation_rounder: Rounder | None
    gradient_rounder: Rounder | None

    _compute: Callable[[Tensor, Tensor], Tensor]
    # the weights that are rounded, each by its name and "_rounder"
    _weight_names: tuple[str, ...] = ("weight",)
    # whether a plain layer's state is being loaded, whose weights have biases of their own
    _has_new_weights = False
    # what compensated rounding of each weight came to, or why there was none
    _compensation: dict[str, CompensationStats | str]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer's output from rounded weights and inputs."""
        if self.activation_rounder is not None:
            x = self.activation_rounder(x)
        weight = cast(Tensor, self.weight)
        if self.weight_rounder is not None:
            weight = self.weight_rounder(weight)
        if torch.compiler.is_compiling():
            y = self._compute(x, weight)
        else:
            try:
                y = self._compute(x, weight)
            except Exception as error:
                check_failed(error, self, Quantized.forward, x)
                raise
        if self.gradient_rounder is None or not y.requires_grad:
            return y
        return round_gradient(y, self.gradient_rounder)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *how: Any) -> None:
        """Load a state; to that of a plain layer, or of codes, what it lacks is added."""
        own = dict(rounders_of(self))
        self.__dict__.pop("_compensation", None)  # of other weights
        if f"{prefix}codes" in state_dict:
            take_codes(self, state_dict, prefix, errors=how[-1])
        elif is_plain(state_dict, prefix, own):
            add_current(state_dict, prefix, own)
            self._has_new_weights = True
        elif has_new_shards(self, state_dict, prefix, own):
            self._has_new_weights = True
        super()._load_from_state_dict(state_dict, prefix, *how)


def slots_of(layer: Quantized) -> tuple[str, ...]:
    """Give the names of what a layer may round, each beside its rounder."""
    return (*layer._weight_names, *ROLES[1:], *OPERANDS)


def rounders_of(layer: nn.Module) -> Iterator[tuple[str, Rounder]]:
    """Yield a layer's own rounders, by the names of its attributes."""
    for name, part in layer._modules.items():
        if isinstance(part, Rounder):
            yield name, part


def is_plain(state_dict: Any, prefix: str, own: dict[str, Rounder]) -> bool:
    """Whether a state has a layer, and nothing of its rounders, nor of those of layers within it."""
    kept = [key.removeprefix(prefix) for key in state_dict if key.startswith(prefix)]
    if any(key.startswith(f"{name}.") for name in own for key in kept):
        return False
    paths = [key.rpartition(".") for key in kept]
    return bool(kept) and not any(
        last == "codes" or (path.endswith("_rounder") and last in KEYS_OF_ROUNDERS)
        for path, _, last in paths
    )


def has_new_shards(layer: Quantized, state_dict: Any, prefix: str, own: dict[str, Rounder]) -> bool:
    """Whether a state of shards has other weights than a layer, and all of its rounders' own buffers.

    It is what PyTorch's `set_model_state_dict` makes of a plain one: it adds what the model has now.
    """
    weights = [
        (state_dict.get(f"{prefix}{name}"), getattr(layer, name)) for name in layer._weight_names
    ]
    buffers = [
        (state_dict.get(f"{prefix}{name}.{key}"), buffer)
        for name, rounder in own.items()
        for key, buffer in rounder._buffers.items()
    ]
    return (
        bool(weights)
        and all(is_dtensor(weight) for _, weight in weights)
        and all(is_dtensor(found) and not _is_same(found, weight) for found, weight in weights)
        and all(isinstance(found, Tensor) and _is_same(found, buffer) for found, buffer in buffers)
    )


def _is_same(one: Any, other: Any) -> bool:
    """Whether two tensors are in the same memory."""
    same: bool = local(one).data_ptr() == local(other).data_ptr()
    return same


def add_current(state_dict: Any, prefix: str, own: dict[str, Rounder]) -> None:
    """Add to a state what rounders have now, where it says nothing of it."""
    for name, rounder in own.items():
        for key, buffer in rounder._buffers.items():
            state_dict.setdefault(f"{prefix}{name}.{key}", buffer)


def learn_new_weights(layer: Quantized, _: Any) -> None:
    """After a plain layer's state was loaded: learn the weights' biases anew."""
    if not layer._has_new_weights:
        return
    layer._has_new_weights = False
    for name in layer._weight_names:
        rounder = getattr(layer, f"{name}_rounder")
        if rounder is not None and rounder.learns:
            rounder.history.zero_()
            rounder.observed.zero_()
            rounder.observe(getattr(layer, name))


class _RoundGradient(torch.autograd.Function):
    """Nothing on the way forward; on the way back, rounding."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, rounder: Rounder) -> Tensor:
        ctx.rounder = rounder
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.rounder(gradient), None


def round_gradient(y: Tensor, rounder: Rounder) -> Tensor:
    """Give a tensor whose gradient is rounded on its way back."""
    apply: Callable[[Tensor, Rounder], Tensor] = _RoundGradient.apply
    return apply(y, rounder)


class QuantizedLinear(Quantized, nn.Linear):
    """A Linear layer that rounds what it multiplies; made by `quantize`."""

    def _compute(self, x: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.linear(x, weight, self.bias)


class _QuantizedConv(Quantized):
    _conv_forward: Callable[[Tensor, Tensor, Tensor | None], Tensor]

    def _compute(self, x: Tensor, weight: Tensor) -> Tensor:
        return self._conv_forward(x, weight, cast(Tensor | None, self.bias))


class QuantizedConv1d(_QuantizedConv, nn.Conv1d):
    """A Conv1d layer that rounds what it multiplies; made by `quantize`."""


class QuantizedConv2d(_QuantizedConv, nn.Conv2d):
    """A Conv2d layer that rounds what it multiplies; made by `quantize`."""


class QuantizedConv3d(_QuantizedConv, nn.Conv3d):
    """A Conv3d layer that rounds what it multiplies; made by `quantize`."""
