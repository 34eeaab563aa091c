"""Exports are loaded by the programs that they are for: transformers with compressed-tensors, on the CPU.

Models are tiny and random, made from configurations.  What transformers loads has no missing and no
unexpected tensor, the weights that `cf.load` gives, and the outputs of the original class with these weights.
"""

import inspect
import json

import numpy as np
import pytest
from commands import main_refused
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("compressed_tensors")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what other packages warn of is theirs
]

FMT = cf.CFloat8_1_4_3.replace(subnormals="ieee")
EXPORT = Plan(FMT, export=True)
FEW = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = FEW | {"intermediate_size": 48, "num_key_value_heads": 2}
MOE = LLAMA | {"moe_intermediate_size": 48, "num_experts": 4, "num_experts_per_tok": 2}
BERT = FEW | {"intermediate_size": 48}
T5 = {
    "vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
    "decoder_start_token_id": 0,
}  # fmt: skip
VISION = {"image_size": 8, "patch_size": 4, "num_channels": 3}
IMAGES = BERT | VISION
CLIP = {
    "text_config": BERT | {"eos_token_id": 2},
    "vision_config": {k: v for k, v in IMAGES.items() if k != "vocab_size"},
    "projection_dim": 16,
}

#: Class, what its configuration has, and what is exported of each layer: the rest is not.
MODELS = {
    "llama": ("LlamaForCausalLM", LLAMA, 7),
    "llama tied": ("LlamaForCausalLM", LLAMA | {"tie_word_embeddings": True}, 7),
    "qwen2": ("Qwen2ForCausalLM", LLAMA | {"tie_word_embeddings": True}, 7),
    "qwen3": ("Qwen3ForCausalLM", LLAMA | {"head_dim": 8}, 7),
    "gemma": ("GemmaForCausalLM", LLAMA | {"head_dim": 8}, 7),
    "phi": ("PhiForCausalLM", BERT, 6),
    "phi3": ("Phi3ForCausalLM", LLAMA | {"pad_token_id": 0}, 4),
    "opt": ("OPTForCausalLM", FEW | {"ffn_dim": 48, "word_embed_proj_dim": 32}, 6),
    "gpt-neox": ("GPTNeoXForCausalLM", BERT, 4),
    "bert": ("BertModel", BERT, 6),
    "bert masked": ("BertForMaskedLM", BERT, 6),
    "bert classes": ("BertForSequenceClassification", BERT, 6),
    "roberta": ("RobertaForMaskedLM", BERT, 6),
    "t5": ("T5ForConditionalGeneration", T5, None),
    "vit": ("ViTForImageClassification", IMAGES, 6),
    "clip": ("CLIPModel", CLIP, None),
    "mixtral": ("MixtralForCausalLM", LLAMA | {"num_local_experts": 4}, 4),
    "qwen3 moe": ("Qwen3MoeForCausalLM", MOE | {"head_dim": 8}, 4),
    "mamba": ("MambaForCausalLM", FEW | {"state_size": 4}, None),
}


def made(name, folder, **save):
    """Make a model's folder."""
    kind, config, _ = MODELS[name]
    kind = getattr(transformers, kind)
    torch.manual_seed(0)
    model = kind(kind.config_class(**config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
            if parameter.ndim == 2:  # so that rows and blocks have biases of their own
                rows, columns = (torch.linspace(-1.5, 1.5, n) for n in parameter.shape)
                parameter *= torch.exp2(rows[:, None] + columns)
    model.save_pretrained(folder, **save)
    return model


def outputs_of(model):
    """What a model makes of some inputs."""
    inputs = {}
    signature = inspect.signature(type(model).forward).parameters
    ids = torch.arange(10).reshape(2, 5) * 5 + 3
    if "input_ids" in signature:
        inputs["input_ids"] = ids
    if "decoder_input_ids" in signature:
        inputs["decoder_input_ids"] = ids.flip(1)
    if "pixel_values" in signature:
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

#: How scales lie; blocks are no divisors of all sizes.
LAYOUTS = {"tensor": {}, "channel": {"axis": 0}, "block": {"block": (12, 20)}}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", MODELS)
def test_transformers_loads_an_export(tmp_path, name, layout):
    source, out = tmp_path / "in", tmp_path / "out"
    model = made(name, source)
    summary = convert(source, out, Plan(FMT, export=True, **LAYOUTS[layout]))
    assert type(model).__name__ in summary.exported_by
    a_layer = MODELS[name][2]
    heads = 1 if name in ("bert", "roberta pooler", "bert classes") else 0  # the pooler
    if a_layer is not None:
        assert len(summary.converted) == 2 * a_layer + heads
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
        assert not any(part in converted for converted in summary.converted)
        said = json.loads((out / "config.json").read_text())["quantization_config"]
        assert any(part in ignored for ignored in said["ignore"])
        for path in (tmp_path / "in").iterdir():
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


def test_code_of_a_folder_is_not_run(tmp_path):
    source = tmp_path / "in"
    made("llama", source)
    config = json.loads((source / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
    (source / "config.json").write_text(json.dumps(config | {"attn_implementation": "a/b"}))
    (source / "evil.py").write_text("raise SystemExit('run')")
    summary = convert(source, tmp_path / "out", EXPORT)
    assert "LlamaForCausalLM" in summary.exported_by
