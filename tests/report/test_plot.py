"""Plots of a report's tensors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from report_content import make_content, make_plan

import cfloat as cf
from cfloat._report.figure import draw, draw_plan


@pytest.fixture(autouse=True)
def _matplotlib(request):
    if "without" not in request.node.name:
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def test_curves_and_windows_of_a_tensor(tmp_path):
    content = make_content()
    figure = draw(content, "plain.weight")
    assert figure.get_suptitle() == "plain.weight"
    curves, exponents = figure.axes
    lines = {line.get_label(): line for line in curves.get_lines()}
    assert list(lines) == ["CFloat8_1_4_3", "CFloat8_1_5_2", "float16"]
    row = next(row for row in content["rows"] if row["tensor"] == "plain.weight")
    x, y = lines["CFloat8_1_4_3"].get_data()
    assert list(x) == list(range(8))
    assert list(y[1:7]) == row["curve"]["sqnr_db"][1:7]
    assert y[7] == curves.get_ylim()[0]  # far below the axis
    assert lines["CFloat8_1_4_3"].get_markevery() == [row["bias"]]
    assert len(exponents.patches) == 5
    assert len({line.get_color() for line in exponents.get_lines()}) == 3 + 1
    figure.savefig(tmp_path / "plot.svg")


@pytest.mark.slow
@pytest.mark.parametrize("index", range(10))
def test_every_tensor_can_be_drawn(index, tmp_path):
    content = make_content()
    figure = draw(content, content["tensors"][index]["name"])
    figure.savefig(tmp_path / "plot.png", dpi=40)


def test_the_worst_tensor_by_default():
    assert draw(make_content()).get_suptitle() == "hopeless"


def test_by_a_report():
    figure = cf.report({"w": [1.0, 2.0, 3.0]}, [cf.CFloat8_1_4_3]).plot("w")
    assert figure.get_suptitle() == "w"


def test_the_curve_that_a_plan_is_on(tmp_path):
    content = make_plan(("a", "b", "c"))
    content["source"] = "a $name$ \x1b[2J"
    figure = draw_plan(content)
    (axes,) = figure.axes
    curve, chosen = axes.get_lines()
    assert list(zip(*curve.get_data(), strict=True)) == [(700, 25.0), (1006, 32.5), (2000, 70.0)]
    assert chosen.get_xydata().tolist() == [[content["nbytes"], 32.5]]
    assert axes.get_title() == r"a $name$ \x1b[2J"
    figure.savefig(tmp_path / "plan.svg")
    exact = draw_plan(content | {"weighted_db": None, "curve": [], "nbytes_before": 0})
    exact.savefig(tmp_path / "exact.png", dpi=40)


def test_a_plan_by_itself(tmp_path):
    path = tmp_path / "model.safetensors"
    cf.save(path, {"w": np.random.default_rng(0).standard_normal((32, 64)).astype(np.float32)})
    made = cf.plan(path)
    (axes,) = made.plot().axes
    assert axes.get_lines()[1].get_xydata().tolist() == [[made.nbytes, made.weighted_db]]


def test_pyplot_is_left_alone():
    command = (
        "import sys; sys.path.insert(0, sys.argv[1]); from cfloat._report.figure import draw; "
    )
    command += "from report_content import make_content; draw(make_content()); "
    command += "sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run(
        [sys.executable, "-P", "-c", command, str(Path(__file__).parents[1] / "support")],
        check=True,
    )


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(cf.MissingExtraError, match=r"cfloat\[plot\]"):
        draw(make_content())
    with pytest.raises(cf.MissingExtraError, match=r"cfloat\[plot\]"):
        draw_plan(make_plan())


def test_bad_names():
    with pytest.raises(cf.ArgumentValueError, match="tensor is 'x'; the report has no tensor"):
        draw(make_content(), "x")
    with pytest.raises(cf.ArgumentTypeError, match="tensor is 3; it takes"):
        draw(make_content(), 3)
    with pytest.raises(cf.ArgumentValueError, match="the report has no tensor"):
        draw({"tensors": [], "rows": []})
