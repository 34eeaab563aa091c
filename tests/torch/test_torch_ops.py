"""Rounding as PyTorch's operator: the bits of `cfloat.round_to`, gradients, compilation, other devices."""

import importlib
import os
import pickle
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

import cfloat as cf
from cfloat._core import binding, presets
from cfloat._core.flags import no_flags
from cfloat._core.rounding import ROUNDING_MODES

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
_arithmetic = importlib.import_module("cfloat.torch._arithmetic")
_peaks = importlib.import_module("cfloat.torch._peaks")
_streams = importlib.import_module("cfloat.torch._streams")
_formats = importlib.import_module("cfloat.torch._formats")

FMT = cf.CFloat8_1_4_3
FORMATS = {
    **presets.FORMATS,
    **{
        name: cf.format(name)
        for name in ("binary8p3se", "binary8p4uf", "binary6p3sf", "binary8p1ue", "binary12p5ue")
    },
    "no zero, finite": cf.Format(
        "no zero, finite", exponent_bits=4, mantissa_bits=3, bias=(0, 63), subnormals="normal"
    ),
    "no zero, NaN": cf.Format(
        "no zero, NaN",
        exponent_bits=5,
        mantissa_bits=2,
        bias=(0, 63),
        nonfinite="ieee",
        subnormals="normal",
    ),
    "ieee": FMT.replace(subnormals="ieee"),
    "flush": cf.CFloat8_1_5_2.replace(subnormals="flush"),
    "saturating": cf.float8_e4m3fn.replace(saturating=True),
    "unsigned": cf.Format(
        "unsigned",
        exponent_bits=3,
        mantissa_bits=0,
        signed=False,
        bias=(0, 20),
        subnormals="whitepaper",
    ),
    "no mantissa": cf.Format("no mantissa", exponent_bits=3, mantissa_bits=0, nonfinite="nan_only"),
    "fnuz": cf.Format("fnuz", exponent_bits=4, mantissa_bits=3, bias=(0, 20), nonfinite="fnuz"),
    "p3109": cf.Format("p3109", exponent_bits=5, mantissa_bits=2, bias=16, nonfinite="p3109"),
    "no zero": cf.Format(
        "no zero",
        exponent_bits=8,
        mantissa_bits=0,
        signed=False,
        bias=127,
        nonfinite="nan_only",
        subnormals="normal",
    ),
    "no zero, no NaN": cf.Format(
        "no zero, no NaN", exponent_bits=3, mantissa_bits=2, bias=(0, 9), subnormals="normal"
    ),
    "small": cf.Format(
        "small", exponent_bits=2, mantissa_bits=5, bias=(100, 120), subnormals="whitepaper"
    ),
}
INTEGERS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


