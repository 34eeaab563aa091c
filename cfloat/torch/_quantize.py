"""`quantize`: a model's layers come to round their weights, activations and output gradients."""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final, SupportsIndex, TypeVar

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from cfloat._bias.bias_methods import PEAK_RULES, PeakRule
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, as_format
from cfloat._core.rounding import RoundingMode, check_seed
from cfloat._core.text import shown
from cfloat._files.plan_file import TensorChoice, granularity_parts, read_plan
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError

from ._arguments import FLOATS, names
from ._attention import OPERANDS, kind_of_attention, take_over, why_no_products
from ._by_name import (
    by_name,
    has_inputs,
    input_channels,
    is_covered,
    read_by_others,
    weight_names,
    why_not,
    with_parametrizations,
)
from ._compensate import Moments, MomentsOfModel, Place, compensate_rounded, own_weights
from ._distributed import has_ranks, of_rank_0
from ._layers import (
    ROLES,
    Quantized,
    QuantizedConv1d,
    QuantizedConv2d,
    QuantizedConv3d,
    QuantizedLinear,
    learn_new_weights,
)
from ._layout import BiasLayout
from ._notices import QuantizationWarning, new_model
from ._rounder import Rounder
from ._streams import derived_seed, drawn_seed

Bias = PeakRule | SupportsIndex | None
AnyModule = TypeVar("AnyModule", bound=nn.Module)
Argument = TypeVar("Argument")

