"""Any memory layout gives what contiguous memory gives, element by element."""

import exact
import numpy as np
import pytest

import cfloat as cf
from cfloat._core import isa as instruction_sets

pytestmark = pytest.mark.usefixtures("isa")

FORMATS = (cf.CFloat8_1_5_2, cf.CFloat16_SHP)

every_format = pytest.mark.parametrize("fmt", FORMATS, ids=str)


def encode(x, fmt, bias=None, out=None):
    """Encode in the mode that would notice if elements were visited in another order."""
    return cf.encode(x, fmt, bias, rounding="stochastic", seed=1, out=out)


def round_to(x, fmt, bias=None, out=None):
    return cf.round_to(x, fmt, bias, rounding="stochastic", seed=1, out=out)


# Each operation, and the types of the elements it takes.
OPERATIONS = [
    *((encode, dtype) for dtype in (*exact.FLOATS, np.dtype("i8"), np.dtype("i4"), np.dtype("u1"))),
    *((round_to, dtype) for dtype in exact.FLOATS[:3]),
    (cf.decode, None),
]

every_operation = pytest.mark.parametrize(
    ("operation", "dtype"), OPERATIONS, ids=lambda v: getattr(v, "__name__", str(v))
)


def operands(dtype, fmt, shape, rng):
    """Numbers of all magnitudes; or codes, for no dtype."""
    if dtype is None:
        values, dtype = rng.integers(0, 2**fmt.bits, shape), fmt.storage_dtype
    elif dtype.kind in "iu":
        values = rng.integers(0, 127, shape)
    else:
        values = rng.standard_normal(shape) * 2.0 ** rng.integers(-8, 8, shape)
    return np.asarray(values, dtype)


