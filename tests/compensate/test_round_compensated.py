"""Rounding for the outputs of products, beside the textbook and the best of all neighbours."""

import itertools

import ml_dtypes
import numpy as np
import pytest

import cfloat as cf
from cfloat._core import isa as instruction_sets

TESLA = [fmt.name for fmt in cf.TESLA_FORMATS]
SIGNED = [name for name in TESLA if name != "CFloat16_UHP"]


def correlated(rng, count, columns, correlation=0.9):
    """Inputs of which neighbouring ones are correlated."""
    places = np.arange(columns)
    covariance = correlation ** np.abs(places[:, None] - places)
    return rng.standard_normal((count, columns)) @ np.linalg.cholesky(covariance).T


def output_errors(q, w, moments):
    """The squared output error of each row, by the definition."""
    loss = np.asarray(q, np.float64).reshape(len(w), -1) - w.reshape(len(w), -1).astype(np.float64)
    return np.einsum("ij,jk,ik->i", loss, moments.values, loss)


def textbook(w, fmt, biases, moments, damping, order):
    """GPTQ as its paper has it: by the factor of the inverse, one column after the other, without blocks."""
    h = moments.values.copy()
    h[np.diag_indices(len(h))] *= 1 + damping
    places = np.argsort(-np.diagonal(moments.values), kind="stable") if order == "falling" else None
    places = np.arange(len(h)) if places is None else places
    upper = np.linalg.cholesky(np.linalg.inv(h[np.ix_(places, places)])).T
    left = w.astype(np.float64)[:, places]
    biases = np.broadcast_to(biases, w.shape)[:, places]
    codes = np.empty(w.shape, fmt.storage_dtype)
    for column in range(w.shape[1]):
        for row in range(w.shape[0]):
            bias = int(biases[row, column])
            code = cf.encode(left[row, column], fmt, bias)
            codes[row, places[column]] = code
            error = left[row, column] - float(cf.decode(code, fmt, bias, dtype=np.float64))
            error /= upper[column, column]
            left[row, column + 1 :] -= error * upper[column, column + 1 :]
    return codes


@pytest.mark.quick
def test_outputs_lose_less_and_the_stats_say_how_much():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((40, 200)).astype(np.float32)
    moments = cf.SecondMoment.of(correlated(rng, 3000, 200))
    q, stats = cf.round_compensated(w, "CFloat8_1_4_3", moments)
    nearest = cf.asarray(w, "CFloat8_1_4_3", "mse")
    assert q.format == nearest.format
    assert q.bias == nearest.bias
    assert isinstance(stats, cf.CompensationStats)
    assert stats.error == pytest.approx(output_errors(q, w, moments).sum(), rel=1e-9)
    assert stats.nearest_error == pytest.approx(output_errors(nearest, w, moments).sum(), rel=1e-9)
    assert stats.signal == pytest.approx(output_errors(0 * w, w, moments).sum(), rel=1e-9)
    assert stats.sqnr_db > stats.nearest_sqnr_db + 3
    assert (stats.rows_kept, stats.notes, stats.damping) == (0, (), 0.01)


@pytest.mark.parametrize("damping", [0.01, 3.0])
def test_stats_of_several_panels_and_pieces_of_rows(damping):
    rng = np.random.default_rng(21)
    w = rng.standard_normal((150, 1100)).astype(np.float32)
    w[70, 5] = np.nan
    moments = cf.SecondMoment.of(correlated(rng, 3000, 1100))
    q, stats = cf.round_compensated(w, "CFloat8_1_5_2", moments, bias=12, damping=damping)
    finite = np.arange(150) != 70
    loss = np.asarray(q, np.float64)[finite] - w[finite]
    assert stats.error == pytest.approx(((loss @ moments.values) * loss).sum(), rel=1e-9)
    nearest = cf.round_to(w[finite], "CFloat8_1_5_2", 12) - w[finite].astype(np.float64)
    expected = ((nearest @ moments.values) * nearest).sum()
    assert stats.nearest_error == pytest.approx(expected, rel=1e-9)
    whole = w[finite].astype(np.float64)
    assert stats.signal == pytest.approx(((whole @ moments.values) * whole).sum(), rel=1e-9)
    assert stats.rows_kept == 1


@pytest.mark.quick
def test_rows_of_the_codes_of_nearest_are_kept_and_have_its_error():
    rng = np.random.default_rng(22)
    moments = cf.SecondMoment(np.diag(rng.uniform(0.5, 2, 50)), 500)
    w = rng.standard_normal((300, 50))
    q, stats = cf.round_compensated(w, "CFloat8_1_4_3", moments, bias=8)
    np.testing.assert_array_equal(q.codes, cf.encode(w, "CFloat8_1_4_3", 8))
    assert (stats.rows_kept, stats.error) == (300, stats.nearest_error)


