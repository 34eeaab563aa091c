"""The values of a file's tensors, as a report measures them."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .contents import Contents
from .dtypes import DTYPES, FLOATS
from .file_errors import copy_of, refusing_damage
from .paths import as_path
from .reader import open_source, read_values

Array = NDArray[Any]

#: The shape of a tensor, and what reads its elements.
Elements = tuple[tuple[int, ...], Callable[[int, int], Array]]


class StoredValues(Mapping[str, Array]):
    """The values of a file's tensors by name, in the file's order, each read when it is asked for.

    Parameters
    ----------
    path : str or path-like
        As in `cfloat.load`.

    Raises
    ------
    FileError, MissingExtraError
        As `cfloat.load`; by ``[]`` for a tensor that cannot be read, or is of a dtype that is not known here.

    Notes
    -----
    Tensors of codes are decoded, with their biases or scales.  Scales are no tensors of their own.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        #: The path as it was given, after what is before the names.
        self.paths = {"": os.fspath(path)}
        self._contents = Contents(open_source(as_path(path)))
        #: What is in the file, after what is before the names.
        self.contents = {"": self._contents}
        scales = self._contents.scales
        # a dict, in which to look names up
        self._names = {name: None for name in self._contents.names if name not in scales}

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise KeyError(name)
        reason = self._contents.source.unreadable.get(name)
        if reason is not None:
            with refusing_damage(self._contents.source.path, name):
                raise copy_of(reason)
        return np.asarray(self._contents.read(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def dtype_name(self, name: str) -> str:
        """Name the dtype or the format that a tensor is stored in."""
        return stored_name(self._contents, name)

    def plain_elements(self, name: str) -> Elements | None:
        """Give the shape of a tensor of plain floating-point numbers, and what reads some; else None."""
        if self._contents.source.unreadable.get(name) is not None:
            return None
        return plain_elements(self._contents, name)


class JoinedValues(Mapping[str, Array]):
    """The values of the tensors of several files, whose paths are put before their names.

    Parameters
    ----------
    paths : iterable of str or path-like
        As in `StoredValues`.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        paths = list(paths)
        #: The paths as they were given, by what is before the names.
        self.paths = {f"{Path(path)}:": os.fspath(path) for path in paths}
        opened = [(f"{Path(path)}:", StoredValues(path)) for path in paths]
        #: What is in the files, by what is before the names.
        self.contents = {prefix: values.contents[""] for prefix, values in opened}
        self._places = {
            f"{prefix}{name}": (values, name) for prefix, values in opened for name in values
        }

    def __getitem__(self, name: str) -> Array:
        values, inner = self._places[name]
        return values[inner]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def dtype_name(self, name: str) -> str:
        """Name the dtype or the format that a tensor is stored in."""
        values, inner = self._places[name]
        return values.dtype_name(inner)

    def plain_elements(self, name: str) -> Elements | None:
        """Give the shape of a tensor of plain floating-point numbers, and what reads some; else None."""
        values, inner = self._places[name]
        return values.plain_elements(inner)


def plain_elements(contents: Contents, name: str) -> Elements | None:
    """Give the shape of a tensor of plain floating-point numbers, and what reads some; None for any other.

    What reads takes the first element and the one after the last, in row-major order.
    """
    if name in contents.descriptions or name in contents.scaled:
        return None
    entry = contents.entry(name)
    if entry.dtype not in FLOATS:
        return None
    return entry.shape, partial(read_values, contents.source, name)


def stored_name(contents: Contents, name: str) -> str:
    """Name the dtype or the format of a tensor, as NumPy and this package do it."""
    said = contents.descriptions.get(name)
    if said is not None:
        return said.format.name
    if name in contents.scaled:
        return contents.scaled[name].coding.name
    dtype = contents.source.entries[name].dtype
    return DTYPES[dtype].common_name if dtype in DTYPES else dtype
