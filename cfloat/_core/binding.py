"""The binding to the C core, and the only module that imports it.

What C cannot check is checked here: dtypes, contiguity, writability, overlap.  Arrays that are contiguous,
of native byte order and of one bias take a short way; all others go through the core's strided entries.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from cfloat.errors import CFloatError

from . import flags, threads
from ._cfloat import ffi, lib
from .flags import asked
from .rounding import NEAREST, ROUNDING_MODES, Rounding, RoundingMode
from .threads import get_num_threads

Array = NDArray[Any]

# Element types by the type number of NumPy's dtype, which does not depend on byte order.
_PREFIXES: Final = {"f": "CF_FLOAT", "i": "CF_INT", "u": "CF_UINT", "b": "CF_UINT"}
_TYPES: Final[dict[int, int]] = {
    dtype.num: getattr(lib, f"{_PREFIXES[dtype.kind]}{8 * dtype.itemsize}")
    for dtype in map(np.dtype, "?bBhHiIlLqQefdg")
    if dtype.itemsize <= 8  # a long double that is a double, on some systems, is one here
}
#: The types of dtypes of native byte order whose memory NumPy lends as it is: those of the short ways.
NATIVE_TYPES: Final = {
    dtype: _TYPES[dtype.num] for dtype in map(np.dtype, "?bBhHiIlLqQefdg") if dtype.num in _TYPES
}
#: Types that values can be written as, and those that matrix products take as they are.
VALUE_TYPES: Final = (lib.CF_FLOAT64, lib.CF_FLOAT32, lib.CF_FLOAT16, lib.CF_BFLOAT16)
OPERAND_TYPES: Final = (lib.CF_FLOAT32, lib.CF_BFLOAT16)

_NONFINITE: Final = {
    "none": lib.CF_NONFINITE_NONE,
    "ieee": lib.CF_NONFINITE_IEEE,
    "nan_only": lib.CF_NONFINITE_NAN_ONLY,
    "fnuz": lib.CF_NONFINITE_FNUZ,
    "p3109": lib.CF_NONFINITE_P3109,
}
_SUBNORMALS: Final = {
    "whitepaper": lib.CF_SUBNORMALS_WHITEPAPER,
    "ieee": lib.CF_SUBNORMALS_IEEE,
    "flush": lib.CF_SUBNORMALS_FLUSH,
    "normal": lib.CF_SUBNORMALS_NORMAL,
}
_ROUNDING: Final = {mode: getattr(lib, f"CF_{mode.upper()}") for mode in ROUNDING_MODES}

_VARIANT: Final = {
    "A": lib.CF_STOCHASTIC_A,
    "B": lib.CF_STOCHASTIC_B,
    "C": lib.CF_STOCHASTIC_C,
}
#: The type of codes, of the format that an operation is about, and what is no type.
CODES: Final[int] = lib.CF_CODES
NO_TYPE: Final = -1
# Attributes of the extension are slower to get than globals, and calls for a few elements are frequent.
_cf_convert: Final = lib.cf_convert
_cf_matmul_flat: Final = lib.cf_matmul_flat
_cf_add_to_peaks: Final = lib.cf_add_to_peaks
_cast: Final = ffi.cast
_VOID: Final = ffi.typeof("void *")
_FLOATS: Final = ffi.typeof("float *")
_FLOAT32: Final = lib.CF_ACCUMULATE_FLOAT32
_EXACT: Final = lib.CF_ACCUMULATE_EXACT
_NULL: Final = ffi.NULL
_empty: Final = np.empty
# What values can be viewed as, by their size: ml_dtypes' dtypes do not export a buffer.
_BITS: Final = {2: np.uint16, 4: np.uint32}
_from_buffer: Final = ffi.from_buffer
_cf_convert_nearest: Final = lib.cf_convert_nearest
_cf_matmul_contiguous: Final = lib.cf_matmul_contiguous
_BAD_TYPE: Final = lib.CF_BAD_TYPE

#: Bits of what an operation signals beside its result.
INVALID: Final[int] = lib.CF_SIGNAL_INVALID
DIVIDE_BY_ZERO: Final[int] = lib.CF_SIGNAL_DIVIDE_BY_ZERO

Function = Literal["add", "subtract", "multiply", "divide", "sqrt", "fma", "positive"]

_FUNCTIONS: Final = {name: getattr(lib, f"CF_{name.upper()}") for name in get_args(Function)}
_TIES_TO_EVEN: Final = lib.CF_TIES_TO_EVEN
_TOWARD_NEGATIVE: Final = lib.CF_TOWARD_NEGATIVE

_METHODS: Final = {
    "mse": lib.CF_CHOOSE_MSE,
    "max": lib.CF_CHOOSE_MAX,
    "mx": lib.CF_CHOOSE_MX,
    "percentile": lib.CF_CHOOSE_PERCENTILE,
}

#: Where parts of a matrix begin, for `add_scheme_errors`: multiples of so many rows, and columns.
TILE_ROWS: Final[int] = lib.CF_TILE
SCHEME_COLUMNS: Final[int] = lib.CF_SCHEME_COLUMNS

#: Sums of `exact_errors` are in units of 2 to the power of minus this.
SUM_ORIGIN: Final[int] = lib.CF_SUM_ORIGIN

_STATUS: Final = {
    lib.CF_BAD_FORMAT: "format",
    lib.CF_BAD_BIAS: "bias",
    lib.CF_BAD_ROUNDING: "rounding mode",
    lib.CF_BAD_TYPE: "element type",
    lib.CF_BAD_LAYOUT: "layout",
    lib.CF_BAD_ISA: "ISA",
    lib.CF_OTHER_MODES: "floating-point modes",
    lib.CF_OVERLAP: "overlapping arrays",
}


def _check(status: int) -> None:
    """Raise what a status of the core means."""
    if status == lib.CF_NO_MEMORY:
        raise MemoryError("there is no memory for what the core works with")
    # the callers' checks come first; what else gets here is an error of this package
    if status:
        raise CFloatError(f"the C core refused the {_STATUS.get(status, status)}")


def _is_bfloat16(dtype: np.dtype[Any]) -> bool:
    # ml_dtypes' dtype, recognised by name because ml_dtypes need not be installed
    return dtype.itemsize == 2 and dtype.type.__name__ == "bfloat16"


def element_type(dtype: np.dtype[Any]) -> int | None:
    """Tell the core's number of a dtype, in either byte order; None if it does not take it."""
    found = _TYPES.get(dtype.num)
    return lib.CF_BFLOAT16 if found is None and _is_bfloat16(dtype) else found


