"""Conversion between values and codes, each element by itself: `encode`, `decode` (docs/spec.md 3)."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any, Final, SupportsIndex

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cfloat._core import binding, flags
from cfloat._core.arguments import check_out
from cfloat._core.binding import CODES, NATIVE_TYPES, NO_TYPE, convert_directly
from cfloat._core.dtypes import BFLOAT16, FLOAT32, plain_value_dtype, real_array, value_dtype
from cfloat._core.format import Format
from cfloat._core.presets import as_format, bfloat16, float16
from cfloat._core.public_names import public
from cfloat._core.rounding import (
    ALL_BITS,
    NEAREST,
    VARIANT_A,
    Rounding,
    RoundingMode,
    StochasticVariant,
    check_rounding,
)
from cfloat.errors import ArgumentTypeError, ArgumentValueError

Array = NDArray[Any]

_FLOAT64: Final = np.dtype(np.float64)

#: The core's type of the elements of a dtype, for `convert_directly`; what is to be given of others.
type_of: Final[Callable[[Any, int], int]] = NATIVE_TYPES.get


@public
def encode(
    x: ArrayLike,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    random_bits: ArrayLike | None = None,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
    out: Array | None = None,
) -> Array:
    """Convert values to codes, with one rounding from the exact value (docs/spec.md 3.1).

    Parameters
    ----------
    x : array_like
        Values: float64, float32, float16, integers or bool, in any memory layout and byte order; ml_dtypes'
        bfloat16 and its floats of a byte; or torch's CPU tensors of these.
    fmt : Format or str
        The format of the codes, or its name.
    bias : int or array_like of int, optional
        The exponent bias, or an array of biases that broadcasts with `x` as NumPy's operands do.  The
        format's default bias if None.
    rounding : str, default "ties_to_even"
        "ties_to_even", "ties_to_away", "toward_zero", "toward_positive", "toward_negative", "to_odd",
        "ties_to_zero" or "stochastic".
    seed : int, optional
        Seed of the random stream of stochastic rounding, 0 to 2**64 - 1; None draws one from the
        operating system.  The other modes do not use it.
    offset : int, default 0
        Position in the random stream of the first element's word.  Element i, in row-major order, takes
        word ``offset + i``: an array that is converted in pieces, each with its own offset, gets the same
        codes as the whole.
    random_bits : array_like of int, optional
        The random bits themselves, in place of `seed` and `offset`: integers r with
        ``0 <= r < 2**stochastic_bits`` that broadcast to the result's shape.  For comparison with other
        implementations, bit by bit.
    stochastic_bits : int, default 32
        How many random bits N a rounding uses, 1 to 32, as a model of a hardware generator: the upper N of
        the element's word.  docs/spec.md 3.12 has 32.
    stochastic_variant : {"A", "B", "C"}, default "A"
        How IEEE P3109 lets N bits decide.  With f, from 0 to 1, for how far up the value lies between its two
        neighbours, it is rounded up if

        - A: ``floor(f * 2**N) + r >= 2**N``, docs/spec.md 3.12.  On average low by less than 2**-N of the
          gap, and exact where f needs no more than N bits.
        - B: ``floor(f * 2**(N + 1)) + 2 * r + 1 >= 2**(N + 1)``: as A, with half a step added.
        - C: A with ``f * 2**N`` rounded to nearest, ties to even, in place of floor.
    out : ndarray, optional
        Where to write the codes: of dtype ``fmt.storage_dtype`` and the result's shape, in any layout.  It
        may overlap `x`.

    Returns
    -------
    ndarray of uint8 or uint16
        `out`, or a new array, of the shape to which `x` and `bias` broadcast; if that is the shape of `x`, in
        its memory order, as NumPy's functions do it.

    Raises
    ------
    ArgumentTypeError
        If `x` is not real numbers of a type above (strings, complex numbers and objects are not), `fmt`
        neither a Format nor a str, an integer argument something else, or `out` not an array of the right
        dtype.
    ArgumentValueError
        If a bias is not allowed by the format, `rounding` is unknown, an argument of stochastic rounding is
        out of range or given with another mode, shapes do not fit, `out` cannot be written, or the
        environment variable CFLOAT_NUM_THREADS is not a number of threads.
    FlagError
        If `errstate` says so.

    See Also
    --------
    decode : The way back.
    round_to : Both at once.

    Notes
    -----
    A magnitude too large becomes the largest finite value if the format saturates, as the CFloat8 formats
    and SHP do; there, infinities do as well, and NaN becomes the positive one if the format has none.  A
    negative number in an unsigned format becomes NaN, or 0 if the format has none.  What happened is counted
    by `record_flags`.  The mask of a masked array is not looked at.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.encode([1.0, -2.5, 1000.0], cf.CFloat8_1_4_3)
    array([ 56, 194, 127], dtype=uint8)
    >>> cf.encode([1.0, -2.5, 1000.0], cf.CFloat8_1_4_3, bias=5)
    array([ 40, 178, 120], dtype=uint8)
    """
    if type(fmt) is not Format:
        fmt = as_format(fmt)
    source = x if type(x) is ndarray else real_array("x", x)
    if random_bits is None and stochastic_bits is ALL_BITS and stochastic_variant is VARIANT_A:
        codes = convert_directly(
            fmt, bias, source, type_of(source.dtype, NO_TYPE), out, fmt.storage_dtype, CODES,
            "encode to", rounding, seed, offset,
        )  # fmt: skip
        if codes is not None:
            return codes
    source = real_array("x", source)
    biases = fmt.check_biases(bias)
    shape = broadcast_shape(source, biases)
    how = check_rounding(
        rounding, shape, seed, offset, random_bits, stochastic_bits, stochastic_variant
    )
    if out is not None:
        check_out(out, shape, fmt.storage_dtype)
    return encode_checked(source, fmt, biases, shape, how, out)


def encode_checked(
    source: Array,
    fmt: Format,
    biases: int | NDArray[np.int16],
    shape: tuple[int, ...],
    how: Rounding = NEAREST,
    out: Array | None = None,
) -> Array:
    """Convert values to codes as `encode`, from arguments that are known to fit together.

    Parameters
    ----------
    source : ndarray
        Values of a dtype that `is_source_dtype`, which broadcast to `shape`.
    fmt : Format
        The format of the codes.
    biases : int or ndarray of int16
        One that the format allows, or several that broadcast to `shape`.
    shape : tuple of int
        The shape of the codes.
    how : Rounding
        How to round.
    out : ndarray of fmt.storage_dtype, shape `shape`, optional
        Where to write the codes.

    Returns
    -------
    ndarray of fmt.storage_dtype, shape `shape`
    """
    if type(biases) is int and source.shape == shape and how.draws_plainly:
        made = convert_directly(
            fmt, biases, source, type_of(source.dtype, NO_TYPE), out, fmt.storage_dtype, CODES,
            "encode to", how.mode, how.seed, how.offset,
        )  # fmt: skip
        if made is not None:
            return made
    codes = new_like(source, shape, fmt.storage_dtype) if out is None else out
    raised = binding.convert(
        fmt._struct, biases, source, codes, encode=True, decode=False, fresh=out is None, rounding=how,
    )  # fmt: skip
    if raised:
        flags.report(raised, f"encode to {fmt.name}", codes.size)
    return codes


@public
def decode(
    codes: ArrayLike,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    out: Array | None = None,
) -> Array:
    """Convert codes to values (docs/spec.md 1.3 to 1.8 and 3.2).

    Parameters
    ----------
    codes : array_like of int
        Codes: an array of dtype ``fmt.storage_dtype``, in any memory layout and byte order, or Python
        integers.
    fmt : Format or str
        The format of the codes, or its name.
    bias : int or array_like of int, optional
        The exponent bias, or an array of biases that broadcasts with `codes`.  The format's default bias if
        None.
    dtype : dtype, optional
        The values' dtype; by default that of `out`, or else float32.  float32 and float64 hold every value
        exactly, and bfloat16 those of an 8-bit Tesla format; float16, ml_dtypes' floats of a byte, and
        otherwise bfloat16, are rounded to nearest, ties to even.  All but NumPy's own are ml_dtypes', and may
        be given by their names.
    out : ndarray, optional
        Where to write the values, of the result's shape, in any layout.  It may overlap `codes`.

    Returns
    -------
    ndarray of `dtype`
        `out`, or a new array, of the shape to which `codes` and `bias` broadcast; if that is the shape of
        `codes`, in their memory order.

    Raises
    ------
    ArgumentTypeError
        If `codes` are not integers of the storage dtype, `fmt` neither a Format nor a str, `bias` not
        integers, or `dtype` or `out`'s dtype not a floating one of those above.
    ArgumentValueError
        If a code is too large for the format, a bias is not allowed by it, shapes do not fit, or `out`
        cannot be written.
    MissingExtraError
        If `dtype` is the name of one of ml_dtypes', which is not installed.
    FlagError
        If `errstate` says so.

    See Also
    --------
    encode : The way there.

    Notes
    -----
    Decoding counts NaN codes as Invalid and denormal codes as Denormal, and where it rounds, the result's
    overflow and underflow.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> cf.decode(np.array([56, 194, 127], np.uint8), cf.CFloat8_1_4_3)
    array([  1. ,  -2.5, 480. ], dtype=float32)
    """
    if type(fmt) is not Format:
        fmt = as_format(fmt)
    source = _code_array(codes, fmt)
    short = FLOAT32 if dtype is None and out is None else plain_value_dtype(dtype, FLOAT32, out)
    from_type = CODES if source.dtype is fmt.storage_dtype else NO_TYPE
    values = convert_directly(
        fmt, bias, source, from_type, out, short, type_of(short, NO_TYPE), "decode from"
    )
    if values is not None:
        return values
    biases = fmt.check_biases(bias)
    written = value_dtype(dtype, FLOAT32, out)
    shape = broadcast_shape(source, biases)
    if out is not None:
        check_out(out, shape, written)
    return decode_checked(source, fmt, biases, shape, written, out)


def decode_checked(
    codes: Array,
    fmt: Format,
    biases: int | NDArray[np.int16],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    out: Array | None = None,
) -> Array:
    """Convert codes to values as `decode`, from arguments that are known to fit together.

    Parameters
    ----------
    codes : ndarray of fmt.storage_dtype
        Codes that the format has, which broadcast to `shape`.
    fmt : Format
        Their format.
    biases : int or ndarray of int16
        One that the format allows, or several that broadcast to `shape`.
    shape : tuple of int
        The shape of the values.
    dtype : numpy.dtype
        That of the values, a floating one of native byte order.
    out : ndarray of `dtype`, shape `shape`, optional
        Where to write the values.

    Returns
    -------
    ndarray of `dtype`, shape `shape`
    """
    if type(biases) is int and codes.shape == shape:
        from_type = CODES if codes.dtype is fmt.storage_dtype else NO_TYPE
        made = convert_directly(
            fmt, biases, codes, from_type, out, dtype, type_of(dtype, NO_TYPE), "decode from"
        )
        if made is not None:
            return made
    values = new_like(codes, shape, dtype) if out is None else out
    if values.itemsize == 1:
        return _decode_byte_float(codes, fmt, biases, shape, values)
    raised = binding.convert(
        fmt._struct, biases, codes, values, encode=False, decode=True, fresh=out is None
    )
    if raised:
        flags.report(raised, f"decode from {fmt.name}", values.size)
    return values


# of fewer, NumPy's cast of float16 takes less time than a call of the core
_FEW_ELEMENTS: Final = 256


def as_float32(values: Array) -> Array:
    """Give values of a dtype that `fits_float32` as float32, in native byte order.

    Those of 16 bits are widened by the core's vectors.  A NaN may become another one.
    """
    is_few = values.size < _FEW_ELEMENTS and values.dtype != BFLOAT16
    if values.itemsize != 2 or is_few:
        return values.astype(FLOAT32, copy=False)
    fmt = float16 if values.dtype.kind == "f" else bfloat16
    unsigned = fmt.storage_dtype
    codes = values.view(unsigned if values.dtype.isnative else unsigned.newbyteorder())
    with flags.no_flags():
        return decode_checked(codes, fmt, fmt.default_bias, values.shape, FLOAT32)


def round_checked(
    source: Array,
    fmt: Format,
    biases: int | NDArray[np.int16],
    shape: tuple[int, ...],
    how: Rounding = NEAREST,
    out: Array | None = None,
) -> Array:
    """Round values as `cfloat.round_to`, from arguments that are known to fit together.

    Parameters
    ----------
    source, fmt, biases, shape, how
        As in `encode_checked`.
    out : ndarray of a floating dtype, shape `shape`, optional
        Where to write the result.

    Returns
    -------
    ndarray of float64 or float32, shape `shape`
        `out`, or a new array: float64 if `source` is, and float32 otherwise.
    """
    dtype = rounded_dtype(source.dtype) if out is None else out.dtype
    if type(biases) is int and source.shape == shape and how.draws_plainly:
        types = type_of(source.dtype, NO_TYPE), type_of(dtype, NO_TYPE)
        made = convert_directly(
            fmt, biases, source, types[0], out, dtype, types[1],
            "round_to", how.mode, how.seed, how.offset,
        )  # fmt: skip
        if made is not None:
            return made
    values = new_like(source, shape, dtype) if out is None else out
    if values.itemsize == 1:
        rounded = round_checked(source, fmt, biases, shape, how)
        with flags.no_flags():  # nor does rounding in float16 tell of its second rounding
            _round_byte_float(rounded, values)
        return values
    raised = binding.convert(
        fmt._struct, biases, source, values, encode=True, decode=True, fresh=out is None, rounding=how,
    )  # fmt: skip
    if raised:
        flags.report(raised, f"round_to {fmt.name}", values.size)
    return values


def _decode_byte_float(
    codes: Array, fmt: Format, biases: int | NDArray[np.int16], shape: tuple[int, ...], out: Array
) -> Array:
    """Decode into an array of one of ml_dtypes' floats of a byte, by way of float32, which is exact."""
    with flags.collected() as raised:
        exact = decode_checked(codes, fmt, biases, shape, FLOAT32)
    with flags.collected() as rounded:
        _round_byte_float(exact, out)
    # a NaN that is decoded is one to be rounded as well, and so are other numbers without a definable result
    raised.invalid, raised.overflow, raised.underflow = (
        rounded.invalid,
        rounded.overflow,
        rounded.underflow,
    )
    if raised:
        flags.report(raised, f"decode from {fmt.name}", out.size)
    return out


