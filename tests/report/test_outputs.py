"""Reports with moments: the errors of outputs, beside products that NumPy makes of real inputs."""

import csv
import io
import json

import numpy as np
import pytest
from commands import cfloat, main_refused, succeeded
from refusals import refuse, type_error, value_error

import cfloat as cf
from cfloat._compensate.uses import moment_of_uses
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._report.saved_reports import read_report

RNG = np.random.default_rng(20)
FORMATS = ["CFloat8_1_4_3", "CFloat16_SHP", "float8_e4m3fn"]


def normal(*shape):
    return RNG.standard_normal(shape).astype("f4")


def correlated(count, width):
    return RNG.standard_normal((count, width)) @ RNG.standard_normal((width, width))


TENSORS = {
    "a": normal(24, 160),
    "conv": normal(8, 6, 4, 4) / 8,
    "embed": normal(50, 64),
    "broken": np.full((3, 5), np.inf, "f4"),
    "plain": normal(30, 30),
}
TENSORS["broken"][:, 0] = 1
INPUTS = {"a": correlated(700, 160), "conv": correlated(300, 96)}
IDS = RNG.integers(0, 50, 400) ** 2 // 50
KNOWN = cf.Sensitivity(
    {name: (cf.SecondMoment.of(x),) for name, x in INPUTS.items()}
    | {
        "embed": (cf.SecondMoment(np.bincount(IDS, minlength=50) / 400, 400, 0),),
        "broken": (cf.SecondMoment.of(correlated(20, 5)),),
        "plain": (cf.SecondMoment.of(correlated(90, 31)),),
        "gone.0.w": (cf.SecondMoment.of(correlated(20, 5)),),
        "gone.1.w": (cf.SecondMoment.of(correlated(20, 5)),),
    }
)


def output_db(name, rounded):
    w = TENSORS[name].astype("f8")
    lost = np.asarray(rounded, "f8") - w
    if name == "embed":
        y, error = w[IDS], lost[IDS]
    else:
        y, error = (INPUTS[name] @ each.reshape(len(w), -1).T for each in (w, lost))
    return 10 * np.log10(np.square(y).sum() / np.square(error).sum())


