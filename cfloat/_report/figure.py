"""What matplotlib draws: curves and exponents of a tensor in a report, and the curve that a plan is on."""

import math
from typing import TYPE_CHECKING, Any

from cfloat._core.text import printable, shown
from cfloat.errors import ArgumentTypeError, ArgumentValueError, MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours after Okabe and Ito, and markers: the page's, in the same order.
STYLES = (
    ("#0068a8", "o"), ("#c64f00", "s"), ("#007f5c", "^"), ("#a83f7e", "D"),
    ("#946200", "v"), ("#5d48b3", "P"), ("#4a5560", "X"), ("#9c2b2b", "p"),
)  # fmt: skip

#: What lies lower says only that a bias is unusable.
LOWEST_DB = -10.0

#: Where bars stand: a single element is visible on the log scale.
BASE = 0.45

#: Exponents shown beyond the tensor's own: windows of more go on beyond the axis.
MARGIN = 24

Row = dict[str, Any]


def draw(content: dict[str, Any], tensor: str | None = None) -> "Figure":
    """Draw the SQNR of a tensor against the exponent bias, and its exponents with each format's window.

    Parameters
    ----------
    content : dict
        The report as plain data, as `html_page` takes it.
    tensor : str, optional
        The tensor's name; if None, the one with the lowest SQNR in the best of the narrow formats.

    Returns
    -------
    matplotlib.figure.Figure
        A figure of its own, which pyplot does not know: ``figure.savefig(path)`` writes it.

    Raises
    ------
    ArgumentTypeError
        If `tensor` is not a string.
    ArgumentValueError
        If there is no tensor of that name, or none at all.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> draw(content, "conv1.weight").savefig("conv1.svg")  # doctest: +SKIP
    """
    new_figure = _figures()
    found = _tensor(content, tensor)
    rows = [row for row in content["rows"] if row["tensor"] == found["name"]]
    formats = list(dict.fromkeys(row["format"] for row in content["rows"]))
    styles = {name: STYLES[index % len(STYLES)] for index, name in enumerate(formats)}
    figure = new_figure(figsize=(11, 4.8), layout="constrained")
    # a name is not mathematics, whatever dollar signs are in it
    figure.suptitle(printable(found["name"]), parse_math=False)
    curves, exponents = figure.subplots(1, 2)
    _draw_curves(curves, rows, styles)
    _draw_exponents(exponents, found, rows, styles)
    if rows:
        legend = figure.legend(
            loc="outside lower center", ncols=min(8, len(rows)), fontsize="small"
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def draw_plan(content: dict[str, Any]) -> "Figure":
    """Draw the bytes and the weighted error of the best plans for a checkpoint, and the one that was chosen.

    Parameters
    ----------
    content : dict
        The plan as plain data, as `plan_page` takes it.

    Returns
    -------
    matplotlib.figure.Figure
        As of `draw`.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure = _figures()(figsize=(7.5, 4.8), layout="constrained")
    (line, _), (chosen, marker) = STYLES[0], STYLES[1]
    axes = figure.subplots()
    # JSON has no number for what is exact
    points = [(nbytes, db) for nbytes, db in content["curve"] if db is not None]
    axes.plot(
        [nbytes for nbytes, _ in points], [db for _, db in points], color=line, label="best plans"
    )
    if content["weighted_db"] is not None:
        axes.plot(
            [content["nbytes"]], [content["weighted_db"]], color=chosen, marker=marker, markersize=8,
            linestyle="none", zorder=3, label="this plan",
        )  # fmt: skip
    axes.set(xlabel="bytes of all tensors", ylabel="weighted SQNR, dB")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params("x", labelrotation=20)
    before = max(1, content["nbytes_before"])
    shares = axes.secondary_xaxis(
        "top", functions=(lambda nbytes: nbytes / before, lambda share: share * before)
    )
    shares.set_xlabel("of those before")
    axes.set_title(printable(content["source"]), parse_math=False, fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _figures() -> "type[Figure]":
    """Import matplotlib's figures, which pyplot does not know; MissingExtraError if it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "plots need matplotlib; install it with: pip install 'cfloat[plot]'"
        ) from None
    made: type[Figure] = Figure  # of which mypy knows nothing where matplotlib is not installed
    return made


def _tensor(content: dict[str, Any], name: str | None) -> dict[str, Any]:
    if name is not None and not isinstance(name, str):
        raise ArgumentTypeError(f"tensor is {shown(name)}; it takes a tensor's name")
    tensors: dict[str, dict[str, Any]] = {each["name"]: each for each in content["tensors"]}
    if not tensors:
        raise ArgumentValueError("the report has no tensor")
    if name is None:
        name = _worst(content["rows"]) or next(iter(tensors))
    if name not in tensors:
        raise ArgumentValueError(f"tensor is {shown(name)}; the report has no tensor of that name")
    return tensors[name]


