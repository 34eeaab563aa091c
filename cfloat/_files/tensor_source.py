"""Where tensors come from, byte by byte: what the readers of all kinds of files have in common."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat.errors import FileError

from .file_errors import refusing_damage
from .opened_file import OpenedFile, Stamp
from .paths import shown_path
from .tensor_entry import Entry

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


class Source(ABC):
    """Tensors by name, as a file has them; none of it is trusted.

    The file stays open, and any number of threads may read.  In another process, to which it can be sent, it
    is opened anew, and refused if it is not the same one any more.

    Attributes
    ----------
    file : OpenedFile
        The file; the index if there are several.
    path : Path
        Its path, as it was given.
    names : list of str
        Every tensor, in the file's order.
    entries : mapping of str to Entry
        Those that can be read, or at least copied.
    unreadable : mapping of str to Exception
        Why the others can't be: a NotSupportedError, or a FileError.
    metadata : mapping of str to str
        safetensors' metadata.
    """

    def __init__(
        self,
        file: OpenedFile,
        entries: Mapping[str, Entry],
        metadata: Mapping[str, str] | None = None,
        unreadable: Mapping[str, Exception] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.file = file
        self.path = file.path
        self.entries = entries
        self.metadata = metadata or {}
        self.unreadable = unreadable or {}
        self.names = names or list(entries)

    @property
    def parts(self) -> list["Source"]:
        """The files of which this is made."""
        return [self]

    @property
    def stamps(self) -> list[Stamp]:
        """What tells all of its files from others, and from themselves after a change."""
        return [self.file.stamp]

    def check_same(self, stamps: list[Stamp]) -> None:
        """Raise FileError unless these are the stamps that its files have."""
        own = self.stamps
        if len(own) != len(stamps) or not all(map(Stamp.fits, own, stamps)):
            raise FileError(f"{shown_path(self.path)}: it has changed since it was opened")

    @property
    def kind(self) -> Callable[[OpenedFile], "Source"]:
        """What opens another file as this one was."""
        return type(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.kind, self.file.absolute, self.stamps)

    @property
    def reads_anywhere(self) -> bool:
        """Whether any part of a tensor is read without what is before it."""
        return False

    def storage_of(self, name: str) -> Hashable:
        """Tell where a tensor's elements lie, if others may lie there: None if none can."""
        del name
        return None

    @abstractmethod
    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on: little-endian, in row-major order."""


def _reopened(kind: Callable[[OpenedFile], Source], path: Path, stamps: list[Stamp]) -> Source:
    with refusing_damage(path):
        source = kind(OpenedFile(path))
    source.check_same(stamps)
    return source


class _Last(threading.local):
    """The array that a thread has asked for last."""

    found: tuple[str, Bytes] | None = None


class ArraySource(Source):
    """Tensors that come as whole arrays: the last one that a thread has asked for is kept."""

    def __init__(self, file: OpenedFile, *arguments: Any, **options: Any) -> None:
        super().__init__(file, *arguments, **options)
        self._last = _Last()

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        last = self._last
        if last.found is None or last.found[0] != name:
            last.found = None  # before the next one takes memory
            last.found = name, self._bytes_of(name)
        part = last.found[1][start : start + out.size]
        if part.size != out.size:
            raise ValueError("it ends before its data do")
        out[:] = part

    @abstractmethod
    def _bytes_of(self, name: str) -> Bytes: ...


def fill(readinto: Callable[[memoryview], int | None], out: Bytes) -> None:
    """Fill an array with what a stream gives, in as many turns as it takes."""
    view = out.data
    while view:
        count = readinto(view)
        if not count:
            raise ValueError("it ends before its data do")
        view = view[count:]


def as_bytes(array: Array) -> Bytes:
    """View an array's elements as bytes: little-endian, in row-major order; a copy only if it must be."""
    ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return ordered.reshape(-1).view(np.uint8)
