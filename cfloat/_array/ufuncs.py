"""NumPy's ufuncs on `CFloatArray` (NEP 13).

Values are decoded and computed on.  docs/spec.md 5.2: the result is a float32 ndarray, as it would be of the
decoded arrays, unless ``out=`` or an in-place operator names a CFloatArray.  Into that, float64 results are
rounded once; integers beyond 2^53 are float64 before that.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from cfloat._convert import elementwise
from cfloat._core import binding, flags
from cfloat._core.dtypes import is_source_dtype
from cfloat._core.finfo import finfo
from cfloat._core.format import Format
from cfloat._core.pieces import pieces
from cfloat._matmul import numpy_products
from cfloat.errors import ArgumentTypeError

from . import round_to_odd
from .array import CFloatArray

Array = NDArray[Any]

#: Elements computed at a time, so that what is decoded stays in cache and temporaries small.
PIECE_SIZE: Final = 1 << 14

_FLOAT32: Final = np.dtype(np.float32)

#: From this size on a unary ufunc of an 8-bit array is looked up.
TABLE_SIZE: Final = 1 << 12

#: Ufuncs whose rounded results are the exact ones' (docs/spec.md 5.3), by name.
CORRECTLY_ROUNDED: Final[dict[str, Callable[..., Any]]] = {
    "add": round_to_odd.add,
    "subtract": round_to_odd.subtract,
    "multiply": round_to_odd.multiply,
    "divide": round_to_odd.divide,
    "sqrt": round_to_odd.sqrt,
    "square": round_to_odd.square,
    "reciprocal": round_to_odd.reciprocal,
}

#: NumPy's ufuncs that compute on values.  Others than NumPy's do as well.
COMPUTED: Final = frozenset(
    """
    absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt ceil clip conjugate
    copysign cos cosh deg2rad degrees divide divmod equal exp exp2 expm1 fabs float_power floor
    floor_divide fmax fmin fmod frexp greater greater_equal heaviside hypot isfinite isinf isnan
    ldexp less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not
    logical_or logical_xor matmul matvec maximum minimum modf multiply negative nextafter
    not_equal positive power rad2deg radians reciprocal remainder rint sign signbit sin sinh
    spacing sqrt square subtract tan tanh trunc vecdot vecmat _ones_like
    """.split()
)

_INTEGERS: Final = "it is defined for integers and their bits; a.codes are the bits of a"
_STRINGS: Final = "it is about strings"

#: NumPy's ufuncs that refuse, by name, and why.
REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(
        "bitwise_and bitwise_count bitwise_or bitwise_xor gcd invert lcm left_shift right_shift".split(),
        _INTEGERS,
    ),
    "isnat": "it is about dates",
    **dict.fromkeys(
        """
        _center _expandtabs _expandtabs_length _ljust _lstrip_chars _lstrip_whitespace _partition
        _partition_index _replace _rjust _rpartition _rpartition_index _rstrip_chars _rstrip_whitespace _slice
        _strip_chars _strip_whitespace _zfill count endswith find index isalnum isalpha isdecimal isdigit
        islower isnumeric
        isspace istitle isupper rfind rindex startswith str_len
        """.split(),
        _STRINGS,
    ),
}


def call(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do what ``__array_ufunc__`` is asked for."""
    given = kwargs.get("out", ())
    outs: tuple[Any, ...] = given if isinstance(given, tuple) else (given,)
    if any(_is_foreign(x) for x in (*inputs, *outs)):
        return NotImplemented
    for out in outs:
        if not (out is None or isinstance(out, CFloatArray | np.ndarray)):
            raise ArgumentTypeError(f"out is a {type(out).__name__}; it takes an array")
    reason = REFUSED.get(ufunc.__name__)
    if reason is not None and not any("f" in loop for loop in ufunc.types):
        raise ArgumentTypeError(f"numpy.{ufunc.__name__} does not take a CFloatArray: {reason}")
    kwargs = {name: _float32(value) for name, value in kwargs.items() if name != "out"}
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
    operands = [_operand(ufunc, x, kwargs, into_format) for x in inputs]
    if not into_format:
        return getattr(ufunc, method)(*operands, **_with_out(outs, kwargs))
    result = getattr(ufunc, method)(*operands, **kwargs)
    if np.shape(result) != outs[0].shape:
        raise ValueError(f"the result has shape {np.shape(result)}, and the output {outs[0].shape}")
    _write(outs[0], result, True)
    return outs[0]


