"""Layers of every class with weights, beside the plain layer with weights and inputs that NumPy rounded."""

import abc
import copy
import importlib
import pickle
import warnings

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
_ops = importlib.import_module("cfloat.torch._ops")
nn = torch.nn

E4, E5 = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2


class Scaled(nn.Linear):
    """A subclass with a forward pass of its own."""

    def forward(self, x):
        return 3 * nn.functional.linear(x, self.weight.abs(), self.bias)


class Ids(nn.Sequential):
    """Takes indices."""


def weight_normed():
    return nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))


FLOATS, IDS = (5, 6), (5,)
LAYERS = {
    "subclass": (lambda: Scaled(6, 4), lambda: torch.randn(5, 6)),
    "not dynamic": (
        lambda: nn.modules.linear.NonDynamicallyQuantizableLinear(6, 4),
        lambda: torch.randn(5, 6),
    ),
    "embedding": (lambda: nn.Embedding(9, 4, padding_idx=0), lambda: torch.arange(9)),
    "bag": (lambda: nn.EmbeddingBag(9, 4), lambda: torch.arange(9).reshape(3, 3)),
    "transposed1": (lambda: nn.ConvTranspose1d(2, 3, 3), lambda: torch.randn(2, 2, 5)),
    "transposed2": (
        lambda: nn.ConvTranspose2d(2, 4, 3, stride=2, groups=2),
        lambda: torch.randn(2, 2, 5, 5),
    ),
    "transposed3": (lambda: nn.ConvTranspose3d(2, 3, 2), lambda: torch.randn(1, 2, 3, 3, 3)),
    "normed": (weight_normed, lambda: torch.randn(5, 6)),
    "lstm": (
        lambda: nn.LSTM(6, 4, 2, bidirectional=True),
        lambda: torch.randn(5, 2, 6),
    ),
    "gru": (lambda: nn.GRU(6, 4, batch_first=True), lambda: torch.randn(5, 2, 6)),
    "rnn": (lambda: nn.RNN(6, 4), lambda: torch.randn(5, 2, 6)),
    "cell": (lambda: nn.LSTMCell(6, 4), lambda: torch.randn(5, 6)),
}


def rounded(x, bias="max"):
    return torch.from_numpy(cf.round_to(x.detach().numpy(), E4, bias))


def with_rounded_weights(layer):
    """Return a copy of a plain layer, whose weights are what NumPy's function rounds them to."""
    other = copy.deepcopy(layer)
    if nn.utils.parametrize.is_parametrized(other):
        plain = nn.Linear(other.in_features, other.out_features)
        plain.weight, plain.bias = nn.Parameter(rounded(other.weight)), other.bias
        return plain
    for name, parameter in other.named_parameters():
        if "weight" in name and parameter.ndim > 1:
            parameter.data = rounded(parameter)
    return other


