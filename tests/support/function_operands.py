"""Operands for the examples of NumPy's functions: CFloatArrays of each layout, and the same in float32."""

from types import SimpleNamespace

import numpy as np

import cfloat as cf


def numbers(rng, shape, signed):
    """Numbers of several magnitudes; some are equal, zero or a negative zero."""
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-2, 3, shape)
    flat = x.reshape(-1)
    flat[rng.integers(0, x.size, x.size // 4)] = flat[0]
    if x.ndim > 1:
        flat[rng.integers(0, x.size, 2)] = 0.0, -0.0
    return x if signed else np.abs(x)


def positive_definite(rng, shape, signed):
    x = numbers(rng, shape, signed)
    return x @ x.T + 8 * np.eye(len(x))


def nonfinite_numbers(rng, shape, signed):
    x = numbers(rng, shape, signed)
    x.reshape(-1)[:3] = np.nan, np.inf, np.nan
    return x


def some_zeros(rng, shape, signed):
    return np.array([0, 0, 1.5, 0, 2.5, 0, 0, 0]) * (numbers(rng, 8, signed) + 8)


#: Name, shape, and the values.  All arrays of one layout.
OPERANDS = {
    "v": ((6,), numbers),
    "u": ((6,), numbers),
    "c": ((4,), numbers),
    "z": ((8,), some_zeros),
    "m": ((4, 6), numbers),
    "n": ((4, 6), numbers),
    "q": ((4, 4), numbers),
    "p": ((4, 4), positive_definite),
    "e": ((1, 4, 1), numbers),
    "o": ((1, 6), numbers),
    "t": ((2, 4, 6), numbers),
}

#: How biases lie: the bias argument of a shape and others, for `cfloat.asarray`.
LAYOUTS = {
    "one bias": lambda shape: {"bias": 8},
    "a bias a row": lambda shape: {"bias": 5 + 2 * np.arange(shape[0]) % 5, "axis": 0},
    "blocks": lambda shape: in_blocks(shape, 2),
    "a short block": lambda shape: in_blocks(shape, 3 if shape[-1] == 4 else 4),
}


def in_blocks(shape, block):
    counts = (*shape[:-1], -(-shape[-1] // block))
    return {"bias": 5 + np.arange(np.prod(counts)).reshape(counts) % 5, "block": block}


class Operands(SimpleNamespace):
    """Arrays by name.  `w` and `b` have another format or bias; `x`, `y` and all that follow are ndarrays."""

    def _with(self, part):
        return Operands(
            **{
                name: part(a) if isinstance(a, cf.CFloatArray) else a.copy()
                for name, a in vars(self).items()
            }
        )

    def decoded(self):
        return self._with(np.asarray)

    def decoded_in_order(self):
        """Return float32 arrays whose memory is in the order of the codes'."""
        return self._with(in_order)

    def biases(self):
        """Return the bias of each element, as arrays in the place of CFloatArrays."""
        return self._with(lambda a: in_order(a, a._biases.full(a.shape)))

    def _with_all(self, part):
        return Operands(**{name: part(a) for name, a in vars(self).items()})

    def copy(self):
        return self._with_all(lambda a: a.__copy__())


def in_order(a, values=None):
    """Return an array of values, or of others, that lies in memory as the codes do."""
    values = np.asarray(a if values is None else values)
    made = (
        np.empty_like(a.codes, values.dtype)
        if a.ndim != 1 or a.strides[0] > 0
        else np.empty(a.shape, values.dtype)[::-1]
    )
    made[...] = values
    return made


def operands(fmt, layout, transposed=False, nonfinite=False):
    rng = np.random.default_rng(5)
    made = Operands()
    for name, (shape, values) in OPERANDS.items():
        if nonfinite and name in "vmt":
            values = nonfinite_numbers
        x = values(rng, shape, fmt.signed)
        if transposed and len(shape) > 1:
            a = cf.asarray(x.T, fmt, **LAYOUTS[layout](x.T.shape)).T
        elif transposed:
            a = cf.asarray(x[::-1], fmt, **LAYOUTS[layout](shape))[::-1]
        elif fmt == cf.CFloat16_UHP:
            a = cf.asarray(x, fmt)
        else:
            a = cf.asarray(x, fmt, **LAYOUTS[layout](shape))
        setattr(made, name, a)
    made.w = cf.asarray(numbers(rng, (4, 6), True), cf.CFloat16_SHP)
    made.b = cf.asarray(numbers(rng, (4, 6), True), cf.CFloat8_1_4_3, 9)
    made.s = cf.asarray(2.5, fmt)
    made.x = numbers(rng, (4, 6), True).astype(np.float32)
    made.y = numbers(rng, 6, True).astype(np.float32)
    made.d = numbers(rng, (4, 6), True)
    made.i = np.array([3, 0, 2, 1])
    made.k = made.x > 0
    made.l = made.y > 0
    made.f = np.zeros(6, np.float32)
    made.h = np.zeros((1, 6), np.float32)
    made.g = np.zeros((4, 6), np.float32)
    return made


SETUPS = {
    **{layout: (cf.CFloat8_1_4_3, layout) for layout in LAYOUTS},
    **{f"{layout}, transposed": (cf.CFloat8_1_4_3, layout, True) for layout in LAYOUTS},
    "UHP": (cf.CFloat16_UHP, "one bias"),
    "UHP, nonfinite": (cf.CFloat16_UHP, "one bias", False, True),
}
