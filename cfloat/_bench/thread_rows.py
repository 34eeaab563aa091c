"""The rows of threads: several against one, at once and after idleness."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from cfloat._array.creation import asarray
from cfloat._core import threads
from cfloat._core.presets import CFloat8_1_4_3
from cfloat._core.threads import MAX_THREADS
from cfloat._matmul.matmul import matmul
from cfloat.errors import CFloatError

from .context import Context
from .conversion_rows import Work, call_of, magnitudes
from .row import Calls, Case, Goal
from .timing import Call, Timing

_SIZES: Final = (1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 24)
_SIDES: Final = (256, 512, 1024)
_WORKS: Final = (
    Work("encode", CFloat8_1_4_3),
    Work("encode", CFloat8_1_4_3, "stochastic"),
    Work("decode", CFloat8_1_4_3),
)
# A user who comes back: nothing was done for so many seconds.
_IDLE: Final = 0.01


def cases(context: Context) -> Iterator[Case]:
    """List conversions and products with threads beside one thread; none where there is one CPU."""
    many = _many(context.threads)
    if many < 2:
        return
    for idle in (0.0, _IDLE):
        when = f"after {1000 * _IDLE:g} ms" if idle else "at once"
        group = f"{many} threads, calls {when}"
        for size in dict.fromkeys(context.within(size)[0] for size in _SIZES):
            # in cache, and large enough for threads to have begun
            least = 1.6 if 1 << 18 <= size <= 1 << 20 and not idle else 1.0
            for work in _WORKS:
                yield Case(
                    group, f"{size} elements / one thread", f"{work.operation} {work.name}", "Gelem/s",
                    size / 1e9, _Conversion(work, size, many, idle), Goal(least),
                )  # fmt: skip
        for side in dict.fromkeys(context.within(side, side)[1] for side in _SIDES):
            yield Case(
                group, "matmul / one thread", f"CFloat8_1_4_3, {side}x{side}", "GFLOP/s",
                2 * side**3 / 1e9, _Product(side, many, idle),
                Goal(1.5 if not idle else 1.0),
            )  # fmt: skip


def _many(count: int) -> int:
    """How many threads one is compared with."""
    return count if count > 1 else min(threads.available_cpus(), MAX_THREADS)


def _against_one(call: Call, many: int, idle: float) -> Calls:
    """Time a call with many threads and with one."""

    def setting(number: int) -> Call:
        return lambda: threads.set_num_threads(number)

    return Calls(call, call, timing=Timing((setting(many), setting(1)), idle))


@dataclass(frozen=True)
class _Conversion:
    work: Work
    size: int
    many: int
    idle: float

    def __call__(self) -> Calls:
        threads.set_num_threads(self.many)
        call = call_of(self.work, magnitudes(self.size))
        return _against_one(call, self.many, self.idle)


@dataclass(frozen=True)
class _Product:
    side: int
    many: int
    idle: float

    def __call__(self) -> Calls:
        shape = (self.side, self.side)
        values = np.random.default_rng(0).integers(-4, 5, (2, *shape)).astype(np.float32)
        a, b = (asarray(one, CFloat8_1_4_3) for one in values)
        out = np.empty(shape, np.float32)
        threads.set_num_threads(self.many)
        matmul(a, b, out=out)
        # integers, whose sums are exact in any order
        if not np.array_equal(out, values[0] @ values[1]):
            raise CFloatError(f"matmul with {self.many} threads: wrong results")
        return _against_one(lambda: matmul(a, b, out=out), self.many, self.idle)
