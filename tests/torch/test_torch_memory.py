"""Tensors are read where they are, and keep their memory order and their storage."""

import gc
import importlib

import numpy as np
import pytest

import cfloat as cf

torch = pytest.importorskip("torch", reason="torch is not installed")
ct = importlib.import_module("cfloat.torch")
memory = importlib.import_module("cfloat.torch._memory")

E4 = cf.CFloat8_1_4_3
SEVEN = [7] * 4


@pytest.mark.quick
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(
    "call",
    [
        lambda x: ct.round_to(x, E4),
        lambda x: ct.round_to(x, E4, SEVEN),
        lambda x: ct.round_to(x, E4, "mse"),
        lambda x: ct.round_to(x, E4, "percentile"),
        lambda x: ct.round_to(x.requires_grad_(), E4, SEVEN).sum().backward(),
        lambda x: ct.encode(x, E4, SEVEN),
        lambda x: ct.asarray(x, E4, "max", axis=0),
        lambda x: ct.Rounder(E4, axis=0)(x),
    ],
    ids=range(8),
)
def test_storage_stays_resizable(call, dtype):
    x = torch.randn(6, 4).to(dtype)
    call(x)
    assert x.untyped_storage().resizable()
    x.untyped_storage().resize_(0)


def test_storage_of_codes_and_of_weights_stays_resizable():
    codes = ct.encode(torch.randn(6, 4), E4)
    ct.decode(codes, E4, SEVEN)
    assert codes.untyped_storage().resizable()
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    ct.sensitivity(model, [torch.randn(5, 4)], by="model")
    ct.CFloatLinear.from_linear(model[0], E4, "mse", axis=0)
    ct.quantize(model, weight=E4, granularity="axis 0")
    model(torch.randn(5, 4))
    assert all(each.untyped_storage().resizable() for each in model.parameters())


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.uint8, torch.uint16, torch.int16]
)
def test_arrays_are_the_tensors_memory(dtype):
    whole = torch.arange(48).reshape(6, 8).to(dtype)
    for x in (whole, whole.T, whole[1:4, ::3], whole[2, 3], whole[:0], whole[3:, None]):
        array = memory.to_numpy(x)
        np.testing.assert_array_equal(array, x.clone().numpy())
        assert array.dtype == x.clone().numpy().dtype
        assert array.shape == tuple(x.shape)
    memory.to_numpy(whole)[2, 3] = 77
    assert whole[2, 3] == 77
    array = memory.to_numpy(torch.full((1000,), 5.0))
    gc.collect()
    torch.full((1000,), 6.0)
    assert (array == 5).all()
    x = torch.randn(4, dtype=torch.complex64)
    np.testing.assert_array_equal(memory.to_numpy(x.conj().imag), -x.imag.numpy())


@pytest.mark.quick
@pytest.mark.parametrize("rounding", ["ties_to_even", "stochastic"])
@pytest.mark.parametrize(
    "kind", ["channels_last", "transposed", "dense of a slice", "channels_last_3d"]
)
def test_round_to_keeps_the_order_of_memory(kind, rounding):
    x = {
        "channels_last": lambda: torch.randn(2, 8, 4, 5).to(memory_format=torch.channels_last),
        "channels_last_3d": lambda: torch.randn(2, 8, 4, 5, 3).to(
            memory_format=torch.channels_last_3d
        ),
        "transposed": lambda: torch.randn(6, 7).T,
        "dense of a slice": lambda: torch.randn(6, 7, 5)[:, 2:5],
    }[kind]()
    how = {} if rounding == "ties_to_even" else {"rounding": rounding, "seed": 3}
    expected = ct.round_to(x.contiguous(), E4, 9, **how)
    y = ct.round_to(x, E4, 9, **how)
    assert torch.equal(y, expected)
    assert y.stride() == torch.empty_like(x).stride()
    compiled = torch.compile(lambda x: ct.round_to(x, E4, 9, **how), backend="aot_eager")
    assert compiled(x).stride() == y.stride()
    assert torch.equal(compiled(x), expected)
    text = importlib.import_module("cfloat.torch._formats").to_text(E4)
    stream = torch.tensor([3, 0]) if how else torch.zeros(2, dtype=torch.int64)
    results = torch.library.opcheck(
        torch.ops.cfloat.round_to, (x, torch.tensor(9, dtype=torch.int16), stream, text, rounding)
    )
    assert set(results.values()) == {"SUCCESS"}
    spread = ct.round_to(x, E4, torch.full((2, *x.shape), 9), **how)
    assert spread.is_contiguous()
