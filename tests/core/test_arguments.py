"""Bad arguments: what was given and what is allowed, in one line."""

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from refusals import type_error, value_error

import cfloat as cf
from cfloat._core.text import shown

FMT = cf.CFloat8_1_4_3
X = np.array([1.0, 2.0, 3.0])
CODES = np.array([1, 2, 3], np.uint8)
MODES = (
    "ties_to_even, ties_to_away, toward_zero, toward_positive, toward_negative, to_odd, ties_to_zero, "
    "stochastic"
)


def test_errors_are_pythons_own_too():
    assert issubclass(cf.ArgumentTypeError, TypeError)
    assert issubclass(cf.ArgumentValueError, ValueError)
    assert issubclass(cf.FormatError, ValueError)
    assert issubclass(cf.FileError, ValueError)
    assert issubclass(cf.MissingExtraError, ImportError)
    for name in cf.__all__:
        if name.endswith("Error"):
            assert issubclass(getattr(cf, name), cf.CFloatError)


every_operation = pytest.mark.parametrize(
    ("operation", "operand"), [(cf.encode, X), (cf.round_to, X), (cf.decode, CODES)]
)
every_rounding_operation = pytest.mark.parametrize("operation", [cf.encode, cf.round_to])


@every_operation
@pytest.mark.parametrize("fmt", [b"CFloat8_1_4_3", None, np.float16, cf.finfo(FMT), 8])
def test_format(operation, operand, fmt):
    type_error("; it takes a cfloat.Format, such as cfloat.CFloat8_1_4_3", operation, operand, fmt)


@every_operation
@pytest.mark.parametrize("fmt", [*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS], ids=str)
def test_format_by_name(operation, operand, fmt):
    operand = operand.astype(fmt.storage_dtype) if operation is cf.decode else operand
    np.testing.assert_array_equal(operation(operand, fmt.name), operation(operand, fmt))


@every_operation
@pytest.mark.parametrize("name", ["CFloat8", "CFloat8_1_4_3 ", ""])
def test_name_of_no_format(operation, operand, name):
    names = ", ".join(fmt.name for fmt in (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS))
    value_error(f"format is {name!r}; the names are {names}, ", operation, operand, name)


def test_every_function_takes_the_name_of_a_format():
    name = FMT.name
    assert cf.finfo(name) == cf.finfo(FMT)
    assert cf.choose_bias(X, name) == cf.choose_bias(X, FMT)
    assert cf.choose_bias(X, name, axis=0).tolist() == cf.choose_bias(X, FMT, axis=0).tolist()
    assert cf.BiasTracker(name).format == FMT
    assert cf.asarray(X, name).format == FMT
    assert cf.CFloatArray(CODES, name).format == FMT
    assert cf.error(X, X, name) == cf.error(X, X, FMT)
    for function in (cf.finfo, cf.BiasTracker, lambda name: cf.choose_bias(X, name)):
        value_error("format is 'CFloat8'; the names are ", function, "CFloat8")


@every_operation
@pytest.mark.parametrize(
    ("bias", "given"),
    [
        (64, "bias is 64; "),
        (-1, "bias is -1; "),
        (10**30, f"bias is {10**30}; "),
        (np.int64(64), "bias is 64; "),
        (np.array(64), "bias is 64; "),
        ([7, 64, 7], "bias has an element 64; "),
        (np.array([-1, 0, 64]), "bias has an element -1; "),
        (np.array([2**16 + 7]), "bias has an element 65543; "),
        (np.array([2**64 - 1], np.uint64), f"bias has an element {2**64 - 1}; "),
    ],
)
def test_value_of_bias(operation, operand, bias, given):
    message = given + "CFloat8_1_4_3 takes an integer from 0 to 63"
    value_error(message, operation, operand, FMT, bias)


