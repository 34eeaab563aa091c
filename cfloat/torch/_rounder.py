"""`Rounder`: a module that rounds tensors, and learns their bias as `cfloat.BiasTracker` does."""

from collections.abc import Callable
from typing import Self, SupportsIndex

import torch
from torch import Tensor, nn

from cfloat._bias import peak
from cfloat._bias.bias_methods import PeakRule
from cfloat._bias.tracker import BiasTracker
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode, check_rounding, check_seed

from . import _direct, _ops
from ._arguments import check_bias_or_rule, check_values
from ._distributed import largest_of_ranks
from ._formats import to_text
from ._peaks import bias_of_peak, largest_magnitude
from ._streams import drawn_seed, no_stream, signed


class Rounder(nn.Module):
    """A module that rounds a tensor to a format, with a straight-through gradient, as `round_to`.

    Parameters
    ----------
    fmt : Format or str
        The format.
    bias : "max", "mx", int or None, default "max"
        "max": the bias is learnt in training mode, as `cfloat.BiasTracker` does: the largest at which no
        element of the last `window` tensors, the current one included, is beyond the format's largest value.
        "mx": by OCP MX's rule in place of that, as there.  In evaluation mode it stays as it is, and before
        the first tensor it is the format's default.  An integer: that bias.  None: the format's default bias.
    window, margin : int
        As in `cfloat.BiasTracker`: how many tensors are remembered, and how many binades kept free above
        their largest element.
    rounding : str, default "ties_to_even"
        As in `cfloat.round_to`.
    seed : int, optional
        Seed of the random stream of stochastic rounding; PyTorch's default generator draws one if None.  Each
        tensor takes the words that follow those of the tensor before.

    Attributes
    ----------
    format : Format
        The format.
    history : Tensor of float64, shape (window,)
        A buffer: the largest magnitudes of the last tensors, the latest first, 0 where there was none yet; of
        a bias that is learnt.
    stream : Tensor of int64, shape (2,)
        A buffer: the random stream's seed, and how many words were taken, modulo 2**64; of stochastic
        rounding.  Both buffers are in the state dict, so that training goes on from it with the same bits.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above.

    Notes
    -----
    Where a process group of several ranks is initialised, a bias that is learnt is the same on all of them:
    in training mode, each tensor that is rounded takes the largest magnitude of all ranks, which must round
    as many tensors each, in the same order.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> rounder = cf.torch.Rounder(cf.CFloat8_1_4_3, window=2)
    >>> rounder(torch.tensor([0.3, 100.0])), rounder.bias
    (tensor([ 0.3125, 96.0000]), 9)
    >>> rounder.eval()(torch.tensor([1e6])), rounder.bias
    (tensor([120.]), 9)
    """

    history: Tensor
    stream: Tensor

    def __init__(
        self,
        fmt: Format | str,
        *,
        bias: PeakRule | SupportsIndex | None = "max",
        window: SupportsIndex = 16,
        margin: SupportsIndex = 0,
        rounding: RoundingMode = "ties_to_even",
        seed: SupportsIndex | None = None,
    ) -> None:
        super().__init__()
        self.format = fmt = as_format(fmt)
        check_rounding(rounding, (), 0, 0)
        self.rounding: RoundingMode = rounding
        checked = check_bias_or_rule("bias", bias, fmt)
        self._rule: PeakRule = "max"
        self.learns = not isinstance(checked, int)
        self._fixed = fmt.default_bias
        if isinstance(checked, int):
            self._fixed = checked
        else:
            self._rule = checked
        tracked = BiasTracker(fmt, window=window, margin=margin).state_dict()  # which checks them
        self._margin: int = tracked["margin"]
        if self.learns:
            self.register_buffer("history", torch.zeros(tracked["window"], dtype=torch.float64))
        if rounding == "stochastic":
            word = int(drawn_seed()) if seed is None else signed(check_seed(seed))
            self.register_buffer("stream", torch.tensor([word, 0]))

    @property
    def bias(self) -> int:
        """The bias to use now."""
        return int(self._bias().item())

    def observe(self, x: Tensor) -> None:
        """Take note of a tensor's largest finite magnitude, if the bias is learnt.

        Parameters
        ----------
        x : Tensor of float64, float32, float16 or bfloat16
            Values.

        Raises
        ------
        ArgumentTypeError
            If `x` is not such a tensor.
        """
        check_values(x)
        if not self.learns:
            return
        self._remember(largest_magnitude(x))

    def _remember(self, peak: Tensor) -> None:
        with torch.no_grad():
            self.history.copy_(torch.cat((peak.reshape(1), self.history[:-1])))

    def forward(self, x: Tensor) -> Tensor:
        """Round a tensor; in training mode, take note of it first."""
        if self.training:
            check_values(x)
            if self.learns:
                self._remember(largest_of_ranks(largest_magnitude(x)))
        if self.rounding != "stochastic" and isinstance(x, Tensor) and _direct.is_eager(x):
            bias = self._known_bias()
            if bias is not None and _direct.takes(x, self.format, bias, self.rounding, None, 0):
                return _ops.round_at_once(x, self.format, bias, self.rounding, None, 0)
        stream = no_stream()
        if self.rounding == "stochastic":
            stream = self.stream.clone()
            with torch.no_grad():
                self.stream[1] += x.numel()
        rounded: Tensor = torch.ops.cfloat.round_to(
            check_values(x), self._bias(), stream, to_text(self.format), self.rounding
        )
        return rounded

    def _known_bias(self) -> int | None:
        """Give the bias as `_bias` does, if no device need be waited for."""
        if not self.learns:
            return self._fixed
        if not self.history.is_cpu:
            return None
        largest = float(self.history.amax())
        return peak.bias_of_peak(largest, self.format, self._rule, self._margin)

    def _bias(self) -> Tensor:
        if not self.learns:
            return torch.tensor(self._fixed, dtype=torch.int16, device="cpu")
        return bias_of_peak(self.history.amax(), self.format, self._rule, self._margin)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the buffers, but leave `history` in float64: ``half()`` is for values of a model."""
        before = self.history if self.learns else None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if before is not None and self.history.dtype != before.dtype:
            self.history = before.to(self.history.device)
        return self

    def extra_repr(self) -> str:
        """Give the words that ``repr`` shows in parentheses."""
        learnt = "learnt" if self._rule == "max" else f"learnt by {self._rule!r}"
        bias = learnt if self.learns else self._fixed
        return f"{self.format.name}, bias={bias}, rounding={self.rounding!r}"
