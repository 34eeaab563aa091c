"""Blocks of biases along any axes in files: saved, converted, planned, and read without this package."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
from commands import cfloat, main_refused, succeeded
from refusals import refuse
from safetensors.numpy import load_file, save_file

import cfloat as cf
from cfloat._bias.reduction import as_matrix, reduction_axes
from cfloat._files import tensor_pieces
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.plan_file import TensorChoice, read_plan

FMT = cf.CFloat8_1_4_3
RNG = np.random.default_rng(5)


def weight(*shape):
    return (RNG.standard_normal(shape) * np.exp2(RNG.integers(-4, 5, shape))).astype(np.float32)


TENSORS = {
    "conv.weight": weight(12, 7, 3, 3), "depthwise.weight": weight(10, 1, 3, 3),
    "conv1.weight": weight(6, 5, 9),
    "lin.weight": weight(20, 70), "lin.bias": weight(20), "scale": np.array(3, np.float32),
    "empty": np.zeros((3, 0, 2), np.float32), "ids": np.arange(4),
}  # fmt: skip
FLOATS = [name for name in TENSORS if name != "ids"]

#: Reads a file that this package wrote as anybody can: by the format's description, and NumPy alone.
DECODER = """
import json, struct, sys
import numpy as np
assert "cfloat" not in sys.modules
raw = open(sys.argv[1], "rb").read()
(size,) = struct.unpack("<Q", raw[:8])
header, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
said = json.loads(header.pop("__metadata__")["cfloat"])
dtypes = {"U8": "<u1", "U16": "<u2", "I16": "<i2", "F32": "<f4", "I64": "<i8"}
def tensor(name):
    start, stop = header[name]["data_offsets"]
    return np.frombuffer(data[start:stop], dtypes[header[name]["dtype"]]).reshape(header[name]["shape"])
values = {}
for name, of in said["tensors"].items():
    fmt, codes = said["formats"][of["format"]], tensor(name).astype(np.int64)
    bias = np.asarray(of["bias"]) if isinstance(of["bias"], int) else tensor(of["bias"])
    if "block" in of:
        axes = of.get("axis", codes.ndim - 1)
        axes = axes if isinstance(axes, list) else [axes]
        lengths = [codes.shape[axis] for axis in axes]
        row = int(np.prod(lengths))
        numbers = np.arange(row) // of["block"]
        bias = np.take(bias, numbers, axis=axes[0])
        bias = bias.reshape(bias.shape[: axes[0]] + tuple(lengths) + bias.shape[axes[0] + 1 :])
    m, e = fmt["mantissa_bits"], fmt["exponent_bits"]
    sign = np.where(codes >> (m + e) & 1, -1.0, 1.0)
    exponent, mantissa = codes >> m & (1 << e) - 1, codes & (1 << m) - 1
    # the whitepaper's subnormals have no hidden bit, and the exponent field's own weight
    normal = np.ldexp(1 + mantissa / 2**m, exponent - bias)
    low = np.ldexp(mantissa / 2**m, (1 if fmt["subnormals"] == "ieee" else 0) - bias)
    values[name] = (sign * np.where(exponent, normal, low)).astype(np.float32)
np.savez(sys.argv[2], **values)
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.safetensors"
    save_file(TENSORS, path)
    return path


