"""`CFloatArray`'s attributes and methods, beside those of the ndarray of its values."""

import copy
import math
import operator

import numpy as np
import pytest
from arrays import FMT, SAMPLES, SHP, each_sample, full_biases, same, sample
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cfloat as cf


@each_sample
def test_attributes(a):
    x = np.asarray(a)
    for name in ("shape", "ndim", "size", "dtype"):
        assert getattr(a, name) == getattr(x, name), name
    assert a.dtype == np.float32
    assert a.itemsize == a.codes.itemsize == a.format.storage_dtype.itemsize
    assert a.nbytes == a.size * a.itemsize
    assert a.strides == a.codes.strides
    assert a.flags.writeable
    assert same(a.T, x.T)
    assert same(a.real, x.real)
    assert same(a.imag, x.imag)
    assert not a.imag.flags.writeable
    if a.ndim > 1:
        assert same(a.mT, x.mT)
    if a.size:
        assert np.shares_memory(a.T.codes, a.codes)


REDUCTIONS = (
    "all", "any", "argmax", "argmin", "max", "min", "mean", "sum", "argsort", "cumprod", "cumsum", "nonzero",
    "prod", "round", "std", "var", "trace",
)  # fmt: skip
SUMS = ("sum", "mean")

CALLS = {
    "reshape": [
        lambda a: a.reshape(-1),
        lambda a: a.reshape((1, *a.shape)),
        lambda a: a.reshape(a.shape, order="F"),
    ],
    "transpose": [
        lambda a: a.transpose(),
        lambda a: a.transpose(None),
        lambda a: a.transpose(*range(a.ndim)[::-1]),
    ],
    "ravel": [lambda a, o=o: a.ravel(o) for o in "CF"],
    "flatten": [lambda a, o=o: a.flatten(o) for o in "CF"],
    "squeeze": [
        lambda a: a.squeeze(),
        lambda a: a.squeeze(0),
        lambda a: a[None, :, None].squeeze(0),
    ],
    "swapaxes": [
        lambda a: a.swapaxes(0, 1),
        lambda a: a.swapaxes(-1, 0),
        lambda a: a.swapaxes(0, 5),
    ],
    "diagonal": [lambda a: a.diagonal(), lambda a: a.diagonal(1), lambda a: a.diagonal(-1, 1, 0)],
    "take": [
        lambda a: a.take([0, 1, -1]),
        lambda a: a.take([[1, 0]], axis=0),
        lambda a: a.take([9], mode="wrap"),
    ],
    "repeat": [lambda a: a.repeat(2), lambda a: a.repeat([1, 0, 2], axis=0)],
    "compress": [lambda a: a.compress([1, 0, 1]), lambda a: a.compress([True, False], axis=0)],
    "astype": [
        *(lambda a, d=d: a.astype(d) for d in (np.float32, np.float64, "f2", ">f4", "c8", bool)),
        *(lambda a, d=d: a.astype(d) for d in (object, "U9", None)),
        lambda a: a.astype(np.float64, casting="safe"),
        lambda a: a.astype(np.float16, casting="safe"),
        lambda a: a.astype(np.float32, order="F"),
        lambda a: a.astype(np.float32, copy=False, subok=False),
        lambda a: a.astype("no such"),
    ],
    "item": [
        lambda a: a.item(),
        lambda a: a.item(0),
        lambda a: a.item(-1),
        lambda a: a.item(1000),
        lambda a: a.item((0,) * a.ndim),
        lambda a: a.item(*(-1,) * a.ndim),
        lambda a: a.item(1.5),
        lambda a: a.item(0, 0, 0, 0, 0, 0),
        lambda a: a.item(slice(1)),
    ],
    "reductions": [
        *(lambda a, n=n: getattr(a, n)() for n in REDUCTIONS if n not in SUMS),
        *(
            lambda a, n=n: getattr(a, n)(axis=-1, keepdims=True)
            for n in REDUCTIONS[:8]
            if n not in SUMS
        ),
        lambda a: a.sum(0, np.float64),
        lambda a: a.mean(axis=0, out=np.zeros(a.shape[1:], np.float32)),
        lambda a: a.clip(-1, 1),
        lambda a: a.clip(min=0),
        lambda a: a.dot(np.ones(a.shape[-1])),
        lambda a: a.searchsorted([1, 2]),
        lambda a: a.argpartition(1),
        lambda a: a.round(1),
        lambda a: a.conj(),
        lambda a: a.conjugate(),
        lambda a: a.choose([1, 2]),
        lambda a: a.max(axis=9),
    ],
    "scalars": [
        *(
            lambda a, f=f: f(a)
            for f in (len, bool, operator.index, hash, math.sqrt, round, abs, list)
        ),
        *(
            lambda a, f=f: f(a.reshape(()))
            for f in (float, int, complex, bool, math.floor, range, abs)
        ),
        lambda a: [10][a[0] if a.ndim else a],
    ],
    "text": [
        str,
        lambda a: f"{a}",
        lambda a: f"{a:.3f}",
        lambda a: format(a.reshape(()), ".3f"),
        lambda a: f"{a.reshape(())}",
        lambda a: f"{a:>10}",
    ],
    "values": [
        lambda a: a.tolist(),
        np.array,
        lambda a: np.array(a, np.float64),
        lambda a: np.asarray(a, dtype="i8"),
        lambda a: np.array(a, copy=True),
        lambda a: a.__array__(np.dtype(np.float16)),
        lambda a: [np.asarray(x) for x in a],
        lambda a: list(a.flat),
        lambda a: np.array(a.flat),
        lambda a: len(a.flat),
        lambda a: a.copy(),
        lambda a: a.copy("F"),
        lambda a: next(iter(a)),
        lambda a: list(reversed(a)),
    ],
    "comparisons": [
        *(lambda a, x=x: a == x for x in (0, "x", None, [1], np.zeros(4))),
        *(lambda a, x=x: a != x for x in (0, "x", None, [1], np.zeros(4))),
        *(lambda a, f=f: f(a, 1) for f in (operator.lt, operator.le, operator.gt, operator.ge)),
        lambda a: operator.lt(a, "x"),
        lambda a: a == a,
        lambda a: 0 in a,
        lambda a: 1e30 in a,
        lambda a: "x" in a,
    ],
    "flat": [
        *(
            lambda a, k=k: a.flat[k]
            for k in (0, -1, 99, slice(None), slice(3, 0, -1), [0, 1], ..., [])
        ),
        lambda a: a.flat[np.arange(a.size) % 2 == 0],
        lambda a: a.flat.copy(),
    ],
}


