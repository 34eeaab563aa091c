"""Weights of models that are rounded for their outputs: moments of layers, and what they make of these."""

import importlib
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from refusals import type_error, value_error

import cfloat as cf
from cfloat._files.plan_file import read_plan

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
nn = torch.nn

E4, E5 = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2


def of(x):
    """The oracle: the mean of x·xᵀ."""
    flat = np.asarray(x.detach().double()).reshape(-1, x.shape[-1])
    return flat.T @ flat / len(flat)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def correlated(*shape):
    x = torch.randn(*shape)
    return x @ torch.randn(shape[-1], shape[-1])


def a_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 8)).eval()


def batches_of_model():
    torch.manual_seed(2)
    return list(correlated(256, 16).split(64))


# moments


@pytest.mark.quick
def test_moments_are_those_of_sensitivity(tmp_path):
    model, batches = a_model(), batches_of_model()
    found, other = ct.collect_moments(model, batches), ct.sensitivity(model, batches)
    assert list(found.moments) == list(other.moments) == ["0.weight", "2.weight"]
    assert (found.gains, found.notes) == (None, ())
    for name, (use,) in found.moments.items():
        assert np.array_equal(use.values, other.moments[name][0].values)
    close(found.moments["2.weight"][0].values, of(model[:2](torch.cat(batches))))
    assert not any(each._forward_pre_hooks for each in model.modules())
    type_error("takes a torch.nn.Module", ct.collect_moments, 3, batches)
    type_error("takes several", ct.collect_moments, model, batches[0])
    value_error("at least one batch", ct.collect_moments, model, [])


def context_of(layer, *inputs, **how):
    """What out_proj multiplies: the output, if out_proj changes nothing."""
    weight, bias = layer.out_proj.weight.data, layer.out_proj.bias.data
    layer.out_proj.weight.data, layer.out_proj.bias.data = torch.eye(len(bias)), 0 * bias
    with torch.no_grad():
        found = layer(*inputs, **how)[0]
    layer.out_proj.weight.data, layer.out_proj.bias.data = weight, bias
    return found


@pytest.mark.quick
@pytest.mark.parametrize("batch_first", [True, False])
def test_moments_of_attention_of_one_input(batch_first):
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    x = torch.randn(3, 5, 8)
    found = ct.collect_moments(layer, [(x, x, x)])
    assert found.notes == ()
    (packed,), (out,) = found.moments["in_proj_weight"], found.moments["out_proj.weight"]
    assert (packed.values.shape, packed.count, out.count) == ((8, 8), 15, 15)
    close(packed.values, of(x))
    close(out.values, of(context_of(layer, x, x, x)))


@pytest.mark.quick
def test_moments_of_attention_of_several_inputs():
    layer = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True).eval()
    query, key, value = torch.randn(3, 5, 8), torch.randn(3, 4, 8), torch.randn(3, 4, 8)
    given = [{"query": query, "key": key, "value": value}]
    found = ct.collect_moments(layer, given)
    (packed,) = found.moments["in_proj_weight"]
    assert packed.values.shape == (3, 8, 8)
    assert packed.misfit(tuple(layer.in_proj_weight.shape)) is None
    for one, x in zip(packed.values, (query, key, value), strict=True):
        close(one, of(x))
    close(
        found.moments["out_proj.weight"][0].values,
        of(context_of(layer, query, key=key, value=value)),
    )


@pytest.mark.quick
def test_moments_of_attention_of_other_widths_and_of_a_mask():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=False)

        def forward(self, x, keys, attention_mask):
            return self.attention(x, keys, keys[..., :4])

    model = Model().eval()
    x, keys = torch.randn(5, 3, 8), torch.randn(5, 3, 6)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
    found = ct.collect_moments(model, [{"x": x, "keys": keys, "attention_mask": mask}]).moments
    kept = mask.T.bool()
    close(found["attention.q_proj_weight"][0].values, of(x[kept]))
    close(found["attention.k_proj_weight"][0].values, of(keys[kept]))
    close(found["attention.v_proj_weight"][0].values, of(keys[..., :4][kept]))
    context = context_of(model.attention, x, keys, keys[..., :4])
    close(found["attention.out_proj.weight"][0].values, of(context[kept]))
    assert found["attention.out_proj.weight"][0].count == 9


