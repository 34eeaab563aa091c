"""NumPy's functions (NEP 18): what each gives of CFloatArrays is what it gives of the decoded arrays."""

import importlib
import inspect
import re
import warnings

import function_examples_computed  # noqa: F401 - adds its examples to the others
import numpy as np
import pytest
from function_examples import EXAMPLES, FUNCTIONS
from function_operands import SETUPS, Operands, operands

import cfloat as cf
from cfloat._array.registry import COMPUTED, KEEPS, REFUSED, key_of
from cfloat._matmul.numpy_products import FUNCTIONS as PRODUCTS

#: Functions that some supported releases of NumPy have, or dispatch on, and others not.
OF_SOME_RELEASES = """
    cumulative_prod cumulative_sum in1d unstack polynomial.polynomial.polygrid2d
    polynomial.polynomial.polyval2d
    arange array asanyarray asarray ascontiguousarray asfortranarray empty frombuffer fromfile fromiter
    fromstring zeros
    strings._join strings._rsplit strings._split strings._splitlines strings.capitalize strings.center
    strings.decode strings.encode strings.expandtabs strings.ljust strings.lower strings.mod strings.multiply
    strings.partition strings.replace strings.rjust strings.rpartition strings.swapcase strings.title
    strings.translate strings.upper strings.zfill
"""


def test_every_function_is_in_exactly_one_registry():
    registered = [*KEEPS, *COMPUTED, *REFUSED]
    assert len(set(registered)) == len(registered)
    assert FUNCTIONS.keys() <= set(registered)
    assert set(registered) - FUNCTIONS.keys() <= set(OF_SOME_RELEASES.split())


@pytest.fixture(autouse=True)
def written_text(tmp_path):
    """`savetxt` gives what it wrote."""

    def text(f, *args, **kwargs):
        f(tmp_path / "text", *args, **kwargs)
        return (tmp_path / "text").read_text()

    gives_text = (lambda f, s: text(f, s.m), lambda f, s: text(f, s.v, "%.3f", delimiter=","))
    EXAMPLES["savetxt"] = [("gives", call) for call in gives_text]


EXAMPLES["savetxt"] = []


# The comparison


def bound_of(function, call, before):
    """Return how far products may differ: twice 24 * 2^-23 of the sums of magnitudes, none being longer."""
    sums = call(function, before.decoded()._with_all(np.abs))
    return 48 * 2.0**-23 * np.asarray(sums, np.float64)


def assert_near(got, expected, bound):
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    finite = np.isfinite(bound)
    assert np.all(np.abs(got - expected)[finite] <= bound[finite])
    np.testing.assert_array_equal(got[~finite], expected[~finite])


