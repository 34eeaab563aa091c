"""Plans as files: what is written is read, what does not fit is refused by line, and conversions."""

import tomllib

import numpy as np
import pytest
from checkpoint_files import shard
from commands import cfloat, main_refused, names_in, refused, succeeded
from hypothesis import given
from hypothesis import strategies as st
from refusals import refuse
from safetensors.numpy import load_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.plan_file import (
    PlanEntry,
    TensorChoice,
    plan_text,
    read_plan,
    toml_string,
)

RNG = np.random.default_rng(3)
TENSORS = {
    "m": RNG.standard_normal((6, 70)).astype("f4"),
    "v": RNG.standard_normal(5).astype("f4"),
    "s": np.array(2.5, "f4"),
    "n": np.arange(4),
}
PLAN = """# as people write it
version = 1
[tensors]
m = {format = "CFloat8_1_4_3", granularity = "block 32"}
"v" = { format = "CFloat16_SHP", granularity = "tensor", db = 70.0, bytes = 10 }

[tensors.s]
format = "unchanged"
"""


@pytest.fixture
def folder(tmp_path):
    cf.save(tmp_path / "x.safetensors", TENSORS)
    return tmp_path


def written(folder, text=PLAN):
    path = folder / "plan.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_people_write_is_read_and_carried_out(folder):
    said = read_plan(written(folder))
    assert said == {
        "m": TensorChoice(cf.CFloat8_1_4_3, None, 32),
        "v": TensorChoice(cf.CFloat16_SHP),
        "s": TensorChoice(None),
    }
    path = folder / "plan.toml"
    assert [each.where for each in said.values()] == [f"{path}:{n}" for n in (4, 5, 7)]
    succeeded(cfloat("convert", folder / "x.safetensors", folder / "y.safetensors", "--plan", path))
    made = cf.load(folder / "y.safetensors")
    bias = cf.choose_bias(TENSORS["m"], cf.CFloat8_1_4_3, "mse", block=32)
    expected = cf.asarray(TENSORS["m"], cf.CFloat8_1_4_3, bias, block=32)
    assert np.array_equal(made["m"].codes, expected.codes)
    assert np.array_equal(made["m"].bias, expected.bias)
    assert np.array_equal(made["v"].codes, cf.asarray(TENSORS["v"], cf.CFloat16_SHP, "mse").codes)
    stored = load_file(folder / "y.safetensors")
    assert stored["s"] == TENSORS["s"]
    assert np.array_equal(stored["n"], TENSORS["n"])


NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@given(st.lists(NAMES, unique=True, max_size=5))
def test_any_name_is_written_in_one_line_and_read_again(names):
    entries = [PlanEntry(name, "CFloat8_1_4_3", "axis 1", 31.0, 5) for name in names]
    text = plan_text(["A plan\nfor anything"], entries)
    assert list(tomllib.loads(text)["tensors"]) == names
    lines = text.split("\n")
    assert len(lines) == 6 + len(names)
    assert all(line.isprintable() for line in lines)


def test_names_with_lines_of_their_own_are_where_they_are(tmp_path):
    names = ["a", "a.b", "version", 'q"', "tensors", "# c", "\n", "π", "x = 1"]
    (tmp_path / "p").write_text(
        plan_text(["x"], [PlanEntry(name, "unchanged", "", 0.0, 1) for name in names])
    )
    found = read_plan(tmp_path / "p")
    assert list(found) == names
    for name in names:
        number = int(found[name].where.rpartition(":")[2])
        line = (tmp_path / "p").read_text().split("\n")[number - 1]
        assert line.startswith(f"{toml_string(name)} = ")


