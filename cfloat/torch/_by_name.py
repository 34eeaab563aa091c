"""Layers of any class whose weights are rounded where their own forward pass reads them, by name.

Each class gets a subclass whose weights are properties: outside of a forward pass they are the parameters,
inside what these are rounded to.  So attention, recurrent layers, subclasses and parametrizations compute as
their classes do.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ._attention import attention_of_torch, kind_of_class, register, rounds_products
from ._input_moments import is_conv1d, is_kind_of_conv1d
from ._layers import Quantized, round_gradient
from ._rounder import Rounder
from ._wrong_inputs import check_failed

_local: Final = threading.local()

TRANSPOSED: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
_EMBEDDINGS: Final = (nn.Embedding, nn.EmbeddingBag)
# rows of an Embedding from which on those that are taken are fewer, or of little account
_LARGE_TABLE: Final = 1024
_OF_ATTENTION: Final = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_OF_CELLS: Final = ("weight_ih", "weight_hh")
_COVERED: Final = (
    nn.Linear, *CONVOLUTIONS, *_EMBEDDINGS, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase,
)  # fmt: skip


def is_covered(layer: nn.Module) -> bool:
    """Whether a layer is of a class, or of a subclass of one, whose weights can be rounded."""
    return isinstance(layer, _COVERED) or is_conv1d(layer)


def why_not(layer: nn.Module) -> str | None:
    """Say why a layer of a covered class is left alone all the same; None if it isn't."""
    if isinstance(layer, _EMBEDDINGS) and layer.max_norm is not None:
        return "max_norm changes its weights in each forward pass"
    if isinstance(layer, _EMBEDDINGS) and layer.sparse:
        return "its gradients are sparse, which do not pass the rounding"
    return None


def weight_names(layer: nn.Module) -> tuple[str, ...]:
    """Give the names of the weights that a layer has."""
    if isinstance(layer, nn.RNNBase):
        return tuple(name for name in layer._flat_weights_names if name.startswith("weight"))
    names = _names_of_class(getattr(type(layer), "_of", type(layer)))
    return tuple(name for name in names if getattr(layer, name, None) is not None)


def _names_of_class(kind: type[nn.Module]) -> tuple[str, ...]:
    if issubclass(kind, nn.MultiheadAttention):
        return _OF_ATTENTION
    if issubclass(kind, nn.RNNCellBase):
        return _OF_CELLS
    return ("weight",) if issubclass(kind, _COVERED) or is_kind_of_conv1d(kind) else ()


def input_channels(layer: nn.Module) -> tuple[int, int] | None:
    """Give the axis of a layer's input that channels lie along, from the last, and their number."""
    if isinstance(layer, nn.Linear):
        return -1, layer.in_features
    if isinstance(layer, CONVOLUTIONS):
        return -1 - len(layer.kernel_size), layer.in_channels
    if is_conv1d(layer):
        return -1, cast(Tensor, layer.weight).shape[0]
    return None


def has_inputs(layer: nn.Module) -> bool:
    """Whether a layer's inputs are numbers that can be rounded: those of an Embedding are indices."""
    return not isinstance(layer, _EMBEDDINGS)


def read_by_others(module: nn.Module) -> dict[int, nn.Module]:
    """Find the layers that are never called, by id, with the attention that reads their weights itself."""
    return {
        id(layer.out_proj): layer
        for layer in module.modules()
        if isinstance(layer, nn.MultiheadAttention)
    }


def note_on(layer: nn.Module) -> str:
    """Say what of a layer's activations is not rounded."""
    if isinstance(layer, nn.MultiheadAttention) and not rounds_products(layer):
        return "attention's own products, and the input of out_proj, are not rounded"
    if isinstance(layer, nn.RNNBase):
        return "the hidden state, and inputs of further layers, are not rounded"
    if isinstance(layer, nn.RNNCellBase):
        return "the hidden state is not rounded"
    return ""


class _Weight(property):
    """A weight that is rounded where a forward pass reads it."""


