"""The processor's floating-point modes, as a caller may have them: for tests that they change no result."""

import ctypes
import functools
import sys
from contextlib import contextmanager
from dataclasses import fields, is_dataclass

import numpy as np
import pytest

import cfloat as cf
from cfloat._core import binding

DIRECTIONS = ("nearest", "upward", "downward", "toward_zero")

#: A direction of rounding, and whether subnormals are taken for zero and written as zero.
MODES = [(direction, flushing) for flushing in (False, True) for direction in DIRECTIONS][1:]
each_mode = pytest.mark.parametrize("mode", MODES, ids=lambda m: m[0] + ", flushing" * m[1])

_TINY, _LITTLE = np.float64(2.0**-1074), np.float64(2.0**-60)
_FLOAT32_TINY = np.float32(2.0**-149)


@contextmanager
def mode_of_caller(mode):
    """A ``with`` block in which this thread has modes; it has its own again after it."""
    before = binding.enter_float_modes()
    try:
        if not binding.set_float_modes(*mode):
            pytest.skip(f"this processor has no modes, or none like {mode}")
        yield
    finally:
        binding.leave_float_modes(before)


def observed():
    """Tell by arithmetic, NumPy's and on this thread, which modes there are."""
    one = np.ones(1)
    return (
        float((one + _LITTLE)[0]).hex(),
        float((-one - _LITTLE)[0]).hex(),
        float((one - _LITTLE)[0]).hex(),
        bool((_TINY * one != 0)[0]),
        bool((np.ones(1, np.float32) * _FLOAT32_TINY)[0].view(np.uint32)),
        long_double_sum(),
    )


def long_double_sum():
    """Round a sum of long double, which may have a control of its own."""
    one, half = np.ones(1, np.longdouble), np.longdouble(np.finfo(np.longdouble).eps) / 4
    return [
        bool((sign * one + other * half == sign * one)[0]) for sign in (1, -1) for other in (1, -1)
    ]


def direction_of_c():
    """What C's fegetround gives; None where it is not to be had."""
    try:
        return ctypes.CDLL(None).fegetround()
    except (AttributeError, OSError, TypeError):
        return None


def forget():
    """Empty the package's caches of results, which else would hide what a mode does."""
    for name, module in list(sys.modules.items()):
        if name.startswith("cfloat."):
            for one in vars(module).values():
                if type(one) is functools._lru_cache_wrapper:
                    one.cache_clear()


def bits_of(result):
    """Give something that is equal where results have the same bits, and the same types."""
    if isinstance(result, cf.CFloatArray):
        return "CFloatArray", str(result.format), bits_of(result.codes), bits_of(result.bias)
    if isinstance(result, np.ndarray | np.generic):
        if result.dtype.hasobject:
            return [bits_of(one) for one in np.asarray(result).reshape(-1).tolist()]
        if result.dtype.char in "gG":  # has bytes of no meaning
            upper = result.astype("d" if result.dtype.char == "g" else "D")
            return bits_of(upper), bits_of((result - upper).astype(upper.dtype))
        return str(result.dtype), result.shape, result.tobytes()
    if isinstance(result, float):
        return result.hex()
    if isinstance(result, complex):
        return result.real.hex(), result.imag.hex()
    if is_dataclass(result) and not isinstance(result, cf.Format):
        return type(result), [bits_of(getattr(result, each.name)) for each in fields(result)]
    if isinstance(result, tuple | list):
        return [bits_of(one) for one in result]
    if isinstance(result, dict):
        return [(key, bits_of(one)) for key, one in result.items()]
    return result


def in_mode(mode, call):
    """Give the bits of what a call gives under modes, and check that it leaves them as they are."""
    forget()
    with mode_of_caller(mode):
        before = observed()
        result = call()
        after = observed()
    forget()
    assert after == before != observed()
    return bits_of(result)


def same_in_mode(mode, call):
    """Check that a call, which makes its operands anew, gives the same bits under modes as without."""
    forget()
    expected = bits_of(call())
    assert in_mode(mode, call) == expected
