"""What a model's own class, of Hugging Face's transformers (extra ``transformers``), says of its tensors."""

import inspect
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from cfloat._core.text import printable, shown

#: What a configuration may name that is to be downloaded, or run.
_ELSEWHERE: Final = (
    "auto_map", "attn_implementation", "_attn_implementation", "experts_implementation",
    "_experts_implementation", "quantization_config", "compression_config",
)  # fmt: skip

#: Why a tensor that the class does not have stays.
_UNKNOWN: Final = "{} has none of this name"

#: Layers, experts and the like of the largest model that is built to look at it.
_MOST_PARTS: Final = 1 << 16


class NoClassError(Exception):
    """Why there is no class to ask."""


@dataclass(frozen=True)
class Tensor:
    """What a class makes of a tensor of a checkpoint.

    Attributes
    ----------
    module : str or None
        The module that it is the weight of, if that is a linear layer that readers quantize.
    reason : str
        Why there is none, or why it stays in full precision unless somebody names it; else "".
    experts : str or None
        The module that it becomes a part of, if its module is an expert that the class holds together with
        others.
    is_transposed : bool
        Whether it is the weight of a Conv1D, of (in, out).
    is_known : bool
        Whether the class has it at all, by itself or as a part.
    """

    module: str | None
    reason: str
    experts: str | None = None
    is_transposed: bool = False
    is_known: bool = True


@dataclass(frozen=True)
class ModelClass:
    """A model's class.

    Attributes
    ----------
    name : str
        The class, and the library that has it.
    tensors : dict of str to Tensor
        Every tensor of the checkpoint that has two axes or more.
    linear : list of str
        All modules that readers take for linear layers, those without a tensor of their own included, and
        those that hold experts.
    heads : list of str
        Heads of classes of the same kind, which may be tied to the embeddings.
    prefix : str
        Under which name classes with a head have the model inside; "" if they have none.
    unread : str
        Why transformers itself cannot load an export of it; "" if it can.
    """

    name: str
    tensors: dict[str, Tensor]
    linear: list[str]
    heads: list[str]
    prefix: str
    unread: str


