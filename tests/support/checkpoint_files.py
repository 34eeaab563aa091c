"""Files as checkpoints have them."""

import json

import numpy as np
from safetensors.numpy import save_file

RNG = np.random.default_rng(0)
TENSORS = {
    "a.weight": RNG.standard_normal((40, 70)).astype(np.float32),
    "b.weight": RNG.standard_normal((3, 5, 11)).astype(np.float16),
    "bias": RNG.standard_normal(13),
    "empty": np.empty((0, 4), np.float32),
    "ids": np.arange(7),
    "mask": np.array([True, False]),
    "scalar": np.array(2.5, np.float32),
    "wild": np.array([np.nan, -np.inf, 0.0, -0.0, 1e30, 1e-30], np.float32),
}
FLOATS = {name for name, tensor in TENSORS.items() if tensor.dtype.kind == "f"}


def shard(folder, tensors):
    """Make a folder with a checkpoint of three files, and return its index."""
    folder.mkdir()
    names = sorted(tensors)
    weight_map = {}
    for i in range(3):
        file = f"model-{i}.safetensors"
        save_file({name: tensors[name] for name in names[i::3]}, folder / file)
        weight_map |= dict.fromkeys(names[i::3], file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


#: safetensors' names of dtypes.
DTYPES = {
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0", "bfloat16": "BF16",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float64": "F64", "float32": "F32", "float16": "F16", "int8": "I8", "uint8": "U8", "int32": "I32",
    "int64": "I64", "int16": "I16", "uint16": "U16", "uint32": "U32",
}  # fmt: skip


def write(path, tensors, metadata=None):
    """Write a safetensors file with dtypes that the library's NumPy side does not know."""
    header = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, tensor in tensors.items():
        raw = np.ascontiguousarray(tensor).tobytes()
        said = {"dtype": DTYPES[tensor.dtype.name], "shape": list(tensor.shape)}
        header[name] = said | {"data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path
