"""What benchmarks share."""

import pytest

import cfloat as cf


@pytest.fixture
def one_thread():
    """One thread of this package and one of PyTorch, whose random numbers begin anew."""
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'cfloat[torch]'")
    before = cf.get_num_threads(), torch.get_num_threads()
    cf.set_num_threads(1)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    cf.set_num_threads(before[0])
    torch.set_num_threads(before[1])
