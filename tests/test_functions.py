"""NumPy's functions (NEP 18): what each gives of CFloatArrays is what it gives of the decoded arrays."""

import importlib
import inspect
import re
import warnings
from types import SimpleNamespace

import numpy as np
import numpy.char
import numpy.fft
import numpy.lib.recfunctions
import numpy.ma
import numpy.polynomial
import numpy.rec
import numpy.strings
import pytest
from numpy.testing.overrides import get_overridable_numpy_array_functions

import cfloat as cf
from cfloat._functions import COMPUTED, KEEPS, REFUSED, key_of
from cfloat._products import FUNCTIONS as PRODUCTS

FUNCTIONS = {key_of(function): function for function in get_overridable_numpy_array_functions()}

#: Functions that some supported releases of NumPy have, or dispatch on, and others not.
OF_SOME_RELEASES = """
    cumulative_prod cumulative_sum in1d unstack polynomial.polynomial.polygrid2d
    polynomial.polynomial.polyval2d
    arange array asanyarray asarray ascontiguousarray asfortranarray empty frombuffer fromfile fromiter
    fromstring zeros
    strings._join strings._rsplit strings._split strings._splitlines strings.capitalize strings.center
    strings.decode strings.encode strings.expandtabs strings.ljust strings.lower strings.mod strings.multiply
    strings.partition strings.replace strings.rjust strings.rpartition strings.swapcase strings.title
    strings.translate strings.upper strings.zfill
"""

NEW = np.lib.NumpyVersion(np.__version__)
FROM_2_1 = NEW >= "2.1.0"
FROM_2_2 = NEW >= "2.2.0"


def test_every_function_is_in_exactly_one_registry():
    registered = [*KEEPS, *COMPUTED, *REFUSED]
    assert len(set(registered)) == len(registered)
    assert FUNCTIONS.keys() <= set(registered)
    assert set(registered) - FUNCTIONS.keys() <= set(OF_SOME_RELEASES.split())


# The operands


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

# The examples: name of the function -> how the result is to be, and a call of the function with operands

EXAMPLES = {}


def _examples(kind, name, *calls):
    EXAMPLES.setdefault(name, []).extend((kind, call) for call in calls)


def moves(name, *calls):
    """CFloatArrays, and biases where the elements are."""
    _examples("moves", name, *calls)


def same(name, *calls):
    """A CFloatArray of the first operand's format and biases."""
    _examples("same", name, *calls)


def joins(name, *calls):
    """A CFloatArray if operands have one bias, and float32 if they have many."""
    _examples("joins", name, *calls)


def gives(name, *calls):
    """What NumPy gives: no CFloatArray, unless it is one of the operands, named as output."""
    _examples("gives", name, *calls)


moves(
    "reshape",
    lambda f, s: f(s.m, (6, 4)),
    lambda f, s: f(s.t, -1),
    lambda f, s: f(s.m, (3, 8), order="F"),
    lambda f, s: f(s.m, (2, 12), "A"),
    lambda f, s: f(s.v, [2, 3]),
    lambda f, s: f(s.s, (1, 1)),
)
if FROM_2_1:
    moves("reshape", lambda f, s: f(s.m, shape=(2, -1), copy=True))
moves(
    "ravel",
    lambda f, s: f(s.m),
    lambda f, s: f(s.t, "F"),
    lambda f, s: f(s.m, order="K"),
    lambda f, s: f(s.t, order="A"),
    lambda f, s: f(s.t[:, ::2], order="K"),
)
moves(
    "transpose",
    lambda f, s: f(s.m),
    lambda f, s: f(s.t, (2, 0, 1)),
    lambda f, s: f(s.t, axes=[0, -1, 1]),
)
for name in ("matrix_transpose", "linalg.matrix_transpose"):
    moves(name, lambda f, s: f(s.m), lambda f, s: f(s.t))
moves("moveaxis", lambda f, s: f(s.t, 0, -1), lambda f, s: f(s.t, [0, 1], [-1, 0]))
moves("rollaxis", lambda f, s: f(s.t, 2), lambda f, s: f(s.t, axis=0, start=2))
moves("swapaxes", lambda f, s: f(s.t, 0, 2), lambda f, s: f(s.m, axis1=0, axis2=1))
moves("squeeze", lambda f, s: f(s.e), lambda f, s: f(s.e, 0), lambda f, s: f(s.e, axis=(0, 2)))
moves("expand_dims", lambda f, s: f(s.m, 0), lambda f, s: f(s.v, axis=(0, 2)))
moves("flip", lambda f, s: f(s.m), lambda f, s: f(s.t, 1), lambda f, s: f(s.t, axis=(0, 2)))
moves("fliplr", lambda f, s: f(s.m), lambda f, s: f(s.t))
moves("flipud", lambda f, s: f(s.v), lambda f, s: f(s.m))
moves(
    "roll",
    lambda f, s: f(s.m, 3),
    lambda f, s: f(s.t, (1, 2), axis=(0, 2)),
    lambda f, s: f(s.v, shift=-1),
)
moves("rot90", lambda f, s: f(s.m), lambda f, s: f(s.t, 3, (1, 2)), lambda f, s: f(s.m, k=2))
moves(
    "repeat",
    lambda f, s: f(s.m, 2),
    lambda f, s: f(s.m, s.i, axis=0),
    lambda f, s: f(s.m, repeats=3, axis=1),
)
moves(
    "tile", lambda f, s: f(s.v, 2), lambda f, s: f(s.m, (2, 1, 2)), lambda f, s: f(s.m, reps=(2, 3))
)
moves(
    "diagonal",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 1),
    lambda f, s: f(s.t, offset=-1, axis1=0, axis2=2),
)
moves("linalg.diagonal", lambda f, s: f(s.t), lambda f, s: f(s.m, offset=1))
moves(
    "broadcast_to",
    lambda f, s: f(s.v, (4, 6)),
    lambda f, s: f(s.e, shape=(3, 4, 2)),
    lambda f, s: f(s.m, (2, 4, 6), subok=True),
)
moves(
    "resize",
    lambda f, s: f(s.m, (5, 7)),
    lambda f, s: f(s.v, 4),
    lambda f, s: f(s.m, new_shape=(2, 2)),
)
moves(
    "lib.stride_tricks.sliding_window_view",
    lambda f, s: f(s.v, 3),
    lambda f, s: f(s.m, (2, 3)),
    lambda f, s: f(s.m, window_shape=2, axis=1),
)
moves(
    "delete",
    lambda f, s: f(s.v, 2),
    lambda f, s: f(s.m, [0, 2], axis=0),
    lambda f, s: f(s.m, slice(1, 4), 1),
    lambda f, s: f(s.m, s.i),
    lambda f, s: f(s.v, s.l),
)
for name in ("tril", "triu"):
    same(name, lambda f, s: f(s.m), lambda f, s: f(s.t, 1), lambda f, s: f(s.q, k=-1))
same("tril", lambda f, s: f(s.v))
same("triu", lambda f, s: f(s.v, 2))
moves("diag", lambda f, s: f(s.m), lambda f, s: f(s.q, k=1))
joins("diag", lambda f, s: f(s.v), lambda f, s: f(s.v, -2))
joins("diagflat", lambda f, s: f(s.m), lambda f, s: f(s.v, k=1))

for name in ("split", "array_split"):
    moves(
        name,
        lambda f, s: f(s.m, 2),
        lambda f, s: f(s.m, 3, axis=1),
        lambda f, s: f(s.t, [1, 3], 2),
        lambda f, s: f(s.v, indices_or_sections=(2, 9)),
    )
moves("array_split", lambda f, s: f(s.v, 4), lambda f, s: f(s.m, 4, axis=1))
moves("hsplit", lambda f, s: f(s.m, 2), lambda f, s: f(s.v, [1, 2]))
moves("vsplit", lambda f, s: f(s.m, 2), lambda f, s: f(s.m, [1]))
moves("dsplit", lambda f, s: f(s.t, 3), lambda f, s: f(s.t, [2]))
if FROM_2_1:
    moves("unstack", lambda f, s: f(s.m), lambda f, s: f(s.t, axis=-1), lambda f, s: f(s.v))
