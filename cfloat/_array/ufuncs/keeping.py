"""Ufuncs whose results are values of their operands' format, and keep it (docs/spec.md 5.8 to 5.11).

They are computed on codes.  Those that change signs, or move elements, do nothing else to a NaN.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from cfloat._array import neighbours
from cfloat._array.array import CFloatArray
from cfloat._array.registry import Function
from cfloat._array.same_format import (
    CLIP,
    PIECE_SIZE,
    absolute,
    exactly,
    in_shape,
    larger,
    negated,
    shared_biases,
)
from cfloat._bias.shared_layout import layout_along
from cfloat._core import flags
from cfloat._core.code_order import Codes, code_order
from cfloat._core.dtypes import is_source_dtype
from cfloat._core.format import Format
from cfloat._core.pieces import pieces

from .operands import shape_of
from .results import write

#: What may be asked for beside the operands; with others, such as a dtype, NumPy computes.
_OPTIONS: Final = {"where", "order", "subok", "casting"}


def _negative(a: CFloatArray) -> CFloatArray | None:
    return negated(a) if a.format.signed else None


def _positive(a: CFloatArray) -> CFloatArray:
    return CFloatArray._of(a.codes.copy("K"), a.format, a._biases)


def _of_one(compute: Callable[[CFloatArray], CFloatArray | None]) -> Callable[..., Any]:
    def kept(inputs: tuple[Any, ...], outs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not (isinstance(inputs[0], CFloatArray) and _is_known(outs, kwargs)):
            return None
        return _given(compute(inputs[0]), outs, kwargs)

    return kept


def _copysign(inputs: tuple[Any, ...], outs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    a, other = inputs
    if not (isinstance(a, CFloatArray) and a.format.signed and _is_known(outs, kwargs)):
        return None
    if isinstance(other, CFloatArray):
        negative = code_order(other.format).are_negative(other._native())
    elif type(other) in (np.ndarray, int, float) or isinstance(other, np.generic):
        other = np.asarray(other)
        if not is_source_dtype(other.dtype):
            return None
        negative = np.signbit(other if other.dtype.kind in "fiu" else other.astype(np.float64))
    else:
        return None
    a = in_shape(a, np.broadcast_shapes(a.shape, other.shape))
    codes = np.asarray(code_order(a.format).with_signs(a._native(), negative))
    return _given(CFloatArray._of(codes, a.format, a._biases), outs, kwargs)


def _selecting(select: Callable[..., Codes]) -> Callable[..., Any]:
    """Make a ufunc that gives one of the operands at each place, by a function of a format and codes."""

    def kept(inputs: tuple[Any, ...], outs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for x in inputs:
            if not isinstance(x, CFloatArray):
                return None
        if not _is_known(outs, kwargs):
            return None
        biases = shared_biases(inputs)
        if biases is None:
            return None
        fmt = inputs[0].format
        codes = select(fmt, *(a._native() for a in inputs))
        return _given(CFloatArray._of(codes, fmt, biases), outs, kwargs)

    return kept


_largest: Final = partial(larger, least=False, skip_nan=False)
_smallest: Final = partial(larger, least=True, skip_nan=False)


def _clipped(fmt: Format, a: Codes, low: Codes, high: Codes) -> Any:
    return _smallest(fmt, _largest(fmt, a, low), high)


def _nextafter(inputs: tuple[Any, ...], outs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    a, towards = inputs
    if not isinstance(a, CFloatArray) or kwargs.keys() - _OPTIONS:
        return None
    result = neighbours.nextafter(a, towards)
    if outs and isinstance(outs[0], np.ndarray):
        with flags.no_flags():
            values = result._decode()
        write(outs[0], values, kwargs.get("where", True))
        return outs[0]
    return _given(result, outs, kwargs)


def _spacing(inputs: tuple[Any, ...], outs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not isinstance(inputs[0], CFloatArray) or kwargs.keys() - _OPTIONS:
        return None
    result = neighbours.spacing(inputs[0])
    out = outs[0] if outs else None
    if out is None:
        return result
    write(out, result, kwargs.get("where", True))
    return out


#: Those of two operands that give one of them.
_SELECTS: Final = frozenset((np.maximum, np.minimum, np.fmax, np.fmin))


def of_method(
    ufunc: np.ufunc, method: str, a: Any, result: Any, kwargs: dict[str, Any]
) -> CFloatArray | None:
    """Give what ``reduce``, ``accumulate`` or ``reduceat`` select, if along the axes there is one bias.

    Elements are float32, as ``a[i]`` is.
    """
    if ufunc not in _SELECTS or not isinstance(a, CFloatArray) or type(result) is not np.ndarray:
        return None
    if any(kwargs.get(name) is not None for name in ("dtype", "initial")):
        return None
    keepdims = method != "reduce" or bool(kwargs.get("keepdims", False))
    biases = layout_along(a._biases, a.shape, kwargs.get("axis", 0), keepdims=keepdims)
    if biases is None:
        return None
    return exactly(a, result, a._biases if method == "accumulate" else biases)


def _is_known(outs: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the result is asked for as codes, and in no other way than is known here."""
    if kwargs and kwargs.keys() - _OPTIONS:
        return False
    return not outs or outs[0] is None or isinstance(outs[0], CFloatArray)


def _given(result: CFloatArray | None, outs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Give a result as a ufunc does: by itself, or written into an output, where a mask has True."""
    if result is None or not (outs or kwargs):
        return result
    where = kwargs.get("where", True)
    out = outs[0] if outs and outs[0] is not None else None
    if out is None:
        if where is not True:
            zeros = np.zeros_like(result.codes, subok=False)
            np.copyto(zeros, result.codes, where=where)
            result = CFloatArray._of(zeros, result.format, result._biases)
        order = kwargs.get("order", "K")
        return result if order in ("K", "A", None) else result.copy(order)
    if np.broadcast_shapes(result.shape, out.shape, shape_of(where)) != out.shape:
        raise ValueError(f"the result has shape {result.shape}, and the output {out.shape}")
    result = in_shape(result, out.shape)
    if result._same_code_meaning(out.format, out._biases, out.shape):
        np.copyto(out.codes, result.codes, where=where)
        return out
    where = np.broadcast_to(where, out.shape) if np.ndim(where) else where
    for key in pieces(out.shape, PIECE_SIZE):
        part = where[key] if np.ndim(where) else where
        target, source = (out[key], result[key]) if out.ndim else (out, result)
        with flags.no_flags():
            values = source._decode()
        write(target, values, part, signs=True)
    return out


#: What computes each of them: functions of the inputs, the outputs and the other arguments, or None.
KEEPING: Final[dict[np.ufunc, Function]] = {
    np.negative: _of_one(_negative),
    np.positive: _of_one(_positive),
    np.conjugate: _of_one(_positive),
    np.absolute: _of_one(absolute),
    np.fabs: _of_one(absolute),
    np.copysign: _copysign,
    np.maximum: _selecting(_largest),
    np.minimum: _selecting(_smallest),
    np.fmax: _selecting(partial(larger, least=False, skip_nan=True)),
    np.fmin: _selecting(partial(larger, least=True, skip_nan=True)),
    CLIP: _selecting(_clipped),
    np.nextafter: _nextafter,
    np.spacing: _spacing,
}
