"""`round_to`, `encode` and `decode`: the arguments of what `_ops` has."""

from typing import Any, SupportsIndex

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cfloat._bias.bias_methods import check_method
from cfloat._bias.choose import choose_bias
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError

from . import _direct, _ops
from ._arguments import (
    FLOATS,
    biases_of,
    check_codes,
    check_has_elements,
    check_layout,
    check_shapes,
    check_strided,
    names,
    stream_of,
)
from ._formats import to_text
from ._memory import for_numpy


def round_to(
    x: Tensor,
    fmt: Format | str,
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
    fmt : Format or str
        The format on whose grid the results are.
    bias : int, array_like of int, Tensor of integers, or {"mse", "max", "percentile", "mx"}, optional
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
        Of the dtype and device of `x`, and the shape to which `x` and `bias` broadcast; in the memory order
        of `x`, as channels_last, if that is its shape, else contiguous.  float32 and float64 hold every value
        of every format; what float16 and bfloat16 do not hold is rounded a second time, to nearest.

    Raises
    ------
    ArgumentTypeError
        If `x` is not a tensor of a dtype above, `fmt` no Format, or `bias` not integers.
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
    fmt = as_format(fmt)
    if isinstance(x, Tensor) and _direct.takes(x, fmt, bias, rounding, seed, offset):
        return _ops.round_at_once(x, fmt, bias, rounding, seed, offset)  # type: ignore[arg-type]
    biases, stream = _checked(x, fmt, bias, rounding, seed, offset)
    rounded: Tensor = _ops.round_to(x, biases, stream, to_text(fmt), rounding)
    return rounded


def encode(
    x: Tensor,
    fmt: Format | str,
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
    fmt = as_format(fmt)
    if isinstance(x, Tensor) and _direct.takes(x, fmt, bias, rounding, seed, offset):
        return _direct.encode(x, fmt, bias, rounding, seed, offset, rounds=False)  # type: ignore[arg-type]
    biases, stream = _checked(x, fmt, bias, rounding, seed, offset)
    codes: Tensor = _ops.encode(x.detach(), biases, stream, to_text(fmt), rounding)
    return codes


def decode(
    codes: Tensor,
    fmt: Format | str,
    bias: ArrayLike | Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Convert codes to values.

    Parameters
    ----------
    codes : Tensor of uint8 or uint16
        Codes: uint8 for formats of at most 8 bits, uint16 for others.
    fmt : Format or str
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
        If `codes` is not a tensor of the format's storage dtype, `fmt` no Format, `bias` not integers, or
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
    values: Tensor | None
    if isinstance(codes, Tensor):
        values = _direct.decode(codes, fmt, bias, dtype)
        if values is not None:
            return values
    check_codes(codes, fmt)
    check_layout("codes have", codes)
    if dtype not in FLOATS:
        raise ArgumentTypeError(f"dtype is {shown(dtype)}; it takes {names(FLOATS)}")
    biases = biases_of(bias, fmt, codes.device)
    check_shapes("codes", codes, biases)
    values = _ops.decode(codes, biases, to_text(fmt), dtype)
    return values


def _checked(
    x: Tensor, fmt: Format, bias: Any, rounding: object, seed: Any, offset: Any
) -> tuple[Tensor, Tensor]:
    check_strided(x)
    if isinstance(bias, str):
        check_has_elements(x)
        bias = _chosen(x, fmt, bias)
    biases = biases_of(bias, fmt, x.device)
    shape = check_shapes("x", x, biases)
    return biases, stream_of(rounding, seed, offset, shape.numel())


@torch.compiler.disable
def _chosen(x: Tensor, fmt: Format, method: str) -> ArrayLike:
    """Return the bias that `choose_bias` chooses, which no graph can hold."""
    return choose_bias(for_numpy(x), fmt, check_method("bias", method, fmt))