@pytest.mark.quick
def test_moments_of_attention_whose_products_are_rounded():
    """What out_proj multiplies is what these give, before it is rounded itself."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(3, 5, 8)
    ct.quantize(layer, weight=E5, activation=E5, attention=E5)
    ct.calibrate(layer.eval(), [(x, x, x)])
    seen = []
    layer.out_proj.activation_rounder.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    found = ct.collect_moments(layer, [(x, x, x)]).moments
    assert len(seen) == 1
    np.testing.assert_allclose(found["out_proj.weight"][0].values, of(seen[0]), rtol=1e-10)


@pytest.mark.quick
def test_moments_of_an_encoder_whose_fast_path_calls_no_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=True).eval()
    padded = torch.tensor([[False] * 5, [False, False, True, True, True]])
    found = ct.collect_moments(encoder, [(torch.randn(2, 5, 8), None, padded)])
    assert found.notes == ()
    assert len(found.moments) == 8
    assert encoder.use_nested_tensor


# codes and rounded weights


def wanted(model, found, name, rounder):
    weight = model.get_parameter(name).detach().numpy()
    bias = rounder.bias
    return cf.round_compensated(
        weight, rounder.format, found.moments[name][0],
        bias if isinstance(bias, int) else bias.numpy(), axis=rounder.axis, block=rounder.block,
    )  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize("how", ["object", "file", "mapping"])
@pytest.mark.parametrize(
    "granularity", ["tensor", "axis 0", "block 8"], ids=["one", "rows", "blocks"]
)
def test_codes_are_the_compensated_ones(granularity, how, tmp_path):
    plain, batches = a_model(), batches_of_model()
    found = ct.collect_moments(plain, batches)
    given = found
    if how == "file":
        given = tmp_path / "moments.safetensors"
        found.save(given)
    elif how == "mapping":
        given = {name: uses[0] for name, uses in found.moments.items()}
    model = ct.quantize(a_model(), weight=E4, granularity=granularity)
    oracle = {
        name: wanted(plain, found, name, model.get_submodule(name[0]).weight_rounder)
        for name in found.moments
    }
    made = ct.to_inference(model, moments=given)
    for name, (array, stats) in oracle.items():
        layer = made.get_submodule(name[0])
        assert np.array_equal(layer.codes.numpy(), array.codes)
        assert np.array_equal(layer.weight.bias, array.bias)
        (row,) = (row for row in ct.summary(made).layers if row.name == name[0])
        assert row.compensation == (
            f"outputs {stats.nearest_sqnr_db:.1f} dB to nearest, {stats.sqnr_db:.1f} dB compensated"
        )
        assert stats.sqnr_db > stats.nearest_sqnr_db + 1
    with torch.no_grad():
        x, nearest = torch.cat(batches), ct.quantize(a_model(), weight=E4, granularity=granularity)
        errors = [float((each.eval()(x) - plain(x)).square().sum()) for each in (made, nearest)]
    assert errors[0] < 0.7 * errors[1]


@pytest.mark.quick
@pytest.mark.parametrize("bias", ["max", "mx", 15])
@pytest.mark.parametrize("rounding", ["ties_to_even", "toward_zero", "stochastic"])
def test_rounding_leaves_what_was_compensated(rounding, bias):
    """In training mode too, where the bias is learnt again of the weights that they are now."""
    plain, batches = a_model(), batches_of_model()
    found = ct.collect_moments(plain, batches)
    model = ct.quantize(
        a_model(), weight=E4, bias=bias, rounding=rounding, seed=1, moments=found, window=2
    )
    for name in found.moments:
        layer = model.get_submodule(name[0])
        assert not torch.equal(layer.weight, plain.get_parameter(name))
        array, _ = wanted(plain, found, name, layer.weight_rounder)
        assert np.array_equal(layer.weight.detach().numpy(), np.asarray(array))
    x = torch.cat(batches)
    outputs = [model.eval()(x), *(model.train()(x) for _ in range(4)), model.eval()(x)]
    same, state = a_model(), model.state_dict()
    same.load_state_dict({name: each for name, each in state.items() if "rounder" not in name})
    assert all(torch.equal(each, same(x)) for each in outputs)


@pytest.mark.quick
def test_layers_of_other_kinds_get_values_on_the_grid():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 8)
            self.conv = nn.Conv1d(8, 8, 3, padding=1, groups=2)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.up = nn.ConvTranspose1d(8, 4, 2)

        def forward(self, ids):
            x = self.conv(self.embed(ids).mT).mT
            return self.up(self.attention(x, x, x)[0].mT)

    torch.manual_seed(0)
    model = Model().eval()
    batches = [torch.randint(0, 20, (16, 12)) for _ in range(4)]
    found = ct.collect_moments(model, batches)
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    with pytest.warns(ct.QuantizationWarning) as caught:
        ct.quantize(model, weight=E4, moments=found)
    (said,) = caught
    assert str(said.message) == (
        "rounded to nearest, and not by moments: up.weight: there are no moments of it"
    )
    assert said.filename == __file__
    rows = {row.name: row for row in ct.summary(model).layers}
    assert rows["embed"].compensation == "to nearest: an embedding"
    assert rows["up"].compensation == "to nearest: there are no moments of it"
    assert "compensated" in rows["attention"].compensation
    for name, module, slot in (
        ("conv.weight", model.conv, "weight"),
        ("attention.in_proj_weight", model.attention, "in_proj_weight"),
        ("attention.out_proj.weight", model.attention.out_proj, "weight"),
    ):
        rounder = getattr(module, f"{slot}_rounder")
        array, stats = cf.round_compensated(
            before[name].numpy(), E4, found.moments[name][0], rounder.bias
        )
        assert np.array_equal(getattr(module, slot).detach().numpy(), np.asarray(array)), name
        assert stats.error < stats.nearest_error
        assert f"{stats.sqnr_db:.1f} dB compensated" in rows[name.rpartition(".")[0]].compensation
    for name in ("embed.weight", "up.weight", "conv.bias"):
        assert torch.equal(model.get_parameter(name), before[name])


@pytest.mark.quick
def test_what_becomes_of_weights_that_several_layers_have():
    def make():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 8))
        model[2].weight = model[0].weight
        return model

    x = [correlated(200, 8)]
    found = ct.collect_moments(make(), x)
    model = ct.quantize(make(), weight=E4, moments=found)
    assert model[2].weight is model[0].weight
    array, _ = cf.round_compensated(
        make()[0].weight.detach().numpy(),
        E4,
        found.moments["0.weight"][0],
        model[0].weight_rounder.bias,
    )
    assert np.array_equal(model[0].weight.detach().numpy(), np.asarray(array))
    with pytest.warns(ct.QuantizationWarning, match="0.weight: layers share it that round it diff"):
        model = ct.quantize(make(), weight=E4, rules={"2": {"weight": E5}}, moments=found)
    assert torch.equal(model[0].weight, make()[0].weight)


@pytest.mark.quick
def test_an_embedding_that_is_a_matrix_as_well_is_said():
    model = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 9, bias=False))
    model[1].weight = model[0].weight
    found = ct.collect_moments(model, [torch.arange(9)])
    with pytest.warns(ct.QuantizationWarning, match="an embedding and a matrix of products"):
        ct.quantize(model, weight=E4, moments=found)


@pytest.mark.quick
def test_what_cannot_be_is_left_and_said():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)).half()
    found = ct.collect_moments(model.float(), [correlated(100, 8)])
    model[0].weight.data[0, 0] = torch.inf
    model[1].half()
    with pytest.warns(ct.QuantizationWarning) as caught:
        ct.quantize(model, weight=E4, moments=found, rules={"1": {"bias": 62}, "0": {"bias": 8}})
    assert "0.weight: it is not finite everywhere" in str(caught[0].message)
    assert "1.weight: torch.float16 does not hold the values of CFloat8_1_4_3" in str(
        caught[0].message
    )
    assert "2.weight" not in str(caught[0].message)


@pytest.mark.quick
def test_refusals_leave_the_model_as_it_was():
    found = ct.collect_moments(a_model(), batches_of_model())
    (good,) = found.moments["0.weight"]
    for wrong, check, message in (
        (3, type_error, "moments is 3; it takes what collect_moments gives"),
        ({"0.weight": 3}, type_error, "moments['0.weight'] is 3"),
        ({"0.weight": ()}, type_error, "moments['0.weight'] is ()"),
        ({}, value_error, "moments is of no weight"),
        ({"3.weight": good, "x": good}, value_error, "'3.weight' and 1 others, which is the name of no par"),
        ({"2.weight": good}, value_error, "moments['2.weight']: moments of 16 inputs"),
        ({"0.weight": good}, value_error, "nothing of a weight that a layer rounds"),
    ):  # fmt: skip
        model = a_model()
        check(message, ct.quantize, model, weight=E4, skip=["0"], moments=wrong)
        assert type(model[2]) is nn.Linear
        quantized = ct.quantize(model, weight=E4, skip=["0"])
        check(message, ct.to_inference, quantized, moments=wrong)
        assert isinstance(quantized[2], ct.QuantizedLinear)
    with pytest.raises(cf.errors.FileError):
        ct.quantize(a_model(), weight=E4, moments="none.safetensors")
    meta = a_model().to("meta")
    value_error(
        "moments['0.weight'] is of a weight without values",
        ct.quantize,
        meta,
        weight=E4,
        moments=found,
    )
    assert type(meta[0]) is nn.Linear


@pytest.mark.quick
def test_a_summary_says_no_more_than_it_knows():
    found = ct.collect_moments(a_model(), batches_of_model())
    model = ct.quantize(a_model(), weight=E4, moments=found)
    state = model.state_dict()

    def said():
        return [row.compensation for row in ct.summary(model).layers]

    assert all("compensated" in each for each in said())
    assert "dB compensated" in str(ct.summary(model))
    with torch.no_grad():
        model[0].weight += 0.001
    assert said()[0] == "changed since it was compensated"
    model.load_state_dict(state)
    assert said() == ["", ""]
    ct.compensate(plain := a_model(), batches_of_model(), E4)
    model = ct.to_inference(ct.quantize(plain, weight=E4))
    assert said() == ["", ""]  # of what it was given on the grid
    model = ct.to_inference(ct.quantize(a_model(), weight=E4), moments=found)
    assert all("compensated" in each for each in said())
    model.load_state_dict(model.state_dict())
    assert said() == ["", ""]


@pytest.mark.quick
def test_codes_of_what_was_changed_have_no_figures_of_before():
    found = ct.collect_moments(a_model(), batches_of_model())
    model = ct.quantize(a_model(), weight=E4, moments=found)
    with torch.no_grad():
        model[0].weight += 0.001
    rows = ct.summary(ct.to_inference(model)).layers
    assert rows[0].compensation == "changed since it was compensated"
    assert rows[1].compensation.endswith("dB compensated")


@pytest.mark.quick
def test_what_moments_cannot_do_is_said():
    """Those of few inputs, none that have no factor, and those that gain nothing."""
    few = ct.collect_moments(a_model(), [batches_of_model()[0][:5]])
    said = ct.summary(ct.quantize(a_model(), weight=E4, moments=few)).layers[0].compensation
    assert said.endswith("dB compensated (moments of 5 inputs, fewer than the 16 columns)")
    for values, reason in (
        (np.zeros((2, 2)), "moments are 0, or have no factor"),
        (np.array([[1.0, 5], [5, 1]]), "moments are 0, or have no factor"),
        (np.eye(2), "nowhere better than to nearest"),
    ):
        torch.manual_seed(0)
        layer = nn.Linear(2, 4)
        before = layer.weight.detach().clone()
        with pytest.warns(ct.QuantizationWarning, match=f"not by moments: weight: {reason}"):
            ct.quantize(layer, weight=E4, moments={"weight": cf.SecondMoment(values, 9)})
        (row,) = ct.summary(layer).layers
        assert row.compensation == f"to nearest: {reason}"
        assert torch.equal(layer.weight, before)


@pytest.mark.quick
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_layers_without_elements_and_squares_that_overflow():
    model = nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 3))
    found = ct.collect_moments(model, [torch.randn(3, 4)])
    assert not found.moments
    assert found.notes == ("by their elements: 0.weight, 1.weight: it has no elements",)
    made = ct.compensate(model, [torch.randn(3, 4)], E4)
    assert set(made.left.values()) == {"it has no elements"}
    # a sum that is finite, and twice as much is not
    large = torch.tensor([[1.2e154, 1.0], [1.0, 2.0]], dtype=torch.float64)
    found = ct.collect_moments(nn.Linear(2, 2).double(), [large])
    assert found.notes == (
        "by their elements: weight: its inputs are not all finite, or none counts",
    )


@pytest.mark.quick
@pytest.mark.parametrize("count", [5, 400])
def test_a_model_is_not_compensated_twice(count):
    found = ct.collect_moments(a_model(), [torch.cat(batches_of_model())[:count]])
    model = ct.quantize(a_model(), weight=E4, moments=found)
    before = [model[i].weight.detach().clone() for i in (0, 2)]
    said = [row.compensation for row in ct.summary(model).layers]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = ct.to_inference(model, moments=found)
    for i, weight in zip((0, 2), before, strict=True):
        assert np.array_equal(np.asarray(made[i].weight), weight.numpy())
    assert [row.compensation for row in ct.summary(made).layers] == said


@pytest.mark.slow
def test_a_fresh_process_loads_codes(tmp_path):
    """The state of codes, and the plain model's with the values that they stand for."""
    found = ct.collect_moments(a_model(), batches_of_model())
    made = ct.to_inference(ct.quantize(a_model(), weight=E4), moments=found)
    x = torch.cat(batches_of_model())
    torch.save(
        {"codes": made.state_dict(), "plain": ct.plain_state_dict(made), "x": x, "y": made(x)},
        tmp_path / "saved.pt",
    )
    script = f"""
import torch, cfloat.torch as ct
nn = torch.nn
def model():
    return nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 8)).eval()
saved = torch.load({str(tmp_path / "saved.pt")!r})
made = ct.to_inference(ct.quantize(model(), weight="CFloat8_1_4_3"))
made.load_state_dict(saved["codes"])
assert torch.equal(made(saved["x"]), saved["y"])
plain = model()
plain.load_state_dict(saved["plain"])
again = ct.to_inference(ct.quantize(plain, weight="CFloat8_1_4_3"))
assert torch.equal(again(saved["x"]), saved["y"])
"""
    subprocess.run([sys.executable, "-P", "-c", script], check=True, cwd=tmp_path)


