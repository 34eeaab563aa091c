"""Reports in Python: what is in them, and their text, JSON and CSV."""

import csv
import io
import json
import math
import re
from dataclasses import asdict

import ml_dtypes
import numpy as np
import pytest

import cfloat as cf
from cfloat._bias.squared_errors import best_bias
from cfloat._core import binding
from cfloat._report import tensor_values
from cfloat._report.text_tables import LEGEND

X = np.random.default_rng(0).standard_normal((4, 25)).astype(np.float32)


def test_rows_hold_the_best_bias_and_its_errors():
    result = cf.report({"x": X})
    assert [row.format for row in result.rows] == [
        "CFloat8_1_4_3", "CFloat8_1_5_2", "CFloat16_SHP",
        "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    ]  # fmt: skip
    for row in result.rows:
        fmt = getattr(cf, row.format)
        assert row.bias == best_bias(X, fmt)
        expected = cf.error(X, cf.round_to(X, fmt, row.bias), fmt, row.bias)
        assert asdict(row.stats) == pytest.approx(asdict(expected), rel=1e-12)
        assert (row.tensor, row.shape, row.dtype) == ("x", (4, 25), "float32")


def test_types():
    result = cf.report({"x": X})
    assert type(result) is cf.Report
    assert {type(row) for row in result.rows} == {cf.ReportRow}
    assert {type(row.stats) for row in result.rows} == {cf.ErrorStats}
    assert {type(row.curve) for row in result.rows} == {cf.BiasCurve}
    assert {type(row.window) for row in result.rows} == {cf.Window}
    assert {type(row.use) for row in result.rows} == {cf.CodeUse}
    assert {type(row.denormals) for row in result.rows} == {cf.SubnormalCost, type(None)}
    assert {type(row) for row in result.subnormals} == {cf.SubnormalRow}
    assert {type(each) for each in result.tensors} == {cf.TensorSummary}
    assert {type(each) for each in result.granularity} == {cf.Granularity}
    assert {type(each) for each in result.comparisons} == {cf.Comparison}
    products = cf.report({"x": X}, activations={"x": X}).products
    assert {type(row) for row in products} == {cf.MatmulRow}


def test_uhp_only_where_nothing_is_negative():
    formats = [row.format for row in cf.report({"x": np.abs(X)}).rows]
    assert "CFloat16_UHP" in formats
    signed_zero = np.array([0.0, -0.0, 1.0])
    assert "CFloat16_UHP" in [row.format for row in cf.report(signed_zero).rows]


def test_subnormal_cost():
    fmt = cf.CFloat8_1_4_3
    ieee = fmt.replace(subnormals="ieee")
    x = X.clip(-2, 2) * np.float32(2.0**-7)  # at the default bias, right in the hole
    (row,) = cf.report(x, [fmt]).rows
    cost = row.denormals
    assert cost.ieee_bias == best_bias(x, ieee)
    sqnr = cf.error(x, cf.round_to(x, ieee, cost.ieee_bias)).sqnr_db
    assert cost.ieee_sqnr_db == pytest.approx(sqnr)
    assert cost.gain_db == pytest.approx(cost.ieee_sqnr_db - row.stats.sqnr_db, abs=1e-9)
    at_default = [cf.error(x, cf.round_to(x, each, 7)).sqnr_db for each in (ieee, fmt)]
    assert cost.default_gain_db == pytest.approx(at_default[0] - at_default[1])
    assert cost.default_gain_db > 1
    (row,) = cf.report(x, [ieee]).rows
    assert row.denormals is None


def test_tables_are_those_of_the_text():
    result = cf.report({"x": X, "y": 8 * X, "ints": np.arange(3)})
    tables = {title: rows for title, _, rows in result.tables()}
    for title, rows in result.table_rows():
        assert tables.pop(title) == rows
    parts = [
        result.summary_rows(), result.granularity_rows(), result.comparison_rows(),
        result.denormal_rows(), [["ints", "int64, not floating point"]],
    ]  # fmt: skip
    assert list(tables.values()) == parts
    text = result.to_table()
    for title, headings, rows in result.tables():
        assert title in text
        for line in [headings, *rows]:
            assert all(cell in text for cell in line)


def test_a_single_array_is_called_x():
    assert cf.report([1.0, 2.0], [cf.CFloat8_1_4_3]).rows[0].tensor == "x"


def test_tensors_that_are_left_out_are_named():
    tensors = {"empty": np.empty((0, 3)), "ints": np.arange(3), "flags": np.ones(2, bool), "x": X}
    tensors |= {"complex": X + 1j, "text": np.array(["a"]), "nan": X * np.nan}
    result = cf.report(tensors)
    assert {row.tensor for row in result.rows} == {"x"}
    assert list(result.skipped) == ["empty", "ints", "flags", "complex", "text", "nan"]
    assert "Left out" in result.to_table()
    assert "int64, not floating point" in result.to_table()


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_ml_dtypes_tensors(name):
    x = X.astype(getattr(ml_dtypes, name))
    rows = {row.format: row for row in cf.report({"x": x}).rows}
    assert rows[name].dtype == name
    assert rows[name].stats.sqnr_db == math.inf
    assert "exact" in cf.report({"x": x}).to_table()


def test_a_file_is_opened_once(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    cf.save(path, {"a.weight": np.ones((4, 8), np.float32)})

    def open_again(*_):
        raise AssertionError("it is open already")

    monkeypatch.setattr("cfloat._files.checkpoint.open_source", open_again)
    assert [each.name for each in cf.report(path, details=False).tensors] == ["a.weight"]


def test_progress_grows_within_a_tensor():
    seen = []
    tensors = {"a": np.ones(20_000), "ints": np.arange(3), "b": X}
    cf.report(tensors, [cf.CFloat8_1_4_3, cf.float16], progress=lambda *step: seen.append(step))
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert done[0] == 0
    assert all(done[-1] == total for _, total in seen)
    # by elements: most of the work is the first tensor's, and it is told in steps
    (total,) = {total for _, total in seen}
    assert len([step for step in done if 0 < step < total / 2]) >= 2


def test_the_search_raises_no_flags():
    with cf.errstate(all="raise"), cf.record_flags() as flags:
        cf.report({"x": X})
        cf.float16.values()
    assert not flags


def test_numpy_error_state_does_not_matter():
    with np.errstate(all="raise"):
        cf.report({"x": X * 1e-30, "y": X.astype(np.float64) * 1e300})
        cf.error([1e308, 5e-324], [-1e308, 1.0])


def test_formats_of_one_name_are_told_apart():
    fmt = cf.CFloat8_1_4_3
    result = cf.report({"a": X, "b": X}, [fmt, fmt.replace(subnormals="ieee"), cf.float16])
    labels = ["CFloat8_1_4_3 whitepaper", "CFloat8_1_4_3 ieee", "float16"]
    assert [row.format for row in result.rows] == labels * 2
    assert [row[:2] for row in result.summary_rows()] == [[label, "2"] for label in labels]
    with pytest.raises(
        cf.ArgumentValueError, match="two formats are called CFloat8_1_4_3 whitepaper"
    ):
        cf.report(X, [fmt, fmt])


def test_names_need_not_be_strings():
    result = cf.report({1: X, ("a", 2): X}, cf.float16)
    assert [row.tensor for row in result.rows] == ["1", "('a', 2)"]
    json.loads(result.to_json())


def test_table():
    table = cf.report({"big": X * 1e30, "x": X}, [cf.CFloat8_1_4_3, cf.float8_e4m3fn]).to_table()
    assert table.startswith(LEGEND)
    assert "big  float32 4x25" in table
    assert "Summary" in table
    assert "What the whitepaper's denormals cost" in table
    assert "-inf" in table  # E4M3FN at 1e30
    assert max(map(len, table.splitlines())) <= 100
    assert "Summary" not in cf.report({"x": X}, [cf.CFloat8_1_4_3]).to_table()


def test_json_is_strict_and_complete():
    x = np.array([1.0, 2.0, np.nan, 1e9], np.float32)
    result = cf.report({"x": x})

    def refuse(name):
        raise AssertionError(name)

    parsed = json.loads(result.to_json(), parse_constant=refuse)
    assert [row["format"] for row in parsed["rows"]] == [row.format for row in result.rows]
    first = parsed["rows"][0]
    assert first["nonfinite"] == 1
    assert first["sqnr_db"] == result.rows[0].stats.sqnr_db
    assert parsed["rows"][-1]["sqnr_db"] is None  # E5M2 made 1e9 infinite
    assert parsed["rows"][-1]["ieee_bias"] is None


def test_csv_has_the_same_values():
    result = cf.report({"x, y": X})
    lines = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert list(lines[0]) == list(result.rows[0].to_dict())
    for line, row in zip(lines, result.rows, strict=True):
        assert line["tensor"] == "x, y"
        assert line["shape"] == "4x25"
        assert float(line["sqnr_db"]) == row.stats.sqnr_db
        assert (line["ieee_bias"] == "") == (row.denormals is None)


FORMULAS = [
    "=cmd|' /C calc'!A0", "=1+1", "+1", "-1", "@SUM(1,2)", "\tx", "\rx", "\nx", " =1", "\uff1d1", "'=1",
    "''+1", "x\n=1", 'a;"=1', "=", "'", "'x", "x'=1", "layers.0-1", "1", "",
]  # fmt: skip


def test_csv_has_no_formulas_and_all_names_can_be_had_back():
    text = cf.report(dict.fromkeys(FORMULAS, X), [cf.CFloat8_1_4_3]).to_csv()
    cells = [line["tensor"] for line in csv.DictReader(io.StringIO(text, newline=""))]
    for cell, name in zip(cells, FORMULAS, strict=True):
        assert cell.lstrip()[:1] not in ("=", "+", "-", "@", "\uff1d")
        assert cell[:1] not in ("\t", "\r", "\n")
        # as to_csv's documentation says
        marked = re.match(r"^'+\s*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]", cell)
        assert (cell[1:] if marked else cell) == name
    # a spreadsheet that splits at semicolons finds the quotes
    assert '\n"a;""=1",' in text


def test_csv_has_no_formula_as_a_format():
    fmt = cf.Format("=1+1", exponent_bits=4, mantissa_bits=3)
    row = next(csv.DictReader(io.StringIO(cf.report({"x": X}, [fmt]).to_csv())))
    assert row["format"] == "'=1+1"
    assert cf.report({"x": X}, [fmt]).rows[0].format == "=1+1"


def test_bad_arguments():
    with pytest.raises(cf.ArgumentValueError, match="formats is empty"):
        cf.report({"x": X}, [])
    with pytest.raises(cf.ArgumentTypeError, match="format is 16"):
        cf.report({"x": X}, [16])
    for unknown in ("float17", ["float16", "float17"]):
        with pytest.raises(cf.ArgumentValueError, match="format is 'float17'; the names are"):
            cf.report({"x": X}, unknown)
    with pytest.raises(cf.ArgumentTypeError, match="x has dtype <U1"):
        cf.report(["a"])
    with pytest.raises(cf.ArgumentTypeError, match="formats is None; it takes a Format"):
        cf.report(X, None)


def test_carried_tensors_are_real_and_varied():
    tensors = cf.carried_tensors()
    assert len(tensors) >= 20
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(tensor).all() and tensor.any() for tensor in tensors.values())
    for part in (".weight", ".activation", ".grad", ".adam_v"):
        assert any(name.endswith(part) for name in tensors)
    assert (tensors["dense1.weight.adam_v"] >= 0).all()


def test_carried_tensors_belong_together():
    # forward through the dense layers, from what the file holds
    tensors = cf.carried_tensors()
    hidden = tensors["conv2.activation"].reshape(16, -1) @ tensors["dense1.weight"].T
    hidden += tensors["dense1.bias"]
    np.testing.assert_allclose(hidden, tensors["dense1.preactivation"], rtol=1e-4, atol=1e-5)
    logits = tensors["dense1.activation"] @ tensors["dense2.weight"].T + tensors["dense2.bias"]
    np.testing.assert_allclose(logits, tensors["logits"], rtol=1e-4, atol=1e-5)


# what passes over an element cost beside each other, as measured: of a first look, schemes, groups, rounding
COSTS = {"row_peaks": 5, "add_scheme_errors": 18, "least_errors": 1, "rounding_errors": 1}


@pytest.mark.parametrize(("details", "sizes"), [
    (False, [2_000_000, *[150_000] * 6]), (False, [150_000] * 12), (False, [2_000_000]),
    # what is done with bins, and not counted here, is as much for each of these
    (True, [150_000] * 12), (True, [2_000_000]),
])  # fmt: skip
def test_progress_is_as_the_work(monkeypatch, details, sizes):
    monkeypatch.setattr(tensor_values, "PIECE_SIZE", 1 << 17)
    done = [0]

    def counted(name):
        function = getattr(binding, name)

        def call(*arguments, **options):
            arrays = [each for each in arguments if isinstance(each, np.ndarray)]
            done[0] += COSTS[name] * max(each.size for each in arrays)
            return function(*arguments, **options)

        monkeypatch.setattr(binding, name, call)

    for name in COSTS:
        counted(name)
    rng = np.random.default_rng(0)
    tensors = {
        str(i): rng.standard_normal((size // 1000, 1000), np.float32)
        for i, size in enumerate(sizes)
    }
    seen = []
    cf.report(
        tensors, details=details, progress=lambda now, total: seen.append((now / total, done[0]))
    )
    whole = done[0]
    # what has been done, over the share that is said to be: the whole, as it is then estimated
    estimates = [work / share / whole for share, work in seen if share > 0 and work > whole / 10]
    assert len(estimates) > 10
    assert max(estimates) < 1.5
    assert min(estimates) > 1 / 1.5
