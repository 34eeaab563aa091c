"""The bias rule of OCP MX: against the rule in fractions, and against torchao's MX tensors."""

import json
from fractions import Fraction

import numpy as np
import pytest

import cfloat as cf

# the fields of OCP MX's element formats, with the biases that take the place of an E8M0 scale of 2**-127 to
# 2**127: the element format's own less its exponent
ELEMENTS = {
    name: cf.Format(
        f"mx_{name}", exponent_bits=exponent, mantissa_bits=mantissa, nonfinite=nonfinite,
        bias=(own - most, own + 127), default_bias=own, saturating=True,
    )
    for name, exponent, mantissa, nonfinite, own, most in [
        ("e4m3", 4, 3, "nan_only", 7, 119), ("e5m2", 5, 2, "ieee", 15, 112), ("e2m3", 2, 3, "none", 1, 125),
        ("e3m2", 3, 2, "none", 3, 123), ("e2m1", 2, 1, "none", 1, 125),
    ]
}  # fmt: skip
# the exponent of each one's largest value at its own bias: OCP MX v1.0, tables 1 to 5
LARGEST = {"e4m3": 8, "e5m2": 15, "e2m3": 2, "e3m2": 4, "e2m1": 2}

FORMATS = pytest.mark.parametrize("name", ELEMENTS)


def floor_log2(x):
    """Give floor(log2(x)) of a number above 0, exactly."""
    x = Fraction(x)
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if Fraction(2) ** e <= x else e - 1


def expected(values, name):
    """Give the bias by OCP's words: a scale of 2**(floor(log2(max)) - emax), at the element format's bias."""
    fmt = ELEMENTS[name]
    peak = max((abs(Fraction(v)) for v in values if abs(v) < float("inf")), default=0)
    if peak == 0:
        return fmt.default_bias
    bias = fmt.default_bias - (floor_log2(peak) - LARGEST[name])
    low, high = fmt.bias_range
    return min(max(bias, low), high)


def blocks(rng, exponents, size=32):
    return np.ldexp(rng.standard_normal((len(exponents), size)), np.array(exponents)[:, np.newaxis])


@pytest.mark.quick
@FORMATS
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, "bfloat16", np.int64])
def test_is_ocp_s_rule(name, dtype, rng):
    fmt = ELEMENTS[name]
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    highest = 60 if np.dtype(dtype).kind == "i" else 125
    with np.errstate(all="ignore"):
        x = blocks(rng, range(-160, highest)).astype(dtype)
        edges = np.ldexp([[1.0], [2 - 2.0**-7], [-1.75]], np.arange(-149, highest + 1))
        edges = edges.reshape(-1, 1).astype(dtype)
    for values in (x, edges, np.zeros_like(x[:3])):
        if np.dtype(dtype).kind != "i":
            values = values[np.isfinite(values.astype(np.float64)).all(axis=1)]
        assert len(values)
        exact = values if np.dtype(dtype).kind == "i" else values.astype(np.float64)
        want = [expected(row, name) for row in exact.tolist()]
        assert cf.choose_bias(values, fmt, "mx", axis=0).tolist() == want
        assert cf.choose_bias(values, fmt, "mx", block=values.shape[1]).ravel().tolist() == want
        assert [cf.choose_bias(row, fmt, "mx") for row in values] == want
        assert cf.asarray(values, fmt, "mx", axis=0).bias.ravel().tolist() == want
        trackers = [cf.BiasTracker(fmt, method="mx") for _ in values]
        assert [t.update(row) for t, row in zip(trackers, values, strict=True)] == want


