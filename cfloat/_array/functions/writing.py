"""Functions that write into their first argument: ``np.copyto``, ``np.put``, ..."""

from typing import Any, Final

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function, keeps, key_of
from cfloat.errors import ArgumentTypeError

from .arguments import by_name, decoded

_PARAMETERS: Final = {
    "put": ("a", "ind", "v", "mode"),
    "place": ("arr", "mask", "vals"),
    "putmask": ("a", "mask", "values"),
    "put_along_axis": ("arr", "indices", "values", "axis"),
    "fill_diagonal": ("a", "val", "wrap"),
}


@keeps("copyto")
def _copyto(
    func: Function, dst: Any, src: Any, casting: str = "same_kind", where: Any = True
) -> None:
    if not isinstance(dst, CFloatArray):
        func(dst, decoded(src), casting=casting, where=decoded(where))
        return
    if casting not in ("same_kind", "unsafe"):
        raise ArgumentTypeError(
            f"casting is {casting!r}; values are rounded into a CFloatArray, which takes 'same_kind'"
        )
    if where is True:
        dst[...] = src
        return
    mask = np.zeros(dst.shape, np.bool_)
    np.copyto(mask, True, where=decoded(where))  # by NumPy's rules of what is a mask
    spread = np.broadcast_to(src, dst.shape)
    dst[mask] = spread[mask]


@keeps("put", "place", "putmask", "put_along_axis", "fill_diagonal")
def _put(func: Function, *args: Any, **kwargs: Any) -> None:
    """Functions that write values here and there: NumPy writes their numbers, which tell what goes where."""
    name, *others = _PARAMETERS[key_of(func)]
    bound = by_name(_PARAMETERS[key_of(func)], args, kwargs)
    a, rest = bound[name], {key: decoded(bound[key]) for key in others if key in bound}
    if not isinstance(a, CFloatArray):
        func(a, **rest)
        return
    of_values = next(key for key in ("v", "val", "vals", "values") if key in rest)
    values = np.asarray(rest[of_values])
    numbers = np.full(a.shape, -1)
    func(numbers, **{**rest, of_values: np.arange(values.size).reshape(values.shape)})
    written = numbers >= 0
    a[written] = values.reshape(-1)[numbers[written]]