def format_struct(
    exponent_bits: int,
    mantissa_bits: int,
    signed: bool,
    nonfinite: str,
    subnormals: str,
    saturating: bool,
    bias_min: int,
    bias_max: int,
) -> Any:
    """Make the core's description of a format, which every function below takes as its `fmt`."""
    return ffi.new(
        "const cf_format *",
        {
            "exponent_bits": exponent_bits,
            "mantissa_bits": mantissa_bits,
            "is_signed": signed,
            "nonfinite": _NONFINITE[nonfinite],
            "subnormals": _SUBNORMALS[subnormals],
            "saturating": saturating,
            "bias_min": bias_min,
            "bias_max": bias_max,
        },
    )


def _pointer(array: Array) -> Any:
    """Take the address of a contiguous array's memory; the array must outlive it."""
    if array.dtype.kind == "V":  # ml_dtypes' dtypes do not export a buffer
        array = array.view(np.uint16)
    return ffi.from_buffer(array)


def _address(array: Array) -> Any:
    """Take the address of the first element of an array of any layout; the array must outlive it."""
    if array.flags.c_contiguous and array.dtype.kind != "V":  # the short way
        return ffi.cast("void *", ffi.from_buffer(array))
    return ffi.cast("void *", array.__array_interface__["data"][0])


def _memory(array: Array) -> Any:
    """Do what `_address` does of an array whose dtype exports a buffer, in less time, for a ``void *``."""
    layout = array.flags
    if layout.c_contiguous:
        return _from_buffer(array)
    return _from_buffer(array.T) if layout.f_contiguous else _address(array)


def _separate(source: Array, destination: Array) -> Array:
    """Copy the source where writing the destination would change elements yet to be read."""
    if not np.may_share_memory(source, destination):
        return source
    in_place = (
        source.shape == destination.shape
        and source.flags.c_contiguous
        and destination.flags.c_contiguous
        and source.dtype.isnative
        and source.itemsize >= destination.itemsize
        and source.__array_interface__["data"][0] == destination.__array_interface__["data"][0]
    )
    return source if in_place else source.copy()


def _strides(array: Array, shape: tuple[int, ...]) -> list[int]:
    """Tell the strides, in bytes, with which an array broadcasts to a shape."""
    missing = len(shape) - array.ndim
    own = zip(array.shape, array.strides, strict=True)
    return [0] * missing + [0 if length == 1 else stride for length, stride in own]


def _layout(source: Array, biases: Array, destination: Array) -> tuple[Any, list[Any]]:
    """Describe three arrays to the core; with what must be kept alive as long as the description."""
    shape = destination.shape
    lengths = ffi.new("int64_t[]", shape)
    strides = [ffi.new("int64_t[]", _strides(array, shape)) for array in (source, biases)]
    strides.append(ffi.new("int64_t[]", destination.strides))
    layout = ffi.new("cf_layout *")
    layout.ndim = destination.ndim
    layout.source_swapped = not source.dtype.isnative
    layout.shape = lengths
    layout.source_strides, layout.bias_strides, layout.destination_strides = strides
    return layout, [lengths, *strides]


def convert(
    fmt: Any,
    bias: int | NDArray[np.int16],
    source: Array,
    destination: Array,
    *,
    encode: bool,
    decode: bool,
    fresh: bool,
    rounding: Rounding = NEAREST,
) -> flags.Flags | None:
    """Encode, decode, or do both in a row, and tell what was raised if flags are counted.

    Parameters
    ----------
    fmt : cdata
        The `format_struct` of the codes.
    bias : int or ndarray of int16
        One checked bias, or biases that broadcast to the destination's shape.
    source : ndarray
        Codes, unless `encode`; broadcasts to the destination's shape.
    destination : ndarray
        Codes, unless `decode`; written.
    encode, decode : bool
        Whether the source, and the destination, are values and not codes.
    fresh : bool
        Whether the destination is a new array, contiguous and apart from all others.
    rounding : Rounding
        The checked arguments of `cfloat.encode`; decoding has no use for them.

    Returns
    -------
    Flags or None
        None if flags are not counted.
    """
    mode = _mode(rounding)
    from_type = element_type(source.dtype) if encode else CODES
    to_type = element_type(destination.dtype) if decode else CODES
    counter = ffi.new("cf_flags *") if flags.are_counted() else _NULL
    if not fresh:
        source = _separate(source, destination)
    is_contiguous = source.flags.c_contiguous
    if (
        not is_contiguous
        and type(bias) is int
        and rounding.mode != "stochastic"
        and source.flags.f_contiguous
        and destination.flags.f_contiguous
        and source.shape == destination.shape
    ):  # the order of elements is free
        source, destination, is_contiguous = source.T, destination.T, True
    if (
        type(bias) is int
        and rounding.words is None
        and rounding.steps is None
        and is_contiguous
        and (fresh or destination.flags.c_contiguous)
        and source.dtype.isnative
        and source.shape == destination.shape
    ):
        status = lib.cf_convert(
            fmt, bias, from_type, _pointer(source), mode, rounding.seed, rounding.offset,
            to_type, _pointer(destination), source.size, threads.get_num_threads(), counter,
        )  # fmt: skip
    else:
        biases = np.asarray(bias, np.int16)
        if not fresh and np.may_share_memory(biases, destination):
            biases = biases.copy()
        layout, _alive = _layout(source, biases, destination)
        if rounding.words is not None:
            layout.words = ffi.from_buffer("uint32_t[]", rounding.words)
        if rounding.steps is not None:
            word_strides = ffi.new("int64_t[]", rounding.steps)
            layout.word_strides = word_strides
        status = lib.cf_convert_strided(
            fmt, _address(biases), from_type, _address(source), mode, rounding.seed, rounding.offset,
            to_type, _address(destination), layout, threads.get_num_threads(), counter,
        )  # fmt: skip
    if status:
        _check(status)
    if counter is _NULL:
        return None
    return flags.Flags(counter.invalid, counter.overflow, counter.underflow, counter.denormal)


#: Gives the core's number of a rounding mode that `convert_memory` takes; None of anything else.
rounding_number: Final[Callable[[object], int | None]] = _ROUNDING.get  # type: ignore[assignment]


def convert_memory(
    fmt: Any,
    bias: int,
    from_type: int,
    source: int,
    rounding: int,
    seed: int,
    offset: int,
    to_type: int,
    destination: int,
    count: int,
) -> None:
    """Convert as `convert` what is contiguous and of one bias, by addresses; no flags are counted.

    Types are `CODES` or of `VALUE_TYPES`, the rounding a `rounding_number`, and all is checked.
    """
    status = _cf_convert(
        fmt, bias, from_type, _cast(_VOID, source), rounding, seed, offset, to_type,
        _cast(_VOID, destination), count, threads.get_num_threads(), _NULL,
    )  # fmt: skip
    if status:
        _check(status)