def some_values(fmt, dtype, rng):
    """Any bits of a dtype, and a format's values, the midpoints, and their neighbours."""
    whole = INTEGERS[dtype]
    info = torch.iinfo(whole)
    bits = rng.integers(info.min, info.max, 1000, dtype=np.int64, endpoint=True)
    low, high = fmt.bias_range
    values = torch.from_numpy(fmt.values(int(rng.integers(low, high + 1)))).double()
    values = values[:: max(1, len(values) // 1000)]
    midpoints = (values[:-1] + values[1:]) / 2
    above = torch.nextafter(midpoints, torch.tensor(np.inf, dtype=torch.float64))
    small = torch.from_numpy(rng.standard_normal(1000) * np.exp2(rng.integers(-70, 20, 1000)))
    special = torch.tensor([0.0, -0.0, np.inf, -np.inf, np.nan])
    floats = torch.cat([values, midpoints, above, values * 1.1, small, special]).to(dtype)
    return torch.cat([torch.from_numpy(bits).to(whole).view(dtype), floats])


def some_biases(fmt, size, rng):
    low, high = fmt.bias_range
    return rng.integers(low, high + 1, size).astype(np.int16)


def same_bits(a, b):
    whole = INTEGERS[a.dtype]
    nan = a.isnan() & b.isnan()
    return torch.equal(a.view(whole).masked_fill(nan, 0), b.view(whole).masked_fill(nan, 0))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_round_to_gives_the_bits_of_numpys(fmt, dtype, rng):
    x = some_values(fmt, dtype, rng)
    exact = x if dtype == torch.float64 else x.float()
    bias = some_biases(fmt, x.numel(), rng)
    for rounding in ROUNDING_MODES:
        how = {"rounding": rounding, "seed": 2**64 - 3, "offset": 5}
        got = ct.round_to(x, fmt, bias, **how)
        expected = torch.from_numpy(cf.round_to(exact.numpy(), fmt, bias, **how))
        assert got.dtype == dtype
        assert same_bits(got, expected.to(dtype))
        codes = ct.encode(x, fmt, torch.from_numpy(bias), **how)
        np.testing.assert_array_equal(
            codes.numpy(), cf.encode(exact.numpy(), fmt, bias, **how), strict=True
        )
        assert same_bits(ct.decode(codes, fmt, bias, dtype=dtype), got)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_pytorchs_own_operators_give_the_same_bits(fmt, dtype, rng):
    """What runs on other devices, on this one."""
    x = some_values(fmt, dtype, rng)
    biases = some_biases(fmt, x.numel(), rng)
    with no_flags():
        for bias in (torch.from_numpy(biases), torch.tensor(int(biases[0]))):
            for rounding in ROUNDING_MODES:
                stream = torch.from_numpy(rng.integers(-(2**63), 2**63 - 1, 2))
                codes = _arithmetic.encode(x, fmt, bias, rounding, stream)
                given = (x, bias, stream, _formats.to_text(fmt), rounding)
                expected = torch.ops.cfloat.encode(*given)
                assert torch.equal(codes.int(), expected.int())
                values = torch.ops.cfloat.decode(expected, bias, _formats.to_text(fmt), dtype)
                assert same_bits(_arithmetic.decode(codes, fmt, bias, dtype), values)


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 2**34 - 2, 2**62 + 3, 2**64 - 20])
def test_random_words(offset):
    """At the places where a counter's words carry, and those that int64 takes for negative."""
    for seed in (0, 1, 2**32 - 1, 2**63 + 5, 2**64 - 1):
        stream = torch.tensor([_streams.signed(seed), _streams.signed(offset)])
        words = _arithmetic.random_words(stream, 19)
        np.testing.assert_array_equal(words.numpy(), binding.random_words(seed, offset, 19))


@pytest.mark.parametrize("fmt", [FMT, FORMATS["ieee"]], ids=str)
def test_where_a_random_word_just_decides(fmt):
    """Up from (2**32 - r) / 2**32 of the gap on, to the last bit: between normals, and in the hole."""
    words = torch.from_numpy(binding.random_words(9, 0, 64).astype(np.int64))
    share = (2**32 - words).double() / 2**32
    stream, bias = torch.tensor([9, 0]), torch.tensor(7)
    for low, high in ((1.0, 1.125), (2.0**-7 * 7 / 8, 2.0**-6)):
        if fmt.subnormals == "whitepaper" or low == 1:
            x = low + share * (high - low)
            below = torch.nextafter(x, torch.tensor(0.0, dtype=torch.float64))
            for given, expected in ((x, high), (below, low)):
                codes = _arithmetic.encode(given, fmt, bias, "stochastic", stream)
                values = _arithmetic.decode(codes, fmt, bias, torch.float64)
                assert (values == expected).all()
                got = ct.round_to(given, fmt, 7, rounding="stochastic", seed=9)
                assert torch.equal(got, values)


@CUDA
@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_cuda_gives_the_same_bits(fmt, rng):
    for dtype in INTEGERS:
        x = some_values(fmt, dtype, rng)
        bias = torch.from_numpy(some_biases(fmt, x.numel(), rng))
        for rounding in ROUNDING_MODES:
            how = {"rounding": rounding, "seed": 7, "offset": 11}
            got = ct.round_to(x.cuda(), fmt, bias.cuda(), **how).cpu()
            assert same_bits(got, ct.round_to(x, fmt, bias, **how))


