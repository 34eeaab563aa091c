"""Second moments of a layer's inputs, and the error that they give to the layer's outputs."""

from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._core.arguments import check_not_masked, integer
from cfloat._core.dtypes import real_array
from cfloat._core.float_modes import in_default_modes
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

Array = NDArray[Any]
Floats = NDArray[np.float64]

#: Elements of inputs that are widened to float64 at a time, about.
_PIECE_SIZE: Final = 1 << 22


@public
@dataclass(frozen=True, eq=False)
class SecondMoment:
    """The mean of x·xᵀ over the inputs x of a weight's products.

    Attributes
    ----------
    values : ndarray of float64
        The mean, of shape (n, n); for a convolution in groups (groups, n, n); of one-hot inputs, as those of
        an embedding, its diagonal alone, of shape (rows,): the share of the inputs that each row has.
    count : int
        The number of inputs.
    axis : int
        Where a weight's inputs are: 1 for all its axes but the first, as those of Linear and of convolutions,
        whose first axis is that of outputs; 0 for the first axis, as those of embeddings and of Conv1D.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If a mean is not as above, finite, symmetric, and of a diagonal that is not negative.
    """

    values: Floats
    count: int
    axis: int = 1

    def __post_init__(self) -> None:
        check_not_masked("values", self.values)
        if not isinstance(self.values, np.ndarray) or self.values.dtype != np.float64:
            raise ArgumentTypeError(
                f"values is {shown(self.values)}; it takes an ndarray of float64"
            )
        integer("count", self.count, 1)
        integer("axis", self.axis, 0, 1)
        shape = self.values.shape
        allowed = {0: (1, 2), 1: (2, 3)}[self.axis]
        if len(shape) not in allowed or (len(shape) > 1 and shape[-1] != shape[-2]):
            takes = "(n,) or (n, n)" if self.axis == 0 else "(n, n) or (groups, n, n)"
            raise ArgumentValueError(
                f"values has shape {shape}; with axis {self.axis} it takes {takes}"
            )
        if not self.values.size:
            raise ArgumentValueError(f"values has shape {shape}, and so no elements")
        matrices = self.values.reshape(-1, *shape[-2:]) if len(shape) > 1 else ()
        # one at a time: all of many groups' would take their memory once more
        if not np.isfinite(self.values).all():
            raise ArgumentValueError("values is not finite everywhere")
        if not all(np.array_equal(each, each.T) for each in matrices):
            raise ArgumentValueError("values is not symmetric")
        diagonal = np.diagonal(self.values, axis1=-2, axis2=-1) if len(shape) > 1 else self.values
        if (diagonal < 0).any():
            raise ArgumentValueError("values has a diagonal with negative elements")

    @classmethod
    @in_default_modes
    def of(cls, inputs: ArrayLike, axis: int = 1) -> "SecondMoment":
        """Compute the second moments of inputs, in pieces of float64.

        Parameters
        ----------
        inputs : array_like, shape (..., n)
            Inputs of a weight of n columns; of a convolution those of each product, all the elements that one
            output is the sum of.
        axis : {1, 0}, optional
            Where the weight's inputs are, as of this class.

        Raises
        ------
        ArgumentTypeError, ArgumentValueError
            If inputs are not real numbers, are none, or are not finite everywhere.

        Examples
        --------
        >>> import numpy as np
        >>> import cfloat as cf
        >>> cf.SecondMoment.of(np.array([[1.0, 2.0], [3.0, 0.0]])).values
        array([[5., 1.],
               [1., 2.]])
        """
        check_not_masked("inputs", inputs)
        x = real_array("inputs", inputs)
        if not x.ndim or not x.size:
            raise ArgumentValueError(
                f"inputs have shape {x.shape}; it takes (..., n), none of them 0"
            )
        with np.errstate(all="ignore"):
            total = _sum_of_products(x.reshape(-1, x.shape[-1]))
            if not np.isfinite(total + total.T).all():
                raise ArgumentValueError(
                    "inputs are not finite everywhere, or their squares are not"
                )
            return moment_of_sum(total, x.size // x.shape[-1], axis)

    @property
    def is_diagonal(self) -> bool:
        """Whether inputs are one-hot."""
        return self.values.ndim == 1

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Say why this is of no weight of a shape; None if it is."""
        length, groups = self.values.shape[-1], 1
        if self.values.ndim == 3:
            groups = self.values.shape[0]
        inputs = shape[:1] if self.axis == 0 else shape[1:]
        if len(shape) > 1 and prod(inputs) == length and shape[0] % max(groups, 1) == 0:
            return None
        along = "the first axis" if self.axis == 0 else "the axes after the first"
        some = "" if groups == 1 else f" in {groups} groups"
        return (
            f"moments of {length} inputs{some} along {along} do not fit a weight of shape {shape}"
        )

    def square(self, x: Floats, start: int, rows: int) -> float:
        """Give the mean square of the outputs, summed over a piece of a weight, or of its error.

        Parameters
        ----------
        x : ndarray of float64, shape (n, ...)
            Rows of the weight: all of them, if inputs are along the first axis and not one-hot.
        start : int
            The first of them.
        rows : int
            The rows of all of the weight.
        """
        matrix = x.reshape(x.shape[0], -1)
        if self.is_diagonal:
            squares = np.einsum("ij,ij->i", matrix, matrix)
            return float(self.values[start : start + len(matrix)] @ squares)
        if self.axis == 0:
            return _inner(self.values @ matrix, matrix)
        if self.values.ndim == 2:
            return _inner(matrix @ self.values, matrix)
        each = rows // len(self.values)
        total = 0.0
        for group in range(start // each, -(-(start + len(matrix)) // each)):
            part = matrix[max(0, group * each - start) : (group + 1) * each - start]
            total += _inner(part @ self.values[group], part)
        return total


def _inner(a: Floats, b: Floats) -> float:
    # the mean of squares, whose rounding may not make it negative
    return max(0.0, float(np.vdot(a, b)))


def matrix_moment(inputs: ArrayLike, axis: int = 1) -> SecondMoment:
    """Compute the second moments of inputs along their last axis, in pieces.

    Parameters
    ----------
    inputs : array_like, shape (..., n)
        The inputs.
    axis : int
        Where the weight's inputs are, as of `SecondMoment`.
    """
    x = np.asarray(inputs)
    x = x.reshape(-1, x.shape[-1])
    return moment_of_sum(_sum_of_products(x), len(x), axis)


def _sum_of_products(x: Array) -> Floats:
    total = np.zeros((x.shape[1], x.shape[1]))
    step = max(1, _PIECE_SIZE // max(1, x.shape[1]))
    for start in range(0, len(x), step):
        piece = x[start : start + step].astype(np.float64)
        total += piece.T @ piece
    return total


def moment_of_sum(total: Floats, count: int, axis: int = 1) -> SecondMoment:
    """Make a moment of a sum of x·xᵀ, which rounding may have left a bit beside symmetry."""
    if total.ndim == 1:
        return SecondMoment(total / count, count, axis)
    # sums may be large: no third copy of them
    mean = total + np.swapaxes(total, -1, -2)
    mean /= 2 * count
    return SecondMoment(mean, count, axis)


def row_moment(rows: ArrayLike, length: int) -> SecondMoment:
    """Count how often each row of an embedding is asked for.

    Parameters
    ----------
    rows : array_like of int
        The rows that are asked for.
    length : int
        How many rows there are.
    """
    flat = np.asarray(rows).reshape(-1)
    if flat.size and not 0 <= flat.min() <= flat.max() < length:
        raise ArgumentValueError(
            f"inputs are rows {flat.min()} to {flat.max()}; an embedding of {length} has 0 to {length - 1}"
        )
    counts = np.bincount(flat.astype(np.int64), minlength=length)
    return SecondMoment(counts / flat.size, flat.size, 0)
