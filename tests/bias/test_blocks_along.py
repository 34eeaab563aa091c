"""Blocks of biases along any axis, or along several that count as one: made, chosen, moved and joined."""

import copy
import pickle
import sys

import numpy as np
import pytest
from arrays import by_element, full_biases
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cfloat as cf
from cfloat._bias.join import join
from cfloat._bias.reduction import as_matrix, reduction_axes
from cfloat._core.rounding import Positions

FMT = cf.CFloat8_1_4_3


@st.composite
def layouts(draw, min_side=0, max_side=7):
    """Draw a shape, and what blocks of it run along."""
    shape = draw(hnp.array_shapes(max_dims=4, min_side=min_side, max_side=max_side))
    first = draw(st.integers(0, len(shape) - 1))
    last = draw(st.integers(first, len(shape) - 1))
    block = draw(st.integers(1, 40))
    return shape, tuple(range(first, last + 1)), block


def counts_of(shape, axes, block):
    row = int(np.prod([shape[axis] for axis in axes]))
    return (*shape[: axes[0]], -(-row // block), *shape[axes[-1] + 1 :])


def values_of(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * np.exp2(rng.integers(-9, 10, shape))).astype(np.float32)


@given(layouts(), st.sampled_from(["max", "mse", "percentile"]), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_bias_is_chosen_by_the_elements_of_its_block(layout, method, seed):
    shape, axes, block = layout
    x = values_of(shape, seed)
    found = cf.choose_bias(x, FMT, method, axis=axes, block=block, percentile=80)
    counts = counts_of(shape, axes, min(block, max(1, as_matrix(x, axes).shape[1])))
    assert found.shape == counts
    assert found.dtype == np.int16
    # which block an element is in
    numbers = by_element(np.arange(found.size).reshape(counts), shape, block, axes)
    for number, bias in enumerate(found.reshape(-1)):
        # padded as all blocks of a row are, if they are: errors are added up in that order
        own = x[numbers == number].reshape(1, -1)
        assert bias == cf.choose_bias(own, FMT, method, axis=0, percentile=80)[0]
    # the biases are taken by asarray as they are, and by name
    made = cf.asarray(x, FMT, found, axis=axes, block=block)
    named = cf.asarray(
        x, FMT, cf.choose_bias(x, FMT, "mse", axis=axes, block=block), axis=axes, block=block
    )
    np.testing.assert_array_equal(full_biases(made), by_element(found, shape, block, axes))
    np.testing.assert_array_equal(
        cf.asarray(x, FMT, "mse", axis=axes, block=block).bias, named.bias
    )


@given(layouts(), st.integers(0, 2**32), st.sampled_from(["C", "F", "reversed"]))
def test_codes_and_values_are_those_of_one_bias_an_element(layout, seed, memory):
    shape, axes, block = layout
    rng = np.random.default_rng(seed)
    x = values_of(shape, seed)
    bias = rng.integers(0, 20, counts_of(shape, axes, block))
    full = by_element(bias, shape, block, axes)
    a = cf.asarray(x, FMT, bias, axis=axes, block=block)
    np.testing.assert_array_equal(a.codes, cf.encode(x, FMT, full))
    np.testing.assert_array_equal(np.asarray(a), cf.decode(a.codes, FMT, full))
    codes = a.codes
    if memory == "F":
        codes = np.asfortranarray(codes)
    elif memory == "reversed":
        codes = codes[::-1].copy()[::-1]
    b = cf.CFloatArray(codes, FMT, bias, axis=axes, block=block)
    np.testing.assert_array_equal(np.asarray(b), cf.decode(a.codes, FMT, full))
    # rounded in place, whatever the memory
    b[...] = x * 2
    np.testing.assert_array_equal(b.codes, cf.encode(x * 2, FMT, full))
    how = {"rounding": "stochastic", "seed": 3}
    made = cf.asarray(x, FMT, bias, axis=axes, block=block, **how)
    np.testing.assert_array_equal(made.codes, cf.encode(x, FMT, full, **how))


@given(layouts(min_side=1, max_side=5), st.data())
def test_what_keeps_the_layout(layout, data):
    shape, axes, block = layout
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    bias = rng.integers(0, 20, counts_of(shape, axes, block))
    a = cf.asarray(values_of(shape), FMT, bias, axis=axes, block=block)
    for made in (pickle.loads(pickle.dumps(a)), a.copy(), copy.deepcopy(a), np.copy(a, subok=True)):
        assert (made.axis, made.block) == (a.axis, a.block)
        np.testing.assert_array_equal(made.bias, a.bias)
        np.testing.assert_array_equal(np.asarray(made), np.asarray(a))
    assert cf.asarray(a, FMT, bias, axis=axes, block=block) is a
    # whole rows
    key = tuple(
        slice(None)
        if axis in axes
        else data.draw(st.sampled_from([0, slice(0, 2), slice(None, None, -1)]))
        for axis in range(len(shape))
    )
    part = a[key]
    np.testing.assert_array_equal(full_biases(part), full_biases(a)[key])
    if not isinstance(part.bias, int):
        assert part.block == a.block
    turned = a.transpose()
    np.testing.assert_array_equal(full_biases(turned), full_biases(a).transpose())
    np.testing.assert_array_equal(full_biases(turned.transpose()), full_biases(a))


ALL = slice(None)
KEYS = [
    (ALL, slice(1, None)), (ALL, ALL, slice(0, 1)), (ALL, slice(None, None, -1)), (ALL, slice(0, 3, 2)),
    (slice(1, 2),), (0,), (..., 1), (ALL, None, 1), (None, ALL), (ALL, None),
    (ALL, ALL, None), ([1, 0],), (ALL, [1, 0]),
    (np.array([True, False]),), (1, ALL, slice(0, 2)), (..., slice(0, 0)), (0, 1, 1, 1), (..., None),
]  # fmt: skip


@pytest.mark.parametrize(
    "axes", [(0,), (1,), (2,), (0, 1), (1, 2), (2, 3), (1, 2, 3), (0, 1, 2, 3)]
)
@pytest.mark.parametrize("block", [2, 3, 100])
def test_parts(axes, block):
    shape = (2, 3, 2, 4)
    bias = np.random.default_rng(0).integers(0, 20, counts_of(shape, axes, block))
    a = cf.asarray(values_of(shape), FMT, bias, axis=axes, block=block)
    for key in KEYS:
        part = a[key]
        np.testing.assert_array_equal(np.asarray(part), np.asarray(a)[key], str(key))
        if isinstance(part, cf.CFloatArray):
            np.testing.assert_array_equal(full_biases(part), full_biases(a)[key], str(key))


@pytest.mark.parametrize(
    ("shape", "axes", "order"),
    [((1, 1, 7), (0, 1), (1, 0, 2)), ((1, 1, 3, 2), (0, 1), (0, 2, 1, 3))],
)
def test_axes_of_one_element_that_are_no_longer_one(shape, axes, order):
    x = np.arange(float(np.prod(shape))).reshape(shape)
    a = cf.asarray(x, FMT, np.full((1,) * (len(shape) - 1), 5), axis=axes, block=1)
    moved = a.transpose(order)
    assert (moved.bias, moved.axis, moved.block) == (5, None, None)
    np.testing.assert_array_equal(moved.reshape(-1), x.transpose(order).reshape(-1))


def test_what_an_array_says_of_its_layout():
    w = values_of((8, 4, 3, 3))
    a = cf.asarray(w, FMT, "max", axis=(1, 2, 3), block=32)
    assert (a.axis, a.block, a.bias.shape) == ((1, 2, 3), 32, (8, 2))
    assert repr(a).endswith("axis=(1, 2, 3), block=32)")
    small = cf.asarray(np.ones((3, 2)), FMT, [[7, 8], [9, 10]], axis=0, block=2)
    assert repr(small).endswith("bias=[[7, 8], [9, 10]], axis=0, block=2)")
    # the last axis by another name is the layout that block alone gives
    for axis in (-1, 3, (3,), (-1,), np.int64(3)):
        last = cf.asarray(w, FMT, "max", axis=axis, block=2)
        assert (last.axis, last.block) == (None, 2)
        assert repr(last) == repr(cf.asarray(w, FMT, "max", block=2))
    assert cf.asarray(w, FMT, "max", axis=(-3, -2, -1), block=32).axis == (1, 2, 3)
    # a block is no longer than what it runs along
    long = cf.asarray(w, FMT, "max", axis=(2, 3), block=10**30)
    assert (long.block, long.bias.shape) == (9, (8, 4, 1))
    # one bias is one bias
    one = cf.asarray(w, FMT, 7, axis=(1, 2, 3), block=32)
    assert (one.bias, one.axis, one.block) == (7, None, None)


def test_there_is_one_bias_a_block_in_memory():
    x = np.ones((64, 16, 3, 3), np.float32)
    a = cf.asarray(x, FMT, np.full((64, 5), 9), axis=(1, 2, 3), block=32)
    plain = cf.asarray(x, FMT, 7)
    for made in (
        a,
        a[:32],
        a.transpose(1, 2, 3, 0),
        a.reshape(64, 144),
        a.reshape(8, 8, 144),
        a.copy(),
    ):
        np.asarray(made)
        assert made.block == 32
        assert np.asarray(made.bias).size <= 320
        assert sys.getsizeof(made) - sys.getsizeof(plain) <= 2 * 320 + 64


def test_a_matrix_by_its_other_axis_is_the_transposed_one():
    x = values_of((70, 9))
    a = cf.asarray(x, FMT, "mse", axis=0, block=32)
    b = cf.asarray(x.T, FMT, "mse", block=32).T
    assert (a.axis, a.block, a.bias.shape) == (b.axis, b.block, b.bias.shape) == (0, 32, (3, 9))
    np.testing.assert_array_equal(a.bias, b.bias)
    np.testing.assert_array_equal(a.codes, b.codes)
    assert cf.asarray(b, FMT, a.bias, axis=0, block=32) is b
    assert (a.T.axis, a.T.block) == (None, 32)


def test_figures_of_a_convolution_are_those_of_its_matrix():
    """The same elements share a bias, and so errors are the same to the last bit."""
    w = values_of((24, 7, 3, 3))
    axes = reduction_axes(w.ndim)
    assert axes == (1, 2, 3)
    conv = cf.asarray(w, FMT, "mse", axis=axes, block=32)
    matrix = cf.asarray(as_matrix(w, axes), FMT, "mse", block=32)
    assert cf.error(w, conv) == cf.error(as_matrix(w, axes), matrix)
    assert cf.error(w, conv) != cf.error(w, cf.asarray(w, FMT, "mse", block=32))
    assert conv.reshape(24, -1).axis is None
    np.testing.assert_array_equal(conv.reshape(24, -1).bias, matrix.bias)


@given(layouts(min_side=1, max_side=5), st.data())
def test_joined_arrays(layout, data):
    shape, axes, block = layout
    axis = data.draw(st.integers(0, len(shape) - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    parts = []
    for _ in range(data.draw(st.integers(1, 3))):
        own = tuple(data.draw(st.integers(1, 5)) if i == axis else n for i, n in enumerate(shape))
        kind = data.draw(st.sampled_from(["along", "one", "slices", "last", "full"]))
        codes = rng.integers(0, 256, own).astype(np.uint8)
        how = {}
        bias = rng.integers(0, 20)
        if kind == "along":
            how = {"axis": axes, "block": block}
            bias = rng.integers(0, 20, counts_of(own, axes, block))
        elif kind == "last":
            how = {"block": 2}
            bias = rng.integers(0, 20, counts_of(own, (len(own) - 1,), 2))
        elif kind == "slices":
            how = {"axis": 0}
            bias = rng.integers(0, 20, own[0])
        elif kind == "full":
            bias = rng.integers(0, 20, own)
        parts.append(cf.CFloatArray(codes, FMT, bias, **how))
    joined = join([a._biases for a in parts], [a.shape for a in parts], axis)
    whole = np.concatenate([full_biases(a) for a in parts], axis)
    np.testing.assert_array_equal(joined.full(whole.shape), whole)


def test_joined_convolutions_keep_their_blocks():
    a = cf.asarray(values_of((4, 8, 3, 3)), FMT, "mse", axis=(1, 2, 3), block=36)
    rows = join([a._biases, a._biases], [a.shape, a.shape], 0)
    assert (rows.axis, rows.block, rows.values.shape) == ((1, 2, 3), 36, (8, 2))
    inner = join([a._biases, a._biases], [a.shape, a.shape], 1)  # 72 elements more, in whole blocks
    assert (inner.axis, inner.block, inner.values.shape) == ((1, 2, 3), 36, (4, 4))
    assert join([a._biases, a._biases], [a.shape, a.shape], 3).block is None


@given(layouts(min_side=1, max_side=6), st.integers(0, 2**32))
@settings(deadline=None)
def test_products(layout, seed):
    shape, axes, block = layout
    rng = np.random.default_rng(seed)
    bias = rng.integers(5, 9, counts_of(shape, axes, block))
    a = cf.asarray(rng.integers(-3, 4, shape), FMT, bias, axis=axes, block=block)
    # small integers, so that sums are exact
    wanted = rng.integers(-3, 4, (shape[-1], 3)).astype(np.float32)
    np.testing.assert_array_equal(a @ wanted, np.asarray(a) @ wanted)
    np.testing.assert_array_equal(cf.matmul(a, wanted), np.asarray(a) @ wanted)
    left = rng.integers(-3, 4, (2, shape[-2] if len(shape) > 1 else shape[0])).astype(np.float32)
    np.testing.assert_array_equal(left @ a, left @ np.asarray(a))
    out = cf.zeros((*shape[:-1], 3), FMT, 9)
    cf.matmul(a, wanted, out=out)
    np.testing.assert_array_equal(out.codes, cf.encode(np.asarray(a) @ wanted, FMT, 9))


def test_products_into_blocks_along_another_axis():
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (70, 5)).astype("f4"), rng.integers(-3, 4, (5, 9)).astype("f4")
    out = cf.zeros((70, 9), FMT, rng.integers(5, 9, (3, 9)), axis=0, block=32)
    cf.matmul(cf.asarray(a, FMT), b, out=out)
    np.testing.assert_array_equal(out.codes, cf.encode(a @ b, FMT, full_biases(out)))


def test_products_into_memory_that_is_not_in_order():
    """Codes whose axes are not one in memory are written where they are, and not into a copy."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-3, 4, (6, 5)).astype("f4"), rng.integers(-3, 4, (5, 8)).astype("f4")
    for codes in (np.zeros((8, 6), np.uint8).T, np.zeros((6, 16), np.uint8)[:, ::2]):
        out = cf.CFloatArray(codes, FMT, rng.integers(5, 9, 4), axis=(0, 1), block=12)
        cf.matmul(cf.asarray(a, FMT), b, out=out)
        np.testing.assert_array_equal(codes, cf.encode(a @ b, FMT, full_biases(out)))


def test_random_words_of_a_part_of_a_whole():
    whole = values_of((4, 6, 5))
    x, how = whole[1:3, :4], {"rounding": "stochastic", "seed": 3}
    every = cf.encode(whole, FMT, 8, **how)
    for axes, counts in (((1, 2), (2, 2)), ((0, 1), (1, 5)), ((2,), (2, 4, 1))):
        bias = np.full(counts, 8)
        first = Positions.within(whole.shape, 6 * 5)
        made = cf.asarray(x, FMT, bias, axis=axes, block=10, offset=first, **how)
        np.testing.assert_array_equal(made.codes, every[1:3, :4])


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"axis": (2, 1)}, ValueError, r"axis is \(2, 1\); with block it takes one, or several that are adj"),
        ({"axis": (0, 2)}, ValueError, r"axis is \(0, 2\); with block it takes"),
        ({"axis": (1, 1)}, ValueError, r"axis is \(1, 1\); with block it takes"),
        ({"axis": (1, -2)}, ValueError, r"axis is \(1, -2\); with block it takes"),
        ({"axis": ()}, ValueError, r"axis is \(\); with block it takes"),
        ({"axis": (1, 3)}, ValueError, "axis is 3; it takes an integer from -3 to 2"),
        ({"axis": 3}, ValueError, "axis is 3; it takes an integer from -3 to 2"),
        ({"axis": [1, 2]}, TypeError, r"axis is \[1, 2\]; with block it takes an integer, or a tuple of"),
        ({"axis": (1, True)}, TypeError, r"axis is \(1, True\); with block it takes an integer, or a tup"),
        ({"axis": (1, 2), "block": 0}, ValueError, "block is 0; it takes an integer from 1 on"),
        ({"axis": (1, 2), "block": 1.0}, TypeError, "block is 1.0; it takes an integer"),
        ({"axis": (1, 2), "bias": np.ones((2, 4), int)}, ValueError,
         r"bias has shape \(2, 4\); blocks of 5 along 1-2 take \(2, 3\), or one that broadcasts to it"),
        ({"axis": 0, "bias": np.ones((2, 3, 4), int)}, ValueError,
         r"bias has shape \(2, 3, 4\); blocks of 2 along 0 take \(1, 3, 4\)"),
        ({"axis": (1, 2), "bias": 64}, ValueError, "bias is 64"),
    ],
)  # fmt: skip
def test_what_is_refused(how, error, words):
    how = {"bias": "max", "block": 5} | how
    for make in (cf.asarray, cf.array):
        with pytest.raises(error, match=words) as caught:
            make(np.ones((2, 3, 4)), FMT, **how)
        assert "\n" not in str(caught.value)
    if isinstance(how["bias"], str):
        with pytest.raises(error, match=words):
            cf.choose_bias(np.ones((2, 3, 4)), FMT, axis=how["axis"], block=how["block"])


def test_scalars_and_empty_arrays():
    for axis in (0, (0,), None):
        with pytest.raises(ValueError, match="block is given for an array of no axes"):
            cf.asarray(1.0, FMT, "max", axis=axis, block=2)
    for shape, axes, counts in (((0, 3), (0,), (0, 3)), ((3, 0), (0,), (1, 0)), ((0, 3), (0, 1), (0,)),
                                ((2, 0, 3), (1, 2), (2, 0)), ((2, 3, 0), (0, 1), (1, 0))):  # fmt: skip
        a = cf.asarray(np.ones(shape), FMT, "mse", axis=axes, block=32)
        assert a.bias.shape == counts, shape
        assert np.asarray(a).shape == shape
        assert a.T.shape == shape[::-1]


def test_a_pickle_that_an_earlier_version_takes_for_something_else_is_none():
    """Arrays without such blocks are pickled as ever; with them, there is one more part than was taken."""
    x = np.ones((4, 6))
    for a in (
        cf.asarray(x, FMT),
        cf.asarray(x, FMT, "max", axis=0),
        cf.asarray(x, FMT, "max", block=4),
    ):
        assert len(a.__reduce__()[1]) == 4
    parts = cf.asarray(x, FMT, [[7] * 6] * 2, axis=0, block=2).__reduce__()[1]
    assert parts[3:] == (2, None, 0)
