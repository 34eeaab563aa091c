"""Tables as plain text: cells padded to the widths of their columns."""

from collections.abc import Collection, Iterable, Sequence


def column_widths(rows: Iterable[Sequence[str]]) -> list[int]:
    """Measure the widest cell of each column."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def aligned(
    rows: Iterable[Sequence[str]],
    right: Collection[int] = (),
    widths: Sequence[int] | None = None,
) -> list[str]:
    r"""Pad the cells of rows, so that columns line up two spaces apart.

    Parameters
    ----------
    rows : iterable of sequence of str
        The cells of each line.
    right : collection of int, optional
        The columns whose cells are padded on the left, as numbers are; the others are on the right.
    widths : sequence of int, optional
        How wide each column is at least; as wide as its widest cell if None.

    Returns
    -------
    list of str
        The lines, with no spaces at their ends.

    Examples
    --------
    >>> print(*aligned([["name", "bytes"], ["bias", "12"]], right=[1]), sep="\n")
    name  bytes
    bias     12
    """
    lines = list(rows)
    if widths is None:
        widths = column_widths(lines)
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
