"""The conclusion of a report: its figures are those of what its commands make."""

import json
import math
import re
import shlex
import struct
import subprocess

import numpy as np
import pytest
from commands import CFLOAT
from file_kinds import FILE_KINDS
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files.checkpoint import load
from cfloat._files.conversion_plan import Plan
from cfloat._files.encoding import Encoding
from cfloat._files.model_class import ModelClass, Tensor
from cfloat._report import layer_kinds
from cfloat._report.aggregates import Aggregate, Tensors, count_losses, weighted_db
from cfloat._report.conclusion_text import broken, shortened
from cfloat._report.granularities import GRANULARITIES
from cfloat._report.layer_kinds import kind_by_name


def normal(*shape, spread=0.0, dtype=np.float32):
    """Normal numbers, which depend on the shape alone."""
    rng = np.random.default_rng([16, *shape])
    x = rng.standard_normal(shape)
    if spread:
        x *= np.exp(spread * rng.standard_normal((shape[0], *[1] * (len(shape) - 1))))
    return x.astype(dtype)


MODEL = {
    "embed.weight": normal(50, 33, spread=2),
    "layers.0.up.weight": normal(64, 40),
    "layers.0.up.bias": normal(64) * np.float32(1e-6),
    "layers.0.norm.weight": np.ones(64, np.float32),
    "layers.0.norm.bias": np.zeros(64, np.float32),
    "conv.weight": normal(6, 5, 3, 3, spread=1),
    "half.weight": normal(7, 130, dtype=np.float16),
    "scale": np.array(0.3, np.float32),
    "empty": np.zeros((0, 4), np.float32),
    "step": np.arange(7),
}


def run_printed(command, folder):
    """Run what is printed, as a user pastes it, with this package's own command."""
    assert "OUT" not in command.split()
    for one in command.split(" && "):
        words = shlex.split(one)
        assert words[0] == "cfloat"
        run = subprocess.run(
            [*CFLOAT, *words[1:]], cwd=folder, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
    return folder / shlex.split(one)[3]


def tensor_bytes(path):
    """The bytes of the tensors of a safetensors file or a folder of them, by their headers alone."""
    total = 0
    for file in sorted(path.glob("*.safetensors")) if path.is_dir() else [path]:
        raw = file.read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + length])
        header.pop("__metadata__", None)
        total += sum(each["data_offsets"][1] - each["data_offsets"][0] for each in header.values())
    return total


def errors_of(before, path):
    """Name, elements and error of every tensor that changed and is not all zero, by NumPy alone."""
    after = load(path)
    found = {}
    for name, values in before.items():
        x = np.asarray(values, np.float64)
        if np.asarray(values).dtype.kind not in "fV" or not x[np.isfinite(x)].any():
            continue
        y = np.asarray(after[name], np.float64)
        finite = np.isfinite(x)
        x, y = x[finite], y[finite]
        found[name] = (finite.size, float(np.square(y - x).sum() / np.square(x).sum()))
    return found


