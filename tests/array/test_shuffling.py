"""What shuffling and swapping do, which exchange elements through views (the Notes of `CFloatArray`)."""

import random

import numpy as np
import pytest

import cfloat as cf

X = np.arange(12, dtype=np.float32).reshape(6, 2)
ARRAYS = [
    cf.asarray(X, cf.CFloat16_SHP),
    cf.asarray(X, cf.CFloat16_SHP, [3, 9, 15, 20, 21, 12], axis=0),
]

each_array = pytest.mark.parametrize("a", ARRAYS, ids=["one bias", "a bias a row"])
shuffles = pytest.mark.parametrize(
    "shuffle",
    [np.random.default_rng(0).shuffle, np.random.RandomState(0).shuffle, random.Random(0).shuffle],
    ids=["Generator", "RandomState", "random"],
)


@each_array
def test_the_way_to_shuffle_rows(a):
    """Every row is there once, with its own bias."""
    order = np.random.default_rng(0).permutation(len(a))
    shuffled = a[order]
    assert shuffled.format == a.format
    np.testing.assert_array_equal(shuffled, X[order])
    np.testing.assert_array_equal(np.random.default_rng(0).permutation(a), X[order])


def test_the_way_to_exchange_rows():
    a = ARRAYS[0].copy()
    a[[0, 4]] = a[[4, 0]]
    np.testing.assert_array_equal(a, X[[4, 1, 2, 3, 0, 5]])


def test_exchanging_through_views_is_an_ndarrays():
    a, x = ARRAYS[0].copy(), X.copy()
    a[0], a[4] = a[4], a[0]
    x[0], x[4] = x[4], x[0]
    np.testing.assert_array_equal(a, x)
    assert (a[0] == a[4]).all()


@shuffles
@pytest.mark.filterwarnings("ignore:.*you are shuffling a 'CFloatArray':UserWarning")
def test_one_axis_is_shuffled_rightly(shuffle):
    a = ARRAYS[0][:, 0].copy()
    shuffle(a)
    assert sorted(a.tolist()) == X[:, 0].tolist()


@pytest.mark.parametrize(
    "shuffle", [np.random.default_rng(0).shuffle, np.random.RandomState(0).shuffle]
)
def test_numpy_warns_before_it_loses_rows(shuffle):
    """If NumPy comes to do right by rows, the Notes of CFloatArray are to say so."""
    a = ARRAYS[0].copy()
    with pytest.warns(UserWarning, match="you are shuffling a 'CFloatArray'.*not guaranteed"):
        shuffle(a)
    assert len({tuple(row) for row in a.tolist()}) < len(a)
    a = ARRAYS[0].copy()
    with pytest.raises(UserWarning, match="you are shuffling a 'CFloatArray'"):
        shuffle(a)  # the tests make errors of warnings
    np.testing.assert_array_equal(a, X)


def test_pythons_shuffle_loses_rows_as_of_an_ndarray():
    a, x = ARRAYS[0].copy(), X.copy()
    random.Random(0).shuffle(a)
    random.Random(0).shuffle(x)
    np.testing.assert_array_equal(a, x)
    assert len({tuple(row) for row in a.tolist()}) < len(a)
