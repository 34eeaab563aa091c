"""The arithmetic of `csrc/core/scalar.h` in PyTorch's own operators, for devices without the C core.

It gives the same codes and values, bit for bit, random words included, but counts no flags.  Every quantity
is an integer of at most 64 bits, or a float64 in which it is exact.  A device needs float64.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cfloat._convert import elementwise
from cfloat._core.finfo import finfo
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.rounding import RoundingMode

from ._formats import code_dtype

_WORD = 0xFFFFFFFF


class _Real(NamedTuple):
    """(-1)**sign * significand * 2**exponent, elementwise, of int64 tensors."""

    sign: Tensor
    significand: Tensor
    exponent: Tensor
    is_infinite: Tensor
    is_nan: Tensor


class _Codes(NamedTuple):
    """The codes of a format that rounding alone does not lead to, without a sign."""

    max: int
    overflow: int
    nan: int
    negative: int
    zero: int


def encode(x: Tensor, fmt: Format, bias: Tensor, rounding: RoundingMode, stream: Tensor) -> Tensor:
    """Return codes, as `cfloat.encode`.

    Parameters
    ----------
    x : Tensor of float64, float32, float16 or bfloat16
        Values.
    fmt : Format
        The format.
    bias : Tensor of integers
        Biases that the format allows, which is not checked; they broadcast with `x`.
    rounding : str
        As `cfloat.encode` has it.
    stream : Tensor of int64, shape (2,)
        Seed and offset of the random stream, modulo 2**64.

    Returns
    -------
    Tensor of uint8 or uint16
        Of the shape to which `x` and `bias` broadcast.
    """
    x, bias = torch.broadcast_tensors(x, bias.to(x.device, torch.int64))
    real, codes, m = _unpack(x), _codes(fmt), fmt.mantissa_bits
    largest_subnormal = (1 << m) - 1
    significand = real.significand.double()

    # the quantum: the distance, as a power of two, of codes around x
    exponent = real.exponent + _log2(significand)
    tiny = exponent < fmt._first_normal_field - bias
    whitepaper = fmt.subnormals == "whitepaper"
    quantum = torch.where(tiny, -bias if whitepaper else 1 - bias, exponent) - m
    # far below a quantum it matters only that x is not zero
    units = significand * power_of_two((real.exponent - quantum).clamp(-900, 900))
    kept = units.floor()
    distance, gap = units - kept, torch.ones_like(units)
    code = kept.long() + torch.where(tiny, 0, (exponent + bias - 1) << m)
    if whitepaper:  # in the hole (docs/spec.md 2.6) neighbours are 2**m + 1 quanta apart
        in_hole = tiny & (kept >= largest_subnormal)
        distance = torch.where(in_hole, units - largest_subnormal, distance)
        gap = torch.where(in_hole, float(largest_subnormal + 2), gap)
        code = torch.where(in_hole, largest_subnormal, code)
    code = code + _round_up(rounding, real.sign, code, distance, gap, stream)
    if not fmt._has_zero:
        code = torch.where(tiny, 0, code)
    if fmt.subnormals == "flush":
        code = torch.where(code <= largest_subnormal, 0, code)
    too_large = _too_large(rounding, real.sign, codes)
    code = torch.where(code > codes.max, too_large, code)

    code = torch.where(real.significand == 0, codes.zero, code)
    code = torch.where(real.is_infinite, codes.overflow, code)
    if fmt.signed:
        # a NaN that clamps is positive, as is one that a zero becomes
        bare = real.is_nan & (not fmt._has_nan)
        if fmt._has_nan and not fmt._has_zero:
            bare |= (real.significand == 0) & ~real.is_infinite & ~real.is_nan
        code = torch.where(real.is_nan, codes.nan, code)
        if fmt._no_negative_zero:
            bare |= code == 0
        code = code | torch.where(bare, 0, real.sign << (fmt.bits - 1))
    else:
        negative = (real.sign == 1) & ((real.significand != 0) | real.is_infinite)
        code = torch.where(negative, codes.negative, code)
        code = torch.where(real.is_nan, codes.nan, code)
    return code.to(code_dtype(fmt))


def decode(codes: Tensor, fmt: Format, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the values of codes, as `cfloat.decode`.

    Parameters
    ----------
    codes : Tensor of uint8 or uint16
        Codes of the format.
    fmt : Format
        The format.
    bias : Tensor of integers
        Biases that the format allows, which is not checked; they broadcast with `codes`.
    dtype : torch.dtype
        float64 or float32, in which values are exact, or float16 or bfloat16.

    Returns
    -------
    Tensor of `dtype`
    """
    values = torch.from_numpy(_values(fmt)).to(codes.device)
    scale = power_of_two(fmt.default_bias - bias.to(codes.device, torch.int64))
    return (values[codes.long()] * scale).to(dtype)