def db_of(pairs):
    pairs = list(pairs)
    error = sum(n * e for n, e in pairs) / sum(n for n, _ in pairs)
    return -10 * math.log10(error) if error else math.inf


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_file(MODEL, folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def reported(model):
    return cf.report(model)


def test_aggregates_by_hand():
    rows = [
        ("a", 900, 9.0, True), ("b", 100, 1000.0, True), ("exact", 0, 4.0, True),
        ("constant", 0, 4.0, False),
    ]  # fmt: skip
    errors = [0.001, 0.1, 0.0, 0.9]
    total = Aggregate.of(Tensors.of(rows), errors)
    assert total.weighted_db == pytest.approx(-10 * math.log10((0.9 + 10) / 1000))
    assert total.energy_db == pytest.approx(10 * math.log10(1017 / (0.009 + 100 + 3.6)))
    assert (total.worst, total.worst_db) == ("b", pytest.approx(10))
    assert total.median_db == pytest.approx(30)  # of 10, 30 and exact
    assert weighted_db([], []) == math.inf
    # two of four are exact: no infinity comes into their mean
    two_exact = [*rows[:3], rows[2]]
    assert Aggregate.of(Tensors.of(two_exact), [*errors[:3], 0.0]).median_db == pytest.approx(30)
    nothing = Aggregate.of(Tensors.of(rows[2:3]), [0.0])
    assert (nothing.worst, nothing.worst_db, nothing.weighted_db) == ("", math.inf, math.inf)
    none = Aggregate.of(Tensors.of([]), [])
    assert (none.worst, none.worst_db, none.median_db) == ("", math.inf, math.inf)
    # those of one value count where there are no others
    alone = Aggregate.of(Tensors.of(rows[3:]), [0.1])
    assert (alone.worst, alone.worst_db) == ("constant", pytest.approx(10))
    assert count_losses([10, 20, 30, math.inf], [13.1, 23, math.inf, math.inf]) == 2


@pytest.mark.parametrize(
    "formats", [["float8_e4m3fnuz"], ["binary8p4se", "float4_e2m1fn"]], ids=str
)
def test_what_none_of_its_own_formats_costs_is_not_known(formats):
    x = np.random.default_rng(1).standard_normal((8, 64)).astype(np.float32)
    text = cf.report({"w": x}, formats).to_screen()
    assert "recommended: nothing" in text
    assert re.search(r"^w +\w+ +512 +\? +\?$", text, re.MULTILINE)
    assert "nan" not in text


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("fmt", [cf.CFloat8_1_4_3, cf.CFloat16_SHP], ids=str)
def test_bytes_are_those_of_a_conversions_job(tmp_path, fmt, granularity):
    shapes = [
        (),
        (1,),
        (5,),
        (200,),
        (1, 9),
        (4, 128),
        (3, 129),
        (2, 3, 40),
        (6, 5, 3, 3),
        (0, 4),
        (4, 0),
    ]
    path = tmp_path / "x.safetensors"
    save_file({str(i): np.ones(shape, np.float32) for i, shape in enumerate(shapes)}, path)
    layout = GRANULARITIES[granularity]
    axis = layout.axis if layout.block is None else "reduction"
    checkpoint = load(path)
    for i, shape in enumerate(shapes):
        plan = Plan(fmt, bias="mse", axis=axis, block=layout.block).along_reduction(shape, False)
        entries = Encoding(checkpoint, str(i), plan, 0).entries
        assert layout.nbytes(shape, fmt) == sum(entry.nbytes for entry in entries.values()), shape


def test_the_recommendation_carried_out_is_what_was_said(model, reported, tmp_path):
    found = reported.conclusion
    best = found.recommended
    assert type(found) is cf.Conclusion
    assert type(best) is cf.Configuration
    assert best.weighted_db >= found.bound_db == 30
    written = run_printed(found.commands[0], tmp_path)
    assert tensor_bytes(written) == best.nbytes < best.nbytes_before == tensor_bytes(model)
    after = load(written)
    for name in ("embed.weight", "layers.0.up.weight", "layers.0.up.bias"):
        assert after[name].bias == cf.choose_bias(MODEL[name], best.format, "mse")
    errors = errors_of(MODEL, written)
    assert best.weighted_db == pytest.approx(db_of(errors.values()), abs=1e-3)
    varied = {name: pair for name, pair in errors.items() if np.ptp(MODEL[name]) > 0}
    assert "layers.0.norm.weight" not in varied
    worst = max(varied, key=lambda name: varied[name][1])
    assert best.worst == worst
    assert best.worst_db == pytest.approx(db_of([varied[worst]]), abs=1e-3)


@pytest.mark.slow
def test_every_configuration_carried_out_is_what_was_said(reported, tmp_path):
    assert len(reported.conclusion.configurations) == 12
    for number, each in enumerate(reported.conclusion.configurations):
        folder = tmp_path / str(number)
        folder.mkdir()
        written = run_printed(each.command, folder)
        assert tensor_bytes(written) == each.nbytes
        errors = errors_of(MODEL, written)
        assert each.weighted_db == pytest.approx(db_of(errors.values()), abs=1e-3)


def test_the_plan_is_that_of_cfloat_plan(model, reported, tmp_path):
    found = reported.conclusion
    made = cf.plan(model, min_db=30)
    assert type(found.plan) is cf.PlanCost
    assert (found.plan.nbytes, found.plan.worst) == (made.nbytes, made.worst)
    assert found.plan.weighted_db == pytest.approx(made.weighted_db, abs=1e-3)
    assert found.plan.worst_db == pytest.approx(made.worst_db, abs=1e-3)
    assert [n for n, _ in found.curve] == [n for n, _ in made.curve]
    assert tensor_bytes(run_printed(found.commands[1], tmp_path)) == made.nbytes


def test_neighbours_and_bounds(model, reported):
    found = reported.conclusion
    every = found.configurations
    best = found.recommended
    within = [each for each in every if each.weighted_db >= 30]
    assert best.nbytes == min(each.nbytes for each in within)
    assert found.better.weighted_db > best.weighted_db + 0.1
    for each in every:
        if each.weighted_db > best.weighted_db + 0.1:
            assert each.nbytes >= found.better.nbytes
    for db in (40.0, 70.0):
        other = cf.report(model, min_db=db).conclusion
        assert other.recommended.format == "CFloat16_SHP"
        assert other.cheaper.nbytes < other.recommended.nbytes
        assert other.cheaper.weighted_db == max(
            each.weighted_db for each in every if each.nbytes < other.recommended.nbytes
        )
        assert f"--min-db {db:g}" in other.commands[1]
    nothing = cf.report(model, min_db=120).conclusion
    assert nothing.recommended is nothing.better is None
    assert nothing.cheaper.weighted_db == max(each.weighted_db for each in every)
    text = cf.report(model, min_db=120).to_screen()
    assert "recommended: leave it as it is" in text
    assert "the nearest is CFloat16_SHP" in text
    # what one configuration cannot, a plan can: one tensor stays, and the other becomes codes
    tensors = {"grid": np.float32(2.0) ** normal(3, 2000).round(), "x": normal(80, 80)}
    planned = cf.report(tensors, min_db=80)
    assert planned.conclusion.recommended is None
    assert "or take the plan below, of a format for each tensor: " in planned.to_screen()
    kept = cf.report({"x": tensors["x"]}, ["CFloat16_SHP"], min_db=80)
    assert "plan below" not in kept.to_screen()
    with pytest.raises(cf.ArgumentTypeError, match="min_db is '30'; it takes a number"):
        cf.report(MODEL, min_db="30")
    with pytest.raises(cf.ArgumentTypeError, match="min_db is None"):
        cf.report(MODEL, min_db=None)


def test_tensors_that_lose_three_decibels_are_counted():
    # one element so large that at its bias all others are zero: the median of both tensors hides it
    tail = normal(8, 64) * np.float32(2.0**-6)
    tail[0, 0] = 2.0**15
    tensors = {"tail": tail, "plain": normal(8, 64)}
    found = cf.report(tensors).conclusion
    hows = {
        "tensor": {},
        "channel": {"axis": 0},
        "block 128": {"block": 64},
        "block 32": {"block": 32},
    }
    levels = {
        (name, fmt, granularity): cf.error(x, np.asarray(cf.asarray(x, fmt, "mse", **how))).sqnr_db
        for name, x in tensors.items()
        for fmt in ("CFloat8_1_4_3", "CFloat8_1_5_2")
        for granularity, how in hows.items()
    }
    best = {name: max(db for key, db in levels.items() if key[0] == name) for name in tensors}
    counts = {}
    for each in found.configurations:
        if each.format != "CFloat16_SHP":
            losses = [best[name] - levels[name, each.format, each.granularity] for name in tensors]
            assert each.over_3db == sum(loss > 3 for loss in losses)
            counts[each.format, each.granularity] = each.over_3db
    assert counts["CFloat8_1_4_3", "tensor"] == 1
    text = cf.report(tensors).to_screen()
    assert "1 tensor loses more than 3 dB against another configuration of as many bits" in text


def test_what_is_zero_or_constant_is_in_no_median_or_worst(reported):
    found = reported.conclusion
    assert found.left_out["all zero"] == ["layers.0.norm.bias"]
    assert found.left_out["constant: in no median or worst"] == ["layers.0.norm.weight", "scale"]
    assert found.left_out["empty"] == ["empty"]
    with_third = cf.report({"third": np.full(9, 1 / 3, np.float32), "x": normal(9, 9)}).conclusion
    assert {each.worst for each in with_third.configurations} == {"x"}
    line = next(line for line in reported.to_screen().splitlines() if line.startswith("left out"))
    # of a model of constants these are all that there is to say
    alone = cf.report({"third": np.full(9, 1 / 3, np.float32)}).conclusion.recommended
    assert alone.worst == "third"
    assert alone.worst_db == alone.median_db == alone.weighted_db < 100
    for part in ("1 all zero", "2 constant", "1 empty", "1 int64, not floating point"):
        assert part in line
    summary = next(table for table in reported.tables() if table.title.startswith("Summary"))
    assert summary.title == "Summary; 3 of one value are in no median or worst"
    for row in summary.rows:
        assert row[1] == str(len(reported.tensors) - 3)


def test_reasons_without_room_are_counted():
    x = normal(8, 8, dtype=np.float64)
    tensors = {f"words {i}": np.zeros(2, f"i{1 << i % 4}") for i in range(8)}
    tensors |= {"half": np.where(x > 0, x, np.nan), "one": np.ones(3), "zero": np.zeros(3), "x": x}
    tensors |= {"empty": np.zeros(0), "huge": x * 1e60, "unsigned": np.zeros(2, np.uint8)}
    found = cf.report(tensors)
    (line,) = (one for one in found.to_screen().splitlines() if one.startswith("left out"))
    assert len(line) <= 100
    assert "..." not in line
    counts = [int(part.split()[0]) for part in line.removeprefix("left out: ").split("; ")]
    assert line.endswith("for other reasons")
    assert sum(counts) == sum(map(len, found.conclusion.left_out.values())) == 14
    # other schemes are not measured on it, and stand beside what is
    assert ["huge"] in found.conclusion.left_out.values()
    assert ["huge"] not in cf.report({"huge": x * 1e20, "x": x}).conclusion.left_out.values()


def test_what_is_exact_with_ieee_is_said_in_words():
    values = cf.CFloat8_1_4_3.replace(subnormals="ieee").values().astype(np.float32)
    tensors = {"grid": values, "x": normal(30, 30)}
    result = cf.report(tensors, [cf.CFloat8_1_4_3])
    grid = next(row for row in result.rows if row.tensor == "grid")
    assert grid.denormals.gain_db == math.inf
    cost = result.conclusion.denormals
    assert type(cost) is cf.DenormalCost
    assert cost.exact_with_ieee == 1
    assert math.isfinite(cost.best_db)
    for text in (result.to_table(), result.to_screen()):
        assert "inf" not in text
        assert "exact" in text
    assert "1 tensor exact with ieee" in result.to_screen()
    best = next(row for row in result.denormal_rows() if row[1] == "best")
    assert best[4] == "1"


def test_integers_are_counted(reported):
    found = reported.conclusion.integers
    assert type(found) is cf.IntegerCount
    levels = {}
    for each in reported.comparisons:
        if each.scheme.startswith(("INT8", "E4M3", "E5M2")) and each.scheme.endswith("tensor"):
            levels.setdefault(each.tensor, {})[each.scheme] = each.sqnr_db
    for each in reported.granularity:
        if each.granularity == "tensor" and each.format.startswith("CFloat8"):
            levels[each.tensor][each.format] = each.sqnr_db
    constant = {each.name for each in reported.tensors if each.is_constant}
    wins = [
        one.pop(found.scheme) > max(one.values())
        for name, one in levels.items()
        if name not in constant
    ]
    assert (found.tensors, found.wins) == (len(wins), sum(wins))
    assert 0 < found.wins < found.tensors
    assert f"on {found.wins} of {found.tensors} tensors" in " ".join(reported.to_screen().split())


def test_patterns_leave_tensors_as_they_are(model, tmp_path):
    result = cf.report(model, exclude=["*norm*", "embed*"])
    found = result.conclusion
    names = ["embed.weight", "layers.0.norm.bias", "layers.0.norm.weight"]
    assert found.left_out["excluded"] == names
    assert "embed.weight" not in {each.name for each in result.tensors}
    written = run_printed(found.commands[0], tmp_path)
    assert tensor_bytes(written) == found.recommended.nbytes
    kept = load(written)
    assert all(np.array_equal(kept[name], MODEL[name]) for name in names)
    made = cf.plan(model, exclude=["*norm*", "embed*"])
    assert found.plan.nbytes == made.nbytes
    assert found.plan.weighted_db == pytest.approx(made.weighted_db, abs=1e-3)
    zeros = {each.name for each in result.model.tensors if each.is_zero}
    assert zeros == {name for name in names if not MODEL[name].any()} != set()
    assert [each.name for each in cf.report(MODEL, include=["conv*"]).tensors] == ["conv.weight"]
    for given in (model, MODEL):
        with pytest.raises(cf.ArgumentValueError, match="no tensor has a name like 'nothing'"):
            cf.report(given, include=["nothing"])


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_every_kind_of_file_is_concluded(kind, tmp_path):
    path = FILE_KINDS[kind].write(tmp_path)
    found = cf.report(path, ["CFloat8_1_4_3", "CFloat16_SHP"]).conclusion
    assert found.model.paths == [str(path)]
    assert type(found.model) is cf.ModelSummary
    changed = [each for each in found.configurations if each.command]
    for number, each in enumerate(changed[:2]):
        folder = tmp_path / f"run {number}"
        folder.mkdir()
        written = run_printed(each.command, folder)
        assert tensor_bytes(written) == each.nbytes
    # a narrow float without a scale is no value of a model
    assert changed or kind == "nothing"


def test_codes_are_decoded_first(tmp_path):
    x = normal(40, 40)
    cf.save(tmp_path / "wide.safetensors", {"w": cf.asarray(x, "CFloat16_SHP", "mse"), "b": x[0]})
    found = cf.report(tmp_path / "wide.safetensors").conclusion
    assert found.model.nbytes == 2 * 1600 + 4 * 40
    assert found.recommended.format == "CFloat8_1_4_3"
    assert found.commands[0].count("cfloat convert") == 2
    assert "--to float32" in found.commands[0]
    written = run_printed(found.commands[0], tmp_path)
    assert tensor_bytes(written) == found.recommended.nbytes
    before = load(tmp_path / "wide.safetensors")
    errors = errors_of({name: np.asarray(before[name]) for name in before}, written)
    assert found.recommended.weighted_db == pytest.approx(db_of(errors.values()), abs=1e-3)
    # what is in 8 bits already gets no smaller
    cf.save(tmp_path / "narrow.safetensors", {"w": cf.asarray(x, "CFloat8_1_4_3", "mse")})
    result = cf.report(tmp_path / "narrow.safetensors")
    assert result.conclusion.recommended is result.conclusion.plan is None
    assert "no configuration takes fewer bytes" in result.to_screen()


def test_several_files_are_one_model(tmp_path):
    from cfloat._files.stored_values import JoinedValues

    folder = tmp_path / "other"
    folder.mkdir()
    save_file({"w": normal(30, 30)}, tmp_path / "a.safetensors")
    save_file({"w": normal(50, 30)}, folder / "a.safetensors")
    np.savez(tmp_path / "b.npz", w=normal(20, 20), n=np.arange(3))
    result = cf.report(
        JoinedValues([tmp_path / "a.safetensors", tmp_path / "b.npz", folder / "a.safetensors"])
    )
    found = result.conclusion
    assert found.model.nbytes == 4 * 900 + 4 * 400 + 24 + 4 * 1500
    assert found.plan is None
    (text,) = found.commands
    run_printed(text, tmp_path)
    written = [tmp_path / f"{name}-CFloat8_1_4_3.safetensors" for name in "ab"]
    written.append(tmp_path / "a-CFloat8_1_4_3-2.safetensors")
    assert sum(map(tensor_bytes, written)) == found.recommended.nbytes
    assert " and 2 other files: 4 tensors" in result.to_screen()


def test_tied_tensors_are_one(tmp_path):
    torch = pytest.importorskip("torch")
    w = torch.from_numpy(normal(30, 30))
    torch.save({"a": w, "b": w, "c": w[:3].clone()}, tmp_path / "x.pt")
    result = cf.report(tmp_path / "x.pt")
    found = result.conclusion
    assert [each.name for each in result.tensors] == ["a", "c"]
    assert found.left_out["tied to a"] == ["b"]
    assert found.model.nbytes == 4 * 900 + 4 * 90
    written = run_printed(found.commands[0], tmp_path)
    assert tensor_bytes(written) == found.recommended.nbytes
    # beside a configuration each name has a copy of its own
    (tmp_path / "config.json").write_text("{}")
    found = cf.report(tmp_path / "x.pt").conclusion
    assert found.model.nbytes == 8 * 900 + 4 * 90


def test_a_file_that_is_not_converted_says_why(tmp_path):
    import zipfile

    np.savez(tmp_path / "x.npz", w=normal(30, 30))
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("bad.npy", b"\x93NUMPY")
    result = cf.report(tmp_path / "x.npz")
    found = result.conclusion
    assert "bad" in found.refusal
    assert not found.commands
    assert found.recommended.nbytes == 900
    assert "cfloat convert refuses it" in result.to_screen()


def test_infinities_are_measured_without_and_left_by_plans(tmp_path):
    x = normal(30, 30)
    x[0, :2] = np.inf, np.nan
    save_file(
        {"w": x, "v": normal(30, 30), "none": np.full(5, np.nan, np.float32)},
        tmp_path / "x.safetensors",
    )
    found = cf.report(tmp_path / "x.safetensors").conclusion
    assert found.left_out["infinities or NaN, which are in no error"] == ["w"]
    assert found.left_out["no finite element"] == ["none"]
    written = run_printed(found.commands[0], tmp_path)
    assert tensor_bytes(written) == found.recommended.nbytes
    assert found.plan.nbytes == cf.plan(tmp_path / "x.safetensors").nbytes


def test_arrays_have_no_file_to_name():
    found = cf.report({"w": normal(30, 30), "n": np.arange(3)}).conclusion
    assert not found.is_sample
    assert found.model.paths == []
    assert found.commands[0].startswith("cfloat convert MODEL OUT --format CFloat8_1_4_3")
    assert (found.model.nbytes, found.recommended.nbytes) == (4 * 900 + 24, 900 + 24)


def test_float64_beyond_float32_is_measured():
    x = normal(8, 64, dtype=np.float64)
    far = cf.report({"x": x * 1e200, "near": x}).conclusion
    by_name = {(each.format, each.granularity): each for each in far.configurations}
    assert by_name["CFloat8_1_4_3", "tensor"].worst_db == pytest.approx(0, abs=1e-6)
    near = cf.report({"x": x}).granularity
    for each in near:
        if each.format == "CFloat8_1_4_3" and each.granularity != "tensor":
            how = (
                {"axis": 0}
                if each.granularity == "channel"
                else {"block": int(each.granularity[6:])}
            )
            q = np.asarray(cf.asarray(x, "CFloat8_1_4_3", "mse", **how), np.float64)
            level = 10 * math.log10(np.square(x).sum() / np.square(q - x).sum())
            assert each.sqnr_db == pytest.approx(level, abs=1e-6)


def test_other_formats_alone_recommend_nothing():
    result = cf.report({"w": normal(9, 9)}, ["float16", "CFloat16_UHP"])
    assert result.conclusion.recommended is None
    assert "none of CFloat8_1_4_3" in result.to_screen()
    ieee = cf.CFloat8_1_4_3.replace(subnormals="ieee")
    found = cf.report({"w": normal(9, 9)}, [ieee]).conclusion
    assert found.commands[0].endswith("--subnormals ieee")


def test_content_has_it_all(reported):
    content = json.loads(reported.to_json())["conclusion"]
    assert set(content) == {
        "model", "bound_db", "recommended", "cheaper", "better", "plan", "configurations", "schemes",
        "denormals", "integers", "curve", "commands", "left_out", "refusal", "notes",
    }  # fmt: skip
    assert set(content["model"]) == {"paths", "tensors", "parameters", "nbytes", "dtypes"}
    assert set(content["recommended"]) == {
        "format", "granularity", "nbytes", "nbytes_before", "weighted_db", "energy_db", "median_db",
        "worst_db", "worst", "over_3db", "command",
    }  # fmt: skip
    assert set(content["plan"]) == {"nbytes", "weighted_db", "worst_db", "worst", "command"}
    for each in content["schemes"]:
        assert set(each) == {
            "scheme", "nbytes", "bits_per_element", "weighted_db", "worst_db", "worst",
        }  # fmt: skip
    assert {type(each) for each in reported.conclusion.schemes} == {cf.SchemeCost}
    assert type(reported.model) is cf.StoredModel
    assert {type(each) for each in reported.model.tensors} == {cf.StoredTensor}
    tensors = json.loads(reported.to_json())["tensors"]
    kinds = {each["name"]: each["kind"] for each in tensors}
    assert kinds["conv.weight"] == "convolution"
    signal = {each["name"]: each["signal"] for each in tensors}
    wide = np.float64(MODEL["half.weight"])
    assert signal["half.weight"] == pytest.approx(np.square(wide).sum())


def test_a_screen_is_a_screen(tmp_path):
    many = {
        f"model.layers.{i}.a_rather_long_name_of_a_module.with.parts.weight": normal(4, 40)
        for i in range(99)
    }
    many["step\x1b[2J"] = np.arange(3)
    path = tmp_path / ("long" * 20 + ".safetensors")
    save_file(many, path)
    text = cf.report(path).to_screen()
    assert len(text.splitlines()) <= 40
    assert "\x1b" not in text
    for line in text.splitlines():
        assert len(line) <= 100 or path.stem in line
    listed = cf.report(path).to_screen(top=50, sort="name")
    assert listed.count("_module.") + listed.count("parts.weight") >= 50
    with pytest.raises(cf.ArgumentValueError, match="sort is 'size!'; it takes one of sqnr, loss"):
        cf.report(MODEL).to_screen(sort="size!")
    with pytest.raises(cf.ArgumentValueError, match="top is -1"):
        cf.report(MODEL).tables(top=-1)


def test_tables_of_some_tensors(reported):
    titles = [title for title, _, _ in reported.tables(top=2, sort="size")]
    assert [title.split()[0] for title in titles[:3]] == [
        "layers.0.up.weight",
        "embed.weight",
        "Summary;",
    ]
    assert reported.to_table(top=0).count("float32 ") == 0
    worst = [title.split()[0] for title, _, _ in reported.tables(top=1, sort="sqnr")]
    assert worst[0] == reported.conclusion.recommended.worst


def test_texts():
    assert shortened("a" * 30, 10) == "aaa...aaaa"
    words = ["x" * 60, "y.safetensors", "--format", "CFloat8_1_4_3", "--bias", "mse"]
    lines = broken(["cfloat", "convert", *words])
    assert [line.endswith("\\") for line in lines] == [True, False]
    joined = " ".join(line.rstrip("\\") for line in lines)
    assert shlex.split(joined)[-4:] == ["--format", "CFloat8_1_4_3", "--bias", "mse"]


KINDS = [
    ("model.layers.0.self_attn.q_proj.weight", (64, 64), "linear"),
    ("encoder.kernel", (3, 3, 8, 16), "convolution"),
    ("features.0.0.weight", (32, 3, 3, 3), "convolution"),
    ("embeddings.word_embeddings.weight", (100, 8), "embedding"),
    ("transformer.wte.weight", (100, 8), "embedding"),
    ("shared.weight", (100, 8), "embedding"),
    ("mlp.shared_expert.weight", (100, 8), "linear"),
    ("_blocks.0._bn1.running_var", (8,), "norm or bias"),
    ("layers.0.norm.weight", (8,), "norm or bias"),
    ("fc.bias", (8,), "norm or bias"),
    ("conv2.activation", (16, 8, 5, 5), "other"),
    ("logits", (16, 10), "other"),
]


@pytest.mark.parametrize(("name", "shape", "kind"), KINDS)
def test_kinds_by_name(name, shape, kind):
    assert kind_by_name(name, shape) == kind


def test_kinds_by_the_models_class(tmp_path, monkeypatch):
    tensors = {
        "experts.0.up": ("", "linear"),
        "pos": ("of Embedding, not of Linear", "embedding"),
        "patch": ("of Conv2d, not of Linear", "convolution"),
        "c_proj": ("of Conv1D, not of Linear", "linear"),
        "cls": ("of ViTEmbeddings, not of Linear", "other"),
        "q.weight": ("of Embedding, not of Linear", "linear"),  # its name said it
    }
    known = {
        name: Tensor("m" if not reason else None, reason) for name, (reason, _) in tensors.items()
    }
    asked = []

    def answer(configuration, shapes):
        asked.append(configuration["model_type"])
        return ModelClass("X", known, [], [], "", "")

    monkeypatch.setattr(layer_kinds, "model_class", answer)
    shapes = dict.fromkeys(tensors, (2, 3)) | {"unknown": (2, 3), "vector": (3,)}
    path = tmp_path / "model.safetensors"
    save_file({name: np.ones(shape, np.float32) for name, shape in shapes.items()}, path)
    assert set(layer_kinds.kinds_of(shapes, load(path)).values()) == {"other", "linear"}
    assert not asked  # there is no configuration
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    found = layer_kinds.kinds_of(shapes, load(path))
    assert asked == ["vit"]
    assert found == {name: kind for name, (_, kind) in tensors.items()} | {
        "unknown": "other", "vector": "other",
    }  # fmt: skip
    layer_kinds.kinds_of(["q.weight", "vector"], load(path))
    assert asked == ["vit"]  # names say it all


def test_what_is_stored_is_listed(model):
    stored = cf.StoredModel(exclude=["*norm*"])
    stored.add_checkpoint("model", load(model), "m:")
    assert stored.nbytes == sum(np.asarray(each).nbytes for each in MODEL.values())
    fates = {each.name: each.fate for each in stored.tensors}
    assert (fates["m:step"], fates["m:layers.0.norm.bias"]) == ("copied", "excluded")
    assert fates["m:conv.weight"] == "converted"
    stored.add_array("x", "float16", (910,), 1820)
    last = stored.tensors[-1]
    assert (last.size, last.nbytes, last.fate, last.path) == (910, 1820, "converted", "")


def test_what_may_be_a_conv1d_is_said(tmp_path):
    """A bias as long as a matrix's last axis, and not its first, is a reason to ask what class it is of."""
    signs = {"h.weight": normal(6, 40), "h.bias": normal(40)}
    save_file(signs, tmp_path / "conv1d.safetensors")
    save_file({"h.weight": normal(40, 6), "h.bias": normal(40)}, tmp_path / "linear.safetensors")
    stored, other = cf.StoredModel(), cf.StoredModel()
    stored.add_checkpoint("model", load(tmp_path / "conv1d.safetensors"))
    other.add_checkpoint("model", load(tmp_path / "linear.safetensors"))
    assert "Conv1D or not" in stored.notes[0]
    assert other.notes == []
    text = cf.report(tmp_path / "conv1d.safetensors").to_screen()
    assert "note: blocks run along the last axis of each matrix, Conv1D or not" in text
    assert "Conv1D or not" in cf.plan(tmp_path / "conv1d.safetensors").to_text()
    # which it does not say, and rows are taken for outputs
    assert not any(each.is_transposed for each in stored.tensors + other.tensors)


def test_a_plan_that_is_the_recommendation_is_said_to_be_that(tmp_path):
    even, uneven = normal(40, 64), normal(40, 64)
    uneven[0] *= 1e6
    assert "the same for all" in cf.report({"a": even, "b": even[::-1]}).to_screen()
    assert "each its own" in cf.report({"a": even, "b": uneven}, min_db=31.6).to_screen()