@pytest.mark.quick
@pytest.mark.parametrize("damping", [1e-5, 0.01, 0.1])
def test_errors_that_cancel_are_told_to_their_last_digits(damping):
    """The second weight makes up for the first one's error exactly."""
    lost = np.arange(9, 16) / 256
    w = np.stack([1 + lost, 0.25 - lost], axis=1)
    q, stats = cf.round_compensated(
        w, "CFloat8_1_4_3", cf.SecondMoment(np.full((2, 2), 0.7), 9), bias=8, damping=damping
    )
    errors = np.square((np.asarray(q, np.float64) - w).sum(axis=1))
    assert (errors == 0).any()
    assert stats.error == pytest.approx(0.7 * errors.sum(), rel=1e-12, abs=0)
    assert stats.nearest_error > 0


@pytest.mark.parametrize("order", ["falling", "given"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CFloat8_1_4_3", {}),
        ("CFloat8_1_5_2", {"damping": 0.1}),
        ("CFloat16_SHP", {"axis": 0}),
        ("CFloat8_1_4_3", {"block": 24, "bias": "max"}),
        ("float8_e4m3fn", {"bias": None}),
        ("CFloat8_1_4_3", {"axis": 1, "bias": "max"}),
    ],
)
def test_codes_are_the_textbooks(name, options, order):
    rng = np.random.default_rng(len(name) + len(options))
    columns = 700  # a panel of 512, a block of 128, and some
    w = 0.3 * rng.standard_normal((3, columns))
    inputs = correlated(rng, 3000, columns) * np.exp(rng.standard_normal(columns))
    moments = cf.SecondMoment.of(inputs)
    q, stats = cf.round_compensated(w, name, moments, order=order, **options)
    assert stats.rows_kept == 0
    biases = np.broadcast_to(q.bias, w.shape) if q.block is None else np.repeat(q.bias, 24, 1)
    damping = options.get("damping", 0.01)
    expected = textbook(w, q.format, biases[:, :columns], moments, damping, order)
    np.testing.assert_array_equal(q.codes, expected)


def test_convolutions_in_groups_and_transposed_weights_are_those_of_their_matrices():
    rng = np.random.default_rng(5)
    inputs = [correlated(rng, 500, 18) * scale for scale in (1, 3)]
    each = [cf.SecondMoment.of(x) for x in inputs]
    together = cf.SecondMoment(np.stack([one.values for one in each]), 500)
    w = rng.standard_normal((8, 2, 3, 3))
    q, stats = cf.round_compensated(w, "CFloat8_1_4_3", together, bias=9)
    parts = [
        cf.round_compensated(half.reshape(4, 18), "CFloat8_1_4_3", one, bias=9)
        for half, one in zip((w[:4], w[4:]), each, strict=True)
    ]
    np.testing.assert_array_equal(
        q.codes, np.concatenate([part.codes for part, _ in parts]).reshape(w.shape)
    )
    assert stats.error == pytest.approx(sum(part.error for _, part in parts))
    # a Conv1D's (in, out)
    other = cf.SecondMoment(each[0].values, 500, axis=0)
    matrix = rng.standard_normal((18, 7))
    turned, _ = cf.round_compensated(matrix, "CFloat8_1_5_2", other, bias="output", axis=1)
    plain, _ = cf.round_compensated(matrix.T, "CFloat8_1_5_2", each[0], bias="output", axis=0)
    np.testing.assert_array_equal(turned.codes, plain.codes.T)
    np.testing.assert_array_equal(turned.bias, plain.bias.T)


def neighbours(w, fmt, bias):
    """For each element the two values around it."""
    down = cf.round_to(w, fmt, bias, rounding="toward_negative").astype(np.float64)
    up = cf.round_to(w, fmt, bias, rounding="toward_positive").astype(np.float64)
    return np.stack([down, up], axis=-1)


