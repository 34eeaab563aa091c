"""The text of a `CFloatArray`: its values as NumPy prints them, its format and its biases."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Values = NDArray[np.float32]
Bias = int | NDArray[np.int16]


def summary_key(shape: Shape) -> tuple[NDArray[Any], ...] | None:
    """Index what a summary shows, and one more along each axis that it shortens; None where all is shown.

    What is left out need not be decoded.
    """
    if not shape or not _is_shortened(shape):
        return None
    edge: int = np.get_printoptions()["edgeitems"]
    kept = [
        np.r_[0 : edge + 1, length - edge : length] if length > 2 * edge + 1 else np.arange(length)
        for length in shape
    ]
    return np.ix_(*kept)


def represented(
    name: str, values: Values, shape: Shape, fmt: str, bias: Bias, block: int | None
) -> str:
    """Write ``repr`` of an array of a shape, under NumPy's printing options.

    Parameters
    ----------
    name : str
        The class's name.
    values : ndarray of float32
        All values, or those at `summary_key`.
    shape : tuple of int
        The shape of the array.
    fmt : str
        The format's name.
    bias : int or ndarray of int16
        Its bias or biases.
    block : int or None
        The number of elements that share one.
    """
    prefix = f"{name}("
    text = _printed(values, shape, separator=", ", prefix=prefix)
    biases = f"bias={_bias_text(bias)}"
    if _is_shortened(shape) or (values.size == 0 and shape != (0,)):
        biases += f", shape={shape}"
    if block is not None:
        biases += f", block={block}"
    last = f"{fmt}, {biases})"
    line = f"{prefix}{text}, {last}"
    width = np.get_printoptions()["linewidth"]
    if len(line) - (line.rfind("\n") + 1) <= width:
        return line
    return f"{prefix}{text},\n{' ' * len(prefix)}{last}"


def stringed(values: Values, shape: Shape) -> str:
    """Write ``str`` of an array, under NumPy's printing options; `values` as in `represented`."""
    if not shape:
        return str(values[()])
    return _printed(values, shape, separator=" ", prefix="")


def in_line(fmt: str, first: Values, are_all: bool, width: int) -> str:
    """Write the format's name and the first values, in a line of at most so many characters."""
    line = " ".join([f"{fmt}:", *(f"{value:.4g}" for value in first.tolist())])
    if len(line) <= width and are_all:
        return line
    # whole words, and a sign that there are more
    return (line[: max(width - 3, 0)].rpartition(" ")[0] + " ...")[-width:]


def _is_shortened(shape: Shape) -> bool:
    return math.prod(shape) > np.get_printoptions()["threshold"]


def _printed(values: Values, shape: Shape, *, separator: str, prefix: str) -> str:
    threshold = 0 if _is_shortened(shape) else None
    return np.array2string(values, separator=separator, prefix=prefix, threshold=threshold)


def _bias_text(bias: Bias) -> str:
    if isinstance(bias, int):
        return str(bias)
    if bias.size <= 8:
        return str(bias.tolist())
    low, high = int(bias.min()), int(bias.max())
    return f"<{low} to {high}, shape {bias.shape}>"
