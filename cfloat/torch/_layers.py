"""`quantize`: Linear and Conv layers whose weights, activations and output gradients are rounded."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, SupportsIndex, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from cfloat._bias.bias_methods import PeakRule
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._arguments import FLOATS, names
from ._rounder import Rounder
from ._streams import derived_seed

Bias = PeakRule | SupportsIndex | None
AnyModule = TypeVar("AnyModule", bound=nn.Module)
Argument = TypeVar("Argument")

ROLES: Final = ("weight", "activation", "gradient")


class _Quantized(nn.Module):
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

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer's output from rounded weights and inputs."""
        if self.activation_rounder is not None:
            x = self.activation_rounder(x)
        weight = cast(Tensor, self.weight)
        if self.weight_rounder is not None:
            weight = self.weight_rounder(weight)
        y = self._compute(x, weight)
        if self.gradient_rounder is None or not y.requires_grad:
            return y
        apply: Callable[[Tensor, Rounder], Tensor] = _RoundGradient.apply
        return apply(y, self.gradient_rounder)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *how: Any) -> None:
        """Load; of a plain layer's state, learn the weights' bias anew."""
        super()._load_from_state_dict(state_dict, prefix, *how)
        rounder = self.weight_rounder
        if rounder is None or not rounder.learns or f"{prefix}weight" not in state_dict:
            return
        if f"{prefix}weight_rounder.history" not in state_dict:
            rounder.history.zero_()
            rounder.observe(cast(Tensor, self.weight))


class _RoundGradient(torch.autograd.Function):
    """Nothing on the way forward; on the way back, rounding."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, rounder: Rounder) -> Tensor:
        ctx.rounder = rounder
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.rounder(gradient), None


class QuantizedLinear(_Quantized, nn.Linear):
    """A Linear layer that rounds what it multiplies; made by `quantize`."""

    def _compute(self, x: Tensor, weight: Tensor) -> Tensor:
        return nn.functional.linear(x, weight, self.bias)


class _QuantizedConv(_Quantized):
    _conv_forward: Callable[[Tensor, Tensor, Tensor | None], Tensor]

    def _compute(self, x: Tensor, weight: Tensor) -> Tensor:
        return self._conv_forward(x, weight, cast(Tensor | None, self.bias))


class QuantizedConv1d(_QuantizedConv, nn.Conv1d):
    """A Conv1d layer that rounds what it multiplies; made by `quantize`."""


class QuantizedConv2d(_QuantizedConv, nn.Conv2d):
    """A Conv2d layer that rounds what it multiplies; made by `quantize`."""


class QuantizedConv3d(_QuantizedConv, nn.Conv3d):
    """A Conv3d layer that rounds what it multiplies; made by `quantize`."""


_QUANTIZED: Final[dict[type[nn.Module], type[_Quantized]]] = {
    nn.Linear: QuantizedLinear,
    nn.Conv1d: QuantizedConv1d,
    nn.Conv2d: QuantizedConv2d,
    nn.Conv3d: QuantizedConv3d,
}


def quantize(
    module: AnyModule,
    *,
    weight: Format | str | None = None,
    activation: Format | str | None = None,
    gradient: Format | str | None = None,
    bias: Bias | Mapping[str, Bias] = "max",
    window: SupportsIndex = 16,
    margin: SupportsIndex = 0,
    rounding: RoundingMode | Mapping[str, RoundingMode] = "ties_to_even",
    seed: SupportsIndex | None = None,
    skip: Iterable[str] | Callable[[str, nn.Module], bool] = (),
) -> AnyModule:
    """Let the Linear and Conv layers of a model round weights, activations and output gradients.

    Products are of rounded numbers and sums are PyTorch's, in the layer's own dtype: it is what hardware
    computes that stores these tensors in a format.  The parameters stay as they are, the same tensors under
    the same names, so that an optimizer goes on with them, and state dicts of the plain model can be loaded
    with ``strict=False``: the weights' biases are then those of the weights that were loaded.

    Parameters
    ----------
    module : Module
        The model, changed in place.  Layers whose class is exactly Linear, Conv1d, Conv2d or Conv3d become
        `QuantizedLinear`, `QuantizedConv1d`, ...; it may be such a layer itself.
    weight, activation, gradient : Format or str, optional
        The formats to which a layer rounds its weights, its input, and the gradient of its output, from
        which those of its weights and its input are computed; None leaves them alone.
    bias : "max", "mx", int or None, or a mapping from "weight", "activation" and "gradient" to these
        As in `Rounder`: learnt in training mode ("max", the default, or "mx"), given, or the format's
        default.
    window, margin : int
        As in `Rounder`.
    rounding : str, or a mapping from "weight", "activation" and "gradient" to str
        As in `cfloat.round_to`; to nearest, ties to even, by default.
    seed : int, optional
        Seed of stochastic rounding, from which each layer and role gets a stream of its own; PyTorch's
        default generator draws them if None.
    skip : iterable of str, or callable, default ()
        Names of layers to leave alone, or patterns of names as a shell's; or a function of a layer's name and
        the layer that returns whether to leave it alone.

    Returns
    -------
    Module
        `module`.

    Raises
    ------
    ArgumentTypeError
        If `module` is no Module, or an argument not of a type above.
    ArgumentValueError
        If no format is given, a layer is quantized already or does not know its shape yet, no layer is found,
        a name in `skip` fits none, or another argument is not as above.

    See Also
    --------
    Rounder : What rounds; each layer has one a role.
    to_inference : Codes in place of rounded weights.

    Notes
    -----
    The weights' biases are known at once, and those of activations and gradients after the first tensors in
    training mode: run some before you evaluate a model that was trained without.

    A layer's own `bias`, which is added, is not rounded.  Layers whose weights another module reads, as
    `MultiheadAttention` does, are not found.  `TransformerEncoderLayer` does not use its fast path any more,
    which calls no layers.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> _ = cf.torch.quantize(
    ...     model, weight=cf.CFloat8_1_4_3, activation=cf.CFloat8_1_4_3, gradient=cf.CFloat8_1_5_2,
    ...     rounding={"gradient": "stochastic"}, seed=1,
    ... )
    >>> model(torch.ones(3, 4)).sum().backward()
    >>> model[0].activation_rounder.bias, model[0].gradient_rounder.format.name
    (15, 'CFloat8_1_5_2')
    """
    if not isinstance(module, nn.Module):
        raise ArgumentTypeError(f"module is {shown(module)}; it takes a torch.nn.Module")
    formats = {"weight": weight, "activation": activation, "gradient": gradient}
    given = {role: as_format(fmt, role) for role, fmt in formats.items() if fmt is not None}
    if not given:
        raise ArgumentValueError("no format is given; it takes one of weight, activation, gradient")
    biases: dict[str, Bias] = _by_role("bias", bias, "max")
    modes: dict[str, RoundingMode] = _by_role("rounding", rounding, "ties_to_even")
    base = None if seed is None else check_seed(seed)
    layers = list(_layers(module, skip))
    made = [
        {
            role: Rounder(
                fmt, bias=biases[role], window=window, margin=margin, rounding=modes[role],
                seed=None if base is None else derived_seed(base, len(ROLES) * i + ROLES.index(role)),
            )
            for role, fmt in given.items()
        }
        for i in range(len(layers))
    ]  # fmt: skip
    for layer, rounders in zip(layers, made, strict=True):
        own: Any = layer
        own.__class__ = _QUANTIZED[type(layer)]
        for role in ROLES:
            rounder = rounders.get(role)
            own.register_module(
                f"{role}_rounder", rounder and rounder.to(own.weight.device).train(own.training)
            )
        if "weight" in rounders:
            rounders["weight"].observe(own.weight)
    _leave_fast_paths(module)
    return module


def _leave_fast_paths(module: nn.Module) -> None:
    """Let transformers call their layers: their fast path reads the layers' weights as they are."""
    for part in module.modules():
        if isinstance(part, nn.TransformerEncoder):
            part.use_nested_tensor = False
        elif isinstance(part, nn.TransformerEncoderLayer):
            part.register_forward_pre_hook(_no_fast_path)  # any hook does it


