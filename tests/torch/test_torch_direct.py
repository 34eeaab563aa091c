"""The core at once, past PyTorch's dispatcher: the operators' bits, and only where nobody looks on."""

import copy
import importlib
import pickle

import numpy as np
import pytest
from isas import AVAILABLE

import cfloat as cf
from cfloat._core import isa as instruction_sets

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch.autograd import forward_ad  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

ct = importlib.import_module("cfloat.torch")
_direct = importlib.import_module("cfloat.torch._direct")

FMT = cf.CFloat8_1_4_3
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


class Calls(TorchDispatchMode):
    """Which operators of this package are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "cfloat":
            self.names.append(func._opname)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def calls(monkeypatch):
    """What the core converted at once."""
    made, convert = [], _direct.binding.convert_memory
    monkeypatch.setattr(
        _direct.binding, "convert_memory", lambda *args: (made.append(args), convert(*args))
    )
    return made


def slowly(monkeypatch, function):
    with monkeypatch.context() as patch:
        patch.setattr(_direct, "is_eager", lambda tensor: False)
        patch.setattr(_direct, "round_into", lambda *args: False)
        return function()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fmt", [FMT, cf.CFloat16_UHP, cf.format("binary6p3sf")], ids=str)
def test_it_gives_the_operators_bits(fmt, dtype, calls, monkeypatch):
    x = (torch.randn(3, 77, dtype=torch.float64) * 100).to(dtype)
    x[0, :3] = torch.tensor([np.nan, np.inf, -0.0])
    for how in (
        {},
        {"bias": fmt.bias_range[1]},
        {"rounding": "toward_negative"},
        {"rounding": "stochastic", "seed": 2**64 - 1, "offset": 5},
    ):

        def found(how=how):
            codes = ct.encode(x, fmt, **how)
            values = ct.decode(codes, fmt, how.get("bias"), dtype=dtype)
            return codes, values, ct.round_to(x, fmt, **how)

        before = len(calls)
        own = found()
        # of a format of 6 bits, codes may be too large
        assert len(calls) - before == (3 if fmt.bits in (8, 16) else 2)
        for a, b in zip(own, slowly(monkeypatch, found), strict=True):
            assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
            assert a.view(torch.uint8).equal(b.view(torch.uint8))
        assert not own[2].requires_grad


def test_gradients_are_the_operators(calls, monkeypatch):
    x = torch.tensor([0.1, 1e6, -3.0, np.nan], requires_grad=True)

    def gradient():
        rounded = ct.round_to(x, FMT, 9)
        return torch.autograd.grad(rounded, x, torch.tensor([1.0, 2.0, 3.0, 4.0]))[0]

    assert gradient().tolist() == slowly(monkeypatch, gradient).tolist() == [1, 0, 3, 0]
    assert len(calls) == 1
    with torch.no_grad():
        assert not ct.round_to(x, FMT).requires_grad


@pytest.mark.parametrize(
    "how", [{"bias": 9}, {}, {"bias": "mx", "margin": 2, "window": 2}], ids=str
)
def test_rounders_round_at_once(how, calls, monkeypatch):
    def found():
        rounder, rounded = ct.Rounder(cf.CFloat8_1_5_2, **how), []
        for scale in (1.0, 300.0, 0.0, 1e-3):
            rounded.append(rounder(torch.linspace(-1, 1, 33) * scale))
        return torch.stack([*rounded, rounder.eval()(rounded[0])])

    own = found()
    assert len(calls) == 5
    assert torch.equal(own, slowly(monkeypatch, found))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # PyTorch's own
def test_who_looks_on_sees_operators(calls, monkeypatch):
    monkeypatch.setattr(_direct, "round_into", lambda *args: False)  # the operator's own way
    x = torch.randn(4, 3)
    with Calls() as mode:
        codes = ct.encode(x, FMT)
        ct.decode(codes, FMT)
        ct.round_to(x, FMT)
    assert mode.names == ["encode", "decode", "round_to"]
    with torch.autograd.profiler.profile() as profile:
        ct.encode(x, FMT)
    assert "cfloat::encode" in {event.name for event in profile.function_events}
    with forward_ad.dual_level():
        ct.round_to(forward_ad.make_dual(x, torch.ones_like(x)), FMT)
    assert calls == []


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("left", [0, 40])
def test_memory_that_was_given_back_is_not_read(left, strided):
    def freed(x):
        x.untyped_storage().resize_(left)
        return x

    def tensor():
        x = torch.randn(64, 64)
        return x.T if strided else x

    layer = ct.CFloatLinear.from_linear(torch.nn.Linear(64, 8), FMT, "max")
    message = f"bytes of memory, and {left} are left of it"
    codes = ct.encode(tensor(), FMT).clone()
    for call in (
        lambda: ct.encode(freed(tensor()), FMT),
        lambda: ct.round_to(freed(tensor()), FMT),
        lambda: ct.decode(freed(codes.T if strided else codes), FMT),
        lambda: ct.asarray(freed(tensor()), FMT),
        lambda: layer(freed(tensor())),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    layer.codes = layer.codes.clone()  # PyTorch resizes none of an array's memory
    freed(layer.codes)
    with pytest.raises(ValueError, match=message):
        layer(tensor())


@pytest.mark.parametrize("count", [1, 5])  # PyTorch takes one element to be contiguous
def test_views_that_are_negated_are_read_as_such(count):
    x = torch.complex(torch.zeros(count), torch.arange(1.0, count + 1)).conj().imag
    assert x.is_neg()
    assert x.is_contiguous() == (count == 1)
    assert ct.round_to(x, FMT).tolist() == [-float(i) for i in range(1, count + 1)]
    codes = ct.encode(x, FMT)
    assert ct.decode(codes, FMT).tolist() == ct.round_to(x, FMT).tolist()


HOWS = [{}, {"axis": 0}, {"block": 16}, {"axis": 0, "block": 3}, {"activation": FMT}]


@pytest.mark.parametrize("how", HOWS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_linear_layers_multiply_at_once(how, dtype, monkeypatch):
    plain = torch.nn.Linear(48, 20)
    layer = ct.CFloatLinear.from_linear(plain, FMT, "max", **how)
    for shape in ((48,), (1, 48), (2, 5, 48), (40, 48)):
        x = torch.randn(shape).to(dtype)
        with torch.no_grad(), Calls() as mode:
            expected = layer(x)
        assert "matmul" in mode.names
        found = layer(x)
        assert torch.equal(found, expected)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert torch.equal(slowly(monkeypatch, lambda x=x: layer(x)), expected)
    assert layer(torch.ones(0, 48)).shape == (0, 20)
    with pytest.raises((RuntimeError, ValueError)):
        layer(torch.ones(2, 47))


@pytest.mark.parametrize("how", HOWS[:3], ids=str)
def test_weights_that_change_are_seen(how):
    x = torch.randn(3, 48)
    layers = [
        ct.CFloatLinear.from_linear(torch.nn.Linear(48, 20), FMT, "max", **how) for _ in range(2)
    ]
    layers[0].weight_bias.sub_(1)
    first, second = (layer(x) for layer in layers)
    copied = copy.deepcopy(layers[0])
    assert copied._kept is None
    assert len(pickle.dumps(layers[0])) < len(pickle.dumps(copied)) + 100
    assert torch.equal(copied(x), first)
    layers[0].load_state_dict(layers[1].state_dict())
    assert torch.equal(layers[0](x), second)
    layers[0].weight_bias.sub_(1)
    assert torch.allclose(layers[0](x) - layers[0].bias, 2 * (second - layers[0].bias), atol=1e-5)
    layers[0].codes = copied.codes.clone()
    layers[0].weight_bias, layers[0].bias = copied.weight_bias.clone(), copied.bias
    assert torch.equal(layers[0](x), first)


def steps(dtype=torch.float32, count=4, strided=False, threads=1, **how):
    generator = torch.Generator().manual_seed(0)
    sizes = ((300, 41), (7,), (1 << 17,))
    values = [torch.randn(size, generator=generator).to(dtype) for size in sizes]
    if strided:
        values[0] = values[0].T.contiguous().T
    params = [torch.nn.Parameter(value) for value in values]
    optimizer = ct.AdamW(params, lr=0.01, weight_decay=0.1, seed=3, **how)
    before = cf.get_num_threads()
    cf.set_num_threads(threads)
    try:
        for step in range(count):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator).to(dtype) * 10.0 ** (step - 2)
            optimizer.step()
    finally:
        cf.set_num_threads(before)
    return params, optimizer


@pytest.mark.parametrize("how", [{}, {"betas": (0.3, 0.5)}, {"first": "CFloat8_1_5_2"}], ids=str)
def test_adamw_is_near_pytorchs_operators(how, monkeypatch):
    """They round the same way but for the square root, and where multiplying and adding are not fused."""
    params, optimizer = steps(**how)
    others, other = slowly_steps(monkeypatch, **how)
    for p, q in zip(params, others, strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)
        own, state = optimizer.state[p], other.state[q]
        assert own.keys() == state.keys()
        assert own["steps"] == state["steps"]
        for name in ("exp_avg", "exp_avg_sq"):
            assert (
                own[f"{name}_codes"].int() == state[f"{name}_codes"].int()
            ).double().mean() > 0.97
            assert own[f"{name}_bias"] == state[f"{name}_bias"]
            assert own[f"{name}_codes"].dtype == state[f"{name}_codes"].dtype
            assert own[f"{name}_bias"].dtype == state[f"{name}_bias"].dtype == torch.int16


def slowly_steps(monkeypatch, **how):
    with monkeypatch.context() as patch:
        patch.setattr(ct.AdamW, "_moments_in_core", lambda self, group: ())
        return steps(**how)


@pytest.mark.parametrize("how", [{}, {"second": cf.bfloat16, "rounding": "to_odd"}], ids=str)
def test_adamw_has_the_same_bits_everywhere(how):
    before, found = cf.isa(), []
    try:
        for name in AVAILABLE:
            instruction_sets.select_isa(name)
            for threads in (1, 3):
                params, optimizer = steps(threads=threads, **how)
                found.append(([p.detach() for p in params], [optimizer.state[p] for p in params]))
    finally:
        instruction_sets.select_isa(before)
    for params, states in found[1:]:
        assert all(map(torch.equal, params, found[0][0]))
        for own, state in zip(states, found[0][1], strict=True):
            for name in ("exp_avg", "exp_avg_sq"):
                assert own[f"{name}_codes"].equal(state[f"{name}_codes"])


def test_adamw_changes_states_where_they_are(monkeypatch):
    """Also one that PyTorch's operators made, as all were before."""
    params, optimizer = slowly_steps(monkeypatch, count=2)
    states = [dict(optimizer.state[p]) for p in params]
    optimizer.step()
    for p, state in zip(params, states, strict=True):
        for name in ("exp_avg", "exp_avg_sq"):
            assert (
                optimizer.state[p][f"{name}_codes"].data_ptr() == state[f"{name}_codes"].data_ptr()
            )
        assert (optimizer.state[p]["steps"], state["steps"]) == (3, 2)


