"""Reading NumPy's files, ``.npy`` and ``.npz``: nothing is unpickled, and sizes are checked first."""

import math
import zipfile
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from cfloat._core.text import shown
from cfloat.errors import FileError

from .dtypes import stored_dtype
from .file_errors import NotSupportedError, copy_of, refusing_damage
from .tensor_entry import Entry
from .tensor_source import ArraySource, Bytes, as_bytes, fill

# Deflate packs constant data a thousandfold; a member that claims to be larger than this and packed tighter
# than any measured tensor is refused before it fills the memory.
_BOMB_BYTES: Final = 1 << 28
_BOMB_RATIO: Final = 200


def _check_bomb(info: zipfile.ZipInfo) -> None:
    """Raise ValueError for a member of an archive that claims to unpack to far more than it takes."""
    if info.file_size > max(_BOMB_BYTES, _BOMB_RATIO * info.compress_size):
        raise ValueError(
            f"{info.compress_size} bytes claim to unpack to {info.file_size}, as a zip bomb would"
        )


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
        else:
            # versions 2.0 and 3.0 differ only in the encoding of field names, which no tensor has
            self.shape, fortran, self.dtype = np.lib.format.read_array_header_2_0(stream)
        if self.dtype.hasobject:
            raise ValueError("it holds pickled Python objects, which are not read")
        claimed = math.prod(self.shape) * self.dtype.itemsize
        # NumPy multiplies in 64 bits, and warns
        most = math.prod(max(length, 1) for length in self.shape) * self.dtype.itemsize
        if min(self.shape, default=0) < 0 or most >= 2**63 or claimed != size - stream.tell():
            raise ValueError(
                f"its header says {claimed} bytes of data and {max(0, size - stream.tell())} follow"
            )
        self.data_start = stream.tell()
        #: Whether the data are what a source gives: little-endian, in row-major order.
        self.is_plain = not fortran and self.dtype.newbyteorder("<") == self.dtype

    def entry(self) -> Entry:
        """Make the entry of the array; NotSupportedError if it is of no dtype that is known here."""
        try:
            return Entry.of(stored_dtype(self.dtype.name).name, self.shape)
        except NotSupportedError:
            raise NotSupportedError(f"{self.dtype} is not supported") from None


class NpySource(ArraySource):
    """One array, called as its file."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            self._header = _ArrayHeader(stream, path.stat().st_size)
        entries: dict[str, Entry] = {}
        unreadable: dict[str, Exception] = {}
        try:
            entries[path.stem] = self._header.entry()
        except NotSupportedError as error:
            unreadable[path.stem] = copy_of(error)
        super().__init__(path, entries, unreadable=unreadable, names=[path.stem])

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with the tensor's bytes from `start` on."""
        if not self._header.is_plain:
            super().read_into(name, start, out)
            return
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(self._header.data_start + start)
            fill(stream.readinto, out)

    def _bytes_of(self, name: str) -> Bytes:
        return as_bytes(np.load(self.path, mmap_mode="r", allow_pickle=False))


class NpzSource(ArraySource):
    """A zip archive of arrays, each unpacked as it is read."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._headers: dict[str, _ArrayHeader] = {}
        self._open: tuple[str, Any, int] | None = None
        entries: dict[str, Entry] = {}
        unreadable: dict[str, Exception] = {}
        for info in self._archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in self._members:
                raise ValueError(f"two members have the same name, {shown(name)}")
            self._members[name] = info
            try:
                with refusing_damage(path, name):
                    self._headers[name] = self._header_of(info)
                entries[name] = self._headers[name].entry()
            except (FileError, NotSupportedError) as error:
                unreadable[name] = copy_of(error)
        super().__init__(path, entries, unreadable=unreadable, names=list(self._members))

    def _header_of(self, info: zipfile.ZipInfo) -> _ArrayHeader:
        _check_bomb(info)
        with self._archive.open(info) as stream:
            return _ArrayHeader(stream, info.file_size)

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        header = self._headers[name]
        if not header.is_plain:
            super().read_into(name, start, out)
            return
        stream = self._stream_at(name, header.data_start, start)
        fill(stream.readinto, out)
        stop = header.data_start + start + out.size
        if stop == self._members[name].file_size:
            stream.read(1)  # at the end the checksum is looked at
        self._open = name, stream, stop

    def _stream_at(self, name: str, data_start: int, start: int) -> Any:
        """Open a member, or go on in it: to go back in a packed one is to begin anew."""
        last, self._open = self._open, None
        if start == 0 or last is None or last[0] != name:
            stream: Any = self._archive.open(self._members[name])
            # not sought: what was sought in is not compared with its checksum
            stream.read(data_start)
            position = data_start
        else:
            _, stream, position = last
        if position != data_start + start:
            stream.seek(data_start + start)
        return stream

    def _bytes_of(self, name: str) -> Bytes:
        with self._archive.open(self._members[name]) as stream:
            return as_bytes(np.lib.format.read_array(stream, allow_pickle=False))
