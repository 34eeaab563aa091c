"""The command line, run as a user runs it."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile

import ml_dtypes
import numpy as np
import pytest
from commands import CFLOAT, cfloat, refused, succeeded
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._cli import main
from cfloat._cli import report as report_command
from cfloat._report import progress
from cfloat._report.html_page import compare_page

X = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)


@pytest.mark.slow
def test_report_on_the_carried_tensors():
    screen = succeeded(cfloat("report"))
    assert screen.startswith("No path is given: these are tensors that the package carries.\n")
    assert "recommended: CFloat8_1_4_3, one bias a tensor" in screen
    assert len(screen.splitlines()) <= 40
    assert max(map(len, screen.splitlines())) <= 100
    text = succeeded(cfloat("report", "--all"))
    assert "\x1b" not in text + screen  # plain when piped
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
    text = succeeded(cfloat("report", path, "--all"))
    assert text == str(cf.report({"weights": X})) + "\n"
    screen = succeeded(cfloat("report", path))
    assert screen == cf.report(path).to_screen() + "\n"


def test_report_on_several_files_names_them(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", x=X, y=X)
    text = succeeded(
        cfloat("report", "a.npy", "b.npz", "--format", "CFloat8_1_4_3", "--all", cwd=tmp_path)
    )
    for title in ("a.npy:a  ", "b.npz:x  ", "b.npz:y  "):
        assert title in text
    assert "CFloat8_1_5_2" not in text


def test_json_and_csv(tmp_path):
    np.save(tmp_path / "x.npy", X)
    succeeded(cfloat("report", "x.npy", "--json", "r.json", "--csv", "r.csv", cwd=tmp_path))
    expected = cf.report({"x": X})
    written = json.loads((tmp_path / "r.json").read_text())
    concluded = written.pop("conclusion")
    assert concluded["model"]["paths"] == ["x.npy"]
    rest = json.loads(expected.to_json())
    assert concluded["recommended"]["nbytes"] == rest.pop("conclusion")["recommended"]["nbytes"]
    assert written == rest
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert len(rows) == len(expected.rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.csv", "r.json", "x.npy"]


def test_bad_command_lines(tmp_path):
    assert "COMMAND" in refused(cfloat())
    assert "invalid choice: 'nonsense'" in refused(cfloat("nonsense"))
    assert "--nonsense" in refused(cfloat("report", "--nonsense"))
    assert "CFloat8_1_4_3" in refused(cfloat("report", "--format", "fp8"))
    assert "No such file" in refused(cfloat("report", "missing.npy"))
    assert ".safetensors, .bin.index.json, .index.json, .npz, .npy" in refused(
        cfloat("report", "weights.h5")
    )
    missing = tmp_path / "missing" / "r.json"
    assert "No such file" in refused(cfloat("report", "--format", "float16", "--json", missing))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
def test_bad_files(tmp_path, suffix):
    for number, content in enumerate((b"", b"\0" * 100, b"PK\x05\x06" + b"\xff" * 18)):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(content)
        assert path.name in refused(cfloat("report", path))


def test_tensors_that_cannot_be_measured_are_left_out(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, good=X, text=np.array(["text"]), ints=np.arange(3))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "not an array")
    text = succeeded(cfloat("report", path, "--format", "float16", "--all"))
    assert "good  float32 8x16" in text
    for line in ("<U4 is not supported", "int64, not floating point", "README.txt"):
        assert line in text


def test_nothing_to_measure(tmp_path):
    for name, tensors in (("none", {}), ("ints", {"a": np.arange(3)}), ("nan", {"a": X * np.nan})):
        np.savez(tmp_path / f"{name}.npz", **tensors)
        assert "nothing to measure" in refused(cfloat("report", tmp_path / f"{name}.npz"))


@pytest.mark.parametrize("known", [True, False])
def test_bfloat16_and_8_bit_floats_need_no_ml_dtypes(tmp_path, known):
    names = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
    tensors = {name: X.astype(getattr(ml_dtypes, name)) for name in names}
    save_file(tensors, tmp_path / "x.safetensors")
    block = "import sys; sys.modules['ml_dtypes'] = None\n" if not known else ""
    program = (
        f"{block}from cfloat._cli.main import main; main(['report', 'x.safetensors', '--all'])"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert run.stderr == ""
    for name in names:
        assert f"{name}  {name} 8x16" in run.stdout
        assert re.search(rf"{name} +\d+ +exact", run.stdout)


def test_names_cannot_command_the_terminal(tmp_path):
    name = "a\x1b[31mb\nc\u202ed:heart:[bold]e"
    save_file({name: X}, tmp_path / "x.safetensors")
    screen = succeeded(cfloat("report", tmp_path / "x.safetensors"))
    plain = succeeded(cfloat("report", tmp_path / "x.safetensors", "--format", "float16", "--all"))
    colour = cfloat(
        "report", tmp_path / "x.safetensors", "--format", "float16", "--all",
        env={**os.environ, "FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"},
    ).stdout  # fmt: skip
    for text in (plain, colour, screen):
        assert r"a\x1b[31mb\nc\u202ed:heart:[bold]e" in text
        assert "\x1b[31m" not in text
    forged = tmp_path / "a\nb\x1b[2J.npy"
    assert r"a\nb\x1b[2J.npy" in refused(cfloat("report", forged))


def test_output_that_cannot_be_written(tmp_path):
    np.save(tmp_path / "x.npy", X)
    command = f"{shlex.join(CFLOAT)} report --format float16 x.npy"
    full = subprocess.run(
        f"{command} >/dev/full",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 1
    assert full.stderr == "cfloat: error: output: No space left on device\n"
    closed = subprocess.run(
        f"{command} >&-", shell=True, cwd=tmp_path, capture_output=True, check=False
    )
    assert closed.stderr == b""
    ascii_only = cfloat(
        "report", "--format", "float16", tmp_path / "x.npy", tmp_path / "x.npy",
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    succeeded(ascii_only)


def test_files_are_not_overwritten_by_mistake(tmp_path):
    np.save(tmp_path / "x.npy", X)
    assert "overwrite" in refused(cfloat("report", "x.npy", "--csv", "./x.npy", cwd=tmp_path))
    (tmp_path / "r").touch()
    assert "named for two outputs" in refused(
        cfloat("report", "x.npy", "--csv", "r", "--json", "r", cwd=tmp_path)
    )
    assert "not a file name" in refused(cfloat("report", "x.npy", "--json", "", cwd=tmp_path))


def test_a_pipe_is_written_to(tmp_path):
    np.save(tmp_path / "x.npy", X)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    run = subprocess.Popen(
        [*CFLOAT, "report", tmp_path / "x.npy", "--format", "float16", "--json", pipe],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert json.loads(pipe.read_text())["rows"][0]["format"] == "float16"
    assert "recommended" in run.communicate()[0]
    assert run.returncode == 0


@pytest.mark.parametrize("unbuffered", [True, False])
@pytest.mark.parametrize("where", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_has_one_thing(tmp_path, where, unbuffered):
    np.save(tmp_path / "x.npy", X)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if unbuffered:
        env["PYTHONUNBUFFERED"] = "1"
    report = ("report", tmp_path / "x.npy", "--format", "float16")
    said = json.loads(succeeded(cfloat(*report, "--json", where, env=env)))
    assert said["rows"][0]["format"] == "float16"
    rows = list(csv.DictReader(io.StringIO(succeeded(cfloat(*report, "--csv", where, env=env)))))
    assert [row["format"] for row in rows] == ["float16"]
    page = succeeded(cfloat(*report, "--html", where, "--csv", tmp_path / "r.csv", env=env))
    assert page.startswith("<!DOCTYPE html>")
    assert (tmp_path / "r.csv").read_text().startswith("tensor,")
    both = refused(cfloat(*report, "--json", where, "--csv", "-", env=env))
    assert both.endswith("standard output is named for --json and --csv; it takes one\n")


def test_a_file_that_standard_output_goes_to_has_one_thing(tmp_path):
    np.save(tmp_path / "x.npy", X)
    command = f"{shlex.join(CFLOAT)} report --format float16 x.npy --json r.json > r.json"
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["format"] == "float16"


def test_a_name_of_any_script_goes_to_standard_output(tmp_path):
    save_file({"\u05d0": X}, tmp_path / "x.safetensors")
    report = ("report", tmp_path / "x.safetensors", "--format", "float16", "--csv")
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    run = subprocess.run(
        [*CFLOAT, *map(str, report), "-"], capture_output=True, env=env, check=True
    )
    succeeded(cfloat(*report, tmp_path / "r.csv"))
    assert run.stdout == (tmp_path / "r.csv").read_bytes()


def test_quiet_top_and_sort(tmp_path):
    save_file({"small": X[:1], "large": X * np.float32(3), "w": X[:4]}, tmp_path / "x.safetensors")
    report = ("report", tmp_path / "x.safetensors")
    assert succeeded(cfloat(*report, "--quiet")) == ""
    assert json.loads(succeeded(cfloat(*report, "--quiet", "--json", "-")))["tensors"]
    text = succeeded(cfloat(*report, "--top", 2, "--sort", "size"))
    start = text.index("\ntensor  kind")
    assert [line.split()[0] for line in text[start:].splitlines()[2:4]] == ["large", "w"]
    assert "small" not in text[start:]
    text = succeeded(cfloat(*report, "--all", "--top", 1, "--sort", "name"))
    assert "large  float32 8x16" in text
    assert "small  float32" not in text
    assert "it takes a number from 0 on" in refused(cfloat(*report, "--top", "-1"))
    assert "invalid choice: 'colour'" in refused(cfloat(*report, "--sort", "colour"))
    text = succeeded(cfloat(*report, "--exclude", "s*", "--min-db", 40))
    assert "left out: 1 excluded" in text
    assert "CFloat16_SHP, one bias a tensor: the fewest bytes with weighted >= 40 dB" in text
    assert "no tensor has a name like 'z*'" in refused(cfloat(*report, "--include", "z*"))


def test_reports_are_put_beside_each_other(tmp_path):
    for name, x in (("a", X), ("b", X[:4])):
        np.save(tmp_path / f"{name}.npy", x)
        cfloat("report", f"{name}.npy", "--quiet", "--json", f"{name}.json", cwd=tmp_path)
    np.save(tmp_path / "c.npy", X)
    cfloat("report", "c.npy", "--format", "float16", "--quiet", "--json", "c.json", cwd=tmp_path)
    compare = ("report", "--compare", "a.json", "b.json", "c.json")
    lines = succeeded(cfloat(*compare, "--html", "page.html", cwd=tmp_path)).splitlines()
    assert [line.split()[0] for line in lines] == ["model", "a.npy", "b.npy", "c.npy"]
    found = cf.report({"x": X}).conclusion.recommended
    assert lines[1].split() == [
        "a.npy", "CFloat8_1_4_3,", "tensor", "128", "0.250x",
        f"{found.weighted_db:.2f}", f"{found.worst_db:.2f}",
    ]  # fmt: skip
    assert lines[3].split()[1:] == ["nothing", "512", "1.000x", "exact", "exact"]
    page = (tmp_path / "page.html").read_text()
    contents = [json.loads((tmp_path / f"{name}.json").read_text()) for name in "abc"]
    assert page == compare_page(contents)
    assert succeeded(cfloat(*compare, "--html", "-", cwd=tmp_path)) == page
    assert succeeded(cfloat(*compare, "--quiet", cwd=tmp_path)) == ""
    few = refused(cfloat("report", "--compare", "a.json", cwd=tmp_path))
    assert "--compare takes two reports or more" in few
    for option in (("--json", "x"), ("--all",), ("--format", "float16"), ("--include", "x")):
        said = refused(cfloat(*compare, *option, cwd=tmp_path))
        assert f"{option[0]} is for a model" in said
    (tmp_path / "c.json").write_text("{}")
    assert "c.json: " in refused(cfloat(*compare, cwd=tmp_path))


def test_an_unknown_isa_is_one_line():
    wrong = {**os.environ, "CFLOAT_ISA": "nonsense"}
    for arguments in (["report"], ["info", "float16"], ["bench"], ["--help"], []):
        run = cfloat(*arguments, env=wrong)
        assert refused(run).startswith(
            "cfloat: error: CFLOAT_ISA: ISA is 'nonsense'; this CPU runs "
        )
    # which takes no kernels
    assert succeeded(cfloat("--version", env=wrong)) == f"cfloat {cf.__version__}\n"


def test_version_and_help():
    assert succeeded(cfloat("--version")) == f"cfloat {cf.__version__}\n"
    assert "report" in succeeded(cfloat("--help"))
    for option in ("PATH", "--json", "--csv", "--format"):
        assert option in succeeded(cfloat("report", "--help"))


def test_a_reader_that_stops_early_is_no_error():
    run = subprocess.run(
        f"{shlex.join(CFLOAT)} report --format float16 --all | head -n 1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stderr == ""
    assert run.stdout.startswith("bias")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interruptions_are_one_line(monkeypatch, capsys, error):
    def interrupted(*_, **__):
        raise error

    monkeypatch.setattr(report_command, "report", interrupted)
    assert main.main(["report"]) != 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


@pytest.mark.slow
def test_a_terminal_gets_colour_and_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert (
        main.main(["report", "--all", "--format", "CFloat8_1_4_3", "--format", "float8_e4m3fn"])
        == 0
    )
    text = capsys.readouterr().out
    assert "\x1b[" in text
    # nothing had to be folded into 80 columns
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= 80
    assert "CFloat8_1_4_3   24 31.49 4.8e-11" in text


def test_progress_appears_only_after_a_while(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    for after, shown in ((1e9, False), (-1.0, True)):
        monkeypatch.setattr(progress, "PROGRESS_AFTER", after)
        with progress.progress_bar("Measuring") as advance:
            advance(0, 2)
            advance(1, 2)
        assert ("Measuring" in capsys.readouterr().err) == shown
