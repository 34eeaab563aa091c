"""What the subscripts of ``np.einsum`` say of two operands."""

from collections.abc import Hashable
from typing import Any, NamedTuple


class Terms(NamedTuple):
    """Two operands, and the labels of their axes and of the result's."""

    a: Any
    b: Any
    a_labels: list[Hashable]
    b_labels: list[Hashable]
    labels: list[Hashable]


# what stands for the axes that an operand has more than labels
_REST = "."

# NumPy takes integers below this as labels
_LABELS = 52


def parse(operands: tuple[Any, ...]) -> Terms | None:
    """Read the positional arguments of ``np.einsum``; None of others than two operands.

    None as well where they are wrong, of which NumPy itself tells best.
    """
    given = _from_text(operands) if isinstance(operands[0], str) else _from_lists(operands)
    if given is None:
        return None
    a, b, *terms, output = given
    if not (hasattr(a, "ndim") and hasattr(b, "ndim")):  # lists and numbers
        return None
    counts = [x.ndim - len(term) + term.count(_REST) for x, term in zip((a, b), terms, strict=True)]
    for count, term in zip(counts, terms, strict=True):
        if count < 0 or term.count(_REST) > 1 or (count > 0 and _REST not in term):
            return None
    if output is None:
        named = [label for term in terms for label in term if label != _REST]
        single = sorted(label for label in named if named.count(label) == 1)
        output = [*([_REST] * any(_REST in term for term in terms)), *single]
    rest = max(counts)
    if output.count(_REST) > 1 or (rest > 0 and _REST not in output):
        return None
    a_labels, b_labels = map(_with_rest, terms, counts)
    return Terms(a, b, a_labels, b_labels, _with_rest(output, rest))


def _from_text(operands: tuple[Any, ...]) -> list[Any] | None:
    text, *arrays = operands
    if text.count(".") != 3 * text.count("..."):
        return None
    inputs, arrow, output = text.replace(" ", "").replace("...", _REST).partition("->")
    terms = [list(term) for term in inputs.split(",")]
    labels = "".join(inputs.split(",")) + output
    if len(arrays) != 2 or len(terms) != 2 or not _are_letters(labels):
        return None
    return [*arrays, *terms, list(output) if arrow else None]


def _from_lists(operands: tuple[Any, ...]) -> list[Any] | None:
    if len(operands) not in (4, 5):
        return None
    a, one, b, other, *output = operands
    lists = []
    for given in (one, other, *output):
        if not isinstance(given, list | tuple):
            return None
        lists.append([_REST if label is Ellipsis else label for label in given])
        if not all(label == _REST or _is_number(label) for label in lists[-1]):
            return None
    return [a, b, *lists[:2], lists[2] if output else None]


def _are_letters(labels: str) -> bool:
    letters = labels.replace(_REST, "")
    return letters.isascii() and letters.isalpha()


def _is_number(label: object) -> bool:
    return type(label) is int and 0 <= label < _LABELS


def _with_rest(term: list[Any], count: int) -> list[Hashable]:
    """Label, in a term, the axes that the ellipsis stands for, numbered from the last."""
    if _REST not in term:
        return term
    place = term.index(_REST)
    return [*term[:place], *((_REST, i) for i in reversed(range(count))), *term[place + 1 :]]
