"""The plan of a checkpoint's compression: what it says of each tensor, in all its forms."""

import json
import os
from dataclasses import asdict, dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Final

from cfloat._core.float_modes import in_default_modes
from cfloat._core.public_names import public
from cfloat._core.text import printable
from cfloat._core.text_table import aligned
from cfloat._files.paths import shown_path
from cfloat._files.plan_file import UNCHANGED, PlanEntry, plan_text
from cfloat._files.replace import write_text
from cfloat._version import __version__

from .figure import draw_plan
from .html_page import plan_page
from .output_error import SQNR
from .plain_data import plain
from .shell_words import joined, typed_option, typed_path
from .weighing import Measure, measures_in_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Lines of the curve, beside the plan's own, and how wide a bar is that stands for all bytes of the source.
_CURVE_LINES: Final = 7
_BAR: Final = 40

# lines of the table of formats; what is in more is summed up
_KINDS: Final = 10


@public
@dataclass(frozen=True)
class PlannedTensor:
    """What a floating-point tensor becomes.

    Attributes
    ----------
    name, dtype : str
        Its name, and its dtype in the file.
    shape : tuple of int
        Its shape.
    format : str
        The format that it becomes, or "unchanged".
    granularity : str
        For what there is a bias: "tensor", "axis 0" (a slice), or "block N" of the last axis; in an export
        for what there is a scale, "block RxC" so many rows and columns; empty if the tensor is unchanged.
    db : float
        Its signal to quantisation noise ratio, in dB; infinite if nothing is lost.
    nbytes_before, nbytes : int
        Its bytes in the file, and those of its codes and biases.
    reason : str
        Why it is unchanged, if there was no choice.
    measure : str
        What `db` is of: "sqnr", the tensor's elements; "output", the outputs of its products with inputs
        that are known, without what the layer adds; or "output, compensated", these of the weight as
        `round_compensated` rounds it.
    weight : float
        What its error counts in the plan's weighted error.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    format: str
    granularity: str
    db: float
    nbytes_before: int
    nbytes: int
    reason: str = ""
    measure: str = SQNR
    weight: float = 0.0


@public
@dataclass(frozen=True)
class CompressionPlan:
    """A plan of what each tensor of a checkpoint becomes: `plan` makes it.

    Attributes
    ----------
    source : str
        The checkpoint's path.
    tensors : list of PlannedTensor
        Its floating-point tensors; all others stay as they are.
    nbytes_before, nbytes : int
        The bytes of all tensors before and after, biases included, without the file's header.
    weighted_db : float
        ``-10 * log10(sum(n * e) / sum(n))`` of the tensors that are not all zero, n the elements of one and e
        the sum of its squared errors over that of its squares, or of its outputs'; infinite if nothing is
        lost.  By "model" ``-10 * log10(sum(g * e))``, g the gain of each: the model's output is expected to
        have that ratio.
    worst_db : float
        The least ratio of any of these tensors, in dB.
    worst : str
        The name of that tensor; empty if nothing is lost.
    bound : str
        What was asked for.
    gap : float
        How far from the optimum the plan may be, in bytes if the error was bounded, or in dB; 0 if it is
        known to be one.
    gap_unit : str
        "bytes" or "dB".
    curve : list of (int, float)
        Bytes and weighted dB on the way from the fewest bytes to the least error, at most 200 of the plans
        that are best for what they take.
    by : str
        What errors are of: "sqnr", "layer" or "model", as `plan` has it.
    notes : tuple of str
        What is not known of the model, what the sensitivity left out, and what readers of exports must know.
    export : str
        What a conversion writes in place of codes and biases, as `plan` has it: "fp8", or nothing else.
    strategy : str
        Where the scales of an export lie: "tensor", "channel" or "block 128x128"; empty if it is none.
    exported_by : str
        Who knew which tensors an export takes.
    compensated : bool
        Whether weights that have moments are rounded by them, as `plan` has it.
    moments : str
        The path of the moments that they are rounded by; empty if they came from no file.
    """

    source: str
    tensors: list[PlannedTensor]
    nbytes_before: int
    nbytes: int
    weighted_db: float
    worst_db: float
    worst: str
    bound: str
    gap: float
    gap_unit: str
    curve: list[tuple[int, float]] = field(repr=False)
    by: Measure = "sqnr"
    notes: tuple[str, ...] = ()
    export: str = ""
    strategy: str = ""
    exported_by: str = ""
    compensated: bool = False
    moments: str = ""

    @in_default_modes
    def to_text(self, path: str | None = None) -> str:
        """Write what is to be known of the plan on one screen.

        Parameters
        ----------
        path : str, optional
            The file that the plan is in.
        """
        return _screen(self, path)

    @in_default_modes
    def to_toml(self) -> str:
        """Write the plan as a TOML file, which ``cfloat convert --plan`` carries out.

        Returns
        -------
        str
            A table ``tensors`` with a line for each: its format, granularity, dB and bytes.
        """
        how = "cfloat convert IN OUT --plan FILE" + " --moments FILE" * self.compensated
        comments = [
            f"A plan for {self.source}, by cfloat {__version__}: {self.bound}.",
            f"{self.nbytes} bytes of {self.nbytes_before}, weighted {self.weighted_db:.2f} dB, worst "
            f"{self.worst_db:.2f} dB.",
        ]
        if self.export:
            comments += [
                f'To be carried out by: {how}.  To be edited: what is "{UNCHANGED}", and then has',
                "no granularity; and strategy, with all granularities.  Nothing reads db and bytes.",
            ]
        else:
            comments += [
                f'To be carried out by: {how}.  To be edited: format (a name, or "{UNCHANGED}")',
                'and granularity ("tensor", "axis K", "block N" or "block N along K-L").  Nothing reads db '
                "and bytes.",
            ]
        if self.by != SQNR:
            comments += [
                'db is of what measure says: "output", of a tensor\'s products, or "sqnr", of its elements.',
                *measures_in_words(self.by, [each.measure for each in self.tensors]),
            ]
        if self.compensated:
            comments.append(
                "compensated = false has all be rounded to nearest, with larger errors than these."
            )
        return plan_text(
            comments,
            (
                PlanEntry(
                    each.name,
                    each.format,
                    each.granularity,
                    each.db,
                    each.nbytes,
                    "" if self.by == SQNR else each.measure,
                )
                for each in self.tensors
            ),
            self.export,
            self.strategy,
            self.compensated,
        )

    @in_default_modes
    def to_json(self) -> str:
        """Write everything as JSON, with null for what is infinite."""
        return json.dumps(self._content(), indent=1, allow_nan=False) + "\n"

    @in_default_modes
    def to_html(self, path: str | None = None) -> str:
        """Make one HTML page of the plan that needs nothing but itself.

        Parameters
        ----------
        path : str, optional
            The file that the plan is in.

        Returns
        -------
        str
            The page: the curve of bytes against error with the plan on it, and a table of the tensors that
            can be sorted and filtered.  It loads nothing from the network.
        """
        said = [*_of_what(self), *_notes(self)]
        return plan_page(self._content() | {"command": _command(self, path), "said": said})

    @in_default_modes
    def plot(self) -> "Figure":
        """Draw the curve of bytes against error, with the plan on it.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed: ``pip install 'cfloat[plot]'``.
        """
        return draw_plan(self._content())

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = plain({"cfloat": __version__} | asdict(self))
        return content

    @in_default_modes
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_toml` into a file.

        Parameters
        ----------
        path : str or path-like
            The file to write, or to replace.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        write_text(path, self.to_toml())

    @in_default_modes
    def __str__(self) -> str:
        return self.to_text()


def _screen(plan: CompressionPlan, path: str | None) -> str:
    """Write a plan: what it is of, what it costs, the curve that it is on, and how it is carried out."""
    blocks = [
        _heading(plan),
        _figures(plan),
        _measures(plan),
        _kinds(plan),
        _curve(plan),
        [_command(plan, path) + ("" if path else "   # after --out plan.toml")],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _command(plan: CompressionPlan, path: str | None) -> str:
    """Give what is to be typed to carry a plan out."""
    source, made = typed_path(plan.source), typed_path(path or "plan.toml")
    words = ["cfloat", "convert", source, "OUT", "--plan", made]
    if plan.compensated:
        words += typed_option("--moments", plan.moments or "MOMENTS")
    return joined([words])


def _heading(plan: CompressionPlan) -> list[str]:
    return [
        f"{shown_path(plan.source)}: {_tensors(len(plan.tensors))} of floating-point numbers, "
        f"{sum(prod(each.shape) for each in plan.tensors):,} elements",
        f"{'least error' if plan.gap_unit == 'dB' else 'fewest bytes'} for: {plan.bound}; {_gap(plan)}",
    ]


def _gap(plan: CompressionPlan) -> str:
    if not plan.gap:
        return "nothing is better"
    if plan.gap_unit == "bytes":
        share = 100 * plan.gap / plan.nbytes
        return f"at most {plan.gap:,.0f} bytes ({share:.2g} %) above the optimum, which --exact looks for"
    return f"at most {plan.gap:.2g} dB below the optimum, which --exact looks for"


def _figures(plan: CompressionPlan) -> list[str]:
    ratio = plan.nbytes / plan.nbytes_before if plan.nbytes_before else 1.0
    worst = "" if not plan.worst else f"   {printable(plan.worst)}"
    return [
        f"bytes     {plan.nbytes_before:,} -> {plan.nbytes:,}   {ratio:.3f}x",
        f"weighted  {_db(plan.weighted_db)}",
        f"worst     {_db(plan.worst_db)}{worst}",
    ]


def _of_what(plan: CompressionPlan) -> list[str]:
    """Say what errors are of."""
    return measures_in_words(plan.by, [each.measure for each in plan.tensors])


def _notes(plan: CompressionPlan) -> list[str]:
    return [f"note: {printable(note)}" for note in plan.notes]


def _measures(plan: CompressionPlan) -> list[str]:
    lines = _of_what(plan)
    if plan.export:
        lines.append(
            f"export {plan.export}, {_biases(plan.strategy, 'scale')}; linear layers "
            f"{printable(plan.exported_by)}"
        )
        if all(each.format == UNCHANGED for each in plan.tensors):
            lines.append("note: no layer keeps the bound: there is nothing to export")
    return lines + _notes(plan)


def _kinds(plan: CompressionPlan) -> list[str]:
    """Count the tensors by what becomes of them."""
    found: dict[tuple[str, str], list[int]] = {}
    for each in plan.tensors:
        what = "scale" if plan.export else "bias"
        counts = found.setdefault((each.format, _biases(each.granularity, what)), [0] * 3)
        counts[0] += 1
        counts[1] += prod(each.shape)
        counts[2] += each.nbytes
    ordered = sorted(found.items(), key=lambda pair: (-pair[1][2], pair[0]))
    rows = [
        [name, how, *(f"{count:,}" for count in counts)] for (name, how), counts in ordered[:_KINDS]
    ]
    if rest := ordered[_KINDS:]:
        sums = [sum(counts[i] for _, counts in rest) for i in range(3)]
        rows.append([f"{len(rest)} others", "", *(f"{count:,}" for count in sums)])
    heading = ["format", "scales" if plan.export else "biases", "tensors", "elements", "bytes"]
    lines = aligned([heading, *rows], right=(2, 3, 4))
    reasons: dict[str, int] = {}
    for each in plan.tensors:
        if each.reason:
            reasons[each.reason] = reasons.get(each.reason, 0) + 1
    lines += [f"unchanged: {_tensors(count)}: {reason}" for reason, count in reasons.items()]
    return lines


def _biases(granularity: str, what: str = "bias") -> str:
    """Say for what there is a bias, or a scale, in words."""
    kind, _, number = granularity.partition(" ")
    of = {"axis": f"slice of axis {number}", "block": f"block of {number}", "channel": "row"}
    if what == "scale":
        of["axis"] = "row"
    return f"one {what} a {of.get(kind, kind)}" if kind else ""


def _curve(plan: CompressionPlan) -> list[str]:
    """Show some points of the curve, evenly by bytes, and where the plan is."""
    points = [point for point in plan.curve if point[0] != plan.nbytes]
    least, most = (points[0][0], points[-1][0]) if points else (0, 0)
    wanted = [least + (most - least) * i / (_CURVE_LINES - 1) for i in range(_CURVE_LINES)]
    nearest = {min(points, key=lambda point: abs(point[0] - n)) for n in wanted if points}
    shown = [(nbytes, db, " ") for nbytes, db in nearest]
    shown.append((plan.nbytes, plan.weighted_db, ">"))
    before = max(1, plan.nbytes_before)
    rows = [
        [
            f"{mark} {nbytes / before:.3f}x",
            f"{nbytes:,}",
            _db(db),
            "#" * round(_BAR * nbytes / before),
        ]
        for nbytes, db, mark in sorted(shown)
    ]
    return aligned([["", "bytes", "weighted", ""], *rows], right=(0, 1, 2))


def _db(value: float) -> str:
    return "exact" if value == float("inf") else f"{value:.2f} dB"


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count:,} tensors"
