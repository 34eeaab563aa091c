"""Dask arrays of CFloat: conversion in chunks, with the results of one machine (extra ``dask``).

Importing this module registers `CFloatArray` as a type of Dask's chunks: ``dask.array.from_array`` takes one,
and Dask's functions do in each chunk what NumPy's do.  What moves elements keeps the format, and what
computes gives float32.

`encode`, `decode`, `round_to`, `asarray`, `choose_bias` and `error` are those of `cfloat` on Dask arrays.
Their results have the same bits, whatever the chunks, the scheduler and the number of workers.  In
stochastic rounding an element takes the random word of its position in the whole array (docs/spec.md 3.14).

Flags are counted and acted upon in the thread that computes.  With Dask's synchronous scheduler that is the
caller's, so that `cfloat.record_flags` and `cfloat.errstate` work as ever; for its threads there is
`record_flags` of this module.  Processes of a cluster know nothing of either.
"""

from cfloat.errors import MissingExtraError

try:
    import dask.array as _dask_array  # noqa: F401
except ImportError:
    raise MissingExtraError("cfloat.dask needs Dask: pip install 'cfloat[dask]'") from None

from ._arrays import asarray, decode, encode, round_to
from ._biases import choose_bias
from ._errors import error
from ._flags import record_flags
from ._registration import register

__all__ = [
    "asarray",
    "choose_bias",
    "decode",
    "encode",
    "error",
    "record_flags",
    "round_to",
]

register()

for _name in __all__:  # as users import it, and pickles name it
    globals()[_name].__module__ = __name__


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
