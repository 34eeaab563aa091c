"""Which second moments are of which tensors of a checkpoint, under any of a tensor's names."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cfloat._compensate.second_moments import SecondMoment
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, FileError

from .checkpoint import Checkpoint
from .paths import shown_path

Given = Mapping[str, Sequence[SecondMoment]]


def uses_under(names: Iterable[str], given: Given) -> tuple[SecondMoment, ...]:
    """Give the moments under any of the names of one tensor: all that it is used for, and none twice.

    Raises
    ------
    ArgumentTypeError
        If there is something else among them.
    """
    found: dict[int, SecondMoment] = {}
    for each in names:
        if each not in given:
            continue
        uses = given[each]
        if not isinstance(uses, Sequence):
            raise ArgumentTypeError(
                f"moments[{shown(each)}] is {shown(uses)}; it takes a sequence of SecondMoments"
            )
        for use in uses:
            if not isinstance(use, SecondMoment):
                raise ArgumentTypeError(
                    f"moments[{shown(each)}] has {shown(use)}; it takes SecondMoments"
                )
            found[id(use)] = use
    return tuple(found.values())


class NamesOfTensors:
    """The names that each tensor of a checkpoint has: its own, and those that are tied to it."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._kept = checkpoint.tied | checkpoint.tied_names()
        self._others: dict[str, list[str]] = {}
        for other, kept in self._kept.items():
            self._others.setdefault(kept, []).append(other)

    def of(self, name: str) -> tuple[str, ...]:
        """Give all names of a tensor, the one that it is stored or kept under first."""
        kept = self._kept.get(name, name)
        return (kept, *self._others.get(kept, ()))

    def first(self, name: str, table: Mapping[str, Any]) -> Any:
        """Give what a table has of a tensor under the first of its names that is there; None without."""
        return next((table[each] for each in self.of(name) if each in table), None)

    def uses(self, name: str, given: Given) -> tuple[SecondMoment, ...]:
        """Give the moments of a tensor under all of its names; none is given twice.

        Raises
        ------
        ArgumentTypeError
            If there is something else among them.
        """
        return uses_under(self.of(name), given)

    def unknown(self, table: Mapping[str, Any], what: str) -> list[str]:
        """Give the names of a table that are of no tensor; refuse one that has no other."""
        there = set(self._checkpoint) | set(self._checkpoint.tied)
        if not there.isdisjoint(table):
            return [name for name in table if name not in there]
        said = next(iter(table), None)
        first = f"of {shown(said)}, and so on" if table else "of no tensor"
        model = next(iter(self._checkpoint), None)
        raise FileError(
            f"{shown_path(self._checkpoint.path)}: {what} {first}, which the checkpoint does not have; its "
            f"tensors are {'none' if model is None else shown(model)}, and so on"
        )


class Moments:
    """The second moments of a checkpoint's weights.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    given : mapping of str to sequence of SecondMoment
        Those of each way in which a weight is used, by its name; a mapping may read them when it is asked.

    Attributes
    ----------
    unknown : list of str
        Names that are of no tensor.

    Raises
    ------
    ArgumentTypeError
        If they are none.
    FileError
        If all of them are of other tensors.
    """

    def __init__(self, checkpoint: Checkpoint, given: Given) -> None:
        if not isinstance(given, Mapping):
            raise ArgumentTypeError(
                f"moments is {shown(given)}; it takes a mapping from names to SecondMoments"
            )
        self._given = given
        self._names = NamesOfTensors(checkpoint)
        self.unknown = self._names.unknown(given, "the moments are")

    def has(self, name: str) -> bool:
        """Whether there are some of a tensor, of which none is read."""
        return any(each in self._given for each in self._names.of(name))

    def uses_of(self, name: str) -> tuple[SecondMoment, ...]:
        """Give those of a tensor, under all of its names; none is given twice.

        Raises
        ------
        ArgumentTypeError
            If there is something else among them.
        """
        return self._names.uses(name, self._given)
