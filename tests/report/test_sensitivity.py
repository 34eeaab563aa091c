"""Plans by the error of outputs, beside products that NumPy makes of real inputs."""

import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from commands import cfloat, main_refused, succeeded
from refusals import refuse, type_error, value_error
from safetensors import safe_open
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._compensate.second_moments import matrix_moment, row_moment
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.plan_file import TensorChoice, read_plan
from cfloat._report import output_error
from cfloat._report.candidates import Measuring
from cfloat._report.output_error import by_outputs

RNG = np.random.default_rng(16)


def normal(*shape):
    return RNG.standard_normal(shape).astype("f4")


# inputs whose directions count differently, by factors of up to 2^12
INPUTS = (RNG.standard_normal((500, 96)) @ RNG.standard_normal((96, 96))) * np.exp2(
    RNG.uniform(-6, 6, 96)
)
IDS = RNG.integers(0, 50, (40, 9)) ** 2 // 50
TENSORS = {
    "linear": normal(64, 96) * np.exp2(RNG.uniform(-8, 8, (64, 1))).astype("f4"),
    "embed": normal(50, 64) * np.exp2(np.arange(50) / 4, dtype="f4")[:, np.newaxis],
    "conv": normal(8, 6, 4, 4),
    "norm": 1 + normal(96) / 50,
    "spare": normal(16, 40),
    "one": normal(1, 96),
}
ACTIVATIONS = {
    "linear": INPUTS.reshape(10, 50, 96).astype("f4"),
    "embed": IDS,
    "conv": INPUTS,
    "one": INPUTS[:5],
}


def transposed(moment):
    """The same inputs, of a weight whose first axis they are along."""
    return cf.SecondMoment(moment.values, moment.count, 0)


def outputs(name, w):
    """What a weight's products are, each from its inputs."""
    w = w.astype("f8")
    if name == "embed":
        return w[IDS.reshape(-1)]
    x = np.asarray(ACTIVATIONS[name], "f8").reshape(-1, 96)
    return x @ w.reshape(w.shape[0], -1).T


def relative(name, w, rounded):
    y = outputs(name, w)
    return np.square(outputs(name, rounded) - y).sum() / np.square(y).sum()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "x.safetensors"
    cf.save(path, TENSORS)
    return path


