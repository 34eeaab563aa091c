"""The rows of biases: how long it takes to choose them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.bias_methods import BiasMethod
from cfloat._bias.choose import choose_bias
from cfloat._core.presets import CFloat8_1_4_3
from cfloat.errors import CFloatError

from .context import Context
from .placement import place_destination, place_source
from .row import Calls, Case, Goal

Array = NDArray[Any]

_MATRIX: Final = (4096, 4096)
_FILTERS: Final = (512, 512, 3, 3)
_BLOCK: Final = 32
# the longest time of an element, in nanoseconds
_MOST: Final[dict[BiasMethod, float]] = {"mse": 2.5, "percentile": 1.5}


def cases(context: Context) -> Iterator[Case]:
    """List the choices of biases: of a tensor, by slice along each axis, and by block."""
    for title, whole in (("matrix", _MATRIX), ("filters", _FILTERS)):
        shape = context.within(*whole)
        sides = "x".join(map(str, shape))
        for method in ("max", "mse", "percentile"):
            axes: list[int | None] = [None, *range(len(shape))]
            for axis in axes[:1] if method == "max" and title == "filters" else axes:
                yield _case(f"choose_bias, {sides} / copyto float32", shape, method, axis)
            if title == "matrix":
                yield _case(f"choose_bias, {sides} / copyto float32", shape, method, None, _BLOCK)


def _case(
    title: str,
    shape: tuple[int, ...],
    method: BiasMethod,
    axis: int | None,
    block: int | None = None,
) -> Case:
    where = "a tensor" if axis is None else f"axis {axis}"
    work = f"{method}, {where if block is None else f'blocks of {block}'}"
    most = _MOST.get(method)
    is_parted = axis is not None or block is not None
    goal = Goal(most, is_ratio=False) if most is not None and is_parted else None
    amount = 1e-9 * int(np.prod(shape))
    return Case("", title, work, "ns/elem", amount, _Preparation(shape, method, axis, block), goal)


@dataclass(frozen=True)
class _Preparation:
    shape: tuple[int, ...]
    method: BiasMethod
    axis: int | None
    block: int | None

    def __call__(self) -> Calls:
        x = np.random.default_rng(0).standard_normal(self.shape, np.float32)
        # slices of different sizes
        x = place_source(x * np.exp2(np.arange(self.shape[-1]) % 7).astype(np.float32))
        method, axis, block = self.method, self.axis, self.block

        def own() -> Any:
            return choose_bias(x, CFloat8_1_4_3, method, axis=axis, block=block)

        self._check(x, np.asarray(own()))
        copy = place_destination(x.shape, x.dtype)
        return Calls(own, lambda: np.copyto(copy, x))

    def _check(self, x: Array, found: Array) -> None:
        """Compare the first and the last bias with those of their elements alone."""
        parts: list[tuple[Array, Any]] = [(x, found)]
        if self.axis is not None:
            slices: Any = np.moveaxis(x, self.axis, 0)
            biases = found.reshape(-1)
            parts = [(slices[i], biases[i]) for i in (0, -1)]
        elif self.block is not None:
            columns = found.shape[-1]
            lines, of_lines = x.reshape(-1, x.shape[-1]), found.reshape(-1, columns)
            parts = [
                (lines[0, : self.block], of_lines[0, 0]),
                (lines[-1, (columns - 1) * self.block :], of_lines[-1, -1]),
            ]
        for values, bias in parts:
            if np.any(
                bias != choose_bias(np.ascontiguousarray(values), CFloat8_1_4_3, self.method)
            ):
                raise CFloatError(f"choose_bias, {self.method}: a wrong bias")
