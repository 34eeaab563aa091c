"""How the products of a matrix product are summed: in float32, exactly, or in a format."""

import math
from typing import Final, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from cfloat._core import binding
from cfloat._core.arguments import integer
from cfloat._core.format import Format
from cfloat._core.presets import find_format
from cfloat._core.rounding import NEAREST, Rounding, RoundingMode, check_rounding
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .stacks import as_one


class Accumulator(NamedTuple):
    """What sums products.

    Attributes
    ----------
    exact : bool
        Whether sums are exact, and rounded once.
    format : Format or None
        The format to which they are rounded as they grow, if they are.
    bias : int
        Its bias.
    rounding : Rounding
        How.
    every : int
        How many products are added before each rounding.
    words : int
        The number of elements of the whole result: how far apart in the random stream the roundings of an
        element are.
    """

    exact: bool
    format: Format | None = None
    bias: int = 0
    rounding: Rounding = NEAREST
    every: int = 1
    words: int = 0


_FLOAT32: Final = Accumulator(exact=False)
_EXACT: Final = Accumulator(exact=True)


def check_accumulator(
    accumulate: object,
    accumulator_bias: SupportsIndex | None,
    every: SupportsIndex,
    rounding: RoundingMode,
    seed: SupportsIndex | None,
    offset: SupportsIndex,
    shape: tuple[int, ...],
    inner: int,
) -> tuple[Accumulator, Rounding]:
    """Check how to sum products, and how the results are rounded into a CFloatArray.

    `cfloat.matmul` explains the arguments; `shape` is the result's, and `inner` the length of the sums.
    """
    if isinstance(accumulate, str) and accumulate in ("float32", "exact"):
        if accumulator_bias is not None or integer("accumulate_every", every, 1) != 1:
            raise ArgumentValueError(
                f"accumulate is {accumulate!r}; accumulator_bias and accumulate_every need a Format"
            )
        how = check_rounding(rounding, shape, seed, offset)
        return _FLOAT32 if accumulate == "float32" else _EXACT, how
    fmt = _format(accumulate)
    bias = fmt.check_bias(accumulator_bias)
    every = min(integer("accumulate_every", every, 1), max(inner, 1))
    how = check_rounding(rounding, (-(-inner // every), *shape), seed, offset)
    return Accumulator(False, fmt, bias, how, every, math.prod(shape)), NEAREST


def _format(accumulate: object) -> Format:
    fmt = find_format(accumulate) if isinstance(accumulate, str) else accumulate
    if isinstance(fmt, Format):
        return fmt
    error = ArgumentValueError if isinstance(accumulate, str) else ArgumentTypeError
    raise error(
        f"accumulate is {shown(accumulate)}; it takes 'float32', 'exact', a Format or the name of one"
    )


def multiply(
    a: binding.Matrices,
    b: binding.Matrices,
    results: NDArray[np.float32] | NDArray[np.float64],
    accumulator: Accumulator,
    first: int = 0,
) -> None:
    """Write products of matrices.

    Parameters
    ----------
    a, b : Matrices
        Operands whose shapes fit.
    results : ndarray of float32, or of float64 if sums are exact
        Matrices, of the stack to which those of the operands broadcast.  In float64 exact sums are rounded to
        odd.
    accumulator : Accumulator
        How to sum.
    first : int
        The place of the first of these results in row-major order of all.
    """
    a, b, results = as_one(a, b, results)
    fmt = accumulator.format
    if fmt is None:
        (binding.matmul_exact if accumulator.exact else binding.matmul)(a, b, results)
        return
    how = accumulator.rounding
    binding.matmul_rounded(
        a, b, results, fmt._struct, accumulator.bias, how._replace(offset=how.offset + first),
        accumulator.words, accumulator.every,
    )  # fmt: skip
