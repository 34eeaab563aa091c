"""Tesla's configurable floating-point formats, CFloat8 and CFloat16, for NumPy.

The formats and their arithmetic are those of the 2021 whitepaper *A Guide to Tesla's Configurable
Floating Point Formats & Arithmetic*.  Start with `encode`, `decode` and `round_to`; README.md has an
example of each public function.
"""

import importlib as _importlib
import sys as _sys
import typing as _typing

from ._version import __version__ as __version__

if _typing.TYPE_CHECKING:
    from ._array.arithmetic import add, divide, fma, multiply, sqrt, subtract
    from ._array.array import CFloatArray
    from ._array.creation import array, asarray, empty, full, ones, zeros
    from ._array.neighbours import nextafter, spacing
    from ._bias.choose import choose_bias
    from ._bias.histogram import CodeUse
    from ._bias.round_to import round_to
    from ._bias.tracker import BiasTracker
    from ._compensate.round_compensated import CompensationStats, round_compensated
    from ._compensate.second_moments import SecondMoment
    from ._convert.elementwise import decode, encode
    from ._core.finfo import finfo
    from ._core.flags import Flags, errstate, record_flags
    from ._core.format import Format
    from ._core.isa import isa
    from ._core.presets import (
        COMPARISON_FORMATS,
        TESLA_FORMATS,
        CFloat8_1_4_3,
        CFloat8_1_5_2,
        CFloat16_SHP,
        CFloat16_UHP,
        bfloat16,
        float4_e2m1fn,
        float6_e2m3fn,
        float6_e3m2fn,
        float8_e3m4,
        float8_e4m3,
        float8_e4m3b11fnuz,
        float8_e4m3fn,
        float8_e4m3fnuz,
        float8_e5m2,
        float8_e5m2fnuz,
        float8_e8m0fnu,
        float16,
        format,  # noqa: A004 - what it gives
    )
    from ._core.rounding import ROUNDING_MODES
    from ._core.threads import get_num_threads, set_num_threads
    from ._files.checkpoint import Checkpoint, load
    from ._files.save import save
    from ._matmul.matmul import matmul
    from ._metrics.error import ErrorStats, error
    from ._metrics.matmul_error import MatmulStats, matmul_error
    from ._metrics.theory import theoretical_sqnr_db
    from ._report.carried_tensors import carried_tensors
    from ._report.compression_plan import CompressionPlan, PlannedTensor
    from ._report.conclusion import (
        Conclusion,
        Configuration,
        DenormalCost,
        IntegerCount,
        ModelSummary,
        PlanCost,
        SchemeCost,
    )
    from ._report.plan import plan
    from ._report.records import (
        BiasCurve,
        Granularity,
        MatmulRow,
        ReportRow,
        SubnormalCost,
        SubnormalRow,
        TensorSummary,
        Window,
    )
    from ._report.report import Report, report
    from ._report.schemes import Comparison
    from ._report.sensitivity import Sensitivity
    from ._report.stored_model import StoredModel, StoredTensor
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

