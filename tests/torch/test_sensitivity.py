"""Second moments of layers' inputs, and changes of a model's output, beside NumPy's of what passes."""

import copy
import importlib
import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from refusals import type_error, value_error

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
nn = torch.nn


def of(x):
    """The oracle: the mean of x·xᵀ, and how many there are."""
    flat = np.asarray(x.detach().double()).reshape(-1, x.shape[-1])
    return SimpleNamespace(values=flat.T @ flat / len(flat), count=len(flat))


def check(found, wanted, axis=1):
    (use,) = found
    np.testing.assert_allclose(use.values, wanted.values, rtol=1e-12, atol=1e-14)
    assert (use.count, use.axis) == (wanted.count, axis)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_linear(dtype, monkeypatch):
    monkeypatch.setattr("cfloat.torch._input_moments._PIECE_SIZE", 24)  # 2 or 3 rows at a time
    model = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 4)).to(dtype)
    batches = [torch.randn(3, 5, 8, dtype=dtype), torch.randn(7, 8, dtype=dtype)]
    found = ct.sensitivity(model, batches)
    inputs = [each.reshape(-1, 8) for each in batches]
    check(found.moments["0.weight"], of(torch.cat(inputs)))
    hidden = torch.cat([model[:2](each) for each in inputs])
    check(found.moments["2.weight"], of(hidden))
    assert found.notes == ()
    assert found.gains is None


def test_embedding_and_its_transpose_as_output():
    """A weight that is tied: of an embedding, and of the layer that gives logits."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 6)
            self.head = nn.Linear(6, 11, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            return self.head(torch.tanh(self.embed(ids)))

    model = Model()
    batches = [torch.randint(0, 9, (4, 5)), torch.randint(0, 9, (2, 3))]
    found = ct.sensitivity(model, [{"ids": each} for each in batches])
    ids = torch.cat([each.reshape(-1) for each in batches])
    assert found.moments["embed.weight"] is not found.moments["head.weight"]
    for name in ("embed.weight", "head.weight"):
        rows, matrix = found.moments[name]
        np.testing.assert_allclose(rows.values, np.bincount(ids, minlength=11) / 26)
        assert (rows.count, rows.axis) == (26, 0)
        check([matrix], of(torch.tanh(model.embed(ids))))


@pytest.mark.parametrize("piece", [1 << 22, 100])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2),
        nn.Conv2d(4, 6, 3, padding="same", groups=2),
        nn.Conv2d(4, 6, (2, 3), padding="valid", stride=(2, 1)),
        nn.Conv2d(4, 8, 3, padding=(2, 1), padding_mode="circular", groups=4),
        nn.Conv2d(4, 6, (4, 2), padding="same", padding_mode="reflect", dilation=(1, 2)),
        nn.Conv3d(4, 2, 2, padding=1),
    ],
    ids=str,
)
def test_convolutions(layer, piece, monkeypatch):
    """What a weight's outputs are in the mean square, as the convolution itself has them."""
    monkeypatch.setattr("cfloat.torch._input_moments._PIECE_SIZE", piece)
    layer = layer.double()
    axes = len(layer.kernel_size)
    batches = [torch.randn(3, 4, *[7, 6, 5][:axes]).double() for _ in range(2)]
    batches.append(batches[0][0])  # one that is no batch
    layer.bias.data.zero_()
    found = ct.sensitivity(layer, batches)
    (use,) = found.moments["weight"]
    for _ in range(3):
        layer.weight.data = torch.randn_like(layer.weight)
        outputs = [layer(x) for x in batches]
        count = sum(y.numel() for y in outputs) // layer.out_channels
        wanted = sum(float(y.detach().square().sum()) for y in outputs) / count
        weight = np.asarray(layer.weight.detach())
        assert use.square(weight, 0, len(weight)) == pytest.approx(wanted)
        assert use.count == count
        assert use.misfit(weight.shape) is None


