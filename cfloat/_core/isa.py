"""The instruction set whose kernels are in use."""

import os

from cfloat.errors import ArgumentValueError

from . import binding
from .public_names import public
from .text import shown


@public
def isa() -> str:
    """Tell the name of the instruction set whose kernels are in use.

    Returns
    -------
    str
        "portable", "neon", "avx2", "avx512", "avx512bf16" or "amx": the best that CPU and operating system
        run, or the one that the environment variable CFLOAT_ISA names.  The last two add matrix products to
        "avx512".

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.isa() in ("portable", "neon", "avx2", "avx512", "avx512bf16", "amx")
    True
    """
    return binding.isa_in_use()


def isa_names(*, available: bool = True) -> list[str]:
    """List the instruction sets of this build, or those of them that this CPU can run, worst first."""
    return [name for name, runs in binding.isas() if runs or not available]


def select_isa(name: str | None) -> None:
    """Use the kernels of an instruction set, or the best ones; not while another thread converts."""
    if name is not None and name not in isa_names():
        raise ArgumentValueError(f"ISA is {shown(name)}; this CPU runs {', '.join(isa_names())}")
    binding.select_isa(name)


def select_as_the_environment_says() -> None:
    """Use the instruction set that CFLOAT_ISA names, or the best one.

    Raises
    ------
    ArgumentValueError
        If this CPU has no such instruction set.
    """
    try:
        select_isa(os.environ.get("CFLOAT_ISA") or None)
    except ArgumentValueError as error:
        raise ArgumentValueError(f"CFLOAT_ISA: {error}") from None
