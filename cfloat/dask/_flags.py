"""`record_flags`: the exception flags of what Dask's threads compute."""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import dask

from cfloat._core import flags


@contextmanager
def record_flags() -> Generator[flags.Flags]:
    """Count the exception flags of what Dask's threads compute inside a ``with`` block.

    As `cfloat.record_flags`, which counts the operations of its own thread alone.  `cfloat.errstate` holds
    for those threads as well, where it is set when a computation begins.  The schedulers of processes and
    clusters are out of its reach.

    Yields
    ------
    Flags
        Counts of elements.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.from_array([1e9, 1.0, 1e9, 2.0], chunks=2)
    >>> with cf.dask.record_flags() as flags:
    ...     _ = cf.dask.encode(x, cf.CFloat8_1_4_3).compute(scheduler="threads")
    >>> flags.overflow
    2
    """
    workers = dask.config.get("num_workers", None) or dask.system.CPU_COUNT
    with (
        flags.record_flags() as counted,
        _CarryingPool(workers) as pool,
        dask.config.set(pool=pool),
    ):
        yield counted


class _CarryingPool(ThreadPoolExecutor):
    """Threads that count flags for the thread that hands them work, and act on them as it has asked."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(flags.Carried().run, fn, *args, **kwargs)
