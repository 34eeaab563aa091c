"""Codes beside scales, in files made by hand: what is read, and that whatever is not is refused."""

import json

import ml_dtypes
import numpy as np
import pytest
from checkpoint_files import write
from commands import main_refused, names_in
from safetensors import deserialize

import cfloat as cf
from cfloat._cli import main
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

RNG = np.random.default_rng(5)
W = RNG.standard_normal((256, 384)).astype(np.float32)
E4M3 = W.astype(ml_dtypes.float8_e4m3fn)
E5M2 = W.astype(ml_dtypes.float8_e5m2)
E4M3FNUZ = W.astype(ml_dtypes.float8_e4m3fnuz)
E5M2FNUZ = W.astype(ml_dtypes.float8_e5m2fnuz)
VALUES = E4M3.astype(np.float32)
ONE = np.float32([0.3])
BYTES = RNG.integers(0, 256, (8, 32), dtype=np.uint8)


def positive(*shape, dtype=np.float32):
    return RNG.uniform(0.001, 2, shape).astype(dtype)


def repeated(scale, rows, columns, shape=W.shape):
    return scale.astype(np.float32).repeat(rows, 0).repeat(columns, 1)[: shape[0], : shape[1]]


def halves(shape, dtype=np.float32):
    return np.exp2(RNG.integers(-9, 8, shape)).astype(dtype)


def cases():
    row, block, group = positive(256, 1), positive(2, 3), positive(256, 12)
    yield "one", {"l.weight": E4M3, "l.weight_scale": np.float32(0.3)}, VALUES * np.float32(0.3)
    yield "(1,)", {"l.weight": E4M3, "l.weight_scale": ONE}, VALUES * ONE
    yield "(1, 1)", {"l.weight": E4M3, "l.weight_scale": ONE[None]}, VALUES * ONE
    yield "rows", {"l.weight": E4M3, "l.weight_scale": row}, VALUES * row
    yield "(rows,)", {"l.weight": E4M3, "l.weight_scale": row[:, 0]}, VALUES * row
    column = positive(1, 384)
    yield "columns", {"l.weight": E4M3, "l.weight_scale": column}, VALUES * column
    expected = VALUES * repeated(block, 128, 128)
    yield "DeepSeek", {"l.weight": E4M3, "l.weight_scale_inv": block}, expected
    short = {"l.weight": E4M3[:192, :200], "l.weight_scale_inv": block[:, :2]}
    yield "DeepSeek, part", short, expected[:192, :200]
    half = block.astype(ml_dtypes.bfloat16)
    expected = VALUES * repeated(half, 128, 128)
    yield "FP8_BLOCK", {"l.weight": E4M3, "l.weight_scale": half}, expected
    yield "group", {"l.weight": E4M3, "l.weight_scale": group}, VALUES * repeated(group, 1, 32)
    activations = {"l.weight_scale": ONE, "l.input_scale": ONE, "l.output_scale": ONE}
    yield "ModelOpt", {"l.weight": E4M3} | activations, VALUES * ONE
    comfy = {
        "l.weight": E4M3,
        "l.scale_weight": ONE,
        "l.scale_input": ONE,
        "l.comfy_quant": BYTES[0],
    }
    yield "ComfyUI", comfy, VALUES * ONE
    yield "plain", {"l.weight": E5M2, "l.scale": ONE}, E5M2.astype(np.float32) * ONE
    fnuz = E4M3FNUZ.astype(np.float32) * row
    yield "E4M3FNUZ", {"l.weight": E4M3FNUZ, "l.weight_scale": row}, fnuz
    fnuz = E5M2FNUZ.astype(np.float32) * repeated(block, 128, 128)
    yield "E5M2FNUZ", {"l.weight": E5M2FNUZ, "l.weight_scale_inv": block}, fnuz
    powers = {"l.weight": E4M3FNUZ, "l.weight_scale": np.float32([0.25])}
    yield "E4M3FNUZ, a power", powers, E4M3FNUZ.astype(np.float32) / 4
    experts, of_each = E4M3.reshape(4, 64, 384), positive(4, 64, 1)
    expected = experts.astype(np.float32) * of_each
    yield "experts", {"l.weight": experts, "l.weight_scale": of_each}, expected
    expected = experts.astype(np.float32) * of_each[:, :1]
    yield "(experts,)", {"l.weight": experts, "l.weight_scale": of_each[:, 0, 0]}, expected
    wide = positive(2, 3, dtype=np.float64)
    expected = (VALUES * wide.repeat(128, 0).repeat(128, 1)).astype(np.float32)
    yield "float64", {"l.weight": E4M3, "l.weight_scale": wide}, expected
    powers = RNG.integers(100, 150, (256, 12), dtype=np.uint8)
    expected = np.ldexp(VALUES, powers.repeat(32, 1).astype(int) - 127)
    yield "MXFP8, bytes", {"l.weight": E4M3, "l.weight_scale": powers}, expected
    e8m0 = powers.view(ml_dtypes.float8_e8m0fnu)
    yield "MXFP8", {"l.weight": E4M3, "l.weight_scale": e8m0}, expected
    expected = np.ldexp(VALUES, powers[:2, :3].astype(int).repeat(128, 0).repeat(128, 1) - 127)
    yield "blocks of powers", {"l.weight": E4M3, "l.scale": e8m0[:2, :3]}, expected
    digits = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    table = np.float32(digits + [-digit for digit in map(float, digits)])
    fp4 = table[np.stack([BYTES & 15, BYTES >> 4], -1).reshape(8, 64)]
    small = positive(8, 4).astype(ml_dtypes.float8_e4m3fn)
    factor = small.astype(np.float32) * ONE
    parts = {
        "l.weight": BYTES,
        "l.weight_scale": small,
        "l.weight_scale_2": ONE[0],
        "l.input_scale": ONE,
    }
    yield "NVFP4", parts, fp4 * factor.repeat(16, 1)
    expected = np.ldexp(fp4, powers[:8, :2].astype(int).repeat(32, 1) - 127)
    yield "MXFP4", {"l.weight_packed": BYTES, "l.weight_scale": powers[:8, :2]}, expected
    ints = BYTES.view(np.int8)
    scale = positive(8, 1)
    yield "int8", {"l.weight": ints, "l.weight_scale": scale}, ints.astype(np.float32) * scale
    zero = np.int8([[-3], [100], [0], [1], [2], [3], [-128], [127]])
    expected = (ints.astype(np.float32) - zero) * scale
    parts = {"l.weight": ints, "l.weight_scale": scale, "l.weight_zero_point": zero}
    yield "int8 with zero points", parts, expected


