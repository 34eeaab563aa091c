"""Operators of a CFloatArray with objects that have operators of their own: as those of the float32 array."""

import operator
from functools import partial

import numpy as np
import pytest

import cfloat as cf

X = np.arange(9, dtype=np.float32).reshape(3, 3) + 1
A = cf.asarray(X, cf.CFloat8_1_4_3)
SPARSE = [
    f"{layout}_{kind}"
    for layout in ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
    for kind in ("array", "matrix")
]
OPERATORS = [
    operator.add, operator.sub, operator.mul, operator.matmul, operator.truediv, operator.floordiv,
    operator.mod, operator.pow, divmod, operator.eq, operator.ne, operator.lt, operator.le, operator.gt,
    operator.ge,
]  # fmt: skip


def outcome(function, a, b):
    """What a function of two operands gives, as an array that can be compared, or the type of its error."""
    try:
        result = function(a, b)
    except (TypeError, ValueError, NotImplementedError) as error:
        return type(error)
    if hasattr(result, "toarray"):
        result = result.toarray()
    kind = type(result)
    if kind is np.ma.MaskedArray:
        result = result.filled(result.dtype.type(7))
    return kind, getattr(result, "dtype", None), repr(np.asarray(result).tolist())


def check_as_ndarray(other, function):
    with np.errstate(all="ignore"):
        assert outcome(function, A, other) == outcome(function, X, other)
        assert outcome(function, other, A) == outcome(function, other, X)


@pytest.mark.parametrize("function", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.filterwarnings("ignore:Comparing:Warning")
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_scipy_sparse_as_beside_an_ndarray(kind, function):
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    check_as_ndarray(getattr(sparse, kind)(np.eye(3, dtype=np.float32) * 2), function)


@pytest.mark.parametrize("kind", SPARSE[:2])
def test_scipy_sparse_of_another_shape_and_dtype(kind):
    """A product with a vector and with rectangular float64, stays what SciPy makes of an ndarray's."""
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    s = getattr(sparse, kind)(np.array([[0.0, 1.5, 0.0, 2.0]] * 3))
    vector = cf.asarray(X[0], cf.CFloat16_SHP, 3)
    for a, x in ((A, X), (vector, X[0])):
        np.testing.assert_array_equal(a @ s, x @ s)
        np.testing.assert_array_equal(s.T @ a, s.T @ x)
        assert (a @ s).dtype == np.float64


@pytest.mark.parametrize(
    "function",
    [
        np.multiply, np.multiply.outer, np.matmul, np.maximum, np.dot, np.inner, np.append, cf.matmul,
        partial(np.where, True), np.ndarray.__iadd__, operator.imul, operator.imatmul,
    ],
)  # fmt: skip
def test_scipy_sparse_is_never_an_object_in_an_array(function):
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    s = sparse.csr_array(X)
    a = A.copy()
    with pytest.raises(TypeError, match=r"csr_array|dtype object|descriptor"):
        function(a, s)
    np.testing.assert_array_equal(a, X)


SUBCLASSES = {
    "matrix": lambda path: np.asmatrix(X[::-1]),
    "masked": lambda path: np.ma.masked_array(X, X > 5),
    "masked, with zeros": lambda path: np.ma.masked_array(np.where(X > 7, 0, X), X < 3),
    "memmap": lambda path: np.memmap(path, np.float32, "w+", shape=X.shape),
    "record array": lambda path: np.rec.array(X),
}


@pytest.mark.parametrize("function", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", SUBCLASSES)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_subclasses_of_ndarray_as_beside_an_ndarray(name, function, tmp_path):
    """``a * matrix`` is the matrix product, and a masked array masks its divisions by zero."""
    check_as_ndarray(SUBCLASSES[name](tmp_path / "x"), function)


class Matrix:
    """Operators that go before an ndarray's, as SymPy's matrices have them; NumPy can read it."""

    __array_priority__ = 11

    def __array__(self, dtype=None, copy=None):
        return np.full((3, 3), 2.0, object)

    def __mul__(self, other):
        return "left", type(other), np.asarray(other).tolist()

    def __rmul__(self, other):
        return "right", type(other), np.asarray(other).tolist()


def test_who_goes_first_gets_the_values():
    assert A * Matrix() == X * Matrix() == ("right", np.ndarray, X.tolist())
    assert Matrix() * A == ("left", cf.CFloatArray, X.tolist())


def test_values_are_taken_without_flags():
    with cf.record_flags() as flags:
        nan = cf.asarray([np.nan], cf.float8_e4m3fn)
        before = flags.invalid
        nan * Matrix()
    assert flags.invalid == before


class WithoutUfuncs:
    __array_ufunc__ = None

    def __radd__(self, other):
        return "asked"

    __rmod__ = __gt__ = __radd__


def test_none_of_numpys_ufuncs():
    assert A + WithoutUfuncs() == "asked"
    assert A % WithoutUfuncs() == "asked"
    assert operator.lt(A, WithoutUfuncs()) == "asked"
    with pytest.raises(TypeError):
        WithoutUfuncs() - A


@pytest.mark.parametrize("make", ["Series", "Index"])
def test_pandas_as_beside_an_ndarray(make):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    other, x = getattr(pandas, make)(X[0]), X[1]
    a = cf.asarray(x, cf.CFloat8_1_4_3)
    for function in (operator.add, operator.sub, operator.mul, operator.truediv, operator.lt):
        for result, expected in (
            (function(a, other), function(x, other)),
            (function(other, a), function(other, x)),
        ):
            assert type(result) is type(expected)
            assert result.dtype == expected.dtype != object
            np.testing.assert_array_equal(result, expected)
