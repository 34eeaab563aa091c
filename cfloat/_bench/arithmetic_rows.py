"""The rows of arithmetic on large arrays: operations into a format, and reductions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.creation import asarray
from cfloat._bias.round_to import round_to
from cfloat._core.flags import no_flags
from cfloat._core.presets import CFloat8_1_4_3
from cfloat.errors import CFloatError

from .context import Context
from .placement import place_destination, place_source
from .row import Calls, Case, Goal

_SIZE: Final = 1 << 24
_CHECKED: Final = 1 << 16

# Functions of two arrays and of where to put the result
_OPERATIONS: Final[dict[str, Callable[[Any, Any, Any], Any]]] = {
    "a + b": lambda a, b, out: np.add(a, b, out=out),
    "a - b": lambda a, b, out: np.subtract(a, b, out=out),
    "a * b": lambda a, b, out: np.multiply(a, b, out=out),
    "a / b": lambda a, b, out: np.divide(a, b, out=out),
    "a * 3": lambda a, b, out: np.multiply(a, 3, out=out),
    "sqrt(a)": lambda a, b, out: np.sqrt(a, out=out),
}
_REDUCTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "sum": np.sum,
    "max": np.max,
    "mean": np.mean,
}


def cases(context: Context) -> Iterator[Case]:
    """List operations into a format, and reductions, beside NumPy's of float32."""
    (size,) = context.within(_SIZE)
    for name in _OPERATIONS:
        yield Case(
            "", f"CFloat8_1_4_3, {size} elements / float32", name, "Gelem/s", size / 1e9,
            _Operation(name, size), Goal(1.5),
        )  # fmt: skip
    for name in _REDUCTIONS:
        yield Case(
            "", f"CFloat8_1_4_3, {size} elements / float32", name, "Gelem/s", size / 1e9,
            _Reduction(name, size), Goal(2.0),
        )  # fmt: skip


def _operands(size: int) -> tuple[list[CFloatArray], list[Any]]:
    """Make two arrays of positive values, and the same as float32."""
    rng = np.random.default_rng(0)
    found = [
        asarray(np.abs(rng.standard_normal(size, np.float32)) + 1, CFloat8_1_4_3) for _ in "ab"
    ]
    arrays = [CFloatArray(place_source(one.codes), CFloat8_1_4_3) for one in found]
    return arrays, [place_source(np.asarray(one)) for one in arrays]


@dataclass(frozen=True)
class _Operation:
    name: str
    size: int

    def __call__(self) -> Calls:
        (a, b), (x, y) = _operands(self.size)
        function = _OPERATIONS[self.name]
        out = CFloatArray(place_destination(a.shape, np.uint8), CFloat8_1_4_3)
        plain = place_destination(x.shape, x.dtype)
        function(a, b, out)
        for part in (slice(0, _CHECKED), slice(-_CHECKED, None)):
            wide = function(x[part].astype(np.float64), y[part].astype(np.float64), None)
            with no_flags():
                expected = round_to(wide, CFloat8_1_4_3)
            if not np.array_equal(np.asarray(out[part]), expected):
                raise CFloatError(f"{self.name}: wrong results")
        return Calls(lambda: function(a, b, out), lambda: function(x, y, plain))


@dataclass(frozen=True)
class _Reduction:
    name: str
    size: int

    def __call__(self) -> Calls:
        (a, _), (x, _) = _operands(self.size)
        function = _REDUCTIONS[self.name]
        # by the bound of pairwise summation, and more
        if not np.isclose(float(function(a)), function(x.astype(np.float64)), rtol=1e-5):
            raise CFloatError(f"{self.name}: a wrong result")
        return Calls(lambda: function(a), lambda: function(x))
