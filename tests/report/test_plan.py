"""Plans: what is measured of each tensor, what is chosen, and that a conversion does just that."""

import base64
import itertools
import json
import math
import re
import shlex
import subprocess
import sys
import tomllib
import zlib

import numpy as np
import pytest
from commands import cfloat, main_refused, succeeded
from refusals import type_error, value_error
from safetensors import safe_open
from safetensors.numpy import load_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.plan_file import TensorChoice, read_plan
from cfloat._report.candidates import Measuring

RNG = np.random.default_rng(7)


def spread(shape, octaves, dtype="f4"):
    """Normal numbers, whose rows are of scales that differ."""
    x = RNG.standard_normal(shape)
    scales = np.exp2(RNG.uniform(-octaves, octaves, (*shape[:1], *[1] * (len(shape) - 1))))
    return (x * scales).astype(dtype)


#: Exact in CFloat8_1_4_3 at one bias a row, one below the largest at which nothing saturates: there the small
#: elements are subnormal, and at the largest in the hole.
HOLE = np.full((4, 64), 1.5 * 2.0**-5, "f4")
HOLE[:, 0] = 1.875 * 2.0**10
HOLE *= np.exp2(-3.0 * np.arange(4), dtype="f4")[:, np.newaxis]

TENSORS = {
    "embed": spread((40, 64), 0),
    "rows": spread((64, 256), 20),
    "conv": spread((8, 4, 3, 3), 2),
    "norm": 1 + spread((300,), 0) / 100,
    'odd "name"\n': spread((16, 130), 1),
    "wide": spread((16, 16), 3, "f8"),
    "half": spread((32, 32), 1, "f2"),
    "variance": np.abs(spread((64, 64), 12)),
    "scalar": np.array(0.3, "f4"),
    "hole": HOLE,
    "zero": np.zeros((7, 9), "f4"),
    "empty": np.zeros((0, 3), "f4"),
    "nan": np.array([1.0, np.nan, 2.0], "f4"),
    "ids": np.arange(12),
}
FLOATS = sorted(set(TENSORS) - {"ids"})
COUNTED = sorted(set(FLOATS) - {"zero", "empty", "nan"})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "x.safetensors"
    cf.save(path, TENSORS)
    return path


@pytest.fixture(scope="module")
def made(model):
    return cf.plan(model, min_db=40)


def lost(path, name):
    """The error of a converted tensor, as safetensors and `load` have it: a share of the signal."""
    x = TENSORS[name].astype("f8")
    return float(np.square(np.asarray(cf.load(path)[name], "f8") - x).sum() / np.square(x).sum())


def db(error):
    return -10 * math.log10(error) if error else math.inf


def data_bytes(path):
    with safe_open(path, "numpy") as file:
        return sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118


def check_carried_out(made, model, out, how):
    """The file's bytes and errors are the plan's, to the digit."""
    assert data_bytes(out) == made.nbytes
    assert made.nbytes_before == data_bytes(model)
    errors = {name: lost(out, name) for name in COUNTED}
    sizes = {name: TENSORS[name].size for name in FLOATS}
    weighted = sum(
        sizes[name] * errors.get(name, 0.0) for name in FLOATS if name not in ("zero", "empty")
    )
    counted = sum(sizes[name] for name in FLOATS if name not in ("zero", "empty"))
    assert made.weighted_db == pytest.approx(db(weighted / counted), abs=1e-6), how
    assert made.worst_db == pytest.approx(db(max(errors.values())), abs=1e-6)
    assert made.worst == (max(errors, key=errors.get) if any(errors.values()) else "")
    stored = load_file(out)
    for each in made.tensors:
        names = [name for name in (each.name, each.name + ".cfloat_bias") if name in stored]
        assert sum(stored[name].nbytes for name in names) == each.nbytes
        if each.name in errors:
            assert each.db == pytest.approx(db(errors[each.name]), abs=1e-6), each.name
        fmt = cf.load(out).format_of(each.name)
        assert each.format == ("unchanged" if fmt is None else fmt.name)
    assert np.array_equal(stored["ids"], TENSORS["ids"])
    assert np.array_equal(stored["nan"], TENSORS["nan"], equal_nan=True)