def convert_nearest(
    fmt: Any, bias: object, source: Array, from_type: int, out: object, dtype: Any, to_type: int
) -> Array | None:
    """Convert to nearest by the shortest way there is; None if that is not for these arguments.

    It is for contiguous arrays of native byte order and one bias, while nobody counts flags; and for no wrong
    argument.  Nothing was written where it gives None: `convert`, and the checks before it, know the rest.

    Parameters
    ----------
    fmt : Format
        The format of the codes.
    bias : object
        Plain are an int and None, which is the format's default.
    source : ndarray
        Values, or codes that the format has.
    from_type, to_type : int
        What the source and the result hold: `CODES`, or one of `NATIVE_TYPES`, or `NO_TYPE` of others.
    out : object
        Where to write the result; plain are None, which is a new array, and an array of the source's shape.
    dtype : dtype
        The result's.

    Returns
    -------
    ndarray or None
        The result.
    """
    if asked() is not None:
        return None
    if bias is None:
        bias = fmt.default_bias
    elif type(bias) is not int:
        return None
    if not source.flags.c_contiguous:
        return None
    if out is None:
        out = _empty(source.shape, dtype)
    elif (
        type(out) is not np.ndarray
        or out.dtype != dtype
        or out.shape != source.shape
        or not out.flags.carray
    ):
        return None
    try:
        status = _cf_convert_nearest(
            fmt._struct, bias, from_type, _from_buffer(source), to_type, _from_buffer(out),
            source.size, get_num_threads(),
        )  # fmt: skip
    except (
        ValueError,
        OverflowError,
    ):  # NumPy lends no memory of some dtypes; a bias of too many bits
        return None
    return None if status else out


class Matrices(NamedTuple):
    """An operand of matrix products: a stack of matrices, whose rows and columns are the last two axes.

    Attributes
    ----------
    elements : ndarray
        Codes of `format`, float32 or bfloat16: aligned, of native byte order, with any strides.
    format : cdata or None
        The `format_struct` of codes.
    biases : int, ndarray of int16 or None
        The checked bias of codes; or biases of as many axes as `elements`, each of length 1, or the elements'
        own, or as many as there are blocks of it.
    blocks : (int, int)
        How many consecutive rows and columns share a bias.
    """

    elements: Array
    format: Any = None
    biases: int | NDArray[np.int16] | None = None
    blocks: tuple[int, int] = (1, 1)


def _fill_matrix(matrix: Any, operand: Matrices, stack: tuple[int, ...]) -> list[Any]:
    """Describe an operand to the core; returns what must be kept alive as long as the description."""
    elements, fmt, biases, blocks = operand
    shape = (*stack, *elements.shape[-2:])
    own = elements.strides if elements.shape == shape else _strides(elements, shape)
    strides = ffi.new("int64_t[]", own)
    matrix.elements, matrix.strides = _address(elements), strides
    if fmt is None or biases is None:
        matrix.type = element_type(elements.dtype)
        return [strides]
    matrix.type, matrix.format = CODES, fmt
    # one bias along an axis is one block, as long as the axis
    whole = [max(1, length) for length in shape[-2:]]
    if isinstance(biases, int):
        bias, bias_strides = ffi.new("int16_t *", biases), ffi.new("int64_t[]", len(shape))
        matrix.biases, matrix.bias_strides, matrix.bias_block = bias, bias_strides, whole
        return [strides, bias, bias_strides]
    counts = biases.shape[-2:]
    bias_strides = ffi.new("int64_t[]", _strides(biases, (*stack, *counts)))
    matrix.biases, matrix.bias_strides = ffi.cast("int16_t *", _address(biases)), bias_strides
    matrix.bias_block = [
        length if count == 1 else block
        for length, count, block in zip(whole, counts, blocks, strict=True)
    ]
    return [strides, bias_strides]


def _product(a: Matrices, b: Matrices, results: Array) -> tuple[Any, list[Any]]:
    """Describe a product to the core; with what must be kept alive as long as the description."""
    stack = results.shape[:-2]
    product = ffi.new("cf_product *")
    alive = _fill_matrix(product.a, a, stack) + _fill_matrix(product.b, b, stack)
    result_strides = ffi.new("int64_t[]", results.strides)
    stack_shape = ffi.new("int64_t[]", stack)
    product.results = _address(results)
    product.result_strides, product.stack_shape = result_strides, stack_shape
    product.stack_ndim = len(stack)
    product.rows, product.inner = a.elements.shape[-2:]
    product.columns = b.elements.shape[-1]
    return product, [*alive, result_strides, stack_shape]


def matmul(a: Matrices, b: Matrices, results: Array) -> None:
    """Write products, summed in float32.

    Parameters
    ----------
    a, b : Matrices
        Operands whose shapes fit; their stacks broadcast to that of the results.
    results : ndarray of float32
        Aligned and writable, with any strides; no memory of an operand.
    """
    product, _alive = _product(a, b, results)
    _check(lib.cf_matmul(product, threads.get_num_threads()))


def matmul_exact(
    a: Matrices, b: Matrices, results: NDArray[np.float32] | NDArray[np.float64]
) -> None:
    """Write products, each the exact sum rounded once to float32, or to odd to float64; as `matmul`.

    What then rounds a result of float64 to a format rounds the exact sum.
    """
    product, _alive = _product(a, b, results)
    to_odd = results.dtype == np.float64
    multiply = lib.cf_matmul_exact_to_odd if to_odd else lib.cf_matmul_exact
    _check(multiply(product, threads.get_num_threads()))


