"""A CFloatArray is made from anything, and behaves as the float32 array of its values."""

import copy
import math
import operator
import pickle
import sys
import tracemalloc
import weakref

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cfloat as cf

FMT = cf.CFloat8_1_4_3
SHP = cf.CFloat16_SHP


def same(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    return (got.shape, got.dtype, got.tobytes()) == (
        expected.shape,
        expected.dtype,
        expected.tobytes(),
    )


def sample(shape=(3, 4), fmt=FMT, seed=0, **how):
    codes = np.random.default_rng(seed).integers(0, 2**fmt.bits, shape).astype(fmt.storage_dtype)
    return cf.CFloatArray(codes, fmt, **how)


# one of each layout, and 0-d, 1-d and empty ones
SAMPLES = {
    "0-d": sample(()),
    "1-d": sample(7, bias=40),
    "2-d": sample((3, 4), SHP),
    "3-d": sample((2, 3, 4), bias=[9, 10], axis=0),
    "slices": sample((3, 4), bias=[3, 4, 5], axis=0),
    "blocks": sample((3, 4), bias=[[3, 4], [5, 6], [7, 8]], block=2),
    "ragged": sample((3, 5), bias=[[3, 4, 1], [5, 6, 1], [7, 8, 9]], block=2),
    "empty": sample((0, 3), bias=5),
    "one": sample((1,)),
    "strided": sample((5, 6, 4), SHP)[::-2, 1:, ::2].T,
}
each_sample = pytest.mark.parametrize("a", SAMPLES.values(), ids=SAMPLES)


# Construction

SOURCES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    ">f4",
    ">f8",
    ">i4",
    ">u2",
    ml_dtypes.bfloat16,
]


@pytest.mark.parametrize("dtype", SOURCES)
def test_from_ndarrays(dtype):
    x = (np.arange(24) % 7).astype(dtype).reshape(2, 3, 4)
    for source in (x, x.T, x[:, ::-1], np.asfortranarray(x), x[:0], x[0, 0, 0], x[0, 0, 0, ...]):
        a = cf.asarray(source, FMT, 9)
        assert type(a) is cf.CFloatArray
        assert a.shape == source.shape
        np.testing.assert_array_equal(a.codes, cf.encode(source, FMT, 9))
        assert a.codes.dtype == np.uint8
        assert (a.format, a.bias, a.axis, a.block) == (FMT, 9, None, None)


@pytest.mark.parametrize(
    "x", [[], [[]], 1, 2.5, True, [1, 2.5], [[1, 2], [3, 4]], (1, 2), range(3), np.float32(3)]
)
def test_from_python(x):
    a = cf.asarray(x, SHP)
    assert a.shape == np.shape(x)
    assert same(a, np.asarray(x, np.float32))


def test_from_nested_arrays():
    a = sample((4,))
    assert same(
        cf.asarray([a, a[::-1]], SHP, 40),
        cf.round_to([a.tolist(), a.tolist()[::-1]], SHP, 40).astype("f4"),
    )


def test_from_objects_with_the_protocols():
    class Array:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.5])

    class OnlyDlpack:
        def __dlpack__(self, **how):
            return np.array([1.0, 2.5]).__dlpack__(**how)

        def __dlpack_device__(self):
            return np.array([1.0]).__dlpack_device__()

    for x in (Array(), OnlyDlpack(), memoryview(np.array([1.0, 2.5]))):
        assert cf.asarray(x, FMT).tolist() == [1.0, 2.5]


class FakeTensor:
    """What is used of a torch tensor: one that needs a gradient gives no array, nor does one of bfloat16."""

    def __init__(self, values, dtype="torch.float32", attached=True):
        self.values, self.dtype, self.attached = values, dtype, attached

    def detach(self):
        return FakeTensor(self.values, self.dtype, attached=False)

    def float(self):
        return FakeTensor(self.values.astype(np.float32), attached=self.attached)

    def __array__(self, dtype=None, copy=None):
        if self.attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if self.dtype == "torch.bfloat16":
            raise TypeError("Got unsupported ScalarType BFloat16")
        return self.values


FakeTensor.__module__ = "torch"


def test_from_something_like_a_tensor():
    values = np.array([[1.0, -2.5]], np.float32)
    assert cf.asarray(FakeTensor(values), FMT).tolist() == [[1.0, -2.5]]
    assert cf.asarray(FakeTensor(values, "torch.bfloat16"), FMT).tolist() == [[1.0, -2.5]]


