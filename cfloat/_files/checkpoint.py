"""`save` and `load`: checkpoints in safetensors files, CFloat tensors among them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import decode
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.presets import float8_e4m3fn, float8_e5m2
from cfloat._core.public import public
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError

from . import fp8, tensor_metadata
from .reader import (
    FLOATS,
    Entry,
    SafetensorsSource,
    ShardedSource,
    Source,
    entry_of,
    open_source,
    read_values,
    tensor_errors,
)
from .storage import NotSupportedError, refusing_damage, shown_path
from .tensor_metadata import BIAS_SUFFIX, Description, codes_entry
from .writer import SafetensorsWriter, check_name

Array = NDArray[Any]

#: safetensors' 8-bit floats.
FP8_FORMATS: Final = {"F8_E4M3": float8_e4m3fn, "F8_E5M2": float8_e5m2}

# Bytes of codes or values handed to the file at a time, if they are not in its order already.
_PIECE = 1 << 22


@public
def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, CFloatArray | Array],
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write tensors to a safetensors file.

    Codes are stored as U8 or U16 tensors under the tensor's own name, and biases that are more than one as an
    I16 tensor, ``<name>.cfloat_bias``.  Formats and layouts are in the file's metadata.
    The file is written under a temporary name and moved into its place when it is complete.

    Parameters
    ----------
    path : str or path-like
        The file to write, or to replace; its name ends in ``.safetensors``.
    tensors : mapping of str to CFloatArray or ndarray
        The tensors; those that are no CFloatArray are stored as they are, in any dtype that safetensors and
        NumPy share, and ml_dtypes' bfloat16, float8_e4m3fn and float8_e5m2.  Each is asked for twice if the
        mapping is not a dict.
    metadata : mapping of str to str, optional
        More of safetensors' metadata, under other names than ``cfloat``.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If a name, a tensor or the metadata are not as above.
    FileError
        If the file cannot be written; nothing is left behind then.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import tempfile
    >>> import cfloat as cf
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/model.safetensors"
    >>> cf.save(path, {"w": cf.asarray([1.0, 2.7], cf.CFloat8_1_4_3, bias=9)})
    >>> cf.load(path)["w"]
    CFloatArray([1.  , 2.75], CFloat8_1_4_3, bias=9)
    >>> folder.cleanup()
    """
    try:
        path = os.fsdecode(path)
    except TypeError:
        raise ArgumentTypeError(f"path is {shown(path)}; it takes a str or a path") from None
    if not path.lower().endswith(".safetensors"):
        raise FileError(f"{shown_path(path)}: its name should end in .safetensors")
    if not isinstance(tensors, Mapping):
        raise ArgumentTypeError(
            f"tensors is {shown(tensors)}; it takes a mapping of names to arrays"
        )
    entries: dict[str, Entry] = {}
    descriptions: dict[str, Description] = {}
    for name in tensors:
        for key, entry in _entries_of(name, tensors[name], descriptions).items():
            if key in entries:
                raise ArgumentValueError(f"there are two tensors {shown(key)}")
            entries[key] = entry
    extra = _checked_metadata(metadata) | (
        tensor_metadata.written(descriptions) if descriptions else {}
    )
    writer = SafetensorsWriter(path, entries, extra)
    try:
        for name in tensors:
            tensor = tensors[name]
            for key, entry in _entries_of(name, tensor, {}).items():
                if entries.get(key) != entry:
                    raise ArgumentValueError(f"{shown(name)} has changed while it was written")
            if isinstance(tensor, CFloatArray):
                _write(writer, name, tensor.codes)
                if not isinstance(tensor.bias, int):
                    _write(writer, name + BIAS_SUFFIX, tensor.bias)
            else:
                _write(writer, name, np.asarray(tensor))
        writer.finish(extra)
        writer.commit()
    except BaseException:
        writer.discard()
        raise


