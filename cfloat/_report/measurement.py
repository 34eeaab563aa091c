"""The measuring of one tensor: what each format costs it, for the rows of a report."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.groups import Blocks, Groups, Slices
from cfloat._bias.histogram import Histogram
from cfloat._bias.peak import largest_magnitude
from cfloat._bias.round_to import round_to
from cfloat._bias.search_slices import choose_each, grouped_error
from cfloat._bias.squared_errors import least_error, squared_errors
from cfloat._convert.elementwise import round_checked
from cfloat._core.dtypes import fits_float32
from cfloat._core.finfo import finfo
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.pieces import pieces
from cfloat._metrics.error import ErrorStats, Sums
from cfloat._metrics.sqnr import sqnr_db
from cfloat._metrics.theory import theoretical_sqnr_db

from .baselines import Comparison, compare_baselines
from .granularities import GRANULARITIES, Layout
from .records import (
    THEORY,
    BiasCurve,
    Granularity,
    ReportRow,
    SubnormalCost,
    TensorSummary,
    Window,
)

Array = NDArray[Any]
Floats = NDArray[np.float64]

#: dB below the best that still belong to a plateau.
PLATEAU_DB: Final = 0.1


@dataclass(frozen=True)
class Measured:
    """What was measured on one tensor."""

    summary: TensorSummary
    rows: list[ReportRow]
    granularity: list[Granularity]
    comparisons: list[Comparison]


class Measurement:
    """The measuring of one tensor, step by step.

    Parameters
    ----------
    name, dtype : str
        The tensor's name and dtype as they are to be reported.
    tensor : ndarray
        Its values, of which at least one is finite.
    formats : dict of str to Format
        Formats by label.
    """

    def __init__(self, name: str, dtype: str, tensor: Array, formats: dict[str, Format]) -> None:
        self._name, self._dtype, self._tensor = name, dtype, tensor
        self._flat = tensor.reshape(-1)
        self._histogram = Histogram.of(tensor)
        self._signal = self._histogram.signal
        negative = any((self._flat[piece] < 0).any() for piece in pieces(self._flat.shape))
        self._peak = largest_magnitude(self._flat)
        self._known: dict[Format, Floats] = {}
        fitting = {label: fmt for label, fmt in formats.items() if fmt.signed or not negative}
        self._formats = fitting
        # what a checkpoint's tensors can become: those of several biases, and the unsigned ones
        self._stored = {
            label: fmt
            for label, fmt in fitting.items()
            if self._peak > 0 and (_several_biases(fmt) or not fmt.signed)
        }

    @property
    def steps(self) -> int:
        """How many steps there are, all of about the same length."""
        parts = sum(len(_granularities(fmt)) for fmt in self._stored.values())
        return 1 + len(self._formats) + parts + 1

    def run(self, advance: Callable[[], None]) -> Measured:
        """Measure everything, calling `advance` after each step."""
        advance()
        rows = []
        with no_flags():
            for label, fmt in self._formats.items():
                rows.append(self._row(label, fmt))
                advance()
            granularity = []
            for label, fmt in self._stored.items():
                for each in self._granularity(label, fmt):
                    granularity.append(each)
                    advance()
            comparisons = []
            # not beyond float32, nor where its squares are
            if 2.0**-126 <= self._peak <= 2.0**126:
                comparisons = compare_baselines(self._name, self._tensor, self._peak)
        advance()
        return Measured(self._summary(), rows, granularity, comparisons)

    def _summary(self) -> TensorSummary:
        histogram = self._histogram
        with np.errstate(over="ignore"):
            signal = float(np.ldexp(histogram.signal, 2 * histogram.scale))
        return TensorSummary(
            name=self._name,
            shape=self._tensor.shape,
            dtype=self._dtype,
            size=histogram.size,
            nonfinite=histogram.size - histogram.finite,
            zeros=histogram.zeros,
            max=self._peak,
            kurtosis=histogram.kurtosis,
            exponents=histogram.exponents(),
            signal=signal,
            is_constant=_is_constant(self._flat),
        )

    def _row(self, label: str, fmt: Format) -> ReportRow:
        errors = self._errors(fmt)
        bias = least_error(errors, fmt)
        stats = rounding_error(self._flat, fmt, bias)
        top = float(finfo(fmt, bias).max)
        return ReportRow(
            tensor=self._name,
            shape=self._tensor.shape,
            dtype=self._dtype,
            format=label,
            subnormals=fmt.subnormals,
            bits=fmt.bits,
            bias=bias,
            stats=stats,
            curve=self._curve(errors, fmt, bias),
            window=_window(fmt, bias),
            headroom=_binades(top, self._peak) if self._peak > 0 else 0,
            use=self._histogram.code_use(fmt, bias),
            stochastic_db=self._db(self._histogram.stochastic_error(fmt, bias)),
            theory=self._theory(fmt),
            denormals=self._subnormal_cost(fmt, errors) if fmt.subnormals == "whitepaper" else None,
        )

    def _errors(self, fmt: Format) -> Floats:
        """Sum the squared errors at every bias, shape (biases,), in the unit of the histogram's signal."""
        if fmt not in self._known:
            takes = Histogram.takes(fmt)
            errors = self._histogram.errors(fmt) if takes else squared_errors(self._flat, fmt)
            self._known[fmt] = errors
        return self._known[fmt]

    def _db(self, noise: float) -> float:
        return sqnr_db(self._signal, noise)

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
        mean = self._signal / max(1, self._histogram.finite)
        if mean <= 0:
            return {}
        return {
            name: theoretical_sqnr_db(fmt, name, math.sqrt(mean))  # type: ignore[arg-type]
            for name in THEORY
        }

    def _subnormal_cost(self, fmt: Format, errors: Floats) -> SubnormalCost:
        ieee = fmt.replace(subnormals="ieee")
        ieee_errors = self._errors(ieee)
        bias, low = least_error(ieee_errors, ieee), fmt.bias_range[0]
        best = self._db(float(ieee_errors[bias - low]))
        own = self._db(float(errors[least_error(errors, fmt) - low]))
        default = fmt.default_bias - low
        return SubnormalCost(
            ieee_bias=bias,
            ieee_sqnr_db=best,
            gain_db=_gain_db(best, own),
            default_gain_db=_gain_db(
                self._db(float(ieee_errors[default])), self._db(float(errors[default]))
            ),
        )

    def _granularity(self, label: str, fmt: Format) -> Iterator[Granularity]:
        errors = self._errors(fmt)
        whole = least_error(errors, fmt)
        shape = self._tensor.shape
        for name in _granularities(fmt):
            layout = GRANULARITIES[name]
            if layout.bias_count(shape) <= 1:
                biases, noise = np.array([whole]), float(errors[whole - fmt.bias_range[0]])
            else:
                biases, noise = self._grouped(_groups(self._tensor, layout), fmt)
            nbytes = layout.nbytes(shape, fmt)
            yield Granularity(
                tensor=self._name,
                format=label,
                granularity=name,
                sqnr_db=self._db(noise),
                biases=biases.size,
                lowest=int(biases.min()),
                median=int(np.median(biases)),
                highest=int(biases.max()),
                nbytes=nbytes,
                bits_per_element=8 * nbytes / self._tensor.size,
            )

    def _grouped(self, groups: Groups, fmt: Format) -> tuple[Array, float]:
        """Find the biases of groups, and the sum of the squared errors in the unit of the signal."""
        if fits_float32(self._tensor.dtype):
            return grouped_error(groups, fmt)
        biases, noise = np.full(groups.count, fmt.default_bias, np.int16), 0.0
        with np.errstate(all="ignore"):
            for part, values in groups:
                finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
                biases[part] = choose_each(finite, fmt, "mse", 1.0)
                rounded = round_checked(finite, fmt, biases[part][:, np.newaxis], finite.shape)
                scaled = np.ldexp(rounded - finite, -self._histogram.scale)
                noise += float(np.square(scaled).sum())
        return biases, noise


