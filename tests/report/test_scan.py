"""The measuring of one tensor: in pieces of any size, of every shape, and beside plain rounding."""

import math

import numpy as np
import pytest
from scheme_errors import measure_schemes

import cfloat as cf
from cfloat._report import tensor_values
from cfloat._report.measurement import Measurement, Subject
from cfloat._report.scan import COLUMN, Scan
from cfloat._report.schemes import SCHEMES, SchemeErrors
from cfloat._report.tensor_values import TensorValues

FORMATS = {
    "CFloat8_1_4_3": cf.CFloat8_1_4_3,
    "CFloat8_1_5_2": cf.CFloat8_1_5_2,
    "CFloat16_SHP": cf.CFloat16_SHP,
}


def wide(*shape, seed=0, dtype=np.float32):
    """Rows, and stretches of them, whose scales differ by many binades."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if x.ndim:
        x *= 2.0 ** rng.integers(-6, 6, shape[:1] + (1,) * (x.ndim - 1))
        x *= 2.0 ** rng.integers(-3, 3, shape[-1:])
    return np.asarray(x, dtype)


def measured(x, axes=None):
    scan = Scan(TensorValues.of(x, axes))
    (found,) = Measurement([Subject("x", str(x.dtype))], scan, FORMATS).run(lambda part: None)
    return found


def levels(found):
    """All figures that do not depend on the bins that errors at many biases come from."""
    return {
        **{(each.format, each.granularity): each.sqnr_db for each in found.granularity},
        **{each.scheme: each.sqnr_db for each in found.comparisons},
        **{(each.format, "row"): each.stats.sqnr_db for each in found.rows},
    }


def counts(found):
    """What is counted; of one bias for all, bins of several pieces may find another that is as good."""
    return [
        (each.biases, each.nbytes)
        + ((each.lowest, each.median, each.highest) if each.biases > 1 else ())
        for each in found.granularity
    ]


CASES = {
    "several rows": ((700, 96), None, 1 << 13),
    "one row after the other": ((300, 2000), None, 1 << 16),
    "parts of several rows": ((130, 9000), None, 1 << 14),
    "parts of two rows": ((2, 50_000), None, 1 << 13),
    "parts of one row": ((1, 40_000), None, 1 << 12),
    "a vector": ((40_000,), None, 1 << 12),
    "a convolution": ((160, 24, 3, 3), None, 1 << 12),
    "turned": ((96, 200), (0,), 1 << 12),
    "turned, as many rows as columns": ((130, 130), (0,), 1 << 12),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_pieces_of_any_size_have_the_figures_of_the_whole(monkeypatch, case, dtype):
    shape, axes, size = CASES[case]
    x = wide(*shape, dtype=dtype)
    x.reshape(-1)[[3, 77]] = [np.nan, -np.inf]
    whole = measured(x, axes)
    monkeypatch.setattr(tensor_values, "PIECE_SIZE", size)
    pieces = list(TensorValues.of(x, axes))
    assert (len(pieces) > 1) == (axes is None)
    found = measured(x, axes)
    assert counts(found) == counts(whole)
    assert levels(found) == pytest.approx(levels(whole), rel=0, abs=1e-6)
    assert found.summary.nonfinite == 2
    assert found.summary.signal == pytest.approx(whole.summary.signal, rel=1e-12)
    # schemes are added up in one order
    assert found.comparisons == whole.comparisons


def rounded(x, fmt, name):
    """Round a matrix whose rows products sum over, with a bias for each of its groups, by the public way."""
    how = {
        "tensor": {}, "channel": {"axis": 0}, "block 128": {"axis": 1, "block": 128},
        "block 32": {"axis": 1, "block": 32},
    }[name]  # fmt: skip
    return np.asarray(cf.asarray(x, fmt, "mse", **how))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("shape", [(70, 300), (3, 129), (40, 31)])
def test_each_granularity_is_that_of_rounding(shape, dtype):
    x = wide(*shape, dtype=dtype, seed=3)
    for each in measured(x).granularity:
        q = rounded(x, FORMATS[each.format], each.granularity)
        assert each.sqnr_db == pytest.approx(cf.error(x, q).sqnr_db, abs=1e-5), each


def test_a_turned_weight_has_blocks_along_its_first_axis():
    # a Conv1D's: what products sum over is its first axis, and a slice of it is a channel all the same
    x = wide(96, 200, seed=5)
    found = {(each.format, each.granularity): each for each in measured(x, (0,)).granularity}
    straight = measured(np.ascontiguousarray(x.T))
    other = {(each.format, each.granularity): each for each in straight.granularity}
    for label in ("CFloat8_1_4_3", "CFloat8_1_5_2"):
        for name in ("tensor", "block 128", "block 32"):
            assert found[label, name] == other[label, name]
        q = rounded(x, FORMATS[label], "channel")
        assert found[label, "channel"].sqnr_db == pytest.approx(cf.error(x, q).sqnr_db, abs=1e-5)
    assert measured(x, (0,)).comparisons == straight.comparisons


@pytest.mark.parametrize("shape", [(48, 16, 3, 3), (6, 40, 1, 7), (5, 4, 3)])
def test_a_convolution_has_the_figures_of_its_matrix(shape):
    x = wide(*shape, seed=7)
    found, flat = measured(x), measured(x.reshape(shape[0], -1))
    assert found.comparisons == flat.comparisons
    assert found.granularity == flat.granularity
    assert measure_schemes("x", x) == flat.comparisons


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (5,), (4, 1), (1, 1, 1, 1)])
def test_few_elements(shape):
    x = wide(*shape, seed=9)
    for each in measured(x).granularity:
        level = cf.error(x, cf.asarray(x, FORMATS[each.format], "mse")).sqnr_db
        assert each.sqnr_db >= level or each.sqnr_db == pytest.approx(level, abs=1e-6)
    assert measured(x).summary.size == 1 or x.size > 1


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (3, 0, 2)])
def test_no_elements(shape):
    scan = Scan(TensorValues.of(np.zeros(shape, np.float32)))
    assert (scan.signal, scan.peaks, scan.zeros, list(scan.values)) == (0, 0, 0, [])
    assert scan.error(cf.CFloat8_1_4_3) == [0]
    assert [name for name, _ in scan.granularities(cf.CFloat8_1_4_3)] == ["tensor"]


def test_what_is_not_finite_is_left_out():
    x = wide(40, 64, seed=11)
    y = x.copy()
    y[3, 5], y[7, 9], y[8, 1] = np.inf, np.nan, -np.inf
    x[3, 5] = x[7, 9] = x[8, 1] = 0
    with_it, without = measured(y), measured(x)
    assert with_it.summary.nonfinite == 3
    assert with_it.comparisons == without.comparisons
    assert levels(with_it) == pytest.approx(levels(without), rel=0, abs=1e-9)


def test_columns_are_groups_of_their_own():
    x = wide(64, 50, seed=13)
    scan = Scan(TensorValues.of(x, (0,)))
    (found,) = scan.measure_groups([(cf.CFloat8_1_4_3, COLUMN)])
    noise = sum(
        np.square(np.asarray(cf.asarray(row, "CFloat8_1_4_3", "mse"), np.float64) - row).sum()
        for row in x
    )
    assert found.count == 64
    expected = noise / np.square(x.astype(np.float64)).sum()
    assert found.error == [pytest.approx(expected, rel=1e-6)]


def test_a_part_lies_within_the_matrix():
    errors = SchemeErrors(SCHEMES, 200, 3000, 1.0, np.ones(200, np.float32))
    errors.add_part(128, np.ones((72, 1024), np.float32))
    assert math.isclose(errors.signals[0], 72 * 1024)
    for row, part in ((129, (72, 10)), (0, (1, 3001))):
        with pytest.raises(cf.ArgumentValueError, match="of 200x3000"):
            errors.add_part(row, np.ones(part, np.float32))
    stack = SchemeErrors(SCHEMES, 20, 30, [1.0, 1.0], np.ones(40, np.float32))
    with pytest.raises(cf.ArgumentValueError, match="takes all of 2 of 20x30"):
        stack.add_part(0, np.ones((20, 30), np.float32))
