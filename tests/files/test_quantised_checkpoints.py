"""Checkpoints of compressed-tensors and torchao, which these write: read as they themselves read them."""

import json

import numpy as np
import pytest

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

torch = pytest.importorskip("torch")


def random_weight(rows, columns):
    generator = torch.Generator().manual_seed(rows * 10007 + columns)
    return torch.randn(rows, columns, generator=generator) * torch.linspace(0.01, 3, rows)[:, None]


def check(path, expected, name="l.weight"):
    """Compare with what the writer makes of a tensor, and the report and the conversion with that."""
    expected = expected.detach()
    found = np.asarray(cf.load(path)[name])
    assert found.dtype == np.float32
    if expected.dtype != torch.float32:  # it rounds, and ours is exact
        found = torch.from_numpy(found).to(expected.dtype).float().numpy()
    np.testing.assert_array_equal(found, expected.float().numpy())
    assert list(cf.load(path)) == [name]
    row = cf.report(path, "CFloat8_1_4_3").rows[0]
    measured = cf.report({name: np.asarray(cf.load(path)[name])}, "CFloat8_1_4_3").rows[0]
    assert (row.tensor, row.stats) == (name, measured.stats)
    target = path.parent / "back.safetensors"
    with pytest.raises(cf.FileError, match="converted already"):
        convert(path, target, Plan("CFloat8_1_4_3"))
    convert(path, target, Plan(to="float32"))
    back = cf.load(target)
    assert list(back) == [name]
    np.testing.assert_array_equal(back[name], np.asarray(cf.load(path)[name]))


@pytest.fixture
def compressed():
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams
    from safetensors.torch import save_file

    def write(folder, fmt, weight, scale_dtype=torch.float32, config=False, **arguments):
        """Compress a weight, save what comes out, and give its path and what compressed-tensors decodes."""
        args = QuantizationArgs(**arguments)
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        low, high = extremes(weight, args)
        state = {"weight": weight}
        if args.strategy == "tensor_group":
            state["weight_global_scale"] = 448 * 6 / weight.abs().max().reshape(1)
        scale, zero = calculate_qparams(
            low, high, args, global_scale=state.get("weight_global_scale")
        )
        state["weight_scale"] = scale.to(scale_dtype)
        if not args.symmetric:
            state["weight_zero_point"] = zero
        compressor = BaseCompressor.get_value_from_registry(fmt)
        made = compressor.compress(state, scheme)
        path = folder / "model.safetensors"
        save_file({f"l.{name}": tensor.contiguous() for name, tensor in made.items()}, path)
        if config:
            said = {"config_groups": {"group_0": {"weights": args.model_dump(mode="json")}}}
            text = json.dumps({"quantization_config": said})
            (folder / "config.json").write_text(text)
        return path, compressor.decompress(made, scheme)["weight"]

    return write


