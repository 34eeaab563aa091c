"""Parts of a checkpoint that are opened alone, and scales that cannot be read: codes are no values."""

import json

import ml_dtypes
import numpy as np
import pytest
from checkpoint_files import write
from commands import main_refused, names_in

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

RNG = np.random.default_rng(5)
W = RNG.standard_normal((256, 384)).astype(np.float32)
E4M3 = W.astype(ml_dtypes.float8_e4m3fn)
E5M2 = W.astype(ml_dtypes.float8_e5m2)
VALUES = E4M3.astype(np.float32)
ONE = np.float32([0.3])
BYTES = RNG.integers(0, 256, (8, 32), dtype=np.uint8)
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def positive(*shape):
    return RNG.uniform(0.001, 2, shape).astype(np.float32)


def shards(folder, first, second, index=True):
    """Two parts of a checkpoint, and their index."""
    folder.mkdir(exist_ok=True)
    write(folder / FIRST, first)
    write(folder / SECOND, second)
    if index:
        weight_map = dict.fromkeys(first, FIRST) | dict.fromkeys(second, SECOND)
        text = json.dumps({"weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(text)
    return folder / FIRST


CASES = {
    "one": ({"l.weight": E4M3}, {"l.weight_scale": ONE}),
    "DeepSeek": ({"l.weight": E4M3}, {"l.weight_scale_inv": positive(2, 3)}),
    "ComfyUI": ({"l.weight": E5M2}, {"l.scale_weight": ONE}),
    "int8": ({"l.weight": np.int8(BYTES % 100)}, {"l.weight_scale": ONE}),
    "MX": (
        {"l.weight_packed": BYTES},
        {"l.weight_scale": np.ones((8, 2), ml_dtypes.float8_e8m0fnu)},
    ),
    "a scale of scales": (
        {
            "l.weight_packed": BYTES,
            "l.weight_scale": np.ones((8, 4), ml_dtypes.float8_e4m3fn),
        },
        {"l.weight_global_scale": ONE},
    ),
    "a zero point": (
        {"l.weight": np.int8(BYTES % 100), "l.weight_scale": positive(8, 1)},
        {"l.weight_zero_point": np.ones((8, 1), np.int8)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_belongs_to_codes_is_in_another_shard(tmp_path, capsys, case):
    path = shards(tmp_path / "m", *CASES[case])
    (other,) = (name.partition(".")[2] for name in CASES[case][1])
    for arguments in (
        ("info", path),
        ("report", path),
        ("convert", path, tmp_path / "out.safetensors", "--to", "float32"),
        ("convert", path, tmp_path / "out.safetensors", "--format", "CFloat8_1_4_3"),
    ):
        line = main_refused(capsys, *arguments)
        assert f"{other}, which is in {SECOND}; open model.safetensors.index.json" in line
    with pytest.raises(cf.FileError, match=other):
        cf.load(path)
    assert names_in(tmp_path) == ["m"]
    # all together they are read, and scales by themselves measure nothing
    assert len(cf.load(path.parent)) == 1
    if case == "a zero point":  # integers, whose scale is in the first
        main_refused(capsys, "report", path.parent / SECOND)
    else:
        assert cf.report(path.parent / SECOND, "CFloat8_1_4_3").rows == []


def test_a_shard_without_an_index(tmp_path):
    path = shards(tmp_path, *CASES["one"], index=False)
    with pytest.raises(cf.FileError, match="may have a scale in another part of the checkpoint"):
        cf.load(path)
    # by another name it is a file of 8-bit floats, and one of one part has no others
    for name in ("whole.safetensors", "model-00001-of-00001.safetensors"):
        path = path.rename(tmp_path / name)
        np.testing.assert_array_equal(cf.load(path)["l.weight"], VALUES)


def test_shards_of_plain_8_bit_floats_are_read(tmp_path):
    path = shards(tmp_path, {"l.weight": E4M3}, {"m.weight": E4M3, "norm.scale": ONE})
    np.testing.assert_array_equal(cf.load(path)["l.weight"], VALUES)


def test_a_shard_that_has_its_scales(tmp_path):
    path = shards(tmp_path, {"l.weight": E4M3, "l.weight_scale": ONE}, {"m.weight_scale": ONE})
    np.testing.assert_array_equal(cf.load(path)["l.weight"], VALUES * ONE)
    (tmp_path / "model.safetensors.index.json").unlink()
    np.testing.assert_array_equal(cf.load(path)["l.weight"], VALUES * ONE)


def test_shards_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    codes = torch.from_numpy(VALUES).to(torch.float8_e4m3fn)
    torch.save({"l.weight": codes}, tmp_path / names[0])
    torch.save({"l.weight_scale": torch.from_numpy(ONE)}, tmp_path / names[1])
    with pytest.raises(cf.FileError, match="may have a scale in another part"):
        cf.load(tmp_path / names[0])
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(
        json.dumps({"weight_map": dict(zip(("l.weight", "l.weight_scale"), names, strict=True))})
    )
    with pytest.raises(cf.FileError, match=rf"weight_scale, which is in {names[1]}; open pytorch"):
        convert(tmp_path / names[0], tmp_path / "out.safetensors", Plan(to="float32"))
    np.testing.assert_array_equal(np.asarray(cf.load(index)["l.weight"]), VALUES * ONE)


@pytest.mark.parametrize("scale", [0.3, np.ones(1, complex)], ids=["a number", "complex"])
def test_a_scale_that_cannot_be_read(tmp_path, scale):
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    scale = scale if isinstance(scale, float) else torch.from_numpy(scale)
    codes = torch.from_numpy(VALUES).to(torch.float8_e4m3fn)
    torch.save({"l": {"weight": codes, "weight_scale": scale}, "step": 3}, path)
    with pytest.raises(cf.FileError, match=r"l\.weight has a scale .* weight_scale, which cannot"):
        cf.load(path)


def test_integers_beside_what_is_no_scale_of_theirs(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"ids": torch.arange(3, dtype=torch.int32), "scale": 65536.0}, tmp_path / "x.pt")
    assert list(cf.load(tmp_path / "x.pt")) == ["ids"]


def test_an_index_of_other_files_says_nothing(tmp_path):
    write(tmp_path / "x.safetensors", {"l.weight": E4M3})
    index = {"weight_map": {"l.weight_scale": "y.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(cf.load(tmp_path / "x.safetensors")["l.weight"], VALUES)


@pytest.mark.parametrize(
    "name",
    [
        "model-00001-of-00002.fp8.safetensors",
        "model.00001-of-00002.safetensors",
        "m_1-of-2.safetensors",
    ],
)
def test_other_names_of_parts(tmp_path, name):
    write(tmp_path / name, {"l.weight": E4M3})
    with pytest.raises(cf.FileError, match="may have a scale in another part of the checkpoint"):
        cf.load(tmp_path / name)
    path = (tmp_path / name).rename(tmp_path / "model_1-of-1.fp8.safetensors")
    np.testing.assert_array_equal(cf.load(path)["l.weight"], VALUES)


def test_the_index_of_a_variant(tmp_path):
    shards(tmp_path, *CASES["one"])
    names = {name: name.replace(".safetensors", ".fp8.safetensors") for name in (FIRST, SECOND)}
    for name, other in names.items():
        (tmp_path / name).rename(tmp_path / other)
    index = tmp_path / "model.safetensors.index.fp8.json"
    plain = tmp_path / "model.safetensors.index.json"
    text = plain.read_text().replace(".safetensors", ".fp8.safetensors")
    plain.unlink()
    index.write_text(text)
    with pytest.raises(
        cf.FileError, match=rf"{names[SECOND]}; open model\.safetensors\.index\.fp8"
    ):
        cf.load(tmp_path / names[FIRST])
    np.testing.assert_array_equal(cf.load(index)["l.weight"], VALUES * ONE)
    # beside a model's other weights it stays where it is, as these do
    write(tmp_path / "model.safetensors", {"m.weight": W})
    (tmp_path / "config.json").write_text("{}")
    summary = convert(tmp_path, tmp_path / "out", Plan("CFloat8_1_4_3"))
    assert summary.left == dict.fromkeys((*names.values(), index.name), "other weights")