def _is_foreign(x: object) -> bool:
    """Whether an operand has its own idea of ufuncs, which is to be asked in place of this one."""
    own = getattr(type(x), "__array_ufunc__", np.ndarray.__array_ufunc__)
    return own is not np.ndarray.__array_ufunc__ and not isinstance(x, CFloatArray)


def _float32(x: Any) -> Any:
    if not isinstance(x, CFloatArray):
        return x
    with flags.no_flags():
        return x.__array__()


def _operand(ufunc: np.ufunc, x: Any, kwargs: dict[str, Any], wide: bool) -> Any:
    """Return an operand as NumPy takes it: in float64, if it is real, where the result will be rounded."""
    if isinstance(x, CFloatArray):
        values = _float32(x)
        return values.astype(np.float64) if wide and kwargs.get("dtype") is None else values
    if not wide or kwargs.get("dtype") is not None or ufunc is np.ldexp:
        return x
    narrow = (
        isinstance(x, np.ndarray | np.generic)
        and x.dtype.kind != "b"
        and x.dtype != np.float64
        and is_source_dtype(x.dtype)
    )
    return x.astype(np.float64) if narrow else x


def _check_casting(kwargs: dict[str, Any]) -> None:
    casting = kwargs.pop("casting", "same_kind")
    if casting not in ("same_kind", "unsafe"):
        raise ArgumentTypeError(
            f"casting is {casting!r}; results are rounded into a CFloatArray, which takes 'same_kind'"
        )


