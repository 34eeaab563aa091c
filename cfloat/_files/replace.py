"""Replacing files: what is under the final name is whole, or is not there."""

import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from cfloat.errors import FileError

from .paths import check_writable, is_special, shown_path


def _remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


# Files and folders that are to be removed, unless what they are for comes to its end; and what removes each.
_UNFINISHED: Final[dict[Path, Callable[[Path], None]]] = {}


def note_unfinished(path: Path, remove: Callable[[Path], None] = _remove) -> None:
    """Have a file or an empty folder, which is about to be made, removed by `remove_unfinished`."""
    _UNFINISHED[path] = remove


def note_finished(path: Path) -> None:
    """Have it left where it is, or it is gone already."""
    _UNFINISHED.pop(path, None)


def remove_unfinished() -> None:
    """Remove what a process leaves that is stopped anywhere, between making a file and knowing of it, say."""
    while _UNFINISHED:
        path, remove = _UNFINISHED.popitem()
        with suppress(OSError):
            remove(path)


class Replacement:
    """A file in the making, beside the one whose place it is to take.

    Parameters
    ----------
    path : str or path-like
        The file to write, or to replace; a link is followed.

    Attributes
    ----------
    path : Path
        The place that it takes.
    temporary : Path
        What it is called until then.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.realpath(path))
        # short enough for any file system, and another for each file, whatever the name; process ids come
        # again in every container, and what was left by a process that was killed is in the way of none
        start = os.fsencode(self.path.name)[:100].decode(errors="ignore")
        self.temporary = self.path.with_name(f".{start}.{secrets.token_hex(8)}.tmp")
        self._older: Path | None = None

    def open(self) -> IO[bytes]:
        """Make the file, under its temporary name."""
        note_unfinished(self.temporary)
        return self.temporary.open("xb")

    def retire(self) -> None:
        """Take the file away, if there is one, whose place this is to take; until then it can be put back."""
        if os.path.lexists(self.path):
            shutil.copymode(self.path, self.temporary)
            older = self.path.with_name(f".{secrets.token_hex(8)}.tmp")
            note_unfinished(older)
            os.replace(self.path, older)
            self._older = older

    def restore(self) -> None:
        """Put the file back that was taken away."""
        if self._older is not None:
            os.replace(self._older, self.path)
            note_finished(self._older)
            self._older = None

    def commit(self) -> None:
        """Move the file, which is closed, into its place; one that was there leaves it its permissions."""
        if self.path.exists():
            shutil.copymode(self.path, self.temporary)
        os.replace(self.temporary, self.path)
        self.discard()

    def discard(self) -> None:
        """Remove the file, unless it is in its place already, and the one that was taken away for it."""
        for path in (self.temporary, self._older):
            if path is not None:
                with suppress(OSError):
                    path.unlink()
                note_finished(path)
        self._older = None


def prepare_text(path: str | os.PathLike[str], text: str) -> Replacement:
    """Write a text file, stored as UTF-8, that is yet to be moved into its place."""
    replacement = Replacement(path)
    try:
        with replacement.open() as stream:
            stream.write(text.encode("utf-8", "backslashreplace"))
    except BaseException:
        replacement.discard()
        raise
    return replacement


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file, all of it or nothing.

    Parameters
    ----------
    path : str or path-like
        The file to write, or to replace; a link is followed, and a device or a pipe is written to.
    text : str
        Its content, stored as UTF-8.

    Raises
    ------
    FileError
        If it cannot be written; nothing is left behind then.
    """
    check_writable(path)
    try:
        if is_special(path):
            Path(path).write_bytes(text.encode("utf-8", "backslashreplace"))
            return
        replacement = prepare_text(path, text)
        try:
            replacement.commit()
        except BaseException:
            replacement.discard()
            raise
    except OSError as error:
        raise FileError(f"{shown_path(path)}: {error.strerror or error}") from None