@pytest.mark.parametrize("how", [{"dtype": torch.bfloat16}, {"strided": True}], ids=str)
def test_adamw_takes_parameters_where_they_are(how, monkeypatch):
    binding = importlib.import_module("cfloat._core.binding")
    made, step = [], binding.adamw_step
    monkeypatch.setattr(binding, "adamw_step", lambda *args: (made.append(args[0]), step(*args))[1])
    params, _ = steps(**how, count=1)
    assert made == ([300 * 41] if "dtype" in how else []) + [7, 1 << 17]
    assert all(p.isfinite().all() for p in params)


def test_autograd_knows_what_adamw_changed():
    (p,) = [torch.nn.Parameter(torch.randn(5))]
    optimizer = ct.AdamW([p], seed=0)
    loss = p.square().sum()
    p.grad = torch.ones(5)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("order", ["transposed", "reversed"])
def test_linear_layers_keep_codes_in_a_row(order):
    """Whatever the order of the weights: safetensors saves no other tensors."""
    values = torch.randn(5, 7)
    weight = values.mT if order == "transposed" else values.flip(0)
    given = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    given.weight = torch.nn.Parameter(weight)
    layer = ct.CFloatLinear.from_linear(given, FMT)
    own = ct.CFloatLinear(cf.asarray(values.numpy(), FMT)[::-1].T)
    x = torch.randn(2, weight.shape[1])
    assert layer.codes.is_contiguous()
    assert own.codes.is_contiguous()
    assert torch.equal(layer(x), ct.CFloatLinear(layer.weight.copy(order="C"))(x))