def test_padded_positions_do_not_count():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.types = nn.Embedding(10, 6), nn.Embedding(2, 6)
            self.layer, self.pooler = nn.Linear(6, 3), nn.Linear(6, 2)

        def forward(self, input_ids, attention_mask, other=None):
            x = self.embed(input_ids) + self.types(torch.zeros_like(input_ids))
            x = x + (1 - attention_mask[..., None]) * 1e9  # what passes there is large
            return self.layer(x), self.pooler(x[:, 0])

    model = Model()
    ids = torch.randint(0, 10, (3, 5))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    found = ct.sensitivity(model, [{"input_ids": ids, "attention_mask": mask, "other": None}])
    kept = mask.bool()
    x = model.embed(ids) + model.types(torch.zeros_like(ids))
    check(found.moments["layer.weight"], of(x[kept]))
    check(found.moments["pooler.weight"], of(x[:, 0]))  # of no positions, it counts
    counts = np.bincount(ids[kept], minlength=10) / 9
    check(found.moments["embed.weight"], SimpleNamespace(values=counts, count=9), 0)
    assert found.moments["types.weight"][0].count == 9


class Attention(nn.Module):
    """Queries, keys and values of one tensor; and, in some calls, other ones."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.late = (nn.Linear(6, 6) for _ in range(4))

    def forward(self, x, other=None, late=False):
        y = self.q(x)
        y = y + self.k(x if other is None else other)
        if late:
            y = y + self.late(x)
        return self.v(x) + y


def passed(model, batches):
    """What each layer gets, by hooks of its own."""
    seen = {}
    hooks = [
        layer.register_forward_hook(lambda _, args, __, name=name: seen[name].append(args[0]))
        for name, layer in model.named_children()
        if not seen.setdefault(name, [])
    ]
    for batch in batches:
        model(*batch)
    for hook in hooks:
        hook.remove()
    return {
        name: of(torch.cat([x.reshape(-1, x.shape[-1]) for x in each]))
        for name, each in seen.items()
        if each
    }


def test_layers_with_one_input_have_one_matrix(monkeypatch):
    model = Attention()
    batches = [(torch.randn(2, 6),) for _ in range(3)]
    products = []
    gram = importlib.import_module("cfloat.torch._input_moments")._gram
    monkeypatch.setattr(
        "cfloat.torch._input_moments._gram", lambda *args: products.append(1) or gram(*args)
    )
    found = ct.sensitivity(model, batches)
    (q,), (k,), (v,) = (found.moments[f"{name}.weight"] for name in "qkv")
    assert q is k is v
    assert len(products) == 3
    check([q], passed(model, batches)["q"])
    assert found.notes == ("by their elements: late.weight: was not called",)


@pytest.mark.parametrize(
    "batches",
    [
        # keys part at the first, the second and the last batch; and come back
        [(True, False), (False, False)],
        [(False, False), (True, False), (False, False)],
        [(False, True), (False, False), (True, True)],
        [(False, False), (False, True), (False, True), (True, False)],
    ],
    ids=str,
)
def test_layers_whose_inputs_part_have_a_matrix_each(batches):
    model = Attention()
    given = [
        (torch.randn(3, 6), torch.randn(2, 3, 6)[0] if other else None, late)
        for other, late in batches
    ]
    found = ct.sensitivity(model, given)
    wanted = passed(model, given)
    assert len(wanted) == 3 + any(late for _, late in batches)
    for name, moment in wanted.items():
        check(found.moments[f"{name}.weight"], moment)
    assert found.moments["q.weight"][0] is found.moments["v.weight"][0]
    assert found.moments["q.weight"][0] is not found.moments["k.weight"][0]


def test_a_tensor_that_is_changed_in_place_is_another():
    class Model(Attention):
        def forward(self, x):
            y = self.q(x)
            x.mul_(3)
            return self.k(x) + y

    model = Model()
    found = ct.sensitivity(model, [(torch.ones(1, 6),)])
    check(found.moments["q.weight"], of(torch.ones(1, 6)))
    check(found.moments["k.weight"], of(3 * torch.ones(1, 6)))


def test_a_layer_that_is_called_twice():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.other = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x):
            y = self.layer(x) + 0 * self.layer(x)
            z = self.other(y) + self.layer(y)
            return self.layer(y) + z  # of the same once more

    model = Model()
    x = [torch.randn(4, 6), torch.randn(3, 6)]
    found = ct.sensitivity(model, x)
    y = [model.layer(each) for each in x]
    check(found.moments["layer.weight"], of(torch.cat([*x, *x, *y, *y])))
    check(found.moments["other.weight"], of(torch.cat(y)))


def test_layers_that_share_a_weight_share_its_inputs():
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    model = nn.Sequential(first, nn.Tanh(), second)
    x = torch.randn(5, 6)
    found = ct.sensitivity(model, [x])
    wanted = of(torch.cat([x, torch.tanh(first(x))]))
    check(found.moments["0.weight"], wanted)
    check(found.moments["2.weight"], wanted)


def test_what_is_not_known_is_said():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.deep = nn.ConvTranspose1d(2, 3, 2)
            self.bag = nn.EmbeddingBag(4, 2)
            self.table = nn.Parameter(torch.randn(4, 2))
            self.large = nn.Linear(2, 2)

        def forward(self, x):
            self.large(torch.full((1, 2), float("inf")))
            return self.deep(x)

    (note,) = ct.sensitivity(Model(), [torch.randn(1, 2, 5)]).notes
    assert "table, deep.weight, bag.weight: of a layer of another kind" in note
    assert "large.weight: its inputs are not all finite" in note


def test_complex_inputs_have_no_real_moments():
    model = nn.Linear(4, 3, dtype=torch.complex64)
    found = ct.sensitivity(model, [torch.randn(5, 4, dtype=torch.complex64)])
    assert not found.moments
    assert found.notes == ("by their elements: weight: its inputs are complex",)


def test_a_weight_that_is_computed_is_none_of_a_layers_own():
    """It is another tensor at each call, whose address is that of one before."""
    normed = nn.utils.parametrizations.weight_norm
    sizes = itertools.pairwise((3, 5, 4, 7, 3))
    model = nn.Sequential(*(normed(nn.Linear(*each)) for each in sizes), nn.Linear(3, 2))
    found = ct.sensitivity(model, [torch.randn(2, 3)] * 3, by="model")
    assert set(found.moments) == {"4.weight"}
    assert "of a layer of another kind" in found.notes[0]
    assert {"0.parametrizations.weight.original1", "4.bias"} <= set(found.gains)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_it_was(fails):
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    model[1].eval()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    modes = [each.training for each in model.modules()]
    batches = [torch.ones(1, 4), torch.ones(1, 5) if fails else torch.zeros(1, 4)]
    for by in ("layer", "model"):
        if fails:
            with pytest.raises(RuntimeError):
                ct.sensitivity(model, batches, by=by)
        else:
            ct.sensitivity(model, batches, by=by)
    assert [each.training for each in model.modules()] == modes
    assert not any(each._forward_pre_hooks for each in model.modules())
    after = model.state_dict()
    assert all(torch.equal(after[name], each) for name, each in before.items())
    assert torch.is_grad_enabled()
    assert all(each.requires_grad for each in model.parameters())


def mixed():
    """A model of all kinds, a statistic that is no parameter among them."""
    return nn.Sequential(
        nn.Embedding(20, 8), nn.BatchNorm1d(5), nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 3)
    )


def test_gains_are_what_a_rounded_tensor_changes(tmp_path):
    """One at a time, as a checkpoint with that tensor alone rounded computes it."""
    model = mixed().eval()
    with torch.no_grad():
        for each in model.state_dict().values():
            if each.is_floating_point():
                each.add_(torch.rand_like(each))
    batches = [torch.randint(0, 20, (3, 5)) for _ in range(2)]
    found = ct.sensitivity(
        model,
        batches,
        by="model",
        output=lambda result, batch: result[:, 0],
        reference="CFloat8_1_5_2",
    )
    assert found.reference == "CFloat8_1_5_2"
    state = {name: each.clone() for name, each in model.state_dict().items()}
    assert set(found.gains) == {name for name, each in state.items() if each.is_floating_point()}
    assert len(found.gains) == 11
    with torch.no_grad():
        kept = torch.cat([model(each)[:, 0] for each in batches]).double()
        for name, gain in found.gains.items():
            x = state[name].numpy()
            rounded = cf.round_to(x, "CFloat8_1_5_2", "mse").astype("f4")
            model.load_state_dict(state | {name: torch.from_numpy(rounded)})
            changed = torch.cat([model(each)[:, 0] for each in batches]).double()
            model.load_state_dict(state)
            change = float((changed - kept).square().sum() / kept.square().sum())
            noise = rounded.astype("f8") - x
            error = np.square(noise).sum() / np.square(x, dtype="f8").sum()
            if name in found.moments:
                (use,) = found.moments[name]
                error = use.square(noise, 0, len(x)) / use.square(x.astype("f8"), 0, len(x))
            assert gain == pytest.approx(change / error, rel=1e-5), name
    path = tmp_path / "x.safetensors"
    cf.save(path, dict(model.state_dict()))
    made = cf.plan(path, size=0.4, sensitivity=found)
    assert made.by == "model"
    measures = {each.name: each.measure for each in made.tensors}
    assert {name for name in measures if measures[name] == "output"} == set(found.moments)


def test_the_models_own_output_is_compared_where_it_counts():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2, bias=False)

        def forward(self, x, attention_mask):
            return self.layer(x)

    model = Model()
    x, mask = torch.randn(2, 3, 3), torch.tensor([[1, 1, 0], [1, 0, 0]])
    x[mask == 0] *= 1e6
    found = ct.sensitivity(model, [{"x": x, "attention_mask": mask}], by="model")
    assert found.gains == {"layer.weight": pytest.approx(1.0, rel=1e-4)}  # the layer is the model


def test_tied_tensors_are_rounded_together():
    first, second = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    x = torch.randn(50, 6)
    found = ct.sensitivity(model, [x], by="model")
    assert found.gains["0.weight"] == found.gains["1.weight"]
    w = first.weight.detach().numpy()
    rounded = torch.from_numpy(cf.round_to(w, "CFloat8_1_4_3", "mse"))
    with torch.no_grad():
        kept, changed = model(x).double(), (x @ rounded.T @ rounded.T).double()
    (use,) = found.moments["0.weight"]
    noise = rounded.double().numpy() - w.astype("f8")
    error = use.square(noise, 0, 6) / use.square(w.astype("f8"), 0, 6)
    change = float((changed - kept).square().sum() / kept.square().sum())
    assert found.gains["0.weight"] == pytest.approx(change / error, rel=1e-5)


class Twice(nn.Module):
    """A layer under two names, which is called by both."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = self.a

    def forward(self, x):
        return self.b(self.a(x).relu())


