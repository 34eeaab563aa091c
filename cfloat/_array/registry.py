"""What NumPy's functions and ufuncs do with a `CFloatArray`: tables that modules fill in.

Each of NumPy's functions is in one of three tables.  KEEPS: it moves or selects elements, and the result
keeps format and biases.  COMPUTED: it computes on the float32 values, and gives what NumPy gives of the
decoded arrays.  REFUSED: it raises, for a reason.

Their keys are a function's module and name: NumPy dispatches some functions as two objects (those that take
``like=``), of which only one is public.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

Function = Callable[..., Any]

#: What an array's own protocols call, by the protocol's name.
PROTOCOLS: Final[dict[str, Function]] = {}

#: Functions of NumPy's function and its arguments.
KEEPS: Final[dict[str, Function]] = {}

#: The same; where the value is None, NumPy's function is called with float32 arrays in place of CFloatArrays.
COMPUTED: Final[dict[str, Function | None]] = {}

#: Why a function refuses.
REFUSED: Final[dict[str, str]] = {}

#: Ufuncs that have a way of their own, by name: functions of the inputs, the output or None, and the other
#: arguments.  They give None where NumPy is left to compute on the decoded values, or to say what is wrong.
UFUNCS: Final[dict[str, Function]] = {}

#: Ufuncs that keep the format, or are the format's own; functions as those of UFUNCS.
KEPT: Final[dict[np.ufunc, Function]] = {}


def key_of(func: Function) -> str:
    """Name a function as the tables do, without the "numpy." of NumPy's own namespace."""
    module = func.__module__.replace("._scimath_impl", ".scimath")  # as NumPy 2.0 says
    return f"{module}.{func.__name__}".removeprefix("numpy.")


def keeps(*names: str) -> Callable[[Function], Function]:
    """Register what does the work of some functions that keep the format."""

    def register(function: Function) -> Function:
        KEEPS.update(dict.fromkeys(names, function))
        return function

    return register


def computes(*names: str) -> Callable[[Function], Function]:
    """Register what does the work of some functions that compute."""

    def register(function: Function) -> Function:
        COMPUTED.update(dict.fromkeys(names, function))
        return function

    return register


def refuses(reason: str, names: str, prefix: str = "") -> None:
    """Register functions that refuse, by names with spaces between them."""
    REFUSED.update({prefix + name: reason for name in names.split()})
