"""The tables of a report: their headings, and the text in their cells."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cfloat._core.text import printable
from cfloat._core.text_table import aligned, column_widths

from .records import Granularity, MatmulRow, ReportRow
from .schemes import Comparison

Cells = list[list[str]]

LEGEND = """\
bias   exponent bias: of all that there are, that of the least squared error
SQNR   signal to quantisation noise ratio, dB
max abs, max rel   largest absolute and relative error
sat, zero, den   elements beyond the largest value, made zero, made denormal, %
ieee   SQNR that ieee denormals would add, each reading at its best bias, dB"""

#: Headings of a tensor's table: short, so that it fits 80 columns.
_TENSOR = (
    "format", "bias", "SQNR", "MSE", "max abs", "max rel", "cosine", "sat", "zero", "den", "ieee",
)  # fmt: skip
_SUMMARY = ("format", "tensors", "median dB", "worst dB", "worst tensor")
_DENORMALS = ("format", "at its bias", "median dB", "worst dB", "worst tensor")
_GRANULARITY = ("format", "tensors", "tensor", "channel", "block 32")
_COMPARISONS = ("scheme", "bits", "median dB", "worst dB", "worst tensor")
_PRODUCTS = ("weight", "format", "weights", "inputs", "product", "predicted")
_SKIPPED = ("tensor", "reason")

#: Headings of columns that hold text, and are aligned to the left.
TEXT_HEADINGS = ("format", "worst tensor", "weight", "reason", "at its bias", "scheme")


class Table(NamedTuple):
    """A table as text."""

    title: str
    headings: tuple[str, ...]
    rows: Cells


def report_tables(
    rows: Sequence[ReportRow],
    granularity: Iterable[Granularity],
    comparisons: Iterable[Comparison],
    products: Iterable[MatmulRow],
    skipped: Mapping[str, str],
) -> list[Table]:
    """Make every table of a report that has rows."""
    tensors = [Table(title, _TENSOR, cells) for title, cells in tensor_rows(rows)]
    tables = [
        Table("Summary", _SUMMARY, summary_rows(rows) if len(tensors) > 1 else []),
        Table(
            "One bias for a tensor, a channel or a block of 32: median SQNR, dB",
            _GRANULARITY,
            granularity_rows(granularity),
        ),
        Table(
            "Other schemes, scales included, in SQNR",
            _COMPARISONS,
            comparison_rows(comparisons),
        ),
        Table(
            "Products of rounded weights with rounded inputs, in SQNR, dB",
            _PRODUCTS,
            [[printable(row.tensor), row.format, *map(_db, _levels(row))] for row in products],
        ),
        Table(
            "What the whitepaper's denormals cost in SQNR, against ieee ones",
            _DENORMALS,
            subnormal_rows(rows),
        ),
        Table("Left out", _SKIPPED, [[printable(name), why] for name, why in skipped.items()]),
    ]
    return [*tensors, *(table for table in tables if table.rows)]


def to_text(tables: Iterable[Table]) -> str:
    """Write tables as plain text; those with the same columns line up."""
    tables = list(tables)
    cells: dict[tuple[str, ...], Cells] = {}
    for table in tables:
        cells.setdefault(table.headings, [list(table.headings)]).extend(table.rows)
    blocks = [LEGEND]
    for title, headings, rows in tables:
        right = [i for i, heading in enumerate(headings) if heading not in TEXT_HEADINGS]
        lines = aligned([headings, *rows], right, column_widths(cells[headings]))
        blocks.append("\n".join([title, *(("  " + line).rstrip() for line in lines)]))
    return "\n\n".join(blocks)


def tensor_rows(rows: Iterable[ReportRow]) -> list[tuple[str, Cells]]:
    """Write the rows of each tensor, under its title."""
    tables: dict[str, Cells] = {}
    for row in rows:
        title = f"{printable(row.tensor)}  {row.dtype} {_shape_text(row.shape)}"
        if row.stats.nonfinite:
            title += f"  ({row.stats.nonfinite} not finite, left out)"
        tables.setdefault(title, []).append(_tensor_cells(row))
    return list(tables.items())


def summary_rows(rows: Iterable[ReportRow]) -> Cells:
    """Write one line a format: its median and its worst tensor."""
    return [
        [name, str(len(found)), *_levels_of([(row.stats.sqnr_db, row.tensor) for row in found])]
        for name, found in _by_format(rows).items()
    ]


def subnormal_rows(rows: Iterable[ReportRow]) -> Cells:
    """Write what the whitepaper's reading of a denormal costs, two lines a format."""
    lines = []
    for name, found in _by_format(rows).items():
        costs = [(row.denormals, row.tensor) for row in found if row.denormals is not None]
        if not costs:
            continue
        best = [(cost.gain_db, tensor) for cost, tensor in costs]
        default = [(cost.default_gain_db, tensor) for cost, tensor in costs]
        lines.append([name, "best", *_gains(best)])
        lines.append([name, "default", *_gains(default)])
    return lines


