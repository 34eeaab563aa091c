"""`CFloatArray`, its ufuncs, and its registry of NumPy's functions."""
