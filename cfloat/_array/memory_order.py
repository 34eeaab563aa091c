"""The order of an array's axes in memory: that of ``ravel("K")``."""

from typing import Any

from numpy.typing import NDArray


def axes_in_memory(codes: NDArray[Any]) -> list[int]:
    """List the axes of an array in the order of memory, as NumPy's iterators do: by insertion.

    They do not look at the strides' signs, and let an axis that repeats one element, which is nowhere in
    particular, pass others only together with them.
    """
    steps = [
        0 if length == 1 else abs(stride)
        for stride, length in zip(codes.strides, codes.shape, strict=True)
    ]
    order: list[int] = []
    for axis in reversed(range(codes.ndim)):  # from the fastest in row-major order on
        place = len(order)
        for before in reversed(range(len(order))):
            if steps[axis] and steps[order[before]]:
                if steps[order[before]] <= steps[axis]:
                    break
                place = before
        order.insert(place, axis)
    return order[::-1]