def _round_byte_float(values: Array, out: Array) -> None:
    """Round values of float32 or float64 into an array of one of ml_dtypes' floats of a byte, to nearest."""
    fmt = as_format(out.dtype.name)
    encode_checked(values, fmt, fmt.default_bias, values.shape, out=out.view(np.uint8))


def rounded_dtype(source: np.dtype[Any]) -> np.dtype[Any]:
    """Tell the dtype that values of a dtype are rounded into: float64 from float64, or else float32."""
    if source is FLOAT32:
        return FLOAT32
    return _FLOAT64 if source.kind == "f" and source.itemsize == 8 else FLOAT32


def _code_array(codes: ArrayLike, fmt: Format) -> Array:
    storage = fmt.storage_dtype
    if type(codes) is ndarray and codes.dtype is storage and fmt._fills_storage:
        return codes
    given = np.asarray(codes)
    if (given.dtype.kind, given.itemsize) != (storage.kind, storage.itemsize):
        # Python's own integers have no dtype to get wrong
        has_dtype = isinstance(codes, np.ndarray | np.generic)
        if has_dtype or (given.size and given.dtype.kind not in "iu"):
            raise _wrong_dtype(given, fmt)
        _check_range(given, fmt)
        return given.astype(storage)
    return check_codes(given, fmt)


