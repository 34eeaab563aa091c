"""Matrix products of `CFloatArray`: `matmul` (docs/spec.md 5.4)."""

from typing import Any, Final, SupportsIndex

from cfloat._array.array import CFloatArray
from cfloat._core import flags
from cfloat._core.format import Format
from cfloat._core.public_names import public
from cfloat._core.rounding import FIRST_WORD, TIES_TO_EVEN, RoundingMode
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .accumulator import check_accumulator
from .operands import operand, result_shape
from .outputs import check_destination, into_float32, into_format
from .plain import plain_product

# Arguments of a plain product; another object of the same value goes the longer way to the same.
_FLOAT32: Final = "float32"
_EXACT: Final = "exact"
_EACH: Final = 1


@public
def matmul(
    a: Any,
    b: Any,
    *,
    accumulate: Format | str = "float32",
    accumulator_bias: SupportsIndex | None = None,
    accumulate_every: SupportsIndex = 1,
    rounding: RoundingMode = "ties_to_even",
    seed: SupportsIndex | None = None,
    offset: SupportsIndex = 0,
    out: Any = None,
) -> Any:
    """Multiply matrices, one at least a `CFloatArray`: exact products, float32 sums (docs/spec.md 5.4).

    Parameters
    ----------
    a, b : CFloatArray or array_like
        Operands, one of them a CFloatArray of any format and biases; the other may be float32 or bfloat16
        (ml_dtypes'), or of a dtype that NumPy promotes to float32 and that is converted first (float16,
        integers of 8 and 16 bits).  Shapes are those of `numpy.matmul`: vectors, matrices, and stacks of
        matrices that broadcast.  Codes are read where they are, whatever their strides.
    accumulate : {"float32", "exact"}, Format or str, default "float32"
        How products are summed.  "float32": in float32.  "exact": exactly, and the sum is rounded once: to
        float32, to nearest, ties to even, or into a CFloatArray `out`.  A Format, or its name, models a
        hardware accumulator: the sum starts at 0 and is rounded to the format whenever products have been
        added, in the order k = 0, 1, ...
    accumulator_bias : int, optional
        The exponent bias of an accumulator that is a Format; its default bias if None.
    accumulate_every : int, default 1
        How many products are added before each rounding to an accumulator that is a Format: one, and it is
        the exact sum that is rounded; more, and they are added in float64, each time rounded to odd.
    rounding, seed, offset
        As in `encode`: of an accumulator that is a Format, or else of a CFloatArray `out`.  Rounding s = 0,
        1, ... of the accumulator of element i, in row-major order of the result, takes random word
        ``offset + s * n + i``, n being the number of elements.
    out : ndarray or CFloatArray, optional
        Where to write the result, of its shape.  It may overlap the operands.  An ndarray is float32, in any
        layout.  A CFloatArray gets float32 results, or of "exact" the sums themselves, rounded into its
        format: by `rounding`, or to nearest if that is the accumulator's.

    Returns
    -------
    ndarray of float32, or float32
        `out`, or a new array; a float32 of two vectors.  Of an accumulator that is a Format the results are
        values of that format.

    Raises
    ------
    ArgumentTypeError
        If neither operand is a CFloatArray, one is not of a dtype above, `accumulate` is of another type, an
        integer argument is something else, or `out` is not an array that the result can be written to.
    ArgumentValueError
        If the shapes do not fit, an argument is out of range, one is given that nothing uses, or `out` has
        another shape or cannot be written.
    FlagError
        If `errstate` says so.

    See Also
    --------
    matmul_error : What the rounding of the operands costs.

    Notes
    -----
    Elements of the result are at most ``K * 2**-23 * (abs(a) @ abs(b))`` from the exact ones, K being the
    length of the sums, if nothing leaves float32's range.  Nothing depends on the number of threads.  With
    "exact" or a Format the result has the same bits on every machine.  float32 sums do not: their order is
    the instruction set's (`isa`).

    - Everywhere, blocks of 1024 consecutive k are summed from zero, and the blocks' sums added in order.
    - portable, neon, avx2, avx512: and so are parts of 256 k, in a block; in a part k = 0, 1, ...; a product
      is rounded and then added (portable), or added by one fused operation (the others).
    - avx512bf16, if both operands have 8 significant bits at most: two k at a time, the second first, each by
      one fused operation.  Else as avx512.
    - amx: 32 k at a time, the 16 of even place and the 16 of odd place each in sequence, then those two sums
      to each other and to the sum so far.  Operands of more than 8 significant bits are split into two or
      three bfloat16 (but for values not finite, or below about 2**-80: those as avx512), and of a block the
      products of the smallest pieces are summed first.
    - Small products, of at most 256 k and 4096 elements in each operand and the result: k = 0, 1, ... as
      above; with avx512bf16 and amx two k at a time, as avx512bf16, if k is even, both operands are codes of
      8 bits and each has 256 elements or more.
    - Of others, sixteen rows or columns or fewer are summed in vectors, each lane by itself, where the other
      operand is contiguous along an axis; the order then depends on which axis that is, and on how many
      they are.

    ``a @ b``, `numpy.matmul` and NumPy's other products (`numpy.dot`, `numpy.einsum`, ...) come here if no
    operand is wider.  With an operand that NumPy computes in float64 with, they compute in float64 on the
    decoded values, and this function refuses it.

    Flags are those of rounding into a CFloatArray `out`: operands raise none.  That takes less than 16 MB
    of memory, and an array of the result's size if it overlaps an operand; packing takes less than 40 MB.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> a = cf.asarray([[1.0, 2.7], [0.1, 0.2]], cf.CFloat8_1_4_3)
    >>> b = cf.asarray([[1.0, -1.0], [0.5, 4.0]], cf.CFloat8_1_5_2, bias=20)
    >>> cf.matmul(a, b)
    array([[ 2.375    , 10.       ],
           [ 0.203125 ,  0.7109375]], dtype=float32)
    >>> cf.matmul(a, np.ones(2, np.float32))
    array([3.75     , 0.3046875], dtype=float32)
    >>> cf.matmul(a, b, out=cf.asarray(np.zeros((2, 2)), cf.CFloat8_1_4_3))
    CFloatArray([[ 2.5     , 10.      ],
                 [ 0.203125,  0.6875  ]], CFloat8_1_4_3, bias=7)
    """
    if (
        (accumulate is _FLOAT32 or accumulate is _EXACT)
        and accumulator_bias is None
        and seed is None
        and accumulate_every is _EACH
        and rounding is TIES_TO_EVEN
        and offset is FIRST_WORD
    ):
        product = plain_product(a, b, out, exact=accumulate is _EXACT)
        if product is not None:
            return product
    if not (isinstance(a, CFloatArray) or isinstance(b, CFloatArray)):
        raise ArgumentTypeError(
            f"a is a {type(a).__name__} and b a {type(b).__name__}; one of them must be a CFloatArray"
        )
    a, b = operand("a", a), operand("b", b)
    shape = result_shape(a.shape, b.shape)
    accumulator, how = check_accumulator(
        accumulate, accumulator_bias, accumulate_every, rounding, seed, offset, shape, a.shape[-1]
    )
    if not isinstance(out, CFloatArray):
        if how.mode != "ties_to_even":
            raise ArgumentValueError(
                f"rounding is {how.mode!r}; it needs a CFloatArray as out, or a Format as accumulate"
            )
        return into_float32(a, b, shape, accumulator, out)
    check_destination(out, shape)
    if not flags.are_counted():
        into_format(a, b, out, accumulator, how)
        return out
    # of the whole, whatever the pieces
    with flags.collected() as raised:
        into_format(a, b, out, accumulator, how)
    if raised:
        flags.report(raised, f"matmul to {out.format.name}", out.size)
    return out
