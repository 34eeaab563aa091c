"""Every kind of file that is read: one that is added here is tested with all that reads files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import cfloat as cf
from cfloat._files.conversion_plan import Plan
from cfloat._files.convert import convert

FMT = cf.CFloat8_1_4_3
RNG = np.random.default_rng(7)
W = RNG.standard_normal((40, 70)).astype(np.float32)
V = RNG.standard_normal((3, 5, 32)).astype(np.float16)
IDS = np.arange(7)


@dataclass(frozen=True)
class FileKind:
    """A kind of file, and what is in it.

    Attributes
    ----------
    write : callable
        Writes one into a folder, and gives its path, or that of the folder.
    values : dict of str to ndarray
        The tensors that are no integers, as values.
    dtypes : dict of str to str
        What a report calls the dtypes that they are stored in.
    is_encoded : bool
        Whether there is something to convert back, and nothing to convert.
    """

    write: Callable
    values: dict
    dtypes: dict
    is_encoded: bool = False


PLAIN = {"v": V, "w": W, "ids": IDS}
VALUES = {"v": V, "w": W}
DTYPES = {"v": "float16", "w": "float32"}


def safetensors(folder, tensors=PLAIN, name="x.safetensors"):
    save_file(tensors, folder / name)
    return folder / name


def saved(tensors, folder):
    cf.save(folder / "x.safetensors", tensors)
    return folder / "x.safetensors"


def npz(folder, write=np.savez, tensors=PLAIN):
    write(folder / "x.npz", **tensors)
    return folder / "x.npz"


def npy(array, folder):
    np.save(folder / "w.npy", array)
    return folder / "w.npy"


def sharded(folder):
    weight_map = {}
    for number, (name, tensor) in enumerate(PLAIN.items()):
        weight_map[name] = f"model-{number}.safetensors"
        save_file({name: tensor}, folder / weight_map[name])
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def pytorch(name, folder):
    torch = pytest.importorskip("torch")
    w = torch.from_numpy(W)
    torch.save({"w": w.T.contiguous().T, "a": {"v": torch.from_numpy(V)}, "step": 3}, folder / name)
    return folder / name


def converted(plan, tensors, folder):
    path = safetensors(folder, tensors, "in.safetensors")
    convert(path, folder / "x.safetensors", plan)
    path.unlink()
    return folder / "x.safetensors"


CODES = {
    "v": cf.asarray(V, cf.CFloat8_1_5_2, np.full((3, 5, 2), 14), block=16),
    "w": cf.asarray(W, FMT, np.arange(40) % 5 + 8, axis=0),
    "h": cf.asarray(W, "CFloat16_SHP", bias=20),
}
NARROW = {
    "b": W.astype(ml_dtypes.bfloat16),
    "e4": W.astype(ml_dtypes.float8_e4m3fn),
    "e5": W.astype(ml_dtypes.float8_e5m2),
}
EXPORTED = cf.asarray(W, FMT.replace(subnormals="ieee"), bias=12)
PYTORCH = ({"w": W, "a.v": V}, {"w": "float32", "a.v": "float16"})

FILE_KINDS = {
    "safetensors": FileKind(safetensors, VALUES, DTYPES),
    "narrow floats": FileKind(
        partial(safetensors, tensors=NARROW),
        {name: tensor.astype(np.float32) for name, tensor in NARROW.items()},
        {"b": "bfloat16", "e4": "float8_e4m3fn", "e5": "float8_e5m2"},
    ),
    "CFloat, saved": FileKind(
        partial(saved, CODES | {"ids": IDS}),
        {name: np.asarray(tensor) for name, tensor in CODES.items()},
        {name: tensor.format.name for name, tensor in CODES.items()},
        is_encoded=True,
    ),
    "CFloat, converted": FileKind(
        partial(converted, Plan(FMT, bias=12), PLAIN),
        {name: cf.round_to(x.astype(np.float32), FMT, 12) for name, x in VALUES.items()},
        dict.fromkeys(VALUES, "CFloat8_1_4_3"),
        is_encoded=True,
    ),
    "8-bit floats and scales": FileKind(
        partial(converted, Plan(EXPORTED.format, bias=12, export=True), {"w.weight": W, "v": V}),
        {"w.weight": np.asarray(EXPORTED), "v": V},
        {"w.weight": "float8_e4m3fn", "v": "float16"},
        is_encoded=True,
    ),
    "npz": FileKind(npz, VALUES, DTYPES),
    "packed npz": FileKind(partial(npz, write=np.savez_compressed), VALUES, DTYPES),
    "Fortran npz": FileKind(
        partial(npz, tensors=PLAIN | {"w": np.asfortranarray(W)}), VALUES, DTYPES
    ),
    "big-endian npz": FileKind(
        partial(npz, tensors=PLAIN | {"w": W.astype(">f4")}), VALUES, DTYPES
    ),
    "npy": FileKind(partial(npy, W), {"w": W}, DTYPES),
    "Fortran npy": FileKind(partial(npy, np.asfortranarray(W)), {"w": W}, DTYPES),
    "big-endian npy": FileKind(partial(npy, W.astype(">f4")), {"w": W}, DTYPES),
    "index": FileKind(sharded, VALUES, DTYPES),
    "sharded folder": FileKind(lambda folder: sharded(folder).parent, VALUES, DTYPES),
    "folder": FileKind(
        lambda folder: safetensors(folder, name="model.safetensors").parent, VALUES, DTYPES
    ),
    "pt": FileKind(partial(pytorch, "x.pt"), *PYTORCH),
    "pth": FileKind(partial(pytorch, "x.pth"), *PYTORCH),
    "bin": FileKind(partial(pytorch, "pytorch_model.bin"), *PYTORCH),
}
