"""``__array_function__``: which of the tables a function is in, and what that means."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.operators import check_operands
from cfloat._array.registry import COMPUTED, KEEPS, PROTOCOLS, REFUSED, Function, key_of
from cfloat._core.float_modes import in_default_modes
from cfloat.errors import ArgumentTypeError

from .arguments import parameters
from .refusing import LIKE
from .values import compute


@in_default_modes
def call(
    own: CFloatArray,
    func: Function,
    types: Iterable[type],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Do what ``__array_function__`` of an array is asked for."""
    if not all(issubclass(one, CFloatArray | np.ndarray) for one in types):
        return NotImplemented
    name = key_of(func)
    reason = REFUSED.get(name)
    if reason is LIKE and own.size == 0:
        # of no elements it stands for a kind of array, as Dask and others ask for one: NumPy's own
        return func(*args, **kwargs)
    if reason is not None:
        raise ArgumentTypeError(f"{name} does not take a CFloatArray: {reason}")
    if not args:  # the first argument may be given by its name, which functions differ in
        args = tuple(kwargs[first] for first in parameters(func)[:1] if first in kwargs)
        kwargs = {key: kwargs[key] for key in kwargs if not args or key != parameters(func)[0]}
    check_operands(f"numpy.{name}", args)
    keep = KEEPS.get(name)
    if keep is not None:
        return keep(func, *args, **kwargs)
    special = COMPUTED.get(name)
    if special is not None:
        return special(func, *args, **kwargs)
    return compute(func, *args, **kwargs)


PROTOCOLS["__array_function__"] = call
