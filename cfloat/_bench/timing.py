"""The least time that a call takes."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

Call = Callable[[], object]

# A turn lasts this long, in seconds, so that the clock's resolution and a cold start do not matter.
_TURN: Final = 0.0005
_MIN_TURNS: Final = 3


class Timing(NamedTuple):
    """What is done before each turn, and is not timed.

    Attributes
    ----------
    before : sequence of callables
        One for each call, or none at all.
    idle : float
        For how many seconds nothing is done; a turn is one call then, as a user who comes back sees it.
    """

    before: Sequence[Call] = ()
    idle: float = 0.0


#: One turn after the other.
WARM: Final = Timing()


def least_times(
    calls: Sequence[Call], seconds: float, timing: Timing = WARM, first: int = 2
) -> list[float]:
    """Time calls: the least time of each, in seconds.

    They take turns, so that a machine that becomes slower or faster does so for all of them.  The `first`
    ones share `seconds`; the others, which may be far slower, stop when they have used half as much each.
    """
    if timing.idle:
        repeats = [1] * len(calls)
    else:
        repeats = [max(1, math.ceil(_TURN / max(_time(call, 1), 1e-7))) for call in calls]
    best, spent, turns = [math.inf] * len(calls), [0.0] * len(calls), 0
    while turns < _MIN_TURNS or sum(spent[:first]) < seconds:
        for index, call in enumerate(calls):
            if index >= first and turns >= _MIN_TURNS and spent[index] >= seconds / 2:
                continue
            if timing.before:
                timing.before[index]()
            if timing.idle:
                time.sleep(timing.idle)
            elapsed = _time(call, repeats[index])
            spent[index] += elapsed + timing.idle
            best[index] = min(best[index], elapsed / repeats[index])
        turns += 1
    return best


def _time(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start