def random_words(stream: Tensor, size: int) -> Tensor:
    """Return words of a random stream (docs/spec.md 3.14): Philox4x32-10.

    Parameters
    ----------
    stream : Tensor of int64, shape (2,)
        Seed and offset, modulo 2**64.
    size : int
        How many words, from the offset on.

    Returns
    -------
    Tensor of int64, shape (size,)
        From 0 to 2**32 - 1.
    """
    seed, offset = stream[0], stream[1]
    first = (offset >> 2) & (2**62 - 1)
    block = first + torch.arange(size // 4 + 2, device=stream.device)
    c0, c1 = block & _WORD, (block >> 32) & _WORD
    c2 = c3 = torch.zeros_like(block)
    k0, k1 = seed & _WORD, (seed >> 32) & _WORD
    for _ in range(10):
        # of 64 bits; the sign that the highest stands for here is masked away
        product0, product1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (
            ((product1 >> 32) & _WORD) ^ c1 ^ k0,
            product1 & _WORD,
            ((product0 >> 32) & _WORD) ^ c3 ^ k1,
            product0 & _WORD,
        )
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    words = torch.stack((c0, c1, c2, c3), dim=-1).reshape(-1)
    return words[torch.arange(size, device=stream.device) + (offset & 3)]


def _round_up(
    rounding: RoundingMode,
    sign: Tensor,
    code: Tensor,
    distance: Tensor,
    gap: Tensor,
    stream: Tensor,
) -> Tensor:
    """Return 1 where a magnitude, so far up the gap between two codes, goes to the upper one, else 0."""
    if rounding == "ties_to_even":
        up = (2 * distance > gap) | ((2 * distance == gap) & (code & 1 == 1))
    elif rounding == "ties_to_away":
        up = 2 * distance >= gap
    elif rounding == "toward_positive":
        up = (sign == 0) & (distance > 0)
    elif rounding == "toward_negative":
        up = (sign == 1) & (distance > 0)
    elif rounding == "stochastic":
        words = random_words(stream.to(distance.device), distance.numel()).reshape(distance.shape)
        # floor(f * 2**32) + r >= 2**32, without the division that f is; both sides are exact
        up = distance * 2.0**32 >= gap * (2**32 - words).double()
    else:
        up = torch.zeros_like(sign, dtype=torch.bool)
    return up.long()


def _too_large(rounding: RoundingMode, sign: Tensor, codes: _Codes) -> Tensor | int:
    """Give the code of a magnitude beyond the largest finite one, by the sign of the value."""
    if rounding in ("toward_zero", "stochastic"):
        return codes.max
    if rounding == "toward_positive":
        return torch.where(sign == 1, codes.max, codes.overflow)
    if rounding == "toward_negative":
        return torch.where(sign == 0, codes.max, codes.overflow)
    return codes.overflow


def _unpack(x: Tensor) -> _Real:
    if x.dtype == torch.float64:
        bits, width, fraction_bits = x.contiguous().view(torch.int64), 11, 52
    else:
        bits, width, fraction_bits = x.float().contiguous().view(torch.int32).long(), 8, 23
    field = (bits >> fraction_bits) & ((1 << width) - 1)
    fraction = bits & ((1 << fraction_bits) - 1)
    is_special = field == (1 << width) - 1
    return _Real(
        sign=(bits < 0).long(),
        significand=torch.where(field > 0, fraction | 1 << fraction_bits, fraction),
        exponent=field.clamp(min=1) - ((1 << (width - 1)) - 1 + fraction_bits),
        is_infinite=is_special & (fraction == 0),
        is_nan=is_special & (fraction != 0),
    )


def _log2(significand: Tensor) -> Tensor:
    """Return floor(log2) of float64 from 1 on; of 0 something small."""
    return (significand.view(torch.int64) >> 52) - 1023


def power_of_two(exponent: Tensor) -> Tensor:
    """Return 2.0**exponent as float64, for int64 exponents from -1022 to 1023."""
    return ((exponent + 1023) << 52).view(torch.float64)


@lru_cache(maxsize=64)
def _codes(fmt: Format) -> _Codes:
    with no_flags():
        codes = elementwise.encode([finfo(fmt).max, np.inf, np.nan, -1.0, 0.0], fmt)
    return _Codes(*codes.tolist())


@lru_cache(maxsize=64)
def _values(fmt: Format) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return fmt.values().astype(np.float64)