for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    moves(name, lambda f, s: f(s.v), lambda f, s: f(s.m, s.v, s.s, s.t))
    _examples("values", name, lambda f, s: f(s.m, s.x, 1.5, [s.y, s.f]))
moves("broadcast_arrays", lambda f, s: f(s.m, s.v), lambda f, s: f(s.e, s.c, s.s))
_examples(
    "values",
    "broadcast_arrays",
    lambda f, s: f(s.m, s.y, 1.0),
    lambda f, s: f(s.y, s.m, subok=True),
)
moves(
    "meshgrid",
    lambda f, s: f(s.v, s.c),
    lambda f, s: f(s.v, s.c, s.u, indexing="ij"),
    lambda f, s: f(s.v, s.c, sparse=True),
    lambda f, s: f(s.v, s.c, s.s, copy=False),
    lambda f, s: f(s.m),
)
_examples("values", "meshgrid", lambda f, s: f(s.v, [1, 2]), lambda f, s: f(s.i, s.v))

moves(
    "take",
    lambda f, s: f(s.m, [1, 5, -2]),
    lambda f, s: f(s.m, s.i, 0),
    lambda f, s: f(s.t, [[0, 9], [-9, 1]], axis=1, mode="clip"),
    lambda f, s: f(s.m, indices=7, axis=1, mode="wrap"),
    lambda f, s: f(s.v, 3),
)
gives(
    "take",
    lambda f, s: f(s.m, [0, 1, 2, 3, 4, 5], 1, s.n),
    lambda f, s: f(s.m, 1, 0, out=s.v),
    lambda f, s: f(s.m, 1, axis=0, out=s.f),
    lambda f, s: f(s.x, 1, axis=0, out=s.v),
)
moves(
    "take_along_axis",
    lambda f, s: f(s.m, s.i[:, None], 1),
    lambda f, s: f(s.m, indices=s.i, axis=None),
    lambda f, s: f(s.m, s.i[:, None] % 3, axis=0),
)
moves(
    "compress",
    lambda f, s: f([True, False, True], s.m, 0),
    lambda f, s: f(s.l, s.m, axis=1),
    lambda f, s: f(condition=s.k.ravel(), a=s.m),
)
gives(
    "compress",
    lambda f, s: f([0, 1, 0, 0], s.m, axis=0, out=s.o),
    lambda f, s: f([0, 1], s.m, axis=0, out=s.h),
)
moves("extract", lambda f, s: f(s.k, s.m), lambda f, s: f(condition=s.l, arr=s.v))
_examples(
    "values",
    "extract",
    lambda f, s: f(s.m > 0, s.m),
    lambda f, s: f(s.v, s.y),
    lambda f, s: f(s.m, s.n),
)
_examples(
    "values",
    "trim_zeros",
    lambda f, s: f(s.z),
    lambda f, s: f(s.z, "f"),
    lambda f, s: f(s.z, trim="b"),
    lambda f, s: f(s.v),
    lambda f, s: f(s.z[:2]),
)
if FROM_2_2:
    _examples(
        "values",
        "trim_zeros",
        lambda f, s: f(s.z.reshape(2, 4)),
        lambda f, s: f(s.z.reshape(2, 4), axis=1),
        lambda f, s: f(s.z.reshape(4, 2), "f", axis=0),
        lambda f, s: f(s.z.reshape(1, 4, 2), axis=(0, 1)),
    )
moves(
    "copy",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, "F"),
    lambda f, s: f(s.t, order="C", subok=True),
)
for name in ("real", "real_if_close"):
    moves(name, lambda f, s: f(s.m))
moves("real_if_close", lambda f, s: f(s.m, tol=10))
same("zeros_like", lambda f, s: f(s.m), lambda f, s: f(s.t, order="F", subok=False))
same("ones_like", lambda f, s: f(s.m), lambda f, s: f(s.t, None, "C"))
same(
    "full_like",
    lambda f, s: f(s.m, 2.5),
    lambda f, s: f(s.m, fill_value=s.y),
    lambda f, s: f(s.m, s.v),
)
joins("zeros_like", lambda f, s: f(s.m, shape=(2, 3)), lambda f, s: f(s.m, shape=5))
joins("ones_like", lambda f, s: f(s.m, shape=(2, 3)), lambda f, s: f(s.v, shape=()))
joins("full_like", lambda f, s: f(s.m, 1.5, shape=3))
gives("zeros_like", lambda f, s: f(s.m, np.int8), lambda f, s: f(s.m, dtype=np.float32))
gives("ones_like", lambda f, s: f(s.m, dtype=float, shape=2))
gives(
    "full_like",
    lambda f, s: f(s.m, 3, np.int16),
    lambda f, s: f(s.x, s.v),
    lambda f, s: f(s.x, fill_value=s.s),
)
_examples("shape", "empty_like", lambda f, s: f(s.m), lambda f, s: f(s.m, order="F"))

for name in ("concatenate", "vstack", "hstack"):
    joins(
        name,
        lambda f, s: f([s.m, s.n]),
        lambda f, s: f((s.v, s.u, s.v[:2])) if f.__name__ != "vstack" else f((s.v, s.u)),
    )
    gives(
        name,
        lambda f, s: f([s.m, s.w]),
        lambda f, s: f([s.m, s.b]),
        lambda f, s: f((s.m, s.x)),
        lambda f, s: f((s.d, s.m)),
        lambda f, s: f([s.m, s.n], dtype=np.float64),
        lambda f, s: f([s.m, s.n], dtype=np.int32, casting="unsafe"),
        lambda f, s: f([s.v, [1.0] * 6]),
    )
