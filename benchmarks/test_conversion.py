"""Speed of conversion, beside NumPy's copies and the casts of ml_dtypes and torch in the same run.

``pytest benchmarks`` prints a table for each kind of work, in a core's cache ("cached") and far out of it
("large"); within a table everything reads and writes elements of the same sizes.  Only ratios within one run
mean anything.  Each result is checked before it is timed.

``pytest benchmarks -k "large and not avx2" --benchmark-columns=min,median`` is a part of it.
"""

from functools import lru_cache

import numpy as np
import pytest

import cfloat as cf
from cfloat._core import isa as instruction_sets

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=3)

SIZES = {"cached": 1 << 16, "large": 1 << 24}
ISAS = instruction_sets.isa_names()

# the arithmetic and not the memory limits the portable kernels, which take long besides
PLACES = [(isa, place) for isa in ISAS for place in SIZES if (isa, place) != ("portable", "large")]


IEEE = [
    fmt.replace(name=f"{fmt.name}-ieee", subnormals="ieee")
    for fmt in cf.TESLA_FORMATS
    if fmt.subnormals == "whitepaper"
]
FORMATS = [*cf.TESLA_FORMATS, *IEEE, *cf.COMPARISON_FORMATS]

HOT = ("ties_to_even", "toward_zero", "stochastic")
OTHERS = [mode for mode in cf.ROUNDING_MODES if mode not in HOT]
ENCODED = [(fmt, mode) for fmt in FORMATS for mode in HOT]
ENCODED += [(fmt, mode) for fmt in (cf.CFloat8_1_4_3, cf.CFloat16_SHP) for mode in OTHERS]

PEERS = [
    ("numpy", "float16"),
    *(("ml_dtypes", name) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")),
    *(("torch", name) for name in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")),
]


@lru_cache(maxsize=1)
def values(size, dtype="float32"):
    """Positive, as the unsigned UHP and NumPy's cast to uint8 need them."""
    return np.abs(np.random.default_rng(0).standard_normal(size)).astype(dtype)


@pytest.fixture(params=SIZES)
def place(request):
    return request.param


@pytest.fixture(params=PLACES, ids="-".join)
def kernels(request):
    """Use an instruction set and one thread, at a place."""
    isa, place = request.param
    before = cf.isa(), cf.get_num_threads()
    instruction_sets.select_isa(isa)
    cf.set_num_threads(1)
    yield place
    instruction_sets.select_isa(before[0])
    cf.set_num_threads(before[1])


def group(benchmark, what, place):
    benchmark.group = f"{what}, {place}"


def check(convert, source, fmt, bias, out, arguments):
    """Convert, and compare with the portable kernels' result."""
    convert(source, fmt, bias, out=out, **arguments)
    isa = cf.isa()
    instruction_sets.select_isa("portable")
    expected = convert(source, fmt, bias, **arguments)
    instruction_sets.select_isa(isa)
    # bits: NaN or not, and whichever zero
    bits = f"u{out.itemsize}"
    np.testing.assert_array_equal(out.view(bits), expected.view(bits))


def measure(benchmark, convert, source, fmt, bias=None, **arguments):
    dtype = fmt.storage_dtype if convert is cf.encode else np.float32
    out = np.empty(source.shape, dtype)
    check(convert, source, fmt, bias, out, arguments)
    benchmark(convert, source, fmt, bias, out=out, **arguments)


def narrowing(fmt, source="float32"):
    return f"{source} to {8 * fmt.storage_dtype.itemsize} bits"


def widening(fmt):
    return f"{8 * fmt.storage_dtype.itemsize} bits to float32"


@pytest.mark.parametrize(("fmt", "rounding"), ENCODED, ids=str)
def test_encode(benchmark, kernels, fmt, rounding):
    group(benchmark, narrowing(fmt), kernels)
    seed = 1 if rounding == "stochastic" else None
    measure(benchmark, cf.encode, values(SIZES[kernels]), fmt, rounding=rounding, seed=seed)


@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP, *IEEE], ids=str)
def test_encode_float64(benchmark, kernels, fmt):
    group(benchmark, narrowing(fmt, "float64"), kernels)
    measure(benchmark, cf.encode, values(SIZES[kernels], "float64"), fmt)


@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP], ids=str)
@pytest.mark.parametrize("source", ["float16", "bfloat16"])
def test_encode_16_bits(benchmark, kernels, fmt, source):
    """Beside float32, as elements a second are what counts."""
    group(benchmark, narrowing(fmt), kernels)
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if source == "bfloat16" else source
    measure(benchmark, cf.encode, values(SIZES[kernels]).astype(dtype), fmt)


