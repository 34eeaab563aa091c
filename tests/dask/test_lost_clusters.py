"""Conversions on clusters of which nobody is left, or that are slow."""

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
from commands import main_refused, names_in
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert
from cfloat.errors import ArgumentValueError, ClusterError

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

from cfloat.dask import _cluster as clusters  # noqa: E402
from cfloat.dask import _watch as watches  # noqa: E402

FMT = cf.CFloat8_1_4_3
SECONDS = watches.LEAST_TIMEOUT
#: What a worker imports only when it is given work.
WORKERS_PACKAGE = "import cfloat.dask._cluster"
#: A scheduler that tells all its clients something while it welcomes one of them, some times.
TALKS = """
from distributed import SchedulerPlugin

class Talks(SchedulerPlugin):
    times = {times}

    def add_client(self, scheduler, client):
        if self.times:
            self.times -= 1
            scheduler.loop.add_callback(scheduler.report, {{"op": "lost-data", "key": "x"}})

def dask_setup(scheduler):
    scheduler.add_plugin(Talks())
"""
HOST = ["--host", "127.0.0.1", "--no-dashboard"]

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped and continued here"
)


class Processes:
    """A scheduler and workers, processes without anyone who starts them anew."""

    def __init__(self, folder, *options):
        self.workers = []
        said = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", said, *options)
        self.address = None
        while self.address is None:
            assert self.scheduler.poll() is None
            with suppress(OSError, ValueError):  # not there, or not all of it
                self.address = json.loads(said.read_text())["address"]
            time.sleep(0.05)

    def start_workers(self, count):
        for _ in range(count):
            options = ["--no-nanny", "--nthreads", "1", "--preload", WORKERS_PACKAGE]
            self.workers.append(self._start("worker", self.address, *options))
        with clusters._connected(self.address) as client:
            client.wait_for_workers(len(self.workers), timeout=60)

    def _start(self, kind, *options):
        command = [sys.executable, "-P", "-m", f"distributed.cli.dask_{kind}", *options, *HOST]
        return subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)

    def end(self):
        for process in (*self.workers, self.scheduler):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@pytest.fixture
def processes(tmp_path_factory):
    started = Processes(tmp_path_factory.mktemp("scheduler"))
    yield started
    started.end()


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "TASK_SIZE", 5000)
    rng = np.random.default_rng(0)
    tensors = {f"t{i}": rng.standard_normal((300, 100)).astype(np.float32) for i in range(40)}
    save_file(tensors, tmp_path / "in.safetensors")
    return tmp_path / "in.safetensors"


def run(processes, checkpoint, target, progress=None):
    with clusters.Cluster(processes.address, SECONDS) as cluster:
        return convert(checkpoint, target, Plan(FMT), progress, runner=cluster.run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whom", "how", "says"),
    [
        ("workers", "SIGKILL", "it has had no workers for 5 s"),
        ("workers", "SIGSTOP", "none of its 2 workers has been heard of for 5 s"),
        ("scheduler", "SIGKILL", "the connection was lost"),
        ("scheduler", "SIGSTOP", "it has not answered for 5 s"),
        ("all", "SIGSTOP", "it has not answered for 5 s"),
    ],
)
def test_who_is_gone_is_not_waited_for(processes, checkpoint, tmp_path, whom, how, says):
    processes.start_workers(2)
    chosen = {
        "workers": processes.workers,
        "scheduler": [processes.scheduler],
        "all": [*processes.workers, processes.scheduler],
    }[whom]
    struck = []

    def strike(done, total):
        if not struck:
            struck.append(done / total)
            for process in chosen:
                process.send_signal(getattr(signal, how))

    with pytest.raises(ClusterError) as refusal:
        run(processes, checkpoint, tmp_path / "out.safetensors", strike)
    assert struck[0] < 1
    assert str(refusal.value) == f"scheduler {processes.address!r}: {says}"
    assert names_in(tmp_path) == ["in.safetensors"]
    # and again, with those who are there then, or without any
    if how == "SIGSTOP":
        for process in chosen:
            process.send_signal(signal.SIGCONT)
    elif whom == "workers":
        for process in processes.workers:
            process.wait()
        processes.workers.clear()
        processes.start_workers(1)
    else:
        convert(checkpoint, tmp_path / "out.safetensors", Plan(FMT))
    if processes.scheduler.poll() is None:
        run(processes, checkpoint, tmp_path / "out.safetensors")
    convert(checkpoint, tmp_path / "here.safetensors", Plan(FMT))
    here, there = tmp_path / "here.safetensors", tmp_path / "out.safetensors"
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.slow
def test_a_scheduler_that_has_no_workers(processes, checkpoint, tmp_path, capsys):
    """The command ends after a stated time with one line; if workers come within it, it goes on."""
    command = ["convert", checkpoint, tmp_path / "out", "--format", FMT.name]
    command += ["--scheduler", processes.address, "--worker-timeout", SECONDS]
    said = main_refused(capsys, *command)
    assert said == (
        f"cfloat: error: scheduler {processes.address!r}: it has had no workers for 5 s\n"
    )
    assert names_in(tmp_path) == ["in.safetensors"]
    late = threading.Timer(2, processes.start_workers, [1])
    late.start()
    with clusters.Cluster(processes.address) as cluster:
        convert(checkpoint, tmp_path / "out", Plan(FMT), runner=cluster.run)
    late.join()
    assert len(cf.load(tmp_path / "out")) == 40


