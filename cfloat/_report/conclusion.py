"""What a report comes to: one configuration for all tensors, what it costs, and what others would.

A configuration is a format and a granularity of its biases, as ``cfloat convert`` takes them for all tensors
at once; its bytes and errors are those of the file that the command writes.
"""

import fnmatch
import math
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfloat._core.format import Format
from cfloat._core.presets import FORMATS, TESLA_FORMATS
from cfloat._core.public_names import public
from cfloat._metrics.sqnr import sqnr_db

from .aggregates import Aggregate, Tensors, count_losses, weighted_db
from .granularities import GRANULARITIES, Layout
from .records import Granularity, SubnormalRow, TensorSummary
from .schemes import Comparison
from .selection import Problem, vertices
from .shell_words import joined, typed_option, typed_path
from .stored_model import CONVERTED, DECODED_FIRST, EXCLUDED, StoredModel, StoredTensor

Floats = NDArray[np.float64]

#: The bound of the weighted error, in dB, where none is given.
DEFAULT_MIN_DB: Final = 30.0

#: What is less than that better is no better.
_BETTER_DB: Final = 0.1


@public
@dataclass(frozen=True)
class ModelSummary:
    """What a report is of.

    Attributes
    ----------
    paths : list of str
        Its files; none for arrays.
    tensors, parameters, nbytes : int
        Its tensors, their elements, and their bytes, biases and scales included; names that are tied are one
        tensor.
    dtypes : dict of str to int
        How many tensors are of each dtype, or format.
    """

    paths: list[str]
    tensors: int
    parameters: int
    nbytes: int
    dtypes: dict[str, int]


@public
@dataclass(frozen=True)
class Configuration:
    """What it costs to convert all floating-point tensors to a format, with biases for the same parts.

    Attributes
    ----------
    format, granularity : str
        The format, and for what there is a bias: "tensor", "channel" (a slice of the first axis), "block 128"
        or "block 32" (along what products add up).
    nbytes, nbytes_before : int
        The bytes of all tensors, biases included, after and before.
    weighted_db : float
        ``-10 * log10(sum(n * e) / sum(n))`` of the tensors that are not all zero, n the elements of one and e
        the sum of its squared errors over that of its squares; infinite if nothing is lost.
    energy_db : float
        The ratio of the sum of all squares to that of all squared errors.
    median_db, worst_db : float
        The median and the least of all tensors whose elements have several values; of all, if none has.
    worst : str
        The tensor that has the least; empty if nothing is lost.
    over_3db : int
        How many tensors lose more than 3 dB against the best of the configurations whose codes are as wide.
    command : str
        What to run for it.
    uncertainty_db : float
        How far `weighted_db` may be from that of all elements, with 95 % confidence; 0 but for a sample.
    """

    format: str
    granularity: str
    nbytes: int
    nbytes_before: int
    weighted_db: float
    energy_db: float
    median_db: float
    worst_db: float
    worst: str
    over_3db: int
    command: str
    uncertainty_db: float = 0.0


@public
@dataclass(frozen=True)
class SchemeCost:
    """What it costs to store all floating-point tensors by another scheme.

    Attributes
    ----------
    scheme : str
        The scheme.
    nbytes : int
        The bytes of all tensors, scales included.
    bits_per_element : float
        What it stores for a tensor that it was measured on, in bits an element.
    weighted_db, worst_db, worst, uncertainty_db
        As in `Configuration`.
    """

    scheme: str
    nbytes: int
    bits_per_element: float
    weighted_db: float
    worst_db: float
    worst: str
    uncertainty_db: float = 0.0


@public
@dataclass(frozen=True)
class PlanCost:
    """What a plan of its own for each tensor costs, as ``cfloat plan`` makes it.

    Attributes
    ----------
    nbytes, weighted_db, worst_db, worst
        As in `CompressionPlan`.
    command : str
        What to run for it.
    uncertainty_db : float
        As in `Configuration`.
    """

    nbytes: int
    weighted_db: float
    worst_db: float
    worst: str
    command: str
    uncertainty_db: float = 0.0


