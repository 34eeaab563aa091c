"""Error reports: what each format costs on each of a set of tensors."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from .bias import best_bias
from .codec import round_to
from .errors import ArgumentTypeError, ArgumentValueError, FileError
from .flags import quiet
from .formats import COMPARISON_FORMATS, TESLA_FORMATS, Format, check_format
from .magnitudes import pieces
from .metrics import ErrorStats, error
from .text import printable, shown

Array = NDArray[Any]

#: The formats compared unless others are named.
DEFAULT_FORMATS = (*TESLA_FORMATS, *COMPARISON_FORMATS)

#: Headings of the table, one for each cell of `Report.table_rows`: short, so that it fits 80 columns.
TABLE_HEADINGS = (
    "format", "bias", "SQNR", "MSE", "max abs", "max rel", "cosine", "sat", "zero", "den", "ieee",
)  # fmt: skip

LEGEND = """\
bias   exponent bias: of all that there are, that of the least squared error
SQNR   signal to quantisation noise ratio, dB
max abs, max rel   largest absolute and relative error
sat, zero, den   elements beyond the largest value, made zero, made denormal, %
ieee   SQNR that ieee denormals would add, each reading at its best bias, dB"""

SUMMARY_HEADINGS = ("format", "tensors", "median dB", "worst dB", "worst tensor")
DENORMAL_TITLE = "What the whitepaper's denormals cost in SQNR, against ieee ones"
DENORMAL_HEADINGS = ("format", "at its bias", "median dB", "worst dB", "worst tensor")
SKIPPED_HEADINGS = ("tensor", "reason")

#: Headings of columns that hold text, and are aligned to the left.
TEXT_HEADINGS = ("format", "worst tensor", "tensor", "reason", "at its bias")


@dataclass(frozen=True)
class DenormalCost:
    """What the whitepaper's reading of a denormal costs a tensor (SPEC section 2).

    Attributes
    ----------
    ieee_bias : int
        The bias with the least squared error under the ieee reading.
    ieee_sqnr_db : float
        The SQNR there, in dB.
    gain_db : float
        How much that is above the whitepaper reading's at its own best bias, in dB.
    default_gain_db : float
        The same with the format's default bias for both, in dB.
    """

    ieee_bias: int
    ieee_sqnr_db: float
    gain_db: float
    default_gain_db: float


@dataclass(frozen=True)
class ReportRow:
    """One tensor rounded to one format.

    Attributes
    ----------
    tensor : str
        Name of the tensor.
    shape : tuple of int
        Its shape.
    dtype : str
        Its dtype before rounding.
    format : str
        Name of the format, with its reading of a denormal where several formats have that name.
    subnormals : str
        The format's reading of a denormal.
    bias : int
        The exponent bias: of all that the format allows, the one with the least squared error.
    stats : ErrorStats
        The errors.
    denormals : DenormalCost or None
        What the whitepaper's reading costs, for a format that has it; None for others.
    """

    tensor: str
    shape: tuple[int, ...]
    dtype: str
    format: str
    subnormals: str
    bias: int
    stats: ErrorStats
    denormals: DenormalCost | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as one flat dictionary."""
        row: dict[str, Any] = asdict(self)
        stats: dict[str, Any] = row.pop("stats")
        denormals = row.pop("denormals") or dict.fromkeys(_names(DenormalCost))
        return row | stats | denormals


