"""The command ``cfloat report``: its arguments, and what it prints and writes."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from numpy.typing import NDArray

from cfloat._core.presets import COMPARED, FORMATS
from cfloat._core.text import printable
from cfloat._core.text_table import aligned
from cfloat._files.paths import check_writable, is_special, shown_path
from cfloat._files.replace import write_text
from cfloat._files.stored_values import JoinedValues, StoredValues
from cfloat._report.carried_tensors import carried_tensors
from cfloat._report.conclusion import DEFAULT_MIN_DB
from cfloat._report.conclusion_text import compared
from cfloat._report.html_page import compare_page
from cfloat._report.progress import progress_bar
from cfloat._report.report import Report, report
from cfloat._report.saved_reports import read_report
from cfloat._report.tensor_costs import SORTS
from cfloat._report.text_tables import outputs_table
from cfloat.errors import ArgumentValueError, FileError

from .shared_options import OTHER_FORMATS, READABLE, add_patterns, format_name
from .terminal import print_report

#: What stands for standard output, where a file can be named.
STDOUT: Final = "-"

_CARRIED: Final = "No path is given: these are tensors that the package carries."


def add(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    command = commands.add_parser(
        "report",
        help="decide on a format: what it costs on a model's tensors",
        description="Measure what CFloat8 and CFloat16 cost on tensors, each format at its best exponent "
        "biases, and recommend one configuration: a format, for what there is a bias, and the command that "
        "converts to it.  Without a path: on real tensors that the package carries (weights, activations, "
        "gradients and Adam's moments of a small network).",
    )
    command.add_argument("paths", nargs="*", metavar="PATH", help=READABLE)
    command.add_argument(
        "--format",
        action="append",
        type=format_name,
        metavar="NAME",
        help="compare this format, and others named likewise, instead of all of these: "
        + ", ".join(fmt.name for fmt in COMPARED)
        + "; or "
        + OTHER_FORMATS,
    )
    command.add_argument(
        "--min-db",
        type=float,
        default=DEFAULT_MIN_DB,
        metavar="DB",
        help="the least SQNR, weighted by elements, of what is recommended; "
        f"{DEFAULT_MIN_DB:g} by default",
    )
    add_patterns(command, "measure", "leave tensors with a name like this as they are, unmeasured")
    command.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help="look at about N elements of each tensor, 16384 or more, and say how uncertain that makes "
        "the errors",
    )
    command.add_argument(
        "--activations",
        metavar="FILE",
        help="a file of inputs, each named as its weight: measure the error of their products, too",
    )
    command.add_argument(
        "--moments",
        metavar="FILE",
        help="what cfloat.torch.collect_moments gave, and its save wrote: measure the error of "
        "weights' outputs, rounded to nearest and compensated",
    )
    command.add_argument(
        "--compare",
        action="store_true",
        help="put reports beside each other: each PATH is a file that --json wrote",
    )
    command.add_argument("--all", action="store_true", help="print every table")
    command.add_argument(
        "--top",
        type=int,
        metavar="N",
        help="list so many tensors; with --all, those that have a table of their own",
    )
    command.add_argument(
        "--sort",
        choices=SORTS,
        metavar="KEY",
        help="the tensors' order: sqnr, the least first; loss, those first that lose most against another "
        "configuration; size, the largest first; or name",
    )
    command.add_argument("--quiet", action="store_true", help="print nothing but errors")
    where = "; - for standard output, alone"
    command.add_argument("--html", metavar="FILE", help="write a page to look at as well" + where)
    command.add_argument(
        "--json", metavar="FILE", help="write everything to a JSON file as well" + where
    )
    command.add_argument(
        "--csv", metavar="FILE", help="write the rows to a CSV file as well" + where
    )
    command.set_defaults(run=_run_report)


def _run_report(options: argparse.Namespace) -> None:
    if options.compare:
        _check_comparison(options)
    outputs = {
        name: path
        for name, path in (("html", options.html), ("json", options.json), ("csv", options.csv))
        if path is not None
    }
    to_stdout = _checked(options, outputs)
    if options.compare:
        contents = [read_report(path) for path in options.paths]
        if not (options.quiet or to_stdout):
            print(compared(contents))
            sys.stdout.flush()
        _write({"html": lambda: compare_page(contents)}, outputs, to_stdout)
        return
    tensors = _tensors(options.paths)
    # in one order, however they are given; what is made when it is asked for comes last
    asked = dict.fromkeys(options.format or [fmt.name for fmt in COMPARED])
    formats = [
        *filter(asked.__contains__, FORMATS),
        *(name for name in asked if name not in FORMATS),
    ]
    with _progress(options.quiet) as advance:
        activations = None if options.activations is None else StoredValues(options.activations)
        result = report(
            tensors,
            formats,
            activations=activations,
            sensitivity=options.moments,
            min_db=options.min_db,
            include=options.include,
            exclude=options.exclude,
            # what only tables and files show
            details=options.all or bool(outputs) or options.moments is not None,
            sample=options.sample,
            progress=advance,
        )
    if not result.tensors:
        reasons = [f"{name}: {reason}" for name, reason in result.skipped.items()]
        raise FileError(f"nothing to measure: {printable(reasons[0]) if reasons else 'no tensors'}")
    if not (options.quiet or to_stdout):
        _print(result, options)
        sys.stdout.flush()  # what is written below may go the same way
    texts = {"html": result.to_html, "json": result.to_json, "csv": result.to_csv}
    _write(texts, outputs, to_stdout)


def _check_comparison(options: argparse.Namespace) -> None:
    """Refuse what goes with a model that is measured, where reports are read."""
    if len(options.paths) < 2:
        raise ArgumentValueError("--compare takes two reports or more, which --json wrote")
    given = {
        "--format": options.format,
        "--min-db": options.min_db != DEFAULT_MIN_DB,
        "--include": options.include,
        "--exclude": options.exclude,
        "--sample": options.sample is not None,
        "--activations": options.activations is not None,
        "--moments": options.moments is not None,
        "--all": options.all,
        "--top": options.top is not None,
        "--sort": options.sort is not None,
        "--json": options.json is not None,
        "--csv": options.csv is not None,
    }
    for name in (name for name, is_given in given.items() if is_given):
        raise ArgumentValueError(f"{name} is for a model; --compare reads what was measured")


def _write(
    texts: Mapping[str, Callable[[], str]], outputs: Mapping[str, str], to_stdout: list[str]
) -> None:
    """Write what was asked for, each to its file or to standard output."""
    for name, path in outputs.items():
        if name in to_stdout:
            _write_stdout(texts[name]())
        else:
            write_text(path, texts[name]())


def _checked(options: argparse.Namespace, outputs: Mapping[str, str]) -> list[str]:
    """Refuse what cannot be written, before the work is done; tell which outputs go to standard output."""
    if options.top is not None and options.top < 0:
        raise ArgumentValueError(f"--top is {options.top}; it takes a number from 0 on")
    inputs = [*options.paths, *filter(None, (options.activations, options.moments))]
    to_stdout = [name for name, path in outputs.items() if _is_stdout(path)]
    for name in to_stdout[1:]:
        raise FileError(
            f"{shown_path(outputs[name])}: standard output is named for --{to_stdout[0]} and --{name}; "
            "it takes one"
        )
    files = [path for name, path in outputs.items() if name not in to_stdout]
    named = list(map(os.path.realpath, files))
    for path in files:
        check_writable(path)
        if any(os.path.realpath(path) == os.path.realpath(other) for other in inputs):
            raise FileError(f"{shown_path(path)}: would overwrite what is to be read")
        # a device or a pipe takes one after the other
        if named.count(os.path.realpath(path)) > 1 and not is_special(path):
            raise FileError(f"{shown_path(path)}: named for two outputs")
    return to_stdout


def _is_stdout(path: str) -> bool:
    """Whether a path is where standard output goes: ``-``, or /dev/stdout and what else names it."""
    if path == STDOUT:
        return True
    try:
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # nothing of that name, or standard output is closed or no file
        return False


def _write_stdout(text: str) -> None:
    # in UTF-8 as files are, whatever a terminal's encoding is
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:
    if quiet:
        yield None
        return
    with progress_bar("Measuring") as advance:
        yield advance


def _print(result: Report, options: argparse.Namespace) -> None:
    if options.all:
        print_report(result, options.top, options.sort)
        return
    if not options.paths:
        print(_CARRIED + "\n")
    sort = {} if options.sort is None else {"sort": options.sort}
    print(result.to_screen(options.top, **sort))
    if options.moments is not None:
        title, headings, rows = outputs_table(result.rows)
        lines = aligned([headings, *rows], range(1, len(headings)))
        print("", title, *(f"  {line}" for line in lines), sep="\n")


def _tensors(paths: list[str]) -> Mapping[str, NDArray[Any]]:
    if not paths:
        return carried_tensors()
    return StoredValues(paths[0]) if len(paths) == 1 else JoinedValues(paths)
