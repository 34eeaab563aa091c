"""`round_to`, `encode` and `decode` as operators of PyTorch (docs/spec.md 3).

On the CPU they are the C core's, which reads and writes tensors where they are.  On other devices they are
made of PyTorch's own operators, and give the same bits.  ``torch.compile`` keeps them in its graphs.

Formats are text here, which `_formats` writes and reads, and `stream` is the random stream's seed and offset
modulo 2**64: int64 of shape (2,).  Arguments are not checked: `_conversion` does it.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch._C import _functorch  # type: ignore[attr-defined]
from torch._functorch.pyfunctorch import retrieve_all_functorch_interpreters

from cfloat._bias.round_to import round_to as round_array
from cfloat._convert import elementwise
from cfloat._core.finfo import finfo
from cfloat._core.format import Format
from cfloat._core.rounding import RoundingMode
from cfloat.errors import ArgumentValueError

from . import _arithmetic, _direct
from ._formats import code_dtype, from_text
from ._memory import to_numpy


@torch.library.custom_op("cfloat::round_to", mutates_args=())
def round_to(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    mode, known = cast(RoundingMode, rounding), from_text(fmt)
    codes = _arithmetic.encode(x, known, bias, mode, stream)
    rounded, values = _empty_for(x, bias), _arithmetic.decode(codes, known, bias, x.dtype)
    return values if values.stride() == rounded.stride() else rounded.copy_(values)


@round_to.register_kernel("cpu")
def _(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    rounded = _empty_for(x, bias)
    if _direct.round_into(rounded, x, bias, stream, from_text(fmt), rounding):
        return rounded
    round_array(
        to_numpy(x), from_text(fmt), to_numpy(bias), **_how(rounding, stream), out=to_numpy(rounded)
    )
    return rounded


@round_to.register_fake
def _(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    return _empty_for(x, bias)


def _empty_for(x: Tensor, bias: Tensor) -> Tensor:
    """Give memory for what `x` is rounded to: in its own order, as channels_last is, if it has its shape."""
    if not bias.ndim:
        return torch.empty_like(x)
    shape = torch.broadcast_shapes(x.shape, bias.shape)
    return torch.empty_like(x) if shape == x.shape else x.new_empty(shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, bias, _, ctx.fmt, _ = inputs
    ctx.save_for_backward(x, bias)


def _pass_on(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Pass a gradient straight through, but for elements beyond the format's range."""
    x, bias = ctx.saved_tensors
    kept = torch.where(_is_within(x, from_text(ctx.fmt), bias), gradient, 0)
    return kept.sum_to_size(x.shape), None, None, None, None


round_to.register_autograd(_pass_on, setup_context=_keep)


