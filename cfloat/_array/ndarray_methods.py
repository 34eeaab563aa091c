"""NumPy's functions as methods of an array, as ndarrays have them."""

from typing import Any

import numpy as np


class FunctionMethods:
    """What `CFloatArray` has of ndarray's methods that are NumPy's functions; most compute float32."""

    __slots__ = ()

    def take(self: Any, indices: Any, axis: Any = None, mode: Any = "raise") -> Any:
        """Take elements by their indices, as ``np.take``."""
        return np.take(self, indices, axis, None, mode)

    def repeat(self: Any, repeats: Any, axis: Any = None) -> Any:
        """Repeat every element so many times, as ``np.repeat``."""
        return np.repeat(self, repeats, axis)

    def compress(self: Any, condition: Any, axis: Any = None) -> Any:
        """Take the slices where a condition holds, as ``np.compress``."""
        return np.compress(condition, self, axis)

    def all(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell whether all values are true: ``np.all``."""
        return np.all(self, *args, **kwargs)

    def any(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell whether any value is true: ``np.any``."""
        return np.any(self, *args, **kwargs)

    def argmax(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Find the place of the largest value: ``np.argmax``."""
        return np.argmax(self, *args, **kwargs)

    def argmin(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Find the place of the smallest value: ``np.argmin``."""
        return np.argmin(self, *args, **kwargs)

    def argpartition(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Find the places that would partition the values: ``np.argpartition``."""
        return np.argpartition(self, *args, **kwargs)

    def argsort(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Find the places that would sort the values: ``np.argsort``."""
        return np.argsort(self, *args, **kwargs)

    def choose(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Take elements of arrays that the values choose: ``np.choose``."""
        return np.choose(self, *args, **kwargs)

    def clip(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Limit the values: ``np.clip``."""
        return np.clip(self, *args, **kwargs)

    def conj(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Copy the array: ``np.conjugate`` of real numbers."""
        return np.conjugate(self, *args, **kwargs)

    def conjugate(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Copy the array: ``np.conjugate`` of real numbers."""
        return np.conjugate(self, *args, **kwargs)

    def cumprod(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Multiply up along an axis, as float32: ``np.cumprod``."""
        return np.cumprod(self, *args, **kwargs)

    def cumsum(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Add up along an axis, as float32: ``np.cumsum``."""
        return np.cumsum(self, *args, **kwargs)

    def dot(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Multiply with another array: ``np.dot``."""
        return np.dot(self, *args, **kwargs)

    def max(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Find the largest value: ``np.max``."""
        return np.max(self, *args, **kwargs)

    def mean(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Take the mean of the values: ``np.mean``."""
        return np.mean(self, *args, **kwargs)

    def min(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Find the smallest value: ``np.min``."""
        return np.min(self, *args, **kwargs)

    def nonzero(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Find the places of the values that are not zero: ``np.nonzero``."""
        return np.nonzero(self, *args, **kwargs)

    def prod(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Multiply the values: ``np.prod``."""
        return np.prod(self, *args, **kwargs)

    def round(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Round the values to decimals, as float32: ``np.round``."""
        return np.round(self, *args, **kwargs)

    def searchsorted(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Find the places where values are to be inserted: ``np.searchsorted``."""
        return np.searchsorted(self, *args, **kwargs)

    def std(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Take the standard deviation of the values: ``np.std``."""
        return np.std(self, *args, **kwargs)

    def sum(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the values: ``np.sum``."""
        return np.sum(self, *args, **kwargs)

    def trace(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the diagonal: ``np.trace``."""
        return np.trace(self, *args, **kwargs)

    def var(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Take the variance of the values: ``np.var``."""
        return np.var(self, *args, **kwargs)
