"""How an error of each weight shows in what a model computes: measured, kept in a file, and read back.

The file is a safetensors file.  Each of its tensors is a `SecondMoment`'s mean, in float64, under the name of
the weight that it is of, or of one of them if several have the same inputs.  Its metadata have under
``cfloat_moments`` a JSON text: ``version``, 1; ``weights``, which has for each name a list of the moments of
its inputs, by ``tensor``, ``count`` and ``axis``; ``gains``, a number by name, or null; ``reference``, the
format by which they were measured; and ``notes``.
"""

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import ArrayLike

from cfloat._compensate.second_moments import SecondMoment, matrix_moment, row_moment
from cfloat._core.arguments import check_not_masked
from cfloat._core.public_names import public
from cfloat._core.text import printable, shown
from cfloat._files.checkpoint import Checkpoint
from cfloat._files.names_by_reason import in_one_line
from cfloat._files.paths import shown_path
from cfloat._files.save import save
from cfloat._files.stored_values import StoredValues
from cfloat._files.strict_json import parse_json
from cfloat._files.transposed_weights import transposed_by_signs
from cfloat.errors import ArgumentTypeError, ArgumentValueError, CFloatError, FileError

VERSION: Final = 1

#: Under which safetensors' metadata say what a file of moments is.
KEY: Final = "cfloat_moments"

_KEYS: Final = ("version", "weights", "gains", "reference", "notes")
_MOMENT_KEYS: Final = ("tensor", "count", "axis")


