"""Functions that select elements: ``np.take``, ``np.compress``, ``np.where``, ``np.trim_zeros``, ..."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function, keeps, key_of
from cfloat._array.same_format import CLIP, shared_biases
from cfloat._bias.bias_layout import BiasLayout, compressed
from cfloat._core.code_order import code_order

from .arguments import by_name, codes_in, decoded
from .values import compute, write

_PARAMETERS: Final = {
    "take": ("a", "indices", "axis", "out", "mode"),
    "take_along_axis": ("arr", "indices", "axis"),
    "compress": ("condition", "a", "axis", "out"),
    "extract": ("condition", "arr"),
}


_LIMITS: Final = ("a_min", "a_max", "min", "max")


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
    biases = shared_biases(xy) if len(xy) == 2 else None
    if biases is None:
        return compute(func, condition, *xy)
    condition = decoded(condition)
    codes = func(condition, *codes_in(xy))
    return _with_biases(codes, xy, biases, (np.shape(condition),))


@keeps("choose")
def _choose(func: Function, a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    several = isinstance(choices, list | tuple)
    arrays = list(choices) if several else [choices]
    biases = shared_biases(arrays) if arrays else None
    # the choices that one array holds may have biases of their own
    if biases is None or not (several or biases.one is not None) or isinstance(out, np.ndarray):
        return compute(func, a, choices, out, mode)
    a = decoded(a)
    codes = func(a, codes_in(choices), None, mode)
    made = _with_biases(np.asarray(codes), arrays, biases, (np.shape(a),))
    if out is not None:
        return write(out, made)
    return made if isinstance(codes, np.ndarray) else made[()]


@keeps("select")
def _select(func: Function, condlist: Any, choicelist: Any, default: Any = None) -> Any:
    """Where no default is given it is 0, which is a value of a format that has a zero."""
    arrays = [*choicelist] if default is None else [*choicelist, default]
    biases = shared_biases(arrays) if arrays else None
    if biases is None or not (default is not None or code_order(arrays[0].format).has_zero):
        return compute(func, condlist, choicelist, 0 if default is None else default)
    condlist = decoded(condlist)
    fill = arrays[0].codes.dtype.type(0) if default is None else default.codes
    codes = func(condlist, codes_in(list(choicelist)), fill)
    return _with_biases(codes, arrays, biases, [np.shape(each) for each in condlist])


def _with_biases(codes: Any, arrays: Any, biases: BiasLayout, masks: Iterable[Any]) -> CFloatArray:
    """Make an array of codes of some arrays, which masks of these shapes may have spread further."""
    fmt = arrays[0].format
    if biases.one is None:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        if shape != codes.shape:
            biases = compressed(np.broadcast_to(biases.full(shape), codes.shape))
    return CFloatArray._of(codes, fmt, biases)


@keeps("clip")
def _clip(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    """Leave elements of the output that are not asked for: it is a ufunc in all but name."""
    if len(args) == 2 and not kwargs and type(args[0]) in (int, float):
        return func(decoded(a), *decoded(args))
    bound = by_name(("a_min", "a_max", "out"), args, kwargs)
    out = bound.pop("out", None)
    limits = [bound.get(new, bound.get(old)) for new, old in (("min", "a_min"), ("max", "a_max"))]
    given = [limit for limit in limits if limit is not None]
    if (named := bound.keys() & set(_LIMITS)) != {"a_min", "a_max"} and not named <= {"min", "max"}:
        given = []  # NumPy says what is wrong
    options = {key: decoded(value) for key, value in bound.items() if key not in _LIMITS}
    if given and not isinstance(out, np.ndarray) and shared_biases([a, *given]) is not None:
        if len(given) == 2:
            return CLIP(a, *given, out=out, **options)
        limit: np.ufunc = np.minimum if limits[0] is None else np.maximum
        return limit(a, given[0], out=out, **options)
    if not isinstance(out, CFloatArray):
        return compute(func, a, *args, **kwargs)
    where = options.pop("where", True)
    limits_only = {key: decoded(bound[key]) for key in bound if key in _LIMITS}
    result = func(decoded(a), **limits_only, **options)
    np.copyto(out, np.broadcast_to(result, out.shape), where=where)  # type: ignore[arg-type]
    return out