# Each public name is imported when it is first asked for, with what it needs: a program that converts does
# not wait for what reads files or makes reports, and what the core has to say of a wrong CFLOAT_ISA is said
# to who uses it.  The table repeats the imports above, which type checkers read; a test compares the two.
_HOMES: _typing.Final = {
    name: module
    for module, names in {
        "_array.arithmetic": "add divide fma multiply sqrt subtract",
        "_array.array": "CFloatArray",
        "_array.creation": "array asarray empty full ones zeros",
        "_array.neighbours": "nextafter spacing",
        "_bias.choose": "choose_bias",
        "_bias.histogram": "CodeUse",
        "_bias.round_to": "round_to",
        "_bias.tracker": "BiasTracker",
        "_compensate.round_compensated": "CompensationStats round_compensated",
        "_compensate.second_moments": "SecondMoment",
        "_convert.elementwise": "decode encode",
        "_core.finfo": "finfo",
        "_core.flags": "Flags errstate record_flags",
        "_core.format": "Format",
        "_core.isa": "isa",
        "_core.presets": (
            "CFloat16_SHP CFloat16_UHP CFloat8_1_4_3 CFloat8_1_5_2 COMPARISON_FORMATS "
            "TESLA_FORMATS bfloat16 float16 float4_e2m1fn float6_e2m3fn float6_e3m2fn float8_e3m4 "
            "float8_e4m3 float8_e4m3b11fnuz float8_e4m3fn float8_e4m3fnuz float8_e5m2 "
            "float8_e5m2fnuz float8_e8m0fnu format"
        ),
        "_core.rounding": "ROUNDING_MODES",
        "_core.threads": "get_num_threads set_num_threads",
        "_files.checkpoint": "Checkpoint load",
        "_files.save": "save",
        "_matmul.matmul": "matmul",
        "_metrics.error": "ErrorStats error",
        "_metrics.matmul_error": "MatmulStats matmul_error",
        "_metrics.theory": "theoretical_sqnr_db",
        "_report.schemes": "Comparison",
        "_report.carried_tensors": "carried_tensors",
        "_report.compression_plan": "CompressionPlan PlannedTensor",
        "_report.conclusion": (
            "Conclusion Configuration DenormalCost IntegerCount ModelSummary PlanCost SchemeCost"
        ),
        "_report.plan": "plan",
        "_report.records": (
            "BiasCurve SubnormalCost SubnormalRow Granularity MatmulRow ReportRow TensorSummary "
            "Window"
        ),
        "_report.report": "Report report",
        "_report.stored_model": "StoredModel StoredTensor",
        "_report.sensitivity": "Sensitivity",
        "errors": (
            "ArgumentTypeError ArgumentValueError CFloatError ClusterError FileError FlagError "
            "FlagWarning FormatError MissingExtraError"
        ),
    }.items()
    for name in names.split()
}

__all__ = [
    "COMPARISON_FORMATS",
    "ROUNDING_MODES",
    "TESLA_FORMATS",
    "ArgumentTypeError",
    "ArgumentValueError",
    "BiasCurve",
    "BiasTracker",
    "CFloat8_1_4_3",
    "CFloat8_1_5_2",
    "CFloat16_SHP",
    "CFloat16_UHP",
    "CFloatArray",
    "CFloatError",
    "Checkpoint",
    "ClusterError",
    "CodeUse",
    "Comparison",
    "CompensationStats",
    "CompressionPlan",
    "Conclusion",
    "Configuration",
    "DenormalCost",
    "ErrorStats",
    "FileError",
    "FlagError",
    "FlagWarning",
    "Flags",
    "Format",
    "FormatError",
    "Granularity",
    "IntegerCount",
    "MatmulRow",
    "MatmulStats",
    "MissingExtraError",
    "ModelSummary",
    "PlanCost",
    "PlannedTensor",
    "Report",
    "ReportRow",
    "SchemeCost",
    "SecondMoment",
    "Sensitivity",
    "StoredModel",
    "StoredTensor",
    "SubnormalCost",
    "SubnormalRow",
    "TensorSummary",
    "Window",
    "add",
    "array",
    "asarray",
    "bfloat16",
    "carried_tensors",
    "choose_bias",
    "decode",
    "divide",
    "empty",
    "encode",
    "error",
    "errstate",
    "finfo",
    "float4_e2m1fn",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float16",
    "fma",
    "format",
    "full",
    "get_num_threads",
    "isa",
    "load",
    "matmul",
    "matmul_error",
    "multiply",
    "nextafter",
    "ones",
    "plan",
    "record_flags",
    "report",
    "round_compensated",
    "round_to",
    "save",
    "set_num_threads",
    "spacing",
    "sqrt",
    "subtract",
    "theoretical_sqnr_db",
    "zeros",
]


def __getattr__(name: str) -> _typing.Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home.startswith("_"):
        # of a submodule that is loaded, its package would not be asked again what is wrong
        _importlib.import_module(f"{__name__}._core")
    module = _importlib.import_module(f"{__name__}.{home}")
    if f"{__name__}._array" in _sys.modules:
        # who has arrays multiplies them by `matmul`, which registers itself with them
        _importlib.import_module(f"{__name__}._matmul")
    found = globals()[name] = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
