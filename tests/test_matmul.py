"""Matrix products: against exact sums, against NumPy's on the decoded values, and where results go."""

import tracemalloc
from fractions import Fraction
from itertools import product
from math import prod

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_arguments import type_error, value_error

import cfloat as cf
from cfloat import _native, linalg

F8, F8W, SHP, UHP = cf.TESLA_FORMATS
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
KINDS = [*cf.TESLA_FORMATS, np.dtype(np.float32), BFLOAT16]
PAIRS = [pair for pair in product(KINDS, KINDS) if any(isinstance(one, cf.Format) for one in pair)]
SIX_BITS = cf.Format("f6", exponent_bits=3, mantissa_bits=2, bias=3)


def values(rng, shape, signed=True):
    """Numbers of several magnitudes."""
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-3, 4, shape)
    return x if signed else np.abs(x)


def operand(rng, kind, shape, bias=None, **layout):
    """Return an array of a format, with values that its bias has, or of a dtype."""
    if not isinstance(kind, cf.Format):
        return values(rng, shape).astype(kind)
    near = np.asarray(kind.default_bias if bias is None else bias)
    if layout or near.ndim:
        return cf.asarray(values(rng, shape), kind, bias, **layout)
    scale = 2.0 ** (kind.default_bias - int(near))
    return cf.asarray(values(rng, shape, kind.signed) * scale, kind, bias)


def wide(x):
    return np.asarray(x, np.float64)


def assert_within_bound(got, a, b):
    """Compare with exact sums: each result is within K * 2^-23 of the sum of magnitudes.

    And within float32's smallest number for each product, where sums leave the range.
    """
    a, b = (np.vectorize(Fraction, otypes=[object])(wide(x)) for x in (a, b))
    exact, magnitude = a @ b, np.abs(a) @ np.abs(b)
    terms = a.shape[-1]
    for one, sum_, bound in zip(
        np.ravel(got).tolist(), np.ravel(exact), np.ravel(magnitude), strict=True
    ):
        assert abs(Fraction(one) - sum_) <= terms * (
            Fraction(2) ** -23 * bound + Fraction(2) ** -149
        )


def assert_near(got, a, b):
    """Compare with NumPy's float64 product, whose own error is next to nothing, by the same bound."""
    a, b = wide(a), wide(b)
    expected, bound = np.matmul(a, b), np.matmul(np.abs(a), np.abs(b))
    assert (np.shape(got), got.dtype) == (expected.shape, np.float32)
    assert type(got) is (np.ndarray if expected.ndim else np.float32)
    assert np.all(np.abs(got - expected) <= a.shape[-1] * 2.0**-23 * bound + 2.0**-149)


@pytest.fixture
def calls(monkeypatch):
    """The operands of each call of the core."""
    seen = []
    core = _native.matmul

    def matmul(a, b, results):
        seen.append((a, b, results))
        core(a, b, results)

    monkeypatch.setattr(_native, "matmul", matmul)
    return seen


# The numbers


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=str)
def test_every_pairing(matmul_isa, rng, left, right):
    def biases(kind):
        return (0, None, 63) if isinstance(kind, cf.Format) and kind != UHP else (None,)

    for of_a, of_b in product(biases(left), biases(right)):
        a, b = operand(rng, left, (5, 19), of_a), operand(rng, right, (19, 6), of_b)
        assert_within_bound(cf.matmul(a, b), a, b)


