"""Matrix products: against exact sums, accumulators, and what is refused."""

import tracemalloc
from itertools import cycle, product

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrices import (
    BFLOAT16,
    F8,
    F8W,
    KINDS,
    PAIRS,
    SHP,
    SIX_BITS,
    UHP,
    assert_near,
    assert_within_bound,
    operand,
    values,
    wide,
)
from refusals import type_error, value_error

import cfloat as cf
from cfloat._core import binding
from cfloat._matmul import outputs as destinations

# The numbers


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=str)
def test_every_pairing(matmul_isa, rng, left, right):
    def biases(kind):
        return (0, None, 63) if isinstance(kind, cf.Format) and kind != UHP else (None,)

    for of_a, of_b in product(biases(left), biases(right)):
        a, b = operand(rng, left, (5, 19), of_a), operand(rng, right, (19, 6), of_b)
        assert_within_bound(cf.matmul(a, b), a, b)
    # of few rows, and packed
    for rows, columns in ((5, 60), (33, 34)):
        a, b = operand(rng, left, (rows, 130), None), operand(rng, right, (130, columns), None)
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
    # neither small nor of few rows, and of few rows that are not small
    others = cycle(layouts_of_biases(rng, F8W, 70, 64))
    for rows in (59, 9):
        for a in layouts_of_biases(rng, kind, rows, 70):
            b = next(others)
            assert_near(cf.matmul(a, b), a, b)
            assert_near(cf.matmul(b.T, a.T), b.T, a.T)
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


NANS = {
    "a positive NaN": (np.nan, 1.0),
    "a negative NaN": (-np.nan, 1.0),
    "one of the other": (1.0, -np.nan),
    "two": (-np.nan, -np.nan),
    "inf * 0": (np.inf, 0.0),
    "0 * -inf": (0.0, -np.inf),
    "inf - inf": ([np.inf, np.inf], [1.0, -1.0]),
}


@pytest.mark.parametrize("accumulate", ["float32", "exact", cf.bfloat16], ids=str)
@pytest.mark.parametrize("kind", [cf.float16, cf.bfloat16, np.dtype(np.float32)], ids=str)
@pytest.mark.parametrize("case", NANS)
def test_there_is_one_nan(matmul_isa, case, kind, accumulate):
    """Whatever the operands' NaNs, and whatever way their shapes take: outputs of codes rely on it."""
    left, right = NANS[case]
    for rows, inner, columns in ((1, 2, 1), (1, 40, 30), (3, 300, 5), (40, 33, 50), (65, 600, 70)):
        if accumulate is cf.bfloat16 and rows * columns > 1000:
            continue
        x, y = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
        for axis, z, value in ((1, x, left), (0, y, right)):
            many = np.atleast_1d(np.float32(value))
            z[(slice(None), slice(inner - many.size, None))[:: 1 if axis else -1]] = (
                many if axis else many[:, np.newaxis]
            )
        a = x if kind == np.float32 else cf.asarray(x, kind)
        for b in (cf.asarray(y, cf.float8_e5m2), cf.asarray(y, cf.float16).T.copy().T):
            for out in (None, np.empty((columns, rows), np.float32).T):
                results = cf.matmul(a, b, accumulate=accumulate, out=out)
                assert np.unique(np.ascontiguousarray(results).view(np.uint32)).tolist() == [
                    0x7FC00000
                ]


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
    np.testing.assert_array_equal(w.T.bias, w.bias.T)
    assert (w.T.axis, w.T.block) == (0, 32)


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
    """Rounding s of element i takes word offset + s * 24 + i, whatever the pieces."""
    a, b = operand(rng, F8, (4, 16)), operand(rng, F8W, (16, 6))
    count = -(-16 // every)
    total = np.zeros((4, 6))
    words = binding.random_words(9, 100, 24 * count).reshape(count, 4, 6)
    for s in range(count):
        part = slice(s * every, (s + 1) * every)
        exact = total + wide(a)[:, part] @ wide(b)[part]
        total = wide(cf.round_to(exact, SHP, rounding="stochastic", random_bits=words[s]))
    how = {"accumulate": SHP, "accumulate_every": every, "rounding": "stochastic", "seed": 9}
    np.testing.assert_array_equal(cf.matmul(a, b, offset=100, **how), total)
    monkeypatch.setattr(destinations, "PIECE_BYTES", 4 * 6)
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
        (
            "accumulate is None; it takes 'float32', 'exact', a Format or the name of one",
            {"accumulate": None},
        ),
        ("accumulate is an array", {"accumulate": np.ones(2)}),
        ("accumulate_every is 1.5; it takes an integer", {"accumulate_every": 1.5}),
        ("accumulate_every is True; it takes an integer", {"accumulate_every": True}),
        ("bias is 1.5; it takes an integer", {"accumulate": SHP, "accumulator_bias": 1.5}),
        ("rounding is None; it takes one of", {"rounding": None}),
        ("seed is 1.5; it takes an integer", {"accumulate": SHP, "seed": 1.5}),
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
            "accumulate is 'float64'; it takes 'float32', 'exact', a Format or the name of one",
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


@pytest.mark.quick
@pytest.mark.parametrize("fmt", [*cf.TESLA_FORMATS[:3], cf.float16, cf.bfloat16], ids=str)
@pytest.mark.parametrize("side", [8, 40, 200])
def test_sums_of_negative_zeros_that_underflow(matmul_isa, fmt, side):
    """A product too small for float32 leaves -0 of a sum, which stays that with all others -0.

    Portable code adds what it has rounded before, and +0 - 0 is +0.
    """
    negative = 1 << fmt.bits - 1
    codes = np.full((side, side), negative, np.uint8 if fmt.bits == 8 else np.uint16)
    codes[:, 0] += 1 << fmt.mantissa_bits  # the least normal number
    bias = fmt.bias_range[1] if fmt in cf.TESLA_FORMATS else fmt.default_bias
    a = cf.CFloatArray(codes, fmt, bias)
    products = cf.matmul(a, np.full((side, side), 1e-45, np.float32))
    np.testing.assert_array_equal(products, 0)
    assert np.signbit(products).all() == (matmul_isa != "portable")