joins(
    "concatenate",
    lambda f, s: f([s.m, s.n], axis=1),
    lambda f, s: f((s.t, s.t), None),
    lambda f, s: f(s.m),
)
gives(
    "concatenate",
    lambda f, s: f([s.m[:2], s.x[2:]], 0, s.n),
    lambda f, s: f([s.m[:2], s.n[2:]], out=s.n),
    lambda f, s: f([s.v[:2], s.u[2:]], 0, s.f),
    lambda f, s: f([s.y[:2], s.y[2:]], out=s.v),
    lambda f, s: f([s.m[:2], s.w[2:]], out=s.g),
)
joins(
    "stack",
    lambda f, s: f([s.m, s.n]),
    lambda f, s: f((s.m, s.n), axis=-1),
    lambda f, s: f([s.v, s.u], 1),
    lambda f, s: f(s.m),
)
gives(
    "stack",
    lambda f, s: f([s.m, s.w]),
    lambda f, s: f([s.x, s.m], axis=1),
    lambda f, s: f([s.v, s.u], dtype=np.float64),
    lambda f, s: f([s.v, s.u, s.v, s.y], 0, s.n),
    lambda f, s: f([s.v, s.u, s.v, s.u], out=s.g),
)
joins("dstack", lambda f, s: f([s.m, s.n]), lambda f, s: f((s.v, s.u)))
gives("dstack", lambda f, s: f([s.m, s.x]), lambda f, s: f([s.m, s.b]))
joins("column_stack", lambda f, s: f([s.m, s.n]), lambda f, s: f((s.c, s.m)))
gives("column_stack", lambda f, s: f([s.i, s.m]), lambda f, s: f([s.m, s.w]))
joins(
    "block",
    lambda f, s: f([[s.m, s.n], [s.n, s.m]]),
    lambda f, s: f([s.v, s.u]),
    lambda f, s: f(s.m),
)
gives("block", lambda f, s: f([[s.m, s.x], [s.n, s.m]]), lambda f, s: f([s.v, 1.0]))
joins(
    "append",
    lambda f, s: f(s.m, s.v),
    lambda f, s: f(s.m, s.n, 0),
    lambda f, s: f(s.m, values=s.n, axis=1),
)
gives(
    "append",
    lambda f, s: f(s.v, 2.5),
    lambda f, s: f(s.m, s.w, axis=0),
    lambda f, s: f(s.x, s.v),
    lambda f, s: f([1.0], s.v),
)
joins(
    "insert",
    lambda f, s: f(s.m, 1, s.v, axis=0),
    lambda f, s: f(s.v, [1, 3], s.u[:2]),
    lambda f, s: f(s.m, obj=5, values=s.u[0:1]),
)
gives(
    "insert",
    lambda f, s: f(s.v, 2, 1.5),
    lambda f, s: f(s.m, 1, s.y, axis=0),
    lambda f, s: f(s.x, 1, s.v, 0),
    lambda f, s: f(s.m, 0, s.w[0], axis=0),
)
joins(
    "where",
    lambda f, s: f(s.k, s.m, s.n),
    lambda f, s: f(s.l, s.m, s.v),
    lambda f, s: f(s.m, s.m, s.n),
)
gives(
    "where",
    lambda f, s: f(s.m),
    lambda f, s: f(s.k, s.m, 0),
    lambda f, s: f(s.k, 1.5, s.m),
    lambda f, s: f(s.k, s.m, s.w),
    lambda f, s: f(s.k, s.b, s.w),
    lambda f, s: f(s.k, s.d, s.m),
    lambda f, s: f(s.k, s.m, s.x),
    lambda f, s: f(s.m, s.x, s.d),
)
moves(
    "pad",
    lambda f, s: f(s.m, 2, "edge"),
    lambda f, s: f(s.v, (1, 3), mode="reflect"),
    lambda f, s: f(s.m, ((1, 0), (2, 1)), "symmetric"),
    lambda f, s: f(s.t, 1, mode="wrap"),
    lambda f, s: f(s.m, 2, "reflect", reflect_type="even"),
)
joins(
    "pad",
    lambda f, s: f(s.m, 1),
    lambda f, s: f(s.m, (1, 2), "constant", constant_values=2.5),
    lambda f, s: f(s.v, 2, constant_values=(1.0, 0.5)),
)
_examples("shape", "pad", lambda f, s: f(s.m, 1, "empty"))
gives(
    "pad",
    lambda f, s: f(s.m, 1, "mean"),
    lambda f, s: f(s.v, 2, mode="linear_ramp", end_values=3),
    lambda f, s: f(s.v, 2, "reflect", reflect_type="odd"),
    lambda f, s: f(s.m, 1, mode="maximum", stat_length=2),
)
joins(
    "sort",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 0, "stable"),
    lambda f, s: f(s.t, axis=None),
    lambda f, s: f(s.m, kind="heapsort"),
)
joins(
    "partition",
    lambda f, s: f(s.v, 2),
    lambda f, s: f(s.m, [1, 3], axis=0),
    lambda f, s: f(s.m, kth=2, axis=None),
)
joins(
    "unique",
    lambda f, s: f(s.m),
    lambda f, s: f(s.v, True, True, True),
    lambda f, s: f(s.m, return_counts=True),
    lambda f, s: f(s.m, axis=0),
    lambda f, s: f(ar=s.m, equal_nan=False),
)
for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):
    joins(name, lambda f, s: f(s.m), lambda f, s: f(s.v))
for name in ("intersect1d", "setdiff1d", "setxor1d", "union1d"):
    joins(
        name, lambda f, s: f(s.v, s.u), lambda f, s: f(s.m, s.n), lambda f, s: f(ar1=s.v, ar2=s.m)
    )
    gives(
        name,
        lambda f, s: f(s.m, s.w),
        lambda f, s: f(s.x, s.m),
        lambda f, s: f(s.m, s.d),
        lambda f, s: f(s.v, [1.0, 2.0]),
    )
joins("intersect1d", lambda f, s: f(s.v, s.u, return_indices=True))
joins("setdiff1d", lambda f, s: f(s.v, s.u, assume_unique=True))

gives(
    "copyto",
    lambda f, s: f(s.m, s.n),
    lambda f, s: f(s.m, s.x, where=s.k),
    lambda f, s: f(s.m, s.v, "same_kind", s.l),
    lambda f, s: f(dst=s.t, src=1.7, where=s.m > 0),
    lambda f, s: f(s.m, s.w, where=False),
    lambda f, s: f(s.m, s.d, casting="unsafe", where=np.True_),
    lambda f, s: f(s.g, s.m),
    lambda f, s: f(s.g, s.m, where=s.n > 0),
    lambda f, s: f(s.v, [1, 2, 3, 4, 5, 6]),
)
gives(
    "put",
    lambda f, s: f(s.m, [1, 5, 7], [1.0, 2.5, 3.3]),
    lambda f, s: f(s.m, [1, 5, 1], s.v),
    lambda f, s: f(s.t, ind=[-1, 3], v=s.s),
    lambda f, s: f(s.v, [9, -9], [1.5, 2.5], "clip"),
    lambda f, s: f(s.v, 8, 1.5, mode="wrap"),
    lambda f, s: f(s.v, [], 1.0),
    lambda f, s: f(s.g, [1, 2], s.v),
)
gives(
    "place",
    lambda f, s: f(s.m, s.k, [1.1, 2.2, 3.3]),
    lambda f, s: f(s.v, s.l, s.u),
    lambda f, s: f(s.m, s.m > 0, vals=s.y),
    lambda f, s: f(s.g, s.k, s.v),
)
gives(
    "putmask",
    lambda f, s: f(s.m, s.k, [1.1, 2.2, 3.3]),
    lambda f, s: f(s.v, s.l, s.u),
    lambda f, s: f(s.m, mask=s.m > 0, values=s.y),
    lambda f, s: f(s.g, s.k, s.v),
)
gives(
    "put_along_axis",
    lambda f, s: f(s.m, s.i[:, None], 2.6, 1),
    lambda f, s: f(s.m, indices=s.i, values=s.c, axis=None),
    lambda f, s: f(s.m, s.i[:1, None] % 3, s.v, 0),
    lambda f, s: f(s.t, s.i.reshape(1, 4, 1), s.e, axis=2),
    lambda f, s: f(s.g, s.i[:, None], s.c[:, None], 1),
)
gives(
    "fill_diagonal",
    lambda f, s: f(s.m, 3.3),
    lambda f, s: f(s.m.T, [1.1, 2.2]),
    lambda f, s: f(s.m.T, val=s.y, wrap=True),
    lambda f, s: f(s.q, s.c),
    lambda f, s: f(s.g, s.s),
)

# Functions that compute

for name in ("all", "any"):
    gives(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.m, 0),
        lambda f, s: f(s.m, axis=(0, 1), keepdims=True),
        lambda f, s: f(s.m, 1, where=s.k),
        lambda f, s: f(s.m, 0, s.l),
        lambda f, s: f(s.m, axis=0, out=s.v),
    )
for name in ("amax", "amin", "max", "min", "nanmax", "nanmin", "prod", "sum", "nanprod", "nansum"):
    gives(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.t, (0, 2)),
        lambda f, s: f(s.m, axis=0, keepdims=True),
        lambda f, s: f(s.m, axis=1, initial=1.5, where=s.k),
        lambda f, s: f(s.m, axis=0, where=s.n > 0, initial=s.s),
        lambda f, s: f(s.m, axis=0, out=s.v),
        lambda f, s: f(s.m, 0, out=s.f),
        lambda f, s: f(s.x, axis=0, out=s.u),
    )
for name in ("max", "min", "nanmax", "nanmin"):
    gives(name, lambda f, s: f(s.m, 0, s.u))
for name in (
    "prod",
    "sum",
    "nanprod",
    "nansum",
    "mean",
    "nanmean",
    "std",
    "nanstd",
    "var",
    "nanvar",
):
    gives(
        name,
        lambda f, s: f(s.m, 0, np.float32, s.v),
        lambda f, s: f(s.m, 0, np.float32, s.f),
        lambda f, s: f(s.m, dtype=np.float64, axis=1),
    )
