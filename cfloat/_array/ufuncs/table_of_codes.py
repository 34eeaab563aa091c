"""Unary ufuncs of 8-bit arrays, by way of a table of the result of each code."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert import elementwise
from cfloat._core import binding, flags
from cfloat._core.dtypes import FLOAT32
from cfloat._core.format import Format

from .correct_rounding import function_of
from .operands import memory_of
from .results import CHANGE_SIGNS, makes_nans, positive_nans, with_positive_nans

Array = NDArray[Any]

#: From this size on a unary ufunc of an 8-bit array is computed by a table.
LEAST_SIZE: Final = 1 << 12


def compute(
    ufunc: np.ufunc, inputs: tuple[Any, ...], outs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Compute a unary ufunc of an 8-bit array from the few values that there are; None if it is no such."""
    if ufunc.nin != 1 or ufunc.nout != 1 or getattr(np, ufunc.__name__, None) is not ufunc:
        return None
    array, out = inputs[0], outs[0] if outs else None
    if not isinstance(array, CFloatArray) or array.size < LEAST_SIZE or array.itemsize != 1:
        return None
    bias = array._biases.one
    if bias is None or kwargs.keys() - {"dtype"} or not array.codes.flags.c_contiguous:
        return None
    if isinstance(out, CFloatArray) and (out._biases.one is None or flags.are_counted()):
        return None  # flags are counted by element
    if array.format.bits < 8:
        elementwise.check_codes(array.codes, array.format)  # they may have been written to
    target = memory_of(out)
    if target is not None and not (
        (type(out) is np.ndarray or isinstance(out, CFloatArray))
        and target.shape == array.shape
        and target.flags.carray
        and (
            isinstance(out, CFloatArray) or target.dtype == ufunc.resolve_dtypes((FLOAT32, None))[1]
        )
    ):
        return None
    into_format = isinstance(out, CFloatArray)
    values = _every_code(array.format, bias).astype(np.float64 if into_format else np.float32)
    function = partial(function_of(ufunc, inputs, kwargs, into_format)[0], **kwargs)
    warns = _raises(function, values)
    with np.errstate(all="ignore") if warns else nullcontext():
        table = function(values)
    if makes_nans(ufunc, inputs):
        table = with_positive_nans(table)
    if isinstance(out, CFloatArray):
        table = table if ufunc in CHANGE_SIGNS else positive_nans(table)
        table = elementwise.encode(table, out.format, out.bias)
    elif target is None:
        target = out = np.empty(array.shape, table.dtype)
    if table.dtype != target.dtype or table.dtype.hasobject or table.itemsize > 8:
        return None
    if np.may_share_memory(target, array.codes) and target is not array.codes:
        return None
    occur = _warning(function, values) if warns else None
    binding.map_codes(table, array.codes, target, occur)
    if occur is not None and occur.any():
        function(values[occur])  # NumPy warns of values that occur, and no others
    return out


def _every_code(fmt: Format, bias: int) -> Array:
    """Decode all 256 codes, to float32; those that a narrower format lacks stand for one."""
    values = fmt.values(bias)
    return np.concatenate([values, np.ones(256 - values.size, values.dtype)])


def _raises(function: Callable[[Array], Array], values: Array) -> bool:
    try:
        with np.errstate(all="raise"):
            function(values)
    except FloatingPointError:
        return True
    return False


def _warning(function: Callable[[Array], Array], values: Array) -> NDArray[np.bool_]:
    """Mark the values that raise a floating-point exception, found by halving those that do."""
    found = np.zeros(values.size, np.bool_)
    suspects = [slice(0, values.size)]
    while suspects:
        part = suspects.pop()
        if not _raises(function, values[part]):
            continue
        middle = (part.start + part.stop) // 2
        if middle == part.start:
            found[part] = True
        else:
            suspects += [slice(part.start, middle), slice(middle, part.stop)]
    return found
