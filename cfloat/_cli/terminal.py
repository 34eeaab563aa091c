"""A report on a terminal: tables with colour; or plain text, if that is where it goes."""

from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cfloat._report.report import Report
from cfloat._report.text_tables import LEGEND, TEXT_HEADINGS


def print_report(result: Report, top: int | None = None, sort: str | None = None) -> None:
    """Print all tables of a report on stdout, of the tensors as `Report.tables` takes them."""
    console = Console()
    if not console.is_terminal:
        print(result.to_table(top, sort))
        return
    _print_line(console, LEGEND)
    for title, headings, rows in result.tables(top, sort):
        _print_line(console, "")
        _print_table(console, title, headings, rows)


def _print_line(console: Any, text: str, style: str | None = None) -> None:
    # as it stands: no markup, no emoji, no folding
    console.out(text, style=style, highlight=False)


def _print_table(console: Any, title: str, headings: Sequence[str], rows: list[list[str]]) -> None:
    _print_line(console, title, style="bold")
    # no box and one space between columns: the widest table fits 80 columns
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for heading in headings:
        side: Literal["left", "right"] = "left" if heading in TEXT_HEADINGS else "right"
        table.add_column(heading, justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    # as wide as it is: a narrow terminal breaks lines, where rich would cut cells short
    natural = Measurement.get(console, console.options.update(width=10_000), table).maximum
    console.print(table, crop=False, width=natural)
