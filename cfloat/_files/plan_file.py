"""A plan's file: what each tensor of a checkpoint is to become, in TOML that people read and edit.

``version`` is 1, and ``tensors`` a table with one entry a tensor: ``format``, the name of a format or
"unchanged"; ``granularity``, which is "tensor" (one bias), "axis K" (one a slice), "block N" (one for so many
elements of the last axis), "block N along K" or "block N along K-L" (of another axis, or of the axes K to L
as one); and ``db``, ``measure``, which says what that is of, and ``bytes``, which were measured and which
nothing reads.

A plan whose errors are those of weights that `round_compensated` rounds has ``compensated``, which is true,
beside ``version``: it takes their moments to carry it out.

A plan of an export has ``export``, which is "fp8", and ``strategy`` beside ``version``: where all of its
scales lie, "tensor", "channel" or "block RxC".  What is exported has the format "CFloat8_1_4_3" and the
granularity that goes with it, "tensor", "axis 0" or "block RxC".
"""

import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from cfloat._bias.bias_layout import along_text, axes_of_text
from cfloat._core.format import Format
from cfloat._core.presets import NAMES, find_format
from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError, FormatError

from . import fp8
from .file_errors import refusing_damage
from .paths import shown_path
from .strict_json import MAX_BYTES

VERSION: Final = 1

#: What a plan says, in place of a format, of a tensor that stays as it is.
UNCHANGED: Final = "unchanged"

#: What an export may be.
ExportKind: TypeAlias = Literal["fp8"]
EXPORTS: Final[tuple[ExportKind, ...]] = get_args(ExportKind)

_GRANULARITIES: Final = '"tensor", "axis K", "block N" or "block N along K-L"'
_STRATEGIES: Final = '"tensor", "channel" or "block RxC"'
_KEYS: Final = ("format", "granularity", "db", "measure", "bytes")
_TOP_KEYS: Final = ("version", "export", "strategy", "compensated", "tensors")


@dataclass(frozen=True)
class TensorChoice:
    """What a tensor is to become.

    Attributes
    ----------
    format : Format or None
        The format; None if it stays as it is.
    axis : int, tuple of int or None
        One bias a slice along an axis; or with `block` what blocks run along, counted from the first.
    block : int, (int, int) or None
        One bias for so many elements of the last axis, or of `axis`; or in an export, one scale for so many
        rows and columns.
    is_exported : bool
        Whether it is of a plan of an export: codes are those of 8-bit floats, beside scales.
    where : str
        Where that is said, for a message.
    """

    format: Format | None
    axis: int | tuple[int, ...] | None = None
    block: int | tuple[int, int] | None = None
    is_exported: bool = False
    where: str = field(default="the plan", compare=False)

    @classmethod
    def in_export(cls, layout: fp8.ScaleLayout | None, where: str = "the plan") -> "TensorChoice":
        """Choose 8-bit floats with scales that lie so; or None, to leave a tensor as it is in an export."""
        if layout is None:
            return cls(None, is_exported=True, where=where)
        return cls(fp8.EXPORTED, layout.axis, layout.block, True, where)

    @property
    def layout(self) -> fp8.ScaleLayout | None:
        """Where the scales lie of what is exported; None for what stays as it is."""
        if self.format is None:
            return None
        if isinstance(self.block, tuple):
            return fp8.ScaleLayout("block", self.block)
        return fp8.ScaleLayout("tensor" if self.axis is None else "channel")

    @property
    def format_name(self) -> str:
        """The format as a plan's file names it."""
        return UNCHANGED if self.format is None else self.format.name

    @property
    def granularity(self) -> str:
        """For what there is a bias, as a plan's file says it; empty for what stays as it is."""
        if self.format is None:
            return ""
        if isinstance(self.block, tuple):
            return f"block {self.block[0]}x{self.block[1]}"
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
        elif isinstance(self.block, tuple) and len(shape) != 2:
            takes = "no blocks of rows and columns"
        else:
            return
        raise FileError(
            f"{self.where}: {shown(name)}: granularity is {shown(self.granularity)}; a tensor of shape "
            f"{shape} takes {takes}"
        )


