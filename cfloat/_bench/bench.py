"""A measurement of speed, for a person: beside NumPy's own work, and that of others, in the same run."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any, Final

from cfloat._core import isa as instruction_sets
from cfloat._core import threads
from cfloat._core.arguments import check_choice, integer
from cfloat._core.text import shown
from cfloat._core.threads import MAX_THREADS
from cfloat.errors import ArgumentTypeError, ArgumentValueError, MissingExtraError

from . import (
    arithmetic_rows,
    bias_rows,
    call_rows,
    conversion_rows,
    file_rows,
    product_rows,
    thread_rows,
    torch_rows,
)
from .context import Context
from .machine import Machine, this_machine
from .rate_table import rate_tables
from .row import Case, Row, timed
from .timing import least_times

#: Numbers of elements: in a core's cache, and far out of it.
SIZES = (1 << 16, 1 << 24)

SIZE_LIMITS = (32, 1 << 30)

#: For how long a row's own call and its reference are timed, together.
SECONDS = 0.4


@dataclass(frozen=True)
class Section:
    """A part of the measurement that can be asked for by name.

    Attributes
    ----------
    about : str
        What it is, in a few words.
    cases : callable
        Lists its rows.
    legend : str
        What is above its tables, once.
    has_sizes : bool
        Whether it has sizes of its own, for which its goals are.
    """

    about: str
    cases: Callable[[Context], Iterable[Case]]
    legend: str = ""
    has_sizes: bool = True


def _conversions(name: str) -> Callable[[Context], Iterable[Case]]:
    return lambda context: conversion_rows.cases(name, context)


#: All sections, in the order in which they are printed.
SECTIONS: Final[Mapping[str, Section]] = {
    "conversions": Section(
        "encode, decode and round_to",
        _conversions("conversions"),
        conversion_rows.LEGEND,
        has_sizes=False,
    ),
    "modes": Section(
        "other roundings, flags, random bits",
        _conversions("modes"),
        conversion_rows.LEGEND,
        has_sizes=False,
    ),
    "sources": Section(
        "other dtypes and orders",
        _conversions("sources"),
        conversion_rows.LEGEND,
        has_sizes=False,
    ),
    "calls": Section("small calls", call_rows.cases, has_sizes=False),
    "biases": Section("choosing biases", bias_rows.cases),
    "arithmetic": Section("operations and reductions", arithmetic_rows.cases),
    "products": Section(
        "matrix products", product_rows.product_cases, product_rows.LEGEND, has_sizes=False
    ),
    "matrices": Section("square ones, 256 to 4096", product_rows.matrix_cases, product_rows.LEGEND),
    "vectors": Section("of a matrix and few rows", product_rows.vector_cases, product_rows.LEGEND),
    "stacks": Section("of many small matrices", product_rows.stack_cases, product_rows.LEGEND),
    "threads": Section("several threads against one", thread_rows.cases),
    "files": Section("convert and report", file_rows.cases),
    "torch": Section("AdamW, layers, operators", torch_rows.cases),
}

#: Those that are measured if none is asked for.
DEFAULT_SECTIONS: Final = ("conversions", "calls", "products")

_GOALS = """\
goal       for a machine with AVX-512: the least ratio (x) to the reference, or to
           the package that is named, or a rate, or the longest time; a mark (!)
           that it was missed here, or (?) that nothing was timed beside it"""


@dataclass(frozen=True)
class Bench:
    """What was measured.

    Attributes
    ----------
    machine : Machine
        Where.
    rows : list of Row
        The tables.
    """

    machine: Machine
    rows: list[Row]

    def to_table(self) -> str:
        """Write everything as plain text.

        Returns
        -------
        str
            The machine, and the tables of each section.
        """
        blocks = [str(self.machine), _GOALS]
        for name in dict.fromkeys(row.section for row in self.rows):
            legend = SECTIONS[name].legend
            blocks += [legend] if legend and legend not in blocks else []
            blocks += rate_tables([row for row in self.rows if row.section == name])
        return "\n\n".join(blocks)

    def to_json(self) -> str:
        """Write everything as JSON.

        Returns
        -------
        str
            An object with "machine" and "rows", each with its "ratio" and "is_met".
        """
        everything = {
            "machine": asdict(self.machine),
            "rows": [row.to_dict() for row in self.rows],
        }
        return json.dumps(everything, indent=1, allow_nan=False) + "\n"

    def __str__(self) -> str:
        return self.to_table()


def bench(
    sizes: Sequence[int] | None = None,
    *,
    sections: Sequence[str] = DEFAULT_SECTIONS,
    threads: int = 1,
    isa: str | None = None,
    torch: bool = False,
    seconds: float = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> Bench:
    """Measure speed beside NumPy's, and ml_dtypes' if it is installed.

    Results are checked before they are timed: those of conversions against the portable kernels'.  Only
    ratios mean anything on another machine, or at another time.  Nothing else may convert in this process
    meanwhile.

    Parameters
    ----------
    sizes : sequence of int, optional
        Numbers of elements, each at least 32, by default `SIZES`; no other section's arrays have more than
        the largest either, if they are given.  Matrices are square, of as many elements or, as their products
        take long, fewer.
    sections : sequence of str, optional
        What to measure, of `SECTIONS`.
    threads : int, default 1
        How many threads may share a conversion or a product; NumPy's copies use one.
    isa : str, optional
        The instruction set; the one in use if None.
    torch : bool, default False
        Whether to time PyTorch as well, with the same number of threads.
    seconds : float, optional
        For how long a row's own call and its reference are timed, together.
    progress : callable, optional
        Called as ``progress(done, total)`` when `done` of `total` rows are finished.

    Returns
    -------
    Bench

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is out of range, or this CPU does not run `isa`.
    MissingExtraError
        If `torch` is asked for and not installed.
    CFloatError
        If a result is wrong.

    Examples
    --------
    >>> from cfloat._bench.bench import bench
    >>> result = bench([64], sections=["conversions"], seconds=1e-6)
    >>> result.rows[0].work, result.rows[0].ratio > 0
    ('CFloat8_1_4_3', True)
    """
    limit = None
    if sizes is None:
        sizes = SIZES
    else:
        if not isinstance(sizes, list | tuple | range):
            raise ArgumentTypeError(f"sizes is {shown(sizes)}; it takes a sequence of integers")
        low, high = SIZE_LIMITS
        sizes = [integer("size", size, low, high) for size in sizes]
        limit = max(sizes, default=None)
    for name in sections:
        check_choice("section", name, tuple(SECTIONS))
    if not isinstance(seconds, int | float):
        raise ArgumentTypeError(f"seconds is {shown(seconds)}; it takes a number")
    if not 0 < seconds <= 60:
        raise ArgumentValueError(f"seconds is {seconds}; it takes more than 0 and at most 60")
    threads = integer("threads", threads, 1, MAX_THREADS)
    peers = _installed_peers(torch or "torch" in sections)
    with _settings(threads, isa, peers.get("torch")):
        context = Context(tuple(dict.fromkeys(sizes)), limit, threads, peers)
        # in the order in which they are printed
        cases = [
            (name, case if limit is None or not section.has_sizes else replace(case, goal=None))
            for name, section in SECTIONS.items()
            if name in sections
            for case in section.cases(context)
        ]
        rows = []
        for done, (name, case) in enumerate(cases):
            if progress is not None:
                progress(done, len(cases))
            rows.append(_row(name, case, threads, seconds))
        if progress is not None:
            progress(len(cases), len(cases))
        return Bench(this_machine(threads, peers), rows)


def _row(section: str, case: Case, count: int, seconds: float) -> Row:
    calls = case.prepare()
    first = [calls.own] if calls.reference is None else [calls.own, calls.reference]
    best = least_times([*first, *calls.peers.values()], seconds, calls.timing, len(first))
    # those that compare numbers of threads leave another one
    threads.set_num_threads(count)
    return timed(section, case, best, list(calls.peers))


def _installed_peers(torch: bool) -> dict[str, Any]:
    """Import the other packages to time."""
    found = {}
    for name in ("ml_dtypes", "torch") if torch else ("ml_dtypes",):
        try:
            found[name] = import_module(name)
        except ImportError:
            if name == "torch":
                raise MissingExtraError(
                    "torch is not installed; leave it out, or install it"
                ) from None
    return found


@contextmanager
def _settings(count: int, isa: str | None, torch: Any) -> Iterator[None]:
    """Set numbers of threads and the instruction set for a while."""
    before = threads.get_num_threads(), instruction_sets.isa()
    of_torch = None if torch is None else torch.get_num_threads()
    try:
        threads.set_num_threads(count)
        if isa is not None:
            instruction_sets.select_isa(isa)
        if torch is not None:
            torch.set_num_threads(count)
        with product_rows.blas_threads(count):
            yield
    finally:
        threads.set_num_threads(before[0])
        instruction_sets.select_isa(before[1])
        if torch is not None:
            torch.set_num_threads(of_torch)
