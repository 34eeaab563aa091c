"""`plain_state_dict`: the state of a quantized model, or of one of codes, as the plain model has it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._arguments import FLOATS, names
from ._codes_in_states import KEYS, Written, matrix_layout
from ._conversion import decode
from ._rounder import KEYS_OF_ROUNDERS


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
        elif not (path.endswith("_rounder") and last in KEYS_OF_ROUNDERS):
            found[key] = value
    return found


def _decoded(state: Mapping[str, Tensor], prefix: str, dtype: torch.dtype) -> Tensor:
    codes, formats = state[f"{prefix}codes"], state.get(f"{prefix}formats")
    if formats is None:
        raise ArgumentValueError(
            f"{prefix}formats is missing, which says what the codes are; load such a state, of an earlier "
            "version, into a model that to_inference() made, and take that"
        )
    try:
        written = Written.of_tensor(formats)
    except ValueError as error:
        raise ArgumentValueError(f"{prefix}{error}") from None
    biases = state[f"{prefix}weight_bias"]
    layout = matrix_layout(biases, written.block)
    spread = layout.spread(biases.reshape(layout.shape_of(codes.shape)), codes.shape)
    return decode(codes, written.weight, spread, dtype=dtype)
