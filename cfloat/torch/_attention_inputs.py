"""What a MultiheadAttention multiplies by its weights: by out_proj, too, which it never calls."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

from torch import Tensor, nn

from ._attention import OPERANDS, attention_of_torch, kind_of_attention
from ._by_name import inside, rounded_inputs

#: The names of the weights of queries, keys and values, where each is one of its own.
_OWN: Final = ("q_proj_weight", "k_proj_weight", "v_proj_weight")


def attends_as_torch(layer: nn.Module) -> bool:
    """Whether a layer computes what `torch.nn.MultiheadAttention` does."""
    return isinstance(layer, nn.MultiheadAttention) and kind_of_attention(layer) == "torch"


def weights_of_attention(layer: nn.Module) -> list[Tensor]:
    """Give the weights whose inputs `inputs_of_attention` finds, which are the layer's own ones."""
    own = [layer._parameters.get(name) for name in ("in_proj_weight", *_OWN)]
    out = layer.get_submodule("out_proj")._parameters.get("weight")
    return [each for each in (*own, out) if each is not None]


def inputs_of_attention(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], mask: Tensor | None
) -> Iterator[tuple[Tensor, Tensor, int | None, Tensor | None]]:
    """Yield weights, each with its inputs, of which slice of it they are, and which positions count.

    That of out_proj is computed once more, beside the layer's own pass.
    """
    given = dict(zip(("query", "key", "value"), args, strict=False))
    inputs = [kwargs.get(name, given.get(name)) for name in ("query", "key", "value")]
    packed = layer._parameters.get("in_proj_weight")
    for i, x in enumerate(inputs):
        assert isinstance(x, Tensor)
        weight = layer._parameters.get(_OWN[i]) if packed is None else packed
        if weight is not None:
            yield weight, x, (i if packed is not None else None), _counted(layer, x, mask)
    out = layer.out_proj._parameters.get("weight")
    if out is not None:
        context = _context(layer, args, kwargs)
        # where batches are first, whatever the layer has
        fits = mask is not None and mask.shape == context.shape[:-1]
        yield out, context, None, mask if fits else None


def _counted(layer: Any, x: Tensor, mask: Tensor | None) -> Tensor | None:
    """Give which positions of an input count, if a mask says so of as many."""
    if mask is None or x.ndim != 3:
        return None
    turned = mask if layer.batch_first else mask.T
    return turned if turned.shape == x.shape[:-1] else None


def _context(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Compute what out_proj multiplies."""
    found: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        found.append(x)
        return x

    rounder = layer._modules.get("activation_rounder")
    if rounder is not None:
        args, kwargs = rounded_inputs(rounder, layer._of, args, kwargs)
    with inside([layer]):
        attention_of_torch(_Caught(layer, keep), *args, **kwargs)
    return found[0]


class _Caught:
    """An attention like another, that shows what it multiplies by out_proj, before that is rounded."""

    def __init__(self, layer: Any, keep: Any) -> None:
        self._layer = layer
        self.out_proj = SimpleNamespace(
            weight=layer.out_proj.weight, bias=layer.out_proj.bias, _modules={"activation_rounder": keep}
        )  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        operand = name.removesuffix("_rounder")
        if operand in OPERANDS and name not in self._layer._modules:
            return lambda x: x
        return getattr(self._layer, name)
