"""The tables of a report: their headings, and the text in their cells."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from cfloat._core.text import printable
from cfloat._core.text_table import aligned, column_widths

from .aggregates import count_losses, median_db
from .granularities import GRANULARITIES
from .records import Granularity, MatmulRow, ReportRow
from .schemes import Comparison

T = TypeVar("T")

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
_SUMMARY = ("format", "tensors", "median dB", "worst dB", "lose 3 dB", "worst tensor")
_DENORMALS = ("format", "at its bias", "median dB", "worst dB", "exact with ieee", "worst tensor")
_GRANULARITY = ("format", "tensors", *GRANULARITIES)
_COMPARISONS = ("scheme", "bits", "median dB", "worst dB", "worst tensor")
_OUTPUTS = ("weight", "format", "output", "output, compensated")
_OUTPUT_MEDIANS = ("format", "weights", "output", "output, compensated", "gain", "least gain")
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
    alike: Collection[str],
    names: Iterable[str] | None = None,
) -> list[Table]:
    """Make every table of a report that has rows.

    Parameters
    ----------
    rows, granularity, comparisons, products, skipped
        The report's.
    alike : collection of str
        The tensors whose elements have one value, which are in no median and worst.
    names : iterable of str, optional
        The tensors that have a table of their own, in that order; all, as they come, if None.
    """
    own = rows
    if names is not None:
        by_name = _grouped((row.tensor, row) for row in rows)
        own = [row for name in names for row in by_name.get(name, [])]
    count = len({row.tensor for row in rows})
    some = f"; {len(alike)} of one value are in no median or worst" if alike else ""
    tensors = [Table(title, _TENSOR, cells) for title, cells in tensor_rows(own)]
    tables = [
        Table(f"Summary{some}", _SUMMARY, summary_rows(rows, alike) if count > 1 else []),
        Table(
            "One bias for a tensor, a channel or a block: median SQNR, dB",
            _GRANULARITY,
            granularity_rows(granularity, alike),
        ),
        Table(
            "Other schemes, scales included, in SQNR",
            _COMPARISONS,
            comparison_rows(comparisons, alike),
        ),
        Table(
            "Products of rounded weights with rounded inputs, in SQNR, dB",
            _PRODUCTS,
            [[printable(row.tensor), row.format, *map(_db, _levels(row))] for row in products],
        ),
        Table(
            "Outputs of weights rounded with one bias, to nearest and compensated, in SQNR, dB",
            _OUTPUTS,
            [
                [printable(row.tensor), row.format, _db(row.output_db), _db(row.compensated_db)]
                for row in rows
                if not math.isnan(row.output_db)
            ],
        ),
        outputs_table(rows),
        Table(
            "What the whitepaper's denormals cost in SQNR, against ieee ones",
            _DENORMALS,
            subnormal_rows(rows, alike),
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


def summary_rows(rows: Iterable[ReportRow], alike: Collection[str] = ()) -> Cells:
    """Write one line a format: median, worst, and how many tensors lose 3 dB to one of as many bits."""
    kept = _varied([(row.tensor, row) for row in rows], alike)
    best: dict[tuple[str, int], float] = {}
    for name, row in kept:
        key = name, row.bits
        best[key] = max(best.get(key, -math.inf), row.stats.sqnr_db)
    lines = []
    for label, found in _grouped((row.format, row) for _, row in kept).items():
        median, worst, tensor = _levels_of([(row.stats.sqnr_db, row.tensor) for row in found])
        losses = count_losses(
            [row.stats.sqnr_db for row in found], [best[row.tensor, row.bits] for row in found]
        )
        lines.append([label, str(len(found)), median, worst, str(losses), tensor])
    return lines


def subnormal_rows(rows: Iterable[ReportRow], alike: Collection[str] = ()) -> Cells:
    """Write what the whitepaper's reading of a denormal costs, two lines a format."""
    lines = []
    kept = _varied([(row.tensor, row) for row in rows if row.denormals is not None], alike)
    for label, found in _grouped((row.format, row) for _, row in kept).items():
        costs = [(row.denormals, row.tensor) for row in found if row.denormals is not None]
        best = [(cost.gain_db, tensor) for cost, tensor in costs]
        default = [(cost.default_gain_db, tensor) for cost, tensor in costs]
        lines.append([label, "best", *_gains(best)])
        lines.append([label, "default", *_gains(default)])
    return lines


