"""Operations whose results are rounded once, in any mode: `add`, `fma` and the like (docs/spec.md 5.3)."""

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._bias.bias_layout import Axis, check_layout
from cfloat._convert.by_layout import encode_layout
from cfloat._core import binding, flags
from cfloat._core.arguments import check_out
from cfloat._core.dtypes import FLOAT32, real_array
from cfloat._core.format import Format
from cfloat._core.pieces import pieces
from cfloat._core.presets import as_format
from cfloat._core.public_names import public
from cfloat._core.rounding import Rounding, RoundingMode, check_rounding
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .array import CFloatArray
from .ufuncs.in_one_pass import rounded_into
from .ufuncs.in_pieces import PIECE_SIZE, apart, at_key, spread
from .ufuncs.operands import exact_operand

Array = NDArray[Any]


@public
def fma(
    a: ArrayLike,
    b: ArrayLike,
    c: ArrayLike,
    fmt: Format | str | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    out: Any = None,
) -> Any:
    """Multiply and add, ``a * b + c``, with one rounding of the exact result (docs/spec.md 5.5).

    Parameters
    ----------
    a, b, c : CFloatArray or array_like
        Operands, which broadcast: arrays of codes, and whatever `encode` takes.  Integers of 64 bits are
        exact, those beyond are refused.
    fmt : Format or str, optional
        The format to round into, or its name; float32 if None.
    bias, axis, block : optional
        The biases of the result, as in `asarray`, if there is a format.
    rounding, seed, offset : optional
        As in `encode`.
    out : CFloatArray or ndarray of float32, optional
        Where to write the result, in place of `fmt` and `bias`: of the result's shape.  It may be an operand.

    Returns
    -------
    CFloatArray or ndarray of float32
        `out`, or a new array.

    Raises
    ------
    ArgumentTypeError
        If an operand is not real numbers of a type that `encode` takes, `fmt` neither a Format nor a str,
        `out` neither of the two, or biases come without a format or `fmt` with `out`.
    ArgumentValueError
        If shapes do not fit, the format has no such bias, or `rounding`, `seed` or `offset` is not allowed.
    FlagError
        If `errstate` says so.

    See Also
    --------
    add, subtract, multiply, divide, sqrt : The other operations.

    Notes
    -----
    Infinities, NaN and the signs of zeros are as IEEE 754 says: ``x - x`` is +0, toward negative -0.  Every
    NaN is positive.  Flags are those of the rounding: Invalid where the result is NaN, Overflow and Underflow
    as in `encode`.  Division of a number by zero gives an infinity, which raises no flag of its own.

    Examples
    --------
    >>> import cfloat as cf
    >>> a = cf.asarray([3.0, 1.125], cf.CFloat8_1_4_3)
    >>> cf.fma(a, a, [0.25, 2.0**-40], cf.CFloat8_1_4_3)
    CFloatArray([9.  , 1.25], CFloat8_1_4_3, bias=7)
    >>> cf.fma(a, a, [0.25, 2.0**-40], rounding="toward_positive")
    array([9.25     , 1.2656251], dtype=float32)
    """
    operands = {"a": a, "b": b, "c": c}
    return _compute("fma", operands, fmt, bias, axis, block, rounding, seed, offset, out)


@public
def add(
    a: ArrayLike,
    b: ArrayLike,
    fmt: Format | str | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    out: Any = None,
) -> Any:
    """Add with one rounding, in any mode, of the exact sum; the arguments are those of `fma`.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.add(1.0, [0.0625, 2.0**-60], cf.CFloat8_1_4_3, rounding="toward_positive")
    CFloatArray([1.125, 1.125], CFloat8_1_4_3, bias=7)
    """
    return _compute("add", {"a": a, "b": b}, fmt, bias, axis, block, rounding, seed, offset, out)


@public
def subtract(
    a: ArrayLike,
    b: ArrayLike,
    fmt: Format | str | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    out: Any = None,
) -> Any:
    """Subtract with one rounding, in any mode, of the exact difference; the arguments are those of `fma`.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.subtract([1.0, 1.0], [2.0**-60, 1.0], cf.CFloat8_1_4_3, rounding="toward_negative")
    CFloatArray([ 0.9375, -0.    ], CFloat8_1_4_3, bias=7)
    """
    operands = {"a": a, "b": b}
    return _compute("subtract", operands, fmt, bias, axis, block, rounding, seed, offset, out)


@public
def multiply(
    a: ArrayLike,
    b: ArrayLike,
    fmt: Format | str | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    out: Any = None,
) -> Any:
    """Multiply with one rounding, in any mode, of the exact product; the arguments are those of `fma`.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.multiply(1.125, [1.125, -1.125], cf.CFloat8_1_4_3, rounding="to_odd")
    CFloatArray([ 1.375, -1.375], CFloat8_1_4_3, bias=7)
    """
    operands = {"a": a, "b": b}
    return _compute("multiply", operands, fmt, bias, axis, block, rounding, seed, offset, out)


