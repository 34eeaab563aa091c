"""The header of a safetensors file: 8 bytes of its length, and JSON that says where each tensor is."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from safetensors import SafetensorError, safe_open

from .opened_file import OpenedFile, own_file
from .strict_json import MAX_BYTES, parse_json
from .tensor_entry import Entry

#: Bytes before the JSON: its length, little-endian.
LENGTH_BYTES: Final = 8

_ALIGNMENT: Final = 8
_METADATA: Final = "__metadata__"


class Header(NamedTuple):
    """What a header says: the tensors by name, sorted; where the bytes of each start; and the metadata."""

    entries: dict[str, Entry]
    starts: dict[str, int]
    metadata: dict[str, str]


def read_header(file: OpenedFile) -> Header:
    """Read a file's header, which safetensors' own library checks; ValueError if it is none."""
    stream = file.stream()
    start = stream.read(LENGTH_BYTES) or b""
    length = int.from_bytes(start, "little")
    if length > MAX_BYTES:
        raise ValueError(f"a header of {length} bytes; it takes at most {MAX_BYTES}")
    text = stream.read(length) or b""
    said = parse_json(text)
    # the library maps what it checks, and the file may shrink meanwhile: it gets the header, and no data
    with own_file(file.size, [(0, start + text)]) as path:
        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise ValueError(str(error)) from None
    header = Header({}, {}, said.pop(_METADATA, None) or {})
    for name in sorted(said):
        start, stop = said[name]["data_offsets"]
        header.entries[name] = Entry(said[name]["dtype"], tuple(said[name]["shape"]), stop - start)
        header.starts[name] = LENGTH_BYTES + length + start
    return header


def data_offsets(entries: Mapping[str, Entry]) -> dict[str, int]:
    """Lay tensors out: where the bytes of each start, from the header's end on, in that order."""
    offsets = {}
    end = 0
    # the wider first, as safetensors itself does it: all are aligned then
    for name in sorted(entries, key=lambda name: (-entries[name].itemsize, name)):
        offsets[name] = end
        end += entries[name].nbytes
    return offsets


def header_text(
    entries: Mapping[str, Entry], offsets: Mapping[str, int], metadata: Mapping[str, str]
) -> bytes:
    """Write a header's JSON."""
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    for name, offset in offsets.items():
        entry = entries[name]
        header[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.nbytes],
        }
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()


def padded_length(text: bytes) -> int:
    """Bytes that a header's JSON takes with the spaces behind it, so that the data are aligned."""
    return -(-len(text) // _ALIGNMENT) * _ALIGNMENT


def with_length(text: bytes, length: int) -> bytes:
    """Put the length before a header's JSON, and spaces behind it."""
    return length.to_bytes(LENGTH_BYTES, "little") + text.ljust(length)


def check_name(name: object) -> str:
    """Refuse what a tensor can't be called: TypeError or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"a tensor's name is a {type(name).__name__}; it takes a str")
    if name == _METADATA:
        raise ValueError(f"a tensor's name is {_METADATA!r}, which safetensors keeps for itself")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a tensor's name is {name!a}, which UTF-8 does not have") from None
    return name
