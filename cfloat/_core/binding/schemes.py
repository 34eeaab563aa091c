"""What other schemes of codes and scales store, and their errors."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._core import threads
from cfloat._core._cfloat import ffi, lib

from .elements import address_of, check_status

#: Where parts of a matrix begin, for `add_scheme_errors`: multiples of so many rows, and columns.
TILE_ROWS: Final[int] = lib.CF_TILE
SCHEME_COLUMNS: Final[int] = lib.CF_SCHEME_COLUMNS


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
    rows.values, rows.row_stride = address_of(matrix), matrix.strides[0]
    rows.rows, rows.length = matrix.shape
    if peaks is not None and row_peaks is not None:
        rows.peaks = ffi.from_buffer("float[]", peaks)
        rows.row_peaks = ffi.from_buffer("float[]", row_peaks)
    return rows


def row_peaks(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the largest finite magnitude of each row, contiguous in itself; 0 where there is none."""
    peaks = np.empty(matrix.shape[0], np.float32)
    to = ffi.from_buffer("float[]", peaks, require_writable=True)
    check_status(lib.cf_row_peaks(_rows(matrix), to, threads.get_num_threads()))
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
    check_status(
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
    check_status(lib.cf_scheme_values(structs, rows, to, threads.get_num_threads()))
    return values