@FORMATS
def test_integers_beyond_2_53_and_subnormal_peaks(name):
    fmt = ELEMENTS[name].replace(bias=(-90, 120))
    top = (1 << fmt.exponent_bits) - (2 if fmt.nonfinite == "ieee" else 1)
    for peak, exponent in [(2**63 - 1, 62), (2**53 + 1, 53), (2**54 - 1, 53), (2**62, 62)]:
        for x in (np.array([peak, 3]), np.array([-peak, 0]), np.array([peak], np.uint64)):
            assert cf.choose_bias(x, fmt, "mx") == top - exponent
            assert cf.choose_bias(x[None], fmt, "mx", axis=0).tolist() == [top - exponent]
    assert cf.choose_bias(np.array([2**64 - 1], np.uint64), fmt, "mx") == top - 63
    assert cf.choose_bias(np.array([-(2**63), 5]), fmt, "mx") == top - 63
    for exponent in (-149, -140, -127):
        x = np.ldexp(np.float32([1, -0.5]), exponent)
        assert cf.choose_bias(x, fmt, "mx") == min(top - exponent, 120)


def test_what_is_left_out_and_what_clamps():
    fmt = ELEMENTS["e4m3"]
    x = np.float32([[1, np.nan], [np.inf, 3], [0, -0.0], [np.nan, -np.inf]])
    assert cf.choose_bias(x, fmt, "mx", axis=0).tolist() == [15, 14, 7, 7]
    # the largest element has the largest exponent field; there it may be beyond the largest value
    assert np.asarray(cf.asarray([1.9, 0.01], fmt, "mx")).tolist() == [1.75, 0.009765625]
    assert cf.choose_bias([1.9], fmt, "max") == 14
    assert cf.choose_bias([1.9], fmt, "mx") == 15
    assert cf.choose_bias([1e-300], fmt, "mx") == fmt.bias_range[1]
    assert cf.choose_bias([1e300], fmt, "mx") == fmt.bias_range[0]
    assert cf.choose_bias([1.9, 0.5], cf.CFloat8_1_4_3, "mx") == 15


@pytest.mark.quick
@pytest.mark.parametrize("fmt", [cf.float8_e4m3fn, cf.CFloat16_UHP], ids=lambda fmt: fmt.name)
def test_a_fixed_bias_takes_the_place_of_no_scale(fmt):
    x = np.float32([1, 2])
    words = (
        f"the bias of {fmt.name} is fixed at {fmt.default_bias}; 'mx' takes a format with a range"
    )
    for name, call in [
        ("method", lambda: cf.choose_bias(x, fmt, "mx")),
        ("method", lambda: cf.choose_bias(x, fmt, "mx", block=1)),
        ("bias", lambda: cf.asarray(x, fmt, "mx")),
        ("bias", lambda: cf.round_to(x, fmt, "mx")),
        ("bias", lambda: cf.asarray(x, cf.CFloat8_1_4_3).astype(fmt, "mx")),
        ("method", lambda: cf.BiasTracker(fmt, method="mx")),
    ]:
        with pytest.raises(cf.ArgumentValueError, match=f"^{name} is 'mx', and {words}"):
            call()


def test_a_tracker_keeps_its_rule():
    fmt = ELEMENTS["e2m1"]
    tracker = cf.BiasTracker(fmt, window=2, margin=1, method="mx")
    assert [tracker.update([peak]) for peak in (1.9, 4.0, 1.0, 1.0)] == [2, 0, 0, 2]
    assert repr(tracker).endswith("window=2, margin=1, method='mx'): bias 2")
    other = cf.BiasTracker(fmt)
    other.load_state_dict(json.loads(json.dumps(tracker.state_dict())))
    assert other.update([1.9]) == tracker.update([1.9]) == 2
    other.load_state_dict({"window": 1, "margin": 0, "history": [1.9]})  # before there was a method
    assert other.bias == cf.choose_bias([1.9], fmt, "max")
    with pytest.raises(cf.ArgumentValueError, match="method is 'mse'; it takes one of max, mx"):
        cf.BiasTracker(fmt, method="mse")
    with pytest.raises(cf.ArgumentTypeError, match="method is None; it takes one of max, mx"):
        cf.BiasTracker(fmt, method=None)
    fixed = cf.BiasTracker(cf.float8_e4m3fn)
    with pytest.raises(cf.ArgumentValueError, match="is fixed at 7"):
        fixed.load_state_dict(tracker.state_dict())


