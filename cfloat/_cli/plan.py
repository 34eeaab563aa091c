"""The command ``cfloat plan``: its arguments, and what it prints and writes."""

import argparse
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from cfloat._core.presets import COMPARISON_FORMATS, TESLA_FORMATS
from cfloat._core.text import shown
from cfloat._files.paths import check_writable, is_special, shown_path
from cfloat._files.plan_file import EXPORTS
from cfloat._files.replace import write_text
from cfloat._report.plan import plan
from cfloat._report.progress import progress_bar
from cfloat._report.weighing import MEASURES
from cfloat.errors import ArgumentValueError, FileError

from .shared_options import OTHER_FORMATS, READABLE


def add(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    command = commands.add_parser(
        "plan",
        help="choose a format and biases for each tensor of a checkpoint",
        description="Choose a format and biases for each floating-point tensor of a checkpoint, or to leave "
        "it as it is: the fewest bytes for an error, or the least error for so many bytes.  "
        "cfloat convert --plan carries it out.",
    )
    command.add_argument("model", metavar="MODEL", help=READABLE)
    limit = command.add_mutually_exclusive_group()
    limit.add_argument(
        "--min-db",
        type=float,
        metavar="DB",
        help="the least SQNR of all tensors, weighted by their elements; 30 if nothing is asked for",
    )
    limit.add_argument(
        "--size",
        type=_share,
        metavar="SHARE",
        help="the bytes that there may be, as a share of the model's: 0.3x",
    )
    limit.add_argument("--bytes", type=int, metavar="N", help="the bytes that there may be")
    command.add_argument(
        "--worst-db", type=float, metavar="DB", help="the least SQNR of any tensor"
    )
    command.add_argument(
        "--formats",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="the formats that are allowed, with commas: by default "
        + ",".join(fmt.name for fmt in TESLA_FORMATS)
        + "; there are "
        + ", ".join(fmt.name for fmt in COMPARISON_FORMATS)
        + f" as well, and {OTHER_FORMATS}; and in an export CFloat8_1_4_3 alone",
    )
    command.add_argument(
        "--export",
        choices=EXPORTS,
        help="plan what cfloat convert --export writes, 8-bit floats beside scales of the weights of linear "
        "layers: which of them, and one scale a tensor, a row or a block of 128x128, for all alike",
    )
    command.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="change tensors with a name like this, and others named likewise, alone",
    )
    command.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave tensors with a name like this as they are",
    )
    command.add_argument(
        "--exact", action="store_true", help="find the optimum, with SciPy (extra plan)"
    )
    known = command.add_mutually_exclusive_group()
    known.add_argument(
        "--activations",
        metavar="FILE",
        help="a file of inputs, each named as its weight: go by the error of its products with them",
    )
    known.add_argument(
        "--moments",
        metavar="FILE",
        help="the same by what cfloat.torch.collect_moments or sensitivity gave, and its save wrote",
    )
    command.add_argument(
        "--by",
        choices=MEASURES,
        help="what an error is of: the elements of tensors, the outputs of layers, or the model's output; by "
        "default the last of these that there is all for",
    )
    command.add_argument(
        "--compensate",
        action="store_true",
        help="with --moments or --activations: weights rounded for their outputs, as cfloat convert --plan "
        "FILE --moments FILE does, and not to nearest; each candidate has the error of that",
    )
    command.add_argument("--out", metavar="FILE", help="write the plan to a TOML file as well")
    command.add_argument("--html", metavar="FILE", help="write a page to look at as well")
    command.add_argument("--json", action="store_true", help="print everything, as JSON")
    command.set_defaults(run=_run_plan)


def _share(text: str) -> float:
    try:
        return float(text.removesuffix("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no share, as 0.3x") from None


@contextmanager
def _nothing_else_printed() -> Iterator[None]:
    """Keep what compiled code prints from stdout, which is the command's own."""
    sys.stdout.flush()
    own = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        with suppress(OSError, TypeError, AttributeError):
            ctypes.CDLL(None).fflush(None)  # where there is C's own stdout, what it still holds
        os.dup2(own, 1)
        os.close(own)
        os.close(nowhere)


def _run_plan(options: argparse.Namespace) -> None:
    if options.compensate and options.moments is None and options.activations is None:
        raise ArgumentValueError("--compensate goes with --moments or --activations")
    outputs = [path for path in (options.out, options.html) if path is not None]
    for path in outputs:
        # refused before the work is done
        check_writable(path)
        inputs = (options.model, options.activations, options.moments)
        if os.path.realpath(path) in (os.path.realpath(each) for each in inputs if each):
            raise FileError(f"{shown_path(path)}: would overwrite what is to be read")
    if len(set(map(os.path.realpath, outputs))) < len(outputs) and not is_special(outputs[0]):
        raise FileError(f"{shown_path(outputs[0])}: named for two outputs")
    # a solver has words of its own
    alone = _nothing_else_printed() if options.exact else nullcontext()
    with alone, progress_bar("Measuring") as advance:
        made = plan(
            options.model,
            min_db=options.min_db,
            worst_db=options.worst_db,
            size=options.size,
            max_bytes=options.bytes,
            formats=options.formats,
            include=options.include,
            exclude=options.exclude,
            exact=options.exact,
            activations=options.activations,
            sensitivity=options.moments,
            by=options.by,
            export=options.export,
            compensate=options.compensate,
            progress=advance,
        )
    if options.out is not None:
        made.save(options.out)
    if options.html is not None:
        write_text(options.html, made.to_html(options.out))
    if options.json:
        sys.stdout.write(made.to_json())
    else:
        print(made.to_text(options.out))
