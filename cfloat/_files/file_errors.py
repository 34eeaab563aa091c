"""What readers raise, whatever it is, as a FileError of one line that names the file and the tensor."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cfloat._core.text import printable
from cfloat.errors import FileError, MissingExtraError

from .paths import shown_path


class NotSupportedError(ValueError):
    """What is in the file is sound, but nothing that can be read here."""


def copy_of(error: Exception) -> Exception:
    """Copy an error to be kept: one that was raised holds on to the frames that it went through."""
    return type(error)(*error.args)


@contextmanager
def refusing_damage(path: Path, name: str | None = None) -> Iterator[None]:
    """Turn whatever a reader raises on a bad file, or a bad tensor in it, into a FileError."""
    where = shown_path(path) if name is None else f"{shown_path(path)}: {printable(name)}"
    try:
        yield
    except (MemoryError, FileError, MissingExtraError):
        raise
    except OSError as error:
        raise FileError(f"{where}: {error.strerror or error}") from None
    except NotSupportedError as error:
        raise FileError(f"{where}: {error}") from None
    except Exception as error:
        # the readers' parsers raise whatever comes: tokenize.TokenError, zlib.error, RecursionError, ...
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        raise FileError(f"{where}: damaged or not what its name says: {reason[:300]}") from None


@contextmanager
def refusing_contradictions(path: Path, name: str) -> Iterator[None]:
    """Turn what a tensor raises that contradicts what is said of it into a FileError."""
    try:
        yield
    except (FileError, MemoryError):
        raise
    except (ValueError, TypeError) as error:
        reason = printable(" ".join(str(error).split()))[:300]
        raise FileError(f"{shown_path(path)}: {printable(name)}: {reason}") from None
