"""State dicts of quantized models, of codes, of plain models, of files written before: each loads in each."""

import copy
import importlib
import itertools
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
safetensors_torch = importlib.import_module("safetensors.torch")
nn = torch.nn

E4, E5 = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2
FORMATS = {"weight": E4, "activation": E4, "gradient": E5}
# files of one model, written before states had counts, formats and the biases of activations; and the biases
# of its layers' weights and activations
DATA = Path(__file__).parent / "data"
BEFORE = [(17, 9), (17, 11)]


def plain(width=16):
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))


def quantized(**how):
    return ct.quantize(plain(), **FORMATS, **how)


def trained(**how):
    model = quantized(**how)
    for scale in (1.0, 40.0, 3.0):
        model(torch.randn(5, 8) * scale).sum().backward()
    return model


def inference(model=None):
    return ct.to_inference(copy.deepcopy(model) if model is not None else quantized())


MAKE = {
    "quantized": trained,
    "inference": lambda: inference(trained()),
    "plain": lambda: nn.Sequential(*plain()),
}


def results(model, x):
    with torch.no_grad():
        return model.eval()(x)


@pytest.mark.quick
@pytest.mark.parametrize("assign", [False, True])
def test_codes_keep_their_activation_biases(assign):
    model = inference(trained())
    biases = [model[i].activation_bias for i in (0, 2)]
    assert biases != [E4.default_bias] * 2
    other = inference()
    other.load_state_dict(model.state_dict(), strict=True, assign=assign)
    assert [other[i].activation_bias for i in (0, 2)] == biases
    x = torch.randn(6, 8)
    assert torch.equal(results(other, x), results(model, x))
    assert repr(other) == repr(model)
    assert "in 3 batches" in repr(other)


@pytest.mark.parametrize(
    ("source", "target"), list(itertools.product(["quantized", "inference"], repeat=2))
)
def test_states_of_one_kind_load_in_another(source, target):
    """Results are the quantized model's bits, in the same kind of layer."""
    reference = trained()
    given = reference if source == "quantized" else inference(reference)
    fresh = quantized() if target == "quantized" else inference()
    fresh.load_state_dict(given.state_dict(), strict=True)
    expected = reference if target == "quantized" else inference(reference)
    x = torch.randn(6, 8) * 20
    # weights of codes are rounded already, and are so to themselves
    assert torch.equal(results(fresh, x), results(expected, x))
    again = quantized() if source == "quantized" else inference()
    again.load_state_dict(fresh.state_dict(), strict=True)
    assert torch.equal(results(again, x), results(given, x))


@pytest.mark.parametrize("rule", ["max", "mx"])
@pytest.mark.parametrize("target", ["quantized", "inference"])
def test_a_plain_state_loads_strictly(target, rule):
    float_model = plain()
    with torch.no_grad():
        float_model[0].weight *= 100
    model = trained(bias=rule, margin=1)
    before = [model[i].activation_rounder.bias for i in (0, 2)]
    expected = copy.deepcopy(model)
    with torch.no_grad():
        for i in (0, 2):
            expected[i].weight.copy_(float_model[i].weight)
            expected[i].bias.copy_(float_model[i].bias)
            expected[i].weight_rounder.history.zero_()
            expected[i].weight_rounder.observe(float_model[i].weight)
    if target == "inference":
        model, expected = inference(model), inference(expected)
    model.load_state_dict(float_model.state_dict(), strict=True)
    x = torch.randn(6, 8)
    assert torch.equal(results(model, x), results(expected, x))
    if target == "quantized":  # what was learnt of activations stays
        assert [model[i].activation_rounder.bias for i in (0, 2)] == before
        assert model[0].weight_rounder.observed.tolist() == [128, 1]
        wrong = {**float_model.state_dict(), "0.weight": torch.zeros(3, 3)}
        with pytest.raises(RuntimeError, match="size mismatch"):
            model.load_state_dict(wrong)
    else:
        wrong = {**float_model.state_dict(), "0.weight": torch.zeros(3, 3)}
        with pytest.raises(RuntimeError, match=r"weight has shape \(3, 3\); it takes \(16, 8\)"):
            model.load_state_dict(wrong)


def small(**how):
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    return ct.quantize(model, **FORMATS, **how)


