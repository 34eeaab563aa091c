"""Arrays of formats that have no zero, or no -0."""

import exact
import numpy as np
import pytest

import cfloat as cf

KINDS = {fmt.name: fmt for fmt in exact.NEW_KINDS}
E8M0, FNUZ = KINDS["e8m0fnu"], KINDS["e4m3fnuz"]


def test_zeros_are_refused_where_there_is_none():
    a = cf.ones((2, 2), E8M0)
    for make in (
        lambda: cf.zeros(3, E8M0),
        lambda: np.zeros_like(a),
        lambda: np.resize(a[:0], 3),
    ):
        with pytest.raises(cf.ArgumentValueError, match="e8m0fnu has no zero"):
            make()
    np.testing.assert_array_equal(np.zeros_like(cf.ones(2, FNUZ)).codes, [0, 0])


@pytest.mark.parametrize("name", ["tril", "triu", "diagflat"])
def test_what_fills_in_zeros_computes_in_float32(name):
    a = cf.asarray([[2.0, 4.0], [8.0, 16.0]], E8M0)
    got = getattr(np, name)(a)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, getattr(np, name)(np.asarray(a)))


def test_a_mask_raises_no_flag_for_what_it_leaves_out():
    a = cf.asarray([2.0, 4.0, 8.0], E8M0)
    with cf.record_flags() as flags:
        np.multiply(a, a, out=a, where=[True, False, True])
    np.testing.assert_array_equal(a, [4.0, 4.0, 64.0])
    assert flags == cf.Flags()


def test_minus_zero_is_zero_where_its_code_is_nan():
    a = cf.asarray([-0.0, -1e-30, 1.0, np.nan], FNUZ)
    np.testing.assert_array_equal(a.codes, [0, 0, 0x40, 0x80])
    assert not np.signbit(np.asarray(a)).any()
    np.testing.assert_array_equal(np.sort(a), [0.0, 0.0, 1.0, np.nan])
    np.testing.assert_array_equal(np.sort(a).codes, [0, 0, 0x40, 0x80])