@public
def divide(
    a: ArrayLike,
    b: ArrayLike,
    fmt: Format | str | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    out: Any = None,
) -> Any:
    """Divide with one rounding, in any mode, of the exact quotient; the arguments are those of `fma`.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.divide(1, [3, -3, 0], cf.float16, rounding="toward_negative")
    CFloatArray([ 0.33325195, -0.3334961 ,         inf], float16, bias=15)
    """
    operands = {"a": a, "b": b}
    return _compute("divide", operands, fmt, bias, axis, block, rounding, seed, offset, out)


@public
def sqrt(
    a: ArrayLike,
    fmt: Format | str | None = None,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    out: Any = None,
) -> Any:
    """Take the root with one rounding, in any mode, of the exact square root; the arguments are `fma`'s.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.sqrt([2, 4], cf.float16, rounding="toward_positive")
    CFloatArray([1.4150391, 2.       ], float16, bias=15)
    """
    return _compute("sqrt", {"a": a}, fmt, bias, axis, block, rounding, seed, offset, out)


def _compute(
    function: binding.Function,
    given: dict[str, Any],
    fmt: Format | str | None,
    bias: ArrayLike | None,
    axis: Axis | None,
    block: SupportsIndex | None,
    rounding: object,
    seed: SupportsIndex | None,
    offset: SupportsIndex,
    out: Any,
) -> Any:
    operands = [
        x if isinstance(x, CFloatArray) else real_array(name, x) for name, x in given.items()
    ]
    shape = _broadcast(list(given), operands)
    how = check_rounding(rounding, shape, seed, offset)
    _check_biases_go_with_a_format(fmt, out, bias=bias, axis=axis, block=block)
    if fmt is not None:
        fmt = as_format(fmt)
        layout = check_layout(fmt, bias, shape, axis, block)
        results = CFloatArray._of(np.empty(shape, fmt.storage_dtype), fmt, layout)
    elif isinstance(out, CFloatArray):
        if out.shape != shape:
            raise ArgumentValueError(f"out has shape {out.shape}; the result has {shape}")
        if not out.codes.flags.writeable:
            raise ArgumentValueError("out is read-only")
        results = out
    else:
        values = np.empty(shape, np.float32) if out is None else check_out(out, shape, FLOAT32)
        _into_float32(function, operands, values, how)
        return values if out is not None or shape else values[()]
    _into_format(function, operands, results, how)
    return results


def _check_biases_go_with_a_format(fmt: Any, out: Any, **biases: Any) -> None:
    if fmt is None:
        for name, value in biases.items():
            if value is not None:
                raise ArgumentTypeError(
                    f"{name} is {shown(value)}, and fmt is None; it takes both or none"
                )
    elif out is not None:
        raise ArgumentTypeError("fmt and out are given; it takes one of them")


def _broadcast(names: list[str], operands: list[Any]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(x.shape for x in operands))
    except ValueError:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in zip(names, operands, strict=True))
        raise ArgumentValueError(f"operands have shapes that do not broadcast: {shapes}") from None


def _into_float32(
    function: binding.Function, operands: list[Any], results: NDArray[np.float32], how: Rounding
) -> None:
    operands = [spread(apart(x, (results,)), results.shape) for x in operands]
    raised = flags.Flags()
    begin = 0
    for key in pieces(results.shape, PIECE_SIZE):
        parts = [exact_operand(at_key(x, key)) for x in operands]
        here = how._replace(offset=how.offset + begin)
        values, counted = binding.arithmetic_float32(function, *parts, rounding=here)
        results[key] = values
        begin += values.size
        if counted:
            raised.add(counted)
    if raised:
        flags.report(raised, function, results.size)


def _into_format(
    function: binding.Function, operands: list[Any], results: CFloatArray, how: Rounding
) -> None:
    fmt, shape = results.format, results.shape
    done = rounded_into(function, operands, results, how)
    if done is not None:
        if done[0]:
            flags.report(done[0], f"{function} to {fmt.name}", results.size)
        return
    operands = [spread(apart(x, (results,)), shape) for x in operands]
    with flags.collected() if flags.are_counted() else flags.no_flags() as raised:
        begin = 0
        for key in pieces(shape, PIECE_SIZE):
            parts = [exact_operand(at_key(x, key)) for x in operands]
            values, _ = binding.round_to_odd(
                function, *parts, toward_negative=how.mode == "toward_negative"
            )
            codes: Array = results.codes[key] if key else results.codes
            biases = results._biases.index(shape, key)
            here = how._replace(offset=how.offset + begin)
            encode_layout(values, fmt, biases.values, biases.blocks, codes.shape, here, codes)
            begin += codes.size
    if raised:
        flags.report(raised, f"{function} to {fmt.name}", results.size)