@pytest.mark.parametrize(
    "how",
    [
        {"min_db": 30},
        {"min_db": 40},
        {"worst_db": 32},
        {"min_db": 33, "worst_db": 31.5},
        {"size": 0.3},
        {"max_bytes": 50_000, "worst_db": 30},
        {"min_db": 30, "formats": "CFloat8_1_5_2"},
        {"min_db": 60, "formats": ["bfloat16", "CFloat8_1_4_3"]},
        {"size": 2},
    ],
    ids=str,
)
def test_a_conversion_has_the_plans_bytes_and_errors(model, tmp_path, how):
    made = cf.plan(model, **how)
    made.save(tmp_path / "plan.toml")
    out = tmp_path / "out.safetensors"
    convert(model, out, Plan(tensors=read_plan(tmp_path / "plan.toml")))
    check_carried_out(made, model, out, how)
    assert made.weighted_db >= how.get("min_db", -math.inf)
    assert made.worst_db >= how.get("worst_db", -math.inf)
    assert made.nbytes <= how.get("max_bytes", math.inf)
    assert made.nbytes <= how.get("size", math.inf) * made.nbytes_before


def test_a_bias_for_each_slice_where_it_is_worth_it(model, tmp_path):
    """And no squared error less is to be had: at its biases all of the tensor is exact."""
    made = cf.plan(model, worst_db=150, include=["hole"])
    (chosen,) = (each for each in made.tensors if each.name == "hole")
    assert (chosen.format, chosen.granularity) == ("CFloat8_1_4_3", "axis 0")
    assert (chosen.db, chosen.nbytes) == (math.inf, 4 * 64 + 4 * 2)
    made.save(tmp_path / "plan.toml")
    out = tmp_path / "out.safetensors"
    convert(model, out, Plan(tensors=read_plan(tmp_path / "plan.toml")))
    check_carried_out(made, model, out, "axis 0")


@pytest.mark.parametrize("name", [*COUNTED, "zero"])
def test_every_candidate_is_carried_out_as_measured(model, tmp_path, name):
    """Also those that no bound makes the best: a bias for each slice or block seldom is."""
    found = Measuring(cf.load(model), cf.TESLA_FORMATS).measure([name])[0].found
    assert found[0].choice == TensorChoice(None)
    assert len(found) > 1
    assert all(each.nbytes < TENSORS[name].nbytes for each in found[1:])
    granularities = {each.choice.granularity for each in found}
    if name in ("embed", "rows", "wide", 'odd "name"\n', "variance", "conv", "zero"):
        assert {"tensor", "axis 0"} <= granularities
    if name in ("rows", "norm", 'odd "name"\n'):
        assert {"tensor", "block 32", "block 128"} <= granularities
    others = {other: TensorChoice(None) for other in FLOATS}
    for each in found:
        out = tmp_path / "out.safetensors"
        convert(model, out, Plan(tensors=others | {name: each.choice}))
        assert data_bytes(out) == data_bytes(model) - TENSORS[name].nbytes + each.nbytes
        if name != "zero":
            assert each.error == pytest.approx(lost(out, name), rel=1e-9, abs=0)
        else:
            assert each.error == np.abs(np.asarray(cf.load(out)[name])).max() == 0


SMALL = {
    "a": spread((8, 64), 12),
    "b": spread((4, 160), 0),
    "c": np.abs(spread((5, 33), 15)),
}


def everything(small):
    """Every candidate by the public functions: bytes, and error as a share of the signal."""
    table = {}
    for name, x in small.items():
        signal = np.square(x, dtype="f8").sum()
        rows = [(x.nbytes, 0.0)]
        for fmt in cf.TESLA_FORMATS:
            if not fmt.signed and (x < 0).any():
                continue
            for layout in ({}, {"axis": 0}, {"block": 128}, {"block": 32}):
                bias = cf.choose_bias(x, fmt, "mse", **layout)
                a = cf.asarray(x, fmt, bias, **layout)
                error = np.square(np.asarray(a, "f8") - x).sum() / signal
                rows.append((a.codes.nbytes + 2 * np.size(bias) * bool(layout), float(error)))
        table[name] = rows
    return table


