"""Checkpoints in bfloat16 and float16: converted as the same values in float32 would be."""

import numpy as np
import pytest

import cfloat as cf
from cfloat._core.dtypes import BFLOAT16
from cfloat._files import tensor_pieces
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.tensor_entry import Entry
from cfloat._files.write_safetensors import SafetensorsWriter

FMT = cf.CFloat8_1_4_3
SHAPES = {"matrix": (24, 40), "filters": (6, 5, 3, 3), "vector": (77,), "special": (4, 8)}


def tensors(dtype):
    """Bits of 16 by name, and the values that these are."""
    rng = np.random.default_rng(4)
    for name, shape in SHAPES.items():
        x = (
            rng.standard_normal(shape)
            * 2.0 ** rng.integers(-9, 9, (shape[0],) + (1,) * (len(shape) - 1))
        ).astype(np.float32)
        if name == "special":
            x.flat[:6] = np.nan, np.inf, -np.inf, -0.0, 2.0**-24, -np.nan
            x[3] = np.inf
        if dtype == "F16":
            yield (
                name,
                x.astype(np.float16).view(np.uint16),
                x.astype(np.float16).astype(np.float32),
            )
        else:
            bits = (x.view(np.uint32) >> 16).astype(np.uint16)
            yield name, bits, (bits.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("piece", [7, 64, tensor_pieces.PIECE_SIZE])
@pytest.mark.parametrize("dtype", ["BF16", "F16"])
@pytest.mark.parametrize("bias", ["max", "mse", "mx"])
@pytest.mark.parametrize(
    "where",
    [{}, {"axis": 0}, {"axis": 1}, {"axis": -1}, {"block": 4}, {"axis": 0, "block": 2}],
    ids=str,
)
def test_it_is_what_asarray_gives_of_float32(tmp_path, monkeypatch, dtype, bias, where, piece):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", piece)
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    contents = {name: (bits, wide) for name, bits, wide in tensors(dtype)}
    writer = SafetensorsWriter(
        source, {name: Entry.of(dtype, bits.shape) for name, (bits, _) in contents.items()}, {}
    )
    for name, (bits, _) in contents.items():
        writer.write(name, 0, bits)
    writer.finish({})
    writer.commit()
    convert(source, target, Plan(FMT, bias=bias, **where))
    loaded = cf.load(target)
    for name, (bits, wide) in contents.items():
        its = where if wide.ndim > 1 or "axis" not in where else {}
        expected = cf.asarray(wide, FMT, cf.choose_bias(wide, FMT, bias, **its), **its)
        np.testing.assert_array_equal(loaded[name].codes, expected.codes)
        np.testing.assert_array_equal(loaded[name].bias, expected.bias)
        values = bits.view(np.float16 if dtype == "F16" else BFLOAT16)
        np.testing.assert_array_equal(cf.encode(values, FMT), cf.encode(wide, FMT))
