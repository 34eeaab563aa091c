"""Every example of the README and of the docstrings runs and prints what it says."""

import doctest
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import cfloat

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIONS = doctest.NORMALIZE_WHITESPACE
MODULES = [
    f"cfloat.{module.name}"
    for module in pkgutil.iter_modules(cfloat.__path__)
    if module.name not in ("_ffi_build", "_cfloat", "__main__")
]

# Modules that cannot be imported without an extra, and what it brings.
EXTRAS = {"cfloat.dask": "dask", "cfloat.cluster": "distributed"}


def test_python_examples():
    test = doctest.DocTestParser().get_doctest(README, {}, "README.md", "README.md", 0)
    assert len(test.examples) > 20
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(test)
    assert runner.failures == 0


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    if name in EXTRAS:
        pytest.importorskip(
            EXTRAS[name], reason=f"{name} takes {EXTRAS[name]}, which is not installed"
        )
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=OPTIONS).failed == 0


def test_every_public_function_has_an_example():
    for name in """
        encode decode round_to record_flags errstate error report matmul matmul_error load save
    """.split():
        assert ">>>" in getattr(cfloat, name).__doc__, name
        assert f"{name}(" in README, name


def console_examples():
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        for command in re.findall(r"^\$ (.*?)(?=^\$ |\Z)", block, re.DOTALL | re.MULTILINE):
            line, _, expected = command.partition("\n")
            yield pytest.param(shlex.split(line), expected, id=line)


@pytest.mark.parametrize(("command", "expected"), list(console_examples()))
def test_console_examples(command, expected):
    assert command[0] == "cfloat"
    run = subprocess.run(
        [sys.executable, "-P", "-m", *command], capture_output=True, text=True, check=True
    )
    assert doctest.OutputChecker().check_output(expected, run.stdout, doctest.ELLIPSIS)


def test_the_two_commands():
    assert "pip install . && cfloat report\n" in README
    assert "pip install '.[test]' && pytest\n" in README
