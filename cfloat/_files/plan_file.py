"""A plan's file: what each tensor of a checkpoint is to become, in TOML that people read and edit.

``version`` is 1, and ``tensors`` a table with one entry a tensor: ``format``, the name of a format or
"unchanged"; ``granularity``, which is "tensor" (one bias), "axis K" (one a slice), "block N" (one for so many
elements of the last axis), "block N along K" or "block N along K-L" (of another axis, or of the axes K to L
as one); and ``db`` and ``bytes``, which were measured and which nothing reads.
"""

import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cfloat._bias.bias_layout import along_text, axes_of_text
from cfloat._core.format import Format
from cfloat._core.presets import FORMATS
from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError

from .file_errors import refusing_damage
from .paths import shown_path
from .strict_json import MAX_BYTES

VERSION: Final = 1

#: What a plan says, in place of a format, of a tensor that stays as it is.
UNCHANGED: Final = "unchanged"

_GRANULARITIES: Final = '"tensor", "axis K", "block N" or "block N along K-L"'
_KEYS: Final = ("format", "granularity", "db", "bytes")


@dataclass(frozen=True)
class TensorChoice:
    """What a tensor is to become.

    Attributes
    ----------
    format : Format or None
        The format; None if it stays as it is.
    axis : int, tuple of int or None
        One bias a slice along an axis; or with `block` what blocks run along, counted from the first.
    block : int or None
        One bias for so many elements of the last axis, or of `axis`.
    where : str
        Where that is said, for a message.
    """

    format: Format | None
    axis: int | tuple[int, ...] | None = None
    block: int | None = None
    where: str = field(default="the plan", compare=False)

    @property
    def format_name(self) -> str:
        """The format as a plan's file names it."""
        return UNCHANGED if self.format is None else self.format.name

    @property
    def granularity(self) -> str:
        """For what there is a bias, as a plan's file says it; empty for what stays as it is."""
        if self.format is None:
            return ""
        if self.block is not None:
            return f"block {self.block}" + (
                f" along {along_text(axes)}" if (axes := self.axes) else ""
            )
        return "tensor" if self.axis is None else f"axis {self.axis}"

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes that are named, if any are."""
        if self.axis is None:
            return ()
        return self.axis if isinstance(self.axis, tuple) else (self.axis,)

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Refuse a granularity that a tensor of a shape does not have: FileError."""
        if self.axis is not None and not (len(shape) > 1 and self.axes[-1] < len(shape)):
            takes = f"an axis from 0 to {len(shape) - 1}" if len(shape) > 1 else "no axis"
        elif self.block is not None and not shape:
            takes = "no blocks"
        else:
            return
        raise FileError(
            f"{self.where}: {shown(name)}: granularity is {shown(self.granularity)}; a tensor of shape "
            f"{shape} takes {takes}"
        )


@dataclass(frozen=True)
class PlanEntry:
    """What a plan's file has of a tensor: what it becomes, by name, and what that costs."""

    name: str
    format: str
    granularity: str
    db: float
    nbytes: int


def plan_text(comments: Iterable[str], entries: Iterable[PlanEntry]) -> str:
    """Write a plan's file.

    Parameters
    ----------
    comments : iterable of str
        Lines to begin with.
    entries : iterable of PlanEntry
        The tensors.
    """
    lines = [f"# {printable(comment)}".rstrip() for comment in comments]
    lines += ["", f"version = {VERSION}", "", "[tensors]"]
    for each in entries:
        said = [f"format = {toml_string(each.format)}"]
        if each.format != UNCHANGED:
            said.append(f"granularity = {toml_string(each.granularity)}")
            said.append(f"db = {each.db:.2f}" if math.isfinite(each.db) else f"db = {each.db}")
        said.append(f"bytes = {each.nbytes}")
        lines.append(f"{toml_string(each.name)} = {{ {', '.join(said)} }}")
    return "\n".join(lines) + "\n"


def toml_string(text: str) -> str:
    r"""Write a string of TOML in one line; what is not printable as an escape, so that it commands nothing.

    Examples
    --------
    >>> print(toml_string('a "b"\n'))
    "a \"b\"\u000A"
    """

    def escaped(char: str) -> str:
        if char in '"\\':
            return "\\" + char
        if char.isprintable():
            return char
        return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"

    return f'"{"".join(map(escaped, text))}"'