@every_operation
@pytest.mark.parametrize(
    ("bias", "given"),
    [
        (1.5, "bias is 1.5; it takes an integer"),
        (7.0, "bias is 7.0; it takes an integer"),
        (True, "bias is True; it takes an integer"),
        (7j, "bias is 7j; it takes an integer"),
        (np.True_, "bias has dtype bool; it takes integers"),
        (np.float32(7), "bias has dtype float32; it takes integers"),
        (np.array([7.0]), "bias has dtype float64; it takes integers"),
        ([True, False, True], "bias has dtype bool; it takes integers"),
        (["7", "7", "7"], f"bias has dtype {np.dtype('U1')}; it takes integers"),
        ([7, None, 7], "bias has dtype object; it takes integers"),
        ({7}, "bias has dtype object; it takes integers"),
    ],
)
def test_type_of_bias(operation, operand, bias, given):
    type_error(given, operation, operand, FMT, bias)


@pytest.mark.parametrize(("operation", "operand"), [(cf.encode, X), (cf.decode, CODES)])
def test_codes_have_no_bias_of_a_name(operation, operand):
    for name in ("7", "mse"):
        type_error(f"bias is '{name}'; it takes an integer", operation, operand, FMT, name)


def test_names_of_biases():
    value_error("bias is '7'; it takes 'max', 'mse', 'percentile'", cf.round_to, X, FMT, "7")


@every_operation
def test_shape_of_bias(operation, operand):
    value_error(
        "bias has shape (2,), which does not broadcast with (3,)", operation, operand, FMT, [7, 7]
    )


@pytest.mark.parametrize("bias", [30, [31, 32, 31]])
def test_bias_of_unsigned_half_precision(bias):
    value_error("; CFloat16_UHP takes only 31", cf.encode, X, cf.CFloat16_UHP, bias)
    codes = CODES.astype(np.uint16)
    value_error("; CFloat16_UHP takes only 31", cf.decode, codes, cf.CFloat16_UHP, bias)


def test_no_bias_is_the_default():
    for fmt in (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS):
        codes = cf.encode(X, fmt)
        np.testing.assert_array_equal(codes, cf.encode(X, fmt, None))
        np.testing.assert_array_equal(codes, cf.encode(X, fmt, fmt.default_bias))
        np.testing.assert_array_equal(cf.decode(codes, fmt), X)


@every_rounding_operation
@pytest.mark.parametrize("rounding", ["nearest", "", "TIES_TO_EVEN", "ties_to_even "])
def test_value_of_rounding(operation, rounding):
    value_error(
        f"rounding is {rounding!r}; it takes one of {MODES}", operation, X, FMT, rounding=rounding
    )


@every_rounding_operation
@pytest.mark.parametrize("rounding", [None, 0, b"stochastic", ["stochastic"], np.array(["a", "b"])])
def test_type_of_rounding(operation, rounding):
    message = f"rounding is {shown(rounding)}; it takes one of {MODES}"
    type_error(message, operation, X, FMT, rounding=rounding)


@every_rounding_operation
@pytest.mark.parametrize("rounding", ["stochastic", "ties_to_even"])
@pytest.mark.parametrize("name", ["seed", "offset"])
def test_seed_and_offset(operation, rounding, name):
    for value in (-1, 2**64):
        message = f"{name} is {value}; it takes an integer from 0 to 2**64 - 1"
        value_error(message, operation, X, FMT, rounding=rounding, **{"seed": 0, name: value})
    for value in (1.0, "1", True, [1], np.array([1, 2])):
        message = f"{name} is {shown(value)}; it takes an integer"
        type_error(message, operation, X, FMT, rounding=rounding, **{"seed": 0, name: value})
    expected = operation(X, FMT, rounding=rounding, **{"seed": 0, name: 5})
    for value in (np.uint8(5), np.array(5)):
        same = operation(X, FMT, rounding=rounding, **{"seed": 0, name: value})
        np.testing.assert_array_equal(same, expected)


def test_no_offset():
    type_error("offset is None; it takes an integer", cf.encode, X, FMT, offset=None)


@every_rounding_operation
@pytest.mark.parametrize("bits", [0, 33, -1, 2**64, np.int64(64)])
def test_value_of_stochastic_bits(operation, bits):
    message = f"stochastic_bits is {bits}; it takes an integer from 1 to 32"
    value_error(message, operation, X, FMT, rounding="stochastic", stochastic_bits=bits)


