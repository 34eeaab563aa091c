"""Cutting arrays into pieces: what is worked on at a time, so that temporaries stay small."""

from collections.abc import Iterator
from itertools import product
from typing import Final

#: Elements of a piece, where nothing calls for another size.
PIECE_SIZE: Final = 1 << 17


def pieces(shape: tuple[int, ...], size: int = PIECE_SIZE) -> Iterator[tuple[slice, ...]]:
    """Cut a shape into pieces of at most so many elements, each consecutive in row-major order.

    A shape of no elements is one piece.

    Examples
    --------
    >>> list(pieces((3, 2), 4))
    [(slice(0, 2, None), slice(None, None, None)), (slice(2, 4, None), slice(None, None, None))]
    """
    axis, inner = len(shape), 1
    while axis > 0 and inner * shape[axis - 1] <= size:
        axis -= 1
        inner *= shape[axis]
    if axis == 0:
        yield (slice(None),) * len(shape)
        return
    step = max(1, size // inner)
    cut = axis - 1
    outer = [range(length) for length in shape[:cut]]
    for index in product(*outer):
        leading = tuple(slice(i, i + 1) for i in index)
        for start in range(0, shape[cut], step):
            yield (*leading, slice(start, start + step), *(slice(None),) * (len(shape) - axis))
