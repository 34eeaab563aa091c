"""Build script of the extension module ``cfloat._core._cfloat`` (cffi, API mode, limited API)."""

import os
import sys
from pathlib import Path

from cffi import FFI

# The compiler runs in the root of the source tree, and wants paths relative to it.
ROOT = Path(__file__).resolve().parents[2]
CSRC = Path("csrc")

# Contraction would fuse multiply and add where the source does not, and change results.
COMPILE_ARGS = (
    ["/std:c11", "/O2", "/fp:precise"]
    if sys.platform == "win32"
    else ["-std=c11", "-O3", "-ffp-contract=off", "-fno-fast-math", "-fno-math-errno"]
)

# Python's own flags ask for what debuggers read, which is ten times the code.
if sys.platform != "win32" and "-g" not in os.environ.get("CFLAGS", "").split():
    COMPILE_ARGS.append("-g0")


def _files(pattern: str) -> list[str]:
    """Paths of the C core's files, in folders of any depth, relative to the root."""
    found = sorted((ROOT / CSRC).rglob(pattern))
    return [str(path.relative_to(ROOT)) for path in found]


ffibuilder = FFI()
ffibuilder.cdef((ROOT / CSRC / "cfloat_api.h").read_text(encoding="utf-8"))
ffibuilder.set_source(
    "cfloat._core._cfloat",
    '#include "cfloat.h"',
    sources=_files("*.c"),
    depends=_files("*.h"),
    include_dirs=[str(CSRC)],
    extra_compile_args=COMPILE_ARGS,
    extra_link_args=[] if sys.platform == "win32" else ["-pthread", "-lm"],
)
