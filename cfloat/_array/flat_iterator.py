"""The elements of an array in one axis: what `CFloatArray.flat` gives."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class FlatView:
    """The elements of a `CFloatArray` in row-major order, as ``ndarray.flat`` gives them.

    Parameters
    ----------
    base : CFloatArray
        The array.
    """

    __slots__ = ("base",)

    def __init__(self, base: Any) -> None:
        # of one axis at least, for numpy.unravel_index
        self.base = base if base.ndim else base.reshape(1)

    def __len__(self) -> int:
        size: int = self.base.size
        return size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.base._decode().reshape(-1))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return self.base[np.unravel_index(range(len(self))[key], self.base.shape)]
        flat = self.base.reshape(-1)
        found = flat[key]
        # a copy, as ndarray.flat's, whether reshaping copied or not
        return found.copy() if isinstance(found, type(flat)) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            self.base[np.unravel_index(range(len(self))[key], self.base.shape)] = value
            return
        places = np.arange(len(self))[self.base._plain_key(key)]
        values = np.asarray(value).reshape(-1)
        if values.size == 0:
            return
        # ndarray.flat repeats values that are too few, and leaves what is too many
        self.base[np.unravel_index(places, self.base.shape)] = np.resize(values, places.shape)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        values: Array = self.base.reshape(-1).__array__(dtype, copy)
        return values

    def copy(self) -> Any:
        """Copy the elements into one axis."""
        return self.base.flatten()
