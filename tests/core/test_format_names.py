"""Formats by name: which there are, in any case, and that a name is taken wherever a Format is."""

import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from commands import cfloat, main_refused, succeeded
from refusals import type_error, value_error

import cfloat as cf
from cfloat._core.presets import COMPARED, FORMATS, namesake

X = np.array([[1.0, 2.7, -0.3, 100.0], [0.01, 0.5, 3.0, 1.0]], np.float32)
NAMES = [*FORMATS, "binary8p3se", "binary8p4uf", "binary12p5ue", "binary3p1sf"]

every_name = pytest.mark.parametrize("name", NAMES)


def cases(name):
    return {name, name.upper(), name.lower(), name.capitalize(), name.swapcase()}


@pytest.mark.parametrize(
    ("fmt", "fields", "bias", "nonfinite", "subnormals"),
    [
        (cf.float8_e3m4, (1, 3, 4), 3, "ieee", "ieee"),
        (cf.float8_e4m3, (1, 4, 3), 7, "ieee", "ieee"),
        (cf.float8_e4m3b11fnuz, (1, 4, 3), 11, "fnuz", "ieee"),
        (cf.float8_e4m3fnuz, (1, 4, 3), 8, "fnuz", "ieee"),
        (cf.float8_e5m2fnuz, (1, 5, 2), 16, "fnuz", "ieee"),
        (cf.float8_e8m0fnu, (0, 8, 0), 127, "nan_only", "normal"),
        (cf.float6_e2m3fn, (1, 2, 3), 1, "none", "ieee"),
        (cf.float6_e3m2fn, (1, 3, 2), 3, "none", "ieee"),
        (cf.float4_e2m1fn, (1, 2, 1), 1, "none", "ieee"),
        (cf.format("binary8p3se"), (1, 5, 2), 16, "p3109", "ieee"),
        (cf.format("binary8p3sf"), (1, 5, 2), 16, "fnuz", "ieee"),
        (cf.format("binary8p3ue"), (0, 6, 2), 32, "p3109", "ieee"),
        (cf.format("binary8p3uf"), (0, 6, 2), 32, "nan_only", "ieee"),
    ],
    ids=str,
)
def test_fields(fmt, fields, bias, nonfinite, subnormals):
    assert (int(fmt.signed), fmt.exponent_bits, fmt.mantissa_bits) == fields
    assert fmt.bias_range == (bias, bias)
    assert (fmt.nonfinite, fmt.subnormals) == (nonfinite, subnormals)
    assert fmt.saturating == (nonfinite == "none")


@every_name
def test_any_case(name):
    fmt = cf.format(name)
    assert fmt.name == name
    for text in cases(name):
        assert cf.format(text) is fmt
    assert getattr(cf, name, fmt) is fmt
    assert cf.format(fmt) is fmt
    assert namesake(fmt.replace(saturating=True)) is fmt


@pytest.mark.parametrize(
    "name",
    ["", "float8", "binary8p3", "binary8p3se ", "binary08p3se", "binary8p0se", "binary8p8se", "binary8p9ue",
     "binary2p1se", "binary17p9se", "binary8p-1se", "binary8p3es", "binary\u0668p3se", "binary8p3\u017fe"],
)  # fmt: skip
def test_unknown_names(name):
    listed = ", ".join(fmt.name for fmt in COMPARED)
    names = f"{listed}, ml_dtypes' others, and P3109's binary{{K}}p{{P}}{{s|u}}{{e|f}}"
    value_error(f"name is {name!r}; the names are {names}", cf.format, name)
    value_error(f"format is {name!r}; the names are {names}", cf.encode, X, name)


@pytest.mark.parametrize("name", [None, 8, b"float16", np.float16, ["float16"]])
def test_what_is_no_name(name):
    type_error("it takes a cfloat.Format, such as cfloat.CFloat8_1_4_3, or a name", cf.format, name)


