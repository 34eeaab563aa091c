"""What rounding a weight does to the outputs of its products, by the moments of their inputs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.bias_layout import BiasLayout
from cfloat._compensate.round_compensated import Compensation
from cfloat._compensate.second_moments import SecondMoment
from cfloat._compensate.uses import moment_of_uses
from cfloat._convert.elementwise import round_checked
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._metrics.sqnr import sqnr_db

from .output_error import OutputError, pieces_of
from .records import ReportRow

Array = NDArray[Any]

#: Parts of the work on a tensor, before its outputs and on them: nearly all of it is compensation.
SHARES: Final = (0.2, 0.8)


def measure_outputs(
    weight: Array,
    uses: Sequence[SecondMoment],
    rows: Sequence[ReportRow],
    formats: Mapping[str, Format],
    advance: Callable[[float], None],
) -> tuple[list[ReportRow], dict[str, str]]:
    """Measure a weight's outputs in each format, rounded to nearest and compensated.

    Parameters
    ----------
    weight : ndarray
        Its values, all of them.
    uses : sequence of SecondMoment
        The inputs of each way in which it is used.
    rows : sequence of ReportRow
        What was measured in each format, at which bias.
    formats : mapping of str to Format
        Formats by label.
    advance : callable
        Called with parts of the work, of which 1 is all.

    Returns
    -------
    rows : list of ReportRow
        With the ratios of outputs.
    reasons : dict of str to str
        Why there are none, or what is to be known of them: by what it is of, "its outputs" or "compensated".
    """
    for use in uses:
        misfit = use.misfit(weight.shape)
        if misfit is not None:
            return list(rows), {"its outputs": misfit}
    if not np.isfinite(weight).all():
        return list(rows), {"its outputs": "not all elements are finite"}
    moments, reason = moment_of_uses(uses)
    reasons = {"compensated": f"rounded to nearest: {reason}"} if reason else {}
    with np.errstate(all="ignore"), no_flags():
        signal = OutputError(uses, weight.shape)
        for start, stop in pieces_of(uses, weight.shape):
            signal.add_signal(weight[start:stop].astype(np.float64), start)
        if signal.ratio(signal.signal) is None:
            return list(rows), {"its outputs": "all of them are 0, or beyond float64"}
        rounding = None if moments is None else Compensation(weight, moments)
        if rounding is not None and rounding.notes:
            reasons["compensated"] = "; ".join(rounding.notes)
        made = []
        for row in rows:
            fmt, compensated = formats[row.format], math.nan
            if rounding is None:
                nearest = _nearest_db(weight, signal, uses, fmt, row.bias)
            else:
                codes, stats = rounding.rounded(fmt, BiasLayout(row.bias))
                nearest, compensated = stats.nearest_sqnr_db, stats.sqnr_db
                if len(uses) > 1:
                    nearest = _nearest_db(weight, signal, uses, fmt, row.bias)
                    lost = np.subtract(np.asarray(codes), weight, dtype=np.float64)
                    compensated = _db(signal, signal.squares(lost, 0))
            made.append(replace(row, output_db=nearest, compensated_db=compensated))
            advance(1 / len(rows))
    return made, reasons


def _nearest_db(
    weight: Array, signal: OutputError, uses: Sequence[SecondMoment], fmt: Format, bias: int
) -> float:
    """Tell the ratio of the outputs of a weight that is rounded to nearest with one bias."""
    noise = np.zeros(len(uses))
    for start, stop in pieces_of(uses, weight.shape):
        piece = weight[start:stop]
        rounded = round_checked(piece, fmt, bias, piece.shape)
        noise += signal.squares(np.subtract(rounded, piece, dtype=np.float64), start)
    return _db(signal, noise)


def _db(signal: OutputError, noise: NDArray[np.float64]) -> float:
    ratio = signal.ratio(noise)
    assert ratio is not None
    return sqnr_db(1.0, ratio)
