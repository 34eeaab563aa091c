"""What a conversion of a checkpoint did."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from cfloat._core.flags import Flags

from .names_by_reason import by_kept, by_reason, in_one_line


class Compensated(NamedTuple):
    """What rounding by moments came to: the outputs' signal to noise ratio, by these, in dB."""

    nearest_db: float
    db: float


@dataclass
class Summary:
    """What a conversion did.

    Attributes
    ----------
    converted, copied : list of str
        Names of the tensors that were converted, and that were copied byte for byte.
    bytes_in, bytes_out : int
        Bytes of the tensors as they were, and of the files written.
    elements : int
        Elements that were converted.
    flags : Flags
        Counts of elements: ``overflow`` were too large, ``underflow`` too small to be exact, and
        ``invalid`` NaN or, in an unsigned format, negative.
    recoded, changed : int
        In an export, elements whose codes another code stands for, and of those the ones whose value is
        another.
    seed : int or None
        Of stochastic rounding.
    files : list of Path
        The files written.
    companions : list of str
        Files of a model's folder that were copied with it.
    left : dict of str to str
        Those that were not, and why.
    exported_by : str
        In an export, how it was known what to export.
    in_float : dict of str to str
        In an export, tensors of two axes or more that are in full precision, and why.
    unreadable : dict of str to str
        What the source has that is no tensor which can be written, and why: it is left out.
    tied : dict of str to str
        Names of tensors that are stored under another name, and that name.
    compensated : dict of str to Compensated
        Tensors that were rounded by the moments of their products' inputs.
    to_nearest : dict of str to str
        Where there are moments, tensors that were rounded to nearest nevertheless, and why.
    moments_notes : dict of str to str
        What is to know of the rounding of compensated ones.
    notes : list of str
        What a user must know, or do.
    """

    converted: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0
    elements: int = 0
    flags: Flags = field(default_factory=Flags)
    recoded: int = 0
    changed: int = 0
    seed: int | None = None
    files: list[Path] = field(default_factory=list)
    companions: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    exported_by: str = ""
    in_float: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    compensated: dict[str, Compensated] = field(default_factory=dict)
    to_nearest: dict[str, str] = field(default_factory=dict)
    moments_notes: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, other: "Summary") -> None:
        """Add what was done to other tensors, or to other parts of one."""
        self.converted += other.converted
        self.copied += other.copied
        self.elements += other.elements
        self.flags.add(other.flags)
        self.recoded += other.recoded
        self.changed += other.changed
        self.compensated |= other.compensated
        self.to_nearest |= other.to_nearest
        self.moments_notes |= other.moments_notes

    @property
    def gains_db(self) -> Sequence[float]:
        """What compensated tensors gained over rounding to nearest, in dB: those that have finite outputs."""
        gains = [each.db - each.nearest_db for each in self.compensated.values()]
        return [each for each in gains if not math.isnan(each)]

    def to_text(self) -> str:
        """Write the summary in a few lines."""
        ratio = self.bytes_in / self.bytes_out if self.bytes_out else float("nan")
        lines = [
            f"{len(self.converted)} tensors converted, {len(self.copied)} copied",
            f"{self.bytes_in} bytes of tensors in, {self.bytes_out} bytes out, ratio {ratio:.2f}",
        ]
        if self.flags:
            lines.append(
                f"of {self.elements} elements: {self.flags.overflow} too large, {self.flags.underflow} too "
                f"small to be exact, {self.flags.invalid} invalid"
            )
        if self.recoded:
            lines.append(
                f"{self.recoded} codes changed, and {self.changed} of the values with them"
            )
        lines += self._of_moments()
        if self.seed is not None:
            lines.append(f"seed {self.seed}")
        if self.exported_by:
            lines.append(f"linear layers {self.exported_by}")
        lines += [f"in float: {names}: {reason}" for reason, names in by_reason(self.in_float)]
        if self.companions:
            plural = "s" if len(self.companions) > 1 else ""
            lines.append(f"{len(self.companions)} other file{plural} copied")
        lines += [f"{files} not copied: {reason}" for reason, files in by_reason(self.left)]
        if self.tied:
            lines.append(f"tied, and stored once: {by_kept(self.tied)}")
        if self.unreadable:
            lines.append(f"{len(self.unreadable)} left out: {in_one_line(self.unreadable)}")
        lines += self.notes
        return "\n".join(lines)

    def _of_moments(self) -> list[str]:
        """Say what moments were for, in three lines at most; nothing without any."""
        lines = []
        gains, count = self.gains_db, len(self.compensated)
        if count:
            said = f"{count} tensor{'s' if count > 1 else ''} compensated"
            if gains:
                said += f", by moments {median(gains):.1f} dB better in the median, {min(gains):.1f} at least"
            if len(gains) < count:
                said += f"; of {count - len(gains)} outputs are beyond float64, and gains not known"
            lines.append(said)
        if self.to_nearest:
            lines.append(f"to nearest: {in_one_line(self.to_nearest)}")
        if self.moments_notes:
            lines.append(f"compensated: {in_one_line(self.moments_notes)}")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Give all of it as what JSON takes."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        flags = {name: getattr(self.flags, name) for name in ("overflow", "underflow", "invalid")}
        # JSON has no infinity
        said["compensated"] = {
            name: {key: _plain(db) for key, db in found._asdict().items()}
            for name, found in self.compensated.items()
        }
        gains = self.gains_db
        said["gained_db"] = (
            {"median": _plain(median(gains)), "least": _plain(min(gains))} if gains else None
        )
        return said | {"files": [os.fspath(path) for path in self.files], "flags": flags}


def _plain(db: float) -> float | None:
    return db if math.isfinite(db) else None
