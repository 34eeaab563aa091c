"""Reading NumPy's files, ``.npy`` and ``.npz``: nothing is unpickled, and sizes are checked first."""

import math
import threading
import zipfile
from collections.abc import Callable
from functools import partial
from typing import IO, Any, Final, cast

import numpy as np

from cfloat._core.text import shown
from cfloat.errors import FileError

from .dtypes import stored_dtype
from .file_errors import NotSupportedError, copy_of, refusing_damage
from .opened_file import OpenedFile
from .tensor_entry import Entry
from .tensor_source import ArraySource, Bytes, as_bytes, fill
from .zip_bombs import check_member, check_shared

# Bytes of an array that are put into another order at a time.
_PIECE_BYTES: Final = 1 << 22


class _ArrayHeader:
    """What the header of an array's file says, checked before memory is taken for the data.

    Parameters
    ----------
    stream : binary file
        At its beginning; it is at the data afterwards.
    size : int
        Bytes of the file.
    """

    def __init__(self, stream: IO[bytes], size: int) -> None:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            self.shape, fortran, self.dtype = np.lib.format.read_array_header_1_0(stream)
        elif version not in ((2, 0), (3, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} of NumPy's format is not known")
        else:
            # versions 2.0 and 3.0 differ only in the encoding of field names, which no tensor has
            self.shape, fortran, self.dtype = np.lib.format.read_array_header_2_0(stream)
        # Python counts True as 1, and NumPy as an index of another kind
        if any(type(length) is not int for length in self.shape):
            raise ValueError(f"its header says shape {shown(self.shape)}; that takes integers")
        if self.dtype.hasobject:
            raise NotSupportedError("it holds pickled Python objects, which are not read")
        claimed = math.prod(self.shape) * self.dtype.itemsize
        # NumPy multiplies in 64 bits, and warns
        most = math.prod(max(length, 1) for length in self.shape) * self.dtype.itemsize
        if min(self.shape, default=0) < 0 or most >= 2**63 or claimed != size - stream.tell():
            raise ValueError(
                f"its header says {claimed} bytes of data and {max(0, size - stream.tell())} follow"
            )
        self.data_start = stream.tell()
        self._fortran = fortran
        #: Whether the data are what a source gives: little-endian, in row-major order.
        self.is_plain = not fortran and self.dtype.newbyteorder("<") == self.dtype

    def ordered(self, read: Callable[[Bytes], None]) -> Bytes:
        """Give the data of an array that isn't plain as a source gives them; `read` reads the next ones."""
        result = np.empty(self.shape, self.dtype.newbyteorder("<"))
        # in the order in which they are stored
        target = np.atleast_1d(result.T if self._fortran else result)
        row = target[:1].nbytes
        step = max(1, _PIECE_BYTES // max(row, 1))
        for start in range(0, len(target) if target.size else 0, step):
            part = target[start : start + step]
            stored = np.empty(part.nbytes, np.uint8)
            read(stored)
            part[...] = stored.view(self.dtype).reshape(part.shape)
        return as_bytes(result)

    def entry(self) -> Entry:
        """Make the entry of the array; NotSupportedError if it is of no dtype that is known here."""
        try:
            return Entry.of(stored_dtype(self.dtype.name).name, self.shape)
        except NotSupportedError:
            raise NotSupportedError(f"{self.dtype} is not supported") from None


class NpySource(ArraySource):
    """One array, called as its file."""

    def __init__(self, file: OpenedFile) -> None:
        self._header = _ArrayHeader(cast("IO[bytes]", file.stream()), file.size)
        name = file.path.stem
        entries: dict[str, Entry] = {}
        unreadable: dict[str, Exception] = {}
        try:
            entries[name] = self._header.entry()
        except NotSupportedError as error:
            unreadable[name] = copy_of(error)
        super().__init__(file, entries, unreadable=unreadable, names=[name])

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with the tensor's bytes from `start` on."""
        if self._header.is_plain:
            self.file.read_into(self._header.data_start + start, out)
        else:
            super().read_into(name, start, out)

    def _bytes_of(self, name: str) -> Bytes:
        stream = self.file.stream()
        stream.seek(self._header.data_start)
        return self._header.ordered(partial(fill, stream.readinto))


class _Place(threading.local):
    """Where a thread is in the archive: the member, its stream, and how far that is read."""

    found: tuple[str, IO[bytes], int] | None = None


class NpzSource(ArraySource):
    """A zip archive of arrays, each unpacked as it is read.

    Every member is read from its front and never sought in: only then is it compared with its checksum.
    """

    def __init__(self, file: OpenedFile) -> None:
        # an archive behind something else would be found, too: NumPy takes none
        if file.stream().read(4) not in (b"PK\3\4", b"PK\5\6"):
            raise ValueError("it does not begin as a zip archive")
        # it reads under a lock, and each of its members from a place of its own
        self._archive = zipfile.ZipFile(cast("IO[bytes]", file.stream()))
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._headers: dict[str, _ArrayHeader] = {}
        self._place = _Place()
        entries: dict[str, Entry] = {}
        unreadable: dict[str, Exception] = {}
        check_shared(self._archive.infolist(), file.size)
        for info in self._archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in self._members:
                raise ValueError(f"two members have the same name, {shown(name)}")
            self._members[name] = info
            try:
                with refusing_damage(file.path, name):
                    self._take(name, entries, unreadable)
            except FileError as error:
                unreadable[name] = copy_of(error)
        super().__init__(file, entries, unreadable=unreadable, names=list(self._members))

    def _take(self, name: str, entries: dict[str, Entry], unreadable: dict[str, Exception]) -> None:
        info = self._members[name]
        check_member(info)
        try:
            with self._archive.open(info) as stream:
                mark = np.lib.format.MAGIC_PREFIX
                # whatever it is called, as NumPy has it
                if cast(Any, stream).peek(len(mark))[: len(mark)] != mark:
                    # to its end, where it is compared with its checksum: it may be a damaged array
                    while stream.read(_PIECE_BYTES):
                        pass
                    raise NotSupportedError("not an array")
                self._headers[name] = _ArrayHeader(stream, info.file_size)
            entries[name] = self._headers[name].entry()
        except NotSupportedError as error:
            unreadable[name] = copy_of(error)

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        if self._headers[name].is_plain:
            self._read(name, start, out)
        else:
            super().read_into(name, start, out)

    def _bytes_of(self, name: str) -> Bytes:
        done = 0

        def read(out: Bytes) -> None:
            nonlocal done
            self._read(name, done, out)
            done += out.size

        return self._headers[name].ordered(read)

    def _read(self, name: str, start: int, out: Bytes) -> None:
        """Read stored bytes: to go back in a member is to begin anew."""
        last, self._place.found = self._place.found, None
        if last is None or last[0] != name or start < last[2]:
            stream = self._archive.open(self._members[name])
            _skip(stream, self._headers[name].data_start)
            last = name, stream, 0
        _, stream, place = last
        _skip(stream, start - place)
        fill(cast(Any, stream).readinto, out)
        stop = start + out.size
        if self._headers[name].data_start + stop == self._members[name].file_size:
            stream.read(1)  # at the end the checksum is looked at
        self._place.found = name, stream, stop


def _skip(stream: IO[bytes], size: int) -> None:
    """Read so many bytes that are not asked for."""
    while size:
        data = stream.read(min(size, _PIECE_BYTES))
        if not data:
            raise ValueError("it ends before its data do")
        size -= len(data)
