"""``cfloat bench``, and a short run of the exhaustive comparison; no test asserts a time."""

import importlib.util
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import cfloat, refused, succeeded

import cfloat as cf
from cfloat._bench import (
    bias_rows,
    call_rows,
    conversion_rows,
    file_rows,
    product_rows,
    thread_rows,
)
from cfloat._bench.bench import DEFAULT_SECTIONS, SECTIONS, Bench, bench
from cfloat._bench.context import Context
from cfloat._bench.machine import this_machine
from cfloat._bench.row import Goal, Row
from cfloat._cli import main
from cfloat._core import isa as instruction_sets

EXHAUSTIVE = Path(__file__).resolve().parents[2] / "benchmarks" / "exhaustive.py"
QUICK = ("--size", "4096", "--seconds", "0.001")
ACCELERATED = [name for name in instruction_sets.isa_names() if name != "portable"]

needs_kernels = pytest.mark.skipif(not ACCELERATED, reason="this CPU runs no kernels but portable")


def expected_rows():
    return [
        (title, work.name)
        for title, works in conversion_rows.SECTIONS["conversions"].items()
        for work in works
    ]


def refuse_constant(name):
    raise AssertionError(f"{name} is not JSON")


def test_every_row_is_printed(tmp_path):
    path = tmp_path / "bench.json"
    text = succeeded(cfloat("bench", *QUICK, "--size", "100", "--json", path))
    assert "\x1b" not in text  # plain when piped
    tables = text[text.index(conversion_rows.LEGEND) :]
    assert max(map(len, tables.splitlines())) <= 80
    for version in (cf.__version__, np.__version__):
        assert version in text
    assert cf.isa() in text
    for size in (4096, 100):
        assert f"\n{size} elements" in text
    for _, work in expected_rows():
        assert len(re.findall(rf"^  {work} +\d", text, re.MULTILINE)) >= 2
    assert re.search(r"^  encode, 3 elements +\d", text, re.MULTILINE)

    result = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    rows = [
        (row["group"].split()[0], row["title"], row["work"])
        for row in result["rows"]
        if row["section"] == "conversions"
    ]
    assert rows == [(size, *row) for size in ("4096", "100") for row in expected_rows()]
    for row in result["rows"]:
        if row["reference"] is not None:
            ratio = row["value"] / row["reference"]
            assert row["ratio"] == pytest.approx(ratio if row["unit"] != "us" else 1 / ratio)
    assert result["machine"]["threads"] == 1
    assert result["machine"]["isa"] == cf.isa()


@pytest.mark.parametrize("name", instruction_sets.isa_names())
def test_an_instruction_set_is_used_and_put_back(name):
    before = cf.isa(), cf.get_num_threads()
    result = bench([64], isa=name, threads=3, seconds=1e-6)
    assert (result.machine.isa, result.machine.threads) == (name, 3)
    assert (cf.isa(), cf.get_num_threads()) == before


def test_products(tmp_path):
    path = tmp_path / "bench.json"
    text = succeeded(cfloat("bench", *QUICK, "--size", "100", "--json", path))
    result = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    rows = [row for row in result["rows"] if row["section"] == "products"]
    shapes = ["64x64x64", "64x64x1", "10x10x10", "10x10x1"]
    titles = [f"matmul {shape} / float32" for shape in shapes]
    assert list(dict.fromkeys(row["title"] for row in rows)) == titles
    for row in rows:
        assert row["ratio"] == row["value"] / row["reference"] > 0
        assert f"\n  {row['work']} " in text
    for title in titles:
        assert f"{title} " in text
    assert product_rows.LEGEND in text
    assert set(rows[0]["peers"]) == {"ml_dtypes"}


def test_large_products_are_of_a_part_of_the_elements():
    shapes = dict.fromkeys(shape for shape, _ in product_rows.works(1 << 24))
    assert list(shapes) == [(1024, 1024, 1024), (4096, 4096, 1)]
    # one that two sizes share is timed once
    rows = bench([100, 101], sections=["products"], seconds=1e-6).rows
    assert len(rows) == len(list(product_rows.works(100)))


