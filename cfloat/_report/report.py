"""Error reports: what each format costs on each of a set of tensors."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cfloat._bias.masked import mask_of, with_nothing_masked
from cfloat._bias.reduction import reduction_axes
from cfloat._compensate.second_moments import SecondMoment
from cfloat._core.arguments import finite_number
from cfloat._core.dtypes import SOURCE_DTYPES, check_memory, is_source_dtype
from cfloat._core.float_modes import in_default_modes
from cfloat._core.format import Format
from cfloat._core.presets import COMPARED, as_format
from cfloat._core.public_names import public
from cfloat._core.text import shown
from cfloat._files.checkpoint import Checkpoint, checkpoint_of
from cfloat._files.dtypes import BY_COMMON_NAME
from cfloat._files.moments import uses_under
from cfloat._files.names_by_reason import few_names
from cfloat._files.reader import read_values
from cfloat._files.stored_values import Elements, JoinedValues, StoredValues
from cfloat._metrics.error import ErrorStats
from cfloat._version import __version__
from cfloat.errors import ArgumentTypeError, ArgumentValueError, FileError, MissingExtraError

from . import text_tables
from .conclusion import DEFAULT_MIN_DB, Conclusion, conclude
from .conclusion_text import screen
from .csv_text import csv_text
from .figure import draw
from .html_page import html_page
from .measurement import Measured, Measurement, Subject
from .outputs import SHARES, measure_outputs
from .plain_data import plain
from .products import measure_products
from .records import (
    OUTPUTS,
    THEORY,
    Granularity,
    MatmulRow,
    ReportRow,
    SubnormalCost,
    SubnormalRow,
    TensorSummary,
    names_of,
)
from .scan import FEW_ELEMENTS, Scan
from .schemes import Comparison
from .sensitivity import Sensitivity
from .stored_model import EXCLUDED, StoredModel, check_names
from .tensor_costs import TensorCost, ordered, tensor_costs
from .tensor_values import STACKED_SIZE, SampledValues, TensorValues, batches, sample_size
from .weighing import known_sensitivity

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Array = NDArray[Any]

# what records say of samples alone
_OF_SAMPLES: Final = (
    ("tensors", "sampled"), ("granularity", "uncertainty_db"), ("comparisons", "uncertainty_db"),
)  # fmt: skip

#: How many tensors a screen lists.
_LISTED: Final = 3

_COLUMNS: Final = [
    "tensor", "shape", "dtype", "format", "subnormals", "bits", "bias", *names_of(ErrorStats),
    "plateau_first", "plateau_last", "headroom", "codes_used", "codes", "entropy", "stochastic_db",
    *(f"theory_{name}_db" for name in THEORY), *names_of(SubnormalCost),
]  # fmt: skip


@public
@dataclass(frozen=True)
class Report:
    """What formats cost on tensors.

    Attributes
    ----------
    rows : list of ReportRow
        One for each tensor and format, in the order of the tensors.
    skipped : dict of str to str
        Why tensors are not in the report, by name.
    tensors : list of TensorSummary
        The tensors before rounding.
    granularity : list of Granularity
        For each tensor and format of 8 bits with several biases: one bias, one a channel, one a block of 32.
    comparisons : list of Comparison
        What other schemes cost each tensor.
    products : list of MatmulRow
        What rounding a weight and its inputs does to their product, where inputs were given.
    min_db : float
        The least weighted ratio that the conclusion's recommendation may have, in dB.
    formats : dict of str to Format
        The formats that were compared, by the names that they have here.
    model : StoredModel
        All tensors as they are stored.
    subnormals : list of SubnormalRow
        For each tensor that is not all zero, and format that has them: what the whitepaper's denormals cost.
    """

    rows: list[ReportRow]
    skipped: dict[str, str]
    tensors: list[TensorSummary] = field(default_factory=list)
    granularity: list[Granularity] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    products: list[MatmulRow] = field(default_factory=list)
    min_db: float = DEFAULT_MIN_DB
    formats: dict[str, Format] = field(default_factory=dict, repr=False)
    model: StoredModel = field(default_factory=StoredModel, repr=False)
    subnormals: list[SubnormalRow] = field(default_factory=list, repr=False)

    @cached_property
    @in_default_modes
    def conclusion(self) -> Conclusion:
        """What it comes to: one configuration for all tensors, and what it and others cost."""
        return conclude(
            self.model, self.formats, self.tensors, self.subnormals, self.granularity,
            self.comparisons, self.skipped, self.min_db,
        )  # fmt: skip

    @in_default_modes
    def to_screen(self, top: int | None = None, sort: str = "sqnr") -> str:
        """Write what is to be known first, on one screen: the conclusion.

        Parameters
        ----------
        top : int, optional
            How many tensors to list; if None, at most three, and as many as there is room for.
        sort : str
            Which: "sqnr", those with the least ratio as recommended; "loss", those that lose most against
            another configuration of as wide codes; "size", the largest; or "name", the first.

        Returns
        -------
        str
            At most 40 lines of 100 columns, unless `top` is large or a file's name long.
        """
        listed = self._costs(sort, _LISTED if top is None else top)
        return screen(self.conclusion, listed, is_short=top is None)

    @in_default_modes
    def table_rows(self) -> list[tuple[str, list[list[str]]]]:
        """Give the table as text: for each tensor its title and the cells of its lines."""
        return text_tables.tensor_rows(self.rows)

    @in_default_modes
    def summary_rows(self) -> list[list[str]]:
        """Give one line of text a format: its median and its worst tensor."""
        return text_tables.summary_rows(self.rows, self._alike)

    @in_default_modes
    def denormal_rows(self) -> list[list[str]]:
        """Give what the whitepaper's reading of a denormal costs as text, two lines a format."""
        return text_tables.subnormal_rows(self.rows, self._alike)

    @in_default_modes
    def granularity_rows(self) -> list[list[str]]:
        """Give what biases for parts of a tensor are worth as text, one line a format."""
        return text_tables.granularity_rows(self.granularity, self._alike)

    @in_default_modes
    def comparison_rows(self) -> list[list[str]]:
        """Give what other schemes cost as text, one line each."""
        return text_tables.comparison_rows(self.comparisons, self._alike)

    @in_default_modes
    def output_rows(self) -> list[list[str]]:
        """Give what compensation is worth to outputs as text, one line a format; empty without moments."""
        return text_tables.output_rows(self.rows)

    @in_default_modes
    def tables(self, top: int | None = None, sort: str | None = None) -> list[text_tables.Table]:
        """Give every table of the report as (title, headings, rows of cells).

        Parameters
        ----------
        top : int, optional
            How many tensors have a table of their own; all if None.
        sort : str, optional
            In which order, as in `to_screen`; as they come if None.
        """
        names = None
        if top is not None or sort is not None:
            names = [each.name for each in self._costs(sort, top)]
        return text_tables.report_tables(
            self.rows, self.granularity, self.comparisons, self.products, self.skipped, self._alike,
            names,
        )  # fmt: skip

    @property
    def _alike(self) -> set[str]:
        """The tensors whose elements have one value, of which an error says little."""
        return {each.name for each in self.tensors if each.is_constant}

    def _costs(self, sort: str | None, top: int | None) -> list[TensorCost]:
        bits = {label: fmt.bits for label, fmt in self.formats.items()}
        costs = tensor_costs(self.tensors, self.granularity, bits, self.conclusion)
        return ordered(costs, sort, top)

    @in_default_modes
    def to_table(self, top: int | None = None, sort: str | None = None) -> str:
        """Write the whole report as plain text.

        Parameters
        ----------
        top, sort
            As in `tables`.

        Returns
        -------
        str
            A block of lines for each tensor, a summary, and what the whitepaper's denormals cost.
        """
        return text_tables.to_text(self.tables(top, sort))

    @in_default_modes
    def to_content(self) -> dict[str, Any]:
        """Give everything as plain data.

        Returns
        -------
        dict
            What `to_json` writes, with None for infinities and NaN; what tells of a sample, `uncertainty_db`,
            `sampled` and `measured`, is in that of one alone.
        """
        content: dict[str, Any] = {
            "cfloat": __version__,
            "conclusion": self.conclusion.to_content(),
            "tensors": [each.to_content() for each in self.tensors],
            "rows": [row.to_content() for row in self.rows],
            "granularity": [each._asdict() for each in self.granularity],
            "comparisons": [each._asdict() for each in self.comparisons],
            "matmul": list(map(asdict, self.products)),
            "skipped": self.skipped,
        }
        if not self.conclusion.is_sample:
            for title, key in _OF_SAMPLES:
                for record in content[title]:
                    del record[key]
        made: dict[str, Any] = plain(content)
        return made

    @in_default_modes
    def to_json(self) -> str:
        """Write the report as JSON.

        Returns
        -------
        str
            An object with "conclusion", "tensors", "rows" (the errors, shares from 0 to 1, and the SQNR at
            every bias under "curve"), "granularity", "comparisons", "matmul" and "skipped".  Rows of weights
            whose moments were given have `output_db` and `compensated_db`.  JSON has no infinities or NaN:
            they are null (an infinite `sqnr_db` has an `mse` of 0).
        """
        return json.dumps(self.to_content(), indent=1, allow_nan=False) + "\n"

    @in_default_modes
    def to_csv(self) -> str:
        r"""Write the rows as CSV with a heading line.

        Returns
        -------
        str
            A column for each measure of a row that is one number, those of outputs if moments were given;
            infinities are "inf", and unknown values empty.  A name that a spreadsheet would take for a
            formula, as it begins with ``= + - @`` or a tab or a line break, has an apostrophe in front.

        Notes
        -----
        To have such names back in a program, take one apostrophe off those that match
        ``^'+\s*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]``;
        `to_json` and `to_frame` have all names as they are.
        """
        none = dict.fromkeys(OUTPUTS)
        flat = (
            none | row.to_dict() | {"shape": "x".join(map(str, row.shape))} for row in self.rows
        )
        return csv_text(self._columns, flat)

    @in_default_modes
    def to_html(self) -> str:
        """Make one HTML page of the report that needs nothing but itself.

        Returns
        -------
        str
            The page: a table of the tensors that can be sorted, the SQNR against the bias, and exponents with
            each format's window.  It loads nothing from the network.
        """
        return html_page(self.to_content())

    @in_default_modes
    def to_frame(self) -> "DataFrame":
        """Make a pandas DataFrame of the rows.

        Returns
        -------
        pandas.DataFrame
            The columns of `to_csv`.

        Raises
        ------
        MissingExtraError
            If pandas is not installed: ``pip install 'cfloat[pandas]'``.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise MissingExtraError(
                "a DataFrame needs pandas: pip install 'cfloat[pandas]'"
            ) from None
        return DataFrame([row.to_dict() for row in self.rows], columns=self._columns)

    @property
    def _columns(self) -> list[str]:
        has_outputs = not all(math.isnan(row.output_db) for row in self.rows)
        return [*_COLUMNS, *OUTPUTS] if has_outputs else _COLUMNS

    @in_default_modes
    def plot(self, tensor: str | None = None) -> "Figure":
        """Draw the SQNR against the bias and the exponents of one tensor.

        Parameters
        ----------
        tensor : str, optional
            Its name; the tensor that loses most if None.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed: ``pip install 'cfloat[plot]'``.
        ArgumentTypeError, ArgumentValueError
            If there is no such tensor.
        """
        return draw(self.to_content(), tensor)

    @in_default_modes
    def __str__(self) -> str:
        return self.to_table()


@public
@in_default_modes
def report(
    tensors: Mapping[str, ArrayLike] | ArrayLike | str | os.PathLike[str],
    formats: Iterable[Format | str] | Format | str = COMPARED,
    *,
    activations: Mapping[str, ArrayLike] | str | os.PathLike[str] | None = None,
    sensitivity: Sensitivity | str | os.PathLike[str] | None = None,
    min_db: float = DEFAULT_MIN_DB,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    details: bool = True,
    sample: int | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Report:
    """Measure what formats cost on tensors.

    Parameters
    ----------
    tensors : mapping of str to array_like, array_like, str or path-like
        The tensors by name, or a single one, or the path of a file or a folder of them, as `load` takes it.
        Those that are empty, not floating point, without a finite element, or not to be read from their file,
        are left out, and the reason is in the report.  What a masked array masks is left out as NaN are, and
        counted among these.
    formats : Format, str, or iterable of these, optional
        The formats to compare, or their names: by default the whitepaper's four, float16, bfloat16,
        float8_e4m3fn and float8_e5m2.  Formats of one name are told apart by their subnormals.  An unsigned
        format is left out for tensors with negative elements.
    activations : mapping of str to array_like, str or path-like, optional
        Inputs of weights, by the weights' names: of shape (..., n) for a weight of shape (m, n), whose output
        is ``inputs @ weight.T``; or the path of a file that has them.  The report then has the error of these
        products as well.
    sensitivity : Sensitivity, str or path-like, optional
        The moments of inputs, as `cfloat.torch.sensitivity` gives them, or the file that they were saved in.
        Rows of their weights then have the error of the outputs, rounded to nearest and as
        `round_compensated` rounds them, with the row's bias.  Takes `details`.
    min_db : float
        The least weighted ratio that the conclusion's recommendation may have, in dB.
    include, exclude : sequence of str
        Patterns of `fnmatch` for the names of tensors that are measured, all if there are none, and of those
        that are not; these stay as they are in the conclusion.
    details : bool
        Whether to make ``Report.rows``, and tell how each tensor's elements are distributed (``kurtosis`` and
        ``exponents``); the conclusion takes less time without.
    sample : int, optional
        About how many elements of a tensor to look at, 16384 or more; all if None.  A larger tensor is
        represented by chunks of rows, evenly spread and the same each time, and of plain elements in a file
        no others are read.  Errors are then estimates, with their uncertainty (``uncertainty_db``); maxima,
        numbers of elements and what follows from these are those of the sample.
    progress : callable, optional
        Called as ``progress(done, total)`` when `done` of `total` are finished: elements, about, where the
        tensors' shapes are known before they are read, or tensors.

    Returns
    -------
    Report
        A row for each tensor and format, at the bias with the least squared error.  The search raises no
        exception flags.

    Raises
    ------
    ArgumentTypeError
        If `formats` holds anything but formats and names, or a single tensor is not of numbers.
    ArgumentValueError
        If there are no formats, or two of the same name and subnormals, or a name is not known; or a pattern
        fits no tensor; or `sample` is below 16384, or given beside `activations` or `sensitivity`; or the
        latter without `details`.
    FileError, MissingExtraError
        If a file cannot be opened, or the sensitivity is of none of the tensors.

    See Also
    --------
    error : The same measures for any rounded tensor.

    Examples
    --------
    >>> import numpy as np
    >>> import cfloat as cf
    >>> x = np.random.default_rng(0).standard_normal(10_000)
    >>> result = cf.report({"x": x}, [cf.CFloat8_1_4_3, cf.float8_e4m3fn])
    >>> [(row.format, row.bias, round(row.stats.sqnr_db, 1)) for row in result.rows]
    [('CFloat8_1_4_3', 13, 31.4), ('float8_e4m3fn', 7, 31.4)]
    """
    chosen = _labelled(formats)
    bound = finite_number("min_db", min_db)
    if bound is None:
        raise ArgumentTypeError("min_db is None; it takes a number")
    sample = sample_size(sample)
    if sample is not None and activations is not None:
        raise ArgumentValueError("sample is given beside activations; products take all elements")
    known = known_sensitivity(sensitivity)
    if known is not None and sample is not None:
        raise ArgumentValueError("sample is given beside sensitivity; outputs take all elements")
    if known is not None and not details:
        raise ArgumentValueError("sensitivity is given without details; outputs are in their rows")
    named: Mapping[Any, ArrayLike]
    if isinstance(tensors, str | os.PathLike):
        named = StoredValues(tensors)
    elif isinstance(tensors, Mapping):
        named = tensors
    else:
        named = {"x": tensors}
        if np.asarray(tensors).dtype.kind not in "biufcV":
            dtype = np.asarray(tensors).dtype
            raise ArgumentTypeError(f"x has dtype {dtype}; it takes {SOURCE_DTYPES}")
    inputs: Mapping[Any, ArrayLike] = (
        StoredValues(activations)
        if isinstance(activations, str | os.PathLike)
        else activations or {}
    )
    model, is_listed = _stored_model(named, tuple(include), tuple(exclude))
    result = Report([], {}, min_db=bound, formats=chosen, model=model)
    kinds = {each.name: each.kind for each in model.tensors}
    excluded = {each.name for each in model.tensors if each.fate == EXCLUDED}
    turned = {each.name for each in model.tensors if each.is_transposed}
    uses, unknown = ({}, "") if known is None else _uses_of(named, model, known)
    reasons: dict[Any, dict[str, str]] = {}
    weights = _weights(named, model if is_listed else None, sample, details)
    for name in uses.keys() & weights.keys():
        weights[name] = int(weights[name] / SHARES[0])
    work = _Work(progress, weights)
    # of each tensor, or why it is skipped; those that are measured together do not come in order
    found: dict[Any, Measured | str] = {}
    products: dict[Any, tuple[list[MatmulRow], str | None]] = {}

    def to_measure() -> Iterator[tuple[_Given, int]]:
        for name in named:
            label = str(name)
            given: _Given | str
            if label in model.tied:
                given = f"tied to {model.tied[label]}"
            elif label in excluded:
                given = EXCLUDED
            else:
                try:
                    given = _given(named, name, label in turned, sample)
                except FileError as error:
                    given = str(error)
            if not (is_listed or isinstance(given, str)):
                model.add_array(label, given.dtype, given.values.shape, given.nbytes)
                kinds[label] = model.tensors[-1].kind
                if model.tensors[-1].fate == EXCLUDED:
                    given = EXCLUDED
            if not isinstance(given, str) and given.reason is None:
                # each by itself where its rows take most of the time, or it is read again
                alone = details or name in inputs
                yield given, STACKED_SIZE + 1 if alone else given.values.size
                continue
            found[name] = given if isinstance(given, str) else given.reason or ""
            work.skip(name)

    for batch in batches(to_measure()):
        with work.of(*(each.name for each in batch)) as advance:
            # a tensor whose outputs are measured is alone
            share = SHARES[0] if batch[0].name in uses else 1.0
            part = partial(_advance, advance, share)
            found |= _measured(batch, kinds, chosen, part, details)
            for name, values, *_ in batch:
                if name in inputs and isinstance(found[name], Measured):
                    weight = values.whole()
                    weight = weight.T if str(name) in turned else weight
                    products[name] = measure_products(str(name), weight, inputs[name], chosen)
                if name in uses and isinstance(one := found[name], Measured):
                    part = partial(_advance, advance, SHARES[1])
                    moments = uses[name]()
                    rows_of, reasons[name] = measure_outputs(
                        values.whole(), moments, one.rows, chosen, part
                    )
                    found[name] = replace(one, rows=rows_of)
    for name in named:
        _add(result, str(name), found[name])
        rows, reason = products.get(name, ([], None))
        result.products.extend(rows)
        if reason is not None:
            result.skipped[f"{name}, its product"] = reason
        why = reasons.get(name, {})
        result.skipped.update((f"{name}, {of}", said) for of, said in why.items())
    if unknown:
        result.skipped[unknown] = "moments of no tensor that is here"
    return result


def _uses_of(
    tensors: Mapping[Any, ArrayLike], model: StoredModel, known: Sensitivity
) -> tuple[dict[Any, Callable[[], tuple[SecondMoment, ...]]], str]:
    """Give what reads the moments of each tensor that has some, under any name; and the names of others."""
    names = {str(name): name for name in tensors}
    said_of: dict[Any, list[str]] = {}
    others = []
    for said in known.moments:
        stored = model.tied.get(said, said)
        if stored in names:
            said_of.setdefault(names[stored], []).append(said)
        else:
            others.append(said)
    # its own name first, as a conversion has them
    found: dict[Any, Callable[[], tuple[SecondMoment, ...]]] = {
        name: partial(uses_under, sorted(said, key=str(name).__ne__), known.moments)
        for name, said in said_of.items()
    }
    if not found:
        first = next(iter(known.moments), None)
        what = "has no moments" if first is None else f"is of {shown(first)}, and so on"
        raise FileError(
            f"the sensitivity {what}; the tensors are {shown(next(iter(names), None))}, and so on"
        )
    return found, few_names(others)


def _add(result: Report, label: str, found: Measured | str) -> None:
    """Put into a report what was measured on a tensor, or why nothing was."""
    if isinstance(found, str):
        result.skipped[label] = found
        return
    result.tensors.append(found.summary)
    result.rows.extend(found.rows)
    result.subnormals.extend(found.subnormals)
    result.granularity.extend(found.granularity)
    result.comparisons.extend(found.comparisons)


def _measured(
    batch: Sequence["_Given"],
    kinds: Mapping[str, str],
    formats: dict[str, Format],
    advance: Callable[[float], None],
    details: bool,
) -> dict[Any, Measured | str]:
    """Measure tensors, small ones together; and say why, if one cannot be read or has nothing to measure."""
    found: dict[Any, Measured | str] = {}
    for each in batch:
        try:
            each.values.kept()  # small ones are read one after the other
        except FileError as error:
            found[each.name] = str(error)
    ready = [each for each in batch if each.name not in found]
    try:
        for places, scan in Scan.all_of([each.values for each in ready]):
            names = [ready[i].name for i in places]
            if not scan.is_finite:
                found |= dict.fromkeys(names, "no finite element")
                continue
            subjects = [
                Subject(str(ready[i].name), ready[i].dtype, kinds[str(ready[i].name)])
                for i in places
            ]
            share = len(places) / len(batch)
            measurement = Measurement(subjects, scan, formats)
            made = measurement.run(partial(_advance, advance, share), details)
            found |= zip(names, made, strict=True)
    except FileError as error:  # of one that comes in pieces, and is alone
        found |= {each.name: str(error) for each in ready if each.name not in found}
    return found


def _advance(advance: Callable[[float], None], share: float, part: float) -> None:
    advance(share * part)


def _stored_model(
    tensors: Mapping[Any, ArrayLike], include: Sequence[str], exclude: Sequence[str]
) -> tuple[StoredModel, bool]:
    """Make the model of what is stored, and say whether its tensors are in it already, or are to be added."""
    files: dict[str, tuple[str, Checkpoint]] = {}
    model = StoredModel(include=include, exclude=exclude)
    try:
        if isinstance(tensors, StoredValues | JoinedValues):
            files = {
                prefix: (path, checkpoint_of(tensors.contents[prefix]))
                for prefix, path in tensors.paths.items()
            }
        elif isinstance(tensors, Checkpoint):
            files = {"": (os.fspath(tensors.path), tensors)}
    except FileError as error:
        # what can be read is measured; it is a conversion that takes all of a file or nothing
        check_names((*include, *exclude), map(str, tensors), ())
        return replace(model, refusal=str(error)), False
    checkpoints = [checkpoint for _, checkpoint in files.values()]
    names = () if files else map(str, tensors)
    check_names((*include, *exclude), names, checkpoints)
    for prefix, (path, checkpoint) in files.items():
        model.add_checkpoint(path, checkpoint, prefix)
    return model, bool(files)


# elements that take as long as what there is to do for a tensor of any size, without details and with; and
# as going over the bins of one that is not small, with details
_OVERHEAD: Final = {False: 1 << 14, True: 3 << 14}
_OF_BINS: Final = 3 << 17


def _weights(
    tensors: Mapping[Any, ArrayLike],
    model: StoredModel | None,
    sample: int | None,
    details: bool,
) -> dict[Any, int]:
    """Tell how long each tensor takes, beside the others; 1 each where shapes are not known before."""
    if model is not None:
        sizes = {each.name: each.size for each in model.tensors}
    elif type(tensors) is dict:
        sizes = {str(name): math.prod(np.shape(each)) for name, each in tensors.items()}
    else:
        return dict.fromkeys(tensors, 1)
    most = math.inf if sample is None else sample
    weights = {}
    for name in tensors:
        size = int(min(sizes.get(str(name), 0), most))
        of_bins = _OF_BINS if details and size > FEW_ELEMENTS else 0
        weights[name] = _OVERHEAD[details] + of_bins + size
    return weights


class _Work:
    """Tells a caller how much of the work on all tensors is finished."""

    def __init__(
        self, progress: Callable[[float, int], None] | None, weights: dict[Any, int]
    ) -> None:
        self._progress, self._weights = progress, weights
        self._total = sum(weights.values())
        self._before = self._done = 0.0
        self._tell()

    @contextmanager
    def of(self, *names: Any) -> Iterator[Callable[[float], None]]:
        """Give what takes parts of the work on tensors, of which 1 is all; after it, all is finished."""
        weight = sum(map(self._weights.__getitem__, names))

        def advance(part: float) -> None:
            self._done += part * weight
            self._tell()

        yield advance
        self._before += weight
        self._done = self._before
        self._tell()

    def skip(self, name: Any) -> None:
        """Take the work on a tensor for finished."""
        with self.of(name):
            pass

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)


def _labelled(formats: Iterable[Format | str] | Format | str) -> dict[str, Format]:
    """Look formats up, by names that tell them apart."""
    given: Any = (formats,) if isinstance(formats, Format | str) else formats
    try:
        given = list(given)
    except TypeError:
        raise ArgumentTypeError(
            f"formats is {shown(formats)}; it takes a Format or several of them"
        ) from None
    chosen = list(map(as_format, given))
    if not chosen:
        raise ArgumentValueError("formats is empty; it takes at least one Format")
    names = [fmt.name for fmt in chosen]
    labelled: dict[str, Format] = {}
    for fmt in chosen:
        label = fmt.name if names.count(fmt.name) == 1 else f"{fmt.name} {fmt.subnormals}"
        if label in labelled:
            raise ArgumentValueError(f"two formats are called {label}; give them different names")
        labelled[label] = fmt
    return labelled


class _Given(NamedTuple):
    """A tensor before it is measured."""

    name: Any
    values: TensorValues
    dtype: str
    nbytes: int
    #: Why it is not measured, if that is known before.
    reason: str | None


def _given(
    tensors: Mapping[Any, ArrayLike], name: Any, is_transposed: bool, sample: int | None
) -> _Given:
    """Find a tensor; those that files have as plain elements are read when these are asked for."""
    stored = tensors if isinstance(tensors, StoredValues | JoinedValues | Checkpoint) else None
    if stored is not None and (found := _plain_elements(stored, name)) is not None:
        shape, read = found
        values = _values(shape, read, reduction_axes(len(shape), is_transposed), sample)
        dtype = stored.dtype_name(name)
        nbytes = values.size * BY_COMMON_NAME[dtype].numpy.itemsize
        return _Given(name, values, dtype, nbytes, None if values.size else "empty")
    given = tensors[name]
    check_memory(shown(name), given)
    tensor = np.asarray(given)
    if mask_of(given) is not None and _reason_to_skip(tensor) is None:
        tensor = with_nothing_masked(shown(name), given).astype(tensor.dtype, copy=False)
    flat = _widened(tensor).reshape(-1)
    return _Given(
        name,
        _values(tensor.shape, lambda start, stop: flat[start:stop], None, sample),
        str(tensor.dtype) if stored is None else stored.dtype_name(name),
        tensor.nbytes,
        _reason_to_skip(tensor),
    )


def _plain_elements(
    tensors: StoredValues | JoinedValues | Checkpoint, name: Any
) -> Elements | None:
    """Give the shape of a tensor of plain floating-point numbers, and what reads some; else None."""
    if not isinstance(tensors, Checkpoint):
        return tensors.plain_elements(name)
    if not tensors.is_float(name):
        return None
    return tensors.shape_of(name), partial(read_values, tensors.source, name)


def _values(
    shape: tuple[int, ...],
    read: Callable[[int, int], Array],
    axes: tuple[int, ...] | None,
    sample: int | None,
) -> TensorValues:
    if sample is None or math.prod(shape) <= sample:
        return TensorValues(shape, read, axes)
    return SampledValues(shape, read, axes, sample=sample)


def _reason_to_skip(tensor: Array) -> str | None:
    if tensor.size == 0:
        return "empty"
    if not (_is_ml_float(tensor) or is_source_dtype(tensor.dtype)):
        return f"{tensor.dtype} is not supported"
    if tensor.dtype.kind in "biu":
        return f"{tensor.dtype}, not floating point"
    return None


def _is_ml_float(tensor: Array) -> bool:
    """Whether a tensor is of one of ml_dtypes' floating types."""
    kind = tensor.dtype.type
    return kind.__module__.startswith("ml_dtypes") and "float" in kind.__name__


def _widened(tensor: Array) -> Array:
    """Widen a tensor of one of ml_dtypes' types to float32, in which it is exact."""
    return tensor.astype(np.float32) if _is_ml_float(tensor) else tensor