for name in ("mean", "nanmean", "std", "nanstd", "var", "nanvar"):
    gives(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.t, (0, 2)),
        lambda f, s: f(s.m, axis=1, keepdims=True),
        lambda f, s: f(s.m, axis=0, out=s.v),
        lambda f, s: f(s.x, axis=0, out=s.u),
    )
gives("mean", lambda f, s: f(s.m, axis=0, where=s.n != 0))
for name in ("std", "nanstd", "var", "nanvar"):
    gives(
        name,
        lambda f, s: f(s.m, 0, ddof=1),
        lambda f, s: f(s.m, axis=1, mean=s.c[:, None], keepdims=True),
    )
for name in ("argmax", "argmin", "nanargmax", "nanargmin"):
    gives(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.m, 0),
        lambda f, s: f(s.m, axis=1, keepdims=True),
        lambda f, s: f(s.m, 1, s.i),
        lambda f, s: f(s.m, axis=1, out=s.i),
    )
for name in ("cumprod", "cumsum", "nancumprod", "nancumsum"):
    gives(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.m, 1),
        lambda f, s: f(s.m, axis=0, dtype=np.float64),
        lambda f, s: f(s.m, 0, None, s.n),
        lambda f, s: f(s.m, 0, out=s.m),
        lambda f, s: f(s.m, 0, out=s.g),
    )
if FROM_2_1:
    for name in ("cumulative_prod", "cumulative_sum"):
        gives(
            name,
            lambda f, s: f(s.v),
            lambda f, s: f(s.m, axis=1, include_initial=True),
            lambda f, s: f(s.m, axis=0, out=s.n),
        )
for name in ("median", "nanmedian"):
    gives(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.m, 0),
        lambda f, s: f(s.t, axis=(0, 1), keepdims=True),
        lambda f, s: f(s.m, 0, s.v),
        lambda f, s: f(s.m, axis=0, out=s.f),
    )
for name in ("percentile", "nanpercentile", "quantile", "nanquantile"):
    gives(
        name,
        lambda f, s: f(s.m, 0.5),
        lambda f, s: f(s.m, [0.25, 0.75], axis=1),
        lambda f, s: f(s.m, abs(s.v) / 64, 0, keepdims=True),
        lambda f, s: f(s.m, 0.5, method="nearest"),
        lambda f, s: f(s.m, 0.5, 0, s.v),
        lambda f, s: f(s.m, q=0.3, axis=0, out=s.f),
        lambda f, s: f(s.v, 0.5, weights=abs(s.u) + 1, method="inverted_cdf"),
    )
gives(
    "average",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 1, abs(s.v) + 1),
    lambda f, s: f(s.m, 0, weights=abs(s.x) + 1, returned=True),
    lambda f, s: f(s.x, axis=1, weights=abs(s.v) + 1, keepdims=True),
)
gives(
    "ptp",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 0, s.v),
    lambda f, s: f(s.m, axis=1, keepdims=True),
)
gives(
    "count_nonzero",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 0),
    lambda f, s: f(s.t, axis=(1, 2), keepdims=True),
)
for name in ("corrcoef", "cov"):
    gives(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.v, s.u),
        lambda f, s: f(s.m, s.x, False),
        lambda f, s: f(s.x, s.m, rowvar=True),
        lambda f, s: f(s.m, dtype=np.float32),
    )
gives("cov", lambda f, s: f(s.m, ddof=0, aweights=abs(s.v) + 1))
gives(
    "histogram",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 5, (-2, 2)),
    lambda f, s: f(s.v, np.sort(s.u)),
    lambda f, s: f(s.y, bins=4, weights=s.v),
    lambda f, s: f(s.m, density=True),
)
gives(
    "histogram_bin_edges",
    lambda f, s: f(s.m),
    lambda f, s: f(s.v, bins="auto"),
    lambda f, s: f(s.v, 4, (0, 2)),
)
gives(
    "histogram2d",
    lambda f, s: f(s.v, s.u),
    lambda f, s: f(s.v, s.y, 3),
    lambda f, s: f(s.y, s.v, bins=(2, 3), weights=s.u),
)
gives(
    "histogramdd",
    lambda f, s: f(s.m[:, :2]),
    lambda f, s: f((s.v, s.u, s.y), 2),
    lambda f, s: f(s.m[:, :2], bins=3, weights=s.c),
)
gives(
    "digitize",
    lambda f, s: f(s.m, [-1, 0, 1]),
    lambda f, s: f(s.x, np.sort(s.v)),
    lambda f, s: f(s.m, np.sort(s.v), right=True),
)
gives(
    "searchsorted",
    lambda f, s: f(np.sort(s.v), s.m),
    lambda f, s: f(np.sort(s.y), s.m, "right"),
    lambda f, s: f(s.v, s.y, sorter=np.argsort(s.v)),
    lambda f, s: f(np.sort(s.v), 0.5),
)
gives(
    "argsort",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 0, "stable"),
    lambda f, s: f(s.t, axis=None),
    lambda f, s: f(s.v, stable=True),
)
gives(
    "argpartition",
    lambda f, s: f(s.m, 2),
    lambda f, s: f(s.m, [1, 2], axis=0),
    lambda f, s: f(s.t, kth=3, axis=None),
)
gives(
    "lexsort", lambda f, s: f((s.v, s.u)), lambda f, s: f(s.m), lambda f, s: f([s.y, s.v], axis=0)
)
gives("sort_complex", lambda f, s: f(s.m), lambda f, s: f(s.v))
for name in ("argwhere", "flatnonzero", "nonzero"):
    gives(name, lambda f, s: f(s.m), lambda f, s: f(s.t), lambda f, s: f(s.v))
for name in ("allclose", "isclose"):
    gives(
        name,
        lambda f, s: f(s.m, s.m),
        lambda f, s: f(s.m, s.v),
        lambda f, s: f(s.x, s.m, 0.1, 0.2),
        lambda f, s: f(s.m, s.w, rtol=1, equal_nan=True),
        lambda f, s: f(s.m, 1.0),
        lambda f, s: f(s.m, s.n, rtol=abs(s.v)),
    )
for name in ("array_equal", "array_equiv"):
    gives(
        name,
        lambda f, s: f(s.m, s.m.copy()),
        lambda f, s: f(s.m, s.v),
        lambda f, s: f(s.x, s.m),
        lambda f, s: f(s.v, s.v[None]),
        lambda f, s: f(s.m, s.w),
    )
gives("array_equal", lambda f, s: f(s.m, s.m.copy(), equal_nan=True))
gives(
    "isin",
    lambda f, s: f(s.m, s.v),
    lambda f, s: f(s.x, s.m, invert=True),
    lambda f, s: f(s.v, [0.0, 1.0]),
    lambda f, s: f([1, 2], test_elements=s.v),
)
if "in1d" in FUNCTIONS:
    gives("in1d", lambda f, s: f(s.v, s.u), lambda f, s: f(s.x, s.v, invert=True))
for name in (
    "iscomplex",
    "iscomplexobj",
    "isreal",
    "isrealobj",
    "imag",
    "angle",
    "i0",
    "sinc",
    "sum",
    "std",
):
    gives(name, lambda f, s: f(s.m), lambda f, s: f(s.t), lambda f, s: f(s.s))
gives("angle", lambda f, s: f(s.m, deg=True))
for name in ("isneginf", "isposinf"):
    gives(name, lambda f, s: f(s.m), lambda f, s: f(s.m, s.k), lambda f, s: f(s.m, out=s.k))
gives(
    "fix",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, s.n),
    lambda f, s: f(s.m, out=s.g),
    lambda f, s: f(s.x, out=s.m),
    lambda f, s: f(s.s),
)
gives(
    "nan_to_num",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, nan=1.0, posinf=2.0, neginf=3.0),
    lambda f, s: f(s.s),
    lambda f, s: f(s.m, True, s.v),
)
_examples(
    "overwrites", "nan_to_num", lambda f, s: f(s.m, copy=False), lambda f, s: f(s.t, False, 1.5)
)
for name in ("around", "round"):
    gives(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.m, 1),
        lambda f, s: f(s.m, 1, s.n),
        lambda f, s: f(s.m, decimals=-1, out=s.g),
        lambda f, s: f(s.x, out=s.m),
    )
