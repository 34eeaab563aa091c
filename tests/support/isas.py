"""The instruction sets that tests run on."""

import os
import platform

from cfloat._core import isa as instruction_sets

#: Every one that the library knows, and those that this CPU runs.
KNOWN = tuple(instruction_sets.isa_names(available=False))
AVAILABLE = tuple(instruction_sets.isa_names())

#: Those that add nothing but matrix products to the one before.
MATMUL_ONLY = ("avx512bf16", "amx")

#: Where some CPU has each, by platform.machine() in lower case; those that are not here can be anywhere.
X86 = ("x86_64", "amd64", "i386", "i686", "x86")
ARM = ("aarch64", "arm64")
MACHINES = {"avx2": X86, "avx512": X86, "avx512bf16": X86, "amx": X86, "neon": ARM}


def possible(machine):
    """Those that some CPU of an architecture runs."""
    machine = machine.lower()
    return tuple(name for name in KNOWN if machine in MACHINES.get(name, (machine,)))


def required():
    """What CFLOAT_REQUIRE_ISA names: a machine that lacks one of these fails instead of skipping."""
    names = set(filter(None, os.environ.get("CFLOAT_REQUIRE_ISA", "").split(",")))
    return set(possible(platform.machine())) if names == {"all"} else names


#: Those for which tests are collected.  One that is required is among them on any machine, and fails there.
TESTED = tuple(name for name in KNOWN if name in {*possible(platform.machine()), *required()})
