"""Layers that round, and layers of codes, beside the same computation in NumPy."""

import copy
import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
safetensors_torch = importlib.import_module("safetensors.torch")
nn = torch.nn

E4, E5 = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2
FP6 = cf.Format("fp6_e3m2", exponent_bits=3, mantissa_bits=2, bias=(0, 63))
ALL = {"weight": E4, "activation": E4, "gradient": E5}


def linears():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, stride=2), nn.Flatten()
    )


# The same in NumPy, in float64, where sums of these products are exact


class LinearInNumpy:
    def __init__(self, layer, rounding):
        self.weight, self.bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        self.rounding = rounding

    def forward(self, x):
        self.x = x
        self.rounded_x = self.rounding["activation"](x)
        self.rounded_weight = self.rounding["weight"](self.weight)
        return self.product(self.rounded_x, self.rounded_weight) + self.bias

    def backward(self, gradient):
        gradient = self.rounding["gradient"](gradient.astype(np.float32)).astype(np.float64)
        self.bias_gradient = gradient.sum(axis=self.summed)
        by_weight, by_input = self.gradients(gradient)
        self.weight_gradient = by_weight * self.rounding["weight"].within(self.weight)
        return by_input * self.rounding["activation"].within(self.x)

    summed = 0

    def product(self, x, weight):
        self.magnitudes = np.abs(x) @ np.abs(weight).T
        return x.astype(np.float64) @ weight.T

    def gradients(self, gradient):
        return gradient.T @ self.rounded_x, gradient @ self.rounded_weight


class ConvInNumpy(LinearInNumpy):
    summed = (0, 2, 3)

    def __init__(self, layer, rounding):
        super().__init__(layer, rounding)
        self.bias = self.bias[:, None, None]
        self.padding, self.stride = layer.padding[0], layer.stride[0]

    def windows(self, x):
        """Return what each output sees: (n, channels, rows, columns, 3, 3)."""
        p = self.padding
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        return seen[:, :, :: self.stride, :: self.stride]

    def product(self, x, weight):
        return np.einsum("ncijkl,ockl->noij", self.windows(x.astype(np.float64)), weight)

    def gradients(self, gradient):
        seen = self.windows(self.rounded_x.astype(np.float64))
        by_weight = np.einsum("noij,ncijkl->ockl", gradient, seen)
        p, s = self.padding, self.stride
        n, c, rows, columns = self.rounded_x.shape
        by_input = np.zeros((n, c, rows + 2 * p, columns + 2 * p))
        for k in range(3):
            for m in range(3):
                part = np.einsum("noij,oc->ncij", gradient, self.rounded_weight[:, :, k, m])
                i, j = part.shape[2:]
                by_input[:, :, k : k + s * i : s, m : m + s * j : s] += part
        return by_weight, by_input[:, :, p : p + rows, p : p + columns]


class Fixed:
    def __init__(self, fmt, bias):
        self.fmt, self.bias = fmt, bias

    def __call__(self, x):
        return cf.round_to(np.asarray(x, np.float32), self.fmt, self.bias)

    def within(self, x):
        return np.abs(x) <= cf.finfo(self.fmt, self.bias).max


def run_in_numpy(layers, x, gradient):
    """Return the outputs of two layers with a ReLU between, and the gradient of their input."""
    first, second = layers
    hidden = first.forward(x)
    y = second.forward(np.maximum(hidden, 0).astype(np.float32))
    return y, first.backward(second.backward(gradient) * (hidden > 0))


@pytest.mark.parametrize(
    ("make", "in_numpy", "shape", "out"),
    [(linears, LinearInNumpy, (5, 8), (5, 4)), (convolutions, ConvInNumpy, (2, 2, 7, 7), (2, 27))],
    ids=["linear", "convolutional"],
)
def test_two_layers_bit_for_bit(make, in_numpy, shape, out):
    """At these biases every sum is exact in float32, whatever its order."""
    model = make()
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.mul_(6)
            layer.bias.copy_((layer.bias * 64).round() / 64)
    formats, biases = ALL | {"activation": FP6}, {"weight": 3, "activation": 3, "gradient": 4}
    rounding = {role: Fixed(fmt, biases[role]) for role, fmt in formats.items()}
    expected = [in_numpy(model[i], rounding) for i in (0, 2)]
    ct.quantize(model, **formats, bias=biases)
    x, gradient = torch.randn(shape) * 16, torch.randn(out)
    y = model(x.requires_grad_())
    y.backward(gradient)

    shaped = gradient.numpy().reshape(2, 3, 3, 3) if len(shape) == 4 else gradient.numpy()
    in_float64, input_gradient = run_in_numpy(expected, x.detach().numpy(), shaped)
    assert (in_float64.astype(np.float32) == in_float64).all()
    np.testing.assert_array_equal(y.detach().numpy(), in_float64.reshape(out))
    for i, layer in zip((0, 2), expected, strict=True):
        np.testing.assert_array_equal(model[i].weight.grad.numpy(), layer.weight_gradient)
        np.testing.assert_array_equal(model[i].bias.grad.numpy(), layer.bias_gradient)
    np.testing.assert_array_equal(x.grad.numpy(), input_gradient)
    saturated = x.detach().abs() > 28
    assert saturated.any()
    assert not x.grad[saturated].any()
    assert x.grad.any()
    # and rounding did change something
    assert (expected[0].rounded_weight != expected[0].weight).any()


