"""Reading tensors from files, none of which is trusted: nothing is unpickled, and sizes are checked first."""

import json
import math
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.elementwise import decode
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.presets import bfloat16, float8_e4m3fn, float8_e5m2
from cfloat._core.text import printable
from cfloat.errors import FileError, MissingExtraError

Array = NDArray[Any]

#: Suffixes of the files that can be read.
SUFFIXES = (".npy", ".npz", ".safetensors")

# Deflate packs constant data a thousandfold; a member that claims to be larger than this and packed tighter
# than any measured tensor is refused before it fills the memory.
_BOMB_BYTES = 1 << 28
_BOMB_RATIO = 200


class TensorFile(Mapping[str, Array]):
    """The tensors of a file by name, each read when it is asked for.

    Parameters
    ----------
    path : str or path-like
        A ``.npy``, ``.npz`` or ``.safetensors`` file.

    Raises
    ------
    FileError
        If it cannot be opened, has another suffix, or is damaged; by ``[]``, if a tensor is, or is of a dtype
        that is not supported.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        readers: dict[str, Callable[[Path], _Reader]]
        readers = {".npy": _NpyReader, ".npz": _NpzReader, ".safetensors": _SafetensorsReader}
        suffix = self.path.suffix.lower()
        if suffix not in readers:
            raise FileError(
                f"{shown_path(path)}: not a file that can be read; those are {', '.join(SUFFIXES)}"
            )
        with refusing_damage(self.path):
            # a pipe would block, and a device never end
            if self.path.exists() and not self.path.is_file():
                raise NotSupportedError("not a regular file")
            self._reader = readers[suffix](self.path)
            self._dtypes = self._reader.dtypes()

    def __getitem__(self, name: str) -> Array:
        if name not in self._dtypes:
            raise KeyError(name)
        with refusing_damage(self.path, name):
            return self._reader.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._dtypes)

    def __len__(self) -> int:
        return len(self._dtypes)

    def stored_dtype(self, name: str) -> str | None:
        """Return the name of the dtype that a tensor is stored in, if reading it widens it to float32."""
        return self._dtypes[name]


class NotSupportedError(ValueError):
    """What is in the file is sound, but nothing that can be read here."""


class _Reader(Protocol):
    def dtypes(self) -> dict[str, str | None]:
        """Return the tensors' names, and the dtypes of those that are widened to float32."""
        ...

    def read(self, name: str) -> Array: ...


class _NpyReader:
    """One array, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as stream:
            check_npy(stream, path.stat().st_size)

    def dtypes(self) -> dict[str, str | None]:
        return {self._path.stem: None}

    def read(self, name: str) -> Array:
        array: Array = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return array


class _NpzReader:
    """A zip archive of arrays."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)
        members = self._archive.infolist()
        self._members = {info.filename.removesuffix(".npy"): info for info in members}
        if len(self._members) != len(members):
            raise ValueError("two members have the same name")

    def dtypes(self) -> dict[str, str | None]:
        return dict.fromkeys(self._members)

    def read(self, name: str) -> Array:
        info = self._members[name]
        check_bomb(info)
        with self._archive.open(info) as stream:
            check_npy(stream, info.file_size)
        with self._archive.open(info) as stream:
            array: Array = np.lib.format.read_array(stream, allow_pickle=False)
            return array


