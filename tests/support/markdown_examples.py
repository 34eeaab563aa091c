"""The examples of Markdown pages: every fenced block runs, and prints what the page says.

A page is parsed as Markdown, so that no block escapes by being indented or fenced in another way.  What its
blocks may be:

- ``python``: a session with prompts, as doctest has it; a page's blocks share their variables;
- ``console``: commands after ``$`` and what they print; ``...`` stands for anything;
- ``sh``: commands, and nothing of what they print;
- ``text``: output or pseudocode, which does not run;
- MyST directives of `DIRECTIVES`.

Commands are those of ``cfloat``, and programs of ``examples/`` with ``--quick``.  All run in order, in a
folder that holds what `prepare` puts there; what sets things up does not run, and `_is_set_up` must know it.
A page that takes an optional package names it in its front matter, as it is imported: ``requires: [torch]``.
"""

import doctest
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markdown_it import MarkdownIt

import cfloat as cf

ROOT = Path(__file__).resolve().parents[2]
NOXFILE = ROOT / "noxfile.py"
OPTIONS = doctest.NORMALIZE_WHITESPACE

#: The two commands that do all the set-up: CI runs the second as it stands.
SET_UP = ("pip install . && cfloat report", "pip install '.[test]' && pytest")

DIRECTIVES = ("{eval-rst}", "{include}", "{toctree}")
EXECUTED = ("python", "console", "sh")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the line, from 0, on which its text starts."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Page:
    """A page: its path from the root of the repository, what it requires, and its blocks."""

    name: str
    requires: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def missing(self):
        """The packages that it requires and that are not installed."""
        return [name for name in self.requires if importlib.util.find_spec(name) is None]


class NotAnExampleError(Exception):
    """A block that is not what its language says, or of no known language."""


def read_page(path):
    """Return a page of which every block is of a known language."""
    name = path.relative_to(ROOT).as_posix()
    return parse_page(name, path.read_text(encoding="utf-8"))


def parse_page(name, text):
    """Return the page of a text."""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    requires = re.search(r"^requires: \[(.*)\]$", front[1], re.MULTILINE) if front else None
    if front:
        if "requires" in front[1] and requires is None:
            raise NotAnExampleError(f"{name}: requires is not as in requires: [torch, dask]")
        text = "\n" * front[0].count("\n") + text[front.end() :]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    blocks = []
    for token in tokens:
        if token.type == "code_block":
            raise NotAnExampleError(f"{name}:{token.map[0] + 1}: a block without a fence")
        if token.type == "fence":
            block = Block(token.info.strip(), token.content, token.map[0] + 1)
            _check_block(name, block)
            blocks.append(block)
    names = requires[1].replace(",", " ").split() if requires else ()
    return Page(name, tuple(names), tuple(blocks))


def _check_block(name, block):
    place = f"{name}:{block.line}"
    language = block.language.partition(" ")[0]
    if language in DIRECTIVES:
        if ">>>" in block.text or "code-block" in block.text:
            raise NotAnExampleError(f"{place}: a directive with an example, which would not run")
    elif block.language not in (*EXECUTED, "text"):
        raise NotAnExampleError(f"{place}: a block of {block.language or 'no language'!r}")
    elif block.language in EXECUTED:
        _examples(block, place)


def _examples(block, place):
    """Return what is to run: doctest's examples, or pairs of a command and what it prints."""
    if block.language == "python":
        # what follows an empty line without a prompt, doctest would leave out
        if any(
            not part.startswith(">>>") for part in re.split(r"\n(?:[ ]*\n)+", block.text.strip())
        ):
            raise NotAnExampleError(f"{place}: a session in which a part has no prompt")
        if "doctest:" in block.text:
            raise NotAnExampleError(f"{place}: a session that changes how it is checked")
        return doctest.DocTestParser().get_examples(block.text, place)
    text = block.text.replace("\\\n", " ")
    if block.language == "sh":
        return [(line, None) for line in text.splitlines() if line.strip()]
    if not text.startswith("$ "):
        raise NotAnExampleError(f"{place}: a console without a prompt")
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    return [(command, output) for command, output in found]


