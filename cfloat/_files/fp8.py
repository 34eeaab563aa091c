"""8-bit floats beside scales, as compressed-tensors stores them, and the CFloat8 tensors that they are.

A CFloat8_1_4_3 tensor with ieee denormals at bias b has the codes of OCP's E4M3 at scale 2**(7 - b), except
for 0x7F and 0xFF, which are NaN there.  A CFloat8_1_5_2 tensor has those of E5M2 at 2**(15 - b), except for
exponents of all ones, which are infinities and NaN.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cfloat._array.array import CFloatArray
from cfloat._convert.elementwise import decode, encode
from cfloat._core.flags import no_flags
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, CFloat8_1_5_2, float8_e4m3fn, float8_e5m2

from .reader import MAX_HEADER, Entry, parse_json

Array = NDArray[Any]

#: What is put behind a tensor's name to name that of its scales.
SCALE_SUFFIX: Final = "_scale"

#: The OCP formats, and the Tesla formats whose codes they share.
PAIRS: Final = {
    float8_e4m3fn: CFloat8_1_4_3.replace(subnormals="ieee"),
    float8_e5m2: CFloat8_1_5_2.replace(subnormals="ieee"),
}

_FP8 = ("F8_E4M3", "F8_E5M2")


def stored_format(fmt: Format) -> Format | None:
    """Return the OCP format that stores a CFloat8 format's codes, whatever its denormals; None for others."""
    for ocp, tesla in PAIRS.items():
        if fmt.replace(subnormals="ieee") == tesla:
            return ocp
    return None


def reachable(fmt: Format) -> Format:
    """Return the format of those values of a CFloat8 format that the OCP format has, too.

    Its largest value is what a bias is to be chosen for.
    """
    ocp = stored_format(fmt)
    assert ocp is not None
    return fmt.replace(
        subnormals="ieee", nonfinite=ocp.nonfinite, saturating=True, bias=fmt.bias_range
    )


def recoded(fmt: Format) -> NDArray[np.uint8]:
    """Return the OCP code for every code of a CFloat8 format: of the nearest finite value, at any bias."""
    ocp = stored_format(fmt)
    assert ocp is not None
    limited = reachable(fmt)
    values = fmt.values(fmt.default_bias)
    with no_flags():
        return encode(values, limited, fmt.default_bias)


def scale_of(fmt: Format, bias: Any) -> Array:
    """Return the scales, as float32, that biases stand for."""
    ocp = stored_format(fmt)
    assert ocp is not None
    return np.ldexp(np.float32(1), ocp.default_bias - np.asarray(bias, np.int32))


def scales(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return the tensors that are 8-bit floats with scales of a known shape, and those scales."""
    found = {}
    for name, entry in entries.items():
        scale = entries.get(name + SCALE_SUFFIX)
        if entry.dtype not in _FP8 or scale is None or scale.dtype not in ("F32", "BF16", "F16"):
            continue
        rows = bool(entry.shape) and scale.shape == (entry.shape[0],) + (1,) * (
            len(entry.shape) - 1
        )
        if scale.shape in ((), (1,)) or rows:
            found[name] = name + SCALE_SUFFIX
    return found


def restored(codes: Array, ocp: Format, scale: Array) -> CFloatArray | Array:
    """Return what codes and scales stand for: a CFloatArray if there is one, or values of float32."""
    tesla = PAIRS[ocp]
    wide = scale.astype(np.float64)
    mantissa, exponent = np.frexp(wide)
    bias = ocp.default_bias + 1 - exponent
    low, high = tesla.bias_range
    fits = np.all(mantissa == 0.5) and np.all((low <= bias) & (bias <= high))
    if fits and not _any_nonfinite(codes, ocp):
        if scale.size == 1:
            return CFloatArray(codes, tesla, int(bias.reshape(-1)[0]))
        return CFloatArray(codes, tesla, bias.reshape(-1), axis=0)
    with no_flags():
        values = decode(codes, ocp)
    factor = scale.astype(np.float32)
    with np.errstate(all="ignore"):
        # in place: one of these is as large as four of the codes
        values *= factor.reshape(()) if scale.size == 1 else factor
    return values


def _any_nonfinite(codes: Array, ocp: Format) -> bool:
    bad = ~np.isfinite(ocp.values())
    return bool(bad[codes].any())


def configuration(strategy: str, ignored: list[str]) -> dict[str, Any]:
    """Return the ``quantization_config`` of compressed-tensors' format ``float-quantized``.

    Parameters
    ----------
    strategy : {"tensor", "channel"}
        Whether there is one scale a tensor, or one a row.
    ignored : list of str
        Linear modules that are not quantized.
    """
    weights = {
        "num_bits": 8,
        "type": "float",
        "symmetric": True,
        "strategy": strategy,
        "dynamic": False,
        "group_size": None,
        "block_structure": None,
        "actorder": None,
        "observer": "minmax",
        "observer_kwargs": {},
    }
    group = {
        "targets": ["Linear"],
        "weights": weights,
        "input_activations": None,
        "output_activations": None,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "float-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": ignored,
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }


def read_configuration(path: Path) -> dict[str, Any]:
    """Return a model's config.json; ValueError if it is none."""
    with path.open("rb") as stream:
        text = stream.read(MAX_HEADER + 1)
    value = parse_json(text) if len(text) <= MAX_HEADER else None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object, or too long a one")
    return value
