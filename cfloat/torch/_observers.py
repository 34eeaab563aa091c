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

    @property
    def kept(self) -> Any:
        """What is kept of the tensors so far, on the CPU; None of none."""

    def merge(self, kept: Any) -> None:
        """Take note of tensors by what another observer has kept of them, which is in its own process."""


class _Keeping:
    """What keeps one thing, and has that of others put to it by `_join`."""

    _kept: Any = None

    @property
    def kept(self) -> Any:
        """What is kept of the tensors so far, on the CPU; None of none."""
        return self._kept.cpu() if isinstance(self._kept, Tensor) else self._kept

    def merge(self, kept: Any) -> None:
        """Take note of tensors by what another observer has kept of them."""
        if kept is not None and isinstance(self._kept, Tensor):
            kept = kept.to(self._kept.device)
        if kept is not None:
            self._kept = kept if self._kept is None else self._join(self._kept, kept)

    def _join(self, own: Any, other: Any) -> Any:
        return own + other


class Peaks(_Keeping):
    """The largest magnitudes, or a moving average of those of each tensor."""

    def __init__(self, layout: BiasLayout, momentum: float | None) -> None:
        self._layout, self._momentum = layout, momentum

    def see(self, x: Tensor) -> None:
        """Take note of a tensor."""
        peaks = largest_magnitudes(x, self._layout)
        if self._kept is None or self._momentum is None:
            self.merge(peaks)
        else:
            self._kept = torch.lerp(self._kept, peaks, self._momentum)

    def _join(self, own: Tensor, other: Tensor) -> Tensor:
        return torch.maximum(own, other)

    def found(self) -> tuple[Tensor | None, Tensor | None]:
        """Give the magnitudes."""
        return self._kept, None


class Percentile(_Keeping):
    """Counts of elements by the largest bias at which each is within a format's range."""

    def __init__(self, layout: BiasLayout, fmt: Format, percentile: float) -> None:
        self._layout, self._format, self._percentile = layout, fmt, percentile

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
        self.merge(torch.bincount(kept, minlength=rows * size).reshape(rows, size))

    def found(self) -> tuple[Tensor | None, Tensor | None]:
        """Give the biases."""
        reached = self._kept.cumsum(1)
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


class SquaredErrors(_Keeping):
    """The sums of squared errors of rounding to nearest, at every bias."""

    def __init__(self, layout: BiasLayout, fmt: Format) -> None:
        self._layout, self._format = layout, fmt

    def see(self, x: Tensor) -> None:
        """Take note of a tensor."""
        x = x.detach()
        if x.dtype == torch.float64:
            x = x.float()  # whose sums share a scale
        if self._layout.is_one:
            with no_flags():
                errors: Any = squared_errors(for_numpy(x), self._format)
        else:
            with no_flags():
                # float32 has every value of a format, and so the errors of rounding to it alone
                errors = self._of_rows(_rows(x.float(), self._layout))
        self.merge(errors)

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
            return None, torch.tensor(least_error(self._kept, fmt))
        # of several that are equally good the one nearest the default
        low, high = fmt.bias_range
        errors = self._kept.nan_to_num(nan=torch.inf)
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
