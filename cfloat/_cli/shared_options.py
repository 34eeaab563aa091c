"""Options and arguments that several commands have."""

import argparse
from typing import Final, get_args

from cfloat._core.format import Format, Subnormals
from cfloat._core.presets import as_format
from cfloat.errors import ArgumentValueError

#: What else can be named beside the formats that a command's help lists.
OTHER_FORMATS: Final = "any other that cfloat info lists"

#: The kinds of files that are read, for a command's help.
READABLE: Final = (
    "a .safetensors, .npz, .npy or PyTorch file, or a sharded checkpoint's index or folder"
)


def add_subnormals(command: argparse.ArgumentParser) -> None:
    """Add the option ``--subnormals`` to a command."""
    # a format without zero is another format, and no reading of one that has some
    readings = [reading for reading in get_args(Subnormals) if reading != "normal"]
    command.add_argument("--subnormals", choices=readings, metavar="HOW", help=", ".join(readings))


def add_patterns(command: argparse.ArgumentParser, verb: str, exclude: str) -> None:
    """Add the options ``--include`` and ``--exclude`` to a command."""
    command.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help=f"{verb} tensors with a name like this, and others named likewise, alone",
    )
    command.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help=exclude)


def format_of(name: str, subnormals: str | None) -> Format:
    """Look a format up by its name, with another reading of subnormals if there is one."""
    fmt = as_format(name)
    if subnormals is None:
        return fmt
    if fmt.subnormals == "normal":
        raise ArgumentValueError(
            f"--subnormals is {subnormals}, and {fmt.name} has neither subnormals nor a zero"
        )
    return fmt.replace(subnormals=subnormals)


def format_name(text: str) -> str:
    """Give the name of a format as an option has it, which may be in any case: a type of argparse's."""
    try:
        return as_format(text, "the format").name
    except ArgumentValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
