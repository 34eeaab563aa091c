"""Build of the C extension; everything else about the package is in pyproject.toml."""

import os
import sysconfig
from concurrent.futures import ThreadPoolExecutor

from setuptools import setup
from setuptools.command.build_ext import build_ext

# The extension uses Python's limited API, so that one wheel serves every later Python; builds of
# Python without the GIL do not offer it.
limited_api = not sysconfig.get_config_var("Py_GIL_DISABLED")

# The largest files take a compiler 0.4 GB each, and a container may have many cores and little memory.
MOST_FILES = 4


class BuildBesideEachOther(build_ext):
    """Compile some files at once, or as many as `build_ext -j N` says, where setuptools takes one."""

    def build_extensions(self) -> None:
        """Build as setuptools does, but for the order."""
        count = min(os.cpu_count() or 1, MOST_FILES)
        if self.parallel is not None and self.parallel is not True:
            count = int(self.parallel)
        compile_files = self.compiler.compile

        def compile_beside(sources, *args, **kwargs):
            def compile_one(source):
                return compile_files([source], *args, **kwargs)

            # the first alone: it makes folders, and finds the compiler
            objects = compile_one(sources[0])
            with ThreadPoolExecutor(count) as threads:
                for made in threads.map(compile_one, sources[1:]):
                    objects += made
            return objects

        self.compiler.compile = compile_beside
        super().build_extensions()


setup(
    cffi_modules=["cfloat/_core/build_extension.py:ffibuilder"],
    cmdclass={"build_ext": BuildBesideEachOther},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if limited_api else {},
)
