"""The text of a `CFloatArray`: its values as NumPy prints them, its format and its biases."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cfloat._core.flags import no_flags

if TYPE_CHECKING:
    from .array import CFloatArray


def represented(array: "CFloatArray") -> str:
    """Return ``repr(array)``, under NumPy's printing options."""
    prefix = f"{type(array).__name__}("
    values = _printed(array, separator=", ", prefix=prefix)
    biases = f"bias={_bias_text(array)}"
    shortened = array.size > np.get_printoptions()["threshold"]
    if shortened or (array.size == 0 and array.shape != (0,)):
        biases += f", shape={array.shape}"
    if array.block is not None:
        biases += f", block={array.block}"
    last = f"{array.format.name}, {biases})"
    line = f"{prefix}{values}, {last}"
    width = np.get_printoptions()["linewidth"]
    if len(line) - (line.rfind("\n") + 1) <= width:
        return line
    return f"{prefix}{values},\n{' ' * len(prefix)}{last}"


def stringed(array: "CFloatArray") -> str:
    """Return ``str(array)``, under NumPy's printing options."""
    if array.ndim == 0:
        return str(_values(array)[()])
    return _printed(array, separator=" ", prefix="")


def _printed(array: "CFloatArray", *, separator: str, prefix: str) -> str:
    options: Any = np.get_printoptions()
    if array.size <= options["threshold"]:
        return np.array2string(_values(array), separator=separator, prefix=prefix)
    # what is left out is not decoded
    corners = _corners(array, options["edgeitems"])
    return np.array2string(corners, separator=separator, prefix=prefix, threshold=0)


def _corners(array: "CFloatArray", edge: int) -> NDArray[np.float32]:
    """Return the values that a summary shows, and one more along each axis that it shortens."""
    kept = [
        np.r_[0 : edge + 1, length - edge : length] if length > 2 * edge + 1 else np.arange(length)
        for length in array.shape
    ]
    return _values(array[np.ix_(*kept)])


def _values(array: "CFloatArray") -> NDArray[np.float32]:
    with no_flags():  # looking at an array is no operation on it
        return array.__array__()


def _bias_text(array: "CFloatArray") -> str:
    bias = array.bias
    if isinstance(bias, int):
        return str(bias)
    if bias.size <= 8:
        return str(bias.tolist())
    low, high = int(bias.min()), int(bias.max())
    return f"<{low} to {high}, shape {bias.shape}>"


def in_line(a: "CFloatArray", width: int) -> str:
    """Return the format's name and the first values, in a line of at most so many characters."""
    # each value takes two characters or more
    first = _values(a.reshape(-1)[: width // 2 + 1])
    line = " ".join([f"{a.format.name}:", *(f"{value:.4g}" for value in first.tolist())])
    if len(line) <= width and first.size == a.size:
        return line
    # whole words, and a sign that there are more
    return (line[: max(width - 3, 0)].rpartition(" ")[0] + " ...")[-width:]
