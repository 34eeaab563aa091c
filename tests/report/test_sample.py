"""Samples of large tensors: what is read, and how far what they say is from the whole."""

import json

import numpy as np
import pytest

import cfloat as cf
from cfloat._report.measurement import Measurement, Subject
from cfloat._report.saved_reports import read_report
from cfloat._report.scan import Scan
from cfloat._report.tensor_values import CHUNKS, SampledValues, TensorValues
from cfloat._report.uncertainty import combined_db, uncertainty_db
from tests.support.commands import cfloat, main_refused, succeeded

SAMPLE = 1 << 14
FORMATS = {"CFloat8_1_4_3": cf.CFloat8_1_4_3, "CFloat8_1_5_2": cf.CFloat8_1_5_2}


def uneven(*shape, seed=0):
    """Rows whose scales differ, and some of whose elements are larger than others."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(8, shape) * np.exp(0.6 * rng.standard_normal((*shape[:-1], 1)))
    return x.astype(np.float32)


def figures(values):
    measurement = Measurement([Subject("x", "float32")], Scan(values), FORMATS)
    (found,) = measurement.run(lambda part: None, details=False)
    levels = {(each.format, each.granularity): each for each in found.granularity}
    levels |= {each.scheme: each for each in found.comparisons}
    return {key: (each.sqnr_db, each.uncertainty_db) for key, each in levels.items()}


class Reader:
    """Elements of an array, and how many were asked for."""

    def __init__(self, x):
        self.flat, self.read, self.calls = x.reshape(-1), 0, 0

    def __call__(self, start, stop):
        assert 0 <= start < stop <= self.flat.size
        self.read += stop - start
        self.calls += 1
        return self.flat[start:stop]


SHAPES = {
    "short rows": ((3000, 40), None),
    "rows of some hundred": ((900, 384), None),
    "long rows": ((40, 9000), None),
    "a vector": ((300_000,), None),
    "a convolution": ((512, 32, 3, 3), None),
    "turned": ((384, 900), (0,)),
    "turned and narrow": ((40_000, 8), (0,)),
}


@pytest.mark.parametrize("case", SHAPES)
def test_a_sample_reads_about_as_much_as_is_asked_for_and_once(case):
    shape, axes = SHAPES[case]
    x = uneven(*shape)
    for sample in (SAMPLE, 40_000):
        reader = Reader(x)
        values = SampledValues(shape, reader, axes, sample=sample)
        figures(values)
        assert reader.read == values.count
        assert 0.6 * sample < values.count < 2 * sample
        assert len(values.chunks) >= CHUNKS - 1


@pytest.mark.parametrize("case", SHAPES)
def test_a_sample_is_of_the_matrix(case):
    shape, axes = SHAPES[case]
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    matrix = x.T if axes else x.reshape(-1, TensorValues.of(x).length)
    values = SampledValues(shape, Reader(x), axes, sample=SAMPLE)
    whole = np.concatenate([matrix[place].reshape(-1) for place in values.chunks])
    np.testing.assert_array_equal(values.kept(), whole)
    assert np.unique(whole).size == whole.size == values.count
    # they are spread: between two that follow each other there is no large gap
    begins = np.array([matrix[place].flat[0] for place in values.chunks])
    if not axes:
        assert np.diff(np.sort(begins), append=x.size).max() < 3 * x.size / len(values.chunks)
    other = SampledValues(shape, Reader(x), axes, sample=SAMPLE, seed=1)
    assert not np.array_equal(other.kept(), whole)


@pytest.mark.parametrize("case", ["short rows", "rows of some hundred", "long rows", "turned"])
def test_the_true_figure_is_within_the_uncertainty(case):
    # 95 % are meant; of 60 seeds fewer than 85 % would be no accident
    shape, axes = SHAPES[case]
    x = uneven(*shape)
    truth = figures(TensorValues.of(x, axes))
    found = [
        figures(SampledValues(shape, Reader(x), axes, sample=SAMPLE, seed=seed))
        for seed in range(60)
    ]
    # what goes by maxima of more than a chunk has is not known
    assert all(each["INT8, tensor"][1] == np.inf for each in found)
    assert all(
        np.isinf(each["INT8, channel"][1]) == (case in ("long rows", "turned")) for each in found
    )
    checked = [("CFloat8_1_4_3", "tensor"), ("CFloat8_1_5_2", "block 32"), "MXFP8 E4M3"]
    if case in ("short rows", "rows of some hundred"):
        checked += [("CFloat8_1_4_3", "channel"), "INT8, channel"]
    for key in checked:
        level, none = truth[key]
        assert none == 0
        levels = np.array([each[key][0] for each in found])
        widths = np.array([each[key][1] for each in found])
        within = np.mean(np.abs(levels - level) <= widths)
        assert within >= 0.85, (key, within)
        # and is no larger than it has to be
        assert 0 < widths.mean() < 3 * 1.96 * levels.std(), key


def test_uncertainty_is_that_of_simulated_chunks():
    rng = np.random.default_rng(1)
    signal = rng.gamma(4, size=400)
    noise = signal * rng.gamma(3, size=400) * 1e-3
    level = 10 * np.log10(signal.sum() / noise.sum())
    within = []
    for _ in range(500):
        drawn = rng.choice(400, 60, replace=False)
        found = 10 * np.log10(signal[drawn].sum() / noise[drawn].sum())
        within.append(abs(found - level) <= uncertainty_db(noise[drawn], signal[drawn], 60 / 400))
    assert 0.91 <= np.mean(within) <= 0.98


def test_uncertainty_of_what_is_known():
    assert uncertainty_db([1.0, 2.0], [3.0, 4.0], 1.0) == 0
    assert uncertainty_db([0.0, 0.0], [3.0, 4.0], 0.5) == 0
    assert uncertainty_db([3.0, 4.0], [3.0, 4.0], 0.5) == pytest.approx(0, abs=1e-12)
    assert uncertainty_db([3.0], [3.0], 0.5) == np.inf
    assert combined_db([]) == combined_db([(0.0, 3.0)]) == 0
    # four of the same size and error: half of one's
    assert combined_db([(0.1, 0.4)] * 4) == pytest.approx(0.2)


def test_infinities_are_in_no_error_of_a_sample():
    x = uneven(900, 384)
    x[::7, 5] = np.inf
    y = np.where(np.isfinite(x), x, 0)
    found, expected = (
        figures(SampledValues(x.shape, Reader(each), sample=SAMPLE)) for each in (x, y)
    )
    assert found.keys() == expected.keys()
    for key, each in found.items():
        assert each == pytest.approx(expected[key], rel=1e-6), key


@pytest.fixture(scope="module")
def tensors():
    return {"w": uneven(900, 384), "v": uneven(1000, 60, seed=1), "norm": uneven(1, 384, seed=2)[0]}


def test_report_of_a_sample(tensors):
    whole, found = cf.report(tensors), cf.report(tensors, sample=SAMPLE)
    sizes = {each.name: each.size for each in whole.tensors}
    sampled = {each.name: each.sampled for each in found.tensors}
    assert {each.name: each.sampled for each in whole.tensors} == sizes
    assert sampled["norm"] == 384
    assert all(sampled[name] < 2 * SAMPLE for name in tensors)
    conclusion = found.conclusion
    assert (conclusion.sampled, conclusion.measured) == (sum(sampled.values()), sum(sizes.values()))
    for each, true in zip(conclusion.configurations, whole.conclusion.configurations, strict=True):
        assert each.nbytes == true.nbytes
        assert true.uncertainty_db == 0
        assert each.weighted_db == pytest.approx(true.weighted_db, abs=2 * each.uncertainty_db)
        if true.granularity != "tensor":
            continue
        # each tensor's by itself, weighed by its elements
        key = each.format, each.granularity
        own = {g.tensor: g for g in found.granularity if (g.format, g.granularity) == key}
        errors = {name: sizes[name] * 10 ** (-own[name].sqnr_db / 10) for name in tensors}
        expected = np.sqrt(sum((errors[n] * own[n].uncertainty_db) ** 2 for n in tensors))
        assert each.uncertainty_db == pytest.approx(expected / sum(errors.values()), rel=1e-9)
    uncertain = {each.scheme: each.uncertainty_db for each in conclusion.schemes}
    assert 0 < uncertain["MXFP8 E4M3"] < 1
    assert 0 < uncertain["INT8, channel"] < 3
    assert uncertain["INT8, tensor"] == np.inf
    assert conclusion.plan.uncertainty_db > 0
    # what is counted in biases and bytes is of all
    counted = [
        {(g.tensor, g.format, g.granularity): (g.biases, g.nbytes) for g in each.granularity}
        for each in (whole, found)
    ]
    assert counted[0] == counted[1]
    norm = [each for each in found.granularity if each.tensor == "norm"]
    assert norm == [each for each in whole.granularity if each.tensor == "norm"]
    # with the details, which are the sample's
    assert len(found.rows) == len(whole.rows)
    rows = zip(found.rows, whole.rows, strict=True)
    assert all(abs(a.stats.cosine - b.stats.cosine) < 0.02 for a, b in rows)
    signals = [(a.signal, b.signal) for a, b in zip(found.tensors, whole.tensors, strict=True)]
    assert all(a == pytest.approx(b, rel=0.5) for a, b in signals)


def test_the_screen_says_that_it_is_a_sample(tensors):
    text = cf.report(tensors, sample=SAMPLE, details=False).to_screen()
    assert "a sample: " in text
    assert "of 405,984 elements" in text
    (line,) = (line for line in text.splitlines() if line.startswith("recommended  "))
    assert " +- 0." in line
    assert all(len(line) <= 100 for line in text.splitlines())
    text = cf.report(tensors, details=False).to_screen()
    assert "a sample" not in text
    assert "+-" not in text


@pytest.mark.parametrize(("sample", "error"), [
    (16_383, cf.ArgumentValueError), (0, cf.ArgumentValueError), (-1, cf.ArgumentValueError),
    (True, cf.ArgumentTypeError), (2e4, cf.ArgumentTypeError), ("a", cf.ArgumentTypeError),
])  # fmt: skip
def test_too_small_a_sample_is_refused(tensors, sample, error):
    with pytest.raises(error, match="sample is"):
        cf.report(tensors, sample=sample)


def test_a_sample_has_no_products(tensors):
    with pytest.raises(cf.ArgumentValueError, match="sample is given beside activations"):
        cf.report(tensors, sample=SAMPLE, activations={"w": np.ones((2, 384), np.float32)})


@pytest.mark.quick
def test_command(tmp_path, tensors, capsys):
    cf.save(tmp_path / "m.safetensors", tensors)
    json_path = tmp_path / "r.json"
    path = tmp_path / "m.safetensors"
    text = succeeded(cfloat("report", path, "--sample", 20_000, "--json", json_path))
    assert "a sample: " in text
    assert " +- " in text
    content = json.loads(json_path.read_text())
    assert content["conclusion"]["recommended"]["uncertainty_db"] > 0
    assert any(each["uncertainty_db"] > 0 for each in content["granularity"])
    assert all(each["sampled"] < 40_000 for each in content["tensors"])
    # which is a report like any other, to those that read it back, and says nothing of samples without
    assert read_report(json_path) == content
    plain = cf.report(tensors).to_json()
    assert not any(word in plain for word in ("uncertainty_db", "sampled", "measured"))
    assert content["conclusion"]["sampled"] < 100_000 < content["conclusion"]["measured"] == 405_984
    line = main_refused(capsys, "report", path, "--sample", 7)
    assert "sample is 7; it takes an integer from 16384 on" in line
    line = main_refused(capsys, "report", json_path, json_path, "--compare", "--sample", 20_000)
    assert "--sample is for a model" in line