def test_a_wrong_product_is_found_before_it_is_timed(monkeypatch):
    def wrong(a, b, *, accumulate, out):
        cf.matmul(a, b, out=out)
        out[-1] *= np.float32(1.001)

    monkeypatch.setattr(product_rows, "matmul", wrong)
    with pytest.raises(cf.CFloatError, match=r"^matmul CFloat8_1_4_3: wrong"):
        bench([4096], seconds=1e-6)


def test_threads_have_rows():
    result = bench([4096], sections=["threads"], threads=2, seconds=1e-6)
    assert result.machine.threads == 2
    assert {row.group for row in result.rows} == {
        "2 threads, calls at once",
        "2 threads, calls after 10 ms",
    }
    works = [row.work for row in result.rows if row.title == "4096 elements / one thread"]
    assert works[:2] == ["encode CFloat8_1_4_3", "encode CFloat8_1_4_3, stochastic"]


OWN = [name for name in SECTIONS if name not in (*DEFAULT_SECTIONS, "threads", "torch")]


@pytest.mark.quick
@pytest.mark.parametrize("section", OWN)
def test_each_section_by_itself(section):
    result = bench([1024], sections=[section], seconds=1e-6)
    assert {row.section for row in result.rows} == {section}
    for row in result.rows:
        assert math.isfinite(row.value)
        assert row.value > 0
        assert row.work in result.to_table()
    works = [(row.group, row.title, row.work) for row in result.rows]
    assert len(set(works)) == len(works)
    json.loads(result.to_json(), parse_constant=refuse_constant)


def test_torch_is_a_section():
    pytest.importorskip("torch")
    result = bench([1024], sections=["torch"], seconds=1e-6)
    for name in ("AdamW", "SGD"):
        assert any(name in row.title for row in result.rows)
    assert result.machine.torch is not None


def test_sections_are_chosen(monkeypatch, capsys):
    chosen = []

    def without_measuring(sizes, *, sections, **options):
        chosen.append(sections)
        return Bench(this_machine(1, {}), [])

    monkeypatch.setattr("cfloat._cli.bench.bench", without_measuring)
    for options in ([], ["--section", "files", "--section", "calls"], ["--all"]):
        assert main.main(["bench", *options]) == 0
    monkeypatch.setattr("cfloat._cli.bench.find_spec", lambda name: None)
    assert main.main(["bench", "--all"]) == 0
    assert chosen[:2] == [list(DEFAULT_SECTIONS), ["files", "calls"]]
    assert chosen[3] == [name for name in SECTIONS if name != "torch"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("row", "is_met", "text"),
    [
        (("Gelem/s", 1.9, 2.0, {}, Goal(0.95)), True, "0.95x"),
        (("Gelem/s", 1.8, 2.0, {}, Goal(0.95)), False, "0.95x !"),
        # of times, less is better
        (("us", 2.0, 1.8, {}, Goal(0.95)), False, "0.95x !"),
        (("us", 1.8, None, {}, Goal(2, is_ratio=False)), True, "<= 2 us"),
        (("us", 2.1, None, {}, Goal(2, is_ratio=False)), False, "<= 2 us !"),
        (("GB/s", 1.9, None, {}, Goal(2, is_ratio=False)), False, ">= 2 GB/s !"),
        (("GB/s", 2.0, None, {}, Goal(2, is_ratio=False)), True, ">= 2 GB/s"),
        (("GFLOP/s", 98.0, 50.0, {"torch": 100.0}, Goal(0.97, "torch")), True, "0.97x torch"),
        (("GFLOP/s", 96.0, 50.0, {"torch": 100.0}, Goal(0.97, "torch")), False, "0.97x torch !"),
        (("GFLOP/s", 98.0, 50.0, {}, Goal(0.97, "torch")), None, "0.97x torch ?"),
        (("us", 1.0, None, {}, None), None, ""),
    ],
)
def test_goals(row, is_met, text):
    made = Row("calls", "", "a table", "a work", *row)
    assert made.is_met is is_met
    assert made.goal_text == text


