"""Reports and a plan as plain data, with everything that a page or a plot has to bear."""

import numpy as np

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


PARTS = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj",
    "mlp.down_proj", "input_layernorm",
)  # fmt: skip

FORMAT_NAMES = (
    "CFloat8_1_4_3", "CFloat8_1_5_2", "CFloat8_a", "CFloat8_b", "float16", "bfloat16", "CFloat16_SHP",
    "CFloat16_UHP",
)  # fmt: skip

RANDOM_FIGURES = ("mse", "max_abs", "max_rel", "cosine", "underflowed", "subnormal", "entropy")

#: Kinds of layers, the last of them hostile.
KINDS = ("linear", "embedding", "norm or bias", "<b>kind</b>\u202e")


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
        "shape": [4, 25], "dtype": "float32", "size": 100, "nonfinite": 1, "stochastic_db": None,
        "ieee_bias": bias, "ieee_sqnr_db": best, "gain_db": 0.02, "default_gain_db": 1.5,
        "theory": {"normal": 31.5, "uniform": 31.8, "laplace": 31.1},
        "ieee_gain_db": 0.02, "a_new_measure": 42,
    } | changes  # fmt: skip


def make_content(names=HOSTILE):
    """A report of some tensors, each a little better than the one before, and three odd ones."""
    tensors, rows = [], []
    for index, name in enumerate([*names, "exact", "hopeless", "plain.weight"]):
        tensors.append({
            "name": name, "shape": [4, 25], "dtype": "float32", "size": 100 + index, "nonfinite": 1,
            "max": 3.5, "zeros": 2, "kurtosis": None, "exponents": {"first": -9, "counts": [1, 0, 20, 70, 6]},
            "signal": 400.0, "kind": KINDS[index % len(KINDS)], "is_constant": False,
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
             "sqnr_db": db, "biases": n, "lowest": 3, "median": 4, "highest": 3 + n, "nbytes": 100 + n,
             "bits_per_element": 8.25}
            for kind, db, n in [("tensor", 31.5, 1), ("channel", 31.9, 4), ("block 32", None, 4)]
        ],
        "comparisons": [
            {"tensor": "plain.weight", "scheme": scheme, "sqnr_db": db, "bits_per_element": bits,
             "nbytes": 104}
            for scheme, db, bits in [("MXFP8 E4M3", 31.0, 8.25), ("INT8, tensor", None, 8.0)]
        ],
        "matmul": [
            {"tensor": "plain.weight", "format": "CFloat8_1_4_3", "weight_sqnr_db": 31.5,
             "input_sqnr_db": 31.4, "output_sqnr_db": 31.2, "predicted_db": None},
        ],
        "conclusion": make_conclusion(),
        "skipped": {"step": "int64, not floating point", HOSTILE[0]: "empty"},
    }  # fmt: skip


def configuration(name, granularity, nbytes, db, worst=HOSTILE[0]):
    """What one format for all tensors costs, in a conclusion."""
    return {
        "format": name, "granularity": granularity, "nbytes": nbytes, "nbytes_before": 4000,
        "weighted_db": db, "energy_db": db, "median_db": db, "worst_db": None if db is None else db - 3,
        "worst": worst,
        "over_3db": 2, "command": f"cfloat convert 'a file' OUT --format {name}",
    }  # fmt: skip


def make_conclusion(paths=("folder/" + HOSTILE[0],)):
    """The conclusion of a report: a configuration that is recommended, and what is beside it."""
    found = [
        configuration("CFloat8_1_5_2", "tensor", 1000, 25.5),
        configuration("CFloat8_1_4_3", "tensor", 1004, 31.5),
        configuration("CFloat8_1_4_3", "block 32", 1032, 31.9),
        configuration("CFloat16_SHP", "tensor", 2000, None, ""),
    ]
    return {
        "model": {
            "paths": list(paths), "tensors": 11, "parameters": 1000, "nbytes": 4000,
            "dtypes": {"float32": 10, "<i>int8</i>": 1},
        },
        "bound_db": 30.0, "recommended": found[1], "cheaper": found[0], "better": found[2],
        "plan": {"nbytes": 1100, "weighted_db": 32.5, "worst_db": 30.1, "worst": HOSTILE[1],
                 "command": "cfloat plan 'a file' --out plan.toml"},
        "configurations": found,
        "schemes": [
            {"scheme": scheme, "nbytes": 1010, "bits_per_element": 8.0, "weighted_db": db, "worst_db": db,
             "worst": HOSTILE[2]}
            for scheme, db in [
                 ("E4M3, real scale a tensor", 31.4), ("INT8, tensor", 20.0), ("<u>own</u>", 19.0)]
        ],
        "denormals": {"format": "CFloat8_1_4_3", "weighted_db": 0.01, "best_db": 0.5, "best": HOSTILE[0],
                      "default_db": 9.5, "default": "plain.weight", "exact_with_ieee": 1},
        "integers": {"scheme": "INT8, tensor", "tensors": 10, "wins": 6},
        "curve": [[1000, 25.5], [1050, 32.0], [1500, 40.0], [2000, 70.0], [4000, None]],
        "commands": ["cfloat convert 'a file' OUT --format CFloat8_1_4_3",
                     "cfloat plan 'a file' --out plan.toml && cfloat convert 'a file' OUT --plan plan.toml"],
        "left_out": {"int64, not floating point": ["step", HOSTILE[3]], HOSTILE[0]: ["a", "b", "c", "d"]},
        "refusal": "",
        "notes": [],
    }  # fmt: skip


