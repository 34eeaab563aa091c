"""Matrix products."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._core import threads
from cfloat._core._cfloat import ffi, lib
from cfloat._core.rounding import Rounding
from cfloat._core.threads import get_num_threads

from .conversions import ROUNDING_NUMBERS, broadcast_strides
from .elements import (
    BITS,
    CODES,
    NULL,
    VOID,
    Array,
    address_of,
    cast,
    check_status,
    element_type,
    from_buffer,
    memory_of,
)

_FLOAT32: Final = lib.CF_ACCUMULATE_FLOAT32
_EXACT: Final = lib.CF_ACCUMULATE_EXACT

# As in `elements`, for calls of a few elements.
_cf_matmul_flat: Final = lib.cf_matmul_flat
_cf_matmul_contiguous: Final = lib.cf_matmul_contiguous
_cf_matmul_biased: Final = lib.cf_matmul_biased
_BIASES: Final = ffi.typeof("int16_t *")
_NO_BIASES: Final = (NULL, 0, 0, 1, 1)
_FLOATS: Final = ffi.typeof("float *")
_FLOATS_DTYPE: Final = np.dtype(np.float32)
_FLOAT32_TYPE: Final = lib.CF_FLOAT32


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
    own = elements.strides if elements.shape == shape else broadcast_strides(elements, shape)
    strides = ffi.new("int64_t[]", own)
    matrix.elements, matrix.strides = address_of(elements), strides
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
    bias_strides = ffi.new("int64_t[]", broadcast_strides(biases, (*stack, *counts)))
    matrix.biases, matrix.bias_strides = ffi.cast("int16_t *", address_of(biases)), bias_strides
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
    product.results = address_of(results)
    product.result_strides, product.stack_shape = result_strides, stack_shape
    product.stack_ndim = len(stack)
    product.rows, product.inner = a.elements.shape[-2:]
    product.columns = b.elements.shape[-1]
    return product, [*alive, result_strides, stack_shape]


def _flat_arguments(operand: Matrices) -> tuple[Any, ...]:
    """Give what the core takes of an operand of two axes, without a description of it."""
    elements, fmt, biases, blocks = operand
    of_elements = (address_of(elements), *elements.strides)
    if fmt is None or biases is None:
        return (element_type(elements.dtype), NULL, 0, *of_elements, *_NO_BIASES)
    if isinstance(biases, int):
        return (CODES, fmt, biases, *of_elements, *_NO_BIASES)
    # one bias along an axis is one block, as long as the axis
    rows, columns = biases.shape
    row_stride, column_stride = biases.strides
    return (
        CODES, fmt, 0, *of_elements, cast(_BIASES, address_of(biases)),
        row_stride if rows > 1 else 0, column_stride if columns > 1 else 0,
        blocks[0] if rows > 1 else elements.shape[0] or 1,
        blocks[1] if columns > 1 else elements.shape[1] or 1,
    )  # fmt: skip


def _multiply_flat(accumulate: int, a: Matrices, b: Matrices, results: Array) -> None:
    """Write one product of matrices, of any biases, by a short way."""
    rows, inner = a.elements.shape
    columns = b.elements.shape[1]
    status = _cf_matmul_biased(
        accumulate, rows, inner, columns, *_flat_arguments(a), *_flat_arguments(b),
        address_of(results), *results.strides, get_num_threads(),
    )  # fmt: skip
    if status:
        check_status(status)


def _is_one(a: Matrices, b: Matrices, results: Array) -> bool:
    return a.elements.ndim == b.elements.ndim == results.ndim == 2


def matmul(a: Matrices, b: Matrices, results: Array) -> None:
    """Write products, summed in float32.

    Parameters
    ----------
    a, b : Matrices
        Operands whose shapes fit; their stacks broadcast to that of the results.
    results : ndarray of float32
        Aligned and writable, with any strides; no memory of an operand.
    """
    if _is_one(a, b, results):
        _multiply_flat(_FLOAT32, a, b, results)
        return
    product, _alive = _product(a, b, results)
    check_status(lib.cf_matmul(product, threads.get_num_threads()))


def matmul_exact(
    a: Matrices, b: Matrices, results: NDArray[np.float32] | NDArray[np.float64]
) -> None:
    """Write products, each the exact sum rounded once to float32, or to odd to float64; as `matmul`.

    What then rounds a result of float64 to a format rounds the exact sum.
    """
    to_odd = results.dtype == np.float64
    if not to_odd and _is_one(a, b, results):
        _multiply_flat(_EXACT, a, b, results)
        return
    product, _alive = _product(a, b, results)
    multiply = lib.cf_matmul_exact_to_odd if to_odd else lib.cf_matmul_exact
    check_status(multiply(product, threads.get_num_threads()))


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
    """Write products of matrices or vectors: as `matmul` or `matmul_exact`, by a short way.

    Parameters
    ----------
    a, b : ndarray of one axis or two, or both of three, with elements
        Codes, float32 or bfloat16, whose shapes fit: aligned, of native byte order, with any strides.  Of
        three axes they are as many matrices as the results.
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
    stacks = (a, a_format, a_bias), (b, b_format, b_bias)
    a_type: int | None = CODES
    b_type: int | None = CODES
    if a_format is None:
        a_format = NULL
        if a.dtype is _FLOATS_DTYPE:
            a_type = _FLOAT32_TYPE
        else:
            a, a_type = a.view(BITS[a.itemsize]), element_type(a.dtype)
    if b_format is None:
        b_format = NULL
        if b.dtype is _FLOATS_DTYPE:
            b_type = _FLOAT32_TYPE
        else:
            b, b_type = b.view(BITS[b.itemsize]), element_type(b.dtype)
    # a vector is a row on the left, and a column on the right
    of_a, of_b = a.shape, b.shape
    matrices = of_a[0] if len(of_a) > 2 else 1
    rows, columns = of_a[-2] if len(of_a) > 1 else 1, of_b[-1] if len(of_b) > 1 else 1
    try:  # to ask for flags takes longer
        a_memory, b_memory, memory = from_buffer(a), from_buffer(b), from_buffer(results)
    except ValueError:  # not contiguous; strides along one element are not looked at
        if len(of_a) > 2:
            multiply = matmul_exact if exact else matmul
            multiply(Matrices(*stacks[0]), Matrices(*stacks[1]), results)
            return
        a_row, row_step = (a.strides[0], results.strides[0]) if a.ndim == 2 else (0, 0)
        b_column, column_step = (b.strides[1], results.strides[-1]) if b.ndim == 2 else (0, 0)
        status = _cf_matmul_flat(
            accumulate, rows, of_b[0], columns,
            a_type, a_format, a_bias, memory_of(a), a_row, a.strides[-1],
            b_type, b_format, b_bias, memory_of(b), b.strides[0], b_column,
            memory_of(results), row_step, column_step, get_num_threads(),
        )  # fmt: skip
    else:
        status = _cf_matmul_contiguous(
            accumulate, matrices, rows, of_a[-1], columns, a_type, a_format, a_bias, a_memory,
            b_type, b_format, b_bias, b_memory, memory, get_num_threads(),
        )  # fmt: skip
    if status:
        check_status(status)


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
        _FLOAT32, rows, inner, columns, a_type, a_format or NULL, a_bias, cast(VOID, a_address),
        inner * a_size, a_size, b_type, b_format or NULL, b_bias, cast(VOID, b_address), b_row, b_column,
        cast(_FLOATS, results), 4 * columns, 4, threads.get_num_threads(),
    )  # fmt: skip
    if status:
        check_status(status)


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
    check_status(
        lib.cf_matmul_rounded(
            product, accumulator, bias, ROUNDING_NUMBERS[rounding.mode], rounding.seed,
            rounding.offset, words, every, threads.get_num_threads(),
        )
    )  # fmt: skip
