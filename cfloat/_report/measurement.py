"""The measuring of one tensor: what each format costs it, for the rows of a report."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._core.finfo import finfo
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._metrics.error import ErrorStats, Sums, sums_of_rounding
from cfloat._metrics.sqnr import sqnr_db
from cfloat._metrics.theory import tabulated_sqnr_db

from .granularities import GRANULARITIES
from .records import (
    THEORY,
    BiasCurve,
    Granularity,
    ReportRow,
    SubnormalCost,
    SubnormalRow,
    TensorSummary,
    Window,
)
from .scan import GroupErrors, Scan
from .schemes import SCHEMES, Comparison, SchemeErrors
from .tensor_values import MatrixPiece, TensorValues

Array = NDArray[Any]
Floats = NDArray[np.float64]

# shares of the time that a tensor takes, of looking at it and of groups: without details; and with, where
# what does not grow with the tensor takes most of the rest, and of many pieces, where it does not
_SHARES: Final = (0.15, 0.85)
_DETAILED: Final = {True: (0.05, 0.3), False: (0.1, 0.66)}

#: dB below the best that still belong to a plateau.
PLATEAU_DB: Final = 0.1


@dataclass(frozen=True)
class Measured:
    """What was measured on one tensor."""

    summary: TensorSummary
    rows: list[ReportRow]
    subnormals: list[SubnormalRow]
    granularity: list[Granularity]
    comparisons: list[Comparison]


class Measurement:
    """The measuring of one tensor.

    Parameters
    ----------
    name, dtype : str
        The tensor's name and dtype as they are to be reported.
    values : TensorValues
        Its values.
    formats : dict of str to Format
        Formats by label.
    """

    def __init__(
        self, name: str, dtype: str, values: TensorValues, formats: dict[str, Format]
    ) -> None:
        self._name, self._dtype, self._values = name, dtype, values
        self._scan = scan = Scan(values)
        self._formats = {
            label: fmt for label, fmt in formats.items() if fmt.signed or not scan.is_negative
        }

    @property
    def is_finite(self) -> bool:
        """Whether any element is finite."""
        return self._scan.nonfinite < self._values.count

    def run(self, advance: Callable[[float], None], details: bool = True) -> Measured:
        """Measure everything.

        Parameters
        ----------
        advance : callable
            Called with parts of the work, of which 1 is all.
        details : bool
            Whether to make a row for each format, and tell how the elements are distributed.
        """
        with no_flags(), np.errstate(all="ignore"):
            survey, part = _DETAILED[self._values.is_whole] if details else _SHARES
            advance(survey)
            granularity, comparisons = self._parts(part, advance)
            subnormals = list(self._subnormals())
            rows = list(self._rows(1 - survey - part, advance)) if details else []
        return Measured(self._summary(details), rows, subnormals, granularity, comparisons)

    def _summary(self, details: bool) -> TensorSummary:
        scan = self._scan
        with np.errstate(over="ignore"):
            signal = float(np.ldexp(scan.signal, 2 * scan.scale))
        if scan.is_sample:
            signal *= self._values.size / self._values.count
        return TensorSummary(
            name=self._name,
            shape=self._values.shape,
            dtype=self._dtype,
            size=self._values.size,
            nonfinite=scan.nonfinite,
            zeros=scan.zeros,
            max=scan.peak,
            kurtosis=scan.histogram().kurtosis if details else math.nan,
            exponents=scan.histogram().exponents() if details else {},
            signal=signal,
            is_constant=scan.is_constant,
            sampled=self._values.count,
        )

    def _parts(
        self, part: float, advance: Callable[[float], None]
    ) -> tuple[list[Granularity], list[Comparison]]:
        """Measure what biases for parts of the tensor cost, and other schemes, in one pass."""
        scan = self._scan
        schemes = None
        # not beyond float32, nor where its squares are
        if 2.0**-126 <= scan.peak <= 2.0**126:
            rows, length = self._values.rows, self._values.length
            schemes = SchemeErrors(SCHEMES, rows, length, scan.peak, scan.row_peaks)
        chunks = [np.zeros(len(SCHEMES))]

        def add_schemes(piece: MatrixPiece) -> None:
            assert schemes is not None
            for first, stop in pairwise((*piece.chunks, len(piece.values))):
                schemes.add_part(piece.row + first, piece.values[first:stop])
                if scan.is_sample:
                    chunks.append(schemes.errors.copy())

        # what a checkpoint's tensors can become: those of several biases, and the unsigned ones
        stored = {
            label: fmt
            for label, fmt in self._formats.items()
            if scan.peak > 0 and (_several_biases(fmt) or not fmt.signed)
        }
        wanted = [
            (label, name, fmt, length)
            for label, fmt in stored.items()
            for name, length in scan.granularities(fmt)[1:]
        ]
        errors = scan.measure_groups(
            [(fmt, length) for *_, fmt, length in wanted],
            also=None if schemes is None else add_schemes,
            advance=lambda elements: advance(part * elements / self._values.count),
        )
        found = {
            (label, name): each for (label, name, *_), each in zip(wanted, errors, strict=True)
        }
        granularity = []
        for label, fmt in stored.items():
            each = scan.whole(fmt)
            for name in GRANULARITIES if _several_biases(fmt) else ("tensor",):
                # as many biases as the one before, or of its own
                each = found.get((label, name), each)
                granularity.append(self._granularity(label, name, fmt, each))
        comparisons = [] if schemes is None else schemes.result(self._name)
        if scan.is_sample:
            noises = np.diff(chunks, axis=0)
            has_whole_rows = not (self._values.is_split or self._values.is_turned)
            comparisons = [
                replace(
                    each,
                    uncertainty_db=scan.uncertainty_db(noises[:, i])
                    if scheme.goes_by_chunk(has_whole_rows)
                    else math.inf,
                )
                for i, (each, scheme) in enumerate(zip(comparisons, SCHEMES, strict=False))
            ]
        return granularity, comparisons

    def _granularity(self, label: str, name: str, fmt: Format, found: GroupErrors) -> Granularity:
        turned = self._values.is_turned
        layout = GRANULARITIES[name]
        nbytes = layout.nbytes(self._values.shape, fmt, turned)
        return Granularity(
            tensor=self._name,
            format=label,
            granularity=name,
            sqnr_db=sqnr_db(1.0, found.error),
            biases=max(1, layout.bias_count(self._values.shape, turned))
            if self._scan.is_sample and _several_biases(fmt)
            else found.count,
            lowest=found.lowest,
            median=found.median,
            highest=found.highest,
            nbytes=nbytes,
            bits_per_element=8 * nbytes / self._values.size,
            uncertainty_db=found.uncertainty_db,
        )

    def _subnormals(self) -> Iterator[SubnormalRow]:
        for label, fmt in self._formats.items():
            if fmt.subnormals == "whitepaper" and self._scan.peak > 0:
                own = self._db(self._scan.least(fmt))
                yield SubnormalRow(self._name, label, own, self._subnormal_cost(fmt))

    def _rows(self, part: float, advance: Callable[[float], None]) -> Iterator[ReportRow]:
        scan = self._scan
        biases = {label: scan.bias(fmt) for label, fmt in self._formats.items()}
        sums = {label: Sums() for label in self._formats}
        for _, _, values, _ in self._values:
            for label, fmt in self._formats.items():
                flat = values.reshape(-1)
                sums[label].merge(sums_of_rounding(flat, fmt, biases[label]))
            advance(part * values.size / self._values.count)
        for label, fmt in self._formats.items():
            stats = sums[label].stats(self._values.count, True)
            yield self._row(label, fmt, biases[label], stats)

    def _row(self, label: str, fmt: Format, bias: int, stats: ErrorStats) -> ReportRow:
        scan = self._scan
        errors = scan.errors(fmt)
        top = float(finfo(fmt, bias).max)
        return ReportRow(
            tensor=self._name,
            shape=self._values.shape,
            dtype=self._dtype,
            format=label,
            subnormals=fmt.subnormals,
            bits=fmt.bits,
            bias=bias,
            stats=stats,
            curve=self._curve(errors, fmt, bias),
            window=_window(fmt, bias),
            headroom=_binades(top, scan.peak) if scan.peak > 0 else 0,
            use=scan.histogram().code_use(fmt, bias),
            stochastic_db=self._db(scan.histogram().stochastic_error(fmt, bias)),
            theory=self._theory(fmt),
            denormals=self._subnormal_cost(fmt) if fmt.subnormals == "whitepaper" else None,
        )

    def _db(self, noise: float) -> float:
        return sqnr_db(self._scan.signal, noise)

    def _curve(self, errors: Floats, fmt: Format, bias: int) -> BiasCurve:
        low, _ = fmt.bias_range
        levels = tuple(map(self._db, errors.tolist()))
        best = levels[bias - low]
        first = last = bias - low
        while first > 0 and levels[first - 1] >= best - PLATEAU_DB:
            first -= 1
        while last + 1 < len(levels) and levels[last + 1] >= best - PLATEAU_DB:
            last += 1
        return BiasCurve(low, levels, (first + low, last + low))

    def _theory(self, fmt: Format) -> dict[str, float]:
        scan = self._scan
        mean = scan.signal / max(1, self._values.count - scan.nonfinite)
        if mean <= 0:
            return {}
        rms = math.sqrt(mean)
        return {name: tabulated_sqnr_db(fmt, name, rms) for name in THEORY}  # type: ignore[arg-type]

    def _subnormal_cost(self, fmt: Format) -> SubnormalCost:
        scan, ieee = self._scan, _with_ieee_subnormals(fmt)
        best = self._db(scan.least(ieee))
        default = fmt.default_bias
        return SubnormalCost(
            ieee_bias=scan.bias(ieee),
            ieee_sqnr_db=best,
            gain_db=_gain_db(best, self._db(scan.least(fmt))),
            default_gain_db=_gain_db(
                self._db(scan.error_at(ieee, default)), self._db(scan.error_at(fmt, default))
            ),
        )


@lru_cache(maxsize=64)
def _with_ieee_subnormals(fmt: Format) -> Format:
    return fmt.replace(subnormals="ieee")


def _several_biases(fmt: Format) -> bool:
    low, high = fmt.bias_range
    return low < high


def _binades(top: float, peak: float) -> int:
    """Find the largest n with peak * 2**n <= top."""
    top_fraction, top_exponent = math.frexp(top)
    fraction, exponent = math.frexp(peak)
    return top_exponent - exponent - (fraction > top_fraction)


def _window(fmt: Format, bias: int) -> Window:
    limits = finfo(fmt, bias)
    smallest = (
        None
        if fmt.subnormals in ("flush", "normal")
        else _exponent(float(limits.smallest_subnormal))
    )
    return Window(smallest, _exponent(float(limits.smallest_normal)), _exponent(float(limits.max)))


def _exponent(value: float) -> int:
    return math.frexp(value)[1] - 1


def _gain_db(better: float, worse: float) -> float:
    # two exact results, both infinite, do not differ
    return 0.0 if better == worse else better - worse
