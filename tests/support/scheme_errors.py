"""What schemes cost a tensor, measured by itself: beside what a report says of it."""

import numpy as np

from cfloat._bias.reduction import as_matrix, reduction_axes
from cfloat._report.schemes import SCHEMES, SchemeErrors, row_peaks


def measure_schemes(name, tensor, schemes=SCHEMES):
    """The Comparisons of a tensor, of any type of floating point, in one part; none of an empty one."""
    if tensor.size == 0:
        return []
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = as_matrix(tensor, reduction_axes(tensor.ndim)).astype(np.float32, copy=False)
    peaks = row_peaks(matrix)
    errors = SchemeErrors(schemes, *matrix.shape, float(peaks.max()), peaks)
    errors.add_part(0, matrix)
    return errors.result([name])[0]
