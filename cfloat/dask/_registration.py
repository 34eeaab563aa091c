"""`CFloatArray` as a type of Dask's chunks."""

import copyreg
import sys
from typing import Any

import dask.array as da
import numpy as np
from dask.array.dispatch import concatenate_lookup, percentile_lookup
from dask.base import normalize_token
from dask.sizeof import sizeof

import cfloat._matmul  # noqa: F401 - products of chunks, which it registers
from cfloat._array.array import CFloatArray

from . import _on_workers


def _percentile(a: CFloatArray, q: Any, method: str = "linear") -> Any:
    """Compute percentiles of a chunk's values."""
    return percentile_lookup.dispatch(np.ndarray)(np.asarray(a), q, method)


def _size_in_memory(a: CFloatArray) -> int:
    """Count the bytes of codes and biases."""
    return a.nbytes + np.asarray(a.bias).nbytes


def _token(a: CFloatArray) -> Any:
    """Give what tells one array from another."""
    return normalize_token((CFloatArray.__name__, a.format, a.codes, a.bias, a.block, a.axis))


def _reduced(a: CFloatArray) -> tuple[Any, ...]:
    """Pickle an array: on a worker that reads it, it is to be a chunk like any other.

    Where there is no cluster, and nobody but Dask asks for this package, a pickle does not either.
    """
    restore, parts = a.__reduce__()
    if "distributed" not in sys.modules:
        return restore, parts
    # behind the four that every array has, where an array says that it has none
    return restore, (*parts[:4], __package__, *parts[5:])


def register() -> None:
    """Make CFloatArrays chunks like any other."""
    da.register_chunk_type(CFloatArray)
    concatenate_lookup.register(CFloatArray, _on_workers.concatenate)
    percentile_lookup.register(CFloatArray, _percentile)
    sizeof.register(CFloatArray, _size_in_memory)
    normalize_token.register(CFloatArray, _token)
    copyreg.pickle(CFloatArray, _reduced)