@pytest.mark.parametrize("rounding", ["ties_to_away", "toward_zero", "stochastic"])
@pytest.mark.parametrize("source", ["float64", "float16", "bfloat16"])
def test_encode_otherwise(benchmark, kernels, source, rounding):
    """Beside float32 to nearest, ties to even."""
    group(benchmark, "float32 to 8 bits", kernels)
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if source == "bfloat16" else source
    x = values(SIZES[kernels]).astype(dtype)
    seed = 1 if rounding == "stochastic" else None
    measure(benchmark, cf.encode, x, cf.CFloat8_1_4_3, rounding=rounding, seed=seed)


@pytest.mark.parametrize("rounding", ["ties_to_even", "stochastic"])
@pytest.mark.parametrize(
    "source", [f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")]
)
def test_encode_integers(benchmark, kernels, source, rounding):
    """Beside float32, too."""
    group(benchmark, "float32 to 8 bits", kernels)
    limits = np.iinfo(source)
    x = np.random.default_rng(0).integers(
        limits.min, limits.max, SIZES[kernels], source, endpoint=True
    )
    seed = 1 if rounding == "stochastic" else None
    measure(benchmark, cf.encode, x, cf.CFloat8_1_4_3, rounding=rounding, seed=seed)


@pytest.mark.parametrize("variant", "ABC")
@pytest.mark.parametrize("bits", [8, 32])
def test_encode_by_random_bits(benchmark, kernels, bits, variant):
    """P3109's variants, by words that are drawn."""
    group(benchmark, "float32 to 8 bits", kernels)
    measure(
        benchmark, cf.encode, values(SIZES[kernels]), cf.CFloat8_1_4_3,
        rounding="stochastic", seed=1, stochastic_bits=bits, stochastic_variant=variant,
    )  # fmt: skip


def test_encode_by_given_bits(benchmark, kernels):
    """Words that are read."""
    group(benchmark, "float32 to 8 bits", kernels)
    size = SIZES[kernels]
    words = np.random.default_rng(1).integers(0, 2**32, size, np.uint32)
    measure(
        benchmark, cf.encode, values(size), cf.CFloat8_1_4_3,
        rounding="stochastic", random_bits=words,
    )  # fmt: skip


@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP], ids=str)
@pytest.mark.parametrize("rounding", ["ties_to_even", "ties_to_away", "to_odd", "stochastic"])
def test_encode_with_flags(benchmark, kernels, rounding, fmt):
    """Counting what is raised."""
    group(benchmark, narrowing(fmt), kernels)
    seed = 1 if rounding == "stochastic" else None
    with cf.record_flags():
        measure(benchmark, cf.encode, values(SIZES[kernels]), fmt, rounding=rounding, seed=seed)


@pytest.mark.parametrize("rounding", ["ties_to_even", "ties_to_away"])
def test_recording_flags(benchmark, kernels, rounding):
    """The same, and to begin and end it each time."""
    group(benchmark, "float32 to 8 bits", kernels)
    x, fmt = values(SIZES[kernels]), cf.CFloat8_1_4_3
    out = np.empty(x.shape, np.uint8)

    def recorded():
        with cf.record_flags():
            cf.encode(x, fmt, rounding=rounding, out=out)

    check(cf.encode, x, fmt, None, out, {"rounding": rounding})
    benchmark(recorded)


@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP], ids=str)
@pytest.mark.parametrize("name", ["float64", "float16", "bfloat16"])
def test_decode_to(benchmark, kernels, fmt, name):
    group(benchmark, f"codes to {name}", kernels)
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name
    codes = cf.encode(values(SIZES[kernels]), fmt)
    out = np.empty(codes.shape, dtype)
    check(cf.decode, codes, fmt, None, out, {"dtype": dtype})
    benchmark(cf.decode, codes, fmt, out=out)


@pytest.mark.parametrize("name", ["float64", "float16", "bfloat16"])
def test_numpy_copy_of(benchmark, place, name):
    """What the goals of decoding to these are set against."""
    group(benchmark, f"codes to {name}", place)
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if name == "bfloat16" else name
    x = values(SIZES[place]).astype(dtype)
    benchmark(np.copyto, np.zeros_like(x), x)


@pytest.mark.parametrize("source", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("method", ["max", "mse"])
def test_choose_bias(benchmark, kernels, source, method):
    group(benchmark, f"bias of a tensor, {method}", kernels)
    dtype = pytest.importorskip("ml_dtypes").bfloat16 if source == "bfloat16" else source
    x = values(SIZES[kernels]).astype(dtype)
    expected = cf.choose_bias(x.astype(np.float32), cf.CFloat8_1_4_3, method)
    assert benchmark(cf.choose_bias, x, cf.CFloat8_1_4_3, method) == expected


@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP], ids=str)
@pytest.mark.parametrize("biases", ["rows", "columns", "blocks"])
def test_encode_with_many_biases(benchmark, kernels, fmt, biases):
    group(benchmark, narrowing(fmt), kernels)
    size = SIZES[kernels]
    columns = 32 if biases == "blocks" else int(size**0.5)
    x = values(size).reshape(-1, columns)
    shape = (1, columns) if biases == "columns" else (len(x), 1)
    near = fmt.default_bias
    bias = np.random.default_rng(1).integers(near - 2, near + 3, shape, np.int16)
    measure(benchmark, cf.encode, x, fmt, bias)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_decode(benchmark, kernels, fmt):
    group(benchmark, widening(fmt), kernels)
    measure(benchmark, cf.decode, cf.encode(values(SIZES[kernels]), fmt), fmt)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("rounding", ["ties_to_even", "stochastic"])
