"""`cfloat.fma`, `add`, `subtract`, `multiply`, `divide` and `sqrt`: one rounding of the exact result."""

import ctypes
import ctypes.util
import math
import platform
from fractions import Fraction

import exact
import ml_dtypes
import numpy as np
import operation_cases
import pytest
import reference as ref

import cfloat as cf
from cfloat._core import binding

F8, F52, SHP, UHP = cf.TESLA_FORMATS
FUNCTIONS = tuple(operation_cases.OPERANDS)
TINY = 2.0**-60


def function_named(name):
    return getattr(cf, name)


def assert_float16(name, given, modes, seed=5):
    """Compare codes and flags of float16 operands with exact results, in some modes."""
    arrays = [cf.CFloatArray(x.view(np.uint16), cf.float16) for x in given]
    for mode in modes:
        results = operation_cases.exact_results(name, given, mode == "toward_negative")
        words = binding.random_words(seed, 0, results.size) if mode == "stochastic" else 0
        codes, raised = exact.encode(results, cf.float16, 15, mode, words)
        with cf.record_flags() as flags:
            made = function_named(name)(*arrays, cf.float16, rounding=mode, seed=seed)
        wrong = np.flatnonzero(made.codes != codes)
        assert wrong.size == 0, (mode, [x[wrong[:3]] for x in given], made.codes[wrong[:3]])
        counts = {flag: int(np.count_nonzero(elements)) for flag, elements in raised.items()}
        assert flags == cf.Flags(**counts)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_million_cases_of_float16(name, rng):
    given = operation_cases.operands(name, 1 << 20, rng)
    assert_float16(name, given, cf.ROUNDING_MODES)


@pytest.mark.quick
@pytest.mark.parametrize("name", FUNCTIONS)
def test_cases_of_float16(name, rng):
    """The same, fewer; and flags element by element, with NumPy's arrays as operands."""
    given = operation_cases.operands(name, 20_000, rng)
    assert_float16(name, given, cf.ROUNDING_MODES)
    given = [x[:3000] for x in given]
    for mode in ("ties_to_even", "to_odd", "toward_negative"):
        results = operation_cases.exact_results(name, given, mode == "toward_negative")
        _, raised = exact.encode(results, cf.float16, 15, mode)
        kinds = sum(raised[flag].astype(int) << i for i, flag in enumerate(exact.FLAGS))
        for kind in np.unique(kinds):
            chosen = [x[kinds == kind] for x in given]
            with cf.record_flags() as flags:
                function_named(name)(*chosen, cf.float16, rounding=mode)
            expected = {f: chosen[0].size * (kind >> i & 1) for i, f in enumerate(exact.FLAGS)}
            assert flags == cf.Flags(**expected)


def test_the_cases_have_what_decides(rng):
    """Each function's have ties, overflows, subnormal results, and every kind of special one."""
    for name in FUNCTIONS:
        results = operation_cases.exact_results(name, operation_cases.operands(name, 50_000, rng))
        finite = results[np.isfinite(results)]
        nearest, away = (
            exact.encode(finite, cf.float16, 15, mode)[0]
            for mode in ("ties_to_zero", "ties_to_away")
        )
        # quotients have ties among subnormal numbers alone, and roots have none
        ties = {"divide": 10, "sqrt": 0}.get(name, 300)
        assert np.count_nonzero(nearest != away) >= ties, name
        assert np.isnan(results).any(), name
        assert np.isinf(results).any(), name
        assert (finite == 0).any(), name
        if name != "sqrt":
            assert (np.abs(finite) > 65504).any(), name
            assert ((np.abs(finite) < 2**-14) & (finite != 0)).any(), name


EXACT = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "sqrt": lambda a: fraction_sqrt(a),
    "fma": lambda a, b, c: a * b + c,
}


def fraction_sqrt(x):
    """The square root, with something below 2^-200 of it added if it is not exact."""
    scale = 4**700
    square = x.numerator * x.denominator * scale
    root = math.isqrt(square)
    return Fraction(2 * root + (root * root != square), 2 * x.denominator * 2**700)