gives(
    "clip",
    lambda f, s: f(s.m, -1, 1),
    lambda f, s: f(s.m, None, s.v),
    lambda f, s: f(s.x, s.s, 4),
    lambda f, s: f(s.m, -1, 1, s.n),
    lambda f, s: f(s.m, a_min=-1, a_max=s.y, out=s.m),
    lambda f, s: f(s.x, -1, 1, out=s.m),
    lambda f, s: f(s.m, 0, 1, out=s.g),
    lambda f, s: f(s.m, 0, 1, where=s.k, out=s.n),
)
if FROM_2_1:
    gives("clip", lambda f, s: f(s.m, min=-1), lambda f, s: f(s.m, max=s.v, min=0.5))
gives(
    "choose",
    lambda f, s: f(s.i, s.q),
    lambda f, s: f(s.i % 2, [s.c, s.q[1]]),
    lambda f, s: f([0, 1, 2, 3, 0, 1], s.m, s.v),
    lambda f, s: f(s.l * 9, (s.v, s.y), mode="clip", out=s.f),
)
gives(
    "select",
    lambda f, s: f([s.k, s.m > 1], [s.m, s.x]),
    lambda f, s: f([s.k], [s.m], s.s),
    lambda f, s: f([s.k, ~s.k], [s.n, s.w], default=7),
)
gives(
    "piecewise",
    lambda f, s: f(s.m, [s.m < 0, s.m >= 0], [lambda x: -x, lambda x: x + 1]),
    lambda f, s: f(s.m, [s.k], [5]),
    lambda f, s: f(s.v, [s.l], [lambda x, y: x * y, 0], 2),
)
gives(
    "apply_along_axis",
    lambda f, s: f(np.sort, 1, s.m),
    lambda f, s: f(lambda x, k: x.sum() * k, 0, s.m, 2),
    lambda f, s: f(np.cumsum, axis=-1, arr=s.t),
)
gives("apply_over_axes", lambda f, s: f(np.sum, s.t, [0, 2]), lambda f, s: f(np.max, s.m, 0))
gives(
    "diff",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 2, 0),
    lambda f, s: f(s.v, prepend=s.u[:1]),
    lambda f, s: f(s.y, append=s.v),
    lambda f, s: f(s.m, axis=1, append=0),
)
gives(
    "ediff1d", lambda f, s: f(s.m), lambda f, s: f(s.v, s.u, s.c), lambda f, s: f(s.y, to_begin=s.v)
)
gives(
    "gradient",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 0.5, axis=1),
    lambda f, s: f(s.v, np.cumsum(abs(s.u) + 1)),
    lambda f, s: f(s.y, s.s, edge_order=2),
)
gives(
    "interp",
    lambda f, s: f(s.m, np.sort(s.v), s.u),
    lambda f, s: f(1.5, np.sort(s.y), s.v, left=0),
    lambda f, s: f(s.v, s.y, s.u, period=4),
)
gives(
    "trapezoid",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, s.v),
    lambda f, s: f(s.y, s.v, axis=0),
    lambda f, s: f(s.m, dx=0.5, axis=0),
)
gives("unwrap", lambda f, s: f(s.m), lambda f, s: f(s.m, axis=0, period=2))
for name in ("convolve", "correlate"):
    gives(
        name,
        lambda f, s: f(s.v, s.c),
        lambda f, s: f(s.y, s.v, "same"),
        lambda f, s: f(s.v, [1, 2, 1], mode="valid"),
    )
gives(
    "cross",
    lambda f, s: f(s.v[:3], s.u[:3]),
    lambda f, s: f(s.m[:, :3], s.y[:3]),
    lambda f, s: f(s.x[:3], s.m[:3], axis=0),
)
gives("linalg.cross", lambda f, s: f(s.v[:3], s.u[:3]), lambda f, s: f(s.x[:3], s.m[:3], axis=0))
gives(
    "dot",
    lambda f, s: f(s.v, s.u),
    lambda f, s: f(s.m, s.v),
    lambda f, s: f(s.m, s.n.T),
    lambda f, s: f(s.x, s.t[0].T),
    lambda f, s: f(s.q, s.m, s.n),
    lambda f, s: f(s.q, s.m, out=s.g),
    lambda f, s: f(s.q, s.x, out=s.m),
    lambda f, s: f(s.m, 2),
)
gives("inner", lambda f, s: f(s.v, s.u), lambda f, s: f(s.m, s.n), lambda f, s: f(s.y, s.m))
gives(
    "outer",
    lambda f, s: f(s.v, s.u),
    lambda f, s: f(s.y, s.c),
    lambda f, s: f(s.c, s.v, s.m),
    lambda f, s: f(s.c, s.y, out=s.g),
)
gives("linalg.outer", lambda f, s: f(s.v, s.u), lambda f, s: f(s.y, s.c))
gives("vdot", lambda f, s: f(s.v, s.u), lambda f, s: f(s.m, s.x), lambda f, s: f(s.x, s.m))
gives("kron", lambda f, s: f(s.q, s.v), lambda f, s: f(s.x, s.c), lambda f, s: f(s.c, 2.0))
gives(
    "tensordot",
    lambda f, s: f(s.m, s.n),
    lambda f, s: f(s.t, s.m, ((1, 2), (0, 1))),
    lambda f, s: f(s.x, s.v, axes=1),
)
gives("linalg.tensordot", lambda f, s: f(s.m, s.n), lambda f, s: f(s.x, s.v, axes=1))
gives(
    "einsum",
    lambda f, s: f("ij,j->i", s.m, s.v),
    lambda f, s: f("ij,kj", s.x, s.m, optimize=True),
    lambda f, s: f(s.m, [0, 1], s.v, [1], [0]),
    lambda f, s: f("ij->j", s.m, out=s.v),
    lambda f, s: f("ij,ij->j", s.m, s.x, out=s.f),
    lambda f, s: f("ij,ij->ij", s.m, s.w, dtype=np.float64),
)
gives(
    "einsum_path",
    lambda f, s: f("ij,kj->ik", s.m, s.n),
    lambda f, s: f("ij,j,i", s.m, s.y, s.c, optimize="optimal"),
)
gives(
    "trace",
    lambda f, s: f(s.m),
    lambda f, s: f(s.t, 1, 1, 2),
    lambda f, s: f(s.t, dtype=np.float64),
    lambda f, s: f(s.t[:, :2], out=s.v),
    lambda f, s: f(s.t, 0, 0, 1, None, s.f),
)
gives("linalg.trace", lambda f, s: f(s.t), lambda f, s: f(s.m, offset=1, dtype=np.float64))
for name in ("diag_indices_from",):
    gives(name, lambda f, s: f(s.q), lambda f, s: f(s.p))
for name in ("tril_indices_from", "triu_indices_from"):
    gives(name, lambda f, s: f(s.m), lambda f, s: f(s.q, 1), lambda f, s: f(s.q, k=-1))
gives("ix_", lambda f, s: f(s.v, s.c), lambda f, s: f(s.i, s.v), lambda f, s: f([1, 2], s.v))
for name in ("linspace", "geomspace", "logspace"):
    gives(
        name,
        lambda f, s: f(s.s, 4, 5),
        lambda f, s: f(abs(s.v) + 1, abs(s.u) + 2, 3),
        lambda f, s: f(1, s.c + 9, num=4, axis=1),
        lambda f, s: f(abs(s.y) + 1, abs(s.v) + 1, 3, endpoint=False),
    )
gives("linspace", lambda f, s: f(s.v, 3, 4, retstep=True))
gives("logspace", lambda f, s: f(s.v / 8, 2, 3, base=abs(s.u) + 1))
gives("vander", lambda f, s: f(s.v), lambda f, s: f(s.c, 3, increasing=True))
for name in ("polyadd", "polymul", "polysub", "polydiv"):
    gives(
        name,
        lambda f, s: f(s.v, s.c),
        lambda f, s: f(s.y, s.c),
        lambda f, s: f(s.v, [1, 2]),
        lambda f, s: f([1, 2, 3], s.v),
    )