def _is_set_up(command):
    """Whether a command is of the two, or runs a session of noxfile.py, or installs extras that there are."""
    command = re.sub(r"\s+#.*$", "", command)
    with open(ROOT / "pyproject.toml", "rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    installs = re.fullmatch(r"pip install '\.\[([\w,]+)\]'", command)
    if installs:
        return set(installs[1].split(",")) <= extras.keys()
    nox = re.fullmatch(r"nox -s (\w+)", command)
    sessions = re.findall(
        r"^def ([a-z]\w*)\(session", NOXFILE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return command in SET_UP or (nox is not None and nox[1] in sessions)


class Runner:
    """Runs a page's blocks in the current folder.

    Attributes
    ----------
    ran : Counter
        How many blocks ran, by language.
    failures : list of str
        What was not as the page says.
    """

    def __init__(self, page):
        self.page = page
        self.ran = Counter()
        self.failures = []
        self._globals = {"__name__": "__main__"}

    def run(self):
        """Run all blocks, in order."""
        for block in self.page.blocks:
            if block.language in EXECUTED:
                self._run(block, f"{self.page.name}:{block.line}")
                self.ran[block.language] += 1
        return self

    def _run(self, block, place):
        if block.language == "python":
            self._run_session(block, place)
            return
        for command, expected in _examples(block, place):
            if expected is not None or not _is_set_up(command):
                self._run_command(command, expected, place)

    def _run_session(self, block, place):
        examples = _examples(block, place)
        test = doctest.DocTest(
            examples, self._globals, place, self.page.name, block.line, block.text
        )
        report = []
        doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(
            test, out=report.append, clear_globs=False
        )
        self._globals = test.globs
        if report:
            self.failures.append("".join(report))

    def _run_command(self, command, expected, place):
        words = shlex.split(command, comments=True)
        if words[0] == "cfloat":
            words = ["-P", "-m", *words]
        elif words[0] == "python" and words[1].startswith("examples/") and "--quick" in words:
            words = [str(ROOT / words[1]), *words[2:]]
        else:
            self.failures.append(f"{place}: {command!r} is nothing that is run here")
            return
        run = subprocess.run(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"COLUMNS": "80"},
            check=False,
        )
        fails = bool(
            re.search(r"^cfloat.*: error: |^cfloat: error: ", expected or "", re.MULTILINE)
        )
        if fails != (run.returncode != 0):
            self.failures.append(f"{place}: {command}\nexit status {run.returncode}\n{run.stdout}")
        elif expected is not None and not doctest.OutputChecker().check_output(
            expected, run.stdout, doctest.ELLIPSIS
        ):
            self.failures.append(f"{place}: {command}\nExpected:\n{expected}\nGot:\n{run.stdout}")


def prepare(folder):
    """Put into a folder what the commands and sessions of the pages read.

    ``model.safetensors``
        A model in small: float32 matrices, a vector, and a step number, an integer.
    ``model.safetensors.index.json`` and two files
        The same as a sharded checkpoint.
    ``activations.npz``
        Inputs of two of the matrices, under their names.
    ``x.npy``
        1000 normal numbers.
    ``gptq.safetensors``
        Packed codes beside scales, in a layout that is not read.
    """
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)

    def normal(*shape, scale):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    tensors = {
        "embed.weight": normal(100, 64, scale=1.0),
        "layers.0.down.weight": normal(64, 128, scale=0.08),
        "layers.0.norm.weight": 1 + normal(64, scale=0.01),
        "layers.0.up.weight": normal(128, 64, scale=0.02),
        "step": np.array(1000),
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    packed = {"l.qweight": np.zeros((8, 64), np.int32), "l.scales": np.ones((1, 64), np.float16)}
    save_file(packed, folder / "gptq.safetensors")
    shards = {
        name: f"model-0000{1 + (name > 'layers.0.e')}-of-00002.safetensors" for name in tensors
    }
    for shard in set(shards.values()):
        own = {name: tensor for name, tensor in tensors.items() if shards[name] == shard}
        save_file(own, folder / shard, metadata={"format": "pt"})
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": shards}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    np.savez(
        folder / "activations.npz",
        **{
            "layers.0.down.weight": np.maximum(normal(256, 128, scale=1.0), 0),
            "layers.0.up.weight": normal(256, 64, scale=1.0),
        },
    )
    np.save(folder / "x.npy", rng.standard_normal(1000))


def run_page(page, folder):
    """Run a page in a folder that is the current one; what follows starts afresh."""
    prepare(folder)
    threads = cf.get_num_threads()
    with np.printoptions():
        runner = Runner(page).run()
    cf.set_num_threads(threads)
    return runner
