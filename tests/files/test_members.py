"""Members of a file that are no tensors which can be converted: passed through, or left out and named."""

import argparse
import copy
import json
import pickle
import warnings
import zipfile
from collections import OrderedDict, defaultdict, deque

import ml_dtypes
import numpy as np
import pytest
from commands import cfloat, main_refused, names_in, refused, succeeded
from safetensors.numpy import load_file, save_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

FMT = cf.CFloat8_1_4_3
W = np.random.default_rng(0).standard_normal((300, 120)).astype(np.float32)
Z = (W[:3] + 1j * W[3:6]).astype(np.complex64)
TO = ("--format", FMT.name)


class Boom:
    def __reduce__(self):
        return exec, ("import os; os._exit(1)",)


def npz(folder):
    path = folder / "x.npz"
    objects = np.array([Boom()], dtype=object)
    np.savez(
        path, w=W, z=Z, ids=np.arange(3), text=np.array(["a", "b"]), objects=objects, wide=Z.astype(complex),
        when=np.array(["2026-01-01"], "datetime64[D]"), record=np.zeros(2, [("a", "f4"), ("b", "i4")]),
    )  # fmt: skip
    return path


NPZ_REASONS = {
    "objects": "pickled Python objects",
    "record": "is not supported",
    "text": "<U1 is not supported",
    "when": "datetime64[D] is not supported",
    "wide": "complex128 is not supported",
}


def pt(folder, w=W):
    torch = pytest.importorskip("torch")
    path = folder / "x.pt"
    members = {
        "w": torch.from_numpy(w),
        "z": torch.from_numpy(Z),
        "ids": torch.arange(3),
        "text": "a",
        "objects": Boom(),
        "wide": torch.from_numpy(Z.astype(complex)),
        "optimizer": {"lr": 0.1, "groups": [{"betas": (0.9, 0.999)}]},
        "sparse": torch.eye(3).to_sparse(),
        "nested": {"v": torch.ones(3), "step": 7},
    }
    with warnings.catch_warnings(action="ignore"):
        members["quantised"] = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
        torch.save(members, path)
    return path


PT_REASONS = {
    "nested.step": "no tensor: int",
    "objects": "an object of builtins.exec, and none is unpickled",
    "optimizer": "no tensor: dict",
    "quantised": "qint8, torch.strided is not supported",
    "sparse": "torch.sparse_coo is not supported",
    "text": "no tensor: str",
    "wide": "complex128, torch.strided is not supported",
}

KINDS = {"npz": (npz, NPZ_REASONS), "pt": (pt, PT_REASONS)}


@pytest.fixture(params=KINDS)
def members(request, tmp_path, monkeypatch):
    write, reasons = KINDS[request.param]
    path = write(tmp_path)
    # neither runs what a file says
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    return path, reasons


def test_load_lists_what_it_cannot_read(members):
    path, reasons = members
    tensors = cf.load(path)
    assert list(tensors.unreadable) == sorted(reasons)
    for name, reason in reasons.items():
        assert reason in tensors.unreadable[name]
        assert name not in tensors
        with pytest.raises(cf.FileError, match=rf"x\.\w+: {name}: ") as caught:
            tensors[name]
        assert "\n" not in str(caught.value)
    assert not set(tensors) & set(reasons)
    np.testing.assert_array_equal(tensors["w"], W)
    np.testing.assert_array_equal(tensors["z"], Z)
    with pytest.raises(KeyError):
        tensors["missing"]


def test_convert_passes_through_what_has_a_place(members, tmp_path):
    path, reasons = members
    target = tmp_path / "out.safetensors"
    lines = succeeded(cfloat("convert", path, target, *TO)).splitlines()
    (line,) = (line for line in lines if "left out" in line)
    assert line.startswith(f"{len(reasons)} left out: ")
    # as other readers have it
    found = load_file(target)
    np.testing.assert_array_equal(found["z"], Z)
    assert found["z"].dtype == np.complex64
    np.testing.assert_array_equal(found["ids"], np.arange(3))
    assert not set(found) & set(reasons)
    said = json.loads(succeeded(cfloat("convert", path, target, *TO, "--json")))["unreadable"]
    assert list(said) == sorted(reasons)


