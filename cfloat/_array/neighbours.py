"""The neighbours of a format's values, and how far away they are: `nextafter` and `spacing`."""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._core import flags
from cfloat._core.code_order import CodeOrder, Codes, code_order, is_looked_up, looked_up
from cfloat._core.dtypes import real_array
from cfloat._core.float_modes import in_default_modes
from cfloat._core.pieces import pieces
from cfloat._core.public_names import public
from cfloat.errors import ArgumentTypeError

from .array import CFloatArray
from .same_format import PIECE_SIZE, in_pieces, in_shape

#: From this size on, functions of a code and one bias are looked up.
_LEAST_LOOKED_UP: Final = 1 << 12


@public
@in_default_modes
def nextafter(a: CFloatArray, towards: ArrayLike) -> CFloatArray:
    """Give the next values of an array's own format in a direction.

    It is `numpy.nextafter`, in the array's format; NumPy's on a `CFloatArray` is this function
    (docs/spec.md 5.10).

    Parameters
    ----------
    a : CFloatArray
        The values.
    towards : array_like
        Real numbers, or a CFloatArray of any format, which broadcast with `a`: towards which the next value
        is asked for.

    Returns
    -------
    CFloatArray
        Of the format of `a`, and of its biases, of the shape to which both broadcast.

    Raises
    ------
    ArgumentTypeError
        If `a` is not a CFloatArray, or `towards` not real numbers.
    ValueError
        If shapes do not broadcast.

    See Also
    --------
    spacing : How far away the next value is.

    Notes
    -----
    The next value is that of the next code: across the hole of the whitepaper's reading of subnormals, and
    from 0 to the smallest normal number where subnormals are flushed.  From ±0 it is the smallest positive or
    negative value.  Where there is no infinity the largest value stays as it is, where there are no negative
    numbers 0 does, and in a format without zero its smallest value.  NaN gives NaN; NaN in `towards` does
    too, or the largest value in a format without NaN, as everywhere.  What is equal to `towards` stays as it
    is; of zeros, the sign is that of `towards`, as IEEE 754 and C have it.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> a = cf.asarray([1.0, 480.0, -2.5], cf.CFloat8_1_4_3)
    >>> cf.nextafter(a, np.inf)
    CFloatArray([  1.125, 480.   ,  -2.25 ], CFloat8_1_4_3, bias=7)
    >>> cf.nextafter(a, [0, 0, -2.5])
    CFloatArray([  0.9375, 448.    ,  -2.5   ], CFloat8_1_4_3, bias=7)
    """
    _check("a", a)
    if isinstance(towards, CFloatArray):
        with flags.no_flags():
            other: NDArray[Any] = towards._decode()
    else:
        if isinstance(towards, np.ndarray) and type(towards) is not np.ndarray:
            raise ArgumentTypeError(
                f"towards is a {type(towards).__name__}; it takes numbers, an ndarray or a CFloatArray"
            )
        other = _comparable(real_array("towards", towards))
    a = in_shape(a, np.broadcast_shapes(a.shape, other.shape))
    order, codes = code_order(a.format), a._native()
    if other.ndim == 0 and np.isinf(other):
        found = _stepped(order, codes, bool(other > 0))
    elif other.ndim == 0 and _is_table(a):
        every = _every_code(a)
        found = looked_up(_towards(every, np.broadcast_to(other, every.shape)), codes)
    elif a.size <= PIECE_SIZE:
        found = _towards(a, np.broadcast_to(other, a.shape))
    else:
        found = np.empty(a.shape, a.format.storage_dtype)
        other = np.broadcast_to(other, a.shape)
        for key in pieces(a.shape, PIECE_SIZE):
            found[key] = _towards(a[key], other[key])
    return CFloatArray._of(found, a.format, a._biases)


