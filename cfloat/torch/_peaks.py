"""The largest magnitudes of a tensor, and the biases that go with them, in PyTorch's own operators.

`cfloat._bias` has the same of arrays and numbers.  Training can use neither: these here are traced by
``torch.compile``, and wait for no device.  Tests compare the two.
"""

import torch
from torch import Tensor

from cfloat._bias.bias_methods import PeakRule
from cfloat._bias.peak import unbounded_bias
from cfloat._core.format import Format

from . import _direct
from ._layout import BiasLayout

# more than there are between any two magnitudes
_MOST_BINADES = 1 << 20
# elements of which one thread finds the largest sooner than PyTorch starts its operators
_FEW = 1 << 15


def largest_magnitude(x: Tensor) -> Tensor:
    """Give the largest finite magnitude as float64 of shape (); 0 if there is none."""
    if x.numel() == 0:
        return x.new_zeros((), dtype=torch.float64)
    if x.numel() <= _FEW and _direct.reads(x):
        return torch.tensor(_direct.largest_magnitude(x), dtype=torch.float64, device="cpu")
    return _finite_magnitudes(x).amax().double()


def largest_magnitudes(x: Tensor, layout: BiasLayout) -> Tensor:
    """Give the largest finite magnitude of what shares a bias, as float64; 0 where there is none."""
    if layout.is_one:
        return largest_magnitude(x)
    if x.numel() == 0:
        return x.new_zeros(layout.shape_of(x.shape), dtype=torch.float64)
    return layout.maxima(_finite_magnitudes(x)).double()


def _finite_magnitudes(x: Tensor) -> Tensor:
    """Give magnitudes, and 0 for what is not finite."""
    magnitudes = x.detach().abs()
    if torch.compiler.is_compiling():  # of nan_to_num a compiled loop has no vector instructions
        return torch.where(magnitudes < torch.inf, magnitudes, 0)
    return magnitudes.nan_to_num(nan=0.0, posinf=0.0)


def bias_of_peak(peak: Tensor, fmt: Format, rule: PeakRule = "max", margin: int = 0) -> Tensor:
    """Give the biases that follow from magnitudes by a rule, within a format's range; for 0 the default.

    Parameters
    ----------
    peak : Tensor of float64
        Finite magnitudes.
    fmt : Format
        The format.
    rule : {"max", "mx"}, default "max"
        As in `cfloat.BiasTracker`.
    margin : int, default 0
        How many binades are kept free above it.

    Returns
    -------
    Tensor of int64
        Of the shape of `peak`.
    """
    low, high = fmt.bias_range
    fraction = ((peak.view(torch.int64) & (2**52 - 1)) | (1022 << 52)).view(torch.float64)
    bias = unbounded_bias(fraction, frexp_exponent(peak), fmt, rule)
    # a larger margin comes to the same, and takes what int64 has not
    bias = (bias - min(margin, _MOST_BINADES)).clamp(low, high)
    return torch.where(peak == 0, fmt.default_bias, bias)


def frexp_exponent(magnitude: Tensor) -> Tensor:
    """Give the exponent that `math.frexp` gives, of a float64 magnitude, as int64; of 0 something small."""
    return (magnitude.view(torch.int64) >> 52) - 1022