def test_goals_are_for_a_sections_own_sizes():
    def goals(section, sizes):
        context = Context(tuple(sizes), None, 1, {})
        return [case.goal for case in SECTIONS[section].cases(context)]

    assert any(goals("stacks", [1024]))
    assert not any(row.goal for row in bench([1024], sections=["stacks"], seconds=1e-6).rows)


def test_a_variable_that_slows_numpy_down_is_told(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    assert "warning" not in str(this_machine(1, {}))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "warning: OPENBLAS_CORETYPE is set (Haswell)" in str(this_machine(1, {}))
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert "NumPy's products by " in str(this_machine(1, {}))
    assert "kernel unknown" in str(this_machine(1, {}))


@pytest.mark.parametrize(
    ("module", "name", "section", "message"),
    [
        (call_rows, "encode", "calls", "encode, 3 elements: a wrong result"),
        (bias_rows, "choose_bias", "biases", "choose_bias, max: a wrong bias"),
        (thread_rows, "matmul", "threads", "matmul with 2 threads: wrong results"),
        (file_rows, "convert", "files", "convert, max: layers.0.weight is wrong"),
        (file_rows, "report", "files", "report: tensors are missing"),
    ],
)
def test_other_wrong_results_are_found(monkeypatch, module, name, section, message):
    own = getattr(module, name)

    def wrong(*arguments, **options):
        if name == "convert":
            return own(*arguments[:2], replace(arguments[2], bias=3, axis=None, block=None))
        if name == "report":
            found = own(*arguments, **options)
            found.tensors.pop()
            return found
        if name == "matmul":
            own(*arguments, **options)[0, 0] += 1
            return None
        found = own(*arguments, **options)
        # whole tensors have another bias than slices say
        return found + (name == "encode" or options.get("axis") is not None)

    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(cf.CFloatError, match=message):
        bench([1024], sections=[section], threads=2, seconds=1e-6)


def test_progress():
    calls = []
    result = bench([64], seconds=1e-6, progress=lambda *call: calls.append(call))
    total = len(result.rows)
    assert calls == [(done, total) for done in range(total + 1)]


def test_bad_options_are_one_line(tmp_path):
    assert "invalid choice: 'nonsense'" in refused(cfloat("bench", "--isa", "nonsense"))
    assert "it takes an integer from 32" in refused(cfloat("bench", "--size", "31"))
    missing = tmp_path / "missing" / "bench.json"
    assert "No such file" in refused(cfloat("bench", *QUICK, "--json", missing))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--size 1e6", "invalid int value: '1e6'"),
        ("--size -1", "size is -1"),
        ("--threads 0", "threads is 0"),
        ("--threads 257", "threads is 257"),
        ("--seconds 0", "seconds is 0.0"),
        ("--seconds nan", "seconds is nan"),
        ("--seconds 61", "seconds is 61.0"),
    ],
)
def test_other_bad_options(capsys, options, message):
    try:
        status = main.main(["bench", *options.split()])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status in (1, 2)
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_bad_arguments():
    with pytest.raises(cf.ArgumentTypeError, match="size is 64\\.0;"):
        bench([64.0])
    with pytest.raises(cf.ArgumentValueError, match="ISA is 'nonsense'"):
        bench([64], isa="nonsense")
    with pytest.raises(
        cf.ArgumentValueError, match="section is 'nonsense'; it takes one of conversions, "
    ):
        bench([64], sections=["calls", "nonsense"])