ENTRY = 'm = {format = "CFloat8_1_4_3", granularity = "block 32"}'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1\n", "", "version is missing; this cfloat reads version 1"),
        ("version = 1", "version = 2", "version is 2; this cfloat reads version 1"),
        ("version = 1", "version = true", "version is True"),
        ("version = 1", "version = 1\nsize = 2", "'size' is not known; a plan has version and tensors"),
        ("version = 1", "version = 1\nstrategy = 'tensor'", "plan.toml:3: strategy is of an export, and "
         "there is no export"),
        ("block 32", "block 4x4", "plan.toml:4: 'm': granularity is 'block 4x4'; it takes \"tensor\""),
        (ENTRY, "m = 3", "plan.toml:4: 'm' is 3; it takes a table"),
        ("CFloat8_1_4_3", "CFloat8", "plan.toml:4: 'm': format is 'CFloat8'; it takes unchanged or one of"),
        ('"CFloat8_1_4_3"', "8", "plan.toml:4: 'm': format is 8; it takes a string"),
        ("block 32", "block 0", "plan.toml:4: 'm': granularity is 'block 0'; it takes \"tensor\""),
        ("block 32", "block -1", "granularity is 'block -1'"),
        ("block 32", "axis 01", "granularity is 'axis 01'"),
        ("block 32", "block " + "9" * 30, "granularity is 'block 999"),
        ("block 32", "channel", "granularity is 'channel'"),
        (', granularity = "block 32"', "", "plan.toml:4: 'm': there is no granularity"),
        ('format = "CFloat16_SHP", ', "", "plan.toml:5: 'v': there is no format"),
        ("db = 70.0", "dB = 70.0", "plan.toml:5: 'v': 'dB' is not known; the keys are format"),
        ("db = 70.0", 'db = "70"', "plan.toml:5: 'v': db is '70'; it takes a number"),
        ("db = 70.0", "db = true", "db is True; it takes a number"),
        ("bytes = 10", "bytes = 1.5", "plan.toml:5: 'v': bytes is 1.5; it takes an integer"),
        ('"unchanged"', '"unchanged"\ngranularity = "tensor"', "plan.toml:7: 's': granularity is for codes"),
        ("[tensors]", "[tensors", "plan.toml: no TOML: "),
        ("as people", "as \x00people", "no TOML"),
        ("\n[tensors.s]", "\nm = {}\n[tensors.s]", "no TOML"),
    ],
)  # fmt: skip
def test_what_is_no_plan_is_refused(folder, old, new, message):
    assert PLAN.count(old) == 1 or old in ("[tensors]",)
    refuse(cf.FileError, message, read_plan, written(folder, PLAN.replace(old, new, 1)))


EXPORT = """version = 1
export = "fp8"
strategy = "channel"
[tensors]
"a.self_attn.q_proj.weight" = {format = "CFloat8_1_4_3", granularity = "axis 0", db = 30, bytes = 5}
"a.self_attn.k_proj.weight" = {format = "unchanged"}
embed = {format = "unchanged", bytes = 3}
"""
Q, K = "a.self_attn.q_proj.weight", "a.self_attn.k_proj.weight"
LAYERS = {
    Q: RNG.standard_normal((6, 70)).astype("f4"),
    K: RNG.standard_normal((6, 70)).astype("f4"),
    "embed": RNG.standard_normal((5, 3)).astype("f4"),
}


