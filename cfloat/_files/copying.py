"""What becomes of one tensor of a checkpoint: here, that it is copied or decoded, piece by piece."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert import elementwise
from cfloat._core.flags import Flags, collected
from cfloat._core.float_modes import in_default_modes
from cfloat._core.presets import bfloat16, float16
from cfloat._core.threads import get_num_threads

from . import tensor_pieces
from .checkpoint import Checkpoint
from .conversion_plan import FloatName
from .conversion_summary import Summary
from .dtypes import BY_COMMON_NAME
from .file_errors import refusing_damage
from .piece_workers import MAX_WORKERS, do_pieces
from .tensor_entry import Entry
from .tensor_metadata import Description

Array = NDArray[Any]
Progress = Callable[[float, int], None]


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
        """Make the job."""
        return self.kind(checkpoint, *self.arguments)


class Job(Protocol):
    """What becomes of a tensor."""

    name: str
    entries: dict[str, Entry]
    longest_description: Description | None
    recipe: Recipe

    @property
    def is_short(self) -> bool:
        """Whether one thread does it while another does another, in no more memory than pieces take."""
        ...

    def run(self, writer: Writer, counter: Counter) -> Description | None:
        """Write it; give its description, which is no longer than `longest_description`."""
        ...


class Copying:
    """A tensor that stays as it is, byte for byte, and the biases or scales that are beside it."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self.name = name
        self.recipe = Recipe(Copying, (name,))
        names = checkpoint.stored_names(name)
        self.entries = {each: checkpoint.source.entries[each] for each in names}
        self.longest_description = checkpoint.description(name)
        self._source = checkpoint.source

    @property
    def is_short(self) -> bool:
        """Whether it is copied while another thread does another tensor."""
        nbytes = max(entry.nbytes for entry in self.entries.values())
        return nbytes <= tensor_pieces.PIECE_SIZE and self._source.reads_anywhere

    def run(self, writer: Writer, counter: Counter) -> Description | None:
        """Copy the bytes."""
        for name, entry in self.entries.items():
            buffer = np.empty(min(entry.nbytes, 4 * tensor_pieces.PIECE_SIZE), np.uint8)
            for start in range(0, entry.nbytes, max(buffer.size, 1)):
                piece = buffer[: entry.nbytes - start]
                with refusing_damage(self._source.path, name):
                    self._source.read_into(name, start, piece)
                writer.write(name, start, piece)
                counter.advance(piece.size)
        counter.summary.copied.append(self.name)
        return self.longest_description


class Decoding:
    """Codes that become values again."""

    is_short = False

    def __init__(self, checkpoint: Checkpoint, name: str, to: FloatName) -> None:
        self.name = name
        self.recipe = Recipe(Decoding, (name, to))
        self._checkpoint = checkpoint
        self._to = to
        self.entries = {name: Entry.of(BY_COMMON_NAME[to].name, checkpoint.shape_of(name))}
        self.longest_description: Description | None = None

    def run(self, writer: Writer, counter: Counter) -> None:
        """Write the values, a few rows at a time."""
        tensor = self._checkpoint[self.name]
        rows = len(tensor) if tensor.ndim else 1
        step = max(1, tensor_pieces.PIECE_SIZE * rows // max(tensor.size, 1))
        row_size = tensor.size // max(rows, 1)
        itemsize = self.entries[self.name].nbytes // max(tensor.size, 1)
        counted: list[Flags] = []

        @in_default_modes
        def decode(start: int, _: int) -> None:
            with collected() as flags:
                part = tensor[start : start + step] if tensor.ndim else tensor
                writer.write(self.name, start * row_size * itemsize, self._values(part))
            counted.append(flags)

        def tell(start: int) -> None:
            counter.advance(tensor.nbytes * min(step, rows - start) / max(rows, 1))

        starts = range(0, rows, step)
        do_pieces(decode, starts, min(get_num_threads(), MAX_WORKERS, len(starts)), tell)
        for flags in counted:
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
