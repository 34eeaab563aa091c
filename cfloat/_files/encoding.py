"""Values that become codes: biases are chosen, and pieces encoded at them."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.bias_layout import BiasLayout, along, check_blocks, check_layout
from cfloat._bias.bias_methods import PeakRule
from cfloat._bias.choose import choose_bias, choose_checked
from cfloat._bias.peak import bias_of_peak, biases_of_peaks
from cfloat._bias.squared_errors import PatternCounts
from cfloat._convert.by_layout import BlockLayout, encode_layout
from cfloat._core.binding import add_to_peaks
from cfloat._core.flags import Flags, collected
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import float16
from cfloat._core.rounding import check_rounding
from cfloat._core.text import shown
from cfloat._core.threads import get_num_threads
from cfloat.errors import ArgumentValueError

from . import fp8, tensor_pieces
from .checkpoint import Checkpoint
from .conversion_plan import REDUCTION, Plan
from .copying import Counter, Recipe, Writer
from .exporting import (
    NOTHING_RECODED,
    Recoded,
    fp8_entries,
    recode,
    refuse_changes,
    write_scales,
)
from .file_errors import refusing_contradictions
from .piece_workers import MAX_WORKERS, do_pieces, worker_number
from .reader import encodable_dtype, read_encodable
from .tensor_entry import Entry
from .tensor_metadata import BIAS_SUFFIX, Description, codes_entry, longest_bias
from .tensor_pieces import Piece

Array = NDArray[Any]


class Scratch:
    """Memory for a piece of values and of codes, a thread: fresh memory takes longer to get than to fill."""

    def __init__(self) -> None:
        self._of_workers: dict[int, _PieceMemory] = {}

    def of(self, worker: int) -> "_PieceMemory":
        """Give that of a thread, by its number."""
        found = self._of_workers.get(worker)
        if found is None:
            found = self._of_workers[worker] = _PieceMemory()
        return found


#: Pieces of a tensor, at most, that one thread does alone while others do other tensors.
_FEW_PIECES: Final = 4


class _PieceMemory:
    def __init__(self) -> None:
        # pages that are not written to take no memory
        self.read = np.empty(8 * tensor_pieces.PIECE_SIZE, np.uint8)
        self._codes = np.empty(2 * tensor_pieces.PIECE_SIZE, np.uint8)

    def codes(self, size: int, fmt: Format) -> Array:
        """Give an array for so many codes."""
        dtype = fmt.storage_dtype
        if size > tensor_pieces.PIECE_SIZE:
            return np.empty(size, dtype)
        return self._codes[: size * dtype.itemsize].view(dtype)


@dataclass
class _Done:
    """What came of a piece that was encoded: at which biases, and what is counted of it."""

    piece: Piece
    biases: Any
    flags: Flags
    recoded: Recoded


class Encoding:
    """Values that become codes."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str,
        plan: Plan,
        offset: int,
        layout: fp8.ScaleLayout | None = None,
        scratch: Scratch | None = None,
    ) -> None:
        self.name = name
        self.recipe = Recipe(Encoding, (name, plan, offset, layout))
        self._source = checkpoint.source
        self._entry = checkpoint.source.entries[name]
        self._plan = plan
        self._offset = offset
        assert isinstance(plan.format, Format)
        self._format = plan.format
        shape = self._entry.shape
        self._axis = self._axis_of(shape)
        self._blocks = self._blocks_of(shape)
        self._rows, self._block = self._tile(shape)
        self._biases_shape = self._shape_of_biases(shape)
        self._scratch = scratch or Scratch()
        # all of them, from the choice of a bias that takes them all to the last code
        self._values: Array | None = None
        self._table = fp8.recoded(plan.format) if plan.export else None
        # where nothing is drawn it is the same for all pieces
        is_random = plan.rounding == "stochastic"
        self._how = None if is_random else check_rounding(plan.rounding, shape)
        # the search looks at what can be stored
        self._searched = plan.format
        if plan.export:
            # readers round scales to the model's dtype
            self._searched = fp8.reachable(
                plan.format, float16 if self._entry.dtype == "F16" else None
            )
            if not isinstance(plan.bias, str):
                self._searched.check_bias(plan.bias)
        if plan.export:
            assert layout is not None
            self.entries = fp8_entries(name, plan.format, shape, layout)
            self.longest_description: Description | None = None
            return
        self.entries = {name: codes_entry(self._format, shape)}
        bias: int | str = longest_bias(self._format)
        if self._biases_shape is not None:
            bias = name + BIAS_SUFFIX
            self.entries[bias] = Entry.of("I16", self._biases_shape)
        blocks = self._blocks
        self.longest_description = Description(
            self._format, bias, self._axis if blocks is None else along(blocks, len(shape)),
            None if blocks is None else blocks.length, self._entry.dtype, plan.rounding,
            plan.seed if is_random else None, offset if is_random else None,
        )  # fmt: skip

    def _is_one(self, shape: tuple[int, ...]) -> bool:
        """Whether there is one bias whatever the plan says of slices and blocks."""
        bias = self._plan.bias
        return not isinstance(bias, str) or bias == "default" or 0 in shape or not shape

    def _axis_of(self, shape: tuple[int, ...]) -> int | None:
        """Give the axis whose slices have a bias each."""
        axis = self._plan.axis
        if axis is None or self._plan.block is not None or self._is_one(shape) or len(shape) < 2:
            return None
        assert isinstance(axis, int)
        if not -len(shape) <= axis < len(shape):
            raise ArgumentValueError(
                f"axis is {axis}; {shown(self.name)} takes {-len(shape)} to {len(shape) - 1}"
            )
        axis %= len(shape)
        return axis if shape[axis] > 1 else None

    def _blocks_of(self, shape: tuple[int, ...]) -> BlockLayout | None:
        """Give the blocks that have a bias each, of consecutive elements."""
        block, axis = self._plan.block, self._plan.axis
        # as of slices, a tensor of fewer than two axes has one bias where an axis is said
        if (
            not isinstance(block, int)
            or self._is_one(shape)
            or (axis is not None and len(shape) < 2)
        ):
            return None
        assert axis != REDUCTION
        try:
            return check_blocks(block, shape, axis)
        except ArgumentValueError as error:
            raise ArgumentValueError(f"{shown(self.name)}: {error}") from None

    def _tile(self, shape: tuple[int, ...]) -> tuple[int, int | None]:
        """Give how many rows and elements of the last axis share a bias, of the shape as three axes."""
        if isinstance(self._plan.block, tuple) and not self._is_one(shape):
            rows, columns = self._plan.block
            return min(rows, shape[0]), min(columns, shape[1])
        if self._blocks is None:
            return 1, None
        return (1, self._blocks.length) if self._are_last else (self._blocks.length, 1)

    @property
    def _are_last(self) -> bool:
        """Whether blocks run along the last axes, of which the elements follow each other."""
        return self._blocks is None or self._blocks.axes[-1] == len(self._entry.shape) - 1

    def _shape_of_biases(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        if self._blocks is not None:
            return self._blocks.counted(shape)
        if self._block is not None:
            return -(-shape[0] // self._rows), -(-shape[-1] // self._block)
        if self._axis is not None:
            return tuple(n if i == self._axis else 1 for i, n in enumerate(shape))
        return None

    @property
    def is_short(self) -> bool:
        """Whether it is a few pieces, and one thread does it while another does another tensor."""
        size = self._entry.size
        if size > _FEW_PIECES * tensor_pieces.PIECE_SIZE or not self._source.reads_anywhere:
            return False
        reads_pieces = (
            self._block is not None
            or self.is_searched
            or self._is_counted
            or not self._is_searched_by_values
            or self._chooses_in_pieces(list(self.pieces()))
        )
        return reads_pieces or size <= tensor_pieces.PIECE_SIZE

    @in_default_modes
    def run(self, writer: Writer, counter: Counter) -> Description | None:
        """Choose the biases, and write them and the codes."""
        pieces = list(self.pieces())
        biases = None
        if self._chooses_in_pieces(pieces):
            biases = self._choose_and_encode(pieces, writer, counter)
            return self.finish(biases, writer, counter)
        if self.is_searched:
            biases = self.decide(self.survey(pieces, counter))
        elif self.is_chosen:
            biases = self.choose(counter)
        self.encode(pieces, biases, writer, counter)
        self._values = None
        return self.finish(biases, writer, counter)

    def _chooses_in_pieces(self, pieces: Sequence[Piece]) -> bool:
        """Whether a piece's biases follow from it and the pieces before, so that it is read but once.

        Where slices go on in other pieces, biases are a guess, which is nearly always right of one or a few
        large ones: their largest magnitudes are hardly ever twice those of the first piece.
        """
        method = self._plan.bias
        if self._block is not None or not self._is_searched_by_values or not pieces:
            return False
        has_whole_slices = all(self._has_whole_slices(piece) for piece in pieces)
        if self.is_searched:
            return has_whole_slices or all(piece.shape[1] == 1 for piece in pieces)
        return self._axis is not None and has_whole_slices and method != "default"

    @property
    def _is_searched_by_values(self) -> bool:
        """Whether the biases follow from values."""
        method = self._plan.bias
        return isinstance(method, str) and method != "default" and self._entry.size > 0

    @property
    def _is_counted(self) -> bool:
        """Whether the one bias follows from how often each pattern of 16 bits occurs."""
        is_one = self._axis is None and self._block is None and self._is_searched_by_values
        return is_one and self._plan.bias == "mse" and self._entry.dtype in ("F16", "BF16")

    def _has_whole_slices(self, piece: Piece) -> bool:
        outer, _, inner = self._cut
        return piece.shape[0] == outer and piece.shape[2] == inner

    @in_default_modes
    def _choose_and_encode(self, pieces: list[Piece], writer: Writer, counter: Counter) -> Any:
        """Choose the biases and write the codes, piece by piece; once more where a piece's were others."""
        slices = self._cut[1]
        largest = np.zeros(slices, np.float64)
        done: list[_Done] = []
        lock = threading.Lock()
        fmt, rule, method = self._searched, self._rule, self._plan.bias
        assert isinstance(method, str)
        assert method != "default"
        assert method != "output"

        def first(piece: Piece, worker: int) -> None:
            with refusing_contradictions(self._source.path, self.name):
                values = self._read(piece)
                found: Any
                if rule is None:
                    found = choose_checked(values, fmt, method, axis=1)
                else:
                    own = _peaks(values)
                    with lock:
                        part = largest[piece.slices]
                        np.maximum(part, own, out=part)
                        found = self._of_peaks(part, rule)
                made = self._encoded(piece, worker, values, found, writer)
            with lock:
                done.append(made)

        self._do(first, pieces, lambda piece: self._advance(counter, piece, 1))
        if rule is None:
            chosen = np.empty(slices, np.int16)
            for one in done:
                chosen[one.piece.slices] = one.biases
            self._tell(done, counter)
            return chosen
        if len(pieces) == 1:
            self._tell(done, counter)
            return done[0].biases
        biases = self._of_peaks(largest, rule)

        def again(piece: Piece, worker: int) -> None:
            with refusing_contradictions(self._source.path, self.name):
                values = self._read(piece)
                made = self._encoded(piece, worker, values, self._part(biases, piece), writer)
            with lock:
                done.append(made)

        done[:] = [one for one in done if np.array_equal(one.biases, self._part(biases, one.piece))]
        right = {one.piece.start for one in done}
        self._do(again, [piece for piece in pieces if piece.start not in right])
        self._tell(done, counter)
        return biases

    def _of_peaks(self, peaks: NDArray[np.float64], rule: PeakRule) -> Any:
        """Tell the bias, or one a slice, that follows from the largest magnitudes."""
        if self._axis is None:
            return bias_of_peak(float(peaks[0]), self._searched, rule)
        return biases_of_peaks(peaks, self._searched, rule)

    def _part(self, biases: Any, piece: Piece) -> Any:
        """Give the biases of a piece's slices, or the one of all."""
        return biases if self._axis is None else biases[piece.slices]

    def _do(
        self,
        work: Callable[[Piece, int], None],
        pieces: Sequence[Piece],
        tell: Callable[[Piece], None] | None = None,
    ) -> None:
        """Do pieces, by several threads if there may be and parts are read from anywhere."""
        if not pieces:
            return
        count = min(get_num_threads(), MAX_WORKERS, len(pieces))
        if not self._source.reads_anywhere:
            count = 1
        do_pieces(in_default_modes(work), pieces, count, tell)

    @property
    def rounded_to(self) -> Format:
        """The format of all values that the codes may have, for which biases are chosen."""
        return self._searched

    # The steps of a run, the parts of which can be done anywhere and in any order

    @property
    def is_searched(self) -> bool:
        """Whether the biases follow from the largest magnitudes of all pieces."""
        return self._rule is not None and self._block is None and self._entry.size > 0

    @property
    def _rule(self) -> PeakRule | None:
        """The rule by which biases follow from the largest magnitudes, if they do."""
        bias = self._plan.bias
        return bias if bias == "max" or bias == "mx" else None

    @property
    def is_chosen(self) -> bool:
        """Whether the biases follow from all values at once, or from none."""
        return not self.is_searched and self._block is None

    @property
    def _cut(self) -> tuple[int, int, int]:
        """The shape as three axes: biases differ along the middle one, or rows of it have blocks."""
        shape = self._entry.shape
        if self._blocks is not None:
            row, first = self._blocks.row(shape), self._blocks.axes[0]
            if self._are_last:
                return (1, prod(shape[:first]), row)
            return (prod(shape[:first]), row, prod(shape[self._blocks.axes[-1] + 1 :]))
        if self._block is not None:
            return (1, shape[0], shape[1])
        if self._axis is None:
            return (1, 1, self._entry.size)
        return (prod(shape[: self._axis]), shape[self._axis], prod(shape[self._axis + 1 :]))

    def pieces(self) -> Iterator[Piece]:
        """Cut the tensor into the pieces that it is worked on in."""
        outer, slices, inner = self._cut
        if self._block is None:
            yield from tensor_pieces.cut(outer, slices, inner)
            return
        if slices % self._rows == 0:  # no block ends before its time within a plane
            outer, slices = 1, outer * slices
        padded = -(-slices // self._rows) * self._rows
        for plane in range(outer):
            for piece in tensor_pieces.cut(1, slices, inner, self._block, self._rows):
                # counted as if the last band of each plane were as long as the others
                first = plane * padded + piece.slices.start
                yield piece._replace(
                    start=piece.start + plane * slices * inner,
                    slices=slice(first, first + piece.shape[1]),
                )

    @in_default_modes
    def survey(self, parts: Iterable[Piece], counter: Counter) -> Array:
        """Find the largest finite magnitude of each slice, as far as pieces have it: float64 (slices,)."""
        largest = np.zeros(self._cut[1], np.float64)
        for piece in parts:
            with refusing_contradictions(self._source.path, self.name):
                part = largest[piece.slices]
                np.maximum(part, _peaks(self._read(piece)), out=part)
            counter.advance(self._entry.nbytes / 2 * prod(piece.shape) / self._entry.size)
        return largest

    @in_default_modes
    def decide(self, largest: Array) -> Any:
        """Choose the bias, or one a slice, by what `survey` found in all pieces."""
        axis = None if self._axis is None else 0
        assert self._rule is not None
        return choose_bias(largest, self._searched, self._rule, axis=axis)

    @in_default_modes
    def choose(self, counter: Counter) -> Any:
        """Choose the bias, or one a slice, by all values at once, or by none."""
        fmt, method = self._searched, self._plan.bias
        if not isinstance(method, str):
            return method
        if method == "default" or self._entry.size == 0:
            return fmt.default_bias
        with refusing_contradictions(self._source.path, self.name):
            chosen = self._choose_by_values()
        counter.advance(self._entry.nbytes / 2)
        return chosen

    def _choose_by_values(self) -> Any:
        """Choose by the values, which are there for their codes afterwards if they are read at once."""
        fmt, method = self._searched, self._plan.bias
        assert isinstance(method, str)
        assert method != "output"
        assert method != "default"
        if self._is_counted:
            counts = PatternCounts(encodable_dtype(self._source, self.name))
            for piece in self.pieces():
                counts.add(self._read(piece))
            return counts.bias(fmt)
        memory = self._scratch.of(worker_number()).read
        values = read_encodable(self._source, self.name, 0, self._entry.size, memory)
        self._values = values
        if self._axis is None:
            return choose_bias(values, fmt, method)
        return choose_bias(values.reshape(self._cut), fmt, method, axis=1)

    @in_default_modes
    def encode(self, parts: Iterable[Piece], biases: Any, writer: Writer, counter: Counter) -> None:
        """Write the codes of pieces; and with blocks their biases, which are chosen here."""
        done: list[_Done] = []
        lock = threading.Lock()

        def one(piece: Piece, worker: int) -> None:
            with refusing_contradictions(self._source.path, self.name):
                values = self._read(piece)
                if self._block is not None:
                    made = self._encoded_blocks(piece, worker, values[0], writer, self._block)
                else:
                    made = self._encoded(piece, worker, values, self._part(biases, piece), writer)
            with lock:
                done.append(made)

        self._do(one, list(parts), lambda piece: self._advance(counter, piece, self._passes))
        self._tell(done, counter)

    def _tell(self, done: Iterable[_Done], counter: Counter) -> None:
        """Add up what is counted of pieces."""
        summary = counter.summary
        recoded = Recoded(
            *(sum(counts) for counts in zip(*(one.recoded for one in done), strict=True))
        )
        if recoded.values and self._plan.strict:
            refuse_changes(recoded, self.name)
        summary.recoded += recoded.codes
        summary.changed += recoded.values
        for one in done:
            summary.flags.add(one.flags)

    @in_default_modes
    def finish(self, biases: Any, writer: Writer, counter: Counter) -> Description | None:
        """Write what there is to say of the whole tensor, when all pieces are encoded."""
        counter.summary.elements += self._entry.size
        counter.summary.converted.append(self.name)
        if self._plan.export:
            if self._block is None:  # else they are written beside the codes
                write_scales(writer, self.name, self._format, biases, self.entries)
            return None
        assert self.longest_description is not None
        if self._biases_shape is None:
            return replace(self.longest_description, bias=int(biases))
        if self._block is None:
            writer.write(self.name + BIAS_SUFFIX, 0, np.asarray(biases, np.int16))
        return self.longest_description

    def _read(self, piece: Piece) -> Array:
        if self._values is not None:
            return self._values[piece.start : piece.stop].reshape(piece.shape)
        memory = self._scratch.of(worker_number()).read
        values = read_encodable(self._source, self.name, piece.start, piece.stop, memory)
        return values.reshape(piece.shape)

    def _encoded(
        self, piece: Piece, worker: int, values: Array, biases: Any, writer: Writer
    ) -> _Done:
        """Write the codes of a piece's values at a bias, or at one for each of its slices."""
        part = int(biases) if self._axis is None else np.asarray(biases)[:, np.newaxis]
        layout = check_layout(self._format, part, piece.shape)
        return self._write(piece, worker, values, biases, layout, writer)

    def _write(
        self,
        piece: Piece,
        worker: int,
        values: Array,
        biases: Any,
        layout: BiasLayout,
        writer: Writer,
    ) -> _Done:
        plan = self._plan
        how = self._how
        if how is None:
            offset = self._offset + piece.start
            how = check_rounding(plan.rounding, values.shape, plan.seed, offset)
        out = self._scratch.of(worker).codes(values.size, self._format).reshape(values.shape)
        with collected() as flags:
            codes = encode_layout(
                values, self._format, layout.values, layout.blocks, values.shape, how, out
            )
            recoded = NOTHING_RECODED
            if self._table is not None:
                codes, recoded = recode(codes, self._table, self._format)
        writer.write(self.name, piece.start * codes.itemsize, codes)
        return _Done(piece, biases, flags, recoded)

    def _advance(self, counter: Counter, piece: Piece, passes: int) -> None:
        counter.advance(self._entry.nbytes / self._entry.size * prod(piece.shape) / passes)

    @property
    def _passes(self) -> int:
        """How often the values are read where each step is taken for all pieces before the next."""
        return 2 if self._is_searched_by_values and self._block is None else 1

    def _encoded_blocks(
        self, piece: Piece, worker: int, values: Array, writer: Writer, block: int
    ) -> _Done:
        """Choose and encode in one go: a block depends on no other."""
        method = self._plan.bias
        assert isinstance(method, str)
        assert method != "default"
        assert method != "output"
        size = (self._rows, block) if self._rows > 1 else block
        found = np.asarray(choose_checked(values, self._searched, method, block=size))
        # in one piece as well: whole rows, or a part of one
        across = -(-self._cut[2] // block)
        start = piece.slices.start // self._rows * across + piece.inner // block
        if self._plan.export:
            scales = fp8.scale_of(self._format, found)
            writer.write(self.name + fp8.SCALE_SUFFIX, start * scales.itemsize, scales)
        else:
            writer.write(self.name + BIAS_SUFFIX, start * found.itemsize, found)
        if self._are_last:
            of_rows = np.repeat(found, self._rows, axis=0)[: len(values)]
            biases = check_layout(self._format, of_rows, values.shape, block=block)
        else:
            biases = check_layout(self._format, found, values.shape, 0, self._rows)
        return self._write(piece, worker, values, found, biases, writer)


def _peaks(values: Array) -> NDArray[np.float64]:
    """Find the largest finite magnitudes of slices along the middle axis of three: float64 (slices,)."""
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    found = np.zeros(values.shape[1], np.float64)
    add_to_peaks(values, found)
    return found
