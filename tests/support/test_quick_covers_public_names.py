"""The quick tests use every public name: each function, class, method and command.

It is their source that is read, so that it does not matter what is installed, or which tests a run selects.
"""

import ast
import importlib.util
import inspect
import re
from functools import cache
from pathlib import Path

import pytest
from commands import cfloat, succeeded

import cfloat as cf

TESTS = Path(__file__).resolve().parents[1]
OPTIONAL = ("cfloat.torch", "cfloat.dask")


class Module:
    """A file of tests: what those that are quick refer to, by themselves and by what they use in it.

    Attributes
    ----------
    names : set of (str, str)
        Names of a public module, and the module's.
    attributes : set of str
        Names of attributes of anything, and words of strings, by which tests of many methods name them.
    commands : set of str
        The first words of commands that are run.
    """

    def __init__(self, text):
        tree = ast.parse(text)
        self.names, self.attributes, self.commands = set(), set(), set()
        self._aliases, self._imported = {}, {}
        defined = {}
        for node in tree.body:
            self._take_import(node)
            for name in _names_of(node):
                defined.setdefault(name, []).append(node)
        if any("slow" in _attributes(node) for node in defined.get("pytestmark", [])):
            return
        waiting = [node for name, nodes in defined.items() for node in nodes if _starts(name, node)]
        used = {id(node): node for node in waiting}
        while waiting:
            node = waiting.pop()
            for one in ast.walk(node):
                name = getattr(one, "id", None) or getattr(one, "arg", None)
                for other in defined.get(name, []):
                    if id(other) not in used:
                        used[id(other)] = other
                        waiting.append(other)
        for node in used.values():
            for one in ast.walk(node):
                self._take(one)

    def _take_import(self, node):
        if isinstance(node, ast.Import):
            for one in node.names:
                if one.name == "cfloat" or one.asname:
                    self._aliases[one.asname or one.name] = one.name
        elif isinstance(node, ast.ImportFrom):
            self._imported |= {
                one.asname or one.name: (node.module, one.name) for one in node.names
            }
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            # ct = importlib.import_module("cfloat.torch")
            given = [one.value for one in node.value.args if isinstance(one, ast.Constant)]
            if "import_module" in _attributes(node.value.func) and given:
                self._aliases[node.targets[0].id] = given[0]

    def _take(self, node):
        if isinstance(node, ast.Name) and node.id in self._imported:
            self.names.add(self._imported[node.id])
        elif isinstance(node, ast.Attribute):
            self.attributes.add(node.attr)
            if isinstance(node.value, ast.Name):
                self.names.add((self._aliases.get(node.value.id), node.attr))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.attributes |= set(node.value.split())
        elif isinstance(node, ast.Call) and _last_name(node.func) in (
            "cfloat",
            "main",
            "main_refused",
        ):
            words = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
            self.commands |= set(words[:1])


def _names_of(node):
    """What a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [
            one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)
        ]
    return []


def _starts(name, node):
    """Whether pytest runs it, and it is quick: a test, a class of tests, or a fixture of all of them."""
    decorators = [_attributes(one) for one in getattr(node, "decorator_list", [])]
    if any("slow" in one for one in decorators):
        return False
    return name.startswith(("test_", "Test")) or "autouse" in {
        keyword.arg
        for one in getattr(node, "decorator_list", [])
        for keyword in getattr(one, "keywords", [])
    }


def _attributes(node):
    """The last names of decorators: not of their arguments, of which some can be slow."""
    while isinstance(node, ast.Call):
        node = node.func
    return {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def _last_name(node):
    return getattr(node, "attr", None) or getattr(node, "id", None)


@cache
def quick_modules():
    return [Module(path.read_text(encoding="utf-8")) for path in TESTS.rglob("test_*.py")]


def used(kind):
    return set().union(*(getattr(module, kind) for module in quick_modules()))


def public_names(module):
    """The names of a module's __all__, which is not imported: what it needs may not be there."""
    tree = ast.parse(Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8"))
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and _names_of(node) == ["__all__"]
    )
    return set(names)


@pytest.mark.parametrize("module", ["cfloat", *OPTIONAL])
def test_every_name_is_used(module):
    names = public_names(module)
    assert names
    owners = ("cfloat", "cfloat.errors") if module == "cfloat" else (module,)
    assert names - {name for owner, name in used("names") if owner in owners} == set()


@pytest.mark.parametrize(
    "name", [name for name in cf.__all__ if inspect.isclass(getattr(cf, name))]
)
def test_every_method_is_used(name):
    methods = {
        method
        for owner in getattr(cf, name).__mro__
        if owner.__module__.partition(".")[0] == "cfloat"
        for method in vars(owner)
        if not method.startswith("_")
    }
    assert methods - used("attributes") == set()


def test_every_command_is_used():
    listed = succeeded(cfloat("--help")).partition("commands:")[2]
    commands = set(re.findall(r"^    (\w+) ", listed, re.MULTILINE))
    assert {"report", "convert", "info", "bench"} <= commands
    assert commands - used("commands") == set()


# What the source is read for


SOURCE = """
import importlib
import cfloat as cf
import cfloat.dask as cd
from cfloat import isa

ct = importlib.import_module("cfloat.torch")
every = pytest.mark.parametrize("operation", [cf.encode, cf.decode])
other = [cf.report]


def helper():
    return cf.matmul(isa(), ct.round_to)


@pytest.fixture
def made():
    return cf.asarray([1]).codes


def unused():
    cf.error


@every
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_quick(made):
    helper()
    cd.encode


@pytest.mark.slow
def test_slow():
    cf.round_to(cfloat("convert", "x"))


def test_command(capsys):
    main_refused(capsys, "info", "x")
"""


def test_what_only_slow_tests_use_is_not_counted():
    module = Module(SOURCE)
    assert {name for name in module.names if name[0] and name[0].startswith("cfloat")} == {
        ("cfloat", "encode"), ("cfloat", "decode"), ("cfloat", "matmul"), ("cfloat", "isa"),
        ("cfloat", "asarray"), ("cfloat.torch", "round_to"), ("cfloat.dask", "encode"),
    }  # fmt: skip
    assert "codes" in module.attributes
    assert module.commands == {"info"}


def test_a_module_that_is_slow_is_not_counted():
    assert not Module(f"{SOURCE}\n\npytestmark = pytest.mark.slow\n").names
