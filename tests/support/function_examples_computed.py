"""Examples of NumPy's functions that compute, or may; importing this adds them to the others."""

import numpy as np
from function_examples import (
    FROM_2_1,
    FUNCTIONS,
    add_examples,
    along,
    gives,
    joins,
    moves,
    takes,
)

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
    (gives if name.endswith(("prod", "sum")) else along)(
        name,
        lambda f, s: f(s.m),
        lambda f, s: f(s.t, (0, 2)),
        lambda f, s: f(s.m, 1),
        lambda f, s: f(s.m, axis=0, keepdims=True),
    )
    gives(
        name,
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
add_examples(
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
joins("clip", lambda f, s: f(s.m, None, s.v), lambda f, s: f(s.m, s.v, None))
takes("clip", lambda f, s: f(s.m, s.n, s.m), lambda f, s: f(s.m, s.n, None))
gives(
    "clip",
    lambda f, s: f(s.m, -1, 1),
    lambda f, s: f(s.m, s.n, 1),
    lambda f, s: f(s.x, s.s, 4),
    lambda f, s: f(s.m, -1, 1, s.n),
    lambda f, s: f(s.m, a_min=-1, a_max=s.y, out=s.m),
    lambda f, s: f(s.x, -1, 1, out=s.m),
    lambda f, s: f(s.m, 0, 1, out=s.g),
    lambda f, s: f(s.m, s.n, s.m, out=s.g),
    lambda f, s: f(s.m, s.n, s.m, out=s.n),
    lambda f, s: f(s.m, 0, 1, where=s.k, out=s.n),
)
if FROM_2_1:
    gives("clip", lambda f, s: f(s.m, min=-1), lambda f, s: f(s.m, max=s.v, min=0.5))
    takes("clip", lambda f, s: f(s.m, max=s.n))
joins("choose", lambda f, s: f(s.i, s.q), lambda f, s: f(s.i % 2, [s.c, s.q[1]]))
takes("choose", lambda f, s: f(s.k.astype(int), [s.n, s.m]))
gives(
    "choose",
    lambda f, s: f([0, 1, 2, 3, 0, 1], s.m, s.v),
    lambda f, s: f(s.l * 9, (s.v, s.y), mode="clip", out=s.f),
    lambda f, s: f(s.k.astype(int), [s.m, s.x]),
)
takes(
    "select",
    lambda f, s: f([s.k], [s.n], s.m),
    lambda f, s: f([s.k, ~s.k], (s.n, s.m)),
    lambda f, s: f([s.l], [s.m]),
)
add_examples("values", "select", lambda f, s: f([s.k], [s.m], s.s))
gives(
    "select",
    lambda f, s: f([s.k, s.m > 1], [s.m, s.x]),
    lambda f, s: f([s.k], [s.m], 0),
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
    moves(
        f"fft.{name}", lambda f, s: f(s.v), lambda f, s: f(s.m, 1), lambda f, s: f(s.t, axes=(0, 2))
    )

gives(
    "array2string",
    lambda f, s: f(s.m),
    lambda f, s: f(s.m, precision=1, separator=","),
    lambda f, s: f(s.v, formatter={"float": lambda x: "x"}),
)
gives("array_str", lambda f, s: f(s.m), lambda f, s: f(s.m, 20, 2, True))
add_examples("repr", "array_repr", lambda f, s: f(s.m), lambda f, s: f(s.t))
gives("shape", lambda f, s: f(s.m), lambda f, s: f(s.s))
gives("ndim", lambda f, s: f(s.m), lambda f, s: f(s.s))
gives("size", lambda f, s: f(s.m), lambda f, s: f(s.m, 1), lambda f, s: f(s.t, axis=0))
for name in ("may_share_memory", "shares_memory"):
    add_examples(
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
