"""The plain product, by a short way: of two matrices or vectors with one bias each, into float32."""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._core import binding
from cfloat._core.dtypes import FLOAT32, is_operand_dtype


def plain_product(a: Any, b: Any, out: Any, *, exact: bool) -> Any:
    """Multiply two operands, if that is one plain product, or give None if it is not, or is wrong.

    Parameters
    ----------
    a, b : object
        Operands; plain are a CFloatArray of one bias, and float32 or bfloat16, of one axis or two.
    out : object
        Plain is None, and an ndarray of float32 apart from the operands.
    exact : bool
        Whether sums are exact, and rounded once.

    Returns
    -------
    ndarray of float32, float32 or None
        As `cfloat.matmul`.
    """
    first, second = _elements(a), _elements(b)
    if first is None or second is None:
        return None
    inner = first.shape[-1]
    if inner != second.shape[0]:
        return None
    shape = first.shape[:-1] + second.shape[1:]
    if out is None:
        results = np.empty(shape, np.float32)
    elif _is_plain_output(out, shape, first, second):
        results = out
    else:
        return None
    if not (inner and results.size):
        return None
    binding.matmul_flat(first, *_meaning(a), second, *_meaning(b), results, exact)
    if out is not None or shape:
        return results
    return results[()]


def _elements(x: Any) -> Any:
    """Give the codes or values of a plain operand, an array that the core can read; None of another."""
    if isinstance(x, CFloatArray):
        if x._biases.one is None:
            return None
        x._check_codes()
        elements = x._codes
    elif type(x) is np.ndarray and is_operand_dtype(x.dtype):
        elements = x
    else:
        return None
    plain = 0 < elements.ndim < 3 and elements.dtype.isnative and elements.flags.aligned
    return elements if plain else None


def _meaning(x: Any) -> tuple[Any, int]:
    """Give the core's description of the format and the bias of codes, or None and 0 of values."""
    return (x._format._struct, x._biases.one or 0) if isinstance(x, CFloatArray) else (None, 0)


def _is_plain_output(out: Any, shape: tuple[int, ...], first: Any, second: Any) -> bool:
    return (
        type(out) is np.ndarray
        and out.dtype == FLOAT32
        and out.shape == shape
        and out.flags.behaved
        and not np.may_share_memory(out, first)
        and not np.may_share_memory(out, second)
    )
