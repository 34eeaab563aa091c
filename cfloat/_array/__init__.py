"""Arrays of codes: `CFloatArray`, its ufuncs and its registry of NumPy's functions.

All of it is imported together, so that wherever there is an array it does what NumPy asks of it.
"""

from . import array, creation, functions, ufuncs

__all__ = ["array", "creation", "functions", "ufuncs"]
