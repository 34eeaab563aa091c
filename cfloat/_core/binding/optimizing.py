"""Steps of optimizers."""

from typing import Any, Final

from cfloat._core import threads
from cfloat._core._cfloat import ffi, lib
from cfloat._core.rounding import RoundingMode

from .conversions import ROUNDING_NUMBERS
from .elements import check_status

#: The largest magnitude of the exponents `scale` and `new_scale` of an `adamw_step`.
ADAMW_MAX_SCALE: Final[int] = lib.CF_ADAMW_MAX_SCALE


def adamw_step(
    count: int,
    gradient: int,
    parameter: int,
    first: tuple[Any, int, int],
    second: tuple[Any, int, int],
    scale: int,
    weights: tuple[float, float, float],
    change: tuple[float, float, float, float],
) -> Any:
    """Describe a step of AdamW to the core, for `adamw_peaks` and `adamw_update`.

    Parameters
    ----------
    count : int
        The number of elements.
    gradient, parameter : int
        The addresses of as many float32, which must outlive the description, as must the codes.
    first, second : (cdata, int, int)
        Of a moment the `format_struct`, the address of the codes and their bias.  An address of 0 stands for
        moments of 0, which are read nowhere.
    scale : int
        The second moment's codes are of the moment times 2 to this power.
    weights : (float, float, float)
        Of the gradient in the first moment, and of the moment and of the square in the second.
    change : (float, float, float, float)
        The core's ``decay``, ``rate``, ``root_scale`` and ``eps``.

    Returns
    -------
    cdata
    """
    step = ffi.new("cf_adamw *")
    step.count = count
    step.gradient = ffi.cast("float *", gradient)
    step.parameter = ffi.cast("float *", parameter)
    step.has_moments, step.scale = first[1] != 0, scale
    for moment, given in zip(step.moments, (first, second), strict=True):
        _describe(moment, *given)
    step.first_weight, step.second_decay, step.second_weight = weights
    step.decay, step.rate, step.root_scale, step.eps = change
    return step


def _describe(moment: Any, fmt: Any, codes: int, bias: int) -> None:
    moment.format, moment.codes, moment.bias = fmt, ffi.cast("void *", codes), bias


def adamw_peaks(step: Any) -> tuple[float, float]:
    """Find the largest finite magnitudes of the moments that a step will give."""
    peaks = ffi.new("float[2]")
    check_status(lib.cf_adamw_peaks(step, peaks, threads.get_num_threads()))
    return peaks[0], peaks[1]


def adamw_update(
    step: Any,
    first: tuple[int, int, int],
    second: tuple[int, int, int],
    new_scale: int,
    rounding: RoundingMode,
    offset: int,
) -> None:
    """Do a step of an `adamw_step`.

    Parameters
    ----------
    step : cdata
        The `adamw_step`.
    first, second : (int, int, int)
        Of a moment the address of the codes, the new bias, and the seed of its random stream.
    new_scale : int
        As the step's `scale`, of the new second moment.
    rounding : str
        How moments are rounded.
    offset : int
        The position of the first element's random word in both streams.
    """
    for moment, (codes, bias, seed) in zip(step.moments, (first, second), strict=True):
        moment.codes, moment.new_bias, moment.seed = ffi.cast("void *", codes), bias, seed
    step.new_scale, step.rounding, step.offset = new_scale, ROUNDING_NUMBERS[rounding], offset
    check_status(lib.cf_adamw_update(step, threads.get_num_threads()))


def sgd_step(
    count: int,
    gradient: int,
    parameter: int,
    momentum: tuple[Any, int, int],
    weights: tuple[float, float, float, float],
    *,
    maximizes: bool,
    is_nesterov: bool,
) -> Any:
    """Describe a step of SGD to the core, for `sgd_peak` and `sgd_update`.

    Parameters
    ----------
    count, gradient, parameter, momentum
        As in `adamw_step`; a momentum's address of 0 stands for none before.
    weights : (float, float, float, float)
        The core's ``decay``, ``kept``, ``weight`` and ``rate``.
    maximizes, is_nesterov : bool
        Whether the parameters go along the gradient, and by Nesterov's momentum.

    Returns
    -------
    cdata
    """
    step = ffi.new("cf_sgd *")
    step.count = count
    step.gradient = ffi.cast("float *", gradient)
    step.parameter = ffi.cast("float *", parameter)
    step.has_momentum = momentum[1] != 0
    _describe(step.momentum, *momentum)
    step.maximizes, step.is_nesterov = maximizes, is_nesterov
    step.decay, step.kept, step.weight, step.rate = weights
    return step


def sgd_peak(step: Any) -> float:
    """Find the largest finite magnitude of the momentum that a step will give."""
    peak = ffi.new("float *")
    check_status(lib.cf_sgd_peak(step, peak, threads.get_num_threads()))
    found: float = peak[0]
    return found


def sgd_update(
    step: Any, momentum: tuple[int, int, int], rounding: RoundingMode, offset: int
) -> None:
    """Do a step of an `sgd_step`; arguments are as in `adamw_update`."""
    moment = step.momentum
    moment.codes, moment.new_bias, moment.seed = ffi.cast("void *", momentum[0]), *momentum[1:]
    step.rounding, step.offset = ROUNDING_NUMBERS[rounding], offset
    check_status(lib.cf_sgd_update(step, threads.get_num_threads()))
