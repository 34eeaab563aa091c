"""The parser of the command line: what all commands have in common."""

import argparse
from importlib import import_module
from typing import Final, NoReturn

from cfloat._core.text import printable
from cfloat._version import __version__

#: Each is a module here, whose `add` adds it to a parser's subparsers, with what runs it under ``run``.
COMMANDS: Final = ("report", "plan", "bench", "convert", "info")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)}\n")


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """Make the parser: with one command, so that nobody waits for the others, or with all."""
    made = _Parser(
        prog="cfloat",
        description="Tesla's configurable floating-point formats, CFloat8 and CFloat16.",
    )
    made.add_argument("--version", action="version", version=f"cfloat {__version__}")
    commands = made.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in [command] if command in COMMANDS else COMMANDS:
        import_module(f".{name}", __package__).add(commands)
    return made
