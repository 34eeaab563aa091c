"""Choosing exponent biases."""

import math
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._convert.elementwise import round_to
from cfloat._core import binding
from cfloat._core.finfo import finfo
from cfloat._core.flags import quiet
from cfloat._core.format import Format
from cfloat._core.presets import as_format
from cfloat._core.public import public
from cfloat._core.text import shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError

from .groups import Blocks, Groups, Slices
from .histogram import Moments
from .layout import check_axis, check_block, check_integer
from .peak import largest, pieces, scale_exponent

Array = NDArray[Any]
Floats = NDArray[np.float64]
Biases: TypeAlias = NDArray[np.int16]

BiasMethod = Literal["max", "mse", "percentile"]
BIAS_METHODS: Final[tuple[BiasMethod, ...]] = ("max", "mse", "percentile")

# Elements tried at a time: with 64 biases, as many values as fit in a core's cache.
_PIECE = 1 << 12

# A bias is left untried if it could lower a squared error by less than this share of it.
_GAIN = 0.01


@public
def choose_bias(
    x: ArrayLike,
    fmt: Format,
    method: BiasMethod = "mse",
    *,
    axis: SupportsIndex | None = None,
    block: SupportsIndex | None = None,
    percentile: float = 99.9,
) -> int | Biases:
    """Choose the exponent bias for a tensor, or one for each slice or block of it.

    Parameters
    ----------
    x : array_like
        Values of a dtype that `encode` takes.  Infinities and NaN are left out.
    fmt : Format
        The format.
    method : {"mse", "max", "percentile"}, optional
        "mse": the bias of the least sum of squared errors under rounding to nearest; among equally good ones
        that nearest the format's default.  "max": the largest bias at which no element is beyond the format's
        largest value.  "percentile": the largest at which so many per cent of the elements are not.
    axis : int, optional
        Choose a bias for each slice along this axis.
    block : int, optional
        Choose a bias for each `block` consecutive elements of the last axis; the last may have fewer.
    percentile : float, optional
        Above 0 and at most 100; of "percentile" only.

    Returns
    -------
    int or ndarray of int16
        One bias; or with `axis` an array of that axis's length, with `block` one of the shape of `x` with the
        number of blocks in place of the last length: as `asarray` takes them with the same `axis` or `block`.
        A bias within the format's range, even where none serves; the default where all elements are 0, not
        finite, or there are none.

    Raises
    ------
    ArgumentTypeError
        If `x` is not of real numbers, or `fmt` not a Format.
    ArgumentValueError
        If `method`, `axis`, `block` or `percentile` are not among those above.

    Notes
    -----
    For a whole tensor "mse" has the least error of all biases, found in one pass over the tensor for formats
    of at most 10 mantissa bits.  For slices and blocks it is within 1 % of the least: biases are tried from
    that of "max" upward while what saturates does not alone cost more, and downward where denormals cost that
    much.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> x = np.random.default_rng(0).standard_normal((3, 1000)) * [[0.01], [1.0], [100.0]]
    >>> cf.choose_bias(x, cf.CFloat8_1_4_3), cf.choose_bias(x, cf.CFloat8_1_4_3, "max")
    (7, 7)
    >>> cf.choose_bias(x, cf.CFloat8_1_4_3, axis=0)
    array([18, 13,  7], dtype=int16)
    """
    fmt = as_format(fmt)
    check_method("method", method)
    array = _numbers(x)
    share = check_percentile(percentile) / 100.0
    if axis is None and block is None:
        return _choose_one(array, fmt, method, share)
    groups: Groups
    if block is None:
        assert axis is not None
        groups = Slices(array, check_axis(axis, array.ndim))
    elif axis is None:
        length = check_block(block, array.shape)
        whole = array.shape[-1] // length * length
        if method == "percentile" and whole < array.shape[-1]:
            # what fills short blocks would count as elements
            parts = ((array[..., :whole], length), (array[..., whole:], array.shape[-1] - whole))
            chosen = [
                choose_bias(part, fmt, method, block=size, percentile=percentile)
                for part, size in parts
            ]
            return np.concatenate(chosen, axis=-1)
        groups = Blocks(array, length)
    else:
        raise ArgumentValueError("axis and block are both given; one of them at most")
    biases = np.full(groups.count, fmt.default_bias, np.int16)
    with quiet(), np.errstate(all="ignore"):
        for part, values in groups:
            biases[part] = _choose_each(values, fmt, method, share)
    return biases.reshape(groups.shape)