def test_round_to(benchmark, kernels, fmt, rounding):
    group(benchmark, "float32 to float32", kernels)
    seed = 1 if rounding == "stochastic" else None
    measure(benchmark, cf.round_to, values(SIZES[kernels]), fmt, rounding=rounding, seed=seed)


@pytest.mark.parametrize(
    "kernels", [at for at in PLACES if at[1] == "large"], ids="-".join, indirect=True
)
@pytest.mark.parametrize("count", [1, 2], ids=["one-thread", "two-threads"])
@pytest.mark.parametrize("work", ["ties_to_even", "stochastic", "decode", "round_to"])
def test_threads(benchmark, kernels, work, count):
    group(benchmark, f"one and two threads, {work}", kernels)
    cf.set_num_threads(count)
    x, fmt = values(SIZES[kernels]), cf.CFloat8_1_4_3
    if work == "decode":
        measure(benchmark, cf.decode, cf.encode(x, fmt), fmt)
    elif work == "round_to":
        measure(benchmark, cf.round_to, x, fmt)
    else:
        seed = 1 if work == "stochastic" else None
        measure(benchmark, cf.encode, x, fmt, rounding=work, seed=seed)


def test_small_call(benchmark):
    benchmark.group = "a call with 3 elements"
    x = np.array([0.1, -2.5, 1000.0], np.float32)
    assert cf.encode(x, cf.CFloat8_1_4_3).tolist() == [29, 194, 127]
    benchmark(cf.encode, x, cf.CFloat8_1_4_3)


def test_numpy_small_call(benchmark):
    benchmark.group = "a call with 3 elements"
    x = np.array([0.1, 2.5, 100.0], np.float32)
    benchmark(x.astype, np.uint8)


@pytest.mark.parametrize("source", ["float32", "float64"])
@pytest.mark.parametrize("bits", [8, 16])
def test_numpy_as_uint8(benchmark, place, source, bits):
    """What the goals are set against, whether 8 or 16 bits come out."""
    group(benchmark, f"{source} to {bits} bits", place)
    x = values(SIZES[place], source)
    benchmark(np.copyto, np.zeros(x.shape, np.uint8), x, casting="unsafe")


@pytest.mark.parametrize("what", ["float32 to float32", "8 bits to float32", "16 bits to float32"])
def test_numpy_copy(benchmark, place, what):
    """What the goals are set against, whatever is read."""
    group(benchmark, what, place)
    x = values(SIZES[place])
    benchmark(np.copyto, np.zeros_like(x), x)


def peer_casts(package, name, x):
    """Return another package's casts, the codes that it made of x, and what it made of those."""
    module = pytest.importorskip(package)
    fmt = getattr(cf, name)
    back = np.empty_like(x)
    if package == "torch":
        module.set_num_threads(1)
        narrow = module.empty(x.shape, dtype=getattr(module, name))
        source, wide = module.from_numpy(x), module.from_numpy(back)
        codes = narrow.view(module.uint8).numpy().view(fmt.storage_dtype)
        return (lambda: narrow.copy_(source)), (lambda: wide.copy_(narrow)), codes, back
    narrow = np.empty(x.shape, getattr(module, name))
    codes = narrow.view(fmt.storage_dtype)
    return (
        lambda: np.copyto(narrow, x, casting="unsafe"),
        lambda: np.copyto(back, narrow, casting="unsafe"),
        codes,
        back,
    )


@pytest.mark.parametrize(("package", "name"), PEERS, ids=map("-".join, PEERS))
def test_peer_narrowing(benchmark, place, package, name):
    fmt = getattr(cf, name)
    group(benchmark, narrowing(fmt), place)
    x = values(SIZES[place])
    narrow, _, codes, _ = peer_casts(package, name, x)
    narrow()
    assert np.array_equal(codes, cf.encode(x, fmt))
    benchmark(narrow)


@pytest.mark.parametrize(("package", "name"), PEERS, ids=map("-".join, PEERS))
def test_peer_widening(benchmark, place, package, name):
    fmt = getattr(cf, name)
    group(benchmark, widening(fmt), place)
    x = values(SIZES[place])
    narrow, widen, codes, back = peer_casts(package, name, x)
    narrow()
    widen()
    assert np.array_equal(back, cf.decode(codes, fmt))
    benchmark(widen)
