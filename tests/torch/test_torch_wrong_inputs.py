"""Inputs that layers and operators do not take: it is said what was given, and what is taken."""

import importlib
import warnings

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
nn = torch.nn

E4 = cf.CFloat8_1_4_3

# what makes a layer, the shape of its inputs, and the axis that it multiplies by its weights
LAYERS = {
    "linear": (lambda: nn.Linear(8, 4), (3, 8), -1),
    "conv": (lambda: nn.Conv2d(8, 4, 3), (2, 8, 5, 5), -3),
    "transposed": (lambda: nn.ConvTranspose1d(8, 4, 3), (2, 8, 5), -2),
    "bilinear": (lambda: nn.Bilinear(8, 8, 4), (3, 8), -1),
    "attention": (lambda: nn.MultiheadAttention(8, 2), (5, 2, 8), -1),
    "lstm": (lambda: nn.LSTM(8, 4), (5, 2, 8), -1),
    "cell": (lambda: nn.GRUCell(8, 4), (2, 8), -1),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16), (5, 2, 8), -1),
    "normed": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 4)), (3, 8), -1),
}
ROUNDING = {
    "weights": {"weight": E4},
    "inputs": {"weight": E4, "activation": E4},
    "products": {"weight": E4, "activation": E4, "attention": E4},
}


def quantized(kind, rounding):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ct.quantize(LAYERS[kind][0](), **ROUNDING[rounding])


def call(kind, layer, x):
    count = {"bilinear": 2, "attention": 3}.get(kind, 1)
    return layer(*[x] * count)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("kind", "rounding"),
    [(kind, how) for kind in LAYERS for how in ROUNDING
     if how != "products" or kind in ("attention", "encoder")],
)  # fmt: skip
def test_layers_say_what_they_take(kind, rounding):
    layer = quantized(kind, rounding)
    _, shape, axis = LAYERS[kind]
    for length in (7, 0):
        wrong = list(shape)
        wrong[axis] = length
        with pytest.raises(
            cf.ArgumentValueError, match=rf"has shape \({shape[0]}, .*; it takes .*8"
        ):
            call(kind, layer, torch.ones(wrong))
    with pytest.raises(cf.ArgumentTypeError, match=r"dtype torch\.int64; it takes .*float32"):
        call(kind, layer, torch.ones(shape, dtype=torch.int64))
    with pytest.raises(
        cf.ArgumentTypeError, match=r"dtype torch\.float64; it takes torch\.float32"
    ):
        call(kind, layer, torch.ones(shape, dtype=torch.float64))
    if kind != "encoder":  # which is PyTorch's own, and looks at its input before its parts do
        with pytest.raises(cf.ArgumentTypeError, match=r" is a.*; it takes a torch\.Tensor"):
            call(kind, layer, np.ones(shape, np.float32))
    call(kind, layer, torch.ones(shape))  # nothing stays behind


@pytest.mark.quick
@pytest.mark.parametrize("rows", [10, 3000])
@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_embeddings_say_what_they_take(kind, rows):
    layer = ct.quantize(kind(rows, 8), weight=E4).eval()
    for index in (rows, -1):
        expected = f"indices from {min(index, 2)} to {max(index, 2)}; it takes 0 to {rows - 1}"
        with pytest.raises(cf.ArgumentValueError, match=expected):
            layer(torch.tensor([[2, index]]))
    with pytest.raises(
        cf.ArgumentTypeError, match=r"dtype torch\.float32; it takes int32 or int64"
    ):
        layer(torch.ones(2, 3))
    with pytest.raises(cf.ArgumentTypeError, match=r"input is None; it takes a torch\.Tensor"):
        layer(None)
    assert layer(torch.ones(2, 3, dtype=torch.int32)).shape[-1] == 8


def test_what_is_wrong_elsewhere_is_as_pytorch_says_it():
    layer = quantized("conv", "weights")
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        layer(torch.ones(2, 8, 1, 1))
    layer = quantized("lstm", "weights")
    with pytest.raises(RuntimeError, match=r"Expected hidden\[0\] size"):
        layer(torch.ones(5, 2, 8), (torch.ones(1, 3, 4), torch.ones(1, 3, 4)))
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        layer(torch.ones(5, 2, 8), size=3)


class Own(nn.Linear):
    """A layer that takes other inputs than PyTorch's, and knows errors of its own."""

    def forward(self, x, error=None):
        if error is not None:
            raise error
        return super().forward(x.float().mT)


