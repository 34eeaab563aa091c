"""IEEE P3109's formats, by their names."""

import re
from typing import Final

from cfloat.errors import FormatError

from .format import MAX_BITS, Format, Nonfinite

#: How the names are made, for messages and for help.
NAMES: Final = "binary{K}p{P}{s|u}{e|f}"

_NAME: Final = re.compile(r"binary([1-9][0-9]?)p([1-9][0-9]?)([su])([ef])")
_LEAST_BITS: Final = 3

# float32's own; the bias is in the middle of the exponents, so that a wider field reaches beyond float32's
_MOST_EXPONENT_BITS: Final = 8

_REFUSED: Final = (
    "binary9p1u{e,f}, binary10p1{s,u}{e,f}, binary10p2u{e,f}, and of 11 to 16 bits those whose P is at "
    "most K - 9 if signed, K - 8 if unsigned"
)


# every format that was asked for: some hundred at most.  A dict, and not functools.lru_cache, about which
# torch.compile warns in every graph that looks a name up
_MADE: Final[dict[str, Format]] = {}


def p3109_format(name: str) -> Format | None:
    """Make the format that P3109 gives a name, in lower case; None if it gives none that name.

    K is the number of bits, and P that of the precision, the implicit bit included; s is signed and u
    unsigned; e is extended, with infinities, and f finite.

    Raises
    ------
    FormatError
        If the format has values beyond float32's range.

    Examples
    --------
    >>> fmt = p3109_format("binary8p3se")
    >>> fmt.exponent_bits, fmt.mantissa_bits, fmt.bias_range
    (5, 2, (16, 16))
    """
    made = _MADE.get(name)
    if made is None:
        made = _format_of(name)
        if made is not None:
            made = _MADE.setdefault(name, made)
    return made


def _format_of(name: str) -> Format | None:
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    bits, precision = int(found[1]), int(found[2])
    signed, extended = found[3] == "s", found[4] == "e"
    exponent_bits = bits - precision + (0 if signed else 1)
    if not _LEAST_BITS <= bits <= MAX_BITS or exponent_bits < 1:
        return None
    if exponent_bits > _MOST_EXPONENT_BITS:
        raise FormatError(
            f"{name} has values beyond float32's range, as have, in all, {_REFUSED}; every value must be a "
            "float32"
        )
    finite: Nonfinite = "fnuz" if signed else "nan_only"
    return Format(
        name, exponent_bits=exponent_bits, mantissa_bits=precision - 1, signed=signed,
        bias=1 << (exponent_bits - 1), nonfinite="p3109" if extended else finite,
    )  # fmt: skip