def test_info_and_report_name_them(members):
    path, reasons = members
    line = succeeded(cfloat("info", path)).splitlines()[-1]
    assert line.startswith(f"{len(reasons)} not readable: ")
    said = json.loads(succeeded(cfloat("info", path, "--json")))
    assert list(said["unreadable"]) == sorted(reasons)
    result = cf.report(path, [FMT])
    assert reasons.keys() <= result.skipped.keys()
    assert "w" in {row.tensor for row in result.rows}


def test_what_is_asked_for_and_cannot_be(members, tmp_path, capsys):
    path, reasons = members
    target = tmp_path / "out.safetensors"
    for name in ("text", "w*e"):
        line = main_refused(capsys, "convert", path, target, *TO, "--include", name)
        assert "cannot be converted: " in line
        assert any(reasons[each] in line for each in ("text", "wide"))
    line = main_refused(capsys, "convert", path, target, *TO, "--strict")
    assert all(name in line for name in sorted(reasons)[:1])
    main_refused(capsys, "convert", path, target, *TO, "--strict", "--exclude", "text")
    assert names_in(tmp_path) == [path.name]
    # what is excluded by its name may go
    convert(path, target, Plan(FMT, strict=True, exclude=tuple(reasons)))
    assert "w" in load_file(target)


def test_damage_refuses_the_whole_file(tmp_path):
    path = npz(tmp_path)
    content = path.read_bytes()
    # the first array's header, and an object's magic number
    for place in (content.index(b"\x93NUMPY"), content.rindex(b"\x93NUMPY")):
        broken = bytearray(content)
        broken[place + 8] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises(cf.FileError):
            cf.load(path)


def test_a_file_of_nothing_else(tmp_path):
    np.save(tmp_path / "wide.npy", np.ones(3, complex))
    assert list(cf.load(tmp_path / "wide.npy").unreadable) == ["wide"]
    run = cfloat("convert", tmp_path / "wide.npy", tmp_path / "out.safetensors", *TO)
    assert "nothing to convert: no floating-point tensor; wide: complex128" in refused(run)


def test_names_of_members_are_printed_safely(tmp_path):
    np.savez(tmp_path / "x.npz", **{"w": W, "a\nb\x1b[31m": np.array(["x"])})
    for arguments in (
        ("info", tmp_path / "x.npz"),
        ("convert", tmp_path / "x.npz", tmp_path / "o.safetensors", *TO),
    ):
        text = succeeded(cfloat(*arguments))
        assert "\x1b" not in text
        assert "a\\nb" in text.splitlines()[-1]


def test_complex64_is_saved_and_loaded(tmp_path):
    path = tmp_path / "x.safetensors"
    cf.save(path, {"z": Z, "big-endian": Z.astype(">c8"), "w": cf.asarray(W, FMT)})
    found = load_file(path)
    np.testing.assert_array_equal(found["z"], Z, strict=True)
    np.testing.assert_array_equal(found["big-endian"], Z)
    np.testing.assert_array_equal(cf.load(path)["z"], Z, strict=True)
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch

    assert torch.equal(load_torch(path)["z"], torch.from_numpy(Z))
    for wide in (Z.astype(np.complex128), np.array(1j)):
        with pytest.raises(
            cf.ArgumentTypeError, match=r"'z' has dtype complex128; it takes .*complex64"
        ):
            cf.save(path, {"z": wide})


def test_complex64_in_a_safetensors_file_is_copied(tmp_path):
    save_file({"z": Z, "w": W}, tmp_path / "in.safetensors")
    convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors", Plan(FMT))
    np.testing.assert_array_equal(load_file(tmp_path / "out.safetensors")["z"], Z, strict=True)
    assert cf.load(tmp_path / "out.safetensors").dtype_name("z") == "complex64"


