"""Arrays made of values and of shapes: `array`, `zeros`, `ones`, `empty` and `full`."""

import numpy as np
import pytest
from arrays import same as same_values

import cfloat as cf

FMT, SHP = cf.CFloat8_1_4_3, cf.CFloat16_SHP
FORMATS = (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS)


def same(got, expected):
    """Whether arrays have the same values, format and biases."""
    return (
        same_values(got, expected)
        and got.format == expected.format
        and np.array_equal(got.bias, expected.bias)
        and got.block == expected.block
    )


SHAPES = (0, 3, (), (4,), (2, 3), (2, 0), np.int64(5), [2, 3], (2, np.int8(1), 3))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"bias": 9},
        {"bias": "mse"},
        {"bias": [4, 8], "axis": 0},
        {"bias": "max", "block": 2},
        {"rounding": "stochastic", "seed": 3, "offset": 5, "stochastic_bits": 8, "stochastic_variant": "C"},
        {"rounding": "stochastic", "random_bits": [[1, 2, 3]]},
    ],
    ids=lambda how: " ".join(how),
)  # fmt: skip
def test_array_is_asarray(how):
    x = np.random.default_rng(0).normal(size=(2, 3))
    for values in (x, x.tolist(), x.astype(np.float16), cf.asarray(x, SHP)):
        assert same(cf.array(values, FMT, **how), cf.asarray(values, FMT, **how))


def test_array_copies():
    a = cf.asarray([[1.0, 2.0], [3.0, 4.0]], FMT, [4, 8], axis=0)
    assert cf.asarray(a, FMT, a.bias) is a
    for part in (a, a.T, a[:, ::2], a[0]):
        copied = cf.array(part, FMT, part.bias)
        assert same(copied, part)
        assert not np.shares_memory(copied.codes, a.codes)
    assert cf.array(a.T, FMT, a.T.bias).codes.flags.f_contiguous == a.T.codes.flags.f_contiguous
    codes = a.codes.copy()
    copied = cf.array(a, FMT, a.bias)
    copied[...] = 0
    np.testing.assert_array_equal(a.codes, codes)


class Weights(cf.CFloatArray):
    pass


def test_array_of_a_subclass():
    a = Weights(np.uint8([1, 2]), FMT)
    assert type(cf.array(a, FMT)) is cf.CFloatArray  # as np.array does
    assert type(cf.asarray(a, FMT)) is Weights


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_shapes(fmt, shape):
    expected = np.zeros(shape).shape
    for made, value in (
        (cf.zeros(shape, fmt), 0),
        (cf.ones(shape, fmt), 1),
        (cf.full(shape, 0.3, fmt), 0.3),
        (cf.empty(shape, fmt), None),
    ):
        assert type(made) is cf.CFloatArray
        assert (made.shape, made.format, made.bias) == (expected, fmt, fmt.default_bias)
        assert made.codes.dtype == fmt.storage_dtype
        assert made.codes.flags.c_contiguous
        assert made.codes.flags.owndata
        if value is not None:
            assert same(made, cf.asarray(np.full(shape, value), fmt))
        made[...] = 1
        assert (np.asarray(made) == 1).all()


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((2, 3), {"bias": 20}),
        ((2, 3), {"bias": [[20], [3]]}),
        ((2, 3), {"bias": [20, 3], "axis": 0}),
        ((2, 5), {"bias": [[20, 3, 7], [4, 5, 6]], "block": 2}),
        ((2, 4), {"bias": [20, 3], "block": 2}),
        (3, {"bias": 63}),
    ],
)
def test_biases(shape, how):
    for made, value in ((cf.zeros(shape, FMT, **how), 0), (cf.ones(shape, FMT, **how), 1),
                        (cf.full(shape, -500.0, FMT, **how), -500.0)):  # fmt: skip
        assert same(made, cf.asarray(np.full(shape, value), FMT, **how))
    assert np.asarray(cf.empty(shape, FMT, **how)).shape == np.zeros(shape).shape


def test_formats_by_name():
    a = cf.array([1.0, 2.7], "CFloat8_1_5_2", 12)
    assert same(a, cf.asarray([1.0, 2.7], cf.CFloat8_1_5_2, 12))
    assert same(cf.CFloatArray(a.codes, "CFloat8_1_5_2", 12), a)
    assert same(a.astype("CFloat16_SHP"), a.astype(SHP))
    assert same(a.astype("CFloat8_1_4_3", 6), a.astype(FMT, 6))
    for make in (cf.zeros, cf.ones, cf.empty):
        assert make(2, "float8_e5m2").format is cf.float8_e5m2
    assert cf.full(2, 3, "bfloat16").format is cf.bfloat16
    # a dtype's name is the dtype
    assert a.astype("float16").dtype == np.float16
    with pytest.raises(TypeError):
        a.astype("CFloat")


