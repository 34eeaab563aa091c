"""The command ``cfloat``: what is printed of errors, and the exit status.

What the commands need is imported by `main`, not with this module: the core, when it is imported, refuses a
``CFLOAT_ISA`` that this CPU does not run, and that is an error of one line as any other.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from cfloat._version import __version__
from cfloat.errors import CFloatError

from .stopping import StoppedError, stopping_on_signals, undisturbed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after the command's name; those of the process if None.

    Returns
    -------
    int
        The exit status: 0, or 1 after an error, of which one line has been printed on stderr; or 128 and a
        signal's number, as shells have it.
    """
    _make_streams_usable()
    with stopping_on_signals():
        try:
            return _run(arguments)
        except (KeyboardInterrupt, StoppedError) as stopped:
            with undisturbed():
                _remove_unfinished()
                if isinstance(stopped, StoppedError):
                    return _fail("stopped", 128 + stopped.number)
                return _fail("interrupted", 128 + signal.SIGINT)


def _run(arguments: Sequence[str] | None) -> int:
    if arguments is None:
        arguments = sys.argv[1:]
    try:
        if list(arguments) == ["--version"]:  # which the core is not needed for
            print(f"cfloat {__version__}")
        else:
            from .parser import parser

            options = parser(next(iter(arguments), None)).parse_args(arguments)
            options.run(options)
        sys.stdout.flush()
    except CFloatError as error:
        return _fail(f"error: {error}")
    except MemoryError:
        return _fail("error: out of memory")
    except BrokenPipeError:
        _forget_output()
        return 1
    except OSError as error:
        _forget_output()
        return _fail(f"error: output: {error.strerror or error}")
    return 0


def _remove_unfinished() -> None:
    """Remove files that a conversion has begun, if one has been loaded at all."""
    if "cfloat._files.replace" in sys.modules:
        from cfloat._files.replace import remove_unfinished

        remove_unfinished()


def _make_streams_usable() -> None:
    """Make sure that there are streams, and that they take any name."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the process's life
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Keep Python from flushing, at its exit, what the output does not take."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, status: int = 1) -> int:
    print(f"cfloat: {message}", file=sys.stderr)
    return status
