"""NumPy's ufuncs on `CFloatArray` (NEP 13).

Values are decoded and computed on.  docs/spec.md 5.2: the result is a float32 ndarray, as it would be of the
decoded arrays, unless ``out=`` or an in-place operator names a CFloatArray.  Into that, results are rounded
once: of +, -, *, / and roots the exact ones, of others those of float64.  What changes signs or selects keeps
the format.
"""

from . import dispatch

__all__ = ["dispatch"]