def decoded_elsewhere(path):
    """What a fresh process makes of a file, without this package."""
    out = path.with_suffix(".npz")
    run = subprocess.run(
        [sys.executable, "-c", DECODER, str(path), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    with np.load(out) as values:
        return dict(values)


def metadata_of(path):
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    return json.loads(json.loads(raw[8 : 8 + size])["__metadata__"]["cfloat"])


def same(a, b):
    assert (a.format, a.axis, a.block) == (b.format, b.axis, b.block)
    np.testing.assert_array_equal(a.bias, b.bias)
    np.testing.assert_array_equal(a.codes, b.codes)


def test_what_is_saved_is_loaded(tmp_path):
    w, path = TENSORS["conv.weight"], tmp_path / "x.safetensors"
    made = {
        "a": cf.asarray(w, FMT, "mse", axis=(1, 2, 3), block=32),
        "b": cf.asarray(w, FMT, "max", axis=0, block=5),
        "c": cf.asarray(w, cf.CFloat16_SHP, "max", axis=(0, 1), block=50),
        "last": cf.asarray(w, FMT, "max", block=2),
        "turned": cf.asarray(TENSORS["lin.weight"], FMT, "max", block=32).T,
        "few": cf.CFloatArray(np.zeros((3, 4, 5), np.uint8), FMT, [[7], [9]], axis=(0, 1), block=6),
    }
    cf.save(path, made)
    loaded = cf.load(path)
    for name, a in made.items():
        same(loaded[name], a)
        same(loaded[name][1:], a[1:])
    said = metadata_of(path)
    assert said["version"] == "2"
    assert said["tensors"]["a"]["axis"] == [1, 2, 3]
    assert said["tensors"]["b"]["axis"] == said["tensors"]["turned"]["axis"] == 0
    assert "axis" not in said["tensors"]["last"]
    elsewhere = decoded_elsewhere(path)
    for name, a in made.items():
        np.testing.assert_array_equal(elsewhere[name], np.asarray(a))


def test_other_files_are_as_they_were(tmp_path):
    path = tmp_path / "x.safetensors"
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(4, 6)
    cf.save(
        path,
        {"w": cf.asarray(x, FMT, [9, 10, 11, 12], axis=0), "v": cf.asarray(x, FMT, "max", block=4)},
    )
    said = metadata_of(path)
    assert said["version"] == "1"
    assert {key: value for key, value in said["tensors"]["w"].items() if key != "format"} == {
        "bias": "w.cfloat_bias", "axis": 0,
    }  # fmt: skip
    assert said["tensors"]["v"]["block"] == 4
    assert "axis" not in said["tensors"]["v"]


def changed(path, change):
    """Write a file anew with other metadata."""
    said, tensors = metadata_of(path), load_file(path)
    change(said, said["tensors"]["w"], tensors)
    save_file(tensors, path, metadata={"cfloat": json.dumps(said)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said, w, t: said.update(version="1"),
         r"block is 32 and axis \[1, 2, 3\], which version 1 does not have together"),
        (lambda said, w, t: w.update(axis=[3, 2, 1]), r"block is 32, axis \(3, 2, 1\)"),
        (lambda said, w, t: w.update(axis=[1, 3]), r"block is 32, axis \(1, 3\)"),
        (lambda said, w, t: w.update(axis=[1, 2, 3, 4]), r"axis \(1, 2, 3, 4\), of codes of shape"),
        (lambda said, w, t: w.update(axis=[-3, -2, -1]), r"axis \(-3, -2, -1\)"),
        (lambda said, w, t: w.update(axis=[1]), r"axis is \[1\]; a list has two integers or more"),
        (lambda said, w, t: w.update(axis=[]), r"axis is \[\]; a list has two"),
        (lambda said, w, t: w.update(axis=[1, True]), r"axis is \[1, True\]; a list has two"),
        (lambda said, w, t: w.update(axis=[1, 2.0]), "a list has two integers"),
        (lambda said, w, t: w.update(axis="reduction"), "axis 'reduction'"),
        (lambda said, w, t: w.update(axis={}), "axis {}"),
        (lambda said, w, t: w.update(axis=3), "block is 32, axis 3, of codes of shape"),
        (lambda said, w, t: w.update(axis=2), "biases of shape"),
        (lambda said, w, t: w.update(axis=[2, 3]), "biases of shape"),
        (lambda said, w, t: w.update(block=16), "biases of shape"),
        (lambda said, w, t: w.update(block=True), "block is True"),
        (lambda said, w, t: w.update(bias=7), "one bias with an axis or a block"),
        (lambda said, w, t: w.pop("block"), "axis"),
        (lambda said, w, t: t.update({"w.cfloat_bias": t["w.cfloat_bias"][:, :1]}), "biases of shape"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(tmp_path, change, words):
    path = tmp_path / "x.safetensors"
    cf.save(path, {"w": cf.asarray(TENSORS["conv.weight"], FMT, "max", axis=(1, 2, 3), block=32)})
    changed(path, lambda said, w, t: None)
    dict(cf.load(path))
    changed(path, change)
    with pytest.raises(cf.FileError, match=words) as caught:
        dict(cf.load(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("piece", [1, 40, 300, tensor_pieces.PIECE_SIZE])
@pytest.mark.parametrize("bias", ["max", "mse", "percentile", "mx"])
@pytest.mark.parametrize("rounding", ["ties_to_even", "stochastic"])
def test_along_the_reduction_whatever_the_pieces(
    source, tmp_path, monkeypatch, bias, piece, rounding
):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", piece)
    target = tmp_path / "out.safetensors"
    summary = convert(
        source, target, Plan(FMT, bias=bias, axis="reduction", block=32, rounding=rounding)
    )
    assert sorted(summary.converted) == sorted(FLOATS)
    loaded = cf.load(target)
    for name in FLOATS:
        x, said = TENSORS[name], loaded.description(name)
        how = (
            {}
            if said.seed is None
            else {"rounding": rounding, "seed": said.seed, "offset": said.offset}
        )
        if x.ndim and x.size:
            axes = reduction_axes(x.ndim)
            same(loaded[name], cf.asarray(x, FMT, bias, axis=axes, block=32, **how))
            matrix = cf.asarray(as_matrix(x, axes), FMT, bias, block=32, **how)
            assert cf.error(x, loaded[name]) == cf.error(as_matrix(x, axes), matrix)
        else:
            assert isinstance(loaded[name].bias, int)
    elsewhere = decoded_elsewhere(target)
    for name in FLOATS:
        np.testing.assert_array_equal(elsewhere[name], np.asarray(loaded[name]))


@pytest.mark.parametrize("piece", [1, 40, 300, tensor_pieces.PIECE_SIZE])
@pytest.mark.parametrize("axis", [0, 1, (0, 1), (1, 2), -2, (-3, -2)], ids=str)
@pytest.mark.parametrize("block", [1, 4, 7, 100])
def test_along_any_axes_whatever_the_pieces(source, tmp_path, monkeypatch, piece, axis, block):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", piece)
    target = tmp_path / "out.safetensors"
    names = ["conv.weight", "depthwise.weight", "conv1.weight", "lin.bias", "scale", "empty"]
    for bias in ("max", "mse") if piece == 40 else ("max",):
        convert(source, target, Plan(FMT, bias=bias, axis=axis, block=block, include=names))
        loaded = cf.load(target)
        for name in names:
            if TENSORS[name].ndim < 2 or not TENSORS[name].size:
                assert isinstance(loaded[name].bias, int)
            else:
                same(loaded[name], cf.asarray(TENSORS[name], FMT, bias, axis=axis, block=block))


def test_the_way_back_and_the_table(source, tmp_path):
    coded, back = tmp_path / "coded.safetensors", tmp_path / "back.safetensors"
    how = ("--format", FMT.name, "--block", 32, "--along", "reduction")
    text = succeeded(cfloat("convert", source, coded, *how))
    assert (
        "blocks run along the last axis of each matrix, Conv1D or not: there is no config.json"
        in text
    )
    table = succeeded(cfloat("info", coded))
    assert "blocks of 32 along 1-3" in table
    assert "blocks of 9 along 1-3" in table
    assert "blocks of 32 along 1-2" in table
    (line,) = (line for line in table.splitlines() if line.startswith("lin.weight"))
    assert "blocks of 32 " in line
    assert "along" not in line
    said = json.loads(succeeded(cfloat("info", coded, "--json")))
    assert {tensor["name"]: tensor["layout"] for tensor in said["tensors"]}[
        "conv.weight"
    ] == "blocks of 32 along 1-3"
    succeeded(cfloat("convert", coded, back, "--to", "float32"))
    for name in FLOATS:
        np.testing.assert_array_equal(load_file(back)[name], np.asarray(cf.load(coded)[name]))
    one = succeeded(cfloat("convert", source, coded, "--format", FMT.name, "--block", 4, "--along", "0-1",
                           "--include", "conv*"))  # fmt: skip
    assert "Conv1D" not in one
    assert cf.load(coded)["conv.weight"].axis == (0, 1)


def test_without_matrices_nothing_is_unknown(source, tmp_path):
    plan = Plan(FMT, axis="reduction", block=32, include=["conv*", "lin.bias"])
    assert convert(source, tmp_path / "out.safetensors", plan).notes == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--along", "reduction"), "--along goes with --block"),
        (("--along", "rows", "--block", 4), "'rows' is neither reduction nor an axis K, nor the first and"),
        (("--along", "3-1", "--block", 4), "'3-1' is neither reduction"),
        (("--along", "1-", "--block", 4), "'1-' is neither"),
        (("--along", "", "--block", 4), "'' is neither"),
        (("--along", "5", "--block", 4), "axis is 5; it takes an integer from -"),
        (("--along", "1-3", "--block", 4), "axis is 3; it takes an integer from -3 to 2"),
        (("--along", "0", "--block", 4, "--bias", "9"), "go with max, mse, percentile and mx"),
        (("--along", "0", "--axis", 0), "--along goes with --block"),
        (("--along", "reduction", "--block", "1x4", "--export", "fp8"), "axis and block are both given"),
    ],
)  # fmt: skip
def test_refusals_of_the_command(source, tmp_path, capsys, arguments, words):
    out = tmp_path / "out.safetensors"
    assert words in main_refused(capsys, "convert", source, out, "--format", FMT.name, *arguments)
    assert not out.exists()


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"axis": "reduction"}, "axis is 'reduction', and there is no block"),
        ({"axis": (1, 2)}, r"axis is (1, 2), and there is no block"),
        ({"axis": (1, 2.0), "block": 4}, "axis is 2.0; it takes an integer"),
        ({"axis": "rows", "block": 4}, "axis is 'rows'; it takes an integer"),
        ({"axis": (1, 0), "block": 4, "include": ["lin.weight"]},
         "'lin.weight': axis is (1, 0); with block it takes one, or several that are adjacent and ascending"),
        ({"axis": (), "block": 4}, "axis is ()"),
    ],
)  # fmt: skip
def test_refusals_of_a_plan(source, tmp_path, plan, words):
    error = cf.ArgumentTypeError if "it takes an integer" in words else cf.ArgumentValueError
    refuse(error, words, convert, source, tmp_path / "out.safetensors", Plan(FMT, **plan))


