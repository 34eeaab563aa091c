"""Reports that ``cfloat report --json`` wrote: reading them back, checked in every part."""

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cfloat._core.text import shown
from cfloat._files.file_errors import NotSupportedError, refusing_damage
from cfloat._files.paths import as_path
from cfloat._files.strict_json import read_json

from .shell_words import written_words

Check = Callable[[Any, str], None]

#: Bytes of the longest file: one of 5,000 tensors in eight formats has about 100 MB.
MAX_BYTES: Final = 1 << 29

# what no tensor is beyond, and what a page can count by ones
_LARGEST_SIZE: Final = 1 << 62
_LARGEST_EXPONENT: Final = 1 << 20
_LARGEST_DB: Final = 1e6

# what a later version may say besides
_KEY: Final = re.compile("[a-z][a-z0-9_]{0,63}")


def read_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a report that ``cfloat report --json`` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    dict
        What `Report.to_content` gave.

    Raises
    ------
    FileError
        If it cannot be read, or is anything else: it says where, in one line.

    Notes
    -----
    A file may come from anybody.  Everything that a page or a table reads is there and of its type, names of
    tensors are unique and those that lists refer to are there, figures are finite or null, and commands are
    cfloat's alone, written as a shell takes each word for itself.
    """
    given = as_path(path)
    with refusing_damage(given):
        content = read_json(given, "a report", most=MAX_BYTES)
        try:
            check_report(content)
        except ValueError as error:
            raise NotSupportedError(f"not what cfloat report --json writes: {error}") from None
    checked: dict[str, Any] = content
    return checked


def check_report(content: Any) -> None:
    """Check a report as plain data; ValueError says where it is not one."""
    _REPORT(content, "the file")
    names = [tensor["name"] for tensor in content["tensors"]]
    known = set(names)
    if len(known) < len(names):
        raise ValueError(f"tensors: {_twice(names)} is there twice")
    for title in ("rows", "granularity", "comparisons", "matmul"):
        for place, each in enumerate(content[title]):
            if each["tensor"] not in known:
                raise ValueError(
                    f"{title}[{place}].tensor is {shown(each['tensor'])}, which is not in tensors"
                )
    pairs = [(row["tensor"], row["format"]) for row in content["rows"]]
    if len(set(pairs)) < len(pairs):
        raise ValueError(f"rows: {_twice(pairs)} is there twice")


def _twice(values: list[Any]) -> str:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            break
        seen.add(value)
    return shown(value)


def _expected(what: str, where: str, value: Any) -> ValueError:
    return ValueError(f"{where} is {shown(value)}; it takes {what}")


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise _expected("a text", where, value)


def _flag(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        raise _expected("true or false", where, value)


def _number(value: Any, where: str) -> None:
    """Take a finite number, or null for what is none."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _expected("a number or null", where, value)
    if not (abs(value) <= _LARGEST_SIZE if isinstance(value, int) else math.isfinite(value)):
        raise _expected("a number that is no larger", where, value)


def _decibels(value: Any, where: str) -> None:
    _number(value, where)
    if value is not None and abs(value) > _LARGEST_DB:
        raise _expected("a level in dB", where, value)