CASES = {name: (tensors, expected) for name, tensors, expected in cases()}


@pytest.mark.parametrize("case", CASES)
def test_values(tmp_path, capsys, case):
    tensors, expected = CASES[case]
    path = write(tmp_path / "x.safetensors", tensors)
    loaded = cf.load(path)
    assert list(loaded) == ["l.weight"]
    assert loaded.is_encoded("l.weight")
    np.testing.assert_array_equal(np.asarray(loaded["l.weight"]), expected, strict=True)
    assert loaded.shape_of("l.weight") == expected.shape
    assert loaded.stored_nbytes("l.weight") == sum(each.nbytes for each in tensors.values())
    rows = cf.report(path, "CFloat8_1_4_3").rows
    plain = cf.report({"l.weight": expected}, "CFloat8_1_4_3").rows
    assert [(row.tensor, row.stats) for row in rows] == [("l.weight", plain[0].stats)]
    assert main.main(["info", str(path), "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["tensors"]
    assert (said["name"], tuple(said["shape"])) == ("l.weight", expected.shape)
    assert said["kind"].endswith("with scales")
    target = tmp_path / "out.safetensors"
    text = main_refused(capsys, "convert", path, target, "--format", "CFloat8_1_4_3")
    assert "converted already" in text
    convert(path, target, Plan(to="float32"))
    back = cf.load(target)
    assert list(back) == ["l.weight"]
    np.testing.assert_array_equal(back["l.weight"], expected, strict=True)


@pytest.mark.parametrize("case", ["rows", "MXFP8", "MXFP4", "int8 with zero points", "ModelOpt"])
def test_copied_byte_for_byte(tmp_path, case):
    tensors, _ = CASES[case]
    path = write(tmp_path / "x.safetensors", tensors | {"m.weight": W})
    target = tmp_path / "out.safetensors"
    convert(path, target, Plan("CFloat8_1_4_3", exclude=["l.*"]))
    stored = {name: bytes(said["data"]) for name, said in deserialize(target.read_bytes())}
    for name, tensor in tensors.items():
        assert stored[name] == tensor.tobytes()
    assert isinstance(cf.load(target)["m.weight"], cf.CFloatArray)


@pytest.mark.parametrize("codes", [E4M3, E5M2], ids=lambda x: x.dtype.name)
def test_powers_of_two_stay_codes(tmp_path, codes):
    fits = {
        "one": (halves(()), None, None), "rows": (halves((256, 1)), 0, None),
        "groups": (halves((256, 12)), None, 32), "blocks": (halves((2, 3)), None, 128),
        "rows of blocks": (halves((2, 1)), 0, None),
    }  # fmt: skip
    for scale, axis, block in fits.values():
        parts = {"l.weight": codes, "l.weight_scale": scale}
        found = cf.load(write(tmp_path / "x.safetensors", parts))["l.weight"]
        assert isinstance(found, cf.CFloatArray)
        assert (found.axis, found.block) == (axis, block)
        np.testing.assert_array_equal(found.codes, codes.view(np.uint8))
        full = np.broadcast_to(scale, (1, 1)) if scale.ndim == 0 else scale
        blocks = [-(-n // count) for n, count in zip(W.shape, full.shape, strict=True)]
        expected = codes.astype(np.float32) * repeated(full, *blocks)
        np.testing.assert_array_equal(np.asarray(found), expected)


def refused_cases():
    yield "names", {"l.weight": E4M3, "l.weight_scales": ONE}, "l.weight_scales"
    yield "shape", {"l.weight": E4M3, "l.weight_scale": positive(7)}, "l.weight_scale"
    yield (
        "shape of int8",
        {"l.weight": BYTES.view(np.int8), "l.weight_scale": positive(3)},
        "l.weight_scale",
    )
    yield "axes", {"l.weight": E4M3, "l.weight_scale": positive(2, 3, 1)}, "l.weight_scale"
    yield (
        "ambiguous",
        {"l.weight": E4M3[:, :300], "l.weight_scale": positive(256, 3)},
        "l.weight_scale",
    )
    yield "dtype", {"l.weight": E4M3, "l.weight_scale": np.int64([3])}, "l.weight_scale"
    yield (
        "two",
        {"l.weight": E4M3, "l.weight_scale": ONE, "l.weight_scale_inv": ONE},
        "l.weight_scale_inv",
    )
    yield (
        "unknown",
        {"l.weight": E4M3, "l.weight_scale": ONE, "l.pre_quant_scale": ONE},
        "l.pre_quant_scale",
    )
    parts = {"l.weight": BYTES.view(np.int8), "l.SCB": positive(8), "l.weight_format": BYTES[0, 0]}
    yield "bitsandbytes", parts, "l.SCB"
    yield "bitsandbytes, 4 bits", {"l.weight": BYTES, "l.weight.absmax": ONE}, "l.weight.absmax"
    yield "GPTQ", {"l.qweight": BYTES.view(np.int32), "l.scales": positive(1, 8)}, "l.scales"
    yield (
        "quanto",
        {"l.weight._data": BYTES.view(np.int8), "l.weight._scale": ONE},
        "l.weight._scale",
    )
    parts = {"l.weight_packed": BYTES.view(np.int32), "l.weight_scale": positive(8, 1)}
    yield "no shape", parts, "l.weight_scale"
    wrong = {"l.weight_shape": np.int64([8, 70])}
    yield "other shape", parts | wrong, "l.weight_scale"
    yield "negative", parts | {"l.weight_shape": np.int64([8, -64])}, "l.weight_scale"
    order = {"l.weight_shape": np.int64([8, 64]), "l.weight_g_idx": np.zeros(64, np.int32)}
    yield "order", parts | order, "l.weight_scale"
    parts = {"l.weight": BYTES, "l.weight_scale": BYTES[:, :3]}
    yield "bytes", parts, "l.weight_scale"
    parts = {"l.weight": E4M3, "l.weight_scale": ONE, "l.weight_zero_point": positive(3)}
    yield "zero points", parts, "l.weight_zero_point"
    both = {"l.weight": W, "l.weight_packed": BYTES, "l.weight_scale": BYTES[:, :2]}
    yield "twice", both, "l.weight_scale"
    yield (
        "of scales",
        {"l.weight": E4M3, "l.weight_scale": ONE, "l.weight_scale_2": ONE},
        "l.weight_scale_2",
    )
    for scale in (
        "weights_scaling_factor", "weight_quantizer.scale", "weight_quantizer._scale",
        "weight_quantizer._amax", "quantizer.s", "weightScale", "descale", "wscale", "inv_s", "weight.d2",
    ):  # fmt: skip
        yield f"8-bit floats, {scale}", {"l.weight": E4M3, f"l.{scale}": ONE}, f"l.{scale}"
    words, ints = BYTES.view(np.uint32), BYTES.view(np.int8)
    mlx = {"l.weight": words, "l.scales": positive(8, 2), "l.biases": positive(8, 2)}
    yield "MLX", mlx, "l.scales"
    yield "MLX, MXFP4", {"e.weight": words, "e.scales": BYTES[:, :1]}, "e.scales"
    for codes in (np.int16, np.uint16, np.int64):
        parts = {"l.weight": ints.astype(codes), "l.weight_scale": positive(8, 1)}
        yield codes.__name__, parts, "l.weight_scale"
    yield "Quark", {"l.weight": ints, "l.weight_quantizer.scale": ONE}, "l.weight_quantizer.scale"
    yield "int8, no name", {"l.weight": ints, "l.inv_s": ONE}, "l.inv_s"
    aqlm = {"l.codes": ints, "l.codebooks": positive(1, 4, 1, 8), "l.scales": positive(8, 1)}
    yield "AQLM", aqlm, "l.scales"
    yield "Nunchaku", {"l.qweight": ints, "l.wscales": positive(1, 8)}, "l.wscales"
    yield "QuIP#", {"l.Qidxs": ints.astype(np.int16), "l.Wscale": ONE}, "l.Wscale"
    parts = {"l.weight.int_data": ints, "l.weight.scale": positive(8)}
    yield "affine", parts, "l.weight.scale"
    yield "JAX", {"layer/kernel": E4M3, "layer/scale": ONE}, "layer/scale"
    yield "JAX, int8", {"layer/w_q": ints, "layer/w_scale": positive(8, 1)}, "layer/w_scale"
    swizzled = {"l._weight_qdata": BYTES, "l._weight_scale": positive(8, 4).astype(E4M3.dtype)}
    yield "swizzled", swizzled, "l._weight_scale"


REFUSED = {name: (tensors, scale) for name, tensors, scale in refused_cases()}
SWIZZLED = {"l.weight": json.dumps({"_type": "NVFP4Tensor", "_data": {"is_swizzled_scales": True}})}


@pytest.mark.parametrize("case", REFUSED)
def test_a_scale_that_is_not_understood_is_refused(tmp_path, capsys, case):
    tensors, scale = REFUSED[case]
    (tmp_path / "in").mkdir()
    metadata = SWIZZLED if case == "swizzled" else None
    path = write(tmp_path / "in" / "x.safetensors", tensors | {"m.weight": W}, metadata)
    codes = next(iter(tensors)) if case != "twice" else "l.weight_packed"
    target = tmp_path / "out.safetensors"
    for command in (
        ("info", path), ("report", path), ("convert", path, target, "--format", "CFloat8_1_4_3"),
        ("convert", path, target, "--to", "bfloat16"), ("convert", path, target, "--export", "fp8"),
    ):  # fmt: skip
        text = main_refused(capsys, *command)
        assert f" {codes} " in text
        assert f" {scale} " in text
    with pytest.raises(cf.FileError, match="not understood"):
        cf.load(path)
    assert names_in(tmp_path) == ["in"]


def test_a_configuration_says_how_long_blocks_are(tmp_path):
    scale = positive(256, 3)
    for size in (100, 128):
        weights = {"num_bits": 8, "type": "float", "strategy": "group", "group_size": size}
        said = {"quantization_config": {"config_groups": {"group_0": {"weights": weights}}}}
        (tmp_path / "config.json").write_text(json.dumps(said))
        path = tmp_path / "x.safetensors"
        write(path, {"l.weight": E4M3[:, :300], "l.weight_scale": scale})
        expected = VALUES[:, :300] * repeated(scale, 1, size, (256, 300))
        np.testing.assert_array_equal(cf.load(path)["l.weight"], expected)
    (tmp_path / "config.json").write_text(
        '{"quantization_config": {"weight_block_size": [64, 192]}}'
    )
    scale = positive(4, 2)
    write(path, {"l.weight": E4M3, "l.weight_scale_inv": scale})
    np.testing.assert_array_equal(cf.load(path)["l.weight"], VALUES * repeated(scale, 64, 192))


def test_codes_without_the_scale_that_others_have(tmp_path):
    parts = {"l.weight": E4M3, "l.weight_scale": ONE, "m.weight": E4M3}
    with pytest.raises(cf.FileError, match=r"m\.weight has no scale beside it"):
        cf.load(write(tmp_path / "x.safetensors", parts))
    # a network of 8-bit floats has none
    parts = {"l.weight": E4M3, "m.weight": E5M2, "m.logit_scale": ONE}
    loaded = cf.load(write(tmp_path / "x.safetensors", parts))
    np.testing.assert_array_equal(loaded["l.weight"], VALUES)


def test_what_is_no_scale_is_in_the_way_of_nothing(tmp_path):
    """Plain networks of 8-bit floats, and integers that are no codes."""
    half = W[0].astype(ml_dtypes.bfloat16)
    path = tmp_path / "x.safetensors"
    plain = {
        "l.weight": E4M3, "l.bias": half, "l.weight_g": W[:, :1], "m.in_proj_weight": E5M2,
        "m.in_proj_bias": half, "a.pos_embed": E4M3, "a.cls_token": half, "a.gamma": W[0],
        "s.0": E4M3, "s.1": half, "r.weight_ih_l0": E4M3, "r.bias_ih_l0": half, "p": E4M3, "q": ONE,
        "x.input_scale": ONE, "x.weight": E4M3, "d.one": E4M3, "d.other": W, "a.b.temperature": ONE,
        "layer/kernel": E4M3, "layer/bias": half,
    }  # fmt: skip
    write(path, plain)
    loaded = cf.load(path)
    assert set(loaded) == set(plain)
    np.testing.assert_array_equal(loaded["l.weight"], VALUES)
    integers = {
        "norm.scale": W[0], "norm.num_batches_tracked": np.int64(3), "a.index": np.int64(BYTES),
        "a.scale": ONE, "a.logit_scale": ONE, "m.ids": np.int32([1, 2]), "m.scale": ONE,
    }  # fmt: skip
    write(path, integers)
    assert set(cf.load(path)) == set(integers)


def test_names_joined_by_slashes(tmp_path):
    path = write(tmp_path / "x.safetensors", {"m/l/weight": E4M3, "m/l/weight_scale": ONE})
    np.testing.assert_array_equal(cf.load(path)["m/l/weight"], VALUES * ONE)
    write(path, {"m/l/weight": E4M3, "m/l/weight_scale": ONE, "m/n/weight": E4M3})
    with pytest.raises(cf.FileError, match="m/n/weight has no scale beside it"):
        cf.load(path)


def test_scales_are_no_weights(tmp_path):
    """Of a cache, or of codes in another file: copied, and neither converted nor measured."""
    path, target = tmp_path / "x.safetensors", tmp_path / "out.safetensors"
    cache = {"a.k_scale": ONE, "a.v_scale": ONE, "n.weight_scale": positive(4, 1)}
    norm = {"norm.scale": W[0], "head.weight": W}
    write(path, {"l.weight": E4M3, "l.weight_scale": ONE} | cache | norm)
    assert {row.tensor for row in cf.report(path, "CFloat8_1_4_3").rows} == {"l.weight", *norm}
    convert(path, target, Plan("CFloat8_1_4_3", exclude=["l.weight"]))
    loaded = cf.load(target)
    for name, tensor in cache.items():
        np.testing.assert_array_equal(loaded[name], tensor)
    assert all(isinstance(loaded[name], cf.CFloatArray) for name in norm)
    # without codes, too
    write(path, {"n.weight_scale": positive(4, 1)} | norm)
    assert {row.tensor for row in cf.report(path, "CFloat8_1_4_3").rows} == set(norm)
    # what a network learns is a weight
    write(path, {"logit_scale": W[0], "norm.scale": W[0], "mask": BYTES})
    assert {row.tensor for row in cf.report(path, "CFloat8_1_4_3").rows} == {
        "logit_scale",
        "norm.scale",
    }


def test_scales_in_another_file_of_a_checkpoint(tmp_path):
    scale = positive(2, 3)
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.safetensors", {"l.weight": E4M3, "a": W})
    write(folder / "b.safetensors", {"l.weight_scale_inv": scale, "b": W})
    files = {"l.weight": "a.safetensors", "l.weight_scale_inv": "b.safetensors"}
    files |= {name: f"{name}.safetensors" for name in "ab"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    expected = VALUES * repeated(scale, 128, 128)
    np.testing.assert_array_equal(cf.load(folder)["l.weight"], expected)
    convert(folder, tmp_path / "copy", Plan("CFloat8_1_4_3", exclude=["l.*"]))
    np.testing.assert_array_equal(cf.load(tmp_path / "copy")["l.weight"], expected)
    convert(folder, tmp_path / "out", Plan(to="bfloat16"))
    assert set(cf.load(tmp_path / "out")) == {"l.weight", "a", "b"}


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_integers_in_other_files(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, BYTES.view(np.int8))
        assert cf.load(path)["x"].dtype == np.int8
        return
    np.savez(path, **{"l.weight": BYTES.view(np.int8), "l.weight_scale": positive(8, 1)})
    assert list(cf.load(path)) == ["l.weight"]
    np.savez(path, **{"l.weight": BYTES.view(np.int8), "l.weight_scale": positive(7, 1)})
    with pytest.raises(cf.FileError, match="not understood"):
        cf.load(path)
