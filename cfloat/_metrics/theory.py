"""What rounding costs by theory: the error of well-known distributions in a format without limits."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cfloat._core.arguments import check_choice
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat.errors import ArgumentValueError

from .sqnr import sqnr_db

Floats = NDArray[np.float64]

Distribution = Literal["normal", "uniform", "laplace", "student_t"]

# binades below the root mean square, where what is left adds nothing to what is shown, and above it
_BELOW: Final = 16
_ABOVE: Final = 30

# Of Student's t: where the share beyond is too near 0 to be what is left of 1, and its first term is enough.
_TAIL: Final = 0.999

# The share of a distribution beyond which nothing is added up any more.
_LEAST_SHARE: Final = 1e-18

# parts of a binade, in each of which values are taken as equally likely
_PARTS: Final = 256

_EXPONENTS: Final = np.arange(-_BELOW, _ABOVE)

# entries of a table, less one, of root mean squares from 0.5 to 1: what lies between them is smooth
_STEPS: Final = 32


def _uniform(t: float) -> float:
    return max(0.0, 1 - t / math.sqrt(3))


def _student_t(t: float) -> float:
    # 4 degrees of freedom, whose variance is 2
    x = t * math.sqrt(2)
    s = x / math.sqrt(4 + x * x)
    return max(0.0, 1 - s * (3 - s * s) / 2) if s < _TAIL else 6 / x**4


#: The share of |x| above t root mean squares.
_BEYOND: Final[dict[str, Callable[[float], float]]] = {
    "normal": lambda t: math.erfc(t / math.sqrt(2)),
    "uniform": _uniform,
    "laplace": lambda t: math.exp(-t * math.sqrt(2)),
    "student_t": _student_t,
}


@public
@in_default_modes
def theoretical_sqnr_db(
    fmt: Format | str, distribution: Distribution, rms: float = 1.0, *, stochastic: bool = False
) -> float:
    """Return the SQNR that theory predicts for rounding a distribution to a format.

    Parameters
    ----------
    fmt : Format or str
        The format, taken to have all exponents: nothing saturates and nothing is subnormal.
    distribution : {"normal", "uniform", "laplace", "student_t"}
        Of mean 0; the uniform one from -a to a, Student's t with 4 degrees of freedom.
    rms : float, optional
        Its root mean square, of which what lies above a power of two matters: 1 by default.
    stochastic : bool, optional
        With stochastic rounding, whose error has twice the square.

    Returns
    -------
    float
        The ratio in dB: the mean square over that of the error, added up over small intervals.

    Raises
    ------
    ArgumentTypeError
        If `fmt` is neither a Format nor a name, or `distribution` no str.
    ArgumentValueError
        If `distribution` or `rms` is not among those above.

    Examples
    --------
    >>> import cfloat as cf
    >>> [round(cf.theoretical_sqnr_db(cf.CFloat8_1_4_3, d), 2) for d in ("normal", "laplace")]
    [31.52, 31.54]
    """
    fmt = as_format(fmt)
    check_choice("distribution", distribution, tuple(_BEYOND))
    if not 0 < rms < math.inf:
        raise ArgumentValueError(f"rms is {shown(rms)}; it takes a positive number")
    fraction = math.frexp(rms)[0]  # of a power of two, which changes nothing
    noise = float(_weights(distribution, fraction) @ _mean_squares(fmt.mantissa_bits, stochastic))
    return sqnr_db(fraction * fraction, noise)


def tabulated_sqnr_db(fmt: Format, distribution: Distribution, rms: float) -> float:
    """Return what `theoretical_sqnr_db` does for rounding to nearest, within 0.001 dB, from tables."""
    fraction = math.frexp(rms)[0]
    if distribution == "uniform":  # has kinks, and takes little time
        return theoretical_sqnr_db(fmt, distribution, fraction)
    place = (fraction - 0.5) * 2 * _STEPS
    step = int(place)
    low, high = (_table_entry(fmt.mantissa_bits, distribution, i) for i in (step, step + 1))
    return low + (high - low) * (place - step)


@lru_cache(maxsize=1 << 12)
def _table_entry(mantissa_bits: int, distribution: Distribution, step: int) -> float:
    rms = 0.5 + 0.5 * step / _STEPS
    noise = float(_weights(distribution, rms) @ _mean_squares(mantissa_bits, False))
    return sqnr_db(rms * rms, noise)


@lru_cache(maxsize=256)
def _weights(distribution: Distribution, rms: float) -> Floats:
    """Return, for each part of a binade, the shares of it in all binades times the squares of their units."""
    if distribution == "uniform":
        places = np.ldexp(1 + np.arange(_PARTS + 1) / _PARTS, _EXPONENTS[:, np.newaxis]) / rms
        beyond = np.maximum(0.0, 1 - places / math.sqrt(3))
        return np.asarray(np.ldexp(1.0, 2 * _EXPONENTS) @ (beyond[:, :-1] - beyond[:, 1:]))
    return np.array(_summed_weights(_BEYOND[distribution], rms))


def _summed_weights(beyond: Callable[[float], float], rms: float) -> list[float]:
    weights = [0.0] * _PARTS
    for exponent in range(-_BELOW, _ABOVE):
        low = math.ldexp(1.0, exponent)
        shares = [beyond(low * (1 + part / _PARTS) / rms) for part in range(_PARTS + 1)]
        if shares[0] < _LEAST_SHARE:
            break
        for part in range(_PARTS):
            weights[part] += (shares[part] - shares[part + 1]) * low * low
    return weights


@lru_cache(maxsize=64)
def _mean_squares(mantissa_bits: int, stochastic: bool) -> Floats:
    """Return the mean square of the error in each of the parts of the binade from 1 to 2."""
    if 4 << mantissa_bits > _PARTS:  # so fine that errors of each size are equally likely in a part
        return np.full(_PARTS, 1 / (6 if stochastic else 12) / 4.0**mantissa_bits)
    return np.array([_mean_square(part, mantissa_bits, stochastic) for part in range(_PARTS)])


def _mean_square(part: int, mantissa_bits: int, stochastic: bool) -> float:
    """Return the mean square of the error in one of the parts of the binade from 1 to 2."""
    unit = _PARTS >> mantissa_bits  # parts in a unit in the last place
    low = part % unit
    high = low + 1
    if stochastic:  # the product of the distances from both neighbours
        mean = unit * (high**2 - low**2) / 2 - (high**3 - low**3) / 3
    else:
        nearest = 0 if high <= unit // 2 else unit
        mean = ((high - nearest) ** 3 - (low - nearest) ** 3) / 3
    return mean / _PARTS**2
