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
from cfloat._bias.bias_methods import BIAS_METHODS
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
from .shares import Each, pieces, sharing
from .uses import TO_NEAREST

Array = NDArray[Any]
Floats = NDArray[np.float64]
Axis: TypeAlias = int | tuple[int, ...]
Order = Literal["falling", "given"]

ORDERS: Final = ("falling", "given")
_DAMPING: Final = 0.01
#: A bias that is chosen by the error of outputs, of the one of the least squared error and its neighbours.
OUTPUT: Final = "output"
_SHIFTS: Final = (0, -1, 1)

#: Columns that are rounded one by one before a product spreads their errors over the others of a panel.
_COLUMNS: Final = 128
#: Columns of a panel, and of the moments, that others are multiplied with at a time.
_PANEL: Final = 512
# an error that is less than this part of what damping makes of it is computed anew
_CANCELLED: Final = 1e-3


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
    Everything is computed in float64.  Codes are the same for any number of threads of this package, and with
    any instruction set.  Where threadpoolctl is installed (extra ``plan``), BLAS is held to one thread during
    the call, pieces of the work are shared among this package's threads, and the number of BLAS's own changes
    nothing either; without it, that number may change sums in their last bits, and with them codes, as
    another BLAS may.  Calls of several threads of the caller come one after the other.

    Beside the moments it needs as much memory again, and little else: 512 rows at most in float64 a thread.

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
    if isinstance(bias, str):
        check_choice("bias", bias, (OUTPUT, *BIAS_METHODS))
    by_output = isinstance(bias, str) and bias == OUTPUT
    with no_flags(), np.errstate(all="ignore"):
        nearest = asarray(values, fmt, "mse" if by_output else bias, axis=axis, block=block)
        biases = nearest._biases
        del nearest
        with sharing() as each:
            task = _Task(values, moments, fmt, order == "falling", part, each)
            return task.run(biases, _SHIFTS if by_output else (0,))


