"""The commands ``cfloat convert`` and ``cfloat info``: their arguments, and what they print."""

import argparse
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cfloat._core.format import Format
from cfloat._core.presets import COMPARISON_FORMATS, TESLA_FORMATS
from cfloat._core.rounding import ROUNDING_MODES
from cfloat._core.text import shown
from cfloat._files.convert import convert
from cfloat._files.info import FileInfo, FormatInfo, file_info, format_info
from cfloat._files.plan import BIAS_METHODS, FLOAT_NAMES, Plan
from cfloat.errors import ArgumentValueError

Bar = Callable[[str], AbstractContextManager[Callable[[float, int], None]]]

_FORMATS = {fmt.name: fmt for fmt in (*TESLA_FORMATS, *COMPARISON_FORMATS)}
_SUBNORMALS = ("whitepaper", "ieee", "flush")


def add_convert(commands: Any, bar: Bar) -> None:
    """Add the command ``convert`` to a parser's.

    Parameters
    ----------
    commands : argparse's subparsers
        Where to add it.
    bar : callable
        What shows progress: from a title, a context manager that gives the function to call.
    """
    command = commands.add_parser(
        "convert",
        help="convert a checkpoint to a format, or back",
        description="Convert the floating-point tensors of a checkpoint to a format, and copy the others.  "
        "IN is a .safetensors, .npz, .npy or PyTorch file, or a sharded checkpoint's index or folder.  "
        "OUT is a .safetensors file, or for a sharded checkpoint a folder or an index.",
    )
    command.add_argument("source", metavar="IN", help="what to convert")
    command.add_argument("target", metavar="OUT", help="what to write")
    command.add_argument(
        "--format",
        choices=list(_FORMATS),
        metavar="NAME",
        help="the format: " + ", ".join(_FORMATS),
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
        default="max",
        metavar="HOW",
        help="how to choose biases, or one bias for all: "
        + ", ".join(BIAS_METHODS)
        + " or an integer; by "
        "default max, the largest at which nothing is too large",
    )
    layout = command.add_mutually_exclusive_group()
    layout.add_argument(
        "--axis", type=int, metavar="K", help="one bias for each slice along this axis"
    )
    layout.add_argument(
        "--block", type=int, metavar="N", help="one bias for each N elements of the last axis"
    )
    command.add_argument(
        "--rounding",
        choices=ROUNDING_MODES,
        default="ties_to_even",
        metavar="MODE",
        help=", ".join(ROUNDING_MODES),
    )
    command.add_argument("--seed", type=int, metavar="S", help="of stochastic rounding")
    command.add_argument(
        "--subnormals", choices=_SUBNORMALS, metavar="HOW", help=", ".join(_SUBNORMALS)
    )
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
        choices=["fp8"],
        metavar="fp8",
        help="write CFloat8 as 8-bit floats (E4M3, E5M2) beside scales, as compressed-tensors does: the "
        "weights of linear layers",
    )
    command.add_argument(
        "--strict", action="store_true", help="refuse an export that changes a value of a code"
    )
    command.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="let the workers of a Dask cluster do the work, which see the same files",
    )
    command.set_defaults(run=lambda options: _run_convert(options, bar))


def add_info(commands: Any) -> None:
    """Add the command ``info`` to a parser's."""
    command = commands.add_parser(
        "info",
        help="show what is in a checkpoint, or what a format can hold",
        description="Show a checkpoint's tensors: dtype or format, shape, bias and bytes; or a format's "
        "limits and values.",
    )
    command.add_argument(
        "what", metavar="FILE|FORMAT", help="a checkpoint, or one of " + ", ".join(_FORMATS)
    )
    command.add_argument("--bias", type=int, metavar="B", help="the format's bias")
    command.add_argument(
        "--subnormals", choices=_SUBNORMALS, metavar="HOW", help=", ".join(_SUBNORMALS)
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run_info)


def _bias(text: str) -> int | str:
    if text in BIAS_METHODS:
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is neither an integer nor one of {', '.join(BIAS_METHODS)}"
        ) from None


def _format(name: str | None, subnormals: str | None) -> Format | None:
    if name is None:
        if subnormals is not None:
            raise ArgumentValueError("--subnormals goes with --format")
        return None
    return _FORMATS[name] if subnormals is None else _FORMATS[name].replace(subnormals=subnormals)


def _run_convert(options: argparse.Namespace, bar: Bar) -> None:
    if options.format is None and options.to is None and options.export is None:
        raise ArgumentValueError("give --format, --to or --export")
    one = not isinstance(options.bias, str) or options.bias == "default"
    layout = options.axis is not None or options.block is not None
    if options.format and one and layout and not options.export:
        raise ArgumentValueError(
            f"--bias {shown(options.bias)} is one for all; --axis and --block go with max, mse and percentile"
        )
    if options.seed is not None and options.rounding != "stochastic":
        raise ArgumentValueError("--seed goes with --rounding stochastic")
    subnormals = options.subnormals
    if options.export and options.format and subnormals is None:
        subnormals = "ieee"  # as they are stored
    plan = Plan(
        format=_format(options.format, subnormals),
        to=options.to,
        bias=options.bias,
        axis=options.axis,
        block=options.block,
        rounding=options.rounding,
        seed=options.seed,
        include=tuple(options.include),
        exclude=tuple(options.exclude),
        export=options.export is not None,
        strict=options.strict,
    )
    with bar("Converting") as advance:
        summary = convert(
            options.source, options.target, plan, advance, scheduler=options.scheduler
        )
    print(summary.to_text())


def _run_info(options: argparse.Namespace) -> None:
    if options.what in _FORMATS:
        fmt = _format(options.what, options.subnormals)
        assert fmt is not None
        result: FormatInfo | FileInfo = format_info(fmt, options.bias)
    else:
        if options.bias is not None or options.subnormals is not None:
            raise ArgumentValueError(
                f"{shown(options.what)} is not a format, and --bias and --subnormals go with one of "
                + ", ".join(_FORMATS)
            )
        result = file_info(options.what)
    print(json.dumps(result.to_dict(), indent=2) if options.json else result.to_text())
