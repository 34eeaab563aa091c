"""``np.split`` and other functions that split an array."""

from typing import Any

from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function, keeps

from .moving import element_or_array
from .values import compute


@keeps("split", "array_split", "hsplit", "vsplit", "dsplit", "unstack")
def _split(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(a, CFloatArray):
        return compute(func, a, *args, **kwargs)
    parts = func(a.codes, *args, **kwargs)
    biases = func(a._biases.full(a.shape), *args, **kwargs)
    return type(parts)(
        element_or_array(a, codes, bias) for codes, bias in zip(parts, biases, strict=True)
    )
