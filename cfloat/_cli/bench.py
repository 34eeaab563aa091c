"""The command ``cfloat bench``: its arguments, and what it prints and writes."""

import argparse
import sys
from importlib.util import find_spec
from typing import Any

from cfloat._bench.bench import DEFAULT_SECTIONS, SECONDS, SECTIONS, SIZES, bench
from cfloat._core.isa import isa_names
from cfloat._files.paths import check_writable
from cfloat._files.replace import write_text
from cfloat._report.progress import progress_bar


def add(commands: Any) -> None:
    """Add the command to a parser's subparsers."""
    command = commands.add_parser(
        "bench",
        help="measure the speed of conversions, products and much else",
        description="Measure speed beside NumPy's own copies and products in the same run, and beside "
        "ml_dtypes' if it is installed.  Results are checked before they are timed.  Sections: "
        + "; ".join(f"{name} ({section.about})" for name, section in SECTIONS.items())
        + ".",
    )
    command.add_argument(
        "--section",
        action="append",
        choices=tuple(SECTIONS),
        metavar="NAME",
        help="measure this section, and others named likewise; by default "
        + ", ".join(DEFAULT_SECTIONS),
    )
    command.add_argument(
        "--all",
        action="store_true",
        help="measure all sections, PyTorch's among them if it is installed: a quarter of an hour",
    )
    command.add_argument(
        "--size",
        action="append",
        type=int,
        metavar="N",
        help="convert N elements at a time, and other numbers named likewise, instead of "
        + " and ".join(map(str, SIZES))
        + "; arrays of sections that have sizes of their own have no more then",
    )
    command.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="let N threads share a conversion or a product (NumPy's copies use one); by default 1",
    )
    command.add_argument(
        "--isa",
        choices=isa_names(),
        metavar="NAME",
        help="use the kernels of this instruction set: " + ", ".join(isa_names()),
    )
    command.add_argument(
        "--torch", action="store_true", help="time PyTorch's casts and products as well"
    )
    command.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        metavar="S",
        help=f"time each row for S seconds; by default {SECONDS}",
    )
    command.add_argument("--json", metavar="FILE", help="write everything to a JSON file as well")
    command.set_defaults(run=_run_bench)


def _run_bench(options: argparse.Namespace) -> None:
    if options.json is not None:
        check_writable(options.json)
    sections = list(options.section or DEFAULT_SECTIONS)
    if options.all:
        sections = [name for name in SECTIONS if name != "torch" or find_spec("torch") is not None]
    with progress_bar("Timing") as advance:
        result = bench(
            options.size,
            sections=sections,
            threads=options.threads,
            isa=options.isa,
            torch=options.torch,
            seconds=options.seconds,
            progress=advance,
        )
    print(result.to_table())
    sys.stdout.flush()  # what is written below may go the same way
    if options.json is not None:
        write_text(options.json, result.to_json())
