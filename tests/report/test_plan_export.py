"""Plans of exports: what is measured is what the file has, one layout of scales is the best, and refusals.

Names here are those of linear layers for certain, without transformers; what transformers loads of such an
export is in tests/files/test_export_to_transformers.py.
"""

import itertools
import json
import math
import struct
import tomllib

import numpy as np
import pytest
from commands import cfloat, main_refused, refused, succeeded
from refusals import type_error, value_error

import cfloat as cf
from cfloat._files import fp8
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.plan_file import TensorChoice, read_plan
from cfloat._report import output_error
from cfloat._report.export_candidates import LAYOUTS, ExportMeasuring
from cfloat._report.output_error import by_outputs

RNG = np.random.default_rng(16)


def layer(number, part):
    return f"model.layers.{number}.mlp.{part}_proj.weight"


def normal(shape, dtype="f4"):
    return RNG.standard_normal(shape).astype(dtype)


def of_rows(shape, octaves):
    """Rows of scales that one bias does not span."""
    return normal(shape) * np.exp2(RNG.integers(-octaves, octaves, (shape[0], 1))).astype("f4")


def exact_at(scales):
    """Blocks of 128 x 128, or rows, that are exact at a scale each: from end to end of E4M3's normals."""
    down, across = scales.shape
    block = np.full((128, 128), 1.125 * 2.0**-6)
    block[:, ::3] = 448
    if across == 1:
        return (scales * block[0]).astype("f4")
    return np.kron(scales, block).astype("f4")[: 128 * down - 9, : 128 * across - 5]


def of_blocks(down, across):
    """The same of blocks of 128 rows and columns, the last of which are shorter."""
    scales = np.exp2(RNG.integers(-12, 13, (down, across)))
    return (normal((128 * down - 9, 128 * across - 5)) * np.kron(scales, np.ones((128, 128)))[
        : 128 * down - 9, : 128 * across - 5]).astype("f4")  # fmt: skip


#: Between what E4M3 holds, 448, and what CFloat8 does, 480, at the largest scale that there is.
EDGE = (448 + np.arange(120).reshape(3, 40) % 37).astype("f4") * 128

TENSORS = {
    layer(0, "up"): normal((24, 64)),
    layer(0, "down"): of_rows((24, 70), 14),
    layer(0, "gate"): of_blocks(2, 3),
    layer(1, "up"): EDGE,
    layer(1, "down"): normal((1, 33), "f8"),
    # scales of float16's readers are not below 2**-24
    layer(1, "gate"): (normal((16, 20)) * 2.0**-20).astype("f2"),
    layer(2, "gate"): exact_at(np.exp2(-4.0 * np.arange(5))[:, np.newaxis]),
    layer(2, "up"): np.zeros((5, 4), "f4"),
    layer(2, "down"): np.full((2, 2), np.nan, "f4"),
    "model.embed_tokens.weight": normal((10, 8)),
    "model.norm.weight": normal((8,)),
    "model.ids": np.arange(5),
}
LAYERS = [name for name in TENSORS if "proj" in name]
TAKEN = LAYERS[:8]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "x.safetensors"
    cf.save(path, TENSORS)
    return path