@public
@dataclass(frozen=True, eq=False)
class Sensitivity:
    """How an error of each weight shows in outputs, for `plan`: `cfloat.torch.sensitivity` measures it.

    Attributes
    ----------
    moments : mapping of str to tuple of SecondMoment
        The inputs of each weight: of each way in which it is used, as a weight that is both an embedding and
        a matrix of outputs is.  Of one that is read from a file, each is read when it is asked for.
    gains : mapping of str to float, or None
        By how much the model's output changes for an error of each tensor: the sum of its squared changes
        over that of its squares, by the tensor's own error; None if that was not measured.
    reference : str
        The format to which each tensor was rounded for `gains`; empty without.
    notes : tuple of str
        What was left out, and why.
    """

    moments: Mapping[str, tuple[SecondMoment, ...]]
    gains: Mapping[str, float] | None = None
    reference: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.

        Raises
        ------
        FileError
            If it cannot be read, is no file of moments, or has some that are none.
        """
        stored = Checkpoint(path)
        try:
            said = _said(stored)
            moments = _StoredMoments(stored, said["weights"])
            for name in moments:
                _ = moments[name]  # what is wrong is said before any work is done
            return cls(moments, said["gains"], said["reference"], tuple(said["notes"]))
        except (ValueError, TypeError) as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{shown_path(path)}: {printable(str(error))}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything into a file, which ``cfloat plan --moments`` takes.

        Parameters
        ----------
        path : str or path-like
            The file to write, or to replace; its name ends in ``.safetensors``.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        arrays: dict[str, Any] = {}
        stored: dict[int, str] = {}
        weights: dict[str, list[dict[str, Any]]] = {}
        for name in self.moments:
            weights[name] = []
            for i, each in enumerate(self.moments[name]):
                key = stored.get(id(each.values), f"{name}#{i}" if i else name)
                while arrays.get(key, each.values) is not each.values:
                    key += "#"  # a name of another
                arrays[stored.setdefault(id(each.values), key)] = each.values
                weights[name].append({"tensor": key, "count": each.count, "axis": each.axis})
        said = {
            "version": VERSION,
            "weights": weights,
            "gains": None if self.gains is None else dict(self.gains),
            "reference": self.reference,
            "notes": list(self.notes),
        }
        save(path, arrays, metadata={KEY: json.dumps(said, allow_nan=False)})

    @classmethod
    def from_activations(
        cls,
        activations: Mapping[str, ArrayLike] | str | os.PathLike[str],
        model: Checkpoint,
    ) -> Self:
        """Compute the second moments of inputs that are given.

        Parameters
        ----------
        activations : mapping of str to array_like, str or path-like
            Inputs by the names of their weights: of shape (..., n) for a weight of shape (m, n), and of
            integers, the rows that are asked for, for an embedding.  Of a convolution, those of each product:
            all the elements that one output is the sum of; of a Conv1D's (m, n), as the model's class says
            where shapes give cause to ask it, (..., m).
        model : Checkpoint
            What has the weights.

        Raises
        ------
        ArgumentTypeError, ArgumentValueError
            If inputs do not fit the weight of their name, or none has one.
        FileError
            If a file cannot be read.
        """
        if not isinstance(model, Checkpoint):
            raise ArgumentTypeError(f"model is {shown(model)}; it takes what cfloat.load gives")
        if isinstance(activations, str | os.PathLike):
            activations = StoredValues(activations)
        if not isinstance(activations, Mapping):
            raise ArgumentTypeError(
                f"activations is {shown(activations)}; it takes a path, or inputs by weights' names"
            )
        moments: dict[str, tuple[SecondMoment, ...]] = {}
        left: dict[str, str] = {}
        transposed, _ = transposed_by_signs(model)
        for name in activations:
            stored = model.tied.get(name, name)
            if stored not in model or not model.is_float(stored):
                left[name] = "inputs of no weight of the model"
            elif len(model.shape_of(stored)) < 2:
                left[name] = "a tensor of one axis has no product"
            else:
                axis = 0 if stored in transposed else 1
                moments[name] = (_given(name, activations[name], model.shape_of(stored), axis),)
        if not moments:
            first = next(iter(activations), None)
            what = "is empty" if first is None else f"has {shown(first)}, and so on"
            raise ArgumentValueError(
                f"activations {what}; it takes inputs by the names of the model's weights"
            )
        return cls(moments, notes=(in_one_line(left),) if left else ())


def _given(name: str, inputs: ArrayLike, shape: tuple[int, ...], axis: int) -> SecondMoment:
    """Compute the moments of inputs of a weight of a shape, which are along its first axis, or all others."""
    check_not_masked("inputs", inputs)
    x = np.asarray(inputs)
    width = shape[0] if axis == 0 else math.prod(shape[1:])
    try:
        if x.size and x.dtype.kind in "iu":
            return row_moment(x, shape[0])
        if x.dtype.kind != "f" or not x.size or not x.ndim or x.shape[-1] != width:
            raise ArgumentValueError(
                f"inputs of shape {x.shape} and {x.dtype} do not fit a weight of shape {shape}: it takes "
                f"floating-point numbers of shape (..., {width}), or integers, rows of an embedding"
            )
        with np.errstate(all="ignore"):
            total = matrix_moment(x, axis)
    except ArgumentValueError as error:
        reason = str(error).replace("values is", "the mean of x·xᵀ is")
        raise ArgumentValueError(f"activations: {shown(name)}: {reason}") from None
    return total


class _StoredMoments(Mapping[str, tuple[SecondMoment, ...]]):
    """The moments of a file, each read when it is asked for."""

    def __init__(self, stored: Checkpoint, weights: Mapping[str, list[dict[str, Any]]]) -> None:
        self._stored, self._weights = stored, weights
        # what several weights share is read once, and kept as long as anybody needs it
        self._read: WeakValueDictionary[tuple[str, int, int], SecondMoment] = WeakValueDictionary()

    def __getitem__(self, name: str) -> tuple[SecondMoment, ...]:
        return tuple(self._moment(name, each) for each in self._weights[name])

    def __contains__(self, name: object) -> bool:
        return name in self._weights  # without reading

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def _moment(self, name: str, said: dict[str, Any]) -> SecondMoment:
        stored = said["tensor"]
        key = (stored, said["count"], said["axis"])
        found = self._read.get(key)
        if found is not None:
            return found
        where = f"{shown_path(self._stored.path)}: {printable(name)}"
        if stored not in self._stored or self._stored.stored_dtype(stored) != "F64":
            raise FileError(f"{where}: there is no tensor {shown(stored)} of float64")
        values = self._stored[stored]
        assert isinstance(values, np.ndarray)
        try:
            made = self._read[key] = SecondMoment(values, said["count"], said["axis"])
        except CFloatError as error:
            raise FileError(f"{where}: {error}") from None
        return made


def _said(stored: Checkpoint) -> dict[str, Any]:
    """Read what a file says of its moments; ValueError if it is not what it should be."""
    text = stored.metadata.get(KEY)
    if text is None:
        raise ValueError(
            "no file of second moments, as cfloat.torch.collect_moments(...).save writes; inputs "
            "themselves are for cfloat plan --activations"
        )
    said = parse_json(text)
    if not isinstance(said, dict):
        raise ValueError(f"{KEY} is {shown(said)}; it takes an object")
    if type(said.get("version")) is not int or said["version"] != VERSION:
        raise ValueError(
            f"version is {shown(said.get('version'))}; this cfloat reads version {VERSION}"
        )
    if set(said) != set(_KEYS):
        wrong = sorted(set(said) ^ set(_KEYS))[0]
        raise ValueError(f"{KEY}: {shown(wrong)} is {'not known' if wrong in said else 'missing'}")
    gains = said["gains"]
    is_right = {
        "weights": isinstance(said["weights"], dict)
        and all(_is_list_of_moments(each) for each in said["weights"].values()),
        "gains": gains is None
        or (isinstance(gains, dict) and all(_is_gain(each) for each in gains.values())),
        "reference": isinstance(said["reference"], str),
        "notes": isinstance(said["notes"], list)
        and all(isinstance(each, str) for each in said["notes"]),
    }
    for key, right in is_right.items():
        if not right:
            raise ValueError(f"{KEY}: {key} is {shown(said[key])}, and not what save writes")
    return said


def _is_list_of_moments(said: Any) -> bool:
    return (
        isinstance(said, list)
        and bool(said)
        and all(
            isinstance(each, dict)
            and set(each) == set(_MOMENT_KEYS)
            and isinstance(each["tensor"], str)
            and type(each["count"]) is int
            and type(each["axis"]) is int
            for each in said
        )
    )


def _is_gain(said: Any) -> bool:
    return (
        isinstance(said, int | float)
        and not isinstance(said, bool)
        and 0 <= said <= sys.float_info.max
    )
