"""Which tensors an export writes as 8-bit floats, which stay in full precision, and why."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentValueError, FileError

from . import fp8
from .checkpoint import Checkpoint
from .conversion_plan import Plan
from .model_class import ModelClass, NoClassError, Tensor, model_class
from .paths import shown_path
from .plan_file import UNCHANGED, TensorChoice
from .tensor_selection import check_patterns, chosen_names

#: Names that are those of linear layers in whatever class has them; the weight has two axes.
_CERTAIN: Final = re.compile(
    r"(?:.*\.)?(?:"
    r"self_attn\.(?:[qkv]|qkv|o)_proj|mlp\.(?:gate|up|down|gate_up)_proj|"
    r"attention\.self\.(?:query|key|value)|attention\.output\.dense|intermediate\.dense|"
    r"layer\.\d+\.output\.dense"
    r")\.weight"
)

#: Heads that may have no tensor of their own, and which readers take for linear layers; if no class is asked.
_HEADS: Final = (
    "cls.predictions.decoder", "ctc_head", "decoder.output_projection", "embed_out",
    "entity_predictions.decoder", "generator_lm_head", "head.decoder", "lm_head", "lm_head.decoder",
    "lm_head.out_proj", "lm_loss", "mlm_score.decoder", "output_projection", "pred_layer.proj",
    "predictions.decoder", "proj_out", "text_decoder.cls.predictions.decoder", "text_model.lm_head",
    "unembedding_projection", "vocab_projector",
)  # fmt: skip

#: What a head is called in other versions of a class.
_RENAMED_HEADS: Final = ("embed_out", "lm_head")

#: What most classes with a head call the model inside.
_USUAL_PREFIX: Final = "model"


#: Reasons that are somebody's wish.
_LEFT: Final = "left by the plan"
_ASKED_FOR: Final = ("excluded", "ignored", "not included", _LEFT)


@dataclass
class Choice:
    """What an export does with a checkpoint's tensors.

    Attributes
    ----------
    chosen : set of str
        Tensors that become 8-bit floats.
    left : dict of str to str
        Other tensors of two axes or more, and why they stay.
    ignored : list of str
        Modules that readers are not to quantize.
    by : str
        Who knew it.
    notes : list of str
        What whoever loads the export must know.
    experts : dict of str to str
        Of those that are chosen and that readers hold together with others, the module that does.
    """

    chosen: set[str] = field(default_factory=set)
    left: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    by: str = ""
    notes: list[str] = field(default_factory=list)
    experts: dict[str, str] = field(default_factory=dict)

    def reason_of(self, name: str) -> str:
        """Say why a tensor stays as it is that is not chosen."""
        return self.left.get(name, "not the weight of a linear layer")


def export_choice(
    checkpoint: Checkpoint, plan: Plan, configuration: Mapping[str, Any] | None
) -> Choice:
    """Choose what an export writes as 8-bit floats.

    Parameters
    ----------
    checkpoint : Checkpoint
        What is exported.
    plan : Plan
        With patterns of what to include, to exclude and to ignore, or with a choice for each tensor.
    configuration : mapping or None
        The content of the model's ``config.json``.

    Raises
    ------
    ArgumentValueError
        If a pattern has no tensor or module.
    FileError
        If nothing is left to export, or a tensor that is chosen is of codes that cannot be; or what is
        planned for each does not fit the checkpoint, or is nothing that an export does.
    """
    shapes = {name: checkpoint.shape_of(name) for name in checkpoint}
    known: ModelClass | None = None
    try:
        known = model_class(configuration, shapes)
        found, by = known.tensors, f"by {known.name}"
    except NoClassError as error:
        found, by = _by_names(shapes), f"by names that are certain alone: {error}"
    choice = Choice(by=by)
    planned: set[str] | None = None
    if plan.tensors is None:
        check_patterns(checkpoint, plan)
    else:
        refuse_codes(checkpoint)
        planned = chosen_names(checkpoint, plan)
    _check_ignored(list(shapes), list(known.linear) if known else None, plan)
    for name, tensor in found.items():
        reason = _reason(checkpoint, name, tensor, plan, planned)
        if reason is None:
            choice.chosen.add(name)
        else:
            choice.left[name] = reason
    _keep_experts_together(choice, found)
    if plan.tensors is not None:
        _check_planned(checkpoint, plan.tensors, choice)
    choice.experts = {
        name: experts
        for name in sorted(choice.chosen)
        if (experts := found[name].experts) is not None
    }
    modules = {found[name].module for name in choice.chosen}
    modules |= {found[name].experts for name in choice.chosen}
    if not choice.chosen:
        # what was asked for says more than what every model has
        left = sorted(choice.left.items(), key=lambda item: item[1] not in _ASKED_FOR)
        first = f": {printable(left[0][0])}: {left[0][1]}" if left else ""
        raise FileError(f"{shown_path(checkpoint.path)}: nothing to export{first}")
    if known is not None:
        ignored = {*known.linear, *known.heads, *_RENAMED_HEADS} - modules
    else:
        ignored = {p for p in plan.ignore if not _is_pattern(p)} - modules
    # what another reader's class may take for linear layers: routers, experts one by one
    ignored |= {
        name.removesuffix(".weight")
        for name in choice.left
        if name.endswith(".weight") and (known is None or found[name].module not in known.linear)
    }
    prefix = _USUAL_PREFIX if known is None else known.prefix
    ignored = in_other_classes(ignored, prefix) | ({*_HEADS} if known is None else set())
    choice.ignored = sorted(ignored - in_other_classes(modules, prefix))
    if known is not None and known.unread:
        choice.notes.append(known.unread)
    elif known is not None and any(found[name].experts for name in choice.chosen):
        version = known.name.partition(" of ")[2]
        choice.notes.append(
            f"experts have scales, which {version} applies when it merges them; versions before it may "
            "take the codes for values"
        )
    return choice


def in_other_classes(modules: Iterable[str | None], prefix: str) -> set[str]:
    """Name modules as they are called in classes that hold the model inside, and in that itself."""
    found = {module for module in modules if module is not None}
    if not prefix:
        return found
    inside = {module.removeprefix(f"{prefix}.") for module in found}
    return found | inside | {f"{prefix}.{module}" for module in inside}


def modules_of(
    checkpoint: Checkpoint, names: Iterable[str], configuration: Mapping[str, Any] | None
) -> set[str]:
    """Name the modules of tensors, in all classes that may read them."""
    modules = {name.removesuffix(".weight") for name in names}
    prefix = _USUAL_PREFIX
    try:
        known = model_class(configuration, {name: checkpoint.shape_of(name) for name in checkpoint})
    except NoClassError:
        pass
    else:
        prefix = known.prefix
        modules |= {known.tensors[name].module or "" for name in names if name in known.tensors}
    return in_other_classes(modules - {""}, prefix)


def _keep_experts_together(choice: Choice, found: Mapping[str, Tensor]) -> None:
    """Leave experts that readers hold together with one that stays: all have scales, or none."""
    staying = {found[name].experts: name for name in choice.left if found[name].experts is not None}
    for name in sorted(choice.chosen):
        if found[name].experts in staying:
            choice.chosen.remove(name)
            choice.left[name] = f"read together with {staying[found[name].experts]}, which stays"


def _by_names(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Say what tensors are by their names, as far as they are certain."""
    found = {}
    for name, shape in shapes.items():
        if len(shape) < 2:
            continue
        if len(shape) > 2 or name.split(".")[-1] != "weight":
            found[name] = Tensor(None, "not called and shaped as the weight of a linear layer")
            continue
        certain = _CERTAIN.fullmatch(name)
        reason = "" if certain else "no name of a linear layer for certain; --include exports it"
        found[name] = Tensor(name.removesuffix(".weight"), reason)
    return found


