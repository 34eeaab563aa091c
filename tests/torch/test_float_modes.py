"""The caller's floating-point modes change no bit of what is rounded on the CPU."""

import numpy as np
import pytest
from float_modes import each_mode, same_in_mode

torch = pytest.importorskip("torch")

import cfloat as cf  # noqa: E402
import cfloat.torch as cft  # noqa: E402

_TINY = np.random.default_rng(1).integers(0, 1 << 24, 5000, np.uint32).view(np.float32)
_WIDE = (np.random.default_rng(2).standard_normal(5000) * 1e-3).astype(np.float32)


def tensors():
    for x in (_TINY, _WIDE):
        yield torch.from_numpy(x.copy())
        yield torch.from_numpy((x.view(np.uint32) >> 16).astype(np.uint16)).view(torch.bfloat16)


def found():
    results = []
    for x in tensors():
        for fmt in (cf.bfloat16, cf.CFloat8_1_4_3):
            for rounding in ("ties_to_even", "toward_positive", "stochastic"):
                how = {"rounding": rounding} | ({"seed": 3} if rounding == "stochastic" else {})
                codes = cft.encode(x, fmt, **how)
                rounded = cft.round_to(x, fmt, **how)
                values = cft.decode(codes, fmt)
                results += [codes.numpy(), rounded.view(torch.uint8).numpy(), values.numpy()]
            results.append(cft.asarray(x, fmt, "max" if fmt == cf.CFloat8_1_4_3 else None))
            results.append(cft.to_torch(results[-1], torch.float16).numpy())
        results.append(cft.round_to(x, cf.CFloat8_1_4_3, "mse").view(torch.uint8).numpy())
    return results


@each_mode
def test_conversions(mode):
    same_in_mode(mode, found)
