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
    options = np.get_printoptions()
    if not shape or math.prod(shape) <= options["threshold"]:
        return None
    edge = options["edgeitems"]
    kept = [
        np.r_[0 : edge + 1, length - edge : length] if length > 2 * edge + 1 else np.arange(length)
        for length in shape
    ]
    return np.ix_(*kept)


def represented(
    name: str,
    values: Values,
    shape: Shape,
    fmt: str,
    bias: Bias,
    block: int | None,
    axis: int | tuple[int, ...] | None,
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
    axis : int, tuple of int or None
        What blocks run along, if not along the last axis.
    """
    options = np.get_printoptions()
    shortened = math.prod(shape) > options["threshold"]
    prefix = f"{name}("
    text = _printed(values, shortened, separator=", ", prefix=prefix)
    biases = f"bias={_bias_text(bias)}"
    if shortened or (values.size == 0 and shape != (0,)):
        biases += f", shape={shape}"
    if axis is not None:
        biases += f", axis={axis}"
    if block is not None:
        biases += f", block={block}"
    last = f"{fmt}, {biases})"
    line = f"{prefix}{text}, {last}"
    if len(line) - (line.rfind("\n") + 1) <= options["linewidth"]:
        return line
    return f"{prefix}{text},\n{' ' * len(prefix)}{last}"


def stringed(values: Values, shape: Shape) -> str:
    """Write ``str`` of an array, under NumPy's printing options; `values` as in `represented`."""
    if not shape:
        return str(values[()])
    shortened = math.prod(shape) > np.get_printoptions()["threshold"]
    return _printed(values, shortened, separator=" ", prefix="")


def in_line(fmt: str, first: Values, are_all: bool, width: int) -> str:
    """Write the format's name and the first values, in a line of at most so many characters."""
    line = " ".join([f"{fmt}:", *(f"{value:.4g}" for value in first.tolist())])
    if len(line) <= width and are_all:
        return line
    # whole words, and a sign that there are more
    return (line[: max(width - 3, 0)].rpartition(" ")[0] + " ...")[-width:]


def _printed(values: Values, shortened: bool, *, separator: str, prefix: str) -> str:
    threshold = 0 if shortened else None
    return np.array2string(values, separator=separator, prefix=prefix, threshold=threshold)


def _bias_text(bias: Bias) -> str:
    if isinstance(bias, int):
        return str(bias)
    if bias.size <= 8:
        return str(bias.tolist())
    low, high = int(bias.min()), int(bias.max())
    return f"<{low} to {high}, shape {bias.shape}>"