def test_learnt_biases_and_sums_within_their_bound():
    """Against NumPy with `BiasTracker`, step by step, gradients with stochastic rounding included."""
    model = linears()
    ct.quantize(model, **ALL, window=3, margin=1, rounding={"gradient": "stochastic"}, seed=5)
    trackers = [
        {role: cf.BiasTracker(fmt, window=3, margin=1) for role, fmt in ALL.items()}
        for _ in range(2)
    ]
    for own, layer in zip(trackers, (model[0], model[2]), strict=True):
        own["weight"].update(layer.weight.detach().numpy())
    streams = [layer.gradient_rounder.stream.tolist() for layer in (model[0], model[2])]
    inputs, outputs, gradients = {}, {}, {}
    for i in (0, 2):
        model[i].register_forward_hook(
            lambda _, given, y, i=i: inputs.update({i: given[0]}) or outputs.update({i: y})
        )
    for scale in (1.0, 100.0, 0.01, 0.01, 0.01):
        x = torch.randn(5, 8) * scale
        model.zero_grad()
        y = model(x)
        for i in (0, 2):
            outputs[i].register_hook(lambda g, i=i: gradients.update({i: g.clone()}))
        (y * torch.randn(5, 4) * scale).sum().backward()
        for i, own, stream in zip((0, 2), trackers, streams, strict=True):
            layer, given = model[i], inputs[i].detach().numpy()
            weight = layer.weight.detach().numpy()
            bias = own["activation"].update(given)
            rounded = cf.round_to(given, E4, bias)
            rounded_weight = cf.round_to(weight, E4, own["weight"].update(weight))
            assert (layer.activation_rounder.bias, layer.weight_rounder.bias) == (
                bias, own["weight"].bias,
            )  # fmt: skip
            exact = rounded.astype(np.float64) @ rounded_weight.T + layer.bias.detach().numpy()
            bound = 9 * 2.0**-23 * (np.abs(rounded) @ np.abs(rounded_weight).T + 1)
            assert (np.abs(outputs[i].detach().numpy() - exact) <= bound).all()

            gradient = gradients[i].numpy()
            gradient_bias = own["gradient"].update(gradient)
            assert layer.gradient_rounder.bias == gradient_bias
            rounded_gradient = cf.round_to(
                gradient, E5, gradient_bias, rounding="stochastic", seed=stream[0] % 2**64, offset=stream[1],
            )  # fmt: skip
            stream[1] += gradient.size
            exact = rounded_gradient.T.astype(np.float64) @ rounded
            bound = 5 * 2.0**-23 * (np.abs(rounded_gradient).T @ np.abs(rounded))
            assert (np.abs(layer.weight.grad.numpy() - exact) <= bound).all()


@pytest.mark.parametrize(
    ("fmt", "rule"),
    [
        *((fmt, "max") for fmt in [E4, E5, cf.CFloat16_SHP, cf.CFloat16_UHP, cf.bfloat16]),
        (E4, "mx"),
        (E5, "mx"),
    ],
)
def test_biases_are_those_of_a_tracker(fmt, rule, rng):
    rounder = ct.Rounder(fmt, bias=rule, window=2, margin=2)
    tracker = cf.BiasTracker(fmt, window=2, margin=2, method=rule)
    assert f"bias not learnt yet{'' if rule == 'max' else ' by ' + repr(rule)}" in repr(rounder)
    top = float(cf.finfo(fmt).max)
    peaks = [0.0, 1.0, top, np.nextafter(top, 0), np.nextafter(top, np.inf), 1e-300, 1e300, 5e-324]
    peaks += [*np.exp2(rng.uniform(-80, 80, 200)).tolist(), 0.0, 0.0, 0.0]
    for peak in peaks:
        x = np.array([-peak, np.nan, peak / 2, np.inf])
        rounder.observe(torch.from_numpy(x))
        assert rounder.bias == tracker.update(x)
    rounder.observe(torch.zeros(0))
    assert rounder.bias == fmt.default_bias


