"""Which tensors the C core may read and write where they are, past PyTorch's dispatcher.

An operator's call through the dispatcher, as `_ops` registers them, costs some tens of microseconds.  Where
nobody would see the difference the core is called at once: in eager mode, for tensors in a row in this
process's memory.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch._C import (  # type: ignore[attr-defined]
    _functorch,
    _len_torch_dispatch_stack,
)
from torch.autograd import forward_ad
from torch.overrides import has_torch_function

_PLAIN: Final = (Tensor, nn.Parameter)
_is_compiling: Final = torch.compiler.is_compiling
_is_wrapped: Final = _functorch.is_functorch_wrapped_tensor
_is_profiling: Final = torch.autograd._profiler_enabled  # type: ignore[attr-defined]


def is_eager(tensor: Tensor) -> bool:
    """Whether a call with a tensor is nothing but that: no graph, mode or transform takes note of it."""
    return not (
        _is_compiling()
        or _len_torch_dispatch_stack()
        or has_torch_function((tensor,))
        or forward_ad._current_level >= 0
        or torch.jit.is_tracing()
        or _is_profiling()
    )


def is_in_memory(tensor: Tensor) -> bool:
    """Whether elements lie in a row, at ``data_ptr()``, all within memory that the tensor has."""
    return (
        type(tensor) in _PLAIN
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and not _is_wrapped(tensor)
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and has_storage(tensor)
    )


def has_storage(tensor: Tensor) -> bool:
    """Whether a contiguous tensor's storage has its elements: one that was resized, or freed, may not."""
    end = tensor.storage_offset() + tensor.numel()
    enough: bool = tensor.untyped_storage().nbytes() >= end * tensor.itemsize
    return enough
