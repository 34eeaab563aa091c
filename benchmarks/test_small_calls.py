"""Calls on a few elements beside NumPy's own, where Python's share of the time is the greater one.

    pytest benchmarks/test_small_calls.py --benchmark-group-by=group --benchmark-columns=min

Machines differ, and shared ones are noisy: only ratios within one run mean anything.  "floor" is a call of
the extension that does next to nothing, with the arguments of a conversion and two arrays' addresses, and a
new array for the result: what cffi and NumPy take of a conversion of three elements.
"""

import numpy as np
import pytest

import cfloat as cf
from cfloat._core.binding import elements

F8, SHP = cf.CFloat8_1_4_3, cf.CFloat16_SHP
RNG = np.random.default_rng(0)
THREE = np.array([1.0, -2.5, 480.0], np.float32)
CODES = cf.encode(THREE, F8)
INTO = np.empty(3, np.uint8), np.empty(3, np.float32)
THOUSAND = RNG.standard_normal(1000, dtype=np.float32)
Q = cf.asarray(THOUSAND, F8)
Q16 = cf.asarray(THOUSAND, SHP)
BY_ROW = cf.asarray(RNG.standard_normal((100, 32)), F8, "max", axis=0)
BY_BLOCK = cf.asarray(RNG.standard_normal((100, 64)), F8, "max", block=32)
SQUARES = {n: RNG.standard_normal((n, n), dtype=np.float32) for n in (4, 8, 16, 256)}
FORMATTED = {n: cf.asarray(x, F8) for n, x in SQUARES.items()}
VECTOR = RNG.standard_normal(256, dtype=np.float32)
UINT8, FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)


def floor():
    made = np.empty(THREE.shape, UINT8)
    source, out = elements.from_buffer(THREE), elements.from_buffer(made)
    return elements.lib.cf_convert_nearest(F8._struct, -1, 1, source, elements.CODES, out, 3, 1)


def assign(array, key, value):
    array[key] = value


ROWS = {
    "convert 3": {
        "floor": floor,
        "numpy astype": lambda: THREE.astype(UINT8),
        "encode": lambda: cf.encode(THREE, F8),
        "encode, bias": lambda: cf.encode(THREE, F8, 5),
        "encode, name": lambda: cf.encode(THREE, "CFloat8_1_4_3"),
        "encode, out": lambda: cf.encode(THREE, F8, out=INTO[0]),
        "encode, list": lambda: cf.encode([1.0, -2.5, 480.0], F8),
        "encode, float": lambda: cf.encode(2.7, F8),
        "decode": lambda: cf.decode(CODES, F8),
        "decode, bias": lambda: cf.decode(CODES, F8, 5),
        "decode, out": lambda: cf.decode(CODES, F8, out=INTO[1]),
        "decode, float64": lambda: cf.decode(CODES, F8, dtype=np.float64),
        "decode, list": lambda: cf.decode([56, 194, 127], F8),
        "round_to": lambda: cf.round_to(THREE, F8),
        "round_to, bias": lambda: cf.round_to(THREE, F8, 5),
        "round_to, out": lambda: cf.round_to(THREE, F8, out=INTO[1]),
    },
    "arrays of 1000": {
        "numpy astype": lambda: THOUSAND.astype(UINT8),
        "asarray": lambda: cf.asarray(THOUSAND, F8),
        "asarray, bias": lambda: cf.asarray(THOUSAND, F8, 5),
        "np.asarray": lambda: np.asarray(Q),
        "error": lambda: cf.error(THOUSAND, Q),
    },
    "elements": {
        "numpy x[3]": lambda: THOUSAND[3],
        "q[3]": lambda: Q[3],
        "q[3], 16 bits": lambda: Q16[3],
        "q[3], a bias a row": lambda: BY_ROW[3],
        "q[3, 4], a bias a row": lambda: BY_ROW[3, 4],
        "q[3], blocks": lambda: BY_BLOCK[3],
        "q[3, 4], blocks": lambda: BY_BLOCK[3, 4],
        "float(q[3])": lambda: float(Q[3]),
        "numpy x[2:10]": lambda: THOUSAND[2:10],
        "q[2:10]": lambda: Q[2:10],
        "q[2:10], a bias a row": lambda: BY_ROW[2:10],
        "numpy x[3] = 1.0": lambda: assign(THOUSAND.copy(), 3, 1.0),
        "q[3] = 1.0": lambda: assign(Q, 3, 1.0),
        "list(q)": lambda: list(Q),
        "numpy list(x)": lambda: list(THOUSAND),
    },
    "views": {
        "numpy reshape": lambda: THOUSAND.reshape(10, 100),
        "reshape": lambda: Q.reshape(10, 100),
        "T": lambda: Q.T,
        "copy": lambda: Q.copy(),
        "len": lambda: len(Q),
        "shape": lambda: Q.shape,
        "codes": lambda: Q.codes,
    },
    **{
        f"products, n = {n}": {
            "numpy": lambda x=SQUARES[n]: x @ x,
            "a @ b": lambda a=FORMATTED[n]: a @ a,
            "matmul": lambda a=FORMATTED[n]: cf.matmul(a, a),
        }
        for n in (4, 8, 16)
    },
    "products, 256 times a vector": {
        "numpy": lambda: SQUARES[256] @ VECTOR,
        "a @ v": lambda: FORMATTED[256] @ VECTOR,
    },
}


def test_what_is_timed_is_right():
    assert floor() != 0
    np.testing.assert_array_equal(ROWS["convert 3"]["encode, list"](), CODES)
    np.testing.assert_array_equal(cf.decode(CODES, F8), cf.round_to(THREE, F8))
    assert cf.asarray(THOUSAND, F8)[3] == Q[3] == cf.round_to(THOUSAND[3], F8)
    for n, a in FORMATTED.items():
        expected = np.asarray(a).astype(float) @ np.asarray(a).astype(float)
        np.testing.assert_allclose(a @ a, expected, atol=1e-3 * n)
    values = np.asarray(FORMATTED[256]).astype(float)
    np.testing.assert_allclose(FORMATTED[256] @ VECTOR, values @ VECTOR, atol=1e-3)


@pytest.mark.parametrize(
    ("group", "row"), [(group, row) for group, rows in ROWS.items() for row in rows]
)
def test_call(benchmark, group, row):
    benchmark.group = group
    benchmark(ROWS[group][row])