#: What takes a format.
_ARGUMENTS: Final = (*ROLES, "attention")
#: The first of the parts of a seed that attention's products have.
_PRODUCTS: Final = 1 << 32

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
    attention: Format | str | None = None,
    bias: Bias | Mapping[str, Bias] = "max",
    window: SupportsIndex = 16,
    margin: SupportsIndex = 0,
    rounding: RoundingMode | Mapping[str, RoundingMode] = "ties_to_even",
    seed: SupportsIndex | None = None,
    skip: Iterable[str] | Callable[[str, nn.Module], bool] = (),
    granularity: str = "tensor",
    rules: Mapping[str, Mapping[str, Any] | None] | None = None,
    plan: str | os.PathLike[str] | None = None,
    moments: Moments | None = None,
) -> AnyModule:
    """Let the layers of a model round weights, activations and output gradients.

    Products are of rounded numbers and sums are PyTorch's, in the layer's own dtype: it is what hardware
    computes that stores these tensors in a format.  The parameters stay as they are, the same tensors under
    the same names, so that an optimizer goes on with them, and state dicts of the plain model can be loaded:
    the weights' biases are then those of the weights that were loaded, and what was learnt of activations and
    gradients stays as it is.

    Parameters
    ----------
    module : Module
        The model, changed in place.  Layers whose class is exactly Linear, Conv1d, Conv2d or Conv3d become
        `QuantizedLinear`, `QuantizedConv1d`, ...  Subclasses of these, transposed convolutions, Embedding,
        EmbeddingBag, Bilinear, MultiheadAttention, RNN, LSTM, GRU and their cells, transformers' Conv1D, and
        all of these with parametrizations as of weight norm, compute as their own classes do, of weights that
        are rounded.  It may be such a layer itself.
    weight, activation, gradient : Format or str, optional
        The formats to which a layer rounds its weights, its input, and the gradient of its output, from
        which those of its weights and its input are computed; None leaves them alone.
    attention : Format or str, optional
        The format to which the operands of attention's two products are rounded: queries and keys, and
        probabilities and values, each once; with biases that are learnt as those of activations.  Of
        MultiheadAttention, whose out_proj then rounds its input to `activation`, too, and of layers of
        transformers that compute by its attention interface, by "sdpa" or "eager".  None leaves them alone.
    bias : "max", "mx", int or None, or a mapping to these
        Of all, or by "weight", "activation", "gradient" and "attention".  As in `Rounder`: learnt in training
        mode ("max", the default, or "mx"), given, or the format's default.
    window, margin : int
        As in `Rounder`.
    rounding : str, or a mapping to str
        Of all, or by the same names.  As in `cfloat.round_to`; to nearest, ties to even, by default.
    seed : int, optional
        Seed of stochastic rounding, from which each layer and role gets a stream of its own; PyTorch's
        default generator draws them if None, and where a process group is initialised, rank 0's draws one for
        all ranks, which must all call this then.
    skip : iterable of str, or callable, default ()
        Names of layers to leave alone, or patterns of names as a shell's; or a function of a layer's name and
        the layer that returns whether to leave it alone.
    granularity : str, optional
        Where biases of weights lie that are learnt, as a plan's file says it: "tensor", one for all; "axis
        0", one for each slice along an axis; "block 32", one for so many elements of the last axis; "block 32
        along 1-3", of others.
    rules : mapping from str to mapping or None, optional
        For layers whose names fit a pattern, as a shell's, other arguments than for the rest: of `weight`,
        `activation`, `gradient`, `attention`, `bias`, `window`, `margin`, `rounding` and `granularity`; None
        to leave them alone.  Of several patterns that fit, the first counts.
    plan : str or path-like, optional
        A file of `cfloat plan`, that says of each weight by its name in the state dict which format and
        granularity it has, or that it is unchanged.  It counts before `weight` and `granularity`.
    moments : Sensitivity, str, path-like, or mapping from str to SecondMoment or several, optional
        What `collect_moments` gives, a file of it, or the same by the names of weights: weights that are
        rounded are replaced, in place, by `cfloat.round_compensated` of them, at the biases that they have
        here.  Of weights that are not rounded, moments are not used.

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
        a name in `skip` or `rules` fits none, `moments` has a name that no parameter has, or one whose shape
        does not fit, or is of no weight that is rounded, or another argument is not as above.
    FileError
        If `plan` or `moments` cannot be read.

    Warns
    -----
    QuantizationWarning
        Once, with the names of what holds weights and is left alone without being asked for; of what computes
        attention and does not round its products, though it is asked for, or activations are rounded; and of
        what a plan gives a format to and no layer rounds.  With `moments`, once more, with the names of
        weights that are rounded to nearest all the same, but for embeddings, of which nearest is best.

    See Also
    --------
    Rounder : What rounds; each layer has one a role.
    calibrate : Learns the biases of activations without training.
    collect_moments : What `moments` takes.
    summary : What is rounded, and what is not.
    to_inference : Codes in place of rounded weights.

    Notes
    -----
    The weights' biases are known at once, those of activations after `calibrate`, or as those of gradients
    after the first tensors in training mode; a `QuantizationWarning` tells if one is used before.

    A layer's own `bias`, which is added, is not rounded.  `TransformerEncoderLayer` does not use its fast
    path any more, which calls no layers.  Of recurrent layers the inputs are rounded, and not what they
    compute in between, nor of attention without `attention`: `summary` says so.

    What `moments` make of weights are values of the format, which rounding in any mode leaves as they are: it
    is for a model that was trained.  Training may go on from it, and then they are weights like any others.
    `summary` says what was gained.

    With `attention`, rounded queries are multiplied by rounded keys, and the product is scaled; probabilities
    are computed of it in float32, or a wider dtype; some are dropped in training mode, what is left is
    rounded, and multiplied by rounded values.  A query that may look at nothing comes to zeros.

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
    base = None if seed is None else check_seed(seed)
    common = _Settings.of(
        weight=weight, activation=activation, gradient=gradient, bias=bias, window=window, margin=margin,
        rounding=rounding, granularity=granularity, attention=attention,
    )  # fmt: skip
    planned = {} if plan is None else read_plan(plan, compensates=moments is not None)
    if not common.formats and not rules and plan is None:
        raise ArgumentValueError(f"no format is given; it takes one of {', '.join(_ARGUMENTS)}")
    found, attending, left = _layers(module, skip)
    ruled, inner = _ruled(common, rules, {**found, **attending}), read_by_others(module)
    unrounded = _unrounded_products(ruled, attending)
    rounding_products = {
        id(layer)
        for name, layer in attending.items()
        if name not in unrounded and _format_of(ruled[name], "attention") is not None
    }
    if attention is not None and not attending:
        raise ArgumentValueError(
            "attention is given, and module has no layer that computes attention and is not skipped"
        )
    if base is None and has_ranks() and any(map(_draws, (common, *ruled.values()))):
        base = of_rank_0(int(drawn_seed()) % 2**64)  # shards of a layer are rounded as one
    model, part, made = new_model(), 0, []
    for name, layer in found.items():
        parts, settings = weight_names(layer), ruled[name]
        slots = (*parts, *ROLES[1:])
        rounders: dict[str, Rounder] = {}
        for i, slot in enumerate(slots):
            is_read = (
                id(layer) in inner
                and slot in ROLES[1:]
                and (slot == "gradient" or id(inner[id(layer)]) not in rounding_products)
            )
            rounder = _rounder(
                None if is_read else settings, slot, layer, f"{name}.{slot}" if name else slot, planned,
                None if base is None else derived_seed(base, part + i),
            )  # fmt: skip
            if rounder is not None:
                role = slot if slot in ROLES else "weight"
                rounder._model = model
                rounder._called = f"the bias of the {_PLURALS[role]} of {_shown_name(name)}"
                rounders[slot] = rounder
        part += len(slots)
        if rounders:
            made.append((layer, parts, rounders))
    by_layer = {id(each[0]): each for each in made}
    for i, (name, layer) in enumerate(attending.items()):
        if id(layer) in rounding_products:
            # streams of their own, so that those of other layers are what they are without
            first = None if base is None else partial(derived_seed, base)
            rounders = _for_products(ruled[name], name, model, first, _PRODUCTS + i * len(OPERANDS))
            if id(layer) in by_layer:
                by_layer[id(layer)][2].update(rounders)
            else:
                made.append((layer, weight_names(layer), rounders))
    if not made:
        name, why = next(iter(unrounded.items()), ("", ""))
        raise ArgumentValueError(
            f"no products of attention can be rounded: of {_shown_name(name)}, as {why}"
            if why
            else "no layer is given a format by rules or plan"
        )
    taken = None
    if moments is not None:
        taken = MomentsOfModel(moments, module)
        taken.check_used(
            own_weights(
                Place(layer, part, rounders[part])
                for layer, parts, rounders in made
                for part in parts
                if part in rounders
            )
        )
    for layer, parts, rounders in made:
        change(layer, parts, rounders)
    leave_fast_paths(module)
    if taken is not None:
        compensate_rounded(module, taken)
    _tell_left(left, unrounded, found, made, planned)
    return module


@dataclass(frozen=True)
class _Settings:
    """How a layer is to round: what `quantize` takes of it."""

    formats: dict[str, Format]
    biases: dict[str, Bias]
    modes: dict[str, RoundingMode]
    window: SupportsIndex
    margin: SupportsIndex
    layout: BiasLayout
    given: dict[str, Any]
    # whether a rule says what becomes of attention's products
    says_of_attention: bool = False

    @classmethod
    def of(cls, **given: Any) -> "_Settings":
        """Check arguments, and take them."""
        formats = {
            role: as_format(given[role], role) for role in _ARGUMENTS if given[role] is not None
        }
        biases: dict[str, Bias] = _by_role("bias", given["bias"], "max")
        modes: dict[str, RoundingMode] = _by_role("rounding", given["rounding"], "ties_to_even")
        window, margin = given["window"], given["margin"]
        for role, fmt in formats.items():  # which checks them
            Rounder(
                fmt, bias=biases[role], window=window, margin=margin, rounding=modes[role], seed=0
            )
        text = given["granularity"]
        if not isinstance(text, str):
            raise ArgumentTypeError(f"granularity is {shown(text)}; it takes a string")
        try:
            layout = BiasLayout(*granularity_parts("quantize", text))
        except FileError as error:
            raise ArgumentValueError(str(error).removeprefix("quantize: ")) from None
        return cls(formats, biases, modes, window, margin, layout, given)


def _draws(settings: _Settings | None) -> bool:
    return settings is not None and "stochastic" in settings.modes.values()


def _ruled(
    common: _Settings, rules: Any, found: Mapping[str, nn.Module]
) -> dict[str, _Settings | None]:
    """Give the settings of each layer; None of one that a rule leaves alone."""
    if rules is None:
        return dict.fromkeys(found, common)
    if not isinstance(rules, Mapping):
        raise ArgumentTypeError(f"rules is {shown(rules)}; it takes a mapping of patterns")
    chosen: dict[str, _Settings | None] = {}
    for pattern, rule in rules.items():
        fitting = _matching(found, [pattern], "rules")
        settings = None
        if rule is not None:
            if not isinstance(rule, Mapping):
                raise ArgumentTypeError(
                    f"rules[{shown(pattern)}] is {shown(rule)}; it takes a mapping of arguments, or None"
                )
            unknown = [key for key in rule if key not in common.given]
            if unknown:
                raise ArgumentValueError(
                    f"rules[{shown(pattern)}] has the key {shown(unknown[0])}; it takes "
                    f"{', '.join(common.given)}"
                )
            settings = _Settings.of(**{**common.given, **rule})
            settings = replace(settings, says_of_attention="attention" in rule)
        for name in found:
            if name in fitting:
                chosen.setdefault(name, settings)
    return {name: chosen.get(name, common) for name in found}


def _rounder(
    settings: _Settings | None,
    slot: str,
    layer: nn.Module,
    name: str,
    planned: Mapping[str, TensorChoice],
    seed: int | None,
) -> Rounder | None:
    """Make what rounds a weight of a layer, or its activations or gradients; None if nothing does."""
    if settings is None or (slot == "activation" and not has_inputs(layer)):
        return None
    role = slot if slot in ROLES else "weight"
    fmt, layout = settings.formats.get(role), BiasLayout()
    bias: Bias = settings.biases[role]
    if role == "weight":
        layout = settings.layout
        choice = planned.get(name)
        if choice is not None:
            shape = tuple(getattr(layer, slot).shape)
            choice.check_shape(name, shape)
            if isinstance(choice.block, tuple):
                raise ArgumentValueError(
                    "plan is of an export, whose scales no layer here has; it takes one of biases"
                )
            fmt, layout = choice.format, BiasLayout(choice.axis, choice.block)
        elif not layout.is_one and fmt is not None:
            _check_granularity(layout, tuple(getattr(layer, slot).shape), name)
    if fmt is None:
        return None
    if not layout.is_one and not (isinstance(bias, str) and bias in PEAK_RULES):
        layout = BiasLayout()  # which is given, and one
    return Rounder(
        fmt, bias=bias, window=settings.window, margin=settings.margin, rounding=settings.modes[role],
        seed=seed, axis=layout.axis, block=layout.block,
    )  # fmt: skip


def _check_granularity(layout: BiasLayout, shape: tuple[int, ...], name: str) -> None:
    choice = TensorChoice(CFloat8_1_4_3, layout.axis, layout.block, where="granularity")
    try:
        choice.check_shape(name, shape)
    except FileError as error:
        raise ArgumentValueError(str(error)) from None


def change(layer: Any, parts: tuple[str, ...], rounders: dict[str, Rounder]) -> None:
    """Let a layer round."""
    owned = next(layer.parameters(), None)
    device = getattr(layer, parts[0]).device if parts else None if owned is None else owned.device
    if OPERANDS[0] in rounders:
        take_over(layer)
    kind = type(layer)
    is_parametrized = "parametrizations" in layer._modules
    base = kind.__bases__[0] if is_parametrized else kind
    made = _QUANTIZED.get(base) or by_name(base)
    layer.__class__ = with_parametrizations(made, kind) if is_parametrized else made
    layer._weight_names = parts
    for slot in (*parts, *ROLES[1:], *(each for each in OPERANDS if each in rounders)):
        rounder = rounders.get(slot)
        layer.register_module(
            f"{slot}_rounder", rounder and rounder.to(device).train(layer.training)
        )
        if rounder is not None and slot in parts:
            rounder.observe(getattr(layer, slot))
    if "activation" in rounders:
        rounders["activation"]._channels = input_channels(layer)
    layer.register_load_state_dict_post_hook(learn_new_weights)


def _format_of(settings: _Settings | None, role: str) -> Format | None:
    return None if settings is None else settings.formats.get(role)


def _unrounded_products(
    ruled: Mapping[str, _Settings | None], attending: Mapping[str, nn.Module]
) -> dict[str, str]:
    """Find what computes attention and does not round its products, with the reason."""
    found = {}
    for name, layer in attending.items():
        settings = ruled[name]
        if settings is None:
            continue
        if "attention" in settings.formats:
            reason = why_no_products(layer)
            if reason is not None:
                found[name] = reason
        elif "activation" in settings.formats and not settings.says_of_attention:
            found[name] = "no format is given for attention"
    return found


def _for_products(
    settings: _Settings | None,
    name: str,
    model: int,
    seed: Callable[[int], int] | None,
    part: int,
) -> dict[str, Rounder]:
    """Make what rounds the operands of attention's products."""
    assert settings is not None
    made = {}
    for i, operand in enumerate(OPERANDS):
        rounder = Rounder(
            settings.formats["attention"], bias=settings.biases["attention"], window=settings.window,
            margin=settings.margin, rounding=settings.modes["attention"],
            seed=None if seed is None else seed(part + i),
        )  # fmt: skip
        rounder._model, rounder._positions = model, 2
        rounder._called = f"the bias of the {_PLURALS[operand]} of {_shown_name(name)}"
        made[operand] = rounder
    return made