gives("poly", lambda f, s: f(s.v), lambda f, s: f(s.q))
gives("polyder", lambda f, s: f(s.v), lambda f, s: f(s.v, 2))
gives("polyint", lambda f, s: f(s.v), lambda f, s: f(s.v, 2, s.c[:2]), lambda f, s: f(s.y, k=s.s))
gives(
    "polyfit",
    lambda f, s: f(np.arange(6), s.v, 2),
    lambda f, s: f(np.arange(4.0), s.m, 1),
    lambda f, s: f(s.y, s.v, 1, w=abs(s.u) + 1),
    lambda f, s: f(s.y, s.v, 1, full=True),
)
gives(
    "polyval",
    lambda f, s: f(s.c, s.m),
    lambda f, s: f([1, 2], s.v),
    lambda f, s: f(s.v, 2.0),
    lambda f, s: f(s.c, s.x),
)
for name in ("polygrid2d", "polyval2d"):
    if f"polynomial.polynomial.{name}" in FUNCTIONS:
        gives(
            f"polynomial.polynomial.{name}",
            lambda f, s: f(s.v, s.u, s.m),
            lambda f, s: f(s.y, s.v, s.x),
            lambda f, s: f(s.y, s.y, s.m),
        )
gives("roots", lambda f, s: f(s.v), lambda f, s: f(s.c))

for name in ("arccos", "arcsin", "arctanh", "log", "log10", "log2", "sqrt"):
    gives(
        f"lib.scimath.{name}", lambda f, s: f(s.m), lambda f, s: f(s.m * 4 + 1), lambda f, s: f(s.s)
    )
gives(
    "lib.scimath.logn", lambda f, s: f(2, s.m), lambda f, s: f(s.v, s.m), lambda f, s: f(s.y, s.v)
)
gives(
    "lib.scimath.power", lambda f, s: f(s.m, 2), lambda f, s: f(s.m, s.v), lambda f, s: f(s.y, s.v)
)

for name in (
    "cholesky",
    "cond",
    "det",
    "eigh",
    "eigvalsh",
    "inv",
    "pinv",
    "slogdet",
    "svdvals",
    "matrix_norm",
    "matrix_rank",
    "qr",
    "svd",
    "norm",
    "eig",
    "eigvals",
):
    gives(f"linalg.{name}", lambda f, s: f(s.p))
for name in ("cond", "pinv", "svdvals", "matrix_norm", "matrix_rank", "qr", "svd", "norm"):
    gives(f"linalg.{name}", lambda f, s: f(s.m))
for name in ("pinv", "svdvals", "matrix_norm", "matrix_rank", "qr", "svd"):
    gives(f"linalg.{name}", lambda f, s: f(s.t))
for name in ("det", "inv", "slogdet", "eig", "eigvals"):
    gives(f"linalg.{name}", lambda f, s: f(s.q + 3 * np.eye(4)), lambda f, s: f(s.p[None]))
gives("linalg.cond", lambda f, s: f(s.p, 1))
for name in ("eigh", "eigvalsh"):
    gives(f"linalg.{name}", lambda f, s: f(s.q, "U"))
gives("linalg.svd", lambda f, s: f(s.m, full_matrices=False), lambda f, s: f(s.m, compute_uv=False))
gives("linalg.qr", lambda f, s: f(s.m, mode="r"))
gives("linalg.matrix_norm", lambda f, s: f(s.t, ord=1, keepdims=True))
gives(
    "linalg.norm",
    lambda f, s: f(s.v, 1),
    lambda f, s: f(s.m, axis=0),
    lambda f, s: f(s.m, "fro", keepdims=True),
)
gives(
    "linalg.vector_norm",
    lambda f, s: f(s.v),
    lambda f, s: f(s.m, axis=1, ord=1),
    lambda f, s: f(s.t, keepdims=True),
)
gives(
    "linalg.lstsq",
    lambda f, s: f(s.m.T, s.v),
    lambda f, s: f(s.x, s.c, rcond=0.1),
    lambda f, s: f(s.m.T, s.n.T),
)
gives(
    "linalg.solve",
    lambda f, s: f(s.p, s.c),
    lambda f, s: f(s.p, s.x),
    lambda f, s: f(s.x[:, :4], s.m),
)
gives(
    "linalg.matmul", lambda f, s: f(s.q, s.m), lambda f, s: f(s.x, s.v), lambda f, s: f(s.t, s.x.T)
)
gives(
    "linalg.matrix_power", lambda f, s: f(s.q, 3), lambda f, s: f(s.p, -1), lambda f, s: f(s.q, n=0)
)
gives(
    "linalg.multi_dot",
    lambda f, s: f([s.q, s.p, s.m]),
    lambda f, s: f([s.q, s.x, s.n.T, s.c]),
    lambda f, s: f([s.q, s.p, s.x], out=s.n),
    lambda f, s: f((s.q, s.m), out=s.g),
)
gives("linalg.tensorinv", lambda f, s: f(s.p.reshape(2, 2, 4)), lambda f, s: f(s.p, ind=1))
gives("linalg.tensorsolve", lambda f, s: f(s.p.reshape(4, 2, 2), s.c), lambda f, s: f(s.p, s.i))
gives("linalg.vecdot", lambda f, s: f(s.m, s.v), lambda f, s: f(s.x, s.m, axis=0))

for name in ("fft", "ifft", "hfft", "ihfft", "rfft", "irfft"):
    gives(
        f"fft.{name}",
        lambda f, s: f(s.v),
        lambda f, s: f(s.m, 4, 0),
        lambda f, s: f(s.m, axis=0, norm="ortho"),
    )
for name in ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"):
    gives(f"fft.{name}", lambda f, s: f(s.m), lambda f, s: f(s.t, (2, 4), axes=(0, 1)))
for name in ("fftshift", "ifftshift"):
    gives(
        f"fft.{name}", lambda f, s: f(s.v), lambda f, s: f(s.m, 1), lambda f, s: f(s.t, axes=(0, 2))
    )

gives(
    "array2string",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, precision=1, separator=","),
    lambda f, s: f(s.v, formatter={"float": lambda x: "x"}),
)
gives("array_str", lambda f, s: f(s.m), lambda f, s: f(s.m, 20, 2, True))
_examples("repr", "array_repr", lambda f, s: f(s.m), lambda f, s: f(s.t))
gives("shape", lambda f, s: f(s.m), lambda f, s: f(s.s))
gives("ndim", lambda f, s: f(s.m), lambda f, s: f(s.s))
gives("size", lambda f, s: f(s.m), lambda f, s: f(s.m, 1), lambda f, s: f(s.t, axis=0))
for name in ("may_share_memory", "shares_memory"):
    _examples(
        "lies",
        name,
        lambda f, s: f(s.m, s.m),
        lambda f, s: f(s.m, s.n),
        lambda f, s: f(s.x, s.m),
        lambda f, s: f(s.m[:2], s.m[2:]),
        lambda f, s: f(s.m, s.m[1:, ::2], max_work=1),
    )
gives(
    "result_type",
    lambda f, s: f(s.m, s.n),
    lambda f, s: f(s.m, 1.0),
    lambda f, s: f(np.float16, s.s),
    lambda f, s: f(s.i, s.m),
)
gives("common_type", lambda f, s: f(s.m), lambda f, s: f(s.m, s.d), lambda f, s: f(s.i, s.w))
gives(
    "can_cast",
    lambda f, s: f(s.m, np.float64),
    lambda f, s: f(s.m, np.float16),
    lambda f, s: f(s.s, np.int8, casting="unsafe"),
)
gives("min_scalar_type", lambda f, s: f(s.m), lambda f, s: f(s.s))
gives(
    "astype",
    lambda f, s: f(s.m, np.float64),
    lambda f, s: f(s.v, np.int32),
    lambda f, s: f(s.m, np.float32, copy=True),
)