@pytest.mark.quick
def test_a_plan_of_compensated_weights_takes_moments(tmp_path):
    model, moments = a_model(), ct.collect_moments(a_model(), batches_of_model())
    weights = {name: each.detach().clone() for name, each in model.state_dict().items()}
    cf.save(tmp_path / "model.safetensors", weights)
    plan = tmp_path / "plan.toml"
    file = tmp_path / "model.safetensors"
    how = {"size": 0.3, "include": ["*weight"]}
    made = cf.plan(file, sensitivity=moments, compensate=True, **how)
    made.save(plan)
    with pytest.raises(cf.FileError, match="compensated is true"):
        ct.quantize(model, plan=plan)
    ct.quantize(model, plan=plan, moments=moments)
    for name, (moment,) in moments.moments.items():
        choice = read_plan(plan, compensates=True)[name]
        expected, _ = cf.round_compensated(
            weights[name], choice.format, moment, "max", axis=choice.axis, block=choice.block
        )
        assert np.array_equal(model.get_parameter(name).detach(), np.asarray(expected))


# a whole model in one call


def weights_of(model):
    return {name: each.detach().clone() for name, each in model.named_parameters() if each.ndim > 1}


@pytest.mark.quick
def test_one_pass_is_by_the_inputs_of_the_model_as_it_was():
    model, batches = a_model(), batches_of_model()
    found = ct.collect_moments(a_model(), batches)
    made = ct.compensate(model, iter(batches), E4, "output", axis=0, order="given", damping=0.02)
    assert isinstance(made, ct.ModelCompensation)
    assert list(made.weights) == list(found.moments)
    assert made.left == {}
    for name, weight in weights_of(a_model()).items():
        array, stats = cf.round_compensated(
            weight.numpy(),
            E4,
            found.moments[name][0],
            "output",
            axis=0,
            order="given",
            damping=0.02,
        )
        assert np.array_equal(model.get_parameter(name).detach().numpy(), np.asarray(array))
        assert made.weights[name] == stats
    assert model.training is False
    assert all(each.requires_grad for each in model.parameters())
    assert "0.weight" in str(made)
    assert f"{made.weights['2.weight'].sqnr_db:.1f}" in str(made)


