"""Weights that were rounded by moments already, in a folder: a conversion that was cut goes on from there.

The folder has a safetensors file for each, called by a digest of all that its codes follow from: the weight,
its moments, the format and the biases that were asked for.  So what is there is never of something else.
"""

import errno
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.bias_layout import BiasLayout, check_blocks
from cfloat._compensate.second_moments import SecondMoment
from cfloat._core.format import Format
from cfloat._core.text import printable
from cfloat._version import __version__
from cfloat.errors import FileError

from .checkpoint import Checkpoint
from .file_errors import refusing_damage
from .paths import as_path, check_writable, shown_path
from .save import save
from .strict_json import parse_json
from .tensor_source import as_bytes

Array = NDArray[Any]

#: Under which safetensors' metadata say what a file has beside codes and biases.
KEY: Final = "cfloat_rounded"

_NUMBERS: Final = ("nearest_db", "db")


class Rounded(NamedTuple):
    """A weight that was rounded by moments, with what a conversion tells of that."""

    codes: Array
    biases: BiasLayout
    nearest_db: float
    db: float
    rows_kept: int
    notes: tuple[str, ...]


def _checksum(*arrays: Array | bytes) -> str:
    made = hashlib.blake2b(digest_size=20)
    for each in arrays:
        made.update(each if isinstance(each, bytes) else as_bytes(each).data)
    return made.hexdigest()


class Question(NamedTuple):
    """All that codes follow from, but for the BLAS that computes."""

    values: Array
    format: Format
    moment: SecondMoment
    bias: Any
    axis: Any
    block: int | None

    @property
    def digest(self) -> str:
        """Give the name of it."""
        bias = self.bias
        if isinstance(bias, np.ndarray):
            bias = [bias.shape, _checksum(bias)]
        said = [
            __version__, self.values.shape, self.values.dtype.str, self.format._arguments(), bias, self.axis,
            self.block, self.moment.values.shape, self.moment.count, self.moment.axis,
        ]  # fmt: skip
        return _checksum(self.values, self.moment.values, json.dumps(said).encode())


class FinishedTensors:
    """The folder of a conversion that can be cut.

    Parameters
    ----------
    path : str or path-like
        The folder, which is made when there is something for it.

    Attributes
    ----------
    taken : int
        How many weights were there already.

    Raises
    ------
    FileError
        If it is no folder, or there is none that it could be in.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path(path)
        self.taken = 0
        self._used: list[Path] = []
        if self.path.exists() and not self.path.is_dir():
            raise FileError(f"{shown_path(self.path)}: Not a directory")
        if not self.path.is_dir():
            check_writable(self.path)

    def _file(self, question: Question) -> Path:
        return self.path / f"{question.digest}.safetensors"

    def get(self, question: Question) -> Rounded | None:
        """Give what is there; None if there is nothing.

        Raises
        ------
        FileError
            If it cannot be read, or is not what `put` writes.
        """
        path = self._file(question)
        if not path.exists():
            return None
        stored = Checkpoint(path)
        try:
            made = _read(stored, question)
        except (ValueError, TypeError, KeyError) as error:
            if isinstance(error, FileError):
                raise
            raise FileError(
                f"{shown_path(path)}: not what a conversion leaves there; remove it: {printable(str(error))}"
            ) from None
        if path not in self._used:  # by this run, of the same weight under another name
            self.taken += 1
            self._used.append(path)
        return made

    def put(self, question: Question, made: Rounded) -> None:
        """Keep a weight that was rounded."""
        path = self._file(question)
        with refusing_damage(self.path):
            self.path.mkdir(exist_ok=True)
        said = {key: repr(getattr(made, key)) for key in _NUMBERS}  # JSON has no infinity
        bias = np.array(made.biases.values, np.int16)
        rest = {
            "rows_kept": made.rows_kept,
            "notes": list(made.notes),
            "checksum": _checksum(made.codes, bias),
        }
        save(
            path,
            {"codes": made.codes, "bias": bias},
            metadata={KEY: json.dumps(said | rest)},
        )
        self._used.append(path)

    def remove(self) -> list[str]:
        """Remove what was used, and the folder if there is nothing else in it; give what there is to say."""
        for path in self._used:
            with suppress(OSError):  # another conversion of the same was faster
                path.unlink()
        were = "tensor was" if self.taken == 1 else "tensors were"
        said = [f"{self.taken} {were} rounded before"] if self.taken else []
        try:
            self.path.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            why = f"stays: {error.strerror}"  # a link, say
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                why = "has other files in it, and stays"
            said.append(f"{shown_path(self.path)} {why}")
        return said


def _read(stored: Checkpoint, question: Question) -> Rounded:
    said = parse_json(stored.metadata[KEY])
    codes, bias = stored["codes"], stored["bias"]
    if set(said) != {*_NUMBERS, "rows_kept", "notes", "checksum"}:
        raise ValueError(f"{KEY} has other keys")
    shape = question.values.shape
    if said["checksum"] != _checksum(np.asarray(codes), np.asarray(bias)):
        raise ValueError("its checksum is another")
    if codes.shape != shape or codes.dtype != question.format.storage_dtype:
        raise ValueError(f"codes are {codes.dtype} of shape {codes.shape}")
    values = np.asarray(bias)
    low, high = question.format.bias_range
    if values.dtype != np.int16 or values.min() < low or values.max() > high:
        raise ValueError(f"biases are not integers from {low} to {high}")
    blocks = None
    if question.block is not None:
        blocks = check_blocks(question.block, shape, question.axis)
    layout = BiasLayout(values, blocks) if values.ndim else BiasLayout(int(values))
    layout.full(shape)  # ValueError if it does not fit
    nearest_db, db = (float(said[key]) for key in _NUMBERS)
    notes = tuple(map(str, said["notes"]))
    return Rounded(np.asarray(codes), layout, nearest_db, db, int(said["rows_kept"]), notes)
