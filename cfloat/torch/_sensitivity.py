"""`sensitivity`: how an error of each of a model's weights shows in what it computes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from cfloat._bias.squared_errors import best_bias
from cfloat._compensate.second_moments import SecondMoment
from cfloat._convert.elementwise import round_checked
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, as_format
from cfloat._core.text import shown
from cfloat._report.output_error import OutputError
from cfloat._report.sensitivity import Sensitivity
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._arguments import FLOATS
from ._memory import to_numpy
from ._moments import Gathering, check_model
from ._running import called, check_batches, evaluating, mask_of

Output = Callable[[Any, Any], Tensor]


def sensitivity(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    by: Literal["layer", "model"] = "layer",
    output: Output | None = None,
    reference: Format | str = CFloat8_1_4_3,
) -> Sensitivity:
    """Measure how an error of each of a model's weights shows in what it computes.

    Parameters
    ----------
    model : Module
        The model, which runs in evaluation mode and without gradients, and is then as it was before.
    batches : iterable of mapping, tuple, list or Tensor
        Its inputs: by names, in their order, or one.  If a batch has ``attention_mask``, of two axes, inputs
        of the same two axes count where it is not 0, and all others do.
    by : {"layer", "model"}, optional
        "layer": the second moments of layers' inputs, as `collect_moments`.  "model": beside these by how
        much the model's output changes if each tensor alone is rounded.
    output : callable, optional
        Called as ``output(result, batch)``, it gives the tensor that is the model's output; by default the
        model's result itself.  For "model" alone.
    reference : Format or str, optional
        The format to which tensors are rounded for "model", with one bias each.

    Returns
    -------
    Sensitivity
        Under the names that the model's ``state_dict`` has.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above, or there is no batch.

    See Also
    --------
    collect_moments : The moments alone; of which layers, and what they take.

    Notes
    -----
    Weights without moments are in ``Sensitivity.notes``; a plan goes by their elements.  For "model", each
    batch runs once for every tensor that the model has, and once more.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> found = cf.torch.sensitivity(model, [torch.randn(16, 4) for _ in range(3)])
    >>> [(name, uses[0].values.shape, uses[0].count) for name, uses in found.moments.items()]
    [('0.weight', (4, 4), 48), ('2.weight', (8, 8), 48)]
    """
    check_model(model)
    check_batches(batches)
    if by not in ("layer", "model"):
        raise ArgumentValueError(f"by is {shown(by)}; it takes 'layer' or 'model'")
    if output is not None and by == "layer":
        raise ArgumentValueError("output is given, and by is 'layer'; it is for 'model'")
    if output is not None and not callable(output):
        raise ArgumentTypeError(f"output is {shown(output)}; it takes a function")
    fmt = as_format(reference, "reference")
    if not fmt.signed:
        raise ArgumentValueError(f"reference is {shown(fmt)}; it takes a signed format")
    gathering = Gathering(model)
    changes = _Changes(model, output, fmt) if by == "model" else None
    count = 0
    with evaluating(model):
        for batch in batches:
            result = gathering.run(batch)
            if changes is not None:
                changes.measure(batch, result)
            count += 1
    if not count:
        raise ArgumentValueError("batches is empty; it takes at least one batch")
    moments, notes = gathering.found()
    if changes is None:
        return Sensitivity(moments, notes=notes)
    return Sensitivity(moments, changes.gains(moments), fmt.name, notes)


class _Changes:
    """By how much a model's output changes if one tensor is rounded."""

    def __init__(self, model: nn.Module, output: Output | None, fmt: Format) -> None:
        self._model, self._output, self._format = model, output, fmt
        stored = model.state_dict(keep_vars=True)
        self._names: dict[int, list[str]] = {}
        for name, tensor in stored.items():
            if isinstance(tensor, Tensor) and tensor.dtype in FLOATS:
                self._names.setdefault(id(tensor), []).append(name)
        self._tensors = {names[0]: stored[names[0]] for names in self._names.values()}
        self._places = _places(model)
        self._biases: dict[str, int] = {}
        self._squares = dict.fromkeys(self._tensors, 0.0)
        self._signal = 0.0

    def measure(self, batch: Any, result: Any) -> None:
        """Add the changes of a batch's output, whose result is known."""
        kept = self._values(result, batch)
        self._signal += float(kept.square().sum())
        for name, tensor in self._tensors.items():
            rounded = self._rounded(name, tensor)
            if rounded is None:
                continue
            with _replaced(self._places[id(tensor)], tensor, rounded):
                changed = called(self._model, batch)
            self._squares[name] += float((self._values(changed, batch) - kept).square().sum())

    def _values(self, result: Any, batch: Any) -> Tensor:
        """Give the output that is compared, in float64, where it counts."""
        found = result if self._output is None else self._output(result, batch)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            what = "the model's output" if self._output is None else "what output gives"
            raise ArgumentTypeError(
                f"{what} is {shown(found)}; it takes a torch.Tensor of floating-point numbers"
                + ", as output=lambda result, batch: ... may give" * (self._output is None)
            )
        mask = mask_of(batch) if self._output is None else None
        if mask is not None and found.shape[:2] == mask.shape:
            found = found[mask.to(found.device)]
        return found.detach().cpu().to(torch.float64)

    def _rounded(self, name: str, tensor: Tensor) -> Tensor | None:
        """Round a tensor, with the bias of the least error; None if that changes nothing."""
        values = _array(tensor)
        with no_flags():
            if name not in self._biases:
                self._biases[name] = best_bias(values, self._format)
            rounded = round_checked(values, self._format, self._biases[name], values.shape)
        if np.array_equal(rounded, values) or not np.isfinite(values).all():
            return None
        return torch.from_numpy(np.ascontiguousarray(rounded)).to(tensor.device, tensor.dtype)

    def gains(self, moments: Mapping[str, tuple[SecondMoment, ...]]) -> dict[str, float]:
        """Give each tensor's change of the output by its own error, under each of its names."""
        if not np.isfinite(self._signal):
            raise ArgumentValueError("the model's output is not finite; it takes one that is")
        if not self._signal > 0:
            raise ArgumentValueError(
                "the model's output is 0 everywhere; it takes one that can change"
            )
        found = {}
        for names in self._names.values():
            tensor = self._tensors[names[0]]
            rounded = self._rounded(names[0], tensor)
            gain = 0.0
            if rounded is not None:
                error = _error(_array(tensor), _array(rounded), moments.get(names[0], ()))
                gain = self._squares[names[0]] / self._signal / error
            if not np.isfinite(gain):
                raise ArgumentValueError(
                    f"the model's output is not finite where {shown(names[0])} is rounded"
                )
            found.update(dict.fromkeys(names, gain))
        return found