@dataclass(frozen=True)
class PlanEntry:
    """What a plan's file has of a tensor: what it becomes, by name, what that costs, and what `db` is of."""

    name: str
    format: str
    granularity: str
    db: float
    nbytes: int
    measure: str = ""


def plan_text(
    comments: Iterable[str],
    entries: Iterable[PlanEntry],
    export: str = "",
    strategy: str = "",
    compensated: bool = False,
) -> str:
    """Write a plan's file.

    Parameters
    ----------
    comments : iterable of str
        Lines to begin with.
    entries : iterable of PlanEntry
        The tensors.
    export, strategy : str
        Of which export it is, and where its scales lie; empty if it is of none.
    compensated : bool
        Whether weights are rounded by moments.
    """
    lines = [f"# {printable(comment)}".rstrip() for comment in comments]
    lines += ["", f"version = {VERSION}"]
    if export:
        lines += [f"export = {toml_string(export)}", f"strategy = {toml_string(strategy)}"]
    if compensated:
        lines.append("compensated = true")
    lines += ["", "[tensors]"]
    for each in entries:
        said = [f"format = {toml_string(each.format)}"]
        if each.format != UNCHANGED:
            said.append(f"granularity = {toml_string(each.granularity)}")
            said.append(f"db = {each.db:.2f}" if math.isfinite(each.db) else f"db = {each.db}")
            if each.measure:
                said.append(f"measure = {toml_string(each.measure)}")
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


def read_plan(
    path: str | os.PathLike[str], *, compensates: bool = False
) -> dict[str, TensorChoice]:
    """Read a plan's file.

    Parameters
    ----------
    path : str or path-like
        The file.
    compensates : bool
        Whether weights are to be rounded by moments: without, a plan that was made for that is refused.

    Returns
    -------
    dict of str to TensorChoice
        What it says of each tensor, in its order.

    Raises
    ------
    FileError
        If it cannot be read, is no TOML, or says what is not known here: with the line, if it is known; or if
        it takes moments, and there are none.
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
        if key not in _TOP_KEYS:
            raise FileError(
                f"{file}: {shown(key)} is not known; a plan has version and tensors, if it is of an export, "
                "export and strategy, and if weights are rounded by moments, compensated"
            )
    if type(content.get("version")) is not int or content["version"] != VERSION:
        said = shown(content["version"]) if "version" in content else "missing"
        raise FileError(f"{file}: version is {said}; this cfloat reads version {VERSION}")
    tensors = content.get("tensors")
    if not isinstance(tensors, dict):
        said = "missing" if tensors is None else shown(tensors)
        raise FileError(f"{file}: tensors is {said}; it takes a table of one entry a tensor")
    _check_compensated(content, file, text, compensates)
    layout = _layout(content, file, text)
    lines = _lines(text)
    places = {name: f"{file}:{lines[name]}" if name in lines else file for name in tensors}
    return {name: _choice(name, said, places[name], layout) for name, said in tensors.items()}


def _check_compensated(content: Mapping[str, Any], file: str, text: str, compensates: bool) -> None:
    """Refuse a plan for weights that are rounded by moments where there are none."""
    said = content.get("compensated", False)
    place = f"{file}:{_line_of('compensated', text)}"
    if not isinstance(said, bool):
        raise FileError(f"{place}: compensated is {shown(said)}; it takes true or false")
    if said and not compensates:
        raise FileError(
            f"{place}: compensated is true: the plan is of weights that are rounded by moments, and none are "
            "given; false has them rounded to nearest, with larger errors than it says"
        )


def _layout(content: Mapping[str, Any], file: str, text: str) -> fp8.ScaleLayout | None:
    """Read where the scales of an export lie; None if a plan is of none."""
    for key in (key for key in ("export", "strategy") if key in content):
        value, place = content[key], f"{file}:{_line_of(key, text)}"
        if key == "export" and value not in EXPORTS:
            raise FileError(f"{place}: export is {shown(value)}; it takes {', '.join(EXPORTS)}")
        if key == "strategy" and "export" not in content:
            raise FileError(f"{place}: strategy is of an export, and there is no export")
    if "export" not in content:
        return None
    said = content.get("strategy")
    layout = fp8.ScaleLayout.of_text(said) if isinstance(said, str) else None
    if layout is None:
        what = f"is {shown(said)}" if "strategy" in content else "is missing"
        number = _line_of("strategy" if "strategy" in content else "export", text)
        raise FileError(f"{file}:{number}: strategy {what}; an export takes {_STRATEGIES}")
    return layout


def _line_of(key: str, text: str) -> int:
    """Find the line of a key that stands before all tables."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"\s*[\"']?{key}[\"']?\s*=", line):
            return number
    return 1


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