def _worst(rows: list[Row]) -> str | None:
    """Find the tensor with the lowest SQNR in the best of the narrow formats."""
    narrow = max(8, min((row["bits"] for row in rows), default=8))
    best: dict[str, float] = {}
    for row in rows:
        if row["bits"] <= narrow:
            best[row["tensor"]] = max(best.get(row["tensor"], -math.inf), _level(row))
    return min(best, key=best.__getitem__) if best else None


def _level(row: Row) -> float:
    """Give a row's SQNR; plain data has no infinities, and an exact result no squared error."""
    if row["sqnr_db"] is not None:
        return float(row["sqnr_db"])
    return math.inf if row["mse"] == 0 else -math.inf


def _chooses(row: Row) -> bool:
    return len(row["curve"]["sqnr_db"]) > 1


def _draw_curves(axes: "Axes", rows: list[Row], styles: dict[str, tuple[str, str]]) -> None:
    known: list[float] = [
        value
        for row in rows
        for value in (row["sqnr_db"], *row["curve"]["sqnr_db"])
        if value is not None
    ]
    low = max(LOWEST_DB, min(0.0, *known)) if known else 0.0
    high: float = max([5.0, *known])
    high += 0.08 * (high - low)

    def clipped(value: float) -> float:
        return min(high, max(low, value))

    starts = [row["curve"]["first"] for row in rows if _chooses(row)] or [0]
    lengths = [len(row["curve"]["sqnr_db"]) for row in rows if _chooses(row)] or [2]
    left, right = min(starts), max(map(sum, zip(starts, lengths, strict=True))) - 1
    for index, row in enumerate(rows):
        color, marker = styles[row["format"]]
        label, level = printable(row["format"]), clipped(_level(row))
        marked: dict[str, Any] = {"color": color, "marker": marker, "label": label, "markersize": 6}
        if not _chooses(row):
            # each is marked in a place of its own, since levels often coincide
            place = right - (right - left) * (0.02 + 0.04 * (index % len(STYLES)))
            axes.plot([left, place, right], [level] * 3, linestyle="--", markevery=[1], **marked)
            continue
        first, last = row["plateau"]
        start, curve = row["curve"]["first"], row["curve"]["sqnr_db"]
        exact = range(first, last + 1) if row["mse"] == 0 else range(0)
        values = [
            (high if bias in exact else math.nan) if value is None else clipped(value)
            for bias, value in enumerate(curve, start)
        ]
        axes.fill_between(
            [first - 0.5, last + 0.5], low, level, color=color, alpha=0.1, linewidth=0
        )
        at = [row["bias"] - start]
        # curves lie over the level lines
        axes.plot(range(start, start + len(curve)), values, markevery=at, zorder=3, **marked)
    axes.set(xlabel="exponent bias", ylabel="SQNR, dB", ylim=(low, high))
    axes.set_title("marked: chosen bias; shaded: within 0.1 dB of it", fontsize="medium")
    axes.grid(alpha=0.3)


def _draw_exponents(
    axes: "Axes", tensor: dict[str, Any], rows: list[Row], styles: dict[str, tuple[str, str]]
) -> None:
    first, counts = tensor["exponents"]["first"], tensor["exponents"]["counts"]
    heights = [max(0.0, count - BASE) for count in counts]
    axes.bar(range(first, first + len(counts)), heights, bottom=BASE, color="0.6", width=0.85)
    axes.set_yscale("log")
    peak = max([1, *counts])
    decades = math.log10(peak) + 0.5
    # the windows take lanes below one element, where a log scale has room without end
    lane = 0.12 * decades
    for index, row in enumerate(rows):
        color, _ = styles[row["format"]]
        window = row["window"]
        height = 10 ** (-0.4 - lane * (index + 0.7))
        normal, high = window["smallest_normal"] - 0.5, window["highest"] + 0.5
        if window["smallest_subnormal"] is not None:
            tiny = window["smallest_subnormal"] - 0.5
            axes.plot([tiny, normal], [height] * 2, color=color, linewidth=1.5)
        axes.plot([normal, high], [height] * 2, color=color, linewidth=5, solid_capstyle="butt")
    narrow = [row["window"] for row in rows if row["bits"] <= 8] or [row["window"] for row in rows]
    ends = [end for window in narrow for end in window.values() if end is not None]
    axes.set(
        xlim=(
            max(min([first, *ends]), first - MARGIN) - 1,
            min(max([first + len(counts) - 1, *ends]), first + len(counts) - 1 + MARGIN) + 1,
        ),
        ylim=(10 ** (-0.4 - lane * (len(rows) + 0.4)), 2 * peak),
        xlabel="exponent, base 2",
        ylabel="elements",
    )
    axes.set_yticks([10.0**power for power in range(math.ceil(decades))])
    axes.minorticks_off()
    axes.axhline(BASE, color="0.6", linewidth=0.8)
    axes.set_title("below: normal numbers thick, denormals thin", fontsize="medium")
    axes.grid(alpha=0.3)
