"""What a tensor of a checkpoint can become: the bytes of each candidate, and its squared error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.groups import Groups, Slices, blocks_along
from cfloat._bias.histogram import BinSums, Histogram, bits_for
from cfloat._bias.peak import largest_magnitude, scale_exponent
from cfloat._bias.search_slices import choose_each
from cfloat._bias.squared_errors import least_error, squared_errors
from cfloat._convert.elementwise import round_checked
from cfloat._core.dtypes import fits_float32
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._files.checkpoint import Checkpoint
from cfloat._files.conversion_plan import Plan
from cfloat._files.encoding import Encoding, Scratch
from cfloat._files.file_errors import refusing_contradictions
from cfloat._files.plan_file import TensorChoice
from cfloat._files.reader import read_values

Array = NDArray[Any]

#: Lengths of blocks that are tried.
BLOCKS: Final = (128, 32)

#: Elements of a piece, about: a multiple of the lengths of blocks.
PIECE_SIZE: Final = 1 << 22

# of no more elements, trying every bias takes less time than a table of bins
_FEW_ELEMENTS: Final = 1 << 12

# magnitudes whose squares, and sums of these, float64 holds
_LEAST, _LARGEST = 2.0**-480, 2.0**480

_LEFT: Final = TensorChoice(None)


@dataclass(frozen=True)
class Candidate:
    """What a tensor can become.

    Attributes
    ----------
    choice : TensorChoice
        What that is.
    nbytes : int
        The bytes of its codes and biases, as a converted file has them.
    error : float
        The sum of squared errors over that of squares; 0 if nothing is lost.
    """

    choice: TensorChoice
    nbytes: int
    error: float


@dataclass(frozen=True)
class Candidates:
    """What there is to choose from for a tensor.

    Attributes
    ----------
    name, dtype : str
        Its name, and its dtype in the file.
    shape : tuple of int
        Its shape.
    is_zero : bool
        Whether it has no elements but zeros.
    found : list of Candidate
        The candidates, of which the first is to leave it as it is.
    reason : str
        Why there is no other, if it is known before any is measured.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    is_zero: bool
    found: list[Candidate]
    reason: str = ""

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


class Measuring:
    """The measuring of a checkpoint's tensors.

    Parameters
    ----------
    checkpoint : Checkpoint
        The checkpoint.
    formats : sequence of Format
        The formats to try.
    """

    def __init__(self, checkpoint: Checkpoint, formats: Sequence[Format]) -> None:
        self._checkpoint = checkpoint
        self._formats = formats
        self._scratch = Scratch()

    def left(self, name: str, reason: str) -> Candidates:
        """Give the one candidate of a tensor that is to stay as it is."""
        stored = self._checkpoint
        whole = Candidate(_LEFT, stored.stored_nbytes(name), 0.0)
        return Candidates(
            name, stored.dtype_name(name), stored.shape_of(name), False, [whole], reason
        )

    def measure(self, name: str) -> Candidates:
        """Measure the candidates of a floating-point tensor that take fewer bytes than it has."""
        left = self.left(name, "")
        tensor = _Pieces(self._checkpoint, name)
        survey = _Survey()
        with refusing_contradictions(self._checkpoint.path, name), np.errstate(all="ignore"):
            for values in tensor:
                survey.add(values)
                if survey.nonfinite:
                    return self.left(name, "has infinities or NaN")
            if survey.peak and not _LEAST < survey.peak < _LARGEST:
                return self.left(name, "has magnitudes whose squares float64 does not hold")
            with no_flags():
                found = self._found(name, left, tensor, survey)
        return Candidates(name, left.dtype, left.shape, survey.peak == 0, [*left.found, *found])

    def _found(
        self, name: str, left: Candidates, tensor: "_Pieces", survey: "_Survey"
    ) -> Iterator[Candidate]:
        own = left.found[0].nbytes
        formats = [fmt for fmt in self._formats if fmt.signed or not survey.negative]
        sizes = {
            TensorChoice(fmt, axis, block): self._nbytes(name, TensorChoice(fmt, axis, block))
            for fmt in formats
            for axis, block in _layouts(left.shape, fmt)
        }
        wanted = [choice for choice, nbytes in sizes.items() if nbytes < own]
        formats = [fmt for fmt in formats if any(choice.format == fmt for choice in wanted)]
        biases = dict(zip(formats, _biases(tensor, formats, survey.peak), strict=True))
        noise = dict.fromkeys(wanted, 0.0)
        for values in tensor:
            for choice in wanted:
                assert choice.format is not None
                if choice.axis is None and choice.block is None:
                    flat = values.reshape(1, -1)
                    noise[choice] += _noise(flat, choice.format, biases[choice.format])
                else:
                    noise[choice] += _grouped_noise(_groups(values, choice), choice.format)
        for choice in wanted:
            error = noise[choice] / survey.signal if survey.signal else noise[choice]
            if np.isfinite(error):
                yield Candidate(choice, sizes[choice], error)

    def _nbytes(self, name: str, choice: TensorChoice) -> int:
        """Count the bytes that a conversion writes."""
        plan = Plan(tensors={name: choice}).of(name)
        job = Encoding(self._checkpoint, name, plan, 0, None, self._scratch)
        return sum(entry.nbytes for entry in job.entries.values())


