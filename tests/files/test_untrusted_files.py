"""Reading files, none of which is trusted."""

import json
import os
import pickle
import shutil
import signal
import stat
import struct
import subprocess
import tracemalloc
import zipfile

import ml_dtypes
import mutations
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files.replace import write_text
from cfloat._files.stored_values import StoredValues

# JAX, which another test may have imported, warns of every fork
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def write_sample(path):
    if path.suffix == ".npy":
        np.save(path, X)
    elif path.suffix == ".npz":
        np.savez_compressed(path, a=X, b=X.T)
    else:
        save_file({"a": X, "b": np.ascontiguousarray(X.T)}, path)
    return path


@pytest.fixture(params=[".npy", ".npz", ".safetensors"])
def sample(request, tmp_path):
    return write_sample(tmp_path / f"sample{request.param}")


def test_reads_what_was_written(sample):
    tensors = dict(StoredValues(sample))
    names = ["sample"] if sample.suffix == ".npy" else ["a", "b"]
    assert list(tensors) == names
    np.testing.assert_array_equal(tensors[names[0]], X)
    with pytest.raises(KeyError):
        StoredValues(sample)["missing"]


def read_all(path):
    """Read every tensor; return the message if the file is refused."""
    try:
        dict(StoredValues(path))
    except cf.FileError as error:
        message = str(error)
        assert str(path) in message
        assert "\n" not in message
        return message
    return None


def test_truncated_anywhere(sample):
    content = sample.read_bytes()
    for length in range(0, len(content), 7):
        sample.write_bytes(content[:length])
        assert read_all(sample) is not None, length


def test_random_bytes(sample):
    rng = np.random.default_rng(5)
    for size in (1, 8, 100, 5000):
        sample.write_bytes(rng.bytes(size))
        assert read_all(sample) is not None


@given(data=st.data())
def test_damaged_bytes_are_refused_or_read(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from([".npy", ".npz", ".safetensors"]))
    path = write_sample(tmp_path_factory.mktemp("damaged") / f"sample{suffix}")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    read_all(path)  # any other exception fails the test


class Boom:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_nothing_is_unpickled(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"evil{suffix}"
    array = np.array([Boom()], dtype=object)
    (np.save if suffix == ".npy" else np.savez)(path, array, allow_pickle=True)
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("executed"))
    assert "pickled Python objects" in read_all(path)


def test_a_raw_pickle_is_refused(tmp_path):
    for suffix in (".npy", ".npz", ".safetensors"):
        path = tmp_path / f"evil{suffix}"
        path.write_bytes(pickle.dumps(Boom()))
        assert read_all(path) is not None


def npy_bytes(header):
    text = repr(header).encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "shape", [(10**12,), (2**62, 8), (-1,), (3,), (0, 10**15), (2**40, 2**40, 0)], ids=str
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_header_that_lies_takes_no_memory(tmp_path, suffix, shape):
    path = tmp_path / f"lie{suffix}"
    content = npy_bytes({"descr": "<f8", "fortran_order": False, "shape": shape}) + b"\0" * 8
    if suffix == ".npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", content)
    assert "its header says" in read_all(path)


