"""Plans: for each tensor of a checkpoint a format and biases, by what all of them cost together."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from cfloat._core.arguments import finite_number, integer
from cfloat._core.format import Format
from cfloat._core.presets import FORMATS, TESLA_FORMATS, as_format
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat._files.checkpoint import Checkpoint, load
from cfloat._files.conversion_plan import Plan
from cfloat._files.paths import shown_path
from cfloat._files.tensor_selection import check_patterns, is_selected
from cfloat._files.transposed_weights import transposed_by_signs
from cfloat._metrics.sqnr import sqnr_db
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError

from .candidates import Candidates, Measuring
from .compression_plan import CompressionPlan, PlannedTensor
from .conclusion import DEFAULT_MIN_DB
from .selection import Problem, Selection, exact_solver, vertices
from .sensitivity import Sensitivity
from .stored_model import copies_of_tied
from .weighing import Measure, Weighing, weighing_of


@public
def plan(
    model: str | os.PathLike[str] | Checkpoint,
    *,
    min_db: float | None = None,
    worst_db: float | None = None,
    size: float | None = None,
    max_bytes: int | None = None,
    formats: Iterable[Format | str] | Format | str = TESLA_FORMATS,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    exact: bool = False,
    activations: Mapping[str, ArrayLike] | str | os.PathLike[str] | None = None,
    sensitivity: Sensitivity | str | os.PathLike[str] | None = None,
    by: Measure | None = None,
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
        The formats that are allowed, of those with a name: by default the whitepaper's four.  An unsigned
        format is for tensors without negative elements.
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
    chosen = _formats(formats)
    selecting = Plan(include=include, exclude=exclude)
    check_patterns(checkpoint, selecting)
    if exact:
        exact_solver()  # refused before the work is done
    weighing = weighing_of(checkpoint, activations, sensitivity, by)
    found, others, copies = _measured(checkpoint, chosen, selecting, weighing, progress)
    if not found:
        raise FileError(f"{shown_path(checkpoint.path)}: nothing to plan: no floating-point tensor")
    return _Choosing(found, others, copies, limit, weighing).run(
        os.fspath(checkpoint.path if isinstance(model, Checkpoint) else model), exact
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
    def largest_error(self) -> float:
        """The largest error that a tensor may have."""
        return math.inf if self.worst_db is None else 10 ** (-self.worst_db / 10)


class _Choosing:
    """The choice among the candidates of all tensors."""

    def __init__(
        self,
        found: list[Candidates],
        others: int,
        copies: dict[str, int],
        limit: _Limit,
        weighing: Weighing,
    ) -> None:
        self._limit = limit
        self._weighing = weighing
        self._others = others
        self._copies = [copies.get(each.name, 1) for each in found]
        self._items = found
        self._allowed = [
            [one for one in each.found if each.is_zero or one.error <= limit.largest_error]
            for each in found
        ]
        self._weights = weighing.weights(found)
        self._before = others + sum(
            n * each.found[0].nbytes for each, n in zip(found, self._copies, strict=True)
        )
        self._nbytes = [
            [n * one.nbytes for one in each]
            for each, n in zip(self._allowed, self._copies, strict=True)
        ]
        self._errors = [
            [weight * one.error for one in each]
            for each, weight in zip(self._allowed, self._weights, strict=True)
        ]

    def run(self, source: str, exact: bool) -> CompressionPlan:
        """Choose, and say what was chosen."""
        by_bytes = Problem(self._nbytes, self._errors)
        selection, gap, unit = self._selected(by_bytes, exact)
        picked = [each[i] for each, i in zip(self._allowed, selection.picks, strict=True)]
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
            nbytes_before=self._before,
            nbytes=self._total(self._nbytes, selection),
            weighted_db=sqnr_db(1.0, math.fsum(_picked(self._errors, selection))),
            worst_db=sqnr_db(1.0, error),
            worst=worst if error > 0 else "",
            bound=self._limit.text,
            gap=gap,
            gap_unit=unit,
            curve=self._curve(by_bytes),
            by=self._weighing.by,
            notes=self._weighing.notes,
        )

    def _total(self, nbytes: list[list[int]], selection: Selection) -> int:
        return self._others + int(sum(_picked(nbytes, selection)))

    def _selected(self, by_bytes: Problem, exact: bool) -> tuple[Selection, float, str]:
        """Choose; and tell how far from the optimum that may be, and in what unit."""
        limit = self._limit
        if limit.size is None and limit.max_bytes is None:
            capacity = 1.0 if limit.min_db is None else 10 ** (-limit.min_db / 10)
            if limit.min_db is None:
                capacity = math.inf
            found = by_bytes.select(capacity, exact)
            # bytes are whole
            return found, max(0.0, found.cost - math.ceil(found.bound - 1e-6)), "bytes"
        if limit.max_bytes is not None:
            most = limit.max_bytes
        else:
            assert limit.size is not None
            most = math.floor(limit.size * self._before)
        least = self._others + sum(map(min, self._nbytes))
        if least > most:
            asked = f"max_bytes is {most}" if limit.size is None else (
                f"size is {limit.size:g}, which is {most} bytes"
            )  # fmt: skip
            bounded = "" if limit.worst_db is None else f" at {limit.worst_db:g} dB for each tensor"
            raise ArgumentValueError(
                f"{asked}; the least{bounded} is {least} bytes, {_above(least / self._before)}x"
            )
        found = Problem(self._errors, self._nbytes).select(most - self._others, exact)
        db, best = sqnr_db(1.0, found.cost), sqnr_db(1.0, max(found.bound, 0.0))
        return found, 0.0 if db == best else best - db, "dB"

    def _curve(self, by_bytes: Problem) -> list[tuple[int, float]]:
        """Give bytes and weighted dB of the vertices of the hulls' common way."""
        return [(self._others + int(nbytes), db) for nbytes, db in vertices(by_bytes)]


