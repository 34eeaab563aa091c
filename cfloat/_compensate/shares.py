"""Sharing work among threads, each with a BLAS of one thread: so no count of threads changes a bit."""

import contextvars
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
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
    """Give what shares work among as many threads as `set_num_threads` says, for one caller after the other.

    It is threadpoolctl that holds BLAS to one thread.  Without it, or where it cannot, BLAS has its own, and
    all work is the caller's.
    """
    with _lock, _one_blas_thread() as hold:
        count = 1 if hold is None else get_num_threads()
        if count == 1:
            yield _one_after_the_other
            return
        # of some libraries each thread has a limit of its own
        with ThreadPoolExecutor(count, initializer=hold) as pool:

            def each(function: Callable[[T], R], items: Sequence[T], /) -> list[R]:
                if len(items) < 2:
                    return _one_after_the_other(function, items)
                # NumPy's error state and the flags' recorder are of the context, which threads do not inherit
                contexts = [contextvars.copy_context() for _ in items]
                return list(pool.map(lambda own, item: own.run(function, item), contexts, items))

            yield each


def _one_after_the_other(function: Callable[[T], R], items: Sequence[T], /) -> list[R]:
    return [function(item) for item in items]


@contextmanager
def _one_blas_thread() -> Iterator[Callable[[], Any] | None]:
    """Hold BLAS to one thread; give what does so for another thread, or None if BLAS is not held."""
    try:
        threadpoolctl = import_module("threadpoolctl")
    except ImportError:
        yield None
        return
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas")
    with libraries.limit(limits=1):
        # another thread's limit may be one that this cannot change; and not every library is known
        counts = [each["num_threads"] for each in libraries.info()]
        is_held = bool(counts) and set(counts) == {1}
        yield partial(libraries.limit, limits=1) if is_held else None


def _renew_lock() -> None:
    global _lock
    _lock = Lock()


# limits are of the process, and of the thread that sets them; a forked child has no thread to release it
_lock = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
