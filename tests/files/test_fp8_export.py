"""Export as 8-bit floats beside scales, as compressed-tensors stores them, and the way back."""

import json

import ml_dtypes
import numpy as np
import pytest
from checkpoint_files import shard
from commands import cfloat, main_refused, names_in, succeeded
from fp8_files import dtype_of, load_file
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

IEEE = {cf.CFloat8_1_4_3: cf.CFloat8_1_4_3.replace(subnormals="ieee")}
DTYPES = {cf.CFloat8_1_4_3: "F8_E4M3"}
CENTRE = {cf.CFloat8_1_4_3: 7}
L, M, A, B = (f"{layer}.mlp.up_proj.weight" for layer in "lmab")
X = np.random.default_rng(0).standard_normal((12, 30)).astype(np.float32)


def finite_codes(fmt):
    values = cf.float8_e4m3fn.values()
    return np.flatnonzero(np.isfinite(values)).astype(np.uint8)


@pytest.mark.parametrize("fmt", IEEE, ids=str)
@pytest.mark.parametrize("bias", [0, 7, 15, 40, 63])
def test_codes_are_kept_byte_for_byte(tmp_path, fmt, bias):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    codes = finite_codes(fmt).reshape(2, -1)
    tensor = cf.CFloatArray(codes, IEEE[fmt], bias)
    cf.save(source, {L: tensor})
    summary = convert(source, target, Plan(export=True, strict=True))
    assert (summary.recoded, summary.changed) == (0, 0)
    assert dtype_of(target, L) == DTYPES[fmt]
    stored = load_file(target)
    np.testing.assert_array_equal(stored[L].view(np.uint8), codes)
    scale = stored[L + "_scale"]
    assert (scale.dtype, scale.shape) == (np.float32, (1,))
    assert scale[0] == 2.0 ** (CENTRE[fmt] - bias)
    # what another reader computes
    np.testing.assert_array_equal(stored[L].astype(np.float32) * scale, tensor)
    back = cf.load(target)[L]
    assert (back.format, back.bias) == (IEEE[fmt], bias)
    np.testing.assert_array_equal(back.codes, codes)


@pytest.mark.parametrize("fmt", IEEE, ids=str)
def test_one_scale_a_row(tmp_path, fmt):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    rows = cf.asarray(X, IEEE[fmt], np.arange(12) + 4, axis=0)
    one = cf.asarray(X, IEEE[fmt], CENTRE[fmt])
    cf.save(source, {L: rows, M: one})
    convert(source, target, Plan(export=True))
    stored = load_file(target)
    assert stored[L + "_scale"].shape == stored[M + "_scale"].shape == (12, 1)
    loaded = cf.load(target)
    for name in (L, M):
        product = stored[name].astype(np.float32) * stored[name + "_scale"]
        np.testing.assert_array_equal(product, loaded[name])
    assert loaded[L].axis == 0
    np.testing.assert_array_equal(loaded[L].bias, rows.bias)


@pytest.mark.parametrize("fmt", IEEE, ids=str)
def test_codes_that_are_not_there_become_the_nearest(tmp_path, capsys, fmt):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for tesla in (fmt, IEEE[fmt]):
        tensor = cf.CFloatArray(codes, tesla, 9)
        cf.save(source, {L: tensor})
        summary = convert(source, target, Plan(export=True))
        stored = load_file(target)
        values = stored[L].astype(np.float32) * stored[L + "_scale"]
        allowed = np.unique(IEEE[fmt].values(9)[finite_codes(fmt)])
        was = np.asarray(tensor)
        assert np.isin(values, allowed).all()
        distance = np.abs(allowed[:, np.newaxis] - was.reshape(-1)).min(axis=0).reshape(16, 16)
        np.testing.assert_array_equal(np.abs(values - was), distance)
        assert summary.changed == np.count_nonzero(values != was) > 0
        assert summary.recoded == np.count_nonzero(stored[L].view(np.uint8) != codes)
        strict = ("--export", "fp8", "--strict")
        text = main_refused(capsys, "convert", source, tmp_path / "s.safetensors", *strict)
        assert f"{summary.changed} values" in text
    assert names_in(tmp_path) == ["in.safetensors", "out.safetensors", "quantization_config.json"]


