"""Matrix products of `CFloatArray` (docs/spec.md 5.4)."""

import math
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, Final, Literal, SupportsIndex, cast

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert import elementwise
from cfloat._convert.layouts import encode_layout
from cfloat._core import binding, flags
from cfloat._core.arguments import check_out, integer
from cfloat._core.dtypes import is_operand_dtype
from cfloat._core.format import Format
from cfloat._core.pieces import pieces
from cfloat._core.public import public
from cfloat._core.rounding import Rounding, RoundingMode, check_rounding
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

Array = NDArray[Any]
Operand = CFloatArray | Array

#: Writes products of matrices; the last argument is the first result's place in row-major order of all.
Multiply = Callable[[binding.Matrices, binding.Matrices, NDArray[np.float32], int], None]

#: Bytes of what is computed at a time before it is rounded into a CFloatArray.
STRIP_BYTES: Final = 14 << 20

_ALL: Final = slice(None)
_FLOAT32: Final = np.dtype(np.float32)
_NEAREST: Final = Rounding("ties_to_even")
_OPERANDS: Final = "a CFloatArray, float32, bfloat16, or numbers that NumPy promotes to float32"


@public
def matmul(
    a: Any,
    b: Any,
    *,
    accumulate: Literal["float32", "exact"] | Format = "float32",
    accumulator_bias: SupportsIndex | None = None,
    accumulate_every: SupportsIndex = 1,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    out: Any = None,
) -> Any:
    """Multiply matrices, one at least a `CFloatArray`: exact products, float32 sums (docs/spec.md 5.4).

    Parameters
    ----------
    a, b : CFloatArray or array_like
        Operands, one of them a CFloatArray of any format and biases; the other may be float32 or bfloat16
        (ml_dtypes'), or of a dtype that NumPy promotes to float32 and that is converted first (float16,
        integers of 8 and 16 bits).  Shapes are those of `numpy.matmul`: vectors, matrices, and stacks of
        matrices that broadcast.  Codes are read where they are, whatever their strides.
    accumulate : {"float32", "exact"} or Format, default "float32"
        How products are summed.  "float32": in float32.  "exact": exactly, and the sum is rounded once to
        float32, to nearest, ties to even.  A Format models a hardware accumulator: the sum starts at 0 and is
        rounded to the format whenever products have been added, in the order k = 0, 1, ...
    accumulator_bias : int, optional
        The exponent bias of an accumulator that is a Format; its default bias if None.
    accumulate_every : int, default 1
        How many products are added before each rounding to an accumulator that is a Format: one, and it is
        the exact sum that is rounded; more, and they are added in float64, each time rounded to odd.
    rounding, seed, offset
        As in `encode`: of an accumulator that is a Format, or else of a CFloatArray `out`.  Rounding s = 0,
        1, ... of the accumulator of element i, in row-major order of the result, takes random word
        ``offset + s * n + i``, n being the number of elements.
    out : ndarray or CFloatArray, optional
        Where to write the result, of its shape.  It may overlap the operands.  An ndarray is float32, in any
        layout.  A CFloatArray gets float32 results rounded into its format: by `rounding`, or to nearest if
        that is the accumulator's.

    Returns
    -------
    ndarray of float32, or float32
        `out`, or a new array; a float32 of two vectors.  Of an accumulator that is a Format the results are
        values of that format.

    Raises
    ------
    ArgumentTypeError
        If neither operand is a CFloatArray, one is not of a dtype above, `accumulate` is of another type, an
        integer argument is something else, or `out` is not an array that the result can be written to.
    ArgumentValueError
        If the shapes do not fit, an argument is out of range, one is given that nothing uses, or `out` has
        another shape or cannot be written.
    FlagError
        If `errstate` says so.

    See Also
    --------
    matmul_error : What the rounding of the operands costs.

    Notes
    -----
    Elements of the result are at most ``K * 2**-23 * (abs(a) @ abs(b))`` from the exact ones, K being the
    length of the sums, if nothing leaves float32's range.  Nothing depends on the number of threads.  With
    "exact" or a Format the result has the same bits on every machine.  float32 sums do not: their order is
    the instruction set's (`isa`).

    - Everywhere, blocks of 1024 consecutive k are summed from zero, and the blocks' sums added in order.
    - portable, neon, avx2, avx512: and so are parts of 256 k, in a block; in a part k = 0, 1, ...; a product
      is rounded and then added (portable), or added by one fused operation (the others).
    - avx512bf16, if both operands have 8 significant bits at most: two k at a time, the second first, each by
      one fused operation.  Else as avx512.
    - amx: 32 k at a time, the 16 of even place and the 16 of odd place each in sequence, then those two sums
      to each other and to the sum so far.  Operands of more than 8 significant bits are split into two or
      three bfloat16 (but for values not finite, or below about 2**-80: those as avx512), and of a block the
      products of the smallest pieces are summed first.
    - Four rows, or columns, or fewer are summed in vectors, each lane by itself, where the other operand is
      contiguous along an axis; the order then depends on which axis that is.

    ``a @ b``, `numpy.matmul` and NumPy's other products (`numpy.dot`, `numpy.einsum`, ...) come here if no
    operand is wider.  With an operand that NumPy computes in float64 with, they compute in float64 on the
    decoded values, and this function refuses it.

    Flags are those of rounding into a CFloatArray `out`: operands raise none.  That takes less than 16 MB
    of memory, and an array of the result's size if it overlaps an operand; packing takes less than 40 MB.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> a = cf.asarray([[1.0, 2.7], [0.1, 0.2]], cf.CFloat8_1_4_3)
    >>> b = cf.asarray([[1.0, -1.0], [0.5, 4.0]], cf.CFloat8_1_5_2, bias=20)
    >>> cf.matmul(a, b)
    array([[ 2.375    , 10.       ],
           [ 0.203125 ,  0.7109375]], dtype=float32)
    >>> cf.matmul(a, np.ones(2, np.float32))
    array([3.75     , 0.3046875], dtype=float32)
    >>> cf.matmul(a, b, out=cf.asarray(np.zeros((2, 2)), cf.CFloat8_1_4_3))
    CFloatArray([[ 2.5     , 10.      ],
                 [ 0.203125,  0.6875  ]], CFloat8_1_4_3, bias=7)
    """
    if not (isinstance(a, CFloatArray) or isinstance(b, CFloatArray)):
        raise ArgumentTypeError(
            f"a is a {type(a).__name__} and b a {type(b).__name__}; one of them must be a CFloatArray"
        )
    a, b = _operand("a", a), _operand("b", b)
    shape = result_shape(a.shape, b.shape)
    multiply, how = _multiplication(
        accumulate, accumulator_bias, accumulate_every, rounding, seed, offset, out, shape, a.shape[-1]
    )  # fmt: skip
    if not isinstance(out, CFloatArray):
        return _into_float32(multiply, a, b, shape, out)
    _check_destination(out, shape)
    if not flags.are_counted():
        _into_format(multiply, a, b, out, how)
        return out
    # of the whole, whatever the strips
    with flags.collected() as raised:
        _into_format(multiply, a, b, out, how)
    if raised:
        flags.report(raised, f"matmul to {out.format.name}", out.size)
    return out