@pytest.mark.slow
def test_a_slow_worker_is_not_taken_for_dead(processes, tmp_path):
    seconds = 2 * SECONDS

    def make_slow():
        """On a worker: each task takes so long."""
        original = clusters.work

        def slow(*arguments):
            time.sleep(seconds)
            return original(*arguments)

        clusters.work = slow

    processes.start_workers(1)
    save_file({"a": np.ones((3, 4), np.float32)}, tmp_path / "in.safetensors")
    with clusters._connected(processes.address) as client:
        client.run(make_slow)
    start = time.monotonic()
    run(processes, tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert time.monotonic() - start >= seconds
    np.testing.assert_array_equal(cf.load(tmp_path / "out.safetensors")["a"], np.ones((3, 4)))


@pytest.mark.slow
@pytest.mark.parametrize(("times", "comes"), [(2, True), (100, False)])
def test_a_welcome_that_comes_with_something_else(tmp_path, times, comes):
    """As where workers have just left; what never ends is one line, and no client is left."""
    (tmp_path / "talks.py").write_text(TALKS.format(times=times))
    processes = Processes(tmp_path, "--preload", tmp_path / "talks.py")
    before = threading.active_count()
    try:
        if comes:
            with clusters.Cluster(processes.address):
                pass
        else:
            with pytest.raises(ClusterError, match="its welcome is not what Dask's client"):
                clusters.Cluster(processes.address)
        assert threading.active_count() <= before + 1  # the loop that clients share
    finally:
        processes.end()


@pytest.mark.parametrize("seconds", [0, -1, 4.9, float("nan"), float("inf")])
def test_a_time_that_living_workers_do_not_keep(seconds):
    with pytest.raises(ArgumentValueError, match=r"worker_timeout is .*; it takes .* 5 or more"):
        clusters.Cluster("tcp://127.0.0.1:1", seconds)


def test_a_time_without_a_scheduler(checkpoint, capsys):
    said = main_refused(
        capsys, "convert", checkpoint, "out", "--format", FMT.name, "--worker-timeout", 9
    )
    assert said == "cfloat: error: --worker-timeout goes with --scheduler\n"


class Client:
    """A client whose scheduler says what it is told to."""

    status = "running"

    def __init__(self):
        self.workers = {}
        self.scheduler = self

    def identity(self):
        raise AssertionError("it is asked through `sync`")

    def sync(self, function, callback_timeout):
        assert callback_timeout > 0
        if self.workers is None:
            raise TimeoutError
        return {"workers": {name: {"last_seen": at} for name, at in self.workers.items()}}


def test_signs_of_life(monkeypatch):
    """By a clock of its own: one worker that is heard of is enough, a result too, and one that comes."""
    clock = [0.0]
    monkeypatch.setattr(watches.time, "monotonic", lambda: clock[0])
    client = Client()
    client.workers = {"a": 1.0, "b": 1.0}
    watch = watches.Watch(client, "x", 10)

    def wait(seconds, **heard):
        for _ in range(seconds):
            clock[0] += 1
            client.workers = client.workers | dict.fromkeys(heard, clock[0])
            watch.look()

    wait(25, a=True)
    wait(8)
    watch.note()
    wait(8)
    client.workers = {"c": 1.0}
    wait(9)
    with pytest.raises(ClusterError, match="none of its 1 workers has been heard of for 10 s"):
        wait(5)


def test_a_worker_that_leaves_is_no_sign_of_life(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(watches.time, "monotonic", lambda: clock[0])
    client = Client()
    client.workers = {"a": 1.0, "b": 1.0}
    watch = watches.Watch(client, "x", 10)
    for left in ({"a": 1.0, "b": 1.0}, {"a": 1.0}, {}, None):
        client.workers = left
        clock[0] += 3
        if left is None:
            with pytest.raises(ClusterError, match="it has not answered for 10 s"):
                watch.look()
        else:
            watch.look()
