"""The disk begins to write a file's bytes while others are converted."""

import mmap
import os
import sys
from itertools import pairwise

import numpy as np
import pytest
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files import tensor_pieces, write_safetensors
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

pytestmark = [
    pytest.mark.quick,
    pytest.mark.skipif(sys.platform != "linux", reason="there is no way to say so"),
]
X = np.random.default_rng(0).standard_normal((100, 3000)).astype(np.float32)


@pytest.fixture
def paths(tmp_path):
    source = tmp_path / "in.safetensors"
    save_file({"w": X}, source)
    return source, tmp_path / "out.safetensors"


@pytest.fixture
def one_thread():
    before = cf.get_num_threads()
    cf.set_num_threads(1)
    yield
    cf.set_num_threads(before)


def test_every_page_is_begun_once_and_before_the_end(paths, one_thread, monkeypatch):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 30_000)
    monkeypatch.setattr(write_safetensors, "_WORTH_IT", 1 << 12)
    calls = []
    advise, write, sync = os.posix_fadvise, os.pwrite, os.fsync

    def advised(descriptor, start, size, advice):
        assert advice == os.POSIX_FADV_DONTNEED
        calls.append(("begun", start, start + size))
        advise(descriptor, start, size, advice)

    def written(descriptor, data, start):
        calls.append(("written", start, start + len(data)))
        return write(descriptor, data, start)

    def synced(descriptor):
        calls.append(("synced", 0, 0))
        sync(descriptor)

    monkeypatch.setattr(os, "posix_fadvise", advised)
    monkeypatch.setattr(os, "pwrite", written)
    monkeypatch.setattr(os, "fsync", synced)
    convert(*paths, Plan(cf.CFloat8_1_4_3))
    kinds = [kind for kind, _, _ in calls]
    assert kinds == ["written", "begun"] * 10 + ["synced"]
    begun = [(start, stop) for kind, start, stop in calls if kind == "begun"]
    assert begun[0][0] == 0
    assert all(stop == start for (_, stop), (start, _) in pairwise(begun))
    assert all(stop % mmap.PAGESIZE == 0 for _, stop in begun)
    # nothing that is yet to be written
    upto = 0
    for kind, _, stop in calls:
        if kind == "written":
            upto = stop
        elif kind == "begun":
            assert upto - mmap.PAGESIZE < stop <= upto


def test_a_system_that_refuses_is_written_to_as_well(paths, monkeypatch):
    convert(*paths, Plan(cf.CFloat8_1_4_3))
    before = paths[1].read_bytes()
    refusals = []

    def refuses(*arguments):
        refusals.append(arguments)
        raise OSError

    monkeypatch.setattr(os, "posix_fadvise", refuses)
    convert(*paths, Plan(cf.CFloat8_1_4_3))
    assert refusals
    assert paths[1].read_bytes() == before


def test_a_few_bytes_are_left_to_the_end(tmp_path, monkeypatch):
    source = tmp_path / "in.safetensors"
    save_file({"w": X[:10]}, source)
    monkeypatch.setattr(os, "posix_fadvise", None)
    convert(source, tmp_path / "out.safetensors", Plan(cf.CFloat8_1_4_3))


def test_where_python_was_built_without_it(paths, monkeypatch):
    monkeypatch.setattr(write_safetensors, "_HAS_ADVICE", False)
    monkeypatch.delattr(os, "posix_fadvise")
    convert(*paths, Plan("CFloat8_1_4_3"))
    assert cf.load(paths[1])["w"].shape == X.shape