def test_export_of_floats(tmp_path):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    # 470 * 2**-k: within 1_4_3's range at a bias where E4M3 ends at 448
    tensors = {
        A: X, "a.bias": X[0], "conv.weight": X[..., np.newaxis], "lm_head.weight": X,
        B: X * np.float32(470 / np.abs(X).max()), "ids": np.arange(3),
    }  # fmt: skip
    save_file(tensors, source)
    text = succeeded(
        cfloat("convert", source, target, "--export", "fp8", "--format", "CFloat8_1_4_3")
    )
    assert text.startswith("2 tensors converted, 4 copied\n")
    assert "changed" not in text
    stored = load_file(target)
    for name in (A, B):
        assert dtype_of(target, name) == "F8_E4M3"
        values = stored[name].astype(np.float32) * stored[name + "_scale"]
        assert cf.error(tensors[name], values).sqnr_db > 28
    for name in ("a.bias", "conv.weight", "lm_head.weight", "ids"):
        np.testing.assert_array_equal(stored[name], tensors[name])
    said = json.loads((tmp_path / "quantization_config.json").read_text())
    assert said["quant_method"] == "compressed-tensors"
    assert said["format"] == "float-quantized"
    # in a model with a head, too, and heads of any
    assert {"conv", "model.conv", "cls.predictions.decoder", "lm_head"} < set(said["ignore"])
    assert not {name.removesuffix(".weight") for name in (A, B)} & set(said["ignore"])
    weights = said["config_groups"]["group_0"]["weights"]
    assert (weights["num_bits"], weights["type"], weights["strategy"]) == (8, "float", "tensor")
    how = ("--export", "fp8", "--format", "CFloat8_1_4_3", "--axis", "0", "--include", "lm_head.*")
    succeeded(cfloat("convert", source, target, *how))
    assert load_file(target)["lm_head.weight_scale"].shape == (12, 1)
    assert dtype_of(target, "lm_head.weight") == "F8_E4M3"
    said = json.loads((tmp_path / "quantization_config.json").read_text())
    assert "lm_head" not in said["ignore"]
    assert {"a.mlp.up_proj", "b.mlp.up_proj"} <= set(said["ignore"])


def test_a_model_folder_keeps_its_configuration(tmp_path):
    index = shard(tmp_path / "in", {f"{i}.mlp.up_proj.weight": X for i in range(4)})
    (tmp_path / "in" / "config.json").write_text('{"model_type": "llama"}')
    convert(index, tmp_path / "out", Plan(IEEE[cf.CFloat8_1_4_3], export=True, axis=0))
    value = json.loads((tmp_path / "out" / "config.json").read_text())
    assert value["model_type"] == "llama"
    group = value["quantization_config"]["config_groups"]["group_0"]
    assert group["weights"]["strategy"] == "channel"
    index = json.loads((tmp_path / "out" / index.name).read_text())
    assert set(index["weight_map"]) == {
        f"{i}.mlp.up_proj.weight{end}" for i in range(4) for end in ("", "_scale")
    }
    loaded = cf.load(tmp_path / "out")
    assert all(isinstance(loaded[name], cf.CFloatArray) for name in loaded)
    convert(tmp_path / "out", tmp_path / "back", Plan(to="float32"))
    np.testing.assert_array_equal(
        cf.load(tmp_path / "back")["0.mlp.up_proj.weight"], loaded["0.mlp.up_proj.weight"]
    )


def fp8_file(path, codes, scale):
    save_file({L: codes.view(ml_dtypes.float8_e4m3fn), L + "_scale": scale}, path)
    return cf.load(path)[L]


def test_other_scales_and_codes_come_as_float32(tmp_path):
    codes = cf.encode(X, cf.float8_e4m3fn)
    plain = cf.decode(codes, cf.float8_e4m3fn)
    path = tmp_path / "x.safetensors"
    assert isinstance(fp8_file(path, codes, np.float32([0.25])), cf.CFloatArray)
    for scale in (0.3, 0.0, -0.25, np.inf, np.nan, 2.0**8, 2.0**-57):
        values = fp8_file(path, codes, np.float32([scale]))
        assert isinstance(values, np.ndarray)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(values, plain * np.float32(scale))
    rows = np.linspace(0.1, 1, 12, dtype=np.float32).reshape(12, 1)
    np.testing.assert_array_equal(fp8_file(path, codes, rows), plain * rows)
    codes[0, 0] = 0x7F
    values = fp8_file(path, codes, np.float32([0.25]))
    assert np.isnan(values[0, 0])
    assert isinstance(values, np.ndarray)


