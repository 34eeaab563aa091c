"""NumPy's ufuncs (NEP 13): each is computed as NumPy computes it on the decoded arrays, or refused.

Some keep the format: what they give has the same values.  test_keeping.py and test_neighbours.py have more.
"""

import re
import warnings

import numpy as np
import numpy.char
import numpy.strings
import pytest
from numpy.testing.overrides import get_overridable_numpy_ufuncs

import cfloat as cf
from cfloat._array.ufuncs.names import COMPUTED, REFUSED

UFUNCS = {ufunc.__name__: ufunc for ufunc in get_overridable_numpy_ufuncs()}

#: Ufuncs that some supported releases of NumPy have, and others not.
OF_SOME_RELEASES = """
    _center _ljust _partition _partition_index _rjust _rpartition _rpartition_index _slice _zfill
    matvec vecmat
"""

#: Those that take integers beside the values.
OTHER_SECOND_OPERAND = {"ldexp"}

#: Those that are matrix products: sums in float32, whose order is not NumPy's.
PRODUCTS = {"matmul", "matvec", "vecdot", "vecmat"}

#: Those that give one of their operands, and those that change a sign.
SELECTS = {"clip", "fmax", "fmin", "maximum", "minimum"}
SIGNS = {"absolute", "conjugate", "copysign", "fabs", "negative", "positive"}

#: Those that are the format's own.
OWN = {"nextafter", "spacing"}

NAMES = sorted((COMPUTED & UFUNCS.keys()) - OWN)
ELEMENTWISE = [name for name in NAMES if UFUNCS[name].signature is None]
names = pytest.mark.parametrize("name", NAMES)
elementwise = pytest.mark.parametrize("name", ELEMENTWISE)
taken_by_at = pytest.mark.parametrize(
    "name", [name for name in ELEMENTWISE if UFUNCS[name].nin <= 2 and UFUNCS[name].nout == 1]
)
binary = pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name in NAMES
        if UFUNCS[name].nin == 2 and UFUNCS[name].nout == 1 and UFUNCS[name].signature is None
    ),
)


def test_every_ufunc_is_in_exactly_one_registry():
    assert len(UFUNCS) == len(get_overridable_numpy_ufuncs())
    assert not COMPUTED & REFUSED.keys()
    assert UFUNCS.keys() <= COMPUTED | REFUSED.keys()
    assert (COMPUTED | REFUSED.keys()) - UFUNCS.keys() <= set(OF_SOME_RELEASES.split())