def _no_fast_path(*_: Any) -> None:
    pass


def _by_role(
    name: str, given: Argument | Mapping[str, Argument], default: Argument
) -> dict[str, Argument]:
    """Return an argument for each role."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(ROLES, given)
    unknown = [role for role in given if role not in ROLES]
    if unknown:
        raise ArgumentValueError(
            f"{name} has the key {shown(unknown[0])}; it takes {', '.join(ROLES)}"
        )
    return {role: given.get(role, default) for role in ROLES}


def _layers(
    module: nn.Module, skip: Iterable[str] | Callable[[str, nn.Module], bool]
) -> Iterator[nn.Module]:
    """Yield the layers to quantize."""
    known = {
        name: layer
        for name, layer in module.named_modules()
        if type(layer) in _QUANTIZED or isinstance(layer, _Quantized | LazyModuleMixin)
    }
    if callable(skip):
        left_alone = {name for name, layer in known.items() if skip(name, layer)}
    else:
        left_alone = _matching(known, skip)
    found = [(name, layer) for name, layer in known.items() if name not in left_alone]
    if not found:
        raise ArgumentValueError(
            f"module has no Linear or Conv layer{' that is not skipped' if known else ''}"
        )
    for name, layer in found:
        if isinstance(layer, _Quantized):
            raise ArgumentValueError(f"layer {shown(name)} is quantized already")
        if isinstance(layer, LazyModuleMixin):
            raise ArgumentValueError(
                f"layer {shown(name)} does not know its shape yet; run the model once before"
            )
        dtype = cast(Tensor, layer.weight).dtype
        if dtype not in FLOATS:
            raise ArgumentTypeError(
                f"layer {shown(name)} has dtype {dtype}; it takes {names(FLOATS)}"
            )
        yield layer


def _matching(known: Iterable[str], patterns: Iterable[str]) -> set[str]:
    if isinstance(patterns, str):
        raise ArgumentTypeError(f"skip is {shown(patterns)}; it takes several: [{patterns!r}]")
    if not isinstance(patterns, Iterable):
        raise ArgumentTypeError(
            f"skip is {shown(patterns)}; it takes names of layers or a function"
        )
    matching: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ArgumentTypeError(f"skip has {shown(pattern)}; it takes names of layers")
        own = {name for name in known if fnmatchcase(name, pattern)}
        if not own:
            raise ArgumentValueError(f"skip has {shown(pattern)}, which fits no layer's name")
        matching |= own
    return matching
