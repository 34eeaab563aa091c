"""Files that change, are replaced or are read by many at once, and damage that only their readers notice."""

import io
import json
import os
import pickle
import subprocess
import sys
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from checkpoint_files import shard
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files import opened_file
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.opened_file import OpenedFile
from cfloat._files.reader import open_source
from cfloat._files.stored_values import StoredValues

OLD = {f"t{i}": np.full((300, 200), i, np.float32) for i in range(3)}
NEW = {f"t{i}": np.full((100, 90), -i, np.float32) for i in range(5)}


def write(path, tensors):
    if path.suffix == ".npz":
        np.savez(path, **tensors)
    elif path.suffix == ".npy":
        np.save(path, next(iter(tensors.values())))
    elif path.suffix == ".pt":
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, path)
    else:
        save_file(tensors, path)
    return path


@pytest.fixture(params=[".safetensors", ".npy", ".npz", ".pt"])
def path(request, tmp_path):
    return write(tmp_path / f"x{request.param}", OLD)


def assert_old(checkpoint):
    for name in checkpoint:
        expected = OLD.get(name, OLD["t0"])  # an array in a .npy has its file's name
        np.testing.assert_array_equal(checkpoint[name], expected)


def test_a_file_that_is_replaced_is_read_as_it_was(path):
    checkpoint = cf.load(path)
    write(path.with_stem("new"), NEW).replace(path)
    assert_old(checkpoint)
    assert len(cf.load(path)) in (1, len(NEW))


def test_a_file_that_save_replaces(tmp_path):
    path = write(tmp_path / "x.safetensors", OLD)
    checkpoint = cf.load(path)
    cf.save(path, NEW)
    assert_old(checkpoint)


def test_a_shard_that_is_replaced(tmp_path):
    checkpoint = cf.load(shard(tmp_path / "in", OLD))
    for i in range(3):
        write(tmp_path / "new.safetensors", NEW).replace(tmp_path / "in" / f"model-{i}.safetensors")
    assert_old(checkpoint)


@pytest.mark.parametrize("how", ["overwritten", "truncated", "longer"])
def test_a_file_that_changes_is_refused(path, how):
    checkpoint = cf.load(path)
    content = path.read_bytes()
    with path.open("r+b") as stream:
        if how == "overwritten":
            stream.write(content[:-9] + b"\1" * 9)
        elif how == "truncated":
            stream.truncate(len(content) // 2)
        else:
            stream.seek(0, os.SEEK_END)
            stream.write(b"\0")
    for name in checkpoint:
        with pytest.raises(cf.FileError, match="it has changed since it was opened"):
            checkpoint[name]


@pytest.mark.parametrize("left", [0, 0.5, 0.99])
def test_a_file_that_is_truncated_while_it_is_converted(path, left, monkeypatch):
    """Where a file is mapped, that is a SIGBUS."""
    content, target = path.read_bytes(), path.with_name("out.safetensors")
    original = OpenedFile._read
    reads, when = [], [None]

    def truncating(self, descriptor, start, view):
        reads.append(start)
        if len(reads) == when[0]:
            os.truncate(path, int(left * len(content)))
        return original(self, descriptor, start, view)

    monkeypatch.setattr(OpenedFile, "_read", truncating)
    convert(path, target, Plan(cf.CFloat8_1_4_3))
    target.unlink()
    for when[0] in {2, len(reads) // 2 + 1, len(reads)}:
        reads.clear()
        path.write_bytes(content)
        with pytest.raises(cf.FileError, match=r"changed|ends before|damaged"):
            convert(path, target, Plan(cf.CFloat8_1_4_3))
        assert os.listdir(path.parent) == [path.name]


def test_another_folder_to_work_in(path, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere / path.name, NEW)
    monkeypatch.chdir(tmp_path)
    checkpoint = cf.load(path.name)
    source = pickle.dumps(open_source(checkpoint.path))
    monkeypatch.chdir(elsewhere)
    assert_old(checkpoint)
    assert pickle.loads(source).file.absolute == path


def test_another_process_opens_the_same_file_or_none(path):
    sent = pickle.dumps(open_source(path))
    there = pickle.loads(sent)
    out = np.empty(4, np.uint8)
    there.read_into(there.names[-1], 0, out)
    write(path.with_stem("same"), OLD).replace(path)  # the same content, and not the same file
    with pytest.raises(cf.FileError, match="it has changed since it was opened"):
        pickle.loads(sent)
    path.unlink()
    with pytest.raises(cf.FileError, match="No such file"):
        pickle.loads(sent)


def test_another_process_opens_the_same_shards_or_none(tmp_path):
    sent = pickle.dumps(open_source(shard(tmp_path / "in", OLD)))
    assert pickle.loads(sent).names == list(OLD)
    write(tmp_path / "in" / "model-1.safetensors", {"t1": OLD["t1"]})
    with pytest.raises(cf.FileError, match="it has changed since it was opened"):
        pickle.loads(sent)


def test_a_device_has_a_number_on_its_own_machine_alone(path):
    stamp = open_source(path).file.stamp
    assert not stamp.fits(stamp._replace(device=stamp.device + 1))
    assert stamp.fits(stamp._replace(host="another", device=stamp.device + 1))
    for field in ("inode", "size", "mtime_ns"):
        for host in (stamp.host, "another"):
            other = stamp._replace(host=host, **{field: getattr(stamp, field) + 1})
            assert not stamp.fits(other)


@pytest.mark.parametrize("missing", [["preadv"], ["preadv", "pread"]])
def test_systems_that_read_otherwise(path, monkeypatch, missing):
    for name in missing:
        monkeypatch.delattr(opened_file.os, name, raising=False)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: assert_old(cf.load(path)), range(8)))


