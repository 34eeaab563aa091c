"""`compensate`: a model's weights rounded for what its layers compute, from batches, in one call."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, SupportsIndex

from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from cfloat._bias.bias_layout import check_layout
from cfloat._compensate.round_compensated import (
    OUTPUT,
    Axis,
    CompensationStats,
    Order,
    round_compensated,
)
from cfloat._compensate.second_moments import SecondMoment
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.text import printable, shown
from cfloat._core.text_table import aligned
from cfloat._files.names_by_reason import in_one_line
from cfloat._report.progress import progress_bar
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._by_name import read_by_others
from ._compensate import compensated, put
from ._layers import Quantized
from ._moments import check_model, gathered, known_weights, why_none
from ._quantize import skipped
from ._running import check_batches

Progress = Callable[[float, int], None]


@dataclass(frozen=True)
class ModelCompensation:
    """What `compensate` came to: its text is a table.

    Attributes
    ----------
    weights : mapping of str to CompensationStats
        What was rounded, by name, in the order of calls: the errors of outputs on the inputs that it was
        rounded by, to nearest and as it is.
    left : mapping of str to str
        What has two axes or more and was left as it was, by name, with the reason.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Linear(4, 8))
    >>> found = cf.torch.compensate(model, [torch.arange(9)], cf.CFloat8_1_4_3)
    >>> list(found.weights), dict(found.left)
    (['1.weight'], {'0.weight': 'an embedding'})
    """

    weights: Mapping[str, CompensationStats]
    left: Mapping[str, str]

    def _rows(self) -> Iterator[list[str]]:
        for name, stats in self.weights.items():
            gain = stats.sqnr_db - stats.nearest_sqnr_db if stats.nearest_error else 0.0
            yield [
                printable(name), f"{stats.nearest_sqnr_db:.1f}", f"{stats.sqnr_db:.1f}", f"{gain:+.1f}",
                "; ".join(stats.notes),
            ]  # fmt: skip

    def __str__(self) -> str:
        headings = ["weight", "to nearest, dB", "compensated, dB", "gain", "note"]
        lines = list(aligned([headings, *self._rows()], [1, 2, 3]))
        if self.left:
            lines += ["", f"left as they were: {in_one_line(dict(self.left))}"]
        return "\n".join(lines)


def compensate(
    model: nn.Module,
    batches: Iterable[Any],
    fmt: Format | str,
    bias: ArrayLike | None = "mse",
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    order: Order = "falling",
    damping: float = 0.01,
    sequential: bool = False,
    skip: Iterable[str] | Callable[[str, nn.Module], bool] = (),
    progress: Progress | bool | None = None,
) -> ModelCompensation:
    """Round a model's weights, in place, so that the outputs of its layers lose little on some batches.

    Parameters
    ----------
    model : Module
        A plain model, whose weights are replaced by values of the format, in their own dtype.
    batches : iterable of mapping, tuple, list or Tensor
        Its inputs, as `collect_moments` takes them.
    fmt, bias, axis, block, order, damping
        As of `cfloat.round_compensated`, for each weight; biases that are given are those of every weight.
    sequential : bool, optional
        Whether each layer is rounded by the inputs that it has once those before it, in the order of calls,
        are rounded; the batches then run once for each of the layers, those of the same inputs together.  By
        default they run once, and inputs are those of the model as it was.
    skip : iterable of str, or callable, optional
        Names of layers to leave alone, as of `quantize`.
    progress : callable or True, optional
        Called as ``progress(done, total)`` after each batch and weight; the total is not known well before
        the batches have run once.  True shows a bar with the time left, on a terminal.

    Returns
    -------
    ModelCompensation
        Errors of outputs by weights; and what was left, and why.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above, a layer is quantized, there is no batch, or nothing to round; or as of
        `cfloat.round_compensated`.

    See Also
    --------
    collect_moments : The moments alone, for `quantize` and `to_inference`, and for files.

    Notes
    -----
    Weights are those that `collect_moments` has moments of, but for embeddings, of which nearest is best;
    what is not rounded here is as it was.  Inputs are kept nowhere; moments take the memory that they take
    there.  If a batch or a weight fails, what was rounded before stays rounded.

    Where biases lie alike, `quantize` of the same format leaves the weights as they are: the bias "max" of
    what is on a format's grid is one of the grid, or of a finer one.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)).eval()
    >>> mixed = torch.randn(16, 16)
    >>> batches = [torch.randn(64, 16) @ mixed for _ in range(8)]
    >>> found = cf.torch.compensate(model, batches, cf.CFloat8_1_4_3, sequential=True)
    >>> [(name, stats.sqnr_db > stats.nearest_sqnr_db) for name, stats in found.weights.items()]
    [('0.weight', True), ('2.weight', True)]
    """
    check_model(model)
    check_batches(batches)
    if not isinstance(sequential, bool):
        raise ArgumentTypeError(f"sequential is {shown(sequential)}; it takes True or False")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise ArgumentTypeError(f"progress is {shown(progress)}; it takes a function, or True")
    if sequential and iter(batches) is batches:
        raise ArgumentTypeError(
            f"batches is {shown(batches)}, which can be gone through once; sequential takes a list, as it "
            "goes through it for each layer"
        )
    for name, layer in model.named_modules():
        if isinstance(layer, Quantized):
            raise ArgumentValueError(
                f"layer {shown(name)} is quantized; it takes a plain model, and others are for moments= of "
                "quantize and to_inference"
            )
        if any(isinstance(each, UninitializedParameter) for each in layer._parameters.values()):
            raise ArgumentValueError(
                f"layer {shown(name)} does not know its shape yet; run the model once before"
            )
    one = bias if bias is None or isinstance(bias, str | SupportsIndex) else OUTPUT
    # what is wrong with these is said before any work is done
    round_compensated([[1.0]], fmt, SecondMoment.of([[1.0]]), one, order=order, damping=damping)
    how = {"fmt": as_format(fmt), "bias": bias, "axis": axis, "block": block, "order": order}
    how["damping"] = damping
    bar = progress_bar("compensating") if progress is True else nullcontext(progress or None)
    with bar as show:
        work = _Work(model, batches, how, skip, show)
        work.run(sequential)
    return ModelCompensation(work.done, work.left)


class _Work:
    """The rounding of one model."""

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Any],
        how: dict[str, Any],
        skip: Iterable[str] | Callable[[str, nn.Module], bool],
        progress: Progress | None,
    ) -> None:
        self._model, self._batches, self._how, self._progress = model, batches, how, progress
        layers = {
            name: layer
            for name, layer in model.named_modules()
            if any(each is not None and each.ndim > 1 for each in layer._parameters.values())
        }
        out = skipped(layers, skip)
        # what attention alone reads, goes with it
        inner, alone = read_by_others(model), {id(layers[name]) for name in out}
        out |= {name for name, each in layers.items() if id(inner.get(id(each))) in alone}
        left_alone = {
            id(each)
            for name in out
            for each in layers[name]._parameters.values()
            if each is not None
        }
        self._weights: dict[int, Tensor] = {}
        self._names: dict[int, str] = {}
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and id(parameter) not in left_alone:
                self._weights[id(parameter)], self._names[id(parameter)] = parameter, name
        if not self._weights:
            raise ArgumentValueError("model has no weight of two axes or more that is not skipped")
        self.done: dict[str, CompensationStats] = {}
        self.left: dict[str, str] = {}
        self._known = known_weights(model)
        self._check_layouts()
        self._count = len(batches) if isinstance(batches, Sized) else 0
        self._at, self._total = 0, 0

    def _check_layouts(self) -> None:
        """Refuse biases that some weight cannot have, before any work is done."""
        fmt, bias, axis, block = (self._how[name] for name in ("fmt", "bias", "axis", "block"))
        given = None if isinstance(bias, str) else bias
        tables = {
            id(each.weight) for each in self._model.modules() if isinstance(each, nn.Embedding)
        }
        for key, weight in self._weights.items():
            if key in self._known - tables:
                try:
                    check_layout(fmt, given, tuple(weight.shape), axis, block)
                except (ArgumentTypeError, ArgumentValueError) as error:
                    raise type(error)(f"{shown(self._names[key])}: {error}") from None

    def run(self, sequential: bool) -> None:
        """Round each weight."""
        asked = set(self._weights) & self._known
        self._total = (len(asked) if sequential else 1) * self._count + len(asked)
        moments, reasons = self._moments(asked)
        groups: dict[tuple[int, ...], list[int]] = {}
        # what stays as it is takes no pass of its own
        for weight in [key for key, uses in moments.items() if any(u.is_diagonal for u in uses)]:
            self._round(weight, moments.pop(weight))
        for weight, uses in moments.items():
            groups.setdefault(tuple(map(id, uses)), []).append(weight)
        passes = len(groups) if sequential else 1
        self._total = passes * self._count + len(moments)
        for i, group in enumerate(list(groups.values())):
            if i and sequential:
                # of those that are to come, nothing is known any more: their inputs are others now
                moments, more = self._moments(set(group))
                reasons |= more
            for weight in group:
                if weight in moments:
                    self._round(weight, moments.pop(weight))
                self._step()
        for weight, name in self._names.items():
            if name not in self.done and name not in self.left:
                self.left[name] = reasons.get(weight) or why_none(
                    self._weights[weight], self._known
                )

    def _moments(self, weights: set[int]) -> tuple[dict[int, list[SecondMoment]], dict[int, str]]:
        before = self._at
        found = gathered(self._model, self._batches, weights, self._step).by_weight()
        self._count = self._at - before
        return found

    def _round(self, weight: int, uses: list[SecondMoment]) -> None:
        tensor, name = self._weights[weight], self._names[weight]
        made = compensated(tensor, uses, **self._how)
        if isinstance(made, str):
            self.left[name] = made
            return
        array, stats = made
        reason = put(tensor, array)
        if reason is None:
            self.done[name] = stats
        else:
            self.left[name] = reason

    def _step(self) -> None:
        self._at += 1
        if self._progress is not None:
            self._progress(self._at, max(self._total, self._at))
