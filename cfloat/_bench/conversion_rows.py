"""The rows of conversions: what is timed, beside what, and that both ends of each result are right."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._bias.round_to import round_to
from cfloat._convert.elementwise import decode, encode
from cfloat._core import isa as instruction_sets
from cfloat._core import presets, threads
from cfloat._core.flags import record_flags
from cfloat._core.format import Format
from cfloat._core.presets import CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP
from cfloat._core.rounding import RoundingMode
from cfloat.errors import CFloatError

from .context import Context
from .placement import place_destination, place_source
from .row import Calls, Case, Goal
from .timing import Call

Array = NDArray[Any]

LEGEND = """\
Gelem/s    1e9 elements a second: the best of many turns, taken in alternation
reference  what NumPy does, or what else is behind the heading's slash
ml_dtypes, torch   their casts, Gelem/s: to or from float8_e4m3fn, float8_e5m2,
           and bfloat16 (ml_dtypes) or float16 (torch)
Rounding is to nearest, denormals are the whitepaper's, unless a row says more."""

# So many elements at each end are compared with the portable kernels' results.
_CHECKED: Final = 1 << 17

# Arrays of fewer elements are in a core's cache, and of more are far out of it.
_IN_CACHE, _LARGE = 1 << 18, 1 << 22

_BLOCK: Final = 32
_NEAREST: Final[RoundingMode] = "ties_to_even"
# Channels, height and width of images.
_IMAGE, _SMALL_IMAGE = (64, 16, 16), (4, 2, 2)

_Biases = Literal["one", "rows", "columns", "blocks"]
_Order = Literal["C", "Fortran", "channels last", "transposed"]


@dataclass(frozen=True)
class Work:
    """What a row does: an operation, and to what.

    `dtype` is that of the values, read or written; `goal` the least ratio to the reference of arrays far out
    of cache, and `goal_in_cache` of those in it.
    """

    operation: Literal["encode", "decode", "round_to"]
    format: Format
    rounding: RoundingMode = _NEAREST
    biases: _Biases = "one"
    dtype: str = "float32"
    flags: bool = False
    random_bits: int = 32
    random: Literal["A", "B", "C", "given"] = "A"
    order: _Order = "C"
    goal: float | None = None
    goal_in_cache: float | None = None

    @property
    def name(self) -> str:
        """What the table calls it."""
        parts = [self.format.name]
        if self.rounding != _NEAREST:
            parts.append(self.rounding.replace("_", " "))
        if self.random_bits != 32:
            parts.append(f"{self.random_bits} bits")
        if self.random != "A":
            parts.append("given bits" if self.random == "given" else f"P3109's {self.random}")
        if self.format.subnormals == "ieee":
            parts.append("ieee")
        if self.biases != "one":
            parts.append({"blocks": f"blocks of {_BLOCK}"}.get(self.biases, self.biases))
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.flags:
            parts.append("flags")
        if self.order != "C":
            parts.append(f"{self.order} order" if self.order == "Fortran" else self.order)
        return ", ".join(parts)

    @property
    def has_peers(self) -> bool:
        """Whether other packages do the like and round once, which from float64 ml_dtypes does not."""
        is_plain = self.rounding == _NEAREST and self.biases == "one" and self.order == "C"
        is_plain = is_plain and self.dtype == "float32" and not self.flags
        return is_plain and self.format in (_F8, _F8W, _SHP)

    def convert(
        self,
        source: Array,
        bias: Array | None,
        out: Array,
        offset: int = 0,
        bits: Array | None = None,
    ) -> object:
        """Do it once."""
        if self.flags:
            with record_flags():
                return self._convert(source, bias, out, offset, bits)
        return self._convert(source, bias, out, offset, bits)

    def _convert(
        self, source: Array, bias: Array | None, out: Array, offset: int, bits: Array | None
    ) -> object:
        if self.operation == "decode":
            return decode(source, self.format, bias, out=out)
        function = encode if self.operation == "encode" else round_to
        if self.rounding != "stochastic":
            return function(source, self.format, bias, rounding=self.rounding, out=out)
        how: dict[str, Any] = {"stochastic_bits": self.random_bits}
        if self.random == "given":
            how["random_bits"] = bits
        else:
            how |= {"seed": 2021, "offset": offset, "stochastic_variant": self.random}
        return function(source, self.format, bias, rounding="stochastic", out=out, **how)


