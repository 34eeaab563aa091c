"""Timed arrays lie where they always lie: what is measured is the code, not malloc."""

import numpy as np
import pytest

from cfloat._bench.placement import place_destination, place_source

PAGE = 4096


@pytest.mark.parametrize("shape", [(3,), (65536,), (7, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_sources_and_destinations_lie_at_fixed_places(shape: tuple[int, ...], dtype: type) -> None:
    # others in between move malloc's next place
    hindrances = [np.empty(size, np.uint8) for size in (100, 5000, 70001)]
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    source = place_source(values.T)
    destination = place_destination(shape, dtype)
    assert len(hindrances) == 3
    assert source.ctypes.data % PAGE == 0
    assert destination.ctypes.data % PAGE == PAGE // 2
    assert source.flags.c_contiguous
    assert destination.flags.c_contiguous
    assert source.dtype == destination.dtype == dtype
    np.testing.assert_array_equal(source, values.T)
    np.testing.assert_array_equal(destination, np.zeros(shape, dtype))