@every_rounding_operation
@pytest.mark.parametrize(
    "bits",
    [1.5, 8.0, 32.0, True, "8", None, [8], np.float32(32), np.array([8, 8]), np.array([32, 32])],
    ids=repr,
)
def test_type_of_stochastic_bits(operation, bits):
    type_error(
        "stochastic_bits is ", operation, X, FMT, rounding="stochastic", stochastic_bits=bits
    )


@every_rounding_operation
@pytest.mark.parametrize("variant", ["D", "a", "", "AB", "A "])
def test_value_of_stochastic_variant(operation, variant):
    message = f"stochastic_variant is {variant!r}; it takes one of A, B, C"
    value_error(message, operation, X, FMT, rounding="stochastic", stochastic_variant=variant)


@every_rounding_operation
@pytest.mark.parametrize("variant", [None, 0, b"A", ["A"], np.array(["A", "B"])], ids=repr)
def test_type_of_stochastic_variant(operation, variant):
    type_error(
        "stochastic_variant is ",
        operation,
        X,
        FMT,
        rounding="stochastic",
        stochastic_variant=variant,
    )


@every_rounding_operation
@pytest.mark.parametrize(
    "words",
    [[1.0, 2.0, 3.0], 0.5, 1j, "abc", [True, False, True], object(), [2**70, 0, 0], np.zeros(3, np.float32),
     np.zeros(3, "M8[s]")],
    ids=lambda words: "object()" if type(words) is object else repr(words),
)  # fmt: skip
def test_type_of_random_bits(operation, words):
    type_error("random_bits has dtype", operation, X, FMT, rounding="stochastic", random_bits=words)


@every_rounding_operation
@pytest.mark.parametrize("bits", [1, 8, 31, 32])
def test_range_of_random_bits(operation, bits):
    for wrong in (-1, 2**bits, 2**63 - 1, -(2**63)):
        message = f"random_bits has an element {wrong}; it takes integers from 0 to 2**{bits} - 1"
        for words in (wrong, [0, wrong, 1], np.array([[wrong], [0]])):
            value_error(
                message,
                operation,
                X,
                FMT,
                rounding="stochastic",
                random_bits=words,
                stochastic_bits=bits,
            )
    operation(X, FMT, rounding="stochastic", random_bits=2**bits - 1, stochastic_bits=bits)


@every_rounding_operation
@pytest.mark.parametrize("shape", [(2,), (4,), (2, 3), (3, 1), (1, 3), (0,)])
def test_shape_of_random_bits(operation, shape):
    message = f"random_bits has shape {shape}, which does not broadcast to (3,)"
    value_error(
        message, operation, X, FMT, rounding="stochastic", random_bits=np.zeros(shape, np.uint32)
    )


@every_rounding_operation
@pytest.mark.parametrize(
    "options", [{"seed": 1}, {"seed": 0}, {"offset": 1}, {"seed": 0, "offset": 5}]
)
def test_random_bits_and_a_seed(operation, options):
    message = "random_bits takes the place of seed and offset; give one or the other"
    value_error(message, operation, X, FMT, rounding="stochastic", random_bits=[1, 2, 3], **options)


@every_rounding_operation
@pytest.mark.parametrize("mode", [mode for mode in cf.ROUNDING_MODES if mode != "stochastic"])
@pytest.mark.parametrize(
    "options",
    [{"random_bits": [1, 2, 3]}, {"stochastic_bits": 8}, {"stochastic_variant": "B"}, {"stochastic_bits": 33},
     {"stochastic_bits": True}, {"stochastic_variant": "D"}],
    ids=repr,
)  # fmt: skip
def test_another_mode_takes_none_of_these(operation, mode, options):
    message = f"rounding is {mode!r}; random_bits, stochastic_bits and stochastic_variant need 'stochastic'"
    value_error(message, operation, X, FMT, rounding=mode, **options)
    plain = operation(X, FMT, rounding=mode)
    same = operation(
        X,
        FMT,
        rounding=mode,
        random_bits=None,
        stochastic_bits=32,
        stochastic_variant="A",
    )
    np.testing.assert_array_equal(same, plain)