def _entries_of(name: Any, tensor: Any, descriptions: dict[str, Description]) -> dict[str, Entry]:
    """Return what a file has for a tensor; add its description if it has codes."""
    try:
        check_name(name)
    except TypeError as error:
        raise ArgumentTypeError(str(error)) from None
    except ValueError as error:
        raise ArgumentValueError(str(error)) from None
    if isinstance(tensor, CFloatArray):
        bias = tensor.bias
        entries = {name: codes_entry(tensor.format, tensor.shape)}
        if not isinstance(bias, int):
            entries[name + BIAS_SUFFIX] = Entry.of("I16", bias.shape)
        descriptions[name] = Description(
            tensor.format,
            bias if isinstance(bias, int) else name + BIAS_SUFFIX,
            tensor.axis,
            tensor.block,
        )
        return entries
    if not isinstance(tensor, np.ndarray | np.generic):
        raise ArgumentTypeError(
            f"{shown(name)} is a {type(tensor).__name__}; it takes a CFloatArray or a numpy.ndarray"
        )
    try:
        return {name: entry_of(tensor.dtype, tensor.shape)}
    except NotSupportedError:
        raise ArgumentTypeError(
            f"{shown(name)} has dtype {tensor.dtype}, which safetensors does not have"
        ) from None


def _checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ArgumentTypeError(f"metadata is {shown(metadata)}; it takes a mapping of str to str")
    checked = dict(metadata or {})
    for key, value in checked.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ArgumentTypeError(
                f"metadata has {shown(key)}: {shown(value)}; it takes a str for a str"
            )
        if key == tensor_metadata.KEY:
            raise ArgumentValueError(f"metadata has {shown(key)}, under which formats are stored")
    return checked


