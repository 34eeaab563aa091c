"""Where tensors come from, byte by byte: what the readers of all kinds of files have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tensor_entry import Entry

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


class Source(ABC):
    """Tensors by name, as a file has them; none of it is trusted.

    Attributes
    ----------
    path : Path
        The file; the index if there are several.
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
        path: Path,
        entries: Mapping[str, Entry],
        metadata: Mapping[str, str] | None = None,
        unreadable: Mapping[str, Exception] | None = None,
        names: list[str] | None = None,
    ) -> None:
        self.path = path
        self.entries = entries
        self.metadata = metadata or {}
        self.unreadable = unreadable or {}
        self.names = names or list(entries)

    @property
    def parts(self) -> list["Source"]:
        """The files of which this is made."""
        return [self]

    @property
    def reads_anywhere(self) -> bool:
        """Whether any part of a tensor is read without what is before it."""
        return False

    @abstractmethod
    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on: little-endian, in row-major order."""


class ArraySource(Source):
    """Tensors that come as whole arrays: the last one that was asked for is kept."""

    _last: tuple[str, Bytes] | None = None

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        if self._last is None or self._last[0] != name:
            self._last = None  # before the next one takes memory
            self._last = name, self._bytes_of(name)
        part = self._last[1][start : start + out.size]
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
