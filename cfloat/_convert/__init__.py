"""Conversion between values and codes: elementwise, and with layouts of biases."""
