"""Where an array's biases lie: one for all elements, one a slice, one a block, or any that broadcast."""

import re
from collections.abc import Callable
from math import prod
from operator import index
from typing import Any, Final, SupportsIndex, TypeAlias

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from cfloat._convert.by_layout import BlockLayout, spread_blocks
from cfloat._core.arguments import integer
from cfloat._core.format import Format
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

Array = NDArray[Any]
Shape = tuple[int, ...]

#: An axis whose slices have a bias each; or with `block` what blocks run along.
Axis: TypeAlias = SupportsIndex | tuple[SupportsIndex, ...]

_SLICE_ALL: Final = slice(None)
# Types of an index's parts, if each stands for one axis.
_OF_AN_AXIS: Final = frozenset((int, slice))


class BiasLayout:
    """The exponent biases of an array of codes.

    Attributes
    ----------
    values : int or ndarray of int16
        One bias; or an array of the codes' number of dimensions, each of length 1 or the codes' own.  With
        blocks, the axes that these run along are one, which counts them.
    blocks : BlockLayout or None
        Which elements share a bias, if there is one for some consecutive ones.
    """

    __slots__ = ("blocks", "values")

    def __init__(self, values: int | NDArray[np.int16], blocks: BlockLayout | None = None) -> None:
        self.values = values
        self.blocks = blocks
        if type(values) is not int:
            _make_read_only(values)

    @property
    def one(self) -> int | None:
        """The bias if it is one for all elements."""
        return self.values if isinstance(self.values, int) else None

    @property
    def block(self) -> int | None:
        """How many consecutive elements share a bias, if biases are one a block."""
        return None if self.blocks is None else self.blocks.length

    @property
    def axis(self) -> int | tuple[int, ...] | None:
        """The only axis along which biases differ; or what blocks run along, if not along the last axis.

        Several axes, taken as one, are a tuple.
        """
        if isinstance(self.values, int):
            return None
        if self.blocks is not None:
            return along(self.blocks, self.values.ndim + len(self.blocks.axes) - 1)
        axes = [axis for axis, length in enumerate(self.values.shape) if length != 1]
        return axes[0] if len(axes) == 1 else None

    def spread(self, shape: Shape) -> int | NDArray[np.int16]:
        """Give values as there are without blocks, of codes of a shape."""
        if self.blocks is None:
            return self.values
        return spread_blocks(self.values, self.blocks, shape)

    def full(self, shape: Shape) -> NDArray[np.int16]:
        """Give one bias an element, read-only, without a copy unless there are blocks."""
        return np.broadcast_to(np.asarray(self.spread(shape), np.int16), shape)

    def index(self, shape: Shape, key: Any) -> "BiasLayout":
        """Give the biases of ``codes[key]``, where codes have a shape."""
        if isinstance(self.values, int):
            return self
        given = key if isinstance(key, tuple) else (key,)
        if self.blocks is None and _OF_AN_AXIS.issuperset(map(type, given)):
            # an axis of length 1 is not the codes' own
            lengths = zip(given, self.values.shape, shape, strict=False)
            of_biases = (
                part if own == length else _SLICE_ALL if type(part) is slice else 0
                for part, own, length in lengths
            )
            return _biases(self.values[tuple(of_biases)])
        parts = _expanded(key, len(shape))
        if parts is None:
            return compressed(self.full(shape)[key])
        if self.blocks is not None and self.blocks.axes != (len(shape) - 1,):
            kept = self._rows(self.blocks, shape, parts)
            return kept or BiasLayout(self.spread(shape)).index(shape, key)
        places = [i for i, part in enumerate(parts) if part is not None and part is not Ellipsis]
        for axis, place in enumerate(places):
            parts[place] = self._part(axis, parts[place], shape[axis])
        if self.blocks is None or not isinstance(parts[places[-1]], slice):
            return _biases(self.values[tuple(parts)])
        # the blocks of the other axes first, and then the last axis, which stays behind those
        block = self.blocks.length
        start, stop, step = parts[places[-1]].indices(shape[-1])
        parts[places[-1]] = _SLICE_ALL
        picked = self.values[tuple(parts)]
        whole = step == 1 and start % block == 0 and (stop % block == 0 or stop == shape[-1])
        behind = sum(part is None for part in parts[places[-1] :])
        if whole and start < stop and not behind:
            values = picked[..., start // block : -(-stop // block)]
            return BiasLayout(values, BlockLayout(block, (values.ndim - 1,)))
        taken = np.arange(start, stop, step) // block
        return _biases(np.take(picked, taken, axis=picked.ndim - 1 - behind))

    def _rows(self, blocks: BlockLayout, shape: Shape, parts: list[Any]) -> "BiasLayout | None":
        """Give the biases of whole rows of blocks; None of other parts of the codes."""
        if any(part is Ellipsis or isinstance(part, np.ndarray) for part in parts):
            return None
        places = [i for i, part in enumerate(parts) if part is not None]
        start, stop = places[blocks.axes[0]], places[blocks.axes[-1]] + 1
        lengths = [shape[axis] for axis in blocks.axes]
        if stop - start != len(lengths) or any(
            not isinstance(part, slice) or part.indices(length) != (0, length, 1)
            for part, length in zip(parts[start:stop], lengths, strict=True)
        ):
            return None
        # the axes are one, which counts the blocks, and all of these are taken
        key = (*parts[:start], _SLICE_ALL, *parts[stop:])
        kept = BiasLayout(self.values).index(blocks.counted(shape), key)
        if isinstance(kept.values, int):
            return kept
        first = sum(not isinstance(part, int) for part in parts[:start])
        axes = tuple(range(first, first + len(lengths)))
        return BiasLayout(kept.values, blocks._replace(axes=axes))

    def _part(self, axis: int, part: Any, length: int) -> Any:
        """Give what selects the biases of what an index selects along one axis of the codes."""
        assert not isinstance(self.values, int)
        if self.blocks is not None and self.blocks.axes == (axis,):
            return part if isinstance(part, slice) else part % length // self.blocks.length
        if self.values.shape[axis] == length:
            return part
        if isinstance(part, slice):
            return _SLICE_ALL
        # as many axes as the index has, each of length 1
        return np.zeros((1,) * part.ndim, np.intp) if isinstance(part, np.ndarray) else 0

    def transposed(self, shape: Shape, move: Callable[[Array], Array]) -> "BiasLayout":
        """Give the biases after a function that permutes the axes."""
        if isinstance(self.values, int):
            return self
        if self.blocks is None:
            return BiasLayout(move(self.values))
        axes = tuple(_moved_axis(move, len(shape), axis) for axis in self.blocks.axes)
        if len(axes) == 1:
            return BiasLayout(move(self.values), self.blocks._replace(axes=axes))
        if axes != tuple(range(axes[0], axes[0] + len(axes))):  # they are no longer one
            return _biases(move(np.asarray(self.spread(shape))))
        counts, behind = self.values.shape, self.blocks.axes[0] + 1
        counts = (*counts[:behind], *(1,) * (len(axes) - 1), *counts[behind:])
        values = move(self.values.reshape(counts)).squeeze(axes[1:])
        return BiasLayout(values, self.blocks._replace(axes=axes))

    def reshaped(self, shape: Shape, new: Shape, order: str) -> "BiasLayout":
        """Give the biases after the codes, of a shape, are given a new one of as many elements."""
        if isinstance(self.values, int):
            return self
        if order == "F" or 0 in shape or not new:
            return compressed(self.full(shape).reshape(new, order=order))  # type: ignore[call-overload]
        if self.blocks is not None:
            return self._reshaped_blocks(self.blocks, shape, new)
        # one bias for each run of equal elements that follow each other
        outer = max(axis for axis, length in enumerate(self.values.shape) if length != 1) + 1
        values = np.broadcast_to(self.values.reshape(self.values.shape[:outer]), shape[:outer])
        run = prod(shape) // values.size
        if new[-1] > run > 1 and new[-1] % run == 0:
            laid = BlockLayout(run, (len(new) - 1,))
            return _blocked(values.reshape(laid.counted(new)), laid)
        spread = np.broadcast_to(values[..., np.newaxis], (*values.shape, run))
        return compressed(spread.reshape(new))

    def _reshaped_blocks(self, blocks: BlockLayout, shape: Shape, new: Shape) -> "BiasLayout":
        """Give the biases of blocks after the codes, of a shape, are given a new one."""
        assert not isinstance(self.values, int)
        if new == shape:
            return self
        if blocks.axes[-1] != len(shape) - 1:
            spread = _biases(np.asarray(self.spread(shape)))
            return spread.reshaped(shape, new, "C")
        first = _row_axis(new, blocks.row(shape), blocks.length)
        if first is None:
            return compressed(self.full(shape).reshape(new))
        outer = shape[: blocks.axes[0]]
        values = np.broadcast_to(self.values, (*outer, self.values.shape[-1]))
        laid = BlockLayout(blocks.length, tuple(range(first, len(new))))
        made = _blocked(values.reshape(laid.counted(new)), laid)
        if len(laid.axes) == 1 or laid.count(new) > 1:
            return made
        # one block along all of them is no block
        whole = np.asarray(made.values)
        return _biases(whole.reshape((*whole.shape, *(1,) * (len(laid.axes) - 1))))

    def equal(self, other: "BiasLayout", shape: Shape, other_shape: Shape) -> bool:
        """Whether two arrays of one shape have the same bias at every element."""
        if isinstance(self.values, int) and isinstance(other.values, int):
            return self.values == other.values
        if shape != other_shape:
            return False
        if self.blocks == other.blocks:
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


def _row_axis(shape: Shape, row: int, block: int) -> int | None:
    """Find from which axis on blocks of rows of that length are blocks of a shape; None if there is none."""
    length = 1
    for axis in reversed(range(len(shape))):
        length *= shape[axis]
        if length == row or (row % block == 0 and length % block == 0):
            return axis
    return None


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
    return BiasLayout(int(values.item())) if values.size == 1 else BiasLayout(values)


def _blocked(values: Array, blocks: BlockLayout) -> BiasLayout:
    # broadcast leading axes stay one long; the last axis counts blocks and stays
    key = tuple(slice(0, 1) if stride == 0 else _SLICE_ALL for stride in values.strides[:-1])
    return BiasLayout(values[(*key, _SLICE_ALL)], blocks)


def _expanded(key: Any, ndim: int) -> list[Any] | None:
    """Spell out a valid index: a slice, integer or integer array for each axis, and None for new ones.

    None if it has what makes new axes in another way: a mask of no axes.
    """
    given = key if isinstance(key, tuple) else (key,)
    parts: list[Any] = []
    if _OF_AN_AXIS.issuperset(map(type, given)):  # most are
        parts.extend(given)
        parts.extend((_SLICE_ALL,) * (ndim - len(parts)))
        return parts
    for part in given:
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
    shape: Shape,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
) -> BiasLayout:
    """Check the biases of an array of a shape, and lay them out; `cfloat.asarray` explains the arguments."""
    values = fmt.check_biases(bias)
    if block is not None:
        blocks = check_blocks(block, shape, axis)
        # one bias for all slices or blocks is one bias
        return BiasLayout(values) if isinstance(values, int) else _in_blocks(values, blocks, shape)
    if axis is not None:
        place = check_axis(axis, len(shape))
        if not isinstance(values, int):
            values = _of_slices(values, place, shape)
    if isinstance(values, int):
        return BiasLayout(values)
    if values.ndim > len(shape) or any(
        length not in (1, own) for length, own in zip(values.shape[::-1], shape[::-1], strict=False)
    ):
        raise ArgumentValueError(
            f"bias has shape {values.shape}, which does not broadcast to {shape}"
        )
    values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    return _stored(values)


