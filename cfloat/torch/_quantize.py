"""`quantize`: a model's layers come to round their weights, activations and output gradients."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, SupportsIndex, TypeVar, cast

from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from cfloat._bias.bias_methods import PeakRule
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._arguments import FLOATS, names
from ._layers import (
    ROLES,
    Quantized,
    QuantizedConv1d,
    QuantizedConv2d,
    QuantizedConv3d,
    QuantizedLinear,
    learn_new_weights,
)
from ._notices import new_model
from ._rounder import Rounder
from ._streams import derived_seed

Bias = PeakRule | SupportsIndex | None
AnyModule = TypeVar("AnyModule", bound=nn.Module)
Argument = TypeVar("Argument")


_QUANTIZED: Final[dict[type[nn.Module], type[Quantized]]] = {
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
    the same names, so that an optimizer goes on with them, and state dicts of the plain model can be loaded:
    the weights' biases are then those of the weights that were loaded, and what was learnt of activations and
    gradients stays as it is.

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
    calibrate : Learns the biases of activations without training.
    summary : What is rounded, and what is not.
    to_inference : Codes in place of rounded weights.

    Notes
    -----
    The weights' biases are known at once, those of activations after `calibrate`, or as those of gradients
    after the first tensors in training mode; a `QuantizationWarning` tells if one is used before.

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
    named = list(_layers(module, skip))
    layers, model = [layer for _, layer in named], new_model()
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
    for (name, layer), rounders in zip(named, made, strict=True):
        own: Any = layer
        own.__class__ = _QUANTIZED[type(layer)]
        for role in ROLES:
            rounder = rounders.get(role)
            if rounder is not None:
                rounder._model = model
                rounder._called = f"the bias of the {_PLURALS[role]} of {_shown_name(name)}"
            own.register_module(
                f"{role}_rounder", rounder and rounder.to(own.weight.device).train(own.training)
            )
        if "weight" in rounders:
            rounders["weight"].observe(own.weight)
        if "activation" in rounders:
            rounders["activation"]._channels = _channels(own)
        own.register_load_state_dict_post_hook(learn_new_weights)
    _leave_fast_paths(module)
    return module


_PLURALS: Final = {"weight": "weights", "activation": "activations", "gradient": "gradients"}


def _shown_name(name: str) -> str:
    return f"layer {shown(name)}" if name else "the layer"


def _channels(layer: nn.Module) -> tuple[int, int] | None:
    """Give the axis of a layer's input that channels lie along, from the last, and their number."""
    if isinstance(layer, nn.Linear):
        return -1, layer.in_features
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return -1 - len(layer.kernel_size), layer.in_channels
    return None


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
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers to quantize, by name."""
    known = {
        name: layer
        for name, layer in module.named_modules()
        if type(layer) in _QUANTIZED or isinstance(layer, Quantized | LazyModuleMixin)
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
        if isinstance(layer, Quantized):
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
        yield name, layer


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
