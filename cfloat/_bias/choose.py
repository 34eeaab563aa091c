"""`choose_bias`: the exponent bias for a tensor, or one for each slice or block of it."""

from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._convert.by_layout import BlockLayout
from cfloat._core.dtypes import real_array
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.public_names import public

from .bias_layout import Axis, check_axis, check_blocks
from .bias_methods import BiasMethod, check_method, check_percentile
from .groups import Groups, Slices, Tiles, blocks_along
from .peak import bias_of_peak, largest_magnitude
from .percentile import bias_of_share
from .search_slices import choose_each, least_errors
from .squared_errors import best_bias

Array = NDArray[Any]
BiasArray: TypeAlias = NDArray[np.int16]


@public
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
        Values of a dtype that `encode` takes.  Infinities and NaN are left out.
    fmt : Format or str
        The format, or its name.
    method : {"mse", "max", "percentile"}, optional
        "mse": the bias of the least sum of squared errors under rounding to nearest; among equally good ones
        that nearest the format's default.  "max": the largest bias at which no element is beyond the format's
        largest value.  "percentile": the largest at which so many per cent of the elements are not.
    axis : int or tuple of int, optional
        Choose a bias for each slice along this axis; or with `block`, what blocks run along, as in `asarray`.
    block : int, optional
        Choose a bias for each `block` consecutive elements of the last axis, or along `axis`; the last may
        have fewer.
    percentile : float, optional
        Above 0 and at most 100; of "percentile" only.

    Returns
    -------
    int or ndarray of int16
        One bias; or with `axis` an array of that axis's length, with `block` one of the shape of `x` with the
        number of blocks in place of the length of what they run along: as `asarray` takes them with the same
        `axis` and `block`.
        A bias within the format's range, even where none serves; the default where all elements are 0, not
        finite, or there are none.

    Raises
    ------
    ArgumentTypeError
        If `x` is not of real numbers, or `fmt` neither a Format nor a str.
    ArgumentValueError
        If `method`, `axis`, `block` or `percentile` are not among those above.

    Notes
    -----
    "mse" has the least error of all biases: of float32, float16 and bfloat16 that of the exact sums; of
    other dtypes, taken as float64, that of sums in float64.  An array and one slice or block that is all of
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
    """
    fmt = as_format(fmt)
    method = check_method("method", method)
    array = real_array("x", x)
    share = check_percentile(percentile) / 100.0
    if block is not None:
        return choose_along(array, fmt, method, check_blocks(block, array.shape, axis), share)
    place = None if axis is None else check_axis(axis, array.ndim)
    return choose_checked(array, fmt, method, place, share=share)


def choose_along(
    x: Array, fmt: Format, method: BiasMethod, blocks: BlockLayout, share: float = 0.999
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
    share : float, optional
        As in `choose_checked`.

    Returns
    -------
    ndarray of int16, shape blocks.counted(x.shape)
    """
    row, first = blocks.row(x.shape), blocks.axes[0]
    whole = row // blocks.length * blocks.length
    if _counts_zeros(fmt, method) and whole < row:
        # what fills short blocks would count as elements
        parts = np.split(x.reshape(blocks.with_row(x.shape, row)), [whole], axis=first)
        lengths = (blocks.length, row - whole)
        return np.concatenate(
            [
                choose_along(part, fmt, method, BlockLayout(length, (first,)), share)
                for part, length in zip(parts, lengths, strict=True)
            ],
            axis=first,
        )
    return _choose_groups(blocks_along(x, blocks.axes, blocks.length), fmt, method, share)


def choose_checked(
    x: Array,
    fmt: Format,
    method: BiasMethod = "mse",
    axis: int | None = None,
    block: int | tuple[int, int] | None = None,
    share: float = 0.999,
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
    share : float, optional
        The share of the elements, up to 1, that "percentile" keeps within the range.

    Returns
    -------
    int or ndarray of int16
    """
    groups: Groups
    if axis is not None:
        groups = Slices(x, axis)
    elif isinstance(block, tuple):
        parts = _whole_and_short(x, block)
        if _counts_zeros(fmt, method) and len(parts) * len(parts[0]) > 1:
            # what fills short blocks would count as elements
            return np.block(
                [
                    [choose_checked(part, fmt, method, None, block, share) for part in band]
                    for band in parts
                ]
            )
        groups = Tiles(x, *block)
    elif block is not None:
        return choose_along(x, fmt, method, BlockLayout(block, (x.ndim - 1,)), share)
    else:
        return _choose_one(x, fmt, method, share)
    return _choose_groups(groups, fmt, method, share)


def _counts_zeros(fmt: Format, method: BiasMethod) -> bool:
    """Whether zeros among the elements can change what is chosen."""
    return method == "percentile" or (method == "mse" and not fmt._has_zero)


def _choose_groups(groups: Groups, fmt: Format, method: BiasMethod, share: float) -> BiasArray:
    """Choose a bias for each group."""
    if method == "mse":
        return least_errors(groups, fmt)[0].reshape(groups.shape)
    biases = np.full(groups.count, fmt.default_bias, np.int16)
    with no_flags(), np.errstate(all="ignore"):
        for part, values in groups:
            biases[part] = choose_each(values, fmt, method, share)
    return biases.reshape(groups.shape)


def _whole_and_short(x: Array, block: tuple[int, int]) -> list[list[Array]]:
    """Cut a matrix where blocks of rows and columns begin that are shorter than the others."""
    rows, columns = (
        [length // size * size] if size < length and length % size else []
        for length, size in zip(x.shape, block, strict=True)
    )
    return [np.split(band, columns, axis=1) for band in np.split(x, rows)]


def _choose_one(x: Array, fmt: Format, method: BiasMethod, share: float) -> int:
    if method == "mse":
        return best_bias(x, fmt)
    flat = x.reshape(-1)
    if method == "max":
        return bias_of_peak(largest_magnitude(flat), fmt)
    return bias_of_share(flat, fmt, share)
