"""Arrays made of values: `asarray` and `array`; and of a shape: `zeros`, `ones`, `empty` and `full`."""

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._bias.bias_layout import Axis, check_layout
from cfloat._bias.masked import mask_of
from cfloat._convert.by_layout import encode_layout
from cfloat._core.dtypes import real_array
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.public_names import public
from cfloat._core.rounding import RoundingMode, StochasticVariant, check_rounding
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .array import CFloatArray, check_has_zero, encoded, layout_for

Array = NDArray[Any]
Shape = SupportsIndex | tuple[SupportsIndex, ...]


@public
def asarray(
    x: Any,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    random_bits: ArrayLike | None = None,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
) -> CFloatArray:
    """Round values into a format: a `CFloatArray` of their shape.

    Parameters
    ----------
    x : array_like
        Values as in `encode`, or a CFloatArray; one that has the format and the biases
        already is returned as it is.  What a masked array masks is rounded as all else, and the mask is lost;
        but biases are chosen without it.
    fmt : Format or str
        The format, or its name.
    bias : int, array_like of int, or {"mse", "max", "percentile", "mx"}, optional
        One bias, or an array that broadcasts to the shape of `x`; or how `choose_bias` is to choose it, for
        all of `x` or as `axis` or `block` say.  The format's default if None.
    axis : int or tuple of int, optional
        The axis whose slices have a bias each: `bias` has one axis, of that length.  With `block`, what
        blocks run along: an axis, or adjacent ones, ascending, which count as one in row-major order.
    block : int, optional
        The number of consecutive elements along the last axis, or along `axis`, that share a bias: `bias` has
        the shape of `x` with the number of blocks, the last of which may be shorter, in place of the length
        of that axis, or of the lengths of those axes; or a shape that broadcasts to it.
    rounding, seed, offset, random_bits, stochastic_bits, stochastic_variant
        As in `encode`.

    Returns
    -------
    CFloatArray

    Raises
    ------
    ArgumentTypeError, ArgumentValueError, FlagError
        As `encode`, or if `axis` or `block` do not fit the shape.

    See Also
    --------
    array : The same, and always a copy.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.asarray([1.0, 2.7], cf.CFloat8_1_4_3)
    CFloatArray([1.  , 2.75], CFloat8_1_4_3, bias=7)
    >>> cf.asarray([[100.0, 200.0], [0.5, 1.1]], cf.CFloat8_1_4_3, bias=[4, 8], axis=0)
    CFloatArray([[ 96.   , 192.   ],
                 [  0.5  ,   1.125]], CFloat8_1_4_3, bias=[[4], [8]])
    >>> cf.asarray([[100.0, 200.0], [0.5, 1.1]], cf.CFloat8_1_4_3, bias="max", axis=0).bias
    array([[ 8],
           [15]], dtype=int16)

    A convolution's weight has its products' sums along all axes but the first:

    >>> import numpy as np
    >>> w = np.random.default_rng(0).standard_normal((64, 16, 3, 3))
    >>> cf.asarray(w, cf.CFloat8_1_4_3, "max", axis=(1, 2, 3), block=32).bias.shape  # 16 * 3 * 3 / 32
    (64, 5)
    """
    fmt = as_format(fmt)
    if isinstance(x, CFloatArray):
        return x._in_format(
            fmt, bias, axis, block, rounding, seed=seed, offset=offset, random_bits=random_bits,
            stochastic_bits=stochastic_bits, stochastic_variant=stochastic_variant,
        )  # fmt: skip
    x = _readable(x)
    values = real_array("x", x)
    biases = layout_for(x if mask_of(x) is not None else values, fmt, bias, axis, block)
    how = check_rounding(
        rounding, values.shape, seed, offset, random_bits, stochastic_bits, stochastic_variant
    )
    return encoded(values, fmt, biases, how)


@public
def array(
    x: Any,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    random_bits: ArrayLike | None = None,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
) -> CFloatArray:
    """Round values into a new array of a format: `asarray`, but for a copy of what has the format already.

    Parameters
    ----------
    x, fmt, bias, axis, block, rounding, seed, offset, random_bits, stochastic_bits, stochastic_variant
        As in `asarray`.

    Returns
    -------
    CFloatArray
        One that shares no memory with `x`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError, FlagError
        As `asarray`.

    See Also
    --------
    asarray : Without a copy where none is needed.

    Examples
    --------
    >>> import cfloat as cf
    >>> a = cf.array([1.0, 2.7], "CFloat8_1_4_3")
    >>> b = cf.array(a, a.format)
    >>> b[0] = 5.0
    >>> a, b
    (CFloatArray([1.  , 2.75], CFloat8_1_4_3, bias=7), CFloatArray([5.  , 2.75], CFloat8_1_4_3, bias=7))
    """
    made = asarray(
        x, fmt, bias, axis=axis, block=block, rounding=rounding, seed=seed, offset=offset,
        random_bits=random_bits, stochastic_bits=stochastic_bits, stochastic_variant=stochastic_variant,
    )  # fmt: skip
    if made is not x:
        return made
    return CFloatArray._of(made._codes.copy("K"), made._format, made._biases)


@public
def zeros(
    shape: Shape,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
) -> CFloatArray:
    """Make an array of zeros.

    Parameters
    ----------
    shape : int or tuple of int
        The shape.
    fmt : Format or str
        The format, or its name.
    bias : int or array_like of int, optional
        The exponent bias, or biases, as in `asarray`; the format's default if None.
    axis : int or tuple of int, optional
        As in `asarray`.
    block : int, optional
        As in `asarray`.

    Returns
    -------
    CFloatArray

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If it is no shape, `fmt` no format or one without zero, or biases are not allowed by it or do not
        fit the shape.

    Notes
    -----
    `numpy.zeros_like` takes shape, format and biases from another array.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.zeros(3, cf.CFloat8_1_5_2, bias=20)
    CFloatArray([0., 0., 0.], CFloat8_1_5_2, bias=20)
    """
    fmt = check_has_zero(as_format(fmt))
    # the code 0 is the value 0, whatever the bias
    return _of_shape(np.zeros, shape, fmt, bias, axis, block)


