"""Where tensors come from, byte by byte: files that are not trusted, read in pieces of any size."""

import json
import math
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from pickle import UnpicklingError  # for its name alone
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.elementwise import decode
from cfloat._core.flags import no_flags
from cfloat._core.presets import bfloat16
from cfloat._core.text import printable, shown
from cfloat.errors import FileError, MissingExtraError

from .storage import NotSupportedError, check_bomb, check_npy, refusing_damage, shown_path

Array = NDArray[Any]
Bytes = NDArray[np.uint8]

#: safetensors' names of NumPy's dtypes, in the byte order of files.
NUMPY_DTYPES: Final = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip

#: Bytes of an element of every dtype that is read or written here, by safetensors' names.
ITEM_BYTES: Final = {name: np.dtype(dtype).itemsize for name, dtype in NUMPY_DTYPES.items()} | {
    "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip

#: The dtypes that are values of a model, and are converted.
FLOATS: Final = ("F64", "F32", "F16", "BF16")

#: Suffixes of the files that can be converted.
SUFFIXES: Final = (".safetensors", ".index.json", ".npz", ".npy", ".pt", ".pth", ".bin")

#: What the index of a sharded checkpoint is called in its folder.
INDEX_NAME: Final = "model.safetensors.index.json"

#: Bytes of the longest header or index that is read: Python takes many times as much for what is in it.
MAX_HEADER: Final = 1 << 25

_TORCH_SUFFIXES = (".pt", ".pth", ".bin")

# After so many bytes a file that PyTorch has mapped is mapped anew, so that its pages do not pile up.
_REMAP_BYTES = 1 << 28


class Entry(NamedTuple):
    """What a file says of a tensor: safetensors' name of its dtype, its shape, and how many bytes follow."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @classmethod
    def of(cls, dtype: str, shape: tuple[int, ...]) -> "Entry":
        """Return the entry of a tensor of a dtype that is known here."""
        return cls(dtype, shape, math.prod(shape) * ITEM_BYTES[dtype])

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


class Source(Protocol):
    """Tensors by name, as a file has them."""

    path: Path
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on: little-endian, in row-major order."""
        ...


def open_source(path: Path) -> Source:
    """Open a file or a folder of tensors.

    Parameters
    ----------
    path : Path
        A file of one of `SUFFIXES`, or a folder with a sharded checkpoint.

    Returns
    -------
    Source

    Raises
    ------
    FileError
        If it cannot be read, or is damaged.
    MissingExtraError
        If it takes PyTorch to read it, and that is not installed.
    """
    with refusing_damage(path):
        if path.is_dir():
            single = path / "model.safetensors"
            index = path / INDEX_NAME
            if not index.exists() and not single.exists():
                raise FileError(
                    f"{shown_path(path)}: a folder with neither {INDEX_NAME} nor model.safetensors"
                )
            path = index if index.exists() else single
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise FileError(
            f"{shown_path(path)}: not a file that can be read; those are {', '.join(SUFFIXES)}"
        )
    with refusing_damage(path):
        # a pipe would block, and a device never end
        if path.exists() and not path.is_file():
            raise NotSupportedError("not a regular file")
        if name.endswith(".index.json"):
            return ShardedSource(path)
        if name.endswith(_TORCH_SUFFIXES):
            return _TorchSource(path)
        readers: dict[str, Callable[[Path], Source]]
        readers = {".safetensors": SafetensorsSource, ".npz": _NpzSource, ".npy": _NpySource}
        return readers[path.suffix.lower()](path)


def read_values(
    source: Source, name: str, start: int, stop: int, scratch: Bytes | None = None
) -> Array:
    """Return elements of a tensor in row-major order, in one axis; those of bfloat16 as float32.

    Parameters
    ----------
    source : Source
        Where the tensor is.
    name : str
        Its name.
    start, stop : int
        The first element, and the one after the last.
    scratch : ndarray of uint8, optional
        Memory to read into, if there is enough of it: fresh memory takes longer than the reading.

    Returns
    -------
    ndarray
        An array of its own, or one in `scratch`.
    """
    dtype = source.entries[name].dtype
    if dtype not in ITEM_BYTES:
        raise FileError(
            f"{shown_path(source.path)}: {printable(name)}: {printable(dtype)} is not supported"
        )
    width = ITEM_BYTES[dtype]
    nbytes = (stop - start) * width
    enough = scratch is not None and scratch.size >= nbytes
    data = scratch[:nbytes] if enough and scratch is not None else np.empty(nbytes, np.uint8)
    with refusing_damage(source.path, name):
        source.read_into(name, start * width, data)
    if dtype == "BF16":
        with no_flags():
            return decode(data.view("<u2"), bfloat16)
    if dtype == "BOOL" and data.size and data.max() > 1:
        raise FileError(
            f"{shown_path(source.path)}: {printable(name)}: a bool is {data.max()}; it takes 0 or 1"
        )
    return data.view(NUMPY_DTYPES.get(dtype, np.uint8))


def parse_json(text: bytes | str) -> Any:
    """Return what a JSON text says; ValueError if it says something twice, or nests without end."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{shown(twice)} is there twice")
    return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


class SafetensorsSource:
    """A safetensors file, whose library checks the header."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > MAX_HEADER:
                raise ValueError(f"a header of {length} bytes; it takes at most {MAX_HEADER}")
            text = stream.read(length)
        header = parse_json(text)
        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise ValueError(str(error)) from None
        self.path = path
        self.metadata: Mapping[str, str] = header.pop("__metadata__", None) or {}
        self.entries: Mapping[str, Entry] = {}
        self._starts = {}
        for name in sorted(header):
            start, stop = header[name]["data_offsets"]
            entry = Entry(header[name]["dtype"], tuple(header[name]["shape"]), stop - start)
            self.entries[name] = entry
            self._starts[name] = 8 + length + start

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(self._starts[name] + start)
            _fill(stream.readinto, out)


def _fill(readinto: Callable[[memoryview], int | None], out: Bytes) -> None:
    """Fill an array with what a stream gives, in as many turns as it takes."""
    view = out.data
    while view:
        count = readinto(view)
        if not count:
            raise ValueError("it ends before its data do")
        view = view[count:]


class ShardedSource:
    """A checkpoint in several safetensors files of one folder, named by an index."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream:
            text = stream.read(MAX_HEADER + 1)
        if len(text) > MAX_HEADER:
            raise ValueError(f"an index of more than {MAX_HEADER} bytes")
        index = parse_json(text)
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError("an index without a weight_map")
        for file in weight_map.values():
            _check_shard_name(file)
        self.path = path
        self.metadata: Mapping[str, str] = {}
        self.shards = {}
        for file in sorted(set(weight_map.values())):
            shard = open_source(path.parent / file)
            assert isinstance(shard, SafetensorsSource)
            self.shards[file] = shard
        self._found: dict[str, SafetensorsSource] = {}
        for file, shard in self.shards.items():
            for name in shard.entries:
                if weight_map.get(name) != file:
                    raise ValueError(
                        f"{shown(name)} is in {file}, of which the index knows nothing"
                    )
                self._found[name] = shard
        missing = sorted(weight_map.keys() - self._found.keys())
        if missing:
            raise ValueError(f"{shown(missing[0])} is not in {weight_map[missing[0]]}")
        self.entries: Mapping[str, Entry] = {
            name: self._found[name].entries[name] for name in sorted(self._found)
        }

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        self._found[name].read_into(name, start, out)


def _check_shard_name(file: object) -> None:
    """Raise ValueError unless it is the name of a safetensors file, and no path that leads elsewhere."""
    plain = isinstance(file, str) and file.isprintable() and not file.startswith(".")
    if (
        not plain
        or PurePosixPath(str(file)).name != file
        or PureWindowsPath(str(file)).name != file
    ):
        raise ValueError(
            f"the index names {shown(file)}; it takes names of files in its own folder"
        )
    if not str(file).endswith(".safetensors"):
        raise ValueError(f"the index names {shown(file)}; it takes .safetensors files")


class _WholeArrays(ABC):
    """Tensors that come as arrays: the last one that was asked for is kept."""

    def __init__(self) -> None:
        self._last: tuple[str, Bytes] | None = None

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


def as_bytes(array: Array) -> Bytes:
    """Return an array's elements as bytes: little-endian, in row-major order; a copy only if it must."""
    ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return ordered.reshape(-1).view(np.uint8)


def entry_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Entry:
    """Return the entry of an array; NotSupportedError if no file has its dtype."""
    names = {np.dtype(known): name for name, known in NUMPY_DTYPES.items()}
    names |= {"bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}  # type: ignore[dict-item]
    little = dtype.newbyteorder("<")
    name = names.get(little) or names.get(dtype.name)  # type: ignore[call-overload]
    if name is None:
        raise NotSupportedError(f"{dtype} is not supported")
    return Entry.of(name, shape)


class _NpySource(_WholeArrays):
    """One array."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        with path.open("rb") as stream:
            shape, fortran, dtype = check_npy(stream, path.stat().st_size)
            self._start = stream.tell()
        self._plain = not fortran and dtype.newbyteorder("<") == dtype
        self.metadata: Mapping[str, str] = {}
        self.entries: Mapping[str, Entry] = {path.stem: entry_of(dtype, shape)}

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with the tensor's bytes from `start` on."""
        if not self._plain:
            super().read_into(name, start, out)
            return
        with self.path.open("rb", buffering=0) as stream:
            stream.seek(self._start + start)
            _fill(stream.readinto, out)

    def _bytes_of(self, name: str) -> Bytes:
        return as_bytes(np.load(self.path, mmap_mode="r", allow_pickle=False))


class _NpzSource(_WholeArrays):
    """A zip archive of arrays, each unpacked as it is read."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._archive = zipfile.ZipFile(path)
        self._members = {}
        self._starts = {}
        self._plain = {}
        self._open: tuple[str, Any] | None = None
        self.metadata: Mapping[str, str] = {}
        entries = {}
        for info in self._archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in entries:
                raise ValueError(f"{shown(name)} is there twice")
            check_bomb(info)
            with refusing_damage(path, name), self._archive.open(info) as stream:
                shape, fortran, dtype = check_npy(stream, info.file_size)
                entries[name] = entry_of(dtype, shape)
                self._starts[name] = stream.tell()
            self._plain[name] = not fortran and dtype.newbyteorder("<") == dtype
            self._members[name] = info
        self.entries: Mapping[str, Entry] = {name: entries[name] for name in sorted(entries)}

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        if not self._plain[name]:
            super().read_into(name, start, out)
            return
        # kept open: to seek back in a packed stream is to begin anew
        if self._open is None or self._open[0] != name:
            self._open = name, self._archive.open(self._members[name])
        stream: Any = self._open[1]
        stream.seek(self._starts[name] + start)
        _fill(stream.readinto, out)

    def _bytes_of(self, name: str) -> Bytes:
        with self._archive.open(self._members[name]) as stream:
            return as_bytes(np.lib.format.read_array(stream, allow_pickle=False))


class _TorchSource(_WholeArrays):
    """A PyTorch file, which PyTorch itself reads: weights only, and mapped into memory."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.metadata: Mapping[str, str] = {}
        self._taken = 0
        self._tensors = self._load()
        self.entries: Mapping[str, Entry] = {
            name: _torch_entry(name, self._tensors[name]) for name in sorted(self._tensors)
        }

    def _load(self) -> dict[str, Any]:
        try:
            import torch
        except ImportError:
            raise MissingExtraError(
                f"{shown_path(self.path)}: to read it takes PyTorch: pip install 'cfloat[torch]'"
            ) from None
        how: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
        if zipfile.is_zipfile(
            self.path
        ):  # files of before PyTorch 1.6 are not, and cannot be mapped
            how["mmap"] = True
        # a path as a string: PyTorch maps nothing else
        try:
            loaded = torch.load(str(self.path), **how)
        except UnpicklingError:
            # PyTorch's own message says how to run the file's code
            raise ValueError("it holds more than tensors in mappings, which is not read") from None
        return _named(_torch_tensors(loaded, torch.Tensor, "", []))

    def _bytes_of(self, name: str) -> Bytes:
        import torch

        if self._taken > _REMAP_BYTES:
            self._tensors, self._taken = {}, 0
            self._tensors = self._load()
        tensor = self._tensors[name].detach()
        entry = self.entries[name]
        self._taken += entry.nbytes
        if _torch_entry(name, tensor) != entry:
            raise ValueError("it has changed while it was read")
        flat: Bytes = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        return flat


def _named(tensors: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Return tensors by name; ValueError if two have the same."""
    found: dict[str, Any] = {}
    for name, tensor in tensors:
        if name in found:
            raise ValueError(f"{shown(name)} is there twice")
        found[name] = tensor
    return found


def _torch_tensors(
    value: Any, kind: type, prefix: str, above: list[int]
) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of nested mappings and sequences, their keys and places joined by dots."""
    if isinstance(value, kind):
        yield prefix or "tensor", value
    elif isinstance(value, Mapping | list | tuple):
        if id(value) in above or len(above) > 100:
            raise ValueError("mappings that are nested without end")
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            name = f"{prefix}.{key}" if prefix else str(key)
            yield from _torch_tensors(inner, kind, name, [*above, id(value)])


def _torch_entry(name: str, tensor: Any) -> Entry:
    names = {
        "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
        "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32",
        "uint64": "U64", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    }  # fmt: skip
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in names or str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise NotSupportedError(f"{shown(name)}: {dtype}, {tensor.layout} is not supported")
    return Entry.of(names[dtype], tuple(tensor.shape))


@contextmanager
def tensor_errors(path: Path, name: str) -> Iterator[None]:
    """Turn whatever a tensor that contradicts itself raises into a FileError of one line."""
    try:
        yield
    except (FileError, MemoryError):
        raise
    except (ValueError, TypeError) as error:
        reason = printable(" ".join(str(error).split()))[:300]
        raise FileError(f"{shown_path(path)}: {printable(name)}: {reason}") from None
