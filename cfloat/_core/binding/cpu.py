"""Instruction sets, and floating-point modes."""

from collections.abc import Callable
from typing import Any, Final

from cfloat._core._cfloat import ffi, lib

from .elements import NULL, check_status

#: Tells by a status that is not 0 that this thread's floating-point modes are not the default ones.
check_float_modes: Final[Callable[[], int]] = lib.cf_float_modes_check


def enter_float_modes() -> int:
    """Set this thread's floating-point modes to the default ones; gives what `leave_float_modes` takes."""
    before = ffi.new("uint64_t *")
    check_status(lib.cf_float_modes_enter(before))
    modes: int = before[0]
    return modes


def leave_float_modes(before: int) -> None:
    """Set this thread's floating-point modes to what they were."""
    check_status(lib.cf_float_modes_leave(before))


def set_float_modes(direction: str, flushing: bool) -> bool:
    """Set modes as a caller may have them, for tests; False where this processor has none of these."""
    status = lib.cf_float_modes_set(getattr(lib, f"CF_MODE_{direction.upper()}"), flushing)
    if status != lib.CF_OTHER_MODES:
        check_status(status)
    return bool(status == lib.CF_OK)


def isa_in_use() -> str:
    """Tell the name of the instruction set whose kernels are in use."""
    name = ffi.new("char **")
    check_status(lib.cf_isa_name(name))
    return _text(name[0])


def isas() -> list[tuple[str, bool]]:
    """List the instruction sets of this build, worst first, and whether this CPU runs each."""
    found: list[tuple[str, bool]] = []
    name, runs = ffi.new("char **"), ffi.new("int *")
    while lib.cf_isa_list(len(found), name, runs) == lib.CF_OK:
        found.append((_text(name[0]), bool(runs[0])))
    return found


def select_isa(name: str | None) -> None:
    """Use the kernels of an instruction set that this CPU runs, or the best ones."""
    check_status(lib.cf_isa_select(NULL if name is None else name.encode()))


def _text(chars: Any) -> str:
    text: bytes = ffi.string(chars)
    return text.decode()