def test_any_strides_and_shapes():
    x = torch.randn(6, 8, 10)
    bias = torch.tensor([[5], [6], [7], [8], [9], [10], [11], [12]], dtype=torch.int32)
    how = {"rounding": "stochastic", "seed": 1, "offset": 2}
    for view in (
        x,
        x.mT[::2],
        x[:, ::2, 1::3].transpose(0, 1),
        x.expand(2, 6, 8, 10),
        x[:0],
        x[0, 0, 0],
        torch.randn(2, 8, 4, 4).to(memory_format=torch.channels_last),
    ):
        got = ct.round_to(view, FMT, **how)
        np.testing.assert_array_equal(got.numpy(), cf.round_to(view.numpy(), FMT, **how))
        assert got.stride() == torch.empty_like(view).stride()
    got = ct.round_to(x, FMT, bias)
    np.testing.assert_array_equal(got.numpy(), cf.round_to(x.numpy(), FMT, bias.numpy()))
    assert ct.round_to(x[0, 0], FMT, bias).shape == (8, 10)
    assert ct.round_to(x.to("meta"), FMT, 7).shape == x.shape


def test_tensors_are_not_copied():
    """The C core reads a tensor where it is, bfloat16 as well, and writes the result where it stays."""
    memory = importlib.import_module("cfloat.torch._memory")
    for dtype in INTEGERS:
        x = torch.randn(5, 7).to(dtype)
        array = memory.to_numpy(x.T)
        assert array.__array_interface__["data"][0] == x.data_ptr()
        assert array.strides == tuple(stride * x.element_size() for stride in x.T.stride())


def test_flags_are_counted():
    with cf.record_flags() as flags:
        ct.round_to(torch.tensor([1e9, 1e-9, np.nan, 1.0]), FMT)
    assert (flags.overflow, flags.underflow, flags.invalid) == (1, 1, 1)
    with cf.errstate(overflow="raise"), pytest.raises(cf.FlagError, match="overflow in round_to"):
        ct.round_to(torch.tensor([1e9]), FMT)


@pytest.mark.parametrize("bias", ["mse", "max", "percentile"])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_biases_by_name(bias, dtype):
    x = (torch.randn(1000) * 100).to(dtype)
    exact = x if dtype == torch.float64 else x.float()
    expected = torch.from_numpy(cf.round_to(exact.numpy(), FMT, bias)).to(dtype)
    assert torch.equal(ct.round_to(x, FMT, bias), expected)


# Gradients


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("bias", [0, 7, 40, 63])
def test_the_gradient_is_zero_where_it_saturated(dtype, bias):
    top = float(cf.finfo(FMT, bias).max)
    values = [0.0, top, -top, top * 1.01, -top * 1.01, top / 3, np.inf, -np.inf, np.nan]
    x = torch.tensor(values, dtype=torch.float64).to(dtype).requires_grad_()
    ct.round_to(x, FMT, bias).backward(torch.arange(1, 10).to(dtype))
    saturated = ~(x.detach().double().abs() <= top)
    assert torch.equal(x.grad, torch.arange(1, 10).to(dtype).masked_fill(saturated, 0))
    assert saturated[-3:].all()
    assert not saturated[0]


def test_gradients_of_an_unsigned_format_and_of_many_biases():
    x = torch.tensor([-1.0, 0.0, 1.0, 2.0**31, 2.0**33], requires_grad=True)
    ct.round_to(x, cf.CFloat16_UHP).nansum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    x = torch.tensor([100.0], requires_grad=True)
    ct.round_to(x, FMT, [7, 10, 63]).sum().backward()
    assert x.grad.tolist() == [1]  # at bias 7; elsewhere 100 is too large


def test_gradients_of_gradients():
    x = torch.tensor([0.3, 1000.0], requires_grad=True)
    y = ct.round_to(x * x, FMT, 5)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.tolist() == [2, 0]


