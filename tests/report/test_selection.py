"""Choosing a candidate of each item: beside every choice there is, and beside a solver."""

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cfloat as cf
from cfloat._report.candidates import Measuring
from cfloat._report.selection import Problem


def best(costs, loads, capacity):
    """The least cost of all choices, each looked at."""
    return min(
        math.fsum(costs[i][j] for i, j in enumerate(picks))
        for picks in itertools.product(*(range(len(each)) for each in costs))
        if math.fsum(loads[i][j] for i, j in enumerate(picks)) <= capacity
    )


def check(selection, costs, loads, capacity):
    """A choice fits, and costs what it says."""
    assert math.fsum(loads[i][j] for i, j in enumerate(selection.picks)) <= capacity
    assert selection.cost == math.fsum(costs[i][j] for i, j in enumerate(selection.picks))
    assert selection.bound <= selection.cost


@st.composite
def problems(draw):
    count = draw(st.integers(1, 5))
    number = draw(st.sampled_from([st.integers(0, 6), st.floats(0, 1), st.floats(0, 1e12)]))
    sizes = [draw(st.integers(1, 5)) for _ in range(count)]
    costs, loads = (
        [draw(st.lists(number.map(float), min_size=n, max_size=n)) for n in sizes] for _ in "cl"
    )
    least = math.fsum(map(min, loads))
    most = math.fsum(map(max, loads))
    return costs, loads, max(least, least + draw(st.floats(0, 1)) * (most - least))


@given(problems())
def test_the_bound_and_the_cost_enclose_the_optimum(problem):
    costs, loads, capacity = problem
    found = Problem(costs, loads).select(capacity)
    check(found, costs, loads, capacity)
    optimum = best(costs, loads, capacity)
    assert found.cost >= optimum
    assert found.bound <= optimum + 1e-9 * max(1.0, sum(map(max, costs)))


@given(problems())
def test_the_exact_choice_is_the_optimum(problem):
    pytest.importorskip("scipy")
    costs, loads, capacity = problem
    found = Problem(costs, loads).select(capacity, exact=True)
    check(found, costs, loads, capacity)
    optimum = best(costs, loads, capacity)
    scale = max(1.0, sum(map(max, costs)))
    assert found.bound <= optimum + 1e-9 * scale
    if found.bound == found.cost:
        assert found.cost <= optimum + 1e-5 * scale


def whole_model(seed, count, swapped):
    """Costs and loads as tensors have them: few shapes, of which there are many each."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([384, 1536, 384 * 384, 384 * 1536], count)
    bits = np.array([8, 8 + 16 / 128, 8.5, 16, 16.5, 32])
    costs = np.floor(sizes[:, np.newaxis] * bits / 8)
    levels = np.array([31.6, 31.8, 32.5, 73.6, 74, np.inf]) + rng.normal(0, 1, (count, 6))
    loads = sizes[:, np.newaxis] / sizes.sum() * 10 ** (-levels / 10)
    return (loads, costs) if swapped else (costs, loads)


@pytest.mark.parametrize("swapped", [False, True], ids=["error", "bytes"])
@pytest.mark.parametrize("seed", range(3))
def test_whole_models_beside_a_solver(seed, swapped):
    """The exact choice costs what HiGHS finds by itself, and the other is as near as it says."""
    optimize = pytest.importorskip("scipy.optimize")
    sparse = pytest.importorskip("scipy.sparse")
    count = 150
    costs, loads = whole_model(seed, count, swapped)
    capacity = 0.4 * loads.min(1).sum() + 0.6 * loads.max(1).sum()
    if swapped:
        capacity = 0.8 * loads.min(1).sum() + 0.2 * loads.max(1).sum()
    problem = Problem(costs.tolist(), loads.tolist())
    hull, exact = problem.select(capacity), problem.select(capacity, exact=True)
    for each in (hull, exact):
        check(each, costs.tolist(), loads.tolist(), capacity)
    assert exact.cost <= hull.cost
    assert hull.cost - exact.cost <= hull.cost - hull.bound <= 0.01 * hull.cost
    assert exact.bound == exact.cost
    each = sparse.kron(sparse.eye_array(count), np.ones((1, 6)), "csr")
    # a solver's tolerances are of 1e-6, whatever the scale
    unit = hull.cost / 1000
    found = optimize.milp(
        costs.ravel() / unit,
        integrality=np.ones(costs.size),
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(each, 1, 1),
            optimize.LinearConstraint(loads.reshape(1, -1) / capacity * 1000, -np.inf, 1000),
        ],
        options={"mip_rel_gap": 1e-7, "time_limit": 60},
    )
    assert found.status == 0
    assert exact.cost == pytest.approx(found.fun * unit, rel=1e-6)


def test_a_candidate_on_no_hull_fills_what_is_left():
    """The hull alone goes from 10 to 30; that of 19, which is above it, is enough."""
    found = Problem([[10.0, 21.0, 30.0]], [[1.0, 0.5, 0.0]]).select(0.6)
    assert (found.picks, found.cost) == ([1], 21.0)
    assert found.bound == pytest.approx(18.0)


def test_a_dearer_step_that_is_enough():
    """The cheaper one by load takes more load away than is needed, and costs more by itself."""
    found = Problem([[0.0, 100.0], [0.0, 60.0]], [[10.0, 0.0], [5.0, 4.0]]).select(14.5)
    assert (found.picks, found.cost) == ([0, 1], 60.0)


def test_a_step_is_taken_back_where_a_later_one_is_enough():
    found = Problem([[0.0, 10.0], [0.0, 100.0]], [[1.0, 0.0], [9.0, 0.0]]).select(1.5)
    assert (found.picks, found.cost) == ([0, 1], 100.0)


@pytest.mark.parametrize(("dearer", "capacity", "steps"), [(4.0, 175.0, 2), (1.5, 150.0, 10)])
def test_a_large_item_stays_where_steps_of_several_small_ones_are_enough(dearer, capacity, steps):
    """By what a unit of load costs its step is the first, and leaves most of the capacity unused."""
    costs, loads = [[10.0, 20.0]] + [[1.0, dearer]] * 20, [[100.0, 10.0]] + [[4.0, 1.0]] * 20
    found = Problem(costs, loads).select(capacity)
    check(found, costs, loads, capacity)
    assert found.picks[0] == 0
    assert found.cost == pytest.approx(30.0 + steps * (dearer - 1.0))


def test_a_capacity_for_all_takes_the_cheapest():
    pytest.importorskip("scipy", reason="SciPy is not installed")
    found = Problem([[1.0, 2.0], [5.0, 4.0]], [[9.0, 0.0], [0.0, 9.0]]).select(math.inf, True)
    assert (found.picks, found.cost, found.bound) == ([0, 1], 5.0, 5.0)


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(cf.MissingExtraError, match=r"cfloat\[plan\]"):
        Problem([[1.0]], [[0.0]]).select(1.0, exact=True)


def test_without_scipy_no_work_is_begun(monkeypatch, tmp_path):
    cf.save(tmp_path / "x.safetensors", {"x": np.ones(3, "f4")})
    assert cf.plan(tmp_path / "x.safetensors").nbytes == 3
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    monkeypatch.setattr(Measuring, "measure", None)
    with pytest.raises(cf.MissingExtraError, match=r"cfloat\[plan\]"):
        cf.plan(tmp_path / "x.safetensors", exact=True)
