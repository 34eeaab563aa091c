"""What others store tensors in, to compare with: codes of few bits, and scales that elements share.

Each scheme has the values, bit for bit, of the code that people use for it: compressed-tensors for real
scales, integers and NVFP4, torchao for scales that are powers of two and for MX.  Where those two differ, or
neither says:

- Integers use all of two's complement, and a scale is the peak over half of it, 127.5 or 7.5
  (compressed-tensors; torchao's default is the same).
- NVFP4 is compressed-tensors'.  torchao multiplies by a reciprocal, and its block scales are no subnormals.
- MX is OCP's rule, torchao's `ScaleCalculationMode.FLOOR`; compressed-tensors rounds a block's peak first.
  torchao divides what needs the scale 2**-127 by 2**-126 and multiplies it by 2**-127: here it is OCP's
  2**-127 both times.
- A group of zeros stays zeros, where torchao's real scales give NaN.
- A power-of-two scale is the largest at which nothing saturates; torchao takes its exponent from a logarithm
  in float32, which may be one too large within some 2**-20 below a power of two.  For tiles, of which it has
  none, the rule is the same.

A matrix's rows run along the axis that a product sums over: of a tensor of three axes or more, a
convolution's weight, a row is all that belongs to one output.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import repeat
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._bias.reduction import as_matrix, reduction_axes
from cfloat._core import binding
from cfloat._core.format import Format
from cfloat._core.presets import float8_e4m3fn, float8_e5m2
from cfloat._core.public_names import public
from cfloat._metrics.sqnr import sqnr_db_each
from cfloat.errors import ArgumentValueError

Array = NDArray[Any]
Floats = NDArray[np.float32]

E3M2: Final = Format("float6_e3m2", exponent_bits=3, mantissa_bits=2)
E2M3: Final = Format("float6_e2m3", exponent_bits=2, mantissa_bits=3)
E2M1: Final = Format("float4_e2m1", exponent_bits=2, mantissa_bits=1)


@public
class Comparison(NamedTuple):  # there are many a tensor, and a tuple is quick
    """What a scheme costs a tensor.

    Attributes
    ----------
    tensor : str
        Name of the tensor.
    scheme : str
        The scheme.
    sqnr_db : float
        Signal to quantisation noise ratio, in dB.
    bits_per_element : float
        What it stores, scales and padding included, in bits an element.
    nbytes : int
        The same in bytes, of the whole tensor.
    uncertainty_db : float
        How far `sqnr_db` may be from that of all elements, with 95 % confidence; 0 but for a sample, and
        infinite where scales go by maxima that a sample does not have.
    """

    tensor: str
    scheme: str
    sqnr_db: float
    bits_per_element: float
    nbytes: int
    uncertainty_db: float = 0.0


@dataclass(frozen=True, eq=False)  # they are keys, and few: itself is all that one equals
class Scheme:
    """A way to store a matrix.

    Attributes
    ----------
    name : str
        What people call it.
    element : Format or int
        What codes are, at the format's default bias, or integers of so many bits.
    scale : {"real", "power", "e8m0", "e4m3"}
        What scales are: any float32; powers of two, stored as float32; E8M0; or E4M3 beside one float32 for
        the tensor.
    granularity : {"tensor", "row", "block", "tile"}
        What shares a scale; a tile is 128x128.
    block : int
        Elements of a block along a row.
    """

    name: str
    element: Format | int
    scale: Literal["real", "power", "e8m0", "e4m3"]
    granularity: Literal["tensor", "row", "block", "tile"]
    block: int = 0

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.element if isinstance(self.element, int) else self.element.bits

    def nbytes(self, rows: int, length: int) -> int:
        """Count the bytes of a matrix: its codes and scales.

        Codes are packed, and a row begins at a byte.  Integers below 8 bits are packed into words of 32, as
        compressed-tensors packs them.  A short block or tile has a scale like any other, and no codes beyond
        its elements: those who store blocks refuse a row with a short one, or have no codes for what is not
        there (transformers' 128x128).
        """
        word = 32 if isinstance(self.element, int) and self.element < 8 else 8
        codes = rows * (_divide_up(length * self.bits, word) * word // 8)
        scales = self._scales(rows, length) * (1 if self.scale in ("e8m0", "e4m3") else 4)
        return codes + scales + (4 if self.scale == "e4m3" else 0)

    def _scales(self, rows: int, length: int) -> int:
        tile = binding.TILE_ROWS
        match self.granularity:
            case "tensor":
                return 1
            case "row":
                return rows
            case "block":
                return rows * _divide_up(length, self.block)
            case "tile":
                return _divide_up(rows, tile) * _divide_up(length, tile)

    def goes_by_chunk(self, has_whole_rows: bool) -> bool:
        """Whether scales go by elements that a chunk of a sample has all of, if it has whole rows or not."""
        return self.granularity == "block" or (self.granularity == "row" and has_whole_rows)

    @property
    def _fields(self) -> binding.SchemeFields:
        integer = isinstance(self.element, int)
        fmt = float8_e4m3fn if isinstance(self.element, int) else self.element
        return binding.SchemeFields(
            format=fmt._struct,
            bias=fmt.default_bias,
            integer_bits=self.bits if integer else 0,
            scale=self.scale,
            granularity=self.granularity,
            block=self.block,
        )


def _divide_up(a: int, b: int) -> int:
    return -(-a // b)


def _all_schemes() -> Iterator[Scheme]:
    for label, fmt in (("E4M3", float8_e4m3fn), ("E5M2", float8_e5m2)):
        for words, scale in (("power-of-two scale", "power"), ("real scale", "real")):
            yield Scheme(f"{label}, {words} a tensor", fmt, scale, "tensor")  # type: ignore[arg-type]
            yield Scheme(f"{label}, {words} a channel", fmt, scale, "row")  # type: ignore[arg-type]
            yield Scheme(f"{label}, {words} a 128x128 tile", fmt, scale, "tile")  # type: ignore[arg-type]
    for name, fmt in (
        ("MXFP8 E4M3", float8_e4m3fn), ("MXFP8 E5M2", float8_e5m2), ("MXFP6 E2M3", E2M3),
        ("MXFP6 E3M2", E3M2), ("MXFP4 E2M1", E2M1),
    ):  # fmt: skip
        yield Scheme(name, fmt, "e8m0", "block", 32)
    yield Scheme("NVFP4", E2M1, "e4m3", "block", 16)
    yield Scheme("INT8, tensor", 8, "real", "tensor")
    yield Scheme("INT8, channel", 8, "real", "row")
    yield Scheme("INT8, group 128", 8, "real", "block", 128)
    yield Scheme("INT4, channel", 4, "real", "row")
    yield Scheme("INT4, group 128", 4, "real", "block", 128)


#: All that a report compares with.
SCHEMES: Final = tuple(_all_schemes())


@lru_cache(maxsize=16)
def _structs(schemes: tuple[Scheme, ...]) -> Any:
    return binding.scheme_structs([each._fields for each in schemes])


@lru_cache(maxsize=256)  # layers of a model repeat, and tensors of some hundred elements are many
def _sizes(schemes: tuple[Scheme, ...], rows: int, length: int) -> list[int]:
    return [each.nbytes(rows, length) for each in schemes]


def row_peaks(piece: Floats) -> Floats:
    """Find the largest finite magnitude of each row of a matrix; 0 where there is none."""
    return binding.row_peaks(_rows(piece))


class SchemeErrors:
    """The squared errors of schemes on a matrix that comes in parts.

    Parameters
    ----------
    schemes : sequence of Scheme
        The schemes.
    rows, length : int
        The matrix's shape.
    peaks : array_like, shape (depth,)
        The largest finite magnitude of the whole matrix, or of each of a stack.
    row_peaks : ndarray of float32, shape (depth * rows,)
        Those of its rows, as `row_peaks` finds them.

    Attributes
    ----------
    errors : ndarray of float64, shape (depth, schemes)
        The sum of squared errors of each scheme.
    signals : ndarray of float64, shape (depth,)
        The sum of the squares of the elements.
    """

    def __init__(
        self,
        schemes: Sequence[Scheme],
        rows: int,
        length: int,
        peaks: ArrayLike,
        row_peaks: Floats,
    ) -> None:
        self._schemes = tuple(schemes)
        self._rows, self._length = rows, length
        self._peaks = np.asarray(peaks, np.float32).reshape(-1)
        self._row_peaks = np.ascontiguousarray(row_peaks, np.float32)
        self.errors = np.zeros((self._peaks.size, len(self._schemes)))
        self.signals = np.zeros(self._peaks.size)

    def add_part(self, row: int, part: Floats) -> None:
        """Add a part of some rows of the matrix, the first of which is given; infinities and NaN are zeros.

        Of a stack it is all of it, the rows of one matrix after those of another.

        Parts may be any, each but once.  The results are the same bits as of the whole if they come in
        row-major order, and each has 128 rows that begin at a multiple of 128, or all that are left, and
        columns that begin at a multiple of 1024, which is the end of the part before.
        """
        rows, columns = part.shape
        depth, given = self._peaks.size, f"{rows}x{columns} elements from row {row} on"
        if row + rows > depth * self._rows or columns > self._length:
            raise ArgumentValueError(f"part has {given} of {self._rows}x{self._length}")
        if depth > 1 and part.shape != (depth * self._rows, self._length):
            raise ArgumentValueError(
                f"part has {given}; it takes all of {depth} of {self._rows}x{self._length}"
            )
        binding.add_scheme_errors(
            _structs(self._schemes), _rows(part), self._peaks,
            self._row_peaks[row : row + rows], self.errors, self.signals,
        )  # fmt: skip

    def result(self, names: Sequence[str]) -> list[list[Comparison]]:
        """Say what each scheme costs each matrix, of these names."""
        size = self._rows * self._length
        sizes = _sizes(self._schemes, self._rows, self._length)
        schemes = [scheme.name for scheme in self._schemes]
        bits = [8 * nbytes / size for nbytes in sizes]
        # there are many, and this way no line of Python runs for each
        make = partial(tuple.__new__, Comparison)
        return [
            list(
                map(
                    make,
                    zip(
                        repeat(name), schemes, sqnr_db_each(repeat(signal), errors), bits, sizes,
                        repeat(0.0),
                    ),
                )
            )
            for name, signal, errors in zip(
                names, self.signals.tolist(), self.errors.tolist(), strict=True
            )
        ]  # fmt: skip


def scheme_values(scheme: Scheme, tensor: Array) -> Floats:
    """Compute the values of what a scheme stores of a tensor, in its shape."""
    if tensor.size == 0:
        return np.empty(tensor.shape, np.float32)
    matrix = _rows(as_matrix(tensor, reduction_axes(tensor.ndim)).astype(np.float32))
    peaks = row_peaks(matrix)
    found = binding.scheme_values(_structs((scheme,)), matrix, peaks.max(keepdims=True), peaks)
    return found.reshape(tensor.shape)


def _rows(piece: Floats) -> Floats:
    """Make the elements of each row neighbours, aligned and of native byte order, if they are not."""
    ready = piece.dtype == np.float32 and piece.dtype.isnative and piece.flags.aligned
    if ready and (piece.strides[1] == 4 or piece.shape[1] <= 1):
        return piece
    return np.ascontiguousarray(piece, np.float32)
