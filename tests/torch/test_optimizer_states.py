"""States of `AdamW` and `SGD`, and of PyTorch's optimizers of these names: what goes over, and what not."""

import copy
import importlib

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")

HOW = {
    "AdamW": {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1},
    "SGD": {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1},
}
MOMENTS = {"AdamW": ("exp_avg", "exp_avg_sq"), "SGD": ("momentum_buffer",)}
each = pytest.mark.parametrize("name", HOW)


def trained(make, steps=3, start=0, params=None, dtype=torch.float32, **how):
    """Parameters and their optimizer after some steps."""
    if params is None:
        generator = torch.Generator().manual_seed(7)
        sizes = ((30, 5), (9,))
        params = [torch.nn.Parameter(torch.randn(n, generator=generator).to(dtype)) for n in sizes]
    optimizer = make(params, **how) if callable(make) else make
    for step in range(start, start + steps):
        generator = torch.Generator().manual_seed(step)
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype) * 0.01
        optimizer.step()
    return params, optimizer


def copies(params):
    return [torch.nn.Parameter(p.detach().clone()) for p in params]


@each
def test_pytorchs_optimizer_never_takes_codes_for_moments(name):
    """It took 57439.0, a code, for a moment."""
    params, own = trained(getattr(ct, name), **HOW[name])
    others = copies(params)
    theirs = getattr(torch.optim, name)(others, **HOW[name])
    if name == "AdamW":
        with pytest.raises(KeyError, match="step"):
            theirs.load_state_dict(own.state_dict())
        return
    theirs.load_state_dict(own.state_dict())
    trained(theirs, 1, start=3, params=others)
    fresh_params = copies(params)
    fresh = getattr(torch.optim, name)(fresh_params, **HOW[name])
    trained(fresh, 1, start=3, params=fresh_params)
    assert all(map(torch.equal, others, fresh_params))


def test_nor_do_others_of_pytorchs_take_them():
    params, own = trained(ct.AdamW, **HOW["AdamW"])
    for name in ("Adam", "NAdam", "RAdam", "Adamax"):
        with pytest.raises(KeyError):
            getattr(torch.optim, name)(copies(params)).load_state_dict(own.state_dict())


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_from_pytorchs_and_back(name, dtype):
    params, theirs = trained(getattr(torch.optim, name), dtype=dtype, **HOW[name])
    others = copies(params)
    own = getattr(ct, name)(others, lr=1.0, momentum=0.5, seed=4) if name == "SGD" else (
        ct.AdamW(others, lr=1.0, seed=4)
    )  # fmt: skip
    own.load_state_dict(copy.deepcopy(theirs.state_dict()))
    assert own.param_groups[0]["lr"] == 0.01
    assert own.param_groups[0]["seed"] == 4
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    back = own.torch_state_dict()
    assert back["param_groups"] == theirs.state_dict()["param_groups"]
    for number, state in theirs.state_dict()["state"].items():
        assert back["state"][number].keys() == state.keys()
        assert name == "SGD" or back["state"][number]["step"] == 3
        for moment in MOMENTS[name]:
            found = back["state"][number][moment]
            assert found.dtype == wide
            # half an ulp of 11 significant bits, and what the largest element leaves of subnormals
            bound = 2.0**-11 * state[moment].abs() + 2.0**-24 * state[moment].abs().max()
            assert ((found - state[moment]).abs() <= bound).all()
    # and on both go, near each other, until PyTorch's goes on from ours
    third = copies(others)
    last = getattr(torch.optim, name)(third, **HOW[name])
    last.load_state_dict(back)
    for optimizer, of in ((theirs, params), (own, others), (last, third)):
        trained(optimizer, 3, start=3, params=of)
    for a, b, c in zip(params, others, third, strict=True):
        # an ulp of bfloat16 a step
        how = {"rtol": 3 * 2.0**-7 if dtype == torch.bfloat16 else 0, "atol": 1e-3 * 3 * 0.01}
        assert torch.allclose(a, b, **how)
        assert torch.allclose(a, c, **how)


def test_pytorchs_state_keeps_three_moments():
    params, theirs = trained(torch.optim.AdamW, amsgrad=True)
    own = ct.AdamW(copies(params), seed=0)
    own.load_state_dict(theirs.state_dict())
    assert own.param_groups[0]["amsgrad"] is True
    back = own.torch_state_dict()["state"][0]["max_exp_avg_sq"]
    expected = theirs.state_dict()["state"][0]["max_exp_avg_sq"]
    assert torch.allclose(back, expected, rtol=2.0**-11, atol=0)


