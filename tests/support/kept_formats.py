"""Formats of every kind, for what is done on their codes: each place of NaN, each reading, each width."""

import cfloat as cf


def _made(name, exponent_bits, mantissa_bits, **how):
    return cf.Format(name, exponent_bits=exponent_bits, mantissa_bits=mantissa_bits, **how)


FORMATS = (
    *cf.TESLA_FORMATS,
    *cf.COMPARISON_FORMATS,
    *(fmt.replace(subnormals=r) for fmt in cf.TESLA_FORMATS[:3] for r in ("ieee", "flush")),
    _made("fp4", 2, 1),
    _made("fp6", 3, 2, nonfinite="ieee", subnormals="flush"),
    _made("fp12", 5, 6, nonfinite="nan_only"),
    _made("e4m3fnuz", 4, 3, bias=8, nonfinite="fnuz"),
    _made("e5m2fnuz", 5, 2, bias=16, nonfinite="fnuz"),
    _made("fnuz12", 4, 7, nonfinite="fnuz", subnormals="whitepaper"),
    _made("p3109_8p3se", 5, 2, bias=16, nonfinite="p3109"),
    _made("p3109_6p3ue", 4, 2, bias=8, signed=False, nonfinite="p3109"),
    _made("p3109_16", 6, 9, nonfinite="p3109"),
    _made("unsigned5", 3, 2, signed=False),
    _made("e8m0", 8, 0, signed=False, bias=127, nonfinite="nan_only", subnormals="normal"),
    _made("signed_e3m1", 3, 1, subnormals="normal"),
)


def label(fmt):
    return f"{fmt.name}-{fmt.subnormals}"