class TestTorchao:
    """`to_mx` of torchao, whose scales are E8M0 and whose tensors are float32 or bfloat16."""

    @pytest.fixture(autouse=True)
    def _torchao(self):
        self.torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        mx = pytest.importorskip(
            "torchao.prototype.mx_formats.mx_tensor", reason="torchao is not installed"
        )
        self.mode = mx.ScaleCalculationMode.FLOOR
        self.to_mx, self.to_dtype = mx.to_mx, mx.to_dtype
        self.elements = {
            "e4m3": self.torch.float8_e4m3fn, "e5m2": self.torch.float8_e5m2,
            "e2m3": "fp6_e2m3", "e3m2": "fp6_e3m2", "e2m1": self.torch.float4_e2m1fn_x2,
        }  # fmt: skip

    def values(self, x, name):
        """Give the values after torchao's rounding, float32 of the shape."""
        element = self.elements[name]
        scales, codes = self.to_mx(x, element, 32, self.mode)
        return self.to_dtype(codes, scales, element, 32, self.torch.float32).numpy()

    @FORMATS
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_values_are_the_same_bits(self, name, dtype, rng):
        # torchao's least scale is 2**-126 where it divides, and 2**-127 where it multiplies
        exponents = np.repeat(np.arange(LARGEST[name] - 123, 124), 20)
        x = blocks(rng, exponents, 64)
        x[::7] *= np.exp2(rng.integers(-12, 1, x[::7].shape))
        x[::5, :40] = np.round(x[::5, :40] / np.exp2(exponents[::5, None])) * np.exp2(
            exponents[::5, None]
        )
        x[3, 32:] = 0
        x[4] = 0
        # subnormal elements beside others: of the least scale, which float32's are not below
        x[0, :32] = np.ldexp(rng.integers(-(2**22), 2**22, 32), -149)
        x[0, 0] = np.ldexp(1.0, LARGEST[name] - 126)
        given = self.torch.from_numpy(x.astype(np.float32)).to(getattr(self.torch, dtype))
        theirs = self.values(given, name)
        for source in (given, given.float().numpy()):
            ours = np.asarray(cf.asarray(source, ELEMENTS[name], "mx", block=32))
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours.view(np.uint32), theirs.view(np.uint32))

    @FORMATS
    def test_all_bfloat16_of_some_binades(self, name):
        """Each beside one of the same binade: all significands, ties among them."""
        bits = np.arange(0x3F80 - (14 << 7), 0x3F80 + (2 << 7)).astype(np.uint32)
        values = (bits << 16).view(np.float32)
        x = np.concatenate([values, -values]).reshape(-1, 32)
        x[:, 0] = 1.5
        theirs = self.values(self.torch.from_numpy(x), name)
        ours = np.asarray(cf.asarray(x, ELEMENTS[name], "mx", block=32))
        assert np.array_equal(ours.view(np.uint32), theirs.view(np.uint32))

    @FORMATS
    def test_blocks_that_are_not_finite_differ(self, name):
        """A NaN makes all of torchao's block NaN, and an infinity the others 0; here they are left out."""
        x = np.tile(np.float32([1, 0.5, -0.25, 1.5]), (2, 8))
        x[0, 3], x[1, 3] = np.nan, np.inf
        theirs = self.values(self.torch.from_numpy(x), name)
        assert np.isnan(theirs[0]).all()
        assert (np.delete(theirs[1], 3) == 0).all()
        fmt = ELEMENTS[name]
        made = cf.asarray(x, fmt, "mx", block=32)
        ours, top = np.asarray(made), cf.finfo(fmt, int(made.bias[1, 0])).max
        assert made.bias.ravel().tolist() == [expected([1.5], name)] * 2
        for row in (0, 1):
            assert np.array_equal(np.delete(ours[row], 3), np.delete(x[row], 3))
        assert ours[1, 3] == top
        assert np.isnan(ours[0, 3]) if fmt.nonfinite != "none" else ours[0, 3] == top
