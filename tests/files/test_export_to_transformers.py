"""Exports are loaded by the programs that they are for: transformers with compressed-tensors, on the CPU.

Models are tiny and random, made from configurations.  What transformers loads has no missing and no
unexpected tensor, the weights that `cf.load` gives, and the outputs of the original class with these weights.
"""

import inspect
import json
import warnings

import numpy as np
import pytest
from commands import main_refused
from fp8_files import load_file as load_fp8
from safetensors.numpy import load_file, save_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.fp8 import reachable
from cfloat._files.plan_file import read_plan

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("compressed_tensors")

from tiny_models import MODELS, UNREAD, made  # noqa: E402  they take both

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what other packages warn of is theirs
]

FMT = cf.CFloat8_1_4_3.replace(subnormals="ieee")
EXPORT = Plan(FMT, export=True)


def outputs_of(model):
    """What a model makes of some inputs."""
    inputs = {}
    signature = inspect.signature(type(model).forward).parameters
    ids = torch.arange(10).reshape(2, 5) * 5 + 3
    if "input_ids" in signature:
        inputs["input_ids"] = ids
    if "decoder_input_ids" in signature:
        inputs["decoder_input_ids"] = ids.flip(1)
    if "input_values" in signature:
        inputs["input_values"] = torch.sin(torch.arange(800.0)).reshape(2, 400)
    if "input_features" in signature:
        inputs["input_features"] = torch.linspace(-1, 1, 2 * 8 * 20).reshape(2, 8, 20)
    if "pixel_values" in signature and "image_grid_thw" not in signature:
        inputs["pixel_values"] = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    with torch.no_grad():
        made = model(**inputs)
    return [value for value in made.values() if isinstance(value, torch.Tensor)]


def loaded(kind, folder):
    """Load a model, of which nothing is missing and nothing is left over."""
    # version 4 takes float16 otherwise, if there are codes
    model, info = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (key, info[key])
    return model.eval()


def quantised_inputs(preset, modules):
    """Round what goes into layers as compressed-tensors does, by a scheme that it has by name."""
    from compressed_tensors.quantization import preset_name_to_scheme
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp

    args = preset_name_to_scheme(preset, ["Linear"]).input_activations
    if preset == "FP8_BLOCK":
        args.group_size = COLUMNS

    def rounded(module, inputs):
        scale, zero = compute_dynamic_scales_and_zp(inputs[0], args, module)
        return (fake_quantize(inputs[0], scale, zero, args), *inputs[1:])

    for module in modules:
        module.register_forward_pre_hook(rounded)