@dataclass(frozen=True)
class Report:
    """What formats cost on tensors.

    Attributes
    ----------
    rows : list of ReportRow
        One for each tensor and format, in the order of the tensors.
    skipped : dict of str to str
        Why tensors are not in the report, by name.
    """

    rows: list[ReportRow]
    skipped: dict[str, str]

    def table_rows(self) -> list[tuple[str, list[list[str]]]]:
        """Return the table as text: for each tensor its title and the cells of its lines."""
        tables: dict[str, list[list[str]]] = {}
        for row in self.rows:
            title = f"{printable(row.tensor)}  {row.dtype} {_shape_text(row.shape)}"
            if row.stats.nonfinite:
                title += f"  ({row.stats.nonfinite} not finite, left out)"
            tables.setdefault(title, []).append(_cells(row))
        return list(tables.items())

    def summary_rows(self) -> list[list[str]]:
        """Return one line a format, under SUMMARY_HEADINGS: its median and its worst tensor."""
        import statistics

        lines = []
        for name, rows in self._by_format().items():
            worst = min(rows, key=lambda row: row.stats.sqnr_db)
            median = statistics.median(row.stats.sqnr_db for row in rows)
            lines.append(
                [
                    name,
                    str(len(rows)),
                    _db(median),
                    _db(worst.stats.sqnr_db),
                    printable(worst.tensor),
                ]
            )
        return lines

    def denormal_rows(self) -> list[list[str]]:
        """Return what the whitepaper's denormals cost, two lines a format, under DENORMAL_HEADINGS."""
        lines = []
        for name, rows in self._by_format().items():
            costs = [(row.denormals, row.tensor) for row in rows if row.denormals is not None]
            if not costs:
                continue
            best = [(cost.gain_db, tensor) for cost, tensor in costs]
            default = [(cost.default_gain_db, tensor) for cost, tensor in costs]
            lines.append([name, "best", *_median_and_worst(best)])
            lines.append([name, "default", *_median_and_worst(default)])
        return lines

    def tables(self) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
        """Return every table of the report as (title, headings, rows of cells)."""
        tensors = self.table_rows()
        tables: list[tuple[str, tuple[str, ...], list[list[str]]]]
        tables = [(title, TABLE_HEADINGS, rows) for title, rows in tensors]
        if len(tensors) > 1:
            tables.append(("Summary", SUMMARY_HEADINGS, self.summary_rows()))
        if denormals := self.denormal_rows():
            tables.append((DENORMAL_TITLE, DENORMAL_HEADINGS, denormals))
        if self.skipped:
            skipped = [[printable(name), reason] for name, reason in self.skipped.items()]
            tables.append(("Left out", SKIPPED_HEADINGS, skipped))
        return tables

    def _by_format(self) -> dict[str, list[ReportRow]]:
        groups: dict[str, list[ReportRow]] = {}
        for row in self.rows:
            groups.setdefault(row.format, []).append(row)
        return groups

    def to_table(self) -> str:
        """Return the report as plain text.

        Returns
        -------
        str
            A block of lines for each tensor, a summary, and what the whitepaper's denormals cost.
        """
        tables = self.tables()
        widths: dict[tuple[str, ...], list[int]] = {}
        for _, headings, rows in tables:  # tables with the same columns line up
            lines = [list(headings), *rows]
            sizes = [max(map(len, column)) for column in zip(*lines, strict=True)]
            known = widths.get(headings, sizes)
            widths[headings] = [max(pair) for pair in zip(known, sizes, strict=True)]
        blocks = [
            "\n".join([title, *(_aligned(headings, line, widths) for line in [headings, *rows])])
            for title, headings, rows in tables
        ]
        return "\n\n".join([LEGEND, *blocks])

    def to_json(self) -> str:
        """Return the report as JSON.

        Returns
        -------
        str
            An object with "rows" (a flat object for each, the shares from 0 to 1) and "skipped".  JSON has no
            infinities or NaN: they are null (an infinite `sqnr_db` has an `mse` of 0).
        """
        import json

        rows = [{key: _finite(value) for key, value in row.to_dict().items()} for row in self.rows]
        return json.dumps({"rows": rows, "skipped": self.skipped}, indent=1, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """Return the rows as CSV with a heading line.

        Returns
        -------
        str
            The columns are the keys of the JSON's rows; infinities are "inf", and unknown values empty.
        """
        import csv
        import io

        text = io.StringIO()
        own = [name for name in _names(ReportRow) if name not in ("stats", "denormals")]
        names = own + _names(ErrorStats) + _names(DenormalCost)
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            flat = row.to_dict() | {"shape": "x".join(map(str, row.shape))}
            writer.writerow(
                {
                    key: "" if value is None or _is_nan(value) else value
                    for key, value in flat.items()
                }
            )
        return text.getvalue()

    def __str__(self) -> str:
        return self.to_table()


def report(
    tensors: Mapping[str, ArrayLike] | ArrayLike,
    formats: Iterable[Format] | Format = DEFAULT_FORMATS,
    *,
    progress: Callable[[float, int], None] | None = None,
) -> Report:
    """Measure what formats cost on tensors.

    Parameters
    ----------
    tensors : mapping of str to array_like, or array_like
        The tensors by name, or a single one.  Those that are empty, not floating point, without a finite
        element, or not to be read from their file, are left out, and the reason is in the report.
    formats : Format or iterable of Format, optional
        The formats to compare: by default the whitepaper's four, float16, bfloat16, float8_e4m3fn and
        float8_e5m2.  Formats of one name are told apart by their denormals.  An unsigned format is left out
        for tensors with negative elements.
    progress : callable, optional
        Called as ``progress(done, total)`` when `done` of `total` tensors, a fraction, are finished.

    Returns
    -------
    Report
        A row for each tensor and format, at the bias with the least squared error.  The search raises no
        exception flags.

    Raises
    ------
    ArgumentTypeError
        If `formats` holds anything but formats, or a single tensor is not of numbers.
    ArgumentValueError
        If there are no formats, or two of the same name and denormals.

    See Also
    --------
    error : The same measures for any rounded tensor.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> x = np.random.default_rng(0).standard_normal(10_000)
    >>> result = cf.report({"x": x}, [cf.CFloat8_1_4_3, cf.float8_e4m3fn])
    >>> [(row.format, row.bias, round(row.stats.sqnr_db, 1)) for row in result.rows]
    [('CFloat8_1_4_3', 13, 31.4), ('float8_e4m3fn', 7, 31.4)]
    """
    chosen = _labelled(formats)
    named: Mapping[Any, ArrayLike]
    if isinstance(tensors, Mapping):
        named = tensors
    else:
        named = {"x": tensors}
        if np.asarray(tensors).dtype.kind not in "biufcV":
            dtype = np.asarray(tensors).dtype
            raise ArgumentTypeError(f"x has dtype {dtype}; it takes {_native.SOURCE_DTYPES}")
    # tensors that are widened when they are read from a file
    stored_dtype = getattr(tensors, "stored_dtype", lambda name: None)
    rows: list[ReportRow] = []
    skipped: dict[str, str] = {}
    for done, name in enumerate(named):
        steps = _Steps(progress, done, len(named))
        try:
            tensor = np.asarray(named[name])
        except FileError as error:
            skipped[str(name)] = str(error)
            continue
        reason = _reason_to_skip(tensor)
        if reason is not None:
            skipped[str(name)] = reason
            continue
        dtype_name = stored_dtype(name) or str(tensor.dtype)
        rows.extend(_rows(str(name), dtype_name, _widened(tensor), chosen, steps))
    if progress is not None:
        progress(len(named), len(named))
    return Report(rows, skipped)


class _Steps:
    """Turns finished trials of a tensor into a fraction of all tensors."""

    def __init__(
        self, progress: Callable[[float, int], None] | None, index: int, count: int
    ) -> None:
        self._progress, self._index, self._count = progress, index, count
        self.total = 1
        self._done = 0
        self.advance(0)

    def advance(self, trials: int) -> None:
        """Count finished trials."""
        self._done += trials
        if self._progress is not None:
            self._progress(self._index + self._done / self.total, self._count)


def _labelled(formats: Iterable[Format] | Format) -> dict[str, Format]:
    """Return the formats by names that tell them apart."""
    if isinstance(formats, Format):
        formats = (formats,)
    try:
        chosen = [check_format(fmt) for fmt in formats]
    except TypeError as error:
        if isinstance(error, ArgumentTypeError):
            raise
        raise ArgumentTypeError(
            f"formats is {shown(formats)}; it takes a Format or several of them"
        ) from None
    if not chosen:
        raise ArgumentValueError("formats is empty; it takes at least one Format")
    names = [fmt.name for fmt in chosen]
    labelled: dict[str, Format] = {}
    for fmt in chosen:
        label = fmt.name if names.count(fmt.name) == 1 else f"{fmt.name} {fmt.subnormals}"
        if label in labelled:
            raise ArgumentValueError(f"two formats are called {label}; give them different names")
        labelled[label] = fmt
    return labelled


def carried_tensors() -> dict[str, Array]:
    """Return the real tensors that the package carries.

    Returns
    -------
    dict of str to ndarray of float32
        Weights, activations, gradients and Adam's moments of a small network part-way through training on
        MNIST digits; ``cfloat/data/README.md`` says how they were made.

    Examples
    --------
    >>> from cfloat.report import carried_tensors
    >>> carried_tensors()["dense1.weight"].shape
    (32, 576)
    """
    from importlib.resources import as_file, files

    from .storage import TensorFile

    resource = files(__package__) / "data" / "mnist_convnet.safetensors"
    with as_file(resource) as path:
        return dict(TensorFile(path))


def _reason_to_skip(tensor: Array) -> str | None:
    if tensor.size == 0:
        return "empty"
    if not (_is_ml_float(tensor) or _native.is_source_dtype(tensor.dtype)):
        return f"{tensor.dtype} is not supported"
    if tensor.dtype.kind in "biu":
        return f"{tensor.dtype}, not floating point"
    if not any(np.isfinite(tensor.reshape(-1)[piece]).any() for piece in pieces(tensor.size)):
        return "no finite element"
    return None


def _is_ml_float(tensor: Array) -> bool:
    """Whether a tensor is of one of ml_dtypes' floating types."""
    kind = tensor.dtype.type
    return kind.__module__.startswith("ml_dtypes") and "float" in kind.__name__


def _widened(tensor: Array) -> Array:
    """Return a tensor of one of ml_dtypes' types as float32, in which it is exact."""
    return tensor.astype(np.float32) if _is_ml_float(tensor) else tensor


def _rows(
    name: str, dtype: str, tensor: Array, formats: dict[str, Format], steps: _Steps
) -> list[ReportRow]:
    flat = tensor.reshape(-1)
    negative = any((flat[piece] < 0).any() for piece in pieces(flat.size))
    fitting = {label: fmt for label, fmt in formats.items() if fmt.signed or not negative}
    steps.total = max(1, tensor.size * sum(map(_trials, fitting.values())))
    with quiet():
        return [_row(name, dtype, tensor, label, fmt, steps) for label, fmt in fitting.items()]


def _trials(fmt: Format) -> int:
    """Return how many biases are tried: twice as many where both readings of a denormal are."""
    low, high = fmt.bias_range
    return (high - low + 1) * (2 if fmt.subnormals == "whitepaper" else 1)


def _row(name: str, dtype: str, tensor: Array, label: str, fmt: Format, steps: _Steps) -> ReportRow:
    bias = best_bias(tensor, fmt)
    stats = error(tensor, round_to(tensor, fmt, bias), fmt, bias)
    denormals = None
    if fmt.subnormals == "whitepaper":
        denormals = _denormal_cost(tensor, fmt, stats.sqnr_db, steps)
    return ReportRow(name, tensor.shape, dtype, label, fmt.subnormals, bias, stats, denormals)


def _denormal_cost(tensor: Array, fmt: Format, best_sqnr_db: float, steps: _Steps) -> DenormalCost:
    ieee = fmt.replace(subnormals="ieee")
    bias = best_bias(tensor, ieee)
    best = _sqnr_db(tensor, ieee, bias)
    return DenormalCost(
        ieee_bias=bias,
        ieee_sqnr_db=best,
        gain_db=_gain_db(best, best_sqnr_db),
        default_gain_db=_gain_db(
            _sqnr_db(tensor, ieee, fmt.default_bias), _sqnr_db(tensor, fmt, fmt.default_bias)
        ),
    )


def _sqnr_db(tensor: Array, fmt: Format, bias: int) -> float:
    return error(tensor, round_to(tensor, fmt, bias)).sqnr_db


def _gain_db(better: float, worse: float) -> float:
    # two exact results, both infinite, do not differ
    return 0.0 if better == worse else better - worse


def _median_and_worst(gains: list[tuple[float, str]]) -> list[str]:
    import statistics

    worst, tensor = max(gains)
    median = statistics.median(gain for gain, _ in gains)
    named = printable(tensor) if worst >= 0.0005 else "-"
    return [f"{median:z.3f}", f"{worst:z.3f}", named]


def _cells(row: ReportRow) -> list[str]:
    stats = row.stats
    return [
        row.format,
        str(row.bias),
        _db(stats.sqnr_db),
        f"{stats.mse:.1e}",
        f"{stats.max_abs:.1e}",
        f"{stats.max_rel:.1e}",
        f"{stats.cosine:.5f}",
        _percent(stats.saturated),
        _percent(stats.underflowed),
        _percent(stats.subnormal),
        "" if row.denormals is None else f"{row.denormals.gain_db:+z.2f}",
    ]


def _db(value: float) -> str:
    return "exact" if value == math.inf else f"{value:.2f}"


def _percent(share: float) -> str:
    percent = 100 * share
    if 0 < percent < 0.005:
        return "<0.01"
    return f"{percent:.2f}" if percent < 9.995 else f"{percent:.1f}"


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "scalar"


def _aligned(
    headings: tuple[str, ...], cells: Iterable[str], widths: dict[tuple[str, ...], list[int]]
) -> str:
    """Pad a line's cells to the widths of its table's columns."""
    padded = [
        cell.ljust(width) if heading in TEXT_HEADINGS else cell.rjust(width)
        for heading, cell, width in zip(headings, cells, widths[headings], strict=True)
    ]
    return ("  " + "  ".join(padded)).rstrip()


def _names(record: Any) -> list[str]:
    return [field.name for field in fields(record)]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
