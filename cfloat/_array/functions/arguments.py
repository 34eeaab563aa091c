"""The arguments of NumPy's functions: float32 arrays or codes in place of CFloatArrays, and outputs."""

import inspect
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function, key_of


def decoded(x: Any) -> Any:
    """Replace the CFloatArrays in an argument by float32 arrays."""
    if isinstance(x, CFloatArray):
        return x.__array__()
    if isinstance(x, list):
        return [decoded(part) for part in x]
    if isinstance(x, tuple):
        parts = [decoded(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if isinstance(x, dict):
        return {name: decoded(part) for name, part in x.items()}
    return x


def codes_in(x: Any) -> Any:
    """Replace the CFloatArrays in an argument by their codes."""
    if isinstance(x, CFloatArray):
        return x.codes
    if isinstance(x, list | tuple):
        return type(x)(codes_in(part) for part in x)
    return x


def common(arrays: Iterable[Any]) -> CFloatArray | None:
    """Give the first array if all are CFloatArrays of its format and its one bias."""
    first = None
    for a in arrays:
        if not isinstance(a, CFloatArray) or a._biases.one is None:
            return None
        first = a if first is None else first
        if (a.format, a._biases.one) != (first.format, first._biases.one):
            return None
    return first


def by_name(
    names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Give arguments by their names."""
    return {**dict(zip(names, args, strict=False)), **kwargs}


def without_out(
    func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], CFloatArray | None]:
    """Take a CFloatArray that is the output out of the arguments."""
    given = kwargs.get("out")
    if isinstance(given, tuple) and len(given) == 1:
        given = given[0]
    if isinstance(given, CFloatArray):
        return args, {name: value for name, value in kwargs.items() if name != "out"}, given
    place = place_of_out(func)
    if place is not None and place < len(args) and isinstance(args[place], CFloatArray):
        return (*args[:place], None, *args[place + 1 :]), kwargs, args[place]
    return args, kwargs, None


#: Functions in C, of which not every NumPy release knows the signature.
_IN_C: Final = {"dot": ("a", "b", "out"), "concatenate": ("arrays", "axis", "out")}


@lru_cache(maxsize=512)
def parameters(func: Function) -> tuple[str, ...]:
    """List the names of a function's positional parameters."""
    try:
        found = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):
        return _IN_C.get(key_of(func), ())
    return tuple(one.name for one in found if one.kind <= one.POSITIONAL_OR_KEYWORD)


def place_of_out(func: Function) -> int | None:
    """Find the place of the output among a function's positional parameters."""
    names = parameters(func)
    return names.index("out") if "out" in names else None
