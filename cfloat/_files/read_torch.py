"""Reading PyTorch's files, which takes PyTorch (extra ``torch``): tensors only, and no code is run."""

import math
import os
import re
import struct
import sys
import threading
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pickle import UnpicklingError  # for its name alone
from typing import IO, Any, Final, NamedTuple, cast

import numpy as np

from cfloat._core.text import printable, shown
from cfloat.errors import MissingExtraError

from .dtypes import BY_COMMON_NAME, COPIED
from .file_errors import NotSupportedError, copy_of
from .opened_file import OpenedFile, own_file
from .paths import shown_path
from .tensor_entry import Entry
from .tensor_source import ArraySource, Bytes
from .zip_bombs import check_shared, check_together

# Tensors, mappings and sequences that a file holds at most, each counted wherever it is.
_MOST_THINGS: Final = 1_000_000

# Records of no more bytes are handed to PyTorch as they are, and larger ones read when they are asked for.
_SMALL: Final = 1 << 16

# What PyTorch looks into while it makes tensors of these kinds, whatever their size.
_LOOKED_INTO: Final = (b"_rebuild_sparse", b"_rebuild_nested", b"_rebuild_qtensor")

# Bytes that are copied at a time.
_PIECE_BYTES: Final = 1 << 22

# The header before a member of an archive: its mark, and at its end the lengths of name and extra data.
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_LOCAL_MARK: Final = b"PK\3\4"


class _Record(NamedTuple):
    """Where the bytes of a storage are, and how many."""

    start: int
    size: int

    @property
    def is_large(self) -> bool:
        """Whether it is read when it is asked for, and not with the rest."""
        return self.size > _SMALL


class _Found(NamedTuple):
    """A tensor, and the record that its bytes are in; its own memory has them if that is None."""

    tensor: Any
    record: _Record | None


class TorchSource(ArraySource):
    """A PyTorch file: PyTorch says what is in it, weights only, and the bytes come from the file."""

    def __init__(self, file: OpenedFile) -> None:
        self._tensors, others = _tensors(file)
        entries: dict[str, Entry] = {}
        unreadable: dict[str, Exception] = {
            name: NotSupportedError(f"no tensor: {kind}")
            for name, kind in others.items()
            if name not in self._tensors
        }
        not_tensors = list(unreadable)
        for name, found in self._tensors.items():
            try:
                entries[name] = _entry(found.tensor)
            except NotSupportedError as error:
                unreadable[name] = copy_of(error)
        super().__init__(file, entries, unreadable=unreadable, names=[*self._tensors, *not_tensors])

    def storage_of(self, name: str) -> Hashable:
        """Tell where a tensor's elements lie: two of one name for that are tied."""
        tensor = self._tensors[name].tensor
        if not tensor.numel():
            return None
        place = tensor.untyped_storage().data_ptr(), tensor.storage_offset()
        return (*place, tensor.dtype, tuple(tensor.shape), tensor.stride())

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        tensor, record = self._tensors[name]
        if record is not None and tensor.is_contiguous():
            first = tensor.storage_offset() * tensor.element_size()
            self.file.read_into(record.start + first + start, out)
        else:
            super().read_into(name, start, out)

    def _bytes_of(self, name: str) -> Bytes:
        import torch

        tensor, record = self._tensors[name]
        if record is not None:
            # the elements between the first and the last one that it has
            steps = zip(tensor.shape, tensor.stride(), strict=True)
            extent = 1 + sum((length - 1) * step for length, step in steps)
            data = np.empty(extent * tensor.element_size(), np.uint8)
            first = tensor.storage_offset() * tensor.element_size()
            self.file.read_into(record.start + first, data)
            stored = torch.from_numpy(data).view(tensor.dtype)
            tensor = stored.as_strided(tensor.shape, tensor.stride(), 0)
        flat: Bytes = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        return flat