@pytest.mark.parametrize(
    ("strategy", "granularity", "how"),
    [("tensor", "tensor", {}), ("channel", "axis 0", {"axis": 0}),
     ("block 4x16", "block 4x16", {"block": (4, 16)})],
)  # fmt: skip
def test_a_plan_of_an_export_is_that_export(folder, strategy, granularity, how):
    """As it is written without a plan, byte for byte, of the layers that it names."""
    cf.save(folder / "x.safetensors", LAYERS)
    path = written(folder, EXPORT.replace("channel", strategy).replace("axis 0", granularity))
    said = read_plan(path)
    fmt = cf.CFloat8_1_4_3.replace(subnormals="ieee")
    assert said[Q] == TensorChoice(fmt, how.get("axis"), how.get("block"), is_exported=True)
    assert said["embed"] == said[K] == TensorChoice(None, is_exported=True)
    assert said[K].where == f"{path}:6"
    for name, plan in (
        ("y", Plan(tensors=said)),
        ("z", Plan(export=True, bias="mse", exclude=(K,), **how)),
    ):
        (folder / name).mkdir()
        convert(folder / "x.safetensors", folder / name / "m.safetensors", plan)
    for each in ("m.safetensors", "quantization_config.json"):
        assert (folder / "y" / each).read_bytes() == (folder / "z" / each).read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"fp8"', '"fp4"', "plan.toml:2: export is 'fp4'; it takes fp8"),
        ('"fp8"', "true", "plan.toml:2: export is True; it takes fp8"),
        ('export = "fp8"\n', "", "plan.toml:2: strategy is of an export, and there is no export"),
        ('strategy = "channel"\n', "", "plan.toml:2: strategy is missing; an export takes \"tensor\""),
        ('"channel"', '"row"', "plan.toml:3: strategy is 'row'; an export takes"),
        ('"channel"', '"block 0x4"', "plan.toml:3: strategy is 'block 0x4'; an export takes"),
        ('"channel"', "3", "plan.toml:3: strategy is 3; an export takes"),
        ('"channel"', '"tensor"', "plan.toml:5: 'a.self_attn.q_proj.weight': granularity is 'axis 0'; with "
         "the strategy tensor it is 'tensor' for all that an export changes"),
        ("axis 0", "block 32", "plan.toml:5: 'a.self_attn.q_proj.weight': granularity is 'block 32'; with "
         "the strategy channel it is 'axis 0'"),
        ("CFloat8_1_4_3", "CFloat16_SHP", "plan.toml:5: 'a.self_attn.q_proj.weight': format is "
         "'CFloat16_SHP'; an export takes unchanged or CFloat8_1_4_3"),
        (', granularity = "axis 0"', "", "plan.toml:5: 'a.self_attn.q_proj.weight': there is no granularity"),
    ],
)  # fmt: skip
def test_contradictions_of_an_export_are_refused(folder, old, new, message):
    assert EXPORT.count(old) == 1
    refuse(cf.FileError, message, read_plan, written(folder, EXPORT.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('embed = {format = "unchanged"', 'embed = {format = "CFloat8_1_4_3", granularity = "axis 0"',
         "plan.toml:7: 'embed': an export leaves it unchanged: not called and shaped as the weight"),
        ("k_proj", "v_proj", "plan.toml:6: 'a.self_attn.v_proj.weight': "),
        ("embed = ", "# ", "x.safetensors: the plan has no 'embed'"),
        ('{format = "CFloat8_1_4_3", granularity = "axis 0", db = 30, bytes = 5}', '{format = "unchanged"}',
         "x.safetensors: nothing to export: a.self_attn.k_proj.weight: left by the plan"),
    ],
)  # fmt: skip
def test_exports_that_do_not_fit_are_refused(folder, old, new, message):
    cf.save(folder / "x.safetensors", LAYERS)
    assert EXPORT.count(old) == 1
    path = written(folder, EXPORT.replace(old, new))
    before = names_in(folder)
    line = refused(
        cfloat("convert", folder / "x.safetensors", folder / "y.safetensors", "--plan", path)
    )
    assert message in line
    assert names_in(folder) == before


def test_choices_of_python_are_of_one_export(folder):
    cf.save(folder / "x.safetensors", LAYERS)
    fmt = cf.CFloat8_1_4_3.replace(subnormals="ieee")
    stays = TensorChoice(None, is_exported=True)
    for choices, message in (
        ({Q: TensorChoice(fmt, is_exported=True), "embed": TensorChoice(None)}, "others that are of none"),
        ({Q: TensorChoice(fmt, is_exported=True), K: TensorChoice(fmt, 0, is_exported=True)}, "lie alike"),
        ({Q: TensorChoice(cf.CFloat8_1_4_3, is_exported=True), K: stays}, "with ieee subnormals"),
        ({Q: TensorChoice(fmt, 1, is_exported=True), K: stays}, "their scales lie alike"),
        ({Q: TensorChoice(fmt, None, 32, is_exported=True), K: stays}, "their scales lie alike"),
    ):  # fmt: skip
        refuse(
            cf.ArgumentValueError,
            message,
            convert,
            folder / "x.safetensors",
            folder / "y.safetensors",
            Plan(tensors={"embed": stays, K: stays} | choices),
        )
    plan = Plan(
        tensors={Q: TensorChoice(fmt, is_exported=True)} | dict.fromkeys((K, "embed"), stays)
    )
    # what is checked once is right the second time, and what it says may be said
    assert plan.checked().checked() == plan.checked()
    assert Plan(tensors=plan.tensors, export=True).checked() == plan.checked()
    for wrong in ({"dynamic": True}, {"axis": 0}, {"ignore": ("x",)}, {"bias": "mse"}):
        refuse(cf.ArgumentValueError, "takes no format, bias, pattern",
               Plan(tensors=plan.tensors, **wrong).checked)  # fmt: skip


