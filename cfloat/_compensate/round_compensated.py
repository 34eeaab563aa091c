"""Rounding a weight for what its products give, column by column (docs/spec.md 5.15)."""

import math
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._array.array import CFloatArray
from cfloat._array.creation import asarray
from cfloat._bias.bias_layout import BiasLayout
from cfloat._convert.by_layout import decode_layout, encode_layout
from cfloat._core import binding
from cfloat._core.arguments import check_choice, check_not_masked, finite_number
from cfloat._core.dtypes import real_array
from cfloat._core.flags import no_flags
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import TESLA_FORMATS, as_format
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat._metrics.sqnr import sqnr_db
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .factor import Factor, factor_of
from .second_moments import SecondMoment

Array = NDArray[Any]
Floats = NDArray[np.float64]
Axis: TypeAlias = int | tuple[int, ...]
Order = Literal["falling", "given"]

ORDERS: Final = ("falling", "given")
_DAMPING: Final = 0.01
#: A bias that is chosen by the error of outputs, of the one of the least squared error and its neighbours.
OUTPUT: Final = "output"
_SHIFTS: Final = (0, -1, 1)

#: Columns that are rounded one by one before a product spreads their errors over the others.
_COLUMNS: Final = 128
# elements of a piece of errors, about, whose product with the moments is taken at a time
_PIECE_SIZE: Final = 1 << 22


@public
@dataclass(frozen=True)
class CompensationStats:
    """What `round_compensated` came to, on the inputs that the moments are of.

    Attributes
    ----------
    signal : float
        The mean of ‖Wx‖², in the square of the outputs' unit; rows of `W` that are not finite left out, here
        and below.
    nearest_error, error : float
        The mean of ‖(Ŵ−W)x‖² of the weight rounded to nearest, and of the result.
    damping : float
        What part of each element of the moments' diagonal was added to it; the largest of those of groups.
    rows_kept : int
        How many rows, or outputs, are as rounded to nearest.
    notes : tuple of str
        What was not done as asked, and why, a line each.
    """

    signal: float
    nearest_error: float
    error: float
    damping: float
    rows_kept: int
    notes: tuple[str, ...]

    @property
    @in_default_modes
    def nearest_sqnr_db(self) -> float:
        """The outputs' signal to noise ratio of rounding to nearest, in dB."""
        return sqnr_db(self.signal, self.nearest_error)

    @property
    @in_default_modes
    def sqnr_db(self) -> float:
        """That of the result, in dB."""
        return sqnr_db(self.signal, self.error)


