"""Attention with rounded products, beside NumPy's computation of it, and what is said where they are not.

Models are of float64, in which NumPy and PyTorch differ by 1e-15: so no element comes to lie on the other
side of the middle between two values, and results agree to 1e-9.
"""

import copy
import importlib
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
nn = torch.nn

E4, E5 = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2
ALL = {"weight": E4, "activation": E4, "attention": E4}
OPERANDS = ("query", "key", "value", "probability")
BOUND = 1e-9


def rounded(x):
    return cf.round_to(np.asarray(x), E4, "max")


def same(x):
    return x


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def values(model):
    return {name: each.detach().numpy() for name, each in model.named_parameters()}


def in_numpy(q, k, v, mask, r):
    """Compute attention of (batch, heads, places, elements)."""
    scores = r(q) @ np.swapaxes(r(k), -1, -2) / np.sqrt(q.shape[-1]) + mask
    return r(softmax(scores)) @ r(v)


def heads(x, n):
    return x.reshape(*x.shape[:2], n, -1).transpose(0, 2, 1, 3)


def merged(x):
    return x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1)


def normed(x, weight, bias):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight + bias


def attention_layer(w, prefix, x, of, mask, r, n=2):
    """Compute torch.nn.MultiheadAttention, of batches first."""
    weight, bias = r(w[f"{prefix}in_proj_weight"]), w[f"{prefix}in_proj_bias"]
    x, of = r(x), r(of)
    parts = zip((x, of, of), np.split(weight, 3), np.split(bias, 3), strict=True)
    q, k, v = (heads(each @ a.T + b, n) for each, a, b in parts)
    y = merged(in_numpy(q, k, v, mask, r))
    return r(y) @ r(w[f"{prefix}out_proj.weight"]).T + w[f"{prefix}out_proj.bias"]


def encoder_in_numpy(w, x, mask, r):
    for i in range(2):
        p = f"layers.{i}."
        y = x + attention_layer(w, f"{p}self_attn.", x, x, mask, r)
        x = normed(y, w[f"{p}norm1.weight"], w[f"{p}norm1.bias"])
        y = np.maximum(r(x) @ r(w[f"{p}linear1.weight"]).T + w[f"{p}linear1.bias"], 0)
        y = x + r(y) @ r(w[f"{p}linear2.weight"]).T + w[f"{p}linear2.bias"]
        x = normed(y, w[f"{p}norm2.weight"], w[f"{p}norm2.bias"])
    return x


def encoder(kind=nn.TransformerEncoderLayer, whole=nn.TransformerEncoder):
    model = whole(kind(16, 2, 32, dropout=0.0, batch_first=True), 2).double()
    with (
        torch.no_grad()
    ):  # otherwise queries and keys are so small that all probabilities are equal
        for name, each in model.named_parameters():
            if "in_proj_weight" in name:
                each.mul_(3)
    return model


def gpt(**how):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=32, vocab_size=100, n_positions=32, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=0.2,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel._from_config(config, **how).double()


def gpt_in_numpy(w, ids, r):
    mask = np.triu(np.full((ids.shape[1],) * 2, -np.inf), 1)
    x = r(w["transformer.wte.weight"])[ids] + r(w["transformer.wpe.weight"])[: ids.shape[1]]

    def linear(x, name):
        return r(x) @ r(w[f"{name}.weight"]) + w[f"{name}.bias"]

    for i in range(2):
        p = f"transformer.h.{i}."
        y = normed(x, w[f"{p}ln_1.weight"], w[f"{p}ln_1.bias"])
        q, k, v = (heads(each, 2) for each in np.split(linear(y, f"{p}attn.c_attn"), 3, -1))
        x = x + linear(merged(in_numpy(q, k, v, mask, r)), f"{p}attn.c_proj")
        y = linear(normed(x, w[f"{p}ln_2.weight"], w[f"{p}ln_2.bias"]), f"{p}mlp.c_fc")
        y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        x = x + linear(y, f"{p}mlp.c_proj")
    x = normed(x, w["transformer.ln_f.weight"], w["transformer.ln_f.bias"])
    return r(x) @ r(w["transformer.wte.weight"]).T


def passing(model):
    """Let rounders give what they get."""
    for part in model.modules():
        if isinstance(part, ct.Rounder):
            part.forward = same
    return model


