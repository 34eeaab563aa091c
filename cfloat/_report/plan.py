"""Plans: for each tensor of a checkpoint a format and biases, by what all of them cost together."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from numpy.typing import ArrayLike

from cfloat._core.arguments import check_choice, finite_number, integer
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import NAMES, TESLA_FORMATS, CFloat8_1_4_3, as_format, namesake
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat._files.checkpoint import Checkpoint, load
from cfloat._files.conversion_plan import Plan
from cfloat._files.fp8 import ScaleLayout
from cfloat._files.paths import shown_path
from cfloat._files.plan_file import EXPORTS, ExportKind
from cfloat._files.tensor_selection import check_patterns, is_selected
from cfloat._files.transposed_weights import transposed_by_signs
from cfloat._metrics.sqnr import sqnr_db
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError

from .candidates import Candidate, Candidates, Measuring, is_zero, left_candidates
from .compression_plan import CompressionPlan, PlannedTensor
from .conclusion import DEFAULT_MIN_DB
from .export_candidates import ExportMeasuring
from .selection import Problem, Selection, exact_solver, vertices
from .sensitivity import Sensitivity
from .stored_model import copies_of_tied
from .tensor_values import batches
from .weighing import Measure, Weighing, weighing_of

# of the work on a tensor whose candidates are compensated, that of measuring it before
_MEASURED_PART: Final = 0.05


@public
@in_default_modes
def plan(
    model: str | os.PathLike[str] | Checkpoint,
    *,
    min_db: float | None = None,
    worst_db: float | None = None,
    size: float | None = None,
    max_bytes: int | None = None,
    formats: Iterable[Format | str] | Format | str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    exact: bool = False,
    activations: Mapping[str, ArrayLike] | str | os.PathLike[str] | None = None,
    sensitivity: Sensitivity | str | os.PathLike[str] | None = None,
    by: Measure | None = None,
    export: ExportKind | None = None,
    compensate: bool = False,
    progress: Callable[[float, int], None] | None = None,
) -> CompressionPlan:
    """Choose a format and biases for each tensor of a checkpoint.

    Of each floating-point tensor, every format is measured with one bias, one a slice of the first axis, and
    one a block of 128 and of 32 elements along what products add up, at the biases of the least squared
    error; and that it stays as it is.  Chosen is what takes the fewest bytes for an error, or has the least
    error for its bytes.

    Parameters
    ----------
    model : str, path-like or Checkpoint
        As in `load`.
    min_db : float, optional
        The least weighted ratio (``CompressionPlan.weighted_db``), in dB; 30 if no bound is given.
    worst_db : float, optional
        The least ratio of any tensor, in dB.
    size : float, optional
        The share of the bytes that the tensors have, above 0, which they may take at most.
    max_bytes : int, optional
        The same as a number of bytes.
    formats : Format, str, or iterable of these, optional
        The formats that are allowed, of those with a name: by default the whitepaper's four, and in an export
        the one that it has, CFloat8_1_4_3.  An unsigned format is for tensors without negative elements.
    include, exclude : sequence of str
        Patterns of `fnmatch` for the names of tensors that may change, all if there are none, and of those
        that may not.
    exact : bool
        Whether to look for the optimum (extra ``plan``); else ``CompressionPlan.gap`` says how far it may be.
    activations : mapping of str to array_like, str or path-like, optional
        Inputs by the names of their weights, or a file of them: of shape (..., n) for a weight of shape
        (m, n), and integers, the rows that are asked for, for an embedding.
    sensitivity : Sensitivity, str or path-like, optional
        What `cfloat.torch.sensitivity` gives, or the file that it was saved in; not beside `activations`.
    by : {"sqnr", "layer", "model"}, optional
        What an error is of: "sqnr", the elements of each tensor; "layer", the outputs of each tensor's
        products, where its inputs are known; "model", by which the weighted error is that of the model's
        output.  By default the last of these that there is all for.
    export : {"fp8"}, optional
        What is to be written in place of codes and biases: 8-bit floats beside scales, as ``cfloat convert
        --export`` does, of the weights of linear layers; all else stays as it is.  There is one scale a
        tensor, one a row or one a block of 128 rows and columns, for all of them alike, whichever is best.
    compensate : bool
        Whether weights whose inputs are known are rounded for their outputs, as `round_compensated` does, and
        not to nearest: each candidate has the error of that, and ``cfloat convert --plan FILE --moments
        FILE`` makes it so.  Takes a sensitivity or activations.
    progress : callable, optional
        Called as ``progress(done, total)`` when `done` of `total` elements are measured.

    Returns
    -------
    CompressionPlan

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is wrong, or no choice is within the bytes: then it says the least that there is.
    FileError
        If the checkpoint or another file cannot be read, has no floating-point tensor, or does not fit the
        sensitivity.
    MissingExtraError
        If `exact` and SciPy is not installed, or it takes PyTorch to read the checkpoint.

    Notes
    -----
    Tensors that are all zero are in no error; they take the fewest bytes.  Those that have infinities or NaN,
    and those that may not change, stay as they are, and count as exact.  Names that are tied are one tensor.

    By "model", so does what the model that was measured does not have.  A tensor without a product, or
    without inputs that are known, goes by its elements, and ``PlannedTensor.measure`` says so.

    With `compensate`, each candidate of a weight is rounded, column by column: weights of many columns take
    long, and one is in memory at a time, in float64.  Embeddings are rounded to nearest, which is best for
    them, and a note says so.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import cfloat as cf
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/model.safetensors"
    >>> x = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    >>> cf.save(path, {"a": x, "b": x[:32] * 2e6})
    >>> made = cf.plan(path, min_db=30)
    >>> [(each.name, each.format, each.granularity) for each in made.tensors]
    [('a', 'CFloat8_1_4_3', 'tensor'), ('b', 'CFloat16_SHP', 'tensor')]
    >>> made.nbytes, made.nbytes_before, round(made.weighted_db, 1)
    (32768, 98304, 33.2)
    >>> folder.cleanup()
    """
    checkpoint = _opened(model)
    limit = _Limit.of(min_db, worst_db, size, max_bytes)
    if export is not None:
        check_choice("export", export, EXPORTS)
    chosen = _formats(formats, export)
    selecting = Plan(include=include, exclude=exclude)
    check_patterns(checkpoint, selecting)
    if exact:
        exact_solver()  # refused before the work is done
    weighing = weighing_of(checkpoint, activations, sensitivity, by, compensate)
    moments = ""
    if compensate and isinstance(sensitivity, str | os.PathLike):
        moments = os.fspath(sensitivity)
    if not any(map(checkpoint.is_float, checkpoint)):
        raise FileError(f"{shown_path(checkpoint.path)}: nothing to plan: no floating-point tensor")
    source = os.fspath(checkpoint.path if isinstance(model, Checkpoint) else model)
    if export is None:
        transposed, notes = transposed_by_signs(checkpoint)
        measuring = Measuring(checkpoint, chosen, transposed)

        def reason(name: str) -> str:
            return "" if is_selected(name, selecting) else "excluded"

        found, others = _measured(checkpoint, reason, measuring.measure, weighing, progress)
        copies = copies_of_tied(checkpoint)
        every = [_Choosing(found, _alone(found), others(copies), copies, limit, weighing)]
        made = _best(every, exact).plan(source)
        return replace(made, notes=(*notes, *made.notes), moments=moments)
    exporting = ExportMeasuring(checkpoint, include, exclude)
    found, others = _measured(
        checkpoint,
        exporting.reason,
        lambda names, _: list(map(exporting.measure, names)),
        weighing,
        progress,
    )
    # an export has a copy under each name
    copies = copies_of_tied(checkpoint, always=True)
    every = []
    for layout in exporting.layouts:
        items, groups = exporting.of_layout(found, layout)
        every.append(_Choosing(items, groups, others(copies), copies, limit, weighing, layout))
    made = _best(every, exact).plan(source)
    return replace(
        made,
        export=export,
        exported_by=exporting.by,
        moments=moments,
        notes=(*made.notes, *exporting.notes),
    )


@dataclass(frozen=True)
class _Limit:
    """What is asked for: bounds of errors, as shares of the signal, and of bytes."""

    min_db: float | None
    worst_db: float | None
    size: float | None
    max_bytes: int | None

    @classmethod
    def of(cls, min_db: Any, worst_db: Any, size: Any, max_bytes: Any) -> "_Limit":
        """Check the arguments of `plan`."""
        if size is not None and max_bytes is not None:
            raise ArgumentValueError("size and max_bytes are both given; one of them at most")
        if min_db is not None and (size is not None or max_bytes is not None):
            name = "size" if size is not None else "max_bytes"
            raise ArgumentValueError(
                f"min_db and {name} are both given; either error or bytes are bounded, and the other is "
                "as small as can be"
            )
        if all(each is None for each in (min_db, worst_db, size, max_bytes)):
            min_db = DEFAULT_MIN_DB
        share = finite_number("size", size)
        if share is not None and share <= 0:
            raise ArgumentValueError(f"size is {share}; it takes a number above 0")
        if max_bytes is not None:
            max_bytes = integer("max_bytes", max_bytes, 0)
        return cls(
            finite_number("min_db", min_db), finite_number("worst_db", worst_db), share, max_bytes
        )

    @property
    def text(self) -> str:
        """What is asked for, in words."""
        parts = []
        if self.min_db is not None:
            parts.append(f"weighted >= {self.min_db:g} dB")
        if self.worst_db is not None:
            parts.append(f"worst >= {self.worst_db:g} dB")
        if self.size is not None:
            parts.append(f"at most {self.size:g}x the bytes")
        if self.max_bytes is not None:
            parts.append(f"at most {self.max_bytes} bytes")
        return ", ".join(parts)

    @property
    def gap_unit(self) -> str:
        """In what the distance from the optimum is: what is to be the least."""
        return "bytes" if self.size is None and self.max_bytes is None else "dB"

    def gap(self, cost: float, bound: float) -> float:
        """Tell how far from the optimum a cost may be, of which no choice has less than a bound."""
        if self.gap_unit == "bytes":
            return max(0.0, cost - math.ceil(bound - 1e-6))  # bytes are whole
        db, best = sqnr_db(1.0, cost), sqnr_db(1.0, max(bound, 0.0))
        return 0.0 if db == best else best - db

    def most(self, before: int) -> int | None:
        """Give the bytes that there may be, of a model of so many; None if they are not bounded."""
        if self.max_bytes is not None:
            return self.max_bytes
        return None if self.size is None else math.floor(self.size * before)

    def refusal(self, most: int, least: int, before: int) -> str:
        """Say that no choice has so few bytes, and the least that there is."""
        asked = f"max_bytes is {most}"
        if self.size is not None:
            asked = f"size is {self.size:g}, which is {most} bytes"
        bounded = "" if self.worst_db is None else f" at {self.worst_db:g} dB for each tensor"
        return f"{asked}; the least{bounded} is {least} bytes, {_above(least / before)}x"

    @property
    def largest_error(self) -> float:
        """The largest error that a tensor may have."""
        return math.inf if self.worst_db is None else 10 ** (-self.worst_db / 10)


class _Choosing:
    """The choice among the candidates of all tensors.

    Parameters
    ----------
    found : list of Candidates
        The tensors.
    groups : list of list of int
        The places of those that are chosen together: for all of them the candidate at the same place.
    others : int
        The bytes of all other tensors.
    copies : dict of str to int
        How often tensors are stored, where that isn't once.
    limit, weighing
        What is asked for, and what errors are of.
    layout : ScaleLayout, optional
        Where the scales of an export lie.
    """

    def __init__(
        self,
        found: list[Candidates],
        groups: list[list[int]],
        others: int,
        copies: dict[str, int],
        limit: _Limit,
        weighing: Weighing,
        layout: ScaleLayout | None = None,
    ) -> None:
        self.limit = limit
        self._weighing = weighing
        self._others = others
        self._copies = [copies.get(each.name, 1) for each in found]
        self._items = found
        self._groups = groups
        self._layout = layout
        #: Of each group, what may be chosen: a candidate for each of its tensors.
        self._allowed = [list(self._options(group)) for group in groups]
        self._weights = weighing.weights(found)
        self.before = others + sum(
            n * each.found[0].nbytes for each, n in zip(found, self._copies, strict=True)
        )
        self._nbytes = [
            [
                sum(self._copies[i] * one.nbytes for i, one in zip(group, option, strict=True))
                for option in options
            ]
            for group, options in zip(groups, self._allowed, strict=True)
        ]
        self._errors = [
            [
                math.fsum(
                    self._weights[i] * one.error for i, one in zip(group, option, strict=True)
                )
                for option in options
            ]
            for group, options in zip(groups, self._allowed, strict=True)
        ]
        self._by_bytes = Problem(self._nbytes, self._errors)
        self.selection = Selection([], math.inf, math.inf)
        self.gap = 0.0

    def _options(self, group: list[int]) -> Iterator[tuple[Candidate, ...]]:
        items = [self._items[i] for i in group]
        for option in zip(*(each.found for each in items), strict=True):
            if all(
                each.is_zero or one.error <= self.limit.largest_error
                for each, one in zip(items, option, strict=True)
            ):
                yield option

    @property
    def least(self) -> int:
        """The least bytes that there can be."""
        return self._others + sum(map(min, self._nbytes))

    def select(self, exact: bool) -> None:
        """Choose, within the bytes that are asked for, of which there are enough."""
        most = self.limit.most(self.before)
        if most is None:
            capacity = math.inf
            if self.limit.min_db is not None:
                capacity = 10 ** (-self.limit.min_db / 10)
            self.selection = self._by_bytes.select(capacity, exact)
            return
        by_errors = Problem(self._errors, self._nbytes)
        self.selection = by_errors.select(most - self._others, exact)

    @property
    def cost(self) -> tuple[float, float]:
        """What is chosen costs: first of what is to be the least, then of the other, bytes or error."""
        other = self._errors if self.limit.most(self.before) is None else self._nbytes
        return self.selection.cost, math.fsum(self._picked(other))

    def plan(self, source: str) -> CompressionPlan:
        """Say what is chosen."""
        picked = [self._items[0].found[0]] * len(self._items)
        chosen = self._picked(self._allowed)
        for group, option in zip(self._groups, chosen, strict=True):
            for i, one in zip(group, option, strict=True):
                picked[i] = one
        counted = [
            (one.error, each.name)
            for one, each in zip(picked, self._items, strict=True)
            if not each.is_zero
        ]
        error, worst = max(counted, default=(0.0, ""), key=lambda pair: pair[0])
        tensors = [
            PlannedTensor(
                name=each.name,
                dtype=each.dtype,
                shape=each.shape,
                format=one.choice.format_name,
                granularity=one.choice.granularity,
                db=sqnr_db(1.0, one.error),
                nbytes_before=each.found[0].nbytes,
                nbytes=one.nbytes,
                reason=each.reason,
                measure=each.measure,
                weight=weight,
            )
            for each, one, weight in zip(self._items, picked, self._weights, strict=True)
        ]
        return CompressionPlan(
            source=source,
            tensors=tensors,
            nbytes_before=self.before,
            nbytes=self._others + int(sum(self._picked(self._nbytes))),
            weighted_db=sqnr_db(1.0, math.fsum(self._picked(self._errors))),
            worst_db=sqnr_db(1.0, error),
            worst=worst if error > 0 else "",
            bound=self.limit.text,
            gap=self.gap,
            gap_unit=self.limit.gap_unit,
            curve=[(self._others + int(n), db) for n, db in vertices(self._by_bytes)],
            by=self._weighing.by,
            notes=self._weighing.notes if self._weighing.by != "sqnr" else (),
            strategy="" if self._layout is None else self._layout.text,
            compensated=self._weighing.compensates,
        )

    def _picked(self, values: list[list[Any]]) -> list[Any]:
        return [each[i] for each, i in zip(values, self.selection.picks, strict=True)]


def _best(every: list[_Choosing], exact: bool) -> _Choosing:
    """Choose in each, and give the best: that there is only one is the rule, an export has several."""
    limit, before = every[0].limit, every[0].before
    most = limit.most(before)
    if most is not None:
        least = min(each.least for each in every)
        if least > most:
            raise ArgumentValueError(limit.refusal(most, least, before))
        every = [each for each in every if each.least <= most]
    for each in every:
        each.select(exact)
    # of equal ones the first
    best = min(every, key=lambda each: each.cost)
    best.gap = limit.gap(best.selection.cost, min(each.selection.bound for each in every))
    return best


def _alone(found: Sequence[Candidates]) -> list[list[int]]:
    return [[i] for i in range(len(found))]


def _above(share: float) -> str:
    """Write a share with four digits behind the point, not below what it is."""
    return f"{math.ceil(share * 1e4) / 1e4:.4f}"


def _measured(
    checkpoint: Checkpoint,
    reason: Callable[[str], str],
    measure: Callable[[Sequence[str], Callable[[int], None]], list[Candidates]],
    weighing: Weighing,
    progress: Callable[[float, int], None] | None,
) -> tuple[list[Candidates], Callable[[dict[str, int]], int]]:
    """Measure the floating-point tensors; and give what counts the bytes of all others, by their copies.

    `reason` says why a tensor has to stay as it is, before it is measured.
    """
    tied = checkpoint.tied_names()
    names = [name for name in checkpoint if name not in tied]
    floats = [name for name in names if checkpoint.is_float(name)]

    def others(copies: dict[str, int]) -> int:
        return sum(
            copies.get(name, 1) * checkpoint.stored_nbytes(name)
            for name in names
            if not checkpoint.is_float(name)
        )

    sizes = {name: math.prod(checkpoint.shape_of(name)) for name in floats}
    total = sum(sizes.values())
    found: dict[str, Candidates] = {}
    finished = 0
    done = 0.0

    def advance(elements: float) -> None:
        nonlocal done
        done += elements
        if progress is not None:
            progress(done, total)

    def finish(made: Sequence[Candidates]) -> None:
        nonlocal done, finished
        found.update((each.name, each) for each in made)
        finished += sum(each.size for each in made)
        done = finished
        advance(0)

    def to_measure() -> Iterator[tuple[str, int]]:
        for name, size in sizes.items():
            why = reason(name) or weighing.reason_to_leave(name)
            if why:
                finish([left_candidates(checkpoint, name, why, is_zero(checkpoint, name))])
            else:
                yield name, size

    # of tensors that are compensated that takes nearly all of the time
    part = _MEASURED_PART if weighing.compensates else 1.0

    def weighed(each: Candidates) -> Candidates:
        return weighing.weigh(each, lambda done: advance((1 - part) * done * each.size))

    for batch in batches(to_measure()):
        finish(list(map(weighed, measure(batch, lambda elements: advance(part * elements)))))
    return [found[name] for name in floats], others


def _opened(model: object) -> Checkpoint:
    if isinstance(model, Checkpoint):
        return model
    if not isinstance(model, str | os.PathLike):
        raise ArgumentTypeError(
            f"model is {shown(model)}; it takes a path, or what cfloat.load gives"
        )
    return load(model)


def _formats(
    formats: Iterable[Format | str] | Format | str | None, export: str | None
) -> list[Format]:
    if formats is None:
        formats = TESLA_FORMATS if export is None else (CFloat8_1_4_3,)
    given: Any = (formats,) if isinstance(formats, Format | str) else formats
    try:
        chosen = [as_format(fmt, "formats") for fmt in given]
    except TypeError:
        if isinstance(given, Iterable):
            raise
        raise ArgumentTypeError(
            f"formats is {shown(formats)}; it takes formats, or their names"
        ) from None
    if not chosen:
        raise ArgumentValueError("formats is empty; it takes at least one format")
    for fmt in chosen:
        if namesake(fmt) != fmt:
            raise ArgumentValueError(
                f"formats has {shown(fmt)}; a plan's file names formats, which are {NAMES}"
            )
        if export is not None and fmt != CFloat8_1_4_3:
            raise ArgumentValueError(
                f"formats has {fmt.name}; an export has {CFloat8_1_4_3.name} alone"
            )
    return list(dict.fromkeys(chosen))
