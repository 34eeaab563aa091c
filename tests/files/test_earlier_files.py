"""Files that earlier versions wrote are read as they were."""

from pathlib import Path

import numpy as np
import pytest

import cfloat as cf

EARLIER = Path(__file__).parent / "earlier"
X = np.linspace(-3, 3, 24, dtype=np.float32).reshape(4, 6)
FMT, WIDE = cf.CFloat8_1_4_3, cf.CFloat8_1_5_2

# each was made of X before the modules were moved into packages
FILES = {
    "axis": {
        "w": cf.asarray(X, FMT, [9, 10, 11, 12], axis=0),
        "h": cf.asarray(X, cf.CFloat16_SHP.replace(subnormals="ieee"), bias=20),
        "ids": np.arange(3),
    },
    "blocks": {"w": cf.asarray(X, WIDE, [[15, 16], [17, 18], [14, 13], [12, 11]], block=4)},
    "fp8": {"a.weight": cf.asarray(X, FMT.replace(subnormals="ieee"), [14, 15, 15, 14], axis=0)},
    "stochastic": {
        "a.weight": cf.asarray(
            X, WIDE, [30, 31, 31, 30], axis=0, rounding="stochastic", seed=5, offset=0
        )
    },
}


@pytest.mark.parametrize("name", FILES)
def test_what_was_written_before_is_loaded(name):
    loaded = cf.load(EARLIER / f"{name}.safetensors")
    assert set(loaded) == set(FILES[name])
    for key, expected in FILES[name].items():
        found = loaded[key]
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
        if isinstance(expected, cf.CFloatArray):
            assert found.format == expected.format
            np.testing.assert_array_equal(found.codes, expected.codes)
            np.testing.assert_array_equal(found.bias, expected.bias)
            assert (found.axis, found.block) == (expected.axis, expected.block)
