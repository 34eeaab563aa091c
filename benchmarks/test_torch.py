"""Speed of PyTorch's operators and layers here, beside PyTorch's own in the same run.

``pytest benchmarks/test_torch.py`` prints a table a work; only ratios within one of them mean anything.  Each
result is checked before it is timed.  All run on one thread.
"""

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'cfloat[torch]'")
import cfloat.torch as ct  # noqa: E402

pytestmark = [
    pytest.mark.benchmark(max_time=0.5, min_rounds=3),
    pytest.mark.usefixtures("one_thread"),
]

SIZE = 1 << 22
E4, SHP = cf.CFloat8_1_4_3, cf.CFloat16_SHP


ROUNDINGS = {
    "clone": lambda x: x.clone(),
    "torch E4M3 and back": lambda x: x.to(torch.float8_e4m3fn).to(x.dtype),
    "torch float16 and back": lambda x: x.half().to(x.dtype),
    "CFloat8": lambda x: ct.round_to(x, E4, 12),
    "CFloat8, stochastic": lambda x: ct.round_to(x, E4, 12, rounding="stochastic", seed=1),
    "SHP": lambda x: ct.round_to(x, SHP, 20),
}


@pytest.mark.parametrize("name", ROUNDINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_round_to(benchmark, dtype, name):
    benchmark.group = f"rounding {SIZE} elements of {dtype}"
    x = torch.randn(SIZE).to(dtype)
    rounded = ROUNDINGS[name](x).float().numpy()
    if name == "CFloat8":
        np.testing.assert_array_equal(rounded[:1000], cf.round_to(x[:1000].float().numpy(), E4, 12))
    benchmark(ROUNDINGS[name], x)


LAYERS = {
    "torch float32": lambda layer: layer,
    "torch bfloat16": lambda layer: layer.bfloat16(),
    "CFloat8 weights": lambda layer: ct.CFloatLinear.from_linear(layer, E4, "max"),
    "CFloat8 weights and inputs": lambda layer: ct.CFloatLinear.from_linear(
        layer, E4, "max", activation=E4
    ),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rows", [1, 16, 1024])
def test_linear(benchmark, rows, name):
    """4096 inputs and outputs; of one row, reading the weights is what it costs."""
    benchmark.group = f"Linear(4096, 4096) of {rows} rows"
    layer = torch.nn.Linear(4096, 4096, bias=False).requires_grad_(False)
    x = torch.randn(rows, 4096)
    expected = layer(x)
    made = LAYERS[name](layer)
    if name == "torch bfloat16":
        x = x.bfloat16()
    with torch.no_grad():
        assert (made(x).float() - expected).norm() < 0.05 * expected.norm()
        benchmark(made, x)


CODES = torch.zeros(1000, dtype=torch.uint8)
WITH_GRADIENT = torch.zeros(1000, requires_grad=True)
SMALL = {
    "torch E4M3 and back": lambda x: x.to(torch.float8_e4m3fn).to(x.dtype),
    "encode": lambda x: ct.encode(x, E4),
    "decode": lambda x: ct.decode(CODES, E4),
    "round_to": lambda x: ct.round_to(x, E4),
    "round_to, with a gradient": lambda x: ct.round_to(WITH_GRADIENT, E4),
}


@pytest.mark.parametrize("name", SMALL)
def test_small(benchmark, name):
    benchmark.group = "operators on 1000 elements"
    benchmark(SMALL[name], torch.randn(1000))


STEPS = {
    "AdamW": {
        "torch": torch.optim.AdamW,
        "torch foreach": lambda params: torch.optim.AdamW(params, foreach=True),
        "torch fused": lambda params: torch.optim.AdamW(params, fused=True),
        "cfloat": ct.AdamW,
    },
    "SGD": {
        "torch": lambda params: torch.optim.SGD(params, momentum=0.9),
        "torch fused": lambda params: torch.optim.SGD(params, momentum=0.9, fused=True),
        "cfloat": lambda params: ct.SGD(params, momentum=0.9),
    },
}


@pytest.mark.parametrize(("of", "name"), [(of, name) for of in STEPS for name in STEPS[of]])
@pytest.mark.parametrize(("tensors", "size"), [(1, 1 << 20), (256, 64)])
def test_step(benchmark, of, name, tensors, size):
    benchmark.group = f"a step of {of} on {tensors} tensors of {size} parameters"
    parameters = [torch.nn.Parameter(torch.randn(size)) for _ in range(tensors)]
    for parameter in parameters:
        parameter.grad = torch.randn(size)
    benchmark(STEPS[of][name](parameters).step)
