"""A short measurement of speed, for a person: beside NumPy's own copies and products in the same run."""

import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.round_to import round_to
from cfloat._convert.elementwise import decode, encode
from cfloat._core import isa as instruction_sets
from cfloat._core import presets, threads
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP
from cfloat._core.rounding import RoundingMode
from cfloat._core.text import shown
from cfloat._core.threads import MAX_THREADS
from cfloat.errors import ArgumentTypeError, ArgumentValueError, CFloatError, MissingExtraError

from . import product_rows
from .product_rows import ProductRow

Array = NDArray[Any]
Call = Callable[[], object]

#: Numbers of elements: in a core's cache, and far out of it.
SIZES = (1 << 16, 1 << 24)

SIZE_LIMITS = (32, 1 << 30)

#: For how long a row's own call and its reference are timed, together.
SECONDS = 0.4

LEGEND = """\
Gelem/s    1e9 elements a second: the best of many turns, taken in alternation
reference  what NumPy does, or one thread, behind the heading's slash: Gelem/s
ml_dtypes, torch   their casts, Gelem/s: to or from float8_e4m3fn, float8_e5m2,
           and bfloat16 (ml_dtypes) or float16 (torch)
Rounding is to nearest, denormals are the whitepaper's, unless a row says more."""

# A turn lasts this long, in seconds, so that the clock's resolution and a cold start do not matter.
_TURN = 0.0005
_MIN_TURNS = 3

# So many elements at each end are compared with the portable kernels' results.
_CHECKED = 1 << 17

_BLOCK = 32
_NEAREST: RoundingMode = "ties_to_even"


@dataclass(frozen=True)
class _Work:
    """What a row does: an operation, and to what."""

    operation: Literal["encode", "decode", "round_to"]
    format: Format
    rounding: RoundingMode = _NEAREST
    biases: Literal["one", "rows", "columns", "blocks"] = "one"
    source: Literal["float32", "float64"] = "float32"

    @property
    def name(self) -> str:
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
        if self.operation == "decode":
            return decode(source, self.format, bias, out=out)
        function = encode if self.operation == "encode" else round_to
        seed = 2021 if self.rounding == "stochastic" else None
        return function(
            source, self.format, bias, rounding=self.rounding, seed=seed, offset=offset, out=out
        )


_IEEE8 = CFloat8_1_4_3.replace(subnormals="ieee")
_IEEE16 = CFloat16_SHP.replace(subnormals="ieee")

_THREADED = "threads / 1 thread"

# Fewer elements are not shared among threads.
_MIN_THREADED = 1 << 18

