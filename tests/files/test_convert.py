"""`cfloat convert`: what it writes, and that it writes all of it or nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from checkpoint_files import FLOATS, TENSORS, shard
from commands import CFLOAT, cfloat, main_refused, names_in, succeeded
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import cfloat as cf
from cfloat._files import copying, encoding, read_torch, tensor_pieces
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

FMT = cf.CFloat8_1_4_3


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.safetensors"
    save_file(TENSORS, path, metadata={"format": "pt"})
    return path


@pytest.mark.parametrize("piece", [1, 7, 64, tensor_pieces.PIECE_SIZE])
@pytest.mark.parametrize(
    "how",
    [{}, {"axis": 0}, {"axis": -1}, {"axis": 1}, {"block": 4}, {"block": 1000}, {"bias": 9},
     {"bias": "default", "axis": 0}, {"rounding": "stochastic", "seed": 5},
     {"rounding": "stochastic", "seed": 5, "axis": 0}, {"rounding": "stochastic", "block": 4}],
    ids=str,
)  # fmt: skip
def test_it_is_what_asarray_gives_whatever_the_pieces(source, tmp_path, monkeypatch, how, piece):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", piece)
    target = tmp_path / "out.safetensors"
    summary = convert(source, target, Plan(FMT, **how))
    assert set(summary.converted) == FLOATS
    assert set(summary.copied) == {"ids", "mask"}
    loaded = cf.load(target)
    assert loaded.metadata == {"format": "pt"}
    offset = 0
    for name, x in sorted(TENSORS.items()):
        if name not in FLOATS:
            assert loaded[name].dtype == x.dtype
            np.testing.assert_array_equal(loaded[name], x)
            continue
        q, said = loaded[name], loaded.description(name)
        random = {}
        if summary.seed is not None:
            assert (said.seed, said.offset) == (summary.seed, offset)
            random = {"rounding": "stochastic", "seed": said.seed, "offset": said.offset}
        expected = cf.asarray(x, FMT, q.bias, block=q.block, **random)
        np.testing.assert_array_equal(q.codes, expected.codes)
        assert said.dtype == {8: "F64", 4: "F32", 2: "F16"}[x.itemsize]
        offset += x.size
        # the layout that was asked for
        if "axis" in how and "bias" not in how and x.ndim > 1 and x.size:
            assert q.axis == how["axis"] % x.ndim
        if "block" in how and x.ndim and x.size:
            assert q.block == min(how["block"], x.shape[-1])
    if not how:
        # the largest bias at which nothing is too large
        bias = loaded["a.weight"].bias
        largest = np.abs(TENSORS["a.weight"]).max()
        assert cf.finfo(FMT, bias).max >= largest > cf.finfo(FMT, bias + 1).max


@pytest.mark.parametrize("how", [{}, {"axis": 0}, {"block": 35}], ids=str)
def test_the_best_bias_has_the_least_error(source, tmp_path, how):
    target = tmp_path / "out.safetensors"
    errors = {}
    for bias in ("mse", "max", 20):
        convert(source, target, Plan(FMT, bias=bias, include=["a.*"], **how))
        q = np.asarray(cf.load(target)["a.weight"], np.float64)
        errors[bias] = np.square(q - TENSORS["a.weight"]).sum()
    assert errors["mse"] <= min(errors.values())


@pytest.mark.parametrize("how", [{}, {"axis": 0}, {"axis": 1}, {"block": 35}], ids=str)
def test_biases_by_the_rule_of_ocp_mx(source, tmp_path, how):
    target = tmp_path / "out.safetensors"
    convert(source, target, Plan(FMT, bias="mx", include=["a.*"], **how))
    x, q = TENSORS["a.weight"], cf.load(target)["a.weight"]
    np.testing.assert_array_equal(q.codes, cf.asarray(x, FMT, "mx", **how).codes)
    with pytest.raises(
        cf.ArgumentValueError, match="bias is 'mx', and the bias of bfloat16 is fixed"
    ):
        Plan(cf.bfloat16, bias="mx").checked()


def test_a_format_by_its_name(source, tmp_path):
    target = tmp_path / "out.safetensors"
    convert(source, target, Plan("CFloat8_1_5_2"))
    assert cf.load(target).format_of("a.weight") == cf.CFloat8_1_5_2
    with pytest.raises(cf.ArgumentValueError, match="format is 'CFloat9'; the names are"):
        convert(source, target, Plan("CFloat9"))
    with pytest.raises(cf.ArgumentTypeError, match="format is 8"):
        convert(source, target, Plan(8))


@pytest.mark.parametrize("to", ["float32", "float16", "bfloat16"])
def test_the_way_back(source, tmp_path, to):
    coded, target = tmp_path / "coded.safetensors", tmp_path / "back.safetensors"
    convert(source, coded, Plan(FMT, axis=0))
    convert(coded, target, Plan(to=to))
    back, was = cf.load(target), cf.load(coded)
    assert set(back) == set(TENSORS)
    for name in TENSORS:
        assert not isinstance(back[name], cf.CFloatArray)
        expected = was[name]
        if name in FLOATS:
            assert back.stored_dtype(name) == {"float32": "F32", "float16": "F16"}.get(to, "BF16")
            with np.errstate(over="ignore"):
                expected = expected.astype(np.float16) if to == "float16" else np.asarray(expected)
        np.testing.assert_array_equal(back[name], expected)
    with safe_open(target, "numpy") as file:
        assert file.metadata() == {"format": "pt"}


def test_the_command(source, tmp_path):
    target = tmp_path / "out.safetensors"
    text = succeeded(
        cfloat("convert", source, target, "--format", "CFloat8_1_5_2", "--block", "32")
    )
    assert text.startswith("6 tensors converted, 2 copied\n")
    assert cf.load(target)["a.weight"].format == cf.CFloat8_1_5_2
    succeeded(
        cfloat("convert", source, target, "--format", "CFloat8_1_4_3", "--subnormals", "ieee")
    )
    assert cf.load(target)["a.weight"].format.subnormals == "ieee"
    how = ("--rounding", "stochastic", "--seed", "7", "--bias", "12")
    assert "seed 7" in succeeded(
        cfloat("convert", source, target, "--format", "CFloat16_SHP", *how)
    )
    first = target.read_bytes()
    succeeded(cfloat("convert", source, target, "--format", "CFloat16_SHP", *how))
    assert target.read_bytes() == first
    succeeded(cfloat("convert", target, tmp_path / "back.safetensors", "--to", "bfloat16"))
    assert names_in(tmp_path) == ["back.safetensors", "in.safetensors", "out.safetensors"]


def test_patterns(source, tmp_path):
    target = tmp_path / "out.safetensors"
    for how, chosen in (
        ({"include": ["*.weight"]}, {"a.weight", "b.weight"}),
        ({"exclude": ["*.weight", "w*"]}, {"bias", "empty", "scalar"}),
        ({"include": ["*.weight"], "exclude": ["b*"]}, {"a.weight"}),
    ):
        assert set(convert(source, target, Plan(FMT, **how)).converted) == chosen
        with safe_open(target, "numpy") as file:
            for name in TENSORS.keys() - chosen:
                np.testing.assert_array_equal(file.get_tensor(name), TENSORS[name])
    succeeded(cfloat("convert", source, target, "--format", "float16", "--keep-float", "*.weight"))
    assert cf.load(target).stored_dtype("a.weight") == "F32"


def test_codes_that_are_left_alone_keep_their_biases(source, tmp_path):
    coded, target = tmp_path / "coded.safetensors", tmp_path / "back.safetensors"
    convert(source, coded, Plan(FMT, axis=0))
    convert(coded, target, Plan(to="float32", exclude=["a.*"]))
    was, now = cf.load(coded), cf.load(target)
    np.testing.assert_array_equal(now["a.weight"].bias, was["a.weight"].bias)
    np.testing.assert_array_equal(now["a.weight"].codes, was["a.weight"].codes)
    assert now["b.weight"].dtype == np.float32


def test_the_size_is_a_quarter(tmp_path):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({"w": np.ones((500, 500), np.float32)}, source)
    convert(source, target, Plan(FMT))
    assert target.stat().st_size < source.stat().st_size / 4 * 1.01


def test_bfloat16_is_converted(tmp_path):
    import ml_dtypes

    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    x = TENSORS["a.weight"].astype(ml_dtypes.bfloat16)
    save_file({"w": x}, source)
    convert(source, target, Plan(FMT, bias=10))
    np.testing.assert_array_equal(cf.load(target)["w"].codes, cf.encode(x, FMT, 10))


@pytest.mark.parametrize("kind", ["npz", "packed npz", "npy", "fortran", "big-endian"])
def test_numpy_files(tmp_path, kind):
    x = {"fortran": TENSORS["a.weight"].T, "big-endian": TENSORS["a.weight"].astype(">f4")}.get(
        kind, TENSORS["a.weight"]
    )
    source, target = (
        tmp_path / f"x.{kind[-3:] if 'np' in kind else 'npz'}",
        tmp_path / "o.safetensors",
    )
    if kind == "npy":
        np.save(source, x)
    else:
        (np.savez_compressed if kind == "packed npz" else np.savez)(source, x=x, ids=np.arange(3))
    convert(source, target, Plan(FMT))
    q = cf.load(target)["x"]
    np.testing.assert_array_equal(q.codes, cf.encode(x, FMT, q.bias))


def test_sharded_checkpoints(source, tmp_path):
    index = shard(tmp_path / "in", TENSORS)
    plan = Plan(FMT, axis=0, rounding="stochastic", seed=3)
    convert(source, tmp_path / "whole.safetensors", plan)
    whole = cf.load(tmp_path / "whole.safetensors")
    convert(index, tmp_path / "merged.safetensors", plan)
    convert(index, tmp_path / "out", plan)
    convert(tmp_path / "in", tmp_path / "out2" / "model.safetensors.index.json", plan)
    assert names_in(tmp_path / "out") == names_in(tmp_path / "in") == names_in(tmp_path / "out2")
    for path in ("merged.safetensors", "out", "out2/model.safetensors.index.json"):
        loaded = cf.load(tmp_path / path)
        assert list(loaded) == list(whole)
        for name in whole:
            np.testing.assert_array_equal(np.asarray(loaded[name]), np.asarray(whole[name]))
    mapped = json.loads((tmp_path / "out" / index.name).read_text())
    stored = {
        name: file.name
        for file in (tmp_path / "out").glob("*.safetensors")
        for name in load_file(file)
    }
    assert mapped["weight_map"] == stored
    convert(tmp_path / "out", tmp_path / "back", Plan(to="float32"))
    assert cf.load(tmp_path / "back")["a.weight"].dtype == np.float32


def test_a_bad_index(tmp_path):
    index = shard(tmp_path / "in", TENSORS)
    good = json.loads(index.read_text())["weight_map"]
    save_file({"x": np.ones(3)}, tmp_path / "outside.safetensors")
    for weight_map, words in (
        ({"a.weight": "../outside.safetensors"}, "its own folder"),
        ({"a.weight": "/etc/passwd"}, "its own folder"),
        ({"a.weight": "..\\outside.safetensors"}, "its own folder"),
        ({"a.weight": str(tmp_path / "outside.safetensors")}, "its own folder"),
        ({"a.weight": index.name}, "takes .safetensors files"),
        ({"a.weight": ".."}, "its own folder"),
        ({"a.weight": 5}, "its own folder"),
        ({"a.weight": "missing.safetensors"}, "No such file"),
        (good | {"new": "model-0.safetensors"}, "'new' is not in model-0.safetensors"),
        (good | {"a.weight": "model-1.safetensors"}, "knows nothing"),
        ({}, "without a weight_map"),
        ([], "without a weight_map"),
    ):
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(cf.FileError, match=words):
            convert(index, tmp_path / "out", Plan(FMT))
    for text in ("", "[" * 100_000, '{"weight_map": {}, "weight_map": {}}', "\xff"):
        index.write_text(text)
        with pytest.raises(cf.FileError):
            convert(index, tmp_path / "out", Plan(FMT))
    assert not (tmp_path / "out").exists()


def test_refusals_leave_nothing_behind(source, tmp_path, capsys):
    target = tmp_path / "out.safetensors"
    to = ("--format", "CFloat8_1_4_3")
    for arguments, words in (
        ((source, target), "give --format, --plan, --to or --export"),
        ((source, target, *to, "--to", "float32"), "takes no format"),
        ((source, target, *to, "--bias", "64"), "bias is 64"),
        ((source, target, *to, "--bias", "best"), "neither an integer nor"),
        ((source, target, *to, "--axis", "2"), "axis is 2"),
        ((source, target, *to, "--block", "0"), "block is 0"),
        ((source, target, *to, "--axis", "0", "--block", "2"), "not allowed with"),
        ((source, target, *to, "--exclude", "lm_haed"), "no tensor has a name like 'lm_haed'"),
        ((source, target, *to, "--exclude", "*"), "nothing to convert"),
        ((source, target, "--to", "float32"), "nothing to convert: no coded tensor"),
        ((source, tmp_path / "out.npz", *to), "not .safetensors"),
        ((source, source, *to), "overwrite"),
        ((tmp_path / "missing.safetensors", target, *to), "No such file"),
        ((tmp_path, target, *to), "a folder with none of"),
        ((source, tmp_path / "no" / "out.safetensors", *to), "No such file"),
    ):
        assert words in main_refused(capsys, "convert", *arguments)
    assert names_in(tmp_path) == ["in.safetensors"]
    main_refused(capsys, "convert", source, tmp_path / "folder", *to, "--bias", "64")
    main_refused(capsys, "convert", source, tmp_path / "folder", *to, "--axis", "2")
    assert names_in(tmp_path) == ["in.safetensors"]
    coded = tmp_path / "coded.safetensors"
    convert(source, coded, Plan(FMT))
    assert "converted already" in main_refused(capsys, "convert", coded, target, *to)


def test_hostile_files(tmp_path, monkeypatch):
    target = tmp_path / "out" / "x.safetensors"
    target.parent.mkdir()

    def is_refused(path):
        with pytest.raises(cf.FileError) as caught:
            convert(path, target, Plan(FMT))
        assert "\n" not in str(caught.value)
        assert names_in(target.parent) == []

    good = tmp_path / "good.safetensors"
    save_file({"w": TENSORS["a.weight"]}, good)
    content = good.read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in range(0, len(content), 997):
        cut.write_bytes(content[:length])
        is_refused(cut)
    monkeypatch.setattr("cfloat._files.zip_bombs._BOMB_BYTES", 1 << 16)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(10**6))
    is_refused(tmp_path / "bomb.npz")
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("README.txt", "not an array")
    is_refused(tmp_path / "text.npz")
    np.save(tmp_path / "x.npy", np.ones(3))
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.write(tmp_path / "x.npy", "x.npy")
    is_refused(tmp_path / "twice.npz")
    np.save(tmp_path / "objects.npy", np.array([object()]), allow_pickle=True)
    is_refused(tmp_path / "objects.npy")
    np.save(tmp_path / "complex.npy", np.ones(3, complex))
    is_refused(tmp_path / "complex.npy")


def test_a_file_that_shrinks_while_it_is_read(source, tmp_path, monkeypatch):
    """The header is fine, and then the data are gone."""
    checkpoint = cf.load(source)
    source.write_bytes(source.read_bytes()[:-100])
    monkeypatch.setattr("cfloat._files.convert.load", lambda _: checkpoint)
    with pytest.raises(cf.FileError, match="it has changed since it was opened"):
        convert(source, tmp_path / "out.safetensors", Plan(FMT))
    assert names_in(tmp_path) == ["in.safetensors"]


def test_an_error_on_the_way_leaves_what_was_there(source, tmp_path, monkeypatch):
    target = tmp_path / "out.safetensors"
    convert(source, target, Plan(FMT))
    before = target.read_bytes()

    def fails(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(copying.Copying, "run", fails)
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, Plan(FMT, axis=0))
    assert target.read_bytes() == before
    assert names_in(tmp_path) == ["in.safetensors", "out.safetensors"]


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path):
    """What is under the final name is whole, or is not there."""
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    x = np.random.default_rng(2).standard_normal((2000, 2000)).astype(np.float32)
    save_file({f"w{i}": x for i in range(6)}, source)
    command = [*CFLOAT, "convert", str(source), str(target), "--format", "CFloat8_1_4_3"]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.monotonic() - start
    expected = target.read_bytes()
    chance = random.Random(3)
    seen = set()
    for _ in range(10):
        target.unlink(missing_ok=True)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(seconds * chance.uniform(0.2, 1.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen.add(target.exists())
        if target.exists():
            assert target.read_bytes() == expected
        for path in tmp_path.glob(".*.tmp"):
            path.unlink()
    assert False in seen


def test_memory_is_bounded(tmp_path):
    """A file that is larger than what the conversion may take."""
    source, target = tmp_path / "in.npy", tmp_path / "out.safetensors"
    array = np.lib.format.open_memmap(source, "w+", np.float32, (300, 1 << 18))  # sparse: 300 MiB
    del array
    program = (
        "import resource\n"
        "from cfloat._cli import main as cli\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"cli.main(['convert', {str(source)!r}, {str(target)!r}, '--format', 'CFloat8_1_4_3'])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert int(run.stdout.split()[-1]) < 100 * 1024  # KiB


def test_flags_are_counted(source, tmp_path):
    summary = convert(source, tmp_path / "out.safetensors", Plan(FMT, bias=7))
    assert summary.flags.invalid == 1
    assert summary.flags.overflow == 2
    assert summary.elements == sum(TENSORS[name].size for name in FLOATS)
    assert "2 too large" in summary.to_text()


def test_pytorch_files(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    state = {
        "model": {"w": torch.randn(9, 17), "h": torch.ones(3, dtype=torch.bfloat16)},
        "epoch": 3,
    }
    torch.save(state, tmp_path / "x.pt")
    convert(tmp_path / "x.pt", tmp_path / "out.safetensors", Plan(FMT))
    loaded = cf.load(tmp_path / "out.safetensors")
    assert list(loaded) == ["model.h", "model.w"]
    w = loaded["model.w"]
    np.testing.assert_array_equal(w.codes, cf.encode(state["model"]["w"].numpy(), FMT, w.bias))


def test_pytorch_files_run_nothing(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Boom:
        def __reduce__(self):
            return pytest.fail, ("executed",)

    class System:
        def __reduce__(self):
            return os.system, ("exit 1",)

    loop = {}
    loop["loop"] = loop
    for number, value in enumerate(({"x": Boom()}, loop, {"x": System()})):
        torch.save(value, tmp_path / f"{number}.pt")
        with pytest.raises(cf.FileError) as caught:
            cf.load(tmp_path / f"{number}.pt")
        assert "\n" not in str(caught.value)
    for content in (b"", b"PK" * 100):
        (tmp_path / "x.bin").write_bytes(content)
        with pytest.raises(cf.FileError):
            cf.load(tmp_path / "x.bin")


def test_pytorch_files_need_pytorch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pt").touch()
    with pytest.raises(cf.MissingExtraError, match=r"cfloat\[torch\]"):
        cf.load(tmp_path / "x.pt")


def test_what_is_too_large_for_float16_is_counted(tmp_path):
    coded = tmp_path / "coded.safetensors"
    cf.save(coded, {"w": cf.asarray([4.0, 1e9], cf.CFloat8_1_5_2, bias=0)})
    summary = convert(coded, tmp_path / "out.safetensors", Plan(to="float16"))
    assert summary.flags.overflow == 1
    assert "1 too large" in summary.to_text()
    np.testing.assert_array_equal(load_file(tmp_path / "out.safetensors")["w"], [4, np.inf])


def test_a_file_beside_an_index_that_would_be_read_instead(source, tmp_path):
    convert(shard(tmp_path / "in", TENSORS), tmp_path / "out", Plan(FMT))
    before = names_in(tmp_path / "out")
    with pytest.raises(cf.FileError, match="would be read instead"):
        convert(source, tmp_path / "out", Plan(FMT))
    assert names_in(tmp_path / "out") == before


@pytest.mark.parametrize("given", ["", "model.safetensors.index.json", "x.safetensors.index.json"])
def test_shards_beside_a_file_that_would_be_read_instead(tmp_path, given):
    index = shard(tmp_path / "in", TENSORS)
    (tmp_path / "out").mkdir()
    single = tmp_path / "out" / ("x" if given.startswith("x") else "model")
    single = single.with_suffix(".safetensors")
    single.write_text("older weights")
    with pytest.raises(cf.FileError, match=f"{single.name}: would be read instead"):
        convert(index, tmp_path / "out" / given, Plan(FMT))
    assert names_in(tmp_path / "out") == [single.name]
    single.unlink()
    convert(index, tmp_path / "out" / given, Plan(FMT))


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_folder_of_two_checkpoints(tmp_path, kind):
    index = shard(tmp_path / "in", TENSORS)
    single = index.parent / "model.safetensors"
    if kind == "bin":
        index = index.rename(index.parent / "pytorch_model.bin.index.json")
        single = index.parent / "pytorch_model.bin"
    single.write_bytes(b"")
    with pytest.raises(
        cf.FileError, match=f"both {single.name} and {index.name}, which are of two"
    ):
        cf.load(tmp_path / "in")
    if kind == "bin":
        return
    assert set(cf.load(index)) == set(TENSORS)
    # an index of that one file
    save_file(TENSORS, single)
    index.write_text(json.dumps({"weight_map": dict.fromkeys(TENSORS, single.name)}))
    assert set(cf.load(tmp_path / "in")) == set(TENSORS)


def test_names_of_biases_that_another_shard_has(tmp_path):
    tensors = {"v": np.ones(3), "w": np.ones((2, 2)), "w.cfloat_bias": np.array([3])}
    index = shard(tmp_path / "in", tensors)
    with pytest.raises(cf.FileError, match=r"two tensors 'w\.cfloat_bias'"):
        convert(index, tmp_path / "out", Plan(FMT, axis=0))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("start", ["x" * 110, "\N{GRINNING FACE}" * 55])
def test_shards_of_long_names_that_start_alike(tmp_path, start):
    index = shard(tmp_path / "in", {"a": np.ones(3), "b": np.ones(3), "c": np.ones(3)})
    said = json.loads(index.read_text())
    for file in set(said["weight_map"].values()):
        (tmp_path / "in" / file).rename(tmp_path / "in" / f"{start}{file}")
    said["weight_map"] = {name: start + file for name, file in said["weight_map"].items()}
    index.write_text(json.dumps(said))
    convert(index, tmp_path / "out", Plan(FMT))
    assert names_in(tmp_path / "out") == names_in(tmp_path / "in")
    assert list(cf.load(tmp_path / "out")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bias", "7", "--axis", "0"], "--bias 7 is one for all"),
        (["--bias", "default", "--block", "32"], "--bias 'default' is one for all"),
        (["--seed", "3"], "--seed goes with --rounding stochastic"),
    ],
)
def test_options_that_would_have_no_effect(source, tmp_path, options, message):
    target = tmp_path / "out.safetensors"
    result = cfloat("convert", str(source), str(target), "--format", FMT.name, *options)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not target.exists()


def test_tensors_of_nested_mappings_that_get_one_name():
    nested = {"a": {"b": np.ones(2)}, "a.b": np.zeros(3)}
    with pytest.raises(ValueError, match=r"'a\.b' is there twice"):
        read_torch.by_name(read_torch.tensors_in(nested, np.ndarray))


def test_tensors_in_lists_are_named_by_their_places():
    x, y, z = np.ones(2), np.zeros(3), np.arange(4)
    nested = {"groups": [{"m": x}, (y, 5)], "z": z}
    found = dict(read_torch.tensors_in(nested, np.ndarray))
    assert list(found) == ["groups.0.m", "groups.1.0", "z"]
    assert found["groups.0.m"] is x
    assert found["groups.1.0"] is y


def test_lists_that_hold_themselves():
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested without end"):
        list(read_torch.tensors_in(endless, np.ndarray))


def test_a_new_folder_goes_with_what_was_to_be_in_it(source, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(encoding.Encoding, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "new", Plan(FMT))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("how", [{}, {"axis": 0}, {"axis": 1}, {"block": 1000}], ids=str)
def test_a_percentile_leaves_out_as_many_as_choose_bias(tmp_path, dtype, how):
    """Of each row's 1000 elements one may be beyond: so many it leaves out, and not two."""
    x = np.full((2, 1000), 1.875, dtype)
    x[0, 0] = x[1, :2] = 2
    save_file({"x": x}, tmp_path / "in.safetensors")
    convert(
        tmp_path / "in.safetensors",
        tmp_path / "out.safetensors",
        Plan(FMT, bias="percentile", **how),
    )
    found = np.asarray(cf.load(tmp_path / "out.safetensors")["x"].bias).ravel()
    chosen = np.asarray(cf.choose_bias(x, FMT, "percentile", **how)).ravel()
    assert found.tolist() == chosen.tolist()
    if how == {"axis": 0}:
        assert found.tolist() == [15, 14]