def test_states_of_other_optimizers_are_refused():
    params, _ = trained(torch.optim.AdamW)
    own = {"AdamW": ct.AdamW(params, seed=0), "SGD": ct.SGD(params, momentum=0.9, seed=0)}
    states = {
        name: trained(getattr(torch.optim, name), params=copies(params), **how)[1].state_dict()
        for name, how in (("SGD", {"momentum": 0.9}), ("RMSprop", {}), ("RAdam", {}), ("AdamW", {}))
    }
    for name, other in (
        ("AdamW", "SGD"),
        ("AdamW", "RMSprop"),
        ("AdamW", "RAdam"),
        ("SGD", "AdamW"),
        ("SGD", "RMSprop"),
    ):
        with pytest.raises(cf.ArgumentValueError, match=f"torch.optim.{name}$"):
            own[name].load_state_dict(states[other])
    for name, other in (("AdamW", "SGD"), ("SGD", "AdamW")):
        with pytest.raises(cf.ArgumentValueError, match=f"cfloat.torch.{name} or"):
            own[name].load_state_dict(own[other].state_dict())
    adam = trained(torch.optim.Adam, params=copies(params), weight_decay=0.1)[1].state_dict()
    with pytest.raises(cf.ArgumentValueError, match="a part of the gradient"):
        own["AdamW"].load_state_dict(adam)
    wrong = copy.deepcopy(states["AdamW"])
    wrong["state"][0]["exp_avg"] = wrong["state"][0]["exp_avg"].int()
    with pytest.raises(cf.ArgumentTypeError, match=r"state has exp_avg of torch\.int32"):
        own["AdamW"].load_state_dict(wrong)


def test_states_written_before_names_changed_are_loaded():
    """As 0.1.0 had them at first: PyTorch's names for codes, and groups without the newer options."""
    params, own = trained(ct.AdamW, **HOW["AdamW"], seed=5)
    old = copy.deepcopy(own.state_dict())
    for group in old["param_groups"]:
        for option in ("amsgrad", "maximize", "foreach", "fused"):
            del group[option]
    for state in old["state"].values():
        state["step"] = state.pop("steps")
        for moment in MOMENTS["AdamW"]:
            state[moment] = state.pop(f"{moment}_codes")
    assert sorted(old["state"][0]) == [
        "exp_avg", "exp_avg_bias", "exp_avg_sq", "exp_avg_sq_bias", "exp_avg_sq_scale", "step",
    ]  # fmt: skip
    others = copies(params)
    other = ct.AdamW(others)
    other.load_state_dict(old)
    for optimizer, of in ((own, params), (other, others)):
        trained(optimizer, 3, start=3, params=of)
    assert all(map(torch.equal, params, others))


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("more", [{}, {"maximize": True}, {"amsgrad": True}], ids=str)
def test_what_is_resumed_has_the_bits_of_what_was_not_interrupted(name, dtype, more, tmp_path):
    if name == "SGD" and "amsgrad" in more:
        more = {"nesterov": True}
    params, own = trained(getattr(ct, name), 6, dtype=dtype, **HOW[name], **more, seed=1)
    before, first = trained(getattr(ct, name), 3, dtype=dtype, **HOW[name], **more, seed=1)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    others = copies(before)
    resumed = getattr(ct, name)(others)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    trained(resumed, 3, start=3, params=others)
    assert all(map(torch.equal, params, others))
    for p, q in zip(params, others, strict=True):
        state, other = own.state[p], resumed.state[q]
        assert state.keys() == other.keys()
        for key, value in state.items():
            assert np.array_equal(np.asarray(value), np.asarray(other[key]))


@each
def test_groups_to_come_go_on_with_the_seed_that_was_loaded(name):
    """So that ranks, and what resumes, draw the same words for them."""
    make = getattr(ct, name)
    params, optimizer = trained(make, **HOW[name])
    state = copy.deepcopy(optimizer.state_dict())
    later = [torch.nn.Parameter(torch.ones(400, dtype=torch.bfloat16))]
    ends = []
    for resumed in (
        optimizer,
        make(copies(params), **HOW[name]),
        make(copies(params), **HOW[name]),
    ):
        if resumed is not optimizer:
            resumed.load_state_dict(copy.deepcopy(state))
        (added,) = copies(later)
        resumed.add_param_group({"params": [added]})
        every = [p for group in resumed.param_groups for p in group["params"]]
        trained(resumed, 3, 3, every)
        assert len({group["seed"] for group in resumed.param_groups}) == 1
        ends.append(added)
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[1], ends[2])


