"""The plain product, by a short way: of two matrices or vectors with one bias each, into float32."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import check_codes
from cfloat._core import binding
from cfloat._core.dtypes import FLOAT32, is_operand_dtype

Array = NDArray[Any]


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
    first, second = _parts(a), _parts(b)
    if first is None or second is None:
        return None
    a, a_format, a_bias = first
    b, b_format, b_bias = second
    inner = a.shape[-1]
    if inner != b.shape[0]:
        return None
    shape = a.shape[:-1] + b.shape[1:]
    if out is None:
        results = np.empty(shape, FLOAT32)
    elif _is_plain_output(out, shape, a, b):
        results = out
    else:
        return None
    if not (inner and results.size):
        return None
    binding.matmul_flat(a, a_format, a_bias, b, b_format, b_bias, results, exact)
    if out is not None or shape:
        return results
    return results[()]


def _parts(x: Any) -> tuple[Array, Any, int] | None:
    """Give what the core reads of a plain operand: codes, their format's description and their bias.

    Or values, None and 0.  None of another operand.
    """
    if isinstance(x, CFloatArray):
        bias, fmt, elements = x._biases.values, x._format, x._codes
        if type(bias) is not int:
            return None
        if not fmt._fills_storage:
            check_codes(elements, fmt)
        struct = fmt._struct
    elif type(x) is np.ndarray and (x.dtype is FLOAT32 or is_operand_dtype(x.dtype)):
        elements, struct, bias = x, None, 0
    else:
        return None
    if not 0 < elements.ndim < 3:
        return None
    # bytes always are
    readable = elements.itemsize == 1 or (elements.dtype.isnative and elements.flags.aligned)
    return (elements, struct, bias) if readable else None


def _is_plain_output(out: Any, shape: tuple[int, ...], first: Any, second: Any) -> bool:
    return (
        type(out) is np.ndarray
        and out.dtype == FLOAT32
        and out.shape == shape
        and out.flags.behaved
        and not np.may_share_memory(out, first)
        and not np.may_share_memory(out, second)
    )
