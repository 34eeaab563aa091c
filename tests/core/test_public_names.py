"""The public front: its names, where objects say that they live, and what pickles name."""

import ast
import inspect
import pickle
import pickletools
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

import cfloat as cf

X = np.array([[1.0, -2.5], [0.1, 480.0]])


def imports_for_type_checkers():
    """Names and the modules that they are imported from, as the source of the front has them."""
    tree = ast.parse(inspect.getsource(cf))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "_typing.TYPE_CHECKING"
    )
    return {
        name.asname or name.name: node.module
        for node in block.body
        for name in node.names
        if node.level == 1
    }


def test_the_table_of_names_is_what_type_checkers_read():
    assert imports_for_type_checkers() == cf._HOMES
    assert sorted(cf._HOMES) == sorted(cf.__all__)


def test_nothing_else_is_a_public_attribute():
    """Not what the front itself imports, either."""
    program = "import cfloat; print(*(name for name in vars(cfloat) if not name.startswith('_')))"
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []


def test_dir_is_the_public_names():
    assert sorted(name for name in dir(cf) if not name.startswith("__")) == sorted(cf.__all__)
    # as it is from the start, and after submodules were imported
    for use in ("import cfloat", "import cfloat._cli.main", "import cfloat; cfloat.report"):
        names = subprocess.run(
            [sys.executable, "-P", "-c", f"{use}; print(*dir(cfloat))"],
            capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        assert sorted(name for name in names if name[:2] != "__") == sorted(cf.__all__), use


@pytest.mark.parametrize("name", cf.__all__)
def test_public_objects_say_that_they_live_in_cfloat(name):
    value = getattr(cf, name)
    assert value is getattr(import_module(f"cfloat.{cf._HOMES[name]}"), name)
    if isinstance(value, type) or callable(value):
        assert value.__module__ == "cfloat"
        assert value.__qualname__ == name
    else:
        assert type(value).__module__ in ("cfloat", "builtins")


def picklable():
    a = cf.asarray(X, cf.CFloat8_1_4_3, [7, 5], axis=0)
    tracker = cf.BiasTracker(cf.CFloat8_1_4_3, window=2)
    tracker.update(X)
    report = cf.report({"x": X, "y": X[0]}, [cf.CFloat8_1_4_3, cf.CFloat16_SHP])
    yield from (cf.CFloat8_1_4_3, cf.CFloat16_UHP.replace(name="other"))
    yield from (cf.finfo(cf.CFloat8_1_4_3, 3), cf.Flags(1, 2, 3, 4))
    yield from (a, a[0], a.T, cf.asarray(X, cf.CFloat8_1_4_3, [[7], [5]], block=2))
    yield from (tracker, cf.error(X, a), cf.matmul_error(a, a, X, X))
    for name in cf.__all__:
        value = getattr(cf, name)
        if isinstance(value, type) and issubclass(value, Exception | Warning):
            yield value("what was wrong")
        elif isinstance(value, type) or inspect.isfunction(value):
            yield value
    yield report
    yield from report.rows


def names_in(data):
    """The modules and names of the globals that a pickle asks for."""
    texts = []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "STACK_GLOBAL":
            yield tuple(texts[-2:])
        elif opcode.name in ("GLOBAL", "INST"):
            yield tuple(argument.split(" "))
        elif isinstance(argument, str):
            texts.append(argument)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_name_public_paths_only(protocol):
    for value in picklable():
        data = pickle.dumps(value, protocol)
        assert b"cfloat._" not in data, value
        for module, name in names_in(data):
            if module.partition(".")[0] == "cfloat":
                assert module == "cfloat", (value, name)
                assert name in cf.__all__, (value, name)
        restored = pickle.loads(data)
        assert type(restored) is type(value)
        assert repr(restored) == repr(value)
