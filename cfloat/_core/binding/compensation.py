"""Rounding columns of weights one by one, whose errors go into the columns that are left."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._core import threads
from cfloat._core._cfloat import ffi, lib

from .elements import address_of, check_status

Array = NDArray[Any]
Floats = NDArray[np.float64]


def compensate_columns(
    fmt: Any,
    weights: Floats,
    biases: NDArray[np.int16],
    factor: Floats,
    errors: Floats,
    codes: Array,
) -> None:
    """Round columns of rows of weights, the last first.

    Parameters
    ----------
    fmt : cdata
        The `format_struct`.
    weights : ndarray of float64, shape (m, n)
        Rows contiguous in themselves, as those of all that follows, but for biases.
    biases : ndarray of int16, shape (m, n)
        Each within the format's range, with any strides.
    factor : ndarray of float64, shape (n, n)
        Row j has, before its diagonal, what part of column j's errors goes into each column.
    errors : ndarray of float64, shape (m, n)
        What the errors of other columns add to each; becomes weights less the values of codes.
    codes : ndarray of uint8 or uint16, shape (m, n)
        Where codes go.
    """
    task = ffi.new("cf_compensation *")
    task.rows, task.columns = weights.shape
    task.weights, task.weights_step = ffi.cast("double *", address_of(weights)), _step(weights)
    task.factor, task.factor_step = ffi.cast("double *", address_of(factor)), _step(factor)
    task.biases = ffi.cast("int16_t *", address_of(biases))
    for axis in range(2):
        task.bias_steps[axis] = biases.strides[axis] // biases.itemsize
    task.errors, task.errors_step = ffi.cast("double *", address_of(errors)), _step(errors)
    task.codes, task.codes_step = address_of(codes), _step(codes)
    check_status(lib.cf_round_compensated(fmt, task, threads.get_num_threads()))


def _step(matrix: Array) -> int:
    return matrix.strides[0] // matrix.itemsize
