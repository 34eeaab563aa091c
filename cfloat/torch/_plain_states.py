"""`plain_state_dict`: the state of a quantized model, or of one of codes, as the plain model has it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._arguments import FLOATS, names
from ._attention import OPERANDS
from ._codes_in_states import KEYS, Written, placed
from ._conversion import decode
from ._layers import ROLES, Quantized, slots_of
from ._rounder import KEYS_OF_ROUNDERS, Rounder


def plain_state_dict(
    source: nn.Module | Mapping[str, Tensor], *, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Give the state dict that the plain model takes, of a quantized model or of one of codes.

    Parameters
    ----------
    source : Module or mapping from str to Tensor
        A model that `quantize` or `to_inference` changed, or its state dict.
    dtype : torch.dtype, optional
        What codes are decoded to: float64 or float32, which hold every value, or float16 or bfloat16.

    Returns
    -------
    dict of str to Tensor
        Weights as they are, or the values of their codes; without what rounders have.  The tensors are those
        of `source` where nothing is decoded.

    Raises
    ------
    ArgumentTypeError
        If an argument is not as above.
    ArgumentValueError
        If codes don't say of which format they are: files written before they did are loaded into a model of
        codes first.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 2))
    >>> small = cf.torch.to_inference(cf.torch.quantize(model, weight=cf.CFloat8_1_4_3))
    >>> plain = torch.nn.Sequential(torch.nn.Linear(4, 2))
    >>> plain.load_state_dict(cf.torch.plain_state_dict(small))
    <All keys matched successfully>
    """
    if dtype not in FLOATS:
        raise ArgumentTypeError(f"dtype is {shown(dtype)}; it takes {names(FLOATS)}")
    placed = _placed_by_quantize(source) if isinstance(source, nn.Module) else None
    state: Any = source.state_dict() if isinstance(source, nn.Module) else source
    if not isinstance(state, Mapping):
        raise ArgumentTypeError(
            f"source is {shown(source)}; it takes a torch.nn.Module or its state dict"
        )
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        path, _, last = key.rpartition(".")
        prefix = f"{path}." if path else ""
        if last == "codes" and f"{prefix}weight_bias" in state:
            found[f"{prefix}weight"] = _decoded(state, prefix, dtype)
        elif last in KEYS and f"{prefix}codes" in state:
            continue
        elif not (_is_rounder(state, path) if placed is None else path in placed):
            found[key] = value
    return found


def _placed_by_quantize(model: nn.Module) -> set[str]:
    """Find the rounders that quantized layers have, and not those that a model has of its own."""
    return {
        f"{name}.{slot}_rounder" if name else f"{slot}_rounder"
        for name, layer in model.named_modules(remove_duplicate=False)
        if isinstance(layer, Quantized)
        for slot in slots_of(layer)
        if isinstance(layer._modules.get(f"{slot}_rounder"), Rounder)
    }


def _is_rounder(state: Mapping[str, Tensor], path: str) -> bool:
    """Whether a state has a rounder of a quantized layer at a path, by its name and by what is there."""
    slot = path.rpartition(".")[2].removesuffix("_rounder")
    is_slot = slot in (*ROLES, *OPERANDS) or "weight" in slot
    if not (path.endswith("_rounder") and is_slot):
        return False
    own = {key.removeprefix(f"{path}.") for key in state if key.startswith(f"{path}.")}
    # written before there were texts of formats, a history is of float64, and a stream of two words
    history, stream = state.get(f"{path}.history"), state.get(f"{path}.stream")
    is_old = (history is not None and history.dtype == torch.float64) or (
        stream is not None and stream.dtype == torch.int64 and tuple(stream.shape) == (2,)
    )
    return own <= set(KEYS_OF_ROUNDERS) and ("format_text" in own or is_old)


def _decoded(state: Mapping[str, Tensor], prefix: str, dtype: torch.dtype) -> Tensor:
    codes, formats = state[f"{prefix}codes"], state.get(f"{prefix}formats")
    if formats is None:
        raise ArgumentValueError(
            f"{prefix}formats is missing, which says what the codes are; load such a state, of an earlier "
            "version, into a model that to_inference() made, and take that"
        )
    try:
        written = Written.of_tensor(formats)
        layout, biases = placed(state[f"{prefix}weight_bias"], written, codes.shape)
    except ValueError as error:
        raise ArgumentValueError(f"{prefix}codes: {error}") from None
    spread = layout.spread(biases, codes.shape)
    return decode(codes, written.weight, spread, dtype=dtype)