def grouped_error(groups: Groups, fmt: Format) -> tuple[Biases, float]:
    """Return the biases of the least squared errors, one a group, and the sum of those errors.

    Parameters
    ----------
    groups : Groups
        Of float32 values, or such as fit in it; infinities and NaN are left out.
    fmt : Format
        The format.
    """
    biases = np.full(groups.count, fmt.default_bias, np.int16)
    noise = 0.0
    with quiet(), np.errstate(all="ignore"):
        for part, values in groups:
            finite = np.where(np.isfinite(values), values, 0).astype(np.float32)
            biases[part] = _choose_each(finite, fmt, "mse", 1.0)
            noise += float(_row_errors(finite, fmt, biases[part], np.zeros(len(finite), int)).sum())
    return biases, noise


def check_method(name: str, method: str) -> BiasMethod:
    """Return a way to choose a bias, or say which there are."""
    for known in BIAS_METHODS:
        if method == known:
            return known
    takes = ", ".join(map(repr, BIAS_METHODS))
    raise ArgumentValueError(f"{name} is {shown(method)}; it takes {takes}")


def _numbers(x: ArrayLike) -> Array:
    array = np.asarray(x)
    if not binding.is_source_dtype(array.dtype):
        raise ArgumentTypeError(f"x has dtype {array.dtype}; it takes {binding.SOURCE_DTYPES}")
    return array


def check_percentile(percentile: Any) -> float:
    """Return a percentage, or say what is allowed."""
    try:
        value = float(percentile)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"percentile is {shown(percentile)}; it takes a number") from None
    if not 0 < value <= 100:
        raise ArgumentValueError(f"percentile is {value}; it is above 0 and at most 100")
    return value


def _choose_one(x: Array, fmt: Format, method: BiasMethod, share: float) -> int:
    if method == "mse":
        return best_bias(x, fmt)
    flat = x.reshape(-1)
    if method == "max":
        return int(bias_for(np.array(largest(flat)), fmt))
    return _whole_percentile(flat, fmt, share)


def _whole_percentile(flat: Array, fmt: Format, share: float) -> int:
    """Return the largest bias at which a share of the finite elements is within the range."""
    moments = Moments.of(flat, fmt)
    least, most = percentile_range(moments, fmt, share)
    wanted = rank(share, moments.finite) + 1
    # nearly always it is known already
    within = (count_within(flat, fmt, bias) >= wanted for bias in range(most, least, -1))
    return next((most - i for i, enough in enumerate(within) if enough), least)


def percentile_range(moments: Moments, fmt: Format, share: float) -> tuple[int, int]:
    """Return the least and the largest that the bias of a share of the elements can be."""
    magnitude = moments.magnitude_at(share)
    # it is known to the bits of a set, in which one bias may end and the next begin
    least, most = (bias_for(np.array(magnitude * near), fmt) for near in (1 + 2**-6, 1 - 2**-6))
    return int(least), int(most)


def count_within(x: Array, fmt: Format, bias: int) -> int:
    """Return how many elements of a flat array are no larger than a format's largest value at a bias."""
    top = float(finfo(fmt, bias).max)
    return sum(
        int(np.count_nonzero(np.abs(x[piece].astype(np.float64)) <= top))
        for piece in pieces(x.size)
    )


def bias_for(magnitudes: Floats, fmt: Format) -> Biases:
    """Return the largest biases at which magnitudes are within a format's range; for 0 the default."""
    low, high = fmt.bias_range
    top, top_exponent = math.frexp(float(finfo(fmt, low).max))
    fraction, exponent = np.frexp(magnitudes)
    biases = low + top_exponent - exponent - (fraction > top)
    return np.where(magnitudes == 0, fmt.default_bias, np.clip(biases, low, high)).astype(np.int16)


