"""The rows of matrix products, beside NumPy's in float32, their results checked."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from math import isqrt, prod
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._array.creation import asarray
from cfloat._core import isa as instruction_sets
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP, CFloat16_UHP
from cfloat._matmul.matmul import matmul
from cfloat.errors import CFloatError

from .context import Context
from .placement import place_destination, place_source
from .row import Calls, Case, Goal
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

# NumPy casts so long to multiply larger matrices of 8-bit floats that there is no use in it
_MOST_CAST: Final = 1 << 20

_Biases = Literal["one", "rows", "columns", "blocks"]
_BLOCK: Final = 32


@dataclass(frozen=True)
class Work:
    """What a row multiplies: the formats of its operands, None for float32."""

    a: Format | None
    b: Format | None
    accumulate: Literal["float32", "exact"] = "float32"
    # of the operand that is a format, or of both
    biases: _Biases = "one"
    # whether the matrix of codes is a transposed one
    is_transposed: bool = False
    has_peers: bool = False
    goal: Goal | None = None

    @property
    def name(self) -> str:
        """What the table calls it."""
        names = ["float32" if fmt is None else fmt.name for fmt in (self.a, self.b)]
        parts = [" @ ".join(dict.fromkeys(names))]
        if self.accumulate == "exact":
            parts.append("exact")
        if self.biases != "one":
            parts.append(f"blocks of {_BLOCK}" if self.biases == "blocks" else self.biases)
        if self.is_transposed:
            parts.append("transposed")
        return ", ".join(parts)


_F8, _F8W, _SHP, _UHP = CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP, CFloat16_UHP
_USER16: Final = Format("E7M8", exponent_bits=7, mantissa_bits=8)

_MATRICES: Final = (
    Work(_F8, _F8, has_peers=True),
    Work(_F8W, _F8W),
    Work(_SHP, _SHP),
    Work(None, _F8),
    Work(_F8, _F8, "exact"),
)
_VECTORS: Final = (Work(_F8, None), Work(_SHP, None))


def _large_works() -> tuple[Work, ...]:
    """List the products of square matrices, with goals for this instruction set."""
    has_amx = instruction_sets.isa() == "amx"
    beside_torch = Goal(0.95 if has_amx else 0.97, "torch")
    beside_numpy = Goal(1.5 if has_amx else 0.97)
    return (
        Work(_F8, _F8, has_peers=True, goal=beside_torch),
        Work(_F8W, _F8W, has_peers=True, goal=beside_torch),
        Work(_SHP, _SHP, goal=beside_numpy),
        Work(None, _F8, goal=beside_numpy),
        Work(_F8, _F8, "exact", goal=Goal(0.48)),
        Work(_UHP, _UHP),
        Work(_USER16, _USER16),
        Work(_F8, _SHP),
    )


_FEW_ROWS: Final = (1, 2, 4, 8, 16)
_LONG: Final = ((4096, 4096), (4096, 14336), (8192, 8192))
_OF8, _OF16 = Goal(3.0), Goal(1.6)


def product_cases(context: Context) -> Iterator[Case]:
    """List products of matrices, and with vectors, of about the numbers of elements asked for."""
    shapes = dict.fromkeys(one for size in context.sizes for one in works(size))
    for shape, work in shapes:
        yield _case(shape, work, context)


def works(elements: int) -> Iterator[tuple[tuple[int, ...], Work]]:
    """Choose the products of matrices of about so many elements, at most: their shapes and operands."""
    for most, columns, some in zip(MAX_SIDES, (None, 1), (_MATRICES, _VECTORS), strict=True):
        side = min(isqrt(elements), most)
        for work in some:
            yield (side, side, side if columns is None else columns), work


def matrix_cases(context: Context) -> Iterator[Case]:
    """List products of square matrices of sides from 256 to 4096."""
    sides = dict.fromkeys(context.within(side, side)[1] for side in (256, 512, 1024, 2048, 4096))
    for side in sides:
        for work in _large_works():
            yield _case((side, side, side), work, context)


def vector_cases(context: Context) -> Iterator[Case]:
    """List products with a vector, and of few rows: what a language model does for each token."""
    for shape in dict.fromkeys(context.within(*shape) for shape in _LONG):
        for fmt in (_F8, _F8W, _SHP, _UHP):
            yield _case((*shape, 1), Work(fmt, None, goal=_goal_of(fmt)), context)
    side = context.within(*_LONG[0])
    for fmt in (_F8, _SHP):
        goal = _goal_of(fmt)
        yield _case((*side, 1), Work(fmt, None, is_transposed=True, goal=goal), context)
        for biases in _some_biases():
            yield _case((*side, 1), Work(fmt, None, biases=biases, goal=goal), context)
    for rows in _FEW_ROWS:
        for fmt in (_F8, _SHP):
            yield _case((rows, *side), Work(None, fmt, goal=_goal_of(fmt)), context)
            yield _case(
                (rows, *side), Work(None, fmt, is_transposed=True, goal=_goal_of(fmt)), context
            )


def _some_biases() -> tuple[_Biases, ...]:
    return ("rows", "columns", "blocks")


def _goal_of(fmt: Format) -> Goal:
    return _OF8 if fmt.bits == 8 else _OF16


def stack_cases(context: Context) -> Iterator[Case]:
    """List products of many small matrices."""
    shape = context.within(1024, 16, 16)
    for fmt in (_F8, _SHP):
        yield _case((*shape, shape[2]), Work(fmt, fmt, goal=Goal(1.0)), context)


def _case(shape: tuple[int, ...], work: Work, context: Context) -> Case:
    title = f"matmul {'x'.join(map(str, shape))} / float32"
    amount = 2 * prod(shape) / 1e9
    return Case(
        "", title, work.name, "GFLOP/s", amount, _Preparation(shape, work, context.peers), work.goal
    )


def blas_threads(count: int) -> AbstractContextManager[Any]:
    """Make a context in which NumPy's BLAS uses so many threads, if threadpoolctl is installed."""
    try:
        limits: AbstractContextManager[Any] = import_module("threadpoolctl").threadpool_limits(
            count
        )
    except ImportError:
        return nullcontext()
    return limits


