"""What becomes of one tensor of a checkpoint: it is copied, encoded, decoded or exported, piece by piece."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._bias.choose import choose_bias
from cfloat._bias.layout import check_layout
from cfloat._convert import elementwise
from cfloat._convert.layouts import encode_layout
from cfloat._core.flags import collected
from cfloat._core.format import Format
from cfloat._core.presets import bfloat16, float16
from cfloat._core.rounding import check_rounding
from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentValueError, FileError

from . import fp8
from .checkpoint import Checkpoint
from .plan import FLOAT_NAMES, FloatName, Plan, Summary
from .reader import NUMPY_DTYPES, Entry, read_values, tensor_errors
from .storage import refusing_damage, shown_path
from .tensor_metadata import BIAS_SUFFIX, Description, codes_entry, longest_bias

Array = NDArray[Any]
Progress = Callable[[float, int], None]

# Elements converted at a time: enough for threads to be worth starting, and a few megabytes.
_PIECE = 1 << 20


class Counter:
    """What has been done so far."""

    def __init__(self, summary: Summary, progress: Progress | None, total: int) -> None:
        self.summary = summary
        self._progress = progress
        self._done = 0.0
        self._total = total

    def advance(self, nbytes: float) -> None:
        """Say that so many more bytes of the source are done."""
        if self._progress is not None:
            self._done += nbytes
            self._progress(self._done, self._total)


class Writer(Protocol):
    """A file in the making, or the way to it from another process."""

    def write(self, name: str, start: int, data: Array) -> None:
        """Write elements of a tensor, from its byte `start` on."""
        ...


class Recipe(NamedTuple):
    """What a job is made of: it can be sent to where the same files are."""

    kind: "Callable[..., Job]"
    arguments: tuple[Any, ...]

    def job(self, checkpoint: Checkpoint) -> "Job":
        """Return the job."""
        return self.kind(checkpoint, *self.arguments)


class Job(Protocol):
    """What becomes of a tensor."""

    name: str
    entries: dict[str, Entry]
    longest: Description | None
    recipe: Recipe

    def run(self, writer: Writer, counter: Counter) -> Description | None:
        """Write it; return its description, which is no longer than `longest`."""
        ...


class Copying:
    """A tensor that stays as it is, byte for byte, and the biases or scales that are beside it."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.name = name
        self.recipe = Recipe(Copying, (name,))
        beside = checkpoint.beside(name)
        names = (name,) if beside is None else (name, beside)
        self.entries = {each: checkpoint.source.entries[each] for each in names}
        self.longest = checkpoint.description(name)
        self._source = checkpoint.source

    def run(self, writer: Writer, counter: Counter) -> Description | None:
        """Copy the bytes."""
        for name, entry in self.entries.items():
            buffer = np.empty(min(entry.nbytes, 4 * _PIECE), np.uint8)
            for start in range(0, entry.nbytes, max(buffer.size, 1)):
                piece = buffer[: entry.nbytes - start]
                with refusing_damage(self._source.path, name):
                    self._source.read_into(name, start, piece)
                writer.write(name, start, piece)
                counter.advance(piece.size)
        counter.summary.copied.append(self.name)
        return self.longest


class Box(NamedTuple):
    """A part of an array of three axes that is in one piece in memory."""

    start: int  # its first element, in row-major order
    shape: tuple[int, int, int]
    slices: slice  # along the middle axis
    inner: int  # where it starts along the last axis

    @property
    def stop(self) -> int:
        """The element after its last one."""
        return self.start + prod(self.shape)


