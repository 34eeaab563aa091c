"""What compressed-tensors is to know of an export: in a model's ``config.json``, or in a file by itself."""

import json
import os
from pathlib import Path
from typing import Any

from cfloat.errors import FileError

from .file_errors import refusing_damage
from .paths import shown_path
from .replace import write_text
from .strict_json import read_json


def quantization_config(strategy: str, ignored: list[str]) -> dict[str, Any]:
    """Make the ``quantization_config`` of compressed-tensors' format ``float-quantized``.

    Parameters
    ----------
    strategy : {"tensor", "channel"}
        Whether there is one scale a tensor, or one a row.
    ignored : list of str
        Linear modules that are not quantized.
    """
    weights = {
        "num_bits": 8,
        "type": "float",
        "symmetric": True,
        "strategy": strategy,
        "dynamic": False,
        "group_size": None,
        "block_structure": None,
        "actorder": None,
        "observer": "minmax",
        "observer_kwargs": {},
    }
    group = {
        "targets": ["Linear"],
        "weights": weights,
        "input_activations": None,
        "output_activations": None,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ignored,
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }


def write_configuration(
    folder: Path, is_model: bool, source: Path, strategy: str, ignored: list[str]
) -> None:
    """Write the configuration of an export beside its files.

    Parameters
    ----------
    folder : Path
        Where the files are.
    is_model : bool
        Whether they are all of a model's, to which its ``config.json`` belongs.
    source : Path
        The checkpoint, beside which that may be.
    strategy, ignored
        As in `quantization_config`.
    """
    said = quantization_config(strategy, ignored)
    value = model_configuration(folder, is_model, source)
    if value is None:
        write_text(folder / "quantization_config.json", json.dumps(said, indent=2) + "\n")
        return
    value["quantization_config"] = said
    write_text(folder / "config.json", json.dumps(value, indent=2) + "\n")


def model_configuration(folder: Path, is_model: bool, source: Path) -> dict[str, Any] | None:
    """Make the config.json to write, without what is said of the export; None if there is none to write.

    FileError if that would overwrite another model's.
    """
    beside, target = source.parent / "config.json", folder / "config.json"
    if os.path.realpath(beside) == os.path.realpath(target):
        return None
    value: dict[str, Any] = {}
    if beside.is_file():
        value = _read(beside)
    elif not is_model:
        return None
    if os.path.lexists(target) and _read(target) != value:
        raise FileError(
            f"{shown_path(target)}: would be overwritten, and differs from that of the source"
        )
    return value


def _read(path: Path) -> dict[str, Any]:
    """Read a model's config.json, without what it says of quantization."""
    with refusing_damage(path):
        value = read_json(path, "a configuration")
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
    value.pop("quantization_config", None)
    return value
