"""Error statistics: what a tensor lost when it was rounded."""

import math
from dataclasses import dataclass
from typing import Any, Final, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._array.array import CFloatArray
from cfloat._bias.masked import mask_of
from cfloat._bias.round_to import round_to
from cfloat._core import binding
from cfloat._core.dtypes import fits_float32, real_array
from cfloat._core.finfo import largest_and_normal
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.pieces import PIECE_SIZE, pieces
from cfloat._core.presets import as_format
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat.errors import ArgumentValueError

from .exact_sums import UNIT, cosine, quotient
from .sqnr import sqnr_db
from .wide_integers import Low, difference, float64_parts

Array = NDArray[Any]
Floats = NDArray[np.float64]

#: A format's largest value and its smallest normal number, at a bias; None without a format.
Limits = tuple[float, float] | None

_NO_LIMITS: Final = (math.inf, 0.0)

# Elements that the core reads at a time where they are its own: few enough for Ctrl-C to be heard.
_AT_ONCE: Final = 1 << 24

_SUMS: Final = ("signal", "noise", "product", "rounded")


@public
@dataclass(frozen=True)
class ErrorStats:
    """What rounding did to the finite elements of a tensor.

    Attributes
    ----------
    size : int
        Number of elements, finite or not; of masked arrays, of those that are not masked.
    nonfinite : int
        Number of elements that are infinite or NaN before rounding; they are left out of all that follows.
    sqnr_db : float
        Signal to quantisation noise ratio, 10 * log10(sum(x**2) / sum((q - x)**2)), in dB; infinite if
        nothing was lost, -infinite if a finite element became infinite or NaN.
    mse : float
        Mean squared error.
    max_abs : float
        Largest absolute error.
    max_rel : float
        Largest relative error of a non-zero element; an element that became zero has 1.
    cosine : float
        Cosine similarity of the tensors as vectors; NaN if one of them is all zero.
    saturated : float
        Share of elements, 0 to 1, beyond the format's largest finite value; NaN if no format was given.
    underflowed : float
        Share of elements that were not zero and became zero.
    subnormal : float
        Share of elements that became subnormal numbers; NaN if no format was given.
    """

    size: int
    nonfinite: int
    sqnr_db: float
    mse: float
    max_abs: float
    max_rel: float
    cosine: float
    saturated: float
    underflowed: float
    subnormal: float


@public
@in_default_modes
def error(
    x: ArrayLike, q: ArrayLike, fmt: Format | str | None = None, bias: SupportsIndex | None = None
) -> ErrorStats:
    """Measure the error of a rounded tensor.

    Parameters
    ----------
    x : array_like
        The values before rounding: any floating or integer dtype that `encode` takes.
    q : array_like or CFloatArray
        The values after rounding, of the same shape.  What a masked array masks, this or `x`, is left out.
    fmt : Format or str, optional
        The format of `q`, without which the shares of saturated and subnormal elements are unknown.  A
        CFloatArray brings format and bias with it; if its biases differ, those shares are unknown.
    bias : int, optional
        The exponent bias of `q`; if None, its own, or the format's default bias.

    Returns
    -------
    ErrorStats

    Raises
    ------
    ArgumentTypeError
        If `x` or `q` are not real numbers, or `fmt` is neither a Format nor a name.
    ArgumentValueError
        If their shapes differ, `bias` is not allowed by the format, or `fmt` or `bias` is not what a
        CFloatArray `q` has.

    Notes
    -----
    Differences, of the exact values, and squares are rounded to float64's 53 bits, with no limit of
    exponents.  Their sums are exact: neither the order of the elements nor the parts that a tensor comes in
    matter.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> x = np.random.default_rng(0).standard_normal(100_000)
    >>> stats = cf.error(x, cf.round_to(x, cf.CFloat8_1_4_3), cf.CFloat8_1_4_3)
    >>> round(stats.sqnr_db, 1), stats.saturated
    (31.5, 0.0)
    """
    known = None if fmt is None else as_format(fmt)
    if isinstance(q, CFloatArray):
        known, bias = own_format(q, known, bias)
        before, after = real_array("x", x), q.__array__()
    else:
        before, after = real_array("x", x), real_array("q", q)
    if before.shape != after.shape:
        raise ArgumentValueError(f"x has shape {before.shape} and q {after.shape}; they must agree")
    if known is None and bias is not None:
        raise ArgumentValueError(f"bias is {shown(bias)}, of no format; give fmt as well")
    limits = None if known is None else largest_and_normal(known, bias)
    before, after = without_masked(before, after, mask_of(x), mask_of(q))
    return sums_of(before, after, limits).stats(before.size, limits is not None)