def matmul_flat(
    a: Array,
    a_format: Any,
    a_bias: int,
    b: Array,
    b_format: Any,
    b_bias: int,
    results: NDArray[np.float32],
    exact: bool,
) -> None:
    """Write one product, of matrices or vectors: as `matmul` or `matmul_exact`, by a short way.

    Parameters
    ----------
    a, b : ndarray of one axis or two, with elements
        Codes, float32 or bfloat16, whose shapes fit: aligned, of native byte order, with any strides.
    a_format, b_format : cdata or None
        The `format_struct` of codes.
    a_bias, b_bias : int
        The checked bias of codes.
    results : ndarray of float32
        Aligned and writable, with any strides; no memory of an operand.
    exact : bool
        Whether sums are exact, and rounded once.
    """
    accumulate = _EXACT if exact else _FLOAT32
    a_type: int | None = CODES
    b_type: int | None = CODES
    if a_format is None:
        a, a_format, a_type = a.view(_BITS[a.itemsize]), _NULL, element_type(a.dtype)
    if b_format is None:
        b, b_format, b_type = b.view(_BITS[b.itemsize]), _NULL, element_type(b.dtype)
    # a vector is a row on the left, and a column on the right
    rows, columns = a.shape[0] if a.ndim == 2 else 1, b.shape[1] if b.ndim == 2 else 1
    if a.flags.c_contiguous and b.flags.c_contiguous and results.flags.c_contiguous:
        status = _cf_matmul_contiguous(
            accumulate, rows, b.shape[0], columns, a_type, a_format, a_bias, _from_buffer(a),
            b_type, b_format, b_bias, _from_buffer(b), _from_buffer(results), get_num_threads(),
        )  # fmt: skip
    else:  # strides along one element are not looked at
        a_row, row_step = (a.strides[0], results.strides[0]) if a.ndim == 2 else (0, 0)
        b_column, column_step = (b.strides[1], results.strides[-1]) if b.ndim == 2 else (0, 0)
        status = lib.cf_matmul_flat(
            accumulate, rows, b.shape[0], columns,
            a_type, a_format, a_bias, _memory(a), a_row, a.strides[-1],
            b_type, b_format, b_bias, _memory(b), b.strides[0], b_column,
            _memory(results), row_step, column_step, get_num_threads(),
        )  # fmt: skip
    if status:
        _check(status)


def matmul_memory(
    rows: int,
    inner: int,
    columns: int,
    a: tuple[int, Any, int, int, int],
    b: tuple[int, Any, int, int, int, int],
    results: int,
) -> None:
    """Write one product into contiguous float32, summed in float32: as `matmul_flat`, by addresses.

    Parameters
    ----------
    rows, inner, columns : int
        1 or more.
    a : (int, cdata or None, int, int, int)
        Of a matrix with contiguous rows its type, `CODES` or of `OPERAND_TYPES`; the `format_struct` and the
        checked bias of codes; its address, and an element's bytes.
    b : (int, cdata or None, int, int, int, int)
        The same, with the strides of a row and of a column in bytes in place of the last.
    results : int
        An address.
    """
    a_type, a_format, a_bias, a_address, a_size = a
    b_type, b_format, b_bias, b_address, b_row, b_column = b
    status = _cf_matmul_flat(
        _FLOAT32, rows, inner, columns, a_type, a_format or _NULL, a_bias, _cast(_VOID, a_address),
        inner * a_size, a_size, b_type, b_format or _NULL, b_bias, _cast(_VOID, b_address), b_row, b_column,
        _cast(_FLOATS, results), 4 * columns, 4, threads.get_num_threads(),
    )  # fmt: skip
    if status:
        _check(status)


def matmul_rounded(
    a: Matrices,
    b: Matrices,
    results: Array,
    accumulator: Any,
    bias: int,
    rounding: Rounding,
    words: int,
    every: int,
) -> None:
    """Write products whose running sums are rounded to a format after every so many products.

    Rounding s = 0, 1, ... of element i, in row-major order of the results, takes random word
    ``offset + s * words + i``.
    """
    product, _alive = _product(a, b, results)
    _check(
        lib.cf_matmul_rounded(
            product, accumulator, bias, _ROUNDING[rounding.mode], rounding.seed,
            rounding.offset, words, every, threads.get_num_threads(),
        )
    )  # fmt: skip


def round_to_odd(
    function: Function, *operands: Array, toward_negative: bool = False
) -> tuple[NDArray[np.float64], int]:
    """Compute exactly, and round to odd in 53 bits, whatever the exponent (`cf_arithmetic`).

    Rounding that once more, to a format in any mode, is rounding the exact result.

    Parameters
    ----------
    function : str
        "add", "subtract", "multiply", "divide", "sqrt", "fma"; or "positive", which is the operand.
    *operands : ndarray
        Of dtypes that the core takes, any layout; they broadcast.
    toward_negative : bool
        Whether the one rounding will be toward negative, where an exact x - x is -0.

    Returns
    -------
    results : ndarray of float64
    signals : int
        Bits of `INVALID` and `DIVIDE_BY_ZERO`.
    """
    mode = _TOWARD_NEGATIVE if toward_negative else _TIES_TO_EVEN
    results, signals = _arithmetic(function, operands, np.float64, mode, 0, 0, _NULL)
    return results, signals


def arithmetic_float32(
    function: Function, *operands: Array, rounding: Rounding
) -> tuple[NDArray[np.float32], flags.Flags | None]:
    """Compute as `round_to_odd`, and round once to float32; with what was raised, if it is counted."""
    counter = ffi.new("cf_flags *") if flags.are_counted() else _NULL
    mode, seed, offset = _ROUNDING[rounding.mode], rounding.seed, rounding.offset
    results, _ = _arithmetic(function, operands, np.float32, mode, seed, offset, counter)
    if counter is _NULL:
        return results, None
    return results, flags.Flags(
        counter.invalid, counter.overflow, counter.underflow, counter.denormal
    )


def _arithmetic(
    function: Function,
    operands: tuple[Array, ...],
    dtype: type[np.floating[Any]],
    mode: int,
    seed: int,
    offset: int,
    counter: Any,
) -> tuple[Array, int]:
    first = operands[0].shape
    same = all(x.shape == first for x in operands)
    shape = first if same else np.broadcast_shapes(*(x.shape for x in operands))
    elements = ffi.new("cf_elements[]", len(operands))
    alive = []
    for given, x in zip(elements, operands, strict=True):
        if not x.dtype.isnative:
            x = x.astype(x.dtype.newbyteorder("="))
        if x.size != 1 and not (x.shape == shape and x.flags.c_contiguous):
            x = np.ascontiguousarray(np.broadcast_to(x, shape))
        alive.append(x)
        given.elements, given.type = _address(x), element_type(x.dtype)
        given.stride = 0 if x.size == 1 else x.itemsize
    results = np.empty(shape, dtype)
    signals = ffi.new("uint32_t *")
    status = lib.cf_arithmetic(
        _FUNCTIONS[function], elements, element_type(results.dtype), mode, seed, offset,
        _address(results), results.size, threads.get_num_threads(), counter, signals,
    )  # fmt: skip
    if status:
        _check(status)
    return results, signals[0]


#: An operand of `arithmetic_codes`, as the core takes it: of `codes_operand` or `number_operand`.
Operand = tuple[Any, int, Any, int, float]

_NO_OPERAND: Final[Operand] = (_NULL, 0, _NULL, 1, 0.0)


