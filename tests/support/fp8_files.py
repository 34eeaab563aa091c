"""Files of 8-bit floats as others read them."""

import ml_dtypes
import numpy as np
from safetensors import deserialize, safe_open


def load_file(path):
    """Read a file with the library's parser and ml_dtypes' dtypes, which its NumPy side does not know."""
    dtypes = {
        "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "F32": "f4", "I64": "i8",
    }  # fmt: skip
    return {
        name: np.frombuffer(said["data"], dtypes[said["dtype"]]).reshape(said["shape"])
        for name, said in deserialize(path.read_bytes())
    }


def dtype_of(path, name):
    with safe_open(path, "numpy") as file:
        return file.get_slice(name).get_dtype()