def _stored(values: NDArray[np.int16], blocks: BlockLayout | None = None) -> BiasLayout:
    # a copy, so that no caller's later change reaches a finished array
    if values.size == 1 and blocks is None:
        return BiasLayout(int(values.reshape(-1)[0]))
    copied = np.array(values, np.int16)
    return BiasLayout(copied, blocks)


def check_axis(axis: Axis, ndim: int) -> int:
    """Give an axis counted from the first, or say what is allowed."""
    if isinstance(axis, tuple):
        raise ArgumentTypeError(
            f"axis is {shown(axis)}, and there is no block; it takes an integer, and with block several"
        )
    try:
        return normalize_axis_index(integer("axis", axis), ndim)
    except np.exceptions.AxisError:
        allowed = f"an integer from {-ndim} to {ndim - 1}" if ndim else "none: x has no axes"
        raise ArgumentValueError(f"axis is {shown(axis)}; it takes {allowed}") from None


def check_blocks(block: SupportsIndex, shape: Shape, axis: Axis | None = None) -> BlockLayout:
    """Give blocks of so many elements along an axis or several, by default the last, or say what is allowed.

    They are no longer than what they run along.
    """
    checked = integer("block", block, 1)
    if not shape:
        raise ArgumentValueError("block is given for an array of no axes")
    if axis is None:
        return BlockLayout(min(checked, max(shape[-1], 1)), (len(shape) - 1,))
    given = axis if isinstance(axis, tuple) else (axis,)
    try:
        axes = tuple(check_axis(each, len(shape)) for each in given)
    except ArgumentTypeError:
        raise ArgumentTypeError(
            f"axis is {shown(axis)}; with block it takes an integer, or a tuple of several"
        ) from None
    if not axes or axes != tuple(range(axes[0], axes[0] + len(axes))):
        raise ArgumentValueError(
            f"axis is {shown(axis)}; with block it takes one, or several that are adjacent and ascending"
        )
    # one block may be longer than the axis; how much longer, nothing depends on
    return BlockLayout(min(checked, max(prod(shape[axes[0] : axes[-1] + 1]), 1)), axes)