def _picked(values: list[list[Any]], selection: Selection) -> list[Any]:
    return [each[i] for each, i in zip(values, selection.picks, strict=True)]


def _above(share: float) -> str:
    """Write a share with four digits behind the point, not below what it is."""
    return f"{math.ceil(share * 1e4) / 1e4:.4f}"


def _measured(
    checkpoint: Checkpoint,
    formats: list[Format],
    selecting: Plan,
    weighing: Weighing,
    progress: Callable[[float, int], None] | None,
) -> tuple[list[Candidates], int, dict[str, int]]:
    """Measure the floating-point tensors; count the bytes of all others, and how often each is stored."""
    transposed, _ = transposed_by_signs(checkpoint)
    measuring = Measuring(checkpoint, formats, transposed)
    tied = checkpoint.tied_names()
    copies = copies_of_tied(checkpoint)
    names = [name for name in checkpoint if name not in tied]
    floats = [name for name in names if checkpoint.is_float(name)]
    others = sum(
        copies.get(name, 1) * checkpoint.stored_nbytes(name)
        for name in names
        if not checkpoint.is_float(name)
    )
    total = sum(math.prod(checkpoint.shape_of(name)) for name in floats)
    found, done = [], 0
    for name in floats:
        reason = weighing.reason_to_leave(name) if is_selected(name, selecting) else "excluded"
        each = measuring.left(name, reason) if reason else weighing.weigh(measuring.measure(name))
        found.append(each)
        done += each.size
        if progress is not None:
            progress(done, total)
    return found, others, copies


def _opened(model: object) -> Checkpoint:
    if isinstance(model, Checkpoint):
        return model
    if not isinstance(model, str | os.PathLike):
        raise ArgumentTypeError(
            f"model is {shown(model)}; it takes a path, or what cfloat.load gives"
        )
    return load(model)


def _formats(formats: Iterable[Format | str] | Format | str) -> list[Format]:
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
        if FORMATS.get(fmt.name) != fmt:
            raise ArgumentValueError(
                f"formats has {shown(fmt)}; a plan's file names formats, which are {', '.join(FORMATS)}"
            )
    return list(dict.fromkeys(chosen))