def _integer(least: int, most: int) -> Check:
    def check(value: Any, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _expected(f"an integer from {least} to {most}", where, value)

    return check


_count = _integer(0, _LARGEST_SIZE)
_exponent = _integer(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)


def _command(value: Any, where: str) -> None:
    """Take cfloat's own commands, each word of which a shell takes as it is."""
    _text(value, where)
    if not value:
        return
    try:
        commands = written_words(value)
    except ValueError:
        commands = []
    if not commands or any(each[0] != "cfloat" for each in commands):
        raise _expected("a command of cfloat's", where, value)


def _scalar(value: Any, where: str) -> None:
    """Take what a later version may say of a record."""
    if not isinstance(value, str | bool):
        _number(value, where)


def _or_null(check: Check) -> Check:
    return lambda value, where: None if value is None else check(value, where)


def _list(check: Check, length: int | None = None) -> Check:
    def check_list(value: Any, where: str) -> None:
        if not isinstance(value, list):
            raise _expected("a list", where, value)
        if length is not None and len(value) != length:
            raise ValueError(f"{where} has {len(value)} values; it takes {length}")
        for place, each in enumerate(value):
            try:
                check(each, "")
            except ValueError:
                # where it is takes time to say, and there are millions
                check(each, f"{where}[{place}]")
                raise

    return check_list


def _mapping(check: Check) -> Check:
    def check_mapping(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _expected("an object", where, value)
        for key, each in value.items():
            check(each, f"{where}[{shown(key)}]")

    return check_mapping


def _record(checks: Mapping[str, Check]) -> Check:
    def check_record(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _expected("an object", where, value)
        for key, check in checks.items():
            if key not in value:
                raise ValueError(f"{where} has no {key}")
            check(value[key], f"{where}.{key}")
        for key in sorted(value.keys() - checks.keys()):
            if not _KEY.fullmatch(key):
                raise ValueError(f"{where} has {shown(key)}, which is no name of a figure")
            (_decibels if key.endswith("_db") else _scalar)(value[key], f"{where}.{key}")

    return check_record


def _curve_point(value: Any, where: str) -> None:
    _list(_number, 2)(value, where)
    _count(value[0], f"{where}[0]")
    _decibels(value[1], f"{where}[1]")


_TENSOR: Final = _record({
    "name": _text, "shape": _list(_count), "dtype": _text, "size": _count, "nonfinite": _count,
    "zeros": _count, "max": _number, "kurtosis": _number, "signal": _number, "kind": _text,
    "is_constant": _flag,
    "exponents": _record({"first": _exponent, "counts": _list(_count)}),
})  # fmt: skip

_ROW: Final = _record({
    "tensor": _text, "shape": _list(_count), "dtype": _text, "format": _text, "subnormals": _text,
    "bits": _integer(1, 64), "bias": _exponent, "sqnr_db": _decibels, "mse": _number,
    "max_abs": _number, "max_rel": _number, "cosine": _number, "saturated": _number,
    "underflowed": _number, "subnormal": _number, "headroom": _number, "codes_used": _count,
    "codes": _count, "entropy": _number, "plateau": _list(_exponent, 2),
    "curve": _record({"first": _exponent, "sqnr_db": _list(_decibels)}),
    "window": _record({
        "smallest_subnormal": _or_null(_exponent), "smallest_normal": _exponent, "highest": _exponent,
    }),
    "theory": _or_null(_mapping(_decibels)),
})  # fmt: skip

_GRANULARITY: Final = _record({
    "tensor": _text, "format": _text, "granularity": _text, "sqnr_db": _decibels, "biases": _count,
    "lowest": _exponent, "median": _exponent, "highest": _exponent, "nbytes": _count,
    "bits_per_element": _number,
})  # fmt: skip

_COMPARISON: Final = _record({
    "tensor": _text, "scheme": _text, "sqnr_db": _decibels, "bits_per_element": _number,
    "nbytes": _count,
})  # fmt: skip

_PRODUCT: Final = _record({
    "tensor": _text, "format": _text, "weight_sqnr_db": _decibels, "input_sqnr_db": _decibels,
    "output_sqnr_db": _decibels, "predicted_db": _decibels,
})  # fmt: skip

_COSTS: Final[dict[str, Check]] = {
    "nbytes": _count, "weighted_db": _decibels, "worst_db": _decibels, "worst": _text,
}  # fmt: skip

_CONFIGURATION: Final = _record(_COSTS | {
    "format": _text, "granularity": _text, "nbytes_before": _count, "energy_db": _decibels,
    "median_db": _decibels, "over_3db": _count, "command": _command,
})  # fmt: skip

_CONCLUSION: Final = _record({
    "model": _record({
        "paths": _list(_text), "tensors": _count, "parameters": _count, "nbytes": _count,
        "dtypes": _mapping(_count),
    }),
    "bound_db": _decibels,
    "recommended": _or_null(_CONFIGURATION), "cheaper": _or_null(_CONFIGURATION),
    "better": _or_null(_CONFIGURATION),
    "plan": _or_null(_record(_COSTS | {"command": _command})),
    "configurations": _list(_CONFIGURATION),
    "schemes": _list(_record(_COSTS | {"scheme": _text, "bits_per_element": _number})),
    "denormals": _or_null(_record({
        "format": _text, "weighted_db": _decibels, "best_db": _decibels, "best": _text,
        "default_db": _decibels, "default": _text, "exact_with_ieee": _count,
    })),
    "integers": _or_null(_record({"scheme": _text, "tensors": _count, "wins": _count})),
    "curve": _list(_curve_point), "commands": _list(_command), "left_out": _mapping(_list(_text)),
    "refusal": _text, "notes": _list(_text),
})  # fmt: skip

_REPORT: Final = _record({
    "cfloat": _text, "tensors": _list(_TENSOR), "rows": _list(_ROW),
    "granularity": _list(_GRANULARITY), "comparisons": _list(_COMPARISON), "matmul": _list(_PRODUCT),
    "skipped": _mapping(_text), "conclusion": _or_null(_CONCLUSION),
})  # fmt: skip
