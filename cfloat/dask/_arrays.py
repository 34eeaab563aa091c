"""`encode`, `decode`, `round_to` and `asarray`: conversion of a Dask array, chunk by chunk."""

from typing import Any, SupportsIndex

import dask.array as da
import numpy as np
from numpy.typing import DTypeLike

from cfloat._array.array import CFloatArray
from cfloat._bias.bias_layout import check_blocks, check_layout
from cfloat._bias.bias_methods import check_method
from cfloat._convert import elementwise
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode, StochasticVariant

from . import _on_workers
from ._arguments import (
    broadcast,
    check_dask,
    check_how,
    check_known,
    check_not_both,
    check_values,
    laid_out,
)
from ._biases import choose_bias
from ._blocks import empty, map_chunks, whole_blocks


def encode(
    x: Any,
    fmt: Format | str,
    bias: Any = None,
    *,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
) -> Any:
    """Convert values to codes: `cfloat.encode` on a Dask array.

    Parameters
    ----------
    x : dask.array.Array
        Values of a dtype that `cfloat.encode` takes.
    fmt : Format or str
        The format of the codes.
    bias : int, array_like of int or dask.array.Array, optional
        As in `cfloat.encode`.
    rounding, seed, offset, stochastic_bits, stochastic_variant
        As in `cfloat.encode`.  A seed of None is drawn once, when this is called: computing again gives the
        same codes.

    Returns
    -------
    dask.array.Array of uint8 or uint16
        Of the shape to which `x` and `bias` broadcast, in the chunks of `x`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `cfloat.encode`; or if `x` is not a Dask array, or its chunks are of unknown size and rounding is
        stochastic or biases are an array.  If biases come as a Dask array that has bad ones, when it is
        computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.linspace(-1, 1, 6, chunks=4)
    >>> codes = cf.dask.encode(x, cf.CFloat8_1_4_3, rounding="stochastic", seed=1)
    >>> codes.compute()
    array([184, 178, 165,  37,  50,  56], dtype=uint8)
    >>> cf.encode(x.compute(), cf.CFloat8_1_4_3, rounding="stochastic", seed=1)
    array([184, 178, 165,  37,  50,  56], dtype=uint8)
    """
    fmt = as_format(fmt)
    x, bias = broadcast(check_values("x", x), fmt, bias)
    how = check_how(x, rounding, seed, offset, stochastic_bits, stochastic_variant)
    return map_chunks(_on_workers.encode, x, bias, how, empty(x, fmt.storage_dtype), fmt=fmt)


def decode(
    codes: Any, fmt: Format | str, bias: Any = None, *, dtype: DTypeLike | None = None
) -> Any:
    """Convert codes to values: `cfloat.decode` on a Dask array.

    Parameters
    ----------
    codes : dask.array.Array of uint8 or uint16
        Codes, of dtype ``fmt.storage_dtype``.
    fmt : Format or str
        The format of the codes.
    bias : int, array_like of int or dask.array.Array, optional
        As in `cfloat.decode`.
    dtype : dtype, optional
        As in `cfloat.decode`; float32 by default.

    Returns
    -------
    dask.array.Array of `dtype`
        Of the shape to which `codes` and `bias` broadcast, in the chunks of `codes`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError, MissingExtraError
        As `cfloat.decode`; or if `codes` is not a Dask array.  If a code is too large for the format, when
        it is computed.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> codes = cf.dask.encode(da.arange(4, chunks=2), cf.CFloat8_1_4_3)
    >>> cf.dask.decode(codes, cf.CFloat8_1_4_3).compute()
    array([0., 1., 2., 3.], dtype=float32)
    """
    check_dask("codes", codes)
    fmt = as_format(fmt)
    elementwise.check_codes(np.empty(0, codes.dtype), fmt)
    codes, bias = broadcast(codes, fmt, bias)
    # the checks of a dtype are elementwise's
    checked = elementwise.decode(np.empty(0, fmt.storage_dtype), fmt, dtype=dtype).dtype
    return map_chunks(
        _on_workers.decode, codes, bias, {}, empty(codes, checked), fmt=fmt, value_dtype=checked
    )


