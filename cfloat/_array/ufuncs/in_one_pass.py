"""Arithmetic of whole arrays of codes and numbers in one call of the core: the ufuncs' short way.

It is for what most calls are: contiguous arrays of one bias each, of one shape or of one element, and
Python's numbers.  Of all others the functions here give None, and the general way computes; both give the
same.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._core import binding, flags
from cfloat._core.rounding import NEAREST, Rounding

from .correct_rounding import warn

Array = NDArray[Any]

# What the core computes, and a number in front of the operand, or whether the operand comes twice.
_FUNCTIONS: Final[dict[np.ufunc, tuple[binding.Function, float | None, bool]]] = {
    np.add: ("add", None, False),
    np.subtract: ("subtract", None, False),
    np.multiply: ("multiply", None, False),
    np.divide: ("divide", None, False),
    np.sqrt: ("sqrt", None, False),
    np.square: ("multiply", None, True),
    np.reciprocal: ("divide", 1.0, False),
}

# float64 has all integers up to this one, float32 up to the other
_EXACT_INTEGERS: Final = 2**53
_EXACT_IN_FLOAT32: Final = 2**24


def into_float32(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
    """Compute a ufunc of arrays and numbers as NumPy does of their values; None if this is not the way."""
    how = _FUNCTIONS.get(ufunc)
    if how is None or flags.are_counted():
        return None
    operands: list[binding.Operand] = []
    shape = None
    for x in inputs:
        if type(x) is CFloatArray:
            if shape is None:
                shape = x._codes.shape
            elif x._codes.shape != shape:
                return None
            operand = _codes(x)
            if operand is None:
                return None
            operands.append(operand)
        elif type(x) is int and -_EXACT_IN_FLOAT32 <= x <= _EXACT_IN_FLOAT32:
            operands.append(binding.number_operand(x))
        elif type(x) is float and -1e38 < x < 1e38:
            # NumPy makes it a float32 first
            operands.append(binding.number_operand(float(np.float32(x))))
        else:
            return None
    if shape is None:
        return None
    function, number, twice = how
    if number is not None:
        operands.insert(0, binding.number_operand(number))
    elif twice:
        operands *= 2
    results = np.empty(shape, np.float32)
    signals = binding.float32_of_codes(function, operands, results)
    if signals is None:
        return None
    if signals:
        warn(ufunc, signals)
    return results if shape else results[()]


def into_format(ufunc: np.ufunc, inputs: tuple[Any, ...], out: Any) -> CFloatArray | None:
    """Compute a ufunc of arrays and numbers, rounded once into an array; None if this is not the way."""
    how = _FUNCTIONS.get(ufunc)
    if how is None or type(out) is not CFloatArray:
        return None
    function, number, twice = how
    if len(inputs) != ufunc.nin:
        return None
    if number is not None:
        inputs = (number, *inputs)
    elif twice:
        inputs = (*inputs, *inputs)
    done = rounded_into(function, inputs, out, NEAREST)
    if done is None:
        return None
    raised, signals = done
    if signals:
        warn(ufunc, signals)
    if raised:
        flags.report(raised, f"{ufunc.__name__} to {out._format.name}", out._codes.size)
    return out


def rounded_into(
    function: binding.Function, inputs: tuple[Any, ...] | list[Any], out: CFloatArray, how: Rounding
) -> tuple[flags.Flags | None, int] | None:
    """Compute one of the core's functions, rounded once into an array: what it raised and signalled.

    None if this is not the way; nothing was written then.
    """
    codes = out._codes
    bias = out._biases.values
    if type(bias) is not int or how.words is not None or how.steps is not None:
        return None
    layout = codes.flags
    if not (layout.c_contiguous and layout.writeable and codes.dtype.isnative):
        return None
    operands: list[binding.Operand] = []
    for x in inputs:
        kind = type(x)
        if kind is CFloatArray:
            own = x._codes
            if own.shape != codes.shape and not (own.size == 1 and own.ndim <= codes.ndim):
                return None
            if own is not codes and np.may_share_memory(own, codes):
                return None
            operand = _codes(x)
            if operand is None:
                return None
            operands.append(operand)
        elif kind is float or (kind is int and -_EXACT_INTEGERS <= x <= _EXACT_INTEGERS):
            operands.append(binding.number_operand(x))
        elif kind is np.float32 or kind is np.float64 or (kind is np.ndarray and _is_float(x)):
            operands.append(binding.number_operand(float(x)))
        else:
            return None
    return binding.arithmetic_codes(function, operands, out._format._struct, bias, codes, how)


# The core's comparison of the operands, or of the operands in reverse order.
_COMPARISONS: Final[dict[np.ufunc, tuple[binding.Comparison, bool]]] = {
    np.equal: ("equal", False),
    np.not_equal: ("not_equal", False),
    np.less: ("less", False),
    np.less_equal: ("less_equal", False),
    np.greater: ("less", True),
    np.greater_equal: ("less_equal", True),
}

# Codes of 8 bits, so many, are compared with a number by a table of what that gives for each code.
_LEAST_TABULATED: Final = 1 << 12


def compared(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
    """Compare arrays of one format and bias, or 8-bit codes with a number; None if this is not the way."""
    how = _COMPARISONS.get(ufunc)
    if how is None:
        return None
    a, b = inputs
    if type(a) is not CFloatArray:
        return _compared_with_number(ufunc, b, inputs)
    if type(b) is not CFloatArray:
        return _compared_with_number(ufunc, a, inputs)
    fmt, bias, own, other = a._format, a._biases.values, a._codes, b._codes
    if type(bias) is not int or type(b._biases.values) is not int or bias != b._biases.values:
        return None
    if (fmt is not b._format and fmt != b._format) or own.shape != other.shape:
        return None
    if not (_is_behaved(own) and (own is other or _is_behaved(other))) or flags.are_counted():
        return None
    if not fmt._fills_storage:
        a._check_codes()
        b._check_codes()
    results = np.empty(own.shape, np.bool_)
    if how[1]:
        own, other = other, own
    binding.compare_codes(how[0], fmt._struct, own, other, results)
    return results if own.shape else results[()]


def _is_behaved(codes: Array) -> bool:
    layout = codes.flags
    return layout.c_contiguous and layout.aligned and codes.dtype.isnative


def _compared_with_number(ufunc: np.ufunc, a: CFloatArray, inputs: tuple[Any, ...]) -> Any:
    codes, bias = a._codes, a._biases.values
    if codes.size < _LEAST_TABULATED or codes.itemsize > 1 or type(bias) is not int:
        return None
    if not codes.flags.c_contiguous or flags.are_counted():
        return None
    number = inputs[0] if inputs[1] is a else inputs[1]
    if type(number) not in _NUMBERS:
        return None
    a._check_codes()
    values = a._format.values(bias)
    values = np.concatenate([values, np.zeros(256 - values.size, values.dtype)])
    results = np.empty(codes.shape, np.bool_)
    table = ufunc(number, values) if inputs[1] is a else ufunc(values, number)
    binding.map_codes(table, codes, results)
    return results


_NUMBERS: Final = frozenset((int, float, np.float32, np.float64))


def _is_float(x: Array) -> bool:
    return x.ndim == 0 and x.dtype.kind == "f" and x.itemsize in (4, 8)


def _codes(x: CFloatArray) -> binding.Operand | None:
    codes = x._codes
    bias = x._biases.values
    if type(bias) is not int or not (codes.flags.c_contiguous and codes.dtype.isnative):
        return None
    if not x._format._fills_storage:
        x._check_codes()
    return binding.codes_operand(x._format._struct, bias, codes)
