"""Rounding weights so that the outputs of their products lose least."""
