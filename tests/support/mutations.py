"""Files that are damaged in every way, read here and by NumPy, PyTorch and safetensors themselves.

Where these refuse a file or a tensor of it, it is refused here, or read as it was before the damage (which
may be in bytes that mean nothing); where they read it, it is refused or read likewise.  Nothing crashes,
hangs, takes memory without end, or raises anything but a FileError of one line.  A few thousand files are a
test; `main` is for more:

    python tests/support/mutations.py --count 100000
    python tests/support/mutations.py --kind torch --first 1234 --count 1
"""

import argparse
import io
import json
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import safetensors.numpy

import cfloat as cf
from cfloat._files.stored_values import StoredValues

try:
    import safetensors.torch
    import torch
except ImportError:
    torch = None

MEMORY = 1 << 31  # bytes that reading a file of some kilobytes may take on top
SECONDS = 20
BATCH = 500

NUMBERS = [
    0, 1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 15, 16, 24, 47, 48, 49, 64, 96, 127, 128, 255, 256, 65535, 65536,
    2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64,
]  # fmt: skip
OBJECTS = [*NUMBERS, -1, -2, -(2**63), True, False, None, 1.0, 0.5, "3", "", [], {}, [0], "é\0\n"]
DTYPES = [
    "F64",
    "F32",
    "F16",
    "BF16",
    "I64",
    "I32",
    "U8",
    "BOOL",
    "F8_E4M3",
    "F8_E8M0",
    "F99",
    "f32",
]
DESCRS = [
    "<f8", ">f8", "<f4", ">f4", "<f2", "<i4", "<u2", "|b1", "|O", "<U3", "<c8", "|V4", "<M8[s]", "|S4", "=f4",
    "f4", "<f16", [("a", "<f4")], ("<f4", (2,)), "",
]  # fmt: skip


# Sound files

X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
SMALL = {
    "a": X,
    "b": np.asfortranarray(X.astype(np.float64) / 3),
    "c": np.arange(7, dtype=np.int16),
    "d": np.array([True, False, True]),
}


def _npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _npz(compressed):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **SMALL)
    return stream.getvalue()


def _safetensors(tensors, metadata=None):
    return safetensors.numpy.save(
        {name: np.ascontiguousarray(one) for name, one in tensors.items()}, metadata
    )


def _pt():
    generator = torch.Generator().manual_seed(1)
    large = torch.rand(150, 150, generator=generator)  # of a record that is not read with the rest
    value = {
        "state": {"w": torch.arange(12.0).reshape(3, 4), "t": torch.arange(6.0).reshape(2, 3).T},
        "list": [torch.tensor([1, -2, 3]), {"h": torch.ones(3, dtype=torch.float16)}],
        "large": large,
        "part": large[3:7, ::2],
        "step": 17,
        "flag": torch.tensor([True, False]),
    }
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def sound_files():
    """Give the sound files of each kind: what belongs together, by name, and first what is opened."""
    kinds = {
        "npy": [{"x.npy": _npy(one)} for one in (*SMALL.values(), X.astype(">f4"), X[0, 0])],
        "npz": [{"x.npz": _npz(False)}],
        "npz deflated": [{"x.npz": _npz(True)}],
        "safetensors": [{"x.safetensors": _safetensors(SMALL, {"k": "v"})}],
        "index": [_sharded()],
    }
    if torch is not None:
        kinds["torch"] = [{"x.pt": _pt()}]
    return kinds


def _sharded():
    weight_map = {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}
    return {
        "x.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": weight_map}).encode(),
        "one.safetensors": _safetensors({"a": SMALL["a"]}),
        "two.safetensors": _safetensors({"b": SMALL["b"], "c": SMALL["c"]}),
    }


# Damage: each takes a random generator and bytes, and gives others


def _span(rng, data):
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice([1, 2, 4, 8, 30, 100, 1000]))