def first(y):
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.quick
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_compute_with_rounded_weights(kind):
    make, inputs = LAYERS[kind]
    layer, x = make(), inputs()
    plain, exact = copy.deepcopy(layer), with_rounded_weights(layer)
    before = [name for name, _ in layer.named_parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ct.quantize(nn.Sequential(layer), weight=E4, activation=E4, gradient=E5)
    model(x)
    assert [name for name, _ in model[0].named_parameters()] == before
    for (name, own), (_, other) in zip(
        model[0].named_parameters(), plain.named_parameters(), strict=True
    ):
        assert torch.equal(own, other), name
    if x.is_floating_point():
        x = x.clone().requires_grad_()
        given = rounded(x).requires_grad_()
    else:
        given = x
    y, expected = first(model(x)), first(exact(given))
    assert torch.equal(y, expected)
    assert not torch.equal(y, first(plain(x)))
    assert type(model[0]).__name__ == f"Quantized{type(plain).__name__}"
    assert isinstance(model[0], type(plain).__mro__[1] if kind == "normed" else type(plain))
    # gradients are rounded on their way in, and pass the weights' rounding
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    # copies, and states
    model.eval()
    y = first(model(x))
    assert torch.equal(first(copy.deepcopy(model)(x)), y)
    fresh = ct.quantize(nn.Sequential(make()), weight=E4, activation=E4, gradient=E5).eval()
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(first(fresh(x)), y)
    # a plain layer's state brings biases of its own
    other = make()
    if kind not in ("normed",):
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(8)
    fresh.load_state_dict({f"0.{k}": v for k, v in other.state_dict().items()}, strict=True)
    assert torch.equal(first(fresh(x)), first(with_rounded_weights(other)(given)))
    if kind != "normed":  # PyTorch pickles no parametrizations
        assert torch.equal(first(pickle.loads(pickle.dumps(model))(x)), y)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kdim", [None, 5])
def test_attention(batch_first, kdim):
    attention = nn.MultiheadAttention(8, 2, kdim=kdim, vdim=kdim, batch_first=batch_first)
    exact = with_rounded_weights(attention)
    q = torch.randn(3, 4, 8)
    k = torch.randn(3, 4, kdim or 8)
    model = ct.quantize(nn.ModuleList([attention]), weight=E4)[0]
    for mode in (True, False):
        exact.train(mode)
        model.train(mode)
        for weights in (True, False):
            y, found = model(q, k, k, need_weights=weights)
            expected, other = exact(q, k, k, need_weights=weights)
            torch.testing.assert_close(y, expected)
            assert (found is None) == (other is None)
        with torch.no_grad():  # the fast path
            torch.testing.assert_close(model(q, k, k)[0], exact(q, k, k)[0])
    with_inputs = ct.quantize(
        copy.deepcopy(attention := nn.MultiheadAttention(8, 2)),
        activation=E4,
        rules={"*": {"attention": None}},
    )
    with_inputs(q, q, q)
    expected = attention(rounded(q), rounded(q), rounded(q))[0]
    torch.testing.assert_close(with_inputs(q, q, q)[0], expected)


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
def test_a_transformer_is_rounded_whole():
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), 2
    )
    exact = with_rounded_weights(encoder)
    x = torch.randn(3, 5, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ct.quantize(encoder, weight=E4)
    for mode in (True, False):
        torch.testing.assert_close(encoder.train(mode)(x), exact.train(mode)(x))
        with torch.no_grad():
            torch.testing.assert_close(encoder(x), exact(x))
    encoder = ct.quantize(exact, activation=E4, skip=["*.self_attn"]).eval()
    ct.calibrate(encoder, [x])
    encoder(x)


def test_packed_sequences():
    layer = nn.LSTM(6, 4)
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(5, 2, 6), [5, 3])
    exact = with_rounded_weights(layer)
    ct.quantize(layer, weight=E4, activation=E4, gradient=E5)
    y, _ = layer(packed)
    data = nn.utils.rnn.PackedSequence(rounded(packed.data), *packed[1:])
    assert torch.equal(y.data, exact(data)[0].data)
    y.data.sum().backward()


@pytest.mark.parametrize("make", [lambda: nn.LSTM(6, 4), lambda: nn.GRU(6, 4, 2)])
def test_packed_sequences_are_one_input(make):
    """A batch that is one, and not the parts of its tuple; its padding is nowhere."""
    x = torch.randn(5, 2, 6)
    x[3:, 1] = 1e6  # behind the shorter one's end
    packed = nn.utils.rnn.pack_padded_sequence(x, [5, 3])
    layer, other = (ct.quantize(make(), weight=E4, activation=E4) for _ in range(2))
    ct.calibrate(layer, [packed])
    ct.calibrate(other, [(packed,)])
    assert layer.activation_rounder.bias == other.activation_rounder.bias
    assert layer.activation_rounder.bias == cf.choose_bias(packed.data.numpy(), E4, "max")


