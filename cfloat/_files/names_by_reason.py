"""Names with a reason for each, in few words."""

import re

from cfloat._core.text import printable


def by_reason(names: dict[str, str]) -> list[tuple[str, str]]:
    """Gather names by the reason that is given for each: reasons, and the names in few words."""
    gathered: dict[str, list[str]] = {}
    for name, reason in names.items():
        gathered.setdefault(reason, []).append(name)
    return [(reason, few_names(found)) for reason, found in gathered.items()]


def few_names(names: list[str]) -> str:
    """Name the first few of many, which are one if they differ by numbers alone; of none, nothing."""
    return _first(list(dict.fromkeys(map(_folded, names))))


def _folded(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _first(names: list[str]) -> str:
    text = ", ".join(printable(name) for name in names[:3])
    return text if len(names) <= 3 else f"{text} and {len(names) - 3} more"


def in_one_line(names: dict[str, str]) -> str:
    """Write names with the reason that is given for each, in one line."""
    return "; ".join(f"{few}: {printable(reason)}" for reason, few in by_reason(names))


def by_kept(names: dict[str, str]) -> str:
    """Write other names of tensors with the names that they are stored under, in one line.

    Pairs that differ by numbers alone are one.
    """
    alike: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, kept in names.items():
        alike.setdefault((_folded(name), _folded(kept)), []).append((name, kept))
    written: dict[str, str] = {}
    for (name, kept), pairs in alike.items():
        same = len({each for _, each in pairs}) == 1
        written[pairs[0][0] if len(pairs) == 1 else name] = pairs[0][1] if same else kept
    gathered: dict[str, list[str]] = {}
    for name, kept in written.items():
        gathered.setdefault(kept, []).append(name)
    return "; ".join(f"{_first(few)} as {printable(kept)}" for kept, few in gathered.items())
