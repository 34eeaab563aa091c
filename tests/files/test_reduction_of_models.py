"""Which matrices of a model are a Conv1D's, of (in, out): blocks along what is summed run along axis 0."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from tiny_models import GPT  # noqa: E402  it takes both

import cfloat as cf  # noqa: E402
from cfloat._files.conversion_plan import Plan  # noqa: E402
from cfloat._files.convert import convert  # noqa: E402

FMT = cf.CFloat8_1_4_3
PLAN = Plan(FMT, axis="reduction", block=16)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT))
    model.save_pretrained(tmp_path / "in")
    return model


def test_a_conv1d_has_blocks_along_its_inputs(model, tmp_path):
    summary = convert(tmp_path / "in", tmp_path / "out", PLAN)
    assert not any("Conv1D or not" in note for note in summary.notes)
    loaded = cf.load(tmp_path / "out")
    turned = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if type(module) is transformers.pytorch_utils.Conv1D
    }
    assert len(turned) == 8
    assert turned < set(loaded)
    for name, parameter in model.named_parameters():
        x = parameter.detach().numpy()
        axis = 0 if name in turned else -1
        expected = cf.asarray(x, FMT, "max", axis=axis, block=16)
        assert (loaded[name].axis, loaded[name].block) == (expected.axis, expected.block), name
        np.testing.assert_array_equal(loaded[name].codes, expected.codes)
        np.testing.assert_array_equal(loaded[name].bias, expected.bias)


def test_a_file_beside_its_configuration_is_of_the_same_class(model, tmp_path):
    summary = convert(tmp_path / "in" / "model.safetensors", tmp_path / "out.safetensors", PLAN)
    assert not any("Conv1D or not" in note for note in summary.notes)
    assert cf.load(tmp_path / "out.safetensors")["transformer.h.0.mlp.c_fc.weight"].axis == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (None, "there is no config.json"),
        ({"model_type": "unheard-of"}, "transformers has no model of type 'unheard-of'"),
    ],
)
def test_what_is_not_known_is_said(model, tmp_path, change, words):
    path = tmp_path / "in" / "config.json"
    said = json.loads(path.read_text())
    path.unlink()
    if change is not None:
        path.write_text(json.dumps(said | change))
    summary = convert(tmp_path / "in", tmp_path / "out", PLAN)
    (note,) = (note for note in summary.notes if "Conv1D or not" in note)
    assert note == f"blocks run along the last axis of each matrix, Conv1D or not: {words}"
    assert cf.load(tmp_path / "out")["transformer.h.0.mlp.c_fc.weight"].axis is None


def test_matrices_that_the_class_does_not_have_are_named(model, tmp_path):
    path = tmp_path / "in" / "model.safetensors"
    tensors = dict(cf.load(path)) | {"adapter.weight": np.ones((32, 4), np.float32)}
    cf.save(path, tensors)
    summary = convert(tmp_path / "in", tmp_path / "out", PLAN)
    (note,) = (note for note in summary.notes if "Conv1D or not" in note)
    assert note.startswith("blocks run along the last axis, Conv1D or not, of adapter.weight: ")
    loaded = cf.load(tmp_path / "out")
    assert loaded["adapter.weight"].axis is None
    assert loaded["transformer.h.1.mlp.c_proj.weight"].axis == 0