@pytest.mark.parametrize("name", ["ml_dtypes", "torch"])
def test_a_package_that_is_not_installed(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    if name == "torch":
        with pytest.raises(cf.MissingExtraError, match="torch is not installed"):
            bench([64], torch=True, seconds=1e-6)
    else:
        result = bench([64], seconds=1e-6)
        assert result.machine.ml_dtypes is None
        assert not any(row.peers for row in result.rows)
        assert "ml_dtypes  " not in result.to_table().partition("elements")[2]


@needs_kernels
@pytest.mark.parametrize("position", [0, 5000])
def test_a_wrong_result_is_found_before_it_is_timed(monkeypatch, position):
    def wrong(x, *arguments, out, **keywords):
        codes = cf.encode(x, *arguments, out=out, **keywords)
        if cf.isa() != "portable" and codes.ndim == 1:
            codes[position] ^= 1
        return codes

    before = cf.isa()
    monkeypatch.setattr(conversion_rows, "encode", wrong)
    monkeypatch.setattr("cfloat._bench.bench.least_times", None)
    monkeypatch.setattr(conversion_rows, "_CHECKED", 100)
    with pytest.raises(cf.CFloatError, match=f"and portable differ, first in element {position}$"):
        bench([5001], isa=ACCELERATED[0])
    assert cf.isa() == before


def test_importing_the_package_does_not_load_it():
    program = "import sys, cfloat; assert 'cfloat._bench.bench' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", program], check=True)


def exhaustive(*arguments):
    return subprocess.run(
        [sys.executable, "-P", str(EXHAUSTIVE), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@needs_kernels
def test_exhaustive_over_a_few_inputs():
    # across 0.5, where the default bias has normal numbers, and across the first NaN
    for start in (0x3EFFF000, 0xFF7FF000):
        run = exhaustive("--from", hex(start), "--to", hex(start + 0x2000))
        assert (run.returncode, run.stderr) == (0, "")
        first, *lines, last = run.stdout.splitlines()
        assert first.startswith("8192 inputs")
        assert len(lines) == 30
        for name in ACCELERATED:
            assert all(f"{name} " in line for line in lines)
        assert last.startswith("total: 0 mismatches in 30 combinations")


@needs_kernels
@pytest.mark.parametrize("operation", ["encode", "round_to"])
def test_exhaustive_finds_a_wrong_result_and_a_wrong_count(operation):
    run = exhaustive(
        *("--format", "CFloat8_1_4_3", "--bias", "default", "--rounding", "stochastic"),
        *("--isa", ACCELERATED[-1], "--operation", operation),
        *("--from", "0x3f000000", "--to", "0x3f000100", "--self-test"),
    )
    assert run.returncode == 1
    wrong = f"{ACCELERATED[-1]}: input 0x3f000080 (0.5000076293945312): expected"
    # with and without counting, and the count
    assert run.stdout.count(wrong) == 2
    assert "got Flags(invalid=0, overflow=1," in run.stdout
    assert "total: 3 mismatches in 1 combinations" in run.stdout


@needs_kernels
@pytest.mark.parametrize(
    "options",
    [
        "--format fp8",
        "--isa portable",
        "--rounding up",
        "--bias x",
        "--bias 64",
        "--from 1 --to 1",
        f"--to {2**32 + 1:#x}",
        "--processes 0",
    ],
)
def test_exhaustive_refuses_bad_options(capsys, options):
    spec = importlib.util.spec_from_file_location("exhaustive", EXHAUSTIVE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(SystemExit, match="2"):
        module.main(options.split())
    assert capsys.readouterr().out == ""


def test_the_readme_has_the_table():
    """With whatever numbers it had where it was printed."""
    readme = (EXHAUSTIVE.parents[1] / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```text\n(.*?)```", readme, re.DOTALL)
    assert conversion_rows.LEGEND in table
    conversions, legend, rest = table.partition("Small calls")
    assert legend
    calls, legend, products = rest.partition(product_rows.LEGEND)
    assert legend
    # of two sizes each, one after the other
    expected = [work for _, work in expected_rows()]
    assert rows_of(conversions) == 2 * expected
    assert rows_of(calls) == [case.work for case in call_rows.cases(Context((), None, 1, {}))]
    expected = [work.name for work in (*product_rows._MATRICES, *product_rows._VECTORS)]
    assert rows_of(products) == 2 * expected


def rows_of(table):
    return re.findall(r"^  (\S.*?) +\d+\.\d\d +[\d<]", table, re.MULTILINE)
