"""The rows of conversions: what is timed, beside what, and that both ends of each result are right."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.round_to import round_to
from cfloat._convert.elementwise import decode, encode
from cfloat._core import isa as instruction_sets
from cfloat._core import presets, threads
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP
from cfloat._core.rounding import RoundingMode
from cfloat._core.threads import MAX_THREADS
from cfloat.errors import CFloatError

from .placement import place_destination, place_source
from .rate_table import Ratio, rate_table
from .timing import Call, least_times

Array = NDArray[Any]

LEGEND = """\
Gelem/s    1e9 elements a second: the best of many turns, taken in alternation
reference  what NumPy does, or one thread, behind the heading's slash: Gelem/s
ml_dtypes, torch   their casts, Gelem/s: to or from float8_e4m3fn, float8_e5m2,
           and bfloat16 (ml_dtypes) or float16 (torch)
Rounding is to nearest, denormals are the whitepaper's, unless a row says more."""

# So many elements at each end are compared with the portable kernels' results.
_CHECKED: Final = 1 << 17

_BLOCK: Final = 32
_NEAREST: Final[RoundingMode] = "ties_to_even"


@dataclass(frozen=True)
class Work:
    """What a row does: an operation, and to what."""

    operation: Literal["encode", "decode", "round_to"]
    format: Format
    rounding: RoundingMode = _NEAREST
    biases: Literal["one", "rows", "columns", "blocks"] = "one"
    source: Literal["float32", "float64"] = "float32"

    @property
    def name(self) -> str:
        """What the table calls it."""
        parts = [self.format.name]
        if self.rounding != _NEAREST:
            parts.append(self.rounding.replace("_", " "))
        if self.format.subnormals == "ieee":
            parts.append("ieee")
        if self.biases != "one":
            parts.append({"blocks": f"blocks of {_BLOCK}"}.get(self.biases, self.biases))
        return ", ".join(parts)

    @property
    def has_peers(self) -> bool:
        """Whether other packages do the like and round once, which from float64 ml_dtypes does not."""
        plain = self.rounding == _NEAREST and self.biases == "one" and self.source == "float32"
        return plain and self.format.subnormals == "whitepaper"

    def convert(self, source: Array, bias: Array | None, out: Array, offset: int = 0) -> object:
        """Do it once."""
        if self.operation == "decode":
            return decode(source, self.format, bias, out=out)
        function = encode if self.operation == "encode" else round_to
        seed = 2021 if self.rounding == "stochastic" else None
        return function(
            source, self.format, bias, rounding=self.rounding, seed=seed, offset=offset, out=out
        )


_IEEE8 = CFloat8_1_4_3.replace(subnormals="ieee")
_IEEE16 = CFloat16_SHP.replace(subnormals="ieee")

THREADED = "threads / 1 thread"

# Fewer elements are not shared among threads.
MIN_THREADED = 1 << 18

#: The rows by section; a section's title names the work and, behind the slash, the reference.
SECTIONS: Mapping[str, tuple[Work, ...]] = {
    "encode float32 / astype(uint8)": (
        Work("encode", CFloat8_1_4_3),
        Work("encode", _IEEE8),
        Work("encode", CFloat8_1_4_3, "toward_zero"),
        Work("encode", CFloat8_1_4_3, "stochastic"),
        Work("encode", _IEEE8, "stochastic"),
        Work("encode", CFloat8_1_5_2),
        Work("encode", CFloat16_SHP),
        Work("encode", _IEEE16),
        Work("encode", CFloat16_SHP, "stochastic"),
    ),
    "encode, many biases / astype(uint8)": (
        Work("encode", CFloat8_1_4_3, biases="rows"),
        Work("encode", CFloat8_1_4_3, biases="columns"),
        Work("encode", CFloat8_1_4_3, biases="blocks"),
    ),
    "encode float64 / astype(uint8)": (Work("encode", CFloat8_1_4_3, source="float64"),),
    "decode to float32 / copyto float32": (
        Work("decode", CFloat8_1_4_3),
        Work("decode", CFloat16_SHP),
        Work("decode", _IEEE16),
    ),
    "round_to float32 / copyto float32": (
        Work("round_to", CFloat8_1_4_3),
        Work("round_to", _IEEE8),
        Work("round_to", CFloat16_SHP),
        Work("round_to", _IEEE16),
    ),
    THREADED: (
        Work("encode", CFloat8_1_4_3),
        Work("encode", CFloat8_1_4_3, "stochastic"),
    ),
}