def test_from_torch():
    torch = pytest.importorskip("torch")
    x = torch.tensor([[1.0, -2.5]], requires_grad=True)
    for tensor in (x, x.to(torch.bfloat16), x.half(), x.double(), x.int()):
        assert cf.asarray(tensor, FMT).tolist() == tensor.tolist()


@each_sample
def test_from_cfloat_arrays(a):
    assert cf.asarray(a, a.format, a.bias, block=a.block) is a
    again = cf.asarray(a, SHP, 20)
    np.testing.assert_array_equal(again.codes, cf.encode(np.asarray(a), SHP, 20))
    values = np.asarray(a)
    np.testing.assert_array_equal(cf.encode(a, SHP), cf.encode(values, SHP))
    with pytest.raises(ValueError, match="rounding"):
        cf.asarray(a, a.format, a.bias, block=a.block, rounding="up")


def test_other_biases_are_other_values():
    a = cf.asarray([1.0, 2.0], FMT, 9)
    assert cf.asarray(a, FMT) is not a
    assert cf.asarray(a, FMT).bias == 7
    b = cf.asarray([1.0, 2.0], FMT, [9, 9])
    assert cf.asarray(b, FMT, 9) is b
    assert cf.asarray(a, FMT, [9, 8]).bias.tolist() == [9, 8]


def test_codes_are_not_copied():
    for codes in (
        np.arange(12, dtype=np.uint8),
        np.arange(24, dtype=np.uint8)[::-2].reshape(3, 4).T,
        np.array(5, np.uint8),
    ):
        a = cf.CFloatArray(codes, FMT, 5)
        assert a.codes is codes
        codes[...] = 56
        assert (a == np.ldexp(1.0, 7 - 5)).all()


def test_big_endian_codes():
    codes = np.arange(1000, 1012, dtype=">u2").reshape(3, 4)
    a = cf.CFloatArray(codes, SHP)
    native = cf.CFloatArray(codes.astype(np.uint16), SHP)
    assert same(a, native)
    assert a[1, 2] == native[1, 2]
    for x in (a, native):
        x[1] = [1, 2, 3, 4]
        x[0, 0] = 7
        x *= 2
        x.sort(axis=0)
    assert same(a, native)
    assert codes.tolist() == native.codes.tolist()
    assert same(pickle.loads(pickle.dumps(a)), a)
    assert repr(a) == repr(native)


def test_memory_mapped_codes(tmp_path):
    path = tmp_path / "codes"
    np.arange(24, dtype=np.uint8).tofile(path)
    mapped = np.memmap(path, np.uint8, "r+", shape=(4, 6))
    a = cf.CFloatArray(mapped, FMT)
    assert np.shares_memory(a.codes, mapped)
    assert same(a, cf.decode(np.arange(24, dtype=np.uint8).reshape(4, 6), FMT))
    assert type(a[0, 0]) is np.float32
    a[1:3] = 1
    a[0] += 1
    mapped.flush()
    assert path.read_bytes() == a.codes.tobytes()
    assert sys.getsizeof(a) < 600
    read_only = cf.CFloatArray(np.memmap(path, np.uint8, "r"), FMT)
    assert same(read_only, np.asarray(a).reshape(-1))
    for change in (
        lambda: read_only.__setitem__(0, 1),
        lambda: read_only.__setitem__(..., 1),
        lambda: read_only.__iadd__(1),
        lambda: read_only.fill(0),
        lambda: read_only.sort(),
    ):
        with pytest.raises(ValueError, match="read-only"):
            change()
    assert path.read_bytes() == a.codes.tobytes()
    assert same(copy.deepcopy(read_only), read_only)
    assert same(pickle.loads(pickle.dumps(read_only)), read_only)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_subclasses_of_ndarray_as_codes():
    codes = np.arange(6, dtype=np.uint8).reshape(2, 3)
    a = cf.CFloatArray(codes.view(np.matrix), FMT)
    assert a[0].shape == (3,)
    assert a.ravel().shape == (6,)
    assert np.shares_memory(a.codes, codes)


