"""What a report measures beside the errors at the best bias, each against the plain way to it."""

import json
import math

import numpy as np
import pytest
from scheme_errors import measure_schemes

import cfloat as cf
from cfloat._bias.squared_errors import squared_errors
from cfloat._core import binding
from cfloat._metrics.theory import theoretical_sqnr_db

RNG = np.random.default_rng(11)
X = (RNG.standard_normal((24, 100)) * np.exp(RNG.standard_normal((24, 1)))).astype(np.float32)
SMALL = [cf.CFloat8_1_4_3, cf.CFloat8_1_5_2]
SAMPLES = {
    "normal": RNG.standard_normal(2_000_000),
    "uniform": RNG.uniform(-1, 1, 2_000_000),
    "laplace": RNG.laplace(size=2_000_000),
    "student_t": RNG.standard_t(4, 2_000_000),
}


def sqnr_db(x, q):
    noise = np.square(q.astype(np.float64) - x).sum()
    return 10 * math.log10(np.square(x.astype(np.float64)).sum() / noise)


def row_of(x, fmt):
    (row,) = cf.report(x, [fmt]).rows
    return row


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_are_not_aligned(monkeypatch, dtype):
    x = X.astype(dtype)
    off = np.frombuffer(b"!" + x.tobytes(), np.uint8)[1:].view(dtype).reshape(x.shape)
    assert not off.flags.aligned
    searched = []
    for name in ("least_errors", "errors_at_biases"):
        own = getattr(binding, name)

        def called(*args, own=own):
            searched.extend(each for each in args if isinstance(each, np.ndarray))
            return own(*args)

        monkeypatch.setattr(binding, name, called)
    assert row_of(off, SMALL[0]) == row_of(x, SMALL[0])
    # the core takes no others
    assert searched
    assert all(each.flags.aligned for each in searched)


@pytest.mark.parametrize("fmt", [*SMALL, cf.CFloat16_SHP], ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_curve_is_the_sqnr_at_every_bias(fmt, dtype):
    x = X.astype(dtype)
    row = row_of(x, fmt)
    errors = squared_errors(x, fmt)
    scale = np.ldexp(1.0, 2 * math.frexp(np.abs(x).max())[1]) if dtype == np.float64 else 1.0
    with np.errstate(divide="ignore"):  # float16 in SHP
        levels = 10 * np.log10(np.square(x.astype(np.float64)).sum() / scale / errors)
    assert row.curve.first == 0
    np.testing.assert_allclose(row.curve.sqnr_db, levels, atol=1e-3)
    assert row.curve.sqnr_db[row.bias] == max(row.curve.sqnr_db)
    assert row.stats.sqnr_db == pytest.approx(row.curve.sqnr_db[row.bias], abs=1e-3)
    first, last = row.curve.plateau
    assert first <= row.bias <= last
    assert min(row.curve.sqnr_db[first : last + 1]) >= row.stats.sqnr_db - 0.1
    for beyond in (first - 1, last + 1):
        assert not 0 <= beyond <= 63 or row.curve.sqnr_db[beyond] < row.stats.sqnr_db - 0.1


def test_a_format_of_one_bias_has_a_curve_of_one():
    row = row_of(X, cf.float16)
    assert (row.curve.first, len(row.curve.sqnr_db), row.curve.plateau) == (15, 1, (15, 15))


@pytest.mark.slow
@pytest.mark.parametrize("fmt", SMALL, ids=lambda fmt: fmt.name)
def test_stochastic_rounding_is_what_is_to_be_expected(fmt):
    x = SAMPLES["normal"].astype(np.float32)
    row = row_of(x, fmt)
    q = cf.round_to(x, fmt, row.bias, rounding="stochastic", seed=1)
    assert row.stochastic_db == pytest.approx(sqnr_db(x, q), abs=0.02)
    assert row.stats.sqnr_db - row.stochastic_db == pytest.approx(3.0, abs=0.05)


def test_stochastic_rounding_with_saturation_and_denormals():
    x = np.float32([1e6, 0.3, 0.0301, 1.0, -700.0] * 20_000)
    from cfloat._bias.histogram import Histogram

    expected = Histogram.of(x).stochastic_error(cf.CFloat8_1_4_3, 7)
    q = cf.round_to(x, cf.CFloat8_1_4_3, 7, rounding="stochastic", seed=1)
    assert expected == pytest.approx(np.square(q.astype(np.float64) - x).sum(), rel=1e-3)
    small = x[np.abs(x) < 0.5]
    expected = Histogram.of(small).stochastic_error(cf.CFloat8_1_4_3, 5)
    q = cf.round_to(small, cf.CFloat8_1_4_3, 5, rounding="stochastic", seed=1)
    assert expected == pytest.approx(np.square(q.astype(np.float64) - small).sum(), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("fmt", SMALL, ids=lambda fmt: fmt.name)
@pytest.mark.parametrize("name", SAMPLES)
def test_measured_errors_are_those_of_theory(fmt, name):
    x = SAMPLES[name].astype(np.float32)
    row = row_of(x, fmt)
    rms = math.sqrt(np.square(x, dtype=np.float64).mean())
    assert row.stats.sqnr_db == pytest.approx(theoretical_sqnr_db(fmt, name, rms), abs=0.03)
    assert row.stochastic_db == pytest.approx(
        theoretical_sqnr_db(fmt, name, rms, stochastic=True), abs=0.03
    )
    if name in row.theory:
        assert row.theory[name] == pytest.approx(theoretical_sqnr_db(fmt, name, rms), abs=1e-3)


def test_theory_has_the_known_figures():
    known = {cf.CFloat8_1_4_3: (31.52, 32.53, 31.54), cf.CFloat8_1_5_2: (25.54, 26.51, 25.56)}
    for fmt, levels in known.items():
        found = (
            theoretical_sqnr_db(fmt, "normal"),
            theoretical_sqnr_db(fmt, "uniform", 1 / math.sqrt(3)),
            theoretical_sqnr_db(fmt, "laplace", math.sqrt(2)),
        )
        assert found == pytest.approx(levels, abs=0.01)
    # six decibels a bit, where the bits are so many that nothing else matters
    high = theoretical_sqnr_db(cf.CFloat16_SHP, "normal")
    assert high - theoretical_sqnr_db(cf.bfloat16, "normal") == pytest.approx(18.06, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("cauchy",), "distribution is 'cauchy'"), (("normal", 0.0), r"rms is 0\.0")],
)
def test_theory_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        theoretical_sqnr_db(cf.CFloat8_1_4_3, *arguments)