PLAN = """version = 1
[tensors]
"conv.weight" = {format = "CFloat8_1_4_3", granularity = "block 32 along 1-3"}
"depthwise.weight" = {format = "CFloat8_1_4_3", granularity = "block 32"}
"conv1.weight" = {format = "CFloat8_1_5_2", granularity = "block 4 along 0"}
"lin.weight" = {format = "CFloat8_1_4_3", granularity = "block 8 along 1"}
"lin.bias" = {format = "unchanged"}
scale = {format = "unchanged"}
empty = {format = "unchanged"}
"""


def test_plans(source, tmp_path):
    path, target = tmp_path / "plan.toml", tmp_path / "out.safetensors"
    path.write_text(PLAN)
    said = read_plan(path)
    assert said["conv.weight"] == TensorChoice(FMT, (1, 2, 3), 32)
    assert said["conv.weight"].granularity == "block 32 along 1-3"
    assert said["conv1.weight"].granularity == "block 4 along 0"
    assert said["depthwise.weight"] == TensorChoice(FMT, None, 32)
    succeeded(cfloat("convert", source, target, "--plan", path))
    loaded = cf.load(target)
    same(
        loaded["conv.weight"],
        cf.asarray(TENSORS["conv.weight"], FMT, "mse", axis=(1, 2, 3), block=32),
    )
    same(loaded["depthwise.weight"], cf.asarray(TENSORS["depthwise.weight"], FMT, "mse", block=32))
    same(
        loaded["conv1.weight"],
        cf.asarray(TENSORS["conv1.weight"], cf.CFloat8_1_5_2, "mse", axis=0, block=4),
    )
    same(loaded["lin.weight"], cf.asarray(TENSORS["lin.weight"], FMT, "mse", block=8))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("along 1-3", "along 3-1", "plan.toml:3: 'conv.weight': granularity is 'block 32 along 3-1'; it"),
        ("along 1-3", "along", "granularity is 'block 32 along'"),
        ("along 1-3", "along -1", "granularity is 'block 32 along -1'"),
        ("along 1-3", "along 1-300", "granularity is 'block 32 along 1-300'"),
        ("along 1-3", "along 1-3-5", "granularity is 'block 32 along 1-3-5'"),
        ("along 1-3", "along 01-3", "granularity is 'block 32 along 01-3'"),
        ("along 1-3", "along 1-03", "granularity is 'block 32 along 1-03'"),
        ("along 1-3", "of 1-3", "granularity is 'block 32 of 1-3'"),
        ("block 32 along", "axis 1 along", "granularity is 'axis 1 along 1-3'"),
        ("block 32 along", "block 0 along", "granularity is 'block 0 along 1-3'"),
    ],
)  # fmt: skip
def test_what_no_plan_says(source, tmp_path, old, new, words):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace(old, new, 1))
    refuse(cf.FileError, words, read_plan, path)


