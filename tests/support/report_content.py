"""A small report as plain data, with everything that a page or a plot has to bear."""

#: Names that a hostile checkpoint may hold.
HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "a'b\"c & $x^2$ \\u003c",
    "line\nbreak\ttab\x1b[2J",
    "עברית\u202egnp.exe",
    "\ud800 alone",
    "__proto__",
)


def row(tensor, name, bits, levels, first=0, **changes):
    """One row, at the best of the given levels; all keys of the schema."""
    known = [level for level in levels if level is not None]
    best = max(known, default=None)
    bias = first + (levels.index(best) if known else 0)
    near = [
        index + first
        for index, level in enumerate(levels)
        if known and (level or -99) >= best - 0.1
    ]
    return {
        "tensor": tensor, "format": name, "subnormals": "ieee", "bias": bias, "sqnr_db": best, "mse": 1e-7,
        "max_abs": 0.01, "max_rel": 1.0, "cosine": 0.9998, "saturated": 0.0, "underflowed": 0.00001,
        "subnormal": 0.25, "codes_used": 100, "codes": 2**bits, "entropy": 6.5, "bits": bits,
        "plateau": [near[0], near[-1]] if near else [bias, bias], "headroom": -1,
        "curve": {"first": first, "sqnr_db": levels},
        "window": {"smallest_subnormal": -9, "smallest_normal": -6, "highest": 8},
        "stochastic_db": None, "theory": {"normal": 31.5, "uniform": 31.8, "laplace": 31.1},
        "ieee_gain_db": 0.02, "a_new_measure": 42,
    } | changes  # fmt: skip


def make_content(names=HOSTILE):
    """A report of some tensors, each a little better than the one before, and three odd ones."""
    tensors, rows = [], []
    for index, name in enumerate([*names, "exact", "hopeless", "plain.weight"]):
        tensors.append({
            "name": name, "shape": [4, 25], "dtype": "float32", "size": 100 + index, "nonfinite": 1,
            "max": 3.5, "zeros": 2, "kurtosis": None, "exponents": {"first": -9, "counts": [1, 0, 20, 70, 6]},
        })  # fmt: skip
        gain = 0.1 * index
        curve = [None, 12.0, 25.0, 31.4 + gain, 31.4 + gain, 31.45 + gain, 20.0, -40.0]
        rows += [
            row(name, "CFloat8_1_4_3", 8, curve, subnormals="whitepaper"),
            row(name, "CFloat8_1_5_2", 8, [20.0, 25.0 + gain, 25.0 + gain, 3.0]),
            row(name, "float16", 16, [73.5 - gain], 15),
        ]
    for each in rows:
        if each["tensor"] == "exact":
            levels = [None] * len(each["curve"]["sqnr_db"])
            each |= {"sqnr_db": None, "mse": 0.0, "curve": {"first": 0, "sqnr_db": levels}}
        if each["tensor"] == "hopeless":
            levels = [None] * len(each["curve"]["sqnr_db"])
            each |= {
                "sqnr_db": None,
                "mse": None,
                "curve": {"first": 0, "sqnr_db": levels},
                "cosine": None,
            }
    tensors[-2]["exponents"] = {"first": 0, "counts": []}
    return {
        "cfloat": "0.1.0",
        "tensors": tensors,
        "rows": rows,
        "granularity": [
            {"tensor": "plain.weight", "format": "CFloat8_1_4_3", "granularity": kind,
             "sqnr_db": db, "biases": n}
            for kind, db, n in [("tensor", 31.5, 1), ("channel", 31.9, 4), ("block 32", None, 4)]
        ],
        "comparisons": [
            {"tensor": "plain.weight", "scheme": scheme, "sqnr_db": db, "bits_per_element": bits}
            for scheme, db, bits in [("MXFP8 E4M3", 31.0, 8.25), ("INT8 symmetric", None, 8.0)]
        ],
        "matmul": [
            {"tensor": "plain.weight", "format": "CFloat8_1_4_3", "weight_sqnr_db": 31.5,
             "output_sqnr_db": 31.2, "predicted_db": None},
        ],
        "skipped": {"step": "int64, not floating point", HOSTILE[0]: "empty"},
    }  # fmt: skip
