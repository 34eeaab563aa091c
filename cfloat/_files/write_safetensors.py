"""Writing a safetensors file tensor by tensor, under a temporary name until it is complete."""

import mmap
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, Self

from numpy.typing import NDArray

from cfloat._core.text import printable
from cfloat.errors import FileError

from .paths import check_writable, is_special, shown_path
from .replace import Replacement
from .safetensors_header import (
    LENGTH_BYTES,
    data_offsets,
    header_text,
    padded_length,
    with_length,
)
from .strict_json import MAX_BYTES
from .tensor_entry import Entry
from .tensor_source import as_bytes

Array = NDArray[Any]


class SafetensorsWriter:
    """A safetensors file in the making.

    Where each tensor goes follows from the shapes, so that data are written as they come.  The header is
    written last: it tells of biases that are not known before, and until then the file is none.

    Parameters
    ----------
    path : str or path-like
        The file to write, or to replace; a link is followed.
    entries : mapping of str to Entry
        The tensors.
    metadata : mapping of str to str
        At least as long as that which `finish` is going to write.

    Raises
    ------
    FileError
        If it cannot be written; nothing is left behind then.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        entries: Mapping[str, Entry],
        metadata: Mapping[str, str],
    ) -> None:
        check_writable(path)
        if is_special(path):
            raise FileError(f"{shown_path(path)}: not a regular file")
        self._replacement = Replacement(path)
        self.path: Path = self._replacement.path
        self._entries = entries
        self._offsets = data_offsets(entries)
        self._length = padded_length(self._header(metadata))
        if self._length > MAX_BYTES:
            raise FileError(
                f"{shown_path(path)}: a header of {self._length} bytes; it takes at most {MAX_BYTES}"
            )
        self.data_bytes = sum(entry.nbytes for entry in entries.values())
        self._data_start = LENGTH_BYTES + self._length
        self.nbytes = self._data_start + self.data_bytes
        self._stream: IO[bytes] | None = None
        with self._cleaning_up():
            self._stream = self._replacement.open()
            self._stream.truncate(self.nbytes)

    def _header(self, metadata: Mapping[str, str]) -> bytes:
        return header_text(self._entries, self._offsets, metadata)

    def offset(self, name: str) -> int:
        """Where a tensor's bytes are, from the end of the header on."""
        return self._offsets[name]

    def write(self, name: str, start: int, data: Array) -> None:
        """Write elements of a tensor, from its byte `start` on; several threads may, at once.

        After an error the file is to be discarded, when no thread writes to it any more.
        """
        raw = as_bytes(data)
        assert start + raw.size <= self._entries[name].nbytes
        assert self._stream is not None
        try:
            _write_at(self._stream, self._data_start + self._offsets[name] + start, raw.data)
        except OSError as error:
            raise _refused(self.path, error) from None

    def part(self, names: Iterable[str]) -> "Part":
        """Give the way to some of the tensors for another process that has the same file system."""
        starts = {name: self._data_start + self._offsets[name] for name in names}
        temporary = self._replacement.temporary.absolute()
        return Part(os.fspath(temporary), os.fspath(self.path), starts)

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header, and make sure that all of the file is on the disk."""
        header = self._header(metadata)
        assert len(header) <= self._length
        assert self._stream is not None
        with self._cleaning_up():
            self._stream.seek(0)
            self._stream.write(with_length(header, self._length))
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()

    def commit(self) -> None:
        """Move the finished file into its place."""
        assert self._stream is not None
        assert self._stream.closed
        with self._cleaning_up():
            self._replacement.commit()

    def discard(self) -> None:
        """Remove what has been written, unless it is in its place already."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
        self._replacement.discard()

    @contextmanager
    def _cleaning_up(self) -> Iterator[None]:
        """Let no error leave a file behind, and turn the system's own into a FileError of one line."""
        try:
            with _system_errors(self.path):
                yield
        except BaseException:
            self.discard()
            raise


# bytes that take far longer to write than it does to say so
_WORTH_IT: Final = 1 << 16
# Python may have been built without it
_HAS_ADVICE: Final = hasattr(os, "posix_fadvise")

# of threads that open or seek; not a part of what is sent to other processes
_one_at_a_time = threading.Lock()


def _write_at(stream: IO[bytes], start: int, data: memoryview) -> None:
    """Write bytes to a file, which has none in a buffer."""
    if not hasattr(os, "pwrite"):  # Windows
        with _one_at_a_time:
            stream.seek(start)
            stream.write(data)
            stream.flush()
        return
    descriptor, first = stream.fileno(), start
    while data:
        count = os.pwrite(descriptor, data, start)
        start += count
        data = data[count:]
    _begin_writing_back(descriptor, first, start)


def _begin_writing_back(descriptor: int, start: int, stop: int) -> None:
    """Have the disk begin to write bytes of a file that are in memory, so that less is left for fsync."""
    if sys.platform != "linux" or not _HAS_ADVICE or stop - start < _WORTH_IT:
        return
    # a page that two pieces share goes with the second: some disks let nobody change what they write
    start -= start % mmap.PAGESIZE
    stop -= stop % mmap.PAGESIZE
    # Linux lets go of no page that it has just begun to write; and what goes wrong, fsync tells
    with suppress(OSError):
        os.posix_fadvise(descriptor, start, stop - start, os.POSIX_FADV_DONTNEED)


@contextmanager
def _system_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the system's errors into a FileError of one line."""
    try:
        yield
    except OSError as error:
        raise _refused(path, error) from None


def _refused(path: str | os.PathLike[str], error: OSError) -> FileError:
    return FileError(f"{shown_path(path)}: {printable(error.strerror or str(error))}")


class Part:
    """Some tensors of a file that another process is making, to be written in place.

    To write the same twice does no harm, nor to write after the file was given up.

    Parameters
    ----------
    temporary, path : str
        The file as it is called meanwhile, and as it will be.
    starts : mapping of str to int
        Where each tensor's bytes are.
    """

    def __init__(self, temporary: str, path: str, starts: Mapping[str, int]) -> None:
        self._temporary, self._path, self._starts = temporary, path, starts
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def write(self, name: str, start: int, data: Array) -> None:
        """Write elements of a tensor, from its byte `start` on; several threads may, at once."""
        with _system_errors(self._path):
            with _one_at_a_time:
                if self._stream is None:
                    self._stream = open(self._temporary, "r+b")  # noqa: SIM115 - closed by __exit__
            _write_at(self._stream, self._starts[name] + start, as_bytes(data).data)

    def __exit__(self, *_: object) -> None:
        if self._stream is None:
            return
        # other machines see it from then on
        with _system_errors(self._path), self._stream:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        self._stream = None