@pytest.fixture(autouse=True)
def written_text(tmp_path):
    """`savetxt` gives what it wrote."""

    def text(f, *args, **kwargs):
        f(tmp_path / "text", *args, **kwargs)
        return (tmp_path / "text").read_text()

    gives_text = (lambda f, s: text(f, s.m), lambda f, s: text(f, s.v, "%.3f", delimiter=","))
    EXAMPLES["savetxt"] = [("gives", call) for call in gives_text]


EXAMPLES["savetxt"] = []


# The comparison


def bound_of(function, call, before):
    """Return how far products may differ: twice 24 * 2^-23 of the sums of magnitudes, none being longer."""
    sums = call(function, before.decoded()._with_all(np.abs))
    return 48 * 2.0**-23 * np.asarray(sums, np.float64)


def assert_near(got, expected, bound):
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    finite = np.isfinite(bound)
    assert np.all(np.abs(got - expected)[finite] <= bound[finite])
    np.testing.assert_array_equal(got[~finite], expected[~finite])


def assert_gives(got, expected, mine, decoded, bound=None):
    """Check that a result is NumPy's: its type, its parts, and their bits; or the operand that NumPy's is.

    With a bound, it may differ by that.
    """
    for name, operand in vars(decoded).items():
        if expected is operand:
            assert got is getattr(mine, name)
            return
    assert type(got) is type(expected)
    if bound is not None and expected.dtype == np.float32:
        assert_near(got, expected, bound)
    elif isinstance(expected, tuple | list):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_gives(one, other, mine, decoded)
    elif isinstance(expected, np.ndarray | np.generic):
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        assert got.tobytes() == expected.tobytes(), f"{got!r}\n{expected!r}"
    else:
        assert got == expected or (got != got and expected != expected)


def assert_keeps(got, expected, biases, fmt):
    """Check that a result has NumPy's elements, in a format, with these biases."""
    if isinstance(expected, np.generic):
        assert_gives(got, expected, Operands(), Operands())
    elif isinstance(expected, tuple | list):
        assert type(got) is type(expected)
        if not isinstance(biases, tuple | list):
            biases = [biases] * len(expected)
        for one, other, bias in zip(got, expected, biases, strict=True):
            assert_keeps(one, other, bias, fmt)
    elif expected.dtype == np.float32:
        assert type(got) is cf.CFloatArray
        assert got.format == fmt
        assert got.shape == expected.shape
        # values that were filled in are rounded
        np.testing.assert_array_equal(got.codes, cf.encode(expected, fmt, biases))
        full = got._biases.full(got.shape)
        np.testing.assert_array_equal(full, np.broadcast_to(biases, got.shape))
        with warnings.catch_warnings(action="ignore"):  # broadcast_arrays warns of what will be
            assert got.flags.writeable == expected.flags.writeable
    else:  # indices and counts
        assert_gives(got, expected, Operands(), Operands())


def assert_shares(got, expected, mine, decoded):
    """Check that a result is a view of the operands that NumPy's is a view of."""
    if isinstance(expected, tuple | list):
        for one, other in zip(got, expected, strict=True):
            assert_shares(one, other, mine, decoded)
    elif isinstance(got, cf.CFloatArray):
        for name, operand in vars(decoded).items():
            own = getattr(mine, name)
            codes = own.codes if isinstance(own, cf.CFloatArray) else own
            assert np.shares_memory(got.codes, codes) == np.shares_memory(expected, operand)


def assert_written(mine, decoded, before, bound=None):
    """Check that what NumPy wrote into operands is in them, rounded, and nothing else changed."""
    for name, operand in vars(decoded).items():
        got, was = getattr(mine, name), getattr(before, name)
        changed = not np.array_equal(operand, np.asarray(was), equal_nan=True)
        if bound is not None and changed and isinstance(got, cf.CFloatArray):
            with np.errstate(invalid="ignore"):
                ends = (operand.astype(np.float64) + sign * bound for sign in (-1, 1))
            low, high = (cf.round_to(x, was.format, was._biases.full(was.shape)) for x in ends)
            # what is negative is NaN in an unsigned format
            values, either = np.asarray(got), np.isnan(low) | np.isnan(high)
            right = np.where(np.isnan(values), either, either | (low <= values) & (values <= high))
            assert np.all(right[np.isfinite(bound)])
        elif bound is not None and changed:
            assert_near(got, operand, bound)
        elif isinstance(got, cf.CFloatArray):
            np.testing.assert_array_equal(got._biases.full(got.shape), was._biases.full(was.shape))
            rounded = cf.encode(operand, was.format, was._biases.full(was.shape))
            np.testing.assert_array_equal(got.codes, rounded, name)
        else:
            np.testing.assert_array_equal(got, operand, name)


def assert_values(got, expected):
    """Check values, in whatever array they are."""
    if isinstance(expected, tuple | list):
        assert type(got) is type(expected)
        for one, other in zip(got, expected, strict=True):
            assert_values(one, other)
    else:
        assert type(got) is type(expected) or type(got) is cf.CFloatArray
        assert_gives(np.asarray(got), np.asarray(expected), Operands(), Operands())


def first_argument(a, *args, **kwargs):
    return a


def check(kind, function, call, before, name):
    """Compare what a call gives with what it gives of decoded arrays; return whether it gives anything."""
    mine = before.copy()
    decoded = before.decoded_in_order() if kind in ("moves", "lies") else before.decoded()
    try:
        expected = call(function, decoded)
    except Exception as error:  # the values may be beyond what it takes: infinities, for most
        with pytest.raises(type(error)):
            call(function, mine)
        return False
    got = call(function, mine)
    bound = bound_of(function, call, before) if name in PRODUCTS else None
    if kind == "overwrites":
        assert_written(mine, decoded, before)
        return True
    fmt, one = before.m.format, before.m._biases.one
    assert_written(mine, decoded, before, bound)
    if kind == "repr":
        assert got == repr(call(first_argument, mine))
    elif kind == "shape":
        assert (type(got), got.shape, got.format) == (cf.CFloatArray, expected.shape, fmt)
    elif kind in ("gives", "lies") or (kind == "joins" and one is None):
        assert_gives(got, expected, mine, decoded, bound)
    elif kind == "values":
        assert_values(got, expected)
    else:
        assert_keeps(got, expected, KEPT[kind](function, call, before), fmt)
    if kind == "moves":
        assert_shares(got, expected, mine, decoded)
    return True


#: The biases that a result has, as far as they are known here.
KEPT = {
    "moves": lambda function, call, before: call(function, before.biases()),
    "joins": lambda function, call, before: before.m._biases.one,
    "same": lambda function, call, before: call(first_argument, before.biases()),
}


@pytest.fixture(scope="module", params=SETUPS)
def setup(request):
    return request.param, operands(*SETUPS[request.param])


