"""Functions that move elements: ``np.reshape``, ``np.transpose``, ``np.roll``, ``np.broadcast_to``, ..."""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray, check_has_zero
from cfloat._array.registry import Function, keeps, key_of
from cfloat._bias.bias_layout import compressed

from .arguments import by_name, codes_in, decoded
from .values import compute


@keeps(
    "expand_dims", "flip", "fliplr", "flipud", "roll", "rot90", "repeat", "tile", "diagonal",
    "linalg.diagonal", "broadcast_to", "lib.stride_tricks.sliding_window_view", "delete",
)  # fmt: skip
def _moved(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    """Functions of one array, the first argument."""
    if not isinstance(a, CFloatArray):
        return compute(func, a, *args, **kwargs)
    args, kwargs = decoded(args), decoded(kwargs)
    return a._moved(lambda codes: func(codes, *args, **kwargs))


@keeps("resize")
def _resized(func: Function, a: Any, new_shape: Any) -> Any:
    if isinstance(a, CFloatArray) and a.size == 0:
        check_has_zero(a.format)  # NumPy makes zeros from nothing
    if isinstance(a, CFloatArray) and a.size == 0 and a._biases.one is None:
        # and 0 may be no bias of the format
        return CFloatArray(func(a.codes, decoded(new_shape)), a.format)
    return _moved(func, a, new_shape)


@keeps(
    "transpose", "matrix_transpose", "linalg.matrix_transpose", "moveaxis", "rollaxis", "swapaxes"
)
def _permuted(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    return a._permuted(lambda codes: func(codes, *args, **kwargs))


@keeps("reshape")
def _reshape(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    bound = by_name(("shape", "order"), args, kwargs)
    shape = bound.pop("newshape", None) if "newshape" in bound else bound.pop("shape")  # NumPy 2.0
    return a.reshape(shape, **bound)


@keeps("ravel")
def _ravel(func: Function, a: CFloatArray, order: Any = "C") -> Any:
    return a.ravel(order)


@keeps("squeeze")
def _squeeze(func: Function, a: CFloatArray, axis: Any = None) -> Any:
    return a.squeeze(axis)


@keeps("tril", "triu", "diag", "diagflat")
def _moved_with_zeros(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    """Fill in zeros: the code 0 is the value 0, whatever the bias; or there is none, and float32 has."""
    if not a.format._has_zero and not (key_of(func) == "diag" and a.ndim == 2):
        return compute(func, a, *args, **kwargs)
    if a._biases.one is not None:
        return a._moved(lambda codes: func(codes, *args, **kwargs))
    if key_of(func) in ("tril", "triu"):
        if a.ndim == 1:  # which stands for each row
            a = a._moved(lambda part: np.broadcast_to(part, (a.size, a.size)))
        return CFloatArray._of(func(a.codes, *args, **kwargs), a.format, a._biases)
    if key_of(func) == "diag" and a.ndim == 2:
        return a._moved(lambda codes: func(codes, *args, **kwargs))
    return compute(func, a, *args, **kwargs)


@keeps("atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "meshgrid")
def _each_moved(func: Function, *arrays: Any, **kwargs: Any) -> Any:
    """Functions that give as many arrays as they take, each made of the one in its place."""
    parts = func(*(codes_in(a) for a in arrays), **kwargs)
    biases = func(
        *(a._biases.full(a.shape) if isinstance(a, CFloatArray) else a for a in arrays), **kwargs
    )
    if not isinstance(parts, tuple):
        return element_or_array(arrays[0], parts, biases)
    return tuple(map(element_or_array, arrays, parts, biases))


def element_or_array(a: Any, codes: Any, bias: Any) -> Any:
    """Make codes of an array one of its format, and give an array's element as float32."""
    if not isinstance(a, CFloatArray):
        return codes
    biases = a._biases if a._biases.one is not None else compressed(bias)
    made = CFloatArray._of(np.asarray(codes), a.format, biases)
    return made if isinstance(codes, np.ndarray) else made[()]
