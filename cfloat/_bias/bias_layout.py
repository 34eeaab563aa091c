"""Where an array's biases lie: one for all elements, one a slice, one a block, or any that broadcast."""

from collections.abc import Callable
from math import prod
from operator import index
from typing import Any, Final, SupportsIndex

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from cfloat._convert.by_layout import spread_blocks
from cfloat._core.arguments import integer
from cfloat._core.format import Format
from cfloat._core.text import shown
from cfloat.errors import ArgumentValueError

Array = NDArray[Any]

_SLICE_ALL: Final = slice(None)


class BiasLayout:
    """The exponent biases of an array of codes.

    Attributes
    ----------
    values : int or ndarray of int16
        One bias; or an array of the codes' number of dimensions, each of length 1 or the codes' own, the
        last counting blocks if there are any.
    block : int or None
        The number of consecutive elements along the last axis that share a bias, which may be fewer in the
        last block.
    """

    __slots__ = ("block", "values")

    def __init__(self, values: int | NDArray[np.int16], block: int | None = None) -> None:
        self.values = values
        self.block = block
        _make_read_only(values)

    @property
    def one(self) -> int | None:
        """The bias if it is one for all elements."""
        return self.values if isinstance(self.values, int) else None

    @property
    def runs(self) -> tuple[int | NDArray[np.int16], int, int]:
        """Values as above, the axis along which each may stand for several elements, and for how many."""
        return self.values, -1, self.block or 1

    @property
    def axis(self) -> int | None:
        """The only axis along which biases differ, if there is one such axis and no blocks."""
        if isinstance(self.values, int) or self.block is not None:
            return None
        axes = [axis for axis, length in enumerate(self.values.shape) if length != 1]
        return axes[0] if len(axes) == 1 else None

    def full(self, shape: tuple[int, ...]) -> NDArray[np.int16]:
        """Give one bias an element, read-only, without a copy unless there are blocks."""
        values = np.asarray(self.values, np.int16)
        if self.block is not None:
            values = spread_blocks(values, self.block, shape)
        return np.broadcast_to(values, shape)

    def index(self, shape: tuple[int, ...], key: Any) -> "BiasLayout":
        """Give the biases of ``codes[key]``, where codes have a shape."""
        if isinstance(self.values, int):
            return self
        parts = _expanded(key, len(shape))
        if parts is None:
            return compressed(self.full(shape)[key])
        places = [i for i, part in enumerate(parts) if part is not None and part is not Ellipsis]
        for axis, place in enumerate(places):
            parts[place] = self._part(axis, parts[place], shape[axis])
        if self.block is None or not isinstance(parts[places[-1]], slice):
            return _biases(self.values[tuple(parts)])
        # the blocks of the other axes first, and then the last axis, which stays behind those
        start, stop, step = parts[places[-1]].indices(shape[-1])
        parts[places[-1]] = _SLICE_ALL
        picked = self.values[tuple(parts)]
        whole = (
            step == 1 and start % self.block == 0 and (stop % self.block == 0 or stop == shape[-1])
        )
        behind = sum(part is None for part in parts[places[-1] :])
        if whole and start < stop and not behind:
            return BiasLayout(picked[..., start // self.block : -(-stop // self.block)], self.block)
        taken = np.arange(start, stop, step) // self.block
        return _biases(np.take(picked, taken, axis=picked.ndim - 1 - behind))

    def _part(self, axis: int, part: Any, length: int) -> Any:
        """Give what selects the biases of what an index selects along one axis of the codes."""
        assert not isinstance(self.values, int)
        if self.block is not None and axis == self.values.ndim - 1:
            return part if isinstance(part, slice) else part % length // self.block
        if self.values.shape[axis] == length:
            return part
        if isinstance(part, slice):
            return _SLICE_ALL
        # as many axes as the index has, each of length 1
        return np.zeros((1,) * part.ndim, np.intp) if isinstance(part, np.ndarray) else 0

    def transposed(self, shape: tuple[int, ...], move: Callable[[Array], Array]) -> "BiasLayout":
        """Give the biases after a function that permutes the axes."""
        if isinstance(self.values, int):
            return self
        if self.block is None:
            return BiasLayout(move(self.values))
        return blocks_of_axis(
            move(self.values), _moved_axis(move, len(shape), -1), self.block, shape[-1]
        )

    def reshaped(self, shape: tuple[int, ...], new: tuple[int, ...], order: str) -> "BiasLayout":
        """Give the biases after the codes, of a shape, are given a new one of as many elements."""
        if isinstance(self.values, int):
            return self
        if order == "F" or 0 in shape or not new:
            return compressed(self.full(shape).reshape(new, order=order))  # type: ignore[call-overload]
        if self.block is not None and (
            new[-1] == shape[-1] or (shape[-1] % self.block == 0 and new[-1] % self.block == 0)
        ):
            values = np.broadcast_to(self.values, (*shape[:-1], self.values.shape[-1]))
            return _blocked(values.reshape(*new[:-1], -(-new[-1] // self.block)), self.block)
        if self.block is not None and shape[-1] % self.block:
            return compressed(self.full(shape).reshape(new))
        # one bias for each run of equal elements that follow each other
        if self.block is None:
            outer = max(axis for axis, length in enumerate(self.values.shape) if length != 1) + 1
            values = np.broadcast_to(self.values.reshape(self.values.shape[:outer]), shape[:outer])
        else:
            outer = len(shape) - 1
            values = np.broadcast_to(self.values, (*shape[:-1], self.values.shape[-1]))
        run = prod(shape) // values.size
        if new[-1] > run > 1 and new[-1] % run == 0:
            return _blocked(values.reshape(*new[:-1], new[-1] // run), run)
        spread = np.broadcast_to(values[..., np.newaxis], (*values.shape, run))
        return compressed(spread.reshape(new))

    def equal(
        self, other: "BiasLayout", shape: tuple[int, ...], other_shape: tuple[int, ...]
    ) -> bool:
        """Whether two arrays of one shape have the same bias at every element."""
        if isinstance(self.values, int) and isinstance(other.values, int):
            return self.values == other.values
        if shape != other_shape:
            return False
        if self.block == other.block:
            return bool(np.all(np.asarray(self.values) == np.asarray(other.values)))
        return bool(np.array_equal(self.full(shape), other.full(shape)))

    def __sizeof__(self) -> int:
        own = 0 if isinstance(self.values, int) else self.values.nbytes
        return object.__sizeof__(self) + own


def _make_read_only(memory: Any) -> None:
    """Make an array read-only: arrays share their biases."""
    # not even a view may become writable, which takes a base that is
    while isinstance(memory, np.ndarray):
        memory.flags.writeable = False
        memory = memory.base


class BlocksOfAxis(BiasLayout):
    """Biases of blocks that run along another axis than the last: transposing makes them.

    There is one a block in memory, and one an element only when somebody asks for values.  To all but
    matrix products these are biases without blocks.

    Attributes
    ----------
    runs
        One bias a block, the axis along which blocks run, and their length.
    """

    __slots__ = ("_length", "_runs", "_values")

    def __init__(self, values: NDArray[np.int16], axis: int, run: int, length: int) -> None:
        _make_read_only(values)
        self._runs = values, axis, run
        self._length = length
        self._values: NDArray[np.int16] | None = None

    @property
    def values(self) -> NDArray[np.int16]:  # type: ignore[override]
        """One bias an element along the axis of the blocks."""
        if self._values is None:
            values, axis, run = self._runs
            spread = np.repeat(values, run, axis)
            self._values = spread[(_SLICE_ALL,) * axis + (slice(self._length),)]
            _make_read_only(self._values)
        return self._values

    @property
    def block(self) -> None:  # type: ignore[override]
        """None: blocks of the last axis there are none."""
        return None

    @property
    def one(self) -> None:
        """None: biases are one a block."""
        return None

    @property
    def runs(self) -> tuple[NDArray[np.int16], int, int]:
        """One bias a block, the axis along which blocks run, and their length."""
        return self._runs

    def transposed(self, shape: tuple[int, ...], move: Callable[[Array], Array]) -> BiasLayout:
        """Give the biases after a function that permutes the axes."""
        values, axis, run = self._runs
        return blocks_of_axis(move(values), _moved_axis(move, len(shape), axis), run, self._length)

    def __sizeof__(self) -> int:
        spread = 0 if self._values is None else self._values.nbytes
        return object.__sizeof__(self) + self._runs[0].nbytes + spread


def blocks_of_axis(values: NDArray[np.int16], axis: int, run: int, length: int) -> BiasLayout:
    """Lay biases out by blocks along an axis of that length."""
    if axis == values.ndim - 1:
        return BiasLayout(values, run)
    return BlocksOfAxis(values, axis, run, length)


def _moved_axis(move: Callable[[Array], Array], ndim: int, axis: int) -> int:
    """Tell where a function that permutes axes puts one."""
    lengths = [1] * ndim
    lengths[axis] = 2
    return move(np.empty(lengths, np.bool_)).shape.index(2)


def compressed(full: Array) -> BiasLayout:
    """Lay out biases given one an element, without the axes along which a broadcast repeats them."""
    full = np.asarray(full, np.int16)
    if full.size == 0:
        return BiasLayout(full)
    key = tuple(
        slice(0, 1) if stride == 0 else _SLICE_ALL
        for stride, length in zip(full.strides, full.shape, strict=True)
    )
    return _biases(full[key])


def _biases(values: Array) -> BiasLayout:
    return BiasLayout(int(values.reshape(-1)[0])) if values.size == 1 else BiasLayout(values)


def _blocked(values: Array, block: int) -> BiasLayout:
    # broadcast leading axes stay one long; the last axis counts blocks and stays
    key = tuple(slice(0, 1) if stride == 0 else _SLICE_ALL for stride in values.strides[:-1])
    return BiasLayout(values[(*key, _SLICE_ALL)], block)


def _expanded(key: Any, ndim: int) -> list[Any] | None:
    """Spell out a valid index: a slice, integer or integer array for each axis, and None for new ones.

    None if it has what makes new axes in another way: a mask of no axes.
    """
    parts: list[Any] = []
    for part in key if isinstance(key, tuple) else (key,):
        if part is None or part is Ellipsis or isinstance(part, slice):
            parts.append(part)
            continue
        array = np.asarray(part)
        if array.dtype != np.bool_:
            parts.append(array.astype(np.intp) if array.ndim else index(part))
        elif array.ndim:
            parts.extend(array.nonzero())
        else:
            return None
    rest = [_SLICE_ALL] * (ndim - sum(part is not None and part is not Ellipsis for part in parts))
    # not list.index, which compares arrays
    place = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    # an ellipsis between two integer arrays keeps them apart even where it stands for no axis
    return parts[:place] + (rest or parts[place : place + 1]) + parts[place + 1 :]


def check_layout(
    fmt: Format,
    bias: ArrayLike | None,
    shape: tuple[int, ...],
    axis: SupportsIndex | None = None,
    block: SupportsIndex | None = None,
) -> BiasLayout:
    """Check the biases of an array of a shape, and lay them out; `cfloat.asarray` explains the arguments."""
    if axis is not None and block is not None:
        raise ArgumentValueError(
            "axis and block are both given; biases are one a slice or one a block"
        )
    values = fmt.check_biases(bias)
    if isinstance(values, int):
        # one bias for all slices or blocks is one bias
        if axis is not None:
            check_axis(axis, len(shape))
        if block is not None:
            check_block(block, shape)
        return BiasLayout(values)
    if axis is not None:
        values = _of_slices(values, check_axis(axis, len(shape)), shape)
    elif block is not None:
        return _in_blocks(values, check_block(block, shape), shape)
    if values.ndim > len(shape) or any(
        length not in (1, own) for length, own in zip(values.shape[::-1], shape[::-1], strict=False)
    ):
        raise ArgumentValueError(
            f"bias has shape {values.shape}, which does not broadcast to {shape}"
        )
    values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    return _stored(values)


def _stored(values: NDArray[np.int16], block: int | None = None) -> BiasLayout:
    # a copy, so that no caller's later change reaches a finished array
    if values.size == 1 and block is None:
        return BiasLayout(int(values.reshape(-1)[0]))
    copied = np.array(values, np.int16)
    return BiasLayout(copied, block)


def check_axis(axis: SupportsIndex, ndim: int) -> int:
    """Give an axis counted from the first, or say what is allowed."""
    try:
        return normalize_axis_index(integer("axis", axis), ndim)
    except np.exceptions.AxisError:
        allowed = f"an integer from {-ndim} to {ndim - 1}" if ndim else "none: x has no axes"
        raise ArgumentValueError(f"axis is {shown(axis)}; it takes {allowed}") from None


def check_block(block: SupportsIndex, shape: tuple[int, ...]) -> int:
    """Give a number of elements of the last axis, no more than there are, or say what is allowed."""
    checked = integer("block", block, 1)
    if not shape:
        raise ArgumentValueError("block is given for an array of no axes")
    # one block may be longer than the axis; how much longer, nothing depends on
    return min(checked, max(shape[-1], 1))


def _of_slices(values: NDArray[np.int16], axis: int, shape: tuple[int, ...]) -> NDArray[np.int16]:
    if values.shape != (shape[axis],):
        raise ArgumentValueError(
            f"bias has shape {values.shape}; axis {axis} takes one for each slice, ({shape[axis]},)"
        )
    return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _in_blocks(values: NDArray[np.int16], block: int, shape: tuple[int, ...]) -> BiasLayout:
    count = -(-shape[-1] // block)
    expected = (*shape[:-1], count)
    fits = values.ndim <= len(expected) and all(
        length in (1, own) for length, own in zip(values.shape[::-1], expected[::-1], strict=False)
    )
    if not fits or values.ndim == 0:
        raise ArgumentValueError(
            f"bias has shape {values.shape}; blocks of {block} take {expected}, or one that broadcasts to it"
        )
    values = np.broadcast_to(values, (*values.shape[:-1], count))  # the last axis counts the blocks
    return _stored(values.reshape((1,) * (len(shape) - values.ndim) + values.shape), block)
