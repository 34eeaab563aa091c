"""Cutting tensors into pieces: what is worked on at a time."""

from collections.abc import Iterator
from math import prod
from typing import Final, NamedTuple

#: Elements of a piece at most: values of 16 bits and their codes are in a cache from the time they are
#: read until they are written, and there are enough of them for what Python does in between not to matter.
PIECE_SIZE: Final = 1 << 20


class Piece(NamedTuple):
    """A part of an array of three axes, consecutive in memory, that is worked on at a time."""

    start: int  # its first element, in row-major order
    shape: tuple[int, int, int]
    slices: slice  # along the middle axis
    inner: int  # where it starts along the last axis

    @property
    def stop(self) -> int:
        """The element after its last one."""
        return self.start + prod(self.shape)


def cut(outer: int, slices: int, inner: int, step: int = 1, band: int = 1) -> Iterator[Piece]:
    """Cut an array of three axes into pieces.

    The last axis is cut at multiples of `step`, the middle one at those of `band`; where `band` is above 1,
    the last is not cut, and a piece may be larger than others are.
    """
    plane = slices * inner
    if plane == 0 or outer == 0:
        return
    if plane <= PIECE_SIZE:
        group = PIECE_SIZE // plane
        for o in range(0, outer, group):
            shape = (min(group, outer - o), slices, inner)
            yield Piece(o * plane, shape, slice(0, slices), 0)
    elif inner <= PIECE_SIZE or band > 1:
        group = max(PIECE_SIZE // inner // band, 1) * band
        for o in range(outer):
            for s in range(0, slices, group):
                shape = (1, min(group, slices - s), inner)
                yield Piece(o * plane + s * inner, shape, slice(s, s + shape[1]), 0)
    else:
        length = max(PIECE_SIZE // step, 1) * step
        for row in range(outer * slices):
            s = row % slices
            for i in range(0, inner, length):
                shape = (1, 1, min(length, inner - i))
                yield Piece(row * inner + i, shape, slice(s, s + 1), i)