@pytest.mark.parametrize("exact", [False, True])
def test_the_optimum_is_that_of_all_choices(tmp_path, exact):
    """Beside each choice of each candidate there is, measured by other functions."""
    if exact:
        pytest.importorskip("scipy")
    cf.save(tmp_path / "x.safetensors", SMALL)
    table = everything(SMALL)
    total = sum(x.size for x in SMALL.values())
    choices = [
        (
            sum(nbytes for nbytes, _ in picks),
            sum(x.size * e for x, (_, e) in zip(SMALL.values(), picks, strict=True)) / total,
            max(e for _, e in picks),
        )
        for picks in itertools.product(*table.values())
    ]
    for bound in (25, 31, 32.5, 40, 73):
        made = cf.plan(tmp_path / "x.safetensors", min_db=bound, exact=exact)
        fewest = min(nbytes for nbytes, error, _ in choices if db(error) >= bound)
        assert made.nbytes - made.gap <= fewest <= made.nbytes
        assert made.gap_unit == "bytes"
        if exact:
            assert (made.nbytes, made.gap) == (fewest, 0)
    for bound in (25, 31, 32.5, 40, 73):
        made = cf.plan(tmp_path / "x.safetensors", worst_db=bound, exact=exact)
        fewest = min(nbytes for nbytes, _, worst in choices if db(worst) >= bound)
        assert (made.nbytes, made.gap) == (fewest, 0)
    for share in (0.26, 0.3, 0.4, 0.6, 1):
        made = cf.plan(tmp_path / "x.safetensors", size=share, exact=exact)
        most = share * made.nbytes_before
        least = db(min(error for nbytes, error, _ in choices if nbytes <= most))
        assert made.weighted_db <= least + 1e-9
        assert made.weighted_db + made.gap >= least - 1e-9 or least == math.inf
        assert made.gap_unit == "dB"
        if exact:
            assert made.weighted_db == pytest.approx(least, abs=1e-9)


def test_large_tensors_are_measured_in_pieces(tmp_path, monkeypatch):
    """With the figures that they have as a whole."""
    x = {"m": spread((37, 96), 9), "v": spread((3000,), 0), "w": spread((37, 96), 9, "f8")}
    cf.save(tmp_path / "x.safetensors", x)
    whole = cf.plan(tmp_path / "x.safetensors", min_db=35)
    monkeypatch.setattr("cfloat._report.tensor_values.PIECE_SIZE", 256)
    monkeypatch.setattr("cfloat._report.scan.FEW_ELEMENTS", 0)
    parts = cf.plan(tmp_path / "x.safetensors", min_db=35)
    for one, other in zip(whole.tensors, parts.tensors, strict=True):
        assert (one.format, one.granularity, one.nbytes) == (
            other.format,
            other.granularity,
            other.nbytes,
        )
        assert one.db == pytest.approx(other.db, abs=1e-9)
    assert [n for n, _ in whole.curve] == [n for n, _ in parts.curve]


def test_the_curve_is_of_plans(made, model):
    """From the fewest bytes to no error, and no plan is above it."""
    nbytes, levels = zip(*made.curve, strict=True)
    assert list(nbytes) == sorted(nbytes)
    assert list(levels) == sorted(levels)
    assert levels[-1] == math.inf
    assert len(nbytes) > 5
    for size, level in made.curve[::7]:
        if level < math.inf:
            again = cf.plan(model, min_db=level - 1e-9)
            assert again.nbytes <= size
            assert again.weighted_db == pytest.approx(level, abs=1e-6) or again.nbytes < size


def test_what_may_not_change_stays(model):
    made = cf.plan(model, min_db=30, exclude=["r*"], include=["[re]*", "norm"])
    found = {each.name: each for each in made.tensors}
    assert [name for name in found if found[name].format != "unchanged"] == ["embed", "norm"]
    assert found["rows"].reason == "excluded"
    assert found["rows"].db == math.inf
    assert found["rows"].nbytes == found["rows"].nbytes_before == TENSORS["rows"].nbytes
    assert cf.plan(model, exclude="*".split()).nbytes == made.nbytes_before


