"""What readers raise, whatever it is, as a FileError of one line that names the file and the tensor."""

from pathlib import Path
from types import TracebackType

from cfloat._core.text import printable
from cfloat.errors import FileError, MissingExtraError

from .paths import shown_path


class NotSupportedError(ValueError):
    """What is in the file is sound, but nothing that can be read here."""


def copy_of(error: Exception) -> Exception:
    """Copy an error to be kept: one that was raised holds on to the frames that it went through."""
    return type(error)(*error.args)


class _Refusing:
    """What the two below share; classes, as each piece of a tensor enters them and generators take longer."""

    __slots__ = ("_name", "_path")

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._path, self._name = path, name

    def __enter__(self) -> None:
        pass

    def _refused(self, reason: str) -> FileError:
        where = shown_path(self._path)
        if self._name is not None:
            where += f": {printable(self._name)}"
        return FileError(f"{where}: {reason}")


class refusing_damage(_Refusing):  # noqa: N801 - used as a function
    """Turn whatever a reader raises on a bad file, or a bad tensor in it, into a FileError."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception):
            return
        if isinstance(error, MemoryError | FileError | MissingExtraError):
            return
        if isinstance(error, OSError):
            raise self._refused(str(error.strerror or error)) from None
        if isinstance(error, NotSupportedError):
            raise self._refused(str(error)) from None
        # the readers' parsers raise whatever comes: tokenize.TokenError, zlib.error, RecursionError, ...
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        raise self._refused(f"damaged or not what its name says: {reason[:300]}") from None


class refusing_contradictions(_Refusing):  # noqa: N801 - used as a function
    """Turn what a tensor raises that contradicts what is said of it into a FileError."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if isinstance(error, ValueError | TypeError) and not isinstance(error, FileError):
            reason = printable(" ".join(str(error).split()))[:300]
            raise self._refused(reason) from None
