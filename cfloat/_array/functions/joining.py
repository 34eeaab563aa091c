"""``np.concatenate`` and other functions that join arrays: those of one format and bias keep both."""

from collections.abc import Iterable
from typing import Any

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function, keeps

from .arguments import codes_in, common, decoded, place_of_out
from .values import compute


@keeps("concatenate", "stack", "vstack", "hstack", "dstack", "column_stack")
def _joined(func: Function, arrays: Any, *args: Any, **kwargs: Any) -> Any:
    arrays = list(arrays)
    like = common(arrays)
    place = place_of_out(func)
    positional_out = place is not None and 0 < place <= len(args) and args[place - 1] is not None
    asked = any(kwargs.get(name) is not None for name in ("out", "dtype")) or positional_out
    if like is None or asked:
        return compute(func, arrays, *args, **kwargs)
    return CFloatArray._of(func(codes_in(arrays), *args, **kwargs), like.format, like._biases)


@keeps("block")
def _block(func: Function, arrays: Any) -> Any:
    like = common(_leaves(arrays))
    if like is None:
        return compute(func, arrays)
    return CFloatArray._of(func(codes_in(arrays)), like.format, like._biases)


def _leaves(arrays: Any) -> Iterable[Any]:
    if isinstance(arrays, list):
        for part in arrays:
            yield from _leaves(part)
    else:
        yield arrays


@keeps("append")
def _append(func: Function, arr: Any, values: Any, axis: Any = None) -> Any:
    like = common((arr, values))
    if like is None:
        return compute(func, arr, values, axis)
    return CFloatArray._of(func(arr.codes, values.codes, axis), like.format, like._biases)


@keeps("insert")
def _insert(func: Function, arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    like = common((arr, values))
    if like is None:
        return compute(func, arr, obj, values, axis)
    codes = func(arr.codes, decoded(obj), values.codes, axis)
    return CFloatArray._of(codes, like.format, like._biases)