def granularity_rows(granularity: Iterable[Granularity]) -> Cells:
    """Write what biases for parts of a tensor are worth, one line a format."""
    groups: dict[str, dict[str, list[float]]] = {}
    for each in granularity:
        groups.setdefault(each.format, {}).setdefault(each.granularity, []).append(each.sqnr_db)
    return [
        [
            name,
            str(max(map(len, parts.values()))),
            *(_db(statistics.median(levels)) for levels in parts.values()),
        ]
        for name, parts in groups.items()
    ]


def comparison_rows(comparisons: Iterable[Comparison]) -> Cells:
    """Write what each other scheme costs."""
    groups: dict[str, list[Comparison]] = {}
    for each in comparisons:
        groups.setdefault(each.scheme, []).append(each)
    return [
        [
            scheme,
            f"{_mean_bits(found):.2f}",
            *_levels_of([(each.sqnr_db, each.tensor) for each in found]),
        ]
        for scheme, found in groups.items()
    ]


def _mean_bits(found: list[Comparison]) -> float:
    """Tell the bits an element of all tensors together, which have them in scales of different sizes."""
    sizes = [8 * each.nbytes / each.bits_per_element for each in found]
    return 8 * sum(each.nbytes for each in found) / sum(sizes)


def _by_format(rows: Iterable[ReportRow]) -> dict[str, list[ReportRow]]:
    groups: dict[str, list[ReportRow]] = {}
    for row in rows:
        groups.setdefault(row.format, []).append(row)
    return groups


def _levels_of(levels: list[tuple[float, str]]) -> list[str]:
    """Write the median and the lowest SQNR of tensors, and which one has that."""
    worst, tensor = min(levels, key=lambda level: level[0])
    return [_db(statistics.median(level for level, _ in levels)), _db(worst), printable(tensor)]


def _gains(gains: list[tuple[float, str]]) -> list[str]:
    """Write the median and the largest gain of tensors, and which one has that, if it can be seen."""
    largest, tensor = max(gains)
    median = statistics.median(gain for gain, _ in gains)
    return [f"{median:z.3f}", f"{largest:z.3f}", printable(tensor) if largest >= 0.0005 else "-"]


def _tensor_cells(row: ReportRow) -> list[str]:
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


def _levels(row: MatmulRow) -> tuple[float, ...]:
    return row.weight_sqnr_db, row.input_sqnr_db, row.output_sqnr_db, row.predicted_db


def _db(value: float) -> str:
    return "exact" if value == math.inf else f"{value:.2f}"


def _percent(share: float) -> str:
    percent = 100 * share
    if 0 < percent < 0.005:
        return "<0.01"
    return f"{percent:.2f}" if percent < 9.995 else f"{percent:.1f}"


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "scalar"
