"""Report on checkpoints, and plan them: how fast, and with how much memory.

    python benchmarks/report_checkpoint.py [--gigabytes 1.6] [--dtype float32] [--small 5000] [--folder /tmp]

It makes a checkpoint of matrices like those of a language model in a folder of its own, or one of many small
tensors, and runs ``cfloat report`` and ``cfloat plan`` on it in processes of their own.  Beside them, in the
same run, it times ``numpy.square(x).sum()`` and a copy of as many float32.  A model of seven billion
parameters is ``--gigabytes 14 --dtype bfloat16``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import cfloat as cf
from cfloat._files.tensor_entry import Entry
from cfloat._files.write_safetensors import SafetensorsWriter

LAYER = {"attention.weight": (4096, 4096), "up.weight": (11008, 4096), "down.weight": (4096, 11008)}
EMBEDDING = (32000, 4096)
PART = 1 << 22
DTYPES = {"float32": ("F32", 4), "bfloat16": ("BF16", 2), "float16": ("F16", 2)}


def shapes_of(nbytes, width):
    """Give the shapes of a model of about so many bytes."""
    shapes = {"embedding.weight": EMBEDDING}
    layer = 0
    while sum(int(np.prod(shape)) for shape in shapes.values()) * width < nbytes:
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in LAYER.items()}
        shapes[f"layers.{layer}.norm.weight"] = (4096,)
        layer += 1
    return shapes


def make(path, shapes, dtype):
    """Write a checkpoint, a part of a tensor at a time."""
    stored, width = DTYPES[dtype]
    entries = {name: Entry.of(stored, shape) for name, shape in shapes.items()}
    rng = np.random.default_rng(0)
    # what is drawn anew for each part takes longer than what is to be measured
    drawn = rng.standard_normal(PART, np.float32)
    writer = SafetensorsWriter(path, entries, {})
    for name, entry in entries.items():
        scale = np.float32(0.02 * 2 ** rng.uniform(-1, 1))
        for start in range(0, entry.size, PART):
            part = np.roll(drawn, int(rng.integers(PART)))[: entry.size - start] * scale
            if dtype == "bfloat16":
                part = cf.encode(part, cf.bfloat16)
            elif dtype == "float16":
                part = part.astype(np.float16)
            writer.write(name, width * start, part)
    writer.finish({})
    writer.commit()
    return sum(entry.size for entry in entries.values())


def run(command):
    """Run a command; give its seconds, and the most memory it had, in GB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(process.stderr.read().decode())
    return seconds, usage.ru_maxrss / 1e6


def beside(count):
    """Give the seconds that NumPy takes for the sum of squares, and for a copy, of so many float32."""
    x = np.random.default_rng(0).standard_normal(1 << 24).astype(np.float32)
    out = np.empty_like(x)
    found = []
    for work in (lambda: np.square(x).sum(), lambda: np.copyto(out, x)):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        found.append(min(times) * count / x.size)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.6)
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32")
    parser.add_argument(
        "--small", type=int, default=5000, help="tensors of 384 elements; 0 for none"
    )
    parser.add_argument("--folder", default=tempfile.gettempdir())
    options, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        cases = []
        if options.gigabytes:
            path = Path(folder) / "model.safetensors"
            shapes = shapes_of(options.gigabytes * 1e9, DTYPES[options.dtype][1])
            cases.append((path, make(path, shapes, options.dtype), len(shapes)))
        if options.small:
            path = Path(folder) / "small.safetensors"
            shapes = {f"layers.{i}.norm.weight": (384,) for i in range(options.small)}
            cases.append((path, make(path, shapes, "float32"), len(shapes)))
        print(f"cfloat on {cf.isa()}, {cf.get_num_threads()} threads")
        for path, size, count in cases:
            square, copy = beside(size)
            print(f"{path.name}: {count} tensors, {size / 1e6:.0f} million elements")
            print(f"  numpy.square(x).sum() {square:8.2f} s   numpy.copyto {copy:8.2f} s")
            for command in (["report"], ["plan"]):
                parts = [sys.executable, "-P", "-m", "cfloat", command[0], str(path)]
                seconds, memory = run([*parts, *command[1:], *more])
                print(
                    f"  cfloat {' '.join(command):14} {seconds:8.2f} s  {size / seconds / 1e6:7.1f} Melem/s"
                    f"  {1e3 * seconds / count:7.3f} ms a tensor  {memory:5.2f} GB"
                    f"  {seconds / square:6.1f} x the sum of squares"
                )


if __name__ == "__main__":
    main()