def model_class(
    configuration: Mapping[str, Any] | None, shapes: Mapping[str, tuple[int, ...]]
) -> ModelClass:
    """Ask a model's class what its tensors are.

    The model is built without memory for its tensors (PyTorch's meta device).  Nothing is downloaded, and no
    code is run that the configuration names: classes are those of the installed library.

    Parameters
    ----------
    configuration : mapping or None
        The content of the model's ``config.json``.
    shapes : mapping of str to tuple of int
        The checkpoint's tensors, by name.

    Raises
    ------
    NoClassError
        If there is none to ask, and why.
    """
    if configuration is None:
        raise NoClassError("there is no config.json")
    with _quiet():
        try:
            import torch
            import transformers
            from huggingface_hub import constants
        except ImportError:
            raise NoClassError(
                "transformers is not installed (pip install 'cfloat[transformers]')"
            ) from None
        offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            model = _built(torch, transformers, configuration, len(shapes))
            quantizer = _quantizer(transformers)
            found = _tensors(torch, transformers, model, shapes, quantizer)
        except NoClassError:
            raise
        except Exception as error:
            # the library's constructors raise whatever comes of a configuration that does not fit
            reason = printable(" ".join(str(error).split()))[:200] or type(error).__name__
            raise NoClassError(f"its class cannot be built: {reason}") from None
        finally:
            constants.HF_HUB_OFFLINE = offline
    name = type(model).__name__
    if all(tensor.reason == _UNKNOWN.format(name) for tensor in found.values()):
        raise NoClassError(f"{name} has no tensors of these names")
    if _class_name(transformers, configuration, type(model.config)) is None:
        # the class is that of the model inside, whose modules have other names
        for tensor, what in found.items():
            if what.reason == _UNKNOWN.format(name) and tensor.endswith(".weight"):
                raise NoClassError(
                    f"config.json names no architecture, and {name} has no {printable(tensor)}"
                )
    experts = {
        module
        for module, inner in model.named_modules()
        if any(p.ndim > 2 for p in inner.parameters(recurse=False)) and "expert" in module
    }
    linear = {
        module for module, inner in model.named_modules() if isinstance(inner, torch.nn.Linear)
    }
    with _quiet():
        unread = _reason_not_to_read(model, quantizer)
    version = f"transformers {transformers.__version__}"
    if unread:
        unread = f"{version} does not load a quantized {name}: {unread}"
    prefix = model.base_model_prefix
    heads = _heads_of_relatives(type(model))
    name = f"{name} of {version}"
    return ModelClass(name, found, sorted(linear | experts), heads, prefix, unread)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep libraries that are imported, and models that are built, from telling of what they do."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _built(torch: Any, transformers: Any, configuration: Mapping[str, Any], count: int) -> Any:
    """Build a model on the meta device."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = configuration.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise NoClassError(f"transformers has no model of type {shown(kind)}")
    for key, value in _numbers(configuration):
        # a model of a billion layers would be built for ever
        parts = re.search("layer|expert|block|depth|stage", key)
        if parts and value > max(count, _MOST_PARTS):
            raise NoClassError(f"{printable(key)} is {value}, of {count} tensors")
    kept = _harmless(configuration)
    # infinities and the like, which a file has by name
    decode = getattr(CONFIG_MAPPING[kind], "_decode_special_floats", None)
    config = CONFIG_MAPPING[kind].from_dict(kept if decode is None else decode(kept))
    name = _class_name(transformers, configuration, type(config))
    if name is None:
        made = transformers.AutoModel._model_mapping[type(config)]
    else:
        made = getattr(transformers, name, None) if isinstance(name, str) else None
        base = transformers.PreTrainedModel
        if not (isinstance(made, type) and issubclass(made, base)):
            raise NoClassError(f"transformers has no class {shown(name)}")
    with torch.device("meta"):
        model = made(config)
    model.tie_weights()
    return model


def _class_name(transformers: Any, configuration: Mapping[str, Any], kind: type) -> Any:
    """Find what a configuration says that its model's class is; None if it says nothing."""
    parts = (inner for inner in configuration.values() if isinstance(inner, Mapping))
    for part in (configuration, *parts):
        said = part.get("architectures")
        name = said[0] if isinstance(said, list) and said else None
        # version 4 writes some models' into the configuration of a part
        if name is None:
            continue
        made = getattr(transformers, name, None) if isinstance(name, str) else None
        if part is configuration or getattr(made, "config_class", None) is kind:
            return name
    return None


