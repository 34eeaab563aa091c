"""`CFloatArray`: an array of codes that behaves as the float32 array of their values."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from operator import index
from typing import Any, Final, Literal, Self, SupportsIndex, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cfloat._bias.bias_layout import Axis, BiasLayout, check_layout, compressed
from cfloat._bias.bias_methods import check_method
from cfloat._bias.choose import choose_bias
from cfloat._convert.by_layout import decode_layout, encode_layout
from cfloat._convert.elementwise import check_codes, decode_checked
from cfloat._core import flags
from cfloat._core.code_order import code_order
from cfloat._core.dtypes import FLOAT32, real_array
from cfloat._core.flags import asked
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import as_format, find_without_dtype
from cfloat._core.public_names import public
from cfloat._core.rounding import Rounding, RoundingMode, check_rounding
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from . import display
from .flat_iterator import FlatView
from .memory_order import axes_in_memory
from .ndarray_methods import FunctionMethods
from .operators import Operators
from .registry import PROTOCOLS

Array = NDArray[Any]
Order = Literal["K", "A", "C", "F"]
Mode = Literal["raise", "wrap", "clip"]

#: Modules that a pickle may ask for.
_REGISTRARS: Final = ("cfloat.dask",)
_FLOAT64: Final = np.dtype(np.float64)
# What indexes one axis and holds no CFloatArrays.
_PLAIN_KEYS: Final = frozenset((int, slice))
# Single elements are looked up in a table of all values of as many bits.
_TABLE_BITS: Final = 8

_OF_ASARRAY: Final = (
    "axis", "block", "rounding", "seed", "offset", "random_bits", "stochastic_bits", "stochastic_variant",
)  # fmt: skip


@public
class CFloatArray(FunctionMethods, Operators):
    """Values of a CFloat format: codes in memory, a format, and biases.

    To NumPy and to code written for its arrays it is a float32 array: operators, ufuncs and functions compute
    on the values and give ndarrays, as docs/spec.md 5.2 says, except that a CFloatArray named by ``out=`` or
    assigned to (``a += b``, ``a[i] = b``) keeps its format: the result is rounded into it, once.  Functions
    that only move elements (``np.reshape``, ``np.concatenate``, ``a[i]``, ...) keep the format, and so does
    what changes signs (``-a``, ``abs(a)``) or selects (``np.maximum(a, b)``, ``np.where(c, a, b)``) among
    arrays of one format and the same biases.

    Parameters
    ----------
    codes : ndarray of uint8 or uint16
        The codes, of dtype ``fmt.storage_dtype``, any shape and memory layout; not copied.
    fmt : Format or str
        The format, or its name.
    bias : int or array_like of int, optional
        As in `asarray`.
    axis : int or tuple of int, optional
        As in `asarray`.
    block : int, optional
        As in `asarray`.

    Attributes
    ----------
    codes : ndarray of uint8 or uint16
        The codes; writing to them changes the array.
    format : Format
        The format.
    bias : int or ndarray of int16
        The exponent bias; or an array that broadcasts to the shape; or, with blocks, one for each block: an
        array that broadcasts to the shape with the number of blocks in place of the axes that they run along.
    axis : int, tuple of int or None
        The axis whose slices have a bias each, if biases differ along one axis.  With blocks, what they run
        along: None for the last axis, another axis, or several, ascending, that count as one.
    block : int or None
        How many consecutive elements share a bias, if biases are one a block; no more than the axis, or the
        axes as one, has when the array is made.

    Raises
    ------
    ArgumentTypeError
        If `codes` is not an array of the format's storage dtype, `fmt` neither a Format nor a str,
        or biases not integers.
    ArgumentValueError
        If a code is too large for the format, or biases are not allowed by it or do not fit the shape.

    See Also
    --------
    asarray : From values.

    Notes
    -----
    Rows are views, as an ndarray's are: ``a[i], a[j] = a[j], a[i]`` leaves two copies of one of them.  So
    `random.shuffle` exchanges elements, and `numpy.random.Generator.shuffle` those of all but ndarrays, with
    a warning: both lose rows of an array of two axes or more.  ``a[rng.permutation(len(a))]`` shuffles rows
    with their biases, and ``a[[i, j]] = a[[j, i]]`` exchanges two, each rounded at the bias of its new place.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> a = cf.CFloatArray(np.array([56, 194, 127], np.uint8), cf.CFloat8_1_4_3)
    >>> a
    CFloatArray([  1. ,  -2.5, 480. ], CFloat8_1_4_3, bias=7)
    >>> a + 1
    array([  2. ,  -1.5, 481. ], dtype=float32)
    """

    __slots__ = ("__weakref__", "_biases", "_codes", "_format")

    _codes: Array
    _format: Format
    _biases: BiasLayout

    # above ndarray's, and below none that knows more than this class does
    __array_priority__ = 1.0
    __hash__ = None  # type: ignore[assignment]  # mutable, as an ndarray is

    def __init__(
        self,
        codes: Array,
        fmt: Format | str,
        bias: ArrayLike | None = None,
        *,
        axis: Axis | None = None,
        block: SupportsIndex | None = None,
    ) -> None:
        fmt = as_format(fmt)
        if not isinstance(codes, np.ndarray):
            raise ArgumentTypeError(
                f"codes are a {type(codes).__name__}; it takes a numpy.ndarray of {fmt.storage_dtype}"
            )
        # not a subclass's: a matrix has its own idea of indexing
        self._codes = check_codes(np.asarray(codes), fmt)
        self._format = fmt
        self._biases = check_layout(fmt, bias, codes.shape, axis, block)

    @classmethod
    def _of(cls, codes: Array, fmt: Format, biases: BiasLayout) -> Self:
        """Make an array of parts that are known to fit together."""
        made = cls.__new__(cls)
        made._codes = codes
        made._format = fmt
        made._biases = biases
        return made

    # What it is

    @property
    def codes(self) -> Array:
        """The codes: an ndarray of uint8 or uint16, through which the array can be changed."""
        return self._codes

    @property
    def format(self) -> Format:
        """The format of the codes."""
        return self._format

    @property
    def bias(self) -> int | NDArray[np.int16]:
        """The exponent bias; or a read-only array that broadcasts to the shape, or has one for each block."""
        values = self._biases.values
        if isinstance(values, int):
            return values
        view = values.view()
        view.flags.writeable = False
        return view

    @property
    def axis(self) -> int | tuple[int, ...] | None:
        """The axis whose slices have a bias each, or what blocks run along if not the last axis, or None."""
        return self._biases.axis

    @property
    def block(self) -> int | None:
        """The number of consecutive elements that share a bias, or None."""
        return self._biases.block

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """What it computes as: float32, which holds every value exactly."""
        return FLOAT32

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._codes.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._codes.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._codes.size

    @property
    def itemsize(self) -> int:
        """Bytes of one stored code: 1 or 2."""
        return self._codes.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of the codes; those of the biases are ``np.asarray(a.bias).nbytes``."""
        return self._codes.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        """The codes' strides in bytes."""
        return self._codes.strides

    @property
    def flags(self) -> Any:
        """The flags of the codes' memory, as ``ndarray.flags``."""
        return self._codes.flags

    @property
    def T(self) -> Self:  # noqa: N802
        """The array with its axes in reverse order; it shares the codes."""
        return self.transpose()

    @property
    def mT(self) -> Self:  # noqa: N802
        """The array with its last two axes exchanged; it shares the codes."""
        if self.ndim < 2:
            raise ArgumentValueError(f"mT takes two axes or more; the array has {self.ndim}")
        return self.swapaxes(-1, -2)

    @property
    def real(self) -> Self:
        """The array itself."""
        return self

    @property
    def imag(self) -> NDArray[np.float32]:
        """Zeros of its shape, read-only."""
        return np.broadcast_to(np.float32(0), self.shape)

    @property
    def flat(self) -> "FlatView":
        """The elements in row-major order: to iterate over, index, and assign to."""
        return FlatView(self)

    @flat.setter
    def flat(self, value: Any) -> None:
        self.flat[:] = value

    def __len__(self) -> int:
        return len(self._codes)

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        if self.ndim == 1:
            return iter(self.__array__())
        return (self[i] for i in range(len(self)))

    @in_default_modes
    def __contains__(self, value: object) -> bool:
        return bool((self == value).any())

    def __sizeof__(self) -> int:
        # as an ndarray's: with the codes if they are its own, and not a view of another's
        return object.__sizeof__(self) + self._codes.__sizeof__() + self._biases.__sizeof__()

    # Values

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError(
                "the values are computed from the codes; they cannot be had without a copy"
            )
        return self._decode() if dtype is None else self._as_dtype(np.dtype(dtype))

    def _decode(self, dtype: np.dtype[Any] = FLOAT32) -> Array:
        """Decode to float32 or float64, in a new array of the same shape."""
        codes, fmt, biases = self._codes, self._format, self._biases
        if not fmt._fills_storage:
            check_codes(codes, fmt)
        if biases.blocks is None:
            return decode_checked(codes, fmt, biases.values, codes.shape, dtype)
        return decode_layout(codes, fmt, biases.values, biases.blocks, dtype)

    def _check_codes(self) -> None:
        """Refuse codes that the format lacks, which may have been written to the memory."""
        if not self._format._fills_storage:
            check_codes(self._codes, self._format)

    def _native(self) -> Array:
        """Give the codes in native byte order, all of which the format has."""
        self._check_codes()
        codes = self._codes
        return codes if codes.dtype.isnative else codes.astype(self._format.storage_dtype)

    @in_default_modes
    def _as_dtype(self, dtype: np.dtype[Any], **how: Any) -> Array:
        """Convert to a dtype by way of float32, or of float64 if it is that, as an ndarray's astype does."""
        values = self._decode(_FLOAT64 if dtype == _FLOAT64 else FLOAT32)
        return values.astype(dtype, copy=False, **how) if how or values.dtype != dtype else values

    @in_default_modes
    def item(self, *args: Any) -> float:
        """Give one element as a Python float, as ``ndarray.item``."""
        if not args and self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        flat = args[0] if len(args) == 1 and not isinstance(args[0], tuple) else None
        if not args:
            element = self.reshape(())[()]
        elif flat is not None:
            element = self.flat[index(flat)]
        else:
            place = args[0] if len(args) == 1 else args
            if len(place) != self.ndim:
                raise ValueError("incorrect number of indices for array")
            element = self[tuple(index(i) for i in place)]
        return float(element)

    @in_default_modes
    def tolist(self) -> Any:
        """Give the values as Python floats in nested lists, as ``ndarray.tolist``."""
        return self._decode().tolist()

    @in_default_modes
    def __float__(self) -> float:
        return float(self._scalar("a float"))

    @in_default_modes
    def __int__(self) -> int:
        return int(self._scalar("an int"))

    @in_default_modes
    def __complex__(self) -> complex:
        return complex(self._scalar("a complex"))

    @in_default_modes
    def __bool__(self) -> bool:
        if self.size != 1:
            return bool(self._decode())  # NumPy's own error
        return bool(self._scalar("a bool"))

    def _scalar(self, what: str) -> Any:
        if self.ndim != 0:
            if self.size == 1 and what == "a bool":
                return self._decode().reshape(-1)[0]
            raise TypeError(f"only 0-dimensional arrays can be converted to {what}")
        return self._decode()[()]

    def astype(
        self,
        dtype: DTypeLike | Format,
        bias: ArrayLike | None = None,
        *,
        copy: bool = True,
        **how: Any,
    ) -> Any:
        """Convert to a NumPy dtype, or to a format.

        Parameters
        ----------
        dtype : dtype, Format or str
            What to convert to: a dtype or its name, or a Format or the name of one of the whitepaper's four
            (the other formats' names are those of dtypes).
        bias : int, array_like of int or str, optional
            The biases if it is a Format, as in `asarray`: the format's default if None, and not the
            array's own, even if the format stays the same.
        copy : bool, default True
            Whether to copy even if format and biases stay as they are.
        **how
            For a Format, the other arguments of `asarray`: `axis`, `block`, `rounding`, ...; for a dtype,
            those of `numpy.ndarray.astype`: `order`, `casting`, `subok`.

        Returns
        -------
        ndarray or CFloatArray

        Raises
        ------
        ArgumentTypeError, ArgumentValueError
            As `asarray`.

        Examples
        --------
        >>> import numpy as np
        >>> import cfloat as cf
        >>> a = cf.asarray([1.0, 2.7], cf.CFloat16_SHP)
        >>> a.astype(np.float64)
        array([1.        , 2.69921875])
        >>> a.astype(cf.CFloat8_1_4_3)
        CFloatArray([1.  , 2.75], CFloat8_1_4_3, bias=7)

        The default bias is taken, whatever that of the array:

        >>> b = cf.asarray([1.5, 1000.0], cf.CFloat8_1_4_3, bias=5)
        >>> b.astype(cf.CFloat8_1_4_3)
        CFloatArray([  1.5, 480. ], CFloat8_1_4_3, bias=7)
        >>> b.astype(cf.CFloat8_1_4_3, b.bias)
        CFloatArray([   1.5, 1024. ], CFloat8_1_4_3, bias=5)
        """
        if isinstance(dtype, str):
            dtype = find_without_dtype(dtype) or dtype
        if isinstance(dtype, Format):
            foreign = sorted(how.keys() - _OF_ASARRAY)
            if foreign:
                raise ArgumentTypeError(
                    f"dtype is the Format {dtype.name}, and {', '.join(foreign)} is given; a Format takes "
                    f"{', '.join(_OF_ASARRAY)}"
                )
            made = self._in_format(dtype, bias, **how)
            return made.copy() if copy and made._codes is self._codes else made
        unknown = sorted(how.keys() - {"order", "casting", "subok"})
        if bias is not None or unknown:
            given = ", ".join(unknown) or f"bias {shown(bias)}"
            raise ArgumentTypeError(
                f"dtype is {shown(dtype)}, and {given} is given; that takes a Format"
            )
        return self._as_dtype(np.dtype(dtype), **how)

    def _in_format(
        self,
        fmt: Format,
        bias: ArrayLike | None,
        axis: Axis | None = None,
        block: SupportsIndex | None = None,
        rounding: RoundingMode = "ties_to_even",
        **stochastic: Any,
    ) -> "CFloatArray":
        """Round into a format at biases, as `asarray`: an array that has them is given as it is."""
        biases = layout_for(self, fmt, bias, axis, block)
        how = check_rounding(rounding, self.shape, **stochastic)
        if self._same_code_meaning(fmt, biases, self.shape):
            return self
        return encoded(self._decode(), fmt, biases, how)

    def rebias(
        self,
        bias: ArrayLike | None,
        *,
        axis: Axis | None = None,
        block: SupportsIndex | None = None,
        rounding: RoundingMode = "ties_to_even",
        seed: SupportsIndex | None = None,
        return_changed: bool = False,
    ) -> Any:
        """Encode the values anew, with other biases.

        Parameters
        ----------
        bias, axis, block, rounding, seed
            As in `asarray`.
        return_changed : bool, default False
            Whether to tell which values the new biases do not have.

        Returns
        -------
        CFloatArray
            Of the same format and shape.
        changed : ndarray of bool
            With `return_changed`: where the new value is not the old one.

        Raises
        ------
        ArgumentTypeError, ArgumentValueError
            As `asarray`.

        Examples
        --------
        >>> import cfloat as cf
        >>> a = cf.asarray([0.25, 1.0, 480.0], cf.CFloat8_1_4_3)
        >>> b, changed = a.rebias(8, return_changed=True)
        >>> b
        CFloatArray([  0.25,   1.  , 240.  ], CFloat8_1_4_3, bias=8)
        >>> changed
        array([False, False,  True])
        """
        values = self._decode()
        biases = layout_for(values, self._format, bias, axis, block)
        made = encoded(values, self._format, biases, check_rounding(rounding, self.shape, seed))
        if not return_changed:
            return made
        with flags.no_flags():  # made of the same values once already
            old, new = self._decode(), made._decode()
        return made, (old != new) & ~(np.isnan(old) & np.isnan(new))

    # Copies and files

    def copy(self, order: Any = "C") -> Self:
        """Copy the array: nothing is shared."""
        return self._of(self._codes.copy(order=order), self._format, self._biases)

    def __copy__(self) -> Self:
        return self.copy("K")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy("K")

    def __reduce__(self) -> tuple[Any, ...]:
        biases = self._biases
        parts = (self._codes, self._format, biases.values, biases.block)
        if biases.block is None or biases.axis is None:
            return type(self)._restored, parts
        # an earlier version takes no more than five, and refuses these
        return type(self)._restored, (*parts, None, biases.axis)

    @classmethod
    def _restored(
        cls,
        codes: Array,
        fmt: Format,
        values: int | NDArray[np.int16],
        block: int | None,
        registrar: str | None = None,
        axis: Axis | None = None,
    ) -> Self:
        """Rebuild a pickled array, with the checks of a new one: the bytes may come from anywhere.

        A module that registers arrays with another library is imported first, where it can be.
        """
        if registrar is not None and registrar in _REGISTRARS:
            with suppress(ImportError):
                import_module(registrar)
        return cls(codes, fmt, values, axis=axis, block=block)

    def tobytes(self, order: Order = "C") -> bytes:
        """Give the codes' bytes."""
        return self._codes.tobytes(order)

    # Indexing

    def __getitem__(self, key: Any) -> Any:
        if type(key) not in _PLAIN_KEYS:
            key = self._plain_key(key)
        codes = self._codes[key]
        biases = self._biases
        if type(biases.values) is not int:
            biases = biases.index(self._codes.shape, key)
        if isinstance(codes, np.ndarray):
            return self._of(codes, self._format, biases)
        return self._value(codes, biases)

    def _value(self, code: Any, biases: BiasLayout) -> Any:
        """Decode one code, a NumPy scalar: to a float32."""
        fmt = self._format
        if fmt.bits <= _TABLE_BITS and isinstance(biases.values, int) and asked() is None:
            table = fmt._table(biases.values)
            if code < table.size:
                return table[code]
        codes = np.asarray(code)
        if not fmt._fills_storage:
            check_codes(codes, fmt)
        return decode_checked(codes, fmt, biases.values, (), FLOAT32)[()]

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) not in _PLAIN_KEYS:
            key = self._plain_key(key)
        codes = self._codes
        shape = codes.shape if key is Ellipsis else np.shape(codes[key])
        biases = self._biases.index(self.shape, key)
        if isinstance(value, CFloatArray) and value._same_code_meaning(self._format, biases, shape):
            self._codes[key] = value._codes
            return
        values = real_array("x", value)
        if biases.one is not None and not flags.are_counted():
            # each element once, however often it is assigned
            encoded = encode_layout(values, self._format, biases.one, None, values.shape)
        else:  # flags count every element that is assigned to
            spread = _spread(values, shape)
            encoded = encode_layout(spread, self._format, biases.values, biases.blocks, shape)
        self._codes[key] = encoded

    @classmethod
    def _plain_key(cls, key: Any) -> Any:
        """Replace the CFloatArrays in an index by the float32 arrays that they stand for."""
        if type(key) in _PLAIN_KEYS:
            return key
        if isinstance(key, CFloatArray):
            return key._decode()
        if isinstance(key, tuple):
            return tuple(map(cls._plain_key, key))
        return key

    def _same_code_meaning(self, fmt: Format, biases: BiasLayout, shape: tuple[int, ...]) -> bool:
        return self._format == fmt and self._biases.equal(biases, self.shape, shape)

    # Shape

    def _moved(self, move: Callable[[Array], Array]) -> Self:
        """Give what a function that only moves or selects elements makes of the array."""
        codes = move(self._codes)
        if self._biases.one is not None:
            return self._of(codes, self._format, self._biases)
        return self._of(codes, self._format, compressed(move(self._biases.full(self.shape))))

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Self:
        """Arrange the elements in another shape, as ``ndarray.reshape``; it shares the codes if it can."""
        new = shape[0] if len(shape) == 1 else shape
        if order not in ("C", "F", "A"):
            raise ArgumentValueError(f"order is {shown(order)}; it takes 'C', 'F' or 'A'")
        if order == "A":  # of the codes' memory, whatever that of the biases
            order = "F" if self._codes.flags.fnc else "C"
        codes: Array = self._codes.reshape(new, order=order)  # type: ignore[call-overload]
        shared = np.may_share_memory(codes, self._codes)
        if copy is False and not shared and self.size:
            raise ValueError("Unable to avoid creating a copy while reshaping.")
        if copy and shared:
            codes = codes.copy()
        return self._of(codes, self._format, self._biases.reshaped(self.shape, codes.shape, order))

    def transpose(self, *axes: Any) -> Self:
        """Give a view with its axes permuted, as ``ndarray.transpose``."""
        return self._permuted(lambda a: a.transpose(*axes))

    def swapaxes(self, axis1: SupportsIndex, axis2: SupportsIndex) -> Self:
        """Give a view with two axes exchanged."""
        return self._permuted(lambda a: a.swapaxes(axis1, axis2))

    def _permuted(self, move: Callable[[Array], Array]) -> Self:
        return self._of(move(self._codes), self._format, self._biases.transposed(self.shape, move))

    def squeeze(self, axis: Any = None) -> Self:
        """Give a view without axes of length 1."""
        codes = self._codes.squeeze(axis)
        return self._of(codes, self._format, self._biases.reshaped(self.shape, codes.shape, "C"))

    def ravel(self, order: str = "C") -> Self:
        """Arrange the elements in one axis, next to each other; it shares the codes if they are that."""
        if order not in ("C", "F", "A", "K"):
            raise ArgumentValueError(f"order is {shown(order)}; it takes 'C', 'F', 'A' or 'K'")
        if order != "K":
            flat = self.reshape(-1, order=order)
        else:
            flat = self.transpose(axes_in_memory(self._codes)).reshape(-1)
        return flat if flat._codes.flags.c_contiguous else flat.copy()

    def flatten(self, order: str = "C") -> Self:
        """Copy the elements into one axis."""
        flat = self.ravel(order)
        return flat.copy() if np.may_share_memory(flat._codes, self._codes) else flat

    def diagonal(
        self, offset: SupportsIndex = 0, axis1: SupportsIndex = 0, axis2: SupportsIndex = 1
    ) -> Self:
        """Give the diagonals, as ``ndarray.diagonal``."""
        return self._moved(lambda a: a.diagonal(offset, axis1, axis2))

    # Changes in place

    def fill(self, value: Any) -> None:
        """Set every element to a value, rounded into the format."""
        self[...] = value

    def put(self, indices: Any, values: Any, mode: Mode = "raise") -> None:
        """Set elements by their places in row-major order, as ``np.put``."""
        np.put(cast(Array, self.flat.base), indices, values, mode)

    @in_default_modes
    def sort(self, axis: SupportsIndex = -1, kind: Any = None, *, stable: Any = None) -> None:
        """Sort in place, as ``ndarray.sort``; an element that gets to another bias is rounded."""
        values = self._decode()
        values.sort(axis=axis, kind=kind, stable=stable)
        self[...] = values

    @in_default_modes
    def partition(self, kth: Any, axis: SupportsIndex = -1, kind: Any = "introselect") -> None:
        """Partition in place, as ``ndarray.partition``; an element that gets to another bias is rounded."""
        values = self._decode()
        values.partition(kth, axis=axis, kind=kind)
        self[...] = values

    # Text

    @in_default_modes
    def __repr__(self) -> str:
        return display.represented(
            type(self).__name__,
            self._shown(),
            self.shape,
            self._format.name,
            self.bias,
            self.block,
            None if self.block is None else self.axis,
        )

    @in_default_modes
    def __str__(self) -> str:
        return display.stringed(self._shown(), self.shape)

    def _shown(self) -> Array:
        """Decode what is printed: all values, or of a large array those that a summary shows."""
        key = display.summary_key(self.shape)
        with flags.no_flags():  # looking at an array is no operation on it
            return self._decode() if key is None else self[key]._decode()

    @in_default_modes
    def _repr_inline_(self, max_width: int) -> str:
        """Show the array in one line of so many characters at most, as xarray asks for."""
        first = self.reshape(-1)[: max_width // 2 + 1]  # each value takes two characters or more
        with flags.no_flags():
            values = first._decode()
        return display.in_line(self._format.name, values, first.size == self.size, max_width)

    @in_default_modes
    def __format__(self, spec: str) -> str:
        if self.ndim == 0:
            return format(self._decode()[()], spec)
        if not spec:
            return str(self)
        raise TypeError("unsupported format string passed to CFloatArray.__format__")

    # Products and signs: as the ufuncs, without the way through NumPy

    def __matmul__(self, other: Any) -> Any:
        if type(self) is CFloatArray and type(other) in _PLAIN_OPERANDS:
            product = PROTOCOLS["__matmul__"](self, other)
            if product is not None:
                return product
        return super().__matmul__(other)

    def __neg__(self) -> Any:
        if type(self) is not CFloatArray or not self._format.signed:
            return np.negative(self)
        codes = np.asarray(code_order(self._format).negated(self._native()))
        return self._of(codes, self._format, self._biases)

    def __pos__(self) -> Any:
        if type(self) is not CFloatArray:
            return np.positive(self)
        return self.copy("K")

    def __abs__(self) -> Any:
        if type(self) is not CFloatArray:
            return np.absolute(self)
        codes = np.asarray(code_order(self._format).absolute(self._native()))
        return self._of(codes, self._format, self._biases)

    # Protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return PROTOCOLS["__array_ufunc__"](ufunc, method, inputs, kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return PROTOCOLS["__array_function__"](self, func, types, args, kwargs)


# Operands that have no idea of their own of what a product is.
_PLAIN_OPERANDS: Final = frozenset((CFloatArray, np.ndarray))


def check_has_zero(fmt: Format) -> Format:
    """Give a format that has zeros; others are refused."""
    if not fmt._has_zero:
        raise ArgumentValueError(f"{fmt.name} has no zero (subnormals='normal')")
    return fmt


def layout_for(
    x: Any,
    fmt: Format,
    bias: ArrayLike | None,
    axis: Axis | None,
    block: SupportsIndex | None,
) -> BiasLayout:
    """Check the biases that values are to have, or choose them if `bias` names a way to.

    What a masked array masks is left out of the choice.
    """
    if isinstance(bias, str):
        bias = choose_bias(x, fmt, check_method("bias", bias, fmt), axis=axis, block=block)
    return check_layout(fmt, bias, x.shape, axis, block)


def encoded(values: Array, fmt: Format, biases: BiasLayout, how: Rounding) -> CFloatArray:
    """Round values, of a dtype that can be encoded, into an array of their shape."""
    codes = encode_layout(values, fmt, biases.values, biases.blocks, values.shape, how)
    return CFloatArray._of(codes, fmt, biases)


def _spread(values: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast values to a shape; as NumPy lets them, they may have more axes, of length 1."""
    extra = values.ndim - len(shape)
    if extra > 0 and values.shape[:extra] == (1,) * extra:
        values = values.reshape(values.shape[extra:])
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise ValueError(
            f"could not broadcast input array from shape {values.shape} into shape {shape}"
        ) from None
