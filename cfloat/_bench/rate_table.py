"""Rows of measurements as text: this package, its reference, the ratio, goals, and other packages."""

from collections.abc import Sequence

from cfloat._core.text_table import aligned

from .row import Row


def rate_tables(rows: Sequence[Row]) -> list[str]:
    """Write rows as text: blocks of lines, a group's heading before its tables, whose columns line up."""
    blocks = []
    for group in dict.fromkeys(row.group for row in rows):
        found = [row for row in rows if row.group == group]
        tables = _tables(found)
        blocks.append(f"{group}\n\n{tables[0]}" if group else tables[0])
        blocks += tables[1:]
    return blocks


def _tables(rows: Sequence[Row]) -> list[str]:
    """Write the tables of a group, one for each title."""
    peers = list(dict.fromkeys(name for row in rows for name in row.peers))
    has_goals = any(row.goal is not None for row in rows)
    parts = []
    for title in dict.fromkeys(row.title for row in rows):
        found = [row for row in rows if row.title == title]
        headings = [title, found[0].unit, "reference", "ratio", *peers]
        headings += ["goal"] if has_goals else []
        cells = [_cells(row, peers) + ([row.goal_text] if has_goals else []) for row in found]
        parts.append([headings, *cells])
    lines = [line for part in parts for line in part]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = range(1, 4 + len(peers))
    return ["\n".join(aligned(part, right, widths)) for part in parts]


def _cells(row: Row, peers: Sequence[str]) -> list[str]:
    numbers = [row.value, row.reference, row.ratio, *(row.peers.get(name) for name in peers)]
    return [f"  {row.work}", *("" if number is None else f"{number:.2f}" for number in numbers)]