def _with_out(outs: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if all(out is None for out in outs):
        return kwargs
    return {**kwargs, "out": outs if len(outs) > 1 else outs[0]}


def _call(
    ufunc: np.ufunc,
    inputs: tuple[Any, ...],
    outs: tuple[Any, ...],
    kwargs: dict[str, Any],
    into_format: bool,
) -> Any:
    inputs = tuple(np.asarray(x) if isinstance(x, list | tuple) else x for x in inputs)
    multiplied = numpy_products.call_ufunc(ufunc, inputs, outs, kwargs)
    if multiplied is not None:
        return multiplied
    looked_up = _look_up(ufunc, inputs, outs, kwargs)
    if looked_up is not None:
        return looked_up
    everything = [x for x in (*inputs, *outs, kwargs.get("where", True)) if x is not None]
    small = max(math.prod(_shape(x)) for x in everything) <= PIECE_SIZE
    # subclasses, such as masked arrays, keep more than elements: they go through in one
    plain = all(type(x) is np.ndarray or not isinstance(x, np.ndarray) for x in everything)
    if ufunc.signature is not None or small or not plain:
        operands = [_operand(ufunc, x, kwargs, into_format) for x in inputs]
        function = _function(ufunc, inputs, kwargs, into_format)
        return _into(function, operands, outs, kwargs, ufunc.signature is None)
    shape = np.broadcast_shapes(*(_shape(x) for x in everything))
    return _call_in_pieces(ufunc, inputs, outs, kwargs, shape, into_format)


def _function(
    ufunc: np.ufunc, inputs: tuple[Any, ...], kwargs: dict[str, Any], into_format: bool
) -> Callable[..., Any]:
    """Return what computes a ufunc: where that will be rounded, what makes it the exact result's rounding."""
    exact = CORRECTLY_ROUNDED.get(ufunc.__name__)
    own = getattr(np, ufunc.__name__, None) is ufunc and not kwargs.keys() - {
        "where",
        "order",
        "subok",
    }
    if not (into_format and exact is not None and own and all(map(_is_number, inputs))):
        return cast(Callable[..., Any], ufunc)
    if ufunc.__name__ in ("add", "subtract"):
        plain = _sums_are_exact(inputs)
    else:
        # of 24 bits and fewer, products are exact in float64, and quotients and roots never close to a tie
        plain = all(_has_24_bits(x) for x in inputs)
    if plain:
        return cast(Callable[..., Any], ufunc)
    compute = exact

    def function(*operands: Any, **options: Any) -> Any:
        del options  # of the result's memory, which is none that anybody sees
        return compute(*(np.asarray(x, np.float64) for x in operands))

    return function


def _is_number(x: Any) -> bool:
    """Whether an operand is real numbers; of others NumPy knows better.  Of bools, it adds no numbers."""
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.kind != "b" and is_source_dtype(x.dtype)
    return isinstance(x, CFloatArray) or (isinstance(x, int | float) and not isinstance(x, bool))


def _has_24_bits(x: Any) -> bool:
    """Whether all values of an operand are float32 or narrower."""
    if isinstance(x, CFloatArray):
        return True
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.itemsize <= (2 if x.dtype.kind in "iu" else 4)
    return bool(abs(x) < 2.0**64 and float(np.float32(x)) == x)


def _sums_are_exact(inputs: tuple[Any, ...]) -> bool:
    """Whether float64 holds every sum of two operands: all their bits are within 52 binades."""
    ranges = []
    for x in inputs:
        if not isinstance(x, CFloatArray) or x._biases.one is None:
            return False
        ranges.append(_exponents(x.format, x._biases.one))
    return max(top for _, top in ranges) - min(bottom for bottom, _ in ranges) <= 52


@lru_cache(maxsize=256)
def _exponents(fmt: Format, bias: int) -> tuple[int, int]:
    """Return the exponents of the unit of all values, and of a power of two above them."""
    return fmt._quantum - bias, math.frexp(float(finfo(fmt, bias).max))[1]


def _into(
    function: Callable[..., Any],
    operands: list[Any],
    outs: tuple[Any, ...],
    kwargs: dict[str, Any],
    elementwise: bool = True,
) -> Any:
    """Compute, write what goes into CFloatArrays, and return what the caller of a ufunc gets."""
    if not any(isinstance(out, CFloatArray) for out in outs):
        return function(*operands, **_with_out(outs, kwargs))
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
        _write(out, result, where)
        written.append(out)
    return written[0] if len(written) == 1 else tuple(written)


def _write(out: Any, result: Any, where: Any) -> None:
    if not isinstance(out, CFloatArray):
        np.copyto(out, result, where=where, casting="same_kind")
        return
    result = _canonical(np.broadcast_to(result, out.shape))
    if where is True:
        out[...] = result
        return
    where = np.broadcast_to(where, out.shape)
    # zeros raise no flag
    rounded = out.copy()
    rounded[...] = np.where(where, result, np.zeros((), result.dtype))
    np.copyto(out.codes, rounded.codes, where=where)


def _canonical(result: Array) -> Array:
    """Return results with NaNs that are positive: the sign of 0 / 0 differs from machine to machine."""
    if result.dtype.kind != "f":
        return result
    nan = np.isnan(result)
    return np.where(nan, result.dtype.type(np.nan), result) if nan.any() else result


def _call_in_pieces(
    ufunc: np.ufunc,
    inputs: tuple[Any, ...],
    outs: tuple[Any, ...],
    kwargs: dict[str, Any],
    shape: tuple[int, ...],
    into_format: bool,
) -> Any:
    """Compute on a large array in pieces that fit in cache."""
    for out in outs:
        if out is not None and out.shape != shape:
            raise ValueError(f"operands broadcast to {shape}, and an output has shape {out.shape}")
    inputs = tuple(_apart(x, outs) for x in inputs)
    spread = [_spread(x, shape) for x in inputs]
    where = _apart(kwargs.get("where", True), outs)
    where = np.broadcast_to(where, shape) if np.ndim(where) else where
    function = _function(ufunc, inputs, kwargs, into_format)
    results: list[Any] = list(outs) if outs else [None] * ufunc.nout
    for key in pieces(shape, PIECE_SIZE):
        parts = [_operand(ufunc, _at_key(x, key), kwargs, into_format) for x in spread]
        options = kwargs if np.ndim(where) == 0 else {**kwargs, "where": where[key]}
        targets = tuple(None if result is None else result[key] for result in results)
        if all(target is None for target in targets):
            targets = ()
        computed = _into(function, parts, targets, options)
        if ufunc.nout == 1:
            computed = (computed,)
        for i, part in enumerate(computed):
            if results[i] is None:  # the first piece tells the dtype
                results[i] = np.empty(shape, part.dtype, "F" if kwargs.get("order") == "F" else "C")
                results[i][key] = part
    return results[0] if ufunc.nout == 1 else tuple(results)


def _shape(x: Any) -> tuple[int, ...]:
    # not numpy.shape, which would come back here
    return x.shape if isinstance(x, CFloatArray | np.ndarray) else np.shape(x)


def _spread(x: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(x, CFloatArray):
        return x if x.shape == shape else x._moved(lambda a: np.broadcast_to(a, shape))
    return np.broadcast_to(x, shape) if _shape(x) else x


def _at_key(x: Any, key: tuple[slice, ...]) -> Any:
    return x[key] if _shape(x) else x


def _memory(x: Any) -> Any:
    return x.codes if isinstance(x, CFloatArray) else x


def _apart(x: Any, outs: tuple[Any, ...]) -> Any:
    """Return an operand, or a copy where writing an output would change elements that are yet to be read."""
    if not isinstance(x, CFloatArray | np.ndarray):
        return x
    source = _memory(x)
    for out in outs:
        if out is None or not np.may_share_memory(source, _memory(out)):
            continue
        target = _memory(out)
        same = source.shape == target.shape and source.strides == target.strides
        if not (same and source.ctypes.data == target.ctypes.data):
            return x.copy()
    return x


def _at(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> None:
    """``ufunc.at``: all that happens to an element happens in float64, and is rounded at the end."""
    target, indices, *rest = inputs
    indices = _float32(indices)
    operands = [_float32(x) for x in rest]
    if not isinstance(target, CFloatArray):
        ufunc.at(target, indices, *operands)
        return
    with flags.no_flags():
        values = target.__array__(np.float64)
    ufunc.at(values, indices, *operands)
    target[indices] = _canonical(values[indices])


def _look_up(
    ufunc: np.ufunc, inputs: tuple[Any, ...], outs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return a unary ufunc of an 8-bit array by way of the few values that there are, or None."""
    if ufunc.nin != 1 or ufunc.nout != 1 or getattr(np, ufunc.__name__, None) is not ufunc:
        return None
    array, out = inputs[0], outs[0] if outs else None
    if not isinstance(array, CFloatArray) or array.size < TABLE_SIZE or array.itemsize != 1:
        return None
    bias = array._biases.one
    if bias is None or kwargs.keys() - {"dtype"} or not array.codes.flags.c_contiguous:
        return None
    if isinstance(out, CFloatArray) and (out._biases.one is None or flags.are_counted()):
        return None  # flags are counted by element
    if array.format.bits < 8:
        elementwise.check_codes(array.codes, array.format)  # they may have been written to
    target = _memory(out)
    if target is not None and not (
        (type(out) is np.ndarray or isinstance(out, CFloatArray))
        and target.shape == array.shape
        and target.flags.carray
        and (
            isinstance(out, CFloatArray)
            or target.dtype == ufunc.resolve_dtypes((_FLOAT32, None))[1]
        )
    ):
        return None
    into_format = isinstance(out, CFloatArray)
    values = _every_code(array.format, bias).astype(np.float64 if into_format else np.float32)
    function = partial(_function(ufunc, inputs, kwargs, into_format), **kwargs)
    warns = _raises(function, values)
    with np.errstate(all="ignore") if warns else nullcontext():
        table = function(values)
    if isinstance(out, CFloatArray):
        table = elementwise.encode(_canonical(table), out.format, out.bias)
    elif target is None:
        target = out = np.empty(array.shape, table.dtype)
    if table.dtype != target.dtype or table.dtype.hasobject or table.itemsize > 8:
        return None
    if np.may_share_memory(target, array.codes) and target is not array.codes:
        return None
    occur = _warning(function, values) if warns else None
    binding.map_codes(table, array.codes, target, occur)
    if occur is not None and occur.any():
        function(values[occur])  # NumPy warns of values that occur, and no others
    return out


def _every_code(fmt: Format, bias: int) -> Array:
    """Return what each of 256 codes stands for; codes that a narrower format lacks, for one."""
    values = fmt.values(bias)
    return np.concatenate([values, np.ones(256 - values.size, values.dtype)])


def _raises(function: Callable[[Array], Array], values: Array) -> bool:
    try:
        with np.errstate(all="raise"):
            function(values)
    except FloatingPointError:
        return True
    return False


def _warning(function: Callable[[Array], Array], values: Array) -> NDArray[np.bool_]:
    """Return which of some values raise a floating-point exception, by halves of those that do."""
    found = np.zeros(values.size, np.bool_)
    suspects = [slice(0, values.size)]
    while suspects:
        part = suspects.pop()
        if not _raises(function, values[part]):
            continue
        middle = (part.start + part.stop) // 2
        if middle == part.start:
            found[part] = True
        else:
            suspects += [slice(part.start, middle), slice(middle, part.stop)]
    return found
