"""Reading PyTorch's files, which takes PyTorch (extra ``torch``): tensors only, and no code is run."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError  # for its name alone
from typing import Any, Final

from cfloat._core.text import shown
from cfloat.errors import MissingExtraError

from .dtypes import BY_COMMON_NAME
from .file_errors import NotSupportedError, copy_of
from .paths import shown_path
from .tensor_entry import Entry
from .tensor_source import ArraySource, Bytes

# After so many bytes a file that PyTorch has mapped is mapped anew, so that its pages do not pile up.
_REMAP_BYTES: Final = 1 << 28


class TorchSource(ArraySource):
    """A PyTorch file, which PyTorch itself reads: weights only, and mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken = 0
        self._tensors = self._load()
        entries: dict[str, Entry] = {}
        unreadable: dict[str, Exception] = {}
        for name, tensor in self._tensors.items():
            try:
                entries[name] = _entry(tensor)
            except NotSupportedError as error:
                unreadable[name] = copy_of(error)
        super().__init__(path, entries, unreadable=unreadable, names=list(self._tensors))

    def _load(self) -> dict[str, Any]:
        try:
            import torch
        except ImportError:
            raise MissingExtraError(
                f"{shown_path(self.path)}: to read it takes PyTorch: pip install 'cfloat[torch]'"
            ) from None
        how: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
        # files of before PyTorch 1.6 are not archives, and cannot be mapped
        if zipfile.is_zipfile(self.path):
            how["mmap"] = True
        # a path as a string: PyTorch maps nothing else
        try:
            loaded = torch.load(str(self.path), **how)
        except UnpicklingError:
            # PyTorch's own message says how to run the file's code
            raise ValueError("it holds more than tensors in mappings, which is not read") from None
        return by_name(tensors_in(loaded, torch.Tensor, "", []))

    def _bytes_of(self, name: str) -> Bytes:
        import torch

        if self._taken > _REMAP_BYTES:
            self._tensors, self._taken = {}, 0
            self._tensors = self._load()
        tensor = self._tensors[name].detach()
        entry = self.entries[name]
        self._taken += entry.nbytes
        if _entry(tensor) != entry:
            raise ValueError("it has changed while it was read")
        flat: Bytes = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
        return flat


def by_name(tensors: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Gather tensors by name; ValueError if two have the same."""
    found: dict[str, Any] = {}
    for name, tensor in tensors:
        if name in found:
            raise ValueError(f"{shown(name)} is there twice")
        found[name] = tensor
    return found


def tensors_in(value: Any, kind: type, prefix: str, above: list[int]) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of nested mappings and sequences, their keys and places joined by dots."""
    if isinstance(value, kind):
        yield prefix or "tensor", value
    elif isinstance(value, Mapping | list | tuple):
        if id(value) in above or len(above) > 100:
            raise ValueError("mappings that are nested without end")
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            name = f"{prefix}.{key}" if prefix else str(key)
            yield from tensors_in(inner, kind, name, [*above, id(value)])


def _entry(tensor: Any) -> Entry:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in BY_COMMON_NAME or str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise NotSupportedError(f"{dtype}, {tensor.layout} is not supported")
    return Entry.of(BY_COMMON_NAME[dtype].name, tuple(tensor.shape))