class Block(nn.Module):
    """Layers of one input, attention, a layer that is called twice and a tied one."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(8, 3)  # called last
        self.q, self.k = nn.Linear(8, 8), nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.twice = nn.Linear(8, 8)
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.twice.weight
        self.table = nn.Embedding(7, 8)
        self.unused = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, ids):
        self.calls += 1
        x = self.table(ids)
        x = self.q(x) * torch.sigmoid(self.k(x))
        x = x + self.attention(x, x, x)[0]
        return self.last(self.tied(torch.tanh(self.twice(torch.tanh(self.twice(x))))))


def in_order(make, batches, groups):
    """The oracle: moments of the model with what is before rounded, all of them anew each time."""
    model = make()
    for group in groups:
        found = ct.collect_moments(model, batches)
        for name in group:
            weight = model.get_parameter(name)
            array, _ = cf.round_compensated(weight.detach().numpy(), E4, found.moments[name][0])
            weight.data = torch.from_numpy(np.asarray(array, np.float32))
    return weights_of(model)


@pytest.mark.quick
def test_sequential_is_by_inputs_of_layers_that_are_rounded():
    def make():
        torch.manual_seed(3)
        return Block().train()

    torch.manual_seed(4)
    batches = [torch.randint(0, 7, (8, 6)) for _ in range(3)]
    groups = [
        ["q.weight", "k.weight"], ["attention.in_proj_weight"], ["attention.out_proj.weight"],
        ["twice.weight"], ["last.weight"],
    ]  # fmt: skip
    model, steps = make(), []
    made = ct.compensate(
        model, batches, E4, sequential=True, progress=lambda *step: steps.append(step)
    )
    assert list(made.weights) == [name for group in groups for name in group]
    assert made.left == {"table.weight": "an embedding", "unused.weight": "was not called"}
    assert "left as they were: table.weight: an embedding; unused.weight: was not c" in str(made)
    wanted = in_order(make, batches, groups)
    for name, weight in weights_of(model).items():
        assert torch.equal(weight, wanted[name]), name
    assert model.calls == len(groups) * len(batches)
    assert model.training
    assert steps[-1] == (5 * 3 + 6, 5 * 3 + 6)
    assert [done for done, _ in steps] == list(range(1, 22))
    assert not any(each._forward_pre_hooks for each in model.modules())
    # and otherwise than by the inputs of the model as it was
    other = make()
    ct.compensate(other, batches, E4)
    assert other.calls == len(batches)
    assert torch.equal(other.q.weight, model.q.weight)
    assert not torch.equal(other.attention.in_proj_weight, model.attention.in_proj_weight)


@pytest.mark.quick
@pytest.mark.parametrize(
    "fmt",
    [E4, E5, E4.replace(nonfinite="ieee", name="ieee"), E4.replace(bias=(0, 18))],
    ids=str,
)
@pytest.mark.parametrize("granularity", ["tensor", "axis 0", "block 4"])
def test_quantize_leaves_what_is_on_the_grid(fmt, granularity):
    """By the bias "max", whatever the bias was, and whatever was beyond the largest value at it."""
    axis, block = (
        (0, None) if granularity == "axis 0" else (None, 4 if granularity == "block 4" else None)
    )
    for bias in ("mse", "output", 15, 18):
        model = a_model()
        with torch.no_grad():
            model[0].weight *= torch.logspace(-6, 3, 24, base=2)[:, None]
        ct.compensate(model, batches_of_model(), fmt, bias, axis=axis, block=block)
        before = weights_of(model)
        made = ct.to_inference(ct.quantize(model, weight=fmt, granularity=granularity))
        for i in (0, 2):
            assert np.array_equal(np.asarray(made[i].weight), before[f"{i}.weight"].numpy()), bias


@pytest.mark.quick
def test_layers_that_are_skipped_stay_as_they_are():
    for skip in (["2"], lambda name, layer: name == "2"):
        model = a_model()
        made = ct.compensate(model, batches_of_model(), E4, skip=skip)
        assert list(made.weights) == ["0.weight"]
        assert made.left == {}
        assert torch.equal(model[2].weight, a_model()[2].weight)
        assert not torch.equal(model[0].weight, a_model()[0].weight)


@pytest.mark.quick
def test_attention_that_is_skipped_keeps_what_it_alone_reads():
    """As with quantize."""
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True).eval()
    made = ct.compensate(layer, [torch.randn(4, 5, 8)], E4, skip=["self_attn"])
    assert list(made.weights) == ["linear1.weight", "linear2.weight"]
    assert made.left == {}


@pytest.mark.quick
def test_what_compensate_refuses():
    batches, calls = batches_of_model(), []
    model = a_model()
    model.register_forward_pre_hook(lambda *_: calls.append(1))

    def refused(check, message, *args, **how):
        check(message, ct.compensate, *args, **how)
        assert not calls
        assert torch.equal(model[0].weight, a_model()[0].weight)

    refused(type_error, "takes a torch.nn.Module", 3, batches, E4)
    refused(type_error, "takes several", model, batches[0], E4)
    refused(type_error, "sequential is 1; it takes True or False", model, batches, E4, sequential=1)
    refused(type_error, "can be gone through once", model, iter(batches), E4, sequential=True)
    refused(type_error, "progress is 3", model, batches, E4, progress=3)
    refused(value_error, "order is 'up'", model, batches, E4, order="up")
    refused(value_error, "damping is -1", model, batches, E4, damping=-1)
    refused(value_error, "least", model, batches, E4, "least")
    refused(value_error, "'0.weight': axis is 5; it takes", model, batches, E4, axis=5)
    refused(value_error, "'0.weight': block is 0; it takes", model, batches, E4, block=0)
    refused(type_error, "'0.weight': axis is 'x'; it takes", model, batches, E4, axis="x")
    refused(
        value_error,
        "'2.weight': bias has shape (24, 1), which does not",
        model,
        batches,
        E4,
        [[9]] * 24,
    )
    refused(value_error, "fits no layer's name", model, batches, E4, skip=["x"])
    refused(value_error, "that is not skipped", model, batches, E4, skip=["*"])
    value_error("at least one batch", ct.compensate, model, [], E4)
    lazy = nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(3))
    value_error(
        "layer '1' does not know its shape yet", ct.compensate, lazy, [torch.ones(1, 4)], E4
    )
    quantized = ct.quantize(a_model(), weight=E4)
    value_error(
        "layer '0' is quantized; it takes a plain model", ct.compensate, quantized, batches, E4
    )


@pytest.mark.slow
def test_a_bar_shows_the_time_left():
    script = """