@pytest.mark.parametrize("target", ["quantized", "inference"])
def test_files_written_before(target):
    old = safetensors_torch.load_file(DATA / "quantized_before_counts.safetensors")
    assert not any("observed" in key for key in old)
    model = small(window=4)
    model = model if target == "quantized" else inference(model)
    model.load_state_dict(old, strict=True)
    layers = (model[0], model[2])
    if target == "quantized":
        biases = [(each.weight_rounder.bias, each.activation_rounder.bias) for each in layers]
        assert "from 3 batches" in repr(model[0].activation_rounder)
    else:
        biases = [(int(each.weight_bias), each.activation_bias) for each in layers]
        assert "from 3 batches" in repr(model[0])
    assert biases == BEFORE


@pytest.mark.parametrize("target", ["quantized", "inference"])
def test_codes_written_before_lack_biases_and_it_is_told(target):
    old = safetensors_torch.load_file(DATA / "inference_before_counts.safetensors")
    model = small(window=4)
    model = model if target == "quantized" else inference(model)
    model.load_state_dict(old, strict=True)
    with pytest.warns(
        ct.QuantizationWarning, match="of the activations of layer '0' was not learnt"
    ):
        results(model, torch.randn(3, 8))
    if target == "quantized":
        assert torch.equal(ct.encode(model[0].weight, E4, BEFORE[0][0]), old["0.codes"])
        assert model[0].weight_rounder.bias == BEFORE[0][0]
    # of the quantized file beside it, what is lacking comes back
    model = small(window=4)
    model.load_state_dict(safetensors_torch.load_file(DATA / "quantized_before_counts.safetensors"))
    model = inference(model)
    model.load_state_dict(old, strict=True)
    assert [model[i].activation_bias for i in (0, 2)] == [bias for _, bias in BEFORE]


def test_codes_of_other_formats_and_given_biases_are_refused():
    model = inference(trained())
    others = ct.quantize(plain(), weight=E5, activation=E4)
    for other in (others, ct.to_inference(copy.deepcopy(others))):
        with pytest.raises(
            RuntimeError, match="weights are of CFloat8_1_4_3; the layer's are of CFloat8_1_5_2"
        ):
            other.load_state_dict(model.state_dict())
    given = quantized(bias={"activation": 3})
    with pytest.raises(RuntimeError, match=r"activations have bias \d+; the layer's is given as 3"):
        given.load_state_dict(model.state_dict())
    broken = {**model.state_dict(), "0.formats": torch.zeros(3, dtype=torch.uint8)}
    with pytest.raises(RuntimeError, match="formats is no text of formats"):
        inference().load_state_dict(broken)
    # and a model that was refused is as it was
    before = copy.deepcopy(others.state_dict())
    with pytest.raises(RuntimeError):
        others.load_state_dict(model.state_dict())
    assert all(torch.equal(value, before[key]) for key, value in others.state_dict().items())


def test_a_given_bias_stays_given():
    model = inference(quantized(bias={"activation": 5}))
    results(model, torch.randn(3, 8))  # without a warning
    assert "activation_bias=5" in repr(model)
    other = inference()
    other.load_state_dict(model.state_dict())
    assert other[0].activation_bias == 5
    results(other, torch.randn(3, 8))


def test_states_say_the_biases_in_use():
    model = trained()
    state = model.state_dict()
    for i in (0, 2):
        for role in ("weight", "activation", "gradient"):
            rounder = getattr(model[i], f"{role}_rounder")
            assert int(state[f"{i}.{role}_rounder.biases"]) == rounder.bias
    assert model[0].activation_rounder.observed.tolist() == [120, 3]


@pytest.mark.parametrize("how", [{"axis": 0}, {"block": 4}], ids=str)
def test_codes_of_several_biases(how):
    layer = nn.Linear(8, 6)
    made = ct.CFloatLinear.from_linear(layer, E4, "mse", **how)
    other = ct.CFloatLinear.from_linear(nn.Linear(8, 6), E4, "mse", **how)
    other.load_state_dict(layer.state_dict(), strict=True)
    np.testing.assert_array_equal(other.weight.codes, made.weight.codes)
    np.testing.assert_array_equal(other.weight.bias, made.weight.bias)
    third = ct.CFloatLinear.from_linear(nn.Linear(8, 6), E4, "mse", **how)
    third.load_state_dict(made.state_dict(), strict=True)
    np.testing.assert_array_equal(third.weight.codes, made.weight.codes)
    assert pickle.loads(pickle.dumps(made)).weight.bias.shape == made.weight.bias.shape


