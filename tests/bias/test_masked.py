"""Masked elements: left out where biases are chosen and errors measured, else refused or rounded."""

import numpy as np
import pytest

import cfloat as cf
from cfloat._bias.histogram import Histogram

E4 = cf.CFloat8_1_4_3
METHODS = pytest.mark.parametrize("method", ["mse", "max", "percentile", "mx"])
DTYPES = pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ">f4", "i8", "i2", "u1", "bfloat16"])


def masked(rng, shape, dtype):
    """Give values of which those that are masked are large, and of the last row all are."""
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    x = rng.standard_normal(shape) * 4
    mask = rng.random(shape) < 0.3
    mask[-1] = True
    mask[0] = False
    with np.errstate(all="ignore"):
        x = np.abs(np.where(mask, 120 * x, x)).astype(dtype)
    return np.ma.masked_array(x, mask)


@pytest.mark.quick
@METHODS
@DTYPES
def test_biases_are_those_of_what_is_left(method, dtype, rng):
    x = masked(rng, (6, 40), dtype)
    left = [row.data[~row.mask] for row in x]
    want = [cf.choose_bias(row, E4, method) for row in left]
    assert want[-1] == E4.default_bias  # all are masked
    assert cf.choose_bias(x, E4, method, axis=0).tolist() == want
    assert cf.choose_bias(x, E4, method, block=40).ravel().tolist() == want
    assert cf.choose_bias(x.T, E4, method, block=40, axis=0).ravel().tolist() == want
    assert [cf.choose_bias(row, E4, method) for row in x] == want
    whole = cf.choose_bias(np.concatenate(left), E4, method)
    assert cf.choose_bias(x, E4, method) == whole
    assert whole != cf.choose_bias(x.data, E4, method) or (method, dtype) == ("mse", "u1")
    # values that are masked are rounded as all else
    for how, bias in [({}, whole), ({"axis": 0}, want)]:
        made = cf.asarray(x, E4, method, **how)
        assert np.array_equal(made.codes, cf.asarray(x.data, E4, bias, **how).codes)
        assert np.array_equal(cf.array(x, E4, method, **how).codes, made.codes)
    rounded = cf.round_to(x, E4, method)
    assert type(rounded) is np.ndarray
    assert np.array_equal(rounded, cf.round_to(x.data, E4, whole))


@METHODS
def test_short_blocks_and_masks_of_nothing(method, rng):
    x = masked(rng, (4, 11), "f4")
    found = cf.choose_bias(x, E4, method, block=4)
    for start in (0, 4, 8):
        part = x[:, start : start + 4]
        want = [cf.choose_bias(row.data[~row.mask], E4, method) for row in part]
        assert found[:, start // 4].tolist() == want
    unmasked = np.ma.masked_array(x.data)
    assert cf.choose_bias(unmasked, E4, method) == cf.choose_bias(x.data, E4, method)
    assert cf.choose_bias(np.ma.masked_array(3.0, True), E4, method) == E4.default_bias
    large = np.ma.masked_array([[2**63 - 1, 5, 2**53 + 1]], [[True, False, False]])
    want = cf.choose_bias(np.array([5, 2**53 + 1]), E4, method)
    assert cf.choose_bias(large, E4, method) == want
    assert cf.choose_bias(large, E4, method, axis=0).tolist() == [want]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_trackers_and_histograms(dtype, rng):
    x = masked(rng, (3, 50), dtype)
    left = x.data[~x.mask]
    tracker = cf.BiasTracker(E4)
    assert tracker.update(x) == cf.choose_bias(left, E4, "max")
    assert tracker.update(np.ma.masked_all(4, dtype)) == E4.default_bias
    found, want = Histogram.of(x), Histogram.of(left)
    assert found.errors(E4).tolist() == want.errors(E4).tolist()
    assert (found.size, found.finite) == (left.size, left.size)


@pytest.mark.quick
def test_errors(rng):
    x = masked(rng, (5, 30), "f4")
    q = cf.asarray(x, E4, "max", axis=0)
    left = ~x.mask
    want = cf.error(x.data[left], np.asarray(q)[left])
    plain = np.ma.masked_array(np.asarray(q), x.mask)
    one = np.ma.masked_array(np.asarray(q), False)
    one[0, 0] = np.ma.masked
    assert cf.error(x, np.asarray(q)) == cf.error(x.data, plain) == want
    assert want.size == left.sum()
    assert cf.error(x, one).size == left.sum() - 1  # what either masks
    assert cf.error(x, q).sqnr_db == want.sqnr_db
    nothing = cf.error(np.ma.masked_all(3), np.ones(3), E4)
    assert (nothing.size, nothing.sqnr_db, nothing.mse) == (0, np.inf, 0)
    with pytest.raises(cf.ArgumentValueError, match="they must agree"):
        cf.error(x, q[0])


@pytest.mark.parametrize("name", ["a", "b", "x", "y"])
def test_products_refuse_masks(name):
    given = {
        "a": cf.ones((3, 3), E4), "b": cf.ones((3, 3), E4), "x": np.ones((3, 3)), "y": np.ones((3, 3))
    } | {name: np.ma.masked_array(np.ones((3, 3)), np.eye(3))}  # fmt: skip
    with pytest.raises(cf.ArgumentTypeError, match=f"^{name} is a masked array, whose mask would"):
        cf.matmul_error(**given)


def test_reports_leave_out_what_is_masked(rng):
    x = masked(rng, (8, 64), "f4")
    nan = np.where(x.mask, np.nan, x.data)
    found, want = cf.report({"w": x}, [E4]), cf.report({"w": nan}, [E4])
    assert found.rows[0].stats == want.rows[0].stats
    assert found.tensors[0].nonfinite == x.mask.sum()
    assert found.rows[0].bias == cf.choose_bias(x, E4)
    assert cf.report(np.ma.masked_array(x.data), [E4]).tensors[0].nonfinite == 0
    integers = np.ma.masked_array(np.arange(4), [1, 0, 0, 0])
    assert cf.report({"i": integers}, [E4]).skipped == {"i": "int64, not floating point"}
    inputs = np.ma.masked_array(np.ones((2, 64)), np.eye(2, 64))
    with pytest.raises(cf.ArgumentTypeError, match="inputs is a masked array"):
        cf.report({"w": x.data}, [E4], activations={"w": inputs})