@pytest.mark.parametrize("version", [(4, 0), (1, 255), (255, 255), (0, 0)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_versions_of_arrays_that_are_not_known(tmp_path, suffix, version):
    path = tmp_path / f"x{suffix}"
    content = npy_bytes({"descr": "<f4", "fortran_order": False, "shape": (3,)})
    content = bytearray(content + b"\0" * 12)
    content[6:8] = version
    content[8:8] = b"" if version == (1, 255) else content[8:10] + b"\0\0"
    if suffix == ".npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", content)
    assert "of NumPy's format is not known" in read_all(path)


@pytest.mark.parametrize("length", [2**31, 2**32 - 1])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_length_of_a_header_that_lies_takes_no_memory(tmp_path, suffix, length):
    """Nor does an archive whose directory claims to be so long."""
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        path.write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", length) + bytes(100))
    else:
        np.savez(path, a=X)
        content = path.read_bytes()
        end = content.rindex(b"PK\5\6")
        path.write_bytes(content[: end + 12] + struct.pack("<I", length) + content[end + 16 :])
    tracemalloc.start()
    assert read_all(path) is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 24


@pytest.mark.slow
def test_zip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr("cfloat._files.zip_bombs._BOMB_BYTES", 1 << 28)
    path = tmp_path / "bomb.npz"
    header = npy_bytes({"descr": "<f8", "fortran_order": False, "shape": (2**26,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header + bytes(8 * 2**26))
    assert path.stat().st_size < 1_000_000
    assert "zip bomb" in read_all(path)


@pytest.mark.parametrize("place", ["data/0", "data/9", "data.pkl", "version"])
def test_zip_bomb_of_pytorch(tmp_path, monkeypatch, place):
    """Records are unpacked all at once; what is packed as measured tensors are is read."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("cfloat._files.zip_bombs._TOGETHER_BYTES", 1 << 20)
    path, packed = tmp_path / "x.pt", tmp_path / "packed.pt"
    torch.save({"a": torch.zeros(1 << 19), "b": torch.arange(1 << 19)}, path)

    def pack(places, more=()):
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w") as new:
            for info in old.infolist():
                data = old.read(info) + bytes((info.filename[2:] in more) << 22)
                new.writestr(info.filename, data, 8 if info.filename[2:] in places else 0)
            if "data/9" in places:
                new.writestr("x/data/9", bytes(1 << 22), zipfile.ZIP_DEFLATED)
        return packed

    assert "zip bomb" in read_all(pack({place}, {place} - {"data/0"}))
    pack({"data/1"})
    np.testing.assert_array_equal(cf.load(packed)["b"], np.arange(1 << 19))


def test_duplicate_members(tmp_path):
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", b"")
    assert "two members have the same name" in read_all(path)


def safetensors_bytes(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"nope",
        safetensors_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 4),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"\0" * 8),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, b"\0" * 8),
        safetensors_bytes({"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
        safetensors_bytes(
            {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"\0" * 8
        ),
        safetensors_bytes(
            {
                "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
            },
            b"\0" * 12,
        ),
    ],
)
def test_hostile_safetensors(tmp_path, content):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content)
    assert read_all(path) is not None


@pytest.mark.parametrize(
    "name",
    [
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
        "float8_e4m3fnuz",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
    ],
)
def test_narrow_floats_are_widened(tmp_path, name):
    dtype = np.dtype(getattr(ml_dtypes, name))
    codes = np.arange(2 ** (8 * dtype.itemsize)).astype(f"u{dtype.itemsize}").reshape(2, -1)
    save_file(
        {"a": codes.view(dtype), "b": X, "c": np.empty((0, 3), dtype)}, tmp_path / "x.safetensors"
    )
    tensors = StoredValues(tmp_path / "x.safetensors")
    assert [tensors.dtype_name(key) for key in tensors] == [name, "float32", name]
    np.testing.assert_array_equal(tensors["a"], codes.view(dtype).astype(np.float32))
    assert tensors["a"].dtype == np.float32
    np.testing.assert_array_equal(tensors["b"], X)
    assert tensors["c"].shape == (0, 3)


def test_other_dtypes_are_not_called_damaged(tmp_path):
    path = tmp_path / "x.safetensors"
    header = {"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}
    path.write_bytes(safetensors_bytes(header, b"\0\0"))
    message = read_all(path)
    assert "damaged" not in message
    assert "F4 is not supported" in message


def test_many_tensors_are_read_in_linear_time(tmp_path, monkeypatch):
    path = tmp_path / "many.npz"
    np.savez(path, **{f"t{i}": X for i in range(50)})
    opened = []
    original = zipfile.ZipFile.__init__
    monkeypatch.setattr(
        zipfile.ZipFile, "__init__", lambda *a, **k: (opened.append(1), original(*a, **k))[1]
    )
    assert len(dict(StoredValues(path))) == 50
    assert len(opened) == 1


def test_a_checksum_that_does_not_fit(tmp_path):
    """A stored member, of which a byte has changed, is not what was written."""
    path = tmp_path / "x.npz"
    np.savez(path, a=X)
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    assert "Bad CRC-32" in read_all(path)
    with pytest.raises(cf.FileError, match="Bad CRC-32"):
        cf.load(path)["a"]


@pytest.mark.parametrize("front", [b"#!/bin/sh\n", b"\x93NUMPY\1\0", b"PK--"], ids=repr)
def test_an_archive_behind_something_else(tmp_path, front):
    """It would be found, but NumPy reads none."""
    path = tmp_path / "x.npz"
    np.savez(path, a=X)
    path.write_bytes(front + path.read_bytes())
    with pytest.raises(ValueError, match=r"allow_pickle|header"):
        np.load(path)
    assert "does not begin as a zip archive" in read_all(path)


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a crash needs a process of its own: no fork here"
)
@pytest.mark.parametrize("kind", mutations.OWN)
def test_damaged_files_are_read_as_their_own_readers_do(kind):
    """A few here; ``python tests/support/mutations.py --count 100000`` is more."""
    if kind == "torch":
        pytest.importorskip("torch", reason="torch is not installed")
    counts, faults = mutations.stress(kind, 0, 500)
    assert not faults
    assert counts.total() == 500
    assert counts["refused there, refused"] > 20
    assert counts["read there, read"] > 20


@pytest.mark.slow
def test_damaged_files_on_python_3_13():
    """Its zipfile and its pickle differ from 3.11's; one that has the package is taken from the path."""
    python = shutil.which("python3.13")
    modules = (
        "import cfloat, ml_dtypes, numpy, safetensors, sys; sys.exit(sys.version_info < (3, 13))"
    )
    if (
        python is None
        or subprocess.run(
            [python, "-P", "-c", modules], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("no python3.13 in which the package is installed")
    run = subprocess.run(
        [python, "-P", mutations.__file__, "--count", "2000"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "files on Python 3.13" in run.stdout
    assert ", 0 faults" in run.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a crash needs a process of its own: no fork here"
)
def test_damaged_files_that_are_read_wrong_would_be_found(monkeypatch):
    """Values, a crash and a wrong exception are seen by the comparison itself."""

    def wrong(path, original=mutations.our_reading):
        found, faults = original(path)
        if found != mutations.REFUSED and path.stat().st_size % 7 == 0:
            found = dict.fromkeys(found, ("<f4", (1,), b"...."))
        return found, faults

    def crashing(self, path):
        os.kill(os.getpid(), signal.SIGKILL)

    def raising(self, path):
        raise IndexError("list index out of range")

    # sound files are read rightly at first
    monkeypatch.setattr(mutations, "our_reading", wrong)
    _, faults = mutations.stress("safetensors", 0, 200)
    assert any("is read as" in fault for fault in faults)
    monkeypatch.undo()
    for broken, says in [(crashing, "exit status -9"), (raising, "exit status 1")]:
        monkeypatch.setattr(StoredValues, "__init__", broken)
        _, faults = mutations.stress("npy", 0, 1)
        assert faults
        assert says in faults[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    assert "not a regular file" in read_all(tmp_path / "x.npy")


@pytest.mark.parametrize("name", ["missing.npy", "missing.npz", "missing.safetensors"])
def test_missing_files(tmp_path, name):
    assert "No such file" in read_all(tmp_path / name)


def test_other_files(tmp_path):
    for name in ("weights.h5", "noext", "a.txt"):
        assert ".safetensors, .bin.index.json, .index.json, .npz, .npy" in read_all(tmp_path / name)
    (tmp_path / "folder.npy").mkdir()
    assert read_all(tmp_path / "folder.npy") is not None


def test_write_text_is_all_or_nothing(tmp_path):
    path = tmp_path / "out.json"
    write_text(path, "one\n")
    write_text(path, "two\n")
    assert path.read_text() == "two\n"
    assert os.listdir(tmp_path) == ["out.json"]
    if os.name == "posix":
        other = tmp_path / "plain"
        other.touch()
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_write_text_that_fails_leaves_nothing(tmp_path, monkeypatch):
    with pytest.raises(cf.FileError, match="No such file"):
        write_text(tmp_path / "missing" / "out.json", "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(cf.FileError, match="directory"):
        write_text(tmp_path / "folder", "text")
    with pytest.raises(cf.FileError, match="not a file name"):
        write_text("", "text")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(cf.FileError, match="No space left"):
            write_text(tmp_path / "out.json", "text")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(os.name != "posix", reason="links and permissions are POSIX's")
def test_write_text_follows_links_and_keeps_permissions(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch(mode=0o600)
    link.symlink_to(target)
    write_text(link, "text")
    assert link.is_symlink()
    assert target.read_text() == "text"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