def with_biases(state, biases, layout):
    """Give a state that says other biases, and that they lie otherwise."""
    text = bytes(state["formats"].tolist()).decode().split("\n")
    formats = torch.tensor(list("\n".join([*text[:2], layout]).encode()), dtype=torch.uint8)
    return state | {"weight_bias": torch.as_tensor(biases), "formats": formats}


@pytest.mark.parametrize(
    "granularity", ["block 4 along 0", "block 5 along 0-1", "block 3", "block 99"]
)
def test_codes_of_blocks_along_any_axis(granularity):
    model = nn.Sequential(nn.Linear(8, 6))
    ct.quantize(model, weight=E4, granularity=granularity)
    codes = inference(model)
    state, x = codes.state_dict(), torch.randn(3, 8)
    array = codes[0].weight
    assert state["0.weight_bias"].numel() == array.bias.size < 6 * 8
    plain_weight = torch.from_numpy(np.asarray(array))
    assert torch.equal(ct.plain_state_dict(state)["0.weight"], plain_weight)
    copies = [pickle.loads(pickle.dumps(codes)), copy.deepcopy(codes)]
    again = ct.quantize(nn.Sequential(nn.Linear(8, 6)), weight=E4, granularity=granularity)
    again.load_state_dict(state, strict=True)
    assert torch.equal(again[0].weight.detach(), plain_weight)
    copies.append(inference(again))
    for other in copies:
        assert torch.equal(other(x), codes(x))
        assert other[0].weight_bias.shape == state["0.weight_bias"].shape
    # of a plain layer's, biases are chosen anew, for the same blocks
    fresh = inference(model)
    fresh.load_state_dict(nn.Sequential(nn.Linear(8, 6)).state_dict(), strict=True)
    assert fresh[0].weight_bias.shape == state["0.weight_bias"].shape


@pytest.mark.parametrize(
    ("how", "granularity"),
    [({"axis": 0, "block": 4}, "block 4 along 0"), ({"axis": (0, 1), "block": 5}, "block 5 along 0-1")],
)  # fmt: skip
def test_blocks_that_were_written_as_a_bias_a_weight(how, granularity):
    made = ct.CFloatLinear.from_linear(nn.Linear(8, 6), E4, "max", **how)
    x, full = torch.randn(3, 8), np.array(made.weight._biases.full((6, 8)))
    old = with_biases(made.state_dict(), full.copy(), "")
    oldest = {key: each for key, each in old.items() if key != "formats"}
    for state in (old, oldest):
        other = ct.CFloatLinear.from_linear(nn.Linear(8, 6), E4, "max", **how)
        other.load_state_dict(dict(state), strict=True)
        assert torch.equal(other(x), made(x))
        assert torch.equal(other.weight_bias, made.weight_bias)
    layer = ct.quantize(nn.Linear(8, 6), weight=E4, granularity=granularity)
    for state in (old, oldest):
        layer.load_state_dict(dict(state), strict=True)
        assert torch.equal(layer.weight.detach(), torch.from_numpy(np.asarray(made.weight)))
    # they may as well lie otherwise
    full[1, 2] += 1
    for each in (other, layer):
        with pytest.raises(RuntimeError, match=r"several biases in a block.*lie one for"):
            each.load_state_dict(with_biases(old, full, ""))
        with pytest.raises(RuntimeError, match=r"biases of shape \(6, 1\)"):
            each.load_state_dict(with_biases(old, full[:, :1], ""))
    assert torch.equal(other(x), made(x))


