"""AdamW with moments of 16 bits, beside PyTorch's own and a computation in NumPy."""

import copy
import importlib

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
_streams = importlib.import_module("cfloat.torch._streams")

SETTINGS = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}


def parameters(*shapes, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes
    ]


def set_gradients(params, step, scale=1.0):
    generator = torch.Generator().manual_seed(step)
    for parameter in params:
        gradient = torch.randn(parameter.shape, generator=generator) * scale
        parameter.grad = gradient.to(parameter.dtype)


@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e6])
def test_moments_and_parameters_in_numpy(scale):
    """Every step is one of AdamW in float32, and one stochastic rounding of each moment."""
    params = parameters((50, 7), (90,))
    optimizer = ct.AdamW(params, **SETTINGS, seed=3)
    first = [np.zeros(p.shape, np.float32) for p in params]
    second = [np.zeros(p.shape, np.float32) for p in params]
    values = [p.detach().numpy().copy() for p in params]
    for step in range(1, 6):
        set_gradients(params, step, scale)
        optimizer.step()
        for i, parameter in enumerate(params):
            g = parameter.grad.numpy()
            m = first[i] + np.float32(0.1) * (g - first[i])
            v = second[i] * np.float32(0.99) + np.float32(0.01) * g * g
            change = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)
            values[i] = values[i] * (1 - 0.01 * 0.1) - 0.01 * change
            np.testing.assert_allclose(parameter.detach().numpy(), values[i], rtol=1e-5, atol=1e-7)

            state = optimizer.state[parameter]
            how = {"rounding": "stochastic", "offset": (step - 1) * g.size}
            seeds = [_streams.derived_seed(3, 2 * i + part) for part in (0, 1)]
            # PyTorch rounds m and v in another order, which may change a few of the roundings after
            bias = cf.choose_bias(m, cf.CFloat16_SHP, "max")
            assert int(state["exp_avg_bias"]) == bias
            codes = cf.encode(m, cf.CFloat16_SHP, bias, seed=seeds[0], **how)
            check_codes(codes, state["exp_avg_codes"])
            exponent = int(state["exp_avg_sq_scale"])
            assert 2.0**30 <= np.ldexp(v.max(), exponent) < 2.0**31 * (1 + 1e-5)
            codes = cf.encode(np.ldexp(v, exponent), cf.CFloat16_UHP, seed=seeds[1], **how)
            check_codes(codes, state["exp_avg_sq_codes"])
            first[i] = cf.decode(state["exp_avg_codes"].numpy(), cf.CFloat16_SHP, bias)
            second[i] = np.ldexp(
                cf.decode(state["exp_avg_sq_codes"].numpy(), cf.CFloat16_UHP), -exponent
            )
            values[i] = parameter.detach().numpy().copy()


def check_codes(expected, codes):
    distance = np.abs(expected.astype(int) - codes.numpy())
    assert distance.max() <= 1
    assert (distance == 0).mean() > 0.97


def test_near_pytorchs_own():
    params, others = parameters((50, 40)), parameters((50, 40))
    optimizer, other = ct.AdamW(params, **SETTINGS, seed=0), torch.optim.AdamW(others, **SETTINGS)
    for step in range(50):
        for own in (params, others):
            set_gradients(own, step)
        optimizer.step()
        other.step()
    moved = (others[0] - parameters((50, 40))[0]).abs().max()
    assert (params[0] - others[0]).abs().max() < 0.01 * moved
    state = optimizer.state[params[0]]
    floats = other.state[others[0]]
    assert state["exp_avg_codes"].nbytes + state["exp_avg_sq_codes"].nbytes == 4 * 2000
    assert floats["exp_avg"].nbytes + floats["exp_avg_sq"].nbytes == 8 * 2000


def test_moments_keep_their_means():
    """What rounding to nearest loses: a second moment that decays by less than half an ulp a step."""

    def decayed(rounding):
        (parameter,) = parameters((1000,))
        optimizer = ct.AdamW([parameter], betas=(0.9, 0.9999), rounding=rounding, seed=0)
        parameter.grad = torch.ones(1000)
        optimizer.step()
        for _ in range(200):
            parameter.grad = torch.zeros(1000)
            optimizer.step()
        state = optimizer.state[parameter]
        square = ct.decode(state["exp_avg_sq_codes"], cf.CFloat16_UHP).double()
        return (square * 2.0 ** -int(state["exp_avg_sq_scale"])).mean().item() / 1e-4

    expected = 0.9999**200
    assert abs(decayed("stochastic") - expected) < 0.002
    assert abs(decayed("ties_to_even") - expected) > 0.015


