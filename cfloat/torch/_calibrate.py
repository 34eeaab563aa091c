"""`calibrate`: the biases of activations, from batches and without training."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Final, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from cfloat._bias.bias_methods import check_percentile
from cfloat._core.arguments import check_choice
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._attention import OPERANDS
from ._distributed import of_other_ranks
from ._inference import CFloatLinear
from ._layers import Quantized
from ._layout import BiasLayout
from ._notices import QuantizationWarning
from ._observers import Observer, Peaks, Percentile, SquaredErrors
from ._rounder import Rounder
from ._running import called, check_batches, evaluating, mask_of

CalibrationMethod = Literal["max", "percentile", "mse", "moving_average"]
Granularity = Literal["tensor", "channel"]
_METHODS: Final = get_args(CalibrationMethod)
_GRANULARITIES: Final = get_args(Granularity)

AnyModule = TypeVar("AnyModule", bound=nn.Module)
Learner = Rounder | CFloatLinear


def calibrate(
    model: AnyModule,
    batches: Iterable[Any],
    *,
    method: CalibrationMethod = "max",
    per: Granularity = "tensor",
    percentile: float = 99.9,
    momentum: float = 0.1,
    forward: Callable[[Any], Any] | None = None,
    progress: bool = True,
) -> AnyModule:
    """Learn the biases of a quantized model's activations from batches, without training.

    Parameters
    ----------
    model : Module
        A model that `quantize` changed, or with layers of codes.  It runs in evaluation mode and without
        gradients, so that neither BatchNorm nor dropout nor any parameter changes, and without rounding
        activations or weights; each of its modules is then back in the mode that it was in.
    batches : iterable of mapping, tuple, list or Tensor
        Its inputs: by names, in their order, or one.  If a batch has ``attention_mask``, of two axes, tensors
        whose first two axes have these lengths count where it is not 0, and all others do; of the operands of
        attention's products the first axis and the third.
    method : {"max", "percentile", "mse", "moving_average"}, optional
        What the biases follow from.  "max": the largest magnitude of all batches.  "moving_average": the
        average of the largest magnitudes of each, by `momentum`.  From both by the rule and with the margin
        that the layer learns by in training mode.  "percentile": the largest bias at which so many per cent
        of all elements are within the range.  "mse": the bias of the least sum of squared errors of them, as
        float32 if they are float64.
    per : {"tensor", "channel"}, optional
        Whether there is one bias, or one for each channel: of a Linear layer's input the last axis, of a Conv
        layer's that before those of places.  Layers without channels have one bias.
    percentile : float, optional
        Above 0 and at most 100; of "percentile" only.
    momentum : float, optional
        Above 0 and at most 1: how much of the average each further batch is; of "moving_average" only.
    forward : callable, optional
        Called with each batch, it runs the model; by default the model is called.
    progress : bool, optional
        Whether to show a bar on a terminal, on stderr, after a second.

    Returns
    -------
    Module
        `model`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above, no layer has a bias of activations to learn, there is no batch, or a
        layer's inputs have changing numbers of channels.

    Warns
    -----
    QuantizationWarning
        Names layers that no batch reached: their biases stay as they were.

    See Also
    --------
    quantize : Makes a model round.
    summary : Shows the biases.

    Notes
    -----
    In training mode a model goes on from what "max" and "moving_average" found, as from a tensor of that
    magnitude, and learns anew after "percentile" and "mse".  Biases of gradients are learnt in training mode
    alone, and those of weights from the weights.

    Where a process group is initialised, all ranks call this together, and the biases are those of all their
    batches; of moving averages, the largest.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    >>> _ = cf.torch.quantize(model, weight=cf.CFloat8_1_4_3, activation=cf.CFloat8_1_4_3)
    >>> _ = cf.torch.calibrate(model, [torch.randn(64, 4) for _ in range(4)])
    >>> model[2].activation_rounder
    Rounder(CFloat8_1_4_3, bias=14 from 2,048 elements in 4 batches, rounding='ties_to_even')
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"model is {shown(model)}; it takes a torch.nn.Module")
    check_batches(batches)
    check_choice("method", method, _METHODS)
    check_choice("per", per, _GRANULARITIES)
    percentile = check_percentile(percentile)
    weight = _check_momentum(momentum)
    if forward is not None and not callable(forward):
        raise ArgumentTypeError(f"forward is {shown(forward)}; it takes a function")
    # a compiled model is one around the other, whose graph would know nothing of observers
    inner: Any = getattr(model, "_orig_mod", model)
    learners = _learners(inner)
    if not learners:
        raise ArgumentValueError(
            "model has no activations whose bias is learnt; quantize(model, activation=...) gives it some"
        )
    seen = {
        id(one): _Seen(one, _made(method, percentile, weight, one, per), _layout(one, per))
        for one in learners.values()
    }
    run = forward if forward is not None else lambda batch: called(inner, batch)
    count = 0
    with ExitStack() as stack:
        stack.enter_context(evaluating(inner))
        stack.enter_context(_uncompiled())
        mask: list[Tensor | None] = [None]
        stack.enter_context(_observing(inner, seen, mask))
        advance = stack.enter_context(_bar(progress))
        total = len(batches) if isinstance(batches, Sized) else 0
        for batch in batches:
            mask[0] = mask_of(batch)
            run(batch)
            count += 1
            advance(count, max(total, count))
    for others, others_count in of_other_ranks(([one.kept() for one in seen.values()], count)):
        count += others_count
        for each, kept in zip(seen.values(), others, strict=True):
            each.merge(*kept)
    if not count:
        raise ArgumentValueError("batches is empty; it takes at least one batch")
    for each in seen.values():
        each.settle()
    missed = [name for name, one in learners.items() if not seen[id(one)].tensors]
    if missed:
        warnings.warn(
            f"no batch reached {', '.join(map(repr, missed))}: the biases of these activations stay as they "
            "were",
            QuantizationWarning,
            stacklevel=2,
        )
    return model


