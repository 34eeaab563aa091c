"""The command ``cfloat info``: its arguments, and what it prints."""

import argparse
import json
from typing import Any

from cfloat._core.format_info import FormatInfo, format_info
from cfloat._core.presets import FORMATS
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
        "limits and values.",
    )
    command.add_argument(
        "what", metavar="FILE|FORMAT", help="a checkpoint, or one of " + ", ".join(FORMATS)
    )
    command.add_argument("--bias", type=int, metavar="B", help="the format's bias")
    add_subnormals(command)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run_info)


def _run_info(options: argparse.Namespace) -> None:
    if options.what in FORMATS:
        fmt = format_of(options.what, options.subnormals)
        result: FormatInfo | FileInfo = format_info(fmt, options.bias)
    else:
        if options.bias is not None or options.subnormals is not None:
            raise ArgumentValueError(
                f"{shown(options.what)} is not a format, and --bias and --subnormals go with one of "
                + ", ".join(FORMATS)
            )
        result = file_info(options.what)
    print(json.dumps(result.to_dict(), indent=2) if options.json else result.to_text())
