"""What is in a model's folder beside the weights that are converted: tokenizers, other modules."""

import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from cfloat._core.text import shown
from cfloat.errors import FileError

from .file_errors import refusing_damage
from .paths import shown_path
from .read_safetensors import ShardedSource, without_variant
from .reader import SINGLE_FILES
from .replace import Replacement, note_finished, note_unfinished
from .strict_json import read_json
from .tensor_source import Source

#: Ends of the names of files that have weights: those beside the ones that are converted would be of another
#: conversion.
WEIGHTS: Final = (
    ".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".pt", ".pth", ".ckpt", ".h5",
    ".h5.index.json", ".msgpack", ".msgpack.index.json", ".onnx", ".onnx_data", ".gguf", ".tflite",
)  # fmt: skip

#: What says how weights were quantized: those that are converted are it in another way.
OF_QUANTIZATION: Final = ("quantization_config.json", "hf_quant_config.json")


class Companions(NamedTuple):
    """The other files of a model's folder, by their paths in it.

    Attributes
    ----------
    folder : Path
        The folder that they are in.
    copied : list of str
        Those that go along.
    left : dict of str to str
        Those that do not, and why.
    """

    folder: Path
    copied: list[str]
    left: dict[str, str]


def folder_of(given: Path, source: Source, target: Path, folder: Path) -> Path | None:
    """Find the folder that is converted as a whole, a model's; None for a file by itself.

    Parameters
    ----------
    given : Path
        What is to be converted, as a user says it.
    source : Source
        What that is.
    target : Path
        Where it goes, as a user says it.
    folder : Path
        The folder that is written into.
    """
    single = source.path.name in SINGLE_FILES
    if not (given.is_dir() or isinstance(source, ShardedSource) or single):
        return None
    into_file = target.name.lower().endswith(".safetensors") and not target.is_dir()
    same = os.path.realpath(folder) == os.path.realpath(source.path.parent)
    return None if into_file or same else source.path.parent


def companions(folder: Path | None, target: Path, source: Source) -> Companions:
    """Look for the files that go along with a conversion of a folder; none if there is no folder.

    Parameters
    ----------
    folder : Path or None
        The model's.
    target : Path
        Where the conversion goes, which may be inside of it.
    source : Source
        What is converted.

    Raises
    ------
    FileError
        If one would overwrite another file of the target, or go through a link in it.

    Notes
    -----
    A link is followed if it stays in the folder, or leads to a file of the cache that Hugging Face's programs
    keep, ``models--…/snapshots/…`` to ``models--…/blobs``: any other may be to a secret of whoever converts.
    Files and folders whose names begin with a dot stay, as those of git and of caches.  So do other weights,
    but for those of modules that sentence-transformers' ``modules.json`` names.
    ``config.json`` is written anew.
    """
    found = Companions(folder or target, [], {})
    if folder is None:
        return found
    allowed = [Path(os.path.realpath(folder))]
    above = allowed[0].parent
    if above.name == "snapshots" and above.parent.name.startswith("models--"):
        allowed.append(above.parent / "blobs")
    taken = {
        os.path.realpath(path)
        for path in (target, source.path, *(part.path for part in source.parts))
    }
    whole = _modules(folder)
    with refusing_damage(folder):
        for path in _files(folder, taken):
            name = path.relative_to(folder).as_posix()
            reason = _reason_to_stay(path, name, allowed, whole)
            if name == "config.json":
                if reason is not None:
                    raise FileError(f"{shown_path(path)}: {reason}")
            elif reason is None:
                found.copied.append(name)
            else:
                found.left[name] = reason
    for name in found.copied:
        _check_place(folder / name, target, name)
    return found


def copy(found: Companions, target: Path) -> list[Replacement]:
    """Copy files to where they go, under temporary names; nothing is left of them if that fails."""
    made: list[Replacement] = []
    try:
        for name in found.copied:
            with refusing_damage(found.folder / name):
                place = target / name
                if os.path.lexists(place):
                    continue  # the same, as it was found
                place.parent.mkdir(parents=True, exist_ok=True)
                replacement = Replacement(place)
                made.append(replacement)
                with (found.folder / name).open("rb") as source, replacement.open() as stream:
                    shutil.copyfileobj(source, stream)
    except BaseException:
        for replacement in made:
            replacement.discard()
        raise
    return made


@contextmanager
def made_for(target: Path, found: Companions) -> Iterator[None]:
    """Make a folder; remove it, and those inside of it for other files, if what follows fails.

    A folder that has files by then stays.
    """
    inner = {parent for name in found.copied for parent in (target / name).parents}
    inner -= {target, *target.parents}
    made = [path for path in (target, *sorted(inner)) if not path.exists()]
    for path in made:
        note_unfinished(path)
    try:
        with refusing_damage(target):
            target.mkdir(exist_ok=True)
        yield
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()
            # as in `output_folder`
            if isinstance(error, Exception):
                note_finished(path)
        raise
    for path in made:
        note_finished(path)


def _files(folder: Path, taken: set[str]) -> Iterator[Path]:
    """Yield what is in a folder and the folders inside, in order; links to folders are not followed."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith(".") or os.path.realpath(entry.path) in taken:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), taken)
        else:
            yield Path(entry.path)


def _modules(folder: Path) -> list[str]:
    """Find the folders of modules beside the first, as sentence-transformers lists them."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    with refusing_damage(path):
        value = read_json(path, "a list of modules")
    modules = value if isinstance(value, list) else []
    names = [said.get("path") for said in modules if isinstance(said, dict)]
    return [name.rstrip("/") + "/" for name in names if isinstance(name, str) and name]


def _reason_to_stay(path: Path, name: str, allowed: list[Path], whole: list[str]) -> str | None:
    if not path.is_file():
        return "not a file, or a link to none"
    real = Path(os.path.realpath(path))
    if path.is_symlink() and not any(real.is_relative_to(place) for place in allowed):
        return "a link that leads out of the folder"
    if name in OF_QUANTIZATION:
        return "of the conversion before"
    if without_variant(path.name.lower()).endswith(WEIGHTS) and not name.startswith(tuple(whole)):
        return "other weights"
    return None


def _check_place(source: Path, target: Path, name: str) -> None:
    """Raise FileError if a file cannot go where it is to go."""
    place = target / name
    for parent in place.parents:
        if parent == target:
            break
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            raise FileError(f"{shown_path(parent)}: in the way of {shown(name)}, and not a folder")
    if not os.path.lexists(place):
        return
    with refusing_damage(place):
        same = place.is_file() and not place.is_symlink()
        same = same and filecmp.cmp(source, place, shallow=False)
    if not same:
        raise FileError(
            f"{shown_path(place)}: would be overwritten, and differs from that of the source"
        )