def test_reports_compare_what_they_did():
    assert (*cf.TESLA_FORMATS, *cf.COMPARISON_FORMATS) == COMPARED
    assert [fmt.name for fmt in cf.COMPARISON_FORMATS] == [
        "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    ]  # fmt: skip
    report = cf.report({"x": np.abs(X)})
    assert {row.format for row in report.rows} == {fmt.name for fmt in COMPARED}


@every_name
def test_every_function_takes_a_name(name):
    fmt, other = cf.format(name), name.swapcase()
    x = np.abs(X)
    codes = cf.encode(x, fmt)
    np.testing.assert_array_equal(cf.encode(x, other), codes)
    np.testing.assert_array_equal(cf.decode(codes, other), cf.decode(codes, fmt))
    np.testing.assert_array_equal(cf.round_to(x, other), cf.round_to(x, fmt))
    assert cf.finfo(other) == cf.finfo(fmt)
    assert cf.choose_bias(x, other) == cf.choose_bias(x, fmt)
    assert cf.BiasTracker(other).format is fmt
    assert repr(cf.error(x, x, other)) == repr(cf.error(x, x, fmt))
    a = cf.asarray(x, other)
    made = [
        a, cf.array(x, other), cf.CFloatArray(codes, other), cf.ones(3, other),
        cf.empty(3, other), cf.full(3, 1.0, other),
    ]  # fmt: skip
    if fmt.subnormals != "normal":
        made.append(cf.zeros(3, other))
    assert {each.format for each in made} == {fmt}
    products = [cf.matmul(a, x.T, accumulate=one) for one in (other, fmt)]
    np.testing.assert_array_equal(*products)
    assert {row.format for row in cf.report({"x": x}, other).rows} == {name}
    theory = [cf.theoretical_sqnr_db(one, "normal") for one in (other, fmt)]
    assert theory[0] == theory[1]


@pytest.mark.parametrize("name", ["CFloat8_1_5_2", "binary8p3se"])
def test_astype_takes_names_that_no_dtype_has(name):
    a = cf.asarray(X, cf.CFloat16_SHP)
    for text in cases(name):
        assert a.astype(text).format is cf.format(name)
    # these are dtypes, as they were
    assert a.astype("float16").dtype == np.float16
    assert type(a.astype("float16")) is np.ndarray


@pytest.mark.parametrize(
    "name", ["float8_e8m0fnu", "float8_e4m3fnuz", "float6_e3m2fn", "binary12p5ue"]
)
def test_what_is_kept_loads_in_a_fresh_process(name, tmp_path):
    path = tmp_path / "model.safetensors"
    a = cf.asarray(np.abs(X), name)
    cf.save(path, {"w": a})
    (tmp_path / "a.pickle").write_bytes(pickle.dumps((a, hash(a.format) and a.format)))
    program = (
        "import pickle, sys, cfloat as cf, numpy as np\n"
        f"a = cf.load({str(path)!r})['w']\n"
        f"b, fmt = pickle.load(open({str(tmp_path / 'a.pickle')!r}, 'rb'))\n"
        f"assert a.format == b.format == fmt == cf.format({name!r})\n"
        "assert {fmt: 1}[a.format] == 1\n"
        "np.testing.assert_array_equal(a.codes, b.codes)\n"
        "print(a.codes.tobytes().hex())"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == a.codes.tobytes().hex()


def test_a_file_that_calls_other_fields_by_p3109s_name_is_refused(tmp_path):
    """As one that does so with a preset's name."""
    path = tmp_path / "model.safetensors"
    fields = {"exponent_bits": 4, "mantissa_bits": 3}
    for name in ("binary8p3se", "float8_e5m2fnuz"):
        with pytest.raises(ValueError, match=f"{name} has exponent_bits 5, and this one 4"):
            cf.save(path, {"w": cf.asarray(X, cf.Format(name, **fields))})
    # what is no format here is the user's own
    cf.save(path, {"w": cf.asarray(X, cf.Format("binary10p1se", **fields))})
    assert cf.load(path)["w"].format.exponent_bits == 4


def test_commands_take_names(tmp_path, capsys):
    source, target = tmp_path / "x.npz", tmp_path / "y.safetensors"
    np.savez(source, w=np.repeat(X, 64, 0))
    succeeded(cfloat("convert", source, target, "--format", "BINARY8P4SE"))
    assert cf.load(target)["w"].format == cf.format("binary8p4se")
    text = succeeded(
        cfloat("report", source, "--format", "Binary8p3se", "--format", "float8_E5M2FNUZ", "--all")
    )
    assert text.index("float8_e5m2fnuz") < text.index("binary8p3se")
    plan = tmp_path / "plan.toml"
    succeeded(
        cfloat(
            "plan",
            source,
            "--formats",
            "binary8p3SE,float6_E3M2fn",
            "--min-db",
            "10",
            "--out",
            plan,
        )
    )
    chosen = re.search('format = "(.*?)"', plan.read_text())[1]
    assert chosen in ("binary8p3se", "float6_e3m2fn")
    plan.write_text(plan.read_text().replace(chosen, "binary8p3SE"))
    succeeded(cfloat("convert", source, target, "--plan", plan))
    assert cf.load(target)["w"].format == cf.format("binary8p3se")
    for command in (["convert", source, target], ["report", source]):
        refused = main_refused(capsys, *command, "--format", "float9")
        assert "the format is 'float9'; the names are CFloat8_1_4_3" in refused
        refused = main_refused(capsys, *command, "--format", "binary10p1se")
        assert "binary10p1se has values beyond float32's range" in refused
    plan.write_text(plan.read_text().replace("binary8p3SE", "binary10p1se"))
    refused = main_refused(capsys, "convert", source, target, "--plan", plan)
    assert "plan.toml" in refused
    assert "binary10p1se has values beyond float32's range" in refused


def test_info_lists_the_names():
    text = succeeded(cfloat("info"))
    assert [line.split()[0] for line in text.splitlines()[1 : len(FORMATS) + 1]] == list(FORMATS)
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert rows["float8_e4m3fnuz"] == [
        "1",
        "4",
        "3",
        "8",
        "240",
        "0.0078125",
        "0.0009765625",
        "nan,",
        "no",
        "-0",
    ]
    assert rows["float8_e8m0fnu"][-3:] == ["nan,", "no", "0"]
    assert "IEEE P3109's binary{K}p{P}{s|u}{e|f}" in text
    listed = json.loads(succeeded(cfloat("info", "--json")))
    assert [each["name"] for each in listed["formats"]] == list(FORMATS)
    assert listed["formats"][-1]["limits"]["max"] == 6.0
    assert listed["p3109"] == "binary{K}p{P}{s|u}{e|f}"


@pytest.mark.parametrize(
    "name", ["float8_e8m0fnu", "float8_e5m2fnuz", "binary8p4uf", "binary12p5ue"]
)
def test_info_of_a_format(name):
    fmt = cf.format(name)
    text = succeeded(cfloat("info", name.upper()))
    assert text.startswith(f"{name} at bias {fmt.default_bias} (of {fmt.default_bias} to ")
    assert f"max                 {cf.finfo(fmt).max:.10g}\n" in text
    value = json.loads(succeeded(cfloat("info", name, "--json")))
    np.testing.assert_array_equal(np.array(value["values"], float), fmt.values())


def test_info_of_nothing_takes_no_bias(capsys):
    assert "nothing is not a format" in main_refused(capsys, "info", "--bias", "3")
    assert "binary9p1ue has values beyond" in main_refused(capsys, "info", "binary9p1ue")
