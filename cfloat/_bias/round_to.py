"""`round_to`: rounding to a format, at a bias that may be chosen by name."""

from typing import Any, SupportsIndex

from numpy import ndarray
from numpy.typing import ArrayLike, NDArray

from cfloat._convert.elementwise import broadcast_shape, round_checked, rounded_dtype, type_of
from cfloat._core.arguments import check_out
from cfloat._core.binding import NO_TYPE, convert_directly
from cfloat._core.dtypes import real_array, value_dtype
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.public_names import public
from cfloat._core.rounding import (
    ALL_BITS,
    VARIANT_A,
    RoundingMode,
    StochasticVariant,
    check_rounding,
)

from .bias_methods import check_method
from .choose import choose_checked
from .masked import present_values

Array = NDArray[Any]


@public
def round_to(
    x: ArrayLike,
    fmt: Format | str,
    bias: ArrayLike | None = None,
    *,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    random_bits: ArrayLike | None = None,
    stochastic_bits: SupportsIndex = 32,
    stochastic_variant: StochasticVariant = "A",
    out: Array | None = None,
) -> Array:
    """Round values to those that a format has ("fake quantisation"): ``decode(encode(x))``.

    Parameters
    ----------
    x : array_like
        Values, as in `encode`.
    fmt : Format or str
        The format on whose grid the results are, or its name.
    bias : int, array_like of int, or {"mse", "max", "percentile", "mx"}, optional
        As in `encode`; or how `choose_bias` is to choose one for all of `x`, without what a masked array
        masks; that is rounded as all else, and no mask is returned.
    rounding, seed, offset, random_bits, stochastic_bits, stochastic_variant
        As in `encode`.
    out : ndarray, optional
        Where to write the result, of a dtype that `decode` can write, in any layout.  It may be `x` itself.
        In float16, bfloat16 and ml_dtypes' floats of a byte a value that they do not have is rounded a second
        time, to nearest, of which no flag tells.

    Returns
    -------
    ndarray of float64 or float32
        `out`, or a new array, in the memory order of `x` if it has its shape: float64 if `x` is, and float32
        otherwise, which holds every value of every format exactly.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError, FlagError
        As `encode`.

    See Also
    --------
    encode : The codes instead of the values.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.round_to([0.1, 0.2, 0.3], cf.CFloat8_1_4_3)
    array([0.1015625, 0.203125 , 0.3125   ])
    """
    if type(fmt) is not Format:
        fmt = as_format(fmt)
    source = x if type(x) is ndarray else real_array("x", x)
    if random_bits is None and stochastic_bits is ALL_BITS and stochastic_variant is VARIANT_A:
        dtype = rounded_dtype(source.dtype) if type(out) is not ndarray else out.dtype
        values = convert_directly(
            fmt, bias, source, type_of(source.dtype, NO_TYPE), out, dtype, type_of(dtype, NO_TYPE),
            "round_to", rounding, seed, offset,
        )  # fmt: skip
        if values is not None:
            return values
    source = real_array("x", source)
    if isinstance(bias, str):
        bias = choose_checked(present_values("x", x), fmt, check_method("bias", bias, fmt))
    biases = fmt.check_biases(bias)
    shape = broadcast_shape(source, biases)
    how = check_rounding(
        rounding, shape, seed, offset, random_bits, stochastic_bits, stochastic_variant
    )
    if out is not None:
        check_out(out, shape, value_dtype(None, rounded_dtype(source.dtype), out))
    return round_checked(source, fmt, biases, shape, how, out)