class _OfRounded(type):
    """Let weights be rounded that come to be computed from others.

    A parametrization gives a layer a subclass of its own, and that properties of the weights' names.
    """

    def __setattr__(cls, name: str, value: Any) -> None:
        """Set an attribute of a class; a property of a weight's name comes to round."""
        kind: Any = getattr(cls, "_of", None)
        is_weight = kind is not None and name in _names_of_class(kind)
        if is_weight and isinstance(value, property) and not isinstance(value, _Weight):
            value = _rounded_property(name, value)
        super().__setattr__(name, value)


class QuantizedByName(Quantized, metaclass=_OfRounded):
    """A layer of another class, in whose forward pass weights are rounded."""

    _of: type[nn.Module]
    _is_inside = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute what the layer's class does, of rounded weights and inputs."""
        if self.activation_rounder is not None:
            args, kwargs = rounded_inputs(self.activation_rounder, self._of, args, kwargs)
        if self._of.forward is nn.Embedding.forward and len(args) == 1 and not kwargs:
            taken = self._looked_up(args[0])
            if taken is not None:
                return self._with_gradient(taken)
        parts: list[Any] = [self]
        if isinstance(self, nn.MultiheadAttention) and isinstance(self.out_proj, QuantizedByName):
            parts.append(self.out_proj)  # whose weight it reads
        own = rounds_products(self) and isinstance(self, nn.MultiheadAttention)
        compute: Callable[..., Any] = attention_of_torch if own else self._of.forward
        if torch.compiler.is_compiling():
            for part in parts:
                part._is_inside = True
            y = compute(self, *args, **kwargs)
            for part in parts:
                part._is_inside = False
        else:
            try:
                with inside(parts):
                    y = compute(self, *args, **kwargs)
            except Exception as error:
                check_failed(error, self, self._of.forward, *args, **kwargs)
                raise
        return self._with_gradient(y)

    def _with_gradient(self, y: Any) -> Any:
        if self.gradient_rounder is None:
            return y
        return _with_rounded_gradient(y, self.gradient_rounder)

    def _looked_up(self, indices: Tensor) -> Tensor | None:
        """Compute what an Embedding does of a large table, of which the rows that are taken are rounded."""
        table: Any = self
        rounder = table._modules.get("weight_rounder")
        if rounder is None or len(table.weight) < _LARGE_TABLE or not rounder._rounds_rows_alone:
            return None
        try:
            rows = nn.Embedding.forward(table, indices)
        except Exception as error:
            if not torch.compiler.is_compiling():
                check_failed(error, table, self._of.forward, indices)
            raise
        y: Tensor = rounder._round_rows(rows, indices)
        return y

    def _reads_rounded(self) -> bool:
        """Whether weights are read by the forward pass that runs, in this thread."""
        # set while a compiled pass runs, also where a part of it is not compiled
        if torch.compiler.is_compiling() or self._is_inside:
            return self._is_inside
        return id(self) in getattr(_local, "inside", ())

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle by the class that it is made of."""
        return _unpickled, (self._of,), self.__getstate__()  # type: ignore[attr-defined,no-untyped-call]


@contextmanager
def inside(parts: list[Any]) -> Iterator[None]:
    before: frozenset[int] = getattr(_local, "inside", frozenset())
    _local.inside = before | {id(part) for part in parts}
    try:
        yield
    finally:
        _local.inside = before


_made: Final[dict[type[nn.Module], type[QuantizedByName]]] = {}


def by_name(kind: type[nn.Module]) -> type[QuantizedByName]:
    """Give the subclass of a class whose weights are rounded by name."""
    if kind not in _made:
        _made[kind] = _subclass(kind)
    return _made[kind]


def _subclass(kind: type[nn.Module]) -> type[QuantizedByName]:
    members: dict[str, Any] = {
        "_of": kind,
        "__module__": "cfloat.torch",
        "__doc__": f"A {kind.__name__} that rounds its weights; made by `quantize`.",
    }
    if issubclass(kind, nn.RNNBase):
        members["_flat_weights"] = property(_flat_weights, _set_flat_weights)
    else:
        members |= {name: _weight(name, kind) for name in _names_of_class(kind)}
    meta: type = _OfRounded
    if type(kind) is not type:
        meta = type("_OfRounded", (_OfRounded, type(kind)), {})
    made: type[QuantizedByName] = meta(
        f"Quantized{kind.__name__}", (QuantizedByName, kind), members
    )
    return made


def with_parametrizations(made: type[Quantized], parametrized: type[nn.Module]) -> type[Quantized]:
    """Give a subclass of one that rounds that computes weights as a parametrized class does.

    It takes the place of the parametrized one as PyTorch made that, so that PyTorch can add and remove
    parametrizations.
    """
    members = {
        name: each
        for name, each in vars(parametrized).items()
        if name not in ("__dict__", "__doc__", "__weakref__")
    }
    properties = {name: each for name, each in members.items() if isinstance(each, property)}
    for name in properties:
        del members[name]
    meta: Any = type(made)
    found: Any = meta(f"Quantized{parametrized.__name__}", (made,), members)
    for name, each in properties.items():
        setattr(found, name, each)
    result: type[Quantized] = found
    return result


def _unpickled(kind: Any) -> Any:
    made = by_name(kind)
    if kind_of_class(kind) == "transformers":
        register()  # in a process in which nothing was quantized
    return made.__new__(made)


def _weight(name: str, kind: type[nn.Module]) -> Any:
    computed = getattr(kind, name, None)  # by the class itself
    computes = computed.fget if isinstance(computed, property) else None

    def get(self: Any) -> Any:
        if computes is not None:
            value = computes(self)
        elif name in self._parameters:
            value = self._parameters[name]
        elif name in self.__dict__:
            value = self.__dict__[name]
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return _read(self, name, value)

    def put(self: Any, value: Any) -> None:
        if isinstance(computed, property):
            computed.__set__(self, value)
        else:  # as torch.nn.utils.weight_norm sets it
            self.__dict__[name] = value

    return _Weight(get, put)


def _rounded_property(name: str, computed: Any) -> _Weight:
    """Give a property that rounds what another computes."""
    return _Weight(lambda self: _read(self, name, computed.fget(self)), computed.fset)


def _read(layer: Any, name: str, value: Any) -> Any:
    """Give a weight to whoever reads it: rounded to a forward pass."""
    rounder = layer._modules.get(f"{name}_rounder")
    if value is None or rounder is None or not layer._reads_rounded():
        return value
    return rounder(value)


def _flat_weights(self: Any) -> Any:
    weights = self.__dict__["_flat_weights"]
    if not self._reads_rounded():
        return weights
    rounders = [self._modules.get(f"{name}_rounder") for name in self._flat_weights_names]
    return [
        weight if rounder is None or weight is None else rounder(weight)
        for weight, rounder in zip(weights, rounders, strict=True)
    ]


def _set_flat_weights(self: Any, weights: Any) -> None:
    self.__dict__["_flat_weights"] = weights


def rounded_inputs(
    rounder: Rounder, kind: type[nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Round what a layer multiplies by its weights: each tensor once, however often it is given."""
    count = 1
    keys: tuple[str, ...] = ("input", "x")
    if issubclass(kind, nn.MultiheadAttention):
        count, keys = 3, ("query", "key", "value")
    elif issubclass(kind, nn.Bilinear):
        count, keys = 2, ("input1", "input2")
    done: list[tuple[Any, Any]] = []

    def one(x: Any) -> Any:
        for given, rounded in done:
            if given is x:
                return rounded
        if isinstance(x, PackedSequence):
            y: Any = PackedSequence(rounder(x.data), *x[1:])
        elif isinstance(x, Tensor) and x.is_floating_point():
            y = rounder(x)
        else:
            y = x
        done.append((x, y))
        return y

    new = tuple(one(x) if i < count else x for i, x in enumerate(args))
    return new, {key: one(x) if key in keys else x for key, x in kwargs.items()}


def _with_rounded_gradient(y: Any, rounder: Rounder) -> Any:
    """Round the gradient of a layer's output, which is the first of several."""
    if isinstance(y, PackedSequence):
        return PackedSequence(_with_rounded_gradient(y.data, rounder), *y[1:])
    if isinstance(y, tuple) and y:
        return (_with_rounded_gradient(y[0], rounder), *y[1:])
    if isinstance(y, Tensor) and y.requires_grad:
        return round_gradient(y, rounder)
    return y
