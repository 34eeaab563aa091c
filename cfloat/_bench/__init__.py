"""The measurement of speed behind ``cfloat bench``."""