def test_a_value_for_each_element():
    value = [[1.0], [2.7]]
    assert same(cf.full((2, 3), value, SHP), cf.asarray(np.broadcast_to(value, (2, 3)), SHP))
    assert same(cf.full((2, 2), cf.asarray([1.0, 2.0], SHP), FMT), cf.asarray([[1, 2]] * 2, FMT))
    assert np.asarray(cf.full(2, np.nan, cf.CFloat16_UHP)).tolist() != [0, 0]


def test_what_is_empty_holds_codes():
    fmt = cf.Format("fp6", exponent_bits=3, mantissa_bits=2)
    for _ in range(20):
        junk = np.full(1000, 255, np.uint8)
        del junk
        assert (cf.empty(1000, fmt).codes < 64).all()


def test_flags_of_each_element():
    with cf.record_flags() as flags:
        cf.full((2, 3), 1e9, FMT)
        cf.zeros(100, FMT)
    assert (flags.overflow, flags.invalid, flags.underflow) == (6, 0, 0)
    with pytest.raises(cf.FlagError, match="overflow"), cf.errstate(overflow="raise"):
        cf.full(2, 1e9, FMT)


@pytest.mark.parametrize(
    "make", [cf.zeros, cf.ones, cf.empty, lambda *a, **k: cf.full(a[0], 1, *a[1:], **k)]
)
@pytest.mark.parametrize(
    ("error", "says", "arguments", "how"),
    [
        (TypeError, "shape is 2.5; it takes an integer or a tuple of integers", (2.5, FMT), {}),
        (TypeError, "shape is 'ab'; it takes", ("ab", FMT), {}),
        (TypeError, "shape is (2, None); it takes", ((2, None), FMT), {}),
        (ValueError, "shape is -1: negative dimensions", (-1, FMT), {}),
        (ValueError, "shape is (1, 1", ((1,) * 99, FMT), {}),
        (ValueError, "shape is (4611686018427387904, 4611686018427387904)", ((2**62, 2**62), FMT), {}),
        (TypeError, "format is None; it takes a cfloat.Format", (3, None), {}),
        (TypeError, "format is dtype('float32'); it takes", (3, np.dtype("f4")), {}),
        (ValueError, "format is 'CFloat'; the names are CFloat8_1_4_3", (3, "CFloat"), {}),
        (ValueError, "bias is 64; CFloat8_1_4_3 takes", (3, FMT, 64), {}),
        (TypeError, "bias is 'mse'; it takes an integer", (3, FMT, "mse"), {}),
        (ValueError, "bias has shape (2,), which does not broadcast to (3,)", (3, FMT, [1, 2]), {}),
        (ValueError, "axis is 1; it takes", (3, FMT, [1, 2, 3]), {"axis": 1}),
        (ValueError, "with block it takes one", (3, FMT, 1), {"axis": (0, 0), "block": 1}),
    ],
)  # fmt: skip
def test_wrong_arguments(make, error, says, arguments, how):
    with pytest.raises(error) as caught:
        make(*arguments, **how)
    assert isinstance(caught.value, cf.CFloatError)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_values():
    for value, error, says in (
        ("x", TypeError, "value has dtype <U1; it takes"),
        (1j, TypeError, "value has dtype complex128; it takes"),
        ([1, 2], ValueError, "value has shape (2,), which does not broadcast to (3,)"),
        (np.ones((1, 3)), ValueError, "value has shape (1, 3), which does not broadcast to (3,)"),
    ):
        with pytest.raises(error) as caught:
            cf.full(3, value, FMT)
        assert isinstance(caught.value, cf.CFloatError)
        assert says in str(caught.value)
    for x, fmt in (("x", FMT), ([1], None), ([1], "fp8")):
        with pytest.raises(cf.CFloatError):
            cf.array(x, fmt)


@pytest.mark.parametrize(
    ("fmt", "expected"),
    [
        ("float8_e8m0fnu", np.nan),
        (cf.Format("no_zero", exponent_bits=4, mantissa_bits=3, subnormals="normal"), 2.0**-7),
    ],
    ids=str,
)
def test_zeros_where_there_is_no_zero(fmt, expected):
    """They are refused, and not what the code 0 is; a zero that is asked for as a value is encoded."""
    a = cf.asarray([1.0, 2.0], fmt)
    for make in (lambda: cf.zeros(2, fmt), lambda: np.zeros_like(a)):
        with pytest.raises(cf.ArgumentValueError, match="has no zero"):
            make()
    np.testing.assert_array_equal(cf.full(2, 0.0, fmt), [expected] * 2)
    for function in (np.diag, np.diagflat, np.tril, np.triu):
        filled = function(a)
        np.testing.assert_array_equal(filled, function(np.array([1.0, 2.0], np.float32)))
        assert type(filled) is np.ndarray
    square = cf.asarray(np.full((2, 2), 4.0), fmt)
    assert np.diag(square).format == cf.format(fmt)
