"""Matrix products: where results go, and how they are rounded there."""

import tracemalloc
from math import prod

import numpy as np
import pytest
from matrices import (
    F8,
    SHP,
    UHP,
    operand,
)

import cfloat as cf
from cfloat._matmul import outputs as destinations


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
    monkeypatch.setattr(destinations, "PIECE_BYTES", 4 * 4 * 3)
    for name in ("a", "b", "both", "shifted"):
        a, b = operand(rng, F8, (4, 4)), operand(rng, F8, (4, 4))
        if name == "both":
            b = a
        out = {"a": a, "b": b, "both": a, "shifted": a[::-1]}[name]
        expected = cf.encode(cf.matmul(a, b), F8)
        assert cf.matmul(a, b, out=out) is out
        np.testing.assert_array_equal(out.codes, expected)


@pytest.mark.parametrize("columns", [11, 12, 13, 24])
def test_rows_longer_than_a_piece_are_read_whole(rng, monkeypatch, columns):
    """Of a piece's length, a row is read before it is written; of a longer one only a part would be."""
    monkeypatch.setattr(destinations, "PIECE_BYTES", 4 * 12)
    a, b = operand(rng, F8, (5, columns)), operand(rng, F8, (columns, columns))
    expected = cf.encode(cf.matmul(a, b), F8)
    assert destinations._can_be_overwritten(a, a, b, 12) == (columns <= 12)
    assert cf.matmul(a, b, out=a) is a
    np.testing.assert_array_equal(a.codes, expected)


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
    """In pieces of some rows the codes, the random words and the flags are those of the whole."""
    monkeypatch.setattr(destinations, "PIECE_BYTES", rows * 10 * 6)
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


def test_pieces_of_stacks_and_vectors(rng, monkeypatch):
    shapes = [((3, 4, 6), (6, 5)), ((3, 4, 6), (3, 6, 5)), ((2, 1, 4, 6), (3, 6, 5)), ((6,), (6, 5)),
              ((4, 6), (6,)), ((6,), (6,)), ((6,), (3, 6, 5)), ((3, 4, 6), (6,)), ((3, 0, 6), (6, 2)),
              ((2, 0), (0, 3))]  # fmt: skip
    how = {"rounding": "stochastic", "seed": 1}
    for size in (1, 2, 7, 20, 45, 1000):
        monkeypatch.setattr(destinations, "PIECE_BYTES", 4 * size)
        for left, right in shapes:
            a, b = operand(rng, F8, left), operand(rng, SHP, right)
            results = cf.matmul(a, b)
            out = cf.asarray(np.ones(np.shape(results)), F8)
            cf.matmul(a, b, out=out, **how)
            np.testing.assert_array_equal(out.codes, cf.encode(results, F8, **how))


def test_pieces_through_blocks(rng, monkeypatch):
    """Rows and columns are cut where blocks are not."""
    a = operand(rng, F8, (7, 10), rng.integers(5, 9, (7, 3)), block=4).T
    b = operand(rng, F8, (7, 9), rng.integers(5, 9, (7, 3)), block=4)
    expected = cf.encode(cf.matmul(a, b), F8)
    for size in (1, 2, 5, 9, 18, 27):
        monkeypatch.setattr(destinations, "PIECE_BYTES", 4 * size)
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
    """Each piece of rows is read before it is written: the codes are not copied."""
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