def unaligned(x):
    memory = bytearray(x.nbytes + 1)
    view = np.frombuffer(memory, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def spread(x):
    """Each element among others, in every dimension."""
    wide = np.zeros([3 * n for n in x.shape], x.dtype)
    view = wide[(..., *[slice(1, None, 3)] * x.ndim)]
    view[...] = x
    return view


def backwards(x):
    return np.flip(np.flip(x).copy())


def mixed(x):
    """Transposed, reversed and strided at once."""
    return spread(backwards(x.T)).T


SAME_ORDER = [spread, backwards, mixed, unaligned, np.asfortranarray]
LAYOUTS = [*SAME_ORDER, read_only, lambda x: x.astype(x.dtype.newbyteorder())]


@every_format
@every_operation
@pytest.mark.parametrize("shape", [(2500,), (3, 1100), (7, 5, 67), (2, 3, 4, 5)], ids=str)
def test_layouts_of_the_operand(operation, dtype, fmt, shape, rng):
    x = operands(dtype, fmt, shape, rng)
    expected = operation(x, fmt)
    for layout in LAYOUTS:
        other = layout(x)
        exact.assert_same(operation(other, fmt), expected)
        np.testing.assert_array_equal(other, x)


@every_format
@every_operation
@pytest.mark.parametrize("shape", [(2500,), (3, 1100), (7, 5, 67)], ids=str)
def test_layouts_of_the_result(operation, dtype, fmt, shape, rng):
    x = operands(dtype, fmt, shape, rng)
    expected = operation(x, fmt)
    for layout in SAME_ORDER:
        for operand in (x, spread(x)):
            out = layout(np.zeros_like(expected))
            assert operation(operand, fmt, out=out) is out
            exact.assert_same(out, expected)


@pytest.mark.slow
@every_format
@every_operation
def test_lengths(operation, dtype, fmt, rng):
    """Each length's result is the start of a longer one's, and nothing next to it is written."""
    x = operands(dtype, fmt, 4200, rng)
    expected = operation(x, fmt)
    memory = np.zeros(4300, expected.dtype)
    around = [n + d for n in (128, 256, 512, 1024, 2048, 3072, 4096) for d in (-1, 0, 1)]
    for length in (*range(66), *around):
        for shift in (0, 1, 3):
            memory.view(np.uint8)[...] = 0xA5
            before = memory.copy()
            out = memory[50 + shift : 50 + shift + length]
            operation(x[:length], fmt, out=out)
            exact.assert_same(out, expected[:length])
            out[...] = before[:length]
            exact.assert_same(memory, before)


@every_format
@every_operation
def test_what_lies_between_results_is_not_written(operation, dtype, fmt, rng):
    x = operands(dtype, fmt, (3, 1100), rng)
    expected = operation(x, fmt)
    memory = np.zeros((9, 3400), expected.dtype)
    memory.view(np.uint8)[...] = 0xA5
    before = memory.copy()
    for rows, columns in (
        (slice(1, 7, 2), slice(20, 3320, 3)),
        (slice(7, 1, -2), slice(3320, 20, -3)),
        (slice(3, 6), slice(20, 1120)),
    ):
        out = memory[rows, columns]
        operation(x, fmt, out=out)
        exact.assert_same(out, expected)
        out[...] = before[rows, columns]
        exact.assert_same(memory, before)


@every_format
@every_operation
def test_no_elements(operation, dtype, fmt, rng):
    for shape in ((0,), (0, 3), (3, 0), (2, 0, 5)):
        x = operands(dtype, fmt, shape, rng)
        for layout in (np.asarray, np.asfortranarray, unaligned):
            with cf.errstate(all="raise"):
                assert operation(layout(x), fmt).shape == shape
        biases = np.full((*shape[:-1], 1), 20)
        assert operation(x, fmt, biases).shape == shape


@every_format
@every_operation
def test_no_dimensions(operation, dtype, fmt, rng):
    x = operands(dtype, fmt, (1,), rng)
    expected = operation(x, fmt, 20)[0]
    for scalar in (x.reshape(()), x[0], read_only(x.reshape(())), unaligned(x.reshape(()))):
        for bias in (20, np.array(20), np.uint8(20)):
            result = operation(scalar, fmt, bias)
            assert isinstance(result, np.ndarray)
            exact.assert_same(result, np.asarray(expected))
    exact.assert_same(operation(x[0], fmt, [[20]]), expected.reshape(1, 1))


def test_lists_and_python_numbers():
    fmt = cf.CFloat8_1_4_3
    exact.assert_same(cf.encode([[1.0, -2.5]], fmt), np.array([[56, 194]], np.uint8))
    exact.assert_same(cf.encode(1, fmt), np.array(56, np.uint8))
    exact.assert_same(cf.encode([True, False], fmt), np.array([56, 0], np.uint8))
    exact.assert_same(cf.decode([[56], [194]], fmt), np.array([[1.0], [-2.5]], np.float32))
    exact.assert_same(cf.decode([0x3C00], cf.CFloat16_SHP), np.array([1.0], np.float32))
    exact.assert_same(cf.round_to([0.1], fmt), np.array([0.1015625]))
    exact.assert_same(cf.round_to([3], fmt), np.array([3.0], np.float32))


def test_dtypes_of_round_to(rng):
    fmt = cf.CFloat8_1_4_3
    x = operands(np.dtype(np.float64), fmt, 100, rng)
    for dtype in (np.float32, *exact.FLOATS[2:], np.int64, np.uint8):
        assert cf.round_to(x.astype(dtype), fmt).dtype == np.float32
    assert cf.round_to(x, fmt).dtype == np.float64
    for dtype in exact.FLOATS:
        out = np.empty(100, dtype)
        exact.assert_same(
            cf.round_to(x, fmt, out=out), cf.decode(cf.encode(x, fmt), fmt, dtype=dtype)
        )


# Shapes of an operand and of the biases that broadcast with it.
BROADCASTS = [
    ((40, 60), (40, 1)),
    ((40, 60), (60,)),
    ((40, 60), (1, 1)),
    ((40, 60), (40, 60)),
    ((3, 1500), (3, 1)),
    ((1500, 3), (3,)),
    ((60,), (40, 60)),
    ((40, 1), (40, 60)),
    ((1,), (2100,)),
    ((), (5, 4)),
    ((4, 1, 6), (5, 1)),
]


@pytest.mark.slow
@every_format
@every_operation
@pytest.mark.parametrize(("shape", "bias_shape"), BROADCASTS, ids=str)
def test_biases_broadcast(operation, dtype, fmt, shape, bias_shape, rng):
    x = operands(dtype, fmt, shape, rng)
    biases = rng.integers(5, 40, bias_shape)
    results = np.broadcast_shapes(shape, bias_shape)
    whole, spread_biases = np.broadcast_to(x, results), np.broadcast_to(biases, results)
    expected = operation(whole.copy(), fmt, 5)
    for bias in range(6, 40):
        chosen = spread_biases == bias
        expected[chosen] = operation(whole.copy(), fmt, bias)[chosen]
    exact.assert_same(operation(x, fmt, biases), expected)
    exact.assert_same(operation(spread(x), fmt, backwards(biases.astype(np.uint8))), expected)
    exact.assert_same(operation(x, fmt, biases.tolist()), expected)
    out = spread(np.zeros_like(expected))
    operation(x, fmt, biases.astype(">i2"), out=out)
    exact.assert_same(out, expected)


def test_memory_of_biases(rng):
    """Biases may be read-only, and may lie where the result goes."""
    x = rng.standard_normal(3000)
    biases = rng.integers(0, 64, x.size).astype(np.int16)
    expected = cf.encode(x, cf.CFloat8_1_4_3, biases.tolist())
    exact.assert_same(cf.encode(x, cf.CFloat8_1_4_3, read_only(biases)), expected)
    out = biases.view(np.uint8)[-x.size :]
    cf.encode(x, cf.CFloat8_1_4_3, biases, out=out)
    exact.assert_same(out, expected)


# Where an operand and a result lie in shared memory: the first bytes of each.
SHIFTS = [(0, 0), (0, 1), (1, 0), (0, 8), (8, 0), (0, 8192), (8192, 0), (0, 3000), (3000, 0)]


@pytest.mark.slow
@every_format
@every_operation
@pytest.mark.parametrize(("start", "out_start"), SHIFTS)
@pytest.mark.parametrize("with_biases", [False, True])
def test_operand_and_result_share_memory(operation, dtype, fmt, start, out_start, with_biases, rng):
    x = operands(dtype, fmt, 3000, rng)
    bias = rng.integers(5, 40, 3000) if with_biases else 20
    expected = operation(x, fmt, bias)
    memory = np.zeros(8192 + 8 * 3000, np.uint8)
    operand = memory[start : start + x.nbytes].view(x.dtype)
    out = memory[out_start : out_start + expected.nbytes].view(expected.dtype)
    operand[...] = x
    assert operation(operand, fmt, bias, out=out) is out
    exact.assert_same(out, expected)


@every_format
@every_operation
@pytest.mark.parametrize("reorder", [np.flip, np.transpose, lambda out: out[:, ::-1]])
def test_result_in_the_operands_place_in_another_order(operation, dtype, fmt, reorder, rng):
    x = operands(dtype, fmt, (50, 50), rng)
    expected = operation(x, fmt)
    memory = np.zeros(8 * x.size, np.uint8)
    operand = memory[: x.nbytes].view(x.dtype).reshape(x.shape)
    out = memory[: expected.nbytes].view(expected.dtype).reshape(x.shape)
    operand[...] = x
    operation(operand, fmt, out=reorder(out))
    exact.assert_same(np.ascontiguousarray(reorder(out)), expected)


@every_format
@every_operation
def test_a_result_larger_than_the_operand_in_its_place(operation, dtype, fmt, rng):
    """The operand is read once for each row of biases, while the result grows over it."""
    x = operands(dtype, fmt, (1, 700), rng)
    biases = np.array([[10], [20], [30]])
    expected = operation(x, fmt, biases)
    memory = np.zeros(8 * expected.size, np.uint8)
    operand = memory[: x.nbytes].view(x.dtype).reshape(x.shape)
    out = memory[: expected.nbytes].view(expected.dtype).reshape(expected.shape)
    operand[...] = x
    operation(operand, fmt, biases, out=out)
    exact.assert_same(out, expected)


@every_format
def test_round_to_in_place(fmt, rng):
    x = rng.standard_normal((60, 50)).astype(np.float32)
    expected = round_to(x, fmt)
    for layout in (np.copy, np.asfortranarray, spread, backwards, mixed, unaligned):
        y = layout(x.copy())
        assert round_to(y, fmt, out=y) is y
        exact.assert_same(y, expected)


def test_elements_between_each_other():
    """Operand and result alternate in memory, and share not one byte."""
    memory = np.arange(4000, dtype=np.float32)
    expected = cf.round_to(memory[::2].copy(), cf.CFloat8_1_5_2)
    cf.round_to(memory[::2], cf.CFloat8_1_5_2, out=memory[1::2])
    exact.assert_same(memory[1::2], expected)
    exact.assert_same(memory[::2], np.arange(0, 4000, 2, dtype=np.float32))


# Longest lengths by number of dimensions: rows longer than a tile's 256 columns and than the 1024
# elements that are staged at a time, and more rows than a tile has.
LONGEST = [(3000,), (90, 1200), (70, 12, 300), (9, 12, 7, 40)]
SOURCES = [np.dtype(order + kind) for order in "<>" for kind in ("f4", "f8", "f2", "i4", "u2")]
SOURCES.append(exact.FLOATS[3])


def any_steps(shape, dtype, rng):
    """Memory of any order of axes, some of them backwards or with gaps; its elements are to be written."""
    ndim = len(shape)
    order = rng.permutation(ndim)
    gaps = rng.choice([1, 1, 2, 3], ndim)
    wide = np.zeros([shape[axis] * gaps[axis] for axis in order], dtype)
    view = wide[tuple(slice(None, None, gaps[axis] * rng.choice([1, -1])) for axis in order)]
    return view.transpose(np.argsort(order))


def any_shape(rng):
    longest = LONGEST[rng.integers(len(LONGEST))]
    lengths = [int(rng.integers(1, n + 1)) for n in rng.permutation(longest)]
    return tuple(1 if rng.random() < 0.1 else n for n in lengths)


def any_biases(shape, rng):
    """One, or biases that broadcast: full, or in axes chosen at random; in any order of memory."""
    if rng.random() < 0.2:
        return int(rng.integers(5, 25))
    kept = rng.random(len(shape)) < rng.choice([0.5, 1])
    shape = tuple(n if keep else 1 for n, keep in zip(shape, kept, strict=True))
    biases = any_steps(shape, rng.choice(["<i2", ">i2", "<i8", "u1"]), rng)
    biases[...] = rng.integers(5, 25, shape)
    return biases


def assert_as_contiguous(operation, fmt, x, biases, out, **options):
    """Assert the portable code's results and flags of contiguous copies; out None stands for a new array."""
    isa = cf.isa()
    plain = np.ascontiguousarray(x, x.dtype.newbyteorder("=")).reshape(x.shape)
    every = np.broadcast_to(biases, x.shape).astype(np.int16)
    instruction_sets.select_isa("portable")
    with cf.record_flags() as expected_flags:
        expected = operation(plain, fmt, every, **options)
    instruction_sets.select_isa(isa)
    with cf.record_flags() as flags:
        result = operation(x, fmt, biases, out=out, **options)
    assert out is None or result is out
    exact.assert_same(np.ascontiguousarray(result).reshape(x.shape), expected)
    assert flags == expected_flags


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_any_layouts(seed):
    """Operand, biases and result each in an order of their own, in every rounding mode."""
    rng = np.random.default_rng(seed)
    for mode in cf.ROUNDING_MODES:
        fmt = FORMATS[rng.integers(2)]
        x = any_steps(any_shape(rng), SOURCES[rng.integers(len(SOURCES))], rng)
        x[...] = operands(x.dtype, fmt, x.shape, rng)
        operation = (cf.encode, cf.round_to)[rng.integers(2)]
        dtype = fmt.storage_dtype
        if operation is cf.round_to:
            dtype = np.float64 if x.dtype.newbyteorder("=") == np.float64 else np.float32
        out = any_steps(x.shape, dtype, rng) if rng.random() < 0.5 else None
        options = {"rounding": mode, "seed": seed, "offset": int(rng.integers(0, 9))}
        assert_as_contiguous(operation, fmt, x, any_biases(x.shape, rng), out, **options)


@pytest.mark.parametrize("seed", range(15))
def test_any_layouts_of_codes(seed):
    rng = np.random.default_rng(seed)
    for fmt in FORMATS:
        order = "<>"[rng.integers(2)]
        codes = any_steps(any_shape(rng), fmt.storage_dtype.newbyteorder(order), rng)
        codes[...] = operands(None, fmt, codes.shape, rng)
        out = any_steps(codes.shape, np.float32, rng) if rng.random() < 0.5 else None
        assert_as_contiguous(cf.decode, fmt, codes, any_biases(codes.shape, rng), out)


@every_format
@pytest.mark.parametrize("mode", ["ties_to_even", "toward_positive", "stochastic"])
def test_biases_of_blocks(fmt, mode, rng):
    """One for 32 neighbours, or for 48 or 7: runs of results are longer than those of biases."""
    for rows, blocks, length in (
        (3, 70, 32),
        (5, 41, 48),
        (2, 1000, 7),
        (1, 3, 1500),
        (40, 3, 32),
        (3, 5, 1024),
        (7, 700, 64),
    ):
        x = rng.standard_normal((rows, blocks * length)).astype(np.float32)
        biases = rng.integers(5, 25, (rows, blocks, 1))
        every = np.repeat(biases.reshape(rows, blocks), length, axis=1)
        expected = cf.encode(x, fmt, every, rounding=mode, seed=4)
        for operand in (x, spread(x), np.asfortranarray(x)):
            parts = operand.reshape(rows, blocks, length)
            for some in (biases, backwards(biases), spread(biases.astype(np.int16))):
                codes = cf.encode(parts, fmt, some, rounding=mode, seed=4)
                exact.assert_same(codes.reshape(x.shape), expected)


@every_format
@pytest.mark.parametrize("shape", [(300, 270), (1100, 40), (17, 5, 300)], ids=str)
def test_transposed_in_place(fmt, shape, rng):
    """The result in the operand's memory, both in another order than the operand's shape tells."""
    numbers = rng.standard_normal(shape).astype(np.float32)
    biases = rng.integers(5, 25, (*shape[:-1], 1))
    for mode, bias in (("ties_to_even", 20), ("stochastic", 20), ("toward_zero", biases)):
        options = {"rounding": mode, "seed": 9}
        expected = cf.round_to(numbers, fmt, bias, **options)
        for layout in (np.copy, np.asfortranarray, spread, mixed):
            x = layout(numbers.copy())
            cf.round_to(x, fmt, bias, out=x, **options)
            exact.assert_same(x, expected)
        # the same memory in another order: as if from a copy
        if len(shape) == 2:
            square = np.ascontiguousarray(numbers[:40, :40])
            some = bias if mode != "toward_zero" else biases[:40]
            expected = cf.round_to(square.T.copy(), fmt, some, **options)
            cf.round_to(square.T, fmt, some, out=square, **options)
            exact.assert_same(square, expected)
