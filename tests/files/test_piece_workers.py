"""Pieces done by several threads: the same files as by one, and nothing at work when it is over."""

import gc
import threading
import time
import weakref
from contextlib import suppress

import numpy as np
import pytest
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files import copying, encoding, piece_workers, tensor_pieces
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat._files.piece_workers import do_pieces

pytestmark = pytest.mark.quick


@pytest.fixture(params=[1, 2])
def threads(request):
    before = cf.get_num_threads()
    cf.set_num_threads(request.param)
    yield request.param
    cf.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_piece_is_done_once(count):
    done = []
    do_pieces(lambda piece, worker: done.append((piece, worker)), range(50), count)
    assert sorted(piece for piece, _ in done) == list(range(50))
    assert {worker for _, worker in done} <= set(range(count))


def test_two_are_at_work_at_once():
    both = threading.Barrier(2, timeout=30)
    do_pieces(lambda piece, worker: both.wait(), range(2), 2)


@pytest.mark.parametrize("failing", [0, 1, 7])
def test_the_first_error_is_raised_when_nothing_is_at_work(failing):
    at_work = []

    def work(piece, worker):
        at_work.append(piece)
        time.sleep(0.001)
        at_work.remove(piece)
        if piece >= failing:
            raise ValueError(f"piece {piece}")

    with pytest.raises(ValueError, match=f"piece {failing}"):
        do_pieces(work, range(1000), 2)
    assert at_work == []


@pytest.mark.parametrize(
    ("failing", "error"), [(0, ValueError), (3, OSError), (1, KeyboardInterrupt)]
)
def test_an_error_keeps_nothing_once_it_is_handled(failing, error):
    class Memory:
        pass

    held = []

    def work(piece, worker):
        memory = Memory()
        held.append(weakref.ref(memory))
        if piece >= failing:
            raise error(piece)

    gc.disable()
    try:
        with suppress(error):
            do_pieces(work, range(100), 2)
        assert held
        assert all(reference() is None for reference in held)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "how", [{"bias": "mse"}, {"bias": "max", "axis": 0}, {"bias": "mse", "axis": 1}], ids=str
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_an_error_of_the_callback_is_not_the_files(tmp_path, monkeypatch, how, dtype, threads):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 500)
    save_file({name: np.ones((40, 60), dtype) for name in "ab"}, tmp_path / "in.safetensors")

    def tell(done, all_of_it):
        raise ValueError("its own")

    with pytest.raises(ValueError, match=r"^its own$"):
        convert(
            tmp_path / "in.safetensors",
            tmp_path / "out.safetensors",
            Plan("CFloat8_1_4_3", **how),
            tell,
        )


def test_an_exception_of_this_thread_waits_for_the_other():
    started, done = threading.Event(), threading.Event()

    def work(piece, worker):
        if worker == 1:
            started.set()
            time.sleep(0.05)
            done.set()
            return
        assert started.wait(30)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do_pieces(work, range(1000), 2)
    assert done.is_set()


def test_this_thread_alone_tells_of_pieces():
    told, by = [], set()

    def tell(piece):
        told.append(piece)
        by.add(threading.get_ident())

    do_pieces(lambda piece, worker: time.sleep(0.001), range(40), 2, tell)
    assert sorted(told) == list(range(40))
    assert by == {threading.get_ident()}


def test_progress_is_told_by_the_caller(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 100)
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    cf.save(source, {"a": growing()})
    for bias in ("max", "mse", 3):
        told = []
        convert(
            source,
            target,
            Plan(cf.CFloat8_1_4_3, bias=bias),
            lambda *call: told.append((*call, threading.get_ident())),  # noqa: B023
        )
        assert {ident for *_, ident in told} == {threading.get_ident()}
        assert [total for _, total, _ in told] == [60 * 50 * 4] * len(told)
        assert told[-1][0] == pytest.approx(60 * 50 * 4)