_F8, _F8W, _SHP = CFloat8_1_4_3, CFloat8_1_5_2, CFloat16_SHP
_IEEE8 = CFloat8_1_4_3.replace(subnormals="ieee")
_IEEE16 = CFloat16_SHP.replace(subnormals="ieee")

_CAST = "encode float32 / astype(uint8)"
_EVEN = "encode / ties to even, float32"
_STOCHASTIC = "encode / stochastic, 32 bits"

# What the reference of some tables is, in a row's own format, where it is not NumPy's copy.
_REFERENCES: Final = {
    _EVEN: Work("encode", _F8),
    _STOCHASTIC: Work("encode", _F8, "stochastic"),
}

_MODES: Final[tuple[RoundingMode, ...]] = (
    "ties_to_away", "ties_to_zero", "toward_zero", "toward_positive", "toward_negative", "to_odd",
)  # fmt: skip

#: The rows by section, in tables; a table's title names the work and, behind the slash, the reference.
SECTIONS: Mapping[str, Mapping[str, tuple[Work, ...]]] = {
    "conversions": {
        _CAST: (
            Work("encode", _F8, goal=0.95, goal_in_cache=0.5),
            Work("encode", _IEEE8, goal=0.95, goal_in_cache=0.5),
            Work("encode", _F8, "toward_zero"),
            Work("encode", _F8, "stochastic", goal=0.33),
            Work("encode", _IEEE8, "stochastic", goal=0.33),
            Work("encode", _F8W, goal=0.95, goal_in_cache=0.5),
            Work("encode", _SHP),
            Work("encode", _IEEE16),
            Work("encode", _SHP, "stochastic"),
        ),
        "encode, biases / astype(uint8)": (
            Work("encode", _F8, biases="rows"),
            Work("encode", _F8, biases="columns"),
            Work("encode", _F8, biases="blocks"),
        ),
        "encode float64 / astype(uint8)": (Work("encode", _F8, dtype="float64"),),
        "decode / copyto float32": (
            Work("decode", _F8, goal=1.5),
            Work("decode", _SHP),
            Work("decode", _IEEE16),
        ),
        "round_to / copyto float32": (
            Work("round_to", _F8),
            Work("round_to", _IEEE8),
            Work("round_to", _SHP),
            Work("round_to", _IEEE16),
        ),
    },
    "modes": {
        _EVEN: (
            *(Work("encode", _F8, mode, goal=0.75, goal_in_cache=0.75) for mode in _MODES),
            Work("encode", _F8, flags=True, goal=0.75, goal_in_cache=0.75),
            Work("encode", _F8, "ties_to_away", flags=True, goal=0.75, goal_in_cache=0.75),
            Work("encode", _SHP, flags=True, goal=0.75, goal_in_cache=0.75),
        ),
        _STOCHASTIC: (
            Work("encode", _F8, "stochastic", random_bits=8, goal=0.5, goal_in_cache=0.5),
            Work("encode", _F8, "stochastic", random="B", goal=0.5, goal_in_cache=0.5),
            Work("encode", _F8, "stochastic", random="C", goal=0.5, goal_in_cache=0.5),
            Work("encode", _F8, "stochastic", random="given", goal=0.5, goal_in_cache=0.5),
            Work("encode", _F8, "stochastic", flags=True),
        ),
    },
    "sources": {
        _EVEN: (
            *(
                Work("encode", _F8, dtype=dtype, goal=goal, goal_in_cache=goal)
                for goal, dtypes in (
                    (0.8, ("float16", "bfloat16")),
                    (0.6, ("int8", "uint8", "int16", "uint16")),
                    (0.2, ("int32", "uint32", "int64", "uint64")),
                )
                for dtype in dtypes
            ),
            Work("encode", _F8, order="Fortran", goal=0.9),
            Work("encode", _F8, order="channels last", goal=0.9),
            Work("encode", _F8, order="transposed"),
        ),
        "decode / copyto of the same dtype": tuple(
            Work("decode", fmt, dtype=dtype, goal=0.9)
            for fmt in (_F8, _SHP)
            for dtype in ("float64", "float16", "bfloat16")
        ),
    },
}

