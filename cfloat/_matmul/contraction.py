"""Sums of products over any axes of two arrays, as one matrix product.

The axes of operands and result have labels, as in `numpy.einsum`: those that both operands have and the
result has not are summed over.
"""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from .matmul import matmul
from .operands import Operand

Labels = Sequence[Hashable]


def contract(
    a: Operand, b: Operand, a_labels: Labels, b_labels: Labels, labels: Labels, out: Any = None
) -> Any:
    """Compute the sums; None if no matrix product gives them.

    That is so if no axis, or one of a single operand, is summed over, if a label is there twice, if lengths
    differ (but those of 1 along axes that both operands and the result have), or if memory of `out` is not
    that of matrices; and it is a stack of products of two vectors, which are too small to be worth it.
    """
    kept, summed = set(labels), [label for label in a_labels if label not in labels]
    shared = set(a_labels) & set(b_labels)
    plain = all(len(set(part)) == len(part) for part in (a_labels, b_labels, labels))
    if not plain or not summed or kept | set(summed) != set(a_labels) | set(b_labels):
        return None
    batch = [label for label in labels if label in shared]
    rows = [label for label in labels if label not in b_labels]
    columns = [label for label in labels if label not in a_labels]
    if not set(summed) <= shared or (batch and not rows and not columns):
        return None
    if rows and columns and [*labels] == [*batch, *columns, *rows]:
        # the transposed product is in the order that is asked for
        return contract(b, a, b_labels, a_labels, labels, out)
    lengths = dict(zip(a_labels, a.shape, strict=True))
    for label, length in zip(b_labels, b.shape, strict=True):
        other = lengths.setdefault(label, length)
        if length != other and (label in summed or 1 not in (length, other)):
            return None
        lengths[label] = length if other == 1 else other
    if out is None:
        results: Any = np.empty([lengths[label] for label in (*batch, *rows, *columns)], np.float32)
    elif out.shape == tuple(lengths[label] for label in labels):
        results = out.transpose([labels.index(label) for label in (*batch, *rows, *columns)])
    else:
        return None
    matrices = results.reshape(
        *(lengths[label] for label in batch),
        *(math.prod(lengths[label] for label in part) for part in (rows, columns)),
    )
    if results.size and not np.may_share_memory(matrices, results):
        return None
    first = _arranged(a, a_labels, batch, rows, summed)
    second = _arranged(b, b_labels, batch, summed, columns)
    matmul(first, second, out=matrices)
    if out is not None:
        return out
    order = [*batch, *rows, *columns]
    return results.transpose([order.index(label) for label in labels]) if labels else results[()]


def _arranged(x: Operand, labels: Labels, batch: Labels, rows: Labels, columns: Labels) -> Operand:
    """Arrange an operand as a stack of matrices: without a copy where each part is one axis."""
    order = [labels.index(label) for label in (*batch, *rows, *columns)]
    moved = x if order == [*range(x.ndim)] else x.transpose(order)
    parts = (rows, columns)
    sizes = [math.prod(x.shape[labels.index(label)] for label in part) for part in parts]
    shape = (*moved.shape[: len(batch)], *sizes)
    return moved if shape == moved.shape else moved.reshape(shape)
