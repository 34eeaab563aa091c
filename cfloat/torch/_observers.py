"""What is gathered of the tensors of many batches, and the biases that follow from it."""

from typing import Any, Protocol

import torch
from torch import Tensor

from cfloat._bias.bias_methods import PeakRule
from cfloat._bias.peak import unbounded_bias
from cfloat._bias.squared_errors import least_error, squared_errors
from cfloat._core import binding
from cfloat._core.flags import no_flags
from cfloat._core.format import Format

from ._formats import to_text
from ._layout import BiasLayout
from ._memory import for_numpy
from ._peaks import frexp_exponent, largest_magnitudes
from ._streams import no_stream


class Observer(Protocol):
    """What sees tensors one by one."""

    def see(self, x: Tensor) -> None:
        """Take note of a tensor."""

    def found(self) -> tuple[Tensor | None, Tensor | None]:
        """Give magnitudes from which biases follow, or else biases."""


class Peaks:
    """The largest magnitudes, or a moving average of those of each tensor."""

    def __init__(self, layout: BiasLayout, momentum: float | None) -> None:
        self._layout, self._momentum = layout, momentum
        self._peaks: Tensor | None = None

    def see(self, x: Tensor) -> None:
        """Take note of a tensor."""
        peaks = largest_magnitudes(x, self._layout)
        if self._peaks is None:
            self._peaks = peaks
        elif self._momentum is None:
            self._peaks = torch.maximum(self._peaks, peaks)
        else:
            self._peaks = torch.lerp(self._peaks, peaks, self._momentum)

    def found(self) -> tuple[Tensor | None, Tensor | None]:
        """Give the magnitudes."""
        return self._peaks, None


class Percentile:
    """Counts of elements by the largest bias at which each is within a format's range."""

    def __init__(self, layout: BiasLayout, fmt: Format, percentile: float) -> None:
        self._layout, self._format, self._percentile = layout, fmt, percentile
        self._counts: Tensor | None = None

    def see(self, x: Tensor) -> None:
        """Take note of a tensor."""
        low, high = self._format.bias_range
        rule: PeakRule = "max"
        magnitudes = _rows(x.detach(), self._layout).to(torch.float64).abs()
        fraction = ((magnitudes.contiguous().view(torch.int64) & (2**52 - 1)) | (1022 << 52)).view(
            torch.float64
        )
        exponent = frexp_exponent(magnitudes)
        bias = unbounded_bias(fraction, exponent, self._format, rule).clamp(low, high)
        # the first place is for zeros, which are within the range at every bias
        place = torch.where(magnitudes == 0, 0, high + 1 - bias)
        size, rows = high - low + 2, magnitudes.shape[0]
        place = place + size * torch.arange(rows, device=x.device)[:, None]
        kept = place[magnitudes.isfinite()]
        counts = torch.bincount(kept, minlength=rows * size).reshape(rows, size)
        self._counts = counts if self._counts is None else self._counts + counts

    def found(self) -> tuple[Tensor | None, Tensor | None]:
        """Give the biases."""
        assert self._counts is not None
        reached = self._counts.cumsum(1)
        needed = torch.tensor(
            [
                binding.count_of_percentile(self._percentile, total)
                for total in reached[:, -1].tolist()
            ],
            device=reached.device,
        )
        place = (reached < needed[:, None]).sum(1)
        biases = torch.where(
            place == 0, self._format.default_bias, self._format.bias_range[1] + 1 - place
        )
        return None, biases.reshape(()) if self._layout.is_one else biases


class SquaredErrors:
    """The sums of squared errors of rounding to nearest, at every bias."""

    def __init__(self, layout: BiasLayout, fmt: Format) -> None:
        self._layout, self._format = layout, fmt
        self._errors: Any = None

    def see(self, x: Tensor) -> None:
        """Take note of a tensor."""
        x = x.detach()
        if x.dtype == torch.float64:
            x = x.float()  # whose sums share a scale
        if self._layout.is_one:
            with no_flags():
                errors: Any = squared_errors(for_numpy(x), self._format)
        else:
            errors = self._of_rows(_rows(x, self._layout))
        self._errors = errors if self._errors is None else self._errors + errors

    def _of_rows(self, rows: Tensor) -> Tensor:
        low, high = self._format.bias_range
        rows = torch.where(rows.isfinite(), rows, 0).contiguous()
        found = []
        for bias in range(low, high + 1):
            one = torch.tensor(bias, dtype=torch.int16, device="cpu")
            rounded = torch.ops.cfloat.round_to(
                rows, one, no_stream(), to_text(self._format), "ties_to_even"
            )
            found.append((rounded.double() - rows.double()).square().sum(1))
        return torch.stack(found, 1)

    def found(self) -> tuple[Tensor | None, Tensor | None]:
        """Give the biases."""
        fmt = self._format
        if self._layout.is_one:
            return None, torch.tensor(least_error(self._errors, fmt))
        # of several that are equally good the one nearest the default
        low, high = fmt.bias_range
        errors = self._errors.nan_to_num(nan=torch.inf)
        biases = torch.arange(low, high + 1, device=errors.device)
        distance = torch.where(
            errors == errors.amin(1, keepdim=True),
            (biases - fmt.default_bias).abs(),
            high - low + 1,
        )
        return None, biases[distance.argmin(1)]


def _rows(x: Tensor, layout: BiasLayout) -> Tensor:
    """Give what shares a bias as the rows of a matrix."""
    if layout.is_one:
        return x.reshape(1, -1)
    assert isinstance(layout.axis, int)
    rows = x.movedim(layout.axis, 0)
    return rows.reshape(rows.shape[0], -1)
