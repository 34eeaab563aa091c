"""Masked arrays: what they mask is left out where biases are chosen, and where errors are measured."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._core.dtypes import real_array

from .bias_methods import BiasMethod
from .peak import magnitudes_of

Array = NDArray[Any]


def mask_of(x: ArrayLike) -> NDArray[np.bool_] | None:
    """Give what an array masks; None if that is nothing."""
    if type(x) is np.ndarray or not isinstance(x, np.ndarray) or not np.ma.isMaskedArray(x):
        return None
    mask: NDArray[np.bool_] = np.ma.getmaskarray(x)
    return mask if mask.any() else None


def present_values(name: str, x: ArrayLike) -> Array:
    """Give an argument as `real_array` does, and of a masked array what it does not mask, in one axis."""
    array, mask = real_array(name, x), mask_of(x)
    return array if mask is None else array[~mask]


def with_nothing_masked(name: str, x: ArrayLike, method: BiasMethod = "mse") -> Array:
    """Give an argument as `real_array` does, with values that a method leaves out in place of masked ones."""
    array, mask = real_array(name, x), mask_of(x)
    if mask is None:
        return array
    if array.dtype.kind in "iu":
        if method != "percentile":
            return np.where(mask, array.dtype.type(0), array)
        array = magnitudes_of(array)  # it takes no others
    elif array.dtype.kind == "b":
        array = array.astype(np.float32)
    filled = array.copy()
    filled[mask] = np.nan
    return filled