Places = list[tuple[dict[str, Any], str]]


def _places(model: nn.Module) -> dict[int, Places]:
    """Find where a model has its tensors, by the id of each: once in a module, by however many names."""
    found: dict[int, Places] = {}
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for key, tensor in table.items():
                found.setdefault(id(tensor), []).append((table, key))
    return found


@contextmanager
def _replaced(places: Places, tensor: Tensor, other: Tensor) -> Iterator[None]:
    """Put another tensor into the places of one, and that back again.

    `torch.func.functional_call` leaves the other one in a module that has several names.
    """
    try:
        for table, key in places:
            table[key] = other
        yield
    finally:
        for table, key in places:
            table[key] = tensor


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    values = tensor.detach().cpu()
    return to_numpy(values if values.dtype == torch.float64 else values.float())


def _error(
    values: np.ndarray[Any, Any], rounded: np.ndarray[Any, Any], uses: tuple[SecondMoment, ...]
) -> float:
    """Give a tensor's error as plans measure it: of its outputs, or of its elements."""
    wide = values.astype(np.float64)
    noise = rounded - wide
    if uses:
        error = OutputError(uses, values.shape)
        error.add_signal(wide, 0)
        ratio = error.ratio(error.squares(noise, 0))
        if ratio:
            return ratio
    return float(np.square(noise).sum() / np.square(wide).sum())
