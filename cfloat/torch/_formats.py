"""Formats as text, which is what PyTorch's operators take and keep in a compiled graph."""

from functools import lru_cache
from typing import Any

import torch

from cfloat._core.format import Format


def to_text(fmt: Format) -> str:
    """Return all fields of a format, the name last: such as ``torch.compile`` can trace."""
    low, high = fmt.bias_range
    return (
        f"{fmt.exponent_bits} {fmt.mantissa_bits} {int(fmt.signed)} {low} {high} {fmt.default_bias} "
        f"{fmt.nonfinite} {fmt.subnormals} {int(fmt.saturating)} {fmt.name}"
    )


@lru_cache(maxsize=256)
def from_text(text: str) -> Format:
    """Return the format that `to_text` wrote."""
    exponent, mantissa, signed, low, high, default, *rest = text.split(" ", 9)
    nonfinite, subnormals, saturating, name = rest
    words: dict[str, Any] = {"nonfinite": nonfinite, "subnormals": subnormals}
    return Format(
        name, exponent_bits=int(exponent), mantissa_bits=int(mantissa), signed=bool(int(signed)),
        bias=(int(low), int(high)), default_bias=int(default), saturating=bool(int(saturating)), **words,
    )  # fmt: skip


def code_dtype(fmt: Format) -> torch.dtype:
    """Return PyTorch's name of a format's storage dtype: uint8 or uint16."""
    # of fields alone: torch.compile cannot trace a cached property that is not cached yet
    bits = int(fmt.signed) + fmt.exponent_bits + fmt.mantissa_bits
    return torch.uint8 if bits <= 8 else torch.uint16
