"""What importing the package does: what it loads, and how it chooses an instruction set."""

import os
import re
import subprocess
import sys

import pytest

import cfloat as cf
from cfloat import _native

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


def test_an_unknown_instruction_set():
    result = python("import cfloat", CFLOAT_ISA="nonsense")
    assert result.returncode != 0
    last_line = result.stderr.splitlines()[-1]
    assert "CFLOAT_ISA: ISA is 'nonsense'; this CPU runs portable" in last_line
    for name in _native.isa_names():
        assert name in last_line


@pytest.mark.parametrize("name", _native.isa_names())
def test_each_instruction_set_can_be_chosen(name):
    result = python("import cfloat; print(cfloat.isa())", CFLOAT_ISA=name)
    assert (result.stdout, result.stderr) == (f"{name}\n", "")


def test_the_fixture_chooses_too(isa):
    assert cf.isa() == isa


def test_no_choice_is_the_best_there_is():
    for environment in ({}, {"CFLOAT_ISA": ""}):
        result = python("import cfloat; print(cfloat.isa())", **environment)
        assert result.stdout.strip() == _native.isa_names()[-1]


def test_selecting_an_unknown_instruction_set():
    before = cf.isa()
    with pytest.raises(cf.ArgumentValueError, match="ISA is 'nonsense'; this CPU runs portable"):
        _native.select_isa("nonsense")
    assert cf.isa() == before


def test_public_names():
    assert len(cf.__all__) == len(set(cf.__all__))
    for name in cf.__all__:
        assert getattr(cf, name) is not None


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", cf.__version__)
