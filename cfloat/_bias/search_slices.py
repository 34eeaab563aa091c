"""Choosing a bias for each slice or block of an array: rows of matrices, many at a time."""

from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cfloat._convert.elementwise import round_checked
from cfloat._core.dtypes import fits_float32
from cfloat._core.finfo import finfo
from cfloat._core.flags import no_flags
from cfloat._core.format import Format

from .bias_methods import BiasMethod
from .groups import Groups
from .peak import biases_of_peaks
from .percentile import rank

Array = NDArray[Any]
Floats = NDArray[np.float64]
BiasArray: TypeAlias = NDArray[np.int16]

# A bias is left untried if it could lower a squared error by less than this share of it.
_GAIN: Final = 0.01


def grouped_error(groups: Groups, fmt: Format) -> tuple[BiasArray, float]:
    """Find the biases of the least squared errors, one a group, and the sum of those errors.

    Parameters
    ----------
    groups : Groups
        Of float32 values, or such as fit in it; infinities and NaN are left out.
    fmt : Format
        The format.
    """
    biases = np.full(groups.count, fmt.default_bias, np.int16)
    noise = 0.0
    with no_flags(), np.errstate(all="ignore"):
        for part, values in groups:
            finite = np.where(np.isfinite(values), values, 0).astype(np.float32)
            biases[part] = choose_each(finite, fmt, "mse", 1.0)
            noise += float(_row_errors(finite, fmt, biases[part], np.zeros(len(finite), int)).sum())
    return biases, noise


def choose_each(values: Array, fmt: Format, method: BiasMethod, share: float) -> BiasArray:
    """Choose a bias for each row of an array of two axes: an array of int16, one a row."""
    values = values.astype(np.float32 if fits_float32(values.dtype) else np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        if method == "percentile":
            return np.array(
                [
                    _row_percentile(row[own], share, fmt)
                    for row, own in zip(values, finite, strict=True)
                ],
                np.int16,
            )
        values[~finite] = 0
    magnitudes = np.abs(values)
    if method == "percentile" and values.shape[1]:
        place = rank(share, values.shape[1])
        return biases_of_peaks(
            np.partition(magnitudes, place, axis=1)[:, place].astype(np.float64), fmt
        )
    peaks = magnitudes.max(axis=1, initial=0).astype(np.float64)
    biases = biases_of_peaks(peaks, fmt)
    return biases if method == "max" else _search(values, magnitudes, peaks, biases, fmt)


def _row_percentile(row: Array, share: float, fmt: Format) -> int:
    if not row.size:
        return fmt.default_bias
    place = rank(share, row.size)
    return int(biases_of_peaks(np.partition(np.abs(row), place)[place].astype(np.float64), fmt))


def _search(
    values: Array, magnitudes: Array, peaks: Floats, start: BiasArray, fmt: Format
) -> BiasArray:
    """Find the biases of the least squared errors of rows, from those at which nothing saturates."""
    low, high = fmt.bias_range
    top = finfo(fmt, low).max
    scale = np.frexp(peaks)[1]
    first_error = _row_errors(values, fmt, start, scale)
    best_error, best = first_error.copy(), start.astype(np.int64)

    def try_biases(active: NDArray[np.intp], biases: Array) -> None:
        errors = _row_errors(values[active], fmt, biases[active], scale[active])
        better = active[errors < best_error[active]]
        best[better] = biases[better]
        best_error[active] = np.minimum(errors, best_error[active])

    # what saturates, the largest element alone costs; and more at every larger bias
    for step in range(1, high - low + 1):
        biases = start + step
        excess = np.ldexp(peaks - np.ldexp(top, low - biases), -scale)
        active = np.flatnonzero((biases <= high) & (excess * excess < best_error))
        if not active.size:
            break
        try_biases(active, biases)
    if fmt.subnormals == "whitepaper":
        # what is normal at a bias rounds no better at a smaller one; what lies in the hole may, or below it
        normal = np.ldexp(1.0, 1 - start.astype(np.int64))[:, np.newaxis]
        possible = _row_errors(np.where(magnitudes < normal, values, 0), fmt, start, scale)
        least_error = first_error - possible
        for step in range(1, fmt.mantissa_bits + 4):  # from there on they are all zero
            biases = start - step
            active = np.flatnonzero(
                (biases >= low) & (possible > 0) & (best_error > (1 + _GAIN) * least_error)
            )
            if not active.size:
                break
            try_biases(active, biases)
    # where all are normal at several biases, these are equally good
    least = np.where(magnitudes > 0, magnitudes, np.inf).min(axis=1, initial=np.inf)
    equal = np.clip(2 - np.frexp(np.where(np.isfinite(least), least, 1.0))[1], low, best)
    return np.where(
        (best == start) & (peaks > 0), np.clip(fmt.default_bias, equal, best), best
    ).astype(np.int16)


def _row_errors(values: Array, fmt: Format, biases: Array, scale: Array) -> Floats:
    """Sum up the squared errors of each row at a bias of its own, in units of 4**scale of its own."""
    difference = round_checked(values, fmt, biases.astype(np.int16)[:, np.newaxis], values.shape)
    difference -= values
    scaled = np.ldexp(difference, -scale[:, np.newaxis])
    # not by einsum, which adds up a row in another order if it is the only one
    errors: Floats = np.square(scaled, dtype=np.float64).sum(axis=1)
    return np.where(np.isnan(errors), np.inf, errors)