def values(rng, shape, signed=True):
    """Numbers of several magnitudes, of which some are equal, zero, and a negative zero."""
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-2, 3, shape)
    flat = x.reshape(-1)
    flat[: x.size // 4] = flat[-1]
    flat[1:3] = 0.0, -0.0
    return x if signed else np.abs(x)


def one_bias(rng, shape):
    return cf.asarray(values(rng, shape), cf.CFloat8_1_4_3, 8)


def a_bias_a_row(rng, shape):
    return cf.asarray(values(rng, shape), cf.CFloat8_1_4_3, 5 + np.arange(shape[0]) % 5, axis=0)


def blocks(rng, shape):
    counts = (*shape[:-1], -(-shape[-1] // 4))
    bias = 5 + np.arange(np.prod(counts)).reshape(counts) % 5
    return cf.asarray(values(rng, shape), cf.CFloat8_1_4_3, bias, block=4)


def transposed(rng, shape):
    return blocks(rng, shape[::-1]).T


def nonfinite(rng, shape):
    x = values(rng, shape, signed=False)
    x.reshape(-1)[-3:] = np.nan, np.inf, np.inf
    return cf.asarray(x, cf.CFloat16_UHP)


LAYOUTS = (one_bias, a_bias_a_row, blocks, transposed, nonfinite)
layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)


def decoded(x):
    if isinstance(x, cf.CFloatArray):
        return np.asarray(x)
    if isinstance(x, tuple):
        return tuple(map(decoded, x))
    return x.copy("K") if isinstance(x, np.ndarray) else x


def outcome(call, args, kwargs):
    """Return what a call gives, or the type of what it raises, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call(*args, **kwargs)
        except (TypeError, ValueError, OverflowError) as error:
            result = type(error)
    return result, {str(one.message) for one in caught}


def check(call, *args, **kwargs):
    """Compare a call with the same on the decoded arrays, bit for bit, and the ndarrays it writes to.

    Matrix products in float32 may differ by what both may be off by, and need not warn.  Return whether there
    is a result.
    """
    plain_args = decoded(args)
    plain_kwargs = {name: decoded(value) for name, value in kwargs.items()}
    bound = bound_of(call, plain_args, plain_kwargs)
    expected, expected_warnings = outcome(call, plain_args, plain_kwargs)
    got, got_warnings = outcome(call, args, kwargs)
    if bound is None:
        assert got_warnings == expected_warnings
    else:
        assert got_warnings <= expected_warnings
    name = getattr(call, "__self__", call).__name__
    kept = kept_by(call, args, kwargs)
    if kept is not None and not isinstance(expected, type):
        assert_kept(got, kept)
    if isinstance(got, cf.CFloatArray) and name in SELECTS | SIGNS and kwargs.get("out") is not got:
        assert got.format == next(x.format for x in args if isinstance(x, cf.CFloatArray))
        got = np.asarray(got)[()]
        expected = np.float32(expected)  # of another dtype's signs, it may be float64
    if name in SELECTS:  # of two zeros, NumPy gives either
        got, expected = (
            x + np.float32(0) if isinstance(x, np.ndarray | np.generic) else x
            for x in (got, expected)
        )
    assert_same(got, expected, bound)
    for i, (mine, plain) in enumerate(
        zip([*args, *kwargs.values()], [*plain_args, *plain_kwargs.values()], strict=True)
    ):
        assert_same(decoded(mine), plain, bound if i >= 2 else None)
    return not isinstance(expected, type)


def kept_by(call, args, kwargs):
    """Return the format and the biases of each element that a call keeps, or None."""
    name = getattr(call, "__name__", None)
    if (
        name not in SELECTS | SIGNS
        or kwargs.keys() & {"dtype", "out"}
        or len(args) != UFUNCS[name].nin
    ):
        return None
    looked_at = args[:1] if name == "copysign" else args
    first = args[0]
    if not all(isinstance(x, cf.CFloatArray) and x.format == first.format for x in looked_at):
        return None
    if name in ("negative", "copysign") and not first.format.signed:
        return None
    try:
        shape = np.broadcast_shapes(*(np.shape(decoded(x)) for x in args))
    except ValueError:
        return None
    full = [np.broadcast_to(x._biases.full(x.shape), shape) for x in looked_at]
    same = all(np.array_equal(biases, full[0]) for biases in full)
    return (first.format, full[0]) if same else None


def assert_kept(got, kept):
    fmt, biases = kept
    assert type(got) is cf.CFloatArray
    assert got.format == fmt
    np.testing.assert_array_equal(got._biases.full(got.shape), biases)


def bound_of(call, args, kwargs):
    """Return how far the results of a product may differ: twice 6 * 2^-23 of the sums of magnitudes."""
    if getattr(call, "__name__", None) not in PRODUCTS:
        return None
    kwargs = {name: value for name, value in kwargs.items() if name in ("axis", "keepdims")}
    with np.errstate(all="ignore"):
        sums, _ = outcome(call, [np.abs(x) for x in args[:2]], kwargs)
    return None if isinstance(sums, type) else 12 * 2.0**-23 * sums


def assert_same(got, expected, bound=None):
    assert type(got) is type(expected), f"{got!r}\n{expected!r}"
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other, bound)
    elif isinstance(expected, np.ndarray | np.generic):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        if bound is not None and expected.dtype == np.float32:
            finite = np.isfinite(bound)
            assert np.all(np.abs(got - expected)[finite] <= bound[finite])
            np.testing.assert_array_equal(got[~finite], expected[~finite])
            return
        if (
            expected.dtype.kind == "f"
        ):  # the sign of NumPy's NaNs is the processor's (docs/spec.md 3.8)
            got, expected = (
                np.where(np.isnan(x), x.dtype.type(np.nan), x) for x in (got, expected)
            )
        assert got.tobytes() == expected.tobytes(), f"{got!r}\n{expected!r}"
    else:
        assert got is expected or got == expected


def operands(ufunc, layout, rng):
    """Yield what a ufunc may be called with: one to three operands of shapes and kinds."""
    a, b = layout(rng, (4, 6)), layout(rng, (4, 6))
    v, u = layout(rng, (6,)), layout(rng, (6,))
    x, d = values(rng, (4, 6)).astype(np.float32), values(rng, (4, 6))
    other = cf.asarray(values(rng, (4, 6)), cf.CFloat16_SHP)
    point = cf.asarray(1.5, cf.CFloat8_1_4_3)
    if ufunc.nin == 1:
        yield from ((a,), (v,), (a[:, ::2],), (a[1:2],), (point,))
    elif ufunc.nin == 3:
        yield from ((a, -1, 1), (a, b, x), (x, v, 2.0), (d, point, a), (a, other, v))
    elif ufunc.__name__ in OTHER_SECOND_OPERAND:
        i = np.arange(6) - 3
        yield from ((a, 2), (a, i), (v, i), (1.5, i), (point, i), (x, a))
    elif ufunc.__name__ == "matmul":
        yield from ((a, b.T), (a, v), (v, u), (x, b.T), (a, x.T), (v, d.T), (a[None], other.T))
    elif ufunc.__name__ == "matvec":
        yield from ((a, v), (x, v), (a, x[0]), (a[None], u), (other, v))
    elif ufunc.__name__ == "vecmat":
        yield from ((v, a.T), (v, x.T), (x[0], a.T), (u, other.T))
    else:
        yield from (
            (a, b),
            (v, u),
            (a, v),
            (v, a),
            (a, a[:, :1]),
            (a, x),
            (x, a),
            (v, d),
            (d, v),
            (point, a),
        )
        yield from (
            (a, other),
            (other, v),
            (v, np.arange(6)),
            (a, np.float32(2)),
            (np.float64(2), a),
        )
        if ufunc.signature is None:
            yield from ((a, 2), (2.5, v), (True, a), (v, 1e30), (a, [1.0] * 6))


@names
@layouts
def test_call(name, layout, rng):
    ufunc = UFUNCS[name]
    worked = [check(ufunc, *args) for args in operands(ufunc, layout, rng)]
    assert all(worked[:2])


@pytest.mark.slow
@names
@layouts
def test_out_where_and_dtype(name, layout, rng):
    ufunc = UFUNCS[name]
    worked = 0
    for args in operands(ufunc, layout, rng):
        with np.errstate(all="ignore"):
            try:
                results = ufunc(*decoded(args))
            except (TypeError, ValueError, OverflowError):
                continue
        results = results if isinstance(results, tuple) else (results,)
        outs = tuple(np.zeros(result.shape, result.dtype) for result in results)
        worked += check(ufunc, *args, out=outs)
        check(ufunc, *args, *outs)
        if ufunc.nout > 1:
            check(ufunc, *args, out=(None, *outs[1:]))
        check(ufunc, *args, dtype=np.float64)
        check(ufunc, *args, dtype=np.float32, casting="no")
        check(ufunc, *args, dtype=np.int64)
        check(ufunc, *args, order="F")
        if ufunc.signature is None:
            where = rng.random(results[0].shape) < 0.5
            worked += check(ufunc, *args, out=outs, where=where)
            check(ufunc, *args, out=outs, where=False)
            # truth is that of values
            check(ufunc, *args, out=outs, where=layout(rng, (6,)) if results[0].ndim else True)
        else:
            check(ufunc, *args, keepdims=True)
            check(ufunc, *args, axis=-1)
    assert worked


@binary
@layouts
def test_methods(name, layout, rng):
    ufunc = UFUNCS[name]
    a, v = layout(rng, (4, 6)), layout(rng, (6,))
    x, out = values(rng, (6,)).astype(np.float32), np.zeros(6, np.float32)
    mask = rng.random((4, 6)) < 0.5
    worked = 0
    for array in (a, v, a[:, 1::2]):
        worked += check(ufunc.reduce, array)
        worked += check(ufunc.accumulate, array)
        worked += check(ufunc.reduceat, array, [0, 2, 1])
    check(ufunc.reduce, a, axis=None)
    check(ufunc.reduce, a, axis=(0, 1), keepdims=True)
    check(ufunc.reduce, a, axis=1, dtype=np.float64)
    check(ufunc.reduce, a, axis=1, initial=2.5, where=mask)
    check(ufunc.reduce, a, axis=0, out=out)
    check(ufunc.reduce, a, 0, None, out)
    check(ufunc.accumulate, a, axis=1)
    check(ufunc.accumulate, a, 0, np.float64)
    check(ufunc.accumulate, v, out=out)
    check(ufunc.reduceat, a, np.array([0, 3, 5]), axis=1)
    check(ufunc.reduceat, v, [0, 1, 2, 3, 4, 5], out=out)
    for pair in ((v, v), (a, v), (x, v), (v, x), (v, 2.0), (3, v)):
        worked += check(ufunc.outer, *pair)
    check(ufunc.outer, v, x, dtype=np.float64)
    check(ufunc.at, out, [1, 1, 3], v[:3])
    check(ufunc.at, out, [0, 5], 2.5)
    assert worked or name in OTHER_SECOND_OPERAND


@taken_by_at
@pytest.mark.parametrize("layout", [one_bias, nonfinite], ids=lambda layout: layout.__name__)
def test_at_on_codes(name, layout, rng):
    """Whatever happens to an element happens in float64, and is rounded each time; NaN is positive."""
    ufunc = UFUNCS[name]
    a = layout(rng, (6,))
    operand = (np.arange(4) if name in OTHER_SECOND_OPERAND else layout(rng, (4,)),)[
        : ufunc.nin - 1
    ]
    indices = [1, 3, 1, 4]
    with np.errstate(all="ignore"):
        expected = a.codes.copy()
        for i, index in enumerate(indices):
            value = cf.decode(expected[index], a.format, a.bias, dtype=np.float64)
            result = np.asarray(value).reshape(1)
            ufunc.at(result, [0], *(x[i] for x in decoded(operand)))
            result[np.isnan(result)] = np.nan
            expected[index] = cf.encode(result, a.format, a.bias)[0]
        ufunc.at(a, indices, *operand)
    # which of two zeros they take depends on NumPy's loop; of a format's, -0 is the smaller one
    if name in ("fmax", "fmin", "maximum", "minimum"):
        a.codes[a.codes == 0x80] = expected[expected == 0x80] = 0
    np.testing.assert_array_equal(a.codes, expected)


@pytest.mark.slow
@elementwise
def test_large_arrays(name, rng):
    """Work in pieces and by tables gives what work on the whole gives."""
    ufunc = UFUNCS[name]
    for layout, shape in (
        (one_bias, (3, 50_000)),
        (a_bias_a_row, (3, 50_000)),
        (blocks, (70_001,)),
    ):
        a = layout(rng, shape)
        rest = (
            (2,) * (ufunc.nin - 1)
            if name in OTHER_SECOND_OPERAND
            else (layout(rng, shape),) * (ufunc.nin - 1)
        )
        check(ufunc, a, *rest)


@pytest.mark.parametrize("name", sorted(REFUSED.keys() & UFUNCS.keys()))
def test_refused(name):
    ufunc = UFUNCS[name]
    a = cf.asarray([1.0, 2.0], cf.CFloat8_1_4_3)
    message = f"^numpy.{name} does not take a CFloatArray: {re.escape(REFUSED[name])}$"
    with pytest.raises(cf.ArgumentTypeError, match=message):
        ufunc(*[a] * ufunc.nin)
    if ufunc.nin > 1:
        with pytest.raises(cf.ArgumentTypeError, match=message):
            ufunc(*[np.asarray(a)] * (ufunc.nin - 1), a)
    if ufunc.nin == 2 and ufunc.nout == 1:
        with pytest.raises(cf.ArgumentTypeError, match=message):
            ufunc.reduce(a)
