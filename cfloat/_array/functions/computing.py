"""Functions that compute on the float32 values of arrays."""

from typing import Any

import numpy as np

from cfloat._array.array import CFloatArray
from cfloat._array.reductions import total
from cfloat._array.registry import COMPUTED, Function, computes

from .arguments import codes_in
from .values import compute, write

# what needs no more than float32 arrays in place of the CFloatArrays
COMPUTED.update(
    dict.fromkeys(
        """
        all allclose angle any apply_along_axis apply_over_axes argmax argmin argpartition argsort
        argwhere around array2string array_equal array_equiv array_str average convolve corrcoef
        correlate count_nonzero cov cross cumprod cumsum cumulative_prod cumulative_sum diag_indices_from diff
        digitize ediff1d einsum_path fix flatnonzero geomspace gradient histogram histogram2d
        histogram_bin_edges histogramdd i0 imag interp isclose iscomplex isin isneginf isposinf isreal
        ix_ kron lexsort linspace logspace median min_scalar_type nanargmax nanargmin nancumprod
        nancumsum nanmean nanmedian nanpercentile nanprod nanquantile nanstd nansum nanvar
        nonzero outer percentile piecewise poly polyadd polyder polydiv polyfit polyint polymul polysub
        polyval prod ptp quantile roots round savetxt searchsorted sinc sort_complex std
        trace trapezoid tril_indices_from triu_indices_from unwrap vander var in1d
        polynomial.polynomial.polygrid2d polynomial.polynomial.polyval2d lib.scimath.arccos lib.scimath.arcsin
        lib.scimath.arctanh lib.scimath.log lib.scimath.log10 lib.scimath.log2 lib.scimath.logn
        lib.scimath.power lib.scimath.sqrt linalg.cholesky linalg.cond linalg.cross linalg.det linalg.eig
        linalg.eigh linalg.eigvals linalg.eigvalsh linalg.inv linalg.lstsq linalg.matrix_norm
        linalg.matrix_power linalg.matrix_rank linalg.norm linalg.outer linalg.pinv linalg.qr
        linalg.slogdet linalg.solve linalg.svd linalg.svdvals linalg.tensorinv
        linalg.tensorsolve linalg.trace linalg.vecdot linalg.vector_norm fft.fft fft.fft2 fft.fftn
        fft.hfft fft.ifft fft.ifft2 fft.ifftn fft.ihfft fft.irfft fft.irfft2
        fft.irfftn fft.rfft fft.rfft2 fft.rfftn
        """.split()
    )
)


@computes("sum", "mean")
def _total(func: Function, a: Any, axis: Any = None, *args: Any, **kwargs: Any) -> Any:
    """In one pass over the codes, if nothing is asked for but axes."""
    if not args and not kwargs.keys() - {"keepdims"}:
        found = total(a, axis, kwargs.get("keepdims", False), mean=func is np.mean)
        if found is not None:
            return found
    return compute(func, a, axis, *args, **kwargs)


@computes("nan_to_num")
def _nan_to_num(func: Function, x: Any, copy: bool = True, *args: Any, **kwargs: Any) -> Any:
    if copy or not isinstance(x, CFloatArray):
        return compute(func, x, copy, *args, **kwargs)
    return write(x, compute(func, x, True, *args, **kwargs))


@computes("array_repr")
def _array_repr(
    func: Function,
    arr: CFloatArray,
    max_line_width: Any = None,
    precision: Any = None,
    suppress_small: Any = None,
) -> str:
    options: Any = {"linewidth": max_line_width, "precision": precision, "suppress": suppress_small}
    with np.printoptions(**{name: value for name, value in options.items() if value is not None}):
        return repr(arr)


@computes("shape")
def _shape(func: Function, a: CFloatArray) -> tuple[int, ...]:
    return a.shape


@computes("ndim", "size")
def _metadata(func: Function, a: CFloatArray, *args: Any, **kwargs: Any) -> int:
    result: int = func(a.codes, *args, **kwargs)
    return result


@computes("may_share_memory", "shares_memory")
def _memory(func: Function, a: Any, b: Any, *args: Any, **kwargs: Any) -> bool:
    return bool(func(codes_in(a), codes_in(b), *args, **kwargs))


@computes("result_type", "common_type", "can_cast", "iscomplexobj", "isrealobj")
def _type_of(func: Function, *args: Any, **kwargs: Any) -> Any:
    """Functions that look at the dtype alone: one element in place of each array."""
    return func(
        *(np.zeros(1, np.float32) if isinstance(a, CFloatArray) else a for a in args), **kwargs
    )


@computes("astype")
def _astype(
    func: Function, x: CFloatArray, dtype: Any, /, *, copy: bool = True, device: Any = None
) -> Any:
    return x.astype(dtype, copy=copy)