def without(name):
    return lambda state: state["state"][0].pop(name)


def with_state(name, value):
    return lambda state: state["state"][0].update({name: value})


MALFORMED = [
    (lambda state: state.clear(), "state has no 'state', but []"),
    (lambda state: state.pop("param_groups"), "state has no 'param_groups'"),
    (lambda state: state.update(param_groups=3), "param_groups of a state is 3; it takes a list"),
    (lambda state: state.update(param_groups=[3]), "a group of a state is 3; it takes a dict"),
    (lambda state: state.update(state=[1]), "state of a state is [1]; it takes a dict"),
    (lambda state: state.update(state={0: 1}), "state of parameter 0 is 1; it takes a dict"),
    (lambda state: state["param_groups"][0].pop("params"), "params None; it takes a list"),
    (lambda state: state["param_groups"][0].update(lr="x"), "lr is 'x'; it takes a number"),
    (lambda state: state["param_groups"][0].update(seed=-1), "seed is -1"),
    (without("steps"), "state has steps None; it takes an integer, 0 or more"),
    (with_state("steps", "x"), "state has steps 'x'"),
    (with_state("steps", 1.5), "state has steps 1.5"),
]  # fmt: skip


@each
@pytest.mark.parametrize(("damage", "message"), MALFORMED, ids=[text for _, text in MALFORMED])
def test_malformed_states_are_refused(name, damage, message):
    _, own = trained(getattr(ct, name), **HOW[name], seed=5)
    state = copy.deepcopy(own.state_dict())
    damage(state)
    check_refused(own, state, message)


def check_refused(own, state, message):
    before = copy.deepcopy(own.state_dict())
    with pytest.raises((cf.ArgumentTypeError, cf.ArgumentValueError)) as refused:
        own.load_state_dict(state)
    assert message in str(refused.value)
    after = own.state_dict()  # nothing was loaded
    assert after["param_groups"] == before["param_groups"]
    for number, kept in after["state"].items():
        for key, value in kept.items():
            assert torch.equal(
                torch.as_tensor(value), torch.as_tensor(before["state"][number][key])
            )


@each
def test_states_whose_moments_are_not_the_parameters_are_refused(name):
    _, own = trained(getattr(ct, name), **HOW[name], seed=5)
    shape = tuple(own.param_groups[0]["params"][0].shape)
    for moment in MOMENTS[name]:
        for change, message in (
            (without(f"{moment}_bias"), f"state has {moment}_bias None; it takes a torch.Tensor"),
            (
                with_state(f"{moment}_bias", torch.tensor(99)),
                f"state has {moment}_bias 99; it takes",
            ),
            (
                with_state(f"{moment}_bias", 3),
                f"state has {moment}_bias 3; it takes a torch.Tensor",
            ),
            (without(f"{moment}_codes"), "codes are None; it takes a torch.Tensor"),
            (
                with_state(f"{moment}_codes", torch.zeros(2, dtype=torch.uint16)),
                f"state has {moment}_codes of shape (2,); it takes that of the parameter, {shape}",
            ),
        ):
            state = copy.deepcopy(own.state_dict())
            change(state)
            check_refused(own, state, message)
    if name == "AdamW":
        state = copy.deepcopy(own.state_dict())
        state["state"][0]["exp_avg_sq_scale"] = torch.tensor(127)
        check_refused(own, state, "state has exp_avg_sq_scale 127; it takes -126 to 126")
        theirs = own.torch_state_dict()
        del theirs["state"][0]["exp_avg_sq"]
        check_refused(
            own, theirs, "state has no 'exp_avg_sq' of a parameter; it takes exp_avg, exp"
        )
        theirs = own.torch_state_dict()
        del theirs["state"][0]["step"]
        check_refused(own, theirs, "state has steps None")
    theirs = own.torch_state_dict()
    moment = MOMENTS[name][0]
    theirs["state"][0][moment] = torch.zeros(3)
    check_refused(own, theirs, f"state has {moment}_codes of shape (3,); it takes that of")
