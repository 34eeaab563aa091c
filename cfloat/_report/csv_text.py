"""Comma-separated values that spreadsheets read as values: no text of another's becomes a formula.

A spreadsheet computes a cell that begins with one of ``= + - @``, in quotes or not, and some skip white space
before it.  An apostrophe in front makes text of it.  So that it can be taken off again, a text that begins
with apostrophes and then such a character gets one, too.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

# with the wide forms that East Asian spreadsheets take for the same
_FORMULA: Final = re.compile("'*\\s*[=+\\-@\t\r\n\uff0b\uff0d\uff1d\uff20]")

# some spreadsheets split at these, too
_SEPARATORS: Final = re.compile("[\",;|\\s']")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows under a heading line.

    Parameters
    ----------
    columns : sequence of str
        The heading, and the keys of each row.
    rows : iterable of mapping
        Numbers, texts and None.  None and NaN become empty.
    """
    lines = [",".join(columns)]
    lines += [",".join(_cell(row[column]) for column in columns) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str):
        return str(value)
    text = "'" + value if _FORMULA.match(value) else value
    return '"' + text.replace('"', '""') + '"' if _SEPARATORS.search(text) else text