def make_plan(names=HOSTILE):
    """A plan as plain data, as `CompressionPlan.to_json` has it."""
    tensors = [
        {"name": name, "dtype": "float32", "shape": [4, 25],
         "format": "unchanged" if index == 2 else "CFloat8_1_4_3",
         "granularity": ["tensor", "block 32", ""][index % 3 if index < 3 else 0],
         "db": None if index == 2 else 31.25 + index, "nbytes_before": 400,
         "nbytes": 400 if index == 2 else 101, "reason": "has <infinities>" if index == 2 else ""}
        for index, name in enumerate(names)
    ]  # fmt: skip
    return {
        "cfloat": "0.1.0", "source": HOSTILE[0], "tensors": tensors, "nbytes_before": 400 * len(names),
        "nbytes": 101 * len(names) + 299, "weighted_db": 32.5, "worst_db": 31.25, "worst": HOSTILE[1],
        "bound": "at most 0.3x the bytes", "gap": 0.02, "gap_unit": "dB",
        "curve": [[700, 25.0], [1006, 32.5], [2000, 70.0], [2800, None]],
        "command": "cfloat convert 'a file' OUT --plan plan.toml",
    }  # fmt: skip


def make_large(count=5000):
    """A report of many tensors: eight formats, figures without order, and curves of 64 biases."""
    random = np.random.default_rng(16)
    names = [f"model.layers.{index // 7}.{PARTS[index % 7]}.weight" for index in range(count)]
    bell = 31.5 - np.maximum(0, np.abs(np.arange(64) - 14.5) - 7) * 3
    tensors, rows, granularity, comparisons = [], [], [], []

    def near(level, spread=1.0):
        return float(level + spread * random.standard_normal())

    for index, name in enumerate(names):
        # layers are alike in their shapes
        size = (3, 1, 1, 3, 8, 8, 1)[index % 7] << 16
        counts = (
            (size * 2.0 ** -np.abs(np.arange(24) - 17) * random.random(24)).astype(int).tolist()
        )
        tensors.append({
            "name": name, "shape": [size >> 6, 64], "dtype": "bfloat16", "size": size, "nonfinite": 0,
            "zeros": int(random.integers(0, 999)), "max": near(1, 0.1), "kurtosis": near(3),
            "exponents": {"first": int(random.integers(-30, -20)), "counts": counts},
            "signal": near(1e4, 1e3), "kind": KINDS[index % 3], "is_constant": False,
        })  # fmt: skip
        for place, fmt in enumerate(FORMAT_NAMES):
            levels = (bell + near(0) + random.normal(0, 0.05, 64)).tolist()
            figures = {key: float(random.random()) for key in RANDOM_FIGURES}
            figures["cosine"] = 1 - 1e-3 * figures["cosine"]
            rows.append(
                row(
                    name, fmt, 8 if place < 4 else 16, levels if place < 4 else [near(50)],
                    codes_used=int(random.integers(90, 256)), headroom=int(random.integers(-2, 4)),
                    stochastic_db=near(28), default_gain_db=near(1), **figures,
                )
            )  # fmt: skip
        for fmt in FORMAT_NAMES[:4]:
            for kind in ("tensor", "channel", "block 128", "block 32"):
                granularity.append({
                    "tensor": name, "format": fmt, "granularity": kind, "sqnr_db": near(31),
                    "biases": size >> 5, "lowest": int(random.integers(3, 9)), "median": 10,
                    "highest": int(random.integers(11, 15)),
                    "nbytes": size, "bits_per_element": 8.25,
                })  # fmt: skip
        comparisons += [
            {"tensor": name, "scheme": f"scheme {place}", "sqnr_db": near(30), "bits_per_element": 8.25,
             "nbytes": size}
            for place in range(24)
        ]  # fmt: skip
    return make_content(()) | {
        "tensors": tensors, "rows": rows, "granularity": granularity, "comparisons": comparisons,
        "matmul": [],
    }  # fmt: skip