def _boxes(outer: int, slices: int, inner: int, step: int = 1) -> Iterator[Box]:
    """Cut an array of three axes into boxes of about a piece; along the last axis at multiples of `step`."""
    plane = slices * inner
    if plane == 0 or outer == 0:
        return
    if plane <= _PIECE:
        group = _PIECE // plane
        for o in range(0, outer, group):
            shape = (min(group, outer - o), slices, inner)
            yield Box(o * plane, shape, slice(0, slices), 0)
    elif inner <= _PIECE:
        group = _PIECE // inner
        for o in range(outer):
            for s in range(0, slices, group):
                shape = (1, min(group, slices - s), inner)
                yield Box(o * plane + s * inner, shape, slice(s, s + shape[1]), 0)
    else:
        length = max(_PIECE // step, 1) * step
        for row in range(outer * slices):
            s = row % slices
            for i in range(0, inner, length):
                shape = (1, 1, min(length, inner - i))
                yield Box(row * inner + i, shape, slice(s, s + 1), i)


class Scratch:
    """Memory for a piece of values and of codes: to get fresh memory takes longer than to fill it."""

    def __init__(self) -> None:
        self.read = np.empty(8 * _PIECE, np.uint8)
        self._codes = np.empty(2 * _PIECE, np.uint8)

    def codes(self, size: int, fmt: Format) -> Array:
        """Return an array for so many codes."""
        dtype = fmt.storage_dtype
        if size > _PIECE:
            return np.empty(size, dtype)
        return self._codes[: size * dtype.itemsize].view(dtype)


class Encoding:
    """Values that become codes."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str,
        plan: Plan,
        offset: int,
        channels: bool,
        scratch: Scratch | None = None,
    ) -> None:
        assert plan.format is not None or plan.export
        self.name = name
        self.recipe = Recipe(Encoding, (name, plan, offset, channels))
        self._source = checkpoint.source
        self._entry = checkpoint.source.entries[name]
        self._plan = plan
        self._offset = offset
        if plan.format is None:
            raise ArgumentValueError(f"{shown(name)} is not encoded yet, and no format is given")
        self._format = plan.format
        shape = self._entry.shape
        self._axis, self._block = self._layout(shape)
        self._biases_shape = self._shape_of_biases(shape)
        self._scratch = scratch or Scratch()
        self._table = fp8.recoded(plan.format) if plan.export else None
        # the search looks at what can be stored
        self._searched = fp8.reachable(plan.format) if plan.export else plan.format
        if plan.export:
            self.entries = _fp8_entries(name, plan.format, shape, channels)
            self.longest: Description | None = None
            return
        self.entries = {name: codes_entry(self._format, shape)}
        bias: int | str = longest_bias(self._format)
        if self._biases_shape is not None:
            bias = name + BIAS_SUFFIX
            self.entries[bias] = Entry.of("I16", self._biases_shape)
        stochastic = plan.rounding == "stochastic"
        self.longest = Description(
            self._format, bias, self._axis, self._block, self._entry.dtype, plan.rounding,
            plan.seed if stochastic else None, offset if stochastic else None,
        )  # fmt: skip

    def _layout(self, shape: tuple[int, ...]) -> tuple[int | None, int | None]:
        plan = self._plan
        if not isinstance(plan.bias, str) or plan.bias == "default" or 0 in shape:
            return None, None
        if plan.block is not None and shape:
            return None, min(plan.block, shape[-1])
        if plan.axis is None or len(shape) < 2:
            return None, None
        if not -len(shape) <= plan.axis < len(shape):
            raise ArgumentValueError(
                f"axis is {plan.axis}; {shown(self.name)} takes {-len(shape)} to {len(shape) - 1}"
            )
        axis = plan.axis % len(shape)
        return (axis, None) if shape[axis] > 1 else (None, None)

    def _shape_of_biases(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        if self._block is not None:
            return (*shape[:-1], -(-shape[-1] // self._block))
        if self._axis is not None:
            return tuple(n if i == self._axis else 1 for i, n in enumerate(shape))
        return None

    def run(self, writer: Writer, counter: Counter) -> Description | None:
        """Choose the biases, and write them and the codes."""
        biases = None
        if self.is_searched:
            biases = self.decide(self.survey(self.boxes(), counter))
        elif self.is_chosen:
            biases = self.choose(counter)
        self.encode(self.boxes(), biases, writer, counter)
        return self.finish(biases, writer, counter)

    # The steps of a run, the parts of which can be done anywhere and in any order

    @property
    def is_searched(self) -> bool:
        """Whether the biases follow from the largest magnitudes of all boxes."""
        return self._plan.bias == "max" and self._block is None and self._entry.size > 0

    @property
    def is_chosen(self) -> bool:
        """Whether the biases follow from all values at once, or from none."""
        return not self.is_searched and self._block is None

    @property
    def _cut(self) -> tuple[int, int, int]:
        """The shape as three axes: biases differ along the middle one, or each row has blocks of its own."""
        shape = self._entry.shape
        if self._block is not None:
            return (1, prod(shape[:-1]), shape[-1])
        if self._axis is None:
            return (1, 1, self._entry.size)
        return (prod(shape[: self._axis]), shape[self._axis], prod(shape[self._axis + 1 :]))

    def boxes(self) -> Iterator[Box]:
        """Return the boxes that the tensor is worked on in."""
        return _boxes(*self._cut, self._block or 1)

    def survey(self, boxes: Iterable[Box], counter: Counter) -> Array:
        """Return the largest finite magnitude of each slice, as far as boxes have it."""
        largest = np.zeros(self._cut[1], np.float64)
        with tensor_errors(self._source.path, self.name):
            for box in boxes:
                part = largest[box.slices]
                np.maximum(part, self._largest(box), out=part)
                counter.advance(self._entry.nbytes / 2 * prod(box.shape) / self._entry.size)
        return largest

    def decide(self, largest: Array) -> Any:
        """Return the bias, or one a slice, that the largest magnitudes of all boxes call for."""
        axis = None if self._axis is None else 0
        return choose_bias(largest, self._searched, "max", axis=axis)

    def choose(self, counter: Counter) -> Any:
        """Return the bias, or one a slice, that all values at once call for, or none."""
        fmt, method = self._searched, self._plan.bias
        if not isinstance(method, str):
            return method
        if method == "default" or self._entry.size == 0:
            return fmt.default_bias
        with tensor_errors(self._source.path, self.name):
            values = read_values(self._source, self.name, 0, self._entry.size)
            counter.advance(self._entry.nbytes / 2)
            if self._axis is None:
                return choose_bias(values, fmt, method)
            return choose_bias(values.reshape(self._cut), fmt, method, axis=1)

    def encode(self, boxes: Iterable[Box], biases: Any, writer: Writer, counter: Counter) -> None:
        """Write the codes of boxes; and with blocks their biases, which are chosen here."""
        with collected() as flags, tensor_errors(self._source.path, self.name):
            for box in boxes:
                if self._block is not None:
                    self._encode_blocks(box, writer, counter, self._block)
                    continue
                part = biases if self._axis is None else biases[box.slices, np.newaxis]
                layout = check_layout(self._format, part, box.shape)
                self._write(writer, counter, box, self._read(box), layout)
        counter.summary.flags.add(flags)

    def finish(self, biases: Any, writer: Writer, counter: Counter) -> Description | None:
        """Write what there is to say of the whole tensor, when all boxes are encoded."""
        counter.summary.elements += self._entry.size
        counter.summary.converted.append(self.name)
        if self._plan.export:
            _write_scales(writer, self.name, self._format, biases, self.entries)
            return None
        assert self.longest is not None
        if self._biases_shape is None:
            return replace(self.longest, bias=int(biases))
        if self._block is None:
            writer.write(self.name + BIAS_SUFFIX, 0, np.asarray(biases, np.int16))
        return self.longest

    def _read(self, box: Box) -> Array:
        values = read_values(self._source, self.name, box.start, box.stop, self._scratch.read)
        return values.reshape(box.shape)

    def _write(
        self, writer: Writer, counter: Counter, box: Box, values: Array, biases: Any
    ) -> None:
        plan = self._plan
        how = check_rounding(plan.rounding, values.shape)
        if plan.rounding == "stochastic":
            how = check_rounding(plan.rounding, values.shape, plan.seed, self._offset + box.start)
        out = self._scratch.codes(values.size, self._format).reshape(values.shape)
        codes = encode_layout(
            values, self._format, biases.values, biases.block, values.shape, how, out
        )
        if self._table is not None:
            codes = _recode(codes, self._table, self._format, counter.summary, plan, self.name)
        writer.write(self.name, box.start * codes.itemsize, codes)
        counter.advance(self._entry.nbytes / self._entry.size * values.size / self._passes)

    @property
    def _passes(self) -> int:
        """How often the values are read."""
        searched = isinstance(self._plan.bias, str) and self._plan.bias != "default"
        return 2 if searched and self._block is None else 1

    def _largest(self, box: Box) -> Array:
        """Return the largest finite magnitude of each slice of the middle axis."""
        values = self._read(box)
        axes = (0, 2) if box.shape[1] > 1 else None
        # two passes that make no other array; NaN wins in both
        low, high = values.min(axis=axes), values.max(axis=axes)
        largest: Array = np.maximum(np.negative(low), high)
        if not np.isfinite(largest).all():
            finite = np.isfinite(values)
            np.abs(values, out=values)
            largest = values.max(axis=axes, initial=0, where=finite)
        return largest

    def _encode_blocks(self, box: Box, writer: Writer, counter: Counter, block: int) -> None:
        """Choose and encode in one go: a block depends on no other."""
        assert self._biases_shape is not None
        method = self._plan.bias
        assert isinstance(method, str)
        assert method != "default"
        values = self._read(box)[0]
        if method == "max":
            found = self._of_block_maxima(values, block)
        else:
            found = np.asarray(choose_bias(values, self._searched, method, block=block))
        # in one piece as well: whole rows, or a part of one
        start = box.slices.start * self._biases_shape[-1] + box.inner // block
        writer.write(self.name + BIAS_SUFFIX, start * found.itemsize, found)
        biases = check_layout(self._format, found, values.shape, block=block)
        self._write(writer, counter, box, values, biases)

    def _of_block_maxima(self, values: Array, block: int) -> Array:
        starts = np.arange(0, values.shape[1], block)
        sizes = np.abs(values)
        finite = np.isfinite(sizes)
        if not finite.all():
            sizes[~finite] = 0
        largest = np.maximum.reduceat(sizes, starts, axis=1)
        flat = choose_bias(largest.reshape(-1), self._searched, "max", axis=0)
        return np.asarray(flat).reshape(largest.shape)


class Decoding:
    """Codes that become values again."""

    def __init__(self, checkpoint: Checkpoint, name: str, to: FloatName) -> None:
        self.name = name
        self.recipe = Recipe(Decoding, (name, to))
        self._checkpoint = checkpoint
        self._to = to
        self.entries = {name: Entry.of(FLOAT_NAMES[to], checkpoint.shape_of(name))}
        self.longest: Description | None = None

    def run(self, writer: Writer, counter: Counter) -> None:
        """Write the values, a few rows at a time."""
        tensor = self._checkpoint[self.name]
        with collected() as flags:
            rows = len(tensor) if tensor.ndim else 1
            step = max(1, _PIECE * rows // max(tensor.size, 1))
            itemsize = self.entries[self.name].nbytes // max(tensor.size, 1)
            for start in range(0, rows, step):
                part = tensor[start : start + step] if tensor.ndim else tensor
                values = self._values(part)
                writer.write(self.name, start * (tensor.size // max(rows, 1)) * itemsize, values)
                counter.advance(tensor.nbytes * values.size / max(tensor.size, 1))
        flags.denormal = 0
        counter.summary.flags.add(flags)
        counter.summary.elements += tensor.size
        counter.summary.converted.append(self.name)

    def _values(self, part: CFloatArray | Array) -> Array:
        values = np.asarray(part)
        if self._to == "float32":
            return values
        # as formats, whose rounding counts what is too large
        return elementwise.encode(values, bfloat16 if self._to == "bfloat16" else float16)


class Exporting:
    """Codes that become those of 8-bit floats."""

    def __init__(self, checkpoint: Checkpoint, name: str, plan: Plan, channels: bool) -> None:
        fmt = checkpoint.format_of(name)
        assert fmt is not None
        self.name = name
        self.recipe = Recipe(Exporting, (name, plan, channels))
        self._checkpoint = checkpoint
        self._format = fmt
        self._plan = plan
        self.entries = _fp8_entries(name, fmt, checkpoint.shape_of(name), channels)
        self.longest: Description | None = None
        bias = checkpoint.read_bias(name)
        said = checkpoint.description(name)
        if not isinstance(bias, int) and (said is None or said.axis != 0):
            raise FileError(
                f"{shown_path(checkpoint.path)}: {printable(name)}: its biases are not one, nor one a row; "
                "compressed-tensors has no scales for others"
            )

    def run(self, writer: Writer, counter: Counter) -> None:
        """Write codes and scales."""
        tensor = self._checkpoint[self.name]
        assert isinstance(tensor, CFloatArray)
        summary = counter.summary
        table = fp8.recoded(self._format)
        codes = _recode(tensor.codes, table, self._format, summary, self._plan, self.name)
        writer.write(self.name, 0, codes)
        _write_scales(writer, self.name, self._format, tensor.bias, self.entries)
        counter.advance(codes.nbytes)
        summary.elements += codes.size
        summary.converted.append(self.name)


def _fp8_entries(
    name: str, fmt: Format, shape: tuple[int, ...], channels: bool
) -> dict[str, Entry]:
    ocp = fp8.stored_format(fmt)
    assert ocp is not None
    scales = (shape[0], *(1 for _ in shape[1:])) if channels else (1,)
    dtype = "F8_E4M3" if ocp.mantissa_bits == 3 else "F8_E5M2"
    return {name: Entry.of(dtype, shape), name + fp8.SCALE_SUFFIX: Entry.of("F32", scales)}


def _recode(
    codes: Array, table: Array, fmt: Format, summary: Summary, plan: Plan, name: str
) -> Array:
    """Return the codes of 8-bit floats, and count those that are others."""
    made: Array = table[codes]
    differ = made != codes
    count = int(np.count_nonzero(differ))
    if count:
        old = fmt.values(fmt.default_bias)
        new = fp8.reachable(fmt).values(fmt.default_bias)
        moved = (old != new[table])[codes[differ]]
        changed = int(np.count_nonzero(moved))
        if changed and plan.strict:
            raise FileError(
                f"{printable(name)}: {changed} values that the 8-bit float does not have; without --strict "
                "they become the nearest that it has"
            )
        summary.recoded += count
        summary.changed += changed
    return made


def _write_scales(
    writer: Writer, name: str, fmt: Format, bias: Any, entries: dict[str, Entry]
) -> None:
    scale = name + fp8.SCALE_SUFFIX
    biases = np.broadcast_to(np.asarray(bias).reshape(-1), entries[scale].size)
    writer.write(scale, 0, fp8.scale_of(fmt, biases).astype(NUMPY_DTYPES["F32"]))
