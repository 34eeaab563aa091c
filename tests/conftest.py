"""What all tests share: which cfloat they test, on which instruction sets, and what is said of skips."""

import os
import sys
from collections import Counter
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# What says how wide a terminal is, and what it can show.
TERMINAL = (
    "COLORTERM", "COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "PYTHONIOENCODING", "PYTHONUNBUFFERED",
    "TERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
)  # fmt: skip


def _find_package():
    """Pass by a source tree that is not built, and stop in a line where no other cfloat is installed.

    ``python -m pytest`` puts the current folder on the path, and in a checkout its cfloat/ hides the one that
    is installed.  ``pip install -e .`` builds the extension in the tree, and then the tree is what is tested.
    """
    built = any(
        path.name.removeprefix("_cfloat") in EXTENSION_SUFFIXES
        for path in (ROOT / "cfloat").rglob("_cfloat.*")
    )
    if not built:
        sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]
    found = find_spec("cfloat")
    if found is None or (not built and found.origin == str(ROOT / "cfloat" / "__init__.py")):
        # of any other exception here, pytest shows where it was raised
        raise SystemExit(
            f"no cfloat to test: this checkout is not built, and {sys.prefix} has none installed; "
            "run: pip install '.[test]' && pytest"
        )


_find_package()

import isas  # noqa: E402

import cfloat as cf  # noqa: E402
from cfloat._core import binding  # noqa: E402
from cfloat._core import isa as instruction_sets  # noqa: E402

# Helpers that assert: a failure of theirs shows the values, too.
pytest.register_assert_rewrite("commands", "exact", "matrices", "refusals")

settings.register_profile("cfloat", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("cfloat")


def pytest_addoption(parser):
    group = parser.getgroup("cfloat")
    group.addoption(
        "--passed-to", metavar="FILE", help="write which tests passed into FILE, a line each"
    )
    group.addoption(
        "--all-but",
        metavar="FILE",
        help="leave out the tests that are in FILE, which passed before",
    )


def pytest_configure(config):
    if config.option.passed_to:
        config.pluginmanager.register(Passed(Path(config.option.passed_to)))
    unknown = isas.required() - set(isas.KNOWN)
    if unknown:
        raise pytest.UsageError(
            f"CFLOAT_REQUIRE_ISA names {', '.join(sorted(unknown))}; "
            f"there are {', '.join(isas.KNOWN)}, or all"
        )


class Passed:
    """Writes which tests passed, for a later run in an environment that has more: see `--all-but`."""

    def __init__(self, path):
        self._file = path.open("w", encoding="utf-8")

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            self._file.write(f"{report.nodeid!a}\n")

    def pytest_unconfigure(self):
        self._file.close()


# Before -m selects.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """What is not marked as slow is quick, so that a new test is, too."""
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker("quick")
    if config.option.all_but:
        passed = set(Path(config.option.all_but).read_text("utf-8").splitlines())
        left_out = [item for item in items if ascii(item.nodeid) in passed]
        items[:] = [item for item in items if ascii(item.nodeid) not in passed]
        config.hook.pytest_deselected(items=left_out)


def pytest_report_header():
    where = Path(cf.__file__).parent
    return f"cfloat {cf.__version__} in {where}; this CPU runs {', '.join(isas.AVAILABLE)}"


def pytest_terminal_summary(terminalreporter):
    """Say how many tests were skipped, a line for each reason."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        terminalreporter.section("skipped, and why")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:6} {reason}")


@pytest.fixture(autouse=True, scope="session")
def _no_terminal():
    """What the user's terminal is changes nothing that the command prints to a test."""
    with pytest.MonkeyPatch.context() as environment:
        for name in TERMINAL:
            environment.delenv(name, raising=False)
        yield


def _select(request):
    name = request.param
    if name not in isas.AVAILABLE:
        stop = pytest.fail if name in isas.required() else pytest.skip
        stop(f"this CPU does not run {name}")
    before = cf.isa()
    instruction_sets.select_isa(name)
    yield name
    instruction_sets.select_isa(before)


# For a function, scope "class" means the same as "function", but Hypothesis accepts it: it runs many
# examples in one test, and all may use the same instruction set.
@pytest.fixture(
    params=[name for name in isas.TESTED if name not in isas.MATMUL_ONLY], scope="class"
)
def isa(request):
    """Each instruction set that converts in its own way."""
    yield from _select(request)


@pytest.fixture(params=isas.TESTED, scope="class")
def matmul_isa(request):
    """Each instruction set that multiplies matrices in its own way."""
    yield from _select(request)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def calls(monkeypatch):
    """The operands and results of each matrix product of the core."""
    seen = []
    core, core_flat = binding.matmul, binding.matmul_flat

    def matmul(a, b, results):
        seen.append((a, b, results))
        core(a, b, results)

    def matmul_flat(a, a_format, a_bias, b, b_format, b_bias, results, exact):
        operands = ((a, a_format, a_bias), (b, b_format, b_bias))
        seen.append((*(binding.Matrices(*parts) for parts in operands), results))
        core_flat(a, a_format, a_bias, b, b_format, b_bias, results, exact)

    monkeypatch.setattr(binding, "matmul", matmul)
    monkeypatch.setattr(binding, "matmul_flat", matmul_flat)
    return seen