@public
@in_default_modes
def spacing(a: CFloatArray) -> NDArray[np.float32]:
    """Give the distance of values to the next larger magnitude of their own format.

    It is `numpy.spacing`, in the array's format; NumPy's on a `CFloatArray` is this function
    (docs/spec.md 5.11).

    Parameters
    ----------
    a : CFloatArray
        The values.

    Returns
    -------
    ndarray of float32
        Exact distances, all positive: NumPy's own, of float32, have the sign of the value.  Of the largest
        value it is the distance to the next smaller one.  NaN for NaN and infinities.

    Raises
    ------
    ArgumentTypeError
        If `a` is not a CFloatArray.

    See Also
    --------
    nextafter : The next value itself.

    Examples
    --------
    >>> import cfloat as cf
    >>> a = cf.asarray([1.0, -2.5, 480.0], cf.CFloat8_1_4_3)
    >>> cf.spacing(a)
    array([ 0.125,  0.25 , 32.   ], dtype=float32)

    Above the largest subnormal number of the whitepaper's reading there is a hole:

    >>> b = cf.asarray([6 / 8, 7 / 8, 2.0], cf.CFloat8_1_4_3, bias=0)
    >>> cf.spacing(b)
    array([0.125, 1.125, 0.25 ], dtype=float32)
    """
    _check("a", a)
    codes = a._native()
    with flags.no_flags():
        if _is_table(a):
            every = _every_code(a)
            return looked_up(_distances(every, every.codes), codes)
        if a.size <= PIECE_SIZE:
            return _distances(a, codes)
        found = np.empty(a.shape, np.float32)
        for key in pieces(a.shape, PIECE_SIZE):
            found[key] = _distances(a[key], codes[key])
    return found


def _check(name: str, a: object) -> None:
    if not isinstance(a, CFloatArray):
        raise ArgumentTypeError(f"{name} is a {type(a).__name__}; it takes a CFloatArray")


def _comparable(x: NDArray[Any]) -> NDArray[Any]:
    """Give real numbers in a dtype that is compared with float32, none of them rounded."""
    if x.dtype.kind == "b":
        return x.astype(np.float32)
    if x.dtype.kind in "iu":
        return x if x.dtype.itemsize == 8 else x.astype(np.float64)
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)


def _compared(x: NDArray[np.float32], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tell where y is larger than x, and where smaller: numbers as `_comparable` gives them."""
    if y.dtype.kind not in "iu":
        return y > x, y < x
    # float64 holds both halves of an integer of 64 bits, and what is taken off a float32
    high = np.floor(x * np.float64(2.0**-32))
    low = x - high * 2.0**32
    y_high, y_low = (y >> 32).astype(np.float64), (y & 0xFFFFFFFF).astype(np.float64)
    same = y_high == high
    return (y_high > high) | (same & (y_low > low)), (y_high < high) | (same & (y_low < low))


def _towards(a: CFloatArray, other: NDArray[Any]) -> Codes:
    """Give the codes next to those of an array, towards numbers of its shape."""
    order, codes = code_order(a.format), a._native()
    with flags.no_flags():
        values = a._decode()
    with np.errstate(invalid="ignore"):
        more, less = _compared(values, other)
    if is_looked_up(codes):
        up, down = looked_up(order.next_up, codes), looked_up(order.next_down, codes)
        found = np.where(more, up, np.where(less, down, codes))
    else:
        found = np.where(more | less, order.next(codes, more), codes)
    if a.format.signed and order.has_zero and not order.minus_zero_is_nan:
        zeros = ~(more | less) & (values == 0) & (other == 0)
        if zeros.any():
            found = np.where(zeros, np.signbit(other) * order.sign, found)
    if other.dtype.kind == "f" and (nan := np.isnan(other)).any():
        found = np.where(nan & ~order.are_nan(codes), order.nan, found)
    return found


def _stepped(order: CodeOrder, codes: Codes, up: bool) -> Codes:
    """Give the codes next to others, all in one direction."""
    if is_looked_up(codes):
        return looked_up(order.next_up if up else order.next_down, codes)
    return in_pieces(lambda part: order.next(part, np.bool_(up)), [codes])


def _distances(a: CFloatArray, codes: Codes) -> NDArray[np.float32]:
    low, high, none = code_order(a.format).gap(codes)
    low, high = (
        CFloatArray._of(np.asarray(each), a.format, a._biases)._decode() for each in (low, high)
    )
    return np.asarray(np.where(none, np.float32(np.nan), high - low))


def _is_table(a: CFloatArray) -> bool:
    """Whether a function of an array's values is looked up by code."""
    return a._biases.one is not None and a.itemsize == 1 and a.size >= _LEAST_LOOKED_UP


def _every_code(a: CFloatArray) -> CFloatArray:
    """Give 256 codes at an array's one bias: all, and for those that its format lacks others."""
    codes = np.arange(256, dtype=np.uint8) & np.uint8((1 << a.format.bits) - 1)
    return CFloatArray._of(codes, a.format, a._biases)
