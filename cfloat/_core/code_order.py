"""How the codes of a format follow each other: their signs, neighbours, and order as integers.

But for the sign, a larger code is a larger magnitude, up to infinity.
"""

from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from . import binding, flags
from .format import Format

Codes = NDArray[Any]
Mask = NDArray[np.bool_] | np.bool_

#: So many codes are few: what NumPy does is done at once.
_FEW: Final = 1 << 12

_SIGNED: Final[dict[int, np.dtype[Any]]] = {1: np.dtype(np.int8), 2: np.dtype(np.int16)}


class CodeOrder:
    """The order of a format's codes.  All functions of codes take native, valid ones of the format.

    Attributes
    ----------
    sign : numpy.uint8 or numpy.uint16
        The sign bit, 0 if there is none.
    magnitude : same
        All other bits of a code.
    least : same
        The code of the smallest positive value; smaller ones read as zero.
    largest : same
        The code of the largest finite value.
    top : same
        The code of infinity if there is one, or else of the largest value; magnitudes above are NaN.
    has_zero, has_nan : bool
        Whether the format has a zero, and NaN.
    minus_zero_is_nan : bool
        Whether the code of -0 is NaN, as in the *fnuz* formats: then 0 and NaN have no sign.
    """

    def __init__(self, fmt: Format) -> None:
        self._format = fmt
        self._dtype = fmt.storage_dtype.type
        sign = 1 << (fmt.bits - 1) if fmt.signed else 0
        self.sign = self._dtype(sign)
        self.magnitude = self._dtype((1 << fmt.bits) - 1 - sign)
        self.minus_zero_is_nan = fmt._no_negative_zero
        self.has_zero, self.has_nan = fmt._has_zero, fmt._has_nan
        least = 1 << fmt.mantissa_bits if fmt.subnormals == "flush" else 1
        self.least = self._dtype(least if self.has_zero else 0)
        self.largest = self._dtype(fmt._max_code)
        self.top = self._dtype(fmt._max_code + fmt._has_infinity)

    @cached_property
    def nan(self) -> Any:
        """What NaN is encoded as: the canonical NaN, or the largest value of a format without one."""
        code = np.empty(1, self._dtype)
        _convert(self._format, np.array([np.nan], np.float32), code, encode=True)
        return code[0]

    # The sign bit

    def negated(self, codes: Codes, out: Codes | None = None) -> Any:
        """Change the signs of a signed format's codes, and nothing else."""
        if not self.minus_zero_is_nan:
            return np.bitwise_xor(codes, self.sign, out=out)
        return np.bitwise_xor(codes, self._sign_where(codes, True), out=out)

    def absolute(self, codes: Codes, out: Codes | None = None) -> Any:
        """Clear the signs of codes, and change nothing else."""
        if not self.minus_zero_is_nan:
            return np.bitwise_and(codes, self.magnitude, out=out)
        return np.bitwise_xor(codes, self._sign_where(codes, codes > self.sign), out=out)

    def with_signs(self, codes: Codes, negative: Mask) -> Any:
        """Give a signed format's codes with other signs; the shapes broadcast."""
        if not self.minus_zero_is_nan:
            return np.bitwise_or(codes & self.magnitude, negative * self.sign)
        return codes ^ self._sign_where(codes, (codes > self.sign) != negative)

    def _sign_where(self, codes: Codes, wanted: Mask | bool) -> Any:
        """Give the sign bit where it is wanted, and can be changed: NaN and 0 stay as they are."""
        changed = ((codes & self.magnitude) != 0) & wanted
        return np.asarray(changed * self.sign)

    def are_negative(self, codes: Codes) -> Any:
        """Tell which codes have a sign that is set."""
        return codes > self.sign if self.minus_zero_is_nan else (codes & self.sign) != 0

    # Order

    def are_nan(self, codes: Codes) -> Any:
        """Tell which codes are NaN."""
        nan = (codes & self.magnitude) > self.top
        return nan | (codes == self.sign) if self.minus_zero_is_nan else nan

    def keys(self, codes: Codes) -> Any:
        """Give integers that are in the order of the values, -0 below 0; of NaN, any."""
        if not self._format.signed:
            return codes
        signed = _SIGNED[codes.itemsize]
        bits = 8 * codes.itemsize
        shift = bits - self._format.bits
        keys = (codes << self._dtype(shift) if shift else codes).view(signed)
        return keys ^ ((keys >> signed.type(bits - 1)) & signed.type(2 ** (bits - 1) - 1))

    def of_keys(self, keys: Codes) -> Any:
        """Give the codes of such integers."""
        if not self._format.signed:
            return keys
        bits = 8 * keys.itemsize
        codes = (keys ^ ((keys >> (bits - 1)) & keys.dtype.type(2 ** (bits - 1) - 1))).view(
            self._dtype
        )
        shift = bits - self._format.bits
        return codes >> self._dtype(shift) if shift else codes

    @cached_property
    def ranks_nan_first(self) -> tuple[Codes, Codes]:
        """For each code its place in order, NaN before all numbers; and for each place the code.

        -0 is before 0, and all NaNs are in one place, that of the canonical one.
        """
        return self._ranks(0)

    @cached_property
    def ranks_nan_last(self) -> tuple[Codes, Codes]:
        """The same with NaN behind all numbers."""
        return self._ranks(1)

    def _ranks(self, of_nan: int) -> tuple[Codes, Codes]:
        codes = self._every_code
        nan = self.are_nan(codes)
        numbers = codes[~nan]
        numbers = numbers[np.argsort(self.keys(numbers))]
        parts = [numbers, np.array([self.nan] if self.has_nan else [], self._dtype)]
        in_order = np.concatenate(parts if of_nan else parts[::-1])
        ranks = np.empty(codes.size, self._dtype)
        ranks[in_order] = np.arange(in_order.size)
        ranks[nan] = ranks[self.nan]
        return _padded(ranks), _padded(in_order)

    @cached_property
    def _every_code(self) -> Codes:
        return np.arange(1 << self._format.bits, dtype=self._dtype)

    @cached_property
    def next_up(self) -> Codes:
        """For each code the next larger, as `next` gives it."""
        return _padded(self.next(self._every_code, np.bool_(True)))

    @cached_property
    def next_down(self) -> Codes:
        """For each code the next smaller."""
        return _padded(self.next(self._every_code, np.bool_(False)))

    # Neighbours

    def next(self, codes: Codes, up: Mask) -> Any:
        """Give the codes of the next larger or smaller values; NaN stays, and so does what has no next.

        Parameters
        ----------
        codes : ndarray
            Codes.
        up : ndarray of bool or bool
            Whether the larger value is asked for; broadcasts with the codes.

        Returns
        -------
        ndarray
            The shape to which both broadcast.
        """
        magnitude = codes & self.magnitude
        nan = self.are_nan(codes)
        if not self._format.signed:
            return np.where(up, self._away(magnitude), self._toward_zero(magnitude))
        negative = self.are_negative(codes)
        zero = magnitude < self.least if self.has_zero else np.False_
        away = zero | (negative != up)
        found = np.where(away, self._away(magnitude), self._toward_zero(magnitude))
        minus = np.where(zero, ~np.asarray(up), negative)
        if not self.has_zero:  # from the smallest value of one sign to that of the other
            minus = minus ^ (~away & (magnitude == self.least))
        if self.minus_zero_is_nan:
            minus &= found != 0
        return np.where(nan, codes, found | minus * self.sign)

    def _away(self, magnitude: Codes) -> Any:
        """Give the codes of the next larger magnitudes."""
        next_one = magnitude + (magnitude < self.top)
        return np.maximum(next_one, self.least) if self.has_zero else next_one

    def _toward_zero(self, magnitude: Codes) -> Any:
        """Give the codes of the next smaller magnitudes; what is below all stays."""
        if not self.has_zero:
            return magnitude - ((magnitude > self.least) & (magnitude <= self.top))
        kept = magnitude > self.top
        return np.where(magnitude <= self.least, self._dtype(0), magnitude - ~kept)

    def gap(self, codes: Codes) -> tuple[Codes, Codes, NDArray[np.bool_]]:
        """Give the codes of two values whose distance is a value's spacing, and which values have none.

        They are its magnitude and the next larger, but of the largest value it is that and the next smaller.
        """
        magnitude = codes & self.magnitude
        none = self.are_nan(codes) | (magnitude > self.largest)
        low = np.minimum(magnitude, self.largest - self._dtype(1))
        if self.has_zero:
            low = np.where(low < self.least, self._dtype(0), low)
            return low, np.maximum(low + self._dtype(1), self.least), none
        return low, low + self._dtype(1), none


