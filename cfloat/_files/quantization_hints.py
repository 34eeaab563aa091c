"""What a model's configuration says of its scales, where shapes alone leave it open."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from .strict_json import read_json

#: Where a configuration may be, and the keys under which it says something of quantisation.
_FILES: Final = ("config.json", "quantization_config.json", "hf_quant_config.json")
_KEYS: Final = ("quantization_config", "compression_config", "quantization")


class Hints(NamedTuple):
    """Lengths of blocks and bits that a configuration names, for any of its tensors.

    Attributes
    ----------
    rows, columns : frozenset of int
        How many rows, and how many elements of a row, may share a scale.
    bits : frozenset of int
        How many bits codes may have.
    """

    rows: frozenset[int] = frozenset()
    columns: frozenset[int] = frozenset()
    bits: frozenset[int] = frozenset()

    def allow_bits(self, bits: int) -> bool:
        """Whether codes may have so many bits: if nothing is said, they may."""
        return not self.bits or bits in self.bits

    def with_metadata(self, text: str | None) -> "Hints":
        """Take what torchao's metadata say of a tensor in place of these."""
        try:
            value = json.loads(text or "{}")
        except (ValueError, RecursionError):
            return self
        data = value.get("_data") if isinstance(value, dict) else None
        block = data.get("block_size") if isinstance(data, dict) else None
        if isinstance(block, list) and block and all(map(_is_length, block)):
            return self._replace(rows=frozenset(block[:-1]), columns=frozenset(block[-1:]))
        return self


def read_hints(path: Path) -> Hints:
    """Read what the configurations beside a checkpoint say."""
    hints = Hints()
    for file in _FILES:
        beside = path.parent / file
        if not beside.is_file():
            continue
        value = read_json(beside, "a configuration", infinities=True)
        if not isinstance(value, dict):
            continue
        for said in (value, *(value.get(key) for key in _KEYS)):
            if isinstance(said, dict):
                hints = _added(hints, said)
    return hints


def _added(hints: Hints, said: dict[str, Any]) -> Hints:
    """Add what a configuration says, and what its groups say of weights."""
    groups = said.get("config_groups")
    weights = [group.get("weights") for group in _dicts(groups)]
    rows, columns, bits = set(hints.rows), set(hints.columns), set(hints.bits)
    for each in (said, *weights):
        if not isinstance(each, dict):
            continue
        for key in ("weight_block_size", "block_structure"):
            block = each.get(key)
            if isinstance(block, list) and len(block) == 2 and all(map(_is_length, block)):
                rows.add(block[0])
                columns.add(block[1])
        if _is_length(each.get("group_size")):
            columns.add(each["group_size"])
        if _is_length(each.get("num_bits")):
            bits.add(each["num_bits"])
    return Hints(frozenset(rows), frozenset(columns), frozenset(bits))


def _dicts(value: Any) -> list[dict[str, Any]]:
    inner = value.values() if isinstance(value, dict) else ()
    return [each for each in inner if isinstance(each, dict)]


def _is_length(value: Any) -> bool:
    return type(value) is int and value > 0