@pytest.mark.quick
@pytest.mark.parametrize(
    "error", [KeyError("nothing"), torch.OutOfMemoryError("no memory")], ids=str
)
def test_errors_of_a_users_own_layer_stay_as_they_are(error):
    layer = ct.quantize(nn.Sequential(Own(8, 4)), weight=E4)[0]
    x = torch.ones(8, 3, dtype=torch.int64)
    assert layer(x).shape == (3, 4)
    with pytest.raises(type(error)) as found:
        layer(x, error)
    assert found.value is error
    with pytest.raises(RuntimeError, match=r"cannot be multiplied \(3x7 and 8x4\)"):
        layer(torch.ones(7, 3))


@pytest.mark.quick
def test_errors_of_any_callable_stay_as_they_are():
    class Fails:
        __module__ = None  # as of what C makes

        def __call__(self, layer, x):
            raise IndexError("nothing")

    layer = ct.quantize(
        nn.Sequential(type("Failing", (nn.Linear,), {"forward": Fails()})(8, 4)), weight=E4
    )
    with pytest.raises(IndexError, match="nothing"):
        layer(torch.ones(3, 7))


@pytest.mark.quick
def test_wrong_indices_of_a_map_are_as_pytorch_says_it():
    layer = ct.quantize(nn.Sequential(nn.Embedding(10, 8)), weight=E4).eval()
    with pytest.raises(IndexError, match="out of range"):
        torch.vmap(layer)(torch.full((4, 3), 12))


@pytest.mark.quick
@pytest.mark.parametrize(
    "how", [{}, {"activation": E4}, {"activation": E4, "activation_bias": 9}, {"block": 4}], ids=str
)
def test_layers_of_codes_say_what_they_take(how):
    layer = ct.CFloatLinear.from_linear(nn.Linear(8, 4), E4, "max", **how)
    for shape in ((3, 7), (3, 0), (), (8, 3)):
        with pytest.raises(
            cf.ArgumentValueError, match=r"x has shape \(.*; it takes \(\.\.\., 8\)"
        ):
            layer(torch.ones(shape))
    with pytest.raises(cf.ArgumentValueError, match="x is on meta; the weights are on cpu"):
        layer(torch.ones(3, 8, device="meta"))
    for x in (3, [1.0], None, torch.arange(8)):
        with pytest.raises(cf.ArgumentTypeError, match=r"x (is a|has dtype).*; it takes"):
            layer(x)
    if "activation" in how:
        with pytest.raises(cf.ArgumentTypeError, match=r"layout torch\.sparse_coo"):
            layer(torch.ones(3, 8).to_sparse())


@pytest.mark.quick
def test_rounders_and_operators_say_what_they_take():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, that they are new
        sparse = torch.ones(3, 4).to_sparse(), torch.ones(3, 4).to_sparse_csr()
        nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    rounders = [
        ct.Rounder(E4), ct.Rounder(E4, bias=9), ct.Rounder(E4, bias=9).eval(),
        ct.Rounder(E4, bias=9, rounding="stochastic").eval(), ct.Rounder(E4, axis=0),
    ]  # fmt: skip
    for rounder in rounders:
        for x in (3, [1.0], None, np.ones(3), torch.arange(3)):
            with pytest.raises(cf.ArgumentTypeError, match=r"x (is a|has dtype).*; it takes"):
                rounder(x)
        for x in sparse:
            with pytest.raises(cf.ArgumentTypeError, match="x has layout"):
                rounder(x)
            with pytest.raises(cf.ArgumentTypeError, match="x has layout"):
                rounder.observe(x)
    with pytest.raises(cf.ArgumentTypeError, match="x has nested tensors; it takes one tensor"):
        ct.Rounder(E4)(nested)
    with pytest.raises(
        cf.ArgumentValueError, match="x is on meta; what the Rounder learnt is on cpu"
    ):
        ct.Rounder(E4)(torch.ones(3, device="meta"))
    with pytest.raises(cf.ArgumentValueError, match="along the last axis and take 1 or more"):
        ct.Rounder(E4, block=4)(torch.tensor(1.0))
    x = torch.ones(3, 4)
    biases = torch.full((3, 4), 9)
    for call in (
        lambda: ct.round_to(x, E4, biases.to_sparse()),
        lambda: ct.encode(x, E4, biases.to_sparse()),
        lambda: ct.decode(x.to(torch.uint8), E4, biases.to_sparse()),
    ):
        with pytest.raises(cf.ArgumentTypeError, match=r"bias has layout torch\.sparse_coo"):
            call()
    for call in (ct.asarray, ct.round_to):
        with pytest.raises(cf.ArgumentValueError, match="x is on meta, without elements"):
            call(x.to("meta"), E4, "max")