def takes(*operands: Any) -> bool:
    """Whether products of arrays are computed here: of CFloatArrays, and of others as they are.

    Of arrays of other dtypes NumPy says what they are computed as, and of subclasses they themselves.
    """
    return any(isinstance(x, CFloatArray) for x in operands) and all(
        isinstance(x, CFloatArray) or (type(x) is np.ndarray and is_operand_dtype(x.dtype))
        for x in operands
    )


def _operand(name: str, x: Any) -> Operand:
    """Return an operand in a form that the core reads."""
    if isinstance(x, CFloatArray):
        if x.format.bits < 8 * x.itemsize:
            elementwise.check_codes(x.codes, x.format)  # they may have been written to
        return x
    if isinstance(x, np.ndarray) and type(x) is not np.ndarray and np.ma.isMaskedArray(x):
        raise ArgumentTypeError(f"{name} is a masked array, whose mask would be lost")
    values = np.asarray(x)
    if not is_operand_dtype(values.dtype):
        try:
            promoted = np.result_type(_FLOAT32, values.dtype)
        except TypeError:
            promoted = values.dtype
        if promoted != _FLOAT32:
            raise ArgumentTypeError(f"{name} has dtype {values.dtype}; it takes {_OPERANDS}")
        values = values.astype(np.float32)
    return _readable(values)