@each_sample
@pytest.mark.parametrize("name", SUMS)
def test_sums_are_numpys_but_for_last_bits(a, name):
    """They add float64 (docs/spec.md 5.13)."""
    for options in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}):
        x = np.asarray(a)
        with np.errstate(**QUIET):
            (expected, wanted), (got, error) = (
                outcome(lambda each, o=options: getattr(each, name)(**o), each) for each in (x, a)
            )
        if wanted is not None:
            assert isinstance(error, type(wanted))
            continue
        assert (type(got), got.shape, got.dtype) == (type(expected), expected.shape, expected.dtype)
        bound = 2.0**-23 * x.size * np.abs(x).max(initial=0)
        assert np.allclose(got, expected, rtol=0, atol=bound, equal_nan=True)


# what overflows or has no value says so on both sides
QUIET = {"all": "ignore"}


def outcome(function, x):
    with np.errstate(**QUIET):
        try:
            return function(x), None
        except Exception as error:
            return None, error


def check_same(got, expected):
    if isinstance(expected, np.ndarray | np.generic):
        if expected.dtype == object:
            assert got.tolist() == expected.tolist()
        else:
            assert same(got, expected)
    elif isinstance(expected, tuple | list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            check_same(one, other)
    else:
        assert type(got) is type(expected)
        assert got == expected


@each_sample
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_methods(a, kind):
    x = np.asarray(a)
    for i, function in enumerate(CALLS[kind]):
        expected, wanted = outcome(function, x)
        got, error = outcome(function, a)
        if wanted is None:
            assert error is None, (i, error)
            check_same(got, expected)
        else:
            assert error is not None, (i, got, wanted)
            assert isinstance(error, type(wanted)), (i, error, wanted)


@each_sample
def test_moves_keep_the_format(a):
    b = a.reshape(-1)
    moved = [
        b,
        a.T,
        a.ravel(),
        a.flatten(),
        a.squeeze(),
        a.copy(),
        a.flat[:],
        b[:2],
        b[[0] * b.size],
        b.take([0] * b.size),
    ]
    for i, part in enumerate(moved):
        if part.ndim:
            assert type(part) is cf.CFloatArray, i
            assert part.format is a.format


CHANGES = [
    lambda a: a.fill(3.3),
    lambda a: a.sort(),
    lambda a: a.sort(axis=0, kind="stable"),
    lambda a: a.sort(axis=5),
    lambda a: a.put([0, -1], [1.1, 2.2]),
    lambda a: a.put([0, 500], 9, mode="clip"),
    lambda a: a.put([500], 9),
    lambda a: a.__setitem__(..., 5.1),
    lambda a: a.flat.__setitem__(0, 5.1),
    lambda a: a.flat.__setitem__(-1, 5.1),
    lambda a: a.flat.__setitem__(99, 5.1),
    lambda a: a.flat.__setitem__(slice(None), [1.1, 2.7]),
    lambda a: a.flat.__setitem__(slice(1, 3), [1.1, 2.7, 3.3, 4.4]),
    lambda a: a.flat.__setitem__([0, 2], [[1.1], [2.7]]),
    lambda a: a.flat.__setitem__(np.arange(a.size) % 2 == 1, 0.3),
    lambda a: setattr(a, "flat", [7.7, 8.8]),
    lambda a: a.T.__setitem__(0, 2.2),
    lambda a: a.reshape(-1).__setitem__(0, 2.2),
    lambda a: a[1:].__iadd__(0.5),
    lambda a: a.__setitem__(a > 1, -1.5),
]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_changes(name, change):
    rng = np.random.default_rng(0)
    a = SAMPLES[name].copy()
    a[...] = rng.normal(size=a.shape)
    before, x = np.asarray(a), np.asarray(a)
    bias = full_biases(a)
    _, wanted = outcome(change, x)
    _, error = outcome(change, a)
    assert (error is None) == (wanted is None), (error, wanted)
    if wanted is None:
        np.testing.assert_array_equal(np.asarray(a), cf.round_to(x, a.format, bias))
    else:
        assert isinstance(error, type(wanted)), (error, wanted)
        np.testing.assert_array_equal(np.asarray(a), before)


def test_flat_takes_indices():
    a = sample((3, 4))
    for key in (1.5, "x", (0, 0), [99], [True, False]):
        with pytest.raises(IndexError):
            a.flat[key]
        before = a.codes.copy()
        with pytest.raises((IndexError, ValueError)):
            a.flat[key] = 1
        np.testing.assert_array_equal(a.codes, before)


def test_partition():
    a = sample(50, seed=3)
    x = np.asarray(a)
    a.partition(20)
    x.partition(20)
    assert a[20] == x[20]
    np.testing.assert_array_equal(np.sort(a.tolist()), np.sort(x))


def test_views_and_copies():
    a = sample((4, 6))
    for view in (
        a[1:],
        a.T,
        a.reshape(6, 4),
        a.real,
        a.swapaxes(0, 1),
        a[None].squeeze(),
        a[..., None],
        a.ravel(),
    ):
        assert np.shares_memory(view.codes, a.codes)
    for copied in (
        a.copy(),
        a.flatten(),
        copy.copy(a),
        copy.deepcopy(a),
        a[[0]],
        a.flat[:],
        a.astype(FMT),
        a.reshape(3, 8, copy=True),
    ):
        assert not np.shares_memory(copied.codes, a.codes)
    assert a.astype(FMT, copy=False) is a
    assert a.T.copy().flags.c_contiguous
    assert a.T.copy("K").flags.f_contiguous
    assert a.reshape(8, 3, copy=False).shape == (8, 3)
    with pytest.raises(ValueError, match="copy"):
        a.T.reshape(-1, copy=False)


def test_astype_of_formats():
    a = sample((3, 4), bias=9)
    for made in (a.astype(SHP, 20), a.astype(SHP, [20] * 4, axis=1), a.astype(SHP, 20, copy=False)):
        np.testing.assert_array_equal(made.codes, cf.encode(np.asarray(a), SHP, 20))
    down = a.astype(FMT, 12, rounding="toward_zero")
    np.testing.assert_array_equal(
        down.codes, cf.encode(np.asarray(a), FMT, 12, rounding="toward_zero")
    )
    assert a.astype(FMT).bias == 7


def test_no_array_without_a_copy():
    with pytest.raises(ValueError, match="copy"):
        np.asarray(sample(), copy=False)


def test_a_float64_array_is_exact():
    for fmt in (FMT, cf.CFloat8_1_5_2, SHP):
        for bias in (0, 63):
            a = cf.CFloatArray(np.arange(2**fmt.bits).astype(fmt.storage_dtype), fmt, bias)
            np.testing.assert_array_equal(np.asarray(a, np.float64), fmt.values(bias))


# rebias


@given(st.integers(0, 63), st.integers(0, 63), st.booleans(), st.integers(0, 99))
def test_rebias(old, new, many, seed):
    a = (
        sample((3, 4), bias=[old, 7, 20], axis=0, seed=seed)
        if many
        else sample((3, 4), bias=old, seed=seed)
    )
    how = {"bias": [new, 5, 6, 7], "axis": 1} if many else {"bias": new}
    b, changed = a.rebias(**how, return_changed=True)
    x = np.asarray(a)
    full = np.asarray(how["bias"])
    np.testing.assert_array_equal(b.codes, cf.encode(x, FMT, full))
    np.testing.assert_array_equal(changed, np.asarray(b) != x)
    assert same(a.rebias(**how), b)
    assert changed.dtype == bool
    back, _ = b.rebias(a.bias, return_changed=True)
    np.testing.assert_array_equal(np.asarray(back)[~changed], x[~changed])


def test_rebias_of_nan():
    fmt = cf.float8_e5m2.replace(bias=(10, 20), name="e5m2 of any bias")
    a = cf.asarray([np.nan, np.inf, 1e9, 1], fmt, 10)
    _, changed = a.rebias(20, return_changed=True)
    assert changed.tolist() == [False, False, False, False]


def test_rebias_rounds_as_asked():
    a = sample(100, bias=3)
    for how in ({"rounding": "toward_zero"}, {"rounding": "stochastic", "seed": 4}):
        np.testing.assert_array_equal(
            a.rebias(12, **how).codes, cf.encode(np.asarray(a), FMT, 12, **how)
        )


def test_error():
    x = np.random.default_rng(0).normal(size=(8, 8))
    for a in (cf.asarray(x, FMT), cf.asarray(x, FMT, np.arange(8) + 4, axis=0)):
        assert cf.error(x, a).mse == cf.error(x, np.asarray(a)).mse
    with pytest.raises(cf.ArgumentValueError):
        cf.error(x[:3], a)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, min_side=0), elements=st.floats(width=32))
)
def test_asarray_is_round_to(x):
    assert same(cf.asarray(x, FMT), cf.round_to(x, FMT))
    assert same(cf.asarray(x, SHP, 9), cf.round_to(x, SHP, 9))


