"""`collect_moments`: the second moments of the inputs of a model's layers."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cfloat._compensate.second_moments import SecondMoment
from cfloat._core.text import shown
from cfloat._files.names_by_reason import in_one_line
from cfloat._report.sensitivity import Sensitivity
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._attention_inputs import attends_as_torch, inputs_of_attention, weights_of_attention
from ._input_moments import InputMoments, is_known
from ._running import called, check_batches, evaluating, mask_of


def collect_moments(model: nn.Module, batches: Iterable[Any]) -> Sensitivity:
    """Compute the second moments of the inputs of a model's layers, as it runs on batches.

    Parameters
    ----------
    model : Module
        The model, plain or quantized, which runs in evaluation mode and without gradients, and is then as it
        was before.
    batches : iterable of mapping, tuple, list or Tensor
        Its inputs: by names, in their order, or one.  If a batch has ``attention_mask``, of two axes, inputs
        of the same two axes count where it is not 0, and all others do.

    Returns
    -------
    Sensitivity
        Its ``moments`` are by the names that the weights have in the model's ``state_dict``, each the mean
        of x·xᵀ of shape (n, n); its ``notes`` say which weights have none, and why.  `Sensitivity.save`
        writes it, and never an input.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is not as above, there is no batch, or the model has tensors without values.

    See Also
    --------
    compensate : Rounds a model's weights, in one call.
    quantize, to_inference : Take them as `moments`.
    sensitivity : Beside these by how much the model's output changes.

    Notes
    -----
    There are moments of the weights of Linear, Conv1d to Conv3d, Embedding and MultiheadAttention, of what is
    derived of them and computes as they do, and of transformers' Conv1D.  There are none of transposed
    convolutions, EmbeddingBag, Bilinear, recurrent layers, weights that are computed from others, as by a
    parametrization, and of layers that were not called: they are rounded to nearest by whatever takes
    moments, and a plan goes by their elements.

    Sums are in float64, on the CPU: a Linear layer of n inputs takes 8·n² bytes, once for layers that are
    always called with the same tensor.  Attention is computed twice, for what out_proj multiplies.  Of a
    quantized model inputs are those before they are rounded.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> found = cf.torch.collect_moments(model, [torch.randn(16, 4) for _ in range(3)])
    >>> [(name, uses[0].values.shape, uses[0].count) for name, uses in found.moments.items()]
    [('0.weight', (4, 4), 48), ('2.weight', (8, 8), 48)]
    """
    check_model(model)
    check_batches(batches)
    moments, notes = gathered(model, batches).found()
    return Sensitivity(moments, notes=notes)


def check_model(model: object) -> None:
    """Refuse what is no model, or has no values."""
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"model is {shown(model)}; it takes a torch.nn.Module")
    if any(each.is_meta for each in (*model.parameters(), *model.buffers())):
        raise ArgumentValueError("model has tensors without values, on the meta device")


class Gathering:
    """The inputs of a model's layers, as it runs.

    Parameters
    ----------
    model : Module
        The model.
    weights : set of int, optional
        The ids of those weights that are asked for; all if None.
    """

    def __init__(self, model: nn.Module, weights: set[int] | None = None) -> None:
        self._model = model
        self._inputs = InputMoments()
        self._mask: Tensor | None = None
        self._left: dict[int, str] = {}
        self._asked = weights
        self._called: dict[int, None] = {}

    def run(self, batch: Any) -> Any:
        """Run a batch, and add what the layers get."""
        self._mask = mask_of(batch)
        hooks = [
            module.register_forward_pre_hook(self._see, with_kwargs=True)
            for module in self._model.modules()
            if any(map(self._is_asked, _weights_of(module)))
        ]
        # whose fast path makes nested tensors of inputs
        encoders = [
            each
            for each in self._model.modules()
            if isinstance(each, nn.TransformerEncoder) and each.use_nested_tensor
        ]
        for each in encoders:
            each.use_nested_tensor = False
        try:
            return called(self._model, batch)
        finally:
            for each in encoders:
                each.use_nested_tensor = True
            for hook in hooks:
                hook.remove()
            self._inputs.settle()

    def _is_asked(self, weight: Tensor) -> bool:
        return self._asked is None or id(weight) in self._asked

    def _see(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        attends = attends_as_torch(layer)
        given = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        given = given[: 3 if attends else 1]
        weights = _weights_of(layer)
        self._called.update(dict.fromkeys(map(id, weights)))
        if not all(weight.numel() for weight in weights):
            self._left.update(dict.fromkeys(map(id, weights), "it has no elements"))
        elif not given or any(
            x.layout != torch.strided or x.is_nested or not x.ndim for x in given
        ):
            self._left.update(dict.fromkeys(map(id, weights), "its inputs are no dense tensor"))
        elif any(x.is_complex() for x in given):
            self._left.update(dict.fromkeys(map(id, weights), "its inputs are complex"))
        elif not attends:
            self._inputs.add(layer, given[0], self._mask)
        else:
            for weight, x, part, mask in inputs_of_attention(layer, args, kwargs, self._mask):
                if self._is_asked(weight):
                    self._inputs.add_matrix(weight, x, mask, part=part)

    def by_weight(self) -> tuple[dict[int, list[SecondMoment]], dict[int, str]]:
        """Give the moments of weights by their ids, in the order of calls; and why others have none."""
        found: dict[int, list[SecondMoment]] = {}
        for weight, moment in self._inputs.moments():
            if moment is None:
                self._left[weight] = "its inputs are not all finite, or none counts"
            else:
                found.setdefault(weight, []).append(moment)
        for weight in self._left:
            found.pop(weight, None)
        ordered = {weight: found[weight] for weight in self._called if weight in found}
        return ordered, dict(self._left)

    def found(self) -> tuple[dict[str, tuple[SecondMoment, ...]], tuple[str, ...]]:
        """Give the moments of the weights by name, and what is to be said of the others."""
        by_weight, reasons = self.by_weight()
        known = known_weights(self._model)
        moments, left = {}, {}
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            if id(parameter) in by_weight:
                moments[name] = tuple(by_weight[id(parameter)])
            elif parameter.ndim > 1:
                left[name] = reasons.get(id(parameter)) or why_none(parameter, known)
        if not left:
            return moments, ()
        return moments, (f"by their elements: {in_one_line(left)}",)


def gathered(
    model: nn.Module,
    batches: Iterable[Any],
    weights: set[int] | None = None,
    after: Callable[[], None] | None = None,
) -> Gathering:
    """Run a model on batches, and call a function after each."""
    gathering, count = Gathering(model, weights), 0
    with evaluating(model):
        for batch in batches:
            gathering.run(batch)
            count += 1
            if after is not None:
                after()
    if not count:
        raise ArgumentValueError("batches is empty; it takes at least one batch")
    return gathering


def known_weights(model: nn.Module) -> set[int]:
    """Give the ids of the weights whose inputs are found where their layers are called."""
    return {id(weight) for each in model.modules() for weight in _weights_of(each)}


def why_none(weight: Tensor, known: set[int]) -> str:
    """Say why a weight has no moments, of inputs of which nothing is wrong."""
    return "was not called" if id(weight) in known else "of a layer of another kind"


def _weights_of(layer: nn.Module) -> list[Tensor]:
    """Give the weights of a layer whose inputs are known when it is called."""
    if attends_as_torch(layer):
        return weights_of_attention(layer)
    weight = layer._parameters.get("weight") if is_known(layer) else None
    return [] if weight is None else [weight]
