"""What a configuration costs each tensor, and tensors in the order that is asked for."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cfloat._core.arguments import check_choice, integer

from .conclusion import Conclusion
from .records import Granularity, TensorSummary


@dataclass(frozen=True)
class TensorCost:
    """What a configuration costs a tensor.

    Attributes
    ----------
    name, kind, size
        Of the tensor.
    db : float
        Its ratio in dB; infinite if nothing is lost, NaN if that is not known.
    loss : float
        How many dB that is below the best of all configurations whose codes are as wide; infinite if one of
        those loses nothing.
    is_varied : bool
        Whether it has elements of several values.
    """

    name: str
    kind: str
    size: int
    db: float
    loss: float
    is_varied: bool


_KEYS: Final[Mapping[str, Callable[[TensorCost], Any]]] = {
    "sqnr": lambda each: (not each.is_varied or math.isnan(each.db), each.db),
    "loss": lambda each: -each.loss,
    "size": lambda each: -each.size,
    "name": lambda each: each.name,
}

#: What tensors are ordered by: those with the least ratio, those that lose most, the largest, or their names.
SORTS: Final = tuple(_KEYS)


def tensor_costs(
    tensors: Sequence[TensorSummary],
    granularity: Iterable[Granularity],
    bits: Mapping[str, int],
    conclusion: Conclusion,
) -> list[TensorCost]:
    """Tell what the recommended configuration, or else the nearest to it, costs each tensor."""
    chosen = conclusion.recommended or conclusion.cheaper
    own: dict[str, float] = {}
    best: dict[str, float] = {}
    for each in granularity if chosen is not None else ():
        assert chosen is not None
        if bits[each.format] != bits[chosen.format]:
            continue
        best[each.tensor] = max(best.get(each.tensor, -math.inf), each.sqnr_db)
        if (each.format, each.granularity) == (chosen.format, chosen.granularity):
            own[each.tensor] = each.sqnr_db
    return [
        TensorCost(
            name=each.name,
            kind=each.kind,
            size=each.size,
            # all zeros are exact in any format
            db=math.inf if each.max == 0 else own.get(each.name, math.nan),
            loss=best[each.name] - own[each.name]
            if each.name in own and own[each.name] != best[each.name]
            else 0.0,
            is_varied=not each.is_constant,
        )
        for each in tensors
    ]


def ordered(costs: Sequence[TensorCost], sort: str | None, top: int | None) -> list[TensorCost]:
    """Order tensors, and take the first of them.

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        If `sort` is none of `SORTS`, or `top` is no number of tensors.
    """
    if sort is not None:
        check_choice("sort", sort, SORTS)
    if top is not None:
        top = integer("top", top, 0)
    found = list(costs) if sort is None else sorted(costs, key=_KEYS[sort])
    return found[:top]
