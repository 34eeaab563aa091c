"""Sums, means and extremes of whole arrays of codes, in one pass over the codes.

What is contiguous, in C or Fortran order, of one bias, and reduced along neighbouring axes goes this way; of
all others the functions give None, and NumPy reduces the decoded values.  docs/spec.md 5.13 has the order
of sums.
"""

from collections.abc import Callable
from functools import partial
from math import prod
from operator import index
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._core import binding, flags

from .array import CFloatArray

Array = NDArray[Any]

# Of arrays of more elements than a few, rows and columns that have fewer than these are not worth the way
# to the core, one by one.
_FEW: Final = 1 << 12
_LEAST_ROW: Final = 32
_LEAST_COLUMNS: Final = 64


def total(a: Any, axis: Any, keepdims: Any, *, mean: bool = False) -> Any:
    """Add values up, or take their mean, rounded once to float32; None if this is not the way."""
    lengths = _lengths(a, axis, keepdims)
    if lengths is None:
        return _of_transposed(partial(total, mean=mean), a, axis, keepdims)
    divisor = lengths[1] if mean else 1
    sums = binding.sum_codes(a._format._struct, a._biases.values, a._codes, *lengths, divisor)
    # NumPy warns of what is too large, makes NaNs, and knows the sum of nothing but -0
    return None if sums is None else _in_shape(sums, a, axis, keepdims)


def extreme(a: Any, axis: Any, keepdims: Any, *, smallest: bool) -> Any:
    """Find the largest or smallest values: a float32, or an array of codes; None if this is not the way."""
    if type(a) is not CFloatArray or a._format._no_negative_zero:
        return None
    lengths = _lengths(a, axis, keepdims)
    if lengths is None:
        return _of_transposed(partial(extreme, smallest=smallest), a, axis, keepdims)
    found = binding.largest_codes(a._format._struct, a._codes, *lengths, smallest=smallest)
    if found is None:
        return None
    codes = _in_shape(found, a, axis, keepdims)
    if type(codes) is np.ndarray:
        return CFloatArray._of(codes, a._format, a._biases)
    return a._value(codes, a._biases)


def _of_transposed(reduce: Callable[..., Any], a: Any, axis: Any, keepdims: Any) -> Any:
    """Reduce an array in Fortran order as its transpose, if it is one."""
    if type(a) is not CFloatArray or a._codes.flags.c_contiguous or not a._codes.flags.f_contiguous:
        return None
    if axis is not None:
        axes = _axes(axis, a._codes.ndim)
        if not axes:
            return None
        axis = tuple(a._codes.ndim - 1 - each for each in axes)
    found = reduce(a.T, axis, keepdims)
    return found.T if isinstance(found, np.ndarray | CFloatArray) else found


def _lengths(a: Any, axis: Any, keepdims: Any) -> tuple[int, int, int] | None:
    """Tell how many elements are before, along and behind the axes that are reduced."""
    if (
        type(a) is not CFloatArray
        or type(a._biases.values) is not int
        or type(keepdims) is not bool
        or flags.are_counted()  # each element's counts
    ):
        return None
    codes = a._codes
    shape = codes.shape
    if not (
        codes.flags.c_contiguous and codes.flags.aligned and codes.dtype.isnative and codes.size
    ):
        return None
    axes = _axes(axis, len(shape))
    if not axes or axes[-1] - axes[0] + 1 != len(axes):
        return None
    if len(axes) == len(shape):
        outer, length, inner = 1, codes.size, 1
    else:
        outer, inner = prod(shape[: axes[0]]), prod(shape[axes[-1] + 1 :])
        length = codes.size // (outer * inner)
        few = (outer > 1 and inner == 1 and length < _LEAST_ROW) or 1 < inner < _LEAST_COLUMNS
        if few and codes.size > _FEW:
            return None
    if not a._format._fills_storage:
        a._check_codes()
    return outer, length, inner


def _axes(axis: Any, ndim: int) -> list[int]:
    """List axes in order; none of them if NumPy is to say what is wrong."""
    if axis is None:
        return list(range(ndim))
    if type(axis) is int:
        return [axis % ndim] if -ndim <= axis < ndim else []
    each_axis = axis if type(axis) is tuple else (axis,)
    if any(type(each) is bool for each in each_axis):
        return []
    try:
        given = sorted(index(each) for each in each_axis)
    except TypeError:
        return []
    if not given or given[0] < -ndim or given[-1] >= ndim:
        return []
    axes = sorted(each % ndim for each in given)
    return axes if len(set(axes)) == len(axes) else []


def _in_shape(reduced: Array, a: CFloatArray, axis: Any, keepdims: bool) -> Any:
    """Give results the shape that NumPy gives them: a number where no axis is left."""
    shape = a._codes.shape
    if axis is None and not keepdims:
        return reduced[0]
    if type(axis) is int and not keepdims:
        axis %= len(shape)
        left = (*shape[:axis], *shape[axis + 1 :])
        return reduced.reshape(left) if left else reduced[0]
    axes = _axes(axis, a._codes.ndim)
    kept = [
        1 if i in axes else length for i, length in enumerate(shape) if keepdims or i not in axes
    ]
    return reduced.reshape(kept) if kept else reduced[0]
