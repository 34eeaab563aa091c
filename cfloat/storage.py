"""Reading tensors from files, none of which is trusted: nothing is unpickled, and sizes are checked first."""

import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import FileError, MissingExtraError

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
        If it cannot be opened, has another suffix, or is damaged; by ``[]`` too, if a tensor is.
    MissingExtraError
        By ``[]``, if a tensor's dtype needs ml_dtypes, which is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in SUFFIXES:
            raise FileError(f"{path}: not a file that can be read; those are {', '.join(SUFFIXES)}")
        readers: dict[str, Callable[[Path], _Reader]]
        readers = {".npy": _NpyReader, ".npz": _NpzReader, ".safetensors": _SafetensorsReader}
        with _refusing_damage(self.path):
            self._reader = readers[suffix](self.path)
            self._names = self._reader.names()

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        with _refusing_damage(self.path, name):
            return self._reader.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Reader(Protocol):
    def names(self) -> list[str]: ...

    def read(self, name: str) -> Array: ...


class _NpyReader:
    """One array, mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as stream:
            _check_npy(stream, path.stat().st_size)

    def names(self) -> list[str]:
        return [self._path.stem]

    def read(self, name: str) -> Array:
        array: Array = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return array


class _NpzReader:
    """A zip archive of arrays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            self._members = {
                info.filename.removesuffix(".npy"): info for info in archive.infolist()
            }
            if len(self._members) != len(archive.infolist()):
                raise ValueError("two members have the same name")

    def names(self) -> list[str]:
        return list(self._members)

    def read(self, name: str) -> Array:
        info = self._members[name]
        if info.file_size > max(_BOMB_BYTES, _BOMB_RATIO * info.compress_size):
            raise ValueError(
                f"{info.compress_size} bytes claim to unpack to {info.file_size}, as a zip bomb would"
            )
        with zipfile.ZipFile(self._path) as archive:
            with archive.open(info) as stream:
                _check_npy(stream, info.file_size)
            with archive.open(info) as stream:
                array: Array = np.lib.format.read_array(stream, allow_pickle=False)
                return array


class _SafetensorsReader:
    """A safetensors file, whose library checks the header."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            self._file = safe_open(path, framework="numpy")
        except SafetensorError as error:
            raise ValueError(str(error)) from None

    def names(self) -> list[str]:
        return list(self._file.keys())

    def read(self, name: str) -> Array:
        try:
            array: Array = self._file.get_tensor(name)
        except TypeError:
            dtype = self._file.get_slice(name).get_dtype()
            if dtype in ("BF16", "F8_E4M3", "F8_E5M2") and not _has_ml_dtypes():
                raise MissingExtraError(
                    f"{name} is {dtype}, which needs ml_dtypes: pip install 'cfloat[ml_dtypes]'"
                ) from None
            raise ValueError(f"{dtype} cannot be read") from None
        return array


def _has_ml_dtypes() -> bool:
    try:
        import ml_dtypes  # noqa: F401
    except ImportError:
        return False
    return True


def _check_npy(stream: IO[bytes], size: int) -> None:
    """Check that an array is as large as its header says, before memory is taken for it."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        # versions 2.0 and 3.0 differ only in the encoding of field names, which no tensor has
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are not read")
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or claimed != size - stream.tell():
        raise ValueError(
            f"its header says {claimed} bytes of data and {max(0, size - stream.tell())} follow"
        )


@contextmanager
def _refusing_damage(path: Path, name: str | None = None) -> Iterator[None]:
    """Turn whatever a reader raises on a bad file into a FileError of one line."""
    where = str(path) if name is None else f"{path}: {name}"
    try:
        yield
    except MissingExtraError as error:
        raise MissingExtraError(f"{path}: {error}") from None
    except OSError as error:
        raise FileError(f"{where}: {error.strerror or error}") from None
    except Exception as error:
        # the readers' parsers raise whatever comes: tokenize.TokenError, zlib.error, RecursionError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileError(f"{where}: damaged or not what its name says: {reason[:300]}") from None


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file under a temporary name and move it into place.

    Parameters
    ----------
    path : str or path-like
        The file to write, or to replace.
    text : str
        Its content, stored as UTF-8.

    Raises
    ------
    FileError
        If it cannot be written; nothing is left behind then.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise IsADirectoryError(None, "Is a directory")
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with open(handle, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None


def _umask() -> int:
    """Return the permissions that new files are denied; mkstemp denies more."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
