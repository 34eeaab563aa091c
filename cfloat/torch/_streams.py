"""Random streams of their own for the parts of a model or an optimizer that share one seed."""

from cfloat import _native


def derived_seed(seed: int, part: int) -> int:
    """Return the seed of one of a seed's parts: the first words of Philox4x32-10 at a counter of that part.

    No stream of SPEC section 3 uses these words: their counters are below 2**62.

    Examples
    --------
    >>> derived_seed(1, 0), derived_seed(1, 1)
    (2162981848819166785, 12205680796426332004)
    """
    low, high, _, _ = _native.philox4x32_10(
        (part % 2**32, part >> 32, 0, 1), (seed % 2**32, seed >> 32)
    )
    return low + (high << 32)


def signed(word: int) -> int:
    """Return the int64 that stands for a word modulo 2**64."""
    return word - (word >> 63 << 64)