def test_codes_of_other_blocks_are_refused():
    def codes(**how):
        return ct.CFloatLinear.from_linear(nn.Linear(8, 6), E4, "max", **how)

    # as many blocks of 4 as of 5, of which the shape of the biases tells nothing
    layer = codes(block=5)
    with pytest.raises(RuntimeError, match=r"one for 4 weights along axis 1; .* one for 5 weights"):
        layer.load_state_dict(codes(block=4).state_dict())
    with pytest.raises(RuntimeError, match=r"along axes 0 and 1; .* lie not in blocks"):
        codes().load_state_dict(codes(axis=(0, 1), block=4).state_dict())
    layer = ct.quantize(nn.Linear(8, 6), weight=E4, granularity="block 5")
    with pytest.raises(RuntimeError, match=r"one for 4 weights along axis 1; .* one for 5 weights"):
        layer.load_state_dict(codes(block=4).state_dict())
    state = codes(block=4).state_dict()
    layer = ct.quantize(nn.Linear(8, 6), weight=E4, bias={"weight": 9})
    with pytest.raises(
        RuntimeError, match=r"shape \(6, 2\); .* one for 3 weights along axis 1 have"
    ):
        layer.load_state_dict(with_biases(state, state["weight_bias"], "3"))
    for text in ("4 1", "4 0 2", "0 0", "-4", " 0", "x"):
        state = codes(block=4).state_dict()
        with pytest.raises(RuntimeError, match="formats is no text of formats"):
            codes(block=4).load_state_dict(with_biases(state, state["weight_bias"], text))


@pytest.mark.quick
def test_what_nobody_learnt_is_told_once_a_model():
    model = quantized().eval()
    assert "bias not learnt yet" in repr(model[0].activation_rounder)
    x = torch.randn(3, 8)
    both = nn.ModuleList([model, model, copy.deepcopy(model), inference(model)])
    with pytest.warns(ct.QuantizationWarning, match="of the activations of layer '0'") as caught:
        ys = [each(x) for each in both]
    assert len(caught) == 1
    assert torch.equal(ys[0], ys[2])
    with pytest.warns(
        ct.QuantizationWarning, match="the bias of a Rounder was not learnt yet, and 7"
    ):
        ct.Rounder(E4).eval()(x)
    with pytest.warns(ct.QuantizationWarning, match="said once a model"):
        inference(quantized())(x)
    model = trained().eval()
    model(x).sum().backward()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo
def test_it_is_told_of_a_compiled_model():
    x = torch.randn(3, 8)
    for model in (quantized().eval(), inference()):
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        with pytest.warns(ct.QuantizationWarning, match="of the activations of layer '0'"):
            y = compiled(x)
        assert torch.equal(y, model(x))
    for model in (trained().eval(), inference(trained())):
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x), model(x))
        exported = torch.export.export(model, (x,)).module()
        assert torch.equal(exported(x), model(x))


@pytest.mark.quick
@pytest.mark.parametrize(
    "granularity", ["tensor", "axis 0", "axis 1", "block 4", "block 6 along 0-1"]
)
def test_plain_models_load_what_was_quantized(granularity):
    model = quantized(granularity=granularity)
    model(torch.randn(5, 8)).sum().backward()
    other = plain()
    other.load_state_dict(ct.plain_state_dict(model), strict=True)
    for (name, one), (_, two) in zip(
        other.named_parameters(), model.named_parameters(), strict=True
    ):
        assert torch.equal(one, two), name
    values = [model.eval()[i].weight_rounder(model[i].weight).detach() for i in (0, 2)]
    codes = inference(model)
    for source in (codes, codes.state_dict()):
        other = plain()
        other.load_state_dict(ct.plain_state_dict(source), strict=True)
        assert torch.equal(other[0].weight, values[0])
        assert torch.equal(other[2].weight, values[1])
    assert ct.plain_state_dict(codes, dtype=torch.bfloat16)["0.weight"].dtype == torch.bfloat16
    with pytest.raises(cf.ArgumentTypeError, match="source is 3; it takes a torch"):
        ct.plain_state_dict(3)
    old = safetensors_torch.load_file(DATA / "inference_before_counts.safetensors")
    with pytest.raises(cf.ArgumentValueError, match=r"0\.formats is missing"):
        ct.plain_state_dict(old)
    with pytest.raises(cf.ArgumentTypeError, match=r"dtype is torch\.int8"):
        ct.plain_state_dict(codes, dtype=torch.int8)


def learnt_of(fmt, method, x):
    torch.manual_seed(3)
    model = ct.quantize(nn.Sequential(nn.Linear(8, 4)).eval(), weight=fmt, activation=fmt)
    return ct.calibrate(model, [x], method=method) if method else model


