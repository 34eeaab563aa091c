"""The first screen of a report: its conclusion as text."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from cfloat._core.text import printable
from cfloat._core.text_table import aligned
from cfloat._files.paths import shown_path

from .conclusion import Conclusion, Configuration
from .shell_words import written_words
from .tensor_costs import TensorCost

#: Columns and lines of a screen.
WIDTH: Final = 100
HEIGHT: Final = 40

# the schemes of others that stand in the headline, by how their names begin, and what is not in those
_HEADLINE: Final = (
    ("E4M3", ("power-of-two", "tile")),
    ("MXFP8 E4M3", ()),
    ("INT8", ("group",)),
    ("NVFP4", ()),
)

_INTEGERS: Final = (
    "That holds for weights that are spread evenly; floats are for what has outliers, as activations and "
    "gradients have, and for hardware that multiplies floats."
)


class _Line(NamedTuple):
    """A line of the table."""

    mark: str
    what: str
    nbytes: int
    weighted_db: float
    worst_db: float
    losses: str = ""
    uncertainty_db: float = 0.0


def screen(conclusion: Conclusion, tensors: Sequence[TensorCost], is_short: bool) -> str:
    """Write a conclusion as text.

    Parameters
    ----------
    conclusion : Conclusion
        The conclusion.
    tensors : sequence of TensorCost
        Tensors to list.
    is_short : bool
        Whether to list fewer, where a screen would not hold all.
    """
    before = [
        _model(conclusion),
        _recommended(conclusion),
        _table(conclusion),
        _remarks(conclusion),
    ]
    after = [_runs(conclusion)]
    listed = _tensors(tensors)
    if is_short:
        room = HEIGHT - sum(len(block) + 1 for block in (*before, *after) if block) + 1
        listed = listed[: max(0, room - 1)]
        listed = listed if len(listed) > 1 else []
    blocks = [*before, listed, *after]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def compared(contents: Sequence[Mapping[str, Any]]) -> str:
    """Write a line for each of several reports, as plain data: what each recommends, and what that costs."""
    rows = [["model", "recommended", "bytes", "of now", "weighted dB", "worst dB"]]
    for content in contents:
        said = content["conclusion"]
        if said is None:
            rows.append(["without a conclusion", *[""] * 5])
            continue
        found = said["recommended"]
        paths = said["model"]["paths"]
        others = f" and {len(paths) - 1}" if len(paths) > 1 else ""
        name = shortened(shown_path(paths[0]) if paths else "arrays", 36 - len(others)) + others
        if found is None:
            nbytes = said["model"]["nbytes"]
            rows.append([name, "nothing", f"{nbytes:,}", "1.000x", "exact", "exact"])
            continue
        ratio = found["nbytes"] / max(1, found["nbytes_before"])
        rows.append(
            [
                name, shortened(f"{printable(found['format'])}, {printable(found['granularity'])}", 36),
                f"{found['nbytes']:,}", f"{ratio:.3f}x", _read_level(found["weighted_db"]),
                _read_level(found["worst_db"]),
            ]
        )  # fmt: skip
    return "\n".join(aligned(rows, right=(2, 3, 4, 5)))


def _read_level(value: float | None) -> str:
    # JSON has no infinity: what loses nothing is null
    return "exact" if value is None else _level(value)


def shortened(text: str, width: int) -> str:
    """Leave out the middle of a text that is too long.

    Examples
    --------
    >>> shortened("encoder.layer.0.attention.output.dense.weight", 20)
    'encoder...nse.weight'
    """
    if len(text) <= width:
        return text
    tail = (width - 3) * 3 // 5
    return text[: width - 3 - tail] + "..." + text[-tail:]


def _model(conclusion: Conclusion) -> list[str]:
    model = conclusion.model
    dtypes = ", ".join(f"{count:,} {printable(dtype)}" for dtype, count in model.dtypes.items())
    figures = (
        f"{_count(model.tensors, 'tensor')}, {_count(model.parameters, 'parameter')}, "
        f"{_count(model.nbytes, 'byte')}"
    )
    others = len(model.paths) - 1
    rest = (f" and {_count(others, 'other file')}" if others > 0 else "") + f": {figures}"
    name = shown_path(model.paths[0]) if model.paths else "arrays"
    lines = [shortened(name, max(16, WIDTH - len(rest))) + rest]
    lines.append(shortened(f"stored as: {dtypes}", WIDTH))
    if conclusion.is_sample:
        lines.append(
            f"a sample: {conclusion.sampled:,} of {conclusion.measured:,} elements; +- is with 95 % "
            "confidence, ? where maxima count"
        )
    if conclusion.left_out:
        lines.append(_left_out(conclusion.left_out))
    lines += [shortened(f"note: {printable(note)}", WIDTH) for note in conclusion.notes]
    return lines


def _left_out(reasons: Mapping[str, Sequence[str]]) -> str:
    """Say how many tensors are left out, and why: the reasons of most, as many as there is room for."""
    ordered = sorted(reasons.items(), key=lambda pair: -len(pair[1]))
    parts = [f"{len(names):,} {printable(reason)}" for reason, names in ordered]
    for count in range(len(parts), 0, -1):
        rest = sum(len(names) for _, names in ordered[count:])
        shown = [*parts[:count], f"{rest:,} for other reasons"] if rest else parts
        line = "left out: " + "; ".join(shown)
        if len(line) <= WIDTH:
            return line
    return shortened(line, WIDTH)


def _recommended(conclusion: Conclusion) -> list[str]:
    found = conclusion.recommended
    bound = f"weighted >= {conclusion.bound_db:g} dB"
    if found is None:
        return _nothing(conclusion, bound)
    ratio = found.nbytes / found.nbytes_before
    lines = [
        f"recommended: {configuration_name(found)}: the fewest bytes with {bound} (--min-db)",
        f"  bytes  {found.nbytes_before:,} -> {found.nbytes:,}, {ratio:.3f}x",
        f"  error  weighted {_db(found.weighted_db)}{_off(found.uncertainty_db, ' dB')}, "
        f"by energy {_db(found.energy_db)}, worst {_db(found.worst_db)}",
    ]
    if found.worst:
        where = shortened(printable(found.worst), WIDTH - 12)
        lines[-1] += "" if len(lines[-1]) + len(where) + 5 <= WIDTH else ","
        if lines[-1].endswith(","):
            lines.append(f"         in {where}")
        else:
            lines[-1] += f" in {where}"
    losing = _count(found.over_3db, "tensor")
    loses = "loses" if found.over_3db == 1 else "lose"
    losing = "no tensor loses" if not found.over_3db else f"{losing} {loses}"
    lines.append(f"         {losing} more than 3 dB against another configuration of as many bits")
    return lines


def _nothing(conclusion: Conclusion, bound: str) -> list[str]:
    if not conclusion.configurations:
        return [
            "recommended: nothing, as none of CFloat8_1_4_3, CFloat8_1_5_2 and CFloat16_SHP was measured"
        ]
    nearest, plan = conclusion.cheaper, conclusion.plan
    before = conclusion.model.nbytes
    is_planned = plan is not None and plan.nbytes < before
    if nearest is None and not is_planned:
        return ["recommended: leave it as it is: no configuration takes fewer bytes"]
    lines = [
        f"recommended: leave it as it is: no configuration of fewer bytes has {bound} (--min-db)"
    ]
    if plan is not None and is_planned:
        lines.append(
            f"  or take the plan below, of a format for each tensor: {plan.nbytes:,} bytes, "
            f"{plan.nbytes / before:.3f}x"
        )
    if nearest is not None:
        lines.append(
            f"  the nearest is {configuration_name(nearest)}: {nearest.nbytes:,} bytes, "
            f"weighted {_db(nearest.weighted_db)}"
        )
    return lines


def _named(found: Configuration) -> str:
    return f"{printable(found.format)}, {found.granularity}"


def configuration_name(found: Configuration) -> str:
    """Name a configuration in words."""
    kind, _, number = found.granularity.partition(" ")
    of = f"{kind} of {number}" if number else kind
    return f"{printable(found.format)}, one bias a {of}"


def _table(conclusion: Conclusion) -> list[str]:
    before = conclusion.model.nbytes
    lines = []
    for mark, found in (
        ("recommended", conclusion.recommended),
        ("cheaper", conclusion.cheaper),
        ("better", conclusion.better),
    ):
        if found is not None:
            lines.append(
                _Line(
                    mark, _named(found), found.nbytes,
                    found.weighted_db, found.worst_db, f"{found.over_3db:,}", found.uncertainty_db,
                )
            )  # fmt: skip
    plan = conclusion.plan
    if plan is not None:
        same = conclusion.recommended
        is_same = same is not None and (plan.nbytes, plan.weighted_db) == (
            same.nbytes, same.weighted_db,
        )  # fmt: skip
        lines.append(
            _Line(
                "plan", "the same for all" if is_same else "each its own",
                plan.nbytes, plan.weighted_db, plan.worst_db,
                uncertainty_db=plan.uncertainty_db,
            )
        )  # fmt: skip
    mark = "others"
    for each in conclusion.schemes:
        if is_headline(each.scheme):
            lines.append(
                _Line(
                    mark, printable(each.scheme), each.nbytes, each.weighted_db, each.worst_db,
                    uncertainty_db=each.uncertainty_db,
                )
            )  # fmt: skip
            mark = ""
    if not lines:
        return []
    rows = [
        [
            line.mark, line.what, f"{line.nbytes:,}", f"{line.nbytes / max(1, before):.3f}x",
            _level(line.weighted_db) + _off(line.uncertainty_db), _level(line.worst_db), line.losses,
        ]
        for line in lines
    ]  # fmt: skip
    heading = ["", "", "bytes", "of now", "weighted dB", "worst dB", "lose 3 dB"]
    made = aligned([heading, *rows], right=(2, 3, 4, 5, 6))
    if conclusion.recommended is not None and conclusion.cheaper is None:
        made.insert(2, "cheaper      nothing: no configuration takes fewer bytes")
    if conclusion.recommended is not None and conclusion.better is None:
        made.insert(3, "better       nothing: no configuration of fewer bytes than now is better")
    return [line[:WIDTH] for line in made]


def is_headline(scheme: str) -> bool:
    """Whether a scheme of others stands in the headline."""
    return any(
        scheme.startswith(beginning) and not any(part in scheme for part in without)
        for beginning, without in _HEADLINE
    )


def _remarks(conclusion: Conclusion) -> list[str]:
    lines = []
    found = conclusion.integers
    if found is not None and found.tensors:
        told = (
            f"{printable(found.scheme.partition(',')[0])} with one scale a tensor has less error than "
            f"every float of 8 bits on {found.wins:,} of {_count(found.tensors, 'tensor')}"
        )
        levels = {each.scheme: each.weighted_db for each in conclusion.schemes}
        chosen = conclusion.recommended or conclusion.cheaper
        if chosen is not None and found.scheme in levels:
            told += f" (weighted {_db(levels[found.scheme])}, {_named(chosen)} {_db(chosen.weighted_db)})"
        told += "."
        lines += textwrap.wrap(f"{told} {_INTEGERS}" if found.wins else told, WIDTH)
    cost = conclusion.denormals
    if cost is not None:
        parts = [f"at the best biases {cost.weighted_db:z.2f} dB weighted"]
        parts.append(
            f"{cost.best_db:z.2f} dB at most" + (f" ({_short(cost.best)})" if cost.best else "")
        )
        default = f" ({_short(cost.default)})" if cost.default else ""
        parts.append(f"at the default bias up to {cost.default_db:z.2f} dB{default}")
        if cost.exact_with_ieee:
            parts.append(f"{_count(cost.exact_with_ieee, 'tensor')} exact with ieee")
        told = f"The whitepaper's denormals cost {printable(cost.format)}: {', '.join(parts)}."
        lines += textwrap.wrap(told, WIDTH)
    return lines


def _short(name: str) -> str:
    return shortened(printable(name), 40)


def _tensors(tensors: Sequence[TensorCost]) -> list[str]:
    if not tensors:
        return []
    rows = [
        [
            shortened(printable(each.name), 52), each.kind, f"{each.size:,}",
            *(["?", "?"] if math.isnan(each.db) else [_level(each.db), _loss(each.loss)]),
        ]
        for each in tensors
    ]  # fmt: skip
    return aligned([["tensor", "kind", "elements", "dB", "loses"], *rows], right=(2, 3, 4))


def _runs(conclusion: Conclusion) -> list[str]:
    if conclusion.refusal:
        said = f"cfloat convert refuses it: {printable(conclusion.refusal)}"
        return textwrap.wrap(said, WIDTH)
    lines = []
    for text in conclusion.commands:
        commands = written_words(text)
        # one for each file; two for the first tell what the others are
        most = max(2, HEIGHT // 10)
        for command in commands[:most]:
            lines += broken(command)
        if len(commands) > most:
            lines.append(
                f"# and so on: {len(commands) - most:,} more commands, in --json's conclusion"
            )
    lines.append("# cfloat report --all has every table, and --html FILE a page")
    return lines


def broken(command: Sequence[str]) -> list[str]:
    r"""Break a command, of words as they are written, into lines that a shell takes for one.

    An option's value stays beside it.

    Examples
    --------
    >>> print(*broken(["cfloat", "convert", 50 * "a", 50 * "b"]), sep="\n")
    cfloat convert aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \
        bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    """
    parts: list[str] = []
    for word in command:
        if parts and re.fullmatch("--[a-z-]+", parts[-1]) and not word.startswith("--"):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    lines = [""]
    for word in parts:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > WIDTH - 2:
            lines[-1] += " \\"
            lines.append("    " + word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _db(value: float) -> str:
    return "exact" if value == math.inf else f"{value:.2f} dB"


def _loss(value: float) -> str:
    return _level(value) if value >= 0.005 else "0.00"


def _level(value: float) -> str:
    return "exact" if value == math.inf else f"{value:.2f}"


def _off(uncertainty: float, unit: str = "") -> str:
    """Say how far a level may be off, if it may; no less than the last digit."""
    if not uncertainty:
        return ""
    return f" +- {max(uncertainty, 0.01):.2f}{unit}" if math.isfinite(uncertainty) else " +- ?"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