def test_layers_round_by_the_rule_of_ocp_mx():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(8, 4), torch.randn(5, 8)
    with torch.no_grad():
        layer.weight[0, 0] = x[0, 0] = 1.9375  # beyond the largest value at the bias of its binade
    small = ct.CFloatLinear.from_linear(layer, E4, "mx", activation=E4, activation_bias="mx")
    assert int(small.weight_bias) == cf.choose_bias(layer.weight, E4, "mx")
    assert int(small.weight_bias) == cf.choose_bias(layer.weight, E4, "max") + 1
    bias = cf.choose_bias(x, E4, "mx")
    given = ct.CFloatLinear.from_linear(layer, E4, "mx", activation=E4, activation_bias=bias)
    assert torch.equal(small(x), given(x))
    assert torch.equal(ct.round_to(x, E4, "mx"), ct.round_to(x, E4, bias))
    model = ct.quantize(torch.nn.Sequential(layer), weight=E4, bias="mx")
    model(x)
    assert model[0].weight_rounder.bias == int(small.weight_bias)
    for call in (
        lambda: ct.Rounder(cf.bfloat16, bias="mx"),
        lambda: ct.quantize(torch.nn.Linear(2, 2), weight=cf.float8_e5m2, bias="mx"),
        lambda: ct.round_to(x, cf.float8_e4m3fn, "mx"),
    ):
        with pytest.raises(
            cf.ArgumentValueError, match=r"bias is 'mx', and the bias of .* is fixed"
        ):
            call()


def test_evaluation_learns_nothing():
    model = ct.quantize(linears(), **ALL)
    model(torch.randn(5, 8)).sum().backward()
    before = copy.deepcopy(model.state_dict())
    model.eval()
    model(torch.randn(5, 8) * 1000).sum().backward()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    # and what is too large saturates at the bias that was learnt
    rounder = model[0].activation_rounder
    assert rounder(torch.tensor([1e9])).item() == cf.finfo(E4, rounder.bias).max


