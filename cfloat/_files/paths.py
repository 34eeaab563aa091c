"""Paths: in messages, and whether they can be read from or written to."""

import os
from pathlib import Path

from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentTypeError, FileError


def as_path(path: str | os.PathLike[str]) -> Path:
    """Take a path as an argument: an empty one is not the current folder."""
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise ArgumentTypeError(f"path is {shown(path)}; it takes a str or a path") from None
    if not text:
        raise FileError("'': not a file name")
    return Path(text)


def shown_path(path: str | os.PathLike[str]) -> str:
    """Give a path for a message: in one line, and empty ones to be seen."""
    return printable(os.fspath(path)) or "''"


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether there is something that is not a regular file: a device or a pipe."""
    return os.path.exists(path) and not os.path.isfile(path)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise FileError if it is plain that a file cannot be written, before the work is done."""
    if not os.fspath(path):
        raise FileError("'': not a file name")
    if Path(path).is_dir():
        raise FileError(f"{shown_path(path)}: Is a directory")
    if not is_special(path) and not Path(os.path.realpath(path)).parent.is_dir():
        raise FileError(f"{shown_path(path)}: No such file or directory")
