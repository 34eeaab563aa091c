"""A format as data: the type `Format` (docs/spec.md 1 and 2)."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, get_args

import numpy as np

from cfloat.errors import ArgumentTypeError, ArgumentValueError, FormatError

from . import binding
from .arguments import check_bool, check_choice, integer
from .public_names import public
from .text import shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Nonfinite = Literal["none", "ieee", "nan_only", "fnuz", "p3109"]
Subnormals = Literal["whitepaper", "ieee", "flush", "normal"]

MAX_BITS = 16

# What is one bias, right or wrong, and not an array of them.
_SCALARS = (int, np.integer, str, float, complex)

# float32's range: every value is below 2**128 and a multiple of 2**-149.
_FLOAT32_MAX_EXPONENT = 127
_FLOAT32_MIN_QUANTUM = -149


@public
@dataclass(frozen=True, init=False, repr=False)
class Format:
    """A floating-point format of at most 16 bits.

    A format says how a *code* (the stored integer) stands for a *value*.  From the most significant
    bit, a code holds the sign (if any), the exponent field E and the mantissa field M; with m mantissa
    bits and a bias b the value of a normal number is ±2**(E - b) * (1 + M / 2**m).  The bias is not a
    part of the code, and for most formats it is chosen when a tensor is converted.

    Parameters
    ----------
    name : str
        What the format is called in reports and files.
    exponent_bits : int
        Width of the exponent field, at least 1.
    mantissa_bits : int
        Width of the mantissa field as stored, without the implicit bit; may be 0.
    signed : bool, default True
        Whether there is a sign bit.
    bias : int or (int, int), optional
        The exponent bias, if it is fixed, or the smallest and largest bias that may be chosen.  By
        default it is fixed at IEEE 754's ``2**(exponent_bits - 1) - 1``.
    default_bias : int, optional
        The bias that ``bias=None`` stands for everywhere; by default the fixed one, or IEEE 754's if
        the range has it, or else the smallest.
    nonfinite : {"none", "ieee", "nan_only", "fnuz", "p3109"}, default "none"
        "none": every code is a finite number.  "ieee": exponent all ones is infinity (M = 0) and NaN.
        "nan_only": only exponent and mantissa all ones is NaN, and there is no infinity.  "fnuz": the
        code of -0 is NaN, and there is neither infinity nor -0; signed formats alone.  "p3109": IEEE
        P3109's extended formats, where NaN has the code of -0, and infinity the last code of its sign;
        unsigned, NaN has the last code and infinity the one before.  P3109's finite formats are "fnuz"
        if signed, and "nan_only" if not.
    subnormals : {"ieee", "whitepaper", "flush", "normal"}, default "ieee"
        What E = 0 with M ≠ 0 means: M / 2**m times 2**(1 - b) ("ieee", evenly spaced down to zero) or
        times 2**-b ("whitepaper", as the Dojo whitepaper prints it, which leaves a hole below the
        smallest normal number), or zero ("flush").  "normal": E = 0 is an exponent like any other, so
        that there is no zero.  A zero then becomes NaN if there is one, and else the smallest value of
        its sign; what is smaller than that becomes it, too.
    saturating : bool, optional
        Whether a magnitude too large becomes the largest finite value, infinity included.  By default
        true if there are no non-finite codes (it must be then), and false otherwise.

    Attributes
    ----------
    name, exponent_bits, mantissa_bits, signed, nonfinite, subnormals, saturating, default_bias
        As given, or as they follow.
    bias_range : (int, int)
        The smallest and largest bias: `bias` as a pair.
    bits : int
        Width of a code in bits.
    storage_dtype : numpy.dtype
        uint8 or uint16: what codes are stored in.

    Raises
    ------
    FormatError
        If no such format can exist, or if some value at some bias would not be a float32: every value
        of every format is exactly a float32, the type in which results are computed.
    ArgumentTypeError
        If an argument is not of the type above.

    See Also
    --------
    finfo : The limits of a format at a bias.

    Examples
    --------
    >>> import cfloat as cf
    >>> cf.CFloat8_1_4_3.bits, cf.CFloat8_1_4_3.default_bias, cf.CFloat8_1_4_3.bias_range
    (8, 7, (0, 63))
    >>> fp6 = cf.Format("fp6_e3m2", exponent_bits=3, mantissa_bits=2)
    >>> cf.finfo(fp6).max
    28.0
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    signed: bool
    bias_range: tuple[int, int]
    default_bias: int
    nonfinite: Nonfinite
    subnormals: Subnormals
    saturating: bool

    def __init__(
        self,
        name: str,
        *,
        exponent_bits: int,
        mantissa_bits: int,
        signed: bool = True,
        bias: int | tuple[int, int] | None = None,
        default_bias: int | None = None,
        nonfinite: Nonfinite = "none",
        subnormals: Subnormals = "ieee",
        saturating: bool | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise ArgumentTypeError(f"name is a {type(name).__name__}; it takes a str")
        if not name.isprintable() or not name:
            raise FormatError(f"name is {shown(name)}; it takes printable characters, at least one")
        exponent_bits = integer("exponent_bits", exponent_bits)
        mantissa_bits = integer("mantissa_bits", mantissa_bits)
        check_bool("signed", signed)
        check_choice("nonfinite", nonfinite, get_args(Nonfinite), FormatError)
        check_choice("subnormals", subnormals, get_args(Subnormals), FormatError)
        if saturating is None:
            saturating = nonfinite == "none"
        check_bool("saturating", saturating)
        _check_fields(name, exponent_bits, mantissa_bits, signed)

        ieee_bias = _ieee_bias(exponent_bits)
        low, high = _bias_pair(ieee_bias if bias is None else bias)
        if low > high:
            raise FormatError(
                f"{name}: bias is ({low}, {high}); the first must not exceed the second"
            )
        if default_bias is None:
            default_bias = ieee_bias if low <= ieee_bias <= high else low
        default_bias = integer("default_bias", default_bias)
        if not low <= default_bias <= high:
            raise FormatError(
                f"{name}: default_bias is {default_bias}; bias allows {low} to {high}"
            )

        values = (
            name, exponent_bits, mantissa_bits, signed, (low, high), default_bias,
            nonfinite, subnormals, saturating,
        )  # fmt: skip
        for field, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)
        self._check_encodings()
        self._check_float32()

    def _check_encodings(self) -> None:
        if self.nonfinite == "ieee" and self.mantissa_bits == 0:
            raise FormatError(
                f"{self.name}: nonfinite='ieee' with no mantissa bit leaves no code for NaN"
            )
        if self.nonfinite == "fnuz" and not self.signed:
            raise FormatError(
                f"{self.name}: nonfinite='fnuz' puts NaN in the code of -0, and signed=False has none"
            )
        if self.subnormals == "normal" and self._no_negative_zero:
            raise FormatError(
                f"{self.name}: nonfinite={self.nonfinite!r} puts NaN in the code of -0, and "
                "subnormals='normal' has no zero"
            )
        if self.nonfinite == "none" and not self.saturating:
            raise FormatError(
                f"{self.name}: saturating=False needs a code for what is too large; nonfinite='none' has none"
            )
        if self._max_code < 0 or self._max_exponent_field < self._first_normal_field:
            raise FormatError(
                f"{self.name}: {self.exponent_bits} exponent bits and nonfinite={self.nonfinite!r} "
                "leave no normal number"
            )

    def _check_float32(self) -> None:
        low, high = self.bias_range
        top = self._max_exponent_field - low
        if top > _FLOAT32_MAX_EXPONENT:
            raise FormatError(
                f"{self.name}: at bias {low} values reach 2**{top}, beyond float32's 2**127; every value "
                "must be a float32"
            )
        bottom = self._quantum - high
        if bottom < _FLOAT32_MIN_QUANTUM:
            raise FormatError(
                f"{self.name}: at bias {high} values are multiples of 2**{bottom}, below float32's 2**-149; "
                "every value must be a float32"
            )

    # properties that are not cached: torch.compile traces these, and does not trace a cache's lock
    @property
    def _max_code(self) -> int:
        """Code of the largest finite value."""
        codes = 1 << (self.exponent_bits + self.mantissa_bits)
        if self.nonfinite == "ieee":
            return codes - (1 << self.mantissa_bits) - 1
        if self.nonfinite == "p3109":
            return codes - 2 if self.signed else codes - 3
        return codes - 2 if self.nonfinite == "nan_only" else codes - 1

    @property
    def _max_exponent_field(self) -> int:
        """E of the largest finite value."""
        return self._max_code >> self.mantissa_bits

    @property
    def _max_significand(self) -> float:
        """1 + M / 2**m of the largest finite value."""
        one = 1 << self.mantissa_bits
        return (one | self._max_code & (one - 1)) / one  # exact, in any floating-point mode

    @property
    def _first_normal_field(self) -> int:
        """E of the smallest normal number."""
        return 0 if self.subnormals == "normal" else 1

    @property
    def _no_negative_zero(self) -> bool:
        """Whether the code of -0 is NaN, the only one."""
        return self.signed and self.nonfinite in ("fnuz", "p3109")

    @property
    def _has_zero(self) -> bool:
        return self.subnormals != "normal"

    @property
    def _has_nan(self) -> bool:
        return self.nonfinite != "none"

    @property
    def _has_infinity(self) -> bool:
        return self.nonfinite in ("ieee", "p3109")

    @property
    def _quantum(self) -> int:
        """Exponent of the unit of which every value is a multiple, plus the bias."""
        # without mantissa bits there are no subnormals to read one way or the other
        finer = self.subnormals == "whitepaper" and self.mantissa_bits > 0
        return (0 if finer or not self._has_zero else 1) - self.mantissa_bits

    @cached_property
    def bits(self) -> int:
        """Width of a code in bits, at most 16."""
        return int(self.signed) + self.exponent_bits + self.mantissa_bits

    @cached_property
    def storage_dtype(self) -> "np.dtype[Any]":
        """NumPy dtype of the codes: uint8 up to 8 bits, uint16 above."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)

    @cached_property
    def _fills_storage(self) -> bool:
        """Whether every pattern of bits that memory can hold is a code."""
        return self.bits == 8 * self.storage_dtype.itemsize

    @cached_property
    def _limits(self) -> tuple[float, int, int]:
        """The largest value's significand and exponent field, and the smallest normal number's field."""
        return self._max_significand, self._max_exponent_field, self._first_normal_field

    @cached_property
    def _struct(self) -> Any:
        """What the C core reads of the format."""
        low, high = self.bias_range
        return binding.format_struct(
            self.exponent_bits, self.mantissa_bits, self.signed, self.nonfinite, self.subnormals,
            self.saturating, low, high,
        )  # fmt: skip

    def replace(self, **changes: Any) -> "Format":
        """Make this format with some of the constructor's arguments changed.

        The name stays the same unless it is among the changes.  What the constructor derives is derived anew:
        `saturating` when `nonfinite` changes, `default_bias` when `bias` does, and a fixed IEEE 754 bias when
        `exponent_bits` does.

        Parameters
        ----------
        **changes
            Any of the constructor's arguments.

        Returns
        -------
        Format

        Raises
        ------
        FormatError, ArgumentTypeError
            As the constructor, or if an argument has another name.

        Examples
        --------
        >>> import cfloat as cf
        >>> cf.CFloat8_1_4_3.replace(subnormals="ieee").subnormals
        'ieee'
        """
        arguments = self._arguments()
        unknown = sorted(set(changes) - set(arguments))
        if unknown:
            raise ArgumentTypeError(
                f"replace() got {', '.join(unknown)}; it takes {', '.join(arguments)}"
            )
        # what was derived from a changed argument is derived anew
        if "nonfinite" in changes:
            arguments["saturating"] = None
        if "bias" in changes:
            arguments["default_bias"] = None
        elif (
            "exponent_bits" in changes and self.bias_range == (_ieee_bias(self.exponent_bits),) * 2
        ):
            arguments["bias"] = arguments["default_bias"] = None
        return Format(**(arguments | changes))

    def _arguments(self) -> dict[str, Any]:
        names = ("bias" if field.name == "bias_range" else field.name for field in fields(self))
        return dict(zip(names, (getattr(self, field.name) for field in fields(self)), strict=True))

    def values(self, bias: SupportsIndex | None = None) -> "NDArray[np.float32]":
        """Decode every code at a bias.

        Parameters
        ----------
        bias : int, optional
            An exponent bias that the format allows; its default bias if None.

        Returns
        -------
        ndarray of float32, shape (2**bits,)
            Element i is the value of code i, NaN and infinities included.

        Raises
        ------
        ArgumentTypeError, ArgumentValueError
            If `bias` is not an integer that the format allows.

        Examples
        --------
        >>> import cfloat as cf
        >>> cf.CFloat8_1_4_3.values()[:9] * 2**7
        array([0.   , 0.125, 0.25 , 0.375, 0.5  , 0.625, 0.75 , 0.875, 2.   ],
              dtype=float32)
        """
        codes = np.arange(2**self.bits, dtype=self.storage_dtype)
        values = np.empty(codes.shape, np.float32)
        binding.convert(
            self._struct,
            self.check_bias(bias),
            codes,
            values,
            encode=False,
            decode=True,
            fresh=True,
        )
        return values

    @cached_property
    def _tables(self) -> "dict[int, NDArray[np.float32]]":
        return {}

    def _table(self, bias: int) -> "NDArray[np.float32]":
        """Give `values` at a bias that the format allows; they are kept, and not to be changed."""
        table = self._tables.get(bias)
        if table is None:
            table = self._tables[bias] = self.values(bias)
        return table

    def check_bias(self, bias: object) -> int:
        """Check one bias and give it as an int; the default bias for None.

        Parameters
        ----------
        bias : int or None
            An exponent bias.

        Returns
        -------
        int

        Raises
        ------
        ArgumentTypeError
            If it is not an integer.
        ArgumentValueError
            If the format does not allow it.
        """
        if bias is None:
            return self.default_bias
        checked = bias if type(bias) is int else integer("bias", bias)
        low, high = self.bias_range
        if not low <= checked <= high:
            raise ArgumentValueError(f"bias is {checked}; {self._bias_rule()}")
        return checked

    def check_biases(self, bias: "ArrayLike | None") -> "int | NDArray[np.int16]":
        """Check biases: one is given as an int, several as an array of int16.

        Parameters
        ----------
        bias : int, array_like of int, or None
            One exponent bias, or one for each element.

        Returns
        -------
        int or ndarray of int16

        Raises
        ------
        ArgumentTypeError
            If it does not hold integers.
        ArgumentValueError
            If the format does not allow one of them.
        """
        if bias is None:
            return self.default_bias
        if type(bias) is int or isinstance(bias, _SCALARS):
            return self.check_bias(bias)
        biases = np.asarray(bias)
        if biases.dtype.kind not in "iu":
            raise ArgumentTypeError(f"bias has dtype {biases.dtype}; it takes integers")
        if biases.ndim == 0:
            return self.check_bias(biases.item())
        low, high = self.bias_range
        if biases.size and (biases.min() < low or biases.max() > high):
            worst = biases.min() if biases.min() < low else biases.max()
            raise ArgumentValueError(f"bias has an element {worst}; {self._bias_rule()}")
        return biases.astype(np.int16, copy=False)

    def _bias_rule(self) -> str:
        low, high = self.bias_range
        allowed = f"only {low}" if low == high else f"an integer from {low} to {high}"
        return f"{self.name} takes {allowed}"

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, field.name) for field in fields(self)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        # not the instance's dictionary: it caches a hash that holds in this process alone
        return Format._rebuilt, (self._arguments(),)

    @classmethod
    def _rebuilt(cls, arguments: dict[str, Any]) -> "Format":
        return cls(**arguments)

    def __repr__(self) -> str:
        low, high = self.bias_range
        arguments = self._arguments() | {"bias": low if low == high else (low, high)}
        name = arguments.pop("name")
        return f"Format({name!r}, {', '.join(f'{key}={arg!r}' for key, arg in arguments.items())})"

    def __str__(self) -> str:
        return self.name


def _ieee_bias(exponent_bits: int) -> int:
    return (1 << (exponent_bits - 1)) - 1


def _check_fields(name: str, exponent_bits: int, mantissa_bits: int, signed: bool) -> None:
    if exponent_bits < 1:
        raise FormatError(f"{name}: exponent_bits is {exponent_bits}; it takes at least 1")
    if mantissa_bits < 0:
        raise FormatError(f"{name}: mantissa_bits is {mantissa_bits}; it takes at least 0")
    bits = int(signed) + exponent_bits + mantissa_bits
    if bits > MAX_BITS:
        raise FormatError(f"{name}: the fields take {bits} bits; a format has at most {MAX_BITS}")


def _bias_pair(bias: Any) -> tuple[int, int]:
    if isinstance(bias, tuple | list):
        if len(bias) != 2:
            raise ArgumentTypeError(f"bias is {shown(bias)}; it takes an integer or a pair of them")
        return integer("bias", bias[0]), integer("bias", bias[1])
    fixed = integer("bias", bias)
    return fixed, fixed