def check(y, expected):
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=BOUND, atol=BOUND)


@pytest.mark.quick
@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
@pytest.mark.parametrize("causal", [False, True])
def test_a_transformer_is_what_numpy_computes(causal):
    model, x = encoder(), torch.randn(3, 5, 16, dtype=torch.float64)
    w = values(model)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    how = {"mask": mask, "is_causal": True} if causal else {}
    added = mask.numpy() if causal else 0.0
    check(model(x, **how), encoder_in_numpy(w, x.numpy(), added, same))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ct.QuantizationWarning)
        ct.quantize(model, **ALL)
    expected = encoder_in_numpy(w, x.numpy(), added, rounded)
    check(model(x, **how), expected)
    model.eval()
    check(model(x, **how), expected)
    with torch.no_grad():  # where the fast path would be
        check(model(x, **how), expected)
        check(copy.deepcopy(model)(x, **how), expected)
        check(pickle.loads(pickle.dumps(model))(x, **how), expected)
    for name, row in ((row.name, row) for row in ct.summary(model).layers):
        if name.endswith("self_attn"):
            assert (row.attention, row.note, row.is_rounded) == (E4.name, "", True)
            assert [int(each) for each in row.attention_bias.split(", ")] == [
                getattr(model.get_submodule(name), f"{each}_rounder").bias for each in OPERANDS
            ]
    model(x, **how).sum().backward()
    assert all(each.grad is not None for each in model.parameters())


def test_each_operand_matters():
    """Without the rounding of one operand results are others: the comparison above can fail."""
    model, x = ct.quantize(encoder(), **ALL), torch.randn(3, 5, 16, dtype=torch.float64)
    y = model(x)
    for operand in (*OPERANDS, "out_proj.activation"):
        other = copy.deepcopy(model)
        other.layers[1].self_attn.get_submodule(f"{operand}_rounder").forward = same
        assert not np.allclose(other(x).detach(), y.detach(), rtol=1e-6, atol=1e-6), operand


def test_a_decoder():
    model = encoder(nn.TransformerDecoderLayer, nn.TransformerDecoder)
    x, memory = (torch.randn(3, n, 16, dtype=torch.float64) for n in (5, 7))
    w = values(model)
    expected = x.numpy()
    for i in range(2):
        p = f"layers.{i}."
        for j, (part, of) in enumerate((("self_attn", None), ("multihead_attn", memory.numpy()))):
            y = attention_layer(
                w, f"{p}{part}.", expected, expected if of is None else of, 0.0, rounded
            )
            expected = normed(expected + y, w[f"{p}norm{j + 1}.weight"], w[f"{p}norm{j + 1}.bias"])
        y = rounded(expected) @ rounded(w[f"{p}linear1.weight"]).T + w[f"{p}linear1.bias"]
        y = rounded(np.maximum(y, 0)) @ rounded(w[f"{p}linear2.weight"]).T + w[f"{p}linear2.bias"]
        expected = normed(expected + y, w[f"{p}norm3.weight"], w[f"{p}norm3.bias"])
    ct.quantize(model, **ALL)
    check(model(x, memory), expected)


