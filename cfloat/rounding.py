"""Rounding modes and the random stream's seed and offset (SPEC section 3)."""

import operator
import os
from typing import Literal, SupportsIndex, get_args

from .errors import ArgumentTypeError, ArgumentValueError
from .text import shown

RoundingMode = Literal[
    "ties_to_even",
    "ties_to_away",
    "toward_zero",
    "toward_positive",
    "toward_negative",
    "stochastic",
]

#: Every rounding mode: the whitepaper's two (nearest, ties to even, and stochastic) and IEEE 754's others.
ROUNDING_MODES: tuple[RoundingMode, ...] = get_args(RoundingMode)

_MODES: dict[str, RoundingMode] = {mode: mode for mode in ROUNDING_MODES}

_WORD_LIMIT = 2**64


def check_rounding(rounding: object) -> RoundingMode:
    """Return `rounding` if it names a mode; say which there are if it does not."""
    if isinstance(rounding, str) and rounding in _MODES:
        return _MODES[rounding]
    if not isinstance(rounding, str):
        raise ArgumentTypeError(
            f"rounding is a {type(rounding).__name__}; it takes one of {', '.join(ROUNDING_MODES)}"
        )
    raise ArgumentValueError(
        f"rounding is {shown(rounding)}; it takes one of {', '.join(ROUNDING_MODES)}"
    )


def check_seed(seed: SupportsIndex | None) -> int:
    """Return the 64-bit seed of a random stream; None draws one from the operating system."""
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    return _check_word("seed", seed)


def check_offset(offset: SupportsIndex, size: int) -> int:
    """Return the position of the first random word, from which `size` words must be left."""
    checked = _check_word("offset", offset)
    if checked + size > _WORD_LIMIT:
        raise ArgumentValueError(
            f"offset is {checked}, and offset + size is {checked + size}; a stream has 2**64 words"
        )
    return checked


def _check_word(name: str, value: SupportsIndex) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        word = operator.index(value)
    except TypeError:
        raise ArgumentTypeError(
            f"{name} is a {type(value).__name__}; it takes an integer"
        ) from None
    if not 0 <= word < _WORD_LIMIT:
        raise ArgumentValueError(f"{name} is {word}; it takes an integer from 0 to 2**64 - 1")
    return word