def stored(path):
    """Give the values of a file of 8-bit floats and scales, and the bytes of each tensor, by OCP's rule."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    codes = np.arange(256)
    exponent, mantissa = codes >> 3 & 15, codes & 7
    sizes = np.where(exponent, (8 + mantissa) * 2.0 ** (exponent - 10), mantissa * 2.0**-9)
    table = np.where(codes > 127, -sizes, sizes)
    table[[127, 255]] = np.nan
    kinds = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "F8_E4M3": "u1"}
    arrays, nbytes = {}, {}
    for name, said in header.items():
        start, stop = (8 + length + each for each in said["data_offsets"])
        array = np.frombuffer(raw[start:stop], kinds[said["dtype"]]).reshape(said["shape"])
        arrays[name] = table[array] if said["dtype"] == "F8_E4M3" else array
        nbytes[name] = stop - start
    return arrays, nbytes


def decoded(path):
    """Multiply the scales in, as readers do."""
    arrays, nbytes = stored(path)
    made = {}
    for name in list(arrays):
        scale = arrays.pop(name + "_scale", None)
        if name.endswith("_scale"):
            continue
        x = arrays[name]
        if scale is not None:
            rows, columns = (
                -(-n // m) if m > 1 and m != n else n // m
                for n, m in zip(x.shape, scale.reshape(-1, scale.shape[-1]).shape, strict=True)
            )
            if 1 < scale.size != x.shape[0] or scale.shape[-1] > 1:
                rows, columns = 128, 128
            spread = scale.reshape(-1, scale.shape[-1]).astype("f8")
            x = x * spread.repeat(rows, 0)[: x.shape[0]].repeat(columns, 1)[:, : x.shape[1]]
        made[name] = x
    return made, nbytes


def lost(name, x):
    values = TENSORS[name].astype("f8")
    return float(np.square(x - values).sum() / np.square(values).sum())


def db(error):
    return -10 * math.log10(error) if error else math.inf


def carried_out(made, model, folder, *more):
    made.save(folder / "plan.toml")
    succeeded(
        cfloat("convert", model, folder / "out.safetensors", "--plan", folder / "plan.toml", *more)
    )
    return folder / "out.safetensors"


def check_carried_out(made, model, out):
    """The file's bytes and errors are the plan's, to the digit."""
    values, nbytes = decoded(out)
    assert sum(nbytes.values()) == made.nbytes
    assert sum(stored(model)[1].values()) == made.nbytes_before
    errors, counted = {}, 0
    for each in made.tensors:
        assert nbytes[each.name] + nbytes.get(each.name + "_scale", 0) == each.nbytes
        assert (each.name + "_scale" in nbytes) == (each.format != "unchanged")
        x = TENSORS[each.name]
        if not x.any():
            continue
        counted += x.size
        if each.format == "unchanged":
            assert np.array_equal(values[each.name], x, equal_nan=True)
            continue
        errors[each.name] = lost(each.name, values[each.name])
        assert each.db == pytest.approx(db(errors[each.name]), abs=1e-6), each.name
    weighted = sum(TENSORS[name].size * error for name, error in errors.items()) / counted
    assert made.weighted_db == pytest.approx(db(weighted), abs=1e-6)
    assert made.worst_db == pytest.approx(db(max(errors.values())), abs=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: each.text)
def test_every_candidate_is_carried_out_as_measured(model, tmp_path, layout):
    """Also at 448, where the format itself goes on, and with the scales that float16 holds."""
    measuring = ExportMeasuring(cf.load(model), (), ())
    assert measuring.layouts == list(LAYOUTS)
    left = {name: TensorChoice.in_export(None) for name in TENSORS if name != "model.ids"}
    for name in TAKEN:
        (found,) = [each for each in measuring.measure(name).found if each.choice.layout == layout]
        out = tmp_path / "out.safetensors"
        convert(model, out, Plan(tensors=left | {name: found.choice}))
        values, nbytes = decoded(out)
        assert found.nbytes == nbytes[name] + nbytes[name + "_scale"]
        assert found.nbytes < TENSORS[name].nbytes
        if TENSORS[name].any():
            assert found.error == pytest.approx(lost(name, values[name]), rel=1e-9, abs=0), name
        else:
            assert found.error == np.abs(values[name]).max() == 0


def test_large_tensors_are_measured_in_pieces(model, monkeypatch):
    """With the figures that they have as a whole: pieces of whole blocks, or of parts of long rows."""
    measuring = ExportMeasuring(cf.load(model), (), ())
    whole = [each.error for each in measuring.measure(layer(0, "gate")).found]
    for size in (256, 128 * 20, 128 * 400):
        monkeypatch.setattr("cfloat._report.tensor_values.PIECE_SIZE", size)
        monkeypatch.setattr("cfloat._report.scan.FEW_ELEMENTS", 0)
        parts = [each.error for each in measuring.measure(layer(0, "gate")).found]
        assert parts == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(
    "how",
    [
        {"min_db": 30}, {"min_db": 34}, {"worst_db": 30}, {"size": 0.4}, {"max_bytes": 300_000},
        {"min_db": 33, "worst_db": 31}, {"min_db": -30, "exclude": [layer(0, "*")]},
        {"min_db": 20, "include": [layer(1, "*"), "model.embed*"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_conversion_has_the_plans_bytes_and_errors(model, tmp_path, how):
    made = cf.plan(model, export="fp8", **how)
    assert any(each.format != "unchanged" for each in made.tensors)
    check_carried_out(made, model, carried_out(made, model, tmp_path))
    assert made.weighted_db >= how.get("min_db", -math.inf)
    assert made.worst_db >= how.get("worst_db", -math.inf)
    assert made.nbytes <= how.get("max_bytes", math.inf)
    assert made.nbytes <= how.get("size", math.inf) * made.nbytes_before
    said = json.loads((tmp_path / "quantization_config.json").read_text())
    weights = said["config_groups"]["group_0"]["weights"]
    structure = None if weights["block_structure"] is None else tuple(weights["block_structure"])
    assert fp8.ScaleLayout(weights["strategy"], structure).text == made.strategy
    staying = {each.name for each in made.tensors if each.format == "unchanged"}
    assert {name.removesuffix(".weight") for name in staying & {*LAYERS}} <= {*said["ignore"]}


def alone(tmp_path, tensors):
    path = tmp_path / "x.safetensors"
    cf.save(path, tensors)
    return path


@pytest.mark.parametrize(
    ("x", "bound", "strategy"),
    [
        (normal((128, 64)), 31, "tensor"),
        (exact_at(np.exp2(-4.0 * np.arange(5))[:, np.newaxis]), 150, "channel"),
        (exact_at(np.exp2(-4.0 * np.arange(6)).reshape(3, 2)), 150, "block 128x128"),
    ],
    ids=["tensor", "channel", "block"],
)
def test_the_strategy_is_that_of_the_fewest_bytes(tmp_path, x, bound, strategy):
    name = layer(0, "up")
    made = cf.plan(alone(tmp_path, {name: x}), export="fp8", min_db=bound)
    (chosen,) = made.tensors
    assert (made.strategy, made.export, made.gap) == (strategy, "fp8", 0)
    scales = {"tensor": 1, "channel": len(x), "block 128x128": 6}[strategy]
    assert made.nbytes == chosen.nbytes == x.size + 4 * scales
    # others do not keep the bound, or take more
    layouts = {"channel": {"axis": 0}, "block 128x128": {"block": (128, 128)}, "tensor": {}}
    for other, how in layouts.items():
        convert(tmp_path / "x.safetensors", tmp_path / "y.safetensors",
                Plan(export=True, bias="mse", **how))  # fmt: skip
        found = decoded(tmp_path / "y.safetensors")[0][name]
        level = db(float(np.square(found - x).sum() / np.square(x, dtype="f8").sum()))
        if other == strategy:
            assert level == pytest.approx(made.worst_db, abs=1e-6)
        else:
            assert level < bound or (tmp_path / "y.safetensors").stat().st_size > made.nbytes + 4


SMALL = {
    layer(0, "up"): normal((16, 64)),
    layer(0, "down"): exact_at(np.exp2(-4.0 * np.arange(5))[:, np.newaxis]),
    layer(0, "gate"): of_rows((40, 33), 3),
    layer(1, "up"): normal((3, 9)) ** 5,
    "embed.weight": normal((20, 9)),
}


@pytest.mark.parametrize("exact", [False, True])
def test_the_optimum_is_that_of_all_choices(tmp_path, exact):
    """Of each layout with each subset of layers, measured from files that convert writes without a plan."""
    if exact:
        pytest.importorskip("scipy")
    path = alone(tmp_path, SMALL)
    layers = [name for name in SMALL if "proj" in name]
    total = sum(x.size for x in SMALL.values())
    before = sum(x.nbytes for x in SMALL.values())
    choices = []
    for how in ({}, {"axis": 0}, {"block": (128, 128)}):
        convert(path, tmp_path / "y.safetensors", Plan(export=True, bias="mse", **how))
        values, nbytes = decoded(tmp_path / "y.safetensors")
        for taken in itertools.product([False, True], repeat=len(layers)):
            chosen = list(itertools.compress(layers, taken))
            errors = {
                name: float(
                    np.square(values[name] - SMALL[name]).sum()
                    / np.square(SMALL[name], dtype="f8").sum()
                )
                for name in chosen
            }
            saved = sum(
                SMALL[name].nbytes - nbytes[name] - nbytes[name + "_scale"] for name in chosen
            )
            weighted = sum(SMALL[name].size * error for name, error in errors.items()) / total
            choices.append((before - saved, weighted, max(errors.values(), default=0.0)))
    for bound in (20, 30, 32, 33.5, 38, 60):
        made = cf.plan(path, export="fp8", min_db=bound, exact=exact)
        fewest = min(nbytes for nbytes, error, _ in choices if db(error) >= bound)
        assert made.nbytes - made.gap <= fewest <= made.nbytes
        if exact:
            assert (made.nbytes, made.gap) == (fewest, 0)
        made = cf.plan(path, export="fp8", worst_db=bound, exact=exact)
        assert made.nbytes == min(nbytes for nbytes, _, worst in choices if db(worst) >= bound)
    for share in (0.34, 0.4, 0.5, 0.8, 1):
        made = cf.plan(path, export="fp8", size=share, exact=exact)
        least = db(min(error for nbytes, error, _ in choices if nbytes <= share * before))
        assert made.weighted_db <= least + 1e-9
        assert made.weighted_db + made.gap >= least - 1e-9 or least == math.inf
        if exact:
            assert made.weighted_db == pytest.approx(least, abs=1e-9)


def test_reasons_and_what_stays(model):
    made = cf.plan(model, export="fp8", min_db=10, exclude=[layer(0, "up")])
    reasons = {each.name: each.reason for each in made.tensors}
    assert reasons[layer(0, "up")] == "excluded"
    assert reasons[layer(2, "down")] == "has infinities or NaN"
    assert reasons["model.embed_tokens.weight"].startswith("no name of a linear layer for certain")
    assert reasons["model.norm.weight"] == "not the weight of a linear layer"
    assert reasons[layer(1, "up")] == ""
    text = made.to_text("plan.toml")
    assert f"export fp8, one scale a {made.strategy.replace('channel', 'row')}" in text.replace(
        "block of ", "block "
    )
    assert "linear layers by names that are certain alone: there is no config.json" in text
    assert len(text.splitlines()) <= 40
    said = json.loads(made.to_json())
    assert (said["export"], said["strategy"]) == ("fp8", made.strategy)
    head = tomllib.loads(made.to_toml())
    assert (head["export"], head["strategy"]) == ("fp8", made.strategy)
    # a plan of none says nothing of it
    plain = cf.plan(model)
    assert (plain.export, plain.strategy, plain.exported_by) == ("", "", "")
    assert set(tomllib.loads(plain.to_toml())) == {"version", "tensors"}


@pytest.mark.parametrize("name", [layer(0, "gate"), layer(1, "up"), layer(2, "gate")])
@pytest.mark.parametrize("rows", [None, 3])
def test_errors_of_outputs_are_those_of_the_file(model, tmp_path, monkeypatch, name, rows):
    """Also at 448, and where a block is of more rows than a piece has."""
    w = TENSORS[name].astype("f8")
    if rows is not None:
        monkeypatch.setattr(output_error, "_PIECE_SIZE", w.shape[1] * rows)
    x = RNG.standard_normal((50, w.shape[1])) * np.exp2(RNG.integers(-3, 4, w.shape[1]))
    checkpoint = cf.load(model)
    known = cf.Sensitivity.from_activations({name: x}, checkpoint)
    measured = ExportMeasuring(checkpoint, (), ()).measure(name)
    made = by_outputs(checkpoint, measured, known.moments[name])
    assert made.measure == "output"
    assert [each.choice.layout for each in made.found] == [None, *LAYOUTS]
    left = {each: TensorChoice.in_export(None) for each in TENSORS if each != "model.ids"}
    for each in made.found[1:]:
        convert(model, tmp_path / "y.safetensors", Plan(tensors=left | {name: each.choice}))
        noise = x @ (decoded(tmp_path / "y.safetensors")[0][name] - w).T
        wanted = np.square(noise).sum() / np.square(x @ w.T).sum()
        assert each.error == pytest.approx(wanted, rel=1e-6, abs=0)
    plan = cf.plan(model, export="fp8", activations={name: x}, min_db=20)
    assert {each.measure for each in plan.tensors if each.name == name} == {"output"}


def test_tied_names_are_exported_together_or_not(tmp_path):
    torch = pytest.importorskip("torch")
    one, two = torch.from_numpy(SMALL[layer(0, "up")]), torch.from_numpy(SMALL[layer(0, "gate")])
    path = tmp_path / "x.pt"
    torch.save(
        {layer(0, "up"): one, layer(1, "up"): one, layer(0, "gate"): two, "embed.weight": two}, path
    )
    made = cf.plan(path, export="fp8", min_db=20)
    found = {each.name: each for each in made.tensors}
    assert list(found) == ["embed.weight", layer(0, "up")]
    assert found["embed.weight"].reason.startswith("no name of a linear layer")
    out = carried_out(made, path, tmp_path)
    values, nbytes = decoded(out)
    assert sum(nbytes.values()) == made.nbytes
    assert made.nbytes_before == 2 * one.numel() * 4 + 2 * two.numel() * 4
    assert np.array_equal(values[layer(0, "up")], values[layer(1, "up")])
    # the other way round: the first of the names is a layer's, the other is none
    torch.save({layer(0, "gate"): two, "zz": two, layer(0, "up"): one}, path)
    (first, _) = cf.plan(path, export="fp8", min_db=20).tensors
    assert first.name == layer(0, "gate")
    assert first.reason.startswith("tied to zz: not called and shaped")
    text = made.to_toml().replace('"embed.weight" =', f'"{layer(0, "gate")}" =').replace(
        f'"unchanged", bytes = {found["embed.weight"].nbytes}',
        f'"CFloat8_1_4_3", granularity = "{read_plan(tmp_path / "plan.toml")[layer(0, "up")].granularity}"',
    )  # fmt: skip
    (tmp_path / "plan.toml").write_text(text)
    line = refused(
        cfloat("convert", path, tmp_path / "y.safetensors", "--plan", tmp_path / "plan.toml")
    )
    assert f"'{layer(0, 'gate')}': an export leaves 'zz' unchanged: " in line
    assert "plan.toml:" in line


# What is refused


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"export": "fp4"}, "export is 'fp4'; it takes one of fp8"),
        (
            {"formats": "CFloat8_1_5_2"},
            "formats has CFloat8_1_5_2; an export has CFloat8_1_4_3 alone",
        ),
        ({"formats": ["CFloat8_1_4_3", "bfloat16"]}, "formats has bfloat16"),
        ({"include": ["x*"]}, "no tensor has a name like 'x*'"),
        ({"size": 0.2}, "the least is"),
    ],
)
def test_values_that_are_refused(model, how, message):
    value_error(message, cf.plan, model, **({"export": "fp8"} | how))


def test_other_refusals(model, tmp_path):
    type_error("export is True; it takes one of fp8", cf.plan, model, export=True)
    with pytest.raises(cf.FileError, match=r"nothing to export: \S+: excluded"):
        cf.plan(model, export="fp8", exclude=["*_proj*"])
    codes = cf.asarray(SMALL["embed.weight"], cf.CFloat8_1_4_3, "mse")
    path = alone(tmp_path, SMALL | {"embed.weight": codes})
    with pytest.raises(
        cf.FileError, match=r"embed\.weight: CFloat8_1_4_3 already; a plan of an export"
    ):
        cf.plan(path, export="fp8")
    left = {name: TensorChoice.in_export(LAYOUTS[0]) for name in SMALL if name != "embed.weight"}
    with pytest.raises(
        cf.FileError, match=r"embed\.weight: CFloat8_1_4_3 already; a plan of an export"
    ):
        convert(path, tmp_path / "y.safetensors", Plan(tensors=left))


def test_the_fewest_bytes_are_those_of_any_layout(model):
    with pytest.raises(cf.ArgumentValueError, match="max_bytes is 5; the least is") as caught:
        cf.plan(model, export="fp8", max_bytes=5)
    fewest = int(str(caught.value).rpartition(" is ")[2].split()[0])
    assert cf.plan(model, export="fp8", max_bytes=fewest).nbytes == fewest
    value_error("the least is", cf.plan, model, export="fp8", max_bytes=fewest - 1)


@pytest.mark.quick
def test_the_command(model, tmp_path, capsys):
    plan = str(tmp_path / "plan.toml")
    text = succeeded(cfloat("plan", model, "--export", "fp8", "--min-db", "34", "--out", plan))
    made = cf.plan(model, export="fp8", min_db=34)
    assert text == made.to_text(plan) + "\n"
    assert (tmp_path / "plan.toml").read_text() == made.to_toml()
    out = tmp_path / "out.safetensors"
    # the plan says what it is; to say it again does no harm
    for more in ((), ("--export", "fp8")):
        succeeded(cfloat("convert", model, out, "--plan", plan, *more))
        check_carried_out(made, model, out)
    command = ("convert", model, tmp_path / "no.safetensors", "--plan")
    assert "--export is fp8-dynamic, and the plan's is fp8" in main_refused(
        capsys, *command, plan, "--export", "fp8-dynamic"
    )
    assert "--axis is for all tensors" in main_refused(capsys, *command, plan, "--axis", "0")
    cf.plan(model).save(tmp_path / "plain.toml")
    line = main_refused(capsys, *command, tmp_path / "plain.toml", "--export", "fp8")
    assert "--export is fp8, and the plan is of none; cfloat plan --export fp8" in line
    assert "invalid choice: 'fp8-dynamic'" in main_refused(
        capsys, "plan", model, "--export", "fp8-dynamic"
    )
    for names, message in (
        ("CFloat16_SHP", "formats has CFloat16_SHP; an export has CFloat8_1_4_3 alone"),
        ("", "formats is ''"),
        ("CFloat8_1_4_3,", "formats is ''"),
        ("fp8", "formats is 'fp8'; the names are"),
    ):
        assert message in main_refused(capsys, "plan", model, "--export", "fp8", "--formats", names)


def test_a_bound_that_no_layer_keeps(model, tmp_path):
    """Then all stay, which is no export: the screen says so, and a conversion refuses it."""
    made = cf.plan(model, export="fp8", worst_db=500, exclude=["*.0.*", "*.2.*"])
    assert {each.format for each in made.tensors} == {"unchanged"}
    assert made.nbytes == made.nbytes_before
    assert "note: no layer keeps the bound: there is nothing to export" in made.to_text()
    made.save(tmp_path / "plan.toml")
    line = refused(
        cfloat("convert", model, tmp_path / "y.safetensors", "--plan", tmp_path / "plan.toml")
    )
    assert ": nothing to export: model.embed_tokens.weight: left by the plan" in line
    assert "note: no layer" not in cf.plan(model, export="fp8").to_text()
