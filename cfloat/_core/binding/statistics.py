"""Peaks, counts, errors, and biases that follow from them."""

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._core import threads
from cfloat._core._cfloat import ffi, lib

from .elements import (
    NULL,
    VOID,
    Array,
    address_of,
    cast,
    check_status,
    element_type,
    from_buffer,
    pointer_to,
)

_METHODS: Final = {
    "mse": lib.CF_CHOOSE_MSE,
    "max": lib.CF_CHOOSE_MAX,
    "mx": lib.CF_CHOOSE_MX,
    "percentile": lib.CF_CHOOSE_PERCENTILE,
}

#: Sums of `exact_errors` are in units of 2 to the power of minus this.
SUM_ORIGIN: Final[int] = lib.CF_SUM_ORIGIN
_SUM_BYTES: Final[int] = lib.CF_SUM_BYTES

# The fields of `cf_errors` before its sums, and where those begin; and all of `cf_rounding_stats`.
_FIELDS: Final = Struct("=2d5Q8i")
_ROUNDING_FIELDS: Final = Struct("=6d5Q")
_SIGNAL: Final[int] = ffi.offsetof("cf_errors", "sums")
_NOISE: Final = _SIGNAL + _SUM_BYTES
_PRODUCT: Final = _NOISE + _SUM_BYTES
_ROUNDED: Final = _PRODUCT + _SUM_BYTES
_ERRORS: Final = ffi.typeof("cf_errors *")
#: What `exact_errors` takes.
EXACT_TYPES: Final = {
    np.dtype(np.float32): lib.CF_FLOAT32,
    np.dtype(np.float64): lib.CF_FLOAT64,
}

# As in `elements`, for calls of a few elements.
_cf_add_to_peaks: Final = lib.cf_add_to_peaks
_cf_exact_errors: Final = lib.cf_exact_errors
_cf_choose_biases: Final = lib.cf_choose_biases
_new: Final = ffi.new
_INT16: Final = ffi.typeof("int16_t *")


def add_to_peaks(values: Array, peaks: NDArray[np.float64]) -> None:
    """Widen magnitudes to the largest finite ones of the slices along the middle axis of three.

    The values are contiguous, floating, of native byte order and of 16 bits or more; `peaks` has an element a
    slice.
    """
    outer, slices, inner = values.shape
    pointer = ffi.from_buffer("double[]", peaks, require_writable=True)
    source_type = element_type(values.dtype)
    check_status(
        lib.cf_add_to_peaks(source_type, pointer_to(values), outer, slices, inner, pointer)
    )


def peak_of_memory(source_type: int, values: int, count: int) -> float:
    """Find the largest finite magnitude of contiguous values at an address; 0 if there is none."""
    found = ffi.new("double[1]")
    check_status(_cf_add_to_peaks(source_type, cast(VOID, values), 1, 1, count, found))
    peak: float = found[0]
    return peak


