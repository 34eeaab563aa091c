"""Choosing a bias for each slice or block of an array: rows of matrices, many at a time."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.elementwise import as_float32
from cfloat._core import binding
from cfloat._core.dtypes import fits_float32
from cfloat._core.format import Format

from .bias_methods import BiasMethod
from .groups import Groups
from .peak import biases_of_peaks, magnitudes_of
from .percentile import rank

Array = NDArray[Any]
Floats = NDArray[np.float64]
BiasArray: TypeAlias = NDArray[np.int16]


def least_errors(groups: Groups, fmt: Format, scale: int = 0) -> tuple[BiasArray, Floats]:
    """Find the biases of the least squared errors, one a group, and these errors.

    Parameters
    ----------
    groups : Groups
        Of any dtype that can be encoded; infinities and NaN are left out.  Values of 64 bits are taken as
        float64.
    fmt : Format
        The format.
    scale : int, optional
        The errors of values that are not taken as float32 are in units of ``4**scale``.

    Returns
    -------
    biases : ndarray of int16, shape (groups,)
    errors : ndarray of float64, shape (groups,)
        Infinite where an element becomes infinite or NaN at every bias.
    """
    biases = np.full(groups.count, fmt.default_bias, np.int16)
    errors = np.zeros(groups.count)
    for part, values, block in groups.matrices():
        if not values.size:
            continue
        found = binding.least_errors(
            fmt._struct, fmt.default_bias, as_searched(values), block, scale
        )
        biases[part], errors[part] = (each.reshape(-1) for each in found)
    return biases, errors


def as_searched(values: Array) -> Array:
    """Give values as float32 if these hold them, else as float64, as the core's searches take them.

    They are contiguous, of native byte order and aligned.
    """
    if fits_float32(values.dtype):
        return np.require(as_float32(values), np.float32, ("C", "A"))
    return np.require(values, np.float64, ("C", "A"))


def choose_each(values: Array, fmt: Format, method: BiasMethod, share: float) -> BiasArray:
    """Choose a bias by the largest magnitudes of each row of an array of two axes: int16, one a row."""
    magnitudes = magnitudes_of(values)
    finite = np.isfinite(magnitudes)
    if not finite.all():
        if method == "percentile":
            return np.array(
                [
                    _row_percentile(row[own], share, fmt)
                    for row, own in zip(magnitudes, finite, strict=True)
                ],
                np.int16,
            )
        magnitudes = np.where(finite, magnitudes, 0)
    if method != "percentile" or not values.shape[1]:
        peaks = magnitudes.max(axis=1, initial=0).astype(np.float64)
        return biases_of_peaks(peaks, fmt, "mx" if method == "mx" else "max")
    place = rank(share, values.shape[1])
    return biases_of_peaks(
        np.partition(magnitudes, place, axis=1)[:, place].astype(np.float64), fmt
    )


def _row_percentile(row: Array, share: float, fmt: Format) -> int:
    """Choose the bias of a share of finite magnitudes."""
    if not row.size:
        return fmt.default_bias
    place = rank(share, row.size)
    return int(biases_of_peaks(np.partition(row, place)[place].astype(np.float64), fmt))
