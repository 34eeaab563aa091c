"""A progress bar on a terminal's stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

#: Seconds of work after which it appears.
PROGRESS_AFTER = 1.0


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float, int], None]]:
    """Give a function that shows progress, once the work has taken a while."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True)
    task = bar.add_task(title)
    start = time.monotonic()

    def advance(done: float, total: int) -> None:
        if not bar.live.is_started and time.monotonic() - start > PROGRESS_AFTER:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield advance if console.is_terminal else lambda done, total: None
    finally:
        if bar.live.is_started:
            bar.stop()
