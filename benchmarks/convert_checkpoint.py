"""Convert a large checkpoint: how fast, and with how much memory.

    python benchmarks/convert_checkpoint.py [--gigabytes 1.6] [--dtype BF16] [--folder /tmp] [--bias max]

It makes a checkpoint of float32, float16 or bfloat16 in a folder of its own, converts it by the command line
in a process of its own, and says how long that took and how much memory it had at most.  A copy of the file
is timed beside it.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import cfloat as cf
from cfloat._files.tensor_entry import Entry
from cfloat._files.write_safetensors import SafetensorsWriter

WIDTH = 4096


# what is written of float32
STORED = {
    "F32": lambda x: x,
    "F16": lambda x: x.astype(np.float16),
    "BF16": lambda x: cf.encode(x, cf.bfloat16),
}


def make(path, nbytes, dtype):
    """Write matrices of a layer's size and a few vectors, a row's worth of memory at a time."""
    width = STORED[dtype](np.zeros(1, np.float32)).itemsize
    count = max(1, nbytes // (width * WIDTH * WIDTH))
    entries = {f"layers.{i}.weight": Entry.of(dtype, (WIDTH, WIDTH)) for i in range(count)}
    entries |= {f"layers.{i}.bias": Entry.of(dtype, (WIDTH,)) for i in range(count)}
    entries["ids"] = Entry.of("I64", (WIDTH,))
    rng = np.random.default_rng(0)
    writer = SafetensorsWriter(path, entries, {})
    for name, entry in entries.items():
        if entry.dtype != dtype:
            writer.write(name, 0, np.arange(WIDTH))
            continue
        for start in range(0, entry.size, 1 << 22):
            part = rng.standard_normal(min(entry.size, 1 << 22), np.float32)
            writer.write(name, width * start, STORED[dtype](part * np.float32(0.02)))
    writer.finish({})
    writer.commit()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.6)
    parser.add_argument("--dtype", choices=STORED, default="F32")
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--format", default="CFloat8_1_4_3")
    parser.add_argument("--repeat", type=int, default=3)
    options, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source, target = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        make(source, int(options.gigabytes * 1e9), options.dtype)
        size = source.stat().st_size
        command = [sys.executable, "-P", "-m", "cfloat", "convert", source, target, "--format"]
        for _ in range(options.repeat):
            start = time.perf_counter()
            shutil.copyfile(source, Path(folder) / "copy")
            os.unlink(Path(folder) / "copy")
            copied = time.perf_counter() - start
            start = time.perf_counter()
            run = subprocess.run(
                [*command, options.format, *more], check=True, capture_output=True, text=True
            )
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
            print(
                f"{size / 1e9:.2f} GB in {seconds:.2f} s: {size / seconds / 1e9:.2f} GB/s; at most "
                f"{peak / 1e6:.0f} MB of memory; copying the file takes {copied:.2f} s"
            )
        print(run.stdout, end="")
        # both ends, against the whole tensor at once
        made = cf.load(target)
        name = next(iter(made))
        was = cf.load(source)[name]
        if isinstance(made[name], cf.CFloatArray):
            print(name, cf.error(was, made[name].__array__()).sqnr_db, "dB")


if __name__ == "__main__":
    main()