def test_files_that_are_no_plan_are_refused(folder):
    refuse(cf.FileError, "no TOML", read_plan, written(folder, b"\xff\xfe"))
    refuse(cf.FileError, "tensors is missing", read_plan, written(folder, "version = 1"))
    refuse(cf.FileError, "tensors is []", read_plan, written(folder, "version = 1\ntensors = []"))
    refuse(cf.FileError, "No such file", read_plan, folder / "no.toml")
    refuse(cf.FileError, "Is a directory", read_plan, folder)
    nested = "version = 1\ntensors = " + "[" * 100_000
    refuse(cf.FileError, "plan.toml: ", read_plan, written(folder, nested))
    refuse(cf.FileError, "at most", read_plan, written(folder, "#" * ((1 << 25) + 1)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("m = ", "w = ", "plan.toml:4: 'w': "),
        ('"v" = ', '"x" = ', "plan.toml:5: 'x': "),
        ("block 32", "axis 2", "plan.toml:4: 'm': granularity is 'axis 2'; a tensor of shape (6, 70) takes "
         "an axis from 0 to 1"),
        ('"tensor"', '"axis 0"', "plan.toml:5: 'v': granularity is 'axis 0'; a tensor of shape (5,) "
         "takes no axis"),
        ('"unchanged"', '"CFloat16_SHP"\ngranularity = "block 4"', "plan.toml:7: 's': granularity is "
         "'block 4'; a tensor of shape () takes no blocks"),
        ("CFloat16_SHP", "CFloat16_UHP", "plan.toml:5: 'v': it has negative elements; "
         "CFloat16_UHP has no sign"),
        (ENTRY, ENTRY + '\nn = {format = "CFloat8_1_4_3", granularity = "tensor"}', "plan.toml:5: 'n': it is "
         "int64, which stays unchanged"),
        (ENTRY, "", "x.safetensors: the plan has no 'm'"),
        (PLAN[PLAN.index("[tensors.s]"):], "", "the plan has no 's'"),
    ],
)  # fmt: skip
def test_plans_that_do_not_fit_are_refused(folder, old, new, message):
    assert PLAN.count(old) == 1
    path = written(folder, PLAN.replace(old, new, 1))
    before = names_in(folder)
    line = refused(
        cfloat("convert", folder / "x.safetensors", folder / "y.safetensors", "--plan", path)
    )
    assert message in line
    assert names_in(folder) == before


def test_an_unsigned_format_where_nothing_is_negative(folder):
    cf.save(folder / "x.safetensors", TENSORS | {"v": np.abs(TENSORS["v"])})
    path = written(folder, PLAN.replace("CFloat16_SHP", "CFloat16_UHP"))
    convert(folder / "x.safetensors", folder / "y.safetensors", Plan(tensors=read_plan(path)))
    assert cf.load(folder / "y.safetensors").format_of("v") == cf.CFloat16_UHP


def test_what_need_not_be_named_may_be(folder):
    """Tensors of integers, and of codes, as what they are."""
    path = written(folder, PLAN.replace(ENTRY, ENTRY + '\nn = {format = "unchanged"}'))
    convert(folder / "x.safetensors", folder / "y.safetensors", Plan(tensors=read_plan(path)))
    text = 'version = 1\n[tensors]\ns = {format = "unchanged"}\nm = {format = "unchanged"}\n'
    convert(
        folder / "y.safetensors",
        folder / "z.safetensors",
        Plan(tensors=read_plan(written(folder, text))),
    )
    made, again = cf.load(folder / "y.safetensors"), cf.load(folder / "z.safetensors")
    assert np.array_equal(made["m"].codes, again["m"].codes)
    text = text.replace(
        'm = {format = "unchanged"}', 'm = {format = "CFloat8_1_4_3", granularity = "tensor"}'
    )
    plan = Plan(tensors=read_plan(written(folder, text)))
    refuse(cf.FileError, "'m': it is CFloat8_1_4_3, which stays unchanged", convert,
           folder / "y.safetensors", folder / "z.safetensors", plan)  # fmt: skip


