"""Along what a weight's products add up, and a weight as a matrix of that."""

import numpy as np
import pytest

from cfloat._bias.reduction import as_matrix, reduction_axes


@pytest.mark.parametrize(
    ("ndim", "axes", "transposed"),
    [
        (0, (), ()),
        (1, (0,), (0,)),
        (2, (1,), (0,)),
        (3, (1, 2), (0, 1)),
        (4, (1, 2, 3), (0, 1, 2)),
        (5, (1, 2, 3, 4), (0, 1, 2, 3)),
    ],
)
def test_reduction_axes(ndim, axes, transposed):
    assert reduction_axes(ndim) == axes
    assert reduction_axes(ndim, transposed=True) == transposed


def test_reduction_is_what_a_product_sums_over():
    """The rows of the matrix times a flattened input are the outputs."""
    rng = np.random.default_rng(0)
    conv, x = rng.standard_normal((5, 3, 2, 4)), rng.standard_normal((3, 2, 4))
    matrix = as_matrix(conv, reduction_axes(4))
    assert np.allclose(matrix @ x.reshape(-1), np.einsum("oikl,ikl->o", conv, x))
    conv1d, y = rng.standard_normal((6, 7)), rng.standard_normal(6)
    matrix = as_matrix(conv1d, reduction_axes(2, transposed=True))
    assert np.allclose(matrix @ y, y @ conv1d)


@pytest.mark.parametrize(
    ("shape", "axes", "wanted"),
    [
        ((), (), (1, 1)),
        ((5,), (0,), (1, 5)),
        ((4, 3), (1,), (4, 3)),
        ((4, 3), (0,), (3, 4)),
        ((4, 3, 2), (1, 2), (4, 6)),
        ((4, 3, 2, 5), (1, 2), (20, 6)),
        ((0, 3, 2), (1, 2), (0, 6)),
        ((3, 0, 2), (1, 2), (3, 0)),
        ((3, 2, 0), (1,), (0, 2)),
    ],
)
def test_as_matrix(shape, axes, wanted):
    x = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    matrix = as_matrix(x, axes)
    assert matrix.shape == wanted
    others = [axis for axis in range(x.ndim) if axis not in axes]
    for place in np.ndindex(*shape):
        row = _place([place[axis] for axis in others], [shape[axis] for axis in others])
        column = _place([place[axis] for axis in axes], [shape[axis] for axis in axes])
        assert matrix[row, column] == x[place]


def _place(place, lengths):
    """Number a place in row-major order; of no axes, 0."""
    return int(np.ravel_multi_index(place, lengths)) if lengths else 0


def test_as_matrix_is_a_view_of_a_convolution():
    x = np.zeros((8, 3, 2, 2), np.float32)
    assert np.may_share_memory(as_matrix(x, (1, 2, 3)), x)
    assert np.may_share_memory(as_matrix(x[0, 0], (0,)), x)
