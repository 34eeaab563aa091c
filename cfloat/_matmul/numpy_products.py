"""NumPy's functions and ufuncs that are matrix products: `cfloat.matmul` computes them.

Each gives None where it does not, and NumPy is left to compute on the decoded values, or to say what is
wrong.  They are registered at the end, with the arrays' own functions and ufuncs.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.functions.values import compute
from cfloat._array.registry import COMPUTED, PROTOCOLS, UFUNCS, Function
from cfloat._core.dtypes import FLOAT32

from . import einsum_subscripts
from .contraction import Labels, contract
from .matmul import matmul
from .operands import Operand, result_shape, takes
from .plain import plain_product

# Functions


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """``np.dot``: over the last axis of a and the last but one of b."""
    if not _are_operands(a, b) or not _is_output_of_dot(out):
        return None
    a_labels, b_labels = _numbered(a, b)
    a_labels[-1] = b_labels[-2 if b.ndim > 1 else -1] = "k"
    return contract(a, b, a_labels, b_labels, _unnamed(a_labels, b_labels), out)


def inner(a: Any, b: Any) -> Any:
    """``np.inner``: over the last axes."""
    if not _are_operands(a, b):
        return None
    a_labels, b_labels = _numbered(a, b)
    a_labels[-1] = b_labels[-1] = "k"
    return contract(a, b, a_labels, b_labels, _unnamed(a_labels, b_labels))


def vdot(a: Any, b: Any) -> Any:
    """``np.vdot``: over all axes, of vectors."""
    if not _are_operands(a, b) or a.size != b.size:
        return None
    return matmul(a.reshape(-1), b.reshape(-1))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """``np.tensordot``: over the last axes of a and the first of b, or over pairs of them."""
    if not _are_operands(a, b):
        return None
    a_labels, b_labels = _numbered(a, b)
    try:
        if isinstance(axes, int | np.integer):
            # of zero axes it is no matrix product; what is negative, NumPy refuses
            axes = range(a.ndim - axes, a.ndim), range(axes)
        a_axes, b_axes = (np.atleast_1d(part).tolist() for part in axes)
        for k, (one, other) in enumerate(zip(a_axes, b_axes, strict=True)):
            if not isinstance(a_labels[one], tuple) or not isinstance(b_labels[other], tuple):
                return None  # an axis is named twice
            a_labels[one] = b_labels[other] = str(k)
    except (TypeError, ValueError, IndexError):
        return None
    result = contract(a, b, a_labels, b_labels, _unnamed(a_labels, b_labels))
    return None if result is None else np.asarray(result)


def linalg_matmul(a: Any, b: Any) -> Any:
    """``np.linalg.matmul``: no vectors."""
    return matmul(a, b) if _are_operands(a, b) and min(a.ndim, b.ndim) > 1 else None


def einsum(*operands: Any, out: Any = None, optimize: Any = False, **others: Any) -> Any:
    """``np.einsum`` of two operands, for which there is one order alone."""
    terms = None if others or not _is_output(out) else einsum_subscripts.parse(operands)
    return contract(*terms, out) if terms is not None and _are_operands(*terms[:2]) else None


def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """``np.linalg.multi_dot``: in the order of the fewest multiplications."""
    arrays = list(arrays)
    if len(arrays) < 2 or not takes(*arrays) or not _is_output_of_dot(out):
        return None
    ndims = [x.ndim for x in arrays]
    ends = {ndims[0], ndims[-1]}
    if set(ndims[1:-1]) - {2} or ends - {1, 2} or (out is not None and ends != {2}):
        return None
    shapes = [x.shape for x in arrays]
    if any(one[-1] != other[0] for one, other in pairwise(shapes)):
        return None
    rows = 1 if ndims[0] == 1 else shapes[0][0]
    columns = 1 if ndims[-1] == 1 else shapes[-1][1]
    splits = _best_splits([rows, *(shape[0] for shape in shapes[1:]), columns])

    def product(first: int, last: int, out: Any = None) -> Any:
        if first == last:
            return arrays[first]
        middle = splits[first, last]
        return np.matmul(product(first, middle), product(middle + 1, last), out=out)

    return product(0, len(arrays) - 1, out)


def _best_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Find behind which factor each part of a chain is split; factor i is sizes[i] by sizes[i + 1]."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    splits = {}
    for first in reversed(range(count)):
        for last in range(first + 1, count):
            costs = {
                k: cost[first, k]
                + cost[k + 1, last]
                + sizes[first] * sizes[k + 1] * sizes[last + 1]
                for k in range(first, last)
            }
            splits[first, last] = min(costs, key=costs.__getitem__)
            cost[first, last] = costs[splits[first, last]]
    return splits


#: By the names that the registry has for them.
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "dot": dot,
    "einsum": einsum,
    "inner": inner,
    "linalg.matmul": linalg_matmul,
    "linalg.multi_dot": multi_dot,
    "linalg.tensordot": tensordot,
    "tensordot": tensordot,
    "vdot": vdot,
}


# Ufuncs


def matmul_ufunc(a: Operand, b: Operand, out: Any) -> Any:
    """``np.matmul``."""
    try:
        shape = result_shape(a.shape, b.shape)
    except ValueError:
        return None
    if out is not None and out.shape != shape:
        return None
    return matmul(a, b, out=out)


def matvec(a: Operand, b: Operand, out: Any) -> Any:
    """``np.matvec``."""
    of_a, of_b, of_both = _stacks(a.ndim - 2, b.ndim - 1)
    return contract(a, b, [*of_a, "m", "n"], [*of_b, "n"], [*of_both, "m"], out)


def vecmat(a: Operand, b: Operand, out: Any) -> Any:
    """``np.vecmat``."""
    of_a, of_b, of_both = _stacks(a.ndim - 1, b.ndim - 2)
    return contract(a, b, [*of_a, "m"], [*of_b, "m", "n"], [*of_both, "n"], out)


def vecdot(a: Operand, b: Operand, out: Any) -> Any:
    """``np.vecdot``."""
    of_a, of_b, of_both = _stacks(a.ndim - 1, b.ndim - 1)
    return contract(a, b, [*of_a, "n"], [*of_b, "n"], of_both, out)


#: By their names, with the least numbers of axes.
GENERALIZED: Final[dict[str, tuple[Callable[..., Any], int, int]]] = {
    "matmul": (matmul_ufunc, 1, 1),
    "matvec": (matvec, 2, 1),
    "vecmat": (vecmat, 1, 2),
    "vecdot": (vecdot, 1, 1),
}

# What in-place operators of ndarrays say of the axes.
_IN_PLACE: Final = {"axes": [(-2, -1), (-2, -1), (-2, -1)]}


def call_ufunc(
    name: str, inputs: tuple[Any, ...], outs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Compute what a ufunc gives, or None."""
    if not kwargs and name == "matmul":
        a, b = inputs
        product = plain_product(a, b, outs[0] if outs else None, exact=False)
        if product is not None:
            return product
    multiply, *least = GENERALIZED[name]
    if not takes(*inputs) or not all(map(_is_output, outs)):
        return None
    if any(x.ndim < count for x, count in zip(inputs, least, strict=True)):
        return None
    if kwargs and not (kwargs == _IN_PLACE and min(x.ndim for x in inputs) > 1):
        return None
    return multiply(*inputs, outs[0] if outs else None)


