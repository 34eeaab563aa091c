"""Products of few rows: each code by itself, whichever axis is contiguous and wherever biases lie."""

import numpy as np
import pytest

import cfloat as cf

NORMAL = cf.Format("normal", exponent_bits=3, mantissa_bits=4, bias=3, subnormals="normal")
UNSIGNED = cf.Format("unsigned", exponent_bits=5, mantissa_bits=3, signed=False, bias=15)
FORMATS = [
    *cf.TESLA_FORMATS,
    cf.float16,
    cf.float8_e4m3fn,
    cf.float8_e5m2,
    cf.float8_e4m3fnuz,
    cf.float8_e8m0fnu,
    NORMAL,
    UNSIGNED,
]
INNER = 64


def all_codes(fmt):
    """Every finite code, INNER in a column, again and again if they are few."""
    dtype = np.uint8 if fmt.bits <= 8 else np.uint16
    codes = np.arange(2**fmt.bits, dtype=dtype)
    codes = codes[np.isfinite(cf.decode(codes, fmt))]
    columns = max(70, -(-codes.size // INNER))
    return np.resize(codes, (INNER, columns))


def biases_of(fmt, rng, shape, where):
    low, high = (
        f(x, fmt.default_bias + d)
        for f, x, d in zip((max, min), fmt.bias_range, (-3, 3), strict=True)
    )
    counts = {"one": (1, 1), "inner": (shape[0], 1), "lines": (1, shape[1])}.get(where)
    counts = counts or (shape[0] // 32, shape[1])
    return rng.integers(low, high + 1, counts)


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
@pytest.mark.parametrize("where", ["one", "lines", "inner", "blocks"])
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_every_code_by_itself(matmul_isa, rng, fmt, where, rows):
    codes = all_codes(fmt)
    biases = biases_of(fmt, rng, codes.shape, where)
    full = np.repeat(biases, 32, axis=0) if where == "blocks" else biases
    expected = np.empty(codes.shape, np.float32)
    for bias in np.unique(full):
        expected = np.where(full == bias, cf.decode(codes, fmt, int(bias)), expected)
    layout = {"lines": {"axis": 0}, "inner": {"axis": 1}, "blocks": {"block": 32}}.get(where, {})
    given = {"one": int(biases.flat[0]), "blocks": biases.T}.get(where, biases.ravel())
    for lines in (codes.T, np.ascontiguousarray(codes.T)):
        weights = cf.CFloatArray(lines, fmt, given, **layout).T
        assert np.shares_memory(weights.codes, lines)
        for first in range(0, INNER, rows):
            places = range(first, min(first + rows, INNER))
            x = np.zeros((len(places), INNER), np.float32)
            x[np.arange(len(places)), places] = -1.5
            np.testing.assert_array_equal(
                cf.matmul(x, weights), expected[places] * np.float32(-1.5)
            )