@pytest.mark.parametrize("loaded", [False, True])
def test_adamw_goes_on_after_a_step_in_inference_mode(loaded):
    def stepped(modes):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 50))
        optimizer = ct.AdamW([parameter], lr=0.1, seed=1)
        for mode in modes:
            parameter.grad = torch.full((50,), 0.5)
            with torch.inference_mode(mode):
                optimizer.step()
                if loaded:
                    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        return parameter.detach(), optimizer.state[parameter]["exp_avg_codes"]

    expected, moment = stepped([False] * 3)
    for modes in ((True, False, False), (True, True, False), (False, True, False)):
        found, own = stepped(modes)
        assert torch.allclose(found, expected, rtol=1e-6)
        assert torch.equal(own, moment)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "how", [("ties_to_even", 0), ("toward_positive", 0), ("stochastic", 2**64 - 60)], ids=str
)
def test_operators_round_at_once_what_lies_in_one_order(dtype, how, calls, monkeypatch):
    """What lies otherwise, several biases, and streams that end, go the general way; all to the same bits."""
    mode, offset = how
    x = (torch.randn(2, 3, 4, 5) * 30).to(dtype)
    last = x.contiguous(memory_format=torch.channels_last)
    stream = torch.tensor([5, offset - 2**64 if offset else 0])
    one = torch.tensor(9)
    given = {
        "a row": (x[0], one, True),
        "channels last": (last, one, mode != "stochastic"),
        "gaps": (x[..., ::2], one, False),
        "negative": (torch._neg_view(x[0]), one, True),  # PyTorch resolves it before
        "several": (x[0], torch.full((5,), 9), False),
        "an end": (x, one, mode != "stochastic"),
        "none": (x[:0], one, False),
    }

    def found(values, bias):
        return torch.ops.cfloat.round_to(values, bias, stream, text, mode)

    text = importlib.import_module("cfloat.torch._formats").to_text(FMT)
    for name, (values, bias, at_once) in given.items():
        del calls[:]
        try:
            own = found(values, bias)
        except cf.errors.ArgumentValueError:
            assert mode == "stochastic"  # a stream has 2**64 words
            assert values.numel() > 60
            continue
        assert len(calls) == at_once, name
        expected = slowly(monkeypatch, lambda v=values, b=bias: found(v, b))
        assert own.stride() == expected.stride()
        assert torch.equal(own, expected), name


def test_operators_refuse_biases_that_a_format_has_not():
    text = importlib.import_module("cfloat.torch._formats").to_text(FMT)
    for wrong in (-1, 64):
        with pytest.raises(cf.errors.ArgumentValueError, match="bias"):
            torch.ops.cfloat.round_to(
                torch.ones(3), torch.tensor(wrong), torch.zeros(2).long(), text, "ties_to_even"
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [3, 40_000])
def test_largest_magnitudes_eager_and_compiled(dtype, size):
    peaks = importlib.import_module("cfloat.torch._peaks")
    x = torch.randn(size).to(dtype)
    x[0], x[1], x[2] = np.nan, -np.inf, -7.5
    expected = np.abs(x[torch.isfinite(x)].double().numpy()).max()
    compiled = torch.compile(peaks.largest_magnitude, backend="eager", fullgraph=True)
    for found in (peaks.largest_magnitude(x), compiled(x)):
        assert (found.dtype, float(found)) == (torch.float64, expected)
    assert peaks.largest_magnitude(torch.tensor([np.nan, np.inf])) == 0