def codes_operand(fmt: Any, bias: int, codes: Array) -> Operand:
    """Describe valid codes, contiguous and of native byte order, at a checked bias, by a `format_struct`.

    There is one for each result, or a single one for all.  They must outlive the description.
    """
    return fmt, bias, ffi.from_buffer(codes), codes.size, 0.0


def number_operand(number: float) -> Operand:
    """Describe a number that is an operand for all results."""
    return _NULL, 0, _NULL, 1, number


def arithmetic_codes(
    function: Function,
    operands: list[Operand],
    fmt: Any,
    bias: int,
    results: Array,
    rounding: Rounding = NEAREST,
) -> tuple[flags.Flags | None, int]:
    """Compute with codes and numbers, and round once into codes (`cf_arithmetic_codes`).

    Parameters
    ----------
    function : str
    operands : list of Operand
        As many as the function has.
    fmt : cdata
        The `format_struct` of the results.
    bias : int
        Their checked bias.
    results : ndarray
        Codes: contiguous, of native byte order and writeable; the memory of no operand, unless it is an
        operand's own array.
    rounding : Rounding
        Without words of its own.

    Returns
    -------
    raised : Flags or None
        None if flags are not counted.
    signals : int
        As of `round_to_odd`.
    """
    counter = ffi.new("cf_flags *") if flags.are_counted() else _NULL
    signals = ffi.new("uint32_t *")
    count = len(operands)
    a, b = operands[0], operands[1] if count > 1 else _NO_OPERAND
    c = operands[2] if count > 2 else _NO_OPERAND
    status = lib.cf_arithmetic_codes(
        _FUNCTIONS[function], *a, *b, *c, fmt, bias, _mode(rounding), rounding.seed, rounding.offset,
        ffi.from_buffer(results), results.size, threads.get_num_threads(), counter, signals,
    )  # fmt: skip
    if status:
        _check(status)
    if counter is _NULL:
        return None, signals[0]
    raised = flags.Flags(counter.invalid, counter.overflow, counter.underflow, counter.denormal)
    return raised, signals[0]


def float32_of_codes(
    function: Function, operands: list[Operand], results: NDArray[np.float32]
) -> int | None:
    """Compute with codes and numbers as IEEE 754 does in float32; give `signals` of `round_to_odd`.

    None, and nothing is written, where a result might be subnormal or too large.
    """
    signals = ffi.new("uint32_t *")
    a, b = operands[0], operands[1] if len(operands) > 1 else _NO_OPERAND
    status = lib.cf_arithmetic_codes(
        _FUNCTIONS[function], *a, *b, *_NO_OPERAND, _NULL, 0, _TIES_TO_EVEN, 0, 0,
        ffi.from_buffer(results), results.size, threads.get_num_threads(), _NULL, signals,
    )  # fmt: skip
    if status == _BAD_TYPE:
        return None
    if status:
        _check(status)
    found: int = signals[0]
    return found


def _mode(rounding: Rounding) -> int:
    mode: int = _ROUNDING[rounding.mode]
    if rounding.bits != 32 or rounding.variant != "A":
        mode += 16 * _VARIANT[rounding.variant] + 256 * rounding.bits
    return mode


def sum_codes(
    fmt: Any, bias: int, codes: Array, outer: int, length: int, inner: int, divisor: int
) -> NDArray[np.float32] | None:
    """Add up the values of codes along the middle axis of three, divide, and round (`cf_sum_codes`).

    Codes are valid, contiguous and of native byte order; `fmt` is their `format_struct`.  None if any result
    is neither 0 nor a normal number below 2**127.
    """
    count = outer * inner
    sums, results, others = (
        ffi.new("double[]", count),
        np.empty(count, np.float32),
        ffi.new("int *"),
    )
    status = lib.cf_sum_codes(
        fmt, bias, ffi.from_buffer(codes), outer, length, inner, divisor, sums,
        ffi.from_buffer("float[]", results), others, threads.get_num_threads(),
    )  # fmt: skip
    if status:
        _check(status)
    return None if others[0] else results


def largest_codes(
    fmt: Any, codes: Array, outer: int, length: int, inner: int, *, smallest: bool
) -> Array | None:
    """Find the codes of the largest or smallest values along the middle axis of three; None if any is NaN.

    As `sum_codes`, of a format whose -0, if it has a sign, is a zero.
    """
    found = np.empty(outer * inner, codes.dtype)
    nans = ffi.new("int *")
    status = lib.cf_largest_codes(
        fmt, smallest, ffi.from_buffer(codes), outer, length, inner, ffi.from_buffer(found), nans,
        threads.get_num_threads(),
    )  # fmt: skip
    if status:
        _check(status)
    return None if nans[0] else found


Comparison = Literal["equal", "not_equal", "less", "less_equal"]

_COMPARISONS: Final[dict[Comparison, int]] = {
    "equal": lib.CF_EQUAL,
    "not_equal": lib.CF_NOT_EQUAL,
    "less": lib.CF_LESS,
    "less_equal": lib.CF_LESS_EQUAL,
}


def compare_codes(
    comparison: Comparison, fmt: Any, a: Array, b: Array, results: NDArray[np.bool_]
) -> None:
    """Compare the values of codes of one format and bias, like `sum_codes`'s (`cf_compare_codes`)."""
    status = lib.cf_compare_codes(
        _COMPARISONS[comparison], fmt, ffi.from_buffer(a), ffi.from_buffer(b),
        ffi.from_buffer("uint8_t[]", results), results.size, threads.get_num_threads(),
    )  # fmt: skip
    if status:
        _check(status)


def arithmetic_at(
    function: Literal["add", "subtract", "multiply", "divide"],
    fmt: Any,
    biases: int | NDArray[np.int16],
    codes: Array,
    places: NDArray[np.int64],
    operand: Array,
) -> tuple[flags.Flags | None, int]:
    """Compute with elements of codes in turn, each time rounding the exact result to nearest.

    Parameters
    ----------
    function : str
    fmt : cdata
        The `format_struct` of the codes.
    biases : int or ndarray of int16, shape (n,)
        The codes' checked ones.
    codes : ndarray, shape (n,)
        Valid ones, contiguous and of native byte order; written.
    places : ndarray of int64, shape (count,)
        Which elements, from 0 to n - 1.
    operand : ndarray, shape () or (count,)
        The other operand, of a dtype that the core takes.

    Returns
    -------
    raised : Flags or None
        None if flags are not counted.
    signals : int
        As of `round_to_odd`.
    """
    counter = ffi.new("cf_flags *") if flags.are_counted() else _NULL
    one = isinstance(biases, int)
    biases = np.ascontiguousarray(biases, np.int16)
    places = np.ascontiguousarray(places, np.int64)
    if not operand.dtype.isnative:
        operand = operand.astype(operand.dtype.newbyteorder("="))
    elif np.may_share_memory(operand, codes):
        operand = operand.copy()
    elements, signals = ffi.new("cf_elements *"), ffi.new("uint32_t *")
    elements.elements, elements.type = _address(operand), element_type(operand.dtype)
    elements.stride = operand.strides[0] if operand.ndim else 0
    status = lib.cf_arithmetic_at(
        _FUNCTIONS[function], fmt, _address(biases), not one, _address(codes), _address(places),
        elements, places.size, counter, signals,
    )  # fmt: skip
    if status:
        _check(status)
    if counter is _NULL:
        return None, signals[0]
    raised = flags.Flags(counter.invalid, counter.overflow, counter.underflow, counter.denormal)
    return raised, signals[0]