ERRORS = [
    (lambda: cf.asarray("x", FMT), TypeError, r"x has dtype <U1; it takes"),
    (lambda: cf.asarray([1j], FMT), TypeError, "x has dtype complex128"),
    (lambda: cf.asarray([None], FMT), TypeError, "x has dtype object"),
    (lambda: cf.asarray([1], "fp8"), TypeError, "'fp8'"),
    (lambda: cf.asarray([1], FMT, 64), ValueError, "64"),
    (lambda: cf.asarray([1], FMT, 1.5), TypeError, "1.5"),
    (lambda: cf.asarray([1], cf.CFloat16_UHP, 30), ValueError, "30"),
    (lambda: cf.asarray([1], FMT, rounding="up"), ValueError, "rounding is 'up'; it takes"),
    (lambda: cf.asarray([1], FMT, seed=1.5, rounding="stochastic"), TypeError, "seed is a float"),
    (
        lambda: cf.CFloatArray([1, 2], FMT),
        TypeError,
        "codes are a list; it takes a numpy.ndarray of uint8",
    ),
    (lambda: cf.CFloatArray(np.uint8(1), FMT), TypeError, "codes are a uint8"),
    (
        lambda: cf.CFloatArray(np.zeros(2), FMT),
        TypeError,
        "codes have dtype float64; those of CFloat8_1_4_3 have uint8",
    ),
    (lambda: cf.CFloatArray(np.zeros(2, np.int8), FMT), TypeError, "codes have dtype int8"),
    (lambda: cf.CFloatArray(np.zeros(2, np.uint8), SHP), TypeError, "codes have dtype uint8"),
    (lambda: cf.CFloatArray(np.zeros(2, np.uint8), 8), TypeError, "8"),
    (
        lambda: cf.CFloatArray(
            np.array([16], np.uint8), cf.Format("tiny", exponent_bits=2, mantissa_bits=1, bias=1)
        ),
        ValueError,
        "codes have an element 16; tiny has codes 0 to 15",
    ),
    (lambda: sample().astype(np.float32, 7), TypeError, "bias 7 is given; that takes a Format"),
    (lambda: sample().astype(np.float32, axis=0), TypeError, "axis is given"),
    (lambda: sample().reshape(-1, order="K"), ValueError, "order is 'K'; it takes 'C', 'F' or 'A'"),
    (lambda: sample(3).mT, ValueError, "mT takes two axes or more; the array has 1"),
    (lambda: sample().rebias(70), ValueError, "70"),
]


@pytest.mark.parametrize(("make", "error", "message"), ERRORS)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert isinstance(caught.value, cf.CFloatError)


# Attributes and methods


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
        *(lambda a, n=n: getattr(a, n)() for n in REDUCTIONS),
        *(lambda a, n=n: getattr(a, n)(axis=-1, keepdims=True) for n in REDUCTIONS[:8]),
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
    if not x.flags.c_contiguous:
        x = x.copy("C")
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
    bias = a.bias if a.block is None else np.repeat(a.bias, a.block, -1)[..., : a.shape[-1]]
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


# Text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": 2},
        {"suppress": True},
        {"linewidth": 30},
        {"threshold": 5, "edgeitems": 1},
        {"sign": "+"},
        {"floatmode": "fixed"},
        {"nanstr": "nix"},
        {"threshold": 0, "edgeitems": 2},
        {"formatter": {"float": "<{}>".format}},
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 9), (20, 30), (2, 3, 4), (100, 2, 11)])
def test_text(shape, options):
    a = cf.asarray(np.random.default_rng(0).normal(size=shape) * 300, SHP, 31)
    with np.printoptions(**options):
        assert str(a) == str(np.asarray(a))
        shown = np.array2string(np.asarray(a), separator=", ", prefix="CFloatArray(")
        assert repr(a).startswith(f"CFloatArray({shown},")
        assert "CFloat16_SHP, bias=31" in repr(a)


def test_reprs():
    assert repr(cf.asarray([1, 2.5], FMT)) == "CFloatArray([1. , 2.5], CFloat8_1_4_3, bias=7)"
    assert repr(cf.asarray(1.5, FMT)) == "CFloatArray(1.5, CFloat8_1_4_3, bias=7)"
    assert repr(cf.asarray([], FMT)) == "CFloatArray([], CFloat8_1_4_3, bias=7)"
    assert "shape=(0, 3)" in repr(cf.asarray(np.ones((0, 3)), FMT))
    assert "shape=(10000,)" in repr(cf.asarray(np.ones(10000), FMT))
    assert repr(SAMPLES["blocks"]).endswith("bias=[[3, 4], [5, 6], [7, 8]], block=2)")
    many = cf.asarray(np.ones(20), FMT, np.arange(20))
    assert "bias=<0 to 19, shape (20,)>" in repr(many)