def test_systems_without_files_in_memory(path, monkeypatch):
    monkeypatch.delattr(opened_file.os, "memfd_create", raising=False)
    assert_old(cf.load(path))


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_threads_that_read_one_archive(tmp_path, pack, order):
    rng = np.random.default_rng(3)
    tensors = {f"t{i}": rng.standard_normal((200, 101 + i)) for i in range(8)}
    pack(tmp_path / "x.npz", **{k: np.asarray(v, order=order) for k, v in tensors.items()})
    checkpoint = cf.load(tmp_path / "x.npz")
    start = threading.Barrier(8)

    def read(seed):
        start.wait()
        for name in np.random.default_rng(seed).permutation(5 * list(tensors)):
            np.testing.assert_array_equal(checkpoint[name], tensors[name])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))


def test_threads_that_read_pieces_of_members(tmp_path):
    values = np.arange(100_000, dtype=np.int32)
    np.savez(tmp_path / "x.npz", a=values, b=-values)
    source = open_source(tmp_path / "x.npz")

    def read(name):
        out = np.empty(4 * values.size, np.uint8)
        for start in [*range(0, out.size, 4000), 200, 8]:  # and back
            source.read_into(name, start, out[start : start + 4000])
        return out.view(np.int32)

    with ThreadPoolExecutor(4) as pool:
        for name, found in zip("abab", pool.map(read, "abab"), strict=True):
            np.testing.assert_array_equal(found, values if name == "a" else -values)


def test_each_thread_has_its_place_in_a_stream(path):
    """From where a thread is, zipfile goes on, whatever others have read meanwhile."""
    content = path.read_bytes()
    stream = open_source(path).file.stream()
    stream.seek(5)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(stream.tell).result() == 0
        assert pool.submit(stream.read, 20).result() == content[:20]
        assert stream.seek(2, os.SEEK_CUR) == 7
        assert stream.read(9) == content[7:16]
        assert pool.submit(stream.read, 3).result() == content[20:23]
    assert stream.read() == content[16:]
    assert stream.read() == b""


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_a_flipped_byte_is_noticed_as_numpy_does(tmp_path, pack, order):
    """Wherever it is in the data, and also if they are read in pieces."""
    path = tmp_path / "x.npz"
    x = np.random.default_rng(1).standard_normal((70, 30))
    pack(path, a=np.asarray(x, order=order))
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[0]
    content = path.read_bytes()
    first = info.header_offset + 30 + len(info.filename) + 20 + 150
    for place in range(first, info.header_offset + info.compress_size, 997):
        damaged = bytearray(content)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises((zipfile.BadZipFile, zlib.error, ValueError)):
            np.load(path)["a"]
        with pytest.raises(cf.FileError, match=r"CRC|damaged"):
            cf.load(path)["a"]
        with pytest.raises(cf.FileError, match=r"CRC|damaged"):
            dict(StoredValues(path))


