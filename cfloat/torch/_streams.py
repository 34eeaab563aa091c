"""Random streams of their own for the parts of a model or an optimizer that share one seed."""

from functools import lru_cache

import torch
from torch import Tensor

from cfloat._core import binding


def no_stream() -> Tensor:
    """Give zeros, which stand for a stream where no word is drawn: int64 of shape (2,)."""
    return torch.zeros(2, dtype=torch.int64, device="cpu")


def drawn_seed() -> Tensor:
    """Return a seed of PyTorch's default generator, modulo 2**64: int64 of shape ()."""
    return torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device="cpu")


@lru_cache(maxsize=1 << 13)
def derived_seed(seed: int, part: int) -> int:
    """Return the seed of one of a seed's parts: the first words of Philox4x32-10 at a counter of that part.

    No stream of docs/spec.md 3.14 uses these words: their counters are below 2**62.

    Examples
    --------
    >>> derived_seed(1, 0), derived_seed(1, 1)
    (2162981848819166785, 12205680796426332004)
    """
    low, high, _, _ = binding.philox4x32_10(
        (part % 2**32, part >> 32, 0, 1), (seed % 2**32, seed >> 32)
    )
    return low + (high << 32)


def signed(word: int) -> int:
    """Return the int64 that stands for a word modulo 2**64."""
    return word - (word >> 63 << 64)
