"""Files that are read by descriptor: opened once, and watched for a change."""

import io
import os
import platform
import stat
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat.errors import FileError

from .file_errors import NotSupportedError
from .paths import shown_path

Bytes = NDArray[np.uint8]

# The longest time between two that file systems tell apart, as far as they are used for large files.
_TICK_NS: Final = 20_000_000


class Stamp(NamedTuple):
    """What tells a file from another one, and from itself after a change.

    Attributes
    ----------
    host : str
        The machine on which `device` is a number.
    device, inode, size, mtime_ns : int
        As `os.stat` has them.
    """

    host: str
    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, state: os.stat_result) -> "Stamp":
        """Take it from what the system says."""
        return cls(platform.node(), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)

    def is_of(self, state: os.stat_result) -> bool:
        """Whether it was taken, on this machine, of a file that is still as it was then."""
        return (
            state.st_mtime_ns == self.mtime_ns
            and state.st_size == self.size
            and state.st_ino == self.inode
            and state.st_dev == self.device
        )

    def fits(self, other: "Stamp") -> bool:
        """Whether both are of one file that has not changed.

        Machines that share a file system have numbers of their own for its device.
        """
        if self.host != other.host:
            return self[2:] == other[2:]
        return self == other


def _most_descriptors() -> int:
    """Count the descriptors that this process may have; where the system does not tell, there is no end."""
    try:
        import resource
    except ImportError:  # Windows
        return 2**31
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if most == resource.RLIM_INFINITY else most


class OpenedFile:
    """A file that is open for reading for as long as this object lives.

    It is read by descriptor, by any number of threads: if another file takes its place, the bytes are those
    of the one that was opened.  If it changes itself, that is a FileError.

    Where a process has half of the descriptors already that it may have, as with hundreds of shards, the file
    is closed and opened anew for each reading: then another one in its place is a FileError, too.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    path : Path
        As it was given.
    absolute : Path
        Where it is, whatever the working directory is later.
    stamp : Stamp
        What it was when it was opened.

    Raises
    ------
    OSError
        If it cannot be opened.
    NotSupportedError
        If it is no regular file: a pipe would block, and a device never end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.absolute = Path(os.path.abspath(path))
        # not blocking: a pipe without a writer would be waited for; without a translation of line ends
        extra = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        self._flags = os.O_RDONLY | extra
        descriptor = os.open(path, self._flags)
        closing = weakref.finalize(self, os.close, descriptor)
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise NotSupportedError("not a regular file")
        self.stamp = Stamp.of(state)
        # a clock that ticks each few milliseconds: what is written within the tick leaves no trace
        young = time.time_ns() - state.st_mtime_ns
        if 0 <= young < _TICK_NS:
            time.sleep((_TICK_NS - young) / 1e9)
            self.stamp = Stamp.of(os.fstat(descriptor))
        self._kept: int | None = descriptor
        if descriptor >= _most_descriptors() // 2:
            self._kept = None
            closing()
        # for systems that read only where the descriptor is at
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Its bytes, when it was opened."""
        return self.stamp.size

    def read_into(self, start: int, out: Bytes) -> None:
        """Fill `out` with bytes from `start` on; ValueError if there are fewer, FileError after a change."""
        if self.read_some(start, out) != out.size:
            raise ValueError("it ends before its data do")

    def read_some(self, start: int, out: Bytes) -> int:
        """Read bytes from `start` on into `out`, as many as there are; FileError after a change."""
        if self._kept is not None:  # the short way, for each piece of a tensor
            return self._read_some(self._kept, start, out)
        with self._descriptor() as descriptor:
            return self._read_some(descriptor, start, out)

    def _read_some(self, descriptor: int, start: int, out: Bytes) -> int:
        view = out.data
        while view:
            count = self._read(descriptor, start, view)
            if not count:
                break
            start += count
            view = view[count:]
        self._check(descriptor)
        return out.size - len(view)

    @contextmanager
    def _descriptor(self) -> Iterator[int]:
        """Give a descriptor of the file that was opened."""
        if self._kept is not None:
            yield self._kept
            return
        try:
            descriptor = os.open(self.absolute, self._flags)
        except FileNotFoundError:
            raise self._change() from None
        try:
            self._check(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, start: int, view: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(descriptor, [view], start)
        size = min(len(view), 1 << 22)
        if hasattr(os, "pread"):
            data = os.pread(descriptor, size, start)
        else:
            with self._lock:
                os.lseek(descriptor, start, os.SEEK_SET)
                data = os.read(descriptor, size)
        view[: len(data)] = data
        return len(data)

    def check(self) -> None:
        """Raise FileError if the file has changed since it was opened."""
        with self._descriptor() as descriptor:
            self._check(descriptor)

    def _check(self, descriptor: int) -> None:
        if not self.stamp.is_of(os.fstat(descriptor)):
            raise self._change()

    def _change(self) -> FileError:
        return FileError(f"{shown_path(self.path)}: it has changed since it was opened")

    def stream(self) -> "FileStream":
        """Give a stream over the whole, with a place of its own."""
        return FileStream(self)


class _Place(threading.local):
    """Where a thread is in a stream."""

    at = 0


class FileStream(io.RawIOBase):
    """A stream over a file that is open already; each thread has a place of its own in it.

    zipfile shares a stream among the members that are open.  It seeks under a lock before it reads, but from
    Python 3.12 on it also goes on from where the stream is, which is where another thread has left it.
    """

    def __init__(self, file: OpenedFile) -> None:
        self._file = file
        self._in = _Place()

    def readable(self) -> bool:
        """Whether it can be read: it can."""
        return True

    def seekable(self) -> bool:
        """Whether there is `seek`: there is."""
        return True

    def read(self, size: int | None = -1, /) -> bytes | None:
        """Read at most so many bytes; memory is taken for those that there are."""
        left = max(0, self._file.size - self._in.at)
        return super().read(left if size is None or size < 0 else min(size, left))

    def readinto(self, out: Any) -> int:
        """Read bytes into `out`, and say how many."""
        into = np.frombuffer(out, np.uint8) if len(out) else np.empty(0, np.uint8)
        count = self._file.read_some(self._in.at, into)
        self._in.at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._in.at, os.SEEK_END: self._file.size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning of the file")
        self._in.at = base + offset
        return self._in.at


@contextmanager
def own_file(size: int, parts: Iterable[tuple[int, bytes]]) -> Iterator[str]:
    """Make a file that nobody else changes, for a library that maps what it reads.

    Parameters
    ----------
    size : int
        Its bytes; those that aren't written are zero, and take no room.
    parts : iterable of (int, bytes)
        Bytes to write, and where they start.

    Yields
    ------
    str
        The path under which it can be opened, in this process.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        descriptor = os.memfd_create("cfloat")
        path = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(prefix="cfloat")
    try:
        with open(descriptor, "wb", buffering=0, closefd=False) as stream:
            stream.truncate(size)
            for start, data in parts:
                stream.seek(start)
                stream.write(data)
        yield path
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            with suppress(OSError):
                os.unlink(path)