def _harmless(value: Any) -> Any:
    """Copy a configuration without what would be downloaded or run."""
    if isinstance(value, list):
        return [_harmless(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    copy = {key: _harmless(inner) for key, inner in value.items() if key not in _ELSEWHERE}
    if "use_pretrained_backbone" in copy:
        copy["use_pretrained_backbone"] = False
    return copy


def _numbers(value: Any) -> Iterator[tuple[str, int]]:
    """Yield the integers of a configuration with their keys."""
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if isinstance(inner, int):
            yield key, inner
        else:
            yield from _numbers(inner)


def _tensors(
    torch: Any,
    transformers: Any,
    model: Any,
    shapes: Mapping[str, tuple[int, ...]],
    quantizer: Any,
) -> dict[str, Tensor]:
    """Say what each tensor of a checkpoint is."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    place = _places(model, parameters, quantizer)
    holders: dict[int, list[str]] = {}
    for name, parameter in parameters.items():
        holders.setdefault(id(parameter), []).append(name)
    kept = _kept(torch, transformers, model)
    found = {}
    for name in sorted(shapes, key=_natural):
        target, merged, reads_scale = place(name)
        if len(shapes[name]) < 2:
            continue
        if merged and reads_scale and len(shapes[name]) == 2 and name.endswith(".weight"):
            found[name] = Tensor(name.removesuffix(".weight"), "", target.rpartition(".")[0])
            continue
        if merged or target not in parameters:
            where = f"becomes part of {target}" if merged else _UNKNOWN.format(type(model).__name__)
            found[name] = Tensor(None, where, is_known=merged)
            continue
        parameter = parameters[target]
        path, _, attribute = target.rpartition(".")
        module = model.get_submodule(path)
        others = [other for other in holders[id(parameter)] if other != target]
        if tuple(parameter.shape) != tuple(shapes[name]):
            found[name] = Tensor(None, f"{type(model).__name__} has another shape")
        elif attribute != "weight" or not _is_linear(torch, module):
            reason = f"of {type(module).__name__}, not of Linear"
            conv1d = isinstance(module, transformers.pytorch_utils.Conv1D)
            found[name] = Tensor(None, reason, is_transposed=conv1d and attribute == "weight")
        elif others:
            found[name] = Tensor(None, f"tied to {others[0]}")
        elif not reads_scale:
            found[name] = Tensor(None, "its scale would have another name")
        elif path in kept and kept[path].startswith("used"):
            found[name] = Tensor(None, kept[path])
        else:
            found[name] = Tensor(path, kept.get(path, ""))
    return found


class _Place(NamedTuple):
    """Where a tensor of a checkpoint goes.

    Attributes
    ----------
    target : str
        The parameter that it becomes.
    merged : bool
        Whether it becomes one with others.
    reads_scale : bool
        Whether a scale of that name with ``_scale`` behind it gets there, too.
    """

    target: str
    merged: bool
    reads_scale: bool


def _places(model: Any, parameters: Mapping[str, Any], quantizer: Any) -> Callable[[str], _Place]:
    """Make what says where a tensor of a checkpoint goes."""
    prefix = model.base_model_prefix
    try:
        from transformers import conversion_mapping, core_model_loading
    except ImportError:  # before version 5 nothing is renamed

        def plain(name: str) -> _Place:
            return _Place(_with_prefix(name, prefix, parameters), False, True)

        return plain
    transforms = conversion_mapping.get_model_conversion_mapping(model)
    renamings = [t for t in transforms if isinstance(t, core_model_loading.WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, core_model_loading.WeightConverter)]

    with_scales = _experts_with_scales(core_model_loading, converters, model, quantizer)

    def renamed(name: str) -> tuple[str, bool]:
        new, pattern = core_model_loading.rename_source_key(name, renamings, converters)
        if pattern is None and _with_prefix(new, prefix, parameters) not in parameters:
            same = _with_prefix(name, prefix, parameters)
            new = same if same in parameters else new
        return _with_prefix(new, prefix, parameters), pattern is not None

    def place(name: str) -> _Place:
        target, merged = renamed(name)
        if not merged:
            return _Place(target, False, renamed(name + "_scale")[0] == target + "_scale")
        # the scale has to meet its weight there
        found = {
            core_model_loading.rename_source_key(each, renamings, with_scales)
            for each in (name, name + "_scale")
        }
        targets = {new for new, pattern in found if pattern is not None}
        return _Place(target, True, len(found) == 2 and len(targets) == 1)

    return place


def _is_linear(torch: Any, module: Any) -> bool:
    """Whether a module is a linear layer, or of a class of its own that computes the same."""
    kind = type(module)
    if kind is torch.nn.Linear:
        return True
    # PyTorch's own may be used without being called
    if not isinstance(module, torch.nn.Linear) or kind.__module__.startswith("torch."):
        return False
    x, weight = torch.arange(8.0).reshape(1, 2, 4), torch.arange(12.0).reshape(3, 4)
    tensors = {"weight": weight, "bias": None if module.bias is None else torch.arange(3.0)}
    try:
        with torch.no_grad():
            made = torch.func.functional_call(module, tensors, (x,))
    except Exception:
        # another class's forward raises whatever it does of operands that it was not made for
        return False
    wanted = torch.nn.functional.linear(x, weight, tensors["bias"])
    return isinstance(made, torch.Tensor) and made.device == x.device and torch.equal(made, wanted)


def _quantizer(transformers: Any) -> Any:
    """Make transformers' quantizer for compressed-tensors, as loading asks it; None if it is another one."""
    if not hasattr(transformers.quantizers.HfQuantizer, "update_weight_conversions"):
        return None
    from transformers.quantizers.quantizer_compressed_tensors import CompressedTensorsHfQuantizer

    # without compressed-tensors, which its constructor takes
    quantizer = CompressedTensorsHfQuantizer.__new__(CompressedTensorsHfQuantizer)
    quantizer.pre_quantized = True
    quantizer.use_fp8_kernel = False
    quantizer.quantization_config = SimpleNamespace(
        dequantize=False, quant_method="compressed-tensors"
    )
    return quantizer


def _reason_not_to_read(model: Any, quantizer: Any) -> str:
    """Find why transformers cannot load a quantized model of a class; "" if nothing speaks against it.

    The model may have other modules afterwards.
    """
    if quantizer is None:
        return ""
    from transformers import conversion_mapping

    transforms = conversion_mapping.get_model_conversion_mapping(model)
    before = dict(model.named_modules())
    try:
        quantizer.update_weight_conversions(transforms, model)
        quantizer._convert_model_for_quantization(model)
    except ValueError as error:
        return printable(" ".join(str(error).split()))[:200]
    except AttributeError:
        return ""  # another version's quantizer, of which this one has not all
    for name, module in model.named_modules():
        if before.get(name) is not module:
            return f"it puts a {type(module).__name__} in the place of {name}"
    return ""


def _experts_with_scales(
    loading: Any, converters: list[Any], model: Any, quantizer: Any
) -> list[Any]:
    """Find the converters of experts, one by one in a file, for which transformers reads scales.

    Its quantizer adds a step to them that applies the scales; versions before it have none.
    """
    if quantizer is None:
        return []
    try:
        from transformers.integrations.compressed_tensors import CompressedTensorsDequantize
    except ImportError:
        return []

    merging = [
        converter
        for converter in converters
        if isinstance(converter.operations[0], loading.MergeModulelist)
        and converter.operations[0].dim == 0
    ]
    updated = quantizer.update_weight_conversions(merging, model)
    return [each for each in updated if isinstance(each.operations[0], CompressedTensorsDequantize)]


def _with_prefix(name: str, prefix: str, parameters: Mapping[str, Any]) -> str:
    """Put the name of the model inside before a tensor's, or take it away, as loading does."""
    stem = name.removesuffix("_scale")
    end = name[len(stem) :]
    if stem in parameters or not prefix:
        return name
    for other in (f"{prefix}.{stem}", stem.removeprefix(f"{prefix}.")):
        if other in parameters:
            return other + end
    return name


def _kept(torch: Any, transformers: Any, model: Any) -> dict[str, str]:
    """Find linear layers that stay in full precision: by custom, or since their weight is used by itself."""
    found: dict[str, str] = {}
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    output = model.get_output_embeddings()
    body = getattr(model, model.base_model_prefix, None) if model.base_model_prefix else None
    inside = {id(module) for module in (body.modules() if body is not None else model.modules())}
    full: Iterable[str] = getattr(model, "_keep_in_fp32_modules", None) or ()
    full = {*full, *(getattr(model, "_keep_in_fp32_modules_strict", None) or ())}
    for name, module in linear.items():
        parts = name.split(".")
        if module is output or id(module) not in inside:
            found[name] = "a head"
        elif re.fullmatch("(.*_)?(gate|router)", parts[-1]):
            found[name] = "a router"
        elif "experts" in parts and int(transformers.__version__.partition(".")[0]) < 5:
            found[name] = "an expert, which transformers 5 has in one tensor with others"
        elif full & set(parts):
            found[name] = "used in float32 by its class"
    seen: dict[type, set[str]] = {}
    for name, module in model.named_modules():
        kind = type(module)
        if kind not in seen:
            seen[kind] = _weights_used(kind)
        for inner in seen[kind]:
            path = f"{name}.{inner}" if name else inner
            if path in linear:
                found[path] = "used by itself, not as a layer, in its class"
    return found


def _heads_of_relatives(kind: type) -> list[str]:
    """Name what is tied to something else in the classes that are defined beside one."""
    found: set[str] = set()
    for relative in vars(sys.modules[kind.__module__]).values():
        # a mapping from version 5 on
        tied = getattr(relative, "_tied_weights_keys", None) if isinstance(relative, type) else None
        found |= {name for name in tied or () if isinstance(name, str)}
    names = {name.removesuffix(".weight") for name in found if name.endswith(".weight")}
    return sorted(name for name in names if re.fullmatch(r"\w+(\.\w+)*", name))


def _weights_used(kind: type) -> set[str]:
    """Find the modules whose weight a class uses by itself, as `self.proj.weight`."""
    if kind.__module__.startswith("torch."):
        return set()
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return set()
    return set(re.findall(r"\bself\.(\w+(?:\.\w+)*)\.weight\b", source))


def _natural(name: str) -> list[tuple[int, str]]:
    """Order names as loading does: numbers by their size."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