def _readable(memory: Array) -> Array:
    """Return an array that is aligned and of native byte order, as its elements are or as a copy."""
    if memory.dtype.isnative and memory.flags.aligned:
        return memory
    return memory.astype(memory.dtype.newbyteorder("="))


def result_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the product of operands of two shapes."""
    if not a or not b:
        raise ArgumentValueError(f"a has shape {a} and b {b}; each takes at least one axis")
    if a[-1] != (b[-2] if len(b) > 1 else b[0]):
        raise ArgumentValueError(
            f"a has shape {a} and b {b}; the last length of a must be the last but one of b"
        )
    stack = []
    # not numpy.broadcast_shapes, which stops at 32 dimensions
    for length, other in zip_longest(reversed(a[:-2]), reversed(b[:-2]), fillvalue=1):
        if length != other and length != 1 and other != 1:
            raise ArgumentValueError(f"a has shape {a} and b {b}; their stacks do not broadcast")
        stack.append(other if length == 1 else length)
    return (*reversed(stack), *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


def _multiplication(
    accumulate: object,
    accumulator_bias: SupportsIndex | None,
    every: SupportsIndex,
    rounding: RoundingMode,
    seed: SupportsIndex | None,
    offset: SupportsIndex,
    out: object,
    shape: tuple[int, ...],
    inner: int,
) -> tuple[Multiply, Rounding]:
    """Return what multiplies, and how its results are rounded into a CFloatArray."""
    if isinstance(accumulate, Format):
        bias = accumulate.check_bias(accumulator_bias)
        every = min(integer("accumulate_every", every, 1), max(inner, 1))
        count = -(-inner // every)
        how = check_rounding(rounding, (count, *shape), seed, offset)
        return _accumulating(accumulate, bias, how, every, math.prod(shape)), _NEAREST
    if not isinstance(accumulate, str):
        raise ArgumentTypeError(
            f"accumulate is {shown(accumulate)}; it takes 'float32', 'exact' or a Format"
        )
    if accumulate not in ("float32", "exact"):
        raise ArgumentValueError(
            f"accumulate is {shown(accumulate)}; it takes 'float32', 'exact' or a Format"
        )
    if accumulator_bias is not None or integer("accumulate_every", every, 1) != 1:
        raise ArgumentValueError(
            f"accumulate is {accumulate!r}; accumulator_bias and accumulate_every need a Format"
        )
    how = check_rounding(rounding, shape, seed, offset)
    if how.mode != "ties_to_even" and not isinstance(out, CFloatArray):
        raise ArgumentValueError(
            f"rounding is {how.mode!r}; it needs a CFloatArray as out, or a Format as accumulate"
        )
    core = binding.matmul if accumulate == "float32" else binding.matmul_exact
    return lambda a, b, results, start: core(*_as_one(a, b, results)), how


def _accumulating(
    accumulator: Format, bias: int, how: Rounding, every: int, words: int
) -> Multiply:
    def multiply(
        a: binding.Matrices, b: binding.Matrices, results: NDArray[np.float32], start: int
    ) -> None:
        here = how._replace(offset=how.offset + start)
        binding.matmul_rounded(
            *_as_one(a, b, results), accumulator._struct, bias, here, words, every
        )

    return multiply


def _as_one(
    a: binding.Matrices, b: binding.Matrices, results: NDArray[np.float32]
) -> tuple[binding.Matrices, binding.Matrices, NDArray[np.float32]]:
    """Return the products of a stack with one matrix as one product, if that takes no copy."""
    if a.elements.ndim == 2:
        return a, b, results
    *stack, rows, inner = a.elements.shape
    of_b = math.prod(b.elements.shape[:-2])
    if math.prod(stack) == 1 or of_b != 1 or results.shape[:-2] != tuple(stack):
        return a, b, results
    height = math.prod(stack) * rows
    if not (_rows_are_one_axis(a.elements) and _rows_are_one_axis(results)):
        return a, b, results
    elements = a.elements.reshape(height, inner)
    flat_results = results.reshape(height, results.shape[-1])
    biases = a.biases
    if isinstance(biases, np.ndarray):
        if biases.shape[:-1] not in ((1,) * (len(stack) + 1), (*stack, rows)):
            return a, b, results
        biases = biases.reshape(math.prod(biases.shape[:-1]), biases.shape[-1])
    flat_a = a._replace(elements=elements, biases=biases)
    flat_b = b._replace(
        elements=b.elements.reshape(b.elements.shape[-2:]),
        biases=b.biases.reshape(b.biases.shape[-2:])
        if isinstance(b.biases, np.ndarray)
        else b.biases,
    )
    return flat_a, flat_b, flat_results


def _rows_are_one_axis(x: Array) -> bool:
    """Whether all axes but the last can become one without a copy."""
    lengths = [(n, step) for n, step in zip(x.shape[:-1], x.strides[:-1], strict=True) if n != 1]
    inner = lengths[1:]
    return all(step == n * below for (_, step), (n, below) in zip(lengths, inner, strict=False))


def _check_destination(out: CFloatArray, shape: tuple[int, ...]) -> None:
    if out.shape != shape:
        raise ArgumentValueError(f"out has shape {out.shape}; the result has {shape}")
    if not out.codes.flags.writeable:
        raise ArgumentValueError("out is read-only")


def _memory(x: Operand) -> Array:
    return x.codes if isinstance(x, CFloatArray) else x


def _matrices(x: Operand, *, column: bool) -> binding.Matrices:
    """Describe an operand to the core, a vector as a matrix of one row or of one column."""
    place: tuple[Any, ...] = (...,)
    if x.ndim == 1:
        place = (_ALL, np.newaxis) if column else (np.newaxis, _ALL)
    if not isinstance(x, CFloatArray):
        return binding.Matrices(x[place])
    elements = _readable(x.codes)[place]
    values, axis, run = x._biases.runs
    if isinstance(values, int):
        return binding.Matrices(elements, x.format._struct, values)
    from_the_end = axis - x.ndim if axis >= 0 else axis
    if from_the_end < -2:  # blocks along the stack
        values, run = cast(NDArray[np.int16], x._biases.values), 1
    along_rows = from_the_end == -2 or place[-1] is np.newaxis
    blocks = (run, 1) if along_rows else (1, run)
    return binding.Matrices(elements, x.format._struct, values[place], blocks)


def _as_matrices(results: Array, a: Operand, b: Operand) -> Array:
    """Return results with an axis of length 1 for each operand that is a vector."""
    if b.ndim == 1:
        results = results[..., np.newaxis]
    return results[..., np.newaxis, :] if a.ndim == 1 else results


def _into_float32(
    multiply: Multiply, a: Operand, b: Operand, shape: tuple[int, ...], out: Any
) -> Any:
    written = np.empty(shape, np.float32)
    if out is not None:
        written = np.asarray(check_out(out, shape, _FLOAT32))
    apart = out is None or (
        written.flags.aligned
        and not np.may_share_memory(written, _memory(a))
        and not np.may_share_memory(written, _memory(b))
    )
    results = written if apart else np.empty(shape, np.float32)
    if results.size:
        operands = _matrices(a, column=False), _matrices(b, column=True)
        multiply(*operands, _as_matrices(results, a, b), 0)
    if results is not written:
        written[...] = results
    if out is not None:
        return out
    return written if shape else written[()]


def _into_format(
    multiply: Multiply, a: Operand, b: Operand, out: CFloatArray, how: Rounding
) -> None:
    """Multiply strip by strip, and round each into its place."""
    if out.size == 0:
        return
    # blocks may need a bias for each element
    size = STRIP_BYTES // (4 if out.block is None else 6)
    codes = out.codes
    if not _can_be_overwritten(out, a, b, size):
        codes = np.empty(out.shape, out.codes.dtype)
    first, second = _matrices(a, column=False), _matrices(b, column=True)
    axes_missing = (b.ndim == 1, a.ndim == 1)
    buffer = np.empty(min(size, out.size), np.float32)
    steps = [math.prod(out.shape[axis + 1 :]) for axis in range(out.ndim)]
    for key in pieces(out.shape, size):
        part: Array = codes[key] if key else codes  # of no axes, an index gives a number
        start = sum((one.start or 0) * step for one, step in zip(key, steps, strict=True))
        rows, columns = _key_of_matrices(key, *axes_missing)
        results = buffer[: part.size].reshape(part.shape)
        multiply(
            _part(first, (*rows, _ALL)),
            _part(second, (*rows[:-1], _ALL, columns)),
            _as_matrices(results, a, b),
            start,
        )
        _make_nans_positive(results)
        biases = out._biases.index(out.shape, key)
        placed = how._replace(offset=how.offset + start)
        encode_layout(results, out.format, biases.values, biases.block, part.shape, placed, part)
    if codes is not out.codes:
        out.codes[...] = codes


def _key_of_matrices(
    key: tuple[slice, ...], no_columns: bool, no_rows: bool
) -> tuple[tuple[slice, ...], slice]:
    """Return which matrices and rows a box of results has, and which columns."""
    key = (*key, _ALL) if no_columns else key
    rows = (*key[:-1], _ALL) if no_rows else key[:-1]
    return rows, key[-1]


def _part(operand: binding.Matrices, key: tuple[slice, ...]) -> binding.Matrices:
    """Return the part of an operand at an index of the stack, rows and columns."""
    elements, fmt, biases, blocks = operand
    lengths = elements.shape
    own = [
        part if length != 1 else _ALL
        for part, length in zip(key[len(key) - len(lengths) :], lengths, strict=True)
    ]
    elements = elements[tuple(own)]
    if not isinstance(biases, np.ndarray):
        return operand._replace(elements=elements)
    runs = [1] * (len(lengths) - 2) + list(blocks)
    for axis, (part, length) in enumerate(zip(own, lengths, strict=True)):
        if biases.shape[axis] == 1 or part == _ALL:
            continue
        start, stop, _ = part.indices(length)
        run = runs[axis]
        if start % run == 0:
            taken: Any = slice(start // run, -(-stop // run))
        else:  # one for each row, or column
            taken, runs[axis] = np.arange(start, stop) // run, 1
        biases = biases[(*(_ALL,) * axis, taken)]
    return binding.Matrices(elements, fmt, biases, (runs[-2], runs[-1]))


def _can_be_overwritten(out: CFloatArray, a: Operand, b: Operand, size: int) -> bool:
    """Whether writing the output strip by strip changes nothing that is yet to be read."""
    codes, first = out.codes, _memory(a)
    if np.may_share_memory(codes, _memory(b)):
        return False
    # as in a @= b, where each row is read before it is written
    own_rows = (
        a.ndim == b.ndim == 2
        and first.__array_interface__["data"] == codes.__array_interface__["data"]
        and (first.shape, first.strides) == (codes.shape, codes.strides)
        and codes.shape[-1] <= size
    )
    return own_rows or not np.may_share_memory(codes, first)


def _make_nans_positive(results: NDArray[np.float32]) -> None:
    """Give NaNs one sign, which would tell into which number they are clamped: machines differ in it."""
    if np.isnan(results.max()):
        results[np.isnan(results)] = cast(Any, np.nan)
