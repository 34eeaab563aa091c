"""Error reports: what each format costs on each of a set of tensors."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._core.dtypes import SOURCE_DTYPES, is_source_dtype
from cfloat._core.format import Format
from cfloat._core.pieces import pieces
from cfloat._core.presets import COMPARISON_FORMATS, TESLA_FORMATS, as_format
from cfloat._core.public import public
from cfloat._core.text import printable, shown
from cfloat._metrics.error import ErrorStats
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError, MissingExtraError

from .baselines import Comparison
from .measure import Measurement, measure_products
from .rows import (
    THEORY,
    DenormalCost,
    Granularity,
    MatmulRow,
    ReportRow,
    TensorSummary,
    names_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

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
GRANULARITY_TITLE = "One bias for a tensor, a channel or a block of 32: median SQNR, dB"
GRANULARITY_HEADINGS = ("format", "tensors", "tensor", "channel", "block 32")
COMPARISON_TITLE = "Other schemes of 8 bits and a scale, in SQNR"
COMPARISON_HEADINGS = ("scheme", "bits", "median dB", "worst dB", "worst tensor")
PRODUCTS_TITLE = "Products of rounded weights with rounded inputs, in SQNR, dB"
PRODUCTS_HEADINGS = ("weight", "format", "weights", "inputs", "product", "predicted")
SKIPPED_HEADINGS = ("tensor", "reason")

_COLUMNS = [
    "tensor", "shape", "dtype", "format", "subnormals", "bits", "bias", *names_of(ErrorStats),
    "plateau_first", "plateau_last", "headroom", "codes_used", "codes", "entropy", "stochastic_db",
    *(f"theory_{name}_db" for name in THEORY), *names_of(DenormalCost),
]  # fmt: skip

#: Headings of columns that hold text, and are aligned to the left.
TEXT_HEADINGS = ("format", "worst tensor", "weight", "reason", "at its bias", "scheme")


@public
@dataclass(frozen=True)
class Report:
    """What formats cost on tensors.

    Attributes
    ----------
    rows : list of ReportRow
        One for each tensor and format, in the order of the tensors.
    skipped : dict of str to str
        Why tensors are not in the report, by name.
    tensors : list of TensorSummary
        The tensors before rounding.
    granularity : list of Granularity
        For each tensor and format of 8 bits with several biases: one bias, one a channel, one a block of 32.
    comparisons : list of Comparison
        What other schemes of 8 bits and a scale cost each tensor.
    products : list of MatmulRow
        What rounding a weight and its inputs does to their product, where inputs were given.
    """

    rows: list[ReportRow]
    skipped: dict[str, str]
    tensors: list[TensorSummary] = field(default_factory=list)
    granularity: list[Granularity] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    products: list[MatmulRow] = field(default_factory=list)

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

    def granularity_rows(self) -> list[list[str]]:
        """Return what biases for parts of a tensor are worth, under GRANULARITY_HEADINGS."""
        import statistics

        groups: dict[str, dict[str, list[float]]] = {}
        for each in self.granularity:
            groups.setdefault(each.format, {}).setdefault(each.granularity, []).append(each.sqnr_db)
        return [
            [
                name,
                str(max(map(len, parts.values()))),
                *(_db(statistics.median(x)) for x in parts.values()),
            ]
            for name, parts in groups.items()
        ]

    def comparison_rows(self) -> list[list[str]]:
        """Return what other schemes cost, one line each, under COMPARISON_HEADINGS."""
        import statistics

        groups: dict[str, list[Comparison]] = {}
        for each in self.comparisons:
            groups.setdefault(each.scheme, []).append(each)
        lines = []
        for scheme, found in groups.items():
            worst = min(found, key=lambda each: each.sqnr_db)
            median = statistics.median(each.sqnr_db for each in found)
            bits = f"{found[0].bits_per_element:g}"
            lines.append([scheme, bits, _db(median), _db(worst.sqnr_db), printable(worst.tensor)])
        return lines

    def tables(self) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
        """Return every table of the report as (title, headings, rows of cells)."""
        tensors = self.table_rows()
        tables: list[tuple[str, tuple[str, ...], list[list[str]]]]
        tables = [(title, TABLE_HEADINGS, rows) for title, rows in tensors]
        if len(tensors) > 1:
            tables.append(("Summary", SUMMARY_HEADINGS, self.summary_rows()))
        if granularity := self.granularity_rows():
            tables.append((GRANULARITY_TITLE, GRANULARITY_HEADINGS, granularity))
        if comparisons := self.comparison_rows():
            tables.append((COMPARISON_TITLE, COMPARISON_HEADINGS, comparisons))
        if self.products:
            products = [
                [printable(row.tensor), row.format, *map(_db, _levels(row))]
                for row in self.products
            ]
            tables.append((PRODUCTS_TITLE, PRODUCTS_HEADINGS, products))
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

    def to_content(self) -> dict[str, Any]:
        """Return everything as plain data.

        Returns
        -------
        dict
            What `to_json` writes, with None for infinities and NaN.
        """
        from cfloat._version import __version__

        content = {
            "cfloat": __version__,
            "tensors": [each.to_content() for each in self.tensors],
            "rows": [row.to_content() for row in self.rows],
            "granularity": list(map(asdict, self.granularity)),
            "comparisons": list(map(asdict, self.comparisons)),
            "matmul": list(map(asdict, self.products)),
            "skipped": self.skipped,
        }
        plain: dict[str, Any] = _plain(content)
        return plain

    def to_json(self) -> str:
        """Return the report as JSON.

        Returns
        -------
        str
            An object with "tensors", "rows" (the errors, shares from 0 to 1, and the SQNR at every bias under
            "curve"), "granularity", "comparisons", "matmul" and "skipped".  JSON has no infinities or NaN:
            they are null (an infinite `sqnr_db` has an `mse` of 0).
        """
        import json

        return json.dumps(self.to_content(), indent=1, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """Return the rows as CSV with a heading line.

        Returns
        -------
        str
            A column for each measure of a row that is one number; infinities are "inf", and unknown values
            empty.
        """
        import csv
        import io

        text = io.StringIO()
        flat = [row.to_dict() | {"shape": "x".join(map(str, row.shape))} for row in self.rows]
        writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in flat:
            writer.writerow(
                {
                    key: "" if value is None or _is_nan(value) else value
                    for key, value in row.items()
                }
            )
        return text.getvalue()

    def to_html(self) -> str:
        """Return the report as one HTML page that needs nothing but itself.

        Returns
        -------
        str
            The page: a table of the tensors that can be sorted, the SQNR against the bias, and exponents with
            each format's window.  It loads nothing from the network.
        """
        from .page import page

        return page(self.to_content())

    def to_frame(self) -> "DataFrame":
        """Return the rows as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            The columns of `to_csv`.

        Raises
        ------
        MissingExtraError
            If pandas is not installed: ``pip install 'cfloat[pandas]'``.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise MissingExtraError(
                "a DataFrame needs pandas: pip install 'cfloat[pandas]'"
            ) from None
        return DataFrame([row.to_dict() for row in self.rows], columns=_COLUMNS)

    def plot(self, tensor: str | None = None) -> "Figure":
        """Draw the SQNR against the bias and the exponents of one tensor.

        Parameters
        ----------
        tensor : str, optional
            Its name; the tensor that loses most if None.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed: ``pip install 'cfloat[plot]'``.
        ArgumentTypeError, ArgumentValueError
            If there is no such tensor.
        """
        from .plot import plot

        return plot(self.to_content(), tensor)

    def __str__(self) -> str:
        return self.to_table()


