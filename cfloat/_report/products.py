"""What rounding weights and their inputs does to their products."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._array.creation import asarray
from cfloat._bias.squared_errors import best_bias
from cfloat._core.arguments import check_not_masked
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._metrics.matmul_error import matmul_error

from .records import MatmulRow

Array = NDArray[Any]


def measure_products(
    name: str, weight: Array, inputs: ArrayLike, formats: dict[str, Format]
) -> tuple[list[MatmulRow], str | None]:
    """Measure what rounding a weight and its inputs does to their product.

    Parameters
    ----------
    name : str
        The weight's name.
    weight : ndarray, shape (m, n)
        Its values.
    inputs : array_like, shape (..., n)
        Its inputs.
    formats : dict of str to Format
        Formats by label.

    Returns
    -------
    rows : list of MatmulRow
        One for each format that has negative numbers.
    reason : str or None
        Why there are none.
    """
    check_not_masked("inputs", inputs)
    x = np.asarray(inputs)
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1:] != weight.shape[1:] or not x.size:
        return [], f"inputs of shape {x.shape} do not fit a weight of shape {weight.shape}"
    rows = []
    inputs32 = x.reshape(-1, x.shape[-1]).astype(np.float32)
    weights32 = weight.T.astype(np.float32)
    if not (np.isfinite(inputs32).all() and np.isfinite(weights32).all()):
        return [], "not all elements are finite"
    with no_flags():
        for label, fmt in formats.items():
            if not fmt.signed:
                continue
            a = asarray(inputs32, fmt, best_bias(inputs32, fmt))
            b = asarray(weights32, fmt, best_bias(weights32, fmt))
            found = matmul_error(a, b, inputs32, weights32)
            rows.append(
                MatmulRow(
                    tensor=name,
                    format=label,
                    weight_sqnr_db=found.b_sqnr_db,
                    input_sqnr_db=found.a_sqnr_db,
                    output_sqnr_db=found.sqnr_db,
                    predicted_db=found.predicted_db,
                )
            )
    return rows, None