def assert_gives(got, expected, mine, decoded, bound=None):
    """Check that a result is NumPy's: its type, its parts, and their bits; or the operand that NumPy's is.

    With a bound, it may differ by that.
    """
    for name, operand in vars(decoded).items():
        if expected is operand:
            assert got is getattr(mine, name)
            return
    assert type(got) is type(expected)
    if bound is not None and expected.dtype == np.float32:
        assert_near(got, expected, bound)
    elif isinstance(expected, tuple | list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_gives(one, other, mine, decoded)
    elif isinstance(expected, np.ndarray | np.generic):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.tobytes() == expected.tobytes(), f"{got!r}\n{expected!r}"
    else:
        assert got == expected or (got != got and expected != expected)


def assert_keeps(got, expected, biases, fmt):
    """Check that a result has NumPy's elements, in a format, with these biases."""
    if isinstance(expected, np.generic):
        assert_gives(got, expected, Operands(), Operands())
    elif isinstance(expected, tuple | list):
        assert type(got) is type(expected)
        if not isinstance(biases, tuple | list):
            biases = [biases] * len(expected)
        for one, other, bias in zip(got, expected, biases, strict=True):
            assert_keeps(one, other, bias, fmt)
    elif expected.dtype == np.float32:
        assert type(got) is cf.CFloatArray
        assert got.format == fmt
        assert got.shape == expected.shape
        # values that were filled in are rounded
        np.testing.assert_array_equal(got.codes, cf.encode(expected, fmt, biases))
        full = got._biases.full(got.shape)
        np.testing.assert_array_equal(full, np.broadcast_to(biases, got.shape))
        with warnings.catch_warnings(action="ignore"):  # broadcast_arrays warns of what will be
            assert got.flags.writeable == expected.flags.writeable
    else:  # indices and counts
        assert_gives(got, expected, Operands(), Operands())


def assert_shares(got, expected, mine, decoded):
    """Check that a result is a view of the operands that NumPy's is a view of."""
    if isinstance(expected, tuple | list):
        for one, other in zip(got, expected, strict=True):
            assert_shares(one, other, mine, decoded)
    elif isinstance(got, cf.CFloatArray):
        for name, operand in vars(decoded).items():
            own = getattr(mine, name)
            codes = own.codes if isinstance(own, cf.CFloatArray) else own
            assert np.shares_memory(got.codes, codes) == np.shares_memory(expected, operand)


def assert_written(mine, decoded, before, bound=None):
    """Check that what NumPy wrote into operands is in them, rounded, and nothing else changed."""
    for name, operand in vars(decoded).items():
        got, was = getattr(mine, name), getattr(before, name)
        changed = not np.array_equal(operand, np.asarray(was), equal_nan=True)
        if bound is not None and changed and isinstance(got, cf.CFloatArray):
            with np.errstate(invalid="ignore"):
                ends = (operand.astype(np.float64) + sign * bound for sign in (-1, 1))
            low, high = (cf.round_to(x, was.format, was._biases.full(was.shape)) for x in ends)
            # what is negative is NaN in an unsigned format
            values, either = np.asarray(got), np.isnan(low) | np.isnan(high)
            right = np.where(np.isnan(values), either, either | (low <= values) & (values <= high))
            assert np.all(right[np.isfinite(bound)])
        elif bound is not None and changed:
            assert_near(got, operand, bound)
        elif isinstance(got, cf.CFloatArray):
            np.testing.assert_array_equal(got._biases.full(got.shape), was._biases.full(was.shape))
            rounded = cf.encode(operand, was.format, was._biases.full(was.shape))
            np.testing.assert_array_equal(got.codes, rounded, name)
        else:
            np.testing.assert_array_equal(got, operand, name)


def assert_values(got, expected):
    """Check values, in whatever array they are."""
    if isinstance(expected, tuple | list):
        assert type(got) is type(expected)
        for one, other in zip(got, expected, strict=True):
            assert_values(one, other)
    else:
        assert type(got) is type(expected) or type(got) is cf.CFloatArray
        assert_gives(np.asarray(got), np.asarray(expected), Operands(), Operands())


def first_argument(a, *args, **kwargs):
    return a


def check(kind, function, call, before, name):
    """Compare what a call gives with what it gives of decoded arrays; return whether it gives anything."""
    mine = before.copy()
    decoded = before.decoded_in_order() if kind in ("moves", "lies") else before.decoded()
    try:
        expected = call(function, decoded)
    except Exception as error:  # the values may be beyond what it takes: infinities, for most
        with pytest.raises(type(error)):
            call(function, mine)
        return False
    got = call(function, mine)
    bound = bound_of(function, call, before) if name in PRODUCTS else None
    if kind == "overwrites":
        assert_written(mine, decoded, before)
        return True
    fmt, one = before.m.format, before.m._biases.one
    assert_written(mine, decoded, before, bound)
    if kind == "repr":
        assert got == repr(call(first_argument, mine))
    elif kind == "shape":
        assert (type(got), got.shape, got.format) == (cf.CFloatArray, expected.shape, fmt)
    elif kind in ("gives", "lies") or (kind == "joins" and one is None):
        assert_gives(got, expected, mine, decoded, bound)
    elif kind == "values":
        assert_values(got, expected)
    elif kind == "along" and (kept := kept_along(function, name, call, before)) is None:
        assert_gives(got, expected, mine, decoded, bound)
    else:
        biases = kept if kind == "along" else KEPT[kind](function, call, before)
        assert_keeps(got, expected, biases, fmt)
    if kind == "moves":
        assert_shares(got, expected, mine, decoded)
    return True


def kept_along(function, name, call, before):
    """Return the biases of what was sorted or reduced, or None if there are several where elements meet."""
    biases = before.biases()
    if name in ("sort", "partition"):
        least = call(function, biases)
        most = -call(function, biases._with_all(lambda x: -1 * x))
    else:
        least, most = call(np.min, biases), call(np.max, biases)
    return least if np.array_equal(least, most) else None


#: The biases that a result has, as far as they are known here.
KEPT = {
    "moves": lambda function, call, before: call(function, before.biases()),
    "joins": lambda function, call, before: before.m._biases.one,
    "takes": lambda function, call, before: before.biases().m,
    "same": lambda function, call, before: call(first_argument, before.biases()),
}


QUICK_SETUPS = ("one bias", "blocks, transposed")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(label, marks=() if label in QUICK_SETUPS else pytest.mark.slow)
        for label in SETUPS
    ],
)
def setup(request):
    return request.param, operands(*SETUPS[request.param])