def random_words(seed: int, offset: int, size: int) -> NDArray[np.uint32]:
    """Draw `size` words, uint32, of the stream of `seed` from position `offset` on (docs/spec.md 3.14)."""
    words = np.empty(size, np.uint32)
    pointer = ffi.from_buffer("uint32_t[]", words, require_writable=True)
    _check(lib.cf_random_words(seed, offset, pointer, size))
    return words


def philox4x32_10(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Compute the four output words of Philox4x32-10 for a counter of four words and a key of two."""
    words = ffi.new("uint32_t[4]")
    _check(lib.cf_philox4x32_10(counter, key, words))
    return tuple(words)


#: The largest magnitude of the exponents `scale` and `new_scale` of an `adamw_step`.
ADAMW_MAX_SCALE: Final[int] = lib.CF_ADAMW_MAX_SCALE


def adamw_step(
    count: int,
    gradient: int,
    parameter: int,
    first: tuple[Any, int, int],
    second: tuple[Any, int, int],
    scale: int,
    weights: tuple[float, float, float],
    change: tuple[float, float, float, float],
) -> Any:
    """Describe a step of AdamW to the core, for `adamw_peaks` and `adamw_update`.

    Parameters
    ----------
    count : int
        The number of elements.
    gradient, parameter : int
        The addresses of as many float32, which must outlive the description, as must the codes.
    first, second : (cdata, int, int)
        Of a moment the `format_struct`, the address of the codes and their bias.  An address of 0 stands for
        moments of 0, which are read nowhere.
    scale : int
        The second moment's codes are of the moment times 2 to this power.
    weights : (float, float, float)
        Of the gradient in the first moment, and of the moment and of the square in the second.
    change : (float, float, float, float)
        The core's ``decay``, ``rate``, ``root_scale`` and ``eps``.

    Returns
    -------
    cdata
    """
    step = ffi.new("cf_adamw *")
    step.count = count
    step.gradient = ffi.cast("float *", gradient)
    step.parameter = ffi.cast("float *", parameter)
    step.has_moments, step.scale = first[1] != 0, scale
    moment, other = step.moments[0], step.moments[1]
    moment.format, moment.codes, moment.bias = first[0], ffi.cast("void *", first[1]), first[2]
    other.format, other.codes, other.bias = second[0], ffi.cast("void *", second[1]), second[2]
    step.first_weight, step.second_decay, step.second_weight = weights
    step.decay, step.rate, step.root_scale, step.eps = change
    return step


def adamw_peaks(step: Any) -> tuple[float, float]:
    """Find the largest finite magnitudes of the moments that a step will give."""
    peaks = ffi.new("float[2]")
    _check(lib.cf_adamw_peaks(step, peaks, threads.get_num_threads()))
    return peaks[0], peaks[1]


def adamw_update(
    step: Any,
    first: tuple[int, int, int],
    second: tuple[int, int, int],
    new_scale: int,
    rounding: RoundingMode,
    offset: int,
) -> None:
    """Do a step of an `adamw_step`.

    Parameters
    ----------
    step : cdata
        The `adamw_step`.
    first, second : (int, int, int)
        Of a moment the address of the codes, the new bias, and the seed of its random stream.
    new_scale : int
        As the step's `scale`, of the new second moment.
    rounding : str
        How moments are rounded.
    offset : int
        The position of the first element's random word in both streams.
    """
    for moment, (codes, bias, seed) in zip(step.moments, (first, second), strict=True):
        moment.codes, moment.new_bias, moment.seed = ffi.cast("void *", codes), bias, seed
    step.new_scale, step.rounding, step.offset = new_scale, _ROUNDING[rounding], offset
    _check(lib.cf_adamw_update(step, threads.get_num_threads()))


def map_codes(
    table: Array, codes: Array, results: Array, asked: NDArray[np.bool_] | None = None
) -> None:
    """Write ``table[codes]`` to `results`, and to `asked` which of the codes asked for occur.

    Codes and results are contiguous; the tables have an entry for each of 256 codes.
    """
    asks = _NULL if asked is None else _address(asked.view(np.uint8))
    _check(
        lib.cf_map_codes(
            _address(table), table.itemsize, _address(codes), codes.size, _address(results), asks,
            threads.get_num_threads(),
        )
    )  # fmt: skip


def add_to_peaks(values: Array, peaks: NDArray[np.float64]) -> None:
    """Widen magnitudes to the largest finite ones of the slices along the middle axis of three.

    The values are contiguous, floating, of native byte order and of 16 bits or more; `peaks` has an element a
    slice.
    """
    outer, slices, inner = values.shape
    pointer = ffi.from_buffer("double[]", peaks, require_writable=True)
    source_type = element_type(values.dtype)
    _check(lib.cf_add_to_peaks(source_type, _pointer(values), outer, slices, inner, pointer))


def peak_of_memory(source_type: int, values: int, count: int) -> float:
    """Find the largest finite magnitude of contiguous values at an address; 0 if there is none."""
    found = ffi.new("double[1]")
    _check(_cf_add_to_peaks(source_type, _cast(_VOID, values), 1, 1, count, found))
    peak: float = found[0]
    return peak


def count_binades(values: Array, added: int, counts: NDArray[np.uint64]) -> int:
    """Count finite magnitudes of contiguous float32 or float64 by binades, and tell how many are 0.

    ``counts[(bits + added) >> mantissa_bits]`` gains 1 for each; it has 256 elements, or 2048 of float64.
    """
    zeros = ffi.new("uint64_t *")
    _check(
        lib.cf_count_binades(
            element_type(values.dtype), _address(values), values.size, added,
            ffi.from_buffer("uint64_t[]", counts, require_writable=True), zeros,
        )
    )  # fmt: skip
    return int(zeros[0])


def add_to_histogram(
    values: NDArray[np.float32], lower_bits: int, bins: NDArray[np.uint64]
) -> None:
    """Add contiguous float32 to bins of values that have their upper bits in common.

    Each row of `bins`, of shape (2**(32 - lower_bits), 3), has the count of its values, and the sums of their
    lower bits and of the squares of those.
    """
    _check(
        lib.cf_add_to_histogram(
            ffi.from_buffer("float[]", values), values.size, lower_bits,
            ffi.from_buffer("uint64_t[]", bins, require_writable=True), threads.get_num_threads(),
        )
    )  # fmt: skip


def errors_of_bins(
    fmt: Any,
    inside: NDArray[np.float32],
    edges: NDArray[np.float64],
    counts: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum up the squared errors of bins, less their own squares, at every bias of a `format_struct`.

    Arrays are contiguous and of one length; cfloat_api.h says what they are.
    """
    errors = np.empty(fmt.bias_max - fmt.bias_min + 1)
    pointers = (ffi.from_buffer("double[]", each) for each in (edges, counts, sums))
    _check(
        lib.cf_errors_of_bins(
            fmt, ffi.from_buffer("float[]", inside), *pointers, edges.size,
            ffi.from_buffer("double[]", errors), threads.get_num_threads(),
        )
    )  # fmt: skip
    return errors


def least_errors(
    fmt: Any, default_bias: int, values: Array, block: int, scale: int = 0
) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Find, for groups of elements, the biases of the least squared errors, and these.

    Parameters
    ----------
    fmt : cdata
        The `format_struct`.
    default_bias : int
        Of equally good biases it is the nearest to this that is found.
    values : ndarray of float32 or float64, shape (rows, length)
        Of native byte order; the elements of a row are contiguous.
    block : int
        So many elements of a row are a group, 1 or more; its last may have fewer.
    scale : int, optional
        Errors of float64 are in units of ``4**scale``.

    Returns
    -------
    biases : ndarray of int16, shape (rows, groups)
    errors : ndarray of float64, shape (rows, groups)
        Infinite where an element becomes infinite or NaN at every bias.
    """
    rows, length = values.shape
    shape = (rows, -(-length // block))
    biases, errors = np.empty(shape, np.int16), np.empty(shape)
    _check(
        lib.cf_least_errors(
            fmt, default_bias, element_type(values.dtype), _address(values), rows, length,
            values.strides[0], block, scale, ffi.from_buffer("int16_t[]", biases),
            ffi.from_buffer("double[]", errors), threads.get_num_threads(),
        )
    )  # fmt: skip
    return biases, errors


def choose_biases(
    fmt: Any,
    default_bias: int,
    method: str,
    share: float,
    values: Array,
    blocks: Sequence[int],
    shape: tuple[int, ...],
) -> NDArray[np.int16]:
    """Choose a bias for each group of an array's elements.

    Parameters
    ----------
    fmt : cdata
        The `format_struct`.
    default_bias : int
        Of equally good biases the nearest to this is chosen; and this for zeros.
    method : {"mse", "max", "mx", "percentile"}
        How, as in `cfloat.choose_bias`.
    share : float
        Of "percentile", from 0 to 1.
    values : ndarray
        Of a dtype that the core takes, in any layout and byte order.
    blocks : sequence of int, one an axis
        How many consecutive elements along it are of one group.
    shape : tuple of int
        That of the biases: the axes' lengths by these, rounded up.

    Returns
    -------
    ndarray of int16, shape `shape`
    """
    biases = np.empty(shape, np.int16)
    _check(
        lib.cf_choose_biases(
            fmt, default_bias, _METHODS[method], share, element_type(values.dtype),
            not values.dtype.isnative, _address(values), values.ndim, values.shape, values.strides,
            blocks, ffi.from_buffer("int16_t[]", biases), threads.get_num_threads(),
        )
    )  # fmt: skip
    return biases


def count_16_bits(values: Array, counts: NDArray[np.uint64]) -> None:
    """Add to counts, one for each pattern of 16 bits, those of contiguous values of native byte order."""
    pointer = ffi.from_buffer("uint64_t[]", counts, require_writable=True)
    _check(lib.cf_count_16_bits(_pointer(values), values.size, pointer))


def least_error_of_counts(
    fmt: Any, default_bias: int, dtype: np.dtype[Any], counts: NDArray[np.uint64]
) -> int:
    """Find the bias of the least squared error of values of float16 or bfloat16, by how often each occurs."""
    bias = ffi.new("int16_t *")
    _check(
        lib.cf_least_error_of_counts(
            fmt, default_bias, element_type(dtype), ffi.from_buffer("uint64_t[]", counts), bias
        )
    )
    return int(bias[0])


def errors_at_biases(fmt: Any, count: int, values: Array, scale: int = 0) -> NDArray[np.float64]:
    """Sum up the squared errors of contiguous float32 or float64 at each of a format's `count` biases."""
    errors = np.empty(count)
    _check(
        lib.cf_errors_at_biases(
            fmt, element_type(values.dtype), _pointer(values), values.size, scale,
            ffi.from_buffer("double[]", errors), threads.get_num_threads(),
        )
    )  # fmt: skip
    return errors


class RoundingStats(NamedTuple):
    """The fields of `cf_rounding_stats`."""

    signal: float
    noise: float
    product: float
    rounded: float
    max_abs: float
    max_rel: float
    finite: int
    overflowed: int
    saturated: int
    underflowed: int
    subnormal: int


def rounding_errors(fmt: Any, bias: int, values: NDArray[np.float32]) -> RoundingStats:
    """Sum up what rounding contiguous float32 to nearest does to them."""
    found = ffi.new("cf_rounding_stats *")
    _check(
        lib.cf_rounding_errors(fmt, bias, ffi.from_buffer("float[]", values), values.size, found)
    )
    return RoundingStats(*(getattr(found, name) for name in RoundingStats._fields))


class ExactErrors(NamedTuple):
    """The fields of `cf_errors`, its sums as integers in units of 2 to the power of minus `SUM_ORIGIN`."""

    max_abs: float
    max_rel: float
    finite: int
    overflowed: int
    saturated: int
    underflowed: int
    subnormal: int
    signal: int
    noise: int
    product: int
    rounded: int


def exact_errors(
    x: NDArray[np.float64],
    q: NDArray[np.float64],
    off: NDArray[np.float64] | None,
    largest: float,
    smallest_normal: float,
) -> ExactErrors:
    """Find what elements lost by rounding: contiguous ones before and after it.

    Their differences are given where float64 does not have all of the elements.
    """
    found = ffi.new("cf_errors *")
    before, after = _from_buffer("double[]", x), _from_buffer("double[]", q)
    differences = _NULL if off is None else _from_buffer("double[]", off)
    status = lib.cf_exact_errors(
        before, after, differences, x.size, largest, smallest_normal, found,
    )  # fmt: skip
    if status:
        _check(status)
    sums = bytes(ffi.buffer(found.sums))
    size = lib.CF_SUM_BYTES
    return ExactErrors(
        found.max_abs, found.max_rel, found.finite, found.overflowed, found.saturated,
        found.underflowed, found.subnormal,
        *(int.from_bytes(sums[i : i + size], "little", signed=True) for i in range(0, len(sums), size)),
    )  # fmt: skip


class SchemeFields(NamedTuple):
    """How a matrix is stored in codes with scales: the core's cf_scheme, whose comment has the rules.

    Attributes
    ----------
    format : cdata
        The `format_struct` of codes; not looked at where they are integers.
    bias : int
        Its bias.
    integer_bits : int
        2 to 8, or 0 if codes are of the format.
    scale : {"real", "power", "e8m0", "e4m3"}
        What scales are.
    granularity : {"tensor", "row", "block", "tile"}
        Which elements share one.
    block : int
        How many along a row do, for "block".
    """

    format: Any
    bias: int
    integer_bits: int
    scale: str
    granularity: str
    block: int


def scheme_structs(schemes: Sequence[SchemeFields]) -> Any:
    """Describe schemes to the core, for `scheme_errors` and `scheme_values`."""
    structs = ffi.new("cf_scheme[]", len(schemes))
    for struct, (fmt, *fields, scale, granularity, block) in zip(structs, schemes, strict=True):
        struct.format = fmt[0]
        struct.bias, struct.integer_bits = fields
        struct.scale = getattr(lib, f"CF_SCALE_{scale.upper()}")
        struct.granularity = getattr(lib, f"CF_EACH_{granularity.upper()}")
        struct.block = block
    return structs


def _rows(
    matrix: NDArray[np.float32],
    peaks: NDArray[np.float32] | None = None,
    row_peaks: NDArray[np.float32] | None = None,
) -> Any:
    """Describe rows to the core; the arrays must outlive the description."""
    rows = ffi.new("cf_rows *")
    rows.values, rows.row_stride = _address(matrix), matrix.strides[0]
    rows.rows, rows.length = matrix.shape
    if peaks is not None and row_peaks is not None:
        rows.peaks = ffi.from_buffer("float[]", peaks)
        rows.row_peaks = ffi.from_buffer("float[]", row_peaks)
    return rows


def row_peaks(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the largest finite magnitude of each row, contiguous in itself; 0 where there is none."""
    peaks = np.empty(matrix.shape[0], np.float32)
    to = ffi.from_buffer("float[]", peaks, require_writable=True)
    _check(lib.cf_row_peaks(_rows(matrix), to, threads.get_num_threads()))
    return peaks


def add_scheme_errors(
    structs: Any,
    matrix: NDArray[np.float32],
    peaks: NDArray[np.float32],
    row_peaks: NDArray[np.float32],
    sums: NDArray[np.float64],
    signals: NDArray[np.float64],
) -> None:
    """Add the squared errors of schemes on some rows of a matrix to their sums, and the squares of these.

    Parameters
    ----------
    structs : cdata
        The `scheme_structs`.
    matrix : ndarray of float32
        Rows, each contiguous; infinities and NaN are taken as zeros.  Of several matrices they follow each
        other, as many of each.
    peaks : ndarray of float32, shape (matrices,)
        The largest finite magnitude of each whole matrix.
    row_peaks : ndarray of float32
        Those of these rows.
    sums : ndarray of float64, shape (matrices, schemes)
    signals : ndarray of float64, shape (matrices,)
    """
    rows = _rows(matrix, peaks, row_peaks)
    rows.rows //= peaks.size
    _check(
        lib.cf_scheme_errors(
            structs, sums.shape[1], rows, peaks.size,
            ffi.from_buffer("double[]", sums, require_writable=True),
            ffi.from_buffer("double[]", signals, require_writable=True), threads.get_num_threads(),
        )
    )  # fmt: skip


def scheme_values(
    structs: Any,
    matrix: NDArray[np.float32],
    peaks: NDArray[np.float32],
    row_peaks: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Compute what a matrix becomes in the first of some schemes; as `add_scheme_errors`."""
    values = np.empty(matrix.shape, np.float32)
    to = ffi.from_buffer("float[]", values, require_writable=True)
    rows = _rows(matrix, peaks, row_peaks)
    _check(lib.cf_scheme_values(structs, rows, to, threads.get_num_threads()))
    return values


#: Tells by a status that is not 0 that this thread's floating-point modes are not the default ones.
check_float_modes: Final[Callable[[], int]] = lib.cf_float_modes_check


def enter_float_modes() -> int:
    """Set this thread's floating-point modes to the default ones; gives what `leave_float_modes` takes."""
    before = ffi.new("uint64_t *")
    _check(lib.cf_float_modes_enter(before))
    modes: int = before[0]
    return modes


def leave_float_modes(before: int) -> None:
    """Set this thread's floating-point modes to what they were."""
    _check(lib.cf_float_modes_leave(before))


def set_float_modes(direction: str, flushing: bool) -> bool:
    """Set modes as a caller may have them, for tests; False where this processor has none of these."""
    status = lib.cf_float_modes_set(getattr(lib, f"CF_MODE_{direction.upper()}"), flushing)
    if status != lib.CF_OTHER_MODES:
        _check(status)
    return bool(status == lib.CF_OK)


def isa_in_use() -> str:
    """Tell the name of the instruction set whose kernels are in use."""
    name = ffi.new("char **")
    _check(lib.cf_isa_name(name))
    return _text(name[0])


def isas() -> list[tuple[str, bool]]:
    """List the instruction sets of this build, worst first, and whether this CPU runs each."""
    found: list[tuple[str, bool]] = []
    name, runs = ffi.new("char **"), ffi.new("int *")
    while lib.cf_isa_list(len(found), name, runs) == lib.CF_OK:
        found.append((_text(name[0]), bool(runs[0])))
    return found


def select_isa(name: str | None) -> None:
    """Use the kernels of an instruction set that this CPU runs, or the best ones."""
    _check(lib.cf_isa_select(_NULL if name is None else name.encode()))


def _text(chars: Any) -> str:
    text: bytes = ffi.string(chars)
    return text.decode()
