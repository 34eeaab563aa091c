"""Biases of activations from batches, beside those that NumPy's functions choose of the same tensors."""

import copy
import importlib
import io
import sys
import warnings

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
nn = torch.nn

E4, E5 = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2


class Conv(nn.Module):
    """What calibration must not change: BatchNorm, dropout, and parts in different modes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        return self.linear(self.drop(self.norm(self.conv(x)).relu()).mean((2, 3)))


def batches(count=4):
    found = []
    for i in range(count):
        x = torch.randn(8, 3, 6, 6) * torch.tensor([0.01, 1.0, 50.0])[:, None, None] * 2.0**i
        x[0, 0, 0, :3] = torch.tensor([0.0, torch.inf, torch.nan])
        found.append(x)
    return found


def inputs_of(model, given):
    """Return what the plain model's Conv and Linear layers get, in evaluation mode, along the batches."""
    seen = {"conv": [], "linear": []}
    hooks = [
        getattr(model, name).register_forward_pre_hook(lambda _, x, own=own: own.append(x[0]))
        for name, own in seen.items()
    ]
    with torch.no_grad():
        for x in given:
            model(x)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(own) for name, own in seen.items()}


@pytest.mark.quick
@pytest.mark.parametrize("per", ["tensor", "channel"])
@pytest.mark.parametrize("method", ["max", "percentile", "mse"])
def test_biases_are_those_of_all_batches_as_one(method, per):
    model, given = Conv().eval(), batches()
    given = [torch.nan_to_num(x, nan=1.0, posinf=2.0) for x in given] if per == "channel" else given
    expected = inputs_of(model, given)
    ct.quantize(model, weight=E5, activation=E4)
    assert ct.calibrate(model, given, method=method, per=per, percentile=97.0) is model
    for name, x in expected.items():
        rounder = getattr(model, name).activation_rounder
        axis = None if per == "tensor" else 1
        bias = cf.choose_bias(x.numpy(), E4, method, axis=axis, percentile=97.0)
        np.testing.assert_array_equal(np.asarray(rounder.bias), bias)
        assert rounder.observed.tolist() == [x.numel(), 4]
        assert f"from {x.numel():,} elements in 4 batches" in repr(rounder)
    if per == "channel":
        x = torch.nan_to_num(given[0])
        spread = np.asarray(model.conv.activation_rounder.bias)[:, None, None]
        expected = cf.round_to(x.numpy(), E4, spread)
        np.testing.assert_array_equal(model.conv.activation_rounder(x).numpy(), expected)


def test_moving_average():
    model, given = ct.quantize(nn.Sequential(nn.Linear(3, 2)), activation=E4), []
    average = None
    for peak in (1.0, 100.0, 3.0, 1000.0):
        x = torch.full((4, 3), peak)
        given.append(x)
        average = peak if average is None else 0.75 * average + 0.25 * peak
    ct.calibrate(model, given, method="moving_average", momentum=0.25)
    assert model[0].activation_rounder.history[0] == average
    assert model[0].activation_rounder.bias == cf.choose_bias([average], E4, "max")
    assert model[0].activation_rounder.bias > cf.choose_bias([1000.0], E4, "max")


@pytest.mark.quick
def test_nothing_else_changes():
    model, given = Conv(), batches()
    given = [torch.nan_to_num(x) for x in given]
    ct.quantize(model, weight=E4, activation=E4, gradient=E5, rounding={"gradient": "stochastic"})
    model.drop.eval()
    before = copy.deepcopy(model.state_dict())
    modes = [part.training for part in model.modules()]
    random = torch.get_rng_state()
    ct.calibrate(model, given, progress=False)
    assert torch.equal(torch.get_rng_state(), random)
    assert [part.training for part in model.modules()] == modes
    changed = {
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed
    assert all(".activation_rounder." in name for name in changed)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any("forward" in part.__dict__ for part in model.modules())

    def failing():
        yield given[0]
        raise RuntimeError("no more")

    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="no more"):
        ct.calibrate(model, failing())
    assert [part.training for part in model.modules()] == modes
    assert not any("forward" in part.__dict__ for part in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", ["max", "mse"])
@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_what_was_learnt_survives(method, per):
    """Copies, state dicts and codes round with the same biases."""
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    ct.quantize(model, weight=E4, activation=E4)
    x = torch.randn(16, 6) * torch.tensor([0.01, 1, 1, 3, 50, 1e-4])
    ct.calibrate(model, [x, x * 2], method=method, per=per)
    expected = model(x)
    fresh = ct.quantize(
        nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), weight=E4, activation=E4
    )
    fresh.load_state_dict(model.state_dict(), strict=True)
    for other in (copy.deepcopy(model), fresh.eval()):
        assert torch.equal(other(x), expected)
        assert repr(other) == repr(model)
    codes = ct.to_inference(copy.deepcopy(model))
    torch.testing.assert_close(codes(x), expected, rtol=1e-5, atol=1e-5)
    again = ct.to_inference(
        ct.quantize(
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), weight=E4, activation=E4
        )
    )
    again.load_state_dict(codes.state_dict(), strict=True)
    assert torch.equal(again(x), codes(x))
    fresh.load_state_dict(codes.state_dict(), strict=True)
    torch.testing.assert_close(fresh(x), expected, rtol=1e-5, atol=1e-5)