@public
@in_default_modes
def round_compensated(
    w: ArrayLike,
    fmt: Format | str,
    moments: SecondMoment,
    bias: ArrayLike | None = "mse",
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    order: Order = "falling",
    damping: float = _DAMPING,
) -> tuple[CFloatArray, CompensationStats]:
    """Round a weight so that the outputs of its products lose little, rather than its elements.

    Columns are rounded one after the other, each to nearest after it has taken up what the errors of those
    before it do to the outputs: as GPTQ (Frantar et al., 2022) and LDLQ (Chee et al., 2023) do, onto the
    codes of a format.  No row comes out worse than by rounding to nearest at the same biases, on the inputs
    that the moments are of; where one would, it is rounded to nearest.

    Parameters
    ----------
    w : array_like, shape (m, ...)
        The weight, of a dtype that `encode` takes.
    fmt : Format or str
        The format, or its name.
    moments : SecondMoment
        Of the inputs of the products, which fit the weight's shape.
    bias : int, array_like of int, or {"output", "mse", "max", "percentile", "mx"}, optional
        As of `asarray`; or "output": "mse", and of that and its two neighbours what gives the least error of
        outputs, for each output if biases are of rows or of blocks along them, and else for all together.
    axis, block
        As of `asarray`.
    order : {"falling", "given"}, optional
        Whether columns are rounded by falling moments, the inputs that matter most first, or as they are.
    damping : float, optional
        What part of each element of the moments' diagonal is added to it, at least 0: more trusts the inputs
        less.  It grows tenfold, twice at most, where the moments have no Cholesky factor.

    Returns
    -------
    (CFloatArray, CompensationStats)
        The codes, of the weight's shape; and the errors before and after.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `asarray`, or if moments do not fit the shape, or `order` or `damping` are not as above.

    See Also
    --------
    asarray : The same to nearest.
    SecondMoment : What moments are, and how they come from inputs.

    Notes
    -----
    Everything is computed in float64, by LAPACK of SciPy if that is installed, or else of NumPy.  Codes are
    the same for any number of threads of this package, and with any instruction set; another BLAS, or another
    number of its own threads, may change sums in their last bits, and with them codes.

    Of one-hot inputs, those of embeddings, nearest is best, and a note says so; likewise where inputs are all
    0, or moments have no factor.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> rng = np.random.default_rng(0)
    >>> inputs = rng.standard_normal((2000, 64)) @ rng.standard_normal((64, 64))
    >>> w = rng.standard_normal((32, 64))
    >>> q, stats = cf.round_compensated(w, "CFloat8_1_4_3", cf.SecondMoment.of(inputs))
    >>> f"{stats.nearest_sqnr_db:.1f} dB to nearest, {stats.sqnr_db:.1f} dB compensated"
    '31.8 dB to nearest, 35.4 dB compensated'
    """
    fmt = as_format(fmt)
    if not isinstance(moments, SecondMoment):
        raise ArgumentTypeError(
            f"moments is {shown(moments)}; it takes a SecondMoment, as SecondMoment.of(inputs) gives"
        )
    check_choice("order", order, ORDERS)
    part = finite_number("damping", damping)
    if part is None or part < 0:
        raise ArgumentValueError(f"damping is {shown(damping)}; it takes a number of 0 or more")
    check_not_masked("w", w)
    values = real_array("w", w)
    misfit = moments.misfit(values.shape)
    if misfit is not None:
        raise ArgumentValueError(misfit)
    by_output = isinstance(bias, str) and bias == OUTPUT
    with no_flags(), np.errstate(all="ignore"):
        nearest = asarray(values, fmt, "mse" if by_output else bias, axis=axis, block=block)
        task = _Task(values, moments, fmt, order == "falling", part)
        return task.run(nearest._biases, _SHIFTS if by_output else (0,))


