"""Every test can run on each instruction set in turn; Hypothesis sets no deadline."""

import os

import numpy as np
import pytest
from hypothesis import settings

import cfloat as cf
from cfloat._core import binding
from cfloat._core import isa as instruction_sets

settings.register_profile("cfloat", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("cfloat")

ISAS = instruction_sets.isa_names(available=False)

# Those that add nothing but matrix products to the one before.
MATMUL_ISAS = ("avx512bf16", "amx")


def _required_isas():
    """What CFLOAT_REQUIRE_ISA names: a machine that lacks one of these fails instead of skipping."""
    required = set(filter(None, os.environ.get("CFLOAT_REQUIRE_ISA", "").split(",")))
    if required == {"all"}:
        return set(ISAS)
    if not required <= set(ISAS):
        raise pytest.UsageError(
            f"CFLOAT_REQUIRE_ISA is {','.join(sorted(required))}; there are {', '.join(ISAS)}, or all"
        )
    return required


def pytest_configure(config):
    config.required_isas = _required_isas()


def _select(request):
    name = request.param
    if name not in instruction_sets.isa_names():
        stop = pytest.fail if name in request.config.required_isas else pytest.skip
        stop(f"this CPU does not run {name}")
    before = cf.isa()
    instruction_sets.select_isa(name)
    yield name
    instruction_sets.select_isa(before)


# For a function, scope "class" means the same as "function", but Hypothesis accepts it: it runs many
# examples in one test, and all may use the same instruction set.
@pytest.fixture(params=[name for name in ISAS if name not in MATMUL_ISAS], scope="class")
def isa(request):
    """Each instruction set that converts in its own way."""
    yield from _select(request)


@pytest.fixture(params=ISAS, scope="class")
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