def test_what_is_all_zero_counts_for_nothing_where_it_stays(tmp_path):
    """In the weighted ratio: also where only the last element says that a tensor is none of these."""
    late = np.zeros(3000, "f4")
    late[-1] = 1
    for other, counts in ((np.zeros(3000, "f4"), False), (late, True)):
        cf.save(tmp_path / "x.safetensors", {"w": TENSORS["embed"], "b": other})
        made = cf.plan(tmp_path / "x.safetensors", min_db=20, exclude=["b"])
        (b, w) = made.tensors
        assert (b.format, b.db) == ("unchanged", math.inf)
        share = w.shape[0] * w.shape[1] / (w.shape[0] * w.shape[1] + 3000 * counts)
        assert made.weighted_db == pytest.approx(w.db - 10 * math.log10(share), abs=1e-9)


def test_reasons_and_tensors_without_error(made):
    found = {each.name: each for each in made.tensors}
    assert list(found) == FLOATS
    assert found["nan"].reason == "has infinities or NaN"
    # all zero: the fewest bytes, exactly
    assert (found["zero"].format, found["zero"].nbytes, found["zero"].db) == (
        "CFloat8_1_4_3",
        63,
        math.inf,
    )
    assert found["empty"].nbytes == 0
    assert {found["variance"].dtype, found["wide"].dtype} == {"float32", "float64"}
    assert found["conv"].shape == (8, 4, 3, 3)


def test_unsigned_where_nothing_is_negative(tmp_path):
    x = np.exp2(RNG.uniform(-30, 3, (64, 64))).astype("f4")
    cf.save(tmp_path / "x.safetensors", {"v": x, "w": -x})
    made = cf.plan(tmp_path / "x.safetensors", worst_db=60, formats="CFloat16_UHP")
    assert [each.format for each in made.tensors] == ["CFloat16_UHP", "unchanged"]


def test_in_figures(made):
    assert made.bound == "weighted >= 40 dB"
    assert made.nbytes == sum(each.nbytes for each in made.tensors) + TENSORS["ids"].nbytes
    assert made.worst in COUNTED
    assert str(made) == made.to_text()
    said = json.loads(made.to_json())
    assert said["nbytes"] == made.nbytes
    assert said["gap_unit"] == made.gap_unit == "bytes"
    assert said["gap"] == made.gap
    assert said["source"] == made.source
    assert said["tensors"][0]["reason"] == made.tensors[0].reason
    assert said["curve"][-1] == [made.curve[-1][0], None]
    assert isinstance(made, cf.CompressionPlan)
    assert isinstance(made.tensors[0], cf.PlannedTensor)
    assert made.tensors[0].dtype == "float32"


def test_the_screen(made):
    text = made.to_text("my plan.toml")
    lines = text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100 + len(made.source)
    assert f"{made.nbytes_before:,} -> {made.nbytes:,}" in text
    assert f"{made.weighted_db:.2f} dB" in text
    (chosen,) = [line for line in lines if line.startswith(">")]
    assert f"{made.nbytes:,}" in chosen
    assert lines[-1] == f"cfloat convert {made.source} OUT --plan 'my plan.toml'"


def test_the_file_is_toml(made):
    said = tomllib.loads(made.to_toml())["tensors"]
    assert list(said) == FLOATS
    for each in made.tensors:
        assert said[each.name]["bytes"] == each.nbytes
        if each.format != "unchanged":
            assert said[each.name]["db"] == pytest.approx(each.db, abs=0.005)


def test_a_checkpoint_is_taken(model, made):
    steps = []
    again = cf.plan(
        cf.load(model), min_db=40, progress=lambda done, total: steps.append((done, total))
    )
    assert again == made
    assert steps[-1][0] == steps[-1][1] == sum(TENSORS[name].size for name in FLOATS)


