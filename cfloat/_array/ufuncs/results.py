"""Where results of ufuncs go: to new arrays, into those of NumPy, or rounded into CFloatArrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray

Array = NDArray[Any]


def with_out(outs: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Put NumPy's outputs back among the other arguments."""
    if all(out is None for out in outs):
        return kwargs
    return {**kwargs, "out": outs if len(outs) > 1 else outs[0]}


def into(
    function: Callable[..., Any],
    operands: list[Any],
    outs: tuple[Any, ...],
    kwargs: dict[str, Any],
    elementwise: bool = True,
) -> Any:
    """Compute, write what goes into CFloatArrays, and give what the caller of a ufunc gets."""
    if not any(isinstance(out, CFloatArray) for out in outs):
        return function(*operands, **with_out(outs, kwargs))
    where = kwargs.get("where", True)
    if where is not True:
        # what is not asked for must not warn: of ones, hardly a function does
        kwargs = {name: value for name, value in kwargs.items() if name != "where"}
        operands = [np.where(where, x, np.ones((), np.asarray(x).dtype)) for x in operands]
    results = function(*operands, **kwargs)
    if not isinstance(results, tuple):
        results = (results,)
    written = []
    for result, out in zip(results, outs, strict=True):
        if out is None:
            written.append(result)
            continue
        if np.shape(result) != out.shape and not elementwise:
            raise ValueError(f"the result has shape {np.shape(result)}, and the output {out.shape}")
        write(out, result, where)
        written.append(out)
    return written[0] if len(written) == 1 else tuple(written)


def write(out: Any, result: Any, where: Any) -> None:
    """Write a result where a mask has True: into NumPy's array, or rounded into a CFloatArray."""
    if not isinstance(out, CFloatArray):
        np.copyto(out, result, where=where, casting="same_kind")
        return
    result = positive_nans(np.broadcast_to(result, out.shape))
    if where is True:
        out[...] = result
        return
    where = np.broadcast_to(where, out.shape)
    if not out.format._has_zero:
        out[where] = result[where]
        return
    # zeros raise no flag
    rounded = out.copy()
    rounded[...] = np.where(where, result, np.zeros((), result.dtype))
    np.copyto(out.codes, rounded.codes, where=where)


def positive_nans(result: Array) -> Array:
    """Make NaNs among results positive: the sign of 0 / 0 differs from machine to machine."""
    if result.dtype.kind != "f":
        return result
    nan = np.isnan(result)
    return np.where(nan, result.dtype.type(np.nan), result) if nan.any() else result
