"""Exports with a scale for each block of rows and columns, and of layers whose inputs are quantised."""

import json

import numpy as np
import pytest
from commands import cfloat, main_refused, names_in, succeeded
from fp8_files import dtype_of, load_file
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._bias.choose import choose_checked
from cfloat._files import fp8, tensor_pieces
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

FMT = cf.CFloat8_1_4_3.replace(subnormals="ieee")
A, B, C = (f"{layer}.mlp.up_proj.weight" for layer in "abc")
#: Rows and columns of very different sizes, so that blocks have biases of their own.
SIZES = np.exp2(np.arange(12) // 4 * 3)[:, np.newaxis] * np.exp2(-(np.arange(30) // 8))
X = (np.random.default_rng(0).standard_normal((12, 30)) * SIZES).astype(np.float32)


def blocks_of(x, rows, columns):
    """Every block by itself, by its place."""
    return {
        (i // rows, j // columns): x[i : i + rows, j : j + columns]
        for i in range(0, x.shape[0], rows)
        for j in range(0, x.shape[1], columns)
    }


def spread(scales, block, shape):
    """One scale an element."""
    rows, columns = (np.arange(n) // size for n, size in zip(shape, block, strict=True))
    return scales[rows[:, np.newaxis], columns]


def product(stored, name, block):
    """What another reader computes."""
    codes = stored[name]
    return codes.astype(np.float32) * spread(stored[name + "_scale"], block, codes.shape)


@pytest.mark.parametrize("method", ["max", "mse", "percentile", "mx"])
@pytest.mark.parametrize("block", [(4, 10), (4, 8), (5, 7), (1, 8), (12, 1), (100, 100)])
@pytest.mark.parametrize("special", [False, True])
def test_biases_of_blocks_are_those_of_each_by_itself(method, block, special):
    x = X.copy()
    if special:
        x[0, 0], x[5, 6], x[11, 29] = np.nan, np.inf, -np.inf
    found = choose_checked(x, FMT, method, block=block, percentile=80)
    assert found.shape == (-(-12 // block[0]), -(-30 // block[1]))
    for place, part in blocks_of(x, *block).items():
        row = part.reshape(1, -1)
        alone = cf.choose_bias(row, FMT, method, axis=0, **(
            {"percentile": 80} if method == "percentile" else {}
        ))  # fmt: skip
        assert found[place] == alone[0]


def test_blocks_of_no_elements():
    for shape in ((0, 3), (3, 0)):
        found = choose_checked(np.zeros(shape, np.float32), FMT, "mse", block=(2, 2))
        assert found.shape == (-(-shape[0] // 2), -(-shape[1] // 2))


@pytest.mark.parametrize("method", ["max", "mse", "percentile", "mx"])
@pytest.mark.parametrize("block", [(4, 10), (5, 7), (1, 8), (13, 1), (128, 128)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_a_scale_a_block(tmp_path, method, block, dtype):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    x = X[:, ::-1].astype(dtype)
    save_file({A: x.copy(), B: x[:11, :13].copy()}, source)
    convert(source, target, Plan(FMT, export=True, block=block, bias=method))
    stored, loaded = load_file(target), cf.load(target)
    for name, values in ((A, x), (B, x[:11, :13])):
        scales = stored[name + "_scale"]
        assert scales.dtype == np.float32
        assert scales.shape == tuple(
            -(-n // size) for n, size in zip(values.shape, block, strict=True)
        )
        for place, part in blocks_of(values, *block).items():
            bias = cf.choose_bias(part.reshape(1, -1), fp8.reachable(FMT), method, axis=0)[0]
            assert scales[place] == 2.0 ** (7 - bias)
        assert isinstance(loaded[name], cf.CFloatArray)
        np.testing.assert_array_equal(product(stored, name, block), loaded[name])
    said = json.loads((tmp_path / "quantization_config.json").read_text())
    weights = said["config_groups"]["group_0"]["weights"]
    assert (weights["strategy"], weights["block_structure"]) == ("block", list(block))
    assert weights["group_size"] is None
    assert said["config_groups"]["group_0"]["input_activations"] is None


@pytest.mark.parametrize("method", ["max", "mse"])
@pytest.mark.parametrize("block", [(4, 8), (1, 8), (5, 30), (7, 4)])
def test_pieces_change_nothing(tmp_path, monkeypatch, method, block):
    source = tmp_path / "in.safetensors"
    save_file({A: np.tile(X, (3, 1))}, source)
    plan = Plan(FMT, export=True, block=block, bias=method)
    convert(source, tmp_path / "whole.safetensors", plan)
    for size in (16, 100, 250):
        monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", size)
        convert(source, tmp_path / "parts.safetensors", plan)
        whole, parts = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "parts"))
        for name in (A, A + "_scale"):
            np.testing.assert_array_equal(parts[name], whole[name])


def test_random_words_are_those_of_elements(tmp_path, monkeypatch):
    """Stochastic rounding takes the word of an element's place, however the tensor is cut."""
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({A: X, B: X}, source)
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 100)
    how = {"rounding": "stochastic", "seed": 5}
    convert(source, target, Plan(FMT, export=True, block=(4, 8), **how))
    stored = load_file(target)
    for name, offset in ((A, 0), (B, X.size)):
        bias = 7 - np.log2(spread(stored[name + "_scale"], (4, 8), X.shape)).astype(np.int16)
        codes = cf.encode(X, fp8.reachable(FMT), bias, offset=offset, **how)
        np.testing.assert_array_equal(stored[name].view(np.uint8), codes)


def test_one_bias_for_all_blocks(tmp_path):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({A: X}, source)
    for bias, scale in ((9, 0.25), ("default", 1.0)):
        convert(source, target, Plan(FMT, export=True, block=(5, 7), bias=bias))
        np.testing.assert_array_equal(load_file(target)[A + "_scale"], np.full((3, 5), scale))


def test_codes_with_biases_that_fit_blocks(tmp_path, capsys):
    """Codes keep their biases: those that are the same in all of a block."""
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    biases = np.repeat([[5, 6, 7], [8, 9, 10], [11, 12, 5]], 4, axis=0)
    x = np.clip(X, -1, 1)  # no code of 480, which becomes 448
    cf.save(source, {
        A: cf.asarray(x, FMT, biases, block=10), B: cf.asarray(x, FMT, 6),
        C: cf.asarray(x, FMT, np.repeat([4, 5, 6], 4), axis=0),
    })  # fmt: skip
    how = ("convert", source, target, "--export", "fp8")
    for block, name in (("2x15", A), ("3x10", A), ("8x10", A), ("12x5", A)):
        text = main_refused(capsys, *how, "--block", block)
        assert f"{name}: its biases are not one for each block of {block}" in text
    text = main_refused(capsys, *how, "--block", "12x10", "--exclude", A)
    assert f"{C}: its biases are not one for each block" in text
    assert names_in(tmp_path) == ["in.safetensors"]
    before = {name: np.asarray(tensor) for name, tensor in cf.load(source).items()}
    for block in ("4x10", "2x5", "1x1"):
        sizes = tuple(map(int, block.split("x")))
        succeeded(cfloat(*how, "--block", block))
        stored = load_file(target)
        for name, values in before.items():
            assert stored[name + "_scale"].shape == (12 // sizes[0], 30 // sizes[1])
            np.testing.assert_array_equal(product(stored, name, sizes), values)
            np.testing.assert_array_equal(cf.load(target)[name], values)


def test_blocks_on_the_command_line(tmp_path, capsys):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({A: X}, source)
    how = ("convert", source, target, "--format", "CFloat8_1_4_3")
    export = (*how, "--export", "fp8")
    for options, words in (
        ((*export, "--block", "16"), "an export takes rows and columns, such as 1x16 or 128x128"),
        ((*export, "--block", "0x4"), "block is 0; it takes an integer from 1 on"),
        ((*export, "--block", "4x-1"), "block is -1"),
        ((*export, "--block", "4x"), "'4x' is neither a number of elements nor rows and columns"),
        ((*export, "--block", "4x4x4"), "neither a number"),
        ((*export, "--block", "x"), "neither a number"),
        ((*export, "--block", "4x4", "--axis", "0"), "not allowed with"),
        ((*how, "--block", "4x4"), "blocks of rows and columns go with an export"),
    ):
        assert words in main_refused(capsys, *options)
    for block in ((1, 2, 3), (1,), (1, 2.5), (1, True)):
        with pytest.raises((cf.ArgumentValueError, cf.ArgumentTypeError), match="block is"):
            Plan(FMT, export=True, block=block).checked()
    assert names_in(tmp_path) == ["in.safetensors"]
    text = succeeded(cfloat(*export, "--block", "8x16"))
    assert text.startswith("1 tensors converted, 0 copied\n")
    assert load_file(target)[A + "_scale"].shape == (2, 2)


def test_a_short_block_of_any_length_is_read(tmp_path):
    """No power of two, and no divisor: the configuration alone says it."""
    for block in ((5, 7), (9, 7)):
        source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
        save_file({A: X[:11, :23].copy()}, source)
        convert(source, target, Plan(FMT, export=True, block=block))
        np.testing.assert_array_equal(product(load_file(target), A, block), cf.load(target)[A])
        (tmp_path / "quantization_config.json").unlink()
        with pytest.raises(cf.FileError, match="scales of shape"):
            cf.load(target)


def test_inputs_that_readers_quantise(tmp_path, capsys):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({A: X, B: X[:, :16].copy()}, source)
    how = ("convert", source, target, "--format", "CFloat8_1_4_3")
    export = (*how, "--export", "fp8-dynamic")

    def group():
        said = json.loads((tmp_path / "quantization_config.json").read_text())
        return said["config_groups"]["group_0"], said["ignore"]

    succeeded(cfloat(*export))
    stored = load_file(target)
    assert stored[A + "_scale"].shape == (12, 1)
    np.testing.assert_array_equal(
        stored[A].astype(np.float32) * stored[A + "_scale"], cf.load(target)[A]
    )
    said, _ = group()
    assert said["weights"]["strategy"] == "channel"
    inputs = said["input_activations"]
    assert (inputs["num_bits"], inputs["type"], inputs["symmetric"]) == (8, "float", True)
    assert (inputs["strategy"], inputs["dynamic"], inputs["group_size"]) == ("token", True, None)
    # as FP8_BLOCK: inputs are cut into groups, which have to be whole
    text = succeeded(cfloat(*export, "--block", "8x16"))
    assert f"in float: {A}: 30 columns, not in whole blocks of 16" in text
    assert dtype_of(target, A) == "F32"
    said, ignored = group()
    assert A.removesuffix(".weight") in ignored
    assert said["weights"]["block_structure"] == [8, 16]
    inputs = said["input_activations"]
    assert (inputs["strategy"], inputs["dynamic"], inputs["group_size"]) == ("group", True, 16)
    assert "nothing to export" in main_refused(capsys, *export, "--block", "8x16", "--exclude", B)
    with pytest.raises(cf.ArgumentValueError, match="dynamic goes with an export"):
        Plan(FMT, dynamic=True).checked()
