"""`CFloatArray`: what it is made of, pickles and copies, and the protocols that it takes part in."""

import copy
import pickle
import sys
import weakref

import ml_dtypes
import numpy as np
import pytest
from arrays import FMT, SHP, each_sample, how_laid_out, same, sample

import cfloat as cf

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
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.tensor([[1.0, -2.5]], requires_grad=True)
    for tensor in (x, x.to(torch.bfloat16), x.half(), x.double(), x.int()):
        assert cf.asarray(tensor, FMT).tolist() == tensor.tolist()


@each_sample
def test_from_cfloat_arrays(a):
    assert cf.asarray(a, a.format, a.bias, **how_laid_out(a)) is a
    again = cf.asarray(a, SHP, 20)
    np.testing.assert_array_equal(again.codes, cf.encode(np.asarray(a), SHP, 20))
    values = np.asarray(a)
    np.testing.assert_array_equal(cf.encode(a, SHP), cf.encode(values, SHP))
    with pytest.raises(ValueError, match="rounding"):
        cf.asarray(a, a.format, a.bias, **how_laid_out(a), rounding="up")


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
    (lambda: cf.asarray([1], 8), TypeError, "format is 8; it takes a cfloat.Format"),
    (lambda: cf.asarray([1], "fp8"), ValueError, "format is 'fp8'; the names are CFloat8_1_4_3"),
    (lambda: cf.asarray([1], FMT, 64), ValueError, "64"),
    (lambda: cf.asarray([1], FMT, 1.5), TypeError, "1.5"),
    (lambda: cf.asarray([1], cf.CFloat16_UHP, 30), ValueError, "30"),
    (lambda: cf.asarray([1], FMT, rounding="up"), ValueError, "rounding is 'up'; it takes"),
    (
        lambda: cf.asarray([1], FMT, seed=1.5, rounding="stochastic"),
        TypeError,
        "seed is 1.5",
    ),
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
    restore, (codes, fmt, values, block) = a.__reduce__()
    assert same(restore(codes, fmt, values, block), a)
    bad = [
        (codes.astype(np.int16), fmt, values, block),
        (codes.tolist(), fmt, values, block),
        (codes, SHP, values, block),
        (codes, "CFloat8_1_4", values, block),
        (codes, fmt, values + 64, block),
        (codes, fmt, values.astype(float), block),
        (codes, fmt, values[:2], block),
        (codes[:2], fmt, values, block),
        (codes, fmt, values.repeat(3, axis=1), 2),
        (codes, fmt, values, 0),
        (codes, fmt, values, -4),
        (codes, fmt, 99, block),
        (codes, fmt, "7", block),
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