class Block(nn.Module):
    """Of a residual network: two convolutions beside a shorter way."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.shortcut(x))


def residual_network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), Block(8, 8, 1), Block(8, 16, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


def test_a_residual_network_is_rounded_whole():
    """Beside the plain network, each of whose layers gets what NumPy's function rounds by hooks."""
    model, x = residual_network(), torch.randn(4, 3, 12, 12)
    plain = copy.deepcopy(model)
    layers = [each for each in plain.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    for layer in layers:
        layer.weight.data = rounded(layer.weight)
        layer.register_forward_pre_hook(lambda _, args: (rounded(args[0]),))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ct.quantize(model, weight=E4, activation=E4)
    assert len(layers) == 8
    assert torch.equal(model(x), plain(x))  # in training mode, whose norms learn, too
    assert torch.equal(model.eval()(x), plain.eval()(x))
    assert sum(layer.is_rounded for layer in ct.summary(model).layers) == 8


@pytest.mark.quick
@pytest.mark.parametrize(
    "granularity", ["tensor", "axis 0", "axis 1", "block 3", "block 2 along 0", "block 5 along 0-1"]
)
def test_large_tables_are_rounded_where_they_are_read(granularity, monkeypatch):
    """In evaluation mode, to the bits and gradients of a whole table, and in training mode to learn."""
    table = nn.Embedding(1024, 7, padding_idx=3)
    with torch.no_grad():
        table.weight.mul_(torch.logspace(-3, 3, 1024)[:, None])
        table.weight[9, 2] = np.inf  # beyond the largest value: no gradient
    model = ct.quantize(table, weight=E4, granularity=granularity).eval()
    ids = torch.tensor([[3, 9, 1023, 9], [0, 512, 3, 9]])
    expected = nn.functional.embedding(ids, model.weight_rounder(model.weight), padding_idx=3)
    (gradient,) = torch.autograd.grad(expected.sum(), model.weight)
    sizes, forward = [], _ops.round_at_once
    monkeypatch.setattr(
        _ops, "round_at_once", lambda x, *how: (sizes.append(x.numel()), forward(x, *how))[1]
    )
    assert torch.equal(model(ids), expected)
    assert torch.equal(torch.autograd.grad(model(ids).sum(), model.weight)[0], gradient)
    if granularity == "tensor":
        assert set(sizes) == {ids.numel() * 7}
    model.train()(ids)
    assert model.weight_rounder.observed.tolist() == [2 * table.weight.numel(), 2]


def test_large_tables_compile_and_are_left_as_they_are_to_calibrate():
    model = nn.Sequential(nn.Embedding(1024, 6), nn.Linear(6, 2)).eval()
    ids = torch.arange(0, 1000, 7)
    _ = ct.quantize(model, weight=E4, activation=E4)
    _ = ct.calibrate(model, [ids], progress=False)
    assert model[1].activation_rounder.history.amax() == model[0].weight[ids].abs().amax()
    with torch.no_grad():
        expected = model(ids)
        found = torch.compile(model, fullgraph=True, backend="eager")(ids)
    assert torch.equal(found, expected)
    assert not torch.equal(model[0](ids), model[0].weight[ids])


def test_what_is_left_alone_is_named():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(3, 4))

    model = nn.ModuleDict(
        {
            "a": nn.Linear(3, 2),
            "own": Own(),
            "e": nn.Embedding(5, 2, max_norm=1.0),
            "s": nn.Embedding(5, 2, sparse=True),
            "n": nn.LayerNorm(3),
        }
    )
    with pytest.warns(ct.QuantizationWarning, match="not rounded") as caught:
        ct.quantize(copy.deepcopy(model), weight=E4)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "'own' (of class Own)" in message
    assert "'e' (max_norm changes its weights" in message
    assert "'s' (its gradients are sparse" in message
    assert "'n'" not in message
    ct.quantize(copy.deepcopy(model), weight=E4, skip=["own", "e", "s"])
    ct.quantize(copy.deepcopy(model), weight=E4, skip=lambda name, layer: name in ("own", "e", "s"))


@pytest.mark.parametrize("granularity", ["axis 0", "axis 1", "block 4", "block 6 along 0-1"])
def test_granularities_of_weights(granularity):
    axis = int(granularity[-1]) if granularity.startswith("axis") else None
    how = {"axis": axis} if axis is not None else {"block": 4}
    if "along" in granularity:
        how = {"axis": (0, 1), "block": 6}
    layer = nn.Linear(10, 6)
    with torch.no_grad():
        layer.weight.mul_(torch.logspace(-3, 3, 6)[:, None])
    weight = layer.weight.detach().numpy().copy()
    model = ct.quantize(nn.Sequential(layer), weight=E4, activation=E4, granularity=granularity)
    values = np.asarray(cf.asarray(weight, E4, "max", **how))
    x = torch.randn(5, 10)
    model(x)
    expected = nn.functional.linear(rounded(x), torch.from_numpy(values), layer.bias)
    assert torch.equal(model(x), expected)
    np.testing.assert_array_equal(
        np.asarray(model[0].weight_rounder.bias).ravel(),
        np.asarray(cf.choose_bias(weight, E4, "max", **how)).ravel(),
    )
    fresh = ct.quantize(
        nn.Sequential(nn.Linear(10, 6)), weight=E4, activation=E4, granularity=granularity
    )
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(fresh.eval()(x), expected)
    codes = ct.to_inference(copy.deepcopy(model))
    np.testing.assert_array_equal(np.asarray(codes[0].weight), values)
    torch.testing.assert_close(codes(x), expected, rtol=1e-5, atol=1e-3)
    if "along" not in granularity:
        fresh.load_state_dict(codes.state_dict(), strict=True)
        torch.testing.assert_close(fresh(x), expected, rtol=1e-5, atol=1e-3)
    rounder = ct.Rounder(E4, **how)
    assert torch.equal(rounder(torch.from_numpy(weight)), torch.from_numpy(values))
    assert (rounder.axis, rounder.block) == (how.get("axis"), how.get("block"))


