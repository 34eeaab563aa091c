"""Running a model on batches, for what is measured meanwhile."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError

#: The key of a batch under which transformers' tokenizers say which positions are no padding.
MASK: Final = "attention_mask"


def check_batches(batches: object) -> None:
    """Refuse what is no iterable of several batches."""
    if isinstance(batches, Tensor | Mapping | str) or not isinstance(batches, Iterable):
        raise ArgumentTypeError(f"batches is {shown(batches)}; it takes several, as a list")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, without gradients, and each module back into its own."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def called(model: Callable[..., Any], batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch)
    # a packed sequence is a tuple, and one input
    if isinstance(batch, tuple | list) and not isinstance(batch, PackedSequence):
        return model(*batch)
    if isinstance(batch, Tensor | PackedSequence):
        return model(batch)
    raise ArgumentTypeError(
        f"a batch is {shown(batch)}; it takes a mapping, a tuple, a list or a torch.Tensor"
    )


def mask_of(batch: Any) -> Tensor | None:
    """Give which of a batch's positions count, if it says so."""
    mask = batch.get(MASK) if isinstance(batch, Mapping) else None
    return mask != 0 if isinstance(mask, Tensor) and mask.ndim == 2 else None
