"""Functions that sort, find the largest, and those of sets: ``np.sort``, ``np.max``, ``np.unique``, ...

Their results are some of the arrays' own values, which the format has.
"""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.reductions import extreme
from cfloat._array.registry import Function, keeps
from cfloat._array.same_format import exactly
from cfloat._bias.shared_layout import layout_along

from .arguments import by_name, common
from .values import compute


@keeps("sort", "partition")
def _sorted(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    """Keep biases if elements stay where they are the same: along the axis there is one."""
    result = compute(func, a, *args, **kwargs)
    if a._biases.one is not None:
        return exactly(a, result)
    names = ("axis",) if func is np.sort else ("kth", "axis")
    axis = by_name(names, args, kwargs).get("axis", -1)
    stays = axis is not None and layout_along(a._biases, a.shape, axis) is not None
    return exactly(a, result, a._biases) if stays else result


@keeps("max", "min", "amax", "amin", "nanmax", "nanmin")
def _reduced(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    """Give elements as float32, and arrays of them in the format, where what is reduced has one bias."""
    if len(args) < 2 and not kwargs.keys() - {"axis", "keepdims"}:
        axis = args[0] if args else kwargs.get("axis")
        smallest = func.__name__.endswith("min")
        found = extreme(a, axis, kwargs.get("keepdims", False), smallest=smallest)
        if found is not None:
            return found
    result = compute(func, a, *args, **kwargs)
    if not (isinstance(a, CFloatArray) and type(result) is np.ndarray):
        return result  # an element, or the output
    bound = by_name(("axis", "out", "keepdims", "initial", "where"), args, kwargs)
    if bound.get("out") is not None or "initial" in bound:
        return result
    biases = layout_along(
        a._biases, a.shape, bound.get("axis"), keepdims=bool(bound.get("keepdims", False))
    )
    return result if biases is None else exactly(a, result, biases)


@keeps("unique", "unique_all", "unique_counts", "unique_inverse", "unique_values")
def _unique(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    result = compute(func, a, *args, **kwargs)
    if not isinstance(a, CFloatArray) or a._biases.one is None:
        return result
    if isinstance(result, tuple):
        parts = (exactly(a, result[0]), *result[1:])
        return type(result)(*parts) if hasattr(result, "_fields") else parts
    return exactly(a, result)


@keeps("intersect1d", "setdiff1d", "setxor1d", "union1d")
def _set_operation(func: Function, ar1: Any, ar2: Any, *args: Any, **kwargs: Any) -> Any:
    like = common((ar1, ar2))
    result = compute(func, ar1, ar2, *args, **kwargs)
    if like is None:
        return result
    if isinstance(result, tuple):
        return (exactly(like, result[0]), *result[1:])
    return exactly(like, result)
