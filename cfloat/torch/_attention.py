"""Attention whose products, of queries and keys and of probabilities and values, are of rounded operands.

`torch.nn.MultiheadAttention` computes them here, and so do the layers of transformers that ask its attention
interface for a function: theirs is registered under a name of its own, which each such layer's own
configuration has.  Other layers that compute attention are found, to be named.
"""

import copy
import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._rounder import Rounder

#: What is rounded, each by the layer's submodule of that name and "_rounder".
OPERANDS: Final = ("query", "key", "value", "probability")

#: The name under which transformers finds the function.
_NAME: Final = "cfloat"

# by which of transformers' own functions a layer may compute: both come to the same
_BASES: Final = ("sdpa", "eager")

# what changes a result of transformers' functions, and nothing here does
_REFUSED: Final = ("block_indices", "head_mask", "indices", "sinks")

# where classes are that models inherit from, and whose code is of no layer's forward pass
_OF_NO_LAYER: Final = ("torch.nn.modules.module", "transformers.modeling_utils")

Kind = Literal["torch", "transformers", "own"]


@lru_cache(maxsize=1024)
def kind_of_class(kind: type[nn.Module]) -> Kind | None:
    """Say by what layers of a class compute attention, themselves; None if they compute none."""
    if issubclass(kind, nn.MultiheadAttention):
        return "torch" if kind.forward is nn.MultiheadAttention.forward else "own"
    names: set[str] = set()
    for each in kind.__mro__:
        if each.__module__ in _OF_NO_LAYER:
            continue
        for member in vars(each).values():
            if isinstance(member, FunctionType):
                names |= set(_names_in(member))
    if "ALL_ATTENTION_FUNCTIONS" in names:
        return "transformers"
    if not names.isdisjoint(("scaled_dot_product_attention", "multi_head_attention_forward")):
        return "own"
    return "own" if "softmax" in names and "Attention" in kind.__name__ else None


def _names_in(function: Any, deeper: bool = True) -> Iterator[str]:
    """Give the names that a function uses, and those that functions of its module use that it calls."""
    function = inspect.unwrap(function)
    if not isinstance(function, FunctionType):
        return
    for name in _names_of_code(function.__code__):
        found = function.__globals__.get(name)
        if found is nn.functional.scaled_dot_product_attention:
            name = "scaled_dot_product_attention"  # whatever the module calls it
        yield name
        is_near = isinstance(found, FunctionType) and found.__module__ == function.__module__
        if deeper and is_near:
            yield from _names_in(found, deeper=False)


