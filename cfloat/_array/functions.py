"""NumPy's functions on `CFloatArray` (NEP 18): each is in one of three registries.

KEEPS: it moves or selects elements, and the result keeps format and biases.  COMPUTED: it computes on the
float32 values, and gives what NumPy gives of the decoded arrays.  REFUSED: it raises, for a reason.

The keys are a function's module and name: NumPy dispatches some functions as two objects (those that take
``like=``), of which only one is public.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

import numpy as np

from cfloat._bias.layout import compressed
from cfloat._matmul import numpy_products
from cfloat.errors import ArgumentTypeError

from .array import CFloatArray

Function = Callable[..., Any]

KEEPS: Final[dict[str, Function]] = {}

#: Where the value is None, the function is called with the float32 arrays in place of the CFloatArrays.
COMPUTED: Final[dict[str, Function | None]] = {}

REFUSED: Final[dict[str, str]] = {}


def call(
    own: CFloatArray,
    func: Function,
    types: Iterable[type],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Do what ``__array_function__`` of an array is asked for."""
    if not all(issubclass(one, CFloatArray | np.ndarray) for one in types):
        return NotImplemented
    name = key_of(func)
    reason = REFUSED.get(name)
    if reason is _LIKE and own.size == 0:
        # of no elements it stands for a kind of array, as Dask and others ask for one: NumPy's own
        return func(*args, **kwargs)
    if reason is not None:
        raise ArgumentTypeError(f"{name} does not take a CFloatArray: {reason}")
    if not args:  # the first argument may be given by its name, which functions differ in
        args = tuple(kwargs[first] for first in _parameters(func)[:1] if first in kwargs)
        kwargs = {key: kwargs[key] for key in kwargs if not args or key != _parameters(func)[0]}
    keep = KEEPS.get(name)
    if keep is not None:
        return keep(func, *args, **kwargs)
    special = COMPUTED.get(name)
    if special is not None:
        return special(func, *args, **kwargs)
    return compute(func, *args, **kwargs)


def _names(value: Any, names: str, prefix: str = "") -> dict[str, Any]:
    return {prefix + name: value for name in names.split()}


def key_of(func: Function) -> str:
    """Return a function's name in the registries, without the "numpy." of NumPy's own namespace."""
    module = func.__module__.replace("._scimath_impl", ".scimath")  # as NumPy 2.0 says
    return f"{module}.{func.__name__}".removeprefix("numpy.")