def test_what_cannot_be_exported(tmp_path, capsys):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    cf.save(source, {L: cf.asarray(X, cf.CFloat8_1_4_3, np.full((12, 3), 5), block=10)})
    export = ("convert", source, target, "--export", "fp8")
    assert "not one, nor one a row" in main_refused(capsys, *export)
    save_file({L: X}, source)
    for more, words in (
        (("--format", "CFloat16_SHP"), "takes CFloat8_1_4_3"),
        (("--format", "CFloat8_1_4_3", "--block", "4"), "takes rows and columns, such as 1x4"),
        (("--format", "CFloat8_1_4_3", "--axis", "1"), "axis 0"),
    ):
        assert words in main_refused(capsys, *export, *more)
    assert names_in(tmp_path) == ["in.safetensors"]


@pytest.mark.parametrize("layout", [(), ("--axis", "0"), ("--block", "4x4")])
def test_a_tensor_without_elements_stays(tmp_path, layout):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({L: X, "e.mlp.up_proj.weight": np.zeros((0, 8), np.float32)}, source)
    text = succeeded(cfloat("convert", source, target, "--export", "fp8", *layout))
    assert "e.mlp.up_proj.weight: it has no elements" in text
    tensors = cf.load(target)
    assert tensors["e.mlp.up_proj.weight"].shape == (0, 8)
    assert tensors.is_encoded(L)


def test_the_reason_is_what_was_asked_for(tmp_path, capsys):
    source = tmp_path / "in.safetensors"
    save_file({"a.embed_tokens.weight": X, L: X}, source)
    export = ("convert", source, tmp_path / "out.safetensors", "--export", "fp8")
    assert "weight: excluded" in main_refused(capsys, *export, "--exclude", "*")
    both = ("--include", "*embed*", "--exclude", "*embed*")
    assert "embed_tokens.weight: excluded" in main_refused(capsys, *export, *both)


def test_a_configuration_that_is_replaced_is_said(tmp_path):
    """It tells of one file in the folder, and there may be another."""
    save_file({L: X}, tmp_path / "in.safetensors")
    for name, axis, replaced in (("a", (), False), ("b", (), False), ("c", ("--axis", "0"), True)):
        target = tmp_path / f"{name}.safetensors"
        text = succeeded(
            cfloat("convert", tmp_path / "in.safetensors", target, "--export", "fp8", *axis)
        )
        assert ("told of another export, and was replaced" in text) == replaced


def test_an_export_needs_no_format(tmp_path):
    """There is but one; also where some layers are codes already, and others are floats."""
    source = tmp_path / "in.safetensors"
    other = L.replace("up_proj", "down_proj")
    half = cf.asarray(X, cf.CFloat8_1_4_3.replace(subnormals="ieee"), bias=9)
    for tensors in ({L: X}, {L: X, other: half}):
        cf.save(source, tensors)
        made = []
        for name, fmt in (("with", ("--format", "CFloat8_1_4_3")), ("without", ())):
            target = tmp_path / f"{name}.safetensors"
            succeeded(cfloat("convert", source, target, "--export", "fp8", *fmt))
            made.append(target.read_bytes())
        assert made[0] == made[1]
        assert len(cf.load(target)) == len(tensors)
        assert all(map(cf.load(target).is_encoded, tensors))


def test_one_scale_a_row_for_all_if_for_one(tmp_path):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    rows = cf.asarray(X, IEEE[cf.CFloat8_1_4_3], np.arange(12) + 4, axis=0)
    cf.save(source, {A: rows, B: X})
    convert(source, target, Plan(IEEE[cf.CFloat8_1_4_3], export=True))
    stored = load_file(target)
    assert stored[A + "_scale"].shape == stored[B + "_scale"].shape == (12, 1)
    said = json.loads((tmp_path / "quantization_config.json").read_text())
    assert said["config_groups"]["group_0"]["weights"]["strategy"] == "channel"