class _Rounding(torch.autograd.Function):
    """`round_to` at once, with the same gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        fmt: Format,
        bias: int | None,
        rounding: RoundingMode,
        seed: Any,
        offset: Any,
    ) -> Tensor:
        rounded = _direct.encode(x, fmt, bias, rounding, seed, offset, rounds=True)
        ctx.save_for_backward(x)
        ctx.fmt, ctx.bias = fmt, fmt.default_bias if bias is None else bias
        return rounded

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        bias = torch.tensor(ctx.bias, device="cpu")
        return torch.where(_is_within(x, ctx.fmt, bias), gradient, 0), *(None,) * 5


def round_at_once(
    x: Tensor, fmt: Format, bias: int | None, rounding: RoundingMode, seed: Any, offset: Any
) -> Tensor:
    """Round as the operator what `_direct` takes."""
    if not (x.requires_grad and torch.is_grad_enabled()):
        return _direct.encode(x, fmt, bias, rounding, seed, offset, rounds=True)
    rounded: Tensor = _Rounding.apply(x, fmt, bias, rounding, seed, offset)  # type: ignore[no-untyped-call]
    return rounded


def _is_within(x: Tensor, fmt: Format, bias: Tensor) -> Tensor:
    """Return where values are numbers no larger than the largest finite value, and no less than the least."""
    low, _ = fmt.bias_range
    # exact: every value of a format is a float32
    top = finfo(fmt, low).max * _arithmetic.power_of_two(low - bias.long())
    values = x if x.dtype == torch.float64 else x.float()
    top = top.to(values.dtype)
    return (values.abs() <= top) if fmt.signed else (values >= 0) & (values <= top)


@torch.library.custom_op("cfloat::encode", mutates_args=())
def encode(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    return _arithmetic.encode(x, from_text(fmt), bias, cast(RoundingMode, rounding), stream)


@encode.register_kernel("cpu")
def _(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    known = from_text(fmt)
    codes = torch.empty(torch.broadcast_shapes(x.shape, bias.shape), dtype=code_dtype(known))
    elementwise.encode(
        to_numpy(x), known, to_numpy(bias), **_how(rounding, stream), out=to_numpy(codes)
    )
    return codes


@encode.register_fake
def _(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    shape = torch.broadcast_shapes(x.shape, bias.shape)
    return x.new_empty(shape, dtype=code_dtype(from_text(fmt)))


@torch.library.custom_op("cfloat::decode", mutates_args=())
def decode(codes: Tensor, bias: Tensor, fmt: str, dtype: torch.dtype) -> Tensor:
    return _arithmetic.decode(codes, from_text(fmt), bias, dtype)


@decode.register_kernel("cpu")
def _(codes: Tensor, bias: Tensor, fmt: str, dtype: torch.dtype) -> Tensor:
    values = torch.empty(torch.broadcast_shapes(codes.shape, bias.shape), dtype=dtype)
    elementwise.decode(to_numpy(codes), from_text(fmt), to_numpy(bias), out=to_numpy(values))
    return values


@decode.register_fake
def _(codes: Tensor, bias: Tensor, fmt: str, dtype: torch.dtype) -> Tensor:
    return codes.new_empty(torch.broadcast_shapes(codes.shape, bias.shape), dtype=dtype)


def _rows(operator: Any) -> Callable[..., tuple[Tensor, int]]:
    """Give what `torch.vmap` does with an operator that rounds: of all rows at once.

    Where rows share one stream, they draw as its `randomness` says: "different" rows take words one after
    the other, as a whole tensor does whose first axis they are; the "same" words; or it is an "error".
    """

    def of_rows(
        info: Any,
        in_dims: tuple[int | None, ...],
        x: Tensor,
        bias: Tensor,
        stream: Tensor,
        fmt: str,
        rounding: str,
    ) -> tuple[Tensor, int]:
        x_axis, bias_axis, stream_axis = in_dims[:3]
        draws = rounding == "stochastic"
        if draws and stream_axis is None and info.randomness == "error":
            raise ArgumentValueError(
                "rounding is 'stochastic' in torch.vmap with randomness='error'; "
                "it takes randomness='different' or 'same'"
            )
        ndim = max(x.dim() - (x_axis is not None), bias.dim() - (bias_axis is not None))
        x, bias = _first_axis(x, x_axis, ndim), _first_axis(bias, bias_axis, ndim)
        if not draws or (stream_axis is None and info.randomness == "different"):
            if x_axis is None and bias_axis is None:
                x = x.expand(info.batch_size, *(1,) * (ndim - x.dim()), *x.shape)
            return operator(x, bias, stream, fmt, rounding), 0
        # as many streams as rows, or one that begins anew with each
        each: list[Any] = [
            [tensor] * info.batch_size if axis is None else tensor.unbind()
            for tensor, axis in ((x, x_axis), (bias, bias_axis))
        ]
        streams = [stream] * info.batch_size if stream_axis is None else stream.unbind(stream_axis)
        rows = zip(*each, streams, strict=True)
        return torch.stack([operator(*row, fmt, rounding) for row in rows]), 0

    return of_rows


def is_of_rows(x: Tensor) -> bool:
    """Whether a tensor is one of the rows of `torch.vmap`."""
    while _functorch.is_functorch_wrapped_tensor(x):
        if _functorch.is_batchedtensor(x):
            return True
        x = _functorch.get_unwrapped(x)
    return False


def words_drawn(x: Tensor) -> int:
    """Give how many random words it takes to round a tensor: under `torch.vmap` those of all rows."""
    count = x.numel()
    if torch.compiler.is_compiling() or not _functorch.is_functorch_wrapped_tensor(x):
        return count
    levels = {each.level(): each for each in retrieve_all_functorch_interpreters()}
    while _functorch.is_functorch_wrapped_tensor(x):
        if _functorch.is_batchedtensor(x):
            rows: Any = levels[_functorch.maybe_get_level(x)]
            count *= rows.batch_size() if rows.randomness() == "different" else 1
        x = _functorch.get_unwrapped(x)
    return count


def _first_axis(tensor: Tensor, axis: int | None, ndim: int) -> Tensor:
    """Move the axis of rows to the front, of `ndim` others."""
    if axis is None:
        return tensor
    tensor = tensor.movedim(axis, 0)
    return tensor.reshape(len(tensor), *(1,) * (ndim + 1 - tensor.dim()), *tensor.shape[1:])


if hasattr(torch.library, "register_vmap"):  # from PyTorch 2.5 on
    round_to.register_vmap(_rows(round_to))
    encode.register_vmap(_rows(encode))


def _how(rounding: str, stream: Tensor) -> dict[str, Any]:
    if rounding != "stochastic":
        return {"rounding": rounding}
    seed, offset = (number % 2**64 for number in stream.tolist())
    return {"rounding": rounding, "seed": seed, "offset": offset}
