"""A row of what is measured: before it is timed, and after."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from .timing import WARM, Call, Timing

# Units of times; in all others, more is better.
_TIMES: Final = ("us", "ns/elem", "ms/tensor")


@dataclass(frozen=True)
class Goal:
    """What a row is to reach on the machine that goals are set for.

    Attributes
    ----------
    bound : float
        The least ratio; or if `is_ratio` is false, the least rate or the longest time in the row's unit.
    beside : str
        What the ratio is to: "reference", or the name of a peer.
    is_ratio : bool
        Whether it is a ratio.
    """

    bound: float
    beside: str = "reference"
    is_ratio: bool = True


class Calls(NamedTuple):
    """What is timed for a row: all of it ready, and checked."""

    own: Call
    reference: Call | None = None
    peers: Mapping[str, Call] = {}
    # what comes before each turn
    timing: Timing = WARM


@dataclass(frozen=True)
class Case:
    """A row that is to be timed.

    Attributes
    ----------
    group, title, work : str
        The heading of tables that belong together, that of the row's table ("what / reference"), and the
        row's own name.
    unit : str
        "Gelem/s", say, or "us".
    amount : float
        How many units of work a call is: of a rate, 1e9 elements, say; of a time, 1e-6 times what it is for.
    prepare : callable
        Makes its operands, checks results, and gives what is timed.
    goal : Goal, optional
        What it is to reach.
    """

    group: str
    title: str
    work: str
    unit: str
    amount: float
    prepare: Callable[[], Calls]
    goal: Goal | None = None


@dataclass(frozen=True)
class Row:
    """One work timed beside its reference.

    Attributes
    ----------
    section, group, title, work : str
        The section as ``--section`` names it; the others as in `Case`.
    unit : str
        Of the numbers: a rate, or a time.
    value, reference : float
        Of this package, and of the reference; None if there is none.
    peers : dict of str to float
        Those of other packages, as far as they do the like and were timed.
    goal : Goal or None
        What it is to reach on the machine that goals are set for.
    """

    section: str
    group: str
    title: str
    work: str
    unit: str
    value: float
    reference: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the reference this package was; None if there is no reference."""
        return self._ratio_to(self.reference)

    @property
    def is_met(self) -> bool | None:
        """Whether the goal was reached; None if there is none, or nothing to compare with was timed."""
        if self.goal is None:
            return None
        if not self.goal.is_ratio:
            is_time = self.unit in _TIMES
            return self.value <= self.goal.bound if is_time else self.value >= self.goal.bound
        beside = self.goal.beside
        ratio = self._ratio_to(self.reference if beside == "reference" else self.peers.get(beside))
        return None if ratio is None else ratio >= self.goal.bound

    def _ratio_to(self, other: float | None) -> float | None:
        if other is None:
            return None
        return other / self.value if self.unit in _TIMES else self.value / other

    @property
    def goal_text(self) -> str:
        """The goal as the table has it, with an exclamation mark if it was missed."""
        if self.goal is None:
            return ""
        if self.goal.is_ratio:
            beside = "" if self.goal.beside == "reference" else f" {self.goal.beside}"
            text = f"{self.goal.bound:.2f}x{beside}"
        else:
            text = f"{'<=' if self.unit in _TIMES else '>='} {self.goal.bound:g} {self.unit}"
        return text + {True: "", False: " !", None: " ?"}[self.is_met]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON has it."""
        goal = self.goal
        return {
            "section": self.section,
            "group": self.group,
            "title": self.title,
            "work": self.work,
            "unit": self.unit,
            "value": self.value,
            "reference": self.reference,
            "ratio": self.ratio,
            "peers": self.peers,
            "goal": None
            if goal is None
            else {"bound": goal.bound, "beside": goal.beside if goal.is_ratio else self.unit},
            "is_met": self.is_met,
        }


def timed(section: str, case: Case, best: list[float], names: list[str]) -> Row:
    """Make a row of the least seconds that its calls took: its own, the reference's if any, the peers'."""
    numbers = [_in_unit(case, seconds) for seconds in best]
    has_reference = len(best) > 1 + len(names)
    return Row(
        section,
        case.group,
        case.title,
        case.work,
        case.unit,
        numbers[0],
        numbers[1] if has_reference else None,
        dict(zip(names, numbers[len(numbers) - len(names) :], strict=True)),
        case.goal,
    )


def _in_unit(case: Case, seconds: float) -> float:
    return seconds / case.amount if case.unit in _TIMES else case.amount / seconds