def flip(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def set_bytes(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        data[rng.randrange(len(data))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    return data


def truncate(rng, data):
    return data[: rng.choice([rng.randrange(len(data)), len(data) - rng.randrange(1, 9)])]


def extend(rng, data):
    more = rng.choice([bytes(8), rng.randbytes(rng.randrange(1, 99)), data[: rng.randrange(99)]])
    return rng.choice([data + more, more + data])


def cut(rng, data):
    start, stop = _span(rng, data)
    return data[:start] + data[stop:]


def repeat(rng, data):
    start, stop = _span(rng, data)
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[start:stop] + data[place:]


def move(rng, data):
    """Write one part over another."""
    start, stop = _span(rng, data)
    place = rng.randrange(len(data) + 1)
    return (data[:place] + data[start:stop] + data[place + stop - start :])[: len(data)]


def fill(rng, data):
    start, stop = _span(rng, data)
    return data[:start] + bytes([rng.choice([0, 255])]) * (stop - start) + data[stop:]


def set_word(rng, data):
    """Put a number of 2, 4 or 8 bytes somewhere."""
    data = bytearray(data)
    width = rng.choice([2, 4, 8])
    place = rng.randrange(max(1, len(data) - width))
    data[place : place + width] = (rng.choice(NUMBERS) % 2 ** (8 * width)).to_bytes(width, "little")
    return data


ANYWHERE = [flip, flip, set_bytes, truncate, extend, cut, repeat, move, fill, set_word]


def npy_header(rng, data):
    """Change what the header of an array's file says."""
    length = struct.unpack_from("<H", data, 8)[0]
    header = eval(data[10 : 10 + length])
    for _ in range(rng.choice([1, 1, 2])):
        what = rng.choice(["shape", "shape", "descr", "fortran_order", "key", "number"])
        if what == "shape":
            shape = header.get("shape")
            shape = list(shape) if isinstance(shape, tuple | list) else []
            change = rng.randrange(4)
            if change == 0 or not shape:
                shape.insert(rng.randrange(len(shape) + 1), rng.choice(OBJECTS))
            elif change == 1:
                shape.pop(rng.randrange(len(shape)))
            elif change == 2:
                shape[rng.randrange(len(shape))] = rng.choice(OBJECTS)
            else:
                rng.shuffle(shape)
            header["shape"] = rng.choice([tuple, tuple, tuple, list])(shape)
        elif what == "descr":
            header["descr"] = rng.choice(DESCRS)
        elif what == "fortran_order":
            header["fortran_order"] = rng.choice([True, False, 1, 0, None, "x"])
        elif what == "key":
            header.pop(rng.choice(list(header)), None)
            if not header or rng.random() < 0.5:
                header[rng.choice(["shape", "descr", "more"])] = rng.choice(OBJECTS)
    text = repr(header).encode("utf-8", "replace")
    if what == "number":
        text = text.replace(b"3", str(rng.choice(OBJECTS)).encode("utf-8"), 1)
    text = text.ljust(rng.choice([len(text), 117])) + b"\n"
    claimed = len(text) + rng.choice([0, 0, 0, 0, 1, -1, 1000])
    if rng.random() < 0.2:
        start = b"\x93NUMPY" + bytes([rng.choice([2, 3, 4]), 0]) + struct.pack("<I", claimed)
    else:
        start = b"\x93NUMPY\1\0" + struct.pack("<H", claimed % 65536)
    return start + text + data[10 + length :]


#: Of each record of an archive: its mark, and where its fields are and how wide.
ZIP_FIELDS = {
    b"PK\3\4": [(4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
    b"PK\1\2": [
        (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4),
    ],
    b"PK\5\6": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
    b"PK\6\6": [(4, 8), (24, 8), (32, 8), (40, 8), (48, 8)],
    b"PK\6\7": [(4, 4), (8, 8)],
}  # fmt: skip


def zip_field(rng, data):
    """Change a field of an archive: in the central directory, or before a member, or at the end."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        mark = rng.choice([b"PK\3\4", b"PK\1\2", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7"])
        places = [i for i in range(len(data)) if data.startswith(mark, i)]
        if not places:
            continue
        place = rng.choice(places)
        offset, width = rng.choice(ZIP_FIELDS[mark])
        start = place + offset
        old = int.from_bytes(data[start : start + width], "little")
        new = rng.choice(
            [old + 1, old - 1, old + 8, old ^ 1, old + 64, 2 * old, rng.choice(NUMBERS)]
        )
        other = rng.choice(places) + offset  # a member's that is not its own
        if rng.random() < 0.2:
            new = int.from_bytes(data[other : other + width], "little")
        data[start : start + width] = (new % 2 ** (8 * width)).to_bytes(width, "little")
    return data


def _members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(one, archive.read(one)) for one in archive.infolist()]


def _archive(members, rng):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(stream, "w") as archive:
            for info, content in members:
                kind = info.compress_type if rng.random() < 0.95 else zipfile.ZIP_DEFLATED
                archive.writestr(info.filename, content, kind)
    return stream.getvalue()


def zip_members(rng, data):
    """Change which members an archive has, with checksums that fit."""
    members = _members(data)
    change = rng.randrange(5)
    one = rng.randrange(len(members))
    other = rng.randrange(len(members))
    if change == 0:  # twice
        members.insert(rng.randrange(len(members) + 1), (members[one][0], members[other][1]))
    elif change == 1:
        members.pop(one)
    elif change == 2:  # contents of each other
        members[one] = (members[one][0], members[other][1])
    elif change == 3:
        name = members[one][0].filename
        new = rng.choice(
            [name.upper(), name + "/", "/" + name, "../" + name, ".npy", name[:-4], name + "\0x"]
        )
        info = zipfile.ZipInfo(new)
        info.compress_type = members[one][0].compress_type
        members[one] = (info, members[one][1])
    else:
        rng.shuffle(members)
    return _archive(members, rng)


def member_content(change):
    """Change what is in a member, with a checksum that fits."""

    def changed(rng, data):
        members = _members(data)
        one = rng.randrange(len(members))
        members[one] = (members[one][0], bytes(change(rng, members[one][1])))
        return _archive(members, rng)

    return changed


def in_pickle(change):
    """Change the pickle of a PyTorch file, with a checksum that fits."""

    def changed(rng, data):
        members = _members(data)
        return _archive(
            [
                (
                    info,
                    bytes(change(rng, content)) if info.filename.endswith("data.pkl") else content,
                )
                for info, content in members
            ],
            rng,
        )

    return changed


def pickle_number(rng, data):
    """Change integers of a pickle: sizes, steps, offsets and lengths of storages."""
    widths = {b"K": 1, b"M": 2, b"J": 4}
    data = bytearray(data)
    places = [i for i in range(len(data) - 5) if bytes(data[i : i + 1]) in widths]
    for _ in range(rng.choice([1, 1, 2, 3])):
        place = rng.choice(places)
        width = widths[bytes(data[place : place + 1])]
        start = place + 1
        old = int.from_bytes(data[start : start + width], "little")
        new = rng.choice([old + 1, old - 1, 0, 2 * old, old + 100, rng.choice(NUMBERS)])
        data[start : start + width] = (new % 2 ** (8 * width)).to_bytes(width, "little")
    return data


def pickle_opcode(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2])):
        data[rng.randrange(len(data))] = rng.choice(
            b"()]}tsuqrhjKMJNXcQRbe.021aldopRi\x80\x81\x85\x86\x87"
        )
    return data


def pickle_name(rng, data):
    """Change what a pickle names: the kinds of storages, devices, functions, and keys."""
    names = [
        b"FloatStorage", b"HalfStorage", b"LongStorage", b"BoolStorage", b"DoubleStorage", b"cpu", b"storage",
        b"_rebuild_tensor_v2", b"OrderedDict", b"large", b"part", b"state",
    ]  # fmt: skip
    one, other = rng.choice(names), rng.choice([*names, b"cuda:0", b"meta", b"BFloat16Storage"])
    if one not in data:
        return flip(rng, data)
    if one in (b"large", b"part", b"state", b"cpu", b"storage"):  # its length is before it
        place = data.index(one)
        return data[: place - 4] + struct.pack("<I", len(other)) + other + data[place + len(one) :]
    return data.replace(one, other, 1)


def _change_json(rng, value):
    """Change a value somewhere in JSON."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        change = rng.randrange(8)
        if change == 0:
            value.pop(key)
        elif change == 1:
            value[rng.choice(["new", "__metadata__", "", key.upper(), "é"])] = value[key]
        elif change == 2:
            value[key] = rng.choice(list(value.values()))
        else:
            value[key] = _change_json(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        change = rng.randrange(6)
        if change == 0:
            value.pop(place)
        elif change == 1:
            value.insert(place, rng.choice(OBJECTS))
        elif change == 2:
            value.reverse()
        else:
            value[place] = _change_json(rng, value[place])
        return value
    if isinstance(value, str) and rng.random() < 0.8:
        return rng.choice(
            [*DTYPES, "one.safetensors", "two.safetensors", "../one.safetensors", value + "x"]
        )
    if isinstance(value, int) and rng.random() < 0.6:
        return value + rng.choice([1, -1, 4, -4, 8, value])
    return rng.choice(OBJECTS)


def _json_text(rng, value):
    text = json.dumps(value)
    change = rng.randrange(12)
    if change == 0:  # said twice
        text = text.replace(
            "{", rng.choice(['{"a": 1, ', '{"dtype": "F16", ', '{"shape": [12], ']), 1
        )
    elif change == 1:
        text = text.replace(
            "3", rng.choice(["3.0", "3e0", "03", "NaN", "-0", "1e400", "Infinity"]), 1
        )
    elif change == 2:
        text = rng.choice(
            [" " + text, text + " ", text + "\0", "[" * 5000, text + "}", "\ufeff" + text]
        )
    return text.encode()


def safetensors_header(rng, data):
    """Change the header of a safetensors file."""
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        header = _change_json(rng, header)
    text = _json_text(rng, header)
    text = text.ljust(rng.choice([len(text), -(-len(text) // 8) * 8]))
    claimed = len(text) + rng.choice([0, 0, 0, 0, 0, 0, 1, -1, 8, 2**40])
    return struct.pack("<Q", max(0, claimed)) + text + data[8 + length :]


def index_json(rng, data):
    return _json_text(rng, _change_json(rng, json.loads(data)))


OWN = {
    "npy": [npy_header, npy_header],
    "npz": [zip_field, zip_field, zip_members, member_content(npy_header), member_content(set_word)],
    "safetensors": [safetensors_header, safetensors_header, safetensors_header],
    "index": [],
    "torch": [
        zip_field, zip_field, zip_members, in_pickle(pickle_number), in_pickle(pickle_number),
        in_pickle(pickle_opcode), in_pickle(pickle_name), in_pickle(flip), member_content(truncate),
        member_content(extend), member_content(set_bytes),
    ],
}  # fmt: skip
OWN["npz deflated"] = OWN["npz"]


def damaged(kind, number, sound):
    """Give the files of a number, of which one is damaged; in which way, and which they were."""
    rng = random.Random(f"{kind} {number}")
    which = rng.randrange(len(sound[kind]))
    files = dict(sound[kind][which])
    name = rng.choice(list(files))
    own = OWN[kind]
    if kind == "index":
        own = [index_json] if name.endswith(".json") else [safetensors_header]
    change = rng.choice(ANYWHERE) if rng.random() < 0.4 else rng.choice(own)
    data = bytes(change(rng, files[name]))
    if rng.random() < 0.1:
        data = bytes(rng.choice(ANYWHERE)(rng, data or b"\0"))
    files[name] = data
    return files, change.__qualname__, which


# Reading

REFUSED = "refused"


def _bits(array):
    """What is compared: dtype, shape and every bit."""
    array = np.asarray(array)
    if array.dtype.hasobject:
        return REFUSED
    little = array.astype(array.dtype.newbyteorder("<"))
    return little.dtype.str, array.shape, little.tobytes()


def _each(mapping):
    found = {}
    for name in mapping:
        try:
            found[name] = _bits(mapping[name])
        except Exception:
            found[name] = REFUSED
    return found


def _numpy_reads(path):
    value = np.load(path, allow_pickle=False)
    if isinstance(value, np.ndarray):
        return {path.stem: _bits(value)}
    with value:
        return _each(value)


def _safetensors_reads(path):
    if torch is not None:  # it has more dtypes than NumPy
        tensors = safetensors.torch.load_file(path)
        return {name: _bits_of_tensor(one) for name, one in tensors.items()}
    return {name: _bits(one) for name, one in safetensors.numpy.load_file(path).items()}


def _index_reads(path):
    """As programs read shards: those that the index names, and what it says of each tensor."""
    weight_map = json.loads(path.read_bytes())["weight_map"]
    found = {}
    for shard in set(weight_map.values()):
        tensors = _safetensors_reads(path.parent / shard)
        found |= {name: bits for name, bits in tensors.items() if weight_map.get(name) == shard}
    if found.keys() != weight_map.keys():
        raise ValueError("not all that the index names")
    return found


def _bits_of_tensor(tensor):
    try:
        tensor = tensor.detach()
        widened = {torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2}
        return _bits((tensor.float() if tensor.dtype in widened else tensor).numpy())
    except (RuntimeError, TypeError):  # what NumPy does not have
        return REFUSED


def _torch_reads(path):
    found = {}

    def walk(value, name, depth):
        if isinstance(value, torch.Tensor):
            found[name or "tensor"] = _bits_of_tensor(value)
        elif isinstance(value, dict | list | tuple) and depth < 50:
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                walk(inner, f"{name}.{key}" if name else str(key), depth + 1)

    walk(torch.load(path, map_location="cpu", weights_only=True), "", 0)
    return found


READERS = {
    "npy": _numpy_reads, "npz": _numpy_reads, "npz deflated": _numpy_reads, "index": _index_reads,
    "safetensors": _safetensors_reads, "torch": _torch_reads,
}  # fmt: skip


def their_reading(kind, path):
    """Give what the reader whose format it is reads: bits by name, or REFUSED for the whole or a tensor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return READERS[kind](path)
        except Exception:
            return REFUSED


def our_reading(path):
    """Give what is read here, and what is wrong in how it is refused."""
    faults = []

    def said(error):
        if (
            type(error) is not cf.FileError
            or "\n" in str(error)
            or str(path.parent) not in str(error)
        ):
            faults.append(f"{type(error).__name__}: {error}")

    found = {}
    try:
        tensors = StoredValues(path)
    except Exception as error:
        said(error)
        return REFUSED, faults
    for name in tensors:
        try:
            found[name] = _bits(tensors[name])
        except Exception as error:
            said(error)
            found[name] = REFUSED
    return found, faults


def compare(ours, theirs, before):
    """Say what is wrong in a reading."""
    if ours == REFUSED:
        return []
    faults = []
    for name, bits in ours.items():
        other = REFUSED if theirs == REFUSED else theirs.get(name, REFUSED)
        if bits in (REFUSED, other):
            continue
        if other == REFUSED and bits == before.get(name):
            continue
        what = "is refused there" if other == REFUSED else f"is another there: {other[:2]}"
        faults.append(f"{name} is read as {bits[:2]}, and {what}")
    return faults


def run(kind, first, count, folder, report):
    """Read so many files; `report` is told of each one's number, how it was read, and faults."""
    sound = sound_files()
    readings = []
    for files in sound[kind]:
        _write(files, folder)
        readings.append(their_reading(kind, folder / next(iter(files))))
        ours, faults = our_reading(folder / next(iter(files)))
        assert not faults, (kind, faults)
        # what is no tensor is refused by its name
        read = {name: bits for name, bits in ours.items() if bits != REFUSED}
        assert read == readings[-1], (kind, sorted(ours))
    for number in range(first, first + count):
        report(number, None, None)
        files, way, which = damaged(kind, number, sound)
        _write(files, folder)
        path = folder / next(iter(files))
        theirs = their_reading(kind, path)
        ours, faults = our_reading(path)
        faults += compare(ours, theirs, readings[which])
        how = f"{'refused' if theirs == REFUSED else 'read'} there, "
        how += "refused" if ours == REFUSED else "read"
        report(number, how, [f"{kind} {number} ({way}): {fault}" for fault in faults])


def _write(files, folder):
    for name, data in files.items():
        path = folder / name
        path.write_bytes(data)
        os.utime(path, (1, 1))  # of a file this young, it would be waited whether it changes


def stress(kind, first, count, seconds=float("inf")):
    """Read so many files in processes that may crash; give counts and faults."""
    counts, faults = Counter(), []
    until = time.monotonic() + seconds
    number, stop = first, first + count
    while number < stop and time.monotonic() < until:
        folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _child(kind, number, min(BATCH, stop - number), folder, writing)
        os.close(writing)
        last = None
        with open(reading, encoding="utf-8") as stream:
            for line in stream:
                last, how, found = json.loads(line)
                if how is not None:
                    counts[how] += 1
                    faults += found
        _, status = os.waitpid(child, 0)
        shutil.rmtree(folder)
        if status:
            code = os.waitstatus_to_exitcode(status)
            what = "it hangs" if code == -signal.SIGALRM else f"crash: exit status {code}"
            faults.append(f"{kind} {last}: {what}")
            counts["crashed"] += 1
            if last is None:
                break
        number = number + BATCH if not status else last + 1
    return counts, faults


def _child(kind, first, count, folder, writing):
    import resource  # which not every system has, as it has no fork

    status = 1
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))

        def report(number, how, found):
            signal.alarm(SECONDS)
            os.write(writing, (json.dumps([number, how, found]) + "\n").encode())

        run(kind, first, count, folder, report)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def main():
    """Read as many as the command line says, by turns of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    kinds = list(sound_files())
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kind", choices=kinds)
    options = parser.parse_args()
    if options.kind:
        kinds = [options.kind]
    total, wrong = 0, 0
    for kind in kinds:
        start = time.monotonic()
        counts, faults = stress(kind, options.first, -(-options.count // len(kinds)))
        total, wrong = total + counts.total(), wrong + len(faults)
        said = ", ".join(f"{count} {how}" for how, count in sorted(counts.items()))
        print(f"{kind}: {said}; {len(faults)} faults; {time.monotonic() - start:.0f} s", flush=True)
        for fault in faults[:20]:
            print(f"  {fault}", flush=True)
    print(f"{total} files on Python {sys.version.split()[0]}, {wrong} faults")
    if torch is None and not options.kind:
        print("PyTorch is not installed: none of its files")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
