"""Writing a safetensors file tensor by tensor, under a temporary name until it is complete."""

import itertools
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, Self

from numpy.typing import NDArray

from cfloat._core.text import printable
from cfloat.errors import FileError

from .reader import ITEM_BYTES, MAX_HEADER, Entry, as_bytes
from .storage import check_writable, shown_path

Array = NDArray[Any]

_NUMBERS: Final = itertools.count()


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
        if Path(path).exists() and not Path(path).is_file():
            raise FileError(f"{shown_path(path)}: not a regular file")
        self.path = Path(os.path.realpath(path))
        self._offsets: dict[str, int] = {}
        end = 0
        # the wider first, as safetensors itself does it: all are aligned then
        for name in sorted(entries, key=lambda name: (-_width(entries[name]), name)):
            self._offsets[name] = end
            end += entries[name].nbytes
        self._entries = entries
        self._length = -(-len(self._header(metadata)) // 8) * 8
        if self._length > MAX_HEADER:
            raise FileError(
                f"{shown_path(path)}: a header of {self._length} bytes; it takes at most {MAX_HEADER}"
            )
        self.data_bytes = end
        self.nbytes = 8 + self._length + end
        # short enough for any file system, and another for each file, whatever the name
        start = os.fsencode(self.path.name)[:100].decode(errors="ignore")
        self._temporary = self.path.with_name(f".{start}.{os.getpid()}.{next(_NUMBERS)}.tmp")
        with self._cleaning_up():
            self._stream = self._temporary.open("xb")
            self._stream.truncate(self.nbytes)

    def _header(self, metadata: Mapping[str, str]) -> bytes:
        header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
        for name, offset in self._offsets.items():
            entry = self._entries[name]
            header[name] = {
                "dtype": entry.dtype,
                "shape": list(entry.shape),
                "data_offsets": [offset, offset + entry.nbytes],
            }
        return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()

    def offset(self, name: str) -> int:
        """Return where a tensor's bytes are, from the end of the header on."""
        return self._offsets[name]

    def write(self, name: str, start: int, data: Array) -> None:
        """Write elements of a tensor, from its byte `start` on."""
        raw = as_bytes(data)
        assert start + raw.size <= self._entries[name].nbytes
        with self._cleaning_up():
            self._stream.seek(8 + self._length + self._offsets[name] + start)
            self._stream.write(raw.data)

    def part(self, names: Iterable[str]) -> "Part":
        """Return the way to some of the tensors for another process that has the same file system."""
        starts = {name: 8 + self._length + self._offsets[name] for name in names}
        return Part(os.fspath(self._temporary.absolute()), os.fspath(self.path), starts)

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Write the header, and make sure that all of the file is on the disk."""
        header = self._header(metadata)
        assert len(header) <= self._length
        with self._cleaning_up():
            self._stream.seek(0)
            self._stream.write(self._length.to_bytes(8, "little") + header.ljust(self._length))
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()

    def commit(self) -> None:
        """Move the finished file into its place."""
        assert self._stream.closed
        with self._cleaning_up():
            if self.path.exists():
                shutil.copymode(self.path, self._temporary)
            os.replace(self._temporary, self.path)

    def discard(self) -> None:
        """Remove what has been written, unless it is in its place already."""
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            self._temporary.unlink()

    def _cleaning_up(self) -> "_CleaningUp":
        return _CleaningUp(self)


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
        """Write elements of a tensor, from its byte `start` on."""
        with self._errors():
            if self._stream is None:
                self._stream = open(self._temporary, "r+b")  # noqa: SIM115 - closed by __exit__
            self._stream.seek(self._starts[name] + start)
            self._stream.write(as_bytes(data).data)

    def __exit__(self, *_: object) -> None:
        if self._stream is None:
            return
        # other machines see it from then on
        with self._errors(), self._stream:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        self._stream = None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = printable(error.strerror or str(error))
            raise FileError(f"{shown_path(self._path)}: {reason}") from None


class _CleaningUp:
    """Let no error leave a file behind, and turn the system's own into a FileError of one line."""

    def __init__(self, writer: SafetensorsWriter) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None:
            return
        if hasattr(self._writer, "_stream"):
            self._writer.discard()
        if isinstance(error, OSError):
            reason = printable(error.strerror or str(error))
            raise FileError(f"{shown_path(self._writer.path)}: {reason}") from None


def _width(entry: Entry) -> int:
    # of a dtype that is copied as it is and not known here, at least as much as an element can have
    return ITEM_BYTES.get(entry.dtype) or (
        entry.nbytes // max(math.prod(entry.shape), 1) if entry.nbytes else 1
    )


def check_name(name: object) -> str:
    """Return the name of a tensor that a file can have; ValueError if it cannot."""
    if not isinstance(name, str):
        raise TypeError(f"a tensor's name is a {type(name).__name__}; it takes a str")
    if name == "__metadata__":
        raise ValueError("a tensor's name is '__metadata__', which safetensors keeps for itself")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a tensor's name is {name!a}, which UTF-8 does not have") from None
    return name
