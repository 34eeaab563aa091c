"""Tesla's configurable floating-point formats, CFloat8 and CFloat16, for NumPy.

The formats and their arithmetic are those of the 2021 whitepaper *A Guide to Tesla's Configurable
Floating Point Formats & Arithmetic*.  Start with `encode`, `decode` and `round_to`; README.md has an
example of each public function.
"""

from typing import TYPE_CHECKING, Any

from ._native import isa
from .array import CFloatArray, asarray
from .bias import BiasTracker, choose_bias
from .codec import decode, encode, round_to
from .errors import (
    ArgumentTypeError,
    ArgumentValueError,
    CFloatError,
    ClusterError,
    FileError,
    FlagError,
    FlagWarning,
    FormatError,
    MissingExtraError,
)
from .flags import Flags, errstate, record_flags
from .formats import (
    COMPARISON_FORMATS,
    TESLA_FORMATS,
    CFloat8_1_4_3,
    CFloat8_1_5_2,
    CFloat16_SHP,
    CFloat16_UHP,
    Format,
    bfloat16,
    finfo,
    float8_e4m3fn,
    float8_e5m2,
    float16,
)
from .linalg import matmul
from .metrics import ErrorStats, error
from .product_error import MatmulStats, matmul_error
from .report import Report, report
from .report_rows import ReportRow
from .rounding import ROUNDING_MODES
from .threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from .checkpoint import load, save

__version__ = "0.1.0"

__all__ = [
    "COMPARISON_FORMATS",
    "ROUNDING_MODES",
    "TESLA_FORMATS",
    "ArgumentTypeError",
    "ArgumentValueError",
    "BiasTracker",
    "CFloat8_1_4_3",
    "CFloat8_1_5_2",
    "CFloat16_SHP",
    "CFloat16_UHP",
    "CFloatArray",
    "CFloatError",
    "ClusterError",
    "ErrorStats",
    "FileError",
    "FlagError",
    "FlagWarning",
    "Flags",
    "Format",
    "FormatError",
    "MatmulStats",
    "MissingExtraError",
    "Report",
    "ReportRow",
    "asarray",
    "bfloat16",
    "choose_bias",
    "decode",
    "encode",
    "error",
    "errstate",
    "finfo",
    "float8_e4m3fn",
    "float8_e5m2",
    "float16",
    "get_num_threads",
    "isa",
    "load",
    "matmul",
    "matmul_error",
    "record_flags",
    "report",
    "round_to",
    "save",
    "set_num_threads",
]


def __getattr__(name: str) -> Any:
    # most programs read and write no files, and what does it takes long to import
    if name in ("load", "save"):
        from . import checkpoint

        return getattr(checkpoint, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
