"""The command ``cfloat info``: its arguments, and what it prints."""

import argparse
import json
import os
from typing import Any

from cfloat._core import p3109
from cfloat._core.format_info import FormatInfo, FormatList, format_info, format_list
from cfloat._core.presets import FORMATS, NAMES, find_format
from cfloat._core.text import shown
from cfloat._files.file_info import FileInfo, file_info
from cfloat.errors import ArgumentValueError

from .shared_options import add_subnormals, format_of


def add(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    command = commands.add_parser(
        "info",
        help="show what is in a checkpoint, or what a format can hold",
        description="Show a checkpoint's tensors: dtype or format, shape, bias and bytes; or a format's "
        "limits and values; or, without an argument, which formats there are.",
    )
    command.add_argument(
        "what",
        nargs="?",
        metavar="FILE|FORMAT",
        help="a checkpoint, or one of "
        + ", ".join(FORMATS)
        + f", or P3109's {p3109.NAMES}, in any case",
    )
    command.add_argument("--bias", type=int, metavar="B", help="the format's bias")
    add_subnormals(command)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run_info)


def _run_info(options: argparse.Namespace) -> None:
    result = _asked_for(options)
    print(json.dumps(result.to_dict(), indent=2) if options.json else result.to_text())


def _asked_for(options: argparse.Namespace) -> FormatInfo | FormatList | FileInfo:
    what = options.what
    if what is not None and find_format(what) is not None:
        return format_info(format_of(what, options.subnormals), options.bias)
    if options.bias is not None or options.subnormals is not None:
        given = "nothing" if what is None else shown(what)
        raise ArgumentValueError(
            f"{given} is not a format, and --bias and --subnormals go with one of {NAMES}"
        )
    if what is None:
        return format_list()
    if what and os.path.basename(what) == what and "." not in what and not os.path.lexists(what):
        raise ArgumentValueError(f"{shown(what)} is neither a file nor a format, which are {NAMES}")
    return file_info(what)