class _Task:
    """The rounding of one weight, as a matrix whose rows are outputs and whose columns are inputs."""

    def __init__(
        self, values: Array, moments: SecondMoment, fmt: Format, falling: bool, damping: float
    ) -> None:
        self._fmt, self._values = fmt, values
        self._is_transposed = moments.axis == 0
        self._weights = self._as_matrix(values)
        self._finite: NDArray[np.bool_] = np.asarray(np.isfinite(self._weights).all(axis=1))
        self._rows = len(self._weights)
        self._damping = 0.0
        self._notes: list[str] = []
        lost = self._rows - int(self._finite.sum())
        if lost:
            self._notes.append(f"{lost} of {self._rows} rows are not finite: rounded to nearest")
        self._parts = self._factored(moments, falling, damping)
        self._signal = self._squares(self._finite_weights(slice(None)))

    def of_format(self, fmt: Format) -> "_Task":
        """Give the same of another format, with the factors and the signal that are there."""
        other = copy(self)
        other._fmt = fmt
        return other

    def _as_matrix(self, x: Array) -> Array:
        matrix = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        return matrix.T if self._is_transposed else matrix

    def _factored(self, moments: SecondMoment, falling: bool, damping: float) -> "list[_Part]":
        """Cut the rows by groups, and factor the moments of each."""
        columns = self._weights.shape[1]
        if moments.is_diagonal:
            self._notes.append("inputs are one-hot, for which nearest is best: rounded to nearest")
            return [_Part(slice(0, self._rows), moments.values, None)]
        if moments.count < columns:
            self._notes.append(
                f"moments of {moments.count} inputs, fewer than the {columns} columns"
            )
        each = moments.values.reshape(-1, columns, columns)
        size = self._rows // len(each)
        parts, without = [], 0
        for i, values in enumerate(each):
            factor = factor_of(values, falling, damping)
            without += factor is None
            self._damping = max(self._damping, 0.0 if factor is None else factor.damping)
            parts.append(_Part(slice(i * size, (i + 1) * size), values, factor))
        if without:
            some = "" if len(each) == 1 else f"{without} of {len(each)} groups' "
            self._notes.append(f"{some}moments are 0, or have no factor: rounded to nearest")
        if self._damping > damping:
            self._notes.append(f"damping grew to {self._damping:g} for moments to have a factor")
        return parts

    def run(
        self, biases: BiasLayout, shifts: tuple[int, ...]
    ) -> tuple[CFloatArray, CompensationStats]:
        """Round with biases that are shifted by each of some, and keep what is best."""
        by_row = len(shifts) > 1 and self._is_one_a_row(biases)
        tries = (self._round(self._shifted(biases, shift)) for shift in shifts)
        codes, error, kept, nearest = next(tries)
        chosen = np.full(self._rows, shifts[0])
        for shift, (other, other_error, other_kept, _) in zip(shifts[1:], tries, strict=True):
            better = other_error < error
            if not by_row:
                better = np.full(self._rows, other_error.sum() < error.sum())
            codes[better], error[better] = other[better], other_error[better]
            kept[better], chosen[better] = other_kept[better], shift
        if by_row and isinstance(biases.values, np.ndarray):
            lengths = (
                (1, *self._values.shape[1:])
                if self._is_transposed
                else (-1, *(1,) * (biases.values.ndim - 1))
            )
            biases = self._shifted(biases, chosen.reshape(lengths))
        elif self._rows:
            biases = self._shifted(biases, chosen[:1].item())
        stats = CompensationStats(
            signal=float(self._signal.sum()),
            nearest_error=float(nearest.sum()),
            error=float(error.sum()),
            damping=self._damping,
            rows_kept=int(kept.sum()),
            notes=tuple(self._notes),
        )
        made = codes.T if self._is_transposed else codes
        made = np.ascontiguousarray(made).reshape(self._values.shape)
        return CFloatArray._of(made, self._fmt, biases), stats

    def _is_one_a_row(self, biases: BiasLayout) -> bool:
        """Whether each row has biases of its own, whatever those of others are."""
        values, blocks = biases.values, biases.blocks
        if not isinstance(values, np.ndarray):
            return False
        if not self._is_transposed:
            return values.shape[0] == self._rows and (blocks is None or 0 not in blocks.axes)
        return values.shape[1:] == self._values.shape[1:] and (
            blocks is None or blocks.axes == (0,)
        )

    def _shifted(self, biases: BiasLayout, shift: int | NDArray[np.int64]) -> BiasLayout:
        low, high = self._fmt.bias_range
        values = biases.values
        if isinstance(values, int):
            return BiasLayout(int(np.clip(values + shift, low, high)))
        return BiasLayout(np.clip(values + shift, low, high).astype(np.int16), biases.blocks)

    def _round(self, biases: BiasLayout) -> tuple[Array, Floats, NDArray[np.bool_], Floats]:
        """Give codes, the error of each row, whether it is as to nearest, and what nearest has."""
        shape = self._values.shape
        nearest = encode_layout(self._values, self._fmt, biases.values, biases.blocks, shape)
        decoded = decode_layout(
            nearest, self._fmt, biases.values, biases.blocks, np.dtype(np.float64)
        )
        losses = self._finite_weights(slice(None)) - self._as_matrix(decoded)
        losses[~self._finite] = 0
        nearest_error = self._squares(losses)
        del decoded, losses
        codes, errors = np.ascontiguousarray(self._as_matrix(nearest)), nearest_error.copy()
        kept = np.ones(self._rows, bool)
        full = self._as_matrix(biases.full(shape))
        for part in self._parts:
            if part.factor is None:
                continue
            made, left = self._compensated(part.rows, full[part.rows], part.factor)
            error = self._squares_of(part, left)
            better = (error < errors[part.rows]) & self._finite[part.rows]
            codes[part.rows][better] = made[better]
            errors[part.rows][better] = error[better]
            kept[part.rows][better] = False
        return codes, errors, kept, nearest_error

    def _compensated(
        self, rows: slice, biases: NDArray[np.int16], factor: Factor
    ) -> tuple[Array, Floats]:
        """Round some rows; give their codes, and what they lose."""
        lower, places, _ = factor
        shape = biases.shape
        codes = np.empty(shape, self._fmt.storage_dtype)
        errors = np.zeros(shape)  # columns as in the factor
        for stop in range(shape[1], 0, -_COLUMNS):
            start = max(0, stop - _COLUMNS)
            columns = places[start:stop]
            diagonal = np.diagonal(lower)[start:stop]
            np.matmul(errors[:, stop:], lower[stop:, start:stop], out=errors[:, start:stop])
            errors[:, start:stop] /= diagonal
            some = np.empty((shape[0], stop - start), self._fmt.storage_dtype)
            binding.compensate_columns(
                self._fmt._struct,
                self._finite_weights(rows, columns),
                biases[:, columns],
                lower[start:stop, start:stop] / diagonal,
                errors[:, start:stop],
                some,
            )
            codes[:, columns] = some
        left = np.empty(shape)
        left[:, places] = errors
        return codes, left

    def _finite_weights(self, rows: slice, columns: Any = slice(None)) -> Floats:
        """Give weights as float64, rows that are not finite as zeros."""
        some = np.array(self._weights[rows][:, columns], np.float64, order="C")
        some[~self._finite[rows]] = 0
        return some

    def _squares(self, x: Floats) -> Floats:
        """Give the mean square of what a matrix of the weight's shape adds to each output."""
        return np.concatenate([self._squares_of(part, x[part.rows]) for part in self._parts])

    def _squares_of(self, part: "_Part", x: Floats) -> Floats:
        squares = np.empty(len(x))
        step = max(1, _PIECE_SIZE // max(1, x.shape[1]))
        with np.errstate(all="ignore"):
            for start in range(0, len(x), step):
                piece = x[start : start + step]
                product = piece * part.moments if part.moments.ndim == 1 else piece @ part.moments
                squares[start : start + step] = np.einsum("ij,ij->i", product, piece)
        # an error that is infinite or NaN is worse than any; and rounding makes nothing negative
        return np.where(np.isnan(squares), np.inf, np.maximum(squares, 0))


class _Part(NamedTuple):
    """Rows whose inputs are the same ones."""

    rows: slice
    moments: Floats
    factor: Factor | None


class Compensation:
    """The rounding of one weight to several formats and biases, which have factors of its moments in common.

    Each is as `round_compensated` has it by default.

    Parameters
    ----------
    values : ndarray of float, shape (m, ...)
        The weight.
    moments : SecondMoment
        Of its inputs, which fit its shape.

    Attributes
    ----------
    notes : tuple of str
        What was not done as asked, and why, a line each.
    """

    def __init__(self, values: Array, moments: SecondMoment) -> None:
        with no_flags(), np.errstate(all="ignore"):
            # of whatever format: it is replaced
            self._task = _Task(values, moments, TESLA_FORMATS[0], True, _DAMPING)
        self.notes = tuple(self._task._notes)

    def rounded(self, fmt: Format, biases: BiasLayout) -> tuple[CFloatArray, CompensationStats]:
        """Round to a format at biases that are given."""
        with no_flags(), np.errstate(all="ignore"):
            return self._task.of_format(fmt).run(biases, (0,))
