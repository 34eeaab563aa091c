"""Errors of rounding: measured, summed without loss, and by theory."""