@dataclass(frozen=True)
class _Preparation:
    """What makes a product's operands and calls when its turn has come: all checked."""

    shape: tuple[int, ...]
    work: Work
    peers: Mapping[str, Any]

    def __call__(self) -> Calls:
        *stack, rows, inner, columns = self.shape
        work = self.work
        rng = np.random.default_rng(0)
        x = rng.standard_normal((*stack, rows, inner), np.float32)
        y = rng.standard_normal((*stack, inner, columns) if columns > 1 else inner, np.float32)
        a, b = (_operand(one, fmt, work) for one, fmt in ((x, work.a), (y, work.b)))
        x, y = place_source(np.asarray(a)), place_source(np.asarray(b))
        shape = (*stack, rows, *y.shape[len(stack) + 1 :])
        out, reference = (place_destination(shape, np.float32) for _ in range(2))
        own: Call = lambda: matmul(a, b, accumulate=work.accumulate, out=out)  # noqa: E731
        own()
        _check(work.name, out, x, y)
        peers = self.peers if work.has_peers else {}
        found = {
            name: _peer(name, package, x, y)
            for name, package in peers.items()
            if name == "torch" or prod(self.shape[:2]) <= _MOST_CAST
        }
        if work.is_transposed:
            # NumPy's operand lies as the codes do
            x, y = (
                _transposed(one) if fmt is not None else one
                for one, fmt in ((x, work.a), (y, work.b))
            )
        return Calls(own, lambda: np.matmul(x, y, out=reference), found)


def _operand(values: Array, fmt: Format | None, work: Work) -> Any:
    if fmt is None:
        return place_source(values)
    if not fmt.signed:
        values = np.abs(values)
    how: dict[str, Any] = {}
    if work.biases == "blocks":
        how = {"block": _BLOCK}
    elif work.biases != "one":
        how = {"axis": 0 if work.biases == "rows" else 1}
    made = asarray(values, fmt, "max" if how else None, **how)
    if work.is_transposed:
        return CFloatArray(place_source(made.codes.T), fmt, made.bias).T
    return CFloatArray(
        place_source(made.codes), fmt, made.bias, **({"block": _BLOCK} if how.get("block") else {})
    )


def _transposed(values: Array) -> Array:
    return place_source(values.T).T


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
    for part in (slice(0, _CHECKED), slice(-_CHECKED, None)):
        rows = a[part].astype(np.float64)
        wide = (b if a.ndim == 2 else b[part]).astype(np.float64)
        bound = a.shape[-1] * unit * (np.abs(rows) @ np.abs(wide))
        if not np.all(np.abs(got[part] - rows @ wide) <= bound):
            raise CFloatError(f"matmul {what}: wrong results")