@pytest.mark.parametrize("make", [lambda model: model, ct.to_inference], ids=["quantized", "codes"])
@pytest.mark.parametrize(("here", "there"), [(E4, E5), (E5, E4)])
def test_a_state_of_another_format_gives_its_own_biases_or_is_refused(make, here, there):
    """Magnitudes say what the biases of any format are; a bias says nothing of another format."""
    x = torch.randn(64, 8)
    model = make(learnt_of(here, None, x))
    model.load_state_dict(learnt_of(there, "max", x).state_dict())
    expected = make(learnt_of(here, "max", x))
    assert torch.equal(results(model, x), results(expected, x))
    for method in ("percentile", "mse"):
        state = learnt_of(there, method, x).state_dict()
        with pytest.raises(RuntimeError, match=f"of another format than {here.name}"):
            make(learnt_of(here, None, x)).load_state_dict(state)
        own = make(learnt_of(here, None, x))
        own.load_state_dict(learnt_of(here, method, x).state_dict())
        assert torch.equal(results(own, x), results(make(learnt_of(here, method, x)), x))


@pytest.mark.parametrize("make", [lambda model: model, ct.to_inference], ids=["quantized", "codes"])
@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_what_was_calibrated_in_inference_mode_can_be_saved_and_loaded(make, per):
    x = torch.randn(64, 8)
    model = make(learnt_of(E4, None, x))
    with torch.inference_mode():
        ct.calibrate(model, [x], per=per)
    state = copy.deepcopy(model.state_dict())
    model.load_state_dict(state)
    model.train()(x)
    assert all(torch.equal(state[key], value) or "history" in key or "observed" in key
               for key, value in model.state_dict().items())  # fmt: skip


def llama(**how):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, **how,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def saved(folder, model, *, per="tensor", **how):
    """Save a model of codes, and what it computes; return what it computes."""
    ids = torch.arange(16).reshape(2, 8)
    ct.quantize(model, weight=E4, activation=E4, attention=E4, **how)
    ct.calibrate(model, [ids], per=per, progress=False)
    ct.to_inference(model)
    with torch.no_grad():
        y = model(ids)[0]
    model.save_pretrained(folder)
    torch.save(y, folder / "y.pt")
    return y


LOADING = """
import sys, torch, cfloat.torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM
folder = sys.argv[1]
for kind in (LlamaForCausalLM, AutoModelForCausalLM):
    model = cfloat.torch.load_pretrained(kind, folder)
    with torch.no_grad():
        assert torch.equal(model(torch.arange(16).reshape(2, 8))[0], torch.load(f"{folder}/y.pt"))
try:
    LlamaForCausalLM.from_pretrained(folder)
except ValueError as error:
    assert "quant_method" in str(error), error
else:
    raise AssertionError("codes were left at random")
"""


@pytest.mark.quick
@pytest.mark.parametrize("how", [{}, {"axis": 0}, {"block": 4}, {"axis": 0, "block": 4}], ids=str)
def test_damaged_codes_are_refused_in_words(how):
    small = ct.CFloatLinear.from_linear(nn.Linear(8, 6), E4, "max", **how)
    state = small.state_dict()
    granularity = {"granularity": "axis 0"} if how else {}
    for biases in (torch.zeros(5), torch.zeros(0), torch.zeros(1, 2, 5)):
        other = state | {"weight_bias": biases.to(torch.int16)}
        with pytest.raises(
            cf.ArgumentValueError, match=r"^codes: the weights have biases of shape"
        ):
            ct.plain_state_dict(other)
        with pytest.raises(RuntimeError, match=r"biases of (shape|the weights)"):
            ct.quantize(nn.Linear(8, 6), weight=E4, **granularity).load_state_dict(other)
    lacking = {key: each for key, each in state.items() if key != "weight_bias"}
    with pytest.raises(RuntimeError, match="their weight_bias is missing"):
        ct.quantize(nn.Linear(8, 6), weight=E4).load_state_dict(lacking)
    with pytest.raises(cf.ArgumentValueError, match=r"and codes of \(48,\)|have biases of shape"):
        ct.plain_state_dict(state | {"codes": state["codes"].flatten()})


def of_granularity(granularity, shape):
    """A trained layer whose rows and columns are of different magnitudes."""
    layer = nn.Linear(*shape)
    with torch.no_grad():
        layer.weight.mul_(
            torch.exp2(torch.arange(layer.weight.numel()).reshape(layer.weight.shape) % 7)
        )
    layer = ct.quantize(layer, weight=E4, granularity=granularity)
    layer(torch.randn(3, shape[0]))
    return layer


OTHERWISE = [
    ("axis 0", "axis 1", (8, 8)),
    ("axis 1", "axis 0", (8, 8)),
    ("block 4", "block 5", (12, 10)),
    ("block 5 along 0", "block 9 along 0", (12, 10)),
]


