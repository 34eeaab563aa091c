"""How many threads share large work; the threads themselves are the C core's (csrc/cpu/threads.h)."""

import os
from typing import SupportsIndex

from cfloat.errors import ArgumentValueError

from .arguments import integer
from .public_names import public

#: As many as the C core has.
MAX_THREADS = 256

_count = 0  # not decided yet


@public
def set_num_threads(n: SupportsIndex | None) -> None:
    """Set how many threads may share the work on a large array: a conversion, a product, a search for biases.

    Results never depend on it.  It holds for all threads of the process, and for calls that begin
    from now on; it may be set while others run.

    The threads are the caller's own and workers that last: they are started when a call first needs
    so many, and sleep between calls.  They serve one call at a time, and one that comes meanwhile is
    done by its caller alone.  A forked child starts its own.  Workers take no signals and are bound to
    no CPU.

    Parameters
    ----------
    n : int or None
        1 to 256; None for the default: the environment variable ``CFLOAT_NUM_THREADS`` or, without it, the
        number of CPUs that this process may use.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If `n` is not an integer, or out of range.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.set_num_threads(1)
    >>> cf.get_num_threads()
    1
    >>> cf.set_num_threads(None)
    """
    global _count
    _count = _default() if n is None else integer("n", n, 1, MAX_THREADS)


@public
def get_num_threads() -> int:
    """Tell how many threads may share the work on a large array.

    Returns
    -------
    int
        1 to 256.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.get_num_threads() >= 1
    True
    """
    global _count
    if _count == 0:
        _count = _default()
    return _count


def _default() -> int:
    given = os.environ.get("CFLOAT_NUM_THREADS")
    if given:
        try:
            return integer("CFLOAT_NUM_THREADS", int(given), 1, MAX_THREADS)
        except ValueError:
            raise ArgumentValueError(
                f"CFLOAT_NUM_THREADS is {given!r}; it takes an integer from 1 to {MAX_THREADS}"
            ) from None
    return min(available_cpus(), MAX_THREADS)


def available_cpus() -> int:
    """Count the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