# Under torch.library and torch.compile


@pytest.mark.parametrize(
    "x",
    [torch.randn(3, 7).mT, torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)],
    ids=["transposed", "channels_last"],
)
def test_results_lie_as_graphs_are_told(x):
    text, bias = _formats.to_text(FMT), torch.tensor(7, dtype=torch.int16)
    stream = torch.tensor([1, 5])
    for operator, given in (
        (torch.ops.cfloat.encode, (x, bias, stream, text, "ties_to_even")),
        (torch.ops.cfloat.round_to, (x, bias, stream, text, "stochastic")),
        (torch.ops.cfloat.decode, (x.byte(), bias, text, torch.float32)),
    ):
        result = operator(*given)
        told = operator(*(a.to("meta") if isinstance(a, torch.Tensor) else a for a in given))
        if operator is torch.ops.cfloat.round_to:
            assert result.stride() == x.stride()
        else:
            assert result.is_contiguous()
        assert result.stride() == told.stride()


@pytest.mark.slow
@pytest.mark.parametrize("rounding", ["ties_to_even", "stochastic"])
def test_opcheck(rounding):
    text = _formats.to_text(FMT)
    stream = torch.tensor([1, 5])
    one, many = torch.tensor(7, dtype=torch.int16), torch.arange(7).view(7, 1)
    inputs = [
        torch.randn(7, 3, requires_grad=True),
        torch.randn(3, 7).mT,
        torch.randn(7, 1, dtype=torch.float64, requires_grad=True),
        torch.randn(7, 3).bfloat16(),
        torch.randn(0),
    ]
    for x in inputs:
        for bias in (one, many):
            if x.numel() or bias is one:
                check(torch.ops.cfloat.round_to, (x, bias, stream, text, rounding))
                check(torch.ops.cfloat.encode, (x.detach(), bias, stream, text, rounding))
    codes = torch.arange(21, dtype=torch.uint8).reshape(7, 3)
    for dtype in INTEGERS:
        check(torch.ops.cfloat.decode, (codes, many, text, dtype))


def check(operator, arguments):
    results = torch.library.opcheck(operator, arguments)
    assert set(results.values()) == {"SUCCESS"}
    assert "test_aot_dispatch_dynamic" in results


@pytest.mark.slow
def test_compiled_whole():
    @torch.compile(fullgraph=True, backend="aot_eager")
    def f(x, bias, seed):
        return ct.round_to(x * 2, FMT, bias, rounding="stochastic", seed=seed, offset=3) + 1

    for size, bias, seed in ((5, 7, 1), (6, 8, 2), (7, 9, 2**64 - 1), (8, 9, 4)):
        x = torch.randn(size, 3, requires_grad=True)
        got = f(x, bias, seed)
        expected = ct.round_to(x * 2, FMT, bias, rounding="stochastic", seed=seed, offset=3) + 1
        assert torch.equal(got, expected)
        got.sum().backward()
        assert torch.equal(x.grad, torch.full_like(x, 2))

    new = cf.CFloat16_SHP.replace(name="new")  # nothing of it is cached yet

    @torch.compile(fullgraph=True, backend="aot_eager")
    def g(x):
        codes = ct.encode(x, new, 20)
        return ct.decode(codes, new, 20, dtype=torch.float64)

    assert torch.equal(g(x.detach()), ct.round_to(x.detach(), cf.CFloat16_SHP, 20).double())


def test_a_format_goes_by_its_name():
    """With the results of the format itself, compiled or not."""
    for fmt in (*presets.TESLA_FORMATS, *presets.COMPARISON_FORMATS):
        x = torch.rand(3, 20) * 100

        def both(x, fmt=fmt):
            codes = ct.encode(x, fmt)
            return ct.round_to(x, fmt), codes, ct.decode(codes, fmt)

        def by_name(x, name=fmt.name):
            codes = ct.encode(x, name)
            return ct.round_to(x, name), codes, ct.decode(codes, name)

        compiled = torch.compile(by_name, fullgraph=True, backend="aot_eager")
        for got in (by_name(x), compiled(x)):
            assert all(map(torch.equal, got, both(x)))
        assert torch.equal(ct.round_to(x, fmt.name, "mse"), ct.round_to(x, fmt, "mse"))
        a = ct.asarray(x, fmt.name, "max", axis=0)
        assert a.format is fmt
        assert np.array_equal(a.codes, ct.asarray(x, fmt, "max", axis=0).codes)


