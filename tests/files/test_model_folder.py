"""A model's folder that is converted: what is beside its weights goes along, and its configuration fits."""

import json
import os

import numpy as np
import pytest
from checkpoint_files import shard
from commands import cfloat, main_refused, names_in, succeeded
from safetensors.numpy import load_file, save_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

IEEE = cf.CFloat8_1_4_3.replace(subnormals="ieee")
X = np.random.default_rng(0).standard_normal((12, 32)).astype(np.float32)
TENSORS = {f"layers.{i}.mlp.up_proj.weight": X * (i + 1) for i in range(3)} | {"norm.weight": X[0]}
CONFIG = {"model_type": "made-up", "name": "ä"}

EXPORT = Plan(IEEE, export=True)
CODES = Plan(cf.CFloat8_1_4_3)


def model(folder, sharded=False, config=CONFIG):
    """A folder as sentence-transformers and Hugging Face's programs have it."""
    if sharded:
        shard(folder, TENSORS)
    else:
        folder.mkdir(parents=True)
        save_file(TENSORS, folder / "model.safetensors")
    for name, text in {
        "tokenizer.json": "{}",
        "generation_config.json": '{"eos_token_id": 2}',
        "modules.json": '[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}]',
        "1_Pooling/config.json": '{"pooling_mode_mean_tokens": true}',
        "2_Dense/config.json": "{}",
        "2_Dense/pytorch_model.bin": "weights of another module",
        "a/deep/folder/text.txt": "text",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


OTHERS = [
    "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/pytorch_model.bin", "a/deep/folder/text.txt",
    "generation_config.json", "modules.json", "tokenizer.json",
]  # fmt: skip


def files(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("sharded", [False, True], ids=["one file", "shards"])
@pytest.mark.parametrize("plan", [EXPORT, CODES], ids=["export", "format"])
def test_all_other_files_go_along_and_back(tmp_path, plan, sharded):
    source = model(tmp_path / "in", sharded)
    summary = convert(source, tmp_path / "out", plan)
    assert summary.companions == OTHERS
    assert summary.left == {}
    assert files(tmp_path / "out") == files(source)
    for name in OTHERS:
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    said = config_of(tmp_path / "out")
    method = "compressed-tensors" if plan.export else "cfloat"
    assert said.pop("quantization_config")["quant_method"] == method
    assert said == CONFIG
    convert(tmp_path / "out", tmp_path / "back", Plan(to="bfloat16"))
    assert files(tmp_path / "back") == files(source)
    assert config_of(tmp_path / "back") == CONFIG


def test_a_folder_in_part_back_keeps_its_configuration(tmp_path):
    convert(model(tmp_path / "in"), tmp_path / "out", EXPORT)
    convert(tmp_path / "out", tmp_path / "back", Plan(to="float32", include=("layers.1.*",)))
    said = config_of(tmp_path / "back")["quantization_config"]
    assert "layers.1.mlp.up_proj" in said["ignore"]
    assert "layers.0.mlp.up_proj" not in said["ignore"]


def test_other_weights_stay(tmp_path):
    source = model(tmp_path / "in")
    for name in (
        "pytorch_model.bin", "tf_model.h5", "onnx/model.onnx", "original/consolidated.00.pth",
        "adapter_model.safetensors", "old.safetensors.index.json", "quantization_config.json",
    ):  # fmt: skip
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("x")
    (source / ".gitattributes").write_text("x")
    (source / ".cache").mkdir()
    (source / ".cache" / "x").write_text("x")
    text = succeeded(
        cfloat("convert", source, tmp_path / "out", "--format", "CFloat8_1_4_3")
    ).splitlines()
    assert "7 other files copied" in text
    assert (
        "adapter_model.safetensors, old.safetensors.index.json, onnx/model.onnx and 3 more "
        "not copied: other weights"
    ) in text
    assert "quantization_config.json not copied: of the conversion before" in text
    assert set(files(tmp_path / "out")) == {*OTHERS, "config.json", "model.safetensors"}


def test_links_are_followed_inside_alone(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    source = model(tmp_path / "in")
    (source / "inside.json").symlink_to("tokenizer.json")
    (source / "outside.json").symlink_to(secret)
    (source / "folder").symlink_to(tmp_path)
    (source / "loop").symlink_to("loop")
    os.mkfifo(source / "pipe")
    summary = convert(source, tmp_path / "out", CODES)
    assert summary.left == {
        "folder": "not a file, or a link to none",
        "loop": "not a file, or a link to none",
        "outside.json": "a link that leads out of the folder",
        "pipe": "not a file, or a link to none",
    }
    assert (tmp_path / "out" / "inside.json").read_text() == "{}"
    assert not (tmp_path / "out" / "inside.json").is_symlink()
    (source / "config.json").unlink()
    (source / "config.json").symlink_to(secret)
    with pytest.raises(cf.FileError, match=r"config\.json: a link that leads out"):
        convert(source, tmp_path / "other", CODES)
    assert not (tmp_path / "other").exists()


def test_the_links_of_hugging_faces_cache(tmp_path):
    blobs = tmp_path / "models--a--b" / "blobs"
    model(blobs)
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    convert(snapshot, tmp_path / "out", CODES)
    assert files(tmp_path / "out") == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize("name", ["tokenizer.json", "1_Pooling/config.json"])
def test_nothing_is_overwritten(tmp_path, name):
    source, out = model(tmp_path / "in"), tmp_path / "out"
    convert(source, out, CODES)
    convert(source, out, EXPORT)  # the same ones, and its own
    (out / name).write_text("mine")
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(cf.FileError, match=rf"{name}: would be overwritten"):
        convert(source, out, CODES)
    assert (out / name).read_text() == "mine"
    assert (out / "model.safetensors").read_bytes() == before


def test_nothing_goes_through_a_link_of_the_target(tmp_path):
    source, out, elsewhere = model(tmp_path / "in"), tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "1_Pooling").symlink_to(elsewhere)
    with pytest.raises(cf.FileError, match="1_Pooling: in the way"):
        convert(source, out, CODES)
    (out / "1_Pooling").unlink()
    (out / "tokenizer.json").symlink_to(elsewhere / "x")
    with pytest.raises(cf.FileError, match=r"tokenizer\.json: would be overwritten"):
        convert(source, out, CODES)
    assert names_in(elsewhere) == []


def test_a_target_inside_of_the_source(tmp_path):
    source = model(tmp_path / "in")
    before = files(source)
    for _ in range(2):
        convert(source, source / "small", CODES)
        assert files(source / "small") == before


def test_what_fails_leaves_no_files(tmp_path, monkeypatch):
    source = model(tmp_path / "in")
    monkeypatch.setattr("cfloat._files.model_folder.shutil.copyfileobj", None)
    with pytest.raises(cf.FileError):
        convert(source, tmp_path / "out", CODES)
    assert names_in(tmp_path) == ["in"]


def test_hostile_names(tmp_path):
    source = model(tmp_path / "in")
    for name in ("a\nb.json", "\x1b[31m.txt", "-rf", "\u202e.txt", os.fsdecode(b"\xff.txt")):
        (source / name).write_text(ascii(name))
    (source / "c\nd.bin").write_text("x")
    text = succeeded(cfloat("convert", source, tmp_path / "out", "--format", "CFloat8_1_4_3"))
    assert "\x1b" not in text
    assert "c\\nd.bin not copied: other weights" in text
    assert set(files(tmp_path / "out")) == set(files(source)) - {"c\nd.bin"}


def test_a_file_by_itself_says_what_is_to_be_added(tmp_path):
    source = model(tmp_path / "in")
    target, back = tmp_path / "fp8.safetensors", tmp_path / "back.safetensors"
    how = ("--export", "fp8", "--format", "CFloat8_1_4_3")
    text = succeeded(cfloat("convert", source / "model.safetensors", target, *how))
    assert text.splitlines()[-1] == (
        'no config.json here: add to the model\'s "quantization_config": what is in '
        "quantization_config.json, or readers take codes for values"
    )
    assert names_in(tmp_path) == ["fp8.safetensors", "in", "quantization_config.json"]
    text = succeeded(cfloat("convert", target, back, "--to", "bfloat16"))
    assert text.splitlines()[-1] == (
        'no config.json here: take "quantization_config" out of the model\'s'
    )


def test_what_is_not_of_an_export_stays(tmp_path, capsys):
    source = model(tmp_path / "in") / "model.safetensors"
    (tmp_path / "quantization_config.json").write_text('{"mine": 1}')
    how = ("--export", "fp8", "--format", "CFloat8_1_4_3")
    text = main_refused(capsys, "convert", source, tmp_path / "fp8.safetensors", *how)
    assert "is not of an export" in text
    assert names_in(tmp_path) == ["in", "quantization_config.json"]


def bin_model(folder, sharded):
    torch = pytest.importorskip("torch")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    tensors = {name: torch.from_numpy(tensor) for name, tensor in TENSORS.items()}
    if not sharded:
        torch.save(tensors, folder / "pytorch_model.bin")
        return folder
    weight_map = {}
    for i, name in enumerate(sorted(tensors)):
        file = f"pytorch_model-0000{i + 1}-of-00004.bin"
        torch.save({name: tensors[name]}, folder / file)
        weight_map[name] = file
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("sharded", [False, True], ids=["one file", "shards"])
def test_folders_of_pytorch_files(tmp_path, sharded):
    source = bin_model(tmp_path / "in", sharded)
    paths = [source, source / "pytorch_model.bin.index.json"] if sharded else [source]
    for path in paths:
        loaded = cf.load(path)
        assert set(loaded) == set(TENSORS)
        for name, tensor in TENSORS.items():
            np.testing.assert_array_equal(loaded[name], tensor)
    out = tmp_path / "out"
    convert(source, out, CODES)
    shards = ["model.safetensors"]
    if sharded:
        shards = [f"model-0000{i}-of-00004.safetensors" for i in range(1, 5)]
        shards.append("model.safetensors.index.json")
    assert files(out) == ["config.json", *shards]
    stored = {name for path in out.glob("*.safetensors") for name in load_file(path)}
    assert stored == set(TENSORS)
    assert set(cf.load(out)) == set(TENSORS)
    # what both readers take first
    save_file({"a": X}, source / "model.safetensors")
    assert list(cf.load(source)) == ["a"]


def test_shards_of_pytorch_files_that_are_no_shards(tmp_path, capsys):
    source = bin_model(tmp_path / "in", True)
    index = source / "pytorch_model.bin.index.json"
    for file, words in (
        ("../x.bin", "names of files in its own folder"),
        ("model.safetensors", "takes .bin files"),
        ("pytorch_model-00002-of-00004.bin", "is not in pytorch_model-00002"),
    ):
        said = json.loads(index.read_text())
        said["weight_map"]["norm.weight"] = file
        (source / "changed.bin.index.json").write_text(json.dumps(said))
        text = main_refused(capsys, "info", source / "changed.bin.index.json")
        assert words in text
