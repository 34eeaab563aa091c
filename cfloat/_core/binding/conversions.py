"""Encoding, decoding and rounding; functions of codes by table; random words."""

import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._core import flags, threads
from cfloat._core._cfloat import ffi, lib
from cfloat._core.flags import are_counted, asked
from cfloat._core.rounding import FIRST_WORD, NEAREST, ROUNDING_MODES, WORDS, Rounding
from cfloat._core.rounding import TIES_TO_EVEN as NEAREST_MODE
from cfloat._core.threads import get_num_threads

from .elements import (
    BFLOAT16,
    CODES,
    NO_TYPE,
    NULL,
    VOID,
    Array,
    address_of,
    cast,
    check_status,
    element_type,
    from_buffer,
    is_bfloat16,
    pointer_to,
    separate,
)

ROUNDING_NUMBERS: Final = {mode: getattr(lib, f"CF_{mode.upper()}") for mode in ROUNDING_MODES}
_VARIANT: Final = {
    "A": lib.CF_STOCHASTIC_A,
    "B": lib.CF_STOCHASTIC_B,
    "C": lib.CF_STOCHASTIC_C,
}
TIES_TO_EVEN: Final = lib.CF_TIES_TO_EVEN
_STOCHASTIC: Final = lib.CF_STOCHASTIC

# As in `elements`, for calls of a few elements.
_cf_convert: Final = lib.cf_convert
_cf_convert_nearest: Final = lib.cf_convert_nearest
_empty: Final = np.empty
_COUNTER: Final = ffi.typeof("cf_flags *")
# A cf_flags as bytes, which are compared in less time than its fields are read.
_NO_COUNTS: Final = bytes(ffi.sizeof("cf_flags"))
_COUNTS: Final = struct.Struct("=4Q")
_UINT16: Final = np.dtype(np.uint16)


def broadcast_strides(array: Array, shape: tuple[int, ...]) -> list[int]:
    """Tell the strides, in bytes, with which an array broadcasts to a shape."""
    missing = len(shape) - array.ndim
    own = zip(array.shape, array.strides, strict=True)
    return [0] * missing + [0 if length == 1 else stride for length, stride in own]


def _layout(source: Array, biases: Array, destination: Array) -> tuple[Any, list[Any]]:
    """Describe three arrays to the core; with what must be kept alive as long as the description."""
    shape = destination.shape
    lengths = ffi.new("int64_t[]", shape)
    strides = [ffi.new("int64_t[]", broadcast_strides(array, shape)) for array in (source, biases)]
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
    mode = mode_number(rounding)
    from_type = element_type(source.dtype) if encode else CODES
    to_type = element_type(destination.dtype) if decode else CODES
    counter = ffi.new("cf_flags *") if are_counted() else NULL
    words = rounding.words
    if not fresh:
        source = separate(source, destination)
        if words is not None and np.may_share_memory(words, destination):
            words = words.copy()
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
        and words is None
        and rounding.steps is None
        and is_contiguous
        and (fresh or destination.flags.c_contiguous)
        and source.dtype.isnative
        and source.shape == destination.shape
    ):
        status = lib.cf_convert(
            fmt, bias, from_type, pointer_to(source), mode, rounding.seed, rounding.offset,
            to_type, pointer_to(destination), source.size, threads.get_num_threads(), counter,
        )  # fmt: skip
    else:
        biases = np.asarray(bias, np.int16)
        if not fresh and np.may_share_memory(biases, destination):
            biases = biases.copy()
        layout, _alive = _layout(source, biases, destination)
        if words is not None:
            layout.words = ffi.from_buffer("uint32_t[]", words)
        if rounding.steps is not None:
            word_strides = ffi.new("int64_t[]", rounding.steps)
            layout.word_strides = word_strides
        status = lib.cf_convert_strided(
            fmt, address_of(biases), from_type, address_of(source), mode, rounding.seed, rounding.offset,
            to_type, address_of(destination), layout, threads.get_num_threads(), counter,
        )  # fmt: skip
    if status:
        check_status(status)
    if counter is NULL:
        return None
    return flags.Flags(counter.invalid, counter.overflow, counter.underflow, counter.denormal)


#: Gives the core's number of a rounding mode that `convert_memory` takes; None of anything else.
rounding_number: Final[Callable[[object], int | None]] = ROUNDING_NUMBERS.get  # type: ignore[assignment]


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
        fmt, bias, from_type, cast(VOID, source), rounding, seed, offset, to_type,
        cast(VOID, destination), count, threads.get_num_threads(), NULL,
    )  # fmt: skip
    if status:
        check_status(status)