@pytest.fixture(scope="module")
def found():
    return cf.report(TENSORS, FORMATS, sensitivity=KNOWN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    cf.save(folder / "x.safetensors", TENSORS)
    KNOWN.save(folder / "m.safetensors")
    return folder


def test_rows_have_the_errors_of_outputs_at_their_bias(found):
    seen = 0
    for row in found.rows:
        if row.tensor in ("plain", "broken"):
            assert np.isnan([row.output_db, row.compensated_db]).all()
            continue
        w = TENSORS[row.tensor]
        nearest = cf.round_to(w, row.format, row.bias)
        assert row.output_db == pytest.approx(output_db(row.tensor, nearest), abs=1e-6)
        if row.tensor == "embed":
            assert np.isnan(row.compensated_db)
            continue
        q, _ = cf.round_compensated(w, row.format, KNOWN.moments[row.tensor][0], row.bias)
        assert row.compensated_db == pytest.approx(output_db(row.tensor, q), abs=1e-6)
        assert row.compensated_db > row.output_db + 1
        seen += 1
    assert seen == 6


def test_what_has_none_is_said(found):
    assert found.skipped["embed, compensated"] == "rounded to nearest: an embedding"
    assert "31 inputs" in found.skipped["plain, its outputs"]
    assert found.skipped["broken, its outputs"] == "not all elements are finite"
    assert found.skipped["gone.*.w"] == "moments of no tensor that is here"
    few = cf.Sensitivity({"a": (cf.SecondMoment.of(INPUTS["a"][:50]),)})
    assert "moments of 50 inputs" in cf.report(
        {"a": TENSORS["a"]}, FORMATS[0], sensitivity=few
    ).skipped["a, compensated"]  # fmt: skip
    none = cf.Sensitivity({"a": (cf.SecondMoment.of(np.zeros((3, 160))),)})
    made = cf.report({"a": TENSORS["a"]}, FORMATS[0], sensitivity=none)
    assert made.skipped["a, its outputs"] == "all of them are 0, or beyond float64"
    assert np.isnan(made.rows[0].output_db)


def test_a_weight_of_several_uses_has_the_mean_of_their_errors():
    x = INPUTS["a"], correlated(300, 160)
    known = cf.Sensitivity({"a": tuple(map(cf.SecondMoment.of, x))})
    (row,) = cf.report({"a": TENSORS["a"]}, FORMATS[0], sensitivity=known).rows
    q, _ = cf.round_compensated(
        TENSORS["a"], FORMATS[0], cf.SecondMoment.of(np.concatenate(x)), row.bias
    )
    nearest = cf.round_to(TENSORS["a"], FORMATS[0], row.bias)
    for said, rounded in ((row.output_db, nearest), (row.compensated_db, np.asarray(q))):
        errors = [
            np.square(each @ (rounded - TENSORS["a"].astype("f8")).T).sum()
            / np.square(each @ TENSORS["a"].T.astype("f8")).sum()
            for each in x
        ]
        assert said == pytest.approx(-10 * np.log10(np.mean(errors)), abs=1e-6)


def test_tables_csv_frame_json_and_page_have_both(found, tmp_path):
    title, headings, rows = next(
        each for each in found.tables() if each[1][-1] == "output, compensated"
    )
    assert title.startswith("Outputs of weights")
    assert headings == ("weight", "format", "output", "output, compensated")
    by_name = {(row.tensor, row.format): row for row in found.rows}
    assert len(rows) == 9
    for name, fmt, *levels in rows:
        row = by_name[name, fmt]
        own = "-" if name == "embed" else f"{row.compensated_db:.2f}"
        assert levels == [f"{row.output_db:.2f}", own]
    lines = found.output_rows()
    assert [line[:2] for line in lines] == [[fmt, "2"] for fmt in FORMATS]
    for fmt, _, nearest, own, gain, least in lines:
        both = [by_name[name, fmt] for name in ("a", "conv")]
        levels = np.array([(row.output_db, row.compensated_db) for row in both])
        assert [nearest, own] == [f"{each:.2f}" for each in levels.mean(axis=0)]
        gains = levels[:, 1] - levels[:, 0]
        assert [gain, least] == [f"{gains.mean():+.2f}", f"{gains.min():+.2f}"]
    assert "output, compensated" in found.to_table()
    cells = list(csv.DictReader(io.StringIO(found.to_csv())))
    for cell in cells:
        row = by_name[cell["tensor"], cell["format"]]
        for key in ("output_db", "compensated_db"):
            value = getattr(row, key)
            assert cell[key] == ("" if np.isnan(value) else str(value))
    pandas = pytest.importorskip("pandas")
    assert isinstance(frame := found.to_frame(), pandas.DataFrame)
    assert list(frame.columns[-2:]) == ["output_db", "compensated_db"]
    path = tmp_path / "a.json"
    path.write_text(found.to_json())
    for said in read_report(path)["rows"]:
        row = by_name[said["tensor"], said["format"]]
        if np.isnan(row.output_db):
            assert "output_db" not in said
        else:
            assert said["output_db"] == row.output_db
            assert said["compensated_db"] == (None if row.tensor == "embed" else row.compensated_db)
    page = found.to_html()
    assert '["compensated_db", "output, compensated, dB"' in page


def test_without_moments_nothing_is_other():
    made = cf.report({"a": TENSORS["a"]}, FORMATS[0])
    assert "output_db" not in made.to_csv() + made.to_json()
    assert "compensated" not in made.to_table()
    assert made.output_rows() == []


def test_the_command_prints_and_writes_them(folder):
    model, moments = folder / "x.safetensors", folder / "m.safetensors"
    how = ["report", model, "--moments", moments, "--format", FORMATS[0]]
    text = succeeded(cfloat(*how))
    of_python = cf.report(model, FORMATS[0], sensitivity=moments)
    (line,) = of_python.output_rows()
    assert text.rstrip().splitlines()[-1].split() == line
    out = folder / "r.json"
    assert succeeded(cfloat(*how, "--quiet", "--json", out)) == ""
    assert (
        json.loads(out.read_text())["rows"][0]["compensated_db"] == of_python.rows[0].compensated_db
    )
    assert "output, compensated" in succeeded(cfloat(*how, "--all"))


def test_names_that_are_tied_are_one(tmp_path):
    """Moments under the name that a file does not keep; a PyTorch file has both."""
    torch = pytest.importorskip("torch")
    w = torch.from_numpy(TENSORS["a"])
    torch.save({"a": w, "b": w}, tmp_path / "x.pt")
    tied = cf.load(tmp_path / "x.pt").tied_names()
    (other,) = tied
    known = cf.Sensitivity({other: KNOWN.moments["a"]})
    (row,) = cf.report(tmp_path / "x.pt", FORMATS[0], sensitivity=known).rows
    assert row.tensor == tied[other]
    q, _ = cf.round_compensated(TENSORS["a"], row.format, KNOWN.moments["a"][0], row.bias)
    assert row.compensated_db == pytest.approx(output_db("a", q), abs=1e-6)


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
@pytest.mark.parametrize("first", ["a", "b"])
def test_moments_under_several_names_are_all_uses(tmp_path, kind, first):
    """Whichever is named first: a report, a plan and a conversion say the same."""
    path = tmp_path / f"x.{kind}"
    w = TENSORS["a"]
    if kind == "pt":
        torch = pytest.importorskip("torch")
        torch.save(dict.fromkeys("ab", torch.from_numpy(w)), path)
    else:
        cf.save(path, {"a": w}, metadata={"b": "a"})
    uses = {"a": KNOWN.moments["a"], "b": (cf.SecondMoment.of(correlated(500, 160)),)}
    known = cf.Sensitivity({name: uses[name] for name in sorted("ab", key=first.__ne__)})
    q, stats = cf.round_compensated(w, FORMATS[0], moment_of_uses((*uses["a"], *uses["b"]))[0])
    losses = [use.square(np.asarray(q) - w.astype("f8"), 0, 24) for (use,) in uses.values()]
    signals = [use.square(w.astype("f8"), 0, 24) for (use,) in uses.values()]
    expected = pytest.approx(-10 * np.log10(np.mean(np.divide(losses, signals))), abs=1e-6)
    result = cf.report(path, FORMATS[0], sensitivity=known)
    assert [row.compensated_db for row in result.rows] == [expected]
    assert "b" not in result.skipped or result.skipped["b"] == "tied to a"
    made = cf.plan(path, size=0.25, sensitivity=known, formats=FORMATS[0], compensate=True)
    assert [each.db for each in made.tensors if each.name == "a"] == [expected]
    plan = Plan(FORMATS[0], bias="mse")
    summary = convert(path, tmp_path / "out.safetensors", plan, moments=known.moments)
    assert summary.compensated["a"].db == stats.sqnr_db
    # a name that is kept nowhere is one by itself, too
    alone = cf.report(path, FORMATS[0], sensitivity=cf.Sensitivity({"b": uses["b"]}))
    assert not np.isnan(alone.rows[0].compensated_db)


@pytest.mark.quick
def test_an_embedding_under_another_name_is_one_in_reports_and_plans(tmp_path):
    path, w = tmp_path / "x.safetensors", TENSORS["embed"]
    cf.save(path, {"head": w}, metadata={"embed": "head"})
    head = cf.SecondMoment.of(correlated(300, 64))
    known = cf.Sensitivity({"head": (head,), "embed": KNOWN.moments["embed"]})
    why = "rounded to nearest: an embedding and a matrix of products"
    assert cf.report(path, FORMATS[0], sensitivity=known).skipped["head, compensated"] == why
    made = cf.plan(path, size=0.25, sensitivity=known, formats=FORMATS[0], compensate=True)
    assert made.notes == ("rounded to nearest: head: an embedding and a matrix of products",)


def test_the_progress_rises_to_the_end():
    seen = []
    cf.report(TENSORS, FORMATS, sensitivity=KNOWN, progress=lambda *args: seen.append(args))
    done = [each for each, _ in seen]
    assert done == sorted(done)
    assert {total for _, total in seen} == {done[-1]}


def test_what_does_not_go_together_is_refused(folder, capsys):
    x = {"a": TENSORS["a"]}
    value_error(
        "sensitivity is given without details", cf.report, x, sensitivity=KNOWN, details=False
    )
    value_error("sample is given beside sensitivity", cf.report, x, sensitivity=KNOWN, sample=16384)
    type_error("sensitivity is 3", cf.report, x, sensitivity=3)
    refuse(
        cf.FileError,
        "is of 'a', and so on; the tensors are 'x'",
        cf.report,
        x["a"],
        sensitivity=KNOWN,
    )
    refuse(cf.FileError, "has no moments", cf.report, x, sensitivity=cf.Sensitivity({}))
    moments = folder / "m.safetensors"
    line = main_refused(capsys, "report", "a", "b", "--compare", "--moments", moments)
    assert "--moments is for a model" in line
    model = folder / "x.safetensors"
    line = main_refused(capsys, "report", model, "--moments", moments, "--json", moments)
    assert "would overwrite what is to be read" in line
