"""Measurements as what JSON takes."""

import math
from typing import Any


def plain(value: Any) -> Any:
    """Make plain data with None for infinities and NaN.

    Examples
    --------
    >>> plain({"db": (30.0, float("inf"))})
    {'db': [30.0, None]}
    """
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