def test_tensors_that_are_tied_count_as_they_are_stored(tmp_path):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(spread((64, 64), 0))
    torch.save({"head": x, "embed": x, "own": x[:3] + 1}, tmp_path / "x.pt")
    assert cf.load(tmp_path / "x.pt").tied_names() == {"head": "embed"}
    for copies in (1, 2):
        if copies == 2:
            (tmp_path / "config.json").write_text("{}")
        made = cf.plan(tmp_path / "x.pt", min_db=30)
        assert [each.name for each in made.tensors] == ["embed", "own"]
        made.save(tmp_path / "plan.toml")
        out = tmp_path / f"out{copies}.safetensors"
        convert(tmp_path / "x.pt", out, Plan(tensors=read_plan(tmp_path / "plan.toml")))
        assert made.nbytes == data_bytes(out) == copies * 64 * 64 + 3 * 64
        assert made.nbytes_before == 4 * made.nbytes
        assert cf.load(out).format_of("embed") == cf.CFloat8_1_4_3


def test_codes_stay_codes(tmp_path):
    a = cf.asarray(TENSORS["rows"], cf.CFloat8_1_4_3, "mse", block=32)
    cf.save(tmp_path / "x.safetensors", {"codes": a, "w": TENSORS["embed"]})
    made = cf.plan(tmp_path / "x.safetensors")
    assert [each.name for each in made.tensors] == ["w"]
    assert made.nbytes_before == data_bytes(tmp_path / "x.safetensors")
    made.save(tmp_path / "plan.toml")
    out = tmp_path / "out.safetensors"
    convert(tmp_path / "x.safetensors", out, Plan(tensors=read_plan(tmp_path / "plan.toml")))
    assert data_bytes(out) == made.nbytes
    assert np.array_equal(np.asarray(cf.load(out)["codes"]), np.asarray(a))


# What is refused


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"min_db": math.nan}, "min_db is nan; it takes a finite number"),
        ({"worst_db": math.inf}, "worst_db is inf; it takes a finite number"),
        ({"size": 0}, "size is 0.0; it takes a number above 0"),
        ({"size": -1.0}, "size is -1.0; it takes a number above 0"),
        ({"max_bytes": -1}, "max_bytes is -1; it takes an integer from 0 on"),
        ({"size": 1, "max_bytes": 1}, "size and max_bytes are both given"),
        ({"size": 1, "min_db": 30}, "min_db and size are both given"),
        ({"max_bytes": 1, "min_db": 30}, "min_db and max_bytes are both given"),
        ({"formats": []}, "formats is empty"),
        ({"formats": "fp8"}, "formats is 'fp8'; the names are"),
        ({"formats": cf.CFloat8_1_4_3.replace(subnormals="ieee")}, "a plan's file names formats"),
        ({"include": ["x*"]}, "no tensor has a name like 'x*'"),
    ],
)
def test_values_that_are_refused(model, how, message):
    value_error(message, cf.plan, model, **how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"min_db": "30"}, "min_db is '30'; it takes a number"),
        ({"size": True}, "size is True; it takes a number"),
        ({"max_bytes": 1.5}, "max_bytes is 1.5; it takes an integer"),
        ({"formats": 3}, "formats is 3"),
        ({"formats": [3]}, "formats is 3"),
    ],
)
def test_types_that_are_refused(model, how, message):
    type_error(message, cf.plan, model, **how)


def test_what_is_no_model_is_refused(tmp_path):
    type_error("model is {}; it takes a path", cf.plan, {})
    cf.save(tmp_path / "x.safetensors", {"ids": np.arange(3)})
    with pytest.raises(cf.FileError, match="no floating-point tensor"):
        cf.plan(tmp_path / "x.safetensors")


@pytest.mark.parametrize("bound", [{}, {"worst_db": 60}])
def test_bytes_that_are_too_few_are_refused_with_the_fewest(model, bound):
    with pytest.raises(
        cf.ArgumentValueError, match=r"size is 0\.1, which is \d+ bytes; the least"
    ) as caught:
        cf.plan(model, size=0.1, **bound)
    text = str(caught.value)
    fewest = int(text.rpartition(" is ")[2].split()[0])
    share = float(text.rpartition(" ")[2].removesuffix("x"))
    assert cf.plan(model, max_bytes=fewest, **bound).nbytes == fewest
    assert cf.plan(model, size=share, **bound).nbytes >= fewest
    value_error(
        f"max_bytes is {fewest - 1}; the least", cf.plan, model, max_bytes=fewest - 1, **bound
    )