def test_convolutions_by_channel():
    layer = nn.Conv2d(3, 4, 3)
    weight = layer.weight.detach().numpy().copy()
    ct.quantize(layer, weight=E4, granularity="block 9 along 1-3")
    values = np.asarray(cf.asarray(weight, E4, "max", axis=(1, 2, 3), block=9))
    assert torch.equal(layer.weight_rounder(layer.weight), torch.from_numpy(values))


@pytest.mark.quick
def test_rules():
    model = nn.ModuleDict(
        {"head": nn.Linear(3, 3), "body": nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))}
    )
    ct.quantize(
        model, weight=E4,
        rules={"body.1": {"weight": E5, "granularity": "axis 0"}, "body.*": {"activation": E5}, "head": None},
    )  # fmt: skip
    assert type(model["head"]) is nn.Linear
    first, second = model["body"]
    assert (first.weight_rounder.format, first.activation_rounder.format) == (E4, E5)
    assert (second.weight_rounder.format, second.activation_rounder) == (E5, None)
    assert second.weight_rounder.axis == 0
    for rules, message in (
        ({"tail": None}, "rules has 'tail', which fits no layer's name"),
        ({"head": {"size": 3}}, r"rules\['head'\] has the key 'size'; it takes weight, activation"),
        ({"head": 3}, r"rules\['head'\] is 3; it takes a mapping"),
        (3, "rules is 3; it takes a mapping"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            ct.quantize(nn.ModuleDict({"head": nn.Linear(3, 3)}), weight=E4, rules=rules)
    for granularity, message in (
        ("axis", "granularity is 'axis'; it takes"),
        ("axis 2", r"takes an axis from 0 to 1"),
        (3, "granularity is 3; it takes a string"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            ct.quantize(nn.Linear(3, 3), weight=E4, granularity=granularity)


def test_plans(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'version = 1\n[tensors]\n"0.weight" = { format = "CFloat8_1_5_2", granularity = "axis 0" }\n'
        '"2.weight" = { format = "unchanged" }\n'
        '"9.weight" = { format = "CFloat8_1_4_3", granularity = "tensor" }\n'
    )
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.warns(ct.QuantizationWarning, match=r"in the plan, and no weight .*: '9\.weight'"):
        ct.quantize(model, plan=path)
    assert (model[0].weight_rounder.format, model[0].weight_rounder.axis) == (E5, 0)
    assert type(model[2]) is nn.Linear
    with pytest.raises(cf.FileError, match="missing"):
        ct.quantize(nn.Linear(2, 2), plan=tmp_path / "missing.toml")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo
@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
@pytest.mark.parametrize(
    "kind", ["subclass", "embedding", "transposed2", "normed", "transformer", "residual"]
)
def test_they_compile_whole_and_are_exported(kind):
    if kind == "transformer":
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        x = torch.randn(3, 5, 16)
    elif kind == "residual":
        layer, x = residual_network(), torch.randn(2, 3, 8, 8)
    else:
        layer, x = LAYERS[kind][0](), LAYERS[kind][1]()
    how = {"attention": E4} if kind == "transformer" else {}
    model = ct.quantize(nn.Sequential(layer), weight=E4, activation=E4, **how)
    with torch.no_grad():
        model(x)
        model.eval()
        expected = model(x)
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), expected)
        torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo
def test_a_small_gpt_is_rounded_whole():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=32, vocab_size=100, n_positions=32, bos_token_id=0, eos_token_id=0
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.randint(0, 100, (2, 16))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    exact = with_rounded_weights(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ct.QuantizationWarning)
        ct.quantize(model, weight=E4)
    with torch.no_grad():
        y = model(**batch)[0]
        torch.testing.assert_close(y, exact(**batch)[0])
    matrices = sum(each.numel() for each in model.parameters() if each.ndim > 1)
    assert ct.summary(model).rounded_elements == matrices
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(**batch)[0], y)


class Disabled(nn.Linear):
    """A layer that is not compiled."""

    @torch.compiler.disable
    def forward(self, x):
        return nn.functional.linear(x, self.weight, self.bias)


@torch.no_grad()  # PyTorch warns of gradients between the parts
def test_what_is_not_compiled_of_a_compiled_model_rounds_too():
    model = nn.Sequential(Disabled(8, 4), nn.Tanh(), Disabled(4, 2)).eval()
    x = torch.randn(5, 8)
    plain = model(x)
    ct.quantize(model, weight=E5)
    expected = model(x)
    found = torch.compile(model, backend="eager")(x)
    assert torch.equal(found, expected)
    assert not torch.equal(found, plain)


def norm(layer, name="weight"):
    return nn.utils.parametrizations.weight_norm(layer, name)


class WithMeta(nn.Linear, abc.ABC):
    """A class with a metaclass of its own."""


PARAMETRIZED = {
    "linear": (lambda: nn.Linear(6, 4), "weight", lambda: torch.randn(5, 6)),
    "conv": (lambda: nn.Conv1d(2, 3, 3), "weight", lambda: torch.randn(2, 2, 5)),
    "subclass": (lambda: Scaled(6, 4), "weight", lambda: torch.randn(5, 6)),
    "meta": (lambda: WithMeta(6, 4), "weight", lambda: torch.randn(5, 6)),
    "embedding": (lambda: nn.Embedding(9, 4), "weight", lambda: torch.arange(9)),
    "attention": (
        lambda: Self(8, 2, batch_first=True), "in_proj_weight", lambda: torch.randn(2, 5, 8)),
}  # fmt: skip


class Self(nn.MultiheadAttention):
    """Attention of one input."""

    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]