@pytest.mark.quick
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kdim", [None, 5])
@pytest.mark.parametrize(
    "how", [{}, {"bias": False}, {"add_bias_kv": True}, {"add_bias_kv": True, "add_zero_attn": True}],
    ids=str,
)  # fmt: skip
def test_attention_is_the_plain_layers_but_for_rounding(batch_first, kdim, how):
    plain = nn.MultiheadAttention(8, 2, kdim=kdim, vdim=kdim, batch_first=batch_first, **how)
    model = passing(ct.quantize(nn.ModuleList([copy.deepcopy(plain)]), attention=E4)[0])

    def given(*shape):
        x = torch.randn(*shape)
        return x if batch_first else x.transpose(0, 1)

    q, k = given(3, 4, 8), given(3, 6, kdim or 8)
    padding = torch.arange(6) >= torch.tensor([[4], [6], [6]])
    mask, added = torch.ones(4, 6, dtype=torch.bool).triu(2), torch.randn(6, 4, 6)
    for masks in (
        {}, {"key_padding_mask": padding}, {"attn_mask": mask}, {"attn_mask": added},
        {"attn_mask": mask, "key_padding_mask": padding},
        {"attn_mask": mask.float(), "is_causal": True, "average_attn_weights": False},
        {"attn_mask": mask, "need_weights": False},
    ):  # fmt: skip
        for mine, its in zip(model(q, k, k, **masks), plain(q, k, k, **masks), strict=True):
            torch.testing.assert_close(mine, its)
    one, other = (x[0] if batch_first else x[:, 0] for x in (q, k))
    for masks in ({}, {"key_padding_mask": padding[0], "attn_mask": mask}):
        for mine, its in zip(
            model(one, other, other, **masks), plain(one, other, other, **masks), strict=True
        ):
            torch.testing.assert_close(mine, its)
    with pytest.raises(
        cf.ArgumentValueError, match=r"attn_mask has shape \(1, 6\); it takes \(4, 6\) or"
    ):
        model(q, k, k, attn_mask=mask[:1])
    with pytest.raises(
        cf.ArgumentValueError, match=r"key_padding_mask has shape \(1, 6\); it takes"
    ):
        model(q, k, k, key_padding_mask=padding[:1])
    with pytest.raises(cf.ArgumentValueError, match="is_causal is given without attn_mask"):
        model(q, k, k, is_causal=True)
    with pytest.raises(cf.ArgumentValueError, match="have 3, 2 and 3 axes"):
        model(q, other, k)


def test_what_may_look_at_nothing_comes_to_zeros_and_dropout_drops():
    model = ct.quantize(nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), attention=E4)
    x = torch.randn(2, 4, 8, requires_grad=True)
    padding = torch.tensor([[True] * 4, [False] * 4])
    y, probabilities = model(x, x, x, key_padding_mask=padding)
    assert torch.equal(y[0], model.out_proj.bias.expand(4, 8))
    assert not probabilities[0].any()
    y.sum().backward()
    assert bool(x.grad.isfinite().all())
    # rounded after others were dropped, as that is what is multiplied
    _, kept = model(x, x, x, average_attn_weights=False)
    assert 0.2 < float((kept == 0).float().mean()) < 0.8
    bias = model.probability_rounder.bias
    assert torch.equal(kept, ct.round_to(kept, E4, bias))
    model.eval()
    assert bool((model(x, x, x)[1] > 0).all())


@pytest.mark.quick
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_small_gpt_is_what_numpy_computes(implementation):
    model = gpt(attn_implementation=implementation).train()
    ids = torch.randint(0, 100, (2, 16))
    w = values(model)
    check(model(ids).logits, gpt_in_numpy(w, ids.numpy(), same))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ct.QuantizationWarning)
        ct.quantize(model, **ALL)
    expected = gpt_in_numpy(w, ids.numpy(), rounded)
    check(model(ids).logits, expected)
    model.eval()
    assert model.config._attn_implementation == implementation
    found = model(ids, output_attentions=implementation == "eager")
    check(found.logits, expected)
    if implementation == "eager":
        assert [each.shape for each in found.attentions] == [(2, 2, 16, 16)] * 2
    check(copy.deepcopy(model)(ids).logits, expected)
    model.set_attn_implementation("eager" if implementation == "sdpa" else "sdpa")
    check(model(ids).logits, expected)
    rows = {row.name: row for row in ct.summary(model).layers}
    assert rows["transformer.h.1.attn"].attention == E4.name
    assert rows["transformer.h.1.attn"].is_rounded
    # only one layer's: the others, of the same configuration, go on by transformers' function
    other = ct.quantize(
        gpt(), weight=E4, rules={"*.0.attn": {"attention": E5}, "*.1.attn": {"attention": None}}
    )
    assert other.transformer.h[0].attn.key_rounder.format == E5
    assert type(other.transformer.h[1].attn).__name__ == "GPT2Attention"
    other(ids)


