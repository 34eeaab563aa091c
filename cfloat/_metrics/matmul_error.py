"""What a matrix product loses when its operands are rounded: measured, and as their own errors predict it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._array.array import CFloatArray
from cfloat._core import flags
from cfloat._core.arguments import check_not_masked
from cfloat._core.dtypes import real_array
from cfloat._core.float_modes import in_default_modes
from cfloat._core.pieces import pieces
from cfloat._core.public_names import public
from cfloat._matmul.matmul import matmul
from cfloat._matmul.operands import result_shape
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .error import Sums, error

Array = NDArray[Any]

#: About so many elements of an operand, or of the product, are float64 at a time.
PIECE_SIZE: Final = 1 << 19

_ALL: Final = slice(None)


@public
@dataclass(frozen=True)
class MatmulStats:
    """What rounding the operands did to a matrix product.

    Attributes
    ----------
    sqnr_db : float
        Signal to quantisation noise ratio of the product, in dB, as `ErrorStats` has it.
    predicted_db : float
        What the operands' own ratios A and B predict: -10 * log10(10**(-A / 10) + 10**(-B / 10)).
    a_sqnr_db, b_sqnr_db : float
        The operands' own ratios; infinite for an operand that lost nothing.
    """

    sqnr_db: float
    predicted_db: float
    a_sqnr_db: float
    b_sqnr_db: float

    def __str__(self) -> str:
        return (
            f"SQNR {self.sqnr_db:.2f} dB; predicted {self.predicted_db:.2f} dB "
            f"from operands of {self.a_sqnr_db:.2f} and {self.b_sqnr_db:.2f} dB"
        )


@public
@in_default_modes
def matmul_error(a: Any, b: Any, x: ArrayLike, y: ArrayLike) -> MatmulStats:
    """Measure what rounding the operands of a matrix product cost, beside what their own errors predict.

    Parameters
    ----------
    a, b : CFloatArray or array_like
        The rounded operands, as `matmul` takes them.
    x, y : array_like
        The same before rounding, each of the shape of its operand: any floating or integer dtype that
        `encode` takes.

    Returns
    -------
    MatmulStats

    Raises
    ------
    ArgumentTypeError
        If `a` and `b` are not operands of `matmul`, or `x` and `y` not real numbers, or one of them is a
        masked array.
    ArgumentValueError
        If the shapes do not fit.

    See Also
    --------
    matmul : The product.
    error : The same of one tensor.

    Notes
    -----
    The product of `a` and `b` in float32 (docs/spec.md 5.4) is compared with that of `x` and `y` in float64.
    The prediction holds where the errors of the operands are independent of each other and of the values; an
    operand that is exact adds nothing to it.  Elements that are infinite or NaN before rounding are left out,
    as `error` does.  Where nothing is lost, a ratio is infinite, of zeros as well; where it is all lost to
    infinities or NaN, or the product before rounding is all zero and the other is not, -infinite.

    Beside the operands and what a product of their parts takes, a few pieces of 4 MB are in memory.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((2, 200, 200))
    >>> a, b = cf.asarray(x, cf.CFloat8_1_4_3), cf.asarray(y, cf.CFloat8_1_5_2)
    >>> print(cf.matmul_error(a, b, x, y))
    SQNR 24.53 dB; predicted 24.54 dB from operands of 31.47 and 25.52 dB
    """
    if not (isinstance(a, CFloatArray) or isinstance(b, CFloatArray)):
        raise ArgumentTypeError(
            f"a is a {type(a).__name__} and b a {type(b).__name__}; one of them must be a CFloatArray"
        )
    result_shape(np.shape(x), np.shape(y))
    for name, given in zip("abxy", (a, b, x, y), strict=True):
        check_not_masked(name, given)
    rounded = [one if isinstance(one, CFloatArray) else np.asarray(one) for one in (a, b)]
    exact = [real_array("x", x), real_array("y", y)]
    for names, one, other in zip(("a and x", "b and y"), rounded, exact, strict=True):
        if one.shape != other.shape:
            raise ArgumentValueError(
                f"{names} have shapes {one.shape} and {other.shape}; they must agree"
            )
    with flags.no_flags():  # nothing is rounded here
        of_a, of_b = (error(x, q).sqnr_db for x, q in zip(exact, rounded, strict=True))
        return MatmulStats(_measured(rounded, exact), _predicted(of_a, of_b), of_a, of_b)


def _predicted(of_a: float, of_b: float) -> float:
    if -math.inf in (of_a, of_b):
        return -math.inf
    # of the worse one, plus what the other adds: no power of ten leaves the range
    worse, better = sorted((of_a, of_b))
    if math.isinf(worse):
        return math.inf
    return worse - 10.0 * math.log10(1.0 + 10.0 ** ((worse - better) / 10.0))


def _measured(rounded: list[Any], exact: list[Array]) -> float:
    """Return the ratio of the product of rounded operands to that of the exact ones."""
    inner = exact[0].shape[-1]
    sums = Sums()
    (a, b), (x, y) = _as_matrices(rounded), _as_matrices(exact)
    for key in _pieces(result_shape(x.shape, y.shape), inner):
        rows, columns = (*key[:-1], _ALL), (*key[:-2], _ALL, key[-1])
        after = matmul(_part(a, rows), _part(b, columns))
        with np.errstate(all="ignore"):
            before = np.matmul(
                _part(x, rows).astype(np.float64), _part(y, columns).astype(np.float64)
            )
            sums.add(before.reshape(-1), after.astype(np.float64).reshape(-1), None)
    return sums.stats(0, False).sqnr_db


def _as_matrices(operands: list[Any]) -> tuple[Any, Any]:
    first, second = operands
    return (
        first[np.newaxis] if first.ndim == 1 else first,
        second[:, np.newaxis] if second.ndim == 1 else second,
    )


def _pieces(shape: tuple[int, ...], inner: int) -> Iterator[tuple[slice, ...]]:
    """Cut products of a shape into pieces, such that they and both operands have some PIECE_SIZE elements."""
    *stack, rows, columns = shape
    width = max(1, min(columns, PIECE_SIZE // max(inner, 1)))
    size = int(PIECE_SIZE * min(1.0, width / max(inner, 1)))
    if size >= rows * width:  # several matrices, whose second operands count as well
        size = max(rows * width, int(PIECE_SIZE * min(1.0, min(width, rows) / max(inner, 1))))
    for start in range(0, columns, width):
        stop = min(start + width, columns)
        for key in pieces((*stack, rows, stop - start), max(size, 1)):
            first, last, _ = key[-1].indices(stop - start)
            yield *key[:-1], slice(start + first, start + last)


def _part(operand: Any, key: tuple[slice, ...]) -> Any:
    """Return a part of an operand whose stack may broadcast."""
    own = zip(key[len(key) - operand.ndim :], operand.shape, strict=True)
    return operand[tuple(_ALL if length == 1 else part for part, length in own)]
