"""A stand-in for `cfloat.bias.choose_bias`, to be removed with its one import in `convert`."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bias import best_bias
from .formats import Format, finfo


def choose_bias(
    x: NDArray[Any],
    fmt: Format,
    method: str = "mse",
    *,
    axis: int | None = None,
    block: int | None = None,
    percentile: float = 99.9,
) -> Any:
    """Return a bias, one a slice, or one a block."""
    if block is not None:
        blocks = [x[..., i : i + block] for i in range(0, x.shape[-1], block)]
        found = [
            [choose_bias(part, fmt, method) for part in b.reshape(-1, b.shape[-1])] for b in blocks
        ]
        return np.array(found, np.int16).T.reshape(*x.shape[:-1], len(blocks))
    if axis is not None and method == "max" and x.ndim == 1:
        low, high = fmt.bias_range
        with np.errstate(divide="ignore"):
            fits = low + np.floor(np.log2(finfo(fmt, low).max / np.abs(x.astype(np.float64))))
        return np.where(x == 0, fmt.default_bias, np.clip(fits, low, high)).astype(np.int16)
    if axis is not None:
        return np.array(
            [choose_bias(part, fmt, method) for part in np.moveaxis(x, axis, 0)], np.int16
        )
    if method != "max":
        return best_bias(x, fmt)
    largest = float(np.max(np.abs(x), initial=0, where=np.isfinite(x)))
    low, high = fmt.bias_range
    if largest == 0:
        return fmt.default_bias
    bias = low + math.floor(math.log2(finfo(fmt, low).max / largest))
    return min(max(bias, low), high)
