"""The command ``cfloat``: argument parsing and printing only."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal, NoReturn

from numpy.typing import NDArray

from cfloat._bench.bench import SECONDS, SIZES, bench
from cfloat._core import isa as instruction_sets
from cfloat._core.text import printable
from cfloat._files.storage import TensorFile, check_writable, shown_path, write_text
from cfloat._report.report import (
    DEFAULT_FORMATS,
    LEGEND,
    TEXT_HEADINGS,
    Report,
    carried_tensors,
    report,
)
from cfloat._version import __version__
from cfloat.errors import CFloatError, FileError

from .convert import add_convert, add_info

#: Seconds of work after which a progress bar appears.
PROGRESS_AFTER = 1.0

Tensors = Mapping[str, NDArray[Any]]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after the command's name; those of the process if None.

    Returns
    -------
    int
        The exit status: 0, or 1 after an error, of which one line has been printed on stderr.
    """
    _make_streams_usable()
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
        sys.stdout.flush()
    except CFloatError as error:
        return _fail(f"error: {error}")
    except MemoryError:
        return _fail("error: out of memory")
    except BrokenPipeError:
        _forget_output()
        return 1
    except OSError as error:
        _forget_output()
        return _fail(f"error: output: {error.strerror or error}")
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return 0


def _make_streams_usable() -> None:
    """Make sure that there are streams, and that they take any name."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the process's life
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Keep Python from flushing, at its exit, what the output does not take."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int = 1) -> int:
    print(f"cfloat: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cfloat",
        description="Tesla's configurable floating-point formats, CFloat8 and CFloat16.",
    )
    parser.add_argument("--version", action="version", version=f"cfloat {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "report",
        help="measure what each format costs on tensors",
        description="Measure what CFloat8 and CFloat16 cost on tensors, each format at its best exponent "
        "bias, beside float16, bfloat16 and the OCP 8-bit formats.  Without a path: on real tensors that "
        "the package carries (weights, activations, gradients and Adam's moments of a small network).",
    )
    command.add_argument(
        "paths", nargs="*", metavar="PATH", help="a .npy, .npz or .safetensors file"
    )
    command.add_argument(
        "--format",
        action="append",
        choices=[fmt.name for fmt in DEFAULT_FORMATS],
        metavar="NAME",
        help="compare this format, and others named likewise, instead of all: "
        + ", ".join(fmt.name for fmt in DEFAULT_FORMATS),
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
    command = commands.add_parser(
        "bench",
        help="measure the speed of conversions and matrix products",
        description="Measure the speed of conversions and matrix products beside NumPy's own copies and "
        "products in the same run, and beside ml_dtypes' if it is installed.  Both ends of each result are "
        "checked before it is timed.",
    )
    command.add_argument(
        "--size",
        action="append",
        type=int,
        metavar="N",
        help="convert N elements at a time, and other numbers named likewise, instead of "
        + " and ".join(map(str, SIZES)),
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
        choices=instruction_sets.isa_names(),
        metavar="NAME",
        help="use the kernels of this instruction set: " + ", ".join(instruction_sets.isa_names()),
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
    add_convert(commands, _progress_bar)
    add_info(commands)
    return parser


def _run_report(options: argparse.Namespace) -> None:
    outputs = [path for path in (options.html, options.json, options.csv) if path is not None]
    inputs = [*options.paths, *([] if options.activations is None else [options.activations])]
    for path in outputs:
        check_writable(path)
        if any(os.path.realpath(path) == os.path.realpath(other) for other in inputs):
            raise FileError(f"{shown_path(path)}: would overwrite what is to be read")
    named = list(map(os.path.realpath, outputs))
    for path in outputs:
        device = os.path.exists(path) and not os.path.isfile(path)  # takes one after the other
        if named.count(os.path.realpath(path)) > 1 and not device:
            raise FileError(f"{shown_path(path)}: named for two outputs")
    tensors = _tensors(options.paths)
    formats = [fmt for fmt in DEFAULT_FORMATS if not options.format or fmt.name in options.format]
    with _progress_bar("Measuring") as advance:
        activations = None if options.activations is None else TensorFile(options.activations)
        result = report(tensors, formats, activations=activations, progress=advance)
    if not result.rows:
        reasons = [f"{name}: {reason}" for name, reason in result.skipped.items()]
        raise FileError(f"nothing to measure: {printable(reasons[0]) if reasons else 'no tensors'}")
    _print_report(result)
    if options.html is not None:
        write_text(options.html, result.to_html())
    if options.json is not None:
        write_text(options.json, result.to_json())
    if options.csv is not None:
        write_text(options.csv, result.to_csv())


def _run_bench(options: argparse.Namespace) -> None:
    if options.json is not None:
        check_writable(options.json)
    with _progress_bar("Timing") as advance:
        result = bench(
            options.size or SIZES,
            threads=options.threads,
            isa=options.isa,
            torch=options.torch,
            seconds=options.seconds,
            progress=advance,
        )
    print(result.to_table())
    if options.json is not None:
        write_text(options.json, result.to_json())


class _Joined(Mapping[str, NDArray[Any]]):
    """The tensors of several files, their names preceded by the files'."""

    def __init__(self, tensor_files: list[TensorFile]) -> None:
        self._found = {
            f"{tensor_file.path}:{name}": (tensor_file, name)
            for tensor_file in tensor_files
            for name in tensor_file
        }

    def __getitem__(self, name: str) -> NDArray[Any]:
        tensor_file, inner = self._found[name]
        return tensor_file[inner]

    def stored_dtype(self, name: str) -> str | None:
        tensor_file, inner = self._found[name]
        return tensor_file.stored_dtype(inner)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _tensors(paths: list[str]) -> Tensors:
    if not paths:
        return carried_tensors()
    tensor_files = [TensorFile(path) for path in paths]
    return tensor_files[0] if len(tensor_files) == 1 else _Joined(tensor_files)


@contextmanager
def _progress_bar(title: str) -> Iterator[Callable[[float, int], None]]:
    """Give a function that shows progress on a terminal's stderr, once the work has taken a while."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    bar = Progress(console=console, transient=True)
    task = bar.add_task(title)
    start = time.monotonic()

    def advance(done: float, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - start > PROGRESS_AFTER:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield advance if console.is_terminal else lambda done, total: None
    finally:
        if bar.live.is_started:
            bar.stop()


def _print_report(result: Report) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        print(result.to_table())
        return
    _print_line(console, LEGEND)
    for title, headings, rows in result.tables():
        _print_line(console, "")
        _print_table(console, title, headings, rows)


def _print_line(console: Any, text: str, style: str | None = None) -> None:
    # as it stands: no markup, no emoji, no folding
    console.out(text, style=style, highlight=False)


def _print_table(console: Any, title: str, headings: Sequence[str], rows: list[list[str]]) -> None:
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    _print_line(console, title, style="bold")
    # no box and one space between columns: the widest table fits 80 columns
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for heading in headings:
        side: Literal["left", "right"] = "left" if heading in TEXT_HEADINGS else "right"
        table.add_column(heading, justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    # as wide as it is: a narrow terminal breaks lines, where rich would cut cells short
    natural = Measurement.get(console, console.options.update(width=10_000), table).maximum
    console.print(table, crop=False, width=natural)
