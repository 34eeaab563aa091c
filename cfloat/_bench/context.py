"""What the rows of all sections are made by: sizes, threads, and the packages to compare with."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any


@dataclass(frozen=True)
class Context:
    """What is asked for.

    Attributes
    ----------
    sizes : tuple of int
        Numbers of elements, of the sections that have no others of their own.
    limit : int or None
        The most elements that an array of any other section has.
    threads : int
        How many threads share a conversion or a product.
    peers : mapping of str to module
        The other packages to time, by name.
    """

    sizes: tuple[int, ...]
    limit: int | None
    threads: int
    peers: Mapping[str, Any]

    def within(self, *shape: int) -> tuple[int, ...]:
        """Halve the longest axis of a shape until it has no more elements than are allowed."""
        sides = list(shape)
        while self.limit is not None and prod(sides) > self.limit:
            longest = sides.index(max(sides))
            sides[longest] = max(1, sides[longest] // 2)
        return tuple(sides)
