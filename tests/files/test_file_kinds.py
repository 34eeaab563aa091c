"""All that reads files reads every kind of file."""

import json

import numpy as np
import pytest
from checkpoint_files import FLOATS, TENSORS, shard
from file_kinds import FILE_KINDS, FMT
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._cli import main
from cfloat._files import reader


@pytest.fixture(params=FILE_KINDS)
def kind(request):
    return FILE_KINDS[request.param]


@pytest.fixture
def path(kind, tmp_path):
    (tmp_path / "in").mkdir()
    return kind.write(tmp_path / "in")


def command(capsys, *arguments):
    assert main.main(list(map(str, arguments))) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_every_suffix_has_a_kind(tmp_path):
    written = []
    for number, kind in enumerate(FILE_KINDS.values()):
        (tmp_path / str(number)).mkdir()
        try:
            written.append(str(kind.write(tmp_path / str(number))))
        except pytest.skip.Exception:
            pytest.skip("without PyTorch not every kind can be written")
    for suffix in reader.SUFFIXES:
        assert any(name.endswith(suffix) for name in written), suffix


def test_load(kind, path):
    loaded = cf.load(path)
    assert set(loaded) - {"ids"} == set(kind.values)
    for name, values in kind.values.items():
        np.testing.assert_array_equal(np.asarray(loaded[name]), values)


def test_report(kind, path, capsys):
    result = cf.report(path, FMT.name)
    expected = {row.tensor: row for row in cf.report(kind.values, [FMT]).rows}
    assert {row.tensor: row.dtype for row in result.rows} == {
        name: kind.dtypes[name] for name in kind.values
    }
    for row in result.rows:
        assert row.stats == expected[row.tensor].stats
        assert row.bias == expected[row.tensor].bias
    assert set(result.skipped) <= {"ids", "step"}
    assert command(capsys, "report", path, "--format", FMT.name, "--all") == f"{result}\n"
    assert command(capsys, "report", path, "--format", FMT.name) == f"{result.to_screen()}\n"


def test_report_of_what_is_loaded(kind, path):
    assert {(row.tensor, row.dtype) for row in cf.report(cf.load(path), FMT).rows} == {
        (name, kind.dtypes[name]) for name in kind.values
    }


def test_activations(kind, path):
    inputs = {name: np.ones((2, 70), np.float32) for name, x in kind.values.items() if x.ndim == 2}
    products = cf.report(path, FMT, activations=inputs).products
    assert {row.tensor for row in products} == set(inputs)
    weights = {name: np.ones((4, x.shape[-1]), np.float32) for name, x in kind.values.items()}
    rows = cf.report(weights, FMT, activations=path).products
    assert [row.tensor for row in rows] == list(weights)


def test_info(kind, path, capsys):
    said = json.loads(command(capsys, "info", path, "--json"))
    shapes = {each["name"]: tuple(each["shape"]) for each in said["tensors"]}
    assert {name: shapes[name] for name in kind.values} == {
        name: values.shape for name, values in kind.values.items()
    }
    assert said["nbytes"] == sum(each["nbytes"] for each in said["tensors"])
    assert set(shapes) - {"ids"} == set(kind.values)


def test_convert(kind, path, tmp_path, capsys):
    target = tmp_path / "out.safetensors"
    if kind.is_encoded:
        command(capsys, "convert", path, target, "--to", "float32")
    else:
        command(capsys, "convert", path, target, "--format", FMT.name)
    loaded = cf.load(target)
    for name, values in kind.values.items():
        found = loaded[name]
        if isinstance(found, cf.CFloatArray):
            values = cf.asarray(values, FMT, found.bias)
            np.testing.assert_array_equal(found.codes, values.codes)
        else:
            np.testing.assert_array_equal(found, values)
    if "ids" in loaded:
        # copied
        np.testing.assert_array_equal(loaded["ids"], np.arange(7))


def test_tensors_of_all_shapes_and_values(tmp_path, capsys):
    """What conversions are tested with is reported as well, before and after."""
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file(TENSORS, source)
    command(capsys, "convert", source, target, "--format", FMT.name, "--axis", "0")
    for path in (source, target, shard(tmp_path / "shards", TENSORS), tmp_path / "shards"):
        result = cf.report(path, FMT)
        assert {row.tensor for row in result.rows} == FLOATS - {"empty"}
        assert set(result.skipped) == {"empty", "ids", "mask"}
