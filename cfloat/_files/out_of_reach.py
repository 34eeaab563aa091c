"""What belongs to tensors of a file and cannot be read with them: in another file, or no tensor."""

import re
from typing import Any, Final

from cfloat._core.text import printable

from .file_errors import refusing_damage
from .strict_json import read_json
from .tensor_source import Source

#: What a part of a checkpoint is called by the programs that write several files; a variant may be in it.
_PART: Final = re.compile(r".*[-._]\d+-of-(?!0*1\.)\d+(\.\w+)+", re.IGNORECASE)


def is_part(name: str) -> bool:
    """Whether a file is called as one of several of a checkpoint."""
    return _PART.fullmatch(name) is not None


class OutOfReach:
    """What is not in a file that is read by itself, or cannot be read.

    Parameters
    ----------
    source : Source
        The file.

    Attributes
    ----------
    names : dict of str to str
        What is out of reach, and why each is.
    is_unknown : bool
        Whether the file is called as a part of a checkpoint, and no index says what is in the others.
    """

    def __init__(self, source: Source) -> None:
        self.names: dict[str, str] = {}
        for name, error in source.unreadable.items():
            self.names[name] = f"cannot be read: {printable(str(error))}"
        self.is_unknown = False
        # an index has all parts
        if source.parts[0] is not source:
            return
        with refusing_damage(source.path):
            indices = sorted(source.path.parent.glob("*.index*.json"))
        found = False
        for index in indices:
            with refusing_damage(index):
                said = read_json(index, "an index")
            weight_map: Any = said.get("weight_map") if isinstance(said, dict) else None
            if not isinstance(weight_map, dict) or source.path.name not in weight_map.values():
                continue
            found = True
            for name, file in weight_map.items():
                if name not in source.entries and isinstance(file, str):
                    self.names[name] = f"is in {printable(file)}; open {printable(index.name)}"
        self.is_unknown = not found and is_part(source.path.name)