def best_of_all(w, fmt, bias, moments):
    """The least output error, summed over rows, of all choices between two neighbours."""
    choices = np.array(list(itertools.product((0, 1), repeat=w.shape[1])))
    around = neighbours(w, fmt, bias)
    total = 0.0
    for row, both in zip(w, around, strict=True):
        loss = both[np.arange(w.shape[1]), choices] - row
        total += np.einsum("ij,jk,ik->i", loss, moments.values, loss).min()
    return total


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 0.999])
def test_beside_the_best_of_all_neighbours(correlation):
    rng = np.random.default_rng(2021)
    ratios, closed = [], []
    for _ in range(200):
        w = rng.standard_normal((4, 6))
        moments = cf.SecondMoment.of(correlated(rng, 64, 6, correlation))
        q, stats = cf.round_compensated(w, "CFloat8_1_4_3", moments)
        best = best_of_all(w, q.format, q.bias, moments)
        ratios.append(stats.error / best)
        gap = np.log(stats.nearest_error / best)
        if gap > 1e-9:
            closed.append(np.log(stats.nearest_error / stats.error) / gap)
    print(f"{correlation}: error / best", np.round(np.quantile(ratios, [0, 0.25, 0.5, 0.75, 1]), 3))
    print(f"{correlation}: gap closed", np.round(np.quantile(closed, [0, 0.25, 0.5, 0.75, 1]), 3))
    if correlation == 0:
        assert np.median(ratios) <= 1.05
    else:
        assert len(closed) > 100
        assert np.median(closed) >= 0.5


def adversarial(name, rng, columns=60):
    """Moments that are hard to factor, or lead astray."""
    if name == "rank one":
        vector = rng.standard_normal(columns)
        return cf.SecondMoment(np.outer(vector, vector), 1)
    inputs = correlated(rng, 1000, columns, 0.999 if name == "correlated" else 0.8)
    if name == "zero columns":
        inputs[:, ::3] = 0
    if name == "huge column":
        inputs[:, 7] *= 1e8
    if name == "few samples":
        inputs = inputs[:10]
    return cf.SecondMoment.of(inputs)


@pytest.mark.parametrize("damping", [0.01, 0.0, 10.0])
@pytest.mark.parametrize(
    "name", ["rank one", "zero columns", "huge column", "correlated", "few samples"]
)
def test_no_row_is_worse_than_to_nearest(name, damping):
    rng = np.random.default_rng(3)
    moments = adversarial(name, rng)
    w = rng.standard_normal((50, 60)).astype(np.float32)
    for fmt in ("CFloat8_1_5_2", "float4_e2m1fn"):
        bias = "mse" if fmt == "CFloat8_1_5_2" else None
        q, stats = cf.round_compensated(w, fmt, moments, bias, damping=damping)
        error = output_errors(q, w, moments)
        nearest = output_errors(cf.asarray(w, fmt, bias), w, moments)
        assert (error <= nearest * (1 + 1e-9)).all()
        assert (error.sum() < nearest.sum()) or name == "huge column"
        assert stats.error == pytest.approx(error.sum(), rel=1e-6)
        few = [note for note in stats.notes if "fewer than the 60 columns" in note]
        assert len(few) == (moments.count < 60)


def test_rows_that_would_be_worse_are_to_nearest():
    """Where damping is all, and beyond the format's range, feedback can do harm."""
    rng = np.random.default_rng(8)
    moments = cf.SecondMoment.of(correlated(rng, 200, 4, 0.3))
    w = rng.standard_normal((2000, 4))
    q, stats = cf.round_compensated(w, "float4_e2m1fn", moments, damping=0)
    kept = (q.codes == cf.encode(w, "float4_e2m1fn")).all(axis=1)
    assert 0 < stats.rows_kept <= kept.sum()
    unchecked = textbook(w[:400], q.format, q.bias, moments, 0.0, "falling")
    unchecked = cf.CFloatArray(unchecked, q.format)
    worse = output_errors(unchecked, w[:400], moments) > output_errors(q, w, moments)[:400] * 1.001
    assert worse.any()  # so that there is something to check


def test_rows_that_are_not_finite_and_moments_that_say_nothing():
    rng = np.random.default_rng(1)
    w = rng.standard_normal((5, 30))
    moments = cf.SecondMoment.of(correlated(rng, 100, 30))
    expected, _ = cf.round_compensated(w, "CFloat8_1_4_3", moments, bias=8)
    w[1, 3], w[4, 0] = np.nan, np.inf
    q, stats = cf.round_compensated(w, "CFloat8_1_4_3", moments, bias=8)
    assert stats.notes == ("2 of 5 rows are not finite: rounded to nearest",)
    assert stats.rows_kept == 2
    np.testing.assert_array_equal(q.codes[[0, 2, 3]], expected.codes[[0, 2, 3]])
    np.testing.assert_array_equal(q.codes[[1, 4]], cf.encode(w[[1, 4]], "CFloat8_1_4_3", 8))
    assert np.isfinite([stats.signal, stats.error, stats.nearest_error]).all()
    _, without = cf.round_compensated(w[[0, 2, 3]], "CFloat8_1_4_3", moments, bias=8)
    for one, other in zip(
        (stats.signal, stats.error, stats.nearest_error),
        (without.signal, without.error, without.nearest_error),
        strict=True,
    ):
        assert one == pytest.approx(other, rel=1e-12)
    for none, note in (
        (cf.SecondMoment(np.zeros((30, 30)), 50), "moments are 0, or have no factor"),
        (cf.SecondMoment(np.full(5, 0.2), 50, axis=0), "inputs are one-hot"),
    ):
        q, stats = cf.round_compensated(w, "CFloat8_1_4_3", none, bias=8)
        assert any(note in said for said in stats.notes)
        np.testing.assert_array_equal(q.codes, cf.encode(w, "CFloat8_1_4_3", 8))


