"""Rounding modes and the random stream's seed and offset (docs/spec.md 3.3 and 3.14)."""

import math
import operator
import os
from typing import Literal, NamedTuple, SupportsIndex, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat.errors import ArgumentTypeError, ArgumentValueError

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

StochasticVariant = Literal["A", "B", "C"]

_MODES: dict[str, RoundingMode] = {mode: mode for mode in ROUNDING_MODES}

_WORD_LIMIT = 2**64


class Positions:
    """Positions in the random stream of the elements of a part of a larger array.

    Takes the place of the offset where a part is no run of the whole, and its rows lie apart in the stream.

    Attributes
    ----------
    first : int
        That of the first element.
    steps : tuple of int
        From one element to the next along each axis: those of the whole array.
    """

    __slots__ = ("first", "steps")

    def __init__(self, first: int, steps: tuple[int, ...]) -> None:
        self.first = first
        self.steps = steps

    @classmethod
    def within(cls, whole: tuple[int, ...], first: int) -> "Positions":
        """Return the positions of a box of an array of a shape."""
        return cls(first, tuple(math.prod(whole[axis + 1 :]) for axis in range(len(whole))))

    def split(self, block: int) -> "Positions":
        """Return the positions after the last axis is cut into blocks."""
        return Positions(self.first, (*self.steps[:-1], self.steps[-1] * block, self.steps[-1]))

    def __index__(self) -> int:
        return self.first


class Rounding(NamedTuple):
    """How to round: checked arguments, as the C core takes them."""

    mode: RoundingMode
    seed: int = 0
    offset: int = 0
    bits: int = 32
    variant: StochasticVariant = "A"
    words: NDArray[np.uint32] | None = None
    steps: tuple[int, ...] | None = None


def check_rounding(
    rounding: object,
    shape: tuple[int, ...],
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    random_bits: ArrayLike | None = None,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: object = "A",
) -> Rounding:
    """Return the checked arguments of a conversion to `shape`; `cfloat.encode` explains them."""
    if not isinstance(rounding, str):
        raise ArgumentTypeError(
            f"rounding is a {type(rounding).__name__}; it takes one of {', '.join(ROUNDING_MODES)}"
        )
    if rounding not in _MODES:
        raise ArgumentValueError(
            f"rounding is {shown(rounding)}; it takes one of {', '.join(ROUNDING_MODES)}"
        )
    mode = _MODES[rounding]
    plain = (
        random_bits is None
        and _is_default(stochastic_bits, 32)
        and _is_default(stochastic_variant, "A")
    )
    if mode != "stochastic":
        if not plain:
            raise ArgumentValueError(
                f"rounding is {mode!r}; random_bits, stochastic_bits and stochastic_variant need 'stochastic'"
            )
        if seed is None and type(offset) is int and offset == 0:
            return _PLAIN[mode]
        # checked as well, but nothing is drawn from the operating system
        return Rounding(mode, check_seed(0 if seed is None else seed), check_offset(offset, 0))
    steps = None
    if isinstance(offset, Positions):
        assert len(offset.steps) == len(shape)
        steps = offset.steps
    if plain:
        checked_offset = check_offset(offset, math.prod(shape))
        return Rounding(mode, check_seed(seed), checked_offset, steps=steps)
    bits = _check_bits(stochastic_bits)
    variant = _check_variant(stochastic_variant)
    if random_bits is None:
        checked_offset = check_offset(offset, math.prod(shape))
        return Rounding(mode, check_seed(seed), checked_offset, bits, variant, steps=steps)
    if seed is not None or check_offset(offset, 0) != 0:
        raise ArgumentValueError(
            "random_bits takes the place of seed and offset; give one or the other"
        )
    return Rounding(mode, 0, 0, bits, variant, _check_words(random_bits, shape, bits))


_PLAIN = {mode: Rounding(mode) for mode in ROUNDING_MODES}


def _is_default(value: object, default: object) -> bool:
    if isinstance(value, np.integer):
        value = int(value)
    return type(value) is type(default) and value == default


def _check_bits(bits: SupportsIndex) -> int:
    try:
        if isinstance(bits, bool):
            raise TypeError
        checked = operator.index(bits)
    except TypeError:
        raise ArgumentTypeError(f"stochastic_bits is {shown(bits)}; it takes an integer") from None
    if not 1 <= checked <= 32:
        raise ArgumentValueError(f"stochastic_bits is {checked}; it takes an integer from 1 to 32")
    return checked


def _check_variant(variant: object) -> StochasticVariant:
    for name in get_args(StochasticVariant):
        if isinstance(variant, str) and variant == name:
            checked: StochasticVariant = name
            return checked
    error = ArgumentValueError if isinstance(variant, str) else ArgumentTypeError
    raise error(f"stochastic_variant is {shown(variant)}; it takes one of A, B, C")


def _check_words(words: ArrayLike, shape: tuple[int, ...], bits: int) -> NDArray[np.uint32]:
    """Return integers of `bits` bits, one for each element, as the upper bits of words."""
    given = np.asarray(words)
    if given.dtype.kind not in "iu" and given.size:
        raise ArgumentTypeError(f"random_bits has dtype {given.dtype}; it takes integers")
    if given.size and (given.min() < 0 or given.max() >= 2**bits):
        worst = given.min() if given.min() < 0 else given.max()
        raise ArgumentValueError(
            f"random_bits has an element {worst}; it takes integers from 0 to 2**{bits} - 1"
        )
    try:
        spread = np.broadcast_to(given, shape)
    except ValueError:
        raise ArgumentValueError(
            f"random_bits has shape {given.shape}, which does not broadcast to {shape}"
        ) from None
    return np.ascontiguousarray(spread, np.uint32) << np.uint32(32 - bits)


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