def read_plan(path: str | os.PathLike[str]) -> dict[str, TensorChoice]:
    """Read a plan's file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    dict of str to TensorChoice
        What it says of each tensor, in its order.

    Raises
    ------
    FileError
        If it cannot be read, is no TOML, or says what is not known here: with the line, if it is known.
    """
    with refusing_damage(Path(path)):
        with open(path, "rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise FileError(f"{shown_path(path)}: a plan takes at most {MAX_BYTES} bytes")
        try:
            text = raw.decode("utf-8")
            content = tomllib.loads(text)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise FileError(f"{shown_path(path)}: no TOML: {printable(str(error))}") from None
    file = shown_path(path)
    for key in content:
        if key not in ("version", "tensors"):
            raise FileError(f"{file}: {shown(key)} is not known; a plan has version and tensors")
    if type(content.get("version")) is not int or content["version"] != VERSION:
        said = shown(content["version"]) if "version" in content else "missing"
        raise FileError(f"{file}: version is {said}; this cfloat reads version {VERSION}")
    tensors = content.get("tensors")
    if not isinstance(tensors, dict):
        said = "missing" if tensors is None else shown(tensors)
        raise FileError(f"{file}: tensors is {said}; it takes a table of one entry a tensor")
    lines = _lines(text)
    places = {name: f"{file}:{lines[name]}" if name in lines else file for name in tensors}
    return {name: _choice(name, said, places[name]) for name, said in tensors.items()}


def _lines(text: str) -> dict[str, int]:
    """Find the line of each tensor's entry: one that is TOML by itself, or a table's heading."""
    found: dict[str, int] = {}
    is_inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if not re.match(r"\s*[\[\"'\w-]", line):
            continue
        try:
            said = tomllib.loads(line)
        except (tomllib.TOMLDecodeError, RecursionError):
            continue
        inner = said.get("tensors")
        is_heading = line.lstrip().startswith("[")
        is_inside |= is_heading
        if is_heading and isinstance(inner, dict):
            said = inner
        for name in said if is_inside else ():
            found.setdefault(name, number)
    return found


def _choice(name: str, said: Any, where: str) -> TensorChoice:
    what = f"{where}: {shown(name)}"
    if not isinstance(said, dict):
        raise FileError(f"{what} is {shown(said)}; it takes a table, as {{ format = ... }}")
    _check_types(what, said)
    fmt = said["format"]
    if fmt != UNCHANGED and fmt not in FORMATS:
        raise FileError(
            f"{what}: format is {shown(fmt)}; it takes {UNCHANGED} or one of {', '.join(FORMATS)}"
        )
    if fmt == UNCHANGED:
        if "granularity" in said:
            raise FileError(f"{what}: granularity is for codes, and the tensor stays {UNCHANGED}")
        return TensorChoice(None, where=where)
    if "granularity" not in said:
        raise FileError(f"{what}: there is no granularity; it takes {_GRANULARITIES}")
    axis, block = _parts(what, said["granularity"])
    return TensorChoice(FORMATS[fmt], axis, block, where)


def _check_types(what: str, said: Mapping[str, Any]) -> None:
    for key, value in said.items():
        if key not in _KEYS:
            raise FileError(f"{what}: {shown(key)} is not known; the keys are {', '.join(_KEYS)}")
        is_right = {
            "format": isinstance(value, str),
            "granularity": isinstance(value, str),
            "db": isinstance(value, int | float) and not isinstance(value, bool),
            "bytes": type(value) is int,
        }
        if not is_right[key]:
            takes = {"db": "a number", "bytes": "an integer"}.get(key, "a string")
            raise FileError(f"{what}: {key} is {shown(value)}; it takes {takes}")
    if "format" not in said:
        raise FileError(f"{what}: there is no format")


def _parts(what: str, granularity: str) -> tuple[int | tuple[int, ...] | None, int | None]:
    """Give the axis and the block that a granularity stands for."""
    if granularity == "tensor":
        return None, None
    # not more digits than any tensor has elements
    number = "(0|[1-9][0-9]{0,17})"
    slices = re.fullmatch(f"axis {number}", granularity)
    if slices is not None:
        return int(slices[1]), None
    match = re.fullmatch(f"block {number}(?: along ([0-9]+(?:-[0-9]+)?))?", granularity)
    axes = None if match is None or match[2] is None else axes_of_text(match[2])
    if match is None or int(match[1]) == 0 or axes == ():
        raise FileError(f"{what}: granularity is {shown(granularity)}; it takes {_GRANULARITIES}")
    return axes, int(match[1])


def check_choices(tensors: object) -> None:
    """Refuse what is no mapping from names to choices."""
    if not isinstance(tensors, Mapping):
        raise ArgumentTypeError(f"tensors is {shown(tensors)}; it takes a mapping of choices")
    for name, choice in tensors.items():
        if not isinstance(choice, TensorChoice):
            raise ArgumentTypeError(f"tensors[{shown(name)}] is {shown(choice)}; it takes a choice")
    if not tensors:
        raise ArgumentValueError("tensors is empty; a plan has one entry a tensor")
