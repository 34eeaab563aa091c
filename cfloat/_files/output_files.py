"""Which files a conversion writes, and which tensors go into each."""

import os
from pathlib import Path
from typing import NamedTuple

from cfloat.errors import FileError

from .checkpoint import Checkpoint
from .paths import check_writable, shown_path
from .read_safetensors import INDEX_NAME, ShardedSource
from .tensor_source import Source


class Outputs(NamedTuple):
    """The files to write, each with the names of the tensors that go into it, and their index if any."""

    files: dict[Path, list[str]]
    index_path: Path | None


def outputs_for(checkpoint: Checkpoint, target: Path) -> Outputs:
    """Plan the files of a conversion to a file, a folder or an index; FileError if that cannot be."""
    source = checkpoint.source
    file = target.name.lower()
    sharded = file.endswith(".index.json") or target.is_dir() or not target.suffix
    if not sharded:
        if not file.endswith(".safetensors"):
            raise FileError(f"{shown_path(target)}: not .safetensors, nor a folder or an index")
        check_writable(target)
        _check_apart(source, [target])
        return Outputs({target: list(checkpoint)}, None)
    if not os.fspath(target) or target.name == "":
        raise FileError(f"{shown_path(target)}: not the name of a file or a folder")
    folder = target.parent if file.endswith(".index.json") else target
    index = target if file.endswith(".index.json") else folder / INDEX_NAME
    if not isinstance(source, ShardedSource):
        if index == target:
            raise FileError(f"{shown_path(target)}: an index, and there is one file to convert")
        if os.path.lexists(index):
            raise FileError(
                f"{shown_path(index)}: would be read instead of what is to be written; remove it first"
            )
        files = {folder / "model.safetensors": list(checkpoint)}
        outputs = Outputs(files, None)
    else:
        files = {
            folder / name: [
                key for key in checkpoint if checkpoint.stored_names(key)[0] in shard.entries
            ]
            for name, shard in source.shards.items()
        }
        outputs = Outputs(files, index)
    _check_apart(source, [*files, index])
    return outputs


def _check_apart(source: Source, targets: list[Path]) -> None:
    paths = [source.path]
    if isinstance(source, ShardedSource):
        paths += [shard.path for shard in source.shards.values()]
    read = {os.path.realpath(path) for path in paths}
    for target in targets:
        if os.path.realpath(target) in read:
            raise FileError(f"{shown_path(target)}: would overwrite what is to be read")
