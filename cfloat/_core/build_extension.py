"""Build script of the extension module ``cfloat._core._cfloat`` (cffi, API mode, limited API)."""

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
    else ["-std=c11", "-O3", "-ffp-contract=off", "-fno-fast-math"]
)

ffibuilder = FFI()
ffibuilder.cdef((ROOT / CSRC / "cfloat_api.h").read_text(encoding="utf-8"))
ffibuilder.set_source(
    "cfloat._core._cfloat",
    '#include "cfloat.h"',
    sources=[str(CSRC / path.name) for path in sorted((ROOT / CSRC).glob("*.c"))],
    depends=[str(CSRC / path.name) for path in sorted((ROOT / CSRC).glob("*.h"))],
    include_dirs=[str(CSRC)],
    extra_compile_args=COMPILE_ARGS,
    extra_link_args=[] if sys.platform == "win32" else ["-pthread"],
)
