"""Signals that end a command: as an exception, so that nothing is left behind."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class StoppedError(BaseException):
    """The process has been told to end.

    Parameters
    ----------
    number : int
        The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Raise StoppedError on a signal within the block that would end the process at once.

    Signals that something else is done about, or nothing (as under ``nohup``), are left alone.
    """

    def stop(number: int, frame: Any) -> None:
        # another one must not disturb what cleans up
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        raise StoppedError(number)

    # Python allows it in the main thread alone
    is_main = threading.current_thread() is threading.main_thread()
    taken = [each for each in _SIGNALS if is_main and signal.getsignal(each) == signal.SIG_DFL]
    for each in taken:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Take no notice of signals that end a command, for as long as it takes to clean up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (*_SIGNALS, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