#: The rows by section; a section's title names the work and, behind the slash, the reference.
_SECTIONS: Mapping[str, tuple[_Work, ...]] = {
    "encode float32 / astype(uint8)": (
        _Work("encode", CFloat8_1_4_3),
        _Work("encode", _IEEE8),
        _Work("encode", CFloat8_1_4_3, "toward_zero"),
        _Work("encode", CFloat8_1_4_3, "stochastic"),
        _Work("encode", _IEEE8, "stochastic"),
        _Work("encode", CFloat8_1_5_2),
        _Work("encode", CFloat16_SHP),
        _Work("encode", _IEEE16),
        _Work("encode", CFloat16_SHP, "stochastic"),
    ),
    "encode, many biases / astype(uint8)": (
        _Work("encode", CFloat8_1_4_3, biases="rows"),
        _Work("encode", CFloat8_1_4_3, biases="columns"),
        _Work("encode", CFloat8_1_4_3, biases="blocks"),
    ),
    "encode float64 / astype(uint8)": (_Work("encode", CFloat8_1_4_3, source="float64"),),
    "decode to float32 / copyto float32": (
        _Work("decode", CFloat8_1_4_3),
        _Work("decode", CFloat16_SHP),
        _Work("decode", _IEEE16),
    ),
    "round_to float32 / copyto float32": (
        _Work("round_to", CFloat8_1_4_3),
        _Work("round_to", _IEEE8),
        _Work("round_to", CFloat16_SHP),
        _Work("round_to", _IEEE16),
    ),
    _THREADED: (
        _Work("encode", CFloat8_1_4_3),
        _Work("encode", CFloat8_1_4_3, "stochastic"),
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
class Machine:
    """Where and with what it was measured.

    Attributes
    ----------
    cpu : str
        The CPU's model, as far as the system tells it.
    cpus : int
        How many CPUs this process may use.
    system : str
        The operating system and the architecture.
    isa, isas : str, tuple of str
        The instruction set of the kernels in use, and all that this CPU runs.
    threads : int
        How many threads a large array's conversion was shared among.
    cfloat, python, numpy : str
        Versions.
    ml_dtypes, torch : str or None
        Versions of the packages compared with; None if they were not.
    """

    cpu: str
    cpus: int
    system: str
    isa: str
    isas: tuple[str, ...]
    threads: int
    cfloat: str
    python: str
    numpy: str
    ml_dtypes: str | None
    torch: str | None

    def __str__(self) -> str:
        packages = {
            "cfloat": self.cfloat, "Python": self.python, "NumPy": self.numpy,
            "ml_dtypes": self.ml_dtypes, "torch": self.torch,
        }  # fmt: skip
        return "\n".join(
            [
                f"{self.cpu}, {self.cpus} CPUs usable, {self.system}",
                ", ".join(f"{name} {version}" for name, version in packages.items() if version),
                f"kernels {self.isa} (this CPU runs {', '.join(self.isas)}), threads {self.threads}",
            ]
        )


@dataclass(frozen=True)
class BenchRow:
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

    @property
    def ratio(self) -> float:
        """How many times faster than the reference this package was."""
        return self.rate / self.reference_rate


@dataclass(frozen=True)
class Bench:
    """What was measured.

    Attributes
    ----------
    machine : Machine
        Where.
    rows : list of BenchRow
        The table.
    products : list of ProductRow
        The table of matrix products.
    call_us, reference_call_us : float
        Time of a call with three elements, in microseconds: `cfloat.encode`, and NumPy's ``astype(uint8)``.
    """

    machine: Machine
    rows: list[BenchRow]
    products: list[ProductRow]
    call_us: float
    reference_call_us: float

    def to_table(self) -> str:
        """Return everything as plain text.

        Returns
        -------
        str
            The machine, a table for each number of elements, one of matrix products, and the time of a
            small call.
        """
        blocks = [str(self.machine), LEGEND]
        for elements in dict.fromkeys(row.elements for row in self.rows):
            blocks.append(_table([row for row in self.rows if row.elements == elements]))
        blocks += [product_rows.LEGEND, product_rows.table(self.products)]
        blocks.append(
            f"encode, 3 elements: {self.call_us:.2f} us a call; "
            f"astype(uint8): {self.reference_call_us:.2f} us"
        )
        return "\n\n".join(blocks)

    def to_json(self) -> str:
        """Return everything as JSON.

        Returns
        -------
        str
            An object with "machine", "rows" and "products" (each with its "ratio"), "call_us" and
            "reference_call_us".
        """
        import json

        everything = asdict(self)
        for name in ("rows", "products"):
            everything[name] = [asdict(row) | {"ratio": row.ratio} for row in getattr(self, name)]
        return json.dumps(everything, indent=1, allow_nan=False) + "\n"

    def __str__(self) -> str:
        return self.to_table()


def bench(
    sizes: Sequence[int] = SIZES,
    *,
    threads: int = 1,
    isa: str | None = None,
    torch: bool = False,
    seconds: float = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> Bench:
    """Measure the speed of conversions and products beside NumPy's, and ml_dtypes' if it is installed.

    Both ends of each result are compared with the portable kernels' before it is timed.  Only ratios mean
    anything on another machine, or at another time.  Nothing else may convert in this process meanwhile.

    Parameters
    ----------
    sizes : sequence of int, optional
        Numbers of elements, each at least 32.  Matrices are square, of as many elements or, as their products
        take long, fewer.
    threads : int, default 1
        How many threads may share a conversion or a product; NumPy's copies use one.
    isa : str, optional
        The instruction set; the one in use if None.
    torch : bool, default False
        Whether to time PyTorch's casts and products as well, with the same number of threads.
    seconds : float, optional
        For how long a row's own call and its reference are timed, together.
    progress : callable, optional
        Called as ``progress(done, total)`` when `done` of `total` rows are finished.

    Returns
    -------
    Bench

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If an argument is out of range, or this CPU does not run `isa`.
    MissingExtraError
        If `torch` is asked for and not installed.
    CFloatError
        If a result is wrong.

    Examples
    --------
    >>> from cfloat._bench.bench import bench
    >>> result = bench([64], seconds=1e-6)
    >>> result.rows[0].work, result.rows[0].ratio > 0
    ('CFloat8_1_4_3', True)
    """
    if not isinstance(sizes, list | tuple | range):
        raise ArgumentTypeError(f"sizes is {shown(sizes)}; it takes a sequence of integers")
    low, high = SIZE_LIMITS
    sizes = [_checked_integer("size", size, low, high) for size in sizes]
    if not isinstance(seconds, int | float):
        raise ArgumentTypeError(f"seconds is {shown(seconds)}; it takes a number")
    if not 0 < seconds <= 60:
        raise ArgumentValueError(f"seconds is {seconds}; it takes more than 0 and at most 60")
    threads = _checked_integer("threads", threads, 1, MAX_THREADS)
    peers = _installed_peers(torch)
    with _settings(threads, isa):
        products = list(dict.fromkeys(one for size in sizes for one in product_rows.works(size)))
        count = len(_todo(sizes, threads))
        total = count + len(products)

        def tell(done: int) -> None:
            if progress is not None:
                progress(done, total)

        rows = list(_rows(sizes, threads, peers, seconds, tell))
        timed = []
        with product_rows.blas_threads(threads):
            for done, (shape, work) in enumerate(products, count):
                tell(done)
                timed.append(_product_row(shape, work, peers, seconds))
        tell(total)
        call_us, reference_call_us = _small_call(seconds)
        return Bench(_machine(threads, peers), rows, timed, call_us, reference_call_us)


def _product_row(
    shape: tuple[int, int, int],
    work: product_rows.Work,
    peers: Mapping[str, Any],
    seconds: float,
) -> ProductRow:
    names, calls = product_rows.calls(shape, work, peers)
    operations = 2 * math.prod(shape)
    rate, reference, *others = (operations / best / 1e9 for best in _best(calls, seconds))
    return ProductRow(*shape, work.name, rate, reference, dict(zip(names, others, strict=True)))


def _checked_integer(name: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ArgumentTypeError(f"{name} is {shown(value)}; it takes an integer")
    if not low <= value <= high:
        raise ArgumentValueError(f"{name} is {value}; it takes an integer from {low} to {high}")
    return value


def _installed_peers(torch: bool) -> dict[str, Any]:
    """Return the other packages to time, imported."""
    found = {}
    for name in ("ml_dtypes", "torch") if torch else ("ml_dtypes",):
        try:
            found[name] = import_module(name)
        except ImportError:
            if name == "torch":
                raise MissingExtraError(
                    "torch is not installed; leave it out, or install it"
                ) from None
    return found


@contextmanager
def _settings(count: int, isa: str | None) -> Iterator[None]:
    """Set the number of threads and the instruction set for a while."""
    before = threads.get_num_threads(), instruction_sets.isa()
    try:
        threads.set_num_threads(count)
        if isa is not None:
            instruction_sets.select_isa(isa)
        yield
    finally:
        threads.set_num_threads(before[0])
        instruction_sets.select_isa(before[1])


def _todo(sizes: Sequence[int], count: int) -> list[tuple[int, str, _Work]]:
    return [
        (size, title, work)
        for size in sizes
        for title, works in _SECTIONS.items()
        if title != _THREADED or (_many(count) > 1 and size >= _MIN_THREADED)
        for work in works
    ]


def _many(count: int) -> int:
    """Return how many threads one is compared with."""
    return count if count > 1 else min(threads.available_cpus(), MAX_THREADS)


def _rows(
    sizes: Sequence[int],
    count: int,
    peers: Mapping[str, Any],
    seconds: float,
    tell: Callable[[int], None],
) -> Iterator[BenchRow]:
    values: Array = np.empty(0)
    for done, (size, title, work) in enumerate(_todo(sizes, count)):
        tell(done)
        if values.size != size:
            values = np.abs(np.random.default_rng(0).standard_normal(size))
        if title == _THREADED:
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


def _operands(work: _Work, values: Array) -> _Operands:
    source = _shaped(values.astype(work.source), work.biases)
    biases = _biases(work, source.shape)
    if work.operation == "encode":
        return _Operands(source, biases, np.empty(source.shape, work.format.storage_dtype))
    out = np.empty(source.shape, np.float32)
    if work.operation == "decode":
        source = encode(source, work.format, biases)
    return _Operands(source, biases, out)


def _shaped(values: Array, biases: str) -> Array:
    """Return the elements as a vector, or as a matrix: square, or of blocks."""
    if biases == "one":
        return values
    columns = _BLOCK if biases == "blocks" else 1 << ((values.size.bit_length() - 1) // 2)
    return values[: values.size // columns * columns].reshape(-1, columns)


def _biases(work: _Work, shape: tuple[int, ...]) -> Array | None:
    if work.biases == "one":
        return None
    near = work.format.default_bias
    wanted = (1, shape[1]) if work.biases == "columns" else (shape[0], 1)
    return np.random.default_rng(1).integers(near - 2, near + 3, wanted, np.int16)


def _row(
    title: str, work: _Work, values: Array, peers: Mapping[str, Any], seconds: float
) -> BenchRow:
    operands = _operands(work, values)
    _check(work, operands)
    calls: list[Call] = [lambda: work.convert(*operands), _reference(work, operands)]
    names = [name for name in peers if work.has_peers]
    calls += [_peer(name, peers[name], work, values.astype(work.source)) for name in names]
    elements = operands.out.size
    rate, reference, *others = (elements / best / 1e9 for best in _best(calls, seconds))
    found = dict(zip(names, others, strict=True))
    return BenchRow(values.size, title, work.name, rate, reference, found)


def _threaded_row(work: _Work, values: Array, many: int, count: int, seconds: float) -> BenchRow:
    operands = _operands(work, values)

    def with_threads(n: int) -> Call:
        def call() -> None:
            threads.set_num_threads(n)
            work.convert(*operands)

        return call

    threads.set_num_threads(many)
    _check(work, operands)
    best, one = _best([with_threads(many), with_threads(1)], seconds)
    threads.set_num_threads(count)
    size = values.size
    return BenchRow(
        size, f"encode, {many} {_THREADED}", work.name, size / best / 1e9, size / one / 1e9, {}
    )


def _reference(work: _Work, operands: _Operands) -> Call:
    """Return what NumPy does with as many elements: write as bytes, or copy, float32 from memory."""
    if work.operation == "encode":
        codes = np.zeros(operands.out.shape, np.uint8)
        return lambda: np.copyto(codes, operands.source, casting="unsafe")
    values, copy = np.ones_like(operands.out), np.zeros_like(operands.out)
    return lambda: np.copyto(copy, values)


def _check(work: _Work, operands: _Operands) -> None:
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


def _peer(name: str, package: Any, work: _Work, values: Array) -> Call:
    """Return another package's way to do the like, its results checked."""
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


def _best(calls: Sequence[Call], seconds: float) -> list[float]:
    """Return each call's least time, in seconds.

    They take turns, so that a machine that becomes slower or faster does so for all of them.  The first two
    share `seconds`; the others, which may be far slower, stop when they have used half as much each.
    """
    repeats = [max(1, math.ceil(_TURN / max(_time(call, 1), 1e-7))) for call in calls]
    best, spent, turns = [math.inf] * len(calls), [0.0] * len(calls), 0
    while turns < _MIN_TURNS or sum(spent[:2]) < seconds:
        for index, call in enumerate(calls):
            if index >= 2 and turns >= _MIN_TURNS and spent[index] >= seconds / 2:
                continue
            elapsed = _time(call, repeats[index])
            spent[index] += elapsed
            best[index] = min(best[index], elapsed / repeats[index])
        turns += 1
    return best


def _time(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start


def _small_call(seconds: float) -> tuple[float, float]:
    x = np.array([0.1, -2.5, 1000.0], np.float32)
    if encode(x, CFloat8_1_4_3).tolist() != [29, 194, 127]:
        raise CFloatError("encode CFloat8_1_4_3: wrong codes")
    magnitudes = np.abs(x) / 8
    own, reference = _best(
        [lambda: encode(x, CFloat8_1_4_3), lambda: magnitudes.astype(np.uint8)], seconds
    )
    return own * 1e6, reference * 1e6


def _machine(count: int, peers: Mapping[str, Any]) -> Machine:
    from cfloat._version import __version__

    versions = {name: str(package.__version__) for name, package in peers.items()}
    return Machine(
        cpu=_cpu_model(),
        cpus=threads.available_cpus(),
        system=f"{platform.system()} {platform.machine()}",
        isa=instruction_sets.isa(),
        isas=tuple(instruction_sets.isa_names()),
        threads=count,
        cfloat=__version__,
        python=platform.python_version(),
        numpy=np.__version__,
        ml_dtypes=versions.get("ml_dtypes"),
        torch=versions.get("torch"),
    )


def _cpu_model() -> str:
    """Return the CPU's model, or where the system does not tell it cheaply, its architecture."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    key, _, model = line.partition(":")
                    if key.strip() == "model name":
                        return model.strip()
        except OSError:
            pass  # /proc need not be there
    if sys.platform == "darwin":
        import subprocess

        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pass
    model = os.environ.get("PROCESSOR_IDENTIFIER", "") or platform.processor()
    return model or platform.machine() or "unknown CPU"


def _table(rows: Sequence[BenchRow]) -> str:
    """Return the rows of one number of elements, their sections headed."""
    peers = list(dict.fromkeys(name for row in rows for name in row.peers))
    headings = ["Gelem/s", "reference", "ratio", *peers]
    width = max(len(text) for row in rows for text in (row.section, f"  {row.work}"))
    elements = rows[0].elements
    lines = [f"{elements} elements, {elements * 4 / 2**20:.4g} MiB as float32"]
    for title in dict.fromkeys(row.section for row in rows):
        lines += ["", "  ".join([title.ljust(width), *headings])]
        for row in rows:
            if row.section != title:
                continue
            numbers = [row.rate, row.reference_rate, row.ratio, *map(row.peers.get, peers)]
            cells = [
                ("" if number is None else f"{number:.2f}").rjust(len(heading))
                for heading, number in zip(headings, numbers, strict=True)
            ]
            lines.append("  ".join([f"  {row.work}".ljust(width), *cells]).rstrip())
    return "\n".join(lines)