def _tensors(file: OpenedFile) -> tuple[dict[str, _Found], dict[str, str]]:
    """Find the tensors of a file by name, and what is beside them: names, and what each is."""
    try:
        import torch
    except ImportError:
        raise MissingExtraError(
            f"{shown_path(file.path)}: to read it takes PyTorch: pip install 'cfloat[torch]'"
        ) from None
    records = _records(file)
    if any(record.is_large for record in records):
        # large records are empty but for this and where they are
        mark = os.urandom(8)
        with own_file(file.size, _skeleton(file, records, mark)) as path:
            others: dict[str, str] = {}
            tensors = by_name(tensors_in(_load(path, mmap=True), torch.Tensor, others))
        found = _located(file, tensors, records, mark)
        if found is not None:
            return found, others
    others = {}
    tensors = by_name(tensors_in(_load(file.stream()), torch.Tensor, others))
    return {name: _Found(tensor, None) for name, tensor in tensors.items()}, others


# What PyTorch takes for safe, and which warnings are shown, is in one place for all threads.
_loading = threading.Lock()


def _load(where: Any, **how: Any) -> Any:
    """Load a file: an object beside tensors becomes an inert tensor that has its class's name."""
    import torch

    how |= {"map_location": "cpu", "weights_only": True}
    # of what a file has that is old, a user of this package can do nothing about
    with _loading, warnings.catch_warnings(action="ignore"):
        with suppress(UnpicklingError):
            return torch.load(where, **how)
        try:
            _rewind(where)
            names = torch.serialization.get_unsafe_globals_in_checkpoint(where)
            _check_names(names)
            return _load_inert(where, names, how)
        except DamagedNameError:
            raise
        except (UnpicklingError, AttributeError, TypeError, ValueError):
            # PyTorch's own message says how to run the file's code; older ones do not know all of that
            raise ValueError("it holds more than tensors in mappings, which is not read") from None


# What PyTorch says of an object that is no mapping or sequence, and is filled as one.
_FILLED: Final = re.compile(
    r"Can only (append|extend|SETITEMS?)\b.* got <class '[^']*\bObject(\d+)'>", re.DOTALL
)

# Classes of mappings and sequences that a file may have of its own: for each it is read once more.
_MOST_CONTAINERS: Final = 20


def _load_inert(where: Any, names: list[str], how: Mapping[str, Any]) -> Any:
    """Load a file in which inert objects take the place of those of these names.

    A class may be one of mappings or sequences, and PyTorch says so when one is filled: then plain ones take
    the place of its objects.
    """
    import torch

    kinds: dict[str, type] = {}
    while True:
        # nothing is looked up by these names: what they stand for is not even imported
        stubs: list[Any] = [
            (_inert(name, number, kinds.get(name)), name) for number, name in enumerate(names)
        ]
        _rewind(where)
        try:
            with torch.serialization.safe_globals(stubs):
                return torch.load(where, **how)
        except UnpicklingError as error:
            found = _FILLED.search(str(error))
            if found is None or int(found[2]) >= len(names) or len(kinds) >= _MOST_CONTAINERS:
                raise
            name = names[int(found[2])]
            if name in kinds:
                raise
            kinds[name] = OrderedDict if found[1].startswith("SETITEM") else list


def _rewind(where: Any) -> None:
    if hasattr(where, "seek"):
        where.seek(0)


class DamagedNameError(ValueError):
    """A name in a file that is nobody's class, but one of PyTorch's own that was damaged."""


#: Where what PyTorch writes of tensors lives.
_OWN_ROOTS: Final = ("_codecs", "builtins", "collections", "torch")


def _check_names(names: Iterable[str]) -> None:
    """Raise a DamagedNameError if a name is that of PyTorch's own function or class, with letters changed.

    The rest of such a file is no more to be trusted: PyTorch refuses all of it.
    """
    import torch

    own = ["collections.OrderedDict", "torch._utils._rebuild_tensor_v2"]
    own += [f"torch.{name}" for name in dir(torch) if name.endswith("Storage")]
    own += [f"torch._utils.{name}" for name in dir(torch._utils) if name.startswith("_rebuild_")]
    for name in names:
        module, _, attribute = name.rpartition(".")
        if module.partition(".")[0] in _OWN_ROOTS:
            # looked at, and not imported
            is_there = hasattr(sys.modules.get(module), attribute)
        else:
            is_there = not get_close_matches(name, own, 1, 0.85)
        if is_there and all(part.isidentifier() for part in name.split(".")):
            continue
        raise DamagedNameError(
            f"it names {shown(name)}, which is nothing that can be: it is damaged"
        )


