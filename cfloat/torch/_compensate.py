"""Weights of layers that round, replaced by what is best for their outputs, by second moments of inputs."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cfloat._array.array import CFloatArray
from cfloat._compensate.round_compensated import CompensationStats, round_compensated
from cfloat._compensate.second_moments import SecondMoment
from cfloat._compensate.uses import moment_of_uses, why_all_nearest
from cfloat._core.text import shown
from cfloat._files.names_by_reason import in_one_line
from cfloat._report.sensitivity import Sensitivity
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from ._arguments import FLOATS
from ._arrays import to_torch
from ._conversion import round_to
from ._distributed import is_dtensor
from ._layers import Quantized
from ._memory import for_numpy, to_numpy
from ._notices import QuantizationWarning
from ._rounder import Rounder

#: What `quantize` and `to_inference` take.
Moments = (
    Sensitivity
    | str
    | os.PathLike[str]
    | Mapping[str, SecondMoment | tuple[SecondMoment, ...] | list[SecondMoment]]
)

#: Of what nearest is best, and nobody need be told.
_EMBEDDING = "an embedding"
_CHANGED = "changed since it was compensated"


class Place(NamedTuple):
    """Where a weight is rounded."""

    layer: nn.Module
    slot: str
    rounder: Rounder

    def is_as(self, other: "Place") -> bool:
        """Whether it is rounded to the same codes there."""
        mine, others = self.rounder, other.rounder
        return (
            mine.format == others.format
            and mine._layout == others._layout
            and torch.equal(torch.as_tensor(mine.bias).cpu(), torch.as_tensor(others.bias).cpu())
        )


class MomentsOfModel:
    """Moments that are given, by the weights of a model that they are of.

    Parameters
    ----------
    given : Sensitivity, str, path-like, or mapping of str to SecondMoment or several
        The moments.
    model : Module
        What has the weights.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If moments are something else, of names that no parameter has, or do not fit their shapes.
    FileError
        If a file cannot be read.
    """

    def __init__(self, given: Any, model: nn.Module) -> None:
        if isinstance(given, str | os.PathLike):
            given = Sensitivity.load(given)
        self._given = given.moments if isinstance(given, Sensitivity) else given
        if not isinstance(self._given, Mapping):
            raise ArgumentTypeError(
                f"moments is {shown(given)}; it takes what collect_moments gives, a file of it, or "
                "SecondMoments by weights' names"
            )
        if not self._given:
            raise ArgumentValueError("moments is of no weight; it takes those of one or more")
        parameters = dict(model.named_parameters(remove_duplicate=False))
        unknown = [name for name in self._given if name not in parameters]
        if unknown:
            more = f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""
            raise ArgumentValueError(
                f"moments has {shown(unknown[0])}{more}, which is the name of no parameter of the model"
            )
        self.names: dict[int, list[str]] = {}
        for name, parameter in parameters.items():
            self.names.setdefault(id(parameter), []).append(name)
        for name in self._given:
            for use in self._uses(name):
                misfit = use.misfit(tuple(parameters[name].shape))
                if misfit is not None:
                    raise ArgumentValueError(f"moments[{shown(name)}]: {misfit}")
            if parameters[name].is_meta:
                raise ArgumentValueError(
                    f"moments[{shown(name)}] is of a weight without values, on the meta device"
                )

    def _uses(self, name: str) -> tuple[SecondMoment, ...]:
        found = self._given[name]
        uses = (found,) if isinstance(found, SecondMoment) else found
        if (
            not isinstance(uses, tuple | list)
            or not uses
            or not all(isinstance(each, SecondMoment) for each in uses)
        ):
            raise ArgumentTypeError(
                f"moments[{shown(name)}] is {shown(found)}; it takes a SecondMoment, or several"
            )
        return tuple(uses)

    def of(self, weight: Tensor) -> list[SecondMoment]:
        """Give the moments of a weight, under whichever of its names: each of them once."""
        found: list[SecondMoment] = []
        for name in self.names.get(id(weight), ()):
            if name in self._given:
                uses = self._uses(name)
                found += [use for use in uses if all(use is not each for each in found)]
        return found

    def check_used(self, weights: Iterable[Tensor]) -> None:
        """Refuse moments that are of none of some weights."""
        names = [name for each in weights for name in self.names.get(id(each), ())]
        if not any(name in self._given for name in names):
            raise ArgumentValueError(
                f"moments has {shown(next(iter(self._given)))}, and nothing of a weight that a layer rounds"
            )


def places_in(module: nn.Module) -> Iterator[Place]:
    """Find where the weights of a quantized model are rounded."""
    for layer in module.modules():
        if isinstance(layer, Quantized):
            for slot in layer._weight_names:
                rounder = layer._modules.get(f"{slot}_rounder")
                if isinstance(rounder, Rounder):
                    yield Place(layer, slot, rounder)


def own_weights(places: Iterable[Place]) -> list[Tensor]:
    """Give the parameters among the weights that are rounded."""
    found = [place.layer._parameters.get(place.slot) for place in places]
    return [each for each in found if each is not None]


def compensate_rounded(module: nn.Module, moments: MomentsOfModel) -> None:
    """Replace the weights of a quantized model by compensated ones, in place; warn of what has no moments.

    They are values of the format, at the biases that the layer rounds with: rounding leaves them as they are.
    """
    at: dict[int, list[Place]] = {}
    left: dict[str, str] = {}
    names = {id(each): name for name, each in module.named_modules()}
    for place in places_in(module):
        weight = place.layer._parameters.get(place.slot)
        if weight is None:
            name = f"{names[id(place.layer)]}.{place.slot}".removeprefix(".")
            left[name] = "computed from other tensors"
            _note(place, left[name])
        else:
            at.setdefault(id(weight), []).append(place)
    for key, places in at.items():
        weight = places[0].layer._parameters[places[0].slot]
        assert weight is not None
        found = _replace(weight, places, moments.of(weight))
        for place in places:
            _note(place, found)
        if isinstance(found, str) and found != _EMBEDDING:
            left[moments.names[key][0]] = found
    if left:
        warnings.warn(
            f"rounded to nearest, and not by moments: {in_one_line(left)}",
            QuantizationWarning,
            stacklevel=3,
        )


def _note(place: Place, found: CompensationStats | str | None) -> None:
    """Let a layer know what became of a weight; nothing new of one that is on the grid already."""
    if found is not None:
        notes: dict[str, CompensationStats | str] = place.layer.__dict__.setdefault(
            "_compensation", {}
        )
        notes[place.slot] = found


def _replace(
    weight: Tensor, places: list[Place], uses: list[SecondMoment]
) -> CompensationStats | str | None:
    """Replace a weight; give what that came to, or why it is not done; None if there is nothing to do."""
    if not uses:
        return "there are no moments of it"
    first = places[0]
    if not all(place.is_as(first) for place in places[1:]):
        return "layers share it that round it differently"
    bias = first.rounder.bias
    made = compensated(
        weight,
        uses,
        fmt=first.rounder.format,
        bias=bias if isinstance(bias, int) else to_numpy(bias.cpu()),
        axis=first.rounder.axis,
        block=first.rounder.block,
    )
    if isinstance(made, str):
        return made
    array, stats = made
    if torch.equal(to_torch(array, torch.float64), weight.detach().cpu().to(torch.float64)):
        return None
    reason = why_all_nearest(uses[0], tuple(weight.shape), stats.rows_kept, stats.notes)
    return reason or put(weight, array) or stats


def compensated(
    weight: Tensor, uses: list[SecondMoment] | tuple[SecondMoment, ...], **how: Any
) -> tuple[CFloatArray, CompensationStats] | str:
    """Round a weight as `cfloat.round_compensated` does; or say why nothing is done.

    Parameters
    ----------
    weight : Tensor
        The weight.
    uses : sequence of SecondMoment
        Its inputs, of each way in which it is used.
    **how
        What `cfloat.round_compensated` takes.
    """
    if is_dtensor(weight):
        return "it is in shards"
    if weight.dtype not in FLOATS:
        return f"of dtype {weight.dtype}"
    moment, reason = moment_of_uses(uses)
    if moment is None:
        return reason
    if not bool(weight.detach().isfinite().all()):
        return "it is not finite everywhere"
    fmt = how.pop("fmt")
    return round_compensated(for_numpy(weight), fmt, moment, **how)


def put(weight: Tensor, array: CFloatArray) -> str | None:
    """Write the values of an array into a weight, bit for bit; or say why that cannot be."""
    values = to_torch(array, torch.float64)
    held = values.to(weight.dtype)
    if not torch.equal(held.to(torch.float64), values):
        return f"{weight.dtype} does not hold the values of {array.format.name} at its biases"
    with torch.no_grad():
        weight.copy_(held)
    return None


def in_words(layer: nn.Module) -> str:
    """Say what was gained for the outputs of each of a layer's weights, or why nothing."""
    said = []
    for slot, found in notes_that_hold(layer).items():
        if isinstance(found, str):
            text = found if found == _CHANGED else f"to nearest: {found}"
        else:
            text = f"outputs {found.nearest_sqnr_db:.1f} dB to nearest, {found.sqnr_db:.1f} dB compensated"
            if found.notes:
                text += f" ({'; '.join(found.notes)})"
        said.append(text if slot == "weight" else f"{slot}: {text}")
    return "; ".join(said)


def notes_that_hold(layer: nn.Module) -> dict[str, CompensationStats | str]:
    """Give what became of each of a layer's weights, or that it has been changed since."""
    notes: dict[str, CompensationStats | str] = layer.__dict__.get("_compensation", {})
    return {
        slot: found if isinstance(found, str) or _is_as_rounded(layer, slot) else _CHANGED
        for slot, found in notes.items()
    }


def _is_as_rounded(layer: nn.Module, slot: str) -> bool:
    """Whether rounding leaves a layer's weight as it is, as it does what was compensated."""
    rounder, weight = layer._modules.get(f"{slot}_rounder"), layer._parameters.get(slot)
    if not isinstance(rounder, Rounder) or weight is None:  # of codes, which nothing changes
        return True
    if weight.is_meta or is_dtensor(weight):
        return True
    bias = rounder._layout.spread(rounder._bias(), weight.shape)
    with torch.no_grad():
        rounded = round_to(weight, rounder.format, bias)
    return bool(torch.equal(rounded, weight.detach()))