NARROW = {
    "F4": "float4_e2m1fn_x2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
VALUES = {
    stored: raw.view(getattr(ml_dtypes, dtype)).astype(np.float32)
    for raw in [np.arange(256, dtype=np.uint8)]
    for stored, dtype in NARROW.items()
    if stored != "F4"
}


@pytest.mark.parametrize("rows", [4, 400], ids=["small", "large"])
@pytest.mark.parametrize("stored", NARROW)
def test_other_dtypes_of_safetensors_are_copied(tmp_path, stored, rows):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch
    from safetensors.torch import save_file as save_torch

    raw = torch.arange(rows * 512).reshape(rows, 512).to(torch.uint8)
    tensors = {"x": raw.view(getattr(torch, NARROW[stored])), "w": torch.from_numpy(W)}
    torch.save(tensors, tmp_path / "in.pt")
    save_torch(tensors, tmp_path / "in.safetensors")
    for name in ("in.pt", "in.safetensors"):
        target = tmp_path / "out.safetensors"
        summary = convert(tmp_path / name, target, Plan(FMT))
        assert summary.copied == ["x"]
        assert cf.load(target).stored_dtype("x") == stored
        found = load_torch(target)["x"]
        assert found.dtype == tensors["x"].dtype
        assert torch.equal(found.view(torch.uint8), raw)
        if stored in VALUES:  # of one byte each
            values = cf.load(target)["x"]
            np.testing.assert_array_equal(values, VALUES[stored][raw.numpy()], strict=True)
            continue
        with pytest.raises(cf.FileError, match=f"{stored} is not supported"):
            cf.load(target)["x"]


@pytest.mark.parametrize("stored", ["F6_E2M3", "F6_E3M2"])
def test_a_dtype_that_only_the_header_knows_is_copied(tmp_path, stored):
    header = {
        "x": {"dtype": stored, "shape": [2, 16], "data_offsets": [0, 24]},
        "w": {"dtype": "F32", "shape": [3], "data_offsets": [24, 36]},
    }
    text = json.dumps(header).encode()
    data = bytes(range(24)) + np.ones(3, "<f4").tobytes()
    path = tmp_path / "in.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    convert(path, tmp_path / "out.safetensors", Plan(FMT))
    out = (tmp_path / "out.safetensors").read_bytes()
    assert bytes(range(24)) in out
    assert cf.load(tmp_path / "out.safetensors").shape_of("x") == (2, 16)


def test_tensors_of_a_class_of_their_own(tmp_path):
    torch = pytest.importorskip("torch")
    two_tensor = pytest.importorskip("torch.testing._internal.two_tensor")
    for w in (W, W[:2]):
        wrapped = two_tensor.TwoTensor(torch.from_numpy(W), torch.ones(W.shape))
        members = {"w": torch.nn.Parameter(torch.from_numpy(w)), "wrapped": wrapped}
        torch.save(members, tmp_path / "x.pt")
        tensors = cf.load(tmp_path / "x.pt")
        assert list(tensors) == ["w"]
        assert "TwoTensor" in tensors.unreadable["wrapped"]
        np.testing.assert_array_equal(tensors["w"], w)


class Record(dict):
    pass


class Row(list):
    pass


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (defaultdict(list, a=1), set()), (Record(a=1), set()), (Row([1]), set()), (deque([1, 2]), set()),
        (defaultdict(list, a=[W], b=2), {"n.a.0"}), (Record(a=W, b=Record(c=W)), {"n.a", "n.b.c"}),
        (Row([W, Record(a=W)]), {"n.0", "n.1.a"}), (deque([W], 5), {"n.0"}),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_mappings_and_sequences_of_classes_of_their_own(tmp_path, value, names):
    torch = pytest.importorskip("torch")

    def with_tensors(value):
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        for key in value if isinstance(value, dict) else range(len(value)):
            if not isinstance(value[key], int):
                value[key] = with_tensors(value[key])
        return value

    torch.save({"x": torch.ones(3), "n": with_tensors(copy.deepcopy(value))}, tmp_path / "x.pt")
    loaded = cf.load(tmp_path / "x.pt")
    assert set(loaded) == {"x"} | names
    assert set(loaded.unreadable) == (
        {"n"} if not names else {"n.b"} if "n.a.0" in names else set()
    )
    for name in names:
        np.testing.assert_array_equal(loaded[name], W)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested")
@pytest.mark.parametrize("size", [2, 100_000])
def test_nested_tensors_are_left_out(tmp_path, size):
    torch = pytest.importorskip("torch")
    nested = torch.nested.nested_tensor([torch.ones(size), torch.ones(3)])
    torch.save({"x": torch.arange(3.0), "n": nested}, tmp_path / "x.pt")
    loaded = cf.load(tmp_path / "x.pt")
    np.testing.assert_array_equal(loaded["x"], [0, 1, 2])
    assert loaded.unreadable == {"n": "a nested tensor is not supported"}


@pytest.mark.parametrize("name", ["notes.npy", "notes", "notes.txt"])
@pytest.mark.parametrize("data", [b"", b"text", b"\x93", b"\x93NUMP and more"])
def test_members_of_an_npz_that_are_no_arrays(tmp_path, name, data):
    path = tmp_path / "x.npz"
    np.savez(path, w=W)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, data)
    with np.load(path) as read:  # NumPy gives its bytes
        assert read[name] == data
    loaded = cf.load(path)
    np.testing.assert_array_equal(loaded["w"], W)
    assert loaded.unreadable == {name.removesuffix(".npy"): "not an array"}