def test_without_a_second_thread_the_first_does_it_all(monkeypatch):
    def no_more(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(piece_workers.threading.Thread, "start", no_more)
    done = []
    do_pieces(lambda piece, worker: done.append((piece, worker)), range(3), 2)
    assert done == [(0, 0), (1, 0), (2, 0)]


def growing(columns=50):
    """Make values whose largest magnitudes grow, so that a bias by the first ones is none for all."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, columns), np.float32)
    x *= np.exp2(np.arange(60) // 7)[:, np.newaxis].astype(np.float32)
    x[3, 4], x[59, columns - 1] = np.inf, np.nan
    return x


@pytest.mark.parametrize("piece", [1, 64, 500, 100_000])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("bias", "axis"),
    [("max", None), ("mx", None), ("max", 0), ("max", 1), ("mse", 0), ("percentile", 0)],
)
def test_a_bias_that_grows(tmp_path, monkeypatch, threads, piece, dtype, bias, axis):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", piece)
    x = growing(6 if piece == 1 else 50).astype(np.float16 if dtype == "float16" else np.float32)
    if dtype == "bfloat16":
        x = x.astype(pytest.importorskip("ml_dtypes").bfloat16)
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    cf.save(source, {"a": x, "b": x[::-1].copy()})
    fmt = cf.CFloat8_1_4_3
    summary = convert(source, target, Plan(fmt, bias=bias, axis=axis))
    made = cf.load(target)
    with cf.record_flags() as flags:
        for name, values in (("a", x), ("b", x[::-1])):
            expected = cf.asarray(values, fmt, bias, axis=axis)
            np.testing.assert_array_equal(made[name].codes, expected.codes)
            np.testing.assert_array_equal(made[name].bias, expected.bias)
    # of the biases that remained, once
    assert summary.flags == flags


def test_stochastic_words_are_those_of_their_places(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 100)
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    x = growing()
    cf.save(source, {"a": x})
    convert(source, target, Plan(cf.CFloat8_1_4_3, rounding="stochastic", seed=5))
    expected = cf.encode(
        x,
        cf.CFloat8_1_4_3,
        cf.choose_bias(x, cf.CFloat8_1_4_3, "max"),
        rounding="stochastic",
        seed=5,
    )
    np.testing.assert_array_equal(cf.load(target)["a"].codes, expected)


def test_whole_slices_are_read_once(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 500)
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    cf.save(source, {"a": growing()})
    read = []
    own = encoding.read_encodable
    monkeypatch.setattr(
        encoding,
        "read_encodable",
        lambda source, name, start, stop, *rest: (
            read.append(stop - start) or own(source, name, start, stop, *rest)
        ),
    )
    for bias in ("max", "mse"):
        read.clear()
        convert(source, target, Plan(cf.CFloat8_1_4_3, bias=bias, axis=0))
        assert sum(read) == 60 * 50


def test_an_export_counts_a_changed_code_once(tmp_path, monkeypatch, threads):
    """Also where the piece that has it is encoded twice."""
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 200)
    x = growing()
    x[59, 49] = 1
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    cf.save(source, {"a.weight": x})
    plan = {"export": True, "include": ("*",)}
    summary = convert(source, target, Plan(**plan))
    assert (summary.recoded, summary.changed) == (1, 1)
    with pytest.raises(cf.FileError, match=r"^a\.weight: 1 values that the 8-bit float does not"):
        convert(source, target, Plan(**plan, strict=True))


def test_an_error_of_a_piece_leaves_no_file(tmp_path, monkeypatch, threads):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 100)
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    cf.save(source, {"a": growing()})
    own = encoding.encode_layout
    calls = []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        return own(*arguments)

    monkeypatch.setattr(encoding, "encode_layout", failing)
    with pytest.raises((OSError, cf.FileError)):
        convert(source, target, Plan(cf.CFloat8_1_4_3))
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]
    assert len(calls) <= 6


@pytest.mark.parametrize("to", ["float32", "float16", "bfloat16"])
def test_decoding_by_several_threads(tmp_path, monkeypatch, threads, to):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 100)
    codes, target = tmp_path / "codes.safetensors", tmp_path / "out.safetensors"
    x = growing()
    x[40] *= 2.0**30  # beyond float16
    cf.save(codes, {"a": cf.asarray(x, cf.CFloat8_1_5_2, "max", axis=0)})
    whole = cf.load(codes)["a"]
    told = []
    summary = convert(codes, target, Plan(to=to), lambda *call: told.append(call))
    made = cf.load(target)["a"]
    values = np.asarray(whole)
    if to == "float16":
        finite = np.abs(values) < 65520
        assert summary.flags.overflow == np.count_nonzero(~finite & ~np.isnan(values)) > 0
        values, made = values[finite], made[finite]
    np.testing.assert_array_equal(np.asarray(made, np.float32), values)
    assert told[-1][0] == pytest.approx(x.size)  # bytes of codes


def test_two_pieces_are_decoded_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 1500)
    codes, target = tmp_path / "codes.safetensors", tmp_path / "out.safetensors"
    cf.save(codes, {"a": cf.asarray(growing(), cf.CFloat8_1_4_3)})
    both = threading.Barrier(2, timeout=30)
    own = copying.Decoding._values

    def values(self, part):
        both.wait()
        return own(self, part)

    monkeypatch.setattr(copying.Decoding, "_values", values)
    before = cf.get_num_threads()
    cf.set_num_threads(2)
    try:
        convert(codes, target, Plan(to="float32"))
    finally:
        cf.set_num_threads(before)
    np.testing.assert_array_equal(cf.load(target)["a"], np.asarray(cf.load(codes)["a"]))


def test_parts_of_a_piece_are_done_by_its_thread():
    both = threading.Barrier(2, timeout=30)
    threads = {}

    def work(piece, worker):
        both.wait()

        def part(_, inner):
            assert inner == worker == piece_workers.worker_number()
            threads.setdefault(piece, set()).add(threading.get_ident())

        do_pieces(part, range(20), 2)

    do_pieces(work, range(2), 2)
    assert [len(threads[piece]) for piece in range(2)] == [1, 1]
    assert threads[0] != threads[1]
    assert piece_workers.worker_number() == 0


@pytest.mark.parametrize("how", [{}, {"bias": "mse"}, {"axis": 0}, {"block": 8}], ids=str)
def test_short_tensors_are_done_two_at_a_time(tmp_path, monkeypatch, how, threads):
    """Each by one thread; what is said of them, and the file, are as if they came one after the other."""
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 64)
    rng = np.random.default_rng(0)
    arrays = {
        f"t{i:02}": rng.standard_normal((8, 24)).astype(dtype)
        for i, dtype in enumerate([np.float16] * 10 + [np.float32] * 10)
    }
    arrays |= {f"norm{i}": np.arange(i + 2) for i in range(4)}
    cf.save(tmp_path / "in.safetensors", arrays)
    plan = Plan(cf.CFloat8_1_4_3, include=("t*",), **how)
    both, by, lock = threading.Event(), {}, threading.Lock()
    original = encoding.Encoding.run

    def run(self, writer, counter):
        with lock:
            by.setdefault(threading.get_ident(), []).append(self.name)
            if len(by) == 2:
                both.set()
        if threads == 2:
            assert both.wait(30)
        return original(self, writer, counter)

    with monkeypatch.context() as patched:
        for kind in (encoding.Encoding, copying.Copying):
            patched.setattr(kind, "is_short", False)
        expected = convert(tmp_path / "in.safetensors", tmp_path / "apart.safetensors", plan)
    monkeypatch.setattr(encoding.Encoding, "run", run)
    told = []

    def progress(done, total):
        assert threading.current_thread() is threading.main_thread()
        told.append((done, total))

    got = convert(tmp_path / "in.safetensors", tmp_path / "together.safetensors", plan, progress)
    assert (tmp_path / "together.safetensors").read_bytes() == (
        tmp_path / "apart.safetensors"
    ).read_bytes()
    assert len(by) == threads
    assert told[-1][0] == pytest.approx(told[-1][1])
    expected.files = got.files
    assert got == expected


@pytest.mark.parametrize("how", [{"bias": "mse"}, {"bias": "percentile", "axis": -1}], ids=str)
def test_what_is_searched_as_a_whole_is_read_once(tmp_path, monkeypatch, how, threads):
    monkeypatch.setattr(tensor_pieces, "PIECE_SIZE", 64)
    x = np.random.default_rng(0).standard_normal((60, 40)).astype(np.float32)
    cf.save(tmp_path / "in.safetensors", {"a": x, "b": x * 3})
    read = []
    original = encoding.read_encodable

    def noted(source, name, start, stop, *scratch):
        read.append((name, start, stop))
        return original(source, name, start, stop, *scratch)

    monkeypatch.setattr(encoding, "read_encodable", noted)
    convert(
        tmp_path / "in.safetensors", tmp_path / "out.safetensors", Plan(cf.CFloat8_1_4_3, **how)
    )
    assert read == [("a", 0, x.size), ("b", 0, x.size)]
    made = cf.load(tmp_path / "out.safetensors")
    for name, values in (("a", x), ("b", x * 3)):
        expected = cf.asarray(values, cf.CFloat8_1_4_3, how["bias"], axis=how.get("axis"))
        assert np.array_equal(made[name].codes, expected.codes)
