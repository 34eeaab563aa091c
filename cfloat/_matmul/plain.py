"""The plain product, by a short way: of two matrices, vectors or stacks into float32."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import check_codes
from cfloat._core import binding
from cfloat._core.dtypes import FLOAT32, is_operand_dtype
from cfloat._core.format import Format

from .operands import matrices

Array = NDArray[Any]

# Attributes of modules are slower to get than globals.
_NDARRAY: Final = np.ndarray
_EMPTY: Final = np.empty


def plain_product(a: Any, b: Any, out: Any = None, *, exact: bool = False) -> Any:
    """Multiply two operands, if that is one plain product, or give None if it is not, or is wrong.

    Parameters
    ----------
    a, b : object
        Operands; plain are a CFloatArray, and beside one float32 or bfloat16, of one axis or two, or stacks
        of as many matrices along one axis.
    out : object
        Plain is None, and an ndarray of float32 apart from the operands.
    exact : bool
        Whether sums are exact, and rounded once.

    Returns
    -------
    ndarray of float32, float32 or None
        As `cfloat.matmul`.
    """
    # flat, as what it costs is seen in products of few elements
    kind_a, kind_b = type(a), type(b)
    x, y, a_format, a_bias, b_format, b_bias = a, b, None, 0, None, 0
    if kind_a is CFloatArray:
        a_bias, fmt, x = a._biases.values, a._format, a._codes
        if not (fmt._fills_storage and x.itemsize == 1) and not _are_codes(x, fmt):
            return None
        a_format = fmt._struct
    elif kind_a is not _NDARRAY or kind_b is not CFloatArray or not _are_values(x):
        return None
    if kind_b is CFloatArray:
        b_bias, fmt, y = b._biases.values, b._format, b._codes
        if not (fmt._fills_storage and y.itemsize == 1) and not _are_codes(y, fmt):
            return None
        b_format = fmt._struct
    elif kind_b is not _NDARRAY or kind_a is not CFloatArray or not _are_values(y):
        return None
    of_a, of_b = x.shape, y.shape
    shape: tuple[int, ...]
    if len(of_a) == 2:
        rows, inner = of_a
        if len(of_b) == 2:
            first, columns = of_b
            shape = (rows, columns)
        elif len(of_b) == 1:
            (first,), columns, shape = of_b, 1, (rows,)
        else:
            return None
    elif len(of_a) == 1 and 0 < len(of_b) < 3:
        (inner,), rows, shape = of_a, 1, of_b[1:]
        first, columns = of_b if shape else (of_b[0], 1)
    elif len(of_a) == len(of_b) == 3 and of_a[0] == of_b[0] > 0:
        count, rows, inner = of_a
        _, first, columns = of_b
        shape = (count, rows, columns)
    else:
        return None
    if first != inner or not (rows and inner and columns):
        return None
    if out is None:
        results = _EMPTY(shape, FLOAT32)
    elif _is_plain_output(out, shape, x, y):
        results = out
    else:
        return None
    if type(a_bias) is int and type(b_bias) is int:
        binding.matmul_flat(x, a_format, a_bias, y, b_format, b_bias, results, exact)
    else:
        multiply = binding.matmul_exact if exact else binding.matmul
        rows_by_columns = results.reshape(rows, columns) if len(shape) < 2 else results
        multiply(matrices(a, column=False), matrices(b, column=True), rows_by_columns)
    return results if shape or out is not None else results[()]


def _are_codes(codes: Array, fmt: Format) -> bool:
    """Whether the core can read codes where they are; raises if they are none of the format's."""
    if not fmt._fills_storage:
        check_codes(codes, fmt)
    # bytes always are
    return codes.itemsize == 1 or (codes.dtype.isnative and codes.flags.aligned)


def _are_values(x: Array) -> bool:
    """Whether the core can read an array of float32 or bfloat16 where it is."""
    dtype = x.dtype
    return (dtype is FLOAT32 or (is_operand_dtype(dtype) and dtype.isnative)) and x.flags.aligned


def _is_plain_output(out: Any, shape: tuple[int, ...], first: Any, second: Any) -> bool:
    return (
        type(out) is np.ndarray
        and out.dtype == FLOAT32
        and out.shape == shape
        and out.flags.behaved
        and not np.may_share_memory(out, first)
        and not np.may_share_memory(out, second)
    )
