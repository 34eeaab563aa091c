"""Stacks of matrices times one matrix: one product, where memory allows."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfloat._core import binding

Array = NDArray[Any]


Results = NDArray[np.float32] | NDArray[np.float64]


def as_one(
    a: binding.Matrices, b: binding.Matrices, results: Results
) -> tuple[binding.Matrices, binding.Matrices, Results]:
    """Describe the products of a stack with one matrix as one product, if that takes no copy."""
    if a.elements.ndim == 2:
        return a, b, results
    *stack, rows, inner = a.elements.shape
    of_b = math.prod(b.elements.shape[:-2])
    if math.prod(stack) == 1 or of_b != 1 or results.shape[:-2] != tuple(stack):
        return a, b, results
    height = math.prod(stack) * rows
    if not (_rows_are_one_axis(a.elements) and _rows_are_one_axis(results)):
        return a, b, results
    elements = a.elements.reshape(height, inner)
    flat_results = results.reshape(height, results.shape[-1])
    biases = a.biases
    if isinstance(biases, np.ndarray):
        if biases.shape[:-1] not in ((1,) * (len(stack) + 1), (*stack, rows)):
            return a, b, results
        biases = biases.reshape(math.prod(biases.shape[:-1]), biases.shape[-1])
    flat_a = a._replace(elements=elements, biases=biases)
    flat_b = b._replace(
        elements=b.elements.reshape(b.elements.shape[-2:]),
        biases=b.biases.reshape(b.biases.shape[-2:])
        if isinstance(b.biases, np.ndarray)
        else b.biases,
    )
    return flat_a, flat_b, flat_results


def _rows_are_one_axis(x: Array) -> bool:
    """Whether all axes but the last can become one without a copy."""
    lengths = [(n, step) for n, step in zip(x.shape[:-1], x.strides[:-1], strict=True) if n != 1]
    inner = lengths[1:]
    return all(step == n * below for (_, step), (n, below) in zip(lengths, inner, strict=False))