@pytest.mark.filterwarnings("ignore:`in1d` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name in FUNCTIONS])
def test_examples(name, setup):
    label, before = setup
    for kind, call in EXAMPLES[name]:
        with np.errstate(all="ignore"):
            worked = check(kind, FUNCTIONS[name], call, before, name)
        assert worked or label != "one bias"


def by_keyword(function):
    """Return a function called by the names of its parameters alone, or None if it cannot be."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return None
    names = [one.name for one in parameters]
    if any(one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL) for one in parameters):
        return None
    return lambda *args, **kwargs: function(**dict(zip(names, args, strict=False)), **kwargs)


@pytest.mark.filterwarnings("ignore:`in1d` is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if name in EXAMPLES and by_keyword(FUNCTIONS[name])]
)
@pytest.mark.parametrize("label", ["one bias", "blocks"])
def test_examples_by_keyword(name, label):
    for kind, call in EXAMPLES[name]:
        if name != "savetxt":
            check(kind, by_keyword(FUNCTIONS[name]), call, operands(*SETUPS[label]), name)


def test_every_function_has_an_example():
    assert EXAMPLES.keys() == (KEEPS.keys() | COMPUTED.keys()) & FUNCTIONS.keys()


# Functions that refuse


@pytest.mark.parametrize("name", [name for name in REFUSED if name in FUNCTIONS])
def test_refused(name):
    # of the two objects of functions that take like=, the public one is called
    place, _, short = name.rpartition(".")
    place = importlib.import_module(f"numpy.{place}" if place else "numpy")
    a = cf.asarray([1.0, 2.0], cf.CFloat8_1_4_3)
    reason = re.escape(REFUSED[name])
    function = getattr(place, short, FUNCTIONS[name])
    with pytest.raises(
        cf.ArgumentTypeError, match=f"^{re.escape(name)} does not take a CFloatArray: {reason}$"
    ):
        REFUSED_CALLS.get(name, call_with_all)(function, a)


def call_with_all(f, a):
    """Call with as many CFloatArrays as it requires."""
    parameters = inspect.signature(f).parameters.values()
    return f(
        *[
            a
            for one in parameters
            if one.default is one.empty and one.kind <= one.POSITIONAL_OR_KEYWORD
        ]
    )


LIKE = """
    arange array asanyarray asarray ascontiguousarray asfortranarray empty eye genfromtxt identity loadtxt
    ones require tri zeros
"""
REFUSED_CALLS = {
    **dict.fromkeys(LIKE.split(), lambda f, a: f(2, like=a)),
    "full": lambda f, a: f(2, 1.0, like=a),
    "fromfunction": lambda f, a: f(np.add, (2, 2), like=a),
    "fromiter": lambda f, a: f([1], float, like=a),
    "fromstring": lambda f, a: f("1 2", sep=" ", like=a),
    "frombuffer": lambda f, a: f(b"12345678", like=a),
    "fromfile": lambda f, a: f("unused", like=a),
    "lib.recfunctions.merge_arrays": lambda f, a: f((a, a)),
    "lib.recfunctions.stack_arrays": lambda f, a: f((a, a)),
    "bincount": lambda f, a: f(a),
    "ravel_multi_index": lambda f, a: f((a, a), (2, 2)),
    "unravel_index": lambda f, a: f(a, (2, 2)),
    "packbits": lambda f, a: f(a),
    "unpackbits": lambda f, a: f(a),
    "busday_count": lambda f, a: f(a, a),
    "busday_offset": lambda f, a: f(a, 1),
    "is_busday": lambda f, a: f(a),
    "datetime_as_string": lambda f, a: f(a),
    "save": lambda f, a: f("unused", a),
    "savez": lambda f, a: f("unused", a),
    "savez_compressed": lambda f, a: f("unused", b=a),
    "lib.recfunctions.apply_along_fields": lambda f, a: f(np.mean, a),
    "lib.recfunctions.join_by": lambda f, a: f("key", a, a),
    "lib.recfunctions.rec_join": lambda f, a: f("key", a, a),
    "lib.recfunctions.append_fields": lambda f, a: f(a, "name", a),
    "lib.recfunctions.rec_append_fields": lambda f, a: f(a, "name", a),
}


# More of single functions


def test_names_of_other_releases():
    assert key_of(np.lib.scimath.sqrt) == "lib.scimath.sqrt"
    assert key_of(np.linalg.norm) == "linalg.norm"
    assert key_of(np.mean) == "mean"


def test_other_types_are_asked():
    class Other:
        def __array_function__(self, func, types, args, kwargs):
            return func.__name__

    a = cf.asarray([1.0, 2.0], cf.CFloat8_1_4_3)
    assert np.concatenate([a, Other()]) == "concatenate"
    assert np.array_equal(Other(), a) == "array_equal"


def test_empty_like_of_a_dtype():
    a = cf.asarray([[1.0, 2.0]], cf.CFloat8_1_4_3)
    made = np.empty_like(a, np.float16)
    assert (type(made), made.shape, made.dtype) == (np.ndarray, (1, 2), np.float16)
    assert np.empty_like(a, shape=(3, 3)).shape == (3, 3)


def test_array_repr_takes_printing_options():
    a = cf.asarray([1 / 3, 2.5], cf.CFloat16_SHP)
    assert np.array_repr(a, precision=2) == "CFloatArray([0.33, 2.5 ], CFloat16_SHP, bias=15)"


def test_an_output_of_another_shape_is_refused():
    a = cf.asarray(np.ones((2, 3)), cf.CFloat8_1_4_3)
    for call in (
        lambda out: np.sum(a, axis=0, out=out),
        lambda out: np.take(a, [0], out=out),
        lambda out: np.take(np.ones(3), [0], out=out),
        lambda out: np.clip(a, 0, 1, out=out),
    ):
        out = cf.asarray(np.zeros((3, 2)), cf.CFloat8_1_4_3)
        with pytest.raises(ValueError, match="shape"):
            call(out)
        assert not out.codes.any()


def test_copyto_takes_same_kind():
    a = cf.asarray([1.0, 2.0], cf.CFloat8_1_4_3)
    with pytest.raises(cf.ArgumentTypeError, match="casting is 'safe'"):
        np.copyto(a, [1.0, 2.0], casting="safe")


@pytest.mark.parametrize(
    "where", [1, 0, 1.0, True, False, [1, 0, 1], np.array([True, False, False])]
)
def test_copyto_takes_masks_as_numpy_does(where):
    a, expected = cf.asarray([1, 2, 3], cf.CFloat8_1_4_3), np.array([1, 2, 3], np.float32)
    np.copyto(a, 9, where=where)
    np.copyto(expected, 9, where=where)
    np.testing.assert_array_equal(np.asarray(a), expected)


@pytest.mark.parametrize("where", [np.array([0, 1, 2]), cf.asarray([1, 0, 1], cf.CFloat8_1_4_3)])
def test_copyto_refuses_masks_as_numpy_does(where):
    for a in (cf.asarray([1, 2, 3], cf.CFloat8_1_4_3), np.ones(3, np.float32)):
        with pytest.raises(TypeError, match="Cannot cast"):
            np.copyto(a, 9, where=where)
        np.testing.assert_array_equal(np.asarray(a)[:1], 1)


SIX_BITS = cf.Format("f6", exponent_bits=3, mantissa_bits=2, bias=3)


def test_empty_like_holds_codes(monkeypatch):
    a = cf.asarray(np.ones((3, 4)), SIX_BITS)
    empty_like = np.empty_like
    with monkeypatch.context() as patched:  # memory as it may be
        patched.setattr(np, "empty_like", lambda x, **how: np.full_like(x, 255, **how))
        made = empty_like(a)
    assert (made.format, made.shape) == (SIX_BITS, (3, 4))
    assert made.codes.max() < 64


def test_padding_with_anything_gives_codes_and_biases():
    junk = [np.full(n, 255, np.uint8) for n in (20, 36, 64) for _ in range(50)]
    del junk  # what padding may find in its memory
    a = cf.asarray(np.ones((3, 4)), SIX_BITS)
    assert np.pad(a, 1, mode="empty").codes.max() < 64
    shp = cf.CFloat16_SHP
    b = cf.asarray(np.ones((3, 4)), shp, [20, 21, 22], axis=0)
    padded = np.pad(b, ((1, 2), (0, 3)), mode="empty")
    expected = np.repeat([[20], [20], [21], [22], [22], [22]], 7, axis=1)
    np.testing.assert_array_equal(np.broadcast_to(padded.bias, (6, 7)), expected)
    np.testing.assert_array_equal(np.asarray(padded)[1:4, :4], 1)
    empty = np.pad(b[:, :0], ((0, 0), (1, 0)), mode="empty")
    assert np.asarray(empty).shape == (3, 1)
    with pytest.raises(ValueError, match="unsupported keyword"):
        np.pad(a, 1, mode="empty", constant_values=1)


def test_resizing_nothing_gives_zeros_of_the_default_bias():
    uhp = cf.CFloat16_UHP
    a = cf.asarray(np.ones((2, 3)), uhp, [31, 30] if uhp.bias_range[0] < 31 else [31, 31], axis=0)
    made = np.resize(a[:, :0], (2, 2))
    assert np.asarray(made.bias).tolist() == uhp.default_bias
    np.testing.assert_array_equal(made.codes, 0)
