"""Examples of NumPy's functions: name -> how the result is to be, and a call with operands."""

import numpy as np

# those that NumPy loads when they are asked for
import numpy.char
import numpy.fft
import numpy.lib.recfunctions
import numpy.ma
import numpy.polynomial
import numpy.rec
import numpy.strings
from numpy.testing.overrides import get_overridable_numpy_array_functions

from cfloat._array.registry import key_of

#: Every function that NumPy lets others define, by the name that the registries have for it.
FUNCTIONS = {key_of(function): function for function in get_overridable_numpy_array_functions()}

NEW = np.lib.NumpyVersion(np.__version__)
FROM_2_1 = NEW >= "2.1.0"
FROM_2_2 = NEW >= "2.2.0"

EXAMPLES = {}


def add_examples(kind, name, *calls):
    EXAMPLES.setdefault(name, []).extend((kind, call) for call in calls)


def moves(name, *calls):
    """CFloatArrays, and biases where the elements are."""
    add_examples("moves", name, *calls)


def same(name, *calls):
    """A CFloatArray of the first operand's format and biases."""
    add_examples("same", name, *calls)


def joins(name, *calls):
    """A CFloatArray if operands have one bias, and float32 if they have many."""
    add_examples("joins", name, *calls)


def takes(name, *calls):
    """A CFloatArray of the biases of the operand `m`, which those that elements are taken of all have."""
    add_examples("takes", name, *calls)


def along(name, *calls):
    """A CFloatArray if one bias is enough for all that are looked at together, and float32 if not."""
    add_examples("along", name, *calls)


def gives(name, *calls):
    """What NumPy gives: no CFloatArray, unless it is one of the operands, named as output."""
    add_examples("gives", name, *calls)


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
    add_examples("values", name, lambda f, s: f(s.m, s.x, 1.5, [s.y, s.f]))
moves("broadcast_arrays", lambda f, s: f(s.m, s.v), lambda f, s: f(s.e, s.c, s.s))
add_examples(
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
add_examples("values", "meshgrid", lambda f, s: f(s.v, [1, 2]), lambda f, s: f(s.i, s.v))

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
add_examples(
    "values",
    "extract",
    lambda f, s: f(s.m > 0, s.m),
    lambda f, s: f(s.v, s.y),
    lambda f, s: f(s.m, s.n),
)
add_examples(
    "values",
    "trim_zeros",
    lambda f, s: f(s.z),
    lambda f, s: f(s.z, "f"),
    lambda f, s: f(s.z, trim="b"),
    lambda f, s: f(s.v),
    lambda f, s: f(s.z[:2]),
)
if FROM_2_2:
    add_examples(
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
add_examples("shape", "empty_like", lambda f, s: f(s.m), lambda f, s: f(s.m, order="F"))

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
takes("where", lambda f, s: f(s.k, s.m, s.n), lambda f, s: f(s.m, s.m, s.n))
joins("where", lambda f, s: f(s.l, s.m, s.v))
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
add_examples("shape", "pad", lambda f, s: f(s.m, 1, "empty"))
gives(
    "pad",
    lambda f, s: f(s.m, 1, "mean"),
    lambda f, s: f(s.v, 2, mode="linear_ramp", end_values=3),
    lambda f, s: f(s.v, 2, "reflect", reflect_type="odd"),
    lambda f, s: f(s.m, 1, mode="maximum", stat_length=2),
)
along(
    "sort",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, 0, "stable"),
    lambda f, s: f(s.t, axis=None),
    lambda f, s: f(s.m, kind="heapsort"),
)
along(
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
