"""Every float32 through every instruction set of this CPU, against the scalar code.

The codes, and the counts of the exception flags, must be those of the portable kernels, which call the
scalar arithmetic for each element.  Without options: the four Tesla formats, each at up to three biases, to
nearest, stochastically and toward zero.  The exit status is 1 if anything differs.

    python benchmarks/exhaustive.py
    python benchmarks/exhaustive.py --format CFloat16_SHP --bias 15 --from 0x38000000 --to 0x38800000
"""

import argparse
import itertools
import multiprocessing
import sys
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

import cfloat as cf
from cfloat._core import isa as instruction_sets

ALL = 1 << 32
PIECE = 1 << 22
SEED = 2021
FORMATS = {fmt.name: fmt for fmt in (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS)}
ROUNDING = ("ties_to_even", "stochastic", "toward_zero")
BIASES = (
    0,
    None,
    63,
)  # None is the format's default; those that a format does not allow are left out
SHOWN = 5


class Combination(NamedTuple):
    """What the inputs are converted to, and how."""

    fmt: cf.Format
    bias: int
    rounding: str
    operation: str

    def __str__(self):
        reading = "" if self.fmt.subnormals != "ieee" else " ieee"
        return f"{self.operation} {self.fmt.name}{reading} bias {self.bias} {self.rounding}"


class Piece(NamedTuple):
    """A range of the inputs, and what to do with it."""

    combination: Combination
    start: int
    stop: int
    isas: tuple[str, ...]
    count_flags: bool
    plant: bool


@dataclass
class Outcome:
    """What an instruction set got wrong, and how long it took."""

    mismatches: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    def add(self, other):
        self.mismatches += other.mismatches
        self.seconds += other.seconds
        self.examples = (self.examples + other.examples)[:SHOWN]


def convert(combination, x, offset, count_flags):
    """Return the results as integers, the flags, and the time, with the instruction set in use."""
    fmt, bias, rounding, operation = combination
    start = time.perf_counter()
    arguments = {"rounding": rounding, "seed": SEED, "offset": offset}
    function = cf.encode if operation == "encode" else cf.round_to
    if count_flags:
        with cf.record_flags() as flags:
            result = function(x, fmt, bias, **arguments)
    else:
        flags, result = None, function(x, fmt, bias, **arguments)
    seconds = time.perf_counter() - start
    return result.view(f"u{result.itemsize}"), flags, seconds


def compare(x, expected, got, expected_flags, got_flags):
    """Return what differs: wrong results by their inputs, then wrong counts of the piece."""
    wrong = np.flatnonzero(expected != got)
    outcome = Outcome(mismatches=wrong.size)
    inputs = x.view(np.uint32)
    how = "" if got_flags is None else ", counting flags"
    for index in wrong[:SHOWN]:
        outcome.examples.append(
            f"input {inputs[index]:#010x} ({x[index]}): "
            f"expected {expected[index]:#x}, got {got[index]:#x}{how}"
        )
    if expected_flags != got_flags:
        outcome.mismatches += 1
        outcome.examples.append(
            f"inputs {inputs[0]:#010x} to {inputs[-1]:#010x}: expected {expected_flags}, got {got_flags}"
        )
    return outcome