@pytest.mark.parametrize("length", [True, False])
def test_a_length_that_is_a_truth_value(tmp_path, length):
    """NumPy's own reader fails at that, later."""
    shape = (6, 8, length)
    text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    content += bytes(4 * 6 * 8 * length)
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(cf.FileError, match="that takes integers"):
        cf.load(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(cf.FileError, match="that takes integers"):
        cf.load(tmp_path / "x.npz")


@pytest.mark.slow
@pytest.mark.parametrize(("value", "members"), [(0.0, 1), (1.5, 2)])
def test_many_zeros_are_no_bomb(tmp_path, value, members):
    """Nor is any other value that is there again and again."""
    size = 80_000_000 // members
    x = np.full(size, value, np.float32)
    np.savez_compressed(tmp_path / "x.npz", **dict.fromkeys("ab"[:members], x))
    source = open_source(tmp_path / "x.npz")
    for name in "ab"[:members]:
        out = np.ones(1 << 22, np.uint8)
        source.read_into(name, source.entries[name].nbytes - out.size, out)
        assert (out.view(np.float32) == value).all()
        assert cf.load(tmp_path / "x.npz").shape_of(name) == (size,)


def test_members_that_share_their_bytes_are_a_bomb(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros((1000, 1000)))
    with zipfile.ZipFile(path, "a") as archive:
        info = archive.infolist()[0]
        for i in range(3):
            other = zipfile.ZipInfo(f"b{i}.npy")
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(other, field, getattr(info, field))
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True
    with pytest.raises(cf.FileError, match="zip bomb"):
        cf.load(path)


# PyTorch's files


def rewritten(path, change):
    """Write an archive anew, each of its records as `change` has it, aligned as PyTorch does it."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            target.writestr(info.filename, change(info.filename, source.read(info)))
    path.write_bytes(out.getvalue())


@pytest.mark.parametrize("size", [6, 300 * 200])
@pytest.mark.parametrize("other", [-400, -4, 4, 100_000])
def test_a_record_of_another_length(tmp_path, size, other):
    """A mapped file would give the bytes of the next record."""
    torch = pytest.importorskip("torch")
    if size * 4 + other < 0:
        other = -8
    path = tmp_path / "x.pt"
    tensors = {"a": torch.arange(size, dtype=torch.float32), "b": torch.ones(40_000)}
    for cut in ("data/0", "data/1"):
        torch.save(tensors, path)

        def change(name, data, cut=cut):
            if not name.endswith(cut):
                return data
            return data[:other] if other < 0 else data + bytes(other)

        rewritten(path, change)
        with pytest.raises(RuntimeError):
            torch.load(path)
        with pytest.raises(cf.FileError, match="damaged"):
            dict(cf.load(path))


@pytest.mark.parametrize("claimed", [0, 2, 4])
def test_a_record_of_another_length_of_an_empty_tensor(tmp_path, claimed):
    """PyTorch compares lengths, but not where it maps the file."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(3)[:0], "b": torch.ones(40_000)}, path)
    assert cf.load(path)["a"].shape == (0,)
    # the storage's elements are the first 3 that are pushed
    rewritten(
        path,
        lambda name, data: (
            data.replace(b"K\3t", bytes([ord("K"), claimed, ord("t")]), 1)
            if name.endswith("data.pkl")
            else data
        ),
    )
    with pytest.raises(RuntimeError, match="does not match"):
        torch.load(path)
    with pytest.raises(cf.FileError, match="its record has 12"):
        cf.load(path)


@pytest.mark.parametrize("record", ["data/0", "data/1"])
def test_a_record_that_cannot_be_unpacked(tmp_path, record):
    """PyTorch gives what its memory has then, and says nothing."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    torch.save({"a": torch.arange(6.0), "b": torch.ones(40_000)}, path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        (info,) = (one for one in archive.infolist() if one.filename.endswith(record))
    place = data.index(info.filename.encode(), archive.start_dir) - 46 + 10
    assert data[place : place + 2] == b"\0\0"
    data[place] = zipfile.ZIP_DEFLATED
    path.write_bytes(data)
    with pytest.raises(cf.FileError, match="damaged"):
        cf.load(path)


@pytest.mark.parametrize("shift", [-1, 1, 64])
@pytest.mark.parametrize("record", ["data/0", "data/1"])
def test_a_record_that_is_not_where_the_directory_says(tmp_path, record, shift):
    """PyTorch looks for a record's own header, but not where it maps the file."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    torch.save({"a": torch.arange(6.0), "b": torch.ones(40_000)}, path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        (info,) = (one for one in archive.infolist() if one.filename.endswith(record))
    place = data.index(info.filename.encode(), archive.start_dir) - 4
    assert int.from_bytes(data[place : place + 4], "little") == info.header_offset
    data[place : place + 4] = (info.header_offset + shift).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(RuntimeError, match="invalid header"):
        torch.load(path)
    with pytest.raises(cf.FileError, match="not where the archive's directory says"):
        cf.load(path)


@pytest.mark.parametrize("bottom", [[], None, "tensor"])
def test_shared_nesting_ends(tmp_path, bottom):
    torch = pytest.importorskip("torch")
    d = torch.zeros(2) if bottom == "tensor" else bottom
    for _ in range(40):
        d = [d, d]
    torch.save({"a": d, "b": torch.zeros(3)}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 2500
    if bottom == "tensor":
        with pytest.raises(cf.FileError, match="one inside the other"):
            cf.load(tmp_path / "x.pt")
    else:
        assert list(cf.load(tmp_path / "x.pt")) == ["b"]


def test_long_lists_are_no_nesting(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"step": list(range(1_100_000)), "w": torch.zeros(3)}, tmp_path / "x.pt")
    assert list(cf.load(tmp_path / "x.pt")) == ["w"]


@pytest.mark.parametrize("size", [3, 40_000])
def test_pytorch_tensors_of_all_layouts(tmp_path, size):
    torch = pytest.importorskip("torch")
    base = torch.arange(4 * size, dtype=torch.float32).reshape(4, size)
    tensors = {
        "whole": base,
        "part": base[1:3],
        "turned": base.T,
        "steps": base[::2, 1::3],
        "stretched": torch.arange(size)[:, None].expand(size, 2),
        "wide": base.to(torch.bfloat16).float(),
        "parameter": torch.nn.Parameter(base + 1),
        "one": base[3, 2],
        "none": base[:, :0],
        "half": base.half()[2],
    }
    torch.save(tensors, tmp_path / "x.pt")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("x.pt", "old.pt"):
        loaded = cf.load(tmp_path / name)
        assert set(loaded) == set(tensors)
        for key, tensor in tensors.items():
            np.testing.assert_array_equal(loaded[key], tensor.detach().numpy())


def test_a_packed_pytorch_file(tmp_path):
    """PyTorch unpacks it, if it doesn't map it."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "x.pt"
    torch.save({"w": torch.arange(50_000)}, path)
    out = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w", 8) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    path.write_bytes(out.getvalue())
    expected = torch.load(path)["w"]
    np.testing.assert_array_equal(cf.load(path)["w"], expected)


@pytest.mark.parametrize("change", ["replaced", "gone", "written"])
def test_a_file_for_which_no_descriptor_is_kept(path, monkeypatch, change):
    monkeypatch.setattr(opened_file, "_most_descriptors", lambda: 0)
    assert_old(cf.load(path))
    with ThreadPoolExecutor(4) as pool:
        source = cf.load(path)
        for _ in pool.map(assert_old, [source] * 8):
            pass
    checkpoint = cf.load(path)
    if change == "replaced":
        write(path.with_stem("new"), NEW).replace(path)
    elif change == "gone":
        path.unlink()
    else:
        write(path, NEW)
    with pytest.raises(cf.FileError, match="it has changed since it was opened"):
        np.asarray(checkpoint[next(iter(checkpoint))])


MANY = """
import resource, sys
import numpy as np
import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
for name, tensor in cf.load(sys.argv[1]).items():
    np.testing.assert_array_equal(tensor, np.full(3, int(name[1:])))
convert(sys.argv[1], sys.argv[2], Plan("CFloat8_1_4_3"))
assert len(cf.load(sys.argv[2])) == 80
"""


def test_more_shards_than_a_process_may_have_files(tmp_path):
    pytest.importorskip("resource")
    (tmp_path / "in").mkdir()
    weight_map = {f"t{i}": f"model-{i}.safetensors" for i in range(80)}
    for i, (name, file) in enumerate(weight_map.items()):
        save_file({name: np.full(3, i, np.float32)}, tmp_path / "in" / file)
    index = tmp_path / "in" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    run = subprocess.run(
        [sys.executable, "-P", "-c", MANY, tmp_path / "in", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
