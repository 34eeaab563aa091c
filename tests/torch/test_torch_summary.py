"""What a summary says of a model, beside the model."""

import importlib

import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
nn = torch.nn

E4, E5 = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
        self.head = nn.Linear(8, 10, bias=False)
        self.head.weight = self.embed.weight
        self.table = nn.Parameter(torch.randn(2, 8))
        self.out = nn.Linear(10, 3)

    def forward(self, ids):
        x = self.embed(ids)
        x = self.norm(x + self.attention(x, x, x)[0])
        return self.out(self.head(self.normed(x)))


@pytest.mark.quick
def test_a_summary():
    torch.manual_seed(0)
    model, ids = Model().eval(), torch.arange(10).reshape(2, 5)
    before = ct.summary(model)
    assert isinstance(before, ct.ModelSummary)
    assert not any(row.is_rounded for row in before.layers)
    assert before.code_nbytes == before.nbytes
    with pytest.warns(ct.QuantizationWarning, match="'' "):
        ct.quantize(
            model, weight=E4, activation=E5, gradient=E4, rules={"out": {"granularity": "axis 0"}}
        )
    found = {row.name: row for row in ct.summary(model).layers}
    assert isinstance(found["embed"], ct.LayerSummary)
    assert list(found) == [
        "", "embed", "attention", "attention.out_proj", "norm", "normed", "head", "out",
    ]  # fmt: skip
    assert [name for name, row in found.items() if not row.is_rounded] == ["", "norm"]
    assert found[""].note == "of no class whose weights are rounded"
    assert found["norm"].note == "no weights of two axes or more"
    assert "input of out_proj" in found["attention"].note
    assert "computed from others" in found["normed"].note
    assert (found["embed"].weight, found["embed"].activation) == (E4.name, "")
    assert found["out"].activation == E5.name
    assert found["out"].activation_bias == "not learnt yet"
    low, high = model.out.weight_rounder.bias.min(), model.out.weight_rounder.bias.max()
    assert found["out"].weight_bias == f"{low} to {high}"
    assert (found["out"].nbytes, found["out"].code_nbytes) == (4 * 33, 30 + 2 * 3 + 4 * 3)
    # the tied weights are counted once
    assert (found["embed"].elements, found["head"].elements) == (80, 0)
    total = ct.summary(model)
    assert total.elements == sum(each.numel() for each in model.parameters())
    assert total.nbytes == 4 * total.elements
    ct.calibrate(model, [ids])
    found = {row.name: row for row in ct.summary(model).layers}
    assert found["out"].activation_bias == str(model.out.activation_rounder.bias)
    assert found["out"].learnt_from == "learnt from 100 elements in 1 batch"
    text = str(ct.summary(model))
    assert "attention.out_proj" in text
    assert f"{total.rounded_elements:,} of {total.elements:,} elements are rounded" in text
    table = ct.summary(model)._repr_html_()
    assert table.count("<tr>") == 9
    ct.to_inference(model)
    row = {row.name: row for row in ct.summary(model).layers}["out"]
    assert (row.kind, row.is_rounded, row.weight) == ("CFloatLinear", True, E4.name)
    assert row.nbytes == row.code_nbytes == 30 + 2 * 3 + 4 * 3
    assert row.learnt_from == "learnt from 100 elements in 1 batch"


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
def test_a_transformer_and_an_lstm_are_rounded_whole():
    for model in (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2),
        nn.Sequential(nn.LSTM(4, 8, 2)),
    ):
        ct.quantize(model, weight=E4)
        matrices = sum(each.numel() for each in model.parameters() if each.ndim > 1)
        assert ct.summary(model).rounded_elements == matrices


def test_names_cannot_command_a_terminal_or_a_page():
    model = nn.ModuleDict({"a\x1b[2J<b>": nn.Linear(2, 2)})
    found = ct.summary(model)
    assert "\x1b" not in str(found)
    assert "<b>" not in found._repr_html_()
    with pytest.raises(cf.ArgumentTypeError, match=r"model is 3; it takes a torch\.nn\.Module"):
        ct.summary(3)
