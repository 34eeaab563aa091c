"""Which files a conversion writes, and which tensors go into each; and the folder that they are in."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from cfloat.errors import FileError

from .checkpoint import Checkpoint
from .file_errors import refusing_damage
from .out_of_reach import is_part
from .paths import check_writable, shown_path
from .read_safetensors import INDEX_NAME, ShardedSource
from .reader import SINGLE_FILES
from .replace import note_finished, note_unfinished
from .tensor_source import Source

#: The file that a conversion locks in the folder that it writes several files into.
LOCK_NAME: Final = ".cfloat.lock"


class Outputs(NamedTuple):
    """The files to write, each with the names of the tensors that go into it, and their index if any."""

    files: dict[Path, list[str]]
    index_path: Path | None


def outputs_for(checkpoint: Checkpoint, target: Path, read: Sequence[Path] = ()) -> Outputs:
    """Plan the files of a conversion to a file, a folder or an index; FileError if that cannot be.

    None of them may be what is converted, or of other files that are `read`.
    """
    source = checkpoint.source
    file = target.name.lower()
    sharded = file.endswith(".index.json") or target.is_dir() or not target.suffix
    if not sharded:
        if not file.endswith(".safetensors"):
            raise FileError(f"{shown_path(target)}: not .safetensors, nor a folder or an index")
        check_writable(target)
        _check_apart(source, read, [target])
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
            folder / _safetensors_name(name): [
                key for key in checkpoint if checkpoint.stored_names(key)[0] in shard.entries
            ]
            for name, shard in source.shards.items()
        }
        # Hugging Face's programs look for one file before they look for an index
        single = folder / index.name[: -len(".index.json")]
        if single not in files and os.path.lexists(single):
            raise FileError(
                f"{shown_path(single)}: would be read instead of what is to be written; remove it first"
            )
        outputs = Outputs(files, index)
    _check_apart(source, read, [*files, index])
    return outputs


def is_of_folder(target: Path, outputs: Outputs) -> bool:
    """Whether what is written belongs to a folder, as a file by itself does not unless it is called so."""
    is_called_so = target.name.lower() in SINGLE_FILES or is_part(target.name)
    return target not in outputs.files or is_called_so


def _safetensors_name(name: str) -> str:
    """Name the file that a shard becomes: a PyTorch file's as Hugging Face's programs look for it."""
    if name.endswith(".bin"):
        return name.removeprefix("pytorch_").removesuffix(".bin") + ".safetensors"
    return name


def _check_apart(source: Source, others: Sequence[Path], targets: list[Path]) -> None:
    paths = [source.path, *others]
    if isinstance(source, ShardedSource):
        paths += [shard.path for shard in source.shards.values()]
    read = {os.path.realpath(path) for path in paths}
    for target in targets:
        if os.path.realpath(target) in read:
            raise FileError(f"{shown_path(target)}: would overwrite what is to be read")


@contextmanager
def output_folder(folder: Path, is_shared: bool) -> Iterator[None]:
    """Make the folder that files go into, and remove it after an error if it has none.

    Parameters
    ----------
    folder : Path
        The folder, which may be there.
    is_shared : bool
        Whether several files of it belong together: then no other conversion may write there meanwhile.

    Raises
    ------
    FileError
        If it cannot be made, or another conversion is at work in it.
    """
    made = not folder.exists()
    try:
        with refusing_damage(folder):
            if made:
                note_unfinished(folder)
                folder.mkdir(exist_ok=True)
        if is_shared:
            with _locked(folder):
                yield
        else:
            yield
    except BaseException as error:
        if made:
            with suppress(OSError):  # it has files, if some were in place already
                folder.rmdir()
        # what ends the process may have left a file in it, with which `remove_unfinished` begins
        if isinstance(error, Exception):
            note_finished(folder)
        raise
    note_finished(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which the system takes back from a process that is killed."""
    path = folder / LOCK_NAME
    note_unfinished(path, _remove_lock)
    descriptor = -1
    try:
        while True:
            with refusing_damage(folder):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    _lock(descriptor)
                except BlockingIOError:
                    raise FileError(
                        f"{shown_path(folder)}: another conversion is writing into it"
                    ) from None
            if _is_at(path, descriptor):
                break
            os.close(descriptor)
            descriptor = -1
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        with suppress(OSError):
            _remove_lock(path)
        note_finished(path)


def _remove_lock(path: Path) -> None:
    """Remove the file of a lock, unless somebody holds it; OSError if it isn't there."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        _lock(descriptor)
        if _is_at(path, descriptor):
            path.unlink()
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a file that is open is still there: the one who had its lock may have removed it since."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    return False


def _lock(descriptor: int) -> None:
    """Lock a file, or raise BlockingIOError if another process has."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except PermissionError:
            raise BlockingIOError from None
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
