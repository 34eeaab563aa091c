"""How a `CFloatArray` prints."""

import tracemalloc

import numpy as np
import pytest
from arrays import FMT, SAMPLES, SHP

import cfloat as cf


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": 2},
        {"suppress": True},
        {"linewidth": 30},
        {"threshold": 5, "edgeitems": 1},
        {"sign": "+"},
        {"floatmode": "fixed"},
        {"nanstr": "nix"},
        {"threshold": 0, "edgeitems": 2},
        {"formatter": {"float": "<{}>".format}},
    ],
)
@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 9), (20, 30), (2, 3, 4), (100, 2, 11)])
def test_text(shape, options):
    a = cf.asarray(np.random.default_rng(0).normal(size=shape) * 300, SHP, 31)
    with np.printoptions(**options):
        assert str(a) == str(np.asarray(a))
        shown = np.array2string(np.asarray(a), separator=", ", prefix="CFloatArray(")
        assert repr(a).startswith(f"CFloatArray({shown},")
        assert "CFloat16_SHP, bias=31" in repr(a)


def test_reprs():
    assert repr(cf.asarray([1, 2.5], FMT)) == "CFloatArray([1. , 2.5], CFloat8_1_4_3, bias=7)"
    assert repr(cf.asarray(1.5, FMT)) == "CFloatArray(1.5, CFloat8_1_4_3, bias=7)"
    assert repr(cf.asarray([], FMT)) == "CFloatArray([], CFloat8_1_4_3, bias=7)"
    assert "shape=(0, 3)" in repr(cf.asarray(np.ones((0, 3)), FMT))
    assert "shape=(10000,)" in repr(cf.asarray(np.ones(10000), FMT))
    assert repr(SAMPLES["blocks"]).endswith("bias=[[3, 4], [5, 6], [7, 8]], block=2)")
    many = cf.asarray(np.ones(20), FMT, np.arange(20))
    assert "bias=<0 to 19, shape (20,)>" in repr(many)


def test_text_of_large_arrays_takes_no_memory():
    codes = np.broadcast_to(np.arange(2**10, dtype=np.uint8), (2**18, 2**10))
    layouts = (
        {},
        {"bias": np.arange(2**18) % 64, "axis": 0},
        {"bias": np.arange(2**5)[None], "block": 2**5},
    )
    for how in layouts[:2]:
        a = cf.CFloatArray(codes, FMT, **how)
        for b in (a, a.T, a[5:, ::-1]):
            tracemalloc.start()
            text = repr(b), str(b)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 1e6
            assert "..." in text[0]
            assert "..." in text[1]


def test_looking_raises_no_flags():
    a = cf.CFloatArray(np.array([1, 2, 3], np.uint8), FMT)
    with cf.record_flags() as flags, cf.errstate(all="raise"):
        repr(a), str(a), f"{a}"
    assert not flags
