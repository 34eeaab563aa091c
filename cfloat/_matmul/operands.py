"""Operands of matrix products: which are taken, and what the core reads of them."""

from itertools import zip_longest
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._core import binding
from cfloat._core.arguments import check_not_masked
from cfloat._core.dtypes import FLOAT32, is_operand_dtype
from cfloat.errors import ArgumentTypeError, ArgumentValueError

Array = NDArray[Any]
Operand = CFloatArray | Array

_ALL: Final = slice(None)
_TAKEN: Final = "a CFloatArray, float32, bfloat16, or numbers that NumPy promotes to float32"


def takes(*operands: Any) -> bool:
    """Whether products of arrays are computed here: of CFloatArrays, and of others as they are.

    Of arrays of other dtypes NumPy says what they are computed as, and of subclasses they themselves.
    """
    return any(isinstance(x, CFloatArray) for x in operands) and all(
        isinstance(x, CFloatArray) or (type(x) is np.ndarray and is_operand_dtype(x.dtype))
        for x in operands
    )


def operand(name: str, x: Any) -> Operand:
    """Give an operand as the core can read it, or say why it is none."""
    if isinstance(x, CFloatArray):
        x._check_codes()
        return x
    check_not_masked(name, x)
    values = np.asarray(x)
    if not is_operand_dtype(values.dtype):
        try:
            promoted = np.result_type(FLOAT32, values.dtype)
        except TypeError:
            promoted = values.dtype
        if promoted != FLOAT32:
            raise ArgumentTypeError(f"{name} has dtype {values.dtype}; it takes {_TAKEN}")
        values = values.astype(np.float32)
    return readable(values)


def readable(memory: Array) -> Array:
    """Give an array that is aligned and of native byte order: itself, or a copy."""
    if memory.dtype.isnative and memory.flags.aligned:
        return memory
    return memory.astype(memory.dtype.newbyteorder("="))


def result_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Tell the shape of the product of operands of two shapes, or say why there is none."""
    if not a or not b:
        raise ArgumentValueError(f"a has shape {a} and b {b}; each takes at least one axis")
    if a[-1] != (b[-2] if len(b) > 1 else b[0]):
        raise ArgumentValueError(
            f"a has shape {a} and b {b}; the last length of a must be the last but one of b"
        )
    stack = []
    # not numpy.broadcast_shapes, which stops at 32 dimensions
    for length, other in zip_longest(reversed(a[:-2]), reversed(b[:-2]), fillvalue=1):
        if length != other and length != 1 and other != 1:
            raise ArgumentValueError(f"a has shape {a} and b {b}; their stacks do not broadcast")
        stack.append(other if length == 1 else length)
    return (*reversed(stack), *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


def memory_of(x: Operand) -> Array:
    """Give the codes of a CFloatArray, or the values."""
    return x.codes if isinstance(x, CFloatArray) else x


def matrices(x: Operand, *, column: bool) -> binding.Matrices:
    """Describe an operand to the core, a vector as a matrix of one row or of one column."""
    place: tuple[Any, ...] = (...,)
    if x.ndim == 1:
        place = (_ALL, np.newaxis) if column else (np.newaxis, _ALL)
    if not isinstance(x, CFloatArray):
        return binding.Matrices(x[place])
    elements = readable(x.codes)[place]
    values, blocks = x._biases.values, x._biases.blocks
    if isinstance(values, int):
        return binding.Matrices(elements, x.format._struct, values)
    if blocks is None:
        return binding.Matrices(elements, x.format._struct, values[place])
    if len(blocks.axes) > 1 or blocks.axes[0] < x.ndim - 2:
        # along several axes, or along the stack, of which the core knows nothing
        spread = np.asarray(x._biases.spread(x.shape))
        return binding.Matrices(elements, x.format._struct, spread[place])
    along_rows = blocks.axes[0] == x.ndim - 2 or place[-1] is np.newaxis
    lengths = (blocks.length, 1) if along_rows else (1, blocks.length)
    return binding.Matrices(elements, x.format._struct, values[place], lengths)


def part_of(operand: binding.Matrices, key: tuple[slice, ...]) -> binding.Matrices:
    """Cut out the part of an operand at an index of the stack, rows and columns."""
    elements, fmt, biases, blocks = operand
    lengths = elements.shape
    own = [
        part if length != 1 else _ALL
        for part, length in zip(key[len(key) - len(lengths) :], lengths, strict=True)
    ]
    elements = elements[tuple(own)]
    if not isinstance(biases, np.ndarray):
        return operand._replace(elements=elements)
    runs = [1] * (len(lengths) - 2) + list(blocks)
    for axis, (part, length) in enumerate(zip(own, lengths, strict=True)):
        if biases.shape[axis] == 1 or part == _ALL:
            continue
        start, stop, _ = part.indices(length)
        run = runs[axis]
        if start % run == 0:
            taken: Any = slice(start // run, -(-stop // run))
        else:  # one for each row, or column
            taken, runs[axis] = np.arange(start, stop) // run, 1
        biases = biases[(*(_ALL,) * axis, taken)]
    return binding.Matrices(elements, fmt, biases, (runs[-2], runs[-1]))
