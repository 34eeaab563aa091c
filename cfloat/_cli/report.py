"""The command ``cfloat report``: its arguments, and what it prints and writes."""

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from cfloat._core.presets import FORMATS
from cfloat._core.text import printable
from cfloat._files.paths import check_writable, is_special, shown_path
from cfloat._files.replace import write_text
from cfloat._files.stored_values import JoinedValues, StoredValues
from cfloat._report.carried_tensors import carried_tensors
from cfloat._report.report import report
from cfloat.errors import FileError

from .progress import progress_bar
from .shared_options import READABLE
from .terminal import print_report


def add(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    command = commands.add_parser(
        "report",
        help="measure what each format costs on tensors",
        description="Measure what CFloat8 and CFloat16 cost on tensors, each format at its best exponent "
        "bias, beside float16, bfloat16 and the OCP 8-bit formats.  Without a path: on real tensors that "
        "the package carries (weights, activations, gradients and Adam's moments of a small network).",
    )
    command.add_argument("paths", nargs="*", metavar="PATH", help=READABLE)
    command.add_argument(
        "--format",
        action="append",
        choices=list(FORMATS),
        metavar="NAME",
        help="compare this format, and others named likewise, instead of all: "
        + ", ".join(FORMATS),
    )
    command.add_argument(
        "--activations",
        metavar="FILE",
        help="a file of inputs, each named as its weight: measure the error of their products, too",
    )
    command.add_argument("--html", metavar="FILE", help="write a page to look at as well")
    command.add_argument("--json", metavar="FILE", help="write everything to a JSON file as well")
    command.add_argument("--csv", metavar="FILE", help="write the rows to a CSV file as well")
    command.set_defaults(run=_run_report)


def _run_report(options: argparse.Namespace) -> None:
    outputs = [path for path in (options.html, options.json, options.csv) if path is not None]
    inputs = [*options.paths, *([] if options.activations is None else [options.activations])]
    for path in outputs:
        check_writable(path)
        if any(os.path.realpath(path) == os.path.realpath(other) for other in inputs):
            raise FileError(f"{shown_path(path)}: would overwrite what is to be read")
    named = list(map(os.path.realpath, outputs))
    for path in outputs:
        # a device or a pipe takes one after the other
        if named.count(os.path.realpath(path)) > 1 and not is_special(path):
            raise FileError(f"{shown_path(path)}: named for two outputs")
    tensors = _tensors(options.paths)
    formats = [name for name in FORMATS if not options.format or name in options.format]
    with progress_bar("Measuring") as advance:
        activations = None if options.activations is None else StoredValues(options.activations)
        result = report(tensors, formats, activations=activations, progress=advance)
    if not result.rows:
        reasons = [f"{name}: {reason}" for name, reason in result.skipped.items()]
        raise FileError(f"nothing to measure: {printable(reasons[0]) if reasons else 'no tensors'}")
    print_report(result)
    sys.stdout.flush()  # what is written below may go the same way
    if options.html is not None:
        write_text(options.html, result.to_html())
    if options.json is not None:
        write_text(options.json, result.to_json())
    if options.csv is not None:
        write_text(options.csv, result.to_csv())


def _tensors(paths: list[str]) -> Mapping[str, NDArray[Any]]:
    if not paths:
        return carried_tensors()
    return StoredValues(paths[0]) if len(paths) == 1 else JoinedValues(paths)
