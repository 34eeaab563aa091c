"""Sharing work among threads, each with a BLAS of one thread: so no count of threads changes a bit."""

import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from threading import Lock
from typing import Any, Final, Protocol, TypeVar

from cfloat._core.threads import get_num_threads

T = TypeVar("T")
R = TypeVar("R")

# rows of a piece: enough for BLAS to be fast, and for eight threads to have some, within a cache's memory
_LEAST_ROWS: Final = 64
_MOST_ROWS: Final = 512
_PIECES: Final = 8


class Each(Protocol):
    """Calls a function with each of some items, maybe several at a time; gives its results in their order."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], /) -> list[R]: ...


def pieces(start: int, stop: int) -> list[slice]:
    """Cut rows into pieces, which depend on nothing but how many rows there are."""
    step = -(-(stop - start) // (_PIECES * _LEAST_ROWS)) * _LEAST_ROWS
    step = min(max(step, _LEAST_ROWS), _MOST_ROWS)
    return [slice(i, min(i + step, stop)) for i in range(start, stop, step)]


@contextmanager
def sharing() -> Iterator[Each]:
    """Give what shares work among as many threads as `set_num_threads` says.

    It is threadpoolctl that holds BLAS to one thread.  Without it BLAS has its own, and all work is the
    caller's.
    """
    with _one_blas_thread() as is_held:
        count = get_num_threads() if is_held else 1
        if count == 1:
            yield _one_after_the_other
            return
        with ThreadPoolExecutor(count) as pool:

            def each(function: Callable[[T], R], items: Sequence[T], /) -> list[R]:
                if len(items) < 2:
                    return _one_after_the_other(function, items)
                # NumPy's error state and the flags' recorder are of the context, which threads do not inherit
                contexts = [contextvars.copy_context() for _ in items]
                return list(pool.map(lambda own, item: own.run(function, item), contexts, items))

            yield each


def _one_after_the_other(function: Callable[[T], R], items: Sequence[T], /) -> list[R]:
    return [function(item) for item in items]


class _Held:
    """BLAS libraries' limits, which are of the process: the first call sets them, and the last one unsets."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls = 0
        self._limits: Any = None

    def begin(self) -> bool:
        """Hold BLAS to one thread; tell whether it is."""
        with self._lock:
            if not self._calls:
                try:
                    limits = import_module("threadpoolctl").threadpool_limits
                except ImportError:
                    return False
                self._limits = limits(limits=1, user_api="blas")
            self._calls += 1
            return True

    def end(self) -> None:
        """Give BLAS back the threads that it had."""
        with self._lock:
            self._calls -= 1
            if not self._calls:
                self._limits.restore_original_limits()
                self._limits = None


_held: Final = _Held()


@contextmanager
def _one_blas_thread() -> Iterator[bool]:
    is_held = _held.begin()
    try:
        yield is_held
    finally:
        if is_held:
            _held.end()
