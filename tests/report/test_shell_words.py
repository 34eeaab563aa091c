"""Commands as they are printed: a shell takes each word for itself, whatever is in a path."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import cfloat as cf
from cfloat._report.saved_reports import read_report
from cfloat._report.shell_words import joined, typed_option, typed_path, written_words

BASH = shutil.which("bash")

WORDS = [
    "a", "", "it's", "'", "a && b", "&&", "$HOME", "back\\slash", "line\nbreak", "\x1b[2J'\\",
    "\udcff\u202e1", "-w", "~", "*", "\u00e9",
]  # fmt: skip

PATHS = ["-dash", "a && cfloat b", "it's $HOME\\\nbreak"]


@pytest.mark.quick
def test_words_are_read_back_as_they_are_written():
    for first in WORDS:
        for second in WORDS:
            text = joined([["printf", first, second], ["cfloat", second]])
            assert text.isprintable()
            one, two = written_words(text)
            assert (len(one), len(two), one[0], one[2]) == (3, 2, "printf", two[1])


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
def test_a_shell_takes_each_word_for_itself():
    text = joined([["printf", "%s\\0", *WORDS], ["printf", "%s", "end"]])
    run = subprocess.run([BASH, "-c", text], capture_output=True, check=True)
    assert run.stdout.split(b"\0") == [*map(os.fsencode, WORDS), b"end"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a; b",
        "a $(id)",
        "a `id`",
        "'a",
        "a > b",
        "a  b",
        "a && ",
        "&& a",
        "a & b",
        "a\nb",
        "~",
        '"a"',
        "'\u202e'",
    ],
)
def test_what_a_shell_takes_for_more_than_words(text):
    with pytest.raises(ValueError, match="not as commands are written"):
        written_words(text)


def test_no_word_is_taken_for_an_option():
    assert typed_path("-a") == "./-a"
    assert typed_path("a-b") == "a-b"
    assert typed_option("--include", "-a") == ["--include=-a"]
    assert typed_option("--include", "a") == ["--include", "a"]


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
@pytest.mark.parametrize("name", PATHS)
def test_what_is_printed_runs(name, tmp_path):
    """What the screens of a report and of a plan end with, pasted, for a file of any name."""
    normal = np.random.default_rng(0).standard_normal((16, 64)).astype(np.float32)
    path = tmp_path / f"{name}.safetensors"
    cf.save(path, {"a.weight": normal, "-b": normal[:4]})
    # as `cfloat` is on the path of whoever pastes it
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cfloat").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -P -m cfloat "$@"\n'
    )
    (tmp_path / "bin" / "cfloat").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(*command):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    screen = run("cfloat", "report", "--exclude=-b", "--json", "a.json", "--", path.name)
    run(BASH, "-ec", screen.rsplit("\n\n", 1)[1])
    assert read_report(tmp_path / "a.json")["conclusion"]["commands"]
    for what in ("CFloat8_1_4_3", "plan"):
        made = cf.load(tmp_path / f"{name}-{what}.safetensors")
        assert (made.dtype_name("a.weight"), made.dtype_name("-b")) == ("CFloat8_1_4_3", "float32")
    planned = run("cfloat", "plan", "--out=-plan.toml", "--", path.name).rsplit("\n\n", 1)[1]
    run(BASH, "-ec", planned.replace("OUT", "out.safetensors"))
    assert cf.load(tmp_path / "out.safetensors").dtype_name("-b") == "CFloat8_1_4_3"