def test_granularity_is_the_error_with_a_bias_for_each_part():
    found = {each.granularity: each for each in cf.report(X, [cf.CFloat8_1_4_3]).granularity}
    for name, how in (("channel", {"axis": 0}), ("block 32", {"block": 32})):
        q = cf.asarray(X, cf.CFloat8_1_4_3, "mse", **how)
        assert found[name].sqnr_db == pytest.approx(sqnr_db(X, np.asarray(q)), abs=1e-3)
        assert found[name].biases == np.asarray(q.bias).size
        assert (found[name].lowest, found[name].highest) == (q.bias.min(), q.bias.max())
    assert (
        found["tensor"].sqnr_db
        == row_of(X, cf.CFloat8_1_4_3).curve.sqnr_db[row_of(X, cf.CFloat8_1_4_3).bias]
    )
    assert found["block 32"].sqnr_db >= found["tensor"].sqnr_db - 0.05


def test_other_schemes_are_measured_on_the_tensor_as_it_is():
    x = X.reshape(12, 2, 10, 10)
    found = cf.report({"x": x, "none": np.full(3, 1e39)}, SMALL).comparisons
    assert found == measure_schemes("x", x)
    assert {each.bits_per_element for each in found} > {8 + 32 / 200}  # a channel is of 200


def test_products_of_weights_with_their_inputs():
    inputs = RNG.standard_normal((7, 5, 100)).astype(np.float32)
    result = cf.report({"w": X, "b": X[0]}, SMALL, activations={"w": inputs, "other": inputs})
    assert [(row.tensor, row.format) for row in result.products] == [
        ("w", fmt.name) for fmt in SMALL
    ]
    for row, fmt in zip(result.products, SMALL, strict=True):
        a = cf.asarray(inputs.reshape(35, 100), fmt, "mse")
        b = cf.asarray(X.T, fmt, "mse")
        stats = cf.matmul_error(a, b, inputs.reshape(35, 100), X.T)
        assert row.output_sqnr_db == pytest.approx(stats.sqnr_db)
        assert row.predicted_db == pytest.approx(stats.predicted_db)
        assert (row.input_sqnr_db, row.weight_sqnr_db) == (stats.a_sqnr_db, stats.b_sqnr_db)
    assert "Products of rounded weights" in result.to_table()


def test_inputs_that_do_not_fit_are_named():
    result = cf.report({"w": X}, SMALL, activations={"w": np.ones((3, 7), np.float32)})
    assert not result.products
    assert "do not fit" in result.skipped["w, its product"]


def test_content_is_what_page_and_json_take():
    result = cf.report({"x": X, "exact": np.float32([1, 2, 0, np.nan]), "n": np.arange(3)})
    content = json.loads(result.to_json())
    assert content == result.to_content()
    assert [each["name"] for each in content["tensors"]] == ["x", "exact"]
    assert content["tensors"][1]["nonfinite"] == 1
    assert content["tensors"][1]["zeros"] == 1
    assert content["tensors"][1]["exponents"] == {"first": 0, "counts": [1, 1]}
    row = content["rows"][0]
    assert len(row["curve"]["sqnr_db"]) == 64
    assert row["window"] == {"smallest_subnormal": -3 - row["bias"], "smallest_normal": 1 - row["bias"],
                             "highest": 15 - row["bias"]}  # fmt: skip
    top = cf.finfo(cf.CFloat8_1_4_3, row["bias"]).max
    assert row["headroom"] == math.floor(math.log2(top / np.abs(X).max()))
    assert 0 < row["entropy"] <= 8
    assert result.to_html().startswith("<!DOCTYPE html>")


def test_frame_has_the_columns_of_the_csv():
    pytest.importorskip("pandas", reason="pandas is not installed")
    result = cf.report({"x": X}, SMALL)
    frame = result.to_frame()
    assert ",".join(frame.columns) == result.to_csv().splitlines()[0]
    assert frame["bias"].tolist() == [row.bias for row in result.rows]


def test_without_pandas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(cf.MissingExtraError, match=r"cfloat\[pandas\]"):
        cf.report(X, SMALL).to_frame()
