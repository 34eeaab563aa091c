"""Where the results of a matrix product go: float32, or piece by piece into a CFloatArray."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.by_layout import encode_layout
from cfloat._core.arguments import check_out
from cfloat._core.dtypes import FLOAT32
from cfloat._core.pieces import pieces
from cfloat._core.rounding import Rounding
from cfloat.errors import ArgumentValueError

from .accumulator import Accumulator, multiply
from .operands import Operand, matrices, memory_of, part_of

Array = NDArray[Any]

#: Bytes of what is computed at a time before it is rounded into a CFloatArray.
PIECE_BYTES: Final = 14 << 20

_ALL: Final = slice(None)


def check_destination(out: CFloatArray, shape: tuple[int, ...]) -> None:
    """Refuse an array that results of a shape cannot be written to."""
    if out.shape != shape:
        raise ArgumentValueError(f"out has shape {out.shape}; the result has {shape}")
    if not out.codes.flags.writeable:
        raise ArgumentValueError("out is read-only")


def into_float32(
    a: Operand, b: Operand, shape: tuple[int, ...], accumulator: Accumulator, out: Any
) -> Any:
    """Multiply into an array of float32, or a new one if `out` is None."""
    written = np.empty(shape, np.float32) if out is None else check_out(out, shape, FLOAT32)
    written = np.asarray(written)
    apart = out is None or (
        written.flags.aligned
        and not np.may_share_memory(written, memory_of(a))
        and not np.may_share_memory(written, memory_of(b))
    )
    results = written if apart else np.empty(shape, np.float32)
    if results.size:
        first, second = matrices(a, column=False), matrices(b, column=True)
        multiply(first, second, _as_matrices(results, a, b), accumulator)
    if results is not written:
        written[...] = results
    if out is not None:
        return out
    return written if shape else written[()]


def into_format(
    a: Operand, b: Operand, out: CFloatArray, accumulator: Accumulator, how: Rounding
) -> None:
    """Multiply piece by piece, and round each into its place."""
    if out.size == 0:
        return
    # exact sums are rounded to odd in between, and so once
    between = np.dtype(np.float64 if accumulator.exact else np.float32)
    # blocks may need a bias for each element
    size = PIECE_BYTES // (between.itemsize + (0 if out.block is None else 2))
    codes = out.codes
    if not _can_be_overwritten(out, a, b, size):
        codes = np.empty(out.shape, out.codes.dtype)
    first, second = matrices(a, column=False), matrices(b, column=True)
    buffer = np.empty(min(size, out.size), between)
    steps = [math.prod(out.shape[axis + 1 :]) for axis in range(out.ndim)]
    for key in pieces(out.shape, size):
        part: Array = codes[key] if key else codes  # of no axes, an index gives a number
        start = sum((one.start or 0) * step for one, step in zip(key, steps, strict=True))
        rows, columns = _key_of_matrices(key, b.ndim == 1, a.ndim == 1)
        results = buffer[: part.size].reshape(part.shape)
        multiply(
            part_of(first, (*rows, _ALL)),
            part_of(second, (*rows[:-1], _ALL, columns)),
            _as_matrices(results, a, b),
            accumulator,
            start,
        )
        biases = out._biases.index(out.shape, key)
        here = how._replace(offset=how.offset + start)
        encode_layout(results, out.format, biases.values, biases.blocks, part.shape, here, part)
    if codes is not out.codes:
        out.codes[...] = codes


def _as_matrices(results: Array, a: Operand, b: Operand) -> Array:
    """Give results an axis of length 1 for each operand that is a vector."""
    if b.ndim == 1:
        results = results[..., np.newaxis]
    return results[..., np.newaxis, :] if a.ndim == 1 else results


def _key_of_matrices(
    key: tuple[slice, ...], no_columns: bool, no_rows: bool
) -> tuple[tuple[slice, ...], slice]:
    """Tell which matrices and rows a piece of the results has, and which columns."""
    key = (*key, _ALL) if no_columns else key
    rows = (*key[:-1], _ALL) if no_rows else key[:-1]
    return rows, key[-1]


def _can_be_overwritten(out: CFloatArray, a: Operand, b: Operand, size: int) -> bool:
    """Whether writing the output piece by piece changes nothing that is yet to be read."""
    codes, first = out.codes, memory_of(a)
    if np.may_share_memory(codes, memory_of(b)):
        return False
    # as in a @= b, where each row is read before it is written
    own_rows = (
        a.ndim == b.ndim == 2
        and first.__array_interface__["data"] == codes.__array_interface__["data"]
        and (first.shape, first.strides) == (codes.shape, codes.strides)
        and codes.shape[-1] <= size
    )
    return own_rows or not np.may_share_memory(codes, first)
