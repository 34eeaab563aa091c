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
