"""`Rounder`: a module that rounds tensors, and learns their bias as `cfloat.BiasTracker` does."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Self, SupportsIndex

import torch
from torch import Tensor, nn

from cfloat._bias import peak
from cfloat._bias.bias_layout import Axis
from cfloat._bias.bias_methods import PeakRule
from cfloat._bias.tracker import BiasTracker
from cfloat._core.arguments import integer
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode, check_rounding, check_seed
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from . import _direct, _ops
from ._arguments import check_bias_or_rule, check_strided
from ._distributed import largest_of_ranks, whole
from ._formats import to_text
from ._layout import BiasLayout
from ._notices import has_values, is_traced, new_model, tell_unlearnt
from ._peaks import bias_of_peak, largest_magnitudes
from ._streams import drawn_seed, no_stream, signed

#: The keys that a Rounder may have in a state.
KEYS_OF_ROUNDERS: Final = ("history", "observed", "biases", "format_text", "stream")


class Rounder(nn.Module):
    """A module that rounds a tensor to a format, with a straight-through gradient, as `round_to`.

    Parameters
    ----------
    fmt : Format or str
        The format.
    bias : "max", "mx", int or None, default "max"
        "max": the bias is learnt in training mode, as `cfloat.BiasTracker` does: the largest at which no
        element of the last `window` tensors, the current one included, is beyond the format's largest value.
        "mx": by OCP MX's rule in place of that, as there.  In evaluation mode it stays as it is; before the
        first tensor it is the format's default, of which a `QuantizationWarning` tells.  An integer: that
        bias.  None: the format's default bias.
    window, margin : int
        As in `cfloat.BiasTracker`: how many tensors are remembered, and how many binades kept free above
        their largest element.
    rounding : str, default "ties_to_even"
        As in `cfloat.round_to`.
    seed : int, optional
        Seed of the random stream of stochastic rounding; PyTorch's default generator draws one if None.  Each
        tensor takes the words that follow those of the tensor before.
    axis, block : int or tuple of int, and int, optional
        Where biases lie that are learnt, as in `cfloat.asarray`: one a slice along `axis`, or one for each
        `block` elements of the last axis, or along `axis`; one for all if neither is given.

    Attributes
    ----------
    format : Format
        The format.
    history : Tensor of float64, shape (window,), or (window, ...) of several biases
        A buffer: the largest magnitudes of the last tensors, the latest first, 0 where there was none yet; of
        a bias that is learnt.  All are -1 if `biases` counts in its place.
    observed : Tensor of int64, shape (2,)
        A buffer: of how many elements, and of how many tensors, the bias was learnt.
    biases : Tensor of int32
        A buffer: the biases that `calibrate` chose, or a state dict brought; in a state dict, those in use.
    format_text : Tensor of uint8
        A buffer: the format, and along what several biases lie, as a state dict says it.
    stream : Tensor of int64, shape (2,)
        A buffer: the random stream's seed, and how many words were taken, modulo 2**64; of stochastic
        rounding.  All buffers are in the state dict, so that training goes on from it with the same bits.

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
    observed: Tensor
    biases: Tensor
    format_text: Tensor
    stream: Tensor

    # the layout that `format_text` has
    _said: BiasLayout | None = None
    # whether it is known that something was learnt; looked up in eager mode alone
    _was_learnt = False
    # what a warning calls the bias
    _called = "the bias of a Rounder"
    # the axis of channels, and how many there are, where biases may come to be one a channel
    _channels: tuple[int, int] | None = None
    # the axis of positions, which a mask of a batch's positions may leave out
    _positions = 1

    def __init__(
        self,
        fmt: Format | str,
        *,
        bias: PeakRule | SupportsIndex | None = "max",
        window: SupportsIndex = 16,
        margin: SupportsIndex = 0,
        rounding: RoundingMode = "ties_to_even",
        seed: SupportsIndex | None = None,
        axis: Axis | None = None,
        block: SupportsIndex | None = None,
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
        self._layout = _check_layout(axis, block)
        if not (self._layout.is_one or self.learns):
            raise ArgumentValueError(
                f"axis or block is given, and bias is {shown(bias)}; they take biases that are learnt"
            )
        self._model = new_model()
        tracked = BiasTracker(fmt, window=window, margin=margin).state_dict()  # which checks them
        self._margin: int = tracked["margin"]
        if self.learns:
            self.register_buffer("history", torch.zeros(tracked["window"], dtype=torch.float64))
            self._register_counts()
        if rounding == "stochastic":
            word = int(drawn_seed()) if seed is None else signed(check_seed(seed))
            self.register_buffer("stream", torch.tensor([word, 0]))

    def _register_counts(self) -> None:
        device, shape = self.history.device, self.history.shape[1:]
        self.register_buffer("observed", torch.zeros(2, dtype=torch.int64, device=device))
        # of 32 bits, as gloo and NCCL, which DDP sends buffers by, have none of 16
        default = torch.full(shape, self.format.default_bias, dtype=torch.int32, device=device)
        self.register_buffer("biases", default)
        self._say()

    def _say(self) -> None:
        """Write the format and where biases lie, which may have come to be known since."""
        if self._said != self._layout:
            self._said, where = self._layout, self._layout.to_text()
            text = f"{to_text(self.format)}\n{where}" if where else to_text(self.format)
            device = self.history.device
            written = torch.tensor(list(text.encode()), dtype=torch.uint8, device=device)
            self.register_buffer("format_text", written)

    @property
    def axis(self) -> int | tuple[int, ...] | None:
        """Along what biases lie, if there are several; see `block`."""
        return self._layout.axis

    @property
    def block(self) -> int | None:
        """How many elements share a bias, if biases lie by blocks."""
        return self._layout.block

    @property
    def bias(self) -> int | Tensor:
        """The bias to use now; several as a tensor of int16, which lie by `axis` and `block`."""
        bias = self._bias()
        return int(bias.item()) if bias.ndim == 0 else bias.to(torch.int16)

    @property
    def is_learnt(self) -> bool:
        """Whether a bias is given, or was learnt of something."""
        return not self.learns or int(self.observed[1]) > 0

    def observe(self, x: Tensor) -> None:
        """Take note of a tensor's largest finite magnitudes, if the bias is learnt.

        Parameters
        ----------
        x : Tensor of float64, float32, float16 or bfloat16
            Values; of a DTensor those of all ranks, which all call this.

        Raises
        ------
        ArgumentTypeError
            If `x` is not such a tensor.
        ArgumentValueError
            If it has not the axes, or the shape, that biases lie along.
        """
        check_strided(x)
        if not self.learns:
            return
        self._remember(whole(x))

    def _remember(self, x: Tensor, *, of_all_ranks: bool = False) -> None:
        with torch.no_grad():
            if not self._layout.is_one:
                self._check_shape(x)
            history, observed = self.history, self.observed
            if x.device != history.device:
                raise ArgumentValueError(
                    f"x is on {x.device}; what the Rounder learnt is on {history.device}"
                )
            peaks = largest_magnitudes(x, self._layout)
            if of_all_ranks:
                peaks = largest_of_ranks(peaks)
            history.copy_(torch.cat((peaks.unsqueeze(0), history[:-1])))
            if observed.is_cpu and not (torch.compiler.is_compiling() or is_traced()):
                observed.add_(_one_more(x.numel()))
            else:
                observed[0] += x.numel()
                observed[1] += 1

    def _check_shape(self, x: Tensor) -> None:
        """Refuse a tensor whose biases are not those learnt so far; the first says how many there are."""
        axis = self._layout.axis
        lowest = 0
        for each in axis if isinstance(axis, tuple) else (-1 if axis is None else axis,):
            lowest = max(lowest, each + 1, -each)
        if x.ndim < lowest:
            where = "the last axis" if axis is None else f"axis {axis}"
            raise ArgumentValueError(
                f"x has {x.ndim} axes; biases lie along {where} and take {lowest} or more"
            )
        shape = self._layout.shape_of(x.shape)
        if self.history.ndim == 1:
            self._reshape(shape)
        elif tuple(self.history.shape[1:]) != shape:
            raise ArgumentValueError(
                f"x has shape {tuple(x.shape)}, of biases of shape {shape}; those learnt so far have "
                f"shape {tuple(self.history.shape[1:])}"
            )

    def _reshape(self, shape: tuple[int, ...]) -> None:
        """Begin anew, with biases of another shape."""
        self.history = self.history.new_zeros((self.history.shape[0], *shape))
        self.biases = self.biases.new_full(shape, self.format.default_bias)
        self.observed.zero_()
        self._was_learnt = False

    @torch.no_grad()
    def _settle(
        self, layout: BiasLayout, *, peaks: Tensor | None, biases: Tensor | None, observed: Tensor
    ) -> None:
        """Take what was found of many tensors at once: magnitudes from which biases follow, or biases."""
        found = biases if peaks is None else peaks
        assert found is not None
        self._layout = layout
        if tuple(self.history.shape[1:]) != tuple(found.shape):
            self._reshape(tuple(found.shape))
        if peaks is not None:
            self.history.zero_()
            self.history[0] = peaks
        else:
            self.history.fill_(-1)
        self.observed.copy_(observed)
        self._was_learnt = False
        self.biases.copy_(found if peaks is None else self._bias())

    def forward(self, x: Tensor) -> Tensor:
        """Round a tensor; in training mode, take note of it first."""
        if self.training:
            check_strided(x)
            if self.learns:
                if not torch.compiler.is_compiling() and _ops.is_of_rows(x):
                    raise ArgumentValueError(
                        "a Rounder in training mode is given rows of torch.vmap; it learns of whole tensors: "
                        "call eval(), or give it a bias"
                    )
                self._remember(x, of_all_ranks=True)
        elif self.learns and (torch.compiler.is_compiling() or not self._was_learnt):
            self._look_whether_learnt()
        return self._rounded(x)

    def _round_rows(self, x: Tensor, rows: Tensor) -> Tensor:
        """Round what was taken out of a matrix by indices of its rows, as the matrix would have been.

        Parameters
        ----------
        x : Tensor, shape (..., columns)
            Elements, of a matrix of which it `_rounds_rows_alone`.
        rows : Tensor of integers, shape (...)
            The row that they were taken from.
        """
        if self.learns and (torch.compiler.is_compiling() or not self._was_learnt):
            self._look_whether_learnt()
        return self._rounded(x, rows)

    @property
    def _rounds_rows_alone(self) -> bool:
        """Whether a row of a matrix is rounded to the same bits without the others."""
        axis, block = self._layout.axis, self._layout.block
        return (
            not self.training
            and self.rounding != "stochastic"
            and (axis in (None, 0) if block is None else axis in (None, -1, 1))
        )

    def _rounded(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        if self.rounding != "stochastic" and isinstance(x, Tensor) and _direct.is_eager(x):
            bias = self._known_bias()
            if bias is not None and _direct.takes(x, self.format, bias, self.rounding, None, 0):
                return _ops.round_at_once(x, self.format, bias, self.rounding, None, 0)
        check_strided(x)
        stream = no_stream()
        if self.rounding == "stochastic":
            stream = self.stream.clone()
            with torch.no_grad():
                self.stream[1] += _ops.words_drawn(x)
        biases = self._bias()
        if rows is None or not biases.ndim:
            biases = self._layout.spread(biases, x.shape)
        elif self._layout.block is None:
            biases = biases[rows].unsqueeze(-1)
        else:
            biases = BiasLayout(None, self._layout.block).spread(biases[rows], x.shape)
        rounded: Tensor = torch.ops.cfloat.round_to(
            x, biases, stream, to_text(self.format), self.rounding
        )
        return rounded

    def _look_whether_learnt(self) -> None:
        tell_unlearnt(self.observed, self._model, self._called, self.format.default_bias)
        if not torch.compiler.is_compiling() and has_values(self.observed):
            self._was_learnt = int(self.observed[1]) > 0

    def _known_bias(self) -> int | None:
        """Give the bias as `_bias` does, if it is one and no device need be waited for."""
        if not self.learns:
            return self._fixed
        history = self.history
        if not self._layout.is_one or not history.is_cpu:
            return None
        largest = float(history.amax())
        if largest < 0:
            return int(self.biases)
        return peak.bias_of_peak(largest, self.format, self._rule, self._margin)

    def _bias(self) -> Tensor:
        if not self.learns:
            return torch.tensor(self._fixed, dtype=torch.int16, device="cpu")
        largest = self.history.amax(0)
        learnt = bias_of_peak(largest.clamp(min=0), self.format, self._rule, self._margin)
        return torch.where(largest < 0, self.biases.to(torch.int64), learnt)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the buffers, but leave `history` in float64: ``half()`` is for values of a model."""
        before = self.history if self.learns else None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if before is not None and self.history.dtype != before.dtype:
            self.history = before.to(self.history.device)
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Save; the biases are those in use, for whoever reads the file."""
        if self.learns:
            self._say()
        if self.learns and has_values(self.history):
            with torch.no_grad():
                self.biases.copy_(self._bias())
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[no-untyped-call]

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *how: Any) -> None:
        """Load; of a state without counts, written before there were any, they are what the history says."""
        history = state_dict.get(f"{prefix}history")
        if self.learns and isinstance(history, Tensor):
            if written_otherwise(state_dict, prefix, self.format):
                if learnt_magnitudes(history) is None:
                    how[-1].append(
                        f"{prefix}biases are of another format than {self.format.name}, and not by the "
                        "largest magnitudes: calibrate the model, or let it be of that format"
                    )
                    state_dict.update({f"{prefix}{key}": own for key, own in self._buffers.items()})
                    history = self.history
                state_dict.pop(f"{prefix}biases", None)
            where = text_of(state_dict, prefix)[1]
            if f"{prefix}observed" not in state_dict:
                state_dict[f"{prefix}observed"] = counts_of_history(history)
            shape = tuple(history.shape[1:])
            if f"{prefix}biases" not in state_dict:
                state_dict[f"{prefix}biases"] = self.biases.new_full(
                    shape, self.format.default_bias
                )
            if shape != tuple(self.history.shape[1:]):
                self._adopt(shape)
            if self._layout.contradicts(where, shape):
                how[-1].append(f"{prefix}biases lie by {where}; here by {self._layout.to_text()}")
                state_dict.update({f"{prefix}{key}": own for key, own in self._buffers.items()})
            self._say()
            state_dict[f"{prefix}format_text"] = self.format_text
        self._was_learnt = False
        super()._load_from_state_dict(state_dict, prefix, *how)  # type: ignore[no-untyped-call]

    def _adopt(self, shape: tuple[int, ...]) -> None:
        """Let biases lie as those of a state, if they may; if not, loading says what is wrong."""
        if self._channels is not None and shape in ((), self._channels[1:]):
            self._layout = BiasLayout(self._channels[0]) if shape else BiasLayout()
            self._reshape(shape)
        elif self.history.ndim == 1 and not self._layout.is_one:  # which has seen nothing
            self._reshape(shape)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, also what was pickled before there were counts and layouts."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if "_layout" not in self.__dict__:
            self._layout, self._model = BiasLayout(), new_model()
            if self.learns:
                self._register_counts()
                self.observed.copy_(counts_of_history(self.history))

    def extra_repr(self) -> str:
        """Give the words that ``repr`` shows in parentheses."""
        where = "".join(
            f", {name}={given}"
            for name, given in (("axis", self.axis), ("block", self.block))
            if given is not None
        )
        return f"{self.format.name}, {self._state_in_words()}{where}, rounding={self.rounding!r}"

    def _state_in_words(self) -> str:
        if not self.learns:
            return f"bias={self._fixed}"
        by = "" if self._rule == "max" else f" by {self._rule!r}"
        if not has_values(self.history):
            return f"bias=learnt{by}"
        return in_words(self._bias(), self.observed, by)


@lru_cache(maxsize=256)
def _one_more(elements: int) -> Tensor:
    """Give what a tensor of so many elements adds to the counts."""
    return torch.tensor((elements, 1), device="cpu")


def text_of(state: Any, prefix: str) -> tuple[str, str]:
    """Give the format that a rounder's state says, and where biases lie; nothing where it doesn't."""
    text = state.get(f"{prefix}format_text")
    if not isinstance(text, Tensor) or not has_values(text):
        return "", ""
    fmt, _, where = bytes(text.tolist()).decode(errors="replace").partition("\n")
    return fmt, where


def written_otherwise(state: Any, prefix: str, fmt: Format) -> bool:
    """Whether a rounder's state says that it is of another format."""
    return text_of(state, prefix)[0] not in ("", to_text(fmt))


def learnt_magnitudes(history: Tensor) -> Tensor | None:
    """Give the magnitudes from which biases of any format follow; None if a history has none."""
    largest = history.to(torch.float64).amax(0)
    return None if has_values(largest) and bool((largest < 0).any()) else largest


def counts_of_history(history: Tensor) -> Tensor:
    """Give what a history, written before counts were, says of how many elements and tensors there were."""
    return torch.tensor([0, int((history.reshape(len(history), -1) != 0).any(1).sum())])


def in_words(bias: Tensor, observed: Tensor, by: str = "") -> str:
    """Say which bias, or which biases from the least to the largest, were learnt, and from how much."""
    elements, tensors = observed.tolist()
    if not tensors:
        return f"bias not learnt yet{by}"
    shown_bias = str(int(bias.reshape(-1)[0])) if bias.numel() else "none"
    if bias.numel() > 1:
        shown_bias = f"{int(bias.min())} to {int(bias.max())}, {bias.numel():,} biases"
    much = f"{elements:,} elements in " if elements else ""
    batches = f"{tensors:,} batch{'' if tensors == 1 else 'es'}"
    return f"bias={shown_bias}{by} from {much}{batches}"


def _check_layout(axis: Axis | None, block: object) -> BiasLayout:
    checked = None if block is None else integer("block", block, 1)
    if axis is None:
        return BiasLayout(None, checked)
    if not isinstance(axis, tuple):
        return BiasLayout(integer("axis", axis), checked)
    axes = tuple(integer("axis", each) for each in axis)
    if checked is None:
        raise ArgumentTypeError(
            f"axis is {shown(axis)}, and there is no block; it takes an integer, and with block several"
        )
    if not axes or axes != tuple(range(axes[0], axes[0] + len(axes))):
        raise ArgumentValueError(
            f"axis is {shown(axis)}; with block it takes one, or several that are adjacent and ascending"
        )
    return BiasLayout(axes, checked)
