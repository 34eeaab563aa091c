"""`matmul_error`: what rounding the operands costs a product, and what is predicted."""

import numpy as np
import pytest
from matrices import F8, F8W, SHP, UHP, values, wide
from refusals import type_error, value_error

import cfloat as cf


@pytest.mark.parametrize("size", [1, 50, 1000, 1 << 19])
@pytest.mark.parametrize(
    ("left", "right"),
    [((20, 30), (30, 25)), ((30,), (30, 25)), ((2, 1, 5, 30), (3, 30, 4)), ((30,), (30,))],
)
def test_matmul_error(rng, monkeypatch, size, left, right):
    from cfloat._metrics import matmul_error

    monkeypatch.setattr(matmul_error, "PIECE_SIZE", size)
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
