"""What tensors of a checkpoint can become in an export: for each layout of scales, bytes and errors."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from cfloat._files import fp8
from cfloat._files.checkpoint import Checkpoint
from cfloat._files.conversion_plan import Plan
from cfloat._files.encoding import Encoding, Scratch
from cfloat._files.export_choice import Choice, export_choice, refuse_codes
from cfloat._files.file_errors import refusing_contradictions
from cfloat._files.plan_file import TensorChoice
from cfloat._files.quantization_config import configuration_beside
from cfloat.errors import FileError

from .candidates import Candidate, Candidates, left_candidates, reason_to_leave, values_of
from .scan import Scan

#: Where scales may lie, from the fewest on: all of an export lie alike.
LAYOUTS: Final = (
    fp8.ScaleLayout("tensor"),
    fp8.ScaleLayout("channel"),
    fp8.ScaleLayout("block", (128, 128)),
)


class ExportMeasuring:
    """The measuring of what an export makes of a checkpoint's tensors.

    Parameters
    ----------
    checkpoint : Checkpoint
        The checkpoint.
    include, exclude : sequence of str
        Patterns, as an export takes them.

    Attributes
    ----------
    by : str
        Who knew which tensors are weights of linear layers.
    notes : tuple of str
        What whoever loads an export must know.

    Raises
    ------
    FileError
        If there is nothing to export, or the checkpoint has codes.
    ArgumentValueError
        If a pattern fits no name.
    """

    def __init__(
        self, checkpoint: Checkpoint, include: Sequence[str], exclude: Sequence[str]
    ) -> None:
        refuse_codes(checkpoint)
        self._checkpoint = checkpoint
        self._scratch = Scratch()
        configuration = configuration_beside(checkpoint.path)
        plan = Plan(export=True, include=include, exclude=exclude)
        first = export_choice(checkpoint, plan, configuration)
        self.by, self.notes = first.by, tuple(first.notes)
        self._choices: dict[fp8.ScaleLayout, Choice] = {}
        for layout in LAYOUTS:
            choice: Choice | None = first
            if layout.block is not None and first.experts:
                choice = _choice_in_blocks(checkpoint, plan, layout)
            if choice is not None:
                self._choices[layout] = choice
        self._first = first
        self._names: dict[str, list[str]] = {}
        tied = checkpoint.tied_names()
        for name in checkpoint:
            self._names.setdefault(tied.get(name, name), []).append(name)

    @property
    def layouts(self) -> list[fp8.ScaleLayout]:
        """Where scales may lie in an export of this checkpoint."""
        return list(self._choices)

    def reason(self, name: str) -> str:
        """Say why a tensor stays as it is; empty if an export takes it."""
        return self._reason(name, self._first)

    def measure(self, name: str) -> Candidates:
        """Measure what a tensor becomes with each layout of scales that takes fewer bytes than it has.

        Names of one tensor are exported together, or none is.
        """
        layouts = [each for each, choice in self._choices.items() if not self._reason(name, choice)]
        with refusing_contradictions(self._checkpoint.path, name), np.errstate(all="ignore"):
            scan = Scan(values_of(self._checkpoint, name))
            if reason := reason_to_leave(scan):
                return left_candidates(self._checkpoint, name, reason)
            left = left_candidates(self._checkpoint, name, "")
            found = [
                made
                for made in (self._candidate(name, layout, scan) for layout in layouts)
                if made.nbytes < left.found[0].nbytes and np.isfinite(made.error)
            ]
        return replace(left, is_zero=scan.is_zero, found=[*left.found, *found])

    def _candidate(self, name: str, layout: fp8.ScaleLayout, scan: Scan) -> Candidate:
        choice = TensorChoice.in_export(layout)
        plan = Plan(tensors={name: choice}).checked().of(name)
        job = Encoding(self._checkpoint, name, plan, 0, layout, self._scratch)
        nbytes, fmt = sum(entry.nbytes for entry in job.entries.values()), job.rounded_to
        if layout.block is not None:
            (error,) = scan.measure_tiles(fmt, *layout.block).error
            return Candidate(choice, nbytes, error, rounded_to=fmt)
        if layout.axis is None:
            return Candidate(choice, nbytes, scan.error(fmt)[0], scan.bias(fmt)[0], fmt)
        (groups,) = scan.measure_groups([(fmt, scan.values.length)])
        return Candidate(choice, nbytes, groups.error[0], rounded_to=fmt)

    def _reason(self, name: str, choice: Choice) -> str:
        """Say why a tensor stays as it is, for any of its names; empty if it is exported."""
        for each in self._names[name]:
            if each not in choice.chosen:
                why = choice.reason_of(each)
                return why if each == name else f"tied to {each}: {why}"
        return ""

    def of_layout(
        self, found: Sequence[Candidates], layout: fp8.ScaleLayout
    ) -> tuple[list[Candidates], list[list[int]]]:
        """Give the candidates with one layout of scales, and the places of those that go together.

        What readers hold together (experts of a layer) is exported as a whole, or not at all.
        """
        experts = self._choices[layout].experts
        items = [
            replace(each, found=[each.found[0], *(c for c in each.found[1:] if _lies(c, layout))])
            for each in found
        ]
        groups: dict[str, list[int]] = {}
        for place, each in enumerate(items):
            own = [experts[name] for name in self._names[each.name] if name in experts]
            groups.setdefault(f"experts {own[0]}" if own else f"tensor {each.name}", []).append(
                place
            )
        for places in groups.values():
            staying = next((items[i].name for i in places if len(items[i].found) == 1), None)
            for i in places if staying is not None and len(places) > 1 else ():
                why = items[i].reason or f"read together with {staying}, which stays"
                items[i] = replace(items[i], found=items[i].found[:1], reason=why)
        return items, list(groups.values())


def _lies(candidate: Candidate, layout: fp8.ScaleLayout) -> bool:
    return candidate.choice.layout == layout


def _choice_in_blocks(checkpoint: Checkpoint, plan: Plan, layout: fp8.ScaleLayout) -> Choice | None:
    """Choose what is exported in blocks, which takes no experts; None if nothing is left then."""
    configuration = configuration_beside(checkpoint.path)
    try:
        return export_choice(checkpoint, replace(plan, block=layout.block), configuration)
    except FileError:
        return None
