"""Where and with what a measurement was made."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from cfloat._core import isa as instruction_sets
from cfloat._core import threads
from cfloat._core.text import printable
from cfloat._version import __version__


@dataclass(frozen=True)
class Machine:
    """Where and with what it was measured.

    Attributes
    ----------
    cpu : str
        The CPU's model, as far as the system tells it.
    cpus : int
        How many CPUs this process may use.
    system : str
        The operating system and the architecture.
    isa, isas : str, tuple of str
        The instruction set of the kernels in use, and all that this CPU runs.
    threads : int
        How many threads a large array's conversion was shared among.
    cfloat, python, numpy : str
        Versions.
    ml_dtypes, torch : str or None
        Versions of the packages compared with; None if they were not.
    blas : str
        What computes NumPy's products: the library, its version, and the kernel that it runs, if
        threadpoolctl is installed to tell; else what NumPy was built with.
    warnings : tuple of str
        What makes numbers worse than they need be.
    """

    cpu: str
    cpus: int
    system: str
    isa: str
    isas: tuple[str, ...]
    threads: int
    cfloat: str
    python: str
    numpy: str
    ml_dtypes: str | None
    torch: str | None
    blas: str
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        packages = {
            "cfloat": self.cfloat, "Python": self.python, "NumPy": self.numpy,
            "ml_dtypes": self.ml_dtypes, "torch": self.torch,
        }  # fmt: skip
        return "\n".join(
            [
                f"{self.cpu}, {self.cpus} CPUs usable, {self.system}",
                ", ".join(f"{name} {version}" for name, version in packages.items() if version),
                f"kernels {self.isa} (this CPU runs {', '.join(self.isas)}), threads {self.threads}",
                f"NumPy's products by {self.blas}",
                *(f"warning: {warning}" for warning in self.warnings),
            ]
        )


def this_machine(count: int, peers: Mapping[str, Any]) -> Machine:
    """Describe this machine; `peers` are the packages compared with, imported."""
    versions = {name: str(package.__version__) for name, package in peers.items()}
    return Machine(
        cpu=_cpu_model(),
        cpus=threads.available_cpus(),
        system=f"{platform.system()} {platform.machine()}",
        isa=instruction_sets.isa(),
        isas=tuple(instruction_sets.isa_names()),
        threads=count,
        cfloat=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        ml_dtypes=versions.get("ml_dtypes"),
        torch=versions.get("torch"),
        blas=_blas(),
        warnings=tuple(_warnings()),
    )


def _blas() -> str:
    """Name the library of NumPy's products, and if it can be known, the kernel that it runs."""
    try:
        libraries = import_module("threadpoolctl").threadpool_info()
    except ImportError:
        libraries = []
    for found in libraries:
        # PyTorch's and SciPy's are others
        if found["user_api"] == "blas" and "numpy" in found["filepath"]:
            kernel = found.get("architecture", "unknown")
            return f"{found['internal_api']} {found['version']}, kernel {kernel}"
    said: Any = np.show_config("dicts")
    built = said.get("Build Dependencies", {}).get("blas", {})
    return f"{built.get('name', 'unknown')} {built.get('version', '')}".strip() + ", kernel unknown"


def _warnings() -> Iterator[str]:
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if name in os.environ:
            yield f"{name} is set ({printable(os.environ[name])}): NumPy may not run its best kernel"


def _cpu_model() -> str:
    """Name the CPU's model, or where the system does not tell it cheaply, its architecture."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    key, _, model = line.partition(":")
                    if key.strip() == "model name":
                        return model.strip()
        except OSError:
            pass  # /proc need not be there
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pass
    model = os.environ.get("PROCESSOR_IDENTIFIER", "") or platform.processor()
    return model or platform.machine() or "unknown CPU"