@pytest.mark.slow
def test_it_trains():
    torch.manual_seed(0)
    x = torch.randn(256, 10)
    y = (x[:, :1] * x[:, 1:2] > 0).float()
    model = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
    ct.quantize(
        model, weight=cf.CFloat8_1_4_3, activation=cf.CFloat8_1_4_3, gradient=cf.CFloat8_1_5_2,
        rounding={"gradient": "stochastic"}, seed=1,
    )  # fmt: skip
    optimizer = ct.AdamW(model.parameters(), lr=0.01, seed=2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)
        loss.backward()
        optimizer.step()
    assert ((model(x) > 0) == (y > 0)).float().mean() > 0.9


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_state_dict_goes_on_with_the_same_bits(dtype, tmp_path):
    """PyTorch makes floats of what it loads for a float parameter, which codes are not."""
    params = parameters((40, 50), (7,), dtype=dtype)
    optimizer = ct.AdamW(params, **SETTINGS, seed=5)
    for step in range(3):
        set_gradients(params, step)
        optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    others = [torch.nn.Parameter(p.detach().clone()) for p in params]
    other = ct.AdamW(others, lr=1.0, seed=6)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for step in range(3, 6):
        for own, of in ((params, optimizer), (others, other)):
            set_gradients(own, step)
            of.step()
    for a, b in zip(params, others, strict=True):
        assert torch.equal(a, b)
        for name, value in optimizer.state[a].items():
            found = other.state[b][name]
            assert found.dtype == value.dtype if name != "steps" else found == value
            assert name == "steps" or torch.equal(found.int(), value.int())
    assert copy.deepcopy(other).state_dict()["param_groups"] == other.state_dict()["param_groups"]


def test_a_copy_goes_on_with_the_same_bits():
    params = parameters((5, 3), (4,))
    optimizer = ct.AdamW(params, seed=1, first=cf.CFloat8_1_5_2, rounding="toward_zero")
    set_gradients(params, 0)
    optimizer.step()
    copied_params, copied = copy.deepcopy((params, optimizer))
    for made, own in ((optimizer, params), (copied, copied_params)):
        set_gradients(own, 1)
        made.step()
    assert copied.rounding == "toward_zero"
    assert all(map(torch.equal, params, copied_params))
    for parameter, other in zip(params, copied_params, strict=True):
        assert torch.equal(
            optimizer.state[parameter]["exp_avg_codes"], copied.state[other]["exp_avg_codes"]
        )


def test_what_is_not_finite_reaches_the_parameters():
    (parameter,) = parameters((4,))
    optimizer = ct.AdamW([parameter], seed=0)
    parameter.grad = torch.tensor([1.0, np.nan, np.inf, 0.0])
    optimizer.step()
    assert parameter.isfinite().tolist() == [True, False, False, True]


def test_a_flag_that_is_raised_changes_nothing():
    (parameter,) = parameters((4,))
    optimizer = ct.AdamW([parameter], seed=0)
    before = parameter.detach().clone()
    parameter.grad = torch.tensor([1.0, 1e-30, 0.0, 0.0])
    with cf.errstate(underflow="raise"), pytest.raises(cf.FlagError, match="underflow in encode"):
        optimizer.step()
    assert torch.equal(parameter, before)
    assert not optimizer.state


def test_groups_schedulers_and_closures():
    params = parameters((3,), (4,), (5,))
    optimizer = ct.AdamW(
        [{"params": params[:2]}, {"params": params[2:], "lr": 0.5}], lr=0.1, seed=0
    )
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    def closure():
        optimizer.zero_grad()
        loss = sum(p.square().sum() for p in params)
        loss.backward()
        return loss

    before = [p.detach().clone() for p in params]
    loss = optimizer.step(closure)
    assert loss > 0
    steps = [(p - b).abs().max().item() for p, b in zip(params, before, strict=True)]
    assert steps[2] > 4 * max(steps[:2])
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.25]
    # a parameter without a gradient is left alone
    optimizer.zero_grad()
    params[0].grad = torch.ones(3)
    optimizer.step()
    assert [optimizer.state[p]["steps"] for p in params] == [2, 1, 1]


