"""Reading safetensors files, and checkpoints that are several of them."""

import re
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final

from cfloat._core.text import shown

from .file_errors import NotSupportedError, refusing_damage
from .opened_file import OpenedFile, Stamp
from .safetensors_header import read_header
from .strict_json import read_json_stream
from .tensor_source import Bytes, Source

#: What the index of a sharded checkpoint is called in its folder.
INDEX_NAME: Final = "model.safetensors.index.json"

#: What transformers and diffusers put into the name of a variant's index.
_VARIANT: Final = re.compile(r"\.index\.[^.]+\.json$", re.IGNORECASE)


def without_variant(name: str) -> str:
    """Give the name of an index without its variant, as in ``model.safetensors.index.fp8.json``."""
    return _VARIANT.sub(".index.json", name)


class SafetensorsSource(Source):
    """A safetensors file."""

    def __init__(self, file: OpenedFile) -> None:
        header = read_header(file)
        super().__init__(file, header.entries, header.metadata)
        self._starts = header.starts

    @property
    def reads_anywhere(self) -> bool:
        """Whether any part of a tensor is read without what is before it."""
        return True

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        self.file.read_into(self._starts[name] + start, out)


class ShardedSource(Source):
    """A checkpoint in several files of one folder, named by an index: what `opened` reads."""

    def __init__(
        self,
        file: OpenedFile,
        opened: Callable[[OpenedFile], Source] = SafetensorsSource,
        suffix: str = ".safetensors",
    ) -> None:
        index = read_json_stream(file.stream(), "an index")
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError("an index without a weight_map")
        for shard in weight_map.values():
            _check_shard_name(shard, suffix)
        self._kind = partial(ShardedSource, opened=opened, suffix=suffix)
        self.shards: dict[str, Source] = {}
        for shard in sorted(set(weight_map.values())):
            path = file.path.parent / shard
            with refusing_damage(path):
                self.shards[shard] = opened(OpenedFile(path))
        self._shard_of: dict[str, Source] = {}
        for shard, source in self.shards.items():
            for name in source.names:
                # an index is of tensors: what else is beside them, it need not name
                is_tensor = not isinstance(source.unreadable.get(name), NotSupportedError)
                if weight_map.get(name) != shard and (is_tensor or name in weight_map):
                    raise ValueError(
                        f"{shown(name)} is in {shard}, of which the index knows nothing"
                    )
                self._shard_of[name] = source
        missing = sorted(weight_map.keys() - self._shard_of.keys())
        if missing:
            raise ValueError(f"{shown(missing[0])} is not in {weight_map[missing[0]]}")
        entries = {name: part.entries for name, part in sorted(self._shard_of.items())}
        super().__init__(
            file,
            {name: found[name] for name, found in entries.items() if name in found},
            unreadable={
                name: error for part in self.parts for name, error in part.unreadable.items()
            },
            names=sorted(self._shard_of),
        )

    @property
    def kind(self) -> Callable[[OpenedFile], Source]:
        """What opens another file as this one was."""
        return self._kind

    @property
    def parts(self) -> list[Source]:
        """The files of which this is made."""
        return list(self.shards.values())

    @property
    def stamps(self) -> list[Stamp]:
        """What tells all of its files from others, and from themselves after a change."""
        return [self.file.stamp, *(part.file.stamp for part in self.parts)]

    @property
    def reads_anywhere(self) -> bool:
        """Whether any part of a tensor is read without what is before it."""
        return all(part.reads_anywhere for part in self.parts)

    def storage_of(self, name: str) -> Hashable:
        """Tell where a tensor's elements lie, if others may lie there: None if none can."""
        shard = self._shard_of[name]
        place = shard.storage_of(name)
        return None if place is None else (id(shard), place)

    def read_into(self, name: str, start: int, out: Bytes) -> None:
        """Fill `out` with a tensor's bytes from `start` on."""
        self._shard_of[name].read_into(name, start, out)


def _check_shard_name(file: object, suffix: str) -> None:
    """Raise ValueError unless it is the name of a file with that end, and no path that leads elsewhere."""
    plain = isinstance(file, str) and file.isprintable() and not file.startswith(".")
    if (
        not plain
        or PurePosixPath(str(file)).name != file
        or PureWindowsPath(str(file)).name != file
    ):
        raise ValueError(
            f"the index names {shown(file)}; it takes names of files in its own folder"
        )
    if not str(file).endswith(suffix):
        raise ValueError(f"the index names {shown(file)}; it takes {suffix} files")
