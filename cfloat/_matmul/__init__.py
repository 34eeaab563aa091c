"""Matrix products: `matmul`, and NumPy's functions that are matrix products, which it registers."""

from . import numpy_products

__all__ = ["numpy_products"]