def extremes(weight, args):
    """Give the least and the largest element of each part that shares a scale."""
    rows, columns = weight.shape
    if args.strategy == "tensor":
        return weight.min().reshape(1), weight.max().reshape(1)
    if args.strategy == "channel":
        parts = weight
    elif args.strategy in ("group", "tensor_group"):
        parts = weight.reshape(rows, -1, args.group_size)
    else:
        height, width = args.block_structure
        padded = torch.nn.functional.pad(weight, (0, -columns % width, 0, -rows % height))
        parts = padded.reshape(padded.shape[0] // height, height, -1, width).transpose(1, 2)
        parts = parts.flatten(2)
    low, high = parts.amin(-1), parts.amax(-1)
    return (low[:, None], high[:, None]) if args.strategy == "channel" else (low, high)


FLOAT = {"num_bits": 8, "type": "float", "symmetric": True}
STRATEGIES = {
    "tensor": {"strategy": "tensor"},
    "channel": {"strategy": "channel"},
    "group": {"strategy": "group", "group_size": 32},
    "block": {"strategy": "block", "block_structure": [128, 128]},
    "small blocks": {"strategy": "block", "block_structure": [32, 64]},
}


@pytest.mark.parametrize("scale_dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_8_bit_floats(tmp_path, compressed, strategy, scale_dtype):
    weight = random_weight(256, 384).to(scale_dtype)
    path, expected = compressed(
        tmp_path, "float-quantized", weight, scale_dtype, **FLOAT, **STRATEGIES[strategy]
    )
    check(path, expected)


@pytest.mark.parametrize("strategy", ["block", "small blocks"])
def test_blocks_that_do_not_fill_the_tensor(tmp_path, compressed, strategy):
    weight = random_weight(200, 330)
    path, expected = compressed(
        tmp_path, "float-quantized", weight, config=True, **FLOAT, **STRATEGIES[strategy]
    )
    check(path, expected)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("strategy", ["tensor", "channel", "group"])
def test_integers(tmp_path, compressed, strategy, symmetric):
    how = {"num_bits": 8, "type": "int", "symmetric": symmetric}
    weight = random_weight(64, 128) + 0.3
    path, expected = compressed(tmp_path, "int-quantized", weight, **how, **STRATEGIES[strategy])
    check(path, expected)


@pytest.mark.parametrize("columns", [96, 100])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("strategy", ["channel", "group"])
def test_packed_integers(tmp_path, compressed, strategy, symmetric, bits, columns):
    if strategy == "group" and columns % 32:
        pytest.skip("compressed-tensors takes whole groups")
    how = {"num_bits": bits, "type": "int", "symmetric": symmetric}
    weight = random_weight(61, columns) + 0.3
    path, expected = compressed(tmp_path, "pack-quantized", weight, **how, **STRATEGIES[strategy])
    check(path, expected)


def test_nvfp4(tmp_path, compressed):
    how = {"num_bits": 4, "type": "float", "symmetric": True}
    weight = random_weight(64, 128)
    path, expected = compressed(
        tmp_path, "nvfp4-pack-quantized", weight, **how, strategy="tensor_group", group_size=16
    )
    check(path, expected)


@pytest.mark.parametrize(
    ("fmt", "bits"),
    [("mxfp4-pack-quantized", 4), ("mxfp6-pack-quantized", 6), ("mxfp8-quantized", 8)],
)
def test_microscaling(tmp_path, compressed, fmt, bits):
    how = {"num_bits": bits, "type": "float", "symmetric": True, "scale_dtype": torch.uint8}
    weight = random_weight(64, 128)
    path, expected = compressed(tmp_path, fmt, weight, **how, strategy="group", group_size=32)
    check(path, expected)


@pytest.fixture
def saved_by_torchao(tmp_path):
    pytest.importorskip("torchao")
    from safetensors.torch import save_file
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

    def save(tensor):
        flat, metadata = flatten_tensor_state_dict({"l.weight": tensor})
        save_file(flat, tmp_path / "model.safetensors", metadata)
        return tmp_path / "model.safetensors"

    return save


@pytest.mark.parametrize("kind", ["rows", "int8"])
def test_torchao(saved_by_torchao, kind):
    ao = pytest.importorskip("torchao.quantization")
    layer = torch.nn.Sequential(torch.nn.Linear(96, 64, bias=False))
    layer[0].weight.data = random_weight(64, 96)
    config = {
        "rows": ao.Float8WeightOnlyConfig(),
        "int8": ao.Int8WeightOnlyConfig(),
    }[kind]
    ao.quantize_(layer, config)
    weight = layer[0].weight
    check(saved_by_torchao(weight), weight.dequantize(torch.float32))


@pytest.mark.parametrize("granularity", ["PerTensor", "PerRow"])
def test_torchao_8_bit_floats(saved_by_torchao, granularity):
    ao = pytest.importorskip("torchao.quantization")
    how = getattr(ao, granularity)()
    tensor = ao.Float8Tensor.from_hp(random_weight(64, 96), granularity=how)
    check(saved_by_torchao(tensor), tensor.dequantize(torch.float32))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn_x2"])
def test_torchao_microscaling(saved_by_torchao, name):
    mx = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor")
    tensor = mx.MXTensor.to_mx(random_weight(64, 96), getattr(torch, name), 32)
    check(saved_by_torchao(tensor), tensor.dequantize(torch.float32))


@pytest.mark.parametrize("scale", [None, 0.003])
def test_torchao_nvfp4(saved_by_torchao, scale):
    nvfp4 = pytest.importorskip("torchao.prototype.mx_formats.nvfp4_tensor")
    of_all = None if scale is None else torch.tensor(scale)
    tensor = nvfp4.NVFP4Tensor.to_nvfp4(random_weight(64, 96), per_tensor_scale=of_all)
    check(saved_by_torchao(tensor), tensor.dequantize(torch.float32))