@public
@dataclass(frozen=True)
class DenormalCost:
    """What the whitepaper's reading of a denormal costs, against the ieee one, with a bias a tensor.

    Attributes
    ----------
    format : str
        The format.
    weighted_db : float
        How much the weighted error is larger, each reading at its best biases, in dB.
    best_db, default_db : float
        What the tensor loses that loses most: at the best biases, and at the default one.
    best, default : str
        Which tensors these are; empty if none loses.
    exact_with_ieee : int
        How many tensors lose something, and nothing with the ieee reading; they are in no figure above.
    """

    format: str
    weighted_db: float
    best_db: float
    best: str
    default_db: float
    default: str
    exact_with_ieee: int


@public
@dataclass(frozen=True)
class IntegerCount:
    """On how many tensors integers have less error than 8-bit floats, each with one scale or bias a tensor.

    Attributes
    ----------
    scheme : str
        The integers.
    tensors, wins : int
        The tensors that are compared, and those on which integers have less error than every float.
    """

    scheme: str
    tensors: int
    wins: int


@public
@dataclass(frozen=True)
class Conclusion:
    """What a report comes to.

    Attributes
    ----------
    model : ModelSummary
        What it is of.
    bound_db : float
        The least weighted ratio that a recommendation may have, in dB.
    recommended : Configuration or None
        That of the fewest bytes, fewer than now, whose weighted ratio is within the bound; None if there is
        none.
    cheaper : Configuration or None
        Of those of fewer bytes, or of all if none is recommended, that of the least error.
    better : Configuration or None
        Of those whose weighted ratio is more than 0.1 dB better, that of the fewest bytes.
    plan : PlanCost or None
        A plan of its own for each tensor, within the bound; None if no tensor is plain and floating-point.
    configurations : list of Configuration
        All.
    schemes : list of SchemeCost
        How others would store it.
    denormals : DenormalCost or None
        What the whitepaper's denormals cost the recommended format, or the first that has them.
    integers : IntegerCount or None
        On how many tensors integers are better.
    curve : list of (int, float)
        Bytes and weighted dB of the plans that are best for what they take.
    commands : list of str
        What to run: for the recommendation, and for the plan.
    left_out : dict of str to list of str
        Tensors that count in no error, or in no median and worst, by reason.
    refusal : str
        Why the model cannot be converted, if that is known.
    notes : list of str
        What is not known of the model.
    sampled, measured : int
        How many elements were looked at, and how many the tensors have that were; the same but for a sample.
    """

    model: ModelSummary
    bound_db: float
    recommended: Configuration | None
    cheaper: Configuration | None
    better: Configuration | None
    plan: PlanCost | None
    configurations: list[Configuration]
    schemes: list[SchemeCost]
    denormals: DenormalCost | None
    integers: IntegerCount | None
    curve: list[tuple[int, float]] = field(repr=False)
    commands: list[str]
    left_out: dict[str, list[str]]
    refusal: str = ""
    notes: list[str] = field(default_factory=list)
    sampled: int = 0
    measured: int = 0

    def to_content(self) -> dict[str, Any]:
        """Give everything as plain data, for JSON; what tells of a sample is in that of one alone."""
        content = asdict(self)
        if self.is_sample:
            return content
        del content["sampled"], content["measured"]
        costs = [content[key] for key in ("recommended", "cheaper", "better", "plan")]
        for each in (*costs, *content["configurations"], *content["schemes"]):
            if each is not None:
                del each["uncertainty_db"]
        return content

    @property
    def is_sample(self) -> bool:
        """Whether some elements were not looked at."""
        return self.sampled < self.measured


