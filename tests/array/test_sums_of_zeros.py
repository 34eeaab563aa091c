"""Sums of nothing but −0 (docs/spec.md 5.12)."""

import itertools

import numpy as np
import pytest

import cfloat as cf

pytestmark = pytest.mark.quick

FORMATS = (cf.CFloat16_SHP, cf.bfloat16, cf.CFloat8_1_4_3)


@pytest.fixture(params=FORMATS, ids=lambda fmt: fmt.name)
def zeros(request):
    return cf.asarray(-np.zeros((3, 3)), request.param)


def signs(x):
    values = np.asarray(x)
    assert not values.any()
    return set(np.signbit(values).reshape(-1).tolist())


PRODUCTS = {
    "@": lambda a, b: a @ b,
    "vectors": lambda a, b: a[0] @ b[0],
    "dot": np.dot,
    "inner": np.inner,
    "tensordot": np.tensordot,
    "einsum": lambda a, b: np.einsum("ij,jk->ik", a, b),
    "einsum to one": lambda a, b: np.einsum("ij,ij->", a, b),
    "vdot": np.vdot,
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_begin_at_zero(zeros, matmul_isa, name):
    ones = cf.asarray(np.ones((3, 3)), zeros.format)
    assert signs(PRODUCTS[name](zeros, ones)) == {False}
    assert signs(PRODUCTS[name](np.asarray(zeros), np.asarray(ones))) == {False}  # NumPy's do, too
    assert signs(PRODUCTS[name](ones, zeros)) == {False}


@pytest.mark.parametrize("accumulate", ["float32", "exact", cf.CFloat16_SHP, cf.float8_e5m2])
def test_so_does_every_accumulator(zeros, isa, accumulate):
    ones = cf.asarray(np.ones((3, 3)), zeros.format)
    for a, b in itertools.permutations((zeros, ones)):
        assert signs(cf.matmul(a, b, accumulate=accumulate)) == {False}
        out = cf.asarray(-np.ones((3, 3)), cf.CFloat8_1_5_2)
        assert signs(cf.matmul(a, b, accumulate=accumulate, out=out)) == {False}
    assert signs(cf.matmul(zeros[:, :0], ones[:0], accumulate=accumulate)) == {False}


def test_a_sum_that_rounds_to_zero_keeps_its_sign(isa):
    a = cf.asarray([[2.0**-60, -(2.0**-59)]], cf.bfloat16)
    ones = cf.asarray(np.ones((2, 1)), cf.bfloat16)
    out = cf.zeros((1, 1), cf.CFloat8_1_4_3)
    for accumulate in ("float32", "exact"):
        assert signs(cf.matmul(a, ones, accumulate=accumulate, out=out)) == {True}


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize(
    "of", [np.sum, np.add.reduce, np.nansum, np.mean, np.cumsum, np.add.accumulate]
)
def test_sums_are_those_of_numpy(zeros, of, axis):
    if of == np.add.accumulate and axis is None:
        axis = 0
    found, expected = of(zeros, axis=axis), of(np.asarray(zeros), axis=axis)
    assert signs(found) == signs(expected)
    if of in (np.cumsum, np.add.accumulate):
        assert signs(found) == {True}


def test_two_zeros(zeros):
    # no sum begins here: IEEE 754, 6.3
    assert signs(zeros + zeros) == {True}
    assert signs(zeros - zeros) == {False}
    target = zeros.copy()
    target += zeros
    assert signs(target) == {True}