@public
def ones(
    shape: Shape,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
) -> CFloatArray:
    """Make an array of ones, each rounded into the format.

    Parameters
    ----------
    shape : int or tuple of int
        The shape.
    fmt : Format or str
        The format, or its name.
    bias : int or array_like of int, optional
        The exponent bias, or biases, as in `asarray`; the format's default if None.
    axis : int or tuple of int, optional
        As in `asarray`.
    block : int, optional
        As in `asarray`.

    Returns
    -------
    CFloatArray
        Where 1 is not a value of the format at the bias, of what 1 is rounded to.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If it is no shape, `fmt` no format, or biases are not allowed by it or do not fit the shape.

    See Also
    --------
    full : Of any other value.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.ones((2, 2), "CFloat8_1_4_3")
    CFloatArray([[1., 1.],
                 [1., 1.]], CFloat8_1_4_3, bias=7)

    At a bias of 60 the largest value is below 1:

    >>> cf.ones(2, cf.CFloat8_1_4_3, bias=60)
    CFloatArray([5.3290705e-14, 5.3290705e-14], CFloat8_1_4_3, bias=60)
    """
    return full(shape, 1, fmt, bias, axis=axis, block=block)


@public
def empty(
    shape: Shape,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
) -> CFloatArray:
    """Make an array that is yet to be written to.

    Parameters
    ----------
    shape : int or tuple of int
        The shape.
    fmt : Format or str
        The format, or its name.
    bias : int or array_like of int, optional
        The exponent bias, or biases, as in `asarray`; the format's default if None.
    axis : int or tuple of int, optional
        As in `asarray`.
    block : int, optional
        As in `asarray`.

    Returns
    -------
    CFloatArray
        Of any codes of the format.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If it is no shape, `fmt` no format, or biases are not allowed by it or do not fit the shape.

    See Also
    --------
    zeros : Of zeros.

    Examples
    --------
    >>> import cfloat as cf
    >>> a = cf.empty((2, 3), cf.CFloat16_SHP)
    >>> a[...] = 1.5
    >>> a
    CFloatArray([[1.5, 1.5, 1.5],
                 [1.5, 1.5, 1.5]], CFloat16_SHP, bias=15)
    """
    fmt = as_format(fmt)
    # what memory happens to hold is a code only where every pattern of its bits is
    return _of_shape(np.empty if fmt._fills_storage else np.zeros, shape, fmt, bias, axis, block)


@public
def full(
    shape: Shape,
    value: ArrayLike,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
) -> CFloatArray:
    """Make an array of one value, rounded into the format.

    Parameters
    ----------
    shape : int or tuple of int
        The shape.
    value : float or array_like
        The value, or values that broadcast to the shape; rounded as by `asarray`, to nearest, ties to even.
    fmt : Format or str
        The format, or its name.
    bias : int or array_like of int, optional
        The exponent bias, or biases, as in `asarray`; the format's default if None.
    axis : int or tuple of int, optional
        As in `asarray`.
    block : int, optional
        As in `asarray`.

    Returns
    -------
    CFloatArray

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If it is no shape, `fmt` no format, or biases are not allowed by it or do not fit the shape, or
        if `value` is not of real numbers, or does not broadcast to it.

    Notes
    -----
    `numpy.full_like` takes shape, format and biases from another array.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.full(3, 2.7, cf.CFloat8_1_4_3)
    CFloatArray([2.75, 2.75, 2.75], CFloat8_1_4_3, bias=7)
    >>> cf.full((2, 2), 200, cf.CFloat8_1_4_3, bias=[4, 9], axis=0)
    CFloatArray([[192., 192.],
                 [120., 120.]], CFloat8_1_4_3, bias=[[4], [9]])
    """
    made = _of_shape(np.empty, shape, fmt, bias, axis, block)
    values = real_array("value", _readable(value))
    try:
        spread = np.broadcast_to(values, made.shape)
    except ValueError:
        raise ArgumentValueError(
            f"value has shape {values.shape}, which does not broadcast to {made.shape}"
        ) from None
    biases = made._biases
    encode_layout(spread, made._format, biases.values, biases.blocks, made.shape, out=made._codes)
    return made


def _of_shape(
    make: Any,
    shape: Shape,
    fmt: Format | str,
    bias: ArrayLike | None,
    axis: Axis | None,
    block: SupportsIndex | None,
) -> CFloatArray:
    """Make an array whose codes one of NumPy's functions makes, given their shape and dtype."""
    fmt = as_format(fmt)
    try:
        codes: Array = make(shape, fmt.storage_dtype)
    except TypeError:
        raise ArgumentTypeError(
            f"shape is {shown(shape)}; it takes an integer or a tuple of integers"
        ) from None
    except ValueError as error:  # negative, or too many axes or elements
        raise ArgumentValueError(f"shape is {shown(shape)}: {error}") from None
    return CFloatArray._of(codes, fmt, check_layout(fmt, bias, codes.shape, axis, block))


def _readable(x: Any) -> Any:
    """Give what NumPy reads of a tensor of a library that knows DLPack alone; anything else as it is."""
    if type(x) is np.ndarray:
        return x
    if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
        return np.from_dlpack(x)
    return x