def test_rounding_is_as_it_is_said(folder):
    """Of all tensors that become codes, from one stream in the order of their names."""
    path = written(folder)
    succeeded(cfloat("convert", folder / "x.safetensors", folder / "y.safetensors", "--plan", path,
                     "--rounding", "stochastic", "--seed", "5"))  # fmt: skip
    made = cf.load(folder / "y.safetensors")
    offset = TENSORS["m"].size
    codes = cf.encode(
        TENSORS["v"], "CFloat16_SHP", made["v"].bias, rounding="stochastic", seed=5, offset=offset
    )
    assert np.array_equal(made["v"].codes, codes)
    down = Plan(tensors=read_plan(path), rounding="toward_zero")
    convert(folder / "x.safetensors", folder / "z.safetensors", down)
    assert np.all(
        np.abs(np.asarray(cf.load(folder / "z.safetensors")["v"])) <= np.abs(TENSORS["v"])
    )


@pytest.mark.parametrize(
    "option",
    ["--format=CFloat8_1_4_3", "--to=float32", "--axis=0", "--block=32", "--bias=max",
     "--bias=0", "--subnormals=ieee", "--include=m", "--exclude=m", "--ignore=m"],
)  # fmt: skip
def test_what_is_for_all_tensors_is_refused(folder, capsys, option):
    source, target = folder / "x.safetensors", folder / "y.safetensors"
    line = main_refused(capsys, "convert", source, target, "--plan", written(folder), option)
    assert f"{option.partition('=')[0]} is for all tensors; --plan says it of each" in line


def test_a_plan_of_python_is_checked_as_well(folder):
    source, target = folder / "x.safetensors", folder / "y.safetensors"
    choices = read_plan(written(folder))
    for wrong in ({"format": "CFloat8_1_4_3"}, {"axis": 0}, {"include": ("m",)}, {"export": True}):
        plan = Plan(tensors=choices, **wrong)
        refuse(
            cf.ArgumentValueError, "takes no format, bias, pattern", convert, source, target, plan
        )
    refuse(cf.ArgumentTypeError, "tensors is 3", convert, source, target, Plan(tensors=3))
    refuse(
        cf.ArgumentTypeError,
        "tensors['m'] is 'x'",
        convert,
        source,
        target,
        Plan(tensors={"m": "x"}),
    )
    refuse(cf.ArgumentValueError, "tensors is empty", convert, source, target, Plan(tensors={}))


def test_a_tied_name_is_refused(folder):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(TENSORS["m"])
    torch.save({"head": x, "embed": x}, folder / "x.pt")
    entry = '{format = "CFloat8_1_4_3", granularity = "axis 0"}'
    text = f"version = 1\n[tensors]\nembed = {entry}\n"
    convert(
        folder / "x.pt", folder / "y.safetensors", Plan(tensors=read_plan(written(folder, text)))
    )
    made = cf.load(folder / "y.safetensors")
    assert made["embed"].bias.shape == (6, 1)
    assert made.tied == {"head": "embed"}
    plan = Plan(tensors=read_plan(written(folder, text + f"head = {entry}\n")))
    refuse(cf.FileError, "plan.toml:4: 'head': it is tied to 'embed'", convert,
           folder / "x.pt", folder / "y.safetensors", plan)  # fmt: skip


def test_a_sharded_model_becomes_one(folder):
    path = shard(folder / "in", TENSORS)
    convert(path, folder / "out", Plan(tensors=read_plan(written(folder))))
    made = cf.load(folder / "out")
    assert made.format_of("m") == cf.CFloat8_1_4_3
    assert made.format_of("v") == cf.CFloat16_SHP
    assert made.format_of("s") is None
