"""Every example of the README and of the docstrings runs and prints what it says."""

import doctest
import importlib
import re
from pathlib import Path

import pytest
from markdown_examples import OPTIONS, ROOT, SET_UP, read_page, run_page

import cfloat
from cfloat.errors import MissingExtraError

README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = Path(cfloat.__file__).parent
MODULES = [
    ".".join(("cfloat", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.stem not in ("_ffi_build", "__main__")
]


@pytest.mark.slow
def test_examples(tmp_path, monkeypatch):
    """Sessions, consoles, and the commands that show no output."""
    monkeypatch.chdir(tmp_path)
    runner = run_page(read_page(ROOT / "README.md"), tmp_path)
    assert not runner.failures, "\n".join(runner.failures)
    assert runner.ran["python"] > 5
    assert runner.ran["console"]
    assert runner.ran["sh"] > 1


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    try:
        module = importlib.import_module(name)
    except MissingExtraError as error:
        extra = re.search(r"cfloat\[(\w+)\]", str(error))
        pytest.skip(f"{extra[1]} is not installed")
    assert doctest.testmod(module, optionflags=OPTIONS).failed == 0


def test_every_public_function_has_an_example():
    for name in """
        encode decode round_to record_flags errstate error report matmul matmul_error load save
    """.split():
        assert ">>>" in getattr(cfloat, name).__doc__, name
        assert f"{name}(" in README, name


def test_the_two_commands():
    """They are in the README, and CI runs the one that tests; the other's parts are run there too."""
    for command in SET_UP:
        assert f"{command}\n" in README
    assert SET_UP[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