# The command


def test_the_command(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = succeeded(
        cfloat("plan", model, "--size", "0.3x", "--worst-db", "25", "--out", "plan.toml")
    )
    made = cf.plan(model, size=0.3, worst_db=25)
    assert text == made.to_text("plan.toml") + "\n"
    assert (tmp_path / "plan.toml").read_text() == made.to_toml()
    said = succeeded(cfloat("convert", model, "out.safetensors", "--plan", "plan.toml", "--json"))
    assert len(json.loads(said)["converted"]) == sum(
        each.format != "unchanged" for each in made.tensors
    )
    check_carried_out(made, model, tmp_path / "out.safetensors", "command")
    said = json.loads(succeeded(cfloat("plan", model, "--bytes", "60000", "--formats",
        "CFloat8_1_4_3,bfloat16", "--exclude", "w*", "--json")))  # fmt: skip
    assert said["bound"] == "at most 60000 bytes"
    assert {each["format"] for each in said["tensors"]} <= {
        "CFloat8_1_4_3",
        "bfloat16",
        "unchanged",
    }
    assert "weighted >= 30 dB" in succeeded(cfloat("plan", model, "--include", "rows"))


def test_the_page(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    succeeded(cfloat("plan", model, "--out", "own.toml", "--html", "plan.html"))
    made = cf.plan(model)
    page = (tmp_path / "plan.html").read_text()
    assert page == made.to_html("own.toml")
    packed = re.search('id="content">([^<]*)<', page)[1]
    (content,) = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert content["nbytes"] == made.nbytes
    assert content["tensors"]["count"] == len(made.tensors)
    assert content["curve"] == json.loads(made.to_json())["curve"]
    # the command carries it out
    words = shlex.split(content["command"])
    assert words == ["cfloat", "convert", str(model), "OUT", "--plan", "own.toml"]
    succeeded(cfloat(*words[1:3], "out.safetensors", *words[4:]))
    assert (
        "--plan plan.toml"
        in json.loads(
            zlib.decompress(base64.b64decode(re.search('id="content">([^<]*)<', made.to_html())[1]))
        )[0]["command"]
    )


def test_what_the_command_refuses(model, tmp_path, capsys):
    assert "--min-db: not allowed with" in main_refused(
        capsys, "plan", model, "--size", "1", "--min-db", "3"
    )
    assert "'a' is no share, as 0.3x" in main_refused(capsys, "plan", model, "--size", "a")
    assert "would overwrite" in main_refused(capsys, "plan", model, "--out", model)
    assert "would overwrite" in main_refused(capsys, "plan", model, "--html", model)
    both = tmp_path / "both"
    assert "named for two outputs" in main_refused(
        capsys, "plan", model, "--out", both, "--html", both
    )
    assert not both.exists()
    assert "No such file" in main_refused(
        capsys, "plan", model, "--out", tmp_path / "no" / "x.toml"
    )
    assert "the least is" in main_refused(capsys, "plan", model, "--size", "0.01x")
    assert "formats is 'x'" in main_refused(capsys, "plan", model, "--formats", "x")


def test_the_solvers_own_words_are_not_printed(tmp_path):
    """What it prints, in whatever state, is not in the JSON."""
    pytest.importorskip("scipy")
    rng = np.random.default_rng(2)
    sizes = [(64, 24), (24, 24), (96,), (96, 24)]
    tensors = {
        f"t{i}": (rng.standard_normal(sizes[i % 4]) ** (1 + i % 3)).astype("f4") for i in range(60)
    }
    cf.save(tmp_path / "x.safetensors", tensors)
    program = (
        "import ctypes, sys\n"
        "import scipy.optimize as o\n"
        "real = o.milp\n"
        "def milp(*a, **k):\n"
        "    ctypes.CDLL(None).puts(b'words')\n"
        "    return real(*a, **k)\n"
        "o.milp = milp\n"
        "from cfloat._cli.main import main\n"
        "sys.exit(main())\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, "plan", tmp_path / "x.safetensors", "--min-db", "40",
         "--exact", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(run.stdout)["gap"] == 0
    assert run.stderr == ""