# What ml_dtypes and torch call the type that is most like a format; each is a Format here as well.
_PEERS: Mapping[str, Mapping[str, str]] = {
    "ml_dtypes": {
        "CFloat8_1_4_3": "float8_e4m3fn",
        "CFloat8_1_5_2": "float8_e5m2",
        "CFloat16_SHP": "bfloat16",
    },
    "torch": {
        "CFloat8_1_4_3": "float8_e4m3fn",
        "CFloat8_1_5_2": "float8_e5m2",
        "CFloat16_SHP": "float16",
    },
}


def cases(section: str, context: Context) -> Iterator[Case]:
    """List the rows of a section, one number of elements after the other."""
    for size in context.sizes:
        group = f"{size} elements, {size * 4 / 2**20:.4g} MiB as float32"
        for title, works in SECTIONS[section].items():
            for work in works:
                if work.dtype == "bfloat16" and "ml_dtypes" not in context.peers:
                    continue
                goal = work.goal if size >= _LARGE else None
                if size <= _IN_CACHE:
                    goal = work.goal_in_cache
                yield Case(
                    group,
                    title,
                    work.name,
                    "Gelem/s",
                    prod(_shape(size, work)) / 1e9,
                    _Preparation(title, work, size, context.peers),
                    None if goal is None else Goal(goal),
                )


@lru_cache(maxsize=1)
def magnitudes(size: int) -> Array:
    """Draw so many magnitudes of a normal distribution: float64 (size,)."""
    return np.abs(np.random.default_rng(0).standard_normal(size))


class _Operands(NamedTuple):
    """Arrays of one axis or more: what is read and what is written."""

    source: Array
    biases: Array | None
    out: Array
    bits: Array | None = None

    def rows(self, part: slice) -> "_Operands":
        varies = self.biases is not None and len(self.biases) > 1
        biases = self.biases[part] if self.biases is not None and varies else self.biases
        bits = None if self.bits is None else self.bits[part]
        return _Operands(self.source[part], biases, self.out[part], bits)


@dataclass(frozen=True)
class _Preparation:
    """What makes a row's operands and calls when its turn has come."""

    title: str
    work: Work
    size: int
    peers: Mapping[str, Any]

    def __call__(self) -> Calls:
        work, values = self.work, magnitudes(self.size)
        operands = operands_of(work, values)
        check(work, operands)
        beside = _REFERENCES.get(self.title)
        if beside is None:
            reference = _reference(work, operands)
        else:
            reference = call_of(replace(beside, format=work.format), values)
        names = [name for name in self.peers if work.has_peers]
        found = {
            name: _peer(name, self.peers[name], work, values.astype(work.dtype)) for name in names
        }
        return Calls(_call(work, operands), reference, found)


def call_of(work: Work, values: Array) -> Call:
    """Make a call of a work on some values, its result checked."""
    operands = operands_of(work, values)
    check(work, operands)
    return _call(work, operands)


def _call(work: Work, operands: _Operands) -> Call:
    source, biases, out, bits = operands
    return lambda: work.convert(source, biases, out, bits=bits)


def operands_of(work: Work, values: Array) -> _Operands:
    """Make what a work reads and writes."""
    if np.dtype(work.dtype).kind in "iu":
        values = np.clip(20 * values, 0, 120)
    shape = _shape(values.size, work)
    source = _ordered(values[: prod(shape)].astype(work.dtype).reshape(shape), work.order)
    biases = _biases(work, source.shape)
    bits = None
    if work.random == "given":
        bits = np.random.default_rng(2).integers(0, 1 << 32, source.shape, np.uint32)
    if work.operation == "encode":
        out = place_destination(source.shape, work.format.storage_dtype)
        if work.order in ("Fortran", "channels last"):
            out = _ordered(out, work.order)
        return _Operands(source, biases, out, bits)
    out = place_destination(source.shape, work.dtype)
    if work.operation == "decode":
        source = place_source(encode(source, work.format, biases))
    return _Operands(source, biases, out, bits)