def operator(a: Any, b: Any) -> Any:
    """Do ``a @ b`` of an array of this package and another, or give None: without the way through NumPy."""
    product = plain_product(a, b)
    return call_ufunc("matmul", (a, b), (), {}) if product is None else product


# What they have in common


def _are_operands(a: Any, b: Any) -> bool:
    return takes(a, b) and min(a.ndim, b.ndim) > 0


def _is_output(out: Any) -> bool:
    """Whether results are written there, or to a new array."""
    if out is None or isinstance(out, CFloatArray):
        return True
    return type(out) is np.ndarray and out.dtype == FLOAT32


def _is_output_of_dot(out: Any) -> bool:
    """Whether ``np.dot``, which is strict, writes there."""
    return _is_output(out) and (out is None or isinstance(out, CFloatArray) or out.flags.carray)


def _numbered(a: Operand, b: Operand) -> tuple[list[Hashable], list[Hashable]]:
    """Label each axis by a pair of numbers of its own."""
    return [(0, axis) for axis in range(a.ndim)], [(1, axis) for axis in range(b.ndim)]


def _unnamed(a_labels: Labels, b_labels: Labels) -> list[Hashable]:
    """List the labels that have not been given another name."""
    return [label for label in (*a_labels, *b_labels) if isinstance(label, tuple)]


def _stacks(a_count: int, b_count: int) -> tuple[Labels, Labels, list[Hashable]]:
    """Label the axes that broadcast: of two operands, and of the result."""
    of_both: list[Hashable] = [*reversed(range(max(a_count, b_count)))]
    return of_both[len(of_both) - a_count :], of_both[len(of_both) - b_count :], of_both


# Registration


def _product(multiply: Function, func: Function, *args: Any, **kwargs: Any) -> Any:
    """Do what a function of NumPy's is asked for: by a matrix product, or else as NumPy does."""
    result = multiply(*args, **kwargs)
    return compute(func, *args, **kwargs) if result is None else result


COMPUTED.update({name: partial(_product, multiply) for name, multiply in FUNCTIONS.items()})
UFUNCS.update({name: partial(call_ufunc, name) for name in GENERALIZED})
PROTOCOLS["__matmul__"] = operator
