"""The errors of candidates as a layer's outputs have them, in place of those of its weight's elements."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.creation import asarray
from cfloat._bias.choose import choose_checked
from cfloat._compensate.second_moments import SecondMoment
from cfloat._convert.elementwise import round_checked
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.text import printable
from cfloat._files.checkpoint import Checkpoint
from cfloat._files.paths import shown_path
from cfloat._files.reader import read_values
from cfloat.errors import FileError

from .candidates import Candidate, Candidates

Array = NDArray[Any]
Floats = NDArray[np.float64]

#: What an error is of: a tensor's elements, or the outputs of its products, of what is rounded to nearest or
#: as `round_compensated` does.
SQNR: Final = "sqnr"
OUTPUT: Final = "output"
COMPENSATED: Final = "output, compensated"

# elements of a piece, about, which is widened to float64
_PIECE_SIZE: Final = 1 << 21


class OutputError:
    """The error of a weight's outputs, gathered piece by piece.

    That is the mean of ‖(Ŵ−W)x‖² over that of ‖Wx‖²; of a weight that is used in several ways, the mean of
    these ratios.

    Parameters
    ----------
    uses : sequence of SecondMoment
        The inputs of each.
    shape : tuple of int
        The weight's shape.
    """

    def __init__(self, uses: Sequence[SecondMoment], shape: tuple[int, ...]) -> None:
        self._uses = uses
        self._rows = shape[0]
        self.signal = np.zeros(len(uses))

    def add_signal(self, weight: Floats, start: int) -> None:
        """Add a piece of the weight, from its row `start` on."""
        self.signal += self.squares(weight, start)

    def squares(self, x: Floats, start: int) -> Floats:
        """Give the mean squares of the outputs of a piece of an error, for each use."""
        if not x.any():
            return np.zeros(len(self._uses))
        return np.array([use.square(x, start, self._rows) for use in self._uses])

    def ratio(self, noise: Floats) -> float | None:
        """Give the error that sums of `squares` make; None if there are no outputs but zeros."""
        there = (self.signal > 0) & np.isfinite(self.signal)
        if not there.any():
            return None
        return float(np.mean(noise[there] / self.signal[there]))


def pieces_of(
    uses: Sequence[SecondMoment], shape: tuple[int, ...], band: int = 1
) -> Iterator[tuple[int, int]]:
    """Give first row and end of the pieces in which errors of a weight can be added up.

    All but the last are of a multiple of `band` rows.
    """
    whole = any(use.axis == 0 and not use.is_diagonal for use in uses)
    step = shape[0] if whole else max(1, _PIECE_SIZE // max(1, prod(shape[1:])))
    step = -(-step // band) * band
    for start in range(0, shape[0], max(1, step)):
        yield start, min(start + step, shape[0])


def by_outputs(
    checkpoint: Checkpoint, measured: Candidates, uses: Sequence[SecondMoment]
) -> Candidates:
    """Measure the candidates of a weight by its outputs; as they are if it has no outputs but zeros.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where the weight is.
    measured : Candidates
        Its candidates.
    uses : sequence of SecondMoment
        Its inputs.

    Raises
    ------
    FileError
        If these do not fit the weight.
    """
    name, shape = measured.name, measured.shape
    check_fit(checkpoint, name, uses, shape)
    error = OutputError(uses, shape)
    noise = [np.zeros(len(uses)) for _ in measured.found]
    inner = prod(shape[1:])
    band = max((rows for each in measured.found for rows in _rows_of_block(each)), default=1)
    with np.errstate(all="ignore"), no_flags():
        for start, stop in pieces_of(uses, shape, band):
            flat = read_values(checkpoint.source, name, start * inner, stop * inner)
            values = flat.reshape(stop - start, *shape[1:])
            error.add_signal(values.astype(np.float64), start)
            for total, each in zip(noise, measured.found, strict=True):
                if each.choice.format is not None:
                    total += error.squares(_difference(values, each), start)
    found = []
    for total, each in zip(noise, measured.found, strict=True):
        ratio = error.ratio(total)
        if ratio is None:
            return measured
        if np.isfinite(ratio):
            found.append(each._replace(error=ratio))
    return replace(measured, found=found, measure=OUTPUT)


def check_fit(
    checkpoint: Checkpoint, name: str, uses: Sequence[SecondMoment], shape: tuple[int, ...]
) -> None:
    """Refuse moments that do not fit a weight: FileError."""
    for use in uses:
        misfit = use.misfit(shape)
        if misfit is not None:
            raise FileError(f"{shown_path(checkpoint.path)}: {printable(name)}: {misfit}")


def rounded_format(candidate: Candidate) -> Format:
    """Give the format that has all values of a candidate's codes."""
    fmt = candidate.rounded_to or candidate.choice.format
    assert fmt is not None
    return fmt


def tile_biases(values: Array, fmt: Format, block: tuple[int, int]) -> tuple[Array, int]:
    """Choose the biases of blocks of rows and columns; give one for so many elements of each row."""
    rows, columns = (min(n, most) for n, most in zip(block, values.shape, strict=True))
    biases = np.asarray(choose_checked(values, fmt, "mse", block=(rows, columns)))
    return biases.repeat(rows, axis=0)[: values.shape[0]], columns


def _rows_of_block(candidate: Candidate) -> tuple[int, ...]:
    block = candidate.choice.block
    return block[:1] if isinstance(block, tuple) else ()


def _difference(values: Array, candidate: Candidate) -> Floats:
    """Round a piece as a conversion does, and give what that changes."""
    choice, fmt = candidate.choice, rounded_format(candidate)
    if candidate.bias is not None:
        rounded = round_checked(values, fmt, candidate.bias, values.shape)
    elif isinstance(choice.block, tuple):
        biases, columns = tile_biases(values, fmt, choice.block)
        each = biases.repeat(columns, axis=1)[:, : values.shape[1]]
        rounded = round_checked(values, fmt, np.ascontiguousarray(each), values.shape)
    else:
        coded = asarray(values, fmt, "mse", axis=choice.axis, block=choice.block)
        rounded = np.asarray(coded)
    return np.subtract(rounded, values, dtype=np.float64)
