"""`round_to`, `encode` and `decode` as operators of PyTorch (docs/spec.md 3).

On the CPU they are the C core's, which reads and writes tensors where they are.  On other devices they are
made of PyTorch's own operators, and give the same bits.  ``torch.compile`` keeps them in its graphs.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cfloat._bias.choose import choose_bias
from cfloat._bias.methods import check_method
from cfloat._bias.round_to import round_to as round_array
from cfloat._convert import elementwise
from cfloat._core.finfo import finfo
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode, check_offset, check_rounding, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from . import _plain
from ._formats import code_dtype, from_text, to_text
from ._memory import for_numpy, to_numpy
from ._streams import drawn_seed, no_stream, signed

#: Dtypes of the values that are rounded and returned.
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

_INTEGERS = (torch.int16, torch.int32, torch.int64, torch.uint8, torch.int8)


# Operators: `stream` is the random stream's seed and offset modulo 2**64, which int64 holds


@torch.library.custom_op("cfloat::round_to", mutates_args=())
def _round_to(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    mode, known = cast(RoundingMode, rounding), from_text(fmt)
    codes = _plain.encode(x, known, bias, mode, stream)
    return _plain.decode(codes, known, bias, x.dtype)


@_round_to.register_kernel("cpu")
def _(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    rounded = torch.empty(torch.broadcast_shapes(x.shape, bias.shape), dtype=x.dtype)
    round_array(
        to_numpy(x), from_text(fmt), to_numpy(bias), **_how(rounding, stream), out=to_numpy(rounded)
    )
    return rounded


@_round_to.register_fake
def _(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    return x.new_empty(torch.broadcast_shapes(x.shape, bias.shape))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, bias, _, ctx.fmt, _ = inputs
    ctx.save_for_backward(x, bias)


def _pass_on(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Pass a gradient straight through, but for elements beyond the format's range."""
    x, bias = ctx.saved_tensors
    kept = torch.where(_is_within(x, from_text(ctx.fmt), bias), gradient, 0)
    return kept.sum_to_size(x.shape), None, None, None, None


_round_to.register_autograd(_pass_on, setup_context=_keep)


def _is_within(x: Tensor, fmt: Format, bias: Tensor) -> Tensor:
    """Return where values are numbers no larger than the largest finite value, and no less than the least."""
    low, _ = fmt.bias_range
    # exact: every value of a format is a float32
    largest = finfo(fmt, low).max * _plain.power_of_two(low - bias.long())
    values = x if x.dtype == torch.float64 else x.float()
    largest = largest.to(values.dtype)
    return (values.abs() <= largest) if fmt.signed else (values >= 0) & (values <= largest)