@pytest.mark.quick
@pytest.mark.parametrize("make", [lambda model: model, ct.to_inference], ids=["quantized", "codes"])
@pytest.mark.parametrize(("there", "here", "shape"), OTHERWISE)
def test_a_state_whose_biases_lie_otherwise_is_refused(make, there, here, shape):
    """Though there are as many of them; what the layer had stays."""
    given = of_granularity(there, shape).state_dict()
    layer = make(of_granularity(here, shape)).eval()
    before = {key: each.clone() for key, each in layer.state_dict().items() if "bias" in key}
    with pytest.raises(RuntimeError, match=r"biases( of the weights)? lie by"):
        layer.load_state_dict(given)
    after = layer.state_dict()
    assert all(torch.equal(after[key], each) for key, each in before.items() if key != "bias")


@pytest.mark.quick
@pytest.mark.parametrize("make", [lambda model: model, ct.to_inference], ids=["quantized", "codes"])
@pytest.mark.parametrize(
    ("there", "here", "shape"),
    [*((one, one, shape) for one, _, shape in OTHERWISE), ("block 1000", "block 12", (12, 10))],
)
@pytest.mark.parametrize("says", [True, False])
def test_a_state_whose_biases_lie_likewise_is_loaded(make, there, here, shape, says):
    """Also one that does not say where they lie, as those before did not."""
    source = of_granularity(there, shape)
    state = source.state_dict()
    if not says:
        text = bytes(state["weight_rounder.format_text"].tolist()).partition(b"\n")[0]
        state["weight_rounder.format_text"] = torch.tensor(list(text), dtype=torch.uint8)
    layer = make(of_granularity(here, shape))
    layer.load_state_dict(state)
    x = torch.randn(4, shape[0])
    torch.testing.assert_close(layer.eval()(x), source.eval()(x))
    again = make(of_granularity(here, shape))
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.eval()(x), layer(x))


@pytest.mark.quick
def test_codes_of_another_size_are_refused():
    """Also of files that say nothing of the format; their lower halves would be codes."""
    wide = ct.CFloatLinear.from_linear(nn.Linear(8, 6), cf.CFloat16_SHP, "max")
    state = {key: each for key, each in wide.state_dict().items() if key != "formats"}
    small = ct.CFloatLinear.from_linear(nn.Linear(8, 6), E4, "max")
    before = small.codes.clone()
    with pytest.raises(RuntimeError, match=r"codes are torch\.uint16; it takes torch\.uint8"):
        small.load_state_dict(state)
    assert torch.equal(small.codes, before)


def test_models_of_transformers_beside_layers_of_codes_stay_as_they_are(tmp_path):
    plain = llama()
    model = nn.ModuleDict({"plain": plain, "head": ct.quantize(nn.Linear(4, 4), weight=E4)})
    ct.to_inference(model)
    assert "quantization_config" not in plain.config.to_dict()
    plain.save_pretrained(tmp_path)
    other, ids = type(plain).from_pretrained(tmp_path), torch.arange(8)[None]
    assert torch.equal(other(ids)[0], plain(ids)[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "tied"),
    [({}, False), ({"granularity": "axis 0", "per": "channel"}, True),
     ({"granularity": "block 8 along 0", "bias": {"activation": 9}, "window": 3}, False)],
)  # fmt: skip
def test_what_transformers_saves_is_loaded_in_a_process_of_its_own(tmp_path, how, tied):
    saved(tmp_path, llama(tie_word_embeddings=tied), **how)
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOADING, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.quick
def test_folders_of_codes(tmp_path):
    model = llama()
    y = saved(tmp_path, model)
    ids = torch.arange(16).reshape(2, 8)
    other = ct.load_pretrained(type(model), tmp_path, attn_implementation="eager")
    assert repr(other) == repr(model)
    torch.testing.assert_close(other(ids)[0], y)
    again = tmp_path / "again"
    other.save_pretrained(again)  # and it is saved again
    assert torch.equal(ct.load_pretrained(type(model), again)(ids)[0], y)
    # in parts, of a model within another, and by the class of what is within
    whole = nn.ModuleList([llama()])
    ct.to_inference(ct.quantize(whole, weight=E4))
    whole[0].save_pretrained(again, max_shard_size="20kB")
    assert (again / "model.safetensors.index.json").exists()
    (again / "model.safetensors").unlink(missing_ok=True)
    assert torch.equal(ct.load_pretrained(type(model), again)(ids)[0], whole[0](ids)[0])
    inner = llama()
    ct.to_inference(ct.quantize(inner.model, weight=E4))
    inner.save_pretrained(tmp_path / "inner")
    found = ct.load_pretrained(type(model), tmp_path / "inner")
    assert torch.equal(found(ids)[0], inner(ids)[0])