@public
def report(
    tensors: Mapping[str, ArrayLike] | ArrayLike,
    formats: Iterable[Format] | Format = DEFAULT_FORMATS,
    *,
    activations: Mapping[str, ArrayLike] | None = None,
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
    activations : mapping of str to array_like, optional
        Inputs of weights, by the weights' names: of shape (..., n) for a weight of shape (m, n), whose output
        is ``inputs @ weight.T``.  The report then has the error of these products as well.
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
            raise ArgumentTypeError(f"x has dtype {dtype}; it takes {SOURCE_DTYPES}")
    # tensors that are widened when they are read from a file
    stored_dtype = getattr(tensors, "stored_dtype", lambda name: None)
    result = Report([], {})
    skipped = result.skipped
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
        measurement = Measurement(str(name), dtype_name, _widened(tensor), chosen)
        steps.total = measurement.steps
        measured = measurement.run(steps.advance)
        result.tensors.append(measured.summary)
        result.rows.extend(measured.rows)
        result.granularity.extend(measured.granularity)
        result.comparisons.extend(measured.comparisons)
        if activations is not None and name in activations:
            products, reason = measure_products(
                str(name), _widened(tensor), activations[name], chosen
            )
            result.products.extend(products)
            if reason is not None:
                skipped[f"{name}, its product"] = reason
    if progress is not None:
        progress(len(named), len(named))
    return result


class _Steps:
    """Turns finished steps of a tensor into a fraction of all tensors."""

    def __init__(
        self, progress: Callable[[float, int], None] | None, index: int, count: int
    ) -> None:
        self._progress, self._index, self._count = progress, index, count
        self.total = 1
        self._done = 0
        self.advance(0)

    def advance(self, count: int = 1) -> None:
        """Count finished steps."""
        self._done += count
        if self._progress is not None:
            self._progress(self._index + self._done / self.total, self._count)


def _labelled(formats: Iterable[Format] | Format) -> dict[str, Format]:
    """Return the formats by names that tell them apart."""
    if isinstance(formats, Format):
        formats = (formats,)
    try:
        chosen = [as_format(fmt) for fmt in formats]
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


@public
def carried_tensors() -> dict[str, Array]:
    """Return the real tensors that the package carries.

    Returns
    -------
    dict of str to ndarray of float32
        Weights, activations, gradients and Adam's moments of a small network part-way through training on
        MNIST digits; ``cfloat/_report/data/README.md`` says how they were made.

    Examples
    --------
    >>> from cfloat.report import carried_tensors
    >>> carried_tensors()["dense1.weight"].shape
    (32, 576)
    """
    from importlib.resources import as_file, files

    from cfloat._files.storage import TensorFile

    resource = files(__package__) / "data" / "mnist_convnet.safetensors"
    with as_file(resource) as path:
        return dict(TensorFile(path))


def _reason_to_skip(tensor: Array) -> str | None:
    if tensor.size == 0:
        return "empty"
    if not (_is_ml_float(tensor) or is_source_dtype(tensor.dtype)):
        return f"{tensor.dtype} is not supported"
    if tensor.dtype.kind in "biu":
        return f"{tensor.dtype}, not floating point"
    if not any(np.isfinite(tensor.reshape(-1)[piece]).any() for piece in pieces((tensor.size,))):
        return "no finite element"
    return None


def _is_ml_float(tensor: Array) -> bool:
    """Whether a tensor is of one of ml_dtypes' floating types."""
    kind = tensor.dtype.type
    return kind.__module__.startswith("ml_dtypes") and "float" in kind.__name__


def _widened(tensor: Array) -> Array:
    """Return a tensor of one of ml_dtypes' types as float32, in which it is exact."""
    return tensor.astype(np.float32) if _is_ml_float(tensor) else tensor


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


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _plain(value: Any) -> Any:
    """Return plain data with None for infinities and NaN."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _levels(row: MatmulRow) -> tuple[float, ...]:
    return row.weight_sqnr_db, row.input_sqnr_db, row.output_sqnr_db, row.predicted_db
