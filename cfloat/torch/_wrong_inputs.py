"""What is wrong with an input of a layer, in words: looked for where the layer's forward pass failed.

A check before each pass would cost small layers time, and PyTorch's own errors are of what its operators were
given, not of what the layer takes.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError, CFloatError

from . import _direct
from ._arguments import check_layout, names
from ._input_moments import is_conv1d

# whose forward passes take what `_check` says
_KNOWN: Final = ("cfloat", "torch", "transformers")
_INDICES: Final = (torch.int32, torch.int64)
_CONVOLUTIONS: Final = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


def check_failed(
    error: Exception, layer: Any, forward: Callable[..., Any], *args: Any, **kwargs: Any
) -> None:
    """Raise what is wrong with an argument of a forward pass, if anything is; else do nothing.

    Parameters
    ----------
    error : Exception
        What the pass raised.
    layer : Module
        The layer.
    forward : callable
        The function that ran, whose arguments have names; `args` and `kwargs` are without the layer.  One of
        a user's own may take other inputs, and fail of other reasons: of that nothing is said.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        Of the first input that the layer does not take.
    """
    whose = str(getattr(forward, "__module__", "")).partition(".")[0]
    if isinstance(error, CFloatError) or whose not in _KNOWN:
        return
    try:
        given = inspect.signature(forward).bind_partial(layer, *args, **kwargs).arguments
    except (TypeError, ValueError):  # PyTorch says which arguments there are
        return
    weight = next(layer.parameters(), None)
    if isinstance(weight, Tensor):
        _check(layer, weight, given)


def _check(layer: Any, weight: Tensor, given: Mapping[str, Any]) -> None:
    for name, x in given.items():
        if name in _widths(layer):
            if isinstance(x, PackedSequence):
                x = x.data
            if not isinstance(x, Tensor):
                raise ArgumentTypeError(f"{name} is {shown(x)}; it takes a torch.Tensor")
            check_layout(f"{name} has", x)
            if x.device != weight.device:
                raise ArgumentValueError(
                    f"{name} is on {x.device}; the weights are on {weight.device}"
                )
            if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
                _check_indices(name, x, layer.num_embeddings)
            else:
                _check_values(name, x, layer, weight)


def _widths(layer: Any) -> dict[str, int]:
    """Give how long a layer's inputs are along the axis that it multiplies by its weights, by their names."""
    if isinstance(layer, nn.MultiheadAttention):
        return {"query": layer.embed_dim, "key": layer.kdim, "value": layer.vdim}
    if isinstance(layer, nn.Bilinear):
        return {"input1": layer.in1_features, "input2": layer.in2_features}
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        width = layer.num_embeddings
    elif isinstance(layer, nn.Linear):
        width = layer.in_features
    elif isinstance(layer, _CONVOLUTIONS):
        width = layer.in_channels
    elif isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        width = layer.input_size
    elif is_conv1d(layer):
        width = layer.weight.shape[0]
    else:
        return {}
    return {"input": width, "x": width}


def _check_indices(name: str, x: Tensor, count: int) -> None:
    if x.dtype not in _INDICES:
        raise ArgumentTypeError(f"{name} has dtype {x.dtype}; it takes {names(_INDICES)}")
    if x.numel() and not x.is_meta and _direct.is_eager(x):  # in graphs and maps nobody knows them
        low, high = int(x.min()), int(x.max())
        if low < 0 or high >= count:
            raise ArgumentValueError(
                f"{name} has indices from {low} to {high}; it takes 0 to {count - 1}"
            )


def _check_values(name: str, x: Tensor, layer: Any, weight: Tensor) -> None:
    width, shape = _widths(layer)[name], tuple(x.shape)
    if isinstance(layer, _CONVOLUTIONS):
        axes = len(layer.kernel_size) + 1
        if x.ndim not in (axes, axes + 1) or shape[-axes] != width:
            raise ArgumentValueError(
                f"{name} has shape {shape}; it takes {axes} or {axes + 1} axes, and {width} channels "
                f"along axis -{axes}"
            )
    elif not x.ndim or shape[-1] != width:
        raise ArgumentValueError(f"{name} has shape {shape}; it takes (..., {width})")
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ArgumentTypeError(
            f"{name} has dtype {x.dtype}; it takes {weight.dtype}, which the weights have"
        )