class _Seen:
    """What is seen of the inputs of one layer."""

    def __init__(self, learner: Learner, observer: Observer, layout: BiasLayout) -> None:
        self._learner, self._observer, self._layout = learner, observer, layout
        # of a convolution the second axis is no position
        own = learner._channels if isinstance(learner, Rounder) else None
        self._has_rows = own is None or own[0] == -1
        self._positions = learner._positions if isinstance(learner, Rounder) else 1
        self.elements = self.tensors = 0
        self._width: int | None = None

    def see(self, x: Tensor, mask: Tensor | None) -> None:
        """Take note of a tensor, where the mask says that it counts."""
        channels = None if self._layout.is_one else x.shape[_axis(self._layout)]
        if mask is not None and self._has_rows and x.ndim > self._positions + 1:
            x = x.movedim(self._positions, 1)
            if x.shape[:2] == mask.shape:
                x = x[mask.to(x.device)]
        if channels is not None and self._width not in (None, channels):
            raise ArgumentValueError(
                f"inputs of {channels} channels follow ones of {self._width}; per='channel' takes the same"
            )
        self._width = channels
        if not x.numel():  # an expert that no token went to, or padding alone: nothing was seen
            return
        self._observer.see(x)
        self.elements += x.numel()
        self.tensors += 1

    def settle(self) -> None:
        """Let the layer have what was found."""
        if not self.tensors:
            return
        peaks, biases = self._observer.found()
        with torch.inference_mode(False):  # buffers are for any mode, whichever this is
            self._learner._settle(
                self._layout,
                peaks=None if peaks is None else peaks.clone(),
                biases=None if biases is None else biases.clone(),
                observed=torch.tensor([self.elements, self.tensors]),
            )

    def kept(self) -> tuple[Any, int, int]:
        """Give what other ranks are told of what was seen."""
        return self._observer.kept, self.elements, self.tensors

    def merge(self, kept: Any, elements: int, tensors: int) -> None:
        """Take note of what another rank has seen."""
        self._observer.merge(kept)
        self.elements += elements
        self.tensors += tensors


