"""Conversions that are killed at random times, each in a process namespace of its own, as in a container.

What is under a final name afterwards must be whole; nothing else may be left but by SIGKILL; and the same
command, in a new namespace where process ids begin at 1 again, must succeed.  `main` is for many at once:

    python tests/support/kills.py --count 200 --seed 1
"""

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from checkpoint_files import shard
from safetensors.numpy import save_file

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")

# What is under the name of `old.safetensors` before.
OLD = b"what was there before"

# It says when all is loaded that takes long, so that what is cut short is the work.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from cfloat._cli import main
import cfloat._cli.convert
if sys.argv[1] == "torch":
    import torch
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.exit(main.main(sys.argv[2:]))
"""


class Case(NamedTuple):
    """A conversion: its source and target in a folder, and options."""

    source: str
    target: str
    options: tuple[str, ...]

    @property
    def arguments(self):
        """Those of the command."""
        return ("convert", self.source, self.target, *self.options)


CASES = (
    Case("in.safetensors", "out.safetensors", ("--format", "CFloat8_1_4_3", "--axis", "0")),
    Case("in.safetensors", "out", ("--format", "CFloat16_SHP")),
    Case("in.npz", "out.safetensors", ("--format", "CFloat8_1_5_2")),
    Case("in.npz", "out", ("--format", "CFloat8_1_4_3", "--axis", "0")),
    Case("in.pt", "out.safetensors", ("--format", "CFloat8_1_4_3")),
    Case("in.pt", "out", ("--format", "CFloat8_1_4_3", "--axis", "-1")),
    Case("model", "out", ("--format", "CFloat8_1_4_3", "--axis", "0")),
    Case("model", "out", ("--format", "CFloat8_1_4_3", "--export", "fp8")),
    Case("shards", "out", ("--format", "CFloat8_1_4_3", "--axis", "0")),
    Case("in.safetensors", "old.safetensors", ("--format", "CFloat16_UHP")),
)


def problem():
    """Say why namespaces cannot be made here; None if they can."""
    if shutil.which("unshare") is None:
        return "unshare is not there"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"unshare: {tried.stderr.strip()}"


def write_sources(folder, elements=1 << 20):
    """Write a source of each kind into a folder; give the names of those that can be."""
    rng = np.random.default_rng(1)
    shape = (elements >> 10, 1 << 10)
    tensors = {
        f"model.layers.{i}.mlp.up_proj.weight": rng.standard_normal(shape).astype(np.float32)
        for i in range(4)
    }
    save_file(tensors, folder / "in.safetensors")
    np.savez(folder / "in.npz", **tensors)
    model = folder / "model"
    (model / "inner").mkdir(parents=True)
    for name in ("tokenizer.json", "inner/more.txt", "notes.txt"):
        (model / name).write_text(name * 1000)
    (model / "config.json").write_text('{"hidden_size": 1024}')
    save_file(tensors, model / "model.safetensors")
    shard(folder / "shards", tensors)
    found = {"in.safetensors", "in.npz", "model", "shards"}
    try:
        import torch
    except ImportError:
        return found
    torch.save({name: torch.from_numpy(value) for name, value in tensors.items()}, folder / "in.pt")
    return found | {"in.pt"}


class Command:
    """The command in a namespace: process 1 there, or the child of a shell that is."""

    def __init__(self, case, folder, is_first):
        python = [sys.executable, "-P", "-c", PROGRAM, "torch" if ".pt" in case.source else ""]
        command = [*python, *case.arguments]
        if not is_first:  # the shell stays, since something follows
            command = ["sh", "-c", '"$@"; exit $?', "sh", *command]
        self._process = subprocess.Popen(
            [*UNSHARE, *command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n", self._process.stderr.read()
        self._number = self._process.pid
        for _ in range(1 if is_first else 2):
            self._number = _child(self._number)

    def send(self, name):
        """Send a signal to the command, if it is still there."""
        if self._number is not None:
            with suppress(ProcessLookupError):
                os.kill(self._number, getattr(signal, name))

    def end(self):
        """Wait; give the exit status, which is 128 and a signal's number, and what was said."""
        _, err = self._process.communicate(timeout=120)
        status = self._process.returncode
        if status == 1 and err.startswith("unshare: sigprocmask"):
            return 128 + signal.SIGKILL, ""  # it can't die as its child did
        return (128 - status if status < 0 else status), err


def _child(number):
    if number is None:
        return None
    try:
        found = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    except OSError:
        return None
    return int(found[0]) if found else None


