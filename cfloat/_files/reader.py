"""The reader: files and folders of tensors of every kind that is read here, and elements of their tensors."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.elementwise import as_float32
from cfloat._core.dtypes import BFLOAT16
from cfloat._core.presets import bfloat16
from cfloat._core.text import printable
from cfloat.errors import FileError

from .dtypes import DTYPES
from .file_errors import refusing_damage
from .opened_file import OpenedFile
from .paths import shown_path
from .read_numpy import NpySource, NpzSource
from .read_safetensors import INDEX_NAME, SafetensorsSource, ShardedSource, without_variant
from .read_torch import TorchSource
from .strict_json import read_json
from .tensor_source import Bytes, Source

Array = NDArray[Any]

#: What reads a file, by the end of its name.
_READERS: Final[dict[str, Callable[[OpenedFile], Source]]] = {
    ".safetensors": SafetensorsSource,
    ".bin.index.json": partial(ShardedSource, opened=TorchSource, suffix=".bin"),
    ".index.json": ShardedSource,
    ".npz": NpzSource,
    ".npy": NpySource,
    ".pt": TorchSource,
    ".pth": TorchSource,
    ".bin": TorchSource,
}

#: The index of a sharded checkpoint of PyTorch files in its folder.
TORCH_INDEX_NAME: Final = "pytorch_model.bin.index.json"

#: What a model's one file is called in its folder.
SINGLE_FILES: Final = ("model.safetensors", "pytorch_model.bin")

#: The ends of the names of files that can be read.
SUFFIXES: Final = tuple(_READERS)


def open_source(path: Path) -> Source:
    """Open a file or a folder of tensors.

    Parameters
    ----------
    path : Path
        A file whose name ends in one of `SUFFIXES`, or a folder with a sharded checkpoint.

    Returns
    -------
    Source

    Raises
    ------
    FileError
        If it cannot be read, or is damaged; of tensors that cannot be read by themselves, the source says it.
    MissingExtraError
        If it takes PyTorch to read it, and that is not installed.
    """
    with refusing_damage(path):
        if path.is_dir():
            path = _checkpoint_in(path)
    name = without_variant(path.name.lower())
    suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    if suffix is None:
        raise FileError(
            f"{shown_path(path)}: not a file that can be read; those are {', '.join(SUFFIXES)}"
        )
    with refusing_damage(path):
        return _READERS[suffix](OpenedFile(path))


def _checkpoint_in(folder: Path) -> Path:
    names = (INDEX_NAME, SINGLE_FILES[0], TORCH_INDEX_NAME, SINGLE_FILES[1])
    there = [folder / name for name in names if (folder / name).exists()]
    if not there:
        raise FileError(f"{shown_path(folder)}: a folder with none of {', '.join(names)}")
    path = there[0]
    single = path.name.removesuffix(".index.json")
    # Hugging Face's programs read the one file; whoever has made the index last means that
    if folder / single in there[1:] and not _is_of_index(single, path):
        raise FileError(
            f"{shown_path(folder)}: a folder with both {single} and {path.name}, which are of two "
            "checkpoints; give the one that is meant"
        )
    return path


def _is_of_index(name: str, index: Path) -> bool:
    """Whether a file is one of those that an index names."""
    with refusing_damage(index):
        said = read_json(index, "an index")
    weight_map = said.get("weight_map") if isinstance(said, dict) else None
    return isinstance(weight_map, dict) and name in weight_map.values()


def read_values(
    source: Source, name: str, start: int, stop: int, scratch: Bytes | None = None
) -> Array:
    """Read elements of a tensor, in row-major order.

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
    ndarray, shape (stop - start,)
        An array of its own, or one in `scratch`: of the tensor's dtype, but float32 for bfloat16, and codes
        of uint8 for 8-bit floats.
    """
    values = read_encodable(source, name, start, stop, scratch)
    return as_float32(values) if values.dtype == BFLOAT16 else values


def encodable_dtype(source: Source, name: str) -> np.dtype[Any]:
    """Tell the dtype of what `read_encodable` gives of a tensor."""
    stored = DTYPES[source.entries[name].dtype]
    return BFLOAT16 if stored.format is bfloat16 else stored.numpy


def read_encodable(
    source: Source, name: str, start: int, stop: int, scratch: Bytes | None = None
) -> Array:
    """Read elements of a tensor as `read_values`, but bfloat16 as it is stored: to be encoded or searched.

    Returns
    -------
    ndarray, shape (stop - start,)
        An array of its own, or one in `scratch`: of the tensor's dtype, bfloat16 as `BFLOAT16`, and codes of
        uint8 for 8-bit floats.
    """
    dtype = DTYPES.get(source.entries[name].dtype)
    if dtype is None:
        raise FileError(
            f"{shown_path(source.path)}: {printable(name)}: "
            f"{printable(source.entries[name].dtype)} is not supported"
        )
    width = dtype.numpy.itemsize
    nbytes = (stop - start) * width
    enough = scratch is not None and scratch.size >= nbytes
    data = scratch[:nbytes] if enough and scratch is not None else np.empty(nbytes, np.uint8)
    with refusing_damage(source.path, name):
        source.read_into(name, start * width, data)
    if dtype.format is bfloat16:
        return data.view(dtype.numpy).astype(np.uint16, copy=False).view(BFLOAT16)
    if dtype.name == "BOOL" and data.size and data.max() > 1:
        raise FileError(
            f"{shown_path(source.path)}: {printable(name)}: a bool is {data.max()}; it takes 0 or 1"
        )
    return data.view(dtype.numpy)


def read_raw(source: Source, name: str) -> Bytes:
    """Read the bytes of a tensor, of whatever dtype."""
    data = np.empty(source.entries[name].nbytes, np.uint8)
    with refusing_damage(source.path, name):
        source.read_into(name, 0, data)
    return data
