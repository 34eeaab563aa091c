"""Checks of arguments, each written once: they say what was given and what is allowed."""

import math
import operator
import sys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .text import shown

_TRUTH_VALUES: Final = (bool, np.bool_)


def integer(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """Give an argument as an int within bounds, both included.

    Raises
    ------
    ArgumentTypeError
        If it is no integer, or a truth value.
    ArgumentValueError
        If it is out of bounds.
    """
    checked = value if type(value) is int else _as_int(name, value)
    if (low is not None and checked < low) or (high is not None and checked > high):
        raise ArgumentValueError(f"{name} is {shown(checked)}; it takes {_allowed(low, high)}")
    return checked


def _as_int(name: str, value: Any) -> int:
    try:
        if isinstance(value, _TRUTH_VALUES):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ArgumentTypeError(f"{name} is {shown(value)}; it takes an integer") from None


def _allowed(low: int | None, high: int | None) -> str:
    if low is None:
        return f"an integer up to {high}"
    if high is None or high == sys.maxsize:  # more than that is no number of anything
        return f"an integer from {low} on"
    # a word of a random stream is better known by its width
    last = "2**64 - 1" if high == 2**64 - 1 else high
    return f"an integer from {low} to {last}"


def finite_number(name: str, value: Any) -> float | None:
    """Give an argument as a finite float, or None if there is none."""
    if value is None:
        return None
    try:
        if isinstance(value, str | bytes | bool | np.bool_):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"{name} is {shown(value)}; it takes a number") from None
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ArgumentValueError(f"{name} is {shown(value)}; it takes a finite number")
    return number


def check_bool(name: str, value: object) -> None:
    """Refuse what is not True or False."""
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"{name} is {shown(value)}; it takes True or False")


def check_choice(
    name: str,
    value: object,
    choices: tuple[str, ...],
    error: type[ArgumentValueError] = ArgumentValueError,
) -> None:
    """Refuse what is not one of some words, by `error` if it is another word."""
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{name} is {shown(value)}; it takes one of {', '.join(choices)}")
    if value not in choices:
        raise error(f"{name} is {shown(value)}; it takes one of {', '.join(choices)}")


def check_not_masked(name: str, x: object) -> None:
    """Refuse a masked array where its mask would be lost."""
    if type(x) is not np.ndarray and isinstance(x, np.ndarray) and np.ma.isMaskedArray(x):
        raise ArgumentTypeError(f"{name} is a masked array, whose mask would be lost")


def check_out(out: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give the array that a result of a shape and dtype is to be written to, or say why it cannot be."""
    if not isinstance(out, np.ndarray):
        raise ArgumentTypeError(f"out is a {type(out).__name__}; it takes a numpy.ndarray")
    if out.dtype != dtype:
        raise ArgumentTypeError(f"out has dtype {out.dtype}; the result has {dtype}")
    if out.shape != shape:
        raise ArgumentValueError(f"out has shape {out.shape}; the result has {shape}")
    if not out.flags.writeable:
        raise ArgumentValueError("out is read-only")
    return out