def test_training_goes_on():
    model = ct.quantize(nn.Sequential(nn.Linear(3, 2)), activation=E4, window=2)
    rounder = model[0].activation_rounder
    ct.calibrate(model, [torch.full((4, 3), 100.0)])
    model(torch.ones(4, 3))
    assert rounder.bias == cf.choose_bias([100.0], E4, "max")
    model(torch.ones(4, 3))
    assert rounder.bias == cf.choose_bias([1.0], E4, "max")
    ct.calibrate(model, [torch.full((4, 3), 100.0)], method="mse")
    assert rounder.bias == cf.choose_bias([100.0], E4, "mse")
    model(torch.ones(4, 3))
    assert rounder.bias == cf.choose_bias([1.0], E4, "max")


def test_layers_of_codes_learn_too():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    quantized = ct.quantize(model, weight=E4, activation=E4)
    x = torch.randn(16, 6) * 30
    codes = ct.to_inference(copy.deepcopy(quantized))
    ct.calibrate(codes, [x])
    ct.calibrate(quantized, [x])
    assert [codes[i].activation_bias for i in (0, 2)] == [
        quantized[i].activation_rounder.bias for i in (0, 2)
    ]
    assert "from 96 elements in 1 batch" in repr(codes[0])
    torch.testing.assert_close(codes(x), quantized(x), rtol=1e-4, atol=1e-4)


def test_batches_of_every_kind_and_padding():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x, attention_mask=None):
            return self.linear(x)

    def bias(batch, **how):
        model = ct.quantize(Model(), activation=E4)
        ct.calibrate(model, [batch], **how)
        return model.linear.activation_rounder.bias

    x = torch.ones(2, 4, 3)
    x[:, 3] = 1000.0
    mask = torch.tensor([[1, 1, 1, 0]] * 2)
    small, large = cf.choose_bias([1.0], E4, "max"), cf.choose_bias([1000.0], E4, "max")
    assert bias({"x": x}) == bias((x,)) == bias(x) == large
    assert bias({"x": x, "attention_mask": mask}) == small
    assert bias({"x": x, "attention_mask": mask}, per="tensor", method="mse") == cf.choose_bias(
        np.ones(3), E4
    )
    model = ct.quantize(Model(), activation=E4)
    ct.calibrate(model, ["a", "b"], forward=lambda name: model(x))
    assert model.linear.activation_rounder.bias == large
    assert model.linear.activation_rounder.observed.tolist() == [48, 2]


def test_layers_that_no_batch_reached():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.other = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.used(x)

    model = ct.quantize(Model(), activation=E4)
    with pytest.warns(ct.QuantizationWarning, match="no batch reached 'other'"):
        ct.calibrate(model, [torch.ones(2, 3)])
    assert model.used.activation_rounder.is_learnt
    assert not model.other.activation_rounder.is_learnt


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo
def test_compiled_models():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    ct.quantize(model, weight=E4, activation=E4)
    x = torch.randn(16, 6)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with pytest.warns(ct.QuantizationWarning):
        compiled(x)
    for per in ("tensor", "channel"):
        ct.calibrate(compiled, [x], method="mse", per=per)
        assert torch.equal(compiled(x), model(x))
        assert torch.equal(torch.export.export(model, (x,)).module()(x), model(x))
        codes = ct.to_inference(copy.deepcopy(model))
        whole = torch.compile(codes, fullgraph=True, backend="aot_eager")
        assert torch.equal(whole(x), codes(x))