# What ml_dtypes and torch call the type that is most like a format; each is a Format here as well.
_PEERS: Mapping[str, Mapping[str, str]] = {
    "ml_dtypes": {
        "CFloat8_1_4_3": "float8_e4m3fn",
        "CFloat8_1_5_2": "float8_e5m2",
        "CFloat16_SHP": "bfloat16",
    },
    "torch": {
        "CFloat8_1_4_3": "float8_e4m3fn",
        "CFloat8_1_5_2": "float8_e5m2",
        "CFloat16_SHP": "float16",
    },
}


@dataclass(frozen=True)
class BenchRow(Ratio):
    """One work timed beside its reference.

    Attributes
    ----------
    elements : int
        How many elements were converted at a time.
    section, work : str
        The operation and its reference, with a slash between, and what it was done to.
    rate, reference_rate : float
        Elements a second, in units of 1e9, of this package and of the reference.
    peers : dict of str to float
        Those of other packages, as far as they can do it and were timed.
    """

    elements: int
    section: str
    work: str
    rate: float
    reference_rate: float
    peers: dict[str, float]


def works(sizes: Sequence[int], count: int) -> list[tuple[int, str, Work]]:
    """List what is timed with so many threads: numbers of elements, titles of sections, and works."""
    return [
        (size, title, work)
        for size in sizes
        for title, works in SECTIONS.items()
        if title != THREADED or (_many(count) > 1 and size >= MIN_THREADED)
        for work in works
    ]


def _many(count: int) -> int:
    """How many threads one is compared with."""
    return count if count > 1 else min(threads.available_cpus(), MAX_THREADS)


def timed_rows(
    sizes: Sequence[int],
    count: int,
    peers: Mapping[str, Any],
    seconds: float,
    tell: Callable[[int], None],
) -> Iterator[BenchRow]:
    """Time everything, and yield the rows; `tell` is called with the number of those that are done."""
    values: Array = np.empty(0)
    for done, (size, title, work) in enumerate(works(sizes, count)):
        tell(done)
        if values.size != size:
            values = np.abs(np.random.default_rng(0).standard_normal(size))
        if title == THREADED:
            yield _threaded_row(work, values, _many(count), count, seconds)
        else:
            yield _row(title, work, values, peers, seconds)


class _Operands(NamedTuple):
    """Arrays of one or two dimensions: what is read and what is written."""

    source: Array
    biases: Array | None
    out: Array

    def rows(self, part: slice) -> "_Operands":
        varies = self.biases is not None and len(self.biases) > 1
        biases = self.biases[part] if self.biases is not None and varies else self.biases
        return _Operands(self.source[part], biases, self.out[part])


def _operands(work: Work, values: Array) -> _Operands:
    source = place_source(_shaped(values.astype(work.source), work.biases))
    biases = _biases(work, source.shape)
    if work.operation == "encode":
        return _Operands(source, biases, place_destination(source.shape, work.format.storage_dtype))
    out = place_destination(source.shape, np.float32)
    if work.operation == "decode":
        source = place_source(encode(source, work.format, biases))
    return _Operands(source, biases, out)