def is_looked_up(codes: Codes) -> bool:
    """Whether functions of codes are looked up: of few, or of bytes, at which the core is fast."""
    return codes.itemsize == 1 or codes.size < _FEW


def looked_up(table: NDArray[Any], codes: Codes) -> NDArray[Any]:
    """Look codes up in a table of 256 results, or of all codes that there are."""
    if codes.size < _FEW or codes.itemsize > 1 or table.itemsize > 8:
        return np.asarray(table.take(codes))
    codes = np.ascontiguousarray(codes)
    found = np.empty(codes.shape, table.dtype)
    binding.map_codes(table, codes, found)
    return found


def _padded(table: Codes) -> Codes:
    """Make a table one of 256 entries at least; those that are added are not looked up."""
    return np.concatenate([table, np.zeros(max(256 - table.size, 0), table.dtype)])


def _convert(fmt: Format, source: Codes, destination: Codes, *, encode: bool) -> None:
    with flags.no_flags():
        binding.convert(
            fmt._struct, fmt.default_bias, source, destination, encode=encode, decode=not encode, fresh=True,
        )  # fmt: skip


@lru_cache(maxsize=256)
def code_order(fmt: Format) -> CodeOrder:
    """Give the order of a format's codes."""
    return CodeOrder(fmt)
