"""Rounding modes and the random stream's seed and offset (docs/spec.md 3.3 and 3.14)."""

import math
import os
from typing import Final, Literal, NamedTuple, SupportsIndex, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .arguments import check_choice, integer

RoundingMode = Literal[
    "ties_to_even",
    "ties_to_away",
    "toward_zero",
    "toward_positive",
    "toward_negative",
    "to_odd",
    "ties_to_zero",
    "stochastic",
]

#: Every rounding mode: the whitepaper's two (ties to even, and stochastic), IEEE 754's others, and to odd.
ROUNDING_MODES: tuple[RoundingMode, ...] = get_args(RoundingMode)

StochasticVariant = Literal["A", "B", "C"]

#: How many words a random stream has.
WORDS: Final = 2**64
_LAST_WORD: Final = WORDS - 1


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
        """Tell the positions of a piece of an array of a shape, whose first element has that one."""
        return cls(first, tuple(math.prod(whole[axis + 1 :]) for axis in range(len(whole))))

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

    @property
    def draws_plainly(self) -> bool:
        """Whether words, if any are drawn, decide as they are, and each element takes the next one."""
        is_usual = self.bits == 32 and self.variant == "A"
        return is_usual and self.words is None and self.steps is None


# Those that draw nothing, made once.
_PLAIN: Final = {mode: Rounding(mode) for mode in ROUNDING_MODES}

#: Nearest, ties to even.
NEAREST: Final = _PLAIN["ties_to_even"]

#: Defaults of functions that round.  Small calls ask whether an argument is the very object: another one of
#: the same value goes a longer way to the same.
TIES_TO_EVEN: Final = "ties_to_even"
FIRST_WORD: Final = 0
ALL_BITS: Final = 32
VARIANT_A: Final = "A"


def check_rounding(
    rounding: object,
    shape: tuple[int, ...],
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    random_bits: ArrayLike | None = None,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: object = "A",
) -> Rounding:
    """Check the arguments of a conversion to `shape`, which `cfloat.encode` explains."""
    # what most calls ask for: the arguments' own defaults, which are these very objects
    if (
        rounding is TIES_TO_EVEN
        and seed is None
        and random_bits is None
        and offset is FIRST_WORD
        and stochastic_bits is ALL_BITS
        and stochastic_variant is VARIANT_A
    ):
        return NEAREST
    if not (isinstance(rounding, str) and rounding in _PLAIN):
        check_choice("rounding", rounding, ROUNDING_MODES)
    mode = _PLAIN[cast(RoundingMode, rounding)].mode
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
    bits = integer("stochastic_bits", stochastic_bits, 1, 32)
    check_choice("stochastic_variant", stochastic_variant, get_args(StochasticVariant))
    variant = cast(StochasticVariant, stochastic_variant)
    if random_bits is None:
        checked_offset = check_offset(offset, math.prod(shape))
        return Rounding(mode, check_seed(seed), checked_offset, bits, variant, steps=steps)
    if seed is not None or check_offset(offset, 0) != 0:
        raise ArgumentValueError(
            "random_bits takes the place of seed and offset; give one or the other"
        )
    return Rounding(mode, 0, 0, bits, variant, _check_words(random_bits, shape, bits))


def _is_default(value: object, default: object) -> bool:
    if isinstance(value, np.integer):
        value = int(value)
    return type(value) is type(default) and value == default


def _check_words(words: ArrayLike, shape: tuple[int, ...], bits: int) -> NDArray[np.uint32]:
    """Give integers of `bits` bits as the upper bits of words: uint32, contiguous, of the shape.

    Whole words that lie so already are the given array itself.
    """
    given = np.asarray(words)
    if given.dtype.kind not in "iu" and given.size:
        raise ArgumentTypeError(f"random_bits has dtype {given.dtype}; it takes integers")
    # to look at all of them takes as long as to round by them
    has_room = given.dtype.kind == "u" and 8 * given.itemsize <= bits
    if given.size and not has_room and (given.min() < 0 or given.max() >= 2**bits):
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
    upper = np.ascontiguousarray(spread, np.uint32)
    if bits == 32 and upper.flags.aligned:
        return upper
    return upper << np.uint32(32 - bits)


def check_seed(seed: SupportsIndex | None) -> int:
    """Give the 64-bit seed of a random stream; None draws one from the operating system."""
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    return integer("seed", seed, 0, _LAST_WORD)


def check_offset(offset: SupportsIndex, size: int) -> int:
    """Give the position of the first random word, from which `size` words must be left."""
    checked = integer("offset", offset, 0, _LAST_WORD)
    if checked + size > _LAST_WORD + 1:
        raise ArgumentValueError(
            f"offset is {checked}, and offset + size is {checked + size}; a stream has 2**64 words"
        )
    return checked
