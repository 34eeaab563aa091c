"""What importing the package does: what it loads, and how it chooses an instruction set."""

import os
import re
import subprocess
import sys

import pytest

import cfloat as cf
from cfloat._core import isa as instruction_sets

LOADED = """
import sys
before = set(sys.modules)
import cfloat
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*(new - sys.stdlib_module_names))
"""


def python(program, **environment):
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={name: value for name, value in os.environ.items() if name != "CFLOAT_ISA"}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_loads_no_other_package_than_numpy_and_cffi():
    """Above all not rich, safetensors, ml_dtypes, torch or others that only parts of it use."""
    loaded = set(python(LOADED).stdout.split())
    assert "cfloat" in loaded
    assert loaded <= {"cfloat", "numpy", "cffi", "_cffi_backend"}


# What this build knows and this CPU lacks: neon on x86-64, avx2 on arm64.
UNAVAILABLE = sorted(
    set(instruction_sets.isa_names(available=False)) - set(instruction_sets.isa_names())
)


@pytest.mark.parametrize(
    "name", ["nonsense", "Portable", "avx", "avx2,portable", " ", *UNAVAILABLE]
)
@pytest.mark.parametrize("use", ["cfloat.isa()", "cfloat.encode(1, 'CFloat8_1_4_3')"])
def test_an_instruction_set_that_is_not_there(name, use):
    """Said to who first uses the core; importing the package never fails for it."""
    result = python(f"import cfloat; print('imported'); {use}", CFLOAT_ISA=name)
    assert (result.returncode, result.stdout) == (1, "imported\n")
    assert result.stderr.splitlines()[-1] == (
        "cfloat.ArgumentValueError: "
        f"CFLOAT_ISA: ISA is {name!r}; this CPU runs {', '.join(instruction_sets.isa_names())}"
    )


def test_what_is_wrong_is_said_each_time():
    """Whatever was loaded before the error, nothing goes on with another instruction set."""
    program = """
import cfloat
for name in ("encode", "isa", "errstate", "asarray", "isa"):
    try:
        getattr(cfloat, name)
    except cfloat.ArgumentValueError as error:
        print(error)
"""
    result = python(program, CFLOAT_ISA="nonsense")
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("CFLOAT_ISA: ISA is 'nonsense'; this CPU runs ") for line in lines)


def test_every_architecture_lacks_some():
    """No CPU runs all: what a list of them says was put to the test."""
    assert UNAVAILABLE
    assert "portable" not in UNAVAILABLE


@pytest.mark.parametrize("name", instruction_sets.isa_names())
def test_each_instruction_set_can_be_chosen(name):
    result = python("import cfloat; print(cfloat.isa())", CFLOAT_ISA=name)
    assert (result.stdout, result.stderr) == (f"{name}\n", "")


def test_the_fixture_chooses_too(isa):
    assert cf.isa() == isa


def test_no_choice_is_the_best_there_is():
    for environment in ({}, {"CFLOAT_ISA": ""}):
        result = python("import cfloat; print(cfloat.isa())", **environment)
        assert result.stdout.strip() == instruction_sets.isa_names()[-1]


@pytest.mark.parametrize("name", ["nonsense", "", *UNAVAILABLE])
def test_selecting_an_instruction_set_that_is_not_there(name):
    before = cf.isa()
    with pytest.raises(cf.ArgumentValueError, match=f"ISA is '{name}'; this CPU runs portable"):
        instruction_sets.select_isa(name)
    assert cf.isa() == before


def test_public_names():
    assert len(cf.__all__) == len(set(cf.__all__))
    for name in cf.__all__:
        assert getattr(cf, name) is not None


def test_what_reads_files_is_loaded_when_it_is_asked_for():
    loaded = python(
        "import sys, cfloat; print('cfloat._files.checkpoint' in sys.modules, cfloat.load)"
    )
    assert loaded.stdout.startswith("False <function load")
    assert {"load", "save"} <= set(dir(cf))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        cf.nonsense  # noqa: B018


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", cf.__version__)


@pytest.mark.parametrize(("module", "package"), [("torch", "PyTorch"), ("dask", "Dask")])
def test_optional_parts_name_their_extra(module, package):
    """With the package that they need out of reach."""
    program = f"import sys; sys.modules[{module!r}] = None; import cfloat.{module}"
    result = python(program)
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1] == (
        f"cfloat.MissingExtraError: cfloat.{module} needs {package}: pip install 'cfloat[{module}]'"
    )
