"""Ufuncs on large arrays, computed in pieces: what is decoded stays in cache, and temporaries small."""

import math
from typing import Any, Final

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._core.pieces import pieces

from .correct_rounding import function_of
from .operands import memory_of, operand_of, shape_of
from .results import into, makes_nans

#: Elements computed at a time.
PIECE_SIZE: Final = 1 << 14


def is_large(operands: tuple[Any, ...]) -> bool:
    """Whether operands and outputs, of which some may be None, are to be computed on in pieces.

    Subclasses of NumPy's arrays, such as masked arrays, keep more than elements: they go through in one.
    """
    arrays = _arrays(operands)
    return max(math.prod(shape_of(x)) for x in arrays) > PIECE_SIZE and not any(
        isinstance(x, np.ndarray) and type(x) is not np.ndarray for x in arrays
    )


def _arrays(operands: tuple[Any, ...]) -> list[Any]:
    return [x for x in operands if x is not None]


def compute(
    ufunc: np.ufunc,
    inputs: tuple[Any, ...],
    outs: tuple[Any, ...],
    kwargs: dict[str, Any],
    into_format: bool,
) -> Any:
    """Compute a ufunc that goes element by element, in pieces of what its operands broadcast to."""
    shape = np.broadcast_shapes(
        *map(shape_of, _arrays((*inputs, *outs, kwargs.get("where", True))))
    )
    for out in outs:
        if out is not None and out.shape != shape:
            raise ValueError(f"operands broadcast to {shape}, and an output has shape {out.shape}")
    inputs = tuple(apart(x, outs) for x in inputs)
    wide = [spread(x, shape) for x in inputs]
    where = apart(kwargs.get("where", True), outs)
    where = np.broadcast_to(where, shape) if np.ndim(where) else where
    function, exact = function_of(ufunc, inputs, kwargs, into_format)
    positive = makes_nans(ufunc, inputs)
    results: list[Any] = list(outs) if outs else [None] * ufunc.nout
    for key in pieces(shape, PIECE_SIZE):
        parts = [operand_of(ufunc, at_key(x, key), kwargs, into_format, exact) for x in wide]
        options = kwargs if np.ndim(where) == 0 else {**kwargs, "where": where[key]}
        targets = tuple(None if result is None else result[key] for result in results)
        if all(target is None for target in targets):
            targets = ()
        computed = into(function, parts, targets, options, positive=positive)
        if ufunc.nout == 1:
            computed = (computed,)
        for i, part in enumerate(computed):
            if results[i] is None:  # the first piece tells the dtype
                results[i] = np.empty(shape, part.dtype, "F" if kwargs.get("order") == "F" else "C")
                results[i][key] = part
    return results[0] if ufunc.nout == 1 else tuple(results)


def spread(x: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast an operand to a shape, unless it is a single number."""
    if isinstance(x, CFloatArray):
        return x if x.shape == shape else x._moved(lambda a: np.broadcast_to(a, shape))
    return np.broadcast_to(x, shape) if shape_of(x) else x


def at_key(x: Any, key: tuple[slice, ...]) -> Any:
    """Give the part of such an operand that belongs to a piece."""
    return x[key] if shape_of(x) else x


def apart(x: Any, outs: tuple[Any, ...]) -> Any:
    """Copy an operand where writing an output would change elements of it that are yet to be read."""
    if not isinstance(x, CFloatArray | np.ndarray):
        return x
    source = memory_of(x)
    for out in outs:
        if out is None or not np.may_share_memory(source, memory_of(out)):
            continue
        target = memory_of(out)
        same = source.shape == target.shape and source.strides == target.strides
        if not (same and source.ctypes.data == target.ctypes.data):
            return x.copy()
    return x
