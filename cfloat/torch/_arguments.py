"""Checks of arguments that are tensors, or go with one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfloat._bias.bias_methods import PEAK_RULES, PeakRule, check_range
from cfloat._core.format import Format
from cfloat._core.rounding import check_offset, check_rounding, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._formats import code_dtype
from ._streams import drawn_seed, no_stream, signed

#: Dtypes of the values that are rounded and returned.
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

_INTEGERS = (torch.int16, torch.int32, torch.int64, torch.uint8, torch.int8)


def check_codes(codes: object, fmt: Format) -> Tensor:
    """Return a tensor of a format's storage dtype; ArgumentTypeError if it is none."""
    expected = code_dtype(fmt)
    if not isinstance(codes, Tensor):
        raise ArgumentTypeError(f"codes are {shown(codes)}; it takes a torch.Tensor of {expected}")
    if codes.dtype != expected:
        raise ArgumentTypeError(f"codes have dtype {codes.dtype}; those of {fmt} have {expected}")
    return codes


def check_values(x: object) -> Tensor:
    """Return a tensor of floating-point numbers that can be rounded; ArgumentTypeError if it is none."""
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(f"x is a {type(x).__name__}; it takes a torch.Tensor")
    if x.dtype not in FLOATS:
        raise ArgumentTypeError(f"x has dtype {x.dtype}; it takes {names(FLOATS)}")
    return x


def check_layout(what: str, tensor: Tensor) -> None:
    """Raise ArgumentTypeError if a tensor is sparse, nested or the like."""
    if tensor.layout != torch.strided:
        raise ArgumentTypeError(f"{what} layout {tensor.layout}; it takes torch.strided")
    if tensor.is_nested:
        raise ArgumentTypeError(f"{what} nested tensors; it takes one tensor of one shape")


def check_strided(x: object) -> Tensor:
    """Return a tensor of values, which lie as strides say; ArgumentTypeError if it is none."""
    values = check_values(x)
    if not torch.compiler.is_compiling():  # where a pass backward may not ask
        check_layout("x has", values)
    return values


def check_has_elements(x: Tensor) -> None:
    """Raise ArgumentValueError if there is nothing in a tensor but its shape."""
    if x.is_meta:
        raise ArgumentValueError("x is on meta, without elements; it takes a tensor that has some")


def check_shapes(name: str, x: Tensor, biases: Tensor) -> torch.Size:
    try:
        shape: torch.Size = torch.broadcast_shapes(x.shape, biases.shape)
    except RuntimeError:
        raise ArgumentValueError(
            f"bias has shape {tuple(biases.shape)}, which does not broadcast with {name} of {tuple(x.shape)}"
        ) from None
    return shape


def check_bias_or_rule(name: str, bias: Any, fmt: Format) -> PeakRule | int:
    """Give "max" or "mx", or else the bias that an argument stands for; None is the format's default."""
    if not isinstance(bias, str):
        return fmt.check_bias(bias)
    if bias not in PEAK_RULES:
        raise ArgumentValueError(
            f"{name} is {shown(bias)}; it takes 'max', 'mx', an integer or None"
        )
    check_range(name, bias, fmt)
    rule: PeakRule = bias
    return rule


def biases_of(bias: Any, fmt: Format, device: torch.device) -> Tensor:
    """Return biases as a tensor: of int16 if they were not one already."""
    if isinstance(bias, Tensor):
        if bias.dtype not in _INTEGERS:
            raise ArgumentTypeError(f"bias has dtype {bias.dtype}; it takes {names(_INTEGERS)}")
        check_layout("bias has", bias)
        return bias
    checked = fmt.check_biases(bias)
    if isinstance(checked, int):
        return torch.tensor(checked, dtype=torch.int16, device=device)
    return torch.from_numpy(np.ascontiguousarray(checked)).to(device)


def stream_of(rounding: object, seed: Any, offset: Any, size: int) -> Tensor:
    """Return a random stream's seed and offset, modulo 2**64, as int64; zeros if rounding draws nothing."""
    check_rounding(rounding, (), 0, 0)
    seed = None if seed is None else _checked_word(seed, check_seed)
    offset = _checked_word(offset, lambda word: check_offset(word, size))
    if rounding != "stochastic":
        return no_stream()
    first = drawn_seed() if seed is None else _word(seed)
    return torch.stack((first, _word(offset).to(first.device)))


def _checked_word(word: Any, check: Callable[[Any], int]) -> Tensor | int:
    """Give a checked seed or offset; one in a tensor, which may be elsewhere, is not looked at."""
    if not isinstance(word, Tensor):
        return check(word)
    if word.dtype != torch.int64 or word.numel() != 1:
        raise ArgumentTypeError(
            f"seed or offset is a tensor of {word.dtype} and shape {tuple(word.shape)}; "
            "it takes one int64"
        )
    return word


def _word(word: Tensor | int) -> Tensor:
    """Give a word modulo 2**64 as int64 of shape ()."""
    if isinstance(word, Tensor):
        return word.reshape(())
    return torch.tensor(signed(word), dtype=torch.int64, device="cpu")


def names(dtypes: tuple[torch.dtype, ...]) -> str:
    """Return the names of dtypes, for an error message."""
    *others, last = (str(dtype).removeprefix("torch.") for dtype in dtypes)
    return f"{', '.join(others)} or {last}"
