"""Whether anyone on a cluster is still at work (extra ``dask``)."""

import time
from typing import Any, Final

from cfloat._core.text import shown
from cfloat.errors import ArgumentValueError, ClusterError

#: Seconds without a sign of life of any worker after which a cluster is given up, unless others are given.
WORKER_TIMEOUT: Final = 60.0

#: The least that may be given: it must be more than the time between two signs of a worker that is busy.
LEAST_TIMEOUT: Final = 5.0

# How often at least the scheduler is asked within that time, and after how many seconds at the latest.
_LOOKS: Final = 8
_LONGEST: Final = 5.0


def check_timeout(seconds: float) -> None:
    """Raise ArgumentValueError for a time that living workers do not keep."""
    if not LEAST_TIMEOUT <= seconds < float("inf"):
        raise ArgumentValueError(
            f"worker_timeout is {shown(seconds)}; it takes a number of seconds, {LEAST_TIMEOUT:g} or more"
        )


class Watch:
    """Signs of life of a cluster: results, and workers of which the scheduler has heard anew.

    A worker that computes tells the scheduler every few seconds that it is there, so that a slow one is never
    taken for dead.  One that was killed or stopped doesn't, and its tasks are waited for in vain if there is
    no other.

    Parameters
    ----------
    client : distributed.Client
        The way to the scheduler.
    address : str
        The scheduler's address, for messages.
    patience : float
        Seconds without a sign of life after which `look` raises.
    """

    def __init__(self, client: Any, address: str, patience: float) -> None:
        self._client = client
        self._address = address
        self._patience = patience
        self._interval = min(patience / _LOOKS, _LONGEST)
        # when each worker was heard of, by the scheduler's clock; None before it is asked at all
        self._heard: dict[str, float] | None = None
        self._since = time.monotonic()
        self._next = self._since

    def note(self) -> None:
        """Note a result: somebody is at work."""
        self._since = time.monotonic()
        self._next = self._since + self._interval

    def look(self) -> None:
        """Ask the scheduler if it is time to; ClusterError if there was no sign of life for too long."""
        if time.monotonic() < self._next:
            return
        heard = self._workers()
        if heard is not None:
            before, self._heard = self._heard, heard
            if before is not None and any(before.get(one) != at for one, at in heard.items()):
                self._since = time.monotonic()
        now = time.monotonic()
        self._next = now + self._interval
        if now - self._since < self._patience:
            return
        if heard is None:
            problem = f"it has not answered for {self._patience:g} s"
        elif not heard:
            problem = f"it has had no workers for {self._patience:g} s"
        else:
            problem = f"none of its {len(heard)} workers has been heard of for {self._patience:g} s"
        raise ClusterError(f"scheduler {shown(self._address)}: {problem}")

    def lost(self) -> ClusterError:
        """Say that the scheduler has closed the connection, or is not there any more."""
        return ClusterError(f"scheduler {shown(self._address)}: the connection was lost")

    def _workers(self) -> dict[str, float] | None:
        """Ask when the scheduler has heard of each of its workers; None if it doesn't answer."""
        if self._client.status in ("closing", "closed"):
            raise self.lost()
        try:
            found = self._client.sync(
                self._client.scheduler.identity, callback_timeout=self._interval
            )
        except (OSError, TimeoutError):  # distributed's errors of connections are OSErrors
            return None
        return {one: float(said["last_seen"]) for one, said in found["workers"].items()}
