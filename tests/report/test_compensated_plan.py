"""Plans of weights that are rounded for their outputs, beside products that NumPy makes of real inputs."""

import json
import tomllib
from itertools import pairwise

import numpy as np
import pytest
from commands import cfloat, refused, succeeded
from refusals import refuse, value_error

import cfloat as cf
from cfloat._compensate import round_compensated as module
from cfloat._files import fp8
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.plan_file import read_plan
from cfloat._report.candidates import Measuring
from cfloat._report.compensated_error import by_compensated_outputs
from cfloat._report.export_candidates import ExportMeasuring

RNG = np.random.default_rng(20)


def normal(*shape):
    return RNG.standard_normal(shape).astype("f4")


def correlated(count, width):
    return RNG.standard_normal((count, width)) @ RNG.standard_normal((width, width))


# more columns than are rounded before a product spreads their errors, and blocks of 128 and 32 with rests
TENSORS = {
    "wide": normal(24, 300) * np.exp2(RNG.uniform(-6, 6, (24, 1))).astype("f4"),
    "conv": normal(8, 6, 4, 4),
    "half": normal(16, 40).astype("f2"),
    "embed": normal(50, 64),
    "norm": 1 + normal(96) / 50,
    "spare": normal(16, 40),
}
INPUTS = {"wide": correlated(700, 300), "conv": correlated(300, 96), "half": correlated(90, 40)}
ACTIVATIONS = INPUTS | {"embed": RNG.integers(0, 50, 400) ** 2 // 50}
FORMATS = ["CFloat8_1_4_3", "CFloat8_1_5_2", "CFloat16_SHP"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "x.safetensors"
    cf.save(path, TENSORS)
    return path


@pytest.fixture(scope="module")
def moments(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("moments") / "m.safetensors"
    cf.Sensitivity.from_activations(ACTIVATIONS, cf.load(model)).save(path)
    return path


def relative(name, rounded, w=None):
    """The error of the outputs, of inputs that are themselves there."""
    w = np.asarray(TENSORS[name] if w is None else w, "f8")
    if name == "embed":
        y, lost = (each[ACTIVATIONS["embed"]] for each in (w, np.asarray(rounded, "f8") - w))
    else:
        x = INPUTS[name]
        y, lost = (x @ each.reshape(len(w), -1).T for each in (w, np.asarray(rounded, "f8") - w))
    return np.square(lost).sum() / np.square(y).sum()


def layout(granularity, shape):
    """The arguments of `asarray` that a granularity stands for."""
    kind, _, rest = granularity.partition(" ")
    if kind == "tensor":
        return {}
    if kind == "axis":
        return {"axis": int(rest)}
    length, _, axes = rest.partition(" along ")
    first, _, last = axes.partition("-")
    found = {"block": int(length)}
    if axes:
        found["axis"] = tuple(range(int(first), int(last or first) + 1))
    return found


def rounded(name, fmt, granularity):
    w = TENSORS[name]
    how = layout(granularity, w.shape)
    if name not in INPUTS:
        return np.asarray(cf.asarray(w, fmt, "mse", **how))
    moment = cf.SecondMoment.of(INPUTS[name])
    return np.asarray(cf.round_compensated(w, fmt, moment, "mse", **how)[0])


@pytest.mark.parametrize("name", INPUTS)
def test_each_candidate_has_the_error_of_what_it_is_rounded_to(model, name):
    """As `round_compensated` by itself rounds it, at each format and for each granularity."""
    stored = cf.load(model)
    formats = [getattr(cf, fmt) for fmt in FORMATS]
    (measured,) = Measuring(stored, formats).measure([name])
    moment = cf.SecondMoment.of(INPUTS[name])
    parts = []
    made, notes = by_compensated_outputs(stored, measured, moment, [moment], parts.append)
    assert made.measure == "output, compensated"
    assert [each.choice for each in made.found] == [each.choice for each in measured.found]
    assert len({each.choice.granularity for each in made.found}) > 2
    assert made.found[0].error == 0
    for each in made.found[1:]:
        choice = each.choice
        wanted = relative(name, rounded(name, choice.format_name, choice.granularity))
        assert each.error == pytest.approx(wanted, rel=1e-6), choice
    assert len(parts) == len(made.found) - 1
    assert sum(parts) == pytest.approx(1)
    assert notes == ()


def test_fewer_bytes_for_an_error_than_to_nearest(model, moments):
    """What is chosen keeps the bound by real products, at fewer bytes than rounding to nearest takes."""
    nearest = cf.plan(model, min_db=33, sensitivity=moments, formats=FORMATS)
    made = cf.plan(model, min_db=33, sensitivity=moments, formats=FORMATS, compensate=True)
    assert made.nbytes < nearest.nbytes
    assert (made.compensated, nearest.compensated) == (True, False)
    total = 0.0
    for each in made.tensors:
        w = TENSORS[each.name]
        error = 0.0
        if each.format != "unchanged":
            values = rounded(each.name, each.format, each.granularity)
            error = np.square(values - w, dtype="f8").sum() / np.square(w, dtype="f8").sum()
            if each.name in ACTIVATIONS:
                error = relative(each.name, values)
        total += error * w.size
    db = -10 * np.log10(total / sum(w.size for w in TENSORS.values()))
    assert db >= 33
    assert made.weighted_db == pytest.approx(db, abs=1e-6)


def test_inputs_along_the_first_axis(tmp_path):
    """A weight of (in, out), as a Conv1D's."""
    w = np.ascontiguousarray(TENSORS["wide"].T)
    path = tmp_path / "x.safetensors"
    cf.save(path, {"w": w})
    moment = cf.SecondMoment.of(INPUTS["wide"], 0)
    made = cf.plan(
        path, size=0.25, sensitivity=cf.Sensitivity({"w": (moment,)}), formats=FORMATS[:1],
        compensate=True,
    )  # fmt: skip
    q, stats = cf.round_compensated(w, FORMATS[0], moment)
    assert made.tensors[0].granularity == "tensor"
    wanted = relative("wide", np.asarray(q).T)
    assert made.worst_db == pytest.approx(-10 * np.log10(wanted), abs=1e-6)
    assert made.worst_db == pytest.approx(stats.sqnr_db) != stats.nearest_sqnr_db


@pytest.mark.parametrize("kind", ["edge", "blocks", "half"])
def test_an_export_is_compensated_onto_what_its_readers_have(tmp_path, kind):
    """One scale a tensor, a row, or 128 rows and columns; at most 448, with ieee subnormals."""
    name = "model.layers.0.mlp.up_proj.weight"
    w = (
        normal(200, 300)
        * np.kron(np.exp2(RNG.integers(-9, 9, (2, 3))), np.ones((128, 128)))[:200, :300]
    )
    if kind == "edge":  # between what E4M3 holds and what CFloat8 does
        w = 448 + RNG.integers(0, 32, (200, 300))
    w = w.astype("f2" if kind == "half" else "f4")
    path = tmp_path / "x.safetensors"
    cf.save(path, {name: w})
    stored = cf.load(path)
    moment = cf.SecondMoment.of(INPUTS["wide"])
    measured = ExportMeasuring(stored, (), ()).measure(name)
    made, _ = by_compensated_outputs(stored, measured, moment, [moment], lambda part: None)
    fmt = fp8.reachable(fp8.EXPORTED, cf.float16 if kind == "half" else None)
    assert [each.choice.granularity for each in made.found] == [
        "",
        "tensor",
        "axis 0",
        "block 128x128",
    ]
    for each in made.found[1:]:
        axis = 0 if each.choice.granularity == "axis 0" else None
        bias = cf.choose_bias(w, fmt, axis=axis)
        if each.choice.granularity.startswith("block"):
            bias = np.empty(w.shape, np.int16)
            for rows in (slice(0, 128), slice(128, 200)):
                for columns in (slice(0, 128), slice(128, 256), slice(256, 300)):
                    bias[rows, columns] = cf.choose_bias(w[rows, columns], fmt)
        q, stats = cf.round_compensated(w, fmt, moment, bias, axis=axis)
        assert each.error == pytest.approx(relative("wide", np.asarray(q), w), rel=1e-6)
        assert stats.error < stats.nearest_error
        # those are NaN to E4M3
        assert not np.isin(q.codes, (0x7F, 0xFF)).any()
    plan = cf.plan(
        path, size=0.6, export="fp8", sensitivity=cf.Sensitivity({name: (moment,)}),
        compensate=True,
    )  # fmt: skip
    best = min(made.found[1:], key=lambda each: each.error)
    assert (plan.export, plan.compensated, plan.tensors[0].granularity) == (
        "fp8", True, best.choice.granularity,
    )  # fmt: skip
    assert plan.worst_db == pytest.approx(-10 * np.log10(best.error))
    assert "compensated = true" in plan.to_toml()


def test_a_weight_of_several_uses(tmp_path):
    """By the moments of all inputs together; its error is the mean of both uses', as to nearest."""
    path = tmp_path / "x.safetensors"
    w = TENSORS["wide"]
    cf.save(path, {"w": w, "e": w})
    x = INPUTS["wide"], correlated(200, 300)
    uses = tuple(map(cf.SecondMoment.of, x))
    rows = cf.SecondMoment(np.full(24, 1 / 24), 48, 0)
    known = cf.Sensitivity({"w": uses, "e": (uses[0], rows)}, notes=("said",))
    made = cf.plan(path, size=0.25, sensitivity=known, formats=FORMATS[0], compensate=True)
    q, _ = cf.round_compensated(w, FORMATS[0], cf.SecondMoment.of(np.concatenate(x)))
    errors = [
        np.square(each @ (np.asarray(q) - w.astype("f8")).T).sum()
        / np.square(each @ w.T.astype("f8")).sum()
        for each in x
    ]
    embedding, both = made.tensors
    assert both.granularity == "tensor"
    assert both.db == pytest.approx(-10 * np.log10(np.mean(errors)), abs=1e-6)
    assert both.measure == "output, compensated"
    assert embedding.measure == "output"
    note = "rounded to nearest: e: an embedding and a matrix of products"
    assert made.notes == ("said", note)
    assert f"note: {note}" in made.to_text()


def test_what_moments_do_not_say_is_said(tmp_path):
    path = tmp_path / "x.safetensors"
    cf.save(path, {"a.0.w": TENSORS["wide"], "a.1.w": TENSORS["wide"]})
    few = {f"a.{i}.w": INPUTS["wide"][:50] for i in range(2)}
    made = cf.plan(path, size=0.3, activations=few, compensate=True)
    said = "a.*.w: moments of 50 inputs, fewer than the 300 columns"
    assert len(made.notes) == 1
    assert made.notes[0].startswith(said)


def test_moments_of_a_weight_have_one_factor_for_all_candidates(model, moments, monkeypatch):
    real, seen = module.factor_of, []

    def counted(values, *how):
        seen.append(len(values))
        return real(values, *how)

    monkeypatch.setattr(module, "factor_of", counted)
    cf.plan(model, sensitivity=moments, compensate=True)
    assert sorted(seen) == [40, 96, 300]


def test_the_progress_rises_to_the_end(model, moments):
    seen = []
    cf.plan(model, sensitivity=moments, compensate=True, progress=lambda *args: seen.append(args))
    done = [each for each, _ in seen]
    assert done == sorted(done)
    (total,) = {each for _, each in seen}
    assert done[-1] == total == sum(w.size for w in TENSORS.values())
    # and by candidates, not by tensors alone
    wide = TENSORS["wide"].size
    assert max(b - a for a, b in pairwise(done)) < 0.6 * wide


def test_the_file_says_so_and_nothing_carries_it_out_to_nearest(model, moments, tmp_path):
    out, made = tmp_path / "plan.toml", tmp_path / "out.safetensors"
    text = succeeded(
        cfloat(
            "plan", model, "--size", "0.3", "--moments", moments, "--compensate", "--out", out
        )
    )  # fmt: skip
    assert text.rstrip().endswith(f"--plan {out} --moments {moments}")
    assert "errors of the outputs of 4 tensors' products, by their inputs; of 2 tensors'" in text
    assert "3 of these are rounded for their outputs, by moments" in text
    assert "note: rounded to nearest: embed: an embedding" in text
    content = tomllib.loads(out.read_text())
    assert content["compensated"] is True
    measures = {name: each.get("measure") for name, each in content["tensors"].items()}
    assert measures["wide"] == measures["conv"] == "output, compensated"
    assert measures["embed"] == "output"
    line = refused(cfloat("convert", model, made, "--plan", out))
    assert "compensated is true" in line
    assert f"{out}:{out.read_text().splitlines().index('compensated = true') + 1}: " in line
    assert not made.exists()
    found = read_plan(out, compensates=True)
    assert {name: choice.format_name for name, choice in found.items()} == {
        name: each["format"] for name, each in content["tensors"].items()
    }
    out.write_text(out.read_text().replace("compensated = true", "compensated = false"))
    assert read_plan(out) == found
    convert(model, made, Plan(tensors=read_plan(out)))
    out.write_text(out.read_text().replace("compensated = false", "compensated = 1"))
    refuse(cf.FileError, "compensated is 1; it takes true or false", read_plan, out)


def test_json_and_python_say_so_too(model, moments):
    said = json.loads(
        succeeded(
            cfloat("plan", model, "--size", "0.3", "--moments", moments, "--compensate", "--json")
        )
    )
    assert (said["compensated"], said["moments"]) == (True, str(moments))
    known = cf.Sensitivity.load(moments)
    made = cf.plan(model, size=0.3, sensitivity=known, compensate=True)
    assert made.to_text().rstrip().split("   #")[0].endswith("--plan plan.toml --moments MOMENTS")
    plain = cf.plan(model, size=0.3, sensitivity=known)
    assert "--moments" not in plain.to_text() + plain.to_toml()
    assert "compensated" not in plain.to_toml()
    of_file = cf.plan(model, size=0.3, sensitivity=str(moments), compensate=True)
    assert of_file.to_toml() == made.to_toml()


def test_what_has_no_outputs_to_round_for_is_refused(model, moments):
    value_error("takes a sensitivity or activations", cf.plan, model, compensate=True)
    value_error(
        "by is 'sqnr'", cf.plan, model, compensate=True, sensitivity=moments, by="sqnr"
    )  # fmt: skip
    line = refused(cfloat("plan", model, "--compensate"))
    assert "--compensate goes with --moments or --activations" in line
    wrong = cf.Sensitivity({"wide": (cf.SecondMoment.of(INPUTS["conv"]),)})
    refuse(cf.FileError, "wide: moments of 96", cf.plan, model, sensitivity=wrong, compensate=True)


def test_a_weight_without_outputs_goes_by_its_elements(tmp_path):
    path = tmp_path / "x.safetensors"
    cf.save(path, {"w": TENSORS["half"], "other": TENSORS["half"]})
    inputs = {"w": np.zeros((3, 40)), "other": INPUTS["half"]}
    made = cf.plan(path, size=0.5, activations=inputs, compensate=True)
    measures = {each.name: each.measure for each in made.tensors}
    assert measures == {"w": "sqnr", "other": "output, compensated"}