@every_rounding_operation
@pytest.mark.parametrize(
    "x",
    [
        "1.0",
        ["1", "2"],
        b"1",
        1j,
        np.zeros(3, np.complex64),
        np.array([1.0, None]),
        None,
        {"a": 1.0},
        2**64,
        [-(2**63) - 1],
        np.array(["2021-06-01"], "datetime64[D]"),
        np.zeros(2, "timedelta64[s]"),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, "V2"),
        np.zeros(2, ml_dtypes.int4),
        np.zeros(2, ml_dtypes.uint2),
    ],
    ids=str,
)
def test_type_of_operand(operation, x):
    given = np.asarray(x).dtype
    hint = " (integers beyond 64 bits?)" if given.kind == "O" and type(x) in (int, list) else ""
    allowed = (
        "float64, float32, float16, bfloat16, float8_e4m3fn, float8_e5m2 or an integer type, or another of "
        "ml_dtypes' floats"
    )
    type_error(f"x has dtype {given}{hint}; it takes {allowed}", operation, x, FMT)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="longdouble is float64 here")
def test_longdouble():
    x = np.zeros(3, np.longdouble)
    for operation in (cf.encode, cf.round_to):
        type_error(f"x has dtype {x.dtype}; it takes float64", operation, x, FMT)
    type_error("; it takes float64", cf.decode, CODES, FMT, dtype=np.longdouble)
    type_error("; it takes float64", cf.decode, CODES, FMT, out=x)


@pytest.mark.parametrize(
    ("codes", "fmt", "dtype"),
    [
        (CODES.astype(np.float32), FMT, "float32"),
        (CODES.astype(np.int8), FMT, "int8"),
        (CODES.astype(np.int64), FMT, "int64"),
        (CODES.astype(np.uint16), FMT, "uint16"),
        (CODES, cf.CFloat16_SHP, "uint8"),
        (CODES.astype(np.int16), cf.CFloat16_SHP, "int16"),
        (CODES.astype(np.float16), cf.CFloat16_SHP, "float16"),
        (CODES.astype(bool), FMT, "bool"),
        (np.int64(3), FMT, "int64"),
        (np.zeros(0), FMT, "float64"),
        ([1.0, 2.0], FMT, "float64"),
        ([True], FMT, "bool"),
        (1.0, FMT, "float64"),
        ("1", FMT, np.dtype("U1")),
        (None, FMT, "object"),
        (2**64, FMT, "object"),
    ],
    ids=str,
)
def test_type_of_codes(codes, fmt, dtype):
    type_error(
        f"codes have dtype {dtype}; those of {fmt.name} have {fmt.storage_dtype}",
        cf.decode,
        codes,
        fmt,
    )


def test_codes_out_of_range():
    fp6 = cf.Format("fp6", exponent_bits=3, mantissa_bits=2)
    fp12 = cf.Format("fp12", exponent_bits=5, mantissa_bits=6)
    message = "codes have an element 64; fp6 has codes 0 to 63"
    value_error(message, cf.decode, np.array([1, 64], np.uint8), fp6)
    value_error(message, cf.decode, [1, 64], fp6)
    value_error("codes have an element -1; fp6 has codes 0 to 63", cf.decode, [-1, 99], fp6)
    codes = np.array([0x1000], ">u2")
    value_error("codes have an element 4096; fp12 has codes 0 to 4095", cf.decode, codes, fp12)
    value_error("codes have an element 256; CFloat8_1_4_3 has codes 0 to 255", cf.decode, 256, FMT)
    value_error("codes have an element -1; CFloat16_SHP has", cf.decode, [-1], cf.CFloat16_SHP)
    assert cf.decode([63], fp6) == -28
    assert cf.decode([4095], fp12) == -cf.finfo(fp12).max


@pytest.mark.parametrize(
    "dtype",
    [
        np.int32,
        np.complex64,
        bool,
        "U3",
        object,
        np.dtype(np.float32).newbyteorder(),
        "V2",
        "datetime64[s]",
        ml_dtypes.int4,
        ml_dtypes.uint2,
    ],
    ids=str,
)
def test_dtype(dtype):
    allowed = (
        "; it takes float64, float32, float16, bfloat16, float8_e4m3fn or float8_e5m2, of native"
    )
    type_error(allowed, cf.decode, CODES, FMT, dtype=dtype)
    out = np.zeros(3, dtype)
    type_error("out's dtype is", cf.decode, CODES, FMT, out=out)
    type_error(allowed, cf.round_to, X, FMT, out=out)