def test_other_formats_of_moments():
    (parameter,) = parameters((64,))
    fmt = cf.CFloat8_1_5_2
    optimizer = ct.AdamW([parameter], first=fmt, second=fmt, seed=0)
    set_gradients([parameter], 0)
    optimizer.step()
    state = optimizer.state[parameter]
    assert (state["exp_avg_codes"].dtype, state["exp_avg_sq_codes"].dtype) == (
        torch.uint8,
        torch.uint8,
    )
    assert int(state["exp_avg_sq_scale"]) == 0
    square = parameter.grad.square() * 0.001
    assert int(state["exp_avg_sq_bias"]) == cf.choose_bias(square.numpy(), fmt, "max")


def test_formats_of_moments_go_by_their_names():
    kept = []
    for first, second in ((cf.CFloat8_1_4_3, cf.CFloat8_1_5_2), ("CFloat8_1_4_3", "CFloat8_1_5_2")):
        (parameter,) = parameters((64,))
        optimizer = ct.AdamW([parameter], first=first, second=second, seed=0)
        assert (optimizer.first, optimizer.second) == (cf.CFloat8_1_4_3, cf.CFloat8_1_5_2)
        set_gradients([parameter], 0)
        optimizer.step()
        kept.append(optimizer.state_dict())
    one, other = kept
    assert one["param_groups"] == other["param_groups"]
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(one["state"][0][f"{name}_codes"], other["state"][0][f"{name}_codes"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lr": -1.0}, ValueError, "lr is -1.0; it takes a number, 0 or more"),
        ({"lr": "fast"}, ValueError, "lr is 'fast'"),
        ({"betas": 0.9}, TypeError, "betas is 0.9; it takes two numbers"),
        ({"betas": (0.9, 1.0)}, ValueError, "they are less than 1"),
        ({"eps": float("nan")}, ValueError, "eps is nan"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay is -0.1"),
        ({"first": cf.CFloat16_UHP}, ValueError, "first is CFloat16_UHP; it takes a signed format"),
        ({"second": 16}, TypeError, "second is 16; it takes a cfloat.Format"),
        ({"first": "SHP"}, ValueError, "first is 'SHP'; the names are"),
        ({"second": "UHP"}, ValueError, "second is 'UHP'; the names are"),
        ({"rounding": "up"}, ValueError, "rounding is 'up'"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"capturable": True}, ValueError, "capturable is True; it takes False"),
        ({"differentiable": True}, ValueError, "differentiable is True; it takes False"),
        ({"foreach": True, "fused": True}, ValueError, "foreach and fused are True"),
        ({"parameter_format": "CFloat16_UHP"}, ValueError, "parameter_format is CFloat16_UHP"),
        ({"parameter_format": 8}, TypeError, "parameter_format is 8"),
        ({"parameter_rounding": "down"}, ValueError, "rounding is 'down'"),
    ],
)
def test_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        ct.AdamW(parameters((3,)), **arguments)


def test_refused_later():
    params = parameters((3,), (4,))
    optimizer = ct.AdamW(params[:1], seed=0)
    with pytest.raises(ValueError, match="lr is -1"):
        optimizer.add_param_group({"params": params[1:], "lr": -1})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(TypeError, match=r"a parameter has dtype torch\.complex64"):
        ct.AdamW([torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))])
    params[0].grad = torch.ones(3).to_sparse()
    with pytest.raises(TypeError, match="a gradient has layout torch"):
        optimizer.step()
    with pytest.raises(ValueError, match="seed is -1"):
        optimizer.add_param_group({"params": params[1:], "seed": -1})
    for name, other in {
        "second": cf.CFloat16_SHP,
        "first": cf.CFloat16_SHP.replace(subnormals="ieee"),
    }.items():
        with pytest.raises(
            ValueError, match=f"state has {name}_format '.* whitepaper|flush"
        ) as caught:
            ct.AdamW(params[:1], **{name: other}).load_state_dict(optimizer.state_dict())
        assert "\n" not in str(caught.value)