def test_text_of_large_arrays_takes_no_memory():
    codes = np.broadcast_to(np.arange(2**10, dtype=np.uint8), (2**18, 2**10))
    layouts = (
        {},
        {"bias": np.arange(2**18) % 64, "axis": 0},
        {"bias": np.arange(2**5)[None], "block": 2**5},
    )
    for how in layouts[:2]:
        a = cf.CFloatArray(codes, FMT, **how)
        for b in (a, a.T, a[5:, ::-1]):
            tracemalloc.start()
            text = repr(b), str(b)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 1e6
            assert "..." in text[0]
            assert "..." in text[1]


def test_looking_raises_no_flags():
    a = cf.CFloatArray(np.array([1, 2, 3], np.uint8), FMT)
    with cf.record_flags() as flags, cf.errstate(all="raise"):
        repr(a), str(a), f"{a}"
    assert not flags


# Pickles and copies


@each_sample
def test_pickles_and_copies(a):
    ways = [
        lambda a, p=p: pickle.loads(pickle.dumps(a, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    for way in (*ways, copy.copy, copy.deepcopy):
        b = way(a)
        assert type(b) is type(a)
        np.testing.assert_array_equal(b.codes, a.codes)
        np.testing.assert_array_equal(b.bias, a.bias)
        assert (b.format, b.axis, b.block) == (a.format, a.axis, a.block)
        assert same(b, a)
        b[...] = 0
        assert a.size == 0 or not np.shares_memory(a.codes, b.codes)
        if not isinstance(b.bias, int):
            with pytest.raises(ValueError, match="read-only"):
                b.bias[...] = 0


def test_pickles_of_codes_out_of_band():
    a = sample((100, 100))
    buffers = []
    data = pickle.dumps(a, 5, buffer_callback=buffers.append)
    assert len(data) < 1500
    assert same(pickle.loads(data, buffers=buffers), a)


def test_tampered_pickles():
    a = sample((3, 4), bias=[3, 4, 5], axis=0)
    restore, (cls, codes, fmt, values, block) = a.__reduce__()
    assert same(restore(cls, codes, fmt, values, block), a)
    bad = [
        (list, codes, fmt, values, block),
        (len, codes, fmt, values, block),
        (cls, codes.astype(np.int16), fmt, values, block),
        (cls, codes.tolist(), fmt, values, block),
        (cls, codes, SHP, values, block),
        (cls, codes, "CFloat8_1_4_3", values, block),
        (cls, codes, fmt, values + 64, block),
        (cls, codes, fmt, values.astype(float), block),
        (cls, codes, fmt, values[:2], block),
        (cls, codes[:2], fmt, values, block),
        (cls, codes, fmt, values.repeat(3, axis=1), 2),
        (cls, codes, fmt, values, 0),
        (cls, codes, fmt, values, -4),
        (cls, codes, fmt, 99, block),
        (cls, codes, fmt, "7", block),
    ]
    for parts in bad:
        with pytest.raises(cf.CFloatError):
            restore(*parts)
        data = pickle.dumps(Tampered(restore, parts))
        with pytest.raises(cf.CFloatError):
            pickle.loads(data)


class Tampered:
    def __init__(self, *parts):
        self.parts = parts

    def __reduce__(self):
        return self.parts


# Protocols


def test_no_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(sample())
    with pytest.raises(TypeError, match="unhashable"):
        {sample(): 1}


def test_numpy_testing():
    a = cf.asarray([1, 2, np.nan], cf.float16)
    np.testing.assert_array_equal(a, np.array([1, 2, np.nan], np.float32))
    np.testing.assert_allclose(a, [1.001, 2.001, np.nan], rtol=1e-2)
    np.testing.assert_allclose([1.001, 2.001, np.nan], a, rtol=1e-2)
    np.testing.assert_array_less(a[:2], [3, 3])
    np.testing.assert_array_almost_equal(a, a.copy())
    np.testing.assert_equal(a, np.array([1, 2, np.nan]))
    for check in (
        np.testing.assert_allclose,
        np.testing.assert_array_equal,
        np.testing.assert_equal,
    ):
        with pytest.raises(AssertionError):
            check(a, np.array([1, 3, np.nan]))
    assert pytest.approx(a[:2], rel=1e-3) == [1.0, 2.0]


def test_size_of():
    empty = sys.getsizeof(cf.CFloatArray(np.zeros(0, np.uint8), FMT))
    assert empty < 400
    for a in (
        cf.asarray(np.ones(10**6), FMT),
        cf.asarray(np.ones((10, 10**5)), FMT, np.full((10, 10), 7), block=10**4),
        sample(10**6),
    ):
        assert 10**6 <= sys.getsizeof(a) <= 10**6 + 700
        assert sys.getsizeof(a[1:]) < 900
        assert sys.getsizeof(a[1:].copy()) >= a[1:].nbytes


def test_memory_of_the_codes():
    a = sample((3, 4))
    assert memoryview(a.codes).nbytes == 12
    assert memoryview(a.codes).tolist() == a.codes.tolist()
    shared = np.from_dlpack(a.codes)
    shared[0, 0] = 56
    assert a[0, 0] == 1
    with pytest.raises(TypeError):
        memoryview(a)
    assert a.tobytes() == a.codes.tobytes()
    assert a.tobytes("F") == a.codes.tobytes("F")


def test_iteration():
    a = sample((3, 4), bias=[3, 4, 5], axis=0)
    assert [row.bias for row in a] == [3, 4, 5]
    assert all(type(row) is cf.CFloatArray for row in a)
    assert all(type(x) is np.float32 for x in a[0])
    first, *_rest = a
    assert same(first, np.asarray(a)[0])
    with pytest.raises(TypeError, match="0-d"):
        iter(a[0, 0, ...])
    with pytest.raises(TypeError):
        len(a[0, 0, ...])


def test_weak_references_and_attributes():
    a = sample()
    assert weakref.ref(a)() is a
    with pytest.raises(AttributeError):
        a.anything = 1
    for name in ("codes", "format", "bias", "axis", "block", "dtype"):
        with pytest.raises(AttributeError):
            setattr(a, name, getattr(a, name))


class Weights(cf.CFloatArray):
    """A subclass with a method and no constructor of its own."""

    def twice(self):
        return self + self


def test_subclasses():
    a = Weights(np.arange(12, dtype=np.uint8).reshape(3, 4), FMT, [1, 2, 3], axis=0)
    for part in (
        a[1:],
        a.T,
        a.copy(),
        a.reshape(-1),
        copy.deepcopy(a),
        pickle.loads(pickle.dumps(a)),
        a.real,
        a[[0]],
    ):
        assert type(part) is Weights
    assert repr(a).startswith("Weights([[")
    assert same(a.twice(), 2 * np.asarray(a))
    a += 1
    assert type(a) is Weights
    assert cf.asarray(a, FMT, a.bias) is a
    np.testing.assert_array_equal(np.concatenate([a, a]), np.concatenate([np.asarray(a)] * 2))


ABSENT = {
    "__array_finalize__",
    "__array_interface__",
    "__array_namespace__",
    "__array_struct__",
    "__array_wrap__",
    "__class_getitem__",
    "__delitem__",
    "__dlpack__",
    "__dlpack_device__",
    "__index__",
    "__setstate__",
    "base",
    "byteswap",
    "ctypes",
    "data",
    "device",
    "dump",
    "dumps",
    "getfield",
    "resize",
    "setfield",
    "setflags",
    "to_device",
    "tofile",
    "view",
}


def test_what_an_ndarray_has_and_this_has_not():
    missing = {name for name in dir(np.ndarray) if not hasattr(cf.CFloatArray, name)}
    # releases of NumPy differ
    assert missing - ABSENT <= {"itemset", "newbyteorder", "ptp", "tostring"}


@pytest.mark.parametrize(
    "name", sorted(set(dir(cf.CFloatArray)) - set(dir(np.lib.mixins.NDArrayOperatorsMixin)))
)
def test_every_public_name_is_documented(name):
    if not name.startswith("_"):
        assert getattr(cf.CFloatArray, name).__doc__


# rebias and error_against


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


def test_error_against():
    x = np.random.default_rng(0).normal(size=(8, 8))
    for a in (cf.asarray(x, FMT), cf.asarray(x, FMT, np.arange(8) + 4, axis=0)):
        assert a.error_against(x) == cf.error(x, a)
        assert a.error_against(x).mse == cf.error(x, np.asarray(a)).mse
    with pytest.raises(cf.ArgumentValueError):
        a.error_against(x[:3])


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
        method = vars(cf.CFloatArray)[name]
        assert method.__code__.co_filename.endswith("array.py")
        assert method.__code__.co_name == name