def _names_of_code(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names_of_code(each)


def kind_of_attention(layer: nn.Module) -> Kind | None:
    """Say by what a layer computes attention, itself; None if it computes none."""
    kind: Any = getattr(type(layer), "_of", None) or type(layer)
    found: Kind | None = kind_of_class(kind)
    return found


def why_no_products(layer: nn.Module) -> str | None:
    """Say why the products of a layer that computes attention cannot be rounded; None if they can."""
    kind = kind_of_attention(layer)
    if kind == "own":
        return "it computes attention itself"
    if kind == "transformers":
        base = getattr(getattr(layer, "config", None), "_attn_implementation", None)
        if base not in (*_BASES, _NAME):
            return f"its attn_implementation is {shown(base)}, and not {' or '.join(_BASES)}"
    return None


def rounds_products(layer: nn.Module) -> bool:
    """Whether a layer rounds the operands of attention's products."""
    return isinstance(layer._modules.get("query_rounder"), Rounder)


def take_over(layer: Any) -> None:
    """Let a layer of transformers compute attention here: its own configuration says so, no other's."""
    if kind_of_attention(layer) == "transformers":
        register()
        # by which the model makes masks, also after it was changed
        layer._config_of_model = layer.config
        layer.config = copy.copy(layer.config)
        # not the property, which changes what the configuration shares with others
        layer.config._attn_implementation_internal = _NAME


def register() -> None:
    """Let transformers find the function."""
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(_NAME, attention_of_transformers)


def attention_of_transformers(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor]:
    """Compute attention as a function of transformers' interface does."""
    for name in _REFUSED:
        if others.get(name) is not None:
            raise ArgumentValueError(
                f"{type(module).__name__} gives attention {name}, with which its products cannot be rounded; "
                "leave it out by rules={name: {'attention': None}}"
            )
    base = module._config_of_model._attn_implementation
    if base not in _BASES:
        raise ArgumentValueError(
            f"attn_implementation is {shown(base)} now; attention whose products are rounded takes "
            f"{' or '.join(_BASES)}"
        )
    places, lengths = query.shape[-2], key.shape[-2]
    mask = attention_mask
    if mask is not None:
        mask = mask[..., :lengths]
        if mask.dtype == torch.bool:
            mask = _additive(~mask, query.dtype)
    elif base == "sdpa" and places > 1:
        # as there: no mask is a causal one, if the layer is causal
        causal = is_causal if is_causal is not None else getattr(module, "is_causal", True)
        if causal:
            later = torch.ones(places, lengths, dtype=torch.bool, device=query.device).triu(1)
            mask = _additive(later, query.dtype)
    if position_bias is not None:
        mask = position_bias if mask is None else mask + position_bias
    context, probabilities = _products(
        module, query, key, value, mask, dropout, scaling, softcap=softcap, sinks=s_aux
    )
    return context.transpose(1, 2).contiguous(), probabilities


def _additive(ignored: Tensor, dtype: torch.dtype) -> Tensor:
    """Give what is added to scores so that some places are ignored."""
    return torch.zeros(ignored.shape, dtype=dtype, device=ignored.device).masked_fill(
        ignored, float("-inf")
    )


def _products(
    layer: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scale: float | None,
    *,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute attention, with each operand of its two products rounded once.

    Parameters
    ----------
    layer : Module
        What has the rounders.
    query, key, value : Tensor, shape (batch, heads, places, elements)
        The latter two may have a divisor of the heads, which several of `query` share.
    mask : Tensor, optional
        What is added to the scores.
    dropout : float
        The part of probabilities that are dropped.
    scale : float, optional
        By what the scores are multiplied; one over the root of how many elements a query has if None.
    softcap : float, optional
        The bound of the scores.
    sinks : Tensor, shape (heads,), optional
        Scores that take part in the sum of probabilities, and have no value.

    Returns
    -------
    Tensor, shape (batch, heads, places, elements)
        What the values come to.
    Tensor, shape (batch, heads, places, places of keys)
        The probabilities as they were multiplied: rounded.
    """
    query, key, value = (
        layer.query_rounder(query),
        layer.key_rounder(key),
        layer.value_rounder(value),
    )
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    # the product is scaled, not an operand, which would be rounded where no operand is
    scores = (query @ key.mT) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores = softcap * (scores / softcap).tanh()
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
        # a query that may look at nothing comes to zeros, as in scaled_dot_product_attention
        nothing = scores.amax(-1, keepdim=True) == float("-inf")
        scores = scores.masked_fill(nothing, 0.0)
    if sinks is not None:
        more = sinks.reshape(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[2], 1)
        scores = torch.cat((scores, more.to(scores.dtype)), -1)
    wide = torch.promote_types(scores.dtype, torch.float32)
    probabilities = scores.softmax(-1, dtype=wide).to(scores.dtype)
    if sinks is not None:
        probabilities = probabilities[..., :-1]
    if mask is not None:
        probabilities = probabilities.masked_fill(nothing, 0.0)
    if dropout:
        probabilities = nn.functional.dropout(probabilities, dropout)
    probabilities = layer.probability_rounder(probabilities)
    return probabilities @ value, probabilities


def attention_of_torch(
    layer: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Compute what `torch.nn.MultiheadAttention` does, with rounded products, out_proj's included."""
    if query.is_nested or key.is_nested or value.is_nested:
        raise ArgumentTypeError(
            "query, key or value is a nested tensor; attention whose products are rounded takes others"
        )
    if is_causal and attn_mask is None:
        raise ArgumentValueError("is_causal is given without attn_mask; it takes both")
    is_batched, is_self = query.ndim == 3, query is key and key is value
    if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim:
        raise ArgumentValueError(
            f"query, key and value have {query.ndim}, {key.ndim} and {value.ndim} axes; all take 2, or 3"
        )

    def in_batches(x: Tensor) -> Tensor:
        return (x if layer.batch_first else x.transpose(0, 1)) if is_batched else x.unsqueeze(0)

    query, key, value = in_batches(query), in_batches(key), in_batches(value)
    batch = query.shape[0]
    if key.shape[0] != batch or key.shape[:2] != value.shape[:2]:
        raise ArgumentValueError(
            f"query, key and value are of {batch}, {key.shape[0]} and {value.shape[0]} sequences of "
            f"{query.shape[1]}, {key.shape[1]} and {value.shape[1]} places; all take as many sequences, "
            "and keys as many places as values"
        )
    mask = _mask(attn_mask, key_padding_mask, layer, query, key.shape[1], is_batched)
    q, k, v = _projected(layer, query, key, value, is_self)
    extra = 0
    if layer.bias_k is not None:
        k = torch.cat((k, layer.bias_k.expand(batch, -1, -1)), 1)
        v = torch.cat((v, layer.bias_v.expand(batch, -1, -1)), 1)
        extra += 1
    if layer.add_zero_attn:
        k, v = (torch.cat((x, x.new_zeros(batch, 1, x.shape[-1])), 1) for x in (k, v))
        extra += 1
    if mask is not None and extra:
        mask = nn.functional.pad(mask, (0, extra))
    heads = [x.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2) for x in (q, k, v)]
    dropout = layer.dropout if layer.training else 0.0
    context, probabilities = _products(layer, heads[0], heads[1], heads[2], mask, dropout, None)
    x = context.transpose(1, 2).flatten(2)
    out_proj = layer.out_proj
    rounder = out_proj._modules.get("activation_rounder")
    y = nn.functional.linear(x if rounder is None else rounder(x), out_proj.weight, out_proj.bias)
    if not is_batched:
        y = y.squeeze(0)
    elif not layer.batch_first:
        y = y.transpose(0, 1)
    if not need_weights:
        return y, None
    weights = probabilities.mean(1) if average_attn_weights else probabilities
    return y, weights if is_batched else weights.squeeze(0)


def _projected(
    layer: Any, query: Tensor, key: Tensor, value: Tensor, is_self: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Give queries, keys and values of a MultiheadAttention."""
    linear: Callable[[Tensor, Tensor, Tensor | None], Tensor] = nn.functional.linear
    bias = layer.in_proj_bias
    biases = (None, None, None) if bias is None else bias.chunk(3)
    if not layer._qkv_same_embed_dim:
        weights = layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight
    else:
        packed = layer.in_proj_weight  # which is rounded where it is read: once
        if is_self:
            q, k, v = linear(query, packed, bias).chunk(3, -1)
            return q, k, v
        weights = packed.chunk(3)
    q, k, v = map(linear, (query, key, value), weights, biases)
    return q, k, v


def _mask(
    attn_mask: Tensor | None,
    key_padding_mask: Tensor | None,
    layer: Any,
    query: Tensor,
    lengths: int,
    is_batched: bool,
) -> Tensor | None:
    """Give what the masks of a MultiheadAttention add to its scores: of four axes, or None."""
    batch, places = query.shape[:2]
    heads: int = layer.num_heads
    masks = []
    for name, given in (("attn_mask", attn_mask), ("key_padding_mask", key_padding_mask)):
        # integers would be added to the scores as numbers
        if given is not None and given.dtype != torch.bool and not given.is_floating_point():
            raise ArgumentTypeError(
                f"{name} has dtype {given.dtype}; it takes torch.bool or a floating-point dtype"
            )
    if attn_mask is not None:
        shapes = {(places, lengths): (1, 1), (batch * heads, places, lengths): (batch, heads)}
        first = shapes.get(tuple(attn_mask.shape))
        if first is None:
            raise ArgumentValueError(
                f"attn_mask has shape {tuple(attn_mask.shape)}; it takes {' or '.join(map(str, shapes))}"
            )
        masks.append(attn_mask.reshape(*first, places, lengths))
    if key_padding_mask is not None:
        expected = (batch, lengths) if is_batched else (lengths,)
        if tuple(key_padding_mask.shape) != expected:
            raise ArgumentValueError(
                f"key_padding_mask has shape {tuple(key_padding_mask.shape)}; it takes {expected}"
            )
        masks.append(key_padding_mask.reshape(batch, 1, 1, lengths))
    added = [
        _additive(each, query.dtype) if each.dtype == torch.bool else each.to(query.dtype)
        for each in masks
    ]
    return sum(added[1:], added[0]) if added else None