def test_assigning_nothing_to_flat():
    for key in (slice(None), [0, 2], slice(0, 0)):
        a, x = cf.asarray([1, 2, 3], FMT), np.array([1, 2, 3], np.float32)
        a.flat[key] = []
        x.flat[key] = []
        assert same(a, x)
    a.flat = []
    assert same(a, x)


def test_astype_names_what_it_does_not_take():
    a = sample()
    with pytest.raises(cf.ArgumentTypeError, match=r"the Format CFloat8_1_4_3, and order is given"):
        a.astype(FMT, 5, order="C")
    with pytest.raises(cf.ArgumentTypeError, match=r"dtype is float32, and rounding is given"):
        a.astype(np.float32, rounding="x")
    with pytest.raises(cf.ArgumentValueError, match=r"order is 'x'; it takes 'C', 'F', 'A' or 'K'"):
        a.ravel("x")


def test_rebias_counts_flags_once():
    a = cf.asarray([2.0**-10, 1.0, 480.0], FMT)
    counts = []
    for return_changed in (False, True):
        with cf.record_flags() as counted:
            a.rebias(8, return_changed=return_changed)
        counts.append((counted.overflow, counted.denormal))
    assert counts == [(1, 1), (1, 1)]


def test_methods_are_known_to_type_checkers():
    for name in ("sum", "max", "round", "conj", "nonzero", "trace"):
        method = getattr(cf.CFloatArray, name)
        assert method.__code__.co_filename.endswith("methods.py")
        assert method.__code__.co_name == name
