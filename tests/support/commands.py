"""The command line as a user runs it, and what it leaves in a folder."""

import subprocess
import sys

from cfloat._cli import main

# -P: the installed package, even where the current folder has a source tree
CFLOAT = (sys.executable, "-P", "-m", "cfloat")


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


def main_refused(capsys, *arguments):
    """The one line of a refusal, by the command in this very process."""
    try:
        status = main.main(list(map(str, arguments)))
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status != 0
    assert out == ""
    assert err.count("\n") == 1
    return err


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())
