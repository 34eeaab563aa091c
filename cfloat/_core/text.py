"""Showing values and names in one line that a terminal can be trusted with."""

from typing import Any

_LONGEST = 60


def printable(text: str) -> str:
    r"""Write a name or a message with every character that is not printable as an escape.

    Names come from files: line breaks would forge lines of a table, and control characters command the
    terminal.

    Examples
    --------
    >>> printable("layer\x1b[2J")
    'layer\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def shown(value: Any) -> str:
    """Show what was given, for an error message: short, and in one line.

    Examples
    --------
    >>> shown("fp8"), shown([1] * 100)
    ("'fp8'", '[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,...')
    """
    if isinstance(value, type):
        return printable(value.__name__)  # not as an array: a scalar's class has its attributes
    if hasattr(value, "shape") and hasattr(value, "dtype") and value.shape != ():
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    text = printable(" ".join(repr(value).split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