def test_a_bar_on_a_terminal_alone(monkeypatch):
    progress = importlib.import_module("cfloat._report.progress")
    monkeypatch.setattr(progress, "PROGRESS_AFTER", -1.0)
    model = ct.quantize(nn.Sequential(nn.Linear(3, 2)), activation=E4)

    def shown(**how):
        stderr = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stderr)
        ct.calibrate(model, [torch.ones(2, 3)] * 2, **how)
        return stderr.getvalue()

    assert shown() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert "Calibrating" in shown()
    assert shown(progress=False) == ""


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": 3}, TypeError, "model is 3; it takes a torch.nn.Module"),
        ({"model": nn.Linear(3, 2)}, ValueError, "model has no activations whose bias is learnt"),
        ({"batches": torch.ones(2, 3)}, TypeError, "it takes several, as a list"),
        ({"batches": []}, ValueError, "batches is empty"),
        ({"batches": [3]}, TypeError, "a batch is 3; it takes a mapping, a tuple"),
        ({"method": "mean"}, ValueError, "method is 'mean'; it takes one of max, percentile, mse"),
        ({"per": "row"}, ValueError, "per is 'row'; it takes one of tensor, channel"),
        ({"percentile": 0}, ValueError, "percentile is 0"),
        ({"momentum": 2}, ValueError, "momentum is 2"),
        ({"momentum": "x"}, TypeError, "momentum is 'x'; it takes a number"),
        ({"forward": 3}, TypeError, "forward is 3; it takes a function"),
    ],
)
def test_refused(change, error, message):
    how = {
        "model": ct.quantize(nn.Sequential(nn.Linear(3, 2)), activation=E4),
        "batches": [torch.ones(2, 3)],
    }
    how |= change
    with pytest.raises(error, match=message) as caught:
        ct.calibrate(how.pop("model"), how.pop("batches"), **how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["moving_average", "max", "percentile", "mse"])
def test_empty_batches_are_not_seen(method):
    """As of an expert that no token went to, or of padding alone."""
    full, mask = torch.randn(4, 6, 3), torch.ones(4, 6, dtype=torch.bool)
    one, other = (
        ct.quantize(nn.Sequential(nn.Linear(3, 2)).eval(), activation=E4) for _ in range(2)
    )
    batches = [{"input": full, "attention_mask": mask}]
    empty = [{"input": full * 100, "attention_mask": ~mask}, {"input": full[:0]}] * 5

    def called(model):
        return lambda batch: model(batch["input"])

    ct.calibrate(one, batches, method=method, forward=called(one))
    ct.calibrate(other, empty + batches + empty, method=method, forward=called(other))
    assert repr(one[0].activation_rounder) == repr(other[0].activation_rounder)
    third = ct.quantize(nn.Sequential(nn.Linear(3, 2)).eval(), activation=E4)
    with pytest.warns(ct.QuantizationWarning, match="no batch reached"):
        ct.calibrate(third, empty, method=method, forward=called(third))
    assert not third[0].activation_rounder.is_learnt


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mse_by_channels_of_few_bits_is_that_of_choose_bias(dtype):
    """Errors are of the rounding to the format, and not of another to the dtype; no flag is raised."""
    x = (torch.randn(200, 5) * torch.tensor([2.0**-17, 1e-3, 1.0, 30.0, 2.0**-10])).to(dtype)
    model = ct.quantize(nn.Sequential(nn.Linear(5, 2).to(dtype)).eval(), activation="CFloat16_SHP")
    with cf.errstate(all="raise"):
        ct.calibrate(model, [x], method="mse", per="channel")
    expected = cf.choose_bias(x.float().numpy(), "CFloat16_SHP", "mse", axis=1)
    assert model[0].activation_rounder.bias.tolist() == expected.tolist()


def test_each_model_is_told_of_on_the_users_line():
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        warnings.simplefilter("default")
        for _ in range(3):
            model = ct.quantize(nn.Sequential(nn.Linear(3, 2)).eval(), activation=E4)
            model(torch.ones(1, 3))
            model(torch.ones(1, 3))
    assert [each.filename for each in caught] == [__file__] * 3