def _write(writer: SafetensorsWriter, name: str, array: Array) -> None:
    if array.flags.c_contiguous or array.nbytes <= _PIECE or not len(array):
        writer.write(name, 0, array)
        return
    # in slices, each of which is copied by itself
    step = max(1, _PIECE * len(array) // array.nbytes)
    for start in range(0, len(array), step):
        part = array[start : start + step]
        writer.write(name, start * (array.nbytes // len(array)), part)


@public
class Checkpoint(Mapping[str, CFloatArray | Array]):
    """The tensors of a checkpoint by name, each read when it is asked for.

    Parameters
    ----------
    path : str or path-like
        As in `load`.

    Attributes
    ----------
    path : Path
        The file: the index if there are several.
    metadata : dict of str to str
        safetensors' metadata without those of this package.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._source = open_source(Path(path))
        self.path = self._source.path
        self._parts: dict[str, Source] = {}
        self._descriptions: dict[str, Description] = {}
        self._scales: dict[str, str] = {}
        self.metadata: dict[str, str] = {}
        for part in _parts(self._source):
            with refusing_damage(part.path):
                found = tensor_metadata.read(part.metadata, part.entries)
                self._descriptions |= found
            self._parts |= dict.fromkeys(part.entries, part)
            self.metadata |= part.metadata
            self._scales |= {
                name: scale for name, scale in fp8.scales(part.entries).items() if name not in found
            }
        self.metadata.pop(tensor_metadata.KEY, None)
        hidden = {description.bias for description in self._descriptions.values()}
        hidden |= set(self._scales.values())
        # a dict, in which to look names up
        self._names = {name: None for name in self._source.entries if name not in hidden}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> CFloatArray | Array:
        if name not in self:
            raise KeyError(name)
        part = self._parts[name]
        if name in self._descriptions:
            return self._codes(name, part)
        entry = part.entries[name]
        if name in self._scales:
            return self._scaled(name, part)
        values = read_values(part, name, 0, entry.size)
        if entry.dtype in FP8_FORMATS:
            with no_flags():
                values = decode(values, FP8_FORMATS[entry.dtype])
        return values.reshape(entry.shape)

    def _codes(self, name: str, part: Source) -> CFloatArray:
        said = self._descriptions[name]
        bias: Any = said.bias
        if isinstance(bias, str):
            entry = part.entries[bias]
            bias = read_values(part, bias, 0, entry.size).reshape(entry.shape)
        shape = part.entries[name].shape
        codes = read_values(part, name, 0, part.entries[name].size).reshape(shape)
        codes = codes.astype(said.format.storage_dtype, copy=False)
        with tensor_errors(part.path, name):
            return CFloatArray(codes, said.format, bias, block=said.block)

    def _scaled(self, name: str, part: Source) -> CFloatArray | Array:
        entry, scale = part.entries[name], part.entries[self._scales[name]]
        codes = read_values(part, name, 0, entry.size).reshape(entry.shape)
        scales = read_values(part, self._scales[name], 0, scale.size).reshape(scale.shape)
        return fp8.restored(codes, FP8_FORMATS[entry.dtype], scales)

    def format_of(self, name: str) -> Format | None:
        """Return the format of a tensor of codes; None for any other tensor."""
        return self._descriptions[name].format if name in self._descriptions else None

    def description(self, name: str) -> Description | None:
        """Return what the file says of a tensor of codes; None for any other tensor."""
        return self._descriptions.get(name)

    def stored_dtype(self, name: str) -> str:
        """Return safetensors' name of the dtype that a tensor is stored in."""
        if name not in self:
            raise KeyError(name)
        return self._source.entries[name].dtype

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor, of which nothing else is read."""
        if name not in self:
            raise KeyError(name)
        return self._source.entries[name].shape

    def stored_nbytes(self, name: str) -> int:
        """Return the bytes that a tensor takes in the file, those of its biases or scales included."""
        entries = self._source.entries
        beside = self.beside(name)
        return entries[name].nbytes + (entries[beside].nbytes if beside else 0)

    def beside(self, name: str) -> str | None:
        """Return the name of the tensor that has a tensor's biases or scales."""
        if name in self._scales:
            return self._scales[name]
        said = self._descriptions.get(name)
        return said.bias if said and isinstance(said.bias, str) else None

    def read_bias(self, name: str) -> int | Array | None:
        """Return the bias or the biases of a tensor, without reading its codes; None for any other tensor."""
        said = self._descriptions.get(name)
        if said is None:
            return None
        if isinstance(said.bias, int):
            return said.bias
        part = self._parts[name]
        biases = read_values(part, said.bias, 0, part.entries[said.bias].size)
        with tensor_errors(part.path, name):
            return said.format.check_biases(biases)

    @property
    def source(self) -> Source:
        """Where the bytes come from."""
        return self._source

    @property
    def reads_anywhere(self) -> bool:
        """Whether any part of a tensor is read without what is before it."""
        return isinstance(self._source, SafetensorsSource | ShardedSource)

    def is_encoded(self, name: str) -> bool:
        """Whether a tensor is stored as codes with biases or scales."""
        return name in self._descriptions or name in self._scales

    def is_float(self, name: str) -> bool:
        """Whether a tensor is stored as plain floating-point numbers of 16 bits or more."""
        return not self.is_encoded(name) and self.stored_dtype(name) in FLOATS

    def __repr__(self) -> str:
        return f"Checkpoint({shown_path(self.path)!r}, {len(self)} tensors)"


def _parts(source: Source) -> list[Source]:
    shards: Mapping[str, Source] | None = getattr(source, "shards", None)
    return [source] if shards is None else list(shards.values())


@public
def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a checkpoint.

    Parameters
    ----------
    path : str or path-like
        A ``.safetensors`` file, the ``.safetensors.index.json`` of a sharded one, or a folder with either; or
        any other file that ``cfloat convert`` reads.

    Returns
    -------
    Checkpoint
        A mapping from names to tensors, each of which is read when it is asked for.  It is a CFloatArray
        if the file's metadata say so, and for 8-bit floats beside ``<name>_scale``, the layout of
        compressed-tensors, if all scales are powers of two that a bias can stand for and no code is infinite
        or NaN.  Any other is an ndarray: of the dtype that it is stored in, or for bfloat16 and 8-bit floats
        of float32, times the scale if there is one.

    Raises
    ------
    FileError
        If the file cannot be read, is damaged, or contradicts itself; by ``[]``, if a tensor does.
    MissingExtraError
        If it takes PyTorch to read it, and that is not installed.

    See Also
    --------
    save : The way there.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import cfloat as cf
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/model.safetensors"
    >>> rows = cf.asarray([[100.0, 200.0], [0.5, 1.1]], cf.CFloat8_1_4_3, bias=[4, 8], axis=0)
    >>> cf.save(path, {"w": rows, "steps": np.array([3, 4])})
    >>> tensors = cf.load(path)
    >>> list(tensors), tensors["steps"]
    (['steps', 'w'], array([3, 4]))
    >>> tensors["w"]
    CFloatArray([[ 96.   , 192.   ],
                 [  0.5  ,   1.125]], CFloat8_1_4_3, bias=[[4], [8]])
    >>> folder.cleanup()
    """
    try:
        where = Path(path)
    except TypeError:
        raise ArgumentTypeError(f"path is {shown(path)}; it takes a str or a path") from None
    return Checkpoint(where)
