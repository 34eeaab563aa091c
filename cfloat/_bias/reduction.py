"""Along what a weight's products add up: the axes that blocks of it share with other schemes' blocks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def reduction_axes(ndim: int, transposed: bool = False) -> tuple[int, ...]:
    """Tell the axes of a weight along which a product with it adds up.

    Parameters
    ----------
    ndim : int
        How many axes the weight has.
    transposed : bool, optional
        Whether outputs are the last axis, as of a Conv1D of (in, out), and not the first.

    Returns
    -------
    tuple of int
        Adjacent axes, ascending, which count as one in row-major order: those after the first, (in, kh, kw)
        of a convolution's (out, in, kh, kw); or those before the last.  Of a vector its axis, and of a
        scalar none.

    Examples
    --------
    >>> reduction_axes(2), reduction_axes(4), reduction_axes(2, transposed=True)
    ((1,), (1, 2, 3), (0,))
    """
    if ndim < 2:
        return tuple(range(ndim))
    return tuple(range(ndim - 1)) if transposed else tuple(range(1, ndim))


def as_matrix(x: Array, axes: tuple[int, ...]) -> Array:
    """Give an array as a matrix whose rows run along some of its axes.

    Parameters
    ----------
    x : ndarray
        Any shape.
    axes : tuple of int
        Adjacent axes, ascending, which count as one in row-major order; none for a scalar.

    Returns
    -------
    ndarray, shape (x.size / length, length)
        Where `length` is the product of those axes' lengths; the other axes, in their order, count the rows.
        A view where there is one.

    Examples
    --------
    >>> as_matrix(np.arange(6).reshape(3, 2), (0,))
    array([[0, 2, 4],
           [1, 3, 5]])
    >>> as_matrix(np.zeros((64, 16, 3, 3)), (1, 2, 3)).shape
    (64, 144)
    """
    others = [axis for axis in range(x.ndim) if axis not in axes]
    rows = int(np.prod([x.shape[axis] for axis in others], dtype=np.int64))
    length = int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    return x.transpose(*others, *axes).reshape(rows, length)