def check(kind, source, out, tmp_path, preset=None):
    """Compare what transformers makes of an export with the original class with `cf.load`'s weights in it.

    Sums are of the same float32 numbers in the same order: 1e-5 is for what a library may change in it.  With
    `preset`, the original's inputs are rounded by compressed-tensors' own function, and so are the same, too.
    """
    exported = loaded(kind, out)
    found = outputs_of(exported)  # compressed-tensors decompresses now
    tmp_path.mkdir(exist_ok=True)
    reference = tmp_path / "reference"
    convert(out, reference, Plan(to="float32"))
    tensors = cf.load(out)
    again = {name: np.asarray(tensors[name]) for name in tensors}
    save_file(again, reference / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    assert json.loads((reference / "config.json").read_text()) == config
    original = loaded(kind, reference)
    weights = dict(exported.named_parameters())
    for name, parameter in original.named_parameters():
        assert torch.equal(parameter, weights[name].to(parameter.dtype)), name
    if preset is not None:
        names = [n for n, m in exported.named_modules() if hasattr(m, "quantization_scheme")]
        plain = outputs_of(original)
        quantised_inputs(preset, [original.get_submodule(name) for name in names])
    wanted = outputs_of(original)
    if preset is not None:
        assert any(
            (one - other).abs().max() > 1e-4 for one, other in zip(plain, wanted, strict=True)
        )
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


COLUMNS = 16

VERSION4 = transformers.__version__.startswith("4.")

#: How scales lie; blocks are no divisors of all sizes, which compressed-tensors takes from 0.13 on.
LAYOUTS = {
    "tensor": {},
    "channel": {"axis": 0},
    "block": {"block": (16, 16) if VERSION4 else (12, 20)},
}

# no layer of the one is linear there; the other does not run with as short a configuration
NOT_IN_VERSION4 = ("mamba2", "qwen2 vl")
NOT_IN_WHOLE_BLOCKS = ("deepseek v3", "electra", "albert", "wav2vec2", "hubert", "swin")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", MODELS)
def test_transformers_loads_an_export(tmp_path, name, layout):
    if VERSION4 and (
        name in NOT_IN_VERSION4 or (layout == "block" and name in NOT_IN_WHOLE_BLOCKS)
    ):
        pytest.skip("not in version 4, or its compressed-tensors takes whole blocks")
    source, out = tmp_path / "in", tmp_path / "out"
    model = made(name, source)
    summary = convert(source, out, Plan(FMT, export=True, **LAYOUTS[layout]))
    if not VERSION4:  # whose classes have other layers, and configurations not always their names
        assert type(model).__name__ in summary.exported_by
        assert len(summary.converted) == MODELS[name][-1 if layout == "block" else 2]
    assert summary.converted
    check(type(model), source, out, tmp_path)


@pytest.mark.parametrize(
    ("name", "preset"),
    [(n, "FP8_DYNAMIC") for n in ("llama", "qwen3", "bert", "t5", "vit", "mixtral", "clip")]
    + [(n, "FP8_BLOCK") for n in ("llama tied", "phi", "roberta")],
)
def test_inputs_are_quantised_as_compressed_tensors_does(tmp_path, name, preset):
    source, out = tmp_path / "in", tmp_path / "out"
    model = made(name, source)
    block = (16, COLUMNS) if preset == "FP8_BLOCK" else None
    summary = convert(source, out, Plan(FMT, export=True, dynamic=True, block=block))
    assert len(summary.converted) > 2
    check(type(model), source, out, tmp_path, preset)


@pytest.mark.parametrize(
    ("name", "how", "strategy"),
    [
        ("llama", {"min_db": 34}, "tensor"),
        ("llama tied", {"worst_db": 31.6}, None),
        ("bert", {"size": 0.75}, None),
        ("llama", {"min_db": 34}, "channel"),
        ("llama", {"min_db": 34}, "block 16x16"),
        pytest.param("mixtral", {"size": 0.55}, None,
            marks=pytest.mark.skipif(VERSION4, reason="experts stay in version 4")),
    ],
)  # fmt: skip
def test_transformers_loads_what_a_plan_exports(tmp_path, name, how, strategy):
    """Some layers stay; bytes and errors of the file are the plan's.  Another strategy is written by hand."""
    source, out = tmp_path / "in", tmp_path / "out"
    model = made(name, source)
    plan = cf.plan(source, export="fp8", **how)
    text = plan.to_toml()
    if strategy is not None:
        granularity = {"channel": "axis 0"}.get(strategy, strategy)
        text = text.replace('granularity = "tensor"', f'granularity = "{granularity}"')
        text = text.replace('strategy = "tensor"', f'strategy = "{strategy}"')
    (tmp_path / "plan.toml").write_text(text)
    summary = convert(source, out, Plan(tensors=read_plan(tmp_path / "plan.toml")))
    exported = {each.name for each in plan.tensors if each.format != "unchanged"}
    assert set(summary.converted) == exported
    linear = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    assert "experts" in str(exported) or 0 < len(exported) < len(linear)
    if strategy in (None, plan.strategy):
        original, tensors = cf.load(source), cf.load(out)
        assert sum(map(tensors.stored_nbytes, tensors)) == plan.nbytes
        for each in plan.tensors:
            assert tensors.stored_nbytes(each.name) == each.nbytes
            x = np.asarray(original[each.name], "f8")
            error = np.square(np.asarray(tensors[each.name], "f8") - x).sum() / np.square(x).sum()
            level = -10 * np.log10(error) if error else np.inf
            assert each.db == pytest.approx(level, abs=1e-6), each.name
    check(type(model), source, out, tmp_path)


@pytest.mark.skipif(VERSION4, reason="version 4 has experts one by one, and they stay")
def test_a_plan_keeps_experts_together(tmp_path):
    """One of them, that is not to be rounded, leaves all of its module; and an edited plan is refused."""
    source, out = tmp_path / "in", tmp_path / "out"
    made("mixtral", source)
    tensors = dict(load_file(source / "model.safetensors"))
    first = min(name for name in tensors if ".0.block_sparse_moe.experts." in name or
                ".layers.0.mlp.experts." in name)  # fmt: skip
    module = first.partition(".experts.")[0]
    tensors[first] = tensors[first].copy()
    tensors[first][0, 0] = np.nan
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    plan = cf.plan(source, export="fp8", min_db=20)
    found = {each.name: each for each in plan.tensors if ".experts." in each.name}
    for name, each in found.items():
        assert (each.format == "unchanged") == name.startswith(module + ".")
        if name == first:
            assert each.reason == "has infinities or NaN"
        elif each.format == "unchanged":
            assert each.reason == f"read together with {first}, which stays"
    convert(source, out, Plan(tensors=read_plan(written(tmp_path, plan.to_toml()))))
    loaded(transformers.MixtralForCausalLM, out)
    other = max(name for name, each in found.items() if each.format != "unchanged")
    line = next(line for line in plan.to_toml().splitlines() if line.startswith(f'"{other}"'))
    text = plan.to_toml().replace(line, f'"{other}" = {{ format = "unchanged" }}')
    with pytest.raises(cf.FileError, match=r"plan.toml:\d+: .*unchanged: read together with"):
        convert(source, tmp_path / "no", Plan(tensors=read_plan(written(tmp_path, text))))


def written(folder, text):
    (folder / "plan.toml").write_text(text)
    return folder / "plan.toml"


def test_what_is_left_and_why(tmp_path):
    for name, tensor, reason in (
        ("llama", "lm_head.weight", "a head"),
        ("llama", "model.embed_tokens.weight", "of Embedding, not of Linear"),
        ("t5", "encoder.block.0.layer.1.DenseReluDense.wo.weight", "used by itself"),
        ("t5", "shared.weight", "of Embedding"),
        ("clip", "vision_model.embeddings.patch_embedding.weight", "of Conv2d"),
        ("mamba", "backbone.layers.0.mixer.dt_proj.weight", "used by itself"),
    ):
        source = tmp_path / name
        if not source.exists():
            made(name, source)
        summary = convert(source, tmp_path / f"{name} out", EXPORT)
        assert summary.in_float[tensor].startswith(reason)
    for name, part in (("mixtral", "experts"), ("mixtral", "gate"), ("llama tied", "lm_head")):
        made(name, tmp_path / "in", max_shard_size="20kB")
        out = tmp_path / f"{name} {part}"
        summary = convert(tmp_path / "in", out, EXPORT)
        is_left = part != "experts" or VERSION4
        assert is_left != any(part in converted for converted in summary.converted)
        said = json.loads((out / "config.json").read_text())["quantization_config"]
        assert is_left == any(part in ignored for ignored in said["ignore"])
        for path in (tmp_path / "in").iterdir():
            path.unlink()


@pytest.mark.skipif(VERSION4, reason="version 4 has experts one by one, and loads these")
@pytest.mark.parametrize("name", UNREAD)
def test_what_transformers_does_not_load_is_said(tmp_path, capsys, name):
    """By itself it is whole: another reader may have a place for it."""
    source, out = tmp_path / "in", tmp_path / "out"
    model = made(name, source)
    capsys.readouterr()  # it shows how far it is
    summary = convert(source, out, EXPORT)
    said = f"does not load a quantized {type(model).__name__}"
    assert [note for note in summary.notes if said in note]
    assert said in summary.to_text()
    with pytest.raises((ValueError, NotImplementedError)):
        type(model).from_pretrained(out)


@pytest.mark.skipif(VERSION4, reason="version 4 has experts one by one, and loads these")
def test_experts_stay_together(tmp_path):
    """Of experts that are loaded as one tensor all are exported, or none."""
    source = tmp_path / "in"
    for name in ("mixtral", "deepseek v3"):
        model = made(name, source)
        plain = convert(source, tmp_path / f"{name} plain", EXPORT)
        experts = [each for each in plain.converted if ".experts." in each]
        assert [note for note in plain.notes if "versions before it may take the codes" in note]
        some = experts[0].split(".experts.")[0] + ".experts."
        for number, how in enumerate(
            ({"exclude": (experts[0],)}, {"ignore": (experts[1].removesuffix(".weight"),)})
        ):
            out = tmp_path / f"{name} {number}"
            summary = convert(source, out, Plan(FMT, export=True, **how))
            staying = {each for each in experts if each.startswith(some)}
            assert set(plain.converted) - set(summary.converted) == staying
            reasons = {summary.in_float[each].partition(" with")[0] for each in staying}
            assert reasons == {"read together", "excluded" if number == 0 else "ignored"}
            said = json.loads((out / "config.json").read_text())["quantization_config"]["ignore"]
            assert {each.removesuffix(".weight") for each in staying} <= set(said)
            check(type(model), source, out, tmp_path / f"{name} {number} back")
        for path in source.iterdir():
            path.unlink()


def test_a_class_without_linear_layers(tmp_path, capsys):
    """GPT-2's Conv1D has its weight the other way round, and no reader has a scale for it."""
    config = transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "in")
    capsys.readouterr()  # it shows how far it is
    how = ("--export", "fp8", "--format", "CFloat8_1_4_3")
    for include in ((), ("--include", "*c_attn*"), ("--include", "*wte*")):
        text = main_refused(capsys, "convert", tmp_path / "in", tmp_path / "out", *how, *include)
        assert "nothing to export" in text
    assert not (tmp_path / "out").exists()


