"""What others store tensors in, to compare with: 8-bit codes and a scale for a tensor or a block of it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.groups import Blocks
from cfloat._bias.round_to import round_to
from cfloat._core.finfo import finfo
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.presets import float8_e4m3fn, float8_e5m2
from cfloat._core.public_names import public
from cfloat._metrics.sqnr import sqnr_db

Floats = NDArray[np.float32]

#: Elements of a block of the OCP MX formats, which share a scale of 8 bits.
MX_BLOCK: Final = 32


@public
@dataclass(frozen=True)
class Comparison:
    """What a scheme costs a tensor.

    Attributes
    ----------
    tensor : str
        Name of the tensor.
    scheme : str
        The scheme.
    sqnr_db : float
        Signal to quantisation noise ratio, in dB.
    bits_per_element : float
        What it stores, the scales of blocks included, in bits an element.
    nbytes : int
        The same in bytes.
    """

    tensor: str
    scheme: str
    sqnr_db: float
    bits_per_element: float
    nbytes: int


def compare_baselines(name: str, tensor: NDArray[Any], peak: float) -> list[Comparison]:
    """Measure the error of each scheme on a tensor.

    Parameters
    ----------
    name : str
        Name of the tensor.
    tensor : ndarray
        Its values, which are taken as float32; infinities and NaN are left out.
    peak : float
        The largest finite magnitude, within float32's range, and not 0.

    Returns
    -------
    list of Comparison
        E4M3FN and E5M2 with the largest scale at which nothing saturates, a power of two or any float32;
        MXFP8 as OCP's MX specification 1.0 has it, with blocks of 32 along the last axis; and 8-bit integers
        from -127 to 127 with a real scale.
    """
    found = []
    for label, fmt in (("E4M3FN", float8_e4m3fn), ("E5M2", float8_e5m2)):
        top = float(finfo(fmt).max)
        real = top / peak
        power = 2.0 ** math.floor(math.log2(real))
        for scheme, scale in (("power-of-two scale", power), ("real scale", real)):
            step = _scaled(fmt, scale)
            found.append(_compared(name, f"{label}, {scheme}", tensor, step, 8.0))
        mx = 8.0 + 8.0 / MX_BLOCK
        found.append(_compared(name, f"MXFP8 {label}", tensor, _microscaled(fmt), mx))
    found.append(_compared(name, "INT8 symmetric", tensor, _integers(127 / peak), 8.0))
    return found


def _compared(
    name: str,
    scheme: str,
    tensor: NDArray[Any],
    apply: Callable[[Floats], Floats],
    bits: float,
) -> Comparison:
    nbytes = math.ceil(tensor.size * bits / 8)
    return Comparison(name, scheme, _sqnr_db(tensor, apply), bits, nbytes)


def _scaled(fmt: Format, scale: float) -> Callable[[Floats], Floats]:
    saturating = fmt.replace(saturating=True)

    def apply(values: Floats) -> Floats:
        rounded = round_to(values.astype(np.float64) * scale, saturating)
        return (rounded / scale).astype(np.float32)

    return apply


def _integers(scale: float) -> Callable[[Floats], Floats]:
    def apply(values: Floats) -> Floats:
        return (np.rint(values.astype(np.float64) * scale).clip(-127, 127) / scale).astype(
            np.float32
        )

    return apply


def _microscaled(fmt: Format) -> Callable[[Floats], Floats]:
    saturating = fmt.replace(saturating=True)
    highest = math.frexp(float(finfo(fmt).max))[1] - 1

    def apply(values: Floats) -> Floats:
        peaks = np.abs(values).max(axis=1, initial=0)
        shared = np.clip(np.frexp(peaks)[1] - 1 - highest, -127, 127)[:, np.newaxis]
        rounded = round_to(np.ldexp(values.astype(np.float64), -shared), saturating)
        return np.asarray(np.ldexp(rounded, shared), np.float32)

    return apply


def _sqnr_db(tensor: NDArray[Any], apply: Callable[[Floats], Floats]) -> float:
    signal = noise = 0.0
    with no_flags(), np.errstate(all="ignore"):
        for values in _blocks(tensor):
            difference = (apply(values) - values).astype(np.float64)
            noise += float(np.vdot(difference, difference))
            wide = values.astype(np.float64)
            signal += float(np.vdot(wide, wide))
    return sqnr_db(signal, noise)


def _blocks(tensor: NDArray[Any]) -> Iterator[Floats]:
    for _, values in Blocks(np.atleast_1d(tensor), MX_BLOCK):
        narrow = values.astype(np.float32)
        yield np.where(np.isfinite(narrow), narrow, np.float32(0))
