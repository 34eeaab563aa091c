"""How many threads large arrays are converted with."""

import operator
import os
from typing import SupportsIndex

from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .public import public
from .text import shown

#: As many as the C core starts.
MAX_THREADS = 256

_count = 0  # not decided yet


@public
def set_num_threads(n: SupportsIndex | None) -> None:
    """Set how many threads may share the conversion of a large array.

    Results never depend on it.  It holds for all threads of the process.

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
    _count = _default() if n is None else _checked("n", n)


@public
def get_num_threads() -> int:
    """Return how many threads may share the conversion of a large array.

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
            return _checked("CFLOAT_NUM_THREADS", int(given))
        except ValueError:
            raise ArgumentValueError(
                f"CFLOAT_NUM_THREADS is {given!r}; it takes an integer from 1 to {MAX_THREADS}"
            ) from None
    return min(available_cpus(), MAX_THREADS)


def available_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _checked(name: str, n: SupportsIndex) -> int:
    try:
        if isinstance(n, bool):
            raise TypeError
        count = operator.index(n)
    except TypeError:
        raise ArgumentTypeError(f"{name} is {shown(n)}; it takes an integer") from None
    if not 1 <= count <= MAX_THREADS:
        raise ArgumentValueError(f"{name} is {count}; it takes an integer from 1 to {MAX_THREADS}")
    return count
