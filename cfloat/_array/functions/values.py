"""Calling NumPy's functions on the float32 values of arrays, and rounding what they give into arrays."""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function

from .arguments import decoded, without_out


def compute(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Call a function on the float32 values; a CFloatArray named as its output gets the result, rounded."""
    args, kwargs, out = without_out(func, args, kwargs)
    result = func(*decoded(args), **decoded(kwargs))
    return result if out is None else write(out, result)


def write(out: CFloatArray, result: Any) -> CFloatArray:
    """Round a result into an array of its shape."""
    if np.shape(result) != out.shape:
        raise ValueError(f"the result has shape {np.shape(result)}, and the output {out.shape}")
    out[...] = result
    return out
