"""8-bit floats beside scales, as compressed-tensors stores them, and the CFloat8 tensors that they are.

A CFloat8_1_4_3 tensor with ieee subnormals at bias b has the codes of OCP's E4M3 at scale 2**(7 - b), except
for 0x7F and 0xFF, which are NaN there.  A CFloat8_1_5_2 tensor has those of E5M2 at 2**(15 - b), except for
exponents of all ones, which are infinities and NaN.
"""

import re
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import encode
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, CFloat8_1_5_2, float8_e4m3fn, float8_e5m2

Array = NDArray[Any]

#: What is put behind a tensor's name to name that of its scales.
SCALE_SUFFIX: Final = "_scale"

#: The OCP formats, and the Tesla formats whose codes they share.
PAIRS: Final = {
    float8_e4m3fn: CFloat8_1_4_3.replace(subnormals="ieee"),
    float8_e5m2: CFloat8_1_5_2.replace(subnormals="ieee"),
}

#: What an export's codes are taken for here.
EXPORTED: Final = PAIRS[float8_e4m3fn]


class ScaleLayout(NamedTuple):
    """For which elements of a matrix an export has a scale, by compressed-tensors' names.

    Attributes
    ----------
    strategy : {"tensor", "channel", "block"}
        Whether there is one for all, one a row, or one a block.
    block : (int, int) or None
        Rows and columns of a block.
    """

    strategy: str = "tensor"
    block: tuple[int, int] | None = None

    @property
    def axis(self) -> int | None:
        """The axis whose slices have a scale each, if there are such."""
        return 0 if self.strategy == "channel" else None

    @property
    def text(self) -> str:
        """The strategy, with the rows and columns of a block behind it: "block 128x128"."""
        if self.block is None:
            return self.strategy
        return f"{self.strategy} {self.block[0]}x{self.block[1]}"

    @classmethod
    def of_text(cls, text: str) -> "ScaleLayout | None":
        """Give the layout of which that is the text; None if there is none."""
        if text in ("tensor", "channel"):
            return cls(text)
        # not more digits than any tensor has elements
        match = re.fullmatch("block ([1-9][0-9]{0,17})x([1-9][0-9]{0,17})", text)
        return None if match is None else cls("block", (int(match[1]), int(match[2])))

    def scales_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Give the shape of a tensor's scales."""
        if self.block is not None:
            return tuple(-(-n // size) for n, size in zip(shape, self.block, strict=True))
        if self.strategy == "channel":
            return (shape[0], *(1 for _ in shape[1:]))
        return (1,)


def stored_format(fmt: Format) -> Format | None:
    """Find the OCP format that stores a CFloat8 format's codes, whatever its subnormals; None for others."""
    for ocp, tesla in PAIRS.items():
        if fmt.replace(subnormals="ieee") == tesla:
            return ocp
    return None


def exported_format(fmt: Format) -> Format | None:
    """Find the OCP format of an export: E4M3, since compressed-tensors knows no other of 8 bits."""
    ocp = stored_format(fmt)
    return ocp if ocp == float8_e4m3fn else None


def reachable(fmt: Format, scale: Format | None = None) -> Format:
    """Make the format of those values of a CFloat8 format that the OCP format has, too.

    Its largest value is what a bias is to be chosen for.  `scale` is the format that readers round scales to,
    if it does not have all of them: they compute in the dtype of the model.
    """
    ocp = stored_format(fmt)
    assert ocp is not None
    low, high = fmt.bias_range
    if scale is not None:
        high = min(high, ocp.default_bias + scale.default_bias - 1 + scale.mantissa_bits)
    return fmt.replace(
        subnormals="ieee", nonfinite=ocp.nonfinite, saturating=True, bias=(low, high)
    )


def recoded(fmt: Format) -> NDArray[np.uint8]:
    """Tabulate the OCP code for every code of a CFloat8 format: of the nearest finite value, at any bias."""
    ocp = stored_format(fmt)
    assert ocp is not None
    limited = reachable(fmt)
    values = fmt.values(fmt.default_bias)
    with no_flags():
        return encode(values, limited, fmt.default_bias)


def scale_of(fmt: Format, bias: Any) -> Array:
    """Compute the scales, as float32, that biases stand for."""
    ocp = stored_format(fmt)
    assert ocp is not None
    return np.ldexp(np.float32(1), ocp.default_bias - np.asarray(bias, np.int32))


def restored(
    codes: Array, ocp: Format, scale: Array, blocks: tuple[int, ...]
) -> CFloatArray | None:
    """Make a CFloatArray of codes and scales; None if a scale or a code is none that it has.

    Parameters
    ----------
    codes : ndarray of uint8
        Codes of the 8-bit format.
    ocp : Format
        The format: of others than those in `PAIRS` there is none.
    scale : ndarray of float
        With as many axes as the codes: each of length 1 or theirs, the last of as many as there are blocks.
    blocks : tuple of int
        For how many elements along each axis a scale is; 1 along all but the last, if there are several.
    """
    tesla = PAIRS.get(ocp)
    if tesla is None:
        return None
    mantissa, exponent = np.frexp(scale.astype(np.float64))
    bias = ocp.default_bias + 1 - exponent
    low, high = tesla.bias_range
    fits = np.all(mantissa == 0.5) and np.all((low <= bias) & (bias <= high))
    if not fits or _any_nonfinite(codes, ocp):
        return None
    if scale.size == 1:
        return CFloatArray(codes, tesla, int(bias.reshape(-1)[0]))
    if bias.shape[-1] in (1, codes.shape[-1]):
        return CFloatArray(codes, tesla, bias)
    return CFloatArray(codes, tesla, bias, block=blocks[-1])


def _any_nonfinite(codes: Array, ocp: Format) -> bool:
    bad = ~np.isfinite(ocp.values())
    return bool(bad[codes].any())