class _Task:
    """The rounding of one weight, as a matrix whose rows are outputs and whose columns are inputs."""

    def __init__(
        self,
        values: Array,
        moments: SecondMoment,
        fmt: Format,
        falling: bool,
        damping: float,
        each: Each,
    ) -> None:
        self._fmt, self._values, self._each = fmt, values, each
        self._is_transposed = moments.axis == 0
        self._weights = self._as_matrix(values)
        self._finite: NDArray[np.bool_] = np.asarray(np.isfinite(self._weights).all(axis=1))
        self._rows = len(self._weights)
        self._damping = 0.0
        self._notes: list[str] = []
        lost = self._rows - int(self._finite.sum())
        if lost:
            self._notes.append(f"{lost} of {self._rows} rows are not finite{TO_NEAREST}")
        parts = self._factored(moments, falling, damping)
        self._pieces = [
            part._replace(rows=rows)
            for part in parts
            for rows in pieces(part.rows.start, part.rows.stop)
        ]
        self._signal = self._squares_of_outputs()

    def of_format(self, fmt: Format, each: Each) -> "_Task":
        """Give the same of another format, with the factors and the signal that are there."""
        other = copy(self)
        other._fmt, other._each = fmt, each
        return other

    def _as_matrix(self, x: Array) -> Array:
        matrix = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        return matrix.T if self._is_transposed else matrix

    def _factored(self, moments: SecondMoment, falling: bool, damping: float) -> "list[_Part]":
        """Cut the rows by groups, and factor the moments of each."""
        columns = self._weights.shape[1]
        if moments.is_diagonal:
            self._notes.append(f"inputs are one-hot, for which nearest is best{TO_NEAREST}")
            return [_Part(slice(0, self._rows), moments.values, None)]
        if moments.count < columns:
            self._notes.append(
                f"moments of {moments.count} inputs, fewer than the {columns} columns"
            )
        each = moments.values.reshape(-1, columns, columns)
        size = self._rows // len(each)
        parts, without = [], 0
        for i, values in enumerate(each):
            factor = factor_of(values, falling, damping, self._each)
            without += factor is None
            self._damping = max(self._damping, 0.0 if factor is None else factor.damping)
            parts.append(_Part(slice(i * size, (i + 1) * size), values, factor))
        if without:
            some = "" if len(each) == 1 else f"{without} of {len(each)} groups' "
            self._notes.append(f"{some}moments are 0, or have no factor{TO_NEAREST}")
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
            signal=self._signal,
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

    def _squares_of_outputs(self) -> float:
        """Give the mean square of the outputs, summed."""

        def of(part: _Part) -> Floats:
            return part.squares(self._finite_weights(part.rows))

        return float(sum(each.sum() for each in self._each(of, self._pieces)))

    def _round(self, biases: BiasLayout) -> tuple[Array, Floats, NDArray[np.bool_], Floats]:
        """Give codes, the error of each row, whether it is as to nearest, and what nearest has."""
        shape = self._values.shape
        nearest = encode_layout(self._values, self._fmt, biases.values, biases.blocks, shape)
        codes = np.ascontiguousarray(self._as_matrix(nearest))
        full = self._as_matrix(biases.full(shape))
        errors, nearest_errors = np.zeros(self._rows), np.zeros(self._rows)
        kept = np.ones(self._rows, bool)

        def round_piece(part: _Part) -> None:
            rows = part.rows
            of_rows = full[rows] if biases.one is None else biases.one
            decoded = decode_layout(codes[rows], self._fmt, of_rows, None, np.dtype(np.float64))
            losses = np.subtract(self._finite_weights(rows), decoded, out=decoded)
            losses[~self._finite[rows]] = 0
            nearest_errors[rows] = errors[rows] = part.squares(losses)
            del losses, decoded
            if part.factor is None:
                return
            made, error = self._compensated(part, full[rows])
            better = (error < errors[rows]) & self._finite[rows]
            better &= (made != codes[rows]).any(axis=1)
            codes[rows][better] = made[better]
            errors[rows][better] = error[better]
            kept[rows] = ~better

        self._each(round_piece, self._pieces)
        return codes, errors, kept, nearest_errors

    def _compensated(self, part: "_Part", biases: NDArray[np.int16]) -> tuple[Array, Floats]:
        """Round the rows of a part that has a factor; give their codes, and each one's error."""
        assert part.factor is not None
        lower, places, added, _ = part.factor
        shape = biases.shape
        codes = np.empty(shape, self._fmt.storage_dtype)
        errors = np.zeros(shape)  # columns as in the factor
        damped = np.zeros(shape[0])
        for last in range(shape[1], 0, -_PANEL):
            first = max(0, last - _PANEL)
            # what columns after these add to each, times its element of the diagonal
            products = errors[:, last:] @ lower[last:, first:last]
            for stop in range(last, first, -_COLUMNS):
                start = max(first, stop - _COLUMNS)
                product = products[:, start - first : stop - first]
                product += errors[:, stop:last] @ lower[stop:last, start:stop]
                codes[:, places[start:stop]] = self._rounded(
                    part, biases, slice(start, stop), errors, product
                )
            # the errors times the factor, whose square is the error by the damped moments
            damped += np.einsum("ij,ij->i", products, products)
        error = damped - np.einsum("ij,ij,j->i", errors, errors, added)
        cancelled = ~(error >= _CANCELLED * damped)
        if cancelled.any():
            left = np.empty((int(cancelled.sum()), shape[1]))
            left[:, places] = errors[cancelled]
            error[cancelled] = part.squares(left)
        return codes, error

    def _rounded(
        self,
        part: "_Part",
        biases: NDArray[np.int16],
        block: slice,
        errors: Floats,
        product: Floats,
    ) -> Array:
        """Round columns one by one; give their codes, set their errors, and add these to the product."""
        assert part.factor is not None
        columns, corner = part.factor.places[block], part.factor.lower[block, block]
        diagonal = np.diagonal(corner)
        own = errors[:, block]
        np.divide(product, diagonal, out=own)
        codes = np.empty(own.shape, self._fmt.storage_dtype)
        binding.compensate_columns(
            self._fmt._struct,
            self._finite_weights(part.rows, columns),
            biases[:, columns],
            corner / diagonal,
            own,
            codes,
        )
        product += own @ corner
        return codes

    def _finite_weights(self, rows: slice, columns: Any = slice(None)) -> Floats:
        """Give weights as float64, rows that are not finite as zeros."""
        some = np.array(self._weights[rows][:, columns], np.float64, order="C")
        some[~self._finite[rows]] = 0
        return some


class _Part(NamedTuple):
    """Rows whose inputs are the same ones."""

    rows: slice
    moments: Floats
    factor: Factor | None

    def squares(self, x: Floats) -> Floats:
        """Give the mean square of what each row of a matrix makes of the inputs."""
        if self.moments.ndim == 1:
            squares = np.einsum("ij,ij,j->i", x, x, self.moments)
        else:
            squares = np.zeros(len(x))
            for start in range(0, x.shape[1], _PANEL):
                # moments are symmetric: what is above the diagonal is what is below it
                some = x[:, start : start + _PANEL]
                right = self.moments[:, start : start + _PANEL]
                product = x[:, :start] @ right[:start]
                product *= 2
                product += some @ right[start : start + _PANEL]
                squares += np.einsum("ij,ij->i", product, some)
        # an error that is infinite or NaN is worse than any; and rounding makes nothing negative
        return np.where(np.isnan(squares), np.inf, np.maximum(squares, 0))


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
        with no_flags(), np.errstate(all="ignore"), sharing() as each:
            # of whatever format: it is replaced
            self._task = _Task(values, moments, TESLA_FORMATS[0], True, _DAMPING, each)
        self.notes = tuple(self._task._notes)

    def rounded(self, fmt: Format, biases: BiasLayout) -> tuple[CFloatArray, CompensationStats]:
        """Round to a format at biases that are given."""
        with no_flags(), np.errstate(all="ignore"), sharing() as each:
            return self._task.of_format(fmt, each).run(biases, (0,))