@pytest.mark.parametrize(
    ("name", "granularity", "words"),
    [
        (
            "conv.weight",
            "block 32 along 1-4",
            "a tensor of shape (12, 7, 3, 3) takes an axis from 0 to 3",
        ),
        ("lin.bias", "block 4 along 0", "a tensor of shape (20,) takes no axis"),
        ("scale", "block 4 along 0", "a tensor of shape () takes no axis"),
    ],
)
def test_plans_that_do_not_fit(source, tmp_path, capsys, name, granularity, words):
    path = tmp_path / "plan.toml"
    entry = f'{{format = "CFloat8_1_4_3", granularity = "{granularity}"}}'
    lines = [
        f'"{name}" = {entry}' if line.partition(" =")[0].strip('"') == name else line
        for line in PLAN.splitlines()
    ]
    path.write_text("\n".join(lines))
    text = main_refused(capsys, "convert", source, tmp_path / "out.safetensors", "--plan", path)
    assert words in text


def test_an_export_takes_no_blocks_along_rows(source, tmp_path, capsys):
    """Biases of blocks along axis 0 are not one a row, though their axis is 0."""
    coded = tmp_path / "coded.safetensors"
    x, fmt = TENSORS["lin.weight"], FMT.replace(subnormals="ieee")
    # so that none is the largest value, which E4M3 does not have
    bias = cf.choose_bias(x, fmt, "max", axis=0, block=4) - 1
    cf.save(coded, {"lin.weight": cf.asarray(x, fmt, bias, axis=0, block=4)})
    export = ("--export", "fp8", "--include", "lin.weight")
    text = main_refused(capsys, "convert", coded, tmp_path / "out.safetensors", *export)
    assert "its biases are not one, nor one a row" in text
    # as blocks of 4 rows and 1 column they can be said
    succeeded(cfloat("convert", coded, tmp_path / "out.safetensors", *export, "--block", "4x1"))
    found = cf.load(tmp_path / "out.safetensors")["lin.weight"]
    np.testing.assert_array_equal(np.asarray(found), np.asarray(cf.load(coded)["lin.weight"]))
