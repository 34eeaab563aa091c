"""Build of the C extension; everything else about the package is in pyproject.toml."""

import sysconfig

from setuptools import setup

# The extension uses Python's limited API, so that one wheel serves every later Python; builds of
# Python without the GIL do not offer it.
limited_api = not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    cffi_modules=["cfloat/_core/build_extension.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if limited_api else {},
)