def round_to(
    x: Any,
    fmt: Format | str,
    bias: Any = None,
    *,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
) -> Any:
    """Round values to those that a format has: `cfloat.round_to` on a Dask array.

    Parameters
    ----------
    x : dask.array.Array
        Values of a dtype that `cfloat.encode` takes.
    fmt : Format or str
        The format on whose grid the results are.
    bias : int, array_like of int, dask.array.Array, or {"mse", "max", "percentile", "mx"}, optional
        As in `cfloat.round_to`.
    rounding, seed, offset, stochastic_bits, stochastic_variant
        As in `encode`.

    Returns
    -------
    dask.array.Array of float64 or float32
        float64 if `x` is, and float32 otherwise.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `encode`.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.from_array([0.1, 0.2, 0.3], chunks=2)
    >>> cf.dask.round_to(x, cf.CFloat8_1_4_3).compute()
    array([0.1015625, 0.203125 , 0.3125   ])
    """
    x = check_values("x", x)
    fmt = as_format(fmt)
    if isinstance(bias, str):
        bias = choose_bias(x, fmt, check_method("bias", bias, fmt))
    x, bias = broadcast(x, fmt, bias)
    how = check_how(x, rounding, seed, offset, stochastic_bits, stochastic_variant)
    return map_chunks(
        _on_workers.round_to, x, bias, how, empty(x, elementwise.rounded_dtype(x.dtype)), fmt=fmt
    )


def asarray(
    x: Any,
    fmt: Format | str,
    bias: Any = None,
    *,
    axis: SupportsIndex | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
) -> Any:
    """Round values into a format: `cfloat.asarray` on a Dask array.

    Parameters
    ----------
    x : dask.array.Array
        Values of a dtype that `cfloat.encode` takes, or chunks of CFloatArrays.
    fmt : Format or str
        The format.
    bias : int, array_like of int, dask.array.Array, or {"mse", "max", "percentile", "mx"}, optional
        As in `cfloat.asarray`.
    axis, block : int, optional
        As in `cfloat.asarray`, but one of them at most: blocks run along the last axis, which is chunked anew
        where a chunk would end within a block.
    rounding, seed, offset, stochastic_bits, stochastic_variant
        As in `encode`.

    Returns
    -------
    dask.array.Array
        Its chunks are CFloatArrays, and so is what it computes to: its codes and its bias at every element
        are those of `cfloat.asarray`.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        As `cfloat.asarray`; or as `encode`.

    Notes
    -----
    Where Dask puts chunks of one format together, the biases of the result are those of the chunks: one, or
    one a slice or a block if the chunks' are.  Chunks of different formats become float32, as in NumPy's
    ``concatenate``.

    Examples
    --------
    >>> import dask.array as da
    >>> import cfloat as cf
    >>> import cfloat.dask
    >>> x = da.from_array([[100.0, 200.0], [0.5, 1.1]], chunks=1)
    >>> q = cf.dask.asarray(x, cf.CFloat8_1_4_3, "max", axis=0)
    >>> q.compute()
    CFloatArray([[ 96.   , 192.   ],
                 [  0.5  ,   1.125]], CFloat8_1_4_3, bias=[[8], [15]])
    >>> (q[:, 0] + 1).compute()
    array([97. ,  1.5], dtype=float32)
    """
    x = check_values("x", x)
    fmt = as_format(fmt)
    check_not_both(axis, block)
    how = check_how(x, rounding, seed, offset, stochastic_bits, stochastic_variant)
    if isinstance(bias, str):
        method = check_method("bias", bias, fmt)
        bias = choose_bias(x, fmt, method, axis=axis, block=block)
    length = None
    if block is not None:
        check_known(x)
        length = check_blocks(block, x.shape).length
    if isinstance(bias, da.Array):
        bias = laid_out(bias, x.shape, axis, length)
    else:
        layout = check_layout(fmt, bias, x.shape, axis, block)
        bias, length = layout.values, layout.block
    if length is not None and not isinstance(bias, int):
        x = whole_blocks(x, length)
    else:
        length = None
    meta = CFloatArray(empty(x, fmt.storage_dtype), fmt)
    return map_chunks(_on_workers.asarray, x, bias, how, meta, block=length, fmt=fmt)