@pytest.mark.quick
def test_folders_that_are_none_of_codes_are_refused(tmp_path):
    kind = type(llama())
    with pytest.raises(cf.ArgumentTypeError, match="kind is 3; it takes a class of transformers"):
        ct.load_pretrained(3, tmp_path)
    with pytest.raises(cf.FileError, match=r"config\.json: .*No such file"):
        ct.load_pretrained(kind, tmp_path)
    llama().save_pretrained(tmp_path)
    with pytest.raises(
        cf.FileError, match="says of no layers of codes; from_pretrained loads other"
    ):
        ct.load_pretrained(kind, tmp_path)
    saved(tmp_path, llama())
    text = (tmp_path / "config.json").read_text()
    for change, error, message in (
        (
            lambda layers: layers.update(nowhere=layers["lm_head"]),
            ValueError,
            "has no layer 'nowhere'",
        ),
        (
            lambda layers: layers.pop("lm_head"),
            cf.FileError,
            r"1, as 'lm_head\.weight', are missing; 5, as 'lm_head\..*', are of others",
        ),
        (
            lambda layers: layers["model.embed_tokens"]["rounders"].update(
                query=layers["model.layers.0.self_attn"]["rounders"]["query"]
            ),
            ValueError,
            "the products of attention in the folder; here it cannot: it computes no attention",
        ),
        (
            lambda layers: layers["lm_head"].pop("format"),
            cf.FileError,
            "layer 'lm_head' is damaged",
        ),
        (
            lambda layers: layers["lm_head"].update(shape=[3, 3]),
            ValueError,
            "layer 'lm_head' of Llama.* is not",
        ),
        (
            lambda layers: layers["lm_head"].update(format="4 3"),
            cf.FileError,
            "is damaged: not enough",
        ),
        (
            lambda layers: layers["lm_head"].update(biases=[2**40]),
            cf.FileError,
            "biases have shape",
        ),
        (
            lambda layers: layers["model.embed_tokens"]["rounders"]["weight"].update(bias="x"),
            ValueError,
            "bias is 'x'; it takes 'max'",
        ),
    ):
        config = json.loads(text)
        change(config["quantization_config"]["cfloat_layers"])
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(error, match=message):
            ct.load_pretrained(kind, tmp_path)
    (tmp_path / "config.json").write_text(text)
    ct.load_pretrained(kind, tmp_path)
    with pytest.raises(
        ValueError, match="its attn_implementation is 'flex_attention', and not sdpa"
    ):
        ct.load_pretrained(kind, tmp_path, attn_implementation="flex_attention")
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(cf.FileError, match=str(tmp_path)):
        ct.load_pretrained(kind, tmp_path)
    path.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(cf.FileError, match="its weights are pickled; safetensors are read"):
        ct.load_pretrained(kind, tmp_path)


class OwnRounders(nn.Module):
    """A model that has rounders of its own, and a module that is called as one."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.own_rounder = ct.Rounder(E4)
        self.activation_rounder = nn.Module()
        self.activation_rounder.register_buffer("history", torch.ones(3))

    def forward(self, x):
        return self.own_rounder(self.layer(x)) + self.activation_rounder.history[0]


@pytest.mark.quick
def test_plain_states_keep_what_a_model_has_of_its_own():
    model = ct.quantize(OwnRounders(), weight=E4, activation=E4)
    model(torch.randn(5, 4))
    for source in (model, model.state_dict(), ct.to_inference(copy.deepcopy(model))):
        plain = OwnRounders()
        plain.load_state_dict(ct.plain_state_dict(source), strict=True)
        assert plain.own_rounder.bias == model.own_rounder.bias
    old = safetensors_torch.load_file(DATA / "quantized_before_counts.safetensors")
    assert list(ct.plain_state_dict(old)) == ["0.bias", "0.weight", "2.bias", "2.weight"]
