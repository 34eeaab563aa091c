"""Conversions that are killed at random times in a container's process namespace."""

import sys

import kills
import pytest


@pytest.mark.slow
def test_kills_in_process_namespaces(tmp_path):
    """A few here; ``python tests/support/kills.py --count 200`` is the whole of it."""
    if sys.platform != "linux":
        pytest.skip("process namespaces are Linux's")
    problem = kills.problem()
    if problem:
        pytest.skip(f"no process namespaces here: {problem}")
    stress = kills.Stress(tmp_path, seed=3, elements=1 << 18)
    stress.run(24)
    assert not stress.faults, stress.text()
    assert stress.finished < 24
