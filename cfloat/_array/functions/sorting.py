"""Functions that sort, and those of sets: ``np.sort``, ``np.unique``, ``np.union1d``, ...

Their results are some of the arrays' own values, which the format has.
"""

from typing import Any

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function, keeps
from cfloat._convert.elementwise import encode
from cfloat._core.flags import no_flags

from .arguments import common
from .values import compute


def _exactly(a: CFloatArray, values: Any) -> CFloatArray:
    """Encode values that are some of an array's own, of one bias: exactly, and without flags."""
    with no_flags():
        codes = encode(values, a.format, a._biases.one)
    return CFloatArray._of(codes, a.format, a._biases)


@keeps("sort", "partition")
def _sorted(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    result = compute(func, a, *args, **kwargs)
    return result if a._biases.one is None else _exactly(a, result)


@keeps("unique", "unique_all", "unique_counts", "unique_inverse", "unique_values")
def _unique(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    result = compute(func, a, *args, **kwargs)
    if not isinstance(a, CFloatArray) or a._biases.one is None:
        return result
    if isinstance(result, tuple):
        parts = (_exactly(a, result[0]), *result[1:])
        return type(result)(*parts) if hasattr(result, "_fields") else parts
    return _exactly(a, result)


@keeps("intersect1d", "setdiff1d", "setxor1d", "union1d")
def _set_operation(func: Function, ar1: Any, ar2: Any, *args: Any, **kwargs: Any) -> Any:
    like = common((ar1, ar2))
    result = compute(func, ar1, ar2, *args, **kwargs)
    if like is None:
        return result
    if isinstance(result, tuple):
        return (_exactly(like, result[0]), *result[1:])
    return _exactly(like, result)
