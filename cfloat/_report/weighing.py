"""What a plan's errors are of, and what each counts."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from numpy.typing import ArrayLike

from cfloat._compensate.uses import moment_of_uses
from cfloat._core.text import printable, shown
from cfloat._files.checkpoint import Checkpoint
from cfloat._files.moments import NamesOfTensors
from cfloat._files.names_by_reason import in_one_line
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .candidates import Candidates
from .compensated_error import by_compensated_outputs
from .output_error import COMPENSATED, SQNR, by_outputs
from .sensitivity import Sensitivity

Measure: TypeAlias = Literal["sqnr", "layer", "model"]

#: All of them, each of which takes more to be known than those before it.
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)


class Weighing:
    """What errors are of, and what each counts: as "sqnr", "layer" or "model" says.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model.
    sensitivity : Sensitivity or None
        What is known of its products, and of its output.
    by : str
        What of that is used.
    compensates : bool
        Whether weights that have moments are rounded by them, and not to nearest.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        sensitivity: Sensitivity | None,
        by: Measure,
        compensates: bool = False,
    ) -> None:
        self._checkpoint = checkpoint
        self.by = by
        self.compensates = compensates
        self._notes = () if sensitivity is None else sensitivity.notes
        self._to_nearest: dict[str, str] = {}
        self._said: dict[str, str] = {}
        self._names = NamesOfTensors(checkpoint)
        known = sensitivity if by != "sqnr" else None
        self._moments = known.moments if known is not None else {}
        self._gains = known.gains if known is not None and by == "model" else None
        if known is not None:
            self._check_names(known)

    def _check_names(self, known: Sensitivity) -> None:
        """Refuse what is of another model: it has no name that the checkpoint has."""
        self._names.unknown(
            known.moments if self._gains is None else self._gains, "the sensitivity is"
        )

    def _of(self, name: str, table: Mapping[str, Any]) -> Any:
        """Give what a table has of a tensor under any of its names."""
        return self._names.first(name, table)

    def reason_to_leave(self, name: str) -> str:
        """Say why a tensor is to stay as it is; empty if it may change."""
        if self._gains is not None and self._of(name, self._gains) is None:
            return "not in the model whose output was measured"
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the sensitivity left out; and which weights that have moments are not rounded by them."""
        notes = self._notes
        if self._to_nearest:
            notes += (f"rounded to nearest: {in_one_line(self._to_nearest)}",)
        return notes + ((in_one_line(self._said),) if self._said else ())

    def weigh(
        self, measured: Candidates, advance: Callable[[float], None] = lambda part: None
    ) -> Candidates:
        """Give candidates the errors of their outputs, where they are known.

        `advance` is called with parts of the work, of which 1 is all, where it takes long.
        """
        uses = self._names.uses(measured.name, self._moments)
        if not uses or len(measured.found) == 1 or measured.is_zero:
            return measured
        moments, reason = moment_of_uses(uses) if self.compensates else (None, "")
        if moments is None:
            if reason:
                self._to_nearest[measured.name] = reason
            return by_outputs(self._checkpoint, measured, uses)
        made, notes = by_compensated_outputs(self._checkpoint, measured, moments, uses, advance)
        if notes:
            self._said[measured.name] = "; ".join(notes)
        return made

    def weights(self, found: Sequence[Candidates]) -> list[float]:
        """Give what the error of each tensor counts in the weighted error."""
        if self._gains is not None:
            return [float(self._of(each.name, self._gains) or 0.0) for each in found]
        # what is all zero is exact, and counts for nothing
        counted = sum(each.size for each in found if not each.is_zero) or 1
        return [each.size / counted for each in found]


def known_sensitivity(sensitivity: object) -> Sensitivity | None:
    """Read a sensitivity, where a path is given."""
    if isinstance(sensitivity, str | os.PathLike):
        return Sensitivity.load(sensitivity)
    if sensitivity is None or isinstance(sensitivity, Sensitivity):
        return sensitivity
    raise ArgumentTypeError(
        f"sensitivity is {shown(sensitivity)}; it takes a Sensitivity, or the path of a saved one"
    )


def weighing_of(
    checkpoint: Checkpoint,
    activations: Mapping[str, ArrayLike] | str | os.PathLike[str] | None,
    sensitivity: Sensitivity | str | os.PathLike[str] | None,
    by: Measure | None,
    compensates: bool = False,
) -> Weighing:
    """Check the arguments of `plan` that say what errors are of."""
    if by is not None and by not in MEASURES:
        raise ArgumentValueError(f"by is {shown(by)}; it takes {', '.join(map(repr, MEASURES))}")
    if activations is not None and sensitivity is not None:
        raise ArgumentValueError("activations and sensitivity are both given; one of them at most")
    if compensates and by == "sqnr":
        raise ArgumentValueError(
            "compensate is true, which lessens the errors of outputs, and by is 'sqnr', the errors of "
            "elements; it takes by 'layer' or 'model'"
        )
    if compensates and activations is None and sensitivity is None:
        raise ArgumentValueError(
            "compensate is true, which takes a sensitivity or activations: the inputs to round for"
        )
    if activations is not None:
        known: Sensitivity | None = Sensitivity.from_activations(activations, checkpoint)
    else:
        known = known_sensitivity(sensitivity)
    if known is None:
        if by not in (None, "sqnr"):
            raise ArgumentValueError(
                f"by is {by!r}, which takes a sensitivity{' or activations' * (by == 'layer')}"
            )
        return Weighing(checkpoint, None, "sqnr")
    if by == "model" and known.gains is None:
        raise ArgumentValueError(
            "by is 'model', and the sensitivity has no gains: cfloat.torch.sensitivity(..., by='model') "
            "measures them"
        )
    by = by or ("layer" if known.gains is None else "model")
    return Weighing(checkpoint, known, by, compensates)


def measures_in_words(by: Measure, measures: Sequence[str]) -> list[str]:
    """Say what a plan's errors are of, for its screen; nothing where it is the elements alone."""
    if by == "sqnr":
        return []
    outputs = sum(each != SQNR for each in measures)
    compensated = sum(each == COMPENSATED for each in measures)
    lines = []
    if by == "model":
        lines.append(
            "weighted: of the model's output, expected: each tensor's error by what it changes there"
        )
    lines.append(
        f"errors of the outputs of {outputs} tensors' products, by their inputs; "
        f"of {len(measures) - outputs} tensors' elements"
    )
    if compensated:
        lines.append(f"{compensated} of these are rounded for their outputs, by moments")
    return list(map(printable, lines))