def _ordered(values: Array, order: _Order) -> Array:
    """Copy an array to where it is timed, in that order of memory."""
    if order == "channels last":
        return place_source(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return place_source(values) if order == "C" else place_source(values.T).T


def _shape(size: int, work: Work) -> tuple[int, ...]:
    """Give the shape of about so many elements: a vector, a matrix that is square or of blocks, or images."""
    inner: tuple[int, ...] = (1 << ((size.bit_length() - 1) // 2),)
    if work.order == "channels last":
        inner = _IMAGE if size >= prod(_IMAGE) else _SMALL_IMAGE
    elif work.biases == "blocks":
        inner = (_BLOCK,)
    elif work.biases == "one" and work.order == "C":
        inner = ()
    return (size // prod(inner), *inner)


def _biases(work: Work, shape: tuple[int, ...]) -> Array | None:
    if work.biases == "one":
        return None
    near = work.format.default_bias
    shape = (1, shape[1]) if work.biases == "columns" else (shape[0], 1)
    return np.random.default_rng(1).integers(near - 2, near + 3, shape, np.int16)


def _reference(work: Work, operands: _Operands) -> Call:
    """Make what NumPy does with as many elements: write as bytes, or copy, float32 from memory."""
    if work.operation == "encode":
        codes = place_destination(operands.out.shape, np.uint8)
        return lambda: np.copyto(codes, operands.source, casting="unsafe")
    values = place_source(np.ones_like(operands.out))
    copy = place_destination(values.shape, values.dtype)
    return lambda: np.copyto(copy, values)


def check(work: Work, operands: _Operands) -> None:
    """Convert once, and compare both ends with the portable kernels."""
    _call(work, operands)()
    count = len(operands.out)
    width = operands.out.size // count
    part = min(count, -(-_CHECKED // width))
    isa = instruction_sets.isa()
    for start in (0, count - part):
        piece = operands.rows(slice(start, start + part))
        expected = np.empty_like(piece.out)
        instruction_sets.select_isa("portable")
        try:
            work.convert(piece.source, piece.biases, expected, start * width, piece.bits)
        finally:
            instruction_sets.select_isa(isa)
        unsigned = f"u{expected.itemsize}"
        wrong = np.flatnonzero(expected.view(unsigned) != piece.out.view(unsigned))
        if wrong.size:
            first = start * width + int(wrong[0])
            raise CFloatError(
                f"{work.operation} {work.name}: {isa} and portable differ, first in element {first}"
            )


def _peer(name: str, package: Any, work: Work, values: Array) -> Call:
    """Make another package's way to do the like, its results checked."""
    type_name = _PEERS[name][work.format.name]
    fmt: Format = presets.FORMATS[type_name]
    widened: Array = np.empty(values.shape, np.float32)
    narrow: Call
    widen: Call
    if name == "torch":
        package.set_num_threads(threads.get_num_threads())
        source, back = package.from_numpy(values), package.from_numpy(widened)
        tensor = package.empty(values.shape, dtype=getattr(package, type_name))
        codes = tensor.view(package.uint8).numpy()
        narrow, widen = lambda: tensor.copy_(source), lambda: back.copy_(tensor)
    else:
        array: Array = np.empty(values.shape, getattr(package, type_name))
        codes = array
        narrow = lambda: np.copyto(array, values, casting="unsafe")  # noqa: E731
        widen = lambda: np.copyto(widened, array)  # noqa: E731

    def both() -> None:
        narrow()
        widen()

    both()
    expected = encode(values, fmt)
    if not np.array_equal(codes.view(fmt.storage_dtype), expected):
        raise CFloatError(f"encode {fmt.name}: {name} has other results")
    if not np.array_equal(widened, decode(expected, fmt)):
        raise CFloatError(f"decode {fmt.name}: {name} has other results")
    return {"encode": narrow, "decode": widen, "round_to": both}[work.operation]