def run_piece(piece):
    """Return an outcome for each instruction set, "portable" being the scalar code's time alone."""
    combination, start, stop = piece.combination, piece.start, piece.stop
    x = (np.arange(stop - start, dtype=np.uint32) + np.uint32(start)).view(np.float32)
    instruction_sets.select_isa("portable")
    expected, expected_flags, seconds = convert(combination, x, start, piece.count_flags)
    outcomes = {"portable": Outcome(seconds=seconds)}
    for isa in piece.isas:
        instruction_sets.select_isa(isa)
        outcome = outcomes[isa] = Outcome()
        # counting is another path through a kernel: where it is asked for, both are compared
        for count_flags in (False, True) if piece.count_flags else (False,):
            got, got_flags, seconds = convert(combination, x, start, count_flags)
            if piece.plant:
                got[got.size // 2] ^= 1
                if got_flags is not None:
                    got_flags.overflow += 1
            wanted_flags = expected_flags if count_flags else None
            outcome.add(compare(x, expected, got, wanted_flags, got_flags))
            outcome.seconds += seconds
    return outcomes


def combinations(options):
    """Return what to convert to; a bias that a format does not allow is left out."""
    found = {}
    for name, given, rounding, operation in itertools.product(
        options.format, options.bias, options.rounding, options.operation
    ):
        fmt = FORMATS[name]
        if options.subnormals:
            fmt = fmt.replace(subnormals=options.subnormals)
        low, high = fmt.bias_range
        bias = fmt.default_bias if given is None else given
        if low <= bias <= high:
            found[Combination(fmt, bias, rounding, operation)] = None
    return list(found)


def bias(text):
    return None if text == "default" else int(text)


def bits(text):
    return int(text, 0)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    isas = [name for name in instruction_sets.isa_names() if name != "portable"]
    for option, choices, default in (
        ("--format", FORMATS, [fmt.name for fmt in cf.TESLA_FORMATS]),
        ("--rounding", cf.ROUNDING_MODES, ROUNDING),
        ("--isa", isas, isas),
        ("--operation", ("encode", "round_to"), ["encode"]),
    ):
        parser.add_argument(
            option, nargs="+", choices=list(choices), default=default, metavar="NAME",
            help=f"of {', '.join(choices)}; by default {', '.join(default)}",
        )  # fmt: skip
    parser.add_argument(
        "--bias", nargs="+", type=bias, default=BIASES, metavar="B",
        help='integers, or "default" for the format\'s own; by default 0, default, 63',
    )  # fmt: skip
    parser.add_argument(
        "--subnormals", choices=("whitepaper", "ieee", "flush"), help="instead of each format's own"
    )
    parser.add_argument("--from", dest="start", type=bits, default=0, help="first input's bits")
    parser.add_argument(
        "--to", dest="stop", type=bits, default=ALL, help="last input's bits, plus one"
    )
    parser.add_argument(
        "--flags", action=argparse.BooleanOptionalAction, default=True,
        help="whether to compare the flag counts as well",
    )  # fmt: skip
    parser.add_argument("--processes", type=int, help="by default one for each CPU")
    parser.add_argument(
        "--self-test", action="store_true",
        help="make one result of each piece wrong, to see that it is found",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if not 0 <= options.start < options.stop <= ALL:
        parser.error(f"--from and --to are {options.start:#x} and {options.stop:#x}")
    if options.processes is not None and options.processes < 1:
        parser.error(f"--processes is {options.processes}; it takes at least 1")
    if not options.isa:
        parser.error("this CPU runs no kernels but the portable ones")
    if not combinations(options):
        parser.error("no format allows any of these biases")
    return options


def main(arguments=None):
    options = parse(arguments)
    starts = range(options.start, options.stop, PIECE)
    todo = combinations(options)
    print(
        f"{options.stop - options.start} inputs from {options.start:#010x} on, {len(todo)} combinations, "
        f"{', '.join(options.isa)} against portable, flags {'compared' if options.flags else 'ignored'}"
    )
    total, begin = 0, time.perf_counter()
    processes = options.processes or cf.get_num_threads()
    with multiprocessing.Pool(processes, cf.set_num_threads, (1,)) as pool:
        for combination in todo:
            begin_one = time.perf_counter()
            pieces = [
                Piece(
                    combination, start, min(start + PIECE, options.stop),
                    tuple(options.isa), options.flags, options.self_test,
                )
                for start in starts
            ]  # fmt: skip
            sums = {}
            for outcomes in pool.imap(run_piece, pieces):
                for isa, outcome in outcomes.items():
                    sums.setdefault(isa, Outcome()).add(outcome)
            total += report(combination, sums, time.perf_counter() - begin_one)
    seconds = time.perf_counter() - begin
    print(f"total: {total} mismatches in {len(todo)} combinations, {seconds:.1f} s")
    return 1 if total else 0


def report(combination, sums, seconds):
    """Print a combination's lines and return its mismatches."""
    found = {isa: outcome for isa, outcome in sums.items() if isa != "portable"}
    mismatches = sum(outcome.mismatches for outcome in found.values())
    times = ", ".join(f"{isa} {outcome.seconds:.2f} s" for isa, outcome in sums.items())
    print(f"{combination}: {mismatches} mismatches, {seconds:.2f} s ({times})")
    for isa, outcome in found.items():
        for example in outcome.examples:
            print(f"  {isa}: {example}")
    sys.stdout.flush()
    return mismatches


if __name__ == "__main__":
    sys.exit(main())
