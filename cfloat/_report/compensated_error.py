"""The errors of candidates whose codes are those of compensated rounding, as a layer's outputs have them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._array.creation import asarray
from cfloat._bias.bias_layout import BiasLayout, check_layout
from cfloat._compensate.round_compensated import Compensation
from cfloat._compensate.second_moments import SecondMoment
from cfloat._core.flags import no_flags
from cfloat._files.checkpoint import Checkpoint
from cfloat._files.reader import read_values

from .candidates import Candidate, Candidates
from .output_error import COMPENSATED, OutputError, check_fit, rounded_format, tile_biases

Array = NDArray[Any]


def by_compensated_outputs(
    checkpoint: Checkpoint,
    measured: Candidates,
    moments: SecondMoment,
    uses: Sequence[SecondMoment],
    advance: Callable[[float], None],
) -> tuple[Candidates, tuple[str, ...]]:
    """Measure the candidates of a weight by its outputs, each as `round_compensated` rounds it.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where the weight is: all of it is in memory.
    measured : Candidates
        Its candidates; they are as they are if it has no outputs but zeros.
    moments : SecondMoment
        The inputs that it is rounded by.
    uses : sequence of SecondMoment
        The inputs of each way in which it is used.
    advance : callable
        Called with parts of the work, of which 1 is all.

    Returns
    -------
    (Candidates, tuple of str)
        And what was not done as asked, and why.

    Raises
    ------
    FileError
        If moments do not fit the weight.
    """
    name, shape = measured.name, measured.shape
    check_fit(checkpoint, name, uses, shape)
    with np.errstate(all="ignore"), no_flags():
        values = read_values(checkpoint.source, name, 0, prod(shape)).reshape(shape)
        error = OutputError(uses, shape)
        error.add_signal(values.astype(np.float64), 0)
        if error.ratio(error.signal) is None:
            return measured, ()
        rounding = Compensation(values, moments)
        found = []
        for each in measured.found:
            if each.choice.format is None:
                found.append(each)
                continue
            fmt = rounded_format(each)
            codes, stats = rounding.rounded(fmt, _biases(values, each))
            if len(uses) == 1:
                ratio: float | None = stats.error / stats.signal
            else:
                lost = np.subtract(np.asarray(codes), values, dtype=np.float64)
                ratio = error.ratio(error.squares(lost, 0))
            if ratio is not None and isfinite(ratio):
                found.append(each._replace(error=ratio))
            advance(1 / (len(measured.found) - 1))
    return replace(measured, found=found, measure=COMPENSATED), rounding.notes


def _biases(values: Array, candidate: Candidate) -> BiasLayout:
    """Choose the biases of a candidate, as a conversion does."""
    choice, fmt = candidate.choice, rounded_format(candidate)
    if candidate.bias is not None:
        return BiasLayout(candidate.bias)
    if isinstance(choice.block, tuple):
        biases, columns = tile_biases(values, fmt, choice.block)
        return check_layout(fmt, biases, values.shape, block=columns)
    return asarray(values, fmt, "mse", axis=choice.axis, block=choice.block)._biases
