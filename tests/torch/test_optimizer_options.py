"""Options of `AdamW` and `SGD` that PyTorch's optimizers have, and the rounding of parameters."""

import importlib

import numpy as np
import pytest
from isas import AVAILABLE

import cfloat as cf
from cfloat._core import isa as instruction_sets

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
_streams = importlib.import_module("cfloat.torch._streams")

each = pytest.mark.parametrize("name", ["AdamW", "SGD"])


def parameter(size=(40, 25), dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.nn.Parameter(torch.randn(size, generator=generator).to(dtype))


def stepped(make, steps=20, dtype=torch.float32, **how):
    p = parameter(dtype=dtype)
    optimizer = make([p], **how)
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        scale = 10.0 ** (-(step // 10))  # so that amsgrad's moment is not the second
        p.grad = (torch.randn(p.shape, generator=generator) * scale).to(dtype)
        optimizer.step()
    return p, optimizer


ADAMW = [
    {"maximize": True}, {"amsgrad": True}, {"amsgrad": True, "maximize": True}, {"foreach": True},
    {"foreach": False}, {"fused": True}, {"fused": False}, {"capturable": False}, {"differentiable": False},
]  # fmt: skip
SGD = [
    {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "dampening": 0.5},
    {"momentum": 0.9, "maximize": True}, {"momentum": 0.9, "weight_decay": 0.1}, {"weight_decay": 0.1},
    {}, {"maximize": True}, {"momentum": 0.9, "foreach": True}, {"momentum": 0.9, "fused": True},
]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("name", "how"), [("AdamW", how) for how in ADAMW] + [("SGD", how) for how in SGD], ids=str
)
def test_options_are_pytorchs(name, how, dtype):
    p, _ = stepped(getattr(ct, name), dtype=dtype, lr=0.01, seed=0, **how)
    q, _ = stepped(getattr(torch.optim, name), dtype=dtype, lr=0.01, **how)
    moved = (q - parameter(dtype=dtype)).abs().max()
    assert (p - q).abs().max() < 0.01 * moved
    if how.get("maximize"):  # and the other way is another one
        others = how | {"maximize": False}
        other, _ = stepped(getattr(ct, name), dtype=dtype, lr=0.01, seed=0, **others)
        assert (p - other).abs().max() > moved


def test_sgd_without_momentum_is_pytorchs_bit_for_bit():
    p, optimizer = stepped(ct.SGD, lr=0.1, weight_decay=0.01, foreach=False)
    q, _ = stepped(torch.optim.SGD, lr=0.1, weight_decay=0.01, foreach=False)
    assert torch.equal(p, q)
    assert optimizer.state[p] == {"steps": 20}


def test_the_third_moment_is_the_largest_second_one():
    p, optimizer = stepped(ct.AdamW, amsgrad=True, seed=0, betas=(0.9, 0.5))
    state = optimizer.state[p]

    def decoded(name):
        values = cf.decode(state[f"{name}_codes"].numpy(), cf.CFloat16_UHP)
        return np.ldexp(values, -int(state[f"{name}_scale"]))

    greatest, second = decoded("max_exp_avg_sq"), decoded("exp_avg_sq")
    assert (greatest >= second * (1 - 2.0**-10)).all()
    assert np.median(greatest / np.maximum(second, 1e-30)) > 5
    assert state["max_exp_avg_sq_codes"].nbytes == 2 * p.numel()


def test_momentum_in_numpy():
    """Every step is one of SGD in float32, and one stochastic rounding of the momentum."""
    p = parameter()
    optimizer = ct.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True, seed=3)
    value, mean = p.detach().numpy().copy(), None
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
        g = p.grad.numpy() + np.float32(0.01) * value
        mean = g if mean is None else np.float32(0.9) * mean + g
        value = value - np.float32(0.1) * (g + np.float32(0.9) * mean)
        np.testing.assert_allclose(p.detach().numpy(), value, rtol=1e-5, atol=1e-6)
        value = p.detach().numpy().copy()
        state, bias = optimizer.state[p], cf.choose_bias(mean, optimizer.momentum_format, "max")
        assert int(state["momentum_buffer_bias"]) == bias
        codes = cf.encode(
            mean, cf.CFloat16_SHP, bias, rounding="stochastic", offset=step * p.numel(),
            seed=_streams.derived_seed(3, 0),
        )  # fmt: skip
        found = state["momentum_buffer_codes"].numpy()
        distance = np.abs(codes.astype(int) - found)
        assert distance.max() <= 1  # PyTorch may fuse a product with its sum
        assert (distance == 0).mean() > 0.97
        mean = cf.decode(found, cf.CFloat16_SHP, bias)


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_parameters_move_at_small_rates(name, dtype):
    """To nearest, steps of a 256th of an ulp are lost, all of them."""

    def moved(**how):
        p = torch.nn.Parameter(torch.ones(4000, dtype=dtype))
        ulp = 2.0**-7 if dtype == torch.bfloat16 else 2.0**-10
        optimizer = getattr(ct, name)([p], lr=ulp / 256, weight_decay=0, seed=1, **how)
        for _ in range(256):
            p.grad = -torch.ones_like(p)
            optimizer.step()
        return ((p.detach().double().mean() - 1) / ulp).item()

    assert moved(parameter_rounding="ties_to_even") == 0
    assert abs(moved() - 1) < 0.05


@pytest.mark.parametrize("rounds", ["dtype", "format"])
def test_parameters_are_rounded_by_a_stream_of_their_own(rounds):
    """One stochastic rounding of what a float32 parameter would be, at a place of its own a step."""
    values = torch.randn(1000).bfloat16()
    wide = torch.nn.Parameter(values.float())
    how = {"parameter_format": cf.CFloat8_1_4_3} if rounds == "format" else {}
    narrow = torch.nn.Parameter(values.clone() if rounds == "dtype" else values.float())
    optimizer = ct.AdamW([narrow], lr=0.1, seed=9, **how)
    for step in range(3):
        narrow.grad = torch.randn(1000).to(narrow.dtype)
        other = ct.AdamW([wide], lr=0.1, seed=9)
        if step:
            other.load_state_dict(plain(optimizer.state_dict()))
        with torch.no_grad():
            wide.copy_(narrow)
        wide.grad = narrow.grad.float()
        optimizer.step()
        other.step()
        fmt = how.get("parameter_format", cf.bfloat16)
        expected = wide.detach().numpy()
        seed = _streams.derived_seed(9, 1 << 40)
        bias = cf.choose_bias(expected, fmt, "max") if how else None
        expected = cf.round_to(
            expected, fmt, bias, rounding="stochastic", seed=seed, offset=1000 * step
        )
        assert np.array_equal(narrow.detach().float().numpy(), expected)


def plain(state_dict):
    """A state dict without what is said of parameters."""
    for group in state_dict["param_groups"]:
        group.pop("parameter_format", None)
    return state_dict


@each
@pytest.mark.parametrize(
    "how", [{"dtype": torch.bfloat16}, {"parameter_format": "CFloat16_SHP"}], ids=str
)
def test_rounded_parameters_have_the_same_bits_everywhere(name, how):
    def found():
        dtype = how.get("dtype", torch.float32)
        p = parameter((1 << 17,), dtype)
        options = {key: value for key, value in how.items() if key != "dtype"}
        optimizer = getattr(ct, name)([p], lr=0.01, seed=2, **options)
        for step in range(2):
            p.grad = (torch.arange(p.numel()) % 97 - 48).to(dtype) * 2.0 ** (-step)
            optimizer.step()
        return p.detach()

    before, threads = cf.isa(), cf.get_num_threads()
    results = []
    try:
        for isa in AVAILABLE:
            instruction_sets.select_isa(isa)
            for count in (1, 2):
                cf.set_num_threads(count)
                results.append(found())
    finally:
        instruction_sets.select_isa(before)
        cf.set_num_threads(threads)
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_parameters_stay_on_the_grid_of_their_format():
    p, optimizer = stepped(ct.AdamW, parameter_format="CFloat8_1_4_3", seed=0)
    bias = cf.choose_bias(p.detach().numpy(), cf.CFloat8_1_4_3, "max")
    assert torch.equal(p, ct.round_to(p, cf.CFloat8_1_4_3, bias))
    with pytest.raises(cf.ArgumentTypeError, match=r"bfloat16; it takes float64 or float32 where"):
        ct.AdamW([parameter(dtype=torch.bfloat16)], parameter_format="CFloat16_SHP")
    with pytest.raises(cf.ArgumentValueError, match="state has parameter_format '4 3"):
        ct.AdamW([parameter()]).load_state_dict(optimizer.state_dict())


@each
def test_groups_have_options_of_their_own(name):
    one, two = parameter((5,)), parameter((6,))
    optimizer = getattr(ct, name)([one], lr=0.1, seed=0)
    optimizer.add_param_group({"params": [two], "maximize": True, "lr": 1.0})
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=[0.5, 2.0], total_steps=4, cycle_momentum=False
    )
    before = [p.detach().clone() for p in (one, two)]
    for p in (one, two):
        p.grad = torch.ones_like(p)
    optimizer.step()
    scheduler.step()
    assert (one < before[0]).all()
    assert (two > before[1]).all()
    assert optimizer.param_groups[1]["lr"] > 2 * optimizer.param_groups[0]["lr"]
    with pytest.raises(cf.ArgumentValueError, match="weight_decay is -1"):
        optimizer.add_param_group({"params": [parameter((3,))], "weight_decay": -1})
    assert len(optimizer.param_groups) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": -1}, "momentum is -1"),
        ({"dampening": float("nan")}, "dampening is nan"),
        ({"nesterov": True}, "nesterov is True; it takes a momentum that is not 0"),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "and a dampening of 0"),
        ({"momentum_format": "CFloat16_UHP"}, "momentum_format is CFloat16_UHP; it takes a signed"),
        ({"differentiable": True}, "differentiable is True"),
        ({"foreach": True, "fused": True}, "only one of them"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_sgd_refuses(arguments, message):
    with pytest.raises(cf.ArgumentValueError, match=message):
        ct.SGD([parameter()], **arguments)


def fused(a, b, c):
    """``a * b + c`` of float32: the product is exact in float64, and the sum has bits to spare there."""
    return (np.float64(a) * np.float64(b) + np.float64(c)).astype(np.float32)


def momentum_in_float32(step, p, gradients, kept, *, seed, lr, momentum, dampening=0, **how):
    """A step of SGD as csrc/cfloat_api.h has it: the parameter, the momentum's codes and their bias."""
    g = -gradients if how.get("maximize") else gradients
    if how.get("weight_decay"):
        g = fused(np.float32(how["weight_decay"]), p, g)
    scaled = None if kept is None else np.float32(momentum) * cf.decode(*kept[:1], SHP, kept[1])
    mean = g if scaled is None else fused(np.float32(1 - dampening), g, scaled)
    change = fused(np.float32(momentum), mean, g) if how.get("nesterov") else mean
    bias = cf.choose_bias(mean, SHP, "max")
    codes = cf.encode(
        mean,
        SHP,
        bias,
        rounding="stochastic",
        offset=step * p.size,
        seed=_streams.derived_seed(seed, 0),
    )
    return fused(np.float32(-lr), change, p), (codes, bias)


SHP = cf.CFloat16_SHP
MOMENTA = [
    {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
    {"lr": 1e-3, "momentum": 0.7, "dampening": 0.3, "maximize": True},
]  # fmt: skip


@pytest.mark.parametrize("how", MOMENTA, ids=str)
@pytest.mark.parametrize("isa", AVAILABLE)
def test_the_cores_step_has_the_bits_of_numpys(how, isa):
    random, before = np.random.default_rng(5), cf.isa()
    expected, kept = random.standard_normal(5003, np.float32), None
    p = torch.nn.Parameter(torch.from_numpy(expected.copy()))
    optimizer = ct.SGD([p], seed=2, **how)
    described = []
    do = optimizer._do_described
    optimizer._do_described = lambda *args: (described.append(args), do(*args))
    try:
        instruction_sets.select_isa(isa)
        for step in range(4):
            gradients = random.standard_normal(5003, np.float32) * np.float32(0.1) ** step
            p.grad = torch.from_numpy(gradients)
            optimizer.step()
            expected, kept = momentum_in_float32(step, expected, gradients, kept, seed=2, **how)
            state = optimizer.state[p]
            assert int(state["momentum_buffer_bias"]) == kept[1]
            assert np.array_equal(state["momentum_buffer_codes"].numpy(), kept[0])
            assert np.array_equal(p.detach().numpy(), expected)
    finally:
        instruction_sets.select_isa(before)
    assert len(described) == 4  # by the core, each of them


@pytest.mark.parametrize(
    ("how", "dtype"),
    [
        *(
            (how, dtype)
            for how in MOMENTA
            for dtype in (torch.float32, torch.bfloat16, torch.float16)
        ),
        ({"lr": 0.1, "momentum": 0.9, "parameter_format": SHP}, torch.float32),
    ],
    ids=str,
)
def test_the_core_and_operators_do_the_same_step(how, dtype):
    made = []
    for by_core in (True, False):
        p = parameter((4001,), dtype)
        optimizer = ct.SGD([p], seed=1, **how)
        if not by_core:
            optimizer._moments_in_core = lambda group: ()
        for step in range(4):
            p.grad = torch.randn(4001, generator=torch.Generator().manual_seed(step)).to(dtype)
            optimizer.step()
        made.append((p.detach().float(), optimizer.state[p]))
    (p, state), (q, other) = made
    assert state.keys() == other.keys()
    assert state["steps"] == other["steps"] == 4
    assert state["momentum_buffer_bias"] == other["momentum_buffer_bias"]
    # PyTorch may round where the core fuses
    assert (state["momentum_buffer_codes"] == other["momentum_buffer_codes"]).float().mean() > 0.9
    assert (p == q).float().mean() > 0.9


@pytest.mark.parametrize("by_core", [True, False])
def test_a_momentum_stays_while_the_group_has_none(by_core):
    """As PyTorch's: a scheduler may set it to 0 and back."""
    dtype = torch.float32 if by_core else torch.float64
    p, q = parameter(dtype=dtype), parameter(dtype=dtype)
    own = ct.SGD([p], lr=0.1, momentum=0.9, rounding="ties_to_even")
    theirs = torch.optim.SGD([q], lr=0.1, momentum=0.9)
    for step, momentum in enumerate((0.9, 0.9, 0.0, 0.9)):
        for optimizer, x in ((own, p), (theirs, q)):
            optimizer.param_groups[0]["momentum"] = momentum
            x.grad = torch.full_like(x, 2.0 ** (2 - step))
            optimizer.step()
        assert int(own.state[p]["steps"]) == step + 1
    torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-3)
    # and one that begins without any has one later
    p = parameter(dtype=dtype)
    own = ct.SGD([p], lr=0.1)
    for momentum in (0.0, 0.5):
        own.param_groups[0]["momentum"] = momentum
        p.grad = torch.ones_like(p)
        own.step()
    (kept,) = own.torch_state_dict()["state"].values()
    torch.testing.assert_close(kept["momentum_buffer"], torch.ones_like(p.detach()))


@each
def test_a_group_has_no_formats_of_its_own(name):
    """They were ignored; PyTorch's optimizers keep any key of a group."""
    optimizer = getattr(ct, name)([parameter()], seed=0, parameter_format="CFloat16_SHP")
    moment = {"AdamW": "first", "SGD": "momentum_format"}[name]
    for key, value in (
        ("parameter_format", "CFloat8_1_4_3"),
        ("parameter_format", None),
        (moment, "CFloat8_1_5_2"),
        ("rounding", "ties_to_even"),
        ("parameter_rounding", "ties_to_even"),
    ):
        with pytest.raises(cf.ArgumentValueError, match=f"{key} of a group is .* of the optimizer"):
            optimizer.add_param_group({"params": [parameter((3,))], key: value})
        with pytest.raises(cf.ArgumentValueError, match=f"{key} of a group is"):
            getattr(ct, name)(
                [{"params": [parameter((3,))], key: value}], parameter_format="CFloat16_SHP"
            )
    assert len(optimizer.param_groups) == 1
    same = {"parameter_format": cf.CFloat16_SHP, moment: "CFloat16_SHP", "rounding": "stochastic"}
    optimizer.add_param_group({"params": [parameter((3,))]} | same)
    assert len(optimizer.param_groups) == 2
