"""Count the instructions that the C core's kernels take an element, by an emulator.

Run it as ``python benchmarks/instructions/count_instructions.py``.  It compiles the core with `count.c` for
this machine's architecture and, where there is a compiler, for arm64, runs each row under qemu one
instruction at a time, and prints instructions for each 100 elements (of products, for each 100
multiplications with their additions).  An instruction is not a time: it says what a machine that is not here
would have to do, for kernels beside each other, and whether a change took something out.  qemu has AVX2 and
NEON, and no AVX-512.

Debian's packages: qemu-user, gcc, libc6-dev, gcc-aarch64-linux-gnu, libc6-dev-arm64-cross.
"""

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-static", f"-I{ROOT / 'csrc'}"]

#: Compiler, emulator, and the instruction sets that are looked at.
MACHINES = {
    "x86_64": ("gcc", ["qemu-x86_64", "-cpu", "max"], ["portable", "avx2"]),
    "aarch64": ("aarch64-linux-gnu-gcc", ["qemu-aarch64"], ["portable", "neon"]),
}


def compile_core(compiler: str, target: Path) -> None:
    """Compile the core and the program that calls it."""
    sources = [str(path) for path in sorted((ROOT / "csrc").rglob("*.c"))]
    command = [
        compiler,
        *FLAGS,
        str(HERE / "count.c"),
        *sources,
        "-o",
        str(target),
        "-pthread",
        "-lm",
    ]
    subprocess.run(command, check=True)


def count(emulator: list[str], program: Path, isa: str, row: int, size: int, calls: int) -> int:
    """Run the program, and count what it executes."""
    with tempfile.NamedTemporaryFile() as log:
        command = [*emulator, "-singlestep", "-d", "exec,nochain", "-D", log.name]
        run = subprocess.run([*command, program, isa, str(row), str(size), str(calls)], check=False)
        if run.returncode:
            raise SystemExit(f"row {row} of {isa} ended with {run.returncode}")
        with open(log.name, "rb") as lines:
            return sum(line.startswith(b"Trace") for line in lines)


def instructions(emulator: list[str], program: Path, isa: str, row: int, each: int) -> float:
    """Tell what an element takes: what a call of more takes more than a call of few."""
    small, large = (4096, 12288) if each == 1 else (32, 96)
    # tables that the first call fills are there in both
    taken = [
        count(emulator, program, isa, row, size, 2) - count(emulator, program, isa, row, size, 1)
        for size in (small, large)
    ]
    return (taken[1] - taken[0]) / (large - small) / each


def main() -> None:
    """Print a line for each row and machine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", default="", help="those with this in their names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for machine, (compiler, emulator, isas) in MACHINES.items():
            if platform.machine() != machine and not compiler.startswith(machine):
                continue
            if shutil.which(compiler) is None or shutil.which(emulator[0]) is None:
                print(
                    f"{machine}: not counted, without {compiler} or {emulator[0]}", file=sys.stderr
                )
                continue
            program = Path(folder) / machine
            compile_core(compiler, program)
            named = subprocess.run([*emulator, program], check=True, capture_output=True, text=True)
            print(f"{machine + ', of 100':34} " + " ".join(f"{isa:>10}" for isa in isas))
            for row, line in enumerate(named.stdout.splitlines()):
                name, each = line.split("\t")
                if options.rows in name:
                    found = (
                        instructions(emulator, program, isa, row, int(each)) * 100 for isa in isas
                    )
                    print(f"{name:34} " + " ".join(f"{one:10.1f}" for one in found), flush=True)


if __name__ == "__main__":
    main()
