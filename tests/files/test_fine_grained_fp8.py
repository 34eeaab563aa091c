"""Checkpoints as DeepSeek stores its models, read as transformers itself dequantizes them.

Sides are multiples of 128: for others transformers takes blocks of equal parts, which DeepSeek's kernels, and
this package, do not.
"""

import json

import numpy as np
import pytest

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5")
pytest.importorskip("accelerate")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what other packages warn of is theirs
]

LLAMA = {
    "vocab_size": 64, "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 384, "num_key_value_heads": 4,
}  # fmt: skip
DEEPSEEK = LLAMA | {
    "moe_intermediate_size": 128, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2,
    "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 128, "kv_lora_rank": 128,
    "qk_rope_head_dim": 128,
}  # fmt: skip


def is_quantized(name, tensor):
    left = ("embed_tokens.weight", "lm_head.weight", "mlp.gate.weight")
    return tensor.ndim == 2 and not name.endswith(left)


def quantized(weight):
    """Give E4M3 codes, and for each 128 x 128 of them what they are to be multiplied with."""
    rows, columns = weight.shape
    blocks = weight.reshape(rows // 128, 128, columns // 128, 128)
    scale = blocks.abs().amax((1, 3)) / 448
    codes = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
    return codes.reshape(rows, columns), scale


@pytest.mark.parametrize(
    ("kind", "config"), [("LlamaForCausalLM", LLAMA), ("DeepseekV3ForCausalLM", DEEPSEEK)]
)
def test_transformers_dequantizes_the_same(tmp_path, kind, config):
    from safetensors.torch import load_file, save_file

    kind = getattr(transformers, kind)
    torch.manual_seed(0)
    folder = tmp_path / "fp8"
    kind(kind.config_class(**config)).save_pretrained(folder)
    tensors = {}
    count = 0
    for name, tensor in load_file(folder / "model.safetensors").items():
        tensors[name] = tensor
        if is_quantized(name, tensor):
            tensors[name], tensors[name + "_scale_inv"] = quantized(tensor)
            count += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    said = json.loads((folder / "config.json").read_text())
    fine = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    (folder / "config.json").write_text(json.dumps(said | {"quantization_config": fine}))
    theirs = kind.from_pretrained(
        folder,
        dtype=torch.float32,
        quantization_config=transformers.FineGrainedFP8Config(dequantize=True),
    ).eval()

    loaded = cf.load(folder)
    assert sum(map(loaded.is_encoded, loaded)) == count
    summary = convert(folder, tmp_path / "float", Plan(to="float32"))
    assert len(summary.converted) == count
    ours = kind.from_pretrained(tmp_path / "float", dtype=torch.float32).eval()
    weights = dict(theirs.named_parameters())
    assert dict(ours.named_parameters()).keys() == weights.keys()
    for name, parameter in ours.named_parameters():
        assert torch.equal(parameter, weights[name]), name
        if name in loaded:
            np.testing.assert_array_equal(np.asarray(loaded[name]), parameter.detach().numpy())
    ids = torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)
