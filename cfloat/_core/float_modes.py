"""The processor's floating-point modes: what NumPy computes here is computed under the default ones.

A thread may have others: subnormals that count as zero (``torch.set_flush_denormal``, or a library compiled
with -ffast-math), or another direction of rounding (``fesetround``).  The C core sets its own and brings the
caller's back; what Python computes with floats, and NumPy for it, is wrapped by what is here.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from . import binding

P = ParamSpec("P")
R = TypeVar("R")

#: Gives 0 where this thread has the default modes: a look that costs less than to enter and to leave.
other_modes: Final = binding.check_float_modes


class DefaultModes:
    """A ``with`` block under the default modes; the thread has its own again after it.

    Examples
    --------
    >>> with DefaultModes():
    ...     2.0**-1074 * 1.0
    5e-324
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = binding.enter_float_modes() if other_modes() else None

    def __exit__(self, *raised: object) -> None:
        if self._before is not None:
            binding.leave_float_modes(self._before)


def in_default_modes(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function, which is no generator, compute under the default modes.

    Examples
    --------
    >>> @in_default_modes
    ... def half(x):
    ...     return x / 2
    >>> half(2.0**-1073)
    5e-324
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if not other_modes():
            return function(*args, **kwargs)
        with DefaultModes():
            return function(*args, **kwargs)

    return wrapper
