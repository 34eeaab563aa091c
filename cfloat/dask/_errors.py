"""`error`: what was lost in rounding a Dask array."""

from typing import Any, SupportsIndex

import dask.array as da
import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._core.finfo import finfo
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from . import _on_workers
from ._arguments import check_known, check_values, same_shape
from ._blocks import merged, per_chunk


def error(
    x: Any, q: Any, fmt: Format | str | None = None, bias: SupportsIndex | None = None
) -> Any:
    """Measure the error of a rounded Dask array: `cfloat.error`.

    Parameters
    ----------
    x : dask.array.Array or array_like
        The values before rounding.
    q : dask.array.Array or array_like
        The values after rounding, of the same shape; one of the two is a Dask array.
    fmt : Format or str, optional
        As in `cfloat.error`.  Chunks that are CFloatArrays bring format and bias with them.
    bias : int, optional
        As in `cfloat.error`.

    Returns
    -------
    dask.delayed.Delayed
        It computes to an `ErrorStats`: the same as that of `cfloat.error`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `cfloat.error`, those about a CFloatArray's own format when it is computed; or if neither is a
        Dask array.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.random.default_rng(0).standard_normal(100_000, chunks=7_000)
    >>> stats = cf.dask.error(x, cf.dask.asarray(x, cf.CFloat8_1_4_3)).compute()
    >>> round(stats.sqnr_db, 1), stats.saturated
    (31.5, 0.0)
    """
    if not isinstance(x, da.Array) and not isinstance(q, da.Array):
        raise ArgumentTypeError(
            f"x is a {type(x).__name__} and q a {type(q).__name__}; one is a dask.array.Array, or both are"
        )
    before, after = (
        each if isinstance(each, da.Array) else da.from_array(_as_array(each)) for each in (x, q)
    )
    before, after = check_values("x", before), check_values("q", after)
    if not same_shape(before.shape, after.shape):
        raise ArgumentValueError(f"x has shape {before.shape} and q {after.shape}; they must agree")
    if fmt is not None:
        fmt = as_format(fmt)
        finfo(fmt, bias)
    elif bias is not None and not isinstance(after._meta, CFloatArray):
        raise ArgumentValueError(f"bias is {shown(bias)}, of no format; give fmt as well")
    if before.chunks != after.chunks:
        check_known(before)
        check_known(after)
        after = after.rechunk(before.chunks)
    whole = merged(
        _on_workers.merge_errors, per_chunk(_on_workers.ErrorPart.of, before, after, fmt, bias)
    )
    return per_chunk(_on_workers.ErrorPart.stats, whole, fmt, bias).to_delayed().item()


def _as_array(x: Any) -> Any:
    return x if isinstance(x, CFloatArray) else np.asarray(x)
