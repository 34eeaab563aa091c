"""NumPy's functions on `CFloatArray` (NEP 18), by what they do; each module registers its own."""

from . import (
    computing,
    dispatch,
    joining,
    making,
    moving,
    padding,
    refusing,
    selecting,
    sorting,
    splitting,
    writing,
)

__all__ = [
    "computing",
    "dispatch",
    "joining",
    "making",
    "moving",
    "padding",
    "refusing",
    "selecting",
    "sorting",
    "splitting",
    "writing",
]