@pytest.mark.parametrize("beside", [None, '{"model_type": "llama"}'])
def test_the_configuration_of_another_model_stays(tmp_path, beside):
    index = shard(tmp_path / "in", {f"{i}.mlp.up_proj.weight": X for i in range(3)})
    if beside is not None:
        (tmp_path / "in" / "config.json").write_text(beside)
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text('{"model_type": "other"}')
    plan = Plan(IEEE[cf.CFloat8_1_4_3], export=True)
    with pytest.raises(cf.FileError, match=r"config\.json: would be overwritten"):
        convert(index, out, plan)
    assert names_in(out) == ["config.json"]
    assert (out / "config.json").read_text() == '{"model_type": "other"}'
    (out / "config.json").unlink()
    for _ in range(2):  # its own is replaced
        convert(index, out, plan)


def test_what_is_not_certain_stays_and_is_named(tmp_path):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    tensors = {
        A: X, "x.weight": X, "h.0.attn.c_attn.weight": X, "shared.weight": X, "mlp.gate.weight": X,
        "experts.up": np.stack([X, X]), "h.0.mlp.bias": X[0],
    }  # fmt: skip
    save_file(tensors, source)
    how = ("--export", "fp8", "--format", "CFloat8_1_4_3")
    text = succeeded(cfloat("convert", source, target, *how))
    assert text.startswith("1 tensors converted, 6 copied\n")
    assert "by names that are certain alone: there is no config.json" in text
    assert (
        "in float: h.*.attn.c_attn.weight, mlp.gate.weight, shared.weight and 1 more: no name of a linear "
        "layer for certain; --include exports it"
    ) in text
    assert "in float: experts.up: not called and shaped as the weight of a linear layer" in text
    ignored = json.loads((tmp_path / "quantization_config.json").read_text())["ignore"]
    assert {"lm_head", "h.0.attn.c_attn", "mlp.gate", "shared", "x"} <= set(ignored)
    said = json.loads(
        succeeded(cfloat("convert", source, target, *how, "--json", "--include", "x*"))
    )
    assert said["converted"] == ["x.weight"]
    assert said["in_float"][A] == "not included"
    assert said["in_float"]["experts.up"].startswith("not called")


def test_what_is_ignored(tmp_path, capsys):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({A: X, B: X}, source)
    how = ("convert", source, target, "--export", "fp8", "--format", "CFloat8_1_4_3")
    # a head that has no tensor, a layer by its pattern
    succeeded(cfloat(*how, "--ignore", "proj_out", "--ignore", "a.*"))
    ignored = json.loads((tmp_path / "quantization_config.json").read_text())["ignore"]
    assert {"proj_out", "a.mlp.up_proj"} <= set(ignored)
    assert dtype_of(target, A) == "F32"
    assert dtype_of(target, B) == "F8_E4M3"
    assert "no tensor or linear layer" in main_refused(capsys, *how, "--ignore", "z*")
    assert "nothing to export: a.mlp" in main_refused(capsys, *how, "--ignore", "*")
    plain = (*how[:3], "--format", "CFloat8_1_4_3", "--ignore", "a.*")
    assert "ignore goes with an export" in main_refused(capsys, *plain)


def test_e5m2_is_refused(tmp_path, capsys):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({A: X}, source)
    how = ("convert", source, target, "--export", "fp8")
    text = main_refused(capsys, *how, "--format", "CFloat8_1_5_2")
    assert "compressed-tensors has no E5M2" in text
    cf.save(
        source,
        {A: cf.asarray(X, cf.CFloat8_1_5_2, 20), B: cf.asarray(X, IEEE[cf.CFloat8_1_4_3], 9)},
    )
    assert "8-bit floats are E4M3" in main_refused(capsys, *how)
    # excluded, it is left as values: readers do not know the codes
    succeeded(cfloat(*how, "--exclude", A))
    np.testing.assert_array_equal(load_file(target)[A], cf.load(source)[A])