def convert_directly(
    fmt: Any,
    bias: object,
    source: Array,
    from_type: int,
    out: object,
    dtype: Any,
    to_type: int,
    what: str,
    rounding: object = NEAREST_MODE,
    seed: object = None,
    offset: object = FIRST_WORD,
) -> Array | None:
    """Convert by the shortest way there is; None if that is not for these arguments.

    It is for contiguous arrays of native byte order and one bias; and for no wrong argument.  Nothing was
    written where it gives None: `convert`, and the checks before it, know the rest.

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
    what : str
        What flags are told of: "encode to", say.
    rounding, seed, offset : object
        As in `cfloat.encode`; plain are a mode's name, an int, and None where no word is drawn.

    Returns
    -------
    ndarray or None
        The result.

    Raises
    ------
    FlagError
        If `errstate` says so.
    """
    counter, counts = NULL, None
    if asked() is not None and are_counted():
        counts = bytearray(_NO_COUNTS)
        counter = from_buffer(_COUNTER, counts)
    mode = TIES_TO_EVEN
    if rounding is not NEAREST_MODE or seed is not None or offset is not FIRST_WORD:
        mode = rounding_number(rounding) if type(rounding) is str else None
        if mode is None or type(offset) is not int or not 0 <= offset <= WORDS - source.size:
            return None
        if seed is None and mode != _STOCHASTIC:
            seed = 0
        elif type(seed) is not int or not 0 <= seed < WORDS:
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
    read, written = source, out
    if from_type == NO_TYPE and is_bfloat16(source.dtype) and source.dtype.isnative:
        read, from_type = source.view(_UINT16), BFLOAT16
    if to_type == NO_TYPE and is_bfloat16(out.dtype) and out.dtype.isnative:
        written, to_type = out.view(_UINT16), BFLOAT16
    try:
        if mode == TIES_TO_EVEN and counter is NULL:
            status = _cf_convert_nearest(
                fmt._struct, bias, from_type, from_buffer(read), to_type, from_buffer(written),
                source.size, get_num_threads(),
            )  # fmt: skip
        else:
            status = _cf_convert(
                fmt._struct, bias, from_type, from_buffer(read), mode, seed or 0, offset,
                to_type, from_buffer(written), source.size, get_num_threads(), counter,
            )  # fmt: skip
    except (
        ValueError,
        OverflowError,
    ):  # NumPy lends no memory of some dtypes; an integer of too many bits
        return None
    if status:
        return None
    if counts is not None and counts != _NO_COUNTS:
        invalid, denormal, overflow, underflow = _COUNTS.unpack(counts)
        raised = flags.Flags(invalid, overflow, underflow, denormal)
        flags.report(raised, f"{what} {fmt.name}", out.size)
    return out


def mode_number(rounding: Rounding) -> int:
    mode: int = ROUNDING_NUMBERS[rounding.mode]
    if rounding.bits != 32 or rounding.variant != "A":
        mode += 16 * _VARIANT[rounding.variant] + 256 * rounding.bits
    return mode


def random_words(seed: int, offset: int, size: int) -> NDArray[np.uint32]:
    """Draw `size` words, uint32, of the stream of `seed` from position `offset` on (docs/spec.md 3.14)."""
    words = np.empty(size, np.uint32)
    pointer = ffi.from_buffer("uint32_t[]", words, require_writable=True)
    check_status(lib.cf_random_words(seed, offset, pointer, size))
    return words


def philox4x32_10(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Compute the four output words of Philox4x32-10 for a counter of four words and a key of two."""
    words = ffi.new("uint32_t[4]")
    check_status(lib.cf_philox4x32_10(counter, key, words))
    return tuple(words)


def map_codes(
    table: Array, codes: Array, results: Array, asked: NDArray[np.bool_] | None = None
) -> None:
    """Write ``table[codes]`` to `results`, and to `asked` which of the codes asked for occur.

    Codes and results are contiguous; the tables have an entry for each of 256 codes.
    """
    asks = NULL if asked is None else address_of(asked.view(np.uint8))
    check_status(
        lib.cf_map_codes(
            address_of(table), table.itemsize, address_of(codes), codes.size, address_of(results), asks,
            threads.get_num_threads(),
        )
    )  # fmt: skip