def outputs_table(rows: Iterable[ReportRow]) -> Table:
    """Make the table of `output_rows`."""
    title = "Medians of the compensated weights' outputs, in SQNR, dB"
    return Table(title, _OUTPUT_MEDIANS, output_rows(rows))


def output_rows(rows: Iterable[ReportRow]) -> Cells:
    """Write what compensation is worth to outputs, one line a format: of weights that are compensated."""
    lines = []
    both = [(row.format, row) for row in rows if not math.isnan(row.compensated_db)]
    for label, found in _grouped(both).items():
        levels = [(row.output_db, row.compensated_db) for row in found]
        # of what is exact as it is, nothing is gained
        gains = [0.0 if nearest == math.inf else own - nearest for nearest, own in levels]
        lines.append(
            [
                label,
                str(len(found)),
                *(_db(median_db(each)) for each in zip(*levels, strict=True)),
                _gain(median_db(gains)),
                _gain(min(gains)),
            ]
        )
    return lines


def granularity_rows(granularity: Iterable[Granularity], alike: Collection[str] = ()) -> Cells:
    """Write what biases for parts of a tensor are worth, one line a format."""
    kept = _varied([(each.tensor, each) for each in granularity], alike)
    lines = []
    for label, found in _grouped((each.format, each) for _, each in kept).items():
        parts = _grouped((each.granularity, each.sqnr_db) for each in found)
        medians = (_db(median_db(parts[name])) if name in parts else "" for name in GRANULARITIES)
        lines.append([label, str(max(map(len, parts.values()))), *medians])
    return lines


def comparison_rows(comparisons: Iterable[Comparison], alike: Collection[str] = ()) -> Cells:
    """Write what each other scheme costs: the bits are those of all tensors together."""
    given = list(comparisons)
    bits = {
        scheme: 8 * sum(each.nbytes for each in found)
        / (sum(8 * each.nbytes / each.bits_per_element for each in found) or 1)
        for scheme, found in _grouped((each.scheme, each) for each in given).items()
    }  # fmt: skip
    kept = _varied([(each.tensor, each) for each in given], alike)
    return [
        [
            scheme,
            f"{bits[scheme]:.2f}",
            *_levels_of([(each.sqnr_db, each.tensor) for each in found]),
        ]
        for scheme, found in _grouped((each.scheme, each) for _, each in kept).items()
    ]


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = {}
    for name, each in pairs:
        groups.setdefault(name, []).append(each)
    return groups


def _varied(pairs: list[tuple[str, T]], alike: Collection[str]) -> list[tuple[str, T]]:
    """Leave out the tensors that are of one value, unless there is no other."""
    return [pair for pair in pairs if pair[0] not in alike] or pairs


def _levels_of(levels: list[tuple[float, str]]) -> list[str]:
    """Write the median and the lowest SQNR of tensors, and which one has that."""
    worst, tensor = min(levels, key=lambda level: level[0])
    return [_db(median_db(level for level, _ in levels)), _db(worst), printable(tensor)]


def _gains(gains: list[tuple[float, str]]) -> list[str]:
    """Write the median and the largest gain of tensors, how many are exact, and whose the largest is."""
    finite = [pair for pair in gains if math.isfinite(pair[0])]
    largest, tensor = max(finite, default=(0.0, ""))
    median = median_db(gain for gain, _ in finite) if finite else 0.0
    seen = printable(tensor) if largest >= 0.0005 else "-"
    return [f"{median:z.3f}", f"{largest:z.3f}", str(len(gains) - len(finite)), seen]


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
        "" if row.denormals is None else _gain(row.denormals.gain_db),
    ]


def _levels(row: MatmulRow) -> tuple[float, ...]:
    return row.weight_sqnr_db, row.input_sqnr_db, row.output_sqnr_db, row.predicted_db


def _db(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "exact" if value == math.inf else f"{value:.2f}"


def _gain(value: float) -> str:
    return "exact" if value == math.inf else f"{value:+z.2f}"


def _percent(share: float) -> str:
    percent = 100 * share
    if 0 < percent < 0.005:
        return "<0.01"
    return f"{percent:.2f}" if percent < 9.995 else f"{percent:.1f}"


def _shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "scalar"