def count_binades(values: Array, added: int, counts: NDArray[np.uint64]) -> int:
    """Count finite magnitudes of contiguous float32 or float64 by binades, and tell how many are 0.

    ``counts[(bits + added) >> mantissa_bits]`` gains 1 for each; it has 256 elements, or 2048 of float64.
    """
    zeros = ffi.new("uint64_t *")
    check_status(
        lib.cf_count_binades(
            element_type(values.dtype), address_of(values), values.size, added,
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
    check_status(
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
    check_status(
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
    check_status(
        lib.cf_least_errors(
            fmt, default_bias, element_type(values.dtype), address_of(values), rows, length,
            values.strides[0], block, scale, ffi.from_buffer("int16_t[]", biases),
            ffi.from_buffer("double[]", errors), threads.get_num_threads(),
        )
    )  # fmt: skip
    return biases, errors


def count_of_percentile(percentile: float, count: int) -> int:
    """Tell the least number of elements that is so many per cent of a count."""
    needed = ffi.new("int64_t *")
    check_status(lib.cf_count_of_percentile(percentile, count, needed))
    return int(needed[0])


def choose_biases(
    fmt: Any,
    default_bias: int,
    method: str,
    percentile: float,
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
    percentile : float
        Of "percentile", above 0 and at most 100.
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
    check_status(
        lib.cf_choose_biases(
            fmt, default_bias, _METHODS[method], percentile, element_type(values.dtype),
            not values.dtype.isnative, address_of(values), values.ndim, values.shape, values.strides,
            blocks, ffi.from_buffer("int16_t[]", biases), threads.get_num_threads(),
        )
    )  # fmt: skip
    return biases


def choose_one_bias(
    fmt: Any, default_bias: int, method: str, percentile: float, values: Array
) -> int:
    """Choose one bias for all elements of an array of one axis: as `choose_biases`, in less time.

    There is one element at least.
    """
    bias = _new(_INT16)
    check_status(
        _cf_choose_biases(
            fmt, default_bias, _METHODS[method], percentile, element_type(values.dtype),
            not values.dtype.isnative, address_of(values), 1, values.shape, values.strides,
            values.shape, bias, threads.get_num_threads(),
        )
    )  # fmt: skip
    chosen: int = bias[0]
    return chosen


def count_16_bits(values: Array, counts: NDArray[np.uint64]) -> None:
    """Add to counts, one for each pattern of 16 bits, those of contiguous values of native byte order."""
    pointer = ffi.from_buffer("uint64_t[]", counts, require_writable=True)
    check_status(lib.cf_count_16_bits(pointer_to(values), values.size, pointer))


def least_error_of_counts(
    fmt: Any, default_bias: int, dtype: np.dtype[Any], counts: NDArray[np.uint64]
) -> int:
    """Find the bias of the least squared error of values of float16 or bfloat16, by how often each occurs."""
    bias = ffi.new("int16_t *")
    check_status(
        lib.cf_least_error_of_counts(
            fmt, default_bias, element_type(dtype), ffi.from_buffer("uint64_t[]", counts), bias
        )
    )
    return int(bias[0])


def errors_at_biases(fmt: Any, count: int, values: Array, scale: int = 0) -> NDArray[np.float64]:
    """Sum up the squared errors of contiguous float32 or float64 at each of a format's `count` biases."""
    errors = np.empty(count)
    check_status(
        lib.cf_errors_at_biases(
            fmt, element_type(values.dtype), pointer_to(values), values.size, scale,
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
    check_status(
        lib.cf_rounding_errors(fmt, bias, ffi.from_buffer("float[]", values), values.size, found)
    )
    return RoundingStats(*_ROUNDING_FIELDS.unpack(ffi.buffer(found)))


class ExactErrors(NamedTuple):
    """The fields of `cf_errors`, its sums as integers in units of 2 to the power of minus `SUM_ORIGIN`."""

    signal: int
    noise: int
    product: int
    rounded: int
    max_abs: float
    max_rel: float
    finite: int
    overflowed: int
    saturated: int
    underflowed: int
    subnormal: int


def exact_errors(
    x: Array, q: Array, off: NDArray[np.float64] | None, largest: float, smallest_normal: float
) -> ExactErrors:
    """Find what elements lost by rounding: those before and after it, less than 2**31.

    They are contiguous and aligned, of a dtype of `EXACT_TYPES` each.  Their differences are given where
    float64 does not have all of the elements.
    """
    found = ffi.new(_ERRORS)
    status = _cf_exact_errors(
        EXACT_TYPES[x.dtype], from_buffer(x), EXACT_TYPES[q.dtype], from_buffer(q),
        NULL if off is None else from_buffer("double[]", off), x.size, largest, smallest_normal, found,
    )  # fmt: skip
    if status:
        check_status(status)
    # of few elements this is much of the time, and attributes, a loop or all bytes of the sums most of it
    read = ffi.buffer(found)
    (
        max_abs, max_rel, finite, overflowed, saturated, underflowed, subnormal,
        first_s, first_n, first_p, first_r, end_s, end_n, end_p, end_r,
    ) = _FIELDS.unpack_from(read)  # fmt: skip
    integer = int.from_bytes
    values = (
        integer(read[_SIGNAL + first_s : _SIGNAL + end_s], "little", signed=True) << 8 * first_s,
        integer(read[_NOISE + first_n : _NOISE + end_n], "little", signed=True) << 8 * first_n,
        integer(read[_PRODUCT + first_p : _PRODUCT + end_p], "little", signed=True) << 8 * first_p,
        integer(read[_ROUNDED + first_r : _ROUNDED + end_r], "little", signed=True) << 8 * first_r,
        max_abs, max_rel, finite, overflowed, saturated, underflowed, subnormal,
    )  # fmt: skip
    return tuple.__new__(ExactErrors, values)  # in a third of the time