def test_a_state_dict_goes_on_with_the_same_bits(tmp_path):
    def made(seed):
        return ct.quantize(linears(), **ALL, rounding="stochastic", seed=seed)

    def steps(model, xs):
        for x in xs:
            model.zero_grad()
            model(x).square().sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    model, other = made(1), made(2)
    steps(model, torch.randn(3, 5, 8))
    names = set(model.state_dict())
    assert {"0.weight_rounder.history", "2.gradient_rounder.stream", "0.weight"} <= names
    torch.save(model.state_dict(), tmp_path / "model.pt")
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    xs = torch.randn(3, 5, 8)
    for a, b in zip(steps(model, xs), steps(other, xs), strict=True):
        assert torch.equal(a, b)
    plain = linears()
    missing = model.load_state_dict(plain.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert torch.equal(model[0].weight, plain[0].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_biases_outlive_a_model_of_another_dtype(dtype):
    model = ct.quantize(linears(), **ALL)
    scale = 1e-9  # such gradients are 0 in float16
    (model(torch.randn(5, 8)) * scale).sum().backward()
    rounders = [part for part in model.modules() if isinstance(part, ct.Rounder)]
    before = [(rounder.bias, rounder.history.clone()) for rounder in rounders]
    model.zero_grad()
    model.to(dtype)
    for rounder, (bias, history) in zip(rounders, before, strict=True):
        assert rounder.bias == bias
        assert torch.equal(rounder.history, history)
    model(torch.randn(5, 8, dtype=dtype)).sum().backward()
    assert model[0].weight.grad.dtype == dtype
    layer = ct.CFloatLinear.from_linear(nn.Linear(8, 3), E4, block=4)
    x = torch.randn(2, 8)
    assert layer(x).dtype == torch.float32
    torch.testing.assert_close(layer.to(dtype)(x), layer(x.to(dtype)).float(), atol=0.02, rtol=0.02)


def test_streams_of_layers_and_roles_are_their_own():
    model = ct.quantize(linears(), **ALL, rounding="stochastic", seed=1)
    streams = [
        rounder.stream[0].item() for rounder in model.modules() if isinstance(rounder, ct.Rounder)
    ]
    assert len(set(streams)) == 6
    x = torch.rand(5, 8)
    first, second = model(x), model(x)
    assert not torch.equal(first, second)
    again = ct.quantize(linears(), **ALL, rounding="stochastic", seed=1)
    again.load_state_dict(
        {n: v for n, v in model.state_dict().items() if "stream" not in n}, strict=False
    )
    assert [r.stream[0].item() for r in again.modules() if isinstance(r, ct.Rounder)] == streams


def test_parameters_stay_the_same_tensors():
    model = linears()
    before = dict(model.named_parameters())
    assert ct.quantize(model, **ALL) is model
    assert dict(model.named_parameters()).keys() == before.keys()
    assert all(after is before[name] for name, after in model.named_parameters())
    assert type(model[0]) is ct.QuantizedLinear
    assert isinstance(model[0], nn.Linear)
    x = torch.randn(3, 8)
    model(x)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied.eval()(x), model.eval()(x))
    layer = nn.Linear(3, 2)
    assert ct.quantize(layer, weight=E4) is layer
    assert f"CFloat8_1_4_3, bias={layer.weight_rounder.bias} from 6 elements in 1 batch" in repr(
        layer
    )


@pytest.mark.parametrize("assign", [False, True])
def test_a_plain_models_state_brings_its_biases(assign):
    plain, model = linears(), ct.quantize(linears(), **ALL)
    with torch.no_grad():
        plain[0].weight *= 1000
    before = model[0].gradient_rounder.history.clone()
    model.load_state_dict(plain.state_dict(), strict=False, assign=assign)
    for layer in (model[0], model[2]):
        assert layer.weight_rounder.bias == cf.choose_bias(layer.weight.detach().numpy(), E4, "max")
    assert torch.equal(model[0].gradient_rounder.history, before)
    # a state of its own has the history, which is not learnt from again
    trained = ct.quantize(linears(), **ALL)
    trained[0].weight_rounder.observe(torch.tensor([500.0]))
    model.load_state_dict(trained.state_dict(), assign=assign)
    assert model[0].weight_rounder.bias == trained[0].weight_rounder.bias
    fixed = ct.quantize(linears(), weight=E4, bias=9)
    fixed.load_state_dict(plain.state_dict())
    assert fixed[0].weight_rounder.bias == 9


def test_only_what_is_named_is_rounded():
    model = ct.quantize(linears(), weight=E4)
    assert model[0].activation_rounder is None
    assert model[0].gradient_rounder is None
    plain = linears()
    plain.load_state_dict(
        {n: v for n, v in model.state_dict().items() if "rounder" not in n}, strict=True
    )
    x = torch.randn(5, 8)
    weight = torch.from_numpy(cf.round_to(plain[0].weight.detach().numpy(), E4, "max"))
    assert torch.equal(model[0](x), nn.functional.linear(x, weight, plain[0].bias))


def test_layers_that_are_skipped():
    def kinds(**how):
        model = nn.ModuleDict(
            {"head": nn.Linear(3, 3), "body": linears(), "out": nn.Conv1d(3, 3, 1)}
        )
        ct.quantize(model, weight=E4, **how)
        return [name for name, part in model.named_modules() if hasattr(part, "weight_rounder")]

    assert kinds() == ["head", "body.0", "body.2", "out"]
    assert kinds(skip=["body.*"]) == ["head", "out"]
    assert kinds(skip=("head", "body.2")) == ["body.0", "out"]
    assert kinds(skip=lambda name, layer: isinstance(layer, nn.Conv1d)) == [
        "head",
        "body.0",
        "body.2",
    ]


@pytest.mark.parametrize(
    ("dimensions", "made"),
    [(1, ct.QuantizedConv1d), (2, ct.QuantizedConv2d), (3, ct.QuantizedConv3d)],
)
def test_convolutions_of_every_number_of_dimensions(dimensions, made):
    kind = getattr(nn, f"Conv{dimensions}d")
    layer = kind(2, 4, 3, padding=1, padding_mode="circular", groups=2)
    x = torch.randn(1, 2, *(5,) * dimensions)
    weight = torch.from_numpy(cf.round_to(layer.weight.detach().numpy(), E4, "max"))
    plain = copy.deepcopy(layer)
    plain.weight = nn.Parameter(weight)
    expected = plain(torch.from_numpy(cf.round_to(x.numpy(), E4, "max")))
    ct.quantize(layer, weight=E4, activation=E4)
    assert torch.equal(layer(x), expected)
    assert type(layer) is made


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
def test_transformers_call_their_layers():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
    plain = copy.deepcopy(encoder).eval()
    x = torch.randn(3, 5, 16)
    ct.quantize(encoder, weight=E4, activation=E4, rules={"*": {"attention": None}})
    encoder(x)
    encoder.eval()
    with torch.no_grad():
        fast = encoder(x)
    torch.testing.assert_close(fast, encoder(x))  # with gradients there never is a fast path
    assert not torch.allclose(fast, plain(x), rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        masked = encoder(x, src_key_padding_mask=torch.zeros(3, 5, dtype=torch.bool))
    torch.testing.assert_close(masked, fast)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by Dynamo
def test_a_model_compiles_whole():
    """Biases learnt in the backward pass and random streams included."""
    model = ct.quantize(linears(), **ALL, rounding="stochastic", seed=3)
    eager = copy.deepcopy(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for scale in (1, 10, 0.1):
        x = torch.randn(5, 8) * scale
        y, expected = compiled(x), eager(x)
        assert torch.equal(y, expected)
        y.square().sum().backward()
        expected.square().sum().backward()
        for a, b in zip(model.parameters(), eager.parameters(), strict=True):
            assert torch.equal(a.grad, b.grad)
        for a, b in zip(model.buffers(), eager.buffers(), strict=True):
            assert torch.equal(a, b)


UNTOUCHED = """
import torch
import cfloat as cf
import cfloat.torch as ct

fmt = cf.CFloat8_1_4_3.replace(name="nobody asked it anything")
layer = torch.nn.Linear(4, 4)
made = {
    "quantize": lambda: ct.quantize(layer, weight=fmt, activation=fmt, gradient=fmt),
    "Rounder": lambda: ct.Rounder(fmt),
    "CFloatLinear": lambda: ct.to_inference(ct.quantize(layer, weight=fmt, activation=fmt)),
}
compiled = torch.compile(made[NAME](), fullgraph=True, backend="eager")
print(tuple(compiled(torch.ones(2, 4)).shape))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quantize", "Rounder", "CFloatLinear"])
def test_what_nothing_was_asked_of_compiles_whole(name):
    """In a process of its own: what an earlier use would have cached is not there."""
    program = UNTOUCHED.replace("NAME", repr(name))
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False
    )
    assert run.stdout == "(2, 4)\n", run.stderr[-2000:]


# Layers of codes


@pytest.mark.parametrize("how", [{}, {"axis": 0}, {"block": 32}, {"block": 30}], ids=str)
@pytest.mark.parametrize("fmt", [E4, E5, cf.CFloat16_SHP], ids=str)
def test_linear_of_codes(fmt, how):
    layer = nn.Linear(96, 24)
    small = ct.CFloatLinear.from_linear(layer, fmt, "mse", **how)
    expected = cf.asarray(layer.weight.detach().numpy(), fmt, "mse", **how)
    np.testing.assert_array_equal(small.weight.codes, expected.codes)
    np.testing.assert_array_equal(small.weight.bias, expected.bias)
    assert small.codes.dtype == (torch.uint16 if fmt.bits == 16 else torch.uint8)
    assert not list(small.parameters())
    for shape in ((96,), (5, 96), (2, 3, 96), (0, 96)):
        for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            x = torch.randn(shape).to(dtype)
            y = small(x)
            product = cf.matmul(np.asarray(x.float().numpy()), expected.T)
            assert torch.equal(y, (torch.from_numpy(product) + small.bias).to(dtype))
            assert y.dtype == dtype


def test_weights_that_a_tensor_cannot_share():
    weight = cf.asarray(np.random.default_rng(0).standard_normal((6, 5)), E4, "max")
    codes = weight.codes.copy()
    codes.flags.writeable = False
    for one in (weight[::-1], weight[:, ::-1], cf.CFloatArray(codes, E4, weight.bias)):
        layer = ct.CFloatLinear(one)
        np.testing.assert_array_equal(layer.weight.codes, one.codes)
        layer.codes.zero_()
    assert np.array_equal(codes, weight.codes)
    assert weight.codes.any()


BLOCKS_ALONG = [
    {"axis": 0, "block": 5},
    {"axis": (0, 1), "block": 100},
    {"axis": (0, 1), "block": 32},
]


@pytest.mark.quick
@pytest.mark.parametrize("how", BLOCKS_ALONG, ids=str)
@pytest.mark.parametrize("activation", [None, E5], ids=["values", "codes"])
def test_blocks_along_any_axis_are_one_bias_a_block(how, activation):
    layer, x = nn.Linear(96, 24), torch.randn(5, 96)
    weight = cf.asarray(layer.weight.detach().numpy(), E4, "max", **how)
    small = ct.CFloatLinear.from_linear(layer, E4, "max", activation=activation, **how)
    assert small.block == how["block"]
    blocks = -(-24 // 5) * 96 if how["axis"] == 0 else -(-24 * 96 // how["block"])
    assert small.weight_bias.numel() == small.state_dict()["weight_bias"].numel() == blocks
    np.testing.assert_array_equal(small.weight.codes, weight.codes)
    np.testing.assert_array_equal(small.weight.bias, weight.bias)
    # the values of one bias a weight, and the bits of the array's products, in every way of computing
    full = np.array(weight._biases.full(weight.shape))
    spread = ct.CFloatLinear(
        cf.CFloatArray(weight.codes, E4, full), layer.bias, activation=activation
    )
    assert spread.weight_bias.numel() == 24 * 96
    assert torch.equal(*(ct.to_torch(each.weight) for each in (small, spread)))
    torch.testing.assert_close(small(x), spread(x))
    inputs = x.numpy() if activation is None else cf.asarray(x.numpy(), activation, "max")
    expected = torch.from_numpy(cf.matmul(inputs, weight.T)) + small.bias
    compiled = torch.compile(small, fullgraph=True, backend="aot_eager")
    assert torch.equal(small(x), expected)
    assert torch.equal(compiled(x), expected)
    if activation is None:
        x.requires_grad_()
        gradient = torch.randn(5, 24)
        small(x).backward(gradient)
        assert torch.equal(x.grad, torch.from_numpy(cf.matmul(gradient.numpy(), weight)))


@pytest.mark.slow
def test_blocks_along_any_axis_exported_and_loaded_in_another_process(tmp_path):
    script = f"""
import sys, torch
from safetensors.torch import load_file
import cfloat.torch as ct
def make():
    layers = zip([(96, 24), (24, 7)], {BLOCKS_ALONG[:2]})
    make_one = ct.CFloatLinear.from_linear
    return torch.nn.Sequential(
        *(make_one(torch.nn.Linear(*shape), {E4.name!r}, "max", **how) for shape, how in layers)
    )
"""
    made = {}
    exec(script, made)  # the same lines here and there
    model, x = made["make"](), torch.randn(5, 96)
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "program.pt2")
    safetensors_torch.save_file(model.state_dict(), tmp_path / "state.safetensors")
    torch.save((x, model(x)), tmp_path / "results.pt")
    script += """
x, y = torch.load(sys.argv[1] + "/results.pt")
other = make()
other.load_state_dict(load_file(sys.argv[1] + "/state.safetensors"), strict=True)
program = torch.export.load(sys.argv[1] + "/program.pt2").module()
print(torch.equal(other(x), y), torch.equal(program(x), y))
"""
    arguments = [sys.executable, "-P", "-c", script, str(tmp_path)]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert run.stdout == "True True\n", run.stderr[-2000:]


def test_inputs_rounded_to_codes():
    layer = nn.Linear(96, 24, bias=False)
    x = torch.randn(5, 96)
    for activation_bias in ("max", 12, None):
        small = ct.CFloatLinear.from_linear(
            layer, E4, "max", activation=E5, activation_bias=activation_bias
        )
        inputs = cf.asarray(x.numpy(), E5, activation_bias)
        expected = cf.matmul(inputs, cf.asarray(layer.weight.detach().numpy(), E4, "max").T)
        assert torch.equal(small(x), torch.from_numpy(expected))


def test_other_devices_multiply_decoded_weights():
    """What runs where the C core does not, on the CPU."""
    inference = importlib.import_module("cfloat.torch._inference")
    x = torch.randn(5, 96)
    for how in ({}, {"axis": 0}, {"block": 30}, *BLOCKS_ALONG):
        small = ct.CFloatLinear.from_linear(nn.Linear(96, 24, bias=False), E4, "max", **how)
        values = inference._values(
            small.codes, small.weight_bias, importlib.import_module("cfloat.torch._formats").to_text(E4),
            small.block or 0, small._written().axes,
        )  # fmt: skip
        assert torch.equal(values, torch.from_numpy(np.asarray(small.weight)))
        torch.testing.assert_close(x @ values.mT, small(x))


def test_the_gradient_of_inputs():
    small = ct.CFloatLinear.from_linear(nn.Linear(96, 24), E4, "mse", axis=0)
    x, gradient = torch.randn(5, 96, requires_grad=True), torch.randn(5, 24)
    small(x).backward(gradient)
    expected = cf.matmul(gradient.numpy(), small.weight)
    assert torch.equal(x.grad, torch.from_numpy(expected))


def test_products_under_opcheck_and_compiled():
    text = importlib.import_module("cfloat.torch._formats").to_text(E4)
    small = ct.CFloatLinear.from_linear(nn.Linear(8, 4), E4, "mse", axis=0)
    x = torch.randn(5, 8, requires_grad=True)
    arguments = (x, None, "", small.codes, small.weight_bias, text, 0, True)
    results = torch.library.opcheck(torch.ops.cfloat.matmul, arguments)
    assert set(results.values()) == {"SUCCESS"}
    codes = ct.encode(x, E5, 15)
    fifteen = torch.tensor(15, dtype=torch.int16)
    arguments = (
        codes, fifteen, importlib.import_module("cfloat.torch._formats").to_text(E5), small.codes,
        small.weight_bias, text, 0, True,
    )  # fmt: skip
    results = torch.library.opcheck(torch.ops.cfloat.matmul, arguments)
    assert set(results.values()) == {"SUCCESS"}
    along = ct.CFloatLinear.from_linear(nn.Linear(8, 4), E4, "mse", axis=0, block=3)
    arguments = (x, None, "", along.codes, along.weight_bias, text, 3, True, [0])
    results = torch.library.opcheck(torch.ops.cfloat.matmul, arguments)
    assert set(results.values()) == {"SUCCESS"}
    for layer in (
        small,
        ct.CFloatLinear.from_linear(nn.Linear(8, 4), E4, "mse", block=4, activation=E5),
    ):
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x), layer(x))


def test_to_inference():
    model = nn.Sequential(
        nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4)
    )
    ct.quantize(model, **ALL)
    for _ in range(3):
        model(torch.randn(5, 1, 8))
    x = torch.randn(5, 1, 8)
    expected = model.eval()(x).detach()
    biases = [model[i].activation_rounder.bias for i in (2, 4)]
    small = ct.to_inference(model.train())
    assert small is model
    assert not model.training
    assert [type(layer) for layer in model[2::2]] == [ct.CFloatLinear] * 2
    assert [model[i].activation_bias for i in (2, 4)] == biases
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)
    layer = ct.to_inference(ct.quantize(nn.Linear(3, 2), weight=E4))
    assert type(layer) is ct.CFloatLinear


def test_state_dicts_of_codes(tmp_path):
    small = ct.CFloatLinear.from_linear(nn.Linear(96, 24), cf.CFloat16_SHP, "mse", axis=0)
    torch.save(small.state_dict(), tmp_path / "small.pt")
    other = ct.CFloatLinear.from_linear(nn.Linear(96, 24), cf.CFloat16_SHP, "mse", axis=0)
    other.load_state_dict(torch.load(tmp_path / "small.pt", weights_only=True))
    x = torch.randn(5, 96)
    assert torch.equal(small(x), other(x))
    # the buffers are what is multiplied, wherever they are moved to
    assert torch.equal(copy.deepcopy(small).to("cpu")(x), small(x))


def test_whole_models_are_copied_saved_and_loaded(tmp_path):
    """Their classes are found by the names that users import."""
    model = ct.quantize(
        nn.Sequential(*linears(), nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 3)), **ALL
    )
    x = torch.randn(5, 8)
    model(x).sum().backward()
    small = ct.to_inference(copy.deepcopy(model))
    for given in (model.eval(), small):
        torch.save(given, tmp_path / "model.pt")
        for other in (
            copy.deepcopy(given),
            pickle.loads(pickle.dumps(given)),
            torch.load(tmp_path / "model.pt", weights_only=False),
        ):
            assert [type(part) for part in other.modules()] == [
                type(part) for part in given.modules()
            ]
            assert torch.equal(other(x), given(x))
    assert b"cfloat.torch._" not in pickle.dumps([type(part) for part in model.modules()])


def test_formats_go_by_their_names():
    x = torch.randn(5, 8)
    names = {role: fmt.name for role, fmt in ALL.items()}
    model = ct.quantize(linears(), **names)
    for role, fmt in ALL.items():
        assert getattr(model[0], f"{role}_rounder").format is fmt
    assert torch.equal(ct.Rounder(E4.name)(x), ct.Rounder(E4)(x))
    layer = nn.Linear(8, 3)
    how = {"axis": 0, "activation_bias": 9}
    by_name = ct.CFloatLinear.from_linear(layer, E4.name, "max", activation=E5.name, **how)
    assert by_name.activation is E5
    assert torch.equal(
        by_name(x), ct.CFloatLinear.from_linear(layer, E4, "max", activation=E5, **how)(x)
    )
    with pytest.raises(ValueError, match="activation is 'fp8'; the names are"):
        ct.CFloatLinear(by_name.weight, activation="fp8")


# What is refused


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ct.quantize(3, weight=E4), TypeError, "module is 3; it takes a torch.nn.Module"),
        (lambda: ct.quantize(linears()), ValueError, "no format is given"),
        (lambda: ct.quantize(linears(), weight=8), TypeError, "weight is 8; it takes a cfloat.Format"),
        (lambda: ct.quantize(linears(), weight="fp8"), ValueError, "weight is 'fp8'; the names are"),
        (lambda: ct.quantize(linears(), gradient="fp8"), ValueError, "gradient is 'fp8'; the names are"),
        (lambda: ct.Rounder("fp8"), ValueError, "format is 'fp8'; the names are"),
        (lambda: ct.quantize(nn.ReLU(), weight=E4), ValueError, "module has no Linear or Conv layer"),
        (lambda: ct.quantize(linears(), weight=E4, skip=["*"]), ValueError, "that is not skipped"),
        (lambda: ct.quantize(linears(), weight=E4, skip="0"), TypeError, r"it takes several: \['0'\]"),
        (lambda: ct.quantize(linears(), weight=E4, skip=["9"]), ValueError, "'9', which fits no layer"),
        (lambda: ct.quantize(linears(), weight=E4, skip=None), TypeError, "skip is None; it takes names"),
        (lambda: ct.quantize(linears(), weight=E4, skip=[3]), TypeError, "skip has 3; it takes names"),
        (lambda: ct.quantize(linears(), weight=E4, bias="mse"), ValueError, "bias is 'mse'; it takes 'max'"),
        (lambda: ct.quantize(linears(), weight=E4, bias={"x": 3}), ValueError, "bias has the key 'x'"),
        (lambda: ct.quantize(linears(), weight=E4, bias=64), ValueError, "bias is 64"),
        (lambda: ct.quantize(linears(), weight=E4, window=0), ValueError, "window is 0; it takes"),
        (lambda: ct.quantize(linears(), weight=E4, margin=-1), ValueError, "margin is -1; it takes"),
        (lambda: ct.quantize(linears(), weight=E4, rounding="up"), ValueError, "rounding is 'up'"),
        (lambda: ct.quantize(linears(), weight=E4, seed=-1), ValueError, "seed is -1"),
        (
            lambda: ct.quantize(ct.quantize(linears(), weight=E4), weight=E4),
            ValueError,
            "layer '0' is quantized already",
        ),
        (
            lambda: ct.quantize(nn.Sequential(nn.LazyLinear(3)), weight=E4),
            ValueError,
            "layer '0' does not know its shape yet",
        ),
        (lambda: ct.Rounder(E4)(torch.ones(2, dtype=torch.int32)), TypeError, "x has dtype torch.int32"),
        (lambda: ct.to_inference(linears()), ValueError, "module has no QuantizedLinear"),
        (lambda: ct.to_inference(None), TypeError, "module is None"),
        (
            lambda: ct.to_inference(ct.quantize(linears(), weight=E4, rounding="stochastic")),
            ValueError,
            "module has no QuantizedLinear that rounds weights, and to nearest",
        ),
        (lambda: ct.CFloatLinear(np.ones((2, 2))), TypeError, "it takes a CFloatArray"),
        (lambda: ct.CFloatLinear(cf.asarray(np.ones(3), E4)), ValueError, r"weight has shape \(3,\)"),
        (
            lambda: ct.CFloatLinear(cf.asarray(np.ones((2, 2)), E4), torch.ones(3)),
            ValueError,
            r"it takes a tensor of shape \(2,\)",
        ),
        (
            lambda: ct.CFloatLinear(cf.asarray(np.ones((2, 2)), E4), activation_bias=3),
            ValueError,
            "activation_bias is given, and no activation",
        ),
        (
            lambda: ct.CFloatLinear(
                cf.asarray(np.ones((2, 2)), E4), activation=E4, activation_bias="mse"
            ),
            ValueError,
            "activation_bias is 'mse'; it takes 'max'",
        ),
        (lambda: ct.CFloatLinear.from_linear(nn.ReLU(), E4), TypeError, "it takes a torch.nn.Linear"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_refused(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_model_that_is_refused_is_not_changed():
    model = linears()
    with pytest.raises(ValueError, match="seed"):
        ct.quantize(model, **ALL, seed=2**64)
    with pytest.raises(ValueError, match="bias is 64"):
        ct.quantize(model, weight=E4, bias={"weight": 64})
    assert type(model[0]) is nn.Linear
    model[2] = nn.Linear(16, 4, dtype=torch.complex64)
    with pytest.raises(TypeError, match=r"layer '2' has dtype torch\.complex64; it takes float64"):
        ct.quantize(model, weight=E4)
    assert type(model[0]) is nn.Linear
