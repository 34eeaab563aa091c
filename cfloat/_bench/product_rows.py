"""The rows of matrix products, beside NumPy's in float32, their results checked."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from math import isqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import encode
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP
from cfloat._matmul.matmul import matmul
from cfloat.errors import CFloatError

from .placement import place_destination, place_source
from .rate_table import Ratio, rate_table
from .timing import Call

Array = NDArray[Any]

LEGEND = """\
GFLOP/s    1e9 multiplications and additions a second, decoding included; one
           name stands for both operands
reference  NumPy's product of float32; its BLAS has threads of its own: as many
           as threadpoolctl sets, if installed, or as OPENBLAS_NUM_THREADS says
ml_dtypes, torch   products of float8_e4m3fn, which NumPy casts to float32, and
           of bfloat16"""

#: Sides of matrices at most: of products with a matrix, and with a vector.
MAX_SIDES: Final = (1024, 8192)

# so many rows at each end are compared with float64
_CHECKED = 4


@dataclass(frozen=True)
class ProductRow(Ratio):
    """One matrix product timed beside NumPy's.

    Attributes
    ----------
    rows, inner, columns : int
        A matrix of rows x inner times one of inner x columns, or a vector if that is 1.
    work : str
        The operands.
    rate, reference_rate : float
        GFLOP/s of this package, and of NumPy's float32 product.
    peers : dict of str to float
        Those of other packages, as far as they were timed.
    """

    rows: int
    inner: int
    columns: int
    work: str
    rate: float
    reference_rate: float
    peers: dict[str, float]


@dataclass(frozen=True)
class Work:
    """What a row multiplies: the formats of its operands, None for float32."""

    a: Format | None
    b: Format | None
    accumulate: str = "float32"

    @property
    def name(self) -> str:
        """What the table calls it."""
        names = ["float32" if fmt is None else fmt.name for fmt in (self.a, self.b)]
        return " @ ".join(dict.fromkeys(names)) + (", exact" if self.accumulate == "exact" else "")


_MATRICES: Final = (
    Work(CFloat8_1_4_3, CFloat8_1_4_3),
    Work(CFloat8_1_5_2, CFloat8_1_5_2),
    Work(CFloat16_SHP, CFloat16_SHP),
    Work(None, CFloat8_1_4_3),
    Work(CFloat8_1_4_3, CFloat8_1_4_3, "exact"),
)
_VECTORS: Final = (Work(CFloat8_1_4_3, None), Work(CFloat16_SHP, None))


def works(elements: int) -> Iterator[tuple[tuple[int, int, int], Work]]:
    """Choose the products of matrices of about so many elements, at most: their shapes and operands."""
    for most, columns, some in zip(MAX_SIDES, (None, 1), (_MATRICES, _VECTORS), strict=True):
        side = min(isqrt(elements), most)
        for work in some:
            yield (side, side, side if columns is None else columns), work


def blas_threads(count: int) -> AbstractContextManager[Any]:
    """Make a context in which NumPy's BLAS uses so many threads, if threadpoolctl is installed."""
    try:
        limits: AbstractContextManager[Any] = import_module("threadpoolctl").threadpool_limits(
            count
        )
    except ImportError:
        return nullcontext()
    return limits


def calls(
    shape: tuple[int, int, int], work: Work, peers: Mapping[str, Any]
) -> tuple[list[str], list[Call]]:
    """Make what is timed: the product, NumPy's, and those of peers, whose names come first; all checked."""
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    x = place_source(rng.standard_normal((rows, inner), np.float32))
    y = place_source(rng.standard_normal((inner, columns) if columns > 1 else inner, np.float32))
    a, b = (
        one if fmt is None else CFloatArray(place_source(encode(one, fmt)), fmt)
        for one, fmt in zip((x, y), (work.a, work.b), strict=True)
    )
    out, reference = (place_destination((rows, *y.shape[1:]), np.float32) for _ in range(2))
    accumulate: Any = work.accumulate
    found: list[Call] = [
        lambda: matmul(a, b, accumulate=accumulate, out=out),
        lambda: np.matmul(x, y, out=reference),
    ]
    found[0]()
    _check(work.name, out, np.asarray(a), np.asarray(b))
    names = [name for name in peers if work == _MATRICES[0]]
    return names, found + [_peer(name, peers[name], x, y) for name in names]


def _peer(name: str, package: Any, x: Array, y: Array) -> Call:
    """Make another package's product, its result checked."""
    if name == "torch":
        first, second = (package.from_numpy(one).to(package.bfloat16) for one in (x, y))
        got = package.matmul(first, second).float().numpy()
        # rounded to bfloat16
        _check(name, got, first.float().numpy(), second.float().numpy(), unit=2.0**-8)
        return lambda: package.matmul(first, second)
    first, second = (one.astype(package.float8_e4m3fn) for one in (x, y))
    _check(name, np.matmul(first, second), first.astype(np.float32), second.astype(np.float32))
    return lambda: np.matmul(first, second)


def _check(what: str, got: Array, a: Array, b: Array, unit: float = 2.0**-23) -> None:
    """Compare the rows at both ends with float64, by the bound of a sum of as many roundings."""
    wide = b.astype(np.float64)
    for part in (slice(0, _CHECKED), slice(-_CHECKED, None)):
        rows = a[part].astype(np.float64)
        bound = a.shape[1] * unit * (np.abs(rows) @ np.abs(wide))
        if not np.all(np.abs(got[part] - rows @ wide) <= bound):
            raise CFloatError(f"matmul {what}: wrong results")


def table(rows: Sequence[ProductRow]) -> str:
    """Write the rows as text, those of one shape headed by it."""
    sections: dict[str, list[ProductRow]] = {}
    for row in rows:
        title = f"matmul {row.rows}x{row.inner}x{row.columns} / float32"
        sections.setdefault(title, []).append(row)
    return "\n".join(rate_table(sections.items(), "GFLOP/s")[1:])
