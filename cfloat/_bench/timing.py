"""The least time that a call takes."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

Call = Callable[[], object]

# A turn lasts this long, in seconds, so that the clock's resolution and a cold start do not matter.
_TURN: Final = 0.0005
_MIN_TURNS: Final = 3


def least_times(calls: Sequence[Call], seconds: float) -> list[float]:
    """Time calls: the least time of each, in seconds.

    They take turns, so that a machine that becomes slower or faster does so for all of them.  The first two
    share `seconds`; the others, which may be far slower, stop when they have used half as much each.
    """
    repeats = [max(1, math.ceil(_TURN / max(_time(call, 1), 1e-7))) for call in calls]
    best, spent, turns = [math.inf] * len(calls), [0.0] * len(calls), 0
    while turns < _MIN_TURNS or sum(spent[:2]) < seconds:
        for index, call in enumerate(calls):
            if index >= 2 and turns >= _MIN_TURNS and spent[index] >= seconds / 2:
                continue
            elapsed = _time(call, repeats[index])
            spent[index] += elapsed
            best[index] = min(best[index], elapsed / repeats[index])
        turns += 1
    return best


def _time(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return time.perf_counter() - start
