"""The command ``cfloat``: one module for each of its commands."""
