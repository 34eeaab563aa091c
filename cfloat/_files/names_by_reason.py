"""Names with a reason for each, in few words."""

import re

from cfloat._core.text import printable


def by_reason(names: dict[str, str]) -> list[tuple[str, str]]:
    """Gather names by the reason that is given for each: reasons, and the names in few words."""
    gathered: dict[str, list[str]] = {}
    for name, reason in names.items():
        gathered.setdefault(reason, []).append(name)
    return [(reason, _few(found)) for reason, found in gathered.items()]


def _few(names: list[str]) -> str:
    """Name the first few of many, which are one if they differ by numbers alone."""
    names = list(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "*", name) for name in names))
    text = ", ".join(printable(name) for name in names[:3])
    return text if len(names) <= 3 else f"{text} and {len(names) - 3} more"


def in_one_line(names: dict[str, str]) -> str:
    """Write names with the reason that is given for each, in one line."""
    return "; ".join(f"{few}: {printable(reason)}" for reason, few in by_reason(names))


def by_kept(names: dict[str, str]) -> str:
    """Write other names of tensors with the names that they are stored under, in one line."""
    return "; ".join(f"{few} as {printable(kept)}" for kept, few in by_reason(names))
