"""`choose_bias`: the exponent bias for a tensor, or one for each slice or block of it."""

from collections.abc import Sequence
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._convert.by_layout import BlockLayout
from cfloat._core import binding
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.public_names import public

from .bias_layout import Axis, check_axis, check_blocks
from .bias_methods import BiasMethod, check_method, check_percentile
from .masked import present_values, with_nothing_masked
from .peak import bias_of_peak, largest_magnitude
from .percentile import bias_of_percentile
from .squared_errors import best_bias

Array = NDArray[Any]
BiasArray: TypeAlias = NDArray[np.int16]


@public
@in_default_modes
def choose_bias(
    x: ArrayLike,
    fmt: Format | str,
    method: BiasMethod = "mse",
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    percentile: float = 99.9,
) -> int | BiasArray:
    """Choose the exponent bias for a tensor, or one for each slice or block of it.

    Parameters
    ----------
    x : array_like
        Values of a dtype that `encode` takes.  Infinities and NaN are left out, and so is what a masked array
        masks.
    fmt : Format or str
        The format, or its name.
    method : {"mse", "max", "percentile", "mx"}, optional
        "mse": the bias of the least sum of squared errors under rounding to nearest; among equally good ones
        that nearest the format's default.  "max": the largest bias at which no element is beyond the format's
        largest value.  "percentile": the largest at which so many per cent of the elements are not.  "mx":
        OCP MX's rule, the largest exponent field less ``floor(log2(max(abs(x))))``: the largest element comes
        into the last binade, where it may be beyond the largest value.
    axis : int or tuple of int, optional
        Choose a bias for each slice along this axis; or with `block`, what blocks run along, as in `asarray`.
    block : int, optional
        Choose a bias for each `block` consecutive elements of the last axis, or along `axis`; the last may
        have fewer.
    percentile : float, optional
        Above 0 and at most 100, of "percentile" only: the decimal number that was written, so that 99.9 of
        1000 elements leaves out one.

    Returns
    -------
    int or ndarray of int16
        One bias; or with `axis` an array of that axis's length, with `block` one of the shape of `x` with the
        number of blocks in place of the length of what they run along: as `asarray` takes them with the same
        `axis` and `block`.
        A bias within the format's range, even where none serves; the default where all elements are 0, not
        finite or masked, or there are none.

    Raises
    ------
    ArgumentTypeError
        If `x` is not of real numbers, or `fmt` neither a Format nor a str.
    ArgumentValueError
        If `method`, `axis`, `block` or `percentile` are not among those above, or the format's bias is fixed
        and `method` is "mx".

    Notes
    -----
    "mse" has the least error of all biases, by exact sums; integers are taken as float64.  The other methods
    go by the exact values, of integers beyond 2**53 as well.  An array and one slice or block that is all of
    it have the same bias.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> x = np.random.default_rng(0).standard_normal((3, 1000)) * [[0.01], [1.0], [100.0]]
    >>> cf.choose_bias(x, cf.CFloat8_1_4_3), cf.choose_bias(x, cf.CFloat8_1_4_3, "max")
    (7, 7)
    >>> cf.choose_bias(x, cf.CFloat8_1_4_3, axis=0)
    array([18, 11,  7], dtype=int16)

    With the fields of an element format of OCP MX, a bias for each 32 elements takes the place of a scale:

    >>> e2m1 = cf.Format("e2m1", exponent_bits=2, mantissa_bits=1, bias=(-124, 128))
    >>> cf.choose_bias([0.3, 1.9, -7.0, 0.1], e2m1, "mx", block=2)
    array([3, 1], dtype=int16)
    """
    fmt = as_format(fmt)
    method = check_method("method", method, fmt)
    percentile = check_percentile(percentile)
    if axis is None and block is None:
        return _choose_one(present_values("x", x), fmt, method, percentile)
    array = with_nothing_masked("x", x, method)
    if axis is not None and block is None:
        return choose_checked(
            array, fmt, method, check_axis(axis, array.ndim), percentile=percentile
        )
    assert block is not None
    return choose_along(array, fmt, method, check_blocks(block, array.shape, axis), percentile)


@in_default_modes
def choose_along(
    x: Array, fmt: Format, method: BiasMethod, blocks: BlockLayout, percentile: float = 99.9
) -> BiasArray:
    """Choose a bias for each block along some axes, as `choose_checked`.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that can be encoded.
    fmt, method
        As in `choose_bias`.
    blocks : BlockLayout
        That are no longer than what they run along.
    percentile : float, optional
        As in `choose_checked`.

    Returns
    -------
    ndarray of int16, shape blocks.counted(x.shape)
    """
    first = blocks.axes[0]
    if len(blocks.axes) > 1:  # they are one
        x = x.reshape(blocks.with_row(x.shape, blocks.row(x.shape)))
    lengths = [1] * x.ndim
    lengths[first] = blocks.length
    return _choose_groups(x, fmt, method, lengths, percentile)


@in_default_modes
def choose_checked(
    x: Array,
    fmt: Format,
    method: BiasMethod = "mse",
    axis: int | None = None,
    block: int | tuple[int, int] | None = None,
    percentile: float = 99.9,
) -> int | BiasArray:
    """Choose as `choose_bias`, from arguments that are known to fit together.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that can be encoded.
    fmt, method
        As in `choose_bias`.
    axis, block : int, optional
        One of them at most: an axis counted from the first, or a length of blocks.  The blocks of a matrix
        may be of so many rows and columns, (int, int).
    percentile : float, optional
        Above 0 and at most 100; of "percentile" only.

    Returns
    -------
    int or ndarray of int16
    """
    if axis is not None:
        if not x.size:
            return np.full(x.shape[axis], fmt.default_bias, np.int16)
        lengths = list(x.shape)
        lengths[axis] = 1
        return _choose_groups(x, fmt, method, lengths, percentile).reshape(x.shape[axis])
    if isinstance(block, tuple):
        return _choose_groups(x, fmt, method, block, percentile)
    if block is not None:
        return choose_along(x, fmt, method, BlockLayout(block, (x.ndim - 1,)), percentile)
    return _choose_one(x, fmt, method, percentile)


def _choose_groups(
    x: Array, fmt: Format, method: BiasMethod, lengths: Sequence[int], percentile: float
) -> BiasArray:
    """Choose a bias for each group of so many elements along each axis."""
    shape = tuple(-(-own // length) for own, length in zip(x.shape, lengths, strict=True))
    return binding.choose_biases(
        fmt._struct, fmt.default_bias, method, percentile, x, lengths, shape
    )


def _choose_one(x: Array, fmt: Format, method: BiasMethod, percentile: float) -> int:
    if method == "mse":
        return best_bias(x, fmt)
    flat = x.reshape(-1)
    if method == "percentile":
        return bias_of_percentile(flat, fmt, percentile)
    return bias_of_peak(largest_magnitude(flat), fmt, method)