class _Pieces:
    """The values of a tensor in pieces of whole slices along the first axis; one piece is kept."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self._source, self._name = checkpoint.source, name
        shape = checkpoint.shape_of(name)
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
        self.shape = shape or (1,)
        self.size = prod(self.shape)
        self._step = max(1, PIECE_SIZE // max(1, prod(self.shape[1:])))
        self._kept: Array | None = None

    def __iter__(self) -> Iterator[Array]:
        """Give the pieces, (slices, ...) each."""
        if self.size == 0:
            return
        if self._step >= self.shape[0]:
            if self._kept is None:
                self._kept = self._read(0, self.shape[0])
            yield self._kept
            return
        for start in range(0, self.shape[0], self._step):
            yield self._read(start, min(start + self._step, self.shape[0]))

    def _read(self, start: int, stop: int) -> Array:
        inner = prod(self.shape[1:])
        values = read_values(self._source, self._name, start * inner, stop * inner)
        return values.reshape(stop - start, *self.shape[1:])


class _Survey:
    """What is to be known of a tensor's values before any is rounded."""

    def __init__(self) -> None:
        self.nonfinite = self.negative = False
        self.peak = self.signal = 0.0

    def add(self, values: Array) -> None:
        """Add a piece."""
        wide = values.reshape(-1).astype(np.float64)
        self.nonfinite |= not np.isfinite(wide).all()
        self.negative |= bool((wide < 0).any())
        self.peak = max(self.peak, largest_magnitude(wide))
        self.signal += float(np.square(wide, out=wide).sum())


def _layouts(shape: tuple[int, ...], fmt: Format) -> Iterator[tuple[int | None, int | None]]:
    """Give axis and block of each granularity that has more biases than those before it."""
    yield None, None
    if fmt.bias_range[0] == fmt.bias_range[1] or not prod(shape):
        return
    if len(shape) > 1 and shape[0] > 1:
        yield 0, None
    counts = {1}
    for block in BLOCKS:
        # one block may be longer than the axis, and is then as long
        count = prod(shape[:-1]) * -(-shape[-1] // block) if shape else 1
        if count not in counts:
            counts.add(count)
            yield None, block


def _biases(tensor: _Pieces, formats: Sequence[Format], peak: float) -> list[int]:
    """Choose one bias for all of a tensor in each format, as `choose_bias` does it."""
    if tensor.size <= _FEW_ELEMENTS:
        (values,) = tuple(tensor) or (np.zeros(0, np.float32),)
        return [least_error(squared_errors(values, fmt), fmt) for fmt in formats]
    sums: dict[int, BinSums] = {}
    scale = 0
    for values in tensor:
        scale = 0 if fits_float32(values.dtype) else scale_exponent(peak)
        for bits in sorted({bits_for(fmt) for fmt in formats}):
            part = BinSums.of(values, bits, scale)
            sums[bits] = sums[bits].joined(part) if bits in sums else part
    histograms = {bits: Histogram.of_sums(each, bits, scale) for bits, each in sums.items()}
    return [least_error(histograms[bits_for(fmt)].errors(fmt), fmt) for fmt in formats]


def _groups(values: Array, choice: TensorChoice) -> Groups:
    axes = choice.axes or (values.ndim - 1,)
    if choice.block is None:
        return Slices(values, axes[0])
    return blocks_along(values, axes, choice.block)


def _grouped_noise(groups: Groups, fmt: Format) -> float:
    """Sum up the squared errors at the biases that `choose_bias` gives to each group."""
    return sum(
        _noise(values, fmt, choose_each(values, fmt, "mse", 1.0)[:, np.newaxis])
        for _, values in groups
    )


def _noise(values: Array, fmt: Format, biases: Any) -> float:
    """Sum up squared errors: differences that are exact, or rounded to float64."""
    rounded = round_checked(values, fmt, biases, values.shape)
    difference = np.subtract(rounded, values, dtype=np.float64)
    return float(np.square(difference, out=difference).sum())
