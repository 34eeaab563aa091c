"""A page's data in few bytes: tables by column, rounded figures, and all of it compressed."""

import base64
import json
import math
import zlib
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

#: Keys of lists of records, and what tells kinds of their records apart: each kind's columns lie together.
TABLES: Final = {
    "tensors": (),
    "rows": ("format",),
    "granularity": ("format", "granularity"),
    "comparisons": ("scheme",),
    "matmul": ("format",),
}

#: What repeats the tensor's own, or another figure, in a list's records.
_REPEATED: Final = {"rows": ("shape", "dtype", "size", "nonfinite", "gain_db")}

# significant digits; figures with a fixed number of decimal places have those instead
_DIGITS: Final = 3
_COSINE_PLACES: Final = 6
_DB_PLACES: Final = 2

# steps of a dB in which curves are kept, and those of many points: a pixel or so
_STEPS: Final = 100
_COARSE_STEPS: Final = 5
_MANY_POINTS: Final = 1 << 17


def packed(contents: Sequence[dict[str, Any]]) -> str:
    """Pack plain data for a page.

    Parameters
    ----------
    contents : sequence of dict
        Reports, or plans, as plain data.  Their lists of records (`TABLES`) become columns, in which figures
        are rounded to what a page shows; records keep their order within a kind.

    Returns
    -------
    str
        Base64 of what zlib makes of them, which ``unpacked`` in ``assets/unpack.js`` takes.

    Raises
    ------
    ValueError
        If a number is NaN or infinite.

    Examples
    --------
    >>> zlib.decompress(base64.b64decode(packed([{"matmul": [{"format": "a", "bias": 3}]}])))
    b'[{"matmul":{"count":1,"columns":[["format",{"of":["a"],"at":[0]}],["bias",{"all":3}]]}}]'
    """
    text = json.dumps(
        [_by_column(each) for each in contents], allow_nan=False, separators=(",", ":")
    )
    # 7 of 9: the rest is a few bytes, and takes several times as long
    return base64.b64encode(zlib.compress(text.encode(), 7)).decode()


def _by_column(content: dict[str, Any]) -> dict[str, Any]:
    names = [tensor["name"] for tensor in content.get("tensors", ())]
    return {
        key: _table(key, value, names) if key in TABLES else value for key, value in content.items()
    }


def _table(title: str, records: Sequence[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """Turn records into columns, those of a kind one after the other."""
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(tuple(record.get(kind) for kind in TABLES[title]), []).append(record)
    ordered = list(chain.from_iterable(found.values()))
    keys = dict.fromkeys(chain.from_iterable(ordered))
    places = {name: place for place, name in enumerate(names)}
    columns = []
    for key in keys:
        if key in _REPEATED.get(title, ()):
            continue
        values: list[Any] = [each.get(key) for each in ordered]
        if key == "tensor" and all(value in places for value in values):
            columns.append([key, {"named": [places[value] for value in values]}])
        else:
            columns.append([key, _column(key, values)])
    return {"count": len(ordered), "columns": columns}


def _column(key: str, values: list[Any]) -> dict[str, Any]:
    """Write a column in the shortest of the ways that ``unpack.js`` reads."""
    present = [value for value in values if value is not None]
    if not present:
        return {"all": None}
    kinds = set(map(type, present))
    if kinds == {dict}:
        inner = dict.fromkeys(chain.from_iterable(present))
        columns = [
            [each, _column(each, [v.get(each) if v is not None else None for v in values])]
            for each in inner
        ]
        return {"none": [i for i, v in enumerate(values) if v is None], "columns": columns}
    if kinds == {list} and not any(
        isinstance(item, str | list | dict) for v in present for item in v
    ):
        items = list(chain.from_iterable(present))
        return {
            "lengths": [-1 if v is None else len(v) for v in values],
            "items": _steps(values) if key == "sqnr_db" else [_rounded(key, i) for i in items],
        }
    if kinds <= {int, float}:
        rounded = [_rounded(key, value) for value in values]
        return {"all": rounded[0]} if len(set(rounded)) == 1 else {"each": rounded}
    # texts, and whatever else there is: each once, told apart as JSON
    texts = [json.dumps(value, allow_nan=False) for value in values]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return {"of": [json.loads(text) for text in places], "at": [places[text] for text in texts]}


def _steps(curves: Sequence[Sequence[float | None] | None]) -> dict[str, Any]:
    """Write curves as what each point adds to the one before, in whole steps; None is a gap."""
    count = sum(len(curve) for curve in curves if curve is not None)
    per = _STEPS if count < _MANY_POINTS else _COARSE_STEPS
    found: list[int | None] = []
    for curve in curves:
        last = 0
        for value in curve or ():
            step = None if value is None else round(value * per)
            found.append(None if step is None else step - last)
            last = last if step is None else step
    return {"per": per, "steps": found}


def _rounded(key: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueError(f"{key} is {value}, which is not JSON compliant")
    if key == "db" or key.endswith("_db"):
        short = round(value, _DB_PLACES)
    elif key == "cosine":
        short = round(value, _COSINE_PLACES)
    else:
        short = float(f"{value:.{_DIGITS}g}")
    # "3" is shorter than "3.0", and no zero has a sign
    return int(short) if abs(short) < 1e15 and short.is_integer() else short