@pytest.mark.parametrize("at", [0, 3])
def test_an_array_of_an_npz_whose_mark_is_damaged(tmp_path, at):
    path = tmp_path / "x.npz"
    np.savez(path, w=W, b=W[0])
    data = bytearray(path.read_bytes())
    data[data.index(b"\x93NUMPY") + at] ^= 1
    path.write_bytes(data)
    with pytest.raises(cf.FileError, match=r"w: damaged .*CRC"):
        cf.load(path)


def test_objects_leave_nothing_behind_in_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    path = pt(tmp_path)
    before = set(torch.serialization.get_safe_globals())
    cf.load(path)
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuilb_tensor_v2"),
        (b"torch._utils\n_rebuild_tensor_v2", b"porch._utils\n_rebuild_tensor_v2"),
        (b"torch\nFloatStorage", b"torch\nFloatStoragf"),
        (b"collections\nOrderedDict", b"collectionc\nOrderedDict"),
        (b"argparse\nNamespace", b"argparse\nName!pace"),
    ],
)
def test_names_that_were_damaged_are_no_objects(tmp_path, written, damaged):
    """PyTorch refuses the file: what else was damaged, nobody knows."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "m.pt"
    value = OrderedDict(w=torch.ones(3), args=argparse.Namespace(a=1))
    torch.save(value, path)
    assert list(cf.load(path)) == ["w"]
    with zipfile.ZipFile(path) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in members.items():
            assert (written in data) == info.filename.endswith("data.pkl")
            archive.writestr(info, data.replace(written, damaged))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    with pytest.raises(cf.FileError, match="it is damaged"):
        cf.load(path)


def test_what_only_shards_have(tmp_path):
    torch = pytest.importorskip("torch")
    for number in range(2):
        members = {f"w{number}": torch.from_numpy(W), "step": 3, "text": "a"}
        torch.save(members, tmp_path / f"pytorch_model-{number}.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    weights = {f"w{number}": f"pytorch_model-{number}.bin" for number in range(2)}
    index.write_text(json.dumps({"weight_map": weights}))
    tensors = cf.load(index)
    assert list(tensors) == ["w0", "w1"]
    assert list(tensors.unreadable) == ["step", "text"]
    summary = convert(index, tmp_path / "out", Plan(FMT))
    assert list(summary.unreadable) == ["step", "text"]


def test_ml_dtypes_that_are_not_written_are_named(tmp_path):
    for dtype in ("float8_e3m4", "float4_e2m1fn"):
        with pytest.raises(cf.ArgumentTypeError, match=f"'x' has dtype {dtype}; it takes float64"):
            cf.save(tmp_path / "x.safetensors", {"x": np.ones(3, getattr(ml_dtypes, dtype))})


TORCH_DTYPES = (
    "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz "
    "float8_e8m0fnu int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex64"
).split()


def test_tensors_of_pytorch_are_saved(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch

    path = tmp_path / "x.safetensors"
    # of two megabytes and more in another order, so that they are written in parts
    values = torch.arange(1200 * 900).reshape(1200, 900).remainder(101).float().t()
    tensors = {name: values.to(getattr(torch, name)) for name in TORCH_DTYPES}
    tensors["parameter"] = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.ones(0, 3)
    tensors["conjugate"] = torch.tensor([1 + 2j]).conj()
    cf.save(path, tensors)
    found = load_torch(path)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        stored = tensor.detach().resolve_conj()
        as_bytes = stored.contiguous().reshape(-1).view(torch.uint8)
        assert torch.equal(found[name].reshape(-1).view(torch.uint8), as_bytes)
    np.testing.assert_array_equal(cf.load(path)["bfloat16"], values.numpy())


def test_tensors_of_pytorch_that_are_not_saved(tmp_path):
    torch = pytest.importorskip("torch")
    for tensor, words in (
        (torch.eye(3).to_sparse(), r"'x' is not dense; give it as to_dense\(\) makes it"),
        (torch.ones(3, device="meta"), r"'x' is on meta; it takes tensors in memory, as cpu\(\)"),
        (torch.ones(3, dtype=torch.complex128), "'x' has dtype complex128; it takes float64"),
        (
            torch.tensor([7, 8]).byte().view(torch.float4_e2m1fn_x2),
            "'x' has dtype float4_e2m1fn_x2; it takes",
        ),
        (torch.nn.Linear(2, 2), "'x' is a Linear; of PyTorch's it takes tensors alone"),
        (torch.nn.Buffer(torch.ones(3)), None),
    ):
        if words is None:
            cf.save(tmp_path / "x.safetensors", {"x": tensor})
            continue
        with pytest.raises(cf.ArgumentTypeError, match=words) as caught:
            cf.save(tmp_path / "x.safetensors", {"x": tensor})
        assert "\n" not in str(caught.value)
        assert names_in(tmp_path) == []


def test_arrays_of_jax_are_saved(tmp_path):
    jax = pytest.importorskip("jax")
    tensors = {"w": jax.numpy.asarray(W), "b": jax.numpy.ones(3, jax.numpy.bfloat16)}
    cf.save(tmp_path / "x.safetensors", tensors)
    np.testing.assert_array_equal(cf.load(tmp_path / "x.safetensors")["w"], W)
    assert cf.load(tmp_path / "x.safetensors").stored_dtype("b") == "BF16"


@pytest.mark.parametrize("metadata", [{"a": "\ud800"}, {"\ud800": "a"}], ids=["value", "key"])
def test_metadata_that_no_file_can_have(tmp_path, metadata):
    with pytest.raises(cf.ArgumentValueError, match=r"metadata has .*\\ud800.*; it takes text"):
        cf.save(tmp_path / "x.safetensors", {"w": W}, metadata=metadata)
    assert names_in(tmp_path) == []


def test_an_array_of_jax_that_was_deleted(tmp_path):
    jnp = pytest.importorskip("jax.numpy")
    for array in (jnp.ones(3), jnp.ones((3, 3), jnp.bfloat16)):
        array.delete()
        with pytest.raises(cf.ArgumentValueError, match=r"'w' cannot be read: .*deleted"):
            cf.save(tmp_path / "x.safetensors", {"w": array})
        assert names_in(tmp_path) == []


@pytest.mark.parametrize("tensor", [[1.0], "text", 2.5, None], ids=str)
def test_what_is_no_tensor_is_not_saved(tmp_path, tensor):
    with pytest.raises(cf.ArgumentTypeError, match=r"it takes a CFloatArray, a numpy\.ndarray"):
        cf.save(tmp_path / "x.safetensors", {"x": tensor})