def _choice(name: str, said: Any, where: str, layout: fp8.ScaleLayout | None) -> TensorChoice:
    what = f"{where}: {shown(name)}"
    if not isinstance(said, dict):
        raise FileError(f"{what} is {shown(said)}; it takes a table, as {{ format = ... }}")
    _check_types(what, said)
    given = said["format"]
    if given == UNCHANGED:
        if "granularity" in said:
            raise FileError(f"{what}: granularity is for codes, and the tensor stays {UNCHANGED}")
        return TensorChoice(None, is_exported=layout is not None, where=where)
    if "granularity" not in said:
        raise FileError(f"{what}: there is no granularity; it takes {_GRANULARITIES}")
    fmt = _format(what, given)
    if layout is not None:
        choice = TensorChoice.in_export(layout, where)
        if fmt.name != choice.format_name:
            raise FileError(
                f"{what}: format is {shown(given)}; an export takes {UNCHANGED} or {choice.format_name}"
            )
        if said["granularity"] != choice.granularity:
            raise FileError(
                f"{what}: granularity is {shown(said['granularity'])}; with the strategy {layout.text} it is "
                f"{shown(choice.granularity)} for all that an export changes"
            )
        return choice
    axis, block = granularity_parts(what, said["granularity"])
    return TensorChoice(fmt, axis, block, where=where)


def _format(what: str, name: str) -> Format:
    try:
        found = find_format(name)
    except FormatError as error:
        raise FileError(f"{what}: {error}") from None
    if found is None:
        raise FileError(f"{what}: format is {shown(name)}; it takes {UNCHANGED} or one of {NAMES}")
    return found


def _check_types(what: str, said: Mapping[str, Any]) -> None:
    for key, value in said.items():
        if key not in _KEYS:
            raise FileError(f"{what}: {shown(key)} is not known; the keys are {', '.join(_KEYS)}")
        is_right = {
            "format": isinstance(value, str),
            "granularity": isinstance(value, str),
            "measure": isinstance(value, str),
            "db": isinstance(value, int | float) and not isinstance(value, bool),
            "bytes": type(value) is int,
        }
        if not is_right[key]:
            takes = {"db": "a number", "bytes": "an integer"}.get(key, "a string")
            raise FileError(f"{what}: {key} is {shown(value)}; it takes {takes}")
    if "format" not in said:
        raise FileError(f"{what}: there is no format")


def granularity_parts(
    what: str, granularity: str
) -> tuple[int | tuple[int, ...] | None, int | None]:
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


def layout_of(tensors: Mapping[str, TensorChoice]) -> fp8.ScaleLayout | None:
    """Find where the scales of a plan of an export lie, which is the same for all; None if it is of none.

    Raises
    ------
    ArgumentValueError
        If some choices are of an export and others not, or not all scales lie alike.
    """
    kinds = {choice.is_exported for choice in tensors.values()}
    if kinds != {True}:
        if kinds == {False}:
            return None
        raise ArgumentValueError("tensors has choices of an export, and others that are of none")
    layouts = {
        (choice.format, choice.axis, choice.block): choice.layout
        for choice in tensors.values()
        if choice.format is not None
    }
    found = [layout for layout in layouts.values() if layout is not None]
    if not found:
        return fp8.ScaleLayout()
    for fmt, axis, block in layouts:
        if TensorChoice(fmt, axis, block, True) != TensorChoice.in_export(found[0]):
            raise ArgumentValueError(
                "tensors has choices that no export makes: all are CFloat8_1_4_3 with ieee subnormals, and "
                "their scales lie alike, one a tensor, one a row or one a block of rows and columns"
            )
    return found[0]
