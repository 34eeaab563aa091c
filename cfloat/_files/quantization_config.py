"""What compressed-tensors is to know of an export: in a model's ``config.json``, or in a file by itself."""

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from cfloat.errors import FileError

from .file_errors import refusing_damage
from .fp8 import ScaleLayout
from .paths import shown_path
from .strict_json import read_json

# its modules call `forward` by itself, past the hook that decompresses
_FOR_SENTENCE_TRANSFORMERS: Final = (
    "for sentence-transformers, load it with "
    'model_kwargs={"quantization_config": transformers.CompressedTensorsConfig(dequantize=True)}'
)


def quantization_config(
    layout: ScaleLayout, ignored: list[str], dynamic: bool = False
) -> dict[str, Any]:
    """Make the ``quantization_config`` of compressed-tensors' format ``float-quantized``.

    Parameters
    ----------
    layout : ScaleLayout
        For which elements there is a scale.
    ignored : list of str
        Linear modules that are not quantized.
    dynamic : bool
        Whether readers quantize what goes into a layer: by token, or with blocks by group of a token's
        elements, as llm-compressor's ``FP8_DYNAMIC`` and ``FP8_BLOCK`` do.
    """
    block = layout.block
    weights = _quantized(layout.strategy) | {
        "dynamic": False,
        "block_structure": None if block is None else list(block),
        "observer": "minmax",
    }
    activations = None
    if dynamic:
        activations = _quantized("token" if block is None else "group") | {
            "dynamic": True,
            "group_size": None if block is None else block[1],
        }
    group = {
        "targets": ["Linear"],
        "weights": weights,
        "input_activations": activations,
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


def _quantized(strategy: str) -> dict[str, Any]:
    """Say that something is E4M3, and where its scales lie."""
    return {
        "num_bits": 8,
        "type": "float",
        "symmetric": True,
        "strategy": strategy,
        "group_size": None,
        "block_structure": None,
        "actorder": None,
        "observer": None,
        "observer_kwargs": {},
    }


class Configuration:
    """What becomes of a model's ``config.json``, or of the lack of one.

    Parameters
    ----------
    folder : Path or None
        The model's folder; None for a file by itself.
    target : Path
        The folder that is written into.

    Raises
    ------
    FileError
        If another model's configuration would be overwritten, or if one cannot be read.
    """

    def __init__(self, folder: Path | None, target: Path) -> None:
        self._target = target
        self._written: dict[str, str] = {}
        self._value: dict[str, Any] | None = None
        self._quantization: Any = None
        self._is_of_sentence_transformers = (
            folder is not None and (folder / "modules.json").is_file()
        )
        if folder is None:
            return
        there = target / "config.json"
        if (folder / "config.json").is_file():
            self._value, self._quantization = _read(folder / "config.json")
        if os.path.lexists(there) and (self._value is None or _read(there)[0] != self._value):
            raise FileError(
                f"{shown_path(there)}: would be overwritten, and differs from that of the source"
            )

    @property
    def value(self) -> dict[str, Any] | None:
        """The model's configuration, without what it says of quantization; None if there is none."""
        return self._value

    @property
    def written(self) -> dict[str, str]:
        """The files that are to be written, which come last into the folder: names, and texts."""
        return self._written

    def write_export(self, said: dict[str, Any]) -> list[str]:
        """Write what is said of an export, in ``config.json`` or by itself; give what its user must know."""
        if self._value is not None:
            self._write("config.json", self._value | {"quantization_config": said})
            return [_FOR_SENTENCE_TRANSFORMERS] if self._is_of_sentence_transformers else []
        notes = []
        path = self._target / "quantization_config.json"
        if os.path.lexists(path):
            there = _read(path)[0]
            if there.get("quant_method") != "compressed-tensors":
                raise FileError(
                    f"{shown_path(path)}: would be overwritten, and is not of an export"
                )
            if there != said:
                notes.append("quantization_config.json told of another export, and was replaced")
        self._write("quantization_config.json", said)
        return [
            *notes,
            'no config.json here: add to the model\'s "quantization_config": what is in '
            "quantization_config.json, or readers take codes for values",
        ]

    def write_codes(self) -> list[str]:
        """Write that there are codes, which readers other than this package do not know."""
        if self._value is None:
            return []
        self._write(
            "config.json", self._value | {"quantization_config": {"quant_method": "cfloat"}}
        )
        return ["cf.load reads the codes; for transformers, --export fp8 or --to writes a model"]

    def write_back(self, decoded: Collection[str], remaining: list[str], scaled: bool) -> list[str]:
        """Write the configuration of a model that is converted back.

        Parameters
        ----------
        decoded : collection of str
            Modules whose codes are values now.
        remaining : list of str
            Those that are codes still.
        scaled : bool
            Whether the codes had scales, of which a configuration has to tell.
        """
        if self._value is None:
            note = 'no config.json here: take "quantization_config" out of the model\'s'
            return [note] if scaled else []
        value = dict(self._value)
        if remaining and isinstance(self._quantization, dict):
            ignored = self._quantization.get("ignore")
            modules = {*decoded, *(ignored if isinstance(ignored, list) else ())}
            value["quantization_config"] = self._quantization | {"ignore": sorted(modules)}
        self._write("config.json", value)
        return []

    def _write(self, name: str, value: dict[str, Any]) -> None:
        self._written[name] = json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_configuration(path: Path) -> dict[str, Any]:
    """Read a model's configuration, without what it says of quantization."""
    return _read(path)[0]


def configuration_beside(path: Path) -> dict[str, Any] | None:
    """Read the configuration of the model that a checkpoint's file is of; None if there is none."""
    beside = path.parent / "config.json"
    return read_configuration(beside) if beside.is_file() else None


def _read(path: Path) -> tuple[dict[str, Any], Any]:
    """Read a model's configuration: what it says without quantization, and what it says of that."""
    with refusing_damage(path):
        value = read_json(path, "a configuration", infinities=True)
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
    said = value.pop("quantization_config", None)
    return value, value.pop("compression_config", said)