def _inert(name: str, number: int, container: type | None) -> type:
    """Make a class that takes the place of one in a file: its objects hold nothing, whatever is given.

    Or they are empty containers of a type.
    """
    import torch

    if container is not None:
        # OrderedDict and list are the only ones that PyTorch fills
        return type(f"Object{number}", (), {"__new__": lambda *_, **__: container()})

    def make(cls: Any, *_: Any, **__: Any) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, (0,))

    def ignore(self: Any, *_: Any, **__: Any) -> None:
        del self

    return type(
        f"Object{number}",
        (torch.Tensor,),
        {
            "__new__": make,
            "__init__": ignore,
            "__setstate__": ignore,
            "__eq__": object.__eq__,
            "__hash__": object.__hash__,
            "__torch_function__": torch._C._disabled_torch_function_impl,
            "__torch_dispatch__": classmethod(lambda *_, **__: NotImplemented),
            "stands_for": name,
        },
    )


def _records(file: OpenedFile) -> list[_Record]:
    """List the records of storages; none if PyTorch is to read the whole at once."""
    stream = file.stream()
    # files of before PyTorch 1.6 are not archives
    if not zipfile.is_zipfile(cast("IO[bytes]", stream)):
        return []
    archive = zipfile.ZipFile(cast("IO[bytes]", stream))
    check_shared(archive.infolist(), file.size)
    check_together(_packed(archive))
    records = []
    for info in archive.infolist():
        _, _, name = info.filename.partition("/")
        if name == "byteorder" and archive.read(info) != b"little":
            return []
        if name == "data.pkl" and any(kind in archive.read(info) for kind in _LOOKED_INTO):
            return []
        if not name.startswith("data/"):
            continue
        if info.compress_type != zipfile.ZIP_STORED:
            # PyTorch takes what memory has, if a record can't be unpacked
            _check_packed(archive)
            return []
        start = _data_start(file, info)
        if start + info.file_size > file.size:
            raise ValueError(f"{shown(info.filename)} ends after the file")
        records.append(_Record(start, info.file_size))
    return sorted(records)


