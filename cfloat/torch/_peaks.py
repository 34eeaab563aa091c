"""The largest magnitude of a tensor, and the bias that goes with it, in PyTorch's own operators.

`cfloat._bias` has the same of arrays and numbers.  Training can use neither: these here are traced by
``torch.compile``, and wait for no device.  Tests compare the two.
"""

import torch
from torch import Tensor

from cfloat._bias.bias_methods import PeakRule
from cfloat._bias.peak import unbounded_bias
from cfloat._core.format import Format

# more than there are between any two magnitudes
_MOST_BINADES = 1 << 20


def largest_magnitude(x: Tensor) -> Tensor:
    """Give the largest finite magnitude as float64 of shape (); 0 if there is none."""
    if x.numel() == 0:
        return x.new_zeros((), dtype=torch.float64)
    return x.detach().abs().nan_to_num(nan=0.0, posinf=0.0).amax().double()


def bias_of_peak(peak: Tensor, fmt: Format, rule: PeakRule = "max", margin: int = 0) -> Tensor:
    """Give the bias that follows from a magnitude by a rule, within a format's range; for 0 the default.

    Parameters
    ----------
    peak : Tensor of float64, shape ()
        A finite magnitude.
    fmt : Format
        The format.
    rule : {"max", "mx"}, default "max"
        As in `cfloat.BiasTracker`.
    margin : int, default 0
        How many binades are kept free above it.

    Returns
    -------
    Tensor of int64, shape ()
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