def files_in(folder):
    """What is in a folder and inside: bytes of files, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


class Stress:
    """Kills, and what was found after each.

    Parameters
    ----------
    folder : Path
        An empty one.
    seed : int
        Which cases, signals and times are drawn.
    elements : int
        Elements of a tensor.
    """

    def __init__(self, folder, seed, elements=1 << 20):
        self._folder = folder
        self._random = random.Random(seed)
        there = write_sources(folder, elements)
        self._sources = set(files_in(folder))
        self._cases = [case for case in CASES if case.source in there]
        self._expected, self._seconds = {}, {}
        for case in self._cases:
            start = time.monotonic()
            command = Command(case, folder, True)
            start, status = time.monotonic(), command.end()
            self._seconds[case] = time.monotonic() - start
            assert status == (0, ""), (case, status)
            self._expected[case] = self._made()
            self._clear()
        self.counts = dict.fromkeys(SIGNALS, 0)
        #: How many were over before the signal came.
        self.finished = 0
        #: How many were killed with a file under its final name, or some of several.
        self.partly = 0
        self.faults = []

    def _made(self):
        return {
            name: data for name, data in files_in(self._folder).items() if name not in self._sources
        }

    def _clear(self):
        for path in self._folder.iterdir():
            if path.name not in self._sources:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def run(self, count):
        """Kill so many; faults are gathered."""
        kinds = itertools.product(SIGNALS, (True, False), self._cases)
        kinds = list(kinds)
        self._random.shuffle(kinds)
        for name, is_first, case in itertools.islice(itertools.cycle(kinds), count):
            self._kill(name, is_first, case)

    def _kill(self, name, is_first, case):
        expected = self._expected[case]
        before = {case.target: OLD} if case.target.startswith("old") else {}
        for path, data in before.items():
            (self._folder / path).write_bytes(data)
        command = Command(case, self._folder, is_first)
        delay = self._random.uniform(0, 1.1 * self._seconds[case])
        time.sleep(delay)
        command.send(name)
        status, err = command.end()
        where = f"{name}, process {1 if is_first else 2}, {case}, after {delay:.3f} s"
        made = self._made()
        self.counts[name] += 1
        self.finished += status == 0
        self.partly += status != 0 and any(
            made[path] and made[path] == expected.get(path) for path in made
        )
        said = {0: "", 130: "cfloat: interrupted\n"}.get(status, "cfloat: stopped\n")
        if status == 130 and err.endswith("KeyboardInterrupt\n"):
            err = ""
        if name == "SIGKILL" or err.strip() in ("", "Terminated", "Hangup"):
            # before the command has begun or after its end, only a shell has words
            if name != "SIGKILL" and made not in (expected, before):
                self.faults.append(f"{where}: it has begun, and says nothing")
            said = err
        if status not in (0, 128 + getattr(signal, name)) or err != said:
            self.faults.append(f"{where}: exit status {status}: {err}")
        for path, data in made.items():
            if path not in expected:
                if name != "SIGKILL":
                    self.faults.append(f"{where}: {path} is left")
            elif data not in (expected[path], before.get(path, expected[path])):
                self.faults.append(f"{where}: {path} is not what it must be")
        if status == 0 and made != expected:
            self.faults.append(f"{where}: it has ended, and not all is there")
        for path in before.keys() - made.keys():
            self.faults.append(f"{where}: {path} is gone")
        if "out/model.safetensors.index.json" in made and not expected.keys() <= made.keys():
            self.faults.append(f"{where}: an index, and not all that it names")
        if status != 0 and name != "SIGKILL" and made and not any(made.values()):
            self.faults.append(f"{where}: folders are left: {sorted(made)}")
        left = {path for path in made if path not in expected}
        status, err = Command(case, self._folder, is_first).end()
        again = self._made()
        # what SIGKILL has left may stay; the lock goes
        stays = {path for path in left if path.endswith(".tmp")}
        if status != 0 or err or {n: d for n, d in again.items() if n not in stays} != expected:
            self.faults.append(f"{where}: again: exit status {status}: {err}{sorted(again)}")
        self._clear()

    def text(self):
        """Say what was done, and each fault."""
        total = sum(self.counts.values())
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        first = (
            f"{total} conversions killed ({counts}); {self.finished} were over by then, "
            f"{self.partly} had files in place; {len(self.faults)} faults"
        )
        return "\n".join([first, *self.faults])


def main():
    """Kill as many as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if problem():
        sys.exit(problem())
    with tempfile.TemporaryDirectory() as folder:
        stress = Stress(Path(folder), options.seed)
        stress.run(options.count)
    print(stress.text())
    sys.exit(bool(stress.faults))


if __name__ == "__main__":
    main()
