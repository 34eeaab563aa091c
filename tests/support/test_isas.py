"""isas.py, by which tests are collected, knows every instruction set that the library has."""

import isas
import pytest


def test_each_belongs_to_an_architecture():
    assert set(isas.KNOWN) == {"portable", *isas.MACHINES}


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", ("portable", "avx2", "avx512", "avx512bf16", "amx")),
        ("AMD64", ("portable", "avx2", "avx512", "avx512bf16", "amx")),
        ("arm64", ("portable", "neon")),
        ("aarch64", ("portable", "neon")),
        ("ppc64le", ("portable",)),
    ],
)
def test_possible(machine, expected):
    assert set(isas.possible(machine)) == set(expected)


def test_what_this_cpu_runs_is_tested():
    assert set(isas.AVAILABLE) <= set(isas.TESTED)


@pytest.mark.parametrize(
    ("given", "names"), [("", set()), ("avx2,neon", {"avx2", "neon"}), ("portable,", {"portable"})]
)
def test_required(given, names, monkeypatch):
    monkeypatch.setenv("CFLOAT_REQUIRE_ISA", given)
    assert isas.required() == names


def test_all_that_are_possible_are_required(monkeypatch):
    monkeypatch.setenv("CFLOAT_REQUIRE_ISA", "all")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert isas.required() == {"portable", "neon"}