def small(name, implementation):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    kinds = {
        "bert": ("BertModel", "BertConfig", {}),
        "llama": ("LlamaForCausalLM", "LlamaConfig", {"num_key_value_heads": 2}),
        "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", {"num_key_value_heads": 2, "head_dim": 8}),
        "gpt_oss": ("GptOssForCausalLM", "GptOssConfig", {
            "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1}),
    }  # fmt: skip
    model, config, more = kinds[name]
    made = getattr(transformers, config)(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, **more,
    )  # fmt: skip
    return (
        getattr(transformers, model)._from_config(made, attn_implementation=implementation).eval()
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*of class GptOss:cfloat.torch.QuantizationWarning")
@pytest.mark.parametrize(
    ("name", "implementation"),
    [("bert", "sdpa"), ("bert", "eager"), ("llama", "sdpa"), ("llama", "eager"),
     ("gemma2", "eager"), ("gpt_oss", "eager")],
)  # fmt: skip
def test_models_of_transformers_are_themselves_but_for_rounding(name, implementation):
    """Of padding, shared heads, bounded scores, sinks and windows alike."""
    plain = small(name, implementation)
    model = passing(ct.quantize(copy.deepcopy(plain), attention=E4))
    assert sum(isinstance(each, ct.Rounder) for each in model.modules()) == 2 * len(OPERANDS)
    ids = torch.randint(3, 100, (2, 16))
    mask = torch.ones_like(ids)
    mask[0, 10:] = 0
    with torch.no_grad():
        for batch, kept in (({"attention_mask": mask}, mask.bool()), ({}, ids > 0)):
            y, expected = model(ids, **batch)[0], plain(ids, **batch)[0]
            torch.testing.assert_close(y[kept], expected[kept], rtol=1e-4, atol=1e-5)
        if name == "llama":  # by a cache
            assert torch.equal(
                model.generate(ids, max_new_tokens=4), plain.generate(ids, max_new_tokens=4)
            )


def test_what_cannot_be_rounded_is_refused():
    model = ct.quantize(small("bert", "eager"), attention=E4)
    layer = next(each for each in model.modules() if hasattr(each, "query_rounder"))
    interface = importlib.import_module("transformers.modeling_utils").ALL_ATTENTION_FUNCTIONS
    q = torch.randn(1, 4, 2, 8)
    with pytest.raises(cf.ArgumentValueError, match="gives attention sinks, with which"):
        interface["cfloat"](layer, q, q, q, None, sinks=torch.zeros(4))
    layer._config_of_model._attn_implementation = "flex_attention"
    with pytest.raises(
        cf.ArgumentValueError, match=r"attn_implementation is 'flex_attention' now; .*sdpa or"
    ):
        interface["cfloat"](layer, q, q, q, None)
    flex = small("bert", "eager")
    flex.config._attn_implementation = "flex_attention"
    with pytest.warns(
        ct.QuantizationWarning, match="its attn_implementation is 'flex_attention', and not"
    ):
        ct.quantize(flex, weight=E4, attention=E4)
    with pytest.raises(
        cf.ArgumentValueError, match="attention is given, and module has no layer that"
    ):
        ct.quantize(nn.Sequential(nn.Linear(2, 2)), weight=E4, attention=E4)
    with pytest.raises(
        cf.ArgumentValueError, match=r"bias has the key 'query'; it takes weight, .*attention"
    ):
        ct.quantize(nn.MultiheadAttention(8, 2), attention=E4, bias={"query": 3})
    with pytest.raises(
        cf.ArgumentValueError,
        match=r"no products .* rounded: of layer 'a', as it computes attention",
    ):
        ct.quantize(nn.ModuleDict({"a": HandAttention()}), attention=E4)
    nested = torch.nested.nested_tensor([torch.randn(2, 8), torch.randn(3, 8)], layout=torch.jagged)
    with pytest.raises(cf.ArgumentTypeError, match="is a nested tensor"):
        ct.quantize(nn.MultiheadAttention(8, 2, batch_first=True), attention=E4)(
            nested, nested, nested
        )


class ByItself(nn.Module):
    """Computes attention as many models do."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return nn.functional.scaled_dot_product_attention(q, k, v)


def by_hand(x):
    return (x @ x.mT).softmax(-1) @ x


class HandAttention(nn.Module):
    def forward(self, x):
        return by_hand(x)


class OwnAttention(nn.MultiheadAttention):
    """A subclass with a forward pass of its own."""

    def forward(self, x):
        return super().forward(x, x, x)[0]


@pytest.mark.quick
def test_products_that_are_not_rounded_are_named_once():
    def model():
        return nn.ModuleDict(
            {
                "a": nn.MultiheadAttention(8, 2),
                "b": ByItself(),
                "c": HandAttention(),
                "d": OwnAttention(8, 2),
            }
        )

    def told(**how):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made = ct.quantize(model(), **how)
        assert len(caught) <= 1
        return made, str(caught[0].message) if caught else ""

    made, message = told(activation=E4)
    assert (
        "the products of attention are not rounded in 'a', 'b', 'c', 'd' (no format is given"
        in message
    )
    made, message = told(activation=E4, attention=E4)
    assert "not rounded in 'b', 'c', 'd' (it computes attention itself)" in message
    rows = {row.name: row for row in ct.summary(made).layers}
    assert rows["a"].attention == E4.name
    assert "own products" in rows["d"].note
    for name in ("b", "c"):
        assert rows[name].note == "it computes attention, whose products are not rounded"
        assert not rows[name].is_rounded
    assert told(weight=E4)[1] == ""  # of activations none is rounded
    assert told(activation=E4, rules={"*": {"attention": None}})[1] == ""
    assert told(activation=E4, skip=["b", "c"], rules={"[ad]": {"attention": None}})[1] == ""
    assert "'b'" not in told(attention=E4, skip=["b"])[1]


def test_calibration_learns_the_operands_biases():
    """And of positions that count alone, though there are as many heads as positions."""
    model = gpt().eval()
    ids = torch.randint(1, 100, (2, 2))
    mask = torch.tensor([[1, 0], [1, 0]])
    with torch.no_grad():  # the second head's are larger than the first's
        for block in model.transformer.h:
            block.attn.c_attn.weight.unflatten(1, (3, 2, 16))[:, :, 1].mul_(16)
    seen = {}
    plain = gpt()
    plain.load_state_dict(model.state_dict())
    ct.quantize(model, **ALL)
    for i, block in enumerate(plain.eval().transformer.h):
        block.attn.c_attn.register_forward_hook(lambda _, __, y, i=i: seen.update({i: y}))
    plain(ids, attention_mask=mask)
    with pytest.warns(ct.QuantizationWarning, match="was not learnt yet"):
        model(ids)
    ct.calibrate(model, [{"input_ids": ids, "attention_mask": mask}])
    for i, block in enumerate(model.transformer.h):
        for operand, x in zip(OPERANDS, seen[i].chunk(3, -1), strict=False):
            rounder = getattr(block.attn, f"{operand}_rounder")
            kept = x[mask.bool()].detach().numpy()
            assert rounder.bias == cf.choose_bias(kept, E4, "max")
            assert rounder.observed.tolist() == [kept.size, 1]
        # of each position that counts, the probabilities of two heads and two positions
        assert block.attn.probability_rounder.observed.tolist() == [8, 1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo
@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
@pytest.mark.parametrize("kind", ["transformer", "gpt"])
def test_they_compile_whole_and_are_exported(kind):
    if kind == "gpt":
        model, x = gpt(), torch.randint(0, 100, (2, 16))
        ct.quantize(model, **ALL)
        run = type(
            "Logits", (nn.Module,), {"forward": lambda self, x: self.model(x, use_cache=False)[0]}
        )()
        run.model = model
    else:
        run, x = ct.quantize(encoder(), **ALL), torch.randn(3, 5, 16, dtype=torch.float64)
    with torch.no_grad():
        run(x)
        run.eval()
        expected = run(x)
        compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), expected)
        torch.testing.assert_close(torch.export.export(run, (x,)).module()(x), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo
def test_training_compiles():
    one = ct.quantize(nn.MultiheadAttention(16, 2, batch_first=True), **ALL, gradient=E5)
    other = copy.deepcopy(one)
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    for scale in (1.0, 30.0):
        x = scale * torch.randn(3, 5, 16)
        for each in (one, compiled):
            each(x, x, x)[0].sum().backward()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    for operand in OPERANDS:
        a, b = (getattr(each, f"{operand}_rounder") for each in (one, other))
        assert a.bias == b.bias
        assert a.observed.tolist() == b.observed.tolist()


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["transformer", "gpt", "llama"])
def test_states_load_strictly(kind):
    def make():
        if kind == "transformer":
            return nn.ModuleList([nn.MultiheadAttention(16, 2), nn.Linear(16, 16)])
        return gpt() if kind == "gpt" else small("llama", "sdpa")

    def run(model):
        with torch.no_grad():
            x = torch.linspace(-3, 3, 160).reshape(5, 2, 16)
            if kind == "transformer":
                return model[1](model[0](x, x, x)[0])
            return model(torch.arange(16).reshape(2, 8) + 3).logits

    def strictly(model, state):
        model.load_state_dict(state, strict=True)
        return run(model.eval())

    model = ct.quantize(make().train(), **ALL)
    run(model)
    expected = run(model.eval())
    state = copy.deepcopy(model.state_dict())
    assert not any(each.dtype in (torch.int16, torch.uint16) for each in state.values())
    fresh = ct.quantize(make(), **ALL)
    assert torch.equal(strictly(fresh, state), expected)
    # the plain model's: what was learnt of activations stays
    plain = make()
    plain.load_state_dict(ct.plain_state_dict(model), strict=True)
    assert torch.equal(strictly(fresh, plain.state_dict()), expected)
    with pytest.raises(RuntimeError, match=r"Missing key.*query_rounder\.history"):
        ct.quantize(make(), **ALL).load_state_dict(
            ct.quantize(make(), weight=E4, attention=None).state_dict()
        )
    if kind != "gpt":  # which has no layer for codes but the last, which is tied
        codes = ct.to_inference(copy.deepcopy(model))
        torch.testing.assert_close(run(codes), expected, rtol=1e-3, atol=1e-3)
        other = ct.to_inference(ct.quantize(make(), **ALL))
        assert torch.equal(strictly(other, codes.state_dict()), run(codes))
        assert torch.equal(strictly(other, state), run(codes))
        assert torch.equal(strictly(other, plain.state_dict()), run(codes))
        torch.testing.assert_close(
            strictly(ct.quantize(make(), **ALL), codes.state_dict()), expected, rtol=1e-3, atol=1e-3
        )


@pytest.mark.slow
def test_a_pickled_model_computes_in_a_process_of_its_own(tmp_path):
    model = ct.quantize(gpt().train(), **ALL)
    ids = torch.arange(16).reshape(2, 8)
    model(ids)
    torch.save(model.eval(), tmp_path / "model.pt")
    torch.save(model(ids).logits, tmp_path / "logits.pt")
    script = (
        "import sys, torch\n"
        "files = (f'{sys.argv[1]}/{name}.pt' for name in ('model', 'logits'))\n"
        "model, y = (torch.load(file, weights_only=False) for file in files)\n"
        "assert torch.equal(model(torch.arange(16).reshape(2, 8)).logits, y)\n"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_streams_of_stochastic_rounding_are_each_operands_own():
    def made(**how):
        layers = nn.ModuleList(
            [nn.MultiheadAttention(8, 2), nn.Linear(8, 8), nn.MultiheadAttention(8, 2)]
        )
        return ct.quantize(layers, activation=E4, rounding="stochastic", seed=3, **how)

    model = made(attention=E4)
    seeds = [int(each.stream[0]) for each in model.modules() if isinstance(each, ct.Rounder)]
    assert len(seeds) == len(set(seeds)) == 3 + 2 * (len(OPERANDS) + 1)
    # other layers have the streams that they have without attention
    before = made(rules={"*": {"attention": None}})
    assert int(before[1].activation_rounder.stream[0]) == int(model[1].activation_rounder.stream[0])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_masks_of_integers_are_refused(dtype):
    """As PyTorch does; they would be added to the scores as numbers."""
    layer = ct.quantize(nn.MultiheadAttention(8, 2, batch_first=True), attention=E4).eval()
    x = torch.randn(2, 3, 8)
    padding = torch.tensor([[0, 0, 1], [0, 1, 1]], dtype=dtype)
    with pytest.raises(cf.ArgumentTypeError, match=f"key_padding_mask has dtype {dtype}; it takes"):
        layer(x, x, x, key_padding_mask=padding)
    with pytest.raises(cf.ArgumentTypeError, match=f"attn_mask has dtype {dtype}; it takes"):
        layer(x, x, x, attn_mask=torch.zeros(3, 3, dtype=dtype))


def test_sequences_that_do_not_fit_are_refused():
    layer = ct.quantize(nn.MultiheadAttention(8, 2, batch_first=True), attention=E4).eval()
    x = torch.randn(2, 3, 8)
    for key, value in ((x[:1], x[:1]), (x, x[:, :2])):
        with pytest.raises(cf.ArgumentValueError, match="as many sequences"):
            layer(x, key, value)
