"""NumPy's functions and operators that multiply matrices: which come here, and what they give."""

import numpy as np
import pytest
from matrices import F8, F8W, SHP, operand, values, wide

import cfloat as cf


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
