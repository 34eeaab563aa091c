"""The C core at once, past PyTorch's dispatcher, for tensors that it can read and write where they are.

An operator's call through the dispatcher, as `_ops` registers them, takes ten times as long as its work on a
thousand elements.  Where nobody would see the difference it is left out: in eager mode, for tensors in a row
in this process's memory, of one bias, while nobody counts flags.  What is here takes no other arguments, and
none that is wrong; the operators, and the checks before them, know the rest.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch._C import (  # type: ignore[attr-defined]
    _functorch,
    _len_torch_dispatch_stack,
)
from torch.autograd import forward_ad
from torch.overrides import has_torch_function

from cfloat._core import binding, flags
from cfloat._core.format import Format
from cfloat._core.rounding import WORDS, RoundingMode

from ._arguments import FLOATS
from ._formats import code_dtype

_CODES: Final = binding.CODES
_PLAIN: Final = (Tensor, nn.Parameter)
_TYPES: Final = dict(zip(FLOATS, binding.VALUE_TYPES, strict=True))
_is_compiling: Final = torch.compiler.is_compiling
_is_tracing: Final = torch.jit.is_tracing  # type: ignore[attr-defined]
_is_profiling: Final = torch.autograd._profiler_enabled  # type: ignore[attr-defined]
_transform: Final = _functorch.peek_interpreter_stack


def is_eager(tensor: Tensor) -> bool:
    """Whether a call with a tensor is nothing but that: no graph, mode or transform takes note of it."""
    return not (
        _is_compiling()
        or _len_torch_dispatch_stack()
        or _transform() is not None
        or has_torch_function((tensor,))
        or forward_ad._current_level >= 0
        or _is_tracing()  # type: ignore[no-untyped-call]
        or _is_profiling()
    )


def is_in_memory(tensor: Tensor) -> bool:
    """Whether elements lie in a row, at ``data_ptr()``, all within memory that the tensor has."""
    return (
        type(tensor) in _PLAIN
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_neg()
        and has_storage(tensor)
    )


def has_storage(tensor: Tensor) -> bool:
    """Whether a tensor without gaps has its elements in storage: one that was resized, or freed, may not."""
    end = tensor.storage_offset() + tensor.numel()
    enough: bool = tensor.untyped_storage().nbytes() >= end * tensor.itemsize
    return enough


def reads(x: Tensor) -> bool:
    """Whether the core can read a tensor of values where it is, in a call that is nothing but that."""
    return is_eager(x) and is_in_memory(x) and x.dtype in _TYPES


def takes(
    x: Tensor, fmt: Format, bias: object, rounding: object, seed: object, offset: object
) -> bool:
    """Whether `encode` is for these arguments of `cfloat.torch.encode`; only the format was checked."""
    if (
        not (reads(x) and _is_bias(bias, fmt))
        or flags.are_counted()
        or type(rounding) is not str
        or binding.rounding_number(rounding) is None
        or type(offset) is not int
    ):
        return False
    if rounding != "stochastic":
        return seed is None and offset == 0
    return type(seed) is int and 0 <= seed < WORDS and 0 <= offset <= WORDS - x.numel()


def encode(
    x: Tensor,
    fmt: Format,
    bias: int | None,
    rounding: RoundingMode,
    seed: int | None,
    offset: int,
    rounds: bool,
) -> Tensor:
    """Convert values to codes; or, if `rounds`, to the values of those, of the values' own dtype.

    It `takes` the arguments.
    """
    from_type, mode = _TYPES[x.dtype], binding.rounding_number(rounding)
    assert mode is not None
    made = torch.empty_like(
        x, dtype=x.dtype if rounds else code_dtype(fmt), memory_format=torch.contiguous_format
    )
    binding.convert_memory(
        fmt._struct, fmt.default_bias if bias is None else bias, from_type, x.data_ptr(),
        mode, seed or 0, offset,
        from_type if rounds else _CODES, made.data_ptr(), x.numel(),
    )  # fmt: skip
    return made


def round_into(
    rounded: Tensor, x: Tensor, bias: Tensor, stream: Tensor, fmt: Format, rounding: str
) -> bool:
    """Round values of the operator `round_to`, if they and the results lie in one order, at one bias.

    Nothing was written, and nothing is said of wrong arguments, where it gives False.
    """
    mode = binding.rounding_number(rounding)
    if (
        bias.ndim
        or mode is None
        or type(x) not in _PLAIN
        or x.stride() != rounded.stride()
        or not (x.numel() and x.is_cpu and bias.is_cpu)
        or x.is_neg()
        or flags.are_counted()
    ):
        return False
    seed = offset = 0
    if rounding == "stochastic":
        seed, offset = (number % WORDS for number in stream.tolist())
        # words go by the places of elements, and not of memory
        if not x.is_contiguous() or offset > WORDS - x.numel():
            return False
    one, kind = int(bias), _TYPES[x.dtype]
    low, high = fmt.bias_range
    if not (low <= one <= high and has_storage(x)):
        return False
    binding.convert_memory(
        fmt._struct,
        one,
        kind,
        x.data_ptr(),
        mode,
        seed,
        offset,
        kind,
        rounded.data_ptr(),
        x.numel(),
    )
    return True


def decode(codes: Tensor, fmt: Format, bias: Any, dtype: torch.dtype) -> Tensor | None:
    """Convert codes to values, as `cfloat.torch.decode`; only the format was checked."""
    if not (is_eager(codes) and is_in_memory(codes)) or flags.are_counted():
        return None
    to_type = _TYPES.get(dtype) if type(dtype) is torch.dtype else None
    if codes.dtype != code_dtype(fmt) or to_type is None or not _is_bias(bias, fmt):
        return None
    if fmt.bits != 8 * codes.itemsize:  # codes may be too large
        return None
    values = torch.empty_like(codes, dtype=dtype, memory_format=torch.contiguous_format)
    binding.convert_memory(
        fmt._struct, fmt.default_bias if bias is None else bias, _CODES, codes.data_ptr(), 0, 0, 0,
        to_type, values.data_ptr(), codes.numel(),
    )  # fmt: skip
    return values


def largest_magnitude(x: Tensor) -> float:
    """Find the largest finite magnitude of a tensor that `is_in_memory`; 0 if there is none."""
    return binding.peak_of_memory(_TYPES[x.dtype], x.data_ptr(), x.numel())


def matmul(
    x: Tensor,
    x_format: Format | None,
    x_bias: int,
    codes: Tensor,
    fmt: Format,
    bias: int,
    results: Tensor,
) -> None:
    """Multiply rows by those of a matrix of codes, summed in float32; all are in memory, and have elements.

    Parameters
    ----------
    x : Tensor, shape (..., inner)
        Float32 or bfloat16; or codes, of a format with a bias.
    codes : Tensor, shape (columns, inner)
        Codes, of a format with a bias.
    results : Tensor of float32, shape (..., columns)
    """
    columns, inner = codes.shape
    a_type, a_format = (_TYPES[x.dtype], None) if x_format is None else (_CODES, x_format._struct)
    size = codes.itemsize
    binding.matmul_memory(
        x.numel() // inner, inner, columns, (a_type, a_format, x_bias, x.data_ptr(), x.itemsize),
        (_CODES, fmt._struct, bias, codes.data_ptr(), size, inner * size), results.data_ptr(),
    )  # fmt: skip


def _is_bias(bias: object, fmt: Format) -> bool:
    """Whether an argument is one bias that a format allows."""
    if bias is None:
        return True
    low, high = fmt.bias_range
    return type(bias) is int and low <= bias <= high
