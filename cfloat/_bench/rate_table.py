"""Rows of measurements as text: rates of this package, of its reference, and of other packages."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from cfloat._core.text_table import aligned


class Rates(Protocol):
    """A row: a work, and how fast it was done."""

    @property
    def work(self) -> str:
        """What was done."""
        ...

    @property
    def rate(self) -> float:
        """How fast this package was."""
        ...

    @property
    def reference_rate(self) -> float:
        """How fast the reference was."""
        ...

    @property
    def peers(self) -> dict[str, float]:
        """How fast other packages were, as far as they were timed."""
        ...


class Ratio:
    """What rows of rates have in common."""

    rate: float
    reference_rate: float

    @property
    def ratio(self) -> float:
        """How many times faster than the reference this package was."""
        return self.rate / self.reference_rate


def rate_table(sections: Iterable[tuple[str, Sequence[Rates]]], unit: str) -> list[str]:
    """Write rows as text, each section under its title and after an empty line."""
    sections = list(sections)
    rows = [row for _, found in sections for row in found]
    peers = list(dict.fromkeys(name for row in rows for name in row.peers))
    headings = [unit, "reference", "ratio", *peers]
    first = max(len(text) for text in [*(title for title, _ in sections), *map(_indented, rows)])
    lines = []
    for title, found in sections:
        cells = [[title, *headings], *([_indented(row), *_numbers(row, peers)] for row in found)]
        right = range(1, len(headings) + 1)
        lines += ["", *aligned(cells, right, [first, *map(len, headings)])]
    return lines


def _indented(row: Rates) -> str:
    return f"  {row.work}"


def _numbers(row: Rates, peers: Sequence[str]) -> list[str]:
    own = (row.rate, row.reference_rate, row.rate / row.reference_rate)
    numbers = [*own, *(row.peers.get(name) for name in peers)]
    return ["" if number is None else f"{number:.2f}" for number in numbers]
