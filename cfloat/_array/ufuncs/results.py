"""Where results of ufuncs go: to new arrays, into those of NumPy, or rounded into CFloatArrays."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray

Array = NDArray[Any]

#: Ufuncs that give NaN the sign that it is to have (docs/spec.md 3.7), into whatever they are written.
CHANGE_SIGNS: Final = frozenset(
    (np.negative, np.positive, np.absolute, np.fabs, np.copysign, np.conjugate)
)
# Their results are no floating-point numbers.
_OF_BOOL: Final = frozenset(
    (
        np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isnan, np.isinf,
        np.isfinite, np.signbit, np.logical_and, np.logical_or, np.logical_xor, np.logical_not,
    )
)  # fmt: skip

# Of finite numbers they make no NaN.
_WITHOUT_NAN: Final = frozenset(
    (
        np.add, np.subtract, np.multiply, np.square, np.exp, np.exp2, np.expm1, np.logaddexp, np.logaddexp2,
        np.sin, np.cos, np.tan, np.arctan, np.arctan2, np.sinh, np.cosh, np.tanh, np.arcsinh, np.hypot,
        np.cbrt, np.rint, np.floor, np.ceil, np.trunc, np.sign, np.maximum, np.minimum, np.fmax, np.fmin,
        np.degrees, np.radians, np.deg2rad, np.rad2deg,
    )
)  # fmt: skip

# Python's numbers up to here are finite as float32, too.
_FINITE: Final = 2.0**127

#: Signs that NaNs have already, or that nobody sees.
_KNOWN_SIGNS: Final = CHANGE_SIGNS | _OF_BOOL


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
    *,
    positive: bool = False,
) -> Any:
    """Compute, write what goes into CFloatArrays, and give what the caller of a ufunc gets.

    With `positive`, NaNs that go elsewhere are made positive, as those are that go into CFloatArrays.
    """
    if not any(isinstance(out, CFloatArray) for out in outs):
        results = function(*operands, **with_out(outs, kwargs))
        return with_positive_nans(results, kwargs.get("where", True)) if positive else results
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
        write(out, result, where, signs=function in CHANGE_SIGNS)
        written.append(out)
    return written[0] if len(written) == 1 else tuple(written)


def write(out: Any, result: Any, where: Any, *, signs: bool = False) -> None:
    """Write a result where a mask has True: into NumPy's array, or rounded into a CFloatArray.

    NaNs keep their signs if these are known.
    """
    if not isinstance(out, CFloatArray):
        np.copyto(out, result, where=where, casting="same_kind")
        return
    result = np.broadcast_to(result, out.shape)
    if not signs:
        result = positive_nans(result)
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


def makes_nans(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> bool:
    """Whether among the results of a ufunc there may be NaNs that are to be positive."""
    if ufunc not in _WITHOUT_NAN:
        return ufunc not in _KNOWN_SIGNS
    for x in inputs:
        if isinstance(x, CFloatArray):
            if x._format.nonfinite != "none":
                return True
        elif not (type(x) in (int, float) and -_FINITE < x < _FINITE):
            return True
    return False


def with_positive_nans(results: Any, where: Any = True) -> Any:
    """Make NaNs among new results of NumPy's positive (docs/spec.md 3.8), where a mask has True.

    Results are arrays, which are written to, or numbers, or tuples of these.
    """
    if isinstance(results, tuple):
        return tuple(with_positive_nans(each, where) for each in results)
    if type(results) is np.ndarray:
        if results.dtype.kind == "f":
            nans = results != results
            if np.count_nonzero(nans):
                np.copyto(results, np.nan, where=nans & where, casting="same_kind")
    elif isinstance(results, np.floating) and results != results:
        return type(results)(np.nan)
    return results


def positive_nans(result: Array) -> Array:
    """Make NaNs among results positive: the sign of 0 / 0 differs from machine to machine."""
    if result.dtype.kind != "f":
        return result
    nan = np.isnan(result)
    return np.where(nan, result.dtype.type(np.nan), result) if nan.any() else result
