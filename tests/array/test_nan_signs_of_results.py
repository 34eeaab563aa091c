"""``a[...] = f(a)`` and ``f(a, out=a)`` agree, in NaNs and their signs too (docs/spec.md 3.8)."""

import numpy as np
import pytest

import cfloat as cf
from cfloat._array.ufuncs.names import COMPUTED

pytestmark = [pytest.mark.quick, pytest.mark.filterwarnings("ignore:::")]

FORMATS = (
    cf.float8_e5m2,
    cf.bfloat16,
    cf.float8_e4m3fn,
    cf.float16,
    cf.CFloat8_1_4_3,
    cf.CFloat16_UHP,
)
#: What gives NaN a sign, or selects, has tests of its own; the others don't give one float.
OTHERS = "negative positive absolute fabs copysign conjugate nextafter spacing frexp ldexp clip _ones_like"
UFUNCS = sorted(
    name
    for name in COMPUTED - set(OTHERS.split())
    if getattr(getattr(np, name, None), "signature", "") is None and getattr(np, name).nout == 1
)


def all_codes(fmt, size):
    return cf.CFloatArray(
        np.arange(max(size, 2**fmt.bits) if fmt.bits == 8 else size).astype(fmt.storage_dtype)
        * (1 if fmt.bits == 8 else 2**16 // size),
        fmt,
    )


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("size", [512, 8192, 1 << 15])
def test_in_place_is_what_is_assigned(fmt, size):
    for name in UFUNCS:
        ufunc = getattr(np, name)
        a = all_codes(fmt, size)
        inputs = [a, a[::-1].copy()][: ufunc.nin]
        written = a.copy()
        ufunc(*(written if x is a else x for x in inputs), out=written)
        nans = np.isnan(np.asarray(written))
        result = ufunc(*inputs)
        if result.dtype.kind == "f":
            assert not np.signbit(result[np.isnan(result)]).any(), name
            # an infinity that is too large for the format keeps its sign
            assert not np.signbit(np.asarray(written)[np.isnan(result)]).any(), name
        assigned = a.copy()
        assigned[...] = result
        same = np.isnan(np.asarray(assigned)) == nans
        assert same.all() or fmt == cf.CFloat16_UHP, name  # of which a tiny negative one is NaN
        np.testing.assert_array_equal(assigned.codes[nans & same], written.codes[nans & same], name)


@pytest.mark.parametrize(
    "make",
    [
        lambda a: np.sqrt(a), lambda a: np.log(a), lambda a: a / a, lambda a: a - a * np.inf,
        lambda a: np.divide(a, 0), lambda a: np.add(a, -np.float32(np.nan)),
        lambda a: np.sqrt(a, out=np.empty(a.shape, np.float32)),
        lambda a: np.add.reduce(a), lambda a: np.add.accumulate(a), lambda a: np.subtract.outer(a, a),
        lambda a: np.remainder(a, 0.0), lambda a: np.fmod(a, a), lambda a: np.arcsin(a[2:3].reshape(())),
    ],
)  # fmt: skip
def test_nans_that_an_operation_makes_are_positive(make):
    a = cf.asarray([-1.0, 0.0, -np.inf, np.inf, -np.nan, 2.0], cf.float8_e5m2)
    result = make(a)
    assert np.isnan(result).any()
    assert not np.signbit(np.asarray(result)[np.isnan(result)]).any()


@pytest.mark.parametrize("number", [10**39, -(10**39), 1e39, 2**128])
def test_zero_times_a_number_that_float32_takes_for_infinity(number):
    zeros = cf.asarray([0.0, -0.0, 1.0], cf.CFloat8_1_4_3)
    with np.errstate(all="ignore"):
        for result in (zeros * number, np.multiply(zeros, number, out=np.empty(3, np.float32))):
            assert np.isnan(result[:2]).all()
            assert not np.signbit(result[:2]).any()


def test_what_a_mask_leaves_out_is_left():
    a = cf.asarray([-1.0, 4.0, -1.0], cf.float8_e5m2)
    out = np.full(3, -np.nan, np.float32)
    assert np.sqrt(a, out=out, where=np.array([True, True, False])) is out
    np.testing.assert_array_equal(np.signbit(out), [False, False, True])


def test_small_calls_of_formats_without_nan_are_not_looked_through(monkeypatch):
    from cfloat._array.ufuncs import dispatch

    monkeypatch.setattr(dispatch, "with_positive_nans", lambda results: pytest.fail("looked at"))
    a = cf.asarray([-1.0, 4.0], cf.CFloat8_1_4_3)
    np.testing.assert_array_equal(a + a, np.float32([-2.0, 8.0]))
    np.testing.assert_array_equal(a * 3, np.float32([-3.0, 12.0]))
    np.testing.assert_array_equal(a * 0.5, np.float32([-0.5, 2.0]))
    np.testing.assert_array_equal(np.floor(a), np.float32([-1.0, 4.0]))
    np.testing.assert_array_equal(a > 0, [False, True])
