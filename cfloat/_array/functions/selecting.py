"""Functions that select elements: ``np.take``, ``np.compress``, ``np.where``, ``np.trim_zeros``, ..."""

from typing import Any, Final

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function, keeps, key_of

from .arguments import by_name, codes_in, common, decoded
from .values import compute, write

_PARAMETERS: Final = {
    "take": ("a", "indices", "axis", "out", "mode"),
    "take_along_axis": ("arr", "indices", "axis"),
    "compress": ("condition", "a", "axis", "out"),
    "extract": ("condition", "arr"),
}


@keeps("take", "take_along_axis", "compress", "extract")
def _selected(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Functions that select elements of one array by means of others."""
    bound = by_name(_PARAMETERS[key_of(func)], args, kwargs)
    name = "arr" if "arr" in bound else "a"
    a, out = bound[name], bound.pop("out", None)
    rest = {key: decoded(value) for key, value in bound.items() if key != name}
    if not isinstance(a, CFloatArray):
        result = (
            func(**{name: a}, **rest)
            if out is None or isinstance(out, CFloatArray)
            else func(**{name: a}, **rest, out=out)
        )
        return write(out, result) if isinstance(out, CFloatArray) else result
    result = a._moved(lambda codes: func(**{name: codes}, **rest))
    if out is None:
        return result if result.ndim else result[()]
    if result.shape != out.shape:
        raise ValueError(f"the result has shape {result.shape}, and the output {out.shape}")
    out[...] = result
    return out


@keeps("trim_zeros")
def _trim_zeros(func: Function, filt: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    # by value: a negative zero is one as well
    places = np.arange(1, filt.size + 1).reshape(filt.shape)
    marked = np.where(filt.__array__() != 0, places, 0)
    kept = func(marked, *args, **kwargs)
    if kept.size == 0:
        return filt[tuple(slice(0, length) for length in kept.shape)]
    first = [int(index) for index in np.unravel_index(np.max(kept) - 1, filt.shape)]
    corner = [int(index) for index in np.argwhere(kept == np.max(kept))[0]]
    starts = [index - place for index, place in zip(first, corner, strict=True)]
    return filt[tuple(slice(start, start + n) for start, n in zip(starts, kept.shape, strict=True))]


@keeps("where")
def _where(func: Function, condition: Any, *xy: Any) -> Any:
    like = common(xy) if len(xy) == 2 else None
    if like is None:
        return compute(func, condition, *xy)
    codes = func(decoded(condition), *codes_in(xy))
    return CFloatArray._of(codes, like.format, like._biases)