@pytest.mark.parametrize("name", TESLA)
def test_threads_and_instruction_sets_change_nothing(name, isa):
    rng = np.random.default_rng(4)
    w = rng.standard_normal((64, 150))
    w = np.abs(w) if name == "CFloat16_UHP" else w
    moments = cf.SecondMoment.of(correlated(rng, 400, 150))
    before = cf.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            cf.set_num_threads(threads)
            results.append(cf.round_compensated(w, name, moments)[0].codes)
    finally:
        cf.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    instruction_sets.select_isa("portable")
    np.testing.assert_array_equal(results[0], cf.round_compensated(w, name, moments)[0].codes)


def test_any_layout_and_dtype_gives_the_same_codes():
    rng = np.random.default_rng(6)
    w = rng.standard_normal((20, 40)).astype(ml_dtypes.bfloat16)
    moments = cf.SecondMoment.of(correlated(rng, 300, 40))
    expected, _ = cf.round_compensated(w.astype(np.float64), "CFloat8_1_4_3", moments)
    for x in (w, w.astype(np.float16), np.asfortranarray(w.astype(np.float32)),
              np.repeat(w.astype(np.float32), 2, 1)[:, ::2], w.astype(">f8")):  # fmt: skip
        q, _ = cf.round_compensated(x, "CFloat8_1_4_3", moments)
        np.testing.assert_array_equal(q.codes, expected.codes)
        assert q.codes.flags.c_contiguous


def test_what_is_beyond_the_range_becomes_the_largest_finite_value():
    rng = np.random.default_rng(7)
    moments = cf.SecondMoment.of(correlated(rng, 300, 16, 0.99))
    w = 5e4 * rng.uniform(-1.1, 1.1, (200, 16))
    q, stats = cf.round_compensated(w, "float8_e5m2", moments)
    assert np.isfinite(np.asarray(q)).all()
    assert stats.error < stats.nearest_error


def test_flags_and_the_given_array_are_left_alone():
    rng = np.random.default_rng(9)
    w = rng.standard_normal((6, 20)).astype(np.float32)
    moments = cf.SecondMoment.of(correlated(rng, 90, 20))
    before, values = w.copy(), moments.values.copy()
    with cf.record_flags() as flags:
        cf.round_compensated(w, "CFloat8_1_4_3", moments, bias=20)
    assert flags == cf.Flags()
    np.testing.assert_array_equal(w, before)
    np.testing.assert_array_equal(moments.values, values)


@pytest.mark.parametrize("options", [{"axis": 0}, {"block": 8}, {}])
def test_biases_by_the_error_of_outputs(options):
    rng = np.random.default_rng(10)
    w = rng.standard_normal((30, 64)) * np.exp(rng.standard_normal((30, 1)))
    moments = cf.SecondMoment.of(correlated(rng, 900, 64))
    q, stats = cf.round_compensated(w, "CFloat8_1_4_3", moments, "output", **options)
    base, by_mse = cf.round_compensated(w, "CFloat8_1_4_3", moments, "mse", **options)
    assert stats.error <= by_mse.error
    assert (np.abs(np.asarray(q.bias) - np.asarray(base.bias)) <= 1).all()
    errors = []
    for shift in (-1, 0, 1):
        shifted = np.asarray(base.bias).reshape(-1) if options == {"axis": 0} else base.bias
        tried, _ = cf.round_compensated(w, "CFloat8_1_4_3", moments, shifted + shift, **options)
        errors.append(output_errors(tried, w, moments))
    least = np.min(errors, axis=0).sum() if options else np.sum(errors, axis=1).min()
    assert stats.error == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("fmt", ["CFloat8_1_4_3", "float8_e5m2"])