import time, torch, cfloat.torch as ct
model = torch.nn.Linear(4, 4)
model.register_forward_pre_hook(lambda *_: time.sleep(0.6))
ct.compensate(model, [torch.randn(4, 4)] * 4, "CFloat8_1_4_3", progress=True)
"""
    run = subprocess.run(
        [sys.executable, "-P", "-c", script],
        check=True, capture_output=True, text=True, env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "100"},
    )  # fmt: skip
    assert "compensating" in run.stderr
    assert "0:00:0" in run.stderr
    assert run.stdout == ""


@pytest.mark.slow
def test_a_model_of_transformers(tmp_path):
    """GPT-2's Conv1D, whose weights are transposed; and what a fresh process reads of its folder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=50, n_positions=32)
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    batches = [{"input_ids": torch.randint(0, 50, (8, 16))} for _ in range(3)]
    before = weights_of(model)
    made = ct.compensate(model, batches, E4, sequential=True)
    names = [name for name in before if ".h." in name]
    assert sorted(made.weights) == sorted(names)
    assert len(names) == 8
    assert made.left["transformer.wte.weight"] == "an embedding and a matrix of products"
    for name, stats in made.weights.items():
        assert stats.error < stats.nearest_error, name
        assert not torch.equal(model.get_parameter(name), before[name])
    with torch.no_grad():
        wanted = model(**batches[0]).logits
    model.save_pretrained(tmp_path / "model")
    torch.save({"batch": batches[0], "wanted": wanted}, tmp_path / "saved.pt")
    script = f"""
import torch, transformers, cfloat as cf
saved = torch.load({str(tmp_path / "saved.pt")!r})
model = transformers.GPT2LMHeadModel.from_pretrained({str(tmp_path / "model")!r}).eval()
with torch.no_grad():
    assert torch.equal(model(**saved["batch"]).logits, saved["wanted"])
weight = model.transformer.h[0].mlp.c_fc.weight.detach().numpy()
assert (cf.round_to(weight, "CFloat8_1_4_3", "max") == weight).all()
"""
    subprocess.run([sys.executable, "-P", "-c", script], check=True, cwd=tmp_path)