def fractions_of(x):
    return [Fraction(int(i)) if x.dtype.kind in "iu" else Fraction(float(i)) for i in x]


def random_operand(kind, size, rng):
    if kind in ("int64", "uint64"):
        bits = rng.integers(1, 64, size)
        x = rng.integers(0, 2**63, size, dtype=np.uint64) >> (63 - bits).astype(np.uint64)
        return x + 1 if kind == "uint64" else x.astype(np.int64) * rng.choice([-1, 1], size) | 1
    spread = {"float64": 900, "float32": 100, "float16": 10, "bfloat16": 100, "int8": 6}[kind]
    x = np.ldexp(1 + rng.random(size), rng.integers(-spread, spread, size))
    x = x * rng.choice([-1, 1], size)
    if kind == "int8":
        return np.where(np.abs(x) < 1, 1, x).astype(np.int8)
    return x.astype(ml_dtypes.bfloat16 if kind == "bfloat16" else kind)


KINDS = ("float64", "int64", "uint64", "float32", "bfloat16", "int8", "float16")


@pytest.mark.parametrize("mode", cf.ROUNDING_MODES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_type_of_operand(name, mode, rng):
    """Against fractions, into several formats; float64 whose results are beyond its own range as well."""
    count = operation_cases.OPERANDS[name]
    for fmt, bias in ((F8, 3), (SHP, 40), (UHP, 31), (cf.bfloat16, 127), (cf.float8_e4m3fn, 7)):
        wanted = exact.reference_format(fmt)
        for first in range(len(KINDS)):
            kinds = [KINDS[(first + 2 * i) % len(KINDS)] for i in range(count)]
            given = [random_operand(kind, 12, rng) for kind in kinds]
            if name == "sqrt":
                given = [np.abs(given[0])]
            results = [EXACT[name](*x) for x in zip(*map(fractions_of, given), strict=True)]
            words = binding.random_words(3, 8, 12) if mode == "stochastic" else [0] * 12
            made = function_named(name)(*given, fmt, bias, rounding=mode, seed=3, offset=8)
            for i, result in enumerate(results):
                real = ref.real_from_fraction(result)
                code, _ = ref.encode(wanted, real, bias, mode, int(words[i]))
                if result != 0:
                    assert made.codes[i] == code, (kinds, [x[i] for x in given], fmt.name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_that_cancel(name, rng):
    """Operands of 53 and 64 bits close to each other, or to a tie: nothing is lost below."""
    size = 400
    a = rng.integers(2**62, 2**63, size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    b = rng.integers(2**52, 2**53, size) * 2.0 ** rng.integers(-60, 60, size)
    given = {"add": [a, -a.astype(float)], "subtract": [a, a.astype(float)], "sqrt": [a]}.get(
        name, [b, np.nextafter(b, 0)]
    )
    if name == "fma":
        given = [b, np.nextafter(b, 0), -(b * np.nextafter(b, 0))]
    wanted = exact.reference_format(cf.bfloat16)
    for mode in cf.ROUNDING_MODES[:-1]:
        made = function_named(name)(*given, cf.bfloat16, rounding=mode)
        for i, x in enumerate(zip(*map(fractions_of, given), strict=True)):
            result = EXACT[name](*x)
            code, _ = ref.encode(wanted, ref.real_from_fraction(result), 127, mode)
            assert result == 0 or made.codes[i] == code


@pytest.mark.quick
def test_fma_of_the_documentation():
    a = cf.asarray([1.125], F8)
    assert cf.fma(a, a, 2.0**-80, F8, rounding="toward_positive").item() == 1.375
    assert cf.fma(a, a, [2.0**-10], F8, 9).item() == 1.25
    assert cf.fma(0.0625, 1, 1.0, F8).item() == 1
    assert cf.fma(0.0625, 1 + TINY / 4**3, 1.0, F8).item() == 1


def fused(a, b, c):
    """The nearest float32 of exact results, ties to even."""
    total = [
        Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        for x, y, z in zip(a, b, c, strict=True)
    ]
    bits = [ref.to_float32_bits(ref.real_from_fraction(x)) for x in total]
    return np.array(bits, np.uint32).view(np.float32), total


def test_float32_is_rounded_once(rng):
    """In float64 in between, ties would come out wrong; with results of every size."""
    size = 3000
    exponents = rng.integers(-130, 70, size)
    a = np.ldexp(rng.integers(2**23, 2**24, size), exponents - 23).astype(np.float32)
    b = np.ldexp(rng.integers(2**23, 2**24, size), rng.integers(-60, 60, size) - 23)
    b = b.astype(np.float32) * rng.choice([-1, 1], size).astype(np.float32)
    product = a.astype(np.float64) * b
    tie = np.nextafter(product.astype(np.float32), np.float32(np.inf)).astype(np.float64)
    with np.errstate(all="ignore"):
        c = np.where(rng.random(size) < 0.5, (tie - product), rng.standard_normal(size) * product)
    c = c.astype(np.float32)
    finite = np.isfinite(c)
    a, b, c = a[finite], b[finite], c[finite]
    expected, total = fused(a, b, c)
    got = cf.fma(a, b, c)
    assert got.dtype == np.float32
    nonzero = np.array([x != 0 for x in total])
    exact.assert_same(got[nonzero], expected[nonzero])
    up, down, odd, zero = (
        cf.fma(a, b, c, rounding=mode)
        for mode in ("toward_positive", "toward_negative", "to_odd", "toward_zero")
    )
    for i in np.flatnonzero(np.abs(expected) < 3e38):
        low, high = Fraction(float(down[i])), Fraction(float(up[i]))
        assert low <= total[i] <= high
        assert low == total[i] == high or np.nextafter(down[i], up[i]) == up[i]
        assert zero[i] == (down[i] if total[i] > 0 else up[i])
        assert odd[i] in (down[i], up[i])
        assert low == high or odd[i].view(np.uint32) & 1


def test_stochastic_float32():
    """One bit in four of what lies a quarter up; and pieces draw what the whole draws."""
    x = np.full(100_000, 2.0**-25)
    whole = cf.add(x, np.float32(1), rounding="stochastic", seed=7)
    assert set(np.unique(whole)) == {np.float32(1), np.nextafter(np.float32(1), np.float32(2))}
    assert abs(np.mean(whole > 1) - 0.25) < 0.01
    parts = [
        cf.add(x[i : i + 30_001], 1.0, rounding="stochastic", seed=7, offset=i)
        for i in range(0, x.size, 30_001)
    ]
    exact.assert_same(np.concatenate(parts), whole)
    with cf.record_flags() as flags:
        cf.multiply(np.float32([1e30, 1e-30, 0, np.inf]), np.float32([1e30, 1e-30, np.inf, 1]))
    assert flags == cf.Flags(invalid=1, overflow=1, underflow=1)


@pytest.mark.parametrize("biases", [{}, {"bias": [3, 9, 60], "axis": 0}, {"bias": 9, "block": 7}])
def test_pieces(biases, rng):
    """Large arrays, in any layout and with any biases, are as their parts are."""
    a, b = rng.standard_normal((2, 3, 20_000))
    biases = dict(biases)
    if "block" in biases:
        biases["bias"] = rng.integers(0, 20, (3, -(-20_000 // 7)))
    for mode in ("ties_to_even", "stochastic"):
        made = cf.multiply(a.T.copy().T, b, F8, **biases, rounding=mode, seed=4)
        results, _ = binding.round_to_odd("multiply", a, b)
        expected = cf.asarray(results, F8, **biases, rounding=mode, seed=4)
        np.testing.assert_array_equal(made.codes, expected.codes)
        out = cf.asarray(np.zeros((3, 20_000)), F8, **biases)
        assert cf.multiply(a, b, rounding=mode, seed=4, out=out) is out
        np.testing.assert_array_equal(out.codes, made.codes)


def test_the_output_may_be_an_operand(rng):
    a = cf.asarray(rng.standard_normal((200, 200)), SHP)
    values = np.asarray(a, np.float64)
    expected = cf.add(values, values.T, SHP)
    assert cf.add(a, a.T, out=a) is a
    np.testing.assert_array_equal(a.codes, expected.codes)
    x = np.ones((3, 4), np.float32)
    assert cf.fma(x, 2, x, out=x) is x
    np.testing.assert_array_equal(x, 3)
    assert cf.sqrt(4.0) == np.float32(2)
    assert type(cf.sqrt(4.0)) is np.float32
    assert cf.sqrt(4.0, F8).shape == ()
    assert cf.add(np.ones((0, 3)), 1, F8).shape == (0, 3)


def test_sums_by_float64_and_by_integers(rng):
    """The short way of sums of float64 is the other one, bit for bit: a * 1 + b."""
    ends = [0.0, 5e-324, 2.0**-1022, 1.0, 2.0**970, np.finfo(np.float64).max, np.inf, np.nan]
    ends = np.array([x * sign for x in ends for sign in (1.0, -1.0)])
    a, b = (x.ravel() for x in np.meshgrid(ends, ends))
    spread = np.ldexp(rng.standard_normal((2, 5000)), rng.integers(-80, 80, (2, 5000)))
    wide = np.ldexp(rng.standard_normal((2, 5000)), rng.integers(-1070, 1024, (2, 5000)))
    close = np.array([spread[0], -np.nextafter(spread[0], 0)])
    for x, y in ((a, b), spread, wide, close, (spread[0].astype(np.float32), spread[1])):
        for toward_negative in (False, True):
            options = {"toward_negative": toward_negative}
            for name, other in (("add", y), ("subtract", -y)):
                short, _ = binding.round_to_odd(name, x, y, **options)
                long, _ = binding.round_to_odd("fma", x, np.float32(1), other, **options)
                exact.assert_same(short, long)


def test_zeros_infinities_and_nan():
    one = cf.asarray([1.0], cf.float16)
    for mode in cf.ROUNDING_MODES:
        sign = mode == "toward_negative"
        for zero in (
            cf.subtract(one, one, cf.float16, rounding=mode, seed=1),
            cf.fma(one, 1, -1, cf.float16, rounding=mode, seed=1),
            cf.add(0.0, [-0.0], cf.float16, rounding=mode, seed=1),
            cf.add([0.5], [-0.5], rounding=mode, seed=1),
        ):
            assert bool(np.signbit(np.asarray(zero))[0]) == sign
        assert np.signbit(np.asarray(cf.add([-0.0], -0.0, cf.float16, rounding=mode, seed=1)))[0]
    for made in (
        cf.subtract([np.inf], np.inf, cf.float16), cf.multiply([0], -np.inf, cf.float16),
        cf.divide([0], -0.0, cf.float16), cf.sqrt([-1], cf.float16),
        cf.fma([-np.inf], 0, np.nan, cf.float16), cf.add([-np.nan], 1, cf.float16),
    ):  # fmt: skip
        assert made.codes[0] == 0x7E00
    with cf.record_flags() as flags:
        np.testing.assert_array_equal(cf.divide([1, -1], [0.0, 0.0], cf.float16), [np.inf, -np.inf])
    assert flags == cf.Flags()
    with cf.record_flags() as flags:
        np.testing.assert_array_equal(cf.divide([1, -1], [0.0, 0.0], F8), [480, -480])
    assert flags == cf.Flags(overflow=2)


def test_what_is_beyond_float64_in_between():
    """Its overflow and underflow do not show, nor does a subnormal number of its own raise Denormal."""
    large, small = np.array([1e300, -1e300]), np.array([1e-300, 1e-300])
    for mode in ("toward_zero", "to_odd"):
        with cf.record_flags() as flags:
            made = cf.multiply(large, large, cf.float16, rounding=mode)
        np.testing.assert_array_equal(made, [65504, 65504])
        assert flags == cf.Flags(overflow=2)
    with cf.record_flags() as flags:
        up = cf.multiply(small, [1e-300, -1e-300], cf.float16, rounding="toward_positive")
    np.testing.assert_array_equal(up.codes, [1, 0x8000])
    assert flags == cf.Flags(underflow=2)
    np.testing.assert_array_equal(cf.fma(large, 1e300, [-np.inf, np.inf], F8), [-480, 480])
    assert cf.fma([1e300], 1e300, [-1e308], F8, rounding="toward_zero").item() == 480
    assert cf.divide([5e-324], [5e-324], F8).item() == 1


ROUNDING_UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}.get(platform.machine())


@pytest.mark.skipif(
    ROUNDING_UPWARD is None, reason="the rounding directions of this CPU are others"
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_processors_rounding_direction(name, rng):
    given = [np.abs(rng.standard_normal(2000)) for _ in range(operation_cases.OPERANDS[name])]
    expected = function_named(name)(*given, SHP, rounding="to_odd")
    floats = function_named(name)(*given)
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    libm.fesetround(ROUNDING_UPWARD)
    try:
        made = function_named(name)(*given, SHP, rounding="to_odd")
        again = function_named(name)(*given)
    finally:
        libm.fesetround(0)
    np.testing.assert_array_equal(made.codes, expected.codes)
    exact.assert_same(again, floats)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("a has dtype complex128", lambda: cf.sqrt([1j])),
        ("b has dtype <U1", lambda: cf.add(1, "2")),
        ("b has dtype object", lambda: cf.multiply(1, None, F8)),
        ("integers beyond 64 bits", lambda: cf.fma(2**64, 1, 1, F8)),
        ("operands have shapes that do not broadcast: a .2,., b .3,.", lambda: cf.add([1, 2], [1, 2, 3])),
        ("bias is 7, and fmt is None", lambda: cf.add(1, 2, bias=7)),
        ("fmt and out are given", lambda: cf.add(1, 2, F8, out=np.zeros((), np.float32))),
        ("out has dtype float64", lambda: cf.add([1], 2, out=np.zeros(1))),
        ("out has shape .3,.; the result has .1,.", lambda: cf.add([1], 2, out=cf.zeros(3, F8))),
        ("rounding is 'up'", lambda: cf.add(1, 2, F8, rounding="up")),
        ("bias is 64", lambda: cf.add(1, 2, F8, 64)),
        ("format is 3", lambda: cf.add(1, 2, 3)),
    ],
)  # fmt: skip
def test_refusals(message, call):
    with pytest.raises((cf.ArgumentTypeError, cf.ArgumentValueError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spread", [3, 400, 1020])
@pytest.mark.parametrize("function", ["multiply", "divide"])
def test_float64_operands_are_rounded_to_odd(function, spread, rng):
    """The short way, where it is taken and beside it, by Fractions."""
    a, b = (
        np.ldexp(rng.uniform(-2, 2, 2000), rng.integers(-spread, spread, 2000)) for _ in range(2)
    )
    few = np.float64([1, 3, 5, 2**52 + 1, 2**27 + 1, 2**53 - 1, -7, 1.5])
    a[:800], b[:900] = rng.choice(few, 800), rng.choice(few, 900)
    a[::97], b[::89] = 0.0, -0.0
    with np.errstate(all="ignore"):
        results, _ = binding.round_to_odd(function, a, b)
        assert np.isnan(results[(a == 0) & (b == 0)]).all() or function == "multiply"
    for x, y, result in zip(a.tolist(), b.tolist(), results.tolist(), strict=True):
        if y == 0 and function == "divide":
            assert math.isnan(result) if x == 0 else math.isinf(result)
            continue
        wanted = Fraction(x) * Fraction(y) if function == "multiply" else Fraction(x) / Fraction(y)
        assert math.copysign(1, result) == math.copysign(1, x) * math.copysign(1, y)
        if not 2.0**-1021 < abs(wanted) < 2**1023 or Fraction(result) == wanted:
            assert wanted != 0 or result == 0
            continue
        assert abs(Fraction(result) - wanted) < Fraction(math.ulp(result))
        assert np.float64(result).view(np.int64) & 1
