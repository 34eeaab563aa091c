"""Matrix products: `matmul`, and NumPy's functions that are matrix products."""