def refuse_codes(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint with codes for a plan of an export, which says of floating-point tensors alone."""
    for name in checkpoint:
        if checkpoint.is_encoded(name):
            raise FileError(
                f"{shown_path(checkpoint.path)}: {printable(name)}: {checkpoint.dtype_name(name)} already; a "
                "plan of an export is of floating-point tensors: convert it back first (--to float32)"
            )


def _check_planned(
    checkpoint: Checkpoint, tensors: Mapping[str, TensorChoice], choice: Choice
) -> None:
    """Refuse what is planned for a tensor, under any of its names, that an export leaves as it is."""
    tied = checkpoint.tied_names()
    for name in checkpoint:
        said = tensors.get(tied.get(name, name))
        if said is None or said.format is None or name in choice.chosen:
            continue
        raise FileError(
            f"{said.where}: {shown(tied.get(name, name))}: an export leaves "
            f"{shown(name) if name in tied else 'it'} {UNCHANGED}: {choice.reason_of(name)}"
        )


def _reason(
    checkpoint: Checkpoint, name: str, tensor: Tensor, plan: Plan, planned: set[str] | None
) -> str | None:
    """Say why a tensor stays as it is; None if it becomes 8-bit floats."""
    if planned is not None and name not in planned:
        return _LEFT
    if tensor.module is None:
        return tensor.reason
    if any(fnmatchcase(name, p) for p in plan.exclude):
        return "excluded"
    called = (name, tensor.module, tensor.experts or tensor.module)
    if any(fnmatchcase(each, p) for p in plan.ignore for each in called):
        return "ignored"
    # a plan that has it names it, too
    included = planned is not None or any(fnmatchcase(name, p) for p in plan.include)
    if plan.include and not included:
        return "not included"
    if tensor.reason and not included:
        return tensor.reason
    if plan.dynamic and isinstance(plan.block, tuple):
        # readers cut what goes in into groups, of which compressed-tensors takes whole ones alone
        columns = checkpoint.shape_of(name)[-1]
        if columns % plan.block[1]:
            return f"{columns} columns, not in whole blocks of {plan.block[1]}, as quantized inputs must be"
    if tensor.experts is not None and isinstance(plan.block, tuple):
        return "an expert; transformers reads those with one scale or one a row, not in blocks"
    if 0 in checkpoint.shape_of(name):
        return "it has no elements"
    if checkpoint.is_float(name):
        return None
    fmt = checkpoint.format_of(name)
    if fmt is not None and fp8.exported_format(fmt) is not None:
        return None
    if checkpoint.is_encoded(name):
        raise FileError(
            f"{shown_path(checkpoint.path)}: {printable(name)}: {checkpoint.dtype_name(name)} already; an "
            "export's 8-bit floats are E4M3, made of floats or of CFloat8_1_4_3: convert it back first (--to "
            "float32), or exclude it"
        )
    return f"{checkpoint.dtype_name(name)}, not floating point"


def _check_ignored(names: list[str], linear: list[str] | None, plan: Plan) -> None:
    modules = [*names, *(name.removesuffix(".weight") for name in names), *(linear or ())]
    for pattern in plan.ignore:
        # without its class, a model may have a module of no tensor: it goes into `ignore` by its name
        if linear is None and not _is_pattern(pattern):
            continue
        if not any(fnmatchcase(name, pattern) for name in modules):
            raise ArgumentValueError(f"no tensor or linear layer has a name like {shown(pattern)}")


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")