def decoded(x: Any) -> Any:
    """Return an argument with float32 arrays in place of the CFloatArrays in it."""
    if isinstance(x, CFloatArray):
        return x.__array__()
    if isinstance(x, list):
        return [decoded(part) for part in x]
    if isinstance(x, tuple):
        parts = [decoded(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if isinstance(x, dict):
        return {name: decoded(part) for name, part in x.items()}
    return x


def compute(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Call a function on the float32 values; a CFloatArray named as its output gets the result, rounded."""
    args, kwargs, out = _without_out(func, args, kwargs)
    result = func(*decoded(args), **decoded(kwargs))
    return result if out is None else _written(out, result)


def _written(out: CFloatArray, result: Any) -> CFloatArray:
    if np.shape(result) != out.shape:
        raise ValueError(f"the result has shape {np.shape(result)}, and the output {out.shape}")
    out[...] = result
    return out


def _without_out(
    func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], CFloatArray | None]:
    """Take a CFloatArray that is the output out of the arguments."""
    given = kwargs.get("out")
    if isinstance(given, tuple) and len(given) == 1:
        given = given[0]
    if isinstance(given, CFloatArray):
        return args, {name: value for name, value in kwargs.items() if name != "out"}, given
    place = _place_of_out(func)
    if place is not None and place < len(args) and isinstance(args[place], CFloatArray):
        return (*args[:place], None, *args[place + 1 :]), kwargs, args[place]
    return args, kwargs, None


#: Functions in C, of which not every NumPy release knows the signature.
_IN_C: Final = {"dot": ("a", "b", "out"), "concatenate": ("arrays", "axis", "out")}


@lru_cache(maxsize=512)
def _parameters(func: Function) -> tuple[str, ...]:
    """Return the names of a function's positional parameters."""
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):
        return _IN_C.get(key_of(func), ())
    return tuple(one.name for one in parameters if one.kind <= one.POSITIONAL_OR_KEYWORD)


def _place_of_out(func: Function) -> int | None:
    names = _parameters(func)
    return names.index("out") if "out" in names else None


# Functions that keep the format


def _keeps(*names: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        for name in names:
            KEEPS[name] = function
        return function

    return register


@_keeps(
    "expand_dims", "flip", "fliplr", "flipud", "roll", "rot90", "repeat", "tile", "diagonal",
    "linalg.diagonal", "broadcast_to", "lib.stride_tricks.sliding_window_view", "delete",
)  # fmt: skip
def _moved(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    """Functions of one array, the first argument."""
    if not isinstance(a, CFloatArray):
        return compute(func, a, *args, **kwargs)
    args, kwargs = decoded(args), decoded(kwargs)
    return a._moved(lambda codes: func(codes, *args, **kwargs))


@_keeps("resize")
def _resized(func: Function, a: Any, new_shape: Any) -> Any:
    if isinstance(a, CFloatArray) and a.size == 0 and a._biases.one is None:
        # NumPy makes zeros from nothing, and 0 may be no bias of the format
        return CFloatArray(func(a.codes, decoded(new_shape)), a.format)
    return _moved(func, a, new_shape)


@_keeps(
    "transpose", "matrix_transpose", "linalg.matrix_transpose", "moveaxis", "rollaxis", "swapaxes"
)
def _permuted(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    return a._permuted(lambda codes: func(codes, *args, **kwargs))


@_keeps("reshape")
def _reshape(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    names = ("shape", "order")
    bound = {**dict(zip(names, args, strict=False)), **kwargs}
    shape = bound.pop("newshape", None) if "newshape" in bound else bound.pop("shape")  # NumPy 2.0
    return a.reshape(shape, **bound)


@_keeps("ravel")
def _ravel(func: Function, a: CFloatArray, order: Any = "C") -> Any:
    return a.ravel(order)


@_keeps("squeeze")
def _squeeze(func: Function, a: CFloatArray, axis: Any = None) -> Any:
    return a.squeeze(axis)


@_keeps("tril", "triu", "diag", "diagflat")
def _moved_with_zeros(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    """Fill in zeros: the code 0 is the value 0, whatever the bias."""
    if a._biases.one is not None:
        return a._moved(lambda codes: func(codes, *args, **kwargs))
    if key_of(func) in ("tril", "triu"):
        if a.ndim == 1:  # which stands for each row
            a = a._moved(lambda part: np.broadcast_to(part, (a.size, a.size)))
        return CFloatArray._of(func(a.codes, *args, **kwargs), a.format, a._biases)
    if key_of(func) == "diag" and a.ndim == 2:
        return a._moved(lambda codes: func(codes, *args, **kwargs))
    return compute(func, a, *args, **kwargs)


@_keeps("split", "array_split", "hsplit", "vsplit", "dsplit", "unstack")
def _split(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(a, CFloatArray):
        return compute(func, a, *args, **kwargs)
    parts = func(a.codes, *args, **kwargs)
    biases = func(a._biases.full(a.shape), *args, **kwargs)
    return type(parts)(
        _element_or_array(a, codes, bias) for codes, bias in zip(parts, biases, strict=True)
    )


@_keeps("atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "meshgrid")
def _each_moved(func: Function, *arrays: Any, **kwargs: Any) -> Any:
    """Functions that give as many arrays as they take, each made of the one in its place."""
    parts = func(*(_codes(a) for a in arrays), **kwargs)
    biases = func(
        *(a._biases.full(a.shape) if isinstance(a, CFloatArray) else a for a in arrays), **kwargs
    )
    if not isinstance(parts, tuple):
        return _element_or_array(arrays[0], parts, biases)
    return tuple(map(_element_or_array, arrays, parts, biases))


def _element_or_array(a: Any, codes: Any, bias: Any) -> Any:
    """Return codes of an array as one of its format, and an array's element as float32."""
    if not isinstance(a, CFloatArray):
        return codes
    biases = a._biases if a._biases.one is not None else compressed(bias)
    made = CFloatArray._of(np.asarray(codes), a.format, biases)
    return made if isinstance(codes, np.ndarray) else made[()]


@_keeps("take", "take_along_axis", "compress", "extract")
def _selected(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Functions that select elements of one array by means of others."""
    bound = _arguments(func, args, kwargs)
    name = "arr" if "arr" in bound else "a"
    a, out = bound[name], bound.pop("out", None)
    rest = {key: decoded(value) for key, value in bound.items() if key != name}
    if not isinstance(a, CFloatArray):
        result = (
            func(**{name: a}, **rest)
            if out is None or isinstance(out, CFloatArray)
            else func(**{name: a}, **rest, out=out)
        )
        return _written(out, result) if isinstance(out, CFloatArray) else result
    result = a._moved(lambda codes: func(**{name: codes}, **rest))
    if out is None:
        return result if result.ndim else result[()]
    if result.shape != out.shape:
        raise ValueError(f"the result has shape {result.shape}, and the output {out.shape}")
    out[...] = result
    return out


_PARAMETERS: Final = {
    "take": ("a", "indices", "axis", "out", "mode"),
    "take_along_axis": ("arr", "indices", "axis"),
    "compress": ("condition", "a", "axis", "out"),
    "extract": ("condition", "arr"),
    "put": ("a", "ind", "v", "mode"),
    "place": ("arr", "mask", "vals"),
    "putmask": ("a", "mask", "values"),
    "put_along_axis": ("arr", "indices", "values", "axis"),
    "fill_diagonal": ("a", "val", "wrap"),
}


def _arguments(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(_PARAMETERS[key_of(func)], args, strict=False)), **kwargs}


@_keeps("trim_zeros")
def _trim_zeros(func: Function, filt: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    # by value: a negative zero is one as well
    places = np.arange(1, filt.size + 1).reshape(filt.shape)
    marked = np.where(filt.__array__() != 0, places, 0)
    kept = func(marked, *args, **kwargs)
    if kept.size == 0:
        return filt[tuple(slice(0, length) for length in kept.shape)]
    first = [int(index) for index in np.unravel_index(np.max(kept) - 1, filt.shape)]
    corner = [int(index) for index in np.argwhere(kept == np.max(kept))[0]]
    starts = [index - place for index, place in zip(first, corner, strict=True)]
    return filt[tuple(slice(start, start + n) for start, n in zip(starts, kept.shape, strict=True))]


@_keeps("copy")
def _copy(func: Function, a: CFloatArray, order: str = "K", subok: bool = False) -> Any:
    return a.copy(order)


@_keeps("real", "real_if_close")
def _itself(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    return a


@_keeps("empty_like", "zeros_like", "ones_like", "full_like")
def _like(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    name = key_of(func)
    names = ("fill_value", "dtype", "order", "subok", "shape") if name == "full_like" else (
        "dtype", "order", "subok", "shape",
    )  # fmt: skip
    bound = {**dict(zip(names, args, strict=False)), **kwargs}
    shape = bound.get("shape")
    same_shape = shape is None or tuple(np.atleast_1d(shape)) == a.shape
    keeps = isinstance(a, CFloatArray) and (a._biases.one is not None or same_shape)
    if not keeps or bound.get("dtype") is not None:
        return compute(func, a, *args, **kwargs)
    options = {key: bound[key] for key in ("order", "shape") if bound.get(key) is not None}
    # what memory happens to hold is a code only where every pattern of its bits is
    make = np.empty_like if name == "empty_like" and _fills_storage(a) else np.zeros_like
    made = CFloatArray._of(make(a.codes, subok=False, **options), a.format, a._biases)
    if name in ("ones_like", "full_like"):
        made[...] = 1 if name == "ones_like" else bound["fill_value"]
    return made


def _fills_storage(a: CFloatArray) -> bool:
    return a.format.bits == 8 * a.itemsize


def _shape_of(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, CFloatArray) else np.shape(x)


def _size_of(x: Any) -> int:
    return x.size if isinstance(x, CFloatArray) else int(np.size(x))


def _common(arrays: Iterable[Any]) -> CFloatArray | None:
    """Return the first array if all are CFloatArrays of its format and its one bias."""
    first = None
    for a in arrays:
        if not isinstance(a, CFloatArray) or a._biases.one is None:
            return None
        first = a if first is None else first
        if (a.format, a._biases.one) != (first.format, first._biases.one):
            return None
    return first


def _codes(x: Any) -> Any:
    """Return an argument with codes in place of the CFloatArrays in it."""
    if isinstance(x, CFloatArray):
        return x.codes
    if isinstance(x, list | tuple):
        return type(x)(_codes(part) for part in x)
    return x


@_keeps("concatenate", "stack", "vstack", "hstack", "dstack", "column_stack")
def _joined(func: Function, arrays: Any, *args: Any, **kwargs: Any) -> Any:
    arrays = list(arrays)
    like = _common(arrays)
    place = _place_of_out(func)
    positional_out = place is not None and 0 < place <= len(args) and args[place - 1] is not None
    asked = any(kwargs.get(name) is not None for name in ("out", "dtype")) or positional_out
    if like is None or asked:
        return compute(func, arrays, *args, **kwargs)
    return CFloatArray._of(func(_codes(arrays), *args, **kwargs), like.format, like._biases)


@_keeps("block")
def _block(func: Function, arrays: Any) -> Any:
    like = _common(_leaves(arrays))
    if like is None:
        return compute(func, arrays)
    return CFloatArray._of(func(_codes(arrays)), like.format, like._biases)


def _leaves(arrays: Any) -> Iterable[Any]:
    if isinstance(arrays, list):
        for part in arrays:
            yield from _leaves(part)
    else:
        yield arrays


@_keeps("append")
def _append(func: Function, arr: Any, values: Any, axis: Any = None) -> Any:
    like = _common((arr, values))
    if like is None:
        return compute(func, arr, values, axis)
    return CFloatArray._of(func(arr.codes, values.codes, axis), like.format, like._biases)


@_keeps("insert")
def _insert(func: Function, arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    like = _common((arr, values))
    if like is None:
        return compute(func, arr, obj, values, axis)
    codes = func(arr.codes, decoded(obj), values.codes, axis)
    return CFloatArray._of(codes, like.format, like._biases)


@_keeps("where")
def _where(func: Function, condition: Any, *xy: Any) -> Any:
    like = _common(xy) if len(xy) == 2 else None
    if like is None:
        return compute(func, condition, *xy)
    codes = func(decoded(condition), *_codes(xy))
    return CFloatArray._of(codes, like.format, like._biases)


@_keeps("pad")
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
        from cfloat._convert.elementwise import encode

        values = encode(np.asarray(decoded(kwargs.get("constant_values", 0))), array.format, one)
        codes = func(array.codes, pad_width, mode, constant_values=values)
        return CFloatArray._of(codes, array.format, array._biases)
    return compute(func, array, pad_width, mode, **kwargs)


def _padded_with_anything(
    func: Function, array: CFloatArray, pad_width: Any, **kwargs: Any
) -> CFloatArray:
    """Pad with codes that may be any, but are codes of the format, with biases that it allows."""
    # "empty" takes no arguments, and says so
    mode = "empty" if kwargs or _fills_storage(array) else "constant"
    codes = func(array.codes, pad_width, mode, **kwargs)
    biases = array._biases
    if biases.one is None:
        full = biases.full(array.shape)
        # an empty axis has no edge
        how = {"mode": "edge"} if array.size else {"constant_values": array.format.default_bias}
        biases = compressed(func(full, pad_width, **how))
    return CFloatArray._of(codes, array.format, biases)


def _exactly(a: CFloatArray, values: Any) -> CFloatArray:
    """Return values that are some of an array's own, of one bias, in its format."""
    from cfloat._convert.elementwise import encode
    from cfloat._core.flags import no_flags

    with no_flags():
        codes = encode(values, a.format, a._biases.one)
    return CFloatArray._of(codes, a.format, a._biases)


@_keeps("sort", "partition")
def _sorted(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> Any:
    result = compute(func, a, *args, **kwargs)
    return result if a._biases.one is None else _exactly(a, result)


@_keeps("unique", "unique_all", "unique_counts", "unique_inverse", "unique_values")
def _unique(func: Function, a: Any, *args: Any, **kwargs: Any) -> Any:
    result = compute(func, a, *args, **kwargs)
    if not isinstance(a, CFloatArray) or a._biases.one is None:
        return result
    if isinstance(result, tuple):
        parts = (_exactly(a, result[0]), *result[1:])
        return type(result)(*parts) if hasattr(result, "_fields") else parts
    return _exactly(a, result)


@_keeps("intersect1d", "setdiff1d", "setxor1d", "union1d")
def _set_operation(func: Function, ar1: Any, ar2: Any, *args: Any, **kwargs: Any) -> Any:
    like = _common((ar1, ar2))
    result = compute(func, ar1, ar2, *args, **kwargs)
    if like is None:
        return result
    if isinstance(result, tuple):
        return (_exactly(like, result[0]), *result[1:])
    return _exactly(like, result)


# Functions that write into their first argument


@_keeps("copyto")
def _copyto(
    func: Function, dst: Any, src: Any, casting: str = "same_kind", where: Any = True
) -> None:
    if not isinstance(dst, CFloatArray):
        func(dst, decoded(src), casting=casting, where=decoded(where))
        return
    if casting not in ("same_kind", "unsafe"):
        raise ArgumentTypeError(
            f"casting is {casting!r}; values are rounded into a CFloatArray, which takes 'same_kind'"
        )
    if where is True:
        dst[...] = src
        return
    mask = np.zeros(dst.shape, np.bool_)
    np.copyto(mask, True, where=decoded(where))  # by NumPy's rules of what is a mask
    spread = np.broadcast_to(src, dst.shape)
    dst[mask] = spread[mask]


@_keeps("put", "place", "putmask", "put_along_axis", "fill_diagonal")
def _put(func: Function, *args: Any, **kwargs: Any) -> None:
    """Functions that write values here and there: NumPy writes their numbers, which tell what goes where."""
    name, *others = _PARAMETERS[key_of(func)]
    bound = _arguments(func, args, kwargs)
    a, rest = bound[name], {key: decoded(bound[key]) for key in others if key in bound}
    if not isinstance(a, CFloatArray):
        func(a, **rest)
        return
    of_values = next(key for key in ("v", "val", "vals", "values") if key in rest)
    values = np.asarray(rest[of_values])
    numbers = np.full(a.shape, -1)
    func(numbers, **{**rest, of_values: np.arange(values.size).reshape(values.shape)})
    wanted = numbers >= 0
    a[wanted] = values.reshape(-1)[numbers[wanted]]


# Functions that compute


def _computed(*names: str) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        for name in names:
            COMPUTED[name] = function
        return function

    return register


COMPUTED.update(
    _names(
        None,
        """
        all allclose amax amin angle any apply_along_axis apply_over_axes argmax argmin argpartition argsort
        argwhere around array2string array_equal array_equiv array_str average choose convolve corrcoef
        correlate count_nonzero cov cross cumprod cumsum cumulative_prod cumulative_sum diag_indices_from diff
        digitize ediff1d einsum_path fix flatnonzero geomspace gradient histogram histogram2d
        histogram_bin_edges histogramdd i0 imag interp isclose iscomplex isin isneginf isposinf isreal
        ix_ kron lexsort linspace logspace max mean median min min_scalar_type nanargmax nanargmin nancumprod
        nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar
        nonzero outer percentile piecewise poly polyadd polyder polydiv polyfit polyint polymul polysub
        polyval prod ptp quantile roots round savetxt searchsorted select sinc sort_complex std sum
        trace trapezoid tril_indices_from triu_indices_from unwrap vander var in1d
        polynomial.polynomial.polygrid2d polynomial.polynomial.polyval2d lib.scimath.arccos lib.scimath.arcsin
        lib.scimath.arctanh lib.scimath.log lib.scimath.log10 lib.scimath.log2 lib.scimath.logn
        lib.scimath.power lib.scimath.sqrt linalg.cholesky linalg.cond linalg.cross linalg.det linalg.eig
        linalg.eigh linalg.eigvals linalg.eigvalsh linalg.inv linalg.lstsq linalg.matrix_norm
        linalg.matrix_power linalg.matrix_rank linalg.norm linalg.outer linalg.pinv linalg.qr
        linalg.slogdet linalg.solve linalg.svd linalg.svdvals linalg.tensorinv
        linalg.tensorsolve linalg.trace linalg.vecdot linalg.vector_norm fft.fft fft.fft2 fft.fftn
        fft.fftshift fft.hfft fft.ifft fft.ifft2 fft.ifftn fft.ifftshift fft.ihfft fft.irfft fft.irfft2
        fft.irfftn fft.rfft fft.rfft2 fft.rfftn
        """,
    )
)


@_computed(*numpy_products.FUNCTIONS)
def _product(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Functions that are matrix products, of operands that `cfloat.matmul` takes."""
    result = numpy_products.FUNCTIONS[key_of(func)](*args, **kwargs)
    return compute(func, *args, **kwargs) if result is None else result


@_computed("clip")
def _clip(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Leave elements of the output that are not asked for: it is a ufunc in all but name."""
    args, kwargs, out = _without_out(func, args, kwargs)
    if out is None:
        return compute(func, *args, **kwargs)
    where = kwargs.pop("where", True)
    result = func(*decoded(args), **decoded(kwargs))
    np.copyto(out, np.broadcast_to(result, out.shape), where=where)  # type: ignore[arg-type]
    return out


@_computed("nan_to_num")
def _nan_to_num(func: Function, x: Any, copy: bool = True, *args: Any, **kwargs: Any) -> Any:
    if copy or not isinstance(x, CFloatArray):
        return compute(func, x, copy, *args, **kwargs)
    return _written(x, compute(func, x, True, *args, **kwargs))


@_computed("array_repr")
def _array_repr(
    func: Function,
    arr: CFloatArray,
    max_line_width: Any = None,
    precision: Any = None,
    suppress_small: Any = None,
) -> str:
    options: Any = {"linewidth": max_line_width, "precision": precision, "suppress": suppress_small}
    with np.printoptions(**{name: value for name, value in options.items() if value is not None}):
        return repr(arr)


@_computed("shape")
def _shape(func: Function, a: CFloatArray) -> tuple[int, ...]:
    return a.shape


@_computed("ndim", "size")
def _metadata(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> int:
    result: int = func(a.codes, *args, **kwargs)
    return result


@_computed("may_share_memory", "shares_memory")
def _memory(func: Function, a: Any, b: Any, *args: Any, **kwargs: Any) -> bool:
    return bool(func(_codes(a), _codes(b), *args, **kwargs))


@_computed("result_type", "common_type", "can_cast", "iscomplexobj", "isrealobj")
def _type_of(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Functions that look at the dtype alone: one element in place of each array."""
    return func(
        *(np.zeros(1, np.float32) if isinstance(a, CFloatArray) else a for a in args), **kwargs
    )


@_computed("astype")
def _astype(
    func: Function, x: CFloatArray, dtype: Any, /, *, copy: bool = True, device: Any = None
) -> Any:
    return x.astype(dtype, copy=copy)


# Functions that refuse


def _refuses(reason: str, names: str, prefix: str = "") -> None:
    REFUSED.update(_names(reason, names, prefix))


_LIKE: Final = "like= does not tell the format and the bias; use cfloat.asarray"

_refuses(
    _LIKE,
    """
    arange array asanyarray asarray ascontiguousarray asfortranarray empty eye frombuffer fromfile
    fromfunction fromiter fromstring full genfromtxt identity loadtxt ones require tri zeros
    """,
)
_refuses(
    "it would lose the format and the biases; save a.codes beside them, or np.asarray(a)",
    "save savez savez_compressed",
)
_refuses(
    "it takes integers; a.codes are the bits of a",
    "bincount packbits unpackbits ravel_multi_index unravel_index",
)
_refuses("it is about dates", "busday_count busday_offset datetime_as_string is_busday")
_refuses(
    "it is about strings",
    """
    char.equal char.greater char.greater_equal char.less char.less_equal char.not_equal strings._join
    strings._rsplit strings._split strings._splitlines strings.capitalize strings.center strings.decode
    strings.encode strings.expandtabs strings.ljust strings.lower strings.mod strings.multiply
    strings.partition strings.replace strings.rjust strings.rpartition strings.swapcase strings.title
    strings.translate strings.upper strings.zfill
    """,
)
_refuses(
    "it takes structured arrays",
    """
    append_fields apply_along_fields assign_fields_by_name drop_fields find_duplicates join_by merge_arrays
    rec_append_fields rec_drop_fields rec_join recursive_fill_fields rename_fields repack_fields
    require_fields stack_arrays structured_to_unstructured unstructured_to_structured
    """,
    "lib.recfunctions.",
)