def _tell_left(
    left: Mapping[str, str],
    unrounded: Mapping[str, str],
    found: Mapping[str, nn.Module],
    made: Iterable[tuple[nn.Module, tuple[str, ...], dict[str, Rounder]]],
    planned: Mapping[str, TensorChoice],
) -> None:
    """Warn, once, of what holds weights and rounds none, though nobody asked for that."""
    reasons = dict(left)
    rounding = {id(layer): rounders for layer, _, rounders in made}
    names = set()
    for name, layer in found.items():
        names |= {f"{name}.{part}" if name else part for part in rounding.get(id(layer), {})}
    lost = [
        name for name, choice in planned.items() if choice.format is not None and name not in names
    ]
    said = []
    if reasons:
        said.append(
            "not rounded, as nothing here knows how, or not without harm: "
            + "; ".join(f"{shown(name)} ({why})" for name, why in reasons.items())
            + "; skip=[...] says that it is meant"
        )
    if unrounded:
        by_reason: dict[str, list[str]] = {}
        for name, why in unrounded.items():
            by_reason.setdefault(why, []).append(name)
        said.append(
            "the products of attention are not rounded in "
            + "; ".join(f"{in_names(names)} ({why})" for why, names in by_reason.items())
            + "; rules={'*': {'attention': None}}, or skip=[...] of a layer without weights of its own, says "
            "that it is meant"
        )
    if lost:
        said.append(f"in the plan, and no weight of a layer that rounds: {in_names(lost)}")
    if said:
        warnings.warn("; ".join(said), QuantizationWarning, stacklevel=3)


