"""The measuring of a tensor, or of a stack of them: what each format costs, for the rows of a report."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise, repeat
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._core.finfo import finfo
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._metrics.error import ErrorStats, Sums, sums_of_rounding
from cfloat._metrics.sqnr import sqnr_db_each
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
from .tensor_values import MatrixPiece

Array = NDArray[Any]
Floats = NDArray[np.float64]

# shares of the time that a tensor takes, of looking at it and of groups: without details; and with, where
# what does not grow with the tensor takes most of the rest, and of many pieces, where it does not
_SHARES: Final = (0.15, 0.85)
_DETAILED: Final = {True: (0.05, 0.3), False: (0.1, 0.66)}

#: dB below the best that still belong to a plateau.
PLATEAU_DB: Final = 0.1


class Subject(NamedTuple):
    """A tensor as it is to be reported.

    Attributes
    ----------
    name, dtype, kind : str
        As in `TensorSummary`.
    """

    name: str
    dtype: str
    kind: str = "other"


@dataclass(frozen=True)
class Measured:
    """What was measured on one tensor."""

    summary: TensorSummary
    rows: list[ReportRow]
    subnormals: list[SubnormalRow]
    granularity: list[Granularity]
    comparisons: list[Comparison]


class Measurement:
    """The measuring of one tensor, or of a stack of them that are alike.

    Parameters
    ----------
    subjects : sequence of Subject
        How they are to be reported.
    scan : Scan
        Their values.
    formats : dict of str to Format
        Formats by label.
    """

    def __init__(self, subjects: Sequence[Subject], scan: Scan, formats: dict[str, Format]) -> None:
        self._subjects, self._scan, self._values = subjects, scan, scan.values
        self._formats = {
            label: fmt for label, fmt in formats.items() if fmt.signed or not scan.is_negative
        }

    def run(self, advance: Callable[[float], None], details: bool = True) -> list[Measured]:
        """Measure everything.

        Parameters
        ----------
        advance : callable
            Called with parts of the work, of which 1 is all.
        details : bool
            Whether to make a row for each format, and tell how the elements are distributed; not of a stack.
        """
        with no_flags(), np.errstate(all="ignore"):
            survey, part = _DETAILED[self._values.is_whole] if details else _SHARES
            advance(survey)
            granularity, comparisons = self._parts(part, advance)
            subnormals = self._subnormals()
            rows = list(self._rows(1 - survey - part, advance)) if details else []
        summaries = self._summaries(details)
        return [
            Measured(summary, rows, *others)
            for summary, others in zip(
                summaries, zip(subnormals, granularity, comparisons, strict=True), strict=True
            )
        ]

    def _summaries(self, details: bool) -> Iterator[TensorSummary]:
        scan, values = self._scan, self._values
        with np.errstate(over="ignore"):
            signals = np.ldexp(scan.signal, 2 * scan.scale)
        if scan.is_sample:
            signals *= values.size / values.count
        columns = (scan.nonfinite, scan.zeros, scan.peaks, signals, scan.is_constant)
        for subject, nonfinite, zeros, peak, signal, is_constant in zip(
            self._subjects, *(each.tolist() for each in columns), strict=True
        ):
            yield TensorSummary(
                name=subject.name,
                shape=values.shape,
                dtype=subject.dtype,
                size=values.size,
                nonfinite=nonfinite,
                zeros=zeros,
                max=peak,
                kurtosis=scan.histogram().kurtosis if details else math.nan,
                exponents=scan.histogram().exponents() if details else {},
                signal=signal,
                kind=subject.kind,
                is_constant=is_constant,
                sampled=values.count,
            )

    def _parts(
        self, part: float, advance: Callable[[float], None]
    ) -> tuple[list[list[Granularity]], list[list[Comparison]]]:
        """Measure what biases for parts of the tensor cost, and other schemes, in one pass."""
        scan = self._scan
        names = [each.name for each in self._subjects]
        schemes = None
        # not beyond float32, nor where its squares are
        if scan.is_normal:
            rows, length = self._values.rows, self._values.length
            schemes = SchemeErrors(SCHEMES, rows, length, scan.peaks, scan.row_peaks)
        chunks = [np.zeros(len(SCHEMES))]

        def add_schemes(piece: MatrixPiece) -> None:
            assert schemes is not None
            for first, stop in pairwise((*piece.chunks, len(piece.values))):
                schemes.add_part(piece.row + first, piece.values[first:stop])
                if scan.is_sample:
                    chunks.append(schemes.errors[0].copy())

        # what a checkpoint's tensors can become: those of several biases, and the unsigned ones
        stored = {
            label: fmt
            for label, fmt in self._formats.items()
            if not scan.is_zero and (_several_biases(fmt) or not fmt.signed)
        }
        wanted = [
            (label, name, fmt, length)
            for label, fmt in stored.items()
            for name, length in scan.granularities(fmt)[1:]
        ]
        errors = scan.measure_groups(
            [(fmt, length) for *_, fmt, length in wanted],
            also=None if schemes is None else add_schemes,
            advance=lambda elements: advance(part * elements / len(names) / self._values.count),
        )
        found = {
            (label, name): each for (label, name, *_), each in zip(wanted, errors, strict=True)
        }
        granularity: list[list[Granularity]] = [[] for _ in names]
        for label, fmt in stored.items():
            each = scan.whole(fmt)
            for name in GRANULARITIES if _several_biases(fmt) else ("tensor",):
                # as many biases as the one before, or of its own
                each = found.get((label, name), each)
                for to, record in zip(
                    granularity, self._granularities(label, name, fmt, each), strict=True
                ):
                    to.append(record)
        comparisons = [[] for _ in names] if schemes is None else schemes.result(names)
        if scan.is_sample:
            noises = np.diff(chunks, axis=0)
            has_whole_rows = not (self._values.is_split or self._values.is_turned)
            comparisons = [
                [
                    each._replace(
                        uncertainty_db=scan.uncertainty_db(noises[:, i])
                        if scheme.goes_by_chunk(has_whole_rows)
                        else math.inf,
                    )
                    for i, (each, scheme) in enumerate(zip(found_of_one, SCHEMES, strict=False))
                ]
                for found_of_one in comparisons
            ]
        return granularity, comparisons

    def _granularities(
        self, label: str, name: str, fmt: Format, found: GroupErrors
    ) -> list[Granularity]:
        turned = self._values.is_turned
        layout = GRANULARITIES[name]
        nbytes = layout.nbytes(self._values.shape, fmt, turned)
        bits = 8 * nbytes / self._values.size
        count = found.count
        if self._scan.is_sample and _several_biases(fmt):
            count = max(1, layout.bias_count(self._values.shape, turned))
        uncertainty = found.uncertainty_db
        # there are many, and this way no line of Python runs for each
        make = partial(tuple.__new__, Granularity)
        names = [subject.name for subject in self._subjects]
        dbs = sqnr_db_each(repeat(1.0), found.error)
        return list(
            map(
                make,
                zip(
                    names, repeat(label), repeat(name), dbs, repeat(count), found.lowest, found.median,
                    found.highest, repeat(nbytes), repeat(bits), repeat(uncertainty),
                ),
            )
        )  # fmt: skip

    def _subnormals(self) -> list[list[SubnormalRow]]:
        found: list[list[SubnormalRow]] = [[] for _ in self._subjects]
        for label, fmt in self._formats.items():
            if fmt.subnormals == "whitepaper" and not self._scan.is_zero:
                own, costs = self._db(self._scan.least(fmt)), self._subnormal_costs(fmt)
                for to, subject, db, cost in zip(found, self._subjects, own, costs, strict=True):
                    to.append(SubnormalRow(subject.name, label, db, cost))
        return found

    def _rows(self, part: float, advance: Callable[[float], None]) -> Iterator[ReportRow]:
        scan = self._scan
        biases = {label: scan.bias(fmt)[0] for label, fmt in self._formats.items()}
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
        scan, (subject,) = self._scan, self._subjects
        errors, peak = scan.errors(fmt), float(scan.peaks[0])
        top = float(finfo(fmt, bias).max)
        return ReportRow(
            tensor=subject.name,
            shape=self._values.shape,
            dtype=subject.dtype,
            format=label,
            subnormals=fmt.subnormals,
            bits=fmt.bits,
            bias=bias,
            stats=stats,
            curve=self._curve(errors, fmt, bias),
            window=_window(fmt, bias),
            headroom=_binades(top, peak) if peak > 0 else 0,
            use=scan.histogram().code_use(fmt, bias),
            stochastic_db=self._db([scan.histogram().stochastic_error(fmt, bias)])[0],
            theory=self._theory(fmt),
            denormals=self._subnormal_costs(fmt)[0] if fmt.subnormals == "whitepaper" else None,
        )

    def _db(self, noises: Sequence[float] | Floats) -> list[float]:
        """Give the ratio of each tensor, from its sum of squared errors."""
        signals = self._scan.signal.tolist()
        return sqnr_db_each(signals, np.asarray(noises).tolist())

    def _curve(self, errors: Floats, fmt: Format, bias: int) -> BiasCurve:
        low, _ = fmt.bias_range
        signal = float(self._scan.signal[0])
        levels = tuple(sqnr_db_each(repeat(signal), errors.tolist()))
        best = levels[bias - low]
        first = last = bias - low
        while first > 0 and levels[first - 1] >= best - PLATEAU_DB:
            first -= 1
        while last + 1 < len(levels) and levels[last + 1] >= best - PLATEAU_DB:
            last += 1
        return BiasCurve(low, levels, (first + low, last + low))

    def _theory(self, fmt: Format) -> dict[str, float]:
        scan = self._scan
        mean = float(scan.signal[0]) / max(1, self._values.count - int(scan.nonfinite[0]))
        if mean <= 0:
            return {}
        rms = math.sqrt(mean)
        return {name: tabulated_sqnr_db(fmt, name, rms) for name in THEORY}  # type: ignore[arg-type]

    def _subnormal_costs(self, fmt: Format) -> list[SubnormalCost]:
        scan, ieee, default = self._scan, _with_ieee_subnormals(fmt), fmt.default_bias
        columns = (
            scan.bias(ieee), self._db(scan.least(ieee)), self._db(scan.least(fmt)),
            self._db(scan.error_at(ieee, default)), self._db(scan.error_at(fmt, default)),
        )  # fmt: skip
        return [
            SubnormalCost(bias, best, _gain_db(best, own), _gain_db(best_there, own_there))
            for bias, best, own, best_there, own_there in zip(*columns, strict=True)
        ]


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
