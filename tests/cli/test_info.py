"""`cfloat info`: what is in a checkpoint, and what a format can hold."""

import json

import numpy as np
from commands import cfloat, main_refused, succeeded

import cfloat as cf
from cfloat._core.format_info import format_info


def test_a_checkpoint(tmp_path):
    path = tmp_path / "x.safetensors"
    fmt = cf.CFloat8_1_4_3
    x = np.ones((4, 6), np.float32)
    tensors = {
        "a": cf.asarray(x, fmt, [3, 4, 5, 9], axis=0),
        "b": cf.asarray(x, fmt.replace(subnormals="ieee"), np.full((4, 2), 6), block=5),
        "c\x1b[2J": x,
        "d": cf.asarray(x[0], cf.CFloat16_UHP),
    }
    cf.save(path, tensors)
    text = succeeded(cfloat("info", path))
    assert text == (
        "name      dtype or format            shape           bias  bytes\n"
        "a         CFloat8_1_4_3, whitepaper  4x6      3..9 axis 0     32\n"
        "b         CFloat8_1_4_3, ieee        4x6    6 blocks of 5     40\n"
        "c\\x1b[2J  F32                        4x6                      96\n"
        "d         CFloat16_UHP, flush        6                 31     12\n"
        "4 tensors, 78 elements, 180 bytes\n"
    )
    value = json.loads(succeeded(cfloat("info", path, "--json")))
    assert value["nbytes"] == 180
    assert value["tensors"][0] == {
        "name": "a", "kind": "CFloat8_1_4_3", "subnormals": "whitepaper", "shape": [4, 6],
        "biases": [3, 9], "layout": "axis 0", "nbytes": 32,
    }  # fmt: skip


def test_a_format():
    text = succeeded(cfloat("info", "CFloat8_1_4_3", "--bias", "10"))
    assert "CFloat8_1_4_3 at bias 10 (of 0 to 63)" in text
    assert "max                 60\n" in text
    table = [line.split() for line in text.splitlines() if line.startswith("0x")]
    values = np.array([row[1:] for row in table], float).reshape(-1)
    np.testing.assert_allclose(values, cf.CFloat8_1_4_3.values(10), rtol=1e-6)
    ieee = succeeded(cfloat("info", "CFloat8_1_4_3", "--subnormals", "ieee"))
    assert "subnormals ieee" in ieee
    for fmt in (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS):
        value = json.loads(json.dumps(format_info(fmt).to_dict()))
        np.testing.assert_array_equal(np.array(value["values"], float), fmt.values())
        assert value["limits"]["max"] == cf.finfo(fmt).max
        assert format_info(fmt).to_text().count("\n") < 60


def test_refusals(tmp_path, capsys):
    assert "bias is 64" in main_refused(capsys, "info", "CFloat8_1_4_3", "--bias", "64")
    for name in ("CFloat9", "float8_e4m3fnz", "binary8p9se"):
        message = main_refused(capsys, "info", name)
        assert f"'{name}' is neither a file nor a format, which are CFloat8_1_4_3, " in message
    (tmp_path / "readme").write_text("")
    assert "not a file that can be read" in main_refused(capsys, "info", tmp_path / "readme")
    for name, reading in (("float8_e8m0fnu", "flush"), ("FLOAT8_E8M0FNU", "ieee")):
        message = main_refused(capsys, "info", name, "--subnormals", reading)
        assert "float8_e8m0fnu has neither subnormals nor a zero" in message
    assert "is not a format" in main_refused(capsys, "info", "x.safetensors", "--bias", "3")
    assert "No such file" in main_refused(capsys, "info", tmp_path / "x.safetensors")
