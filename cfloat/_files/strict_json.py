"""JSON from files that are not trusted: of a bounded length, and nothing in it twice."""

import json
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, Final

from cfloat._core.text import shown

#: Bytes of the longest header, index or configuration that is read: Python takes many times as much for it.
MAX_BYTES: Final = 1 << 25


def parse_json(text: bytes | str, *, infinities: bool = False) -> Any:
    """Parse a JSON text; ValueError if it says something twice, or nests without end.

    `infinities` allows ``Infinity``, ``-Infinity`` and ``NaN``, which are no JSON, and which Python writes.
    """
    constant = None if infinities else _refuse_constant
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=constant)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def read_json(path: Path, what: str, *, infinities: bool = False, most: int = MAX_BYTES) -> Any:
    """Parse a JSON file; ValueError, which calls it `what`, if it has more than `most` bytes."""
    with path.open("rb") as stream:
        return read_json_stream(stream, what, infinities=infinities, most=most)


def read_json_stream(
    stream: IO[bytes] | RawIOBase, what: str, *, infinities: bool = False, most: int = MAX_BYTES
) -> Any:
    """Parse what a stream gives; ValueError, which calls it `what`, if it has more than `most` bytes."""
    text = stream.read(most + 1) or b""
    if len(text) > most:
        raise ValueError(f"{what} of more than {most} bytes")
    return parse_json(text, infinities=infinities)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{shown(twice)} is there twice")
    return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