@pytest.mark.quick
@pytest.mark.filterwarnings(
    "ignore:.*of attention are not rounded.*:cfloat.torch.QuantizationWarning"
)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", PARAMETRIZED)
def test_parametrizations_come_and_go(kind, when):
    """Weights are rounded all the while, whether PyTorch was asked for them before `quantize` or after."""
    make, name, inputs = PARAMETRIZED[kind]
    layer, x = make(), inputs()
    plain = copy.deepcopy(layer)

    def expected(weight):
        other = with_rounded_weights(plain)
        getattr(other, name).data = rounded(weight)
        return other(x)

    if when == "before":
        norm(layer, name)
    model = ct.quantize(nn.ModuleList([layer]), weight=E4)[0]
    if when == "after":
        norm(model, name)
    with torch.no_grad():
        model.parametrizations[name].original0.mul_(3)
    weight = getattr(model, name)
    torch.testing.assert_close(model(x), expected(weight))
    assert not torch.equal(rounded(weight), weight)
    torch.testing.assert_close(copy.deepcopy(model)(x), expected(weight))
    row = ct.summary(model).layers[0]
    assert "computed from others" in row.note
    nn.utils.parametrize.remove_parametrizations(model, name)
    assert isinstance(getattr(model, name), nn.Parameter)
    assert name in model.state_dict()
    torch.testing.assert_close(model(x), expected(weight))
    torch.testing.assert_close(copy.deepcopy(model)(x), expected(weight))
    # and others of the class are what they were
    other = ct.quantize(nn.ModuleList([make()]), weight=E4)[0]
    other.load_state_dict(plain.state_dict())
    torch.testing.assert_close(other(x), expected(getattr(plain, name)))


def test_computed_weights_are_made_no_codes():
    model = ct.quantize(nn.Sequential(nn.Linear(6, 4), norm(nn.Linear(4, 4))), weight=E4)
    x = torch.randn(5, 6)
    y = model(x)
    ct.to_inference(model)
    assert [type(each).__name__ for each in model] == [
        "CFloatLinear",
        "QuantizedParametrizedLinear",
    ]
    torch.testing.assert_close(model(x), y)
