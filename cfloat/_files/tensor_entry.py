"""What a file says of a tensor: its dtype, its shape and its bytes."""

import math
from typing import NamedTuple

from .dtypes import DTYPES


class Entry(NamedTuple):
    """A tensor of a file: safetensors' name of its dtype, its shape, and how many bytes it has."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int

    @classmethod
    def of(cls, dtype: str, shape: tuple[int, ...]) -> "Entry":
        """Make the entry of a tensor of a dtype that is known here."""
        return cls(dtype, shape, math.prod(shape) * DTYPES[dtype].numpy.itemsize)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element; of a dtype that is not known here, at least as many."""
        if self.dtype in DTYPES:
            return DTYPES[self.dtype].numpy.itemsize
        return self.nbytes // max(self.size, 1) if self.nbytes else 1
