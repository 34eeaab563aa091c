"""Small tensors that are measured together: all that is said of them is as of one at a time."""

import numpy as np
import pytest

import cfloat as cf
from cfloat._core import binding
from cfloat._files import stored_values
from cfloat._files.tensor_entry import Entry
from cfloat._files.write_safetensors import SafetensorsWriter
from cfloat._report import tensor_values
from cfloat._report.schemes import SCHEMES, SchemeErrors, row_peaks
from cfloat._report.tensor_values import batches
from cfloat.errors import FileError


def mixed(seed=0, dtypes=(np.float32, np.float16, np.float64)):
    """Tensors of few shapes, whose names take turns, and of every character."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return (rng.standard_normal(shape) * 0.02 * 2.0 ** rng.integers(-3, 4)).astype(np.float32)

    tensors = {}
    for i in range(6):
        tensors |= {
            f"{i}.norm.weight": 1 + normal(384),
            f"{i}.norm.bias": normal(384),
            f"{i}.positive": np.abs(normal(384)),
            f"{i}.attention.weight": normal(16, 48),
            f"{i}.down.weight": normal(48, 16),
            f"{i}.up.bias": normal(768),
            f"{i}.conv.weight": normal(8, 3, 3, 3),
            f"{i}.one column": normal(200, 1),
            f"{i}.rows": normal(130, 33),
            f"{i}.large": normal(140, 300),
            f"{i}.exact": rng.integers(-8, 9, 384).astype(np.float32),
            f"{i}.scalar": np.float32(i + 0.1).reshape(()),
        }
        for dtype in dtypes:
            tensors[f"{i}.{np.dtype(dtype)}"] = normal(24, 40).astype(dtype)
        tensors[f"{i}.tiny"] = normal(384) * np.float32(2.0**-140)
        tensors[f"{i}.huge"] = normal(384) * np.float32(2.0**126)
        tensors[f"{i}.zero"] = np.zeros(384, np.float32)
        tensors[f"{i}.constant"] = np.full(384, 0.3, np.float32)
        tensors[f"{i}.none"] = np.full(384, np.nan, np.float32)
        tensors[f"{i}.empty"] = np.zeros((0, 3), np.float32)
        tensors[f"{i}.ids"] = np.arange(3)
        with_nan = normal(384)
        with_nan[[3, 5, 7]] = [np.nan, -np.inf, np.inf]
        tensors[f"{i}.with nan"] = with_nan
    tensors["double huge"] = normal(24, 40).astype(np.float64) * 1e300
    tensors["integers"] = np.arange(5)
    return tensors


def said(result):
    return {
        "json": result.to_json(), "screen": result.to_screen(), "text": result.to_table(),
        "csv": result.to_csv(), "skipped": list(result.skipped.items()),
        "records": repr([result.tensors, result.granularity, result.comparisons, result.subnormals]),
    }  # fmt: skip


@pytest.fixture
def one_at_a_time(monkeypatch):
    """A function that turns stacks off."""
    return lambda: monkeypatch.setattr(tensor_values, "STACKED_SIZE", 0)


@pytest.mark.quick
def test_a_report_of_small_tensors(isa, one_at_a_time):
    tensors = mixed()
    expected = None
    for threads in (1, 3):
        cf.set_num_threads(threads)
        found = said(cf.report(tensors, details=False))
        assert expected in (None, found)
        expected = found
    cf.set_num_threads(None)
    one_at_a_time()
    assert said(cf.report(tensors, details=False)) == expected


@pytest.mark.parametrize(
    "options",
    [
        {"details": True},
        {"sample": 1 << 14},
        {"exclude": ["*norm*"]},
        {"include": ["*norm*", "*.conv.*"]},
        {"activations": {"1.attention.weight": np.ones((5, 48), np.float32)}},
        {"formats": ["CFloat16_UHP", "float16", "CFloat8_1_4_3"]},
    ],
    ids=str,
)
def test_a_report_with_options(options, one_at_a_time):
    tensors = dict(list(mixed(1).items())[:50]) | {"last": mixed(2)["5.large"]}
    options = {"details": False} | options
    found = said(cf.report(tensors, **options))
    one_at_a_time()
    assert said(cf.report(tensors, **options)) == found


def saved(path, tensors, as_bfloat16=()):
    """Write a file, some of whose tensors are of bfloat16."""
    kinds = {"float32": "F32", "float16": "F16", "float64": "F64", "int64": "I64"}
    entries = {
        name: Entry.of("BF16" if name in as_bfloat16 else kinds[str(each.dtype)], each.shape)
        for name, each in tensors.items()
    }
    writer = SafetensorsWriter(path, entries, {})
    for name, each in tensors.items():
        writer.write(name, 0, cf.encode(each, cf.bfloat16) if name in as_bfloat16 else each)
    writer.finish({})
    writer.commit()
    return str(path)


@pytest.fixture
def checkpoint(tmp_path):
    tensors = mixed(3)
    # of one shape, and of types that differ in bytes
    narrow = {name for name in tensors if name[0] in "024" and tensors[name].dtype == np.float32}
    return saved(tmp_path / "model.safetensors", tensors, narrow)


def test_a_report_of_a_file(checkpoint, one_at_a_time):
    found = said(cf.report(checkpoint, details=False))
    one_at_a_time()
    assert said(cf.report(checkpoint, details=False)) == found


@pytest.mark.quick
@pytest.mark.parametrize(
    "options",
    [{"min_db": 30}, {"size": 0.37}, {"worst_db": 25, "exclude": ["*norm*"]}],
    ids=str,
)
def test_a_plan_of_small_tensors(checkpoint, options, one_at_a_time):
    def made():
        plan = cf.plan(checkpoint, **options)
        return plan.to_json(), plan.to_text(), plan.to_toml()

    found = made()
    one_at_a_time()
    assert made() == found


def test_a_conv1d_beside_others(tmp_path, monkeypatch, one_at_a_time):
    """Blocks of one run along its first axis, and of a matrix of the same shape along its last."""
    tensors = {f"{i}.weight": np.float32(2) ** mixed(i)["0.attention.weight"] for i in range(6)}
    path = saved(tmp_path / "model.safetensors", tensors)
    turned = frozenset(["1.weight", "2.weight", "4.weight"]), []
    for module in ("plan", "stored_model"):
        monkeypatch.setattr(
            f"cfloat._report.{module}.transposed_by_signs", lambda checkpoint: turned
        )

    def made():
        return said(cf.report(path, details=False)), cf.plan(path, size=0.3).to_json()

    found = made()
    one_at_a_time()
    assert made() == found


def test_they_are_measured_together(monkeypatch, checkpoint):
    """Some calls for 600 tensors, where each has 18 of its own."""
    calls = []
    least_errors = binding.least_errors
    monkeypatch.setattr(
        binding, "least_errors", lambda *given: calls.append(None) or least_errors(*given)
    )
    tensors = {str(i): np.float32(i + 1) * mixed()["0.norm.bias"] for i in range(600)}
    cf.report(tensors, details=False)
    assert len(calls) < 40
    calls.clear()
    cf.plan(checkpoint)
    assert len(calls) < 600


def test_progress_goes_on(checkpoint, monkeypatch):
    monkeypatch.setattr(tensor_values, "_BATCH_SIZE", 1 << 12)
    for work, options in ((cf.plan, {}), (cf.report, {"details": False})):
        seen = []
        work(checkpoint, progress=lambda *given, to=seen: to.append(given), **options)
        done, totals = zip(*seen, strict=True)
        assert len(set(totals)) == 1
        assert done[-1] == totals[0]
        steps = np.diff(done)
        assert (steps >= -1e-3).all()
        assert steps.max() < 0.2 * totals[0]


def test_one_that_cannot_be_read_is_skipped_alone(monkeypatch, checkpoint):
    expected = cf.report(checkpoint, details=False)
    read = stored_values.read_values

    def damaged(source, name, *place):
        if name == "2.norm.bias":
            raise FileError("2.norm.bias: damaged")
        return read(source, name, *place)

    monkeypatch.setattr(stored_values, "read_values", damaged)
    found = cf.report(checkpoint, details=False)
    assert found.skipped == expected.skipped | {"2.norm.bias": "2.norm.bias: damaged"}
    left = [each for each in expected.tensors if each.name != "2.norm.bias"]
    assert repr(found.tensors) == repr(left)
    assert found.comparisons == [
        each for each in expected.comparisons if each.tensor != "2.norm.bias"
    ]


def test_batches_are_bounded():
    sizes = [(i, 1 << 12) for i in range(200)] + [("large", 1 << 20), ("small", 1)]
    found = list(batches(sizes))
    assert sorted(map(str, (each for batch in found for each in batch))) == sorted(
        str(name) for name, _ in sizes
    )
    assert max(map(len, found)) == 64
    assert ["large"] in found
    assert found[-1][-1] == "small"
    assert max(map(len, batches((i, 0) for i in range(5000)))) <= 1024


@pytest.mark.parametrize("shape", [(1, 384), (150, 40), (129, 1100), (5, 17)])
def test_the_schemes_of_a_stack(isa, shape):
    rng = np.random.default_rng(0)
    stack = rng.standard_normal((7, *shape), np.float32) * 2.0 ** rng.integers(-9, 9, (7, 1, 1))
    stack = stack.astype(np.float32)
    peaks = row_peaks(stack.reshape(-1, shape[1]))
    whole = SchemeErrors(SCHEMES, *shape, np.abs(stack).max(axis=(1, 2)), peaks)
    whole.add_part(0, stack.reshape(-1, shape[1]))
    for i, x in enumerate(stack):
        one = SchemeErrors(SCHEMES, *shape, np.abs(x).max(), row_peaks(x))
        one.add_part(0, x)
        assert whole.result("abcdefg")[i] == one.result("abcdefg"[i])[0]
        assert whole.signals[i] == one.signals[0]