@pytest.mark.slow
def test_transformers_folder_of_compensated_codes(tmp_path):
    """A fresh process reads the same codes, and computes the same."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=32,
        intermediate_size=48,
        num_attention_heads=2,
        num_hidden_layers=2,
        vocab_size=60,
    )
    torch.manual_seed(0)
    model = transformers.BertModel(config).eval()
    ids = torch.randint(0, 60, (8, 12))
    mask = (torch.arange(12) < torch.arange(4, 12)[:, None]).long()
    batch = {"input_ids": ids, "attention_mask": mask}
    ct.collect_moments(model, [batch]).save(tmp_path / "moments.safetensors")
    before = weights_of(model)
    model = ct.quantize(model, weight=E4, skip=["*embeddings*"])
    made = ct.to_inference(model, moments=tmp_path / "moments.safetensors")
    layer = made.encoder.layer[1].output.dense
    (use,) = cf.Sensitivity.load(tmp_path / "moments.safetensors").moments[
        "encoder.layer.1.output.dense.weight"
    ]
    array, _ = cf.round_compensated(
        before["encoder.layer.1.output.dense.weight"].numpy(), E4, use, int(layer.weight_bias)
    )
    assert np.array_equal(layer.codes.numpy(), array.codes)
    with torch.no_grad():
        wanted = made(**batch).last_hidden_state
    made.save_pretrained(tmp_path / "model")
    torch.save(
        {"batch": batch, "wanted": wanted, "codes": torch.from_numpy(array.codes)},
        tmp_path / "saved.pt",
    )
    script = f"""
import torch, transformers, cfloat.torch as ct
saved = torch.load({str(tmp_path / "saved.pt")!r})
model = ct.load_pretrained(transformers.BertModel, {str(tmp_path / "model")!r})
assert torch.equal(model.encoder.layer[1].output.dense.codes, saved["codes"])
with torch.no_grad():
    assert torch.equal(model(**saved["batch"]).last_hidden_state, saved["wanted"])
"""
    subprocess.run([sys.executable, "-P", "-c", script], check=True, cwd=tmp_path)
