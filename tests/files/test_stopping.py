"""Conversions that are stopped or killed, and two at once."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from checkpoint_files import shard
from safetensors.numpy import load_file, save_file

import cfloat as cf
from cfloat._cli import main, stopping
from cfloat._files import convert as conversions
from cfloat._files import model_folder, output_files, replace
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

X = np.arange(1 << 20, dtype=np.float32)
FMT = cf.CFloat8_1_4_3

# writes a line when the file is half made, and waits; whoever runs the tests may have signals ignored
PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
from cfloat._files import copying
from cfloat._cli import main
original = copying.Counter.advance
def advance(self, nbytes):
    original(self, nbytes)
    print("half", flush=True)
    time.sleep(60)
copying.Counter.advance = advance
sys.exit(main.main(sys.argv[1:]))
"""
posix = pytest.mark.skipif(os.name != "posix", reason="signals and locks are POSIX's")


def start(*arguments, program=PROGRAM):
    command = [sys.executable, "-P", "-c", program, "convert", *map(str, arguments)]
    command += ["--format", FMT.name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "half\n"
    return process


@pytest.fixture
def source(tmp_path):
    save_file({"a": X, "b": -X}, tmp_path / "in.safetensors")
    return tmp_path / "in.safetensors"


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("target", ["out.safetensors", "folder"])
def test_signals_leave_nothing(source, name, target):
    process = start(source, source.parent / target)
    assert len(os.listdir(source.parent)) == 2
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + getattr(signal, name)
    assert err == ("cfloat: interrupted\n" if name == "SIGINT" else "cfloat: stopped\n")
    assert os.listdir(source.parent) == ["in.safetensors"]


@posix
def test_a_signal_that_is_ignored(source):
    ignoring = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\noriginal ="
    program = PROGRAM.replace("original =", ignoring, 1)
    process = start(source, source.parent / "out.safetensors", program=program)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert os.listdir(source.parent) == ["in.safetensors"]


@posix
def test_a_signal_between_a_file_and_its_name(source, monkeypatch):
    """What is stopped anywhere leaves nothing: here before the writer knows of its file."""
    original = replace.Replacement.open

    def stopped(self):
        original(self).close()
        raise stopping.StoppedError(signal.SIGTERM)

    monkeypatch.setattr(replace.Replacement, "open", stopped)
    command = ["convert", str(source), str(source.parent / "o"), "--format", FMT.name]
    assert main.main(command) == 128 + signal.SIGTERM
    assert os.listdir(source.parent) == ["in.safetensors"]


@posix
@pytest.mark.parametrize("where", ["before it is locked", "after"])
def test_a_signal_while_a_folder_is_locked(source, monkeypatch, where):
    original = output_files._lock
    calls = []

    def stopped(descriptor):
        calls.append(descriptor)
        if where == "after" or len(calls) > 1:
            original(descriptor)
        if len(calls) == 1:
            raise stopping.StoppedError(signal.SIGHUP)

    monkeypatch.setattr(output_files, "_lock", stopped)
    command = ["convert", str(source), str(source.parent / "o"), "--format", FMT.name]
    assert main.main(command) == 128 + signal.SIGHUP
    assert os.listdir(source.parent) == ["in.safetensors"]


@posix
@pytest.mark.parametrize("target", ["o", "inner"])
def test_a_signal_before_a_writer_is_known(source, monkeypatch, target):
    """The file that is left until then is in the way of its folder, which goes after it."""
    folder = source.parent
    if target == "inner":
        (folder / "model" / "inner").mkdir(parents=True)
        source.rename(folder / "model" / "model.safetensors")
        (folder / "model" / "inner" / "more.txt").write_text("more")
        (folder / "model" / "config.json").write_text("{}")
        source = folder / "model"
        original, whose = model_folder.copy, model_folder
        name = "copy"
    else:
        original, whose, name = conversions._write_file, conversions, "_write_file"

    def stopped(*arguments):
        original(*arguments)
        raise stopping.StoppedError(signal.SIGTERM)

    monkeypatch.setattr(whose, name, stopped)
    before = os.listdir(folder)
    command = ["convert", str(source), str(folder / "o"), "--format", FMT.name]
    assert main.main(command) == 128 + signal.SIGTERM
    assert os.listdir(folder) == before


@posix
def test_a_lock_that_another_holds_is_left(source):
    folder = source.parent / "folder"
    process = start(source, folder)
    replace.note_unfinished(folder / output_files.LOCK_NAME, output_files._remove_lock)
    replace.remove_unfinished()
    assert output_files.LOCK_NAME in os.listdir(folder)
    process.terminate()
    process.communicate(timeout=60)
    assert os.listdir(source.parent) == ["in.safetensors"]


@posix
def test_a_second_signal_does_not_disturb(source, monkeypatch):
    def stopped_twice(self):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)

    monkeypatch.setattr(replace.Replacement, "open", stopped_twice)
    command = ["convert", str(source), str(source.parent / "o"), "--format", FMT.name]
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
    try:
        assert main.main(command) == 128 + signal.SIGTERM
    finally:
        for each, handler in zip((signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(each, handler)
    assert os.listdir(source.parent) == ["in.safetensors"]


@posix
def test_handlers_are_those_of_before(source):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    assert main.main(["info", str(source)]) == 0
    after = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    assert after == before


@posix
@pytest.mark.parametrize("target", ["out.safetensors", "folder"])
def test_after_a_kill_the_next_try_succeeds(source, target):
    """In a container every process has the same number."""
    program = "import os; os.getpid = lambda: 1\n" + PROGRAM
    for _ in range(2):
        process = start(source, source.parent / target, program=program)
        process.kill()
        process.communicate(timeout=60)
    convert(source, source.parent / target, Plan(FMT))
    assert len(cf.load(source.parent / target)) == 2


@posix
def test_two_conversions_into_one_folder(source):
    folder = source.parent / "folder"
    process = start(source, folder)
    with pytest.raises(cf.FileError, match="another conversion is writing into it"):
        convert(source, folder, Plan(cf.CFloat16_SHP))
    # files of their own are nobody's business
    convert(source, folder / "other.safetensors", Plan(FMT))
    process.terminate()
    process.communicate(timeout=60)
    assert os.listdir(folder) == ["other.safetensors"]
    convert(source, folder, Plan(cf.CFloat16_SHP))
    assert sorted(os.listdir(folder)) == ["model.safetensors", "other.safetensors"]


@posix
@pytest.mark.parametrize("name", ["model.safetensors", "model-00001-of-00002.safetensors"])
def test_a_file_that_is_called_as_those_of_a_folder(source, name):
    folder = source.parent / "folder"
    folder.mkdir()
    process = start(source, folder)
    with pytest.raises(cf.FileError, match="another conversion is writing into it"):
        convert(source, folder / name, Plan(cf.CFloat16_SHP))
    process.terminate()
    process.communicate(timeout=60)
    convert(source, folder / name, Plan(FMT))
    assert os.listdir(folder) == [name]


@posix
def test_two_conversions_of_shards_into_one_folder(tmp_path, monkeypatch):
    index = shard(tmp_path / "in", {"a": X, "b": -X, "c": X + 1})
    original = conversions._write_file
    refused = []

    def another(*arguments):
        if not refused:
            refused.append(True)
            with pytest.raises(cf.FileError, match="another conversion is writing into it"):
                convert(index, tmp_path / "out", Plan(cf.CFloat16_SHP))
        return original(*arguments)

    monkeypatch.setattr(conversions, "_write_file", another)
    convert(index, tmp_path / "out", Plan(FMT))
    assert refused
    loaded = cf.load(tmp_path / "out")
    assert {loaded.format_of(name) for name in loaded} == {FMT}
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith(".")]
    assert load_file(tmp_path / "out" / "model-0.safetensors")


@posix
def test_two_exports_beside_each_other(source):
    """They share a configuration."""
    save_file({"model.layers.0.mlp.up_proj.weight": X.reshape(1024, 1024)}, source)
    process = start(source, source.parent / "one.safetensors", "--export", "fp8")
    with pytest.raises(cf.FileError, match="another conversion is writing into it"):
        convert(source, source.parent / "two.safetensors", Plan(FMT, export=True))
    process.terminate()
    process.communicate(timeout=60)
    assert os.listdir(source.parent) == ["in.safetensors"]


# a signal that comes while an object goes; what is raised there is printed and forgotten
FINALIZER = """
import os, signal, sys, time, weakref
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
from cfloat._cli import stopping
number = getattr(signal, sys.argv[2])
def send():
    os.kill(os.getpid(), number)
    time.sleep(0.1)
class Object:
    def __del__(self):
        if sys.argv[1] == "del":
            send()
try:
    with stopping.stopping_on_signals():
        value = Object()
        if sys.argv[1] == "weakref":
            weakref.finalize(value, send)
        del value
        time.sleep(30)
    print("forgotten")
except KeyboardInterrupt:
    print("KeyboardInterrupt")
except stopping.StoppedError as error:
    print("StoppedError", signal.Signals(error.number).name)
"""


@posix
@pytest.mark.parametrize("where", ["del", "weakref"])
@pytest.mark.parametrize(
    ("name", "raised"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "StoppedError SIGTERM")]
)
def test_a_signal_in_a_finalizer_is_not_forgotten(where, name, raised):
    command = [sys.executable, "-P", "-c", FINALIZER, where, name]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{raised}\n", "")


# a signal that comes when the work is done, while another package cleans up
AT_EXIT = """
import os, signal, sys, time, weakref
signal.signal(signal.SIGINT, signal.default_int_handler)
from cfloat._cli import main
class Object: pass
value = Object()
def send():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
if sys.argv[1] == "weakref":
    weakref.finalize(value, send)
else:
    import atexit
    atexit.register(send)
sys.exit(main.main(["--version"]))
"""


@posix
@pytest.mark.parametrize("where", ["atexit", "weakref"])
def test_an_interrupt_when_all_is_done_says_nothing(where):
    command = [sys.executable, "-P", "-c", AT_EXIT, where]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (-signal.SIGINT, "")
    assert run.stdout == f"cfloat {cf.__version__}\n"


def test_handlers_are_as_before_afterwards():
    before = [signal.getsignal(each) for each in (*stopping._SIGNALS, signal.SIGINT)]
    with stopping.stopping_on_signals():
        pass
    assert [signal.getsignal(each) for each in (*stopping._SIGNALS, signal.SIGINT)] == before