def check_codes(codes: Array, fmt: Format) -> Array:
    """Give an array back if it holds codes of a format and nothing else."""
    storage = fmt.storage_dtype
    if (codes.dtype.kind, codes.itemsize) != (storage.kind, storage.itemsize):
        raise _wrong_dtype(codes, fmt)
    if fmt.bits < 8 * storage.itemsize:
        _check_range(codes, fmt)
    return codes


def _wrong_dtype(codes: Array, fmt: Format) -> ArgumentTypeError:
    return ArgumentTypeError(
        f"codes have dtype {codes.dtype}; those of {fmt.name} have {fmt.storage_dtype}"
    )


def _check_range(codes: Array, fmt: Format) -> None:
    limit = 2**fmt.bits - 1
    unsigned = codes
    if codes.dtype.kind == "i":  # one look tells of what is negative, too
        unsigned = codes.view(codes.dtype.str.replace("i", "u"))
    if codes.size and np.maximum.reduce(unsigned, axis=None) > limit:
        worst = codes.min() if codes.min() < 0 else codes.max()
        raise ArgumentValueError(
            f"codes have an element {worst}; {fmt.name} has codes 0 to {limit}"
        )


def new_like(source: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Make an array for what a source becomes: in its memory order, if it has the shape; else in C order."""
    if source.flags.c_contiguous or source.shape != shape:
        return np.empty(shape, dtype)
    return np.empty_like(source, dtype, subok=False)


def broadcast_shape(source: Array, biases: int | NDArray[np.int16]) -> tuple[int, ...]:
    """Tell the shape to which values or codes broadcast with their biases, or refuse both."""
    if isinstance(biases, int):
        return source.shape
    # not numpy.broadcast_shapes, which stops at 32 dimensions
    pairs = zip_longest(reversed(source.shape), reversed(biases.shape), fillvalue=1)
    shape = []
    for length, other in pairs:
        if length != other and length != 1 and other != 1:
            raise ArgumentValueError(
                f"bias has shape {biases.shape}, which does not broadcast with {source.shape}"
            )
        shape.append(other if length == 1 else length)
    return tuple(reversed(shape))
