"""Operations that are rounded once, sums, extremes and comparisons of codes."""

from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cfloat._core import flags, threads
from cfloat._core._cfloat import ffi, lib
from cfloat._core.rounding import NEAREST, Rounding

from .conversions import ROUNDING_NUMBERS, TIES_TO_EVEN, mode_number
from .elements import NULL, Array, address_of, check_status, element_type

#: Bits of what an operation signals beside its result.
INVALID: Final[int] = lib.CF_SIGNAL_INVALID
DIVIDE_BY_ZERO: Final[int] = lib.CF_SIGNAL_DIVIDE_BY_ZERO

Function = Literal["add", "subtract", "multiply", "divide", "sqrt", "fma", "positive"]
_FUNCTIONS: Final = {name: getattr(lib, f"CF_{name.upper()}") for name in get_args(Function)}
_TOWARD_NEGATIVE: Final = lib.CF_TOWARD_NEGATIVE
_BAD_TYPE: Final = lib.CF_BAD_TYPE


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
    mode = _TOWARD_NEGATIVE if toward_negative else TIES_TO_EVEN
    results, signals = _arithmetic(function, operands, np.float64, mode, 0, 0, NULL)
    return results, signals


def arithmetic_float32(
    function: Function, *operands: Array, rounding: Rounding
) -> tuple[NDArray[np.float32], flags.Flags | None]:
    """Compute as `round_to_odd`, and round once to float32; with what was raised, if it is counted."""
    counter = ffi.new("cf_flags *") if flags.are_counted() else NULL
    mode, seed, offset = ROUNDING_NUMBERS[rounding.mode], rounding.seed, rounding.offset
    results, _ = _arithmetic(function, operands, np.float32, mode, seed, offset, counter)
    if counter is NULL:
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
        given.elements, given.type = address_of(x), element_type(x.dtype)
        given.stride = 0 if x.size == 1 else x.itemsize
    results = np.empty(shape, dtype)
    signals = ffi.new("uint32_t *")
    status = lib.cf_arithmetic(
        _FUNCTIONS[function], elements, element_type(results.dtype), mode, seed, offset,
        address_of(results), results.size, threads.get_num_threads(), counter, signals,
    )  # fmt: skip
    if status:
        check_status(status)
    return results, signals[0]


#: An operand of `arithmetic_codes`, as the core takes it: of `codes_operand` or `number_operand`.
Operand = tuple[Any, int, Any, int, float]
_NO_OPERAND: Final[Operand] = (NULL, 0, NULL, 1, 0.0)


def codes_operand(fmt: Any, bias: int, codes: Array) -> Operand:
    """Describe valid codes, contiguous and of native byte order, at a checked bias, by a `format_struct`.

    There is one for each result, or a single one for all.  They must outlive the description.
    """
    return fmt, bias, ffi.from_buffer(codes), codes.size, 0.0


def number_operand(number: float) -> Operand:
    """Describe a number that is an operand for all results."""
    return NULL, 0, NULL, 1, number


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
    counter = ffi.new("cf_flags *") if flags.are_counted() else NULL
    signals = ffi.new("uint32_t *")
    count = len(operands)
    a, b = operands[0], operands[1] if count > 1 else _NO_OPERAND
    c = operands[2] if count > 2 else _NO_OPERAND
    status = lib.cf_arithmetic_codes(
        _FUNCTIONS[function], *a, *b, *c, fmt, bias, mode_number(rounding), rounding.seed, rounding.offset,
        ffi.from_buffer(results), results.size, threads.get_num_threads(), counter, signals,
    )  # fmt: skip
    if status:
        check_status(status)
    if counter is NULL:
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
        _FUNCTIONS[function], *a, *b, *_NO_OPERAND, NULL, 0, TIES_TO_EVEN, 0, 0,
        ffi.from_buffer(results), results.size, threads.get_num_threads(), NULL, signals,
    )  # fmt: skip
    if status == _BAD_TYPE:
        return None
    if status:
        check_status(status)
    found: int = signals[0]
    return found


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
        check_status(status)
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
        check_status(status)
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
        check_status(status)


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
    counter = ffi.new("cf_flags *") if flags.are_counted() else NULL
    one = isinstance(biases, int)
    biases = np.ascontiguousarray(biases, np.int16)
    places = np.ascontiguousarray(places, np.int64)
    if not operand.dtype.isnative:
        operand = operand.astype(operand.dtype.newbyteorder("="))
    elif np.may_share_memory(operand, codes):
        operand = operand.copy()
    elements, signals = ffi.new("cf_elements *"), ffi.new("uint32_t *")
    elements.elements, elements.type = address_of(operand), element_type(operand.dtype)
    elements.stride = operand.strides[0] if operand.ndim else 0
    status = lib.cf_arithmetic_at(
        _FUNCTIONS[function], fmt, address_of(biases), not one, address_of(codes), address_of(places),
        elements, places.size, counter, signals,
    )  # fmt: skip
    if status:
        check_status(status)
    if counter is NULL:
        return None, signals[0]
    raised = flags.Flags(counter.invalid, counter.overflow, counter.underflow, counter.denormal)
    return raised, signals[0]
