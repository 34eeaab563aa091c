"""Pieces of a tensor done by several threads at once: one reads while another converts or writes."""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Generic, TypeVar

P = TypeVar("P")

#: Threads at most: each has memory of its own for a piece, and more than two wait for memory.
MAX_WORKERS: Final = 2


class _Worker(threading.local):
    """The number of this thread while it does pieces."""

    number: int | None = None


_worker: Final = _Worker()


def worker_number() -> int:
    """Give the number of this thread among those that do pieces, 0 if there are no others."""
    return _worker.number or 0


def do_pieces(
    work: Callable[[P, int], None],
    pieces: Iterable[P],
    count: int,
    tell: Callable[[P], None] | None = None,
) -> None:
    """Call ``work(piece, worker)`` for each piece, by `count` threads of which this one is the first.

    The pieces are begun in their order.  After an error, or an exception that reaches this thread, no further
    one is begun; those at work are waited for, and the error of the first piece that had one is raised.

    Where `work` calls this again, for parts of a piece, one thread does them: the others have others.

    Parameters
    ----------
    work : callable
        Called with a piece, and with the number of the thread, from 0 to `count` - 1.
    pieces : iterable
        What is to be done.
    count : int
        How many threads.
    tell : callable, optional
        Called with each piece that is done, in this thread alone: what it calls may be anybody's.

    Examples
    --------
    >>> found = [0, 0, 0]
    >>> def square(number, worker):
    ...     found[number] = number**2
    >>> do_pieces(square, range(3), 2)
    >>> found
    [0, 1, 4]
    """
    if count < 2 or _worker.number is not None:
        for piece in pieces:
            work(piece, worker_number())
            if tell is not None:
                tell(piece)
        return
    queue = _Queue(pieces, tell)
    others = [
        threading.Thread(target=queue.drain, args=(work, worker), daemon=True)
        for worker in range(1, count)
    ]
    try:
        # where the system has no more threads, those that there are do it all
        with suppress(RuntimeError):
            for thread in others:
                thread.start()
        queue.drain(work, 0)
    finally:
        queue.stop()
        _wait(others)
    queue.raise_first()
    queue.tell_of_done()


def _wait(others: list[threading.Thread]) -> None:
    """Wait for threads that have begun, whatever signals come meanwhile: they write to a file that goes."""
    stopped: BaseException | None = None
    while any(thread.is_alive() for thread in others):
        try:
            for thread in others:
                if thread.ident is not None:
                    thread.join()
        except BaseException as error:
            stopped = error
    if stopped is not None:
        raise stopped


class _Queue(Generic[P]):
    """Pieces that threads take one after the other, until there are none, or one has failed."""

    def __init__(self, pieces: Iterable[P], tell: Callable[[P], None] | None) -> None:
        self._pieces = enumerate(pieces)
        self._tell = tell
        self._done: list[P] = []
        self._lock = threading.Lock()
        self._is_stopped = False
        self._errors: dict[int, BaseException] = {}

    def drain(self, work: Callable[[P, int], None], worker: int) -> None:
        """Do pieces until there is none left."""
        _worker.number = worker
        try:
            self._drain(work, worker)
        finally:
            _worker.number = None

    def _drain(self, work: Callable[[P, int], None], worker: int) -> None:
        while True:
            with self._lock:
                taken = None if self._is_stopped else next(self._pieces, None)
            if taken is None:
                return
            number, piece = taken
            try:
                work(piece, worker)
            except BaseException as error:
                with self._lock:
                    self._errors[number] = error
                    self._is_stopped = True
                if worker == 0 and not isinstance(error, Exception):
                    self._errors.clear()
                    raise
                return
            with self._lock:
                self._done.append(piece)
            if worker == 0:
                self.tell_of_done()

    def tell_of_done(self) -> None:
        """Tell of the pieces that were done since the last time; in the thread that began them all."""
        with self._lock:
            done, self._done = self._done, []
        if self._tell is not None:
            for piece in done:
                self._tell(piece)

    def stop(self) -> None:
        """Let no further piece begin."""
        with self._lock:
            self._is_stopped = True

    def raise_first(self) -> None:
        """Raise the error of the first piece that had one."""
        if not self._errors:
            return
        error = self._errors[min(self._errors)]
        # what it has seen goes with it: its traceback has this queue, which had it
        self._errors.clear()
        try:
            raise error
        finally:
            del error