@pytest.fixture(scope="module")
def activations(tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "inputs.npz"
    np.savez(path, **ACTIVATIONS)
    return path


def of_activations(model):
    return cf.Sensitivity.from_activations(ACTIVATIONS, cf.load(model))


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("size", [None, 700])
def test_each_candidate_has_the_error_of_its_outputs(model, tmp_path, monkeypatch, name, size):
    """As what a conversion writes has it, and pieces of a few rows give the same."""
    if size is not None:
        monkeypatch.setattr(output_error, "_PIECE_SIZE", size)
    stored = cf.load(model)
    measured = Measuring(stored, cf.TESLA_FORMATS).measure([name])[0]
    made = by_outputs(stored, measured, of_activations(model).moments[name])
    assert made.measure == "output"
    assert [each.choice for each in made.found] == [each.choice for each in measured.found]
    assert len(made.found) > 2
    for each in made.found:
        out = tmp_path / "out.safetensors"
        others = {other: TensorChoice(None) for other in TENSORS}
        convert(model, out, Plan(tensors=others | {name: each.choice}))
        wanted = relative(name, TENSORS[name], np.asarray(cf.load(out)[name]))
        assert each.error == pytest.approx(wanted, rel=1e-6, abs=1e-18), each.choice


def test_inputs_along_the_first_axis(tmp_path, monkeypatch):
    """A weight of (in, out), whose rows have products with one another; not cut, so."""
    monkeypatch.setattr(output_error, "_PIECE_SIZE", 100)
    w = np.ascontiguousarray(TENSORS["linear"].T)
    path = tmp_path / "x.safetensors"
    cf.save(path, {"w": w})
    stored = cf.load(path)
    moment = transposed(matrix_moment(INPUTS))
    made = by_outputs(stored, Measuring(stored, [cf.CFloat8_1_4_3]).measure(["w"])[0], [moment])
    assert len(made.found) > 2
    for each in made.found[1:]:
        rounded = np.asarray(
            cf.asarray(w, "CFloat8_1_4_3", "mse", axis=each.choice.axis, block=each.choice.block)
        )
        y = INPUTS @ w.astype("f8")
        wanted = np.square(INPUTS @ (rounded - w.astype("f8"))).sum() / np.square(y).sum()
        assert each.error == pytest.approx(wanted, rel=1e-6)


def test_a_convolution_in_groups():
    x = RNG.standard_normal((30, 3, 5))
    values = np.einsum("igk,igl->gkl", x, x) / 30
    values = (values + values.transpose(0, 2, 1)) / 2
    moment = cf.SecondMoment(values, 30)
    w = RNG.standard_normal((6, 5))
    y = np.einsum("igk,gok->igo", x, w.reshape(3, 2, 5))
    wanted = np.square(y).sum() / 30
    assert moment.square(w, 0, 6) == pytest.approx(wanted)
    # pieces that begin and end within a group
    parts = [moment.square(w[a:b], a, 6) for a, b in ((0, 1), (1, 4), (4, 5), (5, 6))]
    assert sum(parts) == pytest.approx(wanted)


def test_a_weight_that_is_used_twice_has_the_mean_of_both_errors(tmp_path):
    """As an embedding that is the matrix of the output as well."""
    path = tmp_path / "x.safetensors"
    w = TENSORS["linear"]
    cf.save(path, {"w": w})
    stored = cf.load(path)
    measured = Measuring(stored, [cf.CFloat8_1_4_3]).measure(["w"])[0]
    uses = [row_moment(IDS, 64), matrix_moment(INPUTS)]
    both, *alone = (by_outputs(stored, measured, some) for some in (uses, uses[:1], uses[1:]))
    for i, each in enumerate(both.found):
        errors = [other.found[i].error for other in alone]
        assert each.error == pytest.approx(np.mean(errors))
        assert each.choice.format is None or errors[0] != errors[1]


@pytest.mark.parametrize(
    "how", [{"size": 0.3}, {"min_db": 35}, {"worst_db": 30}, {"size": 0.4, "exact": True}], ids=str
)
def test_a_plan_has_the_errors_of_what_convert_makes_of_it(model, tmp_path, how):
    pytest.importorskip("scipy")
    made = cf.plan(model, activations=ACTIVATIONS, **how)
    assert made.by == "layer"
    made.save(tmp_path / "plan.toml")
    out = tmp_path / "out.safetensors"
    convert(model, out, Plan(tensors=read_plan(tmp_path / "plan.toml")))
    total = 0.0
    for each in made.tensors:
        w, rounded = TENSORS[each.name], np.asarray(cf.load(out)[each.name])
        error = np.square(rounded - w, dtype="f8").sum() / np.square(w, dtype="f8").sum()
        if each.name in ACTIVATIONS:
            error = relative(each.name, w, rounded)
        assert each.measure == ("output" if each.name in ACTIVATIONS else "sqnr")
        assert each.db == pytest.approx(-10 * np.log10(error) if error else np.inf, abs=1e-4)
        total += error * w.size
    size = sum(w.size for w in TENSORS.values())
    wanted = -10 * np.log10(total / size) if total else np.inf
    assert made.weighted_db == pytest.approx(wanted, abs=1e-4)


def test_by_outputs_another_plan_is_best(tmp_path):
    """Elements that are too small for eight bits, and are all that inputs meet."""
    small, coarse = normal(64, 64), np.full((64, 64), 1.0625, "f4")
    small[:, 0] *= 2.0**-20
    path = tmp_path / "x.safetensors"
    cf.save(path, {"small": small, "coarse": coarse})
    inputs = {"small": np.eye(64)[:1], "coarse": RNG.standard_normal((9, 64))}
    chosen = {}
    formats = ["CFloat8_1_4_3", "CFloat16_SHP"]
    for by in ("sqnr", "layer"):
        made = cf.plan(path, size=0.375, activations=inputs, by=by, formats=formats)
        chosen[by] = {each.name: each.format for each in made.tensors}
    assert chosen["sqnr"] == {"small": "CFloat8_1_4_3", "coarse": "CFloat16_SHP"}
    assert chosen["layer"] == {"small": "CFloat16_SHP", "coarse": "CFloat8_1_4_3"}
    plain = cf.plan(path, size=0.375)
    assert cf.plan(path, size=0.375, activations=inputs, by="sqnr").to_toml() == plain.to_toml()


def test_by_the_models_output(model):
    """The weighted error is what each tensor is expected to change; no element counts by itself."""
    known = of_activations(model)
    gains = {"linear": 0.5, "embed": 8.0, "conv": 0.0, "norm": 1e-3, "one": 2.0}
    found = cf.Sensitivity(known.moments, gains, "CFloat8_1_4_3")
    made = cf.plan(model, size=0.4, sensitivity=found)
    assert made.by == "model"
    by_name = {each.name: each for each in made.tensors}
    assert by_name["spare"].format == "unchanged"
    assert "not in the model" in by_name["spare"].reason
    assert {name: by_name[name].weight for name in gains} == gains
    errors = {name: 10 ** (-by_name[name].db / 10) for name in gains}
    expected = sum(gains[name] * errors[name] for name in gains)
    assert made.weighted_db == pytest.approx(-10 * np.log10(expected), abs=1e-9)
    # what changes nothing takes the fewest bytes, and what changes much has them
    assert by_name["conv"].nbytes == TENSORS["conv"].size
    assert by_name["embed"].format == "CFloat16_SHP"
    assert cf.plan(model, size=0.4, sensitivity=found, by="layer").by == "layer"
    assert "of the model's output" in made.to_text()


def test_the_plan_says_what_each_error_is_of(model, activations, tmp_path):
    out = tmp_path / "plan.toml"
    text = succeeded(
        cfloat("plan", model, "--size", "0.3", "--activations", activations, "--out", out)
    )
    assert "errors of the outputs of 4 tensors' products, by their inputs; of 2 tensors'" in text
    entries = tomllib.loads(out.read_text())["tensors"]
    changed = {name: each for name, each in entries.items() if each["format"] != "unchanged"}
    assert {"linear", "embed", "spare"} <= set(changed)
    for name, each in changed.items():
        assert each["measure"] == ("output" if name in ACTIVATIONS else "sqnr")
    assert set(read_plan(out)) == set(TENSORS)
    made = json.loads(
        succeeded(cfloat("plan", model, "--size", "0.3", "--activations", activations, "--json"))
    )
    assert made["by"] == "layer"
    assert {each["name"]: each["measure"] for each in made["tensors"]} == {
        name: "output" if name in ACTIVATIONS else "sqnr" for name in TENSORS
    }


def test_moments_are_read_by_a_process_of_its_own(model, activations, tmp_path):
    path, plans = tmp_path / "m.safetensors", [tmp_path / "a.toml", tmp_path / "b.toml"]
    found = of_activations(model)
    found.save(path)
    with safe_open(path, "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("linear"), found.moments["linear"][0].values)
    succeeded(cfloat("plan", model, "--size", "0.3", "--moments", path, "--out", plans[0]))
    succeeded(
        cfloat("plan", model, "--size", "0.3", "--activations", activations, "--out", plans[1])
    )
    assert plans[0].read_bytes() == plans[1].read_bytes()


def test_what_is_shared_is_stored_once_and_names_do_not_collide(tmp_path):
    shared, other = matrix_moment(INPUTS), matrix_moment(INPUTS[:7])
    moments = {"q": (shared,), "k": (shared,), "a": (other, shared, row_moment(IDS, 50))}
    moments["a#2"] = (matrix_moment(INPUTS[:9]),)
    path = tmp_path / "m.safetensors"
    cf.Sensitivity(moments, {"q": 0.1, "b": 0.0}, "CFloat8_1_5_2", ("said",)).save(path)
    with safe_open(path, "numpy") as file:
        assert len(file.keys()) == 4
    for _ in range(2):  # what was read is written again
        found = cf.Sensitivity.load(path)
        assert {name: len(uses) for name, uses in found.moments.items()} == {
            name: len(uses) for name, uses in moments.items()
        }
        for name, uses in moments.items():
            for read, each in zip(found.moments[name], uses, strict=True):
                np.testing.assert_array_equal(read.values, each.values)
                assert (read.count, read.axis) == (each.count, each.axis)
        assert (found.gains, found.reference) == ({"q": 0.1, "b": 0.0}, "CFloat8_1_5_2")
        assert found.notes == ("said",)
        path = tmp_path / "again.safetensors"
        found.save(path)


def said(**changes):
    good = {
        "version": 1,
        "weights": {"w": [{"tensor": "w", "count": 3, "axis": 1}]},
        "gains": None,
        "reference": "",
        "notes": [],
    }
    return good | changes


def moments(**changes):
    return [{"tensor": "w", "count": 3, "axis": 1} | changes]


GOOD = np.array([[2.0, 1.0], [1.0, 3.0]])


@pytest.mark.parametrize(
    ("values", "what", "message"),
    [
        (GOOD[:1], said(), "shape (1, 2)"),
        (np.array([[2.0, np.nan], [np.nan, 3.0]]), said(), "not finite"),
        (np.array([[2.0, 1.0], [1.5, 3.0]]), said(), "not symmetric"),
        (np.array([[-2.0, 1.0], [1.0, 3.0]]), said(), "negative"),
        (np.array([2.0, -1.0]), said(weights={"w": moments(axis=0)}), "negative"),
        (np.array([2.0, 1.0]), said(), "shape (2,)"),
        (GOOD.astype("f4"), said(), "no tensor 'w' of float64"),
        (GOOD, said(weights={"w": moments(tensor="v")}), "no tensor 'v'"),
        (GOOD, said(weights={"w": moments(count=0)}), "count is 0"),
        (GOOD, said(weights={"w": moments(axis=2)}), "axis is 2"),
        (GOOD, said(weights={"w": moments(axis=True)}), "weights is"),
        (GOOD, said(weights={"w": []}), "weights is"),
        (GOOD, said(weights=[1]), "weights is"),
        (GOOD, said(gains={"w": -1}), "gains is"),
        (GOOD, said(gains={"w": True}), "gains is"),
        (GOOD, said(gains={"w": 10**400}), "gains is"),
        (np.zeros((0, 0)), said(), "no elements"),
        (np.zeros(0), said(weights={"w": moments(axis=0)}), "no elements"),
        (GOOD, said(notes="x"), "notes is"),
        (GOOD, said(version=2), "version is 2"),
        (GOOD, said(more=1), "'more' is not known"),
        (GOOD, {"version": 1}, "is missing"),
        (GOOD, "[1]", "takes an object"),
        (GOOD, "{", "m.safetensors: "),
        (GOOD, '{"version": 1, "version": 1}', "twice"),
        (GOOD, json.dumps(said(gains={"w": 1.0})).replace("1.0", "NaN"), "NaN is not JSON"),
        (GOOD, None, "no file of second moments"),
    ],
)
def test_files_that_are_not_of_moments_are_refused(tmp_path, capsys, model, values, what, message):
    path = tmp_path / "m.safetensors"
    text = what if isinstance(what, str) or what is None else json.dumps(what)
    save_file({"w": values}, path, metadata={} if text is None else {"cfloat_moments": text})
    refuse(cf.FileError, message, cf.Sensitivity.load, path)
    line = main_refused(capsys, "plan", model, "--moments", path)
    assert line.startswith("cfloat: error: ")


def test_a_file_that_is_damaged_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    cf.Sensitivity({"w": (cf.SecondMoment(GOOD, 3),)}).save(path)
    assert cf.Sensitivity.load(path).moments["w"][0].count == 3
    path.write_bytes(path.read_bytes()[:-1])
    refuse(cf.FileError, "m.safetensors", cf.Sensitivity.load, path)


def test_arguments_are_refused(model, tmp_path):
    known = of_activations(model)
    value_error("by is 'x'", cf.plan, model, by="x")
    value_error("takes a sensitivity or activations", cf.plan, model, by="layer")
    value_error("takes a sensitivity", cf.plan, model, by="model")
    value_error("no gains", cf.plan, model, sensitivity=known, by="model")
    value_error("both", cf.plan, model, sensitivity=known, activations=ACTIVATIONS)
    type_error("sensitivity is 3", cf.plan, model, sensitivity=3)
    type_error("model is 3", cf.Sensitivity.from_activations, ACTIVATIONS, 3)
    type_error("activations is 3", cf.plan, model, activations=3)
    value_error("activations is empty", cf.plan, model, activations={})
    value_error("activations has 'x'", cf.plan, model, activations={"x": INPUTS})
    value_error("takes floating-point", cf.plan, model, activations={"linear": INPUTS[:, :3]})
    value_error("takes floating-point", cf.plan, model, activations={"linear": INPUTS > 0})
    value_error("0 to 49", cf.plan, model, activations={"embed": IDS + 10})
    value_error("0 to 49", cf.plan, model, activations={"embed": IDS - 10})
    bad = INPUTS.copy()
    bad[3, 4] = np.inf
    value_error("'linear': the mean", cf.plan, model, activations={"linear": bad})
    other = cf.Sensitivity({"spare": known.moments["linear"]})
    refuse(cf.FileError, "do not fit a weight of shape (16, 40)", cf.plan, model, sensitivity=other)
    other = cf.Sensitivity({"model.linear": known.moments["linear"]})
    refuse(cf.FileError, "is of 'model.linear'", cf.plan, model, sensitivity=other)
    type_error("float64", cf.SecondMoment, GOOD.astype("f4"), 1)
    value_error("count is 0", cf.SecondMoment, GOOD, 0)


def test_a_weight_by_its_other_name(tmp_path):
    """One that the file has noted, and one of two tensors in memory that a PyTorch file has."""
    path = tmp_path / "x.safetensors"
    save_file({"a": TENSORS["spare"]}, path, metadata={"b": "a", "format": "pt"})
    known = cf.Sensitivity({"b": (matrix_moment(INPUTS[:, :40]),)}, {"b": 2.0}, "CFloat8_1_4_3")
    for how in ({"sensitivity": known}, {"activations": {"b": INPUTS[:, :40]}}):
        (made,) = cf.plan(path, **how).tensors
        assert (made.name, made.measure) == ("a", "output")
        assert made.weight == (2.0 if "sensitivity" in how else 1.0)
    torch = pytest.importorskip("torch")
    weight = torch.from_numpy(TENSORS["spare"])
    torch.save({"b": weight, "a": weight}, tmp_path / "x.pt")
    (made,) = cf.plan(tmp_path / "x.pt", sensitivity=known).tensors
    assert (made.name, made.measure, made.weight) == ("a", "output", 2.0)


def test_notes_say_what_inputs_were_for_nothing(model):
    given = {"linear": INPUTS, "norm": INPUTS, "other": INPUTS}
    made = cf.plan(model, activations=given)
    (note,) = made.notes
    assert "norm: a tensor of one axis has no product" in note
    assert "other: inputs of no weight" in note
    assert note in made.to_text()


def test_inputs_that_are_all_zero_leave_a_weight_to_its_elements(model):
    made = cf.plan(model, activations={"linear": INPUTS, "spare": np.zeros((3, 40))})
    assert {each.name: each.measure for each in made.tensors}["spare"] == "sqnr"


def test_out_would_overwrite_what_is_read(model, activations, capsys):
    for option in ("--activations", "--moments"):
        line = main_refused(capsys, "plan", model, option, activations, "--out", activations)
        assert "overwrite" in line


def test_the_public_names():
    moment = cf.SecondMoment(GOOD, 3)
    assert moment.axis == 1
    assert not moment.is_diagonal
    assert cf.SecondMoment(GOOD[0], 3, 0).is_diagonal
    assert cf.Sensitivity({"w": (moment,)}).gains is None
    code = "import cfloat, sys; cfloat.Sensitivity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(24, 40), (24, 24)], ids=["rectangular", "square"])
def test_activations_of_a_conv1d_are_along_its_first_axis(tmp_path, monkeypatch, shape):
    """As the model's class says it; a square one would fit the other way round, too."""
    path = tmp_path / "x.safetensors"
    weight, inputs = normal(*shape) * np.exp2(np.arange(shape[1]) / 4, dtype="f4"), normal(30, 24)
    inputs[:, :12] *= 100
    cf.save(path, {"h.weight": weight, "o.weight": normal(6, 24)})
    found = frozenset({"h.weight"})
    for module in ("sensitivity", "stored_model", "plan"):
        monkeypatch.setattr(f"cfloat._report.{module}.transposed_by_signs", lambda _: (found, []))
    known = cf.Sensitivity.from_activations({"h.weight": inputs, "o.weight": inputs}, cf.load(path))
    assert [known.moments[name][0].axis for name in ("h.weight", "o.weight")] == [0, 1]
    made = cf.plan(path, size=0.25, activations={"h.weight": inputs}, formats="CFloat8_1_4_3")
    (one,) = (each for each in made.tensors if each.name == "h.weight")
    q = np.asarray(cf.asarray(weight, cf.CFloat8_1_4_3, "mse"), "f8")
    noise, signal = inputs.astype("f8") @ (q - weight), inputs.astype("f8") @ weight
    assert one.db == pytest.approx(10 * np.log10((signal**2).sum() / (noise**2).sum()), abs=1e-6)
    row = cf.report(path, "CFloat8_1_4_3", activations={"h.weight": inputs}).products[0]
    assert row.output_sqnr_db < one.db  # of rounded inputs as well
    a = np.asarray(cf.asarray(inputs, cf.CFloat8_1_4_3, "mse"), "f8")
    lost = a @ q - signal
    assert row.output_sqnr_db == pytest.approx(
        10 * np.log10((signal**2).sum() / (lost**2).sum()), abs=1e-3
    )
