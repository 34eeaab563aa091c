"""Signals that end a command: as an exception, so that nothing is left behind."""

import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)

# Seconds after which a signal that came in a finalizer comes again.
_AGAIN_S: Final = 0.01


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

    SIGINT raises KeyboardInterrupt, as it does otherwise.  Neither is raised where Python would print and
    forget it, in a finalizer: there the signal comes again a little later.  Signals that something else is
    done about, or nothing (as under ``nohup``), are left alone.
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
        signal.signal(each, _later_in_finalizers(stop))
    interrupts = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interrupts:
        signal.signal(signal.SIGINT, _later_in_finalizers(signal.default_int_handler))
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, signal.SIG_DFL)
        if interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            # after other packages' functions, to be called before them
            atexit.unregister(_end_at_once)
            atexit.register(_end_at_once)


def _end_at_once() -> None:
    """Let SIGINT end the process, which has nothing left to clean up when the interpreter ends."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _later_in_finalizers(
    handler: Callable[[int, FrameType | None], Any],
) -> Callable[[int, FrameType | None], None]:
    """Make a handler that has the signal come again if it came in a finalizer."""

    def handle(number: int, frame: FrameType | None) -> None:
        if _in_finalizer(frame):
            again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        else:
            handler(number, frame)

    return handle


def _in_finalizer(frame: FrameType | None) -> bool:
    """Whether Python was in a ``__del__``, or in what `weakref` calls when an object goes."""
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_globals.get("__name__") == "weakref":
            return True
        frame = frame.f_back
    return False


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
