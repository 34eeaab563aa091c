"""The rows of small calls: what a call costs that has little to do."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._array.creation import asarray
from cfloat._bias.bias_methods import BiasMethod
from cfloat._bias.choose import choose_bias
from cfloat._bias.round_to import round_to
from cfloat._convert.elementwise import decode, encode
from cfloat._core.flags import no_flags
from cfloat._core.presets import CFloat8_1_4_3
from cfloat._matmul.matmul import matmul
from cfloat._metrics.error import error
from cfloat.errors import CFloatError

from .context import Context
from .row import Calls, Case, Goal
from .timing import Call

Array = NDArray[Any]

GROUP: Final = "Small calls: microseconds each"

_F8: Final = CFloat8_1_4_3
_FEW: Final = 3
_SOME: Final = 1000


class _Small(NamedTuple):
    """A call beside NumPy's, and what it must give."""

    work: str
    most_us: float
    own: Call
    reference: Call | None
    expected: Callable[[], Any]


def cases(context: Context) -> Iterator[Case]:
    """List the small calls."""
    del context
    for title, rows in (
        ("conversions / astype", _conversions),
        ("arrays / NumPy's of float32", _arrays),
        ("products / NumPy's of float32", _products),
        ("biases and errors", _measurements),
    ):
        for row in rows():
            yield Case(
                GROUP,
                title,
                row.work,
                "us",
                1e-6,
                _Preparation(row),
                Goal(row.most_us, is_ratio=False),
            )


@dataclass(frozen=True)
class _Preparation:
    row: _Small

    def __call__(self) -> Calls:
        row = self.row
        if not np.array_equal(np.asarray(row.own()), np.asarray(row.expected())):
            raise CFloatError(f"{row.work}: a wrong result")
        return Calls(row.own, row.reference)


def _conversions() -> Iterator[_Small]:
    few = np.array([0.1, -2.5, 1000.0], np.float32)
    codes = np.array([29, 194, 127], np.uint8)
    values = np.array([0.1015625, -2.5, 480], np.float32)
    size = few / 8
    some = _values(_SOME)
    yield _Small(
        "encode, 3 elements", 1.3, lambda: encode(few, _F8), lambda: size.astype(np.uint8),
        lambda: codes,
    )  # fmt: skip
    yield _Small(
        "decode, 3 elements", 1.3, lambda: decode(codes, _F8), lambda: codes.astype(np.float32),
        lambda: values,
    )  # fmt: skip
    yield _Small(
        "round_to, 3 elements", 1.3, lambda: round_to(few, _F8), lambda: few.astype(np.float32),
        lambda: values,
    )  # fmt: skip
    yield _Small(
        f"asarray, {_SOME} elements", 4, lambda: asarray(some, _F8), lambda: some.astype(np.uint8),
        lambda: round_to(some, _F8),
    )  # fmt: skip


def _arrays() -> Iterator[_Small]:
    # as NumPy's stubs have no place for it
    q: Any = asarray(_values(_SOME), _F8)
    x = np.asarray(q)
    # what is added to again and again, and what it is compared with
    r, y = q.copy(), x.copy()
    out = q.copy()
    plain = np.empty_like(x)

    def rounded(values: Array) -> Array:
        with no_flags():
            return round_to(values, _F8)

    yield _Small("q[3]", 0.6, lambda: q[3], lambda: x[3], lambda: x[3])
    yield _Small("q[2:10]", 1, lambda: q[2:10], lambda: x[2:10], lambda: x[2:10])
    yield _Small("q + q", 6, lambda: q + q, lambda: x + x, lambda: x + x)
    yield _Small("q * 2", 6, lambda: q * 2, lambda: x * 2, lambda: x * 2)
    yield _Small("np.exp(q)", 6, lambda: np.exp(q), lambda: np.exp(x), lambda: np.exp(x))
    yield _Small("q == q", 6, lambda: q == q, lambda: x == x, lambda: x == x)
    yield _Small(
        "np.add(q, q, out=q')", 10, lambda: np.add(q, q, out=out),
        lambda: np.add(x, x, out=plain), lambda: rounded(x + x),
    )  # fmt: skip
    yield _Small(
        "q += 1",
        10,
        lambda: _add_one(r),
        lambda: _add_one(y),
        lambda: rounded(x + 1),
    )


def _add_one(values: Any) -> Any:
    values += 1
    return values


def _products() -> Iterator[_Small]:
    for n in (4, 8, 16):
        a, b, x, y = _matrices(n)
        plain = partial(operator.matmul, x, y)
        yield _Small(f"a @ b, {n}x{n}", 4, partial(operator.matmul, a, b), plain, plain)
    a, b, x, y = _matrices(4)
    yield _Small(
        "cf.matmul(a, b), 4x4", 3, lambda: matmul(a, b), lambda: np.matmul(x, y), lambda: x @ y
    )
    wide, _, values, _ = _matrices(256)
    vector = _integers(256)
    yield _Small(
        "a @ x, 256x256", 6, lambda: wide @ vector, lambda: values @ vector, lambda: values @ vector
    )


def _measurements() -> Iterator[_Small]:
    x = _values(_SOME)
    q = asarray(x, _F8)
    twice = np.stack([x, x])
    methods: tuple[BiasMethod, ...] = ("mse", "percentile")
    for method in methods:
        yield _Small(
            f"choose_bias, {method}, {_SOME}", 20, partial(choose_bias, x, _F8, method), None,
            partial(_first_bias, twice, method),
        )  # fmt: skip
    exact = np.asarray(q, np.float64)
    yield _Small(
        f"cf.error, {_SOME}",
        30,
        lambda: error(x, q).max_abs,
        None,
        lambda: np.max(np.abs(exact - x)),
    )


def _first_bias(x: Array, method: BiasMethod) -> Any:
    return np.asarray(choose_bias(x, _F8, method, axis=0))[0]


def _values(size: int) -> Array:
    return np.random.default_rng(0).standard_normal(size).astype(np.float32)


def _integers(*shape: int) -> Array:
    """Draw small integers, whose products add up without an error in any order."""
    return np.random.default_rng(0).integers(-4, 5, shape).astype(np.float32)


def _matrices(n: int) -> tuple[Any, Any, Array, Array]:
    x = _integers(n, n)
    y = x[::-1].copy()
    return asarray(x, _F8), asarray(y, _F8), x, y