@pytest.mark.parametrize("dtype", ["float33", 3, FMT], ids=str)
def test_what_is_no_dtype(dtype):
    given = repr(dtype) if len(repr(dtype)) <= 60 else f"{repr(dtype)[:57]}..."
    message = f"dtype is {given}; it takes float64, float32, float16, bfloat16, float8_e4m3fn or"
    type_error(message, cf.decode, CODES, FMT, dtype=dtype)


def test_out_of_another_dtype_than_dtype():
    """The dtype of `out` is but the default."""
    out = np.zeros(3, np.float32)
    type_error(
        "out has dtype float32; the result has float64", cf.decode, CODES, FMT, dtype="f8", out=out
    )


with_out = pytest.mark.parametrize(
    ("operation", "operand", "fmt", "dtype"),
    [
        (cf.encode, X, FMT, "uint8"),
        (cf.encode, X, cf.CFloat16_SHP, "uint16"),
        (cf.round_to, X, FMT, "float32"),
        (cf.decode, CODES, FMT, "float32"),
    ],
)


@with_out
@pytest.mark.parametrize("shape", [(), (2,), (4,), (3, 1), (1, 3)])
def test_shape_of_out(operation, operand, fmt, dtype, shape):
    out = np.zeros(shape, dtype)
    value_error(f"out has shape {shape}; the result has (3,)", operation, operand, fmt, out=out)
    biases = np.full((2, 3), fmt.default_bias)
    value_error(
        f"out has shape {shape}; the result has (2, 3)", operation, operand, fmt, biases, out=out
    )


@with_out
def test_out_that_is_read_only(operation, operand, fmt, dtype):
    out = np.zeros(3, dtype)
    out.flags.writeable = False
    value_error("out is read-only", operation, operand, fmt, out=out)
    assert not out.any()


@with_out
def test_out_that_is_no_array(operation, operand, fmt, dtype):
    for out in ([0, 0, 0], (), bytearray(12), memoryview(bytearray(3)), np.float32(0), True):
        message = f"out is a {type(out).__name__}; it takes a numpy.ndarray"
        type_error(message, operation, operand, fmt, out=out)


@pytest.mark.parametrize(
    ("fmt", "dtype", "given"),
    [
        (FMT, "int8", "int8"),
        (FMT, "uint16", "uint16"),
        (FMT, "bool", "bool"),
        (FMT, "float32", "float32"),
        (cf.CFloat16_SHP, "uint8", "uint8"),
        (cf.CFloat16_SHP, "int16", "int16"),
        (cf.CFloat16_SHP, "float16", "float16"),
        (cf.CFloat16_SHP, np.dtype("u2").newbyteorder(), np.dtype("u2").newbyteorder()),
    ],
)
def test_dtype_of_out(fmt, dtype, given):
    message = f"out has dtype {given}; the result has {fmt.storage_dtype}"
    type_error(message, cf.encode, X, fmt, out=np.zeros(3, dtype))


def test_nothing_is_written_by_a_call_that_is_refused():
    out = np.zeros(3, np.uint8)
    value_error("bias has an element 64", cf.encode, X, FMT, [7, 7, 64], out=out)
    assert not out.any()


def test_bfloat16_by_name():
    assert cf.decode(CODES, FMT, dtype="bfloat16").dtype == ml_dtypes.bfloat16


def test_bfloat16_without_ml_dtypes():
    """In a process of its own: once imported, ml_dtypes has given NumPy the name."""
    program = (
        "import sys; sys.modules['ml_dtypes'] = None; import cfloat as cf\n"
        "cf.decode([56], cf.CFloat8_1_4_3, dtype='bfloat16')"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False
    )
    assert result.stderr.splitlines()[-1] == (
        "cfloat.MissingExtraError: dtype 'bfloat16' needs ml_dtypes: "
        "pip install 'cfloat[ml_dtypes]'"
    )