def _granularities(fmt: Format) -> Sequence[str]:
    """Name the granularities that a format can have: one, if it has one bias alone."""
    return tuple(GRANULARITIES)[: None if _several_biases(fmt) else 1]


def _groups(x: Array, layout: Layout) -> Groups:
    if layout.axis is not None:
        return Slices(x, layout.axis)
    assert layout.block is not None
    return Blocks(x, layout.block)


def rounding_error(flat: Array, fmt: Format, bias: int) -> ErrorStats:
    """Measure what rounding a tensor, shape (n,), to nearest costs, as `error` does, in pieces."""
    sums = Sums()
    limits = finfo(fmt, bias)
    with np.errstate(all="ignore"):
        for piece in pieces(flat.shape):
            rounded = round_to(flat[piece], fmt, bias)
            sums.add(flat[piece].astype(np.float64), rounded.astype(np.float64), limits)
    return sums.stats(flat.size, True)


def _is_constant(flat: Array) -> bool:
    """Whether all finite elements of a tensor, of which there is one, are equal."""
    first = flat[np.argmax(np.isfinite(flat))]
    return all(
        bool(((part == first) | ~np.isfinite(part)).all())
        for part in (flat[piece] for piece in pieces(flat.shape))
    )


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
    smallest = None if fmt.subnormals == "flush" else _exponent(float(limits.smallest_subnormal))
    return Window(smallest, _exponent(float(limits.smallest_normal)), _exponent(float(limits.max)))


def _exponent(value: float) -> int:
    return math.frexp(value)[1] - 1


def _gain_db(better: float, worse: float) -> float:
    # two exact results, both infinite, do not differ
    return 0.0 if better == worse else better - worse
