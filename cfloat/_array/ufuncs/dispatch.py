"""``__array_ufunc__``: what each method of a ufunc does."""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.operators import check_operands
from cfloat._array.reductions import extreme, total
from cfloat._array.registry import KEPT, PROTOCOLS, UFUNCS
from cfloat._core import flags
from cfloat._core.float_modes import DefaultModes, other_modes
from cfloat.errors import ArgumentTypeError

from . import in_one_pass, in_pieces, keeping, repeated_indices, table_of_codes
from .correct_rounding import function_of
from .names import REFUSED
from .operands import integer, operand, operand_of, values_of
from .results import into, makes_nans, with_out, with_positive_nans, write


def call(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do what ``__array_ufunc__`` is asked for."""
    if other_modes():
        with DefaultModes():
            return call(ufunc, method, inputs, kwargs)
    if method == "__call__" and not kwargs:
        kept = KEPT.get(ufunc)
        if kept is not None and (computed := kept(inputs, (), kwargs)) is not None:
            return computed
        if (computed := in_one_pass.into_float32(ufunc, inputs)) is not None:
            return computed
        if (computed := in_one_pass.compared(ufunc, inputs)) is not None:
            return computed
        if _is_plain(ufunc, inputs):
            results = ufunc(*_values_of_all(inputs))
            return with_positive_nans(results) if makes_nans(ufunc, inputs) else results
    given = kwargs.get("out", ())
    if method == "__call__" and len(kwargs) == 1 and type(given) is tuple and len(given) == 1:
        written_to = in_one_pass.into_format(ufunc, inputs, given[0])
        if written_to is not None:
            return written_to
    outs: tuple[Any, ...] = given if isinstance(given, tuple) else (given,)
    if any(_is_foreign(x) for x in (*inputs, *outs)):
        return NotImplemented
    for out in outs:
        if not (out is None or isinstance(out, CFloatArray | np.ndarray)):
            raise ArgumentTypeError(f"out is a {type(out).__name__}; it takes an array")
    check_operands(f"numpy.{ufunc.__name__}", inputs)
    reason = REFUSED.get(ufunc.__name__)
    if reason is not None and not any("f" in loop for loop in ufunc.types):
        raise ArgumentTypeError(f"numpy.{ufunc.__name__} does not take a CFloatArray: {reason}")
    kwargs = {name: values_of(value) for name, value in kwargs.items() if name != "out"}
    written = [out for out in outs if isinstance(out, CFloatArray)]
    if written:
        _check_casting(kwargs)
    if method == "at" and isinstance(inputs[0], CFloatArray):
        written = [inputs[0]]
    if not (written and flags.are_counted()):
        return _do(ufunc, method, inputs, outs, kwargs)
    # flags are those of what is written: of the whole, whatever the pieces, and when it is complete
    with flags.collected() as raised:
        result = _do(ufunc, method, inputs, outs, kwargs)
    if raised:
        flags.report(raised, f"{ufunc.__name__} to {written[0].format.name}", written[0].size)
    return result


PROTOCOLS["__array_ufunc__"] = call
KEPT.update(keeping.KEEPING)


def _is_plain(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> bool:
    """Whether a call without other arguments is NumPy's on a few values, and nothing else."""
    if ufunc.signature is not None or ufunc.__name__ in REFUSED:
        return False
    piece, table = in_pieces.PIECE_SIZE, table_of_codes.LEAST_SIZE
    few = piece if piece < table else table
    for x in inputs:
        kind = type(x)
        if kind is CFloatArray or isinstance(x, CFloatArray):
            if x._codes.size >= few:
                return False
        elif kind is np.ndarray:
            if x.size >= few:
                return False
        elif not (kind is float or kind is int):
            return False
    return True


def _values_of_all(inputs: tuple[Any, ...]) -> list[Any]:
    """Give `values_of` each of some operands."""
    if flags.are_counted():
        return [values_of(x) for x in inputs]
    return [x._decode() if isinstance(x, CFloatArray) else x for x in inputs]


def _is_foreign(x: object) -> bool:
    """Whether an operand has its own idea of ufuncs, which is to be asked in place of this one."""
    own = getattr(type(x), "__array_ufunc__", np.ndarray.__array_ufunc__)
    return own is not np.ndarray.__array_ufunc__ and not isinstance(x, CFloatArray)


def _check_casting(kwargs: dict[str, Any]) -> None:
    casting = kwargs.pop("casting", "same_kind")
    if casting not in ("same_kind", "unsafe"):
        raise ArgumentTypeError(
            f"casting is {casting!r}; results are rounded into a CFloatArray, which takes 'same_kind'"
        )


def _do(
    ufunc: np.ufunc,
    method: str,
    inputs: tuple[Any, ...],
    outs: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    into_format = any(isinstance(out, CFloatArray) for out in outs)
    if method == "at":
        _at(ufunc, inputs)
        return None
    if method == "outer":
        first, second = (x if isinstance(x, CFloatArray) else np.asanyarray(x) for x in inputs)
        inputs = (first.reshape(first.shape + (1,) * second.ndim), second)
    if method in ("__call__", "outer"):
        return _call(ufunc, inputs, outs, kwargs, into_format)
    if method == "reduce" and not outs and not kwargs.keys() - {"axis", "keepdims"}:
        reduced = _reduced(ufunc, inputs[0], kwargs.get("axis", 0), kwargs.get("keepdims", False))
        if reduced is not None:
            return reduced
    operands = [operand(ufunc, x, kwargs, into_format) for x in inputs]
    if not into_format:
        result = getattr(ufunc, method)(*operands, **with_out(outs, kwargs))
        kept = None if outs else keeping.of_method(ufunc, method, inputs[0], result, kwargs)
        if kept is not None:
            return kept
        return with_positive_nans(result) if makes_nans(ufunc, inputs) else result
    result = getattr(ufunc, method)(*operands, **kwargs)
    if np.shape(result) != outs[0].shape:
        raise ValueError(f"the result has shape {np.shape(result)}, and the output {outs[0].shape}")
    write(outs[0], result, True)
    return outs[0]


def _reduced(ufunc: np.ufunc, a: Any, axis: Any, keepdims: Any) -> Any:
    """Reduce as NumPy's functions do."""
    if ufunc is np.add:
        return total(a, axis, keepdims)
    if ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
        return extreme(a, axis, keepdims, smallest=ufunc in (np.minimum, np.fmin))
    return None


def _call(
    ufunc: np.ufunc,
    inputs: tuple[Any, ...],
    outs: tuple[Any, ...],
    kwargs: dict[str, Any],
    into_format: bool,
) -> Any:
    inputs = tuple(np.asarray(x) if isinstance(x, list | tuple) else x for x in inputs)
    own = KEPT.get(ufunc)
    if own is None and getattr(np, ufunc.__name__, None) is ufunc:
        own = UFUNCS.get(ufunc.__name__)
    if own is not None:
        computed = own(inputs, outs, kwargs)
        if computed is not None:
            return computed
    by_code = table_of_codes.compute(ufunc, inputs, outs, kwargs)
    if by_code is not None:
        return by_code
    if ufunc.signature is None and in_pieces.is_large((*inputs, *outs, kwargs.get("where", True))):
        return in_pieces.compute(ufunc, inputs, outs, kwargs, into_format)
    function, exact = function_of(ufunc, inputs, kwargs, into_format)
    operands = [operand_of(ufunc, x, kwargs, into_format, exact) for x in inputs]
    positive = makes_nans(ufunc, inputs)
    return into(function, operands, outs, kwargs, ufunc.signature is None, positive=positive)


def _at(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> None:
    """``ufunc.at``: a CFloatArray is rounded into each time that an index names an element."""
    target, indices, *rest = inputs
    indices = values_of(indices)
    if not isinstance(target, CFloatArray):
        ufunc.at(target, indices, *map(values_of, rest))
        return
    if (ufunc.nin, ufunc.nout) != (1 + len(rest), 1) or ufunc.signature is not None:
        ufunc.at(values_of(target), indices, *map(values_of, rest))  # NumPy says what is wrong
        return
    if repeated_indices.compute_in_turn(ufunc, target, indices, rest):
        return
    operands = [integer(x) if type(x) is int else x for x in rest]
    for part, others in repeated_indices.rounds(target, indices, operands):
        _call(ufunc, (part, *others), (part,), {}, True)