def _choose_each(values: Array, fmt: Format, method: BiasMethod, share: float) -> Biases:
    """Return a bias for each row."""
    narrow = (values.dtype.kind == "f" and values.dtype.itemsize <= 4) or values.dtype.kind == "V"
    values = values.astype(np.float32 if narrow else np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        if method == "percentile":
            return np.array(
                [
                    _row_percentile(row[own], share, fmt)
                    for row, own in zip(values, finite, strict=True)
                ],
                np.int16,
            )
        values[~finite] = 0
    magnitudes = np.abs(values)
    if method == "percentile" and values.shape[1]:
        place = rank(share, values.shape[1])
        return bias_for(np.partition(magnitudes, place, axis=1)[:, place].astype(np.float64), fmt)
    peaks = magnitudes.max(axis=1, initial=0).astype(np.float64)
    biases = bias_for(peaks, fmt)
    return biases if method == "max" else _search(values, magnitudes, peaks, biases, fmt)


def rank(share: float, count: int) -> int:
    """Return the place, in order, of the least of so many that a share does not exceed."""
    return min(max(math.ceil(share * count) - 1, 0), count - 1)


def _row_percentile(row: Array, share: float, fmt: Format) -> int:
    if not row.size:
        return fmt.default_bias
    place = rank(share, row.size)
    return int(bias_for(np.partition(np.abs(row), place)[place].astype(np.float64), fmt))


def _search(values: Array, magnitudes: Array, peaks: Floats, start: Biases, fmt: Format) -> Biases:
    """Return the biases of the least squared errors of rows, from those at which nothing saturates."""
    low, high = fmt.bias_range
    top = float(finfo(fmt, low).max)
    scale = np.frexp(peaks)[1]
    first_error = _row_errors(values, fmt, start, scale)
    best_error, best = first_error.copy(), start.astype(np.int64)

    def try_biases(active: NDArray[np.intp], biases: Array) -> None:
        errors = _row_errors(values[active], fmt, biases[active], scale[active])
        better = active[errors < best_error[active]]
        best[better] = biases[better]
        best_error[active] = np.minimum(errors, best_error[active])

    # what saturates, the largest element alone costs; and more at every larger bias
    for step in range(1, high - low + 1):
        biases = start + step
        excess = np.ldexp(peaks - np.ldexp(top, low - biases), -scale)
        active = np.flatnonzero((biases <= high) & (excess * excess < best_error))
        if not active.size:
            break
        try_biases(active, biases)
    if fmt.subnormals == "whitepaper":
        # what is normal at a bias rounds no better at a smaller one; what lies in the hole may, or below it
        normal = np.ldexp(1.0, 1 - start.astype(np.int64))[:, np.newaxis]
        possible = _row_errors(np.where(magnitudes < normal, values, 0), fmt, start, scale)
        least_error = first_error - possible
        for step in range(1, fmt.mantissa_bits + 4):  # from there on they are all zero
            biases = start - step
            active = np.flatnonzero(
                (biases >= low) & (possible > 0) & (best_error > (1 + _GAIN) * least_error)
            )
            if not active.size:
                break
            try_biases(active, biases)
    # where all are normal at several biases, these are equally good
    least = np.where(magnitudes > 0, magnitudes, np.inf).min(axis=1, initial=np.inf)
    equal = np.clip(2 - np.frexp(np.where(np.isfinite(least), least, 1.0))[1], low, best)
    return np.where(
        (best == start) & (peaks > 0), np.clip(fmt.default_bias, equal, best), best
    ).astype(np.int16)


def _row_errors(values: Array, fmt: Format, biases: Array, scale: Array) -> Floats:
    """Return the sum of squared errors of each row at a bias of its own, in units of 4**scale of its own."""
    difference = round_to(values, fmt, biases.astype(np.int16)[:, np.newaxis])
    difference -= values
    scaled = np.ldexp(difference, -scale[:, np.newaxis])
    # not by einsum, which adds up a row in another order if it is the only one
    errors: Floats = np.square(scaled, dtype=np.float64).sum(axis=1)
    return np.where(np.isnan(errors), np.inf, errors)


def squared_errors(
    x: NDArray[Any], fmt: Format, progress: Callable[[int], None] | None = None
) -> NDArray[np.float64]:
    """Return the sums of squared errors of rounding a tensor at every bias of a format, by trying each.

    `Moments.errors` has the same, of all formats of at most 10 mantissa bits, from one pass.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that `encode` takes.  Infinities and NaN are left out.
    fmt : Format
        The format.
    progress : callable, optional
        Called with the number of elements times biases that are finished since the last call.

    Returns
    -------
    ndarray of float64, shape (number of biases,)
        Element i is of bias ``fmt.bias_range[0] + i``.  All share one factor, a power of two that keeps the
        squares of float64 values in range.
    """
    low, high = fmt.bias_range
    biases = np.arange(low, high + 1)[:, np.newaxis]
    errors = np.zeros(biases.size)
    flat = x.reshape(-1)
    # float32 has the others' values, and its squares are in float64's range
    narrow = (flat.dtype.kind == "f" and flat.itemsize <= 4) or flat.dtype.kind == "V"
    dtype = np.float32 if narrow else np.float64
    scale = 0 if narrow else scale_exponent(flat)
    rounded = np.empty((biases.size, min(_PIECE, flat.size)), dtype)
    with quiet(), np.errstate(all="ignore"):
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE].astype(dtype)
            piece = piece[np.isfinite(piece)]
            difference = rounded[:, : piece.size]
            round_to(piece, fmt, biases, out=difference)
            difference -= piece
            if scale:
                np.ldexp(difference, -scale, out=difference)
            errors += np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
            if progress is not None:
                progress(difference.size)
    # where a format has no infinity, what is too large has become NaN
    errors[np.isnan(errors)] = np.inf
    return errors