def test_a_head_is_exported_if_it_is_named(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    model = made("llama", source)
    plan = Plan(FMT, export=True, include=("*.weight",), ignore=("*.q_proj",))
    summary = convert(source, out, plan)
    assert "lm_head.weight" in summary.converted
    assert summary.in_float["model.layers.0.self_attn.q_proj.weight"] == "ignored"
    check(type(model), source, out, tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_type": "unheard-of"}, "no model of type 'unheard-of'"),
        ({"architectures": ["os.system"]}, "no class 'os.system'"),
        ({"architectures": ["AutoConfig"]}, "no class 'AutoConfig'"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"hidden_size": "x"}, "cannot be built"),
        ({"architectures": ["BertModel"], "model_type": "bert"}, "has no tensors of these names"),
    ],
)
def test_a_class_that_cannot_be_asked(tmp_path, change, reason):
    """Then names that are certain are exported, and the reason is said; nothing of a folder is run."""
    source = tmp_path / "in"
    made("llama", source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | change))
    summary = convert(source, tmp_path / "out", EXPORT)
    assert reason in summary.exported_by
    assert "by names that are certain alone" in summary.exported_by
    assert len(summary.converted) == 14


def test_a_configuration_that_names_no_class(tmp_path):
    """A part may name it; the class of the model inside is no guess for a model with a head."""
    source = tmp_path / "in"
    made("llama", source)
    path = source / "config.json"
    config = json.loads(path.read_text())
    named = config.pop("architectures")
    path.write_text(json.dumps(config | {"inner": {"architectures": named}}))
    summary = convert(source, tmp_path / "part", EXPORT)
    assert summary.exported_by.startswith("by LlamaForCausalLM of")
    for inner in ({}, {"inner": {"architectures": ["BertModel"]}}):
        path.write_text(json.dumps(config | inner))
        out = tmp_path / f"none {len(inner)}"
        summary = convert(source, out, EXPORT)
        assert "names no architecture, and LlamaModel has no lm_head.weight" in summary.exported_by
        if not inner:
            check(transformers.LlamaForCausalLM, source, out, out / "check")