class Encoders(nn.Module):
    """An embedding that parts of a model have in common, as T5's, with a buffer."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Embedding(9, 4)
        self.encoder = nn.Sequential(self.shared, nn.Linear(4, 4))
        self.decoder = nn.ModuleList([self.shared, self.encoder[1]])
        self.register_buffer("scale", torch.rand(4))

    def forward(self, rows):
        return self.encoder(rows) * self.scale + self.decoder[1](self.decoder[0](rows))


@pytest.mark.parametrize(
    ("model", "batch"),
    [(Twice, torch.randn(3, 4)), (Encoders, torch.arange(9)), (lambda: nn.GRU(4, 5), torch.randn(3, 2, 4))],
    ids=["layer", "embedding", "recurrent"],
)  # fmt: skip
def test_a_layer_of_several_names_is_as_it_was(model, batch):
    model = model()
    kept = {name: (each, each.clone()) for name, each in model.state_dict(keep_vars=True).items()}
    before = model(batch)

    def output(result, _):
        return result[0] if isinstance(result, tuple) else result

    found = ct.sensitivity(model, [batch], by="model", output=output)
    for name, now in model.state_dict(keep_vars=True).items():
        assert now is kept[name][0]
        assert torch.equal(now, kept[name][1])
    assert torch.equal(output(model(batch), None), output(before, None))
    # what is rounded is rounded under all of its names
    for name, (tensor, _) in kept.items():
        changed = copy.deepcopy(model)
        rounded = cf.round_to(tensor.detach().numpy(), "CFloat8_1_4_3", bias="mse")
        changed.load_state_dict(
            {
                other: torch.from_numpy(rounded) if each is tensor else each.detach()
                for other, (each, _) in kept.items()
            }
        )
        change = output(changed(batch), None) - output(before, None)
        assert (found.gains[name] > 0) == bool(change.any())
    assert not any("called" in note for note in found.notes)


def test_a_tensor_that_is_exact_gains_nothing():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    found = ct.sensitivity(model, [torch.randn(3, 4)], by="model")
    assert found.gains["1.weight"] == 0  # of ones
    assert found.gains["0.weight"] > 0


def test_gpt2s_conv1d_and_its_plan(tmp_path):
    """The weights of transformers' Conv1D are transposed, and the head is the embedding."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=50,
        n_positions=16,
        n_embd=12,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.randint(0, 50, (3, 7))
    found = ct.sensitivity(model, [{"input_ids": ids, "use_cache": False}])
    layer = model.transformer.h[1].mlp.c_fc
    (use,) = found.moments["transformer.h.1.mlp.c_fc.weight"]
    assert use.axis == 0
    seen = []
    hook = layer.register_forward_hook(lambda _, args, output: seen.append((args[0], output)))
    with torch.no_grad():
        layer.bias.zero_()
        model(input_ids=ids)
    hook.remove()
    x, y = seen[0]
    check([use], of(x), 0)
    weight = np.asarray(layer.weight.detach(), "f8")
    assert use.square(weight, 0, 12) == pytest.approx(float(y.square().sum()) / 21, rel=1e-5)
    assert len(found.moments["lm_head.weight"]) == len(found.moments["transformer.wte.weight"]) == 2
    model.save_pretrained(tmp_path / "model")
    made = cf.plan(tmp_path / "model", size=0.3, sensitivity=found)
    by_name = {each.name: each.measure for each in made.tensors}
    assert by_name["transformer.h.1.mlp.c_fc.weight"] == "output"
    assert by_name["transformer.wte.weight"] == "output"
    assert by_name["transformer.h.1.ln_1.weight"] == "sqnr"