def test_rows_that_are_not_finite_choose_no_bias(fmt):
    rng = np.random.default_rng(13)
    fmt = cf.format(fmt).replace(bias=(0, 63)) if fmt == "float8_e5m2" else fmt
    moments = cf.SecondMoment.of(rng.standard_normal((90, 8)))
    w = rng.standard_normal((5, 8))
    expected, stats = cf.round_compensated(w, fmt, moments, "output")
    for beside in (np.nan, np.inf):
        more = np.vstack([w, np.full((1, 8), beside)])
        q, with_it = cf.round_compensated(more, fmt, moments, "output")
        assert q.bias == expected.bias
        assert with_it.error == pytest.approx(stats.error, rel=1e-12)


@pytest.mark.parametrize("scale", [1e307, 1e-307])
def test_extreme_moments_warn_of_nothing(scale):
    rng = np.random.default_rng(14)
    moments = cf.SecondMoment.of(rng.standard_normal((90, 8)))
    moments = cf.SecondMoment(moments.values * scale, 90)
    w = rng.standard_normal((5, 8))
    with np.errstate(all="raise"):
        for damping in (0.01, 1e307):
            q, _ = cf.round_compensated(w, "CFloat8_1_4_3", moments, damping=damping)
            assert q.shape == w.shape


def test_the_format_with_a_fixed_bias_keeps_it():
    rng = np.random.default_rng(11)
    w = np.abs(rng.standard_normal((4, 10)))
    moments = cf.SecondMoment.of(correlated(rng, 90, 10))
    q, _ = cf.round_compensated(w, "CFloat16_UHP", moments, "output")
    assert q.bias == 31


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"moments": np.eye(3)}, cf.ArgumentTypeError, "SecondMoment.of"),
        ({"w": np.zeros((2, 4))}, cf.ArgumentValueError, "moments of 3 inputs"),
        ({"w": np.zeros((2, 3), complex)}, cf.ArgumentTypeError, "complex"),
        ({"w": np.ma.masked_array(np.zeros((2, 3)), True)}, cf.ArgumentTypeError, "mask"),
        ({"order": "rising"}, cf.ArgumentValueError, "falling, given"),
        ({"damping": -1}, cf.ArgumentValueError, "0 or more"),
        ({"damping": None}, cf.ArgumentValueError, "0 or more"),
        ({"damping": "much"}, cf.ArgumentTypeError, "number"),
        (
            {"bias": "best"},
            cf.ArgumentValueError,
            "'best'; it takes one of output, max, mse, percentile, mx",
        ),
        ({"bias": 99}, cf.ArgumentValueError, "99"),
        ({"fmt": "CFloat9"}, cf.ArgumentValueError, "CFloat9"),
    ],
)
def test_what_cannot_be_is_refused(options, error, match):
    given = {"w": np.zeros((2, 3)), "fmt": "CFloat8_1_4_3"}
    given["moments"] = cf.SecondMoment(np.eye(3), 5)
    with pytest.raises(error, match=match):
        cf.round_compensated(**(given | options))


@pytest.mark.quick
def test_moments_of_inputs():
    rng = np.random.default_rng(12)
    x = rng.standard_normal((2, 50, 6)).astype(np.float16)
    flat = x.reshape(-1, 6).astype(np.float64)
    moments = cf.SecondMoment.of(x, axis=0)
    np.testing.assert_allclose(moments.values, flat.T @ flat / 100)
    assert (moments.count, moments.axis) == (100, 0)
    for wrong, match in (
        (np.zeros((0, 3)), "shape"), (np.float64(1), "shape"), ([[np.nan, 1]], "finite"),
        ([[1e200, 1]], "finite"), ([[1.316e154]], "finite"),
    ):  # fmt: skip
        with pytest.raises(cf.ArgumentValueError, match=match):
            cf.SecondMoment.of(wrong)
    with pytest.raises(cf.ArgumentTypeError):
        cf.SecondMoment.of(["a"])
    with pytest.raises(cf.ArgumentTypeError, match="mask"):
        cf.SecondMoment(np.ma.masked_array(np.eye(2)), 4)


def test_no_rows_and_one_column():
    moments = cf.SecondMoment(np.ones((1, 1)), 5)
    q, stats = cf.round_compensated(np.zeros((0, 1)), "CFloat8_1_4_3", moments)
    assert q.shape == (0, 1)
    assert (stats.error, stats.rows_kept) == (0, 0)
    q, _ = cf.round_compensated([[0.3]], "CFloat8_1_4_3", moments)
    assert q.codes == cf.asarray([[0.3]], "CFloat8_1_4_3", "mse").codes
