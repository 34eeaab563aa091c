"""Warnings of what would otherwise be found out late: of biases that nobody learnt, and layers left alone."""

import secrets
import sys
import warnings
from types import FrameType

import torch
from torch import Tensor
from torch._C import _len_torch_dispatch_stack  # type: ignore[attr-defined]

# the models of which it was said that a bias was not learnt
_told: set[int] = set()


class QuantizationWarning(UserWarning):
    """A quantized model computes otherwise than it may seem to.

    A bias is used before it was learnt, or what holds weights was left alone.

    Examples
    --------
    >>> import warnings
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> rounder = cf.torch.Rounder(cf.CFloat8_1_4_3).eval()
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     _ = rounder(torch.ones(2))
    >>> caught[0].category.__name__
    'QuantizationWarning'
    """


def new_model() -> int:
    """Give a number for a model, by which it is told once: its copies, and what is made of it, share it."""
    return secrets.randbits(62)


def tell_unlearnt(observed: Tensor, model: int, role: str, bias: int) -> None:
    """Warn, once a model, if a bias is used that was learnt of nothing; compiled, when that is traced."""
    if torch.compiler.is_compiling():
        _tell_in_a_graph(observed, model, role, bias)
    else:
        _tell(observed, model, role, bias)


def is_traced() -> bool:
    """Whether a mode sees what PyTorch does, whose tensors may have no values."""
    return bool(_len_torch_dispatch_stack())


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor can be looked at: it is not traced."""
    return type(tensor) is Tensor and not tensor.is_meta and not is_traced()


def _users_line() -> tuple[str, int]:
    """Find the line that called the model: the nearest outside of this package and PyTorch."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(("torch.", "cfloat.")):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "<unknown>", 1


def _tell(observed: Tensor, model: int, role: str, bias: int) -> int:
    if not has_values(observed) or model in _told or int(observed[1]):
        return 0
    _told.add(model)
    # without the registry by which Python would tell of one model only, as the text is the same
    warnings.warn_explicit(
        f"{role} was not learnt yet, and {bias}, the format's default, is used in its place: run "
        "cfloat.torch.calibrate(model, batches), or the model in training mode (said once a model)",
        QuantizationWarning,
        *_users_line(),
    )
    return 0


_tell_in_a_graph = torch.compiler.assume_constant_result(_tell)
