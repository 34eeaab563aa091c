"""Matrix products register themselves with the arrays, whatever is used first."""

import pickle
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec

import numpy as np
import pytest

import cfloat as cf

# Whoever has arrays has products of them.
CHECK = """
import sys
registry = sys.modules.get("cfloat._array.registry")
if registry is not None:
    assert {"dot", "einsum"} <= registry.COMPUTED.keys()
    assert "matmul" in registry.UFUNCS
    assert "__matmul__" in registry.PROTOCOLS
"""

PRODUCTS = """

import numpy as np
from cfloat._core import binding
calls = []
core = binding.matmul_flat
binding.matmul_flat = lambda *a: (calls.append(a), core(*a))
for product in (lambda: a @ a, lambda: np.matmul(a, a), lambda: np.dot(a, a), lambda: a.dot(a),
                lambda: np.einsum("ij,jk", a, a), lambda: np.linalg.multi_dot([a, a])):
    calls.clear()
    assert product().tolist() == [[7, 10], [15, 22]]
    assert len(calls) == 1
"""


def run(program):
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


HOMES = defaultdict(list)
for name, home in cf._HOMES.items():
    HOMES[home].append(name)


@pytest.mark.parametrize("home", HOMES)
def test_every_public_name(home):
    """One name of each module: another has the same imports behind it."""
    run(f"from cfloat import {HOMES[home][0]}\n" + CHECK)


ARRAY = cf.CFloatArray(np.uint8([[56, 64], [68, 72]]), cf.CFloat8_1_4_3)
MAKE = "np.uint8([[56, 64], [68, 72]]), CFloat8_1_4_3)"


@pytest.mark.parametrize(
    "program",
    [
        f"import numpy as np; from cfloat import CFloatArray, CFloat8_1_4_3\na = CFloatArray({MAKE}",
        "import cfloat\na = cfloat.asarray([[1, 2], [3, 4]], cfloat.CFloat8_1_4_3)",
        "from cfloat import ones, CFloat8_1_4_3\na = ones((2, 2), CFloat8_1_4_3)\na[...] = [[1, 2], [3, 4]]",
        f"import pickle\na = pickle.loads({pickle.dumps(ARRAY)!r})",
        "import cfloat.dask, cfloat._array.creation as c\na = c.asarray([[1, 2], [3, 4]], 'CFloat8_1_4_3')",
        "import cfloat.torch, torch\n"
        "a = cfloat.torch.asarray(torch.tensor([[1., 2.], [3., 4.]]), 'CFloat8_1_4_3')",
    ],
    ids=["CFloatArray", "asarray", "ones", "pickle", "dask", "torch"],
)
def test_products(program, request):
    name = request.node.callspec.id
    if name in ("dask", "torch") and find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    run(program + PRODUCTS)


def test_pickles_name_public_paths():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert b"cfloat._" not in pickle.dumps(ARRAY, protocol)
