"""Tensors as NumPy arrays and back, without a copy."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfloat._core.dtypes import check_memory

# The C core takes bfloat16 by its dtype's name; ml_dtypes, which has a NumPy dtype for it, need not be there.
_BFLOAT16 = np.dtype((type("bfloat16", (np.void,), {}), 2))


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    """Return an array of a CPU tensor's memory; one of bfloat16 is for the C core alone.

    Parameters
    ----------
    tensor : Tensor
        Strided, on the CPU, of any dtype that NumPy has, or bfloat16.

    Returns
    -------
    ndarray
        Of the tensor's shape and strides.
    """
    check_memory("a tensor", tensor)
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
        return tensor.numpy().view(_BFLOAT16)
    array: NDArray[Any] = tensor.numpy()
    return array


def from_numpy(array: NDArray[Any]) -> Tensor:
    """Return a tensor of an array's memory; of a copy if that is read-only or runs backwards."""
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    return torch.from_numpy(array)


def for_numpy(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's values as an array that NumPy computes with; copied if bfloat16, or elsewhere."""
    tensor = tensor.detach().cpu()
    return to_numpy(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)