class _SafetensorsReader:
    """A safetensors file, whose library checks the header.

    The library's NumPy side knows no 8-bit floats, and bfloat16 only with ml_dtypes: those are decoded here.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            self._file = safe_open(path, framework="numpy")
        except SafetensorError as error:
            raise ValueError(str(error)) from None
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            self._header = json.loads(stream.read(length))
        self._header.pop("__metadata__", None)
        self._path, self._data = path, 8 + length

    def dtypes(self) -> dict[str, str | None]:
        return {
            name: _DECODED[entry["dtype"]].name if entry["dtype"] in _DECODED else None
            for name, entry in sorted(self._header.items())
        }

    def read(self, name: str) -> Array:
        entry = self._header[name]
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        if dtype in _DECODED:
            return self._decoded(_DECODED[dtype], shape, entry["data_offsets"][0])
        if dtype not in _NATIVE:
            raise NotSupportedError(f"{dtype} is not supported")
        array: Array = self._file.get_tensor(name)
        return array

    def _decoded(self, fmt: Format, shape: tuple[int, ...], start: int) -> Array:
        stored = fmt.storage_dtype.newbyteorder("<")
        if math.prod(shape) == 0:
            return np.empty(shape, np.float32)
        codes = np.memmap(self._path, stored, "r", self._data + start, shape)
        with no_flags():
            return decode(codes, fmt)


# safetensors' names of dtypes: those that are formats of this package, and NumPy's own.
_DECODED = {"BF16": bfloat16, "F8_E4M3": float8_e4m3fn, "F8_E5M2": float8_e5m2}
_NATIVE = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")


def check_bomb(info: zipfile.ZipInfo) -> None:
    """Raise ValueError for a member of an archive that claims to unpack to far more than it takes."""
    if info.file_size > max(_BOMB_BYTES, _BOMB_RATIO * info.compress_size):
        raise ValueError(
            f"{info.compress_size} bytes claim to unpack to {info.file_size}, as a zip bomb would"
        )


def check_npy(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Check that an array is as large as its header says, before memory is taken for it.

    Returns
    -------
    shape, fortran_order, dtype
        What the header says; the stream is at the data then.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        # versions 2.0 and 3.0 differ only in the encoding of field names, which no tensor has
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are not read")
    claimed = math.prod(shape) * dtype.itemsize
    # NumPy multiplies in 64 bits, and warns
    largest = math.prod(max(length, 1) for length in shape) * dtype.itemsize
    if min(shape, default=0) < 0 or largest >= 2**63 or claimed != size - stream.tell():
        raise ValueError(
            f"its header says {claimed} bytes of data and {max(0, size - stream.tell())} follow"
        )
    return shape, fortran, dtype


@contextmanager
def refusing_damage(path: Path, name: str | None = None) -> Iterator[None]:
    """Turn whatever a reader raises on a bad file into a FileError of one line."""
    where = shown_path(path) if name is None else f"{shown_path(path)}: {printable(name)}"
    try:
        yield
    except (MemoryError, FileError, MissingExtraError):
        raise
    except OSError as error:
        raise FileError(f"{where}: {error.strerror or error}") from None
    except NotSupportedError as error:
        raise FileError(f"{where}: {error}") from None
    except Exception as error:
        # the readers' parsers raise whatever comes: tokenize.TokenError, zlib.error, RecursionError, ...
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        raise FileError(f"{where}: damaged or not what its name says: {reason[:300]}") from None


def shown_path(path: str | os.PathLike[str]) -> str:
    """Return a path for a message: in one line, and empty ones to be seen."""
    return printable(os.fspath(path)) or "''"


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise FileError if it is plain that a file cannot be written, before the work is done.

    Parameters
    ----------
    path : str or path-like
        The file to write.
    """
    target = Path(path)
    if not os.fspath(path):
        raise FileError("'': not a file name")
    if target.is_dir():
        raise FileError(f"{shown_path(path)}: Is a directory")
    if not _is_special(target) and not Path(os.path.realpath(path)).parent.is_dir():
        raise FileError(f"{shown_path(path)}: No such file or directory")


def _is_special(path: Path) -> bool:
    """Whether there is something that is not a regular file: a device or a pipe."""
    return path.exists() and not path.is_file()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file under a temporary name and move it into place.

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
    data = text.encode("utf-8", "backslashreplace")
    try:
        if _is_special(Path(path)):
            Path(path).write_bytes(data)
            return
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError(f"{shown_path(path)}: {error.strerror or error}") from None
