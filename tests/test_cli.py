"""The command line, run as a user runs it."""

import csv
import io
import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

import cfloat as cf
from cfloat import cli

# -P: the installed package, even where the current folder has a source tree
CFLOAT = (sys.executable, "-P", "-m", "cfloat")
X = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)


def cfloat(*arguments, **options):
    return subprocess.run(
        [*CFLOAT, *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        **options,
    )


def succeeded(run):
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    return run.stdout


def refused(run):
    """The one line of a refusal."""
    assert run.returncode != 0
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert run.stderr.endswith("\n")
    assert run.stderr.count("\n") == 1
    return run.stderr


def test_report_on_the_carried_tensors():
    text = succeeded(cfloat("report"))
    assert "\x1b" not in text  # plain when piped
    assert "dense1.weight  float32 32x576" in text
    for fmt in (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS):
        assert fmt.name in text
    assert "What the whitepaper's denormals cost" in text


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_report_on_a_file(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npy":
        np.save(path, X)
    elif suffix == ".npz":
        np.savez(path, weights=X)
    else:
        save_file({"weights": X}, path)
    text = succeeded(cfloat("report", path))
    assert text == str(cf.report({"weights": X})) + "\n"


def test_report_on_several_files_names_them(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", x=X, y=X)
    text = succeeded(cfloat("report", "a.npy", "b.npz", "--format", "CFloat8_1_4_3", cwd=tmp_path))
    for title in ("a.npy:a  ", "b.npz:x  ", "b.npz:y  "):
        assert title in text
    assert "CFloat8_1_5_2" not in text


def test_json_and_csv(tmp_path):
    np.save(tmp_path / "x.npy", X)
    succeeded(cfloat("report", "x.npy", "--json", "r.json", "--csv", "r.csv", cwd=tmp_path))
    expected = cf.report({"x": X})
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(expected.to_json())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert len(rows) == len(expected.rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.csv", "r.json", "x.npy"]


def test_bad_command_lines(tmp_path):
    assert "COMMAND" in refused(cfloat())
    assert "invalid choice: 'nonsense'" in refused(cfloat("nonsense"))
    assert "--nonsense" in refused(cfloat("report", "--nonsense"))
    assert "CFloat8_1_4_3" in refused(cfloat("report", "--format", "fp8"))
    assert "No such file" in refused(cfloat("report", "missing.npy"))
    assert ".npy, .npz, .safetensors" in refused(cfloat("report", "weights.pt"))
    missing = tmp_path / "missing" / "r.json"
    assert "No such file" in refused(cfloat("report", "--format", "float16", "--json", missing))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_bad_files(tmp_path, suffix):
    for number, content in enumerate((b"", b"\0" * 100, b"PK\x05\x06" + b"\xff" * 18)):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(content)
        assert path.name in refused(cfloat("report", path))


def test_errors_of_a_tensor_inside_a_file_are_one_line(tmp_path):
    np.savez(tmp_path / "x.npz", good=X, bad=np.array(["text"]))
    assert "bad has dtype <U4" in refused(cfloat("report", tmp_path / "x.npz"))


def test_version_and_help():
    assert succeeded(cfloat("--version")) == f"cfloat {cf.__version__}\n"
    assert "report" in succeeded(cfloat("--help"))
    for option in ("PATH", "--json", "--csv", "--format"):
        assert option in succeeded(cfloat("report", "--help"))


def test_a_reader_that_stops_early_is_no_error():
    run = subprocess.run(
        f"{shlex.join(CFLOAT)} report --format float16 | head -n 1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stderr == ""
    assert run.stdout.startswith("bias")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interruptions_are_one_line(monkeypatch, capsys, error):
    def interrupted(*_, **__):
        raise error

    monkeypatch.setattr(cli, "report", interrupted)
    assert cli.main(["report"]) != 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_a_terminal_gets_colour_and_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert cli.main(["report", "--format", "CFloat8_1_4_3", "--format", "float8_e4m3fn"]) == 0
    text = capsys.readouterr().out
    assert "\x1b[" in text
    # whole lines: nothing had to be folded into 80 columns
    assert "CFloat8_1_4_3   24 31.49 4.8e-11" in text


def test_progress_appears_only_after_a_while(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for after, shown in ((1e9, False), (-1.0, True)):
        monkeypatch.setattr(cli, "PROGRESS_AFTER", after)
        with cli._progress_bar("Measuring") as advance:
            advance(0, 2)
            advance(1, 2)
        assert ("Measuring" in capsys.readouterr().err) == shown