def in_names(names: list[str], most: int = 8) -> str:
    """Show names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


_PLURALS: Final = {
    "weight": "weights", "activation": "activations", "gradient": "gradients", "query": "queries",
    "key": "keys", "value": "values", "probability": "probabilities",
}  # fmt: skip


def _shown_name(name: str) -> str:
    return f"layer {shown(name)}" if name else "the layer"


def leave_fast_paths(module: nn.Module) -> None:
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
        return dict.fromkeys(_ARGUMENTS, given)
    unknown = [role for role in given if role not in _ARGUMENTS]
    if unknown:
        raise ArgumentValueError(
            f"{name} has the key {shown(unknown[0])}; it takes {', '.join(_ARGUMENTS)}"
        )
    return {role: given.get(role, default) for role in _ARGUMENTS}


def holders(module: nn.Module) -> dict[str, nn.Module]:
    """Find what holds weights itself: parameters of floating-point numbers, of two axes or more."""
    found = {}
    for name, layer in module.named_modules():
        own = [each for each in layer._parameters.values() if each is not None]
        if any(each.is_floating_point() and each.ndim > 1 for each in own):
            found[name] = layer
    return found


def _layers(
    module: nn.Module, skip: Iterable[str] | Callable[[str, nn.Module], bool]
) -> tuple[dict[str, nn.Module], dict[str, nn.Module], dict[str, str]]:
    """Find the layers to quantize, those of attention, and why others with weights are left alone."""
    known = {
        name: layer
        for name, layer in module.named_modules()
        if is_covered(layer) or isinstance(layer, Quantized | LazyModuleMixin)
    }
    others = {
        name: layer
        for name, layer in holders(module).items()
        if name not in known and not _is_of_parametrization(name)
    }
    attending = {
        name: layer
        for name, layer in module.named_modules()
        if kind_of_attention(layer) is not None and not isinstance(layer, Quantized)
    }
    left_alone = skipped({**known, **others, **attending}, skip)
    found = {name: layer for name, layer in known.items() if name not in left_alone}
    attending = {name: layer for name, layer in attending.items() if name not in left_alone}
    # what attention alone reads, goes with it
    inner, taken = read_by_others(module), {id(layer) for layer in found.values()}
    for name, layer in list(found.items()):
        if id(layer) in inner and id(inner[id(layer)]) not in taken:
            del found[name]
    left = {
        name: f"of class {type(layer).__name__}"
        for name, layer in others.items()
        if name not in left_alone
    }
    for name, layer in list(found.items()):
        if isinstance(layer, Quantized):
            raise ArgumentValueError(f"layer {shown(name)} is quantized already")
        if isinstance(layer, LazyModuleMixin):
            raise ArgumentValueError(
                f"layer {shown(name)} does not know its shape yet; run the model once before"
            )
        dtypes = [getattr(layer, part).dtype for part in weight_names(layer)]
        wrong = [dtype for dtype in dtypes if dtype not in FLOATS]
        if wrong and type(layer) in _QUANTIZED:
            raise ArgumentTypeError(
                f"layer {shown(name)} has dtype {wrong[0]}; it takes {names(FLOATS)}"
            )
        reason = f"of dtype {wrong[0]}" if wrong else why_not(layer)
        if reason is not None:
            left[name] = reason
            del found[name]
    if not (found or attending):
        raise ArgumentValueError(
            f"module has no Linear or Conv layer{' that is not skipped' if known else ''}, nor another that "
            "can be rounded"
        )
    return found, attending, left


def _is_of_parametrization(name: str) -> bool:
    return "parametrizations" in name.split(".")


def skipped(
    known: Mapping[str, nn.Module], skip: Iterable[str] | Callable[[str, nn.Module], bool]
) -> set[str]:
    """Give the names of those layers that are to be left alone."""
    if callable(skip):
        return {name for name, layer in known.items() if skip(name, layer)}
    return _matching(known, skip)


def _matching(known: Iterable[str], patterns: Iterable[str], what: str = "skip") -> set[str]:
    if isinstance(patterns, str):
        raise ArgumentTypeError(f"skip is {shown(patterns)}; it takes several: [{patterns!r}]")
    if not isinstance(patterns, Iterable):
        raise ArgumentTypeError(
            f"skip is {shown(patterns)}; it takes names of layers or a function"
        )
    matching: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ArgumentTypeError(f"{what} has {shown(pattern)}; it takes names of layers")
        own = {name for name in known if fnmatchcase(name, pattern)}
        if not own:
            raise ArgumentValueError(f"{what} has {shown(pattern)}, which fits no layer's name")
        matching |= own
    return matching