def conclude(
    model: StoredModel,
    formats: Mapping[str, Format],
    tensors: Sequence[TensorSummary],
    subnormals: Sequence[SubnormalRow],
    granularity: Iterable[Granularity],
    comparisons: Iterable[Comparison],
    skipped: Mapping[str, str],
    min_db: float,
) -> Conclusion:
    """Draw a report's conclusion.

    Parameters
    ----------
    model : StoredModel
        What is stored.
    formats : mapping of str to Format
        The formats that were measured, by label.
    tensors, subnormals, granularity, comparisons, skipped
        The report's.
    min_db : float
        The least weighted ratio of what is recommended, in dB.
    """
    return _Concluding(
        model, formats, tensors, subnormals, granularity, comparisons, skipped, min_db
    ).run()


class _Errors(NamedTuple):
    """What the tensors that count lose, each, and how far their ratios in dB may be off."""

    errors: list[float]
    uncertainties: list[float]


class _Concluding:
    """The drawing of a conclusion."""

    def __init__(
        self,
        model: StoredModel,
        formats: Mapping[str, Format],
        tensors: Sequence[TensorSummary],
        subnormals: Sequence[SubnormalRow],
        granularity: Iterable[Granularity],
        comparisons: Iterable[Comparison],
        skipped: Mapping[str, str],
        min_db: float,
    ) -> None:
        self._model, self._formats, self._skipped = model, formats, skipped
        self._subnormals = subnormals
        self._min_db = min_db
        self._summaries = {each.name: each for each in tensors}
        # by format and granularity, and by tensor
        self._groups: dict[tuple[str, str], dict[str, Granularity]] = {}
        for one in granularity:
            self._groups.setdefault((one.format, one.granularity), {})[one.tensor] = one
        self._compared: dict[str, dict[str, Comparison]] = {}
        for each in comparisons:
            self._compared.setdefault(each.scheme, {})[each.tensor] = each
        self._commands = Commands(model, min_db)
        #: The tensors that are in an error, and under which names they were measured.
        self._counted, self._measured = self._find_counted()
        self._options: dict[
            tuple[tuple[int, ...], bool, int], list[tuple[int, tuple[str, str]]]
        ] = {}
        # how many there are of a shape, which are few, and the bytes of what stays as it is
        self._changed: Counter[tuple[tuple[int, ...], bool]] = Counter()
        for stored in model.tensors:
            if _changes(stored):
                self._changed[stored.shape, stored.is_transposed] += stored.copies
        self._unchanged = sum(
            each.copies * each.nbytes for each in model.tensors if not _changes(each)
        )

    def run(self) -> Conclusion:
        """Draw the conclusion."""
        found = self._configurations()
        possible = [each for each in found if each.nbytes < each.nbytes_before]
        recommended = _least(each for each in possible if each.weighted_db >= self._min_db)
        if recommended is None:
            cheaper = _best(possible)
            better = None
        else:
            cheaper = _best(each for each in possible if each.nbytes < recommended.nbytes)
            above = recommended.weighted_db + _BETTER_DB
            better = _least(each for each in possible if each.weighted_db > above)
        plan, curve = self._plan()
        runs = [each.command for each in (recommended, plan) if each is not None and each.command]
        return Conclusion(
            model=self._summary(),
            bound_db=self._min_db,
            recommended=recommended,
            cheaper=cheaper,
            better=better,
            plan=plan,
            configurations=found,
            schemes=self._schemes(),
            denormals=self._denormals(None if recommended is None else recommended.format),
            integers=self._integers(),
            curve=curve,
            commands=runs,
            left_out=self._left_out(),
            refusal=self._model.refusal,
            notes=list(self._model.notes),
            sampled=sum(each.sampled for each in self._summaries.values()),
            measured=sum(each.size for each in self._summaries.values()),
        )

    def _summary(self) -> ModelSummary:
        dtypes: dict[str, int] = {}
        for each in self._model.tensors:
            dtypes[each.dtype] = dtypes.get(each.dtype, 0) + 1
        return ModelSummary(
            paths=list(self._model.paths),
            tensors=len(self._model.tensors),
            parameters=sum(each.size for each in self._model.tensors),
            nbytes=self._model.nbytes,
            dtypes=dict(sorted(dtypes.items(), key=lambda pair: (-pair[1], pair[0]))),
        )

    def _configurations(self) -> list[Configuration]:
        found = []
        for label, fmt in self._formats.items():
            if not (fmt.signed and _is_tesla(fmt)):
                continue
            for name, layout in GRANULARITIES.items():
                errors = self._errors_of(self._groups.get((label, name), {}))
                found.append((fmt.bits, label, name, layout, errors))
        levels = [[sqnr_db(1.0, each) for each in errors] for *_, (errors, _) in found]
        best: dict[int, Floats] = {}
        for (bits, *_), own in zip(found, levels, strict=True):
            best[bits] = np.maximum(best[bits], own) if bits in best else np.array(own)
        return [
            self._configuration(label, name, layout, errors, count_losses(own, best[bits]))
            for (bits, label, name, layout, errors), own in zip(found, levels, strict=True)
        ]

    def _configuration(
        self,
        label: str,
        granularity: str,
        layout: Layout,
        errors: "_Errors",
        over_3db: int,
    ) -> Configuration:
        fmt = self._formats[label]
        total = Aggregate.of(self._counted, *errors)
        nbytes = self._unchanged + sum(
            copies * layout.nbytes(shape, fmt, is_transposed)
            for (shape, is_transposed), copies in self._changed.items()
        )
        return Configuration(
            format=label,
            granularity=granularity,
            nbytes=nbytes,
            nbytes_before=self._model.nbytes,
            weighted_db=total.weighted_db,
            energy_db=total.energy_db,
            median_db=total.median_db,
            worst_db=total.worst_db,
            worst=total.worst,
            over_3db=over_3db,
            command=self._commands.convert(fmt, layout),
            uncertainty_db=total.uncertainty_db,
        )

    def _find_counted(self) -> tuple[Tensors, list[str | None]]:
        """Give the tensors that are in an error, and the names of those that were measured.

        What is excluded, and not measured, stays as it is, and loses nothing: None is its name.
        """
        rows: list[tuple[str, int, float, bool]] = []
        measured: list[str | None] = []
        for each in self._model.tensors:
            summary = self._summaries.get(each.name)
            if each.fate == EXCLUDED:
                if not each.is_zero:
                    rows.append((each.name, each.size, 0.0, False))
                    measured.append(None)
            elif _changes(each) and summary is not None and summary.max > 0:
                rows.append((each.name, summary.size, summary.signal, not summary.is_constant))
                measured.append(each.name)
        return Tensors.of(rows), measured

    def _errors_of(self, found: Mapping[str, Granularity] | Mapping[str, Comparison]) -> "_Errors":
        """Give the errors of the tensors that count, of which some were found."""
        of_each = [None if name is None else found.get(name) for name in self._measured]
        return _Errors(
            [0.0 if each is None else _error(each.sqnr_db) for each in of_each],
            [0.0 if each is None else each.uncertainty_db for each in of_each],
        )

    def _schemes(self) -> list[SchemeCost]:
        costs = []
        changed = {
            each.name: (each.copies, each.nbytes) for each in self._model.tensors if _changes(each)
        }
        names: list[str] = []
        sizes = before = 0
        copies: list[int] = []
        for scheme, found in self._compared.items():
            total = Aggregate.of(self._counted, *self._errors_of(found))
            if names != list(found):  # of most schemes they are the same
                names = list(found)
                sizes = sum(self._summaries[name].size for name in names)
                copies = [changed[name][0] if name in changed else 0 for name in names]
                before = sum(math.prod(changed[name]) for name in names if name in changed)
            nbytes = [each.nbytes for each in found.values()]
            costs.append(
                SchemeCost(
                    scheme=scheme,
                    nbytes=self._model.nbytes - before + sum(map(operator.mul, copies, nbytes)),
                    bits_per_element=8 * sum(nbytes) / sizes,
                    weighted_db=total.weighted_db,
                    worst_db=total.worst_db,
                    worst=total.worst,
                    uncertainty_db=total.uncertainty_db,
                )
            )
        return costs

    def _plan(self) -> tuple[PlanCost | None, list[tuple[int, float]]]:
        """Choose what each tensor becomes, as `cfloat.plan` does, and give the curve of the best choices."""
        items = [each for each in self._model.tensors if each.fate in (CONVERTED, EXCLUDED)]
        if not items:
            return None, []
        counted = [each for each in items if not self._is_zero(each)]
        total = sum(each.size for each in counted) or 1
        nbytes, errors, found = [], [], []
        for each in items:
            candidates = self._candidates(each)
            weight = each.size / total
            nbytes.append([each.copies * size for size, *_ in candidates])
            errors.append([weight * error for _, error, _ in candidates])
            found.append(candidates)
        others = self._model.nbytes - sum(each.copies * each.nbytes for each in items)
        problem = Problem(nbytes, errors)
        curve = [(others + int(size), db) for size, db in vertices(problem)]
        if len(self._model.paths) > 1:
            return None, curve
        picks = problem.select(10 ** (-self._min_db / 10)).picks
        chosen = [
            (each, of_each[pick])
            for each, of_each, pick in zip(items, found, picks, strict=True)
            if not self._is_zero(each)
        ]
        # of one value or of several: a plan counts all alike
        total_error = Aggregate.of(
            Tensors.of((each.name, each.size, 0.0, True) for each, _ in chosen),
            [error for _, (_, error, _) in chosen],
            [uncertainty for _, (_, _, uncertainty) in chosen],
        )
        cost = PlanCost(
            nbytes=others + sum(each[pick] for each, pick in zip(nbytes, picks, strict=True)),
            weighted_db=total_error.weighted_db,
            worst_db=total_error.worst_db,
            worst=total_error.worst,
            command=self._commands.plan(),
            uncertainty_db=total_error.uncertainty_db,
        )
        return cost, curve

    def _is_zero(self, tensor: StoredTensor) -> bool:
        summary = self._summaries.get(tensor.name)
        return tensor.size == 0 or tensor.is_zero or (summary is not None and summary.max == 0)

    def _candidates(self, tensor: StoredTensor) -> list[tuple[int, float, float]]:
        """Give bytes, error and uncertainty of what a tensor can become; the first is to leave it."""
        found = [(tensor.nbytes, 0.0, 0.0)]
        summary = self._summaries.get(tensor.name)
        # a plan does not touch what has elements that a format has no code for
        if tensor.fate == EXCLUDED or summary is None or summary.nonfinite:
            return found
        for nbytes, key in self._options_of(tensor):
            if summary.max == 0:
                found.append((nbytes, 0.0, 0.0))
                continue
            measured = self._groups.get(key, {}).get(tensor.name)
            if measured is not None and math.isfinite(error := _error(measured.sqnr_db)):
                found.append((nbytes, error, measured.uncertainty_db))
        return found

    def _options_of(self, tensor: StoredTensor) -> list[tuple[int, tuple[str, str]]]:
        """List bytes, formats and granularities of what a tensor of a shape and so many bytes can become."""
        shape, is_transposed = tensor.shape, tensor.is_transposed
        found = self._options.get((shape, is_transposed, tensor.nbytes))
        if found is not None:
            return found
        found = self._options[shape, is_transposed, tensor.nbytes] = []
        for label, fmt in self._formats.items():
            if not _is_tesla(fmt):
                continue
            counts = set()
            for name, layout in GRANULARITIES.items():
                count = max(1, layout.bias_count(shape, is_transposed))
                nbytes = layout.nbytes(shape, fmt, is_transposed)
                if count in counts or nbytes >= tensor.nbytes:
                    continue
                counts.add(count)
                found.append((nbytes, (label, name)))
        return found

    def _denormals(self, wanted: str | None) -> DenormalCost | None:
        groups: dict[str, list[SubnormalRow]] = {}
        for row in self._subnormals:
            groups.setdefault(row.format, []).append(row)
        label = wanted if wanted in groups else next(iter(groups), None)
        if label is None:
            return None
        sizes, own, ieee = [], [], []
        best, default = [], []
        exact = 0
        for row in groups[label]:
            cost = row.cost
            summary = self._summaries[row.tensor]
            sizes.append(summary.size)
            own.append(_error(row.sqnr_db))
            ieee.append(_error(cost.ieee_sqnr_db))
            exact += math.isinf(cost.gain_db)
            best.append((cost.gain_db, row.tensor))
            default.append((cost.default_gain_db, row.tensor))
        worst, at_default = _largest(best), _largest(default)
        with_ieee, without = weighted_db(sizes, ieee), weighted_db(sizes, own)
        return DenormalCost(
            format=label,
            weighted_db=0.0 if with_ieee == without else with_ieee - without,
            best_db=worst[0],
            best=worst[1],
            default_db=at_default[0],
            default=at_default[1],
            exact_with_ieee=exact,
        )

    def _integers(self) -> IntegerCount | None:
        integers = [name for name in self._compared if _is_by_tensor(name, ("INT8",))]
        floats = [name for name in self._compared if _is_by_tensor(name, ("E4M3", "E5M2"))]
        labels = [label for label, fmt in self._formats.items() if fmt.bits == 8]
        if not integers:
            return None
        found = self._compared[integers[0]]
        groups = [self._groups.get((label, "tensor"), {}) for label in labels]
        count = wins = 0
        for name, each in found.items():
            summary = self._summaries[name]
            if summary.is_constant or summary.max == 0:
                continue
            others = [
                self._compared[scheme][name].sqnr_db
                for scheme in floats
                if name in self._compared[scheme]
            ]
            others += [each[name].sqnr_db for each in groups if name in each]
            count += 1
            wins += all(each.sqnr_db > other for other in others)
        return IntegerCount(integers[0], count, wins)

    def _left_out(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        measured = {name for each in self._compared.values() for name in each}
        for name, reason in self._skipped.items():
            found.setdefault(reason, []).append(name)
        for each in self._summaries.values():
            if each.max == 0:
                found.setdefault("all zero", []).append(each.name)
            elif each.is_constant:
                found.setdefault("constant: in no median or worst", []).append(each.name)
            if each.max > 0 and self._compared and each.name not in measured:
                found.setdefault("beyond the scales of others, who leave it", []).append(each.name)
            if each.nonfinite:
                reason = "infinities or NaN, which are in no error"
                found.setdefault(reason, []).append(each.name)
        return found


class Commands:
    """What to run, as it is typed.

    Parameters
    ----------
    model : StoredModel
        The model.
    min_db : float
        The bound of a plan.
    """

    def __init__(self, model: StoredModel, min_db: float) -> None:
        self._model, self._min_db = model, min_db

    def convert(self, fmt: Format, layout: Layout) -> str:
        """Give the commands that convert all tensors to a format."""
        options = ["--format", fmt.name, "--bias", "mse", *layout.options]
        if any(
            layout.runs_elsewhere(each.shape, each.is_transposed)
            for each in self._model.tensors
            if _changes(each)
        ):
            options += ["--along", "reduction"]
        if fmt.subnormals != FORMATS[fmt.name].subnormals:
            options += ["--subnormals", fmt.subnormals]
        return joined(
            [*command, *self._patterns(path)]
            for path in self._paths((CONVERTED, DECODED_FIRST))
            for command in self._converting(path, fmt.name, options)
        )

    def plan(self) -> str:
        """Give the commands that make a plan, and carry it out."""
        bound = [] if self._min_db == DEFAULT_MIN_DB else ["--min-db", f"{self._min_db:g}"]
        return joined(
            command
            for path in self._paths((CONVERTED,))
            for command in (
                ["cfloat", "plan", _source(path), "--out", "plan.toml", *bound, *self._patterns(path)],
                ["cfloat", "convert", _source(path), self._target(path, "plan"), "--plan", "plan.toml"],
            )
        )  # fmt: skip

    def _paths(self, fates: Sequence[str]) -> list[str]:
        if self._model.refusal:
            return []
        there = {each.path for each in self._model.tensors if each.fate in fates}
        return [path for path in self._model.paths or [""] if path in there]

    def _converting(self, path: str, name: str, options: list[str]) -> Iterable[list[str]]:
        """Give the commands for a file: codes become values before they become others."""
        source = _source(path)
        if any(each.path == path and each.fate == DECODED_FIRST for each in self._model.tensors):
            values = self._target(path, "float32")
            yield ["cfloat", "convert", source, values, "--to", "float32"]
            source = values
        yield ["cfloat", "convert", source, self._target(path, name), *options]

    def _patterns(self, path: str) -> list[str]:
        """Give the patterns that fit a name of a file, as options."""
        prefix = f"{Path(path)}:" if len(self._model.paths) > 1 else ""
        names = [
            each.name.removeprefix(prefix) for each in self._model.tensors if each.path == path
        ]
        return [
            word
            for option, patterns in (("--include", self._model.include), ("--exclude", self._model.exclude))
            for pattern in patterns
            if any(fnmatch.fnmatchcase(name, pattern) for name in names)
            for word in typed_option(option, pattern)
        ]  # fmt: skip

    def _target(self, path: str, what: str) -> str:
        """Name what a file becomes: files of one name in several folders become several."""
        name = _target(path, what)
        before = self._model.paths[: self._model.paths.index(path)] if path else []
        same = sum(_target(other, what) == name for other in before)
        return _target(path, f"{what}-{same + 1}") if same else name


def _source(path: str) -> str:
    return typed_path(path) or "MODEL"


def _target(path: str, what: str) -> str:
    """Name what a file or a folder becomes, in the current folder."""
    if not path:
        return "OUT"
    given = Path(path)
    if given.name.lower().endswith(".index.json"):
        given = given.parent
    if given.is_dir():
        # a name with a point would be that of a file
        name = (given.resolve().name or "model").replace(".", "-")
        made = f"{name}-{what}"
    else:
        made = f"{given.stem}-{what}.safetensors"
    return typed_path(made)


def _changes(tensor: StoredTensor) -> bool:
    return tensor.fate in (CONVERTED, DECODED_FIRST)


@lru_cache(maxsize=64)
def _is_tesla(fmt: Format) -> bool:
    """Whether a conversion to the format takes its name, and a reading of subnormals."""
    known = FORMATS.get(fmt.name)
    return known in TESLA_FORMATS and fmt.replace(subnormals=known.subnormals) == known


def _is_by_tensor(scheme: str, beginnings: tuple[str, ...]) -> bool:
    """Whether a scheme is of a kind, with one scale a tensor."""
    return scheme.startswith(beginnings) and scheme.endswith("tensor")


def _error(db: float) -> float:
    return math.inf if db == -math.inf else 10 ** (-db / 10)


def _least(found: Iterable[Configuration]) -> Configuration | None:
    """Give the configuration of the fewest bytes, and of those the least error."""
    return min(found, key=lambda each: (each.nbytes, -each.weighted_db), default=None)


def _best(found: Iterable[Configuration]) -> Configuration | None:
    """Give the configuration of the least error, and of those the fewest bytes."""
    return max(found, key=lambda each: (each.weighted_db, -each.nbytes), default=None)


def _largest(gains: Iterable[tuple[float, str]]) -> tuple[float, str]:
    """Give the largest finite gain, and whose it is, if it can be seen."""
    finite = [pair for pair in gains if math.isfinite(pair[0])]
    largest, name = max(finite, default=(0.0, ""))
    return largest, name if largest >= 0.0005 else ""
