"""What each test of PyTorch begins from."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _seeded():
    """The same random numbers, and nothing that another test compiled."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    torch.manual_seed(0)
    if (
        "torch._dynamo" in sys.modules
    ):  # it compiles a function, as Sequential's, so often and no more
        torch.compiler.reset()