def test_a_saved_one_in_a_process_of_its_own(tmp_path):
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    cf.save(tmp_path / "x.safetensors", dict(model.state_dict()))
    found = ct.sensitivity(model, [torch.randn(9, 6)], by="model")
    found.save(tmp_path / "m.safetensors")
    wanted = cf.plan(tmp_path / "x.safetensors", size=0.4, sensitivity=found).to_toml()
    code = (
        "import sys, cfloat as cf; "
        "print(cf.plan('x.safetensors', size=0.4, sensitivity='m.safetensors').to_toml(), end='')"
        "; assert 'torch' not in sys.modules"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    assert run.stdout.splitlines()[1:] == wanted.splitlines()[1:]  # the first names the file


def test_arguments_are_refused():
    model = nn.Linear(3, 2)
    x = torch.randn(4, 3)
    type_error("model is 3", ct.sensitivity, 3, [x])
    type_error("batches is", ct.sensitivity, model, x)
    type_error("batches is", ct.sensitivity, model, {"input": x})
    type_error("batches is 3", ct.sensitivity, model, 3)
    type_error("a batch is 3", ct.sensitivity, model, [3])
    value_error("batches is empty", ct.sensitivity, model, [])
    value_error("by is 'sqnr'", ct.sensitivity, model, [x], by="sqnr")
    value_error("output is given", ct.sensitivity, model, [x], output=lambda result, batch: result)
    type_error("output is 3", ct.sensitivity, model, [x], by="model", output=3)
    value_error("signed", ct.sensitivity, model, [x], by="model", reference="CFloat16_UHP")
    type_error("what output gives", ct.sensitivity, model, [x], by="model", output=lambda *_: 3)
    tuples = nn.LSTM(3, 2)
    type_error("the model's output is", ct.sensitivity, tuples, [x], by="model")
    zero = nn.Linear(3, 2, bias=False)
    zero.weight.data.zero_()
    value_error("0 everywhere", ct.sensitivity, zero, [x], by="model")
    value_error("is not finite", ct.sensitivity, model, [x / 0], by="model")
    value_error("meta device", ct.sensitivity, nn.Linear(3, 2, device="meta"), [x])
    value_error("meta device", ct.sensitivity, nn.BatchNorm1d(3, affine=False).to("meta"), [x])


def test_quick():
    assert list(ct.sensitivity(nn.Linear(2, 3), [torch.ones(1, 2)]).moments) == ["weight"]
