"""`load`: checkpoints from files of any kind that is read here."""

import os
from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Any, Final

from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._core.format import Format
from cfloat._core.public_names import public
from cfloat._core.text import printable
from cfloat.errors import FileError

from .contents import Contents
from .dtypes import FLOATS
from .file_errors import NotSupportedError, copy_of, refusing_damage
from .paths import as_path, shown_path
from .reader import open_source
from .stored_values import stored_name
from .tensor_metadata import Description
from .tensor_source import Source

Array = NDArray[Any]

#: Under which safetensors' metadata name the library that a file is for; it is the name of no tied tensor.
FORMAT_KEY: Final = "format"


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
    unreadable : dict of str to str
        What else the file has, and why it is not in the mapping: a string, a sparse or a quantised tensor, a
        pickled object (which is never unpickled), a dtype that safetensors does not have.
    tied : dict of str to str
        Other names of tensors, which the file has under one name alone: what the other is, and that one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._set(Contents(open_source(as_path(path))))

    def _set(self, contents: Contents) -> None:
        self._contents = contents
        source = self._source = contents.source
        self.unreadable: dict[str, str] = {}
        for name, reason in sorted(source.unreadable.items()):
            if not isinstance(reason, NotSupportedError):
                with refusing_damage(source.path, name):
                    raise copy_of(reason)
            self.unreadable[name] = str(reason)
        self.path = source.path
        self.metadata = contents.metadata
        self.tied = _tied_by_metadata(contents)
        # a dict, in which to look names up
        self._names = dict.fromkeys(sorted(set(contents.names) - self.unreadable.keys()))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> CFloatArray | Array:
        self._check(name)
        return self._contents.read(name)

    def _check(self, name: str) -> None:
        if name in self.unreadable:
            raise FileError(
                f"{shown_path(self.path)}: {printable(name)}: {printable(self.unreadable[name])}"
            )
        if name not in self:
            raise KeyError(name)

    def format_of(self, name: str) -> Format | None:
        """Give the format of a tensor of codes; None for any other tensor."""
        said = self.description(name)
        return said.format if said else None

    def description(self, name: str) -> Description | None:
        """Give the description that the file has of a tensor of codes; None for any other tensor."""
        return self._contents.descriptions.get(name)

    def stored_dtype(self, name: str) -> str:
        """Give safetensors' name of the dtype that a tensor is stored in."""
        self._check(name)
        return self._contents.entry(name).dtype

    def dtype_name(self, name: str) -> str:
        """Name the dtype or the format that a tensor is stored in, as NumPy and this package do it."""
        self._check(name)
        return stored_name(self._contents, name)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Give the shape of a tensor, of which nothing else is read."""
        self._check(name)
        return self._contents.entry(name).shape

    def stored_nbytes(self, name: str) -> int:
        """Count the bytes that a tensor takes in the file, those of its biases or scales included."""
        return sum(self._source.entries[stored].nbytes for stored in self.stored_names(name))

    def stored_names(self, name: str) -> tuple[str, ...]:
        """Name the tensors that the file has for one: that of its codes first, and those beside it."""
        return self._contents.stored_names(name)

    def read_bias(self, name: str) -> int | Array | None:
        """Read the bias or the biases of a tensor, without its codes; None for a tensor of no codes."""
        return self._contents.read_bias(name) if self.description(name) else None

    def tied_names(self, chosen: Collection[str] = ()) -> dict[str, str]:
        """Find names that are of one tensor in memory: to each but the first, in order, that one.

        Those that are chosen are no longer the same as those that are not.
        """
        first: dict[Hashable, str] = {}
        found = {}
        for name in self:
            places = tuple(self._source.storage_of(each) for each in self.stored_names(name))
            scaled = self._contents.scaled.get(name)
            how = scaled and (scaled.coding.name, scaled.shape, scaled.blocks, scaled.is_divisor)
            if None not in places:
                kept = first.setdefault((places, how, name in chosen), name)
                if kept != name:
                    found[name] = kept
        return found

    @property
    def source(self) -> Source:
        """Where the bytes come from."""
        return self._source

    @property
    def reads_anywhere(self) -> bool:
        """Whether any part of a tensor is read without what is before it."""
        return self._source.reads_anywhere

    def is_encoded(self, name: str) -> bool:
        """Whether a tensor is stored as codes with biases or scales."""
        return name in self._contents.descriptions or name in self._contents.scaled

    def is_float(self, name: str) -> bool:
        """Whether a tensor is stored as plain floating-point numbers of 16 bits or more, and is no scale."""
        if self.is_encoded(name) or name in self._contents.scales:
            return False
        return self.stored_dtype(name) in FLOATS

    def __repr__(self) -> str:
        return f"Checkpoint({shown_path(self.path)!r}, {len(self)} tensors)"


def checkpoint_of(contents: Contents) -> Checkpoint:
    """Make the checkpoint of a file that is open already; it raises as one that opens it."""
    made = Checkpoint.__new__(Checkpoint)
    made._set(contents)
    return made


def _tied_by_metadata(contents: Contents) -> dict[str, str]:
    """Read what safetensors' `save_model` notes of tensors that it stores once: another name, and that."""
    names = set(contents.names)
    return {
        name: kept
        for name, kept in sorted(contents.metadata.items())
        if kept in names and name not in names and name != FORMAT_KEY
    }


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
        if the file's metadata say so, and for 8-bit floats beside scales, if all scales are powers of two
        that a bias can stand for and no code is infinite or NaN.  Any other is an ndarray: of the dtype that
        it is stored in, or of float32 for bfloat16, small floats, and codes beside scales, times these.

    Raises
    ------
    FileError
        If the file cannot be read, is damaged, contradicts itself, or has scales beside codes in a layout
        that is not known here; by ``[]``, if a tensor contradicts itself, or is one of those that cannot be
        read (``Checkpoint.unreadable``).
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
    return Checkpoint(path)
