"""Results have the memory order of what they are made of, as NumPy's have."""

import itertools

import numpy as np
import pytest

import cfloat as cf

FMT = cf.CFloat8_1_4_3
RNG = np.random.default_rng(3)
X = RNG.standard_normal((6, 5, 4, 3), np.float32)


def permuted(x, axes):
    """Give values of the same elements, in the memory order of some axes."""
    return np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))


def biases_of(kind):
    shape = {"one": (), "first": (6, 1, 1, 1), "last": (3,), "two": (5, 1, 3), "all": X.shape}[kind]
    return RNG.integers(5, 10, shape)


@pytest.mark.parametrize("rounding", ["ties_to_even", "toward_zero", "stochastic"])
@pytest.mark.parametrize("kind", ["one", "first", "last", "two", "all"])
def test_any_permutation_of_axes_is_kept(kind, rounding, isa):
    how = {"rounding": rounding} | ({"seed": 7} if rounding == "stochastic" else {})
    biases = biases_of(kind)
    codes, rounded = cf.encode(X, FMT, biases, **how), cf.round_to(X, FMT, biases, **how)
    values = cf.decode(codes, FMT, biases)
    for axes in itertools.permutations(range(4)):
        x = permuted(X, axes)
        for dtype in ("f4", ">f4", "f8"):
            found = cf.encode(x.astype(dtype, order="K"), FMT, biases, **how)
            if dtype != "f8" or rounding != "stochastic":
                np.testing.assert_array_equal(found, codes)
            assert found.strides == tuple(step // 4 for step in x.strides)
        np.testing.assert_array_equal(cf.round_to(x, FMT, biases, **how), rounded)
        assert cf.round_to(x, FMT, biases, **how).strides == x.strides
        found = cf.decode(permuted(codes, axes), FMT, biases)
        np.testing.assert_array_equal(found, values)
        assert found.strides == x.strides
        made = cf.asarray(x, FMT, biases)
        assert made.codes.strides == permuted(codes, axes).strides
        np.testing.assert_array_equal(np.asarray(made), cf.decode(made.codes, FMT, biases))
        out = np.empty_like(codes)
        assert cf.encode(x, FMT, biases, out=out, **how) is out
        np.testing.assert_array_equal(out, codes)


@pytest.mark.parametrize(("axis", "block"), [(0, 4), (3, 2), (1, 5), ((0, 1), 3), ((1, 2, 3), 6)])
def test_blocks_of_any_order_too(axis, block):
    first = cf.asarray(X, FMT, "mse", axis=axis, block=block)
    for axes in itertools.permutations(range(4)):
        made = cf.asarray(permuted(X, axes), FMT, "mse", axis=axis, block=block)
        np.testing.assert_array_equal(made.codes, first.codes)
        np.testing.assert_array_equal(made.bias, first.bias)
        assert made.codes.strides == permuted(first.codes, axes).strides
        np.testing.assert_array_equal(np.asarray(made), np.asarray(first))
        assert np.asarray(made).strides == permuted(X, axes).strides


def test_large_transposed_arrays_on_threads():
    x, threads = RNG.standard_normal((700, 900), np.float32), cf.get_num_threads()
    row = RNG.integers(5, 10, (700, 1))
    try:
        for count in (1, 3):
            cf.set_num_threads(count)
            for biases in (7, row):
                codes = cf.encode(x, FMT, biases)
                found = cf.encode(np.asfortranarray(x), FMT, biases)
                assert found.flags.f_contiguous
                np.testing.assert_array_equal(found, codes)
                np.testing.assert_array_equal(
                    cf.decode(found, FMT, biases), cf.decode(codes, FMT, biases)
                )
    finally:
        cf.set_num_threads(threads)


def test_parts_and_broadcasts():
    # what is spread out in memory becomes dense, in its order; what is broadcast is in C order
    wide = np.asfortranarray(RNG.standard_normal((8, 6)).astype(np.float32))
    found = cf.encode(wide[::2, ::-1], FMT)
    assert found.strides == (1, 4)
    np.testing.assert_array_equal(found, cf.encode(wide[::2, ::-1].copy("C"), FMT))
    assert cf.encode(wide, FMT, np.full((2, 1, 1), 7)).flags.c_contiguous
    assert cf.encode(np.ma.masked_array(wide), FMT).flags.f_contiguous
    assert type(cf.encode(wide.view(np.memmap), FMT)) is np.ndarray
    assert cf.encode(np.asfortranarray(np.empty((0, 3))), FMT).shape == (0, 3)


def test_flags_are_counted_in_fortran_order():
    x = np.asfortranarray(np.float32([[1, 1e9], [np.nan, 1e-9], [2, 3]]))
    with cf.record_flags() as flags:
        cf.encode(x, FMT)
    assert (flags.overflow, flags.invalid, flags.underflow) == (1, 1, 1)
