"""Values that become codes by the second moments of what they are multiplied with (docs/spec.md 5.15)."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.bias_layout import BiasLayout
from cfloat._bias.choose import choose_checked
from cfloat._compensate.round_compensated import OUTPUT, round_compensated
from cfloat._compensate.second_moments import SecondMoment
from cfloat._compensate.uses import moment_of_uses, why_all_nearest
from cfloat._convert.by_layout import encode_layout
from cfloat._core.flags import collected
from cfloat._core.float_modes import in_default_modes
from cfloat._core.text import shown
from cfloat.errors import ArgumentValueError

from . import fp8
from .checkpoint import Checkpoint
from .conversion_plan import Plan
from .conversion_summary import Compensated
from .copying import Counter, Recipe, Writer
from .encoding import Encoding, Scratch
from .exporting import recode, refuse_changes
from .file_errors import refusing_contradictions
from .finished_tensors import FinishedTensors, Question, Rounded
from .moments import Moments
from .reader import read_values
from .tensor_metadata import BIAS_SUFFIX, Description

Array = NDArray[Any]


class Compensating(Encoding):
    """Values that become codes, rounded for the outputs of their products where moments are of these.

    All of the tensor is in memory, and of it, as of its moments, some copies in float64.

    Raises
    ------
    ArgumentValueError
        If the moments fit no tensor of that shape, or the biases are chosen by outputs and shared by tiles.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str,
        plan: Plan,
        layout: fp8.ScaleLayout | None,
        scratch: Scratch,
        moments: Moments,
        finished: FinishedTensors | None = None,
    ) -> None:
        # of what is not compensated
        nearest = replace(plan, bias="mse") if plan.bias == OUTPUT else plan
        super().__init__(checkpoint, name, nearest, 0, layout, scratch)
        self._bias: Any = plan.bias
        if self._bias == OUTPUT and isinstance(plan.block, tuple):
            raise ArgumentValueError(
                f"bias is {OUTPUT!r}, which goes with one scale a tensor or a row, not with blocks of rows "
                "and columns"
            )
        self.recipe = Recipe(Compensating, (name, plan, layout, scratch, moments, finished))
        self._finished = finished
        self._moments = moments
        self._why_nearest = self._reason()

    def _reason(self) -> str:
        """Say why it is rounded to nearest, as far as that is known before any work is done; or refuse."""
        shape = self._entry.shape
        if not self._moments.has(self.name):
            return "no moments" if len(shape) > 1 else "no moments, of one axis or none"
        uses = self._moments.uses_of(self.name)
        for use in uses:
            misfit = use.misfit(shape)
            if misfit is not None:
                raise ArgumentValueError(f"{shown(self.name)}: {misfit}")
        if not uses or not self._entry.size:
            return "no moments" if self._entry.size else "no elements"
        return moment_of_uses(uses)[1]

    @property
    def is_short(self) -> bool:
        """Whether it is done while another thread does another tensor: never, as all of it is in memory."""
        return False

    @in_default_modes
    def run(self, writer: Writer, counter: Counter) -> Description | None:
        """Choose the biases, and write them and the codes."""
        summary = counter.summary
        moment = None
        if not self._why_nearest:
            moment, self._why_nearest = moment_of_uses(self._moments.uses_of(self.name))
        if moment is None:
            summary.to_nearest[self.name] = self._why_nearest
            return super().run(writer, counter)
        with refusing_contradictions(self._source.path, self.name):
            values = read_values(self._source, self.name, 0, self._entry.size)
        values = values.reshape(self._entry.shape)
        codes, biases = self._rounded(values, moment, counter)
        codes = self._as_exported(values, codes, biases, counter)
        writer.write(self.name, 0, codes)
        counter.advance(self._entry.nbytes)
        return self._written(biases, writer, counter)

    def _rounded(
        self, values: Array, moment: SecondMoment, counter: Counter
    ) -> tuple[Array, BiasLayout]:
        """Round onto what can be stored; and count what came of it."""
        shape = self._entry.shape
        bias = self._bias
        axis: Any = self._axis
        block: int | None = None
        if self._blocks is not None:
            axis, block = self._blocks.axes, self._blocks.length
        elif self._block is not None:
            # rows of a tile share its biases
            tiles = choose_checked(values, self._searched, bias, block=(self._rows, self._block))
            bias = np.repeat(np.asarray(tiles), self._rows, axis=0)[: shape[0]]
            block = self._block
        elif bias == "default":
            bias = self._searched.default_bias
        question = Question(values, self._searched, moment, bias, axis, block)
        made = None if self._finished is None else self._finished.get(question)
        if made is None:
            q, stats = round_compensated(
                values, self._searched, moment, bias, axis=axis, block=block
            )
            made = Rounded(
                q.codes,
                q._biases,
                stats.nearest_sqnr_db,
                stats.sqnr_db,
                stats.rows_kept,
                stats.notes,
            )
            if self._finished is not None:
                self._finished.put(question, made)
        summary = counter.summary
        reason = why_all_nearest(moment, shape, made.rows_kept, made.notes)
        if reason:
            summary.to_nearest[self.name] = reason
        else:
            summary.compensated[self.name] = Compensated(made.nearest_db, made.db)
            if made.notes:
                summary.moments_notes[self.name] = "; ".join(made.notes)
        return made.codes, made.biases

    def _as_exported(
        self, values: Array, codes: Array, biases: BiasLayout, counter: Counter
    ) -> Array:
        """Count what is out of range, and put the codes of what is not finite as without moments."""
        with collected() as flags:
            plain = encode_layout(values, self._format, biases.values, biases.blocks, values.shape)
        counter.summary.flags.add(flags)
        infinite = ~np.isfinite(values)
        if self._table is None or not infinite.any():
            return codes
        # the 8-bit float has a code for NaN, which readers of an export do not expect
        there, recoded = recode(np.ascontiguousarray(plain[infinite]), self._table, self._format)
        if recoded.values and self._plan.strict:
            refuse_changes(recoded, self.name)
        counter.summary.recoded += recoded.codes
        counter.summary.changed += recoded.values
        codes = codes.copy()
        codes[infinite] = there
        return codes

    def _written(self, biases: BiasLayout, writer: Writer, counter: Counter) -> Description | None:
        """Write the biases, or scales; and give what there is to say of the tensor."""
        found = np.asarray(biases.values, np.int16)
        if self._block is not None:
            if self._blocks is None:
                found = found[:: self._rows]
            assert self._biases_shape is not None
            found = np.ascontiguousarray(np.broadcast_to(found, self._biases_shape))
            if self._plan.export:
                scales = fp8.scale_of(self._format, found)
                writer.write(self.name + fp8.SCALE_SUFFIX, 0, scales)
            else:
                writer.write(self.name + BIAS_SUFFIX, 0, found)
        elif self._biases_shape is not None:
            found = np.ascontiguousarray(np.broadcast_to(found, self._biases_shape))
        return self.finish(found, writer, counter)
