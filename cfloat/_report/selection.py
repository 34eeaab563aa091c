"""Choosing one candidate of each item: the least cost of all within a capacity, or nearly, with a bound.

Each item's candidates have a cost and a load.  The lower convex hull of them is the way from the cheapest to
that of the least load; steps of all hulls in the order of what a unit of load costs are the optimum of the
relaxed problem, where one step may be a part, which no choice can go below.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._metrics.sqnr import sqnr_db
from cfloat.errors import MissingExtraError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

#: Seconds after which the search for the exact optimum takes the best that it has.
TIME_LIMIT: Final = 20.0

# points of a curve, at most
_CURVE_POINTS: Final = 200

# a solver's constraints hold to about 1e-6 of the largest load
_MARGINS: Final = (0.0, 1e-5, 1e-4)


@dataclass(frozen=True)
class Selection:
    """A candidate of each item.

    Attributes
    ----------
    picks : list of int
        The candidate of each item.
    cost : float
        The sum of their costs.
    bound : float
        What no choice costs less than; `cost` if it is known that none does.
    """

    picks: list[int]
    cost: float
    bound: float


class Problem:
    """Items, of which each becomes one of its candidates.

    Parameters
    ----------
    costs, loads : sequence of sequence of float
        Those of each item's candidates, of which there is at least one; finite, and not negative.
    """

    def __init__(self, costs: Sequence[Sequence[float]], loads: Sequence[Sequence[float]]) -> None:
        self.count = len(costs)
        # candidates of all items, one after the other
        self.first = np.cumsum([0, *map(len, costs)])
        self.item = np.repeat(np.arange(self.count), np.diff(self.first))
        self.costs = np.array([cost for each in costs for cost in each], np.float64)
        self.loads = np.array([load for each in loads for load in each], np.float64)
        # elements of arrays one at a time take several times as long
        self._costs: list[float] = self.costs.tolist()
        self._loads: list[float] = self.loads.tolist()
        self.cheapest, self.steps = self._hulls()

    def _hulls(self) -> tuple[Indices, list[tuple[int, int]]]:
        """Give the cheapest candidates, and the steps of all hulls by what a unit of load costs."""
        cheapest = np.zeros(self.count, np.intp)
        steps: list[tuple[float, int, int]] = []
        costs, loads = self._costs, self._loads
        for item, (first, end) in enumerate(pairwise(self.first.tolist())):
            order = sorted(zip(costs[first:end], loads[first:end], range(first, end), strict=True))
            hull = [order[0][2]]
            for _, load, i in order[1:]:
                if load >= loads[hull[-1]]:
                    continue
                while len(hull) > 1 and self._price(hull[-2], hull[-1]) >= self._price(hull[-1], i):
                    hull.pop()
                hull.append(i)
            cheapest[item] = hull[0]
            steps += [(self._price(a, b), a, b) for a, b in pairwise(hull)]
        return cheapest, [(a, b) for _, a, b in sorted(steps)]

    def _price(self, a: int, b: int) -> float:
        """Tell what a unit less of load costs on the way from one candidate to another."""
        # infinite for a load that is next to nothing
        return (self._costs[b] - self._costs[a]) / (self._loads[a] - self._loads[b])

    def cost(self, chosen: Indices) -> float:
        """Sum up the costs of candidates."""
        return math.fsum(self.costs[chosen])

    def fits(self, chosen: Indices, capacity: float) -> bool:
        """Whether the loads of candidates are within a capacity."""
        return math.fsum(self.loads[chosen]) <= capacity

    def select(self, capacity: float, exact: bool = False) -> Selection:
        """Choose the candidates of the least cost whose loads are within a capacity.

        Parameters
        ----------
        capacity : float
            At least the sum of the least loads that each item's candidates have.
        exact : bool
            Whether to look for the optimum, with SciPy; else the result may cost more than its bound.

        Raises
        ------
        MissingExtraError
            If `exact` and SciPy is not installed.
        """
        if exact:
            solve = exact_solver()
        chosen, price = self._greedy(capacity)
        bound = self._bound(price, capacity)
        cost = self.cost(chosen)
        if exact and cost > bound:
            chosen, cost, bound = self._exact(chosen, price, capacity, bound, solve)
        picks = [int(i) for i in chosen - self.first[:-1]]
        return Selection(picks, cost, min(bound, cost))

    def _greedy(self, capacity: float) -> tuple[Indices, float]:
        """Take steps of the hulls until the capacity is enough, and make use of what is left of it."""
        chosen = self.cheapest.copy()
        if self.fits(chosen, capacity):
            return chosen, 0.0
        load = math.fsum(self.loads[chosen])
        rounding = 1e-9 * load
        before, price = chosen.copy(), 0.0
        for a, b in self.steps:
            load += self.loads[b] - self.loads[a]
            chosen[self.item[b]] = b
            price = self._price(a, b)
            # sums of many steps are rounded; whether they fit is not
            if load <= capacity + rounding and self.fits(chosen, capacity):
                break
            before[self.item[b]] = b
        assert self.fits(chosen, capacity)
        candidates = [self._improved(chosen, capacity)]
        # or one other step than the last: a longer one, to a candidate that is on no hull, say
        need = math.fsum(self.loads[before]) - capacity
        dearer = self.costs - self.costs[before][self.item]
        enough = np.flatnonzero(self.loads[before][self.item] - self.loads >= need)
        for i in enough[np.argsort(dearer[enough], kind="stable")][:8]:
            other = before.copy()
            other[self.item[i]] = i
            if self.fits(other, capacity):
                candidates.append(self._improved(other, capacity))
        # or that item as any of its candidates, and steps of all others: one that is large leaves much unused
        item = self.item[b]
        for i in range(self.first[item], self.first[item + 1]):
            walked = self._walked(i, capacity)
            if walked is not None:
                candidates.append(self._improved(walked, capacity))
        return min(candidates, key=self.cost), price if math.isfinite(price) else 0.0

    def _walked(self, fixed: int, capacity: float) -> Indices | None:
        """Take steps of all items but that of a candidate, which is chosen, until the capacity is enough."""
        item = self.item[fixed]
        chosen = self.cheapest.copy()
        chosen[item] = fixed
        load = math.fsum(self.loads[chosen])
        rounding = 1e-9 * load
        for a, b in self.steps:
            if load <= capacity + rounding and self.fits(chosen, capacity):
                break
            if self.item[b] != item:
                load += self.loads[b] - self.loads[a]
                chosen[self.item[b]] = b
        return chosen if self.fits(chosen, capacity) else None

    def _improved(self, chosen: Indices, capacity: float) -> Indices:
        """Change candidates one at a time, each time that which saves most, while there is capacity."""
        chosen = chosen.copy()
        for _ in range(10 * self.count):
            slack = capacity - math.fsum(self.loads[chosen])
            saved = self.costs[chosen][self.item] - self.costs
            more = self.loads - self.loads[chosen][self.item]
            saved[(more > slack) | (saved <= 0)] = -math.inf
            best = int(np.argmax(saved)) if saved.size else 0
            if not saved.size or saved[best] == -math.inf:
                break
            old = chosen[self.item[best]]
            chosen[self.item[best]] = best
            if not self.fits(chosen, capacity):  # by the last bit
                chosen[self.item[best]] = old
                break
        return chosen

    def _bound(self, price: float, capacity: float) -> float:
        """Give the cost that no choice goes below: that of the relaxed problem, by its price of load."""
        if not self.count:
            return 0.0
        least = np.minimum.reduceat(self.costs + price * self.loads, self.first[:-1])
        return math.fsum([*least, -price * capacity]) if price else math.fsum(least)

    def _exact(
        self, chosen: Indices, price: float, capacity: float, bound: float, solve: Any
    ) -> tuple[Indices, float, float]:
        """Find the optimum among the candidates that could be in a better choice than one that is known."""
        gap = self.cost(chosen) - bound
        priced = self.costs + price * self.loads
        least = np.minimum.reduceat(priced, self.first[:-1])[self.item]
        # any other candidate alone costs more than there is to gain
        kept = np.flatnonzero(priced - least <= gap * (1 + 1e-9))
        anchor = np.array(
            [
                part[np.argmin(priced[part])]
                for part in np.split(kept, np.searchsorted(kept, self.first[1:-1]))
            ]
        )
        item = self.item[kept]
        costs = (self.costs[kept] - self.costs[anchor][item]) / gap
        loads = self.loads[kept] - self.loads[anchor][item]
        scale = float(np.abs(loads).max()) or 1.0
        room = (capacity - math.fsum(self.loads[anchor])) / scale
        for margin in _MARGINS:
            found, lower = solve(costs, loads / scale, item, self.count, room - margin)
            if margin == 0.0 and math.isfinite(lower):
                # of all that fit by a solver's tolerance, and so of all that fit
                bound = max(bound, self.cost(anchor) + gap * (lower - 1e-6))
            if found is None:
                continue
            other = kept[found]
            if self.fits(other, capacity):
                if self.cost(other) < self.cost(chosen):
                    chosen = other
                break
        cost = self.cost(chosen)
        # as near as a solver tells
        if cost - bound <= 4e-6 * gap:
            bound = cost
        return chosen, cost, bound


def vertices(problem: Problem) -> list[tuple[float, float]]:
    """Give costs, and loads in dB, of the vertices of the hulls' common way: at most `_CURVE_POINTS`."""
    costs, loads = problem.costs, problem.loads
    steps = np.array(problem.steps, np.intp).reshape(-1, 2)
    first = problem.cheapest
    total = np.cumsum([costs[first].sum(), *(costs[steps[:, 1]] - costs[steps[:, 0]])])
    # from the least load on, where none may be left that is not there
    lost = np.cumsum([*(loads[steps[:, 0]] - loads[steps[:, 1]])[::-1]])[::-1]
    last = first.copy()
    for _, b in steps:
        last[problem.item[b]] = b
    errors = np.append(lost, 0.0) + loads[last].sum()
    every = np.unique(
        np.linspace(0, total.size - 1, min(total.size, _CURVE_POINTS)).round().astype(int)
    )
    return [(float(total[i]), sqnr_db(1.0, float(errors[i]))) for i in every]


def exact_solver() -> Any:
    """Import what finds an optimum, SciPy's HiGHS; MissingExtraError if it is not installed."""
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array
    except ImportError:
        raise MissingExtraError(
            "the exact optimum needs SciPy: pip install 'cfloat[plan]'; without, a plan has a proven gap"
        ) from None

    def solve(
        costs: Floats, loads: Floats, item: Indices, count: int, room: float
    ) -> tuple[Indices | None, float]:
        """Give one candidate of each item, if one is found, and a bound of the cost."""
        each = csr_array((np.ones(item.size), (item, np.arange(item.size))), (count, item.size))
        found = milp(
            costs,
            integrality=np.ones(item.size),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(each, 1, 1),
                LinearConstraint(loads[np.newaxis], -np.inf, room),
            ],
            options={"mip_rel_gap": 0.0, "time_limit": TIME_LIMIT},
        )
        lower = found.mip_dual_bound
        lower = -math.inf if lower is None else float(lower)
        if found.x is None:
            return None, lower
        return np.flatnonzero(found.x > 0.5), lower

    return solve