def _packed(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [info for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]


def _check_packed(archive: zipfile.ZipFile) -> None:
    """Unpack what is packed in an archive, and raise what zipfile and zlib do if it is damaged."""
    for info in _packed(archive):
        with archive.open(info) as stream:
            while stream.read(_PIECE_BYTES):
                pass


def _data_start(file: OpenedFile, info: zipfile.ZipInfo) -> int:
    """Find where the bytes of an archive's member start; ValueError unless its own header is before them."""
    data = np.empty(_LOCAL_HEADER.size, np.uint8)
    file.read_into(info.header_offset, data)
    mark, name_length, extra_length = _LOCAL_HEADER.unpack(data.tobytes())
    # PyTorch looks at it when it reads a record, but not when it maps one
    if mark != _LOCAL_MARK:
        raise ValueError(f"{shown(info.filename)} is not where the archive's directory says")
    return int(info.header_offset + _LOCAL_HEADER.size + name_length + extra_length)


def _skeleton(file: OpenedFile, records: list[_Record], mark: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield all of a file but large records, and of each of those the mark and its start."""
    place = 0
    large = [record for record in records if record.is_large]
    for start, size in [*large, _Record(file.size, 0)]:
        for piece in range(place, start, _PIECE_BYTES):
            data = np.empty(min(_PIECE_BYTES, start - piece), np.uint8)
            file.read_into(piece, data)
            yield piece, data.tobytes()
        place = max(place, start + size)
    for start, _ in large:
        yield start, mark + start.to_bytes(8, "little")


def _located(
    file: OpenedFile, tensors: dict[str, Any], records: list[_Record], mark: bytes
) -> dict[str, _Found] | None:
    """Find out in which record each tensor's bytes are; None if nothing leads to the large ones."""
    storages = {}
    for name, tensor in tensors.items():
        with suppress(NotSupportedError):
            # an empty tensor, too, whose record may have another length than it is said to have
            if _entry(tensor).nbytes or tensor.untyped_storage().data_ptr():
                storages[name] = tensor.untyped_storage()
    # all storages are parts of one mapping
    base = None
    for storage in storages.values():
        if storage.nbytes() >= 16:
            start = bytes(storage[:16])
            if start[:8] == mark:
                base = storage.data_ptr() - int.from_bytes(start[8:], "little")
                break
    if base is None:
        return None
    by_start = dict(records)
    found = {}
    for name, tensor in tensors.items():
        record = None
        if name in storages:
            record = _Record(storages[name].data_ptr() - base, storages[name].nbytes())
            size = by_start.get(record.start)
            if size != record.size:
                raise ValueError(
                    f"{shown(name)} takes {record.size} bytes, and its record has {size}"
                )
        found[name] = _Found(tensor, record)
    return found


def by_name(tensors: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Gather tensors by name; ValueError if two have the same."""
    found: dict[str, Any] = {}
    for name, tensor in tensors:
        if name in found:
            raise ValueError(f"{shown(name)} is there twice")
        found[name] = tensor
    return found


def tensors_in(
    value: Any, kind: type, others: dict[str, str] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield the tensors of nested mappings and sequences, their keys and places joined by dots.

    What lies beside tensors and has none goes into `others`: its name, and what it is.
    What is in several places is there once for each, so that a small file can nest without end: ValueError.
    """
    return _Walk(kind, {} if others is None else others).tensors(value, "", [])


class _Walk:
    """A walk over nested mappings and sequences, of a bounded length."""

    def __init__(self, kind: type, others: dict[str, str]) -> None:
        self._kind = kind
        self._others = others
        self._done = 0
        self._seen: set[int] = set()
        # containers without a tensor: they are gone through once
        self._without: set[int] = set()

    def tensors(self, value: Any, prefix: str, above: list[int]) -> Iterator[tuple[str, Any]]:
        """Yield the tensors of a value that is inside those above."""
        if isinstance(value, self._kind):
            self._count(prefix)
            yield prefix or "tensor", value
        elif isinstance(value, Mapping | list | tuple) and id(value) not in self._without:
            if id(value) in above or len(above) > 100:
                raise ValueError("mappings that are nested without end")
            self._count(prefix)
            # things that a file has once are bounded by its size
            if id(value) in self._seen:
                self._done += len(value)
            self._seen.add(id(value))
            has_tensors = False
            others = []
            for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
                name = f"{prefix}.{key}" if prefix else str(key)
                has_inner = False
                for found in self.tensors(inner, name, [*above, id(value)]):
                    has_inner = True
                    yield found
                has_tensors |= has_inner
                if not has_inner:
                    others.append((name, inner))
            if has_tensors:
                self._others.update((name, type(inner).__name__) for name, inner in others)
            else:
                self._without.add(id(value))

    def _count(self, name: str) -> None:
        # a thousand letters weigh as much as a tensor
        self._done += 1 + len(name) // 1000
        if self._done > _MOST_THINGS:
            raise ValueError(f"more than {_MOST_THINGS} tensors and mappings, one inside the other")


def _entry(tensor: Any) -> Entry:
    import torch

    name = getattr(type(tensor), "stands_for", None)
    if name is not None:
        raise NotSupportedError(f"an object of {printable(name)}, and none is unpickled")
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.device.type != "cpu":
        raise NotSupportedError(f"{type(tensor).__name__} on {tensor.device} is not supported")
    if tensor.is_nested:  # it has no shape
        raise NotSupportedError("a nested tensor is not supported")
    dtype = str(tensor.dtype).removeprefix("torch.")
    layout = str(tensor.layout)
    known = dtype in BY_COMMON_NAME or dtype in COPIED
    if not known or layout != "torch.strided" or tensor.is_quantized:
        raise NotSupportedError(f"{dtype}, {layout} is not supported")
    if tensor.is_neg() or tensor.is_conj():
        raise NotSupportedError("a view that negates or conjugates is not supported")
    shape = tuple(tensor.shape)
    if dtype in COPIED:
        stored, elements = COPIED[dtype]
        if elements > 1 and not shape:
            raise NotSupportedError(f"{dtype} of no axes is not supported")
        nbytes = math.prod(shape)
        return Entry(stored, (*shape[:-1], shape[-1] * elements) if shape else (), nbytes)
    return Entry.of(BY_COMMON_NAME[dtype].name, shape)
