"""Every example of the README and of the docstrings runs and prints what it says."""

import ast
import doctest
import importlib
import inspect
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
    if path.stem not in ("build_extension", "__main__")
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
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for where, docstring, line in _docstrings(Path(module.__file__)):
        examples = doctest.DocTestParser().get_doctest(
            docstring, dict(vars(module)), f"{name}.{where}", module.__file__, line
        )
        runner.run(examples)
    assert runner.failures == 0


def _docstrings(path):
    """Yield the docstrings of a file that have examples, each with its place and its line.

    They are read from the source: what users import says that it lives elsewhere, may not be loaded yet, and
    may be wrapped, so that doctest's own search would find some of it twice, and some never.
    """
    waiting = [("", ast.parse(path.read_text(encoding="utf-8")))]
    while waiting:
        place, node = waiting.pop()
        for inner in getattr(node, "body", []):
            name = getattr(inner, "name", None)
            waiting.append((f"{place}.{name}".strip(".") if name else place, inner))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            docstring = ast.get_docstring(node)
            if docstring and ">>>" in docstring:
                yield place, docstring, node.body[0].lineno - 1


@pytest.mark.parametrize("name", ["cfloat", "cfloat.dask", "cfloat.torch"])
def test_the_examples_of_public_names_are_among_them(name):
    """Whatever a user sees of examples, the test above has run."""
    try:
        module = importlib.import_module(name)
    except MissingExtraError as error:
        extra = re.search(r"cfloat\[(\w+)\]", str(error))
        pytest.skip(f"{extra[1]} is not installed")
    known = {docstring for path in PACKAGE.rglob("*.py") for _, docstring, _ in _docstrings(path)}
    for public in module.__all__:
        thing = getattr(module, public)
        members = [
            (key, value)
            for key, value in (vars(thing).items() if inspect.isclass(thing) else ())
            if key.startswith("__") or not key.startswith("_")
        ]
        for place, one in (
            (public, thing),
            *((f"{public}.{key}", value) for key, value in members),
        ):
            if callable(one) or isinstance(one, property | classmethod | staticmethod):
                docstring = inspect.getdoc(one) or ""
                assert ">>>" not in docstring or docstring in known, place


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
