"""Reports that were written as JSON: read back, and refused where they are anything else."""

import copy
import json

import numpy as np
import pytest
from report_content import HOSTILE, make_content, make_plan

import cfloat as cf
from cfloat._report.html_page import compare_page
from cfloat._report.saved_reports import check_report, read_report


@pytest.fixture(scope="module")
def report():
    """A report with something in each of its lists."""
    random = np.random.default_rng(0)
    tensors = {
        HOSTILE[0]: random.standard_normal((8, 64)),
        "zero": np.zeros(3),
        "words": np.array([1, 2]),
        "exact": np.array([1.0, 2.0, 4.0]),
    }
    inputs = {HOSTILE[0]: random.standard_normal((5, 64))}
    return cf.report(tensors, [cf.CFloat8_1_4_3, cf.CFloat16_SHP, cf.float16], activations=inputs)


@pytest.mark.quick
def test_what_is_written_is_read(report, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(report.to_json())
    content = read_report(path)
    assert content == report.to_content()
    assert all(content[key] for key in content)
    assert compare_page([content, content]).startswith("<!DOCTYPE html>")


def _paths(value, path=()):
    """The places of all values, of the first and the last record of a list alone."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _paths(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for place in sorted({0, len(value) - 1}):
            yield from _paths(value[place], (*path, place))


def _refused(content):
    """Why a report is refused; None if it is not."""
    try:
        check_report(content)
    except ValueError as error:
        return str(error)
    return None


def _changed(content, path, value):
    changed = copy.deepcopy(content)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def test_a_value_of_another_kind_is_refused(report):
    content = report.to_content()
    for path in _paths(content):
        if path:
            for value in ({"<b>": {}}, [[]]):
                reason = _refused(_changed(content, path, value))
                assert reason, (path, value)
                assert reason.isprintable()
    assert _refused([]) is not None


def test_what_the_page_reads_has_to_be_there(report):
    content = report.to_content()
    # what is derived from other figures of the row, or is of later versions, need not be
    spare = {"size", "nonfinite", "ieee_bias", "ieee_sqnr_db", "gain_db", "default_gain_db", "stochastic_db",
             "ieee_gain_db"}  # fmt: skip
    for path in _paths(content):
        if not path or not isinstance(path[-1], str) or path[0] == "skipped":
            continue
        if path[0] == "rows" and path[-1] in spare:
            continue
        if {"theory", "dtypes", "left_out"} & set(path[:-1]):
            continue
        changed = copy.deepcopy(content)
        place = changed
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        assert "has no" in (_refused(changed) or ""), path


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("rows", 0, "tensor"), "other", r"rows\[0\].tensor is 'other', which is not in tensors"),
        (("rows", 0, "bias"), 1 << 40, "an integer from"),
        (("rows", 0, "bias"), True, "an integer from"),
        (("rows", 0, "sqnr_db"), 1e300, "a level in dB"),
        (("rows", 0, "mse"), 10**400, "a number"),
        (("rows", 0, "__proto__"), 1, "no name of a figure"),
        (("rows", 0, "later_db"), "<b>", "a number or null"),
        (("rows", 0, "plateau"), [1], "has 1 values; it takes 2"),
        (("conclusion", "curve"), [[1]], "has 1 values; it takes 2"),
        (("conclusion", "curve"), [[-1, 3.0]], "an integer from 0"),
        (("conclusion", "commands"), ["rm -rf /"], "a command of cfloat's"),
        (("conclusion", "commands"), ["cfloat convert a b; rm -rf /"], "a command of cfloat's"),
        (("conclusion", "commands"), ["cfloat convert a $(id)"], "a command of cfloat's"),
        (("conclusion", "commands"), ["cfloat convert a b && rm c"], "a command of cfloat's"),
        (("conclusion", "commands"), ["cfloat convert a b\ncfloat c"], "a command of cfloat's"),
        (("conclusion", "commands"), ["cfloat convert 'a\u202eb' c"], "a command of cfloat's"),
        (("conclusion", "commands"), ["cfloat convert 'a"], "a command of cfloat's"),
        (("tensors", 1, "name"), HOSTILE[0], "is there twice"),
        (("tensors", 0, "size"), -1, "an integer from 0"),
        (("cfloat",), 1, "a text"),
    ],
)  # fmt: skip
def test_what_is_refused(report, path, value, message):
    content = _changed(report.to_content(), path, value)
    with pytest.raises(ValueError, match=message):
        check_report(content)


def test_commands_that_are_taken(report):
    for commands in (
        [],
        ["cfloat convert 'a file; rm' OUT"],
        ["cfloat plan a --out plan.toml && cfloat convert a b --plan plan.toml"],
    ):
        check_report(_changed(report.to_content(), ("conclusion", "commands"), commands))


def test_a_row_twice(report):
    content = report.to_content()
    content["rows"].append(content["rows"][0])
    with pytest.raises(ValueError, match=r"rows: .* is there twice"):
        check_report(content)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "3", "{" * 100_000, '{"a": 1, "a": 2}', '{"cfloat": NaN}', "\xff", "[" * 10**6],
)  # fmt: skip
def test_files_that_are_no_reports(tmp_path, text):
    path = tmp_path / "a\nb.json"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(cf.FileError) as refused:
        read_report(path)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path))


def test_other_json_of_ours(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(make_plan()))
    with pytest.raises(cf.FileError, match="not what cfloat report --json writes"):
        read_report(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(cf.FileError, match="Is a directory"):
        read_report(tmp_path)
    with pytest.raises(cf.FileError, match="No such file"):
        read_report(tmp_path / "none.json")
    with pytest.raises(cf.FileError, match="not a file name"):
        read_report("")
    with pytest.raises(cf.ArgumentTypeError, match="it takes a str or a path"):
        read_report(3)


def test_a_file_that_is_too_long(tmp_path, monkeypatch, report):
    monkeypatch.setattr("cfloat._report.saved_reports.MAX_BYTES", 1000)
    path = tmp_path / "a.json"
    path.write_text(report.to_json())
    with pytest.raises(cf.FileError, match="a report of more than 1000 bytes"):
        read_report(path)


def test_the_page_of_reports_that_are_hostile():
    # what the page's own tests show in a browser is what the reader takes
    content = make_content()
    content["tensors"] = [each | {"kurtosis": 0.5} for each in content["tensors"]]
    check_report(content)
