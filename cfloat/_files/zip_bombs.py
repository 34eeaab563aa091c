"""Zip archives that would fill the memory: what is refused before anything is unpacked."""

import os
import zipfile
from typing import Final

# Deflate makes at most so many bytes of one.
_MOST_UNPACKED: Final = 1032

# Zeros are packed a thousandfold, and a file of them is read; but a member that claims to be larger than this
# and packed tighter than any measured tensor is refused before it fills the memory.
_BOMB_BYTES: Final = 1 << 34
_BOMB_RATIO: Final = 200

# The same of all members together, where they are all unpacked at once.
_TOGETHER_BYTES: Final = 1 << 28


def check_shared(members: list[zipfile.ZipInfo], size: int) -> None:
    """Raise ValueError if members of an archive share their bytes: a few would unpack to any size."""
    packed = sum(info.compress_size for info in members)
    if packed > size:
        raise ValueError(f"members of {packed} bytes in a file of {size}, as in a zip bomb")


def check_member(info: zipfile.ZipInfo) -> None:
    """Raise ValueError for a member that claims to unpack to more than it can, or than there is room for."""
    packed, claimed = info.compress_size, info.file_size
    impossible = info.compress_type == zipfile.ZIP_DEFLATED and claimed > _MOST_UNPACKED * packed
    if impossible or claimed > max(min(_BOMB_BYTES, _memory_bytes()), _BOMB_RATIO * packed):
        raise ValueError(f"{packed} bytes claim to unpack to {claimed}, as a zip bomb would")


def check_together(members: list[zipfile.ZipInfo]) -> None:
    """Raise ValueError if members that are unpacked at once take more than there is room for."""
    for info in members:
        check_member(info)
    packed = sum(info.compress_size for info in members)
    claimed = sum(info.file_size for info in members)
    if claimed > max(min(_TOGETHER_BYTES, _memory_bytes()), _BOMB_RATIO * packed):
        raise ValueError(f"{packed} bytes claim to unpack to {claimed}, as a zip bomb would")


def _memory_bytes() -> int:
    """Count the bytes of this machine's memory; where the system does not tell, there is no end to it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**63
