"""Between tensors and `CFloatArray`."""

from typing import SupportsIndex

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from cfloat._array import array, creation
from cfloat._bias.bias_layout import Axis
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.rounding import RoundingMode
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError

from ._arguments import FLOATS, check_has_elements, check_strided, names
from ._memory import for_numpy, to_numpy


def asarray(
    x: Tensor,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    axis: Axis | None = None,
    block: SupportsIndex | None = None,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
) -> array.CFloatArray:
    """Convert a tensor to a `CFloatArray`, as `cfloat.asarray` does.

    Parameters
    ----------
    x : Tensor of float64, float32, float16 or bfloat16
        Values, on any device; those elsewhere are copied to the CPU.
    fmt, bias, axis, block, rounding, seed, offset
        As in `cfloat.asarray`.

    Returns
    -------
    CFloatArray
        ``torch.from_numpy(a.codes)`` is a tensor of its codes, in the same memory.

    Raises
    ------
    ArgumentTypeError
        If `x` is not a tensor of a dtype above.
    ArgumentTypeError, ArgumentValueError, FlagError
        As `cfloat.asarray`.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> cf.torch.asarray(torch.tensor([[1.0, 2.0], [0.1, 0.2]]), cf.CFloat8_1_4_3, "max", axis=0)
    CFloatArray([[1.       , 2.       ],
                 [0.1015625, 0.203125 ]], CFloat8_1_4_3, bias=[[14], [18]])
    """
    check_has_elements(check_strided(x))
    # where they are, if NumPy has their dtype
    values = to_numpy(x) if x.is_cpu and x.dtype != torch.bfloat16 else for_numpy(x)
    return creation.asarray(
        values, as_format(fmt), bias, axis=axis, block=block, rounding=rounding, seed=seed,
        offset=offset,
    )  # fmt: skip


@in_default_modes
def to_torch(
    a: array.CFloatArray,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return the values of a `CFloatArray` as a tensor.

    Parameters
    ----------
    a : CFloatArray
        Codes, their format and biases.
    dtype : torch.dtype, default torch.float32
        float64 or float32, which hold every value, or float16 or bfloat16, to which values are rounded.
    device : torch.device or str, optional
        Where the tensor is to be; the CPU if None.

    Returns
    -------
    Tensor of `dtype`
        Of the array's shape, contiguous.

    Raises
    ------
    ArgumentTypeError
        If `a` is not a CFloatArray, or `dtype` not one of those above.

    Examples
    --------
    >>> import torch
    >>> import cfloat as cf
    >>> import cfloat.torch
    >>> a = cf.asarray([1.0, 2.7, -3.0], cf.CFloat8_1_4_3)
    >>> cf.torch.to_torch(a, torch.bfloat16)
    tensor([ 1.0000,  2.7500, -3.0000], dtype=torch.bfloat16)
    """
    if not isinstance(a, array.CFloatArray):
        raise ArgumentTypeError(f"a is {shown(a)}; it takes a CFloatArray")
    if dtype not in FLOATS:
        raise ArgumentTypeError(f"dtype is {shown(dtype)}; it takes {names(FLOATS)}")
    exact = np.float64 if dtype == torch.float64 else np.float32
    return torch.from_numpy(a.__array__(exact)).to(device, dtype)
