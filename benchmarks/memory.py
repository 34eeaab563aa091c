"""Measure how much memory each row of the benchmarks takes beside its operands and its result.

Run it as ``python benchmarks/memory.py``; ``--rows TEXT`` takes those whose names have TEXT in them.  Each
row runs in a process of its own, which the system tells of the most that it held.  What is left of it without
the operands, which are there before, and the result is what calls need for themselves: next to nothing it
should be, whatever the operands' size.  Linux alone: other systems don't let a process forget its maximum.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import cfloat as cf

STATUS = Path("/proc/self/status")
COUNT = 1 << 24
F8, SHP = "CFloat8_1_4_3", "CFloat16_SHP"

Row = tuple[Callable[[], Any], Callable[[Any], Any]]


def numbers(dtype: str = "float32", shape: Any = COUNT) -> Any:
    """Make operands, float32 at a time no more than a sixteenth."""
    rng = np.random.default_rng(0)
    if dtype == "bfloat16":
        import ml_dtypes

        made = np.empty(shape, ml_dtypes.bfloat16)
    else:
        made = np.empty(shape, dtype)
    flat = made.reshape(-1)
    step = max(1, flat.size // 16)
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        if made.dtype.kind in "iu":
            part[...] = rng.integers(0, 100, part.size)
        else:
            part[...] = rng.standard_normal(part.size, np.float32)
    return made


def coded(fmt: str = F8, shape: Any = COUNT, axis: int | None = None) -> Any:
    """Make an array of codes."""
    bits = np.random.default_rng(0).integers(0, 100, shape, np.uint8)
    codes = bits if fmt == F8 else bits.astype(np.uint16) << 7
    return cf.CFloatArray(codes, fmt, 7 if fmt == F8 else 31)


SQUARE = (4096, 4096)
SIDE = (1024, 1024)
ROWS: dict[str, Row] = {
    f"encode {dtype}, {mode}": (
        lambda dtype=dtype: numbers(dtype),
        lambda x, mode=mode: cf.encode(x, F8, rounding=mode, **({"seed": 1} if mode == "stochastic" else {})),
    )
    for dtype, mode in [
        ("float32", "ties_to_even"), ("float32", "ties_to_away"), ("float32", "stochastic"),
        ("float64", "ties_to_even"), ("float16", "ties_to_even"), ("bfloat16", "ties_to_even"),
        ("int8", "ties_to_even"), ("int16", "ties_to_even"), ("int32", "ties_to_even"),
    ]
}  # fmt: skip


def with_flags(x: Any) -> Any:
    """Encode, and count flags."""
    with cf.record_flags():
        return cf.encode(x, F8)


ROWS |= {
    "encode, flags counted": (numbers, with_flags),
    "encode, Fortran order": (
        lambda: np.asfortranarray(numbers(shape=SQUARE)),
        lambda x: cf.encode(x, F8),
    ),
    "encode, biases of rows": (
        lambda: (numbers(shape=SQUARE), np.arange(4096).reshape(-1, 1) % 20),
        lambda of: cf.encode(of[0], F8, of[1]),
    ),
    "round_to": (numbers, lambda x: cf.round_to(x, F8)),
    "asarray, mse": (numbers, lambda x: cf.asarray(x, F8, "mse").codes),
    **{
        f"decode {fmt} to {dtype}": (
            lambda fmt=fmt: coded(fmt).codes,
            lambda codes, fmt=fmt, dtype=dtype: cf.decode(codes, fmt, dtype=dtype),
        )
        for fmt in (F8, SHP)
        for dtype in ("float32", "float64", "float16")
    },
    **{
        f"choose_bias, {method}, {'whole' if axis is None else f'axis {axis}'}": (
            lambda: numbers(shape=SQUARE),
            lambda x, method=method, axis=axis: cf.choose_bias(x, F8, method, axis=axis),
        )
        for method in ("max", "mse", "percentile")
        for axis in (None, 0, 1)
    },
    "choose_bias, mse, axis 2 of four": (
        lambda: numbers(shape=(512, 512, 8, 8)),
        lambda x: cf.choose_bias(x, F8, "mse", axis=2),
    ),
    "error": (lambda: (lambda x: (x, cf.round_to(x, F8)))(numbers()), lambda of: cf.error(*of)),
    "q + q": (coded, lambda q: q + q),
    "add(q, q, FORMAT)": (coded, lambda q: cf.add(q, q, F8).codes),
    "exp(q)": (coded, np.exp),
    "q == q": (coded, lambda q: q == q),
    "q.sum()": (coded, lambda q: q.sum()),
    "q.mean()": (coded, lambda q: q.mean()),
    "q.max()": (coded, lambda q: np.asarray(q.max())),
    **{
        f"{left} @ {right}, n = 1024": (
            lambda left=left, right=right: tuple(
                numbers(shape=SIDE) if one == "float32" else coded(one, SIDE)
                for one in (left, right)
            ),
            lambda of: of[0] @ of[1],
        )
        for left, right in ((F8, F8), (SHP, SHP), ("float32", F8))
    },
    "exact product, n = 1024": (
        lambda: (coded(F8, SIDE), coded(F8, SIDE)),
        lambda of: cf.matmul(*of, accumulate="exact"),
    ),
    f"{F8} x vector, 4096": (
        lambda: (coded(F8, SQUARE), numbers(shape=4096)),
        lambda of: of[0] @ of[1],
    ),
    f"{SHP} x vector, 4096": (
        lambda: (coded(SHP, SQUARE), numbers(shape=4096)),
        lambda of: of[0] @ of[1],
    ),
    "1024 products of 16 x 16": (
        lambda: (coded(F8, (1024, 16, 16)), coded(F8, (1024, 16, 16))),
        lambda of: of[0] @ of[1],
    ),
}


def optimizer(name: str) -> tuple[Any, Any]:
    """Make an optimizer of a million parameters, after two steps."""
    import torch

    import cfloat.torch as ct

    parameter = torch.nn.Parameter(torch.randn(1 << 22))
    parameter.grad = torch.randn(1 << 22)
    made = getattr(ct, name)([parameter], lr=1e-3)
    made.step()
    made.step()
    return made, parameter


ROWS |= {
    f"{name}, a step of 2^22": (lambda name=name: optimizer(name), lambda of: of[0].step())
    for name in ("AdamW", "SGD")
}


def convert(dtype: str) -> Row:
    """Convert a file of four matrices."""

    def make() -> Path:
        import ml_dtypes  # noqa: F401

        folder = Path(tempfile.mkdtemp())
        tensors = {f"t{i}": numbers(dtype, SQUARE) for i in range(4)}
        cf.save(folder / "in.safetensors", tensors)
        return folder

    def run(folder: Path) -> None:
        import shutil

        from cfloat._cli.main import main

        try:
            main(
                [
                    "convert",
                    str(folder / "in.safetensors"),
                    str(folder / "out.safetensors"),
                    "--format",
                    F8,
                ]
            )
        finally:
            shutil.rmtree(folder)

    return make, run


ROWS |= {
    f"convert a file of {dtype}": convert(dtype) for dtype in ("float32", "float16", "bfloat16")
}


def held(name: str) -> int:
    """Tell what the process holds (VmRSS), or held at most (VmHWM), in bytes."""
    (found,) = re.findall(rf"{name}:\s*(\d+) kB", STATUS.read_text())
    return int(found) * 1024


def size(result: Any) -> int:
    """Tell the bytes of a result."""
    if isinstance(result, cf.CFloatArray):
        return int(result.codes.nbytes)
    return int(getattr(result, "nbytes", 0))


def measure(name: str, threads: int) -> None:
    """Print what a row takes beyond its operands, and its result."""
    make, call = ROWS[name]
    cf.set_num_threads(threads)
    operands = make()
    Path("/proc/self/clear_refs").write_text("5")
    before = held("VmRSS")
    result = call(operands)
    print(held("VmHWM") - before, size(result))


def main() -> None:
    """Print a line for each row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", default="", help="those with this in their names")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not STATUS.exists():
        parser.error("this system does not tell a process how much it held: Linux does")
    if options.one:
        measure(options.one, options.threads)
        return
    print(f"{'row':45} {'result, MB':>12} {'beside it, MB':>14}")
    for name in ROWS:
        if options.rows in name:
            command = [
                sys.executable,
                "-P",
                __file__,
                "--one",
                name,
                "--threads",
                str(options.threads),
            ]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                print(f"{name:45} {run.stderr.strip().splitlines()[-1]}")
                continue
            held_more, result = map(int, run.stdout.split()[-2:])
            print(f"{name:45} {result / 1e6:12.2f} {(held_more - result) / 1e6:14.2f}", flush=True)


if __name__ == "__main__":
    main()
