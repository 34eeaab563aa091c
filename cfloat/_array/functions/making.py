"""Functions that make an array of the kind of another: ``np.zeros_like``, ``np.copy``, ..."""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray, check_has_zero
from cfloat._array.registry import Function, keeps, key_of

from .arguments import by_name
from .values import compute


@keeps("copy")
def _copy(func: Function, a: CFloatArray, order: str = "K", subok: bool = False) -> Any:
    return a.copy(order)


@keeps("real", "real_if_close")
def _itself(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    return a


@keeps("empty_like", "zeros_like", "ones_like", "full_like")
def _like(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    name = key_of(func)
    names = ("fill_value", "dtype", "order", "subok", "shape") if name == "full_like" else (
        "dtype", "order", "subok", "shape",
    )  # fmt: skip
    bound = by_name(names, args, kwargs)
    shape = bound.get("shape")
    same_shape = shape is None or tuple(np.atleast_1d(shape)) == a.shape
    same_biases = isinstance(a, CFloatArray) and (a._biases.one is not None or same_shape)
    if not same_biases or bound.get("dtype") is not None:
        return compute(func, a, *args, **kwargs)
    if name == "zeros_like":
        check_has_zero(a.format)
    options = {key: bound[key] for key in ("order", "shape") if bound.get(key) is not None}
    # what memory happens to hold is a code only where every pattern of its bits is
    make = np.empty_like if name == "empty_like" and a.format._fills_storage else np.zeros_like
    made = CFloatArray._of(make(a.codes, subok=False, **options), a.format, a._biases)
    if name in ("ones_like", "full_like"):
        made[...] = 1 if name == "ones_like" else bound["fill_value"]
    return made
