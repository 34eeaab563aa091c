"""The command ``cfloat convert``: its arguments, and what it prints."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cfloat._bias.bias_layout import axes_of_text
from cfloat._compensate.round_compensated import OUTPUT
from cfloat._core.presets import COMPARED
from cfloat._core.rounding import ROUNDING_MODES
from cfloat._core.text import printable, shown
from cfloat._files.conversion_plan import BIAS_METHODS, FLOAT_NAMES, REDUCTION, Plan
from cfloat._files.convert import Runner, convert, run_here
from cfloat._files.plan_file import EXPORTS, TensorChoice, read_plan
from cfloat._report.progress import progress_bar
from cfloat._report.sensitivity import Sensitivity
from cfloat.errors import ArgumentValueError, MissingExtraError

from .shared_options import OTHER_FORMATS, READABLE, add_subnormals, format_name, format_of


def add(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    command = commands.add_parser(
        "convert",
        help="convert a checkpoint to a format, or back",
        description="Convert the floating-point tensors of a checkpoint to a format, and copy the others.  "
        f"IN is {READABLE}.  "
        "OUT is a .safetensors file, or for a sharded checkpoint a folder or an index.",
    )
    command.add_argument("source", metavar="IN", help="what to convert")
    command.add_argument("target", metavar="OUT", help="what to write")
    command.add_argument(
        "--format",
        type=format_name,
        metavar="NAME",
        help="the format: "
        + ", ".join(fmt.name for fmt in COMPARED)
        + f", or {OTHER_FORMATS}; an export has but CFloat8_1_4_3",
    )
    command.add_argument(
        "--plan",
        metavar="FILE",
        help="what cfloat plan --out wrote: a format and biases for each tensor, in place of --format; or "
        "what an export writes of each, if it was made with --export",
    )
    command.add_argument(
        "--moments",
        metavar="FILE",
        help="what cfloat.torch.collect_moments gave, and its save wrote: round each weight for the "
        "outputs of its products, and others to nearest",
    )
    command.add_argument(
        "--resume",
        metavar="FOLDER",
        help="with --moments, keep each rounded weight here until all is done, and take from here what a run "
        "that was cut has left; the folder is removed in the end",
    )
    command.add_argument(
        "--to",
        choices=list(FLOAT_NAMES),
        metavar="DTYPE",
        help="convert back to " + ", ".join(FLOAT_NAMES),
    )
    command.add_argument(
        "--bias",
        type=_bias,
        metavar="HOW",
        help="how to choose biases, or one bias for all: "
        + ", ".join(BIAS_METHODS)
        + " or an integer; by "
        "default max, the largest at which nothing is too large; output takes --moments",
    )
    layout = command.add_mutually_exclusive_group()
    layout.add_argument(
        "--axis", type=int, metavar="K", help="one bias for each slice along this axis"
    )
    layout.add_argument(
        "--block",
        type=_block,
        metavar="N|RxC",
        help="one bias for each N elements of the last axis; in an export, one scale for each R rows and C "
        "columns, as 128x128",
    )
    command.add_argument(
        "--along",
        type=_along,
        metavar="AXES",
        help="with --block N, what blocks run along instead of the last axis: reduction (what products add "
        "up along: all axes but the first, or of a Conv1D's matrix the first, as the model's class says, "
        "with the extra transformers), or an axis K, or the axes K-L as one",
    )
    command.add_argument(
        "--rounding",
        choices=ROUNDING_MODES,
        default=Plan.rounding,
        metavar="MODE",
        help=", ".join(ROUNDING_MODES),
    )
    command.add_argument("--seed", type=int, metavar="S", help="of stochastic rounding")
    add_subnormals(command)
    command.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="convert tensors with a name like this, and others named likewise, instead of all",
    )
    command.add_argument(
        "--exclude",
        "--keep-float",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave tensors with a name like this as they are",
    )
    command.add_argument(
        "--export",
        choices=["fp8", "fp8-dynamic"],
        metavar="HOW",
        help="write CFloat8_1_4_3 as 8-bit floats beside scales, as compressed-tensors does: the weights of "
        "linear layers, which the model's own class knows (extra transformers), or names that are certain; "
        "fp8: a scale a tensor, or as --axis 0 or --block say; fp8-dynamic: a scale a row (or a block), and "
        "readers quantize each token that goes into a layer",
    )
    command.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="PATTERN",
        help="in an export, leave layers with a name like this in full precision, those without a tensor too",
    )
    command.add_argument(
        "--strict",
        action="store_true",
        help="refuse an export that changes a value of a code, and to leave out what cannot be converted "
        "and is not excluded",
    )
    command.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="let the workers of a Dask cluster do the work, which see the same files",
    )
    command.add_argument(
        "--worker-timeout",
        type=float,
        metavar="SECONDS",
        help="with --scheduler, give up if for so long nothing is done and no worker is heard of; "
        "60 by default",
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run_convert)


def _bias(text: str) -> int | str:
    if text in BIAS_METHODS:
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is neither an integer nor one of {', '.join(BIAS_METHODS)}"
        ) from None


def _block(text: str) -> int | tuple[int, int]:
    rows, by, columns = text.partition("x")
    try:
        return (int(rows), int(columns)) if by else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is neither a number of elements nor rows and columns, as 128x128"
        ) from None


def _along(text: str) -> str | tuple[int, ...]:
    axes = axes_of_text(text)
    if text == REDUCTION or axes:
        return axes or text
    raise argparse.ArgumentTypeError(
        f"{shown(text)} is neither {REDUCTION} nor an axis K, nor the first and the last of several, K-L"
    )


def _run_convert(options: argparse.Namespace) -> None:
    tensors = None
    if options.plan is not None:
        _check_alone(options)
        tensors = read_plan(options.plan, compensates=options.moments is not None)
        _check_export(options.export, tensors)
    elif options.format is None and options.to is None and options.export is None:
        raise ArgumentValueError("give --format, --plan, --to or --export")
    bias = Plan.bias if options.bias is None else options.bias
    one = not isinstance(bias, str) or bias == "default"
    layout = options.axis is not None or options.block is not None
    if options.format and one and layout and not options.export:
        raise ArgumentValueError(
            f"--bias {shown(bias)} is one for all; --axis and --block go with max, mse, percentile and mx, "
            "and with --moments output"
        )
    if options.along is not None and options.block is None:
        raise ArgumentValueError("--along goes with --block")
    if options.seed is not None and options.rounding != "stochastic":
        raise ArgumentValueError("--seed goes with --rounding stochastic")
    if options.format is None and options.subnormals is not None:
        raise ArgumentValueError("--subnormals goes with --format")
    if options.worker_timeout is not None and options.scheduler is None:
        raise ArgumentValueError("--worker-timeout goes with --scheduler")
    if bias == OUTPUT and options.moments is None:
        raise ArgumentValueError(f"--bias {OUTPUT} goes with --moments")
    if options.moments is not None:
        _check_moments(options)
    elif options.resume is not None:
        raise ArgumentValueError("--resume goes with --moments")
    subnormals = options.subnormals
    if options.export and options.format and subnormals is None:
        subnormals = "ieee"  # as they are stored
    plan = Plan(
        format=options.format and format_of(options.format, subnormals),
        to=options.to,
        bias=bias,
        axis=options.axis if options.along is None else options.along,
        block=options.block,
        rounding=options.rounding,
        seed=options.seed,
        include=tuple(options.include),
        exclude=tuple(options.exclude),
        ignore=tuple(options.ignore),
        export=options.export is not None,
        dynamic=options.export == "fp8-dynamic",
        strict=options.strict,
        tensors=tensors,
    )
    # refused before a cluster is looked for
    plan = plan.checked()
    known = None if options.moments is None else Sensitivity.load(options.moments)
    with (
        _runner(options.scheduler, options.worker_timeout) as runner,
        progress_bar("Converting") as advance,
    ):
        moments = None if known is None else known.moments
        summary = convert(
            options.source,
            options.target,
            plan,
            advance,
            runner=runner,
            moments=moments,
            resume=options.resume,
            also_read=[] if options.moments is None else [options.moments],
        )
    if known is not None:
        summary.notes += map(printable, known.notes)
    print(json.dumps(summary.to_dict(), indent=2) if options.json else summary.to_text())


def _check_moments(options: argparse.Namespace) -> None:
    """Refuse what moments do not go with, before their file is read."""
    given = {"--to": options.to is not None, "--scheduler": options.scheduler is not None}
    for name in (name for name, is_given in given.items() if is_given):
        raise ArgumentValueError(f"--moments does not go with {name}")
    if options.rounding != Plan.rounding:
        raise ArgumentValueError(
            f"--moments goes with --rounding {Plan.rounding}, not with {options.rounding}"
        )


def _check_alone(options: argparse.Namespace) -> None:
    """Refuse what is for all tensors, where a plan says it of each."""
    given = {
        "--format": options.format,
        "--to": options.to,
        "--axis": options.axis,
        "--block": options.block,
        "--along": options.along,
        "--subnormals": options.subnormals,
        "--include": options.include or None,
        "--exclude": options.exclude or None,
        "--ignore": options.ignore or None,
        "--bias": options.bias,
    }
    for name in (name for name, value in given.items() if value is not None):
        raise ArgumentValueError(f"{name} is for all tensors; --plan says it of each")


def _check_export(export: str | None, tensors: dict[str, TensorChoice]) -> None:
    """Refuse an export that is another than the plan's; what the plan says need not be said again."""
    planned = any(choice.is_exported for choice in tensors.values())
    if export is None or (export in EXPORTS and planned):
        return
    said = f"the plan's is {', '.join(EXPORTS)}" if planned else "the plan is of none"
    raise ArgumentValueError(
        f"--export is {export}, and {said}; cfloat plan --export fp8 makes a plan of one, and --exclude in "
        "place of --plan leaves tensors as they are"
    )


@contextmanager
def _runner(scheduler: str | None, worker_timeout: float | None) -> Iterator[Runner]:
    """Give what does the work: this process, or the workers of a Dask cluster (extra ``dask``)."""
    if scheduler is None:
        yield run_here
        return
    try:
        from cfloat.dask._cluster import Cluster
    except MissingExtraError:
        raise MissingExtraError(
            "a conversion on a cluster needs Dask: pip install 'cfloat[dask]'"
        ) from None
    times = {} if worker_timeout is None else {"worker_timeout": worker_timeout}
    with Cluster(scheduler, **times) as cluster:
        yield cluster.run
