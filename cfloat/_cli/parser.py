"""The parser of the command line: what all commands have in common."""

import argparse
from typing import NoReturn

from cfloat._core.text import printable
from cfloat._version import __version__

from .bench import add_bench
from .convert import add_convert
from .info import add_info
from .report import add_report


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)}\n")


def parser() -> argparse.ArgumentParser:
    """Make the parser, with every command; each puts what runs it into ``run``."""
    made = _Parser(
        prog="cfloat",
        description="Tesla's configurable floating-point formats, CFloat8 and CFloat16.",
    )
    made.add_argument("--version", action="version", version=f"cfloat {__version__}")
    commands = made.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (add_report, add_bench, add_convert, add_info):
        add(commands)
    return made