def layouts_of_biases(rng, kind, rows, columns):
    """Arrays of all layouts of biases."""
    shape, near = (rows, columns), kind.default_bias

    def biases(*counts):
        return rng.integers(near - 3, near + 4, counts)

    yield operand(rng, kind, shape, near + 2)
    yield operand(rng, kind, shape, biases(rows), axis=0)
    yield operand(rng, kind, shape, biases(columns), axis=1)
    yield operand(rng, kind, shape, biases(rows, columns))
    for block in (32, 5, 7, 1):
        yield operand(rng, kind, shape, biases(rows, -(-columns // block)), block=block)
        yield operand(rng, kind, shape, biases(1, -(-columns // block)), block=block)
        across = operand(rng, kind, shape[::-1], biases(columns, -(-rows // block)), block=block)
        yield across.T
    yield operand(rng, kind, (rows, columns + 9), biases(rows, 1 + (columns + 8) // 8), block=8)[
        :, 3:-6
    ]
    yield operand(rng, kind, shape, biases(rows, -(-columns // 4)), block=4)[::-1, ::-1]


@pytest.mark.parametrize("kind", [F8, SHP], ids=str)
def test_layouts_of_biases(matmul_isa, rng, kind):
    for a in layouts_of_biases(rng, kind, 9, 70):
        for b in layouts_of_biases(rng, F8W, 70, 11):
            assert_near(cf.matmul(a, b), a, b)
    for a in layouts_of_biases(rng, kind, 70, 9):
        vector = operand(rng, F8, 70, rng.integers(4, 11, 3), block=32)
        assert_near(cf.matmul(vector, a), vector, a)
        assert_near(cf.matmul(a.T, vector), a.T, vector)


def test_biases_of_stacks(matmul_isa, rng):
    kinds = {
        "each matrix": ((3, 1, 1), {}),
        "each row": ((3, 4, 1), {}),
        "blocks": ((3, 4, 3), {"block": 3}),
        "blocks that all matrices share": ((1, 4, 3), {"block": 3}),
    }
    for shape, layout in kinds.values():
        a = operand(rng, F8, (3, 4, 7), rng.integers(4, 11, shape), **layout)
        for b in (operand(rng, SHP, (7, 5)), operand(rng, F8W, (2, 1, 7, 5)), a.mT):
            assert_near(cf.matmul(a, b), a, b)
            assert_near(cf.matmul(b.mT, a.mT), b.mT, a.mT)
    moved = np.moveaxis(a, -1, 0)  # blocks along the stack
    assert_near(cf.matmul(moved, a[:1]), moved, a[:1])


@given(data=st.data())
def test_shapes(matmul_isa, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    lengths = st.integers(0, 70)
    rows, inner, columns = data.draw(lengths), data.draw(lengths), data.draw(lengths)
    stack = data.draw(st.lists(st.integers(0, 3), max_size=3))
    part = [
        [
            length if data.draw(st.booleans()) else 1
            for length in stack[data.draw(st.integers(0, 3)) :]
        ]
        for _ in range(2)
    ]
    left = data.draw(st.sampled_from([(*part[0], rows, inner), (inner,)]))
    right = data.draw(st.sampled_from([(*part[1], inner, columns), (inner,)]))
    kinds = data.draw(st.sampled_from(PAIRS))
    a, b = operand(rng, kinds[0], left), operand(rng, kinds[1], right)
    if data.draw(st.booleans()) and len(left) > 1:
        a = operand(rng, kinds[0], (*left[:-2], inner, rows)).swapaxes(-1, -2)
    assert_near(cf.matmul(a, b), a, b)


def test_narrow_powers_of_two_are_exact(matmul_isa, rng):
    """Sums of so few bits that float32 holds them in any order."""
    for left, right in PAIRS:
        made = []
        for kind, shape in ((left, (17, 37)), (right, (37, 19))):
            signs = rng.choice(
                [-1.0, 1.0] if kind != UHP and UHP not in (left, right) else [1.0], shape
            )
            x = np.ldexp(signs, rng.integers(-4, 4, shape))
            made.append(cf.asarray(x, kind) if isinstance(kind, cf.Format) else x.astype(kind))
        a, b = made
        np.testing.assert_array_equal(cf.matmul(a, b), wide(a) @ wide(b))


def test_infinities_and_nan(matmul_isa, rng):
    for _ in range(20):
        x, y = values(rng, (6, 9), False), values(rng, (9, 7), False)
        for z in (x, y):
            z[rng.random(z.shape) < 0.05] = rng.choice([np.inf, np.nan, 0])
        for b in (cf.asarray(y, UHP), y.astype(np.float32), y.astype(BFLOAT16), cf.asarray(y, F8)):
            a = cf.asarray(x, UHP)
            with np.errstate(invalid="ignore"):
                expected = wide(a) @ wide(b)
            got = cf.matmul(a, b)
            special = ~np.isfinite(expected)
            np.testing.assert_array_equal(got[special], expected[special])
            np.testing.assert_allclose(got[~special], expected[~special], rtol=1e-5)


@pytest.mark.parametrize("left", [F8, SHP], ids=str)
def test_threads_change_nothing(matmul_isa, rng, left):
    a = operand(rng, left, (150, 300))
    b = operand(rng, F8, (300, 170), rng.integers(4, 11, (300, 6)), block=32)
    results = []
    before = cf.get_num_threads()
    for count in (1, 2, 5):
        cf.set_num_threads(count)
        results.append(cf.matmul(a, b))
    cf.set_num_threads(before)
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


def test_threads_change_nothing_of_few_rows(matmul_isa, rng):
    x = rng.standard_normal((3, 1500)).astype(np.float32)
    b = operand(rng, SHP, (1500, 1001))  # each share ends within a vector
    before = cf.get_num_threads()
    results = []
    for count in (1, 2, 3, 7):
        cf.set_num_threads(count)
        results.append(cf.matmul(x, b).tobytes())
    cf.set_num_threads(before)
    assert len(set(results)) == 1


def test_inner_axes_that_no_memory_holds(matmul_isa):
    code = np.uint8(0x38)
    a = cf.CFloatArray(np.broadcast_to(code, (4, 2**60)), F8, 7)
    b = cf.CFloatArray(np.broadcast_to(np.full(5, code), (2**60, 5)), F8, 7)
    with pytest.raises(MemoryError):
        cf.matmul(a, b)


# Operands of float32's own range: what is in range is so whatever the bias of the other operand


@pytest.mark.parametrize("columns", [1, 8])
@pytest.mark.parametrize("biases", ["one", "of columns", "of rows"])
@pytest.mark.parametrize("kind", [np.dtype(np.float32), BFLOAT16, cf.bfloat16])
@pytest.mark.parametrize("fmt", [F8, F8W, SHP])
def test_products_in_range(matmul_isa, fmt, kind, biases, columns):
    for bias, large, small in ((63, 3e38, 2.0**-40), (0, 2.0**-126 * 1.2345678, 4.0)):
        shape = {"one": (), "of columns": (1, columns), "of rows": (2, 1)}[biases]
        each = np.full(shape, bias)
        each.flat[-1:] = abs(bias - 1)  # they differ, where there are several
        b = cf.asarray(np.full((2, columns), small), fmt, each if each.ndim else bias)
        x = np.full((8, 2), large, np.float32)
        x[:, 0] = 0
        a = cf.asarray(x, kind) if isinstance(kind, cf.Format) else x.astype(kind)
        assert_within_bound(cf.matmul(a, b), a, b)


@pytest.mark.parametrize("fmt", [F8W, SHP, cf.float16, cf.bfloat16])
def test_products_of_small_codes(matmul_isa, rng, fmt):
    for exponent in (-124, -110, -100, -65):
        other = -122 - exponent if fmt is cf.bfloat16 else 0
        x = rng.uniform(1.0, 2.0, (9, 6)) * 2.0**exponent
        a = cf.asarray(x, cf.bfloat16)
        b = cf.asarray(rng.uniform(1.0, 2.0, (6, 7)) * 2.0**other, fmt)
        assert_within_bound(cf.matmul(a, b), a, b)


# Memory of the operands


def views(x):
    """The same elements in other places: x itself is of two axes, of even lengths."""
    yield x
    yield x.T.copy().T
    yield x[::-1, ::-1].copy()[::-1, ::-1]
    yield np.concatenate([x, x], axis=1)[:, : x.shape[1]]
    yield np.repeat(x, 2, axis=0)[::2]
    yield np.repeat(x, 3, axis=1)[:, 1::3]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_strides(matmul_isa, rng, calls, kind):
    x, y = operand(rng, kind, (6, 10)), operand(rng, F8, (10, 7))
    expected = cf.matmul(x, y)
    for a in views(x):
        for b in views(y):
            assert cf.matmul(a, b).tobytes() == expected.tobytes()
            seen = calls[-1]
            for one, given_ in zip(seen[:2], (a, b), strict=True):
                assert np.shares_memory(one.elements, getattr(given_, "codes", given_))
    np.testing.assert_array_equal(cf.matmul(y.T, x.T), expected.T)


def test_blocks_stay_blocks_when_transposed(rng, calls):
    w = operand(rng, F8, (40, 96), rng.integers(4, 11, (40, 3)), block=32)
    a = operand(rng, F8, (5, 96))
    assert_near(a @ w.T, a, w.T)
    assert calls[-1][1].biases.shape == (3, 40)
    assert calls[-1][1].blocks == (32, 1)
    assert w.T.T.block == 32
    np.testing.assert_array_equal(w.T.bias, np.repeat(w.bias, 32, axis=1).T)
    assert w.T.block is None


def test_one_matrix_for_a_stack_is_one_product(rng, calls):
    b = operand(rng, F8, (6, 4))
    for a in (
        operand(rng, F8, (3, 5, 6)),
        operand(rng, F8, (3, 5, 6), rng.integers(5, 9, (3, 5, 2)), block=3),
        operand(rng, F8, (3, 5, 6), rng.integers(5, 9, (1, 1, 2)), block=3),
        operand(rng, np.dtype(np.float32), (3, 5, 6)),
    ):
        assert_near(cf.matmul(a, b), a, b)
        assert calls[-1][0].elements.shape == (15, 6)
        assert_near(cf.matmul(a[:, ::2], b), a[:, ::2], b)
        assert calls[-1][0].elements.shape == (3, 3, 6)
    a = operand(rng, F8, (3, 5, 6), rng.integers(5, 9, (3, 1, 1)))
    assert_near(cf.matmul(a, b), a, b)


@pytest.mark.parametrize("kind", [SHP, np.dtype(np.float32), BFLOAT16], ids=str)
@pytest.mark.parametrize("how", ["unaligned", "swapped"])
def test_memory_that_the_core_does_not_read(rng, kind, how):
    x, y = operand(rng, kind, (6, 10)), operand(rng, F8, (10, 7))
    memory = getattr(x, "codes", x)
    if how == "swapped":
        odd = memory.astype(memory.dtype.newbyteorder("S"))
    else:
        odd = np.zeros(memory.nbytes + 1, np.uint8)[1:].view(memory.dtype).reshape(memory.shape)
        odd[...] = memory
        assert not odd.flags.aligned
    other = cf.CFloatArray(odd, kind) if isinstance(kind, cf.Format) else odd
    assert cf.matmul(other, y).tobytes() == cf.matmul(x, y).tobytes()
    assert np.matmul(other, y).tobytes() == cf.matmul(x, y).tobytes()


@pytest.mark.parametrize("dtype", ["float16", "int8", "uint16", "bool", ml_dtypes.float8_e5m2])
def test_dtypes_that_become_float32(rng, dtype):
    y = operand(rng, F8, (10, 4))
    x = np.abs(values(rng, (6, 10))).astype(dtype)
    np.testing.assert_array_equal(cf.matmul(x, y), cf.matmul(x.astype(np.float32), y))


@pytest.mark.parametrize("dtype", ["float64", "int32", "int64"])
def test_dtypes_that_numpy_computes_in_float64_with(rng, dtype):
    a = operand(rng, F8, (4, 6))
    x = (values(rng, (6, 5)) * 8).astype(dtype)
    got = a @ x
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, np.asarray(a) @ x)
    type_error(f"b has dtype {dtype}; it takes a CFloatArray, float32, bfloat16", cf.matmul, a, x)


# Outputs


def outputs(shape):
    """Arrays of float32 in several layouts."""
    yield np.full(shape, 9, np.float32)
    yield np.full(shape, 9, np.float32, order="F")
    every_other = (..., *(slice(None, None, -2),) * len(shape))
    yield np.full([2 * length for length in shape], 9, np.float32)[every_other]
    yield np.full(prod(shape) * 4 + 1, 9, np.uint8)[1:].view(np.float32).reshape(shape)


@pytest.mark.parametrize(
    ("left", "right"),
    [((4, 6), (6, 5)), ((6,), (6, 5)), ((4, 6), (6,)), ((6,), (6,)), ((3, 4, 6), (2, 1, 6, 5))],
)
def test_float32_outputs(rng, left, right):
    a, b = operand(rng, F8, left), operand(rng, SHP, right)
    expected = cf.matmul(a, b)
    for out in outputs(np.shape(expected)):
        assert cf.matmul(a, b, out=out) is out
        np.testing.assert_array_equal(out, expected)
        out[...] = 9
        assert np.matmul(a, b, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_outputs_that_overlap(rng):
    memory = operand(rng, np.dtype(np.float32), (20,))
    x, b = memory[:16].reshape(4, 4), operand(rng, F8, (4, 4))
    expected = cf.matmul(x, b)
    out = memory[3:19].reshape(4, 4)
    cf.matmul(x, b, out=out)
    np.testing.assert_array_equal(out, expected)
    expected = cf.matmul(b, out)
    cf.matmul(b, out, out=out)
    np.testing.assert_array_equal(out, expected)


def test_a_stack_that_the_output_overlaps(rng):
    """What is written for one matrix is not read for the next."""
    memory = operand(rng, np.dtype(np.float32), (4, 4, 4))
    b = operand(rng, F8, (4, 4))
    for x, out in ((memory[:3], memory[1:]), (memory[1:], memory[:3])):
        expected = cf.matmul(x, b), cf.matmul(b, x)
        before = memory.copy()
        cf.matmul(x, b, out=out)
        np.testing.assert_array_equal(out, expected[0])
        memory[...] = before
        cf.matmul(b, x, out=out)
        np.testing.assert_array_equal(out, expected[1])
        memory[...] = before


def test_outputs_of_codes_that_overlap(rng, monkeypatch):
    monkeypatch.setattr(linalg, "STRIP_BYTES", 4 * 4 * 3)
    for name in ("a", "b", "both", "shifted"):
        a, b = operand(rng, F8, (4, 4)), operand(rng, F8, (4, 4))
        if name == "both":
            b = a
        out = {"a": a, "b": b, "both": a, "shifted": a[::-1]}[name]
        expected = cf.encode(cf.matmul(a, b), F8)
        assert cf.matmul(a, b, out=out) is out
        np.testing.assert_array_equal(out.codes, expected)


DESTINATIONS = {
    "one bias": {},
    "a bias a row": {"bias": [6, 7, 8, 9, 7, 6], "axis": 0},
    "blocks": {"bias": np.arange(12).reshape(6, 2) % 4 + 5, "block": 5},
    "a short block": {"bias": np.arange(18).reshape(6, 3) % 4 + 5, "block": 4},
}


@pytest.mark.parametrize("layout", DESTINATIONS)
@pytest.mark.parametrize("rows", [1, 2, 6])
@pytest.mark.parametrize("rounding", cf.ROUNDING_MODES)
def test_outputs_of_codes(rng, monkeypatch, layout, rows, rounding):
    """In strips of some rows the codes, the random words and the flags are those of the whole."""
    monkeypatch.setattr(linalg, "STRIP_BYTES", rows * 10 * 6)
    a = operand(rng, SHP, (6, 7)) * np.float32(40)
    a, b = cf.asarray(a, SHP), operand(rng, F8, (7, 10))
    how = {"rounding": rounding, "seed": 5, "offset": 3}
    out = cf.asarray(np.zeros((6, 10)), F8, **DESTINATIONS[layout])
    results = cf.matmul(a, b)
    with cf.record_flags() as expected_flags:
        expected = cf.encode(results, F8, out._biases.full(out.shape), **how)
    with cf.record_flags() as flags:
        assert cf.matmul(a, b, **how, out=out) is out
    np.testing.assert_array_equal(out.codes, expected)
    assert flags == expected_flags
    assert flags.overflow


def test_strips_of_stacks_and_vectors(rng, monkeypatch):
    shapes = [((3, 4, 6), (6, 5)), ((3, 4, 6), (3, 6, 5)), ((2, 1, 4, 6), (3, 6, 5)), ((6,), (6, 5)),
              ((4, 6), (6,)), ((6,), (6,)), ((6,), (3, 6, 5)), ((3, 4, 6), (6,)), ((3, 0, 6), (6, 2)),
              ((2, 0), (0, 3))]  # fmt: skip
    how = {"rounding": "stochastic", "seed": 1}
    for size in (1, 2, 7, 20, 45, 1000):
        monkeypatch.setattr(linalg, "STRIP_BYTES", 4 * size)
        for left, right in shapes:
            a, b = operand(rng, F8, left), operand(rng, SHP, right)
            results = cf.matmul(a, b)
            out = cf.asarray(np.ones(np.shape(results)), F8)
            cf.matmul(a, b, out=out, **how)
            np.testing.assert_array_equal(out.codes, cf.encode(results, F8, **how))


def test_strips_through_blocks(rng, monkeypatch):
    """Rows and columns are cut where blocks are not."""
    a = operand(rng, F8, (7, 10), rng.integers(5, 9, (7, 3)), block=4).T
    b = operand(rng, F8, (7, 9), rng.integers(5, 9, (7, 3)), block=4)
    expected = cf.encode(cf.matmul(a, b), F8)
    for size in (1, 2, 5, 9, 18, 27):
        monkeypatch.setattr(linalg, "STRIP_BYTES", 4 * size)
        out = cf.matmul(a, b, out=cf.asarray(np.ones((10, 9)), F8))
        np.testing.assert_array_equal(out.codes, expected)


def test_flags_are_those_of_the_output(rng):
    a = cf.asarray([[cf.finfo(F8).smallest_subnormal, 400.0]], F8)
    with cf.record_flags() as flags:
        cf.matmul(a, a.T)
    assert flags == cf.Flags()
    with cf.errstate(overflow="raise"), pytest.raises(cf.FlagError) as caught:
        cf.matmul(a, a.T, out=cf.asarray([[0.0]], F8))
    assert str(caught.value) == "overflow in matmul to CFloat8_1_4_3: 1 of 1 elements"
    out = cf.asarray([[0.0]], F8)
    with cf.errstate(overflow="warn"), pytest.warns(cf.FlagWarning, match="overflow") as warned:
        cf.matmul(a, a.T, out=out)
    assert warned[0].filename == __file__
    assert float(out[0, 0]) == 480
    with cf.record_flags() as flags:
        np.matmul(a, a.T, out=out)
    assert flags == cf.Flags(overflow=1)


def test_a_nan_goes_into_a_format_as_a_positive_one():
    a = cf.asarray([[np.inf, np.inf]], UHP)
    b = np.array([[1], [-1]], np.float32)
    out = cf.matmul(a, b, out=cf.asarray([[0.0]], F8))
    assert float(out[0, 0]) == 480


@pytest.mark.parametrize("block", [None, 7])
def test_memory_beside_the_result(block):
    rows, inner, columns = 2500, 3, 4000
    a, b = (
        cf.CFloatArray(np.full(shape, 56, np.uint8), F8)
        for shape in ((rows, inner), (inner, columns))
    )
    layout = (
        {} if block is None else {"bias": np.full((1, -(-columns // block)), 7), "block": block}
    )
    out = cf.CFloatArray(np.zeros((rows, columns), np.uint8), F8, **layout)
    tracemalloc.start()
    try:
        cf.matmul(a, b, out=out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.all(out.codes == out.codes[0, 0])
    assert float(out[0, 0]) == 3
    assert peak < 16 << 20


def test_memory_of_a_product_in_place():
    """Each strip of rows is read before it is written: the codes are not copied."""
    a = cf.CFloatArray(np.full((5_000_000, 4), 56, np.uint8), F8)
    b = cf.asarray(np.eye(4), F8)
    tracemalloc.start()
    try:
        a @= b
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.all(a.codes == 56)
    assert peak < 16 << 20


# NumPy's ways to say it


def same(*shapes):
    return [np.dtype(np.float32) if i % 2 else F8 for i in range(len(shapes))]


ROUTED = {
    "@": (lambda a, b: a @ b, (4, 6), (6, 5)),
    "matmul": (np.matmul, (2, 4, 6), (6, 5)),
    "matmul of vectors": (np.matmul, (6,), (6,)),
    "in-place axes": (lambda a, b: np.matmul(a, b, axes=[(-2, -1)] * 3), (4, 6), (6, 5)),
    "linalg.matmul": (np.linalg.matmul, (4, 6), (6, 5)),
    "dot": (np.dot, (4, 6), (6, 5)),
    "dot of vectors": (np.dot, (6,), (6,)),
    "dot of more axes": (np.dot, (2, 3, 6), (4, 6, 5)),
    "dot with a vector": (np.dot, (2, 3, 6), (6,)),
    "inner": (np.inner, (4, 6), (5, 6)),
    "inner of more axes": (np.inner, (2, 4, 6), (3, 5, 6)),
    "vdot": (np.vdot, (4, 6), (6, 4)),
    "tensordot": (np.tensordot, (4, 2, 6), (2, 6, 5)),
    "tensordot of axes": (lambda a, b: np.tensordot(a, b, ((0, 2), (1, 0))), (2, 3, 4), (4, 2, 6)),
    "tensordot of one axis": (lambda a, b: np.tensordot(a, b, (-1, 0)), (2, 3, 4), (4, 2, 6)),
    "tensordot of all axes": (np.tensordot, (2, 3), (2, 3)),
    "linalg.tensordot": (lambda a, b: np.linalg.tensordot(a, b, axes=1), (2, 3), (3, 4)),
    "multi_dot": (lambda a, b: np.linalg.multi_dot([a, b, a]), (4, 6), (6, 4)),
    "multi_dot of vectors": (lambda a, b: np.linalg.multi_dot([a, b, b, a]), (6,), (6, 6)),
    **{
        f"einsum {text}": (lambda a, b, text=text: np.einsum(text, a, b), left, right)
        for text, left, right in [
            ("ij,jk", (4, 6), (6, 5)),
            ("ij,jk->ki", (4, 6), (6, 5)),
            ("ij, kj -> ik", (4, 6), (5, 6)),
            ("ji,kj", (6, 4), (5, 6)),
            ("bij,bjk->bik", (2, 4, 6), (2, 6, 5)),
            ("...ij,...jk->...ik", (2, 3, 4, 6), (2, 3, 6, 5)),
            ("...ij,jk->...ik", (2, 4, 6), (6, 5)),
            ("...ij,...jk", (2, 4, 6), (6, 5)),
            ("i...,i...k->k...", (6, 2), (6, 2, 5)),
            ("bqhd,bkhd->bhqk", (2, 5, 3, 4), (2, 6, 3, 4)),
            ("bhqk,bkhd->bqhd", (2, 3, 5, 6), (2, 6, 3, 4)),
            ("abc,cd->adb", (2, 3, 4), (4, 5)),
            ("abc,cd->dab", (2, 3, 4), (4, 5)),
            ("ij,ij->", (4, 6), (4, 6)),
            ("i,i", (6,), (6,)),
            ("ij,j->i", (4, 6), (6,)),
            ("i,ij->j", (4,), (4, 6)),
        ]
    },
    "einsum of lists": (lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), (4, 6), (6, 5)),
    "einsum of lists, implicit": (
        lambda a, b: np.einsum(a, [..., 3, 1], b, [..., 1, 0]), (2, 4, 6), (2, 6, 5),
    ),
    "einsum with optimize": (lambda a, b: np.einsum("ij,jk", a, b, optimize=True), (4, 6), (6, 5)),
}  # fmt: skip
if hasattr(np, "matvec"):  # from NumPy 2.2 on
    ROUTED |= {
        "matvec": (np.matvec, (4, 6), (6,)),
        "matvec of one matrix": (np.matvec, (4, 6), (5, 6)),
        "matvec of stacks": (np.matvec, (2, 1, 4, 6), (3, 6)),
        "vecmat": (np.vecmat, (6,), (6, 4)),
        "vecmat of one matrix": (np.vecmat, (5, 6), (6, 4)),
        "vecmat of stacks": (np.vecmat, (2, 6), (2, 6, 4)),
        "vecdot": (np.vecdot, (6,), (6,)),
    }

# The last two are errors of NumPy's, whose words they keep.
LEFT_TO_NUMPY = {
    "a dtype": (lambda a, b: np.matmul(a, b, dtype=np.float64), (4, 6), (6, 5)),
    "other axes": (lambda a, b: np.matmul(a, b, axes=[(1, 0), (-2, -1), (-2, -1)]), (6, 4), (6, 5)),
    "a float64 output": (lambda a, b: np.matmul(a, b, out=np.zeros((4, 5))), (4, 6), (6, 5)),
    "tensordot of no axes": (lambda a, b: np.tensordot(a, b, 0), (4,), (5,)),
    "einsum of no sum": (lambda a, b: np.einsum("i,j->ij", a, b), (4,), (5,)),
    "einsum of a diagonal": (lambda a, b: np.einsum("ii,ij->j", a, b), (4, 4), (4, 5)),
    "einsum that sums one operand": (lambda a, b: np.einsum("ik,jk->j", a, b), (4, 6), (5, 6)),
    "einsum of a batch of vectors": (lambda a, b: np.einsum("ij,ij->i", a, b), (4, 6), (4, 6)),
    "einsum of an axis of one": (lambda a, b: np.einsum("ij,jk", a, b), (4, 1), (6, 5)),
    "einsum with a dtype": (lambda a, b: np.einsum("ij,jk", a, b, dtype="f8"), (4, 6), (6, 5)),
    "einsum of three": (lambda a, b: np.einsum("ij,jk,kl", a, b, b.T), (4, 6), (6, 5)),
    "vecdot of stacks": (np.vecdot, (4, 6), (4, 6)),
    "a scalar": (lambda a, b: np.dot(a, 2) + np.inner(3, b).sum(), (4,), (4,)),
    "shapes that do not fit": (np.dot, (4, 6), (4, 6)),
    "subscripts that do not fit": (lambda a, b: np.einsum("ij,jkl", a, b), (4, 6), (6, 5)),
}


def outcome(call, *args):
    try:
        return call(*args)
    except ValueError as error:
        return error


@pytest.mark.parametrize("name", [*ROUTED, *LEFT_TO_NUMPY])
def test_functions(rng, calls, name):
    """Operands that are CFloatArrays alone, and with float32 on either side."""
    call, left, right = {**ROUTED, **LEFT_TO_NUMPY}[name]
    f4 = np.dtype(np.float32)
    for kinds in ((F8, SHP), (SHP, f4), (f4, F8)):
        a, b = (operand(rng, kind, shape) for kind, shape in zip(kinds, (left, right), strict=True))
        expected = outcome(call, np.asarray(a), np.asarray(b))
        calls.clear()
        got = outcome(call, a, b)
        assert bool(calls) == (name in ROUTED)
        assert type(got) is type(expected)
        if isinstance(expected, Exception):
            assert str(got) == str(expected)
            continue
        assert (np.shape(got), got.dtype) == (np.shape(expected), expected.dtype)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


def test_a_transposed_product_lies_in_order(rng):
    a, b = operand(rng, F8, (4, 6)), operand(rng, SHP, (6, 5))
    assert np.einsum("ij,jk->ki", a, b).flags.c_contiguous
    assert np.tensordot(a.T, b, (0, 0)).flags.c_contiguous


def test_in_place(rng, calls):
    a, b = operand(rng, F8, (5, 4)), operand(rng, SHP, (4, 4))
    expected = cf.encode(cf.matmul(a, b), F8)
    a @= b
    np.testing.assert_array_equal(a.codes, expected)
    x = operand(rng, np.dtype(np.float32), (5, 4))
    expected = cf.matmul(x, b)
    calls.clear()
    x @= b
    np.testing.assert_array_equal(x, expected)
    assert len(calls) == 1


@pytest.mark.parametrize("name", ["matmul", "dot", "einsum", "multi_dot"])
def test_outputs_of_functions(rng, name):
    call = {
        "matmul": np.matmul,
        "dot": np.dot,
        "einsum": lambda a, b, out: np.einsum("ij,jk->ik", a, b, out=out),
        "multi_dot": lambda a, b, out: np.linalg.multi_dot([a, b], out=out),
    }[name]
    a, b = operand(rng, F8, (4, 6)), operand(rng, SHP, (6, 5))
    expected = cf.matmul(a, b)
    for out in (np.zeros((4, 5), np.float32), cf.asarray(np.zeros((4, 5)), F8W)):
        assert call(a, b, out=out) is out
        rounded = cf.round_to(expected, F8W) if isinstance(out, cf.CFloatArray) else expected
        np.testing.assert_array_equal(np.asarray(out), rounded)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b: np.einsum("ij.,jk", a, b),
        lambda a, b: np.einsum("\xe9j,jk", a, b),
        lambda a, b: np.einsum(a, [0, -1], b, [-1, 2]),
        lambda a, b: np.einsum(a, [0, 99], b, [99, 2]),
        lambda a, b: np.einsum(a, [True, 0], b, [0, 2]),
    ],
)
def test_einsum_refuses_what_numpy_refuses(rng, wrong):
    a, b = operand(rng, F8, (4, 6)), operand(rng, F8, (6, 5))
    with pytest.raises((TypeError, ValueError)) as numpys:
        wrong(np.asarray(a), np.asarray(b))
    with pytest.raises(numpys.type):
        wrong(a, b)


def test_einsum_of_lists_and_numbers(rng):
    a = operand(rng, F8, (3, 4))
    given, number = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 2.0
    assert np.allclose(np.einsum("ij,jk", given, a), given @ wide(a))
    assert np.allclose(np.einsum(",ij", number, a), number * wide(a))


def test_an_output_of_einsum_in_another_order(rng, calls):
    a, b = operand(rng, F8, (2, 3, 4)), operand(rng, SHP, (4, 5))
    expected = np.einsum("abc,cd->adb", np.asarray(a), np.asarray(b))
    out = np.zeros(expected.shape, np.float32)
    assert np.einsum("abc,cd->adb", a, b, out=out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)


def test_subclasses_are_left_to_numpy(rng, calls):
    class Tagged(np.ndarray):
        pass

    a, x = operand(rng, F8, (4, 6)), values(rng, (6, 2)).astype(np.float32).view(Tagged)
    assert type(a @ x) is Tagged
    assert not calls


def test_method(rng, calls):
    a, b = operand(rng, F8, (4, 6)), operand(rng, SHP, (6, 5))
    np.testing.assert_array_equal(a.dot(b), cf.matmul(a, b))
    assert len(calls) == 2


# Accumulators


def accumulated(a, b, fmt, bias, every, **how):
    """Sum in a format, product by product, in float64, which holds what is rounded."""
    a, b = wide(a), wide(b)
    total = np.zeros((len(a), b.shape[1]))
    for start in range(0, a.shape[1], every):
        part = slice(start, start + every)
        total = wide(cf.round_to(total + a[:, part] @ b[part], fmt, bias, **how))
    return total


@pytest.mark.parametrize("every", [1, 3, 16, 100])
@pytest.mark.parametrize("rounding", ["ties_to_even", "toward_zero"])
def test_accumulators(matmul_isa, rng, every, rounding):
    a, b = operand(rng, F8, (5, 16)), operand(rng, F8W, (16, 6))
    for fmt, bias in ((SHP, None), (SHP, 12), (F8, 4), (cf.bfloat16, None)):
        got = cf.matmul(
            a, b, accumulate=fmt, accumulator_bias=bias, accumulate_every=every, rounding=rounding
        )
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, accumulated(a, b, fmt, bias, every, rounding=rounding))


@pytest.mark.parametrize("every", [1, 5])
def test_random_words_of_accumulators(matmul_isa, rng, monkeypatch, every):
    """Rounding s of element i takes word offset + s * 24 + i, whatever the strips."""
    a, b = operand(rng, F8, (4, 16)), operand(rng, F8W, (16, 6))
    count = -(-16 // every)
    total = np.zeros((4, 6))
    words = _native.random_words(9, 100, 24 * count).reshape(count, 4, 6)
    for s in range(count):
        part = slice(s * every, (s + 1) * every)
        exact = total + wide(a)[:, part] @ wide(b)[part]
        total = wide(cf.round_to(exact, SHP, rounding="stochastic", random_bits=words[s]))
    how = {"accumulate": SHP, "accumulate_every": every, "rounding": "stochastic", "seed": 9}
    np.testing.assert_array_equal(cf.matmul(a, b, offset=100, **how), total)
    monkeypatch.setattr(linalg, "STRIP_BYTES", 4 * 6)
    out = cf.matmul(a, b, offset=100, **how, out=cf.asarray(np.zeros((4, 6)), SHP))
    np.testing.assert_array_equal(np.asarray(out), total)


def test_exact_sums_cancel(matmul_isa):
    a = cf.asarray([[1024.0, 2.0**-14, -1024.0]], SHP)
    b = cf.asarray([[1.0], [1.0], [1.0]], F8)
    assert cf.matmul(a, b, accumulate="exact").item() == 2.0**-14


def test_accumulators_of_empty_sums():
    a, b = cf.asarray(np.zeros((2, 0)), F8), cf.asarray(np.zeros((0, 3)), F8)
    for how in ("float32", "exact", SHP):
        np.testing.assert_array_equal(cf.matmul(a, b, accumulate=how), np.zeros((2, 3)))


# Arguments

A, B = cf.asarray(np.ones((2, 3)), F8), cf.asarray(np.ones((3, 4)), F8)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3), (2, 3)), ((3,), (2,)), ((3,), (2, 3)), ((2, 3), (2,)), ((), (3,)), ((3,), ()), ((), ()),
        ((2, 4, 3), (3, 3, 5)), ((2, 1, 4, 3), (3, 5)), ((2, 4, 3), (5, 3, 3, 2)),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(left, right):
    a, b = cf.asarray(np.ones(left), F8), cf.asarray(np.ones(right), F8)
    try:
        np.matmul(np.ones(left), np.ones(right))
    except ValueError:
        value_error(f"a has shape {left} and b {right}; ", cf.matmul, a, b)
        with pytest.raises(ValueError, match=r"matmul|broadcast"):
            a @ b
    else:
        cf.matmul(a, b)


def test_operands():
    x = np.ones((3, 4), np.float32)
    message = "one of them must be a CFloatArray"
    type_error(f"a is a ndarray and b a ndarray; {message}", cf.matmul, x, x)
    type_error(f"a is a list and b a float; {message}", cf.matmul, [1.0], 2.0)
    type_error("b has dtype float64; it takes a CFloatArray, float32,", cf.matmul, A, [[1.0]] * 3)
    type_error("b has dtype complex64; ", cf.matmul, A, x.astype("c8"))
    type_error("b has dtype object; ", cf.matmul, A, x.astype(object))
    type_error("b has dtype <U1; ", cf.matmul, A, np.full((3, 4), "1"))
    value_error("a has shape (2, 3) and b (); each takes at least one axis", cf.matmul, A, True)


def test_codes_that_the_format_has_not():
    a = cf.asarray(np.ones((2, 2)), SIX_BITS)
    a.codes[0, 0] = 64
    value_error("codes have an element 64; f6 has codes 0 to 63", cf.matmul, a, a)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("accumulate is None; it takes 'float32', 'exact' or a Format", {"accumulate": None}),
        ("accumulate is an array", {"accumulate": np.ones(2)}),
        ("accumulate_every is 1.5; it takes an integer", {"accumulate_every": 1.5}),
        ("accumulate_every is True; it takes an integer", {"accumulate_every": True}),
        ("bias is 1.5; it takes an integer", {"accumulate": SHP, "accumulator_bias": 1.5}),
        ("rounding is a NoneType; it takes one of", {"rounding": None}),
        ("seed is a float; it takes an integer", {"accumulate": SHP, "seed": 1.5}),
        ("out is a list; it takes a numpy.ndarray", {"out": [1]}),
        ("out has dtype float64; the result has float32", {"out": np.zeros((2, 4))}),
    ],
)
def test_types_of_arguments(message, arguments):
    type_error(message, cf.matmul, A, B, **arguments)


READ_ONLY = np.zeros((2, 4), np.float32)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        (
            "accumulate is 'float64'; it takes 'float32', 'exact' or a Format",
            {"accumulate": "float64"},
        ),
        ("accumulate_every is 0; it takes an integer from 1 on", {"accumulate_every": 0}),
        (
            "accumulate is 'float32'; accumulator_bias and accumulate_every need a Format",
            {"accumulate_every": 2},
        ),
        (
            "accumulate is 'exact'; accumulator_bias and accumulate_every need a Format",
            {"accumulate": "exact", "accumulator_bias": 7},
        ),
        (
            "bias is 64; CFloat16_SHP takes an integer from 0 to 63",
            {"accumulate": SHP, "accumulator_bias": 64},
        ),
        ("rounding is 'up'; it takes one of", {"rounding": "up"}),
        (
            "rounding is 'toward_zero'; it needs a CFloatArray as out, or a Format as accumulate",
            {"rounding": "toward_zero"},
        ),
        ("seed is -1; ", {"accumulate": SHP, "rounding": "stochastic", "seed": -1}),
        (
            "offset + size is 18446744073709551623; a stream has 2**64 words",
            {"accumulate": SHP, "rounding": "stochastic", "offset": 2**64 - 17},
        ),
        ("out has shape (4, 2); the result has (2, 4)", {"out": np.zeros((4, 2), np.float32)}),
        ("out has shape (4, 2); the result has (2, 4)", {"out": cf.asarray(np.zeros((4, 2)), F8)}),
        ("out is read-only", {"out": READ_ONLY}),
        ("out is read-only", {"out": cf.CFloatArray(READ_ONLY.view(np.uint8)[:, :4], F8)}),
    ],
)
def test_values_of_arguments(message, arguments):
    value_error(message, cf.matmul, A, B, **arguments)


# The error of a product


@pytest.mark.parametrize("strip", [1, 50, 1000, 1 << 19])
@pytest.mark.parametrize(
    ("left", "right"),
    [((20, 30), (30, 25)), ((30,), (30, 25)), ((2, 1, 5, 30), (3, 30, 4)), ((30,), (30,))],
)
def test_matmul_error(rng, monkeypatch, strip, left, right):
    from cfloat import product_error

    monkeypatch.setattr(product_error, "STRIP", strip)
    x, y = values(rng, left), values(rng, right).astype(np.float32)
    a, b = cf.asarray(x, F8), cf.asarray(y, SHP)
    got = cf.matmul_error(a, b, x, y)
    expected = cf.error(x @ wide(y), cf.matmul(a, b)).sqnr_db
    assert got.sqnr_db == pytest.approx(expected, rel=1e-5)
    assert got.a_sqnr_db == cf.error(x, a).sqnr_db
    assert got.b_sqnr_db == cf.error(y, b).sqnr_db
    noise = 10 ** (-got.a_sqnr_db / 10) + 10 ** (-got.b_sqnr_db / 10)
    assert got.predicted_db == pytest.approx(-10 * np.log10(noise))


def test_the_prediction_comes_true(rng):
    x, y = rng.standard_normal((2, 300, 300))
    for left, right in ((F8, F8), (F8, F8W), (F8W, SHP)):
        got = cf.matmul_error(cf.asarray(x, left), cf.asarray(y, right), x, y)
        assert got.sqnr_db == pytest.approx(got.predicted_db, abs=0.2)


def test_matmul_error_of_a_plain_operand(rng):
    x, y = values(rng, (20, 30)), values(rng, (30, 25)).astype(np.float32)
    a = cf.asarray(x, F8)
    got = cf.matmul_error(a, y, x, y)
    assert got.b_sqnr_db == np.inf
    assert got.predicted_db == got.a_sqnr_db
    assert str(got) == (
        f"SQNR {got.sqnr_db:.2f} dB; predicted {got.predicted_db:.2f} dB from operands of "
        f"{got.a_sqnr_db:.2f} and inf dB"
    )


def test_matmul_error_at_its_limits():
    one = np.ones((2, 2))
    exact = cf.asarray(one, F8)
    inf = float("inf")
    assert cf.matmul_error(exact, exact, one, one) == cf.MatmulStats(inf, inf, inf, inf)
    zero = np.zeros((2, 2))
    assert cf.matmul_error(cf.asarray(zero, F8), exact, zero, one) == cf.MatmulStats(
        inf, inf, inf, inf
    )
    assert cf.matmul_error(exact, exact, zero, one) == cf.MatmulStats(-inf, -inf, -inf, inf)
    big = cf.asarray([[1.0, 1e30], [1.0, 1.0]], UHP)
    got = cf.matmul_error(big, exact, [[1.0, 1e30], [1.0, 1.0]], one)
    assert (got.sqnr_db, got.predicted_db, got.a_sqnr_db) == (-inf, -inf, -inf)
    huge = np.full((2, 2), 1e300)
    assert cf.matmul_error(exact, exact, huge, one).sqnr_db == pytest.approx(0, abs=1e-6)


def test_arguments_of_matmul_error():
    x = np.ones((2, 2))
    a = cf.asarray(x, F8)
    type_error("one of them must be a CFloatArray", cf.matmul_error, x, x, x, x)
    type_error("y has dtype <U1; ", cf.matmul_error, a, a, x, [["1", "2"], ["1", "2"]])
    type_error("b has dtype float64; ", cf.matmul_error, a, x, x, x)
    value_error("a and x have shapes (2, 2) and (1, 2)", cf.matmul_error, a, a, x[:1], x)
    value_error(
        "a has shape (2, 2) and b (3, 3)",
        cf.matmul_error,
        a,
        np.ones((3, 3), "f4"),
        x,
        np.ones((3, 3)),
    )


def test_matmul_error_raises_no_flags():
    a = cf.asarray([[cf.finfo(F8).smallest_subnormal]], F8)
    with cf.record_flags() as flags:
        cf.matmul_error(a, a, [[1.0]], [[1.0]])
    assert flags == cf.Flags()


def test_masks_are_not_lost(rng):
    a = operand(rng, F8, (4, 4))
    with pytest.raises(TypeError, match="b is a masked array"):
        cf.matmul(a, np.ma.masked_array(np.ones((4, 4), np.float32), np.eye(4)))


def test_stacks_that_are_not_one_matrix_are_not_copied(rng):
    codes = np.zeros((64, 500, 256), np.uint8).transpose(1, 0, 2)
    a, b = cf.CFloatArray(codes, F8), operand(rng, F8, (256, 3))
    tracemalloc.start()
    got = cf.matmul(a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got.shape == (500, 64, 3)
    assert peak < got.nbytes + 100_000