def same_as_floats(kind, out, tmp_path):
    """Compare what a class makes of an export with what it makes of floating point from it."""
    convert(out, tmp_path / "floats", Plan(to="float32"))
    one, other = (
        outputs_of(kind.from_pretrained(folder, dtype=torch.float32).eval())
        for folder in (out, tmp_path / "floats")
    )
    for found, wanted in zip(one, other, strict=True):
        assert torch.isfinite(found).all()
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "exclude", "reader"),
    [
        ("mamba", (), "MambaModel"),
        ("jamba", (), "JambaModel"),
        ("llama", ("*layers.0.mlp*",), "LlamaModel"),
    ],
)
def test_another_class_reads_an_export(tmp_path, name, exclude, reader):
    made(name, tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out", Plan(FMT, export=True, axis=0, exclude=exclude))
    same_as_floats(getattr(transformers, reader), tmp_path / "out", tmp_path)


@pytest.mark.parametrize("name", ["roberta", "electra", "whisper", "mpnet", "llama tied"])
def test_a_file_by_itself_whose_head_is_tied(tmp_path, name):
    """What its note says to add makes a model that is read rightly."""
    model = made(name, tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "in" / "model.safetensors").rename(tmp_path / "model.safetensors")
    convert(tmp_path / "model.safetensors", out / "model.safetensors", EXPORT)
    config = json.loads((tmp_path / "in" / "config.json").read_text())
    said = json.loads((out / "quantization_config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
    same_as_floats(type(model), out, tmp_path)


@pytest.mark.skipif(VERSION4, reason="version 4 does not load a model whose names lack a prefix")
def test_a_part_is_converted_back(tmp_path):
    """Also where the names in the file are not those of the modules."""
    from safetensors.numpy import load_file

    for name, prefix in (("llama", "model."), ("bert classes", "bert.")):
        source = tmp_path / name
        model = made(name, source)
        tensors = load_file(source / "model.safetensors")
        shorter = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
        assert shorter.keys() != tensors.keys()
        save_file(shorter, source / "model.safetensors", metadata={"format": "pt"})
        out, part = tmp_path / f"{name} out", tmp_path / f"{name} part"
        convert(source, out, EXPORT)
        summary = convert(out, part, Plan(to="float32", include=("*layer*.0.*",)))
        assert 0 < len(summary.converted) < len(summary.copied)
        (tmp_path / f"{name} back").mkdir()
        same_as_floats(type(model), part, tmp_path / f"{name} back")


@pytest.mark.skipif(VERSION4, reason="version 4 has experts one by one, and they stay")
def test_experts_are_not_converted_back_apart(tmp_path):
    for name, some in (("mixtral", "*experts.1.*"), ("deepseek v3", "*layers.1.mlp.experts.0.up*")):
        out, back = tmp_path / f"{name} out", tmp_path / f"{name} back"
        made(name, tmp_path / name)
        convert(tmp_path / name, out, EXPORT)
        with pytest.raises(cf.FileError, match="readers merge the experts of a layer"):
            convert(out, back, Plan(to="float32", include=(some,)))
        assert not back.exists()
        summary = convert(out, back, Plan(to="float32", include=("*experts*",)))
        assert summary.converted
        plan = Plan(FMT, export=True, ignore=("model.layers.*.mlp.experts",))
        summary = convert(tmp_path / name, tmp_path / f"{name} ignored", plan)
        assert not [each for each in summary.converted if ".experts." in each]
        assert "ignored" in summary.in_float.values()


def test_small_weights_of_a_float16_model(tmp_path):
    """Readers round scales to the model's dtype: those of float16 are at least 2**-24."""
    source, out = tmp_path / "in", tmp_path / "out"
    model = made("llama", source)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(1e-7)
        model.model.layers[1].mlp.up_proj.weight[3].mul_(1e-6)
    model.half().save_pretrained(source)
    convert(source, out, Plan(FMT, export=True, axis=0))
    exported = type(model).from_pretrained(out, dtype=torch.float16).eval()
    exported(torch.arange(4)[None])
    tensors = cf.load(out)
    for name in (name for name in tensors if tensors.is_encoded(name)):
        parameter = exported.get_parameter(name)
        found = parameter.detach().float().numpy()
        np.testing.assert_array_equal(
            found, np.asarray(tensors[name], np.float32).astype(np.float16)
        )
    assert np.abs(np.asarray(tensors["model.layers.0.mlp.up_proj.weight"])).max() > 0
    with pytest.raises(cf.ArgumentValueError, match="bias"):
        convert(source, tmp_path / "other", Plan(FMT, export=True, bias=40))


def test_code_of_a_folder_is_not_run(tmp_path):
    source = tmp_path / "in"
    made("llama", source)
    config = json.loads((source / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
    (source / "config.json").write_text(json.dumps(config | {"attn_implementation": "a/b"}))
    (source / "evil.py").write_text("raise SystemExit('run')")
    summary = convert(source, tmp_path / "out", EXPORT)
    assert "LlamaForCausalLM" in summary.exported_by


def moments_of(model):
    """The moments of a tiny model's inputs, from a few batches of tokens."""
    import cfloat.torch

    torch.manual_seed(1)
    return cfloat.torch.sensitivity(
        model, [{"input_ids": torch.randint(0, 64, (8, 16))} for _ in range(4)]
    )


@pytest.mark.parametrize("layout", [*LAYOUTS, "dynamic"])
@pytest.mark.parametrize("name", ["bert", "llama tied"])
def test_transformers_loads_an_export_by_moments(tmp_path, name, layout):
    """Scales are those without moments; and no code is one that the reader does not have."""
    source, out, plain = (tmp_path / each for each in ("in", "out", "plain"))
    model = made(name, source)
    moments = moments_of(model).moments
    how = LAYOUTS.get(layout, {"dynamic": True})
    convert(source, plain, Plan(export=True, bias="mse", **how))
    summary = convert(source, out, Plan(export=True, bias="mse", **how), moments=moments)
    assert set(summary.compensated) == set(summary.converted)
    assert (summary.recoded, summary.changed) == (0, 0)
    assert min(summary.gains_db) > 0
    stored, nearest = load_fp8(out / "model.safetensors"), load_fp8(plain / "model.safetensors")
    for each in summary.converted:
        assert stored[each].dtype == nearest[each].dtype
        np.testing.assert_array_equal(stored[each + "_scale"], nearest[each + "_scale"])
        assert (stored[each].view(np.uint8) != nearest[each].view(np.uint8)).any()
        w = model.get_parameter(each).detach().numpy()
        if layout == "tensor":
            bias = 7 - int(np.log2(stored[each + "_scale"].item()))
            q, stats = cf.round_compensated(w, reachable(FMT), moments[each][0], bias)
            assert summary.compensated[each].db == stats.sqnr_db
            np.testing.assert_array_equal(cf.load(out)[each], q)
    if layout == "dynamic":
        check(type(model), source, out, tmp_path, "FP8_DYNAMIC")
    else:
        check(type(model), source, out, tmp_path)


def test_what_moments_make_of_conv1d(tmp_path):
    """GPT-2's matrices are inputs by outputs: their moments are along the first axis."""
    source, out, plain, back = (tmp_path / each for each in ("in", "out", "plain", "back"))
    config = transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4)
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(source)
    moments = moments_of(model).moments
    plan = Plan(cf.CFloat8_1_4_3, bias="mse", block=8, axis="reduction")
    convert(source, plain, plan)
    summary = convert(source, out, plan, moments=moments)
    names = [n for n, _ in model.named_parameters() if ".c_" in n and n.endswith(".weight")]
    assert set(summary.compensated) == set(names)
    assert len(names) == 8
    assert "an embedding and a matrix of products" in summary.to_nearest.values()
    tensors, nearest = cf.load(out), cf.load(plain)
    for name in names:
        (moment,) = moments[name]
        assert moment.axis == 0
        w = model.get_parameter(name).detach().numpy()
        q, _ = cf.round_compensated(w, cf.CFloat8_1_4_3, moment, "mse", block=8, axis=0)
        np.testing.assert_array_equal(tensors[name].codes, q.codes)
        np.testing.assert_array_equal(tensors[name].bias, nearest[name].bias)
        # by the outputs themselves, written out
        losses = [
            np.einsum("io,ij,jo->", e, moment.values, e)
            for e in (np.asarray(x[name], "f8") - w for x in (tensors, nearest))
        ]
        assert losses[0] < losses[1]
    convert(out, back, Plan(to="float32"))
    again = dict(loaded(type(model), back).named_parameters())
    for name in names:
        np.testing.assert_array_equal(again[name].detach().numpy(), tensors[name])


@pytest.mark.parametrize("name", ["llama tied", "gpt-neox", "t5", "vit", "mixtral"])
def test_models_of_codes_are_loaded_from_their_folders(tmp_path, name):
    """What `save_pretrained` writes of a model of codes, `load_pretrained` makes again, in each version."""
    import cfloat.torch

    model = made(name, tmp_path / "plain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is left alone
        cfloat.torch.quantize(
            model, weight=FMT, activation=FMT, attention=FMT, granularity="block 8 along 0"
        )
    outputs_of(model.train())  # by which biases are learnt
    model = cfloat.torch.to_inference(model)
    model.save_pretrained(tmp_path / "codes")
    other = cfloat.torch.load_pretrained(type(model), tmp_path / "codes")
    for mine, own in zip(outputs_of(other), outputs_of(model), strict=True):
        assert torch.equal(mine, own)
    assert {type(layer).__name__ for layer in other.modules()} >= {"CFloatLinear"}
    with pytest.raises(ValueError, match="quant_method"):
        type(model).from_pretrained(tmp_path / "codes")
