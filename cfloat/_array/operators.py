"""Operators of an array beside objects that have their own: SciPy's sparse matrices, `np.matrix`.

To NumPy a sparse matrix is no array but a single object, which ``np.multiply`` puts into an array of objects.
An ndarray's operators leave it to the other operand, and so do these: what is computed is what the
float32 array of the values gives.
"""

import operator
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from cfloat._core import flags
from cfloat.errors import ArgumentTypeError

# What most operands are, of which nothing has to be asked.
_PLAIN: Final = frozenset((int, float, bool, np.ndarray, np.float32, np.float64, list, tuple))

_BINARY: Final = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "matmul": np.matmul, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "divmod": np.divmod, "pow": np.power,
    "lshift": np.left_shift, "rshift": np.right_shift, "and": np.bitwise_and, "xor": np.bitwise_xor,
    "or": np.bitwise_or,
}  # fmt: skip
_COMPARISONS: Final = {
    "lt": (np.less, "gt"), "le": (np.less_equal, "ge"), "gt": (np.greater, "lt"),
    "ge": (np.greater_equal, "le"), "eq": (np.equal, "eq"), "ne": (np.not_equal, "ne"),
}  # fmt: skip


def check_operands(function: str, operands: Iterable[object]) -> None:
    """Refuse what has an array's operators, and which NumPy's functions put into an array of objects."""
    for x in operands:
        if type(x) not in _PLAIN and _is_no_array(type(x)):
            raise ArgumentTypeError(
                f"{function} is given a {type(x).__name__}, which NumPy takes for one object; use an "
                "operator, as in a @ b, or its toarray()"
            )


def _is_no_array(kind: type) -> bool:
    return _goes_first(kind) and not hasattr(kind, "__array__")


def _goes_first(kind: type) -> bool:
    """Whether a type that is none of NumPy's says that its operators go before an ndarray's."""
    priority = getattr(kind, "__array_priority__", None)  # of NumPy's scalars, a descriptor
    return (
        isinstance(priority, int | float) and priority > 0 and not hasattr(kind, "__array_ufunc__")
    )


def _knows_better(kind: type, method: str) -> bool:
    """Whether an ndarray leaves an operator to another operand, of a type that has this method of its own."""
    if issubclass(kind, np.ndarray):  # of subclasses, Python asks first
        return getattr(kind, method, None) is not getattr(np.ndarray, method, None)
    # PyTorch's tensors take no ndarrays, but make tensors of what NumPy computes
    return _goes_first(kind) and not hasattr(kind, "__torch_function__")


def _values_beside(array: Any, other: object, method: str) -> Any:
    """Give the values of an array if the other operand's own method is to compute on them, or else None."""
    kind = type(other)
    if kind in _PLAIN or not _knows_better(kind, method):
        return None
    with flags.no_flags():
        return array.__array__()


def _pair(name: str, ufunc: np.ufunc) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Make an operator, and the one that Python calls if an array is on its right."""
    function = cast(
        Callable[[Any, Any], Any],
        divmod if name == "divmod" else getattr(operator, f"__{name}__"),
    )
    own, reflected = f"__{name}__", f"__r{name}__"

    def forward(self: Any, other: Any) -> Any:
        if type(other) in _PLAIN or type(other) is type(self):
            return ufunc(self, other)
        if getattr(type(other), "__array_ufunc__", ufunc) is None:
            return NotImplemented
        values = _values_beside(self, other, reflected)
        return ufunc(self, other) if values is None else function(values, other)

    def backward(self: Any, other: Any) -> Any:
        if type(other) in _PLAIN:
            return ufunc(other, self)
        if getattr(type(other), "__array_ufunc__", ufunc) is None:
            return NotImplemented
        values = _values_beside(self, other, own)
        return ufunc(other, self) if values is None else function(other, values)

    forward.__name__, backward.__name__ = own, reflected
    return forward, backward


def _in_place(name: str, ufunc: np.ufunc) -> Callable[..., Any]:
    """Make an operator in place, whose result has the array's format, and no other operand's type."""

    def in_place(self: Any, other: Any) -> Any:
        if type(other) not in _PLAIN and _is_no_array(type(other)):
            raise ArgumentTypeError(
                f"an operand in place is a {type(other).__name__}; it takes an array, as its toarray() gives"
            )
        return ufunc(self, other, out=(self,))

    in_place.__name__ = f"__i{name}__"
    return in_place


def _comparison(name: str, ufunc: np.ufunc, mirrored: str) -> Callable[..., Any]:
    """Make a comparison; `mirrored` is the one that says the same of exchanged operands."""
    compare: Callable[[Any, Any], Any] = getattr(operator, name)
    reflected = f"__{mirrored}__"

    def compared(self: Any, other: Any) -> Any:
        if type(other) is not type(self):
            if getattr(type(other), "__array_ufunc__", ufunc) is None:
                return NotImplemented
            values = _values_beside(self, other, reflected)
            if values is not None:
                return compare(values, other)
        try:
            return ufunc(self, other)
        except TypeError:
            if name not in ("eq", "ne"):
                raise
            # the ufunc refuses strings; an ndarray's operator says that they differ
            return compare(self.__array__(), other)

    compared.__name__ = f"__{name}__"
    return compared


class Operators(NDArrayOperatorsMixin):
    """The operators of two operands, made below; those of one are the mixin's."""

    __slots__ = ()


for _name, _ufunc in _BINARY.items():
    _forward, _backward = _pair(_name, _ufunc)
    setattr(Operators, _forward.__name__, _forward)
    setattr(Operators, _backward.__name__, _backward)
    if _name != "divmod":
        setattr(Operators, f"__i{_name}__", _in_place(_name, _ufunc))
for _name, (_ufunc, _mirrored) in _COMPARISONS.items():
    setattr(Operators, f"__{_name}__", _comparison(_name, _ufunc, _mirrored))