def best_bias(x: NDArray[Any], fmt: Format) -> int:
    """Return the bias with the least squared error of all that a format allows.

    Parameters
    ----------
    x : ndarray
        Values of a dtype that `encode` takes.  Infinities and NaN are left out.
    fmt : Format
        The format.

    Returns
    -------
    int
        Of several equally good ones, the one nearest the format's default bias.
    """
    errors = Moments.of(x, fmt).errors(fmt) if Moments.takes(fmt) else squared_errors(x, fmt)
    return least_error(errors, fmt)


def least_error(errors: Floats, fmt: Format) -> int:
    """Return the bias of the least of the errors at every bias that a format allows."""
    low, _ = fmt.bias_range
    best = np.flatnonzero(errors == errors.min()) + low
    return int(best[np.argmin(np.abs(best - fmt.default_bias))])


@public
class BiasTracker:
    """A bias that is learnt over training steps, from the largest magnitudes of the last tensors.

    This is what is known as delayed scaling, with a power of two for a scale.

    Parameters
    ----------
    fmt : Format
        The format.
    window : int, optional
        How many tensors the largest magnitude is taken from, the current one included: 1, the default, is the
        current tensor alone.
    margin : int, optional
        How many binades are kept free above that magnitude; 0 by default.

    Attributes
    ----------
    format : Format
        The format.
    bias : int
        The bias after the last `update`; the format's default before the first.

    Raises
    ------
    ArgumentTypeError
        If `fmt` is not a Format, or `window` or `margin` not an integer.
    ArgumentValueError
        If `window` is less than 1, or `margin` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> tracker = cf.BiasTracker(cf.CFloat8_1_4_3, window=2)
    >>> [tracker.update(np.float32([peak])) for peak in (1.0, 100.0, 1.0, 1.0)]
    [15, 9, 9, 15]
    >>> restored = cf.BiasTracker(cf.CFloat8_1_4_3, window=2)
    >>> restored.load_state_dict(tracker.state_dict())
    >>> restored.bias
    15
    """

    def __init__(
        self, fmt: Format, *, window: SupportsIndex = 1, margin: SupportsIndex = 0
    ) -> None:
        self.format = as_format(fmt)
        self._window = _count("window", window, 1)
        self._margin = _count("margin", margin, 0)
        self._history: deque[float] = deque(maxlen=self._window)
        low, _ = fmt.bias_range
        self._top, self._top_exponent = math.frexp(float(finfo(fmt, low).max))

    @property
    def bias(self) -> int:
        """The bias to use now."""
        peak = max(self._history, default=0.0)
        if peak == 0:
            return self.format.default_bias
        # as bias_for, without arrays, which cost more than the rest of a step of a small layer
        low, high = self.format.bias_range
        fraction, exponent = math.frexp(peak)
        bias = low + self._top_exponent - exponent - (fraction > self._top)
        return max(low, min(bias, high) - self._margin)

    def update(self, x: ArrayLike) -> int:
        """Take note of a tensor's largest finite magnitude and return the bias.

        Parameters
        ----------
        x : array_like
            Values of a dtype that `encode` takes.

        Returns
        -------
        int

        Raises
        ------
        ArgumentTypeError
            If `x` is not of real numbers.
        """
        self._history.append(largest(_numbers(x).reshape(-1)))
        return self.bias

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers, which JSON can hold."""
        return {
            "window": self._window, "margin": self._margin, "history": list(self._history),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Parameters
        ----------
        state : mapping
            The state, with its window and margin.

        Raises
        ------
        ArgumentTypeError, ArgumentValueError
            If it is no such state; nothing is changed then.
        """
        if not isinstance(state, Mapping) or set(state) != {"window", "margin", "history"}:
            raise ArgumentValueError(
                f"state is {shown(state)}; it takes a mapping of window, margin and history"
            )
        window = _count("window", state["window"], 1)
        margin = _count("margin", state["margin"], 0)
        try:
            history = [float(peak) for peak in state["history"]]
        except (TypeError, ValueError, OverflowError):
            raise ArgumentTypeError("history is not a list of numbers") from None
        if len(history) > window or not all(0 <= peak < math.inf for peak in history):
            raise ArgumentValueError(
                f"history is {shown(history)}; it takes {window} finite magnitudes at most"
            )
        self._window, self._margin = window, margin
        self._history = deque(history, maxlen=window)

    def __repr__(self) -> str:
        return (
            f"BiasTracker({self.format.name}, window={self._window}, margin={self._margin}): "
            f"bias {self.bias}"
        )


def _count(name: str, value: Any, least: int) -> int:
    number = check_integer(name, value)
    if number < least:
        raise ArgumentValueError(f"{name} is {number}; it is {least} or more")
    if number > sys.maxsize:  # more than a deque takes
        raise ArgumentValueError(f"{name} is {shown(number)}; it is {sys.maxsize} at most")
    return number