def along(blocks: BlockLayout, ndim: int) -> int | tuple[int, ...] | None:
    """Say what blocks of codes of so many axes run along: None for the last axis, another, or several."""
    if len(blocks.axes) > 1:
        return blocks.axes
    return blocks.axes[0] if blocks.axes[0] != ndim - 1 else None


def along_text(axes: tuple[int, ...]) -> str:
    """Name adjacent axes, by the first and the last."""
    return str(axes[0]) if len(axes) == 1 else f"{axes[0]}-{axes[-1]}"


def axes_of_text(text: str) -> tuple[int, ...]:
    """Read axes as `along_text` names them; none if it is no such text."""
    # no array has axes of more digits
    match = re.fullmatch(r"(0|[1-9][0-9]?)(?:-(0|[1-9][0-9]?))?", text)
    if match is None:
        return ()
    return tuple(range(int(match[1]), int(match[2] or match[1]) + 1))


def _of_slices(values: NDArray[np.int16], axis: int, shape: Shape) -> NDArray[np.int16]:
    if values.shape != (shape[axis],):
        raise ArgumentValueError(
            f"bias has shape {values.shape}; axis {axis} takes one for each slice, ({shape[axis]},)"
        )
    return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _in_blocks(values: NDArray[np.int16], blocks: BlockLayout, shape: Shape) -> BiasLayout:
    expected = blocks.counted(shape)
    missing = len(expected) - values.ndim
    fits = missing >= 0 and all(
        length in (1, own) for length, own in zip(values.shape[::-1], expected[::-1], strict=False)
    )
    if not fits or values.ndim == 0:
        along = "" if blocks.axes == (len(shape) - 1,) else f" along {along_text(blocks.axes)}"
        raise ArgumentValueError(
            f"bias has shape {values.shape}; blocks of {blocks.length}{along} take {expected}, or one that "
            "broadcasts to it"
        )
    # the axis that counts the blocks is as long as that
    values = values.reshape((1,) * missing + values.shape)
    counts = list(values.shape)
    counts[blocks.axes[0]] = expected[blocks.axes[0]]
    return _stored(np.broadcast_to(values, counts), blocks)
