"""Tensors as NumPy arrays and back, without a copy."""

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfloat._core.dtypes import check_memory

# The C core takes bfloat16 by its dtype's name; ml_dtypes, which has a NumPy dtype for it, need not be there.
_BFLOAT16 = np.dtype((type("bfloat16", (np.void,), {}), 2))


class _Memory:
    """A tensor's memory as NumPy takes it, which keeps the tensor.

    ``Tensor.numpy`` gives the same, and takes from the tensor's storage for good that it can be resized, as
    FSDP does with parameters.
    """

    __slots__ = ("__array_interface__", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        size = tensor.element_size()
        self.tensor = tensor
        self.__array_interface__ = {
            "version": 3,
            "typestr": _typestr(tensor.dtype),
            "shape": tuple(tensor.shape),
            "strides": tuple([size * step for step in tensor.stride()]),
            "data": (tensor.data_ptr(), False),
        }


@cache
def _typestr(dtype: torch.dtype) -> str:
    if dtype == torch.bfloat16:
        dtype = torch.int16
    text: str = torch.empty(0, dtype=dtype, device="cpu").numpy().dtype.str
    return text


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
    if tensor.is_conj() or tensor.is_neg() or tensor.requires_grad or type(tensor) is not Tensor:
        tensor = tensor.detach().resolve_conj().resolve_neg()
    is_bfloat16 = tensor.dtype == torch.bfloat16
    array: NDArray[Any]
    if not tensor.numel() or not tensor.is_cpu or type(tensor) is not Tensor:
        array = (tensor.view(torch.int16) if is_bfloat16 else tensor).numpy()
    else:
        array = np.asarray(_Memory(tensor))
    return array.view(_BFLOAT16) if is_bfloat16 else array


def from_numpy(array: NDArray[Any]) -> Tensor:
    """Return a tensor of an array's memory; of a copy if that is read-only or runs backwards."""
    if not array.flags.writeable or min(array.strides, default=0) < 0:
        array = array.copy()
    return torch.from_numpy(array)


def for_numpy(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's values as an array that NumPy computes with; copied if bfloat16, or elsewhere."""
    tensor = tensor.detach().cpu()
    return to_numpy(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)
