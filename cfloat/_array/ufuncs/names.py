"""Which of NumPy's ufuncs compute, and which refuse."""

from typing import Final

#: NumPy's ufuncs that compute on values.  Others than NumPy's do as well.
COMPUTED: Final = frozenset(
    """
    absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh cbrt ceil clip conjugate
    copysign cos cosh deg2rad degrees divide divmod equal exp exp2 expm1 fabs float_power floor
    floor_divide fmax fmin fmod frexp greater greater_equal heaviside hypot isfinite isinf isnan
    ldexp less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not
    logical_or logical_xor matmul matvec maximum minimum modf multiply negative nextafter
    not_equal positive power rad2deg radians reciprocal remainder rint sign signbit sin sinh
    spacing sqrt square subtract tan tanh trunc vecdot vecmat _ones_like
    """.split()
)

_INTEGERS: Final = "it is defined for integers and their bits; a.codes are the bits of a"
_STRINGS: Final = "it is about strings"

#: NumPy's ufuncs that refuse, by name, and why.
REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(
        "bitwise_and bitwise_count bitwise_or bitwise_xor gcd invert lcm left_shift right_shift".split(),
        _INTEGERS,
    ),
    "isnat": "it is about dates",
    **dict.fromkeys(
        """
        _center _expandtabs _expandtabs_length _ljust _lstrip_chars _lstrip_whitespace _partition
        _partition_index _replace _rjust _rpartition _rpartition_index _rstrip_chars _rstrip_whitespace _slice
        _strip_chars _strip_whitespace _zfill count endswith find index isalnum isalpha isdecimal isdigit
        islower isnumeric
        isspace istitle isupper rfind rindex startswith str_len
        """.split(),
        _STRINGS,
    ),
}