def _shaped(values: Array, biases: str) -> Array:
    """Give the elements as a vector, or as a matrix: square, or of blocks."""
    if biases == "one":
        return values
    columns = _BLOCK if biases == "blocks" else 1 << ((values.size.bit_length() - 1) // 2)
    return values[: values.size // columns * columns].reshape(-1, columns)


def _biases(work: Work, shape: tuple[int, ...]) -> Array | None:
    if work.biases == "one":
        return None
    near = work.format.default_bias
    shape = (1, shape[1]) if work.biases == "columns" else (shape[0], 1)
    return np.random.default_rng(1).integers(near - 2, near + 3, shape, np.int16)


def _row(
    title: str, work: Work, values: Array, peers: Mapping[str, Any], seconds: float
) -> BenchRow:
    operands = _operands(work, values)
    _check(work, operands)
    calls: list[Call] = [lambda: work.convert(*operands), _reference(work, operands)]
    names = [name for name in peers if work.has_peers]
    calls += [_peer(name, peers[name], work, values.astype(work.source)) for name in names]
    elements = operands.out.size
    rate, reference, *others = (elements / best / 1e9 for best in least_times(calls, seconds))
    found = dict(zip(names, others, strict=True))
    return BenchRow(values.size, title, work.name, rate, reference, found)


def _threaded_row(work: Work, values: Array, many: int, count: int, seconds: float) -> BenchRow:
    operands = _operands(work, values)

    def with_threads(n: int) -> Call:
        def call() -> None:
            threads.set_num_threads(n)
            work.convert(*operands)

        return call

    threads.set_num_threads(many)
    _check(work, operands)
    best, one = least_times([with_threads(many), with_threads(1)], seconds)
    threads.set_num_threads(count)
    size = values.size
    return BenchRow(
        size, f"encode, {many} {THREADED}", work.name, size / best / 1e9, size / one / 1e9, {}
    )


def _reference(work: Work, operands: _Operands) -> Call:
    """Make what NumPy does with as many elements: write as bytes, or copy, float32 from memory."""
    if work.operation == "encode":
        codes = place_destination(operands.out.shape, np.uint8)
        return lambda: np.copyto(codes, operands.source, casting="unsafe")
    values = place_source(np.ones_like(operands.out))
    copy = place_destination(values.shape, values.dtype)
    return lambda: np.copyto(copy, values)


def _check(work: Work, operands: _Operands) -> None:
    """Convert once, and compare both ends with the portable kernels."""
    work.convert(*operands)
    count = len(operands.out)
    width = operands.out.size // count
    part = min(count, -(-_CHECKED // width))
    isa = instruction_sets.isa()
    for start in (0, count - part):
        piece = operands.rows(slice(start, start + part))
        expected = np.empty_like(piece.out)
        instruction_sets.select_isa("portable")
        try:
            work.convert(piece.source, piece.biases, expected, start * width)
        finally:
            instruction_sets.select_isa(isa)
        unsigned = f"u{expected.itemsize}"
        wrong = np.flatnonzero(expected.view(unsigned) != piece.out.view(unsigned))
        if wrong.size:
            first = start * width + int(wrong[0])
            raise CFloatError(
                f"{work.operation} {work.name}: {isa} and portable differ, first in element {first}"
            )


def _peer(name: str, package: Any, work: Work, values: Array) -> Call:
    """Make another package's way to do the like, its results checked."""
    type_name = _PEERS[name][work.format.name]
    fmt: Format = presets.FORMATS[type_name]
    widened: Array = np.empty(values.shape, np.float32)
    narrow: Call
    widen: Call
    if name == "torch":
        package.set_num_threads(threads.get_num_threads())
        source, back = package.from_numpy(values), package.from_numpy(widened)
        tensor = package.empty(values.shape, dtype=getattr(package, type_name))
        codes = tensor.view(package.uint8).numpy()
        narrow, widen = lambda: tensor.copy_(source), lambda: back.copy_(tensor)
    else:
        array: Array = np.empty(values.shape, getattr(package, type_name))
        codes = array
        narrow = lambda: np.copyto(array, values, casting="unsafe")  # noqa: E731
        widen = lambda: np.copyto(widened, array)  # noqa: E731

    def both() -> None:
        narrow()
        widen()

    both()
    expected = encode(values, fmt)
    if not np.array_equal(codes.view(fmt.storage_dtype), expected):
        raise CFloatError(f"encode {fmt.name}: {name} has other results")
    if not np.array_equal(widened, decode(expected, fmt)):
        raise CFloatError(f"decode {fmt.name}: {name} has other results")
    return {"encode": narrow, "decode": widen, "round_to": both}[work.operation]


def table(rows: Sequence[BenchRow]) -> str:
    """Write the rows of one number of elements as text, their sections headed."""
    sections: dict[str, list[BenchRow]] = {}
    for row in rows:
        sections.setdefault(row.section, []).append(row)
    elements = rows[0].elements
    title = f"{elements} elements, {elements * 4 / 2**20:.4g} MiB as float32"
    return "\n".join([title, *rate_table(sections.items(), "Gelem/s")])
