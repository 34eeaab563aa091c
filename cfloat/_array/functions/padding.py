"""Functions that pad an array: ``np.pad``."""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function, keeps
from cfloat._bias.bias_layout import compressed
from cfloat._convert.elementwise import encode

from .arguments import decoded
from .values import compute


@keeps("pad")
def _pad(
    func: Function, array: CFloatArray, pad_width: Any, mode: Any = "constant", **kwargs: Any
) -> Any:
    if isinstance(mode, str) and mode == "empty":
        return _padded_with_anything(func, array, pad_width, **kwargs)
    moves = ("edge", "reflect", "symmetric", "wrap")
    if isinstance(mode, str) and mode in moves and kwargs.get("reflect_type", "even") == "even":
        return array._moved(lambda codes: func(codes, pad_width, mode, **kwargs))
    one = array._biases.one
    if mode == "constant" and one is not None:
        values = encode(np.asarray(decoded(kwargs.get("constant_values", 0))), array.format, one)
        codes = func(array.codes, pad_width, mode, constant_values=values)
        return CFloatArray._of(codes, array.format, array._biases)
    return compute(func, array, pad_width, mode, **kwargs)


def _padded_with_anything(
    func: Function, array: CFloatArray, pad_width: Any, **kwargs: Any
) -> CFloatArray:
    """Pad with codes that may be any, but are codes of the format, with biases that it allows."""
    # "empty" takes no arguments, and says so
    mode = "empty" if kwargs or array.format._fills_storage else "constant"
    codes = func(array.codes, pad_width, mode, **kwargs)
    biases = array._biases
    if biases.one is None:
        full = biases.full(array.shape)
        # an empty axis has no edge
        how = {"mode": "edge"} if array.size else {"constant_values": array.format.default_bias}
        biases = compressed(func(full, pad_width, **how))
    return CFloatArray._of(codes, array.format, biases)