def without_masked(
    x: NDArray[Any], q: NDArray[Any], *masks: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the elements of both arrays that no mask, of the same shape, leaves out."""
    given = [mask for mask in masks if mask is not None]
    if not given:
        return x, q
    present = ~np.logical_or.reduce(given)
    return x[present], q[present]


@in_default_modes
def sums_of(x: NDArray[Any], q: NDArray[Any], limits: Limits) -> "Sums":
    """Give the sums of a tensor, or a part of one, before and after rounding: of any real dtypes."""
    before, after = x.reshape(-1), q.reshape(-1)
    if is_exact(before) and is_exact(after):  # nothing is left to compute with NumPy
        if before.size <= _AT_ONCE:
            return Sums(*binding.exact_errors(before, after, None, *(limits or _NO_LIMITS)))
        sums = Sums()
        for piece in pieces(before.shape, _AT_ONCE):
            sums.add(before[piece], after[piece], limits)
        return sums
    sums = Sums()
    with np.errstate(all="ignore"):
        for piece in pieces(before.shape):
            sums.add_of(before[piece], after[piece], limits)
    return sums


def is_exact(x: Array) -> bool:
    """Tell whether the core reads an array for exact sums as it is."""
    flags = x.flags
    return x.dtype in binding.EXACT_TYPES and flags.c_contiguous and flags.aligned


@in_default_modes
def sums_of_rounding(x: NDArray[Any], fmt: Format, bias: int) -> "Sums":
    """Give the sums of an array, shape (n,), of any real dtype, and of what it is rounded to.

    Those of values that float32 holds are exact but for a part in 2**40: float64 adds up each piece.
    """
    is_float32 = fits_float32(x.dtype)
    limits = largest_and_normal(fmt, bias)

    def of_float32(part: Array) -> Sums:
        if part.dtype != np.float32 or not is_exact(part):
            part = np.require(part, np.float32, ("C", "A"))
        return Sums.of_rounding(binding.rounding_errors(fmt._struct, bias, part))

    if is_float32 and x.size <= PIECE_SIZE:
        return of_float32(x)
    sums = Sums()
    with np.errstate(all="ignore"):
        for piece in pieces(x.shape):
            part = x[piece]
            if is_float32:
                sums.merge(of_float32(part))
            else:
                rounded = round_to(part, fmt, bias)
                sums.add_of(part, rounded, limits)
    return sums


def own_format(
    q: CFloatArray, fmt: Format | None, bias: SupportsIndex | None
) -> tuple[Format | None, int | None]:
    """Return an array's format and bias, or neither if its biases differ; those given must be these."""
    if fmt is not None and fmt != q.format:
        raise ArgumentValueError(f"fmt is {shown(fmt)}, and q has {shown(q.format)}")
    found = q.bias
    if bias is None and type(found) is int:
        return q.format, found
    own = np.unique(np.asarray(found))
    if bias is not None and np.any(own != q.format.check_bias(bias)):
        has = int(own[0]) if own.size == 1 else f"biases from {own[0]} to {own[-1]}"
        raise ArgumentValueError(f"bias is {shown(bias)}, and q has {has}")
    return (q.format, int(own[0])) if own.size == 1 else (None, None)


@dataclass
class Sums:
    """Sums over the pieces of a tensor: exact ones, so that pieces can be any and come in any order.

    Those of squares and products are integers in units of ``2**-UNIT``: `signal` of the squares of values,
    `noise` of those of errors, `rounded` of those of rounded values, `product` of values times rounded ones.
    `finite`, `overflowed`, `saturated`, `underflowed` and `subnormal` count elements: those that are finite
    before rounding, and of these those that are infinite or NaN after it, and as `ErrorStats` has them.
    """

    signal: int = 0
    noise: int = 0
    product: int = 0
    rounded: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    finite: int = 0
    overflowed: int = 0
    saturated: int = 0
    underflowed: int = 0
    subnormal: int = 0

    @classmethod
    def of_rounding(cls, found: binding.RoundingStats) -> "Sums":
        """Give the sums that the core added up."""
        sums, others = found[: len(_SUMS)], found[len(_SUMS) :]
        ratios = [each.as_integer_ratio() for each in sums]
        # denominators are powers of two, and none is above that of the unit
        return cls(*(n << UNIT + 1 - d.bit_length() for n, d in ratios), *others)

    def add_of(self, x: NDArray[Any], q: NDArray[Any], limits: Limits) -> None:
        """Add a piece: arrays of one axis, of any real dtypes."""
        before, x_low = (x, None) if is_exact(x) else float64_parts(x)
        after, q_low = (q, None) if is_exact(q) else float64_parts(q)
        self.add(before, after, limits, x_low, q_low)

    def add(self, x: Array, q: Array, limits: Limits, x_low: Low = None, q_low: Low = None) -> None:
        """Add a piece: arrays of one axis that are `is_exact`, and what float64 has lost of them."""
        if x.size == 0:
            return
        off = None if x_low is None and q_low is None else difference(q, q_low, x, x_low)
        largest, normal = limits or _NO_LIMITS
        self.merge(binding.exact_errors(x, q, off, largest, normal))
        if x_low is not None:  # a part of what float64 has not, beyond the largest
            beyond = (np.abs(x) == largest) & (np.sign(x_low) == np.sign(x))
            self.saturated += int(np.count_nonzero(beyond))

    def merge(self, other: "Sums | binding.ExactErrors") -> None:
        """Add the sums of other pieces."""
        self.signal += other.signal
        self.noise += other.noise
        self.product += other.product
        self.rounded += other.rounded
        self.max_abs = max(self.max_abs, other.max_abs)
        self.max_rel = max(self.max_rel, other.max_rel)
        self.finite += other.finite
        self.overflowed += other.overflowed
        self.saturated += other.saturated
        self.underflowed += other.underflowed
        self.subnormal += other.subnormal

    def stats(self, size: int, has_format: bool) -> ErrorStats:
        """Return the statistics of all that was added."""
        count = self.finite
        has_cosine = self.signal > 0 and self.rounded > 0 and not self.overflowed
        stats: ErrorStats = object.__new__(ErrorStats)
        # a frozen class would set its attributes one by one, which takes three times as long
        stats.__dict__.update(
            size=size,
            nonfinite=size - count,
            sqnr_db=sqnr_db(self.signal, math.inf if self.overflowed else self.noise),
            mse=math.inf if self.overflowed else quotient(self.noise, max(count, 1) << UNIT),
            max_abs=self.max_abs,
            max_rel=self.max_rel,
            cosine=cosine(self.product, self.signal, self.rounded) if has_cosine else math.nan,
            saturated=_share(self.saturated, count) if has_format else math.nan,
            underflowed=_share(self.underflowed, count),
            subnormal=_share(self.subnormal, count) if has_format else math.nan,
        )
        return stats


def _share(count: int, size: int) -> float:
    return count / size if size else 0.0
