"""Where an array's biases lie: one for all elements, one a slice, one a block, or any that broadcast."""

from typing import Any, Final, SupportsIndex

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

from .errors import ArgumentTypeError, ArgumentValueError
from .formats import Format
from .text import shown

Array = NDArray[Any]

_SLICE_ALL: Final = slice(None)


class Biases:
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

    @property
    def one(self) -> int | None:
        """The bias if it is one for all elements."""
        return self.values if isinstance(self.values, int) else None

    @property
    def axis(self) -> int | None:
        """The only axis along which biases differ, if there is one such axis and no blocks."""
        if isinstance(self.values, int) or self.block is not None:
            return None
        along = [axis for axis, length in enumerate(self.values.shape) if length != 1]
        return along[0] if len(along) == 1 else None

    def full(self, shape: tuple[int, ...]) -> NDArray[np.int16]:
        """Return one bias an element, read-only, without a copy unless there are blocks."""
        values = np.asarray(self.values, np.int16)
        if self.block is not None:
            values = np.repeat(values, self.block, axis=-1)[..., : shape[-1]]
        return np.broadcast_to(values, shape)

    def index(self, shape: tuple[int, ...], key: Any) -> "Biases":
        """Return the biases of ``codes[key]``, where codes have a shape."""
        if isinstance(self.values, int):
            return self
        if self.block is None:
            return compressed(self.full(shape)[key])
        aligned = _aligned_key(key, len(shape), shape[-1], self.block)
        if aligned is not None:
            leading = np.broadcast_to(self.values, (*shape[:-1], self.values.shape[-1]))
            return _blocked(leading[aligned], self.block)
        return compressed(self.full(shape)[key])

    def equal(self, other: "Biases", shape: tuple[int, ...], other_shape: tuple[int, ...]) -> bool:
        """Whether two arrays of one shape have the same bias at every element."""
        if isinstance(self.values, int) and isinstance(other.values, int):
            return self.values == other.values
        if shape != other_shape:
            return False
        if self.block == other.block:
            return bool(np.all(np.asarray(self.values) == np.asarray(other.values)))
        return bool(np.array_equal(self.full(shape), other.full(shape)))

    def nbytes(self) -> int:
        """Return the bytes of the biases themselves."""
        return 0 if isinstance(self.values, int) else self.values.nbytes


def compressed(full: Array) -> Biases:
    """Return biases given one an element, without the axes along which a broadcast repeats them."""
    full = np.asarray(full, np.int16)
    if full.size == 0:
        return Biases(full)
    key = tuple(
        slice(0, 1) if stride == 0 else _SLICE_ALL
        for stride, length in zip(full.strides, full.shape, strict=True)
    )
    values = full[key]
    return Biases(int(values.reshape(-1)[0])) if values.size == 1 else Biases(values)


def _blocked(values: Array, block: int) -> Biases:
    # broadcast leading axes stay one long; the last axis counts blocks and stays
    key = tuple(slice(0, 1) if stride == 0 else _SLICE_ALL for stride in values.strides[:-1])
    return Biases(values[(*key, _SLICE_ALL)], block)


def _aligned_key(key: Any, ndim: int, length: int, block: int) -> tuple[Any, ...] | None:
    """Return the key that selects the blocks of what a key selects, if that is whole blocks in order."""
    parts = key if isinstance(key, tuple) else (key,)
    basic = all(
        part is None or part is Ellipsis or isinstance(part, slice | int | np.integer)
        for part in parts
    )
    if not basic or any(isinstance(part, bool | np.bool_) for part in parts):
        return None
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if used > ndim:
        return None
    if not any(part is Ellipsis for part in parts):
        parts = (*parts, Ellipsis)
    if used < ndim:  # the ellipsis stands for the last axis, unless something follows it
        last = next(part for part in reversed(parts) if part is not None)
        if last is Ellipsis:
            return None if parts[-1] is None else parts
    elif parts[-1] is Ellipsis:
        parts = parts[:-1]
    if not isinstance(parts[-1], slice):
        return None
    start, stop, step = parts[-1].indices(length)
    if step != 1 or start % block or (stop % block and stop != length) or start >= stop:
        return None
    return (*parts[:-1], slice(start // block, -(-stop // block)))


def check_layout(
    fmt: Format,
    bias: ArrayLike | None,
    shape: tuple[int, ...],
    axis: SupportsIndex | None = None,
    block: SupportsIndex | None = None,
) -> Biases:
    """Return the checked biases of an array of a shape; `cfloat.asarray` explains the arguments."""
    if axis is not None and block is not None:
        raise ArgumentValueError(
            "axis and block are both given; biases are one a slice or one a block"
        )
    values = fmt.check_biases(bias)
    if isinstance(values, int):
        # one bias for all slices or blocks is one bias
        if axis is not None:
            _check_axis(axis, len(shape))
        if block is not None:
            _check_block(block, shape)
        return Biases(values)
    if axis is not None:
        values = _along(values, _check_axis(axis, len(shape)), shape)
    elif block is not None:
        return _in_blocks(values, _check_block(block, shape), shape)
    if values.ndim > len(shape) or any(
        length not in (1, own) for length, own in zip(values.shape[::-1], shape[::-1], strict=False)
    ):
        raise ArgumentValueError(
            f"bias has shape {values.shape}, which does not broadcast to {shape}"
        )
    values = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    return _stored(values)


def _stored(values: NDArray[np.int16], block: int | None = None) -> Biases:
    # a copy, so that no caller's later change reaches a finished array
    if values.size == 1 and block is None:
        return Biases(int(values.reshape(-1)[0]))
    copied = np.array(values, np.int16)
    copied.flags.writeable = False
    return Biases(copied, block)


def _check_axis(axis: SupportsIndex, ndim: int) -> int:
    try:
        return normalize_axis_index(_integer("axis", axis), ndim)
    except np.exceptions.AxisError:
        allowed = f"an integer from {-ndim} to {ndim - 1}" if ndim else "none: x has no axes"
        raise ArgumentValueError(f"axis is {shown(axis)}; it takes {allowed}") from None


def _check_block(block: SupportsIndex, shape: tuple[int, ...]) -> int:
    checked = _integer("block", block)
    if checked < 1:
        raise ArgumentValueError(f"block is {checked}; it takes an integer from 1 on")
    if not shape:
        raise ArgumentValueError("block is given for an array of no axes")
    return checked


def _integer(name: str, value: SupportsIndex) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return value.__index__()
    except (AttributeError, TypeError):
        raise ArgumentTypeError(f"{name} is {shown(value)}; it takes an integer") from None


def _along(values: NDArray[np.int16], axis: int, shape: tuple[int, ...]) -> NDArray[np.int16]:
    if values.shape != (shape[axis],):
        raise ArgumentValueError(
            f"bias has shape {values.shape}; axis {axis} takes one for each slice, ({shape[axis]},)"
        )
    return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def _in_blocks(values: NDArray[np.int16], block: int, shape: tuple[int, ...]) -> Biases:
    count = -(-shape[-1] // block)
    wanted = (*shape[:-1], count)
    fits = values.ndim <= len(wanted) and all(
        length == own or (length == 1 and i > 0)
        for i, (length, own) in enumerate(zip(values.shape[::-1], wanted[::-1], strict=False))
    )
    if not fits or values.ndim == 0:
        raise ArgumentValueError(
            f"bias has shape {values.shape}; blocks of {block} take {wanted}, or one that broadcasts to it"
        )
    return _stored(values.reshape((1,) * (len(shape) - values.ndim) + values.shape), block)
