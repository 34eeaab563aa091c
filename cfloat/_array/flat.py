"""The elements of an array in one axis (`CFloatArray.flat`), and indices that NumPy takes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from .array import CFloatArray

Array = NDArray[Any]


class FlatView:
    """The elements of a `CFloatArray` in row-major order, as ``ndarray.flat`` gives them.

    Parameters
    ----------
    base : CFloatArray
        The array.
    """

    __slots__ = ("base",)

    def __init__(self, base: "CFloatArray") -> None:
        # of one axis at least, for numpy.unravel_index
        self.base = base if base.ndim else base.reshape(1)

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.base._decode().reshape(-1))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return self.base[np.unravel_index(range(len(self))[key], self.base.shape)]
        flat = self.base.reshape(-1)
        found = flat[key]
        # a copy, as ndarray.flat's, whether reshaping copied or not
        return found.copy() if _is_array(found) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            self.base[np.unravel_index(range(len(self))[key], self.base.shape)] = value
            return
        places = np.arange(len(self))[plain_key(key)]
        values = np.asarray(value).reshape(-1)
        if values.size == 0:
            return
        # ndarray.flat repeats values that are too few, and leaves what is too many
        self.base[np.unravel_index(places, self.base.shape)] = np.resize(values, places.shape)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return self.base.reshape(-1).__array__(dtype, copy)

    def copy(self) -> "CFloatArray":
        """Return a copy of the elements in one axis."""
        return self.base.flatten()


def plain_key(key: Any) -> Any:
    """Return an index in which CFloatArrays are the float32 arrays that they stand for."""
    if _is_array(key):
        return key._decode()
    if isinstance(key, tuple):
        return tuple(plain_key(part) for part in key)
    return key


def _is_array(value: Any) -> "TypeGuard[CFloatArray]":
    from .array import CFloatArray

    return isinstance(value, CFloatArray)