def _axis(layout: BiasLayout) -> int:
    assert isinstance(layout.axis, int)
    return layout.axis


def _check_momentum(momentum: Any) -> float:
    try:
        value = float(momentum)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"momentum is {shown(momentum)}; it takes a number") from None
    if not 0 < value <= 1:
        raise ArgumentValueError(f"momentum is {value}; it is above 0 and at most 1")
    return value


def _learners(model: nn.Module) -> dict[str, Learner]:
    """Find what learns a bias of activations, by the name of its layer."""
    found: dict[str, Learner] = {}
    for name, module in model.named_modules():
        if isinstance(module, CFloatLinear):
            if module._rule is None and int(module.activation_observed[1]) >= 0:
                found[name] = module
        elif isinstance(module, Quantized):
            for role in ("activation", *OPERANDS):
                rounder = module._modules.get(f"{role}_rounder")
                if isinstance(rounder, Rounder) and rounder.learns:
                    found[name if role == "activation" else f"{name}.{role}"] = rounder
    if found:
        return found
    # rounders that a model calls by itself
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, Rounder)
        and part.learns
        and not name.endswith(("weight_rounder", "gradient_rounder"))
    }


def _layout(learner: Learner, per: Granularity) -> BiasLayout:
    if per == "tensor":
        is_own = isinstance(learner, Rounder) and learner._channels is None
        return learner._layout if is_own and isinstance(learner, Rounder) else BiasLayout()
    if isinstance(learner, CFloatLinear):
        return BiasLayout(-1)
    return learner._layout if learner._channels is None else BiasLayout(learner._channels[0])


def _made(
    method: CalibrationMethod,
    percentile: float,
    momentum: float,
    learner: Learner,
    per: Granularity,
) -> Observer:
    layout = _layout(learner, per)
    fmt = learner.format if isinstance(learner, Rounder) else learner.activation
    assert fmt is not None
    if method == "percentile":
        return Percentile(layout, fmt, percentile)
    if method == "mse":
        return SquaredErrors(layout, fmt)
    return Peaks(layout, momentum if method == "moving_average" else None)


@contextmanager
def _observing(
    model: nn.Module, seen: dict[int, _Seen], mask: list[Tensor | None]
) -> Iterator[None]:
    """Let a model's rounders pass on what they get, and note that of those that are to learn."""
    rounders = [part for part in model.modules() if isinstance(part, Rounder)]
    layers = [part for part in model.modules() if isinstance(part, CFloatLinear)]

    def passing(rounder: Rounder) -> Callable[..., Tensor]:
        own = seen.get(id(rounder))

        def look(x: Tensor, *_: Tensor) -> Tensor:
            if own is not None:
                own.see(x, mask[0])
            return x

        return look

    def multiplying(layer: CFloatLinear) -> Callable[[Tensor], Tensor]:
        own = seen.get(id(layer))

        def look(x: Tensor) -> Tensor:
            if own is not None:
                own.see(x, mask[0])
            return layer._multiplied_as_it_is(x)

        return look

    try:
        for rounder in rounders:
            # in the instance, where a call finds it first
            rounder.__dict__["forward"] = rounder.__dict__["_round_rows"] = passing(rounder)
        for layer in layers:
            layer.__dict__["forward"] = multiplying(layer)
        yield
    finally:
        for part in (*rounders, *layers):
            part.__dict__.pop("forward", None)
            part.__dict__.pop("_round_rows", None)


def _uncompiled() -> Any:
    """Run what is compiled as it is written, where PyTorch can: from 2.6 on."""
    stance = getattr(torch.compiler, "set_stance", None)
    return nullcontext() if stance is None else stance("force_eager")


@contextmanager
def _bar(shows: bool) -> Iterator[Callable[[float, int], None]]:
    if not shows:
        yield lambda done, total: None
        return
    from cfloat._report.progress import progress_bar  # rich is slow to import

    with progress_bar("Calibrating") as advance:
        yield advance
