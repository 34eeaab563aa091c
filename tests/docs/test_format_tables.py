"""The tables of docs/reference/formats.md: every figure is that of the format it is beside."""

import re

import pytest
from markdown_examples import ROOT

import cfloat as cf
from cfloat._core.presets import FORMATS

PAGE = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| `", line)
]
LIMITS = [row for row in ROWS if len(row) == 7 and row[0].count("`") == 2]
PAIRS = [row for row in ROWS if len(row) == 7 and row not in LIMITS]
USERS = [row for row in ROWS if len(row) == 2]

BESIDE = {
    "none": "",
    "ieee": "infinities, NaN",
    "nan_only": "NaN",
    "fnuz": "NaN; no −0",  # noqa: RUF001 - as it is printed
}


def number(cell):
    """Read a figure: 480, 2{sup}`−6`, (2 − 2{sup}`−10`) · 2{sup}`31`."""
    text = re.sub(r"\{sup\}`(.*?)`", r"**(\1)", cell).replace("·", "*").replace("−", "-")  # noqa: RUF001
    assert re.fullmatch(r"[-0-9.*() ]+", text), cell
    return float(eval(text))


def fields(cell):
    return [int(part) for part in cell.split(" · ")]


def test_every_format_is_there():
    assert [row[0].strip("`") for row in LIMITS] == list(FORMATS)
    named = [name for row in PAIRS for name in re.findall("`(.*?)`", row[0])]
    assert named == [
        f"binary8p{precision}{sign}{end}"
        for sign, most in (("s", 7), ("u", 8))
        for precision in range(1, most + 1)
        for end in "ef"
    ]
    said = [name for row in USERS for name in re.findall("`(.*?)`", row[0])]
    assert sorted(said) == sorted(FORMATS)


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: row[0].strip("`"))
def test_limits(row):
    fmt = cf.format(row[0].strip("`"))
    info = cf.finfo(fmt)
    assert fields(row[1]) == [fmt.signed, fmt.exponent_bits, fmt.mantissa_bits]
    low, high = fmt.bias_range
    assert row[2] == (f"{low}" if low == high else f"{fmt.default_bias} of {low} … {high}")
    figures = [info.max, info.smallest_normal, info.smallest_subnormal]
    assert [number(cell) for cell in row[3:6]] == figures
    beside = BESIDE[fmt.nonfinite]
    if not fmt.signed:
        beside = beside.replace("infinities", "infinity")
    if fmt.subnormals == "normal":
        beside += "; no 0"
    assert row[6] == beside


@pytest.mark.parametrize("row", PAIRS, ids=lambda row: row[0].replace("`", "").replace(", ", "-"))
def test_limits_of_p3109(row):
    extended, finite = (cf.format(name) for name in re.findall("`(.*?)`", row[0]))
    infos = [cf.finfo(fmt) for fmt in (extended, finite)]
    for fmt, info in zip((extended, finite), infos, strict=True):
        assert fields(row[1]) == [fmt.signed, fmt.exponent_bits, fmt.mantissa_bits]
        assert int(row[2]) == fmt.default_bias
        smallest = [info.smallest_normal, info.smallest_subnormal]
        assert [number(cell) for cell in row[5:]] == smallest
    assert [number(cell) for cell in row[3:5]] == [info.max for info in infos]
