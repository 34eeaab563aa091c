"""A converted folder's files are moved into place so that nothing tells of weights that are not there."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from checkpoint_files import shard
from safetensors import safe_open
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

FMT = cf.CFloat8_1_4_3
X = np.random.default_rng(0).standard_normal((12, 32)).astype(np.float32)
TENSORS = {f"layers.{i}.mlp.up_proj.weight": X * (i + 1) for i in range(3)} | {"norm.weight": X[0]}
EXPORT = Plan(export=True, format=FMT.replace(subnormals="ieee"))
CODES = Plan(FMT)

#: Converts in a process that is killed when it is about to move its file number K.
KILLED = """
import os, sys
from pathlib import Path
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
left, move = [int(sys.argv[3])], os.replace
def dying(*names):
    left[0] -= 1
    if left[0] < 0:
        os._exit(77)
    move(*names)
os.replace = dying
convert(sys.argv[1], sys.argv[2], Plan("CFloat8_1_4_3"))
"""


def model(folder, sharded):
    if sharded:
        shard(folder, TENSORS)
    else:
        folder.mkdir()
        save_file(TENSORS, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "made-up"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "inner").mkdir()
    (folder / "inner" / "vocab.txt").write_text("a")
    return folder


def method(folder):
    """What a reader takes the folder's weights for; None if it has no configuration to read them by."""
    if not (folder / "config.json").exists():
        return None
    return json.loads((folder / "config.json").read_text())["quantization_config"]["quant_method"]


def is_exported(path):
    return any(name.endswith("_scale") for name in load_file_names(path))


def load_file_names(path):
    with safe_open(path, "np") as file:
        return list(file.keys())


def check_no_mixture(folder, sharded):
    """Check what readers make of a folder, whatever became of its conversion: all is of one, or refused."""
    kinds = {
        is_exported(path)
        for path in folder.glob("*.safetensors")
        if load_file_names(path) != ["norm.weight"]
    }
    said = method(folder)
    index = (folder / "model.safetensors.index.json").exists()
    # who reads by the configuration finds no configuration, no weights, or the ones that it tells of
    if said is not None and (index or not sharded):
        assert kinds == {said == "compressed-tensors"}
    try:
        tensors = cf.load(folder)
    except cf.FileError:
        return
    assert len(kinds) == 1
    for name in tensors:
        np.testing.assert_allclose(np.asarray(tensors[name]), TENSORS[name], atol=0.7)


def is_whole(folder):
    return method(folder) == "cfloat" and set(cf.load(folder)) == set(TENSORS)


@pytest.mark.parametrize("older", [False, True], ids=["into nothing", "over an export"])
@pytest.mark.parametrize("sharded", [False, True], ids=["one file", "shards"])
def test_an_error_at_each_move(tmp_path, monkeypatch, sharded, older):
    source = model(tmp_path / "in", sharded)
    move = os.replace
    for count in range(20):
        target = tmp_path / f"out{count}"
        if older:
            convert(source, target, EXPORT)
        left = [count]

        def failing(*names, left=left):
            left[0] -= 1
            if left[0] == -1:
                raise OSError(5, "no such luck")
            move(*names)

        monkeypatch.setattr(os, "replace", failing)
        try:
            convert(source, target, CODES)
        except cf.FileError as error:
            said = str(error)
        monkeypatch.setattr(os, "replace", move)
        if left[0] >= 0:
            assert is_whole(target)
            # a file each, and with older ones what tells of these is moved away before
            files = 2 if not sharded else 5
            assert count == files + (2 * (not older)) + (1 + sharded) * older
            return
        assert said.endswith("no such luck")
        if target.exists():
            check_no_mixture(target, sharded)
            assert not [path for path in target.rglob("*") if path.name.startswith(".")]
        if older and count <= 1 + sharded:
            # none of the weights has been moved: the older model is there as it was
            assert method(target) == "compressed-tensors"
            assert set(cf.load(target)) == set(TENSORS)
        convert(source, target, CODES)
        assert is_whole(target)
    pytest.fail("more files are moved than there are")


@pytest.mark.parametrize("older", [False, True], ids=["into nothing", "over an export"])
@pytest.mark.parametrize("sharded", [False, True], ids=["one file", "shards"])
def test_a_kill_at_each_move(tmp_path, sharded, older):
    source = model(tmp_path / "in", sharded)
    for count in range(20):
        target = tmp_path / f"out{count}"
        if older:
            convert(source, target, EXPORT)
        run = subprocess.run(
            [sys.executable, "-P", "-c", KILLED, source, target, str(count)], check=False
        )
        if run.returncode == 0:
            assert is_whole(target)
            assert count > 2
            return
        assert run.returncode == 77
        check_no_mixture(target, sharded)
        convert(source, target, CODES)
        assert is_whole(target)
    pytest.fail("more files are moved than there are")


def test_the_older_configuration_leaves_its_permissions(tmp_path):
    source, target = model(tmp_path / "in", False), tmp_path / "out"
    convert(source, target, EXPORT)
    (target / "config.json").chmod(0o640)
    convert(source, target, CODES)
    assert (target / "config.json").stat().st_mode & 0o777 == 0o640


def test_a_file_by_itself_and_what_tells_of_it(tmp_path, monkeypatch):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file(TENSORS, source)
    said = tmp_path / "quantization_config.json"
    moved = []
    move = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (moved.append(new), move(old, new)))
    for _ in range(2):
        moved.clear()
        convert(source, target, EXPORT)
        assert [path.name for path in moved][-2:] == [target.name, said.name]
    assert len(moved) == 3
    assert moved[0].name.startswith(".")
    assert said.exists()