def test_the_public_names():
    """Each one says that it is at home where users import it, and there is nothing beside them."""
    assert sorted(name for name in dir(ct) if not name.startswith("__")) == sorted(ct.__all__)
    for name in ct.__all__:
        assert getattr(ct, name).__module__ == "cfloat.torch"
        assert pickle.loads(pickle.dumps(getattr(ct, name))) is getattr(ct, name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("rule", ["max", "mx"])
@pytest.mark.parametrize("margin", [0, 3, 2**62])
def test_the_bias_of_a_peak_is_that_of_arrays(name, margin, rule, rng):
    """PyTorch's operators, which graphs can hold, against the definition for NumPy and Python."""
    fmt = FORMATS[name]
    if rule == "mx" and fmt.bias_range[0] == fmt.bias_range[1]:
        with pytest.raises(cf.ArgumentValueError, match="method is 'mx', and the bias of"):
            cf.BiasTracker(fmt, method=rule)
        return
    peaks = rng.uniform(1, 2, 100) * np.exp2(rng.integers(-160, 160, 100))
    tops = [
        float(cf.finfo(fmt, bias).max) for bias in range(fmt.bias_range[0], fmt.bias_range[1] + 1)
    ]
    peaks = np.concatenate(
        (peaks, tops, np.nextafter(tops, np.inf), [0.0, 2.0**-1074, 1.0, 2.0**1023])
    )
    for peak in peaks:
        tracker = cf.BiasTracker(fmt, margin=margin, method=rule)
        tracker.update(np.array([peak]))
        assert _peaks.bias_of_peak(torch.tensor(peak), fmt, rule, margin).item() == tracker.bias
        if not margin:
            assert tracker.bias == cf.choose_bias([peak], fmt, rule)
        exponent = _peaks.frexp_exponent(torch.tensor(peak)).item()
        assert exponent == np.frexp(peak)[1] or peak < 2.0**-1022
    x = (
        torch.tensor([*peaks, np.nan, np.inf, -np.inf])
        * torch.tensor([1.0, -1.0]).repeat(len(peaks))[: len(peaks) + 3]
    )
    assert _peaks.largest_magnitude(x).item() == np.abs(peaks).max()


def test_biases_by_name_break_a_graph_and_nothing_else():
    @torch.compile(backend="aot_eager")
    def f(x):
        return ct.round_to(x * 2, FMT, "mse") + 1

    x = torch.randn(30)
    assert torch.equal(f(x), ct.round_to(x * 2, FMT, "mse") + 1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch's compiler needs g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own
def test_compiled_by_pytorchs_default_backend(monkeypatch):
    # without it g++ is found, but does not find the rest of itself
    monkeypatch.setenv("PATH", os.environ.get("PATH", os.defpath))

    @torch.compile(fullgraph=True)
    def f(x):
        return ct.round_to(x * 2, FMT, 9, rounding="stochastic", seed=3).exp()

    x = torch.randn(40, 3, requires_grad=True)
    y = f(x)
    torch.testing.assert_close(
        y, ct.round_to(x * 2, FMT, 9, rounding="stochastic", seed=3).exp(), rtol=1e-6, atol=0
    )
    y.sum().backward()
    torch.testing.assert_close(x.grad, 2 * y.detach())


def test_seeds_of_pytorchs_generator():
    x = torch.rand(1000)
    for f in (
        lambda x: ct.round_to(x, FMT, rounding="stochastic"),
        torch.compile(
            lambda x: ct.round_to(x, FMT, rounding="stochastic"),
            fullgraph=True,
            backend="aot_eager",
        ),
    ):
        torch.manual_seed(1)
        first, second = f(x), f(x)
        torch.manual_seed(1)
        assert torch.equal(f(x), first)
        assert not torch.equal(first, second)


def test_seeds_and_offsets_in_tensors():
    x = torch.rand(100)
    for seed, offset in ((5, 9), (2**64 - 5, 2**63)):
        words = [torch.tensor(_streams.signed(word)) for word in (seed, offset)]
        got = ct.round_to(x, FMT, rounding="stochastic", seed=words[0], offset=words[1])
        assert torch.equal(
            got, ct.round_to(x, FMT, rounding="stochastic", seed=seed, offset=offset)
        )


def test_a_default_device_is_for_new_tensors():
    """Which the random stream is not: tensors on the CPU are computed there."""
    x = torch.rand(100)
    layer = torch.nn.Linear(100, 3)
    quantized = ct.quantize(torch.nn.Linear(100, 3), weight=FMT, activation=FMT, bias=9)
    codes = ct.CFloatLinear.from_linear(layer, FMT, activation=FMT, activation_bias=9)

    def compute():
        return [
            ct.round_to(x, FMT, 9),
            ct.round_to(x, FMT, [9] * 100, rounding="stochastic", seed=1, offset=3),
            ct.decode(ct.encode(x, FMT), FMT),
            quantized(x).detach(),
            codes(x),
        ]

    expected = compute()
    with torch.device("meta"):
        assert all(map(torch.equal, compute(), expected))
        assert ct.round_to(x, FMT, rounding="stochastic").sum() > 0
        ct.Rounder(FMT, rounding="stochastic")
        ct.AdamW([torch.nn.Parameter(x)])
    elsewhere = torch.tensor(1, device="meta")
    stream = {"rounding": "stochastic", "seed": elsewhere, "offset": 3}
    assert ct.round_to(x.to("meta"), FMT, **stream).shape == x.shape


# Arrays


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_arrays_and_tensors(dtype):
    x = torch.randn(6, 64).to(dtype).requires_grad_()
    exact = x.detach() if dtype == torch.float64 else x.detach().float()
    for how in ({}, {"axis": 0}, {"block": 32}, {"rounding": "stochastic", "seed": 1, "offset": 4}):
        a = ct.asarray(x, FMT, "max", **how)
        expected = cf.asarray(exact.numpy(), FMT, "max", **how)
        np.testing.assert_array_equal(a.codes, expected.codes)
        np.testing.assert_array_equal(a.bias, expected.bias)
        back = ct.to_torch(a, dtype)
        assert torch.equal(back, torch.from_numpy(np.asarray(a)).to(dtype))
        assert back.dtype == dtype
    assert ct.to_torch(a[0, 0:0]).shape == (0,)


# What is refused


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ct.round_to(x.numpy(), FMT), TypeError, "x is a ndarray; it takes a torch.Tensor"),
        (lambda x: ct.round_to(x.int(), FMT), TypeError, "x has dtype torch.int32; it takes float64"),
        (lambda x: ct.round_to(x.to_sparse(), FMT), TypeError, "x has layout torch.sparse_coo"),
        (lambda x: ct.asarray(x.to_sparse(), FMT), TypeError, "x has layout torch.sparse_coo"),
        (lambda x: ct.decode(x.byte().to_sparse(), FMT), TypeError, "codes have layout torch.sparse_coo"),
        (lambda x: ct.round_to(x, 8), TypeError, "format is 8; it takes a cfloat.Format"),
        (lambda x: ct.round_to(x, "fp8"), ValueError, "format is 'fp8'; the names are CFloat8_1_4_3,"),
        (lambda x: ct.encode(x, "fp8"), ValueError, "format is 'fp8'; the names are"),
        (lambda x: ct.decode(x, "fp8"), ValueError, "format is 'fp8'; the names are"),
        (lambda x: ct.asarray(x, "fp8"), ValueError, "format is 'fp8'; the names are"),
        (lambda x: ct.round_to(x, FMT, 64), ValueError, "bias is 64; CFloat8_1_4_3 takes an integer"),
        (lambda x: ct.round_to(x, FMT, 1.5), TypeError, "bias is 1.5; it takes an integer"),
        (lambda x: ct.round_to(x, FMT, torch.tensor(64)), ValueError, "bias is 64"),
        (lambda x: ct.round_to(x, FMT, x), TypeError, "bias has dtype torch.float32; it takes int16"),
        (lambda x: ct.round_to(x, FMT, [1, 2, 3]), ValueError, "which does not broadcast with x"),
        (lambda x: ct.round_to(x, FMT, "best"), ValueError, "bias is 'best'; it takes 'max'"),
        (lambda x: ct.encode(x, FMT, "max"), TypeError, "bias is 'max'; for codes it takes integers"),
        (lambda x: ct.round_to(x, FMT, rounding="up"), ValueError, "rounding is 'up'; it takes one of"),
        (lambda x: ct.round_to(x, FMT, rounding=None), TypeError, "rounding is None"),
        (lambda x: ct.round_to(x, FMT, seed=-1), ValueError, "seed is -1; it takes an integer from 0"),
        (lambda x: ct.round_to(x, FMT, seed=1.0), TypeError, "seed is 1.0; it takes an integer"),
        (lambda x: ct.round_to(x, FMT, seed=x), TypeError, "tensor of torch.float32 and shape"),
        (
            lambda x: ct.round_to(x, FMT, rounding="stochastic", seed=1, offset=2**64 - 1),
            ValueError,
            "a stream has 2\\*\\*64 words",
        ),
        (lambda x: ct.decode(x, FMT), TypeError, "those of CFloat8_1_4_3 have torch.uint8"),
        (lambda x: ct.decode([1], FMT), TypeError, r"codes are \[1\]; it takes a torch.Tensor"),
        (
            lambda x: ct.decode(x.to(torch.uint8), FMT, dtype=torch.int8),
            TypeError,
            "dtype is torch.int8; it takes float64",
        ),
        (lambda x: ct.asarray(x.int(), FMT), TypeError, "x has dtype torch.int32"),
        (lambda x: ct.to_torch(x), TypeError, "it takes a CFloatArray"),
        (
            lambda x: ct.to_torch(cf.asarray([1.0], FMT), torch.int8),
            TypeError,
            "dtype is torch.int8; it takes float64",
        ),
    ],
)  # fmt: skip
def test_refused(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call(torch.ones(2))
    assert "\n" not in str(caught.value)


def test_every_public_name_has_an_example():
    shared = {"QuantizedConv1d", "QuantizedConv2d", "QuantizedConv3d", "QuantizedLinear"}
    for name in set(ct.__all__) - shared:
        assert ">>>" in getattr(ct, name).__doc__, name


@pytest.mark.slow
def test_what_is_written_to_a_graph_can_be_read_by_another_process(tmp_path):
    """Operators are found again after ``import cfloat.torch``, formats are text."""

    class Model(torch.nn.Module):
        def forward(self, x):
            return ct.round_to(x, FMT, 9)

    x = torch.linspace(-3, 3, 7)
    torch.export.save(torch.export.export(Model(), (x,)), tmp_path / "model.pt2")
    program = (
        "import sys, torch, cfloat.torch; model = torch.export.load(sys.argv[1]).module(); "
        "print(model(torch.linspace(-3, 3, 7)).tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", program, tmp_path / "model.pt2"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == str(ct.round_to(x, FMT, 9).tolist())


@pytest.mark.parametrize("name", ["binary8p4ue", "Binary6p3SF"])
def test_a_p3109_name_in_a_graph_is_no_warning(name):
    x = torch.linspace(0, 3, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = torch.compile(lambda x: ct.round_to(x, name), fullgraph=True, backend="eager")
        assert torch.equal(compiled(x), ct.round_to(x, name))