@pytest.mark.filterwarnings("ignore:`in1d` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name in FUNCTIONS])
def test_examples(name, setup):
    label, before = setup
    for kind, call in EXAMPLES[name]:
        with np.errstate(all="ignore"):
            worked = check(kind, FUNCTIONS[name], call, before, name)
        assert worked or label != "one bias"


def by_keyword(function):
    """Return a function called by the names of its parameters alone, or None if it cannot be."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return None
    names = [one.name for one in parameters]
    if any(one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL) for one in parameters):
        return None
    return lambda *args, **kwargs: function(**dict(zip(names, args, strict=False)), **kwargs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`in1d` is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if name in EXAMPLES and by_keyword(FUNCTIONS[name])]
)
@pytest.mark.parametrize("label", ["one bias", "blocks"])
def test_examples_by_keyword(name, label):
    for kind, call in EXAMPLES[name]:
        if name != "savetxt":
            check(kind, by_keyword(FUNCTIONS[name]), call, operands(*SETUPS[label]), name)


def test_every_function_has_an_example():
    assert EXAMPLES.keys() == (KEEPS.keys() | COMPUTED.keys()) & FUNCTIONS.keys()


# Functions that refuse


@pytest.mark.parametrize("name", [name for name in REFUSED if name in FUNCTIONS])
def test_refused(name):
    # of the two objects of functions that take like=, the public one is called
    place, _, short = name.rpartition(".")
    place = importlib.import_module(f"numpy.{place}" if place else "numpy")
    a = cf.asarray([1.0, 2.0], cf.CFloat8_1_4_3)
    reason = re.escape(REFUSED[name])
    function = getattr(place, short, FUNCTIONS[name])
    with pytest.raises(
        cf.ArgumentTypeError, match=f"^{re.escape(name)} does not take a CFloatArray: {reason}$"
    ):
        REFUSED_CALLS.get(name, call_with_all)(function, a)


def call_with_all(f, a):
    """Call with as many CFloatArrays as it requires."""
    parameters = inspect.signature(f).parameters.values()
    return f(
        *[
            a
            for one in parameters
            if one.default is one.empty and one.kind <= one.POSITIONAL_OR_KEYWORD
        ]
    )


LIKE = """
    arange array asanyarray asarray ascontiguousarray asfortranarray empty eye genfromtxt identity loadtxt
    ones require tri zeros
"""
REFUSED_CALLS = {
    **dict.fromkeys(LIKE.split(), lambda f, a: f(2, like=a)),
    "full": lambda f, a: f(2, 1.0, like=a),
    "fromfunction": lambda f, a: f(np.add, (2, 2), like=a),
    "fromiter": lambda f, a: f([1], float, like=a),
    "fromstring": lambda f, a: f("1 2", sep=" ", like=a),
    "frombuffer": lambda f, a: f(b"12345678", like=a),
    "fromfile": lambda f, a: f("unused", like=a),
    "lib.recfunctions.merge_arrays": lambda f, a: f((a, a)),
    "lib.recfunctions.stack_arrays": lambda f, a: f((a, a)),
    "bincount": lambda f, a: f(a),
    "ravel_multi_index": lambda f, a: f((a, a), (2, 2)),
    "unravel_index": lambda f, a: f(a, (2, 2)),
    "packbits": lambda f, a: f(a),
    "unpackbits": lambda f, a: f(a),
    "busday_count": lambda f, a: f(a, a),
    "busday_offset": lambda f, a: f(a, 1),
    "is_busday": lambda f, a: f(a),
    "datetime_as_string": lambda f, a: f(a),
    "save": lambda f, a: f("unused", a),
    "savez": lambda f, a: f("unused", a),
    "savez_compressed": lambda f, a: f("unused", b=a),
    "lib.recfunctions.apply_along_fields": lambda f, a: f(np.mean, a),
    "lib.recfunctions.join_by": lambda f, a: f("key", a, a),
    "lib.recfunctions.rec_join": lambda f, a: f("key", a, a),
    "lib.recfunctions.append_fields": lambda f, a: f(a, "name", a),
    "lib.recfunctions.rec_append_fields": lambda f, a: f(a, "name", a),
}


# More of single functions


def test_names_of_other_releases():
    assert key_of(np.lib.scimath.sqrt) == "lib.scimath.sqrt"
    assert key_of(np.linalg.norm) == "linalg.norm"
    assert key_of(np.mean) == "mean"


def test_other_types_are_asked():
    class Other:
        def __array_function__(self, func, types, args, kwargs):
            return func.__name__

    a = cf.asarray([1.0, 2.0], cf.CFloat8_1_4_3)
    assert np.concatenate([a, Other()]) == "concatenate"
    assert np.array_equal(Other(), a) == "array_equal"


def test_empty_like_of_a_dtype():
    a = cf.asarray([[1.0, 2.0]], cf.CFloat8_1_4_3)
    made = np.empty_like(a, np.float16)
    assert (type(made), made.shape, made.dtype) == (np.ndarray, (1, 2), np.float16)
    assert np.empty_like(a, shape=(3, 3)).shape == (3, 3)


def test_array_repr_takes_printing_options():
    a = cf.asarray([1 / 3, 2.5], cf.CFloat16_SHP)
    assert np.array_repr(a, precision=2) == "CFloatArray([0.33, 2.5 ], CFloat16_SHP, bias=15)"


def test_an_output_of_another_shape_is_refused():
    a = cf.asarray(np.ones((2, 3)), cf.CFloat8_1_4_3)
    for call in (
        lambda out: np.sum(a, axis=0, out=out),
        lambda out: np.take(a, [0], out=out),
        lambda out: np.take(np.ones(3), [0], out=out),
        lambda out: np.clip(a, 0, 1, out=out),
    ):
        out = cf.asarray(np.zeros((3, 2)), cf.CFloat8_1_4_3)
        with pytest.raises(ValueError, match="shape"):
            call(out)
        assert not out.codes.any()


def test_copyto_takes_same_kind():
    a = cf.asarray([1.0, 2.0], cf.CFloat8_1_4_3)
    with pytest.raises(cf.ArgumentTypeError, match="casting is 'safe'"):
        np.copyto(a, [1.0, 2.0], casting="safe")


@pytest.mark.parametrize(
    "where", [1, 0, 1.0, True, False, [1, 0, 1], np.array([True, False, False])]
)
def test_copyto_takes_masks_as_numpy_does(where):
    a, expected = cf.asarray([1, 2, 3], cf.CFloat8_1_4_3), np.array([1, 2, 3], np.float32)
    np.copyto(a, 9, where=where)
    np.copyto(expected, 9, where=where)
    np.testing.assert_array_equal(np.asarray(a), expected)


@pytest.mark.parametrize("where", [np.array([0, 1, 2]), cf.asarray([1, 0, 1], cf.CFloat8_1_4_3)])
def test_copyto_refuses_masks_as_numpy_does(where):
    for a in (cf.asarray([1, 2, 3], cf.CFloat8_1_4_3), np.ones(3, np.float32)):
        with pytest.raises(TypeError, match="Cannot cast"):
            np.copyto(a, 9, where=where)
        np.testing.assert_array_equal(np.asarray(a)[:1], 1)


SIX_BITS = cf.Format("f6", exponent_bits=3, mantissa_bits=2, bias=3)


def test_empty_like_holds_codes(monkeypatch):
    a = cf.asarray(np.ones((3, 4)), SIX_BITS)
    empty_like = np.empty_like
    with monkeypatch.context() as patched:  # memory as it may be
        patched.setattr(np, "empty_like", lambda x, **how: np.full_like(x, 255, **how))
        made = empty_like(a)
    assert (made.format, made.shape) == (SIX_BITS, (3, 4))
    assert made.codes.max() < 64


def test_padding_with_anything_gives_codes_and_biases():
    junk = [np.full(n, 255, np.uint8) for n in (20, 36, 64) for _ in range(50)]
    del junk  # what padding may find in its memory
    a = cf.asarray(np.ones((3, 4)), SIX_BITS)
    assert np.pad(a, 1, mode="empty").codes.max() < 64
    shp = cf.CFloat16_SHP
    b = cf.asarray(np.ones((3, 4)), shp, [20, 21, 22], axis=0)
    padded = np.pad(b, ((1, 2), (0, 3)), mode="empty")
    expected = np.repeat([[20], [20], [21], [22], [22], [22]], 7, axis=1)
    np.testing.assert_array_equal(np.broadcast_to(padded.bias, (6, 7)), expected)
    np.testing.assert_array_equal(np.asarray(padded)[1:4, :4], 1)
    empty = np.pad(b[:, :0], ((0, 0), (1, 0)), mode="empty")
    assert np.asarray(empty).shape == (3, 1)
    with pytest.raises(ValueError, match="unsupported keyword"):
        np.pad(a, 1, mode="empty", constant_values=1)


def test_resizing_nothing_gives_zeros_of_the_default_bias():
    uhp = cf.CFloat16_UHP
    a = cf.asarray(np.ones((2, 3)), uhp, [31, 30] if uhp.bias_range[0] < 31 else [31, 31], axis=0)
    made = np.resize(a[:, :0], (2, 2))
    assert np.asarray(made.bias).tolist() == uhp.default_bias
    np.testing.assert_array_equal(made.codes, 0)
