"""What a tensor of a checkpoint can become: the bytes of each candidate, and its squared error."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite, prod
from typing import Final, NamedTuple

import numpy as np

from cfloat._bias.reduction import reduction_axes
from cfloat._core.format import Format
from cfloat._files.checkpoint import Checkpoint
from cfloat._files.conversion_plan import Plan
from cfloat._files.encoding import Encoding, Scratch
from cfloat._files.file_errors import refusing_contradictions
from cfloat._files.plan_file import TensorChoice
from cfloat._files.reader import read_values

from .scan import Scan
from .tensor_values import PIECE_SIZE, TensorValues

_LEFT: Final = TensorChoice(None)


class Candidate(NamedTuple):  # there are many a tensor, and a tuple is quick
    """What a tensor can become.

    Attributes
    ----------
    choice : TensorChoice
        What that is.
    nbytes : int
        The bytes of its codes and biases, as a converted file has them.
    error : float
        The sum of squared errors over that of squares; 0 if nothing is lost.
    bias : int or None
        The bias of all elements; None if there are more of them, or none.
    rounded_to : Format or None
        What values are rounded to, if it is not all of the choice's format.
    """

    choice: TensorChoice
    nbytes: int
    error: float
    bias: int | None = None
    rounded_to: Format | None = None


@dataclass
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
    measure : str
        What errors are of: "sqnr", the tensor's elements, or "output", the outputs of its products.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    is_zero: bool
    found: list[Candidate]
    reason: str = ""
    measure: str = "sqnr"

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


def left_candidates(
    checkpoint: Checkpoint, name: str, reason: str, is_zero: bool = False
) -> Candidates:
    """Give the one candidate of a tensor that is to stay as it is."""
    whole = Candidate(_LEFT, checkpoint.stored_nbytes(name), 0.0)
    shape = checkpoint.shape_of(name)
    return Candidates(name, checkpoint.dtype_name(name), shape, is_zero, [whole], reason)


def is_zero(checkpoint: Checkpoint, name: str) -> bool:
    """Whether a tensor that is not measured has no elements but zeros; of most the first few tell."""
    size, start, step = prod(checkpoint.shape_of(name)), 0, 1 << 8
    with refusing_contradictions(checkpoint.path, name):
        while start < size:
            stop = min(start + step, size)
            if read_values(checkpoint.source, name, start, stop).any():
                return False
            start, step = stop, min(2 * step, PIECE_SIZE)
    return True


def values_of(checkpoint: Checkpoint, name: str, is_transposed: bool = False) -> TensorValues:
    """Give the values of a tensor, which are read when they are asked for."""
    shape = checkpoint.shape_of(name)
    axes = reduction_axes(len(shape), is_transposed)
    return TensorValues(shape, partial(read_values, checkpoint.source, name), axes)


def reason_to_leave(scan: Scan) -> str:
    """Say why a tensor has to stay as it is by its values; empty if it may change."""
    if scan.has_nonfinite:
        return "has infinities or NaN"
    if not scan.is_in_range:
        return "has magnitudes whose squares float64 does not hold"
    return ""


class Measuring:
    """The measuring of a checkpoint's tensors.

    Parameters
    ----------
    checkpoint : Checkpoint
        The checkpoint.
    formats : sequence of Format
        The formats to try.
    transposed : collection of str
        Matrices whose outputs are the last axis, as `transposed_weights` finds them.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        formats: Sequence[Format],
        transposed: Collection[str] = (),
    ) -> None:
        self._checkpoint = checkpoint
        self._transposed = transposed
        self._formats = formats
        self._scratch = Scratch()
        self._known_nbytes: dict[tuple[tuple[int, ...], TensorChoice], int] = {}

    def measure(
        self, names: Sequence[str], advance: Callable[[int], None] = lambda elements: None
    ) -> list[Candidates]:
        """Measure the candidates of floating-point tensors that take fewer bytes than these have.

        `advance` is called with numbers of elements, the sum of which is the tensors'.
        """
        found = [left_candidates(self._checkpoint, name, "") for name in names]
        tensors = [values_of(self._checkpoint, name, name in self._transposed) for name in names]
        for name, each in zip(names, tensors, strict=True):
            with refusing_contradictions(self._checkpoint.path, name):
                each.kept()  # small ones are read one after the other
        sizes = [each.found[0].nbytes for each in found]
        # one that comes in pieces is alone
        with refusing_contradictions(self._checkpoint.path, names[0]), np.errstate(all="ignore"):
            for places, scan in Scan.all_of(tensors, sizes):
                self._measure_scan([found[i] for i in places], scan, advance)
        return found

    def _measure_scan(
        self, found: Sequence[Candidates], scan: Scan, advance: Callable[[int], None]
    ) -> None:
        """Add what tensors of one shape, that have as many bytes, can become."""
        reason = reason_to_leave(scan)
        if reason:
            for each in found:
                each.reason = reason
            return
        name, own = found[0].name, found[0].found[0].nbytes
        whole: list[tuple[TensorChoice, int, int]] = []
        grouped: list[tuple[TensorChoice, int, int]] = []
        for fmt in self._formats:
            if scan.is_negative and not fmt.signed:
                continue
            for granularity, length in scan.granularities(fmt):
                choice = _choice(fmt, granularity, length, scan.values)
                nbytes = self._nbytes(name, choice)
                if nbytes >= own:
                    continue
                (whole if granularity == "tensor" else grouped).append((choice, nbytes, length))
        for each in found:
            each.is_zero = scan.is_zero
        for choice, nbytes, _ in whole:
            assert choice.format is not None
            _add(found, choice, nbytes, scan.error(choice.format), scan.bias(choice.format))
        wanted = [(choice.format, length) for choice, _, length in grouped if choice.format]
        errors = scan.measure_groups(wanted, advance=advance) if wanted else []
        for (choice, nbytes, _), errors_of in zip(grouped, errors, strict=True):
            _add(found, choice, nbytes, errors_of.error, [None] * len(found))

    def _nbytes(self, name: str, choice: TensorChoice) -> int:
        """Count the bytes that a conversion writes."""
        key = (self._checkpoint.shape_of(name), choice)
        if key not in self._known_nbytes:
            plan = Plan(tensors={name: choice}).of(name)
            job = Encoding(self._checkpoint, name, plan, 0, None, self._scratch)
            self._known_nbytes[key] = sum(entry.nbytes for entry in job.entries.values())
        return self._known_nbytes[key]


def _choice(fmt: Format, granularity: str, length: int, values: TensorValues) -> TensorChoice:
    if granularity == "tensor":
        return TensorChoice(fmt)
    if granularity == "channel":
        return TensorChoice(fmt, axis=0)
    return TensorChoice(fmt, axis=values.block_axes, block=length)


def _add(
    found: Sequence[Candidates],
    choice: TensorChoice,
    nbytes: int,
    errors: Sequence[float],
    biases: Sequence[int | None],
) -> None:
    """Add a candidate to each tensor where it loses less than everything there is."""
    for each, error, bias in zip(found, errors, biases, strict=True):
        if isfinite(error):
            each.found.append(Candidate(choice, nbytes, error, bias))