@torch.library.custom_op("cfloat::encode", mutates_args=())
def _encode(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    return _plain.encode(x, from_text(fmt), bias, cast(RoundingMode, rounding), stream)


@_encode.register_kernel("cpu")
def _(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    codes = elementwise.encode(
        to_numpy(x), from_text(fmt), to_numpy(bias), **_how(rounding, stream)
    )
    return torch.from_numpy(codes)


@_encode.register_fake
def _(x: Tensor, bias: Tensor, stream: Tensor, fmt: str, rounding: str) -> Tensor:
    shape = torch.broadcast_shapes(x.shape, bias.shape)
    return x.new_empty(shape, dtype=code_dtype(from_text(fmt)))


@torch.library.custom_op("cfloat::decode", mutates_args=())
def _decode(codes: Tensor, bias: Tensor, fmt: str, dtype: torch.dtype) -> Tensor:
    return _plain.decode(codes, from_text(fmt), bias, dtype)


@_decode.register_kernel("cpu")
def _(codes: Tensor, bias: Tensor, fmt: str, dtype: torch.dtype) -> Tensor:
    values = torch.empty(torch.broadcast_shapes(codes.shape, bias.shape), dtype=dtype)
    elementwise.decode(to_numpy(codes), from_text(fmt), to_numpy(bias), out=to_numpy(values))
    return values


@_decode.register_fake
def _(codes: Tensor, bias: Tensor, fmt: str, dtype: torch.dtype) -> Tensor:
    return codes.new_empty(torch.broadcast_shapes(codes.shape, bias.shape), dtype=dtype)


def _how(rounding: str, stream: Tensor) -> dict[str, Any]:
    if rounding != "stochastic":
        return {"rounding": rounding}
    seed, offset = (number % 2**64 for number in stream.tolist())
    return {"rounding": rounding, "seed": seed, "offset": offset}


# What is called


def round_to(
    x: Tensor,
    fmt: Format,
    bias: ArrayLike | Tensor | None = None,
    *,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | Tensor | None = None,
    offset: SupportsIndex | Tensor = 0,
) -> Tensor:
    """Round values to those that a format has ("fake quantisation"), with a straight-through gradient.

    Parameters
    ----------
    x : Tensor of float64, float32, float16 or bfloat16
        Values, of any shape and strides.  On the CPU they are not copied.
    fmt : Format
        The format on whose grid the results are.
    bias : int, array_like of int, Tensor of integers, or {"mse", "max", "percentile"}, optional
        The exponent bias, or biases that broadcast with `x`; the format's default bias if None; or how
        `cfloat.choose_bias` is to choose one for all of `x`.
    rounding : str, default "ties_to_even"
        As `cfloat.round_to` has it.
    seed, offset : int or Tensor of one int64, optional
        The random stream of stochastic rounding and the place in it of the first element, as `cfloat.encode`
        has them: results are the same bits as there, on every device.  Tensors stand for their value modulo
        2**64.  If `seed` is None, PyTorch's default generator draws one.

    Returns
    -------
    Tensor
        Of the dtype and device of `x`, and the shape to which `x` and `bias` broadcast; contiguous.  float32
        and float64 hold every value of every format; what float16 and bfloat16 do not hold is rounded a
        second time, to nearest.

    Raises
    ------
    ArgumentTypeError
        If `x` is not a tensor of a dtype above, `fmt` not a Format, or `bias` not integers.
    ArgumentValueError
        If a bias is not allowed by the format, or does not broadcast with `x`; or `rounding`, `seed` or
        `offset` is not allowed.
    FlagError
        If `cfloat.errstate` says so; on the CPU alone, as flags are counted only there.

    See Also
    --------
    cfloat.round_to : The same for NumPy's arrays.

    Notes
    -----
    The gradient with respect to `x` is that of the result, and 0 where ``abs(x)`` is beyond the format's
    largest finite value, or NaN, or below 0 in an unsigned format.

    A tensor of biases that is not on the CPU is not checked.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> x = torch.tensor([0.1, -2.5, 1000.0], requires_grad=True)
    >>> rounded = cf.torch.round_to(x, cf.CFloat8_1_4_3)
    >>> rounded.tolist()
    [0.1015625, -2.5, 480.0]
    >>> rounded.sum().backward()
    >>> x.grad
    tensor([1., 1., 0.])
    """
    biases, stream = _checked(x, fmt, bias, rounding, seed, offset)
    rounded: Tensor = _round_to(x, biases, stream, to_text(fmt), rounding)
    return rounded


def encode(
    x: Tensor,
    fmt: Format,
    bias: ArrayLike | Tensor | None = None,
    *,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | Tensor | None = None,
    offset: SupportsIndex | Tensor = 0,
) -> Tensor:
    """Convert values to codes, with one rounding from the exact value.

    Parameters
    ----------
    x, fmt, rounding, seed, offset
        As in `round_to`.
    bias : int, array_like of int, or Tensor of integers, optional
        As in `round_to`; not the name of a method, as codes mean nothing without their bias.

    Returns
    -------
    Tensor of uint8 or uint16
        Codes, on the device of `x`; contiguous.  No gradient goes through them.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError, FlagError
        As `round_to`.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> cf.torch.encode(torch.tensor([1.0, -2.5, 1000.0]), cf.CFloat8_1_4_3)
    tensor([ 56, 194, 127], dtype=torch.uint8)
    """
    if isinstance(bias, str):
        raise ArgumentTypeError(
            f"bias is {shown(bias)}; for codes it takes integers, which must be known to read them"
        )
    biases, stream = _checked(x, fmt, bias, rounding, seed, offset)
    codes: Tensor = _encode(x.detach(), biases, stream, to_text(fmt), rounding)
    return codes


def decode(
    codes: Tensor,
    fmt: Format,
    bias: ArrayLike | Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Convert codes to values.

    Parameters
    ----------
    codes : Tensor of uint8 or uint16
        Codes: uint8 for formats of at most 8 bits, uint16 for others.
    fmt : Format
        Their format.
    bias : int, array_like of int, or Tensor of integers, optional
        The exponent bias, or biases that broadcast with `codes`; the format's default bias if None.
    dtype : torch.dtype, default torch.float32
        float64 or float32, which hold every value, or float16 or bfloat16.

    Returns
    -------
    Tensor of `dtype`
        On the device of `codes`; contiguous.

    Raises
    ------
    ArgumentTypeError
        If `codes` is not a tensor of the format's storage dtype, `fmt` not a Format, `bias` not integers, or
        `dtype` not one of those above.
    ArgumentValueError
        If a code is too large for the format, or a bias not allowed by it; or shapes do not fit.
    FlagError
        As in `round_to`.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> cf.torch.decode(torch.tensor([56, 194], dtype=torch.uint8), cf.CFloat8_1_4_3)
    tensor([ 1.0000, -2.5000])
    """
    fmt = as_format(fmt)
    check_codes(codes, fmt)
    check_layout("codes have", codes)
    if dtype not in FLOATS:
        raise ArgumentTypeError(f"dtype is {shown(dtype)}; it takes {names(FLOATS)}")
    biases = biases_of(bias, fmt, codes.device)
    _check_shapes("codes", codes, biases)
    values: Tensor = _decode(codes, biases, to_text(fmt), dtype)
    return values


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
    """Raise ArgumentTypeError if a tensor is sparse or the like."""
    if tensor.layout != torch.strided:
        raise ArgumentTypeError(f"{what} layout {tensor.layout}; it takes torch.strided")


def biases_of(bias: Any, fmt: Format, device: torch.device) -> Tensor:
    """Return biases as a tensor: of int16 if they were not one already."""
    if isinstance(bias, Tensor):
        if bias.dtype not in _INTEGERS:
            raise ArgumentTypeError(f"bias has dtype {bias.dtype}; it takes {names(_INTEGERS)}")
        return bias
    checked = fmt.check_biases(bias)
    if isinstance(checked, int):
        return torch.tensor(checked, dtype=torch.int16, device=device)
    return torch.from_numpy(np.ascontiguousarray(checked)).to(device)


def stream_of(rounding: object, seed: Any, offset: Any, size: int) -> Tensor:
    """Return a random stream's seed and offset, modulo 2**64, as int64; zeros if rounding draws nothing."""
    check_rounding(rounding, (), 0, 0)
    seed = None if seed is None else _word(seed, check_seed)
    offset = _word(offset, lambda word: check_offset(word, size))
    if rounding != "stochastic":
        return no_stream()
    if seed is None:
        seed = drawn_seed()
    return torch.stack((seed, offset.to(seed.device)))


def _word(word: Any, check: Callable[[Any], int]) -> Tensor:
    """Return a seed or an offset modulo 2**64; one in a tensor, which may be elsewhere, is not looked at."""
    if isinstance(word, Tensor):
        if word.dtype != torch.int64 or word.numel() != 1:
            raise ArgumentTypeError(
                f"seed or offset is a tensor of {word.dtype} and shape {tuple(word.shape)}; "
                "it takes one int64"
            )
        return word.reshape(())
    return torch.tensor(signed(check(word)), dtype=torch.int64, device="cpu")


def _checked(
    x: Tensor, fmt: Format, bias: Any, rounding: object, seed: Any, offset: Any
) -> tuple[Tensor, Tensor]:
    fmt = as_format(fmt)
    check_values(x)
    check_layout("x has", x)
    if isinstance(bias, str):
        bias = _chosen(x, fmt, bias)
    biases = biases_of(bias, fmt, x.device)
    shape = _check_shapes("x", x, biases)
    return biases, stream_of(rounding, seed, offset, shape.numel())


@torch.compiler.disable
def _chosen(x: Tensor, fmt: Format, method: str) -> ArrayLike:
    """Return the bias that `choose_bias` chooses, which no graph can hold."""
    return choose_bias(for_numpy(x), fmt, check_method("bias", method))


def _check_shapes(name: str, x: Tensor, biases: Tensor) -> torch.Size:
    try:
        shape: torch.Size = torch.broadcast_shapes(x.shape, biases.shape)
    except RuntimeError:
        raise ArgumentValueError(
            f"bias has shape {tuple(biases.shape)}, which does not broadcast with {name} of {tuple(x.shape)}"
        ) from None
    return shape


def names(dtypes: tuple[torch.dtype, ...]) -> str:
    """Return the names of dtypes, for an error message."""
    *others, last = (str(dtype).removeprefix("torch.") for dtype in dtypes)
    return f"{', '.join(others)} or {last}"
