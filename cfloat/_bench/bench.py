"""A short measurement of speed, for a person: beside NumPy's own copies and products in the same run."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

import numpy as np

from cfloat._convert.elementwise import encode
from cfloat._core import isa as instruction_sets
from cfloat._core import threads
from cfloat._core.arguments import integer
from cfloat._core.presets import CFloat8_1_4_3
from cfloat._core.text import shown
from cfloat._core.threads import MAX_THREADS
from cfloat.errors import ArgumentTypeError, ArgumentValueError, CFloatError, MissingExtraError

from . import conversion_rows, product_rows
from .conversion_rows import BenchRow
from .machine import Machine, this_machine
from .product_rows import ProductRow
from .timing import least_times

#: Numbers of elements: in a core's cache, and far out of it.
SIZES = (1 << 16, 1 << 24)

SIZE_LIMITS = (32, 1 << 30)

#: For how long a row's own call and its reference are timed, together.
SECONDS = 0.4


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
        """Write everything as plain text.

        Returns
        -------
        str
            The machine, a table for each number of elements, one of matrix products, and the time of a
            small call.
        """
        blocks = [str(self.machine), conversion_rows.LEGEND]
        for elements in dict.fromkeys(row.elements for row in self.rows):
            rows = [row for row in self.rows if row.elements == elements]
            blocks.append(conversion_rows.table(rows))
        blocks += [product_rows.LEGEND, product_rows.table(self.products)]
        blocks.append(
            f"encode, 3 elements: {self.call_us:.2f} us a call; "
            f"astype(uint8): {self.reference_call_us:.2f} us"
        )
        return "\n\n".join(blocks)

    def to_json(self) -> str:
        """Write everything as JSON.

        Returns
        -------
        str
            An object with "machine", "rows" and "products" (each with its "ratio"), "call_us" and
            "reference_call_us".
        """
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
    sizes = [integer("size", size, low, high) for size in sizes]
    if not isinstance(seconds, int | float):
        raise ArgumentTypeError(f"seconds is {shown(seconds)}; it takes a number")
    if not 0 < seconds <= 60:
        raise ArgumentValueError(f"seconds is {seconds}; it takes more than 0 and at most 60")
    threads = integer("threads", threads, 1, MAX_THREADS)
    peers = _installed_peers(torch)
    with _settings(threads, isa):
        products = list(dict.fromkeys(one for size in sizes for one in product_rows.works(size)))
        count = len(conversion_rows.works(sizes, threads))
        total = count + len(products)

        def tell(done: int) -> None:
            if progress is not None:
                progress(done, total)

        rows = list(conversion_rows.timed_rows(sizes, threads, peers, seconds, tell))
        timed = []
        with product_rows.blas_threads(threads):
            for done, (shape, work) in enumerate(products, count):
                tell(done)
                timed.append(_product_row(shape, work, peers, seconds))
        tell(total)
        call_us, reference_call_us = _small_call(seconds)
        return Bench(this_machine(threads, peers), rows, timed, call_us, reference_call_us)


def _product_row(
    shape: tuple[int, int, int],
    work: product_rows.Work,
    peers: Mapping[str, Any],
    seconds: float,
) -> ProductRow:
    names, calls = product_rows.calls(shape, work, peers)
    operations = 2 * math.prod(shape)
    rate, reference, *others = (operations / best / 1e9 for best in least_times(calls, seconds))
    return ProductRow(*shape, work.name, rate, reference, dict(zip(names, others, strict=True)))


def _installed_peers(torch: bool) -> dict[str, Any]:
    """Import the other packages to time."""
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


def _small_call(seconds: float) -> tuple[float, float]:
    x = np.array([0.1, -2.5, 1000.0], np.float32)
    if encode(x, CFloat8_1_4_3).tolist() != [29, 194, 127]:
        raise CFloatError("encode CFloat8_1_4_3: wrong codes")
    magnitudes = np.abs(x) / 8
    own, reference = least_times(
        [lambda: encode(x, CFloat8_1_4_3), lambda: magnitudes.astype(np.uint8)], seconds
    )
    return own * 1e6, reference * 1e6
